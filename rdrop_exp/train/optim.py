"""The optimizer and the moving average of weights, both timm's."""

import timm.optim
import torch
from timm.utils import ModelEmaV3
from torch import nn

from rdrop_exp.config.options import Optimizer
from rdrop_exp.config.schema import OptionError, nearest


def make_optimizer(o: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """Any timm optimizer by name, without weight decay on one-dimensional parameters."""
    names = timm.optim.list_optimizers()
    if o.name not in names:
        raise OptionError(f"optimizer.name={o.name} is not a timm optimizer{nearest(o.name, names)}")
    fused = o.name in ("adam", "adamw") and getattr(network, "fused_optimizer", False) and "foreach" not in o.args
    args = ({"fused": True} if fused else {}) | o.args
    try:
        optimizer: torch.optim.Optimizer = timm.optim.create_optimizer_v2(
            network, opt=o.name, lr=o.lr, weight_decay=o.weight_decay, momentum=o.momentum, **args
        )
    except (TypeError, ValueError) as error:
        raise OptionError(f"optimizer.args={o.args} does not go with optimizer.name={o.name}: {error}") from error
    for name in o.args.keys() & {"betas", "eps"}:  # timm drops these where an optimizer has none
        if not any(name in group for group in optimizer.param_groups):
            raise OptionError(f"optimizer.args.{name} has no effect on optimizer.name={o.name}: leave it out")
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def make_ema(network: nn.Module, decay: float) -> ModelEmaV3 | None:
    """A moving average of the network's weights; None where decay is 0."""
    return ModelEmaV3(network, decay=decay) if decay else None
