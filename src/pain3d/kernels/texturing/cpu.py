"""Knows textures on a CPU: numba, float32. The mip chain, and the trilinear look-up of the fused `render`.

The look-up takes a block of points at a time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numba import types
from numba.core.cgutils import ir  # type: ignore[attr-defined]  # of llvmlite, in which numba writes its code
from numba.extending import intrinsic
from torch import Tensor

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.shading.cpu import BLOCK, TEXEL, whole_vectors
from pain3d.kernels.texturing.reference import Mipmaps, level_table

# Lanes beyond those of the shading: where to look, and per level (finer, coarser) which texels to mix in which shares:
# the first texel's number, the steps aside and below to its neighbours (int32 in the lane's bits), then four shares.
U, V, LEVEL, FINER, COARSER, LANES = 29 * BLOCK, 30 * BLOCK, 31 * BLOCK, 32 * BLOCK, 39 * BLOCK, 46
CHANNELS = np.uint64(16)  # a texel is one cache line, since torch puts a tensor's first byte at a multiple of 64
MANY_ROWS = 64  # a smaller level is done before a second thread has started
F, I32, N = np.float32, np.int32, np.uint64  # unsigned, so that no index is tested for being negative
ZERO, HALF, ONE = F(0), F(0.5), F(1)


def _sum_of_rows(target: Any, builder: Any, signature: Any, arguments: Any, width: int) -> list[Any]:
    """Write code that sums the rows of `width` floats that start at flat[rows], each by its share: one vector.

    Left to itself, numba takes the floats of a row one by one.
    """
    flat, rows, shares = arguments[:3]
    wide, whole = ir.VectorType(ir.FloatType(), width), ir.IntType(32)
    data = target.make_array(signature.args[0])(target, builder, flat).data
    total = None
    for tap in range(len(signature.args[1])):
        row = builder.bitcast(builder.gep(data, [builder.extract_value(rows, tap)]), wide.as_pointer())
        share = ir.Constant(wide, ir.Undefined)
        for lane in range(width):
            share = builder.insert_element(share, builder.extract_value(shares, tap), ir.Constant(whole, lane))
        part = builder.fmul(builder.load(row, align=4), share)
        total = part if total is None else builder.fadd(total, part)
    return [builder.extract_element(total, ir.Constant(whole, lane)) for lane in range(width)]


def _mix_rows(context, flat, rows, shares, width):  # type: ignore[no-untyped-def]
    """Sum the rows of `width` floats (a literal) that start at flat[rows], each by its share: a tuple of floats."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums = _sum_of_rows(target, builder, signature, arguments, width.literal_value)
        return target.make_tuple(builder, signature.return_type, sums)

    mixed = types.UniTuple(types.float32, width.literal_value)  # type: ignore[no-untyped-call]
    return mixed(flat, rows, shares, width), generate


def _spread_rows(context, flat, rows, shares, width, lanes, at, step):  # type: ignore[no-untyped-def]
    """`mix_rows` whose floats go to lanes[at], lanes[at + step], …; width and step are literals."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        sums = _sum_of_rows(target, builder, signature, arguments, width.literal_value)
        data = target.make_array(signature.args[4])(target, builder, arguments[4]).data
        first = builder.gep(data, [arguments[5]])
        for lane, value in enumerate(sums):
            builder.store(value, builder.gep(first, [ir.Constant(ir.IntType(64), lane * step.literal_value)]))
        return target.get_dummy_value()

    return types.void(flat, rows, shares, width, lanes, at, step), generate


def _mean_texel(context, source, corners, width, target, at):  # type: ignore[no-untyped-def]
    """Write the mean of four rows of `width` floats (a literal) of source to target[at].

    First the mean of one and two, and that of three and four, then of both: as the reference rounds.
    """

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        wide = ir.VectorType(ir.FloatType(), width.literal_value)
        half = ir.Constant(wide, [0.5] * width.literal_value)

        def row(array: int, index: Any) -> Any:
            data = target.make_array(signature.args[array])(target, builder, arguments[array]).data
            return builder.bitcast(builder.gep(data, [index]), wide.as_pointer())

        def mean(one: Any, other: Any) -> Any:
            return builder.fmul(builder.fadd(one, other), half)

        a, b, c, d = (builder.load(row(0, builder.extract_value(arguments[1], n)), align=4) for n in range(4))
        builder.store(mean(mean(a, b), mean(c, d)), row(3, arguments[4]), align=4)
        return target.get_dummy_value()

    return types.void(source, corners, width, target, at), generate


def _prefetch(context, flat, index):  # type: ignore[no-untyped-def]
    """Ask for the cache line of flat[index]."""

    def generate(target, builder, signature, arguments):  # type: ignore[no-untyped-def]
        data = target.make_array(signature.args[0])(target, builder, arguments[0]).data
        whole = ir.IntType(32)
        line = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [line.type, whole, whole, whole])
        read, keep, of_data = (ir.Constant(whole, value) for value in (0, 3, 1))
        builder.call(builder.module.declare_intrinsic("llvm.prefetch", [line.type], kind), [line, read, keep, of_data])
        return target.get_dummy_value()

    return types.void(flat, index), generate


mix_rows: Any = intrinsic(prefer_literal=True)(_mix_rows)
spread_rows: Any = intrinsic(prefer_literal=True)(_spread_rows)
mean_texel: Any = intrinsic(prefer_literal=True)(_mean_texel)
prefetch: Any = intrinsic(_prefetch)


@njit(**WITHOUT_ARRAYS)
def _place(lanes, count, width, height, last, coarser, texels):  # type: ignore[no-untyped-def]
    """Fill the lanes from `texels` on for the finer (coarser = 0) or the coarser (1) level of `count` points."""
    for i in range(count):
        level = lanes[LEVEL + i]
        lower = I32(level)
        at = min(I32(lower + coarser), last)
        wide, tall = max(I32(width >> at), I32(1)), max(I32(height >> at), I32(1))
        right, bottom = F(wide - I32(1)), F(tall - I32(1))
        x, y = lanes[U + i] * F(wide) - HALF, (ONE - lanes[V + i]) * F(tall) - HALF
        x = x if x > ZERO else ZERO
        y = y if y > ZERO else ZERO
        x = x if x < right else right
        y = y if y < bottom else bottom
        column, row = I32(x), I32(y)
        across, down = x - F(column), y - F(row)
        first, aside, below = I32(row * wide + column), I32(x < right), I32(wide * I32(y < bottom))
        fraction = level - F(lower)
        weight = fraction if coarser == 1 else ONE - fraction
        lower_row = weight * down
        upper_row = weight - lower_row
        second, fourth = upper_row * across, lower_row * across
        lanes[texels + i], lanes[texels + BLOCK + i] = first.view(F), aside.view(F)
        lanes[texels + 2 * BLOCK + i] = below.view(F)
        lanes[texels + 3 * BLOCK + i], lanes[texels + 4 * BLOCK + i] = upper_row - second, second
        lanes[texels + 5 * BLOCK + i], lanes[texels + 6 * BLOCK + i] = lower_row - fourth, fourth


@njit(**WITHOUT_ARRAYS)
def taps_of(lanes, at, offset):  # type: ignore[no-untyped-def]
    """Return the positions in the flat texture and the shares of the four texels that a point's lanes name."""
    first, aside, below = F(lanes[at]), F(lanes[at + BLOCK]), F(lanes[at + 2 * BLOCK])
    a, step = (offset + N(first.view(I32))) * CHANNELS, N(aside.view(I32)) * CHANNELS
    c = a + N(below.view(I32)) * CHANNELS
    at += 3 * BLOCK
    shares = lanes[at], lanes[at + BLOCK], lanes[at + 2 * BLOCK], lanes[at + 3 * BLOCK]
    return (a, a + step, c, c + step), shares


@njit(**WITHOUT_ARRAYS)
def sample_block(texels, table, lanes, count, whole):  # type: ignore[no-untyped-def]
    """Write what flat texels hold at the first `count` points of the lanes; table [L, 3]: `level_table`.

    All 16 channels, or without `whole` the first 8, to the lanes from `TEXEL` on.
    """
    last, height, width = I32(table.shape[0] - 1), I32(table[0, 1]), I32(table[0, 2])
    _place(lanes, whole_vectors(count), width, height, last, I32(0), FINER)
    _place(lanes, whole_vectors(count), width, height, last, I32(1), COARSER)
    for i in range(count):  # the look-ups below wait less for memory: a texture is larger than the caches
        lower = np.int64(lanes[LEVEL + i])
        rows, _ = taps_of(lanes, FINER + i, N(table[lower, 0]))
        prefetch(texels, rows[0])
        prefetch(texels, rows[1])
        prefetch(texels, rows[2])
        prefetch(texels, rows[3])
        rows, _ = taps_of(lanes, COARSER + i, N(table[min(lower + 1, last), 0]))
        prefetch(texels, rows[0])
        prefetch(texels, rows[1])
        prefetch(texels, rows[2])
        prefetch(texels, rows[3])
    for i in range(count):
        level, at = lanes[LEVEL + i], N(TEXEL + i)
        lower = np.int64(level)
        rows, shares = taps_of(lanes, FINER + i, N(table[lower, 0]))
        if level > F(lower):
            coarser, further = taps_of(lanes, COARSER + i, N(table[min(lower + 1, last), 0]))
            if whole:
                spread_rows(texels, rows + coarser, shares + further, 16, lanes, at, BLOCK)
            else:
                spread_rows(texels, rows + coarser, shares + further, 8, lanes, at, BLOCK)
        elif whole:
            spread_rows(texels, rows, shares, 16, lanes, at, BLOCK)
        else:
            spread_rows(texels, rows, shares, 8, lanes, at, BLOCK)


@njit(**WITHOUT_ARRAYS)
def _halve_rows(first, last, source, height, width, channels, target):  # type: ignore[no-untyped-def]
    """Write rows first … last - 1 of the next level from the level of height x width, both flat: the same means."""
    wide, row = max(width // 2, 1) * channels, width * channels
    aside = channels if width > 1 else 0
    for i in range(first, last):
        upper = (2 * i if height > 1 else 0) * row
        lower = upper + (row if height > 1 else 0)
        if channels == 16 and width > 1:  # a texel of the head: one or two vectors
            for j in range(0, wide, 16):
                one, two = N(upper + 2 * j), N(lower + 2 * j)
                mean_texel(source, (one, two, one + N(16), two + N(16)), 16, target, N(i * wide + j))
            continue
        for j in range(0, wide, channels):
            left = 2 * j if width > 1 else j
            for c in range(left, left + channels):
                one = (source[N(upper + c)] + source[N(lower + c)]) * HALF
                two = (source[N(upper + c + aside)] + source[N(lower + c + aside)]) * HALF
                target[N(i * wide + j + c - left)] = (one + two) * HALF


def build_mipmaps_cpu(texture: Tensor, out: Tensor | None = None) -> Mipmaps:
    """`pain3d.kernels.build_mipmaps` for float32 CPU tensors, without gradients."""
    batch, height, width, channels = texture.shape
    table = level_table(height, width)
    offset, rows, columns = table[-1]
    texels = torch.empty(batch, offset + rows * columns, channels) if out is None else out
    if texels.data_ptr() != texture.data_ptr():
        texels[:, : height * width] = texture.detach().flatten(1, 2)
    for b in range(batch if channels else 0):
        flat = texels[b].numpy().reshape(-1)
        for (start, tall, wide), (following, rows, _) in pairwise(table):
            source, target = flat[start * channels :], flat[following * channels :]

            def halve(
                first: int,
                last: int,
                source: np.ndarray[tuple[int], np.dtype[np.float32]] = source,
                target: np.ndarray[tuple[int], np.dtype[np.float32]] = target,
                tall: int = tall,
                wide: int = wide,
            ) -> None:
                _halve_rows(first, last, source, tall, wide, channels, target)

            if rows >= MANY_ROWS:
                for_each_range(rows, halve)
            else:
                halve(0, rows)
    return Mipmaps(texels, height, width)
