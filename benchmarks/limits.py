"""Knows what the device of this run can do: its name, its copy bandwidth and its matrix rates, all measured."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median

import torch

COPY_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30}  # far beyond any cache
MATRIX_SIDE = {"cpu": 1536, "cuda": 8192}  # a tenth of a second on two cores; long enough to fill a GPU
REPEATS = 7


@dataclass(frozen=True)
class Device:
    """Where a run happens, and its limits.

    Attributes:
        kind: ``"cpu"`` or ``"cuda"``.
        name: What the system calls it.
        threads: Of torch and of our numba code.
        memory_bytes: Of the GPU, or of the machine.
        cache_bytes: L2 of the GPU; 0 on a CPU, where tenants share what the system doesn't tell.
        copy_bytes_per_s: Bytes read and written by a large copy.
        operations_per_s: Of a large matrix product, by type: ``fp32``, on CUDA also ``tf32`` and ``bf16``.
    """

    kind: str
    name: str
    threads: int
    memory_bytes: int
    cache_bytes: int
    copy_bytes_per_s: float
    operations_per_s: dict[str, float]


def device_slug(kind: str, name: str, threads: int) -> str:
    """A device's name as it stands in the name of a file."""
    words = re.sub(r"\(r\)|\(tm\)|@.*", "", name.lower())
    slug = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return slug if kind == "cuda" else f"cpu-{slug}-{threads}-threads"


@cache
def this_device(kind: str, share: float = 1.0) -> Device:
    """The device of this session with its limits; `share` below 1 measures with smaller tensors (tests)."""
    copy_rate = _copy_rate(int(COPY_BYTES[kind] * share), kind)
    side = max(64, int(MATRIX_SIDE[kind] * share))
    rates = {"fp32": _matrix_rate(side, torch.float32, "highest", kind)}
    if kind == "cuda":
        rates["tf32"] = _matrix_rate(side, torch.float32, "high", kind)
        rates["bf16"] = _matrix_rate(side, torch.bfloat16, "high", kind)
        about = torch.cuda.get_device_properties(0)
        name, memory, cache_bytes = about.name, about.total_memory, int(about.L2_cache_size)
    else:
        name, cache_bytes = processor(), 0
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device(kind, name, torch.get_num_threads(), memory, cache_bytes, copy_rate, rates)


def _copy_rate(size: int, kind: str) -> float:
    generator = torch.Generator(kind).manual_seed(0)
    source = torch.randint(0, 255, (size,), dtype=torch.uint8, generator=generator, device=kind)
    target = torch.empty_like(source)
    return 2 * size / _seconds(lambda: target.copy_(source), kind)


def _matrix_rate(side: int, dtype: torch.dtype, precision: str, kind: str) -> float:
    generator = torch.Generator(kind).manual_seed(0)
    a, b = (torch.randn(side, side, generator=generator, device=kind).to(dtype) for _ in range(2))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        return 2 * side**3 / _seconds(lambda: a @ b, kind)
    finally:
        torch.set_float32_matmul_precision(before)


def _seconds(work: Callable[[], object], kind: str) -> float:
    """Median of `REPEATS`, after one that doesn't count."""
    taken = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if kind == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return median(taken[1:])


def processor() -> str:
    """Name of the CPU."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    named = re.search(r"model name\s*:\s*(.+)", text)
    return named[1].strip() if named else platform.machine()
