"""The sheets show what they say: every cell of the grid once, every action unit, every rung of the ladder."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pain3d.facs.action_units import AU_NUMBERS
from pain3d.pipeline.contact_sheet import GAP, MARGIN
from pain3d.pipeline.gallery import CELL, LADDER, Sheet, draw_gallery, gallery_sheets, rung
from pain3d.scene import AGE_GROUPS, CELLS


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
    assert len({cell.scene.identity_id for cell in sheets["strongest"].cells}) == 12
    assert max(abs(cell.scene.camera.yaw) for cell in sheets["profiles"].cells) == 80
    assert {cell.scene.hair for sheet in sheets.values() for cell in sheet.cells} == {"grown"}


def test_a_sheet_is_written_with_all_its_pictures(tmp_path: Path) -> None:
    paths = list(draw_gallery(tmp_path / "new", seed=7, size=64, only=("profiles",)))
    assert paths == [tmp_path / "new" / "profiles.jpg"]
    sheet = np.asarray(Image.open(paths[0]))
    assert sheet.shape[1] == 2 * MARGIN + 4 * CELL + 3 * GAP
    left, right = (sheet[MARGIN : MARGIN + CELL, MARGIN + k * (CELL + GAP) :][:, :CELL] for k in (0, 3))
    assert np.abs(left.astype(int) - right).mean() > 5  # another side of the face
