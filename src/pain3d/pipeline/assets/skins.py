"""Knows how a photographic skin of the base mesh hm08 becomes one of our head: resampled, and without baked light.

Of the light only what the eye sees first is taken away: a skin's lightness is fitted by nine harmonics of the surface's
direction and by how open it is, and divided by the fit. Colour stays, and so does what varies over less than a cheek.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.colour import linear_to_srgb, srgb_to_linear
from pain3d.head.base_mesh import read_base_mesh
from pain3d.head.model import Head
from pain3d.kernels.deformation import vertex_normals
from pain3d.skin.map_building import rasterize_chart
from pain3d.skin.maps import SurfaceMaps

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

TRIMMED: Final = 0.35  # of the natural logarithm of light: what is off by more is a brow, a lip, a nostril, stubble
ROUNDS: Final = 4  # of the fit, each without what the one before was off by
TAKEN: Final = (0.6, 1.6)  # light that is divided out, of its mean
LIGHTNESS: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)


def fit_skin(picture: Bytes, head: Head, maps: SurfaceMaps) -> Bytes:
    """A skin in the map of hm08 as one that is laid below hair, see `pain3d.skin.photographed`.

    Args:
        picture: [H, W, 3] sRGB, of any size.
        head: The default one, on the CPU.
        maps: Of `surface_maps(head, S)`.

    Returns:
        [S, S, 4] sRGB and where it is to be believed: on skin and neck.
    """
    place, normals = _surface(head, maps.size)
    rows, columns = picture.shape[:2]
    across = place[..., 0] * np.float32(columns) - np.float32(0.5)
    down = (1 - place[..., 1]) * np.float32(rows) - np.float32(0.5)
    resampled = cv2.remap(picture, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    believed = np.isin(maps.part, [maps.part_names.index(name) for name in ("skin", "neck")])
    albedo = srgb_to_linear(np.asarray(resampled, np.float64) / 255.0).astype(np.float32)
    albedo /= baked_light(albedo, normals, maps.cavity, believed & maps.covered & (maps.masks["lips"] < 0.01))[
        ..., None
    ]
    levels = np.rint(255 * linear_to_srgb(np.clip(albedo, 0, 1))).astype(np.uint8)
    return np.dstack([levels, np.where(believed, 255, 0).astype(np.uint8)])


def baked_light(albedo: Floats, normals: Floats, cavity: Floats, fitted: npt.NDArray[np.bool_]) -> Floats:
    """The light [S, S], about 1, that was painted into a linear albedo [S, S, 3].

    Args:
        albedo: It.
        normals: [S, S, 3] of the surface.
        cavity: [S, S] 1 where the surface is closed.
        fitted: [S, S] where skin is.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    terms = (np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1, cavity)
    basis = np.stack(terms, -1).reshape(-1, len(terms)).astype(np.float64)
    seen = np.log(np.maximum(albedo @ LIGHTNESS, 1e-3)).ravel().astype(np.float64)
    chosen = np.flatnonzero(fitted)[::7]  # a seventh of the texels says it as well
    inside, light = np.ones(len(chosen), bool), np.zeros(len(terms))
    for _ in range(ROUNDS):
        some = chosen[inside]
        light = np.linalg.lstsq(basis[some], seen[some], rcond=None)[0]
        inside = np.abs(seen[chosen] - basis[chosen] @ light) < TRIMMED
        if inside.sum() < 10 * len(terms):
            break
    found = basis @ light
    return np.clip(np.exp(found - np.mean(found[chosen])), *TAKEN).reshape(x.shape).astype(np.float32)


def _surface(head: Head, size: int) -> tuple[Floats, Floats]:
    """Of each texel its place in the map of hm08 [S, S, 2] and its normal [S, S, 3]; off the charts, the nearest's."""
    topology, fragments = head.topology, rasterize_chart(head, size)
    face, shares = fragments.face_ids[0].numpy(), fragments.barycentrics[0].numpy().astype(np.float32)
    normal = vertex_normals(head.template[None], topology.faces)[0].numpy()
    uvs = np.zeros((len(topology.uvs), 2), np.float32)
    known = read_base_mesh().uvs
    uvs[: len(known)] = known
    corners, uv_corners = topology.faces.numpy()[face.clip(0)], topology.uv_faces.numpy()[face.clip(0)]
    values = np.concatenate(
        [(uvs[uv_corners] * shares[..., None]).sum(2), (normal[corners] * shares[..., None]).sum(2)], -1
    )
    _, labels = cv2.distanceTransformWithLabels(
        (face < 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    nearest = np.zeros(labels.max() + 1, np.int64)
    covered = np.flatnonzero(face >= 0)
    nearest[labels.ravel()[covered]] = covered
    values = values.reshape(-1, 5)[nearest[labels.ravel()]].reshape(size, size, 5)
    direction = values[..., 2:] / np.maximum(np.linalg.norm(values[..., 2:], axis=-1, keepdims=True), 1e-6)
    return np.ascontiguousarray(values[..., :2]), np.asarray(direction, np.float32)
