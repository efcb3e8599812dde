"""Heatmaps: how far an action unit moves the skin that a pixel sees, in millimetres, and the picture of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.device import constant
from pain3d.facs.action_units import AU_NUMBERS, SIDES, ActionUnits, parse_name, units_of
from pain3d.facs.pain_score import PAIN_AUS
from pain3d.head.identity import Identity
from pain3d.head.model import Head, Units
from pain3d.kernels.deformation import vertex_normals
from pain3d.mesh import Mesh, Surface
from pain3d.records import CLIPPED_LEVEL, HEATMAP_UNIT_MM, HEATMAP_UNITS_MM
from pain3d.rendering.view import render
from pain3d.skin.maps import bounds

MILLIMETRES = 1000.0
PAIN_CHANNELS = tuple(f"AU{number:02d}_{side}" for number in PAIN_AUS for side in SIDES)
COLOUR_LIMIT_MM = 10.0  # white: the largest displacement of a single PSPI unit but eye closure
# matplotlib's "hot": red rises from 0 to 0.365 of the scale, green from there to 0.746, blue to 1.
RAMP_STARTS, RAMP_LENGTHS = (0.0, 0.365, 0.746), (0.365, 0.381, 0.254)
SHADING_DIRECTION = (0.0, 0.35, 0.94)  # of the light in the colourised map: from the camera, a little above
SHADING_AMBIENT = 0.25


def displacement(head: Head, identity: Identity | Tensor | None, au: Sequence[ActionUnits]) -> Tensor:
    """How far each expression moves each vertex against the same person's neutral face, [E, V] in millimetres.

    The head's pose plays no part; the jaw's opening does. Exactly 0 where nothing moves.
    """
    # Neutral is evaluated in the same batch as the expressions, so that equal inputs give equal bits.
    vertices = head(identity, [ActionUnits(), *au]).vertices
    return millimetres_moved(vertices[:1], vertices[1:])


def displacement_of_each(
    head: Head, identity: Tensor, au: Tensor, surface: Surface | None = None, person_index: Tensor | None = None
) -> Tensor:
    """As `displacement`, of B people with an expression each, and with no copy from the host.

    What belongs to a person alone is evaluated once, for the neutral face and all expressions.

    Args:
        head: The head.
        identity: [1 or B, S] coefficients.
        au: [1 or B, A, 2] intensities.
        surface: Of 1 or B people.
        person_index: [B] whose expression each is, as `Head` takes it; identity and surface are then of P people.

    Returns:
        [B, V] millimetres.
    """
    people = len(identity) if surface is None else max(len(identity), len(surface.growth))
    everybody = torch.arange(people, device=identity.device)
    index = everybody if person_index is None else person_index.long()
    if len(index) == 1:
        index = index.expand(len(au))
    neutral = torch.zeros_like(au[:1]).expand(people, -1, -1)
    whose = torch.cat([everybody, index])
    vertices = head(
        identity, torch.cat([neutral, au.expand(len(index), -1, -1)]), surface=surface, person_index=whose
    ).vertices
    return millimetres_moved(vertices[:people][index], vertices[people:])


def millimetres_moved(neutral: Tensor, expressed: Tensor) -> Tensor:
    """Distance of vertices [B, V, 3] from those of a neutral face [1 or B, V, 3], metres to [B, V] millimetres."""
    distance: Tensor = torch.linalg.vector_norm(expressed - neutral, dim=2)
    return distance * MILLIMETRES


def heatmap_unit(furthest: Any) -> Any:
    """Millimetres of one grey level of heat maps: 0.1, doubled until the largest of `HEATMAP_UNITS_MM` or all fits.

    Args:
        furthest: What moved furthest in each map, millimetres: a number, or a tensor of any shape, on any device.
    """
    doubled = sum(furthest >= (CLIPPED_LEVEL - 1) * unit for unit in HEATMAP_UNITS_MM[:-1])
    return 2**doubled * HEATMAP_UNIT_MM


@overload
def quantise_heatmap(millimetres: Tensor, unit: Tensor | float = HEATMAP_UNIT_MM) -> Tensor: ...


@overload
def quantise_heatmap(millimetres: npt.NDArray[np.float32], unit: float = HEATMAP_UNIT_MM) -> npt.NDArray[np.uint8]: ...


def quantise_heatmap(millimetres: Any, unit: Any = HEATMAP_UNIT_MM) -> Any:
    """Grey levels of so many millimetres, uint8, rounded half up: 255 is 255 of them and more. NaN is not expected.

    Of a tensor a tensor, on its device, with a unit of its own for each map if need be ([B, 1, 1]); of an array an
    array, which on a CPU takes half the time.
    """
    levels = millimetres * (1 / unit)
    levels = levels.clip(max=CLIPPED_LEVEL)
    levels += 0.5
    return levels.to(torch.uint8) if isinstance(levels, Tensor) else levels.astype(np.uint8)


def unit_displacement(
    head: Head, identity: Identity | Tensor | None, au: Units, channels: Sequence[str] = PAIN_CHANNELS
) -> Tensor:
    """Displacement that each action unit of `au` causes alone, per side, [A, V] in millimetres.

    Args:
        head: The head.
        identity: Whose face; None is the template.
        au: The expression.
        channels: Names such as ``AU04_L``; a name without a side asks for both sides at once.
    """
    au, alone = units_of(au), []
    for channel in channels:
        number, sides = parse_name(channel)
        values = au.values[AU_NUMBERS.index(number)]
        alone.append(ActionUnits(**{f"AU{number}_{SIDES[side]}": values[side] for side in sides}))
    return displacement(head, identity, alone)


def au_heatmap(
    head: Head,
    au: Units,
    cameras: Camera,
    *,
    identity: Identity | Tensor | None = None,
    channels: Sequence[str] = PAIN_CHANNELS,
) -> Tensor:
    """Per pixel, how far each action unit moves the surface point that the pixel sees.

    Args:
        head: The head.
        au: The expression that is rendered; each channel shows what its own unit contributes alone.
        cameras: N cameras.
        identity: Whose face: an `Identity` or its coefficients [1, S]; None is the template.
        channels: A names, by default the six PSPI units, left and right: ``AU04_L``, ``AU04_R``, …

    Returns:
        [N, H, W, A] float32 in millimetres; 0 on background, on a neutral face everywhere.

    Gradients: none (labels).
    """
    return _seen(unit_displacement(head, identity, au, channels).T[None], head(identity, au), cameras)


def joint_heatmap(head: Head, au: Units, cameras: Camera, *, identity: Identity | Tensor | None = None) -> Tensor:
    """|expression − neutral| of the point that each pixel sees, all action units together.

    Args:
        head: The head.
        au: The expression.
        cameras: N cameras.
        identity: Whose face: an `Identity` or its coefficients [1, S]; None is the template.

    Returns:
        [N, H, W] float32 in millimetres; 0 on background, on a neutral face everywhere.

    Gradients: none (labels).
    """
    return _seen(displacement(head, identity, [units_of(au)])[..., None], head(identity, au), cameras)[..., 0]


def _seen(attributes: Tensor, mesh: Mesh, cameras: Camera) -> Tensor:
    """What the vertices carry, as the cameras see it: from the same visibility as the picture."""
    seen = render(mesh, cameras, attributes=attributes, outputs=("attributes",)).attributes
    assert seen is not None
    return seen


def shading(vertices: Tensor, faces: Tensor) -> Tensor:
    """Soft frontal light per vertex, [B, V] in 0–1, for the colourised map."""
    towards = constant(SHADING_DIRECTION, vertices)
    # Not a matrix product: on a GPU its rounding would depend on how many vertices there are.
    facing = (vertex_normals(vertices, faces) * towards).sum(-1).clamp(0, 1)
    return SHADING_AMBIENT + (1 - SHADING_AMBIENT) * facing


@overload
def colourise(heat_mm: Tensor, light: Tensor | float = 1.0, limit_mm: float = COLOUR_LIMIT_MM) -> Tensor: ...


@overload
def colourise(
    heat_mm: npt.NDArray[np.floating], light: npt.NDArray[np.floating] | float = 1.0, limit_mm: float = COLOUR_LIMIT_MM
) -> npt.NDArray[np.uint8]: ...


def colourise(heat_mm: Any, light: Any = 1.0, limit_mm: float = COLOUR_LIMIT_MM) -> Any:
    """The "hot" ramp (black, red, yellow, white) times shading; 0 mm is black.

    The scale is the same for every picture (white at `limit_mm`), where 3DPain normalises each by itself: so the
    brightness of a map says how strong the expression is.

    Args:
        heat_mm: [..., H, W] millimetres.
        light: [..., H, W] 0–1, what the ramp is multiplied by, or one number for all.
        limit_mm: What is white, millimetres.

    Returns:
        [..., H, W, 3] uint8: of an array an array, of a tensor a tensor, on its device.
    """
    if isinstance(heat_mm, Tensor):
        if heat_mm.device.type == "cpu":
            return torch.from_numpy(colourise(heat_mm.numpy(), np.asarray(light), limit_mm))
        starts, lengths = constant(RAMP_STARTS, heat_mm), constant(RAMP_LENGTHS, heat_mm)
        shade = light[..., None] if isinstance(light, Tensor) else light
        return _ramp((heat_mm / limit_mm).clip(max=1)[..., None], shade, starts, lengths).to(torch.uint8)
    heat = np.asarray(heat_mm, np.float32)
    shade = np.broadcast_to(np.asarray(light, np.float32), heat.shape)
    pictures = np.zeros((*heat.shape, 3), np.uint8)
    ramps = [(np.float32(start), np.float32(length)) for start, length in zip(RAMP_STARTS, RAMP_LENGTHS, strict=True)]
    for number in np.ndindex(heat.shape[:-2]):  # one by one: what stays in the cache takes two thirds of the time
        moved = bounds(heat[number] > 0)  # most of a picture is not
        value, lit, picture = heat[number][moved] / np.float32(limit_mm), shade[number][moved], pictures[number][moved]
        value = value.clip(max=1)
        for channel, (start, length) in enumerate(ramps):
            there = bounds(value > start)  # up to the start of its ramp a channel is black
            picture[(*there, channel)] = _ramp(value[there], lit[there], start, length).astype(np.uint8)
    return pictures


def _ramp(value: Any, shade: Any, starts: Any, lengths: Any) -> Any:
    """Bytes, still with their fraction, of shares of the limit (arrays or tensors); each step rounds alike."""
    colour = ((value - starts) / lengths).clip(0, 1) * shade
    return colour * 255 + 0.5
