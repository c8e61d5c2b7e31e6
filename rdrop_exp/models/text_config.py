"""The configuration of a transformers model, fitted to the data, or one sentence on why it does not fit."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, first_line, nearest
from rdrop_exp.models.weights import hub_is_reachable, hub_offline
from rdrop_exp.text.tokens import TextSpec


class Head(NamedTuple):
    """What a kind of target needs of a model."""

    loader: str
    """transformers class that adds the head."""
    types: str
    """transformers' table of the model types that have one."""
    purpose: str
    advice: str
    """The models that fit, with a preset."""


_CLASSIFIER = Head(
    "AutoModelForSequenceClassification", "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "text classification", "an encoder, for example model=bert_micro",
)  # fmt: skip
HEADS = {
    "class": _CLASSIFIER,
    "set": _CLASSIFIER,
    "value": _CLASSIFIER,
    "language": Head(
        "AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
        "language modelling", "a decoder, for example model=gpt_micro",
    ),
    "pair": Head(
        "AutoModelForSeq2SeqLM", "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
        "translation and summarization", "an encoder-decoder, for example model=transformer_micro",
    ),
}  # fmt: skip
"""By `TextSpec.kind`."""


def make_config(options: Options, spec: TextSpec) -> Any:
    """A transformers configuration: of `model.name` as a type with `model.args`, or of a hub name or folder."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    part = options.model
    of_type = part.name in CONFIG_MAPPING_NAMES and not part.pretrained and not is_folder(part.name)
    config = _of_type(options, spec) if of_type else _of_place(options, spec)
    size = getattr(config, "vocab_size", None)
    if size is not None and size < spec.tokenizer.size:
        raise OptionError(
            f"model.name={part.name} has a vocabulary of {size:,}, but the tokenizer has {spec.tokenizer.size:,} tokens"
        )
    _check_length(options, config, spec)
    return config


def _of_data(spec: TextSpec) -> dict[str, Any]:
    classifier = spec.kind in ("class", "set", "value")
    return {"pad_token_id": spec.tokenizer.pad} | ({"num_labels": spec.classes} if classifier else {})


def _of_type(options: Options, spec: TextSpec) -> Any:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    part, tokenizer = options.model, spec.tokenizer
    _check_type(part.name, part.name, spec)
    kind = CONFIG_MAPPING[part.name]
    _check_args(options, kind())
    values = _of_data(spec) | {"vocab_size": tokenizer.size}
    values |= {"bos_token_id": tokenizer.begin, "eos_token_id": tokenizer.end}
    if kind().is_encoder_decoder:
        values |= {"decoder_start_token_id": tokenizer.begin, "forced_eos_token_id": None}
    try:
        return kind(**(values | part.args))
    except Exception as error:
        raise OptionError(f"model.args={part.args} is refused by {part.name}: {first_line(error)}") from error


def _of_place(options: Options, spec: TextSpec) -> Any:
    from transformers import AutoConfig

    part = options.model
    place, offline = place_of(part.name), is_offline(part.name)
    if is_folder(part.name) and not (Path(place) / "config.json").is_file():
        raise OptionError(f"model.name={part.name} is not a transformers model: the folder has no config.json")
    try:
        with hub_offline(offline):
            config = AutoConfig.from_pretrained(place)
            _check_args(options, config)
            config = AutoConfig.from_pretrained(place, **part.args) if part.args else config
    except OptionError:
        raise
    except Exception as error:
        if not part.pretrained and "/" not in part.name:
            raise OptionError(f"model.name={part.name} {_unknown(part.name, options, spec)}") from error
        why = "the hub cannot be reached, and it is not in its local cache" if offline else first_line(error)
        raise OptionError(f"model.name={part.name} could not be loaded: {why}") from error
    _check_type(part.name, config.model_type, spec)
    values = _of_data(spec)
    if spec.tokenizer.kind != "model":
        values["vocab_size"] = spec.tokenizer.size
    elif config.pad_token_id is not None:
        del values["pad_token_id"]
    config.update(values)
    return config


def _unknown(name: str, options: Options, spec: TextSpec) -> str:
    """Why a name is no text model, and one that is."""
    from timm import is_model

    advice = f"{HEADS[spec.kind].purpose} needs {HEADS[spec.kind].advice}"
    if is_model(name.partition(".")[0]):
        return f"is an image model, but dataset={options.dataset.name} has text: {advice}"
    return f"is not a transformers model{nearest(name, _types(spec)).rstrip('?')}: {advice}"


def is_folder(name: str) -> bool:
    return Path(name).expanduser().is_dir()


def place_of(name: str) -> str:
    """What transformers loads from: a folder's path, or a name on the hub."""
    return str(Path(name).expanduser()) if is_folder(name) else name


def is_offline(name: str) -> bool:
    """Whether only local files can be used."""
    return not is_folder(name) and not hub_is_reachable()


def _check_type(name: str, model_type: str, spec: TextSpec) -> None:
    """`OptionError` where transformers has no such head for the type, naming a preset that fits."""
    head = HEADS[spec.kind]
    if model_type not in _types(spec):
        raise OptionError(f"model.name={name} cannot be used for {head.purpose}: choose {head.advice}")


def _types(spec: TextSpec) -> Collection[str]:
    """The model types that have a head for the task."""
    from transformers.models.auto import modeling_auto

    types: Collection[str] = getattr(modeling_auto, HEADS[spec.kind].types)
    return types


def _check_args(options: Options, config: Any) -> None:
    known = {*config.to_dict(), *config.attribute_map}
    for name in options.model.args:
        if name not in known:
            model = config.model_type
            raise OptionError(f"model.args.{name} is not an argument of {model}{nearest(name, known)}")


def _check_length(options: Options, config: Any, spec: TextSpec) -> None:
    """`OptionError` where texts may be longer than the model's positions reach."""
    most = getattr(config, "max_position_embeddings", None)
    if most is None or most < 1:  # XLNet says -1: any length
        return
    if "roberta" in config.model_type or config.model_type == "camembert":
        most -= (config.pad_token_id or 0) + 1  # positions are numbered from there
    wanted = {"dataset.max_length": spec.length}
    if spec.kind == "pair":
        wanted["generate.max_length"] = options.generate.max_length
    for name, length in wanted.items():
        if length > most:
            raise OptionError(f"{name}={length} is longer than {options.model.name} allows: set it to at most {most}")
