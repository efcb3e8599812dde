"""Heights on the chart become slopes: against a plane's own gradient and against the normals of a displaced head."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from pain3d.head.model import Head
from pain3d.skin import SurfaceMaps, relief, surface_maps
from pain3d.skin.relief import STEEPEST, differences, slope_matrix, slopes

Floats = npt.NDArray[np.float32]
SIZE = 512


@pytest.fixture(scope="module")
def maps() -> SurfaceMaps:
    return surface_maps(Head.default(), SIZE)


def plane(tilt: float) -> tuple[Floats, Floats, Floats]:
    """A sheared chart of a plane that leans back by `tilt` radians: rows run down, 0.5 mm a texel."""
    row, column = np.mgrid[:16, :16].astype(np.float32) * 0.5
    along, up = column + 0.3 * row, -row
    return along, up * np.float32(np.cos(tilt)), -up * np.float32(np.sin(tilt))


@pytest.mark.parametrize("tilt", [0.0, 0.6])
def test_slope_of_a_plane_is_minus_its_gradient(tilt: float) -> None:
    x, y, z = plane(tilt)
    everywhere = np.ones(x.shape, bool)
    matrix = slope_matrix(x, y, z, np.zeros(x.shape, np.uint8), everywhere)
    height = 0.2 * x - 0.3 * y / np.float32(np.cos(tilt))
    slope_t, slope_b = slopes(height.astype(np.float32), matrix)
    inner = (slice(2, -2), slice(2, -2))
    # 1e-6: a rounding of differences of 0.1; seen 2e-7.
    assert np.abs(slope_t[inner] + 0.2).max() < 1e-5
    assert np.abs(slope_b[inner] - 0.3).max() < 1e-5


def test_no_slope_outside_the_charts_on_their_border_and_across_parts() -> None:
    x, y, z = plane(0.0)
    covered = np.ones(x.shape, bool)
    covered[5, 5] = False
    part = np.zeros(x.shape, np.uint8)
    part[:, 9:] = 1
    matrix = slope_matrix(x, y, z, part, covered)
    steep = slopes((10 * x).astype(np.float32), matrix)[0]
    assert (steep[[5, 5, 4, 6, 5], [5, 4, 5, 5, 6]] == 0).all()
    assert (steep[:, 8:10] == 0).all()
    assert (steep[0] == 0).all()
    assert (steep[3, 3:7] == -STEEPEST).all()


@pytest.mark.parametrize("band", [7, 2 * SIZE])
def test_the_matrix_does_not_depend_on_its_bands(maps: SurfaceMaps, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relief, "BAND", band)
    assert np.array_equal(slope_matrix(maps.x, maps.y, maps.z, maps.part, maps.covered), maps.slopes)


def test_slopes_turn_the_normal_as_a_displaced_surface_does(maps: SurfaceMaps) -> None:
    points = np.stack([maps.x, maps.y, maps.z], -1).astype(np.float64)
    normal = _normals(points)
    height = 0.12 * np.sin(maps.x / 2.5) * np.cos(maps.y / 3.0 + maps.z / 4.0)
    wanted = _normals(points + height[..., None] * normal)
    slope_t, slope_b = slopes(height.astype(np.float32), maps.slopes)
    t = np.stack([normal[..., 2], np.zeros_like(height), -normal[..., 0]], -1)
    b = np.cross(normal, t)
    size = np.linalg.norm(t, axis=-1, keepdims=True)
    seen = normal + (slope_t[..., None] * t + slope_b[..., None] * b) / np.maximum(size, 1e-9)
    seen /= np.maximum(np.linalg.norm(seen, axis=-1, keepdims=True), 1e-9)
    face = (maps.part == 0) & (maps.masks["facing"] > 0.9) & (np.abs(maps.y) < 90) & (np.abs(maps.slopes).max(0) > 0)
    # Away from the edges of triangles, where a displaced difference mixes two normals.
    smooth = np.ones_like(face)
    for axis in (0, 1):
        for step in (-1, 1):
            smooth &= (np.roll(normal, step, axis) * normal).sum(-1) > 1 - 1e-6
    turned = np.degrees(np.arccos(np.clip((wanted * normal).sum(-1), -1, 1)))[face & smooth]
    wrong = np.degrees(np.arccos(np.clip((seen * wanted).sum(-1), -1, 1)))[face & smooth]
    assert turned.size > 5000
    assert np.quantile(turned, 0.9) > 2  # degrees: the bumps do something
    assert np.quantile(wrong, 0.99) < 0.1 * np.quantile(turned, 0.9)


def _normals(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    planes = [differences(np.ascontiguousarray(points[..., k], np.float32)) for k in range(3)]
    column, row = (np.stack([p[k] for p in planes], -1).astype(np.float64) for k in (0, 1))
    normal = np.cross(row, column)
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12))
