"""Knows what `render` means: the six rooms composed, in plain torch. The fused backend must give the same picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from pain3d.kernels.rendering.bundles import Rendered, RenderInputs, Request, Triangles
from pain3d.kernels.rendering.colour import encode_srgb, encode_srgb_float, tone_map
from pain3d.kernels.rendering.relief import detailed, tilted
from pain3d.kernels.shading.reference import SurfacePoints, shade_reference
from pain3d.kernels.shadowing.reference import lit_shares, seen_on_faces
from pain3d.kernels.texturing.reference import sample_texture_reference

if TYPE_CHECKING:
    from pain3d.kernels.layering.bundles import LayerScene

NO_LABEL = 255  # of a pixel that sees no face: labels are bytes, and a background of 0 would be some part's name


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
    texels = uv_areas(scene.triangles) * (scene.texture.height * scene.texture.width)
    _, snapped, usable = screen_positions(clip.detach(), scene.size)
    pixels = doubled_areas(snapped, usable, scene.triangles.faces).to(torch.float64) / SUBPIXELS**2
    drawn = (pixels > 0) & (texels > 0)
    ratio = torch.where(drawn, texels / pixels.where(drawn, torch.ones_like(pixels)), 1.0)
    return (0.5 * torch.log2(ratio)).clamp(min=0)


def uv_areas(triangles: Triangles) -> Tensor:
    """Return twice the area of each face in the unit square, [F] float64. No gradients: a mip level is fixed."""
    corners = triangles.uvs.detach().to(torch.float64)[triangles.uv_faces.long()]  # [F, 3, 2]
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return (one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0]).abs()


def render_linear_reference(scene: RenderInputs) -> tuple[Tensor, Fragments, Tensor]:
    """Return (RGB and coverage [B, H, W, 4], linear, toned and antialiased; fragments; vertices_clip [B, V, 4])."""
    linear, fragments, clip, _ = render_layered_reference(scene, None)
    return linear, fragments, clip


def render_layered_reference(
    scene: RenderInputs, layered: LayerScene | None
) -> tuple[Tensor, Fragments, Tensor, Tensor]:
    """Return what `render_linear_reference` does, with layers over it, and the share [B, H, W] that they cover.

    Gradients: through every room, to vertices (shading and silhouettes), texture, uvs, occlusion, detail weights, up,
    light, exposure, camera and background; the mip level is fixed.
    """
    meshes, triangles, texture, views, lights, size, _ = scene
    dtype = meshes.vertices.dtype
    mesh, skin = views.mesh_index.long(), views.texture_index.long()
    vertices = meshes.vertices[mesh]
    clip = to_clip(vertices, views.world_to_clip)
    fragments = rasterize_reference(clip, triangles.faces, size, True)
    face_ids, barycentrics = fragments.face_ids, fragments.barycentrics.to(dtype)
    normals = vertex_normals_reference(meshes.vertices, triangles.faces)[mesh]
    occlusion, weights, up = (_of_meshes(rows, mesh) for rows in (meshes.occlusion, meshes.detail_weights, meshes.up))
    weights = weights.expand(*occlusion.shape, -1)
    at_vertices = torch.cat([vertices, normals, occlusion[..., None], weights], -1)
    surface = interpolate_reference(at_vertices, triangles.faces, face_ids, barycentrics)
    uv = interpolate_reference(triangles.uvs[None], triangles.uv_faces, face_ids, barycentrics)
    levels = mip_levels(scene, clip).to(dtype)
    image = torch.arange(len(mesh), device=mesh.device)[:, None, None]
    covered = face_ids >= 0
    level = (
        torch.where(covered, levels[image, face_ids.long().clamp(min=0)], 0.0) if len(triangles.faces) else uv[..., 0]
    )
    texels = sample_texture_reference(texture._replace(texels=texture.texels[skin]), uv, level)
    albedo, specular, slope = detailed(texels, surface[..., 7:])
    points = SurfacePoints(
        albedo=albedo,
        normal=tilted(surface[..., 3:6], up[:, None, None], slope),
        view_direction=views.camera_position[:, None, None] - surface[..., :3],
        occlusion=surface[..., 6],
        specular=specular,
        roughness=texels[..., 4],
        scatter=texels[..., 7],
    )
    if scene.shadows.kinds is None:
        light = shade_reference(points, lights)
    else:  # light adds up: that of the environment, and what of the key light arrives
        light = shade_reference(points, lights._replace(key_colour=torch.zeros_like(lights.key_colour)))
        keyed = shade_reference(points, lights._replace(sh=torch.zeros_like(lights.sh)))
        light = light + _lit_shares(scene, fragments, texels[..., 7]) * keyed
    toned = tone_map(light * views.exposure[:, None, None, None])
    colour = torch.where(covered[..., None], toned, stretch(views.background, size))
    veil = torch.zeros_like(colour[..., 0])
    if layered is not None:
        from pain3d.kernels.layering.reference import overlay_reference

        colour, veil = overlay_reference(colour, fragments.depth.to(dtype), layered)
    seen = torch.cat([colour, torch.where(covered, torch.ones_like(veil), veil)[..., None]], -1)
    seen = antialias_reference(seen, face_ids, fragments.depth, clip, triangles.faces, triangles.adjacent_faces)
    return seen, fragments, clip, veil


def _lit_shares(scene: RenderInputs, fragments: Fragments, scatter: Tensor) -> Tensor:
    """The share of the key light [B, H, W, 3] that reaches what each pixel sees."""
    barycentrics = fragments.barycentrics.detach().to(scatter.dtype)
    seen = seen_on_faces(
        scene.shadows, scene.views.shadow_index, scene.triangles.faces, fragments.face_ids, barycentrics
    )
    return lit_shares(seen, scatter.detach())


def _of_meshes(rows: Tensor, mesh: Tensor) -> Tensor:
    """The row of each picture's mesh, [M or 1, ...] to [B, ...]."""
    return rows[mesh if len(rows) > 1 else torch.zeros_like(mesh)]


def labels_of(face_ids: Tensor, face_labels: Tensor) -> Tensor:
    """Return the labels, uint8 of the shape of face_ids: that of the face each pixel sees, NO_LABEL on background."""
    labels = torch.cat([face_labels.to(torch.uint8), face_labels.new_full((1,), NO_LABEL, dtype=torch.uint8)])
    return labels[face_ids.long()]  # -1 is the last


def render_reference(scene: RenderInputs, request: Request, layered: LayerScene | None = None) -> Rendered:
    """Return what was asked for, the image as NHWC and float32 for any dtype but bytes; see `pain3d.kernels.render`."""
    meshes, triangles, mesh = scene.meshes, scene.triangles, scene.views.mesh_index.long()
    dtype, outputs = meshes.vertices.dtype, request.outputs
    with torch.set_grad_enabled(torch.is_grad_enabled() and request.differentiable()):
        linear = None
        if {"image", "alpha", "linear", "layer_alpha"} & {*outputs}:
            linear, fragments, _, veil = render_layered_reference(scene, layered)
        else:
            clip = to_clip(meshes.vertices[mesh], scene.views.world_to_clip)
            fragments = rasterize_reference(clip, triangles.faces, scene.size, True)
        made: dict[str, Tensor] = {
            "face_ids": fragments.face_ids,
            "barycentrics": fragments.barycentrics.to(dtype),
            "depth": fragments.depth.to(dtype),
        }
        if linear is not None:
            encode = encode_srgb if request.image_dtype == "uint8" else encode_srgb_float
            made |= {"linear": linear, "image": encode(linear[..., :3])}
            made["alpha"] = (linear[..., 3].detach().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
            made["layer_alpha"] = (veil.detach().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        if "attributes" in outputs:
            values = meshes.attributes[mesh]
            made["attributes"] = interpolate_reference(
                values, triangles.faces, fragments.face_ids, made["barycentrics"]
            )
        if triangles.face_labels is not None:
            made["labels"] = labels_of(fragments.face_ids, triangles.face_labels)
        return Rendered(**{name: tensor for name, tensor in made.items() if name in outputs})
