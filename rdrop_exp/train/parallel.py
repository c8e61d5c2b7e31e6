"""The processes (ranks) that train one trial together, and the little that the training loop asks of them.

    torchrun --nproc-per-node=4 -m rdrop_exp model=vit_tiny dataset=cifar100 regularizer=rdrop

Each rank takes its part of the same batches. The loss on a rank is its sum over items divided by the number of items of
the whole batch, so gradients and losses are summed over ranks, not averaged. Alone, a process does none of this.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from rdrop_exp.config.schema import OptionError
from rdrop_exp.data.batch import Data
from rdrop_exp.data.shard import Shard
from rdrop_exp.seeds import derive_seed
from rdrop_exp.train.watch import Watch

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class World:
    """The ranks of a trial, seen from one of them."""

    rank: int = 0
    size: int = 1
    watch: Watch | None = None
    said: int = 0
    """Words of `start` in this trial; 2: all."""
    nccl: Any = None
    """The group for tensors on GPUs, where each rank has one; all else goes through torch's default group, gloo."""

    @property
    def shard(self) -> Shard:
        return Shard(self.rank, self.size)

    @property
    def echo(self) -> float:
        """Seconds within which a second signal is the first one's echo."""
        return 0.0 if self.size == 1 else 2.0

    def check(self, device: torch.device) -> None:
        """`OptionError` where the ranks cannot all compute on a device of that kind."""
        if self.size == 1:
            return
        if device.type not in ("cpu", "cuda") or device.index is not None:
            raise OptionError(f"device={device} is one device, but this trial has {self.size} ranks: use cuda or cpu")
        if device.type == "cuda" and self.nccl is None:
            raise OptionError(
                f"device={device}: this trial has {self.size} ranks, more than GPUs: start fewer, or set device=cpu"
            )

    def group(self, device: torch.device) -> Any:
        """Through which tensors on that device are summed."""
        return dist.group.WORLD if device.type == "cpu" else self.nccl

    # -- words ------------------------------------------------------------------------------------------------------
    def from_first(self, value: T) -> T:
        """What the first rank gives; the others give anything, and wait."""
        if self.size > 1:
            box = [value]
            dist.broadcast_object_list(box, src=0)
            value = box[0]
        return value

    def start(self, word: Any = None) -> Any:
        """What the first rank says of a trial's start: what it is, then at which step, or None at either place.

        After the step or None it has said all.
        """
        if self.size > 1 and self.said < 2:
            word = self.from_first(word)
            self.said = 2 if word is None else self.said + 1
        return word

    def together(self, action: Callable[[], T]) -> T:
        """The outcome of an action of all ranks; where one of them is refused, the first raises its `OptionError`.

        The others return, to hear of it from the first.
        """
        if self.size == 1:
            return action()
        outcome: T | None = None
        refusal = None
        try:
            outcome = action()
        except OptionError as error:
            refusal = str(error)
        refusals: list[Any] = [None] * self.size
        dist.all_gather_object(refusals, refusal)
        if any(refusals) and self.rank == 0:
            raise OptionError(next(filter(None, refusals)))
        return cast(T, outcome)

    def highest(self, value: int) -> int:
        """The highest on any rank."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def end(self) -> None:
        """Wait for the first rank to end the trial."""
        if self.watch is not None:
            self.watch.end()

    def explained(self, error: Exception) -> Exception:
        """The error, or a `LostRank` where another rank has caused it."""
        return error if self.watch is None else self.watch.cause(error)

    # -- training ---------------------------------------------------------------------------------------------------
    def noise_seed(self, seed: int, step: int) -> int:
        """Of the noise of a step: each rank draws its own, the first one what a process draws alone."""
        return derive_seed(seed, "step", step, *([self.rank] if self.rank else []))

    def sum(self, value: Any, device: torch.device) -> Any:
        """A number or tensor summed over ranks, on the device; nothing waits for it there."""
        if self.size == 1:
            return value
        tensor = torch.as_tensor(value, device=device).clone()
        dist.all_reduce(tensor, group=self.group(device))
        return tensor

    def replicate(self, network: nn.Module, data: Data) -> nn.Module:
        """The network whose backward pass sums gradients over ranks."""
        if self.size == 1:
            return network
        group = self.group(next(network.parameters()).device)
        unused = _has_unused(network, next(data.given([data.train_items[:1]], None)).inputs)
        known = inspect.signature(DistributedDataParallel).parameters
        buffers: Any = {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}
        replica = DistributedDataParallel(
            network,
            process_group=group,
            gradient_as_bucket_view=True,
            find_unused_parameters=unused,
            **buffers,
        )
        replica.register_comm_hook(group, _summed)
        return replica

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over ranks."""
        if self.size > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            dist.all_reduce(flat, group=self.group(flat.device))
            for tensor, part in zip(tensors, (flat / self.size).split([t.numel() for t in tensors]), strict=True):
                tensor.copy_(part.view_as(tensor))

    # -- evaluation: `tasks.task.Gather` ----------------------------------------------------------------------------
    def total(self, value: Any) -> Any:
        return self.sum(value, value.device if isinstance(value, Tensor) else torch.device("cpu"))

    def interleaved(self, values: Any) -> Any:
        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, values.cpu() if isinstance(values, Tensor) else values)
        count = sum(map(len, parts))
        order = torch.cat([torch.arange(rank, count, self.size) for rank in range(self.size)]).argsort()
        if isinstance(values, Tensor):
            return torch.cat(parts)[order]
        flat = [value for part in parts for value in part]
        return [flat[i] for i in order.tolist()]


ALONE = World()


def micro_steps(forward: Any, batches: Sequence[T]) -> Iterable[tuple[T, AbstractContextManager[Any]]]:
    """Each micro-batch and the context of its passes: gradients are summed over ranks with the last one."""
    for i, batch in enumerate(batches):
        alone = i + 1 < len(batches) and hasattr(forward, "no_sync")
        yield batch, forward.no_sync() if alone else nullcontext()


def _summed(group: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(bucket.buffer(), group=group, async_op=True)
    future: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return future


def _has_unused(network: nn.Module, inputs: Any) -> bool:
    """Whether an output leaves parameters without a gradient, which DistributedDataParallel would wait for."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    network.eval()
    gradients = torch.autograd.grad(network(inputs).float().sum(), parameters, allow_unused=True)
    network.train()
    return any(gradient is None for gradient in gradients)
