"""The live look: its controls make a scene, and in a real browser a slider moves the picture where it should."""

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import solutions
from pain3d.live.look import Look, Person, formula, solution
from pain3d.live.portrait import Portrait, overlaid
from pain3d.live.saving import save_head, save_picture, save_row, save_scene
from pain3d.live.window import LiveWindow
from pain3d.rendering.frames import render_scenes
from pain3d.scene import CELLS, GROWN, PAINTED, Scene
from pain3d.setting import Pose
from tests.conftest import Ran

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SIZE = 128
PAIN = Look(Person(70.0, "male", "asian", 3), ActionUnits(AU4=4, AU6_L=3, AU12=2), Pose(neck_yaw=8.0), camera_yaw=-20.0)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveWindow]:
    """One that is served, with a small picture and texture."""
    opened = LiveWindow(tmp_path_factory.mktemp("view") / "saved", 0, SIZE, texels=256)
    thread = threading.Thread(target=opened.serve)
    thread.start()
    yield opened
    opened.close()
    thread.join()


def test_the_live_picture_is_the_scenes_own() -> None:
    """Of grown hair and shadows, then of the same person without, then of another: nothing stays of who was there."""
    scene, portrait = PAIN.scene(SIZE), Portrait(SIZE)
    assert scene.hair == GROWN and scene.light.size > 0
    plain = replace(scene, hair=PAINTED, light=replace(scene.light, size=0.0))
    pictures = []
    for shown in (scene, plain, replace(PAIN, person=Person(30.0)).scene(SIZE)):
        picture, heat = portrait.take(shown)
        frames = render_scenes([shown])
        np.testing.assert_array_equal(picture, frames.image[0])
        np.testing.assert_array_equal(heat, frames.heatmap[0])
        pictures.append(picture)
    assert (pictures[0] != pictures[1]).any()
    for other, said in ((replace(scene, texture="painted"), "texture"), (replace(scene, size=SIZE + 1), "pixels")):
        with pytest.raises(ValueError, match=said):
            portrait.take(other)


def test_a_heatmap_lies_over_what_moves_alone() -> None:
    picture, heat = np.full((2, 2, 3), 200, np.uint8), np.array([[0, 1], [2, 40]], np.float32)
    np.testing.assert_array_equal(overlaid(picture, heat, 0.0), picture)
    over = overlaid(picture, heat, 1.0)
    assert over[0, 0].tolist() == [200] * 3 and over[1, 1].tolist() == [255] * 3
    assert over[1, 0, 0] < 150 and over[1, 0, 1:].tolist() == [0, 0]  # 2 mm are dark red


def test_a_person_belongs_to_a_cell_of_the_grid() -> None:
    cells = {
        Person(age, sex, kind).cell
        for age in (18, 34, 54, 74, 95)
        for sex, kind in {(c.sex, c.ancestry) for c in CELLS}
    }
    assert cells == set(CELLS)


def test_another_solution_goes_through_all_of_them() -> None:
    for score in (0, 7, 16):
        every = {tuple(row) for row in solutions(score).tolist()}
        found = [tuple(solution(score, number).values()) for number in range(len(every))]
        assert set(found) == every and tuple(solution(score, len(every)).values()) == found[0]
    assert (
        formula(ActionUnits(AU4=4, AU6=2, AU7=3, AU43=1))
        == "PSPI 8 = 4 (AU4) + 3 (AU6, AU7) + 0 (AU9, AU10) + 1 (AU43)"
    )


def test_what_is_saved_can_be_read(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from pain3d.records import arrow_schema

    scene, row = save_scene(tmp_path / "new", PAIN), save_row(tmp_path / "new", PAIN)
    picture, head = save_picture(tmp_path / "new", PAIN, 1.0), save_head(tmp_path / "new", PAIN)
    names = [path.name for path in (scene, row, picture, head)]
    assert names == ["face-001.scene.json", "face-002.parquet", "face-003.png", "face-004.glb"]
    assert Image.open(picture).size == (1024, 1024)
    glb = head.read_bytes()
    told = json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])  # glTF 2.0, 4.4.3: the first chunk is JSON
    shapes = dict(zip(told["meshes"][0]["extras"]["targetNames"], told["meshes"][0]["weights"], strict=True))
    assert {name for name, weight in shapes.items() if weight} == {"AU04_L", "AU04_R", "AU06_L", "AU12_L", "AU12_R"}
    assert Scene.from_json(scene.read_text()) == PAIN.scene(512)
    table = pq.read_table(row)
    assert table.schema.equals(arrow_schema("frames")) and table.num_rows == 1
    (told,) = table.to_pylist()
    assert told["PSPI"] == 7 and told["AU06_L"] == 3 and told["AU06_R"] == 0 and told["split"] == "live"
    assert told["age"] == 70 and told["sex"] == "male" and told["yaw_degrees"] == pytest.approx(28, abs=0.1)
    assert Scene.from_json(told["scene"]).au == PAIN.au
    assert Image.open(io.BytesIO(told["image"]["bytes"])).size == (512, 512)


def test_what_cant_be_served_is_one_line(pain3d: Callable[..., Ran], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for options, said in (
        (("--size", 8), "--size must be"),
        (("--port", -1), "--port must be"),
        (("--out", file), "not a folder"),
    ):
        ran = pain3d("view", *options)
        assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1


def test_it_is_served_on_the_loopback_alone_and_opens_no_tunnel(window: LiveWindow) -> None:
    assert window.address.startswith("http://127.0.0.1:") and window.server.get_host() == "127.0.0.1"
    assert window.server.request_share_url() is None


@pytest.fixture(scope="module")
def page(browser: "Browser", window: LiveWindow) -> Iterator["Page"]:
    opened = browser.new_page(viewport={"width": 1280, "height": 800})
    opened.goto(window.address)
    opened.get_by_text("PSPI 0 =").wait_for()
    yield opened
    opened.close()


def shown(page: "Page") -> np.ndarray:
    """The picture that the page shows, [H, W, 3]."""
    script = """async () => {
        const blob = await fetch(document.querySelector('img[src^="blob:"]').src)
        return Array.from(new Uint8Array(await blob.arrayBuffer()))
    }"""
    return np.asarray(Image.open(io.BytesIO(bytes(page.evaluate(script))))).astype(int)


def control(page: "Page", label: str) -> str:
    """Selector of the control that stands beside a label."""
    return f'[id="{page.locator("label", has_text=re.compile(rf"^{label}$")).first.get_attribute("for")}"]'


def press(page: "Page", label: str, key: str, formula: str) -> None:
    """Press a key in a slider, and wait until the page tells the face that comes of it."""
    page.locator(f"{control(page, label)} [role=slider]").press(key)
    page.get_by_text(formula).wait_for()


def moved(before: np.ndarray, after: np.ndarray, rows: tuple[float, float], columns: tuple[float, float]) -> float:
    """Mean difference in levels within a part of the picture, as shares of its sides from top left."""
    box = tuple(slice(int(first * SIZE), int(last * SIZE)) for first, last in (rows, columns))
    return float(np.abs(after - before)[box].mean())


BROWS, CHIN = (0.33, 0.45), (0.6, 0.75)
EARS, HIS_RIGHT, HIS_LEFT = (0.3, 0.7), (0.3, 0.45), (0.55, 0.7)


def test_a_slider_moves_the_picture_where_it_should(page: "Page", window: LiveWindow) -> None:
    before = shown(page)
    assert before.shape == (SIZE, SIZE, 3)
    press(page, "AU4 brow lowerer", "End", "PSPI 5 = 5 (AU4)")
    frowning = shown(page)
    assert moved(before, frowning, BROWS, EARS) > 4 * moved(before, frowning, CHIN, EARS)
    press(page, "AU4 brow lowerer", "Home", "PSPI 0 =")
    assert np.abs(shown(page) - before).max() == 0  # the same face, the same bytes
    assert window.look().au == ActionUnits()


def test_sides_apart_move_one_side(page: "Page", window: LiveWindow) -> None:
    before = shown(page)
    page.locator(control(page, "sides linked")).uncheck()
    press(page, "AU4 brow lowerer, left", "End", "PSPI 5 = 5 (AU4)")
    assert window.look().au == ActionUnits(AU4_L=5)
    frowning = shown(page)
    assert moved(before, frowning, BROWS, HIS_LEFT) > 4 * moved(before, frowning, BROWS, HIS_RIGHT)
    page.locator(control(page, "sides linked")).check()
    page.get_by_text("AU4 brow lowerer, left").wait_for(state="detached")
    assert window.look().au == ActionUnits(AU4=5)
    press(page, "AU4 brow lowerer", "Home", "PSPI 0 =")


def test_a_score_has_more_than_one_face(page: "Page", window: LiveWindow) -> None:
    press(page, "PSPI", "ArrowRight", "PSPI 1 =")
    first = window.look().au
    page.get_by_role("button", name="another solution").click()
    page.get_by_text(formula(ActionUnits(**{f"AU{n}": v for n, v in solution(1, 1).items()}))).wait_for()
    second = window.look().au
    assert first.pspi() == second.pspi() == 1 and first != second
    press(page, "heat map", "End", "PSPI 1 =")
    press(page, "PSPI", "End", "PSPI 16 = 5 (AU4) + 5 (AU6, AU7) + 5 (AU9, AU10) + 1 (AU43)")
    picture = shown(page)
    assert np.mean((picture[..., 0] > 200) & (picture[..., 2] < 60)) > 0.01  # hot, as no skin is
    press(page, "heat map", "Home", "PSPI 16 =")
    press(page, "PSPI", "Home", "PSPI 0 =")


def test_a_button_saves_what_is_looked_at(page: "Page", window: LiveWindow) -> None:
    page.get_by_role("button", name="save scene").click()
    path = window.folder / "face-001.scene.json"
    page.get_by_text(str(path)).wait_for()
    assert Scene.from_json(path.read_text()) == window.look().scene(512)


def test_a_browser_may_send_anything(window: LiveWindow) -> None:
    controls = window._controls
    kept = {name: controls[name].value for name in ("AU4_L", "age", "sex", "AU43_L")}
    for name, value in (("AU4_L", 99.0), ("age", float("nan")), ("sex", "?"), ("AU43_L", 0.7)):
        controls[name].value = value
    look = window.look()
    assert look.au == ActionUnits(AU4=5, AU43=1) and look.person == Person(18.0, "female")
    for name, value in kept.items():
        controls[name].value = value
