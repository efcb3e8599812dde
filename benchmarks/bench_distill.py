"""Knows the case of distillation: the loss of a student against its teacher and the labels, with all gradients."""

from collections.abc import Callable

import pytest

from benchmarks.workload import Size


@pytest.mark.sizes(
    cpu=(Size(16, 224),),
    cuda=(Size(64, 224), Size(512, 224)),
    tiny=(Size(2, 32),),
)
def bench_distill(enter: Callable[[str], None]) -> None:
    """Tokens of ViT-B/16, float32 on a CPU, bfloat16 on CUDA: the loss, and back to what the student's net returned."""
    enter("distill")
