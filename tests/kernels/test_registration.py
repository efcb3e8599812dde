"""Torch knows the custom ops of a room as soon as the room is imported, whatever came before: in fresh interpreters."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / "src" / "pain3d" / "kernels"
OPS = {
    "antialiasing": {"antialias", "antialias_backward"},
    "backprojection": {"backproject"},
    "compression": {"jpeg_loss"},
    "deformation": {
        "deform",
        "deform_backward",
        "deform_pairs",
        "deform_pairs_backward",
        "vertex_normals",
        "vertex_normals_backward",
    },
    "distillation": {"distill_loss", "distill_loss_over_teacher"},
    "interpolation": {"interpolate", "interpolate_backward"},
    "rasterization": {"rasterize", "rasterize_backward"},
    "rendering": {"render", "render_backward"},
    "sensor": {"develop"},
    "shading": {"shade", "shade_backward"},
    "texturing": {"sample_texture", "sample_texture_backward"},
}
SHOW = """
import sys
import pain3d.kernels.{room}
import torch
from pain3d.kernels._triton import OPS
assert "triton" not in sys.modules
for name in {ops}:
    assert getattr(torch.ops.pain3d, name).default._schema.name in OPS, name
"""


def rooms() -> set[str]:
    """Rooms with Triton kernels."""
    return {path.parent.name for path in KERNELS.glob("*/kernel.py")}


def refusing_gradients() -> list[str]:
    """Files with tests of refused gradients."""
    wanted = re.compile(r"^def test_(?=\w*gradient)\w*refused", re.MULTILINE)
    return sorted(path.name for path in Path(__file__).parent.glob("test_*.py") if wanted.search(path.read_text()))


def test_every_room_is_listed() -> None:
    assert rooms() == set(OPS)
    text = "".join(path.read_text() for path in KERNELS.glob("*/*_op.py"))
    assert text.count('@custom_op("') == sum(map(len, OPS.values())), "an op without a line here"


@pytest.mark.parametrize("room", sorted(OPS))
def test_ops_are_there_with_their_room(room: str, tmp_path: Path) -> None:
    code = SHOW.format(room=room, ops=sorted(OPS[room]))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("file", refusing_gradients())
def test_a_file_of_tests_needs_no_other(file: str) -> None:
    """What a backward pass needs is there, too: the tests of refused gradients, each file in a fresh interpreter."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "gradient and refused",
        f"tests/kernels/{file}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
