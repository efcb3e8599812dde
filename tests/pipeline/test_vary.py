"""``synth --vary``: within a view the rows differ in what the axis does, and in nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pain3d.pipeline.run import synthesise
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL, hashes

Run = Callable[..., Ran]

SET = replace(SMALL, identities=3, expressions=2, size=32, shake_share=0.5, defocus_share=0.5)
NAMES = {"sample_id", "expression_id", "scene", "image", "heatmap"}  # a file's path is the row's name
GEOMETRY = {"landmarks_2d", "landmarks_3d", "bbox", "coverage"}
DIFFER = {
    "AU4": {*NAMES, *GEOMETRY, "AU04", "AU04_L", "AU04_R", "PSPI", "neutral"},
    "yaw": {*NAMES, *GEOMETRY, "camera_R", "camera_t", "yaw_degrees", "pitch_degrees", "roll_degrees"}
    - {"landmarks_3d"},
    "light": {*NAMES, "light_azimuth_degrees"},
}


@pytest.fixture(scope="module")
def along(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A data set along an axis; not to be changed."""

    @cache
    def made(axis: str) -> Path:
        out = tmp_path_factory.mktemp("vary") / axis
        synthesise(replace(SET, vary=axis), out, quiet=True)
        return out

    return made


def views(out: Path) -> list[list[dict[str, Any]]]:
    """The rows of frames, view by view."""
    found = defaultdict(list)
    for row in pq.read_table(out / "data/frames").to_pylist():
        found[row["identity_id"], row["view_id"]].append(row)
    return list(found.values())


@pytest.mark.parametrize("axis", DIFFER)
def test_rows_of_a_view_differ_in_the_axis_alone(along: Callable[[str], Path], axis: str) -> None:
    found = set()
    for neutral, first, second in views(along(axis)):
        steps = [neutral, first, second] if axis == "AU4" else [first, second]
        found |= {name for row in steps for name in row if row[name] != steps[0][name]}
        pain = [row["PSPI"] for row in (neutral, first, second)]
        assert pain == [0, 2.5, 5] if axis == "AU4" else pain[0] == 0 < pain[1] == pain[2]
        if axis == "yaw":
            assert 55 < second["yaw_degrees"] - first["yaw_degrees"] < 80  # 69 about the torso, on which a neck is bent
        if axis == "light":
            assert second["light_azimuth_degrees"] - first["light_azimuth_degrees"] == 150
    assert found - {"heatmap_unit_mm"} == DIFFER[axis]


@pytest.mark.parametrize("axis", DIFFER)
def test_it_is_verified_and_replayed(pain3d: Run, along: Callable[[str], Path], axis: str) -> None:
    out = along(axis)
    assert pain3d("verify", out, "--sample", "3").out.endswith("nothing wrong\n")
    assert pain3d("replay", out, "id000001_e02_v1").code == 0
    assert f"all is the same but one axis, `{axis}`" in (out / "README.md").read_text()
    assert f"steps along {axis}." in (out / "report/index.html").read_text()


@pytest.mark.slow
def test_bytes_do_not_depend_on_processes(along: Callable[[str], Path], tmp_path: Path) -> None:
    synthesise(replace(SET, vary="AU4", processes=2), tmp_path / "two", quiet=True)
    assert hashes(tmp_path / "two") == hashes(along("AU4"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--vary", "AU5"], "vary must be one of , AU4, AU6, AU7, AU9, AU10, AU43, yaw, light, got 'AU5'"),
        (["--vary", "AU43"], "--vary AU43: expressions must be 1 along AU43, which is there or not, got 10"),
        (["--vary", "yaw", "--expressions", "1"], "--vary yaw: expressions must be 2 or more along yaw, got 1"),
        (["--vary", "yaw", "--cameras", "free"], "--vary yaw: all pictures of a view have one camera: --cameras fixed"),
        (["--vary", "light", "--infrared-share", "1"],
         "--vary light: at night a camera has lamps of its own: leave out --infrared-share"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused(pain3d: Run, tmp_path: Path, options: list[str], said: str) -> None:
    ran = pain3d("synth", tmp_path / "out", *options, "--device", "cpu")
    assert (ran.code, ran.err) == (2, f"pain3d: {said}\n")
    assert not (tmp_path / "out").exists()
