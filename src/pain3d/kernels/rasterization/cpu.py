"""Knows visibility at speed on a CPU: numba, one image per thread, the same integers as the reference.

`snap_vertices` and `rasterize_faces` are also the first half of the fused `render`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numba import njit
from torch import Tensor

from pain3d.kernels._threads import COMPILED, WITHOUT_ARRAYS, for_each_range
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
            column = math.floor((x / w * 0.5 + 0.5) * width * SUBPIXELS + 0.5)
            row = math.floor((0.5 - y / w * 0.5) * height * SUBPIXELS + 0.5)
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


def rasterize_cpu(vertices_clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool) -> Fragments:
    """`pain3d.kernels.rasterize` for CPU tensors, without gradients."""
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
