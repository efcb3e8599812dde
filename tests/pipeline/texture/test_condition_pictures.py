"""Knows what a ControlNet reads off the pictures: near is bright, left is red, edges are outlines."""

import pytest
import torch

from pain3d.head.model import Head
from pain3d.pipeline.texture.condition_pictures import PICTURES
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.views import see, standard_cameras
from pain3d.skin import Skin, surface

SIZE = 128


@pytest.fixture(scope="module")
def conditions() -> Conditions:
    head = Head.default()
    return see(head, head.sample_identity(3), surface(head, Skin()), standard_cameras(5, SIZE)).conditions


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_are_bytes_of_three_channels(conditions: Conditions, kind: str) -> None:
    pictures = PICTURES[kind](conditions)
    assert pictures.shape == (5, SIZE, SIZE, 3) and pictures.dtype == torch.uint8
    assert len(pictures.unique()) > 1


def test_near_is_white_and_background_black(conditions: Conditions) -> None:
    grey = PICTURES["depth"](conditions)[..., 0]
    nose, ear = conditions.landmarks[0, 30].long(), conditions.landmarks[0, 0].long()
    assert grey[0, nose[1], nose[0]] > 245 and grey[0, nose[1], nose[0]] > grey[0, ear[1], ear[0] + 2] + 40
    assert (grey[~conditions.mask] == 0).all() and (grey[conditions.mask] >= 64).all()


def test_normals_are_red_to_the_left_and_green_above(conditions: Conditions) -> None:
    """The colours by which normalbae was trained; the picture's left is the subject's right."""
    colours = PICTURES["normal"](conditions)[0].float()
    normals, mask = conditions.normals[0], conditions.mask[0]
    leftwards, upwards, front = normals[..., 0] < -0.7, normals[..., 1] > 0.7, normals[..., 2] > 0.95
    assert (colours[leftwards][:, 0] > 200).all() and (colours[upwards][:, 1] > 200).all()
    assert (colours[front & mask][:, 2] > 245).all()
    assert (colours[~mask] == torch.tensor([128.0, 128.0, 255.0])).all()


def test_edges_lie_on_outlines(conditions: Conditions) -> None:
    edges = PICTURES["canny"](conditions)[..., 0] > 0
    outline = torch.zeros_like(conditions.mask)
    outline[:, :, 1:] = conditions.mask[:, :, 1:] != conditions.mask[:, :, :-1]
    near = torch.nn.functional.max_pool2d(edges[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert near[outline].float().mean() > 0.95


def test_landmarks_behind_the_head_are_not_drawn(conditions: Conditions) -> None:
    seen = conditions.landmarks_visible
    assert seen[0].all()  # from the front
    assert seen[1, 16] and not seen[1, 0]  # the subject's left: its own left edge of the face, not the right one
    assert seen[2, 0] and not seen[2, 16]
    dots = PICTURES["landmarks"](conditions)[1, ..., 0] > 0
    shown, hidden = conditions.landmarks[1, 16].long(), conditions.landmarks[1, 0].long()
    assert dots[shown[1], shown[0]] and not dots[hidden[1], hidden[0]]
