"""Knows the public face of the room `antialias`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.antialiasing.reference import antialias_reference, face_adjacency_reference
from pain3d.kernels.antialiasing.triton_op import antialias_triton

AVAILABLE = ("reference", "triton", "nvdiffrast")  # the last two in float32 only


def face_adjacency(faces: Tensor, *, backend: str | None = None) -> Tensor:
    """Find the neighbour of each face across each of its edges. It depends on the mesh alone: compute it once.

    Args:
        faces: [F, 3] int32 or int64.
        backend: ``"reference"`` or None.

    Returns:
        [F, 3] int32: entry [f, e] is the face across the edge from ``faces[f, e]`` to ``faces[f, (e + 1) % 3]``; -1 at
        a boundary, where more than two faces meet, and where two faces run along the edge in the same direction.

    Gradients: none.

    Raises:
        ValueError: A shape, dtype or index does not fit, or the room has no such backend.
    """
    check_shapes(faces=(faces, "F 3"))
    check_dtypes(INDICES, faces=faces)
    check_indices("faces", faces, 2**31, "vertices")
    resolve_backend("face_adjacency", backend, ("reference",), faces, differentiable=False)
    return face_adjacency_reference(faces)


def antialias(
    colour: Tensor,
    face_ids: Tensor,
    depth: Tensor,
    vertices_clip: Tensor,
    faces: Tensor,
    adjacent_faces: Tensor,
    *,
    backend: str | None = None,
) -> Tensor:
    """Mix the colours of neighbouring pixels where a silhouette passes between their centres.

    The method and its limits are in the room's README. Pixels without a silhouette beside them keep
    their colour exactly.

    Args:
        colour: [B, H, W, C] linear.
        face_ids: [B, H, W] int32, -1 on background.
        depth: [B, H, W], inf on background.
        vertices_clip: [B, V, 4] float32 or float64: what was rasterised.
        faces: [F, 3] int32 or int64.
        adjacent_faces: [F, 3] int32 or int64, of `face_adjacency`.
        backend: ``"reference"``, ``"triton"`` (float32), ``"nvdiffrast"`` (float32, where it is
            installed: its own method, for comparison) or None for the default order.

    Returns:
        [B, H, W, C], of colour's dtype.

    Gradients: to colour, and to vertices_clip where a silhouette moves (the gradient of visibility, as if corners were
    not snapped to 1/256 px); none to face_ids, depth, faces, adjacent_faces. With ``triton`` once, not of gradients.

    Raises:
        ValueError: A shape, dtype or index does not fit, or the room has no such backend for these dtypes.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(
        colour=(colour, "B H W C"),
        face_ids=(face_ids, "B H W"),
        depth=(depth, "B H W"),
        vertices_clip=(vertices_clip, "B V 4"),
        faces=(faces, "F 3"),
        adjacent_faces=(adjacent_faces, "F 3"),
    )
    for name, tensor in (("colour", colour), ("depth", depth), ("vertices_clip", vertices_clip)):
        check_dtypes(FLOATS, **{name: tensor})
    check_dtypes(INDICES, face_ids=face_ids, faces=faces, adjacent_faces=adjacent_faces)
    check_indices("faces", faces, sizes["V"], "vertices")
    check_indices("face_ids", face_ids, sizes["F"], "faces", lowest=-1)
    check_indices("adjacent_faces", adjacent_faces, sizes["F"], "faces", lowest=-1)
    floats = (colour, depth, vertices_clip)
    available = AVAILABLE if all(part.dtype == torch.float32 for part in floats) else ("reference",)
    chosen = resolve_backend("antialias", backend, available, colour, vertices_clip, with_gradient=("triton",))
    if chosen == "triton":
        return antialias_triton(colour, face_ids, depth, vertices_clip, faces, adjacent_faces)
    if chosen == "nvdiffrast":
        from pain3d.kernels.antialiasing.nvdiffrast_op import antialias_nvdiffrast

        return antialias_nvdiffrast(colour, face_ids, depth, vertices_clip, faces)
    return antialias_reference(colour, face_ids, depth, vertices_clip, faces, adjacent_faces)
