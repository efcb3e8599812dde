"""Knows the gradients of texture look-ups on a GPU: Triton, float32.

A point spreads its gradient over the texels that it read, with the shares that it read them with. Many points meet in a
texel, in any order, so what they add are whole numbers (`_fixed_point.py`): int64 atomics, bit-equal in every run. The
other way, to sort points by texel and sum segments, would read and write each of its up to 8 shares of a point several
times; here they go to memory once, 8 bytes a channel, and 64-bit additions of whole numbers are what its caches can do.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._backend import interpreting
from pain3d.kernels._fixed_point import MOST_STEPS
from pain3d.kernels._triton import cdiv, launch, power_of_two
from pain3d.kernels.texturing.kernel import MOST_CHANNELS, level_offset, split_level, taps

# A program, points x channels: 2 a thread of four warps, with eight addresses of 64 bits each.
VALUES = 16384 if interpreting() else 256
_MOST_STEPS = tl.constexpr(MOST_STEPS)


class TextureGradients(NamedTuple):
    """Where gradients go; None where nobody wants one."""

    texels: Tensor | None  # [B or 1, N, C] int64, in steps; all 0 before
    steps: Tensor | None  # [B or 1] steps of a value of 1
    uv: Tensor | None  # [B, H, W, 2]
    level: Tensor | None  # [B, H, W]
    of_images: Tensor | None = None  # [B] which of K textures [K, N, C] an image reads; None: its own, or the only one


@triton.jit
def add_steps(sums_ptr, at, value, per_value, mask):  # type: ignore[no-untyped-def]
    """Add values to sums in steps; what is not finite adds nothing here, its sums' step is NaN."""
    steps = value * per_value
    steps = tl.where(tl.abs(steps) < _MOST_STEPS, steps, 0.0).to(tl.int64)
    tl.atomic_add(sums_ptr + at, steps, mask=mask & (steps != 0), sem="relaxed")


@triton.jit
def level_backward(into, texels_ptr, sums_at, gradient, places, share, per_value, channel, channels, known):  # type: ignore[no-untyped-def]
    """Spread gradients [points, channels] over four texels of a level, each point's with its share of the mix.

    Returns:
        Three sums over channels [points], of the gradient times what the level gives, times its slope across, times its
        slope down; 0 where only texels are wanted.
    """
    above_left, above_right, below_left, below_right, across, down = places
    columns = channel[None, :]
    one, two = (above_left * channels)[:, None] + columns, (above_right * channels)[:, None] + columns
    three, four = (below_left * channels)[:, None] + columns, (below_right * channels)[:, None] + columns
    across, down = across[:, None], down[:, None]
    if into.texels is not None:
        sums_ptr = into.texels + sums_at
        above = gradient * (share[:, None] * (1.0 - down))
        below = gradient * (share[:, None] * down)
        add_steps(sums_ptr, one, above * (1.0 - across), per_value, known)
        add_steps(sums_ptr, two, above * across, per_value, known)
        add_steps(sums_ptr, three, below * (1.0 - across), per_value, known)
        add_steps(sums_ptr, four, below * across, per_value, known)
    mixed = tl.zeros_like(share)
    along, fall = mixed, mixed
    if (into.uv is not None) or (into.level is not None):
        first = tl.load(texels_ptr + one, mask=known, other=0.0)
        upper = tl.load(texels_ptr + two, mask=known, other=0.0) - first
        third = tl.load(texels_ptr + three, mask=known, other=0.0)
        lower = tl.load(texels_ptr + four, mask=known, other=0.0) - third
        above = first + across * upper
        drop = third + across * lower - above
        mixed = tl.sum(gradient * (above + down * drop), 1)
        along = tl.sum(gradient * (upper + down * (lower - upper)), 1)
        fall = tl.sum(gradient * drop, 1)
    return mixed, along, fall


@triton.jit
def texels_along(u, v, level_index, height, width):  # type: ignore[no-untyped-def]
    """Return how many texels (u, v) moves across and down a level per unit; 0 where it is clamped at 0.

    Where it is clamped at the other side both texels are the same one.
    """
    columns = tl.maximum(width >> level_index, 1).to(tl.float32)
    rows = tl.maximum(height >> level_index, 1).to(tl.float32)
    across = tl.where(u * columns - 0.5 >= 0.0, columns, 0.0)
    return across, tl.where((1.0 - v) * rows - 0.5 >= 0.0, -rows, 0.0)


@triton.jit  # type: ignore[untyped-decorator]
def _sample_texture_backward(  # type: ignore[no-untyped-def]
    gradient_ptr,
    texels_ptr,
    uv_ptr,
    level_ptr,
    into,
    points,
    size,  # height, width
    top,
    channels,
    strides,  # between textures: of the texels, of their sums, of the steps
    textures,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    height, width = size
    texels_stride, sums_stride, steps_stride = strides
    blocks = tl.cdiv(points, POINTS)
    image = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks) * POINTS
    lane = tl.arange(0, POINTS)
    there = lane < points - first
    point = image * points + first + lane
    u, v = tl.load(uv_ptr + point * 2, mask=there, other=0.0), tl.load(uv_ptr + point * 2 + 1, mask=there, other=0.0)
    texture, exists = image, there
    if into.of_images is not None:
        texture = tl.load(into.of_images + image).to(tl.int64)
        exists = there & (texture >= 0) & (texture < textures)
        texture = tl.minimum(tl.maximum(texture, 0), textures - 1)
    texels_ptr += texture * texels_stride
    sums_at, per_value = texture * sums_stride, 1.0
    if into.texels is not None:
        per_value = tl.load(into.steps + texture * steps_stride)
    if LEVELS:
        asked = tl.load(level_ptr + point, mask=there, other=0.0)
        lower, upper, fraction = split_level(asked, top)
    else:
        lower, fraction = tl.zeros([POINTS], tl.int32), tl.zeros([POINTS], tl.float32)
        upper, asked = lower, fraction
    fine = (level_offset(lower, height, width) * channels)[:, None]
    fine_taps = taps(u, v, lower, height, width)
    coarse = (level_offset(upper, height, width) * channels)[:, None]
    coarse_taps = taps(u, v, upper, height, width)
    to_u, to_v, to_level = tl.zeros_like(u), tl.zeros_like(u), tl.zeros_like(u)
    fine_across, fine_down = texels_along(u, v, lower, height, width)
    coarse_across, coarse_down = texels_along(u, v, upper, height, width)
    for start in range(0, channels, CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        known = exists[:, None] & (channel < channels)[None, :]
        gradient = tl.load(gradient_ptr + point[:, None] * channels + channel[None, :], mask=known, other=0.0)
        mixed, along, fall = level_backward(
            into, texels_ptr + fine, sums_at + fine, gradient, fine_taps, 1.0 - fraction, per_value, channel, channels,
            known,
        )  # fmt: skip
        to_u += (1.0 - fraction) * fine_across * along
        to_v += (1.0 - fraction) * fine_down * fall
        if LEVELS:
            to_level -= mixed
            mixed, along, fall = level_backward(
                into, texels_ptr + coarse, sums_at + coarse, gradient, coarse_taps, fraction, per_value, channel,
                channels, known,
            )  # fmt: skip
            to_u += fraction * coarse_across * along
            to_v += fraction * coarse_down * fall
            to_level += mixed
    if into.uv is not None:
        tl.store(into.uv + point * 2, to_u, mask=there)
        tl.store(into.uv + point * 2 + 1, to_v, mask=there)
    if into.level is not None:
        tl.store(into.level + point, tl.where((asked >= 0.0) & (asked <= top), to_level, 0.0), mask=there)


def launch_sample_texture_backward(
    gradient: Tensor,  # [B, H, W, C] float32, contiguous, at least one number
    texels: Tensor,  # [B or 1, N, C] as in `launch_sample_texture`
    uv: Tensor,
    level: Tensor | None,
    size: tuple[int, int],  # of level 0
    into: TextureGradients,
    *,
    block: int = VALUES,
) -> None:
    """Write and add the gradients that are wanted: a program per image and block of points, all channels in turn."""
    batch, rows, columns, channels = gradient.shape
    channel_block = min(power_of_two(channels), MOST_CHANNELS)
    point_block = max(block // channel_block, 1)
    shared = len(texels) == 1
    steps_stride = 0 if into.steps is None or len(into.steps) == 1 else 1
    launch(
        _sample_texture_backward,
        (batch * cdiv(rows * columns, point_block),),
        gradient,
        texels,
        uv,
        uv if level is None else level,
        into,
        rows * columns,
        size,
        max(size).bit_length() - 1,
        channels,
        (0, 0, 0) if shared else (texels.stride(0), texels.shape[1] * channels, steps_stride),
        len(texels),
        LEVELS=level is not None,
        POINTS=point_block,
        CHANNELS=channel_block,
    )
