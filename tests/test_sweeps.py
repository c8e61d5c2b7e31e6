"""Every sweep that is shipped plans on a machine without its data, and says what it is for."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, Command

FOLDER = ROOT / "sweeps"
SWEEPS = sorted(path for pattern in ("*.yaml", "claims/*.yaml") for path in FOLDER.glob(pattern))
CLAIMS = [path for path in SWEEPS if path.parent.name == "claims"]


def plans() -> list[tuple[str, str | None]]:
    """Name and scale of every plan that is shipped."""
    names = {path.relative_to(FOLDER).with_suffix("").as_posix(): yaml.safe_load(path.read_text()) for path in SWEEPS}
    return [(name, scale) for name, content in names.items() for scale in content.get("scales") or [None]]


@pytest.mark.parametrize(("name", "scale"), plans())
def test_shipped_sweeps_plan(command: Command, tmp_path: Path, name: str, scale: str | None) -> None:
    content = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    content |= (content.get("scales") or {}).get(scale, {})
    assert {"title", "answers", "baseline", "grids"} <= content.keys()
    words = [f"scale={scale}"] if scale else []
    done = command("-m", f"sweep={name}", *words, "hydra.launcher.dry_run=true")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{name}{f' ({scale})' if scale else ''}: {content['title']}"
    assert int(lines[1].split()[0]) >= 9
    assert not list(tmp_path.iterdir())


def test_each_claim_is_stated_with_its_source_at_every_scale() -> None:
    assert len(CLAIMS) == 16
    for path in CLAIMS:
        content = yaml.safe_load(path.read_text())
        assert list(content["scales"]) == ["cpu", "gpu", "paper"]
        assert content["seeds"] == 8
        for scale in content["scales"].values():
            expected = (content | scale)["expects"]
            assert expected
            assert all(line["claim"] and line["source"].startswith("arXiv ") for line in expected)


def test_the_wandb_sweep_names_real_options() -> None:
    from rdrop_exp.config.arguments import why_unknown

    content = yaml.safe_load((FOLDER / "wandb/alpha.yaml").read_text())
    assert [why_unknown(key) for key in content["parameters"]] == [""] * len(content["parameters"])
    assert "rdrop-exp" in content["command"]


def planned(output: str) -> list[str]:
    """Names of the trials of a dry run, without data set, model, seed and identity."""
    names = [line.split()[1] for line in output.splitlines() if line.startswith("  run ")]
    return [name.split("-", 2)[2].rpartition("-s0-")[0] for name in names]


@pytest.mark.parametrize(
    ("words", "trials"),
    [
        (
            "regularizer=none,dropout,rdrop regularizer.alpha=0.1,0.5",
            "none dropout-p0.1 rdrop-p0.1-a0.1 rdrop-p0.1-a0.5",
        ),
        (
            "regularizer=none,dropout,stochastic_depth regularizer.dropout=0.15",
            "none dropout-p0.15 stochastic_depth-sd0.1",
        ),
        ("regularizer=dropout regularizer.alpha=0.5", "rdrop-p0.1-a0.5"),
        ("sweep=claims/alpha regularizer.alpha=7 seed=0", "dropout-p0.1 rdrop-p0.1-a7"),
        ("sweep=model_size model.name=resnet18 seed=0", "none early_dropout-p0.1-until6.667 dropout-p0.1"),
        ("model.name=resnet18,resnet50", "none none"),
        (
            "regularizer=dropout,rdrop regularizer.dropout=0.2,0.3 together=regularizer+regularizer.dropout",
            "dropout-p0.2 rdrop-p0.3-a0.5",
        ),
    ],
)
def test_an_option_reaches_the_presets_that_it_belongs_to(command: Command, words: str, trials: str) -> None:
    done = command("-m", *words.split(), "hydra.launcher.dry_run=true")
    assert done.returncode == 0, done.stderr
    assert planned(done.stdout) == trials.split()
    assert "Warning" not in done.stdout


@pytest.mark.slow
def test_every_launcher_finds_the_same_results(command: Command, tmp_path: Path) -> None:
    import json

    found = {}
    for launcher in ("slots", "basic", "joblib"):
        sweep = ("-m", "regularizer=none,rdrop", "schedule.epochs=1", "logger=local", f"name={launcher}")
        done = command(*sweep, f"hydra/launcher={launcher}")
        assert done.returncode == 0, done.stderr
        results = [json.loads(p.read_text()) for p in (tmp_path / "outputs" / launcher).glob("*/result.json")]
        found[launcher] = {r["identity"]: r["metrics"] for r in results}
    assert len(found["slots"]) == 2
    assert found["slots"] == found["basic"] == found["joblib"]
