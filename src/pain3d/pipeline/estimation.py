"""Knows about how much disk and time a plan will take, from figures measured once; for ``--dry-run`` only."""

from __future__ import annotations

import os
from typing import TypedDict

from pain3d.pipeline.plan import Plan, images_per_identity
from pain3d.records import SPLITS, dense_names

# Measured at 512 x 512, quality 95, on two cores; an image counts about twice on disk (frames and pairs).
BYTES_PER_IMAGE = 130_000
IMAGES_PER_CORE_SECOND = 35.0
BYTES_WITHOUT = 1_960  # of an image that isn't stored: its rows, and what stands beside 800 of them
BYTES_OF_DENSE = {"depth": 90_000, "parts": 3_000}  # of 12 pictures of three people: 75 to 93 kB, and 2.6 to 2.7
START_UP_SECONDS = 3.0  # torch, the kernels and the maps of the head
MEASURED_PIXELS = 512 * 512


class Estimate(TypedDict):
    """What a plan would make, and about what it would take on this machine."""

    images: int
    identities: dict[str, int]
    shards: int
    bytes: int
    seconds: float
    rate: float


def estimate(plan: Plan) -> Estimate:
    """Scale the measured figures to a plan: by pixels, images and cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = plan.config.size**2 / MEASURED_PIXELS
    rate = IMAGES_PER_CORE_SECOND / max(share, 0.05)  # a tiny image still has a mesh to move
    workers = min(cores, plan.images // images_per_identity(plan.config))
    each = BYTES_PER_IMAGE + sum(BYTES_OF_DENSE[name] for name in dense_names(plan.config.dense))
    return {
        "images": plan.images,
        "identities": {split: len(plan.identities_of(split)) for split in SPLITS},
        "shards": len(plan.shards),
        "bytes": int(plan.images * (each * max(share, 0.02) if plan.config.pictures else BYTES_WITHOUT)),
        "seconds": round(START_UP_SECONDS + plan.images / rate / workers, 1),
        "rate": round(rate, 1),
    }
