"""Knows how `SurfaceMaps` come about: the chart rasterised, padded outwards, with noise, slopes and masks on it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pain3d.head.model import Head
from pain3d.kernels.rasterization import Fragments, rasterize
from pain3d.skin.beard_hairs import place_hairs
from pain3d.skin.eyes import eye_directions
from pain3d.skin.maps import FRONTAL_CENTRE, FRONTAL_EXTENT, FRONTAL_SIZE, Box, Bytes, Floats, SurfaceMaps
from pain3d.skin.masks import skin_masks
from pain3d.skin.mouth import tooth_places
from pain3d.skin.noise import noise_at
from pain3d.skin.relief import slope_matrix
from pain3d.skin.strands import polar_masks

MILLIMETRES = np.float32(1000.0)
# mm: complexion, patches, blotches, capillaries, pores
WAVELENGTHS = {"broad": 48.0, "patch": 13.0, "blotch": 6.0, "mottle": 2.8, "grain": 1.4}
OVERLAP_DEPTH = 1e-6  # per metre: orders overlapping faces and moves no barycentric coordinate


def build_maps(head: Head, size: int) -> SurfaceMaps:
    """The maps of a head, masks included; see `surface_maps`."""
    topology = head.topology
    uvs = topology.uvs.double()
    corner_of = np.zeros(len(head.template), np.int64)
    skin = topology.face_parts == topology.part_names.index("skin")
    for faces in (~skin, skin):  # a vertex of the skin and of the mouth means its texel on the skin's chart
        corner_of[topology.faces[faces].numpy().ravel()] = topology.uv_faces[faces].numpy().ravel()
    fragments = rasterize_chart(head, size)
    face_ids = fragments.face_ids[0].numpy()
    covered = face_ids >= 0
    nearest = _nearest_covered(covered)
    face = face_ids.ravel()[nearest]
    weights = fragments.barycentrics[0].numpy().reshape(-1, 3)[nearest].astype(np.float32)
    corners = topology.faces.numpy()[face]
    points = _interpolate(head.template.numpy() * MILLIMETRES, corners, weights)
    cavity = 1 - _interpolate(topology.occlusion.numpy()[:, None], corners, weights)[:, 0]
    part = topology.face_parts.numpy()[face].astype(np.uint8).reshape(size, size)
    x, y, z = (np.ascontiguousarray(points[:, axis].reshape(size, size)) for axis in range(3))
    texel_of = np.stack([uvs[:, 0] * size - 0.5, (1 - uvs[:, 1]) * size - 0.5], 1).astype(np.float32)[corner_of]
    chosen = head.landmarks.numpy()
    template = head.template.numpy() * MILLIMETRES
    rings = head.lid_rings.numpy()
    maps = SurfaceMaps(
        size=size,
        part_names=topology.part_names,
        part=part,
        covered=covered,
        x=x,
        y=y,
        z=z,
        cavity=np.ascontiguousarray(cavity.reshape(size, size)),
        noise={name: noise_at(points, length).reshape(-1, size, size) for name, length in WAVELENGTHS.items()},
        azimuth=np.arctan2(np.abs(x), z).astype(np.float32),
        boxes=_boxes(part, topology.part_names),
        frontal=_frontal(head, texel_of),
        landmarks={name: template[v] for name, v in zip(head.landmark_names, chosen, strict=True)},
        landmark_texels={name: texel_of[v] for name, v in zip(head.landmark_names, chosen, strict=True)},
        lid_texels=texel_of[rings],
        lid_points=template[rings],
        slopes=slope_matrix(x, y, z, part, covered),
    )
    maps.masks.update(skin_masks(maps))
    maps.masks.update(_laid_masks(head, corners, weights, size))
    laid_x, laid_y, laid_z = (maps.masks[f"laid_{axis}"] for axis in "xyz")
    maps.masks.update(polar_masks(maps))
    maps.eyes.update({name: eye_directions(maps, name) for name in maps.boxes if name.endswith("eye")})
    maps.teeth.update({name: tooth_places(maps, name) for name in maps.boxes if name.endswith("teeth")})
    maps.beard.update({name: place_hairs(maps, name) for name in ("skin", "neck") if name in maps.boxes})
    maps.masks["laid_slopes"] = slope_matrix(laid_x, laid_y, laid_z, part, covered)
    return maps


def rasterize_chart(head: Head, size: int) -> Fragments:
    """Which face lies under each texel centre of a texture of `size` a side, and where in it: one picture of the chart.

    Args:
        head: On the CPU.
        size: Texels a side.

    Returns:
        Fragments: barycentrics in float64, depth of no meaning.
    """
    topology = head.topology
    uvs = topology.uvs.double()
    # Where faces overlap on the chart (behind the eyeballs) the one further in front of the head is meant.
    away = torch.ones_like(uvs[:, :1])
    away[topology.uv_faces.flatten().long(), 0] -= (
        OVERLAP_DEPTH * head.template.double()[topology.faces.flatten().long(), 2]
    )
    chart = torch.cat([(2 * uvs - 1) * away, torch.zeros_like(away), away], 1)
    return rasterize(chart[None], topology.uv_faces, (size, size), cull=False)


def _laid_masks(head: Head, corners: npt.NDArray[np.int32], weights: Floats, size: int) -> dict[str, Floats]:
    """Where texels lie once the ears lie flat under hair (mm), and which of them are on ears, [H, W] each."""
    ears, offset = head.laid_ears()
    laid = np.concatenate([head.template.numpy(), np.zeros((len(head.template), 1), np.float32)], 1)
    laid[ears.numpy(), :3] += offset.numpy()
    laid[:, :3] *= MILLIMETRES
    laid[ears.numpy(), 3] = 1
    planes = _interpolate(laid, corners, weights)
    names = ("laid_x", "laid_y", "laid_z", "laid_ear")
    return {name: np.ascontiguousarray(planes[:, k].reshape(size, size)) for k, name in enumerate(names)}


def _interpolate(values: Floats, corners: npt.NDArray[np.int32], weights: Floats) -> Floats:
    table, share = torch.from_numpy(values), torch.from_numpy(weights)
    index = torch.from_numpy(corners)
    return np.asarray(sum(table.index_select(0, index[:, k]) * share[:, k : k + 1] for k in range(3)), np.float32)


def _nearest_covered(covered: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Flat index [H · W] of the nearest covered texel of each texel."""
    _, labels = cv2.distanceTransformWithLabels(
        (~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    places = np.flatnonzero(covered)
    of_label = np.zeros(labels.max() + 1, np.int64)
    of_label[labels.ravel()[places]] = places
    return np.asarray(of_label[labels.ravel()])


def _boxes(part: Bytes, names: tuple[str, ...]) -> dict[str, Box]:
    boxes = {}
    for number, name in enumerate(names):
        inside = part == number
        if inside.any():
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            boxes[name] = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    return boxes


def _frontal(head: Head, texel_of: Floats) -> Floats:
    """Texel under each pixel of a parallel view of the skin from the front; where there is none, the nearest."""
    topology = head.topology
    skin = topology.face_parts == topology.part_names.index("skin")
    points = head.template.double() * float(MILLIMETRES)
    away = 1000 - points[:, 2:]  # the nearest face wins; any distance beyond the head does
    flat = (points[:, :2] - torch.tensor([0.0, FRONTAL_CENTRE], dtype=torch.float64)) / FRONTAL_EXTENT
    clip = torch.cat([flat * away, torch.zeros_like(away), away], 1)
    fragments = rasterize(clip[None], topology.faces[skin], (FRONTAL_SIZE, FRONTAL_SIZE), cull=True)
    seen = fragments.face_ids[0].numpy()
    nearest = _nearest_covered(seen >= 0)
    weights = fragments.barycentrics[0].numpy().reshape(-1, 3)[nearest].astype(np.float32)
    corners = topology.faces[skin].numpy()[seen.ravel()[nearest]]
    return _interpolate(texel_of, corners, weights).reshape(FRONTAL_SIZE, FRONTAL_SIZE, 2)
