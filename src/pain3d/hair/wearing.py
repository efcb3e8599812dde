"""Knows how a person wears hair: grown once on the neutral head, then carried along by every expression and pose.

A ribbon is moved as its root is: with the skull, bent towards the shoulders where it hangs below the neck, and by as
much as an expression moves the skin at the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.hair.growing import grow
from pain3d.hair.hull import wrap_hull
from pain3d.hair.ribbons import Ribbons, weave
from pain3d.hair.roots import Roots, scalp_roots
from pain3d.hair.styles import STYLES, worn_style
from pain3d.head.joints import product
from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.skin import surface
from pain3d.skin.appearance import Skin
from pain3d.skin.hair import CROWN, crown_radius
from pain3d.skin.hairline import hair_outline, outline_distance
from pain3d.skin.shell import growth
from pain3d.skin.smooth_step import ramp

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
FULL_SIZE = 512  # pixels a side from which on all ribbons are drawn
FEWEST = 0.35  # share of the ribbons that the smallest picture has
SHOULDERS = (-40.0, -150.0)  # mm of height over which hanging hair comes to follow the shoulders
RESTS = 0.7  # how much it follows them at most
# Places on the template, mm, whose nearest vertices tell how skull and shoulders stand: no expression moves them.
SKULL = ((0.0, 140.0, -20.0), (70.0, 70.0, -30.0), (-70.0, 70.0, -30.0))
TORSO = ((0.0, -190.0, -115.0), (200.0, -170.0, -40.0), (-200.0, -170.0, -40.0))


class Hair(NamedTuple):
    """One person's hair on the neutral head: N ribbons of P rows each, R = N * P rows in all, metres.

    Attributes:
        points: [R, 3] the middle of a row.
        sides: [R, 3] from there to its right vertex.
        tangents: [R, 3] unit, from root to tip.
        normals: [R, 3] unit, outward of the head.
        tint: [R, 3] linear.
        occlusion: [R] 0–1.
        gloss: [R].
        uvs: [R, 2, 2] of the left and the right vertex.
        rests: [R] how much a row follows the shoulders instead of the skull.
        tile: [N] of `paint_cards`.
        corners: [N, 3] vertices of the face that each grows from.
        shares: [N, 3] barycentric.
        anchors: [N, 3] where that place lies on the neutral head.
        frames: [2, 3, 3] three vertices each of skull and torso of the neutral head.
    """

    points: Floats
    sides: Floats
    tangents: Floats
    normals: Floats
    tint: Floats
    occlusion: Floats
    gloss: Floats
    uvs: Floats
    rests: Floats
    tile: Whole
    corners: Whole
    shares: Floats
    anchors: Floats
    frames: Floats


def scalp_of(skin: Skin) -> Skin:
    """The person as painted below the ribbons: without the strands that they take the place of."""
    return replace(skin, hair_style=STYLES[worn_style(skin)].painted)


def haired_surface(head: Head, skin: Skin) -> Surface:
    """The surface of a person who wears ribbons (`pain3d.surface`): a low shell below them, ears laid where covered."""
    style, scalp = STYLES[worn_style(skin)], scalp_of(skin)
    bare = surface(head, scalp)
    cover = torch.full_like(bare.depth, float(style.covers))
    return replace(bare, growth=growth(head, scalp, style.core), cover=cover)


def dress(head: Head, skin: Skin, identity: Tensor, worn: Surface, size: int = FULL_SIZE) -> Hair:
    """Grow a person's hair, on the CPU; the same bytes whoever else is grown.

    Args:
        head: On the CPU.
        skin: Who.
        identity: [1, S] coefficients.
        worn: Of `haired_surface`.
        size: Pixels a side of the pictures: small ones need fewer, wider ribbons.

    Gradients: none.
    """
    style, scalp = STYLES[worn_style(skin)], scalp_of(skin)
    roots = scalp_roots(head)
    with torch.no_grad():
        still = head(identity, surface=worn).vertices[0].double().numpy() * 1000
    skull = still.copy()
    if not style.covers:
        ears, offset = head.laid_ears()
        skull[ears.numpy()] += offset.double().numpy() * 1000
    places = placed(still, roots.corners, roots.shares)
    distance = outline_distance(roots.places, hair_outline(scalp))
    bald = crown_radius(scalp)
    if bald > 0:
        distance = np.minimum(distance, np.sqrt(((roots.places - np.array(CROWN)) ** 2).sum(1)) - bald)
    share = min(1.0, max(FEWEST, size / FULL_SIZE))
    generator = skin.generator("hair/strands")
    strands = grow(style, wrap_hull(head, skull), roots, places, distance, generator, share)
    ribbons = weave(strands, style, skin, generator, share**-0.5)
    return _on_head(ribbons, roots, still, places, frame_vertices(head))


def _on_head(
    ribbons: Ribbons, roots: Roots, still: npt.NDArray[np.float64], places: npt.NDArray[np.float64], frame: Whole
) -> Hair:
    count, rows = ribbons.points.shape[:2]

    def flat(field: npt.NDArray[np.float64], scale: float = 1.0) -> Floats:
        return np.asarray(field.reshape(count * rows, *field.shape[2:]) * scale, np.float32)

    v = np.broadcast_to(np.linspace(0, 1, rows), (count, rows))
    u = np.broadcast_to(ribbons.flipped[:, None], (count, rows)).astype(np.float64)
    return Hair(
        points=flat(ribbons.points, 1e-3),
        sides=flat(ribbons.sides, 1e-3),
        tangents=flat(ribbons.tangents),
        normals=flat(ribbons.normals),
        tint=flat(ribbons.tint),
        occlusion=flat(ribbons.occlusion),
        gloss=flat(np.broadcast_to(ribbons.gloss[:, None], (count, rows))),
        uvs=flat(np.stack([np.stack([u, v], -1), np.stack([1 - u, v], -1)], 2)),
        rests=flat(RESTS * (1 - ramp(ribbons.points[..., 1], SHOULDERS[1], SHOULDERS[0]))),
        tile=ribbons.tile,
        corners=roots.corners[ribbons.root],
        shares=roots.shares[ribbons.root].astype(np.float32),
        anchors=(places[ribbons.root] * 1e-3).astype(np.float32),
        frames=(still[frame] * 1e-3).astype(np.float32),
    )


def strip_faces(count: int, rows: int) -> Whole:
    """Faces [N * (P - 1) * 2, 3] of N ribbons of P rows, whose vertices are numbered left, right, row after row."""
    first = (np.arange(count)[:, None] * rows + np.arange(rows - 1)[None]).reshape(-1, 1) * 2
    return np.asarray((first[..., None] + np.array([[0, 1, 2], [1, 3, 2]])).reshape(-1, 3))


def placed(
    vertices: npt.NDArray[np.float64], corners: Whole, shares: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Places [N, 3] on faces, summed from the first corner to the last."""
    first, second, third = (vertices[corners[:, k]] * shares[:, k : k + 1] for k in range(3))
    return np.asarray(first + second + third)


@lru_cache(maxsize=4)
def frame_vertices(head: Head) -> Whole:
    """[2, 3] of skull and torso."""
    points = head.template.detach().cpu().double().numpy() * 1000
    wanted = np.array([SKULL, TORSO])
    return np.asarray(((points - wanted[:, :, None]) ** 2).sum(-1).argmin(-1))


def on_device(hair: NamedTuple, device: torch.device | str) -> dict[str, Tensor]:
    """A person's hair, or what lies on it, as tensors by the names of its fields."""
    return {name: torch.from_numpy(field).to(device) for name, field in hair._asdict().items()}


def carry(hair: Mapping[str, Tensor], head: Head, vertices: Tensor) -> dict[str, Tensor]:
    """The hair of one person on one posed head.

    Args:
        hair: Of `on_device`, that of the head.
        head: Whose.
        vertices: [V, 3] metres, of the same person and surface, in any expression and pose.

    Returns:
        vertices, sides, tangents and normals [2 * R, 3], left and right of each row in turn.
    """
    frame = torch.from_numpy(frame_vertices(head)).to(vertices.device)
    turns, shifts = _rigid(hair["frames"], vertices[frame])
    first, second, third = (vertices[hair["corners"][:, k]] * hair["shares"][:, k : k + 1] for k in range(3))
    moved = first + second + third - (_turned(turns[0], hair["anchors"]) + shifts[0])
    rows = len(hair["points"]) // len(moved)
    rests = hair["rests"][:, None]
    stays = rests.device.type == "cpu" and not bool(rests.any())  # short hair: the same values with half of the turns

    def both(name: str) -> Tensor:
        on_skull = _turned(turns[0], hair[name])
        return on_skull if stays else on_skull * (1 - rests) + _turned(turns[1], hair[name]) * rests

    shift = shifts[0] if stays else shifts[0] * (1 - rests) + shifts[1] * rests
    along = moved.repeat_interleave(rows, 0)
    points = both("points") + shift + (along if stays else along * (1 - rests))
    sides, tangents, normals = both("sides"), both("tangents"), both("normals")
    return {
        "vertices": torch.stack([points - sides, points + sides], 1).reshape(-1, 3),
        "sides": torch.stack([-sides, sides], 1).reshape(-1, 3),
        "tangents": tangents.repeat_interleave(2, 0),
        "normals": normals.repeat_interleave(2, 0),
    }


def _rigid(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations [K, 3, 3] and shifts [K, 3] that bring triples of points [K, 3, 3] from one place to another."""
    turn = product(_axes(after), _axes(before).transpose(1, 2))
    return turn, after[:, 0] - product(turn, before[:, 0, :, None])[..., 0]


def _axes(points: Tensor) -> Tensor:
    first = points[:, 1] - points[:, 0]
    first = first / first.square().sum(-1, keepdim=True).sqrt()
    third = torch.linalg.cross(first, points[:, 2] - points[:, 0])
    third = third / third.square().sum(-1, keepdim=True).sqrt()
    return torch.stack([first, torch.linalg.cross(third, first), third], -1)


def _turned(turn: Tensor, vectors: Tensor) -> Tensor:
    """Vectors [R, 3] turned by [3, 3], summed in order."""
    x, y, z = vectors[:, :1], vectors[:, 1:2], vectors[:, 2:]
    return x * turn[:, 0] + y * turn[:, 1] + z * turn[:, 2]
