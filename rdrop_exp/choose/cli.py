"""rdrop-choose: which regularizer to use here, within a budget.

rdrop-choose model=vit_micro_8 dataset=digits --trials 150         # at most 150 trials
rdrop-choose model=vit_tiny dataset=cifar100 --budget 4h           # wall-clock time of this machine
rdrop-choose model=vit_tiny dataset=cifar100 --gpu-hours 20        # for any launcher: hydra/launcher=submitit_slurm
rdrop-choose model=vit_micro_8 --trials 150 --stop-after pilot     # overfitting or underfitting?

A pilot, a race on validation, and a confirmation on test with fresh seeds. Run the same command to resume; finished
trials anywhere under output_dir are used.
"""

import argparse
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp import console
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.choose.plan import Answer, Plan, Round
    from rdrop_exp.choose.state import Scores
    from rdrop_exp.choose.trials import Trials
    from rdrop_exp.probe.setting import ProbeSetting

HOURS = {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1.0, "d": 24.0}
STATE = "choose.yaml"
STAGES = ("pilot", "race")


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, 2 after a user error, 1 if the trials did not finish."""
    args = _parser().parse_intermixed_args(arguments)
    try:
        return console.run("rdrop-choose", _run, args)
    except KeyboardInterrupt:
        print("rdrop-choose: Stopped and saved. Run the same command to resume.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    question = "Which regularizer to use, and at what rate, alpha and cutoff: a pilot, a race and a confirmation."
    parser = argparse.ArgumentParser(prog="rdrop-choose", description=question)
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="options as for rdrop-exp: model, dataset, schedule, ...")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--trials", type=int, metavar="N", help="at most N trials")
    budget.add_argument("--budget", metavar="TIME", help="time on this machine, such as 30m or 4h")
    budget.add_argument("--gpu-hours", type=float, metavar="X", help="hours of training, summed over devices")
    add(
        "--smallest",
        type=float,
        default=0.4,
        metavar="S",
        help="smallest gain worth having, in points of accuracy (default: 0.4)",
    )
    add("--stop-after", choices=STAGES, help="end after the pilot, or after the race (test is not read)")
    add("--name", default="choose", help="folder of the trials under output_dir (default: choose)")
    add("--config-dir", type=Path, metavar="DIR", help="folder of your own presets, as for rdrop-exp")
    return parser


def hours(text: str) -> float:
    """`30m`, `4h`, `1.5h`, `2d` in hours."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text)
    value = float(match[1]) * HOURS[match[2]] if match else 0.0
    if not value:
        raise OptionError(f"--budget={text} must be a time, such as 30m or 4h")
    return value


def _run(args: argparse.Namespace) -> int:
    from rdrop_exp.choose.plan import Stage
    from rdrop_exp.choose.trials import Trials
    from rdrop_exp.probe import setting
    from rdrop_exp.train.planning import look_at

    if args.trials is None and args.budget is None and args.gpu_hours is None:
        raise OptionError("give a budget: --trials 150, --budget 4h or --gpu-hours 20")
    if not args.smallest > 0:
        raise OptionError(f"--smallest={args.smallest:g} must be above 0")
    other = [word for word in args.overrides if word.startswith("hydra/launcher=")]
    if other and args.budget:
        raise OptionError(f"{other[0]}: use --trials or --gpu-hours; --budget is for this machine's workers")
    with setting.hydra_ready():
        overrides, launcher = setting.parse([word for word in args.overrides if word not in other])
        given = setting.examine(overrides, [*other, *launcher], args.config_dir)
        if not given.sites:
            raise OptionError(f"{given.o.model.name} has no layer where noise could act: choose another model")
        if args.budget:
            budget, scale = 3600 * hours(args.budget), float(len(setting.worker_slots(launcher)))
        elif args.gpu_hours is not None:
            budget, scale = 3600 * args.gpu_hours, 1.0
        else:
            budget, scale = float(args.trials), 0.0
        plan = _plan(given, budget, args.smallest)
        if args.stop_after:
            plan = replace(plan, stop_after=Stage(args.stop_after))
        folder = Path(given.o.output_dir) / args.name
        _remember(folder, args, plan, given, scale)
        trials = Trials(given, args.name, look_at(given.o.dataset).fingerprint, scale or None)
        answer, scores = _rounds(trials, plan, _amount(args))
        return _finish(folder, trials, plan, answer, scores, _amount(args))


def _plan(given: "ProbeSetting", budget: float, smallest: float) -> "Plan":
    from rdrop_exp.choose.families import FAMILIES, families
    from rdrop_exp.choose.plan import Plan
    from rdrop_exp.probe.conditions import total_steps
    from rdrop_exp.probe.verdict import Regime

    standard = next(family for family in FAMILIES if family.name == given.noise.regularizer)
    steps = total_steps(given.o, given.per_epoch)
    regimes = {regime: families(regime, given.dropouts, given.branches, steps) for regime in Regime}
    return Plan(families=regimes, standard=standard.start, budget=budget, smallest=smallest)


def _amount(args: argparse.Namespace) -> Any:
    """A part of the budget in words."""

    def words(value: float) -> str:
        if args.trials is not None:
            return f"{math.ceil(value)} trials"
        unit = "GPU-hours" if args.gpu_hours is not None else "h"
        if unit == "h" and value < 5400:
            return f"{value / 60:.0f} min" if value >= 90 else f"{math.ceil(value)} s"
        return f"{value / 3600:.2g} {unit}"

    return words


def _remember(folder: Path, args: argparse.Namespace, plan: "Plan", given: "ProbeSetting", scale: float) -> None:
    """Write what is fixed to choose.yaml, or compare with what it says; `OptionError` if another choice is there.

    A new budget is first compared with the shortest choice: the pilot, the published settings, and a confirmation.
    """
    import yaml  # type: ignore[import-untyped]

    from rdrop_exp.choose.state import fewest_trials
    from rdrop_exp.launch.protocol import atomic_file
    from rdrop_exp.probe import setting
    from rdrop_exp.runs.folder import read_yaml

    fixed = {
        "overrides": {key: str(value) for key, value in given.overrides.items()},
        "budget": plan.budget, "unit": "seconds" if scale else "trials", "workers": int(scale) or None,
        "smallest": plan.smallest, "pilot_seeds": plan.pilot_seeds, "first_seed": given.o.seed,
    }  # fmt: skip
    path = folder / STATE
    if path.is_file():
        try:
            known = read_yaml(path)
        except ValueError as error:
            raise OptionError(f"{path} cannot be read: {error}") from None
        for key, value in fixed.items():
            if known.get(key) != value and key != "workers":
                raise OptionError(f"{folder} was started with {key} {known.get(key)}, not {value}: use another --name")
        return
    fewest = fewest_trials(plan)
    if not scale and plan.budget < fewest:
        raise OptionError(f"--trials={plan.budget:g} is too few: pilot, race and confirmation need at least {fewest}")
    if scale:
        each = setting.measure_cost(given).seconds() / scale
        if fewest * each > plan.budget:
            option = f"--budget={args.budget}" if args.budget else f"--gpu-hours={args.gpu_hours:g}"
            needed = _amount(args)(fewest * each)
            raise OptionError(f"{option} is too small: {fewest} trials, the fewest possible, take about {needed}")
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        yaml.safe_dump(fixed, file, sort_keys=False)


def _rounds(trials: "Trials", plan: "Plan", amount: Any) -> tuple["Answer", "Scores"]:
    """Run round after round until there is an answer."""
    from rdrop_exp.choose.plan import Answer
    from rdrop_exp.choose.policy import decide
    from rdrop_exp.choose.words import describe

    scores: dict[Any, Any] = {}
    while not isinstance(now := decide(plan, scores), Answer):
        print(*describe(now, plan, amount), sep="\n", flush=True)
        scores |= trials.read(now.trials)
        missing = [trial for trial in now.trials if trial not in scores]
        if missing:
            launch(trials, now, missing)
            scores |= trials.read(missing)
        if left := [trial for trial in now.trials if trial not in scores]:
            raise OptionError(f"{len(left)} trials of this round did not finish: run the same command to resume")
    return now, scores


def launch(trials: "Trials", now: "Round", missing: list[Any]) -> None:
    """One round as a sweep, with whichever launcher."""
    from rdrop_exp.probe import cli as probe

    given, title = trials.given, f"Choice: {now.stage}, round {now.number}"
    if not any(word.startswith("hydra/launcher=") for word in given.launcher):
        given = replace(given, launcher=[*given.launcher, "hydra.launcher.summary=null"])
    name = "confirm" if now.stage == "confirm" else f"round{now.number:02d}"
    probe.launch(given, name, trials.sweep(missing, title), None)


def _finish(folder: Path, trials: "Trials", plan: "Plan", answer: "Answer", scores: "Scores", amount: Any) -> int:
    """Print the answer, and write the page and answer.yaml."""
    from rdrop_exp.choose.page import write_page
    from rdrop_exp.choose.plan import BASELINE, Outcome, Stage
    from rdrop_exp.choose.words import paragraph, why

    text = paragraph(answer, plan, amount)
    for event in answer.events[-3:] if answer.stage != Stage.CONFIRM else ():
        print(f"  {why(event)}")
    print(f"\n{text}")
    print(f"Page: {write_page(folder, trials.folders, text, scores, answer)}")
    if answer.stage != Stage.PILOT:
        used = BASELINE if answer.outcome == Outcome.NO_GAIN else answer.best
        path = trials.write_answer(used, folder, [text])
        print(f"Run it: rdrop-exp --config-dir {folder} experiment={path.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
