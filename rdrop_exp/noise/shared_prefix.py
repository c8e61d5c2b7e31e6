"""Where the noisy passes of one input part: what comes before the first noise is computed once for all of them.

The passes of a step are rows of one batch. Repeating the rows at the model's input computes, m times over, what no
noise has touched: patch embedding, blocks at rate 0, or, where only the head has dropout, the whole network. So they
are repeated at the last place at which that gives the same result, which is found by trying.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class SharedPrefix:
    """Repeats the first argument of `module` along the batch `copies` times, pass by pass."""

    def __init__(self, module: nn.Module) -> None:
        self.num_passes = 1
        self.handle = module.register_forward_pre_hook(self._hook)

    def _hook(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (repeat(arguments[0], self.num_passes), *arguments[1:]) if self.num_passes > 1 else None


def repeat(inputs: Any, copies: int) -> Any:
    """The tensors (batch, …) repeated `copies` times along the batch, so that each row draws its own noise."""
    if isinstance(inputs, dict):
        return {name: repeat(tensor, copies) for name, tensor in inputs.items()}
    return inputs.repeat(copies, *[1] * (inputs.ndim - 1))


@torch.no_grad()
def find_shared_prefix(
    network: nn.Module, noisy: Sequence[nn.Module], inputs: Tensor | dict[str, Tensor], late: bool = True
) -> SharedPrefix:
    """The latest place for `network` at or before its first noise; with `late` False, its very input.

    `noisy` are the modules that make noise, all silent now, and `inputs` an example of at least two items. A place
    will do if repeating there repeats the output: not, say, inside a residual branch, whose shortcut would stay as is.
    """
    training = network.training
    network.eval()
    try:
        expected = network(inputs)
        for module in _from_the_inside(network, noisy, inputs) if late else ():
            prefix = SharedPrefix(module)
            prefix.num_passes = 2
            if _same(network, inputs, torch.cat([expected, expected])):
                prefix.num_passes = 1
                return prefix
            prefix.handle.remove()
        return SharedPrefix(network)
    finally:
        network.train(training)


def _from_the_inside(network: nn.Module, noisy: Sequence[nn.Module], inputs: Any) -> list[nn.Module]:
    """The module that makes noise first, then the modules that contain it, without the network itself."""
    reached: list[nn.Module] = []
    handles = [m.register_forward_pre_hook(lambda module, _: reached.append(module)) for m in noisy]
    for module in noisy:  # at rate 0, but active: a fused attention passes by its dropout otherwise
        module.train()
        module.active = True  # type: ignore[assignment]
    with torch.random.fork_rng(devices=[]):
        network(inputs)
    for module in noisy:
        module.eval()
        module.active = False  # type: ignore[assignment]
    for handle in handles:
        handle.remove()
    if not reached:
        return []
    path = next(name for name, module in network.named_modules() if module is reached[0])
    words = path.split(".")
    return [network.get_submodule(".".join(words[:i])) for i in range(len(words), 0, -1)]


def _same(network: nn.Module, inputs: Any, expected: Tensor) -> bool:
    try:
        found = network(inputs)
    except Exception:  # shapes that do not go together, in whatever way
        return False
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-5)
