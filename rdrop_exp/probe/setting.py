"""The given setting as the probe needs to know it: options, data sizes, noise sites, and speed."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.config.compose import packaged
from rdrop_exp.config.identity import TEXTS, canonical
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.probe.budget import TrialCost
from rdrop_exp.probe.conditions import DROPOUT, STOCHASTIC_DEPTH, Overrides, StandardNoise, total_steps

RESERVED = ("regularizer", "seed", "name", "sweep", "hydra.sweeper", "analysis", "repeat")
"""Options that the probe sets itself."""
TIMED_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSetting:
    o: Options
    overrides: Overrides
    """The user's, by key as in a sweep file."""
    launcher: list[str]
    """`hydra.launcher.…` overrides, which are passed on."""
    config_dir: Path | None
    """Presets of the user's own."""
    sizes: dict[str, int]
    per_epoch: int
    branches: bool
    """Whether the model has sites for stochastic depth."""
    dropouts: bool
    """Whether it has sites for dropout other than before the classifier."""

    @property
    def noise(self) -> StandardNoise:
        return STOCHASTIC_DEPTH if self.branches and not self.dropouts else DROPOUT


@contextlib.contextmanager
def hydra_ready() -> Iterator[None]:
    """Set up Hydra as the command `rdrop-exp` does; `composed` needs it."""
    import hydra

    from rdrop_exp import cli

    cli.register()
    version: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": None}
    with hydra.initialize_config_dir(str(packaged("conf")), **version):
        yield


def composed(overrides: Overrides, config_dir: Path | None = None) -> Options:
    """Canonical options of these overrides, as in a trial; `OptionError` in one sentence."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from hydra_slots.overrides import in_grammar
    from rdrop_exp.cli import explain, options_of

    texts = [f"{k}={v if isinstance(v, str) else in_grammar(v)}" for k, v in overrides.items()]
    path = [f"hydra.searchpath={in_grammar([f'file://{config_dir.absolute()}'])}"] if config_dir else []
    try:
        return canonical(options_of(hydra.compose("train", path + texts)))[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, texts)) from None


def parse(words: list[str]) -> tuple[Overrides, list[str]]:
    """The user's overrides by key, and the launcher's; `OptionError` for a reserved option or several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from rdrop_exp.config.arguments import arrange

    launcher = [word for word in words if word.startswith("hydra.launcher.")]
    words = [word for word in words if word not in launcher]
    for word in words:
        key, equals, _ = word.lstrip("+~").partition("=")
        if not equals:
            raise OptionError(f"{word} is not an option: write key=value")
        if any(key == name or key.startswith(f"{name}.") for name in RESERVED):
            raise OptionError(f"{key} is set by the probe itself: leave it out")
    overrides: Overrides = {}
    for word in arrange(words):
        try:
            sweep = OverridesParser.create().parse_override(word).is_sweep_override()
        except HydraException as error:
            raise OptionError(f"{word} is not valid Hydra syntax: {' '.join(str(error).split())}") from None
        if sweep:
            raise OptionError(f"{word} has several values: probe one setting at a time")
        key, _, value = word.partition("=")
        overrides[key] = value
    return overrides, launcher


def examine(overrides: Overrides, launcher: list[str], config_dir: Path | None = None) -> ProbeSetting:
    """Read the data set and build the model once to find sizes and noise sites; requires `hydra_ready`."""
    from rdrop_exp.data import datasets
    from rdrop_exp.data.sampler import EpochSampler
    from rdrop_exp.models.build import create_network
    from rdrop_exp.noise.sites import PRESETS, noise_sites

    if config_dir and not config_dir.is_dir():
        raise OptionError(f"--config-dir: folder not found: {config_dir}")
    o = composed(overrides, config_dir)
    if o.dataset.name in TEXTS:
        raise OptionError(
            f"rdrop-probe is for images, but dataset={o.dataset.label or o.dataset.name} has texts: compare the"
            " regularizers in a sweep, for example rdrop-exp -m regularizer=none,dropout seed=0,1,2"
        )
    source = datasets.load(o.dataset)
    sampler = EpochSampler(source.sets, o.dataset, o.optimizer.batch_size, 0)
    size = o.dataset.image_size or (224 if source.images is None else source.images.shape[-1])
    model = create_network(o.model, "model", classes=source.classes, channels=source.channels, image_size=size)
    sites = {site.name for site in noise_sites(model)}
    return ProbeSetting(
        o=o, overrides=without_rates(overrides, config_dir), launcher=launcher, config_dir=config_dir,
        sizes=sampler.sizes, per_epoch=sampler.steps,
        branches="branch" in sites, dropouts=bool(sites & set(PRESETS["dru"])),
    )  # fmt: skip


def without_rates(overrides: Overrides, config_dir: Path | None = None) -> Overrides:
    """The overrides, with a rate of 0 where an experiment among them sets one that the probe's noise would keep."""
    other_rates = ((DROPOUT, "drop_path"), (STOCHASTIC_DEPTH, "dropout"))
    kept = [
        other
        for noise, other in other_rates
        if getattr(composed(overrides | noise.overrides(0.1), config_dir).regularizer, other)
    ]
    return overrides | {f"regularizer.{option}": 0 for option in kept}


def worker_slots(launcher: list[str]) -> list[Any]:
    """The slots that the launcher will use, given its overrides; `OptionError` for an unknown one."""
    import yaml  # type: ignore[import-untyped]

    from hydra_slots.devices import allocate
    from hydra_slots.options import SlotsConf, checked

    words = (word.removeprefix("hydra.launcher.").partition("=") for word in launcher)
    values = {name: yaml.safe_load(text) for name, _, text in words if "." not in name}
    try:
        o = checked(SlotsConf, values)
        return allocate(o.gpus, o.per_gpu, o.threads, o.slots)
    except ValueError as error:
        raise OptionError(str(error)) from None


def command(setting: ProbeSetting, *words: str) -> list[str]:
    """`rdrop-exp WORDS` in this environment, with the user's presets."""
    presets = ["--config-dir", str(setting.config_dir)] if setting.config_dir else []
    return [sys.executable, "-m", "rdrop_exp", *presets, *words]


def measure_cost(setting: ProbeSetting) -> TrialCost:
    """Train a few noisy steps in a process of its own, on one slot; `OptionError` with its output if that fails."""
    o, slots = setting.o, worker_slots(setting.launcher)
    with tempfile.TemporaryDirectory() as folder:
        few = {"schedule.steps": TIMED_STEPS, "schedule.warmup_steps": 0, "dataset.limit": TIMED_STEPS}
        quiet = {"logger.wandb": "disabled", "name": "pilot", "output_dir": folder, "keep_weights": "false"}
        words = setting.overrides | setting.noise.overrides(setting.noise.rates[0]) | few | quiet
        start = time.monotonic()
        process = subprocess.run(
            command(setting, *(f"{k}={v}" for k, v in words.items())),
            env=os.environ | slots[0].environment(), capture_output=True, text=True,
        )  # fmt: skip
        wall = time.monotonic() - start
        if process.returncode:
            output = process.stderr.strip() or process.stdout.strip()
            raise OptionError(f"a trial of {TIMED_STEPS} steps failed: {output}")
        (path,) = Path(folder).glob("pilot/*/result.json")
        result = json.loads(path.read_text(encoding="utf-8"))
    steps, size = total_steps(o, setting.per_epoch), min(o.optimizer.batch_size, setting.sizes["train"])
    validations = max(1, math.ceil(steps / setting.per_epoch / o.validate_every))
    cap = 2 * size * o.dataset.limit if o.dataset.limit else math.inf
    return TrialCost(
        images_per_second=result["images_per_second"],
        startup=max(0.0, wall - result["seconds"]),
        steps=steps,
        batch_size=size,
        evaluated=validations * min(cap, setting.sizes["validation"]) + min(cap, setting.sizes["test"]),
        workers=len(slots),
    )
