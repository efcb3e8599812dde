"""What rides on the surface: occlusion that follows the expression, wrinkles, growth, and the file behind them."""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from pain3d.facs import AU_NUMBERS, ActionUnits
from pain3d.facs.rig import action_weights
from pain3d.head import Head, HeadFileError
from pain3d.head.assets import DEFAULT_HEAD
from pain3d.head.surface_detail import OCCLUSION_ENDING
from pain3d.mesh import Surface
from tools.build_occlusion import sky_seen

HEAD = Head.default()
PACKAGED = DEFAULT_HEAD.with_name(DEFAULT_HEAD.stem + OCCLUSION_ENDING)
LANDMARK = dict(zip(HEAD.landmark_names, HEAD.landmarks.tolist(), strict=True))


def part(name: str) -> torch.Tensor:
    return HEAD.topology.vertex_parts == HEAD.topology.part_names.index(name)


def occlusion(**units: float) -> torch.Tensor:
    seen = HEAD(None, ActionUnits(**units)).occlusion
    assert seen is not None
    return seen[0]


def some_surface(people: int = 1, seed: int = 0) -> Surface:
    generator = torch.Generator().manual_seed(seed)
    count = len(HEAD.template)
    return Surface(
        growth=0.01 * torch.rand(people, count, generator=generator),
        resting=torch.rand(people, count, 2, generator=generator),
        depth=torch.rand(people, generator=generator),
        creases=torch.rand(len(AU_NUMBERS), 2, count, 2, generator=generator),
        cover=torch.ones(people),
    )


def test_neutral_occlusion_is_that_of_the_topology() -> None:
    assert torch.equal(occlusion(), HEAD.topology.occlusion)


def test_occlusion_follows_the_expression() -> None:
    still, eyes = occlusion(), part("left_eye") | part("right_eye")
    inside = part("mouth") | part("tongue") | part("upper_teeth") | part("lower_teeth")
    front = eyes & (HEAD.template[:, 2] > 0.075)
    assert (occlusion(AU27=5) - still)[inside].mean() > 0.02  # seen 0.035
    assert (occlusion(AU43=1) - still)[front].mean() < -0.2  # seen -0.4: lids lie on the eyeballs
    assert (occlusion(AU5=5) - still)[eyes].mean() > 0.01
    assert (occlusion(AU7=5) - still)[eyes].mean() < -0.02
    brow = HEAD.regions["brow_L"] & part("skin")
    assert (occlusion(AU4=5) - still)[brow].min() < -0.1  # the lid's fold below the brow
    for number in AU_NUMBERS:
        change = occlusion(**{f"AU{number}": 1 if number == 43 else 5})
        assert change.min() >= 0 and change.max() <= 1


def test_one_side_darkens_one_side() -> None:
    still, left = occlusion(), occlusion(AU43_L=1)
    assert torch.equal(left[part("right_eye")], still[part("right_eye")])
    assert (left - still)[part("left_eye")].min() < -0.3
    right = occlusion(AU43_R=1) - still
    unclamped = (occlusion(AU43_R=1) > 0.02) & (left[HEAD.mirror] > 0.02) & (left < 0.98)
    assert unclamped.sum() > 4000
    assert torch.allclose((left - still)[HEAD.mirror][unclamped], right[unclamped], atol=0.012)  # steps of 1/127


@pytest.mark.slow
def test_packaged_occlusion_is_what_its_script_counts() -> None:
    with np.load(PACKAGED) as stored:
        numbers, change = stored["units"].tolist(), stored["change"] / 127
    counted = sky_seen(HEAD, ActionUnits(AU43=1)) - sky_seen(HEAD, None)
    # A ray that grazes an edge may fall either way on another processor; the file keeps steps of 1/127 above 1.
    assert np.abs(counted - change[numbers.index(43)]).max() < 0.03


def test_occlusion_file_that_does_not_belong_is_refused(tmp_path: Path) -> None:
    head, beside = tmp_path / "head.npz", tmp_path / ("head" + OCCLUSION_ENDING)
    shutil.copy(DEFAULT_HEAD, head)
    assert Head(head)(None, ActionUnits(AU43=1)).occlusion is not None  # without the file: as in the neutral face
    with np.load(PACKAGED) as stored:
        fields = {name: stored[name] for name in stored.files}
    for name, wrong, message in (
        ("head", np.array("0" * 64), "made for another head"),
        ("format", np.array("pain3d-occlusion/9"), "this version reads"),
        ("change", fields["change"][:, :-1], "change must be"),
        ("units", np.zeros_like(fields["units"]), "not different action units"),
        ("rest", fields["rest"].astype(np.float32), "rest must be"),
    ):
        np.savez(beside, **{**fields, name: wrong})
        with pytest.raises(HeadFileError, match=message):
            Head(head)
    beside.write_bytes(b"not a zip")
    with pytest.raises(HeadFileError, match="not an occlusion file"):
        Head(head)
    assert hashlib.sha256(DEFAULT_HEAD.read_bytes()).hexdigest() == str(fields["head"])


def test_growth_is_the_same_vector_in_every_expression() -> None:
    faces = [ActionUnits(), ActionUnits(AU4=5, AU43=1), ActionUnits(AU27=5)]
    bare, grown = HEAD(None, faces).vertices, HEAD(None, faces, surface=some_surface()).vertices
    moved = (grown - bare)[:2]  # the third turns the jaw, and what grows on it
    assert (moved[0] - moved[1]).abs().max() < 1e-7  # worst seen 1.5e-8 m
    assert moved.norm(dim=2).max() > 0.005
    # Heat is the difference between expressions: that of the bare skin, turned with the jaw where it grows there.
    assert ((grown[1] - grown[0]) - (bare[1] - bare[0])).abs().max() < 1e-7


def test_wrinkles_are_resting_plus_depth_times_creases() -> None:
    surface = some_surface()
    au = torch.zeros(1, len(AU_NUMBERS), 2)
    au[0, AU_NUMBERS.index(4), 0] = 3
    au[0, AU_NUMBERS.index(9)] = 5
    mesh = HEAD(None, au, surface=surface)
    weights = action_weights(au)[0]
    expected = surface.resting[0] + surface.depth * (weights[..., None, None] * surface.creases).sum((0, 1))
    assert mesh.wrinkles is not None
    assert torch.allclose(mesh.wrinkles[0], expected, atol=1e-5)  # worst seen 5e-7
    assert HEAD(None, au).wrinkles is None


def test_surfaces_of_several_people_and_rows_do_not_depend_on_the_batch() -> None:
    people = [HEAD.sample_identity(0, k) for k in range(3)]
    surface = some_surface(3)
    together = HEAD(people, ActionUnits(AU4=2), surface=surface)
    for row in range(3):
        alone = dataclasses.replace(
            surface,
            growth=surface.growth[row : row + 1],
            resting=surface.resting[row : row + 1],
            depth=surface.depth[row : row + 1],
            cover=torch.ones(1),
        )
        mesh = HEAD(people[row], ActionUnits(AU4=2), surface=alone)
        for name in ("vertices", "occlusion", "wrinkles"):
            assert torch.equal(getattr(mesh, name)[0], getattr(together, name)[row]), name
    with pytest.raises(ValueError, match="rows, got"):
        HEAD(people[:2], surface=surface)


def test_up_turns_with_neck_and_whole() -> None:
    tipped = HEAD(neck_pose=torch.tensor([[0.0, 0.0, 0.3], [0.0, 0.0, 0.0]])).up
    assert tipped is not None
    assert torch.allclose(tipped[0], torch.tensor([-np.sin(0.3), np.cos(0.3), 0.0], dtype=torch.float32), atol=1e-6)
    assert torch.equal(tipped[1], torch.tensor([0.0, 1.0, 0.0]))
    turned = HEAD(global_orient=torch.tensor([[np.pi / 2, 0.0, 0.0]], dtype=torch.float32)).up
    assert turned is not None and torch.allclose(turned[0], torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_ears_lie_flat_under_hair() -> None:
    ears, offset = HEAD.laid_ears()
    laid = HEAD.template[ears] + offset
    left = HEAD.template[ears][:, 0] > 0
    assert HEAD.template[ears][left, 0].max() > 0.085  # they stand off
    assert laid[left, 0].max() < 0.076 and laid[left, 0].min() > 0.055  # on the skull, none deep inside
    surface = dataclasses.replace(some_surface(), growth=torch.zeros(1, len(HEAD.template)))
    hidden = HEAD(surface=surface).vertices[0]
    seen = HEAD(surface=dataclasses.replace(surface, cover=torch.zeros(1))).vertices[0]
    assert torch.allclose(hidden[ears], laid, atol=1e-6)
    assert torch.equal(seen, HEAD().vertices[0])
    # No triangle of the membrane is turned over: all look away from the head.
    chosen = torch.isin(HEAD.topology.faces.long(), ears).all(1)
    a, b, c = hidden[HEAD.topology.faces[chosen].long()].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    assert ((normal[:, 0] * a[:, 0].sign()) > 0).float().mean() > 0.97  # at the roots a few look back or down
