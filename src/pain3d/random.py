"""Randomness by key: every draw belongs to (seed, stage, ids), never to the order in which things were drawn."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from numbers import Integral

import numpy as np
import numpy.typing as npt

from pain3d.ranges import told

MAX_SEED = 2**63 - 1


def keyed_generator(seed: int, stage: str, *ids: int) -> np.random.Generator:
    """A counter-based (Philox) generator for one place in the plan.

    The same key gives the same numbers whatever was drawn before it, in whichever process or batch.

    Args:
        seed: The user's seed, 0 to 2**63 - 1.
        stage: What the numbers are for, such as ``"identity"`` or ``"skin/pores"``.
        *ids: Whole numbers that say where: identity, expression, view.

    Raises:
        ValueError: The seed is out of range.
    """
    key = np.frombuffer(_digest(seed, stage, ids, 16), np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def keyed_number(seed: int, stage: str, *ids: int) -> int:
    """A key of 64 bits, signed, for one place in the plan: what a generator on a device starts from.

    Args:
        seed: The user's seed, 0 to 2**63 - 1.
        stage: See `keyed_generator`.
        *ids: Likewise.

    Raises:
        ValueError: The seed is out of range.
    """
    return int.from_bytes(_digest(seed, stage, ids, 8), "little", signed=True)


def _digest(seed: int, stage: str, ids: tuple[int, ...], size: int) -> bytes:
    if not isinstance(seed, Integral) or not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be in 0..2**63-1, a whole number, got {told(seed)}")
    text = "/".join([str(int(seed)), stage, *(str(int(i)) for i in ids)])
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def keyed_uniforms(seed: int, stage: str, ids: Iterable[Sequence[int]], count: int) -> npt.NDArray[np.float64]:
    """The first `count` numbers of ``keyed_generator(seed, stage, *each).random`` for each of many places, [N, count].

    To make a generator for each of them takes ten times as long.

    Raises:
        ValueError: The seed is out of range.
    """
    digests = b"".join(_digest(seed, stage, tuple(each), 16) for each in ids)
    keys = np.frombuffer(digests, "<u8").reshape(-1, 2)
    words = _philox(keys, -(-count // 4))[:, :count]
    return np.asarray((words >> np.uint64(11)) * 2.0**-53, np.float64)


class DrawnNumbers:
    """Numbers from 0 to 1 that were drawn before, handed out in turn as a generator's `random` would.

    Args:
        numbers: [N], of `keyed_uniforms`.
    """

    def __init__(self, numbers: npt.NDArray[np.float64]) -> None:
        self._numbers = numbers
        self._next = 0

    def random(self, size: int | tuple[int, ...] = 1) -> npt.NDArray[np.float64]:
        """The next numbers, of a shape."""
        first = self._next
        self._next = first + math.prod(size if isinstance(size, tuple) else (size,))
        return self._numbers[first : self._next].reshape(size)


# Philox4x64-10: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", table 2 and section 2.
_FACTORS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_STEPS = np.array([0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B], np.uint64)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


def _philox(keys: npt.NDArray[np.uint64], blocks: int) -> npt.NDArray[np.uint64]:
    """The words [N, 4 · blocks] of counters 1 to `blocks` under keys [N, 2]."""
    first = np.broadcast_to(np.arange(1, blocks + 1, dtype=np.uint64), (len(keys), blocks))
    none = np.zeros_like(first)
    a, b, c, d = first, none, none, none
    key = keys.copy()
    for _ in range(10):
        (high_a, low_a), (high_c, low_c) = _product(a, _FACTORS[0]), _product(c, _FACTORS[1])
        a, b, c, d = high_c ^ b ^ key[:, :1], low_c, high_a ^ d ^ key[:, 1:], low_a
        key += _STEPS
    return np.stack([a, b, c, d], 2).reshape(len(keys), 4 * blocks)


def _product(words: npt.NDArray[np.uint64], factor: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Upper and lower half of the 128 bits of words times a factor."""
    high, low = np.uint64(factor >> 32), np.uint64(factor & 0xFFFFFFFF)
    over, under = words >> _HALF, words & _LOW
    middle = over * low + ((under * low) >> _HALF)
    rest = under * high + (middle & _LOW)
    return over * high + (middle >> _HALF) + (rest >> _HALF), words * np.uint64(factor)
