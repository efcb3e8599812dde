"""Two data sets of one run are equal; a value, a picture or a file that changed is named."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.compare_trees import IGNORED, compared, main

FRAMES = "data/frames/test-00000-of-00001.parquet"


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return shutil.copytree(small, tmp_path / "copy")


def changed(path: Path, column: str, values: list) -> None:
    table = pq.read_table(path)
    field = table.schema.field(column)
    pq.write_table(table.set_column(table.column_names.index(column), field, pa.array(values, field.type)), path)


def found(old: Path, new: Path) -> dict[str, list[str]]:
    return {name: wrong for name, wrong in compared(old, new) if wrong}


def test_what_names_the_code_is_left_out(small: Path, copy: Path) -> None:
    rows = pq.read_metadata(small / FRAMES).num_rows
    for column in IGNORED:
        changed(copy / FRAMES, column, ["0"] * rows)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["resolved"]["code_version"] = manifest["shards"][0]["files"][0]["sha256"] = "0"
    (copy / "manifest.json").write_text(json.dumps(manifest))
    croissant = (copy / "croissant.json").read_text()
    assert manifest["resolved"]["config_hash"] in croissant
    (copy / "croissant.json").write_text(croissant.replace(manifest["resolved"]["config_hash"], "0"))
    for name in ("README.md", "config.resolved.yaml"):
        text = (copy / name).read_text()
        assert "\ncode_version: " in text
        (copy / name).write_text(text.replace("\ncode_version: ", "\ncode_version: 0"))
    assert len(list(compared(small, copy))) >= 14
    assert found(small, copy) == {}


def test_a_change_is_named(small: Path, copy: Path) -> None:
    gaze = pq.read_table(small / FRAMES)["gaze_yaw_degrees"].to_pylist()
    changed(copy / FRAMES, "gaze_yaw_degrees", [-gaze[0], *gaze[1:]])
    (copy / "contact_sheet.png").write_bytes(b"0")
    croissant = (copy / "croissant.json").read_text()
    (copy / "croissant.json").write_text(croissant.replace("AU04", "AU4"))
    (copy / "LICENSES" / "CC0-1.0.txt").unlink()
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["counts"]["frames"]["test"] += 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    assert found(small, copy) == {
        FRAMES: ["column gaze_yaw_degrees"],
        "contact_sheet.png": ["bytes"],
        "croissant.json": ["bytes"],
        "LICENSES/CC0-1.0.txt": ["only in OLD"],
        "manifest.json": ["bytes"],
    }


def test_rows_columns_and_the_sign_of_zero(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    pq.write_table(pa.table({"a": [0.0, float("nan")], "b": [1, 2]}), tmp_path / "old" / "x.parquet")
    pq.write_table(pa.table({"a": [0.0, float("nan")], "b": [1, 2]}), tmp_path / "new" / "x.parquet")
    assert found(tmp_path / "old", tmp_path / "new") == {}
    pq.write_table(pa.table({"a": [-0.0, float("nan")], "b": [1, 2]}), tmp_path / "new" / "x.parquet")
    assert found(tmp_path / "old", tmp_path / "new") == {"x.parquet": ["column a"]}
    pq.write_table(pa.table({"b": [1], "c": [1.0]}), tmp_path / "new" / "x.parquet")
    (wrong,) = found(tmp_path / "old", tmp_path / "new").values()
    assert wrong == ["2 rows, now 1", "columns ['a', 'c'] or their order", "column b"]


def test_a_tree_that_is_not_run_is_refused(tmp_path: Path) -> None:
    """An interpreter that imports another tree would compare that tree with itself."""
    with pytest.raises(SystemExit, match="does not run"):
        main([str(tmp_path), str(tmp_path), "--python", "python3", "--work", str(tmp_path / "work")])
