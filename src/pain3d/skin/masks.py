"""Knows where the regions of a face lie, for everyone: flush, eye sockets, lips, lid margins, ears, beard, shirt."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.random import keyed_generator
from pain3d.skin.maps import Plane, SurfaceMaps
from pain3d.skin.planes import looked_up, smoothstep
from pain3d.skin.strokes import blurred, draw_lines, draw_pieces, fill_outline, smooth_curve

Floats = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.floating]

# Soft ellipses seen from the front: centre (|x|, y), half widths (mm) and weight; the landmarks' template is the scale.
Ellipse = tuple[float, float, float, float, float]
FLUSH: tuple[Ellipse, ...] = (
    (40, -10, 17, 14, 0.9),
    (0, -15, 10, 9, 0.9),
    (8, -18, 8, 7, 0.5),
    (0, -72, 14, 9, 0.4),
    (30, 31, 13, 5, 0.35),
)
SOCKET: tuple[Ellipse, ...] = ((30, 14, 13, 6, 0.8), (21, 17, 6, 8, 0.7), (32, 33, 15, 6, 0.22))
SHINE: tuple[Ellipse, ...] = (
    (0, 66, 34, 20, 0.8),
    (0, 2, 8, 22, 1.0),
    (0, -14, 10, 9, 1.0),
    (38, -2, 12, 10, 0.35),
    (0, -76, 12, 8, 0.4),
)
# Where blood shows more, and less. The order of regions is that of "Analysis of facial vascular pattern characteristics
# in the Korean population" (Skin Research and Technology 2023, doi 10.1111/srt.13344; 198 healthy people): beside the
# nose, nose and cheeks first, around the mouth, neck and temples last. How far they are apart is that of a* in 80
# studio photographs of as many people (docs/faces.md).
RUDDY: tuple[Ellipse, ...] = (  # nose, its wings, chin, upper lids, inner cheeks
    (0, -15, 8, 8, 0.8),
    (0, 9, 6, 13, 1.0),
    (14, -21, 5, 6, 1.0),
    (28, -6, 13, 9, 0.6),
    (0, -74, 10, 6, 0.4),
    (31, 31, 11, 4, 0.5),
    (21, 13, 5, 5, 0.4),
)
SALLOW: tuple[Ellipse, ...] = (  # forehead, around the mouth, temples
    (0, 68, 40, 16, 0.8),
    (24, -48, 12, 18, 0.8),
    (60, 30, 13, 20, 1.0),
)
CORNER: tuple[Ellipse, ...] = ((20.6, 22.4, 2.4, 2.2, 1.0),)
FACING = (10.0, 45.0)  # mm of z between which a point starts to count as facing front
EAR_SIDE, EAR_LOW, EAR_HIGH, EAR_BACK, EAR_FRONT = (
    73.5,
    -26.0,
    37.0,
    -33.0,
    16.0,
)  # mm: the box that only ears reach into

# Lines around the neck: height in front and weight; they rise towards the sides, are so wide (mm, standard deviation)
# and end where the neck turns away (mm of z).
NECK_RINGS = ((-104.0, 0.6), (-117.0, 1.0), (-131.0, 0.7))
RING_RISE, RING_WIDTH, RING_FRONT = 0.008, 1.3, (-35.0, 10.0)

# Of the lids, from the seam, and how dark of 255, outermost first: the edge that lashes grow from and that is seen from
# the front; where they begin among skin it softens.
LASH_RINGS = ((4, 165), (3, 240), (2, 255))
LASH_ENDS = (-0.06, 0.22)  # share of a lid from its corners over which that edge darkens
LOWER_LASHES = 90  # of 255: strength of the lower line
LASH_ROOT = (0.25, 0.75)  # mm from the margin over which the line of roots ends
LASH_SPACING, LASH_LENGTH = (1.0, 0.72), (1.5, 3.2)  # mm, of lower and upper lashes: cards have texels of 0.3 mm
LASH_CORNER = (0.5, 4.5)  # mm from the corners over which lashes begin
LASH_POINTS = 144  # of a lid's margin
LIP_FADE = (3.0, 9.0)  # mm inside the lips over which their colour turns into the mouth's

# Outlines on the unrolled head: degrees from the front, height in mm.
Outline = Sequence[tuple[float, float]]
BEARD: Outline = (
    (0, -26), (8, -25.5), (12, -28), (17, -34), (24, -39), (38, -34), (52, -26), (64, -14), (70, -2), (72, 12),
    (79, 12), (81, -24), (87, -45), (78, -64), (60, -88), (30, -108), (0, -114),
)  # fmt: skip
UNROLLED_MM_PER_DEGREE = 80.0 * np.pi / 180  # the head is a cylinder of about 80 mm
UNROLLED_TOP, UNROLLED_LOW = 170.0, -150.0  # mm
UNROLLED_PIXEL = 1.0  # mm
TINTED = (-4.0, 9.0)  # mm inside the beard's outline over which shaved hair begins to show under the skin
MOUTH_CORNER = (7.0, 5.0)  # mm, across and up
UNROLLED_MARGIN = 40  # pixels beyond both midlines, wider than any soft edge
WHOLE = (slice(None), slice(None))

# The shirt's neckline: a plane that is lower in front, (z, y) in mm, through the pit of the throat and the last neck
# vertebra, bent down outside the neck so that it meets neck and shoulders at an angle.
NECKLINE_FRONT, NECKLINE_BACK = (18.0, -146.0), (-88.0, -120.0)
NECK_AXIS, NECK_RADIUS, NECKLINE_FALL = -33.0, 54.0, 0.9  # mm, mm, mm per mm


def skin_masks(maps: SurfaceMaps) -> dict[str, Floats]:
    """Masks [H, W] by name; see the code for what each means. Distances are in mm and positive inside."""
    facing: Floats = smoothstep(maps.z, *FACING)
    flush, shine = ellipses(maps, FLUSH) * facing + 0.8 * ear(maps), ellipses(maps, SHINE) * facing
    masks = {
        "flush": flush,
        "socket": ellipses(maps, SOCKET) * facing,
        "ruddy": ellipses(maps, RUDDY) * facing,
        "sallow": ellipses(maps, SALLOW) * facing,
        "shine": shine,
        "pored": np.float32(0.25) + np.float32(0.75) * np.maximum(shine, np.float32(0.8) * flush),
        "corner": ellipses(maps, CORNER) * facing,
        "ear": ear(maps),
        "mouth_corner": mouth_corner(maps),
        "beard": unrolled_distance(maps, BEARD),
        "neckline": neckline(maps),
        "neck_ring": neck_rings(maps),
        "facing": facing,
        "lash_root": lash_cards(maps),
        "lip_edge": near_curves(
            maps, "mouth", [np.stack([maps.landmarks[f"ibug_{k}"] for k in range(60, 68)])], LIP_FADE
        ),
    }
    masks |= _drawn(maps)
    masks["tinted"] = smoothstep(masks["beard"], *TINTED) * (1 - masks["lips"])
    return {name: np.ascontiguousarray(mask, np.float32) for name, mask in masks.items()}


def ellipses(maps: SurfaceMaps, shapes: Sequence[Ellipse]) -> Floats:
    """Sum of soft ellipses, at most 1, mirrored left and right."""
    side = np.abs(maps.x)
    total = np.zeros_like(side)
    for across, up, wide, high, weight in shapes:
        squared = ((side - np.float32(across)) / np.float32(wide)) ** 2 + (
            (maps.y - np.float32(up)) / np.float32(high)
        ) ** 2
        total += np.float32(weight) * np.exp(-0.7 * squared)
    return np.asarray(np.minimum(total, 1), np.float32)


def mouth_corner(maps: SurfaceMaps) -> Floats:
    """1 in the corners of the mouth, fading over millimetres: folds there are finer than the mesh, and don't shine."""
    corner = maps.landmarks["ibug_54"]
    across = (np.abs(maps.x) - np.float32(corner[0])) / np.float32(MOUTH_CORNER[0])
    up = (maps.y - np.float32(corner[1])) / np.float32(MOUTH_CORNER[1])
    return np.asarray(np.exp(-(across**2) - up**2) * smoothstep(maps.z, *FACING), np.float32)


def ear(maps: SurfaceMaps) -> Floats:
    """1 on the ears, 0 on the skull, soft at their roots."""
    inside = smoothstep(maps.y, EAR_LOW, EAR_LOW + 3) * (1 - smoothstep(maps.y, EAR_HIGH - 3, EAR_HIGH))
    inside *= smoothstep(maps.z, EAR_BACK, EAR_BACK + 3) * (1 - smoothstep(maps.z, EAR_FRONT - 3, EAR_FRONT))
    return np.asarray(inside * smoothstep(np.abs(maps.x), EAR_SIDE, EAR_SIDE + 2.5), np.float32)


def neck_rings(maps: SurfaceMaps) -> Floats:
    """0–1 on the lines that cross a neck from side to side, for everyone in the same places."""
    height = maps.y - np.float32(RING_RISE) * maps.x * maps.x
    lines = np.zeros_like(height)
    for middle, weight in NECK_RINGS:
        lines += np.float32(weight) * np.exp(-0.5 * ((height - np.float32(middle)) / np.float32(RING_WIDTH)) ** 2)
    return np.asarray(lines * smoothstep(maps.z, *RING_FRONT), np.float32)


def unrolled_distance(maps: SurfaceMaps, outline: Outline) -> Floats:
    """Signed distance (mm, positive inside) of each texel from a mirrored outline on the unrolled head."""
    return np.asarray(distance_on_head(maps, draw_distance(outline), WHOLE), np.float32)


def draw_distance(outline: Outline) -> Floats:
    """Signed distance (mm, positive inside) from a mirrored outline, on the half of the head unrolled to a plane."""
    width, height = 180 * UNROLLED_MM_PER_DEGREE, UNROLLED_TOP - UNROLLED_LOW
    rows, columns = int(height / UNROLLED_PIXEL), int(width / UNROLLED_PIXEL)
    canvas: npt.NDArray[np.uint8] = np.zeros((rows, columns + 2 * UNROLLED_MARGIN), np.uint8)
    points = np.array(outline, np.float32)
    places = np.stack([points[:, 0] * UNROLLED_MM_PER_DEGREE, UNROLLED_TOP - points[:, 1]], 1) / UNROLLED_PIXEL - 0.5
    # The ends lie on the front or back midline, where the mirrored half goes on: no edge there.
    places[points[:, 0] == 0, 0] = -UNROLLED_MARGIN
    places[points[:, 0] == 180, 0] = columns + UNROLLED_MARGIN
    fill_outline(canvas, (places + np.array([UNROLLED_MARGIN, 0])).astype(np.float32), 255)
    inside = cv2.distanceTransform((canvas > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    outside = cv2.distanceTransform((canvas <= 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    signed = (inside - outside) * np.float32(UNROLLED_PIXEL)
    return np.asarray(signed[:, UNROLLED_MARGIN:-UNROLLED_MARGIN], np.float32)


def distance_on_head(maps: SurfaceMaps, unrolled: Plane, box: tuple[slice, slice]) -> Plane:
    """What `draw_distance` gave, at the texels of a box; of many people [K, 1, …] both."""
    across = maps.azimuth[box] * float(np.degrees(1) * UNROLLED_MM_PER_DEGREE / UNROLLED_PIXEL) - 0.5
    down = (UNROLLED_TOP - maps.y[box]) * (1 / UNROLLED_PIXEL) - 0.5
    return looked_up(unrolled, across, down)


def neckline(maps: SurfaceMaps) -> Floats:
    """Height above the shirt's neckline, mm; negative under the shirt."""
    return np.asarray(above_neckline(maps.x, maps.y, maps.z), np.float32)


def above_neckline(x: Numbers, y: Numbers, z: Numbers) -> Numbers:
    """Height in mm of positions in mm above the shirt's neckline."""
    (z_front, y_front), (z_back, y_back) = NECKLINE_FRONT, NECKLINE_BACK
    slope = (y_front - y_back) / (z_front - z_back)
    plane = y_front + slope * (z - z_front)
    outside = np.hypot(x, z - NECK_AXIS) - NECK_RADIUS
    return np.asarray(y - plane - NECKLINE_FALL * outside)


def near_curves(maps: SurfaceMaps, part: str, curves: Sequence[Floats], fade: tuple[float, float]) -> Floats:
    """1 on a part's texels nearer than fade[0] mm to one of the closed curves [K, 3], 0 beyond fade[1]."""
    mask: Floats = np.zeros_like(maps.x)
    if part not in maps.boxes:
        return mask
    box = maps.boxes[part]
    x, y, z = (np.ascontiguousarray(plane[box]) for plane in (maps.x, maps.y, maps.z))
    nearest = np.full(x.shape, np.inf, np.float32)
    for place in np.concatenate([smooth_curve(curve, 112, closed=True) for curve in curves]):
        px, py, pz = place.astype(np.float32)
        np.minimum(nearest, (x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2, out=nearest)
    mask[box] = 1 - smoothstep(np.sqrt(nearest), *fade)
    return mask


def lash_cards(maps: SurfaceMaps) -> Floats:
    """0–1 where lashes are on the cards that stand off the lids: a line of roots, and lashes that taper, one by one.

    They thin out to the corners of the eyes, where the cards end.
    """
    mask: Floats = np.zeros_like(maps.x)
    if "lashes" not in maps.boxes:
        return mask
    box = maps.boxes["lashes"]
    inside = maps.part[box] == maps.part_names.index("lashes")
    places = np.stack([plane[box][inside] for plane in (maps.x, maps.y, maps.z)], 1)
    nearest, along, to_corner, upper = (np.full(len(places), value, np.float32) for value in (np.inf, 0, 0, 0))
    for ring in maps.lid_points:
        curve = smooth_curve(ring[1], LASH_POINTS, closed=True)
        forward = np.roll(curve, -1, 0) - curve
        step = np.linalg.norm(forward, axis=1)
        corners = curve[[int(np.abs(curve[:, 0]).argmin()), int(np.abs(curve[:, 0]).argmax())]]
        away = np.linalg.norm(curve[:, None] - corners, axis=2).min(1)
        squared = sum((places[:, k, None] - curve[:, k]) ** 2 for k in range(3))
        closest = np.asarray(squared).argmin(1)
        distance = np.sqrt(np.take_along_axis(np.asarray(squared), closest[:, None], 1)[:, 0])
        beyond = ((places - curve[closest]) * forward[closest]).sum(1) / step[closest]  # mm past that point
        better = distance < nearest
        for kept, values in (
            (nearest, distance),
            (along, (np.cumsum(step) - step)[closest] + beyond),
            (to_corner, away[closest]),
            (upper, curve[closest, 1] > corners[:, 1].mean()),
        ):
            np.copyto(kept, values, where=better)
    turn = along / (LASH_SPACING[0] + (LASH_SPACING[1] - LASH_SPACING[0]) * upper)
    number = np.floor(turn).astype(np.int64) % 256
    offset, length = keyed_generator(0, "skin/lashes").uniform((-0.2, 0.65), (0.2, 1.1), (256, 2)).T[:, number]
    reach = length * (LASH_LENGTH[0] + (LASH_LENGTH[1] - LASH_LENGTH[0]) * upper)
    half = 0.40 * np.clip(1 - nearest / reach, 0, 1)
    hairs = 1 - smoothstep(np.abs(turn - np.floor(turn) - 0.5 + offset) - half, -0.12, 0.12)
    hairs *= 1 - smoothstep(nearest, 0.85 * reach, reach)
    roots = 1 - smoothstep(nearest, *LASH_ROOT)
    strength = LOWER_LASHES / 255 + (1 - LOWER_LASHES / 255) * upper
    mask[box][inside] = (0.75 + 0.25 * np.maximum(roots, hairs)) * strength * smoothstep(to_corner, *LASH_CORNER)
    return mask


def _drawn(maps: SurfaceMaps) -> dict[str, Floats]:
    """Masks that follow contours of the chart: lips, the seam of the mouth, lid margins and upper lash lines."""
    scale = maps.size / 1024  # line widths are in texels of a 1024 texture
    texels = maps.landmark_texels

    def canvas() -> npt.NDArray[np.uint8]:
        return np.zeros((maps.size, maps.size), np.uint8)

    outer = smooth_curve(np.stack([texels[f"ibug_{k}"] for k in range(48, 60)]), 96, closed=True)
    lips = canvas()
    fill_outline(lips, outer, 255)
    inner = smooth_curve(np.stack([texels[f"ibug_{k}"] for k in range(60, 68)]), 64, closed=True)
    seam = canvas()
    fill_outline(seam, inner, 255)  # with the wet inside of the lips, which an open mouth shows
    draw_lines(seam, [inner], 255, max(1, round(3 * scale)), closed=True)
    margin, lash = canvas(), canvas()
    for ring, points in zip(maps.lid_texels, maps.lid_points, strict=True):
        height = points[..., 1]
        draw_lines(margin, [ring[1]], 255, max(1, round(2 * scale)), closed=True)
        corners = height[1][[0, height.shape[1] // 2]].mean()
        upper = height[1] > corners
        start = int(np.flatnonzero(upper & ~np.roll(upper, 1))[0])
        for edge, most in LASH_RINGS:
            around = np.roll(ring[edge], -start, 0)
            for line, value, thick in ((around[upper.sum() - 1 :], LOWER_LASHES, 1), (around[: upper.sum()], most, 3)):
                middles = (np.arange(len(line) - 1) + 0.5) / (len(line) - 1)
                faded = value * smoothstep(np.minimum(middles, 1 - middles), *LASH_ENDS)
                draw_pieces(lash, line, [round(float(k)) for k in faded], max(1, round(thick * scale)))
    return {
        "lips": blurred(lips, 2.8 * scale),
        "seam": blurred(seam, 1.6 * scale),
        "margin": blurred(margin, 1.2 * scale),
        "lash": blurred(lash, 0.8 * scale),
    }
