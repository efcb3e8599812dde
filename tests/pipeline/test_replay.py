"""``replay`` makes a row again of what its data set carries, and says what isn't the bytes that are stored."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pain3d.pipeline.run import synthesise
from pain3d.provenance import code_version
from pain3d.random import keyed_generator
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL, hashes
from tests.pipeline.tampering import other_value, read_manifest, rewrite, write_manifest

Run = Callable[..., Ran]

FRAMES = "data/frames/train-00000-of-00001.parquet"
ROW = 2  # of it: the first view of its person's expression 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with all options on; not to be changed."""
    out = tmp_path_factory.mktemp("replay") / "whole"
    config = replace(
        SMALL, identities=3, expressions=1, size=32, dense="depth,parts", asymmetry=0.5, quality=90,
        bedside_share=0.5, clinical_share=0.7, glasses_share=0.5, scarf_share=0.5,
        shake_share=0.5, defocus_share=0.5, infrared_share=0.5, distortion_share=0.5,
    )  # fmt: skip
    synthesise(config, out, quiet=True)
    return out


@pytest.fixture
def changed(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "changed"))


def stored(out: Path, subset: str) -> dict[str, dict[str, object]]:
    """Rows of a subset by name."""
    return {row["sample_id"]: row for row in pq.read_table(out / "data" / subset).to_pylist()}


def in_train(out: Path) -> str:
    """Name of ROW of FRAMES."""
    name = str(pq.read_table(out / FRAMES)["sample_id"][ROW])
    assert name.endswith("_e01_v0")
    return name


def test_random_rows_have_the_bytes_that_are_stored(pain3d: Run, whole: Path, tmp_path: Path) -> None:
    frames, before = stored(whole, "frames"), hashes(whole)
    drawn = keyed_generator(7, "test/replay").choice(sorted(frames), 3, replace=False).tolist()
    for name in {*drawn, in_train(whole)}:
        ran = pain3d("replay", whole, name, "--to", tmp_path / name)
        assert (ran.code, ran.err) == (0, "") and ran.out.endswith(f"{name}: as stored\n")
        said = [line.split()[:3] for line in ran.out.splitlines()[:-2]]
        of_frames = [[word, "byte-identical,"] for word in ("image", "heatmap", "depth", "parts")]
        assert said[:5] == [["frames", *words] for words in [*of_frames, ["labels", "identical,"]]]
        assert len(said) == (9 if name.split("_")[1] == "e01" else 5)  # a neutral face has no row of pairs
        for column, file in (("image", "jpg"), ("heatmap", "heatmap.png"), ("depth", "depth.png")):
            assert (tmp_path / name / f"{name}.{file}").read_bytes() == frames[name][column]["bytes"]  # type: ignore[index]
    assert hashes(whole) == before


def test_the_row_of_an_expression(pain3d: Run, whole: Path) -> None:
    ran = pain3d("replay", whole, "id000001_e01")
    assert ran.code == 0 and ran.out.startswith("expressions  frontal_heatmap  byte-identical, ")


@pytest.mark.parametrize("column", ["image", "heatmap", "depth", "AU04", "scene"])
def test_what_was_changed_is_named(pain3d: Run, changed: Path, column: str) -> None:
    name = in_train(changed)
    rewrite(changed, FRAMES, column, ROW, other_value(pq.read_table(changed / FRAMES)[column][ROW].as_py()))
    ran = pain3d("replay", changed, name)
    what = column if column in ("image", "heatmap", "depth") else "labels"
    assert ran.code == 1 and ran.out.splitlines()[-1] == f"{name}: {what} of frames not as stored"
    assert what != "labels" or f"labels           differ in {column}\n" in ran.out


def test_other_code_s_row_is_made_of_its_scenes(pain3d: Run, changed: Path) -> None:
    manifest = read_manifest(changed)
    manifest["resolved"]["code_version"] = "0" * 12
    write_manifest(changed, manifest)
    ran = pain3d("replay", changed, in_train(changed))
    assert (ran.code, ran.err) == (1, "")  # rows say which code made them
    assert "frames       image            byte-identical" in ran.out
    assert f"(code_version is '000000000000', here '{code_version()}')" in ran.out.splitlines()[-1]


def test_another_class_of_device_is_said(pain3d: Run, changed: Path) -> None:
    manifest = read_manifest(changed)
    manifest["resolved"]["device_class"] = "cuda-interpreted"
    write_manifest(changed, manifest)
    name = in_train(changed)
    rewrite(changed, FRAMES, "image", ROW, {"bytes": b"", "path": ""})
    ran = pain3d("replay", changed, name)
    assert ran.code == 1 and "made on cuda-interpreted, rendered again on cpu)" in ran.out.splitlines()[-1]


@pytest.mark.parametrize(
    "name", ["", "..", "../../etc/passwd", "/", "id000000_e01_v0\n", "\x1b[2J", "\udcff", "%s{}*?", "a" * 100_000]
)
def test_a_strange_name_is_harmless(pain3d: Run, whole: Path, tmp_path: Path, name: str) -> None:
    ran = pain3d("replay", whole, name, "--to", tmp_path / "to")
    assert (ran.code, ran.out) == (2, "")
    (line,) = ran.err.splitlines()
    assert "no row is named " in line and "; nearest are id" in line and line.isprintable() and len(line) < 1000
    assert not (tmp_path / "to").exists()


def test_the_nearest_names_are_said(pain3d: Run, whole: Path) -> None:
    line = f"pain3d: {whole}: no row is named 'id00001_e01_v1'; nearest are id000001_e01_v1, "
    assert pain3d("replay", whole, "id00001_e01_v1").err.startswith(line)


def test_nothing_is_written_into_a_data_set(pain3d: Run, whole: Path) -> None:
    ran = pain3d("replay", whole, in_train(whole), "--to", whole / "data" / ".." / "again")
    assert ran.code == 2 and ran.err.endswith("lies in the data set, which isn't changed\n")
    assert not (whole / "again").exists()


def test_a_row_of_another_person_is_no_crash(pain3d: Run, changed: Path) -> None:
    rewrite(changed, FRAMES, "identity_id", ROW, 2**31 - 1)
    ran = pain3d("replay", changed, in_train(changed))
    assert ran.code == 2 and "can't be made again: the plan has no identity 2147483647 in train-" in ran.err
