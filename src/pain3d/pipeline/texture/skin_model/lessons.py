"""Knows what the small skin model is taught with: skins, what views see, and what a step draws of both by key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.pipeline.texture.skin_model.grid import SIDE, dressed, numbers_of, reduced, tone_of
from pain3d.pipeline.texture.skin_model.net import NOISES
from pain3d.pipeline.texture.views import DISTANCE, FIELD, TARGET, see, standard_cameras
from pain3d.random import keyed_generator
from pain3d.skin import Skin, paint, surface, surface_maps

PAINTED, PICTURE = 256, 448  # texels of a painted texture, pixels of a view
LOOKED_AT: Final = 64  # people that views look at, at most: the masks of the others are theirs too
LOOSE: Final = 5  # views of any direction of each that is looked at
GRAZING: Final = 0.26  # cosine of the angle from which on a view sees a texel: 75°
BATCH: Final = 8  # people in a step
FROM_NOISE: Final = 0.5  # share of pure noise: completing takes one step from there
GAIN: Final = 0.08  # standard deviation of ln of a colour gain, where something is seen: painters have other whites
Seen = npt.NDArray[np.bool_]


class Person(NamedTuple):
    """A skin as the model sees it: picture [3, 128, 128] uint8, numbers [6], hair and cloth [128, 128] bool."""

    picture: Tensor
    told: Tensor
    worn: Tensor


class Lessons(NamedTuple):
    """All that steps draw from.

    Attributes:
        pictures: [P, 3, 128, 128] uint8.
        told: [P, 6].
        worn: [P, 128, 128] bool, hair and cloth.
        seen: Of `look_at`.
        mirror: [128, 128] columns of the other side.
    """

    pictures: Tensor
    told: Tensor
    worn: Tensor
    seen: Seen
    mirror: npt.NDArray[np.int64]


def person_of(head: Head, who: Identity, skin: Skin, albedo: Tensor | None = None) -> Person:
    """A person of the procedural skin, or of an albedo [256, 256, 3] linear that was painted for it."""
    maps = surface_maps(head, PAINTED)
    base = paint(maps, skin)
    worn = dressed(base, maps)[0] > 0
    if albedo is not None:
        base = torch.cat([albedo, base[..., 3:]], 2)
    picture = torch.round(127.5 * (reduced(base[..., :3].contiguous()) + 1)).to(torch.uint8)
    return Person(picture, numbers_of(who.age, who.sex, who.ancestry, tone_of(base, maps)), worn)


def lessons_of(head: Head, people: Iterable[Person], seen: Seen) -> Lessons:
    """Bundle people and what views see."""
    columns = surface_maps(head, SIDE).mirror[0]
    pictures, told, worn = (torch.stack(part) for part in zip(*people, strict=True))
    return Lessons(pictures, told, worn, seen, columns)


def look_at(head: Head, who: Identity, skin: Skin, seed: int, number: int) -> Seen:
    """What views see [8 + LOOSE, 128, 128] of a person: of three, of five, and loose ones by (seed, number)."""
    grown = surface(head, skin)
    draw = keyed_generator(seed, "skin_model/views", number)
    loose = Camera.orbit(
        draw.uniform(-120, 120, LOOSE).tolist(), draw.uniform(-30, 30, LOOSE).tolist(),
        distance=DISTANCE, fov_degrees=FIELD, target=TARGET, size=PICTURE,
    )  # fmt: skip
    sets = (standard_cameras(3, PICTURE), standard_cameras(5, PICTURE), loose)
    return np.concatenate([_seen_texels(head, who, grown, cameras) for cameras in sets])


def _seen_texels(head: Head, who: Identity, grown: Surface, cameras: Camera) -> Seen:
    """The texels [N, 128, 128] that pixels of N views see at less than 75°."""
    seen = see(head, who, grown, cameras)
    marked = np.zeros((len(cameras), SIDE, SIDE), bool)
    for view in range(len(cameras)):
        where = (seen.face_ids[view] >= 0) & (seen.conditions.normals[view, ..., 2] > GRAZING)
        u, v = seen.uv(view)[0][where].numpy().T
        marked[view, ((1 - v) * SIDE).astype(int).clip(0, SIDE - 1), (u * SIDE).astype(int).clip(0, SIDE - 1)] = True
    return marked


def batch_of(lessons: Lessons, seed: int, step: int, shown: Tensor) -> tuple[Tensor, ...]:
    """Textures, noise, level of noise, mask and numbers of one step, by its key."""
    draw = keyed_generator(seed, "skin_model/step", step)
    chosen = draw.integers(len(lessons.pictures), size=BATCH)
    clean = lessons.pictures[chosen].float() / 127.5 - 1
    masks = np.stack([mask_of(lessons.worn[person].numpy(), lessons.seen, draw) for person in chosen])
    rows = np.arange(SIDE)[:, None]
    for number in np.flatnonzero(draw.random(BATCH) < 0.5):
        clean[number] = clean[number][:, rows, lessons.mirror]
        masks[number] = masks[number, rows, lessons.mirror]
    given = np.asarray(masks.any((1, 2)))[:, None, None, None]
    gain = np.exp(GAIN * draw.standard_normal((BATCH, 3, 1, 1)) * given)
    clean = ((clean + 1) * torch.from_numpy(gain).float() - 1).clamp(-1, 1) * shown
    noise = torch.from_numpy(draw.standard_normal((BATCH, 3, SIDE, SIDE), np.float32))
    level = torch.from_numpy(np.where(draw.random(BATCH) < FROM_NOISE, NOISES - 1, draw.integers(NOISES, size=BATCH)))
    return clean, noise, level, torch.from_numpy(masks[:, None]).float(), lessons.told[chosen]


def mask_of(worn: Seen, seen: Seen, draw: np.random.Generator) -> Seen:
    """What is given of a texture [128, 128]: nothing, hair and cloth, or what some views see."""
    views, kind = seen[draw.integers(len(seen))], draw.random()
    if kind < 0.08:
        return np.zeros((SIDE, SIDE), bool)
    if kind < 0.25:
        return worn.copy()
    if kind < 0.50:
        given = views[0].copy()
    elif kind < 0.80:
        given = (views[:3] if kind < 0.65 else views[3:8]).any(0)
    else:
        given = views[8:][draw.integers(LOOSE, size=2)].any(0)
    for _ in range(draw.integers(4)):  # holes, as hands, glasses and what a painter got wrong leave them
        top, left = draw.integers(-10, SIDE, size=2)
        tall, wide = draw.integers(6, 40, size=2)
        given[max(top, 0) : top + tall, max(left, 0) : left + wide] = False
    return np.asarray(given)
