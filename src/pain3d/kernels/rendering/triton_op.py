"""Knows how the fused `render` of a GPU goes through many views in chunks; `custom_op.py` is the torch op around it."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._triton import on_device
from pain3d.kernels.deformation.kernel import launch_normals
from pain3d.kernels.rasterization.kernel import launch_project, launch_visibility
from pain3d.kernels.rasterization.workspace import Workspace, allocate_workspace
from pain3d.kernels.rendering.bundles import (
    Meshes,
    Rendered,
    RenderInputs,
    Request,
    Triangles,
    Views,
    allocate_outputs,
)
from pain3d.kernels.rendering.kernel import (
    BLOCKS,
    MOST_PROGRAMS,
    PIXEL_BITS,
    Blocks,
    Buffers,
    Chunk,
    launch_resolve,
    vertex_records,
)
from pain3d.kernels.rendering.kernel_antialias import launch_antialias_queue
from pain3d.kernels.rendering.texels import remembered_texels
from pain3d.kernels.rendering.topology import PreparedTopology, remembered_topology
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.shadowing.reference import Shadows
from pain3d.kernels.texturing.reference import Mipmaps


def launch_render(
    scene: RenderInputs,
    request: Request,
    *,
    prepared: PreparedTopology | None = None,
    packed: Tensor | None = None,
    chunk: int | None = None,
    blocks: Blocks = BLOCKS,
) -> Rendered:
    """Render without waiting for the device, so that a CUDA graph can record it.

    Args:
        scene: Checked, float32; see `pain3d.kernels.render`.
        request: What to render.
        prepared: Of `prepare_topology`; None is that of an earlier call, or makes it.
        packed: Of `pack_texels`; None is that of an earlier call, or packs.
        chunk: Views at a time; None for as many as the workspace of visibility holds. It is halved as long as the
            device has no memory for it. The bytes do not depend on it.
        blocks: How much of the work a program takes.

    Returns:
        Rendered: what was asked for.

    Raises:
        ValueError: A picture is larger than the queue can count.
    """
    if scene.size[0] * scene.size[1] > 2**PIXEL_BITS:
        raise ValueError(f"size: at most 2^{PIXEL_BITS} pixels with backend 'triton', got {scene.size}")
    with on_device(scene.meshes.vertices):
        made = allocate_outputs(scene, request)
        if made.layer_alpha is not None:
            made.layer_alpha.zero_()  # there are none
        views, pixels = scene.views.world_to_clip.shape[0], scene.size[0] * scene.size[1]
        if views and pixels:
            texels = scene.texture.texels
            if made.image is not None or made.linear is not None:  # else no texel is read
                texels = remembered_texels(texels) if packed is None else packed
            tables = prepared or remembered_topology(scene.triangles, scene.meshes.vertices.shape[1])
            scene, written = ready(scene, tables.triangles, texels), made
            if made.image is not None and made.image.dtype == torch.bfloat16:
                written = made._replace(image=made.image.view(torch.int16))
            _render_chunks(scene, tables, written, request.layout, chunk, blocks)
    return made


def _render_chunks(
    scene: RenderInputs, tables: PreparedTopology, made: Rendered, layout: str, chunk: int | None, blocks: Blocks
) -> None:
    points, vertices, faces = None, scene.meshes.vertices, scene.triangles.faces
    if made.image is not None or made.linear is not None:
        points = vertex_records(scene.meshes, launch_normals(vertices, faces, tables.starts, tables.members))
    workspace, queue, light = _buffers(scene, made, chunk)
    for first, last, epoch in workspace.passes(scene.views.world_to_clip.shape[0]):
        screen, cameras, meshes = workspace.screen, scene.views.world_to_clip, scene.views.mesh_index
        if last - first < cameras.shape[0]:
            screen, cameras, meshes = screen[: last - first], cameras[first:last], meshes[first:last]
        now = Chunk(Buffers(screen, workspace.keys, queue, light), first, epoch)
        launch_project(vertices, cameras, meshes, scene.size, screen)
        launch_visibility(screen, faces, scene.size, True, workspace.keys, epoch, workspace.queue)
        launch_resolve(scene, tables, points, made, layout, now, blocks=blocks)
        if queue is not None:
            launch_antialias_queue(scene, tables, made, layout, now, blocks=blocks)


def _buffers(scene: RenderInputs, made: Rendered, chunk: int | None) -> tuple[Workspace, Tensor | None, Tensor | None]:
    """Return the workspace of visibility, the queue of pixels to antialias and the light that is kept for them.

    Queue and light take twice as much again, of which few lines are ever touched.
    """
    vertices, faces, pixels = scene.meshes.vertices, scene.triangles.faces, scene.size[0] * scene.size[1]
    device, views = vertices.device, scene.views.world_to_clip.shape[0]
    views = min(views, max(2**PIXEL_BITS // pixels, 1), MOST_PROGRAMS)
    while True:
        workspace = allocate_workspace(views, vertices.shape[1], faces.shape[0], scene.size, device, chunk)
        count = workspace.chunk * pixels
        try:
            queue = light = None
            if made.image is not None or made.alpha is not None or made.linear is not None:
                queue = torch.empty(1 + count, dtype=torch.int32, device=device)
            if made.image is not None or made.linear is not None:
                light = torch.empty(count, 3, dtype=torch.float32, device=device)
            return workspace, queue, light
        except torch.OutOfMemoryError:
            if workspace.chunk == 1:
                raise
        chunk = workspace.chunk // 2
        del workspace, queue  # before the next try


def ready(scene: RenderInputs, triangles: Triangles, texels: Tensor) -> RenderInputs:
    """Return the scene as kernels read it, with these triangles and texels: contiguous, no autograd.

    A background that all views share is there once.
    """
    meshes, _, texture, views, lights, size, shadows = scene
    if views.background.shape[0] > 1 and views.background.stride(0) == 0:
        views = views._replace(background=views.background[:1])
    return RenderInputs(
        Meshes._make([_plain(tensor) for tensor in meshes]),
        triangles,
        Mipmaps(texels, texture.height, texture.width),
        Views._make([_plain(tensor) for tensor in views]),
        Lights._make([_plain(tensor) for tensor in lights]),
        size,
        Shadows._make([None if tensor is None else _plain(tensor) for tensor in shadows]),
    )


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach() if tensor.requires_grad else tensor
    return tensor if tensor.is_contiguous() else tensor.contiguous()
