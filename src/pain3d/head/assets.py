"""The head file: our `.npz` format, how it is written and how an untrusted one is checked.

A head file is a zip of plain arrays (no pickles). Shapes (identity shapes, then expression units) are stored sparsely
as whole multiples of `STEP` metres: shape k moves vertices `shape_vertex[a:b]` by `shape_delta[a:b] * STEP` with
`a, b = shape_start[k:k+2]`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.doors.text import parse_json

FORMAT = "pain3d-head/1"
STEP = 1e-5  # metres: a hundredth of a millimetre, ten times finer than the source's own digits
MAX_FILE_BYTES = 256 * 2**20  # unpacked; the default head is 6 MB, FLAME and ICT would be under 100
MAX_EXTENT = 2.0  # metres from the origin: a larger head is in another unit
NAMES = ("identity", "units", "landmarks", "regions", "joints", "parts")  # lists of `meta`
DEFAULT_HEAD = Path(__file__).parent / "data" / "head_cc0.npz"

Arrays = dict[str, npt.NDArray[Any]]

# name: (shape in letters, kind of number). V vertices, F faces, T uvs, J joints, S identity shapes, L local shapes,
# U units, R regions, N landmarks, C lid columns; * is any length.
LAYOUT: dict[str, tuple[str, str]] = {
    "template": ("V 3", "f"),
    "faces": ("F 3", "u"),
    "uvs": ("T 2", "f"),
    "uv_faces": ("F 3", "u"),
    "face_parts": ("F", "u"),
    "vertex_parts": ("V", "u"),
    "mirror": ("V", "u"),
    "landmarks": ("N", "u"),
    "occlusion": ("V", "f"),
    "regions": ("R V", "b"),
    "skin_weights": ("V J", "f"),
    "joints": ("J 3", "f"),
    "joint_basis": ("S J 3", "f"),
    "local_sigma": ("L", "f"),
    "lid_rings": ("2 8 *", "u"),
    "closing_gap": ("S C", "f"),
    "shape_start": ("*", "u"),
    "shape_vertex": ("*", "u"),
    "shape_delta": ("* 3", "i"),
}


class HeadFileError(ValueError):
    """A head file that can't be used; the message is one line and names the file and the array."""


@dataclass(frozen=True)
class HeadFile:
    """A checked head file: `meta` (names), `arrays` as in `LAYOUT`, and the dense shapes [S + U, V, 3] in metres."""

    meta: Mapping[str, Any]
    arrays: Arrays
    shapes: npt.NDArray[np.float32]


def write_head(path: Path, meta: Mapping[str, Any], fields: Arrays, shapes: npt.NDArray[np.floating[Any]]) -> None:
    """Write a head file; the same content gives the same bytes."""
    steps = np.rint(shapes / STEP)
    if np.abs(steps).max() > np.iinfo(np.int16).max:
        raise HeadFileError(f"a shape moves a vertex by more than {np.iinfo(np.int16).max * STEP:.2f} m")
    moved = (steps != 0).any(-1)
    shape, vertex = np.nonzero(moved)
    packed: Arrays = {
        "meta": np.array(json.dumps(meta)),
        **fields,
        "shape_start": np.searchsorted(shape, np.arange(len(shapes) + 1)).astype(np.uint32),
        "shape_vertex": vertex.astype(np.uint16),
        "shape_delta": steps[shape, vertex].astype(np.int16),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in packed.items():
            content = io.BytesIO()
            np.save(content, np.require(array, requirements="C"), allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())


def read_head(path: Path) -> HeadFile:
    """Read and check a head file.

    Raises:
        HeadFileError: the file is missing, not a head file, of another version, or an array in it has the wrong
            shape, kind, range or a non-finite number. Nothing in the file is ever executed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > MAX_FILE_BYTES:
                raise HeadFileError(f"{path}: unpacks to {size} bytes, more than the {MAX_FILE_BYTES} a head may take")
            names = [entry.filename for entry in archive.infolist()]
            if len(names) != len(set(names)):
                raise HeadFileError(f"{path}: two arrays of one name")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except HeadFileError:
        raise
    except FileNotFoundError:
        raise HeadFileError(f"{path}: no such head file") from None
    except Exception as error:  # zipfile and the reader of arrays' headers raise whatever a damaged file leads them to
        raise HeadFileError(f"{path}: not a head file ({one_line(error)})") from error
    if "meta" not in arrays:
        raise HeadFileError(f"{path}: not a head file (no array 'meta')")
    held = arrays.pop("meta")
    try:
        meta = parse_json(str(held[()]) if held.ndim == 0 else "", f"{path}: 'meta' can't be read")
    except RefusedError as error:
        raise HeadFileError(str(error)) from error
    version = meta.get("format") if isinstance(meta, dict) else None
    if version != FORMAT:
        raise HeadFileError(f"{path}: format is {quoted(version)}, this version reads {FORMAT!r}")
    _check_meta(path, meta)
    _check(path, meta, arrays)
    return HeadFile(meta, arrays, _dense_shapes(path, meta, arrays))


def _check_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Names are texts, and the numbers among them what they count."""
    for name in NAMES:
        words = meta.get(name)
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise HeadFileError(f"{path}: {name} of 'meta' must be a list of texts, got {quoted(words)}")
    joints, parents, macros = len(meta["joints"]), meta.get("joint_parents"), meta.get("macro_count")
    if type(macros) is not int or not 0 <= macros <= len(meta["identity"]):
        raise HeadFileError(
            f"{path}: macro_count of 'meta' must be in 0..{len(meta['identity'])}, got {quoted(macros)}"
        )
    if (
        not isinstance(parents, list)
        or len(parents) != joints
        or not all(type(parent) is int and -1 <= parent < joint for joint, parent in enumerate(parents))
    ):
        raise HeadFileError(f"{path}: joint_parents of 'meta' must be joints before each, got {quoted(parents)}")
    if not isinstance(meta.get("name"), str) or type(meta.get("jaw_angle")) not in (int, float):
        raise HeadFileError(f"{path}: name or jaw_angle of 'meta' is missing or of another kind")


def _check(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> None:
    """Shapes bind letters across arrays; kinds, finiteness and index ranges hold."""
    bound: dict[str, int] = {
        "S": len(meta["identity"]),
        "L": len(meta["identity"]) - int(meta["macro_count"]),
        "N": len(meta["landmarks"]),
        "R": len(meta["regions"]),
        "J": len(meta["joints"]),
    }
    for name, (letters, kind) in LAYOUT.items():
        if name not in arrays:
            raise HeadFileError(f"{path}: array {name!r} is missing")
        array = arrays[name]
        expected = letters.split()
        fits = array.ndim == len(expected) and array.dtype.kind == kind
        for letter, length in zip(expected, array.shape, strict=False):
            if letter != "*":
                wanted = int(letter) if letter.isdigit() else bound.setdefault(letter, length)
                fits = fits and wanted == length
        if not fits:
            known = ", ".join(f"{k}={v}" for k, v in bound.items())
            shape = list(array.shape)
            raise HeadFileError(
                f"{path}: {name} must be [{letters}] of kind {kind}, got {shape} {array.dtype} ({known})"
            )
        if kind == "f" and not np.isfinite(array).all():
            raise HeadFileError(f"{path}: {name} has a number that is not finite")
    limits = {
        "faces": bound["V"], "uv_faces": bound["T"], "mirror": bound["V"], "landmarks": bound["V"],
        "lid_rings": bound["V"], "shape_vertex": bound["V"],
        "face_parts": len(meta["parts"]), "vertex_parts": len(meta["parts"]),
    }  # fmt: skip
    for name, limit in limits.items():
        if arrays[name].size and int(arrays[name].max()) >= limit:
            raise HeadFileError(f"{path}: {name} points at {int(arrays[name].max())}, there are only {limit}")
    if np.abs(arrays["template"]).max() > MAX_EXTENT:
        raise HeadFileError(f"{path}: template reaches {np.abs(arrays['template']).max():.1f} m, is it in metres?")
    for name in ("uvs", "skin_weights", "occlusion"):
        if arrays[name].min() < -1e-4 or arrays[name].max() > 1 + 1e-4:
            raise HeadFileError(f"{path}: {name} must lie in 0..1")
    if np.abs(arrays["skin_weights"].sum(1) - 1).max() > 1e-3:
        raise HeadFileError(f"{path}: skin_weights must sum to 1 for every vertex")


def _dense_shapes(path: Path, meta: Mapping[str, Any], arrays: Arrays) -> npt.NDArray[np.float32]:
    count = len(meta["identity"]) + len(meta["units"])
    start = arrays["shape_start"].astype(np.int64)
    entries = len(arrays["shape_vertex"])
    if len(start) != count + 1 or (np.diff(start) < 0).any() or start[0] != 0 or start[-1] != entries:
        raise HeadFileError(f"{path}: shape_start does not divide the {entries} moved vertices into {count} shapes")
    if len(arrays["shape_delta"]) != entries:
        raise HeadFileError(f"{path}: shape_delta has {len(arrays['shape_delta'])} rows, shape_vertex {entries}")
    dense = np.zeros((count, len(arrays["template"]), 3), np.float32)
    shape = np.repeat(np.arange(count), np.diff(start))
    dense[shape, arrays["shape_vertex"]] = arrays["shape_delta"].astype(np.float32) * np.float32(STEP)
    return dense
