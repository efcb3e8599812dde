"""Knows the public face of the room `sample_texture`: what the arguments must be, and which backend answers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes
from pain3d.kernels.texturing.reference import (
    Mipmaps,
    build_mipmaps_reference,
    level_table,
    sample_texture_reference,
    spread_levels,
)
from pain3d.kernels.texturing.triton_op import sample_texture_triton

AVAILABLE = ("reference", "triton")
MOST_TEXELS = 2**31 - 1  # of level 0 in the triton kernels, which count them in int32


def build_mipmaps(texture: Tensor, *, out: Tensor | None = None, backend: str | None = None) -> Mipmaps:
    """Build the mip chain of a texture: each level is the mean of 2 x 2 texels of the one below, down to 1 x 1.

    Build it once where a texture serves several calls; `sample_texture` and `render` take it in the texture's place.

    Args:
        texture: [B, Ht, Wt, C], sides powers of two (a side that has reached 1 stays 1).
        out: [B, N, C] memory for the chain, of the texture's dtype and device; None is new memory. The texture may lie
            in it already, as its level 0, and is then not copied.
        backend: ``"reference"``, ``"cpu"`` (numba, float32) or None for the default order.

    Returns:
        Mipmaps: ``texels`` [B, N, C] with all levels one after the other, ``height`` and ``width`` of level 0.

    Gradients: to texture, whatever the backend: each level's are spread over the one below.

    Raises:
        ValueError: A shape, dtype or side does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(texture=(texture, "B Ht Wt C"))
    check_dtypes(FLOATS, texture=texture)
    _check_sides(sizes["Ht"], sizes["Wt"])
    if out is not None:
        offset, rows, columns = level_table(sizes["Ht"], sizes["Wt"])[-1]
        wanted = [sizes["B"], offset + rows * columns, sizes["C"]]
        if list(out.shape) != wanted or out.dtype != texture.dtype or not out.is_contiguous():
            raise ValueError(
                f"out must be {wanted} of {texture.dtype}, contiguous, got {list(out.shape)} of {out.dtype}"
            )
    available = (
        ("reference", "cpu") if texture.dtype == torch.float32 else ("reference",)
    )  # the numba code is float32 only
    chosen = resolve_backend("build_mipmaps", backend, available, texture, with_gradient=("cpu",))
    if texture.requires_grad and torch.is_grad_enabled():
        texels: Tensor = _Chain.apply(texture, chosen)  # type: ignore[no-untyped-call]
        return Mipmaps(texels if out is None else out.copy_(texels), sizes["Ht"], sizes["Wt"])
    return _build(texture, chosen, out)


def _build(texture: Tensor, backend: str, out: Tensor | None) -> Mipmaps:
    if backend == "cpu":
        from pain3d.kernels.texturing.cpu import build_mipmaps_cpu

        return build_mipmaps_cpu(texture, out)
    made = build_mipmaps_reference(texture)
    return made if out is None else made._replace(texels=out.copy_(made.texels))


class _Chain(torch.autograd.Function):
    """The mip chain in the graph: the gradient of the reference, one pass over each level instead of six."""

    @staticmethod
    def forward(ctx: Any, texture: Tensor, backend: str) -> Tensor:
        ctx.sides = texture.shape[1:3]
        return _build(texture, backend, None).texels

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return spread_levels(gradient, *ctx.sides), None


def sample_texture(
    texture: Tensor | Mipmaps, uv: Tensor, level: Tensor | None = None, *, backend: str | None = None
) -> Tensor:
    """Look a texture up at texture coordinates: bilinear, clamped to the edge; trilinear where a level is given.

    (u, v) = (0, 1) is the top-left corner of the top-left texel, (1, 0) the bottom-right corner of the last: v points
    up and is flipped here and nowhere else. Texel centres are at +0.5.

    Args:
        texture: [B, Ht, Wt, C], or [1, Ht, Wt, C] shared by all images, or the `Mipmaps` of one.
        uv: [B, H, W, 2], of the texture's dtype; outside 0 … 1 the edge texels go on, NaN reads the first.
        level: [B, H, W] mip level, 0 the full texture, clamped to the chain, NaN too; None reads level 0 alone. With a
            level the sides of the texture must be powers of two.
        backend: ``"reference"``, ``"triton"`` (float32) or None for the default order.

    Returns:
        [B, H, W, C].

    Gradients: to texture, uv (piecewise constant, 0 where clamped) and level; with ``triton`` once, not of gradients.

    Raises:
        ValueError: A shape, dtype or side does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    if isinstance(texture, Mipmaps):
        sizes = check_shapes(uv=(uv, "B H W 2"), texture=(texture.texels, "B|1 N C"))
        texels, height, width = texture
        _check_sides(height, width)
        offset, rows, columns = texture.levels()[-1]
        if sizes["N"] != offset + rows * columns:
            raise ValueError(
                f"texture must have N={offset + rows * columns} texels, the mip chain of {height} x {width}, "
                f"got {list(texels.shape)}"
            )
    else:
        sizes = check_shapes(uv=(uv, "B H W 2"), texture=(texture, "B|1 Ht Wt C"))
        texels, height, width = texture, sizes["Ht"], sizes["Wt"]
        if height < 1 or width < 1:
            raise ValueError(f"texture must have at least one texel, got {list(texture.shape)}")
    check_dtypes(FLOATS, texture=texels, uv=uv)
    if level is not None:
        check_shapes(uv=(uv, "B H W 2"), level=(level, "B H W"))
        check_dtypes(FLOATS, uv=uv, level=level)
        if not isinstance(texture, Mipmaps):
            texture = build_mipmaps(texture, backend="reference")
    fits = texels.dtype == torch.float32 and height * width <= MOST_TEXELS
    available = AVAILABLE if fits else ("reference",)
    inputs = (texels, uv, level)
    if resolve_backend("sample_texture", backend, available, *inputs, with_gradient=("triton",)) == "triton":
        texels = texture.texels if isinstance(texture, Mipmaps) else texture.flatten(1, 2)
        values: Tensor = sample_texture_triton(texels, uv, level, height, width)
        return values
    return sample_texture_reference(texture, uv, level)


def _check_sides(height: int, width: int) -> None:
    for name, side in (("Ht", height), ("Wt", width)):
        if side < 1 or side & (side - 1):
            raise ValueError(f"texture must have sides that are powers of two for mip levels, got {name}={side}")
