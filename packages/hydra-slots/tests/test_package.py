"""The wheel, built from the source distribution, is complete: the example runs with it alone, outside the checkout."""

import email
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_wheel_and_source_distribution(tmp_path):
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
        source.extractall(tmp_path, filter="data")
    assert {
        "README.md",
        "CHANGELOG.md",
        "LICENSE",
        "examples/descent.py",
        "docs/migration.md",
        "tests/foreign.py",
    } <= names
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    assert {path.name for path in site.iterdir()} >= {"hydra_slots", "hydra_plugins"}
    assert (site / "hydra_slots" / "py.typed").exists()
    assert not (site / "hydra_plugins" / "__init__.py").exists(), "others share this namespace"
    with zipfile.ZipFile(wheel) as content:
        (name,) = [name for name in content.namelist() if name.endswith("/METADATA")]
        about = email.message_from_bytes(content.read(name))
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Description-Content-Type"] == "text/markdown"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    folder = tmp_path / archive.name.removesuffix(".tar.gz") / "examples"
    words = ["-m", "optimizer=sgd,adagrad", "steps=100", "pause=0"]
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = [sys.executable, "descent.py", *words]
    done = subprocess.run(run, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("2 trials: 2 to run")
    assert "[2/2] finished" in done.stdout
