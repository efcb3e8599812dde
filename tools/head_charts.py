"""UV charts of the default head: the islands of the source map, repacked to let the face fill the square."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.mpfb2_source import Array, Indices

# Where each part's chart lies in the unit square (u0, v0, u1, v1), v up. The face chart takes the upper 71 %.
CHART_BOXES = {
    "skin": (0.004, 0.294, 0.996, 0.996),
    "left_eye": (0.004, 0.004, 0.200, 0.200),
    "right_eye": (0.206, 0.004, 0.402, 0.200),
    "tongue": (0.004, 0.206, 0.120, 0.286),
    "teeth": (0.126, 0.206, 0.402, 0.286),
    "neck": (0.408, 0.004, 0.800, 0.286),
    "mouth": (0.806, 0.100, 0.996, 0.286),
    "lashes": (0.806, 0.004, 0.996, 0.094),
}
EYE_CAP = np.radians(100.0)  # the front of the eyeball that gets texels; the rest is squeezed into the chart's rim
EYE_CAP_RADIUS = 0.48
FACE_WEIGHT = 5.0  # a square millimetre of face is worth this many of scalp


def islands(uv_quads: Indices, uv_count: int) -> Indices:
    """Number [Q] of the uv island of each quad, largest island first."""
    parent = np.arange(uv_count)
    while True:  # label propagation: every uv takes the least label of its quad until nothing changes
        least = parent[uv_quads].min(1)
        before = parent.copy()
        np.minimum.at(parent, uv_quads.ravel(), np.repeat(least, uv_quads.shape[1]))
        parent = parent[parent]
        if (parent == before).all():
            break
    labels = parent[uv_quads[:, 0]]
    names, sizes = np.unique(labels, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    return np.asarray(np.argmax(labels[:, None] == order[None], 1))


def _into(box: tuple[float, float, float, float], uv: Array) -> Array:
    low, high = uv.min(0), uv.max(0)
    start, end = np.array(box[:2]), np.array(box[2:])
    return np.asarray(start + (uv - low) / np.maximum(high - low, 1e-9) * (end - start))


def _equalise(coordinate: Array, positions: Array, weights: Array, strength: float) -> Array:
    """Monotone map of one uv axis to [0, 1] that gives length by weight; bijective because each axis is monotone."""
    edges = np.linspace(coordinate.min(), coordinate.max(), 257)
    density, _ = np.histogram(positions, edges, weights=weights)
    density = np.convolve(density, np.hanning(25) / np.hanning(25).sum(), "same")
    density = (density / density.mean()) ** strength + 0.15
    cumulative = np.concatenate([[0], np.cumsum(density)])
    return np.asarray(np.interp(coordinate, edges, cumulative / cumulative[-1]))


def _eye_chart(points: Array) -> Array:
    """Azimuthal map of an eyeball about its optical axis (+z): uv [V, 2] in the unit square, pupil in the middle."""
    offset = points - points.mean(0)
    angle = np.arccos(np.clip(offset[:, 2] / np.linalg.norm(offset, axis=1), -1, 1))
    inside = EYE_CAP_RADIUS * angle / EYE_CAP
    rim = EYE_CAP_RADIUS + (0.5 - EYE_CAP_RADIUS) * (angle - EYE_CAP) / (np.pi - EYE_CAP)
    radius = np.where(angle < EYE_CAP, inside, rim)
    azimuth = np.arctan2(offset[:, 1], offset[:, 0])
    return np.asarray(0.5 + radius[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], 1))


def repack(
    uvs: Array, uv_faces: Indices, vertices: Array, faces: Indices, face_parts: Indices, parts: Sequence[str]
) -> Array:
    """New uvs [T, 2] in the unit square, v up: the face upright and enlarged, then eyes, mouth, neck, teeth, lashes."""
    packed = np.zeros_like(uvs)
    # A uv has one vertex: its position, for the eyes and for measuring area.
    vertex_of = np.zeros(len(uvs), int)
    vertex_of[uv_faces.ravel()] = faces.ravel()
    for part, box in CHART_BOXES.items():
        wanted = [parts.index(p) for p in (("upper_teeth", "lower_teeth") if part == "teeth" else (part,))]
        chosen = np.isin(face_parts, wanted)
        used = np.unique(uv_faces[chosen])
        chart = uvs[used]
        if part == "skin":  # the source's face looks along +u: turn it upright, chin down
            corners = vertices[faces[chosen]]
            area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
            middle = corners.mean(1)
            facial = (middle[:, 2] > 0.95) & (middle[:, 1] > 6.1) & (middle[:, 1] < 7.9)
            weights = area * np.where(facial, FACE_WEIGHT, 1.0)
            centres = uvs[uv_faces[chosen]].mean(1)
            across = _equalise(chart[:, 1], centres[:, 1], weights, 0.5)
            down = _equalise(chart[:, 0], centres[:, 0], weights, 0.5)
            chart = np.stack([across, 1 - down], 1)
        elif part.endswith("eye"):
            chart = _eye_chart(vertices[vertex_of[used]])
        packed[used] = _into(box, chart)
    return packed
