"""Knows what Triton 3.6's interpreter does again and again, and lets it do so once: a third of the time of its tests.

What it computes stays its own, which the tests of every kernel hold against the reference.
"""

from __future__ import annotations

import inspect
from typing import Any


def quicken() -> None:
    """Patch the interpreter of this process."""
    import triton.language as tl
    from triton.runtime import interpreter

    patch_lang, dtype_of = interpreter._patch_lang, interpreter._get_np_dtype
    dtypes: dict[str, Any] = {}

    def _patch_lang(function: Any) -> Any:
        """Each call of a device function patches the language anew, some 500 names, although its kernel has done so."""
        seen = [value for value in function.__globals__.values() if inspect.ismodule(value) and value in (tl, tl.core)]
        if seen and not any(tl.core.is_builtin(module.load) for module in seen):
            return interpreter._LangPatchScope()
        return patch_lang(function)

    def _get_np_dtype(dtype: Any) -> Any:
        """Each array asks a table that is built for it, of 18 names."""
        element = dtype.element_ty if type(dtype) is tl.block_type else dtype
        if type(element) is not tl.dtype:
            return dtype_of(dtype)
        if element.name not in dtypes:
            dtypes[element.name] = dtype_of(element)
        return dtypes[element.name]

    interpreter._patch_lang, interpreter._get_np_dtype = _patch_lang, _get_np_dtype
