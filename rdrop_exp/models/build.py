"""Build a timm model that fits the data, with the regularizer's noise installed."""

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import load_state_dict
from torch import Tensor, nn

from rdrop_exp.config.options import Model, Options
from rdrop_exp.config.schema import OptionError, nearest
from rdrop_exp.models import onednn_linear
from rdrop_exp.noise.branch_inputs import find_branch_inputs
from rdrop_exp.noise.install import InstalledNoise, install_noise
from rdrop_exp.noise.layers import DropPath
from rdrop_exp.noise.shared_prefix import find_shared_prefix


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
        noises.append(install_noise(network, options.regularizer))
        networks.append(network.to(device))
        if options.fast_linear and device.type == "cpu" and not options.compile and onednn_linear.is_faster():
            onednn_linear.use_onednn(networks[-1])
        _try(networks[-1], group, part.name, classes, (1, channels, image_size, image_size), device)
        _skip(networks[-1], options, _examples(3, channels, image_size, device))
    noise = InstalledNoise([m for n in noises for m in n.layers], [a for n in noises for a in n.attentions])
    if len(networks) == 2:
        return Pair(*networks), noise
    if options.regularizer.alpha > 0:
        example = _examples(2, channels, image_size, device)
        noise.shared_prefix = find_shared_prefix(networks[0], noise.layers, example, late=options.share_passes)
    return networks[0], noise


def _examples(count: int, channels: int, size: int, device: torch.device) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(0)).to(device)


def _skip(network: nn.Module, options: Options, examples: Tensor) -> None:
    """Let stochastic depth leave out the samples that it drops."""
    r = options.regularizer
    paths = [m for m in network.modules() if isinstance(m, DropPath) and m.highest > 0]
    if paths and r.second_dropout is None:  # rates that differ between passes go by the row
        find_branch_inputs(network, paths, examples, options.skip_dropped)


def create_network(part: Model, group: str, *, classes: int, channels: int, image_size: int) -> nn.Module:
    """One timm network by its options, with its weights loaded; `OptionError` names what timm does not take."""
    if not timm.is_model(part.name):
        base = part.name.split(".")[0]
        raise OptionError(f"{group}.name={part.name} is not a timm model{nearest(base, timm.list_models())}")
    arguments: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    try:
        known = timm.get_pretrained_cfg(part.name)
    except RuntimeError as error:
        raise OptionError(f"{group}.name={part.name} is not a timm model: {_line(error)}") from None
    if known is not None and known.fixed_input_size:
        arguments["img_size"] = image_size
    if part.checkpoint:
        arguments["pretrained_cfg_overlay"] = _weights(part, group, known)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # timm's notes on deprecated names say nothing to the user
            model: nn.Module = timm.create_model(
                part.name, pretrained=part.pretrained or bool(part.checkpoint), **(arguments | part.args)
            )
    except Exception as error:
        what = f"{group}.args={part.args}" if part.args else f"dataset.image_size={image_size}"
        if part.checkpoint:
            what = f"{group}.checkpoint={part.checkpoint}"
        elif part.pretrained:
            what = f"{group}.pretrained=true"
        raise OptionError(f"{what} does not go with {group}.name={part.name}: {_line(error)}") from error
    return model


def _weights(part: Model, group: str, known: Any) -> dict[str, Any]:
    """Where timm finds the checkpoint, and how many classes its head has (timm drops a head that does not fit)."""
    path = Path(part.checkpoint).expanduser()
    if not path.is_file():
        raise OptionError(f"{group}.checkpoint={part.checkpoint} is not a file")
    try:
        state = load_state_dict(str(path), weights_only=True)
    except Exception as error:
        raise OptionError(f"{group}.checkpoint={part.checkpoint} cannot be read as weights: {_line(error)}") from error
    classifier = known.classifier if known is not None else "head"
    name = classifier if isinstance(classifier, str) else (classifier or ["head"])[0]
    head = state.get(f"{name}.weight")
    overlay = {"file": str(path), "num_classes": -1 if head is None else len(head), "custom_load": False}
    if known is None:
        return overlay
    return {k: v for k, v in overlay.items() if k in {f.name for f in dataclasses.fields(known)}}


@torch.no_grad()
def _try(model: nn.Module, group: str, name: str, classes: int, shape: tuple[int, ...], device: torch.device) -> None:
    """One clean forward, so that images of the wrong size are refused before anything is written."""
    training = model.training
    try:
        found = tuple(model.eval()(torch.zeros(shape, device=device)).shape)
    except Exception as error:
        raise OptionError(
            f"{group}.name={name} cannot take {shape[-1]}x{shape[-1]} images with {shape[1]} channels"
            f" (set dataset.image_size): {_line(error)}"
        ) from error
    finally:
        model.train(training)
    if found != (1, classes):
        raise OptionError(f"{group}.name={name} is not a classifier: one image gives an output of shape {found}")


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
