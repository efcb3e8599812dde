"""What `pip install pain3d` brings: one import name, the head, the licences; and that it works without the tree."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

MAX_BYTES = 9_000_000  # the small model has 6.8 MB, the head 0.8; above this it carries what nobody meant to ship
RENDER = """
import pathlib, pain3d, pain3d.kernels, pain3d.pipeline, pain3d.training
head = pain3d.Head.default()
au = pain3d.ActionUnits(AU4=4, AU6=3, AU9=2, AU43=1)
view = pain3d.render(head(au=au), pain3d.Camera.orbit(size=64), backend="reference")  # the others compile for a minute
print(pathlib.Path(pain3d.__file__).parent)
print(*view.image.shape, view.image.dtype, int(view.image.float().std() > 10))
"""


def run(command: list[str], installed: Path, folder: Path) -> list[str]:
    """Lines a command prints in an empty folder, with the installed wheel before everything else on the path.

    The editable install is still in this environment, but it only answers for what the path does not have.
    """
    environment = {**os.environ, "PYTHONPATH": str(installed), "NUMBA_CACHE_DIR": str(folder / "numba")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_wheel_holds_what_it_must(wheel: Path, tracked: tuple[Path, ...]) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    information = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    assert {name.partition("/")[0] for name in names} == {"pain3d", information}
    kept = {
        "pain3d/py.typed",
        "pain3d/head/data/head_cc0.npz",
        "pain3d/head/data/head_cc0.occlusion.npz",
        "pain3d/head/data/NOTICE",
        "pain3d/kernels/README.md",
        f"{information}/licenses/LICENSE",
        f"{information}/licenses/NOTICE",
        f"{information}/licenses/src/pain3d/head/data/NOTICE",
        "pain3d/environment/data/environments_cc0.npz",
        f"{information}/licenses/src/pain3d/environment/data/NOTICE",
        *(path.relative_to("src").as_posix() for path in tracked if path.match("src/pain3d/*/templates/*")),
    }
    assert kept <= names, sorted(kept - names)
    sources = {path.relative_to("src").as_posix() for path in tracked if path.is_relative_to("src")}
    assert {name for name in names if name.startswith("pain3d/")} == sources
    assert wheel.stat().st_size <= MAX_BYTES


@pytest.mark.slow
def test_wheel_metadata_has_ranges(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(name).decode().splitlines()
    required = [line for line in lines if line.startswith("Requires-Dist:")]
    assert required and not [line for line in required if "==" in line.partition(";")[0]]
    assert "License-Expression: Apache-2.0 AND CC0-1.0" in lines


@pytest.mark.slow
def test_installed_wheel_renders(installed: Path, tmp_path: Path) -> None:
    where, image = run([sys.executable, "-c", RENDER], installed, tmp_path)
    assert Path(where) == installed / "pain3d"
    assert image == "1 64 64 3 torch.uint8 1"


@pytest.mark.slow
def test_installed_command_says_its_version(installed: Path, tmp_path: Path, wheel: Path) -> None:
    version = re.match(r"pain3d-([^-]+)-", wheel.name)
    assert version
    (line,) = run([sys.executable, str(installed / "bin" / "pain3d"), "--version"], installed, tmp_path)
    assert line == f"pain3d {version[1]}"
