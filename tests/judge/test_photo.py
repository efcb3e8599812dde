"""Beside photographs: patches, the classifier and the folder that a user brings. No picture here shows a person."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pain3d.console.refused import RefusedError
from pain3d.judge import patches, photo, photographs, telling
from pain3d.judge.patches import EYES, NAMES, Crop, crop, face_statistics

SIDE = round(EYES * patches.SIDE)


def spots(eyes: float = EYES, left: float = 34.0, top: float = 46.0) -> np.ndarray:
    """68 points of a frontal face: what the judge reads of them."""
    points = np.full((68, 2), (left + eyes / 2, top))
    outer = {36: (0, 0), 45: (1, 0), 48: (0.3, 0.85), 54: (0.7, 0.85), 30: (0.5, 0.5), 29: (0.5, 0.3), 57: (0.5, 0.9)}
    outer |= {8: (0.5, 1.2), 3: (-0.1, 0.6), 13: (1.1, 0.6), 5: (0.1, 1.0), 11: (0.9, 1.0)}
    outer |= {19: (0.1, -0.2), 24: (0.9, -0.2), 21: (0.4, -0.2), 22: (0.6, -0.2)}
    for place, (x, y) in outer.items():
        points[place] = (left + x * eyes, top + y * eyes)
    return points


def skin(generator: np.random.Generator, blur: float, colour: float) -> np.ndarray:
    """A crop of noise of one scale on a skin's colour."""
    grain = gaussian_filter(generator.normal(size=(SIDE, SIDE)), blur)
    tint = gaussian_filter(generator.normal(size=(SIDE, SIDE)), 4)
    planes = np.array([190.0, 150.0, 130.0]) + 6 * (grain / grain.std())[..., None]
    return np.clip(planes + colour * (tint / tint.std())[..., None] * (1, -1, -1), 0, 255).round().astype(np.uint8)


def test_a_crop_is_upright_and_its_eyes_stand_apart() -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    points = np.zeros((68, 2))
    points[36], points[45] = (140.0, 160.0), (250.0, 220.0)
    for x, y in points[[36, 45]]:
        cv2.circle(picture, (int(x), int(y)), 6, (255, 255, 255), -1)
    seen = crop(picture, points)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for corner, across in ((36, -0.5), (45, 0.5)):
        middle = SIDE / 2 + across * EYES
        near = (np.abs(columns - middle) < 10) * seen.pixels[..., 0].astype(float)
        assert (near * columns).sum() / near.sum() == pytest.approx(middle, abs=0.5)
        assert (near * rows).sum() / near.sum() == pytest.approx(patches.EYE_ROW * EYES, abs=0.5)
        assert seen.points[corner] == pytest.approx((middle, patches.EYE_ROW * EYES))


def test_statistics_follow_what_was_changed() -> None:
    generator = np.random.default_rng(0)
    points = spots()
    plain = dict(zip(NAMES, face_statistics(Crop(skin(generator, 1.0, 2.0), points)), strict=True))
    coarse = dict(zip(NAMES, face_statistics(Crop(skin(generator, 3.0, 2.0), points)), strict=True))
    blotchy = dict(zip(NAMES, face_statistics(Crop(skin(generator, 1.0, 8.0), points)), strict=True))
    assert coarse["contrast, coarse over fine"] > plain["contrast, coarse over fine"] + 1  # octaves; seen 3.4
    assert coarse["spectral slope of the face"] < plain["spectral slope of the face"] - 0.3  # seen -2.6
    assert coarse["contrast at 2–4 pixels, %"] < plain["contrast at 2–4 pixels, %"]
    assert blotchy["colour at 4–18 pixels"] > 2 * plain["colour at 4–18 pixels"]  # asked for fourfold
    assert plain["kurtosis of gradients"] == pytest.approx(3, abs=0.6)  # of a normal law: 3
    away = face_statistics(Crop(skin(generator, 1.0, 2.0), points + 500))
    assert np.isnan(away).all()


def test_a_spectrum_has_the_slope_of_its_noise() -> None:
    generator = np.random.default_rng(0)
    cycles = np.fft.fftfreq(SIDE) * SIDE
    radius = np.maximum(np.hypot(cycles[:, None], cycles[None]), 1)
    white = np.fft.fft2(generator.normal(size=(SIDE, SIDE)))
    luma = 50 + np.fft.ifft2(white / radius).real  # amplitude 1/f: power falls as f to the −2
    assert patches.spectral_slope(luma) == pytest.approx(-2.0, abs=0.15)  # seen -2.09


def faces(kind: str, people: int, middle: float, sources: int = 1, seed: int = 0) -> photo.Faces:
    """Two faces of each person; the first statistic is centred on `middle`, all others tell nothing."""
    generator = np.random.default_rng((seed, int(10 * middle) + 100))
    numbers = generator.normal(size=(2 * people, len(NAMES)))
    numbers[:, 0] += middle
    names = [f"{kind}/{place // 2}" for place in range(2 * people)]
    return photo.Faces(numbers, names, [f"{kind}{place // 2 % sources}" for place in range(2 * people)])


def test_the_classifier_tells_what_can_be_told_and_no_more() -> None:
    real = faces("real", 60, 0.0, 3)
    for middle, least, most in ((0.0, 0.3, 0.7), (4.0, 0.95, 1.0)):
        found = photo.classified(real, faces("frames", 60, middle, seed=1))
        assert set(found) == {"unseen people", "unseen sources"}
        for told in found.values():
            area, low, high = told.area
            assert least < area <= most and low <= area <= high and high - low < 0.25
    again = photo.classified(real, faces("frames", 60, 4.0, seed=1))
    assert again["unseen people"].area == found["unseen people"].area


def test_no_fold_knows_its_people_or_sources() -> None:
    real, ours = faces("real", 12, 0.0, 3), faces("frames", 9, 1.0)
    truth = np.r_[np.ones(24, bool), np.zeros(18, bool)]
    people, sources = np.array(real.people + ours.people), np.array(real.sources + ours.sources)
    by_person = telling.folds(truth, list(people), None, 0)
    assert all(len(set(by_person[people == person])) == 1 for person in set(people))
    by_source = telling.folds(truth, list(people), list(sources), 0)
    assert [len(set(by_source[sources == f"real{k}"])) for k in range(3)] == [1, 1, 1]
    assert all(0 < (by_source[~truth] == k).sum() < 18 for k in range(3))


def test_a_verdict_says_what_lies_outside_and_of_few_people_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "described", lambda *sources: {})  # the models' files are not asked for here
    verdict = photo.summarise(faces("real", 20, 0.0, 2), faces("frames", 20, 4.0), EYES)
    first = verdict.tables[0].rows[0]  # what tells the two best comes first
    assert first[0] == NAMES[0] and first[8] == "no" and float(str(first[7]).split()[0]) > 80
    assert verdict.measures[0].value == len(NAMES) - 1 and len(verdict.measures) == 5
    assert verdict.figures[0].png.startswith(b"\x89PNG")
    few = photo.summarise(faces("real", 3, 0.0), faces("frames", 20, 4.0), EYES)
    assert len(few.measures) == 1 and "--photographs" in few.words


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sources, one of 50 people with two shots each, and no wheel."""
    monkeypatch.setattr(photographs, "WHEELS", ())
    for source, people in (("studio", 50), ("street", 1)):
        (tmp_path / source).mkdir()
        for person in range(people):
            for shot in ("a", "b"):
                (tmp_path / source / f"{person:03d}_{shot}.jpg").touch()
    return tmp_path


def test_a_folder_gives_some_people_of_each_source(folder: Path) -> None:
    files = photographs.photograph_files(folder)
    studio = [file for file in files if file.source == "studio"]
    assert len(studio) == photographs.MOST_PEOPLE == len({file.person for file in studio})
    assert {file.path.stem[-1] for file in studio} == {"a", "b"}
    assert [file.person for file in files if file.source == "street"] == ["000"]


def test_a_folder_without_sources_is_refused(folder: Path) -> None:
    with pytest.raises(RefusedError, match="no folder with photographs in it"):
        photographs.photograph_files(folder / "street")


def test_a_face_goes_the_way_of_a_frame() -> None:
    generator = np.random.default_rng(1)
    picture = np.kron(skin(generator, 1.0, 2.0), np.ones((4, 4, 1), np.uint8))
    large = spots(240, 140, 190)
    face = photographs.as_frame(picture, large, 120.0, EYES)
    assert face is not None and face.pixels.shape == (SIDE, SIDE, 3)
    assert np.linalg.norm(face.points[45] - face.points[36]) == pytest.approx(EYES, abs=0.5)
    assert photographs.as_frame(picture, spots(40), 120.0, EYES) is None  # nothing is enlarged
    turned = large.copy()
    turned[30, 0] += 60
    assert photographs.as_frame(picture, turned, 120.0, EYES) is None
    assert photographs.is_grey(np.repeat(picture[..., :1], 3, 2)) and not photographs.is_grey(picture)
