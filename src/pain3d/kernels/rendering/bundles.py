"""Knows what `render` reads and writes, in bundles: made once at the door and handed on as they are, into the kernels.

A field states its shape and dtypes; the door checks them by that. Torch, numba and Triton all take a NamedTuple, so a
new input is a field here, an argument of `op.render`, and the code that uses it.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._described import described
from pain3d.kernels._shapes import FLOATS, INDICES, forms_of
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_LAYERS
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.shadowing.reference import Shadows
from pain3d.kernels.texturing.reference import Mipmaps

LABELS = (torch.uint8, *INDICES)
IMAGE_DTYPES = {"uint8": torch.uint8, "float32": torch.float32, "bfloat16": torch.bfloat16}


class Meshes(NamedTuple):
    """M meshes, row by row; a first dimension of 1 is shared by all."""

    vertices: Annotated[Tensor, "M V 3", FLOATS]
    occlusion: Annotated[Tensor, "M|1 V", FLOATS]
    detail_weights: Annotated[Tensor, f"M|1 V {DETAIL_LAYERS}", FLOATS]
    up: Annotated[Tensor, "M|1 3", FLOATS]
    attributes: Annotated[Tensor, "M V A", FLOATS]


class Triangles(NamedTuple):
    """What all meshes have in common: their faces, and how the texture lies on them."""

    faces: Annotated[Tensor, "F 3", INDICES]
    adjacent_faces: Annotated[Tensor, "F 3", INDICES]
    uvs: Annotated[Tensor, "T 2", FLOATS]
    uv_faces: Annotated[Tensor, "F 3", INDICES]
    face_labels: Annotated[Tensor | None, "F", LABELS] = None


class Views(NamedTuple):
    """B pictures: from where, of which mesh with which texture, how exposed and before what."""

    world_to_clip: Annotated[Tensor, "B 4 4", FLOATS]
    camera_position: Annotated[Tensor, "B 3", FLOATS]
    mesh_index: Annotated[Tensor, "B", INDICES]
    texture_index: Annotated[Tensor, "B", INDICES]
    exposure: Annotated[Tensor, "B", FLOATS]
    background: Annotated[Tensor, "B Hb Wb 3", FLOATS]
    shadow_index: Annotated[Tensor, "B", INDICES]


class RenderInputs(NamedTuple):
    """All that `render` reads, checked; `pain3d.kernels.render` says what each field is."""

    meshes: Meshes
    triangles: Triangles
    texture: Mipmaps
    views: Views
    lights: Lights  # one row per view
    size: tuple[int, int]  # height, width
    shadows: Shadows = Shadows()  # nothing in it: the key light reaches everything


class Request(NamedTuple):
    """Which pictures: names of fields of `Rendered`, and the form of its image."""

    outputs: tuple[str, ...]
    image_dtype: str = "uint8"  # or a key of `IMAGE_DTYPES`
    layout: str = "NHWC"  # or "NCHW"

    def differentiable(self) -> bool:
        """Whether any of the pictures has a gradient."""
        floats = ("linear", "barycentrics", "depth", "attributes")
        return any([name in floats or (name == "image" and self.image_dtype != "uint8") for name in self.outputs])


class Rendered(NamedTuple):
    """What `render` returns; a field nobody asked for is None.

    Attributes:
        image: [B, H, W, 3] uint8 sRGB, or as image_dtype and layout say.
        alpha: [B, H, W] uint8, antialiased coverage.
        face_ids: [B, H, W] int32, -1 on background.
        barycentrics: [B, H, W, 3], 0 on background.
        depth: [B, H, W] metres, inf on background.
        attributes: [B, H, W, A], 0 on background.
        labels: [B, H, W] uint8, 255 on background.
        linear: [B, H, W, 4]: linear RGB, toned and antialiased, before encoding, and coverage, antialiased.
        layer_alpha: [B, H, W] uint8, the share of a pixel that layers cover.
    """

    image: Tensor | None = None
    alpha: Tensor | None = None
    face_ids: Tensor | None = None
    barycentrics: Tensor | None = None
    depth: Tensor | None = None
    attributes: Tensor | None = None
    labels: Tensor | None = None
    linear: Tensor | None = None
    layer_alpha: Tensor | None = None

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


# Shape pattern and dtypes of every tensor that `render` reads, by name; see `_shapes.py`.
FORMS = forms_of(Meshes, Triangles, Views, Lights, Shadows) | {"texture": (f"K N {CHANNELS}", FLOATS)}


def tensors_of(scene: RenderInputs) -> dict[str, Tensor | None]:
    """The tensors of a scene by name: those of `FORMS`, the texture's texels under ``texture``."""
    meshes, triangles, texture, views, lights, _, shadows = scene
    bundles: tuple[Any, ...] = (meshes, triangles, views, lights, shadows)
    named = {name: tensor for bundle in bundles for name, tensor in zip(bundle._fields, bundle, strict=True)}
    return named | {"texture": texture.texels}


def scene_of(tensors: dict[str, Tensor | None], texture_size: tuple[int, int], size: tuple[int, int]) -> RenderInputs:
    """The scene of `tensors_of`."""

    def bundle(kind: Any) -> Any:
        return kind(*[tensors[name] for name in kind._fields])

    texels = tensors["texture"]
    assert texels is not None
    texture = Mipmaps(texels, *texture_size)
    return RenderInputs(
        bundle(Meshes), bundle(Triangles), texture, bundle(Views), bundle(Lights), size, bundle(Shadows)
    )


def output_forms(scene: RenderInputs, request: Request) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and dtype of every field of `Rendered`, asked for or not."""
    attributes, pixels = scene.meshes.attributes, (scene.views.world_to_clip.shape[0], *scene.size)
    image = (*pixels, 3) if request.layout == "NHWC" else (pixels[0], 3, *pixels[1:])
    return {
        "image": (image, IMAGE_DTYPES[request.image_dtype]),
        "alpha": (pixels, torch.uint8),
        "face_ids": (pixels, torch.int32),
        "barycentrics": ((*pixels, 3), attributes.dtype),
        "depth": (pixels, attributes.dtype),
        "attributes": ((*pixels, attributes.shape[2]), attributes.dtype),
        "labels": (pixels, torch.uint8),
        "linear": ((*pixels, 4), attributes.dtype),
        "layer_alpha": (pixels, torch.uint8),
    }


def allocate_outputs(scene: RenderInputs, request: Request) -> Rendered:
    """Memory for what was asked for, on the device of the scene; nobody has written it."""
    device = scene.meshes.vertices.device
    made = {
        name: torch.empty(shape, dtype=dtype, device=device)
        for name, (shape, dtype) in output_forms(scene, request).items()
        if name in request.outputs
    }
    return Rendered(**made)
