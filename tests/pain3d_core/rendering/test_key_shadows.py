"""What a light with a size throws on a head: the nose on a cheek, once for all pictures that show it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import pain3d
from pain3d.light import KEY_SIZES, LIGHTS, Light
from pain3d.rendering.shadows import key_shadows

HEAD = pain3d.Head.default()


def test_pictures_of_one_mesh_under_one_lamp_share_a_map():
    mesh = HEAD(au=[pain3d.ActionUnits(), pain3d.ActionUnits(AU4=5)])
    lamp = Light.preset("golden", size=1.0)
    shown = torch.tensor([0, 1, 1, 0])
    cast = key_shadows(mesh, lamp, shown, 512, None)
    assert cast is not None and cast[0].seen is not None
    assert len(cast[0].seen) == 2 and cast[1].tolist() == [0, 1, 1, 0]
    smaller = key_shadows(mesh, lamp, shown, 224, None)
    assert smaller is not None and smaller[0].seen is not None
    assert not torch.equal(smaller[0].seen, cast[0].seen)
    assert (smaller[0].seen - cast[0].seen).abs().mean() < 0.05  # a map of half the size; seen 0.040
    assert key_shadows(mesh, Light.preset("golden"), shown, 512, None) is None
    assert key_shadows(mesh, replace(lamp, key_size=torch.zeros(1)), shown, 512, None) is None


def test_every_preset_has_a_size_and_casts_a_shadow_under_the_chin():
    assert tuple(sorted(KEY_SIZES)) == tuple(sorted(LIGHTS))
    camera = pain3d.Camera.orbit(distance=0.7, size=64)
    mesh = HEAD()
    for name in ("outdoor", "ward"):
        lamp = Light.preset(name, elevation_degrees=10, size=KEY_SIZES[name])
        lit = pain3d.render(mesh, camera, light=replace(lamp, key_size=None), outputs=("linear",)).linear
        dim = pain3d.render(mesh, camera, light=lamp, outputs=("linear",)).linear
        assert lit is not None and dim is not None
        assert (dim <= lit + 1e-6).all()
        darker = (lit - dim)[0, ..., :3].sum(-1) > 0.1 * lit[0, ..., :3].sum(-1)
        assert 0.02 < darker.float().mean() < 0.4  # seen 0.10 and 0.07 of all pixels


def test_a_size_out_of_range_is_named():
    for size in (-1.0, 91.0, float("nan")):
        with pytest.raises(ValueError, match="size must lie in 0 … 90 degrees"):
            Light.preset("studio", size=size)
