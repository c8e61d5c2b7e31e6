"""The plain way: what one writes today with torch, torchvision, timm and Hydra. What the benchmarks compare with.

    python benchmarks/plain.py root=data regularizer=rdrop                    # one trial on Fashion-MNIST
    python benchmarks/plain.py -m root=data regularizer=none,rdrop seed=0,1   # a sweep by Hydra's basic launcher

timm's own dropout and stochastic depth; R-Drop as two forwards; rates that move by setting them on the modules;
torchvision's transforms of PIL images under a DataLoader; the loss read at every step. The options' names and defaults
are those of `rdrop-exp model=vit_micro_28 dataset=fashion_mnist`, and so are rates, places, loss and schedule.
"""

import copy
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import timm
import timm.optim
import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

SITES = {  # where dropout acts: timm's names for the rates
    "dru": ("pos_drop_rate", "attn_drop_rate", "proj_drop_rate"),  # the last is the projection's and the MLP's
    "head": ("drop_rate",),  # all that a ResNet has
}
MEAN, STD = (0.2860,), (0.3530,)


@dataclass(frozen=True)
class Way:
    """A regularizer."""

    dropout: float = 0.0
    drop_path: float = 0.0  # of the last block; timm's rates rise linearly from 0
    alpha: float = 0.0
    early: float = 0.0  # share of training in which the rates fall to 0; 0: they stay


WAYS = {
    "none": Way(),
    "dropout": Way(dropout=0.1),
    "early_dropout": Way(dropout=0.1, early=1 / 6),
    "stochastic_depth": Way(drop_path=0.1),
    "rdrop": Way(dropout=0.1, alpha=0.5),
    "early_stochastic_depth": Way(drop_path=0.1, early=1 / 6),
}


def network(
    model: str,
    args: dict[str, Any],
    *,
    dropout: float = 0.0,
    drop_path: float = 0.0,
    sites: str = "dru",
    classes: int = 10,
    channels: int = 1,
) -> nn.Module:
    """A timm model with timm's own noise; `args` go to timm as they are (a ViT needs img_size)."""
    rates = dict.fromkeys(SITES[sites], dropout) if dropout else {}
    if drop_path:
        rates["drop_path_rate"] = drop_path
    net: nn.Module = timm.create_model(model, num_classes=classes, in_chans=channels, **rates, **args)
    return net


def use_bf16(net: nn.Module) -> None:
    """Forward passes under autocast, outputs in float32."""
    forward = net.forward

    def cast(inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            outputs: Tensor = forward(inputs)
        return outputs.float()

    net.forward = cast  # type: ignore[method-assign]


def noise(net: nn.Module) -> list[tuple[nn.Module, str, float]]:
    """Each place of a rate and its full value: (module, attribute, rate)."""
    found: list[tuple[nn.Module, str, float]] = []
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            found.append((module, "p", module.p))
        elif isinstance(module, DropPath):
            found.append((module, "drop_prob", module.drop_prob))
    if isinstance(rate := getattr(net, "drop_rate", None), float):  # functional, in a ResNet
        found.append((net, "drop_rate", rate))
    return [place for place in found if place[2] > 0]


def set_rates(places: list[tuple[nn.Module, str, float]], share: float) -> None:
    """Make every rate `share` (0..1) of its full value."""
    for module, attribute, rate in places:
        setattr(module, attribute, rate * share)


def early_share(step: int, cutoff: int) -> float:
    """1 at step 0 down to 0 at the last step before the cutoff, and 0 from there."""
    return max(0.0, 1.0 - step / (cutoff - 1)) if cutoff > 1 else float(step < cutoff)


def cross_entropy(net: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(net(inputs), targets)


def rdrop(net: nn.Module, inputs: Tensor, targets: Tensor, alpha: float) -> Tensor:
    """R-Drop as two forwards: mean cross-entropy of both passes + alpha * the mean of the two KLs."""
    a, b = net(inputs), net(inputs)
    task = 0.5 * (F.cross_entropy(a, targets) + F.cross_entropy(b, targets))
    one = F.kl_div(F.log_softmax(a, dim=-1), F.softmax(b, dim=-1), reduction="batchmean")
    other = F.kl_div(F.log_softmax(b, dim=-1), F.softmax(a, dim=-1), reduction="batchmean")
    return task + alpha * 0.5 * (one + other)


def step(net: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, targets: Tensor, alpha: float) -> float:
    """One training step; returns the loss, for which the device is waited for."""
    loss = rdrop(net, inputs, targets, alpha) if alpha else cross_entropy(net, inputs, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def accuracy(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    net.eval()
    right = count = 0
    for inputs, targets in batches:
        right += int((net(inputs).argmax(-1) == targets).sum())
        count += len(targets)
    return right / count


# -- a trial ----------------------------------------------------------------------------------------------------------


@dataclass
class Config:
    root: str = "data"
    sets: str = ""  # npz file of the positions to train and to validate on; empty: validation is the last tenth
    regularizer: str = "none"
    seed: int = 0
    model: str = "vit_tiny_patch16_224"
    args: dict[str, Any] = field(
        default_factory=lambda: {"img_size": 28, "patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}
    )
    epochs: int = 30
    warmup_epochs: float = 0.0
    batch_size: int = 128
    lr: float = 3e-3
    weight_decay: float = 0.05
    workers: int = 0
    precision: str = "fp32"


def loaders(cfg: Config) -> list[DataLoader[Any]]:
    """Training, validation and test batches of Fashion-MNIST."""
    last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    augmented = transforms.Compose([transforms.RandomCrop(28, padding=2), transforms.RandomHorizontalFlip(), *last])
    clean = transforms.Compose(last)
    train = datasets.FashionMNIST(cfg.root, train=True, transform=augmented)
    validation = datasets.FashionMNIST(cfg.root, train=True, transform=clean)
    test = datasets.FashionMNIST(cfg.root, train=False, transform=clean)
    if cfg.sets:
        positions = np.load(cfg.sets)
        parts = [positions["train"].tolist(), positions["validation"].tolist()]
    else:
        cut = len(train) * 9 // 10
        parts = [list(range(cut)), list(range(cut, len(train)))]
    live: dict[str, Any] = {"num_workers": cfg.workers, "persistent_workers": cfg.workers > 0}
    return [
        DataLoader(Subset(train, parts[0]), cfg.batch_size, shuffle=True, drop_last=True, **live),
        DataLoader(Subset(validation, parts[1]), 2 * cfg.batch_size, **live),
        DataLoader(test, 2 * cfg.batch_size, **live),
    ]


def warmed_cosine(warmup: int, total: int) -> Callable[[int], float]:
    """Step → share of the learning rate."""

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + float(np.cos(np.pi * (step - warmup) / max(total - warmup, 1))))

    return share


def trial(cfg: Config, folder: Path) -> dict[str, float]:
    """Train, validate after each epoch, test the best weights; leaves weights and result.json in the folder."""
    start = time.perf_counter()
    way = WAYS[cfg.regularizer]
    torch.manual_seed(cfg.seed)
    train, validation, test = loaders(cfg)
    net = network(cfg.model, dict(cfg.args), dropout=way.dropout, drop_path=way.drop_path)
    if cfg.precision == "bf16":
        use_bf16(net)
    # timm's factory: torch's AdamW, without weight decay on biases and norms.
    optimizer = timm.optim.create_optimizer_v2(net, opt="adamw", lr=cfg.lr, weight_decay=cfg.weight_decay)
    total = cfg.epochs * len(train)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmed_cosine(round(cfg.warmup_epochs * len(train)), total))
    places, cutoff = noise(net), round(way.early * total)
    done, best, weights = 0, -1.0, net.state_dict()
    for epoch in range(cfg.epochs):
        net.train()
        running = 0.0
        for inputs, targets in train:
            if way.early:
                set_rates(places, early_share(done, cutoff))
            running += step(net, optimizer, inputs, targets, way.alpha)
            schedule.step()
            done += 1
        found = accuracy(net, validation)
        print(f"epoch {epoch + 1}  loss {running / len(train):.4f}  validation {found:.2%}", flush=True)
        if found > best:
            best, weights = found, copy.deepcopy(net.state_dict())
    net.load_state_dict(weights)
    result = {"val/accuracy": best, "test/accuracy": accuracy(net, test), "seconds": time.perf_counter() - start}
    print(f"test {result['test/accuracy']:.2%}, {result['seconds']:.1f} s", flush=True)
    torch.save(net.state_dict(), folder / "checkpoint.pt")
    (folder / "result.json").write_text(json.dumps({"regularizer": cfg.regularizer, "seed": cfg.seed, **result}))
    return result


def main() -> None:
    import hydra
    from hydra.core.config_store import ConfigStore
    from hydra.core.hydra_config import HydraConfig

    def task(cfg: Any) -> float:
        return trial(cfg, Path(HydraConfig.get().runtime.output_dir))["val/accuracy"]

    ConfigStore.instance().store("plain", Config)
    # Hydra 1.4 has no version_base to choose; 1.3 warns without one.
    version: dict[str, Any] = {} if hydra.__version__ >= "1.4" else {"version_base": None}
    hydra.main(config_path=None, config_name="plain", **version)(task)()


if __name__ == "__main__":
    main()
