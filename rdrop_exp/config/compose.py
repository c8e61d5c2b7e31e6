"""From what Hydra composed to checked options."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from rdrop_exp.config.checks import from_dict
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError


def packaged(name: str) -> Path:
    """Folder `name` (conf, sweeps): inside the installed package, or at the top of a checkout."""
    inside = Path(__file__).parents[1] / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name


def own(name: str) -> Path | None:
    """The user's own folder of that name (conf, sweeps) below the current one, where it is not the package's."""
    folder = Path.cwd() / name
    return folder if folder.is_dir() and not folder.samefile(packaged(name)) else None


class OwnConfigs(SearchPathPlugin):
    """Lets Hydra look for groups and their choices in `conf/` below the current folder before the package's."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if folder := own("conf"):
            search_path.prepend("own", f"file://{folder}")


def options_of(cfg: DictConfig | dict[str, Any]) -> Options:
    """Checked options from what Hydra composed, or from its values if nothing in them interpolates."""
    if isinstance(cfg, dict):
        values = dict(cfg)
    else:
        for name, value in texts(OmegaConf.to_container(cfg, resolve=False)):
            if "${oc.env:" in value:  # it would be written, resolved, to result files and to W&B
                raise OptionError(
                    f"{name}={value} reads the environment, which may hold secrets: write its value instead"
                )
        values = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    for (group, label), choice in of_composition(own_choices).items():
        if not values[group][label]:
            values[group] = {**values[group], label: choice}  # a preset of one's own is called by its file's name
    return from_dict(values, shared=isinstance(cfg, dict))


Answer = TypeVar("Answer")
_answers: dict[tuple[Callable[[], Any], int], tuple[Any, Any]] = {}


def of_composition(ask: Callable[[], Answer]) -> Answer:
    """What `ask` says of the choices that Hydra made, asked once for each composition of a plan."""
    from hydra.core.hydra_config import HydraConfig

    composed = HydraConfig.instance().cfg
    key = ask, id(composed)
    if key not in _answers or _answers[key][0] is not composed:
        while len(_answers) >= 100:
            del _answers[next(iter(_answers))]
        _answers[key] = composed, ask()
    answer: Answer = _answers[key][1]
    return answer


def own_choices() -> dict[tuple[str, str], str]:
    """Choices of presets of one's own, by the option that says what they are called."""
    options = (("regularizer", "name"), ("dataset", "label"))
    named = {(group, label): chosen(group) for group, label in options}
    return {key: choice for key, choice in named.items() if choice and not shipped(key[0], choice)}


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
    """Whether the choice is one of this package's."""
    return bool(sources := files_of(group, choice)) and sources[0] == packaged("conf") / group / f"{choice}.yaml"


def files_of(group: str, choice: str) -> list[Path]:
    """The files of a choice, the one that counts first: the user's own, the package's."""
    folders = [folder for folder in (own("conf"), packaged("conf")) if folder]
    return [path for folder in folders if (path := folder / group / f"{choice}.yaml").is_file()]


def replaced(others: Iterable[tuple[str, str]] = ()) -> list[str]:
    """A sentence for each choice, of Hydra's or of these, whose file of the user's own replaces the package's."""
    from hydra.core.hydra_config import HydraConfig

    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    names = [(str(group), str(choice)) for group, choice in choices.items() if not str(group).startswith("hydra/")]
    names += others
    return [
        f"{group}={choice} is your own conf/{group}/{choice}.yaml, not the package's"
        for group, choice in names
        if len(files_of(group, choice)) > 1
    ]


def overrides_of_task() -> tuple[list[str], bool]:
    """The overrides of this trial, and whether it is a run of its own rather than part of a sweep."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if not HydraConfig.initialized():
        return [], False
    # As text: `seed=${nope}` in the list of overrides would itself be resolved.
    overrides: Any = OmegaConf.to_container(HydraConfig.get().overrides, resolve=False)
    return overrides["task"], HydraConfig.get().mode == RunMode.RUN
