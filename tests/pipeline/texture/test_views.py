"""Knows what views and texels must agree on: where a texel lies, a pixel that sees it lies there too."""

import pytest
import torch
from torch import Tensor

from pain3d.head.model import Head
from pain3d.kernels import interpolate
from pain3d.pipeline.texture.views import Seen, flat, see, standard_cameras, texel_surface
from pain3d.skin import Skin, surface, surface_maps
from pain3d.skin.appearance import HAIR_STYLES

SIZE, TEXELS = 128, 64


@pytest.fixture(scope="module")
def seen() -> Seen:
    head = Head.default()
    return see(head, head.sample_identity(3), surface(head, Skin(hair_style="short")), standard_cameras(5, SIZE))


def test_texels_lie_where_the_painted_maps_have_them() -> None:
    head = Head.default()
    faces, barycentrics = texel_surface(head, TEXELS)
    maps = surface_maps(head, TEXELS)
    assert torch.equal(faces >= 0, torch.from_numpy(maps.covered))
    places = interpolate(head.template[None], head.topology.faces, faces[None], barycentrics[None])[0] * 1000
    covered = faces >= 0
    # worst seen 3e-5 mm, float32
    assert (places[..., 0] - torch.from_numpy(maps.x))[covered].abs().max() < 1e-4
    assert texel_surface(head, TEXELS)[0] is faces


def test_a_texture_of_places_is_seen_where_the_pixels_are(seen: Seen) -> None:
    """Places as colours: a pixel inside the head shows the point that its depth says."""
    head, cameras = seen.head, seen.cameras
    faces, barycentrics = texel_surface(head, 1024)
    places = interpolate(seen.mesh.vertices, head.topology.faces, faces[None], barycentrics[None])[0]
    shown = flat(seen, places)
    for view in range(len(cameras)):
        inside = _far_from_edges(seen.conditions.depth[view])
        pixels = cameras.project(shown[view][inside][None])[view]
        rows, columns = torch.nonzero(inside, as_tuple=True)
        off = (pixels - torch.stack([columns, rows], 1) - 0.5).norm(dim=1)
        # median seen 0.02 pixels: the level of a face that is seen at a slant averages over texels beside it
        assert off.median() < 0.05, view
    assert (shown[~seen.conditions.mask] == 0).float().mean() > 0.95  # but for antialiased pixels


def _far_from_edges(depth: Tensor) -> Tensor:
    """[H, W] whether the pixel and those around it see one smooth surface: within 3 mm."""
    far = depth.where(torch.isfinite(depth), torch.tensor(9.0))[None]
    most = torch.nn.functional.max_pool2d(far, 5, 1, 2)
    least = -torch.nn.functional.max_pool2d(-far, 5, 1, 2)
    return ((most - least)[0] < 0.003) & torch.isfinite(depth)


def test_conditions_say_what_they_promise(seen: Seen) -> None:
    shown = seen.conditions
    assert shown.normals.shape == (5, SIZE, SIZE, 3) and shown.landmarks.shape == (5, 68, 2)
    lengths = shown.normals.norm(dim=-1)
    assert torch.allclose(lengths[shown.mask], torch.ones(())) and (lengths[~shown.mask] == 0).all()
    assert torch.isinf(shown.depth[~shown.mask]).all() and torch.isfinite(shown.depth[shown.mask]).all()
    # The tip of the nose in front: it faces the camera, and is nearer than anything else.
    column, row = (int(place) for place in shown.landmarks[0, 30])
    assert shown.normals[0, row, column, 2] > 0.8
    assert shown.depth[0, row, column] < shown.depth[0][shown.mask[0]].quantile(0.01)
    # The subject's left (+x) is the right of the picture, where normals point to the right.
    cheek = shown.landmarks[0, 14].long()
    assert shown.normals[0, cheek[1], cheek[0] - 3, 0] > 0.3


@pytest.mark.parametrize("count", [3, 5])
def test_the_fullest_hair_fits_into_the_views(count: int) -> None:
    head = Head.default()
    for style in ("curly", "bun", "bob"):  # the highest, the deepest, the widest
        skin = Skin(hair_style=style, hair_density=1.0, sex=0.0, beard=1.0, identity=HAIR_STYLES.index(style))
        mask = see(head, head.sample_identity(5), surface(head, skin), standard_cameras(count, 64)).conditions.mask
        assert not mask[:, 0].any(), style  # nothing is cut at the top
        above = mask[:, :38]  # of the shoulders
        assert not above[..., 0].any() and not above[..., -1].any(), style


def test_front_first_and_both_sides_alike() -> None:
    for count in (3, 5):
        position = standard_cameras(count, 64).position
        assert abs(float(position[0, 0])) < 1e-6 and position[0, 2] > 1
        for one in range(1, count, 2):
            mirrored = position[one] * torch.tensor([-1.0, 1.0, 1.0])
            assert torch.allclose(mirrored, position[one + 1], atol=1e-6)


def test_another_number_of_views_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be 3 or 5 views, got 4"):
        standard_cameras(4, 64)
