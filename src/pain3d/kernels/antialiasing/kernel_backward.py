"""Knows the gradients of antialiasing on a GPU: Triton, float32, the same bits in every run.

Three launches, each pixel by itself:

    weigh    every pixel walks to its silhouettes again: how much it takes of each neighbour, what the loss gains where
             a silhouette moves, and which edge of which face that is
    colour   a pixel's gradient goes to its own colour and to those that it took: gathered, each from its neighbours
    move     what a silhouette's move gains goes to the two ends of its edge, in whole numbers (`_fixed_point.py`) whose
             sum is the same in any order: few pixels have a silhouette beside them, and several share a vertex

`edge_end_slopes` alone says how the place of a silhouette follows from the ends of its edge.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._fixed_point import MOST_STEPS, Steps, steps_for
from pain3d.kernels._triton import block_of, cdiv, launch
from pain3d.kernels.antialiasing.kernel import HALF, SUBPIXELS, is_pair, walk
from pain3d.kernels.rasterization.kernel import corner, four
from pain3d.kernels.rasterization.reference import NEAR as NEAREST

PIXELS = 1024 if interpreting() else 64  # of a program, with four pairs each: two pairs a thread of four warps
VERTICES = 128

# Jitted code reads globals only where they are constexpr.
_NEAR, _MOST_STEPS = tl.constexpr(NEAREST), tl.constexpr(MOST_STEPS)
_INFINITE = tl.constexpr(float("inf"))


class Silhouettes(NamedTuple):
    """What `weigh` finds in N pictures; four numbers a pixel: for its neighbour to the left, right, above, below."""

    weights: Tensor  # [N, H, W, 4] how much of it a pixel takes
    slopes: Tensor | None  # [N, H, W, 4] gradient to the silhouette's place, in pixels in the direction of the walk
    edges: Tensor | None  # [N, H, W, 4] int32: 3 · face + edge of the silhouette, -1 where the pixel takes nothing


class Seen(NamedTuple):
    """N pictures of one mesh, all contiguous."""

    face_ids: Tensor  # [N, H, W] int32
    depth: Tensor  # [N, H, W]
    screen: Tensor  # [N, V, 4] int32: see `pain3d.kernels.rasterization.kernel`
    faces: Tensor  # [F, 3] int32
    adjacent_faces: Tensor  # [F, 3] int32


@triton.jit  # type: ignore[untyped-decorator]
def pairs_of(first, height, width, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return (pixel, neighbour, along, step, column, row, inside) of four pairs for each of PIXELS pixels."""
    lane = tl.arange(0, 4 * PIXELS)
    pixel, which = first + lane // 4, lane % 4
    along, step = which // 2, which % 2 * 2 - 1
    row, column = pixel // width, pixel % width
    beside = tl.where(along == 0, column + step, row + step)
    inside = (pixel < height * width) & (beside >= 0) & (beside < tl.where(along == 0, width, height))
    return pixel, pixel + tl.where(along == 0, step, step * width), along, step, column, row, inside


@triton.jit
def edge_end_slopes(run, rise, part, direction):  # type: ignore[no-untyped-def]
    """Return how a silhouette's place, in pixels in the walk's direction, follows the two ends of its edge, in pixels.

    The edge crosses the line through two pixel centres at begin + part · (end - begin); an end that moves across the
    line carries the crossing along by the edge's slope.

    Args:
        run: How far the edge goes along the line, from begin to end, any unit.
        rise: How far across it, never 0; at least as far, or half a pixel's rounding less, as along.
        part: Of the edge up to the crossing, 0 … 1.
        direction: 1 where the walk goes right or down, -1 where it goes left or up.

    Returns:
        Of begin along and across, of end along and across.
    """
    slope = -run / rise
    begin, end = (1.0 - part) * direction, part * direction
    return begin, begin * slope, end, end * slope


@triton.jit(do_not_specialize=["height", "width", "face_count", "vertex_count"])  # type: ignore[untyped-decorator]
def _weigh(  # type: ignore[no-untyped-def]
    gradient_ptr,  # [N, H, W, C], None where no slope is wanted, as colour
    colour_ptr,
    seen,
    found,
    height,
    width,
    face_count,
    vertex_count,
    channels,
    PIXELS: tl.constexpr,
):
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    first = tl.program_id(0) % blocks * PIXELS
    pixel, neighbour, along, step, column, row, inside = pairs_of(first, height, width, PIXELS)
    ids_ptr, depths_ptr = seen.face_ids + image * pixels, seen.depth + image * pixels
    own = tl.load(ids_ptr + pixel, mask=inside, other=-1)
    other = tl.load(ids_ptr + neighbour, mask=inside, other=-1)
    pair = is_pair(own, other, step, seen.adjacent_faces, face_count, inside)
    place = image * pixels * 4 + first * 4 + tl.arange(0, 4 * PIXELS)
    there = pixel < pixels
    share = tl.zeros([4 * PIXELS], tl.float32)
    edge = tl.zeros([4 * PIXELS], tl.int32) - 1
    to_place = share
    if tl.max(pair.to(tl.int32), axis=0) > 0:
        own_depth = tl.load(depths_ptr + pixel, mask=pair, other=0.0)
        other_depth = tl.load(depths_ptr + neighbour, mask=pair, other=0.0)
        own_in_front = (own_depth < other_depth) | ((own_depth == other_depth) & (own < other))
        screen_ptr = seen.screen + image * vertex_count * 4
        share, edge = walk(
            own, other, own_in_front, column, row, step, along, screen_ptr, seen.faces, seen.adjacent_faces,
            (face_count, vertex_count, 0), pair,
        )  # fmt: skip
        total = tl.sum(tl.reshape(share, (PIXELS, 4)), 1)
        scale = 1.0 / tl.maximum(total, 1.0)
        # mixed = c (1 - Σ w / m) + Σ w c_k / m, m = max(Σ w, 1): by w_k that is (c_k - c) / m below a sum of 1; from
        # there on (c_k - mixed) / m, with c_k - c in the place of c_k in both.
        scales = tl.reshape(tl.broadcast_to(scale[:, None], (PIXELS, 4)), (4 * PIXELS,))
        if found.slopes is not None:
            takes = pair & (edge >= 0)
            apart = tl.zeros([4 * PIXELS], tl.float32)
            own_at, other_at = (image * pixels + pixel) * channels, (image * pixels + neighbour) * channels
            for channel in range(0, channels):
                upstream = tl.load(gradient_ptr + own_at + channel, mask=takes, other=0.0)
                theirs = tl.load(colour_ptr + other_at + channel, mask=takes, other=0.0)
                apart += upstream * (theirs - tl.load(colour_ptr + own_at + channel, mask=takes, other=0.0))
            mixed = tl.sum(tl.reshape(tl.where(takes, share * apart, 0.0), (PIXELS, 4)), 1) * scale
            mixed = tl.where(total >= 1.0, mixed, 0.0)
            mixes = tl.where(total > 0.0, scale, 0.0)
            mixed = tl.reshape(tl.broadcast_to(mixed[:, None], (PIXELS, 4)), (4 * PIXELS,))
            mixes = tl.reshape(tl.broadcast_to(mixes[:, None], (PIXELS, 4)), (4 * PIXELS,))
            # The front pixel takes 1/2 - t, the other one t - 1/2.
            to_place = tl.where(takes & (mixes > 0.0), mixes * (apart - mixed), 0.0)
            to_place = tl.where(own_in_front, -to_place, to_place)
        share *= scales
    tl.store(found.weights + place, share, mask=there)
    if found.slopes is not None:
        tl.store(found.slopes + place, to_place, mask=there)
        tl.store(found.edges + place, edge, mask=there)


@triton.jit(do_not_specialize=["height", "width"])  # type: ignore[untyped-decorator]
def _to_colour(gradient_ptr, weights_ptr, out_ptr, height, width, channels, PIXELS: tl.constexpr):  # type: ignore[no-untyped-def]
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    at = tl.program_id(0) % blocks * PIXELS + tl.arange(0, PIXELS)
    there = at < pixels
    row, column = at // width, at % width
    taken = weights_ptr + (image * pixels + at) * 4
    entries = tl.load(taken[:, None] + tl.arange(0, 4)[None, :], mask=there[:, None], other=0.0)
    kept = 1.0 - tl.sum(entries, 1)
    # What the neighbour to the left took of this pixel is what it took to its right, and so on.
    by_left = tl.load(taken - 4 + 1, mask=there & (column > 0), other=0.0)
    by_right = tl.load(taken + 4, mask=there & (column < width - 1), other=0.0)
    by_up = tl.load(taken - width * 4 + 3, mask=there & (row > 0), other=0.0)
    by_below = tl.load(taken + width * 4 + 2, mask=there & (row < height - 1), other=0.0)
    for channel in range(0, channels):
        upstream = gradient_ptr + (image * pixels + at) * channels + channel
        total = kept * tl.load(upstream, mask=there, other=0.0)
        total += by_left * tl.load(upstream - channels, mask=by_left > 0.0, other=0.0)
        total += by_right * tl.load(upstream + channels, mask=by_right > 0.0, other=0.0)
        total += by_up * tl.load(upstream - width * channels, mask=by_up > 0.0, other=0.0)
        total += by_below * tl.load(upstream + width * channels, mask=by_below > 0.0, other=0.0)
        tl.store(out_ptr + (image * pixels + at) * channels + channel, total, mask=there)


@triton.jit
def _move_end(sums_ptr, vertex, in_row, along, across, per_value, mask):  # type: ignore[no-untyped-def]
    """Add the gradient of an edge's end, along a pair and across it, to the sums [V, 2] of x and y."""
    x, y = tl.where(in_row, along, across) * per_value, tl.where(in_row, across, along) * per_value
    finite = mask & (tl.abs(x) < _MOST_STEPS) & (tl.abs(y) < _MOST_STEPS)
    tl.atomic_add(sums_ptr + vertex * 2, tl.where(finite, x, 0.0).to(tl.int64), mask=finite, sem="relaxed")
    tl.atomic_add(sums_ptr + vertex * 2 + 1, tl.where(finite, y, 0.0).to(tl.int64), mask=finite, sem="relaxed")


@triton.jit(do_not_specialize=["height", "width", "face_count", "vertex_count"])  # type: ignore[untyped-decorator]
def _move(  # type: ignore[no-untyped-def]
    seen, found, per_value_ptr, sums_ptr, height, width, face_count, vertex_count, PIXELS: tl.constexpr
):
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    first = tl.program_id(0) % blocks * PIXELS
    pixel, neighbour, along, step, column, row, inside = pairs_of(first, height, width, PIXELS)
    place = image * pixels * 4 + first * 4 + tl.arange(0, 4 * PIXELS)
    silhouette = tl.load(found.edges + place, mask=inside, other=-1)
    some = silhouette >= 0
    if tl.max(some.to(tl.int32), axis=0) > 0:
        to_place = tl.load(found.slopes + place, mask=some, other=0.0)
        face, edge = silhouette // 3, silhouette % 3
        begin = tl.load(seen.faces + face * 3 + edge, mask=some, other=-1)
        end = tl.load(seen.faces + face * 3 + (edge + 1) % 3, mask=some, other=-1)
        some = some & (begin >= 0) & (begin < vertex_count) & (end >= 0) & (end < vertex_count)
        screen_ptr = seen.screen + image * vertex_count * 4
        x0, y0, _ = corner(screen_ptr, begin, some)
        x1, y1, _ = corner(screen_ptr, end, some)
        in_row = along == 0
        begin_along, begin_across = tl.where(in_row, x0, y0), tl.where(in_row, y0, x0)
        run = tl.where(in_row, x1, y1) - begin_along
        rise = tl.where(in_row, y1, x1) - begin_across
        some = some & (rise != 0)
        depths_ptr, ids_ptr = seen.depth + image * pixels, seen.face_ids + image * pixels
        own_depth = tl.load(depths_ptr + pixel, mask=some, other=0.0)
        other_depth = tl.load(depths_ptr + neighbour, mask=some, other=0.0)
        own, other = tl.load(ids_ptr + pixel, mask=some, other=-1), tl.load(ids_ptr + neighbour, mask=some, other=-1)
        own_in_front = (own_depth < other_depth) | ((own_depth == other_depth) & (own < other))
        direction = tl.where(own_in_front, step, -step)
        start = tl.where(in_row, column, row) + tl.where(own_in_front, 0, step)
        line = tl.where(in_row, row, column) * SUBPIXELS + HALF
        run_, rise_ = run.to(tl.float32), tl.where(some, rise, 1).to(tl.float32)
        part = (line - begin_across).to(tl.float32) / rise_
        # A silhouette behind the start counts as at the start, and stays there.
        way = (begin_along - start * SUBPIXELS - HALF).to(tl.int64) * rise.to(tl.int64)
        way += (line - begin_across).to(tl.int64) * run.to(tl.int64)
        some = some & (tl.where((rise < 0) != (direction < 0), -way, way) >= 0)
        of_begin, of_begin_across, of_end, of_end_across = edge_end_slopes(run_, rise_, part, direction.to(tl.float32))
        per_value = tl.load(per_value_ptr + image)
        sums_ptr += image * vertex_count * 2
        _move_end(sums_ptr, begin, in_row, to_place * of_begin, to_place * of_begin_across, per_value, some)
        _move_end(sums_ptr, end, in_row, to_place * of_end, to_place * of_end_across, per_value, some)


@triton.jit(do_not_specialize=["count", "height", "width"])  # type: ignore[untyped-decorator]
def _to_clip(sums_ptr, value_ptr, clip_ptr, out_ptr, count, height, width, VERTICES: tl.constexpr):  # type: ignore[no-untyped-def]
    # A position in pixels is (W/2 (x/w + 1), H/2 (1 - y/w)); a vertex that is not in front of the camera has w = 1.
    blocks = tl.cdiv(count, VERTICES)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    vertex = tl.program_id(0) % blocks * VERTICES + tl.arange(0, VERTICES)
    mask = vertex < count
    at = image * count + vertex
    clip = tl.load(clip_ptr + at[:, None] * 4 + tl.arange(0, 4)[None, :], mask=mask[:, None], other=0.0)
    x, y, z, w = four(clip)
    in_front = (tl.abs(x) + tl.abs(y) + tl.abs(z) + tl.abs(w) < _INFINITE) & (w > _NEAR)
    per_w = 1.0 / tl.where(in_front, w, 1.0)
    value = tl.load(value_ptr + image)
    across = tl.load(sums_ptr + at * 2, mask=mask, other=0).to(tl.float32) * value
    down = tl.load(sums_ptr + at * 2 + 1, mask=mask, other=0).to(tl.float32) * value
    to_x, to_y = across * (0.5 * width) * per_w, down * (-0.5 * height) * per_w
    to_w = tl.where(in_front, -(to_x * x + to_y * y) * per_w, 0.0)
    gradient = tl.reshape(tl.join(tl.join(to_x, tl.zeros_like(x)), tl.join(to_y, to_w)), (VERTICES, 4))
    tl.store(out_ptr + at[:, None] * 4 + tl.arange(0, 4)[None, :], gradient, mask=mask[:, None])


def launch_weigh(gradient: Tensor | None, colour: Tensor | None, seen: Seen, *, pixels: int = PIXELS) -> Silhouettes:
    """Return the silhouettes beside each pixel; slopes and edges only where gradient and colour are given.

    Args:
        gradient: [N, H, W, C] float32, to the antialiased colour; contiguous like all others.
        colour: [N, H, W, C] before antialiasing.
        seen: What is seen.
        pixels: Of a program, a power of two.
    """
    views, height, width = seen.face_ids.shape
    weights = seen.depth.new_empty(views, height, width, 4)
    slopes = edges = None
    if gradient is not None:
        slopes, edges = torch.empty_like(weights), torch.empty_like(weights, dtype=torch.int32)
    found = Silhouettes(weights, slopes, edges)
    channels = 0 if colour is None else colour.shape[-1]
    sizes = (height, width, len(seen.faces), seen.screen.shape[1], channels)
    grid = (views * cdiv(height * width, pixels),)
    launch(_weigh, grid, gradient, colour, seen, found, *sizes, PIXELS=pixels, num_warps=4)
    return found


def launch_to_colour(gradient: Tensor, weights: Tensor, out: Tensor, *, pixels: int = 2 * PIXELS) -> None:
    """Fill out [N, H, W, C], the gradient to the colour before antialiasing; all float32, contiguous."""
    views, height, width, channels = gradient.shape
    grid = (views * cdiv(height * width, pixels),)
    launch(_to_colour, grid, gradient, weights, out, height, width, channels, PIXELS=pixels, num_warps=4)


def launch_to_clip(seen: Seen, found: Silhouettes, vertices_clip: Tensor, out: Tensor, *, pixels: int = PIXELS) -> None:
    """Fill out [N, V, 4], the gradient to vertices_clip [N, V, 4] where silhouettes move; float32, contiguous."""
    assert found.slopes is not None
    (views, height, width), count = seen.face_ids.shape, vertices_clip.shape[1]
    sums = torch.zeros(views, count, 2, dtype=torch.int64, device=out.device)
    greatest = torch.linalg.vector_norm(found.slopes.flatten(1), torch.inf, 1)
    steps: Steps = steps_for(greatest, 4 * height * width)  # no end of a silhouette moves it farther than itself
    grid = (views * cdiv(height * width, pixels),)
    sizes = (height, width, len(seen.faces), count)
    launch(_move, grid, seen, found, steps.per_value, sums, *sizes, PIXELS=pixels, num_warps=4)
    vertices = block_of(count, VERTICES)
    grid = (views * cdiv(count, vertices),)
    launch(_to_clip, grid, sums, steps.value, vertices_clip, out, count, height, width, VERTICES=vertices, num_warps=4)
