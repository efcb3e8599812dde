"""Knows the tables in which other programs write a recording's action units, and reads them as faces over time.

Names of columns and what they hold, by the programs' own documents and output: OpenFace 2 (wiki, "Output Format"),
LibreFace 0.1 (``get_facial_attributes``), Py-Feat 0.6 (``Fex.aus``), ARKit's 52 blendshapes as Live Link Face writes
them (first letter in upper case) or as Apple names them.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import MOST_QUOTED, RefusedError, quoted, shortened
from pain3d.doors.text import read_rows
from pain3d.facs.action_units import AU_NUMBERS, AU_OF_ARKIT, ActionUnits
from pain3d.facs.pain_score import MAX_INTENSITY, PAIN_AUS

DEFAULT_FPS: Final = 30.0
MOST_ROWS: Final = 200_000  # almost two hours at 30 a second
TIMES: Final = {"timestamp": 1.0, "frame_time_in_ms": 1e-3}  # column, its unit in seconds
BESIDE: Final = (*TIMES, "frame", "success")  # columns that are read whoever wrote the table
Row = Mapping[str, float]
Cells = Mapping[int, str]  # by the place of their column


@dataclass(frozen=True)
class Recording:
    """Faces over time.

    Attributes:
        faces: T of them; None where the tracker had lost the face.
        seconds: [T] since the first, rising.
        missing: Units of the PSPI that the table doesn't tell; they count as 0.
        notes: What a reader should know, a line each.
    """

    faces: tuple[ActionUnits | None, ...]
    seconds: npt.NDArray[np.float64]
    missing: tuple[int, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.faces)

    def every(self, step: int) -> Recording:
        """Every so manieth row alone, the first of them."""
        return replace(self, faces=self.faces[::step], seconds=self.seconds[::step])

    @property
    def fps(self) -> float:
        """Rows a second, by the median of their distances."""
        return DEFAULT_FPS if len(self) < 2 else float(1 / np.median(np.diff(self.seconds)))

    def scores(self) -> npt.NDArray[np.float64]:
        """PSPI [T], NaN where there is no face."""
        return np.array([math.nan if face is None else face.pspi() for face in self.faces])


@dataclass(frozen=True)
class Layout:
    """How a program names its columns and scales what is in them.

    Attributes:
        pattern: A column that is read; its group is the number of the unit.
        top: The largest value that there is.
        example: What a column looks like, for messages.
        caution: What everybody should know of it.
    """

    pattern: str
    top: float
    example: str
    caution: str = ""


LAYOUTS: Final = {
    "openface": Layout(r"AU(\d{1,2})_r", MAX_INTENSITY, "AU04_r"),
    "libreface": Layout(r"au_(\d{1,2})_intensity", MAX_INTENSITY, "au_4_intensity"),
    "pyfeat": Layout(
        r"AU(\d{1,2})", 1.0, "AU04", "Py-Feat says how sure it is of a unit, not how strong it is: 1 is drawn as 5"
    ),
}
PROGRAMS: Final = ("openface", "arkit", "libreface", "pyfeat")
BLINK = 45  # closes the eyes as AU43 does, for a moment


def read_recording(path: Path, program: str, fps: float = 0.0, clip: bool = False) -> Recording:
    """Read a table with a row a frame.

    Args:
        path: CSV with a header; names may have spaces around them.
        program: Who wrote it, one of `PROGRAMS`.
        fps: Rows a second; 0 takes the table's own times, or `DEFAULT_FPS` where it has none.
        clip: Take what is beyond a scale as its end, rather than refuse it.

    Raises:
        RefusedError: No such file, no table, no column of that program, or a line with a number that is none or out of
            range; names file, line and column.
    """
    header, lines = _read_table(path, program)
    columns = _columns(header, program)
    if not columns:
        raise RefusedError(f"{path}: no column of {program} in it, such as {_example(program)}; {_seen(header)}")
    _check_one_face(path, header, lines)
    made: Callable[[Row], ActionUnits] = ActionUnits.from_arkit if program == "arkit" else _of_openface
    faces: list[ActionUnits | None] = []
    for number, cells in lines:
        row = _numbers(f"{path} line {number}", header, cells, columns, program, clip)
        faces.append(None if row is None or _lost(header, cells) else made(row))
    lost = sum(face is None for face in faces)
    if lost == len(faces):
        raise RefusedError(f"{path}: the tracker found a face in none of its {len(faces)} rows")
    told = _told(columns, program)
    missing = tuple(unit for unit in PAIN_AUS if unit not in told)
    notes = [LAYOUTS[program].caution] if program in LAYOUTS else []
    if missing:
        notes.append(f"the table has no {', '.join(f'AU{unit}' for unit in missing)}: PSPI counts 0 for it")
    if lost:
        notes.append(f"no face in {lost} of {len(faces)} rows: the face before stands still")
    seconds = _seconds(path, header, lines, fps)
    return Recording(tuple(faces), seconds, missing, tuple(note for note in notes if note))


def _read_table(path: Path, program: str) -> tuple[list[str], list[tuple[int, Cells]]]:
    """Names of the columns, and the lines that aren't empty with their numbers; of their cells those that are read."""
    rows = read_rows(path)
    header = [name.strip() for name in next(rows, (0, []))[1]]
    twice = next((name for name, count in Counter(header).items() if name and count > 1), None)
    if twice is not None:
        raise RefusedError(f"{path}: two columns are called {shortened(twice, MOST_QUOTED)}")
    wanted = [*_columns(header, program).values(), *(header.index(name) for name in BESIDE if name in header)]
    lines: list[tuple[int, Cells]] = []
    for number, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise RefusedError(f"{path} line {number}: {len(cells)} cells below {len(header)} names")
        lines.append((number, {place: cells[place] for place in wanted}))
        if len(lines) > MOST_ROWS:
            raise RefusedError(f"{path}: more than {MOST_ROWS} rows, cut it")
    if not lines:
        raise RefusedError(f"{path}: {'no rows in it' if header else 'empty'}")
    return header, lines


def _columns(header: Sequence[str], program: str) -> dict[str, int]:
    """Places of the columns that are read, by what ARKit or OpenFace would call them."""
    found: dict[str, int] = {}
    for place, name in enumerate(header):
        if program == "arkit":
            if _arkit_unit(name) is not None:
                found[name] = place
        elif (match := re.fullmatch(LAYOUTS[program].pattern, name)) and int(match[1]) in (*AU_NUMBERS, BLINK):
            number = BLINK if int(match[1]) == 43 else int(match[1])
            found[f"AU{number:02d}_r"] = place
    return found


def _arkit_unit(name: str) -> int | None:
    apple = name[:1].lower() + name[1:]  # Live Link Face begins with a capital
    return AU_OF_ARKIT.get(apple.removesuffix("Left").removesuffix("Right"))


def _told(columns: Mapping[str, int], program: str) -> set[int]:
    """The units that a table tells."""
    if program == "arkit":
        return {unit for name in columns if (unit := _arkit_unit(name)) is not None}
    numbers = {int(name[2:4]) for name in columns}
    return numbers | ({43} if BLINK in numbers else set())


def _of_openface(row: Row) -> ActionUnits:
    return ActionUnits.from_openface({name: MAX_INTENSITY * value for name, value in row.items()}, wanted=())


def _numbers(
    where: str, header: Sequence[str], cells: Cells, columns: Mapping[str, int], program: str, clip: bool
) -> Row | None:
    """The numbers of a row on 0–1 of their scale; None where none of them is a number: the tracker lost the face."""
    top = LAYOUTS[program].top if program in LAYOUTS else 1.0
    row: dict[str, float] = {}
    for name, place in columns.items():
        text = cells[place].strip()
        try:
            row[name] = float(text or "nan")
        except ValueError:
            raise RefusedError(f"{where}: {header[place]} is {quoted(text)}, not a number") from None
    none = [columns[name] for name, value in row.items() if math.isnan(value)]
    if len(none) == len(row):
        return None
    if none:
        raise RefusedError(f"{where}: {header[none[0]]} is no number, though others of the row are")
    for name, value in row.items():
        if not 0 <= value <= top and not clip:
            told = f"{header[columns[name]]} is {value:g}, must be in 0..{top:g} (--clip takes the end)"
            raise RefusedError(f"{where}: {told}")
        row[name] = min(max(value, 0.0), top) / top
    return row


def _lost(header: Sequence[str], cells: Cells) -> bool:
    """Whether OpenFace says of a row that its numbers mean nothing."""
    return "success" in header and cells[header.index("success")].strip() in ("0", "0.0")


def _check_one_face(path: Path, header: Sequence[str], lines: Sequence[tuple[int, Cells]]) -> None:
    if "frame" not in header:
        return
    place, seen = header.index("frame"), set()
    for number, cells in lines:
        if cells[place] in seen:
            frame = shortened(cells[place].strip(), MOST_QUOTED)
            raise RefusedError(f"{path} line {number}: a second row for frame {frame}, keep one face")
        seen.add(cells[place])


def _seconds(
    path: Path, header: Sequence[str], lines: Sequence[tuple[int, Cells]], fps: float
) -> npt.NDArray[np.float64]:
    name = next((name for name in TIMES if name in header), None)
    if fps or name is None:
        return np.arange(len(lines)) / (fps or DEFAULT_FPS)
    place, seconds = header.index(name), []
    for number, cells in lines:
        try:
            seconds.append(float(cells[place]) * TIMES[name])
        except ValueError:
            raise RefusedError(
                f"{path} line {number}: {name} is {quoted(cells[place].strip())}, not a number"
            ) from None
    if not (np.isfinite(seconds).all() and (np.diff(seconds) > 0).all()):
        raise RefusedError(f"{path}: {name} doesn't rise from row to row; --fps 30 takes its place")
    return np.array(seconds) - seconds[0]


def _example(program: str) -> str:
    return LAYOUTS[program].example if program in LAYOUTS else "BrowDownLeft"


def _seen(header: Sequence[str]) -> str:
    shown = ", ".join(header[:4])[:80]
    fits = [program for program in PROGRAMS if _columns(header, program)]
    return f"it begins {shown}" + (f"; try --from {fits[0]}" if fits else "")
