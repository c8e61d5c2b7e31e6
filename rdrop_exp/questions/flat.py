"""A trial's options by dotted name, as groups, their labels and selectors see them."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from rdrop_exp.config.schema import printable

AUGMENTATION = {
    "dataset.crop", "dataset.flip", "dataset.erase", "dataset.scale", "dataset.rand_augment", "dataset.color_jitter",
    "dataset.interpolation", "dataset.mean", "dataset.std", "dataset.mixup", "dataset.cutmix",
    "dataset.label_smoothing", "dataset.resident",
}  # fmt: skip
"""Data set options that are a way of training, to be compared; every other one, and the model, is the setting."""


def flatten(options: Mapping[str, Any]) -> dict[str, Any]:
    """Nested options by dotted name, without seeds and the runtime options, `regularizer.name` aside.

    Options that came after the trial are at their default, as in its identity.
    """
    flat: dict[str, Any] = {}
    without = _no_difference()
    for name, value in options.items():
        if name in without:
            continue
        inner = {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {path: v for path, v in inner.items() if path not in without}
    flat |= {
        name: value
        for name, value in _later().items()
        if name not in flat and isinstance(options.get(name.partition(".")[0]), dict)
    }
    # `null` means "the same rate in every pass"; spelled out, a sweep over two rates is a full matrix.
    if "regularizer.second_dropout" in flat and flat["regularizer.second_dropout"] is None:
        flat["regularizer.second_dropout"] = flat.get("regularizer.dropout")
    return {printable(name): printable(v) if isinstance(v, str) else v for name, v in flat.items()}


@lru_cache(maxsize=1)
def _no_difference() -> frozenset[str]:
    from rdrop_exp.config.options import Options
    from rdrop_exp.config.schema import runtime_fields

    names = {".".join(path) for path in runtime_fields(Options)}
    return frozenset(names - {"regularizer.name"} | {"seed", "dataset.split_seed"})


@lru_cache(maxsize=1)
def _later() -> dict[str, Any]:
    from rdrop_exp.config.options import Options
    from rdrop_exp.config.schema import ADDED, marked_fields

    defaults: dict[str, Any] = {}
    for *groups, last in marked_fields(Options, ADDED):
        part: Any = Options()
        for group in groups:
            part = getattr(part, group)
        if groups:
            defaults[".".join([*groups, last])] = getattr(part, last)
    return defaults


def is_setting(name: str) -> bool:
    """Whether options of that name describe the model or the data: groups that differ in one are not compared."""
    return name.startswith(("model.", "dataset.")) and name not in AUGMENTATION


def option(flat: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name, which may lead into a dictionary such as model.args; None where there is none."""
    if name in flat:
        return flat[name]
    group, _, key = name.rpartition(".")
    inner = flat.get(group)
    return inner.get(key) if isinstance(inner, dict) else None


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each dotted name's last part, or the whole where two would be the same."""
    names = set(names)
    ends = Counter(name.rsplit(".", 1)[-1] for name in names)
    return {name: end if ends[end := name.rsplit(".", 1)[-1]] == 1 else name for name in names}


def plain(value: Any) -> str:
    """A value as one would type it: 0.1, true, null, [0.9, 0.95]."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value.replace("`", "'") or "''"
    return json.dumps(value, default=str)
