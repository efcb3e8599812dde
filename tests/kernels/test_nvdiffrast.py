"""The optional backend `nvdiffrast` of `rasterize` and `antialias`: our conventions into OpenGL's and back.

Most of it runs against a stand-in written from nvdiffrast's documentation; the parity with the library itself runs
where it and a GPU are there.
"""

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import _backend, antialias, face_adjacency, rasterize, use_backend
from pain3d.kernels.antialiasing.example import example_inputs as antialias_inputs
from pain3d.kernels.antialiasing.nvdiffrast_op import antialias_nvdiffrast
from pain3d.kernels.antialiasing.reference import antialias_reference
from pain3d.kernels.rasterization.example import example_inputs
from pain3d.kernels.rasterization.nvdiffrast_op import (
    depth_range,
    rasterize_nvdiffrast,
    to_fragments,
    to_normalised_depth,
    to_opengl,
)
from pain3d.kernels.rasterization.reference import SUBPIXELS, Fragments, rasterize_reference, screen_positions
from tests.kernels import fake_nvdiffrast

# Corners lie on the 1/256 px grid here. Over seeds 0 to 4 every face is equal (a centre on an edge may fall to either
# side), weights within 2.8e-6, depth within 7.2e-7 m: clip positions are float32.
SAME_FACES = 0.998
TOLERANCE = 2e-5

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("nvdiffrast") is None or not torch.cuda.is_available(),
    reason="needs nvdiffrast and a CUDA device",
)


@pytest.fixture
def library():
    with fake_nvdiffrast.installed() as module:
        yield module


def on_grid(scene: dict[str, Any], clip: str = "vertices_clip") -> dict[str, Any]:
    """The scene with corners where `rasterize` snaps them to: what differs then is not the grid."""
    height, width = scene["size"]
    _, snapped, _ = screen_positions(scene[clip], (height, width))
    pixels = snapped.double() / SUBPIXELS
    w = scene[clip][..., 3].double()
    x, y = (2 * pixels[..., 0] / width - 1) * w, (1 - 2 * pixels[..., 1] / height) * w
    return scene | {clip: torch.stack([x, y, w, w], -1).float()}


def assert_same(fragments: Fragments, expected: Fragments) -> None:
    assert fragments.face_ids.dtype == torch.int32 and fragments.depth.dtype == torch.float32
    same = fragments.face_ids == expected.face_ids
    assert same.double().mean() >= SAME_FACES
    covered = same & (expected.face_ids >= 0)
    for name in ("barycentrics", "depth"):
        ours, theirs = (getattr(each, name) for each in (expected, fragments))
        torch.testing.assert_close(theirs[covered], ours[covered], rtol=0, atol=TOLERANCE)
        background = same & ~covered
        assert torch.equal(theirs[background], ours[background])
    torch.testing.assert_close(fragments.barycentrics.sum(-1), (fragments.face_ids >= 0).float())


@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("seed", [0, 1])
def test_rasterize_gives_what_the_reference_gives(library, cull: bool, seed: int) -> None:
    scene = on_grid(example_inputs(2, seed=seed))
    fragments = rasterize_nvdiffrast(scene["vertices_clip"], scene["faces"], scene["size"], cull)
    assert_same(fragments, rasterize_reference(**scene, cull=cull))


def test_faces_seen_from_behind_are_left_out_only_when_asked(library) -> None:
    scene = on_grid(example_inputs(1))
    behind = scene["faces"].flip(1)
    for cull in (True, False):
        fragments = rasterize_nvdiffrast(scene["vertices_clip"], behind, scene["size"], cull)
        assert_same(fragments, rasterize_reference(scene["vertices_clip"], behind, scene["size"], cull))


def test_the_nearer_of_two_squares_wins_and_the_top_row_comes_first(library) -> None:
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    upper = square * torch.tensor([1.0, 0.5]) + torch.tensor([0.0, 0.5])  # of the picture, nearer
    both = torch.cat([torch.cat([xy * w, torch.full((4, 2), w)], 1) for xy, w in ((square, 5.0), (upper, 2.0))])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], dtype=torch.int32)
    for order in (faces, faces.flip(0)):
        fragments = rasterize_nvdiffrast(both[None], order, (8, 8), True)
        torch.testing.assert_close(fragments.depth[0, :4], torch.full((4, 8), 2.0))
        torch.testing.assert_close(fragments.depth[0, 4:], torch.full((4, 8), 5.0))


def test_faces_with_a_corner_behind_or_not_finite_are_dropped_whole(library) -> None:
    scene = on_grid(example_inputs(1))
    clip = scene["vertices_clip"].clone()
    clip[0, 0, 3], clip[0, 5, 0], clip[1, 7, 3], clip[1, 2, 2] = -1.0, torch.inf, 0.0, torch.nan
    fragments = rasterize_nvdiffrast(clip, scene["faces"], scene["size"], True)
    assert_same(fragments, rasterize_reference(clip, scene["faces"], scene["size"], True))
    assert not fragments.barycentrics.isnan().any() and not fragments.depth.isnan().any()


def test_a_batch_with_nothing_to_see_is_background(library) -> None:
    scene = example_inputs(1)
    clip, faces = scene["vertices_clip"], scene["faces"]
    behind = clip * -1
    empty = ((clip[:0], faces, (4, 4)), (clip, faces[:0], (4, 4)), (clip, faces, (0, 4)), (behind, faces, (4, 4)))
    for vertices, triangles, size in empty:
        fragments = rasterize_nvdiffrast(vertices, triangles, size, True)
        expected = rasterize_reference(vertices, triangles, size, True)
        assert all(torch.equal(a, b) for a, b in zip(fragments, expected, strict=True))


def test_one_picture_does_not_depend_on_the_others(library) -> None:
    scene = example_inputs(1)
    clip = scene["vertices_clip"] * torch.tensor([1.0, 3.0])[:, None, None]  # another range of depths
    both, alone = (rasterize_nvdiffrast(c, scene["faces"], scene["size"], True) for c in (clip, clip[1:]))
    assert all(torch.equal(a[1:], b) for a, b in zip(both, alone, strict=True))


def test_depth_runs_from_minus_one_to_one_and_grows_with_distance() -> None:
    w = torch.tensor([[0.5, 0.6, 0.6001, 3.0, 1e-9]])
    clip = torch.stack([torch.zeros_like(w), torch.ones_like(w), torch.zeros_like(w), w], -1)
    usable = w > 1e-6
    placed = to_opengl(clip, usable)
    assert placed[0, 4].tolist() == [2, 2, 0, 1]
    normalised = placed[0, :4, 2] / placed[0, :4, 3]
    assert (normalised.diff() > 0).all() and normalised[0] > -1 and normalised[-1] < 1
    torch.testing.assert_close(to_normalised_depth(w[..., None], clip, usable)[0, :4, 0], normalised)
    assert placed[0, :4, 1].tolist() == [-1] * 4
    near, far = depth_range(clip, torch.zeros_like(usable))
    assert 0 < near.item() < far.item()


def test_a_packed_pixel_is_read_by_the_documentation() -> None:
    rast = torch.tensor([[[[0.5, 0.25, -0.3, 2.0], [0.0, 0.0, 0.0, 0.0]]]])
    fragments = to_fragments(rast, torch.tensor([[[9.0, 9, 9], [2.0, 4, 8]]]))
    assert fragments.face_ids.tolist() == [[[1, -1]]]
    assert fragments.barycentrics.tolist() == [[[[0.5, 0.25, 0.25], [0, 0, 0]]]]
    assert fragments.depth.tolist() == [[[0.5 * 2 + 0.25 * 4 + 0.25 * 8, torch.inf]]]


def test_gradients_pass_through_weights_and_depth() -> None:
    rast = torch.tensor([[[[0.5, 0.25, -0.3, 1.0], [0.0, 0.0, 0.0, 0.0]]]], requires_grad=True)
    corner_w = torch.tensor([[[2.0, 4, 8]]], requires_grad=True)
    fragments = to_fragments(rast, corner_w)
    fragments.depth[fragments.face_ids >= 0].sum().backward()
    assert rast.grad[0, 0, 0].tolist() == [2.0 - 8.0, 4.0 - 8.0, 0, 0] and not rast.grad[0, 0, 1].any()
    assert corner_w.grad.tolist() == [[[0.5, 0.25, 0.25]]]


def antialias_arguments(seed: int = 0) -> tuple[Tensor, ...]:
    given = antialias_inputs(2, seed=seed)
    return tuple(given[name] for name in ("colour", "face_ids", "depth", "vertices_clip", "faces"))


def test_antialias_is_handed_the_picture_of_the_rasterizer(library, monkeypatch: pytest.MonkeyPatch) -> None:
    colour, face_ids, depth, clip, faces = antialias_arguments()
    seen = {}

    def record(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor) -> Tensor:
        seen.update(rast=rast, pos=pos)
        return fake_nvdiffrast.antialias(color, rast, pos, tri)

    monkeypatch.setattr(library, "antialias", record)
    mixed = antialias_nvdiffrast(colour, face_ids, depth, clip, faces.long())
    context = library.RasterizeCudaContext()
    rast, _ = library.rasterize(context, seen["pos"], faces, list(colour.shape[1:3]))
    same = seen["rast"][..., 3] == rast[..., 3]  # off the edges, where ours are snapped
    assert same.double().mean() >= SAME_FACES
    torch.testing.assert_close(seen["rast"][same][:, 2], rast[same][:, 2], rtol=0, atol=5e-3)  # seen: 2.7e-3
    # the stand-in mixes as we do, so what comes back shows whether it was handed the picture the right way up
    torch.testing.assert_close(mixed, antialias_reference(colour, face_ids, depth, clip, faces, face_adjacency(faces)))


def test_antialias_of_nothing(library) -> None:
    colour, face_ids, depth, clip, faces = antialias_arguments()
    assert torch.equal(antialias_nvdiffrast(colour, face_ids, depth, clip, faces[:0]), colour)
    none = antialias_nvdiffrast(colour[:0], face_ids[:0], depth[:0], clip[:0], faces)
    assert none.shape == colour[:0].shape


def test_it_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "ABSENT", ("nvdiffrast",))
    with pytest.raises(ValueError, match=r"rasterize has no backend 'nvdiffrast' .*nvdiffrast is not installed"):
        rasterize(**example_inputs(0), backend="nvdiffrast")
    with use_backend("nvdiffrast"), pytest.raises(ValueError, match="antialias has no backend 'nvdiffrast'"):
        antialias(**antialias_inputs(0))


def test_it_refuses_the_cpu_and_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backend, "ABSENT", ())
    for op, inputs in ((rasterize, example_inputs), (antialias, antialias_inputs)):
        with pytest.raises(RuntimeError, match=rf"{op.__name__} can't run backend 'nvdiffrast': .* not on a CUDA"):
            op(**inputs(0), backend="nvdiffrast")
        with pytest.raises(ValueError, match=rf"{op.__name__} has no backend 'nvdiffrast'"):
            op(**inputs(0, dtype=torch.float64), backend="nvdiffrast")


def test_the_call_by_name_reaches_it(library, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, mixing = example_inputs(1), antialias_inputs(1)
    for op in (rasterize, antialias):
        monkeypatch.setitem(op.__globals__, "resolve_backend", lambda *_, **__: "nvdiffrast")
    fragments = rasterize(**scene)
    expected = rasterize_nvdiffrast(scene["vertices_clip"], scene["faces"], scene["size"], True)
    assert all(torch.equal(a, b) for a, b in zip(fragments, expected, strict=True))
    assert antialias(**mixing).shape == mixing["colour"].shape


@needs_library
@pytest.mark.parametrize("cull", [True, False])
def test_rasterize_parity_with_the_library(cull: bool) -> None:
    scene = example_inputs(2, "cuda")
    for size in ((24, 32), (33, 17)):
        ours = rasterize(scene["vertices_clip"], scene["faces"], size, cull=cull, backend="reference")
        theirs = rasterize(scene["vertices_clip"], scene["faces"], size, cull=cull, backend="nvdiffrast")
        same = ours.face_ids == theirs.face_ids
        assert same.double().mean() >= 0.98  # it snaps to another grid: one or two pixels of each hundred on edges
        covered = same & (ours.face_ids >= 0)
        torch.testing.assert_close(theirs.barycentrics[covered], ours.barycentrics[covered], rtol=0, atol=5e-2)
        torch.testing.assert_close(theirs.depth[covered], ours.depth[covered], rtol=5e-3, atol=0)


@needs_library
def test_antialias_parity_with_the_library() -> None:
    """Another method, so not the same pixels: both bring the coverage of the same outline nearer to the truth."""
    scene = example_inputs(3, "cuda")
    clip, faces, size = scene["vertices_clip"], scene["faces"], (96, 128)
    fine = rasterize(clip, faces, (size[0] * 8, size[1] * 8), backend="reference").face_ids >= 0
    truth = torch.nn.functional.avg_pool2d(fine.float()[:, None], 8)[:, 0]
    fragments = rasterize(clip, faces, size, backend="reference")
    hard = (fragments.face_ids >= 0).float()[..., None].contiguous()
    arguments = (hard, fragments.face_ids, fragments.depth, clip, faces, face_adjacency(faces))
    before = (hard[..., 0] - truth).square().mean().sqrt()
    for backend in ("reference", "nvdiffrast"):
        after = (antialias(*arguments, backend=backend)[..., 0] - truth).square().mean().sqrt()
        assert after < 0.8 * before, backend


@needs_library
def test_gradients_come_from_the_library() -> None:
    scene = example_inputs(2, "cuda")
    clip = scene["vertices_clip"].requires_grad_()
    fragments = rasterize(clip, scene["faces"], scene["size"], backend="nvdiffrast")
    fragments.depth[fragments.face_ids >= 0].sum().backward()
    assert torch.isfinite(clip.grad).all() and clip.grad.any()
