"""The prefix that all noisy passes share: layers before the first noise run once, and the batch is repeated after them.

The passes of a step are rows of one batch. Repeating them at the model's input would compute, m times over, what no
noise has touched: patch embedding, blocks at rate 0, or, where only the head has dropout, the whole network. They are
repeated at the last module at which that gives the same result; candidates are tried from the inside out.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class SharedPrefix:
    """Repeats the first argument of `module` along the batch, once for each pass, pass by pass."""

    def __init__(self, module: nn.Module) -> None:
        self.num_passes = 1
        self.handle = module.register_forward_pre_hook(self._hook)

    def _hook(self, module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (repeat(arguments[0], self.num_passes), *arguments[1:]) if self.num_passes > 1 else None


def repeat(inputs: Any, times: int) -> Any:
    """The tensors (batch, …) repeated along the batch, so that each row draws its own noise."""
    if isinstance(inputs, dict):
        return {name: repeat(tensor, times) for name, tensor in inputs.items()}
    return inputs.repeat(times, *[1] * (inputs.ndim - 1))


@torch.no_grad()
def find_shared_prefix(
    network: nn.Module, noise_layers: Sequence[nn.Module], inputs: Tensor | dict[str, Tensor], late: bool = True
) -> SharedPrefix:
    """The latest place for `network` at or before its first noise; with `late` False, its input.

    `noise_layers` are inactive now, and `inputs` is an example of at least two items. A place qualifies if repeating
    there repeats the output; one inside a residual branch does not, as the shortcut would keep its size.
    """
    training = network.training
    network.eval()
    try:
        expected = network(inputs)
        for module in _candidates(network, noise_layers, inputs) if late else ():
            prefix = SharedPrefix(module)
            prefix.num_passes = 2
            if _gives(network, inputs, torch.cat([expected, expected])):
                prefix.num_passes = 1
                return prefix
            prefix.handle.remove()
        return SharedPrefix(network)
    finally:
        network.train(training)


def _candidates(network: nn.Module, noise_layers: Sequence[nn.Module], inputs: Any) -> list[nn.Module]:
    """The noise layer that runs first, then the modules that contain it, without the network itself."""
    called: list[nn.Module] = []
    handles = [layer.register_forward_pre_hook(lambda module, _: called.append(module)) for layer in noise_layers]
    for layer in noise_layers:  # at rate 0, but active: a fused attention bypasses its dropout otherwise
        layer.train()
        layer.active = True  # type: ignore[assignment]
    with torch.random.fork_rng(devices=[]):
        network(inputs)
    for layer in noise_layers:
        layer.eval()
        layer.active = False  # type: ignore[assignment]
    for handle in handles:
        handle.remove()
    if not called:
        return []
    path = next(name for name, module in network.named_modules() if module is called[0])
    words = path.split(".")
    return [network.get_submodule(".".join(words[:i])) for i in range(len(words), 0, -1)]


def _gives(network: nn.Module, inputs: Any, expected: Tensor) -> bool:
    try:
        outputs = network(inputs)
    except Exception:  # shapes that do not match, in whatever way
        return False
    return outputs.shape == expected.shape and torch.allclose(outputs, expected, rtol=1e-4, atol=1e-5)
