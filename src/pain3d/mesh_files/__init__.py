"""Meshes as files that other programs open: OBJ and PLY with a PNG texture, GLB with action units and joints."""

from pain3d.mesh_files.rig import Rig, rig_of
from pain3d.mesh_files.saving import FORMATS, save_mesh

__all__ = ["FORMATS", "Rig", "rig_of", "save_mesh"]
