"""How exactly a texture comes back from its own pictures: `python -m benchmarks.recovered --to FOLDER` prints a table.

The painter is replaced by renders without light (`views.flat`) of a known texture; back-projected and fused, what comes
back is compared with what was rendered. Views and texture have the same size. The texture is a person's own, in sRGB,
with coloured noise of every wave down to the finest: a period of `PERIOD` texels, where 2 is the limit of any picture
(a raised cosine ends there, so nothing aliases in the texture itself). At 2048² that is 0.8 mm on a cheek, which a
view of 2048² shows at 60° on 2.5 pixels.

- PSNR: over the three channels in sRGB, 1 the peak, of texels of skin that one view at least sees at under 60°.
- Face: texels of the part skin between hairline, ears and chin. Coverage: the share of it that has a weight.
- Seam: where two views meet, by how much luminance over that of the texture differs from side to side, each side's a
  mean over the view's own texels in a window of a 64th of the texture's side (6 mm): the largest and the share of the
  borders where it is above 2 %, over texels that the best view sees at under 60°; the largest over all of the face,
  folds of lids, lips and nostrils with it, which every view sees at a grazing angle. "Where no views meet": the
  largest that the same measure reads along the same borders moved aside, so what it makes of lost detail alone.
  "unequal": the 99th percentile over all, with views exposed by 5 % more and less in turns, as a painter may drift.
- Tone: a bald person is painted in another tone than the procedural one's (`OTHER_TONE`), back-projected, fused and
  completed. ΔE*ab (CIE 1976) between the mean colours of what came out and of what was painted, over all texels of
  face, ears, neck and scalp, and over those alone that no view saw and completion had to find.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from pain3d import Head
from pain3d.colour import LUMINANCE, linear_to_lab, linear_to_srgb, srgb_to_linear
from pain3d.files import write_durably
from pain3d.kernels import interpolate
from pain3d.pipeline.texture.completion import complete
from pain3d.pipeline.texture.fusing import best_view, fuse
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.views import flat, see, standard_cameras, texel_surface
from pain3d.skin import Skin, paint, surface, surface_maps
from pain3d.skin.hairline import hair_outline, outline_distance

Floats = npt.NDArray[np.float32]

PERIOD: Final = 4.0  # texels of the finest wave
NOISE: Final = 0.08  # of sRGB: standard deviation, about a skin's own contrast from pore to spot
# Of a window that either side of a border must fill. With fewer texels a mean is noise, not tone: at 1024² the measure
# reads up to 4.0 % where no views meet with 0.2, 2.2 % with 0.4; that leaves out a seventh of the borders, at corners.
SUPPORT: Final = 0.4
ASIDE: Final = ((0, 1), (0, -1), (1, 0), (-1, 0), (0.625, 0.625))  # of a 26th of the side, 16 mm
LEAST_COSINE: Final = 0.5  # 60°
POWER: Final = 2.0  # of the cosine in a weight
WINDOW: Final = 64  # of a texture's side: 17 texels at 1024²
TINT: Final = 0.05  # how much lighter or darker views are exposed in turns
BEFORE_EARS: Final = 82.0  # degrees about the vertical axis
CHIN: Final = -105.0  # mm of height
SKIN: Final = Skin(hair_style="buzz", hair_density=0.8)
PERSON: Final = 3
BALD: Final = Skin(hair_style="bald", recession=1.0)
OTHER_TONE: Final = (1.15, 0.95, 0.85)  # of the procedural person's albedo: a ΔE of 8 on a face


@dataclass(frozen=True)
class Row:
    """One size and number of views; shares in percent, times in seconds."""

    size: int
    views: int
    psnr: float
    psnr_best_view: float
    coverage: float
    under_60: float
    seam: float
    above_2: float
    seam_nowhere: float
    seam_anywhere: float
    unequal_seam: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Recovered:
    """A row and what was seen: textures [S, S, 3] sRGB, weight [S, S] and the view that sees best [S, S]."""

    row: Row
    truth: Tensor
    fused: Tensor
    weight: Tensor
    best: Tensor


def band_limited(texture: Floats, period: float = PERIOD) -> Floats:
    """A texture [S, S, C] without waves of fewer texels than the period; a raised cosine from 1.1 times it."""
    size = len(texture)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    share = np.clip((1 / period - frequency) / (0.1 / period), 0, 1)
    spectrum = np.fft.rfft2(texture, axes=(0, 1)) * (0.5 - 0.5 * np.cos(np.pi * share))[..., None]
    return np.asarray(np.fft.irfft2(spectrum, s=(size, size), axes=(0, 1)), np.float32)


def known_texture(plain: Floats, seed: int = 0) -> Tensor:
    """[S, S, 3] sRGB: a picture of skin [S, S, 3] and noise, band-limited; the same bytes for the same seed."""
    noise = band_limited(np.random.default_rng(seed).standard_normal(plain.shape, np.float32))
    noise *= NOISE / noise.std()
    return torch.from_numpy(band_limited(np.clip(band_limited(plain) + noise, 0, 1)))


def regions(head: Head, size: int) -> dict[str, Tensor]:
    """Masks [S, S] of the texture: skin, face, ears, scalp and neck."""
    topology = head.topology
    faces, barycentrics = texel_surface(head, size)
    known = faces >= 0
    part = topology.face_parts[faces.clamp(min=0).long()]
    skin = known & (part == topology.part_names.index("skin"))
    neck = known & (part == topology.part_names.index("neck"))
    attributes = torch.cat([head.template * 1000, head.ear_mask[:, None]], 1)
    places = interpolate(attributes[None], topology.faces, faces[None], barycentrics[None])[0]
    x, y, z, ear = places.unbind(-1)
    hair = torch.zeros_like(skin)
    points = places[..., :3][skin].double().numpy()
    hair[skin] = torch.from_numpy(outline_distance(points, hair_outline(SKIN)) > 0)
    ears = skin & (ear > 0.5)
    front = torch.rad2deg(torch.atan2(x.abs(), z)) < BEFORE_EARS
    face = skin & ~hair & ~ears & front & (y > CHIN)
    return {"skin": skin, "face": face, "ears": ears, "scalp": skin & hair & ~ears, "neck": neck}


def recover(head: Head, truth: Tensor, views: int, size: int) -> Recovered:
    """Render a texture [S, S, 3] from some views of size², and take it back."""
    seconds: dict[str, float] = {}
    mark = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal mark
        seconds[name] = round(time.perf_counter() - mark, 3)
        mark = time.perf_counter()

    areas = regions(head, len(truth))
    lap("regions")
    seen = see(head, head.sample_identity(PERSON), surface(head, SKIN), standard_cameras(views, size))
    lap("see")
    pictures = flat(seen, truth)
    lap("flat")
    colours, weights = project(pictures, seen, len(truth), power=POWER)
    lap("backproject")
    del pictures, seen
    fused, weight = fuse(colours, weights)
    lap("fuse")
    best = best_view(weights)
    well = areas["skin"] & (weight > LEAST_COSINE**POWER)
    alone = colours.gather(0, best[None, ..., None].expand(1, *best.shape, 3))[0]
    sixty = areas["face"] & (weight > LEAST_COSINE**POWER)
    steps, everywhere = (seams(fused, truth, best, where) for where in (sixty, areas["face"] & (weight > 0)))
    gains = torch.tensor([1 + TINT * (-1) ** view for view in range(views)])
    linear = torch.from_numpy(srgb_to_linear(colours.clamp(0, 1).numpy())).float() * gains[:, None, None, None]
    unequal, _ = fuse(torch.from_numpy(linear_to_srgb(linear.numpy())).float(), weights)
    row = Row(
        size=size,
        views=views,
        psnr=psnr(fused, truth, well),
        psnr_best_view=psnr(alone, truth, well),
        coverage=percent(weight > 0, areas["face"]),
        under_60=percent(weight > LEAST_COSINE**POWER, areas["face"]),
        seam=100 * float(steps.max()),
        above_2=100 * float((steps > 0.02).float().mean()),
        seam_nowhere=100 * max(float(seams(fused, truth, moved, sixty).max()) for moved in _aside(best)),
        seam_anywhere=100 * float(everywhere.max()),
        unequal_seam=100 * float(seams(unequal, truth, best, areas["face"] & (weight > 0)).quantile(0.99)),
        seconds=seconds,
    )
    return Recovered(row, truth, fused, weight, best)


def tones(head: Head, views: int, size: int) -> dict[str, tuple[float, float]]:
    """ΔE*ab of each region after completion: over all of its texels, and over those that no view saw."""
    maps = surface_maps(head, size)
    base = paint(maps, BALD)
    painted = base[..., :3] * torch.tensor(OTHER_TONE)
    seen = see(head, head.sample_identity(PERSON), surface(head, BALD), standard_cameras(views, size))
    fused, weight = fuse(*project(flat(seen, painted), seen, size, power=POWER))
    done = complete(fused, weight, base, maps)
    areas = regions(head, size)
    areas["neck"] = areas["neck"] & torch.from_numpy(maps.masks["neckline"] > 0)  # above the shirt

    def apart(where: Tensor) -> float:
        found, true = (linear_to_lab(texture[where].double().mean(0).numpy()) for texture in (done, painted))
        return float(np.linalg.norm(found - true))

    names = ("face", "ears", "neck", "scalp")
    return {name: (apart(areas[name]), apart(areas[name] & (weight == 0))) for name in names}


def psnr(found: Tensor, truth: Tensor, where: Tensor) -> float:
    """Decibels, with a peak of 1."""
    return float(-10 * torch.log10(((found - truth)[where] ** 2).mean()))


def percent(what: Tensor, of: Tensor) -> float:
    """Share of a mask that another has."""
    return 100 * float((what & of).sum() / of.sum())


def seams(fused: Tensor, truth: Tensor, best: Tensor, where: Tensor) -> Tensor:
    """Steps [P] at the pairs of neighbouring texels whose best views differ, as shares of the luminance there."""
    window = len(best) // WINDOW + 1

    def smooth(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, (window, window), borderType=cv2.BORDER_CONSTANT), np.float32)

    ratios, supports = [], []
    for view in range(int(best.max()) + 1):
        own = (where & (best == view)).float().numpy()
        share = smooth(own)
        # Means of sRGB, then light: a mean of light would count detail that is lost beside the border as tone.
        means = [
            smooth(texture.numpy() * own[..., None]) / np.maximum(share, 1e-6)[..., None] for texture in (fused, truth)
        ]
        found, true = (srgb_to_linear(np.clip(mean, 0, 1)) @ LUMINANCE for mean in means)
        ratios.append(found / np.maximum(true, 1e-6))
        supports.append(share > SUPPORT)
    ratio, enough = torch.from_numpy(np.stack(ratios)), torch.from_numpy(np.stack(supports))
    steps = []
    for axis in (0, 1):
        count = len(best) - 1
        sides = [
            (best.narrow(axis, first, count)[None], where.narrow(axis, first, count),
             ratio.narrow(axis + 1, first, count), enough.narrow(axis + 1, first, count))
            for first in (0, 1)
        ]  # fmt: skip
        border = (sides[0][0] != sides[1][0])[0]
        for whose, known, _, supported in sides:
            border &= known & supported.gather(0, whose)[0]
        one, other = (own.gather(0, whose)[0][border] for whose, _, own, _ in sides)
        steps.append((one - other).abs())
    return torch.cat(steps)


def _aside(best: Tensor) -> list[Tensor]:
    """The map of who sees best, moved: its borders lie where nothing changes hands, but for a few crossings."""
    reach = 40 * len(best) // 1024
    return [torch.roll(best, (int(down * reach), int(right * reach)), (0, 1)) for down, right in ASIDE]


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| size | views | PSNR, dB | of the best view alone | coverage of the face, % | under 60°, % | seam, % "
        "| borders above 2 %, % | where no views meet, % | seam in folds too, % | of unequal views |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.size}² | {r.views} | {r.psnr:.1f} | {r.psnr_best_view:.1f} | {r.coverage:.1f} | {r.under_60:.1f} "
        f"| {r.seam:.2f} | {r.above_2:.2f} | {r.seam_nowhere:.2f} | {r.seam_anywhere:.2f} | {r.unequal_seam:.2f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def tone_table(rows: list[tuple[int, int, dict[str, tuple[float, float]]]]) -> str:
    """ΔE*ab as Markdown, "all (unseen)"."""
    lines = ["| size | views | face | ears | neck | scalp |", "|---|---|---|---|---|---|"]
    for size, views, found in rows:
        cells = " | ".join(f"{every:.1f} ({unseen:.1f})" for every, unseen in found.values())
        lines.append(f"| {size}² | {views} | {cells} |")
    return "\n".join(lines) + "\n"


def drawn(found: Recovered) -> Image.Image:
    """Truth, what came back, ten times their difference and which view sees best, side by side."""
    seen = found.weight > 0
    colours = torch.tensor([[90, 90, 90], [200, 90, 60], [60, 120, 200], [220, 170, 60], [90, 190, 120]]) / 255
    off = (10 * (found.fused - found.truth).abs() * seen[..., None]).clamp(0, 1)
    who = colours[found.best] * (found.weight.sqrt() * seen)[..., None]
    sheet = torch.cat([torch.cat([found.truth, found.fused], 1), torch.cat([off, who], 1)], 0)
    return Image.fromarray((sheet.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, help="folder of tables, rows and pictures; other sizes' rows there stay")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048])
    parser.add_argument("--views", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--tones", action="store_true", help="measure tones after completion, and nothing else")
    given = parser.parse_args()
    head = Head.default()
    if given.to:
        given.to.mkdir(parents=True, exist_ok=True)
    if given.tones:
        found = [(size, views, tones(head, views, size)) for size in given.sizes for views in given.views]
        print(tone_table(found))
        if given.to:
            write_durably(given.to / "tones.md", tone_table(found).encode())
        return
    for size in given.sizes:
        plain = linear_to_srgb(paint(surface_maps(head, size), SKIN)[..., :3].numpy())
        truth = known_texture(plain.astype(np.float32))
        for views in given.views:
            one = recover(head, truth, views, size)
            print(one.row, flush=True)
            if given.to:
                drawn(one).save(given.to / f"{size}_{views}.jpg", quality=80)
                keep(given.to, one.row)


def keep(folder: Path, row: Row) -> None:
    """Add a row to those of a folder, in the place of one of its size and views, and write the table anew."""
    kept = folder / "rows.jsonl"
    rows = [Row(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    others = [other for other in rows if (other.size, other.views) != (row.size, row.views)]
    rows = sorted([*others, row], key=lambda one: (one.size, one.views))
    write_durably(kept, "".join(json.dumps(asdict(one)) + "\n" for one in rows).encode())
    write_durably(folder / "table.md", table(rows).encode())


if __name__ == "__main__":
    main()
