"""Knows a stand-in for DRTK on the CPU, written from its documentation: conventions and layouts, slowly.

What the documentation says: vertices [N, V, 3] in pixels, the centre of the first pixel at 0, row 0 on top, z the
distance along the view axis; faces int32; ids [N, H, W] int32, -1 on background; depth 0 there; barycentrics
[N, 3, H, W].
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor

from pain3d.kernels.rasterization.reference import Fragments, rasterize_reference


def _fragments(v: Tensor, vi: Tensor, height: int, width: int) -> Fragments:
    assert v.dtype == torch.float32 and vi.dtype == torch.int32 and vi.dim() == 2
    x, y, z = v.double().unbind(-1)
    on_screen = torch.stack([(x + 0.5) / width * 2 - 1, 1 - (y + 0.5) / height * 2, torch.zeros_like(z)], -1)
    return rasterize_reference(torch.cat([on_screen * z[..., None], z[..., None]], -1), vi, (height, width), cull=False)


def rasterize_with_depth(v: Tensor, vi: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    found = _fragments(v, vi, height, width)
    return torch.where(found.face_ids >= 0, found.depth, 0).float(), found.face_ids


def rasterize(v: Tensor, vi: Tensor, height: int, width: int) -> Tensor:
    return _fragments(v, vi, height, width).face_ids


def render(v: Tensor, vi: Tensor, index_img: Tensor) -> tuple[Tensor, Tensor]:
    found = _fragments(v, vi, *index_img.shape[1:])
    assert torch.equal(found.face_ids, index_img)
    return torch.where(found.face_ids >= 0, found.depth, 0).float(), found.barycentrics.permute(0, 3, 1, 2).float()


@contextmanager
def installed() -> Iterator[None]:
    module = ModuleType("drtk")
    for function in (rasterize_with_depth, rasterize, render):
        setattr(module, function.__name__, function)
    before = sys.modules.get("drtk")
    sys.modules["drtk"] = module
    try:
        yield
    finally:
        del sys.modules["drtk"]
        if before is not None:
            sys.modules["drtk"] = before
