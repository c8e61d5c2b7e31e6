"""The canonical form of a trial's options: those that cannot matter are reset."""

import dataclasses
import math
from collections.abc import Callable

from rdrop_exp.config.names import descriptive_name
from rdrop_exp.config.options import Options, Schedule
from rdrop_exp.config.regularizer import RATES, Regularizer

USERS_FILES = ("image_folder", "image_csv")
USERS_TEXTS = ("text_csv", "parallel", "summaries")
"""Data sets of one's own, of images and of texts."""
FROM_FILES = ("imagenet", "image_folder", "image_csv", "flowers102", "pets", "food101")
"""Data sets whose images are decoded from files."""
GLUE = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "mnli_mm", "qnli", "rte", "wnli")
PAIRS = ("parallel", "summaries", "toy_translation")
"""Data sets whose targets are texts."""
TEXTS = (*GLUE, "text_csv", "wikitext2", "wikitext103", "toy_text", "toy_language", *PAIRS)
USE_MOMENTUM = ("sgd", "momentum", "nesterov", "rmsprop", "lars", "larc", "muon", "madgrad", "kron", "adafactorbv")
"""What the names of timm's optimizers contain that use `optimizer.momentum`."""


def canonical(options: Options) -> tuple[Options, list[str]]:
    """The same trial with every option that cannot matter reset, and the names of those that were set in vain."""
    o = dataclasses.replace(
        options,
        regularizer=dataclasses.replace(options.regularizer),
        schedule=dataclasses.replace(options.schedule),
        dataset=dataclasses.replace(options.dataset),
        optimizer=dataclasses.replace(options.optimizer),
        model=dataclasses.replace(options.model),
        peer=dataclasses.replace(options.peer),
        generate=dataclasses.replace(options.generate),
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

    # A cutoff at either end: early noise that ends at once and late noise that never begins are none, late noise from
    # the start is plain noise.
    start, end = _cutoff_at_an_end(r, s)
    if (r.when == "early" and start) or (r.when == "late" and end):
        reset.append("regularizer.when")
        r.when = "never"
    elif r.when == "late" and start and r.ramp == "constant":
        r.when = "always"

    peered = bool(o.peer.name)
    if peered:
        clear("regularizer", "second_dropout", "multi_sample")  # each network makes one pass
    else:
        clear("peer", "args", "sites", "pretrained", "checkpoint")
    if r.passes == 1:
        clear("regularizer", "second_dropout", "multi_sample")
    several = r.alpha > 0 or r.multi_sample
    rates = any(getattr(r, rate) > 0 for rate in RATES)
    noisy = r.when != "never" and (rates or (several and bool(r.second_dropout)))
    if not noisy:
        if r.when not in ("always", "never") and "regularizer.when" not in reset:
            reset.append("regularizer.when")
        clear("regularizer", "second_dropout", "cutoff_epoch", "cutoff_share", "multi_sample", *RATES)
        clear("model", "sites")
        clear("peer", "sites")
        r.when = "always"
    if not noisy and not peered:
        clear("regularizer", "alpha")
    if r.alpha == 0:
        clear("regularizer", "every", "stop_gradient", "divergence", "tie")
    elif r.every == 1:
        clear("regularizer", "multi_sample")  # every step with noise is one with consistency
    if r.alpha == 0 and not r.multi_sample:
        clear("regularizer", "passes", "second_dropout")
    if r.second_dropout == r.dropout:
        r.second_dropout = None
    if r.dropout == 0 and not r.second_dropout:
        clear("regularizer", "sites", "dropout_profile")
    if r.drop_path == 0:
        clear("regularizer", "profile")
    if r.drop_block == 0:
        clear("regularizer", "block_size")
    # Named one by one, so that a schedule of the user's own keeps whatever it may use.
    if r.when in ("always", "increasing", "decreasing", "curriculum", "annealed"):
        clear("regularizer", "cutoff_epoch", "cutoff_share", "ramp")
    if r.when == "v_shaped":
        clear("regularizer", "ramp")
    if r.when in ("always", "increasing", "decreasing", "early", "late", "v_shaped"):
        clear("regularizer", "gamma")
    if r.cutoff_epoch is not None:
        r.cutoff_share = None
    elif r.cutoff_share is not None and s.steps is None:
        r.cutoff_epoch, r.cutoff_share = round(r.cutoff_share * s.epochs, 3), None
    if o.pause_epoch is not None:  # at a validation, or not at all
        o.pause_epoch = math.ceil(o.pause_epoch / o.validate_every) * o.validate_every
        if s.steps is None and o.pause_epoch >= s.epochs:
            reset.append("pause_epoch")
            o.pause_epoch = None
    if s.steps is not None:
        clear("schedule", "epochs")
    if s.warmup_steps is not None:
        clear("schedule", "warmup_epochs")
    if s.shape not in ("cosine", "linear"):
        clear("schedule", "final")
    if s.shape != "step":
        clear("schedule", "step_epochs", "step_factor")
    if not any(part in o.optimizer.name for part in USE_MOMENTUM):
        clear("optimizer", "momentum")
    if d.name == "digits" or d.name.startswith("toy_"):
        clear("dataset", "root")
    if d.name != "image_csv":
        clear("dataset", "image_column", "group_column")
    if d.name not in ("image_csv", "text_csv"):
        clear("dataset", "csv", "label_column", "split_column")
    _clear_other_task(o, clear)
    if d.name != "image_folder":
        clear("dataset", "layout")
    if d.name not in USERS_FILES:
        clear("dataset", "broken")
    if d.name not in USERS_FILES + USERS_TEXTS:
        clear("dataset", "fingerprint")
    if d.name not in FROM_FILES:
        clear("dataset", "background", "max_pixels")
    if d.name not in TEXTS:
        clear("dataset", *(("scale", "rand_augment", "color_jitter", "interpolation") if d.resident else ("crop",)))
    r.name = (r.name if noisy or r.alpha else "") or descriptive_name(r)
    return o, reset


def _clear_other_task(o: Options, clear: Callable[..., None]) -> None:
    """Options of texts where the data set has images, and the other way round."""
    name = o.dataset.name
    if name != "text_csv":
        clear("dataset", "text_column", "second_column", "label_kind")
    if name not in ("parallel", "summaries"):
        clear("dataset", "source", "target")
    if name not in PAIRS:
        clear("generate", *(field.name for field in dataclasses.fields(o.generate)))
    if name not in TEXTS:
        clear("dataset", "tokenizer", "vocabulary", "vocabulary_size", "max_length", "too_long")
        clear("optimizer", "batch_tokens")
        return
    clear(
        "dataset", "image_size", "resident", "crop", "flip", "erase", "scale", "rand_augment", "color_jitter",
        "interpolation", "mean", "std", "mixup", "cutmix", "workers",
    )  # fmt: skip
    if o.optimizer.batch_tokens:
        clear("optimizer", "batch_size")
    kind = o.dataset.tokenizer
    if kind in ("model", "wordpiece") or (kind == "auto" and o.dataset.vocabulary):
        clear("dataset", "vocabulary_size")
    if kind in ("model", "bpe"):
        clear("dataset", "vocabulary")


def _cutoff_at_an_end(r: Regularizer, s: Schedule) -> tuple[bool, bool]:
    """Whether the cutoff is at the very start of training, and whether it is at its very end."""
    if r.cutoff_epoch is not None:
        return r.cutoff_epoch == 0, s.steps is None and r.cutoff_epoch == s.epochs
    return r.cutoff_share == 0, r.cutoff_share == 1
