"""Heads of other makers, read from the user's own files: FLAME, ICT-FaceKit, a folder of OBJ blendshapes."""

from pain3d.head.foreign.loading import load_foreign, says_foreign

__all__ = ["load_foreign", "says_foreign"]
