"""Which code makes a trial: hashes of the package and of plugins, the git commit with its changes, and the packages.

Two trials are of the same code if the hashes of package and plugins are equal. The commit is for people: it changes
with every page of documentation. All of it is found once per process, and only written once per trial.
"""

import functools
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
AFTERWARDS = ("report", "probe", "analysis", "statistics", "questions", "launch", "api", "cli.py", "__main__.py")
"""What plans, starts and reads trials; a change there makes no result another one, and is no part of the hash."""
GIT_SECONDS = 5.0
"""Longest wait for a git command."""
MOST_DIFF = 1_000_000
"""Bytes of `code.diff`; its hash is of all."""
Code = dict[str, Any]


@functools.cache
def current() -> Code:
    """What result.json calls `code`: commit, dirty, diff (a hash), package (a hash), and the hash of each plugin."""
    commit, diff = _git()
    digest = hashlib.sha256(diff).hexdigest()[:16] if diff else ""
    return {"commit": commit, "dirty": bool(diff), "diff": digest, "package": _package_hash(), "plugins": _plugins()}


def key(code: Any) -> str:
    """Equal for the same code; empty where it is unknown, as in trials of earlier versions."""
    if not isinstance(code, dict) or not isinstance(code.get("package"), str):
        return ""
    plugins = code.get("plugins")
    parts = [code["package"], *sorted(f"{k}={v}" for k, v in plugins.items())] if isinstance(plugins, dict) else []
    more = code.get("earlier")
    parts += [f"earlier={one}" for one in more] if isinstance(more, list) else []
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def named(code: Code) -> str:
    """The code for people: the commit where there is one, else the hash of the package."""
    commit = str(code.get("commit") or "")[:10]
    return f"commit {commit}{' with changes' if code.get('dirty') else ''}" if commit else f"{code.get('package')}"


def differs(code: Code | None) -> str:
    """The code for people where it is known and is not the current one; else empty."""
    return named(code) if code and key(code) != key(current()) else ""


def sentence(others: list[str], of: int) -> str:
    """`12 of 40 trials were made by other code: commit 1a2b3c4d5e`, of what `differs` says of each."""
    kinds = sorted(set(others))
    which = ", ".join(kinds) if len(kinds) <= 3 else f"{len(kinds)} versions"
    were = "trial was" if of == 1 else "trials were"
    return f"{len(others)} of {of} {were} made by other code: {which}"


def resumed(earlier: Any) -> Code:
    """The current code, with the keys of the other codes that trained a part of the trial before."""
    past = list(earlier.get("earlier") or []) if isinstance(earlier, dict) else []
    past += [k for k in [key(earlier)] if k and k != key(current())]
    return current() | ({"earlier": list(dict.fromkeys(past))} if past else {})


def write_beside(folder: Path) -> None:
    """Write code.diff (where there are changes) and environment.txt."""
    diff = _git()[1]
    if diff:
        (folder / "code.diff").write_bytes(diff[:MOST_DIFF])
    else:
        (folder / "code.diff").unlink(missing_ok=True)
    (folder / "environment.txt").write_text(_environment(), encoding="utf-8")


def _package_hash() -> str:
    paths = {p.relative_to(PACKAGE).as_posix(): p for p in PACKAGE.rglob("*.py")}
    used = {name: path.read_bytes() for name, path in paths.items() if name.split("/")[0] not in AFTERWARDS}
    return _hash(used)


def _plugins() -> dict[str, str]:
    """Module → hash of its source: of all files where it is a package."""
    try:
        loaded = import_module("rdrop_exp.config.plugins").loaded()
    except ModuleNotFoundError:
        return {}
    return {name: _hash(dict(_sources(name))) for name in sorted(loaded)}


def _sources(module: str) -> Iterator[tuple[str, bytes]]:
    file = getattr(sys.modules.get(module), "__file__", None)
    if file:
        path = Path(file)
        for source in sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]:
            yield source.relative_to(path.parent).as_posix(), source.read_bytes()


def _hash(files: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return whole.hexdigest()[:16]


@functools.cache
def _git() -> tuple[str, bytes]:
    """Commit and changes of tracked files: of the checkout that tracks the package, else of the current directory's.

    Empty outside a repository, and without git.
    """
    tracked = _run_git(PACKAGE, "ls-files", "--error-unmatch", "__init__.py")  # not the repository around a venv
    where = PACKAGE if tracked else Path.cwd()
    commit = _run_git(where, "rev-parse", "HEAD").decode().strip()
    return (
        (commit, _run_git(where, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD"))
        if commit
        else ("", b"")
    )


def _run_git(where: Path, *arguments: str) -> bytes:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=where, env=environment, capture_output=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return b""
    return done.stdout


@functools.cache
def _environment() -> str:
    """As `pip freeze`, without links: `name==version` by the names of folders, as reading metadata takes 0.4 s."""
    folders = [Path(entry) for entry in sys.path if entry.endswith("-packages") and os.path.isdir(entry)]
    names = {info.stem.replace("-", "==", 1) for folder in folders for info in folder.glob("*.dist-info")}
    return "".join(f"{name}\n" for name in sorted(names, key=str.lower))
