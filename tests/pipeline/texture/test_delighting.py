"""What a painted face would look like without its light: found on renders whose light and skin are known."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import pain3d
from pain3d.kernels import shade
from pain3d.light import Light
from pain3d.pipeline.texture import delighting, light_fit, views
from pain3d.pipeline.texture.pores import relief_gloss
from pain3d.pipeline.texture.projection import project
from pain3d.skin import SurfaceMaps
from pain3d.skin.photographed import photographable

SIZE, PIXELS = 256, 192


def test_light_of_points_is_that_of_the_room() -> None:
    torch.manual_seed(0)
    count = 40
    normal, eye = (torch.nn.functional.normalize(torch.randn(count, 3), dim=1) for _ in range(2))
    points = light_fit.Points(normal, eye, *(torch.rand(count) for _ in range(4)))
    albedo, light = torch.rand(count, 3), Light.preset("golden")
    fallen = light_fit.diffuse_light(points.normal, points.occlusion, points.scatter, light)
    ours = albedo * fallen + light_fit.gloss(points, light)
    room = shade(
        albedo[None], normal[None], eye[None], light.sh, light.key_direction, light.key_colour,
        *(part[None] for part in points[2:]),
    )[0]  # fmt: skip
    torch.testing.assert_close(ours, room, rtol=1e-5, atol=1e-6)


def test_pictures_become_the_light_that_made_them() -> None:
    from pain3d.kernels.rendering.colour import encode_srgb, tone_map

    light = torch.linspace(0.01, 1.6, 200)
    back = delighting.linear_light(encode_srgb(tone_map(light)).float() / 255)
    # Half a byte, by the slope of sRGB (0.009 of the light at most) and of the tone map (1.6: a factor of 25).
    torch.testing.assert_close(back[light < 0.8], light[light < 0.8], rtol=0.03, atol=0.0)
    torch.testing.assert_close(back, light, rtol=0.1, atol=0.0)


class Asked(NamedTuple):
    """A person who was asked for, and the skin that was made in their place: of one age, sex and ancestry."""

    seen: views.Seen
    maps: SurfaceMaps
    skin: pain3d.Skin
    base: Tensor
    made: Tensor

    def projected(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Colours and weights of texels."""
        return project(pictures, self.seen, SIZE)


@pytest.fixture(scope="module")
def asked() -> Asked:
    head = pain3d.Head.default()
    who = head.sample_identity(seed=5, identity_id=0)
    skin, made = (pain3d.sample_skin(seed, 0, who.age, who.sex, who.ancestry) for seed in (5, 77))
    maps = pain3d.surface_maps(head, SIZE)
    seen = views.see(head, who, pain3d.surface(head, skin), views.standard_cameras(3, PIXELS))
    return Asked(seen, maps, skin, pain3d.paint(maps, skin), pain3d.paint(maps, made))


@pytest.mark.parametrize(("name", "turn"), [("studio", 0.0), ("evening", -90.0)])
def test_what_is_left_is_the_skin(asked: Asked, name: str, turn: float) -> None:
    seen, light = asked.seen, Light.preset(name, azimuth_degrees=turn)
    shot = pain3d.render(seen.mesh, seen.cameras, light=light, texture=asked.made[None], image_dtype="float32").image
    assert shot is not None
    truth, weights = asked.projected(views.flat(seen, asked.made[..., :3].contiguous()))
    lit, _ = asked.projected(delighting.linear_light(shot))
    done = delighting.delight(lit, weights, seen, asked.base, asked.skin, asked.maps)
    painted = torch.from_numpy(photographable(asked.maps) & asked.maps.covered)
    well = (weights > 0.25) & painted  # the weight is cos²: under 60 degrees
    before, after = ((colours - truth)[well].square().mean().sqrt().item() for colours in (lit, done.albedo))
    assert after < 0.1 * before, (after, before)  # worst seen 0.079
    towards = done.found.light.key_direction[0] @ light.key_direction[0]
    assert towards > 0.95  # 18 degrees
    assert bool((done.weights <= weights).all())


def test_what_places_have_in_common_is_solved_for() -> None:
    """Beside the dense inverse of what points of one place share and what each has of its own."""
    draw = torch.Generator().manual_seed(4)
    count, unknowns = 12, 5
    residual = torch.randn(count, 3, generator=draw)
    jacobian = torch.randn(count, 3, unknowns, generator=draw)
    own = 200 + 300 * torch.rand(count, 3, generator=draw)
    place = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 1, 2])
    matrix, pull = light_fit._told_by(residual, jacobian, own, place)
    dense, right = np.zeros((unknowns, unknowns)), np.zeros(unknowns)
    for channel in range(3):
        shared = light_fit.SKIN**2 * (place[:, None] == place).double()
        precision = np.linalg.inv(np.diag(1 / own[:, channel].double()) + shared.numpy())
        slopes = jacobian[:, channel].double().numpy()
        dense += slopes.T @ precision @ slopes
        right += slopes.T @ precision @ residual[:, channel].double().numpy()
    np.testing.assert_allclose(matrix, dense, rtol=1e-4, atol=0.1)  # float32 sums of terms of up to 1e4
    np.testing.assert_allclose(pull, right, rtol=1e-4, atol=0.1)


def test_light_is_metered_as_presets_are() -> None:
    light = Light.preset("evening", azimuth_degrees=20)
    numbers = torch.cat([light.sh[0], light.key_colour]).T.double().numpy().ravel()
    elevation = float(torch.rad2deg(torch.asin(light.key_direction[0, 1])))
    azimuth = float(torch.rad2deg(torch.atan2(*light.key_direction[0, [0, 2]])))
    state = light_fit._State(azimuth, elevation, 1.2 * numbers, np.zeros(1), np.zeros(1), 0.0)
    more, slopes = light_fit._metered(state)
    assert more == pytest.approx(np.log(1.2), abs=2e-3)  # directions where no harmonics are below 0, on 72 normals
    for unknown in (0, 9, 25):
        moved = state.light.copy()
        moved[unknown] += 1e-3
        assert (light_fit._metered(state._replace(light=moved))[0] - more) / 1e-3 == pytest.approx(
            slopes[unknown], 0.01
        )
    raised = light_fit._metered(state._replace(elevation=elevation + 0.5))[0]
    assert (raised - more) / 0.5 == pytest.approx(slopes[31], rel=0.01)


def test_gloss_of_pores_is_told_from_pigment() -> None:
    """On dark skin: a spot that has the light's colour is gloss, one of melanin is skin."""
    size = 114
    skin = torch.tensor([0.25, 0.14, 0.08])
    melanin, blood = torch.tensor([-0.57, -0.62, -0.53]), torch.tensor([-0.1, -0.7, -0.7])
    place = torch.arange(5 * size, 100 * size)[torch.arange(95 * size) % size < 90]
    glossy, marked = skin.repeat(len(place), 1), skin.repeat(len(place), 1)
    mirrored = torch.full_like(glossy, 0.05)
    spot = (place // size // 2 == 20) & (place % size // 2 == 20)
    far = place // size > 60
    glossy[spot] += 0.3 * mirrored[spot]
    marked[spot] *= (0.15 * melanin).exp()
    found = relief_gloss(glossy, mirrored, place, size, melanin, blood)
    assert float(found[spot].min()) > 0.15 and float(found[spot].max()) < 0.3
    assert float(found[far].abs().max()) < 1e-4  # also at the border of what is seen
    assert float(relief_gloss(marked, mirrored, place, size, melanin, blood)[spot].abs().max()) < 0.05


def test_without_skin_there_is_no_light() -> None:
    none = light_fit.Skins(*(torch.zeros(0, *shape) for shape in ((), (3,), (), (), (3,), (8, 3))))
    points = light_fit.Points(*(torch.zeros(0, *shape) for shape in ((3,), (3,), (), (), (), ())))
    with pytest.raises(ValueError, match="no texel of it was seen"):
        light_fit.find_light(points, none, 1)
