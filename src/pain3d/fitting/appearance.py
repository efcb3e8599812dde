"""Knows what skin and light there may be: coordinates of painted faces and drawn lights, each of mean 0, deviation 1.

Skin: the logarithm of the albedo of people painted for the purpose, their mean and principal directions. What these
leave unexplained (brows, freckles, stubble) is how far a texel can be trusted. Light: environments and keys as
`sample_light` draws them, through a sensor's exposure and white balance.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.colour import temperature_gains
from pain3d.head.identity import sample_identity
from pain3d.head.model import Head
from pain3d.head.surface_detail import detail_basis
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.texturing import Mipmaps, build_mipmaps, sample_texture
from pain3d.light import Light, direction
from pain3d.mesh import Surface
from pain3d.scene import AGE_GROUPS, demographic_grid
from pain3d.setting import sample_key_size, sample_light, sample_sensor
from pain3d.skin import Skin, paint, sample_skin, surface_maps
from pain3d.skin.appearance import how_old
from pain3d.skin.crease_weights import Creases, creases
from pain3d.skin.surfaces import mean_depth

Doubles = npt.NDArray[np.float64]

SEED: Final = 20_260_713  # of the people who are painted and the lights that are drawn: nobody's data set
PEOPLE: Final = 72  # three of each cell of the demographic grid
TONES: Final = 24  # principal directions of skin: 98.6 % of the variance over 64 people
TEXELS: Final = 256  # a side: 1.6 mm on the cheek, a pixel of the pictures that are compared
DARKEST, LIGHTEST = 0.003, 0.95  # albedo, as `paint` has it
MARKS: Final = (0.03, 0.825)  # `Skin.age_marks` in the mean at `how_old` 0, and what it gains up to 1
LIGHTS: Final = 400
LAMPS: Final = 12  # principal directions of the environment and the key's colour: 99.9 % of the variance
KEY_DEVIATION: Final = 45.0  # degrees of azimuth

_cache: weakref.WeakKeyDictionary[Head, SkinPrior] = weakref.WeakKeyDictionary()


class SkinPrior(NamedTuple):
    """Skins that may be.

    Attributes:
        mean: [N, 16] texels of the mean skin, N = TEXELS².
        log_albedo: [N, 3] of the mean.
        directions: [D, N, 3] what a coordinate adds to the logarithm.
        deviation: [V] what the directions leave of a vertex's log albedo, standard deviation.
        wrinkles: Those of every skin: brought, at rest, of age.
        creases: [A · 2, V, 3] what an action unit adds to them, see `detail_basis`.
        people: Who was painted.
        coordinates: [P, D] of them.
    """

    mean: Tensor
    log_albedo: Tensor
    directions: Tensor
    deviation: Tensor
    wrinkles: Creases
    creases: Tensor
    people: tuple[Skin, ...]
    coordinates: Doubles

    @property
    def size(self) -> int:
        """Texels a side."""
        return TEXELS

    def textures(self, coordinates: Doubles, correction: Tensor | None = None) -> Mipmaps:
        """Skins [B, D] as mip chains; a correction [N, 3] is added to the logarithm. Gradients: to the correction."""
        rows = torch.from_numpy(np.atleast_2d(coordinates)).float()
        logarithm = self.log_albedo + (rows @ self.directions.flatten(1)).view(len(rows), -1, 3)
        if correction is not None:
            logarithm = logarithm + correction
        rest = self.mean[None, :, 3:].expand(len(rows), -1, -1)
        texels = torch.cat([logarithm.exp().clamp(DARKEST, LIGHTEST), rest], 2)
        return build_mipmaps(texels.view(len(rows), TEXELS, TEXELS, CHANNELS))

    def looked_up(self, uv: Tensor) -> Tensor:
        """What each coordinate adds to the logarithm at texture coordinates [P, 2]: [P, D, 3], finest texels."""
        sheets = self.directions.permute(1, 0, 2).reshape(1, TEXELS, TEXELS, -1)
        return sample_texture(sheets, uv[None, None]).view(len(uv), -1, 3)

    def surface(self, ages: Doubles) -> Surface:
        """What people of ages [B], in years, wear at rest in the mean of their age; nothing grows."""
        worn, still = self.wrinkles, torch.zeros(1, self.wrinkles.resting.shape[0])
        marks = torch.tensor([MARKS[0] + MARKS[1] * how_old(age) for age in ages.tolist()])
        depth = torch.tensor([mean_depth(age) for age in ages.tolist()])
        return Surface(still, worn.resting + marks[:, None, None] * worn.aged, depth, worn.brought, torch.zeros(1))

    def nearest(self, coordinates: Doubles) -> Skin:
        """Of those who were painted, the one most like coordinates [D]."""
        return self.people[int(np.argmin(((self.coordinates - coordinates) ** 2).sum(1)))]


def skin_prior(head: Head) -> SkinPrior:
    """The skins of a head, painted once: some seconds."""
    if head not in _cache:
        _cache[head] = _painted(head)
    return _cache[head]


def _painted(head: Head) -> SkinPrior:
    maps, people = surface_maps(head, TEXELS), []
    for number, cell in enumerate(demographic_grid(PEOPLE, SEED)):
        axes: dict[str, Any] = {"age": AGE_GROUPS[cell.age_group], "sex": cell.sex, "ancestry": cell.ancestry}
        who = sample_identity(SEED, number, head.local_names, **axes)
        people.append(sample_skin(SEED, number, who.age, who.sex, who.ancestry))
    painted = torch.stack([paint(maps, skin).view(-1, CHANNELS) for skin in people])
    logarithms = painted[..., :3].log()
    mean, log_albedo = painted.mean(0), logarithms.mean(0)
    apart = (logarithms - log_albedo).flatten(1)
    height, front = (torch.from_numpy(np.ascontiguousarray(plane)).flatten() for plane in (maps.y, maps.z))
    counted = (front > 10) & (height > -95) & (height < 75) & torch.from_numpy(maps.covered).flatten()  # the face
    seen = (apart.view(len(people), -1, 3) * counted[:, None]).flatten(1).double()
    _, mixing = torch.linalg.eigh(seen @ seen.T)
    mixing = mixing.flip(1)[:, :TONES]
    directions = (mixing.T.float() @ apart) / len(people) ** 0.5
    left = (apart - (mixing * len(people) ** 0.5).float() @ directions).view(len(people), -1, 3)
    unexplained = left.square().mean((0, 2)) * len(people) / (len(people) - TONES)  # as many were fitted
    shared = creases(head)
    return SkinPrior(
        mean=mean,
        log_albedo=log_albedo,
        directions=directions.view(TONES, -1, 3).permute(1, 0, 2).contiguous().permute(1, 0, 2),
        deviation=unexplained.sqrt()[texel_of_vertices(head)],
        wrinkles=shared,
        creases=detail_basis(head.occlusion_change, shared.brought),
        people=tuple(people),
        coordinates=(mixing * len(people) ** 0.5).numpy(),
    )


def texel_of_vertices(head: Head) -> Tensor:
    """[V] the texel of `TEXELS`² in which a vertex lies; at a seam, in one of its charts."""
    uvs = torch.zeros(len(head.template), 2)
    uvs[head.faces.long().flatten()] = head.uvs[head.uv_faces.long().flatten()]
    column, row = (uvs[:, 0] * TEXELS).long(), ((1 - uvs[:, 1]) * TEXELS).long()
    return row.clamp(0, TEXELS - 1) * TEXELS + column.clamp(0, TEXELS - 1)


class LightPrior(NamedTuple):
    """Lights that may be.

    Attributes:
        mean: [30] harmonics (9 × 3), then the key's colour.
        directions: [30, LAMPS] what a coordinate adds.
        elevation: Mean and deviation of the key's, degrees.
        size: Degrees under which a key is seen, the median: how soft shadows are is not fitted.
    """

    mean: Doubles
    directions: Doubles
    elevation: tuple[float, float]
    size: float

    def lights(self, rows: Doubles) -> Light:
        """Lights of rows [B, LAMPS + 2]: coordinates, then azimuth and elevation of the key in degrees."""
        numbers = self.mean + rows[:, :LAMPS] @ self.directions.T
        towards = direction(rows[:, LAMPS], rows[:, LAMPS + 1])
        parts = numbers[:, :27].reshape(-1, 9, 3), towards, np.maximum(numbers[:, 27:], 0), np.ones(len(rows))
        sizes = torch.full((len(rows),), self.size)
        made = Light(*(torch.from_numpy(np.ascontiguousarray(part)).float() for part in parts))
        return replace(made, key_size=sizes)


@cache
def light_prior() -> LightPrior:
    """The lights that data sets are drawn from."""
    drawn = [sample_light(SEED, number) for number in range(LIGHTS)]
    sizes = [sample_key_size(one.name, SEED, number) for number, one in enumerate(drawn)]
    sensors = [sample_sensor(SEED, number, 0, 0) for number in range(LIGHTS)]
    names = ("name", "azimuth", "elevation", "intensity", "key_share", "temperature")
    who, azimuth, height, intensity, share, kelvin = ([getattr(one, name) for one in drawn] for name in names)
    light = Light.presets(who, azimuth, height, intensity, share, kelvin, sizes)
    gains = temperature_gains([sensor.white_balance for sensor in sensors])
    gains = gains * (light.exposure.numpy() * np.exp2([sensor.exposure for sensor in sensors]))[:, None]
    numbers = np.concatenate([light.sh.double().numpy(), light.key_colour.double().numpy()[:, None]], 1)
    rows = (numbers * gains[:, None]).reshape(LIGHTS, -1)
    variance, directions = np.linalg.eigh(np.cov(rows.T))
    elevation = np.degrees(np.arcsin(light.key_direction[:, 1].double().numpy()))
    return LightPrior(
        rows.mean(0),
        (directions * np.sqrt(np.maximum(variance, 0)))[:, ::-1][:, :LAMPS],
        (float(elevation.mean()), float(elevation.std())),
        float(np.median(sizes)),
    )
