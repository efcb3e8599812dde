"""Knows the public face of the room `deformation`: what the arguments must be, and which backend answers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, Form, check_dtypes, check_indices, check_shapes
from pain3d.kernels._triton import is_observed
from pain3d.kernels.deformation import backward_op  # noqa: F401 - registers the gradients
from pain3d.kernels.deformation.bundles import Skinning
from pain3d.kernels.deformation.reference import deform_pairs_reference, deform_reference, vertex_normals_reference
from pain3d.kernels.deformation.triton_op import deform_pairs_triton, deform_triton, vertex_normals_triton

PRECISIONS = ("fp32", "tf32")
NO_SKINNING = (None, None, None)
FAST = ("cpu", "triton")  # float32 only; both have all gradients


def _available(tensor: Tensor) -> tuple[str, ...]:
    return ("reference", *FAST) if tensor.dtype == torch.float32 else ("reference",)


def deform(
    template: Tensor,
    basis: Tensor,
    coefficients: Tensor,
    skin_joints: Tensor | None = None,
    skin_weights: Tensor | None = None,
    joint_transforms: Tensor | None = None,
    *,
    template_index: Tensor | None = None,
    precision: str = "fp32",
    backend: str | None = None,
) -> Tensor:
    """Add blend shapes to a template, then skin: ``v = Σ_w weight · (T_joint @ (template + Σ_k c_k basis_k))``.

    Without the three skinning arguments the shaped vertices are returned, so that a mesh can be built in two calls:
    what changes seldom once, what changes often with ``template_index`` into its result.

    Args:
        template: [T, V, 3], metres.
        basis: [K, V, 3], metres per unit of coefficient. ``triton`` reads it fastest from `planar_basis`.
        coefficients: [B, K].
        skin_joints: [V, W] int32 or int64, joints of each vertex in ``0 … J - 1``.
        skin_weights: [V, W], of the template's dtype. They should sum to 1; this is not enforced.
        joint_transforms: [B, J, 4, 4], rest to posed, affine: the last row is taken to be (0, 0, 0, 1).
        template_index: [B] in ``0 … T - 1``: the template of each mesh. None: T must be 1 (shared) or B (one each).
        precision: ``"fp32"``, or ``"tf32"``: lets ``triton`` read 10 bits of the fraction of coefficients and basis.
            The other backends don't need that leave and don't take it.
        backend: ``"reference"``, ``"cpu"`` (numba), ``"triton"`` (both float32) or None for the default order.

    Returns:
        Vertices [B, V, 3], metres.

    Gradients: to template, basis, coefficients, skin_weights and joint_transforms; none to skin_joints and
    template_index.

    Raises:
        ValueError: A shape, dtype or index does not fit, only some of the skinning arguments are given, the precision
            is unknown, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    shapes = (template, basis, coefficients)
    joints = (skin_joints, skin_weights, joint_transforms)
    sizes = _check(_deform_sizes, *shapes, template_index, *joints)
    if template_index is not None:
        check_indices("template_index", template_index, sizes["T"], "templates")
    skinning = _bundled(*joints)
    inputs = (*shapes, *(skinning or ()), template_index)
    chosen = resolve_backend("deform", backend, _available(template), *inputs, with_gradient=FAST)
    if chosen == "triton":
        vertices: Tensor = deform_triton(*shapes, *(skinning or NO_SKINNING), template_index, precision)
        return vertices
    if chosen == "cpu":
        from pain3d.kernels.deformation.cpu import deform_cpu

        return deform_cpu(*shapes, skinning, template_index)
    return deform_reference(*shapes, skinning, template_index)


def deform_pairs(
    shaped: Tensor,
    offsets: Tensor,
    shaped_index: Tensor,
    offset_index: Tensor,
    skin_joints: Tensor | None = None,
    skin_weights: Tensor | None = None,
    joint_transforms: Tensor | None = None,
    *,
    backend: str | None = None,
) -> Tensor:
    """Deform pairs of what was computed once for each: ``v = Σ_w weight · (T_joint @ (shaped[i] + offsets[e]))``.

    The cross product of identities and expressions costs an addition and the skinning per mesh; the sums over shapes
    are done once per identity and once per expression::

        shaped = deform(template, identity_basis, identities)                            # [I, V, 3]
        offsets = deform(torch.zeros_like(template), expression_basis, expressions)      # [E, V, 3]
        pairs = torch.cartesian_prod(torch.arange(len(shaped)), torch.arange(len(offsets)))
        vertices = deform_pairs(shaped, offsets, *pairs.unbind(1), joints, weights, transforms)  # [I · E, V, 3]

    Args:
        shaped: [I, V, 3], metres.
        offsets: [E, V, 3], metres, added to it.
        shaped_index: [B] int32 or int64 in ``0 … I - 1``.
        offset_index: [B] int32 or int64 in ``0 … E - 1``.
        skin_joints: [V, W] int32 or int64, as in `deform`; None, like the next two, for no skinning.
        skin_weights: [V, W].
        joint_transforms: [B, J, 4, 4].
        backend: ``"reference"``, ``"cpu"`` (numba), ``"triton"`` (both float32) or None for the default order.

    Returns:
        Vertices [B, V, 3], metres.

    Gradients: to shaped, offsets, skin_weights and joint_transforms; none to indices.

    Raises:
        ValueError: A shape, dtype or index does not fit, only some of the skinning arguments are given, or the room has
            no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    joints = (skin_joints, skin_weights, joint_transforms)
    sizes = _check(_pair_sizes, shaped, offsets, shaped_index, offset_index, *joints)
    check_indices("shaped_index", shaped_index, sizes["I"], "rows of shaped")
    check_indices("offset_index", offset_index, sizes["E"], "rows of offsets")
    skinning = _bundled(*joints)
    pairs = (shaped, offsets, shaped_index, offset_index)
    inputs = (*pairs, *(skinning or ()))
    chosen = resolve_backend("deform_pairs", backend, _available(shaped), *inputs, with_gradient=FAST)
    if chosen == "triton":
        vertices: Tensor = deform_pairs_triton(*pairs, *(skinning or NO_SKINNING))
        return vertices
    if chosen == "cpu":
        from pain3d.kernels.deformation.cpu import deform_pairs_cpu

        return deform_pairs_cpu(*pairs, skinning)
    return deform_pairs_reference(*pairs, skinning)


def vertex_normals(vertices: Tensor, faces: Tensor, *, backend: str | None = None) -> Tensor:
    """Return area-weighted unit normals: the normalised sum of the cross products of the faces around each vertex.

    Args:
        vertices: [B, V, 3], metres.
        faces: [F, 3] int32 or int64, counter-clockwise from outside.
        backend: ``"reference"``, ``"cpu"`` (numba), ``"triton"`` (both float32) or None for the default order.

    Returns:
        Normals [B, V, 3], pointing outwards. A vertex whose sum has no direction (no face, or only faces without area)
        gets (0, 0, 0).

    Gradients: to vertices, 0 where a normal has no direction; none to faces.

    Raises:
        ValueError: A shape, dtype or index does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(vertices=(vertices, "B V 3"), faces=(faces, "F 3"))
    check_dtypes(FLOATS, vertices=vertices)
    check_dtypes(INDICES, faces=faces)
    check_indices("faces", faces, sizes["V"], "vertices")
    available = _available(vertices)
    chosen = resolve_backend("vertex_normals", backend, available, vertices, faces, with_gradient=FAST)
    if chosen == "triton":
        normals: Tensor = vertex_normals_triton(vertices, faces)
        return normals
    if chosen == "cpu":
        from pain3d.kernels.deformation.cpu import vertex_normals_cpu

        return vertex_normals_cpu(vertices, faces)
    return vertex_normals_reference(vertices, faces)


def _check(sizes_of: Any, *tensors: Tensor | None) -> dict[str, int]:
    """Return the sizes by letter of tensors that fit; what passed once passes again."""
    forms = [None if tensor is None else Form(tensor.shape, tensor.dtype) for tensor in tensors]
    sizes: dict[str, int] = (sizes_of.__wrapped__ if is_observed(tensors, differentiable=False) else sizes_of)(*forms)
    return sizes


@lru_cache(maxsize=256)
def _deform_sizes(
    template: Form, basis: Form, coefficients: Form, template_index: Form | None, *joints: Form | None
) -> dict[str, int]:
    shapes: dict[str, Any] = {"template": (template, "T V 3"), "basis": (basis, "K V 3")}
    sizes = check_shapes(**shapes, coefficients=(coefficients, "B K"))
    check_dtypes(FLOATS, template=template, basis=basis, coefficients=coefficients)
    if template_index is not None:
        check_shapes(coefficients=(coefficients, "B K"), template_index=(template_index, "B"))
        check_dtypes(INDICES, template_index=template_index)
    elif sizes["T"] not in (1, sizes["B"]):
        raise ValueError(f"template must be [1 V 3] or [B V 3] without template_index, got {list(template.shape)}")
    before = {"template": (template, "T V 3"), "coefficients": (coefficients, "B K")}
    return sizes | _skinning_sizes(before, *joints)


@lru_cache(maxsize=256)
def _pair_sizes(
    shaped: Form, offsets: Form, shaped_index: Form, offset_index: Form, *joints: Form | None
) -> dict[str, int]:
    sizes = check_shapes(
        shaped=(shaped, "I V 3"),
        offsets=(offsets, "E V 3"),
        shaped_index=(shaped_index, "B"),
        offset_index=(offset_index, "B"),
    )
    check_dtypes(FLOATS, shaped=shaped, offsets=offsets)
    check_dtypes(INDICES, shaped_index=shaped_index, offset_index=offset_index)
    before = {"shaped": (shaped, "I V 3"), "shaped_index": (shaped_index, "B")}
    return sizes | _skinning_sizes(before, *joints)


def _skinning_sizes(
    before: dict[str, Any],  # what binds V and B; the first is of the dtype that all share
    skin_joints: Form | None,
    skin_weights: Form | None,
    joint_transforms: Form | None,
) -> dict[str, int]:
    if skin_joints is not None and skin_weights is not None and joint_transforms is not None:
        sizes = check_shapes(
            **before,
            skin_joints=(skin_joints, "V W"),
            skin_weights=(skin_weights, "V W"),
            joint_transforms=(joint_transforms, "B J 4 4"),
        )
        check_dtypes(INDICES, skin_joints=skin_joints)
        points = {name: form for name, (form, _) in list(before.items())[:1]}
        check_dtypes(FLOATS, **points, skin_weights=skin_weights, joint_transforms=joint_transforms)
        return sizes
    if any(form is not None for form in (skin_joints, skin_weights, joint_transforms)):
        raise ValueError("skin_joints, skin_weights and joint_transforms must be given together or not at all")
    return {}


def _bundled(
    skin_joints: Tensor | None, skin_weights: Tensor | None, joint_transforms: Tensor | None
) -> Skinning | None:
    if skin_joints is None or skin_weights is None or joint_transforms is None:
        return None
    check_indices("skin_joints", skin_joints, joint_transforms.shape[1], "joints")
    return Skinning(skin_joints, skin_weights, joint_transforms)
