"""Knows how our own pictures are painted over to look photographic, and which of them may be kept.

A painter takes a few steps of little strength under the geometry that our picture shows. What it paints is kept only
where the face still stands where the labels say (`steadiness`); else our own picture stays, so that no label becomes
false and no face is missing from a data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from pain3d.camera import Camera, check_pinholes
from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.painter import PaintingError, Prompt, Refines
from pain3d.pipeline.texture.steadiness import Bytes, Detector, Truths, what_moved
from pain3d.pipeline.texture.views import look
from pain3d.rendering.scene_inputs import SceneInputs
from pain3d.skin.crease_weights import creases

STRENGTH = 0.25  # a quarter of the steps: skin and light change, shapes stay
LARGEST = 255  # of a byte


@dataclass(frozen=True)
class Refined:
    """What became of N pictures.

    Attributes:
        pictures: [N, H, W, 3] sRGB: painted over where that may be kept, else as they were.
        kept: [N] which are painted over.
        reasons: [N] why not, in words; empty where kept.
    """

    pictures: Bytes
    kept: Truths
    reasons: tuple[str, ...]


def refine_pictures(
    painter: Refines,
    pictures: Bytes,
    conditions: Conditions,
    prompt: Prompt,
    seed: int,
    detector: Detector,
    strength: float = STRENGTH,
) -> Refined:
    """Paint over pictures of one face, and keep what stays where it was.

    Args:
        painter: Who paints.
        pictures: [N, H, W, 3] sRGB, our own.
        conditions: What they show; on the CPU.
        prompt: What the painter is asked for.
        seed: Of the person: a view is painted with the same noise whatever the face does.
        detector: Of `steadiness.what_moved`.
        strength: 0 leaves a picture, 1 paints it from nothing.

    Raises:
        RefusedError: The painter refuses: out of memory, or pictures of a size that it can't paint.
    """
    shown = torch.from_numpy(pictures.astype(np.float32) / LARGEST)
    try:
        made = painter.refine(shown, conditions, prompt, seed, strength)
    except PaintingError as error:
        return Refined(pictures, np.zeros(len(pictures), bool), (str(error),) * len(pictures))
    painted = np.rint(made.clamp(0, 1).numpy() * LARGEST).astype(np.uint8)
    landmarks, visible = conditions.landmarks.double().numpy(), conditions.landmarks_visible.numpy()
    reasons = tuple(
        what_moved(ours, new, points, seen, detector)
        for ours, new, points, seen in zip(pictures, painted, landmarks, visible, strict=True)
    )
    kept = np.array([not reason for reason in reasons])
    return Refined(np.where(kept[:, None, None, None], painted, pictures), kept, reasons)


def refine_scenes(
    painter: Refines,
    pictures: Bytes,
    inputs: SceneInputs,
    head: Head,
    prompt: Prompt,
    seed: int,
    detector: Detector,
    strength: float = STRENGTH,
) -> Refined:
    """Paint over all pictures of one identity, the views of one expression at a time; see `refine_pictures`.

    Args:
        painter: See `refine_pictures`; so are prompt, seed, detector and strength.
        pictures: [B, H, W, 3] sRGB, rendered from `inputs`.
        inputs: Of the B scenes.
        head: Whose shapes they mix, on the CPU.
        prompt: See painter.
        seed: See painter.
        detector: See painter.
        strength: See painter.

    Raises:
        RefusedError: See `refine_pictures`.
    """
    made, kept, reasons = pictures.copy(), np.zeros(len(pictures), bool), [""] * len(pictures)
    for places, conditions in scene_conditions(head, inputs):
        refined = refine_pictures(painter, pictures[places], conditions, prompt, seed, detector, strength)
        made[places], kept[places] = refined.pictures, refined.kept
        for place, reason in zip(places, refined.reasons, strict=True):
            reasons[place] = reason
    return Refined(made, kept, tuple(reasons))


def scene_conditions(head: Head, inputs: SceneInputs) -> Iterator[tuple[list[int], Conditions]]:
    """What the pictures of scenes show, for each expression: the numbers of its scenes, and their views.

    Args:
        head: Whose shapes the scenes mix, on the CPU.
        inputs: Of scenes of one identity.

    Gradients: none.

    Raises:
        ValueError: A lens distorts.
    """
    shared = creases(head)
    growth, resting, depth, cover = map(torch.from_numpy, (inputs.growth, inputs.resting, inputs.depth, inputs.cover))
    surface = Surface(growth, resting, depth, creases=shared.brought if inputs.wrinkles else shared.none, cover=cover)
    identity, au, neck, gaze = map(torch.from_numpy, (inputs.identity, inputs.au, inputs.neck, inputs.gaze))
    cameras = inputs.camera()
    check_pinholes(cameras)
    for number in range(len(au)):
        one, places = slice(number, number + 1), np.flatnonzero(inputs.expression == number)
        with torch.no_grad():
            mesh = head(
                identity, au[one], neck_pose=neck[one], leye_pose=gaze[one], reye_pose=gaze[one], surface=surface
            )
        seen = Camera(cameras.world_to_view[places], cameras.fov_degrees[places], cameras.size)
        yield places.tolist(), look(head, mesh, seen).conditions
