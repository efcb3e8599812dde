"""Knows the case `texture`: photographs of a person to an albedo, five views a texture, no time for the painter.

The painter hands back pictures that were rendered before the clock starts: the engine's, of another skin than the one
that is asked for. That skin's albedo is the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.delit import people_of
from benchmarks.implementation import Implementation, Round
from benchmarks.sampled import shared
from benchmarks.workload import PersonSet, Size, Workload
from pain3d import Head, paint, render, surface, surface_maps
from pain3d.light import Light
from pain3d.pipeline.texture.assemble import make_texture
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.painter import Blend, Prompt
from pain3d.pipeline.texture.views import see, standard_cameras
from pain3d.skin.compose import SCATTER
from pain3d.skin.photographed import photographable

SETS, VIEWS = 2, 5
BARE = 0.9  # scatter from which on a texel is skin: hair and cloth are painted otherwise by gloss
# Of the true albedo's mean: root mean square over the skin of the face. Light is found to 6 % of what it does to
# pictures in the median (`benchmarks.delit`), and detail is lost at 128 texels a side, where the tests look.
TOLERANCE = 0.15


class Photographer:
    """A painter that hands back what it was given; other sizes and views it does not know."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures = pictures

    def paint(self, conditions: Conditions, prompt: Prompt, seed: int, blend: Blend | None = None) -> Tensor:
        """The pictures."""
        return self.pictures


def photographed(head: Head, number: int, pixels: int, size: int, views: int = VIEWS) -> PersonSet:
    """Person `number` of `benchmarks.delit`, pictured in the other skin under a studio's light."""
    who, asked, other = people_of(number, head)
    cameras = standard_cameras(views, pixels)
    mesh = see(head, who, surface(head, asked), cameras).mesh
    light, wall = Light.preset("studio", azimuth_degrees=-20), torch.full((1, 1, 1, 3), 0.4)
    texture = paint(surface_maps(head, size), other)[None]
    shot = render(mesh, cameras, light=light, texture=texture, background=wall, image_dtype="float32").image
    assert shot is not None
    return PersonSet(who, asked, shot)


def texture_workload(size: Size, device: str = "cpu") -> Workload:
    """Inputs of the case: one person a round, a texture of `size.side` texels a side, views three quarters of that."""
    head = Head.default()
    ring = tuple(photographed(head, number, size.side * 3 // 4, size.side) for number in range(SETS))
    return Workload("texture", size, device, shared(device, 0), ring)


def true_albedo(workload: Workload) -> Tensor:
    """[S, S, 3] of the skin that was photographed for set 0, 0 where the face is not bare skin."""
    head, size = Head.default(), workload.size.side
    maps = surface_maps(head, size)
    truth = paint(maps, people_of(0, head)[2])
    face = torch.from_numpy(photographable(maps) & maps.covered & (maps.z > 20) & (maps.y > -60) & (maps.y < 60))
    return truth[..., :3] * (face & (truth[..., SCATTER] > BARE))[..., None]


def compare_albedo(truth: Tensor, given: Tensor) -> tuple[bool, str]:
    """Whether a round's albedo is that of the skin that was photographed, and what was seen."""
    if given.shape != truth.shape:
        return False, f"the albedo is {list(given.shape)}, not {list(truth.shape)}"
    there = truth.amax(-1) > 0
    off = float((given[there] - truth[there]).square().mean().sqrt() / truth[there].mean())
    return off <= TOLERANCE, f"albedo of the face within {off:.1%}, root mean square"


@dataclass
class TextureMaker:
    """`make_texture` where the head is."""

    name: str = "make_texture"
    note: str = "numba, torch and OpenCV"
    cases: Sequence[str] = ("texture",)
    ours: bool = True
    antialiased: bool | None = None
    slow: bool = False

    def why_not(self, device: str) -> str | None:
        """It works on the CPU."""
        return None if device == "cpu" else "runs on the CPU only"

    def start(self, case: str, workload: Workload) -> Round:
        """Draw the maps, which all people share, and keep memory as the command does."""
        from pain3d.pipeline.workers import PAINTING, keep_memory  # here: it loads tyro, which a bare GPU machine lacks

        keep_memory()
        head, side = Head.default(), workload.size.side
        surface_maps(head, side)

        def run(number: int) -> Mapping[str, Any]:
            person: PersonSet = workload.ring[number]
            with PAINTING:  # as the commands do
                made = make_texture(
                    head, (person.who, person.skin), Photographer(person.pictures), Prompt("", ""), 0,
                    views=VIEWS, view_size=person.pictures.shape[1], size=side,
                )  # fmt: skip
            return {"albedo": made.albedo}

        return run

    def close(self) -> None:
        """Nothing was taken."""


TEXTURE_MAKERS: tuple[Implementation, ...] = (TextureMaker(),)
