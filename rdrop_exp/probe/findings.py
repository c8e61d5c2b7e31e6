"""What the probe's finished pairs say, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rdrop_exp.probe import verdict
from rdrop_exp.probe.conditions import LESS, Run, StandardNoise
from rdrop_exp.probe.verdict import Effect, Verdict
from rdrop_exp.report.statistics import mean_sd
from rdrop_exp.runs.folder import read_result

PLACES = {"own": "own setting", "less": f"{LESS:.0%} of the data", "smaller": "a smaller model"}


@dataclass(slots=True)
class Findings:
    differences: dict[str, dict[float, dict[int, float]]]
    """Arm → rate → seed → validation accuracy with noise minus without, where both trials have finished."""
    trained: list[float] = field(default_factory=list)
    """Training accuracy, as logged, of the user's own setting without noise, a value a seed."""
    validated: list[float] = field(default_factory=list)
    """Their validation accuracy."""

    @property
    def seeds(self) -> int:
        """Finished pairs at the user's own setting, at the rate that has most."""
        return max((len(by_seed) for by_seed in self.differences["own"].values()), default=0)

    def effects(self, arm: str) -> list[Effect]:
        return verdict.effects({rate: list(each.values()) for rate, each in self.differences[arm].items()})


def read(planned: Sequence[Run], folders: Sequence[Path]) -> Findings:
    """The findings of these trials, those that have finished."""
    metrics = {}
    for run, folder in zip(planned, folders, strict=True):
        result = read_result(folder)
        if result is not None and result.get("status") == "finished":
            metrics[run.arm, run.rate, run.seed] = result["metrics"]
    found = Findings({arm: {} for arm in PLACES})
    for run in planned:
        own, partner = metrics.get((run.arm, run.rate, run.seed)), metrics.get((run.arm, 0.0, run.seed))
        if run.rate:
            by_seed = found.differences[run.arm].setdefault(run.rate, {})
            if own and partner:
                by_seed[run.seed] = own["val/accuracy"] - partner["val/accuracy"]
        elif run.arm == "own" and own:
            found.trained.append(own["train/accuracy"])
            found.validated.append(own["val/accuracy"])
    return found


def judge(found: Findings) -> Verdict:
    """The regime, from the user's own setting alone: the trends are evidence beside it, never instead."""
    return verdict.judge(found.effects("own"))


def report(found: Findings, judged: Verdict, noise: StandardNoise, notes: Sequence[str] = ()) -> list[str]:
    """Verdict, evidence, trends and reservations, a line each."""
    lines = [f"Verdict: {judged}", *(f"But: {note}." for note in notes)]
    lines.append("Validation accuracy with noise minus without, between trials of the same seed:")
    words = {1: "helps", -1: "hurts", 0: "cannot be told from no noise"}
    for arm, place in PLACES.items():
        for effect in found.effects(arm):
            said = words[effect.sign] if effect.interval else "no interval"
            wide = (
                f", {100 * (1 - effect.level):g} % interval"
                if effect.level != verdict.LEVEL and effect.interval
                else ""
            )
            lines.append(f"  {place}, {noise.regularizer} {effect.rate:g}: {effect}{wide}: {said}")
    if found.trained:
        trained, validated = mean_sd(found.trained)[0], mean_sd(found.validated)[0]
        gap = f"a gap of {100 * (trained - validated):+.1f} points".replace("-", "−")
        lines.append(
            f"  without noise: {trained:.1%} on training batches as logged, {validated:.1%} on validation, {gap}"
        )
    return lines + [line for arm in ("less", "smaller") for line in _trend(found, arm)]


def _trend(found: Findings, arm: str) -> list[str]:
    own, there = found.differences["own"], found.differences[arm]
    rates = sorted(own.keys() & there.keys())
    made = verdict.trend(own[rates[0]], there[rates[0]]) if rates else None
    if made is None:
        return []
    mean, interval, seeds = made
    size = f"{100 * mean:+.2f} points"
    size += f" [{100 * interval[0]:+.2f}, {100 * interval[1]:+.2f}]" if interval else ""
    size = f"{size}, {seeds} seed{'s' if seeds != 1 else ''}".replace("-", "−")
    up, down = {
        "less": ("noise helps more there, as over-fitting grows where data shrinks", "noise helps less there"),
        "smaller": ("noise helps more there", "noise helps less there, as a smaller model over-fits less"),
    }[arm]
    clear = interval is not None and not interval[0] <= 0 <= interval[1]
    said = (up if mean > 0 else down) if clear else "no trend can be told"
    return [f"  trend, {PLACES[arm]} against the own setting: {size}: {said}"]
