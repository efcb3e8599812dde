"""Knows how pictures of different kinds are taken in one call: plain ones, beside beds, by night, through other lenses.

Plain pictures are bytes of the renderer. Of those that night, an open lens or a hand change it gives the head alone, as
light that is not yet encoded; they do what they do to that light and to what stands behind, and then it is encoded. A
lens that distorts bends what was encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pain3d.camera import Camera
from pain3d.device import map_tensors
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.rendering.colour import encode_srgb
from pain3d.light import Light
from pain3d.optics import NO_OPTICS, Optics, confusion, focal_length
from pain3d.rendering.bending import FINER, Lens, bend
from pain3d.rendering.blurring import defocused, disc_blurred, filled_depth, largest_disc, shaken
from pain3d.rendering.infrared import BED_METRES, NEAREST, night_backdrop, night_bed
from pain3d.rendering.scene_inputs import SceneInputs
from pain3d.rendering.view import View
from pain3d.worn.bed import Bed, lay_beds


class Kind(NamedTuple):
    """What sets pictures apart: night, a bed, a lens that distorts, light that is worked on before it is encoded."""

    night: bool
    lies: bool
    bent: bool
    worked: bool


class Take(NamedTuple):
    """How one picture is taken.

    Attributes:
        bed: Which it shows, or None.
        optics: Of the camera.
        night: Whether it sees by infrared lamps.
        disc: Pixels of the largest disc of confusion, 0 where an open lens shows nothing.
        distance: Of the middle of the head, metres along the view axis.
        fov: Vertical, degrees, of what is rendered.
        lens: That bends it, or None.
    """

    bed: Bed | None
    optics: Optics
    night: bool
    disc: float
    distance: float
    fov: float
    lens: Lens | None

    @property
    def kind(self) -> Kind:
        """With which others it is taken."""
        worked = self.night or self.disc > 0 or self.optics.shake > 0
        return Kind(self.night, self.bed is not None, self.lens is not None, worked)


def takes_of(people: Sequence[SceneInputs]) -> list[Take]:
    """How the pictures of people are taken, who follow each other."""
    takes = []
    for one in people:
        count = len(one.expression)
        lying = [False] * count if one.lying is None else one.lying.tolist()
        optics = (NO_OPTICS,) * count if one.optics is None else one.optics
        night = [False] * count if one.night is None else one.night.tolist()
        distances, fovs = (-one.world_to_view[:, 2, 3]).tolist(), one.pinhole_fov.tolist()
        each = zip(lying, optics, night, distances, fovs, one.lenses(), strict=True)
        for lies, seen, dark, distance, fov, lens in each:
            disc = largest_disc(seen, fov, distance, one.size if lens is None else one.size * FINER)
            takes.append(Take(one.bed if lies else None, seen, dark, disc, distance, fov, lens))
    return takes


def take_pictures(
    takes: Sequence[Take],
    looks: Callable[[Kind], Callable[..., View]],
    here: Mapping[str, Any],
    there: Mapping[str, Any],
    light: Light | None,
    eyes: Callable[[], Tensor],
) -> View:
    """Take B pictures, those of a kind together.

    Args:
        takes: B of them.
        looks: `render` of the meshes for a kind of pictures; gives linear light and depth where light is worked on.
        here: All that is joined of people, see `pain3d.rendering.frames`, on the CPU, where beds are drawn: so they are
            the same on every device.
        there: The same on their device.
        light: In place of their own: 1, or one for each picture.
        eyes: Says where the middle of the eyes is in each picture, [B, 3] metres; asked where light is worked on.

    Returns:
        View of images that are encoded, and of what else the looks give of all of them.
    """
    kinds = [take.kind for take in takes]
    shown = {"mesh_index": there["expression"], "texture_index": there["pictured"]}
    device, count = there["painted"].device, len(takes)
    if not any(any(kind) for kind in kinds):
        behind = backgrounds(there["painted"], there["background"], there["gains"])
        lit = there["light"] if light is None else light.to(device)
        return looks(kinds[0])(there["camera"], light=lit, background=behind, **shown)
    lights = here["light"] if light is None else light.to("cpu")
    lights = map_tensors(lights, lambda part: part.expand(count, *part.shape[1:]))
    focus = _depth_of(eyes(), there["camera"]) if any(kind.worked for kind in kinds) else None
    parts: dict[str, list[Tensor]] = {}
    order = []
    for kind in sorted(set(kinds)):
        rows = torch.tensor([number for number, one in enumerate(kinds) if one == kind])
        order.append(rows)
        own = [takes[row] for row in rows.tolist()]
        lit, rows_there = map_tensors(lights, itemgetter(rows)), rows.to(device)
        cameras = "pinholes" if kind.bent else "camera"
        ground = _ground(own, kind, rows, here, there, map_tensors(here[cameras], itemgetter(rows)), lit)
        camera = map_tensors(there[cameras], itemgetter(rows_there))
        seen: dict[str, Any] = {name: index[rows_there] for name, index in shown.items()}
        seen |= {"light": lit.to(device), "background": torch.zeros_like(ground[:1, :1, :1]) if kind.worked else ground}
        view = looks(kind)(camera, **seen)
        if kind.worked:
            assert view.linear is not None and view.depth is not None and focus is not None
            images = [
                _worked_on(*each) for each in zip(own, view.linear, view.depth, ground, focus[rows_there], strict=True)
            ]
            view = replace(view, image=torch.stack(images), linear=None)
        if kind.bent:
            view = bend(view, [take.lens for take in own if take.lens is not None], there["camera"].size[0])
        for name, part in vars(view).items():
            if part is not None:
                parts.setdefault(name, []).append(part)
    back = torch.argsort(torch.cat(order)).to(device)
    joined = {name: torch.cat(each)[back] for name, each in parts.items() if sum(map(len, each)) == count}
    return View(**{name: joined.get(name) for name in vars(view)})


def _ground(
    takes: Sequence[Take],
    kind: Kind,
    rows: Tensor,
    here: Mapping[str, Any],
    there: Mapping[str, Any],
    camera: Camera,
    light: Light,
) -> Tensor:
    """What stands behind the heads of pictures of a kind, bed and all, toned, [b, h, w, 3] on their device.

    Args:
        takes: b of them.
        kind: Theirs.
        rows: [b] which of all they are.
        here: See `take_pictures`.
        there: Likewise.
        camera: b of them, on the CPU.
        light: Likewise.
    """
    place = here if kind.lies else there
    device = there["painted"].device
    if kind.night:
        each = zip(here["background"][rows].tolist(), light.exposure.tolist(), takes, strict=True)
        drawn = torch.stack([night_backdrop(place["painted"][k], lit, take.distance) for k, lit, take in each])
    else:
        own = rows if kind.lies else rows.to(device)
        drawn = backgrounds(place["painted"], place["background"][own], place["gains"][own])
    if not kind.lies:
        return drawn
    beds = [take.bed for take in takes if take.bed is not None]
    laid = lay_beds(drawn, [night_bed(bed) for bed in beds] if kind.night else beds, camera, light)
    if kind.night:
        fallen = torch.tensor([(take.distance / (take.distance + BED_METRES)) ** 2 for take in takes])
        laid = (laid[..., :1] * fallen[:, None, None, None]).expand(-1, -1, -1, 3)
    return laid.to(device)


def _worked_on(take: Take, light: Tensor, depth: Tensor, ground: Tensor, focus: Tensor) -> Tensor:
    """One picture [H, W, 3] uint8 of the light of a head [H, W, 4], with its coverage, and of what stands behind it.

    Args:
        take: How it is taken.
        light: Linear, toned, over black.
        depth: [H, W] metres, inf where there is no head.
        ground: [h, w, 3] toned.
        focus: Depth of the eyes, a number.
    """
    size = light.shape[0]
    if take.night or take.disc:
        depth = filled_depth(depth)
    if take.night:
        fallen = (focus / depth).square().clamp(max=NEAREST)
        light = torch.cat([(light[..., 0] * fallen)[..., None].expand(-1, -1, 3), light[..., 3:]], 2)
    behind = torch.nn.functional.interpolate(ground.permute(2, 0, 1)[None], size=(size, size), mode="bilinear")
    behind = behind[0].permute(1, 2, 0)
    if take.disc:
        light = defocused(light, depth, focus, take.optics, take.fov, take.disc)
        if take.bed is not None:
            beyond = take.distance + BED_METRES
            disc = confusion(focal_length(take.fov), take.optics.f_number, take.distance, beyond)
            behind = disc_blurred(behind, disc / 2 * size)
    picture = light[..., :3] + (1 - light[..., 3:]) * behind
    if take.optics.shake:
        picture = shaken(picture, take.optics)
    return encode_srgb(picture)


def _depth_of(points: Tensor, camera: Camera) -> Tensor:
    """Metres [B] along the view axes of points [B, 3]."""
    row = camera.world_to_view[:, 2]
    return -(row[:, 0] * points[:, 0] + row[:, 1] * points[:, 1] + row[:, 2] * points[:, 2] + row[:, 3])


def backgrounds(painted: Tensor, numbers: Tensor, gains: Tensor) -> Tensor:
    """What stands behind each scene [B, h, w, 3], in the light that its sensor sees, toned."""
    if painted.device.type == "cpu":  # one by one: what stays in the cache takes half the time
        pairs = zip(numbers.tolist(), gains, strict=True)
        return torch.stack([tone_map(painted[number] * gain) for number, gain in pairs])
    return tone_map(painted[numbers] * gains[:, None, None])
