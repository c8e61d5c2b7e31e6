"""rdrop-probe: does this model over-fit or under-fit this data, and which regularizer to try next?

rdrop-probe model=vit_micro_8 dataset=digits --trials 12       # at most 12 trials
rdrop-probe model=vit_tiny dataset=cifar100 --minutes 30       # at most half an hour, shortened where it must be
rdrop-probe model=vit_micro_8 --trials 22 --dry-run            # what would run, and for how long

Pairs of trials with and without standard dropout, of the same seeds, run as a sweep: the same command goes on where it
was stopped, and a larger budget adds to what is there.
"""

import argparse
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.probe.budget import Plan
    from rdrop_exp.probe.conditions import Run, StandardNoise
    from rdrop_exp.probe.setting import Setting

STOPPING = 5.0
"""Seconds of the budget that are kept for stopping what still runs."""
MARK = "# Written by rdrop-probe, which will overwrite it.\n"


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, 2 for what cannot be done, 1 where no trial finished."""
    given = _parser().parse_intermixed_args(arguments)
    try:
        return _run(given)
    except KeyboardInterrupt:
        print("rdrop-probe: stopped; the same command goes on", file=sys.stderr)
        return 130
    except (OptionError, OSError) as error:
        print(f"rdrop-probe: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    question = (
        "Over-fitting or under-fitting? Short paired trials with and without standard dropout, and what to try next."
    )
    parser = argparse.ArgumentParser(prog="rdrop-probe", description=question)
    add = parser.add_argument
    add(
        "overrides", nargs="*", metavar="KEY=VALUE", help="the setting, as for rdrop-exp: model, dataset, schedule, ..."
    )
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--trials", type=int, metavar="N", help="at most so many trials (default: 12)")
    budget.add_argument("--minutes", type=float, metavar="M", help="at most so long; trials are shortened to fit")
    add("--rates", default="", metavar="P,P", help="one or two rates to try, gentlest first (default: 0.1,0.3)")
    add("--name", default="probe", help="folder of its trials under output_dir, and NAME_next of the sweep it writes")
    add("--dry-run", action="store_true", help="show the plan and stop")
    return parser


def _run(given: argparse.Namespace) -> int:
    from rdrop_exp.probe import advice, setting
    from rdrop_exp.probe.conditions import runs, with_rates
    from rdrop_exp.probe.findings import judge, read, report

    started = time.monotonic()
    target = Path("sweeps") / f"{given.name}_next.yaml"
    if target.exists() and not target.read_text(encoding="utf-8").startswith(MARK):
        raise OptionError(f"{target} is there and not of the probe's making: choose another --name")
    with setting.hydra_ready():
        own = setting.examine(*setting.parse(given.overrides))
        noise = with_rates(own.noise, _rates(given.rates))
        plan = _plan(given, own, noise)
        planned = runs(own.o, plan, noise, own.per_epoch, own.sizes["train"])
        folders = [_folder(own, run, given.name) for run in planned]
    _show(plan, planned, noise)
    if given.dry_run:
        return 0
    run_all(own, planned, given.name, None if given.minutes is None else started + 60 * given.minutes - STOPPING)
    found = read(planned, folders)
    judged = judge(found)
    print("\n".join(["", *report(found, judged, noise, plan.notes), "", *advice.sentences(judged, own.branches)]))
    places = {"branches": own.branches, "dropouts": own.dropouts}
    content = {"name": given.name} | advice.sweep(judged, noise, own.overrides, found.seeds, **places)
    write_sweep(target, content, f"It found: {judged}")
    count = advice.count(content)
    print(f"  rdrop-exp -m sweep={target.stem} hydra.sweeper.folder=sweeps    # {count} trials")
    return 0 if found.seeds else 1


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(word) for word in text.split(",") if word)
    except ValueError:
        raise OptionError(f"--rates={text} must be numbers, such as 0.1,0.3") from None
    if len(rates) > 2 or not all(0 < rate < 1 for rate in rates):
        raise OptionError(f"--rates={text} must be one or two rates above 0 and below 1")
    return rates


def _plan(given: argparse.Namespace, own: "Setting", noise: "StandardNoise") -> "Plan":
    from rdrop_exp.probe.budget import for_minutes, for_trials
    from rdrop_exp.probe.conditions import possible
    from rdrop_exp.probe.setting import time_a_few_steps

    allowed = possible(own.o, own.sizes["train"]) | {"strong": len(noise.rates) > 1}
    if given.minutes is None:
        trials = 12 if given.trials is None else given.trials
        for_trials(trials, None, **allowed)  # too few is said before anything is timed
        return for_trials(trials, time_a_few_steps(own), **allowed)
    if given.minutes <= 0:
        raise OptionError(f"--minutes={given.minutes:g} must be above 0")
    return for_minutes(given.minutes, time_a_few_steps(own), **allowed)


def _folder(own: "Setting", run: "Run", name: str) -> Path:
    from rdrop_exp.config.identity import trial_spec
    from rdrop_exp.probe.setting import composed
    from rdrop_exp.runs.folder import trial_folder

    return trial_folder(trial_spec(composed(own.overrides | run.overrides | {"name": name})))


def _show(plan: "Plan", planned: "list[Run]", noise: "StandardNoise") -> None:
    made = plan.layout
    parts = [f"{made.seeds} seeds without and with {noise.regularizer} {noise.rates[0]:g}"]
    parts += [f"{made.strong} with {noise.rates[-1]:g}"] * bool(made.strong)
    parts += [f"{made.less_data} pairs on 30 % of the data"] * bool(made.less_data)
    parts += [f"{made.smaller} pairs of a smaller model"] * bool(made.smaller)
    took = "" if plan.seconds is None else f", about {max(1, round(plan.seconds / 60))} min if none is done yet"
    print(f"{len(planned)} trials{took}: {'; '.join(parts)}", *plan.notes, sep="\n", flush=True)


def run_all(own: "Setting", planned: "list[Run]", name: str, deadline: float | None) -> None:
    """The trials that the verdict needs, then those of the trends: within a sweep the longest would come first."""
    parts = {"verdict": [r for r in planned if r.arm == "own"], "trends": [r for r in planned if r.arm != "own"]}
    for title, part in parts.items():
        left = None if deadline is None else deadline - time.monotonic()
        if part and (left is None or left > 0):
            launch(own, part, name, title, left)


def launch(own: "Setting", part: "list[Run]", name: str, title: str, seconds: float | None) -> None:
    """Run these trials as a sweep of rdrop-exp, which skips what is finished; after so many seconds it is stopped."""
    from rdrop_exp.probe.setting import command

    folder = Path(own.o.output_dir) / name
    grids = [{"overrides": run.overrides} for run in part]
    content = {"name": name, "title": f"Probe, {title}", "baseline": "none", "overrides": own.overrides, "grids": grids}
    write_sweep(folder / f"{title}.yaml", content)
    process = subprocess.Popen(command("-m", f"sweep={title}", f"hydra.sweeper.folder='{folder}'", *own.launcher))
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print("The time is up: stopping what still runs.", flush=True)
        process.send_signal(signal.SIGTERM)
        process.wait()
    except KeyboardInterrupt:  # the runner got it as well, and lets its trials save themselves
        process.wait()
        raise
    if process.returncode == 2:
        raise OptionError("the trials could not be planned: see above")


def write_sweep(path: Path, content: dict[str, Any], *comments: str) -> None:
    """A sweep file, marked as the probe's own; numbers among the overrides are written as such."""
    import yaml  # type: ignore[import-untyped]

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, list):
            return [plain(each) for each in value]
        number = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)
        return yaml.safe_load(value) if number else value

    head = "".join(f"# {comment}\n" for comment in comments)
    text = yaml.safe_dump(plain(content), sort_keys=False, width=120, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MARK + head + text, encoding="utf-8")
