"""A data set of a stranger is one line: a finding of verify (exit 1), a refusal of export and gallery (exit 2)."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import simplejpeg

from pain3d.console.refused import RefusedError
from pain3d.pipeline import picture_checks
from pain3d.pipeline.data_set import open_data_set
from pain3d.pipeline.manifest import read_manifest
from pain3d.pipeline.picture_checks import PicturedRow, look_at
from tests.conftest import Ran
from tests.pipeline.tampering import make_right, write_manifest
from tests.pipeline.tampering import read_manifest as manifest_of

Run = Callable[..., Ran]
FRAMES = "data/frames/train-00000-of-00001.parquet"


def first(manifest: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = manifest["shards"][0]["files"][0]
    return entry


def changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def make(out: Path) -> None:
        manifest = manifest_of(out)
        change(manifest)
        write_manifest(out, manifest)

    return make


def instead(path: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(out: Path) -> None:
        (out / path).unlink()
        make(out / path)

    return put


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "device": (changed(lambda m: first(m).update(path="/dev/full")), "names '/dev/full': not a path inside"),
    "outside": (changed(lambda m: m["files"].append({"path": "../../etc/passwd"})), "not a path inside its folder"),
    "twice": (changed(lambda m: m["files"].append(m["files"][0])), "names config.resolved.yaml twice"),
    "pipe": (instead(FRAMES, os.mkfifo), "not a regular file"),
    "link": (instead("README.md", lambda path: path.symlink_to("/etc/passwd")), "a link that leads out of its folder"),
    "loop": (instead(FRAMES, lambda path: path.symlink_to(path.name)), "a link to itself"),
    "subset": (changed(lambda m: first(m).update(subset="x")), "the subset of data/frames/train-00000"),
    "other place": (changed(lambda m: first(m).update(path="README.md")), "a file of frames in train-00000"),
    "split": (changed(lambda m: first(m).update(split="test")), "the split of data/frames/train-00000"),
    "no hash": (changed(lambda m: first(m).pop("sha256")), "sha256 of data/frames/train-00000"),
    "rows": (changed(lambda m: first(m).update(rows=2**40)), "rows of data/frames/train-00000"),
    "true rows": (changed(lambda m: first(m).update(rows=True)), "rows of data/frames/train-00000"),
    "bytes": (changed(lambda m: first(m).update(bytes="9")), "bytes of data/frames/train-00000"),
    "shard": (changed(lambda m: m["shards"][0].update(shard="../a")), "a shard is '../a'"),
    "shards": (changed(lambda m: m.update(shards={"a": 1})), "shards is {'a': 1}"),
    "no files": (changed(lambda m: m.pop("files")), "files is None"),
    "entry": (changed(lambda m: m["files"].append(7)), "an entry of a file is 7"),
    "resolved": (changed(lambda m: m.update(resolved=None)), "resolved is None"),
    "size": (changed(lambda m: m["resolved"].update(size="x")), "size of resolved is 'x'"),
    "dense": (changed(lambda m: m["resolved"].update(dense=[1])), "dense of resolved is [1]"),
    "pictures": (changed(lambda m: m["resolved"].update(pictures=0)), "pictures of resolved is 0"),
    "later": (changed(lambda m: m["resolved"].update(pain3d_format=99)), "pain3d_format of resolved is 99"),
    "deep": (lambda out: (out / "manifest.json").write_text("[" * 20_000), "nested more than 64 deep"),
    "digits": (lambda out: (out / "manifest.json").write_text("9" * 5000), "a number of more than 100 digits"),
    "long": (lambda out: os.truncate(out / "manifest.json", 10**8), "larger than 33554432 bytes"),
    "list": (lambda out: (out / "manifest.json").write_text("[]"), "it is no mapping of names"),
    "a folder": (instead("manifest.json", Path.mkdir), "not a regular file"),
    "zeros": (instead("manifest.json", lambda path: path.symlink_to("/dev/zero")), "a link that leads out"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_manifest_is_one_line(copy: Path, name: str) -> None:
    make, words = HOSTILE[name]
    make(copy)
    for read in (read_manifest, open_data_set):
        with pytest.raises(RefusedError) as refused:
            read(copy)
        said = str(refused.value)
        assert words in said and str(copy) in said and said.isprintable() and len(said) < 400


def test_commands_say_it_with_their_exit_codes(pain3d: Run, copy: Path, tmp_path: Path) -> None:
    HOSTILE["device"][0](copy)
    line = "manifest.json: names '/dev/full': not a path inside its folder\n"
    ran = pain3d("verify", copy)
    assert (ran.code, ran.out, ran.err) == (1, line, "")
    for command in (("export", copy, "--format", "3dpain", "--to", tmp_path / "to"), ("gallery", copy)):
        ran = pain3d(*command)
        assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {copy}/{line}")
    assert not (tmp_path / "to").exists()


COLUMNS: dict[str, tuple[str, Any, str]] = {
    "type": ("AU04", "x", "its column AU04 is string, not float"),
    "null bytes": ("image", {"bytes": None, "path": "a"}, "its column image is empty in row 0"),
    "null": ("PSPI", None, "its column PSPI is empty in row 0"),
    "no picture": ("image", {"bytes": b"\xff\xd8\xff", "path": "a"}, "image can't be decoded"),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_hostile_column_is_one_line(pain3d: Run, copy: Path, name: str) -> None:
    column, value, words = COLUMNS[name]
    table = pq.read_table(copy / FRAMES)
    place, field = table.schema.get_field_index(column), table.schema.field(column)
    kind = pa.string() if name == "type" else field.type
    pq.write_table(table.set_column(place, column, pa.array([value] * len(table), kind)), copy / FRAMES)
    make_right(copy)
    ran = pain3d("gallery", copy)
    assert ran.code == 2 and ran.err.count("\n") == 1 and words in ran.err
    ran = pain3d("verify", copy)
    assert ran.code == 1 and ran.err == "" and words in ran.out


def test_a_picture_of_another_size_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """196 million pixels were decoded to be told that they are not 32 x 32."""
    monkeypatch.setattr(picture_checks, "_decoded", lambda name, content: pytest.fail("decoded"))
    content = simplejpeg.encode_jpeg(np.zeros((64, 96, 3), np.uint8))
    found, _ = look_at(PicturedRow({"image": content}, 32, False))
    assert found == ["image is 96 x 64, not 32 x 32"]


def test_the_manifest_of_a_run_is_read(small: Path) -> None:
    assert json.loads((small / "manifest.json").read_text())["shards"] == read_manifest(small).shards
    assert open_data_set(small).shards == read_manifest(small).shards
