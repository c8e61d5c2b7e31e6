"""All that a checkpoint holds: weights, optimizer, and where training is."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from rdrop_exp.config.options import Options
from rdrop_exp.train.evaluate import Row
from rdrop_exp.train.optim import make_ema, make_optimizer
from rdrop_exp.train.sync_norm import own_statistics

COLUMNS = 4
"""Of a step: loss, task loss, consistency, and what `Task.column` names."""
Weights = dict[str, Tensor]


@dataclass(slots=True)
class Progress:
    """Where training is, in plain numbers."""

    step: int = 0  # optimizer steps done
    logged: int = 0  # step of the last row
    epoch_sums: list[float] = field(default_factory=lambda: [0.0] * COLUMNS)
    epoch_start: int = 0
    best_value: float = -math.inf  # of what is selected by; negative where lower is better
    best_epoch: int = 0
    seconds: float = 0.0  # of training and validation, over all starts
    shared_seconds: float = 0.0  # of these, what another trial has trained
    train_seconds: float = 0.0
    rows: int = 0  # bytes of metrics.jsonl that belong to this state
    metrics: Row = field(default_factory=dict)  # what result.json will hold
    ended: bool = False  # only the test is left


@dataclass(slots=True)
class State:
    """Everything random is a function of (seed, step), so this is all that resuming needs."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    best: Weights
    """The chosen weights so far."""
    items: Tensor | None
    """(validation items,): how `best` does on each; None before it is known."""
    history: Tensor
    """(log interval, COLUMNS): the steps since the last row, on the device until then."""
    progress: Progress
    own_statistics: list[Tensor]
    """Of BatchNorm layers of which each of several ranks has its own; no part of a checkpoint."""

    @classmethod
    def initial(cls, o: Options, network: nn.Module, device: torch.device, log_every: int) -> Self:
        ema = make_ema(network, o.optimizer.ema)
        return cls(
            network=network,
            optimizer=make_optimizer(o.optimizer, network),
            scaler=torch.amp.GradScaler(device.type, enabled=o.precision == "fp16"),
            ema=ema,
            best=copied(network),
            items=None,
            history=torch.zeros(log_every, COLUMNS, device=device),
            progress=Progress(),
            own_statistics=own_statistics(network),
        )

    @property
    def evaluated(self) -> nn.Module:
        """The network that is validated: the moving average where there is one."""
        return self.ema.module if self.ema else self.network

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, for `torch.save`."""
        parts: dict[str, Any] = {"model": self.network, "optimizer": self.optimizer, "scaler": self.scaler}
        parts |= {"ema": self.ema.module} if self.ema else {}
        saved = {name: part.state_dict() for name, part in parts.items()}
        return saved | {"state": asdict(self.progress), "best": self.best, "items": self.items, "history": self.history}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        self.network.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.ema:
            self.ema.module.load_state_dict(saved["ema"])
        self.progress, self.best, self.history = Progress(**saved["state"]), saved["best"], saved["history"]
        self.items = saved.get("items")  # not in checkpoints of earlier versions


def copied(network: nn.Module) -> Weights:
    """A copy of the network's weights."""
    return {name: value.clone() for name, value in network.state_dict().items()}
