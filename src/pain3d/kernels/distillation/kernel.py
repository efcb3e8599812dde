"""Knows the loss of distillation on a GPU: Triton, float32 sums. Tokens are read once and their gradient is written.

One launch. Its first programs do what is a few numbers a sample: scalar, vector, thresholds. Each of the others takes
tokens of student and teacher into registers, one turn after the other, writes the gradient of the student's and adds up
its part of the losses. torch sums what the programs leave, always in the same order.

Sums have an order that depends on the tokens' dtype and width alone, and what is fused says `tl.fma`: gradients have
the same bits in any batch, beside the teacher's tokens or over them. Longer than other files: Triton has one door in a
room, and one launch does all.
"""

# pyright: reportAttributeAccessIssue=false
# A constexpr has the attributes of what it holds.

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels._triton import cdiv, launch, power_of_two, programs_on
from pain3d.kernels.distillation.bundles import DistillLoss, DistillOptions, Values
from pain3d.kernels.distillation.reference import LAYER_NORM_EPS, TINY_SQUARED

# Jitted code reads globals only where they are constexpr.
_EPS, _TINY = tl.constexpr(LAYER_NORM_EPS), tl.constexpr(TINY_SQUARED)

LOSSES = len(DistillLoss._fields)  # the total and its six parts
ALIGNED = 16  # bytes of a load; Triton knows multiples of 16 apart from other numbers
# A warp holds 1024 floats of each side in registers: a sum over a token is then five shuffles and no barrier. A token
# is cut in chunks of up to 256, which its 32 threads read 16 bytes each in bfloat16.
PER_WARP, CHUNK, FEWEST = 1024, 256, 64
MOST_WARPS = 16  # wider tokens: more of a warp
MOST_TOKENS = 4  # of a turn: each takes registers for its place, its sums and its factors
TURNS = 4  # of a program, so that a program more or less on a multiprocessor is little
SAMPLES = 32  # of a program of samples: one a thread


class Strided(NamedTuple):
    """Tokens as the launch finds them: where they lie, and how far apart; the entries of a token side by side."""

    at: Tensor  # [B, L, D]
    sample: int
    token: int


class Factors(NamedTuple):
    """What divides, as what multiplies; and the temperature."""

    prefix: float  # 1 / prefix tokens
    patch: float  # 1 / patches
    scalar: float  # 1 / its greatest value
    share: float  # of a sample where all are the same: 1 / samples
    temperature: float


class TokenTile(NamedTuple):
    """How tokens are cut: tokens of a turn, chunks of a token and their entries, turns of a program, warps."""

    tokens: int
    chunks: int
    block: int
    turns: int
    warps: int


@triton.jit
def _softplus(x):  # type: ignore[no-untyped-def]
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _logistic(x):  # type: ignore[no-untyped-def]
    small = tl.exp(-tl.abs(x))  # no overflow on either side
    return tl.where(x >= 0, 1.0, small) / (1.0 + small)


@triton.jit
def _inverse_root(x):  # type: ignore[no-untyped-def]
    """Return 1 / √x, each step rounded right: 1 - x̂·x̂/D, all that is left where the teacher is flat, is 2^-23 wide."""
    return tl.div_rn(1.0, tl.sqrt_rn(x))


@triton.jit  # type: ignore[untyped-decorator]
def _there(in_batch, entry, chunk: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Which entries of a chunk exist, [tokens, block]."""
    if (chunk + 1) * TILE.block <= WIDTH:
        there = in_batch[:, None]
    else:
        there = in_batch[:, None] & (chunk * TILE.block + entry < WIDTH)[None, :]
    return there


@triton.jit  # type: ignore[untyped-decorator]
def _load(at, in_batch, entry, TILE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return tokens, a chunk [tokens, block] float32 each, 0 where nothing is."""
    CHUNKS: tl.constexpr = TILE.chunks
    chunks = []
    for chunk in tl.static_range(CHUNKS):
        there = _there(in_batch, entry, chunk, TILE, WIDTH)
        chunks += [tl.load(at + chunk * TILE.block, mask=there, other=0.0).to(tl.float32)]
    return chunks


@triton.jit
def _sum(chunks):  # type: ignore[no-untyped-def]
    total = chunks[0]
    for chunk in tl.static_range(1, len(chunks)):
        total += chunks[chunk]
    return tl.sum(total, 1)[:, None]


@triton.jit
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = a[0] * b[0]
    for chunk in tl.static_range(1, len(a)):
        total = tl.fma(a[chunk], b[chunk], total)
    return tl.sum(total, 1)[:, None]


@triton.jit
def _times(chunks, factor):  # type: ignore[no-untyped-def]
    return [chunk * factor for chunk in chunks]


@triton.jit
def _mixed(a, factor, b):  # type: ignore[no-untyped-def]
    """Return a · factor + b of each chunk, rounded once."""
    mixed = []
    for chunk in tl.static_range(len(a)):
        mixed += [tl.fma(a[chunk], factor, b[chunk])]
    return mixed


@triton.jit  # type: ignore[untyped-decorator]
def _normalised(tokens, entry, TILE: tl.constexpr, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return tokens after a layer norm without weights, 0 beyond the width, and the factor [tokens, 1]."""
    mean = tl.div_rn(_sum(tokens), WIDTH * 1.0)  # rounded right: a token of equal entries has no variance
    centred = []
    for chunk in tl.static_range(len(tokens)):
        apart = tokens[chunk] - mean
        if (chunk + 1) * TILE.block > WIDTH:
            apart = tl.where((chunk * TILE.block + entry < WIDTH)[None, :], apart, 0.0)
        centred += [apart]
    factor = _inverse_root(tl.div_rn(_dot(centred, centred), WIDTH * 1.0) + _EPS)
    return _times(centred, factor), factor


@triton.jit  # type: ignore[untyped-decorator]
def _token_slopes(  # type: ignore[no-untyped-def]
    x, t, entry, COSINE: tl.constexpr, TILE: tl.constexpr, WIDTH: tl.constexpr
):
    """Return how far tokens are from the teacher's, and the derivative: a number a token, times chunks of it."""
    if COSINE:
        # d/dx (1 - x·t / (|x| |t|)) = (cos · x / |x| - t / |t|) / |x|; where |x| is clamped it does not depend on x.
        squared = _dot(x, x)
        factor = _inverse_root(tl.maximum(squared, _TINY))
        x = _times(x, factor)
        away = _times(t, -_inverse_root(tl.maximum(_dot(t, t), _TINY)))
        along = -_dot(x, away)
        distance = 1.0 - along
        slopes = _mixed(x, tl.where(squared >= _TINY, along, 0.0), away)
    else:
        # With x̂, t̂ normalised, e = x̂ - t̂: d/dx mean(e²) = 2 r (e - x̂ mean(e x̂)) / D; the mean of e is 0.
        x, factor = _normalised(x, entry, TILE, WIDTH)
        t, _ = _normalised(t, entry, TILE, WIDTH)
        apart = _mixed(t, -1.0, x)
        distance = _dot(apart, apart) * (1.0 / WIDTH)
        slopes = _mixed(x, _dot(apart, x) * (-1.0 / WIDTH), apart)
        factor = factor * (2.0 / WIDTH)
    return distance, factor, slopes


@triton.jit
def _share(shares, sample, there, factors):  # type: ignore[no-untyped-def]
    """Return the samples' parts of the batch, 0 where none is."""
    share = tl.where(there, factors.share, 0.0)
    if shares is not None:
        share = tl.load(shares + sample, mask=there, other=0.0)
    return share


@triton.jit  # type: ignore[untyped-decorator]
def _tokens(  # type: ignore[no-untyped-def]
    program,
    tokens,
    shares,
    count,
    length,
    prefix,
    factors,
    weights,
    COSINE: tl.constexpr,
    WRITE: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Write the gradient of a program's tokens; return the sums of its prefix tokens and of its patches."""
    TOKENS: tl.constexpr = TILE.tokens
    BLOCK: tl.constexpr = TILE.block
    student, teacher, gradient = tokens
    of_each_prefix, of_each_patch = weights.tokens_prefix * factors.prefix, weights.tokens_patch * factors.patch
    entry = tl.arange(0, BLOCK)
    prefix_loss, patch_loss = tl.zeros([TOKENS, 1], tl.float32), tl.zeros([TOKENS, 1], tl.float32)
    for turn in range(TILE.turns):
        row = (program * TILE.turns + turn) * TOKENS + tl.arange(0, TOKENS)
        in_batch = row < count
        sample = row // length
        token = row - sample * length
        of_prefix = (token < prefix)[:, None]
        share = _share(shares, sample, in_batch, factors)[:, None]
        sample, token = sample.to(tl.int64), token.to(tl.int64)
        student_at = student.at + (sample * student.sample + token * student.token)[:, None] + entry[None, :]
        teacher_at = teacher.at + (sample * teacher.sample + token * teacher.token)[:, None] + entry[None, :]
        x, t = _load(student_at, in_batch, entry, TILE, WIDTH), _load(teacher_at, in_batch, entry, TILE, WIDTH)
        distance, factor, slopes = _token_slopes(x, t, entry, COSINE, TILE, WIDTH)
        counted = share * tl.where(in_batch[:, None], distance, 0.0)
        prefix_loss += tl.where(of_prefix, counted, 0.0)
        patch_loss += tl.where(of_prefix, 0.0, counted)
        if WRITE:
            at = gradient.at + (sample * gradient.sample + token * gradient.token)[:, None] + entry[None, :]
            factor = factor * (share * tl.where(of_prefix, of_each_prefix, of_each_patch))
            for chunk in tl.static_range(len(slopes)):
                slope = (slopes[chunk] * factor).to(gradient.at.dtype.element_ty)
                tl.store(at + chunk * BLOCK, slope, mask=_there(in_batch, entry, chunk, TILE, WIDTH))
    return tl.sum(prefix_loss), tl.sum(patch_loss)


@triton.jit  # type: ignore[untyped-decorator]
def _samples(  # type: ignore[no-untyped-def]
    program,
    gradient_ptr,
    values,
    samples,
    weights,
    factors,
    VECTOR_SCALE: tl.constexpr,
    THRESHOLDS: tl.constexpr,
    SAMPLES: tl.constexpr,
):
    """Write the gradients of a program's samples; return their sums of scalar, vector, thresholds and kd."""
    numbers: tl.constexpr = len(VECTOR_SCALE)
    threshold_count: tl.constexpr = len(THRESHOLDS)
    columns: tl.constexpr = 1 + numbers + threshold_count
    at = program * SAMPLES + tl.arange(0, SAMPLES)
    there = at < samples
    share = _share(values.share, at, there, factors)
    scalar = tl.load(values.scalar + at, mask=there, other=0.0)
    known = scalar == scalar
    scalar = tl.where(known, scalar, 0.0)
    known_share = tl.where(known, share, 0.0)

    z = tl.load(values.student_scalar + at, mask=there, other=0.0)
    told = _logistic(z)
    error = told - scalar * factors.scalar
    scalar_loss = known_share * error * error
    temperature = factors.temperature
    u = z / temperature
    v = tl.load(values.teacher_scalar + at, mask=there, other=0.0) / temperature
    # log σ(v) - log σ(u) + (1 - σ(v)) (u - v), with log σ(x) = -softplus(-x)
    divergence = _softplus(-u) - _softplus(-v) + _logistic(-v) * (u - v)
    kd_loss = share * temperature * temperature * divergence
    slope = weights.scalar * known_share * 2.0 * error * told * (1.0 - told)
    slope += weights.kd * share * temperature * (_logistic(u) - _logistic(v))
    tl.store(gradient_ptr + at * columns, slope, mask=there)

    count = tl.zeros([SAMPLES], tl.float32)
    for number in tl.static_range(numbers):
        target = tl.load(values.vector + at * numbers + number, mask=there, other=0.0)
        count += tl.where(target == target, 1.0, 0.0)
    number_share = share / tl.maximum(count, 1.0)
    vector_loss = tl.zeros([SAMPLES], tl.float32)
    for number in tl.static_range(numbers):
        target = tl.load(values.vector + at * numbers + number, mask=there, other=0.0)
        told = tl.load(values.student_vector + at * numbers + number, mask=there, other=0.0)
        error = tl.where(target == target, told - target, 0.0) / VECTOR_SCALE[number]
        vector_loss += number_share * error * error
        slope = weights.vector * number_share * 2.0 * error / VECTOR_SCALE[number]
        tl.store(gradient_ptr + at * columns + (1 + number), slope, mask=there)

    threshold_share = known_share / max(threshold_count, 1)
    threshold_loss = tl.zeros([SAMPLES], tl.float32)
    for threshold in tl.static_range(threshold_count):
        z = tl.load(values.student_thresholds + at * threshold_count + threshold, mask=there, other=0.0)
        wanted = tl.where(scalar >= THRESHOLDS[threshold], 1.0, 0.0)
        threshold_loss += threshold_share * (_softplus(z) - wanted * z)
        slope = weights.thresholds * threshold_share * (_logistic(z) - wanted)
        tl.store(gradient_ptr + at * columns + (1 + numbers + threshold), slope, mask=there)
    return tl.sum(scalar_loss, 0), tl.sum(vector_loss, 0), tl.sum(threshold_loss, 0), tl.sum(kd_loss, 0)


@triton.jit(do_not_specialize=["samples", "length"])  # type: ignore[untyped-decorator]
def _distill(  # type: ignore[no-untyped-def]
    partial_ptr,  # [7, programs]
    tokens,  # student, teacher, gradient: the last may be the teacher, for a program reads its tokens before it writes
    logit_gradient_ptr,
    values,
    samples,
    length,
    prefix,
    factors,
    weights,
    COSINE: tl.constexpr,
    WRITE: tl.constexpr,
    VECTOR_SCALE: tl.constexpr,
    THRESHOLDS: tl.constexpr,
    TILE: tl.constexpr,
    SAMPLES: tl.constexpr,
    WIDTH: tl.constexpr,
):
    sample_programs = tl.cdiv(samples, SAMPLES)
    program = tl.program_id(0)
    scalar_loss = tl.zeros([], tl.float32)
    prefix_loss, patch_loss, vector_loss, threshold_loss, kd_loss = (scalar_loss,) * 5
    if program < sample_programs:
        scalar_loss, vector_loss, threshold_loss, kd_loss = _samples(
            program, logit_gradient_ptr, values, samples, weights, factors, VECTOR_SCALE, THRESHOLDS, SAMPLES
        )
    else:
        program_of_tokens = program - sample_programs
        prefix_loss, patch_loss = _tokens(
            program_of_tokens,
            tokens,
            values.share,
            samples * length,
            length,
            prefix,
            factors,
            weights,
            COSINE,
            WRITE,
            TILE,
            WIDTH,
        )
        prefix_loss *= factors.prefix
        patch_loss *= factors.patch
    total = weights.tokens_prefix * prefix_loss + weights.tokens_patch * patch_loss + weights.scalar * scalar_loss
    total += weights.vector * vector_loss + weights.thresholds * threshold_loss + weights.kd * kd_loss
    at = partial_ptr + program
    step = tl.num_programs(0)
    tl.store(at, total)
    tl.store(at + step, prefix_loss)
    tl.store(at + 2 * step, patch_loss)
    tl.store(at + 3 * step, scalar_loss)
    tl.store(at + 4 * step, vector_loss)
    tl.store(at + 5 * step, threshold_loss)
    tl.store(at + 6 * step, kd_loss)


@triton.jit  # type: ignore[untyped-decorator]
def _distill_scale(  # type: ignore[no-untyped-def]
    tokens_ptr, logits_ptr, scaled_ptr, factor_ptr, entries, numbers, BLOCK: tl.constexpr
):
    factor = tl.load(factor_ptr)
    first, step = tl.program_id(0).to(tl.int64) * BLOCK, tl.num_programs(0) * BLOCK
    for start in range(first, numbers, step):
        at = start + tl.arange(0, BLOCK)
        tl.store(scaled_ptr + at, tl.load(logits_ptr + at, mask=at < numbers) * factor, mask=at < numbers)
    if factor != 1.0:  # known on the device alone; `total.backward()` hands in a 1, and then no token is touched
        for start in range(first, entries, step):
            at = start + tl.arange(0, BLOCK)
            scaled = tl.load(tokens_ptr + at, mask=at < entries).to(tl.float32) * factor
            tl.store(tokens_ptr + at, scaled.to(tokens_ptr.dtype.element_ty), mask=at < entries)


@cache
def token_tile(width: int) -> TokenTile:
    """Return how tokens of a width are cut."""
    warps = min(MOST_WARPS, power_of_two(cdiv(width, PER_WARP)))
    widest = min(CHUNK * warps, power_of_two(width))
    blocks = [block for block in (widest, widest // 2, widest // 4) if block >= FEWEST] or [widest]
    # the least beyond the width, in a few chunks: 768 is 3 x 256, 192 is 3 x 64
    padded, _, block = min((-(-width // block) * block, -block, block) for block in blocks)
    tokens = 1 << max(0, min(MOST_TOKENS, PER_WARP * warps // max(padded, 1)).bit_length() - 1)
    return TokenTile(tokens, max(1, padded // block), block, TURNS, warps)


def is_plain(tokens: Tensor) -> bool:
    """Whether the launch may read (or write) tokens where they lie, in the one way that fixes the order of its sums.

    The order comes from how many bytes a thread loads at a time: 16 where the width allows it. So entries lie side by
    side, and each token where its width puts it: on a multiple of 16 entries, or behind the last one.
    """
    aligned = tokens.data_ptr() % ALIGNED == 0
    if tokens.shape[2] % ALIGNED:
        return aligned and tokens.is_contiguous()
    sample, token, entry = tokens.stride()
    return aligned and entry == 1 and sample % ALIGNED == 0 and token % ALIGNED == 0


def launch_distill(
    losses: Tensor,  # [7] float32: written
    token_gradient: Tensor | None,  # [B, L, D]: written, may be teacher_tokens; None: nobody asks
    logit_gradient: Tensor,  # [B, 1 + K + T] contiguous float32: written
    student_tokens: Tensor,  # [B, L, D]
    teacher_tokens: Tensor,  # [B, L, D]
    values: Values,
    options: DistillOptions,
    tile: TokenTile | None = None,
) -> None:
    """Write losses and gradients. Tokens are of any strides: what is not `is_plain` is copied."""
    batch, length, width = student_tokens.shape
    tile = tile or token_tile(width)
    student, teacher = (
        tokens if is_plain(tokens) else tokens.clone(memory_format=torch.contiguous_format)
        for tokens in (student_tokens, teacher_tokens)
    )
    if token_gradient is None or is_plain(token_gradient):
        gradient = student if token_gradient is None else token_gradient  # nothing is written through the former
    else:
        gradient = torch.empty_like(token_gradient, memory_format=torch.contiguous_format)
    programs = -(-batch // SAMPLES) - (-batch * length // (tile.tokens * tile.turns))
    per_prefix, per_patch = 1 / max(options.prefix, 1), 1 / max(length - options.prefix, 1)
    partial = losses.new_empty(LOSSES, programs)
    if programs:
        launch(
            _distill,
            (programs,),
            partial,
            tuple(Strided(tokens, *tokens.stride()[:2]) for tokens in (student, teacher, gradient)),
            logit_gradient,
            values,
            batch,
            length,
            options.prefix,
            Factors(per_prefix, per_patch, 1 / options.scalar_scale, 1 / max(batch, 1), options.temperature),
            options.weights,
            COSINE=options.kind == "cosine",
            WRITE=token_gradient is not None,
            VECTOR_SCALE=options.vector_scale,
            THRESHOLDS=options.thresholds,
            TILE=tile,
            SAMPLES=SAMPLES,
            WIDTH=width,
            num_warps=tile.warps,
        )
    if token_gradient is not None and gradient is not token_gradient:
        token_gradient.copy_(gradient)
    torch.sum(partial, 1, out=losses)


def launch_scale(tokens: Tensor | None, logits: Tensor, factor: Tensor) -> Tensor:
    """Return logits [B, N] times a number on their device; multiply tokens by it in place, by 1 without touching them.

    Both lie dense in memory.
    """
    scaled = torch.empty_like(logits)
    entries = 0 if tokens is None else tokens.numel()
    if entries or logits.numel():
        target = logits if tokens is None else tokens  # nothing is written through the former
        launch(
            _distill_scale,
            (programs_on(logits, 8, 2),),
            target,
            logits,
            scaled,
            factor,
            entries,
            logits.numel(),
            BLOCK=1024,
        )
    return scaled
