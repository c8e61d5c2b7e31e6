"""Groups of trials that differ only by seed, named by the options in which the groups of a comparison differ."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rdrop_exp.report.text import printable
from rdrop_exp.report.trial import Status, Trial

AUGMENTATION = {
    "dataset.crop", "dataset.flip", "dataset.erase", "dataset.scale", "dataset.rand_augment", "dataset.color_jitter",
    "dataset.interpolation", "dataset.mean", "dataset.std", "dataset.mixup", "dataset.cutmix",
    "dataset.label_smoothing", "dataset.resident",
}  # fmt: skip
"""Data set options that are a way of training, to be compared; every other one, and the model, is the setting."""


@dataclass(kw_only=True, slots=True)
class Group:
    """Trials of one group. `flat` are its options by dotted name, without the seed and what cannot change a result."""

    identity: str
    flat: dict[str, Any]
    trials: list[Trial]
    label: str = ""
    swept: dict[str, Any] = field(default_factory=dict)

    @property
    def regularizer(self) -> str:
        return str(self.flat.get("regularizer.name") or "unnamed").replace("`", "'")

    def having(self, status: Status) -> list[Trial]:
        return [trial for trial in self.trials if trial.status == status]


@dataclass(kw_only=True, slots=True)
class Setting:
    """Groups on the same data and model, which alone can be compared; `swept` maps option to short name."""

    label: str
    groups: list[Group]
    swept: dict[str, str]


def settings(trials: Iterable[Trial]) -> list[Setting]:
    """Trials as groups, the groups by setting, everything labelled; in the order of the labels."""
    together: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.group:
            together[trial.group].append(trial)
    by_setting: dict[str, list[Group]] = defaultdict(list)
    for identity, members in together.items():
        group = Group(identity=identity, flat=flatten(members[0].options), trials=members)
        if data := members[0].data:  # the same files under another path are the same data
            group.flat["dataset.root"] = data
        where = {name: value for name, value in group.flat.items() if _is_setting(name)}
        by_setting[json.dumps(where, sort_keys=True, default=str)].append(group)
    labels = _setting_labels(list(by_setting.values()))
    labelled = [_labelled(label, groups) for label, groups in zip(labels, by_setting.values(), strict=True)]
    return sorted(labelled, key=lambda setting: setting.label)


def flatten(options: dict[str, Any]) -> dict[str, Any]:
    """Nested options by dotted name, without the seed and the runtime options, `regularizer.name` aside."""
    flat: dict[str, Any] = {}
    without = _no_difference()
    for name, value in options.items():
        if name in without:
            continue
        inner = {f"{name}.{key}": v for key, v in value.items()} if isinstance(value, dict) else {name: value}
        flat |= {path: v for path, v in inner.items() if path not in without}
    # `null` means "the same rate in every pass"; spelled out, a sweep over two rates is a full matrix.
    if "regularizer.second_dropout" in flat and flat["regularizer.second_dropout"] is None:
        flat["regularizer.second_dropout"] = flat.get("regularizer.dropout")
    return {printable(name): printable(v) if isinstance(v, str) else v for name, v in flat.items()}


@lru_cache(maxsize=1)
def _no_difference() -> frozenset[str]:
    from rdrop_exp.config.options import Options
    from rdrop_exp.config.schema import runtime_fields

    names = {".".join(path) for path in runtime_fields(Options)}
    return frozenset(names - {"regularizer.name"} | {"seed"})


def _is_setting(name: str) -> bool:
    return name.startswith(("model.", "dataset.")) and name not in AUGMENTATION


def varying(groups: list[Group]) -> list[str]:
    """Names of the options in which the groups differ, in the schema's order."""
    first = groups[0].flat
    names = dict.fromkeys(name for group in groups for name in group.flat)
    return [n for n in names if any(group.flat.get(n) != first.get(n) for group in groups)]


def _labelled(label: str, groups: list[Group]) -> Setting:
    """Name each group by its regularizer and the options that vary among the groups of the same regularizer."""
    named: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        named[group.regularizer].append(group)
    options = {name: _varied_options(same) for name, same in named.items()}
    short = short_names({name for names in options.values() for name in names})
    swept = {name: short[name] for group in groups for name in options[group.regularizer]}
    for group in groups:
        group.swept = {name: group.flat.get(name) for name in options[group.regularizer]}
        words = [f"{short[name]}={plain(value)}" for name, value in group.swept.items()]
        group.label = " ".join([group.regularizer, *words])
    return Setting(label=label, groups=_unambiguous(groups), swept=swept)


def _varied_options(same: list[Group]) -> list[str]:
    """Options in which groups of one regularizer differ."""
    names = [name for name in varying(same) if name != "regularizer.name"]
    rate, second = "regularizer.dropout", "regularizer.second_dropout"
    if second in names and all(group.flat.get(second) == group.flat.get(rate) for group in same):
        names.remove(second)
    return names


def _unambiguous(groups: list[Group]) -> list[Group]:
    """Groups whose options say the same (written by different versions, say) get a piece of their identity."""
    counts = Counter(group.label for group in groups)
    for group in groups:
        if counts[group.label] > 1:
            group.label += f" ({group.identity[:4]})"
    return sorted(groups, key=lambda group: group.label)


def _setting_labels(by_setting: list[list[Group]]) -> list[str]:
    """Data set and model; where these are ambiguous, the options that differ as well."""
    heads = [groups[0] for groups in by_setting]
    labels = []
    for head in heads:
        model = (head.trials[0].options.get("model") or {}).get("label") or head.flat.get("model.name")
        data = (head.trials[0].options.get("dataset") or {}).get("label") or head.flat.get("dataset.name")
        label = f"{printable(str(data or '?'))} · {printable(str(model or '?'))}"
        labels.append(label.replace("`", "'"))
    if len(set(labels)) < len(labels):
        names = [n for n in varying(heads) if _is_setting(n) and n not in ("dataset.name", "model.name")]
        short = short_names(set(names))
        for i, head in enumerate(heads):
            labels[i] = " · ".join([labels[i], *(f"{short[n]}={plain(head.flat.get(n))}" for n in names)])
    return labels


def short_names(names: set[str]) -> dict[str, str]:
    """Each dotted name's last part, or the whole where two would be the same."""
    ends = Counter(name.rsplit(".", 1)[-1] for name in names)
    return {name: end if ends[end := name.rsplit(".", 1)[-1]] == 1 else name for name in names}


def plain(value: Any) -> str:
    """A value as one would type it: 0.1, true, null, [0.9, 0.95]."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str):
        return value.replace("`", "'") or "''"
    return json.dumps(value, default=str)
