"""Visibility with Triton: the reference's integers, whatever the order, the chunk or the path that a face takes.

Longer than others: scenes, edge cases, faults and the custom op share one way to draw in the interpreter.
"""

from __future__ import annotations

import math
import sys

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor

from pain3d.kernels import rasterize
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.deformation.reference import to_clip
from pain3d.kernels.rasterization.example import example_inputs
from pain3d.kernels.rasterization.reference import Fragments, screen_positions
from pain3d.kernels.rasterization.workspace import EMPTY, EPOCHS, Workspace, allocate_workspace
from tests.kernels.rooms import device_of

pytest.importorskip("triton")

import triton
import triton.language as tl

from pain3d.kernels._triton import on_device
from pain3d.kernels.rasterization.kernel import (
    Blocks,
    face_of,
    launch_project,
    launch_snap,
    launch_visibility,
)
from pain3d.kernels.rasterization.triton_op import rasterize_chunks

DEVICE = device_of("triton")
FACES = torch.tensor([[0, 1, 2]])


def drawn(clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool = True) -> Fragments:
    """Fragments of the Triton backend, back on the CPU."""
    result = rasterize(clip.to(DEVICE), faces.to(DEVICE), size, cull=cull, backend="triton")
    return Fragments(*(tensor.cpu() for tensor in result))


def clip_of(points: Tensor) -> Tensor:
    """Screen positions [V, 2] in -1 … 1 become vertices_clip [1, V, 4] at one metre."""
    return torch.cat([points, torch.zeros(len(points), 1), torch.ones(len(points), 1)], 1)[None].float()


def soup(seed: int, count: int = 40, views: int = 2) -> tuple[Tensor, Tensor]:
    """Overlapping triangles that face both ways, of all sizes up to several times the screen, at 0.5 to 4 metres."""
    generator = torch.Generator().manual_seed(seed)
    spread = 10 ** (2 * torch.rand(count, 1, 1, generator=generator) - 1.7)
    middle = 2 * torch.rand(views, count, 1, 2, generator=generator) - 1
    points = middle + spread * (2 * torch.rand(views, count, 3, 2, generator=generator) - 1)
    w = 0.5 + 3.5 * torch.rand(views, count, 3, 1, generator=generator)
    clip = torch.cat([points * w, torch.zeros_like(w), w], -1).reshape(views, 3 * count, 4)
    return clip, torch.arange(3 * count).reshape(count, 3)


def visibility(
    clip: Tensor, faces: Tensor, size: tuple[int, int], cull: bool = False, **options: object
) -> tuple[Tensor, Tensor]:
    """The visibility buffer [N, H · W] and the number of queued faces, from the launchers alone."""
    clip, faces = clip.to(DEVICE), faces.to(DEVICE)
    workspace = allocate_workspace(len(clip), clip.shape[1], len(faces), size, clip.device, chunk=len(clip))
    with on_device(clip):
        for _, _, epoch in workspace.passes(len(clip)):
            launch_snap(clip, size, workspace.screen)
            launch_visibility(workspace.screen, faces, size, cull, workspace.keys, epoch, workspace.queue, **options)
    return workspace.keys.cpu(), workspace.queue[0].cpu()


@pytest.mark.parametrize("cull", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_overlapping_triangles_equal_the_reference(seed: int, cull: bool):
    clip, faces = soup(seed)
    expected = rasterize(clip, faces, (48, 64), cull=cull, backend="reference")
    result = drawn(clip, faces, (48, 64), cull)
    assert torch.equal(result.face_ids, expected.face_ids)
    assert len(expected.face_ids.unique()) > 10
    # worst seen 1.2e-7 and relative 2.8e-7, interpreter: roundings of positive float32 terms, no cancellation
    torch.testing.assert_close(result.barycentrics, expected.barycentrics, rtol=0, atol=1e-6)
    torch.testing.assert_close(result.depth, expected.depth, rtol=1e-6, atol=0)


def test_many_faces_equal_the_reference():
    inputs = example_inputs(3) | {"size": (61, 64)}
    expected = rasterize(**inputs, backend="reference")
    result = drawn(inputs["vertices_clip"], inputs["faces"], inputs["size"])
    assert torch.equal(result.face_ids, expected.face_ids)
    torch.testing.assert_close(result.barycentrics.sum(-1), (expected.face_ids >= 0).float(), rtol=0, atol=1e-6)


@hypothesis.settings(max_examples=8)
@hypothesis.given(
    st.lists(st.tuples(st.integers(-20, 148), st.integers(-20, 148)), min_size=3, max_size=6, unique=True),
    st.tuples(st.integers(10, 118), st.integers(10, 118)),
    st.booleans(),
)
def test_a_fan_owns_each_pixel_once(rim: list[tuple[int, int]], hub: tuple[int, int], queued: bool):
    """What each face covers alone adds up to what all cover together: no gap, nothing twice.

    Corners lie on quarter pixels of a 32 x 32 image, or on half pixels of a 64 x 64 one where the large faces are
    queued: many edges pass exactly through pixel centres.
    """
    rim = sorted(rim, key=lambda p: math.atan2(p[1] - hub[1], p[0] - hub[0]))
    angles = [math.atan2(p[1] - hub[1], p[0] - hub[0]) for p in rim]
    gaps = [(b - a) % math.tau for a, b in zip(angles, angles[1:] + angles[:1], strict=True)]
    hypothesis.assume(all(1e-9 < gap < math.pi - 1e-9 for gap in gaps) and hub not in rim)
    points = torch.tensor([hub, *rim], dtype=torch.float64) / 64 - 1
    count = len(rim)
    corners = torch.tensor([[0, 1 + k, 1 + (k + 1) % count] for k in range(count)])
    clip = clip_of(points[corners.reshape(-1)]).repeat(1 + count, 1, 1)
    for k in range(count):  # view 0 has all faces, view 1 + k has face k alone: the others are behind the camera
        clip[1 + k, :, 3] = -1.0
        clip[1 + k, 3 * k : 3 * k + 3, 3] = 1.0
    side = 64 if queued else 32
    faces = torch.arange(3 * count).reshape(count, 3)
    covered = drawn(clip, faces, (side, side)).face_ids >= 0
    assert torch.equal(covered[1:].sum(0), covered[0].long())
    assert torch.equal(covered[0], rasterize(clip[:1], faces, (side, side), backend="reference").face_ids[0] >= 0)


def test_a_closed_mesh_has_no_hole():
    """Every pixel centre well inside a sphere's outline sees a face; from both sides the same pixels are covered."""
    points, faces = example_sphere(3)
    clip = clip_of(0.9 * points[:, :2])
    front = drawn(clip, faces, (61, 61)).face_ids[0] >= 0
    behind = drawn(clip, faces.flip(1), (61, 61)).face_ids[0] >= 0
    centres = (torch.arange(61) + 0.5) / 30.5 - 1
    radius = (centres[:, None] ** 2 + centres[None] ** 2).sqrt()
    assert front[radius < 0.88].all() and not front[radius > 0.9].any()
    assert torch.equal(front, behind)


def test_neither_order_nor_batch_nor_chunk_nor_blocks_matter():
    clip, faces = soup(7, views=4)
    size = (16, 24)
    expected = drawn(clip, faces, size, cull=False)
    order = torch.randperm(len(faces), generator=torch.Generator().manual_seed(0))
    shuffled = drawn(clip, faces[order], size, cull=False)
    seen = expected.face_ids >= 0
    assert torch.equal(order[shuffled.face_ids[seen].long()].int(), expected.face_ids[seen])
    assert torch.equal(shuffled.depth, expected.depth) and torch.equal(shuffled.barycentrics, expected.barycentrics)
    for chunk in (1, 3):
        parts = rasterize_chunks(clip.to(DEVICE), faces.to(DEVICE), size, False, chunk)
        assert all(torch.equal(a.cpu(), b) for a, b in zip(parts, expected, strict=True)), chunk
    single = drawn(clip[3:4], faces, size, cull=False)
    assert all(torch.equal(a[0], b[3]) for a, b in zip(single, expected, strict=True))
    keys, _ = visibility(clip[:1], faces, size)
    for blocks in (Blocks(), Blocks(triangles=32, across=2, down=2, warps=4, side=16)):
        other, _ = visibility(clip[:1], faces, size, blocks=blocks)
        assert torch.equal(other, keys)


def test_large_faces_take_the_queue_and_give_the_same_samples():
    clip, faces = soup(11, count=14)
    size = (48, 64)
    keys, some = visibility(clip, faces, size)
    queued_keys, all_drawn = visibility(clip, faces, size, small=0)
    assert 0 < int(some) < int(all_drawn) <= 2 * len(faces)
    covered = keys != EMPTY
    assert torch.equal(covered, queued_keys != EMPTY)
    assert torch.equal(keys[covered] & 0xFFFFFF, queued_keys[covered] & 0xFFFFFF)
    # 65 px across is queued, 64 is not
    for pixels, queued in ((64, 0), (65, 1)):
        wide = clip_of(torch.tensor([[-1.0, -1.0], [pixels / 48 - 1, -1.0], [-1.0, 1.0]]))
        assert int(visibility(wide, FACES, (8, 96))[1]) == queued


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (0, 5), (5, 0), (13, 64)])
def test_any_size(size: tuple[int, int]):
    inputs = example_inputs(1) | {"size": size}
    expected = rasterize(**inputs, backend="reference")
    result = drawn(inputs["vertices_clip"], inputs["faces"], size)
    assert torch.equal(result.face_ids, expected.face_ids)
    torch.testing.assert_close(result.depth, expected.depth, rtol=1e-6, atol=0)


def test_no_faces_and_no_vertices():
    for vertices in (4, 0):
        fragments = drawn(torch.rand(2, vertices, 4), torch.empty(0, 3, dtype=torch.int32), (3, 5))
        assert (fragments.face_ids == -1).all() and fragments.depth.isinf().all()
        assert (fragments.barycentrics == 0).all()


def test_strange_triangles_equal_the_reference():
    """Degenerate, subpixel, huge, half outside, behind, NaN and infinite ones, each alone in its view."""
    just_inside = 2**21 / 12 - 2.0  # in -1 … 1 units, just inside 2^21 pixels
    strange = [
        [[-1.0, -1.0, 0, 1], [1.0, -1.0, 0, 1], [-1.0, 1.0, 0, 1]],  # a good one
        [[0.0, 0, 0, 1]] * 3,  # a point
        [[0.0, 0, 0, 1], [0.5, 0.5, 0, 1], [1.0, 1.0, 0, 1]],  # a line
        [[0.1, 0.1, 0, 1], [0.1 + 1e-5, 0.1, 0, 1], [0.1, 0.1 + 1e-5, 0, 1]],  # smaller than 1/256 pixel
        [[0.0, 0.0, 0, 1], [0.1, 0.0, 0, 1], [0.0, 0.15, 0, 1]],  # smaller than a pixel, on a centre
        [[0.01, 0.01, 0, 1], [0.03, 0.01, 0, 1], [0.01, 0.04, 0, 1]],  # between samples
        [[-2.0, -0.5, 0, 1], [0.5, -3.0, 0, 1], [0.9, 2.0, 0, 2]],  # over three borders
        [[-1e4, -2e4, 0, 1], [3e4, -1e4, 0, 3], [0, 2e4, 0, 2]],  # 10^5 … 10^6 pixels
        [[-just_inside, -just_inside, 0, 1], [just_inside, -just_inside, 0, 1], [0, just_inside, 0, 1]],
        [[-1e9, -1e9, 0, 1], [1e9, -1e9, 0, 1], [0, 1e9, 0, 1]],  # beyond 2^21 pixels
        [[-1.0, -1, 0, -1], [1.0, -1, 0, -1], [0.0, 1, 0, -1]],  # behind
        [[-1.0, -1, 0, 0], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],  # a corner in the camera
        [[-1e-6, -1e-6, 0, 1e-6], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],  # float32(1e-6) is below 1e-6
        [[-1e-6, -1e-6, 0, 1.0001e-6], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],  # just far enough
        [[-3e37, -3e37, 0, 3e38], [3e37, -3e37, 0, 3e38], [0.0, 3e37, 0, 3e38]],  # 1/w is subnormal in float32
        [[math.nan, -1, 0, 1], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],
        [[math.inf, -1, 0, 1], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],
        [[-1.0, -1, 0, 1], [1.0, -1, math.nan, 1], [0.0, 1, 0, 1]],
        [[-1.0, -1, 0, math.inf], [1.0, -1, 0, 1], [0.0, 1, 0, 1]],
    ]
    clip = torch.tensor(strange, dtype=torch.float32)
    expected = rasterize(clip, FACES, (16, 24), cull=False, backend="reference")
    result = drawn(clip, FACES, (16, 24), cull=False)
    assert torch.equal(result.face_ids, expected.face_ids)
    assert expected.face_ids[0].max() == 0 and expected.face_ids[8].min() == 0
    torch.testing.assert_close(result.barycentrics, expected.barycentrics, rtol=0, atol=1e-6)
    normal = torch.arange(len(strange)) != 14  # a subnormal has few bits; elsewhere as above
    torch.testing.assert_close(result.depth[normal], expected.depth[normal], rtol=1e-6, atol=0)


def test_nearer_wins_equal_depth_goes_to_the_lowest_face_and_back_faces_are_culled():
    clip = clip_of(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]).repeat(2, 1))
    equal = torch.tensor([[3, 4, 5], [0, 1, 2], [0, 1, 2]])
    assert set(drawn(clip, equal, (9, 9)).face_ids.unique().tolist()) == {-1, 0}
    clip[:, :3] *= 2.0  # the first face stands at two metres
    turned = torch.tensor([[0, 1, 2], [3, 5, 4]])
    assert drawn(clip, turned, (8, 8)).face_ids[0, 7, 0] == 0
    seen = drawn(clip, turned, (8, 8), cull=False)
    assert seen.face_ids[0, 7, 0] == 1 and seen.depth[0, 7, 0] == 1 and (seen.barycentrics >= 0).all()


@pytest.mark.parametrize("bad", [[0, 1, 12], [0, -1, 2], [0, 1, 2**32 + 2], [-(2**40), 1, 2]])
def test_a_face_index_out_of_range_is_not_drawn(bad: list[int]):
    """On a GPU nothing checks indices before the kernels do (on the CPU `rasterize` raises)."""
    inputs = example_inputs(0)
    faces = torch.cat([inputs["faces"].long(), torch.tensor([bad])])
    clip = inputs["vertices_clip"].to(DEVICE)
    result = rasterize_chunks(clip, faces.to(DEVICE), (24, 32), False)
    expected = rasterize_chunks(clip, inputs["faces"].to(DEVICE), (24, 32), False)
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))


def test_a_buffer_is_filled_once_per_128_passes():
    buffer = torch.zeros(1, 2, dtype=torch.int64)
    fresh, epochs = [], []
    for number, (first, last, epoch) in enumerate(Workspace(2, buffer, buffer, buffer).passes(259)):
        assert (first, last) == (2 * number, min(2 * number + 2, 259))
        fresh.append(bool((buffer == EMPTY).all()))
        epochs.append(epoch)
        buffer.zero_()
    assert [number for number, filled in enumerate(fresh) if filled] == [0, EPOCHS]
    assert epochs == [*range(127, -1, -1), 127, 126]


def test_no_view_sees_a_face_of_a_view_before(monkeypatch: pytest.MonkeyPatch):
    """One buffer for ten views, one at a time, that is filled every four: epochs 3, 2, 1, 0 and again."""
    generator = torch.Generator().manual_seed(0)
    clip = clip_of(2 * torch.rand(30, 2, generator=generator) - 1).reshape(10, 3, 4).to(DEVICE)
    clip *= torch.linspace(0.5, 2, 10, device=DEVICE)[:, None, None]  # what came before is always nearer
    together = rasterize_chunks(clip, FACES.to(DEVICE), (5, 4), False, 10)
    monkeypatch.setattr(sys.modules[Workspace.__module__], "EPOCHS", 4)
    alone = rasterize_chunks(clip, FACES.to(DEVICE), (5, 4), False, 1)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    expected = rasterize(clip, FACES.to(DEVICE), (5, 4), cull=False, backend="reference").face_ids
    assert torch.equal(together.face_ids, expected) and len(expected.amax((1, 2)).unique()) == 2


def test_out_of_memory_halves_the_chunk_and_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch):
    clip, faces = (tensor.to(DEVICE) for tensor in soup(3, count=9, views=5))
    expected = rasterize_chunks(clip, faces, (16, 16), False)
    empty, asked = torch.empty, []

    def short_of_memory(*size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        if dtype == torch.int64 and len(size) == 2:
            asked.append(size[0])
            if size[0] > fits:
                raise torch.OutOfMemoryError("as if the device were full")
        return empty(*size, dtype=dtype, device=device)

    monkeypatch.setattr(torch, "empty", short_of_memory)
    fits = 1
    result = rasterize_chunks(clip, faces, (16, 16), False)
    assert asked == [5, 2, 1]
    assert all(torch.equal(a, b) for a, b in zip(result, expected, strict=True))
    fits = 0
    with pytest.raises(torch.OutOfMemoryError, match="as if the device were full"):
        rasterize_chunks(clip, faces, (16, 16), False)


def test_the_workspace_of_a_chunk_does_not_grow_with_the_batch():
    meta = torch.device("meta")
    few, many = (allocate_workspace(views, 5023, 10_000, (512, 512), meta) for views in (400, 4096))
    assert few.chunk == many.chunk == 237
    assert sum(tensor.nbytes for tensor in many[1:]) <= 512 << 20
    assert allocate_workspace(7, 5023, 10_000, (16384, 16384), meta).chunk == 1
    assert allocate_workspace(3, 0, 0, (0, 0), meta).chunk == 3


@pytest.mark.skipif(DEVICE == "cuda", reason="looks into the interpreter")
def test_offsets_pass_2_to_the_31(monkeypatch: pytest.MonkeyPatch):
    """Nine views of 16384 x 16384: the last one begins 2^31 keys in. The addresses are looked at, not the memory."""
    from triton.runtime.interpreter import InterpreterBuilder

    reduce, addresses = InterpreterBuilder.create_atomic_rmw, []

    def look(self, op, pointer, value, mask, sem, scope):
        if pointer.data.size == 1:  # the queue's counter
            return reduce(self, op, pointer, value, mask, sem, scope)
        addresses.extend(pointer.data[mask.data].tolist())
        return value

    size, last = (16384, 16384), 8
    clip = torch.full((9, 3, 4), -1.0)
    for corners in ([[-1, 1], [-1 + 1e-3, 1], [-1, 1 - 1e-3]], [[-1, 1], [-1 + 2e-2, 1], [-1, 1 - 1e-3]]):
        clip[last] = clip_of(torch.tensor(corners))  # of 8 px, then of 164 px, which is queued
        screen, keys = torch.empty(9, 3, 4, dtype=torch.int32), torch.empty(1, dtype=torch.int64)
        queue = torch.empty(10, dtype=torch.int64)
        launch_snap(clip, size, screen)
        addresses.clear()
        with monkeypatch.context() as patch:
            patch.setattr(InterpreterBuilder, "create_atomic_rmw", look)
            launch_visibility(screen, FACES, size, False, keys, 5, queue)
        first = min(addresses) - keys.data_ptr()
        assert first == 8 * last * 2**28
        assert len(set(addresses)) == len(addresses) > 20


@pytest.mark.parametrize("meshes", [3, 2])
def test_projection_gives_the_records_of_the_reference(meshes: int):
    """Bit for bit; where a view names a mesh that isn't there (the third of two), no vertex is usable."""
    generator = torch.Generator().manual_seed(1)
    vertices = torch.randn(3, 50, 3, generator=generator)
    matrices = torch.randn(4, 4, 4, generator=generator)
    matrices[:, 3, 3] += 1.5
    vertices[1, 7, 2], vertices[0, 3, 0] = math.nan, math.inf
    mesh = torch.tensor([2, 0, 1, 0], dtype=torch.int32)
    size = (48, 64)
    clip = to_clip(vertices[mesh.long()], matrices)
    _, snapped, usable = screen_positions(clip, size)
    usable &= (mesh < meshes)[:, None]
    screen = torch.full((4, 50, 4), 77, dtype=torch.int32, device=DEVICE)
    given = (tensor.to(DEVICE) for tensor in (vertices[:meshes].contiguous(), matrices, mesh))
    with on_device(screen):
        launch_project(*given, size, screen)
    screen = screen.cpu()
    assert 0 < int(usable.sum()) < usable.numel()
    assert torch.equal(screen[..., :2], torch.where(usable[..., None], snapped, 0).int())
    inverse_w = torch.where(usable, 1 / clip[..., 3], 0.0).float()
    assert torch.equal(screen[..., 2].contiguous().view(torch.float32), inverse_w)
    assert (screen[..., 3] == 0).all()


@triton.jit
def _read_keys(keys_ptr, faces_ptr, epoch, COUNT: tl.constexpr):
    tl.store(faces_ptr + tl.arange(0, COUNT), face_of(tl.load(keys_ptr + tl.arange(0, COUNT)), epoch))


def test_a_key_holds_face_and_nearness():
    clip, faces = soup(5, views=1)
    expected = drawn(clip, faces, (16, 16), cull=False)
    keys = visibility(clip, faces, (16, 16))[0][0].to(DEVICE)
    ids = torch.empty(256, dtype=torch.int32, device=DEVICE)
    nearness = (0x7FFFFFFF - ((keys.reshape(-1) >> 24) & 0xFFFFFFFF)).int().view(torch.float32)
    with on_device(keys):
        _read_keys[(1,)](keys, ids, 127, COUNT=256)
        assert torch.equal(ids.cpu(), expected.face_ids.reshape(-1))
        covered = ids.cpu() >= 0
        # worst seen relative 1.4e-7, interpreter: E · (1/w / |2A|) here, |2A| / Σ E / w there
        torch.testing.assert_close(1 / nearness.cpu()[covered], expected.depth.reshape(-1)[covered], rtol=1e-6, atol=0)
        _read_keys[(1,)](keys, ids, 126, COUNT=256)
    assert (ids == -1).all()


def test_custom_op_passes_opcheck():
    inputs = example_inputs(0)
    arguments = (inputs["vertices_clip"].to(DEVICE), inputs["faces"].to(DEVICE), 5, 8, True)
    torch.library.opcheck(torch.ops.pain3d.rasterize.default, arguments)


def test_what_triton_can_not_take_raises():
    inputs = example_inputs(0, DEVICE)
    with pytest.raises(ValueError, match=r"rasterize has no backend 'triton' \(available: reference, cpu"):
        rasterize(**(inputs | {"vertices_clip": inputs["vertices_clip"].double()}), backend="triton")
    many = inputs["faces"][:1].expand(2**24, 3)
    with pytest.raises(ValueError, match="faces must be at most 16777215 for backend 'triton', got 16777216"):
        rasterize(**(inputs | {"faces": many}), backend="triton")
