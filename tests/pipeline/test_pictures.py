"""Encoders, head angles, the contact sheet and the report."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pain3d.camera import Camera
from pain3d.doors.pictures import decode_heatmap
from pain3d.encoding import encode_grey, encode_image, encode_ramp
from pain3d.pipeline.contact_sheet import decode, farthest, hot
from pain3d.pipeline.report import first_rows
from pain3d.pipeline.rows import head_angles
from pain3d.rendering.heatmap import heatmap_unit, quantise_heatmap


def test_heatmap_levels_are_tenths_of_a_millimetre() -> None:
    millimetres = np.array([[0, 0.049, 0.051, 1.0, 25.44, 25.5, 30.0, 1e6]], np.float32)
    levels = [[0, 0, 1, 10, 254, 255, 255, 255]]
    np.testing.assert_array_equal(quantise_heatmap(millimetres), levels)
    assert quantise_heatmap(torch.from_numpy(millimetres)).tolist() == levels


def test_what_moves_far_has_a_larger_unit_and_is_not_clipped() -> None:
    """A jaw drop moves the chin by 40.7 mm; the level that says "or more" is never reached."""
    furthest = np.array([0, 10, 25.39, 25.4, 40.7, 50.7, 50.8, 101.5, 101.6, 200], np.float32)
    units = [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.4, 0.4, 0.8, 0.8]
    assert [heatmap_unit(value) for value in furthest] == units
    together = heatmap_unit(torch.from_numpy(furthest))
    assert together.dtype == torch.float32 and together.tolist() == pytest.approx(units)
    maps = furthest[:, None, None] * np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)
    there = quantise_heatmap(torch.from_numpy(maps), together[:, None, None]).numpy()
    for levels, heat, unit in zip(there, maps, units, strict=True):
        assert (levels == quantise_heatmap(heat, unit)).all(), "on a device as here"
        assert levels.max() < 255 and np.abs(levels * unit - heat).max() < unit / 2 + 1e-5  # half a level; rounding
    assert farthest(there[4], 0.2) == "up to 40.8 mm"
    assert farthest(np.full((2, 2), 255, np.uint8), 0.1) == "at least 25.5 mm"


@pytest.mark.parametrize("size", [1, 7, 64])
def test_heatmaps_are_lossless(size: int) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (size, size), np.uint8)
    np.testing.assert_array_equal(decode_heatmap(encode_grey(levels)), levels)


def test_images_are_rgb_and_near() -> None:
    rows, columns = np.mgrid[:64, :64]
    pixels = np.stack([rows * 3, columns * 3, 255 - rows * 2], -1).astype(np.uint8)
    for encode, sampling in ((encode_image, 2), (encode_ramp, 1)):
        encoded = encode(pixels, 95)
        worst = np.abs(decode(encoded).astype(int) - pixels).max()
        assert worst <= 6  # of 255; seen 4 with halved chroma
        image = Image.open(io.BytesIO(encoded))
        assert image.layer[0][1:3] == (sampling, sampling)  # luma samples per chroma sample: 4:2:0 and 4:4:4


def pose(yaw: float = 0, pitch: float = 0, roll: float = 0) -> SimpleNamespace:
    return SimpleNamespace(neck_yaw=yaw, neck_pitch=pitch, neck_roll=roll, gaze_yaw=0, gaze_pitch=0)


@pytest.mark.parametrize(
    ("camera", "neck", "angles"),
    [
        ({}, pose(), (0, 0, 0)),
        ({"yaw_degrees": 20}, pose(), (-20, 0, 0)),  # the camera stands on the person's left: the face turns away
        ({}, pose(yaw=20), (20, 0, 0)),
        ({"yaw_degrees": 20}, pose(yaw=20), (0, 0, 0)),
        ({"pitch_degrees": 15}, pose(), (0, 15, 0)),  # seen from above, the face looks down
        ({}, pose(pitch=10), (0, 10, 0)),
        ({}, pose(roll=5), (0, 0, 5)),
    ],
)
def test_head_angles(camera: dict[str, float], neck: SimpleNamespace, angles: tuple[float, float, float]) -> None:
    rotation = Camera.orbit(**camera).world_to_view[0, :3, :3].tolist()
    found = head_angles(rotation, neck)
    seen = [found[f"{name}_degrees"] for name in ("yaw", "pitch", "roll")]
    np.testing.assert_allclose(seen, angles, atol=1e-5)  # degrees; the rotation is float32


def test_ramp() -> None:
    colours = hot(np.array([[0, 20, 40, 60]], np.uint8))
    np.testing.assert_array_equal(colours[0], [[0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255]])


def test_contact_sheet(small: Path) -> None:
    sheet = Image.open(small / "contact_sheet.png")
    assert sheet.mode == "RGB" and 1000 < sheet.width <= 2000 and sheet.height > 900
    assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 1000  # not a blank sheet


class Tags(HTMLParser):
    """Collects what a page loads and checks that its tags close."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name == "xlink:href"]

    def handle_endtag(self, tag: str) -> None:
        assert tag in self.VOID or self.open.pop() == tag


def test_report_stands_alone(small: Path) -> None:
    text = (small / "report" / "index.html").read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    pictures = [source for source in tags.loads if not source.startswith("#")]  # a mark that is drawn again
    assert pictures and all(source.startswith("data:image/jpeg;base64,") for source in pictures)
    assert not re.search(r"url\((?!#)|@import", text)
    assert text.count("<svg") == 6  # PSPI, AUs, a demographic grid per sex, skin tone, poses
    assert len(text) < 1_000_000


def test_report_counts(small: Path) -> None:
    text = (small / "report" / "index.html").read_text()
    assert "<b>32</b><span>images, 64 × 64</span>" in text
    drawn = re.findall(r"<title>(\d+): (\d+)</title>", text)
    assert len(drawn) == 17 and sum(int(count) for _, count in drawn) == 12  # pain expressions by PSPI 0-16


def test_first_rows() -> None:
    assert first_rows([4, 4, 2, 2, 2, 7]) == [0, 2, 5]
