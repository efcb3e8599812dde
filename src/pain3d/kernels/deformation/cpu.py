"""Knows deformation at speed on a CPU: numba, one pass over tiles of vertices, in a fixed order of summation.

A tile of the basis stays in the cache while all meshes of the batch use it. Shapes are added one by one, k ascending,
and a coefficient of zero is skipped, so the bytes of a mesh depend on nothing but its own inputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

from pain3d.kernels._threads import COMPILED, for_each_range
from pain3d.kernels.deformation.bundles import Skinning

TILE = 256  # vertices: 3 KB of sums in L1, and 250 shapes x 3 KB = 768 KB of basis in L2
TINY = np.float32(1e-38)


@njit(**COMPILED)
def _deform_tiles(first, last, template, offsets, shapes, skinning, out):  # type: ignore[no-untyped-def]
    """Deform the vertices of tiles first … last - 1 of every mesh; offsets of no mesh add nothing."""
    basis, coefficients = shapes
    joints, weights, transforms = skinning
    floats = out.shape[1] * 3
    skinned = joints.shape[1] > 0
    shifted = offsets.which.shape[0] > 0
    blend = np.empty(12, np.float32)
    for tile in range(first, last):
        begin = tile * TILE * 3
        end = min(begin + TILE * 3, floats)
        for b in range(out.shape[0]):
            sums = out[b].reshape(floats)[begin:end]
            sums[:] = template.rows[template.which[b]].reshape(floats)[begin:end]
            for k in range(basis.shape[0]):
                coefficient = coefficients[b, k]
                if coefficient != 0:
                    shape = basis[k].reshape(floats)[begin:end]
                    for i in range(end - begin):
                        sums[i] += coefficient * shape[i]
            if shifted:
                shift = offsets.rows[offsets.which[b]].reshape(floats)[begin:end]
                for i in range(end - begin):
                    sums[i] += shift[i]
            if skinned:
                for v in range(begin // 3, end // 3):
                    blend[:] = 0
                    for slot in range(joints.shape[1]):
                        weight = weights[v, slot]
                        joint = transforms[b, joints[v, slot]]
                        if weight != 0:
                            for row in range(3):
                                for column in range(4):
                                    blend[row * 4 + column] += weight * joint[row, column]
                    x, y, z = out[b, v, 0], out[b, v, 1], out[b, v, 2]
                    for row in range(3):
                        r = row * 4
                        out[b, v, row] = blend[r] * x + blend[r + 1] * y + blend[r + 2] * z + blend[r + 3]


@njit(**COMPILED)
def normals_of_meshes(first, last, vertices, faces, out):  # type: ignore[no-untyped-def]
    """Write the unit normals of meshes first … last - 1 into out [B, V, 3]."""
    for b in range(first, last):
        points = vertices[b]
        normals = out[b]
        normals[:] = 0
        for f in range(faces.shape[0]):
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
            bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            for v in (i, j, k):
                normals[v, 0] += nx
                normals[v, 1] += ny
                normals[v, 2] += nz
        for v in range(points.shape[0]):
            nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
            squared = nx * nx + ny * ny + nz * nz
            if squared > TINY:
                length = np.sqrt(squared)
                normals[v, 0] = nx / length
                normals[v, 1] = ny / length
                normals[v, 2] = nz / length
            else:
                normals[v, 0] = normals[v, 1] = normals[v, 2] = 0


class Points(NamedTuple):
    """Points of which each mesh has one row."""

    rows: Tensor  # [R, V, 3]
    which: Tensor  # [B] in 0 … R - 1, or [0]: no mesh has any


class Shapes(NamedTuple):
    """Blend shapes and how much of each a mesh has."""

    basis: Tensor  # [K, V, 3]
    coefficients: Tensor  # [B, K]


def deform_cpu(
    template: Tensor, basis: Tensor, coefficients: Tensor, skinning: Skinning | None, template_index: Tensor | None
) -> Tensor:
    """`pain3d.kernels.deform` for float32 CPU tensors, without gradients."""
    batch = coefficients.shape[0]
    if template_index is None:
        template_index = torch.arange(batch) if template.shape[0] > 1 else torch.zeros(batch, dtype=torch.int64)
    nothing = Points(template[:0], torch.empty(0, dtype=torch.int64))
    return _run(Points(template, template_index), nothing, Shapes(basis, coefficients), skinning)


def deform_pairs_cpu(
    shaped: Tensor, offsets: Tensor, shaped_index: Tensor, offset_index: Tensor, skinning: Skinning | None
) -> Tensor:
    """`pain3d.kernels.deform_pairs` for float32 CPU tensors, without gradients."""
    nothing = Shapes(shaped.new_empty(0, shaped.shape[1], 3), shaped.new_empty(len(shaped_index), 0))
    return _run(Points(shaped, shaped_index), Points(offsets, offset_index), nothing, skinning)


def _run(template: Points, offsets: Points, shapes: Shapes, skinning: Skinning | None) -> Tensor:
    batch, vertices = len(template.which), template.rows.shape[1]
    out = torch.empty(batch, vertices, 3)
    if skinning is None:
        joints = torch.empty(vertices, 0, dtype=torch.int64)
        skinning = Skinning(joints, torch.empty(vertices, 0), torch.empty(batch, 0, 4, 4))
    given: list[Any] = [
        Points(template.rows, template.which.long()),
        Points(offsets.rows, offsets.which.long()),
        shapes,
        skinning._replace(joints=skinning.joints.long()),
    ]
    arrays = [type(bundle)(*(tensor.detach().contiguous().numpy() for tensor in bundle)) for bundle in given]
    arrays.append(out.numpy())
    for_each_range(-(-vertices // TILE), lambda first, last: _deform_tiles(first, last, *arrays))
    return out


def vertex_normals_cpu(vertices: Tensor, faces: Tensor) -> Tensor:
    """`pain3d.kernels.vertex_normals` for float32 CPU tensors, without gradients."""
    out = torch.empty(vertices.shape)
    points, corners = vertices.detach().contiguous().numpy(), faces.to(torch.int32).contiguous().numpy()
    for_each_range(vertices.shape[0], lambda first, last: normals_of_meshes(first, last, points, corners, out.numpy()))
    return out
