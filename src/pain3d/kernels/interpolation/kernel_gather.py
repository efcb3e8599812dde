"""Knows how what pixels say is summed for faces and vertices on a GPU: Triton, float32, the same bits in every run.

    boxes    [N, F, 4] int32: where in the picture the pixels are that see a face, from the face ids alone
    walk     a face goes over its box, and over its own pixels in it, in one order: `stamps`, `begin`, `step`
    gather   each item sums its rows of a table, ascending: a vertex the sums of its faces' corners

No float is added by an atomic. The boxes are made by integer maxima, which have no order. Backward kernels of a room
walk with the device functions here (`corner_sums` of this room is the model), and end with `launch_gather`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._groups import Groups
from pain3d.kernels._triton import cdiv, launch, power_of_two

UNSEEN = -(1 << 30)  # fills the boxes: below every column and row, with either sign
LARGE = 512  # pixels of a box that one warp may walk, 8 faces at a time: 128 steps of 4 pixels
MOST_CHANNELS = 32  # of a program that gathers: a row of 128 bytes


class Seen(NamedTuple):
    """What the pixels see, and where.

    Attributes:
        face_ids: [N, H, W] int32 or int64; outside 0 … F - 1: nothing.
        boxes: [N, F, 4] int32, of `launch_boxes`: minus the first column, minus the first row, last column, last row;
            `UNSEEN` where no pixel sees the face.
    """

    face_ids: Tensor
    boxes: Tensor


class Walk(NamedTuple):
    """How a program walks; of the sums only the order depends on it, by the stamp."""

    faces: int  # at once
    turns: int  # one after the other
    across: int  # columns and rows of the stamp
    down: int
    large: bool  # walks the faces whose box has more than `LARGE` pixels; else all others
    warps: int


# A face of a head has 21 pixels at 512²; the stamp is that of visibility (`Blocks` in `rasterization/kernel.py`). The
# second walk finds few faces or none, so a program looks at 32 boxes before it goes.
WALKS = (Walk(8, 1, 4, 1, False, 1), Walk(1, 32, 32, 4, True, 4))
# The interpreter's cost is per program and operation, not per lane.
if interpreting():
    WALKS = (Walk(256, 1, 8, 8, False, 1), Walk(1, 16, 64, 16, True, 1))
BLOCK = 16384 if interpreting() else 256  # pixels of a program that finds boxes; values of one that gathers, twice that

_LARGE = tl.constexpr(LARGE)


@triton.jit(do_not_specialize=["faces", "height", "width"])  # type: ignore[untyped-decorator]
def _find_boxes(face_ids_ptr, boxes_ptr, faces, height, width, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * PIXELS + tl.arange(0, PIXELS)
    at = face_ids_ptr + view * pixels + pixel
    face = tl.load(at, mask=pixel < pixels, other=-1)
    seen = (face >= 0) & (face < faces)
    column, row = pixel % width, pixel // width
    # Only where a run of the face's pixels ends: a few of them.
    left = tl.load(at - 1, mask=seen & (column > 0), other=-1)
    right = tl.load(at + 1, mask=seen & (column < width - 1), other=-1)
    above = tl.load(at - width, mask=seen & (row > 0), other=-1)
    below = tl.load(at + width, mask=seen & (row < height - 1), other=-1)
    box = boxes_ptr + (view * faces + face) * 4
    tl.atomic_max(box, -column, mask=seen & (left != face), sem="relaxed")
    tl.atomic_max(box + 1, -row, mask=seen & (above != face), sem="relaxed")
    tl.atomic_max(box + 2, column, mask=seen & (right != face), sem="relaxed")
    tl.atomic_max(box + 3, row, mask=seen & (below != face), sem="relaxed")


def launch_boxes(face_ids: Tensor, faces: int) -> Seen:
    """Return where the pixels are that see each face.

    Args:
        face_ids: [N, H, W] int32 or int64, contiguous.
        faces: How many there are.
    """
    views, height, width = face_ids.shape
    boxes = torch.full((views, faces, 4), UNSEEN, dtype=torch.int32, device=face_ids.device)
    grid = (views * cdiv(height * width, BLOCK),)
    if grid[0] and faces:
        launch(_find_boxes, grid, face_ids, boxes, faces, height, width, PIXELS=BLOCK)
    return Seen(face_ids, boxes)


@triton.jit  # type: ignore[untyped-decorator]
def face_of_lane(turn, faces, FACES: tl.constexpr, TURNS: tl.constexpr, STAMP: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the view of a program (int64), and the face of each of its FACES · STAMP lanes, below faces or not."""
    blocks = tl.cdiv(faces, FACES * TURNS)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks * TURNS + turn) * FACES
    return view, first + tl.arange(0, FACES * STAMP) // STAMP


@triton.jit  # type: ignore[untyped-decorator]
def begin(boxes_ptr, view, face, faces, there, LARGE_ONES: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return left, top, columns and rows of the faces' boxes, 0 x 0 where there is none, and which are walked here."""
    box = boxes_ptr + (view * faces + face) * 4
    left, top = -tl.load(box, mask=there, other=0), -tl.load(box + 1, mask=there, other=0)
    columns = tl.load(box + 2, mask=there, other=-1) - left + 1
    rows = tl.load(box + 3, mask=there, other=-1) - top + 1
    seen = there & (columns > 0) & (rows > 0)
    columns, rows = tl.where(seen, columns, 0), tl.where(seen, rows, 0)
    large = columns.to(tl.int64) * rows > _LARGE
    return left, top, columns, rows, there & (large if LARGE_ONES else (large == 0))


@triton.jit  # type: ignore[untyped-decorator]
def stamps(columns, rows, mine, ACROSS: tl.constexpr, DOWN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return how many stamps the longest walk has."""
    return tl.max(tl.where(mine, tl.cdiv(columns, ACROSS) * tl.cdiv(rows, DOWN), 0), 0)


@triton.jit  # type: ignore[untyped-decorator]
def step(stamp, columns, rows, mine, ACROSS: tl.constexpr, DOWN: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return column and row in its box of each lane at a stamp, and whether they lie in it."""
    lane = tl.arange(0, columns.shape[0])
    across = tl.maximum(tl.cdiv(columns, ACROSS), 1)
    j = stamp % across * ACROSS + lane % ACROSS
    i = stamp // across * DOWN + lane // ACROSS % DOWN
    return j, i, mine & (j < columns) & (i < rows)


# out[n, item] = Σ over the item's members, ascending, of rows[n, member]
@triton.jit(do_not_specialize=["count", "items", "entries"])  # type: ignore[untyped-decorator]
def _gather(  # type: ignore[no-untyped-def]
    rows_ptr,
    starts_ptr,
    members_ptr,
    out_ptr,
    count,
    items,
    entries,
    channels,
    ITEMS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channel_blocks = tl.cdiv(channels, CHANNELS)
    block = tl.program_id(0) // channel_blocks
    channel = (tl.program_id(0) - block * channel_blocks) * CHANNELS + tl.arange(0, CHANNELS)
    place = block.to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    there = place < count
    copy = place // items
    item = place - copy * items
    start = tl.load(starts_ptr + item, mask=there, other=0)
    many = tl.load(starts_ptr + item + 1, mask=there, other=0) - start
    total = tl.zeros((ITEMS, CHANNELS), tl.float32)
    for number in range(tl.max(many, 0)):
        wanted = number < many
        row = copy * entries + tl.load(members_ptr + start + number, mask=wanted, other=0)
        at = rows_ptr + (row * channels)[:, None] + channel[None, :]
        total += tl.load(at, mask=wanted[:, None] & (channel < channels)[None, :], other=0.0)
    at = out_ptr + (place * channels)[:, None] + channel[None, :]
    tl.store(at, total, mask=there[:, None] & (channel < channels)[None, :])


def launch_gather(rows: Tensor, groups: Groups, *, block: int = 2 * BLOCK) -> Tensor:
    """Return the sums [N, items, C] of the rows [N, entries, C], float32, contiguous, that name each item.

    Args:
        rows: An entry of each place in the table that `groups` was made of.
        groups: Of `group`.
        block: Values of a program, a power of two.
    """
    copies, entries, channels = rows.shape
    items = len(groups.starts) - 1
    out = rows.new_empty(copies, items, channels)
    if out.numel() == 0:
        return out
    across = min(power_of_two(channels), MOST_CHANNELS)
    down = max(block // across, 1)
    grid = (cdiv(copies * items, down) * cdiv(channels, across),)
    sizes = (copies * items, items, entries, channels)
    launch(_gather, grid, rows, *groups, out, *sizes, ITEMS=down, CHANNELS=across)
    return out
