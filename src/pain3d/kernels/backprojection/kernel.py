"""Knows back-projection on a GPU: Triton, float32. A program looks at a block of texels in one view.

No index is trusted: a texel whose face does not exist, or has a vertex that does not, has none, and nothing is read
for it.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import block_of, cdiv, launch, power_of_two
from pain3d.kernels.backprojection import reference
from pain3d.kernels.backprojection.bundles import NUMBERS, Limits, Surface, Views

MOST_CHANNELS = 16  # at a time: a pixel of 64 bytes, two sectors of memory
VALUES = 1024  # texels x channels of a program: 8 a thread of four warps
MOST_TEXELS = 128  # of a program: one a thread of four warps, since each has places, shares and steps of four pixels

# Jitted code reads globals only where they are constexpr.
_NUMBERS, _BEND = tl.constexpr(NUMBERS), tl.constexpr(reference.BEND)
_NEAREST, _SMALLEST = tl.constexpr(reference.NEAREST), tl.constexpr(reference.SMALLEST)
_INFINITE = tl.constexpr(float("inf"))


@triton.jit
def _dot(row, x, y, z):  # type: ignore[no-untyped-def]
    """Return the product of three numbers in memory with a vector."""
    return tl.load(row) * x + tl.load(row + 1) * y + tl.load(row + 2) * z


@triton.jit
def _mixed(mesh, corners, barycentrics, part, known):  # type: ignore[no-untyped-def]
    """Return one number of a mesh's vertices [V, 6], mixed over three corners."""
    a = barycentrics[0] * tl.load(mesh + corners[0].to(tl.int64) * 6 + part, mask=known, other=0.0)
    b = barycentrics[1] * tl.load(mesh + corners[1].to(tl.int64) * 6 + part, mask=known, other=0.0)
    return a + b + barycentrics[2] * tl.load(mesh + corners[2].to(tl.int64) * 6 + part, mask=known, other=0.0)


@triton.jit
def _point(surface, mesh, vertices, faces, texel, there):  # type: ignore[no-untyped-def]
    """Return whether texels lie on a face, and if so their positions and unit normals."""
    face = tl.load(surface.texel_faces + texel, mask=there, other=-1)
    known = (face >= 0) & (face < faces)
    row = surface.faces + face.to(tl.int64) * 3
    a = tl.load(row, mask=known, other=-1)
    b = tl.load(row + 1, mask=known, other=-1)
    c = tl.load(row + 2, mask=known, other=-1)
    known = (a >= 0) & (a < vertices) & (b >= 0) & (b < vertices) & (c >= 0) & (c < vertices)
    at = surface.texel_barycentrics + texel.to(tl.int64) * 3
    shares = (
        tl.load(at, mask=known, other=0.0),
        tl.load(at + 1, mask=known, other=0.0),
        tl.load(at + 2, mask=known, other=0.0),
    )
    corners = (a, b, c)
    x, y = _mixed(mesh, corners, shares, 0, known), _mixed(mesh, corners, shares, 1, known)
    z, i = _mixed(mesh, corners, shares, 2, known), _mixed(mesh, corners, shares, 3, known)
    j, k = _mixed(mesh, corners, shares, 4, known), _mixed(mesh, corners, shares, 5, known)
    length = tl.maximum(tl.sqrt(i * i + j * j + k * k), _SMALLEST)
    return known, (x, y, z), (i / length, j / length, k / length)


@triton.jit
def _visible(depth, frame, place, step, limits):  # type: ignore[no-untyped-def]
    """Return whether a pixel shows its texel, and the pixel's number in the picture.

    Args:
        depth: Of the view.
        frame: height, width; numbers of the view; distance, cosine, plane of the texels; whether a view faces them.
        place: Column and row, float32.
        step: From texel to pixel, in x / w and in y / w.
        limits: Of the call.
    """
    height, width, numbers, w, cosine, plane, faced = frame
    column, row = place
    step_u, step_v = step
    turn = 1.0 + (plane[0] * step_u + plane[1] * step_v) / plane[2]
    across, along = step_u * tl.load(numbers + 24), step_v * tl.load(numbers + 25)
    allowed = limits.tolerance + _BEND * w * tl.sqrt(across * across + along * along) / (cosine * cosine)
    inside = faced & (column >= 0) & (column < width) & (row >= 0) & (row < height) & (turn > 0)
    pixel = tl.where(inside, row, 0.0).to(tl.int32) * width + tl.where(inside, column, 0.0).to(tl.int32)
    found = tl.load(depth + pixel, mask=inside, other=_INFINITE)
    return inside & (found < _INFINITE) & (tl.abs(found - w / turn) <= allowed), pixel


@triton.jit  # type: ignore[untyped-decorator]
def _backproject(  # type: ignore[no-untyped-def]
    views,
    surface,
    limits,
    colours_ptr,
    weights_ptr,
    height,
    width,
    channels,
    texels,
    vertices,
    faces,
    mesh_stride,
    TEXELS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    blocks = tl.cdiv(texels, TEXELS)
    view = tl.program_id(0) // blocks
    texel = (tl.program_id(0) - view * blocks) * TEXELS + tl.arange(0, TEXELS)
    there = texel < texels
    view = view.to(tl.int64)
    known, position, normal = _point(surface, surface.meshes + view * mesh_stride, vertices, faces, texel, there)
    x, y, z = position
    i, j, k = normal

    numbers = views.numbers + view * _NUMBERS
    p, q, r = tl.load(numbers + 21) - x, tl.load(numbers + 22) - y, tl.load(numbers + 23) - z
    cosine = (i * p + j * q + k * r) / tl.maximum(tl.sqrt(p * p + q * q + r * r), _SMALLEST)
    w = _dot(numbers + 8, x, y, z) + tl.load(numbers + 11)
    faced = known & (w > _NEAREST) & (cosine > 0.0) & (cosine >= limits.least_cosine)
    w, cosine = tl.where(faced, w, 1.0), tl.where(faced, cosine, 1.0)
    u = tl.div_rn(_dot(numbers, x, y, z) + tl.load(numbers + 3), w)
    v = tl.div_rn(_dot(numbers + 4, x, y, z) + tl.load(numbers + 7), w)
    column, row = (u * 0.5 + 0.5) * width - 0.5, (0.5 - v * 0.5) * height - 0.5
    left, top = tl.floor(column), tl.floor(row)
    across, down = column - left, row - top
    plane_u, plane_v = _dot(numbers + 12, i, j, k), _dot(numbers + 15, i, j, k)
    here = plane_u * u + plane_v * v + _dot(numbers + 18, i, j, k)
    plane = (plane_u, plane_v, tl.where(faced, here, 1.0))

    start = view * height * width
    wide, tall = 2.0 / width, 2.0 / height
    frame = (height, width, numbers, w, cosine, plane, faced)
    step_left, step_right = -across * wide, (1.0 - across) * wide
    step_up, step_down = down * tall, (down - 1.0) * tall
    depth = views.depth + start
    see0, pixel0 = _visible(depth, frame, (left, top), (step_left, step_up), limits)
    see1, pixel1 = _visible(depth, frame, (left + 1.0, top), (step_right, step_up), limits)
    see2, pixel2 = _visible(depth, frame, (left, top + 1.0), (step_left, step_down), limits)
    see3, pixel3 = _visible(depth, frame, (left + 1.0, top + 1.0), (step_right, step_down), limits)
    share0 = tl.where(see0, (1.0 - across) * (1.0 - down), 0.0)
    share1 = tl.where(see1, across * (1.0 - down), 0.0)
    share2 = tl.where(see2, (1.0 - across) * down, 0.0)
    share3 = tl.where(see3, across * down, 0.0)
    seen = share0 + share1 + share2 + share3

    confidence = views.confidence + start
    trusted = share0 * tl.load(confidence + pixel0, mask=see0, other=0.0)
    trusted += share1 * tl.load(confidence + pixel1, mask=see1, other=0.0)
    trusted += share2 * tl.load(confidence + pixel2, mask=see2, other=0.0)
    trusted += share3 * tl.load(confidence + pixel3, mask=see3, other=0.0)
    worth = tl.exp2(limits.power * tl.log2(cosine))
    at = view * texels + texel
    tl.store(weights_ptr + at, tl.where(seen > 0.0, trusted * worth, 0.0), mask=there)

    seen = tl.where(seen > 0.0, seen, 1.0)[:, None]
    pictures = views.pictures + start * channels
    for first in range(0, channels, CHANNELS):
        channel = first + tl.arange(0, CHANNELS)[None, :]
        some = channel < channels
        at0, at1 = pixel0.to(tl.int64)[:, None] * channels, pixel1.to(tl.int64)[:, None] * channels
        at2, at3 = pixel2.to(tl.int64)[:, None] * channels, pixel3.to(tl.int64)[:, None] * channels
        mixed = share0[:, None] * tl.load(pictures + at0 + channel, mask=see0[:, None] & some, other=0.0)
        mixed += share1[:, None] * tl.load(pictures + at1 + channel, mask=see1[:, None] & some, other=0.0)
        mixed += share2[:, None] * tl.load(pictures + at2 + channel, mask=see2[:, None] & some, other=0.0)
        mixed += share3[:, None] * tl.load(pictures + at3 + channel, mask=see3[:, None] & some, other=0.0)
        tl.store(colours_ptr + at[:, None] * channels + channel, mixed / seen, mask=there[:, None] & some)


def launch_backproject(
    views: Views,  # float32, contiguous
    surface: Surface,  # float32 and int32 or int64, contiguous
    limits: Limits,
    colours: Tensor,  # [N, S, T, C] float32, contiguous: written
    weights: Tensor,  # [N, S, T] float32, contiguous: written
    *,
    block: int = VALUES,
) -> None:
    """Write what each view shows of each texel: `block` texels x channels (a power of two) a program."""
    if weights.numel() == 0:
        return
    count, height, width, channels = views.pictures.shape
    texels = surface.texel_faces.numel()
    channel_block = min(power_of_two(channels), MOST_CHANNELS)
    texel_block = block_of(count * texels, min(max(block // channel_block, 1), MOST_TEXELS))
    launch(
        _backproject,
        (count * cdiv(texels, texel_block),),
        views,
        surface,
        Limits(*(float(number) for number in limits)),
        colours,
        weights,
        height,
        width,
        channels,
        texels,
        surface.meshes.shape[1],
        len(surface.faces),
        0 if len(surface.meshes) == 1 else surface.meshes.stride(0),
        TEXELS=texel_block,
        CHANNELS=channel_block,
    )
