"""Knows how shards are spread over a Ray cluster: who made one hands back a receipt, and here it is published.

A task is a shard. It writes the shard's files into the data set's folder, which all nodes share, under names of this
attempt; what was made becomes part of the data set only here, when its receipt has come. So whoever is lost, and
whatever he left half-written, the manifest says what is whole: Ray gives the shard to somebody else, who makes the same
bytes.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from pain3d.console.interrupt import STOPS, Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError, complain, one_line
from pain3d.files import remove_partial
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.folder import DATA_SET, DataFolder, ShardEntry
from pain3d.pipeline.plan import Plan, PlannedShard, images_per_identity
from pain3d.pipeline.publishing import fault_line, write_rows
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.shard_files import ShardWriter
from pain3d.provenance import code_version
from pain3d.run_folder import read_resolved

LIBRARIES: Final = ("numpy", "numba", "opencv-python-headless", "pyarrow", "simplejpeg", "torch")  # make the bytes
LOST: Final = 10  # times that whoever makes a shard may be lost before the run is given up
WAITING: Final = 1_000  # tasks that the cluster is told of at a time; one that grows by itself sees how much there is
LISTENING: Final = 0.2  # seconds between two looks for Ctrl-C
ENDING: Final = 20.0  # seconds that tasks which were called off have to end
ANSWERING: Final = 10.0  # seconds that a cluster has to answer


@dataclass(frozen=True)
class ShardOrder:
    """What a node is told.

    Attributes:
        config: As it is run.
        kind: The class of device.
        shard: Which.
        provenance: What every row says of its making.
        out: The data set, an absolute path that all nodes share.
        first: Number of the data set's first identity.
        versions: Of code and libraries, where the run was begun.
    """

    config: SynthConfig
    kind: str
    shard: PlannedShard
    provenance: Provenance
    out: Path
    first: int
    versions: Mapping[str, str]


@dataclass(frozen=True)
class ShardReceipt:
    """What a node hands back: the manifest's entry, whose attempt lies in the folder, seconds by stage, complaints."""

    entry: ShardEntry
    attempt: str
    seconds: Mapping[str, float]
    complaints: tuple[str, ...]


def publish_by_ray(
    plan: Plan,
    kind: str,
    shards: Sequence[PlannedShard],
    folder: DataFolder,
    provenance: Provenance,
    stages: dict[str, float],
    lanes: dict[str, int],
    quiet: bool,
) -> int:
    """Let a Ray cluster make shards, and publish each as soon as its receipt has come; returns the number of images.

    Args:
        plan: Of the run.
        kind: The class of device.
        shards: What is missing.
        folder: The data set's, locked.
        provenance: What every row says of its making.
        stages: Is told the seconds of each stage.
        lanes: Is told how many workers share a stage.
        quiet: Show no progress.

    Raises:
        RefusedError: Ray is not installed, or no cluster answers; a node does not see the folder, or has other code;
            whoever made a shard was lost time after time. Published shards are kept.
        OSError: A node's disk failed; likewise.
    """
    images = sum(len(shard.identities) for shard in shards) * images_per_identity(plan.config)
    with (
        _cluster(plan.config.address) as ray,
        Interruptible() as interruptible,
        Progress(plan.images, plan.images - images, quiet) as progress,
    ):
        unit = "GPU" if kind == "cuda" else "CPU"
        workers = int(ray.cluster_resources().get(unit, 0))
        if not workers:
            complain(f"the Ray cluster has no {unit} yet: waiting for one")
        task = ray.remote(num_cpus=1, num_gpus=int(kind == "cuda"), max_retries=LOST)(make_shard)
        first, out, versions = plan.shards[0].identities[0].identity_id, folder.out.resolve(), versions_here()
        waiting = deque(ShardOrder(plan.config, kind, shard, provenance, out, first, versions) for shard in shards)
        running: dict[Any, PlannedShard] = {}
        try:
            while waiting or running:
                while waiting and len(running) < WAITING:
                    order = waiting.popleft()
                    running[task.remote(order)] = order.shard
                ready, _ = ray.wait(list(running), timeout=LISTENING)
                interruptible.check()
                for reference in ready:
                    shard = running.pop(reference)
                    receipt = _receipt(ray, reference, shard)
                    for complaint in receipt.complaints:
                        complain(complaint)
                    writing = time.perf_counter()
                    folder.publish_shard(receipt.entry, receipt.attempt)
                    stages["publish"] += time.perf_counter() - writing
                    for stage, seconds in receipt.seconds.items():
                        stages[stage] += seconds
                        lanes[stage] = max(workers, 1)
                    progress.add(len(shard.identities) * images_per_identity(plan.config))
        finally:
            _call_off(ray, list(running))
            remove_partial(folder.out)  # of attempts that were lost
    return images


def make_shard(order: ShardOrder) -> ShardReceipt:
    """Make a shard on this node, under the names of an attempt of its own.

    Raises:
        RefusedError: The node doesn't see the data set's folder, or has other code or libraries.
        OSError: Its disk failed; nothing half-written is left.
    """
    from pain3d.pipeline.workers import synthesise_people

    _refuse_node(order)
    attempt = f".{secrets.token_hex(4)}"
    seconds: dict[str, float] = defaultdict(float)
    complaints: list[str] = []
    encoded = synthesise_people(order.config, order.kind, order.shard.identities, order.provenance, 1, 0, {})
    with ShardWriter(order.out, order.shard, order.config.pictures, attempt) as writer:
        for identity in encoded:
            if identity.fault:
                complaints.append(fault_line(identity, identity.identity_id == order.first))
            write_rows(writer, identity, seconds)
        closing = time.perf_counter()
        entry = writer.close()
        seconds["close"] += time.perf_counter() - closing
    return ShardReceipt(entry, attempt, dict(seconds), tuple(complaints))


def versions_here() -> dict[str, str]:
    """Versions of this code and of the libraries that have a part in the bytes."""
    found = {"pain3d": code_version()}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _refuse_node(order: ShardOrder) -> None:
    node = f"node {socket.gethostname()}"
    for name, here in versions_here().items():
        asked = order.versions.get(name, "none")
        if here != asked:
            raise RefusedError(f"{node}: {name} is {here}, where the run was begun {asked}: all nodes need the same")
    resolved = read_resolved(order.out, DATA_SET)
    if resolved is None or resolved.get("config_hash") != order.provenance.config_hash:
        raise RefusedError(f"{node}: doesn't see the data set in {order.out}: all nodes must share that folder")


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Ray, connected to a cluster; without an address to one of this machine's, that ends with the context."""
    if find_spec("ray") is None:
        raise RefusedError('--engine ray needs Ray: pip install "pain3d[ray]"')
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers of each run
    import ray

    heard = {number: signal.getsignal(number) for number in STOPS}
    try:
        _call(address)
        ray.init(
            address or "local",
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise RefusedError(f"--address {address}: no Ray cluster answers there ({one_line(error)})") from error
    except SystemExit as error:  # Ray's way out where another server answers
        raise RefusedError(f"--address {address}: no Ray cluster answers there") from error
    try:
        with suppress(ValueError):  # only the main thread has handlers, and only there Ray changed them
            for number, handler in heard.items():
                signal.signal(number, handler)
        yield ray
    finally:
        ray.shutdown()


def _call(address: str) -> None:
    """See whether anybody answers, where an address has a port: Ray would try for minutes. Raises OSError."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), ANSWERING).close()


def _receipt(ray: Any, reference: Any, shard: PlannedShard) -> ShardReceipt:
    """The receipt of a task that has ended; raises what it raised."""
    try:
        receipt = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        lost = f"whoever made it was lost {LOST + 1} times ({one_line(error)})"
        raise RefusedError(f"{shard.name}: {lost}; published shards are kept") from error
    assert isinstance(receipt, ShardReceipt)
    return receipt


def _call_off(ray: Any, running: Sequence[Any]) -> None:
    """End tasks, and wait for that: they write into the folder."""
    for reference in running:
        ray.cancel(reference, force=True)
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=ENDING)
