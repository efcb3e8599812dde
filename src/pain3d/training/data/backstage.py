"""Knows what processes beside a GPU's make for the steps to come: their numbers, and what is drawn by hand.

All of it is Python and OpenCV. In threads it would take the interpreter from the one that launches the GPU's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pain3d.child_processes import process_pool, refuse_broken
from pain3d.console.interrupt import unheard_by_children
from pain3d.device import map_tensors
from pain3d.rendering.scene_inputs import painted_skin
from pain3d.skin.maps import SurfaceMaps
from pain3d.skin.sketch import Sketch, draw_sketch
from pain3d.training.data.plan import Planner, StepNumbers

STEPS_AHEAD = 3  # that are prepared: one is shown, one is launched, one waits

T = TypeVar("T")


class Backstage:
    """Makes what steps need ahead of them; the same as `Planner` makes where it is asked.

    Args:
        planner: Of the steps.
        board: What sketches are drawn on, of `SurfaceMaps.board`.
        count: Processes, 1 or more.
    """

    def __init__(self, planner: Planner, board: SurfaceMaps, count: int) -> None:
        self._pool = process_pool(count, _enter, planner, board)
        self._steps: dict[int, Future[StepNumbers]] = {}
        with unheard_by_children():
            for _ in range(count):  # each starts a process
                self._pool.submit(_numbers, 0)

    def numbers(self, step: int) -> StepNumbers:
        """`Planner.numbers` of a step; the next ones are begun."""
        with _refusing_killed():
            self._steps = {
                number: self._steps.get(number) or self._pool.submit(_numbers, number)  # others are dropped
                for number in range(step, step + STEPS_AHEAD)
            }
            return map_tensors(self._steps.pop(step).result(), torch.from_numpy, np.ndarray)

    def sketches(self, arrivals: Sequence[int]) -> list[Sketch]:
        """What is drawn of people by hand."""
        return self._each(_sketch, arrivals)

    def backgrounds(self, arrivals: Sequence[int]) -> list[Tensor]:
        """`Planner.background` of each."""
        return [torch.from_numpy(painted) for painted in self._each(_background, arrivals)]

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _each(self, make: Callable[[int], T], arrivals: Sequence[int]) -> list[T]:
        with _refusing_killed():
            return [future.result() for future in [self._pool.submit(make, arrival) for arrival in arrivals]]


@contextmanager
def _refusing_killed() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise refuse_broken(error, "a process that prepares steps was killed, for want of memory perhaps") from error


_here: tuple[Planner, SurfaceMaps]  # of a process of `Backstage`


def _enter(planner: Planner, board: SurfaceMaps) -> None:
    import cv2

    global _here
    _here = planner, board
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _numbers(step: int) -> Any:
    """In arrays, which are sent as they are: a tensor would be put into shared memory, piece by piece."""
    return map_tensors(_here[0].numbers(step), lambda tensor: tensor.numpy())


def _sketch(arrival: int) -> Sketch:
    planner, board = _here
    return draw_sketch(board, painted_skin(planner.person(arrival)))


def _background(arrival: int) -> Any:
    return _here[0].background(arrival).numpy()
