"""``verify`` says what is wrong, in which file and row, and exits 1; and 0 if nothing is."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pain3d.encoding import encode_grey, encode_image
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.shard_files import file_hash
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL

Run = Callable[..., Ran]
FRAMES = "data/frames/train-00000-of-00001.parquet"
PAIRS = "data/pairs/test-00000-of-00001.parquet"


def edit(out: Path, path: str, change: Callable[[list[dict[str, Any]]], None], rehash: bool = True) -> None:
    """Rewrite a file with changed rows; and its hash in the manifest, as someone would who wants to hide it."""
    table = pq.read_table(out / path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, table.schema), out / path, row_group_size=8)
    if rehash:
        manifest = json.loads((out / "manifest.json").read_text())
        (entry,) = (file for shard in manifest["shards"] for file in shard["files"] if file["path"] == path)
        entry |= {"sha256": file_hash(out / path), "bytes": (out / path).stat().st_size}
        (out / "manifest.json").write_text(json.dumps(manifest))


def findings(pain3d: Run, out: Path) -> list[str]:
    """The lines of a verify that must find something."""
    ran = pain3d("verify", out)
    assert ran.code == 1 and ran.err == ""
    return ran.out.splitlines()


def test_nothing_wrong(pain3d: Run, small: Path) -> None:
    ran = pain3d("verify", small)
    own = file_hash(small / "manifest.json")
    assert (ran.code, ran.out) == (0, f"manifest: SHA-256 {own}\n{small}: 76 rows, nothing wrong\n")
    ran = pain3d("verify", small, "--json")
    said = {"out": str(small), "rows": 76, "findings": [], "notes": [], "manifest_sha256": own, "ok": True}
    assert json.loads(ran.out) == said


@pytest.mark.parametrize("where", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_flipped_byte_is_named(pain3d: Run, copy: Path, where: float) -> None:
    content = bytearray((copy / FRAMES).read_bytes())
    content[int(where * len(content))] ^= 0x10
    (copy / FRAMES).write_bytes(content)
    assert f"{FRAMES}: SHA-256 differs from the manifest" in findings(pain3d, copy)


def test_a_truncated_file_is_named(pain3d: Run, copy: Path) -> None:
    content = (copy / FRAMES).read_bytes()
    (copy / FRAMES).write_bytes(content[: len(content) // 2])
    found = findings(pain3d, copy)
    assert any(line.startswith(f"{FRAMES}: damaged") for line in found)  # which words follow, where the cut lies says


def test_missing_and_extra_files_are_named(pain3d: Run, copy: Path) -> None:
    shutil.move(copy / PAIRS, copy / "data" / "pairs" / "extra.parquet")
    assert findings(pain3d, copy) == [f"{PAIRS}: missing", "data/pairs/extra.parquet: not in the manifest"]


def test_an_edited_label_is_named_with_its_row(pain3d: Run, copy: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[9]["PSPI"] += 1

    edit(copy, FRAMES, change, rehash=False)
    row = pq.read_table(copy / FRAMES).to_pylist()[9]
    sizes, *found = findings(pain3d, copy)
    assert sizes.startswith(f"{FRAMES}: {(copy / FRAMES).stat().st_size} bytes, the manifest says ")
    assert found == [
        f"{FRAMES}: SHA-256 differs from the manifest",
        f"{FRAMES} row 9 ({row['sample_id']}): PSPI is {row['PSPI']:g}, its scene gives {row['PSPI'] - 1:g}",
    ]


def neutral(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["expression_id"] == 0)


def pain(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["expression_id"] > 0)


def picture(size: int) -> bytes:
    return encode_image(np.zeros((size, size, 3), np.uint8), 95)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: pain(rows).update(AU04=6.0, AU04_L=6.0), "AU04 is 6, its scene gives "),
        (lambda rows: pain(rows).update(AU06=float("nan")), "AU06 is nan, its scene gives "),
        (lambda rows: pain(rows).update(AU43=0.5), "AU43 is 0.5, its scene gives "),
        (lambda rows: pain(rows).update(AU12_L=4.5), "AU12_L is 4.5, its scene gives "),
        (lambda rows: pain(rows).update(PSPI=float("nan")), "PSPI is nan, its scene gives "),
        (lambda rows: neutral(rows).update(AU25=1.0, AU25_L=1.0), "AU25 is 1, its scene gives 0"),
        (lambda rows: neutral(rows).update(neutral=False), "neutral is False, the plan says True"),
        (lambda rows: neutral(rows)["heatmap"].update(bytes=encode_grey(np.ones((64, 64), np.uint8))),
         "is neutral, but heatmap isn't 0 everywhere"),
        (lambda rows: rows[3]["image"].update(bytes=picture(32)), "image is 32 x 32, not 64 x 64"),
        (lambda rows: rows[3]["image"].update(bytes=b"no picture"), "image can't be decoded"),
        (lambda rows: rows[3]["heatmap"].update(bytes=b""), "heatmap can't be decoded"),
        (lambda rows: rows[3].update(sample_id=rows[4]["sample_id"]), "sample_id is 'id000002_e02_v0', the plan says "),
        (lambda rows: rows[3].update(split="test"), "split is 'test', the plan says 'train'"),
        (lambda rows: rows[3].update(seed=8), "seed is 8, the configuration says 7"),
        (lambda rows: rows[3].update(synthetic=False), "synthetic is False, the configuration says True"),
        (lambda rows: rows[3].update(heatmap_unit_mm=1.0), "heatmap_unit_mm is 1, not one of 0.1, 0.2"),
        (lambda rows: pain(rows)["heatmap"].update(bytes=encode_grey(np.full((64, 64), 255, np.uint8))),
         "heatmap is clipped at level 255"),
        (lambda rows: rows[3].update(scene="{}"), "scene is '{}', its scene gives "),
        (lambda rows: rows[3].update(scene=rows[11]["scene"]), "scene is "),
        (lambda rows: rows[3].update(age=99.0), "age is 99, its scene gives"),
        (lambda rows: rows[3].update(jpeg_quality=12), "jpeg_quality is 12, its scene gives"),
        (lambda rows: rows[3].update(focal_length_mm=28.0), "focal_length_mm is 28, its scene gives"),
        (lambda rows: rows[3].update(mtf50=0.0), "mtf50 is 0, its scene gives"),
        (lambda rows: rows[3].update(background="sea"), "background is 'sea', its scene gives"),
        (lambda rows: rows[3].update(wrinkles=False), "wrinkles is False, its scene gives True"),
        (lambda rows: rows[3].update(hair="painted"), "hair is 'painted', its scene gives 'grown'"),
        (lambda rows: rows[3].update(scene=rows[3]["scene"].replace('"wrinkles":true', '"wrinkles":false')),
         "scene is "),
    ],
)  # fmt: skip
def test_a_wrong_row_is_named(
    pain3d: Run, copy: Path, change: Callable[[list[dict[str, Any]]], None], words: str
) -> None:
    edit(copy, FRAMES, change)
    found = findings(pain3d, copy)
    assert any(words in line and line.startswith(f"{FRAMES} row ") for line in found), found


def test_an_empty_picture_and_a_row_too_many_are_named(pain3d: Run, copy: Path) -> None:
    edit(copy, FRAMES, lambda rows: rows[3].update(image=None))
    edit(copy, PAIRS, lambda rows: rows.insert(4, dict(rows[3])))
    found = findings(pain3d, copy)
    assert {f"{FRAMES}: its column image is empty in row 3", f"{PAIRS}: 7 rows, the manifest says 6"} < {*found}


@pytest.mark.parametrize(
    ("column", "landmark"), [("landmarks_2d", "landmarks_2d["), ("neutral_camera_t", "neutral_camera_t[")]
)
def test_a_pair_with_another_camera_or_landmarks_is_named(pain3d: Run, copy: Path, column: str, landmark: str) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0][column] = rows[1][column]

    edit(copy, PAIRS, change)
    name = pq.read_table(copy / PAIRS)["sample_id"][0].as_py()
    (line,) = findings(pain3d, copy)
    assert line.startswith(f"{PAIRS} row 0 ({name}): {landmark}") and "its scene gives" in line


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dense") / "dense"
    synthesise(replace(SMALL, identities=1, expressions=1, views=1, dense="depth,parts"), out, quiet=True)
    return out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, None),
        ({"depth": np.full((64, 64), 9, np.uint8)}, "depth can't be decoded (not a 16-bit grey PNG)"),
        ({"depth": np.zeros((64, 64), np.uint16)}, "depth has background where heatmap says that the head moved"),
        ({"parts": np.zeros((64, 64), np.uint8)}, "depth and parts differ in where the head is"),
        ({"parts": np.full((64, 64), 9, np.uint8)}, "parts has 9, the last part is 8"),
        ({"parts": np.zeros((8, 8), np.uint8)}, "parts is 8 x 8, not 64 x 64"),
        ({"depth_unit_mm": 1.0}, "depth_unit_mm is 1, its scene gives 0.1"),
    ],
)
def test_depth_and_parts_are_checked(
    pain3d: Run, dense: Path, tmp_path: Path, changed: dict[str, Any], words: str | None
) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for name, value in changed.items():
            pain(rows)[name] = value if isinstance(value, float) else {"bytes": encode_grey(value), "path": ""}

    out = Path(shutil.copytree(dense, tmp_path / "dense"))
    edit(out, FRAMES, change)
    if words is None:
        assert pain3d("verify", out).code == 0
    else:
        assert any(words in line for line in findings(pain3d, out))


def test_a_pair_of_other_pictures_is_named(pain3d: Run, copy: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows[0]["neutral_image"], rows[1]["neutral_image"] = rows[1]["neutral_image"], rows[0]["neutral_image"]

    edit(copy, PAIRS, change)
    names = [row["sample_id"] for row in pq.read_table(copy / PAIRS).to_pylist()[:2]]
    assert findings(pain3d, copy) == [
        f"{PAIRS} row {row} ({name}): {words}"
        for row, name in enumerate(names)
        for words in (
            f"neutral_image isn't that of {name[:8]}_e00_v{row} in frames",
            f"path of neutral_image is '{name[:8]}_e00_v{1 - row}.jpg', not '{name[:8]}_e00_v{row}.jpg'",
        )
    ]


def test_an_identity_in_two_splits_is_named(pain3d: Run, copy: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["identity_id"] = wanted

    wanted = pq.read_table(copy / FRAMES, columns=["identity_id"])["identity_id"][0].as_py()
    edit(copy, "data/identities/test-00000-of-00001.parquet", change)
    found = findings(pain3d, copy)
    assert any(
        line.startswith(f"identity {wanted} lies in more than one split: test (data/identities") for line in found
    )


def test_a_dropped_column_is_named(pain3d: Run, copy: Path) -> None:
    table = pq.read_table(copy / FRAMES)
    pq.write_table(table.drop_columns(["AU04"]), copy / FRAMES)
    assert f"{FRAMES}: columns differ, AU04" in findings(pain3d, copy)


def test_wrong_manifest_and_configuration_are_named(pain3d: Run, copy: Path) -> None:
    (copy / "config.resolved.yaml").write_text(
        (copy / "config.resolved.yaml").read_text().replace("seed: 7", "seed: 8")
    )
    assert findings(pain3d, copy) == [
        "config.resolved.yaml: SHA-256 differs from the manifest",
        "config.resolved.yaml: missing, or not the configuration of the manifest",
    ]
    (copy / "manifest.json").write_text("{")
    assert findings(pain3d, copy)[0].startswith("manifest.json: no JSON (")
    (copy / "manifest.json").unlink()
    assert findings(pain3d, copy) == ["manifest.json: missing, the data set is unfinished"]


def test_many_findings_are_counted(pain3d: Run, copy: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["AU01"] = row["AU02"] = 9.0

    edit(copy, FRAMES, change)
    found = findings(pain3d, copy)
    assert len(found) == 21 and found[-1] == f"{FRAMES}: and 12 more findings"  # 2 a row
