"""Knows how each kind of ControlNet is told of geometry: pictures of depth, normals, edges, landmarks and mask.

Every function takes `Conditions` of N views and returns [N, H, W, 3] uint8. Sources: the model cards of ControlNet 1.0
and 1.1 (lllyasviel on the Hugging Face hub), which name the preprocessor that each was trained with, and their papers.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import normalize

from pain3d.pipeline.texture.conditions import Conditions

FARTHEST = 64  # of 255: grey of the head's farthest pixel, so that all of it stands out from the black background
CHIN = 8  # of iBUG's landmarks
FACING_WALL = (128, 128, 255)  # normals of nothing: a wall behind, parallel to the picture
LAMP = (0.0, 0.35, 1.0)  # view space: a little above the camera, so that lids, nostrils and lips throw edges
AMBIENT = 60.0  # of 255: the darkest of the head beside a black background
CANNY = (100.0, 200.0)  # the thresholds of the ControlNet cards
CANNY_SIDE = (
    512  # pixels: the size at which they hold; a shade changes half as much per pixel of a picture twice as large
)
DOT = 3  # pixels at 512: radius of a landmark, as OpenPose draws a face
Bytes = npt.NDArray[np.uint8]


def depth_pictures(conditions: Conditions) -> Tensor:
    """Inverse depth, near white, background black: as MiDaS gives it (Ranftl et al. 2020), of which depth nets learned.

    Each picture has its own scale, as each of MiDaS has: white is the nearest pixel above the chin (a shoulder that
    comes nearer is white too, and leaves the face its shades), `FARTHEST` the farthest of all.

    Raises:
        ValueError: A view shows nothing above the chin.
    """
    mask, chin = conditions.mask, conditions.landmarks[:, CHIN, 1]
    above = torch.arange(mask.shape[1], device=mask.device)[None, :, None] < chin[:, None, None]
    if not (mask & above).flatten(1).any(1).all():
        raise ValueError("conditions must show the head in every view, got a view with nothing above the chin")
    inverse = 1 / conditions.depth  # 0 on background
    near = (inverse * above).amax((1, 2), keepdim=True)
    far = torch.where(mask, inverse, torch.inf).amin((1, 2), keepdim=True)
    share = ((inverse - far) / (near - far).clamp(min=1e-12)).clamp(max=1)
    return _grey(torch.where(mask, FARTHEST + (255 - FARTHEST) * share, 0.0))


def normal_pictures(conditions: Conditions) -> Tensor:
    """Normals in the colours of ControlNet 1.1 "normalbae": red to the left, green up, blue towards the camera.

    (1 + n) / 2 with n = (−x, y, z) of our view space: the protocol of ScanNet as Bae et al. 2021 draw it. A surface
    that faces the camera is (128, 128, 255), as is the background. ControlNet 1.0 "normal" had other colours.
    """
    flipped = conditions.normals * conditions.normals.new_tensor([-1.0, 1.0, 1.0])
    wall = torch.tensor(FACING_WALL, dtype=torch.uint8, device=flipped.device)
    return torch.where(conditions.mask[..., None], _bytes((flipped + 1) * 127.5), wall)


def edge_pictures(conditions: Conditions) -> Tensor:
    """White edges on black: Canny's (1986), with the thresholds of the ControlNet cards, of the head in grey clay.

    Nothing of the skin is in it: the clay is lit by one lamp near the camera, from the normals alone.
    """
    lamp = normalize(conditions.normals.new_tensor(LAMP), dim=0)
    lit = AMBIENT + (255 - AMBIENT) * (conditions.normals @ lamp).clamp(min=0)
    clay = _bytes(torch.where(conditions.mask, lit, 0.0)).cpu().numpy()
    scale = min(1.0, CANNY_SIDE / clay.shape[1])
    edges = [cv2.Canny(picture, CANNY[0] * scale, CANNY[1] * scale, L2gradient=True) for picture in clay]
    return _grey(torch.from_numpy(np.stack(edges))).to(conditions.mask.device)


def landmark_pictures(conditions: Conditions) -> Tensor:
    """White dots on black where landmarks are visible: a face as OpenPose draws it (Cao et al. 2019), without its body.

    OpenPose's 70 points of a face are the 68 of iBUG in their order and two pupils, which are left out.
    """
    height, width = conditions.cameras.size
    radius = max(1, round(DOT * height / 512))
    drawn = []
    places = conditions.landmarks.cpu().numpy()
    for points, visible in zip(places, conditions.landmarks_visible.tolist(), strict=True):
        picture: Bytes = np.zeros((height, width), np.uint8)
        for (x, y), shown in zip(points, visible, strict=True):
            if shown:  # OpenCV counts from the middle of the first pixel
                cv2.circle(picture, (round(float(x) - 0.5), round(float(y) - 0.5)), radius, 255, -1)
        drawn.append(picture)
    return _grey(torch.from_numpy(np.stack(drawn))).to(conditions.mask.device)


def mask_pictures(conditions: Conditions) -> Tensor:
    """White where the head is, as inpainting pipelines of diffusers take a mask: white is painted, black is kept."""
    return _grey(conditions.mask * 255.0)


PICTURES = {
    "depth": depth_pictures,
    "normal": normal_pictures,
    "canny": edge_pictures,
    "landmarks": landmark_pictures,
    "mask": mask_pictures,
}


def _bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _grey(values: Tensor) -> Tensor:
    """[N, H, W] in 0–255 as a picture of three equal channels."""
    return _bytes(values)[..., None].expand(*values.shape, 3).contiguous()
