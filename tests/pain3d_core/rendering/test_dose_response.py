"""What the issue of a label is: a stronger action unit shows more heat, in its own region, on everyone."""

import pytest
import torch

from pain3d.camera import Camera
from pain3d.facs import ActionUnits
from pain3d.head import Head
from pain3d.mesh import Mesh
from pain3d.rendering import render
from pain3d.rendering.heatmap import displacement

HEAD = Head.default()
PEOPLE = 20
REGION = {4: "brow", 6: "cheek", 7: "lids", 9: "nose", 10: "upper_lip", 43: "eye"}
FRONT = {"fov_degrees": 18.0, "size": 192}


@pytest.mark.parametrize("person", range(PEOPLE))
def test_heat_rises_with_intensity_and_stays_in_its_region(person: int) -> None:
    identity = HEAD.identity_vector(HEAD.sample_identity(21, person))
    steps = {number: range(2) if number == 43 else range(6) for number in REGION}
    faces = [ActionUnits(**{f"AU{number}": i}) for number, levels in steps.items() for i in levels]
    heat = displacement(HEAD, identity, faces)
    masks = [
        (HEAD.regions[f"{REGION[number]}_L"] | HEAD.regions[f"{REGION[number]}_R"]).float()
        for number, levels in steps.items()
        for _ in levels
    ]
    mesh = HEAD(identity, faces)
    seen = render(
        Mesh(mesh.vertices, mesh.joints, mesh.topology),
        Camera.orbit(yaw_degrees=[0.0] * len(faces), **FRONT),
        attributes=torch.stack([heat, heat * torch.stack(masks)], 2),
        outputs=("attributes",),
    ).attributes
    assert seen is not None
    whole, inside = seen.double().sum((1, 2)).unbind(1)
    first = 0
    for number, levels in steps.items():
        rows = slice(first, first + len(levels))
        first += len(levels)
        assert whole[rows][0] == 0, f"AU{number} at 0 must show no heat"
        assert (inside[rows].diff() > 0).all(), f"AU{number}: {inside[rows].tolist()}"
        share = inside[rows][1:] / whole[rows][1:]
        assert (share >= 0.90).all(), f"AU{number}: {share.tolist()} of the heat lies in {REGION[number]}"


def test_one_side_heats_one_side() -> None:
    # Skin at the midline belongs to both halves: the other side takes up to this share of the displacement (worst seen
    # 0.17, AU9 across the bridge of the nose).
    for number in REGION:
        au = ActionUnits(**{f"AU{number}_L": 1 if number == 43 else 5})
        heat = displacement(HEAD, None, [au])[0]
        right = HEAD.template[:, 0] < 0
        assert heat[right].sum() / heat.sum() < 0.2, number
