"""Knows which light fell on a face that was painted: the most probable one, given what skin and what lights there are.

Light and skin can't be told apart by a picture alone: twice the light on half the albedo is the same picture, and so is
a warm lamp on pale skin. Four things decide. Skin has few colours: the procedural person's albedo, with the freedom
that melanin, blood and carotene leave it. Lights have few forms: those of our presets with their key where it is tried
(`light_prior`). Pictures are metered: what falls on a face has the same mean, so that brightness tells the tone. And
skin is the same to all who see it, while gloss moves with the eye: where views differ it is gloss. What lies between
goes to each by its variance: a least-squares problem of some fifty unknowns, solved by Gauss–Newton from several places
of the key, on texels of skin, with weights that fall with the residual (Cauchy's): hair, shadows and highlights are not
skin under this light.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from pain3d.colour import LUMINANCE
from pain3d.kernels.shading import sh_basis
from pain3d.kernels.shading.reference import A0, A1, A2, HORIZON, MIN_COSINE, MIN_ROUGHNESS, SKIN_F0, WRAP
from pain3d.light import LIGHTS, METERED, Light, direction, face_irradiance, key_azimuth

Doubles = npt.NDArray[np.float64]

PER_CHANNEL: Final = 10  # numbers of a light: nine harmonics and the key's colour
STARTS: Final = (-75.0, -45.0, -15.0, 15.0, 45.0, 75.0)  # degrees of the key's azimuth from which a fit begins
AZIMUTH: Final = 45.0  # degrees, of a step's length: no azimuth is more probable than another
LONGEST: Final = 2.0  # deviations that a step may go
ELEVATION: Final = (32.0, 18.0)  # of the key, degrees: mean and deviation over the presets
FIRST_STEPS, STEPS = 4, 5  # of Gauss–Newton from each start, and from the best
MOST: Final = 6000  # points that are looked at, about; where fits begin one of so many of them
THINNED: Final = 6
TURN: Final = 0.5  # degrees, of the difference by which the key's direction is differentiated
# ln, standard deviations: of what falls on a face against a metered picture's, of a channel's white balance, of a view
# against the others; of a place's skin off all freedom, and of what two views see of it.
EXPOSURE, WHITE, GAIN, SKIN, BETWEEN = 0.01, 0.02, 0.02, 0.10, 0.05
SHINE: Final = 0.2  # ln, of how much all skin mirrors against the procedural person's: dry to oily
LOOSE: Final = 2.0  # times the deviation of the presets: there are other lights than ours
BRIGHT: Final = 0.1  # ln, of all of a light before it is metered
# Places beside each other err together: as much as so many independent points is what all points say.
INDEPENDENT: Final = 150
TINY: Final = 1e-12  # of what is divided by
DARK: Final = 1e-3  # linear: below it a logarithm says nothing


class Points(NamedTuple):
    """P points of a surface as our shading sees them.

    Attributes:
        normal: [P, 3] unit.
        eye: [P, 3] unit, towards the camera.
        occlusion: [P] 0–1.
        specular: [P] scale, 1 is skin.
        roughness: [P] 0.05–1.
        scatter: [P] 0–1.
    """

    normal: Tensor
    eye: Tensor
    occlusion: Tensor
    specular: Tensor
    roughness: Tensor
    scatter: Tensor

    def some(self, which: Tensor) -> Points:
        """Some of the points."""
        return Points(*(part[which] for part in self))


class Skins(NamedTuple):
    """What was seen at P points, and what skin may be there.

    Attributes:
        place: [P] int64, which place of the skin it is: views that saw the same one have the same number.
        seen: [P, 3] linear light.
        view: [P] int64, who saw it.
        trust: [P] 0–1.
        albedo: [P, 3] linear, of the procedural person.
        freedom: [P, K, 3] what a standard deviation of each freedom adds to its logarithm.
    """

    place: Tensor
    seen: Tensor
    view: Tensor
    trust: Tensor
    albedo: Tensor
    freedom: Tensor

    def some(self, which: Tensor) -> Skins:
        """Some of the points."""
        return Skins(*(part[which] for part in self))


class FoundLight(NamedTuple):
    """What a fit found.

    Attributes:
        light: One light, exposure 1.
        gains: [N] factor on each view's light.
        skin: [K] of the freedoms, in standard deviations.
        shine: Factor on what the procedural person's skin mirrors.
        cost: Half the sum of squares at the end.
    """

    light: Light
    gains: Tensor
    skin: Tensor
    shine: float
    cost: float


def dot(one: Tensor, two: Tensor) -> Tensor:
    """Inner products [P] of vectors [P, 3]; a sum over three columns takes three times as long."""
    return (one * two) @ one.new_ones(3)


def fifth_power(number: Tensor) -> Tensor:
    """Schlick's; `**` takes three times as long."""
    square = number * number
    return square * square * number


def ambient_rows(normal: Tensor, occlusion: Tensor) -> Tensor:
    """What a surface of albedo 1 makes of light of each harmonic [P, 9]; see the room `shade`."""
    lambert = normal.new_tensor([A0] + [A1] * 3 + [A2] * 5) / math.pi
    return sh_basis(normal) * lambert * occlusion[:, None]


def wrapped_row(normal: Tensor, scatter: Tensor, key: Tensor) -> Tensor:
    """What a surface of albedo 1 makes of the key [P, 3]; see `shade`."""
    wrap = scatter[:, None] * normal.new_tensor(WRAP)
    return ((normal @ key)[:, None] + wrap).clamp(min=0) / (1 + wrap).square() / math.pi


def mirror_rows(points: Points) -> Tensor:
    """What light of each harmonic of degree 0 and 1 a surface mirrors [P, 4]; see `shade`."""
    n, v = points.normal, points.eye
    facing = dot(n, v)
    rough, n_v = points.roughness.clamp(MIN_ROUGHNESS, 1), facing.clamp(MIN_COSINE, 1)
    grazing = SKIN_F0 + ((1 - rough).clamp(min=SKIN_F0) - SKIN_F0) * fifth_power(1 - n_v)
    mirror = grazing * (1 - rough) * (n_v / HORIZON).clamp(max=1) * (points.occlusion * points.specular)
    return sh_basis(2 * facing[:, None] * n - v, degree=1) * mirror[:, None]


def lobe_row(points: Points, key: Tensor) -> Tensor:
    """What light of the key a surface mirrors [P]; see `shade`."""
    to_key, to_eye, between = points.normal @ key, dot(points.normal, points.eye), points.eye @ key
    n_l, n_v = to_key.clamp(min=0), to_eye.clamp(MIN_COSINE, 1)
    v_h = ((1 + between) / 2).clamp(TINY, 1).sqrt()  # the half vector is as far from either: k + v is 2 (v·h) long
    n_h = ((to_key + to_eye) / (2 * v_h)).clamp(0, 1)
    alpha = points.roughness.clamp(MIN_ROUGHNESS, 1).square()
    spread = n_h.square() * (alpha.square() - 1) + 1
    visibility = 0.5 / (2 * n_l * n_v + alpha * (n_l + n_v - 2 * n_l * n_v))
    fresnel = SKIN_F0 + (1 - SKIN_F0) * fifth_power(1 - v_h)
    shine = points.occlusion * points.specular
    return alpha.square() / (math.pi * spread.square()) * visibility * fresnel * n_l * shine


def diffuse_light(normal: Tensor, occlusion: Tensor, scatter: Tensor, light: Light) -> Tensor:
    """[P, 3]: what a surface of albedo 1 sends out under one light, gloss apart."""
    wrapped = wrapped_row(normal, scatter, light.key_direction[0])
    return (ambient_rows(normal, occlusion) @ light.sh[0]).clamp(min=0) + wrapped * light.key_colour[0]


def gloss(points: Points, light: Light) -> Tensor:
    """[P, 3]: what a surface mirrors under one light."""
    lobe = lobe_row(points, light.key_direction[0])
    return (mirror_rows(points) @ light.sh[0, :4]).clamp(min=0) + lobe[:, None] * light.key_colour[0]


@lru_cache(maxsize=256)
def light_prior(azimuth: int) -> tuple[Doubles, Doubles]:
    """Mean [30] and root of the covariance [30, 30] of lights whose key stands at an azimuth, whole degrees.

    Per channel nine harmonics, then the key's colour.
    """
    shares, elevations, warmth = (0.4, 0.8, 1.2), (-12.0, 0.0, 12.0), (5200.0, 6504.0, 8200.0)
    cells = [(n, s, e, w) for n in LIGHTS for s in shares for e in elevations for w in warmth]
    names, key_share, elevation, temperature = (list(column) for column in zip(*cells, strict=True))
    turned = [azimuth - key_azimuth(name) for name in names]
    light = Light.presets(names, turned, elevation, [1.0] * len(names), key_share, temperature)
    numbers = torch.cat([light.sh, light.key_colour[:, None]], 1).transpose(1, 2).reshape(len(names), -1)
    rows = numbers.double().numpy()
    mean = rows.mean(0)
    apart = (rows - mean) * LOOSE / len(rows) ** 0.5
    channels = np.stack([np.where(np.arange(3).repeat(PER_CHANNEL) == k, mean, 0) for k in range(3)])
    spread = np.concatenate([apart, BRIGHT * mean[None], WHITE * channels, 0.01 * np.abs(mean).max() * np.eye(30)])
    return mean, np.linalg.cholesky(spread.T @ spread)


def find_light(points: Points, skins: Skins, views: int) -> FoundLight:
    """The most probable light on P points of skin, the exposures of the N views that saw them, and the skin.

    Raises:
        ValueError: No point.
    """
    if len(skins.seen) == 0:
        raise ValueError("there must be skin to find a light on, no texel of it was seen")
    looked_at = _chosen(max(1, round(len(skins.seen) / MOST)), points, skins)
    few = _chosen(THINNED, *looked_at[:2])
    begun = [_descended(*few, _start(azimuth, skins, views), FIRST_STEPS) for azimuth in STARTS]
    _, best = min(begun, key=lambda one: one[0])
    cost, found = _descended(*looked_at, best, STEPS)
    light, gains, skin = _told(found)
    return FoundLight(light, gains, skin, math.exp(found.shine), cost)


def _chosen(step: int, points: Points, skins: Skins) -> tuple[Points, Skins, _Sent]:
    """All points of one place of so many, places numbered without gaps, and what the points send out."""
    some = _numbered(skins.place) % step == 0
    points, skins = points.some(some), skins.some(some)
    return points, skins._replace(place=_numbered(skins.place)), _Sent.by(points)


def _numbered(place: Tensor) -> Tensor:
    """Places [P] as numbers from 0 without gaps."""
    return torch.from_numpy(np.unique(place.numpy(), return_inverse=True)[1])


class _State(NamedTuple):
    """Unknowns: azimuth and elevation of the key in degrees, its light [30], ln gains [N], skin [K]."""

    azimuth: float
    elevation: float
    light: Doubles
    gains: Doubles
    skin: Doubles
    shine: float


def _start(azimuth: float, skins: Skins, views: int) -> _State:
    free = skins.freedom.shape[1]
    return _State(azimuth, ELEVATION[0], light_prior(round(azimuth))[0], np.zeros(views), np.zeros(free), 0.0)


def _told(state: _State) -> tuple[Light, Tensor, Tensor]:
    numbers = torch.from_numpy(state.light.reshape(3, PER_CHANNEL).T.copy()).float()
    towards = torch.from_numpy(direction(state.azimuth, state.elevation)).float()
    light = Light(numbers[None, :9], towards[None], numbers[None, 9].clamp(min=0), torch.ones(1))
    return light, torch.from_numpy(np.exp(state.gains)).float(), torch.from_numpy(state.skin).float()


class _Sent(NamedTuple):
    """What P points send out of light that has no direction of its own: the same all through a fit.

    Attributes:
        ambient: [P, 9] of each harmonic, of albedo 1.
        mirror: [P, 9] of each, mirrored.
    """

    ambient: Tensor
    mirror: Tensor

    @classmethod
    def by(cls, points: Points) -> _Sent:
        """By these points."""
        return cls(ambient_rows(points.normal, points.occlusion), pad(mirror_rows(points), (0, 5)))


def _slopes(points: Points, skins: Skins, sent: _Sent, state: _State) -> tuple[Tensor, Tensor]:
    """Residual [P, 3] in ln, and how it falls with each unknown [P, 3, X].

    Unknowns: the light by channel, azimuth, elevation, shine, gains, skin.
    """
    albedo = skins.albedo * torch.einsum("pkc,k->pc", skins.freedom, torch.from_numpy(state.skin).float()).exp()
    numbers = torch.from_numpy(state.light.reshape(3, PER_CHANNEL)).float()
    shine = math.exp(state.shine)

    def keyed(azimuth: float, elevation: float) -> tuple[Tensor, Tensor]:
        """What leaves the points of a key of 1 in this direction [P, 3], and the part of it that is mirrored [P]."""
        key = torch.from_numpy(direction(azimuth, elevation)).float()
        lobe = shine * lobe_row(points, key)
        return albedo * wrapped_row(points.normal, points.scatter, key) + lobe[:, None], lobe

    of_key, lobe = keyed(state.azimuth, state.elevation)
    mirrored = shine * sent.mirror
    rows = torch.cat([albedo[..., None] * sent.ambient[:, None] + mirrored[:, None], of_key[..., None]], 2)
    whole = torch.einsum("pcn,cn->pc", rows, numbers)
    light = whole.clamp(min=DARK)
    viewed = one_hot(skins.view, len(state.gains)).float()
    gain = viewed @ torch.from_numpy(state.gains).float()
    residual = skins.seen.clamp(min=DARK).log() - light.log() - gain[:, None]
    of_light = torch.zeros(*residual.shape, 3 * PER_CHANNEL)
    for channel in range(3):
        columns = slice(channel * PER_CHANNEL, (channel + 1) * PER_CHANNEL)
        of_light[:, channel, columns] = rows[:, channel] / light[:, channel, None]
    turned = []
    for azimuth, elevation in ((TURN, 0.0), (0.0, TURN)):
        moved = keyed(state.azimuth + azimuth, state.elevation + elevation)[0] - of_key
        turned.append(((whole + moved * numbers[:, -1]).clamp(min=DARK) / light).log()[..., None] / TURN)
    glossy = mirrored @ numbers[:, :-1].T + lobe[:, None] * numbers[:, -1]
    mirrored_share = (glossy / light)[..., None]  # it has no albedo in it
    of_skin = skins.freedom.transpose(1, 2) * (1 - mirrored_share)
    return residual, torch.cat([of_light, *turned, mirrored_share, viewed[:, None].expand(-1, 3, -1), of_skin], 2)


def _metered(state: _State) -> tuple[float, Doubles]:
    """How much more falls on a face than in a metered picture, ln, and its slope by light [30], azimuth, elevation."""

    def falling(azimuth: float, elevation: float) -> Doubles:
        """What each number of the light adds, [30]: it is linear in them."""
        return np.outer(LUMINANCE, face_irradiance(direction(azimuth, elevation))).ravel()

    own = falling(state.azimuth, state.elevation)
    total = max(float(own @ state.light), DARK)
    turned = (falling(state.azimuth + TURN, state.elevation), falling(state.azimuth, state.elevation + TURN))
    slopes = [*own / total, *((way - own) @ state.light / (total * TURN) for way in turned)]
    return math.log(total / METERED), np.array(slopes)


def _told_by(residual: Tensor, jacobian: Tensor, weight: Tensor, place: Tensor) -> tuple[Doubles, Doubles]:
    """Normal matrix [X, X] and right side [X] of P points whose places' skins are off by an unknown each, solved for.

    Args:
        residual: [P, 3].
        jacobian: [P, 3, X].
        weight: [P, 3] inverse variance of what is a view's own.
        place: [P] int64 from 0.
    """
    weighed = jacobian * weight[..., None]
    certain, off, slopes = (
        part.new_zeros(int(place.max()) + 1, *part.shape[1:]).index_add_(0, place, part)
        for part in (weight, residual * weight, weighed)
    )
    flat, common, share = jacobian.flatten(0, 1), slopes.flatten(0, 1), 1 / (SKIN**-2 + certain)
    matrix = flat.T @ weighed.flatten(0, 1) - common.T @ (common * share.flatten()[:, None])
    pull = residual.flatten() @ weighed.flatten(0, 1) - (off * share).flatten() @ common
    return matrix.double().numpy(), pull.double().numpy()


def _descended(points: Points, skins: Skins, sent: _Sent, state: _State, steps: int) -> tuple[float, _State]:
    """State after so many steps of Gauss–Newton, and the cost before the last; each weighs anew (Cauchy)."""
    views = len(state.gains)
    share = float(INDEPENDENT / skins.trust.sum().clamp(min=1e-9))
    cost = math.inf
    for _ in range(steps):
        residual, jacobian = _slopes(points, skins, sent, state)
        strange = (residual / (2 * SKIN)).square()
        matrix, pull = _told_by(residual, jacobian, skins.trust[:, None] / (1 + strange) / BETWEEN**2, skins.place)
        matrix, pull = share * matrix, share * pull
        metered, slope = _metered(state)
        matrix[: len(slope), : len(slope)] += np.outer(slope, slope) / EXPOSURE**2
        pull[: len(slope)] -= slope * (metered / EXPOSURE**2)
        # Each unknown in its own deviations, of which the prior has it so many off.
        mean, root = light_prior(round(state.azimuth))
        deviations = [AZIMUTH, ELEVATION[1], SHINE, *[GAIN] * views, *[1.0] * len(state.skin)]
        whiten = np.diag([*[1.0] * len(root), *deviations])
        whiten[: len(root), : len(root)] = root
        away = np.concatenate(
            [np.linalg.solve(root, state.light - mean), [0.0, (state.elevation - ELEVATION[0]) / ELEVATION[1]],
             [state.shine / SHINE], state.gains / GAIN, state.skin]
        )  # fmt: skip
        step = np.linalg.solve(whiten.T @ matrix @ whiten + np.eye(len(away)), whiten.T @ pull - away)
        cost = 2 * share * float((skins.trust[:, None] * torch.log1p(strange)).sum())
        cost += 0.5 * (float(away @ away) + (metered / EXPOSURE) ** 2)
        moved = whiten @ np.clip(step, -LONGEST, LONGEST)
        light, (azimuth, elevation, shine), gains, skin = np.split(moved, np.cumsum([len(root), 3, views]))
        state = _State(
            state.azimuth + float(azimuth),
            float(np.clip(state.elevation + elevation, -80, 85)),
            state.light + light,
            state.gains + gains,
            state.skin + skin,
            state.shine + float(shine),
        )
    return cost, state
