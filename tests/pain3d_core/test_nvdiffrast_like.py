"""Holds what who comes from nvdiffrast expects: four calls, their tensors, and programs that descend through them."""

import math

import pytest
import torch
from torch import Tensor

import pain3d.nvdiffrast_like as dr
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.rendering.example import example_camera

CONTEXT = dr.RasterizeCudaContext(device="cpu")
QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def clip_of(points: Tensor, camera: Tensor) -> Tensor:
    """[1, V, 4] positions with z/w of OpenGL, near 0.1 and far 10, of a camera that has z = w."""
    clip = torch.cat([points, torch.ones_like(points[:, :1])], 1) @ camera.T
    w = clip[:, 3]
    z = (10.1 * w - 2.0) / 9.9
    return torch.stack([clip[:, 0], clip[:, 1], z, w], 1)[None]


@pytest.fixture
def tilted() -> Tensor:
    """[1, 4, 4] a square in perspective, float64."""
    corners = torch.tensor([[-1, -1, 0.3], [1, -1, -0.3], [1, 1, -0.4], [-1, 1, 0.5]], dtype=torch.float64) * 0.1
    return clip_of(corners, example_camera(torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64)))


def test_a_pixel_holds_u_v_depth_and_id_of_the_triangle_below_it(tilted: Tensor) -> None:
    size = (12, 20)
    rast, rast_db = dr.rasterize(CONTEXT, tilted, QUAD, size)
    assert rast.shape == rast_db.shape == (1, *size, 4)
    ids = rast[..., 3].int() - 1
    assert set(ids.unique().tolist()) == {-1, 0, 1}
    row, column = torch.nonzero(ids[0] >= 0)[7].tolist()
    corners = tilted[0][QUAD[ids[0, row, column]].long()]
    u, v, depth, _ = rast[0, row, column].tolist()
    x, y, z, w = (torch.tensor([u, v, 1 - u - v], dtype=torch.float64) @ corners).tolist()
    # Row 0 is at the bottom; positions are snapped to 1/256 pixel.
    assert (x / w * 0.5 + 0.5) * size[1] == pytest.approx(column + 0.5, abs=1 / 256)
    assert (y / w * 0.5 + 0.5) * size[0] == pytest.approx(row + 0.5, abs=1 / 256)
    assert depth == pytest.approx(z / w, abs=1e-4)  # snapping: a slope of 0.02 a pixel


def test_derivatives_are_those_between_neighbouring_pixels(tilted: Tensor) -> None:
    rast, rast_db = dr.rasterize(CONTEXT, tilted, QUAD, (64, 64))
    ids = rast[0, ..., 3]
    for dim, across in ((1, 0), (0, 1)):
        before, after = (ids.narrow(dim, at, 62) for at in (0, 2))
        inside = (before == after) & (before > 0)
        for weight in (0, 1):
            values = rast[0, ..., weight]
            change = (values.narrow(dim, 2, 62) - values.narrow(dim, 0, 62)) / 2
            stated = rast_db[0, ..., 2 * weight + across].narrow(dim, 1, 62)
            assert (change - stated)[
                inside
            ].abs().max() < 2e-3 * stated.abs().max()  # the snapped square, and its curvature


def test_orthographic_scenes_are_ordered_by_z() -> None:
    near = torch.tensor([[-1, -1, -0.5, 1], [1, -1, -0.5, 1], [0, 1, -0.5, 1]], dtype=torch.float32)
    far = near + torch.tensor([0, 0, 1.0, 0])
    tri = torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32)
    rast, _ = dr.rasterize(CONTEXT, torch.cat([far, near])[None], tri, [8, 8])
    assert set(rast[..., 3].unique().tolist()) == {0.0, 2.0}
    assert rast[0, 3, 4, 2] == pytest.approx(-0.5, abs=1e-6)


def test_what_is_behind_the_eye_is_not_drawn_and_both_sides_are_seen(tilted: Tensor) -> None:
    both = dr.rasterize(CONTEXT, tilted, QUAD.flip(1), [16, 16])[0]
    assert (both[..., 3] > 0).any()
    behind = tilted.clone()
    behind[0, :, 3] = -1
    assert not dr.rasterize(CONTEXT, behind, QUAD, [16, 16])[0].any()


def test_ranges_make_a_batch_of_different_meshes(tilted: Tensor) -> None:
    pos = tilted[0]
    ranges = torch.tensor([[1, 1], [0, 2], [0, 0]], dtype=torch.int32)
    rast, rast_db = dr.rasterize(CONTEXT, pos, QUAD, [16, 16], ranges=ranges)
    assert rast.shape == rast_db.shape == (3, 16, 16, 4)
    assert rast[0, ..., 3].unique().tolist() == [0.0, 2.0]
    assert torch.equal(rast[1], dr.rasterize(CONTEXT, tilted, QUAD, [16, 16])[0][0])
    assert not rast[2].any()
    values, _ = dr.interpolate(pos, rast, QUAD)
    assert torch.allclose(values[0][rast[0, ..., 3] > 0], values[1][rast[0, ..., 3] > 0])
    with pytest.raises(ValueError, match="ranges must lie in the 2 triangles, got 1 and 2 more"):
        dr.rasterize(CONTEXT, pos, QUAD, [16, 16], ranges=torch.tensor([[1, 2]]))


def test_attributes_and_their_derivatives(tilted: Tensor) -> None:
    uv = torch.tensor([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    rast, rast_db = dr.rasterize(CONTEXT, tilted, QUAD, [64, 64])
    values, slopes = dr.interpolate(uv, rast, QUAD, rast_db=rast_db, diff_attrs="all")
    assert slopes.shape == (1, 64, 64, 4)  # du/dX, du/dY, dv/dX, dv/dY
    inside = (rast[0, :, 1:-1, 3] > 0) & (rast[0, :, 2:, 3] > 0) & (rast[0, :, :-2, 3] > 0)
    change = (values[0, :, 2:] - values[0, :, :-2]) / 2
    # where the diagonal of the square is crossed the two halves are not one plane
    assert (
        (change[..., 0] - slopes[0, :, 1:-1, 0]).abs()[inside] < 0.02 * slopes[..., 0].abs().max()
    ).float().mean() > 0.9
    assert dr.interpolate(uv, rast, QUAD)[1].shape == (1, 64, 64, 0)
    only = dr.interpolate(uv, rast, QUAD, rast_db, [1])[1]
    assert torch.equal(only, slopes[..., 2:])
    with pytest.raises(ValueError, match="rast_db must be given"):
        dr.interpolate(uv, rast, QUAD, diff_attrs="all")


@pytest.mark.parametrize("boundary", ["clamp", "zero", "wrap"])
def test_a_texture_at_and_beyond_its_border(boundary: str) -> None:
    generator = torch.Generator().manual_seed(0)
    tex = torch.rand(1, 5, 7, 2, generator=generator, dtype=torch.float64)
    uv = torch.rand(1, 9, 9, 2, generator=generator, dtype=torch.float64) * 1.8 - 0.4
    found = dr.texture(tex, uv, boundary_mode=boundary)
    if boundary == "wrap":
        wide, at = tex.repeat(1, 3, 3, 1), (uv + 1) / 3
    else:
        wide, at = tex, uv
    mode = "zeros" if boundary == "zero" else "border"
    wanted = torch.nn.functional.grid_sample(
        wide.permute(0, 3, 1, 2), at * 2 - 1, padding_mode=mode, align_corners=False
    )
    assert torch.allclose(found, wanted.permute(0, 2, 3, 1), atol=1e-12)
    nearest = dr.texture(tex, uv, filter_mode="nearest", boundary_mode=boundary)
    wanted = torch.nn.functional.grid_sample(
        wide.permute(0, 3, 1, 2), at * 2 - 1, mode="nearest", padding_mode=mode, align_corners=False
    )
    assert torch.equal(nearest, wanted.permute(0, 2, 3, 1))


def test_levels_follow_the_footprint() -> None:
    tex = torch.rand(1, 16, 16, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    uv = torch.full((1, 1, 2, 2), 0.4, dtype=torch.float64)
    uv_da = torch.zeros(1, 1, 2, 4, dtype=torch.float64)
    uv_da[..., 0], uv_da[..., 3] = 4 / 16, 1 / 16  # four texels wide, one tall: level 2
    chain = dr.texture_construct_mip(tex)
    offset, height, width = chain.levels()[2]
    second = chain.texels[:, offset : offset + height * width].reshape(1, height, width, 3)
    for boundary in ("wrap", "clamp"):
        found = dr.texture(tex, uv, uv_da, boundary_mode=boundary)
        assert torch.allclose(found, dr.texture(second, uv, boundary_mode=boundary), atol=1e-12)
        finest = dr.texture(tex, uv, uv_da, boundary_mode=boundary, max_mip_level=0)
        assert torch.equal(finest, dr.texture(tex, uv, boundary_mode=boundary))
    bias = torch.full((1, 1, 2), -2.0, dtype=torch.float64)
    assert torch.allclose(dr.texture(tex, uv, uv_da, bias, mip=chain), dr.texture(tex, uv), atol=1e-12)
    with pytest.raises(ValueError, match="uv_da or mip_level_bias"):
        dr.texture(tex, uv, filter_mode="linear-mipmap-linear")
    for bad in ({"filter_mode": "cubic"}, {"boundary_mode": "cube"}):
        with pytest.raises(ValueError, match=f"{next(iter(bad))} must be one of"):
            dr.texture(tex, uv, **bad)  # type: ignore[arg-type]


def test_the_area_of_a_silhouette_has_its_true_derivative() -> None:
    """A disc of radius r covers πr² pixels: growing it covers 2πr more."""
    angle = torch.arange(48, dtype=torch.float64) * math.tau / 48
    rim = torch.stack([angle.cos(), angle.sin(), torch.zeros(48, dtype=torch.float64)], 1)
    points = torch.cat([torch.zeros(1, 3, dtype=torch.float64), rim])
    tri = torch.tensor([[0, 1 + k, 1 + (k + 1) % 48] for k in range(48)], dtype=torch.int32)
    polygon = 0.5 * 48 * math.sin(math.tau / 48) / math.pi  # of a circle's area
    ratios = []
    for size in (0.55, 0.57, 0.59, 0.61, 0.63, 0.65):
        scale = torch.tensor(size, dtype=torch.float64, requires_grad=True)
        pos = torch.cat([points * scale, torch.ones(49, 1, dtype=torch.float64)], 1)[None]
        rast, _ = dr.rasterize(CONTEXT, pos, tri, [64, 64])
        cover = dr.antialias((rast[..., 3:] > 0).double(), rast, pos, tri)
        radius = size * 32
        assert float(cover.detach().sum()) == pytest.approx(polygon * math.pi * radius**2, rel=2e-3)
        (grown,) = torch.autograd.grad(cover.sum(), scale, retain_graph=True)
        ratios.append(float(grown) / 32 / (polygon * math.tau * radius))
    # About 110 pairs of pixels meet the rim: each edge of 2.6 px is counted at two or three lines, or at one.
    assert max(abs(ratio - 1) for ratio in ratios) < 0.06
    assert sum(ratios) / len(ratios) == pytest.approx(1, abs=0.02)
    boosted = dr.antialias((rast[..., 3:] > 0).double(), rast, pos, tri, pos_gradient_boost=3.0)
    assert float(torch.autograd.grad(boosted.sum(), scale)[0]) == pytest.approx(3 * float(grown), rel=1e-9)


def turned(points: Tensor, angles: Tensor) -> Tensor:
    """Points [V, 3] turned about x, then y, in radians."""
    (sx, sy), (cx, cy) = angles.sin(), angles.cos()
    x, y, z = points.unbind(1)
    y, z = cx * y - sx * z, sx * y + cx * z
    return torch.stack([cy * x + sy * z, y, cy * z - sy * x], 1)


def test_a_pose_is_found_by_its_outline_alone() -> None:
    sphere, tri = example_sphere(2)
    points = 0.08 * sphere * torch.tensor([1.4, 0.6, 1.0]) + 0.03 * (sphere[:, :1] > 0.5) * torch.tensor(
        [0.0, 1.0, 0.0]
    )
    camera = example_camera(torch.tensor([0.0, 0.0, 0.6], dtype=torch.float64))

    def outline(angles: Tensor) -> Tensor:
        pos = clip_of(turned(points, angles), camera)
        rast, _ = dr.rasterize(CONTEXT, pos, tri, [48, 48])
        return dr.antialias((rast[..., 3:] > 0).double(), rast, pos, tri, dr.antialias_construct_topology_hash(tri))

    true = torch.tensor([0.3, -0.4], dtype=torch.float64)
    wanted = outline(true)
    angles = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([angles], lr=0.05)
    for step in range(60):
        optimiser.zero_grad()
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * 0.96**step
        (outline(angles) - wanted).square().mean().backward()
        optimiser.step()
    assert (angles - true).abs().max() < 0.02  # one degree; it began 23 away


def test_a_texture_is_learnt_from_views() -> None:
    sphere, tri = example_sphere(2)
    points = 0.1 * sphere
    uv = torch.stack([torch.atan2(sphere[:, 0], sphere[:, 2]) / math.tau + 0.5, sphere[:, 1] / 2 + 0.5], 1)
    generator = torch.Generator().manual_seed(2)
    true = torch.rand(1, 8, 8, 3, generator=generator, dtype=torch.float64)
    angles = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64)
    cameras = 0.6 * torch.stack([angles.sin(), torch.full_like(angles, 0.2), angles.cos()], 1)
    pos = torch.cat([clip_of(points, example_camera(camera)) for camera in cameras])
    rast, rast_db = dr.rasterize(CONTEXT, pos, tri, [32, 32])
    at, slopes = dr.interpolate(uv, rast, tri, rast_db, "all")

    def pictures(texture: Tensor) -> Tensor:
        return dr.texture(texture, at, slopes, boundary_mode="clamp") * (rast[..., 3:] > 0)

    wanted = pictures(true)
    texture = torch.full_like(true, 0.5).requires_grad_()
    optimiser = torch.optim.Adam([texture], lr=0.1)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (pictures(texture) - wanted).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 1e-3 * losses[0]
    assert (true - texture.detach())[0, 3:5, 3:5].abs().max() < 0.05  # seen by all cameras
