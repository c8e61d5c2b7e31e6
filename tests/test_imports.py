"""What imports what: no circle, no arrow from a lower room to a higher one, and light commands."""

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "timm", "numpy", "scipy", "plotly", "rich", "wandb", "hydra", "omegaconf")
ROOMS = (
    "config", "seeds", "console", "statistics", "hardware", "noise", "data", "text", "models", "runs",
    "questions", "tasks", "train", "report", "analysis", "cli", "choose", "api", "__main__",
)  # fmt: skip
"""Each may import from those before it."""
SLOTS = ROOT / "packages" / "hydra-slots" / "src" / "hydra_slots"


def imports(folder: Path = ROOT / "rdrop_exp") -> dict[str, set[str]]:
    """Module → modules of its package that it imports, also inside functions, and of rdrop_exp, wherever it is."""
    paths = {
        ".".join(p.relative_to(folder.parent).with_suffix("").parts): p
        for p in folder.rglob("*.py")
        if p.parent.name != "starter"
    }
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith((folder.name, "rdrop_exp")):
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= {each if each in modules else str(node.module) for each in inside}
            elif isinstance(node, ast.Import):
                graph[name] |= {alias.name for alias in node.names if alias.name in modules}
    return graph


@pytest.mark.parametrize("folder", [ROOT / "rdrop_exp", SLOTS], ids=lambda folder: folder.name)
def test_no_file_imports_in_a_circle(folder: Path) -> None:
    assert list(graphlib.TopologicalSorter(imports(folder)).static_order())  # raises CycleError with the circle


def test_hydra_slots_knows_nothing_of_rdrop_exp() -> None:
    assert not {target for targets in imports(SLOTS).values() for target in targets if "rdrop_exp" in target}


def test_rooms_import_from_lower_rooms_only() -> None:
    for module, targets in imports().items():
        if module == "rdrop_exp":  # whose names are imported on first use
            continue
        for target in targets - {"rdrop_exp"}:
            room, lower = module.split(".")[1], target.split(".")[1]
            assert ROOMS.index(lower) <= ROOMS.index(room), f"{module} imports {target}"


@pytest.mark.parametrize("command", ["report", "analysis", "choose"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = f"""
import sys
from pathlib import Path
from rdrop_exp.{command}.cli import main
try:
    main(["--help"])
except SystemExit as end:
    print(end.code, [name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
