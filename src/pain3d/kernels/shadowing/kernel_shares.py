"""Knows what a point sees of a lamp on a GPU: Triton, device functions that the fused `render` calls."""

from __future__ import annotations

import triton
import triton.language as tl

from pain3d.kernels.shadowing import reference as model

# Jitted code reads globals only where they are constexpr.
SPLIT, POINTS = tl.constexpr(model.SPLIT), tl.constexpr(model.LATTICE)
LIT, FINER = tl.constexpr(model.LIT), tl.constexpr(model.FINER)
RED_BLEEDING, GREEN_BLEEDING, BLUE_BLEEDING = (tl.constexpr(share) for share in model.BLEEDING)


@triton.jit
def mixed_pair(rows, places, shares):  # type: ignore[no-untyped-def]
    """Return narrow and wide: of three rows of two each, by their shares."""
    a, b, c = places
    t0, t1, t2 = shares
    narrow = tl.fma(t2, tl.load(rows + 2 * c), tl.fma(t1, tl.load(rows + 2 * b), t0 * tl.load(rows + 2 * a)))
    rows += 1
    wide = tl.fma(t2, tl.load(rows + 2 * c), tl.fma(t1, tl.load(rows + 2 * b), t0 * tl.load(rows + 2 * a)))
    return narrow, wide


@triton.jit
def lattice_part(shares):  # type: ignore[no-untyped-def]
    """Return three points of the lattice around places on faces, and their shares; see `seen_on_faces`."""
    _, t1, t2 = shares
    u, v = t1 * SPLIT, t2 * SPLIT
    i = tl.minimum(tl.maximum(u.to(tl.int32), 0), SPLIT - 1)
    j = tl.minimum(tl.maximum(v.to(tl.int32), 0), SPLIT - 1 - i)
    u, v = u - i.to(tl.float32), v - j.to(tl.float32)
    turned = (u + v > 1.0) & (i + j < SPLIT - 1)
    first = j * (2 * SPLIT + 3 - j) // 2 + i
    beyond = first + (SPLIT + 1) - j
    nearest = tl.where(turned, u + v - 1.0, 1.0 - u - v)
    parts = (nearest, tl.where(turned, 1.0 - v, u), tl.where(turned, 1.0 - u, v))
    return (tl.where(turned, beyond + 1, first), first + 1, beyond), parts


@triton.jit
def key_shares(shadows, sizes, which, face, corners, shares, scatter, covered):  # type: ignore[no-untyped-def]
    """Return the share of the key light that reaches points (red, green, blue); see `lit_shares` of the reference.

    which: the lamp, one for all points. face: of each point; corners: its vertices, shares: how much of each.
    """
    narrow = tl.zeros_like(scatter) + 1.0
    wide = narrow
    if (which >= 0) & (which < sizes.shadows):
        kind = tl.where(covered, tl.load(shadows.kinds + which * sizes.faces + face), LIT)
        if tl.max((kind != LIT).to(tl.int32), axis=0) > 0:
            one, two = mixed_pair(shadows.seen + which * sizes.vertices * 2, corners, shares)
            narrow, wide = tl.where(kind == LIT, 1.0, one), tl.where(kind == LIT, 1.0, two)
            if tl.max((kind == FINER).to(tl.int32), axis=0) > 0:
                places, parts = lattice_part(shares)
                one, two = mixed_pair(shadows.finer + (which * sizes.faces + face) * (2 * POINTS), places, parts)
                narrow, wide = tl.where(kind == FINER, one, narrow), tl.where(kind == FINER, two, wide)
    more = scatter * (wide - narrow)
    return tl.fma(RED_BLEEDING, more, narrow), tl.fma(GREEN_BLEEDING, more, narrow), tl.fma(BLUE_BLEEDING, more, narrow)


@triton.jit
def dimmed(light, shares):  # type: ignore[no-untyped-def]
    """Return a light of `light_of` whose key arrives in part, a share per point and channel."""
    sh_ptr, direction, colour = light
    red, green, blue = colour
    red_share, green_share, blue_share = shares
    return sh_ptr, direction, (red * red_share, green * green_share, blue * blue_share)
