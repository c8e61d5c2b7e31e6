"""Where the residual branches of a timm model begin, so that stochastic depth can leave out the samples that it drops.

timm's blocks compute `x + drop_path(branch(x))`, each in its own words. Which child of a block begins a branch is found
by trying: from there on, some samples alone must give what they give among the others.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rdrop_exp.skipping import Kept, select


class Call(NamedTuple):
    """A block, how it was called, and its children in the order in which it called them."""

    block: nn.Module
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    children: list[nn.Module]
    shared: set[nn.Module]
    """Children that the network calls more than once: what begins there would be begun elsewhere as well."""


class Branch(NamedTuple):
    """The `nth` use of a block's `path` (`DropPath`), and the children that the block called since the one before."""

    path: Any
    nth: int
    children: list[nn.Module]


@torch.no_grad()
def find_entrances(network: nn.Module, paths: Sequence[Any], inputs: Tensor, skip: bool = True) -> None:
    """Make each `DropPath` in `paths` choose its samples where its branch begins, where that place can be found.

    `inputs` are three examples. With `skip` False they are chosen in the same place, but dropped by a mask. Blocks with
    BatchNorm stay as they are: to leave samples out would change its statistics.
    """
    training = network.training
    network.eval()
    for call in _calls(network, paths, inputs):
        if any(isinstance(m, _BatchNorm) for m in call.block.modules()) or not call.arguments:
            continue
        for branch in _branches(call, set(paths)):
            child = next((c for c in _candidates(branch, call) if _begins(c, branch, call)), None)
            if child is not None:
                branch.path.skip = skip
                child.register_forward_pre_hook(branch.path.enter)
    network.train(training)


def _calls(network: nn.Module, paths: Sequence[nn.Module], inputs: Tensor) -> list[Call]:
    """The first call, when `network` takes `inputs`, of each module that adds one of `paths` to its input."""
    parents = {child: module for module in network.modules() for child in module.children()}
    blocks = dict.fromkeys(parents[path] for path in paths)
    blocks = dict.fromkeys(parents.get(b, b) if isinstance(b, nn.Sequential) else b for b in blocks)  # of noises
    calls: dict[nn.Module, Call] = {}
    times: Counter[nn.Module] = Counter()

    def enter(block: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        calls.setdefault(block, Call(block, arguments, options, [], set()))

    def note(child: nn.Module, _: Any) -> None:
        times[child] += 1
        if parents[child] in calls:
            calls[parents[child]].children.append(child)

    handles = [block.register_forward_pre_hook(enter, with_kwargs=True) for block in blocks]
    handles += [child.register_forward_pre_hook(note) for block in blocks for child in block.children()]
    network(inputs)
    for handle in handles:
        handle.remove()
    return [call._replace(shared={child for child in call.children if times[child] > 1}) for call in calls.values()]


def _branches(call: Call, paths: set[nn.Module]) -> Iterator[Branch]:
    """The children of a call, cut where its branches end."""
    used: Counter[nn.Module] = Counter()
    start = 0
    for i, child in enumerate(call.children):
        path = next((m for m in child.modules() if m in paths), None)
        if path is not None:
            yield Branch(path, used[path], call.children[start:i])
            used[path] += 1
            start = i + 1


def _candidates(branch: Branch, call: Call) -> list[nn.Module]:
    """Where a branch may begin: with half of its weights still to come, or little would be saved."""
    sizes = [sum(p.numel() for p in child.parameters()) for child in branch.children]
    late = [child for i, child in enumerate(branch.children) if 2 * sum(sizes[i:]) >= sum(sizes)]
    return [child for child in late if child not in call.shared]


def _begins(child: nn.Module, branch: Branch, call: Call) -> bool:
    """Whether two samples, selected before `child`, reach the end of the branch, and of the block, as under a mask."""
    path = branch.path
    rows, device = len(call.arguments[0]), call.arguments[0].device
    index = torch.tensor([0, rows - 1], device=device)
    some = Kept(index, rows, 2.0)
    mask = Kept(None, rows, torch.zeros(rows, device=device).index_fill(0, index, 2.0))

    def run(kept: Kept) -> tuple[Tensor, list[Tensor]]:
        count, arrived = itertools.count(), []

        def arrive(path: Any, inputs: tuple[Any, ...]) -> None:
            if next(count) == branch.nth:
                path.kept = kept
                arrived.append(inputs[0])

        handle = path.register_forward_pre_hook(arrive)
        try:
            found = call.block(*call.arguments, **call.options)
        finally:
            path.kept = None
            handle.remove()
        parts = found if isinstance(found, tuple | list) else [found]
        return arrived[0], [x for x in parts if isinstance(x, Tensor)]

    handle = None
    try:
        before, expected = run(mask)
        handle = child.register_forward_pre_hook(lambda _, inputs: (select(inputs[0], some), *inputs[1:]))
        after, found = run(some)
        return _close(after, before[index]) and all(map(_close, found, expected))
    except Exception:  # shapes that do not go together, in whatever way
        return False
    finally:
        if handle:
            handle.remove()


def _close(found: Tensor, expected: Tensor) -> bool:
    """Equal up to rounding, on the tensor's own scale: a new layer scale makes branches of 1e-6."""
    size = expected.abs().max().item() if expected.numel() else 0.0
    return found.shape == expected.shape and bool((found - expected).abs().le(1e-4 * size).all())
