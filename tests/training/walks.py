"""Knows a walk through every command that learns, on a CUDA device that isn't there; see `tests/pretend_device.py`.

    python -m tests.training.walks FACES OUT [NAME …]

Prints a line of JSON for each walk: its error, what waited, and which threads and processes outlived it.

A process of its own runs this. FACES is a finished data set, OUT a folder for runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

from pain3d.rendering import people
from pain3d.training.data import online
from tests.pretend_device import pretend_device
from tests.quick_interpreter import quicken

SMALL = (
    "--image-size", "32", "--batch", "8", "--group", "2", "--steps", "2", "--validations", "1", "--compile", "no",
    "--device", "cuda", "--no-evaluate",
)  # fmt: skip
TINY = (*SMALL, "--depth", "1", "--width", "32", "--heads", "2")
# What renders: a program takes the interpreter a millisecond, and a picture has thousands. Their launchers have walks
# of their own (tests/kernels/fake_device.py); pixels, places and crops are then of zeros.
RENDERING = (
    "_deform", "_normals", "_project", "_draw_small", "_draw_queue", "_write_fragments", "resolve_kernel",
    "antialias_queue_kernel", "_develop", "_split", "_code", "_join",
)  # fmt: skip


def command(*words: str | Path) -> Callable[[], None]:
    """A call of ``pain3d`` that has to end well."""

    def call() -> None:
        from pain3d.__main__ import main

        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                main([str(word) for word in words])
            except SystemExit as stop:
                if stop.code:
                    raise RuntimeError(said.getvalue()) from None

    return call


def exported(run: Path) -> Callable[[], None]:
    """What `pain3d export` traces, called on the device; the exporter itself can't be walked, and stays on the CPU."""

    def call() -> None:
        from pain3d.training.model.onnx_export import _pictures, _Plain
        from pain3d.training.model.pretrained import load_pretrained

        plain = _Plain(load_pretrained(run, "cuda")).eval()
        with torch.no_grad():
            plain(*(picture.to("cuda") for picture in _pictures(plain.model, 2).values()))

    return call


def rendered(faces: Path) -> Callable[[], None]:
    """Batches that are made here, with no process beside, as far as the net; the loop goes on from there."""

    def call() -> None:
        from pain3d.training.data.augmentation import Augmentation, augment
        from pain3d.training.data.online import OnlineBatches, as_drawn
        from pain3d.training.data.population import read_population

        people = as_drawn(read_population(faces), torch.device("cuda"))
        batches = OnlineBatches(
            people, size=4, group=2, neutral=True, side=32, seed=0, pool=2, renew=1, heatmaps=True,
            device="cuda", painters=1,
        )  # fmt: skip
        with closing(batches):
            for step in (0, 1, 0):  # the last is not the one that is expected
                seen = augment(batches(step), 32, 0, step, "cuda", Augmentation())
                assert seen.image.is_cuda and seen.neutral is not None and seen.neutral.is_cuda

    return call


@contextmanager
def both(one: AbstractContextManager[Any], other: AbstractContextManager[Any]) -> Iterator[None]:
    """Two things that are planted at once."""
    with one, other:
        yield


@contextmanager
def coarse() -> Iterator[None]:
    """People of few texels, and one process beside: it takes seconds to begin."""
    with (
        patch.object(online, "TEXTURE_SIZE", 64),
        patch.object(people, "TEXTURE_SIZE", 64),
        patch.object(online, "PROCESSES", 1),
    ):
        yield


def walks(faces: Path, out: Path) -> Iterator[tuple[str, Callable[[], None], AbstractContextManager[Any]]]:
    """Name, call, and what is planted around it; a later walk may need what an earlier one left."""
    from pain3d.training import prediction, throughput
    from pain3d.training.data import augmentation

    throughput.SIDE["cuda"] = 64  # nobody asks how fast this device is
    out.mkdir(exist_ok=True)
    face = out / "face.png"
    cv2.imwrite(str(face), np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8))
    data = ("--data", faces)
    for task in ("vitpain", "teacher", "siamese"):
        shape = TINY if task != "siamese" else SMALL
        yield f"train {task}", command("train", out / task, "--task", task, *data, *shape), nullcontext()
    distil = ("train", out / "distill", "--task", "distill", "--teacher", out / "teacher", *data, *TINY)
    yield "train distill", command(*distil, "--attention-weight", "1"), nullcontext()
    yield (
        "train ema",
        command("train", out / "ema", "--task", "distill", "--teacher-mode", "ema", *data, *TINY),
        nullcontext(),
    )
    many = ("train", out / "many", "--num-references", "2", "--separate", "--fusion", "attention", *data, *TINY)
    yield "train separate", command(*many), nullcontext()
    yield "evaluate", command("evaluate", "--model", out / "vitpain", "--resamples", "10"), nullcontext()
    one = (
        "score",
        face,
        "--model",
        out / "vitpain",
        "--box",
        "8,8,88,88",
        "--neutral",
        face,
        "--neutral-box",
        "8,8,88,88",
    )
    score = (*one, "--to", out / "scores", "--device", "cuda")
    yield "score", command(*score), nullcontext()
    yield "export", exported(out / "vitpain"), nullcontext()
    yield "online batches", rendered(faces), coarse()
    endless = ("train", out / "online", "--online", "--online-pool", "2", *data, *TINY)
    yield "train online", command(*endless), coarse()

    sees = augmentation._normalised
    of_the_cpu = patch.object(augmentation, "_normalised", lambda seen: sees(seen) * torch.ones(3, 1, 1))
    yield "planted in training", command("train", out / "planted", *data, *TINY), of_the_cpu
    told = prediction.picture_statistics
    on_the_host = patch.object(prediction, "picture_statistics", lambda seen: told(seen).cpu())
    yield "planted in score", command(*score), on_the_host
    stays = patch.object(online, "moved_at_once", lambda value, device: value)
    yield "planted in online batches", rendered(faces), both(coarse(), stays)


def main(faces: Path, out: Path, only: tuple[str, ...] = ()) -> None:
    """Walk, and print how each walk ended."""
    torch.set_num_threads(1)
    for name, call, planted in walks(faces, out):
        if only and name not in only:
            continue
        error = None
        with pretend_device(only_looked_at=RENDERING) as waits, planted:
            try:
                call()
            except Exception:
                error = traceback.format_exc()
        left = [t.name for t in threading.enumerate() if t.name.startswith("pain3d-")]
        left += [child.name for child in multiprocessing.active_children()]
        print(json.dumps({"walk": name, "error": error, "waits": waits, "left": left}), flush=True)


if __name__ == "__main__":
    quicken()
    main(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:]))
