"""Every text preset composes, is of a data set that is read, and says in its first line what it is."""

import hydra
import pytest

from rdrop_exp.config.canonical import TEXTS
from rdrop_exp.config.compose import options_of, packaged
from rdrop_exp.config.identity import trial_spec
from rdrop_exp.text.readers import READERS

PRESETS = {path.stem: path.read_text() for path in sorted((packaged("conf") / "dataset").glob("*.yaml"))}
NAMES = {
    name: next(line[6:] for line in text.splitlines() if line.startswith("name: ")) for name, text in PRESETS.items()
}
TEXT_PRESETS = [name for name in PRESETS if NAMES[name] in TEXTS]


def test_every_data_set_has_a_preset_of_its_name() -> None:
    assert set(READERS) <= set(TEXT_PRESETS)


@pytest.mark.usefixtures("hydra_config")
@pytest.mark.parametrize("name", TEXT_PRESETS)
def test_a_preset(name: str) -> None:
    options = options_of(hydra.compose("train", [f"dataset={name}", "model=bert_micro"]))
    assert (options.dataset.label or options.dataset.name) == name
    assert PRESETS[name].startswith("# ")
    spec = trial_spec(options)
    assert spec.name.startswith(f"{name}-")
    assert not [option for option in spec.unused if option.startswith("dataset.")]  # nothing is set in vain
    assert options.dataset.max_length % 8 == 0
