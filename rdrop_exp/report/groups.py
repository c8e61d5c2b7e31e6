"""Groups of trials that differ only by seed or split, named by the options in which groups of a comparison differ."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rdrop_exp.questions.flat import flatten, is_setting, plain, short_names
from rdrop_exp.report.text import printable
from rdrop_exp.report.trial import Key, Status, Trial


@dataclass(kw_only=True, slots=True)
class Group:
    """Trials of one group. `flat` are its options by dotted name, without seeds and what cannot change a result."""

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
    splits: int = 1
    """Number of splits of the data that its trials are on."""

    def seed_name(self, key: Key) -> str:
        """`3`; `3 on split 1` where there are several splits."""
        return f"{key[0]} on split {key[1]}" if self.splits > 1 else str(key[0])


def settings(trials: Iterable[Trial]) -> list[Setting]:
    """Trials as groups, the groups by setting, everything labelled; in the order of the labels.

    Groups that differ only in `dataset.split_seed` are one: splits are replicates, as seeds are.
    """
    together: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.group:
            together[trial.group].append(trial)
    by_setting: dict[str, list[Group]] = defaultdict(list)
    for group in _over_splits([_group(identity, members) for identity, members in together.items()]):
        where = {name: value for name, value in group.flat.items() if is_setting(name)}
        by_setting[json.dumps(where, sort_keys=True, default=str)].append(group)
    labels = _setting_labels(list(by_setting.values()))
    labelled = [_labelled(label, groups) for label, groups in zip(labels, by_setting.values(), strict=True)]
    return sorted(labelled, key=lambda setting: setting.label)


def _group(identity: str, trials: list[Trial]) -> Group:
    group = Group(identity=identity, flat=flatten(trials[0].options), trials=trials)
    if data := trials[0].data:  # the same files under another path are the same data
        group.flat["dataset.root"] = data
    return group


def _over_splits(groups: list[Group]) -> list[Group]:
    """Groups that differ only in their split, as one."""
    split = {group.identity: group.trials[0].key[1] for group in groups}
    if len(set(split.values())) < 2:
        return groups
    alike: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        alike[json.dumps(group.flat, sort_keys=True, default=str)].append(group)
    merged = []
    for same in alike.values():
        if len({split[group.identity] for group in same}) < len(same):  # something else tells them apart
            merged += same
            continue
        first = min(same, key=lambda group: split[group.identity])
        first.trials = [trial for group in same for trial in group.trials]
        merged.append(first)
    return merged


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
    splits = len({trial.key[1] for group in groups for trial in group.trials})
    return Setting(label=label, groups=_unambiguous(groups), swept=swept, splits=splits)


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
        names = [n for n in varying(heads) if is_setting(n) and n not in ("dataset.name", "model.name")]
        short = short_names(names)
        for i, head in enumerate(heads):
            labels[i] = " · ".join([labels[i], *(f"{short[n]}={plain(head.flat.get(n))}" for n in names)])
    return labels
