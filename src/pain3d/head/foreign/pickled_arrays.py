"""Knows the arrays that an inert pickle describes: numpy's, scipy's compressed matrices, and chumpy's around them."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.head.foreign.inert_pickle import Described, PickleError

NUMBER = re.compile(r"[fiu][1248]")
MOST_VALUES = 2**28  # of one array: 1 GB of float32; FLAME's largest has 6 million


def array_of(described: Any) -> npt.NDArray[Any]:
    """The array of numbers that a part of a pickle describes. Raises PickleError, in one line, if it is none."""
    if isinstance(described, list | int | float):
        return _plain(described)
    if not isinstance(described, Described):
        raise PickleError(f"a {type(described).__name__} stands where an array was due")
    name, state = _true_name(described), described.state
    if name.startswith("chumpy."):
        if not isinstance(state, dict) or "x" not in state:
            raise PickleError(f"{name} holds no array of its own: save it as a plain array")
        return array_of(state["x"])
    if name.endswith("_reconstruct"):
        if not isinstance(state, tuple) or len(state) != 5:
            raise PickleError("an array has no content")
        return _raw(_bytes(state[4]), _dtype(state[2]), state[1], bool(state[3]))
    if name.endswith("_frombuffer") and len(described.arguments) == 4:
        content, dtype, shape, order = described.arguments
        return _raw(_bytes(content), _dtype(dtype), shape, order == "F")
    if name.endswith(("csc_matrix", "csr_matrix")):
        return _matrix(name, state)
    raise PickleError(f"{name} stands where an array was due")


def _true_name(described: Described) -> str:
    """What an object is an instance of: protocol 0 and 1 say it as an argument of ``_reconstructor``."""
    if described.name.endswith("._reconstructor") and described.arguments:
        kind = described.arguments[0]
        return kind.name if isinstance(kind, Described) else ""
    return described.name


def _plain(values: Any) -> npt.NDArray[Any]:
    items = values if isinstance(values, list) else [values]
    if not all(isinstance(item, int | float) and abs(item) < 1e18 for item in items):
        raise PickleError("a list stands where an array was due, and holds no numbers")
    return np.array(values)


def _dtype(described: Any) -> np.dtype[Any]:
    if not isinstance(described, Described) or not described.name.endswith(".dtype") or not described.arguments:
        raise PickleError("an array says no type of number")
    code = described.arguments[0]
    if not isinstance(code, str) or not NUMBER.fullmatch(code.lstrip("<>=|")):
        raise PickleError(f"an array holds {code!r}, no numbers")
    order = described.state[1] if isinstance(described.state, tuple) and len(described.state) > 1 else code[:1]
    return np.dtype((">" if order == ">" else "<") + code.lstrip("<>=|"))


def _bytes(described: Any) -> bytes:
    """Bytes as Python 3, Python 2 (a text of bytes) and protocol 2 (a text to be encoded) write them."""
    if isinstance(described, Described) and described.name == "_codecs.encode" and described.arguments:
        described = described.arguments[0]
    if isinstance(described, str):
        try:
            return described.encode("latin-1")
        except UnicodeEncodeError:
            raise PickleError("an array's content is no bytes") from None
    if not isinstance(described, bytes | bytearray):
        raise PickleError("an array's content is no bytes")
    return bytes(described)


def _raw(content: bytes, dtype: np.dtype[Any], shape: Any, columns_first: bool) -> npt.NDArray[Any]:
    if not isinstance(shape, tuple) or not all(isinstance(side, int) and 0 <= side <= MOST_VALUES for side in shape):
        raise PickleError("an array says no shape")
    if math.prod(shape) > MOST_VALUES or math.prod(shape) * dtype.itemsize != len(content):
        raise PickleError(f"an array of {list(shape)} {dtype} has {len(content)} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if columns_first else "C")


def _matrix(name: str, state: Any) -> npt.NDArray[Any]:
    """A compressed sparse matrix as a dense one; the form is that of Saad, Iterative Methods (2003), section 3.4."""
    if not isinstance(state, dict) or not {"data", "indices", "indptr"} <= state.keys():
        raise PickleError(f"{name} has no content")
    shape = state.get("_shape", state.get("shape"))
    data, indices, start = (array_of(state[key]).ravel() for key in ("data", "indices", "indptr"))
    if not isinstance(shape, tuple) or len(shape) != 2 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise PickleError(f"{name} says no shape")
    lines, along = shape if name.endswith("csr_matrix") else shape[::-1]
    fits = len(start) == lines + 1 and len(data) == len(indices) and lines * along <= MOST_VALUES
    if not fits or start[0] != 0 or start[-1] != len(data) or (np.diff(start.astype(np.int64)) < 0).any():
        raise PickleError(f"{name} does not fit its shape {list(shape)}")
    if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < along):
        raise PickleError(f"{name} points outside its shape {list(shape)}")
    dense = np.zeros((lines, along))
    np.add.at(dense, (np.repeat(np.arange(lines), np.diff(start.astype(np.int64))), indices), data)
    return dense if name.endswith("csr_matrix") else dense.T
