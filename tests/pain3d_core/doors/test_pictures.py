"""One reader for every picture: what it opens and what it never opens, how deep, which way up, and what it refuses."""

import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import EpsImagePlugin, Image, ImageOps

from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import FORMATS, LFS_POINTER, decode_picture, read_picture
from tests.endless import endless_eps

# A ramp along both sides, with every channel its own.
RAMP = np.stack([*np.meshgrid(np.arange(0, 240, 20), np.arange(0, 240, 30)), np.full((8, 12), 90)], 2).astype(np.uint8)


def saved(path: Path, pixels: np.ndarray | Image.Image, **settings: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **settings)
    return path


def refused(path: Path) -> str:
    with pytest.raises(RefusedError) as error:
        read_picture(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_whatever_its_name(name: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.dat", Image.new("RGB", (9, 7), (200, 100, 50)), format=name)
    seen = read_picture(path)
    assert seen.shape == (7, 9, 3) and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - (200, 100, 50)).max() < 8  # a palette of GIF, chroma of JPEG: at most 4 seen


def test_several_pictures_in_a_jpeg(tmp_path: Path) -> None:
    """What some cameras and telephones write: the first is read."""
    first, second = (Image.new("RGB", (9, 7), colour) for colour in ("red", "blue"))
    path = saved(tmp_path / "a.jpg", first, format="MPO", save_all=True, append_images=[second])
    assert read_picture(path).shape == (7, 9, 3) and read_picture(path)[3, 4].tolist() == [254, 0, 0]


def test_a_program_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a Ghostscript that says that it was started; Pillow left alone starts it."""
    started, there = tmp_path / "started", tmp_path / "bin" / "gs"
    there.parent.mkdir()
    there.write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    there.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(there))
    path = endless_eps(tmp_path / "a.jpg")
    assert refused(path) == "not a picture that can be read here, convert it to JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"
    assert not started.exists()
    with Image.open(path) as file, pytest.raises(subprocess.CalledProcessError):
        file.load()
    assert started.exists()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_too_many_pixels_are_refused_before_they_are_decoded(suffix: str, tmp_path: Path) -> None:
    path = saved(tmp_path / f"a.{suffix}", Image.new("1" if suffix != "jpg" else "L", (8200, 8200)), quality=1)
    assert refused(path) == "too many pixels, 8200 x 8200; make it smaller, 67 million are read"


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    """257 times 8 bits, as such pictures are made, give the 8 bits back: grey and, which Pillow does itself, colour."""
    wide = RAMP[..., 0].astype(np.uint16) * 257
    for name in ("a.png", "a.tiff"):
        assert (read_picture(saved(tmp_path / name, wide)) == RAMP[..., :1]).all(), name
    (tmp_path / "c.png").write_bytes(wide_png(RAMP))
    assert (read_picture(tmp_path / "c.png") == RAMP).all()
    assert (read_picture(saved(tmp_path / "white.png", np.full((4, 4), 65535, np.uint16))) == 255).all()


def wide_png(pixels: np.ndarray) -> bytes:
    """A PNG with 16 bits a channel, which Pillow doesn't write."""
    import cv2

    return bytes(cv2.imencode(".png", pixels[..., ::-1].astype(np.uint16) * 257)[1].tobytes())


def test_pixels_without_a_white_are_refused(tmp_path: Path) -> None:
    floats = saved(tmp_path / "a.tiff", RAMP[..., 0].astype(np.float32))
    assert refused(floats) == "its pixels are floats, save it with 8 or 16 bits a channel"
    deep = saved(tmp_path / "b.tiff", RAMP[..., 0].astype(np.int32))
    assert refused(deep) == "its pixels are whole numbers of 32 bits, save it with 8 or 16 bits a channel"


def test_what_is_fully_transparent_is_refused_and_what_is_half_is_seen(tmp_path: Path) -> None:
    alpha = np.zeros(RAMP.shape[:2], np.uint8)
    path = saved(tmp_path / "a.png", np.dstack([RAMP, alpha]))
    assert refused(path) == "fully transparent, nothing is to be seen"
    alpha[:4] = 128
    assert (read_picture(saved(path, np.dstack([RAMP, alpha]))) == RAMP).all()
    palette = Image.new("P", (4, 4))
    palette.putpalette([9, 9, 9, 200, 100, 50])
    assert "fully transparent" in refused(saved(tmp_path / "b.gif", palette, transparency=0))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_way_up_is_that_of_the_tag(orientation: int, name: str, tmp_path: Path) -> None:
    """Pillow's own turning is the oracle; a JPEG is decoded by simplejpeg and turned by us."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / name, RAMP, exif=exif)
    with Image.open(path) as file:
        upright = np.asarray(ImageOps.exif_transpose(file))
        assert upright.shape == ((12, 8, 3) if orientation > 4 else (8, 12, 3))
    assert (read_picture(path) == upright).all()


def test_a_plain_jpeg_is_that_of_its_decoder() -> None:
    content = simplejpeg.encode_jpeg(RAMP, 90)
    assert (decode_picture(content, "a") == simplejpeg.decode_jpeg(content)).all()
    grey = simplejpeg.encode_jpeg(RAMP[..., :1].copy(), 90, "GRAY")
    assert decode_picture(grey, "a").shape == (8, 12, 3)


def test_inks_become_colours(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(RAMP).convert("CMYK").save(stream, "JPEG", quality=95, subsampling=0)
    seen = decode_picture(stream.getvalue(), "a")
    assert np.abs(seen.astype(int) - RAMP).max() < 20  # 12 seen: the loss of a JPEG


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(LFS_POINTER + b"v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n")
    assert refused(path) == "a Git LFS pointer, not the picture; `git lfs pull` fetches it"


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**30)
    assert refused(tmp_path / "a.png") == "larger than 537 MB, make it smaller"


def bomb(side: int) -> bytes:
    """The beginning of a PNG of so many pixels a side."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = (struct.pack(">I", 13), header, struct.pack(">I", zlib.crc32(header)), struct.pack(">I", 9), b"IDAT")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_mode_becomes_three_channels(tmp_path, mode: str) -> None:
    Image.new("RGB", (9, 7), (200, 100, 50)).convert(mode).save(tmp_path / "a.tiff")
    assert read_picture(tmp_path / "a.tiff").shape == (7, 9, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a picture that can be read here, convert it to JPEG"),
        (b"<html>please log in</html>", "not a picture that can be read here"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "not a picture that can be read here"),
        (simplejpeg.encode_jpeg(RAMP, 90)[:400], "damaged ("),
        (bomb(60_000), "too many pixels"),
        (bomb(15_000), "too many pixels"),
        (bomb(4), "damaged ("),
    ],
)
def test_what_is_no_picture_is_named(tmp_path, content: bytes, says: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(RefusedError) as refused:
        read_picture(path)
    assert str(refused.value).startswith(f"{path}: ") and says in str(refused.value)


def test_a_folder_is_no_picture(tmp_path) -> None:
    with pytest.raises(RefusedError, match="a folder"):
        read_picture(tmp_path)
