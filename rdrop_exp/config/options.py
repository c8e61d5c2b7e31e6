"""Every option of a trial: its type, range and meaning.

The dataclasses are the schema. Hydra composes plain YAML over their defaults; `config.from_dict` checks the result.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rdrop_exp.config.schema import RUNTIME, Range

Rate = Annotated[float, Range(0, 1, open_right=True)]
Share = Annotated[float, Range(0, 1)]
Positive = Annotated[int, Range(1)]
NonNegative = Annotated[float, Range(0)]


@dataclass(kw_only=True, slots=True)
class Model:
    label: Annotated[str, RUNTIME] = ""
    """Short name for folders and tables; empty: the timm name."""
    name: str = "vit_tiny_patch16_224"
    """Any timm classification model."""
    args: dict[str, Any] = field(default_factory=dict)
    """Extra constructor arguments, passed to timm as they are."""
    pretrained: bool = False
    """Load timm's weights for this name (from the hub, or its local cache)."""
    checkpoint: str = ""
    """A .safetensors or torch file of weights to start from; the head is re-initialised where its shape differs."""


@dataclass(kw_only=True, slots=True)
class Peer(Model):
    name: str = ""
    """A second timm network, trained beside the first and tied to it by the consistency loss; empty: none."""


@dataclass(kw_only=True, slots=True)
class Dataset:
    name: str = "digits"
    """A name of the catalogue (`rdrop-exp --help` lists them)."""
    root: str = "data"
    """Folder of the files; also where downloads go."""
    download: Annotated[bool, RUNTIME] = False
    """Let torchvision download what is missing."""
    csv: str = "labels.csv"
    """image_csv: the table inside `root`, with columns for image, label and optionally split."""
    image_column: str = "image"
    """image_csv: the column of file names, relative to the table's folder or its `images` folder."""
    label_column: str = "label"
    """image_csv: the column of labels."""
    image_size: Annotated[int | None, Range(1)] = None
    """Side of the square images given to the model, in pixels; null: the data set's own (streamed photographs: 224)."""
    validation: Annotated[float, Range(0, 1, open_left=True, open_right=True)] = 0.1
    """Share of the training images split off for validation where the data has no validation set."""
    test: Annotated[float, Range(0, 1, open_left=True, open_right=True)] = 0.2
    """Share of all images split off for testing where the data has no test set."""
    split_seed: int = 0
    """Seed of those splits; apart from `seed`, so that every trial sees the same three sets."""
    fraction: Annotated[float, Range(0, 1, open_left=True)] = 1.0
    """Share of the training set that is kept, stratified by class."""
    resident: bool = True
    """Decode once and keep the whole set as one uint8 tensor on the device; false: stream from files."""
    crop: Annotated[int, Range(0)] = 0
    """Resident: random crop after padding by this many pixels."""
    flip: bool = False
    """Random horizontal flip."""
    erase: Share = 0.0
    """Probability of erasing a random rectangle."""
    scale: list[float] = field(default_factory=lambda: [0.08, 1.0])
    """Streamed: area range of the random resized crop, as shares of the image."""
    rand_augment: str = ""
    """Streamed: a timm auto-augment string, for example rand-m9-mstd0.5-inc1."""
    color_jitter: NonNegative = 0.0
    """Streamed: strength of colour jitter."""
    interpolation: Literal["bilinear", "bicubic", "random"] = "bicubic"
    """Streamed: how images are resized."""
    mean: list[float] | None = None
    """Per-channel mean that is subtracted, of images in 0..1; null: the data set's own."""
    std: list[float] | None = None
    """Per-channel deviation that is divided by; null: the data set's own."""
    mixup: NonNegative = 0.0
    """Mixup's Beta parameter; 0: off."""
    cutmix: NonNegative = 0.0
    """Cutmix's Beta parameter; 0: off."""
    label_smoothing: Annotated[float, Range(0, 1, open_right=True)] = 0.0
    """Share of the target spread evenly over all classes, in training."""
    limit: Annotated[int | None, Range(1)] = None
    """Use only this many batches of each of the three sets, in each epoch (for evaluation they are twice the size)."""
    repeat_batch: bool = False
    """Train on the first batch again and again, unshuffled (for `debug=overfit`)."""
    workers: Annotated[int | None, Range(0), RUNTIME] = None
    """Streamed: processes that decode; null: one a core, at most 8."""


@dataclass(kw_only=True, slots=True)
class Regularizer:
    name: Annotated[str, RUNTIME] = ""
    """What tables and folders call it; empty: after what it does, such as early_dropout."""
    dropout: Rate = 0.0
    """Dropout rate at the chosen sites."""
    second_dropout: Annotated[float | None, Range(0, 1, open_right=True)] = None
    """Dropout rate of every pass after the first; null: the same."""
    drop_path: Rate = 0.0
    """Stochastic-depth rate of the last residual branch."""
    profile: Literal["linear", "constant"] = "linear"
    """Stochastic depth over blocks: from 0 to `drop_path`, or the same everywhere."""
    sites: str = "default"
    """Where dropout acts: default, timm, rdrop, dru, or some of embed attention projection mlp head residual: a+b."""
    when: str = "always"
    """When noise acts: never, always, early, late, increasing, decreasing, curriculum, annealed."""
    cutoff_epoch: Annotated[float | None, Range(0, open_left=True)] = None
    """early: the epoch at which noise ends; late: at which it begins. Fractions are fine."""
    cutoff_share: Annotated[float | None, Range(0, 1, open_left=True)] = None
    """The same as a share of training, where `cutoff_epoch` is null."""
    ramp: Literal["constant", "linear", "cosine"] = "constant"
    """early: how the rate falls until the cutoff; late: how it rises from there."""
    gamma: Annotated[float, Range(0, open_left=True)] = 1e-3
    """curriculum, annealed: speed of the exponential, per optimizer step."""
    alpha: NonNegative = 0.0
    """Weight of the consistency loss; 0: none, and a single pass."""
    passes: Annotated[int, Range(2)] = 2
    """Noisy passes of each input in a consistency step."""
    every: Positive = 1
    """Steps between consistency steps."""
    stop_gradient: bool = False
    """Let the consistency loss pull each pass towards the others as they are, without gradient through them."""
    divergence: Literal["kl", "mse", "bernoulli"] = "kl"
    """What ties the passes: symmetric KL of softmaxes, squared difference, or symmetric KL of independent sigmoids."""


@dataclass(kw_only=True, slots=True)
class Schedule:
    shape: Literal["cosine", "linear", "constant", "step"] = "cosine"
    """How the learning rate falls after the warm-up."""
    epochs: Positive = 30
    """Passes over the training set."""
    steps: Annotated[int | None, Range(1)] = None
    """Optimizer steps in all, instead of `epochs`."""
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warm-up."""
    warmup_steps: Annotated[int | None, Range(0)] = None
    """Optimizer steps of warm-up, instead of `warmup_epochs`."""
    final: Share = 0.0
    """cosine, linear: the last learning rate, as a share of the base."""
    step_epochs: Positive = 10
    """step: epochs between drops."""
    step_factor: Annotated[float, Range(0, 1, open_left=True)] = 0.1
    """step: factor of each drop."""


@dataclass(kw_only=True, slots=True)
class Optimizer:
    name: str = "adamw"
    """Any timm optimizer."""
    lr: Annotated[float, Range(0, open_left=True)] = 1e-3
    """Base learning rate."""
    weight_decay: NonNegative = 0.05
    """Weight decay; none on one-dimensional parameters."""
    momentum: Share = 0.9
    """Momentum, where the optimizer has one."""
    args: dict[str, Any] = field(default_factory=dict)
    """Extra constructor arguments, for example {betas: [0.9, 0.95]}."""
    batch_size: Positive = 128
    """Items in an optimizer step."""
    accumulate: Annotated[int, Range(1), RUNTIME] = 1
    """Micro-batches that an optimizer step is split into; the loss is the mean over all items whatever the split."""
    clip: NonNegative = 0.0
    """Largest norm of the gradient; 0: no clipping."""
    ema: Annotated[float, Range(0, 1, open_right=True)] = 0.0
    """Decay of the moving average of the weights that is evaluated; 0: none."""


@dataclass(kw_only=True, slots=True)
class Logger:
    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """Weights & Biases: auto is online where a key is set, else offline."""
    project: str = "rdrop-exp"
    """W&B project."""
    entity: str = ""
    """W&B entity; empty: the account's own."""
    tags: list[str] = field(default_factory=list)
    """W&B tags."""
    every: Positive = 50
    """Optimizer steps between rows of metrics; an epoch's end always writes one."""
    progress: bool = True
    """Show progress: a bar in a terminal, a line an epoch elsewhere."""


@dataclass(kw_only=True, slots=True)
class Analysis:
    every: Annotated[int | None, Range(1)] = None
    """Optimizer steps between analyses of the network while it trains; null: none."""
    batches: Annotated[int, Range(2)] = 20
    """Mini-batch gradients of an analysis, beside that of the whole training set."""
    augment: bool = True
    """Augment these mini-batches as in training; the whole training set never is."""
    passes: Annotated[int, Range(0)] = 5
    """Noisy passes over the validation set, for train-test inconsistency and calibration; below 2: none."""
    dropout: Rate = 0.1
    """Dropout rate of those passes for a model that has no noise of its own."""


@dataclass(kw_only=True, slots=True)
class Options:
    name: Annotated[str, RUNTIME] = "default"
    """Experiment: the folder under `output_dir` that its trials share."""
    output_dir: Annotated[str, RUNTIME] = "outputs"
    """Where experiments are written."""
    seed: int = 0
    """Seed of weights, data order, augmentation and noise."""
    model: Model = field(default_factory=Model)
    """The network."""
    peer: Peer = field(default_factory=Peer)
    """A second network for mutual learning."""
    dataset: Dataset = field(default_factory=Dataset)
    """The data and its augmentation."""
    regularizer: Regularizer = field(default_factory=Regularizer)
    """Which noise, when, and what the loss makes of it."""
    schedule: Schedule = field(default_factory=Schedule)
    """Length of training and learning rate over it."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Optimizer, batch size, clipping, averaging."""
    logger: Annotated[Logger, RUNTIME] = field(default_factory=Logger)
    """What is logged, and where."""
    analysis: Annotated[Analysis, RUNTIME] = field(default_factory=Analysis)
    """Gradient metrics and inconsistency, measured while training and without effect on it."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass."""
    compile: bool = False
    """torch.compile the model."""
    compile_mode: Annotated[Literal["default", "reduce-overhead", "max-autotune"], RUNTIME] = "default"
    """torch.compile's mode; reduce-overhead replays CUDA graphs, which pays for small models on a GPU."""
    share_passes: Annotated[bool, RUNTIME] = True
    """Compute what comes before the first noise once for all passes of an input; false: repeat them from the start."""
    skip_dropped: Annotated[bool, RUNTIME] = True
    """Run a residual branch only on the samples that stochastic depth keeps; false: on all of them, under a mask."""
    fast_linear: Annotated[bool, RUNTIME] = True
    """On CPUs of AMD, linear layers in float32 by oneDNN; false: torch's choice, MKL."""
    device: Annotated[str, RUNTIME] = "auto"
    """auto (the best there is), cpu, cuda, cuda:1, mps."""
    threads: Annotated[int | None, Range(1), RUNTIME] = None
    """CPU threads; null: torch's own choice."""
    validate_every: Positive = 1
    """Epochs between validations; the last epoch always validates."""
    select: Literal["best", "last"] = "best"
    """Which weights are tested: best on validation, or the last."""
    stop_loss: NonNegative = 0.0
    """End training once the mean training loss of a logged interval falls below this; 0: never."""
    checkpoint_seconds: Annotated[float, Range(0), RUNTIME] = 60.0
    """Seconds between checkpoints."""
    keep_weights: Annotated[bool, RUNTIME] = True
    """Leave the tested weights in checkpoint.pt, for `model.checkpoint=` and analysis."""
