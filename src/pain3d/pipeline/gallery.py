"""Knows the sheets by which faces are judged with the eye: people, action units, PSPI, profiles, hair, care, cloth.

Every sheet shows the same people in the same light, from the front, on a plain ground: what differs is the face.
Sheets `people` and `strongest` differ in the action units alone, cell by cell.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.facs import ActionUnits
from pain3d.facs.action_units import AU_NUMBERS, FACS_NAMES
from pain3d.facs.pain_score import PAIN_AUS, solutions
from pain3d.files import make_folders, write_durably
from pain3d.light import INFRARED, KEY_SIZES
from pain3d.optics import LAMPS_SIZE, STROKES, Optics, backdrop_blur, night_sensor
from pain3d.pipeline.contact_sheet import CAPTION, FAINT, GAP, INK, MARGIN, PAPER, fit
from pain3d.rendering.frames import render_scenes
from pain3d.scene import CELLS, GROWN, CameraSetting, LightSetting, Pose, Scene, Sensor, demographic_grid, sample_scenes
from pain3d.setting import drawn_camera
from pain3d.worn import BED, CANNULA, CAP, GLASSES, GOWN, MASK, SCARF

PEOPLE = len(CELLS)  # one of each cell of the grid
CELL = 316  # px: six columns make a sheet of about 2000 px
WIDE = 6
LADDER = tuple(range(0, 17, 2))
LADDER_PEOPLE = (2, 9, 13, 23)  # places in the grid: both sexes, all ages and ancestries
LADDER_CELL = 210
CLOSE = 1024  # px of the close-up
CLOSE_PLACE = 10  # in the grid: fringe, brows, lids, lips, teeth, beard and bare skin in one face
CLOSE_PSPI = 8  # the most with open eyes
WORN = (
    (CANNULA,),
    (GOWN, CANNULA),
    (GLASSES,),
    (GOWN, GLASSES),
    (MASK,),
    (GOWN, MASK),
    (GOWN, CANNULA, GLASSES),
    (GOWN,),
)
IN_CARE = (0, 4, 8, 9, 13, 17, 18, 22)  # places in the grid: all ages and ancestries, both sexes
COVERED = (
    (SCARF,),
    (GOWN, CANNULA, CAP),
    (GLASSES, SCARF),
    (GOWN, CAP),
    (GOWN, MASK, SCARF),
    (CAP,),
    (SCARF,),
    (GLASSES, CAP),
)
BELOW_CLOTH = (6, 19, 2, 11, 13, 3, 21, 16)  # places in the grid: likewise
BEDS = ((0.2, 0.15), (0.75, 0.85), (0.5, 0.02), (0.95, 0.6))  # pitch and roll of cameras at a bed, as they are drawn
PROFILE_YAWS = (-80.0, -40.0, 40.0, 80.0)
HAIR_YAWS = (0.0, -60.0)
FURTHER = 20  # px from a caption's line to the next
QUALITY = 90  # of the sheets' JPEG
CLOSE_QUALITY = 95
FRONTAL = CameraSetting(distance=1.0, focal_length_mm=72.0)  # a portrait lens
NEAR = replace(FRONTAL, focal_length_mm=110.0)  # as far off, so that the shape of the face stays: ears are at the edges
LENS = replace(FRONTAL, yaw=25.0, distance=1.1, focal_length_mm=85.0)  # so that an ear is seen, and it is far
CLEAR = 0.016  # blur of what stands behind, as a share of the height: the least that is drawn
GRAINY = Sensor(iso=200.0, mtf50=0.3)
TAKEN = (1, 8, 12, 15, 22)  # places in the grid: both sexes, all ancestries, pale and dark, hair and none
STUDIO = LightSetting(size=KEY_SIZES["studio"])
SENSOR = Sensor(exposure=0.3)  # stops: sheets have a white ground, on which what is metered looks dull
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Cell:
    """A face to show: its scene and what stands under it, a line or more."""

    scene: Scene
    caption: str


@dataclass(frozen=True)
class Sheet:
    """A named sheet of cells, `columns` a row, each `side` pixels; `quality` is that of its JPEG."""

    name: str
    columns: int
    side: int
    cells: tuple[Cell, ...]
    quality: int = QUALITY


def gallery_sheets(seed: int, size: int = 512) -> tuple[Sheet, ...]:
    """All sheets of the people of a seed, scenes only.

    Args:
        seed: Whose people: those of a data set of that seed.
        size: Pixels a side that a face is rendered at, before the sheet scales it; twice as many for the close-up.
    """
    people = [
        portrait(sample_scenes(seed=seed, identity_id=who, cell=cell, expressions=0, views=1, size=size, hair=GROWN)[0])
        for who, cell in enumerate(demographic_grid(PEOPLE, seed))
    ]
    named = sorted(zip(people, demographic_grid(PEOPLE, seed), strict=True), key=lambda p: CELLS.index(p[1]))
    everyone = [(scene, f"{cell.sex}, {cell.age_group}, {cell.ancestry}") for scene, cell in named]
    some = everyone[::2]  # every other cell: all ages, sexes and ancestries
    strongest = ActionUnits(**{f"AU{number}": 1 if number == 43 else 5 for number in PAIN_AUS})
    units = [(ActionUnits(), "neutral")] + [
        (ActionUnits(**{f"AU{number}": 1 if number == 43 else 5}), f"AU{number} {FACS_NAMES[number]}")
        for number in AU_NUMBERS
    ]
    ladder = [
        Cell(_face(scene, rung(score)), f"PSPI {score}")
        for scene, _ in (everyone[place] for place in LADDER_PEOPLE)
        for score in LADDER
    ]
    profiles = [
        Cell(replace(scene, camera=replace(FRONTAL, yaw=yaw)), f"{who} {yaw:+.0f}°")
        for scene, who in everyone[1::4]
        for yaw in PROFILE_YAWS
    ]
    hair = [
        Cell(replace(scene, camera=replace(FRONTAL, yaw=yaw)), who if yaw == 0 else f"{who} {yaw:+.0f}°")
        for scene, who in some
        for yaw in HAIR_YAWS
    ]
    dropped = ActionUnits(**rung(12).nonzero(), AU27=5)
    near, who = everyone[CLOSE_PLACE]
    close_up = _face(replace(near, size=2 * size, camera=NEAR), rung(CLOSE_PSPI))
    return (
        Sheet("people", WIDE, CELL, tuple(Cell(scene, who) for scene, who in everyone)),
        Sheet("units", 5, CELL, tuple(Cell(_face(everyone[8][0], au), name) for au, name in units)),
        Sheet("ladder", len(LADDER), LADDER_CELL, tuple(ladder)),
        Sheet(
            "strongest",
            WIDE,
            CELL,
            tuple(Cell(_face(scene, strongest), f"{who}\n{sum_of(strongest)}") for scene, who in everyone),
        ),
        Sheet("profiles", len(PROFILE_YAWS), CELL, tuple(profiles)),
        Sheet("hair", WIDE, CELL, tuple(hair)),
        Sheet("clinical", WIDE, CELL, tuple(_dressed(everyone, WORN, IN_CARE, rung(12), "PSPI 12"))),
        Sheet("coverings", WIDE, CELL, tuple(_dressed(everyone, COVERED, BELOW_CLOTH, dropped, "PSPI 12, AU27 5"))),
        Sheet("camera", len(TAKEN), CELL, tuple(_by_camera([everyone[place] for place in TAKEN]))),
        Sheet("closeup", 1, CLOSE, (Cell(close_up, f"{who}\n{sum_of(close_up.au)}"),), CLOSE_QUALITY),
    )


def _dressed(
    everyone: Sequence[tuple[Scene, str]],
    things: Sequence[tuple[str, ...]],
    places: Sequence[int],
    au: ActionUnits,
    told: str,
) -> Iterator[Cell]:
    """What people at some places wear: from the front and the side, at rest and in pain, and at a bed."""
    for worn, place in zip(things, places, strict=True):
        scene, who = everyone[place]
        dressed = replace(scene, worn=worn)
        yield Cell(dressed, ", ".join(worn))
        yield Cell(replace(_face(dressed, au), camera=replace(FRONTAL, yaw=-40.0)), told)
        lying = drawn_camera((0.5, 0.5, 0.9, 0.5, 0.5, 0.5, 0.5), bed=BEDS[place % len(BEDS)])
        at_bed = replace(dressed, worn=(BED, *worn), camera=lying, sensor=replace(SENSOR, exposure=0.0))
        yield Cell(at_bed, f"at a bed: {who}")


def _by_camera(some: Sequence[tuple[Scene, str]]) -> Iterator[Cell]:
    """People in a ward as a plain camera sees them, then shaken, through an open lens, and at night; a row each."""
    taken = [
        (replace(scene, camera=LENS, sensor=GRAINY, background="ward", background_blur=CLEAR), who)
        for scene, who in some
    ]
    yield from (Cell(scene, who) for scene, who in taken)
    shaken, wide = Optics(shake=STROKES[1], shake_angle=30.0), Optics(f_number=1.8)
    yield from (Cell(replace(scene, optics=shaken), "shaken: 2 % of the height") for scene, _ in taken)
    soft = backdrop_blur(LENS, wide.f_number)
    opened = (replace(scene, optics=wide, background_blur=soft) for scene, _ in taken)
    yield from (Cell(scene, f"85 mm at f/{wide.f_number}") for scene in opened)
    dark = LightSetting(INFRARED, azimuth=3.0, elevation=2.0, size=LAMPS_SIZE)
    night = (replace(scene, light=dark, sensor=night_sensor(GRAINY)) for scene, _ in taken)
    yield from (Cell(scene, "night, 850 nm") for scene in night)


def rung(score: int) -> ActionUnits:
    """Of all faces with a PSPI the one nearest to equal shares of its action units; eyes shut above 8."""
    candidates = solutions(score)
    distance = np.abs(candidates[:, :5] - 5 * score / 16).sum(1)
    distance += 100 * (candidates[:, 5] != (score > 8))
    nearest = candidates[int(distance.argmin())]
    return ActionUnits(**{f"AU{number}": float(value) for number, value in zip(PAIN_AUS, nearest, strict=True)})


def sum_of(au: ActionUnits) -> str:
    """What a PSPI is the sum of; of two units with a bar between them the stronger counts (Prkachin & Solomon 2008)."""
    terms = (("AU4", au[4]), ("AU6|7", max(au[6], au[7])), ("AU9|10", max(au[9], au[10])), ("AU43", au[43]))
    return f"PSPI {au.pspi():g} = " + " + ".join(f"{value:g} {name}" for name, value in terms)


def draw_gallery(out: Path, seed: int, size: int = 512, only: Sequence[str] = ()) -> Iterator[Path]:
    """Render and write each sheet to ``out/<name>.jpg``; yields the paths as they are written.

    Raises:
        RefusedError: The folder holds something that is no sheet; nothing was written.
    """
    sheets = gallery_sheets(seed, size)
    ours = {f"{sheet.name}.jpg" for sheet in sheets}
    foreign = sorted(path.name for path in out.iterdir() if path.name not in ours) if out.is_dir() else []
    if foreign:
        raise RefusedError(f"{out}: not empty, and not a folder of sheets: it holds {foreign[0]}")
    make_folders(out)
    for sheet in sheets:
        if only and sheet.name not in only:
            continue
        path = out / f"{sheet.name}.jpg"
        picture = io.BytesIO()
        draw_sheet(sheet).save(picture, "JPEG", quality=sheet.quality)
        write_durably(path, picture.getvalue())
        yield path


def draw_sheet(sheet: Sheet, textures: Mapping[str, Tensor] | None = None) -> Image.Image:
    """The picture of a sheet; textures [S, S, 3] by name where its scenes name any."""
    rows = -(-len(sheet.cells) // sheet.columns)
    more = max(cell.caption.count("\n") for cell in sheet.cells) * FURTHER
    step, line = sheet.side + GAP, sheet.side + CAPTION + more + GAP
    drawn = Image.new("RGB", (2 * MARGIN + sheet.columns * step - GAP, 2 * MARGIN + rows * line - GAP), PAPER)
    draw = ImageDraw.Draw(drawn)
    for number, picture in pictures((cell.scene for cell in sheet.cells), textures):
        left, top = MARGIN + number % sheet.columns * step, MARGIN + number // sheet.columns * line
        drawn.paste(Image.fromarray(fit(picture, sheet.side)), (left, top))
        for place, caption in enumerate(sheet.cells[number].caption.split("\n")):
            words = ImageFont.load_default(14 if place else 15)  # a sum is as wide as a cell
            at = left + sheet.side / 2 - draw.textlength(caption, words) / 2, top + sheet.side + 5 + place * FURTHER
            draw.text(at, caption, INK if caption.startswith("PSPI") else FAINT, words)
    return drawn


def pictures(scenes: Iterable[Scene], textures: Mapping[str, Tensor] | None = None) -> Iterator[tuple[int, Pixels]]:
    """The picture of each scene with its place; scenes of one person are rendered together."""
    people: dict[int, list[tuple[int, Scene]]] = {}
    for place, scene in enumerate(scenes):
        people.setdefault(scene.identity_id, []).append((place, scene))
    for group in people.values():
        # Scenes that share an expression number share a mesh: each face gets a number of its own.
        numbered = [replace(scene, expression_id=number) for number, (_, scene) in enumerate(group)]
        image = render_scenes(numbered, textures=textures).image
        yield from ((place, picture) for (place, _), picture in zip(group, image, strict=True))


def portrait(scene: Scene) -> Scene:
    """The same person, still, from the front in studio light, on a plain ground."""
    return replace(
        scene, camera=FRONTAL, light=STUDIO, sensor=SENSOR, pose=Pose(), background="gradient", au=ActionUnits()
    )


def _face(scene: Scene, au: ActionUnits) -> Scene:
    return replace(scene, au=au)
