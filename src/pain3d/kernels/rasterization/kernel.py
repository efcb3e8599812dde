"""Knows visibility on a GPU: Triton, one 64-bit minimum per sample, the same integers as the reference.

Four steps, all on the device: vertices become screen records; small faces walk their boxes and take the minimum of a
key in the visibility buffer; larger faces wait in a queue that a second kernel draws; each pixel then reads its winner.

    screen record   [N, V, 4] int32: x, y in 1/256 px, bits of float32 1/w, spare; all 0 where the vertex is not usable
    key             [N, H · W] int64: epoch (8 bits, 127 … 0) | depth code (32 bits) | face id (24 bits); the least wins

The depth code falls as 1/w rises, so the nearest wins, and of equals the lowest face id, in whatever order they come.
A later pass has a lower epoch and beats every key before it: the buffer is filled once per `EPOCHS` passes (see
`workspace.py`). The first half of the fused `render` is made of these kernels too. Longer than other files: records,
keys, drawing and resolve share their device functions, and only a room's `kernel.py` may import triton.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._triton import block_of, cdiv, launch, programs_on
from pain3d.kernels.rasterization.reference import HALF, LIMIT, NEAR, SUBPIXELS

FACE_BITS = 24  # of a key: `op.py` refuses more faces
EPOCH_BITS = 56  # where the epoch stands in a key, above 32 bits of depth code and the face id
SMALL = 64  # pixels a side: edge functions of a box this large stay below 2^30, exact in int32
WAVES = (
    4  # programs per multiprocessor that draw the queue: enough to hide their loads, and an empty queue costs little
)


class Blocks(NamedTuple):
    """How much of the work a program takes; no result depends on it.

    The stamp was chosen by counting compiled instructions over the packaged head at 224² to 1024²: 8 x 4 pixels with
    a face per warp take 2 to 7 times as many, most of them to set faces up that have fewer pixels than lanes.
    """

    triangles: int = 8  # of the first visibility kernel: with a 4 x 1 stamp one warp, which waits for the longest of 8
    across: int = 4  # columns and rows of a stamp: as many lanes step together over a face's box. 4 keys are one sector
    down: int = 1
    warps: int = 1
    side: int = 32  # pixels of a tile's side in the queue's kernel
    slices: int = 16  # pieces of work that a queued face is cut into: a 64 to 128 px box has 9 to 16 tiles
    vertices: int = 128  # of the kernels that write screen records
    pixels: int = 128  # of the resolve


# The interpreter's cost is per program and operation, not per lane.
BLOCKS = (
    Blocks(triangles=64, across=8, down=8, side=32, slices=1, vertices=1024, pixels=4096)
    if interpreting()
    else Blocks()
)

_HALF = tl.constexpr(HALF)
_LIMIT = tl.constexpr(LIMIT)
_NEAR = tl.constexpr(NEAR)
_SUBPIXELS = tl.constexpr(SUBPIXELS)
_SUBPIXEL_BITS = tl.constexpr(SUBPIXELS.bit_length() - 1)
_FACE_BITS = tl.constexpr(FACE_BITS)
_FACE_MASK = tl.constexpr(2**FACE_BITS - 1)
_EPOCH_BITS = tl.constexpr(EPOCH_BITS)
_INFINITE = tl.constexpr(float("inf"))
_NEAREST = tl.constexpr(0x7FFFFFFF)  # minus the bits of a positive float32: a code that falls as the float rises


@triton.jit
def four(record):  # type: ignore[no-untyped-def]
    """Split [T, 4] into its four columns, each [T]; with a row per thread that moves nothing."""
    even, odd = tl.split(tl.reshape(record, (record.shape[0], 2, 2)))
    first, third = tl.split(even)
    second, fourth = tl.split(odd)
    return first, second, third, fourth


@triton.jit
def corner(screen_ptr, vertex, mask):  # type: ignore[no-untyped-def]
    """Return x, y (int32, 1/256 px) and 1/w (float32, 0 if not usable) of vertices [T]: one 16-byte load each.

    `screen_ptr` points to this view's first record; where the mask is false nothing is read and all are 0.
    """
    record = tl.load(screen_ptr + vertex[:, None] * 4 + tl.arange(0, 4)[None, :], mask=mask[:, None], other=0)
    x, y, bits, _ = four(record)
    return x, y, bits.to(tl.float32, bitcast=True)


@triton.jit
def corners_of(faces_ptr, face, mask, vertex_count):  # type: ignore[no-untyped-def]
    """Return the three vertices of faces [T], int32, and whether all exist: what is out of range must not be read."""
    a = tl.load(faces_ptr + face * 3, mask=mask, other=-1)
    b = tl.load(faces_ptr + face * 3 + 1, mask=mask, other=-1)
    c = tl.load(faces_ptr + face * 3 + 2, mask=mask, other=-1)
    exist = (a >= 0) & (a < vertex_count) & (b >= 0) & (b < vertex_count) & (c >= 0) & (c < vertex_count)
    return a.to(tl.int32), b.to(tl.int32), c.to(tl.int32), exist


@triton.jit
def perspective(x0, y0, w0, x1, y1, w1, x2, y2, w2, column, row):  # type: ignore[no-untyped-def]
    """Return t_c = E_c / w_c (float32) at the pixel centre (column, row), and the signed doubled area (int64).

    Positions are int32 in 1/256 px, w_c the inverse depths. E_c are exact: positive inside, whichever way the face
    turns, and their sum is the area's size. Barycentrics are t / Σ t, the depth is |area| / Σ t.
    """
    x0, y0, x1, y1, x2, y2 = x0 - column, y0 - row, x1 - column, y1 - row, x2 - column, y2 - row
    e0 = x2.to(tl.int64) * y1 - x1.to(tl.int64) * y2
    e1 = x0.to(tl.int64) * y2 - x2.to(tl.int64) * y0
    e2 = x1.to(tl.int64) * y0 - x0.to(tl.int64) * y1
    area = e0 + e1 + e2
    sign = tl.where(area < 0, -1.0, 1.0)
    t0, t1, t2 = e0.to(tl.float32) * sign * w0, e1.to(tl.float32) * sign * w1, e2.to(tl.float32) * sign * w2
    return t0, t1, t2, area


@triton.jit
def key_of(inverse_depth, face, epoch):  # type: ignore[no-untyped-def]
    """Return the key (int64) of a face at 1/w (float32, not negative) in this epoch."""
    code = _NEAREST - inverse_depth.to(tl.int32, bitcast=True)
    return (epoch.to(tl.int64) << _EPOCH_BITS) | (code.to(tl.int64) << _FACE_BITS) | face.to(tl.int64)


@triton.jit
def face_of(key, epoch):  # type: ignore[no-untyped-def]
    """Return the face id (int32) in a key, -1 where the key is of another epoch or nobody wrote it.

    The top bit of a depth code is 0 in what a face writes and 1 in `EMPTY`, so that the first epoch may be 127.
    """
    face = (key & _FACE_MASK).to(tl.int32)
    return tl.where((key >> (_EPOCH_BITS - 1)).to(tl.int32) == epoch * 2, face, -1)


@triton.jit
def store_records(screen_ptr, vertex, mask, x, y, finite, w, height, width):  # type: ignore[no-untyped-def]
    """Snap clip coordinates [T], float64, and write their screen records."""
    # position = (x / w · 0.5 + 0.5) · W, (0.5 - y / w · 0.5) · H in float64, snapped to floor(256 · position + 0.5).
    # Halves and 256 are powers of two, so contracting into fused multiply-adds changes no bit.
    usable = finite & (w > _NEAR)
    safe = tl.where(usable, w, 1.0)
    column = tl.floor((x / safe * 0.5 + 0.5) * width * _SUBPIXELS + 0.5)
    row = tl.floor((0.5 - y / safe * 0.5) * height * _SUBPIXELS + 0.5)
    usable = usable & (tl.abs(column) <= _LIMIT) & (tl.abs(row) <= _LIMIT)
    column = tl.where(usable, column, 0.0).to(tl.int32)
    row = tl.where(usable, row, 0.0).to(tl.int32)
    bits = tl.where(usable, 1.0 / safe, 0.0).to(tl.float32).to(tl.int32, bitcast=True)
    record = tl.reshape(tl.join(tl.join(column, bits), tl.join(row, tl.zeros_like(row))), (vertex.shape[0], 4))
    tl.store(screen_ptr + vertex[:, None] * 4 + tl.arange(0, 4)[None, :], record, mask=mask[:, None])


@triton.jit  # type: ignore[untyped-decorator]
def _snap(clip_ptr, screen_ptr, count, height, width, VERTICES: tl.constexpr):  # type: ignore[no-untyped-def]
    blocks = tl.cdiv(count, VERTICES)
    first = (tl.program_id(0) // blocks).to(tl.int64) * count * 4
    vertex = tl.program_id(0) % blocks * VERTICES + tl.arange(0, VERTICES)
    mask = vertex < count
    clip = tl.load(clip_ptr + first + vertex[:, None] * 4 + tl.arange(0, 4)[None, :], mask=mask[:, None], other=0.0)
    x, y, z, w = four(clip.to(tl.float64))
    finite = tl.abs(x) + tl.abs(y) + tl.abs(z) + tl.abs(w) < _INFINITE  # NaN compares false
    store_records(screen_ptr + first, vertex, mask, x, y, finite, w, height, width)


@triton.jit  # type: ignore[untyped-decorator]
def _project(  # type: ignore[no-untyped-def]
    vertices_ptr, matrix_ptr, mesh_ptr, screen_ptr, meshes, count, height, width, VERTICES: tl.constexpr
):
    # clip = M · (x, y, z, 1), term by term in float64: a product of two float32 is exact there, so each sum rounds as
    # in `to_clip`, fused or not.
    blocks = tl.cdiv(count, VERTICES)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    vertex = tl.program_id(0) % blocks * VERTICES + tl.arange(0, VERTICES)
    mask = vertex < count
    mesh = tl.load(mesh_ptr + view).to(tl.int64)
    exists = (mesh >= 0) & (mesh < meshes)
    at = vertices_ptr + mesh * count * 3 + vertex * 3
    x = tl.load(at, mask=mask & exists, other=0.0).to(tl.float64)
    y = tl.load(at + 1, mask=mask & exists, other=0.0).to(tl.float64)
    z = tl.load(at + 2, mask=mask & exists, other=0.0).to(tl.float64)
    clip_x, clip_y = _row(matrix_ptr + view * 16, x, y, z), _row(matrix_ptr + view * 16 + 4, x, y, z)
    clip_z, clip_w = _row(matrix_ptr + view * 16 + 8, x, y, z), _row(matrix_ptr + view * 16 + 12, x, y, z)
    finite = tl.abs(clip_x) + tl.abs(clip_y) + tl.abs(clip_z) + tl.abs(clip_w) < _INFINITE
    store_records(screen_ptr + view * count * 4, vertex, mask, clip_x, clip_y, finite & exists, clip_w, height, width)


@triton.jit
def _row(row_ptr, x, y, z):  # type: ignore[no-untyped-def]
    m0, m1 = tl.load(row_ptr).to(tl.float64), tl.load(row_ptr + 1).to(tl.float64)
    m2, m3 = tl.load(row_ptr + 2).to(tl.float64), tl.load(row_ptr + 3).to(tl.float64)
    return m0 * x + m1 * y + m2 * z + m3


@triton.jit
def _box(low, high, count):  # type: ignore[no-untyped-def]
    """First and last pixel whose centre lies between two positions in 1/256 px, clamped to the image."""
    first = tl.maximum((low + (_HALF - 1)) >> _SUBPIXEL_BITS, 0)
    last = tl.minimum((high - _HALF) >> _SUBPIXEL_BITS, count - 1)
    return first, last


@triton.jit
def _least(dx, dy):  # type: ignore[no-untyped-def]
    """The least value of an edge function that is inside: 0 on a top or left edge, else 1."""
    return tl.where((dy > 0) | ((dy == 0) & (dx < 0)), 0, 1)


# Edge functions E_c(p) = dy · (p - a)_x - dx · (p - a)_y of the edge (dx, dy) from a, opposite corner c, turned so that
# they are positive inside. 1/w(p) = Σ_c E_c / w_c / |2A|: no term is negative, so float32 loses nothing by
# cancellation.
#
# ACROSS x DOWN neighbouring lanes belong to a face and step together over its box, a stamp at a time. All tensors are
# flat, one lane an element: no layout is converted, and a program of one warp waits for the longest of few faces only.
@triton.jit(do_not_specialize=["epoch"])  # type: ignore[untyped-decorator]
def _draw_small(  # type: ignore[no-untyped-def]
    screen_ptr,
    faces_ptr,
    keys_ptr,
    queue_ptr,
    vertex_count,
    face_count,
    height,
    width,
    epoch,
    CULL: tl.constexpr,
    TRIANGLES: tl.constexpr,
    ACROSS: tl.constexpr,
    DOWN: tl.constexpr,
    SMALL: tl.constexpr,
):
    lane = tl.arange(0, TRIANGLES * ACROSS * DOWN)
    blocks = tl.cdiv(face_count, TRIANGLES)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    face = tl.program_id(0) % blocks * TRIANGLES + lane // (ACROSS * DOWN)
    a, b, c, exist = corners_of(faces_ptr, face, face < face_count, vertex_count)
    view_ptr = screen_ptr + view * vertex_count * 4
    x0, y0, w0 = corner(view_ptr, a, exist)
    x1, y1, w1 = corner(view_ptr, b, exist)
    x2, y2, w2 = corner(view_ptr, c, exist)
    area = (y1 - y0).to(tl.int64) * (x2 - x0) - (x1 - x0).to(tl.int64) * (y2 - y0)
    left, right = tl.minimum(tl.minimum(x0, x1), x2), tl.maximum(tl.maximum(x0, x1), x2)
    top, bottom = tl.minimum(tl.minimum(y0, y1), y2), tl.maximum(tl.maximum(y0, y1), y2)
    first_j, last_j = _box(left, right, width)
    first_i, last_i = _box(top, bottom, height)
    drawn = (w0 > 0) & (w1 > 0) & (w2 > 0) & (first_j <= last_j) & (first_i <= last_i)
    drawn = drawn & ((area > 0) if CULL else (area != 0))
    is_small = tl.maximum(right - left, bottom - top) <= SMALL * _SUBPIXELS

    # the queue: its first element counts, each program takes as many places as it has large faces
    queued = drawn & (is_small == 0) & (lane % (ACROSS * DOWN) == 0)
    found = tl.sum(queued.to(tl.int32), 0)
    if found > 0:
        place = tl.atomic_add(queue_ptr, found.to(tl.int64), sem="relaxed")
        tl.store(queue_ptr + place + tl.cumsum(queued.to(tl.int32), 0), view * face_count + face, mask=queued)

    # int32 from here on: relative to the first pixel centre of the clamped box, all below 2^30
    sign = tl.where(area < 0, -1, 1)
    dx0, dy0 = (x2 - x1) * sign, (y2 - y1) * sign
    dx1, dy1 = (x0 - x2) * sign, (y0 - y2) * sign
    dx2, dy2 = (x1 - x0) * sign, (y1 - y0) * sign
    column, row = first_j * _SUBPIXELS + _HALF, first_i * _SUBPIXELS + _HALF
    start0 = dy0 * (column - x1) - dx0 * (row - y1)
    start1 = dy1 * (column - x2) - dx1 * (row - y2)
    start2 = dy2 * (column - x0) - dx2 * (row - y0)
    least0, least1, least2 = _least(dx0, dy0), _least(dx1, dy1), _least(dx2, dy2)
    size = tl.where(drawn, tl.abs(area), 1).to(tl.float32)
    g0, g1, g2 = w0 / size, w1 / size, w2 / size
    columns, rows = last_j - first_j + 1, last_i - first_i + 1
    stamps_across = tl.cdiv(columns, ACROSS)
    stamps = tl.where(drawn & is_small, stamps_across * tl.cdiv(rows, DOWN), 0)
    keys_ptr += view * height * width
    corner_pixel = first_i * width + first_j  # below 2^28

    j, i = lane % ACROSS, lane // ACROSS % DOWN
    right0, right1, right2 = dy0 * _SUBPIXELS, dy1 * _SUBPIXELS, dy2 * _SUBPIXELS
    down0, down1, down2 = dx0 * -_SUBPIXELS, dx1 * -_SUBPIXELS, dx2 * -_SUBPIXELS
    stamp, longest = 0, tl.max(stamps, 0)
    while stamp < longest:
        e0, e1, e2 = start0 + right0 * j + down0 * i, start1 + right1 * j + down1 * i, start2 + right2 * j + down2 * i
        inside = (e0 >= least0) & (e1 >= least1) & (e2 >= least2) & (j < columns) & (i < rows) & (stamp < stamps)
        inverse_depth = tl.fma(e2.to(tl.float32), g2, tl.fma(e1.to(tl.float32), g1, e0.to(tl.float32) * g0))
        key = key_of(inverse_depth, face, epoch)
        tl.atomic_min(keys_ptr + (corner_pixel + i * width + j), key, mask=inside, sem="relaxed")
        j += ACROSS
        stamp += 1
        turn = j >= stamps_across * ACROSS
        i = tl.where(turn, i + DOWN, i)
        j = tl.where(turn, lane % ACROSS, j)


@triton.jit(do_not_specialize=["epoch"])  # type: ignore[untyped-decorator]
def _draw_queue(  # type: ignore[no-untyped-def]
    screen_ptr,
    faces_ptr,
    keys_ptr,
    queue_ptr,
    vertex_count,
    face_count,
    height,
    width,
    epoch,
    SIDE: tl.constexpr,
    SLICES: tl.constexpr,
):
    # what `_draw_small` does, a face at a time in int64: positions reach 2^29, edge functions 2^61
    work = tl.program_id(0).to(tl.int64)
    many = tl.load(queue_ptr) * SLICES
    while work < many:
        item = tl.load(queue_ptr + 1 + work // SLICES)
        view, face = item // face_count, (item % face_count).to(tl.int32)
        view_ptr = screen_ptr + view * vertex_count * 4
        at0 = view_ptr + tl.load(faces_ptr + face * 3).to(tl.int32) * 4
        at1 = view_ptr + tl.load(faces_ptr + face * 3 + 1).to(tl.int32) * 4
        at2 = view_ptr + tl.load(faces_ptr + face * 3 + 2).to(tl.int32) * 4
        x0, y0, w0 = tl.load(at0), tl.load(at0 + 1), tl.load(at0 + 2).to(tl.float32, bitcast=True)
        x1, y1, w1 = tl.load(at1), tl.load(at1 + 1), tl.load(at1 + 2).to(tl.float32, bitcast=True)
        x2, y2, w2 = tl.load(at2), tl.load(at2 + 1), tl.load(at2 + 2).to(tl.float32, bitcast=True)
        area = (y1 - y0).to(tl.int64) * (x2 - x0) - (x1 - x0).to(tl.int64) * (y2 - y0)
        first_j, last_j = _box(tl.minimum(tl.minimum(x0, x1), x2), tl.maximum(tl.maximum(x0, x1), x2), width)
        first_i, last_i = _box(tl.minimum(tl.minimum(y0, y1), y2), tl.maximum(tl.maximum(y0, y1), y2), height)
        sign = tl.where(area < 0, -1, 1)
        dx0, dy0 = (x2 - x1) * sign, (y2 - y1) * sign
        dx1, dy1 = (x0 - x2) * sign, (y0 - y2) * sign
        dx2, dy2 = (x1 - x0) * sign, (y1 - y0) * sign
        size = tl.abs(area).to(tl.float32)
        g0, g1, g2 = w0 / size, w1 / size, w2 / size
        across = tl.cdiv(last_j - first_j + 1, SIDE)
        tiles = across * tl.cdiv(last_i - first_i + 1, SIDE)
        tile = (work % SLICES).to(tl.int32)
        while tile < tiles:
            j = first_j + tile % across * SIDE + tl.arange(0, SIDE)[None, :]
            i = first_i + tile // across * SIDE + tl.arange(0, SIDE)[:, None]
            column, row = j * _SUBPIXELS + _HALF, i * _SUBPIXELS + _HALF
            e0 = dy0.to(tl.int64) * (column - x1) - dx0.to(tl.int64) * (row - y1)
            e1 = dy1.to(tl.int64) * (column - x2) - dx1.to(tl.int64) * (row - y2)
            e2 = dy2.to(tl.int64) * (column - x0) - dx2.to(tl.int64) * (row - y0)
            inside = (e0 >= _least(dx0, dy0)) & (e1 >= _least(dx1, dy1)) & (e2 >= _least(dx2, dy2))
            inside = inside & (j <= last_j) & (i <= last_i)
            inverse_depth = tl.fma(e2.to(tl.float32), g2, tl.fma(e1.to(tl.float32), g1, e0.to(tl.float32) * g0))
            pixel = view * height * width + (i * width + j)
            tl.atomic_min(keys_ptr + pixel, key_of(inverse_depth, face, epoch), mask=inside, sem="relaxed")
            tile += SLICES
        work += tl.num_programs(0)


@triton.jit(do_not_specialize=["epoch"])  # type: ignore[untyped-decorator]
def _write_fragments(  # type: ignore[no-untyped-def]
    keys_ptr,
    screen_ptr,
    faces_ptr,
    face_ids_ptr,
    barycentrics_ptr,
    depth_ptr,
    vertex_count,
    height,
    width,
    epoch,
    PIXELS: tl.constexpr,
):
    pixels = height * width
    blocks = tl.cdiv(pixels, PIXELS)
    view = (tl.program_id(0) // blocks).to(tl.int64)
    pixel = tl.program_id(0) % blocks * PIXELS + tl.arange(0, PIXELS)
    mask = pixel < pixels
    first = view * pixels
    face = face_of(tl.load(keys_ptr + first + pixel, mask=mask, other=-1), epoch)
    covered = mask & (face >= 0)
    tl.store(face_ids_ptr + first + pixel, face, mask=mask)
    depth = tl.full([PIXELS], _INFINITE, tl.float32)
    barycentrics_ptr += first * 3
    if tl.max(covered.to(tl.int32), axis=0) > 0:
        a, b, c, exist = corners_of(faces_ptr, face, covered, vertex_count)
        view_ptr = screen_ptr + view * vertex_count * 4
        x0, y0, w0 = corner(view_ptr, a, exist)
        x1, y1, w1 = corner(view_ptr, b, exist)
        x2, y2, w2 = corner(view_ptr, c, exist)
        column, row = pixel % width * _SUBPIXELS + _HALF, pixel // width * _SUBPIXELS + _HALF
        t0, t1, t2, area = perspective(x0, y0, w0, x1, y1, w1, x2, y2, w2, column, row)
        per_total = 1.0 / tl.where(covered, t0 + t1 + t2, 1.0)
        at = barycentrics_ptr + pixel * 3
        tl.store(at, tl.where(covered, t0 * per_total, 0.0), mask=mask)
        tl.store(at + 1, tl.where(covered, t1 * per_total, 0.0), mask=mask)
        tl.store(at + 2, tl.where(covered, t2 * per_total, 0.0), mask=mask)
        depth = tl.where(covered, tl.abs(area).to(tl.float32) * per_total, _INFINITE)
    else:
        number = tl.program_id(0) % blocks * PIXELS * 3 + tl.arange(0, PIXELS)
        nothing = tl.zeros([PIXELS], tl.float32)
        tl.store(barycentrics_ptr + number, nothing, mask=number < pixels * 3)
        tl.store(barycentrics_ptr + number + PIXELS, nothing, mask=number < pixels * 3 - PIXELS)
        tl.store(barycentrics_ptr + number + 2 * PIXELS, nothing, mask=number < pixels * 3 - 2 * PIXELS)
    tl.store(depth_ptr + first + pixel, depth, mask=mask)


def launch_snap(vertices_clip: Tensor, size: tuple[int, int], screen: Tensor, *, blocks: Blocks = BLOCKS) -> None:
    """Fill the screen records [N, V, 4] int32 from vertices_clip [N, V, 4] float32."""
    views, count = vertices_clip.shape[:2]
    height, width = size
    grid = (views * cdiv(count, blocks.vertices),)
    launch(_snap, grid, vertices_clip, screen, count, height, width, VERTICES=blocks.vertices)


def launch_project(
    vertices: Tensor,
    world_to_clip: Tensor,
    mesh_index: Tensor,
    size: tuple[int, int],
    screen: Tensor,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Fill the screen records [N, V, 4] int32 from vertices [M, V, 3], world_to_clip [N, 4, 4] and mesh_index [N].

    A view whose mesh does not exist gets no usable vertex.
    """
    (meshes, count), (height, width) = vertices.shape[:2], size
    grid = (world_to_clip.shape[0] * cdiv(count, blocks.vertices),)
    sizes = (meshes, count, height, width)
    launch(_project, grid, vertices, world_to_clip, mesh_index, screen, *sizes, VERTICES=blocks.vertices)


def launch_visibility(
    screen: Tensor,
    faces: Tensor,
    size: tuple[int, int],
    cull: bool,
    keys: Tensor,
    epoch: int,
    queue: Tensor,
    *,
    small: int = SMALL,
    blocks: Blocks = BLOCKS,
) -> None:
    """Take the minimum of every sample's key: small faces, then the queue of larger ones.

    Args:
        screen: [N, V, 4] int32.
        faces: [F, 3] int32 or int64, F < 2^24; a face with an index out of range is not drawn.
        size: (height, width).
        cull: Drop faces seen from behind.
        keys: [at least N, H · W] int64, filled with `EMPTY` before the first epoch.
        epoch: 127 … 0, lower than in every pass since the buffer was filled; see `workspace.py`.
        queue: int64, at least 1 + N · F.
        small: The largest box side that the first kernel draws, at most 64 px; what is larger is queued.
        blocks: How much of the work a program takes; no result depends on it.
    """
    (views, vertices), (height, width), count = screen.shape[:2], size, faces.shape[0]
    queue[:1].zero_()
    triangles = block_of(count, blocks.triangles) if blocks is BLOCKS else blocks.triangles
    sizes = (vertices, count, height, width, epoch)
    launch(
        _draw_small,
        (views * cdiv(count, triangles),),
        screen,
        faces,
        keys,
        queue,
        *sizes,
        CULL=cull,
        TRIANGLES=triangles,
        ACROSS=blocks.across,
        DOWN=blocks.down,
        SMALL=small,
        num_warps=blocks.warps,
    )
    launch(
        _draw_queue,
        (programs_on(keys, WAVES, interpreted=2),),
        screen,
        faces,
        keys,
        queue,
        *sizes,
        SIDE=blocks.side,
        SLICES=blocks.slices,
    )


def launch_fragments(
    keys: Tensor,
    screen: Tensor,
    faces: Tensor,
    epoch: int,
    face_ids: Tensor,
    barycentrics: Tensor,
    depth: Tensor,
    *,
    blocks: Blocks = BLOCKS,
) -> None:
    """Fill face_ids [N, H, W] int32, barycentrics [N, H, W, 3] and depth [N, H, W] from the visibility buffer."""
    views, height, width = face_ids.shape
    launch(
        _write_fragments,
        (views * cdiv(height * width, blocks.pixels),),
        keys,
        screen,
        faces,
        face_ids,
        barycentrics,
        depth,
        screen.shape[1],
        height,
        width,
        epoch,
        PIXELS=blocks.pixels,
    )
