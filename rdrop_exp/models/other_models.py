"""Image models that are not timm's: `torchvision:NAME`, and `module:function` of one's own.

The function is called with classes, channels, image_size and `model.args`, and returns a module that takes (batch,
channels, size, size) and gives (batch, classes).
"""

import functools
import importlib
import inspect
import os
from collections.abc import Callable
from typing import Any

from torch import nn

from rdrop_exp.config.options import Model
from rdrop_exp.config.plugins import search_here
from rdrop_exp.config.schema import OptionError, first_line, nearest
from rdrop_exp.models.weights import check_loaded, read_weights, without_prefix

FITTED = ("classes", "channels", "image_size")


def create(part: Model, group: str, *, classes: int, channels: int, image_size: int | None) -> nn.Module:
    """The model with its weights loaded; `OptionError` names what is not found or does not fit."""
    if part.pretrained:
        raise OptionError(f"{group}.pretrained=true is for timm's models: use {group}.checkpoint=FILE")
    for name in part.args:
        if name in FITTED:
            raise OptionError(f"{group}.args.{name} follows from the data: leave it out")
    if part.name.startswith("torchvision:"):
        model = _torchvision(part, group, classes, channels, image_size)
    else:
        fitted = {"classes": classes, "channels": channels, "image_size": image_size}
        model = _called(part, group, find(part.name, group), fitted | part.args)
    if part.checkpoint:
        _load(part, group, model)
    return model


def find(name: str, group: str) -> Callable[..., Any]:
    """What makes the model of that name: a function of one's own, or of torchvision; `OptionError` where there is none.

    The module is looked for in the current directory too.
    """
    module_name, _, function_name = name.partition(":")
    if module_name == "torchvision":
        return _torchvision_model(name, group)
    search_here()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise OptionError(
                f"{group}.name={name}: module {error.name} not found in {os.getcwd()} or among the installed packages"
            ) from None
        raise OptionError(f"{group}.name={name}: {module_name} imports {error.name}, which is not installed") from None
    except Exception as error:
        raise OptionError(f"{group}.name={name}: {module_name} could not be imported: {first_line(error)}") from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise OptionError(
            f"{group}.name={name}: {module_name} has no function {function_name}{nearest(function_name, names)}"
        )
    return function  # type: ignore[no-any-return]


def _called(part: Model, group: str, function: Callable[..., Any], arguments: dict[str, Any]) -> nn.Module:
    try:
        inspect.signature(function).bind(**arguments)
    except TypeError as error:
        raise OptionError(
            f"{group}.name={part.name}: the function does not fit (it is called with {', '.join(arguments)}): {error}"
        ) from None
    try:
        model = function(**arguments)
    except Exception as error:
        raise OptionError(f"{group}.name={part.name} could not be built: {first_line(error)}") from error
    if not isinstance(model, nn.Module):
        raise OptionError(f"{group}.name={part.name} returned a {type(model).__name__}, not an nn.Module")
    return model


def _torchvision_model(name: str, group: str) -> Callable[..., nn.Module]:
    from torchvision import models

    title, names = name.partition(":")[2], models.list_models(module=models)
    if title not in names:
        raise OptionError(f"{group}.name={name} is not a torchvision model{nearest(title, names)}")
    return functools.partial(models.get_model, title)


def _torchvision(part: Model, group: str, classes: int, channels: int, image_size: int | None) -> nn.Module:
    create, name = find(part.name, group), part.name.partition(":")[2]
    arguments: dict[str, Any] = {"num_classes": classes}
    if name.startswith(("vit_", "maxvit")) and image_size:
        size = (image_size, image_size) if name.startswith("maxvit") else image_size
        arguments["input_size" if name.startswith("maxvit") else "image_size"] = size
    if name in ("googlenet", "inception_v3"):
        arguments |= {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = create(**(arguments | part.args))
    except Exception as error:
        raise OptionError(f"{group}.name={part.name} could not be built: {first_line(error)}") from error
    if channels != 3:
        _replace_first_convolution(model, channels)
    return model


def _replace_first_convolution(model: nn.Module, channels: int) -> None:
    """torchvision's models take three channels: the first convolution is made anew for others."""
    path, first = next((p, m) for p, m in model.named_modules() if isinstance(m, nn.Conv2d))
    parent, _, attribute = path.rpartition(".")
    fresh = nn.Conv2d(
        channels, first.out_channels, first.kernel_size, first.stride, first.padding, first.dilation,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )  # fmt: skip
    setattr(model.get_submodule(parent), attribute, fresh)


def _load(part: Model, group: str, model: nn.Module) -> None:
    """The weights of `checkpoint`; `OptionError` where others than the last layer's are missing."""
    expected = model.state_dict()
    state = without_prefix(read_weights(part, group), set(expected))
    fitting = {name: x for name, x in state.items() if name in expected and x.shape == expected[name].shape}
    check_loaded(part, group, model, [name for name in expected if name not in fitting])
    model.load_state_dict(fitting, strict=False)
