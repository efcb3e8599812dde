"""Knows from where a head is looked at to be painted, what lies under each texel, and what the views see of both."""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pain3d.camera import Camera
from pain3d.facs.action_units import ActionUnits
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.kernels import (
    antialias,
    build_mipmaps,
    interpolate,
    rasterize,
    sample_texture,
    vertex_normals,
)
from pain3d.kernels.rasterization import Fragments
from pain3d.mesh import Mesh, Surface
from pain3d.pipeline.texture.conditions import Conditions

# Yaw and pitch in degrees, the front first. Side views look up at chin and nose from below; of five the outer two look
# down on crown, ears and nape from above and behind. Share of texels of a bald head that are seen at under 60° by at
# least one of them: with three 96 % of the face, 48 % of the ears (folds and backs stay unseen), 49 % of the neck,
# 32 % of the scalp; with five 98, 56, 65 and 71 %. Level views: at 0, ±45° 91, 44, 51, 36; also at ±90° 92, 49, 56, 48.
DIRECTIONS: dict[int, tuple[tuple[float, float], ...]] = {
    3: ((0.0, 0.0), (60.0, -15.0), (-60.0, -15.0)),
    5: ((0.0, 0.0), (50.0, -20.0), (-50.0, -20.0), (105.0, 25.0), (-105.0, 25.0)),
}
TARGET = (0.0, 0.014, 0.0)  # metres: the middle of crown, hair and throat
DISTANCE, FIELD = 1.2, 15.5  # metres and degrees: 0.33 m high there, so that the fullest hair of any style fits
BEHIND = 0.003  # metres by which a visible point may lie behind the pixel that shows it: lids and lips are as thick
OPENED = ActionUnits(AU27=3, AU43=1)
FACIAL = slice(68)  # the first of a head's landmarks: those of iBUG


@dataclass(frozen=True)
class Seen:
    """A head and what N views see of it.

    Attributes:
        head: Whose topology it is.
        conditions: What a painter is shown.
        face_ids: [N, H, W] int32, −1 on background.
        barycentrics: [N, H, W, 3], 0 on background.
        mesh: The one mesh that all views see.
        opened: [1, V, 3] its vertices with the mouth open and the eyes shut: what then moves apart only touched.
        normals: [1, V, 3] unit, world.
        vertices_clip: [N, V, 4].
    """

    head: Head
    conditions: Conditions
    face_ids: Tensor
    barycentrics: Tensor
    mesh: Mesh
    opened: Tensor
    normals: Tensor
    vertices_clip: Tensor

    @property
    def cameras(self) -> Camera:
        """The N cameras."""
        return self.conditions.cameras

    def uv(self, view: int) -> Tensor:
        """[1, H, W, 2] texture coordinates of what the pixels of one view see, 0 on background."""
        topology, rows = self.head.topology, slice(view, view + 1)
        return interpolate(topology.uvs[None], topology.uv_faces, self.face_ids[rows], self.barycentrics[rows])


def standard_cameras(count: int, size: int | tuple[int, int]) -> Camera:
    """The views of a head that are painted: all of its face, its ears and its neck, with as few as a painter allows.

    Args:
        count: 3 or 5.
        size: Pixels, one number for a square or (height, width).

    Raises:
        ValueError: Another count.
    """
    if count not in DIRECTIONS:
        raise ValueError(f"count must be 3 or 5 views, got {count}")
    yaw, pitch = zip(*DIRECTIONS[count], strict=True)
    return Camera.orbit(yaw, pitch, distance=DISTANCE, fov_degrees=FIELD, target=TARGET, size=size)


def see(head: Head, identity: Identity | Tensor, surface: Surface, cameras: Camera) -> Seen:
    """Look at a person, neutral and without a pose, from N cameras.

    Args:
        head: On any device; so is the answer.
        identity: Who, or [1, S] coefficients.
        surface: Of the person's skin (`pain3d.skin.surface`): hair, beard and cloth stand off the head.
        cameras: N, of one size.

    Gradients: none.
    """
    with torch.no_grad():
        there = surface.to(head.device)
        return look(head, head(identity, surface=there), cameras, head(identity, OPENED, surface=there).vertices)


def look(head: Head, mesh: Mesh, cameras: Camera, opened: Tensor | None = None) -> Seen:
    """Look at one mesh of a head, whatever its face and pose, from N cameras; on the head's device.

    Args:
        head: Whose mesh it is.
        mesh: One.
        cameras: N, of one size.
        opened: See `Seen`; None is the mesh's own vertices: nothing moves apart.

    Gradients: none.
    """
    with torch.no_grad():
        cameras = cameras.to(head.device)
        faces, points = mesh.topology.faces, mesh.vertices
        normals = vertex_normals(points, faces)
        homogeneous = torch.cat([points, torch.ones_like(points[..., :1])], 2)
        # In double precision, as `render` does it: one picture, one silhouette.
        clip = (homogeneous.double() @ cameras.world_to_clip.double().transpose(1, 2)).to(points.dtype)
        fragments = rasterize(clip, faces, cameras.size)
        facing = at_pixels(normals[0], faces, fragments)
        turned = facing.flatten(1, 2) @ cameras.world_to_view[:, :3, :3].transpose(1, 2)
        landmarks = head.landmark_points(points, FACIAL)
        pixels = cameras.project(landmarks)
        away = (landmarks @ cameras.world_to_clip[:, 3, :3, None])[..., 0] + cameras.world_to_clip[:, 3:, 3]
        shown = Conditions(
            cameras=cameras,
            depth=fragments.depth,
            normals=normalize(turned, dim=-1).view(facing.shape),
            mask=fragments.face_ids >= 0,
            landmarks=pixels,
            landmarks_visible=_visible(pixels, away, fragments.depth),
        )
        apart = points if opened is None else opened
        return Seen(head, shown, fragments.face_ids, fragments.barycentrics, mesh, apart, normals, clip)


def at_pixels(values: Tensor, faces: Tensor, shown: Fragments) -> Tensor:
    """What pixels see of numbers on vertices: `interpolate`, where there is something to see.

    Args:
        values: [V, C], of the one mesh that all views see.
        faces: [F, 3].
        shown: Of N views.

    Returns:
        [N, H, W, C], 0 on background: two thirds of a picture, which `interpolate` would work on too.

    Gradients: to values.
    """
    inside = torch.nonzero(shown.face_ids.flatten() >= 0)[:, 0]
    corners = faces.index_select(0, shown.face_ids.flatten().index_select(0, inside)).flatten()
    at_corners = values.index_select(0, corners).view(-1, 3, values.shape[1])
    barycentrics = shown.barycentrics.flatten(0, 2).index_select(0, inside).to(values.dtype)
    seen = values.new_zeros(shown.face_ids.numel(), values.shape[1])
    seen = seen.index_copy(0, inside, torch.einsum("pk,pkc->pc", barycentrics, at_corners))
    return seen.view(*shown.face_ids.shape, -1)


def _visible(pixels: Tensor, distance: Tensor, depth: Tensor) -> Tensor:
    """[N, P] whether points at `pixels` [N, P, 2] and `distance` [N, P] lie on what the depth pictures show.

    The farthest of 3 × 3 pixels counts: of a point on an outline only half of them show its surface.
    """
    height, width = depth.shape[1:]
    columns, rows = pixels.floor().long().unbind(2)
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    views = torch.arange(len(depth), device=depth.device)[:, None, None, None]
    around = torch.arange(-1, 2, device=depth.device)
    near_rows = (rows[..., None, None] + around[:, None]).clamp(0, height - 1)
    near_columns = (columns[..., None, None] + around).clamp(0, width - 1)
    farthest = depth[views, near_rows, near_columns].amax((2, 3))
    return inside & (distance <= farthest + BEHIND)


def flat(seen: Seen, albedo: Tensor) -> Tensor:
    """Pictures of a texture without any light: what a painter would have painted had it known the texture.

    Args:
        seen: N views.
        albedo: [S, S, C], any unit; S a power of two.

    Returns:
        [N, H, W, C], antialiased, trilinear between mip levels; 0 on background.

    Gradients: to albedo.
    """
    topology = seen.head.topology
    mipmaps = build_mipmaps(albedo[None])
    levels = _mip_levels(seen, albedo.shape[0])
    pictures = []
    for view, (face_ids, clip) in enumerate(zip(seen.face_ids, seen.vertices_clip, strict=True)):  # memory for one
        level = levels[view][face_ids.clamp(min=0).long()]
        colour = sample_texture(mipmaps, seen.uv(view), level[None]) * (face_ids >= 0)[None, ..., None]
        depth = seen.conditions.depth[view]
        pictures.append(
            antialias(colour, face_ids[None], depth[None], clip[None], topology.faces, topology.adjacent_faces)
        )
    return torch.cat(pictures)


def _mip_levels(seen: Seen, size: int) -> Tensor:
    """[N, F] half the log2 of texels per pixel, both as areas, of each face; not below 0."""
    topology = seen.head.topology
    height, width = seen.cameras.size
    clip = seen.vertices_clip.double()
    screen = clip[..., :2] / clip[..., 3:] * clip.new_tensor([width / 2, height / 2])
    pixels = _doubled_areas(screen[:, topology.faces.long()])
    texels = _doubled_areas(topology.uvs.double()[topology.uv_faces.long()]) * size**2
    return (0.5 * torch.log2((texels / pixels.clamp(min=1e-9)).clamp(min=1.0))).to(seen.vertices_clip.dtype)


def _doubled_areas(corners: Tensor) -> Tensor:
    """[...] twice the area of triangles [..., 3, 2]."""
    one, two = corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :]
    return (one[..., 0] * two[..., 1] - one[..., 1] * two[..., 0]).abs()


_kept: weakref.WeakKeyDictionary[Head, dict[int, tuple[Tensor, Tensor]]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def texel_surface(head: Head, size: int) -> tuple[Tensor, Tensor]:
    """What lies under the centre of each texel, as `SurfaceMaps` has it; made once per head and size, then kept.

    Args:
        head: On any device; so is the answer.
        size: Texels a side.

    Returns:
        Faces [S, S] int32, −1 between the charts, and barycentrics [S, S, 3] float32, there 0. Not to be written to.
    """
    with _lock:
        made = _kept.setdefault(head, {})
        if size not in made:
            from pain3d.skin.map_building import rasterize_chart  # here: it loads OpenCV

            under = rasterize_chart(head.on("cpu"), size)
            made[size] = (
                under.face_ids[0].to(head.device),
                under.barycentrics[0].to(torch.float32).to(head.device),
            )
        return made[size]
