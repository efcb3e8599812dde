"""Places of one's own: `synth --environments DIR`, from the file to the row, the card and verify."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pain3d.console.refused import RefusedError
from pain3d.environment.own import open_places, place_of, read_places
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.replaying import replay
from pain3d.pipeline.run import preview, synthesise
from pain3d.pipeline.verification import verify
from pain3d.rendering.frames import render_scenes
from pain3d.scene import Scene


def panorama(window: int) -> bytes:
    """A room of 16 x 32 texels with a window two columns wide."""
    codes = np.full((16, 32, 4), (90, 85, 80, 127), np.uint8)
    codes[6:10, window : window + 2] = (200, 210, 220, 133)
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n" + codes.tobytes()


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    (folder / "a.hdr").write_bytes(panorama(5))
    (folder / "b.HDR").write_bytes(panorama(20))
    (folder / "licence.txt").write_text("CC-BY-4.0\n")
    return folder


def test_a_place_is_turned_to_its_key(rooms: Path) -> None:
    places = open_places(rooms)
    assert places.licence == "CC-BY-4.0" and len(places.names) == 2
    for name in places.names:
        x, _, z = place_of(name, read_places(rooms, places.names)).key_direction
        assert abs(np.degrees(np.arctan2(x, z))) < 6  # half a texel is 5.6°
    with pytest.raises(ValueError, match=r"^environments must hold own:0"):
        place_of("own:" + "0" * 16)


def test_a_data_set_says_whose_places_light_it(rooms: Path, tmp_path: Path) -> None:
    config = SynthConfig(
        identities=2, expressions=1, views=1, size=32, seed=8, device="cpu", cameras="free", environment_share=0.6,
        environments=str(rooms),
    )  # fmt: skip
    synthesise(config, tmp_path / "out", quiet=True)
    assert verify(tmp_path / "out").findings == []
    with pytest.raises(RefusedError, match="lights it, which the data set doesn't hold"):
        replay(tmp_path / "out", "id000000_e00_v0")
    rows = [row for path in (tmp_path / "out/data/frames").iterdir() for row in pq.read_table(path).to_pylist()]
    places = open_places(rooms)
    lit = [row["light"] in places.names for row in rows]
    assert {True, False} == set(lit)
    for row, own in zip(rows, lit, strict=True):
        assert (row["background"] == "environment") == own
        assert row["licence"] == ("CC0-1.0 AND CC-BY-4.0" if own else "CC0-1.0")
    scene = Scene.from_json(rows[lit.index(True)]["scene"])
    with pytest.raises(ValueError, match=r"^environments must hold own:"):
        render_scenes([scene])
    assert render_scenes([scene], environments=read_places(rooms, places.names)).image.shape == (1, 32, 32, 3)
    assert "licence CC-BY-4.0" in (tmp_path / "out/README.md").read_text()
    assert "panoramas (CC-BY-4.0) of whoever" in (tmp_path / "out/croissant.json").read_text()
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.hdr").write_bytes(panorama(9))
    with pytest.raises(RefusedError):  # another place is another configuration
        preview(replace(config, environments=str(other)), tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("notes.txt", b"nothing", "holds no panorama"),
        ("a.hdr", b"#?RADIANCE\n", "a.hdr: damaged"),
        ("licence.txt", b"one\ntwo", "must be one line"),
    ],
)
def test_what_can_not_be_is_refused(file: str, content: bytes, said: str, tmp_path: Path) -> None:
    if file == "licence.txt":
        (tmp_path / "a.hdr").write_bytes(panorama(3))
    (tmp_path / file).write_bytes(content)
    with pytest.raises(RefusedError, match=said):
        open_places(tmp_path)
    with pytest.raises(RefusedError, match="no such folder"):
        open_places(tmp_path / "absent")
