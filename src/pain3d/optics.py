"""Knows what else a camera does: its aperture, a hand that shakes, and the infrared lamps of a camera at night.

Each is drawn by a key of its own, so a picture that has none is what it was.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from pain3d.colour import NEUTRAL_KELVIN
from pain3d.light import INFRARED
from pain3d.random import keyed_generator
from pain3d.ranges import Limits, check_fields, check_number
from pain3d.setting import FRAME_MM, CameraSetting, LightSetting, Sensor, spread

SHAKEN, DEFOCUSED = "shake", "defocus"
EFFECTS = (SHAKEN, DEFOCUSED, INFRARED)

# Full-frame f-numbers of lenses that are opened wide, evenly in stops.
APERTURES = (1.4, 4.0)
# Metres from the eyes to what stands behind them: a wall of a ward or a room, which is nearer than a street.
BACKGROUND_METRES = 2.0
# By the old rule a hand holds a lens still for 1 / (focal length in mm) s: then 0.03 mm of a full frame are smeared,
# the disc that counts as sharp. A choice: exposures 4 to 16 times as long, as rooms ask for; 0.12 to 0.48 mm of 24 mm.
STROKES = (0.005, 0.02)
# Lamps stand in a ring or a block beside the lens: degrees to each side, seen from the face.
LAMPS_BESIDE = 4.0
LAMPS_SIZE = 3.0  # degrees under which they are seen
LAMPS_INTENSITY = (0.8, 1.1)  # beside a metered picture
NIGHT_GAIN = 8.0  # how much faster a sensor is set at night: three stops
OPTICS_LIMITS: Limits = {
    "f_number": (0.0, 1e6, ""), "shake": (0.0, 0.1, "of the picture's height"), "shake_angle": (0.0, 180.0, "degrees"),
}  # fmt: skip
NEAREST_FOCUS = 5.0  # focal lengths from which on an open lens is drawn: nearer ones are no thin lenses
WIDEST = 0.5  # f-number: no lens in air is faster


@dataclass(frozen=True)
class Optics:
    """What a lens and a hand do to a picture beside the blur of any lens (`Sensor.mtf50`).

    Attributes:
        f_number: Of a full-frame lens that is focused on the eyes, `WIDEST` or more; 0 leaves everything sharp.
        shake: Length of the straight stroke that a point is smeared to while the shutter is open, as a share of the
            picture's height; its middle is where labels say.
        shake_angle: Of the stroke, degrees from the picture's x axis towards its top.
    """

    f_number: float = 0.0
    shake: float = 0.0
    shake_angle: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, OPTICS_LIMITS)
        if 0 < self.f_number < WIDEST:
            raise ValueError(f"f_number must be 0 or {WIDEST} and more, got {self.f_number}")


NO_OPTICS = Optics()


def confusion(focal_length_mm: float, f_number: float, focus: float, distance: float) -> float:
    """Diameter of the disc that a point is seen as, as a share of the picture's height.

    A thin lens of aperture A = f / N draws a point at distance D as c = A · |D − d| / D · f / (d − f), where d is in
    focus (Greenleaf 1950, "Photographic Optics").

    Args:
        focal_length_mm: Full-frame equivalent f.
        f_number: N, above 0.
        focus: d, metres, beyond the focal length.
        distance: D, metres.
    """
    focal = focal_length_mm * 1e-3
    blurred = focal / f_number * abs(distance - focus) / distance * focal / (focus - focal)
    return blurred * 1e3 / FRAME_MM


def backdrop_blur(camera: CameraSetting, f_number: float) -> float:
    """Radius of the disc of confusion of what stands `BACKGROUND_METRES` behind, as a share of the picture's height."""
    beyond = camera.distance + BACKGROUND_METRES
    return round(confusion(camera.focal_length_mm, f_number, camera.distance, beyond) / 2, 4)


def sample_shake(seed: int, identity_id: int, expression: int, view: int, share: float) -> tuple[float, float]:
    """Draw the stroke of a picture, length and angle as `Optics` has them; it is 0, 0 but for a share of them."""
    if check_share("shake", share) == 0:
        return 0.0, 0.0
    shaken, length, angle = keyed_generator(seed, "shake", identity_id, expression, view).random(3).tolist()
    if shaken >= share:
        return 0.0, 0.0
    shortest, longest = STROKES
    return round(shortest * (longest / shortest) ** length, 5), round(180 * angle, 2)


def sample_f_number(seed: int, *place: int, share: float) -> float:
    """Draw the f-number of an identity's view, or of an expression in it; 0 but for a share of them."""
    if check_share("defocus", share) == 0:
        return 0.0
    shallow, stop = keyed_generator(seed, "defocus", *place).random(2).tolist()
    widest, narrowest = APERTURES
    return round(widest * (narrowest / widest) ** stop, 2) if shallow < share else 0.0


def sample_infrared(seed: int, *place: int, share: float) -> LightSetting | None:
    """Draw the lamps of a camera that sees an identity's view, or an expression in it, at night; None is by day."""
    if check_share("infrared", share) == 0:
        return None
    dark, across, up, bright = keyed_generator(seed, INFRARED, *place).random(4).tolist()
    if dark >= share:
        return None
    dimmest, brightest = LAMPS_INTENSITY
    return LightSetting(
        name=INFRARED,
        azimuth=spread(across, LAMPS_BESIDE),
        elevation=spread(up, LAMPS_BESIDE),
        intensity=round(dimmest + (brightest - dimmest) * bright, 4),
        size=LAMPS_SIZE,
    )


def night_sensor(sensor: Sensor) -> Sensor:
    """A sensor as it is set at night: faster; of grey light no white balance is taken."""
    return replace(sensor, iso=round(sensor.iso * NIGHT_GAIN, 1), white_balance=NEUTRAL_KELVIN)


def check_share(name: str, share: float) -> float:
    """The share. Raises ValueError, in one line, if it is none."""
    check_number(name, share, 0, 1)
    return share


def focal_length(fov_degrees: float) -> float:
    """Full-frame equivalent, mm, of a vertical field of view."""
    return FRAME_MM / 2 / math.tan(math.radians(fov_degrees) / 2)
