"""Knows what must be installed beside pain3d for a command that learns, and says so before anything begins."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from pain3d.console.refused import RefusedError

NEEDS: Final = {  # modules that a command imports, by the extra of pain3d that brings them
    "train": ("timm", "safetensors", "sklearn", "scipy"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
}


def need_extra(name: str, what: str) -> None:
    """See that the modules of an extra can be imported; looks only.

    Args:
        name: Of NEEDS.
        what: Needs them, for the message.

    Raises:
        RefusedError: Some are missing; says what to install.
    """
    missing = [module for module in NEEDS[name] if find_spec(module) is None]
    if missing:
        raise RefusedError(f"{what} needs {', '.join(missing)}: pip install 'pain3d[{name}]'")
