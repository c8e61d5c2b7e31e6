"""From combinations of overrides to a `SweepPlan`: composed, checked, without duplicates, before anything runs.

Hydra composes a configuration in about 80 ms. It is asked once per choice of groups; single values are then applied to
copies in memory, by Hydra's own function, so that hundreds of trials are planned in seconds.
"""

import copy
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from rdrop_exp.launch.errors import SweepError, suggestion
from rdrop_exp.launch.hydra_private import apply_overrides, is_unknown_key
from rdrop_exp.launch.overrides import Reader, plain_key, quoted
from rdrop_exp.launch.sweep_plan import Job, PlannedTrial, SweepPlan

HYDRA_PARTS = ("job", "runtime", "sweep", "run", "overrides", "mode")
"""Parts of Hydra's node that planning needs."""

Describe = Callable[[DictConfig], PlannedTrial]
Texts = tuple[str, ...]
"""Overrides as the user writes them."""


class Planner:
    """Turns combinations of overrides into a `SweepPlan`; every error is a `SweepError` that names the combination."""

    def __init__(
        self,
        loader: Any,
        master: DictConfig,
        reader: Reader,
        describe: Describe | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """`describe` describes trials; without it the configuration does, except for the keys in `ignore`."""
        self.loader, self.master, self.reader, self.ignore = loader, master, reader, ignore
        self.describe = describe
        self.parsed: dict[str, Override] = {}
        self.bases: dict[Texts, DictConfig] = {}  # by the overrides that choose groups
        self.composed: dict[Texts, Any] = {}  # the same, for ${hydra:...} to look at
        self.group_names: dict[str, list[str]] = {}

    def plan(self, combinations: list[Texts], title: str = "") -> SweepPlan:
        for text in {text for texts in combinations for text in texts}:
            self.parsed[text] = self.reader.parse(text)
        varying = varying_keys(combinations)
        split = [self.split(texts) for texts in combinations]
        for groups in dict.fromkeys(groups for groups, _ in split):
            self.bases[groups] = self.compose(groups)
        unknown = self.unknown_keys({(groups, text) for groups, values in split for text in values})
        plan, first = SweepPlan([], title, warnings=unknown_sentences(unknown, varying)), dict[str, str]()
        for groups, values in split:
            used = tuple(text for text in values if (groups, plain_key(text)) not in unknown)
            label = label_of((*groups, *used), varying)
            trial = self.trial(groups, used, label)
            if trial.identity in first:
                ignored = " ".join(text for text in values if text not in used)
                plan.duplicates.append((f"{label} {ignored}".strip(), first[trial.identity]))
                continue
            first[trial.identity] = label
            plan.jobs.append(Job(len(plan.jobs), [*groups, *used, *place(trial.folder)], label, trial))
        return plan

    def split(self, texts: Texts) -> tuple[Texts, Texts]:
        """Overrides that choose groups, and those that set values."""
        choices = [text for text in texts if self.is_group(self.parsed[text])]
        return tuple(choices), tuple(text for text in texts if text not in choices)

    def is_group(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self.group_names:
            self.group_names[key] = self.loader.get_group_options(key)
        return bool(self.group_names[key]) and not isinstance(override.value(), dict)

    def compose(self, groups: Texts) -> DictConfig:
        """The configuration of one choice of groups, with no more of Hydra's node than folders need."""
        try:
            base: DictConfig = self.loader.load_sweep_config(self.master, list(groups))
        except (HydraException, OmegaConfBaseException) as error:
            if isinstance(error, ConfigCompositionException) and (options := getattr(error, "options", None)):
                group, _, choice = str(getattr(error, "missing_cfg_file", "")).rpartition("/")
                raise SweepError(f"{group}={choice} is not a choice{suggestion(choice, options)}") from None
            raise refusal(" ".join(groups), error) from error
        with hydra_config(copy.deepcopy(base)):
            self.composed[groups] = HydraConfig.instance().cfg
        needed = OmegaConf.to_container(OmegaConf.masked_copy(base.hydra, list(HYDRA_PARTS)), resolve=False)
        with read_write(base), open_dict(base):
            del base["hydra"]
            base.hydra = needed
        return base

    def unknown_keys(self, used: set[tuple[Texts, str]]) -> set[tuple[Texts, str]]:
        """Pairs of groups and key where those groups have no such key; `SweepError` for a key that none of them has."""
        unknown = {(groups, plain_key(t)) for groups, t in used if not has_key(self.bases[groups], self.parsed[t])}
        known = {plain_key(t) for groups, t in used if (groups, plain_key(t)) not in unknown}
        for key in sorted({key for _, key in unknown} - known):
            names = {name for name in self.option_names() if not name.startswith("hydra")}
            names |= {group for group, choices in self.group_names.items() if choices}
            raise SweepError(f"{key} is not an option{suggestion(key, names)}")
        return unknown

    def option_names(self) -> set[str]:
        """Every dotted key of all composed configurations."""
        return {
            name for base in self.bases.values() for name in dotted_keys(OmegaConf.to_container(base, resolve=False))
        }

    def trial(self, groups: Texts, values: Texts, label: str) -> PlannedTrial:
        """One combination described, or refused."""
        cfg, before = copy.deepcopy(self.bases[groups]), HydraConfig.instance().cfg
        try:
            apply_overrides([self.parsed[text] for text in values], cfg)
            HydraConfig.instance().cfg = self.composed[groups]
            root = "" if self.describe else str(cfg.hydra.sweep.dir)
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            trial = self.describe(cfg) if self.describe else self.describe_by_content(cfg, root)
        except (ValueError, HydraException, OmegaConfBaseException) as error:
            raise refusal(label, error) from error
        finally:
            HydraConfig.instance().cfg = before
        return replace(trial, folder=os.path.abspath(trial.folder), name=trial.name or label)

    def describe_by_content(self, cfg: DictConfig, root: str) -> PlannedTrial:
        """A trial identified by its whole configuration."""
        values = OmegaConf.to_container(cfg, resolve=True)
        for key in self.ignore:
            remove_key(values, key)
        identity = digest(values)
        remove_key(values, self.reader.seed_key)
        return PlannedTrial(identity, os.path.join(root, identity), "", digest(values))


def unknown_sentences(unknown: set[tuple[Texts, str]], varying: set[str]) -> list[str]:
    choices: dict[str, list[str]] = defaultdict(list)
    for groups, key in sorted(unknown):
        choices[key].append(label_of(groups, varying))
    return [f"Ignored: {key} for {', '.join(labels)} (no such option there)" for key, labels in choices.items()]


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


@contextmanager
def hydra_config(cfg: DictConfig) -> Iterator[None]:
    """Resolve `${hydra:...}` from this configuration."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def has_key(base: DictConfig, override: Override) -> bool:
    """Whether this override finds its key; other errors are for the combination that has it."""
    try:
        apply_overrides([override], copy.deepcopy(base))
    except ConfigCompositionException as error:
        return not is_unknown_key(error)
    return True


def dotted_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of nested dictionaries."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield f"{prefix}{key}"
        yield from dotted_keys(value, f"{prefix}{key}.")


def varying_keys(combinations: list[Texts]) -> set[str]:
    """Keys that some trials set differently from others."""
    seen: dict[str, set[str]] = defaultdict(set)
    for texts in combinations:
        for text in texts:
            seen[plain_key(text)].add(text)
    everywhere = [key for key in seen if all(any(plain_key(t) == key for t in texts) for texts in combinations)]
    return {key for key in seen if len(seen[key]) > 1 or key not in everywhere}


def place(folder: str) -> list[str]:
    """Overrides that make `folder` the job's output directory."""
    root, name = os.path.split(folder)
    return [f"hydra.sweep.dir={quoted(root)}", f"hydra.sweep.subdir={quoted(name)}"]


def refusal(label: str, error: BaseException) -> SweepError:
    """Why the whole sweep is refused, in one sentence that names the combination."""
    root = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    reason = " ".join(str(root).split("\n    full_key")[0].split()) or type(root).__name__
    return SweepError(f"{label}: {reason}; nothing was started" if label else f"{reason}; nothing was started")
