"""rdrop-probe: does this model overfit or underfit this data, and which regularizer should be tried next?

rdrop-probe model=vit_micro_8 dataset=digits --trials 12       # at most 12 trials
rdrop-probe model=vit_tiny dataset=cifar100 --minutes 30       # at most half an hour; trials are shortened to fit
rdrop-probe model=vit_micro_8 --trials 22 --dry-run            # show the plan and an estimate
rdrop-probe --config-dir my_configs dataset=my_dataset         # presets of your own, in my_configs/dataset/…

It runs pairs of trials with and without standard dropout, on the same seeds, as a sweep. Rerun the same command to
resume, or with a larger budget to add trials.
"""

import argparse
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp import console
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.config.identity import TrialSpec
    from rdrop_exp.probe.budget import Budget
    from rdrop_exp.probe.conditions import ProbeTrial, StandardNoise
    from rdrop_exp.probe.setting import ProbeSetting

STOP_SECONDS = 5.0
"""Seconds of the budget that are reserved for stopping unfinished trials."""
MARK = "# Written by rdrop-probe, which will overwrite it.\n"


def main(arguments: list[str] | None = None) -> int:
    """The console command; returns its exit code: 0, 2 after a user error, 1 if no trial finished."""
    args = _parser().parse_intermixed_args(arguments)
    try:
        return console.run("rdrop-probe", _run, args)
    except KeyboardInterrupt:
        print("rdrop-probe: Stopped and saved. Run the same command to resume.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    question = "Overfitting or underfitting? Paired trials with and without standard dropout, and a sweep to run next."
    parser = argparse.ArgumentParser(prog="rdrop-probe", description=question)
    add = parser.add_argument
    add("overrides", nargs="*", metavar="KEY=VALUE", help="options as for rdrop-exp: model, dataset, schedule, ...")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--trials", type=int, metavar="N", help="run at most N trials (default: 12)")
    budget.add_argument(
        "--minutes", type=float, metavar="M", help="run for at most M minutes; trials are shortened to fit"
    )
    add("--rates", default="", metavar="P,P", help="one or two drop rates to try (default: 0.1,0.3)")
    add("--name", default="probe", help="folder of the trials under output_dir; the next sweep is called NAME_next")
    add("--config-dir", type=Path, metavar="DIR", help="folder of your own presets, as for rdrop-exp")
    add("--dry-run", action="store_true", help="show the plan and stop")
    return parser


def _run(args: argparse.Namespace) -> int:
    from rdrop_exp.probe import advice, setting
    from rdrop_exp.probe.conditions import probe_trials, with_rates
    from rdrop_exp.probe.findings import judge, read_findings, report
    from rdrop_exp.runs.folder import trial_folder

    start = time.monotonic()
    target = Path("sweeps") / f"{args.name}_next.yaml"
    if target.exists() and not target.read_text(encoding="utf-8").startswith(MARK):
        raise OptionError(
            f"--name={args.name}: {target} exists and was not written by rdrop-probe; choose another name"
        )
    with setting.hydra_ready():
        given = setting.examine(*setting.parse(args.overrides), args.config_dir)
        noise = with_rates(given.noise, _rates(args.rates))
        budget = _budget(args, given, noise)
        trials = probe_trials(given.o, budget, noise, given.per_epoch, given.sizes["train"])
        specs = [_spec(given, trial, args.name) for trial in trials]
    _show(budget, trials, noise)
    if args.dry_run:
        return 0
    run_all(given, trials, args.name, None if args.minutes is None else start + 60 * args.minutes - STOP_SECONDS)
    findings = read_findings(trials, [trial_folder(spec) for spec in specs])
    verdict = judge(findings)
    lines = report(findings, verdict, noise, budget.notes)
    print("\n".join(["", *lines, "", advice.recommendation(verdict, given.branches)]))
    sites = {"branches": given.branches, "dropouts": given.dropouts}
    content = {"name": args.name} | advice.sweep(verdict, noise, given.overrides, findings.seeds, **sites)
    write_sweep(target, content, f"Verdict: {verdict}")
    count = advice.count_trials(content)
    presets = f"--config-dir {shlex.quote(str(args.config_dir))} " if args.config_dir else ""
    print(f"  rdrop-exp {presets}-m sweep={target.stem} hydra.sweeper.folder=sweeps    # {count} trials")
    return 0 if findings.seeds else 1


def _rates(text: str) -> tuple[float, ...]:
    try:
        rates = tuple(float(word) for word in text.split(",") if word)
    except ValueError:
        raise OptionError(f"--rates={text} must be numbers, such as 0.1,0.3") from None
    if len(rates) > 2 or not all(0 < rate < 1 for rate in rates):
        raise OptionError(f"--rates={text} must be one or two rates between 0 and 1, both excluded")
    return rates


def _budget(args: argparse.Namespace, given: "ProbeSetting", noise: "StandardNoise") -> "Budget":
    from rdrop_exp.probe.budget import for_minutes, for_trials
    from rdrop_exp.probe.conditions import possible
    from rdrop_exp.probe.setting import measure_cost

    allowed = possible(given.o, given.sizes["train"]) | {"higher_rate": len(noise.rates) > 1}
    if args.minutes is None:
        trials = 12 if args.trials is None else args.trials
        for_trials(trials, None, **allowed)  # rejects too few trials before anything is timed
        return for_trials(trials, measure_cost(given), **allowed)
    if args.minutes <= 0:
        raise OptionError(f"--minutes={args.minutes:g} must be above 0")
    return for_minutes(args.minutes, measure_cost(given), **allowed)


def _spec(given: "ProbeSetting", trial: "ProbeTrial", name: str) -> "TrialSpec":
    from rdrop_exp.config.identity import trial_spec
    from rdrop_exp.probe.setting import composed

    return trial_spec(composed(given.overrides | trial.overrides | {"name": name}, given.config_dir))


def _show(budget: "Budget", trials: "list[ProbeTrial]", noise: "StandardNoise") -> None:
    from rdrop_exp.probe.conditions import DATA_FRACTION

    seeds = budget.seeds
    parts = [f"{seeds.base} seeds without and with {noise.regularizer} {noise.rates[0]:g}"]
    parts += [f"{seeds.higher_rate} with {noise.rates[-1]:g}"] * bool(seeds.higher_rate)
    parts += [f"{seeds.less_data} pairs on {DATA_FRACTION:.0%} of the data"] * bool(seeds.less_data)
    parts += [f"{seeds.smaller_model} pairs of a smaller model"] * bool(seeds.smaller_model)
    estimate = "" if budget.seconds is None else f", about {max(1, round(budget.seconds / 60))} min from scratch"
    print(f"{len(trials)} trials{estimate}: {'; '.join(parts)}", *budget.notes, sep="\n", flush=True)


def run_all(given: "ProbeSetting", trials: "list[ProbeTrial]", experiment: str, deadline: float | None) -> None:
    """First the trials that the verdict needs, then those of the trends: one sweep would start with the longest."""
    from rdrop_exp.probe.conditions import Condition

    needed = [t for t in trials if t.condition == Condition.GIVEN]
    extra = [t for t in trials if t.condition != Condition.GIVEN]
    for name, title, part in (("verdict", "Probe: given setting", needed), ("trends", "Probe: trends", extra)):
        left = None if deadline is None else deadline - time.monotonic()
        if part and (left is None or left > 0):
            sweep = {"name": experiment, "title": title, "baseline": "none", "overrides": given.overrides}
            launch(given, name, sweep | {"grids": [{"overrides": trial.overrides} for trial in part]}, left)


def launch(given: "ProbeSetting", name: str, sweep: dict[str, Any], seconds: float | None) -> None:
    """Run a sweep of this name with rdrop-exp, which skips finished trials; stop it after so many seconds."""
    from rdrop_exp.probe.setting import command

    folder = Path(given.o.output_dir) / sweep["name"]
    write_sweep(folder / f"{name}.yaml", sweep)
    words = ["-m", f"sweep={name}", f"hydra.sweeper.folder='{folder}'", *given.launcher]
    process = subprocess.Popen(command(given, *words))
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        print("Time is up: stopping unfinished trials.", flush=True)
        process.send_signal(signal.SIGTERM)
        process.wait()
    except KeyboardInterrupt:  # the sweep receives it too, and saves its trials
        process.wait()
        raise
    if process.returncode == 2:
        raise OptionError("the sweep was rejected: see the message above")


def write_sweep(path: Path, content: dict[str, Any], *comments: str) -> None:
    """A sweep file with the probe's mark; overrides that are numbers are written as numbers."""
    import yaml  # type: ignore[import-untyped]

    def as_numbers(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: as_numbers(each) for key, each in value.items()}
        if isinstance(value, list):
            return [as_numbers(each) for each in value]
        number = isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value)
        return yaml.safe_load(value) if number else value

    head = "".join(f"# {comment}\n" for comment in comments)
    text = yaml.safe_dump(as_numbers(content), sort_keys=False, width=120, allow_unicode=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MARK + head + text, encoding="utf-8")
