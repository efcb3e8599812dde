"""Faces age and differ by sex where anthropometry says, and by as much; sides differ as those of people do."""

import numpy as np
import pytest
import torch

from pain3d.head import Head, Identity, sample_identity
from pain3d.head.ageing import AGED, OF_SEX, local_amounts, pair_name
from pain3d.kernels.deformation import vertex_normals

HEAD = Head.default()
LANDMARK = dict(zip(HEAD.landmark_names, HEAD.landmarks.tolist(), strict=True))
EARS = torch.nonzero(HEAD.ear_mask * (HEAD.template[:, 0] > 0)).flatten()
GONIA = [
    int((HEAD.template * 1000 - torch.tensor([side * 58.0, -44.0, 27.0])).norm(dim=1).argmin()) for side in (1, -1)
]


def face(age: float, sex: float, weight: float = 0.5) -> torch.Tensor:
    """Vertices [V, 3] of an average face, mm."""
    return 1000 * HEAD(Identity(age=age, sex=sex, weight=weight)).vertices[0]


def between(points: torch.Tensor, first: str, second: str) -> float:
    return float((points[LANDMARK[first]] - points[LANDMARK[second]]).norm())


@pytest.mark.parametrize("sex", [0.0, 1.0])
def test_ears_grow_and_lips_thin(sex: float) -> None:
    young, old = face(25, sex), face(85, sex)
    ear = float(np.ptp(old[EARS, 1].numpy()) - np.ptp(young[EARS, 1].numpy()))
    assert 6 < ear < 15  # 60 years of 0.162 and 0.178 mm (Meijerman 2007) are 9.7 and 10.7
    red = [between(points, "ibug_51", "ibug_62") for points in (young, old)]
    assert 0.55 < red[1] / red[0] < 0.9  # up to 41 and 33 % thinner (Ramaut 2019)
    white = [between(points, "ibug_33", "ibug_51") for points in (young, old)]
    assert white[1] > 1.15 * white[0]
    brow = [float(points[LANDMARK["ibug_25"], 1] - points[LANDMARK["ibug_44"], 1]) for points in (young, old)]
    assert brow[1] < brow[0]


def test_jaws_of_women_are_narrower() -> None:
    width = {sex: float((face(30, sex)[GONIA[0]] - face(30, sex)[GONIA[1]]).norm()) for sex in (0.0, 1.0)}
    assert 90 < width[0.0] < 102 and 6 < width[1.0] - width[0.0] < 18, width


def test_the_lean_are_hollow_when_old() -> None:
    """Weight tells more in an old cheek than in a young one."""
    cheek = int((HEAD.template * 1000 - torch.tensor([52.0, -27.0, 60.0])).norm(dim=1).argmin())
    gain = [float(face(age, 0.0, 0.9)[cheek, 0] - face(age, 0.0, 0.1)[cheek, 0]) for age in (25, 85)]
    assert gain[1] > gain[0] + 0.5, gain


def test_tables_name_shapes_of_the_head() -> None:
    known = {pair_name(name) for name in HEAD.local_names}
    assert set(AGED) | set(OF_SEX) <= known
    macros = ["asian-female-young", "asian-male-old", "male-old-minmuscle-minweight"]
    amounts = local_amounts(["l-ear-lobe-decr|incr", "head-oval"], macros)
    lobe, oval = AGED["ear-lobe-decr|incr"], OF_SEX["head-oval"]
    assert torch.allclose(amounts, torch.tensor([[0, oval.women], [lobe.men, oval.men], [0, 0]]))


def test_sides_differ_as_in_people() -> None:
    """Mean distance from the mirror image after the best rigid fit; Skomina et al. 2020: 0.67 to 0.97 mm."""
    people = [sample_identity(5, number, HEAD.local_names, age=(25, 75)) for number in range(24)]
    place = HEAD.template * 1000
    seen = (HEAD.vertex_parts == HEAD.part_names.index("skin")) & (HEAD.ear_mask == 0) & (place[:, 2] > 20)
    seen &= (place[:, 1] > -85) & (place[:, 1] < 75)
    vertices = 1000 * HEAD(people).vertices
    apart = []
    for points, normals in zip(vertices.double(), vertex_normals(vertices, HEAD.faces).double(), strict=True):
        here, normal = points[seen], normals[seen]
        other = points[HEAD.mirror][seen] * torch.tensor([-1.0, 1, 1])
        for _ in range(3):
            off = ((other - here) * normal).sum(1, keepdim=True)
            turn = torch.linalg.lstsq(torch.cat([torch.linalg.cross(other, normal), normal], 1), -off).solution[:, 0]
            other = other + torch.linalg.cross(turn[:3].expand_as(other), other) + turn[3:]
        apart.append(float(((other - here) * normal).sum(1).abs().mean()))
    assert 0.4 < np.mean(apart) < 1.0 and max(apart) < 1.6, apart
