"""Knows how whole pictures are taken of people who are kept ready: any people and expressions, all in one call."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pain3d.kernels._described import described
from pain3d.kernels.rendering import tone_map
from pain3d.kernels.sensor import develop
from pain3d.rendering.heatmap import displacement_of_each
from pain3d.rendering.people import People
from pain3d.rendering.shots import Shots
from pain3d.rendering.view import render


class Portraits(NamedTuple):
    """N pictures.

    Attributes:
        image: [N, H, W, 3] uint8 sRGB, as the sensor tells it.
        landmarks: [N, L, 2] of the head's landmarks, pixels, x right and y down.
        heatmap: [N, H, W] |expression − neutral| in mm of what each pixel sees, or None.
    """

    image: Tensor
    landmarks: Tensor
    heatmap: Tensor | None

    def __repr__(self) -> str:
        """Shapes and dtypes."""
        return described(self)


def render_portraits(
    shots: Shots, people: People, slots: Tensor, painted: Tensor, *, heatmaps: bool = False
) -> Portraits:
    """Render N pictures of those who stand in slots; the bytes of a picture depend on its scene alone.

    Args:
        shots: N of them.
        people: Who stands in which slot, on the CPU.
        slots: [N] int64, who is seen.
        painted: [N, h, w, 3] linear, what stands behind before exposure and white balance.
        heatmaps: Whether to tell how far each pixel's point moved from neutral.

    Gradients: none.

    Raises:
        ValueError: Numbers of rows that do not fit, or lenses that distort.
    """
    if not len(shots) == len(slots) == len(painted):
        raise ValueError(f"slots and painted must have {len(shots)} rows, got {len(slots)} and {len(painted)}")
    head = people.head
    seen, person = torch.unique(slots, return_inverse=True)
    identity, surface = people.seen(seen)
    pose = {"neck_pose": shots.neck, "leye_pose": shots.gaze, "reye_pose": shots.gaze}
    mesh = head(identity, shots.au, **pose, surface=surface, person_index=person)
    heat = displacement_of_each(head, identity, shots.au, surface, person)[..., None] if heatmaps else None
    view = render(
        mesh,
        shots.camera,
        light=shots.light,
        texture=people.texture,
        texture_index=slots,
        background=torch.stack([tone_map(behind * gain) for behind, gain in zip(painted, shots.gains, strict=True)]),
        attributes=heat,
        layers=people.layers(slots, mesh.vertices),
        outputs=("image",) if heat is None else ("image", "attributes"),
        prepared=people.prepared,
    )
    assert view.image is not None
    return Portraits(
        develop(view.image, shots.sensor, shots.noise_key),
        shots.camera.project(head.landmark_points(mesh.vertices)),
        None if view.attributes is None else view.attributes[..., 0],
    )
