"""Knows how many rows a second are read of a data set without pictures, beside those of the same set with; by hand.

    export PYTHONPATH=src
    python -m benchmarks.unstored WORK --identities 24 --size 224

Both data sets are made in WORK unless they are there. Each is then read once through the door of `pain3d train`, face
by face in the order of its rows, on the threads that training has: of the one a JPEG is decoded, of the other a person
is painted and rendered, encoded and decoded. The first people of another opening don't count: they load compiled
kernels. That the crops are equal is seen in the same run.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise
from pain3d.training.data import open_data
from pain3d.training.data.store import CropStore

NAMES = {True: "stored", False: "unstored"}  # folders of the sets, by whether they have pictures
WARM_UP = 2  # people


def folder_bytes(folder: Path) -> int:
    """Of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def read(folder: Path, people: int, side: int, batch: int) -> tuple[int, float, str]:
    """Read a data set once: rows, seconds, and a hash of all crops.

    Args:
        folder: Of the data set.
        people: Of how many of its people; 0 is all.
        side: Pixels a side of a crop.
        batch: Rows that are asked for together.
    """
    samples = open_data(folder)
    store = CropStore(samples, side, cache_mb=0)
    rows = np.arange(len(samples))
    if people:
        rows = rows[np.isin(samples.subject, np.unique(samples.subject)[:people])]
    digest, started = hashlib.sha256(), time.perf_counter()
    for start in range(0, len(rows), batch):
        digest.update(store.images(rows[start : start + batch]).tobytes())
    return len(rows), time.perf_counter() - started, digest.hexdigest()


def main() -> None:
    """Read the command line, make what is missing, measure, print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    for name, number in (("identities", 24), ("expressions", 10), ("views", 3), ("size", 224), ("batch", 132)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asked = parser.parse_args()
    config = SynthConfig(
        identities=asked.identities, expressions=asked.expressions, views=asked.views, size=asked.size, device="cpu"
    )
    for pictures, name in NAMES.items():
        synthesise(replace(config, pictures=pictures), asked.work / name)
    torch.set_num_threads(1)  # each of the threads that read has one, as in a run that makes data
    rates, hashes, each = [], set(), []
    for name in NAMES.values():
        read(asked.work / name, WARM_UP, asked.size, asked.batch)
        rows, seconds, digest = read(asked.work / name, 0, asked.size, asked.batch)
        rates.append(rows / seconds)
        hashes.add(digest)
        each.append(folder_bytes(asked.work / name) / rows)
    if len(hashes) > 1:
        raise SystemExit("the crops of the two sets differ")
    print(
        f"{rows} rows at {asked.size}²: {rates[1]:.1f} a second rendered, {rates[0]:.0f} decoded, a ratio of 1 to "
        f"{rates[0] / rates[1]:.1f}; {each[1]:.0f} bytes a row on disk, {each[0]:.0f} with pictures; crops are equal"
    )


if __name__ == "__main__":
    main()
