"""The command `rdrop-exp`: a Hydra application whose every user error is one sentence and exit code 2.

rdrop-exp model=vit_micro_8 regularizer=rdrop regularizer.alpha=0.5     one trial
rdrop-exp -m regularizer=none,rdrop seed=0,1,2                         a sweep
rdrop-exp init DIR                                                     configs and a plugin of one's own, to begin with
rdrop-exp --help                                                       groups and options
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

import hydra_slots
from hydra_slots.devices import rank
from rdrop_exp.config.arguments import arrange, type_of, why_unknown
from rdrop_exp.config.compose import OwnConfigs, options_of, overrides_of_task, own, packaged, replaced
from rdrop_exp.config.options import Options
from rdrop_exp.config.regularizer import RATES
from rdrop_exp.config.schema import OptionError, nearest, printable, shown
from rdrop_exp.config.starter import init
from rdrop_exp.console import status

HELP = "; rdrop-exp --help lists the choices"
COLUMNS = {
    "epoch": "epoch", "loss": "train/loss", "val": "metric", "items/s": "images_per_second|tokens_per_second",
}  # fmt: skip
"""Of the live display of a sweep: heading to key in metrics.jsonl."""
_VERSION: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": None}
"""Hydra 1.4 has no version_base to choose; 1.3 warns without one."""


def task(cfg: DictConfig) -> float | None:
    """What every launcher runs: one trial; returns what its validation selects by, for sweepers that optimise."""
    overrides, alone = overrides_of_task()
    try:
        options = options_of(cfg)  # before the heavy imports, so that a mistyped option is answered at once
        check_chosen(options, overrides)
        if alone:
            from rdrop_exp.train.planning import look_at

            look_at(options.dataset)  # likewise
            print(*(f"{sentence}\n" for sentence in replaced() if not rank()), sep="", end="", flush=True)
        with status("loading torch"):
            from rdrop_exp.tasks.choose import task_of
            from rdrop_exp.train import trial

        result = trial.run(options, shlex.join(["rdrop-exp", *overrides]), analysis_of(options))
    except Exception as error:
        if alone and not os.environ.get("RDROP_EXP_TRACEBACK"):  # else Hydra would print lines of its own
            exit_with(error)
        raise
    return None if result is None else result["metrics"].get(f"val/{task_of(options).selection(options)[0]}")


def analysis_of(o: Options) -> Any:
    """What measures the network while it trains; imported only where it is asked for."""
    if not o.analysis.every:
        return None
    from rdrop_exp.analysis.online import make_analysis

    return make_analysis


def check_chosen(o: Options, overrides: list[str]) -> None:
    """Refuse a rate or weight that was set without choosing a regularizer: it would do nothing."""
    keys = {override.lstrip("+").partition("=")[0] for override in overrides}
    if o.regularizer.when != "never" or keys & {"regularizer", "experiment"} or o.peer.name:
        return
    for key, near in {**RATES, "second_dropout": "dropout", "alpha": "rdrop"}.items():
        if f"regularizer.{key}" in keys:
            value = getattr(o.regularizer, key)
            raise OptionError(
                f"regularizer.{key}={shown(value)} has no effect with regularizer=none: choose a regularizer,"
                f" such as regularizer={near}"
            )


def register() -> None:
    """What the configuration needs before Hydra composes it: every option with its default, sweeper and launcher.

    The command does this by itself; call it before `hydra.compose("train")` in a program of your own.
    """
    ConfigStore.instance().store(name="options", node=asdict(Options()))
    Plugins.instance().register(OwnConfigs)
    sweeps = [str(folder) for folder in (own("sweeps"), packaged("sweeps")) if folder]
    hydra_slots.register(
        launcher={
            "accumulate_key": "optimizer.accumulate",  # doubled when a trial runs out of memory and is retried
            "columns": COLUMNS,
        },
        sweeper={
            "folder": os.environ.get("RDROP_EXP_SWEEPS") or sweeps,
            "describe": "rdrop_exp.train.planning:describe",  # maps a configuration to a trial
            "applies": "rdrop_exp.train.planning:applies",  # whether a preset uses an option
            "check": "rdrop_exp.train.planning:check_plan",  # what timm and torch would refuse
            "name_key": "name",  # a named sweep sets the experiment name
            "summary": "rdrop_exp.report:summarise",  # called after the last trial
        },
    )


@contextlib.contextmanager
def hydra_ready() -> Iterator[None]:
    """Hydra set up as in the command `rdrop-exp`, for `hydra.compose("train", …)`."""
    register()
    with hydra.initialize_config_dir(str(packaged("conf")), **_VERSION):
        yield


def compose(overrides: list[str], given: list[str]) -> Options:
    """Checked options of these overrides, inside `hydra_ready`; `OptionError` in one sentence, about those `given`."""
    try:
        return options_of(hydra.compose("train", overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, given)) from None


def main() -> NoReturn:
    """Entry point: exit code 0, 2 for what is wrong with the options, 1 for what fails in training."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra hands errors on instead of printing them
    try:
        if sys.argv[1:2] == ["init"]:
            print(init(sys.argv[2:]))
            sys.exit(0)
        register()
        if {"--help", "-h", "--shell-completion", "-sc"} & set(sys.argv[1:]):
            _copy_no_store()
        sys.argv[1:] = hydra_slots.arguments(arrange(sys.argv[1:]))
        if "WORLD_SIZE" in os.environ and {"-m", "--multirun"} & set(sys.argv):
            raise OptionError(
                "-m under torchrun would run the sweep on every rank: use hydra.launcher.ranks_per_trial=N"
            )
        hydra.main(config_path=str(packaged("conf")), config_name="train", **_VERSION)(task)()
    except KeyboardInterrupt:
        _exit(130, "Stopped. Run the same command to resume.")
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        if os.environ.get("RDROP_EXP_TRACEBACK"):
            raise
        exit_with(error)
    sys.exit(0)


def _copy_no_store() -> None:
    """Let Hydra list groups without a copy of all its configs for each of a hundred groups, which takes 0.5 s."""
    store = ConfigStore.instance()
    store.__deepcopy__ = lambda _: store  # type: ignore[attr-defined]


def exit_with(error: Exception) -> NoReturn:
    """Exit with 2 where the options are at fault and 1 where training failed, after one sentence on stderr."""
    if isinstance(error, OptionError | HydraException | OmegaConfBaseException):
        _exit(2, explain(error, sys.argv[1:]))
    own = type(error).__module__.startswith("rdrop_exp.")  # its sentence is ours, and needs no type
    sentence = str(error).split("\n")[0] if own else f"{type(error).__name__}: {error}".split("\n")[0].rstrip(": ")
    log = getattr(error, "log", "")
    _exit(1, f"{sentence} ({f'traceback in {log}' if log else 'RDROP_EXP_TRACEBACK=1 shows where'})")


def _exit(code: int, message: str) -> NoReturn:
    if not rank():  # which hears of what befalls the others
        print(f"rdrop-exp: {printable(message)}", file=sys.stderr)
    sys.exit(code)


def explain(error: BaseException, arguments: list[str]) -> str:
    """One sentence for a user's error, with the nearest valid name."""
    if getattr(error, "option_error", False):
        return str(error)
    if missing := getattr(error, "missing_cfg_file", None):
        group, _, choice = str(missing).rpartition("/")
        choices = getattr(error, "options", None) or ()
        return f"{group or 'config'}={shown(choice)} is not a choice{nearest(choice, choices) or HELP}"
    overrides = [a for a in arguments if "=" in a and not a.startswith("-")]
    for argument in overrides:
        key = argument.lstrip("+~").partition("=")[0]
        if why := why_unknown(key) or hydra_slots.why_unknown(key):
            return why
    for argument in overrides:
        if why := why_unreadable(argument, sweep=bool({"-m", "--multirun"} & set(arguments))):
            return why
    text = " ".join(str(error).split("\nfull_key")[0].split())
    for argument in overrides:
        if text.startswith("Error merging override") and argument in str(error):
            return f"{shown(argument)} must be a group of options such as {{key: value}}"
        if "$" in argument and isinstance(error, OmegaConfBaseException):
            return f"{shown(argument)} cannot be resolved: ${{…}} must name another option"
    return shown(text) if len(text) > 300 else text


def why_unreadable(override: str, sweep: bool) -> str:
    """Why Hydra's grammar does not take this argument, or not as a single value; empty where it does."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    key, _, value = override.partition("=")
    try:
        several = OverridesParser.create().parse_override(override).is_sweep_override()
    except HydraException:
        if type_of(key) is not str:
            return f"{shown(override)} cannot be read: check its brackets, commas and quotes"
        example = f", as in {key}='\"{value}\"'" if len(override) <= 60 and value.isprintable() else ""
        return f"{shown(override)} cannot be read: put its value in quotes{example}"
    if several and not sweep:
        return f"{shown(override)} has several values: add -m to run a trial with each, or write [a,b] for a list"
    return ""
