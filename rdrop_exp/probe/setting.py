"""The user's own setting, as the probe needs to know it: options, data sizes, places for noise, and speed."""

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.config.identity import canonical
from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError
from rdrop_exp.probe.budget import Cost
from rdrop_exp.probe.conditions import DROPOUT, STOCHASTIC_DEPTH, Overrides, StandardNoise, total_steps

OWN = ("regularizer", "seed", "name", "sweep", "hydra.sweeper", "analysis", "repeat")
"""Options that are the probe's to set."""
PILOT_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    o: Options
    overrides: Overrides
    """The user's, by key as a sweep file has them."""
    launcher: list[str]
    """Those of the launcher, `hydra.launcher.…`, which are handed on."""
    sizes: dict[str, int]
    per_epoch: int
    branches: bool
    """Whether the model has places for stochastic depth, and `dropouts`: for dropout other than before its head."""
    dropouts: bool

    @property
    def noise(self) -> StandardNoise:
        return STOCHASTIC_DEPTH if self.branches and not self.dropouts else DROPOUT


@contextlib.contextmanager
def hydra_ready() -> Iterator[None]:
    """Within it `composed` works: Hydra's own state, set up as the command `rdrop-exp` does."""
    import hydra
    from hydra.core.config_store import ConfigStore

    from rdrop_exp import launch
    from rdrop_exp.cli import packaged

    ConfigStore.instance().store(name="options", node=asdict(Options()))
    os.environ.setdefault("RDROP_EXP_SWEEPS", str(packaged("sweeps")))
    launch.register()
    version: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": None}
    with hydra.initialize_config_dir(str(packaged("conf")), **version):
        yield


def composed(overrides: Overrides) -> Options:
    """Canonical options of these overrides, as a trial has them; `OptionError` in one sentence."""
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from rdrop_exp.cli import explain, options_of
    from rdrop_exp.launch.overrides import in_grammar

    texts = [f"{k}={v if isinstance(v, str) else in_grammar(v)}" for k, v in overrides.items()]
    try:
        return canonical(options_of(hydra.compose("train", texts)))[0]
    except (HydraException, OmegaConfBaseException) as error:
        raise OptionError(explain(error, texts)) from None


def parse(words: list[str]) -> tuple[Overrides, list[str]]:
    """The user's overrides by key, and the launcher's; `OptionError` for what is the probe's, or a sweep."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from rdrop_exp.cli import normalise

    launcher = [word for word in words if word.startswith("hydra.launcher.")]
    own: Overrides = {}
    for word in normalise([word for word in words if word not in launcher]):
        key, equals, value = word.partition("=")
        plain = key.lstrip("+~")
        if not equals:
            raise OptionError(f"{word} is not an option: write key=value")
        if any(plain == name or plain.startswith(f"{name}.") for name in OWN):
            raise OptionError(f"{plain} is what the probe chooses: leave it out")
        try:
            sweep = OverridesParser.create().parse_override(word).is_sweep_override()
        except HydraException as error:
            raise OptionError(f"{word} is not Hydra's grammar: {' '.join(str(error).split())}") from None
        if sweep:
            raise OptionError(f"{word} has several values: the probe answers for one setting at a time")
        own[key] = value
    return own, launcher


def examine(own: Overrides, launcher: list[str]) -> Setting:
    """Read the data set and build the model once, to know what there is; `hydra_ready` must be in force."""
    from rdrop_exp.data import datasets
    from rdrop_exp.data.sampler import EpochSampler
    from rdrop_exp.models.build import create_network
    from rdrop_exp.noise.sites import PRESETS, noise_sites

    o = composed(own)
    own = without_rates(own)
    source = datasets.load(o.dataset)
    sampler = EpochSampler(source.sets, o.dataset, o.optimizer.batch_size, 0)
    size = o.dataset.image_size or (224 if source.images is None else source.images.shape[-1])
    model = create_network(o.model, "model", classes=source.classes, channels=source.channels, image_size=size)
    found = {site.name for site in noise_sites(model)}
    dropouts = bool(found & set(PRESETS["dru"]))
    return Setting(
        o=o, overrides=own, launcher=launcher, sizes=sampler.sizes, per_epoch=sampler.steps,
        branches="branch" in found, dropouts=dropouts,
    )  # fmt: skip


def without_rates(own: Overrides) -> Overrides:
    """The overrides, with a rate of 0 where an experiment among them sets one that another regularizer would keep."""
    kinds = ((DROPOUT, "drop_path"), (STOCHASTIC_DEPTH, "dropout"))
    left = [other for kind, other in kinds if getattr(composed(own | kind.overrides(0.1)).regularizer, other)]
    return own | {f"regularizer.{option}": 0 for option in left}


def slots_of(launcher: list[str]) -> list[Any]:
    """The slots that the launcher will use, by the options handed on to it."""
    import yaml  # type: ignore[import-untyped]

    from rdrop_exp.launch.devices import allocate

    given = {word.partition("=")[0].rpartition(".")[2]: yaml.safe_load(word.partition("=")[2]) for word in launcher}
    known = {key: given[key] for key in ("gpus", "per_gpu", "threads", "slots") if key in given}
    try:
        return allocate(**known)
    except (TypeError, ValueError) as error:
        raise OptionError(f"the launcher's options do not fit: {error}") from None


def command(*words: str) -> list[str]:
    """`rdrop-exp WORDS` in this environment."""
    return [sys.executable, "-m", "rdrop_exp", *words]


def time_a_few_steps(setting: Setting) -> Cost:
    """Train a few noisy steps in a process of its own, on one site; `OptionError` with its words where that fails."""
    o, slots = setting.o, slots_of(setting.launcher)
    with tempfile.TemporaryDirectory() as folder:
        few = {"schedule.steps": PILOT_STEPS, "schedule.warmup_steps": 0, "dataset.limit": PILOT_STEPS}
        quiet = {"logger.wandb": "disabled", "name": "pilot", "output_dir": folder, "keep_weights": "false"}
        words = setting.overrides | setting.noise.overrides(setting.noise.rates[0]) | few | quiet
        before = time.monotonic()
        done = subprocess.run(
            command(*(f"{k}={v}" for k, v in words.items())),
            env=os.environ | slots[0].environment(), capture_output=True, text=True,
        )  # fmt: skip
        wall = time.monotonic() - before
        if done.returncode:
            raise OptionError(f"a trial of {PILOT_STEPS} steps failed: {done.stderr.strip() or done.stdout.strip()}")
        (path,) = Path(folder).glob("pilot/*/result.json")
        result = json.loads(path.read_text(encoding="utf-8"))
    steps, size = total_steps(o, setting.per_epoch), min(o.optimizer.batch_size, setting.sizes["train"])
    rounds = max(1, math.ceil(steps / setting.per_epoch / o.validate_every))
    cap = 2 * size * o.dataset.limit if o.dataset.limit else math.inf
    return Cost(
        images_per_second=result["images_per_second"],
        startup=max(0.0, wall - result["seconds"]),
        steps=steps,
        batch_size=size,
        evaluated=rounds * min(cap, setting.sizes["validation"]) + min(cap, setting.sizes["test"]),
        slots=len(slots),
    )
