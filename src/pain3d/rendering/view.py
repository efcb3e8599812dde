"""`pain3d.render`: meshes, cameras and light in; pictures out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pain3d.camera import Camera, check_pinholes
from pain3d.device import constant
from pain3d.kernels._described import described
from pain3d.kernels._remembered import Memory, remembered
from pain3d.kernels._triton import keeping_place
from pain3d.kernels.layering import Layers
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.rendering import render as render_op
from pain3d.kernels.rendering.bundles import Request
from pain3d.kernels.rendering.defaults import numbered
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import Light
from pain3d.mesh import Mesh
from pain3d.ranges import check_kind
from pain3d.rendering.shadows import key_shadows

if TYPE_CHECKING:
    from pain3d.kernels.rendering.topology import PreparedTopology

# A head that nobody painted: albedo, specular scale, roughness, no slopes, scatter, and detail layers of nothing.
CLAY = (0.42, 0.38, 0.35, 0.6, 0.6, 0.0, 0.0, 1.0, *(0.0,) * (CHANNELS - 8))
GREY_BACKGROUND = (0.10, 0.11, 0.12)  # linear
OUTPUTS = ("image", "alpha", "face_ids", "depth", "attributes", "part_ids", "linear", "layer_alpha")


@dataclass(frozen=True)
class View:
    """N pictures; what was not asked for is None.

    Attributes:
        image: [N, H, W, 3] uint8 sRGB, antialiased; or as `image_dtype` and `layout` asked for.
        alpha: [N, H, W] uint8 antialiased coverage of the head and its layers.
        face_ids: [N, H, W] int32, −1 on background.
        depth: [N, H, W] metres along the view axis, inf on background.
        attributes: [N, H, W, A] what the vertices carried, 0 on background.
        part_ids: [N, H, W] uint8 index into `Topology.part_names`, 255 on background.
        linear: [N, H, W, 4] linear RGB, toned and antialiased, before encoding, and antialiased coverage.
        layer_alpha: [N, H, W] uint8, the share of a pixel that layers cover; ids, depth, attributes and heat maps are
            those of the skin below.
        heatmap: [N, H, W] |expression − neutral| in mm of what each pixel sees, of a `Renderer` alone.
    """

    __repr__ = described

    image: Tensor | None
    alpha: Tensor | None
    face_ids: Tensor | None
    depth: Tensor | None
    attributes: Tensor | None
    part_ids: Tensor | None
    linear: Tensor | None = None
    layer_alpha: Tensor | None = None
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
    layers: Layers | None = None,
    outputs: Sequence[str] = ("image", "alpha"),
    image_dtype: str = "uint8",
    layout: str = "NHWC",
    prepared: PreparedTopology | None = None,
    packed: Tensor | None = None,
    backend: str | None = None,
) -> View:
    """Render N pictures of N meshes, of one mesh from N cameras, of N meshes by one camera, or of M meshes by index.

    Args:
        mesh: 1 or N meshes, or M where `mesh_index` is given.
        cameras: 1 or N cameras; one takes as many pictures as there are meshes, textures, lights, … to be seen.
        light: A preset (``studio``, ``ward``, … : `pain3d.light.LIGHTS`) or 1 or N lights.
        texture: [1 or N, Ht, Wt, 16] linear (`pain3d.paint` of N people), or its mipmaps; None is clay. [K, …] where
            `texture_index` is given.
        background: [1 or N, Hb, Wb, 3] linear, stretched over the picture; None is dark grey.
        attributes: [1 or M, V, A] numbers on the vertices, to be seen per pixel (with ``"attributes"`` in `outputs`).
        mesh_index: [N] which mesh each camera sees; None pairs them in order.
        texture_index: [N] which texture each camera sees on its mesh; None pairs them in order.
        layers: Hair over the meshes, ribbons and cards, with a row of `spans` for each mesh (`pain3d.kernels.overlay`
            says what each field is); not with ``triton``.
        outputs: Any of image, alpha, face_ids, depth, attributes, part_ids, linear, layer_alpha; what nobody asks for
            costs nothing.
        image_dtype: ``"uint8"``, or ``"float32"`` or ``"bfloat16"`` for byte / 255: the same picture, as a network
            takes it.
        layout: Of the image: ``"NHWC"`` or ``"NCHW"``.
        prepared: What a `Renderer` keeps of the topology for the Triton kernels.
        packed: [K, 2, N, 8] the texture as they read it, which a `Captured` keeps (see `pain3d.kernels.render`).
        backend: ``reference``, ``cpu``, ``triton``, or None for the default.

    Returns:
        View.

    Gradients: from linear, depth, attributes and an image that is not of bytes to everything that is given as floats,
    tensors of mesh, cameras, light, texture and background, as `pain3d.kernels.render` says; none from bytes and ids.

    Raises:
        ValueError: Numbers of meshes, lights or textures that do not fit, an unknown light or output, lenses that
            distort, or pictures of bytes alone where an input requires a gradient.
    """
    check_kind("mesh", mesh, Mesh)
    check_kind("cameras", cameras, Camera)
    check_pinholes(cameras)
    check_kind("light", light, str, Light)
    topology = mesh.topology
    lights = _preset(light, mesh.vertices) if isinstance(light, str) else light
    if texture is None:
        texture = constant(CLAY, mesh.vertices).expand(1, 1, 1, CHANNELS)
    if background is None:
        background = constant(GREY_BACKGROUND, mesh.vertices).expand(1, 1, 1, 3)
    textures = texture.texels if isinstance(texture, Mipmaps) else texture
    groups = {"lights": len(lights), "backgrounds": len(background)}
    for name, rows, index in (("meshes", len(mesh), mesh_index), ("textures", len(textures), texture_index)):
        if index is None:
            groups[name] = rows
    indices = {"mesh_index": mesh_index, "texture_index": texture_index}
    entries = {name: len(index) for name, index in indices.items() if index is not None}
    count = len(cameras)
    if count == 1:  # it sees all that there is to see
        count = max([*groups.values(), *entries.values()])
    seen_by = f"{count} cameras" if len(cameras) > 1 else f"{count} pictures"
    for name, length in entries.items():
        if length != count:
            raise ValueError(f"{name} must have {count} entries for {seen_by}, got {length}")
    for name, length in groups.items():
        if length not in (1, count):
            raise ValueError(f"there must be 1 or {count} {name} for {seen_by}, got {length}")
    for name in outputs:
        if name not in OUTPUTS:
            raise ValueError(f"outputs must be among {', '.join(OUTPUTS)}, got {name!r}")
    sources: dict[str, Tensor | None] = {
        "mesh.vertices": mesh.vertices, "mesh.occlusion": mesh.occlusion, "mesh.wrinkles": mesh.wrinkles,
        "mesh.up": mesh.up, "cameras": cameras.world_to_view, "fov_degrees": cameras.fov_degrees,
        "light": lights.sh, "light.key_direction": lights.key_direction, "light.key_colour": lights.key_colour,
        "light.exposure": lights.exposure, "texture": textures, "background": background,
    }  # fmt: skip
    if layers is not None:
        sources |= {f"layers.{name}": part for name, part in layers._asdict().items() if isinstance(part, Tensor)}
    _check_gradient(sources, outputs, image_dtype)
    world_to_clip, camera_position = _seen_from(cameras)
    if mesh_index is None:
        mesh_index = numbered(mesh.vertices, count, len(mesh) > 1)
    lit = {"image", "linear"} & {*outputs}
    cast = key_shadows(mesh, lights, mesh_index, max(cameras.whole_size), backend) if lit else None
    if layers is not None:
        if len(layers.spans) not in (1, len(mesh)):
            raise ValueError(f"layers.spans must have 1 or {len(mesh)} rows, one per mesh, got {len(layers.spans)}")
        own = mesh_index.long() if len(layers.spans) > 1 else torch.zeros_like(mesh_index, dtype=torch.int64)
        layers = layers._replace(spans=layers.spans[own])
    rendered = render_op(
        vertices=mesh.vertices,
        faces=topology.faces,
        adjacent_faces=topology.adjacent_faces,
        uvs=topology.uvs,
        uv_faces=topology.uv_faces,
        texture=texture,
        occlusion=topology.occlusion[None] if mesh.occlusion is None else mesh.occlusion,
        world_to_clip=_each(world_to_clip, count),
        camera_position=_each(camera_position, count),
        sh=_each(lights.sh, count),
        key_direction=_each(lights.key_direction, count),
        key_colour=_each(lights.key_colour, count),
        background=_each(background, count),
        size=cameras.size,
        mesh_index=mesh_index,
        texture_index=numbered(mesh.vertices, count, textures.shape[0] > 1) if texture_index is None else texture_index,
        detail_weights=mesh.wrinkles,
        up=mesh.up,
        attributes=None if attributes is None else _each(attributes, len(mesh)),
        exposure=_each(lights.exposure, count),
        face_labels=topology.face_parts,
        shadows=None if cast is None else cast[0],
        shadow_index=None if cast is None else cast[1],
        layers=layers,
        outputs=["labels" if name == "part_ids" else name for name in outputs],
        image_dtype=image_dtype,
        layout=layout,
        prepared=prepared,
        packed=packed,
        backend=backend,
    )
    seen = rendered._asdict()
    return View(part_ids=seen["labels"], **{name: seen[name] for name in OUTPUTS if name != "part_ids"})


def _check_gradient(sources: dict[str, Tensor | None], outputs: Sequence[str], image_dtype: str) -> None:
    """Raise ValueError where a gradient is wanted and the pictures are bytes: it would end there without a word."""
    if not torch.is_grad_enabled() or Request(tuple(outputs), image_dtype).differentiable():
        return
    wanting = [name for name, source in sources.items() if source is not None and source.requires_grad]
    pictures = [
        name for name in outputs if name in ("image", "alpha")
    ]  # ids are no picture: nobody expects one of them
    if wanting and pictures:
        raise ValueError(
            f"{' and '.join(pictures)} of bytes can't hand on the gradient that {wanting[0]} requires: ask for "
            "outputs=('linear',) or image_dtype='float32', or render inside torch.no_grad()"
        )


def _each(rows: Tensor, count: int) -> Tensor:
    """A row for each of so many."""
    return rows if rows.shape[0] == count else rows.expand(count, *rows.shape[1:])


def _seen_from(cameras: Camera) -> tuple[Tensor, Tensor]:
    """`world_to_clip` and `position` of the cameras: fifty ops on small tensors, remembered for the next call.

    Not where a gradient is wanted, for what is remembered has no graph; nor of cameras of another kind, which may
    depend on more than these.
    """

    def make() -> tuple[Tensor, Tensor]:
        return cameras.world_to_clip, cameras.position

    sources = cameras.world_to_view, cameras.fov_degrees
    if type(cameras) is not Camera or (torch.is_grad_enabled() and any([source.requires_grad for source in sources])):
        return make()
    return remembered(_kept_cameras, sources, make, cameras.size)


def _preset(name: str, like: Tensor) -> Light:
    """The light on the device of `like`; kept for the next call where it may be."""
    place = keeping_place(like)
    return Light.preset(name).to(like.device) if place is None else _kept_preset(name, like.device, place)


@lru_cache(maxsize=64)
def _kept_preset(name: str, device: torch.device, place: object) -> Light:
    return Light.preset(name).to(device)


_kept_cameras: Memory[tuple[Tensor, Tensor]] = {}
