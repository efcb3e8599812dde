"""Knows binary glTF 2.0 (Khronos, ISO/IEC 12113:2022): one textured mesh, its shapes by name, its joints.

Shapes are sparse accessors: a unit moves a tenth of a head. Names of shapes stand in ``mesh.extras.targetNames``, where
Blender, three.js and others look for them; corners carry the number of our vertex as ``_VERTEX``.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.facs.action_units import CURVE_INTENSITIES, CURVE_WEIGHTS
from pain3d.mesh_files.corners import Array, Corners
from pain3d.mesh_files.rig import NOTHING, Rig

COMPONENTS = {"uint8": 5121, "uint16": 5123, "uint32": 5125, "float32": 5126}
KINDS = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}
VERTEX_DATA, INDEX_DATA = 34962, 34963  # targets of a bufferView
SMOOTH, SMOOTH_MIPMAPS, CLAMPED = 9729, 9987, 33071  # linear filters, no repeat
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
INFLUENCES = 4  # joints per corner: glTF has four
ROUGHNESS = 0.6
CLAY = (0.42, 0.38, 0.35, 1.0)  # linear, of a head that nobody painted

Data = npt.NDArray[Any]


class Content:
    """The JSON and the binary chunk of a file that is being put together."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"bufferViews": [], "accessors": []}
        self.binary = bytearray()

    def view(self, content: bytes, target: int | None = None) -> int:
        """Number of a new bufferView; each begins at a multiple of four bytes."""
        entry = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(content)}
        self.document["bufferViews"].append(entry if target is None else {**entry, "target": target})
        self.binary += content + bytes(-len(content) % 4)
        return len(self.document["bufferViews"]) - 1

    def accessor(self, values: Data, target: int | None = None, limits: bool = False) -> int:
        """Number of a new accessor of values [N, ...]; with `limits` it says the least and the greatest."""
        entry = self._described(values, limits)
        entry["bufferView"] = self.view(np.ascontiguousarray(values).tobytes(), target)
        return self._added(entry)

    def sparse(self, values: Array, limits: bool = False) -> int:
        """Number of a new accessor of values [N, 3] that are 0 but for some rows."""
        entry = self._described(values, limits)
        rows = np.flatnonzero((values != 0).any(1)).astype(np.uint32)
        if len(rows):
            entry["sparse"] = {
                "count": len(rows),
                "indices": {"bufferView": self.view(rows.tobytes()), "componentType": COMPONENTS["uint32"]},
                "values": {"bufferView": self.view(values[rows].tobytes())},
            }
        return self._added(entry)

    def packed(self) -> bytes:
        """The file."""
        self.document["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.document, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<II", len(text), JSON_CHUNK) + text
        chunks += struct.pack("<II", len(self.binary), BINARY_CHUNK) + bytes(self.binary)
        return struct.pack("<III", MAGIC, 2, 12 + len(chunks)) + chunks

    def _described(self, values: Data, limits: bool) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "componentType": COMPONENTS[values.dtype.name],
            "count": len(values),
            "type": KINDS[values.shape[1:]],
        }
        if limits:
            entry |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        return entry

    def _added(self, entry: dict[str, Any]) -> int:
        self.document["accessors"].append(entry)
        return len(self.document["accessors"]) - 1


def glb_bytes(
    places: Array,
    normals: Array,
    corners: Corners,
    *,
    generator: str,
    copyright_line: str,
    picture: bytes | None = None,
    rig: Rig | None = None,
) -> bytes:
    """A GLB file of one mesh.

    Args:
        places: [V, 3] metres; of a rig those of its neutral mesh.
        normals: [V, 3].
        corners: Of its topology.
        generator: Who made the file.
        copyright_line: Licence and credit of the head.
        picture: PNG of the base colour; None is clay.
        rig: Shapes and joints; None has neither.
    """
    content = Content()
    document = content.document
    document["asset"] = {"version": "2.0", "generator": generator, "copyright": copyright_line}
    attributes = {
        "POSITION": content.accessor(places[corners.vertex], VERTEX_DATA, limits=True),
        "NORMAL": content.accessor(normals[corners.vertex], VERTEX_DATA),
        "TEXCOORD_0": content.accessor(np.stack([corners.uvs[:, 0], 1 - corners.uvs[:, 1]], 1), VERTEX_DATA),
        "_VERTEX": content.accessor(corners.vertex.astype(np.float32), VERTEX_DATA),
    }
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": content.accessor(corners.faces.astype(np.uint32).ravel(), INDEX_DATA),
        "material": 0,
    }
    mesh: dict[str, Any] = {"name": "head", "primitives": [primitive]}
    node: dict[str, Any] = {"name": "head", "mesh": 0}
    document["materials"] = [_material(content, picture)]
    document |= {"meshes": [mesh], "nodes": [node], "scene": 0, "scenes": [{"nodes": [0]}]}
    if rig is not None:
        primitive["targets"] = [
            {"POSITION": content.sparse(_cleared(move)[corners.vertex], limits=True),
             "NORMAL": content.sparse(_cleared(turn)[corners.vertex])}
            for move, turn in zip(rig.moves, rig.turns, strict=True)
        ]  # fmt: skip
        mesh["weights"] = rig.weights.tolist()
        curve = {"intensity": list(CURVE_INTENSITIES), "weight": list(CURVE_WEIGHTS)}
        mesh["extras"] = {"targetNames": list(rig.names), "facsCurve": curve}
        _hang_on_joints(content, corners, attributes, node, rig)
    return content.packed()


def _cleared(rows: Array) -> Array:
    """Rows [V, 3] without those that are rounding alone."""
    return np.where(np.abs(rows).max(1, keepdims=True) > NOTHING, rows, np.float32(0))


def _material(content: Content, picture: bytes | None) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
    if picture is None:
        surface["baseColorFactor"] = list(CLAY)
    else:
        content.document["images"] = [{"bufferView": content.view(picture), "mimeType": "image/png"}]
        content.document["samplers"] = [
            {"magFilter": SMOOTH, "minFilter": SMOOTH_MIPMAPS, "wrapS": CLAMPED, "wrapT": CLAMPED}
        ]
        content.document["textures"] = [{"source": 0, "sampler": 0}]
        surface["baseColorTexture"] = {"index": 0}
    return {"name": "skin", "pbrMetallicRoughness": surface}


def _hang_on_joints(
    content: Content, corners: Corners, attributes: dict[str, int], node: dict[str, Any], rig: Rig
) -> None:
    """Joints as nodes after the mesh's, at rest where the mesh is: their inverse bind matrices are translations."""
    count, spare = len(rig.joints), INFLUENCES - rig.skin_weights.shape[1]
    weights = np.pad(rig.skin_weights, ((0, 0), (0, spare))).astype(np.float32)
    joints = np.where(weights > 0, np.pad(rig.skin_joints, ((0, 0), (0, spare))), 0).astype(np.uint8)
    attributes["JOINTS_0"] = content.accessor(joints[corners.vertex], VERTEX_DATA)
    attributes["WEIGHTS_0"] = content.accessor(weights[corners.vertex], VERTEX_DATA)
    back = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    back[:, 3, :3] = -rig.joints  # column-major: the last four numbers are the translation
    nodes = content.document["nodes"]
    for place, (name, parent) in enumerate(zip(rig.joint_names, rig.joint_parents, strict=True)):
        offset = rig.joints[place] - (rig.joints[parent] if parent >= 0 else 0)
        entry: dict[str, Any] = {"name": name, "translation": offset.tolist()}
        children = [1 + child for child, above in enumerate(rig.joint_parents) if above == place]
        nodes.append({**entry, "children": children} if children else entry)
    node["skin"] = 0
    root = 1 + rig.joint_parents.index(-1)
    content.document["skins"] = [
        {"joints": list(range(1, 1 + count)), "skeleton": root, "inverseBindMatrices": content.accessor(back)}
    ]
    content.document["scenes"][0]["nodes"].append(root)
