"""A data set of painted textures: rows, card and licences say who painted; bytes don't depend on batch or on a stop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from pain3d.pipeline import device_synthesis
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.data_set import open_data_set
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.texture.bank import Entry, TextureBank
from pain3d.pipeline.texture.choice import sitter_of
from pain3d.records import (
    BACKGROUND_COLUMNS,
    DISTORTION_COLUMNS,
    EFFECT_COLUMNS,
    FORMAT_VERSION,
    HAIR_COLUMNS,
    LATER_IN_PAIRS,
    LENS_COLUMNS,
    LICENCE,
    REFINED_COLUMNS,
    TEXTURE_COLUMNS,
    WORN_COLUMNS,
    row_licence,
)
from pain3d.scene import Scene
from tests.conftest import Ran
from tests.pipeline.conftest import hashes, stop_run
from tests.pipeline.test_verify import edit

Run = Callable[..., Ran]
CONFIG = SynthConfig(identities=3, expressions=1, views=1, size=32, seed=7, device="cpu")
PICTURED = ("frames", "pairs", "identities")


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of plain colours, one for each of three people."""
    bank = TextureBank(tmp_path_factory.mktemp("bank") / "bank")
    people = [person for shard in make_plan(CONFIG).shards for person in shard.identities]
    for number, person in enumerate(people):
        albedo = (np.full((64, 64, 3), 60 + 60 * number) * [1.0, 0.8, 0.7]).astype(np.uint8)
        licence, prompt = ["MIT", "unknown", "MIT"][number], f"person {number}"
        entry = Entry(
            f"{number}" * 64, sitter_of(person, 7), "tiny", "b" * 64, licence, "4 steps", prompt, "", 100 + number, "",
            {},
        )  # fmt: skip
        bank.add(albedo, entry)
    return bank.folder


@pytest.fixture(scope="module")
def made(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set drawn from it; not to be changed."""
    out = tmp_path_factory.mktemp("textured") / "out"
    synthesise(replace(CONFIG, texture=f"bank:{bank}"), out, quiet=True)
    return out


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of procedural skin; to be changed by one test."""
    out = tmp_path_factory.mktemp("plain") / "out"
    synthesise(replace(CONFIG, identities=1, size=16), out, quiet=True)
    return out


def rows(out: Path, subset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted((out / "data" / subset).iterdir()):
        found += pq.read_table(path).to_pylist()
    return sorted(found, key=lambda row: int(row["identity_id"]))


def test_rows_say_who_painted(made: Path, bank: Path) -> None:
    textures = TextureBank(bank)
    assert {*TextureBank(made / "textures")} == {*textures}
    for subset in PICTURED:
        for row in rows(made, subset):
            entry = textures.entry(row["texture"])
            assert entry.sitter.identity_id == row["identity_id"]
            said = [row[name] for name in TEXTURE_COLUMNS[1:]]
            assert said == [entry.model, entry.model_hash, entry.licence, entry.prompt, entry.seed, entry.scheduler]
            assert row["licence"] == row_licence(entry.licence) in ("CC0-1.0 AND MIT", "unknown")
            if "scene" in row:
                assert Scene.from_json(row["scene"]).texture == row["texture"]
    for row in rows(made, "expressions"):
        assert "texture" not in row and row["licence"] == LICENCE
    tones = {row["texture_seed"]: row["skin_ita_degrees"] for row in rows(made, "identities")}
    assert tones[100] < tones[101] < tones[102] and tones[102] - tones[100] > 30  # measured on what was painted


def test_the_card_names_the_chain_of_licences(made: Path, plain: Path) -> None:
    card = (made / "README.md").read_text()
    assert "\nlicense: other\nlicense_name: CC0-1.0 AND MIT / unknown\nlicense_link: LICENSES\n" in card
    assert f"| tiny | {'b' * 16}... | MIT | 2 | CC0-1.0 AND MIT |" in card
    assert f"| tiny | {'b' * 16}... | unknown | 1 | unknown |" in card
    told = json.loads((made / "croissant.json").read_bytes())
    named = [one if isinstance(one, str) else one["name"] for one in told["license"]]
    assert named == ["https://spdx.org/licenses/CC0-1.0", "https://spdx.org/licenses/MIT", "unknown"]
    assert "Skin, hair and clothes were painted by tiny." in told["rai:dataCollection"]
    assert json.loads((plain / "croissant.json").read_bytes())["license"] == named[:1]
    bare = (plain / "README.md").read_text()
    assert "\nlicense: cc0-1.0\n" in bare and "Who painted" not in bare


def test_heads_wear_what_was_painted_for_them(pain3d: Run, made: Path, tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh")
    assert pain3d("export", made, "--format", "glb", "--to", tmp_path / "to").code == 0
    assert (
        "\nLicence of the pictures: CC0-1.0 AND MIT / unknown (the README"
        in (tmp_path / "to" / "README.md").read_text()
    )
    people = rows(made, "identities")
    for row in people:
        read = trimesh.load(tmp_path / "to" / row["split"] / f"id{row['identity_id']:06d}.glb", force="mesh")
        seen = np.median(np.asarray(read.visual.material.baseColorTexture)[..., 0])
        assert abs(seen - (60 + 60 * (row["texture_seed"] - 100))) <= 2, "the colour of its own texture"
    damaged = Path(shutil.copytree(made, tmp_path / "damaged"))
    shutil.rmtree(TextureBank(damaged / "textures").place(people[0]["texture"]))
    ran = pain3d("export", damaged, "--format", "glb", "--to", tmp_path / "none")
    assert ran.code == 2 and "the data set has no texture" in ran.err and not (tmp_path / "none").exists()


def test_an_export_has_the_licences_of_its_pictures(pain3d: Run, made: Path, tmp_path: Path) -> None:
    out, forbidden = Path(shutil.copytree(made, tmp_path / "out")), "CC0-1.0 AND LicenseRef-non-commercial"

    def said(to: Path) -> str:
        assert pain3d("export", out, "--format", "3dpain", "--to", to).code == 0
        return (to / "README.md").read_text()

    end = " (the README of the data set that was exported says who painted). Annotations and heatmaps: CC0-1.0.\n"
    assert f"\nLicence of the pictures: CC0-1.0 AND MIT / unknown{end}" in said(tmp_path / "first")
    for split in ("train", "validation", "test"):
        frames = f"data/frames/{split}-00000-of-00001.parquet"
        edit(out, frames, lambda rows: [row.update(licence=forbidden) for row in rows])
    assert f"\nLicence of the pictures: {forbidden}{end}" in said(tmp_path / "second")


def test_verify_looks_into_the_bank(pain3d: Run, made: Path, tmp_path: Path) -> None:
    assert pain3d("verify", made, "--sample", "2").code == 0
    ran = pain3d("replay", made, str(pq.read_table(made / "data/frames")["sample_id"][0]))
    assert ran.code == 0 and "frames       image            byte-identical" in ran.out
    out = Path(shutil.copytree(made, tmp_path / "out"))
    frames = "data/frames/train-00000-of-00001.parquet"
    edit(out, frames, lambda rows: rows[0].update(texture_prompt="x", licence="MIT"))
    licence, prompt = sorted(pain3d("verify", out).out.splitlines())
    assert "licence is 'MIT', who painted says '" in licence
    assert "texture_prompt is 'x', who painted says 'person " in prompt
    shutil.rmtree(out)
    shutil.copytree(made, out)
    name = rows(out, "frames")[0]["texture"]
    cv2.imwrite(str(out / "textures" / name[:2] / name / "albedo.png"), np.zeros((64, 64, 3), np.uint8))
    found = pain3d("verify", out)
    line = f"textures/{name[:2]}/{name}: a damaged texture (its SHA-256 is not its name); nothing was changed"
    assert found.code == 1 and f"its rows can't be told again ({line})" in found.out


def test_a_data_set_from_before_textures_is_still_read(pain3d: Run, plain: Path) -> None:
    """Its rows have none of the columns, its configuration doesn't name the source."""
    manifest = json.loads((plain / "manifest.json").read_text())
    for shard in manifest["shards"]:
        for file in shard["files"]:
            table = pq.read_table(plain / file["path"])
            later = [*EFFECT_COLUMNS, *DISTORTION_COLUMNS, *HAIR_COLUMNS, *LENS_COLUMNS, *WORN_COLUMNS]
            later += TEXTURE_COLUMNS
            later += [*BACKGROUND_COLUMNS, *REFINED_COLUMNS]
            later += LATER_IN_PAIRS if file["subset"] == "pairs" else ()
            kept = [name for name in table.column_names if name not in later]
            pq.write_table(table.select(kept), plain / file["path"], row_group_size=8)
            file |= {"sha256": file_hash(plain / file["path"]), "bytes": (plain / file["path"]).stat().st_size}
    del manifest["resolved"]["texture"]
    resolved = plain / "config.resolved.yaml"
    resolved.write_text(resolved.read_text().replace('texture: "procedural"\n', ""))
    manifest["files"][0] |= {"sha256": file_hash(resolved), "bytes": resolved.stat().st_size}
    (plain / "manifest.json").write_text(json.dumps(manifest))
    assert FORMAT_VERSION == 1
    assert pain3d("verify", plain).out.endswith("nothing wrong\n")
    assert len(open_data_set(plain).textures) == 0


def test_a_device_renders_the_same_textures(
    made: Path, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU's kernels stand in for a device, as in test_device_synthesis; only the configuration's hash differs."""
    monkeypatch.setattr(device_synthesis.DeviceBatches, "_on_device", lambda self: nullcontext())
    synthesise(replace(CONFIG, texture=f"bank:{bank}", device="cuda"), tmp_path / "out", quiet=True)
    for one, other in zip(rows(made, "frames"), rows(tmp_path / "out", "frames"), strict=True):
        assert one["image"] == other["image"] and one["texture"] == other["texture"]


def test_a_stopped_run_goes_on(made: Path, bank: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", replace(CONFIG, texture=f"bank:{bank}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.pipeline.conftest.SMALL", config)
        patch.setattr("tests.pipeline.conftest.KILLED_AFTER", 1)
        assert stop_run(out).count(b"\n") == 1
    (out / "textures" / "ab").mkdir(exist_ok=True)
    (out / "textures" / "ab" / ".abc.partial").mkdir()  # half-written
    synthesise(config, out, quiet=True)
    (out / "textures" / "ab").rmdir()
    assert hashes(out) == hashes(made)


def test_repair_drops_damaged_textures_and_has_them_again(
    pain3d: Run, made: Path, bank: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of people whose shards are whole too."""
    out, config = Path(shutil.copytree(made, tmp_path / "out")), replace(CONFIG, texture=f"bank:{bank}")
    gone, cut, kept = sorted(path.parent for path in (out / "textures").rglob("entry.json"))
    shutil.rmtree(gone)
    (cut / "albedo.png").write_bytes(b"half")
    before = kept.stat().st_mtime_ns
    assert synthesise(config, out, quiet=True, repair=True).new == 0
    said = capsys.readouterr().err
    assert said == f"pain3d: {cut}: a damaged texture (its SHA-256 is not its name); dropped\n"
    assert hashes(out) == hashes(made) and kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("texture", "line"),
    [
        ("bank:{0}/nowhere", "--texture bank:{0}/nowhere: holds no textures"),
        ("bank:", "texture must be procedural, diffusion, diffusion:RECIPE or bank:DIR, got 'bank:'"),
        ("banc", "texture must be procedural, diffusion, diffusion:RECIPE or bank:DIR, got 'banc'"),
    ],
)
def test_no_such_source_is_one_line(pain3d: Run, tmp_path: Path, texture: str, line: str) -> None:
    ran = pain3d("synth", tmp_path / "out", "--texture", texture.format(tmp_path))
    assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line.format(tmp_path)}\n")
    assert list(tmp_path.iterdir()) == []


def test_too_small_a_bank_leaves_nothing(pain3d: Run, tmp_path: Path, bank: Path) -> None:
    ran = pain3d("synth", tmp_path / "out", "--identities", "30", "--texture", f"bank:{bank}")
    assert ran.code == 2 and "are too few for 30 identities, each needs its own" in ran.err
    assert list(tmp_path.iterdir()) == []
