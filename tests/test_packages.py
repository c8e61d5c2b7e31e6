"""Both packages, built and installed where nothing of the checkout can be imported: what a user gets from pip."""

import os
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
COMMANDS = """
rdrop-exp init .
rdrop-exp sweep=
rdrop-exp experiment=mine debug=tiny name=starter
rdrop-exp -m sweep=demo hydra.launcher.dry_run=true
rdrop-exp -m regularizer=none,rdrop logger=local schedule.epochs=1 dataset.limit=2 name=small
rdrop-report outputs/small
rdrop-choose model=vit_micro_8 --trials 60 --dry-run
"""


def done(command: list[str], folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sdists, and the wheels that were built from them."""
    folder = tmp_path_factory.mktemp("dist")
    for source in (ROOT, ROOT / "packages" / "hydra-slots"):
        done([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)], folder)
    return folder


def test_the_source_distribution_holds_what_is_tracked_and_no_results(built: Path) -> None:
    with tarfile.open(next(built.glob("rdrop_exp-*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = done(["git", "ls-files"], ROOT).split("\n") if (ROOT / ".git").exists() else []
    left_out = (".ci/", "outputs/")
    assert {name for name in tracked if name and not name.startswith(left_out)} <= names
    assert [name for name in names if name.startswith((*left_out, "data/", "site/", "wandb/", ".venv"))] == []


def test_the_commands_run_from_an_empty_folder(built: Path, tmp_path: Path) -> None:
    """In an environment of its own, which has the dependencies of this one but neither of the two packages."""
    environment, folder = tmp_path / "environment", tmp_path / "empty"
    folder.mkdir()
    done([sys.executable, "-m", "venv", "--without-pip", str(environment)], tmp_path)
    python = environment / "bin" / "python"
    site = Path(done([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(python)]
    done([*pip, "install", "--no-deps", "--no-index", "--ignore-installed", *map(str, built.glob("*.whl"))], tmp_path)
    done([*pip, "check"], tmp_path)
    where = done(
        [str(python), "-c", "import rdrop_exp, hydra_slots as h; print(rdrop_exp.__file__, h.__file__)"], folder
    )
    assert all(Path(path).is_relative_to(site) for path in where.split())
    for command in COMMANDS.strip().splitlines():
        name, *arguments = command.split()
        done([str(environment / "bin" / name), *arguments], folder)
    assert (folder / "outputs" / "small" / "report.html").is_file()
