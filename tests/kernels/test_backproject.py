"""What only back-projection promises: where a texel lies, what hides it, what a view is worth; edges of the depth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.kernels import backproject, edge_confidence, rasterize
from pain3d.kernels.backprojection.example import example_inputs

SIZE = (60, 80)
SIDE = 24  # texels


def sheet(tilt: float, behind: float = 0.0, half: float = 0.1) -> Tensor:
    """Corners [4, 3] of a square, counter-clockwise, turned by `tilt` degrees about the y axis, `behind` metres."""
    turn = torch.deg2rad(torch.tensor(tilt, dtype=torch.float64))
    x = torch.tensor([-half, half, half, -half], dtype=torch.float64)
    y = torch.tensor([-half, -half, half, half], dtype=torch.float64)
    return torch.stack([turn.cos() * x, y, -turn.sin() * x - behind], 1)


def texels_of_sheet(first_face: int = 0) -> tuple[Tensor, Tensor]:
    """The texture of a sheet: its two faces, each texel at its place."""
    at = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
    v, u = torch.meshgrid(at, at, indexing="ij")
    lower = u >= v
    barycentrics = torch.where(
        lower[..., None], torch.stack([1 - u, u - v, v], -1), torch.stack([1 - v, u, v - u], -1)
    )  # faces (0, 1, 2) and (0, 2, 3)
    return torch.where(lower, first_face, first_face + 1).int(), barycentrics


def scene(sheets: list[Tensor], seen: int = 0, camera: Camera | None = None) -> dict[str, Any]:
    """Arguments of `backproject` but the pictures: sheets, of which the texture shows number `seen`."""
    camera = camera or Camera.orbit([0.0, 25.0], target=(0.0, 0.0, 0.0), distance=0.6, size=SIZE)
    vertices = torch.cat(sheets)
    faces = torch.cat([torch.tensor([[0, 1, 2], [0, 2, 3]]) + 4 * k for k in range(len(sheets))]).int()
    normals = torch.cat([torch.linalg.cross(s[1] - s[0], s[3] - s[0]).expand(4, 3) for s in sheets])
    matrix = camera.world_to_clip.double()
    clip = vertices[None] @ matrix[:, :, :3].transpose(1, 2) + matrix[:, None, :, 3]
    depth = rasterize(clip, faces, camera.size, cull=False).depth
    texel_faces, texel_barycentrics = texels_of_sheet(2 * seen)
    return {
        "depth": depth,
        "confidence": torch.ones_like(depth),
        "world_to_clip": matrix,
        "camera_position": camera.position.double(),
        "vertices": vertices[None],
        "normals": normals[None],
        "faces": faces,
        "texel_faces": texel_faces,
        "texel_barycentrics": texel_barycentrics,
    }


def positions(inputs: dict[str, Any]) -> Tensor:
    corners = inputs["vertices"][0][inputs["faces"].long()[inputs["texel_faces"].long()]]
    return (inputs["texel_barycentrics"][..., None] * corners).sum(-2)


def pixel_centres(inputs: dict[str, Any]) -> Tensor:
    """Pictures that show at each pixel where its centre lies: x right, y down."""
    views, height, width = inputs["depth"].shape
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return torch.stack([x, y], -1).double().expand(views, height, width, 2)


@pytest.mark.parametrize("tilt", [0.0, 40.0, -50.0])
def test_a_plane_is_seen_where_the_camera_projects_it(tilt: float) -> None:
    camera = Camera.orbit([0.0, 25.0], 10.0, target=(0.0, 0.0, 0.0), distance=0.6, size=SIZE)
    inputs = scene([sheet(tilt)], camera=camera)
    inputs["texel_faces"][:2] = -1
    colours, weights = backproject(pixel_centres(inputs), **inputs, power=3.0, tolerance=1e-6)
    points = positions(inputs)
    away = inputs["camera_position"][:, None, None] - points
    normal = torch.nn.functional.normalize(inputs["normals"][0, 0], dim=0)
    cosine = (away * normal).sum(-1) / away.norm(dim=-1)
    pixels = camera.project(points.reshape(1, -1, 3).float()).reshape(colours.shape)
    inner = torch.ones(SIDE, SIDE, dtype=torch.bool)
    inner[:3] = inner[-3:] = inner[:, :3] = inner[:, -3:] = False  # the others' pixels may lie past the outline
    facing = (cosine >= 0.2) & inner
    assert facing.any() and not weights[:, :2].any() and not colours[:, :2].any()
    # of two float32 cameras 4e-5 px apart at most; a plane passes every depth test
    torch.testing.assert_close(colours[facing], pixels[facing].double(), rtol=0, atol=2e-4)
    torch.testing.assert_close(weights[facing], cosine[facing] ** 3, rtol=1e-9, atol=0)
    assert not weights[cosine < 0.2].any() and not colours[cosine < 0.2].any()


@pytest.mark.parametrize("tilt", [0.0, 30.0, 45.0])
def test_what_is_hidden_takes_nothing_from_what_hides_it(tilt: float) -> None:
    """A sheet of half the size 8 mm in front of another: each shows its own colour or none.

    A pixel is 4.4 mm wide, so at 45° a depth may be off by 1 + 0.25 · 6.3 · 2 = 4.1 mm.
    """
    sheets = [sheet(tilt, half=0.05), sheet(tilt, behind=0.008)]
    shown = []
    for seen in (0, 1):
        inputs = scene(sheets, seen)
        alone = scene([sheets[1]])["depth"]
        front = (inputs["depth"] < alone).double()[..., None]
        colours, weights = backproject(front, **inputs, least_cosine=0.3)
        assert torch.equal(colours[weights > 0], torch.full_like(colours[weights > 0], 1 - seen)), tilt
        shown.append((weights > 0).double().mean((1, 2)))
    assert shown[0][0] == 1 and 0.6 < shown[1][0] < 0.8  # the smaller sheet hides a quarter, and what is beside it


def test_what_a_sphere_shows_is_what_rays_say() -> None:
    inputs = example_inputs(120, dtype=torch.float64, texels=96)
    _, weights = backproject(**(inputs | {"confidence": torch.ones_like(inputs["depth"])}), least_cosine=0.0)
    points, camera = positions(inputs), inputs["camera_position"]
    normal_at = inputs["normals"][0][inputs["faces"].long()[inputs["texel_faces"].long()]]
    normal = (inputs["texel_barycentrics"][..., None] * normal_at).sum(-2)
    ray = torch.nn.functional.normalize(camera[:, None, None] - points, dim=-1)
    cosine = (ray * torch.nn.functional.normalize(normal, dim=-1)).sum(-1)
    centre = torch.tensor([0.03, 0.02, 0.15], dtype=torch.float64)  # of the smaller sphere, radius 4 cm
    along = ((centre - points) * ray).sum(-1)
    beside = (centre - points - along[..., None] * ray).norm(dim=-1)
    own = inputs["texel_faces"] >= 320
    hidden = ~own & (along > 0) & (beside < 0.04)
    known = inputs["texel_faces"] >= 0
    # nearer to the outline a face of so coarse a sphere may be seen from behind where its normals are not
    clear = known & (cosine > 0.35) & (own | (along < 0) | ((beside - 0.04).abs() > 0.004))
    assert (hidden & clear).sum() > 300
    assert torch.equal(weights[clear] > 0, ~hidden[clear])


def test_nothing_is_seen_from_behind_outside_or_without_a_normal() -> None:
    inputs = scene([sheet(0.0)])
    pictures = pixel_centres(inputs)
    away = {
        "turned away": {"normals": -inputs["normals"]},
        "no normal": {"normals": 0 * inputs["normals"]},
        "behind the camera": {"vertices": inputs["vertices"] + torch.tensor([0.0, 0.0, 2.0])},
        "outside": {"vertices": inputs["vertices"] + torch.tensor([2.0, 0.0, 0.0])},
        "background": {"depth": torch.full_like(inputs["depth"], torch.inf)},
        "no depth": {"depth": torch.full_like(inputs["depth"], torch.nan)},
        "further": {"depth": inputs["depth"] + 0.05},
        "nearer": {"depth": inputs["depth"] - 0.05},
    }
    for name, change in away.items():
        colours, weights = backproject(pictures, **(inputs | change))
        assert not colours.any() and not weights.any(), name
    none = {"depth": inputs["depth"][:, :0], "confidence": inputs["confidence"][:, :0]}
    assert not backproject(pictures[:, :0], **(inputs | none))[1].any()


def test_confidence_weighs_and_what_it_hides_keeps_its_colour() -> None:
    inputs = scene([sheet(20.0)])
    pictures = pixel_centres(inputs)
    colours, weights = backproject(pictures, **inputs)
    half = backproject(pictures, **(inputs | {"confidence": 0.5 * inputs["confidence"]}))
    assert torch.equal(half[0], colours) and torch.equal(half[1], 0.5 * weights)


def test_a_mesh_per_view_is_that_mesh() -> None:
    inputs = example_inputs(dtype=torch.float64)
    shared = backproject(**inputs)
    own = {name: inputs[name].expand(3, -1, -1) for name in ("vertices", "normals")}
    for one, other in zip(backproject(**(inputs | own)), shared, strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match=r"normals must be \[1 V 3\], got \[3, "):
        backproject(**(inputs | {"normals": own["normals"]}))


@pytest.mark.parametrize(("channels", "threads"), [(1, 1), (3, 2), (17, 2)])
def test_numba_equals_the_reference_in_float64(channels: int, threads: int) -> None:
    inputs = example_inputs(128, channels=channels, texels=96, seed=channels)
    exact = {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        found = backproject(**inputs, backend="cpu")
    finally:
        torch.set_num_threads(before)
    for one, other, allowed in zip(found, backproject(**exact), (1e-4, 1e-5), strict=True):
        # worst seen 1.4e-5 and 1.5e-6: a projection rounded to 1.5e-5 px, between random pixels
        torch.testing.assert_close(one.double(), other, rtol=0, atol=allowed)


@pytest.mark.parametrize("wrong", [{"power": -1.0}, {"least_cosine": 1.5}, {"tolerance": float("nan")}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="power and tolerance must be at least 0 and least_cosine in 0–1, got"):
        backproject(**example_inputs(8), **wrong)


@pytest.mark.parametrize("pixels", [1, 3, 8])
def test_confidence_counts_steps_to_the_nearest_edge(pixels: int) -> None:
    generator = torch.Generator().manual_seed(pixels)
    depth = torch.rand(2, 23, 31, generator=generator).clamp(max=0.004)
    depth[0, 5:12, 8:20] += 0.006
    depth[1, 15:, 25:] = torch.inf
    found = edge_confidence(depth, pixels=pixels)
    rows, columns = torch.meshgrid(torch.arange(23), torch.arange(31), indexing="ij")
    for view in range(2):
        edge = torch.isinf(depth[view])
        for axis in (0, 1):
            step = depth[view].diff(dim=axis).nan_to_num(0.0, torch.inf, torch.inf).abs() > 0.005
            edge.narrow(axis, 0, step.shape[axis]).logical_or_(step)
            edge.narrow(axis, 1, step.shape[axis]).logical_or_(step)
        y, x = edge.nonzero().T
        steps = ((rows[..., None] - y).abs() + (columns[..., None] - x).abs()).amin(-1)
        torch.testing.assert_close(found[view], (steps / pixels).clamp(max=1).float(), rtol=0, atol=1e-7)
    with pytest.raises(ValueError, match="pixels in 1–127, got"):
        edge_confidence(depth, pixels=0)
