"""Knows how a judge measures skin tone: ITA° on the picture against what the skin's parameters ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pain3d.colour import linear_to_lab, typology_angle
from pain3d.console.progress import Progress
from pain3d.judge.drawing import TILE, Tile, mosaic, new_plot, saved
from pain3d.judge.measures import correlation, median
from pain3d.judge.studio import Pixels, frontal, photograph, skin_light, white_room
from pain3d.judge.verdict import Cell, Figure, Measure, Table, Verdict
from pain3d.pipeline.contact_sheet import fit, picture_of
from pain3d.pipeline.data_set import CELL, DataSet, Row, cell_name, scene_of

if TYPE_CHECKING:
    from torch import Tensor

    from pain3d.scene import Scene
    from pain3d.skin import Skin

Floats = npt.NDArray[np.floating]

LEAST_R = 0.95
DARKEST, LIGHTEST = -30.0, 55.0  # the range must go beyond both
FRONTAL_YAW = 25.0  # degrees: farther round, a cheek's patch leaves the cheek
# A cell counts as darker than asked if its mean lightness falls short by more than this: the just noticeable difference
# in CIELAB (Mahy, Van Eycken & Oosterlinck 1994).
MOST_DARKER = 2.3  # L*
COLUMNS = ("sample_id", "identity_id", "image", "landmarks_2d", "yaw_degrees", "scene", *CELL)


def judge_tone(data: DataSet, most: int, most_frames: int, quiet: bool) -> Verdict:
    """Photograph at most so many identities in a white room, and read the skin of at most so many frames."""
    people, textures = data.neutrals(most), data.textures
    asked, measured, tiles = [], [], []
    keep = data.spread(most_frames)
    frames: list[tuple[Row, Floats, Floats]] = []
    with Progress(len(people) + len(keep), quiet=quiet) as progress:
        for row in people:
            scene = scene_of(row)
            picture, light = in_a_white_room(scene, textures)
            asked.append(asked_albedo(scene.skin))
            measured.append(light)
            tiles.append(fit(picture, TILE))
            progress.add(1)
        for row in data.rows("frames", COLUMNS, keep):
            if abs(row["yaw_degrees"]) <= FRONTAL_YAW:
                seen = skin_light(picture_of(row), row["landmarks_2d"])
                if seen is not None:
                    frames.append((row, seen, asked_albedo(scene_of(row).skin)))
            row["image"] = None
            progress.add(1)
    return summarise(people, np.array(asked), np.array(measured), frames, tiles)


def in_a_white_room(scene: Scene, textures: Mapping[str, Tensor]) -> tuple[Pixels, Floats]:
    """The person's picture [S, S, 3] there and the light [3] of the skin, without hair: a fringe is no forehead."""
    from pain3d.facs.action_units import ActionUnits

    bald = replace(scene, skin=replace(scene.skin, hair_style="bald"))
    pictures, landmarks = photograph([frontal(bald, ActionUnits(), 0)], textures, light=white_room())
    light = skin_light(pictures[0], landmarks[0])
    assert light is not None, "a frontal face fills the picture"
    return pictures[0], light


def asked_albedo(skin: Skin) -> Floats:
    """Linear albedo [3] that a skin's melanin and haemoglobin ask for, without spots, flush or hair."""
    from pain3d.skin.chromophores import skin_albedo

    one = np.ones((1, 1), np.float32)
    return np.asarray(skin_albedo(one * skin.melanin, one * skin.haemoglobin)[0, 0], np.float64)


def summarise(
    people: list[Row],
    asked: Floats,
    measured: Floats,
    frames: list[tuple[Row, Floats, Floats]],
    tiles: list[npt.NDArray[np.uint8]],
) -> Verdict:
    """Correlation, range and cells.

    Args:
        people: A row per identity.
        asked: [P, 3] linear albedo that the parameters ask for.
        measured: [P, 3] linear light of the skin in the white room.
        frames: Row, linear light of the skin [3] and asked albedo [3] of each frame that was read.
        tiles: The pictures in the white room.
    """
    ita_asked, ita_seen = typology_angle(asked), typology_angle(measured)
    lightness = linear_to_lab(measured)[:, 0] - linear_to_lab(asked)[:, 0]
    cells = [cell_name(row) for row in people]
    rows, darkest = _cell_rows(cells, ita_asked, ita_seen, lightness)
    measures = [
        Measure("ITA° in a white room against asked, r", correlation(ita_asked, ita_seen), "", LEAST_R),
        Measure("darkest ITA° measured", float(ita_seen.min()), "°", most=DARKEST),
        Measure("lightest ITA° measured", float(ita_seen.max()), "°", LIGHTEST),
        Measure("lightness measured less asked, worst cell", darkest, "L*", -MOST_DARKER),
        Measure("ITA° measured less asked, mean", float((ita_seen - ita_asked).mean()), "°"),
    ]
    tables = [
        Table(
            "In a white room, by demographic cell",
            ("cell", "identities", "ITA° asked", "ITA° measured", "difference", "L* difference"),
            tuple(rows),
            "Neutral, frontal, uniform white environment of radiance 1, no key, no sensor noise: cheeks and forehead.",
        )
    ]
    if frames:
        tables.append(_frame_table(frames))
    figures = [Figure("tone", "ITA° asked and measured, a dot per identity; the line is equality.",
                      _scatter(ita_asked, ita_seen))]  # fmt: skip
    order = np.argsort(-ita_asked)
    chosen = order[np.linspace(0, len(order) - 1, min(12, len(order))).round().astype(int)]
    shown = [Tile(tiles[i], f"asked {ita_asked[i]:.0f}°, measured {ita_seen[i]:.0f}°") for i in chosen]
    figures.append(Figure("tone_white_room", "From light to dark in the white room.", mosaic(shown)))
    return Verdict(
        "tone",
        "Skin tone",
        f"{len(people)} identities photographed again without hair in a white room, where a matt surface shows its "
        f"albedo, and the skin of {len(frames)} frames (|yaw| ≤ {FRONTAL_YAW:g}°) as they are. Individual typology "
        "angle of the mean linear colour of both cheeks and the forehead. Asked: the albedo of the skin's melanin and "
        "haemoglobin.",
        measures,
        tables,
        figures,
        {
            "identities": len(people),
            "ita_asked": [round(float(v), 2) for v in ita_asked],
            "ita_measured": [round(float(v), 2) for v in ita_seen],
        },
    )


def _cell_rows(
    cells: list[str], asked: Floats, seen: Floats, lightness: Floats
) -> tuple[list[tuple[Cell, ...]], float]:
    """A row per cell, and the lightness of the worst of them, measured less asked."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, cell in enumerate(cells):
        groups[cell].append(place)
    offsets = {cell: float(lightness[places].mean()) for cell, places in groups.items()}
    rows: list[tuple[Cell, ...]] = [
        (
            cell,
            len(places),
            float(asked[places].mean()),
            float(seen[places].mean()),
            float((seen - asked)[places].mean()),
            offsets[cell],
        )
        for cell, places in sorted(groups.items())
    ]
    return rows, min(offsets.values())


def _frame_table(frames: list[tuple[Row, Floats, Floats]]) -> Table:
    """ITA° and lightness of the frames as they are, by ancestry axis and by cell."""
    groups: dict[str, list[tuple[Floats, Floats]]] = defaultdict(list)
    for row, seen, asked in frames:
        groups[cell_name(row)].append((seen, asked))
        groups[f"all {row['ancestry']}"].append((seen, asked))
        groups["all"].append((seen, asked))
    rows: list[tuple[Cell, ...]] = []
    for name, pairs in sorted(groups.items(), key=lambda item: (not item[0].startswith("all"), item[0])):
        seen, asked = (np.array([pair[i] for pair in pairs]) for i in (0, 1))
        rows.append(
            (
                name,
                len(pairs),
                median(typology_angle(asked)),
                median(typology_angle(seen)),
                median(linear_to_lab(asked)[:, 0]),
                median(linear_to_lab(seen)[:, 0]),
                median(seen.mean(1) / asked.mean(1)),
            )
        )
    return Table(
        "The frames as they are lit, medians",
        ("cell", "frames", "ITA° asked", "ITA° seen", "L* asked", "L* seen", "light / albedo"),
        tuple(rows),
        "Light / albedo is how bright the skin stands in the picture for its albedo: a darker cell would show a "
        "smaller number. It is bounded above where the tone map begins to compress.",
    )


def _scatter(asked: Floats, seen: Floats) -> bytes:
    figure, axes = new_plot(1, 1, 4.2, 3.8)
    axis = axes[0, 0]
    axis.plot([-60, 75], [-60, 75], color="#6b6965", linewidth=1)
    axis.scatter(asked, seen, s=14, color="#c2410c", alpha=0.7)
    axis.set(xlabel="ITA° asked", ylabel="ITA° measured on the picture", xlim=(-60, 75), ylim=(-60, 75))
    return saved(figure)
