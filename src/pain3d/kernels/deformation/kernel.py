"""Knows deformation and normals on a GPU: Triton, float32. A program holds a tile of meshes times a tile of vertices.

    shaped = template + Σ_k coefficients_k · basis_k  (+ offsets)      three matrix products: x, y, z
    posed  = Σ_j weight_j · (T_j · (shaped, 1))                        over the joints that the tile uses

The tile stays in registers from the first shape to the last joint, and only the posed vertices are written. The
products run on the tensor cores in TF32, which reads the first 10 bits of a factor's fraction. EXACT cuts each factor
into those bits and the rest, and sums three products, small ones first: what it drops is below 2^-20 of a product.
(`tl.dot` can do that by itself, as "tf32x3", but then holds a second sum and spills registers.) Every mesh is summed in
one order, in tiles of 64 or 128 meshes, alone or in a batch. Longer than others: blending and skinning are one kernel.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn.functional import pad

from pain3d.kernels._groups import group
from pain3d.kernels._triton import block_of, cdiv, launch
from pain3d.kernels.deformation.bundles import Skinning
from pain3d.kernels.deformation.layout import QUAD, is_planar, planar_basis
from pain3d.kernels.deformation.reference import TINY

_QUAD = tl.constexpr(QUAD)
_TINY = tl.constexpr(TINY)
# arguments of which no value is special: a kernel is compiled once for all of them
_SIZES = ["batch", "count", "templates", "offset_rows", "quads", "row_quads", "plane_quads", "joints"]
_HIGH_BITS = tl.constexpr(-(1 << 13))  # of a float32: sign, exponent and the first 10 of 23 bits of the fraction
_BAND = tl.constexpr(32)  # tiles of meshes that pass over the basis together: their coefficients stay in L2


class Points(NamedTuple):
    """Points of which each mesh has a row; where `which` is None the first one is everybody's."""

    at: Tensor  # [R, V, 3]
    which: Tensor | None  # [B]


class Shapes(NamedTuple):
    """Blend shapes, `is_planar`, and how much of each a mesh has; rows padded to quads."""

    coefficients: Tensor  # [B, K]
    basis: Tensor  # [K, V, 3]


class Tile(NamedTuple):
    """How the work is cut."""

    meshes: int  # of a program
    vertices: int  # of a program
    shapes: int = 32  # of a step: 128 bytes of a row
    warps: int = 8
    stages: int = 3  # steps in flight
    registers: int | None = None  # the most a thread may take; None lets the compiler choose


# 64 rows are the least that wgmma takes; with 64 columns, or 16 warps, the skinning spills registers.
FEW_MESHES = Tile(64, 32, warps=4, registers=255)  # left alone, sm_80 stops at 168 registers and spills two of them
MANY_MESHES = Tile(128, 32)  # halves the cutting of the basis in high and low parts for each mesh
NO_SHAPES = Tile(4, 64, warps=1)  # no products: of one warp, so that finding a tile's joints needs no barrier


@triton.jit
def _high_and_low(value):  # type: ignore[no-untyped-def]
    high = (value.to(tl.int32, bitcast=True) & _HIGH_BITS).to(tl.float32, bitcast=True)
    return high, value - high


@triton.jit  # type: ignore[untyped-decorator]
def _add_product(a, b, total, EXACT: tl.constexpr):  # type: ignore[no-untyped-def]
    if EXACT:
        a_high, a_low = _high_and_low(a)
        b_high, b_low = _high_and_low(b)
        total = tl.dot(a_low, b_high, total, input_precision="tf32")
        total = tl.dot(a_high, b_low, total, input_precision="tf32")
        total = tl.dot(a_high, b_high, total, input_precision="tf32")
    else:
        total = tl.dot(a, b, total, input_precision="tf32")
    return total


@triton.jit  # type: ignore[untyped-decorator]
def _blend(  # type: ignore[no-untyped-def]
    x,
    y,
    z,
    shapes,
    quads,
    row_quads,
    plane_quads,
    mesh,
    has_mesh,
    vertex,
    has_vertex,
    SHAPES: tl.constexpr,
    EXACT: tl.constexpr,
):
    # rows of both factors are padded to quads, and masked by quads: so that a copy of 16 bytes has one mask
    shape = tl.arange(0, SHAPES)
    a_ptr = shapes.coefficients + mesh[:, None] * (quads * _QUAD) + shape[None, :]
    b_ptr = shapes.basis + vertex.to(tl.int64)[None, :] * (row_quads * _QUAD) + shape[:, None]
    plane = plane_quads.to(tl.int64) * _QUAD
    for first in range(0, quads * _QUAD, SHAPES):
        left = (first + shape) // _QUAD < quads
        a = tl.load(a_ptr + first, mask=has_mesh[:, None] & left[None, :], other=0.0)
        wanted = left[:, None] & has_vertex[None, :]
        x = _add_product(a, tl.load(b_ptr + first, mask=wanted, other=0.0), x, EXACT)
        y = _add_product(a, tl.load(b_ptr + plane + first, mask=wanted, other=0.0), y, EXACT)
        z = _add_product(a, tl.load(b_ptr + 2 * plane + first, mask=wanted, other=0.0), z, EXACT)
    return x, y, z


@triton.jit
def _add_points(x, y, z, points, rows, mesh, has_mesh, vertex, has_vertex, count):  # type: ignore[no-untyped-def]
    """Add to each mesh its row of points [rows, count, 3].

    A row that does not exist adds nothing and is not read.
    """
    if points.which is None:
        at = points.at + vertex * 3
        x += tl.load(at, mask=has_vertex, other=0.0)[None, :]
        y += tl.load(at + 1, mask=has_vertex, other=0.0)[None, :]
        z += tl.load(at + 2, mask=has_vertex, other=0.0)[None, :]
    else:
        row = tl.load(points.which + mesh, mask=has_mesh, other=-1).to(tl.int64)
        known = (has_mesh & (row >= 0) & (row < rows))[:, None] & has_vertex[None, :]
        at = points.at + (row * count * 3)[:, None] + (vertex * 3)[None, :]
        x += tl.load(at, mask=known, other=0.0)
        y += tl.load(at + 1, mask=known, other=0.0)
        z += tl.load(at + 2, mask=known, other=0.0)
    return x, y, z


@triton.jit
def _affine_row(row_ptr, has_mesh, x, y, z):  # type: ignore[no-untyped-def]
    m0 = tl.load(row_ptr, mask=has_mesh, other=0.0).to(x.dtype)[:, None]
    m1 = tl.load(row_ptr + 1, mask=has_mesh, other=0.0).to(x.dtype)[:, None]
    m2 = tl.load(row_ptr + 2, mask=has_mesh, other=0.0).to(x.dtype)[:, None]
    m3 = tl.load(row_ptr + 3, mask=has_mesh, other=0.0).to(x.dtype)[:, None]
    return tl.fma(m0, x, tl.fma(m1, y, tl.fma(m2, z, m3)))


@triton.jit  # type: ignore[untyped-decorator]
def _skin(  # type: ignore[no-untyped-def]
    x, y, z, skinning, joints, mesh, has_mesh, vertex, has_vertex, WIDTH: tl.constexpr
):
    SLOTS: tl.constexpr = triton.next_power_of_2(max(WIDTH, 1))
    # A joint that no vertex of the tile uses costs a comparison; one outside 0 … joints - 1 is never asked for.
    slot = tl.arange(0, SLOTS)
    given = has_vertex[:, None] & (slot < WIDTH)[None, :]
    at = vertex[:, None] * WIDTH + slot[None, :]
    joint_of = tl.load(skinning.joints + at, mask=given, other=-1).to(tl.int32)
    weight_of = tl.load(skinning.weights + at, mask=given, other=0.0)
    used = weight_of != 0
    lowest = tl.maximum(tl.min(tl.where(used, joint_of, joints)), 0)
    highest = tl.minimum(tl.max(tl.where(used, joint_of, -1)), joints - 1)
    posed_x, posed_y, posed_z = tl.zeros_like(x), tl.zeros_like(y), tl.zeros_like(z)
    for joint in range(lowest, highest + 1):
        if tl.max((used & (joint_of == joint)).to(tl.int32)) > 0:
            weight = tl.sum(tl.where(joint_of == joint, weight_of, 0.0), 1)[None, :]
            affine_ptr = skinning.transforms + (mesh * joints + joint) * 16
            posed_x = tl.fma(weight, _affine_row(affine_ptr, has_mesh, x, y, z), posed_x)
            posed_y = tl.fma(weight, _affine_row(affine_ptr + 4, has_mesh, x, y, z), posed_y)
            posed_z = tl.fma(weight, _affine_row(affine_ptr + 8, has_mesh, x, y, z), posed_z)
    return posed_x, posed_y, posed_z


@triton.jit
def _four(x, y, z, w):  # type: ignore[no-untyped-def]
    """Interleave four [M, V] into [M, 4 V]."""
    return tl.reshape(tl.join(tl.join(x, z), tl.join(y, w)), (x.shape[0], x.shape[1] * 4))


@triton.jit(do_not_specialize=_SIZES)  # type: ignore[untyped-decorator]
def _deform(  # type: ignore[no-untyped-def]
    out_ptr,
    template,
    offsets,
    shapes,
    skinning,
    batch,
    count,
    templates,
    offset_rows,
    quads,
    row_quads,
    plane_quads,
    joints,
    EXACT: tl.constexpr,
    WIDTH: tl.constexpr,
    TILE: tl.constexpr,
):
    MESHES: tl.constexpr = TILE[0]
    VERTICES: tl.constexpr = TILE[1]
    SHAPES: tl.constexpr = TILE[2]
    # bands of tiles: neighbouring programs share a tile of the basis, and a band's coefficients are read again from L2
    vertex_tiles = tl.cdiv(count, VERTICES)
    band = tl.program_id(0) // (_BAND * vertex_tiles)
    within = tl.program_id(0) - band * (_BAND * vertex_tiles)
    mesh_tiles = tl.minimum(tl.cdiv(batch, MESHES) - band * _BAND, _BAND)
    first_vertex = within // mesh_tiles * VERTICES
    mesh = ((band * _BAND + within % mesh_tiles) * MESHES + tl.arange(0, MESHES)).to(tl.int64)
    vertex = first_vertex + tl.arange(0, VERTICES)
    has_mesh, has_vertex = mesh < batch, vertex < count

    x = tl.zeros((MESHES, VERTICES), tl.float32)
    y, z = tl.zeros_like(x), tl.zeros_like(x)
    if shapes is not None:
        x, y, z = _blend(
            x, y, z, shapes, quads, row_quads, plane_quads, mesh, has_mesh, vertex, has_vertex, SHAPES, EXACT
        )
    x, y, z = _add_points(x, y, z, template, templates, mesh, has_mesh, vertex, has_vertex, count)
    if offsets is not None:
        x, y, z = _add_points(x, y, z, offsets, offset_rows, mesh, has_mesh, vertex, has_vertex, count)
    if skinning is not None:
        x, y, z = _skin(x, y, z, skinning, joints, mesh, has_mesh, vertex, has_vertex, WIDTH)

    lane = tl.arange(0, 4 * VERTICES)  # component lane % 4 of the tile's vertex lane // 4
    stored = has_mesh[:, None] & (first_vertex + lane // 4 < count)[None, :]
    # side by side: neighbouring lanes write neighbouring floats; in steps of 12 bytes each sector is written thrice
    at = out_ptr + (mesh * count * 3)[:, None] + (first_vertex * 3 + lane // 4 * 3 + lane % 4)[None, :]
    tl.store(at, _four(x, y, z, z), mask=stored & (lane % 4 < 3)[None, :])


# Σ over the faces around v, ascending, of (b - a) x (c - a): each vertex gathers, so nobody adds to what another adds
# to, and the sum has one order.
@triton.jit
def summed_crosses(points_ptr, faces_ptr, starts_ptr, members_ptr, vertex, has_mesh, has_vertex, count):  # type: ignore[no-untyped-def]
    """Return the sums [M, V] of the faces' cross products, in x, y and z; `points_ptr` [M, 1] is of each mesh."""
    start = tl.load(starts_ptr + vertex, mask=has_vertex, other=0)
    faces = tl.load(starts_ptr + vertex + 1, mask=has_vertex, other=0) - start
    x = tl.zeros((has_mesh.shape[0], vertex.shape[0]), tl.float32)
    y, z = tl.zeros_like(x), tl.zeros_like(x)
    for step in range(tl.max(faces, 0)):
        around = step < faces
        face = tl.load(members_ptr + start + step, mask=around, other=0).to(tl.int64)
        a = tl.load(faces_ptr + face * 3, mask=around, other=-1).to(tl.int32)
        b = tl.load(faces_ptr + face * 3 + 1, mask=around, other=-1).to(tl.int32)
        c = tl.load(faces_ptr + face * 3 + 2, mask=around, other=-1).to(tl.int32)
        exist = (a >= 0) & (a < count) & (b >= 0) & (b < count) & (c >= 0) & (c < count)
        read = has_mesh[:, None] & exist[None, :]
        at = points_ptr + (a * 3)[None, :]
        ax, ay = tl.load(at, mask=read, other=0.0), tl.load(at + 1, mask=read, other=0.0)
        az = tl.load(at + 2, mask=read, other=0.0)
        at = points_ptr + (b * 3)[None, :]
        bx, by = tl.load(at, mask=read, other=0.0) - ax, tl.load(at + 1, mask=read, other=0.0) - ay
        bz = tl.load(at + 2, mask=read, other=0.0) - az
        at = points_ptr + (c * 3)[None, :]
        cx, cy = tl.load(at, mask=read, other=0.0) - ax, tl.load(at + 1, mask=read, other=0.0) - ay
        cz = tl.load(at + 2, mask=read, other=0.0) - az
        x += by * cz - bz * cy
        y += bz * cx - bx * cz
        z += bx * cy - by * cx
    return x, y, z


@triton.jit(do_not_specialize=["batch", "count"])  # type: ignore[untyped-decorator]
def _normals(  # type: ignore[no-untyped-def]
    vertices_ptr,
    faces_ptr,
    starts_ptr,
    members_ptr,
    normals_ptr,
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
    length = tl.sqrt(tl.where(has_direction, squared, 1.0))
    stored = has_mesh[:, None] & has_vertex[None, :]
    at = normals_ptr + (mesh * count * 3)[:, None] + (vertex * 3)[None, :]
    tl.store(at, tl.where(has_direction, x / length, 0.0), mask=stored)
    tl.store(at + 1, tl.where(has_direction, y / length, 0.0), mask=stored)
    tl.store(at + 2, tl.where(has_direction, z / length, 0.0), mask=stored)


def launch_deform(
    out: Tensor,
    template: Points,
    *,
    offsets: Points | None = None,
    basis: Tensor | None = None,
    coefficients: Tensor | None = None,
    skinning: Skinning | None = None,
    exact: bool = True,
    tile: Tile | None = None,
) -> None:
    """Fill `out` with B deformed meshes. All tensors are contiguous; a basis that `is_planar` is read where it lies.

    Args:
        out: Vertices [B, V, 3] float32.
        template: [T, V, 3].
        offsets: [E, V, 3], added after the shapes.
        basis: [K, V, 3], or None for no shapes.
        coefficients: [B, K], or None.
        skinning: Joints, or None.
        exact: Three TF32 products for each product, fp32-grade; else one.
        tile: How the work is cut; None chooses.
    """
    batch, count = out.shape[:2]
    if batch == 0 or count == 0:
        return
    shapes, quads, row_quads, plane_quads = None, 0, 0, 0
    if basis is not None and coefficients is not None and len(basis):
        basis = basis if is_planar(basis) else planar_basis(basis)
        quads, row_quads, plane_quads = cdiv(len(basis), QUAD), basis.stride(1) // QUAD, basis.stride(2) // QUAD
        missing = -coefficients.shape[1] % QUAD
        shapes = Shapes(pad(coefficients, (0, missing)) if missing else coefficients, basis)
    tile = tile or _tile(batch, count, shapes is not None)
    launch(
        _deform,
        (cdiv(batch, tile.meshes) * cdiv(count, tile.vertices),),
        out,
        template,
        offsets,
        shapes,
        skinning,
        batch,
        count,
        len(template.at),
        len(offsets.at) if offsets is not None else 0,
        quads,
        row_quads,
        plane_quads,
        skinning.transforms.shape[1] if skinning is not None else 0,
        EXACT=exact,
        WIDTH=skinning.weights.shape[1] if skinning is not None else 0,
        TILE=(tile.meshes, tile.vertices, tile.shapes),
        num_warps=tile.warps,
        num_stages=tile.stages,
        maxnreg=tile.registers,
    )


def _tile(batch: int, count: int, has_shapes: bool) -> Tile:
    tile = (FEW_MESHES if batch <= FEW_MESHES.meshes else MANY_MESHES) if has_shapes else NO_SHAPES
    return tile._replace(vertices=block_of(count, tile.vertices))


def vertex_faces(faces: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return which faces touch each vertex, by torch ops on the device: nothing waits for the host.

    Args:
        faces: [F, 3] int32 or int64.
        count: Vertices.

    Returns:
        starts [V + 1] and members [3 F], both int32: vertex v has the faces ``members[starts[v]:starts[v + 1]]``,
        ascending. A face that touches a vertex twice stands there twice; corners out of range stand nowhere.
    """
    starts, corners = group(faces, count)
    return starts, corners // 3


def launch_normals(
    vertices: Tensor,
    faces: Tensor,
    starts: Tensor,
    members: Tensor,
    normals: Tensor | None = None,
    *,
    meshes: int = 4,
    block: int | None = None,
) -> Tensor:
    """Return unit normals [M, V, 3] of vertices [M, V, 3] float32, written into `normals` where it is given.

    Args:
        vertices: [M, V, 3], contiguous.
        faces: [F, 3] int32 or int64; a face with an index out of range is left out.
        starts: [V + 1], from `vertex_faces`.
        members: [3 F], likewise.
        normals: [M, V, 3].
        meshes: Meshes of a program, which share the reading of faces.
        block: Vertices of a program; None chooses.
    """
    normals = torch.empty_like(vertices) if normals is None else normals
    batch, count = vertices.shape[:2]
    block = block or block_of(count, 64)
    if batch and count:
        launch(
            _normals,
            (cdiv(batch, meshes) * cdiv(count, block),),
            vertices,
            faces,
            starts,
            members,
            normals,
            batch,
            count,
            MESHES=meshes,
            VERTICES=block,
        )
    return normals
