"""Knows the room `distill`: what a student loses against its teacher and the labels, with all gradients in one pass."""

from pain3d.kernels.distillation.op import distill_loss
from pain3d.kernels.distillation.reference import DistillLoss, distill_loss_reference

__all__ = ["DistillLoss", "distill_loss", "distill_loss_reference"]
