"""Knows the fused `render` of a GPU as a torch custom op, and how it goes through many views in chunks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._triton import on_device, refuse_gradient
from pain3d.kernels.deformation.kernel import launch_normals
from pain3d.kernels.rasterization.kernel import launch_project, launch_visibility
from pain3d.kernels.rasterization.workspace import Workspace, allocate_workspace
from pain3d.kernels.rendering.kernel import BLOCKS, Blocks, Chunk, launch_antialias_queue, launch_resolve
from pain3d.kernels.rendering.reference import Rendered, RenderInputs
from pain3d.kernels.rendering.topology import PreparedTopology, prepare_topology
from pain3d.kernels.texturing.reference import Mipmaps

MOST_PIXELS = 2**30  # of a chunk: the queue counts them in int32


def launch_render(
    scene: RenderInputs,
    outputs: tuple[str, ...],
    *,
    image_dtype: str = "uint8",
    layout: str = "NHWC",
    prepared: PreparedTopology | None = None,
    chunk: int | None = None,
    blocks: Blocks = BLOCKS,
) -> Rendered:
    """Render without waiting for the device, so that a CUDA graph can record it.

    Args:
        scene: Checked, float32; see `pain3d.kernels.render`.
        outputs: Fields of `Rendered` to fill.
        image_dtype: ``"uint8"`` or ``"bfloat16"``.
        layout: ``"NHWC"`` or ``"NCHW"``.
        prepared: Of `prepare_topology`; None makes it anew.
        chunk: Views at a time; None for as many as stay in the L2 cache. It is halved as long as the device has no
            memory for it. The bytes do not depend on it.
        blocks: How much of the work a program takes.

    Returns:
        Rendered: what was asked for.
    """
    with on_device(scene.vertices):
        scene = _ready(scene)
        made = _allocate(scene, outputs, image_dtype, layout)
        views, pixels = len(scene.world_to_clip), scene.size[0] * scene.size[1]
        if views and pixels:
            topology = prepared or prepare_topology(
                scene.faces, scene.adjacent_faces, scene.uvs, scene.uv_faces, scene.face_labels, scene.vertices.shape[1]
            )
            written = made
            if made.image is not None and made.image.dtype == torch.bfloat16:
                written = made._replace(image=made.image.view(torch.int16))
            _render_chunks(scene, topology, written, layout, chunk, blocks)
    return made


def _render_chunks(
    scene: RenderInputs, topology: PreparedTopology, made: Rendered, layout: str, chunk: int | None, blocks: Blocks
) -> None:
    normals = None
    if made.image is not None:
        normals = launch_normals(scene.vertices, topology.faces, topology.starts, topology.members)
    views = len(scene.world_to_clip)
    workspace, queue, light = _buffers(scene, made, chunk)
    for first, last, epoch in workspace.passes(views):
        now = Chunk(workspace.screen[: last - first], workspace.keys, queue, light, first, epoch)
        cameras, meshes = scene.world_to_clip[first:last], scene.mesh_index[first:last]
        launch_project(scene.vertices, cameras, meshes, scene.size, now.screen)
        launch_visibility(now.screen, topology.faces, scene.size, True, now.keys, epoch, workspace.queue)
        launch_resolve(scene, topology, normals, made, layout, now, blocks=blocks)
        if queue is not None:
            launch_antialias_queue(scene, topology, made, layout, now, blocks=blocks)


def _buffers(scene: RenderInputs, made: Rendered, chunk: int | None) -> tuple[Workspace, Tensor | None, Tensor | None]:
    """Return the workspace of visibility, the queue of pixels to antialias and the light that is kept for them.

    Queue and light stay outside the cache's share of a chunk: few of their lines are ever touched.
    """
    device, pixels = scene.vertices.device, scene.size[0] * scene.size[1]
    views, most = len(scene.world_to_clip), max(MOST_PIXELS // pixels, 1)
    chunk = None if chunk is None else min(chunk, most)
    while True:
        workspace = allocate_workspace(views, scene.vertices.shape[1], len(scene.faces), scene.size, device, chunk)
        count = workspace.chunk * pixels
        try:
            queue = light = None
            if made.image is not None or made.alpha is not None:
                queue = torch.empty(1 + count, dtype=torch.int32, device=device)
            if made.image is not None:
                light = torch.empty(count, 3, dtype=torch.float32, device=device)
            return workspace, queue, light
        except torch.OutOfMemoryError:
            if workspace.chunk == 1:
                raise
        chunk = workspace.chunk // 2
        del workspace, queue  # before the next try


def _ready(scene: RenderInputs) -> RenderInputs:
    """The scene as the kernels read it: contiguous, outside autograd; one background that all views share once."""
    if len(scene.background) > 1 and scene.background.stride(0) == 0:
        scene = scene._replace(background=scene.background[:1])
    mipmaps = scene.texture._replace(texels=scene.texture.texels.detach().contiguous())
    tensors: dict[str, Any] = {
        name: value.detach().contiguous() for name, value in scene._asdict().items() if isinstance(value, Tensor)
    }
    return scene._replace(**tensors, texture=mipmaps)


def _allocate(scene: RenderInputs, outputs: tuple[str, ...], image_dtype: str, layout: str) -> Rendered:
    batch, (height, width) = len(scene.world_to_clip), scene.size
    picture = (height, width, 3) if layout == "NHWC" else (3, height, width)
    shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
        "image": (picture, torch.bfloat16 if image_dtype == "bfloat16" else torch.uint8),
        "alpha": ((height, width), torch.uint8),
        "face_ids": ((height, width), torch.int32),
        "barycentrics": ((height, width, 3), torch.float32),
        "depth": ((height, width), torch.float32),
        "attributes": ((height, width, scene.attributes.shape[2]), torch.float32),
        "labels": ((height, width), torch.uint8),
    }
    device = scene.vertices.device
    made = {
        name: torch.empty(batch, *shape, dtype=dtype, device=device)
        for name, (shape, dtype) in shapes.items()
        if name in outputs
    }
    return Rendered(**made)


TENSORS = tuple(name for name in RenderInputs._fields if name not in ("texture", "size"))
ARGUMENTS = (
    *(f"Tensor{'?' if name == 'face_labels' else ''} {name}" for name in TENSORS),
    *("Tensor texels", "SymInt texture_height", "SymInt texture_width", "SymInt height", "SymInt width"),
    *("str outputs", "str image_dtype", "str layout"),
)
SCHEMA = f"({', '.join(ARGUMENTS)}) -> ({', '.join(['Tensor'] * len(Rendered._fields))})"


@torch.library.custom_op("pain3d::render", mutates_args=(), schema=SCHEMA)
def render_op(*arguments: Any) -> tuple[Tensor, ...]:
    """Return the fields of `Rendered`; those that `outputs`, names split by commas, does not have come out empty."""
    scene, outputs, image_dtype, layout = _scene(arguments)
    return _complete(launch_render(scene, outputs, image_dtype=image_dtype, layout=layout), scene)


@render_op.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    scene, outputs, image_dtype, layout = _scene(arguments)
    return _complete(_allocate(scene, outputs, image_dtype, layout), scene)


refuse_gradient(render_op, "render")


def render_triton(scene: RenderInputs, outputs: tuple[str, ...], image_dtype: str, layout: str) -> Rendered:
    """`pain3d.kernels.render` for float32 tensors."""
    made = torch.ops.pain3d.render(*flat_arguments(scene, outputs, image_dtype, layout))
    return Rendered(*(field if name in outputs else None for name, field in zip(Rendered._fields, made, strict=True)))


def flat_arguments(scene: RenderInputs, outputs: tuple[str, ...], image_dtype: str, layout: str) -> tuple[Any, ...]:
    """Return the arguments of `torch.ops.pain3d.render`."""
    tensors = [getattr(scene, name) for name in TENSORS]
    tensors = [None if tensor is None else tensor.detach() for tensor in tensors]
    texels, texture_height, texture_width = scene.texture
    sides = (texture_height, texture_width, *scene.size)
    return (*tensors, texels.detach(), *sides, ",".join(outputs), image_dtype, layout)


def _complete(made: Rendered, scene: RenderInputs) -> tuple[Tensor, ...]:
    """The fields of `Rendered`, an empty tensor in the place of None: a custom op returns tensors alone."""
    nothing = _allocate(scene._replace(world_to_clip=scene.world_to_clip[:0]), Rendered._fields, "uint8", "NHWC")
    fields = [empty if field is None else field for field, empty in zip(made, nothing, strict=True)]
    return tuple(field for field in fields if field is not None)


def _scene(arguments: tuple[Any, ...]) -> tuple[RenderInputs, tuple[str, ...], str, str]:
    tensors = dict(zip(TENSORS, arguments, strict=False))
    texels, texture_height, texture_width, height, width, outputs, image_dtype, layout = arguments[len(TENSORS) :]
    mipmaps = Mipmaps(texels, texture_height, texture_width)
    return (
        RenderInputs(**tensors, texture=mipmaps, size=(height, width)),
        tuple(outputs.split(",")),
        image_dtype,
        layout,
    )
