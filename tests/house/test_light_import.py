"""`import pain3d` loads torch and numpy, and nothing else that is slow to load or that a user may lack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "PIL", "av", "cv2", "datasets", "diffusers", "huggingface_hub", "jinja2", "matplotlib", "numba", "pandas",
    "pyarrow", "ray", "rich", "simplejpeg", "timm", "torchvision", "transformers", "triton", "tyro", "viser",
)  # fmt: skip
SHOW = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def loaded_after(statement: str, folder: Path) -> set[str]:
    """Top-level modules in a fresh interpreter, started outside the tree, after one statement."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    command = [sys.executable, "-c", f"{statement}; {SHOW}"]
    return set(
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout.split()
    )


@pytest.mark.parametrize(
    "name", ["pain3d", "pain3d.kernels", "pain3d.scene", "pain3d.records", "pain3d.training", "pain3d.figures"]
)
def test_import_is_light(name: str, tmp_path: Path) -> None:
    loaded = loaded_after(f"import {name}", tmp_path)
    assert {"pain3d", "sys"} <= loaded
    assert loaded.isdisjoint(HEAVY), f"import {name} loads {sorted(loaded & set(HEAVY))}"


def test_a_heavy_import_is_seen(tmp_path: Path) -> None:
    assert {"jinja2"} == loaded_after("import jinja2", tmp_path) & set(HEAVY)
