"""Knows what a refined picture's judge keeps and what it drops: `python -m benchmarks.refined --to FOLDER`.

Needs the detector of `make judge`. A picture of ours is compared with another of the same scene, in place of what a
painter makes of it. Harmless: only light, skin, colours, noise or sharpness differ. Harmful: a corner of the mouth is
pushed, a lid is closed or opened, lips part, brows fall. Light, skin, lids, lips and brows are rendered, the rest is
done to the picture.

Printed per change: the share that is kept, and how far each part of `steadiness.LIMITS` seems to move: median and 95th
percentile, per cent of the face's size. Limits stand where the harmless and the harmful part, nearer the harmless.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from pain3d import Head, render_scenes
from pain3d.face.landmarker import Landmarker
from pain3d.facs import AU_NUMBERS, ActionUnits
from pain3d.files import write_durably
from pain3d.judge.drawing import Tile, mosaic
from pain3d.pipeline.texture.refine import scene_conditions
from pain3d.pipeline.texture.steadiness import LIMITS, Bytes, Detector, Floats, face_size, movements
from pain3d.random import keyed_generator
from pain3d.rendering.scene_inputs import inputs_of
from pain3d.scene import CELLS, Scene, sample_scenes
from pain3d.setting import sample_light
from pain3d.skin import Skin

SEED: Final = 14
SIZES: Final = (512, 256)
# What of a skin changes while hair, beard and brows stay.
SKIN: Final = (
    "melanin", "haemoglobin", "carotene", "freckles", "age_marks", "lip_tint", "lip_gloss", "undereye", "flush",
    "oiliness", "eye_colour",
)  # fmt: skip
DIRECTIONS: Final = ((0, -1), (0, 1), (-1, 0), (1, 0))  # that a corner is pushed in
PUSHED: Final = (4, 6, 8)  # pixels at 512²
PUSH: Final = 0.06  # of the face's size: standard deviation of the bell that is pushed, a lip's corner
FACES: Final[Mapping[str, Mapping[int, tuple[float, float] | None]]] = {  # harmful: units that change, left and right
    "one lid closes or opens": {43: None},  # None: on the left the other way about
    "lips part or close (AU25)": {25: None},
    "jaw drops or closes (AU26)": {26: None, 27: (0, 0)},
    "brows fall or rise (AU4)": {4: None},
    "a corner is pulled (AU12 3, left)": {12: (3, 0)},
}


class Row(NamedTuple):
    """A comparison: what changed at which size, what seemed to move or who saw no face; the picture."""

    change: str
    harmless: bool
    size: int
    moved: dict[str, float] | str
    picture: Bytes

    @property
    def kept(self) -> bool:
        """Whether it would be."""
        return not isinstance(self.moved, str) and all(self.moved[part] <= LIMITS[part] for part in LIMITS)


def pushed(picture: Bytes, place: Floats, way: Floats, width: float) -> Bytes:
    """A picture in which what was at a place [2] is pushed by a way [2], both in pixels, in a bell of some width."""
    rows, columns = (axis.astype(np.float32) + 0.5 for axis in np.mgrid[: picture.shape[0], : picture.shape[1]])
    from_x, from_y = columns, rows
    for _ in range(10):  # each pixel's source, by iteration: the bell lies where it came from
        bell = np.exp(-((from_x - place[0]) ** 2 + (from_y - place[1]) ** 2) / (2 * width**2))
        from_x, from_y = columns - way[0] * bell, rows - way[1] * bell
    maps = (from_x - 0.5).astype(np.float32), (from_y - 0.5).astype(np.float32)
    return np.asarray(cv2.remap(picture, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def recoloured(picture: Bytes, rng: np.random.Generator) -> Iterator[tuple[str, Bytes]]:
    """The picture with other colours, noise and sharpness, by name."""
    light, unit = picture.astype(np.float32) / 255, picture.shape[0] / 512
    grain = cv2.GaussianBlur(rng.normal(size=light.shape[:2]).astype(np.float32), (0, 0), 1.5 * unit)
    soft, grey = cv2.GaussianBlur(light, (0, 0), 1.5 * unit), light.mean(2, keepdims=True)
    changed = {
        "gamma": light ** rng.uniform(0.7, 1.4),
        "contrast": (light - 0.5) * rng.uniform(0.8, 1.3) + 0.5 + rng.uniform(-0.08, 0.08),
        "white balance": light * rng.uniform(0.85, 1.15, 3),
        "saturation": grey + (light - grey) * rng.uniform(0.3, 1.7),
        "noise": light + rng.normal(0, 0.04, light.shape),
        "grain": light + 0.03 * (grain / grain.std())[..., None],
        "softer": soft,
        "sharper": 2 * light - soft,
    }
    for name, values in changed.items():
        yield name, np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 50])
    yield "JPEG 50", np.ascontiguousarray(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def other_face(au: ActionUnits, change: Mapping[int, tuple[float, float] | None]) -> ActionUnits:
    """Action units of which some are others."""
    sides = {number: (left, right) for number, (left, right) in zip(AU_NUMBERS, au.values, strict=True)}
    for number, wanted in change.items():
        left, right = sides[number]
        if wanted is None and number == 43:
            wanted = (1 - left, right)
        elif wanted is None:
            wanted = (0.0, 0.0) if left >= 2 else (4.0, 4.0)
        sides[number] = wanted
    return ActionUnits.of_sides(sides)


def compared(identity: int, size: int, detector: Detector) -> Iterator[Row]:
    """All changes of one person's neutral face and of one in pain, each from another view."""
    cell = CELLS[5 * identity % len(CELLS)]
    scenes = sample_scenes(seed=SEED, identity_id=identity, cell=cell, expressions=1, views=3, size=size)
    chosen = [scenes[identity % 3], scenes[3 + (identity + 1) % 3]]
    ours = render_scenes(chosen)
    shown = [views for _, views in scene_conditions(Head.default(), inputs_of(chosen, Head.default()))]
    for number, (scene, views) in enumerate(zip(chosen, shown, strict=True)):
        picture, marks = ours.image[number], views.landmarks[0].double().numpy()

        def row(change: str, harmless: bool, other: Bytes) -> Row:
            moved = movements(picture, other, marks, views.landmarks_visible[0].numpy(), detector)  # noqa: B023
            return Row(change, harmless, size, moved, other)

        others: list[tuple[str, bool, Scene]] = []
        for lamp in range(2):
            others.append(("light", True, replace(scene, light=sample_light(SEED + 1, identity, number, lamp))))
        for name, change in FACES.items():
            face = other_face(scene.au, change)
            if face != scene.au:
                others.append((name, False, replace(scene, au=face)))
        faces = [replace(other, expression_id=place) for place, (_, _, other) in enumerate(others)]
        for (name, harmless, _), other in zip(others, render_scenes(faces).image, strict=True):
            yield row(name, harmless, other)
        stranger = other_skin(scene.skin, identity)
        yield row("skin", True, render_scenes([replace(scene, skin=stranger)]).image[0])
        for name, other in recoloured(picture, keyed_generator(SEED, "recoloured", identity, number)):
            yield row(name, True, other)
        for pixels in PUSHED:
            for place, way in enumerate(DIRECTIONS):
                corner = 48 if (place // 2 + place + number) % 2 else 54
                step = np.array(way) * pixels * size / 512
                other = pushed(picture, marks[corner], step, PUSH * face_size(marks))
                yield row(f"a corner pushed {pixels} px (of 512)", False, other)


def other_skin(skin: Skin, identity: int) -> Skin:
    """Another person's tone, lines and lips under the same hair, brows and beard."""
    cell = CELLS[(5 * identity + 7) % len(CELLS)]
    other = sample_scenes(seed=SEED + 2, identity_id=identity, cell=cell, expressions=0, views=1, size=8)[0].skin
    return replace(skin, **{name: getattr(other, name) for name in SKIN})


def table(rows: list[Row]) -> str:
    """Markdown: a line per change and size."""
    lines = [
        "| size | change | pictures | kept | " + " | ".join(LIMITS) + " |",
        "|" + "---|" * (4 + len(LIMITS)),
        "| | limit | | | " + " | ".join(f"{limit:g}" for limit in LIMITS.values()) + " |",
    ]
    names = dict.fromkeys((row.size, row.harmless, row.change) for row in rows)
    for size, harmless, change in sorted(names, key=lambda name: (-name[0], not name[1], name[2])):
        some = [row for row in rows if (row.size, row.change) == (size, change)]
        told = [row.moved for row in some if not isinstance(row.moved, str)]
        spread = [
            np.percentile([moved[part] for moved in told], (50, 95)) if told else (np.nan,) * 2 for part in LIMITS
        ]
        kept = sum(row.kept for row in some)
        words = change if harmless else f"*{change}*"
        cells = " | ".join(f"{middle:.2f}, {most:.2f}" for middle, most in spread)
        lines.append(f"| {size} | {words} | {len(some)} | {kept} ({kept / len(some):.0%}) | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Compare, print the table, write it with a sheet of pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, help="folder of table.md and pictures.jpg")
    parser.add_argument("--identities", type=int, default=12)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[Row] = []
    with Landmarker() as detector:
        for identity in range(given.identities):
            for size in SIZES:
                rows += compared(identity, size, detector)
            print(identity, len(rows), flush=True)
    print(table(rows))
    if given.to:
        given.to.mkdir(parents=True, exist_ok=True)
        write_durably(given.to / "table.md", (table(rows) + "\n").encode())
        tiles = [Tile(row.picture, f"{'kept' if row.kept else 'dropped'}: {row.change}") for row in sheet(rows)]
        drawn = cv2.imdecode(np.frombuffer(mosaic(tiles), np.uint8), cv2.IMREAD_COLOR)
        write_durably(given.to / "pictures.jpg", cv2.imencode(".jpg", np.asarray(drawn))[1].tobytes())


def sheet(rows: list[Row]) -> list[Row]:
    """The first picture of each change at the largest size."""
    return list({row.change: row for row in reversed(rows) if row.size == SIZES[0]}.values())[::-1]


if __name__ == "__main__":
    main()
