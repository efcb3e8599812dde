"""Hair that is grown lies over pictures, leaves labels as they are, and depends on nobody beside."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from pain3d import Frames, Head, Scene, demographic_grid, render_scenes, sample_scenes
from pain3d.rendering.frames import Clock, render_people, render_setup
from pain3d.rendering.scene_inputs import inputs_of

SIZE = 96


@pytest.fixture(scope="module")
def people() -> list[Sequence[Scene]]:
    return [
        sample_scenes(seed=4, identity_id=number, cell=cell, expressions=2, views=1, size=SIZE, hair="grown")
        for number, cell in enumerate(demographic_grid(2, 4))
    ]


@pytest.fixture(scope="module")
def grown(people: list[Sequence[Scene]]) -> list[Frames]:
    return [render_scenes(scenes) for scenes in people]


def test_labels_are_those_of_the_skin(people: list[Sequence[Scene]], grown: list[Frames]) -> None:
    head = Head.default()
    inputs = inputs_of(people[0], head)
    setup = render_setup(head)
    haired, bare = (
        render_people([one], setup, Clock(), dense=("depth", "parts")) for one in (inputs, replace(inputs, hair=None))
    )
    assert (haired.image != bare.image).any(-1).float().mean() > 0.05
    for name in ("heatmap", "landmarks", "depth", "parts", "neutral_vertices", "frontal_heatmap"):
        assert torch.equal(getattr(haired, name), getattr(bare, name)), name
    # Ribbons stand out from the head: the alpha takes them in, and takes nothing away.
    assert (haired.alpha.int() >= bare.alpha.int() - 1).all() and (haired.alpha > bare.alpha).any()
    # What grows on the scalp moves no point of the face; the jaw's line, before it, begins under the sideburns.
    painted = render_scenes([replace(scene, hair="painted") for scene in people[0]])
    assert np.array_equal(painted.landmarks_3d[:, 17:68], grown[0].landmarks_3d[:, 17:68])


def test_nobody_changes_who_is_beside(people: list[Sequence[Scene]], grown: list[Frames]) -> None:
    head = Head.default()
    inputs = [inputs_of(scenes, head) for scenes in people]
    shots = render_people(inputs, render_setup(head), Clock())
    together = shots.image.numpy()
    apart = np.concatenate([frames.image for frames in grown])
    assert np.array_equal(together, apart)
    assert np.array_equal(shots.alpha.numpy(), np.concatenate([frames.alpha for frames in grown]))
