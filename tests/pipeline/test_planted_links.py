"""Whoever plants a link where a command writes gains nothing: what it points at stays as it was."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pain3d
from pain3d.live.clip import write_clip
from pain3d.pipeline.export.threedpain import export_3dpain
from pain3d.pipeline.gallery import draw_gallery
from tests.conftest import Ran
from tests.pipeline.conftest import hashes


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder that nothing may reach; looked at in the end."""
    place = tmp_path / "elsewhere"
    (place / "meshes_inpainted").mkdir(parents=True)
    for name in ("file", "meshes_inpainted/mine.jpg", "000000.png", ".a.partial"):
        (place / name).write_bytes(b"mine")
    before = hashes(place)
    yield place
    assert hashes(place) == before


def write_mesh(path: Path) -> None:
    head = pain3d.Head.default()
    head(pain3d.Identity(age=30)).save(path)


def write_pictures(path: Path) -> None:
    write_clip(path, [np.zeros((16, 16, 3), np.uint8)] * 3, 25.0)


@pytest.mark.parametrize("end", ["file", "."])
@pytest.mark.parametrize(("name", "write"), [("a.ply", write_mesh), ("a.gif", write_pictures), ("a", write_pictures)])
def test_a_partial_link_is_not_written_through(
    tmp_path: Path, elsewhere: Path, name: str, write: Callable[[Path], None], end: str
) -> None:
    partial = tmp_path / f".{name}.partial"
    partial.symlink_to(elsewhere / end)
    write(tmp_path / name)
    assert (tmp_path / name).exists() and not (tmp_path / name).is_symlink() and not partial.is_symlink()


def test_an_export_removes_a_partial_link_and_follows_one_that_the_user_names(
    small: Path, tmp_path: Path, elsewhere: Path
) -> None:
    (tmp_path / ".to.partial").symlink_to(elsewhere)
    export_3dpain(small, tmp_path / "to", quiet=True)
    (tmp_path / "real").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "real")
    export_3dpain(small, tmp_path / "named", quiet=True)
    assert hashes(tmp_path / "to") == hashes(tmp_path / "real") and (tmp_path / "named").is_symlink()


def test_sheets_take_the_place_of_links(tmp_path: Path, elsewhere: Path) -> None:
    out = tmp_path / "sheets"
    out.mkdir()
    (out / "profiles.jpg").symlink_to(elsewhere / "file")
    (path,) = draw_gallery(out, 7, size=16, only=["profiles"])
    assert not path.is_symlink() and path.read_bytes()[:2] == b"\xff\xd8"


@pytest.mark.parametrize(("command", "name"), [("gallery", "report"), ("judge", "judge")])
def test_what_is_written_into_a_data_set_goes_through_no_link(
    pain3d: Callable[..., Ran], copy: Path, elsewhere: Path, command: str, name: str
) -> None:
    if (copy / name).exists():
        (copy / name).rename(copy.parent / "moved")
    (copy / name).symlink_to(elsewhere)
    ran = pain3d(command, copy)
    assert ran.code == 2 and ran.err.startswith(f"pain3d: {copy}/") and "a link" in ran.err and ran.err.count("\n") == 1
