"""Knows how far hair, beard and cloth stand off the skin: a shell over the head, in metres along its normals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.hairline import COVERING, hair_outline, outline_distance
from pain3d.skin.smooth_step import ramp

Floats = npt.NDArray[np.float64]

# Of each style, mm: at the sides, on the crown, and over how much of the hairline it tapers. Crowns vary by person.
SHELLS: dict[str, tuple[float, float, float]] = {
    "bald": (0.6, 0.6, 14.0),
    "buzz": (1.6, 2.2, 14.0),
    "short": (4.5, 13.0, 24.0),
    "curly": (11.0, 19.0, 22.0),
    "crop": (8.0, 17.0, 24.0),
    "bun": (5.0, 9.0, 22.0),
    "bob": (11.0, 18.0, 26.0),
}
CROWN_FROM, CROWN_TO = 55.0, 115.0  # mm of height over which the sides become the crown
FULLER_CURLS = 0.55  # of a woman's coiled hair, which is worn longer
QUIFF, QUIFF_REACH = 4.0, 25.0  # mm of lift above the forehead, and from the hairline on
SIDE_PART = 2.5  # mm by which one side of a parting is fuller
BUN, BUN_RADIUS, BUN_HEIGHT = (0.0, 85.0, -84.0), 58.0, 26.0  # mm: its middle on the back of the head, reach, height
# Hair over the ears hangs on an ellipse around the vertical axis (half width, half depth, middle in z): mm at the ears
# and at the ends of the hair; it comes no closer to the skull than the shell.
HANG = {"crop": ((80.0, 101.0), (66.0, 84.0)), "bob": ((88.0, 107.0), (71.0, 82.0))}
HANG_MIDDLE, HANG_TOP, HANG_END = -14.0, 40.0, {"crop": -55.0, "bob": -66.0}
HANG_TAPER = {"crop": 16.0, "bob": 9.0}  # mm from the outline over which the hanging hair comes off the skin
HANG_MOST = 46.0  # mm
BEARD_GROWTH, BEARD_TAPER = (0.8, 5.0), 16.0  # mm of a beard of 0 and of 1; mm over which it tapers
BEARD_CHIN = 2.5  # mm more at the chin
BEARD_END = (-101.0, -88.0)  # mm of height over which it ends on the throat
LIPS_CLEAR = (3.0, 9.0)  # mm from the mouth's outline over which a moustache comes off the skin
CLOTH, CLOTH_TAPER = 3.0, 7.0  # mm that a shirt stands off; mm below its edge over which it does


def growth(head: Head, skin: Skin, core: tuple[float, float] | None = None) -> Tensor:
    """How far each vertex of a head is moved along its normal by what grows or lies on it: [1, V] metres.

    Args:
        head: Whose template is measured; the answer is on its device.
        skin: Who.
        core: mm of the hair at the sides and on the crown, in place of the style's.

    Gradients: none.
    """
    points = head.template.detach().cpu().double().numpy() * 1000
    names = head.topology.part_names
    parts = head.topology.vertex_parts.cpu().numpy()
    outer = np.isin(parts, [names.index(name) for name in ("skin", "neck") if name in names])
    shell = np.maximum(_hair(points, skin, head, core), _beard(points, skin, head))
    shell = np.maximum(shell, _cloth(points, skin))
    return torch.from_numpy((np.where(outer, shell, 0) / 1000).astype(np.float32))[None].to(head.device)


def cover(skin: Skin) -> float:
    """1 where the hair lies over the ears, else 0."""
    return float(skin.hair_style in COVERING)


def _hair(points: Floats, skin: Skin, head: Head, core: tuple[float, float] | None) -> Floats:
    generator = keyed_generator(skin.seed, "skin/growth", skin.identity)
    fuller, parting = 0.75 + 0.5 * generator.random(), float(generator.choice([-1.0, 1.0]))
    x, y, z = points.T
    distance = outline_distance(points, hair_outline(skin))
    side, crown, taper = SHELLS[skin.hair_style]
    side, crown = core or (side, crown)
    on_top = ramp(y, CROWN_FROM, CROWN_TO)
    shell = side + (crown * fuller - side) * on_top
    if core is None and skin.hair_style in ("short", "crop", "bob"):
        shell += QUIFF * fuller * on_top * np.exp(-((distance / QUIFF_REACH) ** 2)) * ramp(z, 20, 60)
        shell += SIDE_PART * parting * np.tanh(x / 25) * on_top
    if core is None and skin.hair_style == "curly":
        shell *= 1 + FULLER_CURLS * (1 - skin.sex)
    shell *= 0.35 + 0.65 * skin.hair_density
    if skin.hair_style == "bun":
        away = np.linalg.norm(points - np.array(BUN), axis=1)
        shell += BUN_HEIGHT * fuller * np.sqrt(np.clip(1 - (away / BUN_RADIUS) ** 2, 0, 1))
    shell *= ramp(distance, -1.0, taper)
    covered = skin.hair_style in COVERING
    if covered:
        ears = np.zeros(len(points), bool)
        ears[head.laid_ears()[0].cpu().numpy()] = True
        hanging = _hanging(points, skin, head)
        beyond = ramp(distance, -3.0, HANG_TAPER[skin.hair_style])
        beyond = np.where(ears, 1.0, beyond)
        shell = np.maximum(shell, hanging * beyond)
    else:
        shell = shell * (1 - _ear_share(points))
    return np.asarray(shell)


def _hanging(points: Floats, skin: Skin, head: Head) -> Floats:
    """Distance in mm from the skin out to the ellipse on which long hair hangs; 0 above the ears."""
    laid = points.copy()
    ears, offset = head.laid_ears()
    laid[ears.cpu().numpy()] += offset.cpu().double().numpy() * 1000
    (wide, deep), (narrow, shallow) = HANG[skin.hair_style]
    down = np.clip((HANG_TOP - laid[:, 1]) / (HANG_TOP - HANG_END[skin.hair_style]), 0, 1)
    across, back = wide + (narrow - wide) * down, deep + (shallow - deep) * down
    z = laid[:, 2] - HANG_MIDDLE
    radius = np.hypot(laid[:, 0], z)
    cosine, sine = z / np.maximum(radius, 1e-9), laid[:, 0] / np.maximum(radius, 1e-9)
    reach = 1 / np.sqrt((sine / across) ** 2 + (cosine / back) ** 2)
    gap = np.clip(reach - radius, 0, HANG_MOST)
    return np.asarray(gap * (1 - ramp(points[:, 1], HANG_TOP, HANG_TOP + 45)))


def _ear_share(points: Floats) -> Floats:
    """1 on the ears, 0 on the skull."""
    from pain3d.skin.masks import EAR_BACK, EAR_FRONT, EAR_HIGH, EAR_LOW, EAR_SIDE  # here: as in `_beard`

    inside = ramp(points[:, 1], EAR_LOW, EAR_LOW + 3) * (1 - ramp(points[:, 1], EAR_HIGH - 3, EAR_HIGH))
    inside *= ramp(points[:, 2], EAR_BACK, EAR_BACK + 3) * (1 - ramp(points[:, 2], EAR_FRONT - 3, EAR_FRONT))
    return np.asarray(inside * ramp(np.abs(points[:, 0]), EAR_SIDE, EAR_SIDE + 2.5))


def _beard(points: Floats, skin: Skin, head: Head) -> Floats:
    if skin.beard <= 0:
        return np.zeros(len(points))
    from pain3d.skin.masks import BEARD  # here: `import pain3d` loads no OpenCV

    distance = outline_distance(points, BEARD)
    shortest, longest = BEARD_GROWTH
    length = shortest + (longest - shortest) * skin.beard
    chin = np.exp(-((points[:, 0] / 22) ** 2) - ((points[:, 1] + 78) / 14) ** 2)
    shell: Floats = length + BEARD_CHIN * skin.beard * chin
    names = dict(zip(head.landmark_names, head.landmarks.tolist(), strict=True))
    lips = points[[names[f"ibug_{k}"] for k in range(48, 68)]]
    near = np.sqrt(((points[:, None] - lips[None]) ** 2).sum(-1)).min(1)
    shell = shell * ramp(points[:, 1], *BEARD_END) * (1 - _ear_share(points))
    return np.asarray(shell * ramp(distance, 0.0, BEARD_TAPER) * ramp(near, *LIPS_CLEAR))


def _cloth(points: Floats, skin: Skin) -> Floats:
    from pain3d.skin.clothes import LOWER
    from pain3d.skin.masks import above_neckline

    above = above_neckline(points[:, 0], points[:, 1], points[:, 2]) + LOWER * skin.gown
    return np.asarray(CLOTH * ramp(-above.astype(np.float64), 0.0, CLOTH_TAPER))
