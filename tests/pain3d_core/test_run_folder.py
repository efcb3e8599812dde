"""A run's folder: who may begin, go on or end there, and that a refused run touches nothing."""

import json
import os
from pathlib import Path

import pytest

from pain3d.console.refused import RefusedError
from pain3d.files import lock_folder
from pain3d.run_folder import RESOLVED, RunFolder, RunKind, read_resolved

KIND = RunKind(
    mark=("format", 3),
    last="end",
    text=json.dumps,
    decides=lambda resolved: resolved["settings"],
    foreign="foreign",
    other="{state} other: {changed}",
)


def folder(out: Path, **settings: int) -> RunFolder:
    return RunFolder(out, KIND, {"format": 3, "settings": settings})


def held(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_run_begins_goes_on_and_ends(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), folder(out, seed=1) as run:
        run.write("deep/file", b"1")
        (out / ".staging.partial").mkdir()
        (out / ".staging.partial" / ".file.partial").write_bytes(b"half")
        raise ZeroDivisionError
    assert held(out).keys() == {RESOLVED, "deep/file"} and not (out / ".staging.partial").exists()
    assert read_resolved(out, KIND) == {"format": 3, "settings": {"seed": 1}}
    with folder(out, seed=1) as run:
        run.write("end", b"")
    before = held(out)
    with folder(out, seed=1) as run:
        assert run.finished
    assert held(out) == before
    with pytest.raises(RefusedError, match=r"a finished other: seed 1 -> 2$"):
        folder(out, seed=2).check()


@pytest.mark.parametrize(
    "text", ["", "[1]", "a: [", "\0", "format: 2\nsettings: {}", "format: 3", "format: 3\nsettings: {}\nmore: \udcff"]
)
def test_what_is_not_ours_is_left_as_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / RESOLVED).write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / ".mine.partial").write_bytes(b"half")
    before = held(tmp_path)
    with pytest.raises(RefusedError, match=r"foreign$"), folder(tmp_path, seed=1):
        pass
    assert held(tmp_path) == before


def test_an_error_at_the_first_file_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(RunFolder, "write", full)
    with pytest.raises(OSError, match="full"), folder(tmp_path / "a" / "b", seed=1):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_runs_are_kept_apart(tmp_path: Path) -> None:
    with folder(tmp_path, seed=1), pytest.raises(RefusedError, match="another run is writing into it"):
        folder(tmp_path, seed=1).__enter__()
    os.close(lock_folder(tmp_path))  # free again


@pytest.mark.parametrize("place", ["checkpoints", "deep/er", RESOLVED])
def test_a_folder_that_holds_a_link_is_refused(tmp_path: Path, place: str) -> None:
    """At any depth, before anything is written; of any run, so of one that learns too."""
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    with pytest.raises(ZeroDivisionError), folder(out, seed=1) as run:
        run.write("deep/file", b"1")
        raise ZeroDivisionError
    if (out / place).exists():
        (out / place).rename(elsewhere)
    (out / place).symlink_to(elsewhere)
    with pytest.raises(RefusedError, match=f"{place}: a link, and nothing is written through one$"):
        folder(out, seed=1).__enter__()
    (out / place).unlink()
