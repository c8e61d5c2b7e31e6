"""Noise for a training loop of one's own: the same layers, sites and schedules as in a trial."""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rdrop_exp.api.snapshot import Snapshot
from rdrop_exp.config.checks import check_profile
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schedules import RATE_SCHEDULES
from rdrop_exp.config.schema import OptionError, from_plain, nearest
from rdrop_exp.models.text import noise_in_transformers
from rdrop_exp.noise import install, shared_prefix
from rdrop_exp.noise.branch_inputs import find_branch_inputs
from rdrop_exp.noise.layers import DropPath, NoiseLayer
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.step import seed_noise

Inputs = TypeVar("Inputs", Tensor, dict[str, Tensor])


class Noise:
    """The noise of one model. What it draws is a function of (seed, step) alone.

    While the model trains, its forward runs on a random stream of its own; torch's generator is put back afterwards.
    """

    def __init__(
        self, model: nn.Module, r: Regularizer, sites: Mapping[str, Any] | None, *, cutoff: int, total: int, seed: int
    ) -> None:
        self._regularizer, self._cutoff, self._total, self._seed = r, cutoff, total, seed
        self._snapshot = Snapshot(model)
        self._installed = install.install_noise(model, r, sites)
        self._scale = 0.0
        self.passes = 1
        """Passes that `repeat` makes at this step: 1 while no noise is active."""
        self._stream: list[Tensor] | None = None
        self._outside: list[Tensor] = []
        self._step = 0
        self._prefixed = False
        self._handles = [
            model.register_forward_pre_hook(self._enter, prepend=True),
            model.register_forward_hook(self._leave, always_call=True),
        ]

    @property
    def rates(self) -> dict[str, float]:
        """The highest rate of each kind at this step: dropout, drop_path, …"""
        return {k.removeprefix("rate/"): rate for k, rate in self._installed.rates(self._scale).items()}

    def step(self, n: int) -> None:
        """Set the rates of step `n`, counted from 0, and begin its stream of random numbers."""
        r = self._regularizer
        self._scale = RATE_SCHEDULES[r.when](r, n, self._cutoff, self._total)
        self.passes = r.passes if self._scale > 0 and self._installed.layers and n % r.every == 0 else 1
        self._installed.set_rates(self._scale, self.passes)
        self._step, self._stream = n, None

    def repeat(self, x: Inputs) -> Inputs:
        """Inputs (batch, ...), a tensor or a dictionary of them, once for each pass, pass by pass."""
        return x if self._prefixed else shared_prefix.repeat(x, self.passes)  # type: ignore[no-any-return]

    def remove(self) -> None:
        """Take the noise out: the model has its own dropout again."""
        for handle in self._handles:
            handle.remove()
        self._snapshot.restore()

    def speed_up(self, model: nn.Module, example: Any, skip: bool) -> None:
        """As in a trial: run what no noise has touched once, and drop samples where a branch begins."""
        paths = [layer for layer in self._installed.layers if isinstance(layer, DropPath)]
        if paths and skip and isinstance(example, Tensor):
            find_branch_inputs(model, paths, example)
        if self._regularizer.passes > 1:
            self._installed.shared_prefix = shared_prefix.find_shared_prefix(model, self._installed.layers, example)
            self._prefixed = True

    def _enter(self, model: nn.Module, _: Any) -> None:
        if self._installed.shared_prefix:  # a model in eval mode makes one pass, whatever the step
            self._installed.shared_prefix.num_passes = self.passes if model.training else 1
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        if not model.training or torch.compiler.is_compiling():
            return
        self._outside = _states(device)
        if self._stream is None:
            seed_noise(device, derive_seed(self._seed, "step", self._step))
        else:  # another micro-batch of the step
            _set_states(device, self._stream)

    def _leave(self, model: nn.Module, _: Any, output: Any) -> None:
        if self._outside:
            device = next((p.device for p in model.parameters()), torch.device("cpu"))
            self._stream = _states(device)
            _set_states(device, self._outside)
            self._outside = []


def _states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def _set_states(device: torch.device, states: list[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


def install_noise(
    model: nn.Module,
    *,
    dropout: float = 0.1,
    drop_path: float = 0.0,
    patch_dropout: float = 0.0,
    drop_key: float = 0.0,
    head_dropout: float = 0.0,
    drop_block: float = 0.0,
    block_size: int = 7,
    sites: str | Mapping[str, Any] = "default",
    when: str = "always",
    cutoff: int = 0,
    total: int = 0,
    ramp: str = "constant",
    gamma: float = 1e-3,
    profile: str = "linear",
    dropout_profile: str = "constant",
    second_dropout: float | None = None,
    seed: int = 0,
    passes: int = 2,
    every: int = 1,
    example: Tensor | dict[str, Tensor] | None = None,
) -> Noise:
    """Put noise into any model of timm, torchvision, transformers or yours, in place of its own dropout.

    Args:
        model: Changed in place; `Noise.remove` undoes it.
        dropout: Full rate of dropout, 0 to 1.
        drop_path: Full rate of stochastic depth.
        patch_dropout, drop_key, head_dropout, drop_block: Full rates, as the options of `regularizer`.
        block_size: Side of the regions of `drop_block`, in cells of the feature map.
        dropout_profile: Rates of dropout over the blocks, as `regularizer.dropout_profile`.
        sites: Where dropout acts: as the option `regularizer.sites`, or patterns of module names, as `model.sites`.
        when: The schedule: a name in `RATE_SCHEDULES`.
        cutoff: Step at which early noise ends or late noise begins.
        total: Steps of training; increasing, decreasing and ramped late schedules need it.
        ramp: Shape of early and late schedules: constant, linear or cosine.
        gamma: Speed of curriculum and annealed schedules, per step.
        profile: Rates of stochastic depth over the blocks: linear from 0 to `drop_path`, or constant.
        second_dropout: Rate of the second and later passes; None: the same as the first.
        seed: What the model draws is a function of (seed, step) alone.
        passes: Noisy passes that `Noise.repeat` makes; 1: plain dropout.
        every: Repeat the inputs at every so many steps; 1: at every step.
        example: Three inputs. With them, layers before the first noise run once for all passes (the model repeats them
            there, so `Noise.repeat` returns its inputs as they are), and stochastic depth computes kept samples only.

    Raises:
        OptionError: A ValueError of one sentence, such as for a site that the model does not have.

    Examples:
        >>> import torch, rdrop_exp
        >>> from torch.nn import Dropout, Linear, ReLU, Sequential
        >>> model = Sequential(Linear(8, 16), ReLU(), Dropout(0.5), Linear(16, 2))
        >>> noise = rdrop_exp.install_noise(model, dropout=0.2, when="early", cutoff=100)
        >>> for step in (99, 100):
        ...     noise.step(step)
        ...     print(noise.rates, tuple(model(noise.repeat(torch.ones(4, 8))).shape))
        {'dropout': 0.2} (8, 2)
        {'dropout': 0.0} (4, 2)
    """
    values = {
        "dropout": dropout, "drop_path": drop_path, "patch_dropout": patch_dropout, "drop_key": drop_key,
        "head_dropout": head_dropout, "drop_block": drop_block, "block_size": block_size,
        "dropout_profile": dropout_profile, "sites": sites if isinstance(sites, str) else "default", "when": when,
        "ramp": ramp, "gamma": gamma, "profile": profile, "second_dropout": second_dropout,
        "every": every, "passes": max(passes, 2) if isinstance(passes, int) else passes,
    }  # fmt: skip
    r: Regularizer = from_plain(Regularizer, values)
    r.passes = passes  # 1: plain dropout
    patterns = None if isinstance(sites, str) else sites
    if patterns:
        named = set(patterns) - {"branch"}
        r.sites = "+".join(sorted(named)) or "default"
        r.dropout = r.dropout if named else 0.0
    try:
        _check(model, r, cutoff, total)
        noise_in_transformers(model)
        noise = Noise(model, r, patterns, cutoff=cutoff, total=total, seed=seed)
    except OptionError as error:
        raise OptionError(str(error).replace("regularizer.", "").replace("model.sites", "sites")) from None
    if example is not None:
        noise.speed_up(model, example, second_dropout is None)
    noise.step(0)
    return noise


def _check(model: nn.Module, r: Regularizer, cutoff: int, total: int) -> None:
    if any(isinstance(module, NoiseLayer) for module in model.modules()):
        raise OptionError("this model has noise already: call remove() on it first")
    if r.passes < 1:
        raise OptionError(f"passes={r.passes} must be at least 1")
    if r.when not in RATE_SCHEDULES:
        raise OptionError(f"when={r.when} is not a choice{nearest(r.when, RATE_SCHEDULES)}")
    check_profile(r)
    if r.when in ("early", "late", "v_shaped") and cutoff < 1:
        what = {"early": "ends", "late": "begins", "v_shaped": "is 0"}[r.when]
        raise OptionError(f"when={r.when} needs cutoff, the step at which noise {what}")
    by_length = r.when in ("increasing", "decreasing", "v_shaped") or (r.when == "late" and r.ramp != "constant")
    if by_length and total < 1:
        raise OptionError(f"when={r.when} needs total, the number of steps")
