"""Configurations of the choices of groups that a sweep makes, each composed once.

Hydra composes a configuration in about 80 ms. It is asked once per choice of groups; single values are then applied to
copies in memory, by Hydra's own function, which takes milliseconds; `plain_values` does without OmegaConf where it may.
"""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from hydra_slots.errors import SweepError, suggestion
from hydra_slots.hydra_private import apply_overrides, is_unknown_key
from hydra_slots.overrides import Reader

HYDRA_PARTS = ("job", "runtime", "sweep", "run", "overrides", "mode")
"""Parts of Hydra's node that planning needs."""

Texts = tuple[str, ...]
"""Overrides as the user writes them."""


class Compositions:
    """Configurations by the overrides that choose groups."""

    def __init__(self, loader: Any, master: DictConfig, reader: Reader) -> None:
        self.loader, self.master, self.reader = loader, master, reader
        self.parsed: dict[str, Override] = {}
        self.bases: dict[Texts, DictConfig] = {}
        self.resolvers: dict[Texts, Any] = {}  # what ${hydra:...} looks at
        self.group_names: dict[str, list[str]] = {}
        self.known_keys: dict[tuple[Texts, str], bool] = {}
        self.chooses: dict[str, bool] = {}

    def parse(self, text: str) -> Override:
        if text not in self.parsed:
            self.parsed[text] = self.reader.parse(text)
        return self.parsed[text]

    def split(self, texts: Texts) -> tuple[Texts, Texts]:
        """Overrides that choose groups, whose configuration is composed, and those that set values."""
        for text in texts:
            if text not in self.chooses:
                self.chooses[text] = self.is_group(self.parse(text))
        choices = tuple(text for text in texts if self.chooses[text])
        if choices not in self.bases:
            self.bases[choices] = self.compose(choices)
        return choices, tuple(text for text in texts if text not in choices)

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
        except ValueError as error:  # Hydra's, in its own words, for `group=range(1,2)`
            raise refusal(" ".join(groups), ValueError("a number is not a choice of a group")) from error
        with hydra_config(copy.deepcopy(base)):
            self.resolvers[groups] = HydraConfig.instance().cfg
        needed = OmegaConf.to_container(OmegaConf.masked_copy(base.hydra, list(HYDRA_PARTS)), resolve=False)
        with read_write(base), open_dict(base):
            del base["hydra"]
            base.hydra = needed
        return base

    @contextmanager
    def resolving(self, groups: Texts) -> Iterator[None]:
        """Within it `${hydra:...}` resolves."""
        before, HydraConfig.instance().cfg = HydraConfig.instance().cfg, self.resolvers[groups]
        try:
            yield
        finally:
            HydraConfig.instance().cfg = before

    def configured(self, groups: Texts, values: Texts) -> DictConfig:
        """The configuration with these values, Hydra's node among them."""
        cfg = copy.deepcopy(self.bases[groups])
        apply_overrides([self.parse(text) for text in values], cfg)
        return cfg

    def has_key(self, groups: Texts, text: str) -> bool:
        """Whether an override finds its key; other errors are for the combination that has it."""
        same = groups, text if "{" in text else text.partition("=")[0]  # a mapping has keys of its own
        if same not in self.known_keys:
            try:
                apply_overrides([self.parse(text)], copy.deepcopy(self.bases[groups]))
                self.known_keys[same] = True
            except ConfigCompositionException as error:
                self.known_keys[same] = not is_unknown_key(error)
        return self.known_keys[same]

    def option_names(self) -> set[str]:
        """Groups, and every dotted key of all configurations."""
        plain = [OmegaConf.to_container(base, resolve=False) for base in self.bases.values()]
        names = {name for values in plain for name in dotted_keys(values) if not name.startswith("hydra")}
        return names | {group for group, choices in self.group_names.items() if choices}


def dotted_keys(values: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of nested dictionaries."""
    for key, value in values.items() if isinstance(values, dict) else ():
        yield f"{prefix}{key}"
        yield from dotted_keys(value, f"{prefix}{key}.")


@contextmanager
def hydra_config(cfg: DictConfig) -> Iterator[None]:
    """Resolve `${hydra:...}` from this configuration."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(cfg)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def hydra_folder(loader: Any, master: DictConfig, overrides: list[str], index: int) -> str:
    """Where Hydra itself would put a job, by `hydra.sweep.dir` and `subdir`."""
    config = loader.load_sweep_config(master, overrides)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(index), index
    with hydra_config(config):
        return os.path.abspath(os.path.join(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)))


def refusal(label: str, error: BaseException) -> SweepError:
    """Why the whole sweep is refused, in one sentence that names the combination."""
    label = label if len(label) <= 160 else f"{label[:140]}…"
    root = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if isinstance(root, InterpolationResolutionError):
        return SweepError(f"{label}: ${{…}} must name another option; nothing was started")
    reason = " ".join(str(root).split("\n    full_key")[0].split()) or type(root).__name__
    return SweepError(f"{label}: {reason}; nothing was started" if label else f"{reason}; nothing was started")
