"""What only a JPEG's loss on a GPU promises: the reference's bytes, whatever a program holds."""

from __future__ import annotations

import pytest
import torch

from pain3d.kernels import jpeg_loss
from pain3d.kernels.compression.kernel import launch_jpeg_loss
from pain3d.kernels.compression.reference import kernel_tables
from tests.kernels.rooms import device_of
from tests.kernels.test_jpeg import pictures

DEVICE = device_of("triton")


@pytest.mark.parametrize(("blocks", "pixels"), [(2, 256), (8, 64)])
@pytest.mark.parametrize("size", [(18, 21), (3, 4)])
def test_any_block_gives_the_references_bytes(blocks: int, pixels: int, size: tuple[int, int]) -> None:
    image, quality = pictures(2, *size).to(DEVICE), torch.tensor([20, 96], device=DEVICE)
    padded = torch.full((len(image) + 1, *image.shape[1:]), 7, dtype=torch.uint8, device=DEVICE)
    launch_jpeg_loss(image, quality, kernel_tables(image.device), padded[:-1], blocks=blocks, pixels=pixels)
    assert torch.equal(padded[:-1], jpeg_loss(image, quality, backend="reference"))
    assert (padded[-1] == 7).all()
