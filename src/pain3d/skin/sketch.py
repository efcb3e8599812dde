"""Knows what is drawn of a person by hand, on the CPU, before many are painted together: strokes, spots, outlines.

Strokes are OpenCV's, on 8 bits, for one person or many: so all painters draw the same. A sketch is made from a
`SurfaceMaps.board`, in a thread or in a process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from pain3d.skin.appearance import Skin
from pain3d.skin.beard import BeardDraws, draw_beard
from pain3d.skin.blemishes import draw_marks
from pain3d.skin.brows import brow_box, brow_within, draw_brows
from pain3d.skin.hair import draw_hairline
from pain3d.skin.maps import Bytes, Floats, SurfaceMaps
from pain3d.skin.wrinkles import Canvases, draw_lines_of


@dataclass(frozen=True)
class Sketch:
    """What was drawn of one person.

    Attributes:
        marks: See `blemishes.draw_marks`.
        brows: Of each side, on its `brows.brow_box`.
        wrinkles: See `wrinkles.draw_lines_of`.
        hairline: See `hair.draw_hairline`.
        beards: Of skin and neck, see `beard.draw_beard`.
    """

    marks: Bytes
    brows: tuple[Bytes, Bytes]
    wrinkles: Canvases
    hairline: Floats
    beards: dict[str, BeardDraws | None]


def draw_sketch(board: SurfaceMaps, skin: Skin) -> Sketch:
    """Draw one person; `board` is of `SurfaceMaps.board`, or the maps themselves."""
    left, right = draw_brows(board, skin)
    return Sketch(
        marks=draw_marks(board, skin),
        brows=(brow_within(left, brow_box(board, 0)), brow_within(right, brow_box(board, 1))),
        wrinkles=draw_lines_of(board, skin),
        hairline=draw_hairline(skin),
        beards={part: draw_beard(board, part, skin) for part in ("skin", "neck")},
    )
