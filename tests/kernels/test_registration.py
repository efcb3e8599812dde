"""Torch knows the custom ops of a room as soon as the room is imported, whatever came before: in fresh interpreters."""

import re
import subprocess
import sys
from collections.abc import Iterable
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
# A fresh interpreter for each, of one that has loaded torch and pytest and nothing of ours: forked.
FORKED = """
import os, sys, traceback
import hypothesis, pytest, torch

def shown(room, ops):
    __import__(f"pain3d.kernels.{room}")
    from pain3d.kernels._triton import OPS
    assert "triton" not in sys.modules
    for name in ops:
        assert getattr(torch.ops.pain3d, name).default._schema.name in OPS, name

def tested(file):
    words = ["-q", "-p", "no:cacheprovider", "-k", "gradient and refused", f"tests/kernels/{file}"]
    assert pytest.main(words) == 0

assert not any(name.startswith(("pain3d", "tests")) for name in sys.modules)
bad = []
for name, call in {name: CALL for name in NAMES}.items():
    child = os.fork()
    if not child:
        try:
            call(name)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        bad.append(name)
sys.exit(f"not on their own: {bad}" if bad else 0)
"""


def forked(call: str, names: Iterable[str]) -> subprocess.CompletedProcess[str]:
    code = FORKED.replace("CALL", call).replace("NAMES", repr(sorted(names)))
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


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


def test_ops_are_there_with_their_room() -> None:
    done = forked(f"lambda room: shown(room, {OPS}[room])", OPS)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_file_of_tests_needs_no_other() -> None:
    """What a backward pass needs is there, too: the tests of refused gradients, each file on its own."""
    done = forked("tested", refusing_gradients())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" passed") == len(refusing_gradients())
