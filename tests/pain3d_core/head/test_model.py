"""The head model: neutral, shapes, pose, gradients, symmetry, bad input."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pain3d.facs import ActionUnits
from pain3d.head import Head
from pain3d.head.joints import axis_angle_to_matrix
from pain3d.kernels import deform
from pain3d.mesh import Surface
from pain3d.rendering.heatmap import displacement_of_each, millimetres_moved
from pain3d.skin import sample_skin, surface

HEAD = Head.default()
OF_A_PERSON = ("growth", "resting", "depth", "cover")


def test_sizes_parts_and_landmarks() -> None:
    assert HEAD.template.shape == (5217, 3)
    assert len(HEAD.local_names) >= 100
    assert set(HEAD.topology.part_names) >= {"skin", "mouth", "neck", "left_eye", "right_eye", "tongue", "lashes"}
    assert len(HEAD.landmarks) == 74 and HEAD.landmark_names[-1] == "left_pupil"
    uvs = HEAD.topology.uvs
    assert uvs.min() >= 0 and uvs.max() <= 1
    points = HEAD.template[HEAD.landmarks]
    chin, tip, right_pupil, left_pupil = points[8], points[30], points[72], points[73]
    assert chin[1] < tip[1] < left_pupil[1] and left_pupil[0] > 0 > right_pupil[0]
    assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]  # eye corners from the subject's right
    assert points[0, 0] < -0.05 and points[16, 0] > 0.05
    # Millimetres between the pupils of adults: 52 to 78 (Dodgson 2004).
    assert 0.050 < left_pupil[0] - right_pupil[0] < 0.076


def test_neutral_template_is_returned_as_it_is() -> None:
    mesh = HEAD()
    # A seam vertex 7e-6 m too far out of the eyeball is the only one that the lid limits move.
    assert (mesh.vertices[0] - HEAD.template).norm(dim=1).max() < 1e-5


def test_lips_meet_for_everybody() -> None:
    people = [HEAD.sample_identity(3, k) for k in range(20)]
    points = HEAD(people).vertices[:, HEAD.landmarks]
    gap = (points[:, 62, 1] - points[:, 66, 1]) * 1000
    assert gap.max() < 0.1, gap  # millimetres; lips press into each other by 0.8


def test_mirror_map_and_symmetry() -> None:
    mirror = HEAD.mirror
    assert torch.equal(mirror[mirror], torch.arange(len(mirror)))
    flip = torch.tensor([-1.0, 1.0, 1.0])
    assert (HEAD.template[mirror] * flip - HEAD.template).abs().max() < 1e-5
    left = HEAD(None, ActionUnits(AU4_L=5, AU6_L=3, AU10_L=4, AU43_L=1)).vertices[0]
    right = HEAD(None, ActionUnits(AU4_R=5, AU6_R=3, AU10_R=4, AU43_R=1)).vertices[0]
    # The source's left and right targets are rounded apart: 0.1 mm steps.
    assert (left[mirror] * flip - right).norm(dim=1).max() < 8e-4


def test_every_action_unit_moves_millimetres_at_its_place() -> None:
    from pain3d.facs import AU_NUMBERS

    neutral = HEAD().vertices[0]
    for number in AU_NUMBERS:
        moved = HEAD(None, ActionUnits(**{f"AU{number}": 1 if number == 43 else 5})).vertices[0] - neutral
        reach = 1000 * moved.norm(dim=1).max()
        assert 2 < reach < 45, (number, reach)


def test_jaw_turns_its_joint_and_arrives_where_the_shape_says() -> None:
    half, full = (HEAD(None, ActionUnits(AU27=a)).vertices[0] for a in (3, 5))
    chin = HEAD.landmarks[8]
    neutral = HEAD.template[chin]
    drop = 1000 * (neutral - full[chin])
    assert 20 < drop[1] < 45 and drop[2] > 3  # down and, on the joint's arc, back
    # Half way the chin is on the arc, off the straight line between its ends.
    straight = neutral + 0.56 * (full[chin] - neutral)
    assert 1000 * (half[chin] - straight).norm() > 0.3


def test_pose_turns_the_head_but_not_the_shoulders() -> None:
    turned = HEAD(neck_pose=torch.tensor([[0.0, 0.3, 0.0]])).vertices[0]
    shoulder = HEAD.template[:, 1].argmin()
    assert (turned[shoulder] - HEAD.template[shoulder]).norm() < 1e-6
    tip = HEAD.landmarks[30]
    assert turned[tip, 0] - HEAD.template[tip, 0] > 0.02  # positive yaw looks to the subject's left
    looked = HEAD(leye_pose=torch.tensor([[0.0, 0.2, 0.0]])).vertices[0]
    changed = torch.nonzero((looked - HEAD().vertices[0]).norm(dim=1) > 1e-6).flatten()
    assert set(HEAD.topology.vertex_parts[changed].tolist()) == {HEAD.topology.part_names.index("left_eye")}


def test_a_row_does_not_depend_on_the_batch() -> None:
    person = HEAD.identity_vector(HEAD.sample_identity(0, 1))
    faces = [ActionUnits(AU4=k % 6, AU6=(2 * k) % 6, AU43=k % 2) for k in range(7)]
    together = HEAD(person, faces).vertices
    for index, face in enumerate(faces):
        assert torch.equal(HEAD(person, face).vertices[0], together[index])


def test_who_and_what_is_repeated_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """3 people and 4 faces of theirs among 12 meshes, 12 turns of the neck: the bits of computing all 12."""
    person = HEAD.identity_vector([HEAD.sample_identity(0, number) for number in (0, 1, 2)])[[0, 0, 1, 2] * 3]
    faces = HEAD.au_rows([ActionUnits(AU4=3), ActionUnits(AU43=1), ActionUnits(AU43=1), ActionUnits(AU4=3)] * 3)
    turns = 0.1 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    with monkeypatch.context() as patched:
        patched.setattr("pain3d.head.model.distinct", lambda rows: (rows, torch.arange(len(rows))))
        each = HEAD(person, faces, neck_pose=turns)
    computed = []

    def counting(template: torch.Tensor, basis: torch.Tensor, coefficients: torch.Tensor, **options: object) -> object:
        if basis is HEAD.identity_basis or basis is HEAD.expression_basis:
            computed.append((basis is HEAD.identity_basis, len(coefficients)))
        return deform(template, basis, coefficients, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("pain3d.head.model.deform", counting)
    together = HEAD(person, faces, neck_pose=turns)
    assert computed == [(True, 3), (False, 4)]
    assert torch.equal(together.vertices, each.vertices)
    computed.clear()
    posed = HEAD(None, faces[:1], neck_pose=turns)
    assert computed == [(True, 1), (False, 1)] and len(posed) == 12


def some_people() -> tuple[torch.Tensor, Surface]:
    """Three of them: coefficients, and hair, cloth and wrinkles."""
    looks = [sample_skin(0, row, age=30 + 20 * row, sex=row / 2, ancestry=(1, 0, 0)) for row in range(3)]
    grown = [surface(HEAD, look) for look in looks]
    worn = {name: torch.cat([getattr(each, name) for each in grown]) for name in OF_A_PERSON}
    return HEAD.identity_vector([HEAD.sample_identity(0, row) for row in range(3)]), replace(grown[0], **worn)


@pytest.mark.parametrize("with_surface", [False, True])
def test_people_by_index_are_those_of_every_row(with_surface: bool) -> None:
    people, worn = some_people()
    generator = torch.Generator().manual_seed(1)
    au = 5 * torch.rand(7, *HEAD.au_rows(None).shape[1:], generator=generator).clamp(max=0.2)
    neck = 0.2 * torch.rand(7, 3, generator=generator)
    whose = torch.tensor([2, 0, 0, 1, 2, 2, 0], dtype=torch.int32)
    each = replace(worn, **{name: getattr(worn, name)[whose] for name in OF_A_PERSON}) if with_surface else None
    own = worn if with_surface else None
    by_row = HEAD(people[whose], au, neck_pose=neck, surface=each)
    by_index = HEAD(people, au, neck_pose=neck, surface=own, person_index=whose)
    for name in ("vertices", "joints", "occlusion", "up", *(("wrinkles",) if with_surface else ())):
        assert torch.equal(getattr(by_row, name), getattr(by_index, name)), name
    still = HEAD(people[whose], surface=each).vertices
    moved = HEAD(people[whose], au, surface=each).vertices
    heat = displacement_of_each(HEAD, people, au, own, whose)
    assert torch.equal(heat, millimetres_moved(still, moved))
    assert torch.equal(displacement_of_each(HEAD, people[whose], au, each), heat)


def test_one_expression_of_everybody_by_index() -> None:
    people, worn = some_people()
    order = torch.tensor([2, 0, 1, 1])
    mesh = HEAD(people, ActionUnits(AU4=4), surface=worn, person_index=order)
    assert torch.equal(mesh.vertices[2], mesh.vertices[3]) and not torch.equal(mesh.vertices[0], mesh.vertices[1])
    alone = HEAD(people[:1], [ActionUnits(AU4=4), ActionUnits(AU9=4)], person_index=torch.tensor([0, 0]))
    assert torch.equal(alone.vertices, HEAD(people[:1], [ActionUnits(AU4=4), ActionUnits(AU9=4)]).vertices)


@pytest.mark.parametrize(
    ("index", "rows", "message"),
    [
        (torch.tensor([0, 3]), 3, "person_index must lie in 0 … 2"),
        (torch.tensor([0.0]), 3, "person_index must be int32 or int64"),
        (torch.tensor([[0]]), 3, r"person_index must be \[B\]"),
        (torch.tensor([0, 1, 2, 0]), 2, "au must have 1 or 4 rows, got 2"),
    ],
)
def test_a_wrong_person_index_is_named(index: torch.Tensor, rows: int, message: str) -> None:
    people, _ = some_people()
    with pytest.raises(ValueError, match=message):
        HEAD(people, HEAD.au_rows(None).expand(rows, -1, -1), person_index=index)


def test_gradients_reach_every_argument() -> None:
    torch.manual_seed(0)
    inputs = {
        "identity": HEAD.identity_vector(HEAD.sample_identity(0)) + 0.01,
        "au": torch.full((1, 24, 2), 0.5),
        "expression": torch.rand(1, len(HEAD.unit_names)) * 0.1,
        **{name: torch.rand(1, 3) * 0.1 for name in ("neck_pose", "jaw_pose", "leye_pose", "reye_pose", "transl")},
    }
    for tensor in inputs.values():
        tensor.requires_grad_()
    HEAD(**inputs).vertices.square().sum().backward()
    for name, tensor in inputs.items():
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.abs().max() > 0, name


def test_rotations_are_rotations() -> None:
    angles = torch.tensor([[0.0, 0.0, 0.0], [1e-6, 0, 0], [0.3, -0.2, 0.5]], dtype=torch.float64, requires_grad=True)
    matrices = axis_angle_to_matrix(angles)
    identity = torch.eye(3, dtype=torch.float64)
    assert (matrices @ matrices.transpose(1, 2) - identity).abs().max() < 1e-12
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (angles[2:].detach().requires_grad_(),))
    y = axis_angle_to_matrix(torch.tensor([0.0, np.pi / 2, 0.0], dtype=torch.float64)) @ torch.tensor(
        [0.0, 0.0, 1.0], dtype=torch.float64
    )
    assert torch.allclose(y, torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identity": torch.zeros(1, 7)}, r"identity must be \[B, 201\], got \[1, 7\]"),
        ({"au": torch.zeros(1, 24)}, r"au must be \[B, 24, 2\], got \[1, 24\]"),
        ({"expression": torch.zeros(1, 3)}, r"expression must be \[B, 69\], got \[1, 3\]"),
        ({"neck_pose": torch.zeros(1, 4)}, r"neck_pose must be \[B, 3\], got \[1, 4\]"),
        ({"neck_pose": torch.zeros(2, 3), "transl": torch.zeros(3, 3)}, r"neck_pose must have 1 or 3 rows, got 2"),
    ],
)
def test_wrong_shapes_name_the_argument(arguments: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        HEAD(**arguments)  # type: ignore[arg-type]


def test_landmarks_stand_on_vertices_or_where_brows_and_mouths_have_them() -> None:
    places = HEAD.landmark_points(HEAD.template)
    on_vertex = HEAD.landmark_weights[:, 0] == 1
    assert torch.equal(places[on_vertex], HEAD.template[HEAD.landmarks[on_vertex]]) and (~on_vertex).sum() == 14
    for left, right in zip((*range(26, 21, -1), 54, 64), (*range(17, 22), 48, 60), strict=True):
        mirrored = places[HEAD.landmark_names.index(f"ibug_{right}")] * torch.tensor([-1.0, 1.0, 1.0])
        torch.testing.assert_close(places[HEAD.landmark_names.index(f"ibug_{left}")], mirrored, rtol=0, atol=1e-5)
    across = 1000 * places[[HEAD.landmark_names.index(f"ibug_{number}") for number in range(22, 27)], 0]
    torch.testing.assert_close(across, torch.tensor([13.5, 23.5, 36.5, 49.0, 56.5]), rtol=0, atol=1e-3)
    moved = HEAD.landmark_points(torch.stack([HEAD.template, HEAD.template + 0.01]), slice(17, 27))
    torch.testing.assert_close(moved[1] - moved[0], torch.full((10, 3), 0.01), rtol=0, atol=1e-6)


def test_corners_of_the_mouth_stand_where_it_opens() -> None:
    shut, wide = HEAD(None, [ActionUnits(), ActionUnits(AU27=3)]).vertices
    corner, inner, upper, lower = (HEAD.landmark_names.index(f"ibug_{number}") for number in (54, 64, 63, 65))
    closed, opened = HEAD.landmark_points(shut) * 1000, HEAD.landmark_points(wide) * 1000
    assert opened[upper, 1] - opened[lower, 1] > 10  # mm
    # Seen from the front, the last vertex at which the lips part lies near both contours' corners: 1.5 mm at most.
    parting = int(HEAD.landmarks[inner])
    for points, vertices in ((closed, shut), (opened, wide)):
        apart = (points[[corner, inner], :2] - 1000 * vertices[parting, :2]).norm(dim=1)
        assert (apart < 2).all(), apart
        assert (points[[corner, inner], 2] > 1000 * vertices[parting, 2]).all()  # before it, where it is seen


@pytest.mark.parametrize("turned", [0.0, 1.3])
def test_landmarks_of_shut_lids_lie_on_the_line_that_is_seen(turned: float) -> None:
    faces = [ActionUnits(), ActionUnits(AU43=1), ActionUnits(AU43=1, AU7=5)]
    roll = torch.tensor([[0.0, 0.0, turned]])
    places = 1000 * HEAD.landmark_points(HEAD(None, faces, global_orient=roll).vertices)
    up = torch.tensor([-math.sin(turned), math.cos(turned), 0.0])
    lower, upper = HEAD.lid_landmarks
    opening = (places[:, upper] - places[:, lower]) @ up
    assert (opening[0] > 6).all() and (opening[1:].abs() < 0.3).all(), opening
