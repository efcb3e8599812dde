"""Knows what views must agree on after a blend, and what it must leave alone."""

import pytest
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.kernels import backproject, interpolate
from pain3d.pipeline.texture.shared_texels import blend_of
from pain3d.pipeline.texture.views import Seen, see, standard_cameras
from pain3d.skin import Skin, surface

SIZE = 64  # of the latents of pictures of 512


@pytest.fixture(scope="module")
def seen() -> Seen:
    head = Head.default()
    return see(head, head.sample_identity(3), surface(head, Skin(hair_style="buzz")), standard_cameras(3, SIZE))


def smooth(seen: Seen) -> Tensor:
    """[N, 3, h, w] a function of the point that each pixel sees, waves of 63 mm, 12 pixels; 0 on background."""
    points = interpolate(seen.mesh.vertices, seen.head.topology.faces, seen.face_ids, seen.barycentrics)
    return (torch.sin(points * 100) * seen.conditions.mask[..., None]).permute(0, 3, 1, 2)


def disagreement(seen: Seen, latents: Tensor) -> Tensor:
    """[P] difference of the first two views where both see a point well, from the front's pixels on."""
    colours, weights = backproject(
        latents.permute(0, 2, 3, 1).contiguous(), seen.conditions.depth, seen.conditions.mask.float(),
        seen.cameras.world_to_clip, seen.cameras.position, seen.mesh.vertices, seen.normals,
        seen.head.topology.faces, seen.face_ids[0], seen.barycentrics[0], power=1.0, least_cosine=0.4,
    )  # fmt: skip
    both = (weights[0] > 0.4) & (weights[1] > 0.4)
    assert both.sum() > 100
    return (colours[0] - colours[1])[both].abs().amax(-1)


def test_views_that_disagree_agree_afterwards(seen: Seen) -> None:
    """One view is painted lighter by 1: the mean is between, and the same from both."""
    latents = smooth(seen)
    latents[1] += 1.0 * seen.conditions.mask[1]
    before, after = disagreement(seen, latents), disagreement(seen, blend_of(seen)(latents))
    assert before.median() > 0.9
    # seen 1.01, 0.029 and 0.095; views that agree from the start differ by 0.024: a bilinear look-up
    assert after.median() < 0.05 and after.quantile(0.9) < 0.15


def test_views_that_agree_stay_as_they_are_and_a_second_blend_does_little(seen: Seen) -> None:
    latents = smooth(seen)
    blend = blend_of(seen)
    once = blend(latents)
    twice = blend(once)
    spread = latents.pow(2).mean().sqrt()
    # seen 0.020 and 0.008: a bilinear look-up of waves of 12 pixels
    assert (once - latents).pow(2).mean().sqrt() < 0.04 * spread
    assert (twice - once).pow(2).mean().sqrt() < 0.016 * spread


def test_background_keeps_its_own(seen: Seen) -> None:
    noise = torch.randn(3, 4, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    blended = blend_of(seen)(noise)
    background = ~seen.conditions.mask[:, None].expand_as(noise)
    assert torch.equal(blended[background], noise[background])


def test_latents_keep_their_kind(seen: Seen) -> None:
    latents = torch.ones(3, 4, 32, 32, dtype=torch.bfloat16)
    blended = blend_of(seen)(latents)
    assert blended.dtype == torch.bfloat16 and torch.equal(blended, latents)
    with pytest.raises(ValueError, match="latents must be of 3 views, got 2"):
        blend_of(seen)(latents[:2])
