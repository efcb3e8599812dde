"""Knows the cases that make pictures: visibility, fragments, whole pictures, small ones, one alone, heatmaps on top."""

from collections.abc import Callable

import pytest

from benchmarks.workload import Size

# On a CPU every picture has its own mesh, as in `pain3d synth` every third has. On CUDA: workload W of the design,
# 64 people from 8 cameras.
CPU = Size(16, 512)
W = Size(512, 512, meshes=64)
TINY = Size(2, 48)


@pytest.mark.sizes(cpu=(Size(1, 512), CPU), cuda=(Size(1, 512), Size(64, 512, meshes=8), W), tiny=(TINY,))
def bench_visibility(enter: Callable[[str], None]) -> None:
    """Face ids and depth."""
    enter("visibility")


@pytest.mark.sizes(cpu=(CPU,), cuda=(W,), tiny=(TINY,))
def bench_rasterize(enter: Callable[[str], None]) -> None:
    """What a differentiable renderer starts from; projecting the vertices is part of it."""
    enter("rasterize")


@pytest.mark.sizes(cpu=(Size(16, 256), CPU), cuda=(Size(64, 512, meshes=8), W), tiny=(TINY,))
def bench_render(enter: Callable[[str], None]) -> None:
    """Textured, shaded, antialiased bytes."""
    enter("render")


@pytest.mark.sizes(
    cpu=(Size(64, 224),), cuda=(Size(512, 224, meshes=64), Size(4096, 224, meshes=512)), tiny=(Size(2, 32),)
)
def bench_small_views(enter: Callable[[str], None]) -> None:
    """What an encoder is trained on: 224 x 224, many."""
    enter("small_views")


@pytest.mark.sizes(cpu=(Size(1, 512),), cuda=(Size(1, 512),), tiny=(Size(1, 48),))
def bench_latency(enter: Callable[[str], None]) -> None:
    """One picture a round."""
    enter("latency")


@pytest.mark.sizes(cpu=(Size(1, 256), Size(16, 256)), cuda=(Size(64, 256, meshes=8),), tiny=(TINY,))
def bench_gradient(enter: Callable[[str], None]) -> None:
    """Linear pictures and their gradients to all but the texture: forward and backward."""
    enter("gradient")


@pytest.mark.sizes(
    cpu=(Size(16, 512, channels=1), Size(16, 512, channels=12)),
    cuda=(Size(512, 512, meshes=64, channels=1), Size(512, 512, meshes=64, channels=12)),
    tiny=(Size(2, 48, channels=2),),
)
def bench_heatmaps(enter: Callable[[str], None]) -> None:
    """The picture, and per pixel how far action units move it: float32 millimetres, a channel per unit and side."""
    enter("heatmaps")
