"""Knows the public face of the room `overlay`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.layering.bundles import FORMS, Eyes, Layers, LayerScene, Overlaid, Ribbons
from pain3d.kernels.layering.reference import overlay_reference
from pain3d.kernels.rendering.defaults import filled
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.texturing.op import build_mipmaps
from pain3d.kernels.texturing.reference import Mipmaps, level_table


def build_layer_mipmaps(texture: Tensor, *, backend: str | None = None) -> Mipmaps:
    """Build the mip chain of a layer's texture, its albedo multiplied by its alpha before the means.

    A mean of plain albedo would take in that of texels which nobody sees: a dark, or light, fringe.

    Args:
        texture: [K, Ht, Wt, 4] linear albedo and alpha, sides powers of two.
        backend: Of `build_mipmaps`.

    Returns:
        Mipmaps: ``texels`` [K, N, 4], premultiplied.

    Gradients: to texture.

    Raises:
        ValueError: A shape, dtype or side does not fit.
    """
    check_shapes(texture=(texture, "K Ht Wt 4"))
    alpha = texture[..., 3:]
    return build_mipmaps(torch.cat([texture[..., :3] * alpha, alpha], -1), backend=backend)


def overlay(
    colour: Tensor,
    depth: Tensor,
    vertices: Tensor,
    sides: Tensor,
    tangents: Tensor,
    normals: Tensor,
    tint: Tensor,
    occlusion: Tensor,
    gloss: Tensor,
    uvs: Tensor,
    faces: Tensor,
    face_textures: Tensor,
    spans: Tensor,
    texture: Tensor | Mipmaps,
    world_to_clip: Tensor,
    camera_position: Tensor,
    sh: Tensor,
    key_direction: Tensor,
    key_colour: Tensor,
    *,
    exposure: Tensor | None = None,
    backend: str | None = None,
) -> Overlaid:
    """Lay hair over pictures: ribbons and cards before the surface, by depth, until next to nothing is let through.

    The V vertices and F faces are one list for all pictures; each picture names its span of both, which others may
    share. Formulas, and how the backends differ, are in the room's README.

    Args:
        colour: [B, H, W, 3] linear 0–1, toned, not yet antialiased: what lies below.
        depth: [B, H, W] metres along the view axis, inf where nothing hides a layer.
        vertices: [V, 3] world, metres.
        sides: [V, 3] metres from the middle of the ribbon to the vertex. A ribbon is widened by half a pixel on either
            side and covers a pixel by its exact share across: its borders, and ends that taper to nothing, are
            antialiased. Of a card, which is softened by its texture alone, 0.
        tangents: [V, 3] along the strand, from root to tip, any length.
        normals: [V, 3] outward of the volume of hair, any length; both sides of a face are lit alike.
        tint: [V, 3] linear, multiplies the texture's albedo.
        occlusion: [V] 0 (closed) to 1 (open), of all light.
        gloss: [V] factor on the white highlight and the sky's mirror image: 1 is healthy hair, 0 dull.
        uvs: [V, 2], v up.
        faces: [F, 3] int32 or int64, corners counted from the first vertex of the span. Both sides are seen.
        face_textures: [F] in ``0 … K - 1``.
        spans: [B, 4] first vertex, number of vertices, first face, number of faces of each picture. A face with a
            corner outside its span is not drawn.
        texture: [K, Ht, Wt, 4] linear albedo and alpha, sides powers of two; or its mip chain of `build_layer_mipmaps`.
        world_to_clip: [B, 4, 4].
        camera_position: [B, 3] world, metres.
        sh: [B, 9, 3] spherical harmonics of the environment's radiance.
        key_direction: [B, 3] unit vector towards the key light.
        key_colour: [B, 3] irradiance of the key light.
        exposure: [B] factor on the layers' light before the tone map; None is 1.
        backend: ``"reference"``, ``"cpu"`` (numba, float32) or None for the default order.

    Returns:
        Overlaid: ``colour`` [B, H, W, 3] and ``layer_alpha`` [B, H, W], the share of a pixel that layers cover.

    Gradients: with the reference, to colour, texture, uvs, tangents, normals, tint, occlusion, gloss, exposure and
    light; none to depth, vertices, sides and cameras (which layers a pixel sees, and how much of it each covers, are
    fixed), nor from one fragment to another's place in the order.

    Raises:
        ValueError: A shape, dtype, index or span does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    if isinstance(texture, Tensor):
        texture = build_layer_mipmaps(texture, backend="reference")
    tensors = {
        "colour": colour, "depth": depth, "vertices": vertices, "sides": sides, "tangents": tangents,
        "normals": normals, "tint": tint, "occlusion": occlusion, "gloss": gloss, "uvs": uvs, "faces": faces,
        "face_textures": face_textures, "spans": spans, "world_to_clip": world_to_clip,
        "camera_position": camera_position, "sh": sh, "key_direction": key_direction, "key_colour": key_colour,
        "exposure": filled(1.0, colour, len(colour)) if exposure is None else exposure, "texture": texture.texels,
    }  # fmt: skip
    check_layers(tensors, texture)
    scene = layer_scene(tensors, texture)
    available = ("reference", "cpu") if colour.dtype == torch.float32 else ("reference",)
    chosen = resolve_backend("overlay", backend, available, *tensors.values())
    if chosen == "cpu":
        from pain3d.kernels.layering.cpu import overlay_cpu

        return overlay_cpu(colour, depth, scene)
    return overlay_reference(colour, depth, scene)


def seen_layers(layers: Layers, eyes: Eyes, lights: Lights) -> LayerScene:
    """Check layers, a span for each picture, and return them with who sees them in which light."""
    texture = layers.texture
    if isinstance(texture, Tensor):
        texture = build_layer_mipmaps(texture)
    scene = LayerScene(Ribbons._make(layers[: len(Ribbons._fields)]), texture, eyes, lights)
    check_layers(tensors_of_layers(scene), texture)
    return scene


def tensors_of_layers(scene: LayerScene) -> dict[str, Tensor]:
    """The tensors of a scene by name."""
    ribbons, texture, eyes, lights = scene
    return {**eyes._asdict(), **lights._asdict(), **ribbons._asdict(), "texture": texture.texels}


def layer_scene(tensors: dict[str, Tensor], texture: Mipmaps) -> LayerScene:
    """The bundles of tensors by name."""
    ribbons, eyes, lights = (kind(*[tensors[name] for name in kind._fields]) for kind in (Ribbons, Eyes, Lights))
    return LayerScene(ribbons, texture, eyes, lights)  # type: ignore[arg-type]


def check_layers(tensors: dict[str, Tensor], texture: Mipmaps) -> None:
    """Raise ValueError where a tensor, an index or a span does not fit."""
    sizes = check_shapes(**{name: (tensor, FORMS[name][0]) for name, tensor in tensors.items()})
    for dtypes in (FLOATS, INDICES):
        check_dtypes(dtypes, **{name: tensor for name, tensor in tensors.items() if FORMS[name][1] is dtypes})
    offset, rows, columns = level_table(*texture[1:])[-1]
    if sizes["N"] != offset + rows * columns:
        raise ValueError(f"texture must be the mip chain of {texture[1]} x {texture[2]}, got {sizes['N']} texels")
    check_indices("face_textures", tensors["face_textures"], sizes["K"], "textures")
    check_indices("faces", tensors["faces"], sizes["V"], "vertices")
    spans = tensors["spans"].long()
    for name, column, count in (("vertices", 0, sizes["V"]), ("faces", 2, sizes["F"])):
        check_indices("spans", spans[:, column : column + 2], count + 1, name)
        check_indices("spans", spans[:, column : column + 2].sum(1), count + 1, f"{name}, ends of spans")
