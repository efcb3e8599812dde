"""Knows the public face of the room `deform`: what the arguments must be, and which backend answers."""

from __future__ import annotations

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import FLOATS, INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.deform.reference import deform_reference, vertex_normals_reference


def _available(tensor: Tensor) -> tuple[str, ...]:
    return ("reference", "cpu") if tensor.dtype == torch.float32 else ("reference",)  # the numba code is float32 only


def deform(
    template: Tensor,
    basis: Tensor,
    coefficients: Tensor,
    skin_joints: Tensor | None = None,
    skin_weights: Tensor | None = None,
    joint_transforms: Tensor | None = None,
    *,
    template_index: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Add blend shapes to a template, then skin: ``v = Σ_w weight · (T_joint @ (template + Σ_k c_k basis_k))``.

    Without the three skinning arguments the shaped vertices are returned, so that a mesh can be built in two calls:
    what changes seldom once, what changes often with ``template_index`` into its result.

    Args:
        template: [T, V, 3], metres.
        basis: [K, V, 3], metres per unit of coefficient.
        coefficients: [B, K].
        skin_joints: [V, W] int32 or int64, joints of each vertex in ``0 … J - 1``.
        skin_weights: [V, W], of the template's dtype. They should sum to 1; this is not enforced.
        joint_transforms: [B, J, 4, 4], rest to posed, affine: the last row is taken to be (0, 0, 0, 1).
        template_index: [B] in ``0 … T - 1``: the template of each mesh. None: T must be 1 (shared) or B (one each).
        backend: ``"reference"``, ``"cpu"`` (numba, float32, no gradients) or None for the default order.

    Returns:
        Vertices [B, V, 3], metres.

    Gradients: to template, basis, coefficients, skin_weights and joint_transforms with the reference, which is taken by
    default when one of them requires a gradient; none to skin_joints and template_index; none with ``cpu``.

    Raises:
        ValueError: A shape, dtype or index does not fit, only some of the skinning arguments are given, or the room has
            no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(template=(template, "T V 3"), basis=(basis, "K V 3"), coefficients=(coefficients, "B K"))
    check_dtypes(FLOATS, template=template, basis=basis, coefficients=coefficients)
    if template_index is not None:
        check_shapes(coefficients=(coefficients, "B K"), template_index=(template_index, "B"))
        check_dtypes(INDICES, template_index=template_index)
        check_indices("template_index", template_index, sizes["T"], "templates")
    elif sizes["T"] not in (1, sizes["B"]):
        raise ValueError(f"template must be [1 V 3] or [B V 3] without template_index, got {list(template.shape)}")
    skinning = (skin_joints, skin_weights, joint_transforms)
    if skin_joints is not None and skin_weights is not None and joint_transforms is not None:
        skinned = check_shapes(
            template=(template, "T V 3"),
            coefficients=(coefficients, "B K"),
            skin_joints=(skin_joints, "V W"),
            skin_weights=(skin_weights, "V W"),
            joint_transforms=(joint_transforms, "B J 4 4"),
        )
        check_dtypes(INDICES, skin_joints=skin_joints)
        check_dtypes(FLOATS, template=template, skin_weights=skin_weights, joint_transforms=joint_transforms)
        check_indices("skin_joints", skin_joints, skinned["J"], "joints")
    elif any(tensor is not None for tensor in skinning):
        raise ValueError("skin_joints, skin_weights and joint_transforms must be given together or not at all")
    inputs = (template, basis, coefficients, *skinning)
    if resolve_backend("deform", backend, _available(template), *inputs) == "cpu":
        from pain3d.kernels.deform.cpu import deform_cpu

        return deform_cpu(*inputs, template_index)
    return deform_reference(*inputs, template_index)


def vertex_normals(vertices: Tensor, faces: Tensor, *, backend: str | None = None) -> Tensor:
    """Return area-weighted unit normals: the normalised sum of the cross products of the faces around each vertex.

    Args:
        vertices: [B, V, 3], metres.
        faces: [F, 3] int32 or int64, counter-clockwise from outside.
        backend: ``"reference"``, ``"cpu"`` (numba, float32, no gradients) or None for the default order.

    Returns:
        Normals [B, V, 3], pointing outwards. A vertex whose sum has no direction (no face, or only faces without area)
        gets (0, 0, 0).

    Gradients: to vertices with the reference; none to faces.

    Raises:
        ValueError: A shape, dtype or index does not fit, or the room has no such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    sizes = check_shapes(vertices=(vertices, "B V 3"), faces=(faces, "F 3"))
    check_dtypes(FLOATS, vertices=vertices)
    check_dtypes(INDICES, faces=faces)
    check_indices("faces", faces, sizes["V"], "vertices")
    if resolve_backend("vertex_normals", backend, _available(vertices), vertices) == "cpu":
        from pain3d.kernels.deform.cpu import vertex_normals_cpu

        return vertex_normals_cpu(vertices, faces)
    return vertex_normals_reference(vertices, faces)
