"""Knows how a picture is taken: the records of camera, pose, light and sensor, and how each is drawn by key.

Nothing here knows the person: exposure, white balance, sharpness, tone and noise are the same draw whoever stands
before the camera. Longer than others, because each record stands beside its limits and how it is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pain3d.background import BACKGROUNDS
from pain3d.camera import FOV, MIN_DISTANCE, MOST_PIXELS
from pain3d.colour import KELVINS, NEUTRAL_KELVIN
from pain3d.environment.embedded import ENVIRONMENTS, embedded_environment
from pain3d.environment.own import OWN
from pain3d.lens import coefficient_limit, pinhole_reach
from pain3d.light import INFRARED, KEY_SIZES, LARGEST_KEY, LIGHTS, key_azimuth
from pain3d.random import keyed_generator
from pain3d.ranges import FAR, Limits, are_numbers, check_fields, check_number, check_whole, told

FRAME_MM = 24.0  # height of a full frame; the square picture is as high, so focal lengths are full-frame equivalents
FOCAL_LENGTH = (35.0, 85.0)  # mm: from a telephone at arm's length to a portrait lens

# Camera and head together stay within ±45° yaw, ±20° pitch and ±10° roll (seen 44.6, 19.5, 9.8 in 20 000 draws): the
# camera takes the first share, counted as the head's angles in the picture, and the neck the second.
CAMERA_YAW, NECK_YAW = 34.5, 10.0  # degrees
CAMERA_PITCH, NECK_PITCH = 13.5, 6.0
CAMERA_ROLL, NECK_ROLL = 4.8, 3.5
GAZE = 6.0
# Who lies is seen from above, from the foot of the bed and from its side, where the head is a quarter turn round. The
# camera alone takes these angles; it takes the yaw of `CAMERA_YAW`, and the neck adds its own.
BEDSIDE_PITCH, BEDSIDE_ROLL = 30.0, 90.0
BEDSIDE_RISE = 0.045  # metres: the frame moves up the head seen steepest from above, or the chest's end shows
FRAME_HEIGHT = (0.26, 0.34)  # metres of scene that the picture is high at the face: higher, and the chest's end shows
# Distortion at the picture's corner, as a share of the way from the middle, of the shortest lens; a lens of twice the
# length has half. Our choice within what lens tests report: 0.65 % of a prime of 43 mm (pentaxforums.com), -3.7 % of
# one like 40 mm before software takes it out (optyczne.pl, Panasonic G 20 mm f/1.7). Barrels are stronger.
BARREL, PINCUSHION = 0.04, 0.02
FRAME_CENTRE = (0.0, 0.006, 0.02)  # metres: the middle of head and collar
FRAME_JITTER = (0.09, 0.05)  # across and up, of the frame's height, to each side
FACE_DEPTH = 0.08  # metres: how much nearer than the centre of the head the face is to the camera
KEY_AZIMUTH = 75.0  # degrees to each side of the face: farther round, the face is a silhouette
# A place goes on around its key, so a face that turns from it is lit by the rest; nobody is taken against the sun.
PLACE_AZIMUTH = 110.0
LAMP_STEP = 0.5  # octaves to each side of the size of a preset's lamp: nearer or farther, a larger or a smaller one
OWN_KEY = (2.0, 32.0)  # degrees: from a sun in haze to a window; nobody who draws scenes looks into own panoramas
MIRED = 22.0  # spread of the white balance and of the key: a mired is 1e6 / kelvin, a just visible step about 5
EXPOSURE = 0.22  # stops to each side: a metered picture
ISO = (50.0, 800.0)
# Cycles a pixel at which lens, antialiasing filter and demosaicing leave half of the contrast: unsharpened cameras
# measure 0.2 to 0.35 (ISO 12233; imatest.com/docs/sharpness). A Gaussian of 0.94 to 0.54 pixels has as much.
MTF50 = (0.2, 0.35)
SOFTEST, SHARPEST = 0.19, 0.5  # what the kernel's five taps can do: beyond, it lets more than half through everywhere
# Slope at middle grey and colourfulness beside plain sRGB. Contrast in skin is as photographs have it at about 1, red
# is still short at 1: from docs/faces.md, "Beside photographs".
CONTRAST = (0.85, 1.2)
SATURATION = (0.9, 1.25)
LEAST_QUALITY = 70  # of a JPEG
SENSOR_NUMBERS = 7  # that a sensor is drawn from
# Pixels a side of the smallest picture that a camera takes; a smaller one is such a picture made small, whose pixels
# are sharper and gather the light of several.
LEAST_TAKEN = 512
BACKGROUND_SHARES = {"plain": 0.12, "gradient": 0.10, "bokeh": 0.18, "ward": 0.25, "room": 0.20, "outdoor": 0.15}
BACKGROUND_BLUR = (0.016, 0.055)  # radius of the disc of confusion, as a share of the picture's height

# What a record takes: whatever a camera can be told (`Camera.orbit`) and a neck turned to; a lens of `FOV`.
TURN = (-1e6, 1e6, "degrees")
TILT = (-89.9, 89.9, "degrees")
KELVIN = (KELVINS[0], KELVINS[1], "K")
CAMERA_LIMITS: Limits = {
    "yaw": TURN, "pitch": TILT, "roll": TURN, "distance": (MIN_DISTANCE, FAR, "metres"),
    "focal_length_mm": (
        FRAME_MM / 2 / math.tan(math.radians(FOV[1]) / 2), FRAME_MM / 2 / math.tan(math.radians(FOV[0]) / 2), "mm",
    ),
}  # fmt: skip
POSE_LIMITS: Limits = {
    name: (-360.0, 360.0, "degrees") for name in ("neck_yaw", "neck_pitch", "neck_roll", "gaze_yaw", "gaze_pitch")
}
LIGHT_LIMITS: Limits = {
    "azimuth": TURN, "elevation": TURN, "intensity": (0.0, 1e3, ""), "key_share": (0.0, 1e3, ""), "temperature": KELVIN,
    "size": (0.0, LARGEST_KEY, "degrees"),
}  # fmt: skip
SENSOR_LIMITS: Limits = {
    "exposure": (-20.0, 20.0, "stops"), "white_balance": KELVIN, "iso": (0.0, 1e6, ""),
    "mtf50": (0.0, SHARPEST, "cycles a pixel"), "contrast": (0.5, 1.5, ""), "saturation": (0.0, 2.0, ""),
}  # fmt: skip


@dataclass(frozen=True)
class CameraSetting:
    """Where the camera stands (degrees, metres) and its lens; see `Camera.orbit`.

    Attributes:
        yaw: Turn around the head.
        pitch: Looks down from above.
        roll: Turn about its axis.
        distance: To `target`, metres.
        focal_length_mm: Full-frame equivalent: the picture is as high as a frame of 24 mm.
        target: Point that it looks at, metres.
        distortion: k1 of the lens, see `pain3d.lens`: below 0 a barrel, above 0 a pincushion, 0 a pinhole. At most a
            tenth of the way from the middle at the picture's corner: ±0.425 at 35 mm, ±2.51 at 85 mm.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    distance: float = 0.8
    focal_length_mm: float = 54.0
    target: tuple[float, float, float] = FRAME_CENTRE
    distortion: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, CAMERA_LIMITS)
        if not are_numbers(self.target, 3, -FAR, FAR):
            raise ValueError(f"target must be three numbers in {-FAR:g}..{FAR:g} metres, got {told(self.target)}")
        if self.distortion != 0:
            most = coefficient_limit(FRAME_MM / 2 / self.focal_length_mm)
            check_number("distortion", self.distortion, -most, most, f"of a lens of {self.focal_length_mm:g} mm")

    @property
    def fov(self) -> float:
        """Vertical field of view, degrees; of the lens as if it did not distort."""
        return math.degrees(2 * math.atan(FRAME_MM / 2 / self.focal_length_mm))

    @property
    def pinhole_fov(self) -> float:
        """Field of view, degrees, of the pinhole that sees all that the lens bends into the picture."""
        if self.distortion == 0:
            return self.fov
        return math.degrees(2 * math.atan(pinhole_reach(self.distortion, FRAME_MM / 2 / self.focal_length_mm)))


@dataclass(frozen=True)
class Pose:
    """Turns of the head against the torso and of the eyes in it, degrees: yaw to the subject's left, pitch down."""

    neck_yaw: float = 0.0
    neck_pitch: float = 0.0
    neck_roll: float = 0.0
    gaze_yaw: float = 0.0
    gaze_pitch: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, POSE_LIMITS)


@dataclass(frozen=True)
class LightSetting:
    """A light preset and its jitter; see `Light.preset`. Or a place: see `Light.environment`, its yaw is `azimuth`.

    `size` is the degrees under which the key is seen: how soft the shadows are that it casts; 0 casts none. The light
    ``infrared`` is at night: lamps beside the lens, azimuth and elevation from there; skin is seen at 850 nm.
    """

    name: str = "studio"
    azimuth: float = 0.0
    elevation: float = 0.0
    intensity: float = 1.0
    key_share: float = 1.0
    temperature: float = NEUTRAL_KELVIN
    size: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in (*LIGHTS, INFRARED) and not self.is_place:
            known = ", ".join((*LIGHTS, *ENVIRONMENTS, INFRARED))
            raise ValueError(f"light must be one of {known}, got {told(self.name)}")
        check_fields(self, LIGHT_LIMITS)
        if self.is_place and self.elevation != 0:
            raise ValueError(f"elevation must be 0 of a place, which stays level, got {told(self.elevation)}")

    @property
    def is_place(self) -> bool:
        """Whether it is the light of an environment."""
        return self.name in ENVIRONMENTS or OWN.fullmatch(self.name) is not None


@dataclass(frozen=True)
class Sensor:
    """What the camera does with the light it gets.

    Attributes:
        exposure: Stops above what the meter says: a factor 2**exposure on light and background.
        white_balance: Correlated colour temperature of white in the picture, kelvin: 6504 is neutral, less is warmer.
        iso: Speed, which decides the noise (`shot` and `read`); 0 is a sensor without noise.
        quality: Of the JPEG, 1–100.
        mtf50: Cycles a pixel of which lens and sensor leave half of the contrast; 0 is no blur.
        contrast: Slope of the tone curve at middle grey; 1 is plain sRGB.
        saturation: Factor on how far a colour is from grey, in linear light; 1 leaves it.
    """

    exposure: float = 0.0
    white_balance: float = NEUTRAL_KELVIN
    iso: float = 0.0
    quality: int = 95
    mtf50: float = 0.0
    contrast: float = 1.0
    saturation: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, SENSOR_LIMITS)
        if 0 < self.mtf50 < SOFTEST:
            raise ValueError(f"mtf50 must be 0 or {SOFTEST} to {SHARPEST} cycles a pixel, got {told(self.mtf50)}")
        check_whole("quality", self.quality, 1, 100)

    @property
    def shot(self) -> float:
        """Variance of the noise per unit of linear light (white is 1): 1 / electrons at white.

        10 000 electrons at ISO 100 are those of a telephone's pixel after demosaicing.
        """
        return 1e-6 * self.iso

    @property
    def read(self) -> float:
        """Standard deviation of the noise in the dark, linear light: 1.5 electrons at ISO 100 and its gain."""
        return 1.5e-6 * self.iso

    @property
    def settings(self) -> tuple[float, float, float, float, float]:
        """What `pain3d.kernels.develop` is told of it."""
        return self.shot, self.read, self.mtf50, self.contrast, self.saturation


def sample_camera(
    seed: int,
    identity_id: int,
    view: int,
    views: int,
    moment: int | None = None,
    bedside: float = 0.0,
    distortion: float = 0.0,
) -> CameraSetting:
    """Draw the camera of a view, or with `moment` that of one expression in it; yaws lie in the view's stratum.

    A share `bedside` of cameras stands at a bed, the lenses of a share `distortion` distort. What else they draw they
    draw alike, so the others stay as they are.
    """
    ids = (identity_id, view) if moment is None else (identity_id, view, moment)
    u = keyed_generator(seed, "camera", *ids).random(7).tolist()
    tilt = None
    if at_bedside(seed, *ids, share=bedside):
        tilt = keyed_generator(seed, "camera/bedside", *ids).random(3).tolist()[1:]
    camera = drawn_camera(u, view, views, tilt)
    if distortion == 0:
        return camera
    lens = keyed_generator(seed, "camera/distortion", *ids).random(2).tolist()
    return replace(camera, distortion=drawn_distortion(lens[1], camera)) if lens[0] < distortion else camera


def at_bedside(seed: int, *place: int, share: float) -> bool:
    """Whether the camera of an identity's view, or of an expression in it, stands at a bed, as a share of them does."""
    return share > 0 and float(keyed_generator(seed, "camera/bedside", *place).random(3)[0]) < share


def drawn_camera(
    u: Sequence[float], view: int = 0, views: int = 1, bed: Sequence[float] | None = None
) -> CameraSetting:
    """The camera that 7 numbers from 0 to 1 tell; at a bed 2 more tell pitch and roll."""
    shortest, longest = FOCAL_LENGTH
    focal_length = round(shortest * (longest / shortest) ** u[1], 2)
    height = FRAME_HEIGHT[0] * (FRAME_HEIGHT[1] / FRAME_HEIGHT[0]) ** u[2]
    # The head turned to one side is the camera turned to the other.
    seen_pitch, seen_roll = (
        (spread(u[3], CAMERA_PITCH), spread(u[4], CAMERA_ROLL))
        if bed is None
        else (spread(bed[0], BEDSIDE_PITCH), spread(bed[1], BEDSIDE_ROLL))
    )
    yaw, pitch, roll = orbit_angles(-CAMERA_YAW * (2 * (view + u[0]) / views - 1), seen_pitch, seen_roll)
    # Along the picture's own axes, so that a turned camera keeps the face where the draw puts it.
    across, up = (spread(v, reach) * height for v, reach in zip(u[5:], FRAME_JITTER, strict=True))
    x, y, z = FRAME_CENTRE
    if bed is not None:
        y += BEDSIDE_RISE * max(0.0, seen_pitch) / BEDSIDE_PITCH
    turn = math.radians(yaw)
    return CameraSetting(
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        distance=round(height * focal_length / FRAME_MM + FACE_DEPTH, 4),
        focal_length_mm=focal_length,
        target=(round(x + across * math.cos(turn), 4), round(y + up, 4), round(z - across * math.sin(turn), 4)),
    )


def drawn_distortion(u: float, camera: CameraSetting) -> float:
    """The coefficient of a camera's lens that a number from 0 to 1 tells: the shorter the lens, the more it bends."""
    at_corner = (u * (BARREL + PINCUSHION) - BARREL) * FOCAL_LENGTH[0] / camera.focal_length_mm
    return round(at_corner / (2 * (FRAME_MM / 2 / camera.focal_length_mm) ** 2), 4)


def orbit_angles(yaw: float, pitch: float, roll: float) -> tuple[float, float, float]:
    """Where a camera must orbit (yaw, pitch, roll) to see an unturned head at these angles, all in degrees.

    The head's turn in the view is R = Ry(yaw) Rx(pitch) Rz(roll), as the columns of a data set have it; the third row
    of R points from the head to the camera.
    """
    (sy, cy), (sp, cp), (sr, cr) = ((math.sin(math.radians(a)), math.cos(math.radians(a))) for a in (yaw, pitch, roll))
    right_y, up_y = cy * -sr + sy * sp * cr, cp * cr
    away = (-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp)
    orbit = (math.atan2(away[0], away[2]), math.asin(away[1]), math.atan2(-right_y, up_y))
    first, second, third = (round(math.degrees(angle), 3) for angle in orbit)
    return first, second, third


def sample_pose(seed: int, identity_id: int, expression: int) -> Pose:
    """Draw neck and gaze of an expression."""
    return drawn_pose(keyed_generator(seed, "pose", identity_id, expression).random(5).tolist())


def drawn_pose(u: Sequence[float]) -> Pose:
    """The pose that 5 numbers from 0 to 1 tell."""
    reach = (NECK_YAW, NECK_PITCH, NECK_ROLL, GAZE, GAZE / 2)
    return Pose(*(spread(v, r) for v, r in zip(u, reach, strict=True)))


def sample_light(seed: int, identity_id: int, *moment: int) -> LightSetting:
    """Draw the light of an expression, or of an expression and a view. The key's side is even, whatever the preset."""
    return drawn_light(keyed_generator(seed, "light", identity_id, *moment).random(6).tolist())


def drawn_light(u: Sequence[float]) -> LightSetting:
    """The light that 6 numbers from 0 to 1 tell."""
    name = LIGHTS[min(int(u[0] * len(LIGHTS)), len(LIGHTS) - 1)]
    return LightSetting(
        name=name,
        azimuth=round((2 * u[1] - 1) * KEY_AZIMUTH - key_azimuth(name), 3),
        elevation=spread(u[2], 12.0),
        intensity=round(1.1 + 0.3 * u[3], 4),
        key_share=round(0.5 + 0.6 * u[4], 4),
        temperature=near_neutral(u[5]),
    )


def sample_environment(
    seed: int, identity_id: int, *moment: int, share: float, names: Sequence[str] = ENVIRONMENTS
) -> LightSetting | None:
    """Draw which place lights an identity, or a moment of it; None, which has 1 - `share` of chances, is a preset."""
    return drawn_environment(
        keyed_generator(seed, "environment", identity_id, *moment).random(4).tolist(), share, names
    )


def drawn_environment(u: Sequence[float], share: float, names: Sequence[str] = ENVIRONMENTS) -> LightSetting | None:
    """What 4 numbers from 0 to 1 tell of `sample_environment`."""
    if u[0] >= share:
        return None
    name = names[min(int(u[1] * len(names)), len(names) - 1)]
    # The key of an own place stands before the face: so nobody who draws scenes must have it.
    x, _, z = embedded_environment(name).key_direction if name in ENVIRONMENTS else (0.0, 0.0, 1.0)
    return LightSetting(
        name=name,
        azimuth=round((2 * u[2] - 1) * PLACE_AZIMUTH - math.degrees(math.atan2(x, z)), 3),
        intensity=round(1.1 + 0.3 * u[3], 4),
    )


def sample_key_size(name: str, seed: int, identity_id: int, *moment: int) -> float:
    """Draw how large the key of a light is, degrees; that of a place that comes along is as its panorama shows it."""
    if name in ENVIRONMENTS:
        return round(embedded_environment(name).key_degrees, 3)
    return drawn_key_size(name, float(keyed_generator(seed, "light/size", identity_id, *moment).random()))


def drawn_key_size(name: str, u: float) -> float:
    """Degrees that a number from 0 to 1 tells of `sample_key_size`, of a preset or an own place."""
    if name in LIGHTS:
        return float(round(KEY_SIZES[name] * 2 ** (LAMP_STEP * (2 * u - 1)), 3))
    return float(round(OWN_KEY[0] * (OWN_KEY[1] / OWN_KEY[0]) ** u, 3))


def sample_sensor(
    seed: int, identity_id: int, expression: int, view: int, quality: int = 95, size: int = LEAST_TAKEN
) -> Sensor:
    """Draw exposure, white balance, noise, sharpness, tone and JPEG quality of one picture of `size` pixels a side.

    `quality` is the best. Pixels of a picture under `LEAST_TAKEN` are sharper and have less noise.

    Raises:
        ValueError: `size` is not 1 to `MOST_PIXELS`.
    """
    check_whole("size", size, 1, MOST_PIXELS)
    u = keyed_generator(seed, "sensor", identity_id, expression, view).random(SENSOR_NUMBERS).tolist()
    return drawn_sensor(u, quality, size)


def drawn_sensor(u: Sequence[float], quality: int, size: int) -> Sensor:
    """The sensor that `SENSOR_NUMBERS` numbers from 0 to 1 tell, for a picture of `size` pixels a side."""
    worst = min(LEAST_QUALITY, quality)
    smaller = max(1.0, LEAST_TAKEN / size)
    return Sensor(
        exposure=spread(u[0], EXPOSURE),
        white_balance=near_neutral(u[1]),
        iso=round(ISO[0] * (ISO[1] / ISO[0]) ** u[2] / smaller**2, 1),
        quality=worst + min(int(u[3] * (quality - worst + 1)), quality - worst),
        mtf50=min(between(MTF50, u[4]) * smaller, SHARPEST),
        contrast=between(CONTRAST, u[5]),
        saturation=between(SATURATION, u[6]),
    )


def sample_background(seed: int, *place: int) -> tuple[str, float]:
    """Draw the name of what stands behind, and its blur as a share of the picture's height."""
    u = keyed_generator(seed, "background/name", *place).random(2).tolist()
    shares = np.cumsum([BACKGROUND_SHARES[name] for name in BACKGROUNDS])
    sharpest, softest = BACKGROUND_BLUR
    name = BACKGROUNDS[int(np.searchsorted(shares, u[0]).clip(0, len(shares) - 1))]
    return name, round(sharpest * (softest / sharpest) ** u[1], 4)


def near_neutral(u: float) -> float:
    """A colour temperature, kelvin, evenly within `MIRED` of neutral."""
    return round(1e6 / (1e6 / NEUTRAL_KELVIN + (2 * u - 1) * MIRED))


def between(ends: tuple[float, float], u: float) -> float:
    """Evenly between two numbers, thousandths."""
    return round(ends[0] + (ends[1] - ends[0]) * u, 3)


def spread(u: float, reach: float) -> float:
    """Evenly within `reach` of 0, thousandths."""
    return round((2 * u - 1) * reach, 3)
