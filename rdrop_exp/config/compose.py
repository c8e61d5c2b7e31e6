"""From what Hydra composed to checked options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError


def packaged(name: str) -> Path:
    """Folder `name` (conf, sweeps): inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parents[1] / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name


def options_of(cfg: DictConfig) -> Options:
    """Checked options from what Hydra composed."""
    for name, value in texts(OmegaConf.to_container(cfg, resolve=False)):
        if "${oc.env:" in value:  # it would be written, resolved, to result files and to W&B
            raise OptionError(f"{name}={value} reads the environment, which may hold secrets: write its value instead")
    values: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for group, label in (("regularizer", "name"), ("dataset", "label")):
        choice = chosen(group)
        if choice and not shipped(group, choice) and not values[group][label]:
            values[group][label] = choice  # a preset of one's own is called by its file's name
    return from_dict(values)


def texts(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested values, with its dotted name."""
    if isinstance(values, str):
        yield prefix, values
    elif isinstance(values, dict):
        for key, value in values.items():
            yield from texts(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(values, list):
        for value in values:
            yield from texts(value, prefix)


def chosen(group: str) -> str:
    """The choice of a group of options that Hydra made; empty where there is none, or no Hydra."""
    from hydra.core.hydra_config import HydraConfig

    return str(HydraConfig.get().runtime.choices.get(group) or "") if HydraConfig.initialized() else ""


def shipped(group: str, choice: str) -> bool:
    """Whether the choice is one of this package's own."""
    return (packaged("conf") / group / f"{choice}.yaml").is_file()


def overrides_of_task() -> tuple[list[str], bool]:
    """The overrides of this trial, and whether it is a run of its own rather than part of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        return [], False
    # As text: `seed=${nope}` in the list of overrides would itself be resolved.
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
    return overrides["task"], HydraConfig.get().mode == RunMode.RUN
