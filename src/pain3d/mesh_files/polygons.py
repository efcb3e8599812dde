"""Knows OBJ and PLY: the text and bytes of one mesh with texture coordinates and normals.

OBJ as in Wavefront's "Object Files" (1995): indices count from 1, v up. PLY as in Turk's "The PLY Polygon File Format"
(1994), binary; ``s`` and ``t`` are the names that Blender reads, and the comment ``TextureFile`` is MeshLab's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pain3d.mesh import Topology
from pain3d.mesh_files.corners import Array, Corners


def obj_text(
    places: Array, normals: Array, topology: Topology, comments: tuple[str, ...], material_file: str | None
) -> str:
    """An OBJ file with a group per part; its vertices are those of the head, in their order.

    Args:
        places: [V, 3] metres.
        normals: [V, 3].
        topology: Faces, texture coordinates, parts.
        comments: A line each.
        material_file: Name of the file with the material ``skin``; None has no material.
    """
    lines = [f"# {comment}" for comment in comments]
    if material_file is not None:
        lines += [f"mtllib {material_file}", "usemtl skin"]
    for word, rows in (("v", places), ("vt", topology.uvs.cpu().numpy()), ("vn", normals)):
        lines += [f"{word} " + " ".join(f"{number:.7g}" for number in row) for row in rows.tolist()]
    faces, uv_faces = (table.cpu().numpy().astype(np.int64) + 1 for table in (topology.faces, topology.uv_faces))
    parts = topology.face_parts.cpu().numpy()
    for part in np.unique(parts):
        lines.append(f"g {topology.part_names[part]}")
        for face, uvs in zip(faces[parts == part].tolist(), uv_faces[parts == part].tolist(), strict=True):
            lines.append("f " + " ".join(f"{v}/{t}/{v}" for v, t in zip(face, uvs, strict=True)))
    return "\n".join(lines) + "\n"


def material_text(picture: str) -> str:
    """The MTL file beside an OBJ: one matt material whose colour is a picture beside it."""
    return f"newmtl skin\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nd 1\nillum 1\nmap_Kd {picture}\n"


def ply_bytes(places: Array, normals: Array, corners: Corners, comments: tuple[str, ...], picture: str | None) -> bytes:
    """A binary PLY file; its vertices are the corners, for PLY has one texture coordinate a vertex."""
    named = [*comments, *([] if picture is None else [f"TextureFile {picture}"])]
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz", "s", "t")]
    rows = np.concatenate([places[corners.vertex], normals[corners.vertex], corners.uvs], 1).astype("<f4")
    faces: npt.NDArray[np.void] = np.zeros(len(corners.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, corners.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        *(f"comment {comment}" for comment in named),
        f"element vertex {len(rows)}",
        *(f"property float {name}" for name, _ in fields),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return b"".join(["\n".join(header).encode(), b"\n", rows.tobytes(), faces.tobytes()])
