"""`pain3d.render`: meshes, cameras and light in; pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.device import constant
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.rendering import render as render_op
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import Light
from pain3d.mesh import Mesh

if TYPE_CHECKING:
    from pain3d.kernels.rendering.topology import PreparedTopology

# A head that nobody painted: albedo, specular scale, roughness, no slopes, scatter, and detail layers of nothing.
CLAY = (0.42, 0.38, 0.35, 0.6, 0.6, 0.0, 0.0, 1.0, *(0.0,) * (CHANNELS - 8))
GREY_BACKGROUND = (0.10, 0.11, 0.12)  # linear
OUTPUTS = ("image", "alpha", "face_ids", "depth", "attributes", "part_ids")


@dataclass(frozen=True)
class View:
    """N pictures; what was not asked for is None.

    Attributes:
        image: [N, H, W, 3] uint8 sRGB, antialiased; or as `image_dtype` and `layout` asked for.
        alpha: [N, H, W] uint8 antialiased coverage of the head.
        face_ids: [N, H, W] int32, −1 on background.
        depth: [N, H, W] metres along the view axis, inf on background.
        attributes: [N, H, W, A] what the vertices carried, 0 on background.
        part_ids: [N, H, W] uint8 index into `Topology.part_names`, 255 on background.
        heatmap: [N, H, W] |expression − neutral| in mm of what each pixel sees, of a `Renderer` alone.
    """

    image: Tensor | None
    alpha: Tensor | None
    face_ids: Tensor | None
    depth: Tensor | None
    attributes: Tensor | None
    part_ids: Tensor | None
    heatmap: Tensor | None = None


def render(
    mesh: Mesh,
    cameras: Camera,
    *,
    light: str | Light = "studio",
    texture: Tensor | Mipmaps | None = None,
    background: Tensor | None = None,
    attributes: Tensor | None = None,
    mesh_index: Tensor | None = None,
    texture_index: Tensor | None = None,
    outputs: Sequence[str] = ("image", "alpha"),
    image_dtype: str = "uint8",
    layout: str = "NHWC",
    prepared: PreparedTopology | None = None,
    packed: Tensor | None = None,
    backend: str | None = None,
) -> View:
    """Render N pictures of N meshes, of one mesh from N cameras, or of M meshes by index.

    Args:
        mesh: 1 or N meshes, or M where `mesh_index` is given.
        cameras: N cameras.
        light: A preset (``studio``, ``ward``, … : `pain3d.light.LIGHTS`) or 1 or N lights.
        texture: [1 or N, Ht, Wt, 16] linear (`pain3d.paint`), or its mipmaps; None is clay. [K, …] where
            `texture_index` is given.
        background: [1 or N, Hb, Wb, 3] linear, stretched over the picture; None is dark grey.
        attributes: [1 or M, V, A] numbers on the vertices, to be seen per pixel (with ``"attributes"`` in `outputs`).
        mesh_index: [N] which mesh each camera sees; None pairs them in order.
        texture_index: [N] which texture each camera sees on its mesh; None pairs them in order.
        outputs: Any of image, alpha, face_ids, depth, attributes, part_ids; what is not asked for costs nothing.
        image_dtype: ``"uint8"``, or ``"bfloat16"`` for byte / 255: the same picture, as a network takes it.
        layout: Of the image: ``"NHWC"`` or ``"NCHW"``.
        prepared: What a `Renderer` keeps of the topology for the Triton kernels.
        packed: [K, 2, N, 8] the texture as they read it, which a `Captured` keeps (see `pain3d.kernels.render`).
        backend: ``reference``, ``cpu``, ``triton``, or None for the default.

    Returns:
        View.

    Gradients: none (bytes); compose the rooms of `pain3d.kernels` for a differentiable picture.

    Raises:
        ValueError: Numbers of meshes, lights or textures that do not fit, an unknown light or output.
    """
    count = len(cameras)
    topology = mesh.topology
    lights = Light.preset(light).to(mesh.vertices.device) if isinstance(light, str) else light
    if texture is None:
        texture = constant(CLAY, mesh.vertices).expand(1, 1, 1, CHANNELS)
    if background is None:
        background = constant(GREY_BACKGROUND, mesh.vertices).expand(1, 1, 1, 3)
    textures = texture.texels if isinstance(texture, Mipmaps) else texture
    groups = {"lights": len(lights), "backgrounds": len(background)}
    for what, rows, index in (("mesh", len(mesh), mesh_index), ("texture", len(textures), texture_index)):
        if index is None:
            groups["meshes" if what == "mesh" else "textures"] = rows
        elif len(index) != count:
            raise ValueError(f"{what}_index must have {count} entries for {count} cameras, got {len(index)}")
    for name, length in groups.items():
        if length not in (1, count):
            raise ValueError(f"there must be 1 or {count} {name} for {count} cameras, got {length}")
    for name in outputs:
        if name not in OUTPUTS:
            raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}, got {name!r}")
    rendered = render_op(
        vertices=mesh.vertices,
        faces=topology.faces,
        adjacent_faces=topology.adjacent_faces,
        uvs=topology.uvs,
        uv_faces=topology.uv_faces,
        texture=texture,
        occlusion=topology.occlusion[None] if mesh.occlusion is None else mesh.occlusion,
        world_to_clip=cameras.world_to_clip,
        camera_position=cameras.position,
        sh=lights.sh.expand(count, -1, -1),
        key_direction=lights.key_direction.expand(count, -1),
        key_colour=lights.key_colour.expand(count, -1),
        background=background.expand(count, -1, -1, -1),
        size=cameras.size,
        mesh_index=_index(mesh, len(mesh), count) if mesh_index is None else mesh_index,
        texture_index=_index(mesh, len(textures), count) if texture_index is None else texture_index,
        detail_weights=mesh.wrinkles,
        up=mesh.up,
        attributes=None if attributes is None else attributes.expand(len(mesh), -1, -1),
        exposure=lights.exposure.expand(count),
        face_labels=topology.face_parts,
        outputs=["labels" if name == "part_ids" else name for name in outputs],
        image_dtype=image_dtype,
        layout=layout,
        prepared=prepared,
        packed=packed,
        backend=backend,
    )
    seen = rendered._asdict()
    return View(part_ids=seen["labels"], **{name: seen[name] for name in OUTPUTS if name != "part_ids"})


def _index(mesh: Mesh, length: int, count: int) -> Tensor:
    """Index [count] of the only one, or of each in order."""
    return torch.arange(count, device=mesh.vertices.device) * (length > 1)
