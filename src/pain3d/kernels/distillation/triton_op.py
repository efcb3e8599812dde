"""Knows distillation as custom ops: `pain3d::distill_loss` and its kin, for CUDA tensors (and Triton's interpreter).

The gradients are computed together with the loss, outside autograd; `_Total` then stands in the graph in the place of
the loss and hands them out. So what writes over the teacher's tokens says so in its schema, which an op with a gradient
of its own could not. An op takes no records: `values` are those of `Values`, the arguments after them those of
`DistillOptions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pain3d.kernels._triton import custom_op, is_observed, on_device
from pain3d.kernels.distillation.bundles import (
    DistillLoss,
    DistillOptions,
    DistillTargets,
    DistillWeights,
    StudentPredictions,
    TeacherPredictions,
    Values,
)


def distill_loss_triton(
    student: StudentPredictions,
    teacher: TeacherPredictions,
    targets: DistillTargets,
    share: Tensor | None,  # [B]; None: all the same
    options: DistillOptions,
    overwrite_teacher: bool,
) -> DistillLoss:
    """Return the loss and its parts; see `pain3d.kernels.distill_loss`. Without a gradient nothing is overwritten."""
    known = (student.scalar, teacher.scalar, student.vector, student.thresholds, targets.scalar, targets.vector)
    values = [tensor.detach() for tensor in (known if share is None else (*known, share))]
    tokens, teacher_tokens = student.tokens.detach(), teacher.tokens.detach()
    wanted = torch.is_grad_enabled() and student.tokens.requires_grad
    if wanted and overwrite_teacher:
        losses, logit_gradient = distill_over_teacher(tokens, teacher_tokens, values, *options)
        token_gradient = teacher_tokens
    else:
        losses, token_gradient, logit_gradient = distill_triton(tokens, teacher_tokens, values, *options, wanted)
    total: Tensor = _Total.apply(losses, *student, token_gradient, logit_gradient)  # type: ignore[no-untyped-call]
    return DistillLoss(total, *losses.unbind()[1:])


@custom_op("distill_loss")
def distill_triton(
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    values: Sequence[Tensor],
    prefix: int,
    kind: str,
    weights: Sequence[float],
    temperature: float,
    scalar_scale: float,
    vector_scale: Sequence[float],
    thresholds: Sequence[float],
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return losses [7], the total's gradient to the student's tokens (empty unless wanted), to its logits [B, 1+K+T].

    Losses are in the order of `DistillLoss`; logits: scalar, vector, thresholds.
    """
    options = _options(prefix, kind, weights, temperature, scalar_scale, vector_scale, thresholds)
    losses, token_gradient, logit_gradient = _new(student_tokens, values, wanted)
    _launch(losses, token_gradient if wanted else None, logit_gradient, student_tokens, teacher_tokens, values, options)
    return losses, token_gradient, logit_gradient


@distill_triton.register_fake
def _(student_tokens: Tensor, teacher_tokens: Tensor, values: Sequence[Tensor], *options: Any) -> tuple[Tensor, ...]:
    return _new(student_tokens, values, options[-1])


@custom_op("distill_loss_over_teacher", mutates_args=("teacher_tokens",))
def distill_over_teacher(
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    values: Sequence[Tensor],
    prefix: int,
    kind: str,
    weights: Sequence[float],
    temperature: float,
    scalar_scale: float,
    vector_scale: Sequence[float],
    thresholds: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """As `distill_triton`; the teacher's tokens become the gradient to the student's."""
    options = _options(prefix, kind, weights, temperature, scalar_scale, vector_scale, thresholds)
    losses, _, logit_gradient = _new(student_tokens, values, False)
    _launch(losses, teacher_tokens, logit_gradient, student_tokens, teacher_tokens, values, options)
    return losses, logit_gradient


@distill_over_teacher.register_fake
def _(student_tokens: Tensor, teacher_tokens: Tensor, values: Sequence[Tensor], *options: Any) -> tuple[Tensor, Tensor]:
    losses, _, logit_gradient = _new(student_tokens, values, False)
    return losses, logit_gradient


def _options(
    prefix: int,
    kind: str,
    weights: Sequence[float],
    temperature: float,
    scalar_scale: float,
    vector_scale: Sequence[float],
    thresholds: Sequence[float],
) -> DistillOptions:
    """The options again, of what an op was handed."""
    scales, bounds = tuple(vector_scale), tuple(thresholds)
    return DistillOptions(prefix, kind, DistillWeights(*weights), temperature, scalar_scale, scales, bounds)


def _new(student_tokens: Tensor, values: Sequence[Tensor], wanted: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Memory of what the ops return."""
    vector, thresholds = Values(*values).student_vector, Values(*values).student_thresholds
    losses = vector.new_empty(len(DistillLoss._fields))
    token_gradient = student_tokens.new_empty(student_tokens.shape if wanted else (0,))
    return losses, token_gradient, vector.new_empty(len(vector), 1 + vector.shape[1] + thresholds.shape[1])


def _launch(
    losses: Tensor,
    token_gradient: Tensor | None,
    logit_gradient: Tensor,
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    values: Sequence[Tensor],
    options: DistillOptions,
) -> None:
    """Launch on the tokens' device, the values made contiguous."""
    from pain3d.kernels.distillation.kernel import launch_distill

    given = Values(*(value.contiguous() for value in values))
    with on_device(student_tokens):
        launch_distill(losses, token_gradient, logit_gradient, student_tokens, teacher_tokens, given, options)


class _Total(torch.autograd.Function):
    """The loss in the graph: losses[0], with the gradients that came with it."""

    @staticmethod
    def forward(
        ctx: Any,
        losses: Tensor,
        tokens: Tensor,
        scalar: Tensor,
        vector: Tensor,
        thresholds: Tensor,
        token_gradient: Tensor,
        logit_gradient: Tensor,
    ) -> Tensor:
        ctx.numbers = vector.shape[1]
        ctx.save_for_backward(token_gradient, logit_gradient)
        return losses[0].detach()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Scale what was kept, tokens in place. A second pass raises: torch counts the changes of saved tensors.

        A traced graph gets a product instead, which the compiler merges with what comes next.
        """
        token_gradient, logit_gradient = ctx.saved_tensors
        tokens = token_gradient if ctx.needs_input_grad[1] else None
        if is_observed((token_gradient, logit_gradient, gradient)):
            logits = logit_gradient * gradient
            tokens = None if tokens is None else (tokens * gradient).to(tokens.dtype)
        else:
            logits = scaled(tokens, logit_gradient, gradient)
        numbers = ctx.numbers
        return None, tokens, logits[:, 0], logits[:, 1 : 1 + numbers], logits[:, 1 + numbers :], None, None


def scaled(tokens: Tensor | None, logits: Tensor, factor: Tensor) -> Tensor:
    """Return gradients of logits times a number on their device; multiply the tokens' in place, by 1 without a look."""
    from pain3d.kernels.distillation.kernel import launch_scale

    dense = None if tokens is None or not tokens.is_contiguous() else tokens
    with on_device(logits):
        product = launch_scale(dense, logits, factor)
    if tokens is not dense and tokens is not None:
        tokens.mul_(factor)
    elif tokens is not None:
        torch.autograd.graph.increment_version(tokens)
    return product
