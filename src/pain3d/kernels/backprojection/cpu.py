"""Knows back-projection on a CPU: numba, float32, rows of texels, each texel in all views before the next.

So the point of a mesh that all views share is computed once.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.backprojection import reference
from pain3d.kernels.backprojection.bundles import Limits, Surface, Views

F, N = np.float32, np.uint64  # unsigned, so that no index is tested for being negative
ZERO, HALF, ONE, TWO = F(0), F(0.5), F(1), F(2)
BEND, NEAREST, SMALLEST = F(reference.BEND), F(reference.NEAREST), F(reference.SMALLEST)


@njit(**WITHOUT_ARRAYS)
def _point(mesh, faces, face, barycentrics):  # type: ignore[no-untyped-def]
    """Return position and unit normal, six numbers, of barycentrics [3] on a face of a mesh [V, 6]."""
    a, b, c = mesh[N(faces[face, 0])], mesh[N(faces[face, 1])], mesh[N(faces[face, 2])]
    s, t, r = barycentrics[0], barycentrics[1], barycentrics[2]
    x, y, z = s * a[0] + t * b[0] + r * c[0], s * a[1] + t * b[1] + r * c[1], s * a[2] + t * b[2] + r * c[2]
    i, j, k = s * a[3] + t * b[3] + r * c[3], s * a[4] + t * b[4] + r * c[4], s * a[5] + t * b[5] + r * c[5]
    length = max(math.sqrt(i * i + j * j + k * k), SMALLEST)
    return x, y, z, i / length, j / length, k / length


@njit(**WITHOUT_ARRAYS)
def _look(picture, depth, confidence, m, point, limits, colour):  # type: ignore[no-untyped-def]
    """Write what a view, its numbers m [26], shows of a point to colour [C]; return its weight."""
    x, y, z, i, j, k = point
    colour[:] = ZERO
    p, q, r = m[21] - x, m[22] - y, m[23] - z
    cosine = (i * p + j * q + k * r) / max(math.sqrt(p * p + q * q + r * r), SMALLEST)
    w = m[8] * x + m[9] * y + m[10] * z + m[11]
    if not (w > NEAREST and cosine > ZERO and cosine >= limits.least_cosine):
        return ZERO
    height, width = F(depth.shape[0]), F(depth.shape[1])
    u, v = (m[0] * x + m[1] * y + m[2] * z + m[3]) / w, (m[4] * x + m[5] * y + m[6] * z + m[7]) / w
    column, row = (u * HALF + HALF) * width - HALF, (HALF - v * HALF) * height - HALF
    if not (column > -ONE and column < width and row > -ONE and row < height):
        return ZERO
    left, top = F(math.floor(column)), F(math.floor(row))
    across, down = column - left, row - top
    plane_u, plane_v = m[12] * i + m[13] * j + m[14] * k, m[15] * i + m[16] * j + m[17] * k
    here = plane_u * u + plane_v * v + (m[18] * i + m[19] * j + m[20] * k)
    slack = BEND * w / (cosine * cosine)
    seen, trusted = ZERO, ZERO
    for below in range(2):
        line = np.int64(top) + below
        if line < 0 or line >= depth.shape[0]:
            continue
        for aside in range(2):
            place = np.int64(left) + aside
            if place < 0 or place >= depth.shape[1]:
                continue
            step_u, step_v = (F(aside) - across) * (TWO / width), (down - F(below)) * (TWO / height)
            turn = ONE + (plane_u * step_u + plane_v * step_v) / here
            metres_u, metres_v = step_u * m[24], step_v * m[25]
            allowed = limits.tolerance + slack * math.sqrt(metres_u * metres_u + metres_v * metres_v)
            found = depth[N(line), N(place)]
            if not (turn > ZERO and found < F(np.inf) and abs(found - w / turn) <= allowed):
                continue
            share = (across if aside else ONE - across) * (down if below else ONE - down)
            seen += share
            trusted += share * confidence[N(line), N(place)]
            shown = picture[N(line), N(place)]
            for channel in range(colour.shape[0]):
                colour[channel] += share * shown[channel]
    if not seen > ZERO:
        colour[:] = ZERO
        return ZERO
    for channel in range(colour.shape[0]):
        colour[channel] /= seen
    return trusted * F(cosine**limits.power)


@njit(**WITHOUT_ARRAYS)
def _backproject_rows(first, last, views, surface, limits, colours, weights):  # type: ignore[no-untyped-def]
    """Write rows first … last - 1 of the texels to colours [N, S, T, C] and weights [N, S, T]."""
    for row in range(first, last):
        for texel in range(surface.texel_faces.shape[1]):
            face = surface.texel_faces[row, texel]
            barycentrics = surface.texel_barycentrics[row, texel]
            point = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
            for view in range(views.depth.shape[0]):
                if face < 0:
                    colours[view, row, texel, :] = ZERO
                    weights[view, row, texel] = ZERO
                    continue
                if view < surface.meshes.shape[0]:
                    point = _point(surface.meshes[view], surface.faces, N(face), barycentrics)
                weights[view, row, texel] = _look(
                    views.pictures[view],
                    views.depth[view],
                    views.confidence[view],
                    views.numbers[view],
                    point,
                    limits,
                    colours[view, row, texel],
                )


def backproject_cpu(views: Views, surface: Surface, limits: Limits) -> tuple[Tensor, Tensor]:
    """Return colours [N, S, T, C] and weights [N, S, T], float32; see `pain3d.kernels.backproject`."""
    count, _, _, channels = views.pictures.shape
    colours = torch.empty(count, *surface.texel_faces.shape, channels)
    weights = torch.empty(count, *surface.texel_faces.shape)
    if weights.numel() == 0:
        return colours, weights
    seen = Views(*(tensor.contiguous().numpy() for tensor in views))  # type: ignore[arg-type]
    under = Surface(*(tensor.contiguous().numpy() for tensor in surface))  # type: ignore[arg-type]
    within = Limits(*(F(number) for number in limits))  # type: ignore[arg-type]

    def run(first: int, last: int) -> None:
        _backproject_rows(first, last, seen, under, within, colours.numpy(), weights.numpy())

    for_each_range(surface.texel_faces.shape[0], run)
    return colours, weights
