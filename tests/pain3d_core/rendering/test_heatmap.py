"""Heatmaps: millimetres of the point that a pixel sees, zero on neutral, and their colours."""

import matplotlib
import numpy as np
import torch

import pain3d
from pain3d.rendering.heatmap import PAIN_CHANNELS, colourise, displacement, unit_displacement

HEAD = pain3d.Head.default()


def test_neutral_is_exactly_zero() -> None:
    camera = pain3d.Camera.orbit(yaw_degrees=(-30, 0, 30), size=64)
    person = HEAD.sample_identity(2, 5)
    neutral = pain3d.ActionUnits()
    assert pain3d.au_heatmap(HEAD, neutral, camera, identity=person).abs().max() == 0
    assert pain3d.joint_heatmap(HEAD, neutral, camera, identity=person).abs().max() == 0


def test_channels_show_their_own_unit_and_side_in_millimetres() -> None:
    au = pain3d.ActionUnits(AU4_L=5, AU10=3)
    camera = pain3d.Camera.orbit(size=128)
    heat = pain3d.au_heatmap(HEAD, au, camera)
    assert heat.shape == (1, 128, 128, 12)
    peak = dict(zip(PAIN_CHANNELS, heat.amax((0, 1, 2)).tolist(), strict=True))
    assert 6 < peak["AU04_L"] < 8.2  # seen 7.7: 7.0 mm of browDown, and the corrective that draws the brows together
    assert peak["AU04_R"] == peak["AU06_L"] == peak["AU43_R"] == 0
    assert peak["AU10_L"] > 2 and peak["AU10_R"] > 2
    left_half = heat[0, :, 64:, PAIN_CHANNELS.index("AU04_L")].sum()  # the subject's left is right in the picture
    assert left_half > 0.9 * heat[..., PAIN_CHANNELS.index("AU04_L")].sum()


def test_joint_map_is_the_length_of_the_displacement() -> None:
    au = pain3d.ActionUnits(AU4=5, AU6=4, AU43=1)
    person = HEAD.identity_vector(HEAD.sample_identity(2, 1))
    vertices = HEAD(person, [pain3d.ActionUnits(), au]).vertices
    expected = 1000 * (vertices[1] - vertices[0]).norm(dim=1)
    assert torch.equal(displacement(HEAD, person, [au])[0], expected)
    single = unit_displacement(HEAD, person, pain3d.ActionUnits(AU4=5), ["AU4"])
    assert torch.equal(single, displacement(HEAD, person, [pain3d.ActionUnits(AU4=5)]))


def test_colours_are_the_hot_ramp() -> None:
    heat = np.linspace(0, 10, 256, dtype=np.float32)[None]
    ours = colourise(heat)[0].astype(int)
    theirs = (matplotlib.colormaps["hot"](heat[0] / 10)[:, :3] * 255).round().astype(int)
    # matplotlib's ramp begins at (0.04, 0, 0); ours at black, so that no displacement is no colour.
    assert np.abs(ours - theirs).max() <= 11
    assert ours[0].tolist() == [0, 0, 0] and ours[-1].tolist() == [255, 255, 255]
    assert colourise(heat, 0.5)[0, -1].tolist() == [128, 128, 128]


def test_many_pictures_are_coloured_as_each_alone() -> None:
    heat, light = np.random.default_rng(0).uniform(-1, 12, (2, 2, 3, 4, 5)).astype(np.float32)
    together = colourise(heat, light)
    for place in np.ndindex(2, 3):
        assert np.array_equal(together[place], colourise(heat[place], light[place]))
    assert colourise(heat[:0]).shape == (0, 3, 4, 5, 3)
