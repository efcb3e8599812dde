"""Knows the calls of the public ops that between them make every launch of every Triton kernel.

For `compile_offline.py` and `fake_device.py`, which run as scripts: their folder is on the path, not the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from rooms import ROOMS, Room

Calls = Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]


def changed_inputs(room: Room, inputs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What the example of a room leaves out: one item, 64-bit indices, arguments that may be absent, other outputs."""

    def wide(value: Any) -> Any:
        return value.long() if isinstance(value, torch.Tensor) and value.dtype == torch.int32 else value

    without_skin = {"skin_joints": None, "skin_weights": None, "joint_transforms": None}
    if room.batched and room.name != "render":  # below: its kernels take seconds to compile
        yield "one item", inputs | {name: inputs[name][:1] for name in room.batched}
    yield "64-bit indices", {name: wide(value) for name, value in inputs.items()}
    if room.name in ("deform", "deform_pairs"):
        yield "no skin", inputs | without_skin
    if room.name == "deform":
        many = {name: inputs[name].repeat_interleave(64, 0) for name in room.batched}
        yield "many", inputs | many
        yield "tf32", inputs | {"precision": "tf32"}
        yield "many, tf32", inputs | many | {"precision": "tf32"}
        yield "shared template", inputs | {"template": inputs["template"][:1], "template_index": None}
        own = inputs["template"][inputs["template_index"]]
        yield "own templates, no shapes", inputs | {"template": own, "template_index": None} | without_shapes(inputs)
    if room.name == "distill_loss":
        yield "no weight", inputs | {"targets.weight": None}
    if room.name == "interpolate":
        yield "40 channels", inputs | {"attributes": inputs["attributes"].repeat(1, 1, 10)}
    if room.name == "sample_texture":
        yield "no level", inputs | {"level": None}
        yield "5 channels", inputs | {"texture": inputs["texture"].repeat(1, 1, 1, 2)[..., :5]}
    if room.name == "render":
        alone = {name: inputs[name][:1] for name in room.batched} | {"background": inputs["background"][:1, :1, :1]}
        yield "image", inputs | {"outputs": ("image",)}
        yield (
            "one bfloat16 NCHW, flat background",
            inputs | alone | {"outputs": ("image",), "image_dtype": "bfloat16", "layout": "NCHW"},
        )
        yield "linear and a float image", inputs | {"outputs": ("image", "linear"), "image_dtype": "float32"}
        yield "visibility", inputs | {"outputs": ("face_ids", "depth")}
        yield "attributes", inputs | {"outputs": ("attributes",)}


def without_shapes(inputs: dict[str, Any]) -> dict[str, Any]:
    """Basis and coefficients of no shape at all: skinning alone."""
    return {"basis": inputs["basis"][:0], "coefficients": inputs["coefficients"][:, :0]}


def distilled(over_teacher: bool, kind: str, **inputs: Any) -> None:
    """What `distill_loss` launches in training."""
    from pain3d.kernels.distillation.triton_op import distill_over_teacher, distill_triton, scaled

    names = ("student.scalar", "teacher.scalar", "student.vector", "student.thresholds")
    values = [inputs[name] for name in (*names, "targets.scalar", "targets.vector", "targets.weight")]
    scales = (inputs["scalar_scale"], list(inputs["vector_scale"]), list(inputs["thresholds"]))
    given = (inputs["student.tokens"], inputs["teacher.tokens"], values, 1, kind, [1.0] * 6, 2.0, *scales)
    if over_teacher:
        losses, logits = distill_over_teacher(*given)
        scaled(inputs["teacher.tokens"], logits, losses[0])
    else:
        losses, gradient, logits = distill_triton(*given, True)
        scaled(gradient, logits, losses[0])


def backward_calls(room: Room, inputs: dict[str, Any]) -> Calls:
    """What the gradients of a room launch: its backward ops, since autograd can't run on fake tensors."""
    if room.name == "shade":
        from pain3d.kernels.shading.triton_op import NAMES, shade_backward_op

        def shade_backward(wanted: list[bool], gradient: torch.Tensor, **given: torch.Tensor) -> Any:
            return shade_backward_op(gradient, *[given[name] for name in NAMES], wanted)

        given = inputs | {"gradient": inputs["albedo"]}
        yield "backward", partial(shade_backward, [True] * 10), given
        yield "backward to the surface", partial(shade_backward, [True] * 7 + [False] * 3), given
    if room.name == "sample_texture":
        yield from sample_texture_calls(inputs)
    if room.name == "render":
        yield from render_calls(inputs)
    if room.name == "antialias":
        from pain3d.kernels.antialiasing.triton_op import antialias_backward

        def antialias_gradient(to_clip: bool, **given: torch.Tensor) -> Any:
            return antialias_backward(given["colour"], *given.values(), True, to_clip)

        yield "backward", partial(antialias_gradient, True), inputs
        yield "backward to colour", partial(antialias_gradient, False), inputs
    if room.name in MESH_BACKWARD:
        op = MESH_BACKWARD[room.name]
        for what, given in (("", inputs), *changed_inputs(room, inputs)):
            yield f"backward, {what}", op, given
    if room.name == "distill_loss":
        yield from distill_calls(inputs)


def sample_texture_calls(inputs: dict[str, Any]) -> Calls:
    """Gradients of look-ups: all; those of a shared texture alone, without a level; those of where to look alone."""
    from pain3d.kernels.texturing.triton_op import sample_texture_backward

    def backward(
        wanted: tuple[bool, bool, bool],
        texture: torch.Tensor,
        uv: torch.Tensor,
        level: torch.Tensor | None,
        gradient: torch.Tensor,
    ) -> Any:
        return sample_texture_backward(gradient, texture.flatten(1, 2), uv, level, *texture.shape[1:3], *wanted)

    # Kernels look at no number: level 0 stands for the chain, which no texel here is read of.
    gradient = torch.zeros(*inputs["uv"].shape[:-1], inputs["texture"].shape[-1])
    given = inputs | {"gradient": gradient}
    many = torch.zeros(*gradient.shape[:-1], 16)
    shared = given | {"texture": torch.zeros(1, 8, 16, 16), "level": None, "gradient": many}
    yield "backward", partial(backward, (True, True, True)), given
    yield "backward to a shared texture of 16 channels", partial(backward, (True, False, False)), shared
    yield "backward to uv", partial(backward, (False, True, False)), given


def render_calls(inputs: dict[str, Any]) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Gradients of the fused render: from all outputs to all inputs; from bfloat16 NCHW to what a picture is lit by.

    And a picture with cast shadows, and its gradients.
    """
    from pain3d.kernels.rendering.bundles import Request, allocate_outputs
    from pain3d.kernels.rendering.custom_op import (
        DIFFERENTIABLE,
        FLOATS_OUT,
        flat_arguments,
        render_backward_op,
        render_op,
    )
    from pain3d.kernels.rendering.example import example_scene

    def backward(request: Request, wanted: tuple[str, ...], **given: Any) -> Any:
        scene = example_scene(given)
        made = allocate_outputs(scene, request)
        upstream = [getattr(made, name) for name in FLOATS_OUT]
        return render_backward_op(
            *upstream, *flat_arguments(scene, request), [name in wanted for name in DIFFERENTIABLE]
        )

    yield "backward", partial(backward, Request(FLOATS_OUT, "float32"), DIFFERENTIABLE), inputs
    lit = ("texture", "exposure", "sh")
    yield "backward to texture and light", partial(backward, Request(("image",), "bfloat16", "NCHW"), lit), inputs

    def forward(**given: Any) -> Any:
        return render_op(*flat_arguments(example_scene(given), Request(("image", "alpha"))))

    count, vertices = len(inputs["key_direction"]), inputs["vertices"].shape[1]
    faces, new = len(inputs["faces"]), inputs["key_colour"].new_zeros
    shadowed = inputs | {"seen": new(count, vertices, 2), "finer": new(count, faces, 15, 2)}
    shadowed["kinds"] = inputs["faces"].new_zeros(count, faces, dtype=torch.int32)
    yield "shadows", forward, shadowed
    yield "shadows, backward", partial(backward, Request(("linear",)), DIFFERENTIABLE), shadowed


def distill_calls(inputs: dict[str, Any]) -> Calls:
    """Tokens of ViT-B/16 at 224 pixels and of a ViT of 192 at 112, both dtypes and kinds, with gradients."""
    for width, length in ((768, 197), (192, 50)):
        for dtype in (torch.float32, torch.bfloat16):
            student, teacher = torch.zeros(2, len(inputs["student.scalar"]), length, width, dtype=dtype)
            given = inputs | {"student.tokens": student, "teacher.tokens": teacher}
            for kind in ("mse", "cosine"):
                yield f"{width} wide, {dtype}, {kind}", partial(distilled, False, kind), given
            yield f"{width} wide, {dtype}, over the teacher", partial(distilled, True, kind), given


def interpolate_backward(attributes: torch.Tensor, **given: torch.Tensor) -> None:
    from pain3d.kernels.interpolation.triton_op import interpolate_backward as backward

    gradient = attributes.new_zeros(*given["face_ids"].shape, attributes.shape[-1])
    backward(gradient, attributes, *given.values(), True, True)


def rasterize_backward(vertices_clip: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> None:
    from pain3d.kernels.rasterization.triton_op import rasterize_backward as backward

    to_depth = vertices_clip.new_zeros(len(vertices_clip), *size)
    to_barycentrics = vertices_clip.new_zeros(*to_depth.shape, 3)
    for wanted in ((to_barycentrics, to_depth), (to_barycentrics, None), (None, to_depth)):
        backward(*wanted, vertices_clip, faces, to_depth.to(torch.int32))


def deform_backward(precision: str = "fp32", template_index: torch.Tensor | None = None, **given: Any) -> None:
    from pain3d.kernels.deformation.backward_op import deform_backward as backward

    template, basis, coefficients, joints, weights, transforms = (
        given[name] for name in ("template", "basis", "coefficients", "skin_joints", "skin_weights", "joint_transforms")
    )
    gradient = template.new_zeros(len(coefficients), *template.shape[1:])
    inputs = (template, basis, coefficients, joints, weights, transforms, template_index, precision)
    backward(gradient, *inputs, [True] * 3 + [joints is not None] * 2)


def deform_pairs_backward(**given: Any) -> None:
    from pain3d.kernels.deformation.backward_op import deform_pairs_backward as backward

    gradient = given["shaped"].new_zeros(len(given["shaped_index"]), *given["shaped"].shape[1:])
    backward(gradient, *given.values(), [True] * 2 + [given["skin_joints"] is not None] * 2)


def vertex_normals_backward(vertices: torch.Tensor, faces: torch.Tensor) -> None:
    from pain3d.kernels.deformation.backward_op import vertex_normals_backward as backward

    backward(vertices, vertices, faces)


MESH_BACKWARD: dict[str, Callable[..., None]] = {
    "deform": deform_backward,
    "deform_pairs": deform_pairs_backward,
    "interpolate": interpolate_backward,
    "rasterize": rasterize_backward,
    "vertex_normals": vertex_normals_backward,
}


def calls() -> Calls:
    """Calls of the public ops that between them make every launch: each room's example, and what it leaves out."""
    for room in ROOMS:
        if "triton" in room.backends:
            inputs = room.inputs(room.sizes[0])
            yield room.name, partial(room.op, backend="triton"), inputs
            for what, changed in changed_inputs(room, inputs):
                yield f"{room.name}: {what}", partial(room.op, backend="triton"), changed
            for what, op, given in backward_calls(room, inputs):
                yield f"{room.name}: {what}", op, given
