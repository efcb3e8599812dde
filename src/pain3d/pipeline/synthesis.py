"""Knows how one planned identity becomes encoded rows; the unit of work, whoever does it and wherever.

The bytes depend on the configuration and the identity's number only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.rows import Provenance, encode_pictures, make_batches

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class EncodedIdentity:
    """The rows of one identity by subset, and the seconds that each stage of making them took."""

    identity_id: int
    images: int
    batches: dict[str, pyarrow.RecordBatch]
    seconds: dict[str, float]


def synthesise_identity(config: SynthConfig, person: PlannedIdentity, provenance: Provenance) -> EncodedIdentity:
    """Sample, render and encode every expression and view of one identity."""
    from pain3d.rendering.frames import render_scenes
    from pain3d.scene import sample_scenes

    head = Head.default()
    started = time.perf_counter()
    scenes = sample_scenes(
        seed=config.seed,
        identity_id=person.identity_id,
        cell=person.cell,
        head=head,
        expressions=config.expressions,
        views=config.views,
        size=config.size,
        law=config.law,
        co_occurring=config.co_occurring,
        asymmetry=config.asymmetry,
        cameras=config.cameras,
        quality=config.quality,
        wrinkles=config.wrinkles,
    )
    sampled = time.perf_counter()
    frames = render_scenes(scenes, head)
    rendered = time.perf_counter()
    pictures = encode_pictures(frames, scenes, config.quality)
    encoded = time.perf_counter()
    batches = make_batches(scenes, frames, pictures, person, provenance)
    seconds = {
        "sample": sampled - started,
        **frames.timings,
        "encode": encoded - rendered,
        "rows": time.perf_counter() - encoded,
    }
    return EncodedIdentity(person.identity_id, len(scenes), batches, seconds)
