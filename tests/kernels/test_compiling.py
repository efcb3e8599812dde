"""Holds when compiled code is used again: not after an edit of a number or function that another file gave it."""

import importlib
import sys
from pathlib import Path

import pytest

NUMBERS = "SCALE = {scale}\n"
HELPERS = """
from numbers_of import SCALE
from pain3d.kernels._compiling import COMPILED, njit

@njit(**COMPILED)
def scaled(x):
    return x * SCALE{more}
"""
MAIN = """
from helpers_of import scaled
from pain3d.kernels._compiling import COMPILED, njit

@njit(**COMPILED)
def answer(x):
    return scaled(x) + 1.0
"""


def ask(folder: Path, scale: float, more: str = "") -> tuple[float, int]:
    """Write the three files, run them as a new process would, and return the answer for 2 and what numba had kept."""
    texts = {"numbers_of": NUMBERS.format(scale=scale), "helpers_of": HELPERS.format(more=more), "main_of": MAIN}
    for name, text in texts.items():
        path = folder / f"{name}.py"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    answer = importlib.import_module("main_of").answer
    return answer(2.0), sum(answer.stats.cache_hits.values())


def test_what_other_files_give_is_compiled_anew_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it is told apart by seconds
    assert ask(tmp_path, 3.0) == (7.0, 0)
    assert ask(tmp_path, 3.0) == (7.0, 1)
    assert ask(tmp_path, 5.0) == (11.0, 0)
    assert ask(tmp_path, 5.0, " - x") == (9.0, 0)
    assert ask(tmp_path, 3.0) == (7.0, 1)
