"""From action units to expression units: a unit alone is untouched, rules act where units meet."""

import torch

from pain3d.facs import AU_NUMBERS, ActionUnits
from pain3d.facs.action_units import MOVES, stack
from pain3d.facs.rig import expression_weights
from pain3d.head import Head

UNITS = Head.default().unit_names


def weights(*faces: ActionUnits) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    out, jaw, shut = expression_weights(torch.from_numpy(stack(faces)), UNITS)
    return {name: out[:, i] for i, name in enumerate(UNITS)}, jaw, shut


def test_every_unit_alone_moves_its_shapes_fully_and_one_side_only() -> None:
    for number in AU_NUMBERS:
        top = 1 if number == 43 else 5
        both, left = ActionUnits(**{f"AU{number}": top}), ActionUnits(**{f"AU{number}_L": top})
        named, jaw, _ = weights(both, left)
        for stem, share in MOVES[number]:
            assert named[stem + "Left"].tolist() == [share, share]
            assert named[stem + "Right"].tolist() == [share, 0]
        assert jaw.tolist() == ([0.4, 0.4] if number == 26 else [1, 1] if number == 27 else [0, 0])


def test_rules_where_units_meet() -> None:
    named, jaw, shut = weights(
        ActionUnits(AU7=5, AU43=1), ActionUnits(AU6=5, AU7=5), ActionUnits(AU10=5, AU25=5), ActionUnits(AU26=5, AU27=1)
    )
    assert (
        named["eyeSquintLidLeft"][0] == 0 and named["eyeSquintLeft"][0] == 1
    )  # shut lids win, the skin still shows AU7
    assert named["eyeSqueezeLeft"].tolist() == [1, 0, 0, 0]  # and they are squeezed
    assert named["eyeSquintLidLeft"][1] + named["cheekSquintLidLeft"][1] <= 1  # one lower lid
    assert named["cheekSquintLeft"][1] == 0.75
    assert named["mouthUpperUpLeft"][2] == 1  # one upper lip
    assert jaw[3] == 0.4  # the wider of the two
    assert shut[:, 0].tolist() == [1, 0, 0, 0]


def test_gradients() -> None:
    generator = torch.Generator().manual_seed(0)
    # Between the knots of the curve, where it is differentiable; AU43 in the middle of its range.
    au = 0.1 + 0.8 * torch.rand(2, len(AU_NUMBERS), 2, generator=generator, dtype=torch.float64)
    au = (au + torch.randint(0, 4, au.shape, generator=generator)).clamp(max=4.9)
    au[:, AU_NUMBERS.index(43)] = 0.4
    au.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: expression_weights(x, UNITS), (au,))
