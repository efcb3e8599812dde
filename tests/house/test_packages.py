"""pyproject.toml names every package and every data file of the tree, and nothing else."""

import tomllib
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT_OF = {
    "pain3d_core": "pain3d",
    "kernels": "pain3d.kernels",
    "pipeline": "pain3d.pipeline",
    "training": "pain3d.training",
}
NOT_SHIPPED = ("kernels/*/README.md",)  # the page of a room is for its readers; the table of all rooms is shipped


@pytest.fixture(scope="module")
def setuptools_table(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_packages_equal_folders(root: Path, setuptools_table: dict) -> None:
    folders = [
        ".".join([name, *(part for part in sub.split(".") if part)])
        for folder, name in ROOT_OF.items()
        for sub in ("", *find_packages(str(root / folder)))
    ]
    assert sorted(setuptools_table["packages"]) == sorted(folders)


def test_package_dir_is_the_house(setuptools_table: dict) -> None:
    assert setuptools_table["package-dir"] == {name: folder for folder, name in ROOT_OF.items()}


def test_every_python_file_lies_in_a_package(tracked: tuple[Path, ...], root: Path) -> None:
    homeless = [
        p
        for p in tracked
        if p.parts[0] in ROOT_OF and p.suffix == ".py" and not (root / p).with_name("__init__.py").exists()
    ]
    assert not homeless


def test_package_data_is_every_other_file(root: Path, tracked: tuple[Path, ...], setuptools_table: dict) -> None:
    shipped: set[Path] = set()
    for package, patterns in setuptools_table["package-data"].items():
        name = max((n for n in ROOT_OF.values() if f"{package}.".startswith(f"{n}.")), key=len)
        folder = (
            root
            / next(f for f, n in ROOT_OF.items() if n == name)
            / package.removeprefix(name).strip(".").replace(".", "/")
        )
        for pattern in patterns:
            found = {path.relative_to(root) for path in folder.glob(pattern) if path.is_file()}
            assert found, f"package-data of {package}: nothing matches {pattern}"
            shipped |= found
    kept = {
        p for p in tracked if p.parts[0] in ROOT_OF and p.suffix != ".py" and not any(p.match(n) for n in NOT_SHIPPED)
    }
    assert shipped == kept
    assert Path("pain3d_core/py.typed") in shipped
