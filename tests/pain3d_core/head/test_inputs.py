"""What comes through a head's public door: dtype, range and finiteness, named in one line."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import pain3d

HEAD = pain3d.Head.default()
NOTHING = HEAD.au_rows(None)
NOBODY = HEAD.identity_rows(None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"identity": NOBODY.double()}, r"identity must be float32 as the head is, got float64$"),
        ({"au": NOTHING.long()}, r"au must be float32 as the head is, got int64$"),
        ({"au": NOTHING + 80}, r"au must be in 0\.\.5 \(intensities; AU43 is shut from 1 on\), got 80$"),
        ({"au": NOTHING - 1}, r"au must be in 0\.\.5 .*, got -1$"),
        ({"au": NOTHING * float("nan")}, r"au must be finite, got nan$"),
        ({"au": NOTHING * float("nan") + torch.zeros((), requires_grad=True)}, r"au must be finite, got nan$"),
        ({"identity": NOBODY + float("inf")}, r"identity must be finite, got inf$"),
        ({"identity": NOBODY + 50}, r"identity must be in -10\.\.10 \(coefficients: .*\), got 50$"),
        (
            {"neck_pose": torch.tensor([[0.0, 30.0, 0.0]])},
            r"neck_pose must be in -6\.283\.\.6\.283 \(radians\), got 30$",
        ),
        ({"jaw_pose": torch.zeros(1, 3).double()}, r"jaw_pose must be float32 as the head is, got float64$"),
        ({"transl": torch.full((1, 3), float("nan"))}, r"transl must be finite, got nan$"),
        ({"expression": torch.full((1, len(HEAD.unit_names)), 99.0)}, r"expression must be in -10\.\.10 \(weights\)"),
        ({"au": {"AU3": 1}}, r"unknown action unit 'AU3'"),
        ({"au": {"AU4": 9}}, r"AU4 must be in 0\.\.5, got 9$"),
        ({"au": {4: 3}}, r"au must be ActionUnits or a dictionary such as \{'AU4': 3\}, got \{4: 3\}$"),
        ({"au": "AU4"}, r"au must be ActionUnits or a dictionary such as \{'AU4': 3\}, got 'AU4'$"),
    ],
)
def test_what_a_head_does_not_take_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        HEAD(**given)
    assert "\n" not in str(caught.value)
    if "au" in given or "identity" in given:
        with pytest.raises(ValueError, match=f"^{message}"):
            pain3d.Renderer(size=8)(pain3d.Camera.orbit(), **given)


def test_an_optimiser_may_step_beyond_the_range() -> None:
    au = (NOTHING - 0.1).requires_grad_()
    HEAD(au=au).vertices.sum().backward()
    assert au.grad is not None and torch.isfinite(au.grad).all()


def test_action_units_come_by_name() -> None:
    """One face, or several, each by name or as a record; in pictures and heat maps too."""
    named, record = {"AU4": 3, "AU6_L": 2}, pain3d.ActionUnits(AU4=3, AU6_L=2)
    assert torch.equal(HEAD(au=named).vertices, HEAD(au=record).vertices)
    both = HEAD(au=[named, pain3d.ActionUnits()]).vertices
    assert torch.equal(both, HEAD(au=[record, {}]).vertices) and len(both) == 2
    camera = pain3d.Camera.orbit(size=16)
    assert torch.equal(pain3d.joint_heatmap(HEAD, named, camera), pain3d.joint_heatmap(HEAD, record, camera))
    assert torch.equal(pain3d.au_heatmap(HEAD, named, camera), pain3d.au_heatmap(HEAD, record, camera))


@pytest.mark.parametrize("device", ["gpu", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ValueError, match=f"^device must be one that torch has here, got '{device}' ") as caught:
        pain3d.Renderer(device=device)
    assert "\n" not in str(caught.value)
