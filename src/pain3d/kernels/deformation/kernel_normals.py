"""Knows the gradient of vertex normals on a GPU: Triton, float32. Each vertex gathers, twice.

s_v = Σ over the faces around v of c_f, c_f = (p - v) x (q - v) from any of its corners;  n = s / |s|
grad s = (grad n - n (n · grad n)) / |s|, 0 where a normal has no direction
grad c_f = the sum of grad s over its corners;  grad v = Σ over its faces of grad c_f x (q - p)
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._groups import Groups
from pain3d.kernels._triton import block_of, cdiv, launch
from pain3d.kernels.deformation.kernel import summed_crosses
from pain3d.kernels.deformation.reference import TINY

_TINY = tl.constexpr(TINY)


@triton.jit(do_not_specialize=["batch", "count"])  # type: ignore[untyped-decorator]
def _slopes_of_sums(  # type: ignore[no-untyped-def]
    gradient_ptr,
    vertices_ptr,
    faces_ptr,
    starts_ptr,
    members_ptr,
    slopes_ptr,
    batch,
    count,
    MESHES: tl.constexpr,
    VERTICES: tl.constexpr,
):
    vertex_tiles = tl.cdiv(count, VERTICES)
    tile = tl.program_id(0) // vertex_tiles
    vertex = tl.program_id(0) % vertex_tiles * VERTICES + tl.arange(0, VERTICES)
    mesh = (tile * MESHES + tl.arange(0, MESHES)).to(tl.int64)
    has_mesh, has_vertex = mesh < batch, vertex < count
    points_ptr = vertices_ptr + (mesh * count * 3)[:, None]
    x, y, z = summed_crosses(points_ptr, faces_ptr, starts_ptr, members_ptr, vertex, has_mesh, has_vertex, count)
    squared = x * x + y * y + z * z
    has_direction = squared > _TINY
    per_length = 1.0 / tl.sqrt(tl.where(has_direction, squared, 1.0))
    x, y, z = x * per_length, y * per_length, z * per_length
    there = has_mesh[:, None] & has_vertex[None, :]
    place = (mesh * count * 3)[:, None] + (vertex * 3)[None, :]
    wanted = there & has_direction
    gx = tl.load(gradient_ptr + place, mask=wanted, other=0.0)
    gy = tl.load(gradient_ptr + place + 1, mask=wanted, other=0.0)
    gz = tl.load(gradient_ptr + place + 2, mask=wanted, other=0.0)
    along = x * gx + y * gy + z * gz
    tl.store(slopes_ptr + place, (gx - x * along) * per_length, mask=there)
    tl.store(slopes_ptr + place + 1, (gy - y * along) * per_length, mask=there)
    tl.store(slopes_ptr + place + 2, (gz - z * along) * per_length, mask=there)


@triton.jit(do_not_specialize=["batch", "count"])  # type: ignore[untyped-decorator]
def _slopes_of_vertices(  # type: ignore[no-untyped-def]
    slopes_ptr,
    vertices_ptr,
    faces_ptr,
    starts_ptr,
    corners_ptr,
    out_ptr,
    batch,
    count,
    MESHES: tl.constexpr,
    VERTICES: tl.constexpr,
):
    vertex_tiles = tl.cdiv(count, VERTICES)
    tile = tl.program_id(0) // vertex_tiles
    vertex = tl.program_id(0) % vertex_tiles * VERTICES + tl.arange(0, VERTICES)
    mesh = (tile * MESHES + tl.arange(0, MESHES)).to(tl.int64)
    has_mesh, has_vertex = mesh < batch, vertex < count
    of_mesh = (mesh * count * 3)[:, None]
    own = of_mesh + (vertex * 3)[None, :]
    there = has_mesh[:, None] & has_vertex[None, :]
    sx = tl.load(slopes_ptr + own, mask=there, other=0.0)
    sy = tl.load(slopes_ptr + own + 1, mask=there, other=0.0)
    sz = tl.load(slopes_ptr + own + 2, mask=there, other=0.0)
    start = tl.load(starts_ptr + vertex, mask=has_vertex, other=0)
    faces = tl.load(starts_ptr + vertex + 1, mask=has_vertex, other=0) - start
    x = tl.zeros((MESHES, VERTICES), tl.float32)
    y, z = tl.zeros_like(x), tl.zeros_like(x)
    for step in range(tl.max(faces, 0)):
        around = step < faces
        place = tl.load(corners_ptr + start + step, mask=around, other=0).to(tl.int64)
        corner = place % 3
        first = faces_ptr + (place - corner)
        p = tl.load(first + (corner + 1) % 3, mask=around, other=-1).to(tl.int32)
        q = tl.load(first + (corner + 2) % 3, mask=around, other=-1).to(tl.int32)
        exist = (p >= 0) & (p < count) & (q >= 0) & (q < count)
        read = has_mesh[:, None] & exist[None, :]
        at_p, at_q = of_mesh + (p * 3)[None, :], of_mesh + (q * 3)[None, :]
        gx = sx + tl.load(slopes_ptr + at_p, mask=read, other=0.0) + tl.load(slopes_ptr + at_q, mask=read, other=0.0)
        gy = sy + tl.load(slopes_ptr + at_p + 1, mask=read, other=0.0)
        gy += tl.load(slopes_ptr + at_q + 1, mask=read, other=0.0)
        gz = sz + tl.load(slopes_ptr + at_p + 2, mask=read, other=0.0)
        gz += tl.load(slopes_ptr + at_q + 2, mask=read, other=0.0)
        dx = tl.load(vertices_ptr + at_q, mask=read, other=0.0) - tl.load(vertices_ptr + at_p, mask=read, other=0.0)
        dy = tl.load(vertices_ptr + at_q + 1, mask=read, other=0.0)
        dy -= tl.load(vertices_ptr + at_p + 1, mask=read, other=0.0)
        dz = tl.load(vertices_ptr + at_q + 2, mask=read, other=0.0)
        dz -= tl.load(vertices_ptr + at_p + 2, mask=read, other=0.0)
        x += gy * dz - gz * dy
        y += gz * dx - gx * dz
        z += gx * dy - gy * dx
    tl.store(out_ptr + own, x, mask=there)
    tl.store(out_ptr + own + 1, y, mask=there)
    tl.store(out_ptr + own + 2, z, mask=there)


def launch_normals_backward(
    gradient: Tensor,  # [M, V, 3] float32, contiguous
    vertices: Tensor,  # [M, V, 3] float32, contiguous
    faces: Tensor,  # [F, 3] int32 or int64, contiguous
    corners: Groups,  # of the faces, by vertex
    *,
    meshes: int = 4,
    block: int | None = None,
) -> Tensor:
    """Return the gradient [M, V, 3] to vertices, of that to their unit normals."""
    batch, count = vertices.shape[:2]
    slopes, out = torch.empty_like(vertices), torch.empty_like(vertices)
    block = block or block_of(count, 64)
    if batch and count:
        grid = (cdiv(batch, meshes) * cdiv(count, block),)
        sizes, tile = (batch, count), {"MESHES": meshes, "VERTICES": block}
        around = (corners.starts, corners.members // 3)
        launch(_slopes_of_sums, grid, gradient, vertices, faces, *around, slopes, *sizes, **tile)
        launch(_slopes_of_vertices, grid, slopes, vertices, faces, *corners, out, *sizes, **tile)
    return out
