"""Which code makes a trial: hashes of the package and of the user's modules, the git commit with its changes, packages.

Two trials are of the same code if these hashes are equal. The commit is for people: it changes with every page of
documentation. All of it is found once per process, and only written once per trial.
"""

import functools
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from hydra_slots.protocol import atomic_file
from rdrop_exp.config import plugins
from rdrop_exp.config.options import Options
from rdrop_exp.runs import sources

GIT_SECONDS = 5.0
"""Longest wait for a git command."""
MOST_DIFF = 1_000_000
"""Bytes of `code.diff`; its hash is of all."""
Code = dict[str, Any]


def current(o: Options) -> Code:
    """What result.json calls `code`: commit, dirty, diff (a hash), package (a hash), and plugins: module → hash.

    The module of `model.name=module:function` counts as a plugin.
    """
    commit, diff = _git()
    models = [part.name.partition(":")[0] for part in (o.model, o.peer) if ":" in part.name]
    names = {*plugins.loaded(), *(name for name in models if name != "torchvision")}
    return {
        "commit": commit,
        "dirty": bool(diff),
        "diff": _digest(diff) if diff else "",
        "package": sources.package_hash(),
        "plugins": {name: sources.module_hash(name) for name in sorted(names)},
    }


def recorded(about: dict[str, Any]) -> Code:
    """The `code` of a trial.json or result.json, which anyone may have written; empty: unknown, as in old ones."""
    code = about.get("code")
    if not isinstance(code, dict) or not _is_hash(code.get("package")):
        return {}
    modules, earlier, commit = code.get("plugins"), code.get("earlier"), code.get("commit")
    return {
        "commit": commit if isinstance(commit, str) and re.fullmatch("[0-9a-f]{7,64}", commit) else "",
        "dirty": bool(code.get("dirty")),
        "package": code["package"],
        "plugins": {name: h for name, h in modules.items() if _is_hash(h)} if isinstance(modules, dict) else {},
        "earlier": [key for key in earlier if _is_hash(key)] if isinstance(earlier, list) else [],
    }


def differs(code: Code) -> str:
    """Of what `recorded` gave: the code for people where it is known and not the current one; else empty.

    A module that is not found from here is not compared.
    """
    if not code:
        return ""
    edited = [name for name, before in code["plugins"].items() if sources.module_hash(name) not in ("", before)]
    if code["package"] == sources.package_hash() and not edited:
        return "a part by an earlier version" if code["earlier"] else ""
    if code["package"] == sources.package_hash():
        return f"another version of {', '.join(edited)}"
    commit = code["commit"][:10]
    return f"commit {commit}{' with changes' if code['dirty'] else ''}" if commit else f"package {code['package']}"


def same(code: Code) -> bool:
    """Whether it is known and the current one."""
    return bool(code) and not differs(code)


def sentence(others: list[str], of: int) -> str:
    """`12 of 40 trials were made by other code: commit 1a2b3c4d5e`, of what `differs` says of each."""
    kinds = sorted(set(others))
    which = ", ".join(kinds) if len(kinds) <= 3 else f"{len(kinds)} versions"
    noun, were = "trial" if of == 1 else "trials", "was" if len(others) == 1 else "were"
    return f"{len(others)} of {of} {noun} {were} made by other code: {which}"


def key(code: Code) -> str:
    """Equal for the same code, short enough for a folder's name."""
    return _digest("\n".join([code["package"], *(f"{k}={v}" for k, v in sorted(code["plugins"].items()))]).encode())


def resumed(before: Code, o: Options) -> Code:
    """The current code, with the keys of the other codes that trained a part of the trial before (`recorded`)."""
    now = current(o)
    past = [*before["earlier"], *([key(before)] if key(before) != key(now) else [])] if before else []
    return now | ({"earlier": list(dict.fromkeys(past))} if past else {})


def write_beside(folder: Path) -> None:
    """Write code.diff (where there are changes) and environment.txt."""
    diff = _git()[1]
    if diff:
        with atomic_file(folder / "code.diff", "wb") as file:
            file.write(diff[:MOST_DIFF])
    elif (folder / "code.diff").exists():
        (folder / "code.diff").unlink()
    with atomic_file(folder / "environment.txt") as file:
        file.write(_environment())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) is not None


@functools.cache
def _git() -> tuple[str, bytes]:
    """Commit and changes of tracked files: of the package's checkout, else of the current directory's.

    Empty outside a repository, and without git.
    """
    installed = {"site-packages", "dist-packages"} & set(sources.PACKAGE.parts)  # maybe below the user's own repository
    where = Path.cwd() if installed else sources.PACKAGE
    lines = _run_git(where, "status", "--porcelain=v2", "--branch", "--untracked-files=no").decode().splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), "")
    if not re.fullmatch("[0-9a-f]+", commit):  # none yet: `(initial)`
        return "", b""
    dirty = any(not line.startswith("#") for line in lines)
    return commit, _run_git(where, "diff", "--no-ext-diff", "--no-textconv", "--no-color", "HEAD") if dirty else b""


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
