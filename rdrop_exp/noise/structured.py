"""Noise that drops parts of a model as a whole: patch tokens, attention keys, attention heads, squares of feature maps.

Like dropout, each follows the schedule by a rate that a tensor holds; only the number of patches is known to the host.
`structured_sites.py` knows where each of them acts.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rdrop_exp.noise.layers import NoiseLayer, draw_mask


class PatchDropout(NoiseLayer):
    """Keeps round((1 - rate) n) of n patch tokens, drawn for each row (Liu et al. 2022, arXiv 2208.07220).

    `prefix` tokens before them, such as the class token, all stay. With `indices`, which patches were kept is returned,
    too: models with rotary positions ask for it.
    """

    def __init__(self, full: float, prefix: int, indices: bool) -> None:
        super().__init__(full)
        self.prefix, self.indices = prefix, indices

    def forward(self, x: Tensor) -> Any:
        """(rows, prefix + n, width) → (rows, prefix + kept, width); the identity in eval mode and while inactive."""
        rows, count = len(x), x.shape[1] - self.prefix
        kept = count
        if self.training and self.active:  # the scale and not the rate, which is on the device
            kept = max(1, round((1.0 - self.highest * self.rate_scale) * count))
        if kept == count:
            return (x, None) if self.indices else x
        index = torch.rand(rows, count, device=x.device).topk(kept, dim=1).indices.sort(dim=1).values
        flat = index + count * torch.arange(rows, device=x.device).unsqueeze(1)
        patches = x[:, self.prefix :].flatten(0, 1).index_select(0, flat.flatten()).unflatten(0, (rows, kept))
        x = torch.cat([x[:, : self.prefix], patches], dim=1) if self.prefix else patches
        return (x, index) if self.indices else x


class DropKey(NoiseLayer):
    """Masks keys before the softmax, for each query and head by itself (Li et al. 2022, arXiv 2208.02646, algorithm 1).

    Weights still sum to 1, so nothing is scaled. A query of which all keys were dropped keeps them all.
    """

    def __init__(self, full: float, heads: int = 0) -> None:
        super().__init__(full)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Of anything (rows, heads, queries, keys), whether the query may see the key: booleans of that shape."""
        keep = draw_mask(x.shape, self.rate)
        return keep | ~keep.any(-1, keepdim=True)

    def mask(
        self, attention: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """Forward pre-hook of timm's attention, whose fused kernel takes a mask."""
        if not (self.training and self.active):
            return None
        rows, tokens, _ = inputs[0].shape
        keep = self(inputs[0].new_empty(1).expand(rows, self.heads, tokens, tokens))
        return inputs, options | {"attn_mask": masked(options.get("attn_mask"), keep)}


def masked(mask: Tensor | None, keep: Tensor) -> Tensor:
    """An attention mask, boolean or added to the scores, that hides what `keep` does not keep as well."""
    if mask is None:
        return keep
    if mask.dtype == torch.bool:
        both = mask & keep
        return both | (mask & ~both.any(-1, keepdim=True))
    return mask.masked_fill(~keep, torch.finfo(mask.dtype).min)


class HeadDropout(NoiseLayer):
    """DropHead: drops whole heads of a row; the others are scaled by heads / kept (Zhou et al. 2020, arXiv 2004.13342).

    A row of which all heads were dropped keeps them all.
    """

    def __init__(self, full: float, heads: int = 0) -> None:
        super().__init__(full)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(rows, ..., heads, width) → the same; the identity in eval mode and while inactive."""
        if not (self.training and self.active):
            return x
        keep = draw_mask((len(x), x.shape[-2]), self.rate)
        keep = (keep | ~keep.any(1, keepdim=True)).float()
        scale = keep / keep.mean(1, keepdim=True)
        return (x * scale.view(len(x), *[1] * (x.ndim - 3), -1, 1)).to(x.dtype)

    def before(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Forward pre-hook of what takes the heads one after another, (rows, ..., heads * width)."""
        return (self(inputs[0].unflatten(-1, (self.heads, -1))).flatten(-2), *inputs[1:])


class DropBlock(NoiseLayer):
    """Zeroes squares of each channel; the rest is scaled to keep the sum (Ghiasi et al. 2018, arXiv 1810.12890)."""

    def __init__(self, full: float, size: int) -> None:
        super().__init__(full)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(rows, channels, height, width) → the same; the identity in eval mode and while inactive."""
        if not (self.training and self.active):
            return x
        height, width = x.shape[-2:]
        h, w = min(self.size, height), min(self.size, width)
        corners = (*x.shape[:-2], height - h + 1, width - w + 1)  # where a square can begin
        gamma = self.rate * (height * width / (h * w) / (corners[-2] * corners[-1]))
        seeds = (~draw_mask(corners, gamma)).to(x.dtype)
        keep = 1 - F.max_pool2d(F.pad(seeds, (w - 1, w - 1, h - 1, h - 1)), (h, w), stride=1)
        return x * (keep / keep.mean(dtype=torch.float32).clamp(min=1e-6)).to(x.dtype)
