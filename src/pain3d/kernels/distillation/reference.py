"""Knows the loss of distillation, the definition: tokens against the teacher's, scalar and vector against targets.

The formula stands in this room's README; the constants below carry their reasons and are shared with the kernels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, logsigmoid, softplus

from pain3d.kernels.distillation.bundles import (
    DistillLoss,
    DistillOptions,
    DistillTargets,
    StudentPredictions,
    TeacherPredictions,
)

KINDS = ("mse", "cosine")
LAYER_NORM_EPS = 1e-6  # what timm's vision transformers put under the root
TINY_SQUARED = 1e-16  # squared length below which a token has no direction


def token_distance(student: Tensor, teacher: Tensor, kind: str) -> Tensor:
    """Return how far each token [..., D] is from the teacher's: mean square after a layer norm, or 1 - cosine."""
    if kind == "mse":
        width = student.shape[-1:]
        apart = layer_norm(student, width, eps=LAYER_NORM_EPS) - layer_norm(teacher, width, eps=LAYER_NORM_EPS)
        return (apart * apart).mean(-1)
    lengths = [(tokens * tokens).sum(-1).clamp(min=TINY_SQUARED).sqrt() for tokens in (student, teacher)]
    return 1 - (student * teacher).sum(-1) / (lengths[0] * lengths[1])


def distill_loss_reference(
    student: StudentPredictions,
    teacher: TeacherPredictions,
    targets: DistillTargets,
    share: Tensor,  # [B] of the batch, sums to 1: the targets' weights
    options: DistillOptions,
) -> DistillLoss:
    """Return the loss and its parts; see `pain3d.kernels.distill_loss`. All but tokens have the dtype of the share."""
    exact, (prefix, kind, weights, temperature, scalar_scale, vector_scale, thresholds) = share.dtype, options
    distance = token_distance(student.tokens.to(exact), teacher.tokens.detach().to(exact), kind)
    patches = distance.shape[1] - prefix
    known, known_numbers = ~targets.scalar.isnan(), ~targets.vector.isnan()
    scalar, vector = targets.scalar.detach().nan_to_num(), targets.vector.detach().nan_to_num()

    error = student.scalar.sigmoid() - scalar / scalar_scale
    errors = (student.vector - vector) / share.new_tensor(vector_scale) * known_numbers
    wanted = (scalar[:, None] >= share.new_tensor(thresholds)).to(exact)
    entropy = softplus(student.thresholds) - wanted * student.thresholds
    # KL(Bernoulli(σ(v)) ‖ Bernoulli(σ(u))) = log σ(v) - log σ(u) + (1 - σ(v)) (u - v), for -log σ(-x) = x - log σ(x).
    u, v = student.scalar / temperature, teacher.scalar.detach() / temperature
    divergence = logsigmoid(v) - logsigmoid(u) + (-v).sigmoid() * (u - v)
    parts = [
        distance[:, :prefix].sum(1) / max(prefix, 1),
        distance[:, prefix:].sum(1) / max(patches, 1),
        error * error * known,
        (errors * errors).sum(1) / known_numbers.sum(1).clamp(min=1),
        entropy.sum(1) / max(len(thresholds), 1) * known,
        temperature**2 * divergence,
    ]
    means = [(share * part).sum() for part in parts]
    total = torch.stack([weight * mean for weight, mean in zip(weights, means, strict=True)]).sum()
    return DistillLoss(total, *(mean.detach() for mean in means))
