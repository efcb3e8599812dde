"""The table that `test_every_room.py` runs over: one line per public op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from pain3d.kernels import (
    Rendered,
    antialias,
    build_mipmaps,
    deform,
    face_adjacency,
    interpolate,
    rasterize,
    render,
    sample_texture,
    shade,
    vertex_normals,
)
from pain3d.kernels.antialias.example import example_inputs as antialias_inputs
from pain3d.kernels.deform.example import example_inputs as deform_inputs
from pain3d.kernels.deform.example import example_sphere
from pain3d.kernels.interpolate.example import example_inputs as interpolate_inputs
from pain3d.kernels.rasterize.example import example_inputs as rasterize_inputs
from pain3d.kernels.render.example import example_inputs as render_inputs
from pain3d.kernels.sample_texture.example import example_inputs as sample_texture_inputs
from pain3d.kernels.shade.example import example_inputs as shade_inputs


def normals_inputs(
    size: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    points, faces = example_sphere(size)
    generator = torch.Generator().manual_seed(seed)
    bumps = 1 + 0.1 * torch.rand(2, len(points), 1, generator=generator, dtype=torch.float64)
    return {"vertices": (points * bumps).to(device, dtype), "faces": faces.to(device)}


def adjacency_inputs(
    size: int = 1, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0
) -> dict[str, Any]:
    return {"faces": example_sphere(size)[1].to(device)}


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
)

ROOMS = [
    # deform: worst seen 3e-8 m on a 0.1 m mesh, fp32: one rounding of the last addition
    Room("deform", deform, deform_inputs, ("cpu",), (2, 0),
         ("template", "basis", "coefficients", "skin_weights", "joint_transforms"),
         ("coefficients", "joint_transforms", "template_index"), 1e-7),
    # vertex_normals: worst seen 1.2e-7, fp32: faces are summed in another order
    Room("vertex_normals", vertex_normals, normals_inputs, ("cpu",), (2, 0), ("vertices",), ("vertices",), 5e-7),
    # rasterize: the same integers and the same float64 terms
    Room("rasterize", rasterize, rasterize_inputs, ("cpu",), (2, 1), (), ("vertices_clip",), 0.0),
    Room("interpolate", interpolate, interpolate_inputs, (), (9, 3), ("attributes", "barycentrics"),
         ("attributes", "face_ids", "barycentrics")),
    Room("build_mipmaps", build_mipmaps, mipmaps_inputs, ("cpu",), (9, 3), ("texture",), ("texture",)),
    Room("sample_texture", sample_texture, sample_texture_inputs, (), (9, 3), ("texture", "uv", "level"),
         ("texture", "uv", "level")),
    Room("shade", shade, shade_inputs, (), (9, 4), SHADED, SHADED),
    Room("antialias", antialias, antialias_inputs, (), (2, 0), ("colour",),
         ("colour", "face_ids", "depth", "vertices_clip")),
    Room("face_adjacency", face_adjacency, adjacency_inputs, (), (2, 1), (), ()),
    # render: one byte level, see test_render.py for how many
    Room("render", partial(render, outputs=Rendered._fields), render_inputs, ("cpu",), (33, 16), (),
         ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "background", "exposure",
          "mesh_index", "texture_index"), 1.0),
]  # fmt: skip
