"""Where a trial reports: metrics.jsonl, log.txt, the terminal, and Weights & Biases.

Nothing here can stop or delay a trial: W&B is fed from a thread of its own, with time-outs, and its failure costs a
warning; so does a terminal that goes away.
"""

import json
import logging
import math
import os
import queue
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.config.schema import first_line
from rdrop_exp.questions.measure import shown
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import read_rows
from rdrop_exp.runs.wandb_run import run_id, start_run
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train import loggers

log = logging.getLogger("rdrop_exp")

CLOSE_SECONDS = 60.0
"""Longest wait for W&B at the end of a trial."""


class Tracker:
    """One trial's rows and messages; a context manager that closes everything."""

    def __init__(self, spec: TrialSpec, folder: Path, rows: int) -> None:
        """`rows`: bytes of metrics.jsonl to keep when a trial resumes (what was written after its checkpoint goes)."""
        o = spec.options
        self._rows = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._rows.truncate(min(rows, self._rows.tell()))  # never longer: that would pad the file with zeros
        self._log = (folder / "log.txt").open("a", encoding="utf-8")
        # Under a launcher that sends stdout to the same file, a line is written once.
        self._echo = not _same_file(sys.stdout, self._log)
        task = task_of(o)
        self._selected, self._unit = task.selection(o)[0], task.unit
        self._bar = _Bar(self._selected) if o.logger.progress and sys.stdout.isatty() else None
        self._lines = o.logger.progress
        self._wandb = None if o.logger.wandb == "disabled" else _Wandb(spec, folder)
        self._also = [_Also(spec, folder, name) for name in o.logger.also]

    def row(self, row: dict[str, float]) -> int:
        """Write one row of metrics (`step`: optimizer steps done); the size of metrics.jsonl with it."""
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()
        for logger in self._also:
            logger.log(row)
        if self._wandb:
            self._wandb.log(row)
            if self._wandb.announcement:  # once it has started, whenever that is
                self.message(self._wandb.announcement, quiet=self._bar is not None)
                self._wandb.announcement = ""
        if self._bar:
            self._bar.show(row)
        if f"val/{self._selected}" in row:
            self.message(
                f"epoch {row['epoch']:g}  loss {row['train/loss']:.4f}  {validated(self._selected, row)}"
                f"  {row[f'{self._unit}_per_second']:,.0f} {self._unit}/s",
                quiet=self._bar is not None or not self._lines,
            )
        return self._rows.tell()

    def advance(self, share: float) -> None:
        """Show that this share of training is done; between rows there is nothing else to show."""
        if self._bar:
            self._bar.advance(share)

    def message(self, text: str, quiet: bool = False) -> None:
        """A line for log.txt and, unless `quiet`, the terminal."""
        self._log.write(text + "\n")
        self._log.flush()
        if quiet or not self._echo:
            return
        try:
            print(text, flush=True)
        except BrokenPipeError:  # `| head` has seen enough: the trial goes on
            self._echo = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    @property
    def wandb_url(self) -> str:
        """The run's address; empty where it is not online."""
        return self._wandb.url if self._wandb else ""

    def summary(self, result: dict[str, Any]) -> None:
        """The final metrics, for W&B's table of runs."""
        values = result["metrics"] | {key: result[key] for key in ("best_epoch", "seconds")}
        for logger in [*([self._wandb] if self._wandb else []), *self._also]:
            logger.summary(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.close()
        for logger in [*([self._wandb] if self._wandb else []), *self._also]:
            logger.close(exit_code=0 if kind is None else 1)
        self._rows.close()
        self._log.close()


def validated(name: str, row: dict[str, float]) -> str:
    """What validation selects by, for people: `val 97.21%`, `val perplexity 12.3`."""
    text = shown(name, row[f"val/{name}"])
    return f"val {text.removeprefix('accuracy ')}"


class _Bar:
    """A progress bar with the time left, in a terminal."""

    def __init__(self, selected: str) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(),
            "{task.percentage:>3.0f}%",
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0)
        self._selected, self._last = selected, dict[str, float]()
        self._progress.start()

    def show(self, row: dict[str, float]) -> None:
        self._last |= row
        names = {"epoch": "epoch {:.1f}", "train/loss": "loss {:.4f}"}
        words = [form.format(self._last[name]) for name, form in names.items() if name in self._last]
        words += [validated(self._selected, self._last)] if f"val/{self._selected}" in self._last else []
        text = "  ".join(words)
        self._progress.update(self._task, completed=row.get("progress", 0.0), description=text)

    def advance(self, share: float) -> None:
        self._progress.update(self._task, completed=share)

    def close(self) -> None:
        self._progress.stop()


class _Wandb:
    """A W&B run fed from a thread: nothing waits for it until the end, and then only so long."""

    title = "W&B"

    def __init__(self, spec: TrialSpec, folder: Path) -> None:
        self._earlier = read_rows(folder)
        self._queue: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self._exit_code = 0
        self._abandoned = False
        self.url = self.announcement = ""
        self._spec, self._folder = spec, folder
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def log(self, row: dict[str, Any]) -> None:
        self._queue.put(("log", row))

    def summary(self, values: dict[str, Any]) -> None:
        self._queue.put(("summary", values))

    def close(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._queue.put(None)
        self._thread.join(timeout=CLOSE_SECONDS)
        if self._thread.is_alive():
            self._abandoned = True
            log.warning("%s did not finish in time; the trial's own files are complete", self.title)

    def _work(self) -> None:
        try:
            run = self._start()
            while (item := self._queue.get()) is not None:
                kind, values = item
                if kind == "summary":
                    run.log({}, commit=True)  # the last row, which would overwrite these values if it came later
                    run.summary.update(_finite(values))
                else:
                    _log_row(run, values)
            run.finish(exit_code=self._exit_code)
        except Exception as error:  # whatever W&B does, the trial goes on
            if not self._abandoned:
                log.warning("W&B is not logging this trial: %s", first_line(error))

    def _start(self) -> Any:
        spec, o = self._spec, self._spec.options
        assert o.logger.wandb != "disabled"
        run, why_offline = start_run(
            o.logger.wandb,
            self._folder,
            resume=True,
            project=o.logger.project,
            entity=o.logger.entity or None,
            id=run_id(spec.identity, o.name),
            name=self._folder.name,
            group=o.name,
            job_type=spec.name.removesuffix(f"-s{o.seed}"),
            tags=[o.dataset.label or o.dataset.name, o.model.label or o.model.name, o.regularizer.name, *o.logger.tags],
            config=asdict(o) | {"group": spec.group, "identity": spec.identity, "code": code.current()},
        )
        if why_offline.startswith("W&B cannot be reached"):
            log.warning("%s; logging offline, for `wandb sync`", why_offline)
        self.url = "" if why_offline else str(run.url)
        self.announcement = f"W&B: offline ({why_offline})" if why_offline else f"W&B: {self.url}"
        # Rows of a part that was stopped and that this run lacks: all of them offline, where each part has a run folder
        # of its own and W&B does not join two; online those that a killed process did not send.
        for row in self._earlier:
            if row.get("step", -1) >= run.step:
                _log_row(run, row)
        return run


class _Also(_Wandb):
    """A further logger, fed in the same way."""

    def __init__(self, spec: TrialSpec, folder: Path, name: str) -> None:
        self.title = name
        super().__init__(spec, folder)

    def _work(self) -> None:
        try:
            logger = loggers.start(self.title, self._spec, self._folder, [_finite(row) for row in self._earlier])
            while (item := self._queue.get()) is not None:
                kind, values = item
                (logger.summary if kind == "summary" else logger.log)(_finite(values))
            logger.close(failed=self._exit_code != 0)
        except Exception as error:  # as W&B's
            if not self._abandoned:
                log.warning("%s is not logging this trial: %s", self.title, first_line(error))


def _log_row(run: Any, row: dict[str, Any]) -> None:
    run.log({name: value for name, value in _finite(row).items() if name != "step"}, step=int(row["step"]))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)}


def _same_file(stream: Any, file: Any) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.fstat(file.fileno()))
    except (OSError, ValueError, AttributeError):
        return False
