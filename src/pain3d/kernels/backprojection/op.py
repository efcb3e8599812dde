"""Knows the public face of the room `backproject`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.backprojection.bundles import Limits, Surface, Views, view_numbers
from pain3d.kernels.backprojection.reference import backproject_reference
from pain3d.kernels.backprojection.triton_op import backproject_triton

AVAILABLE = ("reference", "cpu", "triton")


def backproject(
    pictures: Tensor,
    depth: Tensor,
    confidence: Tensor,
    world_to_clip: Tensor,
    camera_position: Tensor,
    vertices: Tensor,
    normals: Tensor,
    faces: Tensor,
    texel_faces: Tensor,
    texel_barycentrics: Tensor,
    *,
    power: float = 2.0,
    least_cosine: float = 0.2,
    tolerance: float = 0.0005,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Take N pictures of a mesh back to its texture: what each view shows of each texel, and what that is worth.

    A texel is a point of the mesh. Its colour is the bilinear mix of the four pixels around its projection, of which
    only those take part whose depth is that of the texel's tangent plane there: what is hidden takes nothing from what
    hides it. Its weight is ``cosine^power · Σ share · visible · confidence`` over the same four, with the cosine
    between normal and ray.

    Args:
        pictures: [N, H, W, C]: colours, latents, any values at pixel centres, row 0 on top.
        depth: [N, H, W] metres along the view axis, inf on background: of the same mesh, as `rasterize` makes it.
        confidence: [N, H, W] in 0–1, what a pixel is worth, for example of `edge_confidence`.
        world_to_clip: [N, 4, 4]; rows x, y and w are read.
        camera_position: [N, 3] metres.
        vertices: [N, V, 3], or [1, V, 3] shared by all views, metres.
        normals: [N, V, 3] or [1, V, 3] like vertices, of any length.
        faces: [F, 3] int32 or int64.
        texel_faces: [S, T] int32 or int64, the face that each texel lies on, −1 for none.
        texel_barycentrics: [S, T, 3], where on it.
        power: Of the cosine, at least 0.
        least_cosine: Below this cosine a view says nothing of a texel; 0–1. 0.2 is 78°.
        tolerance: Metres by which a depth may be off, beside what a bent surface explains (README); at least 0.
        backend: ``"reference"``, ``"cpu"`` or ``"triton"`` (float32), or None for the default order.

    Returns:
        Colours [N, S, T, C], 0 where no pixel shows the texel, and weights [N, S, T] in 0–1, 0 there too.

    Gradients: none.

    Raises:
        ValueError: A shape, dtype, index or number does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(
        pictures=(pictures, "N H W C"),
        depth=(depth, "N H W"),
        confidence=(confidence, "N H W"),
        world_to_clip=(world_to_clip, "N 4 4"),
        camera_position=(camera_position, "N 3"),
        vertices=(vertices, "N|1 V 3"),
        normals=(normals, f"{len(vertices)} V 3"),
        faces=(faces, "F 3"),
        texel_faces=(texel_faces, "S T"),
        texel_barycentrics=(texel_barycentrics, "S T 3"),
    )
    floats = {
        "pictures": pictures,
        "depth": depth,
        "confidence": confidence,
        "world_to_clip": world_to_clip,
        "camera_position": camera_position,
        "vertices": vertices,
        "normals": normals,
        "texel_barycentrics": texel_barycentrics,
    }
    check_dtypes(FLOATS, **floats)
    check_dtypes(INDICES, faces=faces, texel_faces=texel_faces)
    check_indices("faces", faces, sizes["V"], "vertices")
    check_indices("texel_faces", texel_faces, sizes["F"], "faces", lowest=-1)
    if not (power >= 0 and 0 <= least_cosine <= 1 and tolerance >= 0):
        raise ValueError(
            "power and tolerance must be at least 0 and least_cosine in 0–1, "
            f"got {power}, {tolerance} and {least_cosine}"
        )
    available = AVAILABLE if pictures.dtype == torch.float32 else ("reference",)  # the kernels are float32 only
    given = [tensor.detach() for tensor in floats.values()]
    chosen = resolve_backend("backproject", backend, available, *given, faces, texel_faces, differentiable=False)
    pictures, depth, confidence, world_to_clip, camera_position, vertices, normals, texel_barycentrics = given
    views = Views(pictures, depth, confidence, view_numbers(world_to_clip, camera_position))
    surface = Surface(torch.cat([vertices, normals], 2), faces, texel_faces, texel_barycentrics)
    limits = Limits(power, least_cosine, tolerance)
    if chosen == "triton":
        found: tuple[Tensor, Tensor] = backproject_triton(*views, *surface, list(limits))
        return found
    if chosen == "cpu":
        from pain3d.kernels.backprojection.cpu import backproject_cpu

        return backproject_cpu(views, surface, limits)
    return backproject_reference(views, surface, limits)
