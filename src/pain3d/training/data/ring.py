"""Knows rings: places that newcomers take in turn. Who is there is a function of the step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Turnover:
    """When newcomers come: arrivals 0 … places − 1 are there from the start, then `new` come every `every` steps.

    Arrival a takes place a % places.
    """

    places: int
    new: int = 1
    every: int = 1

    def newest(self, step: int) -> int:
        """Number of who came last by a step."""
        return self.places - 1 + step * self.new // self.every

    def arrival(self, place: int, step: int) -> int:
        """Number of who has a place at a step."""
        last = self.newest(step)
        return last - (last - place) % self.places


class Ring(Generic[T]):
    """Makes who is needed, when needed, and puts them into their place.

    Args:
        turnover: Who comes when.
        make: Makes arrivals, in any thread; the same number gives the same one, whoever is made with it.
        put: Puts what was made into a place, in the thread that asks.
        ahead: Threads that make those who will be asked for; 0 makes each when it is asked for.
        together: How many are made by one call, at most.
    """

    def __init__(
        self,
        turnover: Turnover,
        make: Callable[[Sequence[int]], Sequence[T]],
        put: Callable[[int, T], None],
        *,
        ahead: int = 0,
        together: int = 1,
    ) -> None:
        self._turnover, self._make, self._put, self._together = turnover, make, put, together
        self._held: dict[int, int] = {}  # place → arrival
        self._coming: dict[int, Future[Sequence[T]]] = {}  # arrival → what is made with it
        self._made_with: dict[int, int] = {}  # arrival → its index there
        self._room = 2 * ahead * together  # at most two calls a thread: their memory is bounded
        self._makers = ThreadPoolExecutor(ahead, "pain3d-ring") if ahead else None

    def fill(self, places: Iterable[int], step: int) -> None:
        """See to it that those who have these places at a step are there."""
        missing = {}
        for place in places:
            arrival = self._turnover.arrival(place, step)
            if self._held.get(place) == arrival:
                continue
            self._held[place] = arrival
            coming = self._coming.pop(arrival, None)
            if coming is None:
                missing[place] = arrival
            else:
                self._put(place, coming.result()[self._made_with.pop(arrival)])
        for places_together in _parts(list(missing), self._together):
            made = self._make([missing[place] for place in places_together])
            for place, one in zip(places_together, made, strict=True):
                self._put(place, one)

    def expect(self, step: int, steps: int) -> None:
        """Begin to make who will be in the ring within so many steps after one, as far as there is room.

        Once enough are missing to be made together, or somebody is missing already.
        """
        if self._makers is None:
            return
        turnover = self._turnover
        everybody = range(turnover.newest(step + 1) - turnover.places + 1, turnover.newest(step + steps) + 1)
        missing = [a for a in everybody if self._held.get(a % turnover.places) != a and a not in self._coming]
        if len(missing) < self._together and not (missing and missing[0] <= turnover.newest(step + 1)):
            return
        for arrivals in _parts(missing[: self._room - len(self._coming)], self._together):
            future = self._makers.submit(self._make, arrivals)
            for index, arrival in enumerate(arrivals):
                self._coming[arrival], self._made_with[arrival] = future, index

    def forget(self) -> None:
        """Drop what was made ahead: the next step is not the one that was expected."""
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()
        self._made_with.clear()

    def close(self) -> None:
        """End the threads."""
        self.forget()
        if self._makers is not None:
            self._makers.shutdown(wait=True, cancel_futures=True)


def _parts(numbers: list[int], most: int) -> Iterator[list[int]]:
    for start in range(0, len(numbers), most):
        yield numbers[start : start + most]
