"""Loggers fed from threads of their own: nothing waits for one until the end, and its failure costs a warning."""

import logging
import math
import queue
import threading
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rdrop_exp.config.identity import TrialSpec
from rdrop_exp.config.schema import first_line
from rdrop_exp.runs import code
from rdrop_exp.runs.folder import read_rows, same_code_key
from rdrop_exp.runs.wandb_run import run_id, start_run
from rdrop_exp.train import loggers

log = logging.getLogger("rdrop_exp")

CLOSE_SECONDS = 60.0
"""Longest wait for a logger at the end of a trial."""


class Background(ABC):
    """A logger and its thread."""

    def __init__(self, title: str, spec: TrialSpec, folder: Path) -> None:
        self._title, self._spec, self._folder = title, spec, folder
        self._earlier = [_finite(row) for row in read_rows(folder)]
        self._queue: queue.Queue[tuple[str, dict[str, Any]] | None] = queue.Queue()
        self._failed = self._abandoned = False
        self._thread = threading.Thread(target=self._work, name=title, daemon=True)
        self._thread.start()

    @abstractmethod
    def _start(self) -> loggers.Logger:
        """Start logging, with `_earlier`: the rows of the part of the trial that was stopped."""

    def log(self, row: dict[str, Any]) -> None:
        self._queue.put(("log", row))

    def summary(self, values: dict[str, Any]) -> None:
        self._queue.put(("summary", values))

    def close(self, failed: bool) -> None:
        self._failed = failed
        self._queue.put(None)
        self._thread.join(timeout=CLOSE_SECONDS)
        if self._thread.is_alive():
            self._abandoned = True
            log.warning("%s did not finish in time; the trial's own files are complete", self._title)

    def _work(self) -> None:
        try:
            logger = self._start()
            while (item := self._queue.get()) is not None:
                kind, values = item
                (logger.summary if kind == "summary" else logger.log)(_finite(values))
            logger.close(self._failed)
        except Exception as error:  # whatever the logger does, the trial goes on
            if not self._abandoned:
                log.warning("%s is not logging this trial: %s", self._title, first_line(error))


class Further(Background):
    """One of `logger.also`."""

    def _start(self) -> loggers.Logger:
        return loggers.start(self._title, self._spec, self._folder, self._earlier)

    def summary(self, values: dict[str, Any]) -> None:
        super().summary({f"final/{name}": value for name, value in values.items()})  # apart from the rows' values


class Wandb(Background):
    """A W&B run. `announcement`: what to tell once it has started; `url`: its address, empty where it is offline."""

    def __init__(self, spec: TrialSpec, folder: Path) -> None:
        self.url = self.announcement = ""
        super().__init__("W&B", spec, folder)

    def _start(self) -> loggers.Logger:
        spec, o = self._spec, self._spec.options
        assert o.logger.wandb != "disabled"
        run, why_offline = start_run(
            o.logger.wandb,
            self._folder,
            resume=True,
            project=o.logger.project,
            entity=o.logger.entity or None,
            id=run_id(spec.identity, o.name, same_code_key(self._folder)),
            name=self._folder.name,
            group=o.name,
            job_type=spec.name.removesuffix(f"-s{o.seed}"),
            tags=[o.dataset.label or o.dataset.name, o.model.label or o.model.name, o.regularizer.name, *o.logger.tags],
            config=asdict(o) | {"group": spec.group, "identity": spec.identity, "code": code.current(o)},
        )
        if why_offline.startswith("W&B cannot be reached"):
            log.warning("%s; logging offline, for `wandb sync`", why_offline)
        run.define_metric("epoch", hidden=True)
        run.define_metric("*", step_metric="epoch")  # the x-axis of every chart
        self.url = "" if why_offline else str(run.url)
        self.announcement = f"W&B: offline ({why_offline})" if why_offline else f"W&B: {self.url}"
        logger = _WandbRun(run)
        # Rows of a part that was stopped and that this run lacks: all of them offline, where each part has a run folder
        # of its own and W&B does not join two; online those that a killed process did not send.
        for row in self._earlier:
            if row.get("step", -1) >= run.step:
                logger.log(row)
        return logger


class _WandbRun:
    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, row: dict[str, Any]) -> None:
        self._run.log({name: value for name, value in row.items() if name != "step"}, step=int(row["step"]))

    def summary(self, values: dict[str, Any]) -> None:
        self._run.log({}, commit=True)  # the last row, which would overwrite these values if it came later
        self._run.summary.update(values)

    def close(self, failed: bool) -> None:
        self._run.finish(exit_code=int(failed))


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if not isinstance(v, float) or math.isfinite(v)}
