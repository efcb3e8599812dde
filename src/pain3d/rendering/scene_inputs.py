"""Knows what the scenes of one identity become before anything is rendered: numbers on the host, the same everywhere.

A device gets them as they are, so cameras, lights, backgrounds and keys are bit for bit those of any other device.
They are NumPy's, so that another process can make them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import SURROUNDINGS, paint_background
from pain3d.camera import CONVENTION, Camera
from pain3d.environment.backdrop import paint_backdrop
from pain3d.environment.own import place_of
from pain3d.environment.panorama import Environment
from pain3d.hair import Hair, dress, haired_surface, scalp_of
from pain3d.head.model import Head
from pain3d.light import INFRARED, lit_by
from pain3d.mesh import Surface
from pain3d.optics import Optics
from pain3d.random import keyed_generator
from pain3d.rendering.bending import FINER, Lens
from pain3d.rendering.shots import shots_of
from pain3d.scene import GROWN, Scene
from pain3d.setting import CameraSetting, LightSetting
from pain3d.skin import Skin, surface
from pain3d.skin.appearance import in_gown
from pain3d.skin.crease_weights import creases
from pain3d.worn import BED, COVERINGS, GOWN, SCARF
from pain3d.worn.bed import Bed, make_bed
from pain3d.worn.dressing import Worn, wear

if TYPE_CHECKING:
    from pain3d.skin.sketch import Sketch

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Whole = npt.NDArray[np.int64]
PRESSED = "buzz"  # hair as it is painted below a cap: its line shows, and it stands off by 2 mm at most


@dataclass(frozen=True)
class SceneInputs:
    """What rendering reads of B scenes of one identity with E expressions.

    Attributes:
        skin: Who is painted.
        size: Pixels a side.
        wrinkles: As in `Scene`.
        identity: [1, S] coefficients of the identity shapes.
        au: [E, A, 2] intensities.
        neck: [E, 3] axis-angle, radians.
        gaze: [E, 3] axis-angle of both eyes, radians.
        expression: [B] which of the E each scene shows.
        growth: [1, V] metres, see `Surface`; so are resting [1, V, 2], depth [1] and cover [1].
        resting: See growth.
        depth: See growth.
        cover: See growth.
        world_to_view: [B, 4, 4] of the cameras.
        fov_degrees: [B] likewise.
        distortion: [B] likewise, k1.
        pinhole_fov: [B] `CameraSetting.pinhole_fov`, degrees.
        light: sh [B, 9, 3], key_direction [B, 3], key_colour [B, 3] and exposure [B], as the sensor has them, and
            key_size [B].
        painted: [K, 128, 128, 3] linear, the different backgrounds; or plates of any size.
        background: [B] which of the K stands behind.
        gains: [B, 3] on the background's light.
        keys: [B] of the sensor's noise.
        sensor: [B, 5] `Sensor.settings`.
        sketch: Of the skin; None is drawn when it is painted.
        albedo: [S, S, 3] float32 linear or uint8 sRGB, in place of the painted one, see `pain3d.paint`; None: painted.
        hair: Ribbons that lie over the head, see `pain3d.hair`; None: what is painted is all.
        worn: What lies on the head beside, see `pain3d.worn`; None is nothing.
        bed: What the head lies in; None is none.
        lying: [B] whether each scene shows the bed.
        optics: B of them; None is those of plain pictures.
        night: [B] whether each scene is seen at night, by infrared lamps; None is none.
    """

    skin: Skin
    size: int
    wrinkles: bool
    identity: Floats
    au: Floats
    neck: Floats
    gaze: Floats
    expression: Whole
    growth: Floats
    resting: Floats
    depth: Floats
    cover: Floats
    world_to_view: Floats
    fov_degrees: Floats
    distortion: Floats
    pinhole_fov: Floats
    light: tuple[Floats, Floats, Floats, Floats, Floats]
    painted: Floats
    background: Whole
    gains: Floats
    keys: Whole
    sensor: Doubles
    sketch: Sketch | None = None
    albedo: Floats | Bytes | None = None
    hair: Hair | None = None
    worn: Worn | None = None
    bed: Bed | None = None
    lying: npt.NDArray[np.bool_] | None = None
    optics: tuple[Optics, ...] | None = None
    night: npt.NDArray[np.bool_] | None = None

    def camera(self) -> Camera:
        """The B cameras, on the host."""
        view, fov = torch.from_numpy(self.world_to_view), torch.from_numpy(self.fov_degrees)
        distortion = torch.from_numpy(self.distortion) if self.distortion.any() else None
        return Camera(view, fov, (self.size, self.size), distortion=distortion)

    def pinholes(self) -> Camera:
        """What sees all that the B lenses bend into their pictures: no distortion, and `FINER` times as many pixels."""
        view, fov = torch.from_numpy(self.world_to_view), torch.from_numpy(self.pinhole_fov)
        return Camera(view, fov, (self.size * FINER, self.size * FINER))

    def lenses(self) -> list[Lens | None]:
        """The B lenses, None where they don't distort."""
        fields = zip(self.distortion.tolist(), self.fov_degrees.tolist(), self.pinhole_fov.tolist(), strict=True)
        return [
            Lens(k1, *(math.tan(math.radians(degrees) / 2) for degrees in seen)) if k1 else None for k1, *seen in fields
        ]


def inputs_of(
    scenes: Sequence[Scene],
    head: Head,
    textures: Mapping[str, Tensor] | None = None,
    plates: Mapping[int, Tensor] | None = None,
    places: Mapping[str, Environment] | None = None,
) -> SceneInputs:
    """What rendering reads of scenes that share identity, skin, texture, size, wrinkles and kind of hair.

    Args:
        scenes: B of them, of E expressions, which are numbered in order of first appearance.
        head: On the CPU.
        textures: Of scenes that name one: name → albedo, see `pain3d.paint`.
        plates: View → [h, w, 3] linear, all of one size, in place of the scenes' own backgrounds.
        places: Own ones that light scenes, by name, see `pain3d.environment.own`.

    Raises:
        ValueError: No scene, or scenes that can't be rendered together; or a texture that isn't among `textures`, a
            view that isn't among `plates`, or a place that isn't among `places`.
    """
    check_scenes(scenes)
    albedo = _named_texture(scenes[0].texture, textures)
    first, shots = scenes[0], shots_of(scenes, places, effects=True)
    own = clothed_skin(first)
    order = list(dict.fromkeys(scene.expression_id for scene in scenes))
    expression = np.array([order.index(scene.expression_id) for scene in scenes], np.int64)
    moments = np.unique(expression, return_index=True)[1]  # the first scene of each
    ribbons = wears_ribbons(first)
    grown = surface_of(head, first)
    identity = head.identity_vector(first.identity)
    painted, background = own_backgrounds(scenes, places) if plates is None else plated(scenes, plates)
    light = shots.light
    key_size = torch.zeros(len(scenes)) if light.key_size is None else light.key_size
    assert grown.cover is not None
    key = first.seed, first.identity_id
    lying = np.array([BED in scene.worn for scene in scenes])
    bed = None
    if lying.any():
        with torch.no_grad():
            bed = make_bed(*key, head(identity, surface=grown).vertices[0])
    return SceneInputs(
        skin=painted_skin(first),
        size=first.size,
        wrinkles=first.wrinkles,
        identity=identity.numpy(),
        au=shots.au.numpy()[moments],
        neck=shots.neck.numpy()[moments],
        gaze=shots.gaze.numpy()[moments],
        expression=expression,
        growth=grown.growth.numpy(),
        resting=grown.resting.numpy(),
        depth=grown.depth.numpy(),
        cover=grown.cover.numpy(),
        world_to_view=shots.camera.world_to_view.numpy(),
        fov_degrees=shots.camera.fov_degrees.numpy(),
        distortion=np.array([scene.camera.distortion for scene in scenes], np.float32),
        pinhole_fov=np.array([scene.camera.pinhole_fov for scene in scenes], np.float32),
        light=(
            light.sh.numpy(),
            light.key_direction.numpy(),
            light.key_colour.numpy(),
            light.exposure.numpy(),
            key_size.numpy(),
        ),
        painted=painted,
        background=background,
        gains=shots.gains.numpy(),
        keys=shots.noise_key.numpy(),
        sensor=shots.sensor.numpy(),
        albedo=albedo,
        hair=dress(head, own, identity, grown, first.size) if ribbons else None,
        worn=wear(head, first.worn, key, identity, grown),
        bed=bed,
        lying=lying,
        optics=tuple(scene.optics for scene in scenes),
        night=np.array([scene.light.name == INFRARED for scene in scenes]),
    )


def clothed_skin(scene: Scene) -> Skin:
    """The skin of a scene in what the person wears, a shirt or a gown, and with hair that fits below a covering."""
    skin = in_gown(scene.skin) if GOWN in scene.worn else scene.skin
    if not _covered(scene):
        return skin
    pressed = skin if skin.hair_style == "bald" else replace(skin, hair_style=PRESSED)
    return replace(pressed, hair_density=0.0) if SCARF in scene.worn else pressed


def wears_ribbons(scene: Scene) -> bool:
    """Whether hair lies over the head of a scene: where it is grown, and nothing covers it."""
    return scene.hair == GROWN and not _covered(scene)


def surface_of(head: Head, scene: Scene) -> Surface:
    """The surface of who a scene shows, as clothed; below a scarf the ears are laid."""
    grown = grown_surface(head, clothed_skin(scene), scene.wrinkles, wears_ribbons(scene))
    assert grown.cover is not None
    return replace(grown, cover=torch.ones_like(grown.cover)) if SCARF in scene.worn else grown


def _covered(scene: Scene) -> bool:
    return any(name in scene.worn for name in COVERINGS)


def painted_skin(scene: Scene) -> Skin:
    """The skin of a scene as it is painted: without the strands that hair takes the place of where it is grown."""
    skin = clothed_skin(scene)
    return scalp_of(skin) if wears_ribbons(scene) else skin


def _named_texture(name: str, textures: Mapping[str, Tensor] | None) -> Floats | Bytes | None:
    if not name:
        return None
    if textures is None or name not in textures:
        raise ValueError(f"textures must hold {name}, which the scene names")
    return np.asarray(textures[name])


def check_scenes(scenes: Sequence[Scene]) -> None:
    """Raise ValueError unless the scenes can be rendered together."""
    if not scenes:
        raise ValueError("scenes must not be empty")
    for name in ("identity", "skin", "texture", "size", "wrinkles", "hair"):
        if any(getattr(scene, name) != getattr(scenes[0], name) for scene in scenes):
            raise ValueError(f"scenes must share one {name}")
    if len({tuple(name for name in scene.worn if name != BED) for scene in scenes}) > 1:
        raise ValueError("scenes must share what is worn, but for the bed")


def grown_surface(head: Head, skin: Skin, wrinkles: bool, ribbons: bool = False) -> Surface:
    """A person's surface, or with `wrinkles` False one that neither age nor expression wrinkles.

    With `ribbons` it is that below hair which is grown.
    """
    grown = haired_surface(head, skin) if ribbons else surface(head, skin)
    if wrinkles:
        return grown
    return replace(grown, creases=creases(head).none, resting=torch.zeros_like(grown.resting))


def camera_rows(camera: Camera) -> list[dict[str, Any]]:
    """Per picture: K, distortion, R and t of `world_to_view`, the field of view and the convention they follow."""
    intrinsics = camera.intrinsics.tolist()
    distortion = [0.0] * len(camera) if camera.distortion is None else camera.distortion.tolist()
    rows = []
    for index, transform in enumerate(camera.world_to_view.tolist()):
        rows.append(
            {
                "camera_K": intrinsics[index],
                "camera_distortion": distortion[index],
                "camera_R": [row[:3] for row in transform[:3]],
                "camera_t": [row[3] for row in transform[:3]],
                "camera_fov_degrees": float(camera.fov_degrees[index]),
                "camera_convention": CONVENTION,
            }
        )
    return rows


def own_backgrounds(scenes: Sequence[Scene], places: Mapping[str, Environment] | None = None) -> tuple[Floats, Whole]:
    """The scenes' own backgrounds [K, 128, 128, 3], linear, and which of the K stands behind each [B].

    They are drawn, or what a camera sees of the place that lights the scene; of own ones it is one of `places`.
    """
    stands = [_stand(scene) for scene in scenes]
    order = {stand: number for number, stand in enumerate(dict.fromkeys(stands))}
    return np.stack([_painted(stand, places) for stand in order]), np.array([order[one] for one in stands], np.int64)


Drawn = tuple[str, float, int, int, int, int]  # name, blur, and the numbers that key it
Seen = tuple[LightSetting, CameraSetting, float]


def _stand(scene: Scene) -> Drawn | Seen:
    """What decides the background of a scene, and nothing else."""
    if scene.background == SURROUNDINGS:
        return scene.light, scene.camera, scene.background_blur
    key = scene.seed, scene.identity_id, scene.view_id, scene.background_id
    return scene.background, scene.background_blur, *key


def _painted(stand: Drawn | Seen, places: Mapping[str, Environment] | None) -> Floats:
    if len(stand) == 3:
        light, camera, blur = stand
        place = place_of(light.name, places)
        *_, gains = lit_by(place, light.azimuth, light.key_share, light.temperature)
        return paint_backdrop(place, light.azimuth, camera, blur, gains * light.intensity)
    name, blur, seed, *key = stand
    return paint_background(name, keyed_generator(seed, "background", *key), blur)


def plated(scenes: Sequence[Scene], plates: Mapping[int, Tensor]) -> tuple[Floats, Whole]:
    """The plates of the scenes' views [K, h, w, 3], and which of them stands behind each [B].

    Args:
        scenes: B of them.
        plates: View → [h, w, 3] linear, all of one size.

    Raises:
        ValueError: A view isn't among `plates`.
    """
    order = {view: number for number, view in enumerate(dict.fromkeys(scene.view_id for scene in scenes))}
    missing = next((view for view in order if view not in plates), None)
    if missing is not None:
        raise ValueError(f"plates must hold view {missing}")
    painted = np.stack([plates[view].numpy() for view in order]).astype(np.float32)
    return painted, np.array([order[scene.view_id] for scene in scenes], np.int64)
