"""Whatever somebody changes in the folder of a data set, `pain3d verify` finds: counted, one change at a time.

python -m pytest tests/pipeline/test_tampering.py -s      prints how many of how many were found
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.folder_checks import check_files, check_plan
from pain3d.pipeline.manifest import read_manifest
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.verification import verify
from tests.conftest import Ran
from tests.pipeline.tampering import drop_shard, flip, make_right, write_manifest
from tests.pipeline.tampering import read_manifest as manifest_of

Run = Callable[..., Ran]
TINY = SynthConfig(identities=4, expressions=2, views=1, size=32, seed=7, device="cpu", identities_per_shard=1)
TRAIN = "data/frames/train-00000-of-00002.parquet"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of four shards, two of them in train; not to be changed."""
    out = tmp_path_factory.mktemp("tampering") / "tiny"
    synthesise(TINY, out, quiet=True)
    return out


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(tiny, tmp_path / "copy"))


def files_of(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file())


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """A file as it was, afterwards."""
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


def changes(out: Path) -> Iterator[tuple[str, Path]]:
    """Make one change at a time, each undone before the next: its kind, and the file that a finding must name."""
    for path in files_of(out):
        with restored(path):
            flip(path)
            yield "one byte flipped", path
        with restored(path):
            path.unlink()
            yield "one file deleted", path
    for folder in sorted({path.parent for path in files_of(out)}):
        for name in ("extra.bin", ".hidden"):
            (folder / name).write_bytes(b"more")
            yield "one file added", folder / name
            (folder / name).unlink()


def test_every_byte_and_every_file_counts(copy: Path) -> None:
    own = verify(copy)
    assert own.findings == [] and own.notes == []
    counts: dict[str, list[bool]] = {}
    missed = []
    for kind, path in changes(copy):
        name = path.relative_to(copy).as_posix()
        if name == "manifest.json" or (kind == "one byte flipped" and name.startswith("data/")):
            found = verify(copy, own.manifest).findings
        else:  # the rest of verify, which reads rows, isn't asked
            found = list(check_files(copy, read_manifest(copy)))
        counts.setdefault(kind, []).append(any(line.startswith(f"{name}: ") for line in found))
        if not counts[kind][-1]:
            missed.append(f"{kind}: {name}: {found}")
    for kind, found_ones in counts.items():
        print(f"{kind:20} {sum(found_ones)} of {len(found_ones)} found")
    assert not missed, missed
    assert [len(found_ones) for found_ones in counts.values()] == [24, 24, 14]


def test_a_shard_that_is_dropped_with_its_line_is_found(copy: Path, tmp_path: Path) -> None:
    names = [shard["shard"] for shard in manifest_of(copy)["shards"]]
    for number, name in enumerate(names):
        out = Path(shutil.copytree(copy, tmp_path / str(number)))
        assert drop_shard(out, number) == name
        assert not list(check_files(out, read_manifest(out)))
        assert f"manifest.json: the shard {name} is missing" in check_plan(read_manifest(out))
    print(f"one shard dropped    {len(names)} of {len(names)} found")
    found = verify(tmp_path / "1").findings
    assert found == [
        "manifest.json: it lists 3 shards, 4 identities are in 4",
        f"manifest.json: the shard {names[1]} is missing",
    ]


def wrong_order(manifest: dict[str, Any]) -> None:
    manifest["shards"].reverse()


def wrong_rows(manifest: dict[str, Any]) -> None:
    manifest["shards"][0]["files"][0]["rows"] -= 1
    manifest["counts"]["frames"]["train"] -= 1


def wrong_counts(manifest: dict[str, Any]) -> None:
    manifest["counts"]["frames"]["train"] += 1


def other_plan(manifest: dict[str, Any]) -> None:
    manifest["resolved"]["identities"] = 5


def no_plan(manifest: dict[str, Any]) -> None:
    del manifest["resolved"]["law"]


def a_million(manifest: dict[str, Any]) -> None:
    manifest["resolved"]["identities"] = 1_000_000


def without_readme(manifest: dict[str, Any]) -> None:
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] != "README.md"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wrong_order, "its shards aren't in the order of the plan"),
        (wrong_rows, "the files of train-00000-of-00002 or their rows aren't those of the plan"),
        (wrong_counts, "its counts aren't the sums of its shards"),
        (other_plan, "the shard train-00002-of-00003 is missing"),
        (other_plan, "the shard train-00000-of-00002 is none of the plan"),
        (a_million, "it lists 4 shards, 1000000 identities are in 1000000"),
        (without_readme, "README.md: not in the manifest"),
    ],
)
def test_a_manifest_that_is_not_of_its_plan_is_found(
    copy: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    manifest = manifest_of(copy)
    change(manifest)
    write_manifest(copy, manifest)
    read = read_manifest(copy)
    found = [*check_files(copy, read), *check_plan(read)]
    assert any(words in line for line in found), found


def test_a_configuration_that_is_no_runs_is_found(copy: Path) -> None:
    manifest = manifest_of(copy)
    no_plan(manifest)
    write_manifest(copy, manifest)
    assert "manifest.json: its configuration is no run's (law is missing)" in verify(copy).findings


def test_the_manifests_own_hash_is_told_and_expected(pain3d: Run, copy: Path, tmp_path: Path) -> None:
    small = [f"--{name}={value}" for name, value in {"identities": 1, "expressions": 1, "views": 1, "size": 16}.items()]
    told = json.loads(pain3d("synth", tmp_path / "made", *small, "--device=cpu", "--json").out)["manifest_sha256"]
    assert told == file_hash(tmp_path / "made" / "manifest.json")
    again = pain3d("synth", tmp_path / "made", *small, "--device=cpu").out
    assert f"manifest       {told}, for pain3d verify --expect\n" in again
    assert pain3d("verify", tmp_path / "made", "--expect", told.upper()).code == 0
    ran = pain3d("verify", tmp_path / "made", "--expect", "0" * 64)
    assert (ran.code, ran.out.splitlines()[0]) == (1, f"manifest.json: its SHA-256 is {told}, not {'0' * 64}")
    ran = pain3d("verify", copy, "--expect", "12\x1b")
    assert (ran.code, ran.err) == (2, "pain3d: --expect '12\\x1b': not a SHA-256, 64 hexadecimal digits\n")


def test_what_other_commands_add_is_no_finding_and_links_are(copy: Path, tmp_path: Path) -> None:
    for name in (
        "report/gallery.html",
        "judge/judge.json",
        "judge/index.html",
        "judge/ladders-1.png",
        "probe/index.html",
        ".gitattributes",
        ".cache/huggingface/CACHEDIR.TAG",
        ".cache/huggingface/download/data/frames/train-00000-of-00001.parquet.metadata",
    ):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("later")
    assert not list(check_files(copy, read_manifest(copy)))
    (copy / ".cache" / "huggingface" / "more").touch()
    (copy / "judge" / "more").mkdir()
    (copy / "judge" / "more" / "a.png").touch()
    (copy / "data" / "away").symlink_to(tmp_path)
    os.mkfifo(copy / "pipe")
    (copy / os.fsdecode(b"\xff\x1b")).touch()
    assert list(check_files(copy, read_manifest(copy))) == [
        "pipe: not in the manifest",
        "\\udcff\\x1b: not in the manifest",
        ".cache/huggingface/more: not in the manifest",
        "data/away: not in the manifest",
        "judge/more/a.png: not in the manifest",
    ]


def test_an_older_data_set_verifies_with_a_note(copy: Path, pain3d: Run) -> None:
    """From before manifests listed every file, of other code, with a configuration that lacks a field."""
    manifest = manifest_of(copy)
    manifest["files"] = [{"path": "config.resolved.yaml", "sha256": ""}]
    manifest["resolved"]["code_version"] = "0123456789ab"
    del manifest["resolved"]["co_occurring"]
    write_manifest(copy, manifest)
    make_right(copy)
    read = read_manifest(copy)
    assert [*check_files(copy, read), *check_plan(read)] == []
    notes = [line for line in pain3d("verify", copy).out.splitlines() if line.startswith("note: ")]
    assert notes[:2] == [
        "note: the manifest is of an older pain3d and doesn't have LICENSES/CC0-1.0.txt, LICENSES/NOTICE-head.txt, "
        "README.md, croissant.json, contact_sheet.png, report/index.html: these weren't checked",
        "note: its configuration is of another pain3d (co_occurring is missing): the plan of its shards "
        "wasn't compared",
    ]
    (copy / "README.md").unlink()
    (copy / "extra").touch()
    assert list(check_files(copy, read)) == ["extra: not in the manifest"]
