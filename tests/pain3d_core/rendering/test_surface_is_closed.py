"""Extreme expressions stay clean: lids shut, no eyeball through the skin, no inside seen from outside."""

import numpy as np
import pytest
import torch

from pain3d.camera import Camera
from pain3d.facs import ActionUnits
from pain3d.head import Head
from pain3d.kernels.rasterization import rasterize
from pain3d.mesh import Mesh
from pain3d.rendering import render

HEAD = Head.default()
PEOPLE = 20
ALL = {"AU4": 5, "AU6": 5, "AU7": 5, "AU9": 5, "AU10": 5}
PARTS = HEAD.topology.part_names
EYES = [PARTS.index("left_eye"), PARTS.index("right_eye")]


def close_up(mesh: Mesh, yaw: float = 0.0, size: int = 384) -> tuple[np.ndarray, Camera]:
    """Part ids of the region of the eyes, one picture per mesh."""
    target = mesh.vertices[:, HEAD.landmarks[[72, 73]]].mean(1)
    camera = Camera.orbit(yaw_degrees=yaw, fov_degrees=10.0, target=target, size=size)
    view = render(mesh, camera, outputs=("part_ids",))
    assert view.part_ids is not None
    return view.part_ids.numpy(), camera


def test_shut_lids_leave_less_than_five_percent_of_the_aperture() -> None:
    people = HEAD.identity_vector([HEAD.sample_identity(21, k) for k in range(PEOPLE)])
    for extra in ({}, {"AU4": 5, "AU7": 5}, {"AU6": 5, "AU9": 5}):
        opened, _ = close_up(HEAD(people))
        shut, _ = close_up(HEAD(people, ActionUnits(AU43=1, **extra)))
        aperture = np.isin(opened, EYES).sum((1, 2))
        left_over = np.isin(shut, EYES).sum((1, 2))
        assert aperture.min() > 500  # pixels: the eyes are open to begin with
        assert (left_over < 0.05 * aperture).all(), (extra, (left_over / aperture).round(3).tolist())


@pytest.mark.parametrize("yaw", [-30.0, 0.0, 30.0])
@pytest.mark.parametrize("shut", [0, 1])
def test_no_eyeball_shows_through_the_skin_in_the_all_units_pose(yaw: float, shut: int) -> None:
    people = HEAD.identity_vector([HEAD.sample_identity(21, k) for k in range(PEOPLE)])
    mesh = HEAD(people, ActionUnits(**ALL, AU43=shut))
    parts, camera = close_up(mesh, yaw)
    stray = np.zeros(PEOPLE, int)
    for eye, rings in zip(EYES, HEAD.lid_rings, strict=True):
        ring = camera.project(mesh.vertices[:, rings[1]]).numpy()
        for person in range(PEOPLE):
            rows, columns = np.nonzero(parts[person] == eye)
            stray[person] += outside(ring[person], columns + 0.5, rows + 0.5).sum()
    assert stray.max() == 0, stray.tolist()


def outside(polygon: np.ndarray, x: np.ndarray, y: np.ndarray, slack: float = 1.5) -> np.ndarray:
    """Whether points lie further than `slack` pixels outside a closed polygon."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    crosses = (start[:, None, 1] > y) != (end[:, None, 1] > y)
    height = np.where(end[:, 1] == start[:, 1], 1, end[:, 1] - start[:, 1])[:, None]
    at = start[:, None, 0] + (y - start[:, None, 1]) / height * (end - start)[:, None, 0]
    inside = (crosses & (x < at)).sum(0) % 2 == 1
    along = end - start
    points = np.stack([x, y], 1)
    share = ((points[:, None] - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
    spot = start + np.clip(share, 0, 1)[..., None] * along
    distance = np.sqrt(((points[:, None] - spot) ** 2).sum(-1)).min(1) if len(x) else np.zeros(0)
    return ~inside & (distance > slack)


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 40.0])
def test_no_back_face_lies_in_front_in_the_all_units_pose(yaw: float) -> None:
    """Were back faces drawn, none of the face would come nearer than what is drawn: nothing is inside out."""
    people = HEAD.identity_vector([HEAD.sample_identity(21, k) for k in range(PEOPLE)])
    mesh = HEAD(people, ActionUnits(**ALL, AU43=1, AU25=3))
    camera = Camera.orbit(yaw_degrees=[yaw] * PEOPLE, fov_degrees=14.0, size=256, target=(0.0, 0.0, 0.03))
    transform = camera.world_to_clip
    clip = mesh.vertices @ transform[:, :3, :3].transpose(1, 2) + transform[:, None, :3, 3]
    clip = torch.cat([clip, clip[..., 2:]], 2)
    culled = rasterize(clip, HEAD.topology.faces, camera.size)
    drawn = rasterize(clip, HEAD.topology.faces, camera.size, cull=False)
    covered = culled.face_ids >= 0
    nearer = covered & (drawn.depth < culled.depth - 2e-4)  # 0.2 mm: lash cards have a back at no distance
    # A fold of skin (a lid's crease, a nostril's rim, an ear) may turn a sliver of itself away.
    share = nearer.sum((1, 2)) / covered.sum((1, 2))
    assert share.max() < 0.002, share.tolist()
    # And no hole: a pixel without a front face has no back face of the head above the collar either.
    chin = camera.project(mesh.vertices[:, HEAD.landmarks[8:9]])[:, 0, 1]
    rows = torch.arange(256)[None, :, None] + 0.5
    hole = ~covered & (drawn.face_ids >= 0) & (rows < chin[:, None, None])
    assert hole.sum((1, 2)).max() == 0, hole.sum((1, 2)).tolist()
