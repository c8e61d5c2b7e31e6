"""One choice from its budget to its answer: what is fixed is written down, and round after round is run."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rdrop_exp.choose.families import FAMILIES, families
from rdrop_exp.choose.launching import measure_cost, run_sweep
from rdrop_exp.choose.live import Display
from rdrop_exp.choose.plan import Answer, Plan, Regime, Round, Score, Stage, Trial
from rdrop_exp.choose.policy import decide
from rdrop_exp.choose.setting import GivenSetting
from rdrop_exp.choose.stages import fewest_trials
from rdrop_exp.choose.trials import Trials, label
from rdrop_exp.choose.within import pauses
from rdrop_exp.config.compose import replaced
from rdrop_exp.config.schema import OptionError
from rdrop_exp.runs.folder import atomic_file, paused, read_yaml

STATE = "choose.yaml"


@dataclass(slots=True)
class Session:
    given: GivenSetting
    plan: Plan
    trials: Trials
    folder: Path
    fixed: dict[str, Any]
    """The content of choose.yaml."""
    amount: Callable[[float], str]
    """A part of the budget in words."""
    seconds: float | None = None
    """Of a trial, as measured over a few steps; None: not measured."""
    scores: dict[Trial, Score] = field(default_factory=dict)
    """Of trials that have ended."""
    early: dict[Any, Score] = field(default_factory=dict)
    """Of trials that pause, by the keys of rounds."""

    def outlook(self) -> list[str]:
        """What the budget is, and what the pilot will do and cost."""
        plan, n, workers = self.plan, self.plan.pilot_seeds, self.fixed["workers"]
        budget = f"Budget: {self.amount(plan.budget)}" + (f" on {workers} workers" if workers and workers > 1 else "")
        if self.seconds and workers:
            budget += f", about {plan.budget * workers / self.seconds:.0f} trials of {self.seconds:.2g} s"
        first = f"Pilot: {n} seeds each of none and {label(plan.standard)}"
        if self.seconds:
            first += f", about {2 * n * self.seconds / max(1, workers or 0) + plan.overhead:.0f} s"
        names = dict.fromkeys(family.name for families in plan.families.values() for family in families)
        own = replaced(("regularizer", name) for name in names)
        return [
            *own,
            f"{budget}.",
            f"{first}. Then race and confirmation: at least {fewest_trials(plan)} trials in all.",
        ]

    def start(self) -> None:
        """Write down what is fixed."""
        import yaml  # type: ignore[import-untyped]

        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self.folder / STATE) as file:
            yaml.safe_dump(self.fixed, file, sort_keys=False)

    def run(self) -> Answer:
        """Round after round until there is an answer; `OptionError` where trials of a round have not finished."""
        with Display(self.plan, self.given.scale, self.amount) as display:
            while not isinstance(now := decide(self.plan, {**self.scores, **self.early}), Answer):
                display.begin(now, self.scores)
                known = self.scores if now.share == 1 else self.early
                known |= self.trials.read(now.keys)
                if missing := [key for key in now.keys if key not in known]:
                    self.launch(now, [key[:2] for key in missing], display)
                    known |= self.trials.read(missing)
                if left := [key for key in now.keys if key not in known]:
                    raise OptionError(
                        f"{len(left)} trials of this round did not finish: run the same command to resume"
                    )
            display.end(now.events if now.stage != Stage.CONFIRM else ())
        return now

    def launch(self, now: Round, missing: list[Trial], display: Display) -> None:
        """One round as a sweep, with whichever launcher."""
        name = "confirm" if now.stage == Stage.CONFIRM else f"round{now.number:02d}"
        experiment = Path(self.given.o.output_dir) / self.trials.experiment(missing[0])

        def results() -> int:
            if now.share < 1:
                epoch = self.trials.pause_epoch(now.share)
                return sum(paused(rows.parent, epoch) for rows in experiment.glob("*/metrics.jsonl"))
            return sum(1 for _ in experiment.glob("*/result.json"))

        before = results() - (len(now.trials) - len(missing))
        title = f"Choice: {now.stage}, round {now.number}"
        sweep = self.trials.sweep(missing, title, self.plan.smallest, now.share)
        run_sweep(self.given, self.folder, name, sweep, lambda: display.update(results() - before))


def begin(
    given: GivenSetting, name: str, budget: float, workers: int, option: str, amount: Callable[[float], str],
    *, smallest: float, stop_after: Stage, prune_within: bool = False,
) -> Session:  # fmt: skip
    """A choice as it was fixed before, or a new one; `OptionError` if another choice is there or the budget too small.

    `workers`: of a budget in seconds, which they share; 0: the budget is in trials. A new budget is compared with the
    shortest choice: the pilot, the published settings, and a confirmation.
    """
    folder = Path(given.o.output_dir) / name
    fixed: dict[str, Any] = {
        "overrides": {key: str(value) for key, value in given.overrides.items()}, "budget": budget,
        "unit": "seconds" if workers else "trials", "smallest": smallest, "first_seed": given.o.seed,
        "prune_within": prune_within or None, "workers": workers or None,
    }  # fmt: skip
    path, seconds = folder / STATE, None
    if path.is_file():
        known = _known(path)
        for before, now in ((known, fixed), (known.get("overrides") or {}, fixed["overrides"])):
            for key in dict.fromkeys([*now, *before]):
                if before.get(key) != now.get(key) and key not in ("workers", "overhead", "overrides"):
                    was, given_now = (f"{key}={each[key]}" if key in each else f"no {key}" for each in (before, now))
                    raise OptionError(f"{folder} was started with {was}, not {given_now}: use another --name")
        fixed = known
    shares = pauses(given.steps, given.per_epoch, given.o.validate_every) if prune_within else ()
    standard = next(family.start for family in FAMILIES if family.name == given.noise)
    regimes = {regime: families(regime, given.dropouts, given.branches, given.steps) for regime in Regime}
    plan = Plan(families=regimes, standard=standard, budget=budget, smallest=smallest, stop_after=stop_after,
                overhead=float(fixed.get("overhead") or 0.0), pauses=shares)  # fmt: skip
    fewest = fewest_trials(plan)
    if not path.is_file():
        if not workers and budget < fewest:
            raise OptionError(f"{option} is too few: pilot, race and confirmation need at least {fewest} trials")
        if workers:
            plan, seconds = _timed(given, plan, option, amount, workers, fewest)
            fixed["overhead"] = plan.overhead
    return Session(given, plan, Trials(given, name, fixed["workers"], plan.pauses), folder, fixed, amount, seconds)


def _timed(
    given: GivenSetting, plan: Plan, option: str, amount: Callable[[float], str], workers: int, fewest: int
) -> tuple[Plan, float]:
    """The plan with what starting a round takes, and the seconds of a trial; `OptionError` for too small a budget."""
    cost = measure_cost(given)
    plan, seconds = replace(plan, overhead=round(cost.startup, 1)), cost.trial
    needed = fewest * seconds / workers + 3 * plan.overhead
    if needed > plan.budget:
        raise OptionError(f"{option} is too small: {fewest} trials, the fewest possible, take about {amount(needed)}")
    return plan, seconds


def _known(path: Path) -> dict[str, Any]:
    try:
        return read_yaml(path)
    except ValueError as error:
        raise OptionError(f"{path} cannot be read: {error}") from None
