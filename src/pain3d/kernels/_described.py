"""Knows how records of tensors show themselves: by shapes and dtypes, where numbers would fill pages."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from torch import Tensor

LONGEST = 160  # characters of a field that is no tensor and no record


def described(record: Any) -> str:
    """Return ``View(image=uint8 [3, 512, 512, 3], alpha=None, …)``: the ``__repr__`` of a dataclass or named tuple."""
    names = [field.name for field in fields(record)] if is_dataclass(record) else record._fields
    return f"{type(record).__name__}({', '.join(f'{name}={_short(getattr(record, name))}' for name in names)})"


def _short(value: Any) -> str:
    if isinstance(value, Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        learns = " with gradient" if value.requires_grad else ""
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}{place}{learns}"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {list(value.shape)}"
    if isinstance(value, dict):
        shown = "{" + ", ".join(f"{name!r}: {_short(each)}" for name, each in value.items()) + "}"
        return shown if len(shown) <= LONGEST else f"{len(value)} by name"
    shown = repr(value)
    if isinstance(value, list | tuple) and len(shown) > LONGEST:
        return f"{len(value)} of {type(value[0]).__name__}"
    return shown
