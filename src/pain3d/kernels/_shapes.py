"""Knows how a room checks the shape and dtype of its inputs, once, at the door.

``check_shapes(faces=(faces, "F 3"), barycentrics=(barycentrics, "P 3"))`` binds letters across arguments and says, when
one does not fit, ``barycentrics must be [P 3], got [1, 3] (bound so far: V=4, F=1, P=2)``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, get_type_hints

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)
INDICES = (torch.int32, torch.int64)


class Form(NamedTuple):
    """Shape and dtype of a tensor, in its place where a check looks at nothing else."""

    shape: torch.Size
    dtype: torch.dtype


def forms_of(*bundles: Any) -> dict[str, tuple[str, tuple[torch.dtype, ...]]]:
    """Return (pattern, dtypes) of each field of NamedTuples whose fields are ``Annotated[Tensor, pattern, dtypes]``."""
    hints = {name: hint for bundle in bundles for name, hint in get_type_hints(bundle, include_extras=True).items()}
    return {name: hint.__metadata__ for name, hint in hints.items()}


def check_shapes(**arguments: tuple[Tensor | Form, str]) -> dict[str, int]:
    """Check each tensor against its pattern and return what the letters were bound to.

    Args:
        arguments: ``name=(tensor, pattern)``. A pattern is words separated by blanks: a number is that size, a letter
            (or word) is bound at its first use and must agree from then on, ``B|1`` also lets a size of one through,
            and ``...`` stands for any dimensions, the same ones in every argument of the call.

    Returns:
        The sizes, by letter.

    Raises:
        ValueError: A tensor does not fit its pattern; the text names the argument.
    """
    bound: dict[str, int] = {}
    middle: list[list[int]] = []
    for name, (tensor, pattern) in arguments.items():
        before = dict(bound)
        if not hasattr(tensor, "shape"):
            raise ValueError(f"{name} must be a tensor [{pattern}], got {type(tensor).__name__}")
        if not _fits(list(tensor.shape), pattern, bound, middle):
            raise ValueError(f"{name} must be [{pattern}], got {list(tensor.shape)}{_listing(before)}")
    return bound


def check_dtypes(expected: tuple[torch.dtype, ...], **tensors: Tensor | Form) -> None:
    """Check that each tensor has one of the expected dtypes, and that float tensors agree with each other.

    Raises:
        ValueError: A dtype is not expected, or two float arguments differ; the text names the argument.
    """
    first: tuple[str, torch.dtype] | None = None
    for name, tensor in tensors.items():
        if tensor.dtype not in expected:
            raise ValueError(f"{name} must be {' or '.join(_word(d) for d in expected)}, got {_word(tensor.dtype)}")
        if expected is FLOATS:
            first = first or (name, tensor.dtype)
            if tensor.dtype != first[1]:
                raise ValueError(f"{name} must be {_word(first[1])} like {first[0]}, got {_word(tensor.dtype)}")


def check_indices(name: str, indices: Tensor, count: int, of: str, lowest: int = 0) -> None:
    """Check that every index lies in ``lowest … count - 1``, where reading them costs nothing: on the CPU.

    On a CUDA device the check would wait for all work before it, and in a traced graph it can't be: there nothing is
    checked, and the Triton kernels read nothing for an index out of range.

    Raises:
        ValueError: An index is out of range; the text names the argument.
    """
    if torch.compiler.is_compiling() or indices.device.type != "cpu" or indices.numel() == 0:
        return
    low, high = (int(value) for value in torch.aminmax(indices))
    if low < lowest or high >= count:
        raise ValueError(f"{name} must lie in {lowest} … {count - 1} ({of}), got {low} … {high}")


def _fits(shape: list[int], pattern: str, bound: dict[str, int], middle: list[list[int]]) -> bool:
    words = pattern.split()
    if "..." in words:
        at = words.index("...")
        words = words[:at] + words[at + 1 :]  # not remove: torch.compile can't trace it
        if len(shape) < len(words):
            return False
        end = at + len(shape) - len(words)
        if not middle:
            middle.append(shape[at:end])
        if shape[at:end] != middle[0]:
            return False
        shape = shape[:at] + shape[end:]
    if len(words) != len(shape):
        return False
    for word, size in zip(words, shape, strict=True):
        letter, _, alternative = word.partition("|")
        if alternative and size == int(alternative):
            continue
        wanted = int(letter) if letter.isdigit() else bound.setdefault(letter, size)
        if size != wanted:
            return False
    return True


def _listing(bound: dict[str, int]) -> str:
    return f" (bound so far: {', '.join(f'{letter}={size}' for letter, size in bound.items())})" if bound else ""


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
