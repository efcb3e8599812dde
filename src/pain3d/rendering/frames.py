"""Renders scenes: all pictures, heatmaps and measurements of one identity in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import paint_background
from pain3d.camera import CONVENTION, Camera
from pain3d.colour import temperature_gains, typology_angle
from pain3d.device import moved
from pain3d.facs.action_units import ActionUnits
from pain3d.head.model import Head
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.sensor import add_sensor_noise
from pain3d.kernels.texturing import Mipmaps
from pain3d.light import Light
from pain3d.mesh import Mesh, Surface
from pain3d.random import keyed_generator, keyed_number
from pain3d.rendering.heatmap import colourise, millimetres_moved, shading
from pain3d.rendering.view import render
from pain3d.scene import CameraSetting, Scene
from pain3d.skin import Skin, SurfaceMaps, surface, surface_maps
from pain3d.skin.crease_weights import creases
from pain3d.skin.painting import paint_mipmaps

TEXTURE_SIZE = 1024  # texels a side: 0.4 mm on the cheek, finer than a pixel at 512²
FRONTAL = CameraSetting()  # of the frontal heatmap
# Where the tone is taken, seen from the front in mm: cheeks below the eyes and bridge of the nose, where no hair grows.
TONE_POINTS = ((-40.0, -2.0), (-30.0, -12.0), (0.0, 25.0), (30.0, -12.0), (40.0, -2.0))
FACE_LANDMARKS = 68  # the first of a head's landmarks, of which the bounding box is taken

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Frames:
    """The pictures of B scenes of one identity, in their order; E expressions in order of first appearance.

    Attributes:
        image: [B, H, W, 3] uint8 sRGB.
        alpha: [B, H, W] uint8 antialiased coverage of the head.
        heatmap: [B, H, W] float32, |expression − neutral| in mm of the point each pixel sees; 0 on background.
        frontal_heatmap: [E, H, W, 3] uint8, the colourised map of each expression from the front, without its pose.
        landmarks_2d: [B, N, 2] pixels, x right and y down.
        landmarks_3d: [B, N, 3] metres, world.
        bbox: [B, 4] x0, y0, x1, y1 in pixels around the 68 facial landmarks; may reach outside the picture.
        coverage: [B] share of pixels that the head covers.
        skin_ita: Individual typology angle in degrees, measured on the painted albedo of cheeks, nose and jaw.
        neutral_vertices: [V, 3] metres, no pose.
        camera: The B cameras.
        timings: Seconds per stage.
    """

    image: Bytes
    alpha: Bytes
    heatmap: Floats
    frontal_heatmap: Bytes
    landmarks_2d: Floats
    landmarks_3d: Floats
    bbox: Floats
    coverage: Floats
    skin_ita: float
    neutral_vertices: Floats
    camera: Camera
    timings: dict[str, float]

    def camera_rows(self) -> list[dict[str, Any]]:
        """Per picture: K, R and t of `world_to_view`, the field of view and the convention they follow."""
        intrinsics = self.camera.intrinsics.tolist()
        rows = []
        for index, transform in enumerate(self.camera.world_to_view.tolist()):
            rows.append(
                {
                    "camera_K": intrinsics[index],
                    "camera_R": [row[:3] for row in transform[:3]],
                    "camera_t": [row[3] for row in transform[:3]],
                    "camera_fov_degrees": float(self.camera.fov_degrees[index]),
                    "camera_convention": CONVENTION,
                }
            )
        return rows


def render_scenes(scenes: Sequence[Scene], head: Head | None = None, light: Light | None = None) -> Frames:
    """Render scenes that share identity, skin and size: one texture, one mesh per expression, one picture per scene.

    The bytes depend on the scenes alone: not on the machine's threads, nor on what else is rendered.

    Args:
        scenes: What to render.
        head: Whose shapes the identities mix; None is the default head.
        light: Takes the place of the scenes' own: 1, or as many as there are scenes. A judge's calibration light.

    Raises:
        ValueError: No scene, or scenes of several identities, skins or sizes, or with and without wrinkles.
    """
    check_scenes(scenes)
    head = head or Head.default()
    clock = _Clock()
    first = scenes[0]
    maps = surface_maps(head, TEXTURE_SIZE)
    texture = paint_mipmaps(maps, first.skin)
    clock.lap("paint")

    expressions = {scene.expression_id: scene for scene in reversed(scenes)}
    order = list(dict.fromkeys(scene.expression_id for scene in scenes))
    moments = [expressions[number] for number in order]
    identity = head.identity_vector(first.identity)
    faces = [moment.au for moment in moments]
    grown = grown_surface(head, first.skin, first.wrinkles)
    clock.lap("surface")
    # The neutral face goes through the same call as the expressions, so that equal faces give equal bits.
    still = head(identity, [ActionUnits(), *faces], surface=grown)
    heat = millimetres_moved(still.vertices[:1], still.vertices[1:])
    posed = pose_head(head, identity, moments, grown)
    clock.lap("deform")

    camera = cameras(scenes)
    mesh_index = torch.tensor([order.index(scene.expression_id) for scene in scenes])
    view = render(
        posed,
        camera,
        light=lights(scenes) if light is None else light,
        texture=texture,
        background=backgrounds(scenes),
        attributes=heat[..., None],
        mesh_index=mesh_index,
        outputs=("image", "alpha", "attributes"),
    )
    assert view.image is not None and view.alpha is not None and view.attributes is not None
    clock.lap("render")
    image = add_noise(view.image, scenes)
    clock.lap("sensor")
    frontal = _frontal_heatmaps(still, heat, first.size)
    clock.lap("heatmap")

    landmarks = posed.vertices[mesh_index][:, head.landmarks]
    pixels = camera.project(landmarks)
    face = pixels[:, :FACE_LANDMARKS]
    alpha = view.alpha.numpy()
    frames = Frames(
        image=image.numpy(),
        alpha=alpha,
        heatmap=view.attributes[..., 0].numpy(),
        frontal_heatmap=frontal,
        landmarks_2d=pixels.numpy(),
        landmarks_3d=landmarks.numpy(),
        bbox=torch.cat([face.amin(1), face.amax(1)], 1).numpy(),
        coverage=np.array([np.count_nonzero(picture >= 128) / picture.size for picture in alpha], np.float32),
        skin_ita=_skin_tone(maps, texture),
        neutral_vertices=still.vertices[0].numpy(),
        camera=camera,
        timings=clock.laps,
    )
    clock.lap("measure")
    return frames


def check_scenes(scenes: Sequence[Scene]) -> None:
    """Raise ValueError unless the scenes can be rendered together."""
    if not scenes:
        raise ValueError("scenes must not be empty")
    for name in ("identity", "skin", "size", "wrinkles"):
        if any(getattr(scene, name) != getattr(scenes[0], name) for scene in scenes):
            raise ValueError(f"scenes must share one {name}")


def grown_surface(head: Head, skin: Skin, wrinkles: bool) -> Surface:
    """A person's surface, or with `wrinkles` False one that neither age nor expression wrinkles."""
    grown = surface(head, skin)
    if wrinkles:
        return grown
    return replace(grown, creases=creases(head).none, resting=torch.zeros_like(grown.resting))


def pose_head(head: Head, identity: Tensor, moments: Sequence[Scene], grown: Surface | None = None) -> Mesh:
    """One posed mesh per expression: its action units, the turn of the neck and the gaze."""

    def turn(pitch: str, yaw: str, roll: str | None) -> Tensor:
        rows = [[getattr(m.pose, pitch), getattr(m.pose, yaw), getattr(m.pose, roll) if roll else 0.0] for m in moments]
        return torch.deg2rad(torch.tensor(rows, dtype=torch.float32)).to(head.device)

    gaze = turn("gaze_pitch", "gaze_yaw", None)
    return head(
        identity,
        [moment.au for moment in moments],
        neck_pose=turn("neck_pitch", "neck_yaw", "neck_roll"),
        leye_pose=gaze,
        reye_pose=gaze,
        surface=grown,
    )


def cameras(scenes: Sequence[Scene]) -> Camera:
    """The camera of each scene."""
    settings = [scene.camera for scene in scenes]
    return Camera.orbit(
        yaw_degrees=[s.yaw for s in settings],
        pitch_degrees=[s.pitch for s in settings],
        roll_degrees=[s.roll for s in settings],
        distance=[s.distance for s in settings],
        fov_degrees=[s.fov for s in settings],
        target=torch.tensor([s.target for s in settings], dtype=torch.float64),
        size=scenes[0].size,
    )


def lights(scenes: Sequence[Scene]) -> Light:
    """The light of each scene, exposed and white-balanced as its sensor has it."""
    settings = [scene.light for scene in scenes]
    names = ("name", "azimuth", "elevation", "intensity", "key_share", "temperature")
    light = Light.presets(*([getattr(setting, name) for setting in settings] for name in names))
    exposure = light.exposure * torch.tensor([2**scene.sensor.exposure for scene in scenes], dtype=torch.float32)
    return replace(light, exposure=exposure).with_gains(white_balance(scenes))


def white_balance(scenes: Sequence[Scene]) -> Tensor:
    """Factors [B, 3] on linear light that turn white into the colour it has in each scene's picture."""
    gains = temperature_gains([scene.sensor.white_balance for scene in scenes])
    return torch.from_numpy(gains.astype(np.float32))


def backgrounds(scenes: Sequence[Scene]) -> Tensor:
    """The background of each scene as the renderer takes it, [B, 128, 128, 3] linear.

    What many scenes share is painted once, and exposed and white-balanced for each of them.
    """
    keys = [(s.background, s.background_blur, s.seed, s.identity_id, s.view_id, s.background_id) for s in scenes]
    painted = {key: _painted_background(*key) for key in set(keys)}
    gains = background_gains(scenes)
    return torch.stack([tone_map(painted[key] * gain) for key, gain in zip(keys, gains, strict=True)])


def background_gains(scenes: Sequence[Scene]) -> Tensor:
    """Factors [B, 3] on the linear light of each scene's background: its exposure and its white balance."""
    exposure = torch.tensor([[2**scene.sensor.exposure] for scene in scenes], dtype=torch.float32)
    return white_balance(scenes) * exposure


def _painted_background(name: str, blur: float, seed: int, *place: int) -> Tensor:
    return torch.from_numpy(paint_background(name, keyed_generator(seed, "background", *place), blur))


def add_noise(image: Tensor, scenes: Sequence[Scene]) -> Tensor:
    """The pictures [B, H, W, 3] as each scene's sensor reads them out; the noise depends on the scene alone."""
    keys = [keyed_number(s.seed, "sensor/noise", s.identity_id, s.expression_id, s.view_id) for s in scenes]
    shot, read = (
        torch.tensor([getattr(s.sensor, name) for s in scenes], dtype=torch.float64) for name in ("shot", "read")
    )
    return add_sensor_noise(image, *moved((shot, read, torch.tensor(keys, dtype=torch.int64)), image.device))


def _frontal_heatmaps(still: Mesh, heat: Tensor, size: int) -> Bytes:
    """Colourised displacement of each expression [E, H, W, 3] from the front, without pose."""
    expressions = Mesh(still.vertices[1:], still.joints[1:], still.topology)
    lit = shading(expressions.vertices, still.topology.faces)
    view = render(
        expressions,
        Camera.orbit(
            target=FRONTAL.target, distance=FRONTAL.distance, fov_degrees=[FRONTAL.fov] * len(heat), size=size
        ),
        attributes=torch.stack([heat, lit], 2),
        outputs=("attributes",),
    )
    assert view.attributes is not None
    seen = view.attributes.numpy()
    return colourise(seen[..., 0], seen[..., 1])


def _skin_tone(maps: SurfaceMaps, texture: Mipmaps) -> float:
    """ITA° of the median of the painted albedo around `TONE_POINTS`."""
    base = texture.texels[0, : texture.height * texture.width, :3].numpy().reshape(texture.height, texture.width, 3)
    reach = max(1, texture.width // 64)
    tones = []
    for column, row in maps.texels_at(np.array(TONE_POINTS, np.float32)).round().astype(int):
        patch = base[max(0, row - reach) : row + reach, max(0, column - reach) : column + reach]
        tones.append(patch.reshape(-1, 3).mean(0, dtype=np.float64))
    return float(typology_angle(np.median(tones, axis=0)))


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        now = perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now
