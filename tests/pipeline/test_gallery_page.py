"""The gallery of a data set: in a real browser, offline, it shows what is asked for and runs nothing of the data."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pain3d.landmarks import GROUPS, LANDMARKS
from pain3d.pipeline import gallery_page
from pain3d.pipeline.data_set import open_data_set
from pain3d.pipeline.gallery_page import PAGE, write_gallery_page
from tests.conftest import Ran

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def made(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set in a folder of hostile name, with a hostile word in it, and its page."""
    out = tmp_path_factory.mktemp("gallery") / "<img src=x onerror=alert(1)>"
    shutil.copytree(small, out)
    path = next((out / "data" / "identities").glob("test-*"))
    table = pq.read_table(path)
    words = pa.array([HOSTILE] * len(table))
    pq.write_table(table.set_column(table.column_names.index("ancestry"), "ancestry", words), path)
    write_gallery_page(open_data_set(out))
    return out


@pytest.fixture
def page(browser: Browser, made: Path) -> Iterator[Page]:
    """The page at a desk, opened as a file; whatever it asks anybody for, and any error of its script, is a fault."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.on("pageerror", lambda error: asked.append(f"error: {error}"))
    opened.on("console", lambda said: asked.append(f"console: {said.text}"))
    address = (made / PAGE).as_uri()
    opened.goto(address)
    yield opened
    context.close()
    assert [url for url in asked if not url.startswith(("data:", "blob:")) and url != address] == []


def pains(out: Path) -> pd.DataFrame:
    frames = pd.read_parquet(out / "data" / "frames")
    return frames[~frames.neutral]


def shown(page: Page) -> set[str]:
    return set(page.eval_on_selector_all("#cards figure", "cards => cards.map(card => card.dataset.name)"))


def test_filters_leave_what_the_rows_say(page: Page, made: Path) -> None:
    rows = pains(made)
    assert shown(page) == set(rows.sample_id)
    assert page.text_content("#count") == f"{len(rows)} of {len(rows)} pain pictures"
    for name in ("age_group", "sex"):
        for value in rows[name].unique():
            page.select_option(f"[name={name}]", value)
            assert shown(page) == set(rows[rows[name] == value].sample_id)
        page.select_option(f"[name={name}]", "")
    page.select_option("[name=view]", "1")
    middle = int(rows.PSPI.median())
    page.select_option("[name=least]", str(middle))
    assert shown(page) == set(rows[(rows.view_id == 1) & (rows["PSPI"] >= middle)].sample_id)
    page.select_option("[name=least]", "16")
    page.select_option("[name=most]", "0")
    assert not shown(page) and page.is_visible("#none")
    page.click("[type=reset]")
    page.wait_for_selector("#cards figure")
    assert shown(page) == set(rows.sample_id) and page.is_hidden("#none")


def test_switches_change_what_a_card_shows(page: Page) -> None:
    card = page.locator("#cards figure").first
    neutral, heat, points = card.locator(".before"), card.locator(".after .heat"), card.locator(".after svg")
    assert (neutral.is_visible(), heat.is_visible(), points.is_visible()) == (True, False, False)
    page.check("[name=heat]")
    page.check("[name=points]")
    page.uncheck("[name=neutral]")
    assert (neutral.is_visible(), heat.is_visible(), points.is_visible()) == (False, True, True)
    loaded = "images => images.every(image => image.complete && image.naturalWidth === 64)"
    page.wait_for_function(f"({loaded})([...document.images])")
    assert page.is_visible("#key")


def test_landmarks_lie_where_the_row_says(page: Page, made: Path) -> None:
    row = pains(made).set_index("sample_id").loc["id000001_e02_v1"]
    drawn = page.get_attribute("[data-name=id000001_e02_v1] .after .dots", "d")
    assert drawn is not None
    points = [[float(x) for x in point.split()] for point in re.findall(r"M([^h]+)h0", drawn)]
    assert len(points) == LANDMARKS == sum(group.points for group in GROUPS)
    np.testing.assert_allclose(points, np.stack(row.landmarks_2d), atol=0.051)  # px: written to a tenth
    lines = page.get_attribute("[data-name=id000001_e02_v1] .after .lines", "d")
    assert lines is not None and lines.count("M") == 9 and lines.count("Z") == 4


def test_landmarks_of_smaller_copies_are_of_the_copies(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery_page, "SIDE", 56)  # as 224 of 256: JPEG decodes to just that
    text = (made / PAGE).read_text()
    try:
        write_gallery_page(open_data_set(made))
        found = re.search(r'id="content">(.*?)</script>', (made / PAGE).read_text())
    finally:
        (made / PAGE).write_text(text)
    assert found is not None
    content = json.loads(found[1])
    frames = pd.read_parquet(made / "data" / "frames").set_index("sample_id")
    for row in content["rows"]:
        wanted = np.stack(frames.loc[row["name"]].landmarks_2d) * (content["side"] / 64)
        np.testing.assert_allclose(np.reshape(row["points"], (-1, 2)), wanted, atol=0.051)
        picture = Image.open(io.BytesIO(base64.b64decode(row["image"].partition(",")[2])))
        assert picture.size == (56, 56)


def test_words_of_the_data_are_words(page: Page, made: Path) -> None:
    assert page.text_content("h1") == made.name and page.title() == f"{made.name}: gallery"
    assert HOSTILE in page.locator("[name=ancestry] option").all_text_contents()
    page.select_option("[name=ancestry]", HOSTILE)
    assert len(shown(page)) == 6 and HOSTILE in (page.text_content("#cards") or "")
    assert page.locator("[src=x]").count() == 0 and page.title() != "run"


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (320, "light"), (1280, "dark")])
def test_it_fits_a_phone_in_light_and_dark(browser: Browser, made: Path, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto((made / PAGE).as_uri())
    phone = width < 700
    assert page.is_visible("[name=sex]") is not phone
    if phone:
        page.click("summary")
    for name in ("neutral", "heat", "points"):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.set_checked(f"[name={name}]", not page.is_checked(f"[name={name}]"))
    red, green, blue = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (red + green + blue < 150) == (scheme == "dark")
    context.close()


def test_the_command_says_what_it_shows(pain3d: Callable[..., Ran], copy: Path) -> None:
    ran = pain3d("gallery", copy, "--people", "2")
    assert ran.code == 0
    size = (copy / PAGE).stat().st_size
    assert ran.out == f"{copy / PAGE}  2 of 4 people, 16 pictures, {size / 1e6:.1f} MB\n"
    text = (copy / PAGE).read_text()
    assert "of 2 of the 4 people" in text
    assert not re.search(r"(?:src|href|url)\W+https?:", text)
    assert pain3d("verify", copy).code == 0  # a page is no part of the data
    assert pain3d("gallery", copy, "--seed", "3").err.endswith("which it doesn't get\n")


def test_people_are_spread_over_the_cells(made: Path) -> None:
    page = write_gallery_page(open_data_set(made), 3)
    assert (page.people, page.of_people, page.pictures) == (3, 4, 24)
    assert page.bytes == (made / PAGE).stat().st_size
    write_gallery_page(open_data_set(made))


def test_sheets_are_not_written_among_other_things(pain3d: Callable[..., Ran], tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    ran = pain3d("gallery", tmp_path)
    assert ran.code == 2
    assert ran.err == f"pain3d: {tmp_path}: not empty, and not a folder of sheets: it holds letter.txt\n"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert "--people is of its page" in pain3d("gallery", tmp_path / "new", "--people", "2").err
