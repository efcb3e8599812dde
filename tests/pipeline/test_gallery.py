"""The sheets show what they say: every cell of the grid once, every action unit, every rung of the ladder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pain3d.facs import ActionUnits
from pain3d.facs.action_units import AU_NUMBERS
from pain3d.pipeline.contact_sheet import CAPTION, GAP, MARGIN
from pain3d.pipeline.gallery import (
    CELL,
    CLOSE,
    FURTHER,
    LADDER,
    Sheet,
    draw_gallery,
    draw_sheet,
    gallery_sheets,
    rung,
    sum_of,
)
from pain3d.scene import AGE_GROUPS, CELLS
from pain3d.worn import CAP, SCARF


@pytest.fixture(scope="module")
def sheets() -> dict[str, Sheet]:
    return {sheet.name: sheet for sheet in gallery_sheets(seed=7, size=64)}


@pytest.mark.parametrize("score", range(17))
def test_a_rung_has_its_score_and_leaves_nothing_out_in_the_end(score: int) -> None:
    assert rung(score).pspi() == score


def test_rungs_rise_together() -> None:
    rungs = np.array([[rung(score)[number] for number in (4, 6, 7, 9, 10, 43)] for score in range(17)])
    assert (np.diff(rungs, axis=0) >= -1).all()  # whole numbers trade places by one at most
    assert rungs[:, 5].tolist() == [0] * 9 + [1] * 8
    assert rungs[0].tolist() == [0] * 6 and rungs[16].tolist() == [5, 5, 5, 5, 5, 1]


def test_people_stand_in_the_order_of_the_grid(sheets: dict[str, Sheet]) -> None:
    captions = [cell.caption for cell in sheets["people"].cells]
    assert captions == [f"{c.sex}, {c.age_group}, {c.ancestry}" for c in CELLS]
    ages = [cell.scene.skin.age for cell in sheets["people"].cells]
    bounds = np.repeat(list(AGE_GROUPS.values()), 6, axis=0)
    assert all(low <= age <= high for age, (low, high) in zip(ages, bounds, strict=True))


def test_other_sheets_show_what_they_are_for(sheets: dict[str, Sheet]) -> None:
    shown = [cell.scene.au.nonzero() for cell in sheets["units"].cells]
    assert shown[0] == {} and [list(face) for face in shown[1:]] == [[f"AU{number}"] for number in AU_NUMBERS]
    assert [cell.scene.au.pspi() for cell in sheets["ladder"].cells] == list(LADDER) * 4
    assert {cell.scene.au.pspi() for cell in sheets["strongest"].cells} == {16}
    rows = [(), ("shake",), ("defocus",), ("infrared",)]
    assert [cell.scene.effects for cell in sheets["camera"].cells] == [effects for effects in rows for _ in range(5)]
    assert [replace(cell.scene, au=ActionUnits()) for cell in sheets["strongest"].cells] == [
        cell.scene for cell in sheets["people"].cells
    ]
    assert max(abs(cell.scene.camera.yaw) for cell in sheets["profiles"].cells) == 80
    worn = {name for cell in sheets["coverings"].cells for name in cell.scene.worn}
    assert {CAP, SCARF} <= worn and not {CAP, SCARF} & {n for c in sheets["clinical"].cells for n in c.scene.worn}
    assert {cell.scene.hair for sheet in sheets.values() for cell in sheet.cells} == {"grown"}


def test_a_caption_says_what_the_score_is_the_sum_of(sheets: dict[str, Sheet]) -> None:
    assert sum_of(ActionUnits(AU4=1, AU6=2, AU7=3, AU10=4)) == "PSPI 8 = 1 AU4 + 3 AU6|7 + 4 AU9|10 + 0 AU43"
    captions = {cell.caption.split("\n")[1] for cell in sheets["strongest"].cells}
    assert captions == {"PSPI 16 = 5 AU4 + 5 AU6|7 + 5 AU9|10 + 1 AU43"}
    words = ImageFont.load_default(14)
    assert ImageDraw.Draw(Image.new("RGB", (1, 1))).textlength(*captions, words) < CELL  # not over its neighbour's


def test_the_close_up_is_drawn_twice_as_large(tmp_path: Path, sheets: dict[str, Sheet]) -> None:
    (cell,) = sheets["closeup"].cells
    assert (cell.scene.size, cell.scene.au.pspi(), cell.scene.au[43]) == (128, 8, 0)
    (path,) = draw_gallery(tmp_path / "new", seed=7, size=16, only=("closeup",))
    assert path == tmp_path / "new" / "closeup.jpg"
    sheet = Image.open(path)
    assert sheet.size == (2 * MARGIN + CLOSE, 2 * MARGIN + CLOSE + CAPTION + FURTHER)
    below = np.asarray(sheet)[MARGIN + CLOSE + CAPTION - 2 :]
    assert below.min() < 100 < 240 < below[FURTHER + 6 :].min()  # a second line, whole


def test_a_row_holds_all_sides_of_a_face(sheets: dict[str, Sheet]) -> None:
    profiles = sheets["profiles"]
    sheet = np.asarray(draw_sheet(replace(profiles, cells=profiles.cells[: profiles.columns])))
    assert sheet.shape[1] == 2 * MARGIN + 4 * CELL + 3 * GAP
    left, right = (sheet[MARGIN : MARGIN + CELL, MARGIN + k * (CELL + GAP) :][:, :CELL] for k in (0, 3))
    assert np.abs(left.astype(int) - right).mean() > 5  # another side of the face
