"""Knows what `render` means: the six rooms composed, in plain torch. The fused backend must give the same picture."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels.antialiasing.reference import antialias_reference
from pain3d.kernels.deformation.reference import to_clip, vertex_normals_reference
from pain3d.kernels.interpolation.reference import interpolate_reference
from pain3d.kernels.rasterization.reference import (
    SUBPIXELS,
    Fragments,
    doubled_areas,
    rasterize_reference,
    screen_positions,
)
from pain3d.kernels.rendering.colour import encode_srgb, tone_map
from pain3d.kernels.rendering.relief import detailed, tilted
from pain3d.kernels.shading.reference import shade_reference
from pain3d.kernels.texturing.reference import Mipmaps, sample_texture_reference

NO_LABEL = 255  # of a pixel that sees no face: labels are bytes, and a background of 0 would be some part's name


class RenderInputs(NamedTuple):
    """All that `render` reads, checked; `pain3d.kernels.render` says what each field is."""

    vertices: Tensor  # [M, V, 3]
    faces: Tensor  # [F, 3]
    adjacent_faces: Tensor  # [F, 3]
    uvs: Tensor  # [T, 2]
    uv_faces: Tensor  # [F, 3]
    texture: Mipmaps  # [K, N, 16]
    occlusion: Tensor  # [M or 1, V]
    detail_weights: Tensor  # [M or 1, V, 2]
    up: Tensor  # [M or 1, 3]
    world_to_clip: Tensor  # [B, 4, 4]
    camera_position: Tensor  # [B, 3]
    sh: Tensor  # [B, 9, 3]
    key_direction: Tensor  # [B, 3]
    key_colour: Tensor  # [B, 3]
    background: Tensor  # [B, Hb, Wb, 3]
    exposure: Tensor  # [B]
    mesh_index: Tensor  # [B]
    texture_index: Tensor  # [B]
    attributes: Tensor  # [M, V, A]
    size: tuple[int, int]
    face_labels: Tensor | None = None  # [F]


class Rendered(NamedTuple):
    """What `render` returns; a field nobody asked for is None."""

    image: Tensor | None = None  # [B, H, W, 3] uint8 sRGB, or as image_dtype and layout say
    alpha: Tensor | None = None  # [B, H, W] uint8, antialiased coverage
    face_ids: Tensor | None = None  # [B, H, W] int32
    barycentrics: Tensor | None = None  # [B, H, W, 3]
    depth: Tensor | None = None  # [B, H, W] metres
    attributes: Tensor | None = None  # [B, H, W, A]
    labels: Tensor | None = None  # [B, H, W] uint8, NO_LABEL on background


def stretch(background: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the background [B, Hb, Wb, 3] stretched bilinearly over [B, H, W, 3], texel centres at +0.5, clamped."""
    height, width = size
    rows, columns = background.shape[1:3]

    def positions(count: int, texels: int) -> tuple[Tensor, Tensor, Tensor]:
        at = (
            (torch.arange(count, device=background.device, dtype=torch.float32) + 0.5) * (texels / max(count, 1))
        ) - 0.5
        at = at.clamp(0, texels - 1)
        low = at.floor().long()
        return low, (low + 1).clamp(max=texels - 1), (at - low).to(background.dtype)

    top, bottom, down = positions(height, rows)
    left, right, across = positions(width, columns)
    tall = background[:, top] + down[:, None, None] * (background[:, bottom] - background[:, top])
    return tall[:, :, left] + across[:, None] * (tall[:, :, right] - tall[:, :, left])


def mip_levels(scene: RenderInputs, clip: Tensor) -> Tensor:
    """Return the mip level [B, F] of each face: half the log2 of texels per pixel, both as areas, not below 0."""
    corners = scene.uvs.to(torch.float64)[scene.uv_faces.long()]  # [F, 3, 2]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    texels = (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).abs() * (scene.texture.height * scene.texture.width)
    _, snapped, usable = screen_positions(clip.detach(), scene.size)
    pixels = doubled_areas(snapped, usable, scene.faces).to(torch.float64) / SUBPIXELS**2
    drawn = (pixels > 0) & (texels > 0)
    ratio = torch.where(drawn, texels / pixels.where(drawn, torch.ones_like(pixels)), 1.0)
    return (0.5 * torch.log2(ratio)).clamp(min=0)


def render_linear_reference(scene: RenderInputs) -> tuple[Tensor, Fragments, Tensor]:
    """Return (RGB and coverage [B, H, W, 4], linear, toned and antialiased; fragments; vertices_clip [B, V, 4]).

    Gradients: through every room, to vertices (shading and silhouettes), texture, occlusion, detail weights, up, light,
    camera and background.
    """
    dtype = scene.vertices.dtype
    mesh, skin = scene.mesh_index.long(), scene.texture_index.long()
    vertices = scene.vertices[mesh]
    clip = to_clip(vertices, scene.world_to_clip)
    fragments = rasterize_reference(clip, scene.faces, scene.size, True)
    face_ids, barycentrics = fragments.face_ids, fragments.barycentrics.to(dtype)
    normals = vertex_normals_reference(scene.vertices, scene.faces)[mesh]
    occlusion, weights, up = (_of_meshes(rows, mesh) for rows in (scene.occlusion, scene.detail_weights, scene.up))
    weights = weights.expand(*occlusion.shape, -1)
    at_vertices = torch.cat([vertices, normals, occlusion[..., None], weights], -1)
    surface = interpolate_reference(at_vertices, scene.faces, face_ids, barycentrics)
    uv = interpolate_reference(scene.uvs[None], scene.uv_faces, face_ids, barycentrics)
    levels = mip_levels(scene, clip).to(dtype)
    image = torch.arange(len(mesh), device=mesh.device)[:, None, None]
    covered = face_ids >= 0
    level = torch.where(covered, levels[image, face_ids.long().clamp(min=0)], 0.0) if len(scene.faces) else uv[..., 0]
    texels = sample_texture_reference(scene.texture._replace(texels=scene.texture.texels[skin]), uv, level)
    albedo, specular, slope = detailed(texels, surface[..., 7:])
    lit = shade_reference(
        albedo,
        tilted(surface[..., 3:6], up[:, None, None], slope),
        scene.camera_position[:, None, None] - surface[..., :3],
        scene.sh,
        scene.key_direction,
        scene.key_colour,
        surface[..., 6],
        specular,
        texels[..., 4],
        texels[..., 7],
    )
    toned = tone_map(lit * scene.exposure[:, None, None, None])
    colour = torch.where(covered[..., None], toned, stretch(scene.background, scene.size))
    layers = torch.cat([colour, covered[..., None].to(dtype)], -1)
    layers = antialias_reference(layers, face_ids, fragments.depth, clip, scene.faces, scene.adjacent_faces)
    return layers, fragments, clip


def _of_meshes(rows: Tensor, mesh: Tensor) -> Tensor:
    """The row of each picture's mesh, [M or 1, ...] to [B, ...]."""
    return rows[mesh if len(rows) > 1 else torch.zeros_like(mesh)]


def labels_of(face_ids: Tensor, face_labels: Tensor) -> Tensor:
    """Return the labels, uint8 of the shape of face_ids: that of the face each pixel sees, NO_LABEL on background."""
    labels = torch.cat([face_labels.to(torch.uint8), face_labels.new_full((1,), NO_LABEL, dtype=torch.uint8)])
    return labels[face_ids.long()]  # -1 is the last


def render_reference(scene: RenderInputs, outputs: tuple[str, ...]) -> Rendered:
    """Return what was asked for; see `pain3d.kernels.render`."""
    dtype = scene.vertices.dtype
    with torch.no_grad():
        layers = None
        if "image" in outputs or "alpha" in outputs:
            layers, fragments, _ = render_linear_reference(scene)
        else:
            clip = to_clip(scene.vertices[scene.mesh_index.long()], scene.world_to_clip)
            fragments = rasterize_reference(clip, scene.faces, scene.size, True)
        made: dict[str, Tensor] = {
            "face_ids": fragments.face_ids,
            "barycentrics": fragments.barycentrics.to(dtype),
            "depth": fragments.depth.to(dtype),
        }
        if layers is not None:
            made["image"] = encode_srgb(layers[..., :3])
            made["alpha"] = (layers[..., 3].clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        if "attributes" in outputs:
            values = scene.attributes[scene.mesh_index.long()]
            made["attributes"] = interpolate_reference(values, scene.faces, fragments.face_ids, made["barycentrics"])
        if scene.face_labels is not None:
            made["labels"] = labels_of(fragments.face_ids, scene.face_labels)
        return Rendered(**{name: tensor for name, tensor in made.items() if name in outputs})
