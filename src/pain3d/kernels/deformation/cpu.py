"""Knows deformation and its gradients at speed on a CPU: numba, passes over tiles of vertices, in a fixed order.

A tile of the basis stays in the cache while all meshes of the batch use it. Shapes are added one by one, k ascending,
and a coefficient of zero is skipped, so the bytes of a mesh depend on nothing but its own inputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pain3d.kernels._compiling import COMPILED, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.deformation.bundles import Skinning

TILE = 256  # vertices: 3 KB of sums in L1, and 250 shapes x 3 KB = 768 KB of basis in L2
TINY = np.float32(1e-38)
RUN = 512  # floats of a row at once, 2 KB: those of sixteen meshes stay in L1, three times as fast as 4096
# A sum of products may be taken in vectors. Which ones is compiled in, so it is the same for any number of threads.
IN_VECTORS: Any = {**COMPILED, "fastmath": {"reassoc", "contract"}}


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


# n = s / |s|, s_v = Σ c_f over the faces around v: grad s = (grad n - n (n · grad n)) / |s|; grad c_f is the sum of
# grad s over its corners, and with c = (b - a) x (c - a): grad a = grad c x (c - b), and so on around.
@njit(**COMPILED)
def _slopes_of_normals(first, last, vertices, faces, gradient, out):  # type: ignore[no-untyped-def]
    """Write the gradient to the vertices of meshes first … last - 1; sums in float64, faces ascending."""
    count = vertices.shape[1]
    sums, slopes = np.empty((count, 3), np.float64), np.empty((count, 3), np.float64)
    for mesh in range(first, last):
        points = vertices[mesh]
        sums[:] = 0.0
        for f in range(faces.shape[0]):
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            x, y, z = np.float64(points[i, 0]), np.float64(points[i, 1]), np.float64(points[i, 2])
            ax, ay, az = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
            bx, by, bz = points[k, 0] - x, points[k, 1] - y, points[k, 2] - z
            for v in (i, j, k):
                sums[v, 0] += ay * bz - az * by
                sums[v, 1] += az * bx - ax * bz
                sums[v, 2] += ax * by - ay * bx
        for v in range(count):
            x, y, z = sums[v, 0], sums[v, 1], sums[v, 2]
            squared = x * x + y * y + z * z
            sums[v] = 0.0
            slopes[v] = 0.0
            if squared > TINY:
                length = np.sqrt(squared)
                x, y, z = x / length, y / length, z / length
                gx, gy, gz = gradient[mesh, v, 0], gradient[mesh, v, 1], gradient[mesh, v, 2]
                along = x * gx + y * gy + z * gz
                slopes[v, 0] = (gx - x * along) / length
                slopes[v, 1] = (gy - y * along) / length
                slopes[v, 2] = (gz - z * along) / length
        for f in range(faces.shape[0]):
            i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
            gx = slopes[i, 0] + slopes[j, 0] + slopes[k, 0]
            gy = slopes[i, 1] + slopes[j, 1] + slopes[k, 1]
            gz = slopes[i, 2] + slopes[j, 2] + slopes[k, 2]
            for v, p, q in ((i, j, k), (j, k, i), (k, i, j)):
                dx = np.float64(points[q, 0]) - points[p, 0]
                dy = np.float64(points[q, 1]) - points[p, 1]
                dz = np.float64(points[q, 2]) - points[p, 2]
                sums[v, 0] += gy * dz - gz * dy
                sums[v, 1] += gz * dx - gx * dz
                sums[v, 2] += gx * dy - gy * dx
        for v in range(count):
            for axis in range(3):
                out[mesh, v, axis] = sums[v, axis]


# posed = Σ_w weight_w (R_j(w) · shaped + t_j(w)), so to shaped Σ_w weight_w R_jᵀ · g, to weights Σ over the meshes of
# g · (R_j · shaped + t_j), to transforms Σ over the vertices of weight · g ⊗ (shaped, 1).
@njit(**COMPILED)
def _slopes_of_skin(first, last, gradient, shaped, skinning, to_shaped, to_weights):  # type: ignore[no-untyped-def]
    """Write the gradients to shaped [B, V, 3] and to weights [V, W] (float64) of the vertices of tiles."""
    joints, weights, transforms = skinning
    for v in range(first * TILE, min(last * TILE, gradient.shape[1])):
        for b in range(gradient.shape[0]):
            gx, gy, gz = gradient[b, v, 0], gradient[b, v, 1], gradient[b, v, 2]
            sx, sy, sz = shaped[b, v, 0], shaped[b, v, 1], shaped[b, v, 2]
            x, y, z = np.float32(0), np.float32(0), np.float32(0)
            for slot in range(joints.shape[1]):
                joint, weight = transforms[b, joints[v, slot]], weights[v, slot]
                x += weight * (joint[0, 0] * gx + joint[1, 0] * gy + joint[2, 0] * gz)
                y += weight * (joint[0, 1] * gx + joint[1, 1] * gy + joint[2, 1] * gz)
                z += weight * (joint[0, 2] * gx + joint[1, 2] * gy + joint[2, 2] * gz)
                px = joint[0, 0] * sx + joint[0, 1] * sy + joint[0, 2] * sz + joint[0, 3]
                py = joint[1, 0] * sx + joint[1, 1] * sy + joint[1, 2] * sz + joint[1, 3]
                pz = joint[2, 0] * sx + joint[2, 1] * sy + joint[2, 2] * sz + joint[2, 3]
                to_weights[v, slot] += np.float64(gx * px + gy * py + gz * pz)
            to_shaped[b, v, 0], to_shaped[b, v, 1], to_shaped[b, v, 2] = x, y, z


@njit(**COMPILED)
def _slopes_of_transforms(first, last, gradient, shaped, skinning, to_transforms):  # type: ignore[no-untyped-def]
    """Add the gradients to the transforms [B, J, 4, 4] (float64) of meshes first … last - 1, vertices ascending."""
    joints, weights, _ = skinning
    for b in range(first, last):
        for v in range(gradient.shape[1]):
            for slot in range(joints.shape[1]):
                out, weight = to_transforms[b, joints[v, slot]], np.float64(weights[v, slot])
                for row in range(3):
                    moved = weight * gradient[b, v, row]
                    out[row, 0] += moved * shaped[b, v, 0]
                    out[row, 1] += moved * shaped[b, v, 1]
                    out[row, 2] += moved * shaped[b, v, 2]
                    out[row, 3] += moved


@njit(**IN_VECTORS)
def _product(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(**COMPILED)
def _slopes_of_coefficients(first, last, slopes, basis, out):  # type: ignore[no-untyped-def]
    """Add the products of slopes [B, 3 V] with shapes first … last - 1 of the basis [K, 3 V] to out [B, K], float64."""
    floats = slopes.shape[1]
    for begin in range(0, floats, RUN):
        end = min(begin + RUN, floats)
        for k in range(first, last):
            for b in range(slopes.shape[0]):
                out[b, k] += _product(slopes[b, begin:end], basis[k, begin:end])


@njit(**COMPILED)
def _slopes_of_basis(first, last, slopes, coefficients, out):  # type: ignore[no-untyped-def]
    """Add the gradients to shapes first … last - 1 of the basis [K, 3 V] to out: meshes ascending."""
    for begin in range(0, slopes.shape[1], RUN):
        end = min(begin + RUN, slopes.shape[1])
        for k in range(first, last):
            shape = out[k, begin:end]
            for b in range(slopes.shape[0]):
                coefficient, row = coefficients[b, k], slopes[b, begin:end]
                if coefficient != 0:
                    for i in range(end - begin):
                        shape[i] += coefficient * row[i]


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
    """`pain3d.kernels.deform` for float32 CPU tensors."""
    batch = coefficients.shape[0]
    if template_index is None:
        template_index = torch.arange(batch) if template.shape[0] > 1 else torch.zeros(batch, dtype=torch.int64)
    nothing = Points(template.new_empty(0, *template.shape[1:]), torch.empty(0, dtype=torch.int64))
    return _call(Points(template, template_index), nothing, Shapes(basis, coefficients), skinning)


def deform_pairs_cpu(
    shaped: Tensor, offsets: Tensor, shaped_index: Tensor, offset_index: Tensor, skinning: Skinning | None
) -> Tensor:
    """`pain3d.kernels.deform_pairs` for float32 CPU tensors."""
    nothing = Shapes(shaped.new_empty(0, shaped.shape[1], 3), shaped.new_empty(len(shaped_index), 0))
    return _call(Points(shaped, shaped_index), Points(offsets, offset_index), nothing, skinning)


def _call(template: Points, offsets: Points, shapes: Shapes, skinning: Skinning | None) -> Tensor:
    """Return the vertices [B, V, 3], in the graph where one of the inputs is."""
    inputs = (*template, *offsets, *shapes, *(skinning or (None, None, None)))
    if torch.is_grad_enabled() and any([tensor is not None and tensor.requires_grad for tensor in inputs]):
        vertices: Tensor = _Deform.apply(*inputs)  # type: ignore[no-untyped-call]
        return vertices
    return _run(template, offsets, shapes, skinning)


def _bundled(*inputs: Any) -> tuple[Points, Points, Shapes, Skinning | None]:
    skinning = None if inputs[6] is None else Skinning(*inputs[6:])
    return Points(*inputs[:2]), Points(*inputs[2:4]), Shapes(*inputs[4:6]), skinning


class _Deform(torch.autograd.Function):
    """Deformed meshes in the graph; the arguments are the fields of `_call`'s bundles."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor | None) -> Tensor:
        ctx.save_for_backward(*inputs)
        return _run(*_bundled(*inputs))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        template, offsets, shapes, skinning = _bundled(*ctx.saved_tensors)
        to_template, _, to_offsets, _, to_basis, to_coefficients, _, *to_skin = ctx.needs_input_grad
        slopes = gradient = gradient.contiguous()
        to_weights: Tensor | None = None
        to_transforms: Tensor | None = None
        if skinning is not None:
            shaped = _run(template, offsets, shapes, None) if any(to_skin) else gradient
            slopes, to_weights, to_transforms = _skin_slopes(gradient, shaped, skinning, to_skin[1])
        return (
            _slopes_of_rows(template, slopes) if to_template else None,
            None,
            _slopes_of_rows(offsets, slopes) if to_offsets else None,
            None,
            _to_basis(slopes, shapes) if to_basis else None,
            _to_coefficients(slopes, shapes) if to_coefficients else None,
            None,
            to_weights if to_skin[0] else None,
            to_transforms,
        )


def _slopes_of_rows(points: Points, slopes: Tensor) -> Tensor:
    """Return what the meshes of each row say of it, ascending."""
    return torch.zeros_like(points.rows).index_add_(0, points.which.long(), slopes)


def _to_basis(slopes: Tensor, shapes: Shapes) -> Tensor:
    out = torch.zeros(shapes.basis.shape)
    arrays = [slopes.flatten(1).numpy(), shapes.coefficients.detach().contiguous().numpy(), out.flatten(1).numpy()]
    for_each_range(len(out), lambda first, last: _slopes_of_basis(first, last, *arrays))
    return out


def _to_coefficients(slopes: Tensor, shapes: Shapes) -> Tensor:
    sums = torch.zeros(shapes.coefficients.shape, dtype=torch.float64)
    arrays = [slopes.flatten(1).numpy(), shapes.basis.detach().contiguous().flatten(1).numpy(), sums.numpy()]
    for_each_range(sums.shape[1], lambda first, last: _slopes_of_coefficients(first, last, *arrays))
    return sums.float()


def _skin_slopes(
    gradient: Tensor, shaped: Tensor, skinning: Skinning, to_transforms: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradients to what was skinned, to weights, and to transforms if wanted."""
    slopes = torch.empty(gradient.shape)
    weights = torch.zeros(skinning.weights.shape, dtype=torch.float64)
    given: Any = skinning._replace(joints=skinning.joints.long())
    bundle = type(given)(*(tensor.detach().contiguous().numpy() for tensor in given))
    inputs = (gradient.numpy(), shaped.numpy(), bundle)
    outputs = (slopes.numpy(), weights.numpy())
    tiles = -(-gradient.shape[1] // TILE)
    for_each_range(tiles, lambda first, last: _slopes_of_skin(first, last, *inputs, *outputs))
    if not to_transforms:
        return slopes, weights.float(), None
    transforms = torch.zeros(skinning.transforms.shape, dtype=torch.float64)
    into = transforms.numpy()
    for_each_range(len(transforms), lambda first, last: _slopes_of_transforms(first, last, *inputs, into))
    return slopes, weights.float(), transforms.float()


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
    """`pain3d.kernels.vertex_normals` for float32 CPU tensors."""
    if torch.is_grad_enabled() and vertices.requires_grad:
        normals: Tensor = _Normals.apply(vertices, faces)  # type: ignore[no-untyped-call]
        return normals
    return _normals(vertices, faces)


class _Normals(torch.autograd.Function):
    """Normals in the graph."""

    @staticmethod
    def forward(ctx: Any, vertices: Tensor, faces: Tensor) -> Tensor:
        ctx.save_for_backward(vertices, faces)
        return _normals(vertices, faces)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        vertices, faces = ctx.saved_tensors
        return normals_backward_cpu(vertices, faces, gradient), None


def normals_backward_cpu(vertices: Tensor, faces: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient to vertices [B, V, 3] of that [B, V, 3] of their normals, for float32 CPU tensors."""
    out = torch.empty(vertices.shape)
    given = (vertices, faces.to(torch.int32), gradient, out)
    arrays = [tensor.detach().contiguous().numpy() for tensor in given]
    for_each_range(len(vertices), lambda first, last: _slopes_of_normals(first, last, *arrays))
    return out


def _normals(vertices: Tensor, faces: Tensor) -> Tensor:
    out = torch.empty(vertices.shape)
    points, corners = vertices.detach().contiguous().numpy(), faces.to(torch.int32).contiguous().numpy()
    for_each_range(vertices.shape[0], lambda first, last: normals_of_meshes(first, last, points, corners, out.numpy()))
    return out
