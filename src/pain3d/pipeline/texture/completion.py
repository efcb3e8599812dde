"""Knows how a texture goes on where no view saw it: the procedural person's, in the tone of what was seen nearby.

The ratio of what was seen to the procedural base is a smooth field: tone, light, a painter's taste. It is filled by a
push–pull pyramid (Gortler et al. 1996, "The Lumigraph", section 3.4), in the logarithm and in the head's space rather
than over the chart, so that the neck learns from the chin though their charts lie apart. Skin, hair and cloth have a
field each: a dark fringe does not darken the forehead behind it. The base's lips, ears and pores stay what they are.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, grid_sample, interpolate

from pain3d.colour import LUMINANCE
from pain3d.skin.compose import SCATTER
from pain3d.skin.maps import Floats, SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

FIELD_SIZE = 256  # texels a side at which fields are found: one is 1.6 mm, a cell below holds some 25 of them
CELL = 8.0  # mm: side of the pyramid's finest cells; a tone varies over centimetres
LEVELS = 5  # the coarsest cell is 256 mm: a whole head
SURE = 0.25  # share of a cell's texels, weighted, from which on nothing comes from coarser cells
STRANGE = (
    0.5  # of ln luminance off the region's median: seen hair where the base has skin says little of the skin's tone
)
PURE = 4  # a texel of half skin, half hair says little of either: power of its share of a region
BORDER = 2.4  # mm over which what was seen passes into what was not
FULL_WEIGHT = 0.05  # weight from which on a texel is wholly what was seen: below it a view glanced
TEXEL = 0.4 * 1024  # mm times texels a side: what a texel of the face measures
DARKEST = 1e-3  # linear, added before a logarithm: black says nothing of the tone

Where = npt.NDArray[np.bool_]


def complete(texture: Tensor, weight: Tensor, base: Tensor, maps: SurfaceMaps) -> Tensor:
    """Complete the albedo of a head of which some texels were seen.

    Args:
        texture: [S, S, 3] linear; what it holds where nothing was seen does not matter.
        weight: [S, S] at least 0: how well each texel was seen; 0 is not at all.
        base: [S, S, 16] the procedural person, see `pain3d.paint`.
        maps: Of `surface_maps(head, S)`.

    Returns:
        [S, S, 3] float32 linear in 0.003–0.95. Seen texels of skin and neck are kept to the last bit but for a border
        of 2.4 mm around what was not seen; eyes, teeth, tongue and the mouth's inside are the base's. Unseen texels
        whose mirror image was seen take its detail, in the tone of their own side.

    Gradients: none.

    Raises:
        ValueError: Shapes do not agree with `maps.size`.
    """
    size = maps.size
    for name, given, shape in (
        ("texture", texture, (size, size, 3)), ("weight", weight, (size, size)), ("base", base, (size, size, 16)),
    ):  # fmt: skip
        if tuple(given.shape) != shape:
            raise ValueError(f"{name} must be {list(shape)}, got {list(given.shape)}")
    colours, seen_weight = texture.numpy().astype(np.float32), weight.numpy().astype(np.float32)
    albedo = np.ascontiguousarray(base[..., :3].numpy())
    regions = regions_of(base, maps)
    shown = photographable(maps)
    seen_weight = np.where(shown & maps.covered, seen_weight, 0)
    fields = tone_fields(colours, seen_weight, albedo, regions, maps)
    tone = np.einsum("rhwc,rhw->hwc", fields, regions)

    kept = _share_kept(seen_weight, shown & maps.covered, size)
    filled = albedo * cv2.exp(tone)
    mirror, mirrored = maps.mirror
    rows = np.arange(size)[:, None]
    other = np.where(mirrored, kept[rows, mirror], 0) * (kept < 1)
    if other.any():
        there = other > 0
        across = (np.nonzero(there)[0], mirror[there])
        apart = sum(regions[r][there][:, None] * (fields[r][there] - fields[r][across]) for r in range(len(regions)))
        image = colours[across] * np.exp(apart)
        share = other[there][:, None]
        filled[there] = share * image + (1 - share) * filled[there]
    done = np.where(shown[..., None], filled, albedo)
    np.clip(done, *ALBEDO, out=done)
    whole = kept >= 1
    partly = (kept > 0) & ~whole
    done[partly] += kept[partly][:, None] * (colours[partly] - done[partly])
    np.copyto(done, colours, where=whole[..., None])
    return torch.from_numpy(done)


def regions_of(base: Tensor, maps: SurfaceMaps) -> Floats:
    """Shares [3, S, S] of skin, hair and cloth of a painted person: light goes on below skin alone."""
    skin = base[..., SCATTER].numpy()
    cloth = (1 - skin) * (maps.masks["neckline"] < 0) * (maps.part == maps.part_names.index("neck"))
    return np.stack([skin, 1 - skin - cloth, cloth]).astype(np.float32)


def tone_fields(colours: Floats, weight: Floats, albedo: Floats, regions: Floats, maps: SurfaceMaps) -> Floats:
    """Logarithm of what was seen over the base, filled everywhere, [3, S, S, 3] by region; 0 where never seen."""
    side = min(FIELD_SIZE, maps.size)
    sure = np.minimum(weight / FULL_WEIGHT, 1)
    seen_share = _reduced(sure, side)
    seen = _reduced(colours * sure[..., None], side) / np.maximum(seen_share, 1e-6)[..., None]
    under = _reduced(albedo * sure[..., None], side) / np.maximum(seen_share, 1e-6)[..., None]
    ratio = np.log(np.maximum(seen, 0) + DARKEST) - np.log(under + DARKEST)
    step = maps.size // side
    places = np.stack([plane[step // 2 :: step, step // 2 :: step] for plane in (maps.x, maps.y, maps.z)], -1)
    shown = _reduced((photographable(maps) & maps.covered).astype(np.float32), side)
    fields = []
    for region in regions:
        there = _reduced(region, side) * shown
        certain = there**PURE * seen_share
        if certain.sum() < 1:
            fields.append(np.zeros((*maps.x.shape, 3), np.float32))
            continue
        bright = np.log(np.maximum(seen, 0) @ LUMINANCE + DARKEST) - np.log(under @ LUMINANCE + DARKEST)
        certain = certain * np.exp(-(((bright - weighted_median(bright, certain)) / STRANGE) ** 2)).astype(np.float32)
        field = _push_pull(ratio, certain, there, places)
        fields.append(cv2.resize(field, (maps.size, maps.size), interpolation=cv2.INTER_LINEAR))
    return np.stack(fields)


def _share_kept(weight: Floats, charted: Where, size: int) -> Floats:
    """How much of each texel is what was seen [S, S]: all of it but near what was not, and where a view glanced."""
    unseen = charted & (weight <= 0)
    if unseen.any():
        distance = cv2.distanceTransform((~unseen).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
        near = distance * np.float32(TEXEL / size / BORDER)
    else:
        near = np.ones_like(weight)
    return np.asarray(np.clip(np.minimum(near, weight / FULL_WEIGHT), 0, 1), np.float32)


def _push_pull(ratio: Floats, certain: Floats, there: Floats, places: Floats) -> Floats:
    """Fill `ratio` [h, w, 3], known where `certain` [h, w] of `there` [h, w], over positions [h, w, 3] in mm."""
    low = places.reshape(-1, 3).min(0)
    extent = places.reshape(-1, 3).max(0) - low + 1e-3
    cells = np.ceil(extent / (CELL * 2**LEVELS)).astype(int) * 2**LEVELS
    index = ((places - low) / CELL).astype(np.int64)
    flat = torch.from_numpy((index[..., 2] * cells[1] + index[..., 1]) * cells[0] + index[..., 0]).flatten()
    values = np.concatenate([ratio * certain[..., None], certain[..., None], there[..., None]], -1)
    grid = torch.zeros(int(cells.prod()), 5).index_add_(0, flat, torch.from_numpy(values.reshape(-1, 5)))
    level = grid.T.reshape(1, 5, int(cells[2]), int(cells[1]), int(cells[0]))
    pulled = [level]
    for _ in range(LEVELS):
        pulled.append(8 * avg_pool3d(pulled[-1], 2))
    total = pulled[-1].sum((2, 3, 4), keepdim=True)
    field = (total[:, :3] / total[:, 3:4]).expand_as(pulled[-1][:, :3])
    for number, level in enumerate(reversed(pulled)):
        coarse = field if number == 0 else interpolate(field, scale_factor=2, mode="trilinear")
        sure = (level[:, 3:4] / (SURE * level[:, 4:5]).clamp_min(1e-6)).clamp_max(1)
        field = coarse + sure * (level[:, :3] / level[:, 3:4].clamp_min(1e-6) - coarse)
    at = torch.from_numpy(2 * (places - low) / (CELL * cells) - 1).float()
    filled = grid_sample(field, at[None, None], mode="bilinear", padding_mode="border", align_corners=False)
    return np.ascontiguousarray(filled[0, :, 0].permute(1, 2, 0).numpy())


def _reduced(plane: Floats, side: int) -> Floats:
    return np.asarray(cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def weighted_median(values: Floats, weight: Floats) -> float:
    """Value below which half of the weight lies; both [h, w]."""
    order = np.argsort(values, axis=None)
    along = np.cumsum(weight.ravel()[order])
    return float(values.ravel()[order[np.searchsorted(along, along[-1] / 2)]])
