"""Hair that others made for the base mesh: read, hung on a person's head, carried with pose and expression."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pain3d.colour import srgb_to_linear
from pain3d.console.refused import RefusedError
from pain3d.doors.makehuman import parse_binding
from pain3d.facs.action_units import ActionUnits
from pain3d.hair.brought import TEXELS, card_layers, hang, read_item
from pain3d.head import Head
from pain3d.head.base_mesh import read_base_mesh
from pain3d.head.foreign.wavefront import WavefrontMesh

HEAD = """basemesh hm08
name strip
obj_file strip.obj
x_scale {0} {1} 2.0
y_scale {0} {1} 2.0
z_scale {0} {1} 2.0
verts 0
material strip.mhmat
"""


def head_vertex(x: float, y: float, z: float) -> tuple[int, int]:
    """The head's vertex nearest to a place in metres, and its number in the base mesh."""
    count = len(read_base_mesh().vertices)
    square = ((Head.default().template[:count].numpy() - np.array([x, y, z])) ** 2).sum(1)
    skin = Head.default().topology.vertex_parts.numpy()[:count] == 0
    own = int(np.where(skin, square, np.inf).argmin())
    return own, int(read_base_mesh().vertices[own])


def strip(rows: list[str]) -> tuple[str, WavefrontMesh]:
    """A binding of so many rows, and a fan of triangles over them."""
    left, right = head_vertex(-0.08, 0.03, 0.0)[1], head_vertex(0.08, 0.03, 0.02)[1]
    count = len(rows)
    faces = np.array([[0, k, k + 1] for k in range(1, count - 1)])
    uvs = np.stack([np.linspace(0, 1, count) ** 2, np.linspace(1, 0, count)], 1)
    return HEAD.format(left, right) + "\n".join(rows), WavefrontMesh(np.zeros((count, 3)), faces, uvs, faces)


def test_a_vertex_stands_where_its_binding_says_and_follows() -> None:
    head = Head.default()
    (crown, crown_base), (brow, brow_base) = head_vertex(0, 0.14, -0.02), head_vertex(0.03, 0.045, 0.11)
    helper = int(read_base_mesh().hung[0])
    text, mesh = strip(
        [f"{crown_base}", f"{crown_base} {brow_base} {helper} 0.5 0.5 0 0 0 0", f"{helper}", f"{brow_base}"]
    )
    identity = head.identity_vector(head.sample_identity(3, 1))
    still = head(identity).vertices[0]
    cards = hang(parse_binding(text, "strip"), mesh, head, still)
    assert torch.allclose(cards.points[[0, 3]], still[[crown, brow]], atol=1e-6)
    assert torch.allclose(cards.points[1], still[[crown, brow]].mean(0), atol=1e-6)
    template = hang(parse_binding(text, "strip"), mesh, head, head.template)
    assert np.allclose(template.points[2], read_base_mesh().hung_places[0], atol=1e-6)
    au = torch.from_numpy(ActionUnits(AU1=5, AU2=5).as_array()).float()[None]
    neck = torch.tensor([[0.1, 0.4, -0.2]])
    posed = head(identity, au, neck_pose=neck).vertices
    laid = card_layers(cards, head, still, posed, torch.ones(1, 4, 4, 4))
    assert torch.allclose(laid.vertices[[0, 3]], posed[0, [crown, brow]], atol=2e-5)  # above the neck
    assert (posed[0, brow] - head(identity, neck_pose=neck).vertices[0, brow]).norm() > 0.002  # so the brow did move
    assert (laid.vertices[2] - cards.points[2]).norm() > 0.005
    assert torch.allclose(card_layers(cards, head, still, still[None], torch.ones(1, 4, 4, 4)).vertices, cards.points,
                          atol=1e-6)  # fmt: skip


def test_offsets_grow_with_the_head() -> None:
    head = Head.default()
    crown_base = head_vertex(0, 0.14, -0.02)[1]
    rows = [f"{crown_base}", f"{crown_base} {crown_base} {crown_base} 1 0 0 0.1 0.2 0.3", f"{crown_base} {crown_base} "
            f"{crown_base} 1 0 0 -0.1 0.2 0.3"]  # fmt: skip
    text, mesh = strip(rows)
    small, large = (hang(parse_binding(text, "strip"), mesh, head, head.template * k) for k in (1.0, 1.1))
    offset = (small.points[1] - small.points[0]).numpy()
    left, right = (head.template[head_vertex(x, 0.03, z)[0]].numpy() for x, z in ((-0.08, 0.0), (0.08, 0.02)))
    assert np.allclose(offset, np.array([0.01, 0.02, 0.03]) * np.abs(left - right) / 0.2, atol=1e-6)
    assert np.allclose((large.points[1] - large.points[0]).numpy(), 1.1 * offset, atol=1e-6)


def test_an_item_is_read_with_what_lies_beside_it(tmp_path: Path) -> None:
    text, _ = strip([f"{head_vertex(0, 0.14, 0)[1]}"] * 3)
    (tmp_path / "strip.mhclo").write_text(text)
    (tmp_path / "strip.mhmat").write_text("diffuseTexture strip.png\n")
    (tmp_path / "strip.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n")
    with pytest.raises(RefusedError, match=r"names 'strip\.png': missing"):
        read_item(tmp_path / "strip.mhclo")
    seen = np.full((8, 8, 4), (30, 60, 120, 128), np.uint8)
    cv2.imwrite(str(tmp_path / "strip.png"), seen)
    item = read_item(tmp_path / "strip.mhclo")
    assert item.texture.shape == (1, TEXELS, TEXELS, 4) and item.mesh.faces.tolist() == [[0, 1, 2]]
    wished = [*srgb_to_linear(np.array([120, 60, 30]) / 255), 128 / 255]
    assert item.texture[0, 9, 9].tolist() == pytest.approx(wished, abs=1e-6)
    cards = hang(item.binding, item.mesh, Head.default(), Head.default().template)
    assert len(cards.points) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("hm08", "g3f"), "made for the base mesh 'g3f'"),
        (("obj_file strip.obj", ""), "no obj_file"),
        (("z_scale", "w_scale"), "no z_scale"),
        ((" 2.0\n", " nan\n"), "x_scale|finite numbers"),
        (("verts 0\n", "verts 0\n1 2 3\n"), ":8: a row needs 1 or 9 finite numbers"),
        (("verts 0\n", "verts 0\n19158\n"), "a vertex that the base mesh hm08 has not"),
        (("verts 0\n", "verts 0\n13000\n"), "vertices, of which the binding has"),
    ],
)
def test_bindings_of_strangers_are_refused_in_one_line(change: tuple[str, str], said: str) -> None:
    text, mesh = strip([f"{head_vertex(0, 0.14, 0)[1]}"] * 3)
    with pytest.raises(RefusedError, match=said) as refused:
        hang(parse_binding(text.replace(*change), "strip.mhclo"), mesh, Head.default(), Head.default().template)
    assert "\n" not in str(refused.value)


def test_what_the_head_lacks_is_refused() -> None:
    absent = int(np.setdiff1d(np.arange(13380), read_base_mesh().vertices)[0])  # of the body
    text, mesh = strip([f"{absent}"] * 3)
    with pytest.raises(RefusedError, match="bound to parts of the body that the head lacks"):
        hang(parse_binding(text, "shoe"), mesh, Head.default(), Head.default().template)


@pytest.mark.needs_wheel
def test_real_hair_lies_on_heads() -> None:
    folder = Path(os.environ.get("PAIN3D_MAKEHUMAN", "."))
    items = sorted(path for path in folder.glob("hair/*/*.mhclo") if list(path.parent.glob("*.png")))
    if not items:
        pytest.skip("no MakeHuman assets at hand (set PAIN3D_MAKEHUMAN to a folder of them)")
    head = Head.default()
    for path in items:
        item = read_item(path)
        for number in range(3):
            still = head(head.identity_vector(head.sample_identity(3, number))).vertices[0]
            cards = hang(item.binding, item.mesh, head, still, path.stem)
            above = cards.points[cards.points[:, 1] > 0.09]  # m, above the brows: on the skull or outside of it
            nearest = torch.cdist(above, still).min(1)
            middle = torch.tensor([0.0, 0.05, 0.0])
            inside = (above - middle).norm(dim=1) < (still[nearest.indices] - middle).norm(dim=1) - 0.004
            assert len(above) > 50 and nearest.values.max() < 0.06, path.stem
            assert inside.float().mean() < 0.05, (path.stem, number)
