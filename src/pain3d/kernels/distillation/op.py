"""Knows the public face of the room `distillation`: what the arguments must be, and which backend answers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import Form, check_dtypes, check_shapes
from pain3d.kernels._triton import is_observed
from pain3d.kernels.distillation.bundles import (
    DistillLoss,
    DistillOptions,
    DistillTargets,
    DistillWeights,
    StudentPredictions,
    TeacherPredictions,
)
from pain3d.kernels.distillation.reference import KINDS, distill_loss_reference
from pain3d.kernels.distillation.triton_op import distill_loss_triton

TOKENS = (torch.float32, torch.bfloat16, torch.float64)
LOGITS = (torch.float32, torch.bfloat16)  # what a head returns under autocast
EQUAL = DistillWeights()
LEAST_WEIGHT = 1e-12  # sum of the samples' weights: if all are 0 the loss is 0, not 0 / 0


def distill_loss(
    student: StudentPredictions,
    teacher: TeacherPredictions,
    targets: DistillTargets,
    *,
    thresholds: Sequence[float],
    scalar_scale: float = 1.0,
    vector_scale: Sequence[float] | None = None,
    prefix: int = 1,
    kind: str = "mse",
    temperature: float = 2.0,
    weights: DistillWeights = EQUAL,
    overwrite_teacher: bool = False,
    backend: str | None = None,
) -> DistillLoss:
    """What a student loses against a frozen teacher and the targets; formula in the room's README.

    B samples, L tokens of D numbers, K numbers of a vector, T thresholds. Sums are float32.

    Args:
        student: Tokens [B, L, D], scalar [B], vector [B, K] and thresholds [B, T].
        teacher: Tokens [B, L, D] and scalar [B].
        targets: Scalar [B], vector [B, K] and weight [B] or None.
        thresholds: T values of the scalar, each asked by a logit.
        scalar_scale: Greatest value of the scalar, above 0: an error is told as a part of it.
        vector_scale: K greatest values, above 0, likewise. None: 1 each.
        prefix: How many of the L tokens are no patches, CLS among them.
        kind: ``"mse"`` (after a layer norm) or ``"cosine"``, of tokens.
        temperature: Above 0: divides both logits of the divergence from the teacher's scalar.
        weights: Of the parts in the total.
        overwrite_teacher: Whether the teacher's tokens are given away: ``triton`` writes the gradient over them, which
            saves its memory. They hold nothing of use afterwards; another backend leaves them alone.
        backend: ``"reference"``, ``"triton"`` (float32 and bfloat16) or None for the default order.

    Returns:
        The total and its parts.

    Gradients: of total, to all of the student; none to teacher and targets, and none of the parts.

    Raises:
        ValueError: A shape, dtype or option does not fit, the teacher's tokens can't be overwritten, or the room has no
            such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    numbers = student.vector.shape[-1] if student.vector.dim() else 0
    scales = (1.0,) * numbers if vector_scale is None else tuple(vector_scale)
    options = DistillOptions(prefix, kind, weights, temperature, scalar_scale, scales, tuple(thresholds))
    plain = not is_observed((*student, *teacher, *targets), differentiable=False)
    (_checked if plain else _check)(_forms(student), _forms(teacher), _forms(targets), options)
    if overwrite_teacher and not _may_be_overwritten(teacher.tokens):
        raise ValueError("teacher.tokens can't be overwritten: it requires a gradient, or tokens share memory")

    exact = torch.float64 if student.tokens.dtype == torch.float64 else torch.float32
    share = _shares(targets)
    available = ("reference", "triton") if exact == torch.float32 else ("reference",)
    frozen = [tensor.detach() for tensor in (*teacher, targets.scalar, targets.vector)]
    chosen = resolve_backend("distill_loss", backend, available, *student, *frozen, share, with_gradient=("triton",))
    student = StudentPredictions(student.tokens, *(logit.to(exact) for logit in student[1:]))
    teacher = TeacherPredictions(teacher.tokens, teacher.scalar.to(exact))
    if chosen == "triton":
        return distill_loss_triton(student, teacher, targets, share, options, overwrite_teacher)
    if share is None:
        share = targets.scalar.new_full(targets.scalar.shape, 1 / max(len(targets.scalar), 1))
    return distill_loss_reference(student, teacher, targets, share, options)


def _check(student: Any, teacher: Any, targets: Any, options: DistillOptions) -> None:
    """Raise ValueError where shapes, dtypes or options do not fit; the records hold forms."""
    weight = {} if targets.weight is None else {"targets.weight": targets.weight}
    sizes = check_shapes(
        **{
            "student.tokens": (student.tokens, "B L D"),
            "teacher.tokens": (teacher.tokens, "B L D"),
            "student.scalar": (student.scalar, "B"),
            "teacher.scalar": (teacher.scalar, "B"),
            "student.vector": (student.vector, "B K"),
            "student.thresholds": (student.thresholds, "B T"),
            "targets.scalar": (targets.scalar, "B"),
            "targets.vector": (targets.vector, "B K"),
        },
        **{name: (tensor, "B") for name, tensor in weight.items()},
    )
    check_dtypes(TOKENS, **{"student.tokens": student.tokens})
    check_dtypes((student.tokens.dtype,), **{"teacher.tokens": teacher.tokens})
    exact = torch.float64 if student.tokens.dtype == torch.float64 else torch.float32
    logits = {f"student.{name}": getattr(student, name) for name in ("scalar", "vector", "thresholds")}
    check_dtypes(LOGITS if exact == torch.float32 else (exact,), **{"teacher.scalar": teacher.scalar}, **logits)
    check_dtypes((exact,), **{"targets.scalar": targets.scalar, "targets.vector": targets.vector}, **weight)
    _check_options(options, sizes)


_checked = lru_cache(maxsize=256)(_check)  # what passed once passes again


def _forms(bundle: Any) -> Any:
    """The record with shapes and dtypes in the place of tensors."""
    return type(bundle)(*(None if tensor is None else Form(tensor.shape, tensor.dtype) for tensor in bundle))


def _check_options(options: DistillOptions, sizes: dict[str, int]) -> None:
    """Raise ValueError where an option does not fit the tensors."""
    if options.kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {options.kind!r}")
    if not 0 <= options.prefix <= sizes["L"]:
        raise ValueError(f"prefix must lie in 0 … {sizes['L']} (L), got {options.prefix}")
    for name, value in (("temperature", options.temperature), ("scalar_scale", options.scalar_scale)):
        if value <= 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if len(options.vector_scale) != sizes["K"] or min(options.vector_scale, default=1.0) <= 0:
        raise ValueError(f"vector_scale must be {sizes['K']} numbers above 0 (K), got {options.vector_scale}")
    if len(options.thresholds) != sizes["T"]:
        raise ValueError(f"thresholds must be {sizes['T']} numbers (T), got {options.thresholds}")


def _shares(targets: DistillTargets) -> Tensor | None:
    """[B] part of each sample in the means, sums to 1; None: all the same."""
    if targets.weight is None:
        return None
    weight = targets.weight.detach()
    return weight / weight.sum().clamp(min=LEAST_WEIGHT)


def _may_be_overwritten(tokens: Tensor) -> bool:
    """Whether no gradient is lost and every entry has its own place (an expanded dimension has none)."""
    shared = any(stride == 0 and size > 1 for stride, size in zip(tokens.stride(), tokens.shape, strict=True))
    return not tokens.requires_grad and not shared
