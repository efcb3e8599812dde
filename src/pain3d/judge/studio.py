"""Knows how a judge photographs an identity of a data set again: from the front, under a light that it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pain3d.colour import srgb_to_linear

if TYPE_CHECKING:
    from torch import Tensor

    from pain3d.facs.action_units import ActionUnits
    from pain3d.light import Light
    from pain3d.scene import Scene

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

KNEE = 0.8  # linear light above it is compressed by the picture's tone map (kernels/rendering/colour.py)
PATCH = 0.09  # radius of a patch of skin, in distances of the outer eye corners: inside cheek and forehead at any age
RIGHT_EYE, LEFT_EYE, RIGHT_MOUTH, LEFT_MOUTH = 36, 45, 48, 54
INNER_BROWS = (21, 22)
ABOVE_BROWS = 0.24  # of the forehead's patch, in the same unit
CHEEK = 0.52  # of the way from the outer corner of the eye to that of the mouth


def frontal(scene: Scene, au: ActionUnits, number: int, light: str = "studio", **light_changes: float) -> Scene:
    """The identity of a scene from the front, upright, eyes ahead, before a plain wall, with a sensor without noise.

    Args:
        scene: Whose identity, skin and size are kept.
        au: The face.
        number: Of the expression: faces rendered together need one each.
        light: A preset.
        **light_changes: Fields of its setting.
    """
    changes: dict[str, Any] = {
        "expression_id": number,
        "view_id": 0,
        "au": au,
        "pose": type(scene.pose)(),
        "camera": type(scene.camera)(),
        "light": type(scene.light)(name=light, **light_changes),
        "background": "plain",
    }
    if hasattr(scene, "sensor"):
        changes["sensor"] = type(scene.sensor)()
    return replace(scene, **changes)


def white_room() -> Light:
    """A uniform environment of radiance 1, no key: a matt surface under an open sky shows its own albedo."""
    import torch

    from pain3d.light import Y00, Light

    sh = torch.zeros(1, 9, 3)
    sh[:, 0] = 1 / Y00
    front = torch.tensor([[0.0, 0.0, 1.0]])
    return Light(sh, front, torch.zeros(1, 3), torch.ones(1))


def skin_patches(landmarks: npt.ArrayLike) -> list[tuple[Floats, float]]:
    """Centre [2] and radius in pixels of three patches of skin: both cheeks, and the forehead above the brows."""
    points = np.asarray(landmarks, float)
    scale = float(np.linalg.norm(points[RIGHT_EYE] - points[LEFT_EYE]))
    eyes = (points[RIGHT_EYE] + points[LEFT_EYE]) / 2
    mouth = (points[RIGHT_MOUTH] + points[LEFT_MOUTH]) / 2
    up = (eyes - mouth) / np.linalg.norm(eyes - mouth)
    brows = points[list(INNER_BROWS)].mean(0)
    centres = [
        points[RIGHT_EYE] + CHEEK * (points[RIGHT_MOUTH] - points[RIGHT_EYE]),
        points[LEFT_EYE] + CHEEK * (points[LEFT_MOUTH] - points[LEFT_EYE]),
        brows + ABOVE_BROWS * scale * up,
    ]
    return [(centre, PATCH * scale) for centre in centres]


def skin_light(pixels: Pixels, landmarks: npt.ArrayLike) -> Floats | None:
    """Linear rgb [3] of the skin in a picture: mean over the patches of each one's median; None outside the picture."""
    colours = []
    rows, columns = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    for centre, radius in skin_patches(landmarks):
        inside = (columns + 0.5 - centre[0]) ** 2 + (rows + 0.5 - centre[1]) ** 2 <= radius**2
        if inside.sum() >= 4:
            colours.append(np.median(srgb_to_linear(pixels[inside] / 255), axis=0))
    return np.asarray(undo_tone_map(np.mean(colours, axis=0)), float) if colours else None


def undo_tone_map(shown: npt.ArrayLike) -> Floats:
    """Undo the tone map ``KNEE + (1 − KNEE) t / (1 + t)`` of linear light 0–1."""
    light = np.asarray(shown, float)
    share = np.clip((light - KNEE) / (1 - KNEE), 0, 0.999)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * share / (1 - share))


def photograph(
    scenes: Sequence[Scene], textures: Mapping[str, Tensor] | None = None, light: Light | None = None
) -> tuple[Pixels, npt.NDArray[np.float32]]:
    """Render scenes of one identity: pictures [B, H, W, 3] and our landmarks [B, N, 2] in them.

    Args:
        scenes: B of them.
        textures: Of their data set, where the scenes name any.
        light: In place of their own.
    """
    from pain3d.rendering.frames import render_scenes

    frames = render_scenes(scenes, light=light, textures=textures)
    return frames.image, frames.landmarks_2d
