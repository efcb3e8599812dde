"""How well textures go on where no view saw them: `python -m benchmarks.completed OUT` prints and writes a table.

Held-out procedural people: the small model was not taught on them. What 1, 3 and 5 views see of each is given; the rest
comes of push–pull over the chart alone, of push–pull over a procedural base whose tone is matched
(`completion.complete`), and of the small model. The base is another draw of the same age, sex and ancestry: it has
another tone, other hair and another shirt, as a painter's picture has. Measured on unseen texels of skin's and neck's
charts, in sRGB: PSNR, and MS-SSIM (Wang et al. 2003), whose maps are averaged over those texels alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from pain3d import Head, paint, sample_skin, surface_maps
from pain3d.colour import linear_to_srgb
from pain3d.pipeline.texture.completion import complete
from pain3d.pipeline.texture.skin_model import SkinModel
from pain3d.pipeline.texture.skin_model.held_out import Case, by_push_pull, psnr, seen_weights
from pain3d.pipeline.texture.views import standard_cameras
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.photographed import photographable

SEED: Final = 1402  # the model is taught on people of seed 1401
SIZE: Final = 512
SHARES: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, Wang et al. 2003, section 3.2
SHOWN: Final = 4  # people on the sheet, one view each


def held_out(number: int, head: Head) -> Case:
    """A person and another of the same age, sex and ancestry."""
    who, maps = head.sample_identity(SEED, number), surface_maps(head, SIZE)
    skins = [sample_skin(SEED + k, number, who.age, who.sex, who.ancestry) for k in range(2)]
    true, base = (paint(maps, skin) for skin in skins)
    return Case(number, true[..., :3].contiguous(), base, who, skins[1])


def score(done: Tensor, true: Tensor, unseen: Tensor) -> tuple[float, float]:
    """PSNR in dB and MS-SSIM of the texels `unseen` [S, S] bool; what else there is on the pictures is made equal."""
    mixed = torch.where(unseen[..., None], done, true)
    one, other = (
        torch.from_numpy(linear_to_srgb(t.numpy()).astype(np.float32)).permute(2, 0, 1)[None] for t in (mixed, true)
    )
    return psnr(done, true, unseen), _ms_ssim(one, other, unseen.float()[None, None])


def _ms_ssim(one: Tensor, other: Tensor, where: Tensor) -> float:
    offsets = torch.arange(11) - 5.0
    line = torch.exp(-(offsets**2) / (2 * 1.5**2))
    window = (torch.outer(line, line) / line.sum() ** 2).expand(3, 1, 11, 11)

    def mean(x: Tensor) -> Tensor:
        return conv2d(x, window, padding=5, groups=3)

    product = 1.0
    for number, share in enumerate(SHARES):
        a, b = mean(one), mean(other)
        structure = (2 * (mean(one * other) - a * b) + 0.03**2) / (
            mean(one**2) - a**2 + mean(other**2) - b**2 + 0.03**2
        )
        last = number == len(SHARES) - 1
        of = structure * (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2) if last else structure
        product *= max(float((of * where).sum() / where.sum() / 3), 0.0) ** share
        one, other, where = (avg_pool2d(x, 2) for x in (one, other, where))
    return product


def main() -> None:
    """Complete each person by each way, print means, write rows, means and a sheet."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("out", type=Path)
    asked.add_argument("--people", type=int, default=24)
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    head, model = Head.default(), SkinModel.default()
    maps: SurfaceMaps = surface_maps(head, SIZE)
    charted = torch.from_numpy(photographable(maps) & maps.covered)

    def modelled(steps: int, detail: float) -> Callable[[Case, Tensor], Tensor]:
        return lambda case, weight: model.sample(
            case.base, maps, case.who, case.number, case.true, weight, steps=steps, detail=detail
        )

    ways: dict[str, Callable[[Case, Tensor], Tensor]] = {
        "push-pull": by_push_pull,
        "push-pull over the base": lambda case, weight: complete(case.true, weight, case.base, maps),
        "model, without fine detail": modelled(1, 0.0),
        "model": modelled(1, 1.0),
        "model, 8 steps": modelled(8, 1.0),
    }
    rows: list[dict[str, Any]] = []
    tiles = []
    for number in range(given.people):
        case = held_out(number, head)
        three, five = (seen_weights(case, head, standard_cameras(count, SIZE)) for count in (3, 5))
        for views, weight in ((1, three[0]), (3, three.sum(0)), (5, five.sum(0))):
            unseen, pictures = charted & (weight <= 0), [case.true, case.true * (weight > 0)[..., None]]
            for way, fill in ways.items():
                started = time.perf_counter()
                done = fill(case, weight)
                spent = time.perf_counter() - started
                found, ssim = score(done, case.true, unseen)
                rows.append({
                    "person": number, "views": views, "way": way, "psnr": round(found, 3), "ms_ssim": round(ssim, 4),
                    "unseen": round(float(unseen.sum() / charted.sum()), 3), "seconds": round(spent, 3),
                })  # fmt: skip
                pictures.append(torch.where(charted[..., None], done, 0))
            if views == 1 and number < SHOWN:
                tiles.append(torch.cat(pictures, 1))
        print(f"person {number + 1} of {given.people}", flush=True)
    sheet = (255 * linear_to_srgb(torch.cat(tiles).numpy())).round().astype(np.uint8)
    Image.fromarray(sheet).save(given.out / "sheet.jpg", quality=90)
    (given.out / "people.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (given.out / "README.md").write_text(table(rows, list(ways)))
    print(table(rows, list(ways)))


def table(rows: list[dict[str, Any]], ways: list[str]) -> str:
    """Means over people, a line for each number of views and way."""
    lines = [
        "| views | unseen | way | PSNR, dB | MS-SSIM | better than push-pull over the base |",
        "|---|---|---|---|---|---|",
    ]
    for views in sorted({row["views"] for row in rows}):
        of = {way: [row for row in rows if row["views"] == views and row["way"] == way] for way in ways}
        for way in ways:
            mean = {name: np.mean([row[name] for row in of[way]]) for name in ("unseen", "psnr", "ms_ssim")}
            better = sum(a["psnr"] > b["psnr"] for a, b in zip(of[way], of["push-pull over the base"], strict=True))
            lines.append(
                f"| {views} | {mean['unseen']:.1%} | {way} | {mean['psnr']:.2f} | {mean['ms_ssim']:.4f} "
                f"| {better} of {len(of[way])} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
