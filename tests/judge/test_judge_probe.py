"""The probe learns what is there to be learnt, says the same twice, and never meets the people it is asked about."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pain3d.console.refused import RefusedError
from pain3d.face.square import SQUARE_COLUMNS, cut, face_square
from pain3d.judge import probe, probe_net
from pain3d.judge.probe_net import SIDE, Probe, ask, augmented, plain, train
from pain3d.pipeline.data_set import open_data_set

CROP = probe.CROP


def toy(people: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grey pictures in which five bars are as bright as five intensities, and two squares say whether eyes are closed.

    The first picture of each person is neutral; a person's own grey lies under everything.
    """
    generator = np.random.default_rng(seed)
    pictures, labels, person = [], [], []
    for number in range(people):
        own = generator.uniform(60, 110)
        for expression in range(8):
            au = np.zeros(6) if expression == 0 else np.append(generator.integers(0, 6, 5), generator.integers(0, 2))
            picture = np.full((CROP, CROP, 3), own)
            for unit in range(5):
                picture[20 + 18 * unit : 32 + 18 * unit, 40:88] += 24 * au[unit]
            for left in (8, 96):  # alike on both sides, as a face is: the probe mirrors what it learns from
                picture[40:80, left : left + 24] += 110 * au[5]
            pictures.append(picture.clip(0, 255).astype(np.uint8))
            labels.append(au)
            person.append(number)
    neutrals = np.arange(people)[:, None] * 8
    return (
        torch.from_numpy(np.stack(pictures)),
        torch.tensor(np.array(labels), dtype=torch.float32),
        torch.tensor(person),
        torch.from_numpy(neutrals),
    )


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A net and a batch that are enough for a plain signal, in seconds."""
    monkeypatch.setattr(probe_net, "STAGES", ((8, 0), (16, 0), (16, 0), (32, 0)))
    monkeypatch.setattr(probe_net, "PEOPLE", 4)


@pytest.mark.parametrize("neutral", [True, False])
def test_it_learns_a_plain_signal(neutral: bool, narrow: None) -> None:
    net = train(toy(24, 0), 60, 0, neutral, lambda pictures: None)
    others = toy(12, 1)
    said = ask(net, others, lambda pictures: None).numpy().astype(float)
    scores = probe._scores(said, others[1].numpy().astype(float))
    assert min(scores) > 0.8  # seen 0.91 to 1.0
    assert said[:, 5].min() >= 0 and said[:, 5].max() <= 1


def test_two_trainings_are_one(narrow: None) -> None:
    pool = toy(3, 0)
    first, second = (train(pool, 2, 5, True, lambda pictures: None).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_net_has_the_shapes_it_says() -> None:
    for neutral in (True, False):
        net = Probe(0, neutral).eval()
        faces = net.encode(torch.zeros(2, 3, SIDE, SIDE))
        assert net.decide(faces, faces if neutral else None).shape == (2, 6)


def test_augmentation_keeps_the_picture_and_is_seeded() -> None:
    crops = toy(1, 3)[0]
    still = plain(crops)
    moved = [augmented(crops, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*moved) and moved[0].shape == still.shape == (8, 3, SIDE, SIDE)
    assert not torch.equal(moved[0], still)
    assert (moved[0].mean((1, 2, 3)) - still.mean((1, 2, 3))).abs().max() < 0.9  # gain 20 % of about 0.6 / 0.25


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
        seen = cut(large, 100.0 * scale, 100.0 * scale, 104.0 * scale, probe.CROP)
        bright = seen[..., 0] > 100
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert len(rows) == pytest.approx(CROP * 80 / 104, abs=1.1)
        assert len(columns) == pytest.approx(CROP * 60 / 104, abs=1.1)
        assert rows.mean() == pytest.approx((CROP - 1) / 2, abs=0.6) == columns.mean()


def test_the_square_does_not_follow_the_face_it_shows(small: Path) -> None:
    data = open_data_set(small)
    rows = [
        row for row in data.rows("frames", (*probe.COLUMNS, "bbox")) if row["view_id"] == 0 and row["identity_id"] == 0
    ]
    for row in rows:
        x, y, side = face_square(*(row[name] for name in SQUARE_COLUMNS))
        x0, y0, x1, y1 = row["bbox"]
        assert 0.7 * (y1 - y0) < side < 1.6 * (y1 - y0)
        assert x0 < x < x1 and y0 < y < y1
    sides = [face_square(*(row[name] for name in SQUARE_COLUMNS))[2] for row in rows]
    assert max(sides) / min(sides) < 1.04  # one camera: only the turn of the neck moves the eyes nearer


def test_the_probe_runs_on_a_data_set(small: Path, tmp_path: Path, pain3d, narrow: None) -> None:
    ran = pain3d("judge", small, "--probe", "--ablation", small, "--steps", "1", "--to", tmp_path / "v", "--json")
    assert ran.code == 0, ran.err
    page = (tmp_path / "v" / "index.html").read_text()
    assert "What wrinkle maps add" in page and "Unseen people, by |yaw|" in page
    assert '"AU43, AUC on unseen people"' in ran.out


def test_too_few_people_are_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LEAST_PEOPLE", 5)
    with pytest.raises(RefusedError, match="needs 5 identities, there are 4"):
        probe.run_probe(open_data_set(small), 1, True, True)
