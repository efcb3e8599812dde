"""Knows the cases that make vertices: shapes and skinning of different people, and of people times expressions."""

from collections.abc import Callable

import pytest

from benchmarks.workload import Size


@pytest.mark.sizes(
    cpu=(Size(1), Size(64), Size(1024)),
    cuda=(Size(1), Size(64), Size(1024), Size(4096)),
    tiny=(Size(2),),
)
def bench_deform(enter: Callable[[str], None]) -> None:
    """B people with an expression each: every shape, then five joints."""
    enter("deform")


@pytest.mark.sizes(
    cpu=(Size(64, meshes=8), Size(1024, meshes=32)),
    cuda=(Size(4096, meshes=64), Size(16384, meshes=256)),
    tiny=(Size(4, meshes=2),),
)
def bench_deform_pairs(enter: Callable[[str], None]) -> None:
    """People times expressions: each identity part and each expression part once, then every pair of them."""
    enter("deform_pairs")


@pytest.mark.sizes(
    cpu=(Size(64, meshes=8), Size(1024, meshes=32)),
    cuda=(Size(4096, meshes=64), Size(16384, meshes=256)),
    tiny=(Size(4, meshes=2),),
)
def bench_head(enter: Callable[[str], None]) -> None:
    """The same people and expressions given to `pain3d.Head`, which finds out who is repeated."""
    enter("head")
