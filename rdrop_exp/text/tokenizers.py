"""Tokenizers: a pretrained model's own, WordPiece from a vocabulary file, or BPE trained on the training set."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, first_line

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
"""Special tokens of a BPE vocabulary, in this order."""


def require(package: str) -> None:
    """`OptionError` that says what to install where a package of the extra `text` is missing."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise OptionError(f"text data sets need the package {package}: pip install 'rdrop-exp[text]'")


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A transformers fast tokenizer and the special tokens that batches need."""

    backend: Any
    kind: str
    """model, wordpiece or bpe."""

    @property
    def size(self) -> int:
        return len(self.backend)

    @property
    def pad(self) -> int:
        return int(self.backend.pad_token_id)

    @property
    def end(self) -> int:
        """Ends a text: the end-of-sequence token, else the separator."""
        end = self.backend.eos_token_id if self.backend.eos_token_id is not None else self.backend.sep_token_id
        return int(end if end is not None else self.pad)

    @property
    def begin(self) -> int:
        begin = self.backend.bos_token_id if self.backend.bos_token_id is not None else self.backend.cls_token_id
        return int(begin if begin is not None else self.pad)

    def encode(self, first: list[str], second: list[str], limit: int) -> tuple[list[list[int]], list[list[int]], int]:
        """Token ids and segment ids of each text or pair, cut to `limit` tokens, and how many were longer."""
        whole = self.backend(first, second or None, return_token_type_ids=True, return_attention_mask=False)
        long = sum(len(ids) > limit for ids in whole["input_ids"])
        if long:
            whole = self.backend(
                first, second or None, return_token_type_ids=True, return_attention_mask=False,
                truncation=True, max_length=limit,
            )  # fmt: skip
        return whole["input_ids"], whole["token_type_ids"], long

    def plain(self, texts: list[str]) -> list[list[int]]:
        """Token ids without special tokens."""
        ids: list[list[int]] = self.backend(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return ids

    def decode(self, rows: Iterable[Iterable[int]]) -> list[str]:
        texts: list[str] = self.backend.batch_decode(list(map(list, rows)), skip_special_tokens=True)
        return [text.strip() for text in texts]

    def fingerprint(self) -> str:
        """Changes with the vocabulary and the rules."""
        return str(self.backend.backend_tokenizer.to_str())


def make_tokenizer(options: Options, corpus: Iterable[str]) -> Tokenizer:
    """The tokenizer that the options ask for; `corpus` is the training text, which BPE is trained on."""
    require("transformers")
    kind = options.dataset.tokenizer
    if kind == "auto":
        own = options.model.pretrained or Path(options.model.name).expanduser().is_dir()
        kind = "model" if own else "wordpiece" if options.dataset.vocabulary else "bpe"
    logging.getLogger("transformers.tokenization_utils_base").setLevel(logging.ERROR)  # lengths are our affair
    makers = {"model": _of_model, "wordpiece": _wordpiece}
    backend = makers[kind](options) if kind in makers else _bpe(corpus, options.dataset.vocabulary_size)
    return Tokenizer(backend, kind)


def _of_model(options: Options) -> Any:
    from transformers import AutoTokenizer

    name = options.model.name
    try:
        backend = AutoTokenizer.from_pretrained(
            str(Path(name).expanduser()) if Path(name).expanduser().is_dir() else name
        )
    except Exception as error:
        raise OptionError(
            f"dataset.tokenizer: could not load the tokenizer of model.name={name}: {first_line(error)}; dataset."
            "vocabulary=FILE or dataset.tokenizer=bpe work without it"
        ) from error
    if backend.pad_token_id is None:
        backend.pad_token = backend.eos_token or backend.unk_token
    return backend


def _wordpiece(options: Options) -> Any:
    """BERT's uncased WordPiece with the vocabulary of a file."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from rdrop_exp.text.files import read_lines

    if not options.dataset.vocabulary:
        raise OptionError("dataset.tokenizer=wordpiece needs dataset.vocabulary=FILE, one token per line")
    path = Path(options.dataset.vocabulary).expanduser()
    path = path if path.is_file() else Path(options.dataset.root).expanduser() / path
    if not path.is_file():
        raise OptionError(f"dataset.vocabulary={options.dataset.vocabulary} is not a file")
    vocabulary = {token: i for i, token in enumerate(read_lines(path))}
    for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"):
        if token not in vocabulary:
            raise OptionError(f"dataset.vocabulary={options.dataset.vocabulary} has no token {token}")
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase="the" in vocabulary and "The" not in vocabulary)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.BertProcessing(special[1], special[0])
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip


def _bpe(corpus: Iterable[str], size: int) -> Any:
    """Byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909), the same for every run on the same text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Backend(models.BPE(unk_token=UNKNOWN))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[PAD, BEGIN, END, UNKNOWN], show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    backend.train_from_iterator(corpus, trainer)
    ends = {token: backend.token_to_id(token) for token in (BEGIN, END)}
    backend.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", pair=f"{BEGIN} $A {END} $B:1 {END}:1", special_tokens=list(ends.items())
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN
    )
