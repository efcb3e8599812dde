"""Knows the gallery of a data set: one HTML page of its faces to look through, with nothing loaded from elsewhere.

The pictures lie in Parquet, where a browser can't reach them from a file: the page carries small copies, of some people
where a data set has many. Everything else (filters, heatmaps, landmarks) is done by the page's own script.
"""

from __future__ import annotations

import base64
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from pain3d.console.page import html_page
from pain3d.encoding import encode_image, encode_ramp
from pain3d.facs.action_units import AU_COLUMNS
from pain3d.files import write_inside
from pain3d.landmarks import GROUPS
from pain3d.pipeline.contact_sheet import farthest, fit, heatmap_of, picture_of
from pain3d.pipeline.data_set import CELL, DataSet, Row
from pain3d.rendering.heatmap import COLOUR_LIMIT_MM, colourise

PAGE: Final = "report/gallery.html"  # beside the report, to which it has a link
PEOPLE: Final = 24  # as many as there are demographic cells
PICTURES: Final = 1000  # at most, as long as nobody asks for a number of people: a page of some 12 MB
SIDE, QUALITY, HEAT_QUALITY = 224, 82, 70  # of the copies: about 8 kB a picture and 4 kB a heatmap
COLUMNS: Final = (
    "sample_id", "identity_id", "expression_id", "view_id", "neutral", "image", "heatmap", "heatmap_unit_mm",
    "landmarks_2d", "yaw_degrees", "pitch_degrees", "PSPI", *AU_COLUMNS,
)  # fmt: skip


class Written(NamedTuple):
    """What was written where: people of so many, pictures, bytes."""

    path: Path
    people: int
    of_people: int
    pictures: int
    bytes: int


def write_gallery_page(data: DataSet, people: int = 0) -> Written:
    """Write the page into the data set's folder.

    Args:
        data: The data set.
        people: How many of its people, spread evenly over the demographic cells; 0 is as many as there are cells, or
            fewer where that is more than `PICTURES`.
    """
    everybody = data.columns("identities", ("identity_id", "split", *CELL))
    frames = data.columns("frames", ("sample_id", "identity_id"))
    total = len(everybody["identity_id"])
    each = len(frames["sample_id"]) // total
    shown = _spread(everybody, people or max(1, min(PEOPLE, PICTURES // each)))
    wanted = set(shown)
    keep = {name for name, who in zip(frames["sample_id"], frames["identity_id"], strict=True) if who in wanted}
    cells = {who: dict(zip(CELL, cell, strict=True)) for who, *cell in _rows(everybody, ("identity_id", *CELL))}
    splits = dict(_rows(everybody, ("identity_id", "split")))
    side = min(SIDE, int(data.resolved["size"]))
    rows = [_shown(row, side, side / data.resolved["size"]) for row in data.rows("frames", COLUMNS, keep)]
    place = {who: number for number, who in enumerate(shown)}
    rows.sort(key=lambda row: (place[row["identity"]], row["view"], row["expression"]))
    page = html_page(
        Path(__file__).parent / "templates" / "gallery.html.j2",
        name=data.out.resolve().name,
        people=len(shown),
        of_people=total,
        pictures=len(rows),
        white=COLOUR_LIMIT_MM,
        choices={name: sorted({cells[who][name] for who in shown}) for name in CELL},
        views=sorted({row["view"] for row in rows}),
        content={
            "side": side,
            "groups": [[group.first, group.points, group.line] for group in GROUPS],
            "people": {str(who): {**cells[who], "split": splits[who]} for who in shown},
            "rows": rows,
        },
    ).encode()
    write_inside(data.out, PAGE, page)
    return Written(data.out / PAGE, len(shown), total, len(rows), len(page))


def _rows(columns: dict[str, list[Any]], names: tuple[str, ...]) -> Any:
    return zip(*(columns[name] for name in names), strict=True)


def _spread(everybody: dict[str, list[Any]], most: int) -> list[int]:
    """Numbers of at most so many people, in turn from each cell."""
    cells: dict[tuple[str, ...], list[int]] = {}
    for who, *cell in sorted(_rows(everybody, ("identity_id", *CELL))):
        cells.setdefault(tuple(cell), []).append(who)
    turns = chain.from_iterable(zip_longest(*(cells[cell] for cell in sorted(cells))))
    return sorted([who for who in turns if who is not None][:most])


def _shown(row: Row, side: int, scale: float) -> Row:
    """A row as the page's script reads it; landmarks in pixels of the copy."""
    return {
        "name": row["sample_id"],
        "identity": row["identity_id"],
        "expression": row["expression_id"],
        "view": row["view_id"],
        "neutral": row["neutral"],
        "pspi": row["PSPI"],
        "yaw": round(row["yaw_degrees"]),
        "pitch": round(row["pitch_degrees"]),
        "units": [[name, row[name]] for name in AU_COLUMNS if row[name]],
        "image": _address(encode_image(fit(picture_of(row, side), side), QUALITY)),
        "points": np.round(np.asarray(row["landmarks_2d"]) * scale, 1).ravel().tolist(),
        **({} if row["neutral"] else _heat(row, side)),
    }


def _heat(row: Row, side: int) -> Row:
    """The coloured heatmap, on the scale of all heatmaps, and how far the farthest point moved."""
    levels = heatmap_of(row)
    unit = row["heatmap_unit_mm"]
    coloured = colourise(fit(levels.astype(np.float32), side) * np.float32(unit))
    moved = farthest(levels, unit) if levels.any() else ""
    return {"heat": _address(encode_ramp(coloured, HEAT_QUALITY)), "moved": moved}


def _address(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
