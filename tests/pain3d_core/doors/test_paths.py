"""A path that a file names leads to a regular file in that file's folder, or to one line that says why not."""

import os
from pathlib import Path

import pytest

from pain3d.console.refused import RefusedError
from pain3d.doors.paths import named_file, named_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files, links and a pipe in it, and a secret beside it."""
    inner = tmp_path / "folder"
    (inner / "data").mkdir(parents=True)
    (inner / "data" / "a b.parquet").write_bytes(b"ours")
    (tmp_path / "secret").write_bytes(b"theirs")
    (inner / "near").symlink_to("data/a b.parquet")
    (inner / "out").symlink_to(tmp_path / "secret")
    (inner / "away").symlink_to(tmp_path)
    (inner / "nowhere").symlink_to(tmp_path / "absent")
    (inner / "loop").symlink_to("loop")
    os.mkfifo(inner / "pipe")
    return inner


@pytest.mark.parametrize("name", ["data/a b.parquet", "data//./a b.parquet", "near"])
def test_a_file_inside_is_found(folder: Path, name: str) -> None:
    assert named_file(folder, name, "m").read_bytes() == b"ours"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../secret", "not a path inside its folder"),
        ("data/../../secret", "not a path inside its folder"),
        ("/dev/full", "not a path inside its folder"),
        ("", "not a path inside its folder"),
        (".", "not a path inside its folder"),
        (None, "not a path"),
        (7, "not a path"),
        (["data"], "not a path"),
        ("a\0b", "not a name of a file"),
        ("a\ud800", "not a name of a file"),
        ("a\n\x1b[2J", "not a name of a file"),
        ("a" * 5000, "File name too long"),
        ("data", "not a regular file"),
        ("pipe", "not a regular file"),
        ("out", "a link that leads out of its folder"),
        ("away/secret", "a link that leads out of its folder"),
        ("nowhere", "a link that leads out of its folder"),
        ("loop", "a link to itself"),
    ],
)
def test_what_is_no_file_inside_is_refused(folder: Path, name: object, why: str) -> None:
    with pytest.raises(RefusedError) as refused:
        named_path(folder, name, "/d/manifest.json")
    said = str(refused.value)
    assert said.startswith("/d/manifest.json: names ") and said.endswith(f": {why}")
    assert said.isprintable() and len(said) < 200


def test_a_folder_that_is_a_link_is_its_users(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(folder)
    assert named_file(tmp_path / "mine", "data/a b.parquet", "m").is_file()


def test_what_is_not_there(folder: Path) -> None:
    assert named_path(folder, "data/absent", "m") == folder / "data" / "absent"
    with pytest.raises(RefusedError, match="m: names 'data/absent': missing"):
        named_file(folder, "data/absent", "m")
