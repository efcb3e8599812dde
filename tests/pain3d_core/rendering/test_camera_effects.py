"""What else a camera does changes pixels and no label, is drawn by key and share, and depends on nobody beside."""

import json
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from pain3d import Head, Scene, demographic_grid, render_scenes, sample_scenes
from pain3d.colour import srgb_to_linear, typology_angle
from pain3d.light import INFRARED
from pain3d.optics import EFFECTS, STROKES, Optics, backdrop_blur, night_sensor
from pain3d.rendering.frames import Clock, Frames, RenderedPeople, render_people, render_setup
from pain3d.rendering.infrared import HAIR, TEXTILE, TISSUE, lamp_light, reflected
from pain3d.rendering.people import paint_persons
from pain3d.rendering.scene_inputs import inputs_of
from pain3d.rendering.shots import cameras, shots_of
from pain3d.scene import GROWN
from pain3d.setting import CameraSetting, LightSetting, Pose, Sensor
from pain3d.worn import BED, GLASSES

SIZE = 96
LABELS = ("heatmap", "landmarks", "alpha", "depth", "parts", "frontal_heatmap", "tone")
NIGHT = LightSetting(INFRARED, azimuth=3.0, elevation=2.0, size=3.0)
PORTRAIT = CameraSetting(yaw=25.0, distance=1.1, focal_length_mm=85.0)


def still(number: int = 0, size: int = SIZE, hair: str = "painted") -> Scene:
    """A person at rest, half turned, before a lens and a sensor that do nothing."""
    cell = demographic_grid(2, 4)[number]
    scene = sample_scenes(
        seed=4, identity_id=number, cell=cell, expressions=0, views=1, size=size, environments=0, hair=hair
    )[0]
    return replace(scene, camera=PORTRAIT, sensor=Sensor(), pose=Pose())


def by_night(scene: Scene) -> Scene:
    return replace(scene, light=NIGHT, sensor=night_sensor(scene.sensor))


def effects(scene: Scene) -> list[Scene]:
    """The scene plain, shaken, out of focus, at night, and all at once, at a bed and with glasses."""
    shaken, opened = Optics(shake=0.02, shake_angle=30.0), Optics(f_number=1.4)
    all_at_once = replace(by_night(scene), optics=replace(shaken, f_number=1.4), worn=(BED, *scene.worn))
    return [scene, replace(scene, optics=shaken), replace(scene, optics=opened), by_night(scene), all_at_once]


def rendered(people: Sequence[Sequence[Scene]], dense: Sequence[str] = ("depth", "parts")) -> RenderedPeople:
    head = Head.default()
    return render_people([inputs_of(scenes, head) for scenes in people], render_setup(head), Clock(), dense=dense)


def test_no_label_changes_and_nobody_changes_who_is_beside() -> None:
    people = [effects(replace(still(0, hair=GROWN), worn=(GLASSES,))), [*effects(still(1, hair=GROWN))[3:0:-1]]]
    apart = [rendered([scenes]) for scenes in people]
    for number, picture in enumerate(apart[0].image[1:], 1):
        changed = (picture != apart[0].image[0]).any(-1).float().mean()
        assert changed > 0.05, people[0][number].effects
    for one in apart:
        for name in LABELS[:-2]:
            labels = getattr(one, name)
            assert all(torch.equal(labels[0], other) for other in labels[1:]), name
    plain = rendered([people[0][:1]])
    for name in ("image", *LABELS):
        assert torch.equal(getattr(apart[0], name)[:1], getattr(plain, name)), name
    together = rendered(people)
    for name in ("image", *LABELS):
        assert torch.equal(getattr(together, name), torch.cat([getattr(one, name) for one in apart])), name
    assert rendered([people[0][1:]], ()).depth is None  # it was needed, and nobody asked for it


def test_a_lens_that_distorts_bends_what_night_and_hand_left() -> None:
    scene = replace(still(), background="plain")
    bent = [replace(one, camera=replace(PORTRAIT, distortion=-2.0)) for one in effects(scene)]
    seen, alone = rendered([bent]), rendered([bent[-1:]])
    for name in LABELS[:-2]:
        labels = getattr(seen, name)
        assert all(torch.equal(labels[0], other) for other in labels[1:]), name
    for name in ("image", *LABELS[:-2]):
        assert torch.equal(getattr(seen, name)[-1:], getattr(alone, name)), name
    straight = rendered([effects(scene)])
    assert not torch.equal(seen.alpha[0], straight.alpha[0])
    matrix, lens = cameras(bent[:1]).intrinsics[0].numpy(), np.array([-2.0, 0.0, 0.0, 0.0])
    matrix[:2, 2] -= 0.5  # OpenCV's pixels have their centres at whole numbers
    for number, (picture, other) in enumerate(zip(seen.image.numpy(), straight.image.numpy(), strict=True)):
        ways = (picture, cv2.undistort(picture, matrix, lens))
        apart, straightened = (np.abs(one.astype(float) - other)[8:-8, 8:-8].mean() for one in ways)
        assert straightened < 0.65 * apart, bent[number].effects  # seen 0.32 to 0.55
    closed = rendered([[bent[0], replace(bent[0], optics=Optics(f_number=64.0))]])
    assert torch.equal(closed.image[0], closed.image[1])


def test_a_closed_lens_and_a_still_hand_leave_every_byte() -> None:
    scene = still()
    plain, closed = render_scenes([scene, replace(scene, optics=Optics(f_number=64.0, shake_angle=10.0))]).image
    assert np.array_equal(plain, closed)
    # What is put together of head and background is what the renderer puts together, but for a rounding; along the
    # outline it takes the background of the pixel beside.
    frames = render_scenes([scene, replace(scene, optics=Optics(shake=1e-6))])
    apart = np.abs(np.diff(frames.image.astype(int), axis=0))[0].max(-1)
    outline = (frames.alpha[0] > 0) & (frames.alpha[0] < 255)
    assert apart[~outline].max() <= 1 and apart[outline].max() <= 5 and apart.mean() < 0.05


def test_eyes_are_sharp_and_ears_soft() -> None:
    scene = replace(still(size=256), background="plain")
    frames = render_scenes(
        [scene, replace(scene, optics=Optics(f_number=1.4)), replace(scene, optics=Optics(f_number=8.0))]
    )

    def detail(picture: int, points: slice, reach: int = 10) -> float:
        """How much neighbouring pixels differ around the middle of landmarks."""
        x, y = frames.landmarks_2d[picture, points].mean(0).round().astype(int)
        patch = frames.image[picture, y - reach : y + reach, x - reach : x + reach].astype(float).mean(-1)
        return float(np.abs(np.diff(patch, axis=0)).mean() + np.abs(np.diff(patch, axis=1)).mean())

    def kept(picture: int, points: slice) -> float:
        return detail(picture, points) / detail(0, points)

    eyes, beside_the_ear = slice(42, 48), slice(16, 17)
    assert kept(1, eyes) > 0.9 and kept(1, beside_the_ear) < 0.75 * kept(1, eyes)
    assert kept(2, eyes) > 0.97 and kept(2, beside_the_ear) > 0.9


def skin_light(frames: Frames) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Linear light of the cheeks, mean of each picture: below the eyes, above the corners of the mouth."""
    made = []
    for image, points in zip(frames.image, frames.landmarks_2d, strict=True):
        x, y = (points[[46, 54]].mean(0)).round().astype(int)
        made.append(srgb_to_linear(image[y - 3 : y + 3, x - 3 : x + 3] / 255).mean((0, 1)))
    return np.array(made)


def test_at_night_skins_of_all_tones_are_alike_and_hair_is_darker() -> None:
    scene = still()
    day, night = [], []
    for melanin in (0.1, 0.9):
        skin = replace(scene.skin, melanin=melanin, hair_colour=(0.02, 0.014, 0.01), haemoglobin=0.6)
        own = replace(scene, skin=skin, sensor=Sensor(iso=20.0))  # noise is grey too
        frames = render_scenes([own, by_night(own)])
        light = skin_light(frames)
        day.append(light[0])
        night.append(light[1])
        grey = frames.image[1]
        assert np.array_equal(grey[..., 0], grey[..., 1]) and np.array_equal(grey[..., 0], grey[..., 2])
        assert frames.skin_ita == pytest.approx(render_scenes([own]).skin_ita)  # what the skin is by day
    angles = [[float(typology_angle(one / max(1.0, one.max()))) for one in two] for two in (day, night)]
    assert angles[0][0] - angles[0][1] > 60 > 3 * (angles[1][0] - angles[1][1]) > 0
    # Black hair is lighter than by day, and darker than the darkest skin; shirts are pale.
    black, dark_skin, navy = (float(reflected(torch.tensor([red]), matter)) for red, matter in (
        (0.02, HAIR), (0.08, TISSUE), (0.03, TEXTILE)))  # fmt: skip
    assert 0.03 < black < 0.1 < 0.25 < dark_skin and navy > 0.35


def test_lamps_stand_beside_the_lens_and_what_is_far_is_dark() -> None:
    scene = still()
    turned = [
        by_night(replace(scene, camera=replace(PORTRAIT, yaw=yaw, pitch=-12.0, roll=80.0))) for yaw in (-60, 0, 60)
    ]
    camera = cameras(turned)
    light = lamp_light([one.light for one in turned], camera)
    towards = camera.position - torch.tensor([PORTRAIT.target])
    cosine = (light.key_direction * towards / towards.norm(dim=1, keepdim=True)).sum(1)
    assert bool((cosine > 0.995).all()) and bool((cosine < 0.9999).all())
    assert torch.equal(shots_of(turned, effects=True).light.key_direction, light.key_direction)
    plain = replace(scene, background="plain")
    frames = render_scenes([plain, by_night(plain)])
    behind = srgb_to_linear(frames.image[1][:10, :10] / 255).mean()
    assert behind < 0.2 * skin_light(frames)[1].mean()


def test_effects_are_drawn_by_share_and_key() -> None:
    def drawn(number: int, cameras: str = "free", **shares: float) -> tuple[Scene, ...]:
        cell = demographic_grid(number + 1, 7)[number]
        return sample_scenes(seed=7, identity_id=number, cell=cell, expressions=9, views=2, cameras=cameras, **shares)

    shares = {"shake": 0.5, "defocus": 0.3, "infrared": 0.2}
    scenes = [scene for number in range(30) for scene in drawn(number, **shares)]
    plain = [scene for number in range(30) for scene in drawn(number)]
    for name, share in zip(EFFECTS, shares.values(), strict=True):
        # Five standard deviations of a share of 600 are 0.1 at most.
        assert np.mean([name in scene.effects for scene in scenes]) == pytest.approx(share, abs=0.1)
    for scene, other in zip(scenes, plain, strict=True):
        assert other.effects == () and scene.au == other.au and scene.camera == other.camera
        if not scene.is_night:
            same = replace(other, optics=scene.optics, background_blur=scene.background_blur)
            assert scene == same and scene.background_blur >= other.background_blur
        else:
            assert scene.sensor.iso == pytest.approx(8 * other.sensor.iso) and not scene.light.is_place
        if scene.optics.f_number:
            assert scene.background_blur >= backdrop_blur(scene.camera, scene.optics.f_number)
        else:
            assert scene.is_night or scene.background_blur == other.background_blur
        assert scene.optics.shake == 0 or STROKES[0] <= scene.optics.shake <= STROKES[1]
    alone = [scene.optics for scene in drawn(3, shake=0.5)]
    assert alone == [replace(scene.optics, f_number=0.0) for scene in drawn(3, **shares)]
    for number in range(8):  # with fixed cameras night and lens belong to a view
        kinds = {(s.view_id, s.is_night, s.optics.f_number) for s in drawn(number, "fixed", defocus=0.5, infrared=0.5)}
        assert len(kinds) == 2
    assert any(scene.is_night and scene.light.size == 0 for scene in drawn(0, infrared=1.0, shadows=False))
    with pytest.raises(ValueError, match=r"^defocus must be in 0..1, got 1.5"):
        drawn(0, defocus=1.5)


def test_a_scene_says_what_its_camera_does() -> None:
    scene = effects(still())[-1]
    assert scene.effects == EFFECTS and Scene.from_json(scene.to_json()) == scene
    plain = still()
    assert plain.effects == () and "optics" not in json.loads(plain.to_json())
    assert Scene.from_json(plain.to_json()).optics == Optics()
    with pytest.raises(ValueError, match=r"^not a scene: shake must be in"):
        Scene.from_json(scene.to_json().replace('"shake":0.02', '"shake":2'))
    with pytest.raises(ValueError, match=r"^distance must be 0.425 metres or more with an f_number, got 0.4$"):
        replace(scene, camera=replace(scene.camera, distance=0.4))
    with pytest.raises(ValueError, match="no environment where the light is the preset infrared"):
        replace(scene, background="environment")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_who_renders_in_another_way_refuses_them(number: int) -> None:
    scene = effects(still())[number]
    with pytest.raises(ValueError, match=f"must be plain pictures, got {scene.effects[0]}: only render_scenes"):
        shots_of([still(), scene])
    paint_persons(Head.default(), [scene], frame=SIZE)  # who is painted by day, whatever a camera does
