"""Visibility: watertight, ordered by depth alone, and defined for whatever comes in."""

from __future__ import annotations

import math

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor

from pain3d.kernels import rasterize
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.rasterization.example import example_inputs

both = pytest.mark.parametrize("backend", ["reference", "cpu"])


def clip_of(points: Tensor) -> Tensor:
    """Screen positions [V, 2] in -1 … 1 become vertices_clip [1, V, 4] at one metre."""
    return torch.cat([points, torch.zeros(len(points), 1), torch.ones(len(points), 1)], 1)[None].float()


@both
def test_known_triangle(backend: str):
    """A right triangle over the lower left half of 4 x 4 pixels."""
    points = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    fragments = rasterize(clip_of(points), torch.tensor([[0, 1, 2]]), (4, 4), backend=backend)
    inside = fragments.face_ids[0] == 0
    below = torch.ones(4, 4).tril(-1).bool()
    assert inside[below].all() and not inside[torch.ones(4, 4).triu(1).bool()].any()
    assert torch.equal(fragments.depth[0][inside], torch.ones(int(inside.sum())))
    # pixel (3, 0) has its centre at (0.125, 0.125) of the legs
    torch.testing.assert_close(fragments.barycentrics[0, 3, 0], torch.tensor([0.75, 0.125, 0.125]), rtol=0, atol=1e-7)


@hypothesis.settings(max_examples=40)
@hypothesis.given(
    st.lists(st.tuples(st.integers(-40, 296), st.integers(-40, 296)), min_size=3, max_size=9, unique=True),
    st.tuples(st.integers(20, 230), st.integers(20, 230)),
)
def test_a_fan_leaves_no_gap_and_draws_nothing_twice(rim: list[tuple[int, int]], hub: tuple[int, int]):
    """Sum of what each face covers alone = what all cover together, and = what any other fan of the rim covers.

    Corners lie on quarter pixels of a 64 x 64 image, so that many edges pass exactly through pixel centres.
    """
    rim = sorted(rim, key=lambda p: math.atan2(p[1] - hub[1], p[0] - hub[0]))
    angles = [math.atan2(p[1] - hub[1], p[0] - hub[0]) for p in rim]
    gaps = [(b - a) % math.tau for a, b in zip(angles, angles[1:] + angles[:1], strict=True)]
    hypothesis.assume(all(1e-9 < gap < math.pi - 1e-9 for gap in gaps) and hub not in rim)
    pixels = torch.tensor([hub, *rim], dtype=torch.float64) / 4
    points = torch.stack([pixels[:, 0] / 32 - 1, pixels[:, 1] / 32 - 1], 1)
    count = len(rim)
    faces = torch.tensor([[0, 1 + k, 1 + (k + 1) % count] for k in range(count)])
    clip = clip_of(points)
    together = rasterize(clip, faces, (64, 64), backend="cpu").face_ids[0] >= 0
    alone = sum(
        (rasterize(clip, faces[k : k + 1], (64, 64), backend="cpu").face_ids[0] >= 0).int() for k in range(count)
    )
    assert int(alone.max()) <= 1
    assert torch.equal(alone > 0, together)
    moved = clip.clone()
    moved[0, 0, :2] += torch.tensor([1 / 256, -1 / 512])  # the hub moves a little: the union must not change
    inner = all(
        (b[0] - a[0]) * (hub[1] - a[1]) - (b[1] - a[1]) * (hub[0] - a[0]) > 200
        for a, b in zip(rim, rim[1:] + rim[:1], strict=True)
    )
    if inner:
        assert torch.equal(rasterize(moved, faces, (64, 64), backend="cpu").face_ids[0] >= 0, together)


@both
def test_a_closed_mesh_has_no_hole(backend: str):
    """Every pixel centre well inside a sphere's outline sees a face; from both sides the same pixels are covered."""
    points, faces = example_sphere(3)
    turned = points.float() @ torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(3)))[0]
    clip = clip_of(turned[:, :2] * 0.9)
    clip[0, :, 3] = 1 - 0.1 * turned[:, 2]
    clip[0, :, :2] *= clip[0, :, 3:]
    front = rasterize(clip, faces, (61, 61), backend=backend).face_ids[0] >= 0
    behind = rasterize(clip, faces.flip(1), (61, 61), backend=backend).face_ids[0] >= 0
    centres = (torch.arange(61) + 0.5) / 30.5 - 1
    radius = (centres[:, None] ** 2 + centres[None] ** 2).sqrt()
    assert front[radius < 0.88].all() and not front[radius > 0.9].any()
    assert torch.equal(front, behind)


@both
@pytest.mark.parametrize("cull", [True, False])
def test_order_of_faces_does_not_matter(backend: str, cull: bool):
    inputs = example_inputs(3)
    order = torch.randperm(len(inputs["faces"]), generator=torch.Generator().manual_seed(0))
    a = rasterize(**inputs, cull=cull, backend=backend)
    b = rasterize(**(inputs | {"faces": inputs["faces"][order]}), cull=cull, backend=backend)
    assert torch.equal(a.depth, b.depth)
    covered = b.face_ids >= 0
    assert torch.equal(order[b.face_ids[covered].long()].int(), a.face_ids[covered])


@both
def test_equal_depth_goes_to_the_lowest_face(backend: str):
    points = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    faces = torch.tensor([[3, 4, 5], [0, 1, 2], [0, 1, 2]])  # corners in another order may differ by a rounding of 1/w
    ids = rasterize(clip_of(points.repeat(2, 1)), faces, (9, 9), backend=backend).face_ids
    assert set(ids.unique().tolist()) == {-1, 0}


@both
def test_nearer_wins_and_back_faces_are_culled(backend: str):
    points = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]).repeat(2, 1)
    clip = clip_of(points)
    clip[:, :3] *= 2.0  # the first face stands at two metres
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    assert rasterize(clip, faces, (8, 8), backend=backend).face_ids[0, 7, 0] == 1
    turned = torch.tensor([[0, 1, 2], [3, 5, 4]])
    assert rasterize(clip, turned, (8, 8), backend=backend).face_ids[0, 7, 0] == 0
    seen = rasterize(clip, turned, (8, 8), cull=False, backend=backend)
    assert seen.face_ids[0, 7, 0] == 1 and seen.depth[0, 7, 0] == 1
    assert (seen.barycentrics >= 0).all()


@both
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (0, 5), (5, 0), (13, 64)])
def test_any_size(backend: str, size: tuple[int, int]):
    inputs = example_inputs(2) | {"size": size}
    fragments = rasterize(**inputs, backend=backend)
    assert fragments.face_ids.shape == (2, *size)
    assert (fragments.face_ids >= 0).any() == (0 not in size)


@both
def test_strange_vertices_are_defined(backend: str):
    """Degenerate, tiny, huge, behind, NaN and infinite faces beside a good one: no error, the good one stays."""
    good = [[-1.0, -1.0, 0, 1], [1.0, -1.0, 0, 1], [-1.0, 1.0, 0, 1]]
    strange = [
        [[0.0, 0, 0, 1]] * 3,  # a point
        [[0.0, 0, 0, 1], [0.5, 0.5, 0, 1], [1.0, 1.0, 0, 1]],  # a line
        [[0.1, 0.1, 0, 1], [0.1 + 1e-5, 0.1, 0, 1], [0.1, 0.1 + 1e-5, 0, 1]],  # smaller than 1/256 pixel
        [[-1e9, -1e9, 0, 1], [1e9, -1e9, 0, 1], [0, 1e9, 0, 1]],  # beyond 2^21 pixels
        [[-1.0, -1, 0, -1], [1.0, -1, 0, -1], [0.0, 1, 0, -1]],  # behind
        [[-1.0, -1, 0, 0], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],  # a corner in the camera
        [[math.nan, -1, 0, 1], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],
        [[math.inf, -1, 0, 1], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],
        [[-1.0, -1, 0, 1], [1.0, -1, math.nan, 1], [0.0, 1, 0, 1]],
    ]
    clip = torch.tensor([[corner for face in [*strange, good] for corner in face]])
    faces = torch.arange(clip.shape[1]).reshape(-1, 3)
    fragments = rasterize(clip, faces, (16, 16), cull=False, backend=backend)
    assert set(fragments.face_ids.unique().tolist()) == {-1, len(strange)}
    assert not fragments.barycentrics.isnan().any() and not fragments.depth.isnan().any()
    assert torch.equal(fragments.depth.isinf(), fragments.face_ids < 0)


@both
def test_a_large_triangle_just_inside_the_limit_covers_everything(backend: str):
    far = 2**21 / 8 - 2.0  # in -1 … 1 units of a 16 pixel image, just inside 2^21 pixels
    clip = clip_of(torch.tensor([[-far, -far], [far, -far], [0, far]]))
    fragments = rasterize(clip, torch.tensor([[0, 1, 2]]), (16, 16), backend=backend)
    assert (fragments.face_ids == 0).all()
    torch.testing.assert_close(fragments.barycentrics.sum(-1), torch.ones(1, 16, 16), rtol=0, atol=1e-6)


@both
def test_no_faces(backend: str):
    fragments = rasterize(torch.rand(2, 4, 4), torch.empty(0, 3, dtype=torch.int32), (3, 5), backend=backend)
    assert (fragments.face_ids == -1).all() and fragments.depth.isinf().all() and (fragments.barycentrics == 0).all()


@pytest.mark.parametrize("size", [(-1, 4), (4, 16385)])
def test_impossible_sizes_raise(size: tuple[int, int]):
    with pytest.raises(ValueError, match=r"size must be \(height, width\), each in 0 … 16384"):
        rasterize(**(example_inputs(0) | {"size": size}))


def test_face_index_out_of_range_raises():
    with pytest.raises(ValueError, match=r"faces must lie in 0 … 11 \(vertices\), got 0 … 12"):
        rasterize(**(example_inputs(0) | {"faces": torch.tensor([[0, 1, 12]])}))


def test_backends_agree_on_many_faces():
    inputs = example_inputs(4) | {"size": (97, 128)}
    for dtype in (torch.float32, torch.float64):
        inputs["vertices_clip"] = inputs["vertices_clip"].to(dtype)
        a, b = rasterize(**inputs, backend="cpu"), rasterize(**inputs, backend="reference")
        assert torch.equal(a.face_ids, b.face_ids)
        # worst seen 0: the same float64 terms in the same order
        assert torch.equal(a.depth, b.depth) and torch.equal(a.barycentrics, b.barycentrics)


def test_gradient_of_barycentrics_and_depth():
    """Corners move by whole 1/256 pixels, so that snapping is exact and central differences see the true slope."""
    size = 16
    snapped = torch.tensor([[300, 200], [3700, 700], [900, 3900]], dtype=torch.float64)  # 1/256 px
    w = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)

    def clip_at(pixels: Tensor, w: Tensor) -> Tensor:
        ndc = torch.stack([pixels[:, 0] / 128 / size - 1, pixels[:, 1] / 128 / size - 1], 1)
        return torch.cat([ndc * w[:, None], torch.zeros(3, 1, dtype=torch.float64), w[:, None]], 1)[None]

    faces, pixel = torch.tensor([[0, 1, 2]]), (0, 9, 6)

    def value(clip: Tensor) -> Tensor:
        fragments = rasterize(clip, faces, (size, size), backend="reference")
        assert fragments.face_ids[pixel] == 0
        return torch.cat([fragments.barycentrics[pixel], fragments.depth[pixel][None]])

    pixels, heavy = snapped.clone().requires_grad_(), w.clone().requires_grad_()
    for output in range(4):
        gradient = torch.autograd.grad(value(clip_at(pixels, heavy))[output], [pixels, heavy])
        for corner in range(3):
            for axis in range(2):
                step = torch.zeros_like(snapped)
                step[corner, axis] = 1
                slope = (value(clip_at(snapped + step, w)) - value(clip_at(snapped - step, w)))[output] / 2
                # worst seen relative 5e-8: second differences over 2/256 of a pixel
                torch.testing.assert_close(gradient[0][corner, axis], slope, rtol=1e-5, atol=1e-10)
            step = torch.zeros_like(w)
            step[corner] = 1e-6
            slope = (value(clip_at(snapped, w + step)) - value(clip_at(snapped, w - step)))[output] / 2e-6
            torch.testing.assert_close(gradient[1][corner], slope, rtol=1e-5, atol=1e-8)
