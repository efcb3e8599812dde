"""Knows the fused `render` of a GPU as a torch custom op.

A custom op takes and returns plain tensors: the bundles are taken apart here and put together again inside.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._triton import custom_op, refuse_gradient
from pain3d.kernels.rendering.bundles import (
    FORMS,
    Rendered,
    RenderInputs,
    Request,
    allocate_outputs,
    output_forms,
    scene_of,
    tensors_of,
)

ARGUMENTS = (
    *(f"Tensor{'?' if name == 'face_labels' else ''} {name}" for name in FORMS),
    *("SymInt texture_height", "SymInt texture_width", "SymInt height", "SymInt width"),
    *("str outputs", "str image_dtype", "str layout"),
)
SCHEMA = f"({', '.join(ARGUMENTS)}) -> ({', '.join(['Tensor'] * len(Rendered._fields))})"


@custom_op("render", schema=SCHEMA)
def render_op(*arguments: Any) -> tuple[Tensor, ...]:
    """Return the fields of `Rendered`; those that `outputs`, names split by commas, does not have come out empty."""
    from pain3d.kernels.rendering.triton_op import launch_render

    scene, request = _bundles(arguments)
    return _complete(launch_render(scene, request), scene)


@render_op.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    scene, request = _bundles(arguments)
    return _complete(allocate_outputs(scene, request), scene)


refuse_gradient(render_op, "render")


def render_triton(scene: RenderInputs, request: Request) -> Rendered:
    """`pain3d.kernels.render` for float32 tensors, through the op: somebody traces, or listens."""
    made = render_op(*flat_arguments(scene, request))
    fields = zip(Rendered._fields, made, strict=True)
    return Rendered(*(field if name in request.outputs else None for name, field in fields))


def flat_arguments(scene: RenderInputs, request: Request) -> tuple[Any, ...]:
    """Return the arguments of `torch.ops.pain3d.render`."""
    tensors = [None if tensor is None else tensor.detach() for tensor in tensors_of(scene).values()]
    return (*tensors, *scene.texture[1:], *scene.size, ",".join(request.outputs), request.image_dtype, request.layout)


def _bundles(arguments: tuple[Any, ...]) -> tuple[RenderInputs, Request]:
    tensors = dict(zip(FORMS, arguments, strict=False))
    texture_height, texture_width, height, width, outputs, image_dtype, layout = arguments[len(FORMS) :]
    scene = scene_of(tensors, (texture_height, texture_width), (height, width))
    return scene, Request(tuple(outputs.split(",")), image_dtype, layout)


def _complete(made: Rendered, scene: RenderInputs) -> tuple[Tensor, ...]:
    """The fields of `Rendered`, an empty tensor in the place of None: a custom op returns tensors alone."""
    forms, device = output_forms(scene, Request(())), scene.meshes.vertices.device
    fields = zip(made, forms.values(), strict=True)
    return tuple(
        torch.empty(0, *shape[1:], dtype=dtype, device=device) if field is None else field
        for field, (shape, dtype) in fields
    )
