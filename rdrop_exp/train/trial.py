"""One trial from options to result.json: skipped when finished, resumed when started, stopped without loss."""

import json
import traceback
from pathlib import Path
from typing import Any

import torch

from hydra_slots.lock import lock
from hydra_slots.protocol import Status
from rdrop_exp.config.identity import TrialSpec, trial_spec
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.hardware import bf16_hint, describe_device, versions
from rdrop_exp.questions.measure import shown
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import (
    describe,
    finished,
    last_row,
    made_by,
    make_folder,
    paused,
    place_trial,
    read_result,
    write_generated,
    write_items,
    write_result,
    write_start,
)
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train import checkpoint, loggers
from rdrop_exp.train.follow import MakeAnalysis, follow
from rdrop_exp.train.forks import Forks
from rdrop_exp.train.joining import joined
from rdrop_exp.train.loop import train
from rdrop_exp.train.parallel import World
from rdrop_exp.train.saving import checkpoint_hook
from rdrop_exp.train.setup import Setup, set_up
from rdrop_exp.train.state import Progress
from rdrop_exp.train.stopping import Paused, signals
from rdrop_exp.train.tracking import Tracker

Result = dict[str, Any]
Placed = tuple[TrialSpec, Path, str]
"""As `runs.folder.place_trial`."""


def place(options: Options) -> Placed:
    """Where the trial is, with the data as they are now: files of one's own are listed, or read, for it."""
    return place_trial(trial_spec(options, task_of(options).fingerprint(options.dataset)))


def run(
    options: Options, command: str = "", make_analysis: MakeAnalysis | None = None, placed: Placed | None = None
) -> Result | None:
    """Run the trial unless it is finished; return what result.json holds, or None while another process runs it.

    Of a trial that pauses (`pause_epoch`), the metrics of its last validation; the same trial without it trains on.
    Everything that can be wrong with the options raises `OptionError` before anything is written. SIGINT and SIGTERM
    save a checkpoint and raise KeyboardInterrupt or SystemExit. `make_analysis` makes what `analysis.every` calls.
    `placed`: what `place` gave, where that is known.

    Of several ranks (`joining`), the first does all that is written here; None on the others.
    """
    with joined() as world:
        if world.rank:
            follow(world, make_analysis)
            return None
        try:
            return _run(placed or place(options), command, make_analysis, world)
        finally:
            world.start(None)


def _run(placed: Placed, command: str, make_analysis: MakeAnalysis | None, world: World) -> Result | None:
    spec, folder, changed = placed
    if finished(folder):
        other = code.differs(made_by(folder))
        print(f"Already finished: {folder}{f' (made by other code: {other})' if other else ''}")
        if spec.options.monte_carlo and "test/ece" not in read_result(folder).get("metrics", {}):
            print("It was tested without monte_carlo: rdrop-analyze --set test measures the same from its weights")
        if not spec.options.keep_weights:  # it may have been stopped just before this
            checkpoint.remove_outcome(folder)
        return read_result(folder)
    if paused(folder, spec.options.pause_epoch):
        print(f"Already paused, or further, at epoch {spec.options.pause_epoch}: {folder}")
        return describe(spec) | so_far(folder)
    if spec.options.analysis.every and make_analysis is None:
        raise OptionError(f"analysis.every={spec.options.analysis.every} has no effect without `make_analysis`")
    loggers.check(spec.options)
    world.start((spec, folder))
    setup = world.together(lambda: set_up(spec.options, world))
    make_folder(folder)
    with lock(folder) as acquired:
        if not acquired:
            print(f"Another process is running this trial: {folder}")
            return None
        if finished(folder):  # by the process that held the lock a moment ago
            return read_result(folder)
        if changed:
            print(changed, flush=True)
        device = describe_device(setup.device)
        about = describe(spec) | {"command": command, "device": device, "versions": versions()}
        about["metric"] = {"name": setup.task.metric, "higher_is_better": setup.task.higher_is_better}
        about["metric"] |= {"signature": setup.task.signature()} if setup.task.signature else {}
        about |= {"ranks": world.size} if world.size > 1 else {}
        about["data"] = {"fingerprint": spec.fingerprint, "summary": setup.data.summary, "counts": setup.data.counts}
        saved = resumable(folder, spec.identity, setup.device)
        about["code"] = code.resumed(made_by(folder) if saved else {}, spec.options)
        write_start(folder, about)
        if saved and "result" in saved:  # it was stopped between its last two files
            result: Result = about | saved["result"]
            print(f"Finished before it was stopped; its result is restored: {folder}", flush=True)
            checkpoint.tidy(folder)
            write_result(folder, result)
        else:
            world.start(saved["state"]["step"] if saved else 0)
            forks = Forks(spec, folder, setup, about)
            result = _train(spec, folder, about, setup, saved, make_analysis, forks)
            forks.tidy()
        if not spec.options.keep_weights and result["status"] != Status.PAUSED:
            (folder / checkpoint.NAME).unlink(missing_ok=True)
    if setup.device.type == "cuda":
        torch.cuda.empty_cache()  # a warm worker beside others must not keep what it no longer uses
    return result


def resumable(folder: Path, identity: str, device: torch.device) -> dict[str, Any] | None:
    """This trial's checkpoint, where all rows of metrics that it counts on are there; else None: start again."""
    saved = checkpoint.load(folder, device, identity)
    if saved is None or "result" in saved:
        return saved
    rows = folder / "metrics.jsonl"
    written = rows.stat().st_size if rows.is_file() else 0
    if written < saved["state"]["rows"]:
        checkpoint.log.warning("%s has lost rows that its checkpoint counts on; training starts again", rows)
        return None
    return saved


def _train(
    spec: TrialSpec,
    folder: Path,
    about: Result,
    setup: Setup,
    saved: dict[str, Any] | None,
    make_analysis: MakeAnalysis | None,
    forks: Forks,
) -> Result:
    """Train and test. What is left last: items, texts, weights, then result.json, and only then is W&B waited for."""
    o, progress = spec.options, Progress(**saved["state"]) if saved else Progress()
    with Tracker(spec, folder, progress.rows) as tracker, signals(setup.world.echo) as received:
        parameters = f"{sum(p.numel() for p in setup.network.parameters()):,} parameters"
        start = f"resuming from step {progress.step}" if saved else parameters
        ranks = f" × {setup.world.size}" if setup.world.size > 1 else ""
        tracker.message(f"{folder.name}: {start}, {setup.total_steps} steps on {setup.device}{ranks}")
        tracker.message(setup.data.summary)
        if setup.data.counts:
            tracker.message(f"{setup.task.unit} of each class: {json.dumps(setup.data.counts)}", quiet=True)
        width = o.model.args.get("embed_dim")
        if setup.device.type == "cpu" and (hint := bf16_hint(o.model.name, width, o.precision, o.compile)):
            tracker.message(hint)
        # What a preset sets in vain is its own affair.
        if ignored := [name for name in spec.unused if not about["command"] or f"{name}=" in about["command"]]:
            tracker.message(f"Ignored (no effect with these options): {', '.join(ignored)}")
        saved = saved or forks.start(tracker)
        try:
            analyse = make_analysis(setup) if make_analysis and o.analysis.every else None
            hook = checkpoint_hook(spec, folder, setup, received, tracker, forks)
            progress, items, generated = train(setup, saved, tracker.row, hook, analyse)
        except Paused:
            return about | so_far(folder)
        except Exception as own:
            error = setup.world.explained(own)
            tracker.message("".join(traceback.format_exception(error)), quiet=True)
            write_result(folder, about | {"status": Status.FAILED, "error": str(error) or type(error).__name__})
            error.log = folder / "log.txt"  # type: ignore[attr-defined]
            raise error from error.__cause__
        result = outcome(setup, progress) | ({"wandb": tracker.wandb_url} if tracker.wandb_url else {})
        write_items(folder, {name: values.numpy() for name, values in items.items()})
        write_generated(folder, generated)
        weights = {"model": setup.network.state_dict()} if o.keep_weights else {}
        checkpoint.finish(folder, weights | {"identity": spec.identity, "result": result})
        write_result(folder, about | result)
        tracker.message(
            f"{folder.name}: test {shown(setup.task.metric, result['metrics'][f'test/{setup.task.metric}'])}"
            f" (weights of epoch {progress.best_epoch}, {progress.seconds:.0f} s)"
        )
        tracker.summary(result)
    return about | result


def so_far(folder: Path) -> Result:
    """What is known of a paused trial: the metrics of its last row."""
    row = last_row(folder)
    metrics = {name: value for name, value in row.items() if name.startswith(("val/", "train/"))}
    return {"status": Status.PAUSED, "metrics": metrics}


def outcome(setup: Setup, p: Progress) -> dict[str, Any]:
    """The part of result.json that training makes."""
    units = setup.task.units_per_step(setup.options, setup.data)
    return {
        "status": Status.FINISHED.value,  # plain: it is part of a checkpoint
        "metrics": p.metrics,
        "best_epoch": p.best_epoch,
        "steps": p.step,
        "seconds": p.seconds,
        **({"shared_seconds": p.shared_seconds} if p.shared_seconds else {}),
        f"{setup.task.unit}_per_second": p.step * units / max(p.train_seconds, 1e-9),
        **({"tokens_per_step": units} if setup.task.unit == "tokens" else {}),
    }
