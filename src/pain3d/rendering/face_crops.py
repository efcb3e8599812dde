"""Knows how faces are rendered without the rest of their pictures: a crop of the pixels around each face square.

A crop's pixels are those of the whole picture: the same rays, the same background, and JPEG blocks that begin where
the file's do. What is cut out of it is what would be cut out of the picture, but for the noise: its draw differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import SIZE as BACKGROUND_SIZE
from pain3d.camera import Camera
from pain3d.device import map_tensors
from pain3d.face.square import EYE_CORNERS, face_square
from pain3d.head.joints import axis_angle_to_matrix
from pain3d.kernels.rendering import tone_map
from pain3d.mesh import Mesh
from pain3d.rendering.frames import add_noise, background_gains, cameras, lights, pose_head
from pain3d.rendering.heatmap import displacement_of_each, quantise_heatmap
from pain3d.rendering.people import People
from pain3d.rendering.view import render
from pain3d.scene import Scene

BLOCK = 16  # pixels: a JPEG with halved chroma is made of such blocks, so crops start and end with them
# Pixels around the square that `cut` and the silhouettes read; and as much of a picture as half a texel of its
# background, which is clamped at the crop's border instead of going on.
MARGIN = 2

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CropCamera(Camera):
    """Cameras that take a crop of their pictures.

    Attributes:
        size: (height, width) of the crop.
        corner: [N, 2] left and top of the crop in the picture, pixels.
        frame: (height, width) of the picture, of which `fov_degrees` tells the height.
    """

    corner: Tensor
    frame: tuple[int, int]

    @property
    def intrinsics(self) -> Tensor:
        """K [N, 3, 3] as `Camera.intrinsics`, in pixels of the crop."""
        k = Camera(self.world_to_view, self.fov_degrees, self.frame).intrinsics.clone()
        k[:, :2, 2] -= self.corner
        return k

    @property
    def world_to_clip(self) -> Tensor:
        """[N, 4, 4] as `Camera.world_to_clip`, x and y in [−w, w] within the crop."""
        whole = Camera(self.world_to_view, self.fov_degrees, self.frame).world_to_clip.double()
        (height, width), (frame_height, frame_width) = self.size, self.frame
        left, top = self.corner.to(whole).unbind(1)
        # x' = (x_px - left) · 2 / width - 1 with x_px = (x / w / 2 + 1/2) · frame_width, and so on; times w.
        clip = whole.clone()
        across, along = (frame_width - 2 * left) / width - 1, 1 - (frame_height - 2 * top) / height
        clip[:, 0] = whole[:, 0] * (frame_width / width) + across[:, None] * whole[:, 3]
        clip[:, 1] = whole[:, 1] * (frame_height / height) + along[:, None] * whole[:, 3]
        return clip.to(self.world_to_view.dtype)


@dataclass(frozen=True)
class FaceCrops:
    """Crops of one size.

    Attributes:
        rows: [n] which of the scenes.
        image: [n, W, W, 3] uint8 sRGB, with the sensor's noise.
        heatmap: [n, W, W] uint8 in steps of `HEATMAP_UNIT_MM`, or None.
        square: [n, 3] the face square in the crop: middle x, y and side, pixels.
    """

    rows: list[int]
    image: Tensor
    heatmap: Tensor | None
    square: Floats


def render_face_crops(
    scenes: Sequence[Scene],
    people: People,
    slots: Sequence[int],
    painted: Tensor,
    *,
    heatmaps: bool = False,
    one_size: bool = False,
) -> list[FaceCrops]:
    """Render the face of each scene, and as little around it as whole JPEG blocks allow.

    The bytes of a face depend on its scene alone.

    Args:
        scenes: B of them, of any people, of one size.
        people: Who stands in which slot.
        slots: [B] who each scene is of; the scenes' own identity and skin are not looked at.
        painted: [B, 128, 128, 3] linear, `paint_background` before exposure and white balance; on the people's device.
        heatmaps: Whether to tell how far each pixel's point moved from neutral.
        one_size: One batch of crops as large as the largest, for a device that likes one call better than few pixels.

    Returns:
        Crops by size, from the smallest; together they hold each scene once.

    Raises:
        ValueError: Numbers of rows or sizes that do not fit.
    """
    frame = scenes[0].size if scenes else 0
    if any(scene.size != frame for scene in scenes):
        raise ValueError("scenes must share one size")
    if not len(scenes) == len(slots) == len(painted):
        raise ValueError(f"slots and painted must have {len(scenes)} rows, got {len(slots)} and {len(painted)}")
    head = people.head
    slot = torch.tensor(list(slots), dtype=torch.int64, device=head.device)
    identity, surface = people.seen(slot)
    mesh = pose_head(head, identity, scenes, surface)
    camera = cameras(scenes)
    squares = _squares(scenes, mesh.vertices[:, head.landmarks[: EYE_CORNERS[-1] + 1]].cpu(), camera)
    heat = None
    if heatmaps:
        heat = displacement_of_each(head, identity, head.au_rows([scene.au for scene in scenes]), surface)[..., None]
    corners, sides = crops_around(squares, frame)
    if one_size:
        sides = np.full_like(sides, sides.max(initial=0))
        corners = np.minimum(corners, frame - sides[:, None])
    light, gains = lights(scenes).to(head.device), background_gains(scenes).to(head.device)
    made = []
    for side in np.unique(sides).tolist():
        rows = np.flatnonzero(sides == side).tolist()
        at = torch.tensor(rows, device=head.device)
        corner = torch.from_numpy(corners[rows])
        view = render(
            _some(mesh, at),
            _crop_camera(camera, rows, corner, side, frame).to(head.device),
            light=map_tensors(light, itemgetter(at)),
            texture=people.texture,
            texture_index=slot[at],
            background=_behind(painted[at], gains[at, None, None], corner, side, frame),
            attributes=None if heat is None else heat[at],
            outputs=("image",) if heat is None else ("image", "attributes"),
            prepared=people.prepared,
        )
        assert view.image is not None
        image = add_noise(view.image, [scenes[row] for row in rows])
        levels = None if view.attributes is None else quantise_heatmap(view.attributes[..., 0])
        made.append(FaceCrops(rows, image, levels, squares[rows] - np.pad(corners[rows], ((0, 0), (0, 1)))))
    return made


def crops_around(squares: Floats, frame: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Left and top [B, 2], and side [B], of the crops around squares [B, 3] of a picture of `frame` pixels.

    They begin and end with blocks of the JPEG, or with the picture.
    """
    margin = MARGIN + -(-frame // (2 * BACKGROUND_SIZE))
    reach = squares[:, 2:] / 2 + margin
    first = np.floor((squares[:, :2] - reach) / BLOCK).astype(np.int64) * BLOCK
    last = np.ceil((squares[:, :2] + reach) / BLOCK).astype(np.int64) * BLOCK
    # The last block of a picture that is no whole number of them is shorter: such a picture is rendered whole.
    sides = np.minimum((last - first).max(1), frame) if frame % BLOCK == 0 else np.full(len(squares), frame)
    return np.clip(first, 0, frame - sides[:, None]), sides


def _squares(scenes: Sequence[Scene], points: Tensor, camera: Camera) -> Floats:
    """The face square [B, 3] of each scene in its whole picture, of landmarks [B, 46, 3]."""
    turns = [[scene.pose.neck_pitch, scene.pose.neck_yaw, scene.pose.neck_roll] for scene in scenes]
    turn = camera.world_to_view[:, :3, :3] @ axis_angle_to_matrix(torch.deg2rad(torch.tensor(turns)))
    rolls = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 1, 1])).tolist()
    pixels, intrinsics, view = camera.project(points).numpy(), camera.intrinsics.numpy(), camera.world_to_view.numpy()
    return np.array(
        [
            face_square(pixels[i], points[i].numpy(), intrinsics[i], view[i, :3, :3], view[i, :3, 3], rolls[i])
            for i in range(len(scenes))
        ]
    )


def _some(mesh: Mesh, at: Tensor) -> Mesh:
    """Some rows of the meshes."""
    parts = (mesh.occlusion, mesh.wrinkles, mesh.up)
    return Mesh(mesh.vertices[at], mesh.joints[at], mesh.topology, *(None if p is None else p[at] for p in parts))


def _crop_camera(camera: Camera, rows: list[int], corner: Tensor, side: int, frame: int) -> CropCamera:
    view, fov = camera.world_to_view[rows], camera.fov_degrees[rows]
    return CropCamera(view, fov, (side, side), corner, (frame, frame))


def _behind(painted: Tensor, gains: Tensor, corner: Tensor, side: int, frame: int) -> Tensor:
    """What of the backgrounds [B, 128, 128, 3] lies behind the crops, toned: the renderer stretches it."""
    texels = painted.shape[1]
    whole_texels = BLOCK * texels % frame == 0  # a block is a whole number of them, so are its corners
    if whole_texels:
        across, span = corner * texels // frame, side * texels // frame
    else:
        stretched = torch.nn.functional.interpolate(
            tone_map(painted * gains).permute(0, 3, 1, 2), size=(frame, frame), mode="bilinear"
        )
        painted, across, span = stretched.permute(0, 2, 3, 1), corner, side
    columns, lines = (across[:, i, None] + torch.arange(span) for i in (0, 1))
    places = (torch.arange(len(painted))[:, None, None], lines[:, :, None], columns[:, None])
    seen = painted[tuple(place.to(painted.device) for place in places)]
    return tone_map(seen * gains) if whole_texels else seen
