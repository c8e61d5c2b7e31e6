"""Build an image model that fits the data, with the regularizer's noise installed."""

import warnings
from typing import Any

import timm
import torch
from torch import Tensor, nn

from rdrop_exp.config.options import Model, Options
from rdrop_exp.config.schema import OptionError, first_line, nearest
from rdrop_exp.models import bf16_convolution, onednn_linear, other_models
from rdrop_exp.models.weights import (
    check_loaded,
    hub_is_reachable,
    hub_offline,
    overlay,
    read_weights,
    recorded_loads,
    without_prefix,
)
from rdrop_exp.noise.branch_inputs import find_branch_inputs
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.layers import DropPath
from rdrop_exp.noise.shared_prefix import find_shared_prefix
from rdrop_exp.noise.structured import PatchDropout


class Pair(nn.Module):
    """Two networks that see the same inputs: (batch, …) → (2 * batch, classes), the first network's rows first.

    To the loss these are two passes, so mutual learning needs nothing else (Zhang et al. 2018, arXiv 1706.00384).
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.cat([self.first(inputs), self.second(inputs)])


def build_network(
    options: Options, *, classes: int, channels: int, image_size: int, device: torch.device
) -> tuple[nn.Module, InstalledNoise]:
    """The network on its device, and the handle that sets its drop rates. Takes (batch, channels, size, size)."""
    networks, noises = [], []
    for group, part in (("model", options.model), ("peer", options.peer)):
        if not part.name:
            continue
        network = create_network(part, group, classes=classes, channels=channels, image_size=image_size)
        noises.append(install_noise(network, options.regularizer, part.sites))
        networks.append(network.to(device))
        if device.type == "cpu" and not options.compile:
            if options.fast_linear and onednn_linear.is_faster():
                onednn_linear.use_onednn(networks[-1])
            if options.precision == "bf16":
                bf16_convolution.use_fast_convolutions(networks[-1])
        shape = (1, channels, image_size, image_size)
        check_forward(networks[-1], group, part.name, classes, torch.zeros(shape, device=device))
        if options.optimizer.batch_size == options.optimizer.accumulate:
            check_single_item(networks[-1], group, part.name, torch.zeros(shape, device=device))
        skip_dropped_samples(networks[-1], options, examples(3, channels, image_size, device))
    noise = InstalledNoise([m for n in noises for m in n.layers], [a for n in noises for a in n.attentions])
    if len(networks) == 2:
        return Pair(*networks), noise
    if options.regularizer.alpha > 0 or options.regularizer.multi_sample:
        example = examples(2, channels, image_size, device)
        noise.shared_prefix = find_shared_prefix(networks[0], noise.layers, example, late=options.share_passes)
    return networks[0], noise


def examples(count: int, channels: int, size: int, device: torch.device) -> Tensor:
    """Random images (count, channels, size, size), always the same ones."""
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0)).to(device)


def skip_dropped_samples(network: nn.Module, options: Options, images: Tensor) -> None:
    """Let stochastic depth leave out the samples that it drops."""
    paths = [m for m in network.modules() if isinstance(m, DropPath) and m.highest > 0]
    if paths and options.regularizer.second_dropout is None:  # rates that differ between passes go by the row
        # Where each sample keeps other patches, blocks also take rotary positions by the row.
        by_row = any(isinstance(m, PatchDropout) and m.indices for m in network.modules())
        find_branch_inputs(network, paths, images, options.skip_dropped and not by_row)


def create_network(part: Model, group: str, *, classes: int, channels: int, image_size: int | None = None) -> nn.Module:
    """One network by its options, with its weights loaded; `OptionError` names what timm does not take.

    Without a size, a network that has a fixed one keeps it.
    """
    if ":" in part.name:
        return other_models.create(part, group, classes=classes, channels=channels, image_size=image_size)
    if not timm.is_model(part.name):
        base = part.name.split(".")[0]
        raise OptionError(f"{group}.name={part.name} is not a timm model{nearest(base, timm.list_models())}")
    arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    try:
        known = timm.get_pretrained_cfg(part.name)
    except RuntimeError as error:
        raise OptionError(f"{group}.name={part.name} is not a timm model: {first_line(error)}") from None
    if known is not None and known.fixed_input_size and image_size:
        arguments["img_size"] = image_size
    arguments |= part.args
    if not part.checkpoint:
        return _create(part, group, image_size, arguments, pretrained=part.pretrained)
    state = read_weights(part, group)
    with torch.random.fork_rng(devices=[]):
        names = set(_create(part, group, image_size, arguments, pretrained=False).state_dict())
    arguments["pretrained_cfg_overlay"] = overlay(without_prefix(state, names), known)
    with recorded_loads() as loads:
        model = _create(part, group, image_size, arguments, pretrained=True)
    check_loaded(part, group, model, loads[-1].missing_keys if loads else sorted(names))
    return model


def _create(part: Model, group: str, image_size: int | None, arguments: dict[str, Any], pretrained: bool) -> nn.Module:
    offline = pretrained and not part.checkpoint and not hub_is_reachable()
    try:
        with warnings.catch_warnings(), hub_offline(offline):
            warnings.simplefilter("ignore")  # timm's notes on deprecated names say nothing to the user
            model: nn.Module = timm.create_model(part.name, pretrained=pretrained, **arguments)
    except Exception as error:
        if part.checkpoint:
            what = f"{group}.checkpoint={part.checkpoint} does not fit {part.name}"
        elif part.pretrained and offline:
            raise OptionError(
                f"{group}.pretrained=true: could not download weights for {part.name}: the hub cannot be reached, and"
                f" they are not in its local cache; {group}.checkpoint=FILE loads weights from a file"
            ) from error
        elif part.pretrained:
            what = f"{group}.pretrained=true: could not load weights for {part.name}"
        elif part.args:
            what = f"{group}.args={part.args} is refused by {part.name}"
        else:
            what = f"dataset.image_size={image_size} is refused by {part.name}"
        raise OptionError(f"{what}: {first_line(error)}") from error
    return model


@torch.no_grad()
def check_forward(model: nn.Module, group: str, name: str, classes: int, image: Tensor) -> None:
    """One forward pass without noise, so that images of the wrong size are refused before anything is written."""
    training = model.training
    try:
        outputs = model.eval()(image)
    except Exception as error:
        _, channels, height, width = image.shape
        raise OptionError(
            f"{group}.name={name} cannot take {height}x{width} images with {channels} channels"
            f" (set dataset.image_size): {first_line(error)}"
        ) from error
    finally:
        model.train(training)
    if not isinstance(outputs, Tensor):
        raise OptionError(f"{group}.name={name} gives a {type(outputs).__name__}, not a tensor of logits")
    if (shape := tuple(outputs.shape)) != (1, classes):
        raise OptionError(f"{group}.name={name} is not a classifier: one image gives an output of shape {shape}")


@torch.no_grad()
def check_single_item(model: nn.Module, group: str, name: str, image: Tensor) -> None:
    """Refuse batches of one image where BatchNorm would have a single value to normalise."""
    state = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        model.train()(image)
    except ValueError as error:
        raise OptionError(
            f"optimizer.batch_size=1 is too small for the BatchNorm layers of {group}.name={name}: set it to at least 2"
        ) from error
    finally:
        model.load_state_dict(state)
