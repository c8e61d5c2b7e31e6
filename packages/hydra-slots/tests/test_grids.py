"""From sweep files and the command line to combinations of overrides."""

import pytest

import hydra_slots
from hydra_slots.errors import SweepError
from hydra_slots.grids import Sweep, combinations, combine, read_sweep, zip_factors
from hydra_slots.overrides import Reader, in_grammar
from hydra_slots.sweep_file import listing


class Groups:
    """Stands in for Hydra's loader, of which the grammar asks only this."""

    def get_group_options(self, group, results_filter=None, config_name=None, overrides=None):
        return ["adam", "adamw", "sgd"] if group == "optimizer" else []


@pytest.fixture
def reader():
    return Reader(Groups())


@pytest.fixture
def write(tmp_path):
    def write(text, name="demo"):
        (tmp_path / f"{name}.yaml").write_text(text)
        return str(tmp_path)

    return write


def expand(reader, *lines, sweep=None, together=None):
    factors = zip_factors([reader.factor(line) for line in lines], together)
    return [" ".join(one.texts) for one in combinations(combine(sweep or Sweep(), factors))]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a=1,2", ["a=1", "a=2"]),
        ("a=choice(x,y)", ["a=x", "a=y"]),
        ("a=range(1,4)", ["a=1", "a=2", "a=3"]),
        ("a=range(0.1,0.4,0.1)", ["a=0.1", "a=0.2", "a=0.3"]),
        ("optimizer=glob(adam*)", ["optimizer=adam", "optimizer=adamw"]),
        ("a=[1,2],[3]", ["a=[1,2]", "a=[3]"]),
        ("a=sort(3,1,2)", ["a=1", "a=2", "a=3"]),
        ("+a=1,2", ["+a=1", "+a=2"]),
        ("++a.b=1", ["++a.b=1"]),
        ("~a", ["~a"]),
        ("a='x y',z", ["a='x y'", "a=z"]),
        ("a=null,true,0.10", ["a=null", "a=True", "a=0.1"]),
    ],
)
def test_hydra_grammar(reader, line, values):
    assert [row[0] for row in reader.factor(line).rows] == values


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a=interval(0,1)", "is an interval"),
        ("a={b", "a={b cannot be parsed: check"),
        ("a=b,", "a=b, cannot be parsed: check"),
        ("optimizer=glob(x*)", "has no values"),
    ],
)
def test_what_has_no_list_of_values_is_refused_in_one_sentence(reader, line, reason):
    with pytest.raises(SweepError, match=reason) as error:
        reader.factor(line)
    assert "\n" not in str(error.value)


def test_the_command_line_alone_is_a_product(reader):
    assert expand(reader, "a=1,2", "b=3,4") == ["a=1 b=3", "a=1 b=4", "a=2 b=3", "a=2 b=4"]
    assert expand(reader, "a=1,1,2") == ["a=1", "a=2"]
    assert expand(reader) == [""]


@pytest.mark.parametrize(
    ("lines", "together", "found"),
    [
        (["a=1,1,2", "b=3,4,3"], "a+b", ["a=1 b=3", "a=1 b=4", "a=2 b=3"]),
        (["a=1,2", "c=5,6", "b=range(3,5)"], "b+a", ["c=5 b=3 a=1", "c=5 b=4 a=2", "c=6 b=3 a=1", "c=6 b=4 a=2"]),
        (
            ["a=1,2", "b=3,4", "c=5,6", "d=7,8"],
            ["a+b", "c+d"],
            [f"{x} {y}" for x in ("a=1 b=3", "a=2 b=4") for y in ("c=5 d=7", "c=6 d=8")],
        ),
        (["+n.a=1,2", "optimizer=adam,sgd"], "n.a+optimizer", ["+n.a=1 optimizer=adam", "+n.a=2 optimizer=sgd"]),
        (["a=1", "b=2"], "a+b", ["a=1 b=2"]),
    ],
)
def test_lists_named_together_are_zipped(reader, lines, together, found):
    assert expand(reader, *lines, together=together) == found


@pytest.mark.parametrize(
    ("together", "reason"),
    [
        ("lr+batch", "together=lr.batch needs lists of equal length, but lr has 3, batch has 2$"),
        ("lr+one", "together=lr.one .* lr has 3, one has 1$"),
        ("lr+bacth", "together=lr.bacth: bacth has no values .*; did you mean batch"),
        ("batch+batch", "together=batch.batch: batch is named twice"),
        (["batch+two", "one+two"], "together=one.two: two is named twice"),
    ],
)
def test_lists_that_cannot_be_zipped_are_refused_in_one_sentence(reader, together, reason):
    with pytest.raises(SweepError, match=reason):
        expand(reader, "lr=1,2,3", "batch=4,5", "two=6,7", "one=8", together=together)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("rdrop", "rdrop"),
        ("a/b-c.d", "a/b-c.d"),
        ("1", "'1'"),
        ("true", "'true'"),
        ("it's", r"'it\'s'"),
        ("a,b", "'a,b'"),
        ("", "''"),
        (None, "null"),
        (True, "true"),
        (1e-05, "1e-05"),
        ([0.1, "x y"], "[0.1,'x y']"),
        ({"a": [1]}, "{a:[1]}"),
    ],
)
def test_values_of_files_keep_their_type(reader, value, text):
    assert in_grammar(value) == text
    parsed = reader.parse(f"a={text}").value()
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_union_of_grids_with_common_overrides_pairs_and_seeds(reader, write):
    folder = write(
        """
        title: A demo
        answers: Which one?
        baseline: reg=none
        overrides: {epochs: 5, reg: shadowed}
        repeat: 2
        grids:
          - overrides: {reg: none}
          - overrides: {reg: "drop,path", rate: [0.1, 0.2]}
            together:
              - {passes: [2, 4], batch: [128, 64]}
            repeat: {seed: [7]}
        """
    )
    sweep = read_sweep(reader, folder, "demo")
    assert sweep.texts == {"title": "A demo", "answers": "Which one?", "baseline": "reg=none"}
    found = expand(reader, sweep=sweep)
    assert found[:2] == ["reg=none epochs=5 seed=0", "reg=none epochs=5 seed=1"]
    assert found[2] == "reg=drop rate=0.1 passes=2 batch=128 seed=7 epochs=5"
    assert found[3] == "reg=drop rate=0.1 passes=4 batch=64 seed=7 epochs=5"
    assert len(found) == 2 + 2 * 2 * 2


def test_equal_combinations_of_two_grids_are_one(reader, write):
    folder = write("grids: [{overrides: {a: '1,2'}}, {overrides: {a: '2,3'}}]")
    assert expand(reader, sweep=read_sweep(reader, folder, "demo")) == ["a=1", "a=2", "a=3"]


UNION = """
grids:
  - overrides: {reg: none}
  - overrides: {reg: "drop,path", alpha: [0.1, 0.5]}
  - overrides: {reg: pair}
    together: [{alpha: [1.0, 2.0], passes: [2, 4]}]
"""


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["seed=0,1", "reg=none"], ["reg=none seed=0", "reg=none seed=1"]),
        (["reg=drop"], ["reg=drop alpha=0.1", "reg=drop alpha=0.5"]),
        (["reg=none,pair"], ["reg=none", "reg=pair alpha=1.0 passes=2", "reg=pair alpha=2.0 passes=4"]),
        (["reg=path,pair", "alpha=0.5,2.0"], ["reg=path alpha=0.5", "reg=pair alpha=2.0 passes=4"]),
        (["reg=drop", "alpha=0.3"], ["reg=drop alpha=0.3"]),
        (["reg=other", "alpha=1.0"], ["reg=other alpha=1.0", "reg=other alpha=1.0 passes=2"]),
    ],
)
def test_the_command_line_multiplies_narrows_or_replaces(reader, write, words, found):
    sweep = read_sweep(reader, write(UNION), "demo")
    if "alpha=0.3" in words:
        sweep.grids.pop()
    assert expand(reader, *words, sweep=sweep) == found


@pytest.mark.parametrize(
    ("together", "words", "found"),
    [
        ("alpha+seed", ["alpha=0.1,0.5", "seed=7,8"], ["reg=none alpha=0.1 seed=7", "reg=none alpha=0.5 seed=8"]),
        ("reg+alpha", ["reg=drop,path,pair", "alpha=0.5,0.1,2.0"], []),
        ("reg+lr", ["reg=drop,pair", "lr=1,2"], ["reg=drop lr=1 alpha=0.1", "reg=drop lr=1 alpha=0.5"]),
        ("lr+seed", ["reg=none", "lr=1,2", "seed=3,4"], ["reg=none lr=1 seed=3", "reg=none lr=2 seed=4"]),
    ],
)
def test_zipped_lists_multiply_or_narrow_the_grids_of_a_sweep(reader, write, together, words, found):
    sweep = read_sweep(reader, write(UNION), "demo")
    rest = {
        "alpha+seed": [f"reg={r} alpha={a} seed={s}" for r in ("drop", "path") for a, s in ((0.1, 7), (0.5, 8))],
        "reg+alpha": ["reg=drop alpha=0.5", "reg=path alpha=0.1", "reg=pair alpha=2.0 passes=4"],
        "reg+lr": ["reg=pair lr=2 alpha=1.0 passes=2", "reg=pair lr=2 alpha=2.0 passes=4"],
        "lr+seed": [],
    }[together]
    assert expand(reader, *words, sweep=sweep, together=together) == found + rest


def test_zipped_values_that_no_grid_has_replace_those_of_all(reader, write):
    sweep = read_sweep(reader, write("grids: [{overrides: {a: [1, 2], b: [3, 4], c: 0}}]"), "demo")
    assert expand(reader, "a=1,9", "b=3,4", sweep=sweep, together="a+b") == ["a=1 b=3 c=0", "a=9 b=4 c=0"]
    sweep = read_sweep(reader, write("grids: [{together: [{a: [1, 2], b: [3, 4]}]}]"), "demo")
    assert expand(reader, "a=2", "b=4", sweep=sweep, together="a+b") == ["a=2 b=4"]
    with pytest.raises(SweepError, match=r"a=9 c=8 is not one of the values that the sweep pairs with b"):
        expand(reader, "a=1,9", "c=7,8", sweep=sweep, together="a+c")


def test_a_value_beside_its_pair_is_refused(reader, write):
    with pytest.raises(SweepError, match=r"alpha=0.3 is not one of the values that the sweep pairs with passes"):
        expand(reader, "alpha=0.3", sweep=read_sweep(reader, write(UNION), "demo"))


def test_values_that_exist_but_never_together_are_refused(reader, write):
    with pytest.raises(SweepError, match=r"no grid of sweep=demo combines reg=drop, alpha=1.0"):
        expand(reader, "reg=drop", "alpha=1.0", sweep=read_sweep(reader, write(UNION), "demo"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("titel: x", "titel is not a key of .*demo.yaml; did you mean title"),
        ("grids: [{overides: {a: 1}}]", "overides is not a key of a grid of .*; did you mean overrides"),
        ("grids: {a: 1}", "must be a list of mappings"),
        ("grids: [{overrides: [a]}]", "overrides: .* must be a mapping"),
        ("grids: [{together: [{a: [1, 2], b: [1]}]}]", "a has 2, b has 1"),
        ("grids: [{overrides: {a: 1}, together: [{a: [1, 2], b: [1, 2]}]}]", "sets a twice"),
        ("grids: [{overrides: {a: []}}]", "a=.. has no values"),
        ("- a", "must hold a mapping"),
        ("a: [", "cannot be read"),
        ("seeds: 1", "seeds: 1 in .*demo.yaml must be a whole number from 2"),
        ("seeds: true", "seeds: True in .* must be a whole number"),
        ("seeds: 2.5", "seeds: 2.5 in .* must be a whole number"),
        ("smallest: 0", "smallest: 0 in .* must be a number above 0"),
        ("smallest: .nan", "smallest: nan in .* must be a number"),
        ("spread: wide", "spread: wide in .* must be a number above 0"),
        ("expects: {better: a}", "expects: .* in .* must be a list of mappings"),
        ("expects: [a is better]", "expects: .*a is better.* must be a list of mappings"),
        ("scales: [cpu]", "scales: .*cpu.* must be a mapping"),
        ("scales: {cpu: {seed: 3}}", "seed is not a key of scale cpu of .*; did you mean seeds"),
        ("scales: {cpu: {}, gpu: {seeds: a}}", "seeds: a in scale gpu of .* must be a whole number"),
        ("scales: {cpu: {scales: {}}}", "scales is not a key of scale cpu"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_sentence(reader, write, text, reason):
    with pytest.raises(SweepError, match=reason) as error:
        read_sweep(reader, write(text), "demo")
    assert "\n" not in str(error.value)


def test_an_unknown_sweep_names_the_nearest_and_the_listing_all(reader, write):
    folder = write("title: What alpha gains", "alpha")
    write("{}", "cutoff")
    with pytest.raises(SweepError, match=r"sweep=alpa is not a sweep in .*; did you mean alpha"):
        read_sweep(reader, folder, "alpa")
    assert listing(folder) == "alpha   What alpha gains\ncutoff"


def test_sweeps_of_a_sub_folder_are_listed_and_read_but_not_those_of_wandb(reader, write, tmp_path):
    for folder in ("claims", "wandb"):
        (tmp_path / folder).mkdir()
        write("title: How strong?\ngrids: [{overrides: {a: 1}}]", f"{folder}/alpha")
    folder = write("{}", "demo")
    assert listing(folder) == "claims/alpha  How strong?\ndemo"
    assert expand(reader, sweep=read_sweep(reader, folder, "claims/alpha")) == ["a=1"]
    for name, nearest in (("alpha", "claims/alpha"), ("claims/alfa", "claims/alpha"), ("wandb/alpha", "claims/alpha")):
        with pytest.raises(SweepError, match=f"sweep={name} is not a sweep in .*; did you mean {nearest}"):
            read_sweep(reader, folder, name)


QUESTION = """
title: T
seeds: 3
smallest: 0.5
spread: 1
expects:
  - {claim: a pays, better: drop, than: none, on: test/accuracy}
grids:
  - overrides: {reg: none}
  - overrides: {reg: drop}
    repeat: 2
"""


def test_what_a_sweep_states_beforehand_is_kept_and_its_seeds_are_those_of_grids_without_any(reader, write):
    sweep = read_sweep(reader, write(QUESTION), "demo")
    line = {"claim": "a pays", "better": "drop", "than": "none", "on": "test/accuracy"}
    assert sweep.texts == {"title": "T", "seeds": 3, "smallest": 0.5, "spread": 1, "expects": [line]}
    none, drop = [f"reg=none seed={seed}" for seed in range(3)], [f"reg=drop seed={seed}" for seed in range(2)]
    assert expand(reader, sweep=sweep) == none + drop
    assert expand(reader, "seed=1", sweep=sweep) == ["reg=none seed=1", "reg=drop seed=1"]


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("seeds: 4\nrepeat: 2", [0, 1]),
        ("seeds: 2\ngrids: [{overrides: {seed: [7, 8]}}]", [7, 8]),
        ("seeds: 2\noverrides: {seed: 9}", [9]),
        ("seeds: null\nrepeat: 1", [0]),
    ],
)
def test_seeds_given_otherwise_are_those(reader, write, text, seeds):
    sweep = read_sweep(reader, write(text), "demo")
    assert expand(reader, sweep=sweep) == [f"seed={seed}" for seed in seeds]


SCALES = """
title: T
seeds: 2
overrides: {a: 1, b: 2}
grids: [{overrides: {c: 3}}]
scales:
  cpu:
  gpu: {title: Large, seeds: 3, overrides: {b: 5, d: 6}}
  none: {seeds: null, grids: [{overrides: {c: [4, 5]}}]}
"""


@pytest.mark.parametrize(
    ("scale", "texts", "expanded"),
    [
        (None, {"title": "T", "seeds": 2, "scale": "cpu"}, [f"c=3 a=1 b=2 seed={seed}" for seed in range(2)]),
        ("cpu", {"title": "T", "seeds": 2, "scale": "cpu"}, [f"c=3 a=1 b=2 seed={seed}" for seed in range(2)]),
        ("gpu", {"title": "Large", "seeds": 3, "scale": "gpu"}, [f"c=3 a=1 b=5 d=6 seed={seed}" for seed in range(3)]),
        ("none", {"title": "T", "scale": "none"}, ["c=4 a=1 b=2", "c=5 a=1 b=2"]),
    ],
)
def test_a_scale_replaces_keys_and_merges_overrides(reader, write, scale, texts, expanded):
    sweep = read_sweep(reader, write(SCALES), "demo", scale)
    assert sweep.texts == texts
    assert expand(reader, sweep=sweep) == expanded


def test_a_scale_that_the_file_does_not_have_names_the_nearest(reader, write):
    folder = write(SCALES)
    write("seeds: 2", "plain")
    with pytest.raises(SweepError, match=r"scale=gpuu is not a scale of sweep=demo; did you mean gpu\?"):
        read_sweep(reader, folder, "demo", "gpuu")
    with pytest.raises(SweepError, match=r"scale= is not a scale of sweep=demo; the choices are cpu, gpu, none"):
        read_sweep(reader, folder, "demo", "")
    with pytest.raises(SweepError, match=r"scale=gpu .*sweep=plain has no scales"):
        read_sweep(reader, folder, "plain", "gpu")


def test_a_scale_is_rewritten_only_beside_a_named_sweep():
    words = ["app", "-m", "scale=gpu", "sweep=claims/alpha"]
    assert hydra_slots.arguments(words) == ["app", "-m", "hydra.sweeper.scale=gpu", "hydra.sweeper.sweep=claims/alpha"]
    assert hydra_slots.arguments(["app", "-m", "scale=2,3"]) == ["app", "-m", "scale=2,3"]


@pytest.mark.parametrize(
    ("word", "rewritten"),
    [
        ("sweep=alpha", "hydra.sweeper.sweep=alpha"),
        ("together=reg+reg.alpha", "hydra.sweeper.together=reg+reg.alpha"),
        ("reg.alpha=0.5", "reg.alpha=choice(0.5)"),
        ("reg.alpha=1,2", "reg.alpha=choice(1,2)"),
        ("reg.alpha=range(1,3)", "reg.alpha=range(1,3)"),
        ("reg.name='a b'", "reg.name=choice('a b')"),
        ("hydra.launcher.slots=2", "hydra.launcher.slots=2"),
        ("+reg.new=1", "+reg.new=1"),
        ("reg=drop", "reg=drop"),
        ("reg.alpha=", "reg.alpha="),
        ("--cfg", "--cfg"),
    ],
)
def test_arguments_leave_to_the_sweeper_what_only_it_can_do(word, rewritten):
    assert hydra_slots.arguments(["app", "-m", word]) == ["app", "-m", rewritten]
    assert hydra_slots.arguments(["app", word]) == ["app", word]
