"""Everything of Hydra that is used although it is private; tests/test_hydra_private.py notices changes."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError


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
