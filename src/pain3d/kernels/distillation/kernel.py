"""Knows the loss of distillation on a GPU: Triton, float32 sums. Tokens are read once and their gradient is written.

Two launches. A program of the first takes a few tokens of student and teacher into registers, writes the gradient of
the student's and its part of the sums; the one program of the second adds these up, always in the same order, and does
what is a few numbers a sample: scalar, vector, thresholds.
"""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels.distillation.bundles import DistillOptions, Values
from pain3d.kernels.distillation.reference import LAYER_NORM_EPS, TINY_SQUARED

# Jitted code reads globals only where they are constexpr.
_EPS, _TINY = tl.constexpr(LAYER_NORM_EPS), tl.constexpr(TINY_SQUARED)

# A warp holds 1024 floats of each side in registers: a sum over a token is then five shuffles and no barrier, and a
# multiprocessor has 3 kB a warp on its way, which 16 warps turn into what its share of the memory can deliver.
PER_WARP = 1024
MOST_WARPS = 16  # wider tokens: more of a warp
SAMPLES, PARTIALS = 128, 4096  # of a turn of the second launch


class Strided(NamedTuple):
    """Tokens as the first launch finds them: where they lie, and how far apart."""

    at: Tensor  # [B, L, D]
    sample: int
    token: int
    entry: int


@triton.jit
def _softplus(x):  # type: ignore[no-untyped-def]
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _logistic(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))  # no overflow on either side
    return tl.where(x >= 0, 1.0, small) / (1.0 + small)


@triton.jit
def _normalised(tokens, there, width):  # type: ignore[no-untyped-def]
    """Return tokens [rows, BLOCK] after a layer norm without weights, 0 beyond the width, and the factor [rows]."""
    centred = tl.where(there, tokens - (tl.sum(tokens, 1) / width)[:, None], 0.0)
    factor = tl.rsqrt(tl.sum(centred * centred, 1) / width + _EPS)
    return centred * factor[:, None], factor


@triton.jit  # type: ignore[untyped-decorator]
def _distill_tokens(  # type: ignore[no-untyped-def]
    student,
    teacher,
    gradient,  # may be the teacher: a program reads its tokens before it writes them, and nobody else's
    share_ptr,
    partial_ptr,
    tokens,
    length,
    width,
    prefix,
    scales,
    COSINE: tl.constexpr,
    WRITE: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    entry = tl.arange(0, BLOCK)
    in_batch = row < tokens
    there = in_batch[:, None] & (entry < width)[None, :]
    sample = row // length
    token = (row - sample * length).to(tl.int64)
    of_prefix = token < prefix
    share = tl.load(share_ptr + sample, mask=in_batch, other=0.0)
    sample, entry = sample.to(tl.int64), entry.to(tl.int64)
    student_at = (sample * student.sample + token * student.token)[:, None] + (entry * student.entry)[None, :]
    teacher_at = (sample * teacher.sample + token * teacher.token)[:, None] + (entry * teacher.entry)[None, :]
    x = tl.load(student.at + student_at, mask=there, other=0.0).to(tl.float32)
    t = tl.load(teacher.at + teacher_at, mask=there, other=0.0).to(tl.float32)

    if COSINE:
        # d/dx (1 - x·t / (|x| |t|)) = (cos · x / |x| - t / |t|) / |x|; where |x| is clamped it does not depend on x.
        x_squared = tl.sum(x * x, 1)
        x_over = tl.rsqrt(tl.maximum(x_squared, _TINY))
        t = t * tl.rsqrt(tl.maximum(tl.sum(t * t, 1), _TINY))[:, None]
        x = x * x_over[:, None]
        along = tl.sum(x * t, 1)
        distance = 1.0 - along
        pulled = tl.where(x_squared >= _TINY, along, 0.0)
        slope = (x * pulled[:, None] - t) * x_over[:, None]
    else:
        # With x̂, t̂ normalised, e = x̂ - t̂: d/dx mean(e²) = 2 r (e - x̂ mean(e x̂)) / D; the mean of e is 0.
        x, x_over = _normalised(x, there, width)
        t, _ = _normalised(t, there, width)
        apart = x - t
        distance = tl.sum(apart * apart, 1) / width
        along = tl.sum(apart * x, 1) / width
        slope = (apart - x * along[:, None]) * (2.0 * x_over / width)[:, None]

    counted = share * tl.where(in_batch, distance, 0.0)
    tl.store(partial_ptr + 2 * tl.program_id(0), tl.sum(tl.where(of_prefix, counted, 0.0), 0))
    tl.store(partial_ptr + 2 * tl.program_id(0) + 1, tl.sum(tl.where(of_prefix, 0.0, counted), 0))
    if WRITE:
        slope = slope * (share * tl.where(of_prefix, scales[0], scales[1]))[:, None]
        at = (sample * gradient.sample + token * gradient.token)[:, None] + (entry * gradient.entry)[None, :]
        tl.store(gradient.at + at, slope.to(gradient.at.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _distill_targets(  # type: ignore[no-untyped-def]
    losses_ptr,
    gradient_ptr,
    partial_ptr,
    values,
    samples,
    partials,
    per_token,
    weights,
    temperature,
    per_scalar,
    VECTOR_SCALE: tl.constexpr,
    THRESHOLDS: tl.constexpr,
    SAMPLES: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    numbers: tl.constexpr = len(VECTOR_SCALE)
    threshold_count: tl.constexpr = len(THRESHOLDS)
    columns: tl.constexpr = 1 + numbers + threshold_count
    scalar_loss, vector_loss = tl.zeros([SAMPLES], tl.float32), tl.zeros([SAMPLES], tl.float32)
    threshold_loss, kd_loss = tl.zeros([SAMPLES], tl.float32), tl.zeros([SAMPLES], tl.float32)
    for first in range(0, samples, SAMPLES):
        at = first + tl.arange(0, SAMPLES)
        there = at < samples
        share = tl.load(values.share + at, mask=there, other=0.0)
        scalar = tl.load(values.scalar + at, mask=there, other=0.0)
        known = scalar == scalar
        scalar = tl.where(known, scalar, 0.0)
        known_share = tl.where(known, share, 0.0)

        z = tl.load(values.student_scalar + at, mask=there, other=0.0)
        told = _logistic(z)
        error = told - scalar * per_scalar
        scalar_loss += known_share * error * error
        u = z / temperature
        v = tl.load(values.teacher_scalar + at, mask=there, other=0.0) / temperature
        # log σ(v) - log σ(u) + (1 - σ(v)) (u - v), with log σ(x) = -softplus(-x)
        divergence = _softplus(-u) - _softplus(-v) + _logistic(-v) * (u - v)
        kd_loss += share * temperature * temperature * divergence
        slope = weights.scalar * known_share * 2.0 * error * told * (1.0 - told)
        slope += weights.kd * share * temperature * (_logistic(u) - _logistic(v))
        tl.store(gradient_ptr + at * columns, slope, mask=there)

        count = tl.zeros([SAMPLES], tl.float32)
        for number in tl.static_range(numbers):
            target = tl.load(values.vector + at * numbers + number, mask=there, other=0.0)
            count += tl.where(target == target, 1.0, 0.0)
        number_share = share / tl.maximum(count, 1.0)
        for number in tl.static_range(numbers):
            target = tl.load(values.vector + at * numbers + number, mask=there, other=0.0)
            told = tl.load(values.student_vector + at * numbers + number, mask=there, other=0.0)
            error = tl.where(target == target, told - target, 0.0) / VECTOR_SCALE[number]
            vector_loss += number_share * error * error
            slope = weights.vector * number_share * 2.0 * error / VECTOR_SCALE[number]
            tl.store(gradient_ptr + at * columns + (1 + number), slope, mask=there)

        threshold_share = known_share / max(threshold_count, 1)
        for threshold in tl.static_range(threshold_count):
            z = tl.load(values.student_thresholds + at * threshold_count + threshold, mask=there, other=0.0)
            wanted = tl.where(scalar >= THRESHOLDS[threshold], 1.0, 0.0)
            threshold_loss += threshold_share * (_softplus(z) - wanted * z)
            slope = weights.thresholds * threshold_share * (_logistic(z) - wanted)
            tl.store(gradient_ptr + at * columns + (1 + numbers + threshold), slope, mask=there)

    prefix_loss, patch_loss = tl.zeros([PARTIALS], tl.float32), tl.zeros([PARTIALS], tl.float32)
    for first in range(0, partials, PARTIALS):
        at = first + tl.arange(0, PARTIALS)
        prefix_loss += tl.load(partial_ptr + 2 * at, mask=at < partials, other=0.0)
        patch_loss += tl.load(partial_ptr + 2 * at + 1, mask=at < partials, other=0.0)
    prefix, patch = tl.sum(prefix_loss, 0) * per_token[0], tl.sum(patch_loss, 0) * per_token[1]
    scalar_sum, vector_sum = tl.sum(scalar_loss, 0), tl.sum(vector_loss, 0)
    cut_sum, kd_sum = tl.sum(threshold_loss, 0), tl.sum(kd_loss, 0)
    total = weights.tokens_prefix * prefix + weights.tokens_patch * patch + weights.scalar * scalar_sum
    total += weights.vector * vector_sum + weights.thresholds * cut_sum + weights.kd * kd_sum
    tl.store(losses_ptr, total)
    tl.store(losses_ptr + 1, prefix)
    tl.store(losses_ptr + 2, patch)
    tl.store(losses_ptr + 3, scalar_sum)
    tl.store(losses_ptr + 4, vector_sum)
    tl.store(losses_ptr + 5, cut_sum)
    tl.store(losses_ptr + 6, kd_sum)


@triton.jit  # type: ignore[untyped-decorator]
def _distill_scale(gradient_ptr, factor_ptr, entries, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    factor = tl.load(factor_ptr)
    if factor != 1.0:  # known on the device alone; `total.backward()` hands in a 1, and then nothing is read or written
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        scaled = tl.load(gradient_ptr + at, mask=at < entries, other=0.0).to(tl.float32) * factor
        tl.store(gradient_ptr + at, scaled.to(gradient_ptr.dtype.element_ty), mask=at < entries)


def token_programs(tokens: int, width: int, most: int | None = None) -> tuple[int, int, int, int]:
    """Return programs of the first launch, tokens and padded entries of each, and warps.

    Args:
        tokens: In the batch.
        width: Of a token.
        most: Tokens a program, a power of two; None: as many as a warp holds.
    """
    block = triton.next_power_of_2(max(width, 1))
    each = most or max(1, PER_WARP // block)
    warps = min(MOST_WARPS, max(1, each * block // PER_WARP))
    return triton.cdiv(tokens, each), each, block, warps


def launch_distill(
    losses: Tensor,  # [7]: written; all float32 but the tokens
    token_gradient: Tensor | None,  # [B, L, D]: written, may be teacher_tokens; None: nobody asks
    logit_gradient: Tensor,  # [B, 1 + K + T] contiguous: written
    student_tokens: Tensor,  # [B, L, D] any strides
    teacher_tokens: Tensor,  # [B, L, D] any strides
    values: Values,
    options: DistillOptions,
    most_tokens: int | None = None,
) -> None:
    """Write losses and gradients; `most_tokens` (a power of two) a program."""
    batch, length, width = student_tokens.shape
    programs, each, block, warps = token_programs(batch * length, width, most_tokens)
    per_token = 1 / max(options.prefix, 1), 1 / max(length - options.prefix, 1)
    partial = losses.new_empty(max(programs, 1), 2)
    target = student_tokens if token_gradient is None else token_gradient  # nothing is written through the former
    if programs:
        _distill_tokens[(programs,)](
            Strided(student_tokens, *student_tokens.stride()),
            Strided(teacher_tokens, *teacher_tokens.stride()),
            Strided(target, *target.stride()),
            values.share,
            partial,
            batch * length,
            length,
            width,
            options.prefix,
            (options.weights.tokens_prefix * per_token[0], options.weights.tokens_patch * per_token[1]),
            COSINE=options.kind == "cosine",
            WRITE=token_gradient is not None,
            TOKENS=each,
            BLOCK=block,
            num_warps=warps,
        )
    _distill_targets[(1,)](
        losses,
        logit_gradient,
        partial,
        values,
        batch,
        programs,
        per_token,
        options.weights,
        options.temperature,
        1 / options.scalar_scale,
        VECTOR_SCALE=options.vector_scale,
        THRESHOLDS=options.thresholds,
        SAMPLES=SAMPLES,
        PARTIALS=PARTIALS,
        num_warps=8,
    )


def launch_scale(gradient: Tensor, factor: Tensor, *, block: int = 2048) -> None:
    """Multiply a gradient of dense memory by a number on its device, in place; by 1 without touching it."""
    if gradient.numel():
        _distill_scale[(triton.cdiv(gradient.numel(), block),)](gradient, factor, gradient.numel(), BLOCK=block)
