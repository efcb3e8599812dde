"""An export in any format is all there or not at all, writes nowhere else, and is the same bytes every time."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pain3d.console.refused import RefusedError
from pain3d.export_command import DATA_FORMATS, _exporter
from tests.pipeline.conftest import SMALL, hashes
from tests.pipeline.test_export import changed

OURS = DATA_FORMATS[1:]  # 3DPain's has its own tests
FRAMES = SMALL.identities * (SMALL.expressions + 1) * SMALL.views


@pytest.mark.parametrize("name", [*OURS[:-1], pytest.param("glb", marks=pytest.mark.slow)])
def test_command_writes_each_with_the_same_bytes_every_time_and_says_whose_it_is(
    pain3d: Callable[..., Any], small: Path, tmp_path: Path, name: str
) -> None:
    done = pain3d("export", small, "--format", name, "--to", tmp_path / "to", "--json")
    assert done.code == 0, done.err
    said, files = json.loads(done.out), hashes(tmp_path / "to")
    assert said["to"] == str(tmp_path / "to") and said["rows"] == (SMALL.identities if name == "glb" else FRAMES)
    assert said["files"] == len(files)
    assert said["bytes"] == sum(path.stat().st_size for path in (tmp_path / "to").rglob("*") if path.is_file())
    _exporter(name)(small, tmp_path / "again", True)
    assert files == hashes(tmp_path / "again")
    told = (tmp_path / "to" / "README.md").read_text()
    assert "no person was photographed. Not for diagnosis." in told and "Licence of the pictures: CC0-1.0." in told


@pytest.mark.parametrize("name", OURS)
def test_what_is_there_is_never_overwritten(small: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    with pytest.raises(RefusedError, match="not empty"):
        _exporter(name)(small, tmp_path / "full", True)
    with pytest.raises(RefusedError, match="inside the data set"):
        _exporter(name)(small, small / "export", True)
    with pytest.raises(RefusedError, match="not a finished data set"):
        _exporter(name)(tmp_path / "full", tmp_path / "to", True)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine"] and not (small / "export").exists()


@pytest.mark.parametrize("name", OURS)
def test_a_full_disk_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    written, write = 0, os.write

    def full(descriptor: int, content: Any) -> int:
        nonlocal written
        written += len(content)
        if written > 8_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr("pain3d.files.os.write", full)
    with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}: '.*to.partial/"):
        _exporter(name)(small, tmp_path / "deep" / "to", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", OURS)
def test_ctrl_c_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    from pain3d.pipeline.data_set import DataSet

    original = DataSet.rows

    def interrupted(*given: Any) -> Any:
        for number, row in enumerate(original(*given)):
            if number == 2:
                signal.raise_signal(signal.SIGINT)
            yield row

    monkeypatch.setattr(DataSet, "rows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _exporter(name)(small, tmp_path / "to", True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("sample_id", "../../escaped", "'../../escaped': its numbers give it the name id00"),
        ("split", "../nowhere", "split is '../nowhere', there are train, validation, test"),
        ("image", {"bytes": b"\x89PNG", "path": "x.png"}, "image is no JPEG"),
    ],
)
def test_a_frame_that_names_files_elsewhere_is_refused(
    copy: Path, tmp_path: Path, column: str, value: Any, words: str
) -> None:
    changed(copy, column, value)
    for name in ("webdataset", "imagefolder", "coco", *(["openface"] if column != "image" else [])):
        with pytest.raises(RefusedError, match=words):
            _exporter(name)(copy, tmp_path / "in" / "to", True)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("name", OURS)
def test_memory_does_not_grow_with_the_data_set(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Rows are let go of: while one is written, none but it and the one before is alive."""
    alive, most = 0, 0

    class Counted(dict):  # type: ignore[type-arg]
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    from pain3d.pipeline.data_set import DataSet

    original = DataSet.rows

    def counted(*given: Any) -> Any:
        nonlocal alive, most
        for row in original(*given):
            alive += 1
            most = max(most, alive)
            yield Counted(row)

    monkeypatch.setattr(DataSet, "rows", counted)
    _exporter(name)(small, tmp_path / "to", True)
    assert 0 < most <= 2
