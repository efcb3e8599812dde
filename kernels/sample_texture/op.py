"""Knows the public face of the room `sample_texture`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes
from pain3d.kernels.sample_texture.reference import Mipmaps, build_mipmaps_reference, sample_texture_reference

AVAILABLE = ("reference",)


def build_mipmaps(texture: Tensor, *, backend: str | None = None) -> Mipmaps:
    """Build the mip chain of a texture: each level is the mean of 2 x 2 texels of the one below, down to 1 x 1.

    Build it once where a texture serves several calls; `sample_texture` and `render` take it in the texture's place.

    Args:
        texture: [B, Ht, Wt, C], sides powers of two (a side that has reached 1 stays 1).
        backend: ``"reference"``, ``"cpu"`` (numba, float32, no gradients) or None for the default order.

    Returns:
        Mipmaps: ``texels`` [B, N, C] with all levels one after the other, ``height`` and ``width`` of level 0.

    Gradients: to texture with the reference; none with ``cpu``.

    Raises:
        ValueError: A shape, dtype or side does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(texture=(texture, "B Ht Wt C"))
    check_dtypes(FLOATS, texture=texture)
    for side in ("Ht", "Wt"):
        if sizes[side] < 1 or sizes[side] & (sizes[side] - 1):
            raise ValueError(f"texture must have sides that are powers of two for mip levels, got {side}={sizes[side]}")
    available = ("reference", "cpu") if texture.dtype == torch.float32 else AVAILABLE  # the numba code is float32 only
    if resolve_backend("build_mipmaps", backend, available, texture) == "cpu":
        from pain3d.kernels.sample_texture.cpu import build_mipmaps_cpu

        return build_mipmaps_cpu(texture)
    return build_mipmaps_reference(texture)


def sample_texture(
    texture: Tensor | Mipmaps, uv: Tensor, level: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """Look a texture up at texture coordinates: bilinear, clamped to the edge; trilinear where a level is given.

    (u, v) = (0, 1) is the top-left corner of the top-left texel, (1, 0) the bottom-right corner of the last: v points
    up and is flipped here and nowhere else. Texel centres are at +0.5.

    Args:
        texture: [B, Ht, Wt, C], or [1, Ht, Wt, C] shared by all images, or the `Mipmaps` of one.
        uv: [B, H, W, 2], of the texture's dtype; outside 0 … 1 the edge texels go on.
        level: [B, H, W] mip level, 0 the full texture, clamped to the chain; None reads level 0 alone. With a level the
            sides of the texture must be powers of two.
        backend: ``"reference"`` or None.

    Returns:
        [B, H, W, C].

    Gradients: to texture, uv (piecewise constant, 0 where clamped) and level.

    Raises:
        ValueError: A shape, dtype or side does not fit, or the room has no such backend.
    """
    if isinstance(texture, Mipmaps):
        sizes = check_shapes(uv=(uv, "B H W 2"), texture=(texture.texels, "B|1 N C"))
        texels = texture.texels
    else:
        sizes = check_shapes(uv=(uv, "B H W 2"), texture=(texture, "B|1 Ht Wt C"))
        texels = texture
        if sizes["Ht"] < 1 or sizes["Wt"] < 1:
            raise ValueError(f"texture must have at least one texel, got {list(texture.shape)}")
    check_dtypes(FLOATS, texture=texels, uv=uv)
    if level is not None:
        check_shapes(uv=(uv, "B H W 2"), level=(level, "B H W"))
        check_dtypes(FLOATS, uv=uv, level=level)
        if not isinstance(texture, Mipmaps):
            texture = build_mipmaps(texture, backend="reference")
    resolve_backend("sample_texture", backend, AVAILABLE, texels, uv, level)
    return sample_texture_reference(texture, uv, level)
