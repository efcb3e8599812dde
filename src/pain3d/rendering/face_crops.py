"""Knows how faces are rendered without the rest of their pictures: a crop of the pixels around each face square.

A crop's pixels are those of the whole picture: the same rays, the same background, and JPEG blocks that begin where
the file's do. What is cut out of it is what would be cut out of the picture, but for the noise: its draw differs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter

import torch
from torch import Tensor

from pain3d.background import SIZE as BACKGROUND_SIZE
from pain3d.camera import Camera, check_pinholes
from pain3d.device import map_tensors
from pain3d.face.square import BELOW_EYES, EYE_CORNERS, SIDE_METRES
from pain3d.head.joints import axis_angle_to_matrix
from pain3d.kernels._described import described
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.sensor import develop
from pain3d.kernels.sensor.reference import REACH
from pain3d.mesh import Mesh
from pain3d.rendering.heatmap import displacement_of_each, quantise_heatmap
from pain3d.rendering.people import People
from pain3d.rendering.shots import Shots
from pain3d.rendering.view import render

BLOCK = 16  # pixels: a JPEG with halved chroma is made of such blocks, so crops start and end with them
# Pixels around the square that `cut` and the silhouettes read, and the lens' blur; and as much of a picture as half a
# texel of its background, which is clamped at the crop's border instead of going on.
MARGIN = 2 + REACH
CORNERS = slice(EYE_CORNERS[0], EYE_CORNERS[-1] + 1, 3)  # a list of numbers would be copied to the device at each call
# Side of a face square as a share of its picture, at most: the nearest camera sees 0.26 m. Seen 0.573 in 5,760 draws.
WIDEST_SQUARE = 0.62


@dataclass(frozen=True)
class CropCamera(Camera):
    """Cameras that take a crop of their pictures.

    Attributes:
        size: (height, width) of the crop.
        corner: [N, 2] left and top of the crop in the picture, pixels.
        frame: (height, width) of the picture, of which `fov_degrees` tells the height.
    """

    __repr__ = described

    corner: Tensor
    frame: tuple[int, int]

    @property
    def whole_size(self) -> tuple[int, int]:
        """(height, width) of the whole picture."""
        return self.frame

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
        rows: [n] int64 on the CPU, which of the scenes.
        image: [n, W, W, 3] uint8 sRGB, as the sensor tells it.
        heatmap: [n, W, W] uint8 in steps of `HEATMAP_UNIT_MM`, or None.
        square: [n, 3] float64, the face square in the crop: middle x, y and side, pixels.
    """

    __repr__ = described

    rows: Tensor
    image: Tensor
    heatmap: Tensor | None
    square: Tensor


def render_face_crops(
    shots: Shots, people: People, slots: Tensor, person_index: Tensor, painted: Tensor, *, heatmaps: bool = False
) -> list[FaceCrops]:
    """Render the face of each scene, and as little around it as whole JPEG blocks allow.

    The bytes of a face depend on its scene alone. Everything is and stays on the people's device. On the CPU each crop
    is as small as can be; on another device, which would have to be waited for to know how small, all are of
    `widest_crop`.

    Args:
        shots: B of them, of any people.
        people: Who stands in which slot.
        slots: [P] int64, who is seen.
        person_index: [B] int64, which of these each scene is of.
        painted: [B, 128, 128, 3] linear, `paint_background` before exposure and white balance.
        heatmaps: Whether to tell how far each pixel's point moved from neutral.

    Returns:
        Crops by size, from the smallest; together they hold each scene once.

    Raises:
        ValueError: Numbers of rows that do not fit, or lenses that distort.
    """
    if not len(shots) == len(person_index) == len(painted):
        raise ValueError(
            f"person_index and painted must have {len(shots)} rows, got {len(person_index)} and {len(painted)}"
        )
    check_pinholes(shots.camera)
    head, frame = people.head, shots.frame
    identity, surface = people.seen(slots)
    pose = {"neck_pose": shots.neck, "leye_pose": shots.gaze, "reye_pose": shots.gaze}
    mesh = head(identity, shots.au, **pose, surface=surface, person_index=person_index)
    squares = face_squares(head.landmark_points(mesh.vertices, CORNERS), shots)
    heat = None
    if heatmaps:
        heat = displacement_of_each(head, identity, shots.au, surface, person_index)[..., None]

    texture_index = slots[person_index]

    def crops(rows: Tensor | slice, corner: Tensor, side: int) -> FaceCrops:
        camera, faces = shots.camera, _some(mesh, rows)
        view = render(
            faces,
            CropCamera(camera.world_to_view[rows], camera.fov_degrees[rows], (side, side), corner, camera.size),
            light=map_tensors(shots.light, itemgetter(rows)),
            texture=people.texture,
            texture_index=texture_index[rows],
            background=_behind(painted[rows], shots.gains[rows, None, None], corner, side, frame),
            attributes=None if heat is None else heat[rows],
            layers=people.layers(texture_index[rows], faces.vertices),
            outputs=("image",) if heat is None else ("image", "attributes"),
            prepared=people.prepared,
        )
        assert view.image is not None
        image = develop(view.image, shots.sensor[rows], shots.noise_key[rows])
        levels = None if view.attributes is None else quantise_heatmap(view.attributes[..., 0])
        inside = squares[rows] - torch.nn.functional.pad(corner, (0, 1))
        return FaceCrops(torch.arange(len(shots)) if isinstance(rows, slice) else rows, image, levels, inside)

    if head.device.type != "cpu":
        side = widest_crop(frame)
        corner = (_blocks_before(squares, frame) * BLOCK).clamp(0, frame - side)
        return [crops(slice(None), corner, side)]  # as they lie: nothing is gathered
    corners, sides = crops_around(squares, frame)
    made = []
    for side in torch.unique(sides).tolist():
        rows = torch.nonzero(sides == side)[:, 0]
        made.append(crops(rows, corners[rows], side))
    return made


def crops_around(squares: Tensor, frame: int) -> tuple[Tensor, Tensor]:
    """Left and top [B, 2], and side [B], of the crops around squares [B, 3] of a picture of `frame` pixels; int64.

    They begin and end with blocks of the JPEG, or with the picture.
    """
    # The last block of a picture that is no whole number of them is shorter: such a picture is rendered whole.
    if frame % BLOCK:
        return torch.zeros(len(squares), 2, dtype=torch.int64), torch.full((len(squares),), frame)
    first = _blocks_before(squares, frame)
    last = ((squares[:, :2] + _reach(squares, frame)) / BLOCK).ceil().long()
    sides = (BLOCK * (last - first).amax(1)).clamp(max=frame)
    return torch.minimum((BLOCK * first).clamp(min=0), frame - sides[:, None]), sides


def widest_crop(frame: int) -> int:
    """Pixels a side of crops that hold any face square of the law in pictures of `frame` pixels."""
    most = WIDEST_SQUARE * frame + 2 * _margin(frame) + BLOCK - 1  # it may begin anywhere in a block
    return frame if frame % BLOCK else min(frame, math.ceil(most / BLOCK) * BLOCK)


def _margin(frame: int) -> int:
    return MARGIN + -(-frame // (2 * BACKGROUND_SIZE))


def _reach(squares: Tensor, frame: int) -> Tensor:
    """From the middle of each square to where its crop must reach, [B, 1] pixels."""
    return squares[:, 2:] / 2 + _margin(frame)


def _blocks_before(squares: Tensor, frame: int) -> Tensor:
    """Whole blocks [B, 2] int64 to the left of and above each square and its margin."""
    return ((squares[:, :2] - _reach(squares, frame)) / BLOCK).floor().long()


def face_squares(corners: Tensor, shots: Shots) -> Tensor:
    """The face square [B, 3] float64 of each scene in its whole picture: see `face_square`.

    Args:
        corners: [B, 4, 3] the eye corners, metres.
        shots: Their cameras and how the necks turn.
    """
    camera = shots.camera
    rotation, shift = camera.world_to_view[:, :3, :3].double(), camera.world_to_view[:, :3, 3].double()
    x, y, z = ((rotation[:, None] * corners.double()[:, :, None]).sum(3) + shift[:, None]).unbind(2)
    focal = camera.intrinsics[:, 1, 1].double()[:, None]
    height, width = camera.size
    across, down = (width / 2 - focal * x / z).mean(1), (height / 2 + focal * y / z).mean(1)
    pixels_per_metre = -focal[:, 0] / z.mean(1)
    # The head's turn in the view: its second row says how it rolls.
    turn = (rotation[:, 1, :, None] * axis_angle_to_matrix(shots.neck).double()).sum(1)
    roll = torch.atan2(turn[:, 0], turn[:, 1])
    below = BELOW_EYES * pixels_per_metre
    return torch.stack([across + below * roll.sin(), down + below * roll.cos(), SIDE_METRES * pixels_per_metre], 1)


def _some(mesh: Mesh, at: Tensor | slice) -> Mesh:
    """Some rows of the meshes."""
    parts = (mesh.occlusion, mesh.wrinkles, mesh.up)
    return Mesh(mesh.vertices[at], mesh.joints[at], mesh.topology, *(None if p is None else p[at] for p in parts))


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
    columns, lines = (across[:, i, None] + torch.arange(span, device=corner.device) for i in (0, 1))
    places = torch.arange(len(painted), device=corner.device)[:, None, None]
    seen = painted[places, lines[:, :, None], columns[:, None]]
    return tone_map(seen * gains) if whole_texels else seen
