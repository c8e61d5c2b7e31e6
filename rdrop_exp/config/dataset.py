"""The options of a data set: what is read, how it is split, and how it is changed for training."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from rdrop_exp.config.schema import ADDED, RUNTIME, NonNegative, Range, Share


@dataclass(kw_only=True, slots=True)
class Dataset:
    label: Annotated[str, RUNTIME] = ""
    """Short name for folders and tables; empty: the data set's name, or that of a YAML of your own."""
    name: str = "digits"
    """Name of a data set (`rdrop-exp --help` lists them)."""
    root: str = "data"
    """Folder of the files, and where downloads go."""
    download: Annotated[bool, RUNTIME] = False
    """Download missing files by torchvision, or for GLUE and WikiText by the package datasets."""
    layout: Annotated[Literal["auto", "classes", "splits"], ADDED] = "auto"
    """image_folder: what the folders inside `root` are: classes, or splits (train, val, test) of classes."""
    csv: str = "labels.csv"
    """image_csv, text_csv: the table inside `root`: one row per image or text."""
    image_column: str = "image"
    """image_csv: column of file names, relative to the table's folder or to a folder `images` beside it."""
    label_column: str = "label"
    """image_csv, text_csv: column of labels."""
    split_column: Annotated[str, ADDED] = "split"
    """image_csv, text_csv: column that assigns rows to train, validation or test; without it the sets are split off."""
    group_column: Annotated[str, ADDED] = ""
    """image_csv: column of what must stay in one set, such as a patient; empty: rows are independent."""
    broken: Annotated[Literal["error", "skip"], ADDED] = "error"
    """Image files that cannot be read: refuse the data set, or leave them out."""
    fingerprint: Annotated[Literal["quick", "content"], RUNTIME] = "quick"
    """How changed files are noticed: by names, sizes and modification times, or by reading all bytes."""
    background: Annotated[str, ADDED] = "white"
    """Colour behind transparent pixels: a name or #rrggbb."""
    max_pixels: Annotated[int, Range(1), ADDED] = 178_956_970
    """Pixels of the largest image to decode; larger JPEGs are decoded at a half, quarter or eighth, others refused."""
    image_size: Annotated[int | None, Range(1)] = None
    """Side of the model's square input, in pixels; null: the size of the images (streamed photographs: 224)."""
    validation: Annotated[float, Range(0, 1, open_left=True, open_right=True)] = 0.1
    """Share of the training images used for validation if the data has no validation set."""
    test: Annotated[float, Range(0, 1, open_left=True, open_right=True)] = 0.2
    """Share of all images used for testing if the data has no test set."""
    split_seed: int = 0
    """Seed of these splits, separate from `seed`, so that every trial has the same three sets."""
    fraction: Annotated[float, Range(0, 1, open_left=True)] = 1.0
    """Share of the training set to train on, stratified by class."""
    resident: bool = True
    """Decode once and hold all images as one uint8 tensor on the device; false: stream from files."""
    crop: Annotated[int, Range(0)] = 0
    """Resident: random crop after padding by this number of pixels."""
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
    """Per-channel mean to subtract, of images in 0..1; null: the data set's."""
    std: list[float] | None = None
    """Per-channel standard deviation to divide by; null: the data set's."""
    mixup: NonNegative = 0.0
    """Mixup's Beta parameter; 0: off."""
    cutmix: NonNegative = 0.0
    """Cutmix's Beta parameter; 0: off."""
    label_smoothing: Annotated[float, Range(0, 1, open_right=True)] = 0.0
    """Share of the training target spread evenly over all classes."""
    text_column: Annotated[str, ADDED] = "text"
    """text_csv: column of the text."""
    second_column: Annotated[str, ADDED] = ""
    """text_csv: column of a second text, for tasks on pairs; empty: one text per row."""
    label_kind: Annotated[Literal["class", "value", "set"], ADDED] = "class"
    """text_csv: what a label is: a class, a number (regression), or classes separated by spaces (multi-label)."""
    source: Annotated[str, ADDED] = ""
    """Translation and summarization: language or column of the input."""
    target: Annotated[str, ADDED] = ""
    """Translation and summarization: language or column of the output."""
    tokenizer: Annotated[Literal["auto", "model", "wordpiece", "bpe"], ADDED] = "auto"
    """Text: auto (the pretrained model's own, else wordpiece where `vocabulary` is set, else bpe), or one of them."""
    vocabulary: Annotated[str, ADDED] = ""
    """Text: WordPiece vocabulary file, one token per line; relative paths are inside `root`."""
    vocabulary_size: Annotated[int, Range(300), ADDED] = 8000
    """Text: size of a BPE vocabulary trained on the training set, shared by source and target."""
    max_length: Annotated[int, Range(4), ADDED] = 128
    """Text: tokens per item, special tokens included; language modelling: tokens per block."""
    too_long: Annotated[Literal["truncate", "error"], ADDED] = "truncate"
    """Text: what to do with longer items: cut them (the number is logged), or refuse the data set."""
    limit: Annotated[int | None, Range(1)] = None
    """Use only this number of batches of each set per epoch (evaluation batches are twice as large)."""
    repeat_batch: bool = False
    """Train repeatedly on the first batch, unshuffled (for `debug=overfit`)."""
    workers: Annotated[int | None, Range(0), RUNTIME] = None
    """Streamed: decoding processes; null: one per core, at most 8."""
