"""Knows how what stands behind a head is painted: around the neutral face of each view, once for all expressions.

The renderer knows to a pixel where the head is; a painter fills the rest of its picture. What the neutral head hides
is spread in from around it, since another face or pose uncovers a little of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate, max_pool2d

from pain3d.console.refused import RefusedError
from pain3d.head.model import Head
from pain3d.pipeline.texture.delighting import linear_light
from pain3d.pipeline.texture.painter import Painter
from pain3d.pipeline.texture.prompts import Prompts
from pain3d.pipeline.texture.refine import scene_conditions
from pain3d.pipeline.texture.skin_model.grid import push_pull
from pain3d.random import MAX_SEED, keyed_number
from pain3d.rendering.frames import render_scenes
from pain3d.rendering.scene_inputs import inputs_of
from pain3d.scene import NO_SENSOR, Scene

GRAIN: Final = 8  # pixels that one latent of a painter shows: so near the head it may have painted some of the head on
COARSE: Final = 128  # pixels a side of what is spread in, a power of two
LARGEST: Final = 255  # of a byte


def plate_seed(scene: Scene) -> int:
    """The seed of the plate behind a scene: of its person and view."""
    return keyed_number(scene.seed, "plate", scene.identity_id, scene.view_id) & MAX_SEED


def paint_plates(
    scenes: Sequence[Scene],
    painter: Painter,
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
        near = max_pool2d((alpha > 0).float()[:, None], 2 * GRAIN + 1, 1, GRAIN)
        plate = _spread(linear_light(painted).permute(0, 3, 1, 2), 1 - near)
        plates[scene.view_id] = plate[0].permute(1, 2, 0).contiguous()
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


def _spread(planes: Tensor, known: Tensor) -> Tensor:
    """Planes [V, 3, H, W] as they are where known [V, 1, H, W] is 1, elsewhere spread in from there, coarsely."""
    share = adaptive_avg_pool2d(known, COARSE)
    mean = adaptive_avg_pool2d(planes * known, COARSE) / share.clamp_min(1e-8)
    spread = interpolate(push_pull(mean, share), planes.shape[-2:], mode="bilinear")
    return torch.where(known > 0, planes, spread)
