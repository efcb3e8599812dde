"""Knows the door to a person's texture: from a head to its `SurfaceMaps`, from them and `Skin` to sixteen channels."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pain3d.device import moved_at_once
from pain3d.head.model import Head
from pain3d.kernels.rendering.relief import CHANNELS
from pain3d.kernels.texturing import Mipmaps, build_mipmaps
from pain3d.kernels.texturing.reference import level_table
from pain3d.skin.appearance import Skin, people_of
from pain3d.skin.maps import SurfaceMaps

if TYPE_CHECKING:
    from pain3d.skin.photographed import Photograph
    from pain3d.skin.sketch import Sketch

TOGETHER = 32  # people whose planes are on a device at once, beside their textures: 230 MB each

_cache: weakref.WeakKeyDictionary[Head, dict[int, SurfaceMaps]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def surface_maps(head: Head, size: int = 1024) -> SurfaceMaps:
    """The maps of a head at `size` texels a side; made once per head and size, then kept as long as the head is.

    Raises:
        ValueError: size is not a power of two in 64–8192, or the head is another maker's.
    """
    head.needs("procedural skin")
    if not (64 <= size <= 8192 and size & (size - 1) == 0):
        raise ValueError(f"size must be a power of two in 64..8192, got {size}")
    with _lock:  # threads that paint different people share one
        made = _cache.setdefault(head, {})
        if size not in made:
            from pain3d.skin.map_building import build_maps  # here: `import pain3d` loads no OpenCV

            made[size] = build_maps(head.on("cpu"), size)
        return made[size]


def paint(
    head_maps: SurfaceMaps, skin: Skin | Sequence[Skin], albedo: Tensor | Sequence[Tensor | None] | None = None
) -> Tensor:
    """Paint one person's texture, or those of K people; the same maps and skin give the same bytes, in any company.

    Args:
        head_maps: Of `surface_maps`; they say how large the texture is.
        skin: Who: one, or K of them.
        albedo: [H, W, 3] in place of the painted one wherever a photograph can show the head (`photographable`):
            float32 linear, clipped to 0.003–0.95, or uint8 sRGB. Eyes, teeth, gloss, relief and wrinkles stay painted.
            Of K people [K, H, W, 3], or a sequence with one or None for each. With alpha, [H, W, 4] uint8 sRGB, it is
            bare skin, laid by its alpha below what grows on it, in the person's tone as far as that is believable.

    Returns:
        [H, W, 16] float32 of one person, [K, H, W, 16] of a sequence, as `pain3d.kernels.render` reads it: linear red,
        green and blue albedo (0.003–0.95), specular scale (1 is skin), roughness (0.05–1), slopes of the relief,
        scatter (0–1), and two layers of wrinkles at weight 1: slopes, shade and blood. Between the charts it goes on
        with the colour of the nearest one.

    Gradients: none.

    Raises:
        ValueError: An albedo of another size or type, another number of them than of people, or nobody.
    """
    from pain3d.skin.compose import Canvas, paint_texture  # here: `import pain3d` loads no OpenCV

    skins = people_of(skin)
    albedos: list[Any] = [albedo] * len(skins) if albedo is None or isinstance(skin, Skin) else list(albedo)
    if len(albedos) != len(skins):
        raise ValueError(f"albedo must be one for each of {len(skins)} people, got {len(albedos)}")
    size = head_maps.size
    textures, canvas = torch.empty(len(skins), size, size, CHANNELS), Canvas(head_maps)
    for texture, one, seen in zip(textures, skins, albedos, strict=True):
        paint_texture(canvas, one, texture.numpy(), _photograph(seen, head_maps))
    return textures[0] if isinstance(skin, Skin) else textures


_kept = threading.local()
# To draw and paint a person is a thousand short calls that each want the GIL, to render one is a long one without it.
# Only half of the threads that do the same work may draw at once: so they fall out of step. Two in step took a tenth
# longer for everything.
BRUSHES = threading.BoundedSemaphore(max(1, (os.cpu_count() or 1) // 2))


def paint_mipmaps(
    head_maps: SurfaceMaps, skin: Skin, albedo: Tensor | None = None, out: Tensor | None = None
) -> Mipmaps:
    """As `paint`, with its mip levels, in memory that the thread's next call paints over, or in `out` [1, N, 16].

    Waits for one of `BRUSHES`.
    """
    from pain3d.skin.compose import Canvas, paint_texture

    size, seen = head_maps.size, _photograph(albedo, head_maps)
    if getattr(_kept, "maps", None) is not head_maps:
        _kept.canvas, _kept.maps, _kept.chain = Canvas(head_maps), head_maps, None
    if out is None:
        if _kept.chain is None:
            _kept.chain = torch.empty(1, chain_length(size), CHANNELS)
        out = _kept.chain
    level = out[:, : size * size].view(1, size, size, CHANNELS)
    with BRUSHES:
        paint_texture(_kept.canvas, skin, level[0].numpy(), seen)
    return build_mipmaps(level, out=out)


def chain_length(size: int) -> int:
    """Texels N of the mip chain of a texture of `size` a side."""
    offset, rows, columns = level_table(size, size)[-1]
    return offset + rows * columns


def paint_people(
    head_maps: SurfaceMaps,
    skins: Sequence[Skin],
    device: torch.device | str,
    sketches: Sequence[Sketch] | None = None,
    albedos: Sequence[Tensor | None] | None = None,
) -> Mipmaps:
    """Paint many people, with their mip levels, in new memory on a device.

    Args:
        head_maps: Of `surface_maps`.
        skins: Who, K of them.
        device: Where to. On a CPU each texture is as `paint_mipmaps` gives it.
        sketches: What `sketch.draw_sketch` gives for each of them; None draws it here. A CPU draws it anew.
        albedos: Of each, on the CPU, see `paint`; None is nobody's.

    Returns:
        Mipmaps of [K, N, 16] float32, in the order of `skins`.

    Gradients: none.

    Raises:
        ValueError: An albedo of another size or type.
    """
    device, size = torch.device(device), head_maps.size
    if device.type != "cpu":
        return paint_together(head_maps, skins, device, sketches, albedos)
    texels = torch.empty(len(skins), chain_length(size), CHANNELS)
    for chain, skin, albedo in zip(texels, skins, albedos or [None] * len(skins), strict=True):
        paint_mipmaps(head_maps, skin, albedo, out=chain[None])
    return Mipmaps(texels, size, size)


def paint_together(
    head_maps: SurfaceMaps,
    skins: Sequence[Skin],
    device: torch.device,
    sketches: Sequence[Sketch] | None = None,
    albedos: Sequence[Tensor | None] | None = None,
) -> Mipmaps:
    """As `paint_people`, by torch on any device: `TOGETHER` people at a time."""
    from pain3d.skin.compose import paint_textures  # here: `import pain3d` loads no OpenCV
    from pain3d.skin.crowd import Crowd
    from pain3d.skin.sketch import draw_sketch

    size = head_maps.size
    texels = torch.empty(len(skins), chain_length(size), CHANNELS, device=device)
    maps = head_maps.on(device)
    for first in range(0, len(skins), TOGETHER):
        some = slice(first, first + TOGETHER)
        drawn = [draw_sketch(head_maps, skin) for skin in skins[some]] if sketches is None else sketches[some]
        given = [None] * len(drawn) if albedos is None else albedos[some]
        seen = moved_at_once([_photograph(one, head_maps) for one in given], device)
        chain = texels[some]
        level = chain[:, : size * size].view(len(chain), size, size, CHANNELS)
        paint_textures(maps, Crowd(skins[some], drawn, device), level, seen)
        fill_levels(chain, size)
    return Mipmaps(texels, size, size)


def _photograph(albedo: Tensor | None, head_maps: SurfaceMaps) -> Photograph | None:
    if albedo is None:
        return None
    from pain3d.skin.photographed import photograph_of  # here: `import pain3d` loads no OpenCV

    return photograph_of(albedo, head_maps)


def fill_levels(chain: Tensor, size: int) -> None:
    """Make the mip levels of chains [K, N, C] from their level 0 of `size` a side, in place; as `build_mipmaps`."""
    table = level_table(size, size)
    for (start, rows, columns), (following, tall, wide) in pairwise(table):
        level = _level(chain, start, rows, columns)
        half = (level[:, 0::2] + level[:, 1::2]).mul_(0.5)
        target = _level(chain, following, tall, wide)
        torch.add(half[:, :, 0::2], half[:, :, 1::2], out=target).mul_(0.5)


def _level(chain: Tensor, start: int, rows: int, columns: int) -> Tensor:
    return chain[:, start : start + rows * columns].view(len(chain), rows, columns, chain.shape[2])
