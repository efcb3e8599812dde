"""Knows a walk through every command that learns, on a CUDA device that isn't there; see `tests/pretend_device.py`.

    python -m tests.training.walks FACES OUT        prints a line of JSON for each walk: its error, and what waited

A process of its own runs this. FACES is a finished data set, OUT a folder for runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
import torch

from tests.pretend_device import pretend_device

SMALL = (
    "--image-size", "32", "--batch", "8", "--group", "2", "--steps", "2", "--validations", "1", "--compile", "no",
    "--device", "cuda", "--no-evaluate",
)  # fmt: skip
TINY = (*SMALL, "--depth", "1", "--width", "32", "--heads", "2")
# A program of these takes the interpreter milliseconds, and a picture has thousands; their launchers have walks of
# their own (tests/kernels/fake_device.py). Pixels are then what the memory held.
PIXELS = (
    "resolve_kernel", "antialias_queue_kernel", "_draw_small", "_draw_queue", "_write_fragments", "_split", "_code",
    "_join",
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


def few_programs() -> AbstractContextManager[Any]:
    """Deformation in a few large programs: the interpreter's time is that of their number."""
    from pain3d.kernels.deformation import kernel

    return patch.object(kernel, "_tile", lambda *_: kernel.Tile(32, 4096, warps=4))


def walks(faces: Path, out: Path) -> Iterator[tuple[str, Callable[[], None], AbstractContextManager[Any]]]:
    """Name, call, and what is planted around it; a later walk may need what an earlier one left."""
    from pain3d.training import throughput
    from pain3d.training.data import augmentation
    from pain3d.training.score import out_of_distribution

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
    many = ("train", out / "many", "--num-references", "2", "--separate", *data, *TINY)
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
    online = ("train", out / "online", "--online", "--online-pool", "2", *data, *TINY)
    yield "train online", command(*online), few_programs()

    sees, lies = augmentation._normalised, out_of_distribution._distances
    of_the_cpu = patch.object(augmentation, "_normalised", lambda seen: sees(seen) * torch.ones(3, 1, 1))
    yield "planted in training", command("train", out / "planted", *data, *TINY), of_the_cpu
    on_the_device = patch.object(
        out_of_distribution, "_distances", lambda fitted, features: lies(fitted, features) + features.new_zeros(1)
    )
    yield "planted in score", command(*score), on_the_device


def main(faces: Path, out: Path, only: tuple[str, ...] = ()) -> None:
    """Walk, and print how each walk ended."""
    torch.set_num_threads(1)
    for name, call, planted in walks(faces, out):
        if only and name not in only:
            continue
        error = None
        with pretend_device(only_looked_at=PIXELS) as waits, planted:
            try:
                call()
            except Exception:
                error = traceback.format_exc()
        print(json.dumps({"walk": name, "error": error, "waits": waits}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), tuple(sys.argv[3:]))
