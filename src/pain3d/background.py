"""What stands behind the head, out of focus: small linear pictures that the renderer stretches.

`plain`, `gradient` and `bokeh` are colours and soft shapes. `ward`, `room` and `outdoor` are drawn as places, of simple
shapes with lights brighter than white in them, and then blurred by a disc, as a lens with depth of field does it: so a
window or a lamp grows, and a bar across it thins, as in a photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

BACKGROUNDS = ("plain", "gradient", "bokeh", "ward", "room", "outdoor")
SURROUNDINGS = "environment"  # what stands behind where the light is a place's: see `pain3d.environment.backdrop`
ENVIRONMENT_SHARE = 0.4  # of people, or of pictures, that have it by default
SIZE = 128  # pixels a side: an out-of-focus background has nothing finer
BRIGHTEST = 4.0  # linear; a sky in a window, two stops above white
# Linear rgb. A hospital's walls and curtains are pale and cool or cream; a flat's are anything muted.
WARD_WALLS = ((0.52, 0.53, 0.50), (0.42, 0.50, 0.50), (0.55, 0.51, 0.42), (0.40, 0.47, 0.42), (0.60, 0.60, 0.60))
CURTAINS = ((0.20, 0.36, 0.38), (0.22, 0.38, 0.26), (0.17, 0.26, 0.42), (0.48, 0.40, 0.29), (0.34, 0.28, 0.38))
WOODS = ((0.23, 0.13, 0.065), (0.38, 0.26, 0.15), (0.10, 0.06, 0.035), (0.50, 0.47, 0.42))
HOUSES = ((0.40, 0.36, 0.31), (0.30, 0.16, 0.11), (0.45, 0.44, 0.42))
STEEL = (0.42, 0.43, 0.44)
GREEN = (0.055, 0.115, 0.026)

Floats = npt.NDArray[np.float32]
Colour = Sequence[float] | npt.NDArray[Any]
Places = npt.NDArray[np.float64]
Generator = np.random.Generator


def paint_background(name: str, generator: Generator, blur: float = 0.02) -> Floats:
    """A background [128, 128, 3], linear RGB, 0 to `BRIGHTEST` where 1 is white, by name: one of `BACKGROUNDS`.

    Args:
        name: Which kind.
        generator: Where its random numbers come from.
        blur: Radius of the disc of confusion, as a share of the picture's height, 0–0.2; colours without shapes
            (`plain`, `gradient`) do not show it.

    Raises:
        ValueError: The name is unknown, or the blur out of range.
    """
    import cv2  # here and below: names and lights of a scene are drawn without OpenCV

    if name not in BACKGROUNDS:
        raise ValueError(f"background must be one of {', '.join(BACKGROUNDS)}, got {name!r}")
    if not 0 <= blur <= 0.2:
        raise ValueError(f"blur must be in 0..0.2, got {blur}")
    if name in ("plain", "gradient"):
        return _colours(name, generator)
    picture = {"bokeh": _bokeh, "ward": _ward, "room": _room, "outdoor": _outdoor}[name](generator)
    if name != "bokeh":  # its shapes come as bright as they are
        picture *= np.float32(2 ** generator.uniform(-0.9, 0.3))
    return np.clip(cv2.filter2D(picture, -1, disc(blur * SIZE), borderType=cv2.BORDER_REPLICATE), 0, BRIGHTEST)


@lru_cache(maxsize=1)
def _grid() -> tuple[Floats, Floats]:
    axis = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    return np.meshgrid(axis, axis)


def disc(radius: float) -> Floats:
    """A disc of a radius in pixels as a kernel that sums to 1; its edge is one pixel soft."""
    reach = int(np.ceil(radius))
    across, down = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(across, down), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def _colours(name: str, generator: Generator) -> Floats:
    x, y = _grid()
    base = _muted_colour(generator)
    if name == "plain":
        vignette = 1 - 0.25 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
        return (base * vignette[..., None]).astype(np.float32)
    other = _muted_colour(generator)
    angle = 2 * np.pi * generator.random()
    along = 0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)
    smooth = np.clip(along, 0, 1)[..., None]
    return np.asarray(base * (1 - smooth) + other * smooth, np.float32)


def _bokeh(generator: Generator) -> Floats:
    x, y = _grid()
    picture = _colours("gradient", generator)
    for _ in range(6 + int(6 * generator.random())):  # large soft shapes: furniture, trees, walls
        u = generator.random(6).tolist()
        across, down = np.exp(-(((x[:1] - u[0]) / (0.08 + 0.3 * u[2])) ** 2)), ((y[:, :1] - u[1]) / (0.08 + 0.3 * u[3]))
        shape = across * np.exp(-(down**2))
        step = _floats(_muted_colour(generator)) - picture
        step *= (shape * (0.25 + 0.5 * u[4]))[..., None]
        picture += step
    for _ in range(int(16 * generator.random())):  # discs of confusion
        u = generator.random(5).tolist()
        radius = 0.02 + 0.05 * u[2]
        around = _around(u[1], radius), _around(u[0], radius)
        disc = np.clip((radius - np.hypot(x[around] - u[0], y[around] - u[1])) / 0.012, 0, 1)
        picture[around] += (disc * 0.35 * u[3])[..., None] * _floats((1.0, 0.85, 0.65)) * (0.4 + 0.6 * u[4])
    return np.asarray(picture, np.float32)


def _around(middle: float, reach: float) -> slice:
    """The pixels along a side that lie within a reach of a place, both in shares of the side, and some more."""
    return slice(max(int((middle - reach) * SIZE) - 1, 0), max(int((middle + reach) * SIZE) + 2, 0))


def _ward(generator: Generator) -> Floats:
    """A hospital room: wall with a rail, curtain, window with a blind, ceiling panel, monitor, drip, side of a bed."""
    picture = _wall(generator, WARD_WALLS)
    u = generator.random(12)
    rail = 0.55 + 0.25 * u[0]
    _box(picture, 0, rail, 1, rail + 0.05, _tinted(WOODS[int(u[1] * 4)], generator))
    if u[2] < 0.55:
        _window(picture, generator, blind=u[3] < 0.6)
    if u[4] < 0.45:  # a panel in the ceiling, seen at a slant
        left, wide = 0.1 + 0.5 * u[5], 0.2 + 0.25 * u[6]
        _shape(picture, ((left, 0), (left + wide, 0), (left + 0.85 * wide, 0.09), (left - 0.08, 0.09)), (2.4, 2.5, 2.5))
    if u[7] < 0.45:  # monitor on an arm
        left, top = generator.uniform(0.02, 0.75), generator.uniform(0.05, 0.35)
        _box(picture, left + 0.08, 0, left + 0.11, top, STEEL)
        _box(picture, left, top, left + 0.22, top + 0.17, (0.05, 0.05, 0.055))
        _box(picture, left + 0.015, top + 0.015, left + 0.205, top + 0.15, (0.010, 0.018, 0.030))
        for line, colour in enumerate(((0.05, 0.9, 0.12), (0.05, 0.55, 0.9), (0.9, 0.75, 0.05))):
            height = top + 0.04 + 0.035 * line
            _box(picture, left + 0.02, height, left + 0.2, height + 0.012, colour)
    if u[8] < 0.4:  # drip
        left = generator.uniform(0.05, 0.95)
        _box(picture, left, 0.1, left + 0.012, 1, STEEL)
        _box(picture, left - 0.05, 0.13, left + 0.03, 0.33, (0.62, 0.66, 0.68))
    if u[9] < 0.7:
        _curtain(picture, generator)
    if u[10] < 0.6:  # raised head of the bed, linen and a rail
        top = 0.72 + 0.14 * u[11]
        _box(picture, 0, top, 1, 1, _tinted((0.62, 0.64, 0.66), generator))
        for bar in (0.02, 0.12):
            _box(picture, 0, top - bar, 1, top - bar + 0.022, STEEL)
        for post in generator.random(4):
            _box(picture, float(post), top - 0.12, float(post) + 0.02, 1, STEEL)
    return _falloff(picture, generator)


def _room(generator: Generator) -> Floats:
    """A room at home: wall, window or picture, shelf with books, door, plant, lamp."""
    picture = _wall(generator, [0.45 * c / c.max() for c in (_muted_colour(generator) for _ in range(3))])
    u = generator.random(8)
    if u[0] < 0.5:
        _window(picture, generator, blind=u[1] < 0.25)
    if u[0] < 0.75 and u[1] > 0.4:
        _curtain(picture, generator)
    if u[2] < 0.4:  # door
        left, tone = generator.uniform(-0.1, 0.85), _tinted(WOODS[int(u[3] * 4)], generator)
        _box(picture, left, 0.05, left + 0.3, 1, tone)
        _box(picture, left + 0.03, 0.1, left + 0.27, 1, 0.75 * tone)
    for _ in range(int(3 * u[4])):  # framed pictures
        left, top, wide, high = generator.uniform((0, 0.05, 0.1, 0.1), (0.85, 0.4, 0.25, 0.25))
        _box(picture, left, top, left + wide, top + high, _tinted(WOODS[int(4 * generator.random())], generator))
        _box(picture, left + 0.02, top + 0.02, left + wide - 0.02, top + high - 0.02, _muted_colour(generator))
    if u[5] < 0.55:
        _shelf(picture, generator)
    if u[6] < 0.5:  # plant
        middle, foot = generator.uniform(0.02, 0.98), generator.uniform(0.75, 1.0)
        _leaves(picture, generator, np.array((middle, foot - 0.16)) + 0.09 * generator.standard_normal((26, 2)), 0.035)
    if u[7] < 0.5:  # lamp with a shade that glows, and its light on the wall
        across, up, wide = generator.uniform((0.04, 0.15, 0.07), (0.96, 0.5, 0.12))
        x, y = _grid()
        glow = np.exp(-(((x - across) / 0.28) ** 2 + ((y - up) / 0.25) ** 2))[..., None]
        picture *= 1 + np.float32(1.3) * glow * _floats((1.0, 0.72, 0.42))
        sides = ((across - 0.6 * wide, up - wide), (across + 0.6 * wide, up - wide), (across + wide, up + 0.8 * wide))
        _shape(picture, (*sides, (across - wide, up + 0.8 * wide)), (2.6, 1.7, 0.85))
        _box(picture, across - 0.008, up + 0.8 * wide, across + 0.008, 1, (0.05, 0.045, 0.04))
    return _falloff(picture, generator)


def _outdoor(generator: Generator) -> Floats:
    """Outside: sky, trees or houses, ground, and bright gaps between the leaves."""
    _, y = _grid()
    u = generator.random(8)
    overcast = u[0] < 0.5
    zenith, haze = ((0.75, 0.80, 0.86), (0.95, 0.97, 1.0)) if overcast else ((0.22, 0.42, 0.85), (0.75, 0.86, 1.0))
    sky = np.clip(y / 0.7, 0, 1)[..., None]
    picture = np.asarray(_floats(zenith) * (1 - sky) + _floats(haze) * sky, np.float32)
    horizon = 0.5 + 0.3 * u[1]
    ground = ((0.12, 0.16, 0.05), (0.26, 0.25, 0.23), (0.24, 0.19, 0.13))[int(3 * u[2])]
    if u[3] < 0.5:  # houses
        left = -0.1
        while left < 1:
            wide, top = generator.uniform(0.15, 0.4), generator.uniform(0.05, horizon - 0.1)
            wall = _tinted(HOUSES[int(3 * generator.random())], generator)
            _box(picture, left, top, left + wide, 1, wall)
            for column in np.arange(left + 0.03, left + wide - 0.05, 0.085).tolist():
                for row in np.arange(top + 0.04, horizon, 0.11).tolist():
                    _box(picture, column, row, column + 0.04, row + 0.065, wall * generator.uniform(0.15, 0.5))
            left += wide
    _box(picture, 0, horizon, 1, 1, ground)
    trees = int(u[4] * 5) if u[3] < 0.5 else 3 + int(u[4] * 5)
    for _ in range(trees):
        across, crown, wide = generator.uniform((-0.05, 0.0, 0.10), (1.05, 0.45, 0.24))
        _box(picture, across - 0.015, crown, across + 0.015, horizon + 0.03, (0.035, 0.026, 0.02))
        green = np.array(GREEN) * generator.uniform((0.6, 0.7, 0.6), (1.6, 1.3, 1.4))
        places = np.array((across, crown)) + 0.6 * wide * np.clip(generator.standard_normal((90, 2)), -1.6, 1.6)
        _leaves(picture, generator, places, 0.03, green)
    # Sun through the leaves, or on water and cars.
    glints = generator.uniform((0, 0.05), (1, 0.7), (int(12 * u[5]), 2))
    _leaves(picture, generator, glints, 0.008, (7.0, 6.6, 5.2))
    return _falloff(picture, generator)


def _wall(generator: Generator, colours: Sequence[Colour]) -> Floats:
    colour = _tinted(colours[int(len(colours) * generator.random())], generator)
    return np.asarray(np.broadcast_to(colour, (SIZE, SIZE, 3)), np.float32).copy()


def _window(picture: Floats, generator: Generator, blind: bool) -> None:
    """A bright window with a frame; with a blind it is cut into strips."""
    left, top, wide, high = generator.uniform((-0.1, -0.05, 0.25, 0.4), (0.7, 0.15, 0.5, 0.65))
    sky = _floats(generator.uniform((1.2, 1.3, 1.4), (2.6, 2.8, 3.2)))
    frame = np.float32(generator.uniform(0.45, 0.8)) * np.ones(3, np.float32)
    _box(picture, left - 0.02, top - 0.02, left + wide + 0.02, top + high + 0.05, frame)
    _box(picture, left, top, left + wide, top + high, sky)
    below = top + high * generator.uniform(0.5, 0.8)
    _box(picture, left, below, left + wide, top + high, _floats((0.28, 0.36, 0.22)) * sky)
    if blind:
        for height in np.arange(top, top + high * generator.uniform(0.4, 1.0), 0.03):
            _box(picture, left, height, left + wide, height + 0.016, 0.3 * sky)
    middle = left + wide * generator.uniform(0.35, 0.65)
    _box(picture, middle - 0.01, top, middle + 0.01, top + high, frame * 0.8)


def _curtain(picture: Floats, generator: Generator) -> None:
    """A curtain that hangs from a rail over one side of the picture, in uneven folds."""
    x, _ = _grid()
    wide, foot = generator.uniform(0.18, 0.6), generator.uniform(0.8, 1.2)
    left, right = (0.0, wide) if generator.random() < 0.5 else (1 - wide, 1.0)
    phase, folds = 2 * np.pi * generator.random(3), generator.uniform(9, 16)
    warped = x + 0.02 * np.sin(2 * np.pi * 3.1 * x + phase[0])
    fold = 0.5 * np.sin(2 * np.pi * folds * warped + phase[1]) + 0.25 * np.sin(4.6 * np.pi * folds * x + phase[2])
    colour = _tinted(CURTAINS[int(len(CURTAINS) * generator.random())], generator)
    cloth = (colour * (0.8 + 0.45 * fold)[..., None]).astype(np.float32)
    columns, rows = slice(round(left * SIZE), round(right * SIZE)), slice(0, round(min(foot, 1) * SIZE))
    picture[rows, columns] = cloth[rows, columns]
    _box(picture, 0, 0, 1, 0.018, STEEL)


def _shelf(picture: Floats, generator: Generator) -> None:
    """Boards with books, to one side."""
    left, wide, top = generator.uniform((-0.05, 0.3, 0.0), (0.65, 0.6, 0.3))
    wood = _tinted(WOODS[int(4 * generator.random())], generator)
    _box(picture, left - 0.02, top - 0.02, left + wide + 0.02, 1, 0.5 * wood)
    for board in np.arange(top, 1, 0.24):
        across = left
        while across < left + wide - 0.04:
            thick, high = generator.uniform(0.02, 0.055), generator.uniform(0.13, 0.21)
            if generator.random() < 0.85:
                _box(picture, across, board + 0.22 - high, across + thick, board + 0.22, 0.8 * _muted_colour(generator))
            across += thick
        _box(picture, left, board + 0.22, left + wide, board + 0.24, wood)


def _leaves(picture: Floats, generator: Generator, places: Places, size: float, colour: Colour = GREEN) -> None:
    """Discs at [N, 2] places, in shares of the picture, each of another size and brightness."""
    import cv2

    radii = np.maximum(np.round(size * SIZE * generator.uniform(0.5, 1.4, len(places))), 1).astype(int)
    shades = generator.uniform(0.35, 1.9, (len(places), 1)) * np.array(colour)
    centres = np.round(places * SIZE).astype(int)
    for (x, y), radius, shade in zip(centres.tolist(), radii.tolist(), shades.tolist(), strict=True):
        cv2.circle(picture, (x, y), radius, shade, -1)


def _box(picture: Floats, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """A filled rectangle in shares of the picture; what lies outside is cut off."""
    x0, y0, x1, y1 = (min(max(round(share * SIZE), 0), SIZE) for share in (left, top, right, bottom))
    picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)] = np.asarray(colour, np.float32)


def _shape(picture: Floats, corners: Sequence[tuple[float, float]], colour: Colour) -> None:
    import cv2

    points = np.round(np.array(corners) * SIZE).astype(np.int32)
    cv2.fillConvexPoly(picture, points, [float(c) for c in colour])


def _falloff(picture: Floats, generator: Generator) -> Floats:
    """Light falls off from one side of a place to the other."""
    x, y = _grid()
    across, up = generator.uniform((-0.7, 0.0), (0.7, 0.4))
    return np.asarray(picture * np.exp2(across * (x - 0.5) - up * (y - 0.5)).astype(np.float32)[..., None], np.float32)


def _floats(values: Colour) -> Floats:
    return np.asarray(values, np.float32)


def _tinted(colour: Colour, generator: Generator) -> Floats:
    """The colour, a little off: brightness by a quarter stop, channels by some per cent."""
    off = generator.uniform(-1, 1, 4)
    return np.asarray(np.array(colour) * 2 ** (0.3 * off[0]) * (1 + 0.06 * off[1:]), np.float32)


def _muted_colour(generator: Generator) -> npt.NDArray[np.float64]:
    """A linear colour of low saturation and any brightness."""
    brightness, *tint = generator.random(4)
    return np.asarray((0.03 + 0.45 * brightness**1.5) * (0.85 + 0.3 * np.array(tint)))
