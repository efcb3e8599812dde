"""Knows how the head is drawn with pyrender: a scene that stays, and a mesh with its texture for every picture.

pyrender 0.1.45 is of 2021: it asks NumPy 2 for `np.infty`, which is given back to it here, before its import.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.peers._meshes import corners_of, encoded, pose_of
from benchmarks.peers._pool import Draw, Pictures
from pain3d.kernels import vertex_normals
from pain3d.kernels.shading.reference import Y00

NEAR, FAR = 0.1, 10.0  # metres


def make(scene: SimpleNamespace, options: Mapping[str, Any]) -> Draw:
    """Get a process ready: the scene, and every skin as bytes."""
    setattr(np, "infty", np.inf)  # noqa: B010  # the name that NumPy 2 took away
    import pyrender

    shared = scene.shared
    gather, uvs, indices = corners_of(shared)
    faces = torch.from_numpy(shared.faces)
    # As in glTF, which pyrender follows: row 0 is the top row and v points down; it turns both around itself.
    skins = [(encoded(texture[..., :3]) * 255 + 0.5).astype(np.uint8) for texture in shared.textures]
    roughness = [float(texture[..., 4].mean()) for texture in shared.textures]
    stage = pyrender.Scene(bg_color=[*encoded(shared.background), 1.0])
    camera = stage.add(pyrender.PerspectiveCamera(yfov=0.5, znear=NEAR, zfar=FAR, aspectRatio=1.0))
    key = stage.add(pyrender.DirectionalLight(intensity=1.0))
    renderer = pyrender.OffscreenRenderer(scene.side, scene.side)

    def mesh_of(vertices: Any, normals: Any, skin: int) -> Any:
        material = pyrender.MetallicRoughnessMaterial(
            baseColorTexture=pyrender.Texture(source=skins[skin], source_channels="RGB"),
            metallicFactor=0.0,
            roughnessFactor=roughness[skin],
        )
        corners = {"positions": vertices[gather], "normals": normals[gather], "texcoord_0": uvs}
        return pyrender.Mesh([pyrender.Primitive(**corners, indices=indices, material=material)])

    def draw(number: int, first: int, pictures: Pictures) -> None:
        each = scene.ring[number]
        for at, picture in enumerate(pictures, first):
            vertices = each.vertices[each.mesh_index[at]]
            normals = vertex_normals(torch.from_numpy(vertices[None]), faces)[0].numpy()
            pose, field_of_view = pose_of(each.world_to_clip[at], each.camera_position[at])
            camera.camera.yfov = field_of_view
            stage.set_pose(camera, pose)
            stage.ambient_light = each.sh[at, 0] * Y00 * each.exposure[at]  # the mean of the environment's radiance
            strength = float(each.key_colour[at].max())
            key.light.color, key.light.intensity = each.key_colour[at] / strength, strength * each.exposure[at]
            stage.set_pose(key, _looking(-each.key_direction[at]))
            node = stage.add(mesh_of(vertices, normals, int(each.texture_index[at])))
            picture[:] = renderer.render(stage)[0]
            stage.remove_node(node)

    return draw


def _looking(direction: Any) -> Any:
    """A pose [4, 4] whose −Z axis is the direction, as a light shines."""
    back = -direction.astype(np.float64)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, 0], pose[:3, 1], pose[:3, 2] = right, np.cross(back, right), back
    return pose
