"""Knows a pickle as what it says, not as what it does: opcodes become lists, dictionaries and descriptions of calls.

A pickle is a program, and an unpickler runs it. This reader has no way to: it never looks a name up, so a call in the
file becomes a `Described` that says which name was called with what. Names that no head needs are refused at sight.
The opcodes are those of the standard library's `pickletools`, which documents the format.
"""

from __future__ import annotations

import io
import pickletools
import warnings
from dataclasses import dataclass
from typing import Any

MOST_STEPS = 200_000  # opcodes; a FLAME file has some thousand: its arrays are one each
# Names that files of heads mention: arrays, sparse matrices, chumpy's wrappers around arrays, and what pickle itself
# writes for them. They are read as words.
KNOWN = {
    "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar", "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer",
    "numpy.ndarray", "numpy.dtype", "scipy.sparse.csc.csc_matrix", "scipy.sparse._csc.csc_matrix",
    "scipy.sparse.csr.csr_matrix", "scipy.sparse._csr.csr_matrix", "chumpy.ch.Ch", "copy_reg._reconstructor",
    "copyreg._reconstructor", "__builtin__.object", "builtins.object", "__builtin__.set", "builtins.set",
    "__builtin__.bytes", "builtins.bytes", "__builtin__.bytearray", "builtins.bytearray", "_codecs.encode",
    "collections.OrderedDict", "weakref.WeakKeyDictionary",
}  # fmt: skip


class PickleError(ValueError):
    """A pickle that is damaged, too long, or says what no head's file needs to say; one line."""


@dataclass
class Described:
    """A call or an object as the file describes it: nothing was called, nothing was made.

    Attributes:
        name: Dotted name of what would be called or made.
        arguments: What with.
        state: What the object would be given afterwards.
    """

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, FETCHES = ("PUT", "BINPUT", "LONG_BINPUT"), ("GET", "BINGET", "LONG_BINGET")
# What carries its own value: numbers, texts, bytes.
VALUES = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip


def describe(content: bytes) -> Any:
    """What a pickle describes.

    Args:
        content: The whole file.

    Returns:
        Numbers, texts, bytes, lists, tuples and dictionaries as they are; everything else as `Described`.

    Raises:
        PickleError: Damaged or cut off, more than `MOST_STEPS` opcodes, an unknown name, an opcode of another purpose.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a text's escapes, which Python 3.6 has deprecated
        return _described(content)


def _described(content: bytes) -> Any:
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if step >= MOST_STEPS:
                raise PickleError(f"it has more than {MOST_STEPS} instructions")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.step(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, MemoryError) as error:
        raise PickleError(f"it is damaged or cut off ({' '.join(str(error).split())[:80]})") from None
    raise PickleError("it is cut off")


class _Machine:
    """The stack and the memory that opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # what lay on the stack when each mark was set
        self.memory: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in PUTS or name == "MEMOIZE":
            self.memory[len(self.memory) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in FETCHES:
            stack.append(self.memory[argument])
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name in ("TUPLE", "LIST", "FROZENSET"):
            items = self._marked()
            self.stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in TUPLES:
            items = [stack.pop() for _ in range(TUPLES[name])]
            stack.append(tuple(reversed(items)))
        elif name == "DICT":
            pairs = _pairs({}, self._marked())
            self.stack.append(pairs)
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            items = [stack.pop()] if name == "APPEND" else self._marked()
            _of(self.stack[-1], list).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = [stack.pop(), stack.pop()][::-1] if name == "SETITEM" else self._marked()
            if isinstance(self.stack[-1], dict):  # of an OrderedDict, the pairs are of no use to a head
                _pairs(self.stack[-1], items)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name == "GLOBAL":
            stack.append(_named(".".join(argument.split(" ", 1))))
        elif name == "STACK_GLOBAL":
            last, module = stack.pop(), stack.pop()
            stack.append(_named(f"{_of(module, str)}.{_of(last, str)}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, called = stack.pop(), _of(stack.pop(), Described)
            stack.append(Described(called.name, _of(arguments, tuple)))
        elif name == "BUILD":
            state = stack.pop()
            _of(stack[-1], Described).state = state
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"it uses {name}, which no head's file needs")

    def _marked(self) -> list[Any]:
        """What lies above the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items


def _named(name: str) -> Described:
    if name not in KNOWN and not name.startswith("chumpy."):
        raise PickleError(f"it would call {name[:80]!r}, which no head's file needs: nothing of it was executed")
    return Described(name)


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise PickleError(f"it is damaged (a {kind.__name__} was due)")
    return value


def _pairs(into: dict[Any, Any], items: list[Any]) -> dict[Any, Any]:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int | bytes):
            raise PickleError("it has a dictionary whose keys are no names")
        into[key.decode("latin-1") if isinstance(key, bytes) else key] = value
    return into
