"""Knows the fused `render` of a GPU as a torch custom op.

A custom op takes and returns plain tensors: the bundles are taken apart here and put together again inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._shapes import FLOATS
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
from pain3d.kernels.shadowing.reference import Shadows

OPTIONAL = ("face_labels", *Shadows._fields)
ARGUMENTS = (
    *(f"Tensor{'?' if name in OPTIONAL else ''} {name}" for name in FORMS),
    *("SymInt texture_height", "SymInt texture_width", "SymInt height", "SymInt width"),
    *("str outputs", "str image_dtype", "str layout"),
)
# Whose gradient there is, and from which outputs it comes, in the order of `Upstream`.
DIFFERENTIABLE = tuple(name for name, (_, dtypes) in FORMS.items() if dtypes is FLOATS)
FLOATS_OUT = ("linear", "image", "barycentrics", "depth", "attributes")
BACKWARD = (
    f"({', '.join(f'Tensor? to_{name}' for name in FLOATS_OUT)}, {', '.join(ARGUMENTS)}, bool[] wanted)"
    f" -> ({', '.join(['Tensor'] * len(DIFFERENTIABLE))})"
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


@custom_op("render_backward", schema=BACKWARD)
def render_backward_op(*arguments: Any) -> tuple[Tensor, ...]:
    """Return the gradients to the tensors of `DIFFERENTIABLE`; those that are not wanted come out empty."""
    from pain3d.kernels.rendering.triton_backward import Upstream, launch_render_backward

    upstream, rest, wanted = Upstream(*arguments[: len(FLOATS_OUT)]), arguments[len(FLOATS_OUT) : -1], arguments[-1]
    scene, request = _bundles(rest)
    names = frozenset(name for name, want in zip(DIFFERENTIABLE, wanted, strict=True) if want)
    found = launch_render_backward(scene, request, upstream, names)
    return tuple(found.get(name, empty) for name, empty in zip(DIFFERENTIABLE, _empty(rest, wanted), strict=True))


@render_backward_op.register_fake
def _(*arguments: Any) -> tuple[Tensor, ...]:
    return _empty(arguments[len(FLOATS_OUT) : -1], arguments[-1])


def _empty(arguments: tuple[Any, ...], wanted: Sequence[bool]) -> tuple[Tensor, ...]:
    """Memory of the gradients, empty where nobody wants one."""
    tensors = dict(zip(FORMS, arguments, strict=False))
    return tuple(
        tensors[name].new_empty(tensors[name].shape if want else (0,))
        for name, want in zip(DIFFERENTIABLE, wanted, strict=True)
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.rest = inputs[len(FORMS) :]
    ctx.save_for_backward(*inputs[: len(FORMS)])


def _backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
    needed = dict(zip(FORMS, ctx.needs_input_grad, strict=False))
    wanted = [needed[name] for name in DIFFERENTIABLE]
    upstream = dict(zip(Rendered._fields, gradients, strict=True))
    given = [upstream[name] for name in FLOATS_OUT]
    found = dict(zip(DIFFERENTIABLE, render_backward_op(*given, *ctx.saved_tensors, *ctx.rest, wanted), strict=True))
    return (*(found[name] if needed[name] else None for name in FORMS), *(None for _ in ctx.rest))


render_op.register_autograd(_backward, setup_context=_keep)
refuse_gradient(render_backward_op, "render", twice=True)


def render_triton(scene: RenderInputs, request: Request) -> Rendered:
    """`pain3d.kernels.render` for float32 tensors, through the op: somebody traces, or listens."""
    made = render_op(*flat_arguments(scene, request))
    fields = zip(Rendered._fields, made, strict=True)
    return Rendered(*(field if name in request.outputs else None for name, field in fields))


def flat_arguments(scene: RenderInputs, request: Request) -> tuple[Any, ...]:
    """Return the arguments of `torch.ops.pain3d.render`."""
    tensors = list(tensors_of(scene).values())
    if not request.differentiable():  # bytes keep nothing for a backward pass
        tensors = [None if tensor is None else tensor.detach() for tensor in tensors]
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
