"""Knows the gradients of skinning on a GPU: Triton, float32. What is summed has one order.

    posed = Σ_w weight_w (R_j(w) · shaped + t_j(w)), so
    to shaped       Σ_w weight_w R_j(w)ᵀ · grad posed: a tile of meshes times a tile of vertices, as forward
    to weights      Σ over the meshes, ascending, of grad posed · (R_j · shaped + t_j): slices of meshes, then their sum
    to transforms   Σ over the vertices that a joint moves of weight · grad posed ⊗ (shaped, 1): a program per mesh and
                    joint, over a static list of slots by joint

What remains are products of matrices (to coefficients and basis) and sums of rows (to templates): torch's, and
`launch_gather`'s.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._groups import Groups
from pain3d.kernels._triton import block_of, cdiv, launch
from pain3d.kernels.deformation.bundles import Skinning

MESHES = 64  # of a slice: as many are summed by one program
SLOTS = 1024 if interpreting() else 128  # of a joint at once

_SIZES = ["batch", "count", "joints"]


@triton.jit
def _transposed(column_ptr, has_mesh, x, y, z):  # type: ignore[no-untyped-def]
    """Return the column of the transforms [M, 1] times (x, y, z) [M, V]."""
    m0 = tl.load(column_ptr, mask=has_mesh, other=0.0)[:, None]
    m1 = tl.load(column_ptr + 4, mask=has_mesh, other=0.0)[:, None]
    m2 = tl.load(column_ptr + 8, mask=has_mesh, other=0.0)[:, None]
    return tl.fma(m0, x, tl.fma(m1, y, m2 * z))


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _to_shaped(  # type: ignore[no-untyped-def]
    gradient_ptr,
    skinning,
    out_ptr,
    batch,
    count,
    joints,
    WIDTH: tl.constexpr,
    MESHES: tl.constexpr,
    VERTICES: tl.constexpr,
):
    SLOTS: tl.constexpr = triton.next_power_of_2(max(WIDTH, 1))
    vertex_tiles = tl.cdiv(count, VERTICES)
    tile = tl.program_id(0) // vertex_tiles
    vertex = tl.program_id(0) % vertex_tiles * VERTICES + tl.arange(0, VERTICES)
    mesh = (tile * MESHES + tl.arange(0, MESHES)).to(tl.int64)
    has_mesh, has_vertex = mesh < batch, vertex < count
    there = has_mesh[:, None] & has_vertex[None, :]
    place = (mesh * count * 3)[:, None] + (vertex * 3)[None, :]
    gx = tl.load(gradient_ptr + place, mask=there, other=0.0)
    gy = tl.load(gradient_ptr + place + 1, mask=there, other=0.0)
    gz = tl.load(gradient_ptr + place + 2, mask=there, other=0.0)
    # as `_skin` in kernel.py: over the joints that the tile uses
    slot = tl.arange(0, SLOTS)
    given = has_vertex[:, None] & (slot < WIDTH)[None, :]
    at = vertex[:, None] * WIDTH + slot[None, :]
    joint_of = tl.load(skinning.joints + at, mask=given, other=-1).to(tl.int32)
    weight_of = tl.load(skinning.weights + at, mask=given, other=0.0)
    used = weight_of != 0
    lowest = tl.maximum(tl.min(tl.where(used, joint_of, joints)), 0)
    highest = tl.minimum(tl.max(tl.where(used, joint_of, -1)), joints - 1)
    x, y, z = tl.zeros_like(gx), tl.zeros_like(gx), tl.zeros_like(gx)
    for joint in range(lowest, highest + 1):
        if tl.max((used & (joint_of == joint)).to(tl.int32)) > 0:
            weight = tl.sum(tl.where(joint_of == joint, weight_of, 0.0), 1)[None, :]
            affine_ptr = skinning.transforms + (mesh * joints + joint) * 16
            x = tl.fma(weight, _transposed(affine_ptr, has_mesh, gx, gy, gz), x)
            y = tl.fma(weight, _transposed(affine_ptr + 1, has_mesh, gx, gy, gz), y)
            z = tl.fma(weight, _transposed(affine_ptr + 2, has_mesh, gx, gy, gz), z)
    tl.store(out_ptr + place, x, mask=there)
    tl.store(out_ptr + place + 1, y, mask=there)
    tl.store(out_ptr + place + 2, z, mask=there)


def launch_to_shaped(gradient: Tensor, skinning: Skinning) -> Tensor:
    """Return the gradient [B, V, 3] to vertices before skinning, of that to posed ones; all contiguous."""
    batch, count = gradient.shape[:2]
    out = torch.empty_like(gradient)
    block = block_of(count, 64)
    if batch and count:
        grid = (cdiv(batch, 4) * cdiv(count, block),)
        sizes = (batch, count, skinning.transforms.shape[1])
        tile = {"WIDTH": skinning.weights.shape[1], "MESHES": 4, "VERTICES": block}
        launch(_to_shaped, grid, gradient, skinning, out, *sizes, **tile, num_warps=1)
    return out


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _to_weights(  # type: ignore[no-untyped-def]
    gradient_ptr,
    shaped_ptr,
    skinning,
    out_ptr,
    batch,
    count,
    joints,
    WIDTH: tl.constexpr,
    MESHES: tl.constexpr,
    ENTRIES: tl.constexpr,
):
    entries = count * WIDTH
    blocks = tl.cdiv(entries, ENTRIES)
    part = tl.program_id(0) // blocks
    entry = tl.program_id(0) % blocks * ENTRIES + tl.arange(0, ENTRIES)
    there = entry < entries
    vertex = entry // WIDTH
    joint = tl.load(skinning.joints + entry, mask=there, other=-1).to(tl.int32)
    known = (joint >= 0) & (joint < joints)
    total = tl.zeros((ENTRIES,), tl.float32)
    for number in range(tl.minimum(batch - part * MESHES, MESHES)):
        mesh = (part * MESHES + number).to(tl.int64)
        at = (mesh * count + vertex) * 3
        x, y = tl.load(shaped_ptr + at, mask=known, other=0.0), tl.load(shaped_ptr + at + 1, mask=known, other=0.0)
        z = tl.load(shaped_ptr + at + 2, mask=known, other=0.0)
        affine_ptr = skinning.transforms + (mesh * joints + joint) * 16
        for row in tl.static_range(3):
            m0 = tl.load(affine_ptr + 4 * row, mask=known, other=0.0)
            m1 = tl.load(affine_ptr + 4 * row + 1, mask=known, other=0.0)
            m2 = tl.load(affine_ptr + 4 * row + 2, mask=known, other=0.0)
            m3 = tl.load(affine_ptr + 4 * row + 3, mask=known, other=0.0)
            posed = tl.fma(m0, x, tl.fma(m1, y, tl.fma(m2, z, m3)))
            total = tl.fma(tl.load(gradient_ptr + at + row, mask=known, other=0.0), posed, total)
    tl.store(out_ptr + part.to(tl.int64) * entries + entry, total, mask=there)


def launch_to_weights(gradient: Tensor, shaped: Tensor, skinning: Skinning, *, meshes: int = MESHES) -> Tensor:
    """Return the gradient [V, W] to the weights, of that [B, V, 3] to posed vertices; all contiguous."""
    (batch, count), width = gradient.shape[:2], skinning.weights.shape[1]
    parts = cdiv(batch, meshes)
    out = gradient.new_empty(parts, count, width)
    if out.numel():
        block = block_of(count * width, 128)
        sizes = (batch, count, skinning.transforms.shape[1])
        tile = {"WIDTH": width, "MESHES": meshes, "ENTRIES": block}
        launch(_to_weights, (parts * cdiv(count * width, block),), gradient, shaped, skinning, out, *sizes, **tile)
    return out.sum(0)


@triton.jit(do_not_specialize=_SIZES[1:])  # type: ignore[untyped-decorator]
def _to_transforms(  # type: ignore[no-untyped-def]
    gradient_ptr,
    shaped_ptr,
    weights_ptr,
    starts_ptr,
    members_ptr,
    out_ptr,
    count,
    joints,
    WIDTH: tl.constexpr,
    SLOTS: tl.constexpr,
):
    mesh = (tl.program_id(0) // joints).to(tl.int64)
    joint = tl.program_id(0) % joints
    start = tl.load(starts_ptr + joint)
    many = tl.load(starts_ptr + joint + 1) - start
    lane = tl.arange(0, SLOTS)
    column = tl.arange(0, 4)[None, :]
    row0 = tl.zeros((SLOTS, 4), tl.float32)
    row1, row2 = tl.zeros_like(row0), tl.zeros_like(row0)
    for first in range(0, many, SLOTS):
        there = first + lane < many
        entry = tl.load(members_ptr + start + first + lane, mask=there, other=0)
        weight = tl.load(weights_ptr + entry, mask=there, other=0.0)
        at = (mesh * count + entry // WIDTH) * 3
        # (shaped, 1): the fourth column is not read
        read = there[:, None] & (column < 3)
        point = tl.load(shaped_ptr + at[:, None] + column, mask=read, other=1.0)
        row0 += (tl.load(gradient_ptr + at, mask=there, other=0.0) * weight)[:, None] * point
        row1 += (tl.load(gradient_ptr + at + 1, mask=there, other=0.0) * weight)[:, None] * point
        row2 += (tl.load(gradient_ptr + at + 2, mask=there, other=0.0) * weight)[:, None] * point
    at = out_ptr + tl.program_id(0).to(tl.int64) * 16 + tl.arange(0, 4)
    tl.store(at, tl.sum(row0, 0))
    tl.store(at + 4, tl.sum(row1, 0))
    tl.store(at + 8, tl.sum(row2, 0))
    tl.store(at + 12, tl.zeros((4,), tl.float32))


def launch_to_transforms(gradient: Tensor, shaped: Tensor, skinning: Skinning, slots: Groups) -> Tensor:
    """Return the gradient [B, J, 4, 4] to the transforms, 0 in the last row; all contiguous.

    Args:
        gradient: [B, V, 3], to posed vertices.
        shaped: [B, V, 3], vertices before skinning.
        skinning: Joints.
        slots: Of `skinning.joints`, by joint.
    """
    out = torch.empty_like(skinning.transforms)
    batch, joints = out.shape[:2]
    if batch and joints:
        inputs = (gradient, shaped, skinning.weights, *slots)
        tile = {"WIDTH": max(skinning.weights.shape[1], 1), "SLOTS": SLOTS}
        launch(_to_transforms, (batch * joints,), *inputs, out, gradient.shape[1], joints, **tile)
    return out
