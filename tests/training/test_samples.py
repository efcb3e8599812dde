"""A data set of pain3d comes in with the labels of its files; what is wrong with one is named in one line."""

import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from pain3d.console.refused import RefusedError
from pain3d.doors.parquet import ParquetSource
from pain3d.face.square import cut
from pain3d.training.data import open_data
from pain3d.training.data.parquet import ParquetPixels, open_pain3d
from pain3d.training.data.samples import UNITS, pspi_of, require_neutrals, skin_tone, yaw_word
from pain3d.training.data.store import CropStore
from tests.endless import endless_eps
from tests.training.made_samples import made_samples


def frames_of(folder: Path) -> list[Path]:
    return sorted((folder / "data" / "frames").glob("*.parquet"))


def rewrite(folder: Path, path: Path, table: pa.Table, rows_a_group: int = 16) -> None:
    """Put another table in the place of a file, and its size into the manifest."""
    pq.write_table(table, path, row_group_size=rows_a_group)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for shard in manifest["shards"]:
        for file in shard["files"]:
            if file["path"] == path.relative_to(folder).as_posix():
                file["bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def copy(faces: Path, tmp_path: Path) -> Path:
    """The small data set, to be damaged."""
    return Path(shutil.copytree(faces, tmp_path / "faces"))


def test_labels_are_those_of_the_files(faces: Path) -> None:
    samples = open_data(faces)
    rows = [row for path in frames_of(faces) for row in pq.read_table(path).to_pylist()]
    assert list(samples.ids) == [row["sample_id"] for row in rows]
    assert samples.split is not None
    for place, row in enumerate(rows):
        assert samples.subjects[samples.subject[place]] == f"seed{row['seed']}_id{row['identity_id']:06d}"
        assert samples.split[place] == row["split"]
        assert samples.au[place].tolist() == [row[unit] for unit in UNITS]
        assert samples.sides[place].tolist() == [[row[f"{unit}_L"], row[f"{unit}_R"]] for unit in UNITS]
        assert samples.pspi[place] == row["PSPI"] and samples.pain[place] == (row["PSPI"] >= 1)
        assert samples.neutral[place] == (row["expression_id"] == 0)
        words = [samples.slices[kind][place] for kind in ("age group", "sex", "ancestry", "skin tone", "yaw")]
        assert words[:3] == [row["age_group"], row["sex"], row["ancestry"]]
        assert words[3:] == [skin_tone(row["skin_ita_degrees"]), yaw_word(row["yaw_degrees"])]
        np.testing.assert_array_equal(
            samples.pixels.picture(place), simplejpeg.decode_jpeg(row["image"]["bytes"], "RGB")
        )
    np.testing.assert_allclose(samples.pspi, pspi_of(samples.au), atol=0)
    assert len(samples.subjects) == 6 and samples.key == rows[0]["config_hash"]


def test_faces_are_cut_around_the_eyes(faces: Path) -> None:
    """The landmarks that the square is told by lie where they do in every crop: eyes above the middle."""
    samples = open_data(faces)
    points = [row for path in frames_of(faces) for row in pq.read_table(path, columns=["landmarks_2d"]).to_pylist()]
    x, y, side = samples.square.T
    eyes = np.array([np.asarray(row["landmarks_2d"])[[36, 39, 42, 45]].mean(0) for row in points])
    below = np.hypot(x - eyes[:, 0], y - eyes[:, 1]) / side
    np.testing.assert_allclose(below, 0.022 / 0.15, atol=1e-5)  # worst seen 5e-8: float32 of pixels up to 96
    store = CropStore(samples, 32, heatmaps=True)
    np.testing.assert_array_equal(
        store.images([5])[0], cut(samples.pixels.picture(5), *map(float, samples.square[5]), 32)
    )
    assert (store.heatmaps(np.flatnonzero(samples.neutral)) == 0).all()
    assert (store.heatmaps(np.flatnonzero(samples.pspi > 8)).max((1, 2)) > 0).all()


def test_row_groups_come_and_go(copy: Path) -> None:
    """Pictures are the same however few encoded bytes are kept, and in whatever order they are asked for."""
    for path in frames_of(copy):
        rewrite(copy, path, pq.read_table(path), rows_a_group=5)
    samples = open_data(copy)
    assert isinstance(samples.pixels, ParquetPixels)
    tight = ParquetPixels(copy, samples.pixels.parts, samples.pixels.names, samples.pixels.units, kept_bytes=1)
    for row in np.random.default_rng(0).permutation(len(samples)).tolist():
        np.testing.assert_array_equal(tight.picture(row), samples.pixels.picture(row))
        np.testing.assert_array_equal(tight.heatmap(row), samples.pixels.heatmap(row))
    assert len(tight._kept) == 1
    assert len(samples.pixels._kept) == 2 * len(samples.pixels._groups)


def test_without_landmarks_the_picture_is_whole(copy: Path) -> None:
    for path in frames_of(copy):
        rewrite(copy, path, pq.read_table(path).drop_columns(["landmarks_2d", "heatmap", "yaw_degrees"]))
    samples = open_data(copy)
    assert np.isnan(samples.square).all() and "yaw" not in samples.slices
    np.testing.assert_array_equal(CropStore(samples, 96).images([3])[0], samples.pixels.picture(3))
    assert samples.pixels.heatmap(3) is None


def test_a_damaged_picture_is_named(copy: Path) -> None:
    path = frames_of(copy)[0]
    table = pq.read_table(path)
    images = table["image"].to_pylist()
    images[1]["bytes"] = images[1]["bytes"][: len(images[1]["bytes"]) // 2]
    images[2]["bytes"] = None
    table = table.set_column(table.column_names.index("image"), table.schema.field("image"), pa.array(images))
    rewrite(copy, path, table)
    samples = open_data(copy)
    store = CropStore(samples, 32)
    store.images([0])
    for row in (1, 2):
        with pytest.raises(
            RefusedError, match=f"{path.name}: the picture of {samples.ids[row]}: (damaged|not a picture)"
        ):
            store.images([0, row])


def test_a_heat_map_is_read_in_the_unit_of_its_row(copy: Path) -> None:
    """Twice the unit, twice the levels; beyond 25.5 mm white is white."""
    path = frames_of(copy)[0]
    table = pq.read_table(path)
    row = next(place for place, heat in enumerate(table["neutral"].to_pylist()) if not heat)
    units = np.full(len(table), 0.1, np.float32)
    units[row] = 0.2
    place = table.column_names.index("heatmap_unit_mm")
    before = open_data(copy)
    once = before.pixels.heatmap(row)
    rewrite(copy, path, table.set_column(place, table.schema.field(place), pa.array(units)))
    twice = open_data(copy).pixels.heatmap(row)
    assert once is not None and twice is not None and once.max() > 0 and once.dtype == twice.dtype == np.uint8
    assert (twice == np.minimum(once.astype(int) * 2, 255)).all()


def test_a_truncated_file_is_named(copy: Path) -> None:
    path = frames_of(copy)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(
        RefusedError, match=rf"{path.name}: damaged, it has \d+ bytes and the manifest says {len(whole)}"
    ):
        open_data(copy)
    path.write_bytes(whole[:-8] + bytes(8))  # as long as before, without its footer
    with pytest.raises(RefusedError, match=f"{path.name}: damaged, or no Parquet"):
        open_data(copy)
    path.unlink()
    with pytest.raises(RefusedError, match=f"{path.name}': missing"):
        open_data(copy)


def test_a_file_that_vanishes_later_is_named(copy: Path) -> None:
    samples = open_data(copy)
    frames_of(copy)[0].unlink()
    with pytest.raises(RefusedError, match="damaged"):
        samples.pixels.picture(0)


def test_a_missing_column_is_named(copy: Path) -> None:
    path = frames_of(copy)[0]
    rewrite(copy, path, pq.read_table(path).drop_columns(["AU43"]))
    with pytest.raises(RefusedError, match=f"{path.name}: it has no column AU43"):
        open_data(copy)


def manifest_with(folder: Path, **changes: Any) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))


def listed(**changes: Any) -> dict[str, Any]:
    """Changes of a manifest: one file of frames that is named so."""
    return {"shards": [{"files": [{"subset": "frames", "path": "data/frames/x.parquet", "bytes": 3, **changes}]}]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (listed(path="../../etc/passwd"), "not a path inside its folder"),
        (listed(path="/etc/passwd"), "not a path inside its folder"),
        (listed(path="out/hostname"), "a link that leads out of its folder"),
        (listed(path="data/frames"), "not a regular file"),
        (listed(path="pipe"), "not a regular file"),
        (listed(path="data/frames/\x1b[2J"), "not a name of a file"),
        (listed(path=["x"]), "['x'] where a str should be"),
        (listed(bytes="x"), "'x' where a int should be"),
        (listed(bytes=True), "True where a int should be"),
        (listed(subset=None), "None where a str should be"),
        (listed(subset="pictures"), "it has no frames"),
        ({"shards": 5}, "5 where a list should be"),
        ({"shards": [{"files": {"a": 1}}]}, "where a list should be"),
        ({"shards": [{}]}, "KeyError"),
        ({"shards": ["x"]}, "TypeError"),
        ({"resolved": None}, "None where a dict should be"),
        ({"resolved": {"config_hash": 3, "pain3d_format": 1}}, "3 where a str should be"),
        ({"resolved": {"config_hash": "3", "pain3d_format": "1"}}, "'1' where a int should be"),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    """What it names lies in its folder and is a file; what it says is of its kind."""
    folder = tmp_path / "faces"
    (folder / "data" / "frames").mkdir(parents=True)
    (folder / "out").symlink_to("/etc")
    os.mkfifo(folder / "pipe")
    (folder / "manifest.json").write_text('{"resolved": {"config_hash": "x", "pain3d_format": 1}, "shards": []}')
    manifest_with(folder, **changes)
    with pytest.raises(RefusedError) as refused:
        open_data(folder)
    message = str(refused.value)
    assert says in message and message.startswith(f"{folder}") and message.isprintable() and len(message) < 400


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("PSPI", lambda old: pa.array(["much"] * len(old)), "its column PSPI is string, not float"),
        ("AU04", lambda old: pa.array([None, *old.to_pylist()[1:]], pa.float32()), "AU04 is empty in row 0"),
        ("AU04", lambda old: pa.array([np.nan, *old.to_pylist()[1:]], pa.float32()), "must be in 0..5, got nan"),
        ("AU43_L", lambda old: pa.array([7.0] * len(old), pa.float32()), "AU43_L of 'id"),
        ("PSPI", lambda old: pa.array([-1.0] * len(old), pa.float32()), "must be in 0..16, got -1"),
        ("heatmap_unit_mm", lambda old: pa.array([np.inf] * len(old), pa.float32()), "must be in 0..25.5, got inf"),
        ("camera_t", lambda old: pa.array([[0.0, 0.0, 9.0]] * len(old), pa.list_(pa.float32())), "no face in front"),
        ("camera_t", lambda old: pa.array([[0.0]] * len(old), pa.list_(pa.float32())), "not those of a face"),
        ("sample_id", lambda old: pa.array([b"\xff"] * len(old)).view(pa.string()), "damaged"),
    ],
)
def test_labels_that_can_t_be_are_refused(
    copy: Path, name: str, change: Callable[[pa.ChunkedArray], Any], says: str
) -> None:
    path = frames_of(copy)[0]
    table = pq.read_table(path)
    values = change(table[name])
    field = pa.field(name, values.type)
    rewrite(copy, path, table.set_column(table.column_names.index(name), field, values))
    with pytest.raises(RefusedError) as refused:
        open_data(copy)
    assert says in str(refused.value) and "\n" not in str(refused.value)


def test_a_picture_beyond_the_limit_and_a_program_are_not_decoded(copy: Path) -> None:
    """196 million pixels that a few bytes say, and an EPS that never ends."""
    bomb = zlib.compress(bytes(1000))
    head = struct.pack(">IIBBBBB", 14000, 14000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", bomb), (b"IEND", b"")]
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held)) for kind, held in chunks
    )
    path = frames_of(copy)[0]
    table = pq.read_table(path)
    eps = endless_eps(copy / "eps").read_bytes()
    images = pa.array([{"bytes": png, "path": ""}, *[{"bytes": eps, "path": ""}] * (len(table) - 1)])
    for name in ("image", "heatmap"):
        table = table.set_column(table.column_names.index(name), table.schema.field(name), images)
    rewrite(copy, path, table)
    pixels = open_data(copy).pixels
    with pytest.raises(RefusedError, match=f"{path.name}: the picture of .*: too many pixels"):
        pixels.picture(0)
    with pytest.raises(RefusedError, match=f"{path.name}: the picture of .*: not a picture that can be read here"):
        pixels.picture(1)
    for row in (0, 1):
        with pytest.raises(RefusedError, match=f"{path.name}: the heat map of .* is not an 8-bit grey PNG"):
            pixels.heatmap(row)


def test_folders_that_can_t_be_opened(copy: Path, tmp_path: Path) -> None:
    resolved = json.loads((copy / "manifest.json").read_bytes())["resolved"]
    manifest_with(copy, resolved={**resolved, "pain3d_format": 99})
    with pytest.raises(RefusedError, match="its format is 99, this pain3d reads up to 1"):
        open_data(copy)
    manifest_with(copy, resolved=resolved, shards=[])
    with pytest.raises(RefusedError, match="it has no frames"):
        open_data(copy)
    (copy / "manifest.json").write_text("{")
    with pytest.raises(RefusedError, match=r"manifest\.json: no JSON"):
        open_data(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(RefusedError, match="was never finished"):
        open_data(copy)
    with pytest.raises(RefusedError, match="no such folder"):
        open_data(tmp_path / "nowhere")
    with pytest.raises(RefusedError, match="is no data set of pain3d"):
        open_pain3d(tmp_path)
    (tmp_path / "note.txt").write_text("")
    with pytest.raises(RefusedError, match="no data set that is known; looked for") as refused:
        open_data(tmp_path / "note.txt")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("files", "reader"),
    [
        (("annotations/a.json", "meshes_inpainted/a.jpg"), "threedpain.open_3dpain"),
        (("annotations/a.json", "images/a.jpg"), "threedpain.open_3dpain"),
        (("meshes_inpainted/a.jpg",), "threedpain.open_3dpain"),  # whose reader says that annotations are missing
        (("frames.hdf5", "annotations.hdf5"), "unbc.open_unbc"),
        (("frames.h5",), "unbc.open_unbc"),
        (("pictures/1000000000_NoPain_Woman_Old.jpg", "folds.csv"), "synpain.open_synpain"),
        (("pictures/1000000000_pain_man_young.PNG",), "synpain.open_synpain"),
        (("manifest.json", "config.resolved.yaml"), "parquet.open_pain3d"),
    ],
)
def test_kinds_are_told_apart(
    files: tuple[str, ...], reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    module, function = reader.split(".")
    answer = SimpleNamespace(**{function: lambda path, *fold: (reader, path)})
    monkeypatch.setitem(sys.modules, f"pain3d.training.data.{module}", answer)  # type: ignore[arg-type]
    assert open_data(tmp_path) == (reader, tmp_path)  # type: ignore[comparison-overlap]


def test_what_samples_refuse() -> None:
    samples = made_samples([2, 2])
    with pytest.raises(RefusedError, match="made: two pictures are named picture1"):
        replace(samples, ids=("picture0", "picture1", "picture1", "picture1"))
    with pytest.raises(RefusedError, match="made: person1 is in two splits, train and test"):
        replace(samples, split=("train", "train", "test", "train"))
    with pytest.raises(RefusedError, match="made: split 'dev' is none of train, validation, test"):
        replace(samples, split=("train", "train", "dev", "dev"))
    with pytest.raises(ValueError, match=r"au must be \(4, 6\), got \(4, 5\)"):
        replace(samples, au=samples.au[:, :5])
    with pytest.raises(ValueError, match="sex must have 4 words, got 1"):
        replace(samples, slices={"sex": ("female",)})
    require_neutrals(samples, range(4))
    with pytest.raises(RefusedError, match=r"^made: no neutral picture of person1$"):
        require_neutrals(replace(samples, neutral=np.array([True, False, False, False])), [0, 3])


def test_words_and_scores() -> None:
    angles = (56, 55, 41.5, 30, 12, 10, 0, -29, -31, np.nan)
    tones = ("very light", "light", "light", "intermediate", "tan", "brown", "brown", "brown", "dark", "unknown")
    assert tuple(skin_tone(angle) for angle in angles) == tones
    yaws = [yaw_word(angle) for angle in (0, -14.9, 15, -31, 46, 90, np.nan)]
    assert yaws == ["0-15°", "0-15°", "15-30°", "30-45°", "45-90°", "45-90°", "unknown"]
    au = np.array([[5, 1, 4, 2, 3, 1], [0, 0, np.nan, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(pspi_of(au), np.array([13, np.nan], np.float32))


def test_only_what_is_needed_is_read(faces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening reads no picture: a data set may be larger than memory."""
    asked: list[list[str]] = []
    read = ParquetSource.read

    def watched(self: ParquetSource, columns: list[str], *rest: Any, **named: Any) -> Any:
        asked.append(columns)
        return read(self, columns, *rest, **named)

    monkeypatch.setattr(ParquetSource, "read", watched)
    samples = open_data(faces)
    assert asked and not any({"image", "heatmap", "scene"} & set(columns) for columns in asked)
    asked.clear()
    samples.pixels.picture(0)
    assert asked == [["image.bytes"]]
