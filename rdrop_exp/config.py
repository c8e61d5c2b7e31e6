"""Every option of a trial: its type, range and meaning; and what makes two trials the same.

The dataclasses below are the schema. Hydra composes plain YAML over their defaults, `from_dict` checks the result
strictly, `canonical` resets the options that cannot matter, and `identity` hashes the ones that can change the result.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from rdrop_exp.schema import RUNTIME, OptionError, Range, build, nearest, runtime_fields

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
    """When noise acts: never, always, early, late, increasing, decreasing, curriculum, annealed (schedules.WHEN)."""
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
    share_passes: Annotated[bool, RUNTIME] = True
    """Compute what comes before the first noise once for all passes of an input; false: repeat them from the start."""
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


def from_dict(values: dict[str, Any]) -> Options:
    """Checked options from nested plain values; `OptionError` in one sentence for anything that does not fit."""
    options: Options = build(Options, values)
    check(options)
    return options


def check(options: Options) -> None:
    """Refuse combinations that could not mean what they say."""
    from rdrop_exp.schedules import WHEN  # which imports this module

    r, s = options.regularizer, options.schedule
    if r.when not in WHEN:
        raise OptionError(f"regularizer.when={r.when} is not a choice{nearest(r.when, WHEN)}")
    if r.when in ("early", "late"):
        if r.cutoff_epoch is None and r.cutoff_share is None:
            raise OptionError(f"regularizer.when={r.when} needs regularizer.cutoff_epoch (or regularizer.cutoff_share)")
        if r.cutoff_epoch is not None and s.steps is None and r.cutoff_epoch > s.epochs:
            raise OptionError(
                f"regularizer.cutoff_epoch={r.cutoff_epoch:g} lies beyond the last epoch: set it to at most"
                f" schedule.epochs={s.epochs}"
            )
    noisy = r.dropout > 0 or r.drop_path > 0 or bool(r.second_dropout)
    if r.when != "never" and r.alpha > 0 and not noisy and not options.peer.name:
        raise OptionError(
            f"regularizer.alpha={r.alpha:g} has no noise to act on: set regularizer.dropout or"
            " regularizer.drop_path above 0, or choose a peer"
        )
    if options.peer.name and r.passes != 2:
        raise OptionError(f"regularizer.passes={r.passes} does not go with a peer: two networks make 2 passes")
    if s.steps is None and s.warmup_steps is None and s.warmup_epochs > s.epochs:
        raise OptionError(
            f"schedule.warmup_epochs={s.warmup_epochs:g} is longer than training: set it to at most"
            f" schedule.epochs={s.epochs}"
        )
    if options.optimizer.batch_size % options.optimizer.accumulate:
        raise OptionError(
            f"optimizer.accumulate={options.optimizer.accumulate} does not divide"
            f" optimizer.batch_size={options.optimizer.batch_size}"
        )
    d = options.dataset
    if (d.mixup > 0 or d.cutmix > 0) and (options.optimizer.batch_size // options.optimizer.accumulate) % 2:
        raise OptionError("dataset.mixup and dataset.cutmix pair images: make optimizer.batch_size even")


def canonical(options: Options) -> tuple[Options, list[str]]:
    """The same trial with every option that cannot matter reset, and the names of those that were set in vain."""
    o = dataclasses.replace(
        options,
        regularizer=dataclasses.replace(options.regularizer),
        schedule=dataclasses.replace(options.schedule),
        dataset=dataclasses.replace(options.dataset),
        peer=dataclasses.replace(options.peer),
    )
    r, s, d = o.regularizer, o.schedule, o.dataset
    reset: list[str] = []

    def clear(group: str, *names: str) -> None:
        part = getattr(o, group)
        fresh = type(part)()
        for name in names:
            if getattr(part, name) != getattr(fresh, name):
                reset.append(f"{group}.{name}")
                setattr(part, name, getattr(fresh, name))

    peered = bool(o.peer.name)
    if peered:
        clear("regularizer", "second_dropout")  # each network makes one pass
    else:
        clear("peer", "args", "pretrained", "checkpoint")
    noisy = r.when != "never" and (r.dropout > 0 or r.drop_path > 0 or (r.alpha > 0 and bool(r.second_dropout)))
    if not noisy:
        clear("regularizer", "dropout", "second_dropout", "drop_path", "cutoff_epoch", "cutoff_share")
        r.when = "always"
    if not noisy and not peered:
        clear("regularizer", "alpha")
    if r.alpha == 0:
        clear("regularizer", "passes", "every", "stop_gradient", "divergence", "second_dropout")
    if r.second_dropout == r.dropout:
        r.second_dropout = None
    if r.dropout == 0 and not r.second_dropout:
        clear("regularizer", "sites")
    if r.drop_path == 0:
        clear("regularizer", "profile")
    # Named one by one, so that a schedule of the user's own keeps whatever it may use.
    if r.when in ("always", "increasing", "decreasing", "curriculum", "annealed"):
        clear("regularizer", "cutoff_epoch", "cutoff_share", "ramp")
    if r.when in ("always", "increasing", "decreasing", "early", "late"):
        clear("regularizer", "gamma")
    if r.cutoff_epoch is not None:
        r.cutoff_share = None
    elif r.cutoff_share is not None and s.steps is None:
        r.cutoff_epoch, r.cutoff_share = round(r.cutoff_share * s.epochs, 3), None
    if s.steps is not None:
        clear("schedule", "epochs")
    if s.warmup_steps is not None:
        clear("schedule", "warmup_epochs")
    if s.shape not in ("cosine", "linear"):
        clear("schedule", "final")
    if s.shape != "step":
        clear("schedule", "step_epochs", "step_factor")
    if d.name != "image_csv":
        clear("dataset", "csv", "image_column", "label_column")
    clear("dataset", *(("scale", "rand_augment", "color_jitter", "interpolation") if d.resident else ("crop",)))
    r.name = (r.name if noisy or r.alpha else "") or descriptive_name(r)
    return o, reset


def descriptive_name(r: Regularizer) -> str:
    """A regularizer called after what it does: none, dropout, early_stochastic_depth, rdrop, rdrop_late, mutual, …"""
    kinds = [
        kind for kind, rate in (("dropout", r.dropout or r.second_dropout), ("stochastic_depth", r.drop_path)) if rate
    ]
    when = [] if r.when in ("always", "never") else [r.when]
    if r.alpha and kinds:
        return "_".join(["rdrop", *when, *kinds[kinds[0] == "dropout" :]])
    return "_".join(when + kinds) or ("mutual" if r.alpha else "none")


def identity(options: Options, *, seeded: bool = True) -> str:
    """Ten hex digits that two trials share exactly when no option that can change the result differs.

    Without the seed it is the identity of the group: of trials that differ by nothing else.
    """
    values = dataclasses.asdict(canonical(options)[0])
    if not seeded:
        del values["seed"]
    for path in runtime_fields(Options):
        part = values
        for key in path[:-1]:
            part = part[key]
        del part[path[-1]]
    # Where a known data set lies changes nothing; a folder of one's own is known by nothing else.
    if values["dataset"]["name"] not in ("image_folder", "image_csv"):
        del values["dataset"]["root"]
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def readable_name(options: Options) -> str:
    """The trial in a few words, for example `digits-vit_micro-early_dropout-p0.1-until5-s0`."""
    o = canonical(options)[0]
    r = o.regularizer
    models = [part.label or part.name for part in (o.model, o.peer) if part.name]
    words = [o.dataset.name, "+".join(models), r.name]
    if r.dropout or r.second_dropout:
        words.append(f"p{r.dropout:g}" + (f"_{r.second_dropout:g}" if r.second_dropout is not None else ""))
    if r.drop_path:
        words.append(f"sd{r.drop_path:g}")
    if r.cutoff_epoch is not None:
        words.append(f"{'until' if r.when == 'early' else 'from'}{r.cutoff_epoch:g}")
    if r.alpha:
        words.append(f"a{r.alpha:g}" + (f"x{r.passes}" if r.passes != 2 else ""))
    return "-".join([*words, f"s{o.seed}"]).replace("/", "_")
