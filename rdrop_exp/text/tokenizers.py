"""Tokenizers: a pretrained model's own, WordPiece from a vocabulary file, or BPE trained on the training set."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, first_line
from rdrop_exp.data import cache

PAD, BEGIN, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"
"""Special tokens of a BPE vocabulary, in this order."""
CHUNK = 10_000
"""Texts that are tokenized at once: each token takes some 40 bytes until it is in an array."""

Ids = list[list[int]]


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

    def encode(self, first: list[str], second: list[str], limit: int) -> tuple[Ids, Ids, list[int]]:
        """Token ids and segment ids of each text or pair, cut to `limit` tokens, and the items that were longer."""
        options = {"return_token_type_ids": True, "return_attention_mask": False}
        whole = self.backend(first, second or None, **options)
        long = [i for i, ids in enumerate(whole["input_ids"]) if len(ids) > limit]
        if long:
            whole = self.backend(first, second or None, truncation=True, max_length=limit, **options)
        return whole["input_ids"], whole["token_type_ids"], long

    def plain(self, texts: list[str]) -> Iterator[list[int]]:
        """Token ids of each text, without special tokens."""
        for i in range(0, len(texts), CHUNK):
            chunk = texts[i : i + CHUNK]
            yield from self.backend(chunk, add_special_tokens=False, return_attention_mask=False)["input_ids"]

    def decode(self, rows: Iterable[Iterable[int]]) -> list[str]:
        texts: list[str] = self.backend.batch_decode(list(map(list, rows)), skip_special_tokens=True)
        return [text.strip() for text in texts]

    def fingerprint(self) -> str:
        """Changes with the vocabulary and the rules."""
        rules = getattr(self.backend, "backend_tokenizer", None)
        if rules is None:  # written in Python
            return f"{type(self.backend).__name__} {sorted(self.backend.get_vocab().items())}"
        rules.no_truncation()  # what the last call has left there
        rules.no_padding()
        return str(rules.to_str())


def make_tokenizer(options: Options, corpus: list[str]) -> Tokenizer:
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
        why = "model.pretrained=true" if options.model.pretrained else "dataset.tokenizer"
        raise OptionError(
            f"{why}: could not load the tokenizer of model.name={name}: {first_line(error)}; dataset."
            "vocabulary=FILE or dataset.tokenizer=bpe work without it"
        ) from error
    if backend.pad_token_id is None:
        backend.pad_token = backend.eos_token or backend.unk_token
    return backend


def _wordpiece(options: Options) -> Any:
    """BERT's WordPiece with the vocabulary of a file, uncased where that has no capital letter."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    from rdrop_exp.text.files import read_lines
    from rdrop_exp.text.readers import vocabulary_file

    if not options.dataset.vocabulary:
        raise OptionError("dataset.tokenizer=wordpiece needs dataset.vocabulary=FILE, one token per line")
    path = vocabulary_file(options.dataset)
    if path is None:
        raise OptionError(f"dataset.vocabulary={options.dataset.vocabulary} is not a file")
    tokens = read_lines(path)
    vocabulary = {token: i for i, token in enumerate(tokens)}
    if len(vocabulary) < len(tokens):
        line = next(i for i, token in enumerate(tokens) if vocabulary[token] != i) + 1
        raise OptionError(f"{path}, line {line}: the token {tokens[line - 1]!r} occurs again further down")
    for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"):
        if token not in vocabulary:
            raise OptionError(f"dataset.vocabulary={options.dataset.vocabulary} has no token {token}: not WordPiece's")
    cased = any(token != token.lower() for token in tokens if not token.startswith("["))
    backend = Backend(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    backend.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.BertProcessing(special[1], special[0])
    backend.decoder = decoders.WordPiece()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip


def _bpe(corpus: list[str], size: int) -> Any:
    """Byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909), the same for every run on the same text."""
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    backend = cache.cached(
        f"bpe-{cache.of_texts([str(size), tokenizers.__version__], corpus)}.json",
        "tokenizer",
        lambda path: tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8")),
        lambda: _train_bpe(corpus, size),
        lambda file, trained: file.write(trained.to_str().encode()),
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, pad_token=PAD, bos_token=BEGIN, eos_token=END, unk_token=UNKNOWN
    )


def _train_bpe(corpus: list[str], size: int) -> Any:
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

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
    return backend
