"""What is on disk: rows, pictures, how others read it, and that speed options never change a byte."""

import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pain3d.doors.pictures import decode_levels
from pain3d.encoding import encode_image
from pain3d.head import Head
from pain3d.landmarks import GROUPS, LANDMARKS
from pain3d.pipeline.run import synthesise
from pain3d.records import (
    COLUMNS,
    NO_PART,
    PARTS,
    ROW_GROUP_ROWS,
    SPLITS,
    SUBSETS,
    VIEW_COLUMNS,
    arrow_schema,
    columns_of,
)
from pain3d.scene import Scene
from tests.pipeline.conftest import SMALL, hashes

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"
MUST_HAVE = {
    "sample_id", "identity_id", "expression_id", "view_id", "split", "image", "heatmap", "AU04", "AU06", "AU07",
    "AU09", "AU10", "AU43", "PSPI", "neutral", "age_group", "sex", "ancestry",
}  # fmt: skip


@pytest.fixture(scope="module")
def frames(small: Path) -> pd.DataFrame:
    return pd.read_parquet(small / "data" / "frames")


def test_rows(frames: pd.DataFrame) -> None:
    assert set(frames.columns) >= MUST_HAVE
    assert len(frames) == 4 * 4 * 2
    assert frames.sample_id.is_unique
    assert "id000003_e02_v1" in set(frames.sample_id)
    assert frames.groupby("identity_id").split.nunique().max() == 1
    assert set(frames.split) == set(SPLITS)
    assert frames.synthetic.all() and set(frames.licence) == {"CC0-1.0"}


def test_pspi_is_of_the_action_units(frames: pd.DataFrame) -> None:
    upper, lower = frames[["AU06", "AU07"]].max(axis=1), frames[["AU09", "AU10"]].max(axis=1)
    np.testing.assert_array_equal(frames.PSPI, frames.AU04 + upper + lower + frames.AU43)
    assert frames.PSPI.max() > 0


def test_neutral_rows_are_zero(frames: pd.DataFrame) -> None:
    neutral = frames[frames.neutral]
    assert len(neutral) == 4 * 2
    units = [name for name in frames.columns if name.startswith("AU")]
    assert not neutral[units].to_numpy().any() and not neutral.PSPI.any()
    for heatmap in neutral.heatmap:
        assert not np.asarray(Image.open(io.BytesIO(heatmap["bytes"]))).any()
    moved = [np.asarray(Image.open(io.BytesIO(heatmap["bytes"]))).any() for heatmap in frames[frames.PSPI > 0].heatmap]
    assert all(moved)


def test_pictures_decode(frames: pd.DataFrame) -> None:
    for image, heatmap, name in zip(frames.image, frames.heatmap, frames.sample_id, strict=True):
        picture, map_ = Image.open(io.BytesIO(image["bytes"])), Image.open(io.BytesIO(heatmap["bytes"]))
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (64, 64))
        assert (map_.format, map_.mode, map_.size) == ("PNG", "L", (64, 64))
        assert image["path"] == f"{name}.jpg"


def test_cameras_project_landmarks_to_their_pixels(frames: pd.DataFrame) -> None:
    for row in frames.itertuples():
        points = np.stack(row.landmarks_3d)
        view = points @ np.stack(row.camera_R).T + row.camera_t
        pixels = np.stack(row.camera_K) @ np.stack([view[:, 0], -view[:, 1], -view[:, 2]])
        np.testing.assert_allclose(pixels[:2].T / pixels[2:].T, np.stack(row.landmarks_2d), atol=2e-3)  # px; seen 1e-4


def test_the_page_of_formats_turns_our_camera_into_that_of_opencv(small: Path) -> None:
    page = FORMATS.read_text()
    (code,) = (code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "import cv2" in code)
    names: dict[str, Any] = {}
    exec(code.replace("out/mine", str(small)), names)
    # Worst seen of 360 pictures at 256²: 3.1e-5 px; K, R and t are float32.
    np.testing.assert_allclose(names["pixels"][:, 0], np.stack(names["row"].landmarks_2d), atol=1e-3)


def test_lenses_that_distort_are_those_of_opencv(tmp_path: Path) -> None:
    """In every row of frames and of pairs, of the neutral picture too; the box is around what the lens shows."""
    config = replace(SMALL, identities=1, expressions=1, views=3, cameras="free", distortion_share=0.8)
    synthesise(config, tmp_path / "out", quiet=True)
    names = ("landmarks_3d", "landmarks_2d", "bbox", *(f"camera_{name}" for name in ("R", "t", "K", "distortion")))
    seen, flip = set(), np.diag([1.0, -1.0, -1.0])
    for subset, prefixes in (("frames", ("",)), ("pairs", ("", "neutral_"))):
        (path,) = (tmp_path / "out" / "data" / subset).iterdir()
        for row, prefix in product(pq.read_table(path).to_pylist(), prefixes):
            points, wanted, box, turn, shift, k, k1 = (np.array(row[prefix + name]) for name in names)
            told = cv2.Rodrigues(flip @ turn)[0], flip @ shift, k, np.array([k1, 0, 0, 0])
            pixels = cv2.projectPoints(points, *told)[0][:, 0]
            np.testing.assert_allclose(pixels, wanted, atol=1e-3)  # px; seen 1e-5
            np.testing.assert_allclose(np.r_[pixels[:68].min(0), pixels[:68].max(0)], box, atol=1e-3)
            seen.add(float(k1))
    assert 0 in seen and min(seen) < 0 < max(seen)


def test_landmarks_are_in_the_order_that_is_documented(frames: pd.DataFrame) -> None:
    page = FORMATS.read_text()
    for group in GROUPS:
        assert f"| {group.first}–{group.first + group.points - 1} | {group.name} | {group.course} |" in page
    assert [group.first for group in GROUPS] == np.cumsum([0, *(group.points for group in GROUPS[:-1])]).tolist()
    names = Head.default().landmark_names
    assert len(names) == LANDMARKS and names[68:] == (
        "right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer", "right_pupil", "left_pupil",
    )  # fmt: skip
    template = Head.default().template[Head.default().landmarks].numpy()  # +x is the person's left, +y up
    of = {group.name: template[group.first : group.first + group.points] for group in GROUPS}
    for name, points in of.items():
        if name.split()[0] in ("right", "left") and len(points) > 2:
            assert (points[:, 0] < 0).all() == name.startswith("right")
    assert of["jaw"][0, 0] < 0 < of["jaw"][16, 0] and of["jaw"][:, 1].argmin() == 8
    for name in ("right brow", "left brow", "base of the nose"):
        assert (np.diff(of[name][:, 0]) > 0).all(), name  # from the person's right to the left
    assert (np.diff(of["ridge of the nose"][:, 1]) < 0).all()
    for name, corner in (
        ("right eye", 3),
        ("left eye", 3),
        ("outer line of the lips", 6),
        ("inner line of the lips", 4),
    ):
        points = of[name]
        assert points[:, 0].argmin() == 0 and points[:, 0].argmax() == corner, name
        upper, lower = points[1:corner], points[corner + 1 :]
        assert (np.diff(upper[:, 0]) > 0).all() and (np.diff(lower[:, 0]) < 0).all(), name
        assert upper[:, 1].mean() > lower[:, 1].mean() or name.startswith("inner"), name  # lips that are shut touch
    np.testing.assert_array_equal(of["eye corners"], template[[36, 39, 42, 45]])
    for points in frames.landmarks_2d:
        assert np.stack(points).shape == (LANDMARKS, 2)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dense") / "dense"
    synthesise(replace(SMALL, identities=1, expressions=1, dense="depth,parts"), out, quiet=True)
    return out


def test_depth_and_parts_are_of_what_the_picture_shows(dense: Path, small: Path) -> None:
    (path,) = (dense / "data" / "frames").glob("*")
    assert [*pq.read_schema(path).names] == [column.name for column in columns_of("frames", "depth,parts")]
    plain = {row["sample_id"]: row for row in pq.read_table(small / "data" / "frames").to_pylist()}
    for row in pq.read_table(path).to_pylist():
        without = {name for name, value in plain[row["sample_id"]].items() if value != row[name]}
        assert without <= {"config_hash", "split"}
        depth = decode_levels(row["depth"]["bytes"], 16) * (row["depth_unit_mm"] / 1000)
        parts = decode_levels(row["parts"]["bytes"], 8)
        assert ((depth > 0) == (parts != NO_PART)).all()
        assert np.mean(depth > 0) == pytest.approx(row["coverage"], abs=0.02)  # that one is antialiased
        # Back into the world: the points lie where the head has its vertices, eyes where the pupils are.
        ys, xs = np.nonzero(depth)
        rays = np.linalg.inv(np.array(row["camera_K"])) @ np.stack([xs + 0.5, ys + 0.5, np.ones(len(xs))])
        view = (rays * depth[ys, xs]).T * [1, -1, -1]
        world = (view - np.array(row["camera_t"])) @ np.array(row["camera_R"])
        landmarks = np.array(row["landmarks_3d"])
        seen = parts[ys, xs]
        assert (np.abs(world[seen == PARTS.index("skin")]) < 0.2).all()
        for side, pupil in (("right_eye", 72), ("left_eye", 73)):
            eye = world[seen == PARTS.index(side)]
            assert len(eye) == 0 or np.linalg.norm(eye - landmarks[pupil], axis=1).max() < 0.025  # an eyeball's width
        nose = np.linalg.norm(world - landmarks[30], axis=1).min()
        assert nose < 0.006  # a pixel of 64 is 5 mm


def test_parts_are_those_of_the_head() -> None:
    assert Head.default().part_names == PARTS


def test_the_card_tells_of_depth_and_parts(dense: Path, small: Path) -> None:
    card, other = ((out / "README.md").read_text() for out in (dense, small))
    assert "| `depth_unit_mm` | float32 |" in card and "- `parts` is an 8-bit" in card and "|\n\n|" not in card
    assert "depth_unit_mm" not in other and "- `parts`" not in other


def test_scene_of_a_row(frames: pd.DataFrame) -> None:
    row = frames.iloc[5]
    scene = Scene.from_json(row.scene)
    assert (scene.seed, scene.identity_id, scene.expression_id, scene.view_id) == (
        row.seed, row.identity_id, row.expression_id, row.view_id,
    )  # fmt: skip
    assert len(row.scene.encode()) <= 2048


def test_pairs_are_the_pictures_of_frames(small: Path, frames: pd.DataFrame) -> None:
    pairs = pd.read_parquet(small / "data" / "pairs")
    assert len(pairs) == 4 * 3 * 2
    by_name = frames.set_index("sample_id")
    for row in pairs.itertuples():
        neutral = by_name.loc[f"id{row.identity_id:06d}_e00_v{row.view_id}"]
        assert row.neutral_image == neutral.image
        assert row.image == by_name.loc[row.sample_id].image
        assert by_name.loc[row.sample_id].PSPI == row.PSPI


def test_pairs_have_the_cameras_poses_and_landmarks_of_frames(small: Path) -> None:
    frames, pairs = (pq.read_table(small / "data" / subset).to_pylist() for subset in ("frames", "pairs"))
    by_name = {row["sample_id"]: row for row in frames}
    for row in pairs:
        image, neutral = by_name[row["sample_id"]], by_name[f"id{row['identity_id']:06d}_e00_v{row['view_id']}"]
        assert {name: row[name] for name in VIEW_COLUMNS} == {name: image[name] for name in VIEW_COLUMNS}
        beside = {f"neutral_{name}": neutral[name] for name in VIEW_COLUMNS}
        assert {name: row[name] for name in beside} == beside
        assert row["camera_convention"] == image["camera_convention"] == neutral["camera_convention"]


@pytest.mark.parametrize("subset", SUBSETS)
def test_files_follow_the_records(small: Path, subset: str) -> None:
    for path in (small / "data" / subset).iterdir():
        file = pq.ParquetFile(path)
        assert file.schema_arrow.equals(arrow_schema(subset), check_metadata=False)
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == [column.name for column in COLUMNS[subset]]
        for column in COLUMNS[subset]:
            said = file.schema_arrow.field(column.name).metadata
            assert said[b"description"].decode() == column.meaning
            assert said.get(b"unit", b"").decode() == column.unit
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        assert max(group.num_rows for group in groups) <= ROW_GROUP_ROWS
        for group in groups:
            for number in range(group.num_columns):
                column = group.column(number)
                raw = column.path_in_schema.endswith(".bytes")
                assert column.compression == ("UNCOMPRESSED" if raw else "ZSTD"), column.path_in_schema


def test_others_load_it_without_pain3d(small: Path, tmp_path: Path) -> None:
    script = f"""
import sys
sys.modules["pain3d"] = None
from datasets import load_dataset
import pandas
counts = dict(frames=4 * 4 * 2, pairs=4 * 3 * 2, expressions=4 * 4, identities=4)
for subset, rows in counts.items():
    loaded = load_dataset({str(small)!r}, subset, cache_dir={str(tmp_path)!r})
    assert list(loaded) == ["train", "validation", "test"], loaded
    assert sum(len(split) for split in loaded.values()) == rows, (subset, loaded)
    assert len(pandas.read_parquet({str(small / "data")!r} + "/" + subset)) == rows
row = load_dataset({str(small)!r}, "frames", split="test", cache_dir={str(tmp_path)!r})[7]
assert row["image"].size == (64, 64) and row["image"].mode == "RGB"
assert row["heatmap"].mode == "L" and not row["neutral"]
assert len(row["camera_K"]) == 3 and len(row["landmarks_2d"][0]) == 2
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_data_set_of_one_split_loads(tmp_path: Path) -> None:
    from datasets import load_dataset

    synthesise(replace(SMALL, identities=1, expressions=1), tmp_path / "one", quiet=True)
    loaded = load_dataset(str(tmp_path / "one"), "pairs", cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2}
    card = (tmp_path / "one" / "README.md").read_text()
    assert "there is no validation and no test split" in card


@pytest.mark.parametrize("how", [{}, {"batch_size": 7}, {"processes": 2}, {"processes": 2, "batch_size": 2}])
def test_speed_options_change_no_byte(small: Path, tmp_path: Path, how: dict[str, int]) -> None:
    synthesise(replace(SMALL, **how), tmp_path / "small", quiet=True)
    assert hashes(tmp_path / "small") == hashes(small)


def test_an_identity_does_not_depend_on_the_others(small: Path, tmp_path: Path) -> None:
    synthesise(replace(SMALL, identities=5, identities_per_shard=1), tmp_path / "five", quiet=True)
    rows, more = (
        {row["sample_id"]: row for row in pq.read_table(out / "data" / "frames").to_pylist()}
        for out in (small, tmp_path / "five")
    )
    for name, row in rows.items():
        differs = {column for column in row if row[column] != more[name][column]}
        assert differs <= {"config_hash", "split"}  # these are of the data set, all else is of the scene


def test_another_seed_is_another_data_set(frames: pd.DataFrame, tmp_path: Path) -> None:
    synthesise(replace(SMALL, identities=1, seed=8), tmp_path / "other", quiet=True)
    other = pd.read_parquet(tmp_path / "other" / "data" / "frames")
    mine = {hashlib.sha256(image["bytes"]).digest() for image in frames.image}
    assert mine.isdisjoint(hashlib.sha256(image["bytes"]).digest() for image in other.image)


def test_manifest_and_resolved_configuration(small: Path) -> None:
    manifest = json.loads((small / "manifest.json").read_text())
    files = [file for shard in manifest["shards"] for file in shard["files"]]
    assert {file["path"]: file["sha256"] for file in files} == {
        f"data/{name}": digest for name, digest in hashes(small / "data").items()
    }
    assert manifest["counts"]["frames"] == {"train": 16, "validation": 8, "test": 8}
    resolved = yaml.safe_load((small / "config.resolved.yaml").read_text())
    assert resolved == manifest["resolved"]
    assert resolved["identities"] == 4 and resolved["device_class"] == "cpu" and len(resolved["config_hash"]) == 64
    assert not list(small.rglob(".*")) and not (small / "manifest.partial.jsonl").exists()


def test_card_names_every_file(small: Path) -> None:
    head = yaml.safe_load((small / "README.md").read_text().split("---\n")[1])
    assert [config["config_name"] for config in head["configs"]] == list(SUBSETS)
    listed = {path for config in head["configs"] for data in config["data_files"] for path in small.glob(data["path"])}
    assert listed == set((small / "data").rglob("*.parquet"))
    text = (small / "README.md").read_text()
    braces = text.replace("{bytes, path}", "").replace('{"frames/split": "train"}', "")
    assert "{" not in braces and "|\n\n|" not in text  # rendered, and its tables whole
    assert (small / "LICENSES" / "CC0-1.0.txt").stat().st_size > 6000


def test_every_image_has_its_own_camera_and_quality(small: Path, tmp_path: Path) -> None:
    def rows(out: Path) -> list[dict[str, Any]]:
        columns = ["expression_id", "view_id", "image", "jpeg_quality", "camera_R", "background_blur", "scene"]
        tables = [pq.read_table(path, columns=columns) for path in sorted(out.glob("data/frames/*"))]
        return [row for table in tables for row in table.to_pylist()]

    config = replace(SMALL, identities=1, cameras="free", wrinkles=False, quality=80)
    synthesise(config, tmp_path / "free", quiet=True)
    free = rows(tmp_path / "free")
    assert len({str(row["camera_R"]) for row in free}) == len({row["background_blur"] for row in free}) == len(free)
    assert not any(Scene.from_json(row["scene"]).wrinkles for row in free)
    fixed = rows(small)
    assert len({str(row["camera_R"]) for row in fixed}) == SMALL.identities * SMALL.views
    for row, most in (*((row, 80) for row in free), *((row, 95) for row in fixed)):
        assert 70 <= row["jpeg_quality"] <= most
        expected = Image.open(io.BytesIO(encode_image(np.zeros((8, 8, 3), np.uint8), row["jpeg_quality"])))
        assert Image.open(io.BytesIO(row["image"]["bytes"])).quantization == expected.quantization
