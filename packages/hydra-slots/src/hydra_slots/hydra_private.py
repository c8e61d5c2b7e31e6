"""Everything of Hydra that is private or differs between versions; tests/test_hydra_private.py notices changes."""

import inspect
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

_REPLACE: dict[str, Any] = (
    {"replace": True} if "replace" in inspect.signature(ConfigStore.store).parameters else {}
)  # Hydra 1.4 warns without it


def store_config(group: str, name: str, node: Any) -> None:
    """Put a configuration into the ConfigStore, in the place of an earlier one."""
    ConfigStore.instance().store(group=group, name=name, node=node, provider="hydra-slots", **_REPLACE)


def is_stored(group: str, name: str) -> bool:
    """Whether the ConfigStore has this configuration."""
    try:
        return f"{name}.yaml" in ConfigStore.instance().list(group)
    except OSError:
        return False


def apply_overrides(overrides: Sequence[Override], cfg: DictConfig) -> None:
    """Change values of a composed configuration in place, exactly as Hydra does after composing."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), cfg)


def is_unknown_key(error: ConfigCompositionException) -> bool:
    """Whether `apply_overrides` failed because the configuration has no such key."""
    return isinstance(error.__cause__, ConfigAttributeError | ConfigKeyError)


def returned_or_raised(job: JobReturn) -> Any:
    """What a job returned, or the exception that it raised; the public property raises that."""
    return job._return_value


def replace_outcome(job: JobReturn, value: Any) -> None:
    job._return_value = value
