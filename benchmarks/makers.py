"""Knows the implementations that make files: JPEG encoders, each on all threads, and the command line as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.implementation import Implementation, Round
from benchmarks.sampled import SEED
from benchmarks.workload import Workload

JPEG_QUALITY = 95  # what `pain3d synth` writes; chroma halved
EXPRESSIONS, VIEWS = 10, 3  # of the command by default
PICTURES_PER_PERSON = (EXPRESSIONS + 1) * VIEWS  # a neutral face among them
COMMAND = "from pain3d.__main__ import main; main()"
NEEDS = ("tyro", "pyarrow", "simplejpeg", "cv2", "yaml", "jinja2", "rich", "matplotlib")  # of the command line

Encode = Callable[[Any], bytes]


class Encoder:
    """A JPEG encoder, a picture per thread (all of them release the GIL)."""

    cases: Sequence[str] = ("encode",)
    antialiased: bool | None = None
    slow = False

    def __init__(self, name: str, module: str, ours: bool, prepare: Callable[[], Encode]) -> None:
        self.name, self.module, self.ours = name, module, ours
        self.note = "JPEG, quality 95, 4:2:0, a picture per thread"
        self._prepare = prepare
        self._pool: ThreadPoolExecutor | None = None

    def why_not(self, device: str) -> str | None:
        """Which module is missing."""
        return None if find_spec(self.module) else f"{self.module} is not installed"

    def start(self, case: str, workload: Workload) -> Round:
        """Import the encoder and start the threads."""
        encode = self._prepare()
        pool = self._pool = ThreadPoolExecutor(torch.get_num_threads())
        pictures = [each.image.cpu().numpy() for each in workload.ring]

        def run(number: int) -> Mapping[str, Any]:
            return {"files": list(pool.map(encode, pictures[number]))}

        return run

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _simplejpeg() -> Encode:
    from pain3d.encoding import encode_image

    return lambda picture: encode_image(picture, JPEG_QUALITY)


def _opencv() -> Encode:
    import cv2

    settings = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]

    def encode(picture: Any) -> bytes:
        file: bytes = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), settings)[1].tobytes()
        return file

    return encode


def _pillow() -> Encode:
    from io import BytesIO

    from PIL import Image

    def encode(picture: Any) -> bytes:
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0")
        return file.getvalue()

    return encode


class Synth:
    """`pain3d synth` in a process of its own: pictures, heatmaps and labels, rendered, encoded, written, described."""

    ours = True
    antialiased: bool | None = True
    slow = True  # tens of seconds
    note = "the command as a whole: start-up, JPEG and PNG, Parquet, report; two heatmaps a picture"

    def __init__(self, name: str, case: str, device: str) -> None:
        self.name, self.cases, self.device = name, (case,), device
        self.detail: dict[str, Any] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def why_not(self, device: str) -> str | None:
        """What the command line misses, or which device it asks for."""
        if self.device != device:
            return "no CUDA device" if self.device == "cuda" else "runs on the CPU only"
        missing = [module for module in NEEDS if find_spec(module) is None]
        return f"not installed: {', '.join(missing)}" if missing else None

    def start(self, case: str, workload: Workload) -> Round:
        """Take a folder; the first round is verified, which the clock never sees."""
        self._folder = tempfile.TemporaryDirectory(prefix="pain3d-bench-")
        size = workload.size
        people, rest = divmod(size.batch, PICTURES_PER_PERSON)
        if rest:
            raise ValueError(f"batch must be a multiple of {PICTURES_PER_PERSON}, got {size.batch}")
        made = 0

        def run(number: int) -> Mapping[str, Any]:
            nonlocal made
            assert self._folder is not None
            out = Path(self._folder.name) / str(made)
            made += 1
            given = {"--identities": people, "--size": size.side, "--seed": SEED, "--expressions": EXPRESSIONS,
                     "--views": VIEWS, "--device": self.device}  # fmt: skip
            words = [str(word) for option in given.items() for word in option]
            said, peak = _run("synth", str(out), *words, "--json")
            receipt = json.loads(said.strip().splitlines()[-1])
            rate, stages = receipt["images_per_second"], receipt["stages"]
            self.detail = {"peak_bytes": peak, "receipt_per_second": rate, "stages_s": stages}
            if made == 1:
                _run("verify", str(out))
            return {"images": receipt["new_images"]}

        return run

    def close(self) -> None:
        """Delete what was made."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _run(*words: str) -> tuple[str, int]:
    """Run the command in a process of its own; return what it printed and its largest resident set, bytes."""
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        command = [sys.executable, "-c", COMMAND, *words]
        child = subprocess.Popen(command, stdout=said, stderr=complained)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (said, complained):
            file.seek(0)
        if child.returncode:
            raise RuntimeError(f"pain3d {words[0]}: exit code {child.returncode}: {complained.read()[-500:].strip()}")
        return said.read(), usage.ru_maxrss * 1024


MAKERS: tuple[Implementation, ...] = (
    Encoder("simplejpeg", "simplejpeg", True, _simplejpeg),
    Encoder("opencv", "cv2", False, _opencv),
    Encoder("pillow", "PIL", False, _pillow),
    Synth("pain3d synth", "synth", "cpu"),
    Synth("pain3d synth --device cpu", "synth_device", "cpu"),
    Synth("pain3d synth --device cuda", "synth_device", "cuda"),
)
