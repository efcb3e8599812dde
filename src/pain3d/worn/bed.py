"""Knows the bed that a head lies in: a pillow with a dent and folds, sheet, and what covers the chest, behind the head.

From no camera at a bed does any of it hide the face, so it is laid over the background, as a height over the plane of
the bed, before the head is drawn. What the head takes from it of sky and key light is told by two ellipsoids, head and
chest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.kernels import overlay
from pain3d.kernels.layering import build_layer_mipmaps
from pain3d.light import Light
from pain3d.random import keyed_generator

Floats = npt.NDArray[np.float64]
Narrow = npt.NDArray[np.float32]
COLUMNS, ROWS = 92, 96  # of the grid, closer together around the head: 5 mm
HALF_WIDTH, FOOT, TOP = 470.0, -420.0, 430.0  # mm: of the mattress, and where the grid ends
MATTRESS = -122.0  # mm: height of the sheet, at the back of the shoulders
PILLOW = (0.0, 118.0, 335.0, 222.0)  # mm: middle across and up, half width, half length
CROWN = (-52.0, -38.0)  # mm: how high a pillow stands where nothing presses it
DENT, DENT_REACH = 20.0, 62.0  # mm that the head lies in it; how far around it gives
CREASES, SHARP = 26, 16  # long soft ones and short sharp ones
COVERED, COVER_FALL = -212.0, 26.0  # mm of height from which blanket and sheet lie on the chest
LINEN = ((0.78, 0.79, 0.80), (0.80, 0.78, 0.73), (0.55, 0.65, 0.74), (0.60, 0.70, 0.64), (0.74, 0.70, 0.76))  # linear
BLANKETS = ((0.20, 0.33, 0.48), (0.52, 0.60, 0.58), (0.62, 0.55, 0.40), (0.72, 0.73, 0.73), (0.28, 0.40, 0.36))
HEAD = ((0.0, 22.0, 8.0), (80.0, 118.0, 100.0))  # mm: middle and half axes of what casts the head's shadow
CHEST = ((0.0, -215.0, -40.0), (235.0, 85.0, 85.0))
CLOSED = 0.16  # share of the sky that the pillow sees right below the head
TOUCH, TOUCH_REACH = 0.5, 16.0  # share that is lost where head and pillow meet, over mm
EDGE = 0.75  # pixels of blur, of a picture half as fine
SOFT = 0.3  # rad: by how much the size of a lamp blurs its shadow


class Bed(NamedTuple):
    """One person's bed, V vertices, float32.

    Attributes:
        points: [V, 3] metres.
        normals: [V, 3].
        tint: [V, 3] linear.
        occlusion: [V] 0–1.
        faces: [F, 3].
    """

    points: Narrow
    normals: Narrow
    tint: Narrow
    occlusion: Narrow
    faces: npt.NDArray[np.int64]


def make_bed(seed: int, number: int, vertices: Tensor) -> Bed:
    """The bed of one person by key, the dent where the back of the head lies.

    Args:
        seed: The data set's.
        number: Of the identity.
        vertices: [V, 3] metres, the neutral head.
    """
    generator = keyed_generator(seed, "worn/bed", number)
    points = vertices.double().numpy() * 1000
    skull = points[points[:, 1] > 0]
    back = float(skull[:, 2].min())
    middle, half = (skull[:, 0].mean(), 38.0), (np.abs(skull[:, 0]).max() - 8.0, float(skull[:, 1].max()) - 50.0)
    x, y = _axis(COLUMNS, -HALF_WIDTH, HALF_WIDTH, 0.0), _axis(ROWS, FOOT, TOP, 20.0)
    across, up = np.meshgrid(x, y)
    # How far outside the outline of the head, mm: its ellipse grown.
    shape = np.hypot((across - middle[0]) / half[0], (up - middle[1]) / half[1])
    outside = np.maximum(shape - 1, 0) * (half[0] + half[1]) / 2
    height, pillow = _pillow(across, up, outside, back, generator)
    chest = _covers(across, up, generator)
    z = np.maximum(height, chest)
    places = np.stack([across, up, z], -1)
    normals = np.cross(np.gradient(places, x, axis=1), np.gradient(places, y, axis=0))
    normals /= np.sqrt((normals**2).sum(-1, keepdims=True))
    case, sheet = (np.array(LINEN[int(generator.integers(len(LINEN)))]) for _ in range(2))
    blanket = np.array(BLANKETS[int(generator.integers(len(BLANKETS)))])
    on_chest = (chest >= height).astype(np.float64)
    tint = case * pillow[..., None] + sheet * (1 - pillow)[..., None]
    folded = np.clip((COVERED - 58.0 - up) / 2.0 + 0.5, 0, 1)[..., None]
    tint = tint + on_chest[..., None] * (sheet * (1 - folded) + blanket * folded - tint)
    number_of = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b, c, d = number_of[:-1, :-1], number_of[:-1, 1:], number_of[1:, :-1], number_of[1:, 1:]
    faces = np.stack([a, b, c, b, d, c], -1).reshape(-1, 3)
    flat = places.reshape(-1, 3)
    occlusion = _sky(flat, _around(z)) * (1 - TOUCH * np.exp(-outside.reshape(-1) / TOUCH_REACH))
    return Bed(
        np.asarray(flat * 1e-3, np.float32),
        np.asarray(normals.reshape(-1, 3), np.float32),
        np.asarray(tint.reshape(-1, 3), np.float32),
        np.asarray(occlusion, np.float32),
        faces,
    )


def _axis(count: int, low: float, high: float, middle: float) -> Floats:
    """Places from low to high, closest together at the middle."""
    t = np.linspace(-1, 1, count)
    bent = 0.42 * t + 0.58 * t**3
    return np.where(t < 0, middle + (middle - low) * bent, middle + (high - middle) * bent)


def _pillow(
    across: Floats, up: Floats, outside: Floats, back: float, generator: np.random.Generator
) -> tuple[Floats, Floats]:
    """Height of pillow and sheet, and how much of a place is the pillow's."""
    x0, y0, wide, long = PILLOW
    tilt = np.radians(generator.normal(0, 2.5))
    x, y = across - x0 - generator.normal(0, 8), up - y0
    u, v = (np.cos(tilt) * x + np.sin(tilt) * y) / wide, (np.cos(tilt) * y - np.sin(tilt) * x) / long
    # A cushion: corners reach out and its sides are drawn in.
    u, v = u * (1 + 0.07 * (1 - np.minimum(v**2, 1))), v * (1 + 0.09 * (1 - np.minimum(u**2, 1)))
    edge = np.minimum(1 - np.abs(u), 1 - np.abs(v))
    swell = np.clip(1 - np.abs(u) ** 3.2, 0, 1) ** 0.55 * np.clip(1 - np.abs(v) ** 3.2, 0, 1) ** 0.55
    crown = generator.uniform(*CROWN)
    free = crown - MATTRESS
    lies = back + DENT - MATTRESS - 12.0  # height of the case below the head's outline
    give = np.exp(-outside / DENT_REACH)
    height = free * swell * (1 - give) + np.minimum(free * swell, lies) * give
    height += swell * (_creases(across, up, outside, generator) + _billows(across, up, generator))
    inside = np.clip(edge / 0.012, 0, 1)
    sheet = _sheet(across, up, generator)
    return MATTRESS + np.where(edge > 0, np.maximum(height, 0), 0) * inside + sheet * (1 - inside), inside


def _creases(across: Floats, up: Floats, outside: Floats, generator: np.random.Generator) -> Floats:
    """Folds that run out from where the head lies, and others that lie anyhow: mm of height."""
    total = np.zeros_like(across)
    for number in range(CREASES + SHARP):
        sharp = number >= CREASES
        angle = generator.uniform(0, 2 * np.pi)
        start = generator.uniform(0, 30) if not sharp else generator.uniform(5, 120)
        length = generator.uniform(50, 150) if not sharp else generator.uniform(25, 80)
        width = generator.uniform(6, 13) if not sharp else generator.uniform(3.5, 5.5)
        size = generator.uniform(1.2, 4.0) * (1.0 if not sharp else 0.55) * (1 if generator.random() < 0.6 else -0.7)
        lean = generator.normal(0, 0.25 if not sharp else 0.8)
        cx, cy = 76 * np.sin(angle), 38 + 100 * np.cos(angle)
        px, py = cx + start * np.sin(angle), cy + start * np.cos(angle)
        dx, dy = np.sin(angle + lean), np.cos(angle + lean)
        along = (across - px) * dx + (up - py) * dy
        bow = generator.normal(0, 0.0012)
        aside = (across - px) * dy - (up - py) * dx - bow * along**2
        t = np.clip(along / length, 0, 1)
        taper = np.clip(4 * t * (1 - t), 0, 1) ** 0.7
        # A fold leans: steep on one side, long on the other.
        steep = np.where(aside > 0, width * 0.6, width * 1.5)
        total += size * taper * np.exp(-((aside / steep) ** 2))
    return total


def _billows(across: Floats, up: Floats, generator: np.random.Generator) -> Floats:
    total = np.zeros_like(across)
    for _ in range(7):
        kx, ky = generator.normal(0, 1 / 75, 2)
        total += generator.uniform(0.5, 1.7) * np.sin(kx * across + ky * up + generator.uniform(0, 2 * np.pi))
    return total


def _sheet(across: Floats, up: Floats, generator: np.random.Generator) -> Floats:
    total = np.zeros_like(across)
    for _ in range(5):
        angle = generator.uniform(0, np.pi)
        aside = across * np.cos(angle) + up * np.sin(angle) - generator.uniform(-350, 350)
        total += generator.uniform(0.5, 2.0) * np.exp(-((aside / generator.uniform(6, 14)) ** 2))
    return total


def _covers(across: Floats, up: Floats, generator: np.random.Generator) -> Floats:
    """Height of the sheet that is folded over a blanket, on the chest and beyond the sleeves' ends; -inf elsewhere."""
    edge = COVERED + 9 * np.sin(across / 140 + generator.uniform(0, 6)) + generator.normal(0, 4)
    depth = edge - up
    body = 68.0 * np.sqrt(np.clip(1 - (across / 300) ** 2, 0, 1)) + 28 * np.exp(-((across / 120) ** 2))
    body *= 1 - np.exp(-np.maximum(depth + 30, 0) / 40) * 0.4
    folds = 3.0 * np.sin(across / 31 + 0.02 * up + generator.uniform(0, 6)) * np.sin(up / 57 + generator.uniform(0, 6))
    beyond = np.clip((300 - np.abs(across)) / 60, 0, 1)
    height = MATTRESS + 14 + (body + folds) * beyond
    lip = np.clip(depth / COVER_FALL, 0, 1)
    return np.where(depth > 0, MATTRESS + (height - MATTRESS) * np.sqrt(1 - (1 - lip) ** 2), -np.inf)


def _around(z: Floats) -> Floats:
    """How far a place lies below what is around it, mm: folds are darker in their grooves."""
    depth = cv2.GaussianBlur(z, (0, 0), 2.2) - z
    return np.asarray(depth)


def _sky(points: Floats, depth: Floats) -> Floats:
    """Share of the sky [V] that the bed sees beside head and chest."""
    seen = np.ones(len(points))
    for (middle, half), least in ((HEAD, CLOSED), (CHEST, 0.45)):
        offset = (points - np.array(middle)) / np.array(half)
        far = np.sqrt((offset**2).sum(1))
        # A ball of radius 1 at a distance d hides 1/d² of what a plane below it sees, more where it lies on it.
        near = 1 / (1 + np.maximum(far - 0.85, 0.0) ** 1.5 * 4)
        seen *= 1 - (1 - least) * near
    groove = np.clip(depth.reshape(-1) / 7.0, -0.4, 1)
    return np.asarray(seen * (1 - 0.38 * groove) / (1 + 0.38 * 0.4))


def lay_beds(behind: Tensor, beds: Sequence[Bed], camera: Camera, light: Light) -> Tensor:
    """What stands behind heads that lie: the bed over each background, half as fine as the picture, out of focus.

    Args:
        behind: [B, h, w, 3] toned backgrounds, on the CPU.
        beds: B of them.
        camera: B cameras.
        light: B lights, exposed and white-balanced.

    Returns:
        [B, S/2, S/2, 3] toned.

    Gradients: none.
    """
    side = max(camera.size[0] // 2, 8)
    laid = torch.empty(len(behind), side, side, 3)
    tile = build_layer_mipmaps(torch.ones(1, 2, 2, 4))
    clip, position = camera.world_to_clip.float(), camera.position.float()
    for number, bed in enumerate(beds):
        stretched = cv2.resize(behind[number].numpy(), (side, side), interpolation=cv2.INTER_LINEAR)
        count = len(bed.points)
        zeros = torch.zeros(count, 3)
        direction = light.key_direction[number].double().numpy()
        shade = _shadow(bed, direction, _key_share(light, number, direction))
        laid[number] = overlay(
            torch.from_numpy(stretched)[None],
            torch.full((1, side, side), torch.inf),
            torch.from_numpy(bed.points),
            zeros,
            zeros,
            torch.from_numpy(bed.normals),
            torch.from_numpy(bed.tint),
            torch.from_numpy(bed.occlusion * shade),
            torch.zeros(count),
            torch.full((count, 2), 0.5),
            torch.from_numpy(bed.faces),
            torch.zeros(len(bed.faces), dtype=torch.int64),
            torch.tensor([[0, count, 0, len(bed.faces)]]),
            tile,
            clip[number : number + 1],
            position[number : number + 1],
            light.sh[number : number + 1],
            light.key_direction[number : number + 1],
            light.key_colour[number : number + 1],
            exposure=light.exposure[number : number + 1],
        ).colour[0]
        # Cards have no antialiasing of their own, and what lies behind a face in focus is soft.
        laid[number] = torch.from_numpy(cv2.GaussianBlur(laid[number].numpy(), (3, 3), EDGE))
    return laid


def _key_share(light: Light, number: int, direction: Floats) -> float:
    """How much of the light that falls on the bed is the key's."""
    key = float(light.key_colour[number].mean()) * max(float(direction[2]), 0.05)
    sky = float(light.sh[number, 0].mean()) * 0.886  # irradiance of a constant sky: π · 0.282
    return key / max(key + sky, 1e-6)


def _shadow(bed: Bed, direction: Floats, share: float) -> Narrow:
    """What head and chest leave of the light [V]: the key is hidden where a ray to it passes near an ellipsoid."""
    points = bed.points.astype(np.float64) * 1000
    open_to = np.ones(len(points))
    for middle, half in (HEAD, CHEST):
        start = (points - np.array(middle)) / np.array(half)
        ray = direction / np.array(half)
        ray = ray / np.sqrt((ray**2).sum())
        along = np.maximum(-(start @ ray), 0)
        nearest = np.sqrt(((start + along[:, None] * ray) ** 2).sum(1))
        blur = 0.3 + SOFT * along  # wider the farther off what casts it is
        lit = np.clip((nearest - 1) / blur + 0.5, 0, 1)
        open_to *= lit * lit * (3 - 2 * lit)
    return np.asarray(1 - share * (1 - open_to), np.float32)
