"""When two trials are the same: a hash of the options that can matter, in canonical form, is the identity."""

import dataclasses
import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from rdrop_exp.config.canonical import USERS_FILES, USERS_TEXTS, canonical
from rdrop_exp.config.names import trial_name
from rdrop_exp.config.options import Options
from rdrop_exp.config.registry import DATA_SETS, TASKS
from rdrop_exp.config.schema import ADDED, marked_fields, runtime_fields


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialSpec:
    """One trial: its options in canonical form, and what follows from them."""

    options: Options
    identity: str
    """Ten hex digits that two trials share exactly when no option that can change the result differs."""
    group: str
    """The identity without the seed: shared by trials that differ by nothing else."""
    name: str
    """The trial in a few words, such as `digits-vit_micro-early_dropout-p0.1-until5-s0`."""
    unused: tuple[str, ...]
    """Options that were set but cannot change the result."""
    fingerprint: str = ""
    """Of the data; empty: not looked at."""
    data_identity: str = ""
    """With files of one's own: the identity by their fingerprint instead of their path."""


def trial_spec(options: Options, fingerprint: str = "") -> TrialSpec:
    """The trial that these checked options describe, on data of that fingerprint.

    The identity is one of options, among them the path of files of one's own. Where those have a fingerprint, the group
    goes by it: trials on other data are never compared, and data that was moved is the same data.
    """
    o, unused = canonical(options)
    values, defaults = plain_options(o), _defaults()
    for *groups, last in marked_fields(Options, ADDED):
        part, default = values, defaults
        for group in groups:
            part, default = part[group], default[group]
        if part[last] == default[last]:
            del part[last]
    for *groups, last in runtime_fields(Options):
        part = values
        for group in groups:
            part = part[group]
        del part[last]
    users = any(o.dataset.name in names for names in (USERS_FILES, USERS_TEXTS, DATA_SETS, TASKS))
    if not users:  # where a published data set is stored changes nothing
        del values["dataset"]["root"]
    identity, data_identity = _hash(values), ""
    if users and fingerprint:
        values["dataset"]["root"] = fingerprint
        data_identity = _hash(values)
    group = _hash({name: value for name, value in values.items() if name != "seed"})
    return TrialSpec(
        options=o,
        identity=identity,
        group=group,
        name=trial_name(o),
        unused=tuple(unused),
        fingerprint=fingerprint,
        data_identity=data_identity,
    )


def plain_options(part: Any) -> Any:
    """As `dataclasses.asdict`, but without copies of what is inside lists and dictionaries."""
    if isinstance(part, list):
        return list(part)
    if isinstance(part, dict):
        return dict(part)
    names = _field_names(part.__class__)
    if not names:
        return part
    values = [(name, getattr(part, name)) for name in names]
    return {name: value if type(value) in _ATOMS else plain_options(value) for name, value in values}


_ATOMS = {str, int, float, bool, type(None)}


@functools.cache
def _field_names(cls: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(cls)) if dataclasses.is_dataclass(cls) else ()


@functools.cache
def _defaults() -> dict[str, Any]:
    return dataclasses.asdict(Options())


def _hash(values: dict[str, Any]) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]
