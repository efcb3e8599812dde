"""`pain3d fit` reads pictures as they come, writes a folder that holds the fit, and says no in one line."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.fitted import held_out
from pain3d import Head, Scene, render_scenes
from pain3d.doors.pictures import read_picture
from pain3d.fitting.command import COMMANDS
from pain3d.fitting.files import NAMES, files_of, written
from tests.conftest import Ran

SIDE = 160  # pixels of the picture: it is read, cut and compared as any other


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A picture, and a file of its landmarks."""
    folder, head = tmp_path_factory.mktemp("face"), Head.default()
    shot = render_scenes([replace(held_out(3, head)[0], size=SIDE)], head)
    Image.fromarray(shot.image[0]).save(folder / "face.png")
    marks = shot.landmarks_2d[0, :68].tolist()
    marks[4] = None
    (folder / "marks.json").write_text(json.dumps({"face.png": marks}))
    return folder / "face.png", folder / "marks.json"


@pytest.mark.slow
def test_a_folder_holds_the_fit(
    face: tuple[Path, Path], tmp_path: Path, pain3d: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pain3d.fitting.texture.STEPS", 1)
    picture, marks = face
    out = tmp_path / "fitted"
    ran = pain3d("fit", picture, "--out", out, "--landmarks", marks, "--deviation", "0.3", "--rounds", "1", "--json")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in out.iterdir()) == sorted(NAMES)
    said, numbers = json.loads(ran.out), json.loads((out / "fit.json").read_text())
    assert said["pictures"] == numbers["pictures"] and numbers["PSPI"] == numbers["pictures"][0]["PSPI"]
    assert {
        "AU04",
        "AU06",
        "AU07",
        "AU09",
        "AU10",
        "AU43",
        "identity",
        "pose",
        "light",
        "residual",
        "deviations",
    } <= set(numbers)
    pspi = (
        numbers["AU04"]
        + max(numbers["AU06"], numbers["AU07"])
        + max(numbers["AU09"], numbers["AU10"])
        + numbers["AU43"]
    )
    assert numbers["PSPI"] == pytest.approx(pspi, abs=2e-3)
    scene = Scene.from_json((out / "scenes.jsonl").read_text())
    assert render_scenes([scene]).image.shape == (1, 512, 512, 3)
    with Image.open(out / "overlay.png") as overlay, Image.open(out / "fit.gif") as course:
        assert overlay.size == (4 * 320, 320) and course.n_frames >= 2


def test_files_say_what_they_hold() -> None:
    assert COMMANDS["fit"].interrupted == "nothing was written"
    assert NAMES[0] == "fit.json" and callable(files_of)


def test_numbers_come_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a" / "b", {"fit.json": b"1", "skin.png": b"2"})
    assert (tmp_path / "a/b/fit.json").read_bytes() == b"1"

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("pain3d.fitting.files.write_durably", full)
    with pytest.raises(OSError, match="space"):
        written(tmp_path / "c" / "d", {"fit.json": b"1"})
    assert not (tmp_path / "c").exists()


def pictured(folder: Path, name: str, **options: Any) -> Path:
    """A grey picture file."""
    mode, pixels = options.pop("mode", "RGB"), np.full((64, 48, 3), 120, np.uint8)
    path = folder / name
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


def test_bad_input_is_one_line_and_writes_nothing(
    face: tuple[Path, Path], tmp_path: Path, pain3d: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, marks = face
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda _: [])
    deep = tmp_path / "deep.tiff"
    Image.fromarray(np.zeros((64, 64), np.float32)).save(deep)
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:2000])
    (tmp_path / "bad.json").write_text('{"face.png": [[1, 2], "x"]}')
    (tmp_path / "nan.json").write_text(json.dumps({"face.png": [None] * 68}))
    (tmp_path / "other.json").write_text(json.dumps({"other.png": [[1, 2]] * 68}))
    (tmp_path / "file").write_text("")
    out = tmp_path / "out"
    asked: list[tuple[list[Any], str]] = [
        ([], "no picture"),
        ([tmp_path / "none.png"], "none.png: no such file"),
        ([tmp_path], "a folder"),
        ([tmp_path / "text.jpg"], "text.jpg: not a picture"),
        ([tmp_path / "cut.png"], "cut.png: damaged"),
        ([deep], "deep.tiff: its pixels are floats"),
        ([pictured(tmp_path, "grey.png")], "grey.png: no face found"),
        ([pictured(tmp_path, "cmyk.jpg", mode="CMYK")], "cmyk.jpg: no face found"),  # read, and without a face
        ([picture, "--landmarks", tmp_path / "bad.json"], "bad.json: not points"),
        ([picture, "--landmarks", tmp_path / "nan.json"], "face.png must be 4 points"),
        ([picture, "--landmarks", tmp_path / "other.json"], "names none of the pictures"),
        ([picture, "--landmarks", tmp_path / "gone.json"], "gone.json: no such file"),
        ([picture, "--landmarks", marks, "--deviation", "nan"], "deviation must be"),
        ([picture, "--landmarks", marks, "--rounds", "-1"], "rounds must be"),
        ([picture, "--neutral", tmp_path / "none.png"], "none.png: no such file"),
    ]
    for words, message in asked:
        ran = pain3d("fit", *words, "--out", out)
        assert ran.code == 2 and message in ran.err, (words, ran.err)
        assert ran.err.count("\n") == 1 and ran.out == "" and not out.exists()
    ran = pain3d("fit", picture, "--landmarks", marks, "--out", tmp_path / "file")
    assert ran.code == 2 and "not a folder" in ran.err
    overlay = tmp_path / "overlay.png"
    overlay.write_bytes(picture.read_bytes())
    ran = pain3d("fit", overlay, "--out", tmp_path)
    assert ran.code == 2 and "would be replaced" in ran.err and overlay.read_bytes() == picture.read_bytes()


def test_several_faces_are_refused(
    face: tuple[Path, Path], tmp_path: Path, pain3d: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda _: [None, None])
    ran = pain3d("fit", face[0], "--out", tmp_path / "out")
    assert ran.code == 2 and "2 faces found" in ran.err and not (tmp_path / "out").exists()


def test_a_picture_is_read_picture(face: tuple[Path, Path], tmp_path: Path) -> None:
    """EXIF says that the file lies on its side; CMYK becomes RGB within a JPEG's and the conversion's loss."""
    with Image.open(face[0]) as picture:
        upright = np.asarray(picture.convert("RGB"), int)
        turned, exif = picture.transpose(Image.Transpose.ROTATE_90), Image.Exif()
        exif[0x0112] = 6  # turn it 90° clockwise to see it upright
        turned.save(tmp_path / "turned.png", exif=exif)
        stream = io.BytesIO()
        picture.convert("CMYK").save(stream, "JPEG", quality=95)
    (tmp_path / "cmyk.jpg").write_bytes(stream.getvalue())
    assert (read_picture(tmp_path / "turned.png") == upright).all()
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").astype(int) - upright).mean() < 4
