"""Charts are the same text every time, stand alone in a page, and hold what they were given."""

import re
from collections import Counter
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from pain3d import figures

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.random((2, 40))


def charts() -> dict[str, str]:
    """One of each kind."""
    one, group = ("r", 0.5, (0.4, 0.6)), ("r", -0.2, None)
    return {
        "bars": figures.bars(["a", "b <c>"], [3, 0], "name", "how many"),
        "stacked_bars": figures.stacked_bars(["AU04"], [[0.5, 0.5, 0, 0, 0, 0]], [list("abcdef")], "share"),
        "scatter": figures.scatter(X, Y, ("x", "y"), ((0, 1), (0, 1)), ticks=((0, 1), (0, 1)), levels=[("mean", 0.5)]),
        "count_grid": figures.count_grid(["r"], ["c", "d"], [[1, 0]], "female"),
        "box_plot": figures.box_plot([3], [X], ("true", "predicted"), (-1, 17)),
        "curves": figures.curves({"one": (X, Y)}, ("x", "y"), "even", {"one": X}),
        "grouped_bars": figures.grouped_bars({"AU04": [one, group], "AU06": [("r", None, None)]}, "r"),
        "dot_plot": figures.dot_plot({"sex": [("f", "12", 0.5, (0.4, 0.6)), ("m", "1", None, None)]}, "MAE", "n", 0.4),
    }


@pytest.mark.parametrize("name", charts())
def test_a_chart_stands_alone(name: str) -> None:
    text = charts()[name]
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img" and root.get("aria-label")
    assert [child for child in root.iter() if child.tag.endswith("title")], "nothing to point at"
    assert "<style" not in text  # it would be the whole page's
    assert not re.search(r"#[0-9a-f]{6}\b", re.sub(r"[(\"]#\w+", "", text)), "a colour that the page doesn't know"
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', text))
    assert used == set(re.findall(r' id="(\w+)"', text))
    assert not re.search("nan|inf|font-family", text)


def test_the_same_chart_is_the_same_text() -> None:
    once = charts()
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.fonttype": "path"}):  # of a user
        assert charts() == once


def test_no_id_is_twice_in_a_page() -> None:
    page = "".join(charts().values()) + figures.scatter(
        X, Y, ("x", "z"), ((0, 1), (0, 1)), ticks=((0, 1), (0, 1)), levels=[("mean", 0.5)]
    )
    ids = Counter(re.findall(r' id="([^"]*)"', page))
    assert len(ids) > 5 and max(ids.values()) == 1


def test_names_are_escaped_and_values_can_be_pointed_at() -> None:
    text = charts()["bars"]
    assert "<title>a: 3</title>" in text and "<title>b &lt;c&gt;: 0</title>" in text
    assert "<title>AU04 r: 0.500 (0.400 to 0.600)</title>" in charts()["grouped_bars"]


def test_nothing_to_draw() -> None:
    empty = np.empty(0)
    for text in (
        figures.bars([], [], "x", "y"),
        figures.scatter(empty, empty, ("x", "y"), ((0, 1), (0, 1)), ticks=((), ()), empty="no picture"),
        figures.box_plot([], [], ("x", "y"), (0, 1)),
        figures.curves({"none": (empty, empty)}, ("x", "y"), "even"),
        figures.grouped_bars({}, "r"),
    ):
        ElementTree.fromstring(text)
        assert "nan" not in text
    assert "no picture" in figures.scatter(empty, empty, ("x", "y"), ((0, 1),) * 2, ticks=((), ()), empty="no picture")


def test_points_say_their_looks_once() -> None:
    text = figures.scatter(np.arange(500), np.zeros(500), ("x", "y"), ((0, 500), (-1, 1)), ticks=((), ()))
    assert text.count("<use") == 500 and len(text) < 500 * 80
