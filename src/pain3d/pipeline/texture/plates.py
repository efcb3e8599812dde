"""Knows how what stands behind a head is painted: around the neutral face of each view, once for all expressions.

The renderer knows to a pixel where the head is; a painter fills the rest of its picture. Another face or pose uncovers
some of what the neutral head hides, a tenth of the picture's width if it turns: there what lies around goes on,
mirrored. A blur would tell from the background alone which faces are not neutral.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from pain3d.console.refused import RefusedError
from pain3d.head.model import Head
from pain3d.pipeline.texture.delighting import linear_light
from pain3d.pipeline.texture.painter import Inpaints
from pain3d.pipeline.texture.prompts import Prompts
from pain3d.pipeline.texture.refine import scene_conditions
from pain3d.pipeline.texture.skin_model.grid import push_pull
from pain3d.random import MAX_SEED, keyed_number
from pain3d.rendering.frames import render_scenes
from pain3d.rendering.scene_inputs import inputs_of
from pain3d.scene import NO_SENSOR, Scene

GRAIN: Final = 8  # pixels that one latent of a painter shows: so near the head it may have painted some of the head on
COARSE: Final = 128  # pixels a side of what is spread in, a power of two
REACH: Final = 0.25  # of the picture's side: so deep into what the head hides goes what lies around, ever fainter
SOFT: Final = 6.0  # pixels (σ) over which it gives way where it can't go on, and over which borders are smooth
LARGEST: Final = 255  # of a byte

Floats = npt.NDArray[np.float32]
Truths = npt.NDArray[np.bool_]


def plate_seed(scene: Scene) -> int:
    """The seed of the plate behind a scene: of its person and view."""
    return keyed_number(scene.seed, "plate", scene.identity_id, scene.view_id) & MAX_SEED


def paint_plates(
    scenes: Sequence[Scene],
    painter: Inpaints,
    prompts: Prompts,
    head: Head | None = None,
    textures: Mapping[str, Tensor] | None = None,
) -> dict[int, Tensor]:
    """What stands behind one person's head, for each view; `render_scenes(scenes, plates=...)` puts it there.

    The painter is shown the neutral face of each view, metered, in neutral light and without noise, and paints all
    that the head does not cover, each view by itself: a place of the kind of the scene's background
    (`Prompts.background_for`), of a seed of its own (`plate_seed`). A plate is exposed as such a picture, and looks in
    it as it was painted; exposure and white balance of a scene's sensor then change it as they change a procedural
    background.

    Args:
        scenes: Of one person, with fixed cameras; among them the neutral face (expression 0) of each view.
        painter: Who paints.
        prompts: What it is asked for.
        head: Whose shapes the identity mixes; None is the default head.
        textures: Of scenes that name one, see `render_scenes`.

    Returns:
        View → plate [size, size, 3] linear, in 0–2.6; 0 where the head leaves nothing to be seen.

    Gradients: none.

    Raises:
        RefusedError: A view has several cameras or no neutral face; or the painter refuses.
        PaintingError: It made nothing that can be used.
        ValueError: See `inputs_of`.
    """
    head = head or Head.default()
    neutral = _neutral_of(scenes)
    shots = render_scenes(neutral, head, textures=textures)
    plates = {}
    for scene, image, covered in zip(neutral, shots.image, shots.alpha, strict=True):
        _, conditions = next(scene_conditions(head, inputs_of([scene], head, textures)))
        picture, alpha = torch.from_numpy(image)[None].float() / LARGEST, torch.from_numpy(covered)[None]
        painted = painter.inpaint(
            picture, alpha < LARGEST, conditions, prompts.background_for(scene), plate_seed(scene)
        )
        near = cv2.dilate(covered, np.ones((2 * GRAIN + 1, 2 * GRAIN + 1), np.uint8)) > 0
        plates[scene.view_id] = torch.from_numpy(_continued(linear_light(painted[0]).numpy(), ~near))
    return plates


def _neutral_of(scenes: Sequence[Scene]) -> list[Scene]:
    """The neutral scene of each view, in order of first appearance, metered and without noise."""
    for view in dict.fromkeys(scene.view_id for scene in scenes):
        cameras = {scene.camera for scene in scenes if scene.view_id == view}
        if len(cameras) > 1:
            raise RefusedError(f"a plate stands behind one camera: view {view} has {len(cameras)}, is it a free one?")
    neutral = {scene.view_id: replace(scene, sensor=NO_SENSOR) for scene in scenes if scene.expression_id == 0}
    for scene in scenes:
        if scene.view_id not in neutral:
            raise RefusedError(f"a plate is painted around the neutral face: view {scene.view_id} has none")
    return list(neutral.values())


def _continued(plate: Floats, known: Truths) -> Floats:
    """A plate [H, W, 3] as it is where known [H, W]; elsewhere what lies around goes on, mirrored at the border.

    With d the distance to what is known, and n the direction in which it falls, a hidden pixel p has the colour at
    p + 2 d n as far as that is known; the deeper it lies, the more of a coarse spread of all around.
    """
    if known.all() or not known.any():  # nothing to measure a distance to
        return plate * known[..., None]
    inside, outside = (cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5) for part in (~known, known))
    rising = np.stack(np.gradient(cv2.GaussianBlur(inside - outside, (0, 0), SOFT)))  # smooth, or lines would fray
    rising /= np.maximum(np.linalg.norm(rising, axis=0), 1e-6)
    row, column = (np.indices(known.shape) - 2 * inside * rising).astype(np.float32)
    mirrored, usable = (
        cv2.remap(picture, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        for picture in (plate, known.astype(np.float32))
    )
    usable = np.clip(2 * cv2.GaussianBlur(usable, (0, 0), SOFT) - 1, 0, 1) * (usable == 1)
    share = usable * np.clip(1 - inside / (REACH * len(known)), 0, 1)
    mixed = share[..., None] * mirrored + (1 - share[..., None]) * _spread(plate, known)
    return np.where(known[..., None], plate, mixed).astype(np.float32)


def _spread(plate: Floats, known: Truths) -> Floats:
    """What is known of a plate, coarsely, and around it what follows from that, [H, W, 3]."""
    planes, mask = torch.from_numpy(plate).permute(2, 0, 1)[None], torch.from_numpy(known)[None, None].float()
    share = adaptive_avg_pool2d(mask, COARSE)
    mean = adaptive_avg_pool2d(planes * mask, COARSE) / share.clamp_min(1e-8)
    spread: Tensor = interpolate(push_pull(mean, share), known.shape, mode="bilinear")
    return np.asarray(spread[0].permute(1, 2, 0))
