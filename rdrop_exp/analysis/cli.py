"""rdrop-analyze: what noise does to the gradients of trials, and whether it matters to their outputs.

rdrop-analyze outputs/demo/TRIAL                  # measure the tested weights, write analysis.json and analysis.html
rdrop-analyze outputs/demo --batches 40           # every trial below, in a table by group
rdrop-analyze outputs/demo --curves               # only plot what `analysis.every=N` logged during training
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp import console
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.report.collect import Trial
    from rdrop_exp.report.groups import Setting


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, or 2 after a user error."""
    return console.run("rdrop-analyze", _run, _parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    question = "Why does noise help or hurt? Gradient metrics, train-test inconsistency and calibration of trials."
    parser = argparse.ArgumentParser(prog="rdrop-analyze", description=question)
    add = parser.add_argument
    add("folders", nargs="+", type=Path, metavar="FOLDER", help="trials, or folders with trials at any depth")
    add("--batches", type=int, default=20, metavar="N", help="number of mini-batch gradients (default: 20)")
    add("--batch-size", type=int, metavar="N", help="items per mini-batch (default: the trial's)")
    add("--no-augment", action="store_true", help="do not augment mini-batches")
    add("--loss", choices=("full", "task"), default="full", help="task: leave out the consistency loss")
    add("--share", type=float, metavar="S", dest="rate_scale",
        help="fraction of the full drop rates to apply, 0 to 1 (default: the schedule's at that step)")  # fmt: skip
    add("--passes", type=int, default=10, metavar="K", help="noisy passes for inconsistency; 0: skip (default: 10)")
    add("--dropout", type=float, metavar="P", help="measure inconsistency with this dropout rate instead of the trial's"
        " own noise (default: the trial's noise, or 0.1 if it has none)")  # fmt: skip
    add("--set", choices=("validation", "test"), default="validation", dest="dataset",
        help="data to measure inconsistency on (default: validation)")  # fmt: skip
    add("--no-gradients", action="store_true", help="measure inconsistency only")
    add("--curves", action="store_true", help="measure nothing; plot what analysis.every logged")
    add("--device", default="", help="auto (the default), cpu, cuda, ...")
    add("--threads", type=int, metavar="N", help="CPU threads")
    add(
        "--page", type=Path, metavar="PATH", help="where to write the page (default: analysis.html in the first FOLDER)"
    )
    add("--no-page", action="store_true", help="do not write a page")
    return parser


def _check(args: argparse.Namespace) -> None:
    for name, least in {"batches": 2, "batch_size": 1, "threads": 1}.items():
        value = getattr(args, name)
        if value is not None and value < least:
            raise OptionError(f"--{name.replace('_', '-')}={value} must be at least {least}")
    if args.passes < 0 or args.passes == 1:
        raise OptionError(f"--passes={args.passes} must be 0 or at least 2: passes are compared in pairs")
    if args.rate_scale is not None and not 0 <= args.rate_scale <= 1:
        raise OptionError(f"--share={args.rate_scale:g} must be between 0 and 1")
    if args.dropout is not None and not 0 < args.dropout < 1:
        raise OptionError(f"--dropout={args.dropout:g} must be between 0 and 1, both excluded")


def _run(args: argparse.Namespace) -> None:
    _check(args)
    from rdrop_exp.analysis.table import print_table, table_rows
    from rdrop_exp.report.collect import collect
    from rdrop_exp.report.groups import settings

    trials, _ = collect(args.folders)
    contents = {} if args.curves else _measure(trials, args)
    by_setting = settings(trials)
    rows = table_rows(by_setting, contents)
    print_table(rows)
    sentences = _sentences(by_setting, trials)
    print("\n".join(sentences))
    if not args.no_page:
        from rdrop_exp.analysis.page import build_page

        page = args.page or args.folders[0] / "analysis.html"
        page.write_text(build_page(by_setting, sentences, rows), encoding="utf-8")
        print(f"Page: {page}")


def _sentences(by_setting: "list[Setting]", trials: "list[Trial]") -> list[str]:
    """What noise did to the metrics over steps, or why that is unknown."""
    from rdrop_exp.analysis.area_change import area_changes
    from rdrop_exp.analysis.curves import read_curve

    several = len(by_setting) > 1
    changes = [(setting, change) for setting in by_setting for change in area_changes(setting)]
    if changes:
        return [f"{setting.label}: {change}" if several else str(change) for setting, change in changes]
    if any(read_curve(trial) for trial in trials):
        return ["No trials to compare: train with and without noise on the same seeds, all other options equal."]
    return ["No metrics over training: set analysis.every=N when training."]


def _measure(trials: "list[Trial]", args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """analysis.json, by identity, of trials with saved weights; the others are listed on stderr.

    `OptionError` if all fail.
    """
    import torch

    from rdrop_exp.analysis.gradient_meter import MeterSettings
    from rdrop_exp.analysis.offline import analyse_trial

    if args.threads:
        torch.set_num_threads(args.threads)
    settings = MeterSettings(
        batches=args.batches, batch_size=args.batch_size, augment=not args.no_augment, loss=args.loss,
        rate_scale=args.rate_scale,
    )  # fmt: skip
    contents: dict[str, dict[str, Any]] = {}
    errors = []
    for number, trial in enumerate(trials, 1):
        print(f"[{number}/{len(trials)}] {trial.folder.name}", file=sys.stderr)
        try:
            contents[trial.identity] = analyse_trial(
                trial, settings, gradients=not args.no_gradients, passes=args.passes, dropout=args.dropout,
                dataset=args.dataset, device=args.device,
            )  # fmt: skip
        except OptionError as error:
            errors.append(str(error))
    if not contents:
        raise OptionError(errors[0])
    for message in errors:
        print(f"Skipped: {message}", file=sys.stderr)
    return contents


if __name__ == "__main__":
    sys.exit(main())
