"""Knows the gradient of visibility on a GPU: from barycentrics and depth to vertices_clip. Triton, float32.

With corners q_c (in 1/256 px, from the pixel's centre), E_c their edge functions, t_c = E_c / w_c, S = Σ t, A = Σ E:

    b_c = t_c / S,  depth = A / S
    dt_c = (db_c - Σ_k db_k b_k - ddepth · depth) / S,  dE_c = dt_c / w_c + ddepth / S,  dw_c = -dt_c · t_c / w_c
    E_0 = q_2x q_1y - q_1x q_2y, and so on around, so dq_0 = (dE_1 q_2y - dE_2 q_1y, dE_2 q_1x - dE_1 q_2x)
    q = (128 W (x / w + 1), 128 H (1 - y / w)) - centre: the derivative is that of corners that are not snapped

Each face sums over the pixels that see it, and each vertex over its corners: see `interpolation/kernel_gather.py`.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._groups import Groups
from pain3d.kernels._triton import cdiv, launch
from pain3d.kernels.interpolation.kernel_gather import (
    WALKS,
    Seen,
    Walk,
    begin,
    face_of_lane,
    launch_boxes,
    launch_gather,
    stamps,
    step,
)
from pain3d.kernels.rasterization.kernel import corner, corners_of, launch_snap, perspective
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS
from pain3d.kernels.rasterization.workspace import RECORD

BYTES = 128 << 20  # of what the faces of a chunk of views sum up

_HALF = tl.constexpr(HALF)
_SUBPIXELS = tl.constexpr(SUBPIXELS)


@triton.jit
def _of_corner(clip_ptr, vertex, mine, across, down, direct, width, height):  # type: ignore[no-untyped-def]
    """Return the gradient to x, y and w of a corner, of those to its position in 1/256 px and to its w alone."""
    at = clip_ptr + vertex * 4
    x, y = tl.load(at, mask=mine, other=0.0), tl.load(at + 1, mask=mine, other=0.0)
    per_w = 1.0 / tl.load(at + 3, mask=mine, other=1.0)
    to_x, to_y = across * (width * _HALF) * per_w, down * (-height * _HALF) * per_w
    return to_x, to_y, direct - (to_x * x + to_y * y) * per_w


@triton.jit(do_not_specialize=["vertices", "faces", "height", "width"])  # type: ignore[untyped-decorator]
def _corner_slopes(  # type: ignore[no-untyped-def]
    to_barycentrics_ptr,
    to_depth_ptr,
    clip_ptr,
    screen_ptr,
    faces_ptr,
    seen,
    sums_ptr,
    vertices,
    faces,
    height,
    width,
    WALK: tl.constexpr,
):
    FACES: tl.constexpr = WALK[0]
    TURNS: tl.constexpr = WALK[1]
    ACROSS: tl.constexpr = WALK[2]
    DOWN: tl.constexpr = WALK[3]
    STAMP: tl.constexpr = ACROSS * DOWN
    view, each = face_of_lane(0, faces, FACES * TURNS, 1, 1)
    some = begin(seen.boxes, view, each, faces, each < faces, WALK[4])[4]
    for turn in range(tl.where(tl.max(some.to(tl.int32), 0) > 0, TURNS, 0)):
        face = face_of_lane(turn, faces, FACES, TURNS, STAMP)[1]
        left, top, columns, rows, mine = begin(seen.boxes, view, face, faces, face < faces, WALK[4])
        a, b, c, exist = corners_of(faces_ptr, face, mine, vertices)
        records = screen_ptr + view * vertices * 4
        x0, y0, w0 = corner(records, a, exist)
        x1, y1, w1 = corner(records, b, exist)
        x2, y2, w2 = corner(records, c, exist)
        exist = exist & (w0 > 0) & (w1 > 0) & (w2 > 0)
        first = view * height * width
        across0 = tl.zeros((FACES * STAMP,), tl.float32)
        across1, across2 = tl.zeros_like(across0), tl.zeros_like(across0)
        down0, down1, down2 = tl.zeros_like(across0), tl.zeros_like(across0), tl.zeros_like(across0)
        direct0, direct1, direct2 = tl.zeros_like(across0), tl.zeros_like(across0), tl.zeros_like(across0)
        for stamp in range(stamps(columns, rows, exist, ACROSS, DOWN)):
            j, i, inside = step(stamp, columns, rows, exist, ACROSS, DOWN)
            pixel = first + (top + i) * width + left + j
            own = inside & (tl.load(seen.face_ids + pixel, mask=inside, other=-1) == face)
            column, row = (left + j) * _SUBPIXELS + _HALF, (top + i) * _SUBPIXELS + _HALF
            t0, t1, t2, area = perspective(x0, y0, w0, x1, y1, w1, x2, y2, w2, column, row)
            per_total = tl.where(own, 1.0 / tl.where(own, t0 + t1 + t2, 1.0), 0.0)
            slope0, slope1, slope2, to_size = tl.zeros_like(t0), tl.zeros_like(t0), tl.zeros_like(t0), 0.0
            if to_barycentrics_ptr is not None:
                at = to_barycentrics_ptr + pixel * 3
                slope0, slope1 = tl.load(at, mask=own, other=0.0), tl.load(at + 1, mask=own, other=0.0)
                slope2 = tl.load(at + 2, mask=own, other=0.0)
                mean = (slope0 * t0 + slope1 * t1 + slope2 * t2) * per_total
                slope0, slope1, slope2 = slope0 - mean, slope1 - mean, slope2 - mean
            if to_depth_ptr is not None:
                to_depth = tl.load(to_depth_ptr + pixel, mask=own, other=0.0)
                fall = to_depth * tl.abs(area).to(tl.float32) * per_total
                slope0, slope1, slope2 = slope0 - fall, slope1 - fall, slope2 - fall
                to_size = to_depth * per_total
            slope0, slope1, slope2 = slope0 * per_total * w0, slope1 * per_total * w1, slope2 * per_total * w2
            direct0 -= slope0 * t0
            direct1 -= slope1 * t1
            direct2 -= slope2 * t2
            sign = tl.where(area < 0, -1.0, 1.0)
            edge0, edge1, edge2 = (slope0 + to_size) * sign, (slope1 + to_size) * sign, (slope2 + to_size) * sign
            qx0, qy0 = (x0 - column).to(tl.float32), (y0 - row).to(tl.float32)
            qx1, qy1 = (x1 - column).to(tl.float32), (y1 - row).to(tl.float32)
            qx2, qy2 = (x2 - column).to(tl.float32), (y2 - row).to(tl.float32)
            across0 += edge1 * qy2 - edge2 * qy1
            across1 += edge2 * qy0 - edge0 * qy2
            across2 += edge0 * qy1 - edge1 * qy0
            down0 += edge2 * qx1 - edge1 * qx2
            down1 += edge0 * qx2 - edge2 * qx0
            down2 += edge1 * qx0 - edge0 * qx1
        one = face_of_lane(turn, faces, FACES, TURNS, 1)[1]  # a lane a face
        box = begin(seen.boxes, view, one, faces, one < faces, WALK[4])
        ended = box[4]
        a, b, c, exist = corners_of(faces_ptr, one, ended & (box[2] > 0), vertices)
        clips = clip_ptr + view * vertices * 4
        shape: tl.constexpr = (FACES, STAMP)
        across0, down0 = tl.sum(tl.reshape(across0, shape), 1), tl.sum(tl.reshape(down0, shape), 1)
        across1, down1 = tl.sum(tl.reshape(across1, shape), 1), tl.sum(tl.reshape(down1, shape), 1)
        across2, down2 = tl.sum(tl.reshape(across2, shape), 1), tl.sum(tl.reshape(down2, shape), 1)
        direct0, direct1 = tl.sum(tl.reshape(direct0, shape), 1), tl.sum(tl.reshape(direct1, shape), 1)
        direct2 = tl.sum(tl.reshape(direct2, shape), 1)
        at = sums_ptr + (view * faces + one) * 12
        x, y, w = _of_corner(clips, a, exist, across0, down0, direct0, width, height)
        _store(at, ended, exist, x, y, w)
        x, y, w = _of_corner(clips, b, exist, across1, down1, direct1, width, height)
        _store(at + 4, ended, exist, x, y, w)
        x, y, w = _of_corner(clips, c, exist, across2, down2, direct2, width, height)
        _store(at + 8, ended, exist, x, y, w)


@triton.jit
def _store(at, ended, exist, x, y, w):  # type: ignore[no-untyped-def]
    """Write the gradient to x, y, z and w of a corner; 0 for a face that nobody sees, whose corners may be NaN."""
    tl.store(at, tl.where(exist, x, 0.0), mask=ended)
    tl.store(at + 1, tl.where(exist, y, 0.0), mask=ended)
    tl.store(at + 2, tl.zeros_like(x), mask=ended)
    tl.store(at + 3, tl.where(exist, w, 0.0), mask=ended)


def launch_corner_slopes(
    to_barycentrics: Tensor | None,  # [N, H, W, 3] float32, contiguous
    to_depth: Tensor | None,  # [N, H, W] float32, contiguous
    vertices_clip: Tensor,  # [N, V, 4] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    seen: Seen,
    screen: Tensor | None = None,  # [N, V, 4] int32 that was drawn; None is that of vertices_clip
    *,
    walks: tuple[Walk, ...] = WALKS,
) -> Tensor:
    """Return [N, 3 F, 4]: what each corner of each face adds to the gradient to its vertex."""
    (views, vertices), (height, width) = vertices_clip.shape[:2], seen.face_ids.shape[1:]
    if screen is None:
        screen = vertices_clip.new_empty(views, vertices, RECORD).view(seen.boxes.dtype)
        launch_snap(vertices_clip, (height, width), screen)
    sums = vertices_clip.new_empty(views, 3 * len(faces), 4)
    for walk in walks:
        grid = (views * cdiv(len(faces), walk.faces * walk.turns),)
        inputs = (to_barycentrics, to_depth, vertices_clip, screen, faces, seen)
        sizes = (vertices, len(faces), height, width)
        launch(_corner_slopes, grid, *inputs, sums, *sizes, WALK=tuple(walk[:5]), num_warps=walk.warps)
    return sums


def launch_to_clip(
    to_barycentrics: Tensor | None,  # [N, H, W, 3] float32, contiguous
    to_depth: Tensor | None,  # [N, H, W] float32, contiguous
    vertices_clip: Tensor,  # [N, V, 4] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    face_ids: Tensor,  # [N, H, W] int32, contiguous
    corners: Groups,  # of the faces, by vertex
    screen: Tensor | None = None,  # [N, V, 4] int32 that was drawn; None is that of vertices_clip
) -> Tensor:
    """Return the gradient [N, V, 4] to vertices_clip, 0 in z; views in chunks of 128 MB."""
    result = vertices_clip.new_zeros(vertices_clip.shape)
    if min(face_ids.numel(), len(faces), result.numel()) == 0:
        return result
    chunk = max(BYTES // (4 * 4 * 3 * len(faces)), 1)
    for first in range(0, len(face_ids), chunk):
        part = slice(first, first + chunk)
        to_b = None if to_barycentrics is None else to_barycentrics[part]
        to_d = None if to_depth is None else to_depth[part]
        drawn = None if screen is None else screen[part]
        seen = launch_boxes(face_ids[part], len(faces))
        sums = launch_corner_slopes(to_b, to_d, vertices_clip[part], faces, seen, drawn)
        result[part] = launch_gather(sums, corners)
    return result
