"""Knows the way from a person and a painter to an albedo: what follows what, and what can go wrong with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.light import Light
from pain3d.pipeline.texture.completion import complete
from pain3d.pipeline.texture.delighting import delight, linear_light
from pain3d.pipeline.texture.fusing import fuse
from pain3d.pipeline.texture.painter import Paints, Prompt
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.quality import QualityReport, report
from pain3d.pipeline.texture.shared_texels import blend_of
from pain3d.pipeline.texture.views import Seen, see, standard_cameras
from pain3d.rendering.frames import Clock
from pain3d.skin import Skin, paint, surface, surface_maps
from pain3d.skin.photographed import ALBEDO

if TYPE_CHECKING:
    from pain3d.pipeline.texture.delighting import Delit
    from pain3d.pipeline.texture.intrinsics import Intrinsics, Predicted

BLACK: Final = 1 / 255  # mean sRGB of the head: painters that fail, or whose safety checker speaks, hand back zeros


class SpoiltPicturesError(ValueError):
    """A painter's pictures can't become a texture; the message says why in a few words, such as ``not finite``."""


@dataclass(frozen=True)
class PaintedTexture:
    """A texture that a painter made.

    Attributes:
        albedo: [S, S, 3] float32 linear in 0.003–0.95, for `pain3d.paint`.
        report: What is wrong with it.
        pictures: [N, H, W, 3] sRGB, as they were painted.
        light: That was taken out; None where an intrinsic image pipeline took it.
        seconds: Of each part.
    """

    albedo: Tensor
    report: QualityReport
    pictures: Tensor
    light: Light | None
    seconds: dict[str, float]


def make_texture(
    head: Head,
    person: tuple[Identity, Skin],
    painter: Paints,
    prompt: Prompt,
    seed: int,
    *,
    views: int = 5,
    view_size: int = 768,
    size: int = 1024,
    intrinsics: Intrinsics | None = None,
) -> PaintedTexture:
    """Let a painter paint a person and make a texture of the pictures.

    Args:
        head: On the CPU.
        person: Identity and skin: shape, hair and shirt are theirs, and so are gloss, relief and wrinkles.
        painter: Who paints.
        prompt: What is asked for.
        seed: The person's.
        views: 3 or 5.
        view_size: Pixels a side of a picture.
        size: Texels a side, a power of two from 64 on.
        intrinsics: Who takes the light out of pictures; None is the fit of `delighting`.

    Returns:
        PaintedTexture. Same arguments, same bytes, if the painter keeps to that.

    Gradients: none.

    Raises:
        SpoiltPicturesError: The pictures are not finite or black. Nothing is tried again here.
        PaintingError: The albedo of an intrinsic image pipeline is not finite.
        ValueError: Numbers out of range, or pictures of another shape.
    """
    clock = Clock()
    identity, skin = person
    maps = surface_maps(head, size)
    base = paint(maps, skin)
    clock.lap("base")
    seen = see(head, identity, surface(head, skin), standard_cameras(views, view_size))
    clock.lap("see")
    pictures = painter.paint(seen.conditions, prompt, seed, blend_of(seen))
    _check(pictures, seen)
    clock.lap("paint")
    lit, weights = project(_shown(pictures, seen), seen, size)
    clock.lap("backproject")
    delit: Delit | Predicted
    light = None
    if intrinsics is None:
        delit = delight(lit, weights, seen, base, skin, maps)
        light = delit.found.light
    else:
        delit = intrinsics.delight(pictures, lit, weights, seen, seed)
    clock.lap("delight")
    fused, weight = fuse(delit.albedo, delit.weights)
    clock.lap("fuse")
    albedo = complete(fused.clamp(*ALBEDO), weight, base, maps)  # bands may overshoot
    clock.lap("complete")
    measured = report(albedo, delit, lit, base, seen, maps)
    clock.lap("quality")
    return PaintedTexture(albedo, measured, pictures, light, clock.laps)


def _shown(pictures: Tensor, seen: Seen) -> Tensor:
    """Linear light [N, H, W, 3] of the head, 0 beside it."""
    inside = torch.nonzero(seen.conditions.mask.flatten())[:, 0]
    light = linear_light(pictures.flatten(0, 2).index_select(0, inside))
    return torch.zeros(pictures.shape).flatten(0, 2).index_copy_(0, inside, light).view(pictures.shape)


def _check(pictures: Tensor, seen: Seen) -> None:
    """Raise where pictures can't become a texture."""
    wanted = (*seen.conditions.mask.shape, 3)
    if tuple(pictures.shape) != wanted:
        raise ValueError(f"pictures must be {list(wanted)}, got {list(pictures.shape)}")
    if not bool(torch.isfinite(pictures).all()):
        raise SpoiltPicturesError("not finite")
    masks = seen.conditions.mask
    bright = (pictures.mean(3) * masks).sum((1, 2)) / masks.sum((1, 2))
    if bool((bright < BLACK).any()):
        raise SpoiltPicturesError("black")
