"""``synth --no-pictures``: rows alone, whose pictures are rendered when they are read, to the byte of stored ones."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from pain3d import unstored
from pain3d.console.refused import RefusedError
from pain3d.doors.parquet import open_parquet
from pain3d.pipeline.config import SynthConfig, check_together, config_hash, what_fields
from pain3d.pipeline.data_set import open_data_set
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.verification import verify
from pain3d.random import keyed_generator
from pain3d.records import SUBSETS, UNSTORED_NUMBERS, columns_of, picture_name, unstored_columns
from pain3d.run_folder import settings_hash
from pain3d.training.data import open_data
from pain3d.unstored import UnstoredPictures
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL, hashes
from tests.pipeline.tampering import make_right, read_manifest, rewrite, write_manifest

Run = Callable[..., Ran]

DENSE = "depth,parts"
FRAMES = "data/frames/train-00000-of-00001.parquet"
SET = replace(
    SMALL, expressions=1, size=32, dense=DENSE, cameras="free", asymmetry=0.5, bedside_share=0.5, clinical_share=0.7,
    glasses_share=0.5, shake_share=0.5, defocus_share=0.5, infrared_share=0.5, distortion_share=0.5,
)  # fmt: skip
MOST_BYTES = 2048  # of a frame, with all that lies in the folder


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with pictures; not to be changed."""
    out = tmp_path_factory.mktemp("stored") / "set"
    synthesise(SET, out, quiet=True)
    return out


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without; not to be changed."""
    out = tmp_path_factory.mktemp("bare") / "set"
    synthesise(replace(SET, pictures=False), out, quiet=True)
    return out


@pytest.fixture
def changed(bare: Path, tmp_path: Path) -> Path:
    """A copy of that without, to be damaged."""
    return Path(shutil.copytree(bare, tmp_path / "changed"))


def pictures_of(out: Path, kept_bytes: int = 2**20, columns: tuple[str, ...] = ("image",)) -> UnstoredPictures:
    data = open_data_set(out)
    return UnstoredPictures(
        [open_parquet(out / path) for path in data.files("frames")], columns, data.resolved, kept_bytes
    )


def stored_images(out: Path) -> dict[str, bytes]:
    rows = pq.read_table(out / "data/frames", columns=["sample_id", "image"]).to_pylist()
    return {row["sample_id"]: row["image"]["bytes"] for row in rows}


@pytest.mark.parametrize("subset", SUBSETS)
def test_rows_are_those_of_the_stored_set(stored: Path, bare: Path, subset: str) -> None:
    """Labels, cameras, scenes, and every picture, file by file: all but the hash of the configuration."""
    names = [column.name for column in columns_of(subset, DENSE) if column.name != "config_hash"]
    names = [name for name in names if name not in UNSTORED_NUMBERS.get(subset, ())]
    right, made = (list(open_data_set(out).rows(subset, names)) for out in (stored, bare))
    assert len(made) == len(right) > 0
    for one, other in zip(made, right, strict=True):
        assert list(one) == names and {name for name in names if one[name] != other[name]} == set()


def test_nothing_of_a_picture_is_on_the_disk(bare: Path) -> None:
    for subset in SUBSETS:
        table = pd.read_parquet(bare / "data" / subset)
        empty = {name for name in table.columns if table[name].isna().all()}
        assert empty == {*unstored_columns(subset, DENSE)}
        assert not table.drop(columns=[*empty]).isna().any().any()
    assert not (bare / "contact_sheet.png").exists() and "contact_sheet" not in (bare / "README.md").read_text()
    assert (bare / "report/index.html").read_text().count("data:image/jpeg;base64,") > 6  # people to be looked at


def test_others_read_it(bare: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    for subset in SUBSETS:
        loaded = datasets.load_dataset(str(bare), subset, split="train", cache_dir=str(tmp_path))
        columns = columns_of(subset, DENSE)
        assert loaded.column_names == [column.name for column in columns]
        pictures = [column.name for column in columns if column.kind == "image"]
        assert all(isinstance(loaded.features[name], datasets.Image) for name in pictures)
        assert [loaded[0][name] for name in pictures] == [None] * len(pictures)


def test_any_order_and_any_thread_gives_the_same_bytes(stored: Path, bare: Path) -> None:
    right = stored_images(stored)
    names = keyed_generator(3, "test/unstored").permutation(sorted(right)).tolist()[:8]
    pictures = pictures_of(bare, kept_bytes=1)  # everybody is forgotten as soon as somebody else comes
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda name: pictures.picture(int(name[2:8]), name, "image"), names))
    assert made == [right[name] for name in names]


def test_who_is_asked_for_at_once_is_rendered_once(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered, everybody = [], threading.Barrier(4)
    original = unstored.picture_files

    def counted(scenes: Any, *others: Any) -> Any:
        rendered.append(scenes[0].identity_id)
        return original(scenes, *others)

    def ask(number: int) -> bytes:
        everybody.wait()
        return pictures.picture(1, f"id000001_e0{number % 2}_v1", "image")

    monkeypatch.setattr(unstored, "picture_files", counted)
    pictures = pictures_of(bare)
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(ask, range(4)))) == 2
    assert rendered == [1]
    for who in (0, 1, 0):
        pictures.person(who)
    assert rendered == [1, 0]  # who fits is kept


def test_a_failure_is_told_to_all_and_not_kept(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = pictures_of(bare)

    def fail(*_: Any) -> Any:
        raise ValueError("no such face")

    with monkeypatch.context() as patch:
        patch.setattr(unstored, "picture_files", fail)
        with pytest.raises(RefusedError, match=r"identity 1 can't be rendered \(no such face\)"):
            pictures.person(1)
    assert picture_name("id000001_e00_v0", "image") in pictures.person(1)


@pytest.mark.slow
def test_a_net_learns_the_same(pain3d: Run, stored: Path, bare: Path, tmp_path: Path) -> None:
    options = ("--image-size", "32", "--depth", "1", "--width", "32", "--heads", "2", "--batch", "4", "--group", "2",
               "--steps", "3", "--validations", "1", "--device", "cpu")  # fmt: skip
    for name, data in (("stored", stored), ("bare", bare)):
        ran = pain3d("train", tmp_path / name, "--data", data, *options)
        assert ran.code == 0, ran.err
    assert hashes(tmp_path / "bare/model", "*.safetensors") == hashes(tmp_path / "stored/model", "*.safetensors")
    right, learned = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("stored", "bare"))
    assert right.keys() == learned.keys()
    assert all(right[name].equal(learned[name]) for name in right)
    right, learned = (
        pd.read_parquet(next((tmp_path / name).rglob("predictions.parquet"))) for name in ("stored", "bare")
    )
    pd.testing.assert_frame_equal(right, learned)


def test_training_sees_the_same_pictures_and_heat_maps(stored: Path, bare: Path) -> None:
    right, made = open_data(stored), open_data(bare)
    assert made.ids == right.ids
    for row in (5, 2):
        assert np.array_equal(made.pixels.picture(row), right.pixels.picture(row))
        assert np.array_equal(made.pixels.heatmap(row), right.pixels.heatmap(row))  # type: ignore[arg-type]


def test_an_export_has_the_files_of_a_stored_set(pain3d: Run, stored: Path, bare: Path, tmp_path: Path) -> None:
    for form in ("imagefolder", "3dpain"):
        for name, data in (("stored", stored), ("bare", bare)):
            assert pain3d("export", data, "--format", form, "--to", tmp_path / form / name).code == 0
        right, made = (
            {path: digest for path, digest in hashes(tmp_path / form / name).items() if path.endswith((".jpg", ".png"))}
            for name in ("stored", "bare")
        )
        assert made == right and len(made) >= 20


def test_a_row_is_replayed(pain3d: Run, stored: Path, bare: Path, tmp_path: Path) -> None:
    name = "id000002_e01_v1"
    ran = pain3d("replay", bare, name, "--to", tmp_path / "to")
    assert (ran.code, ran.err) == (0, "") and "frames       image            not stored, " in ran.out
    assert "pairs        neutral_image    not stored, " in ran.out and ran.out.endswith(f"{name}: as stored\n")
    assert (tmp_path / "to" / f"{name}.jpg").read_bytes() == stored_images(stored)[name]


def test_a_page_shows_it(pain3d: Run, bare: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(bare, tmp_path / "set"))
    assert pain3d("gallery", out).code == 0
    assert verify(out, sample=1).findings == []


def test_verify_says_what_it_can_t_see(bare: Path) -> None:
    found = verify(bare)
    assert found.findings == [] and found.notes[0].startswith("no picture is stored: coverage, ")


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("image", {"bytes": b"\xff\xd8\xff", "path": "a.jpg"}, "image isn't null, as without pictures"),
        ("AU04", 4.5, "AU04 is 4.5, its scene gives"),
        ("coverage", 0.25, "coverage is 0.25, rendered again it is"),
    ],
)
def test_what_was_changed_is_found(changed: Path, column: str, value: object, says: str) -> None:
    rewrite(changed, FRAMES, column, 1, value)
    findings = verify(changed, sample=SET.identities if column == "coverage" else 0).findings
    assert findings and any(says in line for line in findings)


def test_other_code_is_said_aloud_and_draws_what_rows_hold(
    pain3d: Run, stored: Path, changed: Path, tmp_path: Path
) -> None:
    manifest = read_manifest(changed)
    manifest["resolved"]["code_version"] = "0" * 12
    write_manifest(changed, manifest)
    ran = pain3d("export", changed, "--format", "imagefolder", "--to", tmp_path / "to", "--json")
    (line,) = [line for line in ran.err.splitlines() if line.startswith("pain3d: ")]
    assert ran.code == 0 and "made by other code ('000000000000', this is " in line
    name = "id000000_e01_v0"
    (picture,) = (tmp_path / "to").glob(f"*/{name}.jpg")
    assert picture.read_bytes() == stored_images(stored)[name]


def displaced(out: Path) -> None:
    """A row of the first person of train has the scene of the next one."""
    scenes = pq.read_table(out / FRAMES)["scene"].to_pylist()
    rewrite(out, FRAMES, "scene", 0, scenes[1])


def scattered(out: Path) -> None:
    """A row of that person comes last, behind those of the others."""
    table = pq.read_table(out / FRAMES)
    pq.write_table(table.take([*range(1, len(table)), 0]), out / FRAMES)
    make_right(out)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (displaced, "the scene of 'id000002_e00_v0' is that of id000002_e00_v1"),
        (lambda out: rewrite(out, FRAMES, "scene", 0, "{}"), "can't be rendered ("),
        (scattered, "don't follow each other"),
    ],
)
def test_damaged_rows_are_one_line(
    pain3d: Run, changed: Path, tmp_path: Path, damage: Callable[[Path], None], says: str
) -> None:
    damage(changed)
    ran = pain3d("export", changed, "--format", "webdataset", "--to", tmp_path / "to", "--json")
    said = [line for line in ran.err.splitlines() if line.startswith("pain3d: ")]
    assert ran.code == 2 and len(said) == 1 and says in said[0] and not (tmp_path / "to").exists()


@pytest.mark.parametrize("size", [16, "32", None])
def test_a_scene_of_another_size_is_refused(changed: Path, size: object) -> None:
    data = open_data_set(changed)
    pictures = UnstoredPictures([open_parquet(changed / FRAMES)], ("image",), data.resolved | {"size": size})
    who = int(pq.read_table(changed / FRAMES)["identity_id"][0].as_py())
    with pytest.raises(RefusedError, match="size is 32, the configuration says"):
        pictures.person(who)


@pytest.mark.parametrize(
    ("options", "device", "says"),
    [
        ({"texture": "bank:folder"}, "cpu", "what --texture brings"),
        ({"backgrounds": "diffusion"}, "cpu", "what --backgrounds brings"),
        ({"refine": "folder"}, "cpu", "what --refine brings"),
        ({"environments": "folder"}, "cpu", "what --environments brings"),
        ({"assets": "skins"}, "cpu", "what --assets brings"),
        ({}, "cuda", "--device cpu"),
    ],
)
def test_what_rows_can_t_hold_is_refused(options: dict[str, Any], device: str, says: str) -> None:
    with pytest.raises(RefusedError) as refused:
        check_together(SynthConfig(pictures=False, hair="painted", **options), device)
    assert str(refused.value).startswith("--no-pictures: ") and says in str(refused.value)
    check_together(SynthConfig(hair="painted", **options), device)


def test_hashes_from_before_stay() -> None:
    """A data set that was made before there was such an option has the hash that it had."""
    fields = what_fields(SynthConfig())
    assert "pictures" not in fields
    assert config_hash(SynthConfig(), "cpu", {}) == settings_hash(fields | {"device_class": "cpu"})
    assert what_fields(SynthConfig(pictures=False)) == fields | {"pictures": False}


@pytest.mark.slow
def test_a_usual_set_takes_less_than_two_kilobytes_a_picture(tmp_path: Path) -> None:
    synthesise(SynthConfig(identities=24, size=64, pictures=False, hair="painted", device="cpu"), tmp_path, quiet=True)
    frames = 24 * 11 * 3
    assert open_data_set(tmp_path).count("frames") == frames
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < MOST_BYTES * frames
