"""Knows rings: places that newcomers take in turn. Who is there is a function of the step alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

    def arrival(self, place: int, step: int) -> int:
        """Number of who has a place at a step."""
        last = self.places - 1 + step * self.new // self.every
        return last - (last - place) % self.places


class Ring(Generic[T]):
    """Makes who is needed, when needed, and puts them into their place.

    Args:
        turnover: Who comes when.
        make: Makes an arrival, in any thread; the same number gives the same one.
        put: Puts what was made into a place, in the thread that asks.
        ahead: Threads that make those who will be asked for; 0 makes each when it is asked for.
    """

    def __init__(
        self, turnover: Turnover, make: Callable[[int], T], put: Callable[[int, T], None], *, ahead: int = 0
    ) -> None:
        self._turnover, self._make, self._put = turnover, make, put
        self._held: dict[int, int] = {}  # place → arrival
        self._coming: dict[int, Future[T]] = {}  # at most two a thread: their memory is bounded
        self._room = 2 * ahead
        self._makers = ThreadPoolExecutor(ahead, "pain3d-ring") if ahead else None

    def fill(self, places: Iterable[int], step: int) -> None:
        """See to it that those who have these places at a step are there."""
        wanted = {place: self._turnover.arrival(place, step) for place in places}
        for place, arrival in wanted.items():
            if self._held.get(place) != arrival:
                coming = self._coming.pop(arrival, None)
                self._put(place, self._make(arrival) if coming is None else coming.result())
                self._held[place] = arrival

    def expect(self, places: Iterable[int], step: int) -> bool:
        """Begin to make who is missing at a later step; returns whether there is room for more."""
        if self._makers is None:
            return False
        for place in places:
            arrival = self._turnover.arrival(place, step)
            if self._held.get(place) == arrival or arrival in self._coming:
                continue
            if len(self._coming) >= self._room:
                return False
            self._coming[arrival] = self._makers.submit(self._make, arrival)
        return True

    def forget(self) -> None:
        """Drop what was made ahead: the next step is not the one that was expected."""
        for future in self._coming.values():
            future.cancel()
        self._coming.clear()

    def close(self) -> None:
        """End the threads."""
        self.forget()
        if self._makers is not None:
            self._makers.shutdown(wait=True, cancel_futures=True)
