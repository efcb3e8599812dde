"""Knows which rank of a torchrun launch this process is, what of the machine is its share, and how ranks meet.

``torchrun --nproc-per-node 2 -m pain3d ...`` starts a process per card (or per share of the cores) and tells each who
it is by variables of the environment. Without them a process is the only rank.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from pain3d.console.refused import RefusedError, one_line

LAUNCHER: Final = (
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
)  # torchrun's, beside WORLD_SIZE
MEETING: Final = timedelta(minutes=5)  # in which all ranks must have come up
WORKING: Final = timedelta(days=30)  # that one may wait for another: torchrun ends all when one fails


@dataclass(frozen=True)
class Ranks:
    """This process among those that were launched together.

    Attributes:
        rank: Its number; 0 is the one that speaks for all.
        count: How many there are.
        local_rank: Its number on this machine.
        local_count: How many there are on this machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1

    def cores(self) -> int:
        """How many cores this process may use: its share of the machine's."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, cores // self.local_count)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within this context the ranks can hear each other.

        Raises:
            RefusedError: They don't find each other.
        """
        if self.count == 1:
            yield
            return
        import torch.distributed as dist

        try:
            dist.init_process_group("gloo", timeout=MEETING)
            dist.distributed_c10d._set_pg_timeout(WORKING)
        except (RuntimeError, ValueError) as error:
            raise RefusedError(f"the {self.count} ranks don't find each other: {one_line(error)}") from error
        try:
            yield
        finally:
            dist.destroy_process_group()

    def from_first(self, value: Any) -> Any:
        """The value that rank 0 calls this with; the others wait for it."""
        if self.count == 1:
            return value
        import torch.distributed as dist

        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def of_all(self, value: Any) -> list[Any]:
        """The values that all ranks call this with, by rank; each waits for all."""
        if self.count == 1:
            return [value]
        import torch.distributed as dist

        held = [None] * self.count
        dist.all_gather_object(held, value)
        return held


def launched_ranks() -> Ranks:
    """Who this process is, by the variables that torchrun sets.

    Raises:
        RefusedError: WORLD_SIZE says that there are others, and nothing says who.
    """
    world = os.environ.get("WORLD_SIZE", "1")
    if world == "1":
        return Ranks()
    missing = [name for name in LAUNCHER if not os.environ.get(name)]
    if missing:
        raise RefusedError(
            f"WORLD_SIZE is {world}, but {missing[0]} is not set: start ranks with torchrun, or unset it"
        )
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    for name in names:
        if not os.environ[name].isdecimal():
            raise RefusedError(f"{name} must be a whole number, got {os.environ[name]!r}")
    rank, count, local_rank, local_count = (int(os.environ[name]) for name in names)
    if not rank < count or not local_rank < local_count <= count:
        raise RefusedError(f"RANK {rank} of WORLD_SIZE {count}, LOCAL_RANK {local_rank} of {local_count}: no such rank")
    return Ranks(rank, count, local_rank, local_count)
