"""Pictures are read, cut, scored and shown as in training; what can't be scored is refused in one line.

Longer than others: all of `score` is asked of the models that are taught here once.
"""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from pain3d.console.command_line import parse
from pain3d.console.refused import RefusedError
from pain3d.face.detect import Face
from pain3d.training.data import open_data
from pain3d.training.data.batches import crop_side
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.pretrained import save_pretrained
from pain3d.training.prediction import predict
from pain3d.training.score import portrait
from pain3d.training.score.appearance import STATISTICS, picture_statistics
from pain3d.training.score.command import Score, run_score
from pain3d.training.score.out_of_distribution import (
    fit_ood,
    grown,
    load_ood,
    save_ood,
    score_ood,
    shrunk_covariance,
)
from pain3d.training.score.overlay import FULL, SHOWN, marked
from pain3d.training.score.portrait import find_square, read_portrait
from pain3d.training.score.prediction import attention_rollup
from tests.endless import endless_eps
from tests.pain3d_core.test_face import projected

TINY = {"image_size": 64, "conv_stem": True, "depth": 1, "width": 32, "heads": 2, "fusion_heads": 2}


@pytest.fixture(scope="module")
def samples(faces: Path) -> Samples:
    return open_data(faces)


@pytest.fixture(scope="module")
def pictures(samples: Samples, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The pictures of the first person, lossless."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for row in np.flatnonzero(samples.subject == 0):
        paths.append(folder / f"{samples.ids[row]}.png")
        Image.fromarray(samples.pixels.picture(int(row))).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with a model that compares, and what it is used to."""
    model = build_model(ModelConfig(**TINY, spread=True), seed=1)
    folder = tmp_path_factory.mktemp("run")
    save_pretrained(model, folder / "model", {"title": "tiny"})
    features = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    save_ood(folder / "model", fit_ood(features[:150], features[150:]))
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A siamese model that takes no neutral picture, and no measure of what it is used to."""
    folder = tmp_path_factory.mktemp("alone")
    save_pretrained(build_model(ModelConfig(architecture="siamese", image_size=64, neutral=False)), folder, {})
    return folder


def box_of(samples: Samples, row: int) -> str:
    x, y, side = samples.square[row].tolist()
    return ",".join(repr(v) for v in (x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def scored(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict:
    run_score(parse(["score", *map(str, arguments), "--json"], {"score": Score, "other": Score}))
    return json.loads(capsys.readouterr().out)


def refusal(*arguments: str | Path) -> str:
    with pytest.raises(RefusedError) as refused:
        run_score(parse(["score", *map(str, arguments)], {"score": Score, "other": Score}))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_score_is_what_evaluation_says_of_the_same_picture(samples, pictures, run, capsys, tmp_path) -> None:
    first = np.flatnonzero(samples.subject == 0)
    neutral, pain = (int(first[samples.neutral[first] == yes][-1]) for yes in (True, False))
    files = {row: path for row, path in zip(first.tolist(), pictures, strict=True)}
    model = build_model(ModelConfig(**TINY, spread=True), seed=1).eval()
    store = CropStore(replace(samples, neutral=np.arange(len(samples)) == neutral), crop_side(64))
    wanted, feature = predict(
        model, store, [pain], num_references=1, device=torch.device("cpu"), precision=torch.float32
    )
    boxes = ("--box", box_of(samples, pain), "--neutral-box", box_of(samples, neutral))
    out = tmp_path / "out"
    said = scored(capsys, "--model", run, "--neutral", files[neutral], *boxes, "--to", out, files[pain])
    (face,) = said["faces"]
    assert face["pspi"] == pytest.approx(wanted.pspi[0], abs=1e-4)  # the same crop; rounded to 4 digits
    assert list(face["au"].values()) == pytest.approx(wanted.au[0], abs=1e-4)
    assert list(face["at_least"].values()) == pytest.approx(wanted.binary[0], abs=1e-4)
    assert list(face["at_least"].values()) == sorted(face["at_least"].values(), reverse=True)
    fitted = load_ood(run / "model")
    assert fitted is not None
    (far,) = score_ood(fitted, feature)
    assert face["out_of_distribution"]["distance"] == pytest.approx(far.distance, rel=1e-4)
    assert face["pspi_std"] == pytest.approx(wanted.pspi_std[0] * max(1, far.distance / far.threshold), rel=1e-3)
    assert "not a medical device" in said["notice"]
    assert json.loads((out / "scores.json").read_text()) == said
    with Image.open(face["picture"]) as drawn:
        assert drawn.size[0] > 1000 and len(np.unique(np.asarray(drawn))) > 100


def test_a_face_beside_itself_is_told(samples, pictures, run, capsys, tmp_path) -> None:
    """The same file, and the same picture saved again; not another picture of the person."""
    first = np.flatnonzero(samples.subject == 0)
    face, other = (int(np.flatnonzero(samples.neutral[first] == calm)[0]) for calm in (False, True))
    again = tmp_path / "again.jpg"
    Image.open(pictures[face]).convert("RGB").save(again, quality=75)
    boxes = [box_of(samples, int(first[row])) for row in (face, other)]
    for neutral, box, same in (
        (pictures[face], boxes[0], True),
        (again, boxes[0], True),
        (pictures[other], boxes[1], False),
    ):
        said = scored(
            capsys, "--model", run, "--neutral", neutral, "--box", boxes[0], "--neutral-box", box, pictures[face]
        )
        told = [note for note in said["faces"][0]["notes"] if "beside itself" in note]
        assert len(told) == same and (not same or str(neutral) in told[0])


def test_heads_that_contradict_are_told_and_made_to_agree(alone, pictures, capsys) -> None:
    one = ("--model", alone, "--box", "8,8,88,88", pictures[0])
    (as_said,), (agreed,) = scored(capsys, *one)["faces"], scored(capsys, *one, "--consistent")["faces"]
    assert agreed["pspi"] == as_said["pspi"] and abs(as_said["pspi"] - as_said["pspi_of_units"]) > 1
    assert agreed["pspi_of_units"] == pytest.approx(agreed["pspi"], abs=1e-4)  # each rounded to 4 digits
    au = list(agreed["au"].values())
    assert au[0] + max(au[1:3]) + max(au[3:5]) + au[5] == pytest.approx(agreed["pspi"], abs=3e-4)
    run_score(Score((pictures[0],), alone, box="8,8,88,88"))
    assert "heads of their own, --consistent makes them agree" in capsys.readouterr().out


def test_a_model_without_attention_and_pictures_of_one_name(alone, pictures, capsys, tmp_path) -> None:
    again = tmp_path / "b" / pictures[0].name
    again.parent.mkdir()
    again.write_bytes(pictures[0].read_bytes())
    run_score(Score((pictures[0], again), alone, box="8,8,88,88", to=tmp_path / "out"))
    text = capsys.readouterr().out
    assert text.count("of 16") == 2 and "not measured" in text and "not a medical device" in text
    assert "was enlarged" not in text  # 80 pixels are there, 80 are looked at
    stem = pictures[0].stem
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [f"{stem}-2.png", f"{stem}.png", "scores.json"]


def test_a_picture_that_was_scored_is_never_replaced(alone, pictures, capsys, tmp_path) -> None:
    mine = tmp_path / "face.png"
    mine.write_bytes(pictures[0].read_bytes())
    said = scored(capsys, "--model", alone, "--box", "8,8,88,88", "--to", tmp_path, mine)
    assert mine.read_bytes() == pictures[0].read_bytes()
    assert said["faces"][0]["picture"] == str(tmp_path / "face-2.png")


def test_what_cannot_be_scored_is_refused_and_nothing_is_written(run, alone, pictures, tmp_path) -> None:
    face, box, out = pictures[0], ("--box", "8,8,88,88"), tmp_path / "out"
    assert refusal("--model", run, *box, face) == (
        f"{run}: it compares with a neutral face of the same person, give --neutral FILE"
    )
    both = (*box, "--neutral-box", "1,1,9,9")
    assert refusal("--model", alone, "--neutral", face, *both, face).endswith("this model takes no neutral face")
    assert refusal("--model", alone, *both, face) == "--neutral-box goes with --neutral"
    assert refusal("--model", alone, "--box", "1,2,3", face) == "--box must be x0,y0,x1,y1 in pixels, got '1,2,3'"
    assert "upper left" in refusal("--model", alone, "--box", "9,9,1,1", face)
    assert "does not lie in the picture, 96 × 96" in refusal("--model", alone, "--box", "8,8,88,97", face)
    assert "at least 32 are needed" in refusal("--model", alone, "--box", "8,8,28,28", face)
    assert refusal("--model", alone) == "no picture to score: pain3d score --model RUN FACE.jpg"
    assert "no such folder" in refusal("--model", tmp_path / "none", face)
    missing = refusal("--model", alone, *box, "--to", out, face, tmp_path / "none.jpg")
    assert missing == f"{tmp_path / 'none.jpg'}: no such file" and not out.exists()
    assert refusal("--model", alone, *box, "--to", face, face) == f"--to {face}: not a folder"


def test_a_teacher_is_refused(alone, pictures, tmp_path, monkeypatch) -> None:
    from pain3d.training import run as runs

    (alone / runs.RESOLVED).write_text("task: teacher\n")
    monkeypatch.setattr(runs, "open_run", lambda folder: type("Run", (), {"task": "teacher"}))
    assert "learned from heat maps" in refusal("--model", alone, "--box", "8,8,88,88", pictures[0])
    (alone / runs.RESOLVED).unlink()


def test_broken_weights_are_told(pictures, tmp_path) -> None:
    model = build_model(ModelConfig(architecture="siamese", image_size=64, neutral=False))
    torch.nn.init.constant_(model.out.bias, math.nan)
    save_pretrained(model, tmp_path / "model", {})
    assert "no number" in refusal("--model", tmp_path, "--box", "8,8,88,88", pictures[0])


def test_a_program_named_like_a_picture_is_not_run(alone, tmp_path) -> None:
    path = endless_eps(tmp_path / "face.jpg")
    assert refusal("--model", alone, "--box", "8,8,88,88", path) == (
        f"{path}: not a picture that can be read here, convert it to JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"
    )


def face_at(x: float, size: float, turned: bool = False, down: float = 100) -> Face:
    """Eyes, nose and mouth of a frontal face."""
    points = np.array([[-0.2, -0.1], [0.2, -0.1], [0, 0.1], [-0.17, 0.3], [0.17, 0.3]])
    points = points[:, ::-1] * (1, -1) if turned else points
    box = (x - size / 2, down - size / 2, x + size / 2, down + size / 2)
    return Face(box, points * size + (x, down), 0.9)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([face_at(60, 80), face_at(200, 100)], "2 faces found, the largest is scored"),
        ([face_at(200, 100, turned=True)], "tilted by 90°"),
        ([face_at(200, 100)], None),
    ],
)
def test_the_largest_face_is_taken(monkeypatch, found: list[Face], says: str | None) -> None:
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda picture: found)
    (x, y, side), notes, roll = find_square(Path("a.jpg"), np.zeros((200, 300, 3), np.uint8))
    assert abs(x - 200) < 20 and abs(y - 100) < 20 and 80 < side < 120
    assert (notes == []) if says is None else (len(notes) == 1 and says in notes[0])
    assert abs(roll) == (90 if says == "tilted by 90°" else 0)


@pytest.mark.parametrize("roll", [90, -90, 40])
def test_a_face_that_lies_is_turned_upright(monkeypatch, tmp_path, roll: int) -> None:
    """A dot on the chin comes to lie below the middle of the crop, whichever way the head lies."""
    angle, upright = np.radians(roll), face_at(0, 100, down=0).points
    around = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points, chin = upright @ around + 150, np.array((0.0, 45.0)) @ around + 150
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda picture: [Face((100, 100, 200, 200), points, 0.9)])
    rows, columns = np.mgrid[:300, :300] + 0.5
    dot = np.hypot(columns - chin[0], rows - chin[1]) < 6
    Image.fromarray(np.repeat(np.uint8(255) * dot[..., None], 3, 2)).save(tmp_path / "lying.png")
    portrait = read_portrait(tmp_path / "lying.png", None, 100)
    y, x = np.argwhere(portrait.crop[..., 0] > 128).mean(0)
    assert (
        abs(x + 0.5 - 50) < 2
        and 70 < y < 95
        and portrait.notes == (f"the head is tilted by {abs(roll)}°; it was turned upright",)
    )


def test_a_face_that_the_edge_cuts_is_told_and_then_refused(alone, pictures, capsys) -> None:
    """96 pixels a side; the box is in the picture, the square around its longer side is not."""
    said = scored(capsys, "--model", alone, "--box", "0,8,40,88", pictures[0])
    assert said["faces"][0]["notes"] == ["25% of the face lie outside the picture; the edge was repeated there"]
    message = refusal("--model", alone, "--box", "0,8,30,88", pictures[0])
    assert message == f"{pictures[0]}: 31% of the face lie outside the picture, too little of it is seen"
    assert scored(capsys, "--model", alone, "--box", "0,8,76,88", pictures[0])["faces"][0]["notes"] == []


@pytest.mark.parametrize(
    ("yaw", "pitch", "says"),
    [
        (0, 0, []),
        (-45, 9, []),
        (57, 0, ["the head is turned by about 54°; the model learned from up to 44°"]),
        (0, 18, ["the head is seen from far above; the model learned from up to 20°"]),
        (0, -15, ["the head is seen from far below; the model learned from up to 20°"]),
        (-75, 0, "the head is turned by about 72°, one eye is not seen"),
    ],
)
def test_a_pose_that_no_model_learned_is_told(monkeypatch, yaw: int, pitch: int, says: list[str] | str) -> None:
    points, _ = projected(yaw, pitch, 0, 1000, 100 + 100j)
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda picture: [Face((40, 40, 160, 160), points, 0.9)])
    picture = np.zeros((200, 200, 3), np.uint8)
    if isinstance(says, str):
        with pytest.raises(RefusedError, match=says):
            find_square(Path("a.jpg"), picture)
    else:
        assert find_square(Path("a.jpg"), picture)[1] == says


def test_an_eye_beyond_the_edge_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda picture: [face_at(10, 100)])
    with pytest.raises(RefusedError, match=r"^a\.jpg: an eye lies outside the picture$"):
        find_square(Path("a.jpg"), np.zeros((200, 200, 3), np.uint8))


def test_what_can_not_be_scored_is_skipped_and_listed(alone, pictures, tmp_path, capsys) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    faces = (str(tmp_path / "text.jpg"), str(pictures[0]), str(tmp_path / "none.jpg"))
    words = ["score", "--model", str(alone), "--box", "8,8,88,88", *faces, "--to", str(tmp_path / "out"), "--json"]
    command = {"score": Score, "other": Score}
    assert run_score(parse([*words, "--skip"], command)) == 1
    ran = capsys.readouterr()
    said = json.loads(ran.out)
    assert [face["file"] for face in said["faces"]] == [faces[1]]
    assert [line.partition(": ")[0] for line in said["skipped"]] == [faces[0], faces[2]]
    assert ran.err.count("\n") == 2 and f"skipped: {faces[2]}: no such file" in ran.err
    with pytest.raises(RefusedError, match=r"none\.jpg: no such file"):
        run_score(parse(words, command))
    with pytest.raises(RefusedError, match=r"^none of 1 pictures can be scored; .*none\.jpg: no such file$"):
        run_score(parse([*words[:5], faces[2], "--skip"], command))
    assert run_score(parse([*words[:5], faces[1], "--skip"], command)) == 0


def test_no_face_and_a_small_one(monkeypatch, pictures) -> None:
    found: list[Face] = []
    monkeypatch.setattr("pain3d.face.detect.find_faces", lambda picture: found)
    with pytest.raises(RefusedError, match="no face found; give its place with --box"):
        read_portrait(pictures[0], None, 80)
    found.append(face_at(48, 50, down=48))
    assert "was enlarged to 128" in read_portrait(pictures[0], None, 128).notes[0]
    assert portrait.LEAST_SIDE < 50


def test_what_lies_out_of_distribution_is_told(tmp_path) -> None:
    generator = torch.Generator().manual_seed(2)
    mix = torch.randn(16, 16, generator=generator)
    known, other, strange = (torch.randn(n, 16, generator=generator) @ mix for n in (400, 200, 5))
    fitted = fit_ood(known, other)
    save_ood(tmp_path, fitted)
    read = load_ood(tmp_path)
    assert read is not None and all(torch.equal(read[name], fitted[name]) for name in fitted)
    usual = score_ood(read, other)
    assert sum(one.outlier for one in usual) == 6  # 3 % of 200
    assert np.mean([one.distance for one in usual]) == pytest.approx(1, abs=0.1)  # seen 0.99
    far = score_ood(read, strange + 10 * mix[0] * mix[0].norm())
    assert all(one.outlier and one.quantile > 0.998 for one in far)
    assert load_ood(tmp_path / "nothing") is None


def test_a_picture_of_another_kind_is_told_where_features_are_alike() -> None:
    """Smooth faces were learned from; grain of which a net learned to say the same is not one of them."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.randn(300, 3, 8, 8, generator=generator)
    seen = F.interpolate(coarse, size=64, mode="bicubic") + 0.02 * torch.randn(300, 3, 64, 64, generator=generator)
    features = torch.cat([torch.randn(300, 8, generator=generator), picture_statistics(seen)], 1)
    assert features.shape == (300, 8 + STATISTICS) and features.isfinite().all()
    fitted = fit_ood(features[:200], features[200:], STATISTICS)
    grained = torch.cat([features[200:, :8], picture_statistics(seen[200:] + 0.2 * torch.randn(100, 3, 64, 64))], 1)
    assert sum(one.outlier for one in score_ood(fitted, features[200:])) == 3
    assert all(one.outlier and one.distance > 2 for one in score_ood(fitted, grained))
    within = fit_ood(features[:200, :8], features[200:, :8])  # as an older pain3d left it: its first features are read
    assert sum(one.outlier for one in score_ood(within, grained)) == 3
    spread = grown(torch.ones(100), fitted, grained)
    assert (spread > 2).all() and (grown(torch.ones(100), fitted, features[200:]) >= 1).all()
    assert picture_statistics(torch.zeros(1, 3, 16, 16)).isfinite().all()


def test_shrinking_is_that_of_ledoit_and_wolf() -> None:
    from sklearn.covariance import ledoit_wolf

    features = np.random.default_rng(3).normal(size=(40, 12)) @ np.diag(np.linspace(0.1, 3, 12)) + 5
    wanted, share = ledoit_wolf(features)
    assert 0.05 < share < 0.95
    assert shrunk_covariance(torch.from_numpy(features)).numpy() == pytest.approx(wanted, rel=1e-9)


def test_features_that_never_vary_and_more_features_than_pictures() -> None:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(6, 40, generator=generator)
    features[:, 3] = 7.0
    for known in (features, torch.ones(5, 4)):
        told = score_ood(fit_ood(known, known[:2]), known)
        assert all(math.isfinite(one.distance) for one in told)
    with pytest.raises(ValueError, match="a spread takes 2 pictures"):
        fit_ood(features[:1], features)


def test_a_damaged_measure_is_named(tmp_path: Path) -> None:
    features = torch.randn(9, 4, generator=torch.Generator().manual_seed(5))
    save_ood(tmp_path, fit_ood(features, features))
    path = tmp_path / "out_of_distribution.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(RefusedError, match=r"out_of_distribution.safetensors: damaged"):
        load_ood(tmp_path)


def test_a_measure_of_an_older_version_is_named(tmp_path: Path) -> None:
    (tmp_path / "familiarity.safetensors").write_bytes(b"as it was")
    with pytest.raises(RefusedError) as refused:
        load_ood(tmp_path)
    old = tmp_path / "familiarity.safetensors"
    assert str(refused.value) == f"{old}: of an older pain3d, rename it to out_of_distribution.safetensors"


def test_attention_is_followed_through_the_patches() -> None:
    units = torch.zeros(1, 6, 2)
    units[..., 1] = 1  # every unit looks at the second patch
    neutral = torch.zeros(1, 2, 3, 4)  # tokens: CLS, two patches
    neutral[:, :, 0, 0] = neutral[:, :, 1, 1] = 1
    neutral[:, 0, 2, 2] = neutral[:, 1, 2, 3] = 1  # the second patch: one head at neutral token 2, one at 3
    assert attention_rollup(units, neutral).tolist() == [[0, 0, 0.5, 0.5]]


def test_even_attention_has_no_colour_and_much_has_it() -> None:
    face = np.full((64, 64, 3), 128, np.uint8)
    even = marked(face, np.full((4, 4), 1 / 16))
    assert even.shape == (SHOWN, SHOWN, 3) and (even == 128).all()
    shares = np.full((4, 4), (1 - FULL / 16) / 15)
    shares[0, 3] = FULL / 16
    shown = marked(face, shares)
    red, _, blue = shown[SHOWN // 8, -SHOWN // 8].astype(int)
    assert red > 160 and blue < 80 and (shown[-SHOWN // 8, SHOWN // 8] == 128).all()
