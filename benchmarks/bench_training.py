"""Knows what a training step costs when its pictures are rendered inside it, beside one whose pictures lie in memory.

No row of a results file: pytest-benchmark's table has both steps in one group, with their ratio. `batch_ms`, in what
`--benchmark-json FILE` writes, is the median of what the batch alone took.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
import torch

from pain3d.training.config import preset
from pain3d.training.data.augmentation import Augmentation, augment
from pain3d.training.data.batch import RawBatch
from pain3d.training.data.batches import crop_side
from pain3d.training.data.online import PAINTERS, PROCESSES, OnlineBatches
from pain3d.training.data.population import sample_population
from pain3d.training.loop import make_optimiser, precision_of
from pain3d.training.model.factory import build_model
from pain3d.training.task import Task, model_config

SEED = 0
WARM_UP = 2  # steps: they compile, and paint most of the people who will be seen
RESIDENT = 4  # batches in memory that the resident step walks around
SCALES = {  # people, those of them that are there at once, batch, whole picture, rounds
    "full": (64, 32, 64, 256, 12),
    "tiny": (3, 3, 8, 96, 2),
    "gpu": (96, 64, 128, 256, 40),  # full, where there is a GPU
}
# What learns there: ViT-S at the size that the others are compared at.
SMALL = {"backbone": "vit_small_patch16_224", "image_size": 224, "conv_stem": False, "depth": 0, "width": 0, "heads": 0}


@pytest.mark.benchmark(group="training step")
@pytest.mark.parametrize("source", ["resident", "online"])
def bench_step(benchmark: Any, request: pytest.FixtureRequest, source: str) -> None:
    """Batch, augmentation, forward, backward and update: of ViT-S on a GPU, of the tiny net elsewhere."""
    scale = request.config.getoption("--scale")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    large = scale == "full" and device.type == "cuda"
    people, pool, size, frame, rounds = SCALES["gpu" if large else scale]
    config = preset("tiny", "vitpain")
    if large:
        config = replace(config, **SMALL)
    online = OnlineBatches(
        sample_population(people, SEED, size=frame),
        size=size,
        neutral=True,
        side=crop_side(config.image_size),
        seed=SEED,
        pool=pool,
        device=device,
        painters=PAINTERS if large else 0,
        processes=PROCESSES if large else 0,
    )
    source_of: Callable[[int], RawBatch] = online
    if source == "resident":
        kept = [online(step) for step in range(RESIDENT)]
        source_of = lambda step: kept[step % RESIDENT]  # noqa: E731
    else:
        for step in range(-(-pool * config.group // size)):
            online(step)  # until everybody of the start is painted
    learn = _learner(config, device)
    batch_ms: list[float] = []
    steps = iter(range(10**9))

    def timed(step: int) -> RawBatch:
        started = time.perf_counter()
        batch = source_of(step)
        batch_ms.append(1000 * (time.perf_counter() - started))
        return batch

    ahead = ThreadPoolExecutor(1)  # as in `learn`: the next batch is made beside the step
    waiting = [ahead.submit(timed, next(steps))]

    def one() -> None:
        batch = waiting.pop().result()
        step = next(steps)
        waiting.append(ahead.submit(timed, step))
        learn(batch, step - 1)

    benchmark.pedantic(one, rounds=rounds, warmup_rounds=WARM_UP)
    ahead.shutdown()
    online.close()
    benchmark.extra_info |= {"batch_ms": round(median(batch_ms[WARM_UP:]), 1), "pictures": size, "people": people}


def _learner(config: Any, device: torch.device) -> Callable[[RawBatch, int], None]:
    """One step of a net on a batch; it ends when the device has done it."""
    model = build_model(model_config("vitpain", config), seed=SEED).to(device).train()
    task, optimiser, dtype = Task(model, config), make_optimiser(model, config), precision_of(config, device)

    def learn(raw: RawBatch, step: int) -> None:
        batch = augment(raw, config.image_size, SEED, step, device, Augmentation())
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = task.loss(model, batch, model)["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        loss.item()  # waits for the device

    return learn
