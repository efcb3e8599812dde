"""Knows another renderer: flat faces, painted from far to near, of the scenes of a data set.

No texture, normal map, subsurface light, tone curve or noise of ours: a triangle has one colour, that of the skin at
its middle, under one lamp (Lambert), and covers what lies behind it (the painter's algorithm), as a simple viewer of
meshes would show it. Shape, expression, pose, camera and labels are the scene's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pain3d.head.model import Head
from pain3d.random import keyed_generator
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.rendering.shots import shots_of
from pain3d.scene import Scene
from pain3d.skin import surface_maps
from pain3d.skin.painting import paint

Pixels = npt.NDArray[np.uint8]
AMBIENT = 0.35  # share of the light that comes from everywhere
SHIFT = 4  # binary digits of a pixel that OpenCV is told


def paint_flat(scenes: Sequence[Scene]) -> list[Pixels]:
    """Pictures [size, size, 3] sRGB of scenes of one person."""
    head, shots = Head.default(), shots_of(scenes)
    mesh = head(
        [scene.identity for scene in scenes], shots.au, neck_pose=shots.neck, leye_pose=shots.gaze,
        reye_pose=shots.gaze,
    )  # fmt: skip
    corners = head.topology.faces.long()
    colours = _colours(head, scenes[0]).numpy()
    pixels = shots.camera.project(mesh.vertices)[:, corners].numpy()
    triangles = mesh.vertices[:, corners]
    normals = torch.linalg.cross(triangles[:, :, 1] - triangles[:, :, 0], triangles[:, :, 2] - triangles[:, :, 0])
    normals = torch.nn.functional.normalize(normals, dim=-1).numpy()
    depth = (triangles.mean(2) - shots.camera.position[:, None]).norm(dim=-1).numpy()
    return [_painted(scene, *parts, colours) for scene, *parts in zip(scenes, pixels, normals, depth, strict=True)]


def _painted(
    scene: Scene,
    corners: npt.NDArray[np.float32],
    normals: npt.NDArray[np.float32],
    depth: npt.NDArray[np.float32],
    colours: npt.NDArray[np.float32],
) -> Pixels:
    generator = keyed_generator(scene.seed, "flat", scene.identity_id, scene.expression_id, scene.view_id)
    lamp = np.array([generator.uniform(-0.7, 0.7), generator.uniform(0, 0.8), 1.0])
    lit = AMBIENT + (1 - AMBIENT) * np.maximum(normals @ (lamp / np.linalg.norm(lamp)), 0)
    shown = np.round(255 * np.clip(colours * lit[:, None] * 1.3, 0, 1) ** (1 / 2.2))
    canvas = np.full((scene.size, scene.size, 3), generator.uniform(40, 220, 3), np.uint8)
    across, down = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    ahead = np.flatnonzero(across[0] * down[1] - across[1] * down[0] < 0)  # y down: counter-clockwise is negative
    placed = np.round((corners - 0.5) * 2**SHIFT).astype(np.int32)  # OpenCV's pixel centres are whole numbers
    for face in ahead[np.argsort(-depth[ahead], kind="stable")]:
        cv2.fillConvexPoly(canvas, placed[face], shown[face].tolist(), cv2.LINE_8, SHIFT)
    return canvas


@cache
def _places(head: Head) -> torch.Tensor:
    """The middle of each face in the texture, [F, 2] rows and columns."""
    middle = head.topology.uvs[head.topology.uv_faces.long()].mean(1)
    return (torch.stack([1 - middle[:, 1], middle[:, 0]], 1) * TEXTURE_SIZE).long().clamp(0, TEXTURE_SIZE - 1)


def _colours(head: Head, scene: Scene) -> torch.Tensor:
    """Linear colour of each face, [F, 3]."""
    texture = paint(surface_maps(head, TEXTURE_SIZE), scene.skin)
    rows, columns = _places(head).T
    return texture[rows, columns, :3]
