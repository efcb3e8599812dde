"""Knows how to show a data set at a glance: a sheet of a few identities, from neutral to their strongest pain."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageDraw, ImageFont

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import PICTURE_PIXELS
from pain3d.doors.pictures import decode_heatmap
from pain3d.light import key_azimuth
from pain3d.pipeline.data_set import DataSet, Row
from pain3d.records import CLIPPED_LEVEL

IDENTITIES = 6
PAIN_COLUMNS = 5
CELL = 232  # px; with 8 columns, gaps and margins the sheet is 1984 px wide
GAP = 8
MARGIN = 36
CAPTION = 30  # px under a row of pictures
HEADING = 46  # px above it
PAPER, INK, FAINT = (250, 249, 246), (28, 28, 30), (112, 110, 106)
COLUMNS = (
    "identity_id", "expression_id", "view_id", "sample_id", "PSPI", "image", "heatmap", "heatmap_unit_mm",
    "yaw_degrees", "pitch_degrees", "light", "light_azimuth_degrees", "age_group", "sex", "ancestry",
)  # fmt: skip
Pixels = npt.NDArray[np.uint8]


def make_contact_sheet(data: DataSet) -> bytes:
    """Draw the sheet.

    One line per identity, all in its view nearest the front: neutral, five pain expressions by rising PSPI, the heatmap
    of the strongest in the same view, and the same heatmap from the front.

    Args:
        data: The data set.

    Returns:
        A PNG file, at most 2000 px wide.
    """
    people = data.first_identities("frames", COLUMNS, IDENTITIES)
    frontal = ("identity_id", "expression_id", "frontal_heatmap")
    frontal_rows = data.first_identities("expressions", frontal, IDENTITIES)
    columns = 1 + PAIN_COLUMNS + 2
    line = HEADING + CELL + CAPTION
    width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP
    sheet = Image.new("RGB", (width, 2 * MARGIN + len(people) * line - 8), PAPER)
    for number, (rows, expressions) in enumerate(zip(people, frontal_rows, strict=True)):
        _draw_line(sheet, MARGIN + number * line, rows, expressions, data.resolved["vary"])
    done, encoded = cv2.imencode(".png", np.asarray(sheet)[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise RuntimeError("OpenCV could not encode the contact sheet")
    return encoded.tobytes()


def _draw_line(sheet: Image.Image, top: int, rows: list[Row], expressions: list[Row], axis: str) -> None:
    draw = ImageDraw.Draw(sheet)
    heading, words = ImageFont.load_default(19), ImageFont.load_default(17)
    first = rows[0]
    name = f"id{first['identity_id']:06d}"
    who = f"{first['sex']}, {first['age_group']}, {first['ancestry']}"
    draw.text((MARGIN, top + 12), name, INK, heading)
    draw.text((MARGIN + 14 + draw.textlength(name, heading), top + 14), who, FAINT, words)
    front = min(rows, key=lambda row: abs(row["yaw_degrees"]) + abs(row["pitch_degrees"]))["view_id"]
    seen = [row for row in rows if row["view_id"] == front]
    pain = sorted((row for row in seen if row["expression_id"] > 0), key=lambda row: (row["PSPI"], row["sample_id"]))
    steps = np.linspace(0, len(pain) - 1, min(PAIN_COLUMNS, len(pain))).round().astype(int)
    picked = [pain[step] for step in steps]
    strongest = picked[-1]
    heat = decode_heatmap(strongest["heatmap"]["bytes"])
    frontal = next(row for row in expressions if row["expression_id"] == strongest["expression_id"])
    cells = [(decode(seen[0]["image"]["bytes"], CELL), "neutral")]
    cells += [(decode(row["image"]["bytes"], CELL), _caption(row, axis)) for row in picked]
    cells += [(np.zeros((1, 1, 3), np.uint8), "")] * (PAIN_COLUMNS - len(picked))
    cells.append((hot(heat), f"moved {farthest(heat, strongest['heatmap_unit_mm'])}"))
    cells.append((decode(frontal["frontal_heatmap"]["bytes"], CELL), f"PSPI {strongest['PSPI']:g}, from the front"))
    for column, (picture, caption) in enumerate(cells):
        if not caption:
            continue
        left = MARGIN + column * (CELL + GAP)
        sheet.paste(Image.fromarray(fit(picture, CELL)), (left, top + HEADING))
        middle = left + CELL / 2 - draw.textlength(caption, words) / 2
        draw.text((middle, top + HEADING + CELL + 5), caption, INK if caption.startswith("PSPI") else FAINT, words)


def _caption(row: Row, axis: str) -> str:
    """PSPI of a row, and where it is along an axis that expressions are steps of."""
    score = f"PSPI {row['PSPI']:g}"
    if axis == "yaw":
        return f"{score}, turned by {round(row['yaw_degrees'])}°"
    if axis == "light":
        return f"{score}, key at {round(row['light_azimuth_degrees'] + key_azimuth(row['light']))}°"
    return score


def decode(encoded: bytes, least: int = 0) -> Pixels:
    """Decode a JPEG to [H, W, 3] RGB; with ``least``, at the smallest of its scales that has so many pixels a side.

    Raises:
        ValueError: It is no JPEG, damaged, or of more than PICTURE_PIXELS.
    """
    height, width, *_ = simplejpeg.decode_jpeg_header(encoded)
    if height * width > PICTURE_PIXELS:
        raise ValueError(f"{width} x {height} are too many pixels")
    return np.asarray(simplejpeg.decode_jpeg(encoded, "RGB", min_height=least, min_width=least), np.uint8)


def picture_of(row: Row, least: int = 0) -> Pixels:
    """The image of a row, [H, W, 3] RGB; `least` as in `decode`. Raises RefusedError if it can't be decoded."""
    try:
        return decode(row["image"]["bytes"], least)
    except (ValueError, RuntimeError) as error:
        raise RefusedError(f"{row['sample_id']}: its image can't be decoded ({one_line(error)})") from error


def heatmap_of(row: Row) -> Pixels:
    """The levels of a row's heatmap, [H, W]. Raises RefusedError if it can't be decoded."""
    try:
        return decode_heatmap(row["heatmap"]["bytes"])
    except ValueError as error:
        raise RefusedError(f"{row['sample_id']}: its heatmap can't be decoded ({one_line(error)})") from error


def farthest(levels: Pixels, unit: float) -> str:
    """How far a heat map's skin moves, in words; `unit` is that of its levels, millimetres."""
    top = int(levels.max())
    return f"{'at least' if top == CLIPPED_LEVEL else 'up to'} {top * unit:.1f} mm"


def hot(levels: Pixels) -> Pixels:
    """Colour levels [H, W], from 0 to their largest: black, red, yellow, white, the ramp of 3DPain's heatmaps."""
    share = np.arange(256)[:, None] * 3 / max(int(levels.max()), 1) - np.arange(3)
    ramp = (np.clip(share, 0, 1) * 255).round().astype(np.uint8)
    return np.asarray(ramp[levels])


def fit(picture: Pixels, side: int) -> Pixels:
    """Scale a square picture to side x side."""
    shrinks = picture.shape[0] > side
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))
