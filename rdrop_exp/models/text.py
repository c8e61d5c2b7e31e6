"""Build a transformers model that fits the data, with the regularizer's noise installed."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Model, Options
from rdrop_exp.config.schema import OptionError, first_line, nearest
from rdrop_exp.models.weights import hub_is_reachable, hub_offline
from rdrop_exp.noise import text_sites
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.shared_prefix import find_shared_prefix
from rdrop_exp.noise.sites import NoiseSite
from rdrop_exp.text.tokens import TextSpec

HEADS = {
    "class": "AutoModelForSequenceClassification",
    "set": "AutoModelForSequenceClassification",
    "value": "AutoModelForSequenceClassification",
    "language": "AutoModelForCausalLM",
    "pair": "AutoModelForSeq2SeqLM",
}
"""Kind of target to the class that adds the head."""
ATTENTION = "rdrop_exp"
"""Name under which our attention function is registered."""


class TextModel(nn.Module):
    """A transformers model as the loop sees it: a dictionary of (batch, length) tensors → logits."""

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """(batch, classes); or (batch, length, vocabulary) where tokens are predicted."""
        if self.kind == "language":  # whole blocks: the causal mask is all that is needed
            inputs = {"input_ids": inputs["input_ids"]}
        elif self.kind == "pair":
            start = self.model.config.decoder_start_token_id  # type: ignore[union-attr]
            tokens = inputs["decoder_input_ids"].clone()
            tokens[:, 0] = start
            inputs = inputs | {"decoder_input_ids": tokens}
        cache = {} if self.kind in ("class", "set", "value") else {"use_cache": False}
        logits: Tensor = self.model(**inputs, **cache).logits
        return logits

    def noise_sites(self) -> Iterator[NoiseSite]:
        return text_sites.noise_sites(self.model)

    def get_classifier(self) -> nn.Module:
        """The last layer, whose input the site `head` drops where the model has no dropout there."""
        head = self.model.get_output_embeddings()  # type: ignore[operator]
        if head is None:
            head = getattr(self.model, "classifier", None) or self.model.score
        assert isinstance(head, nn.Module)
        return head


def build_text_network(options: Options, spec: TextSpec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """The network on its device, and the handle that sets its drop rates; `OptionError` names what does not fit."""
    if options.peer.name:
        raise OptionError(f"peer.name={options.peer.name}: mutual learning is for images; leave the peer out")
    network = TextModel(create(options.model, spec), spec.kind)
    noise = install_noise(network, options.regularizer)
    network.to(device)
    inputs = example(spec, device)
    check_forward(network, options, inputs)
    if options.regularizer.alpha > 0:
        noise.shared_prefix = find_shared_prefix(network, noise.layers, inputs, late=options.share_passes)
    return network, noise


def example(spec: TextSpec, device: torch.device) -> dict[str, Tensor]:
    """Two items of random tokens, always the same ones; the second is padded, so that masks are at work."""
    generator = torch.Generator().manual_seed(0)
    length = min(spec.length, 8)
    tokens = torch.randint(spec.tokenizer.size, (2, length), generator=generator).to(device)
    mask = torch.ones_like(tokens)
    mask[1, length // 2 :] = 0
    inputs = {"input_ids": tokens, "attention_mask": mask}
    return inputs | ({"decoder_input_ids": tokens, "decoder_attention_mask": mask} if spec.kind == "pair" else {})


def create(part: Model, spec: TextSpec) -> nn.Module:
    """One transformers model by its options, with its weights loaded."""
    import transformers
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    logging.getLogger("transformers.modeling_utils").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    head = getattr(transformers, HEADS[spec.kind])
    config = configuration(part, spec)
    check_length(part, config, spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if part.pretrained:
                model = head.from_pretrained(_place(part.name), config=config, ignore_mismatched_sizes=True)
            else:
                model = head.from_config(config)
        except Exception as error:
            raise OptionError(f"model.name={part.name} cannot be built for this task: {first_line(error)}") from error
    if getattr(model, "_supports_sdpa", False):
        model.set_attn_implementation(ATTENTION)
    built: nn.Module = model
    return built


def configuration(part: Model, spec: TextSpec) -> Any:
    """The model's configuration: of its type and `model.args`, or of a hub name or folder, fitted to the data."""
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES

    tokenizer = spec.tokenizer
    of_data: dict[str, Any] = {"pad_token_id": tokenizer.pad}
    if spec.kind in ("class", "set", "value"):
        of_data["num_labels"] = spec.classes
    if part.name in CONFIG_MAPPING_NAMES and not part.pretrained:
        kind = CONFIG_MAPPING[part.name]
        known = {*kind().to_dict(), *kind.attribute_map}
        for name in part.args:
            if name not in known:
                raise OptionError(f"model.args.{name} is not an argument of {part.name}{nearest(name, known)}")
        of_data |= {"vocab_size": tokenizer.size, "bos_token_id": tokenizer.begin, "eos_token_id": tokenizer.end}
        if kind().is_encoder_decoder:
            of_data |= {"decoder_start_token_id": tokenizer.begin, "forced_eos_token_id": None}
        try:
            return kind(**(of_data | part.args))
        except Exception as error:
            raise OptionError(f"model.args={part.args} is refused by {part.name}: {first_line(error)}") from error
    place = _place(part.name)
    offline = not Path(place).is_dir() and not hub_is_reachable()
    try:
        with hub_offline(offline):
            config = AutoConfig.from_pretrained(place, **part.args)
    except Exception as error:
        if not part.pretrained and "/" not in part.name:
            raise OptionError(
                f"model.name={part.name} is not a transformers model{nearest(part.name, CONFIG_MAPPING_NAMES)}"
            ) from error
        why = "the hub cannot be reached, and it is not in its local cache" if offline else first_line(error)
        raise OptionError(f"model.name={part.name} could not be loaded: {why}") from error
    if tokenizer.kind != "model":
        of_data["vocab_size"] = tokenizer.size
    else:
        del of_data["pad_token_id"]
        if config.pad_token_id is None:
            of_data["pad_token_id"] = tokenizer.pad
    config.update(of_data)
    return config


def _place(name: str) -> str:
    folder = Path(name).expanduser()
    return str(folder) if folder.is_dir() else name


def check_length(part: Model, config: Any, spec: TextSpec) -> None:
    """`OptionError` where the data set's texts may be longer than the model's positions reach."""
    most = getattr(config, "max_position_embeddings", None)
    offset = 2 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    if most is not None and spec.length > most - offset:
        raise OptionError(
            f"dataset.max_length={spec.length} is longer than {part.name} allows: set it to at most {most - offset}"
        )


@torch.no_grad()
def check_forward(network: nn.Module, options: Options, inputs: dict[str, Tensor]) -> None:
    """One forward pass without noise, so that a model that does not fit is refused before anything is written."""
    training = network.training
    try:
        network.eval()(inputs)
    except Exception as error:
        raise OptionError(f"model.name={options.model.name} cannot be used here: {first_line(error)}") from error
    finally:
        network.train(training)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """transformers' fused attention while no noise is active; products, softmax and dropout while it is.

    Queries (batch, heads, length, size), keys and values alike, of perhaps fewer heads → (batch, length, heads, size).
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    noise = getattr(module, text_sites.ATTENTION, None)
    if noise is None or not (noise.training and noise.active):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, is_causal=is_causal,
            position_bias=position_bias, **options,
        )  # fmt: skip
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if position_bias is not None:
        scores = scores + position_bias
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and query.shape[2] > 1:
        attention_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attention_mask is not None:
        hidden = ~attention_mask if attention_mask.dtype == torch.bool else None
        lowest = torch.finfo(scores.dtype).min
        scores = scores + attention_mask if hidden is None else scores.masked_fill(hidden, lowest)
    weights = noise(scores.softmax(-1, dtype=torch.float32).to(query.dtype))
    return (weights @ value).transpose(1, 2).contiguous(), None
