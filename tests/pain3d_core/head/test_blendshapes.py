"""Folders of OBJ files come in: with a mapping file, or named as ICT-FaceKit's; what is wrong is told in a line."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import pain3d
from pain3d.head import HeadFileError
from pain3d.head.foreign import blendshapes
from pain3d.head.foreign.blendshapes import ICT_SPLIT, ICT_WHOLE, open_folder
from pain3d.head.foreign.loading import HeadNotice
from pain3d.head.foreign.wavefront import read_obj, read_places
from pain3d.random import keyed_generator

spec = importlib.util.spec_from_file_location("other_heads", Path(__file__).with_name("other_heads.py"))
assert spec is not None and spec.loader is not None
other_heads = importlib.util.module_from_spec(spec)
spec.loader.exec_module(other_heads)

SAME = 2e-6  # m: the files have 5 digits of a centimetre; worst seen 9e-7


def write_obj(path: Path, places: np.ndarray, faces: np.ndarray) -> None:
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in places.tolist()]
    path.write_text(
        "mtllib /etc/passwd\n" + "\n".join([*lines, *(f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist())])
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The front of the packaged head in centimetres, its eyeballs last, with some of its units."""
    part, folder = other_heads.Part(), tmp_path_factory.mktemp("blendshapes")
    order = np.concatenate([np.setdiff1d(np.arange(len(part.order)), np.concatenate(part.eyes)), *part.eyes])
    number = np.argsort(order)
    faces, centimetres = number[part.faces], 100 * part.template[order]
    write_obj(folder / "neutral.obj", centimetres, faces)
    units = {"browDownLeft": ["browDownLeft"], "browDownRight": ["browDownRight"]}
    units |= {"mouthFunnel": ["mouthFunnelLeft", "mouthFunnelRight"], "jawOpen": ["jawOpen"]}
    for name, ours in units.items():
        write_obj(folder / f"{name}.obj", centimetres + 100 * sum(part.unit(unit) for unit in ours)[order], faces)
    write_obj(folder / "thin.obj", centimetres * [0.9, 1, 1], faces)
    skin, each = len(order) - sum(map(len, part.eyes)), len(part.eyes[0])
    mapping = {
        "name": "mine", "neutral": "neutral.obj", "metres": 0.01, "licence": "MIT", "credit": "Head: mine, MIT",
        "units": {name: f"{name}.obj" for name in units}, "identity": ["thin.obj"],
        "left_eye": [skin, skin + each - 1], "right_eye": [skin + each, len(order) - 1],
    }  # fmt: skip
    (folder / "pain3d-head.json").write_text(json.dumps(mapping))
    return folder


def test_a_folder_with_a_mapping_file(folder: Path) -> None:
    with pytest.warns(HeadNotice, match=r"OBJ blendshapes: MIT; missing: .*action units 1, 2, 5, 6, 7, 9"):
        head = pain3d.Head.load(folder)
    assert head.source.credit == "Head: mine, MIT" and head.local_names == ("thin",)
    ours = pain3d.Head.default()
    rest = head().vertices
    for unit, names in (
        ("AU4_L", ["browDownLeft"]),
        ("AU22", ["mouthFunnelLeft", "mouthFunnelRight"]),
        ("AU27", ["jawOpen"]),
    ):
        moved = (head(au=pain3d.ActionUnits(**{unit: 5})).vertices - rest)[0].norm(dim=1).numpy()
        rows = [ours.unit_names.index(name) for name in names]
        wanted = other_heads.SCALE * ours.expression_basis[rows].sum(0).norm(dim=1).numpy()
        assert abs(moved.max() - wanted[other_heads.Part().order].max()) < 1e-5
    doses = [pain3d.ActionUnits(AU27=dose) for dose in range(6)]
    assert ((head(au=doses).vertices - rest).norm(dim=(1, 2)).diff() > 0).all()
    assert float((head(pain3d.Identity(local=(1.0,))).vertices - rest).norm(dim=2).max()) > 0.004
    turned = head(leye_pose=head.template.new_tensor([[0, 0.3, 0]])).vertices - rest
    assert set(np.flatnonzero(turned[0].norm(dim=1).numpy() > 1e-4)) <= set(
        np.flatnonzero(head.vertex_parts.numpy() == 1)
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"neutral": "../neutral.obj"}, r"names '../neutral.obj': not a path inside its folder"),
        ({"units": {"browDown_L": "browDownLeft.obj"}}, "unit 'browDown_L' moves no action unit"),
        ({"units": {"browDownLeft": "browDownRight.obj"}}, "browDownLeft moves the other side"),
        ({"units": {"browDownLeft": "neutral.obj"}}, "moves nothing"),
        ({"units": {"browDownLeft": "none.obj"}}, "none.obj: no such file"),
        ({"metres": 1.0}, "is its unit 1 m"),
        ({"metres": 0}, "metres must be in 0..1"),
        ({"licence": None}, "licence is missing"),
        ({"colour": 3}, "colour is unknown"),
        ({"left_eye": [3]}, "left_eye must be its first and last vertex"),
        ({"left_eye": [0, 99999]}, "another version than its eyes"),
    ],
)
@pytest.mark.filterwarnings("ignore::pain3d.head.foreign.loading.HeadNotice")
def test_a_wrong_mapping_is_told_in_a_line(change: dict[str, object], words: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.glob("*.obj"):
        (tmp_path / path.name).hardlink_to(path)
    said = json.loads((folder / "pain3d-head.json").read_text())
    (tmp_path / "pain3d-head.json").write_text(json.dumps({**said, **change}))
    with pytest.raises(HeadFileError, match=words) as caught:
        pain3d.Head.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadFileError, match=r"neither pain3d-head\.json nor"):
        pain3d.Head.load(tmp_path)


def test_ict_facekit_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in of its layout with fewer vertices: its names, its order; each shape moves one vertex."""
    eyes, vertices = ((50, 59), (60, 69)), 90
    for name, value in (("ICT_VERTICES", vertices), ("ICT_EYES", eyes), ("ICT_GLASS", (70, 79))):
        monkeypatch.setattr(blendshapes, name, value)
    rng = keyed_generator(0, "tests/ict")
    places = rng.uniform(-9, 9, (vertices, 3))
    for (first, last), x in zip(eyes, (3.0, -3.0), strict=True):
        places[first : last + 1] = np.array([x, 4, 8]) + rng.uniform(-1, 1, (last - first + 1, 3))
    places[0], places[1] = [4, 0, 9], [-4, 0, 9]
    lines = ["v " + " ".join(f"{k:.4f}" for k in row) for row in places.tolist()]
    glass = "71 72 73"
    names = [*ICT_WHOLE, *(f"{stem}_{side}" for stem in ICT_SPLIT for side in "LR"), "cheekRaiser_L", "cheekRaiser_R"]
    for number, name in enumerate(["generic_neutral_mesh", "identity000", *names]):
        row = 1 if name.endswith("_R") else 0
        x, y, z = places[row]
        moved = [*lines]
        moved[row] = f"v {x:.4f} {y + number / 10:.4f} {z:.4f}"
        (tmp_path / f"{name}.obj").write_text("\n".join([*moved, "f 1 2 3 4", f"f {glass}"]))
    with pytest.warns(HeadNotice, match="ICT-FaceKit: MIT; missing"):
        head = pain3d.Head.load(tmp_path)
    assert head.faces.tolist() == [[0, 1, 2], [0, 2, 3]]  # what is transparent at its maker's is not shown
    moved = head(au=pain3d.ActionUnits(AU6_L=5)).vertices - head().vertices
    wanted = (2 + names.index("cheekRaiser_L")) / 1000  # m: AU6 is its cheek raiser
    assert abs(float(moved[0, 0, 1]) - wanted) < SAME and float(moved[0, 1:].abs().max()) == 0
    assert open_folder(tmp_path).source.credit.startswith("Head: ICT-FaceKit, MIT")


def test_what_an_obj_may_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.obj"
    quad = ["v 0 0 0", "v 1 0 0 0.5", "v 1 1 0", "v 0 1 0", "vt 0 0", "vt 1 1", "f 1/1 2/2 3/1 4/2", "f -1 -2 -3"]
    path.write_text("\n".join(["# x", "mtllib ../../secret", *quad]))
    mesh = read_obj(path)
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [3, 2, 1]] and mesh.uvs is None
    for content, words in (
        ("v 0 0\nf 1 1 1", ":1: v needs 3 finite numbers"),
        ("v 0 0 0\nv 0 1e999 0\nf 1 1 1", ":2: v needs 3 finite"),
        ("v 0 0 nan\n", ":1: v needs 3 finite"),
        ("v 0 0 0\nf 1 1 2", ":2: index 2 of 1"),
        ("v 0 0 0\nf 1 1 0", ":2: index 0 of 1"),
        ("v 0 0 0\nf 1 1 -2", ":2: index -2 of 1"),
        ("v 0 0 0\nf 1 1 x", "is no index"),
        ("v 0 0 0\nf 1 1", ":2: a face of 2 corners"),
        ("v 0 0 0\nf " + "1 " * 5_000_000, "corners"),
        ("v " + "0" * 10_000_000 + " 0 0\nf 1 1 1\nf 9 9 9", "index 9 of 1"),
        ("v 0 0 0\n", "no face in it"),
        ("<html>log in</html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ):
        path.write_text(content)
        with pytest.raises(HeadFileError, match=words) as caught:
            read_obj(path)
        assert len(str(caught.value)) < 300
    with pytest.raises(HeadFileError, match="no such file"):
        read_places(tmp_path / "none.obj")
