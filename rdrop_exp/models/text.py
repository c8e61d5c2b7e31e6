"""Build a transformers model that fits the data, with the regularizer's noise installed."""

import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Options
from rdrop_exp.config.schema import OptionError, first_line
from rdrop_exp.models import onednn_linear
from rdrop_exp.models.text_config import HEADS, is_offline, make_config, place_of
from rdrop_exp.models.weights import SHOWN, check_loaded, hub_offline, read_weights, without_prefix
from rdrop_exp.noise import text_attention, text_sites
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.shared_prefix import find_shared_prefix
from rdrop_exp.noise.sites import NoiseSite
from rdrop_exp.text.tokens import TextSpec


class TextModel(nn.Module):
    """A transformers model as the loop sees it: a dictionary of (batch, length) tensors → logits."""

    fused_optimizer = True  # Adam over a vocabulary takes a fifth of the time

    def __init__(self, model: nn.Module, kind: str) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.config: Any = model.config
        self.segments = getattr(model.config, "type_vocab_size", 0) > 1

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """(batch, classes); or (batch, length, vocabulary) where tokens are predicted."""
        if self.kind == "language":  # whole blocks: the causal mask is all that is needed
            inputs = {"input_ids": inputs["input_ids"]}
        elif self.kind == "pair":
            tokens = inputs["decoder_input_ids"].clone()
            tokens[:, 0] = self.config.decoder_start_token_id
            inputs = inputs | {"decoder_input_ids": tokens}
        elif not self.segments:
            inputs = {name: tensor for name, tensor in inputs.items() if name != "token_type_ids"}
        cache = {} if self.kind in ("class", "set", "value") else {"use_cache": False}
        logits: Tensor = self.model(**inputs, **cache).logits
        return logits

    @property
    def title(self) -> str:
        """What messages call it."""
        return type(self.model).__name__

    def noise_sites(self) -> Iterator[NoiseSite]:
        return text_sites.noise_sites(self.model)

    def get_classifier(self) -> nn.Module:
        """The last layer, whose input the site `head` drops where the model has no dropout there."""
        head = self.model.get_output_embeddings()  # type: ignore[operator]
        if head is None:
            names = ("classifier", "score", "classification_head")
            head = next(module for name in names if (module := getattr(self.model, name, None)) is not None)
        assert isinstance(head, nn.Module)
        return head


def build_text_network(options: Options, spec: TextSpec, device: torch.device) -> tuple[nn.Module, InstalledNoise]:
    """The network on its device, and the handle that sets its drop rates; `OptionError` names what does not fit."""
    refuse_peer(options)
    network = TextModel(create(options, spec), spec.kind)
    if options.model.checkpoint:
        load_checkpoint(network, options)
    noise = install_noise(network, options.regularizer, options.model.sites)
    network.to(device)
    if options.fast_linear and device.type == "cpu" and not options.compile and onednn_linear.is_faster():
        onednn_linear.use_onednn(network)
    inputs = example(spec, device)
    check_forward(network, options, inputs)
    check_noise(network, noise, options, inputs)
    if options.regularizer.alpha > 0 or options.regularizer.multi_sample:
        noise.shared_prefix = find_shared_prefix(network, noise.layers, inputs, late=options.share_passes)
    return network, noise


def noise_in_transformers(model: Any) -> None:
    """Prepare a bare transformers model for noise: its sites, and an attention that drops; others stay as they are."""
    if not type(model).__module__.startswith("transformers."):
        return
    text_attention.register()
    if getattr(model, "_supports_sdpa", False):
        model.set_attn_implementation(text_attention.NAME)


def refuse_peer(options: Options) -> None:
    """`OptionError` where two networks are asked for, or a function that makes image models."""
    if ":" in options.model.name:
        raise OptionError(f"model.name={options.model.name} builds image models: choose a transformers model for text")
    if options.peer.name:
        raise OptionError(f"peer.name={options.peer.name}: mutual learning is for images; leave the peer out")


def example(spec: TextSpec, device: torch.device) -> dict[str, Tensor]:
    """Two items of random tokens, always the same ones; the second is padded, so that masks are at work."""
    generator = torch.Generator().manual_seed(0)
    length = min(spec.length, 8)
    tokens = torch.randint(spec.tokenizer.size, (2, length), generator=generator).to(device)
    mask = torch.ones_like(tokens)
    mask[1, length // 2 :] = 0
    tokens = tokens.masked_fill(mask == 0, spec.tokenizer.pad)
    tokens[mask.diff(append=torch.zeros_like(mask[:, :1])) == -1] = spec.tokenizer.end  # which BART classifies by
    inputs = {"input_ids": tokens, "attention_mask": mask}
    return inputs | ({"decoder_input_ids": tokens, "decoder_attention_mask": mask} if spec.kind == "pair" else {})


def create(options: Options, spec: TextSpec) -> nn.Module:
    """One transformers model by its options, with its pretrained weights."""
    import transformers

    text_attention.register()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    part, head = options.model, getattr(transformers, HEADS[spec.kind].loader)
    config = make_config(options, spec)
    lost: list[str] = []
    try:
        with warnings.catch_warnings(), hub_offline(part.pretrained and is_offline(part.name)):
            warnings.simplefilter("ignore")
            if part.pretrained:
                model, found = head.from_pretrained(
                    place_of(part.name), config=config, dtype=torch.float32, ignore_mismatched_sizes=True,
                    output_loading_info=True,
                )  # fmt: skip
                lost = _lost(model, found)
            else:
                model = head.from_config(config, dtype=torch.float32)
    except Exception as error:
        raise OptionError(f"model.name={part.name} cannot be built for this task: {first_line(error)}") from error
    if lost:
        names = ", ".join(lost[:SHOWN]) + (", …" if len(lost) > SHOWN else "")
        raise OptionError(f"model.name={part.name}: its pretrained weights do not fit ({names})")
    if getattr(model, "_supports_sdpa", False):
        model.set_attn_implementation(text_attention.NAME)
    built: nn.Module = model
    return built


def _lost(model: Any, found: dict[str, Any]) -> list[str]:
    """Weights of the body that the files lack or have in another shape. A head or pooler may be new."""
    names = [*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])]
    body = f"{model.base_model_prefix}."
    return sorted(name for name in names if name.startswith(body) and "pooler" not in name)


def load_checkpoint(network: TextModel, options: Options) -> None:
    """Weights of `model.checkpoint`; `OptionError` where others than the head's are missing."""
    expected = network.state_dict()
    state = without_prefix(read_weights(options.model, "model"), set(expected))
    fitting = {name: x for name, x in state.items() if name in expected and x.shape == expected[name].shape}
    check_loaded(options.model, "model", network, [name for name in expected if name not in fitting])
    network.load_state_dict(fitting, strict=False)


@torch.no_grad()
def check_forward(network: TextModel, options: Options, inputs: dict[str, Tensor]) -> None:
    """One forward pass without noise, so that a model that does not fit is refused before anything is written."""
    training, name = network.training, options.model.name
    try:
        logits = network.eval()(inputs)
        if network.kind == "language":
            others = inputs["input_ids"].clone()
            others[:, -1] = (others[:, -1] + 1) % 2  # any other token
            ahead = network(inputs | {"input_ids": others})
    except Exception as error:
        raise OptionError(f"model.name={name} cannot be used here: {first_line(error)}") from error
    finally:
        network.train(training)
    if network.kind == "language" and not torch.allclose(logits[:, :-1], ahead[:, :-1], rtol=1e-3, atol=1e-4):
        raise OptionError(
            f"model.name={name} also sees the tokens that it has to predict: language modelling needs"
            f" {HEADS['language'].advice}, or model.args.is_decoder=true"
        )


@torch.no_grad()
def check_noise(network: TextModel, noise: InstalledNoise, options: Options, inputs: dict[str, Tensor]) -> None:
    """`OptionError` where the model never calls a place for noise: what is asked for would silently not be done."""
    silent = set(noise.layers)
    handles = [m.register_forward_pre_hook(lambda module, _: silent.discard(module)) for m in noise.layers]
    training = network.training
    network.eval()
    for layer in noise.layers:
        layer.train()
        layer.active = True  # at rate 0
    with torch.random.fork_rng(devices=[]):
        network(inputs)
    for layer in noise.layers:
        layer.active = False
    network.train(training)
    for handle in handles:
        handle.remove()
    if silent:
        names = {module: name for name, module in network.named_modules()}
        place = min(names[module] for module in silent).removeprefix("model.")
        raise OptionError(f"regularizer.sites={options.regularizer.sites}: {network.title} never uses its {place}")
