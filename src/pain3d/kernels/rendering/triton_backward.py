"""Knows the gradients of the fused `render` on a GPU: chunk by chunk of views, everything seen anew, nothing kept.

A chunk is drawn again and its light written before antialiasing; then the rooms' backward launches follow each other
from the picture to the meshes. So memory does not grow with the number of views. Sums have an order that does not
change (by face, by vertex, by mesh, chunk after chunk) or are of whole numbers: two runs give the same bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._fixed_point import steps_for
from pain3d.kernels._groups import Groups, group, remembered_groups
from pain3d.kernels._triton import on_device
from pain3d.kernels.antialiasing import kernel_backward as antialiasing
from pain3d.kernels.antialiasing.kernel import launch_antialias
from pain3d.kernels.deformation.kernel import launch_normals
from pain3d.kernels.deformation.kernel_normals import launch_normals_backward
from pain3d.kernels.deformation.reference import to_clip
from pain3d.kernels.interpolation.kernel_backward import launch_to_barycentrics, launch_to_vertices
from pain3d.kernels.interpolation.kernel_gather import launch_gather
from pain3d.kernels.rasterization.kernel import launch_project, launch_visibility
from pain3d.kernels.rasterization.kernel_backward import launch_to_clip
from pain3d.kernels.rasterization.workspace import Workspace, allocate_workspace
from pain3d.kernels.rendering.bundles import FORMS, Rendered, RenderInputs, Request, Views, tensors_of
from pain3d.kernels.rendering.kernel import Buffers, Chunk, launch_resolve, vertex_records
from pain3d.kernels.rendering.kernel_picture_backward import launch_background_backward, launch_encode_backward
from pain3d.kernels.rendering.kernel_surface_backward import SURFACE, launch_surface_backward
from pain3d.kernels.rendering.texels import remembered_texels
from pain3d.kernels.rendering.topology import PreparedTopology, remembered_topology
from pain3d.kernels.rendering.triton_op import ready
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.texturing.kernel_backward import TextureGradients, launch_sample_texture_backward

PIXELS = 2**20  # of a chunk: 300 bytes each, what a pass writes and the next one reads
GEOMETRY = ("vertices", "world_to_clip")


class Upstream(NamedTuple):
    """Gradients to what `render` returned; None where there is none."""

    linear: Tensor | None
    image: Tensor | None
    barycentrics: Tensor | None
    depth: Tensor | None
    attributes: Tensor | None


class Still(NamedTuple):
    """What all views read."""

    scene: RenderInputs  # as the kernels read it, its texels packed
    texels: Tensor  # [K, N, 16] float32
    tables: PreparedTopology
    normals: Tensor | None  # [M, V, 3], None where no light has a gradient
    corners: Groups  # of the faces, by vertex
    uv_corners: Groups  # of the uv_faces, by texture coordinate


class Drawn(NamedTuple):
    """A chunk of N views, drawn again."""

    scene: RenderInputs  # of these views alone
    screen: Tensor  # [N, V, 4] int32
    clip: Tensor  # [N, V, 4]
    face_ids: Tensor  # [N, H, W] int32
    barycentrics: Tensor  # [N, H, W, 3]
    depth: Tensor  # [N, H, W]
    light: Tensor | None  # [N, H, W, 4], before antialiasing


class Rows(NamedTuple):
    """Gradients of meshes, as views see them or as they are."""

    surface: Tensor  # [..., V, 9] to position, normal, occlusion and detail weights
    attributes: Tensor  # [..., V, A]
    up: Tensor  # [..., 3]


def launch_render_backward(
    scene: RenderInputs, request: Request, upstream: Upstream, wanted: frozenset[str], *, chunk: int | None = None
) -> dict[str, Tensor]:
    """Return the gradients to the tensors of these names, of `FORMS`, without waiting for the device.

    Args:
        scene: Checked, float32; see `pain3d.kernels.render`.
        request: What was rendered.
        upstream: Gradients to it.
        wanted: Names.
        chunk: Views at a time; None for as many as `PIXELS` hold. Sums over views are rounded after each chunk.
    """
    given = tensors_of(scene)
    found = {name: given[name].new_zeros(given[name].shape) for name in sorted(wanted)}  # type: ignore[union-attr]
    views, pixels = scene.views.world_to_clip.shape[0], scene.size[0] * scene.size[1]
    if views * pixels == 0:
        return found
    with on_device(scene.meshes.vertices):
        still = _still(scene, upstream)
        meshes = still.scene.meshes
        rows = Rows(
            meshes.vertices.new_zeros(*meshes.vertices.shape[:2], SURFACE),
            torch.zeros_like(meshes.attributes),
            meshes.vertices.new_zeros(len(meshes.vertices), 3),
        )
        many = chunk or max(PIXELS // pixels, 1)
        counts = (meshes.vertices.shape[1], len(still.tables.corners))
        workspace = allocate_workspace(views, *counts, scene.size, meshes.vertices.device, many)
        for first, last, epoch in workspace.passes(views):
            part = slice(first, last)
            some = Upstream._make([None if whole is None else whole[part].contiguous() for whole in upstream])
            drawn = _draw(still, part, workspace, epoch)
            of_views = _backward(
                still, drawn, some, request.layout, {name: _of(found[name], name, part) for name in found}
            )
            groups = group(drawn.scene.views.mesh_index, len(meshes.vertices))
            for total, added in zip(rows, of_views, strict=True):
                if total.numel():
                    total += launch_gather(added.reshape(1, last - first, -1), groups).view(total.shape)
        _finish(still, rows, found)
    return found


def _of(found: Tensor, name: str, part: slice) -> Tensor:
    """What of a gradient belongs to some views: all of what views share."""
    return found[part] if FORMS[name][0].split()[0] == "B" else found


def _still(scene: RenderInputs, upstream: Upstream) -> Still:
    vertices = scene.meshes.vertices
    tables = remembered_topology(scene.triangles, vertices.shape[1])
    lit = upstream.linear is not None or upstream.image is not None
    texels = scene.texture.texels.detach().contiguous()
    here = ready(scene, tables.triangles, remembered_texels(scene.texture.texels) if lit else texels)
    normals = None
    if lit:
        normals = launch_normals(here.meshes.vertices, tables.triangles.faces, tables.starts, tables.members)
    corners = remembered_groups(tables.triangles.faces, vertices.shape[1])
    return Still(
        here, texels, tables, normals, corners, remembered_groups(tables.triangles.uv_faces, len(scene.triangles.uvs))
    )


def _draw(still: Still, part: slice, workspace: Workspace, epoch: int) -> Drawn:
    """Draw some views again, not antialiased."""
    meshes, triangles, texture, views, lights, size, shadows = still.scene
    background = views.background if len(views.background) == 1 else views.background[part]
    views = Views._make([rows[part] for rows in views])._replace(background=background)
    lights = Lights._make([rows[part] for rows in lights])
    scene = RenderInputs(meshes, triangles, texture, views, lights, size, shadows)
    new, count = meshes.vertices.new_empty, len(views.mesh_index)
    screen = workspace.screen[:count]
    launch_project(meshes.vertices, views.world_to_clip, views.mesh_index, size, screen)
    launch_visibility(screen, triangles.faces, size, True, workspace.keys, epoch, workspace.queue)
    made = Rendered(
        face_ids=torch.empty(count, *size, dtype=torch.int32, device=screen.device),
        barycentrics=new(count, *size, 3),
        depth=new(count, *size),
        linear=None if still.normals is None else new(count, *size, 4),
    )
    points = None if still.normals is None else vertex_records(meshes, still.normals)
    now = Chunk(Buffers(screen, workspace.keys, None, None), 0, epoch)
    launch_resolve(scene, still.tables, points, made, "NHWC", now)
    clip = to_clip(_of_views(meshes.vertices, views), views.world_to_clip).to(torch.float32)
    return Drawn(scene, screen, clip, made.face_ids, made.barycentrics, made.depth, made.linear)  # type: ignore[arg-type]


def _of_views(rows: Tensor, views: Views) -> Tensor:
    """The row of each view's mesh; of a mesh that does not exist any other, since nothing is seen of it."""
    if len(rows) == 1:
        return rows.expand(len(views.mesh_index), *rows.shape[1:])
    return rows.index_select(0, views.mesh_index.clamp(0, len(rows) - 1))


def _backward(still: Still, drawn: Drawn, upstream: Upstream, layout: str, found: dict[str, Tensor]) -> Rows:
    """Add and write the gradients of some views; return those of their meshes, a row a view."""
    meshes, triangles, views = drawn.scene.meshes, drawn.scene.triangles, drawn.scene.views
    count, moving = len(views.mesh_index), bool({*GEOMETRY} & {*found})
    new = meshes.vertices.new_zeros
    rows = Rows(new(count, meshes.vertices.shape[1], SURFACE), new(count, *meshes.attributes.shape[1:]), new(count, 3))
    to_clip_space = new(drawn.clip.shape)
    to_barycentrics = [] if upstream.barycentrics is None else [upstream.barycentrics]
    seen = (triangles.faces, drawn.face_ids)
    if drawn.light is not None:
        of_light, of_edges, to_surface = _light_backward(still, drawn, upstream, layout, found, rows)
        to_barycentrics += of_light
        to_clip_space += of_edges
        rows.surface.copy_(launch_to_vertices(to_surface, drawn.barycentrics, *seen, still.corners, False))
    if upstream.attributes is not None:
        of_attributes = launch_to_vertices(upstream.attributes, drawn.barycentrics, *seen, still.corners, False)
        rows.attributes.copy_(of_attributes)
        if moving:
            attributes = _of_views(meshes.attributes, views).contiguous()
            to_barycentrics.append(launch_to_barycentrics(upstream.attributes, attributes, *seen))
    if moving:
        if to_barycentrics or upstream.depth is not None:
            summed = sum(to_barycentrics[1:], to_barycentrics[0]) if to_barycentrics else None
            to_clip_space += launch_to_clip(summed, upstream.depth, drawn.clip, *seen, still.corners, drawn.screen)
        _clip_backward(drawn, to_clip_space, rows.surface, found)
    return rows


def _light_backward(
    still: Still, drawn: Drawn, upstream: Upstream, layout: str, found: dict[str, Tensor], rows: Rows
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Return the gradients to barycentrics (to be added), to clip by silhouettes [N, V, 4], and to the surface.

    Those of lights, texture, background and up are written and added on the way.
    """
    meshes, triangles, texture, views, _, _, _ = drawn.scene
    moving = bool({*GEOMETRY} & {*found})
    assert drawn.light is not None and still.normals is not None
    gradient = torch.zeros_like(drawn.light) if upstream.linear is None else upstream.linear.clone()
    edges = (drawn.screen, triangles.faces, triangles.adjacent_faces)
    if upstream.image is not None:
        mixed = torch.empty_like(drawn.light)
        launch_antialias(drawn.light, drawn.face_ids, drawn.depth, *edges, mixed)
        launch_encode_backward(upstream.image, mixed, gradient, layout)
    seen = antialiasing.Seen(drawn.face_ids, drawn.depth, *edges)
    silhouettes = antialiasing.launch_weigh(gradient if moving else None, drawn.light if moving else None, seen)
    to_light, of_edges = torch.empty_like(gradient), torch.zeros_like(drawn.clip)
    antialiasing.launch_to_colour(gradient, silhouettes.weights, to_light)
    if moving:
        antialiasing.launch_to_clip(seen, silhouettes, drawn.clip, of_edges)
    points = vertex_records(meshes, still.normals)
    pixels, sums = launch_surface_backward(to_light, drawn.scene, still.tables, points, drawn.screen, drawn.face_ids)
    of_views = {**sums.lights._asdict(), "exposure": sums.exposure, "camera_position": sums.camera_position}
    for name in of_views.keys() & found.keys():
        torch.sum(of_views[name], 1, out=found[name])
    torch.sum(sums.up, 1, out=rows.up)
    if "background" in found:
        tall, wide = found["background"].shape[1:3]
        found["background"].copy_(launch_background_backward(to_light, drawn.face_ids, (tall, wide)))

    to_uv = torch.empty_like(pixels.uv)
    into = TextureGradients(None, None, to_uv, None, views.texture_index)
    if "texture" in found:
        steps = steps_for(torch.linalg.vector_norm(pixels.texels.flatten(), torch.inf).view(1), pixels.level.numel())
        texel_sums = torch.zeros(still.texels.shape, dtype=torch.int64, device=to_uv.device)
        into = into._replace(texels=texel_sums, steps=steps.per_value)
    if moving or {"texture", "uvs"} & {*found}:
        launch_sample_texture_backward(pixels.texels, still.texels, pixels.uv, pixels.level, texture[1:], into)
    if "texture" in found:
        found["texture"].add_(torch.mul(texel_sums, steps.value))
    if "uvs" in found:
        seen_by = (drawn.barycentrics, triangles.uv_faces, drawn.face_ids)
        found["uvs"].add_(launch_to_vertices(to_uv, *seen_by, still.uv_corners, True)[0])
    if not moving:
        return [], of_edges, pixels.surface
    at_vertices = [_of_views(rows_, views) for rows_ in (meshes.vertices, still.normals, meshes.occlusion[..., None])]
    weights = _of_views(meshes.detail_weights, views)
    given = torch.cat([*at_vertices, weights], -1)
    of_surface = launch_to_barycentrics(pixels.surface, given, triangles.faces, drawn.face_ids)
    of_uv = launch_to_barycentrics(to_uv, triangles.uvs[None], triangles.uv_faces, drawn.face_ids)
    return [of_surface, of_uv], of_edges, pixels.surface


def _clip_backward(drawn: Drawn, to_clip_space: Tensor, surface: Tensor, found: dict[str, Tensor]) -> None:
    """Pass the gradient of clip space [N, V, 4] on to positions, the first three of a surface, and to the matrices.

    clip = M (x, y, z, 1), by elementwise products and sums: a matrix product of a GPU's library rounds as it likes.
    """
    matrix = drawn.scene.views.world_to_clip
    for row in range(4):
        surface[..., :3] += to_clip_space[..., row : row + 1] * matrix[:, None, row, :3]
    if "world_to_clip" in found:
        vertices = _of_views(drawn.scene.meshes.vertices, drawn.scene.views)
        for row in range(4):
            found["world_to_clip"][:, row, :3] = (to_clip_space[..., row : row + 1] * vertices).sum(1)
        found["world_to_clip"][..., 3] = to_clip_space.sum(1)


def _finish(still: Still, rows: Rows, found: dict[str, Tensor]) -> None:
    """Write the gradients of meshes [M, ...]: where all share a row, the sum over them."""
    vertices, surface = still.scene.meshes.vertices, rows.surface
    made = {
        "vertices": surface[..., :3],
        "occlusion": surface[..., 6],
        "detail_weights": surface[..., 7:],
        "up": rows.up,
        "attributes": rows.attributes,
    }
    if "vertices" in found and still.normals is not None:
        of_normals = launch_normals_backward(
            surface[..., 3:6].contiguous(), vertices, still.scene.triangles.faces, still.corners
        )
        made["vertices"] = made["vertices"] + of_normals
    for name in made.keys() & found.keys():
        shared = len(found[name]) == 1 < len(vertices)
        found[name].copy_(made[name].sum(0, keepdim=True) if shared else made[name])
