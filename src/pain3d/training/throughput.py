"""Knows how much of the machine a step uses: its operations against what a matrix product reaches here."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

SIDE = {"cuda": 8192, "cpu": 2048}  # of the matrices: large enough that starting a product costs nothing
REPEATS = 5


def operations(step: Callable[[], Any]) -> int:
    """Floating point operations of one call, as torch counts them (a multiply-add is two)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of the fastest of a few square matrix products, on this device in this precision."""
    side = SIDE[device.type]
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(REPEATS):
        _wait(device)
        started = time.perf_counter()
        a @ b
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
