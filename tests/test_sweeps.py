"""Every sweep that is shipped plans on a machine without its data, and says what it is for."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Command

SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweeps_plan(command: Command, tmp_path: Path, path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert {"title", "answers", "baseline", "grids"} <= content.keys()
    done = command("-m", f"sweep={path.stem}", "hydra.launcher.dry_run=true")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{path.stem}: {content['title']}"
    assert int(lines[1].split()[0]) >= 9
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "path", [p for p in SWEEPS if not p.stem.endswith(("_paper", "demo", "family"))], ids=lambda p: p.stem
)
def test_a_sweep_at_cpu_scale_has_one_at_the_papers(path: Path) -> None:
    paper = path.with_name(f"{path.stem}_paper.yaml")
    assert paper in SWEEPS
    assert any("digits" in line for line in path.read_text().splitlines() if line.startswith("#"))


def test_the_wandb_sweep_names_real_options() -> None:
    from rdrop_exp.config.arguments import why_unknown

    content = yaml.safe_load((SWEEPS[0].parent / "wandb/alpha.yaml").read_text())
    assert [why_unknown(key) for key in content["parameters"]] == [""] * len(content["parameters"])
    assert "rdrop-exp" in content["command"]


@pytest.mark.slow
def test_every_launcher_finds_the_same_results(command: Command, tmp_path: Path) -> None:
    import json

    found = {}
    for launcher in ("runner", "basic", "joblib"):
        sweep = ("-m", "regularizer=none,rdrop", "schedule.epochs=1", "logger=local", f"name={launcher}")
        done = command(*sweep, f"hydra/launcher={launcher}")
        assert done.returncode == 0, done.stderr
        results = [json.loads(p.read_text()) for p in (tmp_path / "outputs" / launcher).glob("*/result.json")]
        found[launcher] = {r["identity"]: r["metrics"] for r in results}
    assert len(found["runner"]) == 2
    assert found["runner"] == found["basic"] == found["joblib"]
