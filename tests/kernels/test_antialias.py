"""Antialiasing: the coverage of a half plane is exact, the rest is untouched, and silhouettes have a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pain3d.kernels import antialias, face_adjacency, rasterize
from pain3d.kernels.antialiasing.example import example_inputs
from pain3d.kernels.deformation.example import example_sphere

SIZE = 16
QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]])


def quad_clip(left: float, right: float, bottom: float, top: float) -> Tensor:
    """A rectangle with sides in pixels (y up) of a 16 x 16 image, as vertices_clip [1, 4, 4] at one metre."""
    corners = torch.tensor([[left, bottom], [right, bottom], [right, top], [left, top]], dtype=torch.float64)
    return torch.cat([corners / (SIZE / 2) - 1, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]


def coverage_of(clip: Tensor, faces: Tensor, size: int = SIZE) -> tuple[Tensor, Tensor]:
    fragments = rasterize(clip, faces, (size, size), backend="reference")
    hard = (fragments.face_ids >= 0).double()[..., None]
    soft = antialias(hard, fragments.face_ids, fragments.depth, clip, faces, face_adjacency(faces))
    return hard[0, ..., 0], soft[0, ..., 0]


@pytest.mark.parametrize("offset", [k / 16 for k in range(17)])
@pytest.mark.parametrize("side", ["left", "right", "bottom", "top"])
def test_half_plane_gives_the_exact_ramp(offset: float, side: str):
    """An edge at x = 7 + offset: the pixels of that column are covered by what lies beyond it."""
    edges = {"left": -40.0, "right": 60.0, "bottom": -40.0, "top": 60.0, side: 7 + offset}
    _, soft = coverage_of(quad_clip(**edges), QUAD)
    centres = torch.arange(SIZE).double()
    if side in ("left", "bottom"):
        profile = (centres + 1 - (7 + offset)).clamp(0, 1)
    else:
        profile = ((7 + offset) - centres).clamp(0, 1)
    expected = profile.expand(SIZE, SIZE) if side in ("left", "right") else profile.flip(0)[:, None].expand(SIZE, SIZE)
    # exact: the offsets are multiples of 1/256 px; float64
    torch.testing.assert_close(soft, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.6, 0.9])
def test_slanted_edge_gives_the_area(slope: float):
    """A steep edge that crosses a pixel from top to bottom covers the share that lies beside it."""
    low, high = 7.3 - 24 * slope, 7.3 + 24 * slope  # x where the edge meets y = -16 and y = 32
    corners = torch.tensor([[-90.0, -16.0], [low, -16.0], [high, 32.0], [-90.0, 32.0]], dtype=torch.float64)
    clip = torch.cat([corners / (SIZE / 2) - 1, torch.zeros(4, 1), torch.ones(4, 1)], 1)[None]
    _, soft = coverage_of(clip, QUAD)
    centre = 7.3 + slope * (SIZE - (torch.arange(SIZE).double() + 0.5) - 8)  # of the edge, in each row
    column = torch.arange(SIZE).double()
    crossed = (column + slope / 2 <= centre[:, None]) & (centre[:, None] <= column + 1 - slope / 2)
    assert crossed.sum() >= 2
    area = centre[:, None] - column
    torch.testing.assert_close(soft[crossed], area[crossed], rtol=0, atol=2 / 256)  # both ends are snapped


def test_inner_edges_stay_untouched():
    inputs = example_inputs(2)
    mixed = antialias(**inputs)
    ids = inputs["face_ids"]
    inside = torch.zeros_like(ids, dtype=torch.bool)
    inside[:, 1:-1, 1:-1] = (
        (ids[:, 1:-1, 1:-1] >= 0) & (ids[:, :-2, 1:-1] >= 0) & (ids[:, 2:, 1:-1] >= 0)
        & (ids[:, 1:-1, :-2] >= 0) & (ids[:, 1:-1, 2:] >= 0)
    )  # fmt: skip
    assert inside.sum() > 300
    assert torch.equal(mixed[inside], inputs["colour"][inside])
    assert not torch.equal(mixed, inputs["colour"])


def test_result_is_a_mean_of_neighbours():
    inputs = example_inputs(2)
    mixed = antialias(**inputs)
    assert torch.isfinite(mixed).all()
    assert mixed.min() >= inputs["colour"].min() and mixed.max() <= inputs["colour"].max()
    flat = antialias(**(inputs | {"colour": torch.full_like(inputs["colour"], 0.25)}))
    torch.testing.assert_close(flat, torch.full_like(flat, 0.25), rtol=0, atol=1e-7)  # weights sum to 1: worst 3e-8


@pytest.mark.parametrize("radius", [0.5, 0.613, 0.7])
def test_a_sphere_comes_closer_to_its_true_coverage(radius: float):
    """At 64 px its faces are 1–4 px wide, so silhouettes lie faces away from the pixel's own."""
    points, faces = example_sphere(4)
    clip = torch.cat([points[:, :2] * radius, torch.zeros(len(points), 1), 1 - 0.01 * points[:, 2:]], 1)[None]
    hard, soft = coverage_of(clip, faces, 64)
    fine = rasterize(clip, faces, (1024, 1024), backend="cpu").face_ids[0] >= 0
    true = fine.double().reshape(64, 16, 64, 16).mean((1, 3))
    before, after = (hard - true).square().mean().sqrt(), (soft - true).square().mean().sqrt()
    assert after < 0.6 * before  # seen 0.45 to 0.51: what is left are zigzags of small faces, see the README


def test_a_fold_in_front_of_the_same_mesh_is_softened():
    """Two rectangles, one before the other: the near one's outline is a silhouette, though both sides are covered."""
    near, far = quad_clip(4.3, 12.0, 4.0, 12.0), quad_clip(-8.0, 24.0, -8.0, 24.0) * 2
    clip, faces = torch.cat([near, far], 1), torch.cat([QUAD, QUAD + 4])
    fragments = rasterize(clip, faces, (SIZE, SIZE), backend="reference")
    colour = (fragments.face_ids >= 2).double()[..., None]  # far is 1, near is 0
    soft = antialias(colour, fragments.face_ids, fragments.depth, clip, faces, face_adjacency(faces))[0, 8, :, 0]
    torch.testing.assert_close(soft[4], torch.tensor(0.3, dtype=torch.float64), rtol=0, atol=1 / 256)  # snapped
    assert soft[3] == 1 and soft[5] == 0


def test_gradient_of_the_picture_with_respect_to_a_vertex():
    """The covered area of a rectangle grows by its height per pixel that its right side moves."""
    clip = quad_clip(3.25, 9.3125, 2.0, 10.0).requires_grad_()
    fragments = rasterize(clip.detach(), QUAD, (SIZE, SIZE), backend="reference")
    hard = (fragments.face_ids >= 0).double()[..., None]
    area = antialias(hard, fragments.face_ids, fragments.depth, clip, QUAD, face_adjacency(QUAD)).sum()
    (gradient,) = torch.autograd.grad(area, clip)
    per_pixel = gradient[0, 1:3, 0].sum() / (SIZE / 2)

    def area_at(right: float) -> Tensor:
        return coverage_of(quad_clip(3.25, right, 2.0, 10.0), QUAD)[1].sum()

    slope = (area_at(9.3125 + 1 / 64) - area_at(9.3125 - 1 / 64)) * 32
    torch.testing.assert_close(slope, torch.tensor(8.0, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(per_pixel, slope, rtol=0, atol=1e-9)


def test_adjacency_of_a_closed_mesh():
    _, faces = example_sphere(2)
    adjacent = face_adjacency(faces)
    assert adjacent.dtype == torch.int32 and (adjacent >= 0).all()
    for e in range(3):
        edge = torch.stack([faces[:, e], faces[:, (e + 1) % 3]], 1)
        other = faces[adjacent[:, e].long()]
        assert ((other[:, :, None] == edge[:, None]).any(1)).all()
        back = adjacent[adjacent[:, e].long()]
        assert (back == torch.arange(len(faces))[:, None]).any(1).all()


def test_adjacency_is_minus_one_at_borders_and_where_it_is_not_a_surface():
    assert face_adjacency(QUAD).tolist() == [[-1, -1, 1], [0, -1, -1]]
    fins = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # three faces on one edge
    assert (face_adjacency(fins) == -1).all()
    twisted = torch.tensor([[0, 1, 2], [0, 1, 3]])  # both run along the edge the same way
    assert (face_adjacency(twisted) == -1).all()
    assert face_adjacency(torch.empty(0, 3, dtype=torch.int64)).shape == (0, 3)
