"""Knows how many pictures a second the live look makes, from a moved slider to JPEG: ``python -m benchmarks.live``.

By hand, not of `make bench`: what a browser adds depends on the browser. One thread, as in `pain3d view`. Every picture
is of another face; the first ones, in which kernels load, are not counted. Beside the clock stands the time of the
processor: what the clock would say if nothing else ran.
"""

import argparse
import os
import platform
import time
from dataclasses import replace
from statistics import median

import torch

from pain3d.encoding import encode_image
from pain3d.facs.action_units import ActionUnits
from pain3d.live.look import Look, Person
from pain3d.live.portrait import Portrait, overlaid
from pain3d.live.window import JPEG_QUALITY

WARM_UPS = 5


def measure(portrait: Portrait, looks: list[Look], size: int, strength: float) -> tuple[list[float], list[float]]:
    """Seconds of each picture, by the clock and of the processor."""
    clock, busy = [], []
    for look in looks:
        started, worked = time.perf_counter(), time.process_time()
        picture, heat = portrait.take(look.scene(size))
        encode_image(overlaid(picture, heat, strength), JPEG_QUALITY)
        clock.append(time.perf_counter() - started)
        busy.append(time.process_time() - worked)
    return clock[WARM_UPS:], busy[WARM_UPS:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    portrait = Portrait(options.size)
    moving = [
        Look(au=ActionUnits(AU4=5 * k / options.pictures, AU6=4 - 4 * k / options.pictures, AU10=2))
        for k in range(options.pictures + 1)
    ]
    people = [replace(moving[0], person=Person(seed=seed)) for seed in range(WARM_UPS + 5)]
    machine = platform.processor() or platform.machine()
    print(f"{machine}, one thread, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}")
    for words, looks, strength in (
        ("a slider moves", moving, 0.0),
        ("a slider moves, heat map over it", moving, 0.7),
        ("another person", people, 0.0),
    ):
        clock, busy = (median(seconds) for seconds in measure(portrait, looks, options.size, strength))
        said = f"{1 / clock:.1f} pictures/s by the clock ({1000 * clock:.1f} ms), {1000 * busy:.1f} ms of the processor"
        print(f"{options.size} x {options.size}, {words}: {said}, {1 / busy:.1f}/s if nothing else ran")


if __name__ == "__main__":
    main()
