"""Knows what rides on a head's surface with its expression: wrinkles, occlusion, and where up is for both.

An action unit at weight 1 adds its wrinkles and its change of occlusion; both sums are one call of the room
`deformation`, whose order of summation is fixed.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.facs.action_units import AU_NUMBERS, JAW, SIDES
from pain3d.head.assets import HeadFileError
from pain3d.kernels.deformation import deform, planar_basis
from pain3d.mesh import Surface

UNITS = len(AU_NUMBERS) * len(SIDES)
OCCLUSION_FORMAT = "pain3d-occlusion/1"
OCCLUSION_ENDING = ".occlusion.npz"  # of the file beside a head file
OCCLUSION_STEP = 1 / 127  # share of the sky; stored as int8
MIDLINE_BLEND = 0.006  # m: half width of the change from left to right
MAX_OCCLUSION_BYTES = 16 * 2**20  # unpacked; the default head's is 250 kB


def read_occlusion(path: Path, template: Tensor) -> tuple[Tensor | None, Tensor]:
    """Occlusion at rest [V], and its change [A · 2, V, 3] at weight 1 (in the last channel), of a head file.

    They lie in a file beside the head file. Without it the rest is None and the change zeros: the occlusion of such a
    head stays as in the neutral face.

    Raises:
        HeadFileError: The file is there and can't be used, or was made for another head.
    """
    beside = path.with_name(path.name.removesuffix(".npz") + OCCLUSION_ENDING)
    vertices = len(template)
    basis = torch.zeros(len(AU_NUMBERS), len(SIDES), vertices, 3)
    if not beside.exists():
        return None, basis.flatten(0, 1)
    numbers, rest, change = _stored(beside, path, vertices)
    left = (0.5 + template[:, 0] / (2 * MIDLINE_BLEND)).clamp(0, 1)
    for number, moved in zip(numbers, torch.from_numpy(change), strict=True):
        share = torch.full_like(left, 0.5) if number in JAW else left  # a jaw opens as a whole
        basis[AU_NUMBERS.index(number), 0, :, 2] = moved * share
        basis[AU_NUMBERS.index(number), 1, :, 2] = moved * (1 - share)
    return torch.from_numpy(rest), basis.flatten(0, 1)


def _stored(
    path: Path, head: Path, vertices: int
) -> tuple[list[int], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Action units, occlusion at rest [V], and the change [K, V] that each unit brings on both sides."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_OCCLUSION_BYTES:
                raise ValueError("unpacks to more than any head needs")
        with np.load(path, allow_pickle=False) as stored:
            version, made_for = str(stored["format"][()]), str(stored["head"][()])
            numbers, rest, steps = stored["units"], stored["rest"], stored["change"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise HeadFileError(f"{path}: not an occlusion file ({error})".splitlines()[0]) from error
    if version != OCCLUSION_FORMAT:
        raise HeadFileError(f"{path}: format is {version!r}, this version reads {OCCLUSION_FORMAT!r}")
    if made_for != hashlib.sha256(head.read_bytes()).hexdigest():
        raise HeadFileError(f"{path}: was made for another head than {head.name}")
    if rest.dtype != np.uint8 or rest.shape != (vertices,):
        raise HeadFileError(f"{path}: rest must be [{vertices}] uint8, got {list(rest.shape)} {rest.dtype}")
    if steps.dtype != np.int8 or steps.shape != (numbers.size, vertices):
        raise HeadFileError(f"{path}: change must be [{numbers.size} {vertices}] int8, got {list(steps.shape)}")
    known = [int(number) for number in numbers.ravel().tolist()]
    if len(set(known)) != len(known) or not set(known) <= set(AU_NUMBERS):
        raise HeadFileError(f"{path}: units {known} are not different action units of {list(AU_NUMBERS)}")
    return known, rest.astype(np.float32) / np.float32(255), steps.astype(np.float32) * np.float32(OCCLUSION_STEP)


def detail_basis(change: Tensor, creases: Tensor) -> Tensor:
    """Basis [A · 2, V, 3] of what an action unit brings: two wrinkle weights and the change of occlusion.

    Args:
        change: [A · 2, V, 3] of `read_occlusion`.
        creases: [A, 2, V, 2], see `pain3d.mesh.Surface`.

    Raises:
        ValueError: creases does not fit the head.
    """
    wanted = (len(AU_NUMBERS), len(SIDES), change.shape[1], 2)
    if tuple(creases.shape) != wanted:
        raise ValueError(f"creases must be {list(wanted)}, got {list(creases.shape)}")
    basis = torch.cat([creases.flatten(0, 1), change[..., 2:]], 2)
    return planar_basis(basis) if basis.is_cuda else basis


def detail(basis: Tensor, occlusion: Tensor, weights: Tensor, surface: Surface | None) -> tuple[Tensor, Tensor | None]:
    """Occlusion [R, V] in 0–1 and, where there is a surface, wrinkle weights [R', V, 2] of R expressions.

    Args:
        basis: [A · 2, V, 3] of `detail_basis`.
        occlusion: [V] at rest.
        weights: [R, A, 2] 0–1, see `rig.action_weights`.
        surface: Whose wrinkles; 1 or B people.

    Gradients: to basis, weights and the surface.
    """
    flat = weights.flatten(1).contiguous()
    nothing = torch.zeros_like(occlusion)
    template = torch.stack([nothing, nothing, occlusion], 1)[None]
    summed = deform(template, basis, flat.to(template.dtype))
    shaded = summed[..., 2].clamp(0, 1)
    if surface is None:
        return shaded, None
    return shaded, surface.resting + surface.depth[:, None, None] * summed[..., :2]
