"""Knows what is wrong with a painted texture, in numbers, and when it is too much, in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from pain3d.colour import LUMINANCE, linear_to_lab
from pain3d.kernels.shading import sh_basis
from pain3d.pipeline.texture.delighting import Delit
from pain3d.pipeline.texture.views import Seen, texel_surface
from pain3d.rendering.tone import skin_tone
from pain3d.skin.compose import SCATTER
from pain3d.skin.maps import SurfaceMaps, tone_texels
from pain3d.skin.photographed import ALBEDO, photographable

if TYPE_CHECKING:
    from pain3d.pipeline.texture.intrinsics import Predicted

BLOCKS: Final = 128  # a side of the texture: what is called tone or light here is broader than 3 mm
FACE_DEPTH, FACE_HEIGHT = 10.0, (-95.0, 75.0)  # mm of z and of y: where a texel of the skin is of the face
WELL_SEEN: Final = 0.25  # weight of a view at 60°
AS_WELL: Final = 0.5  # of the best view's weight: who has it could as well have been the best
SKIN: Final = 0.9  # of the procedural person's scatter, from which on a block is skin
DARKEST: Final = 1e-3  # linear, added before a logarithm


@dataclass(frozen=True)
class QualityReport:
    """What was measured of one texture.

    Attributes:
        coverage: Share of the face's texels that some view saw at under 60°, clear of edges.
        seam: Root mean square of the difference in ln luminance between the two best views, where either could be
            taken, over blocks of 3 mm.
        baked_light: Standard deviation of the ln luminance of skin, against the procedural person's, that harmonics of
            the normals explain: light that is still in the albedo, or make-up.
        not_finite: Share of the texels of skin and neck.
        black: Share of the face's texels at the least albedo.
        white: Share of the face's texels at the greatest.
        left_right: Median CIELAB distance between the two halves of the face.
        tone: ITA in degrees.
        tone_lit: ITA of the same texels before the light was taken out.
        tone_asked: ITA of the procedural person.
    """

    coverage: float
    seam: float
    baked_light: float
    not_finite: float
    black: float
    white: float
    left_right: float
    tone: float
    tone_lit: float
    tone_asked: float

    def fields(self) -> dict[str, Any]:
        """The numbers as JSON holds them."""
        return {name: round(value, 4) for name, value in asdict(self).items()}

    def faults(self) -> tuple[str, ...]:
        """Why the texture should not be used, in words; none if it may."""
        found = [
            f"{said} ({getattr(self, name):.3g}; at most {most:g} is usable)"
            for name, (most, said) in MOST.items()
            if not getattr(self, name) <= most  # NaN is a fault
        ]
        if not self.coverage >= LEAST_COVERAGE:
            found.append(f"little of the face was seen ({self.coverage:.0%}; {LEAST_COVERAGE:.0%} is usable)")
        if not abs(self.tone - self.tone_asked) <= MOST_TONE:
            found.append(f"the skin's tone is {self.tone:.0f}° ITA where {self.tone_asked:.0f}° was asked for")
        return tuple(found)


# What is usable. Photographed textures (docs/texturing.md) have a tenth to a fifth of it; the same pictures with their
# light still in them (window, from one side) have more `baked_light`.
MOST: Final = {
    "not_finite": (0.0, "not all of it is finite"),
    "black": (0.02, "the face is black"),
    "white": (0.02, "the face is white"),
    "seam": (0.25, "views disagree about the same skin"),
    "baked_light": (0.15, "there is light left in the albedo"),
    "left_right": (10.0, "the two halves of the face differ"),
}
LEAST_COVERAGE: Final = 0.75
MOST_TONE: Final = 40.0


def report(
    albedo: Tensor, delit: Delit | Predicted, lit: Tensor, base: Tensor, seen: Seen, maps: SurfaceMaps
) -> QualityReport:
    """Measure a finished texture.

    Args:
        albedo: [S, S, 3] linear, completed.
        delit: What the views showed, without light.
        lit: [N, S, S, 3] linear, with it.
        base: [S, S, 16] the procedural person.
        seen: The views.
        maps: Of `surface_maps(head, S)`.

    Gradients: none.
    """
    shown = torch.from_numpy(photographable(maps) & maps.covered)
    of_skin = (maps.part == maps.part_names.index("skin")) & maps.covered
    low, high = FACE_HEIGHT
    face = torch.from_numpy(of_skin & (maps.z > FACE_DEPTH) & (maps.y > low) & (maps.y < high))
    on_face = albedo[face]
    best = delit.weights.amax(0)
    blocks = Blocks.of(albedo, base, face, maps.size)
    tone = tone_texels(maps)
    lengths, at = [len(patch) for patch in tone], torch.from_numpy(np.concatenate(tone))
    weight = delit.weights.flatten(1)[:, at, None]
    before = (lit.flatten(1, 2)[:, at] * weight).sum(0) / weight.sum(0).clamp(min=1e-9)
    return QualityReport(
        coverage=float((best[face] >= WELL_SEEN).double().mean()),
        seam=_seam(delit, face, maps.size),
        baked_light=blocks.baked_light(_block_normals(seen, maps)),
        not_finite=float((~albedo[shown].isfinite().all(1)).double().mean()),
        black=float((on_face <= ALBEDO[0]).all(1).double().mean()),
        white=float((on_face >= ALBEDO[1]).all(1).double().mean()),
        left_right=blocks.left_right(),
        tone=skin_tone(albedo.flatten(0, 1)[at].numpy(), lengths),
        tone_lit=skin_tone(before.numpy(), lengths),
        tone_asked=skin_tone(base[..., :3].flatten(0, 1)[at].numpy(), lengths),
    )


@dataclass(frozen=True)
class Blocks:
    """Means over blocks of a texture's face: what is left of it when its detail is not looked at.

    Attributes:
        colour: [s, s, 3] linear.
        base: [s, s, 3] of the procedural person.
        skin: [s, s] bool, whole blocks of bare skin on the face.
    """

    colour: Tensor
    base: Tensor
    skin: Tensor

    @classmethod
    def of(cls, albedo: Tensor, base: Tensor, face: Tensor, size: int) -> Blocks:
        """Blocks of a texture [S, S, 3] and the procedural person's [S, S, 16]."""
        step = _step(size)
        planes = torch.cat([albedo.nan_to_num(0), base[..., :3], base[..., SCATTER, None], face[..., None]], 2)
        means = avg_pool2d(planes.permute(2, 0, 1)[None], step)[0].permute(1, 2, 0)
        return cls(means[..., :3], means[..., 3:6], (means[..., 6] > SKIN) & (means[..., 7] > 0.999))

    def baked_light(self, normals: Tensor) -> float:
        """See `QualityReport.baked_light`; normals [s, s, 3]."""
        luminance = torch.from_numpy(LUMINANCE).float()
        off = (self.colour[self.skin] @ luminance + DARKEST).log() - (self.base[self.skin] @ luminance + DARKEST).log()
        if len(off) == 0:
            return 0.0
        basis = sh_basis(normals[self.skin]).double()
        explained = basis @ torch.linalg.lstsq(basis, off.double()[:, None]).solution
        return float(explained.std())

    def left_right(self) -> float:
        """See `QualityReport.left_right`: the chart of the skin is its own mirror image."""
        both = (self.skin & self.skin.flip(1)).numpy()
        lab = linear_to_lab(self.colour.double().numpy())
        return float(np.median(np.linalg.norm(lab - lab[:, ::-1], axis=-1)[both])) if both.any() else 0.0


def _step(size: int) -> int:
    return max(1, size // BLOCKS)


def _seam(delit: Delit | Predicted, face: Tensor, size: int) -> float:
    """See `QualityReport.seam`."""
    if len(delit.weights) < 2:
        return 0.0
    step = _step(size)
    weights = avg_pool2d((delit.weights * face)[:, None], step)[:, 0]
    bright = (delit.albedo @ torch.from_numpy(LUMINANCE).float()) * delit.weights * face
    means = (avg_pool2d(bright[:, None], step)[:, 0] / weights.clamp(min=1e-9) + DARKEST).log()
    best, who = weights.topk(2, 0)
    either = (best[1] >= AS_WELL * best[0]) & (best[0] > 0)
    first, second = means.gather(0, who)
    return float((first - second)[either].square().mean().sqrt()) if bool(either.any()) else 0.0


def _block_normals(seen: Seen, maps: SurfaceMaps) -> Tensor:
    """[s, s, 3] of the texels in the middle of each block."""
    step = _step(maps.size)
    faces, barycentrics = (plane[step // 2 :: step, step // 2 :: step] for plane in texel_surface(seen.head, maps.size))
    corners = seen.normals[0][seen.head.faces.long()[faces.long().clamp(min=0)]]
    return normalize((barycentrics[..., None] * corners).sum(2), dim=-1)
