"""Tables of other programs become the faces that they tell, and what is wrong with one is said in one line."""

from pathlib import Path

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.facs.action_units import ActionUnits, intensity_to_weight
from pain3d.live.recording import read_recording

OPENFACE = "frame, face_id, timestamp, confidence, success, AU04_r, AU06_r, AU07_r, AU09_r, AU10_r, AU45_r, AU04_c"


def table(folder: Path, *lines: str) -> Path:
    path = folder / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_openface_with_the_spaces_that_it_writes(tmp_path: Path) -> None:
    rows = ("1, 0, 0.000, 0.98, 1, 2.50, 1.00, 0, 0, 3.00, 0.2, 1", "2, 0, 0.040, 0.98, 1, 0, 0, 0, 0, 0, 4.1, 0")
    recording = read_recording(table(tmp_path, OPENFACE, *rows), "openface")
    assert recording.faces == (ActionUnits(AU4=2.5, AU6=1, AU10=3), ActionUnits(AU43=1))
    assert recording.scores().tolist() == [6.5, 1]
    assert recording.fps == pytest.approx(25) and recording.missing == () and recording.notes == ()


def test_arkit_as_live_link_face_writes_it(tmp_path: Path) -> None:
    weight = float(intensity_to_weight(3))
    header = "Timecode,BlendShapeCount,EyeBlinkLeft,EyeBlinkRight,BrowDownLeft,BrowDownRight,EyeLookInLeft,HeadYaw"
    recording = read_recording(table(tmp_path, header, f"0:0:0:1.0,61,0.9,0.1,{weight},0,0.4,-0.2"), "arkit", fps=60)
    assert recording.faces == (ActionUnits(AU43_L=1, AU4_L=3),)
    assert recording.missing == (6, 7, 9, 10)
    assert recording.notes == ("the table has no AU6, AU7, AU9, AU10: PSPI counts 0 for it",)


def test_libreface_lacks_units_and_says_so(tmp_path: Path) -> None:
    header = "frame_idx,frame_time_in_ms,au_4,au_4_intensity,au_6_intensity,au_9_intensity"
    recording = read_recording(table(tmp_path, header, "0,0,1,4.0,2.0,1.5", "1,50,1,4.0,2.0,1.5"), "libreface")
    assert recording.faces[0] == ActionUnits(AU4=4, AU6=2, AU9=1.5)
    assert recording.missing == (7, 10, 43) and recording.fps == pytest.approx(20)


def test_pyfeat_gives_probabilities_and_a_caution(tmp_path: Path) -> None:
    recording = read_recording(table(tmp_path, "frame,AU04,AU06,AU07,AU09,AU10,AU43", "0,1,.4,0,0,0,.8"), "pyfeat")
    assert recording.faces == (ActionUnits(AU4=5, AU6=2, AU43=1),)
    assert "how sure" in recording.notes[0]


def test_a_lost_face_is_a_gap(tmp_path: Path) -> None:
    rows = (
        "1,0,0,.9,1,2,0,0,0,0,0,1",
        "2,0,.1,0,0,0,0,0,0,0,0,0",
        "3,0,.2,.9,1,,nan,,,,,",
        "4,0,.3,.9,1,1,0,0,0,0,0,1",
    )
    recording = read_recording(table(tmp_path, OPENFACE, *rows), "openface")
    assert [face is None for face in recording.faces] == [False, True, True, False]
    np.testing.assert_array_equal(recording.scores(), [2, np.nan, np.nan, 1])
    assert recording.notes == ("no face in 2 of 4 rows: the face before stands still",)
    assert len(recording.every(3)) == 2 and recording.every(3).faces == recording.faces[::3]


def test_a_clipped_table_is_taken_when_that_was_asked_for(tmp_path: Path) -> None:
    path = table(tmp_path, "AU04_r,AU06_r", "5.02,-0.01")
    assert read_recording(path, "openface", clip=True).faces == (ActionUnits(AU4=5),)


@pytest.mark.parametrize(
    ("program", "lines", "said"),
    [
        (
            "openface",
            (OPENFACE.replace("_r", "_q"), "1" + ",1" * 11),
            "no column of openface in it, such as AU04_r; it begins",
        ),
        ("openface", ("AU04,AU06", ".1,.2"), "try --from pyfeat"),
        ("openface", ("AU04_r,AU06_r", "1,nan"), "line 2: AU06_r is no number, though others of the row are"),
        ("openface", ("AU04_r", "", "7.2"), "line 3: AU04_r is 7.2, must be in 0..5 (--clip takes the end)"),
        ("openface", ("AU04_r", "1", "high"), "line 3: AU04_r is 'high', not a number"),
        ("openface", ("AU04_r,AU06_r", "1"), "line 2: 1 cells below 2 names"),
        ("openface", ("AU04_r,AU04_r", "1,1"), "two columns are called AU04_r"),
        ("openface", ("frame,AU04_r", "1,1", "1,2"), "line 3: a second row for frame 1, keep one face"),
        ("openface", ("timestamp,AU04_r", ".2,1", ".1,2"), "timestamp doesn't rise from row to row; --fps 30"),
        ("openface", ("AU04_r", "nan"), "the tracker found a face in none of its 1 rows"),
        ("openface", ("AU04_r",), "no rows in it"),
        ("arkit", ("browDownLeft", "1.5"), "line 2: browDownLeft is 1.5, must be in 0..1"),
        ("arkit", ("eyeLookInLeft", "0"), "no column of arkit in it, such as BrowDownLeft"),
    ],
)
def test_what_is_wrong_is_one_line(program: str, lines: tuple[str, ...], said: str, tmp_path: Path) -> None:
    path = table(tmp_path, *lines)
    with pytest.raises(RefusedError) as refused:
        read_recording(path, program)
    assert str(refused.value).startswith(str(path)) and said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No such file"):
        read_recording(tmp_path / "none.csv", "openface")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\x89PNG\r\n\xff\xfe\x00")
    with pytest.raises(RefusedError, match="not a table of text"):
        read_recording(binary, "openface")
