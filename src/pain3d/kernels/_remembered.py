"""Knows how what is made of tensors is remembered: as long as all of them live, and nobody writes to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import ref

from torch import Tensor

from pain3d.kernels._triton import keeping_place

T = TypeVar("T")


class Kept(NamedTuple, Generic[T]):
    """What was made, and of what."""

    sources: tuple[ref[Tensor] | None, ...]
    versions: tuple[int, ...]
    made: T


Memory = dict[tuple[object, ...], Kept[T]]  # by place, what else it depends on, and ids of the sources


def remembered(memory: Memory[T], sources: Sequence[Tensor | None], make: Callable[[], T], *others: object) -> T:
    """Return `make()`, of an earlier call where it was of the same tensors in the same versions and equal `others`.

    It is kept per stream. What is written to a tensor past torch (through its memory, or by a kernel of one's own) is
    not seen.

    Args:
        memory: Where it is kept.
        sources: What it is made of; the first is there, and says on which device.
        make: Its result may not hold the sources themselves: they would live as long as it does.
        others: What else it depends on, hashable.
    """
    first: Any = sources[0]
    place = keeping_place(first)
    if place is None or any([source is not None and source.is_inference() for source in sources]):
        return make()  # an inference tensor counts no versions
    key = (place, *others, *[id(source) for source in sources])
    versions = tuple([-1 if source is None else source._version for source in sources])
    kept = memory.get(key)
    if kept is not None and kept.versions == versions:
        alive = [held is None or held() is source for held, source in zip(kept.sources, sources, strict=True)]
        if all(alive):
            return kept.made

    def forget(_: object) -> None:
        memory.pop(key, None)

    made = make()
    memory[key] = Kept(tuple([None if source is None else ref(source, forget) for source in sources]), versions, made)
    return made
