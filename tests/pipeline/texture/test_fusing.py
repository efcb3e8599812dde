"""Knows what a fused texture must not show: a step where another view begins, an edge twice, another chart's colour."""

import pytest
import torch
from torch import Tensor

from pain3d.pipeline.texture.fusing import fuse

SIZE = 256


def stripes(shift: float = 0.0) -> Tensor:
    """[S, S, 3] stripes of 6 texels down the texture, 0.3–0.7."""
    columns = torch.arange(SIZE) + shift
    return (0.5 + 0.2 * torch.sin(columns * (2 * torch.pi / 6))).expand(3, SIZE, SIZE).permute(1, 2, 0)


def facing(left: bool) -> Tensor:
    """[S, S] weights of a view of the left or right side: cos² that ends beyond the middle."""
    turn = torch.linspace(-1.2, 1.2, SIZE) + (0.6 if left else -0.6)
    return (turn.cos().clamp(min=0) ** 2 * (turn.abs() < 1.3)).expand(SIZE, SIZE)


def test_one_view_and_views_that_agree_come_out_as_they_are() -> None:
    weights = torch.stack([facing(True), facing(False)])
    colours = torch.stack([stripes(), stripes()])
    fused, weight = fuse(colours, weights)
    assert torch.allclose(fused, stripes(), atol=1e-6)  # one rounding of a mean
    assert torch.equal(weight, weights.max(0).values)
    alone, _ = fuse(colours[:1], weights[:1])
    assert torch.allclose(alone[weights[0] > 0], stripes()[weights[0] > 0], atol=1e-6)
    assert (alone[weights[0] == 0] == 0).all()


def test_a_lighter_view_leaves_no_step() -> None:
    lighter = torch.stack([stripes(), stripes() + 0.1])
    fused, _ = fuse(lighter, torch.stack([facing(True), facing(False)]))
    steps = (fused - stripes())[:, :, 0].diff(dim=1).abs()
    assert steps.max() < 0.002  # seen 0.0010: 0.1 spread over the 100 texels that both see
    assert (fused - stripes()).min() > -1e-3 and (fused - stripes()).max() < 0.101


def test_stripes_in_other_places_are_not_seen_twice() -> None:
    """Views shifted by half a stripe: their mean is grey, the fused texture has the contrast of one of them."""
    fused, _ = fuse(torch.stack([stripes(), stripes(3.0)]), torch.stack([facing(True), facing(False)]))
    row = fused[SIZE // 2, :, 0]
    contrast = row.unfold(0, 6, 1).amax(1) - row.unfold(0, 6, 1).amin(1)
    assert contrast.min() > 0.3  # seen 0.32 of 0.40, where one view takes over from the other
    assert (0.5 * (stripes() + stripes(3.0)) - 0.5).abs().max() < 1e-5


def test_a_chart_beside_another_keeps_its_colour() -> None:
    """Two charts 8 texels apart, of which the views disagree about one: the other stays as it is, its border too."""
    colours = torch.full((2, SIZE, SIZE, 3), 0.2)
    colours[:, 132:] = 0.8
    colours[1, :124] += 0.05
    weights = torch.stack([facing(True), facing(False)])
    weights[:, 124:132] = 0
    fused, _ = fuse(colours, weights)
    assert (fused[132:] - 0.8).abs().max() < 1e-6  # seen 6e-8: one rounding
    assert fused[:124].amax() < 0.25 + 1e-6 and fused[:124].amin() > 0.2 - 1e-6


def test_what_a_view_does_not_see_is_not_read() -> None:
    colours = torch.stack([stripes(), stripes()])
    weights = torch.stack([facing(True), facing(False)])
    colours[weights == 0] = torch.nan
    assert torch.isfinite(fuse(colours, weights)[0]).all()


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (2, 96, 96, 3), (2, 64, 128, 3)])
def test_other_sizes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="S a power of two"):
        fuse(torch.zeros(shape), torch.zeros(shape[:3]))
