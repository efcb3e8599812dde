"""Knows the public face of the room `distill`: what the arguments must be, and which backend answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pain3d.kernels._backend import resolve_backend
from pain3d.kernels._shapes import check_dtypes, check_shapes
from pain3d.kernels.distillation.reference import KINDS, DistillLoss, distill_loss_reference

TOKENS = (torch.float32, torch.bfloat16, torch.float64)
LOGITS = (torch.float32, torch.bfloat16)  # what a head returns under autocast
LEAST_WEIGHT = 1e-12  # sum of the pictures' weights: if all are 0 the loss is 0, not 0 / 0


def distill_loss(
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    student_pspi: Tensor,
    teacher_pspi: Tensor,
    student_au: Tensor,
    student_binary: Tensor,
    pspi: Tensor,
    au: Tensor,
    weight: Tensor | None = None,
    *,
    prefix: int = 1,
    kind: str = "mse",
    cls_weight: float = 1.0,
    patch_weight: float = 1.0,
    pspi_weight: float = 1.0,
    au_weight: float = 1.0,
    binary_weight: float = 1.0,
    kd_weight: float = 1.0,
    temperature: float = 2.0,
    au_scale: Sequence[float] = (5.0, 5.0, 5.0, 5.0, 5.0, 1.0),
    thresholds: Sequence[float] = (1.0, 2.0, 3.0),
    overwrite_teacher: bool = False,
    backend: str | None = None,
) -> DistillLoss:
    """What a student loses against a frozen teacher and the labels; formula in the room's README.

    A is the number of action units, T that of thresholds. Logits may be bfloat16; sums are float32.

    Args:
        student_tokens: [B, L, D] float32, bfloat16 or float64, any strides: prefix tokens first, then patches.
        teacher_tokens: [B, L, D] of the same dtype.
        student_pspi: [B] logit: its sigmoid times 16 is the score.
        teacher_pspi: [B] logit, likewise.
        student_au: [B, A] intensities.
        student_binary: [B, T] logits of score ≥ threshold.
        pspi: [B] label, 0–16; NaN: unknown, the score and the thresholds of this picture count 0.
        au: [B, A] labels; NaN: unknown, the mean over the picture's units leaves it out.
        weight: [B] of each picture, at least 0; only ratios matter. None: all the same.
        prefix: How many of the L tokens are no patches, CLS among them.
        kind: ``"mse"`` (after a layer norm) or ``"cosine"``, of tokens.
        cls_weight: Of the prefix tokens' distance in the total; likewise patch_weight, pspi_weight, …
        patch_weight: Of the patches' distance.
        pspi_weight: Of the score's squared error.
        au_weight: Of the intensities' squared error.
        binary_weight: Of the thresholds' cross entropy.
        kd_weight: Of the divergence of the score from the teacher's.
        temperature: Above 0: divides both logits of that divergence.
        au_scale: A greatest values: an error is told as a part of it.
        thresholds: T scores.
        overwrite_teacher: Whether the teacher's tokens are given away: ``triton`` writes the gradient over them, which
            saves its memory. They hold nothing of use afterwards; another backend leaves them alone.
        backend: ``"reference"``, ``"triton"`` (float32 and bfloat16) or None for the default order.

    Returns:
        The total and its parts.

    Gradients: of total, to student_tokens, student_pspi, student_au and student_binary; none to teacher, labels and
    weights, and none of the parts.

    Raises:
        ValueError: A shape, dtype or option does not fit, the teacher's tokens can't be overwritten, or the room has no
            such backend for this dtype.
        RuntimeError: The asked backend can't run on these inputs.
    """
    tensors = {
        "student_tokens": (student_tokens, "B L D"),
        "teacher_tokens": (teacher_tokens, "B L D"),
        "student_pspi": (student_pspi, "B"),
        "teacher_pspi": (teacher_pspi, "B"),
        "student_au": (student_au, "B A"),
        "student_binary": (student_binary, "B T"),
        "pspi": (pspi, "B"),
        "au": (au, "B A"),
    }
    sizes = check_shapes(**tensors, **({} if weight is None else {"weight": (weight, "B")}))
    check_dtypes(TOKENS, student_tokens=student_tokens)
    check_dtypes((student_tokens.dtype,), teacher_tokens=teacher_tokens)
    exact = torch.float64 if student_tokens.dtype == torch.float64 else torch.float32
    logits = {name: tensors[name][0] for name in ("student_pspi", "teacher_pspi", "student_au", "student_binary")}
    check_dtypes(LOGITS if exact == torch.float32 else (exact,), **logits)
    check_dtypes((exact,), pspi=pspi, au=au, **({} if weight is None else {"weight": weight}))
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if not 0 <= prefix <= sizes["L"]:
        raise ValueError(f"prefix must lie in 0 … {sizes['L']} (L), got {prefix}")
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    if len(au_scale) != sizes["A"] or min(au_scale, default=1.0) <= 0:
        raise ValueError(f"au_scale must be {sizes['A']} numbers above 0 (A), got {tuple(au_scale)}")
    if len(thresholds) != sizes["T"]:
        raise ValueError(f"thresholds must be {sizes['T']} numbers (T), got {tuple(thresholds)}")
    if overwrite_teacher and not _may_be_overwritten(teacher_tokens):
        raise ValueError("teacher_tokens can't be overwritten: it requires a gradient, or tokens share memory")

    share = _shares(pspi, weight)
    score, teacher_score, units, cuts = (logit.to(exact) for logit in logits.values())
    weights = (cls_weight, patch_weight, pspi_weight, au_weight, binary_weight, kd_weight)
    available = ("reference", "triton") if exact == torch.float32 else ("reference",)
    student = (student_tokens, *(logits[name] for name in ("student_pspi", "student_au", "student_binary")))
    frozen = [tensor.detach() for tensor in (teacher_tokens, teacher_pspi, pspi, au, share)]
    if resolve_backend("distill_loss", backend, available, *student, *frozen, with_gradient=("triton",)) == "triton":
        from pain3d.kernels.distillation.triton_op import distill_loss_triton

        return distill_loss_triton(
            student_tokens, teacher_tokens.detach(), score, teacher_score, units, cuts, pspi, au, share,
            prefix=prefix, kind=kind, weights=weights, temperature=temperature, au_scale=au_scale,
            thresholds=thresholds, overwrite_teacher=overwrite_teacher,
        )  # fmt: skip
    return distill_loss_reference(
        student_tokens, teacher_tokens, score, teacher_score, units, cuts, pspi.detach(), au.detach(), share,
        prefix=prefix, kind=kind, weights=weights, temperature=temperature, au_scale=au_scale, thresholds=thresholds,
    )  # fmt: skip


def _shares(pspi: Tensor, weight: Tensor | None) -> Tensor:
    """[B] part of each picture in the means: sums to 1."""
    if weight is None:
        return pspi.new_full(pspi.shape, 1 / max(len(pspi), 1))
    weight = weight.detach()
    return weight / weight.sum().clamp(min=LEAST_WEIGHT)


def _may_be_overwritten(tokens: Tensor) -> bool:
    """Whether no gradient is lost and every entry has its own place (an expanded dimension has none)."""
    shared = any(stride == 0 and size > 1 for stride, size in zip(tokens.stride(), tokens.shape, strict=True))
    return not tokens.requires_grad and not shared
