"""Knows texture look-ups as a custom op: `pain3d::sample_texture`, for CUDA tensors (and Triton's interpreter)."""

from __future__ import annotations

from torch import Tensor

from pain3d.kernels._triton import custom_op, on_device, refuse_gradient


@custom_op("sample_texture")
def sample_texture_triton(texels: Tensor, uv: Tensor, level: Tensor | None, height: int, width: int) -> Tensor:
    """Return [B, H, W, C], float32, from texels [B or 1, N, C] of a texture of height x width or of its mip chain.

    N is at least height * width, and without a level no more is read. See `pain3d.kernels.sample_texture`.
    """
    from pain3d.kernels.texturing.kernel import launch_sample_texture

    values = uv.new_empty(*uv.shape[:-1], texels.shape[-1])
    if len(texels) == 0 or not texels[0].is_contiguous():  # an expanded batch stays as it is
        texels = texels.contiguous()
    level = None if level is None else level.contiguous()
    with on_device(uv):
        launch_sample_texture(texels, uv.contiguous(), level, height, width, values)
    return values


@sample_texture_triton.register_fake
def _(texels: Tensor, uv: Tensor, level: Tensor | None, height: int, width: int) -> Tensor:
    return uv.new_empty(*uv.shape[:-1], texels.shape[-1])


refuse_gradient(sample_texture_triton, "sample_texture")
