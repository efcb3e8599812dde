"""Shapes, threads, and what importing the rooms loads."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from pain3d.kernels._shapes import check_shapes
from pain3d.kernels._threads import for_each_range


def test_shape_error_says_what_was_bound():
    vertices, faces, barycentrics = torch.zeros(4, 3), torch.zeros(1, 3), torch.zeros(1, 3)
    with pytest.raises(ValueError) as caught:
        check_shapes(
            vertices=(vertices, "V 3"), faces=(faces, "F 3"), face_ids=(torch.zeros(2), "P"),
            barycentrics=(barycentrics, "P 3"),
        )  # fmt: skip
    assert str(caught.value) == "barycentrics must be [P 3], got [1, 3] (bound so far: V=4, F=1, P=2)"


def test_shape_patterns():
    assert check_shapes(a=(torch.zeros(2, 5), "B V"), b=(torch.zeros(1, 5), "B|1 V")) == {"B": 2, "V": 5}
    check_shapes(a=(torch.zeros(2, 4, 5, 3), "B ... 3"), b=(torch.zeros(2, 4, 5), "B ..."))
    with pytest.raises(ValueError, match=r"b must be \[B \.\.\.\]"):
        check_shapes(a=(torch.zeros(2, 4, 5, 3), "B ... 3"), b=(torch.zeros(2, 5, 4), "B ..."))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 17])
def test_ranges_cover_each_index_once(count: int):
    seen, lock = [0] * count, threading.Lock()

    def mark(start: int, stop: int) -> None:
        for index in range(start, stop):
            with lock:
                seen[index] += 1

    for_each_range(count, mark)
    assert seen == [1] * count


def test_ranges_may_nest_and_errors_arrive():
    total = []
    for_each_range(4, lambda start, stop: for_each_range(stop - start, lambda a, b: total.append(b - a)))
    assert sum(total) == 4
    with pytest.raises(ZeroDivisionError):
        for_each_range(4, lambda start, stop: 1 // 0)


def test_import_loads_no_numba():
    code = "import sys, pain3d.kernels; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd="/").returncode == 0
