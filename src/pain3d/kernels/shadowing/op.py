"""Knows the public face of the room `shadowing`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.deformation.op import vertex_normals
from pain3d.kernels.rasterization.op import rasterize
from pain3d.kernels.shadowing.reference import (
    COARSEST,
    DEPTH,
    Casting,
    Shadows,
    cast_shadows_reference,
    filtered,
    map_frames,
    on_map,
    seen_through,
)

SIZES = tuple(COARSEST << n for n in range(2, 8))  # 32 to 1024


def cast_shadows(
    vertices: Tensor,
    faces: Tensor,
    key_direction: Tensor,
    spread: Tensor,
    *,
    mesh_index: Tensor,
    focus: Tensor | None = None,
    size: int = 256,
    backend: str | None = None,
) -> Shadows:
    """Return what one of M meshes sees of a distant lamp past itself, S times, for `render`.

    Args:
        vertices: [M, V, 3] world, metres.
        faces: [F, 3] int32 or int64; those that face a lamp cast shadows.
        key_direction: [S, 3] unit vectors to the lamps.
        spread: [S] tangent of half the angle under which a lamp is seen: the edge of a shadow is twice as wide as this
            times the distance to what casts it. Below 0 no shadow is cast.
        mesh_index: [S] in ``0 … M - 1``.
        focus: [K] int32 or int64, the vertices that a map is fitted around: a smaller part is drawn finer. What lies
            outside casts no shadow and has none on it. None is all of them.
        size: Texels a side of the maps: 32, 64, … 1024.
        backend: ``"reference"``, ``"cpu"``, ``"triton"`` or None for the default order.

    Returns:
        Shadows: float32 and int32.

    Gradients: none; a shadow counts as painted on.

    Source: Donnelly & Lauritzen 2006 (variance shadow maps), Lauritzen & McCool 2008 (warps, light bleeding), Fernando
    2005 (an edge as wide as what stands in the light is far).

    Raises:
        ValueError: A shape, dtype, index or the size does not fit.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(
        vertices=(vertices, "M V 3"),
        faces=(faces, "F 3"),
        key_direction=(key_direction, "S 3"),
        spread=(spread, "S"),
        mesh_index=(mesh_index, "S"),
    )
    check_dtypes(FLOATS, vertices=vertices, key_direction=key_direction, spread=spread)
    check_dtypes(INDICES, faces=faces, mesh_index=mesh_index)
    check_indices("faces", faces, sizes["V"], "vertices")
    check_indices("mesh_index", mesh_index, sizes["M"], "meshes")
    if focus is not None:
        check_shapes(focus=(focus, "K"))
        check_dtypes(INDICES, focus=focus)
        check_indices("focus", focus, sizes["V"], "vertices")
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(str(side) for side in SIZES)}, got {size!r}")
    tensors = (vertices, faces, key_direction, spread, mesh_index, focus)
    available = ("reference", "cpu", "triton")
    chosen = resolve_backend("cast_shadows", backend, available, *tensors, differentiable=False)
    with torch.no_grad():
        points, direction = vertices.detach().float(), key_direction.detach().float()
        given = Casting(
            vertices=points,
            normals=vertex_normals(points, faces, backend=chosen),
            faces=faces,
            mesh_index=mesh_index,
            direction=direction,
            spread=spread.detach().float(),
            to_map=map_frames(points, focus, mesh_index, direction, size),
            size=size,
        )
        if chosen == "cpu":
            from pain3d.kernels.shadowing.cpu import cast_shadows_cpu

            return cast_shadows_cpu(given)
        return _cast_on_device(given) if chosen == "triton" else cast_shadows_reference(given)


def _cast_on_device(given: Casting) -> Shadows:
    """The maps by the kernels of `rasterize` and torch: a few launches, nothing waits."""
    coordinates = on_map(given.to_map[:, None], given.vertices.index_select(0, given.mesh_index))
    w, scale = DEPTH + coordinates[..., 2], 2 / given.size
    clip = [(coordinates[..., 0] * scale - 1) * w, (1 - coordinates[..., 1] * scale) * w, torch.zeros_like(w), w]
    size = (given.size, given.size)
    distance = rasterize(torch.stack(clip, -1), given.faces, size, cull=True, backend="triton").depth
    return seen_through(given, filtered(given, distance))
