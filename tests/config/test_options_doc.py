"""docs/options.md is what options.py says: `make docs` rewrites it."""

import dataclasses

import yaml

from hydra_slots.options import SlotsConf
from rdrop_exp.config.options import Options
from rdrop_exp.config.reference import descriptions, reference
from rdrop_exp.config.schema import hints, unwrap
from tests.conftest import ROOT


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "options.md").read_text() == reference(), "run `make docs`"


def test_every_option_has_a_row_with_its_type_default_range_and_meaning() -> None:
    lines = reference().splitlines()
    for name, hint in hints(Options).items():
        group = unwrap(hint)[0]
        if not dataclasses.is_dataclass(group):
            assert [line for line in lines if line.startswith(f"| `{name}` |")], name
            continue
        assert f"## {name}" in lines
        for field in dataclasses.fields(group):
            (row,) = [line for line in lines if line.startswith(f"| `{name}.{field.name}` |")]
            assert row.count(" | ") == 5
            assert row.split(" | ")[-1].removesuffix(" |").endswith(".")


def test_a_row_tells_type_default_range_and_identity() -> None:
    rows = {line.split("`")[1]: line for line in reference().splitlines() if line.startswith("| `")}
    assert "| number | `0.0` | at least 0 and below 1 | yes |" in rows["regularizer.dropout"]
    assert "| integer or null | `null` | at least 1 | yes |" in rows["schedule.steps"]
    assert '| `linear`, `constant` | `"linear"` |  | yes |' in rows["regularizer.profile"]
    assert "| no |" in rows["logger.every"], "the whole group cannot change a result"
    assert "| no |" in rows["optimizer.accumulate"]


def test_sweeps_md_lists_the_launchers_options_with_their_defaults() -> None:
    text = (ROOT / "docs" / "sweeps.md").read_text().partition("## Options of the launcher")[2]
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    documented = {line.split("`")[1]: line.split(" | ")[1] for line in rows}
    internal = {"_target_", "accumulate_key", "columns", "summary"}  # what rdrop-exp sets itself
    expected = {f.name: f.default for f in dataclasses.fields(SlotsConf) if f.name not in internal}
    assert documented.keys() == expected.keys()
    assert {k: yaml.safe_load(v) for k, v in documented.items()} == expected


def test_an_inherited_option_keeps_its_text_and_a_redefined_one_has_its_own() -> None:
    from rdrop_exp.config.options import Model, Peer

    assert descriptions(Peer)["args"] == descriptions(Model)["args"]
    assert descriptions(Peer)["name"] != descriptions(Model)["name"]
