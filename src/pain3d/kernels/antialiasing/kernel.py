"""Knows antialiasing on a GPU: Triton. How much of a neighbour a pixel takes, here and in the fused `render`.

Gather form: each pixel asks for its own four pairs, so nothing is scattered and no sum depends on an order. All of the
walk is exact integers, up to one float32 division at its end: distance and silhouette are fractions of a pixel over an
edge's extent, both below 2^61.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.antialiasing import reference as model
from pain3d.kernels.rasterization.kernel import corner, corners_of, four
from pain3d.kernels.rasterization.reference import HALF as HALF_A_PIXEL
from pain3d.kernels.rasterization.reference import SUBPIXELS as STEPS_OF_A_PIXEL

# Jitted code reads globals only where they are constexpr.
MAX_STEPS = tl.constexpr(model.MAX_STEPS)
SUBPIXELS, HALF = tl.constexpr(STEPS_OF_A_PIXEL), tl.constexpr(HALF_A_PIXEL)

# Pixels of a program: four pairs each, four of them a thread of four warps. The interpreter's cost is per program.
PIXELS = 1024 if interpreting() else 128


@triton.jit
def face_on_screen(face, along, screen_ptr, faces_ptr, first_vertex, vertex_count, mask):  # type: ignore[no-untyped-def]
    """Return the corners of a face (coordinate along the pair's axis, coordinate across it; int32) and its area's sign.

    The sign is 0 where a corner is not usable. along: 0 for pairs in a row, else 1; the rest as in `taken_share`.
    """
    a, b, c, exist = corners_of(faces_ptr, face, mask, vertex_count)
    x0, y0, w0 = corner(screen_ptr, first_vertex + a, exist)
    x1, y1, w1 = corner(screen_ptr, first_vertex + b, exist)
    x2, y2, w2 = corner(screen_ptr, first_vertex + c, exist)
    first = (y1 - y0).to(tl.int64) * (x2 - x0).to(tl.int64)
    second = (x1 - x0).to(tl.int64) * (y2 - y0).to(tl.int64)
    sign = (first > second).to(tl.int32) - (first < second).to(tl.int32)
    sign = tl.where((w0 > 0.0) & (w1 > 0.0) & (w2 > 0.0), sign, 0)
    row = along == 0
    return (
        tl.where(row, x0, y0),
        tl.where(row, y0, x0),
        tl.where(row, x1, y1),
        tl.where(row, y1, x1),
        tl.where(row, x2, y2),
        tl.where(row, y2, x2),
        sign,
    )


@triton.jit
def is_pair(own, other, step, adjacent_ptr, face_count, mask):  # type: ignore[no-untyped-def]
    """Whether two neighbouring pixels see faces that differ and do not share an edge: only then can they mix.

    step: 1 where the neighbour comes after the pixel, -1 before it. As in the reference the first of the two is asked.
    """
    first, second = tl.where(step > 0, own, other), tl.where(step > 0, other, own)
    differ = mask & (own != other)
    meshed = differ & (first >= 0) & (first < face_count) & (second >= 0)
    one = tl.load(adjacent_ptr + first * 3, mask=meshed, other=-1)
    two = tl.load(adjacent_ptr + first * 3 + 1, mask=meshed, other=-1)
    three = tl.load(adjacent_ptr + first * 3 + 2, mask=meshed, other=-1)
    return differ & ~(meshed & ((one == second) | (two == second) | (three == second)))


@triton.jit
def walk(  # type: ignore[no-untyped-def]
    own, other, own_in_front, column, row, step, along, screen_ptr, faces_ptr, adjacent_ptr, mesh, pair
):
    """Return how much of its neighbour's colour a pixel takes, float32 in 0 … 1/2, and at which silhouette.

    That is 3 · face + edge (int32), -1 where the pixel takes nothing.

    The walk of the reference from the front pixel's centre: it leaves a face by the one edge that the line through both
    centres crosses outwards, until that edge is a silhouette. At t pixels from the start the front pixel takes
    ``1/2 - t`` of the other, or the other takes ``t - 1/2`` of it.

    Args:
        own: int32 face of the pixel, -1 on background; `other`: of its neighbour.
        other: See own.
        own_in_front: Whether the walk starts at this pixel.
        column: int32, the pixel's place; `row` likewise.
        row: See column.
        step: int32, 1 where the neighbour lies to the right or below, -1 to the left or above.
        along: int32, 0 where it lies in the same row, 1 in the same column.
        screen_ptr: Screen records, see `pain3d.kernels.rasterization.kernel`.
        faces_ptr: [F, 3] int32.
        adjacent_ptr: [F, 3] int32.
        mesh: (F, V, record of the view's first vertex): nothing beyond F and V is read.
        pair: Lanes that need an answer; the others get 0.
    """
    face_count, vertex_count, first_vertex = mesh
    back = tl.where(own_in_front, other, own)
    face = tl.where(own_in_front, own, other)
    direction = tl.where(own_in_front, step, -step)
    shift = tl.where(own_in_front, 0, step)
    in_row = along == 0
    start = (tl.where(in_row, column, row) + shift) * SUBPIXELS + HALF
    line = tl.where(in_row, row, column) * SUBPIXELS + HALF
    turn = tl.where(in_row, direction, -direction)
    walking = pair & (face >= 0) & (face < face_count)
    a0, o0, a1, o1, a2, o2, sign = face_on_screen(
        face, along, screen_ptr, faces_ptr, first_vertex, vertex_count, walking
    )
    share = tl.zeros_like(walking.to(tl.float32))
    silhouette = tl.where(walking, -1, -1)
    steps = 0
    going = tl.max(walking.to(tl.int32), axis=0)
    while going > 0:
        side = tl.where(sign > 0, turn, -turn)
        # A line meets a triangle's outline in one edge that runs up and one that runs down: one in, one out.
        above0, above1, above2 = o0 <= line, o1 <= line, o2 <= line
        leaves0 = (above0 != above1) & ((o1 - o0) * side < 0)
        leaves1 = (above1 != above2) & ((o2 - o1) * side < 0)
        leaves2 = (above2 != above0) & ((o0 - o2) * side < 0)
        walking = walking & (leaves0 | leaves1 | leaves2)
        edge = tl.where(leaves2, 2, tl.where(leaves1, 1, 0))
        begin_along = tl.where(leaves2, a2, tl.where(leaves1, a1, a0))
        begin_across = tl.where(leaves2, o2, tl.where(leaves1, o1, o0))
        run = tl.where(leaves2, a0, tl.where(leaves1, a2, a1)) - begin_along
        rise = tl.where(leaves2, o0, tl.where(leaves1, o2, o1)) - begin_across
        # Distance to the edge in 1/256 px is way / extent.
        way = (begin_along - start).to(tl.int64) * rise.to(tl.int64)
        way += (line - begin_across).to(tl.int64) * run.to(tl.int64)
        way = tl.where((rise < 0) != (direction < 0), -way, way)
        extent = tl.abs(rise).to(tl.int64)
        near = way <= extent * SUBPIXELS
        beyond = tl.load(adjacent_ptr + face * 3 + edge, mask=walking, other=-1)
        goes_on = walking & (beyond >= 0) & (beyond < face_count)
        a0, o0, a1, o1, a2, o2, next_sign = face_on_screen(
            beyond, along, screen_ptr, faces_ptr, first_vertex, vertex_count, goes_on
        )
        goes_on = goes_on & (next_sign == sign)
        # A steep silhouette is the business of pairs along a row, a shallow one of those along a column: never both.
        own_axis = (tl.abs(rise) > tl.abs(run)) | (in_row & (tl.abs(rise) == tl.abs(run)))
        found = walking & ~goes_on & near & own_axis
        short = extent * HALF - tl.maximum(way, 0)  # 1/2 - t, over the extent of a pixel
        short = tl.where(own_in_front, short, -short)
        part = tl.maximum(short, 0).to(tl.float32) / tl.maximum(extent * SUBPIXELS, 1).to(tl.float32)
        share = tl.where(found, part, share)
        silhouette = tl.where(found & (short >= 0), face * 3 + edge, silhouette)
        walking = goes_on & near & (beyond != back)
        face = beyond
        steps += 1
        going = tl.where(steps < MAX_STEPS, tl.max(walking.to(tl.int32), axis=0), 0)
    return share, silhouette


@triton.jit
def taken_share(  # type: ignore[no-untyped-def]
    own, other, own_in_front, column, row, step, along, screen_ptr, faces_ptr, adjacent_ptr, mesh, pair
):
    """Return how much of its neighbour's colour a pixel takes: see `walk`."""
    share, _ = walk(own, other, own_in_front, column, row, step, along, screen_ptr, faces_ptr, adjacent_ptr, mesh, pair)
    return share


@triton.jit  # type: ignore[untyped-decorator]
def antialias_kernel(  # type: ignore[no-untyped-def]
    colour_ptr,  # [B, H, W, C]
    face_ids_ptr,  # [B, H, W] int32
    depth_ptr,  # [B, H, W]
    screen_ptr,  # [B, V, 4] int32
    faces_ptr,
    adjacent_ptr,
    out_ptr,  # [B, H, W, C]
    height,
    width,
    face_count,
    vertex_count,
    channels,
    PIXELS: tl.constexpr,
):
    """One program: PIXELS pixels of one image, in order of memory."""
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    ids_ptr, depths_ptr = face_ids_ptr + image * pixels, depth_ptr + image * pixels

    first = tl.program_id(0) % blocks * PIXELS
    lane = tl.arange(0, 4 * PIXELS)
    pixel, which = first + lane // 4, lane % 4
    along, step = which // 2, which % 2 * 2 - 1
    row, column = pixel // width, pixel % width
    beside = tl.where(along == 0, column + step, row + step)
    inside = (pixel < pixels) & (beside >= 0) & (beside < tl.where(along == 0, width, height))
    neighbour = pixel + tl.where(along == 0, step, step * width)
    own = tl.load(ids_ptr + pixel, mask=inside, other=-1)
    other = tl.load(ids_ptr + neighbour, mask=inside, other=-1)
    pair = is_pair(own, other, step, adjacent_ptr, face_count, inside)

    at = first + tl.arange(0, PIXELS)
    there = at < pixels
    base = image * pixels * channels
    if tl.max(pair.to(tl.int32), axis=0) > 0:
        own_depth = tl.load(depths_ptr + pixel, mask=pair, other=0.0)
        other_depth = tl.load(depths_ptr + neighbour, mask=pair, other=0.0)
        own_in_front = (own_depth < other_depth) | ((own_depth == other_depth) & (own < other))
        view_ptr = screen_ptr + image * vertex_count * 4
        share = taken_share(
            own, other, own_in_front, column, row, step, along, view_ptr, faces_ptr, adjacent_ptr,
            (face_count, vertex_count, 0), pair,
        )  # fmt: skip
        left, right, up, below = four(tl.reshape(share, (PIXELS, 4)))
        total = left + right + up + below
        scale = 1.0 / tl.maximum(total, 1.0)  # never more than the whole pixel
        mixes = there & (total > 0.0)
        for channel in range(0, channels):
            colour = colour_ptr + base + at.to(tl.int64) * channels + channel
            kept = tl.load(colour, mask=there, other=0.0)
            mixed = kept * (1.0 - total * scale)
            mixed += left * scale * tl.load(colour - channels, mask=mixes & (left > 0.0), other=0.0)
            mixed += right * scale * tl.load(colour + channels, mask=mixes & (right > 0.0), other=0.0)
            mixed += up * scale * tl.load(colour - width * channels, mask=mixes & (up > 0.0), other=0.0)
            mixed += below * scale * tl.load(colour + width * channels, mask=mixes & (below > 0.0), other=0.0)
            out = out_ptr + base + at.to(tl.int64) * channels + channel
            tl.store(out, tl.where(mixes, mixed, kept), mask=there)
    else:
        for channel in range(0, channels):
            place = base + at.to(tl.int64) * channels + channel
            tl.store(out_ptr + place, tl.load(colour_ptr + place, mask=there, other=0.0), mask=there)


def launch_antialias(
    colour: Tensor,  # [B, H, W, C] float32, contiguous like all of them
    face_ids: Tensor,  # [B, H, W] int32
    depth: Tensor,  # [B, H, W] float32
    screen: Tensor,  # [B, V, 4] int32
    faces: Tensor,  # [F, 3] int32
    adjacent_faces: Tensor,  # [F, 3] int32
    out: Tensor,  # [B, H, W, C]
    pixels: int = PIXELS,
) -> None:
    """Fill out; one launch, `pixels` (a power of two) per program."""
    batch, height, width, channels = colour.shape
    launch(
        antialias_kernel,
        (batch * cdiv(height * width, pixels),),
        colour,
        face_ids,
        depth,
        screen,
        faces,
        adjacent_faces,
        out,
        height,
        width,
        len(faces),
        screen.shape[1],
        channels,
        PIXELS=pixels,
        num_warps=4,
    )
