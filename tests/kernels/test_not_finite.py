"""Numbers that are not finite, or far too large: no room reads memory by them, and each answers as its README says.

A wild read need not crash: `NUMBA_BOUNDSCHECK=1` and another `NUMBA_CACHE_DIR` before `pytest` compile the numba
backends with a check of every index, in a minute.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import Fragments, rasterize, render, sample_texture
from pain3d.kernels.rendering.example import example_inputs as render_inputs
from tests.kernels.rooms import ROOMS, Room, device_of
from tests.kernels.test_every_room import every_backend, tensors_of

NAN, INF = float("nan"), float("inf")
NONSENSE = (NAN, INF, -INF, 3e38, -1e30)


def spoilt(tensor: Tensor, value: float) -> Tensor:
    """A copy in which every third number is this one."""
    copy = tensor.detach().clone().contiguous()
    copy.view(-1)[::3] = value
    return copy


def floats_of(inputs: dict[str, Any]) -> list[str]:
    return [name for name, value in inputs.items() if isinstance(value, Tensor) and value.is_floating_point()]


@cache
def shapes(room: Room) -> list[torch.Size]:
    return [answer.shape for answer in tensors_of(room.op(**room.inputs(room.sizes[1]), backend="reference"))]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning:triton.runtime.interpreter")
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning:triton.runtime.interpreter")
@every_backend
def test_a_room_answers_nonsense(room: Room, backend: str) -> None:
    """In all arguments at once, and NaN in each for itself where a call takes milliseconds."""
    inputs = room.inputs(room.sizes[1], device_of(backend))
    names = floats_of(inputs)
    asked = [(value, names) for value in (NONSENSE if backend == "cpu" else NONSENSE[:1])]
    if backend == "cpu" or (backend == "reference" and room.name != "render"):  # whose rooms are asked for themselves
        asked += [(NAN, [name]) for name in names]
    for value, spoiling in asked:
        given = inputs | {name: spoilt(inputs[name], value) for name in spoiling}
        assert [answer.shape for answer in tensors_of(room.op(**given, backend=backend))] == shapes(room)


@pytest.mark.parametrize(
    ("room", "backend"),
    [
        pytest.param(room, backend, id=f"{room.name}-{backend}")
        for room in ROOMS
        for backend in ("reference", *room.with_gradient)
        if room.gradients and backend != "triton"
    ],
)
def test_so_does_its_gradient(room: Room, backend: str) -> None:
    inputs = room.inputs(room.sizes[1])
    for name in floats_of(inputs):
        given = inputs | {name: spoilt(inputs[name], NAN)}
        leaves = [given[leaf].clone().requires_grad_() for leaf in room.gradients]
        given |= dict(zip(room.gradients, leaves, strict=True))
        sum(answer.sum() for answer in tensors_of(room.op(**given, backend=backend)) if answer.requires_grad).backward()
        # Nobody sees a lamp where nothing is drawn: it may have none.
        assert all(leaf.grad is None or leaf.grad.shape == leaf.shape for leaf in leaves)


@pytest.mark.parametrize("backend", ["reference", "triton"])
def test_a_place_that_is_none_reads_the_first_texel(backend: str) -> None:
    texture = torch.arange(1.0, 17.0, device=device_of(backend)).reshape(1, 4, 4, 1)
    uv = torch.tensor([[NAN, NAN], [INF, 0.5], [-INF, 1.0], [NAN, 1.0]], device=texture.device).reshape(1, 1, 4, 2)
    level = torch.zeros(1, 1, 4, device=texture.device)
    wanted = [1.0, 10.0, 1.0, 1.0]  # the middle of the last column is that of 8 and 12; row 0 is on top
    assert sample_texture(texture, uv, backend=backend).flatten().tolist() == wanted
    assert sample_texture(texture, uv, level, backend=backend).flatten().tolist() == wanted
    level = torch.tensor([[[NAN, INF, -INF, NAN]]], device=texture.device)
    middle = torch.full((1, 1, 4, 2), 0.5, device=texture.device)
    assert sample_texture(texture, middle, level, backend=backend).flatten().tolist() == [8.5] * 4


def test_a_place_that_is_none_has_no_gradient() -> None:
    texture = torch.rand(1, 4, 4, 1)
    uv = torch.tensor([[NAN, NAN], [0.4, 0.6]]).reshape(1, 1, 2, 2).requires_grad_()
    sample_texture(texture, uv).sum().backward()
    assert torch.isfinite(uv.grad).all() and (uv.grad[0, 0, 0] == 0).all() and (uv.grad[0, 0, 1] != 0).all()


def drawn(backend: str, corner: list[float]) -> Fragments:
    """Two triangles side by side; a corner of the second is what is asked for."""
    clip = torch.tensor([[[-0.5, 0.5, 0, 1], [-0.5, -0.5, 0, 1], [0.5, -0.5, 0, 1], corner]], device=device_of(backend))
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32, device=clip.device)
    return rasterize(clip, faces, (16, 16), cull=False, backend=backend)


@pytest.mark.parametrize("corner", [[NAN, 0, 0, 1], [0, INF, 0, 1], [0, 0, NAN, 1], [0, 0, 0, NAN], [3e38, 0, 0, 1e-6]])
@pytest.mark.parametrize("backend", ["reference", "cpu", "triton"])
def test_a_face_without_a_place_is_dropped(backend: str, corner: list[float]) -> None:
    ids = drawn(backend, corner).face_ids
    assert ids.unique().tolist() == [-1, 0]


@pytest.mark.parametrize("value", [1e10, 1e30, 3e38])
def test_a_vertex_too_far_for_whole_numbers_has_no_place(value: float) -> None:
    """Its face is dropped, and the face beside it ends there: a silhouette, on the CPU as in the reference."""
    from pain3d.kernels.rasterization.cpu import snap_vertices

    clip = torch.tensor([[value, 0, 0, 1], [-value, 0, 0, 1], [0, value, 0, 1]], dtype=torch.float64).numpy()
    snapped, inverse_w, usable = (torch.ones(3, 2).long().numpy(), torch.ones(3).double().numpy(), torch.ones(3).bool())
    snap_vertices(clip, 16, 16, snapped, inverse_w, usable.numpy())
    assert not usable.any() and not snapped.any()
    inputs = render_inputs(16)
    inputs["vertices"] = inputs["vertices"].clone()
    inputs["vertices"][:, ::7, 0] = value
    asked: dict[str, Any] = {**inputs, "outputs": ("alpha", "face_ids")}
    fast, slow = render(**asked, backend="cpu"), render(**asked, backend="reference")
    assert torch.equal(fast.face_ids, slow.face_ids) and (fast.alpha.int() - slow.alpha.int()).abs().max() <= 1
