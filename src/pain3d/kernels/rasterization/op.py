"""Knows the public face of the room `rasterize`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.rasterization.reference import Fragments, rasterize_reference
from pain3d.kernels.rasterization.triton_op import rasterize_triton

AVAILABLE = ("reference", "cpu", "triton", "nvdiffrast")  # the last two in float32 only
MAX_FACES = 2**24 - 1  # of the last two: 24 bits of a key hold the face id, and a float32 holds face + 1 exactly
MAX_SIZE = 16384  # pixels a side: 2^14 pixels of 2^8 subpixels are far inside the exact range of the edge functions


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) as plain integers.

    Raises:
        ValueError: A side is negative or above 16384.
    """
    height, width = int(size[0]), int(size[1])
    if not (0 <= height <= MAX_SIZE and 0 <= width <= MAX_SIZE):
        raise ValueError(f"size must be (height, width), each in 0 … {MAX_SIZE}, got {tuple(size)}")
    return height, width


def rasterize(
    vertices_clip: Tensor,
    faces: Tensor,
    size: tuple[int, int],
    *,
    cull: bool = True,
    backend: str | None = None,
) -> Fragments:
    """Find the nearest face at each pixel centre.

    Screen positions are snapped to 1/256 pixel and compared with exact integer edge functions and a top-left rule, so
    faces that share an edge leave neither a gap nor a pixel drawn twice. The nearest is the one with the largest 1/w,
    interpolated in float64 (float32 with ``triton``); of equals, the lowest face id.

    Args:
        vertices_clip: [B, V, 4] float32 or float64: x and y in [-w, w] on the screen, y up; w is the distance in metres
            along the view axis; z is ignored beyond having to be finite.
        faces: [F, 3] int32 or int64, counter-clockwise from outside; F < 2^24 with ``triton``. An index out of range
            raises on the CPU; on a GPU nothing is checked, and ``triton`` does not draw that face.
        size: (height, width) in pixels, each in 0 … 16384.
        cull: Drop faces seen from behind.
        backend: ``"reference"``, ``"cpu"`` (numba), ``"triton"`` (float32), ``"nvdiffrast"`` (float32, where it is
            installed: its own snapping and ties) or None for the default order.

    Returns:
        Fragments: ``face_ids`` [B, H, W] int32, -1 on background; ``barycentrics`` [B, H, W, 3], perspective-correct,
        sum to 1, 0 on background; ``depth`` [B, H, W], metres (the interpolated w), inf on background.

    A face is dropped whole, not clipped, when a corner has w ≤ 1e-6, is not finite or lies more than 2^21 pixels from
    the origin; so is a face whose snapped area is zero.

    Gradients: to vertices_clip from barycentrics and depth, as if corners were not snapped; none from face_ids (see
    `antialias` for visibility), none to faces.

    Raises:
        ValueError: A shape, dtype, index or size does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(vertices_clip=(vertices_clip, "B V 4"), faces=(faces, "F 3"))
    check_dtypes(FLOATS, vertices_clip=vertices_clip)
    check_dtypes(INDICES, faces=faces)
    check_indices("faces", faces, sizes["V"], "vertices")
    size = check_size(size)
    available = AVAILABLE if vertices_clip.dtype == torch.float32 else AVAILABLE[:2]
    chosen = resolve_backend("rasterize", backend, available, vertices_clip, with_gradient=("cpu", "triton"))
    if chosen in ("triton", "nvdiffrast") and sizes["F"] > MAX_FACES:
        raise ValueError(f"faces must be at most {MAX_FACES} for backend {chosen!r}, got {sizes['F']}")
    if chosen == "triton":
        return rasterize_triton(vertices_clip, faces, size, cull)
    if chosen == "nvdiffrast":
        from pain3d.kernels.rasterization.nvdiffrast_op import rasterize_nvdiffrast

        return rasterize_nvdiffrast(vertices_clip, faces, size, cull)
    if chosen == "cpu":
        from pain3d.kernels.rasterization.cpu import rasterize_cpu

        return rasterize_cpu(vertices_clip, faces, size, cull)
    return rasterize_reference(vertices_clip, faces, size, cull)
