"""Knows how the head is drawn with Mitsuba 3: one scene, whose parameters are written anew for every picture.

Faces are shaded flat: it computes smooth normals itself for every new set of vertices, where others are handed ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.peers._meshes import corners_of, pose_of
from benchmarks.peers._pool import Draw, Pictures
from pain3d.kernels import encode_srgb
from pain3d.kernels.shading.reference import Y00

NEAR, FAR = 0.1, 10.0  # metres
DIFFERENTIATED = ("head.vertex_positions", "sky.radiance.value", "key.irradiance.value")  # the lights cost nothing more


def make(scene: SimpleNamespace, options: Mapping[str, Any]) -> Draw:
    """Get a process ready: the scene, and every skin as Mitsuba's arrays.

    With `integrator` among the options it draws float rows: the linear picture [H, W, 4], coverage last, then the
    gradient [V, 3] of its weighing by `weights` [H, W, 4].
    """
    import drjit
    import mitsuba

    mitsuba.set_variant(options["variant"])
    shared, samples = scene.shared, options["samples"]
    gather, uvs, indices = corners_of(shared)
    skins = [
        tuple(mitsuba.TensorXf(np.ascontiguousarray(texture[..., part])) for part in (slice(0, 3), slice(4, 5)))
        for texture in shared.textures
    ]
    built = mitsuba.load_dict(
        _scene_of(
            mitsuba,
            _head(mitsuba, scene.ring[0].vertices[0][gather], uvs, indices, shared.textures.shape[1:3]),
            scene.side,
            samples,
        )
    )
    parameters = mitsuba.traverse(built)
    background = torch.from_numpy(shared.background)
    wanted = "integrator" in options

    def write(each: SimpleNamespace, at: int) -> None:
        pose, field_of_view = pose_of(each.world_to_clip[at], each.camera_position[at])
        pose[:3, [0, 2]] *= -1  # Mitsuba's cameras look along their +Z, +X to the left
        exposure = float(each.exposure[at])
        albedo, roughness = skins[each.texture_index[at]]
        vertices = each.vertices[each.mesh_index[at]][gather]
        sky = each.sh[at, 0].clip(0) * (Y00 * exposure)  # the mean of the environment's radiance
        _put(parameters, "head.vertex_positions", vertices)
        parameters["head.bsdf.base_color.data"] = albedo
        parameters["head.bsdf.roughness.data"] = roughness
        parameters["camera.to_world"] = mitsuba.Transform4f(pose)
        parameters["camera.x_fov"] = float(np.degrees(field_of_view))
        parameters["sky.radiance.value"] = mitsuba.Color3f(*sky.tolist())
        parameters["key.irradiance.value"] = mitsuba.Color3f(*(each.key_colour[at] * exposure).tolist())
        target = (-each.key_direction[at]).tolist()
        parameters["key.to_world"] = mitsuba.Transform4f().look_at([0.0, 0.0, 0.0], target, [0.0, 1.0, 0.0])
        if wanted:
            for name in DIFFERENTIATED:
                drjit.enable_grad(parameters[name])
        parameters.update()

    def seen(at: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Linear colour over the background [H, W, 3], and coverage [H, W, 1]."""
        with drjit.suspend_grad():
            drawn = torch.from_numpy(np.array(mitsuba.render(built, spp=samples, seed=at)))  # [H, W, 4], alpha last
        coverage = drawn[..., 3:]
        return drawn[..., :3] + (1 - coverage).clamp(0, 1) * background, coverage

    def draw(number: int, first: int, pictures: Pictures) -> None:
        each = scene.ring[number]
        for at, picture in enumerate(pictures, first):
            write(each, at)
            picture[:] = encode_srgb(seen(at)[0]).numpy()

    if not wanted:
        return draw
    # As `mitsuba.render` and `drjit.backward` do together, but the picture is drawn by the compiled `direct`, which is
    # faster than the integrators of Python and knows coverage.
    integrator = mitsuba.load_dict(options["integrator"] | {"hide_emitters": True})
    weights, positions = options["weights"], torch.from_numpy(gather)
    over = np.concatenate([weights[..., :3], weights[..., 3:] - weights[..., :3] @ shared.background[:, None]], -1)
    incoming = mitsuba.TensorXf(over.astype(np.float32))  # of colour and coverage before the background is added

    def differentiate(number: int, first: int, rows: Pictures) -> None:
        each = scene.ring[number]
        for at, row in enumerate(rows, first):
            write(each, at)
            linear = torch.cat(seen(at), -1)
            integrator.render_backward(built, parameters, incoming, seed=at, spp=samples)
            corners = torch.from_numpy(np.array(drjit.grad(parameters["head.vertex_positions"]))).reshape(-1, 3)
            gradient = corners.new_zeros(each.vertices.shape[1:]).index_add_(0, positions, corners)
            row[:] = torch.cat([linear.ravel(), gradient.ravel()]).numpy()

    return differentiate


def _head(mitsuba: Any, vertices: Any, uvs: Any, indices: Any, size: tuple[int, int]) -> Any:
    """A mesh of this topology; its vertices and skin are written per picture."""

    def bitmap(channels: int) -> dict[str, Any]:
        data = mitsuba.TensorXf(np.full((*size, channels), 0.5, np.float32))
        return {"type": "bitmap", "raw": True, "wrap_mode": "clamp", "data": data}

    properties = mitsuba.Properties()
    properties["skin"] = mitsuba.load_dict(
        {"type": "principled", "base_color": bitmap(3), "roughness": bitmap(1), "specular": 0.4}  # of index 1.4
    )
    mesh = mitsuba.Mesh(
        "head", len(vertices), len(indices), has_vertex_normals=False, has_vertex_texcoords=True, props=properties
    )
    parameters = mitsuba.traverse(mesh)
    upward = np.stack([uvs[:, 0], 1 - uvs[:, 1]], 1)  # row 0 of a bitmap is v = 0
    _put(parameters, "faces", indices.astype(np.uint32))
    _put(parameters, "vertex_texcoords", upward.astype(np.float32))
    _put(parameters, "vertex_positions", vertices)
    parameters.update()
    return mesh


def _put(parameters: Any, name: str, values: Any) -> None:
    """Write an array; its type depends on the variant."""
    parameters[name] = type(parameters[name])(np.ascontiguousarray(values).ravel())


def _scene_of(mitsuba: Any, head: Any, side: int, samples: int) -> dict[str, Any]:
    film = {"type": "hdrfilm", "width": side, "height": side, "pixel_format": "rgba", "component_format": "float32"}
    return {
        "type": "scene",
        "integrator": {"type": "direct", "emitter_samples": 1, "bsdf_samples": 0, "hide_emitters": True},
        "camera": {
            "type": "perspective",
            "fov": 30.0,
            "fov_axis": "x",
            "near_clip": NEAR,
            "far_clip": FAR,
            "film": film | {"rfilter": {"type": "box"}},
            "sampler": {"type": "stratified", "sample_count": samples},
        },
        "sky": {"type": "constant", "radiance": {"type": "rgb", "value": 1.0}},
        "key": {"type": "directional", "direction": [0, 0, -1], "irradiance": {"type": "rgb", "value": 1.0}},
        "head": head,
    }
