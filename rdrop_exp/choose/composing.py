"""The user's overrides: parsed as rdrop-exp does, and composed to options."""

from pathlib import Path
from typing import Any

from rdrop_exp.config.canonical import canonical
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError

Overrides = dict[str, Any]
RESERVED = ("regularizer", "seed", "name", "sweep", "hydra.sweeper", "analysis", "repeat")
"""Options that the choice sets itself."""


def composed(overrides: Overrides, config_dir: Path | None = None) -> Options:
    """Canonical options of these overrides, as in a trial; `OptionError` in one sentence."""
    from hydra_slots.overrides import in_grammar, in_words
    from rdrop_exp.cli import compose

    texts = in_words(overrides)
    path = [f"hydra.searchpath={in_grammar([f'file://{config_dir.absolute()}'])}"] if config_dir else []
    return canonical(compose(path + texts, texts))[0]


def parse(words: list[str]) -> tuple[Overrides, list[str]]:
    """The user's overrides by key, and the launcher's; `OptionError` for a reserved option or several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from rdrop_exp.config.arguments import arrange

    launcher = [word for word in words if word.startswith("hydra.launcher.")]
    words = [word for word in words if word not in launcher]
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if not equals:
            raise OptionError(f"{word} is not an option: write key=value")
        if any(key == name or key.startswith(f"{name}.") for name in RESERVED):
            raise OptionError(f"{key} is set by the command itself: leave it out")
    overrides: Overrides = {}
    for word in arrange(words):
        try:
            sweep = OverridesParser.create().parse_override(word).is_sweep_override()
        except HydraException as error:
            raise OptionError(f"{word} is not valid Hydra syntax: {' '.join(str(error).split())}") from None
        if sweep:
            raise OptionError(f"{word} has several values: give one")
        key, _, value = word.partition("=")
        overrides[key] = value
    return overrides, launcher
