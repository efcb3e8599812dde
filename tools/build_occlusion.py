"""Writes what the action units do to the light that reaches the head, beside a head file: `head_cc0.occlusion.npz`.

    python -m tools.build_occlusion src/pain3d/head/data/head_cc0.npz

Rays are cast from every vertex of the head at rest and with each action unit at its full weight on both sides; the
difference is kept in steps of 1/127. Run it again when the head, its correctives or the rules of its units change.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pain3d.facs.action_units import AU_NUMBERS, ActionUnits
from pain3d.head.model import Head
from pain3d.head.surface_detail import OCCLUSION_ENDING, OCCLUSION_FORMAT, OCCLUSION_STEP
from pain3d.kernels.deformation import vertex_normals
from pain3d.kernels.rasterization import rasterize

Floats = npt.NDArray[np.float64]

DIRECTIONS = 256
SIZE = 640  # pixels of one depth map: 0.5 mm on the head
LOWEST = -0.13  # m: below the chin nothing shades the face
LIFT = 0.0006  # m: rays start this far outside the surface
BIAS = 0.0010  # m: what lies this little before a ray's start does not stop it
INTERIOR = ("mouth", "upper_teeth", "lower_teeth", "tongue")
# Light that bounces inside a mouth: no mouth is a black hole. Enamel passes light on, mucosa hardly.
FLOOR = {"mouth": 0.16, "upper_teeth": 0.50, "lower_teeth": 0.45, "tongue": 0.26}
LASHES = 0.8  # of lash cards, which are no surface
SMALLEST = 2  # steps: less is the noise of counting rays


def directions(count: int) -> Floats:
    """Unit vectors [count, 3], even on the sphere (Fibonacci)."""
    k = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    return np.stack([np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)], 1)


def visible(points: Floats, starts: Floats, faces: torch.Tensor, direction: Floats) -> npt.NDArray[np.bool_]:
    """Which ray starts [V, 3] see out along `direction`, by an orthographic depth map of points [V, 3]."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(direction, right), direction])
    local, start = points @ frame.T, starts @ frame.T
    near = points[:, 1] > LOWEST
    middle = (local[near].max(0) + local[near].min(0))[:2] / 2
    extent = 1.02 * float(np.abs(local[near, :2] - middle).max())
    depth = 10.0 - local[:, 2]
    clip = np.concatenate([(local[:, :2] - middle) / extent * depth[:, None], depth[:, None], depth[:, None]], 1)
    image = rasterize(torch.tensor(clip[None], dtype=torch.float32), faces, (SIZE, SIZE), cull=False).depth[0].numpy()
    place = (start[:, :2] - middle) / extent
    column = ((place[:, 0] * 0.5 + 0.5) * SIZE).astype(int).clip(0, SIZE - 1)
    row = ((0.5 - place[:, 1] * 0.5) * SIZE).astype(int).clip(0, SIZE - 1)
    return np.asarray(10.0 - start[:, 2] <= image[row, column] + BIAS)


def sky_seen(head: Head, au: ActionUnits | None, count: int = DIRECTIONS) -> Floats:
    """Cosine-weighted share of the sky [V] that each vertex of the template's face sees, the same left and right."""
    vertices = head(None, au).vertices
    faces = head.topology.faces
    normals = vertex_normals(vertices, faces)[0].double().numpy()
    points = vertices[0].double().numpy()
    starts = points + LIFT * normals
    total, open_sky = np.full(len(points), 1e-9), np.zeros(len(points))
    for direction in directions(count):
        cosine = np.clip(normals @ direction, 0, None)
        total += cosine
        open_sky += cosine * visible(points, starts, faces, direction)
    seen = open_sky / total
    mirrored = 0.5 * (seen + seen[head.mirror.numpy()])
    parts = head.topology.vertex_parts.numpy()
    names = head.topology.part_names
    for name, floor in FLOOR.items():
        inside = parts == names.index(name)
        mirrored[inside] = floor + (1 - floor) * mirrored[inside]
    mirrored[parts == names.index("lashes")] = LASHES
    return np.asarray(mirrored)


def build(path: Path) -> Path:
    """Write the occlusion file of a head file beside it, and return its path."""
    out = path.with_name(path.name.removesuffix(".npz") + OCCLUSION_ENDING)
    out.unlink(missing_ok=True)  # the head must be read without it
    head = Head(path)
    neutral = sky_seen(head, None)
    parts = head.topology.vertex_parts.numpy()
    inside = np.isin(parts, [head.topology.part_names.index(name) for name in INTERIOR])
    rest = np.where(inside, neutral, head.topology.occlusion.numpy())
    rows = []
    for number in AU_NUMBERS:
        full = 1 if number == 43 else 5
        steps = np.rint((sky_seen(head, ActionUnits(**{f"AU{number}": full})) - neutral) / OCCLUSION_STEP)
        rows.append(np.where(np.abs(steps) < SMALLEST, 0, steps))
    fields: dict[str, npt.NDArray[Any]] = {
        "format": np.array(OCCLUSION_FORMAT),
        "head": np.array(hashlib.sha256(path.read_bytes()).hexdigest()),
        "units": np.array(AU_NUMBERS, np.uint8),
        "rest": np.rint(rest * 255).astype(np.uint8),
        "change": np.stack(rows).astype(np.int8),
    }
    with zipfile.ZipFile(out, "w") as archive:
        for name, array in fields.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue(), compresslevel=9)
    return out


def main() -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path)
    out = build(parser.parse_args().head)
    print(f"wrote {out} ({out.stat().st_size / 2**10:.0f} KiB)")


if __name__ == "__main__":
    main()
