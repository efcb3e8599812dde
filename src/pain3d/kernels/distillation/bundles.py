"""Knows what the room hands around: predictions of two nets, targets, weights, options, and the loss with its parts.

Letters: B samples, L tokens of D numbers, K numbers of a vector, T thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class StudentPredictions(NamedTuple):
    """What the net that learns says of B samples. Logits and numbers may be bfloat16 beside float32 tokens.

    Attributes:
        tokens: [B, L, D] float32, bfloat16 or float64, any strides: prefix tokens first, then patches.
        scalar: [B] logit: its sigmoid times `scalar_scale` is the scalar.
        vector: [B, K].
        thresholds: [B, T] logits of scalar ≥ threshold.
    """

    tokens: Tensor
    scalar: Tensor
    vector: Tensor
    thresholds: Tensor


class TeacherPredictions(NamedTuple):
    """What the frozen net says of the same samples.

    Attributes:
        tokens: [B, L, D] of the student's dtype.
        scalar: [B] logit.
    """

    tokens: Tensor
    scalar: Tensor


class DistillTargets(NamedTuple):
    """What is true of the samples, and how much each counts.

    Attributes:
        scalar: [B]; NaN: unknown, the scalar and the thresholds of this sample count 0.
        vector: [B, K]; NaN: unknown, the mean over the sample's numbers leaves it out.
        weight: [B] of each sample, at least 0; only ratios matter. None: all the same.
    """

    scalar: Tensor
    vector: Tensor
    weight: Tensor | None = None


class DistillWeights(NamedTuple):
    """Weight of each part in the total; parts as in `DistillLoss`."""

    tokens_prefix: float = 1.0
    tokens_patch: float = 1.0
    scalar: float = 1.0
    vector: float = 1.0
    thresholds: float = 1.0
    kd: float = 1.0


class DistillOptions(NamedTuple):
    """What the backends are told beside tensors; see `pain3d.kernels.distill_loss`."""

    prefix: int
    kind: str
    weights: DistillWeights
    temperature: float
    scalar_scale: float
    vector_scale: tuple[float, ...]  # K
    thresholds: tuple[float, ...]  # T


class DistillLoss(NamedTuple):
    """The loss of a batch and its parts, each without dimensions, float32 (float64 for float64 tokens).

    Attributes:
        total: [], what is minimised: the parts, each times its weight. Alone has gradients.
        tokens_prefix: [], distance of the prefix tokens (CLS first) from the teacher's.
        tokens_patch: [], the same of the patches.
        scalar: [], squared error of the scalar as a part of its scale.
        vector: [], squared error of the vector, each number as a part of its own scale.
        thresholds: [], cross entropy of the thresholds.
        kd: [], divergence of the scalar from the teacher's, tempered.
    """

    total: Tensor
    tokens_prefix: Tensor
    tokens_patch: Tensor
    scalar: Tensor
    vector: Tensor
    thresholds: Tensor
    kd: Tensor


class Values(NamedTuple):
    """What the launch reads of each sample, contiguous float32."""

    student_scalar: Tensor  # [B]
    teacher_scalar: Tensor  # [B]
    student_vector: Tensor  # [B, K]
    student_thresholds: Tensor  # [B, T]
    scalar: Tensor  # [B]
    vector: Tensor  # [B, K]
    share: Tensor | None = None  # [B] of the batch, sums to 1; None: all the same
