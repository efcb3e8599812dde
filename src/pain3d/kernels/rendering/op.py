"""Knows the public face of the room `render`: what the arguments must be, and which backend answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, Form, check_dtypes, check_indices, check_shapes
from pain3d.kernels._triton import is_observed
from pain3d.kernels.rasterization.op import MAX_FACES, check_size
from pain3d.kernels.rendering.bundles import FORMS, IMAGE_DTYPES, LABELS, Rendered, Request, scene_of
from pain3d.kernels.rendering.custom_op import render_triton
from pain3d.kernels.rendering.defaults import filled, numbered, up_axis
from pain3d.kernels.rendering.reference import NO_LABEL, render_reference
from pain3d.kernels.rendering.relief import DETAIL_LAYERS
from pain3d.kernels.rendering.texels import check_packed
from pain3d.kernels.shadowing.reference import CONSTANT, Shadows
from pain3d.kernels.texturing.op import build_mipmaps
from pain3d.kernels.texturing.reference import Mipmaps, level_table

if TYPE_CHECKING:
    from pain3d.kernels.layering.bundles import Layers
    from pain3d.kernels.rendering.topology import PreparedTopology

LAYOUTS = ("NHWC", "NCHW")
# An index lies below a size or, a label, below `NO_LABEL`; of what; from where on.
INDEXED: dict[str, tuple[str | None, str, int]] = {
    "faces": ("V", "vertices", 0),
    "adjacent_faces": ("F", "faces", -1),
    "uv_faces": ("T", "uvs", 0),
    "mesh_index": ("M", "meshes", 0),
    "texture_index": ("K", "textures", 0),
    "shadow_index": ("S", "shadows", 0),
    "face_labels": (None, "labels", 0),
}


def render(
    vertices: Tensor,
    faces: Tensor,
    adjacent_faces: Tensor,
    uvs: Tensor,
    uv_faces: Tensor,
    texture: Tensor | Mipmaps,
    occlusion: Tensor,
    world_to_clip: Tensor,
    camera_position: Tensor,
    sh: Tensor,
    key_direction: Tensor,
    key_colour: Tensor,
    background: Tensor,
    size: tuple[int, int],
    *,
    mesh_index: Tensor,
    texture_index: Tensor,
    detail_weights: Tensor | None = None,
    up: Tensor | None = None,
    attributes: Tensor | None = None,
    exposure: Tensor | None = None,
    face_labels: Tensor | None = None,
    shadows: Shadows | None = None,
    shadow_index: Tensor | None = None,
    layers: Layers | None = None,
    outputs: Sequence[str] = ("image",),
    image_dtype: str = "uint8",
    layout: str = "NHWC",
    prepared: PreparedTopology | None = None,
    packed: Tensor | None = None,
    backend: str | None = None,
) -> Rendered:
    """Render B pictures: project, rasterise, interpolate, look the texture up, shade, tone, antialias, encode as sRGB.

    M meshes share one topology; each picture names its mesh and its texture. Formulas and the parity of the backends
    are in the room's README.

    Args:
        vertices: [M, V, 3] world, metres.
        faces: [F, 3] int32 or int64, counter-clockwise from outside; F < 2^24 with ``triton``.
        adjacent_faces: [F, 3] int32 or int64, of `face_adjacency`.
        uvs: [T, 2], v up.
        uv_faces: [F, 3] int32 or int64 into uvs.
        texture: [K, Ht, Wt, 16] linear, sides powers of two: red, green, blue, specular scale, roughness, slope along
            t and b, scatter; then of either detail layer the slope along t and b, shade and blood. Slopes tilt the
            normal n along t = up x n and b = n x t; shade darkens, blood reddens (negative: blanches). Or its `Mipmaps`
            (build them once where a texture serves several calls: a call with a tensor builds them anew).
        occlusion: [M, V] or [1, V], 0 (closed) to 1 (open).
        world_to_clip: [B, 4, 4].
        camera_position: [B, 3] world, metres.
        sh: [B, 9, 3] spherical harmonics of the environment's radiance.
        key_direction: [B, 3] unit vector towards the key light.
        key_colour: [B, 3] irradiance of the key light.
        background: [B, Hb, Wb, 3] linear 0–1, at least 1 x 1, stretched bilinearly over the picture. It is taken as it
            is: exposure and the tone map act on the surface only.
        size: (height, width) in pixels.
        mesh_index: [B] in ``0 … M - 1``.
        texture_index: [B] in ``0 … K - 1``.
        detail_weights: [M, V, 2] or [1, V, 2], at least 0: how much there is of each detail layer; None is nothing.
        up: [M, 3] or [1, 3] unit vector, the vertical axis of a mesh, against which the texture's slopes are told; None
            is +Y.
        attributes: [M, V, A] of any unit, interpolated without antialiasing where ``outputs`` asks for them.
        exposure: [B] factor on the surface's light before the tone map; None is 1.
        face_labels: [F] uint8, int32 or int64 in 0 … 254: what ``labels`` says of a pixel that sees the face.
        shadows: Of `cast_shadows`, of the meshes and key lights of the pictures; None: the key reaches everything.
        shadow_index: [B] in ``0 … S - 1``; None takes them in order, or one for all.
        layers: Ribbons and cards to lay over the pictures (`overlay`), lit and exposed as they are, a span for each
            picture. Silhouettes are antialiased after it.
        outputs: Names of the fields of `Rendered` to fill. What is not asked for costs nothing: without ``image``
            nothing is shaded.
        image_dtype: ``"uint8"``, or ``"float32"`` or ``"bfloat16"`` for byte / 255: the very picture that a file would
            hold.
        layout: Of the image: ``"NHWC"``, or ``"NCHW"`` as a network takes it.
        prepared: Tables of these faces and uvs (`prepare_topology` in the room's ``topology.py``), read by ``triton``
            alone. Without them a call makes them, and remembers them as long as the tensors of the topology live and
            are not written to. With them the call is no custom op: for a CUDA graph, not for torch.compile.
        packed: [K, 2, N, 8] float16, the texture's texels for ``triton`` (`pack_texels` in the room's ``texels.py``),
            read in their place; likewise no custom op. Without them a call packs and remembers, and a CUDA graph packs
            in each replay. Who writes to the texture packs again, into the same memory (``out=``) of a recorded graph.
        backend: ``"reference"``, ``"cpu"`` (numba, float32), ``"triton"`` (float32) or None for the default order.

    Returns:
        Rendered: ``image`` [B, H, W, 3] uint8 sRGB (or another dtype, or [B, 3, H, W]); ``alpha`` [B, H, W] uint8
        antialiased coverage; ``face_ids`` [B, H, W] int32; ``barycentrics`` [B, H, W, 3]; ``depth`` [B, H, W] metres;
        ``attributes`` [B, H, W, A], 0 on background; ``labels`` [B, H, W] uint8, 255 on background; ``linear``
        [B, H, W, 4], the picture before encoding and its coverage; ``layer_alpha`` [B, H, W] uint8, the share of a
        pixel that layers cover. That counts in the coverages of ``alpha`` and ``linear`` too; all else is of the mesh
        below. None for what was not asked for.

    Gradients: from linear, image (float32 and bfloat16: that of the sRGB curve, straight through the rounding),
    barycentrics, depth and attributes to vertices, occlusion, detail_weights, up, attributes, uvs, texture,
    world_to_clip, camera_position, exposure, background, sh, key_direction and key_colour; the mip level is fixed, and
    a silhouette moves as `antialias` says; a shadow is fixed, as if painted on. None from bytes and ids. With ``cpu``
    and ``triton`` once, not of gradients; with ``triton`` without ``prepared`` and ``packed``, which are not read then.

    Raises:
        ValueError: A shape, dtype, index, size, layout or name of an output does not fit, attributes or labels are
            asked for but not given, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    up = up_axis(vertices) if up is None else up
    if shadow_index is None:
        several = shadows is not None and shadows.kinds is not None and shadows.kinds.shape[0] > 1
        shadow_index = numbered(vertices, world_to_clip.shape[0], several)
    if detail_weights is None:
        detail_weights = filled(0.0, vertices, 1, vertices.shape[1], DETAIL_LAYERS)
    tensors: dict[str, Tensor | None] = {
        "vertices": vertices,
        "occlusion": occlusion,
        "detail_weights": detail_weights,
        "up": up,
        "attributes": filled(0.0, vertices, *vertices.shape[:2], 0) if attributes is None else attributes,
        "faces": faces,
        "adjacent_faces": adjacent_faces,
        "uvs": uvs,
        "uv_faces": uv_faces,
        "face_labels": face_labels,
        "world_to_clip": world_to_clip,
        "camera_position": camera_position,
        "mesh_index": mesh_index,
        "texture_index": texture_index,
        "exposure": filled(1.0, vertices, world_to_clip.shape[0]) if exposure is None else exposure,
        "background": background,
        "shadow_index": shadow_index,
        "sh": sh,
        "key_direction": key_direction,
        "key_colour": key_colour,
        **(shadows or Shadows())._asdict(),
        "texture": texture.texels if isinstance(texture, Mipmaps) else texture,
    }
    available = ["reference", "cpu", "triton"] if vertices.dtype == torch.float32 else ["reference"]
    request = Request(tuple(outputs), image_dtype, layout)
    differentiable = request.differentiable()
    gradients: dict[str, Any] = {"differentiable": differentiable, "with_gradient": ("cpu", "triton")}
    if layers is None:
        chosen = resolve_backend("render", backend, available, *tensors.values(), **gradients)
    else:
        gradients["with_gradient"] = ()
        laid = [part for part in (*layers[:-1], *layers[-1][:1]) if isinstance(part, Tensor)]
        available = [name for name in available if name != "triton"]
        chosen = resolve_backend("render with layers", backend, available, *tensors.values(), *laid, **gradients)
    if isinstance(texture, Tensor):  # a backend asked for by name is asked of `render`, not of the chain: the same bits
        texture = texture if differentiable else texture.detach()
        texture = build_mipmaps(texture, backend="cpu" if chosen == "cpu" else "reference")
        tensors["texture"] = texture.texels
    sides = texture[1:]
    plain = not is_observed(tensors.values(), differentiable=False)
    forms = tuple([None if tensor is None else (tensor.shape, tensor.dtype) for tensor in tensors.values()])
    sizes = (_checked_sizes if plain else _sizes)(tuple(tensors), forms, sides)
    if chosen != "triton" or not vertices.is_cuda:  # else all lie on a device, where no index is checked
        _check_indices(tensors, sizes)
    if chosen == "triton" and faces.shape[0] > MAX_FACES:
        raise ValueError(f"faces must be at most {MAX_FACES} for backend 'triton', got {len(faces)}")
    if shadows is not None and shadows.kinds is not None:
        for field in ("seen", "finer"):
            if tensors[field] is None:
                raise ValueError(f"{field} of shadows must be given with their kinds, got None")
    _check_request(request, attributes is not None, face_labels is not None)
    scene, layered = scene_of(tensors, sides, check_size(size)), None
    if layers is not None:
        from pain3d.kernels.layering.bundles import Eyes
        from pain3d.kernels.layering.op import seen_layers

        views = scene.views
        layered = seen_layers(layers, Eyes(views.world_to_clip, views.camera_position, views.exposure), scene.lights)
    if chosen == "triton":
        if packed is not None:
            check_packed(packed, texture.texels)
        given = [tensor for tensor in tensors.values() if tensor is not None]
        needed = differentiable and torch.is_grad_enabled() and any([tensor.requires_grad for tensor in given])
        if needed or (prepared is None and packed is None and not plain):
            return render_triton(scene, request)
        from pain3d.kernels.rendering.triton_op import launch_render

        return launch_render(scene, request, prepared=prepared, packed=packed)
    if chosen == "cpu" and layered is None and differentiable and is_observed(tensors.values()):
        from pain3d.kernels.rendering.cpu_autograd import render_with_gradient

        rendered = render_with_gradient(scene, request)
    elif chosen == "cpu":
        from pain3d.kernels.rendering.cpu import render_cpu

        rendered = render_cpu(scene, request.outputs, layered)
    else:
        rendered = render_reference(scene, request, layered)
    return rendered._replace(image=_as_asked(rendered.image, request))


def _sizes(
    names: tuple[str, ...],
    forms: tuple[tuple[torch.Size, torch.dtype] | None, ...],
    texture_size: tuple[int, int],
) -> dict[str, int]:
    """Check the shapes and dtypes of the tensors of these names; return the sizes by letter."""
    given = {name: Form(*form) for name, form in zip(names, forms, strict=True) if form is not None}
    sizes = check_shapes(**{name: (form, FORMS[name][0]) for name, form in given.items()})
    for dtypes in (FLOATS, INDICES, LABELS, CONSTANT):
        check_dtypes(dtypes, **{name: form for name, form in given.items() if FORMS[name][1] is dtypes})
    offset, rows, columns = level_table(*texture_size)[-1]
    if sizes["N"] != offset + rows * columns:
        raise ValueError(
            f"texture must be the mip chain of {texture_size[0]} x {texture_size[1]}, got {sizes['N']} texels"
        )
    if sizes["Hb"] < 1 or sizes["Wb"] < 1:
        raise ValueError(f"background must have at least one pixel, got {list(given['background'].shape)}")
    return sizes


_checked_sizes = lru_cache(maxsize=256)(_sizes)  # what passed once passes again


def _check_indices(tensors: dict[str, Tensor | None], sizes: dict[str, int]) -> None:
    for name, (letter, of, lowest) in INDEXED.items():
        indices = tensors[name]
        if indices is not None and (letter is None or letter in sizes):  # without shadows nobody reads which
            check_indices(name, indices, NO_LABEL if letter is None else sizes[letter], of, lowest)


def _check_request(request: Request, attributes: bool, labels: bool) -> None:
    for name in request.outputs:
        if name not in Rendered._fields:
            raise ValueError(f"outputs must be among {', '.join(Rendered._fields)}, got {name!r}")
    if "attributes" in request.outputs and not attributes:
        raise ValueError("attributes must be given where outputs asks for them, got None")
    if "labels" in request.outputs and not labels:
        raise ValueError("face_labels must be given where outputs asks for labels, got None")
    if request.image_dtype not in IMAGE_DTYPES:
        raise ValueError(f"image_dtype must be one of {', '.join(IMAGE_DTYPES)}, got {request.image_dtype!r}")
    if request.layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, got {request.layout!r}")


def _as_asked(image: Tensor | None, request: Request) -> Tensor | None:
    """The picture [B, H, W, 3], bytes or byte / 255, in the dtype and layout that were asked for."""
    if image is None:
        return None
    if request.layout == "NCHW":
        image = image.permute(0, 3, 1, 2).contiguous()
    if request.image_dtype == "uint8":
        return image
    image = image.to(torch.float32) / 255 if image.dtype == torch.uint8 else image
    return image.to(IMAGE_DTYPES[request.image_dtype])
