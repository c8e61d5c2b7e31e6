"""How the ranks of a trial find each other, and how the trial ends on all of them."""

import functools
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from rdrop_exp.config.schema import OptionError
from rdrop_exp.train.parallel import ALONE, World
from rdrop_exp.train.watch import LostRank, connect

TIMEOUT = timedelta(hours=2)
"""Longest wait for another rank that lives: the first one may be reading data or writing. Dead ones are noticed."""


@contextmanager
def joined() -> Iterator[World]:
    """The ranks of this trial; alone, where nothing such as torchrun says that there are more.

    An error in the block that another rank has caused becomes a `LostRank`, which says so in one sentence.
    """
    world = _world()
    watch = world.watch
    if watch is None:
        yield world
        return
    watch.begin()
    world.said = 0
    try:
        yield world
    except BaseException as error:
        cause = watch.cause(error) if isinstance(error, Exception) else error
        if world.rank == 0:
            watch.end()
        elif isinstance(cause, LostRank):
            watch.leave()
            watch.report()
            raise SystemExit(1) from error
        else:
            watch.fail(traceback.format_exc() if isinstance(error, Exception) else "")
        raise cause from (None if cause is error else error)
    watch.end()


@functools.cache
def _world() -> World:
    size = int(os.environ.get("WORLD_SIZE") or 1)
    if size == 1:
        return ALONE
    if "MASTER_ADDR" not in os.environ or "RANK" not in os.environ:
        raise OptionError(f"WORLD_SIZE={size} is set, but not RANK and MASTER_ADDR: start the ranks with torchrun")
    dist.init_process_group("gloo", timeout=TIMEOUT)
    world = World(dist.get_rank(), size)
    world.watch = connect(world.rank, size, world.from_first)
    here = int(os.environ.get("LOCAL_RANK") or 0)
    if not world.highest(here >= torch.cuda.device_count()):  # all have a GPU
        torch.cuda.set_device(here)
        world.nccl = dist.new_group(backend="nccl", timeout=TIMEOUT)
    return world
