"""Knows how a mesh becomes files: which formats there are, what lies beside a file, and that none is half-written."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.files import remove, write_durably
from pain3d.head.foreign.conversion import PACKAGED
from pain3d.mesh import Mesh
from pain3d.mesh_files.corners import corners_of, picture_of, surface_of
from pain3d.mesh_files.gltf import glb_bytes
from pain3d.mesh_files.polygons import material_text, obj_text, ply_bytes
from pain3d.mesh_files.rig import Rig
from pain3d.provenance import pain3d_version

FORMATS: Final = (".obj", ".ply", ".glb")


def save_mesh(
    path: Path,
    mesh: Mesh,
    *,
    texture: Tensor | None = None,
    row: int = 0,
    rig: Rig | None = None,
    credit: str = PACKAGED.credit,
) -> tuple[Path, ...]:
    """Write one mesh of a batch as .obj, .ply or .glb; see `Mesh.save` and, with a rig, `Head.save`.

    Returns:
        The files, the one that was asked for first: an OBJ has its material and picture beside it, a PLY its picture.

    Raises:
        RefusedError: Another ending, no such mesh in the batch, no folder there, a texture that is none.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise RefusedError(f"{path}: a mesh is written as {', '.join(FORMATS)}, not {ending or 'without an ending'}")
    if not 0 <= row < len(mesh):
        raise RefusedError(f"row must be in 0..{len(mesh) - 1}: the mesh has {len(mesh)}, got {row}")
    if path.is_dir() or not path.parent.is_dir():
        raise RefusedError(f"{path}: {'a folder' if path.is_dir() else 'its folder is not there'}")
    if texture is not None:
        texture = texture[0] if texture.ndim == 4 and len(texture) == 1 else texture
        if texture.ndim != 3 or texture.shape[2] < 3:
            raise RefusedError(f"texture must be [H, W, 3 or more] of one person, got {list(texture.shape)}")
    made_by = f"pain3d {pain3d_version()}"
    places, normals = surface_of(mesh, row)
    picture = None if texture is None else picture_of(texture)
    beside = path.with_suffix(".png")
    files: dict[Path, bytes] = {}
    if ending != ".glb" and picture is not None:
        files[beside] = picture
    shown = None if picture is None else beside.name
    if ending == ".obj":
        material = path.with_suffix(".mtl")
        if shown is not None:
            files[material] = material_text(shown).encode()
        library = None if shown is None else material.name
        files[path] = obj_text(places, normals, mesh.topology, (made_by, credit, "metres"), library).encode()
    elif ending == ".ply":
        files[path] = ply_bytes(places, normals, corners_of(mesh.topology), (made_by, credit, "metres"), shown)
    else:
        files[path] = glb_bytes(
            places,
            normals,
            corners_of(mesh.topology),
            generator=made_by,
            copyright_line=credit,
            picture=picture,
            rig=rig,
        )
    with contextlib.ExitStack() as undone:
        for name, content in files.items():  # what a file names is there before it
            fresh = not name.exists()
            write_durably(name, content)
            if fresh:
                undone.callback(remove, name)
        undone.pop_all()
    return tuple(reversed(files))
