"""The table that `test_every_room.py` runs over: one line per public op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pain3d.kernels import (
    DistillLoss,
    DistillTargets,
    Rendered,
    StudentPredictions,
    TeacherPredictions,
    antialias,
    backproject,
    build_mipmaps,
    cast_shadows,
    deform,
    develop,
    distill_loss,
    edge_confidence,
    face_adjacency,
    interpolate,
    jpeg_loss,
    overlay,
    rasterize,
    render,
    sample_texture,
    shade,
    vertex_normals,
)
from pain3d.kernels.antialiasing.example import example_inputs as antialias_inputs
from pain3d.kernels.backprojection.example import example_inputs as backproject_inputs
from pain3d.kernels.compression.example import example_inputs as jpeg_inputs
from pain3d.kernels.deformation import deform_pairs
from pain3d.kernels.deformation.example import example_inputs as deform_inputs
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.distillation.example import example_inputs as distill_example
from pain3d.kernels.interpolation.example import example_inputs as interpolate_inputs
from pain3d.kernels.layering.example import example_inputs as overlay_inputs
from pain3d.kernels.rasterization.example import example_inputs as rasterize_inputs
from pain3d.kernels.rendering.example import example_inputs as render_inputs
from pain3d.kernels.sensor.example import example_inputs as sensor_inputs
from pain3d.kernels.shading.example import example_inputs as shade_inputs
from pain3d.kernels.shadowing.example import example_inputs as cast_shadows_inputs
from pain3d.kernels.texturing.example import example_inputs as sample_texture_inputs


def normals_inputs(
    size: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    points, faces = example_sphere(size)
    generator = torch.Generator().manual_seed(seed)
    bumps = 1 + 0.1 * torch.rand(2, len(points), 1, generator=generator, dtype=torch.float64)
    return {"vertices": (points * bumps).to(device, dtype), "faces": faces.to(device)}


def deform_pairs_inputs(
    size: int = 2, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    inputs = deform_inputs(size, device, dtype, seed)
    return {
        "shaped": inputs["template"],
        "offsets": inputs["basis"],
        "shaped_index": inputs["template_index"],
        "offset_index": torch.tensor([5, 0, 3, 3], dtype=torch.int32, device=device),
        "skin_joints": inputs["skin_joints"],
        "skin_weights": inputs["skin_weights"],
        "joint_transforms": inputs["joint_transforms"],
    }


def flattened(inputs: dict[str, Any]) -> dict[str, Any]:
    """Bundles among the inputs taken apart: the field `tokens` of `student` becomes ``student.tokens``."""
    flat: dict[str, Any] = {}
    for name, value in inputs.items():
        fields = value._asdict() if hasattr(value, "_asdict") else None
        flat |= {name: value} if fields is None else {f"{name}.{field}": part for field, part in fields.items()}
    return flat


def distill_inputs(
    size: int = 5, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    return flattened(distill_example(size, device, dtype, seed))


def flat_distill_loss(**given: Any) -> DistillLoss:
    """`distill_loss` of what `flattened` returns."""
    bundles = {"student": StudentPredictions, "teacher": TeacherPredictions, "targets": DistillTargets}
    made = {
        bundle: kind(*(given.pop(f"{bundle}.{field}") for field in kind._fields)) for bundle, kind in bundles.items()
    }
    return distill_loss(**made, **given)


def adjacency_inputs(
    size: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    return {"faces": example_sphere(size)[1].to(device)}


def edges_inputs(
    size: int = 19, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    return {"depth": backproject_inputs(size, device, dtype, seed)["depth"]}


def mipmaps_inputs(
    size: int = 9, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    return {"texture": sample_texture_inputs(size, device, dtype, seed)["texture"]}


@dataclass(frozen=True)
class Room:
    name: str
    op: Callable[..., Any]
    inputs: Callable[..., dict[str, Any]]
    backends: tuple[str, ...]  # beside the reference
    sizes: tuple[int, int]  # of the example: for the forward tests, for gradcheck
    gradients: tuple[str, ...]  # arguments that gradcheck compares with finite differences
    batched: tuple[str, ...]  # arguments whose first dimension is the batch
    tolerance: float = 0.0  # greatest difference of the cpu backend from the reference, with its evidence beside it
    triton_tolerance: float = 0.0  # of the triton backend, likewise
    with_gradient: tuple[str, ...] = ()  # backends beside the reference that have a gradient
    gradient_tolerance: float = 0.0  # of them, over the greatest gradient of an argument, with its evidence beside it

    def greatest_difference(self, backend: str) -> float:
        return self.triton_tolerance if backend == "triton" else self.tolerance


def device_of(backend: str) -> str:
    """Where the tests run a backend: Triton on a GPU, or where there is none in its interpreter on the CPU."""
    return "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"


SHADED = (
    "albedo",
    "normal",
    "view_direction",
    "sh",
    "key_direction",
    "key_colour",
    "occlusion",
    "specular",
    "roughness",
    "scatter",
)

ROOMS = [
    # deform: worst seen 3e-8 m on a 0.1 m mesh, fp32: one rounding of the last addition; triton 4.5e-8 m, interpreter,
    # and a tensor core may drop 2^-20 of each of six products of about 0.01 m; gradients of these three 4e-7 of the
    # greatest, fp32: sums over all vertices in another order
    Room("deform", deform, deform_inputs, ("cpu", "triton"), (2, 0),
         ("template", "basis", "coefficients", "skin_weights", "joint_transforms"),
         ("coefficients", "joint_transforms", "template_index"), 1e-7, triton_tolerance=2e-7,
         with_gradient=("cpu", "triton"), gradient_tolerance=2e-6),
    # deform_pairs: cpu worst seen 0, triton 3e-8 m on a 0.1 m mesh: the joints are summed in another order
    Room("deform_pairs", deform_pairs, deform_pairs_inputs, ("cpu", "triton"), (2, 0),
         ("shaped", "offsets", "skin_weights", "joint_transforms"),
         ("shaped_index", "offset_index", "joint_transforms"), 1e-7, triton_tolerance=2e-7,
         with_gradient=("cpu", "triton"), gradient_tolerance=2e-6),
    # vertex_normals: worst seen 1.8e-7, fp32: faces are summed in another order; a GPU may fuse the cross products
    Room("vertex_normals", vertex_normals, normals_inputs, ("cpu", "triton"), (2, 0), ("vertices",), ("vertices",),
         5e-7, triton_tolerance=1e-6, with_gradient=("cpu", "triton"), gradient_tolerance=2e-6),
    # rasterize: the same integers; cpu: the same float64 terms; triton: float32 from the same integers, worst seen 6e-8
    # in a barycentric and 5e-7 m at 2 to 3 m, interpreter; a GPU's division may add 2 ulp, another 5e-7 m
    Room("rasterize", rasterize, rasterize_inputs, ("cpu", "triton"), (2, 1), (), ("vertices_clip",), 0.0, 2e-6),
    # interpolate: worst seen 0, interpreter; a GPU may fuse products with sums, of values up to 3; gradients 3e-7 of
    # the greatest: sums in another order
    Room("interpolate", interpolate, interpolate_inputs, ("triton",), (9, 3), ("attributes", "barycentrics"),
         ("attributes", "face_ids", "barycentrics"), triton_tolerance=1e-6, with_gradient=("triton",),
         gradient_tolerance=1e-6),
    Room("build_mipmaps", build_mipmaps, mipmaps_inputs, ("cpu",), (9, 3), ("texture",), ("texture",),
         with_gradient=("cpu",)),
    # sample_texture: worst seen 0, interpreter; a GPU may fuse u · width - 0.5, half a unit in the last place of 16;
    # gradients 2.1e-7 of the greatest: sums in another order
    Room("sample_texture", sample_texture, sample_texture_inputs, ("triton",), (9, 3), ("texture", "uv", "level"),
         ("texture", "uv", "level"), triton_tolerance=4e-6, with_gradient=("triton",), gradient_tolerance=1e-6),
    # shade: worst seen 5.1e-6, interpreter, at roughness 0.23, where a narrow gloss enlarges every rounding (README);
    # 2.0e-5 with random errors of two units in the last place on roots and divisions, as a GPU makes them; a gradient
    # 1.0e-4 there (of normal), where the reference in float32 is itself off by 6e-5
    Room("shade", shade, shade_inputs, ("triton",), (9, 4), SHADED, SHADED, triton_tolerance=5e-5,
         with_gradient=("triton",), gradient_tolerance=5e-4),
    # cast_shadows: cpu worst seen 2.3e-6 of a share, as a variance is a difference of squares; triton 2.9e-6,
    # interpreter: float32 depths, 16th powers
    Room("cast_shadows", cast_shadows, cast_shadows_inputs, ("cpu", "triton"), (32, 32), (),
         ("key_direction", "spread", "mesh_index"), 1e-5, triton_tolerance=2e-5),
    # antialias: triton worst seen 0, interpreter: exact integers up to a division; a GPU may round the mix another way
    Room("antialias", antialias, antialias_inputs, ("triton",), (2, 0), ("colour",),
         ("colour", "face_ids", "depth", "vertices_clip"), triton_tolerance=5e-7, with_gradient=("triton",)),
    Room("face_adjacency", face_adjacency, adjacency_inputs, (), (2, 1), (), ()),
    # develop: whole numbers, and floats in one order: the same bytes
    Room("develop", develop, sensor_inputs, ("cpu", "triton"), (9, 3), (),
         ("image", "sensor", "keys")),
    # jpeg_loss: whole numbers, the same bytes
    Room("jpeg_loss", jpeg_loss, jpeg_inputs, ("triton",), (9, 3), (), ("image", "quality")),
    # distill_loss: of a loss of 5 worst seen 9e-7, interpreter; of its gradients, up to 0.3, 8e-8; a GPU adds 2 ulp
    Room("distill_loss", flat_distill_loss, distill_inputs, ("triton",), (5, 2),
         ("student.tokens", "student.scalar", "student.vector", "student.thresholds"), (), triton_tolerance=2e-6,
         with_gradient=("triton",)),
    # backproject: worst seen 5.3e-6 at 24 pixels, 2.6e-5 at 128, where a projection is rounded to 1.5e-5 px: pixels
    # side by side are up to 1 apart; triton, interpreter, 6.5e-6 at 24 and 48; a GPU's roots and divisions add 2 ulp
    Room("backproject", backproject, backproject_inputs, ("cpu", "triton"), (24, 8), (),
         ("pictures", "depth", "confidence", "world_to_clip", "camera_position"), 2e-5, triton_tolerance=4e-5),
    Room("edge_confidence", edge_confidence, edges_inputs, (), (19, 8), (), ("depth",)),
    # overlay: worst seen 1.5e-7 of light below 1, fp32: the sums at a vertex round in another order
    Room("overlay", overlay, overlay_inputs, ("cpu",), (33, 9),
         ("colour", "texture", "uvs", "tangents", "normals", "tint", "occlusion", "gloss", "exposure", "sh",
          "key_direction", "key_colour"),
         ("colour", "depth", "spans", "world_to_clip", "camera_position", "exposure", "sh", "key_direction",
          "key_colour"), 1e-6),
    # render: one byte level, see test_render.py and test_render_triton.py for how many
    Room("render", partial(render, outputs=Rendered._fields), render_inputs, ("cpu", "triton"), (33, 16), (),
         ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "background", "exposure",
          "mesh_index", "texture_index"), 1.0, triton_tolerance=1.0),
]  # fmt: skip
