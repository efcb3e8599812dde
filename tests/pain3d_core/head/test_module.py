"""A head is a module: its state, copies, pickles and moves are what everybody expects of one."""

import copy
import io
import pickle

import pytest
import torch

from pain3d.facs import ActionUnits
from pain3d.head import Head
from pain3d.head.assets import DEFAULT_HEAD
from pain3d.mesh import Mesh
from pain3d.skin import sample_skin, surface

FACES = [ActionUnits(AU4=3, AU6=2), ActionUnits(AU26=4, AU43=1)]


@pytest.fixture(scope="module")
def head() -> Head:
    """A copy of our own: `Head.default()` is everybody's."""
    return copy.deepcopy(Head.default())


def seen(head: Head) -> list[torch.Tensor]:
    """What meshes of a head hold, of two people with hair and wrinkles."""
    person = head.identity_vector([head.sample_identity(0, number) for number in range(2)])
    mesh: Mesh = head(person, FACES, surface=surface(head, sample_skin(0, 0, age=70, sex=1.0, ancestry=(1, 0, 0))))
    assert mesh.occlusion is not None and mesh.wrinkles is not None
    return [mesh.vertices, mesh.joints, mesh.occlusion, mesh.wrinkles]


def same(one: Head, other: Head) -> bool:
    return all(torch.equal(a, b) for a, b in zip(seen(one), seen(other), strict=True))


def test_state_holds_every_tensor_and_comes_back(head: Head) -> None:
    state = head.state_dict()
    assert not list(head.parameters()) and state.keys() == dict(head.named_buffers()).keys()
    held = [name for name, value in vars(head).items() if isinstance(value, torch.Tensor)]
    assert not held, "a tensor that no move would find"
    other = copy.deepcopy(head)
    for buffer in other.buffers():
        buffer.zero_()
    assert not torch.equal(other.template, head.template)
    other.load_state_dict(state)
    assert same(other, head)


def test_a_copy_is_a_copy(head: Head) -> None:
    before = seen(head)
    other = copy.deepcopy(head)
    assert same(other, head) and other.template.data_ptr() != head.template.data_ptr()
    other.expression_basis.zero_()
    assert all(torch.equal(a, b) for a, b in zip(seen(head), before, strict=True))
    assert not torch.equal(other(None, FACES).vertices, head(None, FACES).vertices)


def test_it_can_be_pickled_and_saved(head: Head) -> None:
    assert same(pickle.loads(pickle.dumps(head)), head)
    memory = io.BytesIO()
    torch.save(head.state_dict(), memory)
    memory.seek(0)
    other = Head.load(DEFAULT_HEAD)
    other.load_state_dict(torch.load(memory, weights_only=True))
    assert same(other, head)


def test_to_moves_in_place_and_on_copies(head: Head) -> None:
    assert head.to("cpu") is head and head.on("cpu") is head and head.on(head.device) is head
    there = head.on("meta")
    assert there is not head and there.device.type == "meta" and head.device.type == "cpu"
    assert all(buffer.is_meta for buffer in there.buffers()) and there.topology.faces.is_meta
    assert there.regions["brow_L"].is_meta


def test_double_computes_in_double(head: Head) -> None:
    exact = copy.deepcopy(head).double()
    assert exact.faces.dtype == torch.int32 and exact.template.dtype == torch.float64
    for name, one, other in zip(("vertices", "joints", "occlusion", "wrinkles"), seen(exact), seen(head), strict=True):
        assert one.dtype == torch.float64, name
        # worst seen 1.0e-7 m, 1.0e-8 m, 7.7e-8 and 6.0e-8: of numbers up to 1, one or two units in the last place
        torch.testing.assert_close(other.double(), one, rtol=0, atol=3e-7)


def test_half_is_refused_by_name(head: Head) -> None:
    with pytest.raises(ValueError, match="template must be float32 or float64, got float16"):
        copy.deepcopy(head).half()(None, FACES)


def test_hooks_see_the_call(head: Head) -> None:
    other, meshes = copy.deepcopy(head), []
    other.register_forward_hook(lambda module, arguments, mesh: meshes.append(mesh))
    assert other(None, FACES) is meshes[0]
