"""constraints.txt pins what pyproject.toml asks for, inside its ranges; pyproject.toml itself pins nothing."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project: dict) -> list[Requirement]:
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    wanted = [Requirement(text) for text in (*project["dependencies"], *extras)]
    return [requirement for requirement in wanted if requirement.name != project["name"]]


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    found = {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}
    assert len(found) == len(lines), "a package is pinned twice"
    return found


def test_every_requirement_has_a_pin_in_its_range(requirements: list[Requirement], pins: dict[str, str]) -> None:
    for requirement in requirements:
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"constraints.txt does not pin {requirement.name}"
        assert requirement.specifier.contains(pin), f"{requirement} does not allow the pinned {pin}"


def test_metadata_has_ranges_only(requirements: list[Requirement]) -> None:
    for requirement in requirements:
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators and operators.isdisjoint({"==", "==="}), str(requirement)


def test_one_version(project: dict, root: Path) -> None:
    import pain3d

    assert project["dynamic"] == ["version"]  # read out of pain3d/__init__.py
    assert pain3d.__version__ in (root / "CHANGELOG.md").read_text()
