"""rdrop-analyze: what noise does to the gradients of trials, and whether it matters to their outputs.

rdrop-analyze outputs/demo/TRIAL                  # measure the tested weights, write analysis.json and analysis.html
rdrop-analyze outputs/demo --batches 40           # every trial below, side by side
rdrop-analyze outputs/demo --curves               # only draw what `analysis.every=N` wrote while they trained
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp import console
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.report.collect import Trial


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, or 2 for what cannot be done, said in one sentence."""
    return console.run("rdrop-analyze", _run, _parser().parse_args(arguments))


def _parser() -> argparse.ArgumentParser:
    question = "Why does noise help or hurt these trials: gradient metrics, train-test inconsistency, calibration."
    parser = argparse.ArgumentParser(prog="rdrop-analyze", description=question)
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="trials, or folders that hold them at any depth")
    add("--batches", type=int, default=20, metavar="N", help="mini-batch gradients (default: 20)")
    add("--batch-size", type=int, metavar="N", help="items in each (default: the trial's own)")
    add("--no-augment", action="store_true", help="mini-batches without augmentation")
    add("--loss", choices=("full", "task"), default="full", help="task: without the consistency loss")
    add("--share", type=float, metavar="S", help="share of the full drop rates (default: as scheduled at that step)")
    add("--passes", type=int, default=10, metavar="K", help="noisy passes for inconsistency; 0: none (default: 10)")
    add("--dropout", type=float, metavar="P", help="measure inconsistency at this dropout rate instead of the trial's"
        " own noise (default where it has none: 0.1)")  # fmt: skip
    add("--set", choices=("validation", "test"), default="validation", help="what inconsistency is measured on")
    add("--no-gradients", action="store_true", help="inconsistency only")
    add("--curves", action="store_true", help="measure nothing; draw what the trials logged with analysis.every")
    add("--device", default="", help="auto (the default), cpu, cuda, ...")
    add("--threads", type=int, metavar="N", help="CPU threads")
    add("--page", type=Path, metavar="PATH", help="where the page goes (default: analysis.html in the first RUN)")
    add("--no-page", action="store_true", help="no page")
    return parser


def _check(given: argparse.Namespace) -> None:
    limits = {"batches": 2, "batch_size": 1, "threads": 1}
    for name, least in limits.items():
        value = getattr(given, name)
        if value is not None and value < least:
            raise OptionError(f"--{name.replace('_', '-')}={value} must be at least {least}")
    if given.passes < 0 or given.passes == 1:
        raise OptionError(f"--passes={given.passes} must be 0 or at least 2: passes are compared in pairs")
    if given.share is not None and not 0 <= given.share <= 1:
        raise OptionError(f"--share={given.share:g} must be between 0 and 1")
    if given.dropout is not None and not 0 < given.dropout < 1:
        raise OptionError(f"--dropout={given.dropout:g} must be above 0 and below 1")


def _run(given: argparse.Namespace) -> None:
    _check(given)
    from rdrop_exp.analysis.curves import changes, read
    from rdrop_exp.analysis.table import cells, print_table
    from rdrop_exp.report.collect import collect
    from rdrop_exp.report.groups import settings

    trials, _ = collect(given.runs)
    rows = [] if given.curves else [cells(found) for found in _measure(trials, given)]
    print_table(rows)
    apart = settings(trials)
    sentences = [f"{s.label}: {change}" if len(apart) > 1 else str(change) for s in apart for change in changes(s)]
    if not sentences:
        logged = any(read(trial) for trial in trials)
        sentences = [
            "No trial with noise can be set against one without: they must share a seed and all else."
            if logged
            else "No metrics over steps: these trials were run without analysis.every=N."
        ]
    print("\n".join(sentences))
    if not given.no_page:
        from rdrop_exp.analysis.page import build_page

        page = given.page or given.runs[0] / "analysis.html"
        page.write_text(build_page(apart, sentences, rows), encoding="utf-8")
        print(f"Page: {page}")


def _measure(trials: "list[Trial]", given: argparse.Namespace) -> list[dict[str, Any]]:
    """Every trial that left weights; the others are named on stderr. `OptionError` where there is none."""
    import torch

    from rdrop_exp.analysis.measure import Settings
    from rdrop_exp.analysis.offline import analyse

    if given.threads:
        torch.set_num_threads(given.threads)
    chosen = Settings(
        batches=given.batches, batch_size=given.batch_size, augment=not given.no_augment, loss=given.loss,
        share=given.share,
    )  # fmt: skip
    measured, reasons = [], []
    for number, trial in enumerate(trials, 1):
        print(f"[{number}/{len(trials)}] {trial.folder.name}", file=sys.stderr)
        try:
            measured.append(analyse(
                trial, chosen, gradients=not given.no_gradients, passes=given.passes, dropout=given.dropout,
                part=given.set, device=given.device,
            ))  # fmt: skip
        except OptionError as error:
            reasons.append(str(error))
    if not measured:
        raise OptionError(reasons[0])
    for reason in reasons:
        print(f"passed over: {reason}", file=sys.stderr)
    return measured


if __name__ == "__main__":
    sys.exit(main())
