"""Knows the whole of a run: refuse or begin, synthesise, publish shard by shard, describe, finish.

A run that was stopped, however, goes on when it is started again: shards whose manifest line is on the disk are kept,
the rest is made anew, and the bytes are those of a run that was never stopped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.pipeline.config import SynthConfig, config_hash, what_fields
from pain3d.pipeline.folder import DataFolder
from pain3d.pipeline.plan import Plan, images_per_identity, make_plan
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.shard_files import ShardWriter
from pain3d.pipeline.workers import synthesise_all
from pain3d.provenance import code_version, pain3d_version
from pain3d.records import FORMAT_VERSION


@dataclass(frozen=True)
class Receipt:
    """What a run made: ``images`` in all, of which ``new`` by this run, in ``seconds`` of the clock.

    ``stages`` are seconds by stage: start_up, write, report and total of the clock, the rest summed over the workers.
    """

    out: Path
    images: int
    new: int
    seconds: float
    stages: dict[str, float]

    @property
    def images_per_second(self) -> float:
        """Images of this run by its seconds, from start-up to the finished report."""
        return self.new / self.seconds


def device_class(device: str) -> str:
    """Resolve ``auto``, ``cpu`` or ``cuda``. Scenes are rendered on the CPU in this version, so auto is ``cpu``.

    Raises:
        RefusedError: CUDA was asked for.
    """
    if device != "cuda":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        raise RefusedError("--device cuda: scenes are rendered on the CPU in this version")
    raise RefusedError("--device cuda: torch sees no CUDA device here")


def resolve(config: SynthConfig, device: str) -> dict[str, Any]:
    """The flat resolved configuration that a data set carries: what decides its bytes, and their hash."""
    return {
        "pain3d_format": FORMAT_VERSION,
        **what_fields(config),
        "device_class": device,
        "pain3d_version": pain3d_version(),
        "code_version": code_version(),
        "config_hash": config_hash(config, device),
    }


def preview(config: SynthConfig, out: Path) -> Plan:
    """Plan a run and check that its folder may be written, with nothing written.

    Raises:
        RefusedError: The run would be refused.
    """
    DataFolder(out, resolve(config, device_class(config.device))).check()
    return make_plan(config)


def synthesise(config: SynthConfig, out: Path, *, quiet: bool = False, started: float | None = None) -> Receipt:
    """Make a data set.

    Args:
        config: A checked configuration.
        out: Its folder: absent, empty, or holding the unfinished data set of the same configuration.
        quiet: Show no progress.
        started: ``time.perf_counter()`` at which the clock of the receipt starts; now, if left out.

    Returns:
        The receipt.

    Raises:
        RefusedError: The folder or the device can't be used; nothing was written.
        OSError: The disk failed; published shards stay, nothing half-written does.
    """
    started = time.perf_counter() if started is None else started
    stages: dict[str, float] = defaultdict(float)
    resolved = resolve(config, device_class(config.device))
    folder = DataFolder(out, resolved)
    folder.check()
    plan = make_plan(config)
    provenance = Provenance(config.seed, resolved["config_hash"], resolved["pain3d_version"], resolved["code_version"])
    stages["start_up"] = time.perf_counter() - started
    with folder:
        new = _make_shards(plan, folder, provenance, stages, quiet)
        reporting = time.perf_counter()
        from pain3d.pipeline.description import describe

        describe(plan, folder)
        stages["report"] = time.perf_counter() - reporting
    return Receipt(out, plan.images, new, time.perf_counter() - started, dict(stages))


def _make_shards(plan: Plan, folder: DataFolder, provenance: Provenance, stages: dict[str, float], quiet: bool) -> int:
    """Make and publish the shards that are missing; returns the number of new images."""
    missing = [shard for shard in plan.shards if shard.name not in folder.published]
    people = [person for shard in missing for person in shard.identities]
    new = len(people) * images_per_identity(plan.config)
    encoded = synthesise_all(plan.config, people, provenance)
    try:
        with Interruptible() as interruptible, Progress(plan.images, plan.images - new, quiet) as progress:
            for shard in missing:
                with ShardWriter(folder.out, shard) as writer:
                    for _ in shard.identities:
                        interruptible.check()
                        identity = next(encoded)
                        for stage, seconds in identity.seconds.items():
                            stages[stage] += seconds
                        writing = time.perf_counter()
                        writer.write(identity.batches)
                        stages["write"] += time.perf_counter() - writing
                        progress.add(identity.images)
                    writing = time.perf_counter()
                    folder.publish_shard(writer.close())
                    stages["write"] += time.perf_counter() - writing
            interruptible.check()
    finally:
        encoded.close()
    return new
