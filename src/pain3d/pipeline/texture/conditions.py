"""Knows what a painter is shown of a head: the geometry of N views, and nothing of its skin."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pain3d.camera import Camera


@dataclass(frozen=True)
class Conditions:
    """What N views show of one head.

    Attributes:
        cameras: The N cameras, of one size H × W.
        depth: [N, H, W] float32 metres along the view axis, inf on background.
        normals: [N, H, W, 3] float32 unit, in view space: x right, y up, z towards the camera; 0 on background.
        mask: [N, H, W] bool, the head.
        landmarks: [N, 68, 2] float32 pixels, x right and y down, in the order of iBUG.
        landmarks_visible: [N, 68] bool, whether nothing of the head lies before them.
    """

    cameras: Camera
    depth: Tensor
    normals: Tensor
    mask: Tensor
    landmarks: Tensor
    landmarks_visible: Tensor
