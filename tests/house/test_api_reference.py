"""The API reference can be made, holds every public name, and no link in it is dead."""

from pathlib import Path

import pytest

from tools.api_reference import dead_links, left_out, write_reference


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reference")
    assert all(page.is_file() for page in write_reference(folder))
    return folder


def test_every_public_name_has_its_place(reference: Path) -> None:
    assert left_out(reference) == []


def test_no_link_is_dead(reference: Path) -> None:
    assert dead_links(reference) == []


def test_a_dead_link_and_a_missing_name_are_seen(tmp_path: Path) -> None:
    (tmp_path / "pain3d").mkdir()
    (tmp_path / "pain3d.html").write_text('<a id="Head"></a><a href="#Head"></a><a href="#Tail"></a>')
    (tmp_path / "pain3d" / "kernels.html").write_text(
        '<a href="../pain3d.html#Head"><a href="gone.html"><a href="x:y">'
    )
    assert sorted(dead_links(tmp_path)) == ["pain3d.html: #Tail", "pain3d/kernels.html: gone.html"]
    assert "pain3d.Camera" in left_out(tmp_path) and "pain3d.Head" not in left_out(tmp_path)
