"""`pain3d.fit`: pictures in; who it is, what the face does and how it is lit out. By points first, then by pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pain3d.facs.action_units import AU_NUMBERS
from pain3d.fitting.appearance import LAMPS, light_prior, skin_prior
from pain3d.fitting.objective import Objective, Slope
from pain3d.fitting.parameters import Block, numbers_of
from pain3d.fitting.picture import Picture, model_points, square_picture
from pain3d.fitting.result import Fit, fit_of
from pain3d.fitting.shape import shape_prior
from pain3d.fitting.solver import minimise
from pain3d.fitting.texture import texture_correction
from pain3d.fitting.viewpoint import first_camera
from pain3d.head.model import Head

Doubles = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]

SIZE: Final = 112  # pixels a side of what is compared: 1.8 mm each
LEAST_SIDE, MOST_SIDE = 32, 16384  # pixels of a picture
DEVIATION: Final = 1.0  # pixels, of landmarks of whom nobody says how sure they are
# MediaPipe's points against the head's: 3.9 % of the distance of the outer eye corners in the median (docs/faces.md),
# which of a normal deviation in two dimensions is 1.18.
DETECTED, OUTER_EYES = 0.033, (36, 45)
DOUBTS: Final = (16.0, 4.0, 1.0)  # factors on it, in turn: a first shape is far off and every point looks wrong
POINT_ROUNDS, LIGHT_ROUNDS, ROUNDS = 4, 2, 12
KEY_AZIMUTHS: Final = (-45.0, 0.0, 45.0)  # from which the light is sought
LID_ROUNDS: Final = 3
FIRST_LID: Final = "ibug_37"  # a landmark on the upper lid

Watch = Callable[[str, Slope], None]


def fit(
    images: Sequence[Pixels | Tensor] | Pixels | Tensor,
    head: Head | None = None,
    *,
    landmarks: Sequence[npt.ArrayLike | None] | None = None,
    neutral: Pixels | Tensor | None = None,
    neutral_landmarks: npt.ArrayLike | None = None,
    views: bool = False,
    smooth: float = 0.0,
    landmark_deviation: float = DEVIATION,
    rounds: int = ROUNDS,
    texture: bool = True,
    watch: Watch | None = None,
    names: Sequence[str] | None = None,
) -> Fit:
    """Find the face that pictures show: identity, action units per side, pose, focal length, light and skin.

    Analysis by synthesis, from the neutral mean head: first the camera and the shape that the points ask for, then the
    light, then everything by comparing rendered with seen pixels, one Gauss–Newton step after the other. What is found
    is the most probable face under broad priors (`ShapePrior`, `SkinPrior`, `LightPrior`, `Parameters`); a standard
    deviation says how far each action unit could be elsewhere.

    Args:
        images: N pictures of one person, each [H, W, 3] uint8 sRGB, H and W at least 32; or [N, H, W, 3].
        head: Whose shapes are mixed, on the CPU; None is the default head.
        landmarks: Of each picture [Q, 2] pixels, x right and y down: the first Q of the head's landmarks (68 iBUG
            points, then corners of the eyes and pupils), NaN where unknown; or None. A picture without gets the five
            points of CenterFace, and the 68 of MediaPipe if that is installed too.
        neutral: [H, W, 3] the same person without expression: a picture whose action units are 0.
        neutral_landmarks: As `landmarks`, of the neutral picture.
        views: The pictures show one moment from several sides; else each is a moment of its own.
        smooth: Of moments that follow each other: steps by which an action unit changes, standard deviation; 0 doesn't
            care.
        landmark_deviation: Pixels by which given landmarks are off, standard deviation: half a pixel for a renderer's.
        rounds: Steps at most on the pixels; 0 stops at the points and the light.
        texture: Whether the texture is corrected beyond the skins that are drawn, by the renderer's gradients.
        watch: Called with the stage's name and each `Slope` on the way.
        names: What errors call the pictures, the neutral one last; None counts them.

    Returns:
        Fit.

    Gradients: none.

    Raises:
        ValueError: A picture or its landmarks are not of that form; no face is found in a picture, or several.
        RefusedError: No landmarks were given and the detector is not installed.
    """
    head = head or Head.default()
    neutrals = None if neutral is None else (neutral, neutral_landmarks)
    if neutral is None and neutral_landmarks is not None:
        raise ValueError("neutral_landmarks go with a neutral picture")
    pictures = _pictures(images, head, landmarks, neutrals, landmark_deviation, names)
    count = len(pictures) - (neutral is not None)
    moments = [0] * count if views else list(range(count))
    still = [max(moments) + 1] if neutral is not None else []
    priors = shape_prior(head), skin_prior(head), light_prior()
    numbers = numbers_of([*moments, *still], still, priors[2], smooth)
    values = numbers.start()

    def heard(stage: str) -> Callable[[Slope], None] | None:
        return None if watch is None else lambda slope: watch(stage, slope)

    points = Objective(head, numbers, pictures, priors, 0)
    for place, picture in enumerate(pictures):
        known = picture.trust > 0
        mean_head = model_points(head, points.meshes(values[None], numbers.moments[place]).vertices)[0]
        at = numbers.slices["camera", place]
        values[at] = first_camera(values[at], mean_head[known], picture.points[known])
    everything = list(numbers.slices)
    bare = [block for block in everything if block[0] not in ("light", "tone")]
    for doubt in DOUBTS:
        objective = Objective(head, numbers, pictures, priors, 0, doubt)
        values = minimise(objective, values, bare, POINT_ROUNDS, heard("points"))
    seen = Objective(head, numbers, pictures, priors, SIZE)
    values = _lids_tried(seen, _lit(seen, values))
    values = minimise(seen, values, everything, rounds, heard("pixels"))
    correction = texture_correction(seen, values) if texture else None
    return fit_of(seen, values, seen.slope(values, everything), still, correction)


def _lit(objective: Objective, values: Doubles) -> Doubles:
    """Values whose light and skin are those of the pictures, sought from several sides."""
    numbers = objective.numbers
    free: list[Block] = [block for block in numbers.slices if block[0] in ("light", "tone")]
    found = []
    for azimuth in KEY_AZIMUTHS:
        start = values.copy()
        for block in free:
            if block[0] == "light":
                start[numbers.slices[block].start + LAMPS] = azimuth
        found.append(minimise(objective, start, free, LIGHT_ROUNDS))
    return minimise(objective, min(found, key=objective.cost), free, LIGHT_ROUNDS)


def _lids_tried(objective: Objective, values: Doubles) -> Doubles:
    """Values whose lids are open or shut as the pixels say, in each moment of which no landmark of the eyes tells."""
    numbers, row = objective.numbers, AU_NUMBERS.index(43)
    first_lid = objective.head.landmark_names.index(FIRST_LID)
    told = {m for m, picture in zip(numbers.moments, objective.pictures, strict=True) if picture.trust[first_lid] > 0}
    for moment in [m for name, m in numbers.slices if name == "au" and m not in told]:
        free = [block for block in numbers.slices if block[0] != "shape" and block[0] != "axes"]
        found = []
        for shut in (0.0, 1.0):
            start, at = values.copy(), numbers.slices["au", moment].start + 2 * row
            start[at : at + 2] = shut
            found.append(minimise(objective, start, free, LID_ROUNDS))
        values = min(found, key=objective.cost)
    return values


def _pictures(
    images: Sequence[Pixels | Tensor] | Pixels | Tensor,
    head: Head,
    landmarks: Sequence[npt.ArrayLike | None] | None,
    neutral: tuple[Pixels | Tensor, npt.ArrayLike | None] | None,
    deviation: float,
    called: Sequence[str] | None,
) -> list[Picture]:
    """The pictures, checked and cut, the neutral one last. Raises ValueError, naming the picture."""
    if not 0 < deviation < np.inf:
        raise ValueError(f"landmark_deviation must be above 0 pixels, got {deviation}")
    given, names = list(images), [f"images[{place}]" for place in range(len(images))]
    if not given:
        raise ValueError("images must hold a picture, there is none")
    found = [None] * len(given) if landmarks is None else list(landmarks)
    if len(found) != len(given):
        raise ValueError(f"landmarks must be given for each of {len(given)} pictures, or be None, got {len(found)}")
    if neutral is not None:
        given, found, names = [*given, neutral[0]], [*found, neutral[1]], [*names, "neutral"]
    checked = [_pixels(name, image) for name, image in zip(called or names, given, strict=True)]
    most = len(head.landmark_names)
    made = []
    for name, pixels, points in zip(called or names, checked, found, strict=True):
        marks, five, off = None, None, deviation
        if points is None:
            marks, five = _detected(name, pixels)
            off = (
                deviation
                if marks is None
                else DETECTED * float(np.linalg.norm(marks[OUTER_EYES[0]] - marks[OUTER_EYES[1]]))
            )
        else:
            marks = np.asarray(points, float)
            if marks.ndim != 2 or marks.shape[1] != 2 or len(marks) > most or np.isinf(marks).any():
                raise ValueError(f"landmarks of {name} must be [up to {most}, 2] pixels, got {list(marks.shape)}")
        made.append(square_picture(name, pixels, marks, five, off, head))
    return made


def _pixels(name: str, image: Pixels | Tensor) -> Pixels:
    pixels = image.numpy() if isinstance(image, Tensor) else np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(f"{name} must be [H, W, 3] uint8, got {list(pixels.shape)} {pixels.dtype}")
    if not LEAST_SIDE <= min(pixels.shape[:2]) <= max(pixels.shape[:2]) <= MOST_SIDE:
        raise ValueError(f"{name} must be {LEAST_SIDE} to {MOST_SIDE} pixels a side, got {list(pixels.shape[:2])}")
    return pixels


def _detected(name: str, pixels: Pixels) -> tuple[Doubles | None, Doubles]:
    """MediaPipe's 68 points of the one face in a picture, if it is installed and sees it, and CenterFace's five."""
    from pain3d.face.detect import find_faces
    from pain3d.face.landmarker import Landmarker, installed

    faces = find_faces(pixels)
    if len(faces) != 1:
        what = f"{len(faces)} faces found, cut the picture to one of them" if faces else "no face found"
        raise ValueError(f"{name}: {what}, or give landmarks")
    if not installed():
        return None, faces[0].points
    with Landmarker() as landmarker:
        reading = landmarker.read(pixels)
    return (None if reading is None else reading.ibug.astype(float)), faces[0].points
