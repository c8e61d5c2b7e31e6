"""What a training step of each regularizer costs, against one without noise, and against the plain way.

    python benchmarks/step.py              # 5 rounds, some minutes
    python benchmarks/step.py --device cuda --batch 256

One thread; in each round all take turns, three steps each, on the same batch. `plain` is timm's own noise, and R-Drop
as its authors' snippet has it, in two forwards (`plain.py`). `no short cuts` repeats the inputs and computes what
stochastic depth drops (share_passes=false skip_dropped=false). The ideal of patch dropout is a slice of the tokens.
"""

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import plain
import torch
from clock import seconds
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from rdrop_exp.config.checks import from_dict
from rdrop_exp.models.build import build_network
from rdrop_exp.train.losses import loss

MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "vit_micro_28": ("vit_tiny_patch16_224", {"patch_size": 4, "embed_dim": 96, "depth": 6, "num_heads": 3}, 28),
    "resnet_micro_8": (
        "resnet18",
        {
            "layers": [1, 1, 1, 1],
            "channels": [24, 32, 48, 64],
            "stem_width": 16,
            "stem_type": "deep",
            "output_stride": 16,
        },
        8,
    ),
}
TIED = {"dropout": 0.1, "alpha": 0.5}
TIED_DEPTH = {"drop_path": 0.1, "alpha": 0.5}
TEACHER = TIED | {"tie": "teacher", "passes": 1}
COSUB = {"drop_path": 0.1, "profile": "constant", "alpha": 1.0, "stop_gradient": True}
MASKS = {"dropout": 0.5, "sites": "head", "multi_sample": True, "passes": 8}
IDEAL = "half of the patches, by a slice"
WAYS: dict[str, tuple[dict[str, Any], float, bool]] = {  # options, share of the rates, whether short cuts are taken
    "none": ({"when": "never"}, 0.0, True),
    "dropout": ({"dropout": 0.1}, 1.0, True),
    "early dropout after its cutoff": ({"dropout": 0.1}, 0.0, True),
    "stochastic depth": ({"drop_path": 0.1}, 1.0, True),
    "R-Drop": (TIED, 1.0, True),
    "R-Drop, sites=rdrop": (TIED | {"sites": "rdrop"}, 1.0, True),
    "R-Drop, no short cuts": (TIED, 1.0, False),
    "R-Drop by stochastic depth": (TIED_DEPTH, 1.0, True),
    "R-Drop by stochastic depth, no short cuts": (TIED_DEPTH, 1.0, False),
    "R-Drop while no noise is active": (TIED, 0.0, True),
    "patch dropout 0.5": ({"patch_dropout": 0.5}, 1.0, True),
    IDEAL: ({"when": "never"}, 0.0, True),
    "R-Drop by patch dropout 0.5": ({"patch_dropout": 0.5, "alpha": 0.5}, 1.0, True),
    "drop key 0.1": ({"drop_key": 0.1}, 1.0, True),
    "head dropout 0.2": ({"head_dropout": 0.2}, 1.0, True),
    "dropout, front loaded": ({"dropout": 0.1, "dropout_profile": "front_loaded"}, 1.0, True),
    "drop block 0.1": ({"drop_block": 0.1, "block_size": 2}, 1.0, True),
    "R-Drop towards a teacher": (TEACHER, 1.0, True),
    "cosub": (COSUB, 1.0, True),
    "multi-sample dropout, 8 masks": (MASKS, 1.0, True),
    "R-Block": ({"drop_block": 0.1, "block_size": 2, "alpha": 0.5}, 1.0, True),
}
PLACES = {"vit": ("drop block", "R-Block"), "resnet": ("sites", "patch", "key", "head", "front")}
"""Model → words of the ways that it has no place for."""
PLAIN: dict[str, dict[str, float]] = {
    "plain: dropout": {"dropout": 0.1},
    "plain: stochastic depth": {"drop_path": 0.1},
    "plain: R-Drop": {"dropout": 0.1, "alpha": 0.5},
    "plain: R-Drop by stochastic depth": {"drop_path": 0.1, "alpha": 0.5},
    "plain: patch dropout 0.5": {"patch_dropout": 0.5},
    "plain: R-Drop towards a teacher": {"dropout": 0.1, "alpha": 0.5, "ema": 0.99},
    "plain: multi-sample dropout, 8 forwards": {"dropout": 0.5, "masks": 8},
}


def make_ours(way: str, model: str, args: dict[str, Any], size: int, o: argparse.Namespace) -> Callable[[], None]:
    """A function that makes one step."""
    regularizer, share, short = WAYS[way]
    switches = {"share_passes": short, "skip_dropped": short, "fast_linear": not o.torch_linear}
    options = from_dict(
        {"model": {"name": model, "args": args}, "regularizer": regularizer, "optimizer": {"ema": 0.99}} | switches
    )
    r = options.regularizer
    torch.manual_seed(0)
    network, noise = build_network(options, classes=10, channels=1, image_size=size, device=o.device)
    if way == IDEAL:
        network.patch_drop = Half()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    inputs, targets = batch(o, size)
    passes = r.passes if (r.alpha or r.multi_sample) and share else 1
    ema = ModelEmaV3(network, decay=0.99) if r.tie == "teacher" else None
    network.train()
    noise.set_rates(share, passes)

    def step() -> None:
        optimizer.zero_grad()
        with torch.no_grad():
            teacher = ema.module(inputs) if ema else None
        alpha = r.alpha if share else 0.0
        losses = loss(
            network(inputs), targets, passes=passes, alpha=alpha, stop_gradient=r.stop_gradient, teacher=teacher
        )
        losses.total.backward()
        optimizer.step()
        if ema:
            ema.update(network)

    return step


class Half(nn.Module):
    """(batch, 1 + n, width) → the class token and the first half of the patches."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, : 1 + round((x.shape[1] - 1) / 2)].contiguous()


def make_plain(way: str, model: str, args: dict[str, Any], size: int, o: argparse.Namespace) -> Callable[[], None]:
    """The same with timm's own noise, and R-Drop as two forwards."""
    rates: dict[str, Any] = dict(PLAIN[way])
    alpha, masks, decay = rates.pop("alpha", 0.0), rates.pop("masks", 1), rates.pop("ema", 0.0)
    resnet = model.startswith("resnet")
    args = args if resnet else args | {"img_size": size}
    if patches := rates.pop("patch_dropout", 0.0):
        args = args | {"patch_drop_rate": patches}
    torch.manual_seed(0)
    network = plain.network(model, args, sites="head" if resnet or masks > 1 else "dru", **rates).to(o.device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    ema = ModelEmaV3(network, decay=decay) if decay else None
    inputs, targets = batch(o, size)

    def step() -> None:
        optimizer.zero_grad()
        if ema:
            with torch.no_grad():
                teacher = ema.module(inputs)
            loss(network(inputs), targets, alpha=alpha, teacher=teacher).total.backward()
            optimizer.step()
            ema.update(network)
            return
        if masks > 1:
            torch.stack([plain.cross_entropy(network, inputs, targets) for _ in range(masks)]).mean().backward()
        elif alpha:
            plain.rdrop(network, inputs, targets, alpha).backward()
        else:
            plain.cross_entropy(network, inputs, targets).backward()
        optimizer.step()

    return step


def batch(o: argparse.Namespace, size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(o.batch, 1, size, size, device=o.device), torch.arange(o.batch, device=o.device) % 10


def time_of(step: Callable[[], None], device: torch.device, steps: int = 3) -> float:
    start = seconds(device)
    for _ in range(steps):
        step()
    return (seconds(device) - start) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--only", default="", help="ways with one of these in their name: patch,cosub")
    parser.add_argument("--torch-linear", action="store_true", help="fast_linear=false, as on CPUs that are not AMD's")
    parser.add_argument("--device", type=torch.device, default="cpu")
    o = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {o.device}, batch {o.batch}; ratio to `none`: median (lowest to highest)")
    for label, (model, args, size) in MODELS.items():
        lacks = PLACES[label.partition("_")[0]]
        ways = [
            w
            for w in (*WAYS, *PLAIN)
            if any(word in w for word in o.only.split(",")) and not any(word in w for word in lacks)
        ]
        ways = list(dict.fromkeys(["none", *ways]))
        steps = {way: (make_ours if way in WAYS else make_plain)(way, model, args, size, o) for way in ways}
        for step in steps.values():
            time_of(step, o.device)
        times = [{way: time_of(step, o.device) for way, step in steps.items()} for _ in range(o.rounds)]
        for way in steps:
            ratios = [t[way] / t["none"] for t in times]
            print(
                f"{label:15} {way:42} {1e3 * statistics.median(t[way] for t in times):7.1f} ms"
                f"  {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            )


if __name__ == "__main__":
    main()
