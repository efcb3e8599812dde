"""Knows the loss of distillation on a GPU: Triton, float32 sums. Tokens are read once and their gradient is written.

Two launches. A program of the first takes a few tokens of student and teacher into registers, writes the gradient of
the student's and its part of the sums; the one program of the second adds these up, always in the same order, and does
what is a few numbers a picture: scores, intensities, thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels.distillation.reference import LAYER_NORM_EPS, MAX_PSPI, TINY_SQUARED

# Jitted code reads globals only where they are constexpr.
_EPS, _TINY = tl.constexpr(LAYER_NORM_EPS), tl.constexpr(TINY_SQUARED)
_PER_PSPI = tl.constexpr(1 / MAX_PSPI)

# A warp holds 1024 floats of each side in registers: a sum over a token is then five shuffles and no barrier, and a
# multiprocessor has 3 kB a warp on its way, which 16 warps turn into what its share of the memory can deliver.
PER_WARP = 1024
MOST_WARPS = 16  # wider tokens: more of a warp
PICTURES, PARTIALS = 128, 4096  # of a turn of the second launch


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
    student_ptr,
    teacher_ptr,
    gradient_ptr,  # may be teacher_ptr: a program reads its tokens before it writes them, and nobody else's
    share_ptr,
    partial_ptr,
    tokens,
    length,
    width,
    prefix,
    student_picture,
    student_token,
    student_entry,
    teacher_picture,
    teacher_token,
    teacher_entry,
    gradient_picture,
    gradient_token,
    gradient_entry,
    prefix_scale,
    patch_scale,
    COSINE: tl.constexpr,
    WRITE: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) * TOKENS + tl.arange(0, TOKENS)
    entry = tl.arange(0, BLOCK)
    in_batch = row < tokens
    there = in_batch[:, None] & (entry < width)[None, :]
    picture = row // length
    token = (row - picture * length).to(tl.int64)
    of_prefix = token < prefix
    share = tl.load(share_ptr + picture, mask=in_batch, other=0.0)
    picture, entry = picture.to(tl.int64), entry.to(tl.int64)
    student_at = (picture * student_picture + token * student_token)[:, None] + (entry * student_entry)[None, :]
    teacher_at = (picture * teacher_picture + token * teacher_token)[:, None] + (entry * teacher_entry)[None, :]
    x = tl.load(student_ptr + student_at, mask=there, other=0.0).to(tl.float32)
    t = tl.load(teacher_ptr + teacher_at, mask=there, other=0.0).to(tl.float32)

    if COSINE:
        # d/dx (1 - x·t / (|x| |t|)) = (cos · x / |x| - t / |t|) / |x|; where |x| is clamped it does not depend on x.
        x_squared = tl.sum(x * x, 1)
        x_over = tl.rsqrt(tl.maximum(x_squared, _TINY))
        t = t * tl.rsqrt(tl.maximum(tl.sum(t * t, 1), _TINY))[:, None]
        x = x * x_over[:, None]
        along = tl.sum(x * t, 1)
        distance = 1.0 - along
        pulled = tl.where(x_squared >= _TINY, along, 0.0)
        gradient = (x * pulled[:, None] - t) * x_over[:, None]
    else:
        # With x̂, t̂ normalised, e = x̂ - t̂: d/dx mean(e²) = 2 r (e - x̂ mean(e x̂)) / D; the mean of e is 0.
        x, x_over = _normalised(x, there, width)
        t, _ = _normalised(t, there, width)
        apart = x - t
        distance = tl.sum(apart * apart, 1) / width
        along = tl.sum(apart * x, 1) / width
        gradient = (apart - x * along[:, None]) * (2.0 * x_over / width)[:, None]

    counted = share * tl.where(in_batch, distance, 0.0)
    tl.store(partial_ptr + 2 * tl.program_id(0), tl.sum(tl.where(of_prefix, counted, 0.0), 0))
    tl.store(partial_ptr + 2 * tl.program_id(0) + 1, tl.sum(tl.where(of_prefix, 0.0, counted), 0))
    if WRITE:
        gradient = gradient * (share * tl.where(of_prefix, prefix_scale, patch_scale))[:, None]
        at = (picture * gradient_picture + token * gradient_token)[:, None] + (entry * gradient_entry)[None, :]
        tl.store(gradient_ptr + at, gradient.to(gradient_ptr.dtype.element_ty), mask=there)


@triton.jit  # type: ignore[untyped-decorator]
def _distill_labels(  # type: ignore[no-untyped-def]
    losses_ptr,
    gradient_ptr,
    partial_ptr,
    student_pspi_ptr,
    teacher_pspi_ptr,
    student_au_ptr,
    student_binary_ptr,
    pspi_ptr,
    au_ptr,
    share_ptr,
    pictures,
    partials,
    per_prefix,
    per_patch,
    cls_weight,
    patch_weight,
    pspi_weight,
    au_weight,
    binary_weight,
    kd_weight,
    temperature,
    AU_SCALE: tl.constexpr,
    THRESHOLDS: tl.constexpr,
    PICTURES: tl.constexpr,
    PARTIALS: tl.constexpr,
):
    units: tl.constexpr = len(AU_SCALE)
    cuts: tl.constexpr = len(THRESHOLDS)
    columns: tl.constexpr = 1 + units + cuts
    score_loss, unit_loss = tl.zeros([PICTURES], tl.float32), tl.zeros([PICTURES], tl.float32)
    cut_loss, kd_loss = tl.zeros([PICTURES], tl.float32), tl.zeros([PICTURES], tl.float32)
    for first in range(0, pictures, PICTURES):
        at = first + tl.arange(0, PICTURES)
        there = at < pictures
        share = tl.load(share_ptr + at, mask=there, other=0.0)
        score = tl.load(pspi_ptr + at, mask=there, other=0.0)
        known = score == score
        score = tl.where(known, score, 0.0)
        known_share = tl.where(known, share, 0.0)

        z = tl.load(student_pspi_ptr + at, mask=there, other=0.0)
        told = _logistic(z)
        error = told - score * _PER_PSPI
        score_loss += known_share * error * error
        u = z / temperature
        v = tl.load(teacher_pspi_ptr + at, mask=there, other=0.0) / temperature
        # log σ(v) - log σ(u) + (1 - σ(v)) (u - v), with log σ(x) = -softplus(-x)
        divergence = _softplus(-u) - _softplus(-v) + _logistic(-v) * (u - v)
        kd_loss += share * temperature * temperature * divergence
        slope = pspi_weight * known_share * 2.0 * error * told * (1.0 - told)
        slope += kd_weight * share * temperature * (_logistic(u) - _logistic(v))
        tl.store(gradient_ptr + at * columns, slope, mask=there)

        count = tl.zeros([PICTURES], tl.float32)
        for unit in tl.static_range(units):
            label = tl.load(au_ptr + at * units + unit, mask=there, other=0.0)
            count += tl.where(label == label, 1.0, 0.0)
        unit_share = share / tl.maximum(count, 1.0)
        for unit in tl.static_range(units):
            label = tl.load(au_ptr + at * units + unit, mask=there, other=0.0)
            told = tl.load(student_au_ptr + at * units + unit, mask=there, other=0.0)
            error = tl.where(label == label, told - label, 0.0) / AU_SCALE[unit]
            unit_loss += unit_share * error * error
            slope = au_weight * unit_share * 2.0 * error / AU_SCALE[unit]
            tl.store(gradient_ptr + at * columns + (1 + unit), slope, mask=there)

        cut_share = known_share / max(cuts, 1)
        for cut in tl.static_range(cuts):
            z = tl.load(student_binary_ptr + at * cuts + cut, mask=there, other=0.0)
            wanted = tl.where(score >= THRESHOLDS[cut], 1.0, 0.0)
            cut_loss += cut_share * (_softplus(z) - wanted * z)
            slope = binary_weight * cut_share * (_logistic(z) - wanted)
            tl.store(gradient_ptr + at * columns + (1 + units + cut), slope, mask=there)

    prefix_loss, patch_loss = tl.zeros([PARTIALS], tl.float32), tl.zeros([PARTIALS], tl.float32)
    for first in range(0, partials, PARTIALS):
        at = first + tl.arange(0, PARTIALS)
        prefix_loss += tl.load(partial_ptr + 2 * at, mask=at < partials, other=0.0)
        patch_loss += tl.load(partial_ptr + 2 * at + 1, mask=at < partials, other=0.0)
    cls, patch = tl.sum(prefix_loss, 0) * per_prefix, tl.sum(patch_loss, 0) * per_patch
    pspi, au, binary, kd = tl.sum(score_loss, 0), tl.sum(unit_loss, 0), tl.sum(cut_loss, 0), tl.sum(kd_loss, 0)
    total = cls_weight * cls + patch_weight * patch + pspi_weight * pspi
    total += au_weight * au + binary_weight * binary + kd_weight * kd
    tl.store(losses_ptr, total)
    tl.store(losses_ptr + 1, cls)
    tl.store(losses_ptr + 2, patch)
    tl.store(losses_ptr + 3, pspi)
    tl.store(losses_ptr + 4, au)
    tl.store(losses_ptr + 5, binary)
    tl.store(losses_ptr + 6, kd)


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
    logit_gradient: Tensor,  # [B, 1 + A + T] contiguous: written
    student_tokens: Tensor,  # [B, L, D] any strides
    teacher_tokens: Tensor,  # [B, L, D] any strides
    labels: Sequence[Tensor],  # contiguous: student_pspi, teacher_pspi, student_au, student_binary, pspi, au, share
    *,
    prefix: int,
    kind: str,
    weights: Sequence[float],
    temperature: float,
    au_scale: Sequence[float],
    thresholds: Sequence[float],
    most_tokens: int | None = None,
) -> None:
    """Write losses and gradients; `most_tokens` (a power of two) a program."""
    batch, length, width = student_tokens.shape
    programs, each, block, warps = token_programs(batch * length, width, most_tokens)
    per_prefix, per_patch = 1 / max(prefix, 1), 1 / max(length - prefix, 1)
    partial = losses.new_empty(max(programs, 1), 2)
    target = student_tokens if token_gradient is None else token_gradient  # nothing is written through the former
    if programs:
        _distill_tokens[(programs,)](
            student_tokens,
            teacher_tokens,
            target,
            labels[-1],
            partial,
            batch * length,
            length,
            width,
            prefix,
            *student_tokens.stride(),
            *teacher_tokens.stride(),
            *target.stride(),
            weights[0] * per_prefix,
            weights[1] * per_patch,
            COSINE=kind == "cosine",
            WRITE=token_gradient is not None,
            TOKENS=each,
            BLOCK=block,
            num_warps=warps,
        )
    _distill_labels[(1,)](
        losses,
        logit_gradient,
        partial,
        *labels,
        batch,
        programs,
        per_prefix,
        per_patch,
        *weights,
        temperature,
        AU_SCALE=tuple(au_scale),
        THRESHOLDS=tuple(thresholds),
        PICTURES=PICTURES,
        PARTIALS=PARTIALS,
        num_warps=8,
    )


def launch_scale(gradient: Tensor, factor: Tensor, *, block: int = 2048) -> None:
    """Multiply a gradient of dense memory by a number on its device, in place; by 1 without touching it."""
    if gradient.numel():
        _distill_scale[(triton.cdiv(gradient.numel(), block),)](gradient, factor, gradient.numel(), BLOCK=block)
