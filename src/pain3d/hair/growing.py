"""Knows how strands grow: step by step from their roots, combed, falling, lying on each other, gathered in locks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.hair.hull import Floats, Hull
from pain3d.hair.roots import MOST, Roots
from pain3d.hair.styles import Style
from pain3d.hair.tying import TIE, tail, until
from pain3d.skin.smooth_step import ramp

WHORL = (6.0, 128.0, -58.0)  # mm, on the template; mirrored where hair parts on the right
TOP_FROM, TOP_TO = 62.0, 105.0  # mm of height of a root over which the sides become the top
FRONT_FROM, FRONT_TO = 20.0, 65.0  # mm of z over which the top becomes the front
LONG = 100.0  # mm at the sides, from which the lower roots are hidden by the upper ones: fewer are drawn there
LOW_SHARE, LOW_FROM, LOW_TO = 0.2, 20.0, 85.0  # how many of them, and over which heights
BACK_SHARE = 0.4  # likewise of those on top behind the front, where hair is seen from its roots on
SHORTER, LONGER = 0.72, 1.08  # of a strand against its neighbours
AT_EDGE, EDGE_REACH = 0.45, 16.0  # of the length at the hairline, mm over which hair gets its length
THIN_EDGE, THICKENS = 0.4, 20.0  # likewise of the volume
COMB_SPREAD, WAY_SPREAD, UPRIGHT_SPREAD = 0.13, 0.10, 0.55  # standard deviations of directions
HOLD = (-10.0, 45.0)  # mm of height over which hair begins to lie on the skull instead of hanging beside it
NEAR_ROOT = 30.0  # mm along a strand over which it forgets where the hull was at its root
CUT_SPREAD, LOCK_SPREAD = 7.0, 5.0  # mm by which ends of cut hair differ, and locks of it: standard deviations
BROW_SPREAD, FRINGE_SPREAD = 4.0, 4.0  # likewise of a fringe
FACE_WIDTH = 0.78  # tangent of 38 degrees to either side of the front
CLEAR = (0.8, 2.0)  # mm that the lowest strand keeps from what is below it, and what the uppermost adds
BESIDE = 24.0  # mm from a parting
OVER = 6.0  # mm that the nearest begin beyond it, as roots are narrow
ACROSS = np.array([1.0, 0.0, 0.0])
DOWN = np.array([0.0, -1.0, 0.0])
DRAWS = 8  # uniform numbers of a root


class Strands(NamedTuple):
    """N strands of P points.

    Attributes:
        points: [N, P, 3] mm, roots first.
        outward: [N, P, 3] unit, away from the head.
        layer: [N] 0 lies on the skin, 1 on top.
        root: [N] number of its root.
        lock: [N] number of the lock that it belongs to.
        thin: [N] 0–1: 1 inside, less at the hairline.
    """

    points: Floats
    outward: Floats
    layer: Floats
    root: npt.NDArray[np.int64]
    lock: npt.NDArray[np.int64]
    thin: Floats


def grow(
    style: Style,
    hull: Hull,
    roots: Roots,
    places: Floats,
    distance: Floats,
    generator: np.random.Generator,
    share: float = 1.0,
) -> Strands:
    """Let hair grow. What is drawn belongs to a root, whichever others there are.

    Args:
        style: How it is worn.
        hull: The person's skin, and what opaque hair is painted on it.
        roots: Of the head, N of them.
        places: [N, 3] mm where they lie on the person.
        distance: [N] mm of each inside the person's hairline.
        generator: Of the person.
        share: Of the style's ribbons: fewer for small pictures.
    """
    side = 1.0 if generator.random() < 0.5 else -1.0
    uniform, normals = generator.random((MOST, DRAWS)), generator.standard_normal((MOST, 9))
    thin = ramp(distance, *style.edge)
    stays = uniform[: len(places), 0] < thin
    on_top = ramp(roots.places[:, 1], TOP_FROM, TOP_TO)
    front = on_top * ramp(roots.places[:, 2], FRONT_FROM, FRONT_TO)
    if style.length[1] > LONG:
        upper = ramp(roots.places[:, 1], LOW_FROM, LOW_TO) * (BACK_SHARE + (1 - BACK_SHARE) * front)
        stays &= uniform[: len(places), 1] < LOW_SHARE + (1 - LOW_SHARE) * upper
    root = np.flatnonzero(stays)[: max(1, round(style.ribbons * share))]
    places, thin, distance, template = places[root], thin[root], distance[root], roots.places[root]
    uniform, normals = uniform[root], normals[root]
    count, steps = len(root), 2 * style.segments
    layer = uniform[:, 2]
    on_top, front = on_top[root], front[root]
    top, sides, before = style.length
    length = sides + (top - sides) * on_top + (before - top) * front
    length = length * (SHORTER + (LONGER - SHORTER) * uniform[:, 3])
    length = length * (AT_EDGE + (1 - AT_EDGE) * ramp(distance, -2, EDGE_REACH))
    volume = style.volume[1] + (style.volume[0] - style.volume[1]) * on_top
    height = 1.0 + layer * volume * (THIN_EDGE + (1 - THIN_EDGE) * ramp(distance, 0, THICKENS))
    step = (length / steps)[:, None]

    across = np.where(template[:, 0] > side * style.parting, 1.0, -1.0)
    comb = np.array(style.comb_side) + (np.array(style.comb_top) - np.array(style.comb_side)) * on_top[:, None]
    comb = comb * np.stack([across, np.ones(count), np.ones(count)], 1) + COMB_SPREAD * normals[:, :3]
    whorl, tie = np.array(WHORL) * np.array([side, 1, 1]), np.array(TIE)
    upright = style.lift >= 1

    # The hull is coarser than the skin: at a root it is off by so much, and less and less away from it.
    off_by, normal = hull.look(places)
    # Few wide ribbons stand for many hairs: those beside a parting begin on it, for what they leave bare is a stripe.
    beside = template[:, 0] - side * style.parting
    drawn = np.maximum(1 - np.abs(beside) / BESIDE, 0) * max(0.0, style.comb_top[0]) * on_top
    places = places - (drawn * (beside + OVER * across))[:, None] * _flat(ACROSS, normal)
    off, normal = hull.look(places)
    places = places - (off - off_by)[:, None] * normal
    way = unit(_flat(_pull(style, comb, places, whorl, tie), normal)) * (1 - style.lift) + normal * style.lift
    way = unit(way + (UPRIGHT_SPREAD if upright else WAY_SPREAD) * normals[:, 3:6])
    points, outward = np.empty((count, steps + 1, 3)), np.empty((count, steps + 1, 3))
    here: Floats = places
    points[:, 0], outward[:, 0] = here, normal
    for k in range(1, steps + 1):
        done = k / steps
        wanted = normal if upright else unit(_flat(_pull(style, comb, here, whorl, tie), normal))
        fall = style.weight * (1 + done)
        way = unit(style.stiff * way + (1 - style.stiff) * ((1 - 0.7 * fall) * wanted + 2 * fall * DOWN))
        here = here + step * way
        off, normal = hull.look(here)
        if not upright:  # lies down on what is below it, and goes into nothing
            above = off - off_by * np.exp(-done * length / NEAR_ROOT) - height * min(1.0, 3 * done)
            here = here - normal * np.where(above > 0, above * style.hug * ramp(here[:, 1], *HOLD), above)[:, None]
            way = unit(here - points[:, k - 1])
        points[:, k], outward[:, k] = here, normal
    lock = _locks(places, style.locks)
    points = _gathered(style, points, outward, lock, length, uniform, normals)
    off, normal = hull.look(points.reshape(-1, 3))
    t = np.linspace(0, 1, steps + 1)[None]
    free = (CLEAR[0] + CLEAR[1] * layer[:, None]) * np.minimum(1, 4 * t)
    free = free + off_by[:, None] * np.exp(-t * length[:, None] / NEAR_ROOT)
    points = points - normal.reshape(points.shape) * np.minimum(off.reshape(free.shape) - free, 0)[..., None]
    if style.cut is not None:
        points = _cut(points, style.cut + CUT_SPREAD * normals[:, 8] + LOCK_SPREAD * normals[lock, 7])
    points = _off_face(points, style.brow + BROW_SPREAD * normals[:, 8] + FRINGE_SPREAD * normals[lock, 7])
    if style.tie:
        near = ((points - tie) ** 2).sum(-1) < style.tied**2
        points = until(points, np.where(near.any(1), np.maximum(near.argmax(1), 1), steps).astype(np.float64))
    grown = Strands(np.ascontiguousarray(points[:, ::2]), unit(outward[:, ::2]), layer, root, lock, thin)
    if not style.tail[0]:
        return grown
    hanging, away, depth = tail(style.tail, style.segments + 1, hull, generator)
    nearest = np.full(len(depth), ((template - tie) ** 2).sum(1).argmin())
    return Strands(
        np.concatenate([grown.points, hanging]),
        np.concatenate([grown.outward, away]),
        np.concatenate([layer, depth]),
        np.concatenate([root, root[nearest]]),
        np.concatenate([lock, lock[nearest]]),
        np.concatenate([thin, np.ones(len(depth))]),
    )


def _pull(style: Style, comb: Floats, here: Floats, whorl: Floats, tie: Floats) -> Floats:
    way = comb
    if style.whorl:
        way = way + style.whorl * unit(here - whorl)
    if style.tie:
        way = way + style.tie * unit(tie - here)
    return way


def _locks(places: Floats, count: int) -> npt.NDArray[np.int64]:
    """The nearest of the first `count` roots, which are evenly spread."""
    x, y, z = (places[:, None, k] - places[None, :count, k] for k in range(3))
    return np.asarray((x * x + y * y + z * z).argmin(1))


def _gathered(
    style: Style,
    points: Floats,
    outward: Floats,
    lock: npt.NDArray[np.int64],
    length: Floats,
    uniform: Floats,
    normals: Floats,
) -> Floats:
    """Strands that come together in locks towards their tips, wave or curl with them, and stray."""
    t = np.linspace(0, 1, points.shape[1])[None, :, None]
    if style.clump:
        together = style.clump * t**1.2 * (1 - 0.35 * uniform[:, 4, None, None])
        points = points + together * (points[lock] - points)
    tangent = unit(np.gradient(points, axis=1))
    across = unit(np.cross(tangent, outward))
    over = np.cross(across, tangent)
    if style.curl:
        phase = 2 * np.pi * uniform[lock, 5] + 0.35 * normals[:, 6]
        turn = (2 * np.pi / style.pitch * length)[:, None, None] * t + phase[:, None, None]
        wide = style.curl * np.minimum(1, 2.2 * t) * (0.75 + 0.45 * uniform[:, 6, None, None])
        points = points + wide * (np.cos(turn) * across + 0.6 * np.sin(turn) * over)
    bend = style.frizz * t**2
    return points + bend * (normals[:, 6, None, None] * across + normals[:, 7, None, None] * over)


def _off_face(points: Floats, height: Floats) -> Floats:
    """Strands that end above a height [N] where they hang before the face."""
    before = np.abs(points[..., 0]) < FACE_WIDTH * points[..., 2]
    before &= points[..., 1] < height[:, None]
    before[:, 0] = False
    steps = points.shape[1] - 1
    return until(points, np.where(before.any(1), before.argmax(1), steps).astype(np.float64))


def _cut(points: Floats, height: Floats) -> Floats:
    """Strands that end where they first come below a height [N]: their points are spread anew over what is left."""
    steps = points.shape[1] - 1
    below = points[:, :, 1] < height[:, None]
    first = np.maximum(np.where(below.any(1), below.argmax(1), steps), 1)
    rows = np.arange(len(points))
    before, after = points[rows, first - 1, 1], points[rows, first, 1]
    share = np.where(below.any(1), np.clip((before - height) / np.maximum(before - after, 1e-6), 0.05, 1), 1)
    return until(points, first - 1 + share)


def unit(vectors: npt.NDArray[np.floating]) -> Floats:
    """Vectors [..., 3] of length 1."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.asarray(vectors / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-9)[..., None], np.float64)


def _flat(vectors: Floats, normal: Floats) -> Floats:
    return np.asarray(vectors - (vectors * normal).sum(-1, keepdims=True) * normal)
