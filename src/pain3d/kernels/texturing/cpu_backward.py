"""Knows the gradient of the look-up of the fused `render` on a CPU: numba, float32, to uv and to the texels.

The gradient of what a point has looked up is 16 floats, one after the other. That of the texels is not added where it
arises: a picture keeps what each of its points gives to which texels (`keep_block`), and `add_texels` adds it up,
picture after picture, each thread the texels that are its own. So the sum of a texel has one order, whatever the number
of threads.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core.cgutils import ir  # type: ignore[attr-defined]  # of llvmlite, in which numba writes its code
from numba.extending import intrinsic

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels.shading.cpu import BLOCK
from pain3d.kernels.texturing.cpu import (
    COARSER,
    FINER,
    HALF,
    LANES,
    LEVEL,
    ONE,
    ZERO,
    F,
    N,
    U,
    V,
    prefetch,
    taps_of,
)

WIDTH = 16  # floats of a texel
LOOKED = LANES * BLOCK - LEVEL  # floats of the lanes that say where a block has looked
KEPT = BLOCK * WIDTH  # floats of a block's gradients
LARGE = 1 << 23  # bytes of a chain; a smaller one is a few pages of 2 MB anyway
SHARED_TEXELS = 3  # bits: 8 texels, half a kilobyte, one after the other are one thread's


def _dot_rows(context, flat, rows, shares, width, gradient, at):  # type: ignore[no-untyped-def]
    """Sum the rows of `width` floats (a literal) that start at flat[rows], each by its share, times gradient[at …]."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        count = signature.args[3].literal_value
        wide, whole = ir.VectorType(ir.FloatType(), count), ir.IntType(32)

        def vector(array: int, index: Any) -> Any:
            data = target.make_array(signature.args[array])(target, builder, arguments[array]).data
            return builder.load(builder.bitcast(builder.gep(data, [index]), wide.as_pointer()), align=4)

        total = None
        for tap in range(len(signature.args[1])):
            share = ir.Constant(wide, ir.Undefined)
            for lane in range(count):
                value = builder.extract_value(arguments[2], tap)
                share = builder.insert_element(share, value, ir.Constant(whole, lane))
            part = builder.fmul(vector(0, builder.extract_value(arguments[1], tap)), share)
            total = part if total is None else builder.fadd(total, part)
        total = builder.fmul(total, vector(4, arguments[5]))
        while count > 1:  # halves on halves
            count //= 2
            low, high = (
                ir.Constant(ir.VectorType(whole, count), list(range(first, first + count))) for first in (0, count)
            )
            total = builder.fadd(*(builder.shuffle_vector(total, total, half) for half in (low, high)))
        return builder.extract_element(total, ir.Constant(whole, 0))

    return types.float32(flat, rows, shares, width, gradient, at), generate


def _add_row(context, flat, row, share, width, gradient, at):  # type: ignore[no-untyped-def]
    """Add `width` (a literal) floats from gradient[at] on, times share, to those from flat[row] on."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide, whole = ir.VectorType(ir.FloatType(), signature.args[3].literal_value), ir.IntType(32)

        def place(array: int, index: Any) -> Any:
            data = target.make_array(signature.args[array])(target, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [index]), wide.as_pointer())

        share = ir.Constant(wide, ir.Undefined)
        for lane in range(wide.count):
            share = builder.insert_element(share, arguments[2], ir.Constant(whole, lane))
        part = builder.fmul(builder.load(place(4, arguments[5]), align=4), share)
        there = place(0, arguments[1])
        builder.store(builder.fadd(builder.load(there, align=4), part), there, align=4)
        return target.get_dummy_value()

    return types.void(flat, row, share, width, gradient, at), generate


dot_rows: Any = intrinsic(prefer_literal=True)(_dot_rows)
add_row: Any = intrinsic(prefer_literal=True)(_add_row)


@njit(**WITHOUT_ARRAYS)
def _slopes(lanes, at):  # type: ignore[no-untyped-def]
    """Return the derivatives of the four shares that stand behind lanes[at], per texel to the right and down."""
    a, b, c, d = lanes[at], lanes[at + BLOCK], lanes[at + 2 * BLOCK], lanes[at + 3 * BLOCK]
    upper, lower, left, right = a + b, c + d, a + c, b + d
    return (-upper, upper, -lower, lower), (-left, -right, left, right)


@njit(**WITHOUT_ARRAYS)
def _scale(lanes, i, level, height, width):  # type: ignore[no-untyped-def]
    """Return the texels of a level per unit of u and of v, 0 where the look-up was clamped."""
    wide, tall = max(width >> level, 1), max(height >> level, 1)
    x, y = lanes[U + i] * F(wide) - HALF, (ONE - lanes[V + i]) * F(tall) - HALF
    return F(wide) if (x >= ZERO) & (x <= F(wide - 1)) else ZERO, F(-tall) if (y >= ZERO) & (y <= F(tall - 1)) else ZERO


@njit(**WITHOUT_ARRAYS)
def look_backward(texels, table, lanes, count, gradient, out):  # type: ignore[no-untyped-def]
    """Write to the lanes from `out` on the gradients of u and v of the first `count` points.

    gradient [BLOCK, 16] flat is that of what `sample_block` read, whose lanes still stand.
    """
    last, height, width = table.shape[0] - 1, np.int64(table[0, 1]), np.int64(table[0, 2])
    for i in range(count):
        level, at = lanes[LEVEL + i], N(i * WIDTH)
        lower = np.int64(level)
        rows, _ = taps_of(lanes, FINER + i, N(table[lower, 0]))
        aside, below = _slopes(lanes, FINER + 3 * BLOCK + i)
        across, down = _scale(lanes, i, lower, height, width)
        to_u = across * dot_rows(texels, rows, aside, 16, gradient, at)
        to_v = down * dot_rows(texels, rows, below, 16, gradient, at)
        if level > F(lower):
            upper = min(lower + 1, last)
            rows, _ = taps_of(lanes, COARSER + i, N(table[upper, 0]))
            aside, below = _slopes(lanes, COARSER + 3 * BLOCK + i)
            across, down = _scale(lanes, i, upper, height, width)
            to_u += across * dot_rows(texels, rows, aside, 16, gradient, at)
            to_v += down * dot_rows(texels, rows, below, 16, gradient, at)
        lanes[out + i], lanes[out + BLOCK + i] = to_u, to_v


@njit(**WITHOUT_ARRAYS)
def keep_block(lanes, count, gradient, number, looked, given, counts):  # type: ignore[no-untyped-def]
    """Keep as block `number` of a picture where `count` points have looked, and their gradients."""
    first, start = number * LOOKED, number * KEPT
    for k in range(LOOKED):
        looked[first + k] = lanes[LEVEL + k]
    for k in range(count * WIDTH):
        given[start + k] = gradient[k]
    counts[number] = count


def zeros_like_chain(shape: tuple[int, ...], finest: int) -> npt.NDArray[np.float32]:
    """Return zeros [K, N, 16] for gradients of mip chains; a picture touches little of one, of the finest level least.

    There (the first `finest` texels of each chain) the system makes pages of 4 KB when they are first written to,
    elsewhere pages of 2 MB, as NumPy asks it to everywhere: zeroing such pages of all of a 1024² chain took 7 ms, as
    long as all that a 256² picture costs beside it.
    """
    count, texels, _ = shape
    if not hasattr(mmap, "MADV_HUGEPAGE") or count == 0 or texels * WIDTH * 4 < LARGE:
        return np.zeros(shape, np.float32)
    memory = mmap.mmap(-1, count * texels * WIDTH * 4, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    for n in range(count):
        start = -(-n * texels * WIDTH * 4 // mmap.PAGESIZE) * mmap.PAGESIZE
        memory.madvise(mmap.MADV_NOHUGEPAGE, start, finest * WIDTH * 4 // mmap.PAGESIZE * mmap.PAGESIZE)
    return np.frombuffer(memory, np.float32).reshape(shape)


@njit(**COMPILED)
def add_texels(first, last, parts, table, textures, kept, out):  # type: ignore[no-untyped-def]
    """Add what the points of pictures have kept to the texels of out [K, N, 16], flat: those of parts first … last - 1.

    Args:
        first: The first part.
        last: The one behind the last.
        parts: How many there are.
        table: [L, 3], see `level_table`.
        textures: [P] where in `out` the texture of each picture begins, in texels.
        kept: Of `keep_block`: looked [P, …], given [P, …] and counts [P, blocks], 0 behind the last block.
        out: Flat.
    """
    looked, given, counts = kept
    top = table.shape[0] - 1
    for n in range(counts.shape[0]):
        lanes, gradients = looked[n], given[n]
        for block in range(counts.shape[1]):
            for i in range(counts[n, block]):  # the sums below wait less for memory
                at = block * LOOKED + i
                level = lanes[at]
                lower = np.int64(level)
                for step in range(2 if level > F(lower) else 1):
                    offset = N(textures[n] + table[min(lower + step, top), 0])
                    rows, _ = taps_of(lanes, at + FINER - LEVEL + step * (COARSER - FINER), offset)
                    prefetch(out, rows[0])
                    prefetch(out, rows[1])
                    prefetch(out, rows[2])
                    prefetch(out, rows[3])
            for i in range(counts[n, block]):
                at, source = block * LOOKED + i, N((block * BLOCK + i) * WIDTH)
                level = lanes[at]
                lower = np.int64(level)
                for step in range(2 if level > F(lower) else 1):
                    offset = N(textures[n] + table[min(lower + step, top), 0])
                    rows, shares = taps_of(lanes, at + FINER - LEVEL + step * (COARSER - FINER), offset)
                    for tap in range(4):
                        owner = np.int64(rows[tap] >> N(4 + SHARED_TEXELS)) % parts
                        if first <= owner < last:
                            add_row(out, rows[tap], shares[tap], 16, gradients, source)
