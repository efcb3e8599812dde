"""Records of tensors show shapes: who prints one wants to know what it is, and gets no pages of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import pain3d
from pain3d.data import SampledScenes
from pain3d.kernels.texturing import build_mipmaps
from pain3d.rendering.face_crops import CropCamera
from pain3d.rendering.frames import placed
from pain3d.rendering.shots import shots_of


def records() -> Iterator[Any]:
    head, scenes = pain3d.Head.default(), SampledScenes(2, size=24, per_person=2)[:]
    mesh, camera = head(), pain3d.Camera.orbit(size=24)
    surface, maps = pain3d.surface(head, pain3d.Skin()), pain3d.surface_maps(head, 64)
    texture = pain3d.paint(maps, pain3d.Skin())[None]
    view = pain3d.render(mesh, camera, texture=texture)
    crop = CropCamera(camera.world_to_view, camera.fov_degrees, (8, 8), camera.fov_degrees[:, None], camera.size)
    yield from (mesh, mesh.topology, surface, maps, view, camera, placed([camera]), crop, pain3d.Light.preset("ward"))
    yield from (build_mipmaps(texture), shots_of(scenes), pain3d.render_scenes(scenes))


def test_records_show_shapes() -> None:
    for record in records():
        shown = repr(record)
        assert shown.startswith(f"{type(record).__name__}(") and "[" in shown
        assert "tensor(" not in shown and "array(" not in shown and "\n" not in shown, shown
        assert len(shown) < 1000, shown  # longest seen 777: a `SurfaceMaps`; a `View` has 200


@pytest.mark.parametrize(
    "part",
    ["image=uint8 [1, 24, 24, 3]", "alpha=uint8 [1, 24, 24]", "depth=None", "linear=float32 [1, 24, 24, 4] with"],
)
def test_a_view_says_what_is_in_it(part: str) -> None:
    mesh = pain3d.Head.default()(au={"AU4": 3})
    mesh.vertices.requires_grad_()
    assert part in repr(pain3d.render(mesh, pain3d.Camera.orbit(size=24), outputs=("image", "alpha", "linear")))
