"""Knows hair that is tied at the back of the head: a tail that hangs from there, or a knot that is wound."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.hair.hull import Floats, Hull

TIE = (0.0, 40.0, -104.0)  # mm on the template
BUNDLE, FULLEST = 8.0, 1.5  # mm around its middle in which a tail leaves the tie; how much wider it gets
STANDS_OUT = 20.0  # mm that a tail stands off before it falls
KNOT_SINKS = 0.62  # of its radius that a knot's middle lies outside the tie


def tail(
    size: tuple[int, float, float], points: int, hull: Hull, generator: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """What is tied: points [N, P, 3] mm, directions outward [N, P, 3], and how far outside each strand lies [N], 0–1.

    Args:
        size: N, and mm: length of a tail, or minus the radius of a knot.
        points: P of a strand.
        hull: From which it stands off.
        generator: Of the person.
    """
    count, length, _ = size
    t = np.linspace(0, 1, points)[None, :, None]
    tie = np.array(TIE)
    off, normal = hull.look(tie[None])
    start, away = tie - normal[0] * (off[0] - 6.0), normal[0] * np.array([1.0, 0.3, 1.0])
    layer = np.sqrt(generator.random(count))
    aim, turned = _unit(generator.standard_normal((count, 3))), _unit(generator.standard_normal((count, 3)))
    first, second, third = generator.random((3, count, 1, 1))
    if length < 0:  # great circles and their neighbours, tilted about the way out
        axis = _unit(normal + 0.55 * aim)
        side = _unit(np.cross(axis, turned))
        angle, tilt = (1.6 + 1.4 * first) * t + 2 * np.pi * second, 1.8 * third - 0.9
        around = np.cos(angle) * side[:, None] + np.sin(angle) * np.cross(axis, side)[:, None]
        sphere = np.cos(tilt) * around + np.sin(tilt) * axis[:, None]
        radius = -length * (0.75 + 0.25 * layer)[:, None, None]
        return start - normal[0] * length * KNOT_SINKS + radius * sphere, sphere, layer
    bundle = (BUNDLE * layer[:, None] * aim)[:, None] * (1 + FULLEST * np.sin(np.pi * t) - 0.5 * t)
    fall = length * (0.8 + 0.25 * first) * (t - 0.12 * (1 - np.exp(-6 * t)))
    wave = 3.0 * np.sin(2 * np.pi * (t + second)) * aim[:, None]
    path = start + bundle + wave + STANDS_OUT * (1 - np.exp(-5 * t)) * away - fall * np.array([0.0, 1.0, 0.0])
    return path, np.broadcast_to(_unit(aim + 0.4 * away)[:, None], path.shape), layer


def until(points: Floats, end: Floats) -> Floats:
    """Strands [N, P, 3] up to a place [N] among their points, in as many points."""
    steps = points.shape[1] - 1
    rows = np.arange(len(points))
    places = end[:, None] * np.linspace(0, 1, steps + 1)[None]
    low = np.minimum(places.astype(np.int64), steps - 1)
    part = (places - low)[..., None]
    return np.asarray(points[rows[:, None], low] * (1 - part) + points[rows[:, None], low + 1] * part)


def _unit(vectors: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(vectors / np.maximum(np.sqrt((vectors**2).sum(-1, keepdims=True)), 1e-9), np.float64)
