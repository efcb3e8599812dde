"""Knows how a numba backend is compiled, and when what was compiled before is what it would be now.

Numba keeps what it compiled beside the source and compiles anew when that file changes. What a function takes from
other files, functions and numbers, is compiled in as well; an edit there went unnoticed, and the old code ran.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache

# Options of `njit` for every function of a numba backend. One that makes no array counts no references to those that it
# is given either: counting took 8 % of `render`, in locked instructions.
COMPILED: Any = {"nogil": True, "error_model": "numpy"}
WITHOUT_ARRAYS: Any = {**COMPILED, "_nrt": False}


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as `numba.njit` does, once for as long as nothing that it is made of changes."""

    def compiled(function: Callable[..., Any]) -> Any:
        made = numba.njit(**options)(function)
        made._cache = _KeptCode(function)  # type: ignore[no-untyped-call]
        return made

    return compiled


class _KeptCode(FunctionCache):
    """What numba keeps of a function, asked for by all that the function is made of."""

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        parts = hashlib.sha256()
        for part in _parts(self._py_func, set()):
            parts.update(part)
        return (*super()._index_key(sig, codegen), parts.hexdigest())  # type: ignore[no-untyped-call]


def _parts(function: Any, seen: set[int]) -> Iterator[bytes]:
    """The code of a function and of all that it calls, and the values that they take from outside."""
    if id(function) in seen:
        return
    seen.add(id(function))
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        codes += [value for value in code.co_consts if isinstance(value, CodeType)]
        yield code.co_code
        yield repr([v for v in code.co_consts if not isinstance(v, CodeType) and v is not function.__doc__]).encode()
        for name in code.co_names:
            yield name.encode()
            value = function.__globals__.get(name)
            value = getattr(value, "py_func", getattr(value, "_defn", value))  # of njit, of intrinsic
            if isinstance(value, FunctionType):
                yield from _parts(value, seen)
            elif isinstance(value, np.ndarray):
                yield value.tobytes()
            elif not isinstance(value, ModuleType):
                yield repr(value).encode()
