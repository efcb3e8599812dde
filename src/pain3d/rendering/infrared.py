"""Knows what a camera sees at night by its own lamps, at 850 nm: their light, and what skin, hair and cloth reflect.

Of a picture only the red channel counts, which becomes grey. Its albedo is taken on to 850 nm: what a pigment leaves of
light there follows from what it leaves in red.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import METERED, Y00, Light, irradiance_on_face
from pain3d.optics import BACKGROUND_METRES
from pain3d.setting import LightSetting
from pain3d.skin.appearance import Skin
from pain3d.skin.clothes import above_edge, cloth_share
from pain3d.skin.compose import SCATTER
from pain3d.skin.eyes import PUPIL, pupil_angle, pupil_share
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.mouth import MUCOSA
from pain3d.skin.painting import fill_levels

if TYPE_CHECKING:
    from pain3d.worn.bed import Bed

RED_NM, LAMP_NM = 611.0, 850.0  # dominant wavelength of sRGB's red, and of the usual lamps


class Matter(NamedTuple):
    """What reflects.

    Attributes:
        left: Of the absorption in red, what is left at 850 nm.
        clear: Albedo of what lies below the pigment; None where the pigment is all through.
    """

    left: float
    clear: float | None = None


# Melanin absorbs as λ^-3.33 (Jacques 1998, "Skin optics summary"): a third of what it takes in red. In skin and iris it
# lies over what is white there, and light goes through it: R = clear^(1 - left) · red^left. 0.6 is what the model of
# `pain3d.skin.chromophores` gives of a dermis at 850 nm: scattering of 25 1/cm beside an absorption of 0.3 1/cm.
MELANIN_LEFT = (LAMP_NM / RED_NM) ** -3.33
TISSUE_CLEAR = 0.60
TISSUE: Final = Matter(MELANIN_LEFT, TISSUE_CLEAR)
# In hair it is all through, and thick: absorption beside scattering is K / S = (1 - R)² / 2R (Kubelka & Munk 1931).
HAIR: Final = Matter(MELANIN_LEFT)
# Organic dyes end before 800 nm, so that most cloth is pale there; what is left of dark cloth is a choice.
TEXTILE: Final = Matter(0.15, 0.70)
# How much paler the lining of a mouth is: what is painted dark there is deep, not pigment, and stays as dark beside it.
LINING = TISSUE_CLEAR ** (1 - MELANIN_LEFT) * MUCOSA[0] ** (MELANIN_LEFT - 1)
WIDE = 1.4  # pupils in the dark beside those by day: eyes do not see the lamps
DEEP = 0.8  # what nostrils and ears keep of the light at their deepest: beside a lens no room shines into them
STEPS = 1 << 16  # of albedo
# Share of the lamps' light on the face that comes back from the room: what a camera sees by is a torch, not a lit room.
ROOM_LIGHT = 0.06
BRIGHTEST_WALL = 0.8  # albedo: what shines by day is dark glass at night
BED_METRES = 0.12  # from the eyes to the pillow and what lies beside
NEAREST = 1.3  # how much brighter than the eyes what is nearer may be


def lamp_light(settings: Sequence[LightSetting], camera: Camera) -> Light:
    """The light of lamps beside lenses, one of each for each, metered as the presets are.

    Args:
        settings: N of the light ``infrared``.
        camera: N cameras.
    """
    axes = camera.world_to_view[:, :3, :3].double().numpy()  # right, up and back
    beside = np.tan(np.radians([(one.azimuth, one.elevation) for one in settings]))
    towards = axes[:, 2] + beside[:, :1] * axes[:, 0] + beside[:, 1:] * axes[:, 1]
    towards /= np.sqrt((towards**2).sum(1, keepdims=True))
    sh, key = np.zeros((9, 3)), np.ones(3)
    sh[0] = ROOM_LIGHT / np.pi / Y00
    scale = METERED / irradiance_on_face(sh, np.array([0.0, 0.0, 1.0]), key)
    told = np.array([(one.key_share, one.intensity, one.size) for one in settings])
    parts = (np.tile(sh * scale, (len(settings), 1, 1)), towards, key * scale * told[:, :1], told[:, 1], told[:, 2])
    return Light(*(torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in parts))


def reflected(red: Tensor, matter: Matter) -> Tensor:
    """Albedo at 850 nm of what has a linear red one, 0–1. Gradients: none."""
    steps = (red.clamp(0, 1) * (STEPS - 1) + 0.5).long()
    seen: Tensor = _curve(matter, red.device)[steps]
    return seen


@lru_cache(maxsize=16)
def _curve(matter: Matter, device: torch.device) -> Tensor:
    """[STEPS] float32: powers from a table, so that no bit depends on how many are taken at once."""
    red = np.maximum(np.arange(STEPS), 0.5) / (STEPS - 1)
    if matter.clear is None:
        taken = matter.left * (1 - red) ** 2 / (2 * red)
        curve = 1 + taken - np.sqrt(taken * (taken + 2))
    else:
        curve = matter.clear ** (1 - matter.left) * red**matter.left
    return torch.from_numpy(curve.astype(np.float32)).to(device)


def night_texture(maps: SurfaceMaps, skins: Sequence[Skin], texture: Mipmaps) -> Mipmaps:
    """The textures of K people whose red channel is what they reflect at 850 nm; what they were stays as it is."""
    size, there = maps.size, maps.on(texture.texels.device)
    chain = texture.texels.clone()
    levels = chain[:, : size * size].view(len(skins), size, size, -1)
    for skin, level in zip(skins, levels, strict=True):
        red = level[..., 0].clone()
        pale = reflected(red, TISSUE)
        lay = partial(_lay, maps, there, pale)
        for name in ("skin", "neck"):
            box = maps.boxes[name]
            lay(name, 1 - level[..., SCATTER][box], reflected(red[box], HAIR))
            lay(name, DEEP * there.cavity[box] ** 2, 0.0)
        for name in ("mouth", "tongue"):
            lay(name, 1.0, red[maps.boxes[name]] * LINING)
        box = maps.boxes["neck"]
        above = above_edge(there.masks["neckline"][box], skin, skin.generator("skin/shirt"))
        lay("neck", cloth_share(above), reflected(red[box], TEXTILE))
        pupil = WIDE * pupil_angle(skin, skin.generator("skin/eyes"))
        for name, (angle, _, _) in there.eyes.items():
            lay(name, pupil_share(angle, pupil), PUPIL[0])
        level[..., 0] = pale
    fill_levels(chain, size)
    return texture._replace(texels=chain)


def _lay(
    maps: SurfaceMaps, there: SurfaceMaps, pale: Tensor, part: str, share: Tensor | float, albedo: Tensor | float
) -> None:
    """Lay an albedo over a part by how much of each place is its; in place, on the device of the maps there."""
    box = maps.boxes[part]
    pale[box] += (there.part[box] == maps.part_names.index(part)) * share * (albedo - pale[box])


def night_bed(bed: Bed) -> Bed:
    """A bed whose linen is as pale as it is at 850 nm."""
    pale = reflected(torch.from_numpy(bed.tint[:, :1]), TEXTILE)
    return bed._replace(tint=pale.expand(-1, 3).contiguous().numpy())


def night_backdrop(painted: Tensor, exposure: float, distance: float) -> Tensor:
    """What stands behind [h, w, 3], toned grey: walls lit by the lamps alone, as dark as they are far.

    Args:
        painted: [h, w, 3] linear, by day.
        exposure: Of the sensor and the lamps, a number.
        distance: Of the face, metres, a number.
    """
    grey = reflected(painted[..., :1].clamp(max=BRIGHTEST_WALL), TEXTILE)
    fallen = distance / (distance + BACKGROUND_METRES)
    return tone_map(grey * (exposure * fallen * fallen)).expand(-1, -1, 3)
