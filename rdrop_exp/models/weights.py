"""Weights to start from: a file of one's own, or timm's from the hub; nothing is silently left out."""

import dataclasses
import functools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from timm.models import load_state_dict
from torch import Tensor, nn

from rdrop_exp.config.options import Model
from rdrop_exp.config.schema import OptionError, first_line
from rdrop_exp.noise.install import classifiers

HUB = ("huggingface.co", 443)
SHOWN = 3
"""Names of missing weights that a message lists."""


def read_weights(part: Model, group: str) -> dict[str, Tensor]:
    """The tensors of `model.checkpoint` by name; `OptionError` where it is no file of weights."""
    path = Path(part.checkpoint).expanduser()
    if not path.is_file():
        raise OptionError(f"{group}.checkpoint={part.checkpoint} is not a file")
    try:
        state: dict[str, Tensor] = load_state_dict(str(path), weights_only=True)
    except Exception as error:
        raise OptionError(
            f"{group}.checkpoint={part.checkpoint} cannot be read as weights: {first_line(error)}"
        ) from error
    return state


def without_prefix(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """The weights without the prefix (`encoder.`, `first.`) under which most of the model's `names` are found."""
    prefixes = {key[: -len(name)] for key in state for name in names if key.endswith(name)}
    best = max(sorted(prefixes, key=len), key=lambda prefix: sum(prefix + name in state for name in names), default="")
    return {key.removeprefix(best): value for key, value in state.items() if key.startswith(best)}


def overlay(state: dict[str, Tensor], known: Any) -> dict[str, Any]:
    """What timm must know to load these weights: the tensors, and the classes of their head (it drops a misfit)."""
    classifier = known.classifier if known is not None else "head"
    name = classifier if isinstance(classifier, str) else (classifier or ["head"])[0]
    head = state.get(f"{name}.weight")
    settings = {
        "source": "",
        "state_dict": state,
        "num_classes": -1 if head is None else len(head),
        "custom_load": False,
    }
    if known is None:
        return settings
    return {k: v for k, v in settings.items() if k in {f.name for f in dataclasses.fields(known)}}


@contextmanager
def recorded_loads() -> Iterator[list[Any]]:
    """What `load_state_dict` returned within: timm keeps to itself which weights it did not find."""
    results: list[Any] = []
    original = nn.Module.load_state_dict

    def load(module: nn.Module, *arguments: Any, **options: Any) -> Any:
        results.append(original(module, *arguments, **options))
        return results[-1]

    nn.Module.load_state_dict = load  # type: ignore[method-assign, assignment]
    try:
        yield results
    finally:
        nn.Module.load_state_dict = original  # type: ignore[method-assign]


def check_loaded(part: Model, group: str, model: nn.Module, missing: list[str]) -> None:
    """`OptionError` where the file lacks weights of the model other than those of its classifier."""
    heads = classifiers(model)
    head = {n for n, p in model.named_parameters() if any(p is q for h in heads for q in h.parameters())}
    lost = [name for name in missing if name not in head]
    if lost:
        count, names = len(model.state_dict()), ", ".join(lost[:SHOWN]) + (", …" if len(lost) > SHOWN else "")
        raise OptionError(
            f"{group}.checkpoint={part.checkpoint}: {len(lost)} of the {count} tensors of {part.name} are not in it"
            f" ({names}): give the weights of this model, under its own names"
        )


@contextmanager
def hub_offline(offline: bool) -> Iterator[None]:
    """Within, huggingface_hub looks at its local cache only, where `offline`."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


@functools.cache
def hub_is_reachable(seconds: float = 3.0) -> bool:
    """Whether the hub answers; asked once a process, as its client retries for most of a minute."""
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT")):
        return True
    try:
        socket.create_connection(HUB, timeout=seconds).close()
    except OSError:
        return False
    return True
