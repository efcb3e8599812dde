"""How well the light in painted colours is found and taken out: `python -m benchmarks.delit OUT` writes table, sheet.

Several people, each made twice: who is asked for, and another skin of the same age, sex, ancestry and hair's shape that
is painted in their place. The other is rendered under 20 lights (presets, with the key at several azimuths), from three
views, to bytes, with the engine's relief (`--smooth` leaves it out); the pictures are back-projected and de-lit by a
prior that knows the first alone. The truth is the other's albedo, with the wrinkles that the face wears at rest, seen
by the same views without light and projected like the pictures: what the way there and back costs is not the light's
fault. `--tuning` takes people with other skins, on whom the fit's numbers were chosen.

Errors are root mean squares of linear albedo (and of its logarithm) over texels of the skin's chart that a view saw at
under 60 degrees, hair and brows with it. The hue's drift is that of the mean of cheeks and nose in CIELAB, in degrees.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pain3d import Head, paint, render, sample_skin, surface, surface_maps
from pain3d.colour import linear_to_lab, linear_to_srgb, typology_angle
from pain3d.head.identity import Identity, sample_identity
from pain3d.kernels.rendering.relief import detailed
from pain3d.light import LIGHTS, Light, key_azimuth
from pain3d.pipeline.texture.delighting import delight, linear_light
from pain3d.pipeline.texture.fusing import fuse
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.views import Seen, flat, see, standard_cameras, texel_surface
from pain3d.skin import Skin, SurfaceMaps
from pain3d.skin.compose import SCATTER
from pain3d.skin.maps import tone_texels

SEEDS: Final = (5, 77)  # of the skins that are asked for and painted
TUNING: Final = (105, 177)  # those on which the numbers of the fit were chosen
PEOPLE: Final = (
    ((25, 35), "male", "caucasian"), ((40, 50), "female", "african"), ((58, 66), "male", "asian"),
    ((22, 30), "female", "caucasian"), ((30, 40), "male", "african"),
)  # fmt: skip
AZIMUTHS: Final = (-50.0, 20.0, 75.0)  # of the key, degrees
COUNT: Final = 20
SHAPED: Final = ("hair_style", "hair_curl", "hair_density", "recession", "beard")
SHOWN: Final = (0, 15)  # of the lights, on the sheet
WELL_SEEN: Final = 0.25  # weight, cos²: 60 degrees
BARE: Final = 0.9  # scatter from which on a texel is skin, not hair
DARK: Final = 1e-3  # linear, below which a logarithm is not followed
GOAL: Final = 0.1
TILE: Final = 480


class Case(NamedTuple):
    """A person who was asked for, and who is painted."""

    seen: Seen
    maps: SurfaceMaps
    skin: Skin
    base: Tensor
    painted: Tensor


def lights() -> list[tuple[str, float]]:
    """Preset and azimuth of the key of each of the 20."""
    return [(name, azimuth) for azimuth, name in product(AZIMUTHS, LIGHTS)][:COUNT]


def people_of(number: int, head: Head, seeds: tuple[int, int] = SEEDS) -> tuple[Identity, Skin, Skin]:
    """Person `number` of `PEOPLE`: who, the skin that is asked for, and another in the same hair."""
    age, sex, ancestry = PEOPLE[number]
    who = sample_identity(seeds[0], number, head.local_names, age=age, sex=sex, ancestry=ancestry)
    asked, other = (sample_skin(seed, number, who.age, who.sex, who.ancestry) for seed in seeds)
    # Of the hair's shape the depth tells the painter.
    return who, asked, replace(other, **{name: getattr(asked, name) for name in SHAPED})


def case_of(number: int, head: Head, given: argparse.Namespace) -> Case:
    """Person `number` of `PEOPLE`, seen."""
    size = given.size
    who, asked, other = people_of(number, head, TUNING if given.tuning else SEEDS)
    maps = surface_maps(head, size)
    painted = paint(maps, other)
    painted[..., 3] *= given.oil
    if given.smooth:
        painted[..., 5:7] = 0
        painted[..., 8:] = 0
    seen = see(head, who, surface(head, asked), standard_cameras(3, given.pixels))
    return Case(seen, maps, asked, paint(maps, asked), painted)


def measured(case: Case, name: str, azimuth: float) -> tuple[dict[str, Any], tuple[Tensor, Tensor, Tensor]]:
    """A row of one light, and three textures: lit, de-lit, true."""
    light = Light.preset(name, azimuth_degrees=azimuth - key_azimuth(name))
    shot = render(case.seen.mesh, case.seen.cameras, light=light, texture=case.painted[None], outputs=("image",)).image
    assert shot is not None
    lit, weights = project(linear_light(shot.float() / 255), case.seen, case.maps.size)
    started = time.perf_counter()
    done = delight(lit, weights, case.seen, case.base, case.skin, case.maps)
    seconds = time.perf_counter() - started
    truth, _ = project(flat(case.seen, worn(case.seen, case.painted)), case.seen, case.maps.size)
    of_skin = torch.from_numpy((case.maps.part == case.maps.part_names.index("skin")) & case.maps.covered)
    well = (weights > WELL_SEEN) & of_skin
    textures = fuse(lit, weights)[0], fuse(done.albedo, weights)[0], fuse(truth, weights)[0]
    tone = [np.median(_tones(texture, case.maps), 0) for texture in textures]
    hue = [float(np.degrees(np.arctan2(*linear_to_lab(colour)[[2, 1]]))) for colour in tone]
    found = done.found.light.key_direction[0] @ light.key_direction[0]
    row: dict[str, Any] = {
        "light": name, "azimuth": azimuth, "key_off": float(torch.rad2deg(torch.arccos(found.clamp(-1, 1)))),
        "hue_drift_lit": hue[0] - hue[2], "hue_drift": hue[1] - hue[2],
        **dict(zip(("ita_lit", "ita_delit", "ita_true"), map(float, map(typology_angle, tone)), strict=True)),
        "seconds": seconds,
    }  # fmt: skip
    of_bare_skin = well & (torch.minimum(case.base[..., SCATTER], case.painted[..., SCATTER]) > BARE)
    for what, where in (("", well), ("skin_", of_bare_skin)):
        before, after = ((c - truth)[where].square().mean().sqrt().item() for c in (lit, done.albedo))
        logs = [(c.clamp(min=DARK).log() - truth.clamp(min=DARK).log())[where] for c in (lit, done.albedo)]
        log_before, log_after = (off.square().mean().sqrt().item() for off in logs)
        row |= {f"{what}lit": before, f"{what}delit": after, f"{what}ratio": after / before}
        row |= {f"{what}log_lit": log_before, f"{what}log_delit": log_after, f"{what}log_ratio": log_after / log_before}
    return row, textures


def _tones(texture: Tensor, maps: SurfaceMaps) -> np.ndarray[Any, np.dtype[np.float64]]:
    flat_texture = texture.flatten(0, 1).double().numpy()
    return np.stack([flat_texture[patch].mean(0) for patch in tone_texels(maps)])


def worn(seen: Seen, texture: Tensor) -> Tensor:
    """The albedo [S, S, 3] of a texture [S, S, 16] with the wrinkles that a face wears."""
    weights = seen.mesh.wrinkles
    if weights is None:
        return texture[..., :3].contiguous()
    faces, barycentrics = texel_surface(seen.head, len(texture))
    corners = seen.head.topology.faces.long()[faces.clamp(min=0).long()]
    albedo: Tensor = detailed(texture, torch.einsum("hwk,hwkc->hwc", barycentrics, weights[0][corners]))[0]
    return albedo


def table(rows: list[dict[str, Any]]) -> str:
    """What is left of the error of the lit texture, by light over people, then of all."""
    titles = ["light, key at", *(f"{what}, {of}" for what in ("error of skin", "with hair", "of skin's logarithm")
              for of in ("median", "worst")), "hue off, lit: worst", "de-lit: median", "worst",
              "ITA off, lit: worst", "de-lit: median", "worst"]  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", "|---|" + "---:|" * (len(titles) - 1)]
    held = sum(row["skin_ratio"] <= GOAL for row in rows)
    groups = [(f"{name} {azimuth:+.0f}°", [r for r in rows if (r["light"], r["azimuth"]) == (name, azimuth)])
              for name, azimuth in lights()]  # fmt: skip
    for title, some in [*groups, ("**all**", rows)]:
        numbers = []
        for key in ("skin_ratio", "ratio", "skin_log_ratio"):
            shares = [row[key] for row in some]
            numbers += [f"{np.median(shares):.1%}", f"{max(shares):.1%}"]
        for lit, left, true in (("hue_drift_lit", "hue_drift", None), ("ita_lit", "ita_delit", "ita_true")):
            before, after = (np.abs([row[key] - (row[true] if true else 0) for row in some]) for key in (lit, left))
            numbers += [f"{angle:.1f}°" for angle in (before.max(), np.median(after), after.max())]
        lines.append(f"| {title} | {' | '.join(numbers)} |")
    return "\n".join([*lines, "", f"{held} of {len(rows)} leave at most {GOAL:.0%} of the error of skin."]) + "\n"


def main() -> None:
    """Measure all, print and write."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("out", type=Path)
    asked.add_argument("--size", type=int, default=1024)
    asked.add_argument("--pixels", type=int, default=768)
    asked.add_argument("--people", type=int, default=len(PEOPLE))
    asked.add_argument(
        "--tuning", action="store_true", help="other skins: those on which the fit's numbers were chosen"
    )
    asked.add_argument("--oil", type=float, default=1.0, help="how much more the painted skin mirrors")
    asked.add_argument("--smooth", action="store_true", help="no relief and no wrinkles")
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    head, rows, tiles = Head.default(), [], []
    for number in range(given.people):
        case = case_of(number, head, given)
        shown: list[Tensor] = []
        for place, (name, azimuth) in enumerate(lights()):
            row, textures = measured(case, name, azimuth)
            rows.append({"person": number, **row})
            print({k: round(v, 3) if isinstance(v, float) else v for k, v in rows[-1].items()}, flush=True)
            if place in SHOWN:
                shown += [flat(case.seen, texture)[0] for texture in textures[: 2 + (place == SHOWN[-1])]]
        tiles.append(torch.cat(shown, 1))
    (given.out / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (given.out / "table.md").write_text(table(rows))
    sheet = Image.fromarray((linear_to_srgb(torch.cat(tiles).numpy()) * 255 + 0.5).astype(np.uint8))
    sheet = sheet.resize((TILE * len(shown), TILE * len(tiles)), Image.Resampling.LANCZOS)
    sheet.save(given.out / "sheet.jpg", quality=88)
    print(table(rows))


if __name__ == "__main__":
    main()
