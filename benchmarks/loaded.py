"""Knows how many rendered faces a second a `DataLoader` hands on, and whether memory stays where it is; by hand.

    python -m benchmarks.loaded --workers 2 --pictures 1600 --size 224 --per-person 4

The first batches of each worker don't count: they load compiled kernels. Every person is new, and painted in the run.
Beside the rate stands the processor's time a picture, which other work on the machine hardly changes. Memory is what
the process and its workers hold, and their share of what they share (PSS), after a quarter and after all.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from pain3d.data import FaceDataset, SampledScenes

WARM_UP = 4  # batches of each worker


def family() -> list[Path]:
    """This process and those it started, in ``/proc``."""
    mine = os.getpid()
    children = Path(f"/proc/{mine}/task/{mine}/children").read_text().split()
    return [Path("/proc") / process for process in (str(mine), *children)]


def megabytes() -> float:
    """Memory of the family, MB."""
    rolls = [(process / "smaps_rollup").read_text() for process in family()]
    return sum(int(line.split()[1]) for roll in rolls for line in roll.splitlines() if line.startswith("Pss:")) / 1024


def processor_seconds() -> float:
    """Time of the processor that the family took so far, in and out of the kernel."""
    fields = [(process / "stat").read_text().rpartition(")")[2].split() for process in family()]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Read the command line, run, print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, number in (("workers", 2), ("pictures", 1600), ("size", 224), ("per-person", 4), ("batch", 32)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asked = parser.parse_args()
    skipped = WARM_UP * max(asked.workers, 1)
    scenes = SampledScenes(asked.pictures + skipped * asked.batch, size=asked.size, per_person=asked.per_person)
    torch.set_num_threads(1)  # of a run without workers; with them each has one anyway
    loader = DataLoader(FaceDataset(scenes), batch_size=asked.batch, num_workers=asked.workers)
    people: set[int] = set()
    seen, memory = 0, dict[int, float]()
    for number, batch in enumerate(loader):
        if number + 1 < skipped:
            continue
        if number + 1 == skipped:
            started, worked = time.perf_counter(), processor_seconds()
            continue
        seen += len(batch["image"])
        people |= set(batch["person"].tolist())
        if seen == asked.pictures or (not memory and seen >= asked.pictures / 4):
            memory[seen] = megabytes()
            seconds, processor = time.perf_counter() - started, processor_seconds() - worked
    held = ", ".join(f"{size:.0f} MB after {pictures}" for pictures, size in memory.items())
    print(
        f"{seen / seconds:.1f} pictures a second at {asked.size}², {1000 * processor / seen:.1f} ms of a core each; "
        f"{len(people)} people, {asked.workers} workers, batch {asked.batch}; memory {held} pictures"
    )


if __name__ == "__main__":
    main()
