"""A recording becomes a film of its faces: as many pictures as rows, each with face, heatmap and curve."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pain3d.facs.action_units import ActionUnits
from pain3d.live.clip import write_clip
from pain3d.live.film import film_of
from pain3d.live.look import Look
from pain3d.live.recording import Recording
from tests.conftest import Ran

SIZE = 96


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Neutral, in pain, lost, in pain: rendered with a small texture."""
    faces = (ActionUnits(), ActionUnits(AU4=5, AU6=5, AU9=5), None, ActionUnits(AU4=5, AU6=5, AU9=5))
    recording = Recording(faces, np.arange(4) / 10, (43,), ())
    return list(film_of(recording, Look(), SIZE, texels=256))


def test_each_picture_shows_face_heat_and_curve(pictures: list[np.ndarray]) -> None:
    assert {picture.shape for picture in pictures} == {(SIZE, 3 * SIZE, 3)}
    neutral, pain, lost, again = (picture.astype(int) for picture in pictures)
    face, heat, chart = (slice(part * SIZE, (part + 1) * SIZE) for part in range(3))
    assert np.ptp(neutral[: int(0.9 * SIZE), heat], axis=2).max() == 0  # grey above the caption: nothing moves
    assert np.abs(pain - neutral)[:, face].max() > 40 and np.ptp(pain[:, heat], axis=2).max() > 100
    np.testing.assert_array_equal(again[:, : chart.start], pain[:, : chart.start])  # the same face, the same bytes
    np.testing.assert_array_equal(lost[:, heat], pain[:, heat])  # it stands still
    assert lost[:, face].mean() > pain[:, face].mean() + 20  # and pales
    assert (neutral[:, chart] != pain[:, chart]).any() and neutral[:, chart].mean() > 200


def test_films_of_every_kind_hold_every_picture(pictures: list[np.ndarray], tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    for name in ("clip.mp4", "clip.gif", "clip"):
        write_clip(tmp_path / name, pictures, 10.0)
    with av.open(str(tmp_path / "clip.mp4")) as file:
        assert file.streams.video[0].average_rate == 10
        decoded = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(decoded) == 4
    for shown, picture in zip(decoded, pictures, strict=True):
        assert np.abs(shown.astype(int) - picture).mean() < 6  # half the colour is thrown away; worst seen 2.9
    with Image.open(tmp_path / "clip.gif") as file:
        assert file.n_frames == 4 and file.info["duration"] == 100
    names = sorted(path.name for path in (tmp_path / "clip").iterdir())
    assert names == [f"{number:06d}.png" for number in range(4)]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "clip" / names[1])), pictures[1])


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip"])
def test_nothing_is_left_of_a_film_that_breaks_off(name: str, pictures: list[np.ndarray], tmp_path: Path) -> None:
    def breaking() -> object:
        yield from pictures[:2]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_clip(tmp_path / name, breaking(), 10.0)
    assert list(tmp_path.iterdir()) == []


def test_the_command_makes_a_film(pain3d: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Look] = []
    monkeypatch.setattr("pain3d.live.film.Portrait", _Blank(shown))
    table = tmp_path / "table.csv"
    table.write_text("frame, timestamp, AU04_r\n1, 0, 1\n2, .1, 2\n3, .2, 5\n")
    out = tmp_path / "clip.gif"
    ran = pain3d("animate", table, "--from", "openface", "--out", out, "--size", 64, "--every", 2, "--json")
    assert ran.code == 0, ran.err
    said = json.loads(ran.out)
    assert said["pictures"] == 2 and said["largest_pspi"] == 5 and said["fps"] == pytest.approx(5)
    assert "the table has no AU6, AU7, AU9, AU10, AU43: PSPI counts 0 for it" in ran.err
    assert [scene.au for scene in shown] == [ActionUnits(AU4=1), ActionUnits(AU4=5)]


class _Blank:
    """Takes no picture, and keeps the scenes that were asked for: the command is tested, not the renderer."""

    def __init__(self, shown: list) -> None:
        self.shown = shown

    def __call__(self, size: int, texels: int) -> "_Blank":
        self.size = size
        return self

    def take(self, scene: object) -> tuple[np.ndarray, np.ndarray]:
        self.shown.append(scene)
        return np.zeros((self.size, self.size, 3), np.uint8), np.zeros((self.size, self.size), np.float32)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--from", "openface", "--out", "clip.avi"), "--out clip.avi: must end in .mp4 or .gif"),
        (("--from", "openpose", "--out", "clip.gif"), "from"),
        (("--from", "openface", "--out", "clip.gif", "--size", "65"), "--size must be even, got 65"),
        (("--from", "openface", "--out", "clip.gif", "--age", "12"), "--age must be a number from 18 to 95"),
        (("--from", "openface", "--out", "clip.gif"), "none.csv: No such file or directory"),
    ],
)
def test_what_cant_be_done_is_one_line(options: tuple[str, ...], said: str, pain3d: Callable[..., Ran]) -> None:
    ran = pain3d("animate", "none.csv", *options)
    assert ran.code == 2 and ran.out == "" and said in ran.err and ran.err.count("\n") == 1


def test_a_look_is_its_scene() -> None:
    look = Look(au=ActionUnits(AU4=2))
    assert look.scene(64) == look.scene(64) and look.scene(64).au.pspi() == 2
    assert replace(look, light_azimuth=10.0).scene(64).light.azimuth == -25  # the studio's key stands at 35
