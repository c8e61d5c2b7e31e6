"""What finished pairs show, in numbers and in words, and the sweep that follows from it."""

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

from rdrop_exp.probe import advice, cli, conditions
from rdrop_exp.probe.conditions import DROPOUT, STOCHASTIC_DEPTH, Condition
from rdrop_exp.probe.findings import judge, read_findings, report
from rdrop_exp.probe.setting import composed, hydra_ready
from rdrop_exp.probe.verdict import Regime, Verdict
from tests.probe.helpers import write_results


def test_only_finished_pairs_count(tmp_path: Path) -> None:
    values = {
        (Condition.GIVEN, 0.0, 0): 0.8,
        (Condition.GIVEN, 0.1, 0): 0.9,
        (Condition.GIVEN, 0.0, 1): 0.8,
        (Condition.GIVEN, 0.1, 1): 0.0,
    }
    findings = read_findings(*write_results(tmp_path, values | {(Condition.GIVEN, 0.1, 2): 0.7}))
    assert findings.differences[Condition.GIVEN] == {0.1: {0: pytest.approx(0.1)}}
    assert findings.seeds == 1
    assert judge(findings).regime == Regime.INCONCLUSIVE


def test_the_report_says_what_the_intervals_show_and_no_more(tmp_path: Path) -> None:
    values: dict[tuple[Condition, float, int], float] = {}
    for seed in range(4):
        values |= {(Condition.GIVEN, 0.0, seed): 0.90, (Condition.GIVEN, 0.1, seed): 0.88 + 0.001 * seed}
        values |= {(Condition.LESS_DATA, 0.0, seed): 0.70, (Condition.LESS_DATA, 0.1, seed): 0.72 + 0.002 * seed}
        values |= {
            (Condition.SMALLER_MODEL, 0.0, seed): 0.85,
            (Condition.SMALLER_MODEL, 0.1, seed): 0.85 + 0.02 * (-1) ** seed,
        }
    findings = read_findings(*write_results(tmp_path, values))
    text = "\n".join(report(findings, judge(findings), DROPOUT, ["each is cut to 5 steps"]))
    for part in (
        "Verdict: underfitting.",
        "Note: each is cut to 5 steps.",
        "given setting, dropout 0.1: −1.85 points [",
        "30% of the data, dropout 0.1: +2.30 points",
        "smaller model, dropout 0.1: +0.00 points [−3.67, +3.67], 4 seeds: no significant difference",
        "99.9% on training",
        "90.0% on validation",
        "gap of +9.9 points",
        "30% of the data against the given setting: +4.15 points [+3.94, +4.36], 4 seeds: noise helps more",
        "smaller model against the given setting: +1.85 points",
    ):
        assert part in text
    assert text.endswith("no significant trend")


@pytest.mark.parametrize("regime", [Regime.OVERFITTING, Regime.UNDERFITTING, Regime.INCONCLUSIVE])
@pytest.mark.parametrize(
    ("noise", "branches"),
    [(DROPOUT, True), (DROPOUT, False), (STOCHASTIC_DEPTH, True)],  # without branches there is no stochastic depth
    ids=["dropout", "dropout without branches", "stochastic depth"],
)
def test_every_advised_sweep_is_valid(
    tmp_path: Path, regime: Regime, branches: bool, noise: conditions.StandardNoise
) -> None:
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from hydra_slots.grids import combinations, read_sweep
    from hydra_slots.overrides import Reader

    verdict = Verdict(
        regime, "it is so", None if regime == Regime.INCONCLUSIVE else 0.1, 4 if regime == Regime.INCONCLUSIVE else None
    )
    overrides = {"model": "vit_micro_8", "++model.args.depth": "2", "schedule.epochs": "7", "logger": "local"}
    sites = {"branches": branches, "dropouts": noise is DROPOUT}
    content = advice.sweep(verdict, noise, overrides, 3, **sites)
    cli.write_sweep(tmp_path / "next.yaml", content, "a comment: with a colon")
    with hydra_ready():
        loader = GlobalHydra.instance().config_loader()
        assert isinstance(loader, ConfigLoaderImpl)
        grids = read_sweep(Reader(loader), str(tmp_path), "next").grids
        assert len(combinations(grids)) == advice.count_trials(content)
        kinds = set()
        for texts in (combinations([grid])[-1].texts for grid in grids):
            o = composed(dict(text.split("=", 1) for text in texts))
            assert o.schedule.epochs == 7
            assert o.model.args["depth"] == 2
            kinds.add(o.regularizer.when if o.regularizer.alpha == 0 else "rdrop")
    assert (
        kinds
        == {
            Regime.OVERFITTING: {"always", "late", "rdrop"},
            Regime.UNDERFITTING: {"always", "early"},
            Regime.INCONCLUSIVE: {"always"},
        }[regime]
    )
    assert advice.recommendation(verdict, branches)
