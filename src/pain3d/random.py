"""Randomness by key: every draw belongs to (seed, stage, ids), never to the order in which things were drawn."""

from __future__ import annotations

import hashlib

import numpy as np

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
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed must be in 0..2**63-1, got {seed}")
    text = "/".join([str(int(seed)), stage, *(str(int(i)) for i in ids)])
    return hashlib.blake2b(text.encode(), digest_size=size).digest()
