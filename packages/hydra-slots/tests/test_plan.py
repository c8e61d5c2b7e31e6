"""What a sweep will run is known, checked and free of duplicates before anything runs."""

import json

import pytest

from hydra_slots import PlannedTrial, record
from hydra_slots.eta import Estimate, duration
from hydra_slots.hooks import load_hook
from hydra_slots.planner import varying_keys
from tests.foreign import CONFIG, App

DRY = "hydra.launcher.dry_run=true"
BODY = "return cfg.x"

HOOK = """
from hydra_slots import PlannedTrial

def describe(cfg):
    if cfg.x == 13:
        raise ValueError("x=13 brings bad luck; take 12")
    notes = ["rate has no effect without drop"] if "alpha" not in cfg.reg else []
    identity = f"{cfg.x % 10}-{cfg.seed}"
    return PlannedTrial(identity, f"mine/{identity}", f"x{cfg.x}", f"{cfg.x}", cfg.x, notes)

def report(folders):
    print("the end:", *folders)
"""

SEEN = """
import json
from omegaconf import OmegaConf
from hydra_slots import PlannedTrial

def describe(cfg):
    text = json.dumps(OmegaConf.to_container(cfg, resolve=True))
    with open("seen", "a") as file:
        print(text, file=file)
    return PlannedTrial(text, f"out/{abs(hash(text))}", text)
"""


@pytest.fixture
def app(tmp_path):
    return App(tmp_path, BODY)


@pytest.fixture
def hooked(tmp_path):
    """The application with a description of its own."""
    app = App(tmp_path, BODY, CONFIG + f"  sweeper: {{describe: 'hooks_{tmp_path.name}:describe'}}\n")
    (tmp_path / f"hooks_{tmp_path.name}.py").write_text(HOOK)
    return app


def lines(out):
    """The lines of a dry run's trials, without their state."""
    return [
        line.split(maxsplit=1)[1] for line in out.splitlines() if line.startswith(("  run", "  finished", "  resume"))
    ]


def test_a_plain_product_is_as_hydra_users_know_it(app):
    done = app.run("x=1,2", "seed=3,4", DRY)
    assert done.code == 0
    assert lines(done.out) == ["x=1 seed=3", "x=1 seed=4", "x=2 seed=3", "x=2 seed=4"]
    assert "4 trials (2 groups × 2 seeds): 4 to run on 2 workers" in done.out
    assert not (app.folder / "out").exists()


def test_lists_move_together_where_asked_for(app):
    """Also for a choice of a group and an option of it; the words need no quotes in a shell."""
    words = ["reg=drop,path", "x=1,2", "seed=3,4", "hydra.sweeper.together=reg+x"]
    done = app.run(*words, DRY)
    assert lines(done.out) == [f"reg={r} x={x} seed={s}" for r, x in (("drop", 1), ("path", 2)) for s in (3, 4)]
    assert "\nTogether: reg and x, 2 values each\n" in done.out
    app.sweep("demo", "title: T\ngrids: [{overrides: {reg: none}}, {overrides: {reg: drop}}]")
    assert app.run("hydra.sweeper.sweep=demo", "x=1,2", "seed=3,4", "hydra.sweeper.together=x+seed").code == 0
    assert sorted(app.values()) == [1, 1, 2, 2]
    content = record.read(app.folder / "out" / "sweep.yaml")
    assert content["arguments"] == ["x=1,2", "seed=3,4", "hydra.sweeper.together=[x+seed]"]


def test_without_a_sweep_there_is_one_trial(app):
    assert lines(app.run("x=5", DRY).out) == ["x=5"]


def test_a_glob_sweeps_over_the_choices_of_a_group(app):
    assert lines(app.run("reg=glob(*,exclude=n*)", DRY).out) == ["reg=drop", "reg=path"]


def test_a_key_that_only_some_choices_have_is_left_out_of_the_others(app):
    done = app.run("reg=none,drop", "reg.alpha=1,2", DRY)
    assert lines(done.out) == ["reg=none", "reg=drop reg.alpha=1", "reg=drop reg.alpha=2"]
    assert "Ignored: reg.alpha for reg=none (" in done.out
    assert "duplicate" not in done.out


PRESETS = {
    "none": "{rate: 0.0, alpha: 0.0}",
    "drop": "{rate: 0.1, alpha: 0.0}",
    "path": "{rate: 0.0, alpha: 0.0, depth: 3}",
    "both": "{rate: 0.1, alpha: 0.5}",
}
APPLIES = """
from omegaconf import OmegaConf

def applies(cfg, key):
    return bool(OmegaConf.select(cfg, key))
"""
UNION = "grids: [{overrides: {reg: none}}, {overrides: {reg: drop}}, {overrides: {reg: both, reg.alpha: [1, 2]}}]"


@pytest.mark.parametrize(
    ("words", "trials", "ignored"),
    [
        (
            ["reg=none,drop,both", "reg.alpha=1,2"],
            ["reg=none", "reg=drop", "reg=both reg.alpha=1", "reg=both reg.alpha=2"],
            ["reg.alpha for reg=none, reg=drop"],
        ),
        (
            ["reg=none,drop,path", "reg.rate=choice(0.3)"],
            ["reg=none", "reg=drop", "reg=path"],
            ["reg.rate for reg=none, reg=path"],
        ),
        (["reg=drop", "reg.alpha=1,2"], ["reg.alpha=1", "reg.alpha=2"], []),
        (["reg=drop,path", "reg.alpha=1,2"], [f"reg={r} reg.alpha={a}" for r in ("drop", "path") for a in (1, 2)], []),
        (
            ["hydra.sweeper.sweep=union", "reg.alpha=choice(7)"],
            ["reg=none", "reg=drop", "reg=both"],
            ["reg.alpha for reg=none, reg=drop"],
        ),
        (["hydra.sweeper.sweep=explicit"], ["reg=none", "reg=drop reg.alpha=1", "reg=both"], []),
    ],
)
def test_an_option_given_for_several_choices_is_for_those_that_use_it(tmp_path, words, trials, ignored):
    hook = f"applies_{tmp_path.name}"
    app = App(tmp_path, BODY, groups=PRESETS, sweeper={"applies": f"{hook}:applies"})
    (tmp_path / f"{hook}.py").write_text(APPLIES)
    app.sweep("union", UNION)
    explicit = "[{overrides: {reg: none}}, {overrides: {reg: drop, reg.alpha: 1}}, {overrides: {reg: both}}]"
    app.sweep("explicit", f"grids: {explicit}")
    done = app.run(*words, DRY)
    assert done.code == 0, done.err
    assert lines(done.out) == trials
    said = [line for line in done.out.splitlines() if line.startswith("Ignored: ")]
    assert [line.removeprefix("Ignored: ").partition(" (")[0] for line in said] == ignored


def test_a_choice_on_the_command_line_replaces_the_sweeps_with_its_options(app):
    app.sweep("sizes", "overrides: {reg: path}\ngrids: [{overrides: {reg.depth: [3, 4], x: [1, 2]}}]")
    done = app.run("hydra.sweeper.sweep=sizes", "reg=drop", "reg.alpha=5,6", DRY)
    assert lines(done.out) == [f"x={x} reg.alpha={a}" for x in (1, 2) for a in (5, 6)]
    assert "Ignored: reg.depth for reg=drop (" in done.out
    assert app.run("hydra.sweeper.sweep=sizes", "reg=drop", "reg.alhpa=5,6", DRY).code == 1


@pytest.mark.parametrize(
    ("baseline", "warned"), [("reg=none", False), ("x1", False), ("x1 rate=3", False), ("x3", True)]
)
def test_a_baseline_that_is_not_in_the_plan_is_warned_of(tmp_path, baseline, warned):
    hook = f"method_{tmp_path.name}"
    app = App(tmp_path, BODY, sweeper={"describe": f"{hook}:describe"})
    text = "from hydra_slots import PlannedTrial\n\ndef describe(cfg):\n"
    text += "    return PlannedTrial(f'{cfg.x}', f'out/{cfg.x}', f'{cfg.x}', method=f'x{cfg.x}')\n"
    (tmp_path / f"{hook}.py").write_text(text)
    app.sweep("demo", f"baseline: {baseline}\ngrids: [{{overrides: {{reg: none, x: [1, 2]}}}}]")
    out = app.run("hydra.sweeper.sweep=demo", DRY).out
    assert (f"baseline {baseline}" in out) == warned


def test_a_single_value_of_such_a_key_needs_only_the_rewritten_command_line(app):
    done = app.run("reg=drop,path", "reg.depth=choice(7)", DRY)
    assert lines(done.out) == ["reg=drop", "reg=path"]
    assert "Ignored: reg.depth for reg=drop (" in done.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["reg=none,drop", "reg.alhpa=1,2"], "reg.alhpa is not an option; did you mean reg.alpha?"),
        (["regg=none,drop"], "regg is not an option; did you mean reg?"),
        (["reg=none,dorp"], "reg=dorp is not a choice; did you mean drop?"),
        (["x=interval(0,1)"], "x=interval(0,1) is an interval and cannot be enumerated: use choice() or range()"),
        (["hydra.sweeper.sweep=nope"], "sweep=nope is not a sweep in sweeps; the choices are demo"),
        (["x=1,2", "hydra.launcher.slots=0"], "hydra.launcher.slots=0 must be a whole number from 1 to "),
        (["hydra.sweeper.describe=nowhere:f"], "hydra.sweeper.describe=nowhere:f cannot be imported"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_sentence(app, words, sentence):
    app.sweep("demo", "grids: []")
    done = app.run(*words)
    assert done.code == 1
    assert done.err.startswith(sentence)
    assert len(done.err.strip().splitlines()) <= 3  # Hydra 1.3 adds how to see a traceback
    assert "Traceback" not in done.err
    assert not (app.folder / "out").exists()


def test_one_bad_combination_refuses_the_whole_sweep_by_name(hooked):
    done = hooked.run("reg=none,drop", "x=1,13")
    assert done.code == 1
    assert done.err.startswith("reg=none x=13: x=13 brings bad luck; take 12; nothing was started")
    assert not (hooked.folder / "mine").exists()


def test_the_application_can_refuse_all_trials_at_the_end_of_the_plan(tmp_path):
    hook = f"check_{tmp_path.name}"
    app = App(tmp_path, BODY, sweeper={"check": f"{hook}:check"})
    (tmp_path / f"{hook}.py").write_text(
        "def check(texts, trials):\n    raise ValueError('x=2 is more than this machine has')\n"
    )
    done = app.run("x=1,2")
    assert done.code == 1
    assert done.err.startswith("x=2 is more than this machine has")
    assert "Traceback" not in done.err
    assert not (tmp_path / "out").exists()


def test_a_value_of_the_wrong_type_is_refused_by_name(tmp_path):
    app = App(tmp_path, BODY, CONFIG.replace("x: 1", "x: ${as_number:${seed}}"))
    done = app.run("seed=1,two")
    assert done.code == 1
    assert done.err.startswith("seed=1: ")
    assert "as_number" in done.err


def test_the_description_says_what_is_equal_where_it_goes_and_what_has_no_effect(hooked):
    done = hooked.run("x=1,11,2", DRY)
    assert lines(done.out) == ["x1  [x=1]", "x2  [x=2]"]
    assert "1 duplicate removed:" in done.out
    assert "  x=11  =  x=1" in done.out
    assert "rate has no effect without drop" in done.out


def test_ignored_keys_are_no_part_of_the_identity(app):
    assert len(lines(app.run("x=1,2", "seed=1,2", "hydra.sweeper.ignore=[x]", DRY).out)) == 2


def test_a_named_sweep_with_a_name_of_its_own_and_of_its_file(app):
    app.sweep("demo", "title: Is two better?\ngrids: [{overrides: {x: [1, 2]}}, {overrides: {reg: drop}}]\nrepeat: 2")
    done = app.run("hydra.sweeper.sweep=demo", "x=2,3", DRY)
    assert done.out.startswith("demo: Is two better?\n")
    first = ["x=2 seed=0", "x=2 seed=1", "x=3 seed=0", "x=3 seed=1"]
    second = ["reg=drop seed=0 x=2", "reg=drop seed=0 x=3", "reg=drop seed=1 x=2", "reg=drop seed=1 x=3"]
    assert lines(done.out) == first + second
    done = app.run("hydra.sweeper.sweep=demo", "hydra.sweeper.name_key=x", "seed=0", DRY)
    assert done.code == 0
    assert "x=demo" in done.out


def test_an_empty_name_lists_the_sweeps(app):
    app.sweep("demo", "title: Is two better?")
    assert app.run("hydra.sweeper.sweep=").out == "demo  Is two better?\n"


def test_time_is_estimated_once_a_trial_has_been_timed(app):
    assert "about" not in app.run("x=1,2,3", "seed=0,1", DRY).out
    app.run("x=1")
    (identity,) = app.results()
    result = app.folder / "out" / identity / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"seconds": 30.0}))
    done = app.run("x=1,2,3", "seed=0,1", DRY)
    assert "6 trials (3 groups × 2 seeds): 1 finished, 5 to run on 2 workers, about 90 s" in done.out
    assert "run       x=2 seed=0  about 30 s" in done.out


def test_what_was_started_counts_as_to_be_resumed(hooked):
    folder = hooked.folder / "mine" / "2-0"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").touch()
    assert "2 trials: 1 to resume, 1 to run on 2 workers" in hooked.run("x=1,2", DRY).out


def test_planning_composes_what_hydra_composes(tmp_path):
    """Values applied in memory make the configuration that the task then gets from Hydra."""
    body = "from omegaconf import OmegaConf\nreturn OmegaConf.to_container(cfg, resolve=True)"
    app = App(tmp_path, body, CONFIG.replace("x: 1", "x: 1\ntwice: ${x}\nlist: [1]\nmap: {a: 1}"))
    hook = f"seen_{tmp_path.name}"
    (tmp_path / f"{hook}.py").write_text(SEEN)
    words = ["reg=none,drop,path", "reg.rate=0.5", "x=a,'b c'", "+map.b=[1,{c:2}]", "list=[],[2,3]", "~seed"]
    assert app.run(*words, f"hydra.sweeper.describe={hook}:describe", DRY).code == 0
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    assert app.run(*words, "hydra/launcher=basic").code == 0
    values = app.values()
    assert len(values) == len(seen) == 12
    assert sorted(map(json.dumps, values)) == sorted(map(json.dumps, seen))


def test_what_the_sweep_asks_is_kept_beside_its_trials(app):
    app.sweep("demo", "title: T\nanswers: A\nbaseline: x=1\ngrids: [{overrides: {x: 1}}]")
    assert app.run("hydra.sweeper.sweep=demo", "x=1").code == 0
    kept = record.read(app.folder / "out" / "sweep.yaml")
    planned = kept.pop("planned")
    assert kept == {"sweep": "demo", "arguments": ["x=1"], "title": "T", "answers": "A", "baseline": "x=1"}
    assert list(planned.values()) == [1]


def test_estimates_come_from_the_group_or_from_the_work():
    estimate = Estimate()
    one, other = PlannedTrial("1", "", "", "a", work=1.0), PlannedTrial("2", "", "", "b", work=4.0)
    assert estimate.of(one) is None
    assert estimate.total([(one, 1.0)], 2) is None
    estimate.add(one, 10.0)
    estimate.add(one, None)
    estimate.add(one, 20.0)
    assert estimate.of(one) == 15.0
    assert estimate.of(other) == 60.0
    assert estimate.total([(one, 1.0), (one, 1.0), (other, 0.5)], 2) == 30.0
    assert estimate.total([], 2) == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.24, "0.2 s"), (59.6, "60 s"), (120, "2 min"), (5400, "1 h 30 min"), (7260, "2 h 01 min")]
)
def test_durations_read_as_people_say_them(seconds, words):
    assert duration(seconds) == words


def test_labels_have_what_tells_trials_apart():
    assert varying_keys([("a=1", "b=2"), ("a=2", "b=2", "c=3")]) == {"a", "c"}


def test_a_hook_that_cannot_be_imported_says_so():
    assert load_hook("json:dumps", "a.b") is json.dumps
    for path in ("json:nothing", "no_such_module:f", "json"):
        with pytest.raises(ValueError, match=f"a.b={path} cannot be imported"):
            load_hook(path, "a.b")


def test_an_applications_own_subdir_is_honoured_and_its_trials_always_run(tmp_path):
    config = CONFIG.replace("{dir: out}", "{dir: out, subdir: 'x_${x}'}")
    app = App(tmp_path, 'with open(folder / "ran", "a") as file:\n    file.write("x")', config)
    for _ in range(2):
        assert app.run("x=1,2").code == 0
    assert {path.parent.name: path.read_text() for path in tmp_path.glob("out/*/ran")} == {"x_1": "xx", "x_2": "xx"}
