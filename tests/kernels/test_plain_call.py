"""What a call of `render` with Triton keeps for the next one, and when it must not."""

import gc
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves

from pain3d.kernels import _remembered, render
from pain3d.kernels._triton import custom_op, is_observed, keeping_place
from pain3d.kernels.rendering import texels, topology, triton_op
from pain3d.kernels.rendering.bundles import Triangles
from pain3d.kernels.rendering.defaults import filled, numbered, up_axis
from pain3d.kernels.rendering.example import example_inputs
from pain3d.kernels.rendering.texels import pack_texels, remembered_texels
from pain3d.kernels.texturing import build_mipmaps
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
TABLES, VERTICES = Triangles._fields, 642
MOVES = ("aten::cat", "aten::copy_", "aten::clone", "aten::sort", "aten::gather", "aten::index")


def triangles(**smaller: int) -> Triangles:
    """Of the example, tensors of our own."""
    inputs = example_inputs(8, DEVICE, **smaller)
    return Triangles(*(inputs[name].clone() for name in TABLES))


def picture(inputs: dict[str, Any]) -> Tensor:
    image = render(**inputs, outputs=("image",), backend="triton").image
    assert image is not None
    return image


def draw_nothing(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Let `render` launch no kernel; return the texels that those of each call would have read."""
    drawn: list[Tensor] = []
    for name in ("launch_project", "launch_visibility", "launch_antialias_queue"):
        monkeypatch.setattr(triton_op, name, lambda *_, **__: None)
    monkeypatch.setattr(triton_op, "launch_normals", lambda vertices, *_: torch.empty_like(vertices))
    monkeypatch.setattr(triton_op, "launch_resolve", lambda scene, *_, **__: drawn.append(scene.texture.texels))
    return drawn


def same(tables: topology.PreparedTopology, others: topology.PreparedTopology) -> bool:
    return all(torch.equal(one, other) for one, other in zip(tree_leaves(tables), tree_leaves(others), strict=True))


def test_tables_are_made_once() -> None:
    mesh = triangles()
    tables = topology.remembered_topology(mesh, VERTICES)
    assert topology.remembered_topology(Triangles(*mesh), VERTICES) is tables
    assert same(tables, topology.prepare_topology(mesh, VERTICES))
    others = mesh._replace(faces=mesh.faces.clone())
    assert topology.remembered_topology(others, VERTICES) is not tables
    assert topology.remembered_topology(mesh._replace(face_labels=None), VERTICES).triangles.face_labels is None
    assert topology.remembered_topology(mesh, VERTICES) is tables


@pytest.mark.parametrize("name", TABLES)
def test_what_is_written_to_is_made_anew(name: str) -> None:
    mesh = triangles()
    tables = topology.remembered_topology(mesh, VERTICES)
    getattr(mesh, name)[::2] = getattr(mesh, name)[1].clone()
    again = topology.remembered_topology(mesh, VERTICES)
    assert again is not tables and same(again, topology.prepare_topology(mesh, VERTICES))


def test_tables_of_tensors_without_versions_are_not_kept() -> None:
    with torch.inference_mode():
        mesh = triangles()
        tables = topology.remembered_topology(mesh, VERTICES)
        assert topology.remembered_topology(mesh, VERTICES) is not tables
        chain = torch.zeros(1, 1, 16, device=DEVICE)
        assert remembered_texels(chain) is not remembered_texels(chain)


def test_tables_go_with_their_tensors() -> None:
    gc.collect()
    kept = len(topology._kept)
    mesh = triangles()
    topology.remembered_topology(mesh, VERTICES)
    assert len(topology._kept) == kept + 1
    mesh = mesh._replace(faces=mesh.adjacent_faces)
    gc.collect()
    assert len(topology._kept) == kept


def test_a_call_keeps_tables_and_a_written_tensor_is_seen() -> None:
    small = {"batch": 1, "meshes": 1, "textures": 1, "subdivisions": 1}
    inputs = example_inputs(8, DEVICE, **small) | triangles(**small)._asdict()
    before = picture(inputs)
    (tables,) = [kept.made for kept in topology._kept.values() if kept.sources[0]() is inputs["faces"]]
    mesh, vertices = Triangles(*(inputs[name] for name in TABLES)), inputs["vertices"].shape[1]
    assert topology.remembered_topology(mesh, vertices) is tables
    inputs["uvs"].mul_(0.3)
    after = picture(inputs)
    assert not torch.equal(before, after)
    assert torch.equal(after, picture(inputs | {"uvs": inputs["uvs"].clone()}))


def test_a_second_call_prepares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw_nothing(monkeypatch)
    inputs = example_inputs(8, DEVICE)
    inputs = inputs | triangles()._asdict() | {"texture": build_mipmaps(inputs["texture"])}
    picture(inputs)
    for module, name in ((texels, "pack_texels"), (topology, "prepare_topology")):
        monkeypatch.delattr(module, name)
    with torch.profiler.profile() as profile:
        picture(inputs)
    assert drawn[0] is drawn[1]
    moved = {event.key: event.count for event in profile.key_averages() if event.key in MOVES}
    assert moved == {"aten::cat": 1}  # a record per vertex


def test_packed_texels_are_read_in_the_texture_s_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a CUDA graph, where nothing may be remembered: a call without them packs."""
    drawn = draw_nothing(monkeypatch)
    inputs = example_inputs(8, DEVICE) | triangles()._asdict()
    chain = build_mipmaps(inputs["texture"])
    packed, inputs = pack_texels(chain.texels), inputs | {"texture": chain}
    monkeypatch.setattr(_remembered, "keeping_place", lambda tensor: None)
    picture(inputs)
    picture(inputs | {"packed": packed})
    assert drawn[0] is not packed and torch.equal(drawn[0], packed) and drawn[1] is packed
    chain.texels.mul_(0.5)
    assert pack_texels(chain.texels, out=packed) is packed and not torch.equal(drawn[0], packed)
    for wrong in (packed.float(), packed[:, :, 1:], packed.transpose(1, 2).contiguous().transpose(1, 2)):
        with pytest.raises(ValueError, match=r"packed must be \[.*\] float16, contiguous, on .*, got \[.*\] of torch"):
            picture(inputs | {"packed": wrong})


def test_defaults_are_kept() -> None:
    like = torch.zeros(1, device=DEVICE)
    assert numbered(like, 3, True) is numbered(like, 3, True) and numbered(like, 3, True).tolist() == [0, 1, 2]
    assert numbered(like, 3, False).tolist() == [0, 0, 0] and numbered(like, 3, False).dtype == torch.int64
    assert filled(1.0, like, 3) is filled(1.0, like, 3)
    assert filled(1.0, like, 3).dtype == torch.float32 and filled(1.0, like.double(), 3).dtype == torch.float64
    assert up_axis(like).tolist() == [[0, 1, 0]] and up_axis(like) is up_axis(like)


def test_nothing_is_kept_for_whoever_watches() -> None:
    real = torch.zeros(1)
    assert keeping_place(real) == ("cpu", 0, 0)
    with FakeTensorMode():
        fake = torch.zeros(1)
        assert keeping_place(fake) is None and filled(1.0, fake, 2) is not filled(1.0, fake, 2)
    assert keeping_place(fake) is None  # of another class, under no mode
    assert is_observed((torch.nn.Parameter(real),), differentiable=False)
    assert is_observed(([real.requires_grad_()],)) and not is_observed((real,), differentiable=False)
    with torch.no_grad():
        assert not is_observed((real, None, 3))
    seen = []
    torch.func.vmap(lambda x: seen.append(is_observed((x,))) or x)(torch.zeros(2))
    assert seen == [True]


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_a_recorded_graph_keeps_nothing() -> None:
    like = torch.zeros(1, device=DEVICE)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        assert keeping_place(like) is None
        filled(1.0, like, 5)
    other = torch.cuda.Stream()
    here, kept = keeping_place(like), filled(1.0, like, 3)
    with torch.cuda.stream(other):
        assert keeping_place(like) != here and filled(1.0, like, 3) is not kept


@custom_op("doubles_in_place", mutates_args=("x",))
def doubles_in_place(x: Tensor) -> None:
    x.data.mul_(2)  # as a kernel writes: torch does not see it


doubles_in_place.register_fake(lambda x: None)


def test_a_written_argument_has_a_new_version() -> None:
    x = torch.ones(3)
    for call in (doubles_in_place, doubles_in_place.overload):
        before = x._version
        call(x)
        assert x._version > before
    assert x.tolist() == [4, 4, 4]
