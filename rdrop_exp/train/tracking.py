"""What a trial tells the world: metrics.jsonl, log.txt, the terminal, and Weights & Biases.

Nothing here can stop or delay a trial: W&B is talked to from a thread of its own, with time-outs, and its failure costs
a warning.
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
from typing import Any, Literal, Self

from rdrop_exp.config.options import Options

log = logging.getLogger("rdrop_exp")


class Tracker:
    """One trial's rows and messages; a context manager that closes everything."""

    def __init__(self, options: Options, folder: Path, run_id: str, group: str, rows: int) -> None:
        """`rows`: bytes of metrics.jsonl to keep when a trial goes on (what was written after its checkpoint goes)."""
        self._rows = (folder / "metrics.jsonl").open("a", encoding="utf-8")
        self._rows.truncate(rows)
        self._log = (folder / "log.txt").open("a", encoding="utf-8")
        # Under a launcher that sends stdout to the same file, a line is written once.
        self._echo = not _same_file(sys.stdout, self._log)
        self._bar = _Bar() if options.logger.progress and sys.stdout.isatty() else None
        self._lines = options.logger.progress
        self._wandb = None if options.logger.wandb == "disabled" else _Wandb(options, folder, run_id, group)

    def row(self, row: dict[str, float]) -> int:
        """Write one row of metrics (`step`: optimizer steps done); the size of metrics.jsonl with it."""
        self._rows.write(json.dumps(row) + "\n")
        self._rows.flush()
        if self._wandb:
            self._wandb.put("log", {k: v for k, v in row.items() if k != "step"}, int(row["step"]))
        if self._bar:
            self._bar.show(row)
        if "val/accuracy" in row:
            self.message(
                f"epoch {row['epoch']:g}  loss {row['train/loss']:.4f}  val {row['val/accuracy']:.2%}"
                f"  {row['images_per_second']:,.0f} images/s",
                quiet=self._bar is not None or not self._lines,
            )
        return self._rows.tell()

    def message(self, text: str, quiet: bool = False) -> None:
        """A line for log.txt and, unless `quiet`, the terminal."""
        self._log.write(text + "\n")
        self._log.flush()
        if not quiet and self._echo:
            print(text, flush=True)

    def summary(self, metrics: dict[str, Any]) -> None:
        """The final metrics, for W&B's table of runs."""
        if self._wandb:
            self._wandb.put("summary", metrics, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.close()
        if self._wandb:
            self._wandb.close(exit_code=0 if kind is None else 1)
        self._rows.close()
        self._log.close()


class _Bar:
    """A progress bar with the time left, in a terminal."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            BarColumn(),
            "{task.percentage:>3.0f}%",
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            transient=True,
        )
        self._task = self._progress.add_task("", total=1.0)
        self._last: dict[str, float] = {}
        self._progress.start()

    def show(self, row: dict[str, float]) -> None:
        self._last |= row
        names = {"epoch": "epoch {:.1f}", "train/loss": "loss {:.4f}", "val/accuracy": "val {:.2%}"}
        text = "  ".join(form.format(self._last[name]) for name, form in names.items() if name in self._last)
        self._progress.update(self._task, completed=row.get("progress", 0.0), description=text)

    def close(self) -> None:
        self._progress.stop()


class _Wandb:
    """A W&B run fed from a thread: nothing waits for it until the end, and then only so long."""

    reachable = True  # until a run of this process finds otherwise; the others then start offline at once

    def __init__(self, options: Options, folder: Path, run_id: str, group: str) -> None:
        self._queue: queue.Queue[tuple[str, dict[str, Any], int] | None] = queue.Queue()
        self._exit_code = 0
        self._arguments = (options, folder, run_id, group)
        self._thread = threading.Thread(target=self._work, name="wandb", daemon=True)
        self._thread.start()

    def put(self, what: str, values: dict[str, Any], step: int) -> None:
        finite = {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)}
        self._queue.put((what, finite, step))

    def close(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._queue.put(None)
        self._thread.join(timeout=60)
        if self._thread.is_alive():
            log.warning("W&B did not finish in time; the trial's own files are whole")

    def _work(self) -> None:
        try:
            run = self._init()
            while (item := self._queue.get()) is not None:
                what, values, step = item
                if what == "summary":
                    run.summary.update(values)
                else:
                    run.log(values, step=step)
            run.finish(exit_code=self._exit_code)
        except Exception as error:  # whatever W&B does, the trial goes on
            log.warning("W&B is not logging this trial: %s", _first_line(error))

    def _init(self) -> Any:
        choice = self._arguments[0].logger.wandb
        if (choice == "online" or (choice == "auto" and has_key())) and _Wandb.reachable:
            try:
                return self._start("online", resume="allow")
            except Exception as error:
                _Wandb.reachable = False
                log.warning("W&B cannot be reached (%s); logging offline, for `wandb sync`", _first_line(error))
                import wandb

                wandb.teardown()  # its service still holds the id of the run that failed
        return self._start("offline")

    def _start(self, mode: Literal["online", "offline"], **arguments: Any) -> Any:
        import wandb

        o, folder, run_id, group = self._arguments
        return wandb.init(
            project=o.logger.project,
            entity=o.logger.entity or None,
            dir=str(folder),
            id=run_id,
            name=folder.name,
            group=o.name,
            job_type=group,
            tags=[o.dataset.name, o.model.label or o.model.name, o.regularizer.name, *o.logger.tags],
            config=asdict(o) | {"group": group},
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(init_timeout=20, console="off", silent=True, disable_git=True, disable_code=True),
            **arguments,
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def has_key() -> bool:
    """Whether W&B has a key, found without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    hosts: tuple[str, ...] = ("api.wandb.ai", "api.forge.coreweave.com")  # W&B's default server, before and since 0.31
    if base := os.environ.get("WANDB_BASE_URL"):
        hosts = (base.split("//")[-1].split("/")[0].split(":")[0],)
    try:
        known = netrc.netrc(os.environ.get("NETRC") or None)
    except (OSError, netrc.NetrcParseError):
        return False
    return any(known.authenticators(host) for host in hosts)


def _same_file(stream: Any, file: Any) -> bool:
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.fstat(file.fileno()))
    except (OSError, ValueError, AttributeError):
        return False
