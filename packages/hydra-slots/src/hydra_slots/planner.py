"""From combinations of overrides to a `SweepPlan`: checked, without duplicates, before anything runs."""

import functools
import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from hydra_slots.compositions import Compositions, Texts, refusal
from hydra_slots.errors import SweepError, suggestion
from hydra_slots.hooks import accepts_values
from hydra_slots.output import Progress
from hydra_slots.overrides import Combination, plain_key, quoted
from hydra_slots.plain_values import PlainValues
from hydra_slots.sweep_plan import Job, PlannedTrial, SweepPlan

Describe = Callable[[Any], PlannedTrial]
"""Of a DictConfig; with `hooks.takes_values` of nested dictionaries wherever possible."""
Applies = Callable[[DictConfig, str], bool]
Pairs = set[tuple[Texts, str]]
"""Choices of groups, and a key."""


class Planner:
    """Turns combinations of overrides into a `SweepPlan`; every error is a `SweepError` that names the combination."""

    def __init__(
        self,
        compositions: Compositions,
        describe: Describe | None = None,
        applies: Applies | None = None,
        ignore: Sequence[str] = (),
        seed_key: str = "seed",
    ) -> None:
        """`describe` describes trials; without it the configuration does, except for the keys in `ignore`.

        `applies` says whether a choice of groups, composed, uses a key; None: it uses every key that it has.
        """
        self.compositions, self.describe, self.applies = compositions, describe, applies
        self.ignore, self.seed_key = ignore, seed_key
        self.plain = PlainValues(compositions)

    def plan(self, combinations: list[Combination], title: str = "", optional: Collection[str] = ()) -> SweepPlan:
        """`optional`: keys that may be unknown to every choice of groups, and are ignored there."""
        varying = varying_keys([combination.texts for combination in combinations])
        remaining, notes = self.without_ignored(combinations, varying, optional)
        plan, first = SweepPlan([], title, notes=notes), dict[str, str]()
        progress = Progress(len(remaining))
        for done, (groups, values) in enumerate(remaining):
            progress.say(done)
            label = label_of((*groups, *values), varying)
            trial = self.trial(groups, values, label)
            if trial.identity in first:
                plan.duplicates.append((label, first[trial.identity]))
                continue
            first[trial.identity] = label
            plan.jobs.append(Job(len(plan.jobs), [*groups, *values, *place(trial.folder)], label, trial))
        progress.end()
        return plan

    # -- overrides that some choices of groups ignore ---------------------------------------------------------------
    def without_ignored(
        self, combinations: list[Combination], varying: set[str], optional: Collection[str]
    ) -> tuple[list[tuple[Texts, Texts]], list[str]]:
        """Distinct choices of groups and values, without values that these choices ignore; and a line on each key."""
        split = [(*self.compositions.split(combination.texts), combination.shared) for combination in combinations]
        unknown = self.unknown_keys({(groups, text) for groups, values, _ in split for text in values}, optional)
        unused = self.unused_keys({(groups, plain_key(t)) for groups, values, _ in split for t in values} - unknown)
        remaining: dict[tuple[Texts, Texts], None] = {}
        not_set: Pairs = set()
        for groups, values, shared in split:
            ignored = {(groups, key) for key in shared} & unused
            not_set |= ignored
            values = tuple(text for text in values if (groups, plain_key(text)) not in ignored | unknown)
            remaining[groups, values] = None
        lines = self.sentences(unknown, varying, "no such option")
        return list(remaining), lines + self.sentences(not_set, varying, "not set by these choices")

    def unknown_keys(self, used: Pairs, optional: Collection[str]) -> Pairs:
        """Of (groups, override), those without such a key; `SweepError` for a key that none of the groups has."""
        unknown = {(groups, plain_key(text)) for groups, text in used if not self.compositions.has_key(groups, text)}
        known = {plain_key(text) for groups, text in used if (groups, plain_key(text)) not in unknown}
        for key in sorted({key for _, key in unknown} - known - set(optional)):
            raise SweepError(f"{key} is not an option{suggestion(key, self.compositions.option_names())}")
        return unknown

    def unused_keys(self, used: Pairs) -> Pairs:
        """Those where the application says that the groups do not use the key.

        Only among several choices of the key's group, and only if one of them does use it.
        """
        unused: Pairs = set()
        for key in {key for _, key in used} if self.applies else ():
            users = [groups for groups, other in used if other == key]
            choices = {choice_of(groups, key) for groups in users}
            bases = self.compositions.bases
            without = [groups for groups in users if self.applies and not self.applies(bases[groups], key)]
            if len(choices) > 1 and len(without) < len(users):
                unused |= {(groups, key) for groups in without}
        return unused

    def sentences(self, ignored: Pairs, varying: set[str], why: str) -> list[str]:
        """A line of the plan for each key that is ignored somewhere."""
        choices: dict[str, list[str]] = defaultdict(list)
        for groups in self.compositions.bases:
            for key in sorted(key for where, key in ignored if where == groups):
                choices[key].append(choice_of(groups, key) or label_of(groups, varying))
        return [f"Ignored: {key} for {', '.join(dict.fromkeys(labels))} ({why})" for key, labels in choices.items()]

    # -- trials -----------------------------------------------------------------------------------------------------
    def trial(self, groups: Texts, values: Texts, label: str) -> PlannedTrial:
        """One combination described, or refused."""
        try:
            with self.compositions.resolving(groups):
                plain = self.plain.of(groups, values) if accepts_values(self.describe) else None
                if self.describe and plain is not None:
                    trial = self.describe(plain)
                else:
                    trial = self.of_configuration(self.compositions.configured(groups, values))
        except (ValueError, HydraException, OmegaConfBaseException) as error:
            raise refusal(label, error) from error
        return replace(trial, folder=os.path.abspath(trial.folder), name=trial.name or label)

    def of_configuration(self, cfg: DictConfig) -> PlannedTrial:
        root = "" if self.describe else str(cfg.hydra.sweep.dir)
        with read_write(cfg), open_dict(cfg):
            del cfg["hydra"]
        return self.describe(cfg) if self.describe else self.describe_by_content(cfg, root)

    def describe_by_content(self, cfg: DictConfig, root: str) -> PlannedTrial:
        """A trial identified by its whole configuration."""
        values = OmegaConf.to_container(cfg, resolve=True)
        for key in self.ignore:
            remove_key(values, key)
        identity = digest(values)
        remove_key(values, self.seed_key)
        return PlannedTrial(identity, os.path.join(root, identity), "", digest(values))


def choice_of(groups: Texts, key: str) -> str:
    """The override that chooses the group of a key such as `group.option`; empty if none does."""
    return next((text for text in groups if plain_key(text) == key.partition(".")[0]), "")


def label_of(texts: Texts, varying: set[str]) -> str:
    """The overrides that distinguish a combination; all of them where none does."""
    return " ".join(text for text in texts if plain_key(text) in varying) or " ".join(texts)


def digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:10]


def remove_key(values: Any, key: str) -> None:
    """Delete a dotted key from nested dictionaries, if present."""
    *path, last = key.split(".")
    for name in path:
        values = values.get(name) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(last, None)


def varying_keys(combinations: list[Texts]) -> set[str]:
    """Keys that some trials set differently from others."""
    counts = Counter(text for texts in combinations for text in texts)
    seen, total = defaultdict[str, set[str]](set), Counter[str]()
    for text, count in counts.items():
        seen[plain_key(text)].add(text)
        total[plain_key(text)] += count
    return {key for key in seen if len(seen[key]) > 1 or total[key] < len(combinations)}


def place(folder: str) -> list[str]:
    """Overrides that make `folder` the job's output directory."""
    root, name = os.path.split(folder)
    return [root_override(root), f"hydra.sweep.subdir={quoted(name)}"]


@functools.cache
def root_override(root: str) -> str:
    return f"hydra.sweep.dir={quoted(root)}"  # one text for all trials of a folder
