"""Options of the regularizer: which noise, when, and what the loss makes of it."""

from dataclasses import dataclass
from typing import Annotated, Literal

from rdrop_exp.config.schema import ADDED, RUNTIME, NonNegative, Positive, Range, Rate


@dataclass(kw_only=True, slots=True)
class Regularizer:
    name: Annotated[str, RUNTIME] = ""
    """Name in tables and folders; empty: derived from the settings, for example early_dropout."""
    dropout: Rate = 0.0
    """Dropout rate at the selected sites."""
    second_dropout: Annotated[float | None, Range(0, 1, open_right=True)] = None
    """Dropout rate of every pass after the first; null: same as `dropout`."""
    drop_path: Rate = 0.0
    """Stochastic-depth rate of the last residual block."""
    profile: Literal["linear", "constant"] = "linear"
    """Stochastic-depth rate over blocks: rising linearly from 0 to `drop_path`, or constant."""
    patch_dropout: Annotated[Rate, ADDED] = 0.0
    """Share of an image's patch tokens that are left out, drawn for each sample: steps get cheaper, too."""
    drop_key: Annotated[Rate, ADDED] = 0.0
    """Rate at which a query's attention keys are masked: in the first block; it falls linearly to 0 at the last."""
    head_dropout: Annotated[Rate, ADDED] = 0.0
    """Rate at which whole attention heads are dropped, for each sample."""
    drop_block: Annotated[Rate, ADDED] = 0.0
    """DropBlock: share of the feature maps of the last two convolutional stages that is dropped, in squares."""
    block_size: Annotated[int, Range(1), ADDED] = 7
    """drop_block: side of a square, in cells of the feature map."""
    dropout_profile: Annotated[Literal["constant", "linear", "reversed", "front_loaded"], ADDED] = "constant"
    """`dropout` over blocks, with it as the mean: rising from 0, falling to 0, or twice it in the first half only."""
    sites: str = "default"
    """Where dropout acts: default, timm, rdrop, dru, or a + b of embed, attention, projection, mlp, head, residual."""
    when: str = "always"
    """Rates over time: never, always, early, late, increasing, decreasing, v_shaped, curriculum, annealed, plugins'."""
    cutoff_epoch: Annotated[float | None, Range(0)] = None
    """The epoch at which early noise ends, late noise starts, v_shaped noise is 0. May be fractional."""
    cutoff_share: Annotated[float | None, Range(0, 1)] = None
    """The cutoff as a fraction of training; used only if `cutoff_epoch` is null."""
    ramp: Literal["constant", "linear", "cosine"] = "constant"
    """early: how the rate falls before the cutoff; late: how it rises after it."""
    gamma: Annotated[float, Range(0, open_left=True)] = 1e-3
    """curriculum, annealed: rate of the exponential, per optimizer step."""
    alpha: NonNegative = 0.0
    """Weight of the consistency loss; 0 turns it off and trains with a single pass, or with `multi_sample`."""
    passes: Annotated[int, Range(1)] = 2
    """Noisy forward passes per input in a consistency step; 1 with `tie` teacher only."""
    tie: Annotated[Literal["passes", "teacher"], ADDED] = "passes"
    """What each pass is tied to: the other passes, or the clean pass of the averaged weights (`optimizer.ema`)."""
    multi_sample: Annotated[bool, ADDED] = False
    """Make `passes` noisy passes in every step with noise, and average their losses, also without consistency."""
    every: Positive = 1
    """Steps between consistency steps."""
    stop_gradient: bool = False
    """Treat the other passes as fixed targets: no gradient of the consistency loss flows through them."""
    divergence: str = "kl"
    """Consistency loss: kl (symmetric), mse, brier (mse of softmaxes), bernoulli (KL of sigmoids), or a plugin's."""


RATES = {
    "dropout": "dropout", "drop_path": "stochastic_depth", "patch_dropout": "patch_dropout", "drop_key": "drop_key",
    "head_dropout": "head_dropout", "drop_block": "drop_block",
}  # fmt: skip
"""Each rate of noise → what regularizers with it are called."""
