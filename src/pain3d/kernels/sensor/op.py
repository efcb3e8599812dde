"""Knows the public face of the room `sensor`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes
from pain3d.kernels.sensor.reference import add_sensor_noise_reference
from pain3d.kernels.sensor.triton_op import add_sensor_noise_triton


def add_sensor_noise(image: Tensor, shot: Tensor, read: Tensor, keys: Tensor, *, backend: str | None = None) -> Tensor:
    """Add shot and read noise to pictures: of variance ``shot · light + read²`` in linear light, told in bytes.

    Args:
        image: [B, H, W, 3] uint8, as `render` writes it: tone map and sRGB.
        shot: [B] variance per unit of linear light, where white is 1: one over the electrons at white. 0 is none.
        read: [B] standard deviation in the dark, linear light. 0 is none.
        keys: [B] int64: the same key gives the same noise, whatever else is in the batch.
        backend: ``"reference"``, ``"cpu"``, ``"triton"`` or None for the default order; all write the same bytes.

    Returns:
        [B, H, W, 3] uint8. A picture whose shot and read are 0 comes back as it was.

    Gradients: none (bytes).

    Source: Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data".

    Raises:
        ValueError: A shape or dtype does not fit.
        RuntimeError: The asked backend can't run on these inputs.
    """
    check_shapes(image=(image, "B H W 3"), shot=(shot, "B"), read=(read, "B"), keys=(keys, "B"))
    check_dtypes((torch.uint8,), image=image)
    check_dtypes(FLOATS, shot=shot, read=read)
    check_dtypes((torch.int64,), keys=keys)
    available = ("reference", "cpu", "triton")
    chosen = resolve_backend("add_sensor_noise", backend, available, image, shot, read, keys, differentiable=False)
    shot, read = shot.detach(), read.detach()
    if chosen == "triton":
        noisy: Tensor = add_sensor_noise_triton(image, shot, read, keys)
        return noisy
    if chosen == "cpu":
        from pain3d.kernels.sensor.cpu import add_sensor_noise_cpu

        return add_sensor_noise_cpu(image, shot, read, keys)
    return add_sensor_noise_reference(image, shot, read, keys)
