"""Places: what their light says, that it belongs to what is seen behind, and that scenes draw them by key."""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pain3d.background import BRIGHTEST, SIZE, SURROUNDINGS
from pain3d.camera import Camera
from pain3d.colour import LUMINANCE
from pain3d.console.refused import RefusedError
from pain3d.doors.panoramas import read_environment, read_panorama
from pain3d.environment import ENVIRONMENTS, Environment, analyse, embedded_environment, paint_backdrop
from pain3d.environment import embedded as embedded_module
from pain3d.environment.panorama import MIRRORS, directions, solid_angles, turned
from pain3d.kernels.shading import sh_basis
from pain3d.light import METERED, Light, direction, irradiance_on_face, lit_by
from pain3d.rendering.scene_inputs import own_backgrounds
from pain3d.rendering.shots import lights
from pain3d.scene import CELLS, Scene, sample_scenes
from pain3d.setting import PLACE_AZIMUTH, CameraSetting, LightSetting

ROWS, COLUMNS = 64, 128


def lamp(towards: np.ndarray, radius: float, radiance: float, around: float = 1.0) -> np.ndarray:
    """A panorama [64, 128, 3] of one radiance with a disc of another, radius in radians."""
    distance = np.arccos(np.clip(directions(ROWS, COLUMNS) @ towards, -1, 1))
    return np.where(distance < radius, radiance, around)[..., None].repeat(3, 2)


@pytest.fixture(scope="module")
def lamped() -> Environment:
    return analyse("lamp", lamp(direction(50.0, 20.0), math.radians(10), 40.0).astype(np.float32))


def test_the_file_is_what_its_notice_says() -> None:
    said = (embedded_module.FILE.parent / "NOTICE").read_text()
    assert hashlib.sha256(embedded_module.FILE.read_bytes()).hexdigest() in said
    assert all(name in said for name in ENVIRONMENTS)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_place_is_metered_and_nearly_grey_on_the_face(name: str) -> None:
    place = embedded_environment(name)
    assert np.isfinite(place.strip).all() and place.strip.min() >= 0
    assert [mirror.shape for mirror in place.mirrors] == [(*size, 3) for size in MIRRORS]
    assert np.linalg.norm(place.key_direction) == pytest.approx(1, abs=1e-6) and 0 < place.key_radius < 0.4
    for yaw in (-120.0, 0.0, 75.0):
        light = Light.environment(name, yaw_degrees=yaw, intensity=1.2)
        numbers = [part[0].double().numpy() for part in (light.sh, light.key_direction, light.key_colour)]
        assert irradiance_on_face(*numbers) == pytest.approx(METERED, rel=1e-5)  # float32 keeps 7 digits
        tints = [irradiance_on_face(numbers[0][:, [c] * 3], numbers[1], numbers[2][[c] * 3]) for c in range(3)]
        assert max(tints) / min(tints) < 1.35  # seen at most 1.22, of the night's 2.9 before white balance
        assert float(light.exposure[0]) == pytest.approx(1.2)


def test_a_lamp_is_found_and_taken_out(lamped: Environment) -> None:
    towards, radius = direction(50.0, 20.0), math.radians(10)
    assert math.degrees(math.acos(lamped.key_direction @ towards)) < 0.5  # seen 0.1°; a texel has 2.8°
    assert lamped.key_radius == pytest.approx(radius, rel=0.1)
    shares = solid_angles(ROWS, COLUMNS)
    mean = (lamp(towards, radius, 40.0)[..., 0] * shares).sum() / (4 * math.pi)
    # Irradiance of a disc of radiance 39 above its surroundings: π L sin² R, in units of the mean.
    assert lamped.key_colour == pytest.approx(math.pi * 39 * math.sin(radius) ** 2 / mean, rel=0.05)
    # What is left is even: the constant harmonic of radiance 1 / mean, nothing else.
    assert lamped.sh[0] == pytest.approx(math.sqrt(4 * math.pi) / mean, rel=1e-3)
    assert np.abs(lamped.sh[1:]).max() < 1e-3 * lamped.sh[0, 0]


def test_harmonics_turn_with_their_panorama() -> None:
    generator = np.random.default_rng(0)
    sh = generator.normal(size=(9, 3))
    towards = generator.normal(size=(40, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    yaw = math.radians(37.0)
    # What was seen at an azimuth is seen 37° further to the subject's left.
    x, y, z = towards.T
    moved = np.stack([x * math.cos(yaw) + z * math.sin(yaw), y, z * math.cos(yaw) - x * math.sin(yaw)], 1)
    before, after = (sh_basis(torch.from_numpy(each)).numpy() for each in (towards, moved))
    assert np.allclose(after @ turned(sh, 37.0), before @ sh, atol=1e-12)
    azimuth = np.degrees(np.arctan2(moved[:, 0], moved[:, 2]) - np.arctan2(x, z)) % 360
    assert np.allclose(azimuth, 37.0)


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0.0, 0.0, 0.0), (25.0, -8.0, 0.0), (-30.0, 10.0, 20.0)])
def test_what_stands_behind_is_where_its_light_comes_from(yaw: float, pitch: float, roll: float) -> None:
    setting = CameraSetting(yaw=yaw, pitch=pitch, roll=roll, focal_length_mm=40.0)
    camera = Camera.orbit(yaw, pitch, roll, setting.distance, setting.fov, size=SIZE)
    inwards = -np.array(direction(yaw, pitch))  # along the view axis
    spot = inwards + 0.12 * np.array([math.cos(math.radians(yaw)), 0.0, -math.sin(math.radians(yaw))]) + (0, 0.05, 0)
    spot /= np.linalg.norm(spot)
    turn = 63.0
    back = np.array(direction(math.degrees(math.atan2(spot[0], spot[2])) - turn, math.degrees(math.asin(spot[1]))))
    place = analyse("lamp", lamp(back, math.radians(5), 300.0, 0.2).astype(np.float32))
    seen = paint_backdrop(place, turn, setting, 0.01, np.full(3, 0.02)) @ LUMINANCE
    rows, columns = np.nonzero(seen > 0.5 * seen.max())
    expected = camera.project(torch.from_numpy(1e5 * spot).float()[None, None])[0, 0].numpy()
    # A texel of this panorama is 2.8°, 10 pixels; the middle of the disc is told to a fraction of it. Seen 1.8.
    assert np.hypot(columns.mean() + 0.5 - expected[0], rows.mean() + 0.5 - expected[1]) < 4
    # And the light that it throws comes from there.
    _, towards, _, _ = lit_by(place, turn)
    assert towards @ spot > math.cos(math.radians(1))


def test_a_backdrop_is_finite_everywhere_and_held_back() -> None:
    place = embedded_environment("meadow")
    *_, gains = lit_by(place, 0.0)
    for setting in (CameraSetting(), CameraSetting(yaw=170, pitch=-80, roll=90, focal_length_mm=12)):
        seen = paint_backdrop(place, 0.0, setting, 0.05, 30 * gains)
        assert seen.shape == (SIZE, SIZE, 3) and seen.dtype == np.float32
        assert np.isfinite(seen).all() and seen.min() >= 0 and seen.max() <= BRIGHTEST
    with pytest.raises(ValueError, match=r"^blur must be in"):
        paint_backdrop(place, 0.0, CameraSetting(), 0.2, gains)


def test_scenes_draw_places_by_key() -> None:
    def drawn(share: float, mode: str, identity: int = 3) -> tuple[Scene, ...]:
        return sample_scenes(
            seed=1,
            identity_id=identity,
            cell=CELLS[3],
            expressions=2,
            views=2,
            cameras=mode,
            environments=share,
            size=64,
        )

    for mode, kept in (("fixed", 1), ("free", 6)):
        placed, plain = drawn(1, mode), drawn(0, mode)
        assert len({scene.light for scene in placed}) == kept
        for one, other in zip(placed, plain, strict=True):
            assert one.light.is_place and one.background == SURROUNDINGS and not other.light.is_place
            assert replace(one, light=other.light, background=other.background) == other
            assert Scene.from_json(one.to_json()) == one
            x, _, z = lit_by(embedded_environment(one.light.name), one.light.azimuth)[1]
            assert abs(math.degrees(math.atan2(x, z))) < PLACE_AZIMUTH + 0.01
    first = [drawn(0.4, "fixed", number)[0].light.is_place for number in range(30)]
    assert 0.1 < np.mean(first) < 0.7  # standard error of 30 draws: 0.09
    (one, *_, two), (three, *_, four) = drawn(1, "free"), drawn(0, "free")
    turns = (three, one, four, two)  # presets and places
    mixed = [replace(scene, light=replace(scene.light, size=2.0 + n)) for n, scene in enumerate(turns)]
    together, behind = lights(mixed), own_backgrounds(mixed)
    for number, scene in enumerate(mixed):
        alone = lights([scene])
        assert alone.key_size is not None and alone.key_size.tolist() == pytest.approx([scene.light.size], rel=1e-6)
        for name in ("sh", "key_direction", "key_colour", "exposure", "key_size"):
            assert torch.equal(getattr(together, name)[number], getattr(alone, name)[0]), name
        assert np.array_equal(behind[0][behind[1][number]], own_backgrounds([scene])[0][0])


def test_what_makes_no_sense_is_refused() -> None:
    scene = sample_scenes(seed=0, identity_id=0, cell=CELLS[0], expressions=0, views=1, environments=0)[0]
    with pytest.raises(ValueError, match=r"^background must be no environment"):
        replace(scene, background=SURROUNDINGS)
    with pytest.raises(ValueError, match=r"^elevation must be 0 of a place"):
        LightSetting("lobby", elevation=3.0)
    with pytest.raises(ValueError, match=r"^environment must be one of apartment"):
        Light.environment("disco")
    with pytest.raises(ValueError, match=r"^yaw_degrees must be finite"):
        Light.environment(yaw_degrees=float("nan"))
    with pytest.raises(ValueError, match=r"^environments must be in 0\.\.1"):
        sample_scenes(seed=0, identity_id=0, cell=CELLS[0], environments=2)


def radiance_file(codes: np.ndarray, packed: bool) -> bytes:
    """RGBE [h, w, 4] as Radiance writes it; packed in runs of one value and of many."""
    rows, columns = codes.shape[:2]
    made = bytearray(b"#?RADIANCE\n# by hand\nFORMAT=32-bit_rle_rgbe\nEXPOSURE=1\n\n-Y %d +X %d\n" % (rows, columns))
    for row in codes:
        if not packed:
            made += row.tobytes()
            continue
        made += bytes((2, 2, columns >> 8, columns & 255))
        for channel in row.T.tolist():
            for start in range(0, columns, 16):
                piece = channel[start : start + 16]
                made += bytes((128 + len(piece), piece[0])) if len(set(piece)) == 1 else bytes((len(piece), *piece))
    return bytes(made)


@pytest.mark.parametrize("packed", [False, True])
def test_radiance_is_read(packed: bool, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(3, 255, (16, 32, 4)).astype(np.uint8)
    codes[..., 3] = np.where(np.arange(32) < 16, 130, 127)
    codes[2, 3] = 0
    (tmp_path / "room.hdr").write_bytes(radiance_file(codes, packed))
    found = read_panorama(tmp_path / "room.hdr")
    expected = codes[..., :3] * 2.0 ** (codes[..., 3:].astype(int) - 136)
    expected[2, 3] = 0
    assert np.array_equal(found, expected.astype(np.float32))
    assert read_environment(tmp_path / "room.hdr").name == "room"


def test_exr_is_read_by_its_library_or_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "room.exr"
    corpus = Path(__file__).parent / "doors" / "corpus" / "panoramas"
    small.write_bytes((corpus / "no_channels.exr").read_bytes())
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "OpenEXR", None)
        with pytest.raises(RefusedError, match=r"room\.exr: EXR takes OpenEXR, pip install 'pain3d\[exr\]'"):
            read_panorama(small)
    openexr = pytest.importorskip("OpenEXR")
    radiance = np.random.default_rng(0).random((16, 32, 3)).astype(np.float16)
    header = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage}
    openexr.File(header, {"RGB": radiance}).write(str(small))
    assert np.array_equal(read_panorama(small), radiance.astype(np.float32))
