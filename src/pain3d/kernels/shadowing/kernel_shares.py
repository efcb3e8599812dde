"""Knows how a point looks up shadow maps on a GPU: Triton, device functions that the fused `render` calls."""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels.rasterization.kernel import four
from pain3d.kernels.shading.kernel import dot3, unit
from pain3d.kernels.shadowing import reference as model

# Jitted code reads globals only where they are constexpr.
LIFT, GRAZING, TOWARDS = tl.constexpr(model.LIFT), tl.constexpr(model.GRAZING_LIFT), tl.constexpr(model.TOWARDS)
LEAST_VARIANCE, LEAST = tl.constexpr(model.LEAST_VARIANCE), tl.constexpr(1e-30)
BLEED, REST = tl.constexpr(model.BLEED), tl.constexpr(1 / (1 - model.BLEED))
SCATTERED = tl.constexpr(model.SCATTERED / model.SPREAD)
EVEN, EVEN_IN_SKIN = tl.constexpr(model.EVEN), tl.constexpr(model.EVEN_IN_SKIN)
BROAD_TEXELS = tl.constexpr(model.BROADLY / model.SPREAD)
RED_BLEEDING, GREEN_BLEEDING, BLUE_BLEEDING = (tl.constexpr(share) for share in model.BLEEDING)


@triton.jit
def to_warp(depth):  # type: ignore[no-untyped-def]
    """Return a and b of depths: sixteenth powers."""
    a, b = (1.0 + depth) * 0.5, (1.0 - depth) * 0.5
    a, b = a * a, b * b
    a, b = a * a, b * b
    a, b = a * a, b * b
    return a * a, b * b


@triton.jit
def level_moments(moments, size, level, share, column, row):  # type: ignore[no-untyped-def]
    """Return the four moments [P, 4] of a level at places on the finest, times a share."""
    side = size >> level
    start = (size * size - side * side) // 3 * 4
    scale = side.to(tl.float32) / size
    x = tl.minimum(tl.maximum(column * scale - 0.5, 0.0), side.to(tl.float32) - 1.0)
    y = tl.minimum(tl.maximum(row * scale - 0.5, 0.0), side.to(tl.float32) - 1.0)
    left, above = x.to(tl.int32), y.to(tl.int32)
    across, down = x - left.to(tl.float32), y - above.to(tl.float32)
    right, below = tl.minimum(left + 1, side - 1), tl.minimum(above + 1, side - 1)
    last = down * across * share
    third, second = down * share - last, across * share - last
    first = share - down * share - second
    moment = tl.arange(0, 4)[None, :]
    upper, lower = start + above * side, start + below * side
    mixed = first[:, None] * tl.load(moments + ((upper + left) * 4)[:, None] + moment)
    mixed = tl.fma(second[:, None], tl.load(moments + ((upper + right) * 4)[:, None] + moment), mixed)
    mixed = tl.fma(third[:, None], tl.load(moments + ((lower + left) * 4)[:, None] + moment), mixed)
    return tl.fma(last[:, None], tl.load(moments + ((lower + right) * 4)[:, None] + moment), mixed)


@triton.jit
def bound(mean, square, short):  # type: ignore[no-untyped-def]
    """Return Chebyshev's bound on the share that is not nearer than a receiver which lies `short` before the mean."""
    variance = tl.maximum(square - mean * mean, LEAST_VARIANCE * mean * mean + LEAST)
    short = tl.maximum(short, 0.0)
    return variance / (variance + short * short)


@triton.jit
def lit(moments, size, top, column, row, level, a, b):  # type: ignore[no-untyped-def]
    """Return the share of the lamp that points see, whose depths are a and b, through an edge as wide as a level."""
    level = tl.minimum(tl.maximum(level, 0.0), top)
    fine = level.to(tl.int32)
    coarse = tl.minimum(fine + 1, top)
    fraction = level - fine.to(tl.float32)
    mixed = level_moments(moments, size, fine, 1.0 - fraction, column, row)
    mixed += level_moments(moments, size, coarse, fraction, column, row)
    mean_a, square_a, mean_b, square_b = four(mixed)
    share = tl.minimum(bound(mean_a, square_a, a - mean_a), bound(mean_b, square_b, mean_b - b))
    return tl.maximum((share - BLEED) * REST, 0.0)


@triton.jit
def extent(one, two, three):  # type: ignore[no-untyped-def]
    """Return the greatest less the least."""
    return tl.maximum(tl.maximum(one, two), three) - tl.minimum(tl.minimum(one, two), three)


@triton.jit
def key_shares(shadows, sizes, which, point, normal, light, corners, shares, scatter, covered):  # type: ignore[no-untyped-def]
    """Return the share of the key light that reaches points (red, green, blue); see `lit_shares` of the reference.

    which: the map, one for all points. corners: three vertices of each point's face, shares: how much of each.
    """
    x, y, z = point
    nx, ny, nz = normal
    lx, ly, lz = light
    a, b, c = corners
    t0, t1, t2 = shares
    narrow = tl.zeros_like(x) + 1.0
    wide = narrow
    if (which >= 0) & (which < sizes.shadows):
        reach, seen = shadows.reach + which * sizes.vertices, shadows.seen + which * sizes.vertices * 2
        one, two, three = tl.load(reach + a), tl.load(reach + b), tl.load(reach + c)
        touched = covered & (tl.maximum(tl.maximum(one, two), three) >= 0.0)
        if tl.max(touched.to(tl.int32), axis=0) > 0:
            narrow_a, narrow_b, narrow_c = tl.load(seen + 2 * a), tl.load(seen + 2 * b), tl.load(seen + 2 * c)
            wide_a, wide_b, wide_c = tl.load(seen + 2 * a + 1), tl.load(seen + 2 * b + 1), tl.load(seen + 2 * c + 1)
            narrow = tl.where(touched, tl.fma(t2, narrow_c, tl.fma(t1, narrow_b, t0 * narrow_a)), 1.0)
            wide = tl.where(touched, tl.fma(t2, wide_c, tl.fma(t1, wide_b, t0 * wide_a)), 1.0)
            uneven = (extent(narrow_a, narrow_b, narrow_c) > EVEN) | (extent(wide_a, wide_b, wide_c) > EVEN_IN_SKIN)
            frame = shadows.to_map + which * 12
            ux, uy, uz, u = tl.load(frame), tl.load(frame + 1), tl.load(frame + 2), tl.load(frame + 3)
            per_metre = tl.sqrt(dot3(ux, uy, uz, ux, uy, uz))
            broad = tl.log2(BROAD_TEXELS * per_metre)
            sought = touched & uneven & (tl.minimum(tl.minimum(one, two), three) < broad)
            if tl.max(sought.to(tl.int32), axis=0) > 0:
                vx, vy, vz, v = tl.load(frame + 4), tl.load(frame + 5), tl.load(frame + 6), tl.load(frame + 7)
                wx, wy, wz, w = tl.load(frame + 8), tl.load(frame + 9), tl.load(frame + 10), tl.load(frame + 11)
                nx, ny, nz = unit(nx, ny, nz)
                cosine = tl.minimum(tl.maximum(dot3(nx, ny, nz, lx, ly, lz), -1.0), 1.0)
                lift = (LIFT + GRAZING * (1.0 - cosine)) / per_metre
                x, y, z = tl.fma(nx, lift, x), tl.fma(ny, lift, y), tl.fma(nz, lift, z)
                size = sizes.map_size
                column, row = dot3(ux, uy, uz, x, y, z) + u, dot3(vx, vy, vz, x, y, z) + v
                depth = dot3(wx, wy, wz, x, y, z) + w - TOWARDS / size
                inside = (column >= 0.0) & (column <= size) & (row >= 0.0) & (row <= size) & (depth < 1.0)
                column, row = tl.where(inside, column, 0.0), tl.where(inside, row, 0.0)
                far, near = to_warp(tl.maximum(depth, -1.0))
                level = tl.fma(t2, tl.maximum(three, 0.0), tl.fma(t1, tl.maximum(two, 0.0), t0 * tl.maximum(one, 0.0)))
                level = tl.where(sought, level, 0.0)
                moments = shadows.moments + which * sizes.map_texels * 4
                own, scattered = tl.exp2(level), SCATTERED * per_metre
                blurred = 0.5 * tl.log2(tl.fma(own, own, scattered * scattered))
                found = lit(moments, size, sizes.map_top, column, row, level, far, near)
                narrow = tl.where(sought, tl.where(inside, found, 1.0), narrow)
                found = lit(moments, size, sizes.map_top, column, row, blurred, far, near)
                wide = tl.where(sought, tl.where(inside, found, 1.0), wide)
    more = scatter * (wide - narrow)
    return tl.fma(RED_BLEEDING, more, narrow), tl.fma(GREEN_BLEEDING, more, narrow), tl.fma(BLUE_BLEEDING, more, narrow)


@triton.jit
def dimmed(light, shares):  # type: ignore[no-untyped-def]
    """Return a light of `light_of` whose key arrives in part, a share per point and channel."""
    sh_ptr, direction, colour = light
    red, green, blue = colour
    red_share, green_share, blue_share = shares
    return sh_ptr, direction, (red * red_share, green * green_share, blue * blue_share)
