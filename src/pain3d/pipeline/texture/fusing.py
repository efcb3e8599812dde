"""Knows how the colours that N views have for a texel become one: fine detail of one view, tone of all that see it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

# A view has no say where its weight is below this share of the best view's, so that it comes and goes without a step: a
# weight of `backproject` ends at (0.2)², where the view is at 78°.
LEAST_SHARE = 0.2
COARSEST = 32  # texels a side of the coarsest band: of 1024² five bands, the broadest 32 texels or 13 mm of a cheek
PATCH = 8  # texels over which a view must be best: beside edges, where weights come and go, none takes a texel alone
TINY = 1e-12


def fuse(colours: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Fuse N views into one texture by bands of detail: multi-band blending (Burt and Adelson 1983) of what differs.

    The soft mean over the views that see a texel has no seam, but shows every edge as often as views disagree about
    its place. So of each view the difference from that mean is split into bands (a Laplacian pyramid), and each band is
    added from the view that sees the texel best, cut as softly as the band is broad:

        mean = Σ_v s_v c_v / Σ_v s_v,   s_v = relu(w_v / max_u w_u − LEAST_SHARE)
        texture = mean + Σ_k Σ_v M_v,k · band_k(c_v − mean)

    with M_v,0 = 1 where v sees best (`best_view`) and M_v,k its mean at level k. The coarsest band is left out: there
    the mean stands.
    Where views agree all bands are 0 and their colour comes out as it is, up to the border of its chart; and what
    passes from chart to chart where they lie close is a difference between views, never a colour.

    Args:
        colours: [N, S, S, C], any unit; S a power of two of at least 64. What a view does not see is not read.
        weights: [N, S, S] at least 0, 0 where a view does not see a texel.

    Returns:
        Texture [S, S, C], 0 where no view sees, and weight [S, S]: the best view's.

    Gradients: to colours.

    Raises:
        ValueError: The shapes do not fit.
    """
    size = weights.shape[1]
    if colours.shape[:3] != weights.shape or weights.shape[2] != size or size < 2 * COARSEST or size & (size - 1):
        raise ValueError(
            f"colours must be [N, S, S, C] and weights [N, S, S], S a power of two from {2 * COARSEST} on, "
            f"got {list(colours.shape)} and {list(weights.shape)}"
        )
    levels = (size // COARSEST).bit_length() - 1
    best = weights.amax(0)
    share = _shares(weights, best)
    who = _best_around(weights, share)
    # One view after the other, and where it sees: memory for one, and half the texels.
    boxes = [_around(some > 0, 2**levels) for some in share]
    total, mean = torch.zeros_like(best), colours.new_zeros(colours.shape[3], size, size)
    for view, (rows, columns) in enumerate(boxes):
        known = share[view, rows, columns]
        mean[:, rows, columns] += _planes(colours[view, rows, columns], known) * known
        total[rows, columns] += known
    mean /= total.clamp(min=TINY)
    texture = mean.clone()
    for view, (rows, columns) in enumerate(boxes):
        known = share[view, rows, columns]
        off = _planes(colours[view, rows, columns], known) - mean[:, rows, columns]
        mask = (who[rows, columns] == view).to(off.dtype)
        texture[:, rows, columns] += _bands(off[None], known[None, None], mask[None, None], levels)[0]
    return texture.permute(1, 2, 0).mul(best[..., None] > 0), best


def best_view(weights: Tensor) -> Tensor:
    """The view [S, S] whose fine detail a texel shows, of weights [N, S, S]: that which sees best around it, and it."""
    return _best_around(weights, _shares(weights, weights.amax(0)))


def _best_around(weights: Tensor, share: Tensor) -> Tensor:
    around = interpolate(
        avg_pool2d(weights[None], PATCH), scale_factor=float(PATCH), mode="bilinear", align_corners=False
    )[0]
    around.masked_fill_(share <= 0, -1.0)
    best, who = around[0].clone(), torch.zeros_like(around[0], dtype=torch.int64)
    for view in range(1, len(around)):  # not argmax: 0.17 s of fusing's 0.42, which so takes 0.26
        who.masked_fill_(around[view] > best, view)
        torch.maximum(best, around[view], out=best)
    return who


def _planes(colours: Tensor, known: Tensor) -> Tensor:
    """Colours [H, W, C] as [C, H, W], 0 where nothing is known [H, W]."""
    return torch.where(known > 0, colours.permute(2, 0, 1).contiguous(), 0.0)


def _shares(weights: Tensor, best: Tensor) -> Tensor:
    """[N, S, S] what each view has to say, of weights and the best [S, S] of them."""
    return (weights / best.clamp(min=TINY)).sub_(LEAST_SHARE).clamp_(min=0)


def _around(where: Tensor, step: int) -> tuple[slice, slice]:
    """The rows and columns that hold all of where [S, S] and one step around it, in whole steps."""
    found = []
    for axis in (1, 0):
        places = torch.nonzero(where.any(axis)).flatten()
        first, last = (int(places[0]), int(places[-1]) + 1) if len(places) else (0, 0)
        found.append(slice(max(first // step - 1, 0) * step, min(-(-last // step) + 1, len(where) // step) * step))
    return found[0], found[1]


def _bands(values: Tensor, known: Tensor, mask: Tensor, levels: int) -> Tensor:
    """The finest `levels` bands of values [1, C, H, W], each cut by the mask [1, 1, H, W] of its level.

    Means are over what is known [1, 1, H, W]; where nothing is, the coarser level goes on and the band is 0.
    """
    if levels == 0:
        return torch.zeros_like(values)
    weight = avg_pool2d(known, 2)
    coarse = avg_pool2d(values * known, 2) / weight.clamp(min=TINY)
    some = (weight > 0).to(values.dtype)
    doubled = _doubled(torch.cat([coarse * some, some], 1))
    smooth, whole = doubled[:, :-1], doubled[:, -1:]
    band = (values - smooth / whole.clamp(min=TINY)) * (mask * (known > 0))
    return band + _doubled(_bands(coarse, weight, avg_pool2d(mask, 2), levels - 1))


def _doubled(values: Tensor) -> Tensor:
    return interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)
