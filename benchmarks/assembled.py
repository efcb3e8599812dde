"""What a texture looks like and costs without its painter: `python -m benchmarks.assembled OUT` writes a sheet, prints.

The painter is the renderer: it photographs another skin, in the hair of the person who was asked for, under a lamp. The
texture that is made of its pictures is then seen from where nothing was painted, in other light, in pain; beside it, in
the last column, what it should be. Seconds are of the clock, by part; `processor` is of all threads.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.delit import PEOPLE, people_of
from benchmarks.textured import Photographer, photographed
from pain3d import ActionUnits, Camera, Head, paint, render, surface, surface_maps
from pain3d.head.identity import Identity
from pain3d.pipeline.texture.assemble import make_texture
from pain3d.pipeline.texture.painter import Prompt
from pain3d.skin import Skin

SIZE, TILE = 1024, 320
PAIN: Final = ActionUnits(AU4=5, AU6=4, AU9=4, AU43=1)
# Yaw, pitch, light, whether in pain; the last is shown twice, the second time with the true skin.
LOOKS: Final = (
    (20.0, 5.0, "window", False), (-75.0, 0.0, "outdoor", False), (140.0, 20.0, "overcast", False),
    (0.0, -25.0, "studio", True), (25.0, 5.0, "ward", True),
)  # fmt: skip


def looked_at(head: Head, who: Identity, skin: Skin, textures: list[Tensor]) -> list[Tensor]:
    """Pictures of `LOOKS` with the first texture, and of the last with the others."""
    pictures = []
    for place, (yaw, pitch, light, hurt) in enumerate(LOOKS):
        mesh = head(who, PAIN if hurt else None, surface=surface(head, skin))
        camera = Camera.orbit(yaw, pitch, distance=1.0, fov_degrees=18.5, size=2 * TILE)
        for texture in textures if place == len(LOOKS) - 1 else textures[:1]:
            shot = render(mesh, camera, light=light, texture=texture[None], image_dtype="float32").image
            assert shot is not None
            pictures.append(shot[0])
    return pictures


def main() -> None:
    """Make the textures, print what they took and what is wrong with them, write the sheet."""
    asked_for = argparse.ArgumentParser(description=__doc__)
    asked_for.add_argument("out", type=Path)
    asked_for.add_argument("--people", type=int, default=4)
    asked_for.add_argument("--views", type=int, default=5)
    asked_for.add_argument("--pixels", type=int, default=768)
    given = asked_for.parse_args()
    head, rows = Head.default(), []
    maps = surface_maps(head, SIZE)
    for number in range(min(given.people, len(PEOPLE))):
        who, asked, other = people_of(number, head)
        painter = Photographer(photographed(head, number, given.pixels, SIZE, given.views).pictures)
        busy = time.process_time()
        made = make_texture(
            head, (who, asked), painter, Prompt("", ""), 0, views=given.views, view_size=given.pixels, size=SIZE
        )
        seconds = {name: round(value, 3) for name, value in made.seconds.items()}
        print(number, seconds, {"processor": round(time.process_time() - busy, 3)}, flush=True)
        print(number, made.report.fields(), made.report.faults(), flush=True)
        pictures = looked_at(head, who, asked, [paint(maps, asked, made.albedo), paint(maps, other)])
        tiles = [interpolate(picture.permute(2, 0, 1)[None], size=(TILE, TILE), mode="area")[0].permute(1, 2, 0)
                 for picture in (made.pictures[0], *pictures)]  # fmt: skip
        rows.append(torch.cat(tiles, 1))
    given.out.mkdir(parents=True, exist_ok=True)
    sheet = (torch.cat(rows).numpy() * 255 + 0.5).astype(np.uint8)
    Image.fromarray(sheet).save(given.out / "photographed.jpg", quality=87)


if __name__ == "__main__":
    main()
