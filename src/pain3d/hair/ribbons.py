"""Knows how strands become ribbons: rows of two vertices with tangent, tint, occlusion and a place in a tile."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pain3d.hair.cards import FIRST_COIL
from pain3d.hair.growing import Strands, unit
from pain3d.hair.hull import Floats
from pain3d.hair.roots import MOST
from pain3d.hair.styles import Style
from pain3d.skin.appearance import GREY_HAIR, Skin

TWIST, HANGING_TWIST = 0.35, 0.55  # radians, standard deviation; of hair that hangs beside the head
TURNING = 0.3  # radians that a ribbon turns from root to tip, standard deviation
TIP, BLUNT_TIP = 0.28, 0.45  # width of the tip as a share; of coils, and of hair that is cut at a height
TAPER_FROM = 0.45  # of the length
BENT = 0.10  # by which normals differ between ribbons, standard deviation
TONE, LOCK_TONE = 0.14, 0.10  # of ribbons and of locks, natural logarithm
ROOT_TONE, TIP_TONE = 0.85, 1.20  # hair is lighter where it is older
GREY_SPREAD = 0.45  # by which the grey of ribbons differs where half of the hair is grey
DEEPEST, AT_ROOT = 0.42, 0.60  # occlusion of the lowest layer, and of roots
THICK = 14.0  # mm of hair from which its lowest layer is in full shade
COILED_GLOSS, GLOSS_SPREAD = 0.2, 0.25
CHANCES = (0.6, 0.85, 0.95)  # sums, of tiles from dense to sparse: sparse ones take places and hide nothing
SPARSE = 0.6  # of how dense hair is, below which only sparse tiles are taken


class Ribbons(NamedTuple):
    """N ribbons of P rows, on the neutral head; what a row has, its two vertices share.

    Attributes:
        points: [N, P, 3] mm, the middle.
        sides: [N, P, 3] mm from there to the right border.
        tangents: [N, P, 3] unit.
        normals: [N, P, 3] unit.
        tint: [N, P, 3] linear.
        occlusion: [N, P] 0–1.
        gloss: [N].
        flipped: [N] whether the tile is mirrored.
        tile: [N] of `paint_cards`.
        root: [N] number of its root.
    """

    points: Floats
    sides: Floats
    tangents: Floats
    normals: Floats
    tint: Floats
    occlusion: Floats
    gloss: Floats
    flipped: npt.NDArray[np.bool_]
    tile: npt.NDArray[np.int64]
    root: npt.NDArray[np.int64]


def weave(strands: Strands, style: Style, skin: Skin, generator: np.random.Generator, wider: float = 1.0) -> Ribbons:
    """Make a ribbon of each strand.

    Args:
        strands: On the neutral head.
        style: How hair is worn.
        skin: Colours.
        generator: Of the person.
        wider: Factor on the widths, where there are fewer ribbons.
    """
    count, rows = strands.points.shape[:2]
    order = np.argsort(-strands.layer, kind="stable")  # what hides comes first, and what is hidden costs less
    first_tied = count - style.tail[0]
    tied = order >= first_tied
    strands = Strands(
        strands.points[order],
        strands.outward[order],
        strands.layer[order],
        strands.root[order],
        strands.lock[order],
        strands.thin[order],
    )
    number = np.where(tied, order - first_tied, strands.root)  # its draws are those of its root
    normals, uniform = generator.standard_normal((MOST, 8))[number], generator.random((MOST, 3))[number]
    t = np.linspace(0, 1, rows)[None, :, None]
    tangent = unit(np.gradient(strands.points, axis=1))
    across = unit(np.cross(tangent, strands.outward))
    hangs = style.covers or style.coiled
    twist = (HANGING_TWIST if hangs else TWIST) * normals[:, 0, None, None] + TURNING * normals[:, 1, None, None] * t
    across = np.cos(twist) * across + np.sin(twist) * np.cross(across, tangent)
    wide = np.where(tied, style.tail[2], style.width) * (0.6 + 0.55 * uniform[:, 0]) * (0.6 + 0.4 * strands.thin)
    tip = BLUNT_TIP if style.coiled or style.cut is not None else TIP
    taper = (0.75 + 0.25 * np.minimum(1, 5 * t)) * (
        1 - (1 - tip) * np.clip((t - TAPER_FROM) / (1 - TAPER_FROM), 0, 1) ** 1.5
    )

    tone = np.exp(TONE * normals[:, 2] + LOCK_TONE * normals[strands.lock, 3])[:, None]
    grey = skin.greyness + GREY_SPREAD * 2 * skin.greyness * (1 - skin.greyness) * normals[:, 4]
    tint = np.array(skin.hair_colour) * tone
    tint = tint + np.clip(grey, 0, 1)[:, None] * (np.array(GREY_HAIR) * np.sqrt(tone) - tint)
    below = 0.55 + 0.45 * np.clip((strands.outward[..., 1] + 0.6) / 0.8, 0, 1)
    shades = min(1.0, (style.core[1] + style.volume[0]) / THICK)
    depth = 1 - shades * (1 - DEEPEST) * (1 - strands.layer[:, None])
    from_root = 1 - shades * (1 - AT_ROOT) * (1 - np.minimum(1, 3.5 * t[..., 0]))
    gloss = (COILED_GLOSS if style.coiled else 1.0) * np.exp(GLOSS_SPREAD * normals[:, 5])
    tile = np.searchsorted(CHANCES, uniform[:, 1])
    tile = np.where(tied, 0, np.where(strands.thin < SPARSE, 2 + tile % 2, tile))
    return Ribbons(
        points=strands.points,
        sides=0.5 * wider * wide[:, None, None] * taper * across,
        tangents=tangent,
        normals=unit(strands.outward + BENT * normals[:, None, 5:8]),
        tint=tint[:, None] * (ROOT_TONE + (TIP_TONE - ROOT_TONE) * t),
        occlusion=depth * below * from_root,
        gloss=gloss,
        flipped=uniform[:, 2] < 0.5,
        tile=tile + (FIRST_COIL if style.coiled else 0),
        root=strands.root,
    )
