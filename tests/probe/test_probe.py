"""The probe: every verdict on constructed results, its arithmetic, the sweeps it writes, and a whole run."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.schema import OptionError
from rdrop_exp.probe import advice, cli, conditions, setting
from rdrop_exp.probe.budget import Cost, Layout, Plan, for_minutes, for_trials, layout
from rdrop_exp.probe.conditions import DROPOUT, STOCHASTIC_DEPTH, Run
from rdrop_exp.probe.findings import judge, read, report
from rdrop_exp.probe.setting import composed, examine, hydra_ready, parse
from rdrop_exp.probe.verdict import OPEN, OVER, UNDER, Effect, Verdict, effects, trend
from rdrop_exp.probe.verdict import judge as judge_effects
from rdrop_exp.report.statistics import t_interval
from rdrop_exp.train import trial

HELPS, HURTS = [0.02, 0.025, 0.03], [-0.02, -0.025, -0.03]
UNCLEAR, SAME = [0.02, -0.01, 0.03], [0.01, 0.01, 0.01]


# -- the rule ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("differences", "regime", "why"),
    [
        ({0.1: HELPS}, OVER, "standard noise at 0.1 helps: +2.50 points [+1.26, +3.74], 3 seeds"),
        ({0.1: HURTS}, UNDER, "the gentlest rate 0.1 too: −2.50 points [−3.74, −1.26], 3 seeds"),
        ({0.1: UNCLEAR}, OPEN, "the interval spans zero: +1.33 points [−3.84, +6.50], 3 seeds"),
        ({0.1: SAME}, OPEN, "all seeds gave the same difference"),
        ({0.1: [-0.05]}, OPEN, "one pair of trials says nothing of another seed"),
        ({0.1: []}, OPEN, "no trial with noise and its partner without have both finished"),
        ({}, OPEN, "no trial with noise"),
        ({0.1: UNCLEAR, 0.3: HURTS * 3}, OPEN, "0.3 hurts, but 0.1 cannot be told from no noise"),
        ({0.1: HELPS * 3, 0.3: HURTS * 3}, OVER, "at 0.1 helps"),
        ({0.1: UNCLEAR, 0.3: HELPS * 3}, OVER, "at 0.3 helps"),
        ({0.1: HURTS * 3, 0.3: HELPS * 3}, OPEN, "the rates disagree: 0.1 hurts and 0.3 helps"),
        ({0.1: HURTS * 3, 0.3: UNCLEAR}, UNDER, "gentlest rate 0.1"),
        ({0.1: [0.02, 0.021, 0.022], 0.3: [0.04, 0.041, 0.042]}, OVER, "at 0.3 helps"),
    ],
    ids=str,
)
def test_verdicts(differences: dict[float, list[float]], regime: str, why: str) -> None:
    found = judge_effects(effects(differences))
    assert found.regime == regime
    assert why in found.why
    assert (found.rate is None) == (regime == OPEN)


def test_no_verdict_where_the_interval_touches_zero() -> None:
    low, _ = t_interval(UNCLEAR) or (0.0, 0.0)
    shifted = [value - low for value in UNCLEAR]
    for nudge, regime in ((-1e-6, OPEN), (1e-6, OVER)):
        assert judge_effects(effects({0.1: [value + nudge for value in shifted]})).regime == regime


def test_two_rates_need_wider_intervals() -> None:
    alone, together = effects({0.1: HELPS})[0], effects({0.1: HELPS, 0.3: HELPS})[0]
    assert (alone.level, together.level) == (0.05, 0.025)
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval[0] < alone.interval[0]


def test_more_seeds_are_a_number_only_where_one_can_be_given() -> None:
    assert judge_effects(effects({0.1: UNCLEAR})).more_seeds == Effect(0.1, tuple(UNCLEAR)).more_seeds == 9
    assert judge_effects(effects({0.1: [0.01, -0.01]})).more_seeds is None  # a mean of zero is never settled
    assert judge_effects(effects({0.1: HELPS})).more_seeds is None
    assert judge_effects(effects({0.1: [0.01]})).more_seeds is None  # one seed has no spread to go by


def test_a_trend_is_of_the_seeds_that_both_have() -> None:
    assert trend({0: 0.01, 1: 0.02, 5: 0.9}, {0: 0.03, 1: 0.06, 2: 0.5}) == (
        pytest.approx(0.03), (pytest.approx(-0.097, abs=1e-3), pytest.approx(0.157, abs=1e-3)), 2,
    )  # fmt: skip
    assert trend({0: 0.1}, {1: 0.2}) is None


# -- what is run -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (4, Layout(2)),
        (5, Layout(2)),
        (12, Layout(6)),
        (16, Layout(5, 0, 3)),
        (21, Layout(5, 5, 3)),
        (27, Layout(5, 5, 3, 3)),
        (33, Layout(7, 7, 3, 3)),
        (1000, Layout(16, 16, 3, 3)),
    ],
)
def test_layouts_stay_within_their_trials(trials: int, expected: Layout) -> None:
    assert layout(trials) == expected
    assert expected.trials <= trials


def test_layouts_without_what_is_impossible() -> None:
    assert layout(30, less_data=False, smaller=False, strong=False) == Layout(15)
    assert layout(20, less_data=False) == Layout(6, 6)
    with pytest.raises(OptionError, match="--trials=3 is too few"):
        layout(3)


COST = Cost(images_per_second=100, startup=10, steps=1000, batch_size=10, evaluated=3000, slots=2)


def test_costs() -> None:
    assert COST.seconds() == 110
    assert COST.wall(6) == 10 + 3 * 110
    assert COST.wall(7, 0.5) == 10 + 4 * 55
    assert for_trials(5, COST) == Plan(
        Layout(2), seconds=230, notes=["1 of the 5 trials would add nothing and are left out"]
    )


def test_minutes_are_kept_and_trials_shortened_only_where_they_must_be() -> None:
    for minutes in (6, 10, 30, 100):
        plan = for_minutes(minutes, COST)
        assert plan.share == 1
        assert plan.seconds is not None
        assert plan.seconds <= 60 * minutes
    assert for_minutes(6, COST).layout == Layout(3)
    short = for_minutes(2, COST)
    assert short.share == pytest.approx(1 / 3)
    assert short.seconds == pytest.approx(120)
    assert "cut to 333 steps" in short.notes[0]
    with pytest.raises(OptionError, match=r"--minutes=0.2 is too little: 6 trials of 20 steps take about 1 minutes"):
        for_minutes(0.2, COST)


def test_runs_are_pairs_of_the_same_seed() -> None:
    o = from_dict({"model": {"args": {"embed_dim": 96, "num_heads": 3}}, "schedule": {"epochs": 4}})
    found = conditions.runs(o, Plan(Layout(3, 2, 1, 1)), DROPOUT, 10, 1280)
    assert len(found) == 6 + 2 + 2 + 2
    assert [(run.arm, run.rate) for run in found[:7]] == [
        ("own", 0), ("own", 0.1), ("own", 0.3), ("less", 0), ("less", 0.1), ("smaller", 0), ("smaller", 0.1),
    ]  # fmt: skip
    assert {(run.arm, run.seed) for run in found if run.rate} == {(run.arm, run.seed) for run in found if not run.rate}
    assert found[1].overrides == {"regularizer": "dropout", "regularizer.dropout": 0.1, "seed": 0}
    assert found[0].overrides == {"regularizer": "none", "seed": 0}
    less = {"dataset.fraction": 0.3, "schedule.steps": 40, "validate_every": 3}
    assert less.items() <= found[3].overrides.items()
    assert found[5].overrides["++model.args.embed_dim"] == 48


def test_shortened_trials_keep_their_shape() -> None:
    o = from_dict({"schedule": {"epochs": 10, "warmup_epochs": 2}})
    assert conditions.shortened(o, Plan(Layout(3)), 10) == {}
    assert conditions.shortened(o, Plan(Layout(3), 0.25), 10) == {"schedule.steps": 25, "schedule.warmup_steps": 5}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "vit_base_patch16_224"}, {"model": "timm", "model.name": "vit_small_patch16_224"}),
        ({"name": "vit_tiny_patch16_224"}, None),
        ({"name": "resnet50"}, {"model": "timm", "model.name": "resnet34"}),
        ({"name": "convnext_femto"}, {"model": "timm", "model.name": "convnext_atto"}),
        ({"name": "mixer_b16_224"}, {"model": "timm", "model.name": "mixer_s16_224"}),
        ({"name": "vit_base_patch16_224", "pretrained": True}, None),
        ({"name": "resnet18", "args": {"channels": [8, 9]}}, {"++model.args.channels": [4, 4]}),
        ({"name": "vit_tiny_patch16_224", "args": {"embed_dim": 6, "num_heads": 2}}, None),
        ({"name": "resnet50", "args": {"stem_width": 16}}, None),
    ],
    ids=str,
)
def test_smaller_models(model: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert conditions.smaller(from_dict({"model": model}).model) == expected


# -- what is said ------------------------------------------------------------------------------------------------------
def planned(tmp_path: Path, values: dict[tuple[str, float, int], float]) -> tuple[list[Run], list[Path]]:
    """Runs and the folders of those that have a value."""
    runs, folders = [], []
    for (arm, rate, seed), value in values.items():
        folder = tmp_path / f"{arm}-{rate}-{seed}"
        folder.mkdir()
        if value:
            metrics = {"val/accuracy": value, "train/accuracy": 0.999}
            (folder / "result.json").write_text(json.dumps({"status": "finished", "metrics": metrics}))
        runs.append(Run(arm, rate, seed, {}))
        folders.append(folder)
    return runs, folders


def test_only_finished_pairs_count(tmp_path: Path) -> None:
    values = {("own", 0.0, 0): 0.8, ("own", 0.1, 0): 0.9, ("own", 0.0, 1): 0.8, ("own", 0.1, 1): 0.0}
    found = read(*planned(tmp_path, values | {("own", 0.1, 2): 0.7}))
    assert found.differences["own"] == {0.1: {0: pytest.approx(0.1)}}
    assert found.seeds == 1
    assert judge(found).regime == OPEN


def test_the_report_says_what_the_intervals_show_and_no_more(tmp_path: Path) -> None:
    values: dict[tuple[str, float, int], float] = {}
    for seed in range(4):
        values |= {("own", 0.0, seed): 0.90, ("own", 0.1, seed): 0.88 + 0.001 * seed}
        values |= {("less", 0.0, seed): 0.70, ("less", 0.1, seed): 0.72 + 0.002 * seed}
        values |= {("smaller", 0.0, seed): 0.85, ("smaller", 0.1, seed): 0.85 + 0.02 * (-1) ** seed}
    found = read(*planned(tmp_path, values))
    text = "\n".join(report(found, judge(found), DROPOUT, ["each is cut to 5 steps"]))
    assert text.startswith("Verdict: under-fitting. Standard noise hurts, at the gentlest rate 0.1 too: −1.85 points [")
    assert "But: each is cut to 5 steps." in text
    assert "own setting, dropout 0.1: −1.85 points" in text
    assert "30% of the data, dropout 0.1: +2.30 points" in text
    assert "a smaller model, dropout 0.1: +0.00 points [−3.67, +3.67], 4 seeds: cannot be told from no noise" in text
    assert "99.9% on training batches as logged, 90.0% on validation, a gap of +9.9 points" in text
    assert (
        "trend, 30% of the data against the own setting: +4.15 points [+3.94, +4.36], 4 seeds: noise helps more" in text
    )
    assert "trend, a smaller model against the own setting: +1.85 points" in text
    assert text.endswith("no trend can be told")


@pytest.mark.parametrize("regime", [OVER, UNDER, OPEN])
@pytest.mark.parametrize("branches", [True, False])
@pytest.mark.parametrize("noise", [DROPOUT, STOCHASTIC_DEPTH], ids=lambda n: n.regularizer)
def test_every_advised_sweep_is_valid(
    tmp_path: Path, regime: str, branches: bool, noise: conditions.StandardNoise, capsys: pytest.CaptureFixture[str]
) -> None:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from rdrop_exp.launch.grids import combinations, read_sweep
    from rdrop_exp.launch.overrides import Reader

    if noise is STOCHASTIC_DEPTH and not branches:
        pytest.skip("stochastic depth is chosen only where it has a place")
    verdict = Verdict(regime, "it is so", None if regime == OPEN else 0.1, 4 if regime == OPEN else None)
    own = {"model": "vit_micro_8", "++model.args.depth": "2", "schedule.epochs": "7", "logger": "local"}
    places = {"branches": branches, "dropouts": noise is DROPOUT}
    content = advice.sweep(verdict, noise, own, 3, **places)
    cli.write_sweep(tmp_path / "next.yaml", content, "a comment: with a colon")
    with hydra_ready():
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        grids = read_sweep(Reader(loader), str(tmp_path), "next").grids
        assert len(combinations(grids)) == advice.count(content)
        kinds = set()
        for texts in (combinations([grid])[-1] for grid in grids):
            o = composed(dict(text.split("=", 1) for text in texts))
            assert o.schedule.epochs == 7
            assert o.model.args["depth"] == 2
            kinds.add(o.regularizer.when if o.regularizer.alpha == 0 else "rdrop")
    assert kinds == {OVER: {"always", "late", "rdrop"}, UNDER: {"always", "early"}, OPEN: {"always"}}[regime]
    assert advice.sentences(verdict, branches)


# -- the command -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("regularizer=rdrop", "regularizer is what the probe chooses"),
        ("regularizer.dropout=0.3", "regularizer.dropout is what the probe chooses"),
        ("seed=3", "seed is what the probe chooses"),
        ("dataset=digits,cifar10", "dataset=digits,cifar10 has several values"),
        ("model", "model is not an option: write key=value"),
        ("schedule.epochs=[1", "schedule.epochs=[1 is not Hydra's grammar"),
        ("modle=resnet18", "modle is not an option; did you mean model?"),
        ("schedule.epochs=0", "schedule.epochs=0 is out of range"),
        ("model=nothing", "model=nothing is not a choice"),
        ("--trials 3", "--trials=3 is too few"),
        ("--minutes 0", "--minutes=0 must be above 0"),
        ("--rates 0.1,2", "--rates=0.1,2 must be one or two rates"),
        ("--rates often", "--rates=often must be numbers"),
    ],
)
def test_user_errors_are_one_sentence(
    words: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words.split()) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"rdrop-probe: {message}")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_overrides_are_read_as_rdrop_exp_reads_them() -> None:
    own, launcher = parse(
        ["model.name=resnet18", "model.args.stem_width=16", "hydra.launcher.slots=1", "dataset=digits"]
    )
    assert own == {
        "model": "timm", "model.name": "resnet18", "++model.args.stem_width": "16", "dataset": "digits",
    }  # fmt: skip
    assert launcher == ["hydra.launcher.slots=1"]
    assert [slot.threads for slot in setting.slots_of([*launcher, "hydra.launcher.threads=2"])] == [2]


@pytest.mark.parametrize(
    ("model", "noise"), [("resnet_micro_8", STOCHASTIC_DEPTH), ("vit_micro_8", DROPOUT)], ids=["resnet", "vit"]
)
def test_a_setting_knows_its_noise_and_sizes(model: str, noise: conditions.StandardNoise) -> None:
    with hydra_ready():
        found = examine({"model": model}, [])
    assert found.noise == noise
    assert found.branches
    assert found.per_epoch == 10
    assert found.sizes["train"] == 1294


def test_rates_of_an_experiment_do_not_join_the_probes_own() -> None:
    own = {"experiment": "early_stochastic_depth_vit_tiny", "model": "vit_micro_8", "dataset": "digits"}
    with hydra_ready():
        assert composed(own | DROPOUT.overrides(0.1)).regularizer.drop_path > 0
        found = setting.without_rates(own)
        assert found == own | {"regularizer.drop_path": 0}
        r = composed(found | DROPOUT.overrides(0.1)).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0.1, 0, "always", 0)
        r = composed(found | STOCHASTIC_DEPTH.overrides(0.2)).regularizer
        assert (r.dropout, r.drop_path, r.when, r.alpha) == (0, 0.2, "always", 0)


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Trials run in this process instead of a sweep of their own; the list is of the times they were given."""
    times: list[float | None] = []

    def launch(own: setting.Setting, runs: list[Run], name: str, title: str, seconds: float | None) -> None:
        times.append(seconds)
        with hydra_ready():
            for run in runs:
                trial.run(composed(own.overrides | run.overrides | {"name": name}))

    monkeypatch.setattr(cli, "launch", launch)
    monkeypatch.setattr(setting, "time_a_few_steps", lambda own: COST)
    monkeypatch.chdir(tmp_path)
    return times


SMALLEST = ["schedule.epochs=1", "logger=local", "logger.progress=false", "dataset.limit=2", "dataset.fraction=0.5"]


def test_a_whole_probe(inside: list[float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["model=vit_micro_8", *SMALLEST, "--trials", "4", "--name", "mine"]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 trials, about 4 min if none is done yet: 2 seeds without and with dropout 0.1\n")
    assert "Verdict: " in said
    assert "own setting, dropout 0.1: " in said
    assert "rdrop-exp -m sweep=mine_next hydra.sweeper.folder=sweeps" in said
    assert inside == [None]
    written = tmp_path / "sweeps" / "mine_next.yaml"
    content = yaml.safe_load(written.read_text())
    assert content["name"] == "mine"
    assert content["overrides"]["model"] == "vit_micro_8"
    assert len([folder for folder in (tmp_path / "outputs" / "mine").iterdir() if folder.is_dir()]) == 4
    assert cli.main(words) == 0  # again: nothing is run twice, and the sweep is its own to overwrite
    assert "already finished" in capsys.readouterr().out
    written.write_text("title: mine")
    assert cli.main(words) == 2
    assert "not of the probe's making" in capsys.readouterr().err


def test_a_dry_run_runs_nothing(inside: list[float | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALLEST, "--minutes", "2", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("6 trials, about 2 min if none is done yet: 3 seeds without and with stochastic_depth 0.1\n")
    assert "cut to 333 steps" in said
    assert inside == []
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_probe_as_a_user_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["model=vit_micro_8", *SMALLEST, "hydra.launcher.slots=1", "--trials", "4"]) == 0
    said = capfd.readouterr().out
    assert "4 trials in 2 groups, 0 finished" in said
    assert "Verdict: " in said
    assert "about 1 min" in said
