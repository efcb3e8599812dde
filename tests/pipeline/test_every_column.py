"""A value changed in any column of any subset is found, though its file's hash was made right again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pain3d.doors.pictures import decode_levels
from pain3d.encoding import encode_grey, encode_image
from pain3d.pipeline import shard_rows
from pain3d.pipeline.contact_sheet import decode
from pain3d.pipeline.derivation import Told, tell
from pain3d.pipeline.row_checks import RowChecks, in_order
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.sampled_checks import SampledChecks, sampled
from pain3d.pipeline.shard_rows import DataSetPlan
from pain3d.pipeline.workers import limited_threads
from pain3d.records import SUBSETS, columns_of
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL
from tests.pipeline.tampering import make_right, other_value, read_manifest, rewrite, write_manifest

Run = Callable[..., Ran]

SHARD = "train-00000-of-00001"
SOME = 8  # of the columns one in so many is changed by itself: 419 take two minutes
# What only pixels show, and nothing else of the data set repeats: found where the person is in the sample.
BY_SAMPLE_ALONE = {("frames", "depth"), ("frames", "parts"), ("expressions", "frontal_heatmap")}


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with all columns that there are; not to be changed."""
    out = tmp_path_factory.mktemp("columns") / "dense"
    config = replace(
        SMALL, identities=3, expressions=2, size=32, dense="depth,parts", cameras="free",
        bedside_share=0.5, clinical_share=1.0, glasses_share=0.5, scarf_share=0.5,
        shake_share=0.5, defocus_share=0.5, infrared_share=0.5, distortion_share=0.5,
    )  # fmt: skip
    synthesise(config, out, quiet=True)
    return out


@contextmanager
def changed(out: Path, to: Path) -> Iterator[Path]:
    """A copy, in which data and the manifest may be changed."""
    yield Path(shutil.copytree(out, to))
    shutil.rmtree(to)


def findings(out: Path, sample: bool = False) -> list[str]:
    """All that is wrong with the rows of a shard, of a sample of all its people too."""
    manifest = read_manifest(out)
    (entries,) = (shard["files"] for shard in manifest["shards"] if shard["shard"] == SHARD)
    with limited_threads(1), ThreadPoolExecutor(2) as pool:
        checks = RowChecks(out, manifest["resolved"], pool)
        found = [line for entry in in_order(entries) for line in checks.check(entry)]
        if sample:
            plan = DataSetPlan(out, manifest["resolved"])
            plan.people = {SHARD: plan.people[SHARD]}
            found += SampledChecks(plan, pool, 99).check()
        assert checks.notes == []
    return found


def tampered(name: str, value: Any) -> Any:
    """Another value, of a picture another that can be decoded: two levels brighter in the middle of what isn't 0."""
    if not isinstance(value, dict):
        return other_value(value)
    if name in ("heatmap", "depth", "parts"):
        levels = decode_levels(value["bytes"], 16 if name == "depth" else 8)
        rows, columns = np.nonzero((levels > 0) & (levels < (60000 if name == "depth" else 200)))
        middle = len(rows) // 2
        place = (rows[middle], columns[middle]) if len(rows) else (0, 0)
        levels[place] = levels[place] + 2 if name != "parts" else (levels[place] + 1) % 9
        return value | {"bytes": encode_grey(levels)}
    pixels = decode(value["bytes"]).copy()
    pixels[12:20, 12:20] = 255 - pixels[12:20, 12:20]
    return value | {"bytes": encode_image(pixels, 90)}


def every_value(out: Path) -> Iterator[tuple[str, str, str, int, Any]]:
    """Subset, path, column, row and another value of it: of every column, in a row of pain in the middle of a file."""
    for subset in SUBSETS:
        path = f"data/{subset}/{SHARD}.parquet"
        table = pq.read_table(out / path)
        for column in columns_of(subset, "depth,parts"):
            row = len(table) // 2
            yield subset, path, column.name, row, tampered(column.name, table[column.name][row].as_py())


def test_nothing_is_wrong_with_what_was_made(dense: Path) -> None:
    assert findings(dense, sample=True) == []


def test_many_values_at_once_are_each_named(dense: Path, tmp_path: Path) -> None:
    """All columns of a subset in the same row, as far as what is wrong with one doesn't hide the others."""
    total, named = 0, set()
    for subset in SUBSETS:
        with changed(dense, tmp_path / "out") as out:
            own = [each for each in every_value(dense) if each[0] == subset]
            path = own[0][1]
            table = pq.read_table(out / path)
            for _, _, name, row, value in own:
                if name == "texture":  # the person can't be told without it
                    continue
                values = table[name].to_pylist()
                values[row] = value
                place, field = table.schema.get_field_index(name), table.schema.field(name)
                table = table.set_column(place, field, pa.array(values, field.type))
            pq.write_table(table, out / path)
            make_right(out)
            lines = findings(out)
            assert all(f" row {own[0][3]} (" in line for line in lines if line.startswith(path)), lines
            words = [line.partition("): ")[2].split(" ")[0].partition("[")[0] for line in lines]
            total += len(own)
            named |= {(subset, name) for _, _, name, _, _ in own if name in words}
    missing = {(subset, column.name) for subset in SUBSETS for column in columns_of(subset, "depth,parts")} - named
    assert missing == BY_SAMPLE_ALONE | {(s, "texture") for s in ("frames", "pairs", "identities")}, missing
    assert total == len(named) + len(missing)


@pytest.mark.slow
def test_every_value_alone_is_found(dense: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each change by itself, without and with a sample of everybody; EVERY_COLUMN=1 asks for all columns."""
    found: dict[tuple[str, str], tuple[bool, bool]] = {}
    every = [*every_value(dense)][:: 1 if os.environ.get("EVERY_COLUMN") else SOME]
    for subset, path, name, row, value in every:
        with changed(dense, tmp_path / "out") as out:
            rewrite(out, path, name, row, value)
            alone = bool(findings(out))
            found[subset, name] = alone, alone or bool(findings(out, sample=True))
    by_sample = {key for key, (alone, _) in found.items() if not alone}
    with capsys.disabled():
        counts = [sum(each[place] for each in found.values()) for place in (0, 1)]
        print(f"\n{len(found)} columns: {counts[0]} found without --sample, {counts[1]} with it")
    assert all(each[1] for each in found.values()), [key for key, each in found.items() if not each[1]]
    assert by_sample == BY_SAMPLE_ALONE & found.keys()


@pytest.mark.parametrize("subset", ["frames", "pairs", "expressions"])
def test_action_units_and_their_score_changed_together_are_found(dense: Path, tmp_path: Path, subset: str) -> None:
    path = f"data/{subset}/{SHARD}.parquet"
    with changed(dense, tmp_path / "out") as out:
        for name, add in (("AU04", 1), ("AU04_L", 1), ("AU04_R", 1), ("PSPI", 1)):
            value = pq.read_table(out / path)[name][1].as_py()
            rewrite(out, path, name, 1, value + add if value < 5 else value - add)
        words = {line.partition("): ")[2].split(" ")[0] for line in findings(out) if f"{path} row 1 (" in line}
        assert words == {"AU04", "AU04_L", "AU04_R", "PSPI"}


def by_other_code(out: Path) -> None:
    """Make a copy a data set that other code made."""
    manifest = read_manifest(out)
    old = manifest["resolved"]["code_version"]
    manifest["resolved"]["code_version"] = "0" * 12
    write_manifest(out, manifest)
    resolved = out / "config.resolved.yaml"
    resolved.write_text(resolved.read_text().replace(old, "0" * 12))
    for path in sorted(out.glob("data/*/*.parquet")):
        table = pq.read_table(path)
        place, field = table.schema.get_field_index("code_version"), table.schema.field("code_version")
        pq.write_table(table.set_column(place, field, pa.array(["0" * 12] * len(table))), path)
    make_right(out)


@pytest.fixture
def older(dense: Path, tmp_path: Path) -> Path:
    out = Path(shutil.copytree(dense, tmp_path / "older"))
    by_other_code(out)
    return out


def test_rows_of_other_code_are_compared_with_their_scenes(pain3d: Run, older: Path, tmp_path: Path) -> None:
    ran = pain3d("verify", older, "--sample", "1")
    assert ran.code == 0, ran.out
    assert "note: made by other code ('000000000000', this is " in ran.out
    assert "note: other code made it, so no picture can be rendered again: --sample compared nothing" in ran.out
    frames, people = f"data/frames/{SHARD}.parquet", f"data/identities/{SHARD}.parquet"
    for path, column, value in (
        (frames, "PSPI", 9.0),
        (frames, "camera_distortion", 9.0),
        (frames, "camera_t", [0.0] * 3),
        (people, "local_shapes", []),
    ):
        with changed(older, tmp_path / "out") as out:
            rewrite(out, path, column, 0, value)
            ran = pain3d("verify", out)
            assert ran.code == 1 and f"{path} row 0 (" in ran.out and f"): {column}" in ran.out, (column, ran.out)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"yaw":', '"yaw":NaN,"was":', "NaN is no number of JSON's"),
        ('"distance":', '"distance":1e-9,"was":', "not a scene"),
        ('"distance":', '"distance":[[[]]],"d":', "not a scene"),
        ('"size":32', '"size":64', "size is 64, the configuration says 32"),
        ('"view_id":0', '"view_id":1', "aren't every expression in every view, in order"),
        ('"background"', "[" * 20_000, "nested more than"),
    ],
)
def test_a_strangers_scene_is_refused_before_a_head_is_made_of_it(
    pain3d: Run, older: Path, old: str, new: str, words: str
) -> None:
    path = f"data/frames/{SHARD}.parquet"
    scene = pq.read_table(older / path)["scene"][0].as_py()
    assert old in scene
    rewrite(older, path, "scene", 0, scene.replace(old, new, 1))
    ran = pain3d("verify", older)
    line = next(line for line in ran.out.splitlines() if line.startswith(f"{path} row 0 ("))
    assert ran.code == 1 and "its rows can't be told again (" in line and words in line


def test_another_head_is_a_note_and_its_landmarks_are_compared_with_cameras(
    pain3d: Run, older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(*args: Any) -> Told:
        told = tell(*args)
        return replace(told, geometry=replace(told.geometry, landmarks_3d=told.geometry.landmarks_3d + 1e-3))

    monkeypatch.setattr(shard_rows, "tell", elsewhere)
    ran = pain3d("verify", older)
    assert ran.code == 0 and f"note: {shard_rows.OTHER_HEAD}" in ran.out
    path = f"data/frames/{SHARD}.parquet"
    points = pq.read_table(older / path)["landmarks_2d"][0].as_py()
    rewrite(older, path, "landmarks_2d", 0, other_value(points))
    ran = pain3d("verify", older)
    assert ran.code == 1 and "): landmarks_2d[37][1] is " in ran.out


def test_a_sample_is_rendered_again(pain3d: Run, dense: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dense, tmp_path / "out"))
    path = f"data/expressions/{SHARD}.parquet"
    rewrite(
        out,
        path,
        "frontal_heatmap",
        1,
        tampered("frontal_heatmap", pq.read_table(out / path)["frontal_heatmap"][1].as_py()),
    )
    assert pain3d("verify", out).code == 0
    ran = pain3d("verify", out, "--sample", "3")
    name = pq.read_table(out / path)["sample_id"][1]
    assert ran.code == 1 and f"{path} row 1 ({name}): frontal_heatmap isn't what its scene renders to" in ran.out
    assert sum(" row " in line for line in ran.out.splitlines()) == 1


def test_on_another_class_of_device_levels_are_compared_within_one(pain3d: Run, dense: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(dense, tmp_path / "out"))
    manifest = read_manifest(out)
    manifest["resolved"]["device_class"] = "cuda-interpreted"
    write_manifest(out, manifest)
    resolved = out / "config.resolved.yaml"
    resolved.write_text(resolved.read_text().replace('device_class: "cpu"', 'device_class: "cuda-interpreted"'))
    make_right(out)
    ran = pain3d("verify", out, "--sample", "1")
    assert ran.code == 0, ran.out
    assert "note: made on cuda-interpreted, rendered again on cpu: no JPEG of the sample was compared" in ran.out
    path = f"data/frames/{SHARD}.parquet"
    depth = decode_levels(pq.read_table(out / path)["depth"][0].as_py()["bytes"], 16)
    rewrite(
        out, path, "depth", 0, {"bytes": encode_grey(np.where(depth > 0, depth + 2, 0).astype(np.uint16)), "path": ""}
    )
    ran = pain3d("verify", out, "--sample", "3")
    assert ran.code == 1 and "depth, with those of the same person, differs from what scenes render to (" in ran.out


def test_a_sample_is_spread_over_the_plan_and_drawn_by_the_seed() -> None:
    people: Any = {"train": [0] * 70, "validation": [0] * 20, "test": [0] * 10}
    numbers = [{"train": 0, "validation": 70, "test": 90}[shard] + place for shard, place in sampled(people, 7, 10)]
    assert [number // 10 for number in numbers] == [*range(10)]
    assert sampled(people, 7, 10) == sampled(people, 7, 10) != sampled(people, 8, 10)
    assert len(set(sampled(people, 7, 1000))) == 100 and sampled({}, 7, 3) == []
