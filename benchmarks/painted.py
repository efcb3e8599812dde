"""Knows the case `paint`: who is painted, by whom, and whether it is the same skin."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import Any

from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.sampled import SEED, shared
from benchmarks.workload import Size, SkinSet, Workload
from pain3d import Head, sample_skin, surface_maps
from pain3d.skin.painting import paint_people

SETS = 2  # a texture of 1024 texels a side has 90 MB with its levels: no cache holds one
FEW = 2  # people who are compared
LEVEL = 1 / 255
SAME = 0.99  # share of a device's entries within a level of the CPU's: strokes round otherwise at their edges


def paint_workload(size: Size, device: str = "cpu", *, seed: int = SEED) -> Workload:
    """Inputs of the case paint: `size.batch` people, textures of `size.side` texels a side."""
    head = Head.default()

    def person(number: int) -> Any:
        who = head.sample_identity(seed, number)
        return sample_skin(seed, number, age=who.age, sex=who.sex, ancestry=who.ancestry)

    ring = tuple(
        SkinSet(tuple(person(number) for number in range(start, start + size.batch)))
        for start in range(0, SETS * size.batch, size.batch)
    )
    return Workload("paint", size, device, shared(device, 0), ring)


def true_texels(workload: Workload) -> Tensor:
    """What the CPU paints for the first few people of set 0: it is the definition."""
    return paint_people(surface_maps(Head.default(), workload.size.side), workload.ring[0].skins[:FEW], "cpu").texels


def compare_texels(truth: Tensor, texels: Tensor) -> tuple[bool, str]:
    """Whether a round's textures are the CPU's, and what was seen."""
    given = texels[: len(truth)].cpu()
    if given.shape != truth.shape:
        return False, f"textures are {list(given.shape)}, not {list(truth.shape)}"
    share = ((given.float() - truth.float()).abs() <= LEVEL).double().mean().item()
    return share >= SAME, f"{share:.3%} of texels within 1/255"


@dataclass
class Painter:
    """`paint_people` on a device."""

    name: str
    kind: str  # of device
    note: str
    cases: Sequence[str] = ("paint",)
    ours: bool = True
    antialiased: bool | None = None
    slow: bool = False
    drawers: ProcessPoolExecutor | None = None

    def why_not(self, device: str) -> str | None:
        """Which device it is for."""
        if device == self.kind:
            return None
        return "no CUDA device" if self.kind == "cuda" else "runs on the CPU only"

    def start(self, case: str, workload: Workload) -> Round:
        """Build the maps of the head, which all people share; beside a GPU processes draw the next round's sketches."""
        from pain3d.skin.sketch import draw_sketch

        maps = surface_maps(Head.default(), workload.size.side)
        if self.kind == "cpu":
            return lambda number: {"texels": paint_people(maps, workload.ring[number].skins, "cpu").texels}
        draw, drawers = partial(draw_sketch, maps.board()), ProcessPoolExecutor(os.cpu_count(), get_context("spawn"))
        self.drawers, drawn = drawers, {}

        def run(number: int) -> Mapping[str, Tensor]:
            for later in (number, (number + 1) % len(workload.ring)):
                if later not in drawn:
                    drawn[later] = drawers.map(draw, workload.ring[later].skins, chunksize=2)
            sketches = list(drawn.pop(number))
            return {"texels": paint_people(maps, workload.ring[number].skins, workload.device, sketches).texels}

        return run

    def close(self) -> None:
        """End the processes."""
        if self.drawers is not None:
            self.drawers.shutdown(cancel_futures=True)


PAINTERS: tuple[Implementation, ...] = (
    Painter("paint_people", "cpu", "NumPy and OpenCV, one person after the other"),
    Painter("paint_people cuda", "cuda", "on the device, many people at a time; processes on all cores draw strokes"),
)
