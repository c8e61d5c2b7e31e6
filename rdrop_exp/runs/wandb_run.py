"""Starting a Weights & Biases run: online where there is a key and a server, offline elsewhere, never asking."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from rdrop_exp.config.schema import first_line

Mode = Literal["auto", "online", "offline"]
INIT_SECONDS = 20.0
"""Longest wait for W&B to start a run."""
_unreachable = ""  # why, once a run of this process found out: the others then start offline at once


def start_run(mode: Mode, folder: Path, *, resume: bool = False, **about: Any) -> tuple[Any, str]:
    """A run with its files in `folder`, and why it is offline (empty: it is online). `about` goes to `wandb.init`."""
    global _unreachable
    if mode == "offline":
        return _init("offline", folder, **about), "logger.wandb=offline"
    if mode == "auto" and not has_key():
        return _init("offline", folder, **about), "no API key"
    if not _unreachable:
        try:
            return _init("online", folder, **about, **({"resume": "allow"} if resume else {})), ""
        except Exception as error:  # of the server, the network, the account, or W&B itself
            import wandb

            _unreachable = first_line(error)
            wandb.teardown()  # its service still holds the id of the run that failed
    return _init("offline", folder, **about), f"W&B cannot be reached: {_unreachable}"


def _init(mode: Literal["online", "offline"], folder: Path, **about: Any) -> Any:
    import wandb

    settings = wandb.Settings(
        init_timeout=INIT_SECONDS, console="off", silent=True, disable_git=True, disable_code=True
    )
    return wandb.init(mode=mode, dir=str(folder), reinit="create_new", settings=settings, **about)


def run_id(identity: str, experiment: str, code: str = "") -> str:
    """One W&B run for each trial of each experiment, of the characters that W&B allows; `code`: of `same_code`."""
    return "-".join([plain_name(experiment)[:80], *([code] if code else []), identity])


def plain_name(text: str) -> str:
    """Letters, digits, dots, dashes and underscores, the only ones that W&B allows in names."""
    return re.sub(r"[^\w.-]+", "-", text, flags=re.ASCII).strip("-") or "trials"


def has_key() -> bool:
    """Whether W&B has a key, found without asking for one."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    import netrc

    hosts: tuple[str, ...] = ("api.wandb.ai", "api.forge.coreweave.com")  # W&B's default server, before and since 0.31
    if base := os.environ.get("WANDB_BASE_URL"):
        hosts = (base.split("//")[-1].split("/")[0].split(":")[0],)
    try:
        known = netrc.netrc(os.environ.get("NETRC") or None)
    except (OSError, netrc.NetrcParseError):
        return False
    return any(known.authenticators(host) for host in hosts)
