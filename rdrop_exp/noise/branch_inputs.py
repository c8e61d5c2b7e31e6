"""Where the residual branches of a timm model begin, so that stochastic depth can leave out the samples that it drops.

timm's blocks compute `x + drop_path(branch(x))`, each written differently. Which child of a block begins a branch is
determined by trial: from there on, a few samples alone must give what they give among the others.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rdrop_exp.noise.sample_drop import KeptSamples, gather
from rdrop_exp.noise.sites import has_weights


class Call(NamedTuple):
    """A block, how it was called and what it returned, and its children in the order in which it called them."""

    block: nn.Module
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    children: list[nn.Module]
    ends: list[Tensor]
    """What reached each use of a `DropPath`."""
    outputs: list[Tensor]


class Branch(NamedTuple):
    """The `nth` use of a block's `path` (`DropPath`), the children called since the one before, and what reached it."""

    path: Any
    nth: int
    children: list[nn.Module]
    end: Tensor


@torch.no_grad()
def find_branch_inputs(network: nn.Module, paths: Sequence[Any], inputs: Tensor, skip: bool = True) -> None:
    """Make each `DropPath` in `paths` draw its samples where its branch begins, if that place can be determined.

    `inputs` are three examples. With `skip` False they are drawn in the same place, but dropped by a mask. Blocks with
    BatchNorm stay as they are: to leave samples out would change its statistics.
    """
    training = network.training
    network.eval()
    calls, times = _calls(network, paths, inputs)
    for call in calls:
        if any(isinstance(m, _BatchNorm) for m in call.block.modules()):
            continue
        for branch in _branches(call, set(paths)):
            # A child that is called more than once would begin a branch elsewhere as well.
            places = [child for child in _candidates(branch.children) if times[child] == 1]
            child = next((c for c in places if _begins(c, branch, call)), None)
            if child is not None:
                branch.path.skip = skip
                child.register_forward_pre_hook(branch.path.enter)
    network.train(training)


def _calls(network: nn.Module, paths: Sequence[nn.Module], inputs: Tensor) -> tuple[list[Call], Counter[nn.Module]]:
    """The first call, when `network` takes `inputs`, of each module that adds one of `paths` to its input.

    And how often each child of them was called in all.
    """
    parents = {child: module for module in network.modules() for child in module.children()}
    blocks = {path: parents[path] for path in paths}
    for path, block in blocks.items():
        if not has_weights(block):  # a sequence of noises in the place of one
            blocks[path] = parents.get(block, block)
    calls: dict[nn.Module, Call] = {}
    times: Counter[nn.Module] = Counter()

    def enter(block: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        calls.setdefault(block, Call(block, arguments, options, [], [], []))

    def note(child: nn.Module, _: Any) -> None:
        times[child] += 1
        if parents[child] in calls:
            calls[parents[child]].children.append(child)

    def receive(path: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if blocks[path] in calls:
            calls[blocks[path]].ends.append(inputs[0])

    def leave(block: nn.Module, _: Any, output: Any) -> None:
        calls[block].outputs.extend(_tensors(output))

    handles = [path.register_forward_pre_hook(receive) for path in paths]
    for block in dict.fromkeys(blocks.values()):
        handles += [block.register_forward_pre_hook(enter, with_kwargs=True), block.register_forward_hook(leave)]
        handles += [child.register_forward_pre_hook(note) for child in block.children()]
    network(inputs)
    for handle in handles:
        handle.remove()
    return [call for call in calls.values() if call.arguments and isinstance(call.arguments[0], Tensor)], times


def _branches(call: Call, paths: set[nn.Module]) -> Iterator[Branch]:
    """The children of a call, cut where its branches end."""
    used: Counter[nn.Module] = Counter()
    ends = iter(call.ends)
    start = 0
    for i, child in enumerate(call.children):
        path = next((m for m in child.modules() if m in paths), None)
        if path is not None:
            yield Branch(path, used[path], call.children[start:i], next(ends))
            used[path] += 1
            start = i + 1


def _candidates(children: list[nn.Module]) -> list[nn.Module]:
    """Where a branch may begin: with half of its weights still to come, or little would be saved."""
    sizes = [sum(p.numel() for p in child.parameters()) for child in children]
    return [child for i, child in enumerate(children) if 2 * sum(sizes[i:]) >= sum(sizes)]


def _begins(child: nn.Module, branch: Branch, call: Call) -> bool:
    """Whether two of the samples, selected before `child`, reach the end of the branch and of the block as with all."""
    rows, count = len(call.arguments[0]), itertools.count()
    index = torch.tensor([0, rows - 1], device=call.arguments[0].device)
    kept = KeptSamples(index, rows, 1.0)
    received: list[Tensor] = []

    def receive(path: Any, inputs: tuple[Tensor, ...]) -> None:
        if next(count) == branch.nth:
            path.kept = kept
            received.append(inputs[0])

    handles = [
        child.register_forward_pre_hook(lambda _, inputs: (gather(inputs[0], kept), *inputs[1:])),
        branch.path.register_forward_pre_hook(receive),
    ]
    try:
        outputs = _tensors(call.block(*call.arguments, **call.options))
        pairs = [(received[0], branch.end[index])]
        pairs += [(actual[index], expected[index]) for actual, expected in zip(outputs, call.outputs, strict=True)]
        return all(_close(actual, expected) for actual, expected in pairs)
    except Exception:  # shapes that do not match, in whatever way
        return False
    finally:
        branch.path.kept = None
        for handle in handles:
            handle.remove()


def _tensors(output: Any) -> list[Tensor]:
    return [x for x in (output if isinstance(output, tuple | list) else [output]) if isinstance(x, Tensor)]


def _close(actual: Tensor, expected: Tensor) -> bool:
    """Equal up to rounding, on the tensor's own scale: a new layer scale makes branches of 1e-6."""
    size = expected.abs().max().item() if expected.numel() else 0.0
    return actual.shape == expected.shape and bool((actual - expected).abs().le(1e-4 * size).all())
