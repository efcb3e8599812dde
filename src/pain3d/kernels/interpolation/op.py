"""Knows the public face of the room `interpolate`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.interpolation.reference import interpolate_reference
from pain3d.kernels.interpolation.triton_op import interpolate_triton

AVAILABLE = ("reference", "triton")


def interpolate(
    attributes: Tensor, faces: Tensor, face_ids: Tensor, barycentrics: Tensor, *, backend: str | None = None
) -> Tensor:
    """Mix the attributes of a face's three vertices with the barycentrics: ``Σ_c barycentrics_c · attributes[face_c]``.

    Args:
        attributes: [B, V, C], or [1, V, C] shared by all images; any unit.
        faces: [F, 3] int32 or int64.
        face_ids: [B, H, W] int32, -1 on background.
        barycentrics: [B, H, W, 3], of the attributes' dtype.
        backend: ``"reference"``, ``"triton"`` (float32) or None for the default order.

    Returns:
        [B, H, W, C] in the unit of the attributes, 0 on background.

    Gradients: to attributes and barycentrics; none to faces and face_ids.

    Raises:
        ValueError: A shape, dtype or index does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(
        barycentrics=(barycentrics, "B H W 3"),
        face_ids=(face_ids, "B H W"),
        faces=(faces, "F 3"),
        attributes=(attributes, "B|1 V C"),
    )
    check_dtypes(FLOATS, attributes=attributes, barycentrics=barycentrics)
    check_dtypes(INDICES, faces=faces, face_ids=face_ids)
    check_indices("faces", faces, sizes["V"], "vertices")
    check_indices("face_ids", face_ids, sizes["F"], "faces", lowest=-1)
    available = AVAILABLE if attributes.dtype == torch.float32 else ("reference",)  # the kernel is float32 only
    inputs = (attributes, faces, face_ids, barycentrics)
    if resolve_backend("interpolate", backend, available, *inputs, with_gradient=("triton",)) == "triton":
        values: Tensor = interpolate_triton(*inputs)
        return values
    return interpolate_reference(*inputs)
