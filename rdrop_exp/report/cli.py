"""rdrop-report: compare the trials in a folder.

rdrop-report outputs/alpha                    # table in the terminal, page in outputs/alpha/report.html
rdrop-report outputs/alpha --watch            # serve the page while a sweep runs
rdrop-report machine1/alpha machine2/alpha --csv > alpha.csv
rdrop-report outputs/alpha --no-page --figures figures --latex > alpha.tex
rdrop-report outputs/alpha --confirm          # train the best group and the baseline on fresh seeds, and report those
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rdrop_exp import console

if TYPE_CHECKING:
    from rdrop_exp.report.comparison import Report


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, or 2 after an error message of one sentence."""
    words, parser = list(sys.argv[1:] if arguments is None else arguments), _parser()
    end = words.index("--") if "--" in words else len(words)
    given = parser.parse_args(words[:end])
    given.passed = words[end + 1 :]
    if given.passed and given.confirm is None:
        parser.error("options after -- are for the trials of --confirm")
    if given.confirm is not None and (given.watch or given.claims):
        parser.error("--confirm cannot be combined with --watch or --claims")
    return console.run("rdrop-report", _run, given)


def _parser() -> argparse.ArgumentParser:
    question = "Compare trials: which regularizer is best, and is the gain significant?"
    parser = argparse.ArgumentParser(prog="rdrop-report", description=question)
    add = parser.add_argument
    add(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="trial folders, or folders that contain them at any depth",
    )
    add(
        "--baseline",
        default="",
        metavar="NAME",
        help="group or regularizer to compare with (default: the sweep's, else none)",
    )
    add("--metric", default="", metavar="NAME", help="metric to compare, such as val/loss (default: accuracy)")
    add(
        "--smallest",
        type=float,
        metavar="X",
        help="smallest difference worth having, such as 0.5 points (default: the sweep's)",
    )
    add("--power", type=float, default=0.8, metavar="P", help="power for which seeds are projected (default: 0.8)")
    add("--top", type=int, default=30, metavar="N", help="number of groups to print; 0 prints all (default: 30)")
    add("--page", type=Path, metavar="PATH", help="where to write the page (default: report.html in the first folder)")
    add("--figures", type=Path, metavar="DIR", help="save every figure of the page as SVG and PNG (needs Chrome)")
    add("--no-page", action="store_true", help="print the table only")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV with one line per group instead of writing a page")
    form.add_argument("--json", action="store_true", help="print JSON instead of writing a page")
    form.add_argument(
        "--parquet",
        type=Path,
        metavar="PATH",
        help="write Parquet with one row per group instead of a page (needs pyarrow)",
    )
    form.add_argument("--markdown", action="store_true", help="print Markdown instead of writing a page")
    form.add_argument(
        "--claims",
        nargs="?",
        const=Path("-"),
        type=Path,
        metavar="PATH",
        help="print what all sweeps in the folders expected, and the answers, as Markdown (with PATH: to that file)",
    )
    form.add_argument("--latex", action="store_true", help="print LaTeX tables (booktabs) instead of writing a page")
    form.add_argument(
        "--watch", action="store_true", help="serve the page on localhost and update it while a sweep runs"
    )
    add(
        "--confirm",
        nargs="?",
        const=True,
        type=int,
        metavar="N",
        help="train the best group and the baseline on N fresh seeds (default: as many as --power needs), and report"
        " those alone; options after -- go to rdrop-exp, such as -- hydra.launcher.per_gpu=2",
    )
    add("--same-code", action="store_true", help="leave out trials that were made by other, or unknown, code")
    add("--port", type=int, default=8317, help="port for --watch (default: 8317)")
    add("--wandb", action="store_true", help="log table and page to the W&B group of the sweep")
    add("--workspace", action="store_true", help="save a W&B workspace (needs wandb-workspaces and a key)")
    return parser


def _run(given: argparse.Namespace) -> None:
    import rdrop_exp.report.table as table
    from rdrop_exp.report.compare import make_report

    if given.claims:
        from rdrop_exp.report import claims

        text = claims.as_markdown(given.folders, given.smallest, given.power)
        if given.claims == Path("-"):
            print(text.rstrip("\n"))
        else:
            given.claims.write_text(text, encoding="utf-8")
        return
    if given.watch:
        from rdrop_exp.report.serve import serve
        from rdrop_exp.report.trial import Trial

        known: dict[str, tuple[int, Trial]] = {}

        def read() -> "Report":
            return make_report(
                given.folders,
                given.baseline,
                given.metric,
                known,
                smallest=given.smallest,
                power=given.power,
                same_code=given.same_code,
            )

        serve(read, given.port)
        return
    report = make_report(
        given.folders,
        given.baseline,
        given.metric,
        smallest=given.smallest,
        power=given.power,
        same_code=given.same_code,
    )
    if given.confirm is not None:
        from rdrop_exp.report.confirm import confirm

        given.folders = [confirm(report, None if given.confirm is True else given.confirm, given.passed)]
        if "hydra.launcher.dry_run=true" in given.passed:
            return
        report = make_report(
            given.folders, "", given.metric, smallest=given.smallest, power=given.power, same_code=given.same_code
        )
    printed = as_text(report, given)
    if given.parquet:
        from rdrop_exp.report.export import write_parquet

        write_parquet(report, given.parquet)
        print(f"Parquet: {given.parquet}")
    elif printed:
        print(printed.rstrip("\n"))
    else:
        table.print_report(report, table.terminal(), given.top)
    where = sys.stderr if printed else sys.stdout
    page = given.page or (None if printed or given.parquet or given.no_page else given.folders[0] / "report.html")
    if page or given.wandb or given.figures:
        from rdrop_exp.report.page import build_page

        html = build_page(report)
        if page:
            page.write_text(html, encoding="utf-8")
            print(f"Page: {page}", file=where)
        if given.figures:
            from rdrop_exp.report.pictures import write_figures

            print(f"Figures: {given.figures} ({len(write_figures(html, given.figures))} files)", file=where)
        if given.wandb:
            from rdrop_exp.report.wandb import log_report

            print(log_report(report, html, given.folders[0]), file=where)
    if given.workspace:
        from rdrop_exp.report.workspace import save_workspace

        print(f"W&B workspace: {save_workspace(report)}", file=where)


def as_text(report: "Report", given: argparse.Namespace) -> str:
    """The report in the form that was asked for; empty where none was."""
    from rdrop_exp.report import export, latex, table

    forms = {"csv": export.as_csv, "json": export.as_json, "markdown": table.as_markdown, "latex": latex.as_latex}
    return next((form(report) for name, form in forms.items() if getattr(given, name)), "")


if __name__ == "__main__":
    sys.exit(main())
