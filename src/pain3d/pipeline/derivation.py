"""Knows how the rows of an identity are told again, without a picture: what its scenes say, and where its head is.

The scenes are those that the plan samples, where the same code made the data set; else those that its rows hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import BACKGROUNDS
from pain3d.camera import Camera
from pain3d.console.refused import RefusedError
from pain3d.console.settings import checked, with_content
from pain3d.head import Head
from pain3d.head.identity import ANCESTRIES, SEXES
from pain3d.landmarks import FACE_LANDMARKS
from pain3d.pipeline.config import UNSAID, WHAT, SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.rows import Provenance, SceneRows, make_scene_rows
from pain3d.rendering.heatmap import millimetres_moved
from pain3d.rendering.scene_inputs import check_scenes, surface_of
from pain3d.rendering.shots import shots_of
from pain3d.scene import AGE_GROUPS, DemographicCell, LightSetting, Scene

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Geometry:
    """Where a head is in B pictures of E expressions, by its vertices and the cameras alone.

    Attributes:
        landmarks_3d: [B, N, 3] metres, world.
        landmarks_2d: [B, N, 2] pixels.
        bbox: [B, 4] pixels.
        neutral_vertices: [V, 3] metres; None where another head made it, as moved.
        moved: [B] millimetres, how far the vertex that moved furthest did.
    """

    landmarks_3d: Floats
    landmarks_2d: Floats
    bbox: Floats
    neutral_vertices: Floats | None
    moved: Floats | None


@dataclass(frozen=True)
class Told:
    """One identity as its scenes tell it.

    Attributes:
        person: Who.
        scenes: All of it.
        rows: The rows, without what is measured or seen.
        camera: The B cameras.
        geometry: Of the head.
    """

    person: PlannedIdentity
    scenes: Sequence[Scene]
    rows: SceneRows
    camera: Camera
    geometry: Geometry


def config_of(resolved: Mapping[str, Any]) -> SynthConfig:
    """The configuration whose `what_fields` a resolved one holds; fields of painters and of speed have their defaults.

    Raises:
        RefusedError: A field is missing, or isn't what it may be.
    """
    missing = next((name for name in WHAT if name not in resolved and name not in UNSAID), None)
    if missing is not None:
        raise RefusedError(f"{missing} is missing")
    return with_content(SynthConfig(), {name: resolved[name] for name in WHAT if name in resolved}, checked)


def tell(scenes: Sequence[Scene], person: PlannedIdentity, provenance: Provenance) -> Told:
    """What the scenes of an identity tell.

    Args:
        scenes: All of it, expression by expression, view by view.
        person: Who.
        provenance: What every row says of its making.

    Raises:
        ValueError: The scenes don't belong together, or can't be rendered.
        RefusedError: The texture that the person wears is damaged.
    """
    check_scenes(scenes)
    # Of the light nothing is told, and own places aren't in the data set.
    unlit = [replace(scene, light=LightSetting(), background=BACKGROUNDS[0]) for scene in scenes]
    shots, head = shots_of(unlit, effects=True), Head.default()
    numbers = np.array([scene.expression_id for scene in scenes])
    _, moments, expression = np.unique(numbers, return_index=True, return_inverse=True)
    grown = surface_of(head, scenes[0])
    identity, au = head.identity_vector(scenes[0].identity), shots.au[moments]
    still = head(identity, torch.cat([torch.zeros_like(au[:1]), au]), surface=grown).vertices
    neck, gaze = shots.neck[moments], shots.gaze[moments]
    posed = head(identity, au, neck_pose=neck, leye_pose=gaze, reye_pose=gaze, surface=grown).vertices
    landmarks = head.landmark_points(posed)[expression]
    moved = millimetres_moved(still[:1], still[1:]).amax(1)[expression]
    return Told(
        person,
        scenes,
        make_scene_rows(scenes, shots.camera, person, provenance),
        shots.camera,
        Geometry(landmarks.numpy(), *seen_landmarks(shots.camera, landmarks), still[0].numpy(), moved.numpy()),
    )


def seen_landmarks(camera: Camera, landmarks: Tensor) -> tuple[Floats, Floats]:
    """Pixels [B, N, 2] of landmarks [B, N, 3], and the box [B, 4] around those of the face."""
    pixels = camera.project(landmarks)
    return pixels.numpy(), box_around(pixels.numpy())


def box_around(landmarks_2d: Floats) -> Floats:
    """x0 y0 x1 y1 [B, 4] around the facial ones of landmarks [B, N, 2]."""
    face = landmarks_2d[:, :FACE_LANDMARKS]
    return np.concatenate([face.min(1), face.max(1)], 1)


def read_scenes(texts: Sequence[str], resolved: Mapping[str, Any]) -> list[Scene]:
    """The scenes of one identity's rows, a stranger's: `Scene` takes no number out of its range.

    Args:
        texts: JSON of all its scenes, in their order.
        resolved: Of the data set.

    Raises:
        ValueError: A text is no scene, has a number that nothing can be made of, or isn't of this data set; or
            together they aren't every expression in every view.
    """
    scenes = [Scene.from_json(text) for text in texts]
    for scene in scenes:
        for name in ("seed", "size"):
            if getattr(scene, name) != resolved.get(name):
                raise ValueError(f"{name} is {getattr(scene, name)}, the configuration says {resolved.get(name)}")
    keys = [(scene.identity_id, scene.expression_id, scene.view_id) for scene in scenes]
    expressions, views = (len({key[place] for key in keys}) for place in (1, 2))
    if keys != [(keys[0][0], *each) for each in product(range(expressions), range(views))]:
        raise ValueError("an identity's rows aren't every expression in every view, in order")
    check_scenes(scenes)
    return scenes


def person_of(scene: Scene, split: str) -> PlannedIdentity:
    """The planned identity that a scene shows; its cell is that in which such a person lies."""
    who = scene.identity
    ages = next((name for name, (least, most) in AGE_GROUPS.items() if least <= who.age <= most), "")
    cell = DemographicCell(ages, SEXES[round(who.sex)], ANCESTRIES[int(np.argmax(who.ancestry))])
    return PlannedIdentity(scene.identity_id, cell, split)
