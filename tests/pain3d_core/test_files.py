"""Files are written whole or not at all, through no link, and an error of the disk names its file."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d import files
from pain3d.console.refused import RefusedError


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that nothing may reach."""
    place = tmp_path / "elsewhere"
    (place / "deep").mkdir(parents=True)
    for name in ("file", ".a.partial", "deep/.b.partial"):
        (place / name).write_bytes(b"mine")
    return place


@pytest.fixture
def out(tmp_path: Path) -> Path:
    place = tmp_path / "out"
    place.mkdir()
    return place


def held(place: Path) -> dict[str, bytes]:
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()}


WRITERS: dict[str, Callable[[Path], object]] = {
    "durably": lambda path: files.write_durably(path, b"new"),
    "new": lambda path: files.write_new(path, b"new"),
    "inside": lambda path: files.write_inside(path.parent, path.name, b"new"),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_lies_under_a_name_is_never_written_to(out: Path, elsewhere: Path, writer: str) -> None:
    """Neither a link, nor one with another name for the same file, nor a pipe, which would never end."""
    before, path = held(elsewhere), out / "x"
    plants: tuple[Callable[[Path], object], ...] = (
        lambda place: place.symlink_to(elsewhere / "file"),
        lambda place: place.symlink_to(elsewhere),
        lambda place: place.hardlink_to(elsewhere / "file"),
        os.mkfifo,
    )
    for plant in plants:
        for place in {path, files.partial_path(path)}:
            plant(place)
            WRITERS[writer](path)
            assert (path.read_bytes(), path.is_symlink()) == (b"new", False)
            files.remove(path)
            files.remove(files.partial_path(path))
    assert held(elsewhere) == before and list(out.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda out: files.write_inside(out, "link/file", b"new"),
        lambda out: files.write_inside(out, "link/deep/file", b"new"),
        lambda out: files.make_inside(out, "link/new"),
        lambda out: files.make_inside(out, "link"),
        lambda out: files.write_end(out / "linked", b"new"),
        lambda out: files.cut(out / "linked", 0),
        lambda out: files.refuse_links(out),
        lambda out: files.write_end(out / "pipe", b"new"),
    ],
)
def test_links_and_pipes_inside_a_folder_are_refused(
    out: Path, elsewhere: Path, change: Callable[[Path], object]
) -> None:
    (out / "link").symlink_to(elsewhere)
    (out / "linked").symlink_to(elsewhere / "file")
    os.mkfifo(out / "pipe")
    before = held(elsewhere)
    with pytest.raises(RefusedError, match=r"/out/(link|linked|pipe): (a link, and|not a file)"):
        change(out)
    assert held(elsewhere) == before


def test_what_is_removed_is_the_link(out: Path, elsewhere: Path) -> None:
    before = held(elsewhere)
    (out / ".a.partial").symlink_to(elsewhere / "file")
    (out / ".b.partial").symlink_to(elsewhere)
    (out / "link").symlink_to(elsewhere)
    (out / ".c.partial" / "deep").mkdir(parents=True)
    (out / ".c.partial" / "deep" / "link").symlink_to(elsewhere)
    files.remove_partial(out)
    files.remove_empty([out / "link"])
    assert [path.name for path in out.iterdir()] == ["link"]
    files.remove(out / "link")
    assert list(out.iterdir()) == [] and held(elsewhere) == before


@pytest.mark.parametrize("call", ["open", "write", "fsync", "replace"])
def test_an_error_of_the_disk_names_its_file_and_leaves_the_old_one(
    out: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    files.write_durably(out / "x", b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([] if call in ("write", "fsync") else [str(_[0])]))

    with monkeypatch.context() as patch:
        patch.setattr(f"pain3d.files.os.{call}", full)
        with pytest.raises(OSError, match="No space left") as failed:
            files.write_durably(out / "x", b"new" * 1_000_000)
    assert failed.value.filename == str(out / ".x.partial")
    assert held(out) == {"x": b"old"}


def test_a_file_longer_than_the_buffer_is_whole(out: Path) -> None:
    content = os.urandom(3 * files.BUFFER + 17)
    files.write_durably(out / "x", content)
    files.write_end(out / "x", b"end")
    assert held(out) == {"x": content + b"end"}
    files.cut(out / "x", len(content))
    assert held(out) == {"x": content}
