"""What other people's readers find in an export is what the data set says."""

import csv
import io
import json
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import pain3d
from pain3d.landmarks import FACE_LANDMARKS
from pain3d.pipeline.export.coco import export_coco, keypoint_names
from pain3d.pipeline.export.glb import export_glb
from pain3d.pipeline.export.imagefolder import export_imagefolder
from pain3d.pipeline.export.openface import HEADER, export_openface
from pain3d.pipeline.export.walk import Written
from pain3d.pipeline.export.webdataset import export_webdataset
from pain3d.pipeline.run import synthesise
from pain3d.records import SPLITS, columns_of
from pain3d.scene import Scene
from tests.pipeline.conftest import SMALL
from tests.pipeline.test_export import changed, rows_of

FRAMES = SMALL.identities * (SMALL.expressions + 1) * SMALL.views
FLIP = np.diag([1.0, -1.0, -1.0])  # of a view with y up to OpenCV's
ROUNDED = 5.1e-4  # what is written has three digits
LABELS = [column.name for column in columns_of("frames") if column.kind != "image"]


@pytest.fixture(scope="module")
def frames(small: Path) -> dict[str, dict[str, Any]]:
    """The frames of the small data set by name."""
    return {row["sample_id"]: row for row in rows_of(small, "frames")}


def by_split(rows: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    return {split: [name for name, row in rows.items() if row["split"] == split] for split in SPLITS}


# WebDataset


def read_tars(to: Path) -> dict[str, list[dict[str, Any]]]:
    """The samples of each split as the webdataset package has them, pictures decoded."""
    wds = pytest.importorskip("webdataset")
    read = {}
    for split in SPLITS:
        urls = [str(path) for path in sorted(to.glob(f"{split}-*.tar"))]
        read[split] = list(wds.WebDataset(urls, shardshuffle=False).decode("pil"))
    return read


def test_webdataset_reads_every_sample(small: Path, frames: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    done = export_webdataset(small, tmp_path / "to", quiet=True, shard_frames=3)
    assert done == Written(tmp_path / "to", "frames", FRAMES, done.files, done.bytes)
    assert done.files == len(list((tmp_path / "to").iterdir())) and "32 frames" in str(done)
    read = read_tars(tmp_path / "to")
    assert {split: [sample["__key__"] for sample in samples] for split, samples in read.items()} == by_split(frames)
    for sample in (sample for samples in read.values() for sample in samples):
        row = frames[sample["__key__"]]
        assert sample["json"] == {name: row[name] for name in LABELS}
        jpeg = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
        assert np.array_equal(np.asarray(sample["jpg"]), np.asarray(jpeg))
        levels = np.asarray(Image.open(io.BytesIO(row["heatmap"]["bytes"])))
        assert np.array_equal(np.asarray(sample["heatmap.png"])[..., 0], levels)


def test_members_of_a_sample_are_neighbours_and_its_jpeg_is_the_data_sets(
    small: Path, frames: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    export_webdataset(small, tmp_path / "to", quiet=True, shard_frames=5)
    seen = []
    for path in sorted((tmp_path / "to").glob("*.tar")):
        with tarfile.open(path) as tar:
            names = tar.getnames()
            assert 0 < len(names) <= 3 * 5
            for place in range(0, len(names), 3):
                key = names[place].partition(".")[0]
                assert names[place : place + 3] == [f"{key}.jpg", f"{key}.heatmap.png", f"{key}.json"]
                content = tar.extractfile(names[place])
                assert content is not None and content.read() == frames[key]["image"]["bytes"]
                seen.append(key)
    assert sorted(seen) == sorted(frames)


def test_dense_maps_go_along(tmp_path: Path) -> None:
    synthesise(
        replace(SMALL, identities=1, expressions=1, views=1, size=32, dense="depth,parts"), tmp_path / "d", quiet=True
    )
    export_webdataset(tmp_path / "d", tmp_path / "tar", quiet=True)
    export_imagefolder(tmp_path / "d", tmp_path / "folder", quiet=True)
    (path,) = (tmp_path / "tar").glob("*.tar")
    with tarfile.open(path) as tar:
        members = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
    rows = rows_of(tmp_path / "d", "frames")
    assert len(rows) == 2
    for row in rows:
        for column in ("depth", "parts"):
            assert members[f"{row['sample_id']}.{column}.png"] == row[column]["bytes"]
            path = tmp_path / "folder" / row["split"] / column / f"{row['sample_id']}.png"
            assert path.read_bytes() == row[column]["bytes"]
        assert json.loads(members[f"{row['sample_id']}.json"])["depth_unit_mm"] == row["depth_unit_mm"]


# Image folder


def test_datasets_opens_the_image_folder(small: Path, frames: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    export_imagefolder(small, tmp_path / "to", quiet=True)
    opened = datasets.load_dataset("imagefolder", data_dir=str(tmp_path / "to"), cache_dir=str(tmp_path / "cache"))
    assert set(opened) == set(SPLITS)
    for split, names in by_split(frames).items():
        assert sorted(opened[split]["sample_id"]) == sorted(names)
        assert sorted(opened[split].column_names) == sorted([*LABELS, "image", "heatmap"])
        for said in opened[split]:
            row = frames[said["sample_id"]]
            assert {name: said[name] for name in LABELS} == {name: row[name] for name in LABELS}
            for column in ("image", "heatmap"):
                ours = Image.open(io.BytesIO(row[column]["bytes"]))
                assert said[column].format == ours.format
                assert np.array_equal(np.asarray(said[column]), np.asarray(ours))


# COCO


def test_pycocotools_reads_boxes_and_keypoints(copy: Path, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    changed(copy, "landmarks_2d", [[-0.5, 3.0], [3.0, 64.0], *([float(number), 63.5] for number in range(72))])
    frames = {row["sample_id"]: row for row in rows_of(copy, "frames")}
    export_coco(copy, tmp_path / "to", quiet=True)
    outside = 0
    for split, names in by_split(frames).items():
        opened = coco.COCO(str(tmp_path / "to" / "annotations" / f"{split}.json"))
        (category,) = opened.loadCats(opened.getCatIds(catNms=["face"]))
        assert category["keypoints"] == keypoint_names() and len(set(category["keypoints"])) == FACE_LANDMARKS
        images = opened.loadImgs(opened.getImgIds())
        assert [image["file_name"] for image in images] == [f"{name}.jpg" for name in names]
        for image in images:
            row = frames[image["file_name"].removesuffix(".jpg")]
            content = (tmp_path / "to" / split / image["file_name"]).read_bytes()
            assert content == row["image"]["bytes"]
            assert Image.open(io.BytesIO(content)).size == (image["width"], image["height"])
            (face,) = opened.loadAnns(opened.getAnnIds(imgIds=[image["id"]]))
            x, y, width, height = face["bbox"]
            assert [x, y, x + width, y + height] == pytest.approx(row["bbox"], abs=1e-4)
            assert face["area"] == pytest.approx(width * height) and face["id"] > 0
            points = np.array(face["keypoints"]).reshape(FACE_LANDMARKS, 3)
            ours = np.array(row["landmarks_2d"])[:FACE_LANDMARKS]
            inside = ((ours >= 0) & (ours < SMALL.size)).all(1)
            assert np.array_equal(points[:, 2], np.where(inside, 2, 0)) and face["num_keypoints"] == inside.sum()
            assert np.allclose(points[inside, :2] + 0.5, ours[inside], atol=1e-9, rtol=0)
            assert not points[~inside].any()
            outside += int((~inside).sum())
            assert face["attributes"]["PSPI"] == row["PSPI"] and face["attributes"]["AU43"] == row["AU43"]
    assert outside == 2 + 2, "of the row whose points were moved, and of no other"


def test_the_skeleton_joins_neighbours_on_the_face(small: Path, tmp_path: Path) -> None:
    """Each line of it is short on a real face, and it joins all that is not alone."""
    export_coco(small, tmp_path / "to", quiet=True)
    said = json.loads((tmp_path / "to" / "annotations" / "train.json").read_bytes())
    places = np.array(rows_of(small, "frames")[0]["landmarks_3d"])
    pairs = np.array(said["categories"][0]["skeleton"])
    assert pairs.min() == 1 and pairs.max() == FACE_LANDMARKS and set(pairs.ravel()) == set(range(1, 69))
    assert np.linalg.norm(places[pairs[:, 0] - 1] - places[pairs[:, 1] - 1], axis=1).max() < 0.035  # metres


# OpenFace


@pytest.fixture(scope="module")
def tables(small: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    to = tmp_path_factory.mktemp("openface") / "to"
    export_openface(small, to, quiet=True)
    return {split: pd.read_csv(to / f"{split}.csv") for split in SPLITS}


def test_pandas_reads_what_openface_says(tables: dict[str, pd.DataFrame], frames: dict[str, dict[str, Any]]) -> None:
    assert {split: list(table.sample_id) for split, table in tables.items()} == by_split(frames)
    for table in tables.values():
        assert tuple(table.columns) == HEADER and not any(" " in name for name in HEADER)
        assert list(table.frame) == list(range(1, len(table) + 1)) and (table.success == 1).all()
        for _, said in table.iterrows():
            row = frames[said.sample_id]
            pixels = np.array([said[f"{axis}_{n}"] for axis in "xy" for n in range(68)], float).reshape(2, 68)
            assert np.abs(pixels.T + 0.5 - np.array(row["landmarks_2d"])[:68]).max() < ROUNDED
            for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26):
                assert said[f"AU{number:02d}_r"] == pytest.approx(row[f"AU{number:02d}"], abs=0.006)
                assert said[f"AU{number:02d}_c"] == (row[f"AU{number:02d}"] > 0)
            assert said.AU45_r == 5 * row["AU43"] and said.AU45_c == row["AU43"]
            assert said.AU28_c == (row["AU28"] > 0) and "AU28_r" not in table
    everyone = pd.concat(tables.values())
    assert everyone.AU45_c.any() and (everyone.AU04_r > 0).any() and not everyone.AU45_c.all()


def test_places_in_millimetres_project_to_the_pixels(
    tables: dict[str, pd.DataFrame], frames: dict[str, dict[str, Any]]
) -> None:
    """OpenCV's pinhole with pixel centres at whole numbers: nothing of our view, only K of the row."""
    for said in (said for table in tables.values() for _, said in table.iterrows()):
        row = frames[said.sample_id]
        places = np.array([said[f"{axis}_{n}"] for axis in "XYZ" for n in range(68)], float).reshape(3, 68)
        intrinsics = np.array(row["camera_K"]) - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
        seen = intrinsics @ places
        pixels = np.array([said[f"{axis}_{n}"] for axis in "xy" for n in range(68)], float).reshape(2, 68)
        assert places[2].min() > 300 and np.abs(seen[:2] / seen[2] - pixels).max() < 5e-3
        assert np.abs(places.mean(1) - said[["pose_Tx", "pose_Ty", "pose_Tz"]].to_numpy(float)).max() < 2 * ROUNDED


def test_the_turn_of_the_head_is_that_of_its_scene(
    tables: dict[str, pd.DataFrame], frames: dict[str, dict[str, Any]]
) -> None:
    """By OpenCV's Rodrigues, from the neck of the scene and the camera: no angle column is read."""
    angles = []
    for said in (said for table in tables.values() for _, said in table.iterrows()):
        row = frames[said.sample_id]
        about = [np.array([said.pose_Rx, 0, 0]), np.array([0, said.pose_Ry, 0]), np.array([0, 0, said.pose_Rz])]
        theirs = np.linalg.multi_dot([cv2.Rodrigues(one)[0] for one in about])
        pose = Scene.from_json(row["scene"]).pose
        neck = cv2.Rodrigues(np.radians([pose.neck_pitch, pose.neck_yaw, pose.neck_roll]))[0]
        assert np.abs(theirs - FLIP @ np.array(row["camera_R"]) @ neck @ FLIP).max() < 1e-5
        angles.append([said.pose_Rx, said.pose_Ry, said.pose_Rz])
        if abs(row["yaw_degrees"]) > 10:
            assert np.sign(said.pose_Ry) == -np.sign(row["yaw_degrees"]), "to its own left is to the picture's right"
    assert np.abs(angles).max(0).min() > 0.05, "no head turned: nothing was tested"


def test_openface_header_is_read_by_a_plain_reader(small: Path, tmp_path: Path) -> None:
    export_openface(small, tmp_path / "to", quiet=True)
    with (tmp_path / "to" / "train.csv").open(newline="") as file:
        first = next(iter(csv.DictReader(file)))
    assert None not in first and first["sample_id"] in set(
        pq.read_table(small / "data" / "frames", columns=["sample_id"])["sample_id"].to_pylist()
    )


# GLB


@pytest.fixture(scope="module")
def heads(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("glb") / "to"
    done = export_glb(small, to, quiet=True)
    assert (done.subset, done.rows) == ("identities", SMALL.identities)
    return to


def test_trimesh_opens_the_head_of_every_identity(small: Path, heads: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    rows = rows_of(small, "identities")
    assert {path.relative_to(heads).as_posix() for path in heads.rglob("*.glb")} == {
        f"{row['split']}/id{row['identity_id']:06d}.glb" for row in rows
    }
    for row in rows:
        read = trimesh.load(heads / row["split"] / f"id{row['identity_id']:06d}.glb", force="mesh", process=False)
        ours = np.array(row["neutral_vertices"])
        faces = pain3d.Head.default().faces.numpy()
        assert len(read.faces) == len(faces)
        centres = [np.sort(places.mean(1).round(6), axis=0) for places in (read.triangles, ours[faces])]
        assert np.abs(centres[0] - centres[1]).max() < 5e-6
        assert np.asarray(read.visual.material.baseColorTexture).std() > 10
        lines = (heads / row["split"] / "identities.jsonl").read_text().splitlines()
        (told,) = [told for told in map(json.loads, lines) if told["identity_id"] == row["identity_id"]]
        assert told["age"] == row["age"] and told["sex"] == row["sex"] and "neutral_vertices" not in told


def test_a_morph_target_moves_the_vertices_of_its_unit(small: Path, heads: Path) -> None:
    from tests.pain3d_core.mesh_files.test_mesh_files import Document, alone

    head = pain3d.Head.default()
    row = rows_of(small, "identities")[0]
    person = Scene.from_json(row["scene"]).identity
    document = Document(heads / row["split"] / f"id{row['identity_id']:06d}.glb")
    (mesh,) = document.json["meshes"]
    primitive = mesh["primitives"][0]
    ours = document.values(primitive["attributes"]["_VERTEX"]).ravel().astype(int)
    scalp = torch.from_numpy(ours)
    for name in ("AU04_L", "AU12_R", "AU27", "AU43_L"):
        move = document.values(primitive["targets"][mesh["extras"]["targetNames"].index(name)]["POSITION"])
        wanted = head(person, pain3d.ActionUnits(**alone(name))).vertices - head(person).vertices
        assert np.abs(move - wanted[0][scalp].numpy()).max() < 1e-4, name
        assert np.abs(move).max() > 1e-3, name
    assert not any(mesh["weights"]), "opened, it is neutral"


def test_khronos_validator_finds_nothing(heads: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("there is no node to run Khronos' validator")
    script = Path(__file__).parents[1] / "pain3d_core" / "mesh_files" / "validate.js"
    for path in heads.rglob("*.glb"):
        done = subprocess.run(["node", str(script), str(path)], capture_output=True, text=True)
        if "Cannot find module 'gltf-validator'" in done.stderr:
            pytest.skip("npm's gltf-validator is not installed where node looks (NODE_PATH)")
        said = json.loads(done.stdout)
        assert said["numErrors"] == said["numWarnings"] == 0, done.stdout
