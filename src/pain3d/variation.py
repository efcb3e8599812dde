"""Knows counterfactual sets: of each view all stays as it is but one axis, along which its expressions are steps.

An action unit goes from 0, the neutral expression, to 5 on a face that is neutral otherwise. Along the other axes the
face is that of the identity's first expression, and the neutral one stays as it was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import MAX_INTENSITY, PAIN_AUS
from pain3d.light import INFRARED, key_azimuth
from pain3d.ranges import told
from pain3d.scene import Scene
from pain3d.setting import CAMERA_YAW, KEY_AZIMUTH, CameraSetting

CLOSED_EYES: Final = "AU43"  # is there or not
UNITS: Final = tuple(f"AU{number}" for number in PAIN_AUS)
REACH: Final = {"yaw": CAMERA_YAW, "light": KEY_AZIMUTH}  # degrees to each side of the face, as far as drawn ones go
AXES: Final = (*UNITS, *REACH)


def check_steps(axis: str, steps: int) -> None:
    """Raise ValueError, in one line, unless an axis is known and so many steps beside neutral go along it."""
    if axis not in AXES:
        raise ValueError(f"axis must be one of {', '.join(AXES)}, got {told(axis)}")
    if axis == CLOSED_EYES and steps != 1:
        raise ValueError(f"expressions must be 1 along {axis}, which is there or not, got {told(steps)}")
    least = 2 if axis in REACH else 1
    if steps < least:
        raise ValueError(f"expressions must be {least} or more along {axis}, got {told(steps)}")


def vary_scenes(scenes: Sequence[Scene], axis: str) -> tuple[Scene, ...]:
    """The scenes of one identity as steps along an axis.

    Each has camera, light, pose, gaze, what is worn, sensor and its noise, background and shake of the neutral scene
    of its view, but for the axis; so what differs in the pictures of a view is what the axis does.

    Args:
        scenes: All of it, as `sample_scenes` draws them with fixed cameras: expression by expression, view by view.
        axis: Of `AXES`. ``AU4`` … ``AU43``: intensity 5 · e / E in expression e of E. ``yaw``: the camera goes round
            the torso, which is turned by -34.5° in expression 1 and by 34.5° in E. ``light``: the light goes round
            the face, its key from -75° to 75°.

    Raises:
        ValueError: The axis isn't known, or can't be gone along in so many steps; or a place lights a scene, or the
            camera's own lamps, and the light is to turn: a place is seen behind, too, and lamps stay at their camera.
    """
    steps = max(scene.expression_id for scene in scenes)
    check_steps(axis, steps)
    neutral = {scene.view_id: scene for scene in scenes if scene.expression_id == 0}
    face = next(scene.au for scene in scenes if scene.expression_id == 1)
    return tuple(_step(neutral[scene.view_id], scene.expression_id, steps, axis, face) for scene in scenes)


def _step(neutral: Scene, step: int, steps: int, axis: str, face: ActionUnits) -> Scene:
    scene = replace(neutral, expression_id=step, noise_id=0)
    if step == 0:
        return scene
    if axis in UNITS:
        most = 1 if axis == CLOSED_EYES else MAX_INTENSITY
        return replace(scene, au=ActionUnits(**{axis: round(most * step / steps, 3)}))
    degrees = round(float(np.linspace(-REACH[axis], REACH[axis], steps)[step - 1]), 3)
    if axis == "yaw":  # the head turned to one side is the camera turned to the other
        return replace(scene, au=face, camera=_gone_round(scene.camera, -degrees))
    light = scene.light
    if light.is_place or light.name == INFRARED:
        raise ValueError(f"light must be of lamps that stand somewhere, got {light.name}")
    return replace(scene, au=face, light=replace(light, azimuth=round(degrees - key_azimuth(light.name), 3)))


def _gone_round(camera: CameraSetting, yaw: float) -> CameraSetting:
    """A camera at another yaw; what it looks at goes round with it, so that the face stays at its place in pictures."""
    turn = math.radians(yaw - camera.yaw)
    (x, y, z), (middle_x, _, middle_z) = camera.target, CameraSetting.target
    across, away = x - middle_x, z - middle_z
    x = middle_x + across * math.cos(turn) + away * math.sin(turn)
    z = middle_z - across * math.sin(turn) + away * math.cos(turn)
    return replace(camera, yaw=yaw, target=(round(x, 4), y, round(z, 4)))
