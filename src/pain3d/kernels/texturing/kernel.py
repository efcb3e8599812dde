"""Knows texture look-ups on a GPU: Triton, float32. Where the texels of a look-up lie, here and in the fused `render`.

Nothing of the mip chain is stored on the device: sides and offsets follow from height and width of level 0.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch, power_of_two

MOST_CHANNELS = 16  # a program: a texel of 64 bytes, two sectors of memory; a texture of the head has 5
VALUES = 512  # a program, points x channels: 4 a thread of four warps, so eight texels of each stay in registers


@triton.jit
def split_level(level, top):  # type: ignore[no-untyped-def]
    """Clamp a level to 0 … top; return the level below it, the one above it (int32) and the fraction between them."""
    level = tl.where(level > 0.0, level, 0.0)  # a comparison, not a maximum: NaN reads level 0
    level = tl.where(level < top, level, top + 0.0)
    lower = level.to(tl.int32)
    return lower, tl.minimum(lower + 1, top), level - lower.to(tl.float32)


@triton.jit
def taps(u, v, level_index, height, width):  # type: ignore[no-untyped-def]
    """Return where the four texels around (u, v) lie in a level, and how far the point is across and down them.

    Args:
        u: float32, any value: beyond 0 … 1 the edge texels go on, NaN reads the first.
        v: float32, up: the one flip is here.
        level_index: int32, 0 … top of the chain; 0 where there is none.
        height: Of level 0, as width; powers of two where there are further levels.
        width: See height.

    Returns:
        Texels (above left, above right, below left, below right) counted row by row within the level, int32; across and
        down, float32: mix left to right with across, then above to below with down.
    """
    rows, columns = tl.maximum(height >> level_index, 1), tl.maximum(width >> level_index, 1)
    right, bottom = (columns - 1).to(tl.float32), (rows - 1).to(tl.float32)
    x, y = u * columns.to(tl.float32) - 0.5, (1.0 - v) * rows.to(tl.float32) - 0.5
    x, y = tl.where(x > 0.0, x, 0.0), tl.where(y > 0.0, y, 0.0)
    x, y = tl.where(x < right, x, right), tl.where(y < bottom, y, bottom)
    column, row = x.to(tl.int32), y.to(tl.int32)
    across, down = x - column.to(tl.float32), y - row.to(tl.float32)
    above, below = row * columns, tl.minimum(row + 1, rows - 1) * columns
    beside = tl.minimum(column + 1, columns - 1)
    return above + column, above + beside, below + column, below + beside, across, down


@triton.jit
def level_offset(level_index, height, width):  # type: ignore[no-untyped-def]
    """Return how many texels lie before a level, int64: levels 0 … level_index - 1 of a chain of height x width.

    While both sides halve, the levels are a geometric series: Σ_{j<k} h w / 4^j = 4 (h w - h_k w_k) / 3. Where the
    short side has reached 1 the long one is r = long / short, and from there Σ r / 2^j = 2 (r - w_k). The two clamps
    below make one sum of both; level 0 of any size gives 0.

    Args:
        level_index: int32, 0 … top of the chain.
        height: Of level 0, as width: int32, powers of two where level_index may be above 0, h w < 2^31.
        width: See height.
    """
    short, long = tl.minimum(height, width), tl.maximum(height, width)
    ratio = long // short
    narrow, wide = tl.maximum(short >> level_index, 1), long >> level_index
    third = (short * long - narrow * tl.maximum(wide, ratio)) // 3
    return third.to(tl.int64) * 4 + (ratio - tl.minimum(wide, ratio)) * 2


@triton.jit
def bilinear(texels_ptr, u, v, level_index, height, width, channels, channel, known):  # type: ignore[no-untyped-def]
    """Return [points, channels]: the mix of the four texels around each point in its level; known masks the reads."""
    above_left, above_right, below_left, below_right, across, down = taps(u, v, level_index, height, width)
    start = level_offset(level_index, height, width)
    columns, across, down = channel[None, :], across[:, None], down[:, None]
    first = tl.load(texels_ptr + ((start + above_left) * channels)[:, None] + columns, mask=known, other=0.0)
    second = tl.load(texels_ptr + ((start + above_right) * channels)[:, None] + columns, mask=known, other=0.0)
    above = first + across * (second - first)
    first = tl.load(texels_ptr + ((start + below_left) * channels)[:, None] + columns, mask=known, other=0.0)
    second = tl.load(texels_ptr + ((start + below_right) * channels)[:, None] + columns, mask=known, other=0.0)
    below = first + across * (second - first)
    return above + down * (below - above)


@triton.jit  # type: ignore[untyped-decorator]
def _sample_texture(  # type: ignore[no-untyped-def]
    texels_ptr,
    uv_ptr,
    level_ptr,
    values_ptr,
    points,
    height,
    width,
    top,
    channels,
    image_stride,
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    channel_blocks, point_blocks = tl.cdiv(channels, CHANNELS), tl.cdiv(points, POINTS)
    block = tl.program_id(0) // channel_blocks
    image = block // point_blocks
    first = (block - image * point_blocks) * POINTS
    lane = tl.arange(0, POINTS)
    there = lane < points - first
    point = image.to(tl.int64) * points + first + lane
    u, v = tl.load(uv_ptr + point * 2, mask=there, other=0.0), tl.load(uv_ptr + point * 2 + 1, mask=there, other=0.0)
    channel = (tl.program_id(0) - block * channel_blocks) * CHANNELS + tl.arange(0, CHANNELS)
    known = there[:, None] & (channel < channels)[None, :]
    texels_ptr += image.to(tl.int64) * image_stride
    if LEVELS:
        lower, upper, fraction = split_level(tl.load(level_ptr + point, mask=there, other=0.0), top)
        fine = bilinear(texels_ptr, u, v, lower, height, width, channels, channel, known)
        coarse = bilinear(texels_ptr, u, v, upper, height, width, channels, channel, known)
        mixed = fine + fraction[:, None] * (coarse - fine)
    else:
        mixed = bilinear(texels_ptr, u, v, tl.zeros([POINTS], tl.int32), height, width, channels, channel, known)
    tl.store(values_ptr + point[:, None] * channels + channel[None, :], mixed, mask=known)


def launch_sample_texture(
    texels: Tensor,  # [B or 1, N, C] float32, contiguous within an image: level 0, or the chain
    uv: Tensor,  # [B, H, W, 2] float32, contiguous
    level: Tensor | None,  # [B, H, W] float32, contiguous
    height: int,
    width: int,
    values: Tensor,  # [B, H, W, C] float32, contiguous: written
    *,
    block: int = VALUES,
) -> None:
    """Write the look-ups: a program per image and block of points x channels, `block` (power of two) in all."""
    if values.numel() == 0:
        return
    batch, rows, columns, channels = values.shape
    channel_block = min(power_of_two(channels), MOST_CHANNELS)
    point_block = max(block // channel_block, 1)
    grid = (batch * cdiv(rows * columns, point_block) * cdiv(channels, channel_block),)
    launch(
        _sample_texture,
        grid,
        texels,
        uv,
        uv if level is None else level,
        values,
        rows * columns,
        height,
        width,
        max(height, width).bit_length() - 1,
        channels,
        0 if len(texels) == 1 else texels.stride(0),
        LEVELS=level is not None,
        POINTS=point_block,
        CHANNELS=channel_block,
    )
