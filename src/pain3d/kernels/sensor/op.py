"""Knows the public face of the room `sensor`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, check_dtypes, check_shapes
from pain3d.kernels.sensor.reference import develop_reference
from pain3d.kernels.sensor.triton_op import develop_triton

MOST_SENSOR = 1e6  # above it no number of a sensor means anything


def develop(image: Tensor, sensor: Tensor, keys: Tensor, *, backend: str | None = None) -> Tensor:
    """Make of rendered pictures what a camera makes of them: a lens' blur, its noise, colour and tone.

    Blur and colour are of linear light, as the tone map left it; the tone curve follows; noise has the variance
    ``shot · light + read²`` in linear light and is told in bytes.

    Args:
        image: [B, H, W, 3] uint8, as `render` writes it: tone map and sRGB.
        sensor: [B, 5] of each picture: *shot*, variance of the noise per unit of linear light, where white is 1: one
            over the electrons at white; *read*, its standard deviation in the dark, linear; *mtf50*, the frequency of
            which half of the contrast is left, 0.182–0.5 cycles a pixel, or 0 for no blur; *contrast*, slope of the
            tone curve at middle grey, 0–1.5; *saturation*, 0 for grey.
        keys: [B] int64: the same key gives the same noise, whatever else is in the batch.
        backend: ``"reference"``, ``"cpu"``, ``"triton"`` or None for the default order; all write the same bytes.

    Returns:
        [B, H, W, 3] uint8. A picture of 0, 0, 0, 1, 1 comes back as it was.

    Gradients: none (bytes).

    Source: Foi et al. 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data";
    ISO 12233:2017 for the MTF.

    Raises:
        ValueError: A shape or dtype does not fit.
        RuntimeError: The asked backend can't run on these inputs.
    """
    check_shapes(image=(image, "B H W 3"), sensor=(sensor, "B 5"), keys=(keys, "B"))
    check_dtypes((torch.uint8,), image=image)
    check_dtypes(FLOATS, sensor=sensor)
    check_dtypes((torch.int64,), keys=keys)
    available = ("reference", "cpu", "triton")
    chosen = resolve_backend("develop", backend, available, image, sensor, keys, differentiable=False)
    sensor = sensor.detach().nan_to_num(0.0).clamp(0, MOST_SENSOR)  # or a table is asked for an entry that it hasn't
    if chosen == "triton":
        developed: Tensor = develop_triton(image, sensor, keys)
        return developed
    if chosen == "cpu":
        from pain3d.kernels.sensor.cpu import develop_cpu

        return develop_cpu(image, sensor, keys)
    return develop_reference(image, sensor, keys)
