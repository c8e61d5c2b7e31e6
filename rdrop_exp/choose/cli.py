"""rdrop-choose: which regularizer to use here, within a budget.

rdrop-choose model=vit_micro_8 dataset=digits --trials 150         # at most 150 trials
rdrop-choose model=vit_tiny dataset=cifar100 --budget 4h           # time on this machine
rdrop-choose model=vit_tiny dataset=cifar100 --gpu-hours 20        # for any launcher: hydra/launcher=submitit_slurm
rdrop-choose model=vit_micro_8 --trials 150 --stop-after pilot     # overfitting or underfitting?
rdrop-choose model=vit_micro_8 --budget 30m --dry-run              # what the pilot will do and cost

A pilot, a race on validation, and a confirmation on test with fresh seeds. Run the same command to resume; finished
trials anywhere under output_dir are used.
"""

import argparse
import math
import re
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp import console
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.choose.session import Session
    from rdrop_exp.choose.setting import GivenSetting

HOURS = {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1.0, "d": 24.0}
STAGES = ("pilot", "race")


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, 2 after a user error, 130 or 143 after SIGINT or SIGTERM."""
    args = _parser().parse_intermixed_args(arguments)
    args.words = sys.argv[1:] if arguments is None else arguments
    received = [signal.SIGINT]

    def stop(number: int, _: object) -> None:
        received.append(signal.Signals(number))
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        return console.run("rdrop-choose", _run, args)
    except KeyboardInterrupt:
        print("rdrop-choose: Stopped and saved. Run the same command to resume.", file=sys.stderr)
        return 128 + received[-1]
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    question = "Which regularizer to use, and at what rate, alpha and cutoff: a pilot, a race and a confirmation."
    parser = argparse.ArgumentParser(prog="rdrop-choose", description=question)
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="options as for rdrop-exp: model, dataset, schedule, ...")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--trials", type=int, metavar="N", help="at most N trials")
    budget.add_argument("--budget", metavar="TIME", help="time on this machine, such as 30m or 4h")
    budget.add_argument("--gpu-hours", type=float, metavar="X", help="hours of training, summed over devices")
    smallest = "smallest gain worth having (default: 0.4 points; 0.5 of perplexity, 0.01 of a loss)"
    add("--smallest", type=float, metavar="S", help=smallest)
    add("--stop-after", choices=STAGES, help="end after the pilot, or after the race (test is not read)")
    add("--prune-within", action="store_true", help="stop the worse half of new settings early in training")
    add("--dry-run", action="store_true", help="show what the pilot will do and cost, and stop")
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
    from rdrop_exp.choose import composing, session
    from rdrop_exp.choose.launching import worker_slots
    from rdrop_exp.choose.plan import Stage
    from rdrop_exp.choose.setting import examine
    from rdrop_exp.cli import hydra_ready

    if args.trials is None and args.budget is None and args.gpu_hours is None:
        raise OptionError("give a budget: --trials 150, --budget 4h or --gpu-hours 20")
    for name in ("smallest", "gpu_hours"):
        if getattr(args, name) is not None and not getattr(args, name) > 0:
            raise OptionError(f"--{name.replace('_', '-')}={getattr(args, name):g} must be above 0")
    seconds = 3600 * (hours(args.budget) if args.budget else args.gpu_hours or 0.0)
    other = [word for word in args.overrides if word.startswith("hydra/launcher=")]
    if other and args.budget:
        raise OptionError(f"{other[0]}: use --trials or --gpu-hours; --budget is for this machine's workers")
    with hydra_ready():
        overrides, launcher = composing.parse([word for word in args.overrides if word not in other])
        slots = worker_slots(launcher)
        given = examine(overrides, [*other, *launcher], args.config_dir)
        workers = len(slots) if args.budget else 1 if seconds else 0
        args.device = "GPU" if other or slots[0].gpu is not None else "CPU"
        if args.gpu_hours is not None and args.device == "CPU":
            print("No GPU is visible: --gpu-hours counts the hours of the CPU workers.")
        choice = session.begin(
            given, args.name, seconds or float(args.trials), workers, _option(args), amounts(args),
            smallest=args.smallest or given.scale.smallest, stop_after=Stage(args.stop_after or Stage.CONFIRM),
            prune_within=args.prune_within,
        )  # fmt: skip
        print(*choice.outlook(), sep="\n", flush=True)
        if args.dry_run:
            return 0
        choice.start()
        answer = choice.run()
        _finish(args, given, choice, answer)
    return 0


def _option(args: argparse.Namespace) -> str:
    """The budget as it was given."""
    if args.trials is not None:
        return f"--trials={args.trials}"
    return f"--budget={args.budget}" if args.budget else f"--gpu-hours={args.gpu_hours:g}"


def amounts(args: argparse.Namespace) -> Any:
    """A function from a part of the budget to words."""

    def words(value: float) -> str:
        if args.trials is not None:
            return f"{math.ceil(value)} trials"
        if args.gpu_hours is not None:
            return f"{value / 3600:.2g} {args.device}-hours"
        if value < 5400:
            return f"{value / 60:.0f} min" if value >= 90 else f"{math.ceil(value)} s"
        return f"{value / 3600:.2g} h"

    return words


def _finish(args: argparse.Namespace, given: "GivenSetting", choice: "Session", answer: Any) -> None:
    """Print the answer, and write the page and answer.yaml."""
    from rdrop_exp.choose.page import write_page
    from rdrop_exp.choose.plan import Stage
    from rdrop_exp.choose.words import paragraph

    text = paragraph(answer, choice.plan, given.scale, choice.amount)
    print(f"\n{text}")
    print(f"Page: {write_page(choice.folder, choice.trials.folders, text, choice.scores, answer, given.scale)}")
    if answer.stage != Stage.PILOT:
        path = choice.trials.write_answer(answer.use, choice.folder, [text])
        print(f"Run it: rdrop-exp --config-dir {choice.folder} experiment={path.stem}")
    if args.stop_after:
        words = list(args.words)
        at = next(i for i, word in enumerate(words) if word.startswith("--stop-after"))
        del words[at : at + (1 if "=" in words[at] else 2)]
        print(f"Go on: rdrop-choose {shlex.join(words)}")


if __name__ == "__main__":
    sys.exit(main())
