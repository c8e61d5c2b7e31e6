"""Where a trial reports: metrics.jsonl, log.txt, the terminal, Weights & Biases and other loggers.

Nothing here can stop or delay a trial: loggers are fed from threads of their own, with time-outs, and their failure
costs a warning; a terminal may go away.
"""

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.questions.measure import shown
from rdrop_exp.tasks.choose import task_of
from rdrop_exp.train.background import Background, Further, Wandb


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
        self._wandb = None if o.logger.wandb == "disabled" else Wandb(spec, folder)
        self._loggers: list[Background] = [Further(name, spec, folder) for name in o.logger.also]
        self._loggers += [self._wandb] if self._wandb else []

    def row(self, row: dict[str, float]) -> int:
        """Write one row of metrics (`step`: optimizer steps done); the size of metrics.jsonl with it."""
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()
        for logger in self._loggers:
            logger.log(row)
        if self._wandb and self._wandb.announcement:  # once it has started, whenever that is
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
        """The final metrics, for tables of runs."""
        values = result["metrics"] | {key: result[key] for key in ("best_epoch", "seconds")}
        for logger in self._loggers:
            logger.summary(values)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.close()
        for logger in self._loggers:
            logger.close(failed=kind is not None)
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


def _same_file(stream: Any, file: Any) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.fstat(file.fileno()))
    except (OSError, ValueError, AttributeError):
        return False
