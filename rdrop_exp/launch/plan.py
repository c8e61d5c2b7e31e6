"""What a sweep will run, known before anything runs: trials checked, duplicates removed, time estimated.

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
from dataclasses import dataclass, field, replace
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from rdrop_exp.config.schema import nearest
from rdrop_exp.launch import Trial
from rdrop_exp.launch.overrides import Reader, SweepError, plain_key, quoted

KEPT = ("job", "runtime", "sweep", "run", "overrides", "mode")  # of Hydra's node, while planning

Describe = Callable[[DictConfig], Trial]


@dataclass(slots=True)
class Job:
    """One trial of the plan."""

    index: int
    overrides: list[str]
    """For Hydra's launchers; with those that make the trial's folder Hydra's output directory."""
    label: str
    """The overrides that tell this trial from the others of the plan."""
    trial: Trial
    protocol: bool = True
    """Whether result.json says if it is finished; False for jobs of other sweepers."""


@dataclass(slots=True)
class Plan:
    """All trials of a sweep, in the order of their expansion."""

    jobs: list[Job]
    title: str = ""
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    """Label of a combination, and of the trial that stands for it."""
    dropped: list[str] = field(default_factory=list)
    """Sentences on overrides that some choices of groups do not have."""


class Planner:
    """Turns combinations of overrides into a `Plan`; every error is a `SweepError` that names the combination."""

    def __init__(
        self,
        loader: Any,
        master: DictConfig,
        reader: Reader,
        hook: Describe | None = None,
        ignore: Sequence[str] = (),
    ) -> None:
        """`hook` describes trials; without one the configuration does, save the keys in `ignore`."""
        self.loader, self.master, self.reader, self.hook, self.ignore = loader, master, reader, hook, ignore
        self.parsed: dict[str, Override] = {}
        self.bases: dict[tuple[str, ...], DictConfig] = {}  # by the overrides that choose groups
        self.composed: dict[tuple[str, ...], Any] = {}  # the same, for ${hydra:...} to look at
        self.group_names: dict[str, list[str]] = {}

    def plan(self, combinations: list[tuple[str, ...]], title: str = "") -> Plan:
        for text in {text for texts in combinations for text in texts}:
            self.parsed[text] = self.reader.parse(text)
        varying = varying_keys(combinations)
        split = [self.split(texts) for texts in combinations]
        for groups in dict.fromkeys(groups for groups, _ in split):
            self.bases[groups] = self.compose(groups)
        missing = self.missing({(groups, text) for groups, values in split for text in values})
        plan, first = Plan([], title), dict[str, str]()
        for groups, values in split:
            kept = tuple(text for text in values if (groups, plain_key(text)) not in missing)
            label = " ".join(t for t in (*groups, *kept) if plain_key(t) in varying) or " ".join((*groups, *kept))
            trial = self.trial(groups, kept, label)
            if trial.identity in first:
                dropped = " ".join(text for text in values if text not in kept)
                plan.duplicates.append((f"{label} {dropped}".strip(), first[trial.identity]))
                continue
            first[trial.identity] = label
            plan.jobs.append(Job(len(plan.jobs), [*groups, *kept, *place(trial.folder)], label, trial))
        lacking: dict[str, list[str]] = defaultdict(list)
        for groups, key in sorted(missing):
            lacking[key].append(" ".join(t for t in groups if plain_key(t) in varying) or " ".join(groups))
        for key, choices in lacking.items():
            plan.dropped.append(f"{key} is left out with {', '.join(choices)}, which has no such key")
        return plan

    def split(self, texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Overrides that choose groups, and those that set values."""
        choices = [text for text in texts if self.is_group(self.parsed[text])]
        return tuple(choices), tuple(text for text in texts if text not in choices)

    def is_group(self, override: Override) -> bool:
        key = override.key_or_group
        if key not in self.group_names:
            self.group_names[key] = self.loader.get_group_options(key)
        return bool(self.group_names[key]) and not isinstance(override.value(), dict)

    def compose(self, groups: tuple[str, ...]) -> DictConfig:
        """The configuration of one choice of groups, with no more of Hydra's node than folders need."""
        try:
            base: DictConfig = self.loader.load_sweep_config(self.master, list(groups))
        except (HydraException, OmegaConfBaseException) as error:
            if isinstance(error, ConfigCompositionException) and (options := getattr(error, "options", None)):
                group, _, choice = str(getattr(error, "missing_cfg_file", "")).rpartition("/")
                raise SweepError(f"{group}={choice} is not a choice{nearest(choice, options)}") from None
            raise refusal(" ".join(groups), error) from error
        with hydra_config(copy.deepcopy(base)):
            self.composed[groups] = HydraConfig.instance().cfg
        kept = OmegaConf.to_container(OmegaConf.masked_copy(base.hydra, list(KEPT)), resolve=False)
        with read_write(base), open_dict(base):
            del base["hydra"]
            base.hydra = kept
        return base

    def missing(self, used: set[tuple[tuple[str, ...], str]]) -> set[tuple[tuple[str, ...], str]]:
        """Pairs of groups and key where those groups lack the key; `SweepError` for a key that all of them lack."""
        lacking = {(groups, plain_key(t)) for groups, t in used if not has_key(self.bases[groups], self.parsed[t])}
        having = {plain_key(t) for groups, t in used if (groups, plain_key(t)) not in lacking}
        for key in sorted({key for _, key in lacking} - having):
            known = {name for base in self.bases.values() for name in keys_of(base) if not name.startswith("hydra")}
            known |= {group for group, choices in self.group_names.items() if choices}
            raise SweepError(f"{key} is not an option{nearest(key, known)}")
        return lacking

    def trial(self, groups: tuple[str, ...], values: tuple[str, ...], label: str) -> Trial:
        """One combination described, or refused."""
        cfg, before = copy.deepcopy(self.bases[groups]), HydraConfig.instance().cfg
        try:
            ConfigLoaderImpl._apply_overrides_to_config([self.parsed[text] for text in values], cfg)
            HydraConfig.instance().cfg = self.composed[groups]
            root = "" if self.hook else str(cfg.hydra.sweep.dir)
            with read_write(cfg), open_dict(cfg):
                del cfg["hydra"]
            trial = self.hook(cfg) if self.hook else self.describe(cfg, root)
        except (ValueError, HydraException, OmegaConfBaseException) as error:
            raise refusal(label, error) from error
        finally:
            HydraConfig.instance().cfg = before
        return replace(trial, folder=os.path.abspath(trial.folder), name=trial.name or label)

    def describe(self, cfg: DictConfig, root: str) -> Trial:
        """A trial by its whole configuration."""
        values = OmegaConf.to_container(cfg, resolve=True)
        for key in self.ignore:
            forget(values, key)
        identity = digest(values)
        forget(values, self.reader.seed_key)
        return Trial(identity, os.path.join(root, identity), "", digest(values))


def digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:10]


def forget(values: Any, key: str) -> None:
    """Delete a dotted key from nested dictionaries, where it is there."""
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
        ConfigLoaderImpl._apply_overrides_to_config([override], copy.deepcopy(base))
    except ConfigCompositionException as error:
        return not isinstance(error.__cause__, ConfigAttributeError | ConfigKeyError)
    return True


def keys_of(cfg: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of nested mappings."""
    if isinstance(cfg, DictConfig) and not cfg._is_missing() and not cfg._is_none():
        for key in map(str, cfg):
            yield f"{prefix}{key}"
            yield from keys_of(cfg._get_node(key), f"{prefix}{key}.")


def varying_keys(combinations: list[tuple[str, ...]]) -> set[str]:
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
