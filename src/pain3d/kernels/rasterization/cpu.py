"""Knows visibility and its gradient at speed on a CPU: numba, an image per thread, the same integers as the reference.

`snap_vertices` and `rasterize_faces` are also the first half of the fused `render`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.rasterization.reference import HALF, LIMIT, NEAR, SUBPIXELS, Fragments


@njit(**WITHOUT_ARRAYS)
def snap_vertices(clip, height, width, snapped, inverse_w, usable):  # type: ignore[no-untyped-def]
    """Fill snapped [V, 2] int64, inverse_w [V] float64 and usable [V] bool from clip [V, 4]."""
    for v in range(clip.shape[0]):
        x, y, z, w = np.float64(clip[v, 0]), np.float64(clip[v, 1]), np.float64(clip[v, 2]), np.float64(clip[v, 3])
        usable[v] = False
        snapped[v, 0] = snapped[v, 1] = 0
        inverse_w[v] = 1.0
        if w > NEAR and math.isfinite(w) and math.isfinite(x) and math.isfinite(y) and math.isfinite(z):
            # NumPy's floor stays a float: that of math is a whole number here, and of 1e30 the least that there is.
            column = np.floor((x / w * 0.5 + 0.5) * width * SUBPIXELS + 0.5)
            row = np.floor((0.5 - y / w * 0.5) * height * SUBPIXELS + 0.5)
            inverse_w[v] = 1.0 / w
            if abs(column) <= LIMIT and abs(row) <= LIMIT:
                snapped[v, 0], snapped[v, 1] = np.int64(column), np.int64(row)
                usable[v] = True


@njit(**WITHOUT_ARRAYS)
def rasterize_faces(snapped, inverse_w, usable, faces, cull, areas, nearest, owner):  # type: ignore[no-untyped-def]
    """Fill areas [F] int64 (signed, doubled), nearest [H, W] float64 (inverse depth, else 0), owner [H, W] int32."""
    height, width = owner.shape
    nearest[:] = 0.0
    owner[:] = -1
    for f in range(faces.shape[0]):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        areas[f] = 0
        if not (usable[a] and usable[b] and usable[c]):
            continue
        x0, y0, x1, y1 = snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1]
        x2, y2 = snapped[c, 0], snapped[c, 1]
        area = (y1 - y0) * (x2 - x0) - (x1 - x0) * (y2 - y0)
        areas[f] = area
        if area == 0 or (cull and area < 0):
            continue
        first_j = max(-((HALF - min(x0, x1, x2)) // SUBPIXELS), 0)
        last_j = min((max(x0, x1, x2) - HALF) // SUBPIXELS, width - 1)
        first_i = max(-((HALF - min(y0, y1, y2)) // SUBPIXELS), 0)
        last_i = min((max(y0, y1, y2) - HALF) // SUBPIXELS, height - 1)
        if first_j > last_j or first_i > last_i:
            continue
        size = np.float64(abs(area))
        g0, g1, g2 = inverse_w[a] / size, inverse_w[b] / size, inverse_w[c] / size
        sign = np.int64(1) if area > 0 else np.int64(-1)
        dx0, dy0 = (x2 - x1) * sign, (y2 - y1) * sign
        dx1, dy1 = (x0 - x2) * sign, (y0 - y2) * sign
        dx2, dy2 = (x1 - x0) * sign, (y1 - y0) * sign
        # an edge that is neither top nor left lets nothing on it in: there the value must be at least 1
        low0 = np.int64(0) if dy0 > 0 or (dy0 == 0 and dx0 < 0) else np.int64(1)
        low1 = np.int64(0) if dy1 > 0 or (dy1 == 0 and dx1 < 0) else np.int64(1)
        low2 = np.int64(0) if dy2 > 0 or (dy2 == 0 and dx2 < 0) else np.int64(1)
        column, row = first_j * SUBPIXELS + HALF, first_i * SUBPIXELS + HALF
        row0 = dy0 * (column - x1) - dx0 * (row - y1)
        row1 = dy1 * (column - x2) - dx1 * (row - y2)
        row2 = dy2 * (column - x0) - dx2 * (row - y0)
        step0, step1, step2 = dy0 * SUBPIXELS, dy1 * SUBPIXELS, dy2 * SUBPIXELS
        # Whole vectors of 4, without a branch on what lies inside: a box is 7 pixels wide, a wrong guess costs as much.
        reach = last_j - first_j
        whole = (reach + 4) & ~3
        for i in range(first_i, last_i + 1):
            inverse_depths, owners = nearest[i], owner[i]
            for k in range(whole):
                e0, e1, e2 = row0 + k * step0, row1 + k * step1, row2 + k * step2
                inside = ((e0 - low0) | (e1 - low1) | (e2 - low2) | (reach - k)) >= 0
                inverse_depth = np.float64(e0) * g0 + np.float64(e1) * g1 + np.float64(e2) * g2
                if inside and inverse_depth > inverse_depths[np.uint64(first_j + k)]:
                    inverse_depths[np.uint64(first_j + k)] = inverse_depth
                    owners[np.uint64(first_j + k)] = f
            row0 -= dx0 * SUBPIXELS
            row1 -= dx1 * SUBPIXELS
            row2 -= dx2 * SUBPIXELS


@njit(**WITHOUT_ARRAYS)
def locate(f, i, j, snapped, inverse_w, faces, area):  # type: ignore[no-untyped-def]
    """Return the perspective-correct barycentrics and the depth of face f at pixel (i, j), as float64."""
    a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
    column, row = np.int64(j) * SUBPIXELS + HALF, np.int64(i) * SUBPIXELS + HALF
    x0, y0 = snapped[a, 0] - column, snapped[a, 1] - row
    x1, y1 = snapped[b, 0] - column, snapped[b, 1] - row
    x2, y2 = snapped[c, 0] - column, snapped[c, 1] - row
    sign = np.int64(1) if area > 0 else np.int64(-1)
    t0 = np.float64((x2 * y1 - x1 * y2) * sign) * inverse_w[a]
    t1 = np.float64((x0 * y2 - x2 * y0) * sign) * inverse_w[b]
    t2 = np.float64((x1 * y0 - x0 * y1) * sign) * inverse_w[c]
    total = t0 + t1 + t2
    return t0 / total, t1 / total, t2 / total, np.float64(abs(area)) / total


@njit(**COMPILED)
def _rasterize_images(first, last, clip, faces, cull, owner, barycentrics, depth):  # type: ignore[no-untyped-def]
    count = clip.shape[1]
    height, width = owner.shape[1], owner.shape[2]
    snapped, inverse_w = np.empty((count, 2), np.int64), np.empty(count, np.float64)
    usable, areas = np.empty(count, np.bool_), np.empty(faces.shape[0], np.int64)
    nearest = np.empty((height, width), np.float64)
    for image in range(first, last):
        snap_vertices(clip[image], height, width, snapped, inverse_w, usable)
        rasterize_faces(snapped, inverse_w, usable, faces, cull, areas, nearest, owner[image])
        for i in range(height):
            for j in range(width):
                f = owner[image, i, j]
                u, v, w, away = 0.0, 0.0, 0.0, np.inf
                if f >= 0:
                    u, v, w, away = locate(f, i, j, snapped, inverse_w, faces, areas[f])
                barycentrics[image, i, j, 0] = u
                barycentrics[image, i, j, 1] = v
                barycentrics[image, i, j, 2] = w
                depth[image, i, j] = away


# With corners q_c from the pixel's centre, t_c = E_c / w_c, S = Σ t, A = Σ E: barycentrics t_c / S, depth A / S, so
#     dt_c = (db_c - Σ db b - ddepth · depth) / S,  dE_c = dt_c / w_c + ddepth / S,  dw_c = -dt_c · t_c / w_c
# and E_0 = q_2x q_1y - q_1x q_2y, and so on around. q = (128 W (x / w + 1), 128 H (1 - y / w)) - centre: corners that
# are not snapped have the derivative, snapped ones the value.
@njit(**COMPILED)
def _slopes_of_images(first, last, clip, faces, owner, to_barycentrics, to_depth, out):  # type: ignore[no-untyped-def]
    """Write the gradient [B, V, 4] to clip of images first … last - 1; an image is summed in float64, row by row."""
    count = clip.shape[1]
    height, width = owner.shape[1], owner.shape[2]
    snapped, inverse_w = np.empty((count, 2), np.int64), np.empty(count, np.float64)
    usable = np.empty(count, np.bool_)
    sums = np.empty((count, 3), np.float64)  # to the position in 1/256 px, and to w where no position depends on it
    for image in range(first, last):
        snap_vertices(clip[image], height, width, snapped, inverse_w, usable)
        sums[:] = 0.0
        for i in range(height):
            for j in range(width):
                f = owner[image, i, j]
                if f < 0:
                    continue
                a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
                column, row = np.int64(j) * SUBPIXELS + HALF, np.int64(i) * SUBPIXELS + HALF
                x0, y0 = snapped[a, 0] - column, snapped[a, 1] - row
                x1, y1 = snapped[b, 0] - column, snapped[b, 1] - row
                x2, y2 = snapped[c, 0] - column, snapped[c, 1] - row
                e0, e1, e2 = x2 * y1 - x1 * y2, x0 * y2 - x2 * y0, x1 * y0 - x0 * y1
                area = e0 + e1 + e2
                sign = 1.0 if area > 0 else -1.0
                w0, w1, w2 = inverse_w[a], inverse_w[b], inverse_w[c]
                t0, t1, t2 = sign * e0 * w0, sign * e1 * w1, sign * e2 * w2
                per_total = 1.0 / (t0 + t1 + t2)
                s0, s1 = np.float64(to_barycentrics[image, i, j, 0]), np.float64(to_barycentrics[image, i, j, 1])
                s2, to_size = np.float64(to_barycentrics[image, i, j, 2]), to_depth[image, i, j] * per_total
                mean = (s0 * t0 + s1 * t1 + s2 * t2) * per_total + to_size * sign * area
                s0, s1, s2 = (s0 - mean) * per_total * w0, (s1 - mean) * per_total * w1, (s2 - mean) * per_total * w2
                g0, g1, g2 = (s0 + to_size) * sign, (s1 + to_size) * sign, (s2 + to_size) * sign
                sums[a, 0] += g1 * y2 - g2 * y1
                sums[b, 0] += g2 * y0 - g0 * y2
                sums[c, 0] += g0 * y1 - g1 * y0
                sums[a, 1] += g2 * x1 - g1 * x2
                sums[b, 1] += g0 * x2 - g2 * x0
                sums[c, 1] += g1 * x0 - g0 * x1
                sums[a, 2] -= s0 * t0
                sums[b, 2] -= s1 * t1
                sums[c, 2] -= s2 * t2
        for v in range(count):
            out[image, v] = 0
            if usable[v]:
                to_x = sums[v, 0] * (width * HALF) * inverse_w[v]
                to_y = sums[v, 1] * (-height * HALF) * inverse_w[v]
                out[image, v, 0], out[image, v, 1] = to_x, to_y
                out[image, v, 3] = sums[v, 2] - (to_x * clip[image, v, 0] + to_y * clip[image, v, 1]) * inverse_w[v]


def rasterize_cpu(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool) -> Fragments:
    """`pain3d.kernels.rasterize` for CPU tensors."""
    if torch.is_grad_enabled() and vertices_clip.requires_grad:
        return Fragments(*_Rasterize.apply(vertices_clip, faces, size, cull))  # type: ignore[no-untyped-call]
    return _rasterize(vertices_clip, faces, size, cull)


class _Rasterize(torch.autograd.Function):
    """Visibility in the graph: barycentrics and depth have a gradient to vertices_clip."""

    @staticmethod
    def forward(
        ctx: Any, vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        fragments = _rasterize(vertices_clip, faces, size, cull)
        ctx.save_for_backward(vertices_clip, faces, fragments.face_ids)
        ctx.mark_non_differentiable(fragments.face_ids)
        return fragments.face_ids, fragments.barycentrics, fragments.depth

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        clip, faces, owner = ctx.saved_tensors
        out = torch.empty(clip.shape, dtype=clip.dtype)
        given = (clip, faces.to(torch.int32), owner, *gradients)
        arrays = [tensor.detach().contiguous().numpy() for tensor in (*given, out)]
        for_each_range(len(clip), lambda first, last: _slopes_of_images(first, last, *arrays))
        return out, None, None, None


def _rasterize(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool) -> Fragments:
    batch, (height, width) = vertices_clip.shape[0], size
    fragments = Fragments(
        torch.empty(batch, height, width, dtype=torch.int32),
        torch.empty(batch, height, width, 3, dtype=vertices_clip.dtype),
        torch.empty(batch, height, width, dtype=vertices_clip.dtype),
    )
    clip, corners = vertices_clip.detach().contiguous().numpy(), faces.to(torch.int32).contiguous().numpy()
    outputs = [tensor.numpy() for tensor in fragments]
    for_each_range(batch, lambda first, last: _rasterize_images(first, last, clip, corners, cull, *outputs))
    return fragments
