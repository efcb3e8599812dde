"""Only pictures are opened: an EPS, which is a program, never runs, whatever its name ends in."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from pain3d.console.refused import RefusedError
from pain3d.pictures import FORMATS, open_picture
from tests.endless import endless_eps


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    Image.new("RGB", (9, 7), (200, 100, 50)).save(tmp_path / "a.dat", name)
    with open_picture(tmp_path / "a.dat") as file:
        assert np.asarray(file.convert("RGB")).shape == (7, 9, 3)


def test_several_pictures_in_a_jpeg(tmp_path: Path) -> None:
    """What some cameras and telephones write."""
    first, second = (Image.new("RGB", (9, 7), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    with open_picture(tmp_path / "a.jpg") as file:
        assert file.size == (9, 7)


def test_a_program_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Ghostscript that says that it was started; Pillow left alone starts it."""
    started, there = tmp_path / "started", tmp_path / "bin" / "gs"
    there.parent.mkdir()
    there.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    there.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(there))
    path = endless_eps(tmp_path / "a.jpg")
    with pytest.raises(RefusedError) as refused:
        open_picture(path)
    assert str(refused.value) == (
        f"{path}: not a picture that can be read here, convert it to JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"
    )
    assert not started.exists()
    with Image.open(path) as file, pytest.raises(subprocess.CalledProcessError):
        file.load()
    assert started.exists()


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "a.png")  # 200 million pixels in 25 kB
    with pytest.raises(RefusedError, match=r"a\.png: too many pixels"):
        open_picture(tmp_path / "a.png")
