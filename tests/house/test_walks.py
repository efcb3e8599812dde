"""The walks of CONTRIBUTING.md lead through names that are there, each named in a file that was passed before."""

import re
from pathlib import Path

import pytest

PACKAGE = Path("src/pain3d")
LONGEST = 15  # stops
STOP = re.compile(r"^\d+\. `([\w/]+\.py)` · `(\w+)`", re.MULTILINE)


def walks(page: str) -> list[list[tuple[str, str]]]:
    """The stops (file, name) of each walk of a page."""
    part = page.partition("## Three walks")[2].partition("\n## ")[0]
    return [STOP.findall(walk) for walk in part.split("\n### ")[1:]]


def wrong_turns(walk: list[tuple[str, str]], package: Path) -> list[str]:
    """Stops whose name is not in their file, or that no file passed before names."""
    wrong, passed = [], ""
    for file, name in walk:
        source = (package / file).read_text() if (package / file).is_file() else ""
        if not re.search(rf"^(?:def |class |){name}\b(?:\(|:| =)", source, re.MULTILINE):
            wrong.append(f"{file} has no {name}")
        elif passed and not re.search(rf"\b{name}\b", passed):
            wrong.append(f"nothing before {file} names {name}")
        passed += source
    return wrong


def test_walks_lead_through_the_house(root: Path) -> None:
    found = walks((root / "CONTRIBUTING.md").read_text())
    assert len(found) == 3 and all(2 < len(walk) <= LONGEST for walk in found)
    assert [turn for walk in found for turn in wrong_turns(walk, root / PACKAGE)] == []


@pytest.mark.parametrize(
    ("walk", "says"),
    [
        ([("scene.py", "Gone")], "scene.py has no Gone"),
        ([("gone.py", "main")], "gone.py has no main"),
        (
            [("random.py", "keyed_generator"), ("scene.py", "sample_scenes")],
            "nothing before scene.py names sample_scenes",
        ),
    ],
)
def test_a_wrong_turn_is_seen(walk: list[tuple[str, str]], says: str, root: Path) -> None:
    assert wrong_turns(walk, root / PACKAGE) == [says]
    assert walks("## Three walks\n### One\n1. `a/b.py` · `c`: d\n\n## Next\n1. `e.py` · `f`") == [[("a/b.py", "c")]]
