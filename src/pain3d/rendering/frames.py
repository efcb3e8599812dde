"""Renders scenes: all pictures, heatmaps and measurements of one identity, or of many at a time on a device.

What the host can know beforehand is in `SceneInputs`; everything from there to the bytes stays on the device. No bit
depends on who else is rendered in the same call. Longer than others, because what goes into the one pass and what comes
out of it are described beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from operator import itemgetter
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.device import map_tensors, moved_at_once
from pain3d.environment.panorama import Environment
from pain3d.face.square import EYE_CORNERS
from pain3d.hair import hair_layers, on_device
from pain3d.head.model import Head
from pain3d.kernels._described import described
from pain3d.kernels.layering import join_layers
from pain3d.kernels.sensor import develop
from pain3d.landmarks import FACE_LANDMARKS
from pain3d.light import Light
from pain3d.mesh import Mesh, Surface
from pain3d.rendering.heatmap import colourise, millimetres_moved, shading
from pain3d.rendering.infrared import HAIR, TEXTILE, Matter, night_texture, reflected
from pain3d.rendering.renderer import prepared_topology
from pain3d.rendering.scene_inputs import SceneInputs, camera_rows, inputs_of
from pain3d.rendering.takes import Kind, take_pictures, takes_of
from pain3d.rendering.tone import skin_tone
from pain3d.rendering.view import View, render
from pain3d.scene import CameraSetting, Scene
from pain3d.skin import SurfaceMaps, surface_maps
from pain3d.skin.crease_weights import creases
from pain3d.skin.maps import tone_texels
from pain3d.skin.painting import paint_mipmaps, paint_people
from pain3d.worn.dressing import worn_layers

if TYPE_CHECKING:
    from pain3d.kernels.layering import Layers
    from pain3d.kernels.rendering.topology import PreparedTopology
    from pain3d.kernels.texturing import Mipmaps

TEXTURE_SIZE = 1024  # texels a side: 0.4 mm on the cheek, finer than a pixel at 512²
FRONTAL = CameraSetting()  # of the frontal heatmap
JOINED = (
    "identity", "au", "neck", "gaze", "growth", "resting", "depth", "cover", "painted", "gains", "keys", "sensor",
)  # fields of SceneInputs that follow each other as they are  # fmt: skip
DENSE_OUTPUTS = {"depth": "depth", "parts": "part_ids"}  # of `pain3d.render`
CORNERS = slice(EYE_CORNERS[0], EYE_CORNERS[-1] + 1, 3)  # a list of numbers would be copied to the device at each call
COVERED = 128  # alpha from which a pixel counts as the head's

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Measures:
    """What is measured of B scenes of one identity, on the host.

    Attributes:
        landmarks_2d: [B, N, 2] pixels, x right and y down.
        landmarks_3d: [B, N, 3] metres, world.
        bbox: [B, 4] x0, y0, x1, y1 in pixels around the 68 facial landmarks; may reach outside the picture.
        coverage: [B] share of pixels that the head covers.
        skin_ita: Individual typology angle in degrees, measured on the painted albedo of cheeks, nose and jaw.
        neutral_vertices: [V, 3] metres, no pose.
        camera: The B cameras.
    """

    __repr__ = described

    landmarks_2d: Floats
    landmarks_3d: Floats
    bbox: Floats
    coverage: Floats
    skin_ita: float
    neutral_vertices: Floats
    camera: Camera

    def camera_rows(self) -> list[dict[str, Any]]:
        """See `pain3d.rendering.scene_inputs.camera_rows`."""
        return camera_rows(self.camera)


@dataclass(frozen=True)
class Frames(Measures):
    """The pictures of B scenes of one identity, in their order; E expressions in order of first appearance.

    Attributes:
        image: [B, H, W, 3] uint8 sRGB.
        alpha: [B, H, W] uint8 antialiased coverage of the head.
        heatmap: [B, H, W] float32, |expression − neutral| in mm of the point each pixel sees; 0 on background.
        frontal_heatmap: [E, H, W, 3] uint8, the colourised map of each expression from the front, without its pose.
        timings: Seconds per stage.
    """

    __repr__ = described

    image: Bytes
    alpha: Bytes
    heatmap: Floats
    frontal_heatmap: Bytes
    timings: dict[str, float]


@dataclass(frozen=True)
class RenderSetup:
    """What all people of a head share, on its device.

    Attributes:
        head: There.
        maps: Of the head, `TEXTURE_SIZE` texels a side.
        prepared: What the Triton kernels read of its topology.
    """

    head: Head
    maps: SurfaceMaps
    prepared: PreparedTopology | None


def render_setup(head: Head, device: torch.device | str = "cpu") -> RenderSetup:
    """Move a head that lies on the CPU to a device, with what people share there."""
    there = head.on(device)
    return RenderSetup(there, surface_maps(head, TEXTURE_SIZE), prepared_topology(there))


@dataclass(frozen=True)
class RenderedPeople:
    """The pictures of P people, who follow each other in all of it: B scenes and E expressions, all on one device.

    Attributes:
        image: [B, H, W, 3] uint8 sRGB.
        alpha: [B, H, W] uint8.
        heatmap: [B, H, W] millimetres.
        frontal_heatmap: [E, H, W, 3] uint8.
        landmarks: [B, N, 3] metres, world.
        neutral_vertices: [P, V, 3] metres.
        tone: [P, T, 3] linear albedo of the texels of `tone_texels`.
        depth: [B, H, W] metres along the view axis, inf on background; None unless it was asked for.
        parts: [B, H, W] uint8 index of the part of the head, 255 on background; None unless it was asked for.
    """

    image: Tensor
    alpha: Tensor
    heatmap: Tensor
    frontal_heatmap: Tensor
    landmarks: Tensor
    neutral_vertices: Tensor
    tone: Tensor
    depth: Tensor | None = None
    parts: Tensor | None = None


def render_scenes(
    scenes: Sequence[Scene],
    head: Head | None = None,
    light: Light | None = None,
    textures: Mapping[str, Tensor] | None = None,
    plates: Mapping[int, Tensor] | None = None,
    environments: Mapping[str, Environment] | None = None,
) -> Frames:
    """Render scenes that share identity, skin and size: one texture, one mesh per expression, one picture per scene.

    Hair that is grown is laid over the head; labels and heat maps are those of the skin below it. The bytes depend on
    the scenes alone: not on the machine's threads, nor on what else is rendered.

    Args:
        scenes: What to render.
        head: Whose shapes the identities mix; None is the default head.
        light: Takes the place of the scenes' own: 1, or as many as there are scenes. A judge's calibration light.
        textures: Of scenes that name one (`Scene.texture`): name → albedo [S, S, 3], as `pain3d.paint` takes it.
        plates: View → [h, w, 3] linear, all of one size, behind all its scenes in place of their own backgrounds;
            the scenes' exposure and white balance apply. A scene doesn't say that it was rendered with one.
        environments: Own places that light scenes (``own:…``), by name: of `pain3d.environment.own.read_places`.

    Gradients: none.

    Raises:
        ValueError: No scene, or scenes of several identities, skins, textures, sizes or kinds of hair, or with and
            without wrinkles; or a texture that isn't among `textures`, a view not among `plates`, or a place not among
            `environments`.
    """
    head = head or Head.default()
    clock = Clock()
    inputs = inputs_of(scenes, head, textures, plates, environments)
    clock.lap("inputs")
    setup = render_setup(head)
    shots = render_people([inputs], setup, clock, light)
    alpha = shots.alpha.numpy()
    covered = np.array([np.count_nonzero(picture >= COVERED) for picture in alpha])
    tone, neutral = shots.tone[0].numpy(), shots.neutral_vertices[0].numpy()
    measured = measure(inputs, shots.landmarks, covered, tone, neutral, setup.maps)
    clock.lap("measure")
    return Frames(
        **vars(measured),
        image=shots.image.numpy(),
        alpha=alpha,
        heatmap=shots.heatmap.numpy(),
        frontal_heatmap=shots.frontal_heatmap.numpy(),
        timings=clock.laps,
    )


def render_people(
    people: Sequence[SceneInputs],
    setup: RenderSetup,
    clock: Clock,
    light: Light | None = None,
    dense: Sequence[str] = (),
) -> RenderedPeople:
    """Render the scenes of P people of one size, on the head's device; nothing waits for it.

    Args:
        people: Inputs of each, all with or all without wrinkles and ribbons, whatever they wear.
        setup: Of the head whose shapes they mix.
        clock: Which is told of each stage; of a device that works on by itself, how long the host took to ask.
        light: In place of their own: 1, or one for each scene.
        dense: Of depth and parts, what is wanted too.
    """
    head, device = setup.head, setup.head.device
    # In the same call whatever their number, so that equal faces give equal bits; on a CPU one alone needs no index.
    alone = len(people) == 1 and device.type == "cpu"
    skins = [one.skin for one in people]
    albedos = [None if one.albedo is None else torch.from_numpy(one.albedo) for one in people]
    if alone:
        texture = paint_mipmaps(setup.maps, skins[0], albedos[0])  # in memory that the thread keeps
    else:
        sketches = [one.sketch for one in people if one.sketch is not None]
        texture = paint_people(setup.maps, skins, device, sketches or None, albedos)
    clock.lap("paint")

    here = _joined(people, setup.maps)
    there = moved_at_once(here, device)
    grown = _surface(there, head, people[0].wrinkles)
    neutral_au = torch.zeros_like(there["au"][:1]).expand(len(people), -1, -1)
    everybody = torch.arange(len(people), device=device)
    person = there["person"]
    still = head(
        there["identity"], torch.cat([neutral_au, there["au"]]), surface=grown,
        person_index=None if alone else torch.cat([everybody, person]),
    )  # fmt: skip
    neutral, faces = still.vertices[: len(people)], still.vertices[len(people) :]
    heat = millimetres_moved(neutral if alone else neutral[person], faces)
    posed = head(
        there["identity"], there["au"], neck_pose=there["neck"], leye_pose=there["gaze"], reye_pose=there["gaze"],
        surface=grown, person_index=None if alone else person,
    )  # fmt: skip
    layers = _layers(people, head, posed)
    clock.lap("deform")

    outputs = ("alpha", "attributes", *(DENSE_OUTPUTS[name] for name in dense))
    takes = takes_of(people)

    @cache
    def reflecting(night: bool) -> tuple[Mipmaps, Layers | None]:
        if not night:
            return texture, layers
        return night_texture(setup.maps, skins, texture), _layers(people, head, posed, night=True)

    def look(kind: Kind) -> Callable[..., View]:
        painted, laid = reflecting(kind.night)
        return partial(
            render,
            posed,
            texture=painted,
            attributes=heat[..., None],
            layers=laid,
            outputs=("linear", "depth", *outputs) if kind.worked else ("image", *outputs),
            prepared=setup.prepared,
        )

    def eyes() -> Tensor:
        corners = head.landmark_points(posed.vertices, CORNERS)
        return ((corners[:, 0] + corners[:, 1] + corners[:, 2] + corners[:, 3]) / 4)[there["expression"]]

    view = take_pictures(takes, look, here, there, light, eyes)
    assert view.image is not None and view.alpha is not None and view.attributes is not None
    clock.lap("render")
    image = develop(view.image, there["sensor"], there["keys"])
    if any(take.night for take in takes):  # a sensor without colours has one noise
        grey = moved_at_once(torch.tensor([take.night for take in takes]), device)[:, None, None, None]
        image = torch.where(grey, image[..., 1:2], image)
    clock.lap("sensor")
    lit = shading(faces, still.topology.faces)
    seen = render(
        Mesh(faces, still.joints[len(people) :], still.topology),
        there["front"],
        light=map_tensors(there["light"], itemgetter(slice(1))),  # which nobody sees
        attributes=torch.stack([heat, lit], 2),
        outputs=("attributes",),
        prepared=setup.prepared,
    ).attributes
    assert seen is not None
    frontal = colourise(seen[..., 0], seen[..., 1])
    clock.lap("heatmap")
    return RenderedPeople(
        image=image,
        alpha=view.alpha,
        heatmap=view.attributes[..., 0],
        frontal_heatmap=frontal,
        landmarks=head.landmark_points(posed.vertices)[there["expression"]],
        neutral_vertices=neutral,
        tone=texture.texels[:, there["tone"], :3],
        depth=view.depth if "depth" in dense else None,
        parts=view.part_ids,
    )


def _layers(people: Sequence[SceneInputs], head: Head, posed: Mesh, night: bool = False) -> Layers | None:
    """What lies on the posed heads of all expressions, hair and things; None where nobody has any."""

    def seen(fields: dict[str, Tensor], matter: Matter) -> dict[str, Tensor]:
        return fields | {"tint": reflected(fields["tint"], matter)} if night else fields

    whose = [number for number, one in enumerate(people) for _ in one.au]
    layers = []
    if any(one.hair is not None for one in people):
        grown = [None if one.hair is None else seen(on_device(one.hair, head.device), HAIR) for one in people]
        layers.append(hair_layers(grown, head, posed.vertices, whose))
    if any(one.worn is not None for one in people):
        worn = [None if one.worn is None else seen(on_device(one.worn, head.device), TEXTILE) for one in people]
        layers.append(worn_layers(worn, head, posed.vertices, whose))
    return join_layers(layers) if layers else None


def _joined(people: Sequence[SceneInputs], maps: SurfaceMaps) -> dict[str, Any]:
    """The inputs of people one after the other, on the CPU, and who is who.

    Beside the fields of `SceneInputs`: person [E] of each expression, expression [B] of each scene, pictured [B], the
    person of each scene, and the camera and front [E] that see them; tone [T], texels of `tone_texels`.
    """
    expressions, scenes = [len(one.au) for one in people], [len(one.expression) for one in people]
    painted = [len(one.painted) for one in people]

    def shifted(name: str, counts: list[int]) -> npt.NDArray[np.int64]:
        before = np.cumsum([0, *counts[:-1]])
        return np.concatenate([getattr(one, name) + first for one, first in zip(people, before, strict=True)])

    arrays = {name: np.concatenate([getattr(one, name) for one in people]) for name in JOINED}
    arrays |= {
        "person": np.repeat(np.arange(len(people)), expressions),
        "expression": shifted("expression", expressions),
        "pictured": np.repeat(np.arange(len(people)), scenes),
        "background": shifted("background", painted),
        "tone": np.concatenate(tone_texels(maps)),
    }
    joined: dict[str, Any] = {name: torch.from_numpy(array) for name, array in arrays.items()}
    sh, direction, colour, exposure, sizes = (
        torch.from_numpy(np.concatenate(part)) for part in zip(*(one.light for one in people), strict=True)
    )
    cameras = [one.camera() for one in people]
    return {
        **joined,
        "light": Light(sh, direction, colour, exposure, sizes if bool(sizes.any()) else None),  # no device is asked
        "camera": placed(cameras),
        "pinholes": placed([one.pinholes() for one in people]) if any(one.distortion.any() for one in people) else None,
        "front": placed([_frontal_camera(sum(expressions), people[0].size)]),
    }


def measure(
    inputs: SceneInputs,
    landmarks: Tensor,
    covered: npt.NDArray[np.int64],
    tone: Floats,
    neutral: Floats,
    maps: SurfaceMaps,
) -> Measures:
    """What the rows tell of one person's scenes.

    Args:
        inputs: Of the B scenes.
        landmarks: [B, N, 3] metres, on the CPU.
        covered: [B] pixels that the head covers.
        tone: [T, 3] linear albedo of the texels of `tone_texels`.
        neutral: [V, 3] metres.
        maps: That were painted.
    """
    camera = inputs.camera()
    pixels = camera.project(landmarks)
    face = pixels[:, :FACE_LANDMARKS]
    return Measures(
        landmarks_2d=pixels.numpy(),
        landmarks_3d=landmarks.numpy(),
        bbox=torch.cat([face.amin(1), face.amax(1)], 1).numpy(),
        coverage=(covered / inputs.size**2).astype(np.float32),
        skin_ita=skin_tone(tone, [len(patch) for patch in tone_texels(maps)]),
        neutral_vertices=neutral,
        camera=camera,
    )


@dataclass(frozen=True)
class PlacedCamera(Camera):
    """Cameras whose matrices were multiplied on the host: a device may round products in another way."""

    __repr__ = described

    clip: Tensor
    centre: Tensor

    @property
    def world_to_clip(self) -> Tensor:
        """[N, 4, 4] as `Camera.world_to_clip`."""
        return self.clip

    @property
    def position(self) -> Tensor:
        """[N, 3] as `Camera.position`."""
        return self.centre


def placed(cameras: Sequence[Camera]) -> PlacedCamera:
    """What pinholes see where cameras of one size stand, one after the other."""
    named = ("world_to_view", "fov_degrees", "world_to_clip", "position")
    view, fov, clip, centre = (torch.cat([getattr(camera, name) for camera in cameras]) for name in named)
    return PlacedCamera(view, fov, cameras[0].size, clip, centre)


@lru_cache(maxsize=8)
def _frontal_camera(count: int, size: int) -> Camera:
    return Camera.orbit(target=FRONTAL.target, distance=FRONTAL.distance, fov_degrees=[FRONTAL.fov] * count, size=size)


def _surface(there: dict[str, Any], head: Head, wrinkles: bool) -> Surface:
    shared = creases(head)
    return Surface(
        growth=there["growth"],
        resting=there["resting"],
        depth=there["depth"],
        creases=shared.brought if wrinkles else shared.none,
        cover=there["cover"],
    )


class Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        """The stage ends now."""
        now = perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now
