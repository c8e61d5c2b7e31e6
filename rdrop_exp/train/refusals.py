"""What timm, transformers and torch would refuse, asked before a sweep starts.

They take seconds to import, so a process of its own imports them while the rest is planned. Each distinct model,
optimizer and device is tried once, the model without memory on torch's meta device; what was accepted is remembered for
as long as the versions stay.
"""

import contextlib
import functools
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdrop_exp.config.canonical import TEXTS
from rdrop_exp.config.identity import plain_options
from rdrop_exp.config.options import Optimizer, Options
from rdrop_exp.config.registry import TASKS
from rdrop_exp.config.regularizer import RATES
from rdrop_exp.config.schema import OptionError

if TYPE_CHECKING:
    from rdrop_exp.data.datasets import Preview

SECONDS = 120.0
"""Longest wait for the answers; a plan without them is still a plan."""
_asked: set[str] = set()
_passed: set[str] = set()
"""What this plan need not ask: what was accepted before, by digest, and the questions among it that came up."""
_process: "subprocess.Popen[str] | None" = None


def ask(o: Options, data: "Preview") -> None:
    """Have what timm and torch decide of these options tried, unless it was accepted before."""
    global _process
    line = question(o, data)
    if line in _asked or line in _passed:
        return
    if not _passed:
        _passed.update(_accepted())
    if _digest(line) in _passed and not _own_code(o):
        _passed.add(line)
        return
    _asked.add(line)
    if _process is None:
        command = [sys.executable, "-m", "rdrop_exp.train.refusals"]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        _process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)


def answers() -> None:
    """Wait for the answers; `OptionError` with the first refusal."""
    global _process
    _passed.clear()
    if _process is None:
        return
    process, lines, _process = _process, sorted(_asked), None
    _asked.clear()
    try:
        output, _ = process.communicate("".join(f"{line}\n" for line in lines), timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return
    if output.strip():
        raise OptionError(json.loads(output.splitlines()[0]))
    if process.returncode == 0:
        with contextlib.suppress(OSError):  # remembering only saves time
            _memory().parent.mkdir(parents=True, exist_ok=True)
            _memory().write_text(json.dumps(sorted(_accepted() | set(map(_digest, lines)))), encoding="utf-8")


def question(o: Options, data: "Preview") -> str:
    """What timm, transformers and torch decide on, as JSON.

    Of the regularizer only which rates there are, not how high, and of the optimizer not how high its learning rate is;
    of data sets only what a text model or one of one's own must fit.
    """
    r, d = plain_options(o.regularizer), o.dataset
    rates = {name: 0.1 if r[name] else r[name] for name in (*RATES, "second_dropout")}
    parts = {key: plain_options(getattr(o, key)) for key in ("model", "peer", "optimizer", "device")}
    parts["optimizer"]["lr"] = Optimizer().lr
    if o.dataset.name in TEXTS:
        parts["dataset"] = {"name": d.name, "label_kind": d.label_kind, "max_length": d.max_length}
        parts["generate"] = {"max_length": o.generate.max_length}
    if o.dataset.name in TASKS:
        parts |= {"dataset": plain_options(d), "plugins": o.plugins}
    parts["data"] = ["", "", *(data[2:] if _own_code(o) else ())]
    return json.dumps(parts | {"regularizer": {"sites": r["sites"], **rates}}, default=str)


def _own_code(o: Options) -> bool:
    """Whether a model or task comes from a file that may have changed since it was accepted."""
    return o.dataset.name in TASKS or any(":" in part.name for part in (o.model, o.peer))


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def _accepted() -> set[str]:
    try:
        known = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    return set(known) if isinstance(known, list) else set()


def _memory() -> Path:
    from rdrop_exp.data import cache

    return cache.folder() / f"accepted-{_versions_digest()}.json"


@functools.cache
def _versions_digest() -> str:
    from rdrop_exp.hardware import versions

    return _digest(json.dumps(versions()))


def refusal(values: dict[str, Any]) -> str:
    """Why these options cannot be trained with; empty where they can."""
    from torch import nn

    from rdrop_exp.config import plugins
    from rdrop_exp.config.schema import from_plain
    from rdrop_exp.data.datasets import Preview
    from rdrop_exp.hardware import choose_device
    from rdrop_exp.tasks.choose import task_of
    from rdrop_exp.train.optim import make_optimizer

    data = Preview(*values.pop("data"))
    o: Options = from_plain(Options, values)
    try:
        plugins.load(o.plugins)
        choose_device(o.device)
        make_optimizer(o.optimizer, nn.Linear(2, 2))
        task_of(o).check_model(o, data)
    except OptionError as error:
        return str(error)
    except Exception:  # some models cannot be built without memory: they are tried when their trial starts
        return ""
    return ""


def main() -> None:
    """Answer each line of stdin; a line of output for each refusal."""
    import timm  # noqa: F401  while the plan is still being made

    for line in sys.stdin:
        if reason := refusal(json.loads(line)):
            print(json.dumps(reason), flush=True)


if __name__ == "__main__":
    main()
