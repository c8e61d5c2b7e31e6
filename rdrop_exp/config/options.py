"""Every option of a trial: its type, range and meaning.

The dataclasses are the schema. Hydra composes plain YAML over their defaults; `checks.from_dict` checks the result.
The string under each field is its documentation: `make docs` writes docs/options.md from them.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rdrop_exp.config.dataset import Dataset
from rdrop_exp.config.regularizer import Regularizer
from rdrop_exp.config.schema import ADDED, RUNTIME, NonNegative, Positive, Range, Rate, Share


@dataclass(kw_only=True, slots=True)
class Model:
    label: Annotated[str, RUNTIME] = ""
    """Short name for folders and tables; empty: the timm name is used."""
    name: str = "vit_tiny_patch16_224"
    """Any timm classification model, `torchvision:NAME`, or `module:function` of your own; for text, a transformers
    model: a type such as bert, a hub name or a folder."""
    args: dict[str, Any] = field(default_factory=dict)
    """Extra constructor arguments, passed on unchanged."""
    sites: Annotated[dict[str, Any], ADDED] = field(default_factory=dict)
    """Where noise acts instead of the places recognised: site → patterns of module names, as {mlp: [blocks.*.fc2]}."""
    pretrained: bool = False
    """Load timm's pretrained weights for this name, from the Hugging Face hub or its local cache."""
    checkpoint: str = ""
    """Initial weights, a .safetensors or PyTorch file; the head is re-initialised if its shape differs."""


@dataclass(kw_only=True, slots=True)
class Peer(Model):
    name: str = ""
    """A second timm network, trained jointly with the first through the consistency loss; empty: none."""


@dataclass(kw_only=True, slots=True)
class Schedule:
    shape: Literal["cosine", "linear", "constant", "step", "inverse_sqrt"] = "cosine"
    """Shape of the learning-rate decay after warm-up."""
    epochs: Positive = 30
    """Training epochs."""
    steps: Annotated[int | None, Range(1)] = None
    """Total optimizer steps; overrides `epochs`."""
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warm-up."""
    warmup_steps: Annotated[int | None, Range(0)] = None
    """Optimizer steps of linear warm-up; overrides `warmup_epochs`."""
    final: Share = 0.0
    """cosine, linear: final learning rate, as a fraction of the base rate."""
    step_epochs: Positive = 10
    """step: epochs between drops of the learning rate."""
    step_factor: Annotated[float, Range(0, 1, open_left=True)] = 0.1
    """step: factor applied at each drop."""


@dataclass(kw_only=True, slots=True)
class Optimizer:
    name: str = "adamw"
    """Any timm optimizer."""
    lr: Annotated[float, Range(0, open_left=True)] = 1e-3
    """Base learning rate."""
    weight_decay: NonNegative = 0.05
    """Weight decay; not applied to one-dimensional parameters."""
    momentum: Share = 0.9
    """Momentum, for optimizers that use it."""
    args: dict[str, Any] = field(default_factory=dict)
    """Extra constructor arguments, for example {betas: [0.9, 0.95]}."""
    batch_size: Positive = 128
    """Items per optimizer step."""
    batch_tokens: Annotated[int | None, Range(16), ADDED] = None
    """Text: tokens per optimizer step, padding included, instead of `batch_size` items; null: by items."""
    accumulate: Annotated[int, Range(1), RUNTIME] = 1
    """Micro-batches per optimizer step. The loss is the mean over all items; BatchNorm and noise go by micro-batch."""
    clip: NonNegative = 0.0
    """Maximum gradient norm; 0: no clipping."""
    ema: Annotated[float, Range(0, 1, open_right=True)] = 0.0
    """Decay of an exponential moving average of the weights, used for evaluation; 0: no averaging."""


@dataclass(kw_only=True, slots=True)
class Generate:
    beams: Annotated[int, Range(1)] = 4
    """Beams of the search; 1: greedy."""
    length_penalty: float = 1.0
    """Exponent of the length by which a beam's score is divided."""
    max_length: Annotated[int, Range(2)] = 64
    """Most tokens of an output."""
    min_length: Annotated[int, Range(0)] = 0
    """Fewest tokens of an output."""
    no_repeat: Annotated[int, Range(0)] = 0
    """Length of token sequences that may not occur twice in an output; 0: any may."""


@dataclass(kw_only=True, slots=True)
class Logger:
    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """Weights & Biases mode; auto: online if you are logged in, offline otherwise."""
    project: str = "rdrop-exp"
    """W&B project."""
    entity: str = ""
    """W&B entity; empty: the account's default."""
    tags: list[str] = field(default_factory=list)
    """W&B tags."""
    also: list[Literal["tensorboard", "mlflow"]] = field(default_factory=list)
    """Further loggers: TensorBoard (files in the trial's folder), MLflow (where MLFLOW_TRACKING_URI says)."""
    every: Positive = 50
    """Optimizer steps between rows of metrics.jsonl; the end of an epoch always writes one."""
    progress: bool = True
    """Show progress: a bar in a terminal, one line per epoch elsewhere."""


@dataclass(kw_only=True, slots=True)
class Analysis:
    every: Annotated[int | None, Range(1)] = None
    """Optimizer steps between analyses during training; null: none."""
    batches: Annotated[int, Range(2)] = 20
    """Mini-batch gradients per analysis, in addition to the gradient of the whole training set."""
    augment: bool = True
    """Augment these mini-batches as in training; the whole-set gradient is never augmented."""
    passes: Annotated[int, Range(0)] = 5
    """Noisy passes over the validation set for train-test inconsistency and calibration; below 2: skipped."""
    dropout: Rate = 0.1
    """Dropout rate of those passes if the trial itself has no noise."""


@dataclass(kw_only=True, slots=True)
class Options:
    name: Annotated[str, RUNTIME] = "default"
    """Experiment name: the folder under `output_dir` that its trials share."""
    output_dir: Annotated[str, RUNTIME] = "outputs"
    """Folder that experiments are written to."""
    plugins: Annotated[list[str], RUNTIME] = field(default_factory=list)
    """Modules that add schedules, divergences or data sets of your own, such as [my_plugin] for ./my_plugin.py."""
    seed: int = 0
    """Seed of weights, data order, augmentation and noise."""
    model: Model = field(default_factory=Model)
    """The network."""
    peer: Peer = field(default_factory=Peer)
    """A second network for mutual learning."""
    dataset: Dataset = field(default_factory=Dataset)
    """The data and its augmentation."""
    regularizer: Regularizer = field(default_factory=Regularizer)
    """Noise, its schedule, and the consistency loss."""
    schedule: Schedule = field(default_factory=Schedule)
    """Length of training and the learning-rate schedule."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    """Optimizer, batch size, gradient clipping and weight averaging."""
    generate: Annotated[Generate, ADDED] = field(default_factory=Generate)
    """How translations and summaries are generated for evaluation."""
    logger: Annotated[Logger, RUNTIME] = field(default_factory=Logger)
    """Logging to the terminal, files and Weights & Biases."""
    analysis: Annotated[Analysis, RUNTIME] = field(default_factory=Analysis)
    """Gradient metrics and inconsistency, measured during training without affecting it."""
    monte_carlo: Annotated[int, Range(0), RUNTIME] = 0
    """Classification: noisy passes over the test set, whose mean prediction is measured, too; 0: none."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Numerical precision of the forward pass."""
    compile: bool = False
    """Compile the model with torch.compile."""
    compile_mode: Annotated[Literal["default", "reduce-overhead", "max-autotune"], RUNTIME] = "default"
    """torch.compile mode; reduce-overhead uses CUDA graphs."""
    share_passes: Annotated[bool, RUNTIME] = True
    """Compute the layers before the first noise once for all passes; false: run each pass from the input."""
    share_steps: Annotated[bool, RUNTIME] = False
    """Train the steps that trials of a sweep share once, until their regularizers first differ; false: each by itself.
    """
    skip_dropped: Annotated[bool, RUNTIME] = True
    """Compute a residual branch only for the samples that stochastic depth keeps; false: compute all and mask."""
    fast_linear: Annotated[bool, RUNTIME] = True
    """On AMD CPUs, run float32 linear layers with oneDNN; false: PyTorch's default, MKL."""
    sync_batchnorm: Annotated[bool, RUNTIME] = True
    """On several ranks, BatchNorm goes by the whole batch, as on one; false: by each rank's part, which is faster."""
    device: Annotated[str, RUNTIME] = "auto"
    """auto (best available device), cpu, cuda, cuda:1 or mps."""
    threads: Annotated[int | None, Range(1, 1024), RUNTIME] = None
    """CPU threads; null: OMP_NUM_THREADS where it is set, as launchers do, else 1. Their number changes rounding."""
    validate_every: Positive = 1
    """Epochs between validations; the last epoch is always validated."""
    validate: Annotated[Literal["metric", "loss"], ADDED] = "metric"
    """What validation selects by: the task's metric, or the loss (generated text is then scored on test only)."""
    select: Literal["best", "last"] = "best"
    """Weights evaluated on the test set: best on validation, or last."""
    pause_epoch: Annotated[int | None, Range(1), RUNTIME] = None
    """Pause after the first validation from this epoch on, keeping a checkpoint; null or a later epoch trains on."""
    stop_loss: NonNegative = 0.0
    """Stop once the mean training loss over a logging interval falls below this value; 0: never."""
    checkpoint_seconds: Annotated[float, Range(0), RUNTIME] = 60.0
    """Seconds between checkpoints."""
    same_code: Annotated[bool, RUNTIME] = False
    """Train trials of other code again, in folders beside theirs; false: they count as finished."""
    keep_weights: Annotated[bool, RUNTIME] = True
    """Keep the tested weights in checkpoint.pt, for `model.checkpoint=` and analysis."""
