"""Small golden pictures: the look doesn't change unless somebody means it to.

.venv/bin/python tests/pain3d_core/rendering/test_golden.py    paints them anew; look at them before you commit
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pain3d.rendering.frames import Frames, render_scenes
from pain3d.scene import CELLS, sample_scenes

GOLDEN = Path(__file__).parents[2] / "golden"
PEOPLE = {"young": (CELLS[0], 1), "old": (CELLS[-1], 2)}  # name: cell and identity
SIZE = 128


def frames(name: str) -> Frames:
    cell, number = PEOPLE[name]
    scenes = sample_scenes(seed=2, identity_id=number, cell=cell, expressions=1, views=3, size=SIZE, environments=0)
    return render_scenes([scenes[1], scenes[3]])


def sheet(made: Frames) -> np.ndarray:
    """Neutral, expression and its frontal heatmap side by side, [128, 384, 3]."""
    return np.concatenate([*made.image, made.frontal_heatmap[1]], 1)


@pytest.mark.parametrize("name", PEOPLE)
def test_pictures_are_the_golden_ones(name: str) -> None:
    golden = np.asarray(Image.open(GOLDEN / f"{name}.png"))
    difference = np.abs(sheet(frames(name)).astype(int) - golden)
    # The same bytes on the machine that made them. Elsewhere the last bit of a float may turn a pixel on an outline.
    assert difference.mean() < 0.05 and (difference > 8).mean() < 0.002


if __name__ == "__main__":
    for person in PEOPLE:
        Image.fromarray(sheet(frames(person))).save(GOLDEN / f"{person}.png")
