"""Knows how a Parquet file is made that no library writes: footers and page headers in thrift's compact protocol."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
INT32, FLOAT, BYTE_ARRAY = 1, 4, 6
UNCOMPRESSED, ZSTD = 0, 6
Field = tuple[int, int, bytes]


def varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def whole(number: int) -> bytes:
    """Zigzag."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def text(content: bytes) -> bytes:
    return varint(len(content)) + content


def struct(*fields: Field) -> bytes:
    out, last = b"", 0
    for name, kind, content in fields:
        out += bytes([(name - last) << 4 | kind]) + content
        last = name
    return out + b"\0"


def entries(kind: int, items: Sequence[bytes], count: int | None = None) -> bytes:
    """A list, which may say that it has more entries than it has."""
    count = len(items) if count is None else count
    return (bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)) + b"".join(items)


def element(name: bytes, children: int | None = None, kind: int | None = None, repeated: int = 0) -> bytes:
    """A part of the schema: 0 is required, 2 repeated."""
    fields: list[Field] = [] if kind is None else [(1, I32, whole(kind))]
    fields += [(3, I32, whole(repeated)), (4, BINARY, text(name))]
    fields += [] if children is None else [(5, I32, whole(children))]
    return struct(*fields)


def chunk(kind: int, codec: int, start: int, stored: int, values: int, decoded: int | None = None) -> bytes:
    """A column chunk of column x."""
    told = struct(
        (1, I32, whole(kind)),
        (2, LIST, entries(I32, [whole(0), whole(8)])),
        (3, LIST, entries(BINARY, [text(b"x")])),
        (4, I32, whole(codec)),
        (5, I64, whole(values)),
        (6, I64, whole(stored if decoded is None else decoded)),
        (7, I64, whole(stored)),
        (9, I64, whole(start)),
    )
    return struct((2, I64, whole(start)), (3, STRUCT, told))


def group(chunks: Sequence[bytes], rows: int) -> bytes:
    return struct((1, LIST, entries(STRUCT, chunks)), (2, I64, whole(0)), (3, I64, whole(rows)))


def footer(schema: Sequence[bytes], groups: Sequence[bytes], rows: int) -> bytes:
    return struct(
        (1, I32, whole(1)),
        (2, LIST, entries(STRUCT, schema)),
        (3, I64, whole(rows)),
        (4, LIST, entries(STRUCT, groups)),
    )


def page(kind: int, content: bytes, decoded: int, values: int, coding: int) -> bytes:
    """A data page, 0, or one of a dictionary, 2."""
    header = struct((1, I32, whole(values)), (2, I32, whole(coding)))
    if kind == 0:
        header = struct((1, I32, whole(values)), (2, I32, whole(coding)), (3, I32, whole(3)), (4, I32, whole(3)))
    sizes: list[Field] = [(1, I32, whole(kind)), (2, I32, whole(decoded)), (3, I32, whole(len(content)))]
    return struct(*sizes, (7 if kind else 5, STRUCT, header)) + content


def write(path: Path, foot: bytes, body: bytes = b"", magic: bytes = b"PAR1") -> Path:
    path.write_bytes(b"PAR1" + body + foot + len(foot).to_bytes(4, "little") + magic)
    return path


def one_column(path: Path, pages: bytes, kind: int, codec: int, values: int, rows: int, repeated: int = 0) -> Path:
    """A file of a column x whose pages are these."""
    schema = [element(b"r", 1), element(b"x", kind=kind, repeated=repeated)]
    return write(path, footer(schema, [group([chunk(kind, codec, 4, len(pages), values)], rows)], rows), pages)
