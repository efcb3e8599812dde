"""Knows a stand-in for nvdiffrast on the CPU, written from its documentation: conventions and layouts, slowly.

What the documentation says and our mapping has to meet: tensors contiguous and float32, indices int32; clip space,
z/w in -1 … 1 and smaller nearer, no culling; row 0 at the bottom; per pixel (u, v, z/w, face + 1), zeros on background;
corner 0 has (u, v) = (1, 0), corner 1 (0, 1), corner 2 (0, 0); texture row 0 at v = 0.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels.antialiasing.reference import antialias_reference, face_adjacency_reference
from pain3d.kernels.texturing.reference import build_mipmaps_reference, sample_texture_reference


class RasterizeCudaContext:
    def __init__(self, device: Any = None) -> None:
        self.device = device


def _well_formed(*floats: Tensor, indices: Tensor) -> None:
    for tensor in floats:
        assert tensor.is_contiguous() and tensor.dtype == torch.float32
    assert indices.is_contiguous() and indices.dtype == torch.int32


def _weights(corners: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Perspective-correct weights [..., 3] and z/w [...] of faces [..., 3, 4] at points in pixels from the bottom left.

    Negative outside of a face, NaN where it has no area.
    """
    height, width = size
    w = corners[..., 3]
    at_x, at_y = (corners[..., 0] / w * 0.5 + 0.5) * width, (corners[..., 1] / w * 0.5 + 0.5) * height

    def edge(a: int, b: int) -> Tensor:
        across, up = at_x[..., b] - at_x[..., a], at_y[..., b] - at_y[..., a]
        return across * (y - at_y[..., a]) - up * (x - at_x[..., a])

    edges = torch.stack([edge(1, 2), edge(2, 0), edge(0, 1)], -1)
    on_screen = edges / edges.sum(-1, keepdim=True)
    correct = on_screen / w
    return correct / correct.sum(-1, keepdim=True), (on_screen * (corners[..., 2] / w)).sum(-1)


def rasterize(
    glctx: Any, pos: Tensor, tri: Tensor, resolution: Any, ranges: Any = None, grad_db: bool = True
) -> tuple[Tensor, Tensor]:
    assert isinstance(glctx, RasterizeCudaContext) and ranges is None and pos.dim() == 3
    _well_formed(pos, indices=tri)
    height, width = resolution
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    x, y = columns.flatten().double(), rows.flatten().double()
    images = [_rasterize_one(each.double()[tri.long()], x, y, (height, width)) for each in pos.detach()]
    rast, moved = (torch.stack(parts).reshape(len(pos), height, width, 4) for parts in zip(*images, strict=True))
    return rast, moved


def _rasterize_one(corners: Tensor, x: Tensor, y: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    weights, depth = _weights(corners[:, None], x, y, size)  # [F, P, 3], [F, P]
    inside = (weights >= 0).all(-1) & (depth >= -1) & (depth <= 1)
    nearest, face = torch.where(inside, depth, torch.inf).min(0)
    covered = torch.isfinite(nearest)[:, None]
    own = corners[face]
    # the same face one pixel to the right and one up: what image-space derivatives stand for
    here, right, above = (_weights(own, x + i, y + j, size)[0][:, :2] for i, j in ((0, 0), (1, 0), (0, 1)))
    packed = torch.cat([here, nearest[:, None], (face + 1)[:, None]], 1)
    rates = torch.stack([right - here, above - here], -1).flatten(1)  # du/dX, du/dY, dv/dX, dv/dY
    return torch.where(covered, packed, 0.0).float(), torch.where(covered, rates, 0.0).float()


def interpolate(
    attr: Tensor, rast: Tensor, tri: Tensor, rast_db: Tensor | None = None, diff_attrs: Any = None
) -> tuple[Tensor, Tensor]:
    _well_formed(attr, rast, indices=tri)
    face = rast[..., 3].long() - 1
    covered = (face >= 0)[..., None]
    image = torch.arange(len(rast))[:, None, None, None] if len(attr) > 1 else 0
    corners = attr[image, tri.long()[face.clamp(min=0)]]  # [B, H, W, 3, A]
    u, v = rast[..., 0:1], rast[..., 1:2]
    values = u * corners[..., 0, :] + v * corners[..., 1, :] + (1 - u - v) * corners[..., 2, :]
    rates = values.new_zeros(*values.shape[:3], 0)
    if rast_db is not None and diff_attrs is not None:
        assert diff_attrs == "all"
        along_u, along_v = (corners[..., c, :] - corners[..., 2, :] for c in (0, 1))
        rates = along_u[..., None] * rast_db[..., None, 0:2] + along_v[..., None] * rast_db[..., None, 2:4]
        rates = torch.where(covered, rates.flatten(3), 0.0)  # dA/dX, dA/dY of each attribute
    return torch.where(covered, values, 0.0), rates


def texture_construct_mip(tex: Tensor) -> tuple[str, int]:
    return ("mip", tex.data_ptr())


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip: Any = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
) -> Tensor:
    assert tex.is_contiguous() and uv.is_contiguous() and boundary_mode == "clamp"
    if filter_mode == "linear":
        assert uv_da is None and mip is None
        return sample_texture_reference(tex.flip(1), uv, None)
    assert mip == ("mip", tex.data_ptr()) and filter_mode == "linear-mipmap-linear" and uv_da is not None
    height, width = tex.shape[1:3]
    texels = uv_da.reshape(*uv.shape[:3], 2, 2) * torch.tensor([width, height])[:, None]
    level = 0.5 * torch.log2(texels.square().sum(-2).amax(-1).clamp(min=1))
    return sample_texture_reference(build_mipmaps_reference(tex.flip(1)), uv, level)


def antialias_construct_topology_hash(tri: Tensor) -> Tensor:
    return face_adjacency_reference(tri)


def antialias(color: Tensor, rast: Tensor, pos: Tensor, tri: Tensor, topology_hash: Tensor | None = None) -> Tensor:
    _well_formed(color, rast, pos, indices=tri)
    face_ids = rast[..., 3].flip(1).int() - 1
    depth = torch.where(face_ids >= 0, rast[..., 2].flip(1) + 2, torch.inf)
    adjacent = face_adjacency_reference(tri) if topology_hash is None else topology_hash
    return antialias_reference(color.flip(1), face_ids, depth, pos, tri, adjacent).flip(1)


@contextmanager
def installed() -> Iterator[ModuleType]:
    """`import nvdiffrast.torch` gives the stand-in inside the block."""
    from pain3d.kernels.rasterization.nvdiffrast_op import context

    package, module = ModuleType("nvdiffrast"), ModuleType("nvdiffrast.torch")
    for name in ("RasterizeCudaContext", "rasterize", "interpolate", "texture_construct_mip", "texture", "antialias",
                 "antialias_construct_topology_hash"):  # fmt: skip
        setattr(module, name, globals()[name])
    package.torch = module  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in ("nvdiffrast", "nvdiffrast.torch")}
    sys.modules.update({"nvdiffrast": package, "nvdiffrast.torch": module})
    context.cache_clear()
    try:
        yield module
    finally:
        context.cache_clear()
        for name, kept in before.items():
            if kept is None:
                del sys.modules[name]
            else:
                sys.modules[name] = kept
