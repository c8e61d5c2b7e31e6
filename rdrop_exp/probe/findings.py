"""What the finished pairs show, in numbers and in words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rdrop_exp.probe import verdict
from rdrop_exp.probe.conditions import Condition, ProbeTrial, StandardNoise
from rdrop_exp.probe.verdict import Effect, Verdict
from rdrop_exp.runs.folder import read_result
from rdrop_exp.statistics.paired import mean_sd


@dataclass(slots=True)
class Findings:
    differences: dict[Condition, dict[float, dict[int, float]]]
    """Condition → rate → seed → validation accuracy with noise minus without, of pairs that have both finished."""
    train_accuracies: list[float] = field(default_factory=list)
    """As logged, of the given setting without noise, one per seed."""
    validation_accuracies: list[float] = field(default_factory=list)
    """Of the same trials."""

    @property
    def seeds(self) -> int:
        """Finished pairs in the given setting, at the rate that has most."""
        return max((len(by_seed) for by_seed in self.differences[Condition.GIVEN].values()), default=0)

    def effects(self, condition: Condition) -> list[Effect]:
        return verdict.effects({rate: list(each.values()) for rate, each in self.differences[condition].items()})


def read_findings(trials: Sequence[ProbeTrial], folders: Sequence[Path]) -> Findings:
    """The findings of those of the trials that have finished."""
    metrics = {}
    for trial, folder in zip(trials, folders, strict=True):
        result = read_result(folder)
        if result is not None and result.get("status") == "finished":
            metrics[trial.condition, trial.rate, trial.seed] = result["metrics"]
    findings = Findings({condition: {} for condition in Condition})
    for trial in trials:
        values = metrics.get((trial.condition, trial.rate, trial.seed))
        plain = metrics.get((trial.condition, 0.0, trial.seed))
        if trial.rate:
            by_seed = findings.differences[trial.condition].setdefault(trial.rate, {})
            if values and plain:
                by_seed[trial.seed] = values["val/accuracy"] - plain["val/accuracy"]
        elif trial.condition == Condition.GIVEN and values:
            findings.train_accuracies.append(values["train/accuracy"])
            findings.validation_accuracies.append(values["val/accuracy"])
    return findings


def judge(findings: Findings) -> Verdict:
    """The regime, from the given setting alone: trends are supporting evidence and never decide."""
    return verdict.judge(findings.effects(Condition.GIVEN))


def report(findings: Findings, judged: Verdict, noise: StandardNoise, notes: Sequence[str] = ()) -> list[str]:
    """Verdict, caveats, evidence and trends, one line each."""
    lines = [f"Verdict: {judged}", *(f"Note: {note}." for note in notes)]
    lines.append("Validation accuracy with noise minus without, paired by seed:")
    meanings = {1: "helps", -1: "hurts", 0: "no significant difference"}
    for condition in Condition:
        for effect in findings.effects(condition):
            meaning = meanings[effect.sign] if effect.interval else "no interval"
            corrected = effect.interval and effect.level != verdict.LEVEL
            level = f", {100 * (1 - effect.level):g} % interval" if corrected else ""
            lines.append(f"  {condition}, {noise.regularizer} {effect.rate:g}: {effect}{level}: {meaning}")
    if findings.train_accuracies:
        train, validation = mean_sd(findings.train_accuracies)[0], mean_sd(findings.validation_accuracies)[0]
        gap = f"a gap of {100 * (train - validation):+.1f} points".replace("-", "−")
        lines.append(f"  without noise: {train:.1%} on training batches, {validation:.1%} on validation, {gap}")
    return lines + [line for c in (Condition.LESS_DATA, Condition.SMALLER_MODEL) for line in _trend(findings, c)]


def _trend(findings: Findings, condition: Condition) -> list[str]:
    base, changed = findings.differences[Condition.GIVEN], findings.differences[condition]
    rates = sorted(base.keys() & changed.keys())
    trend = verdict.trend(base[rates[0]], changed[rates[0]]) if rates else None
    if trend is None:
        return []
    mean, interval, seeds = trend
    more, less = {
        Condition.LESS_DATA: ("noise helps more with less data, as overfitting would explain", "noise helps less"),
        Condition.SMALLER_MODEL: ("noise helps more", "noise helps less, since a smaller model overfits less"),
    }[condition]
    significant = interval is not None and not interval[0] <= 0 <= interval[1]
    meaning = (more if mean > 0 else less) if significant else "no significant trend"
    return [f"  trend, {condition} against the given setting: {verdict.points(mean, interval, seeds)}: {meaning}"]
