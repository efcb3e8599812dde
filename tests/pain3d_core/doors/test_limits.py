"""The table of limits in SECURITY.md is that of the code."""

import re
from pathlib import Path

from pain3d.doors import limits


def test_the_page_shows_every_limit() -> None:
    rows = re.findall(r"^\| ([A-Z0-9_]+) \| ([\d,]+) \|", (Path(__file__).parents[3] / "SECURITY.md").read_text(), re.M)
    shown = {name: int(number.replace(",", "")) for name, number in rows}
    assert shown == {name: value for name, value in vars(limits).items() if name.isupper()}
