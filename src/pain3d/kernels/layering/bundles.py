"""Knows what `overlay` reads and writes, in bundles: made once at the door, handed on as they are."""

from __future__ import annotations

from typing import Annotated, NamedTuple

from torch import Tensor

from pain3d.kernels._described import described
from pain3d.kernels._shapes import FLOATS, INDICES, forms_of
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.texturing.reference import Mipmaps


class Ribbons(NamedTuple):
    """Ribbons and cards of all pictures, one ragged list; `pain3d.kernels.overlay` says what each field is."""

    vertices: Annotated[Tensor, "V 3", FLOATS]
    sides: Annotated[Tensor, "V 3", FLOATS]
    tangents: Annotated[Tensor, "V 3", FLOATS]
    normals: Annotated[Tensor, "V 3", FLOATS]
    tint: Annotated[Tensor, "V 3", FLOATS]
    occlusion: Annotated[Tensor, "V", FLOATS]
    gloss: Annotated[Tensor, "V", FLOATS]
    uvs: Annotated[Tensor, "V 2", FLOATS]
    faces: Annotated[Tensor, "F 3", INDICES]
    face_textures: Annotated[Tensor, "F", INDICES]
    spans: Annotated[Tensor, "B 4", INDICES]  # first vertex, vertices, first face, faces


class Layers(NamedTuple):
    """What is laid over people: the fields of `Ribbons`, and textures; `pain3d.kernels.overlay` says what each is.

    A row of `spans` belongs to a picture in `pain3d.kernels`, to a mesh in `pain3d.render`.

    Attributes:
        vertices: [V, 3] world, metres.
        sides: [V, 3] metres from the middle of the ribbon; of a card 0.
        tangents: [V, 3] from root to tip.
        normals: [V, 3] outward of the volume of hair.
        tint: [V, 3] linear.
        occlusion: [V] 0–1.
        gloss: [V] 1 is healthy hair.
        uvs: [V, 2], v up.
        faces: [F, 3] int32 or int64, from the first vertex of a span.
        face_textures: [F] int32 or int64 in ``0 … K - 1``.
        spans: [B, 4] first vertex, vertices, first face, faces.
        texture: [K, Ht, Wt, 4] linear albedo and alpha, or its chain [K, N, 4] of `build_layer_mipmaps`.
    """

    vertices: Tensor
    sides: Tensor
    tangents: Tensor
    normals: Tensor
    tint: Tensor
    occlusion: Tensor
    gloss: Tensor
    uvs: Tensor
    faces: Tensor
    face_textures: Tensor
    spans: Tensor
    texture: Tensor | Mipmaps

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


class Eyes(NamedTuple):
    """B pictures: from where, and how exposed."""

    world_to_clip: Annotated[Tensor, "B 4 4", FLOATS]
    camera_position: Annotated[Tensor, "B 3", FLOATS]
    exposure: Annotated[Tensor, "B", FLOATS]


class LayerScene(NamedTuple):
    """All that is laid over B pictures, checked."""

    ribbons: Ribbons
    texture: Mipmaps  # premultiplied
    eyes: Eyes
    lights: Lights  # one row per picture


class Overlaid(NamedTuple):
    """What `overlay` returns.

    Attributes:
        colour: [B, H, W, 3] linear, toned, what lies in front blended over what came in.
        layer_alpha: [B, H, W] 0–1, the share of a pixel that layers cover.
    """

    colour: Tensor
    layer_alpha: Tensor

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


# Shape pattern and dtypes of every tensor that `overlay` reads, by name; see `_shapes.py`.
FORMS = {
    "colour": ("B H W 3", FLOATS),
    "depth": ("B H W", FLOATS),
    **forms_of(Ribbons, Eyes, Lights),
    "texture": ("K N 4", FLOATS),
}
