"""Holds the arrows of the house: who may import whom, and the one door of each heavy library (CONTRIBUTING.md)."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

FOLDERS = ("pain3d_core", "kernels", "pipeline", "training")
ROOM_LIBRARIES = {"torch", "numpy", "numba", "nvdiffrast", "triton", *sys.stdlib_module_names}
FORBIDDEN = {  # folder: what it never imports beside itself
    "pain3d_core": ("pain3d.pipeline", "pain3d.training"),
    "kernels": (),  # see ROOM_LIBRARIES
    "pipeline": ("pain3d.training",),
    "training": ("pain3d.pipeline",),
}
FRONT_DOOR = "pain3d_core/__main__.py"  # the command line: it alone knows both halves of the house
DOORS = {  # heavy library: the only files that import it
    "numba": ("kernels/*/cpu.py",),
    "triton": ("kernels/*/kernel.py", "kernels/*/triton_op.py"),
    "nvdiffrast": ("kernels/*/nvdiffrast_op.py",),
    "diffusers": ("pipeline/texture/paint.py",),
    "timm": ("training/model/backbone.py",),
    "torchvision": ("training/model/backbone.py",),
    "kornia": ("training/data/augment.py",),
    "h5py": ("training/data/unbc.py",),
    "ray": ("pipeline/engines/*.py",),
}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each import, leading dots too; `from pain3d import pipeline` counts as pain3d.pipeline."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "pain3d" else [module]
            yield from ((node.lineno, name) for name in names)


def broken_arrows(path: str, source: str) -> list[str]:
    """What is wrong with the imports of one file, a line each; `path` is relative to the root."""
    folder, wrong = path.partition("/")[0], []
    forbidden = () if path == FRONT_DOOR else FORBIDDEN[folder]
    for line, name in imports(source):
        top = name.partition(".")[0]
        within = tuple(name == ban or name.startswith(ban + ".") for ban in forbidden)
        if name.startswith("."):
            wrong.append(f"{path}:{line}: relative import {name}")
        elif any(within) or top in (*FOLDERS, "tests", "benchmarks"):
            wrong.append(f"{path}:{line}: {folder} never imports {name}")
        elif folder == "kernels" and top not in ROOM_LIBRARIES and not f"{name}.".startswith("pain3d.kernels."):
            wrong.append(f"{path}:{line}: a room never imports {name}")
        elif not any(fnmatch(path, door) for door in DOORS.get(top, ("*",))):
            wrong.append(f"{path}:{line}: {top} is imported only in {', '.join(DOORS[top])}")
    return wrong


def test_arrows_point_one_way(root: Path, tracked: tuple[Path, ...]) -> None:
    sources = [path for path in tracked if path.parts[0] in FOLDERS and path.suffix == ".py"]
    assert {path.parts[0] for path in sources} == set(FOLDERS)
    wrong = [line for path in sources for line in broken_arrows(path.as_posix(), (root / path).read_text())]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kernels/shade/op.py", "import pain3d"),
        ("kernels/shade/op.py", "from pain3d import camera"),
        ("kernels/shade/op.py", "from pain3d.light import Light"),
        ("kernels/shade/op.py", "import scipy"),
        ("kernels/shade/op.py", "from numba import njit"),
        ("kernels/shade/cpu.py", "import triton"),
        ("pain3d_core/camera.py", "from numba import njit"),
        ("pain3d_core/camera.py", "def f():\n    from pain3d.pipeline import plan"),
        ("pain3d_core/camera.py", "from pain3d import training"),
        ("pain3d_core/camera.py", "from . import light"),
        ("pain3d_core/console/parse.py", "from pain3d.training import cli"),
        ("pain3d_core/camera.py", "import kernels"),
        ("pain3d_core/camera.py", "from tests.helpers import meshes"),
        ("pipeline/plan.py", "import pain3d.training.loop"),
        ("pipeline/plan.py", "from timm import create_model"),
        ("training/loop.py", "from pain3d.pipeline.plan import Plan"),
    ],
)
def test_a_broken_arrow_is_seen(path: str, source: str) -> None:
    assert len(broken_arrows(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kernels/shade/cpu.py", "from numba import njit\nfrom pain3d.kernels._shapes import check_shapes"),
        ("pain3d_core/camera.py", "from pain3d.kernels import rasterize\nfrom pain3d import kernels\nimport PIL"),
        ("pain3d_core/__main__.py", "from pain3d.pipeline import cli\nfrom pain3d.training import cli as learning"),
        ("training/loop.py", "from pain3d.records import COLUMNS\nimport pipelines"),
    ],
)
def test_a_good_arrow_passes(path: str, source: str) -> None:
    assert broken_arrows(path, source) == []


def test_the_folders_are_no_top_level_packages() -> None:
    """diffusers and transformers look for a package called kernels: ours must not answer."""
    assert [folder for folder in FOLDERS if importlib.util.find_spec(folder) is not None] == []
