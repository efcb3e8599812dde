"""What only a JPEG's loss promises: the bytes of a real encoder and decoder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pain3d import Camera, Head, paint, render, sample_skin, surface_maps
from pain3d.kernels import jpeg_loss
from pain3d.kernels.compression.reference import dct_matrix

Bytes = npt.NDArray[np.uint8]


def through_jpeg(picture: Bytes, quality: int) -> Bytes:
    simplejpeg = pytest.importorskip("simplejpeg")  # what compares nothing with it runs without
    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "RGB", "420")
    return np.asarray(simplejpeg.decode_jpeg(encoded, "RGB"), np.uint8)


def pictures(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Soft colours with grain, hard edges, and black and white noise, in turn."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    made = []
    for number in range(count):
        waves = np.sin(np.stack([x * f + y * g for f, g in generator.uniform(0.02, 0.4, (3, 2))], 2))
        kinds = (
            128 + 100 * waves + generator.normal(0, 6, waves.shape),
            np.where(waves > 0, 255, 0),
            generator.choice([0, 255], waves.shape),
        )
        made.append(np.clip(kinds[number % 3], 0, 255).astype(np.uint8))
    return torch.from_numpy(np.stack(made))


@pytest.mark.parametrize("size", [(48, 64), (33, 47), (16, 5), (3, 2), (1, 1)])
def test_the_bytes_are_those_of_an_encoder_and_a_decoder(size: tuple[int, int]) -> None:
    """At every quality, so by both of its DCTs; sizes with whole and broken blocks."""
    image, quality = pictures(100, *size), torch.arange(1, 101)
    found = jpeg_loss(image, quality).numpy()
    for row in range(100):
        assert np.array_equal(found[row], through_jpeg(image[row].numpy(), row + 1)), f"quality {row + 1}"


@pytest.mark.parametrize("quality", [75, 95])
def test_faces_come_back_as_from_a_file(quality: int) -> None:
    """The packaged head as it is rendered: soft skin, brows, a silhouette."""
    head, skin = Head.default(), sample_skin(0, 0, age=60, sex=0.2, ancestry=(0, 1, 0))
    cameras = Camera.orbit(yaw_degrees=(-30, 10), distance=0.8, size=96)
    faces = render(head(), cameras, light="studio", texture=paint(surface_maps(head, 256), skin)[None]).image
    assert faces is not None
    found = jpeg_loss(faces, torch.tensor([quality, quality])).numpy()
    for face, made in zip(faces.numpy(), found, strict=True):
        assert np.array_equal(made, through_jpeg(face, quality))


def test_quality_beyond_its_range_is_the_nearest() -> None:
    image = pictures(2, 16, 16)
    found = jpeg_loss(image, torch.tensor([-3, 200]))
    assert torch.equal(found, jpeg_loss(image, torch.tensor([1, 100], dtype=torch.int32)))


def test_the_transform_is_a_cosine_transform() -> None:
    """Entries are at most 1.2 units of 2^-13 off √8 times the orthonormal one: each is a sum of rounded constants."""
    place, frequency = np.arange(8), np.arange(8)[:, None]
    exact = np.cos((2 * place + 1) * frequency * np.pi / 16) * np.where(frequency == 0, 1, np.sqrt(2)) * 2**13
    assert np.abs(dct_matrix() - exact).max() < 1.2
