"""Knows the room `distillation`: what a student loses against its teacher and its targets, with all gradients."""

from pain3d.kernels.distillation.bundles import (
    DistillLoss,
    DistillTargets,
    DistillWeights,
    StudentPredictions,
    TeacherPredictions,
)
from pain3d.kernels.distillation.op import distill_loss
from pain3d.kernels.distillation.reference import distill_loss_reference

__all__ = [
    "DistillLoss",
    "DistillTargets",
    "DistillWeights",
    "StudentPredictions",
    "TeacherPredictions",
    "distill_loss",
    "distill_loss_reference",
]
