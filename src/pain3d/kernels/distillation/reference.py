"""Knows the loss of distillation, the definition: tokens against the teacher's, scores and intensities against labels.

The formula stands in this room's README; the constants below carry their reasons and are shared with the kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, logsigmoid, softplus

KINDS = ("mse", "cosine")
MAX_PSPI = 16.0  # 5 + 5 + 5 + 1: the score is told on 0 to 1
LAYER_NORM_EPS = 1e-6  # what timm's vision transformers put under the root
TINY_SQUARED = 1e-16  # squared length below which a token has no direction


class DistillLoss(NamedTuple):
    """The loss of a batch and its parts, each a number without dimensions, float32 (float64 for float64 tokens).

    Attributes:
        total: What is minimised: the parts, each times its weight. Alone has gradients.
        tokens_cls: Distance of the prefix tokens (CLS first) from the teacher's.
        tokens_patch: The same of the patches.
        pspi: Squared error of the score on 0–1.
        au: Squared error of the intensities, each on its own scale.
        binary: Cross entropy of the thresholds.
        kd: Divergence of the score from the teacher's, tempered.
    """

    total: Tensor
    tokens_cls: Tensor
    tokens_patch: Tensor
    pspi: Tensor
    au: Tensor
    binary: Tensor
    kd: Tensor


def token_distance(student: Tensor, teacher: Tensor, kind: str) -> Tensor:
    """Return how far each token [..., D] is from the teacher's: mean square after a layer norm, or 1 - cosine."""
    if kind == "mse":
        width = student.shape[-1:]
        apart = layer_norm(student, width, eps=LAYER_NORM_EPS) - layer_norm(teacher, width, eps=LAYER_NORM_EPS)
        return (apart * apart).mean(-1)
    lengths = [(tokens * tokens).sum(-1).clamp(min=TINY_SQUARED).sqrt() for tokens in (student, teacher)]
    return 1 - (student * teacher).sum(-1) / (lengths[0] * lengths[1])


def distill_loss_reference(
    student_tokens: Tensor,  # [B, L, D]
    teacher_tokens: Tensor,  # [B, L, D]
    student_pspi: Tensor,  # [B] logits
    teacher_pspi: Tensor,  # [B] logits
    student_au: Tensor,  # [B, A]
    student_binary: Tensor,  # [B, T] logits
    pspi: Tensor,  # [B], NaN unknown
    au: Tensor,  # [B, A], NaN unknown
    share: Tensor,  # [B] of the batch, sums to 1
    *,
    prefix: int,
    kind: str,
    weights: Sequence[float],  # six, of the parts in their order
    temperature: float,
    au_scale: Sequence[float],  # A
    thresholds: Sequence[float],  # T
) -> DistillLoss:
    """Return the loss and its parts; see `pain3d.kernels.distill_loss`."""
    exact = share.dtype
    teacher_pspi = teacher_pspi.detach()
    distance = token_distance(student_tokens.to(exact), teacher_tokens.detach().to(exact), kind)
    patches = distance.shape[1] - prefix
    known, known_au = ~pspi.isnan(), ~au.isnan()
    pspi, au = pspi.nan_to_num(), au.nan_to_num()

    error = student_pspi.sigmoid() - pspi / MAX_PSPI
    errors = (student_au - au) / share.new_tensor(au_scale) * known_au
    wanted = (pspi[:, None] >= share.new_tensor(thresholds)).to(exact)
    entropy = softplus(student_binary) - wanted * student_binary
    # KL(Bernoulli(σ(v)) ‖ Bernoulli(σ(u))) = log σ(v) - log σ(u) + (1 - σ(v)) (u - v), for -log σ(-x) = x - log σ(x).
    u, v = student_pspi / temperature, teacher_pspi / temperature
    divergence = logsigmoid(v) - logsigmoid(u) + (-v).sigmoid() * (u - v)
    parts = [
        distance[:, :prefix].sum(1) / max(prefix, 1),
        distance[:, prefix:].sum(1) / max(patches, 1),
        error * error * known,
        (errors * errors).sum(1) / known_au.sum(1).clamp(min=1),
        entropy.sum(1) / max(len(thresholds), 1) * known,
        temperature**2 * divergence,
    ]
    means = [(share * part).sum() for part in parts]
    total = torch.stack([weight * mean for weight, mean in zip(weights, means, strict=True)]).sum()
    return DistillLoss(total, *(mean.detach() for mean in means))
