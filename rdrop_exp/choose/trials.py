"""The policy's trials as trials of this package: their overrides, identities, folders, and scores."""

import dataclasses
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra_slots.protocol import atomic_file
from rdrop_exp.choose.composing import Overrides, composed
from rdrop_exp.choose.families import FAMILIES
from rdrop_exp.choose.plan import BASELINE, CONFIRM_SEED, Score, Setting, Trial
from rdrop_exp.choose.setting import GivenSetting
from rdrop_exp.config.identity import TrialSpec, trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.runs.folder import load_result, paused, read_result, read_rows, trial_folder

BY_NAME = {family.name: family for family in FAMILIES}


def overrides_of(setting: Setting) -> Overrides:
    """As in a sweep file."""
    if setting == BASELINE:
        return {"regularizer": setting.family}
    return {"regularizer": setting.family, **BY_NAME[setting.family].values(setting)}


def label(setting: Setting) -> str:
    """As in a report: `rdrop dropout=0.1 alpha=0.5`."""
    options = list(overrides_of(setting).items())[1:]
    return " ".join([setting.family, *(f"{key.rpartition('.')[2]}={value:g}" for key, value in options)])


class Trials:
    """Requires `hydra_ready`. `seconds_per_cost`: of work; None: a trial costs 1. `pauses`: as in the plan."""

    def __init__(
        self, given: GivenSetting, name: str, seconds_per_cost: float | None, pauses: tuple[float, ...] = ()
    ) -> None:
        self.given = given
        self.name = name
        self.seconds_per_cost = seconds_per_cost
        self.pauses = pauses
        self.folders: dict[Trial, Path] = {}
        """Of the trials that have been read, wherever they are."""
        self._options: dict[Setting, Options] = {}
        self._elsewhere: dict[str, list[Path]] = {}

    def experiment(self, trial: Trial) -> str:
        """Trials of the confirmation have a folder of their own, since their test accuracy alone is reported."""
        return f"{self.name}_confirm" if trial[1] >= CONFIRM_SEED else self.name

    def seed(self, trial: Trial) -> int:
        return self.given.o.seed + trial[1]

    def spec(self, trial: Trial) -> TrialSpec:
        setting = trial[0]
        if setting not in self._options:
            overrides = self.given.overrides | overrides_of(setting)
            self._options[setting] = composed(overrides, self.given.config_dir)
        experiment = self.experiment(trial)
        options = dataclasses.replace(self._options[setting], seed=self.seed(trial), name=experiment)
        return trial_spec(options, self.given.fingerprint)

    def pause_epoch(self, share: float) -> int:
        return round(share * self.given.steps / self.given.per_epoch)

    def read(self, keys: Iterable[Any]) -> dict[Any, Score]:
        """Scores by the keys of a round: of trials that have ended, here or in another experiment, or got that far."""
        self._elsewhere = {}
        for path in sorted(Path(self.given.o.output_dir).glob("*/*-*/result.json")):
            self._elsewhere.setdefault(path.parent.name[-10:], []).append(path.parent)
        known = {key: each for key in keys if (each := self._read(self.spec(key[:2]), *key[2:])) is not None}
        self.folders |= {key[:2]: folder for key, (folder, _) in known.items()}
        return {key: score for key, (_, score) in known.items()}

    def _read(self, spec: TrialSpec, share: float | None = None) -> tuple[Path, Score] | None:
        """`share`: up to there, also of one that has gone further, so that a resumed choice decides the same."""
        ended = self._ended(spec)
        folder, score = ended or (trial_folder(spec), Score(None))
        if not ended and (share is None or not paused(folder, self.pause_epoch(share))):
            return None
        rows = read_rows(folder) if self.pauses and spec.options.seed == self.given.o.seed else []
        early = {at: value for at in self.pauses if (value := self._validation(rows, at)) is not None}
        if share is None:
            return folder, replace(score, early=early)
        return folder, Score(early.get(share, score.val), cost=self._cost(rows, share))

    def _validation(self, rows: list[dict[str, Any]], share: float) -> float | None:
        name, epoch = f"val/{self.given.scale.metric}", self.pause_epoch(share)
        row = next((row for row in rows if row.get("epoch") == epoch and name in row), None)
        return self.given.scale.value(row, "val") if row else None

    def _cost(self, rows: list[dict[str, Any]], share: float) -> float:
        """Of a part of a trial, from its speed."""
        if self.seconds_per_cost is None:
            return share
        speed, epoch = f"{self.given.task.unit}_per_second", self.pause_epoch(share)
        rows = [row for row in rows if row["epoch"] <= epoch and speed in row]
        steps = (row["step"] - before for row, before in zip(rows, [0, *(row["step"] for row in rows)], strict=False))
        seconds: float = sum(n * self.given.units_per_step / row[speed] for n, row in zip(steps, rows, strict=True))
        return seconds / self.seconds_per_cost

    def _ended(self, spec: TrialSpec) -> tuple[Path, Score] | None:
        own = trial_folder(spec)
        folders = [own, *(f for i in (spec.identity, spec.data_identity) for f in self._elsewhere.get(i, ()))]
        results = [(folder, read_result(folder)) for folder in dict.fromkeys(folders)]
        for folder, result in results:
            if result is None or result.get("status") != "finished":
                continue
            if spec.data_identity and load_result(folder).get("data_identity") != spec.data_identity:
                continue
            metrics: dict[str, Any] = result["metrics"]
            scale, seconds = self.given.scale, float(result["seconds"])
            cost = 1.0 if self.seconds_per_cost is None else seconds / self.seconds_per_cost
            val, test = (scale.value(metrics, part) for part in ("val", "test"))
            if val is None or test is None:  # a loss that is not finite
                return folder, Score(None, cost=cost, seconds=seconds)
            train = scale.value(metrics, "train") if f"train/{scale.metric}" in metrics else None
            return folder, Score(val, test, cost, seconds, train)
        failed = any(folder == own and result and result.get("status") == "failed" for folder, result in results)
        return (own, Score(None)) if failed else None

    def sweep(self, trials: list[Trial], title: str, smallest: float, share: float = 1.0) -> dict[str, Any]:
        """The content of a sweep file for a round, whose trials pause after this share of training."""
        grids = []
        for setting in dict.fromkeys(s for s, _ in trials):
            seeds = [self.seed(trial) for trial in trials if trial[0] == setting]
            grids.append({"overrides": overrides_of(setting), "repeat": {"seed": seeds}})
        confirms = trials[0][1] >= CONFIRM_SEED
        return {
            "title": title,
            **({"baseline": BASELINE.family} if BASELINE in (s for s, _ in trials) else {}),
            "name": self.experiment(trials[0]),
            **({"seeds": len(trials) // 2, "smallest": smallest} if confirms and len(trials) > 2 else {}),
            "overrides": self.given.overrides | ({"pause_epoch": self.pause_epoch(share)} if share < 1 else {}),
            "grids": grids,
        }

    def write_answer(self, setting: Setting, folder: Path, lines: list[str]) -> Path:
        """`folder/experiment/answer.yaml`: every option of the setting, whatever presets it came from."""
        import yaml  # type: ignore[import-untyped]

        options = dataclasses.asdict(self.spec((setting, 0)).options)
        options |= {"name": "answer", "seed": self.given.o.seed}
        neutral = {"/model": "timm", "/peer": "none", "/dataset": "digits", "/regularizer": "none"}
        content = {"defaults": [{f"override {group}": choice} for group, choice in neutral.items()], **options}
        path = folder / "experiment" / "answer.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.write("# @package _global_\n" + "".join(f"# {line}\n" for line in lines))
            yaml.safe_dump(content, file, sort_keys=False, width=120, allow_unicode=True)
        return path
