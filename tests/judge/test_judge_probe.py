"""The probe learns what is there to be learnt, says the same twice, and never meets the people it is asked about."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pain3d.console.refused import RefusedError
from pain3d.face.square import SQUARE_COLUMNS, cut, face_square
from pain3d.judge import probe
from pain3d.pipeline.data_set import open_data_set
from pain3d.training.config import TrainConfig, preset
from pain3d.training.data.samples import Samples, pspi_of

SIDE, CROP = 48, 128


class Bars:
    """Grey pictures in which five bars are as bright as five intensities, and two squares say whether eyes are shut."""

    def __init__(self, own: npt.NDArray[np.float64], au: npt.NDArray[np.float32]) -> None:
        self.own, self.au = own, au

    def picture(self, row: int) -> npt.NDArray[np.uint8]:
        picture = np.full((SIDE, SIDE, 3), self.own[row])
        for unit in range(5):
            picture[7 + 7 * unit : 12 + 7 * unit, 15:33] += 24 * self.au[row, unit]
        for left in (3, 36):  # alike on both sides, as a face is: the probe mirrors what it learns from
            picture[15:30, left : left + 9] += 110 * self.au[row, 5]
        return picture.clip(0, 255).astype(np.uint8)

    def heatmap(self, row: int) -> None:
        return None


def toy(people: int, seed: int = 0) -> Samples:
    """Eight pictures of everybody, the first of them neutral; a person's own grey lies under everything."""
    generator = np.random.default_rng(seed)
    subject = np.repeat(np.arange(people), 8)
    au = np.concatenate([generator.integers(0, 6, (len(subject), 5)), generator.integers(0, 2, (len(subject), 1))], 1)
    au[::8] = 0
    au = au.astype(np.float32)
    pspi = pspi_of(au)
    return Samples(
        name="toy",
        key="toy",
        ids=tuple(f"picture{row}" for row in range(len(subject))),
        subjects=tuple(f"person{person}" for person in range(people)),
        subject=subject,
        split=None,
        au=au,
        sides=np.repeat(au[..., None], 2, 2),
        pspi=pspi,
        pain=(pspi >= 1).astype(np.float32),
        neutral=~au.any(1),
        square=np.full((len(subject), 3), np.nan, np.float32),
        slices={"yaw": ("0-15°",) * len(subject)},
        pixels=Bars(generator.uniform(60, 110, people)[subject], au),
    )


def settings(neutral: bool, steps: int) -> TrainConfig:
    """A picture and a batch that are enough for a plain signal, in seconds."""
    small = {"image_size": 32, "batch": 16, "precision": "fp32"}
    alone = {"pspi_weight": 0.0, "binary_weight": 0.0, "validations": 0}
    return replace(preset("tiny", "siamese"), neutral=neutral, steps=steps, **small, **alone)


@pytest.mark.parametrize("neutral", [True, False])
def test_it_learns_a_plain_signal(neutral: bool) -> None:
    tested = probe.teach_and_test(toy(24), settings(neutral, 70), quiet=True)
    assert set(tested.unseen.subject).isdisjoint(tested.taught.subject)
    assert len(tested.unseen) + len(tested.taught) == 24 * 7  # every picture with pain, once
    assert min(probe.scores(tested.unseen)) > 0.8  # seen 0.93 to 1.0
    assert tested.unseen.au.min() >= 0


def test_two_trainings_are_one() -> None:
    first, second = (probe.teach_and_test(toy(4), settings(True, 2), quiet=True).unseen for _ in range(2))
    np.testing.assert_array_equal(first.au, second.au)


def test_halves_share_nobody() -> None:
    identity = np.repeat(np.arange(96), 3)
    taught = probe.taught_half(identity)
    assert set(identity[taught]).isdisjoint(identity[~taught])
    assert sorted(set(identity[taught])) == [*range(24), *range(48, 72)]  # whole grids
    few = probe.taught_half(np.array([5, 5, 9, 11, 30]))
    assert few.tolist() == [True, True, False, True, False]


def test_a_crop_is_the_square() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    picture[60:140, 70:130] = 200
    for scale in (1, 4):  # shrunk first where it is large
        large = np.kron(picture, np.ones((scale, scale, 1), np.uint8))
        seen = cut(large, 100.0 * scale, 100.0 * scale, 104.0 * scale, CROP)
        bright = seen[..., 0] > 100
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert len(rows) == pytest.approx(CROP * 80 / 104, abs=1.1)
        assert len(columns) == pytest.approx(CROP * 60 / 104, abs=1.1)
        assert rows.mean() == pytest.approx((CROP - 1) / 2, abs=0.6) == columns.mean()


def test_the_square_does_not_follow_the_face_it_shows(small: Path) -> None:
    data = open_data_set(small)
    rows = [
        row
        for row in data.rows("frames", (*SQUARE_COLUMNS, "view_id", "identity_id", "bbox"))
        if row["view_id"] == 0 and row["identity_id"] == 0
    ]
    for row in rows:
        x, y, side = face_square(*(row[name] for name in SQUARE_COLUMNS))
        x0, y0, x1, y1 = row["bbox"]
        assert 0.7 * (y1 - y0) < side < 1.6 * (y1 - y0)
        assert x0 < x < x1 and y0 < y < y1
    sides = [face_square(*(row[name] for name in SQUARE_COLUMNS))[2] for row in rows]
    assert max(sides) / min(sides) < 1.04  # one camera: only the turn of the neck moves the eyes nearer


def test_the_probe_runs_on_a_data_set(small: Path, tmp_path: Path, pain3d) -> None:
    ran = pain3d("judge", small, "--probe", "--ablation", small, "--steps", "1", "--to", tmp_path / "v", "--json")
    assert ran.code == 0, ran.err
    page = (tmp_path / "v" / "index.html").read_text()
    assert "What wrinkle maps add" in page and "Unseen people, by |yaw|" in page
    assert '"AU43, AUC on unseen people"' in ran.out


def test_too_few_people_are_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LEAST_PEOPLE", 5)
    with pytest.raises(RefusedError, match="needs 5 identities, there are 4"):
        probe.run_probe(open_data_set(small), 1, True, True)


def test_people_without_a_neutral_picture_or_pain_are_refused() -> None:
    samples = toy(4)
    without = replace(samples, neutral=samples.neutral & (samples.subject != 1))
    with pytest.raises(RefusedError, match="no neutral picture of person1"):
        probe.teach_and_test(without, settings(True, 1), True)
    calm = replace(samples, neutral=samples.neutral | (samples.subject % 2 == 1))
    with pytest.raises(RefusedError, match="needs pictures of pain in both halves"):
        probe.teach_and_test(calm, settings(True, 1), True)
