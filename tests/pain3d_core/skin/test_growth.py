"""Hair, beard and cloth stand off the skin where they grow, and nowhere else; brows, lips and eyes stay bare."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pain3d.head import Head
from pain3d.skin import Skin, surface
from pain3d.skin.appearance import HAIR_STYLES
from pain3d.skin.hairline import hair_outline, outline_distance
from pain3d.skin.shell import growth

HEAD = Head.default()
POINTS = 1000 * HEAD.template
SKIN = Skin(hair_density=1.0)
PARTS = HEAD.topology.vertex_parts
OUTER = (HEAD.topology.part_names.index("skin") == PARTS) | (HEAD.topology.part_names.index("neck") == PARTS)


def grown(skin: Skin) -> torch.Tensor:
    """Millimetres [V]."""
    return 1000 * growth(HEAD, skin)[0]


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_every_style_leaves_the_face_bare(style: str) -> None:
    shell = grown(replace(SKIN, hair_style=style))
    assert shell.shape == (len(POINTS),) and (shell >= 0).all() and shell.max() < 60
    face = [v for name, v in zip(HEAD.landmark_names, HEAD.landmarks.tolist(), strict=True) if name >= "ibug_17"]
    central = (POINTS[:, 2] > 60) & (POINTS[:, 1] < 45) & (POINTS[:, 1] > -90)
    assert shell[central].max() == 0 and shell[face].max() < 1
    assert (shell[~OUTER] == 0).all()  # eyes, teeth, tongue, lashes


def test_styles_differ_in_thickness() -> None:
    top = OUTER & (POINTS[:, 1] > 110)
    by_style = {style: float(grown(replace(SKIN, hair_style=style))[top].median()) for style in HAIR_STYLES}
    assert by_style["buzz"] < 3 < by_style["short"] < 25
    assert by_style["curly"] > by_style["short"]


def test_long_hair_hangs_over_the_ears_and_short_hair_does_not() -> None:
    ears, _ = HEAD.laid_ears()
    bob, short = (surface(HEAD, replace(SKIN, hair_style=style)) for style in ("bob", "short"))
    assert bob.cover is not None and short.cover is not None
    assert bob.cover.tolist() == [1] and short.cover.tolist() == [0]
    outer_ear = ears[POINTS[ears, 0].abs() > 80]
    assert 1000 * short.growth[0, outer_ear].max() < 0.5
    width = [1000 * float(HEAD(surface=s).vertices[0, ears, 0].max()) for s in (bob, short)]
    assert 80 < width[0] < 100  # over where the ears were
    nape = OUTER & (POINTS[:, 1] < -20) & (POINTS[:, 1] > -55) & (POINTS[:, 2] < -50)
    assert 1000 * bob.growth[0, nape].median() > 10


def test_beard_grows_on_jaw_and_chin_only() -> None:
    shaved, bearded = (grown(replace(SKIN, sex=1.0, beard=b)) for b in (0.0, 1.0))
    more = bearded - shaved
    chin = HEAD.landmarks[8]
    assert 3 < more[chin] < 9
    assert more[POINTS[:, 1] > 20].max() == 0
    lips = HEAD.landmarks[48:68]
    assert more[lips].max() < 0.3


def test_shirt_stands_off_the_neck() -> None:
    shell = grown(SKIN)
    shoulders = OUTER & (POINTS[:, 1] < -170)
    assert shell[shoulders].min() >= 2 and shell[shoulders].max() <= 4


def test_outline_distance_is_signed_and_open_at_the_midlines() -> None:
    square = [(0.0, 0.0), (90.0, 0.0), (90.0, 50.0), (0.0, 50.0)]
    front, side, above = np.array([[0.0, 25, 80], [80, 25, 0.1], [0, 60, 80]])
    distance = outline_distance(np.stack([front, side, above]), square)
    assert distance[0] == pytest.approx(25)  # not 0: the other half goes on at the midline
    assert 0 <= distance[1] < 0.2 and distance[2] == pytest.approx(-10)


def test_recession_draws_the_hairline_back() -> None:
    forehead = np.array([[25.0, 98.0, 80.0]])
    full, bare = (outline_distance(forehead, hair_outline(replace(SKIN, recession=r)))[0] for r in (0.0, 1.0))
    assert bare < full - 20
