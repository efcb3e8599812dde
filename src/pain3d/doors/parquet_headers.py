"""Knows what a Parquet file says of itself before any reader believes it: its pages one by one, and its column chunks.

A footer tells where a column chunk lies; how much memory its values take, the headers of its pages decide, and these
need not agree with the footer. A footer itself may hold structures of three bytes that take 720 in a reader. So both
are walked here: thrift's compact protocol, and of it the few fields that matter (parquet-format 2.11, parquet.thrift).
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BufferedReader
from typing import Final, NamedTuple

PAGE_HEADER_BYTES: Final = 1 << 16  # some 30, and two texts where it holds the least and the largest value
CHUNK_BYTES: Final = 64  # of a column chunk in a footer, at least; ours take 90 to 150
MOST_DEPTH: Final = 8  # of structures and lists in each other; a footer has 6
DATA, INDEX, DICTIONARY, DATA_V2 = range(4)  # kinds of pages
PLAIN, PLAIN_DICTIONARY, RLE, RLE_DICTIONARY = 0, 2, 3, 8  # codings of values
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, STRUCT = 1, 2, 3, 7, 8, 9, 10, 12  # kinds of fields
VARINTS: Final = (4, 5, 6)
ROW_GROUPS, COLUMNS = 4, 1  # fields of a footer and of a row group
Fields = dict[int, "int | Fields"]


class Page(NamedTuple):
    """A page: its kind, where it lies, its bytes as stored and as decoded, its values, their coding."""

    kind: int
    start: int
    stored: int
    decoded: int
    values: int
    coding: int


def pages_of(file: BufferedReader, start: int, length: int) -> Iterator[Page]:
    """The pages of a column chunk. Raises ValueError where a header is none, or a page ends outside the chunk."""
    end = start + length
    while start < end:
        file.seek(start)
        header = _Compact(file.read(min(PAGE_HEADER_BYTES, end - start)))
        fields = header.struct(0)
        kind, decoded, stored = (_number(fields, name) for name in (1, 2, 3))
        start += header.at
        inner = fields.get({DATA: 5, DICTIONARY: 7, DATA_V2: 8}.get(kind, 0))
        values, coding = (_number(inner, 1), _number(inner, 4 if kind == DATA_V2 else 2)) if inner else (0, PLAIN)
        if start + stored > end:
            raise ValueError("a page is longer than its column")
        yield Page(kind, start, stored, decoded, values, coding)
        start += stored


def check_chunks(footer: bytes) -> None:
    """Raise ValueError if a footer has more column chunks than so many bytes can honestly hold."""
    left = len(footer) // CHUNK_BYTES
    top = _Compact(footer)
    for name, kind in top.fields():
        if name != ROW_GROUPS or kind != LIST:
            top.skip(kind, 0)
            continue
        of, groups = top.list_head()
        for _ in range(groups if of == STRUCT else 0):
            for inner, inner_kind in top.fields():
                if inner == COLUMNS and inner_kind == LIST:
                    before = top.at
                    left -= top.list_head()[1]
                    top.at = before
                    if left < 0:
                        raise ValueError("more column chunks than it has room for")
                top.skip(inner_kind, 0)


def _number(fields: int | Fields, name: int) -> int:
    value = fields.get(name) if isinstance(fields, dict) else None
    if not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise _damaged()
    return value


def _damaged() -> ValueError:
    return ValueError("a structure of it can't be read")


class _Compact:
    """Reads thrift's compact protocol; `at` is the next byte."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def struct(self, depth: int) -> Fields:
        """Numbers and structs of a struct by their field's number; the rest is passed over."""
        fields: Fields = {}
        for name, kind in self.fields():
            if kind in VARINTS:
                fields[name] = _unfolded(self._varint())
            elif kind == STRUCT and depth < MOST_DEPTH:
                fields[name] = self.struct(depth + 1)
            else:
                self.skip(kind, depth)
        return fields

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a struct; whoever asks must read its value before the next."""
        name = 0
        while head := self._byte():
            name = name + (head >> 4) if head >> 4 else _unfolded(self._varint())
            yield name, head & 15

    def list_head(self) -> tuple[int, int]:
        """The kind of a list's entries, and their number."""
        head = self._byte()
        return head & 15, self._varint() if head >> 4 == 15 else head >> 4

    def skip(self, kind: int, depth: int) -> None:
        """Pass over a value."""
        if depth > MOST_DEPTH:
            raise _damaged()
        if kind in VARINTS:
            self._varint()
        elif kind == BINARY:
            length = self._varint()
            self.at += length
        elif kind in (BYTE, DOUBLE):
            self.at += 1 if kind == BYTE else 8
        elif kind == STRUCT:
            for _, inner in self.fields():
                self.skip(inner, depth + 1)
        elif kind in (LIST, SET):
            of, count = self.list_head()
            for _ in range(count):
                self.skip(BYTE if of in (TRUE, FALSE) else of, depth + 1)
        elif kind not in (TRUE, FALSE):  # whose value is their kind; no structure of Parquet holds a map
            raise _damaged()

    def _byte(self) -> int:
        if self.at >= len(self.content):
            raise _damaged()
        self.at += 1
        return self.content[self.at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:  # ten bytes hold 64 bits
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise _damaged()


def _unfolded(value: int) -> int:
    """Zigzag: 0, 1, 2, 3 stand for 0, -1, 1, -2."""
    return (value >> 1) ^ -(value & 1)
