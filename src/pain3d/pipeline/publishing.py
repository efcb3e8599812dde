"""Knows how identities that come in the order of the plan become published shards, one after the other."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError, complain
from pain3d.pipeline.folder import DataFolder, ShardEntry
from pain3d.pipeline.plan import Plan, PlannedShard, images_per_identity
from pain3d.pipeline.shard_files import ShardWriter
from pain3d.pipeline.synthesis import EncodedIdentity


def publish_all(
    plan: Plan,
    shards: Sequence[PlannedShard],
    folder: DataFolder,
    encoded: Generator[EncodedIdentity, None, None],
    stages: dict[str, float],
    quiet: bool,
) -> int:
    """Write and publish shards, of which `encoded` has the identities; returns the number of images."""
    images = sum(len(shard.identities) for shard in shards) * images_per_identity(plan.config)
    first = plan.shards[0].identities[0].identity_id
    try:
        with (
            Interruptible() as interruptible,
            Progress(plan.images, plan.images - images, quiet) as progress,
            Publisher(folder, stages) as publisher,
        ):
            for shard in shards:
                with ShardWriter(folder.out, shard, plan.config.pictures) as writer:
                    for _ in shard.identities:
                        interruptible.check()
                        identity = next(encoded)
                        if identity.fault:
                            complain(fault_line(identity, identity.identity_id == first))
                        write_rows(writer, identity, stages)
                        progress.add(identity.images)
                publisher.add(writer)
            interruptible.check()
    finally:
        encoded.close()
    return images


def write_rows(writer: ShardWriter, identity: EncodedIdentity, stages: dict[str, float]) -> None:
    """Add an identity to a shard, and its seconds, with those of writing, to the stages'."""
    for stage, seconds in identity.seconds.items():
        stages[stage] += seconds
    writing = time.perf_counter()
    writer.write(identity.batches)
    stages["write"] += time.perf_counter() - writing


def fault_line(identity: EncodedIdentity, first: bool) -> str:
    """Why nobody painted an identity's backgrounds, as a line; who fails at a data set's first is taken to fail at all.

    Raises:
        RefusedError: It is the first of all.
    """
    told = f"identity {identity.identity_id}: no usable plate ({identity.fault})"
    if first:
        raise RefusedError(f"{told}, the first of all")
    return f"{told}, its backgrounds stay procedural"


class Publisher:
    """Finishes shards on a thread of its own and publishes them in order, while the next one is written.

    A context manager: what was added is published when it is left, after an error too.
    """

    def __init__(self, folder: DataFolder, stages: dict[str, float]) -> None:
        self._folder, self._stages = folder, stages
        self._thread = ThreadPoolExecutor(1, "close")
        self._closing: Future[ShardEntry] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._thread:
            try:
                self._settle()
            except OSError:
                if error is None:  # the first error is the one to tell
                    raise

    def add(self, writer: ShardWriter) -> None:
        """Finish a shard that has all its rows; waits for the one before."""
        self._settle()
        self._closing = self._thread.submit(self._close, writer)

    def _close(self, writer: ShardWriter) -> ShardEntry:
        started = time.perf_counter()
        with writer:
            entry = writer.close()
        self._stages["close"] += time.perf_counter() - started
        return entry

    def _settle(self) -> None:
        closing, self._closing = self._closing, None
        if closing is not None:
            self._folder.publish_shard(closing.result())
