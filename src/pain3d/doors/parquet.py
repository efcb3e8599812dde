"""Knows how a Parquet file of a stranger is opened and read: what its footer may say, how much its pages may become.

A few bytes of Parquet can stand for terabytes: a dictionary's one entry that every row repeats, runs of zeros, lists
that are all of nothing. So what is read is first weighed, by the headers of its pages, against what is stored.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import (
    PARQUET_COLUMNS,
    PARQUET_FOOTER_BYTES,
    PARQUET_FREE_BYTES,
    PARQUET_GROUPS,
    PARQUET_RATIO,
    PARQUET_READ_BYTES,
    PARQUET_ROWS,
)
from pain3d.doors.parquet_headers import (
    DICTIONARY,
    PLAIN,
    PLAIN_DICTIONARY,
    RLE,
    RLE_DICTIONARY,
    Page,
    check_chunks,
    pages_of,
)

if TYPE_CHECKING:
    from io import BufferedReader

    import pyarrow

MAGIC, ENCRYPTED = b"PAR1", b"PARE"  # the last four bytes of a file, before them the footer's length
TAIL: Final = 8
NUMBERS: Final = ("BOOLEAN", "INT32", "INT64", "FLOAT", "DOUBLE")
TEXT: Final = "BYTE_ARRAY"
CODECS: Final = ("UNCOMPRESSED", "ZSTD", "SNAPPY", "GZIP", "LZ4", "BROTLI")
VALUE_BYTES: Final = 12  # of a value in memory: at most 8 of its own or its offset's, 4 of its levels
# A numeric column that is no list has as many values as rows, and its pages can be decoded to no more than 32,768
# times what is stored: zstd's run of 128 KiB in four bytes (RFC 8878, 3.1.1.2). So short ones needn't be looked into.
HARMLESS_BYTES: Final = 2048
TRUSTED_FOOTER_BYTES: Final = 2**20  # the worst footer of so many takes 0.25 GB in a reader, see `check_chunks`
MOST_QUOTED: Final = 160


class _NothingReadError(Exception):
    """Somebody wanted to read of `_Unread`."""


class _Unread(io.RawIOBase):
    """A file of which nobody reads: who tries gets `_NothingReadError`."""

    def readable(self) -> bool:
        """It says so."""
        return True

    def seekable(self) -> bool:
        """It says so."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """Its size is larger than any place."""
        return 1 << 60

    def tell(self) -> int:
        """See `seek`."""
        return 1 << 60

    def read(self, size: int = -1) -> bytes:
        """Raise _NothingReadError."""
        raise _NothingReadError


@dataclass(frozen=True)
class ParquetSource:
    """A file whose footer is within the limits; it is opened again for each read.

    Attributes:
        path: Where it lies.
        name: What errors call it.
        metadata: pyarrow's, of the footer.
        schema: Its columns as Arrow has them.
    """

    path: Path
    name: str
    metadata: Any
    schema: pyarrow.Schema
    _tried: set[tuple[str, ...]] = field(default_factory=set, init=False, repr=False, compare=False)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.metadata.num_rows)

    @property
    def groups(self) -> int:
        """Number of row groups."""
        return int(self.metadata.num_row_groups)

    def rows_of(self, group: int) -> int:
        """Number of rows of a row group."""
        return int(self.metadata.row_group(group).num_rows)

    def check(self, wanted: pyarrow.Schema, columns: Sequence[str]) -> None:
        """Refuse a file that lacks one of some columns, or has it of another type than `wanted` (`arrow_schema`)."""
        for name in columns:
            if name not in self.schema.names:
                raise RefusedError(f"{self.name}: it has no column {name}")
            found, right = self.schema.field(name).type, wanted.field(name).type
            if found != right:
                raise RefusedError(f"{self.name}: its column {name} is {str(found)[:MOST_QUOTED]}, not {right}")

    def read(self, columns: Sequence[str], groups: Sequence[int] | None = None, nulls: bool = False) -> pyarrow.Table:
        """Some columns of some row groups, of all if none are named.

        Args:
            columns: Their names; ``image.bytes`` is a part of one.
            groups: Numbers of row groups.
            nulls: Whether a value may be missing; no column of a data set of ours has such.

        Raises:
            RefusedError: What is asked for is damaged, more than is read at once, has nulls or isn't UTF-8.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        chosen = range(self.groups) if groups is None else groups
        try:
            with self.path.open("rb") as stream:  # opened once: what is weighed is read; pyarrow wants names in UTF-8
                self._weigh(stream, columns, chosen)
                with pq.ParquetFile(stream, metadata=self.metadata) as file:
                    table = file.read_row_groups(list(chosen), columns=list(columns), use_threads=False)
            table.validate(full=True)  # offsets and UTF-8
        except RefusedError:
            raise
        except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
            raise _damaged(self.name, error) from error
        if not nulls and (found := first_null(table)):
            raise RefusedError(f"{self.name}: its column {found[0]} is empty in row {found[1]}")
        return table

    def read_rows(self, columns: Sequence[str], first: int, last: int) -> pyarrow.Table:
        """Some columns of rows `first` to `last` - 1, of the row groups that have them; raises as `read` does."""
        start, groups, before = 0, [], 0
        for group in range(self.groups):
            end = start + self.rows_of(group)
            if start < last and end > first:
                groups.append(group)
            elif end <= first:
                before = end
            start = end
        return self.read(columns, groups).slice(first - before, last - first)

    def _weigh(self, file: BufferedReader, columns: Sequence[str], groups: Sequence[int]) -> None:
        """Refuse what would take more memory than limits allow, before it is read."""
        if tuple(columns) not in self._tried:
            self._try(columns)
            self._tried.add(tuple(columns))
        leaves = self._leaves(columns)
        stored = decoded = 0
        for group in groups:
            row_group = self.metadata.row_group(group)
            for number, flat in leaves:
                chunk = row_group.column(number)
                stored += chunk.total_compressed_size
                if flat and chunk.total_compressed_size <= HARMLESS_BYTES and chunk.physical_type in NUMBERS:
                    decoded += row_group.num_rows * VALUE_BYTES
                else:
                    decoded += _decoded(file, chunk)
        most = min(PARQUET_READ_BYTES, PARQUET_FREE_BYTES + PARQUET_RATIO * stored)
        if decoded > most:
            raise RefusedError(f"{self.name}: {stored:,} bytes would become {decoded:,}, at most {most:,} are read")

    def _try(self, columns: Sequence[str]) -> None:
        """Let pyarrow's reader look at the chunks of some columns in all row groups, and read nothing.

        It raises where one is damaged or encrypted, its codec is none, or a row group lacks it;
        `metadata.row_group(0).column(0)` and its `compression`, asked for the same, end the process (26.0.1: no
        exception of C++ is caught there).
        """
        import pyarrow.parquet as pq

        # Buffered, and not before they are wanted: a row group's columns are all opened before the first byte is read.
        file = pq.ParquetFile(_Unread(), metadata=self.metadata, buffer_size=1 << 12, pre_buffer=False)
        for group in range(self.groups):
            with contextlib.suppress(_NothingReadError):
                file.read_row_group(group, columns=list(columns), use_threads=False)

    def _leaves(self, columns: Sequence[str]) -> list[tuple[int, bool]]:
        """Numbers of the parts of some columns, and whether each has one value a row."""
        wanted = set(columns)
        found = []
        for number in range(self.metadata.num_columns):
            leaf = self.metadata.schema.column(number)
            path = leaf.path
            above = path.partition(".")[0]
            if path in wanted or above in wanted or any(path.startswith(f"{name}.") for name in wanted if "." in name):
                found.append((number, leaf.max_repetition_level == 0))
        return found


def open_parquet(path: Path, name: str = "") -> ParquetSource:
    """Read the footer of a Parquet file.

    Args:
        path: A regular file.
        name: What errors call it; its path if left out.

    Raises:
        RefusedError: It is missing, no Parquet, encrypted, damaged, or says more of something than limits allow.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = name or str(path)
    if not path.is_file():
        raise RefusedError(f"{name}: missing, or not a file")
    try:
        _check_tail(path, name)
        with path.open("rb") as stream:
            metadata = pq.ParquetFile(stream, thrift_container_size_limit=PARQUET_GROUPS).metadata
        _check_footer(name, metadata)
        schema = metadata.schema.to_arrow_schema()
    except RefusedError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise _damaged(name, error) from error
    if len(set(schema.names)) < len(schema.names):
        raise RefusedError(f"{name}: damaged, two of its columns have the same name")
    return ParquetSource(path, name, metadata, schema)


def first_null(table: pyarrow.Table) -> tuple[str, int] | None:
    """The first column that has a null, in lists and structures too, and its first such row."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        row = 0
        for chunk in column.chunks:
            if _has_null(chunk):
                return name, row + next(place for place in range(len(chunk)) if _has_null(chunk.slice(place, 1)))
            row += len(chunk)
    return None


def _has_null(array: pyarrow.Array) -> bool:
    import pyarrow as pa

    if array.null_count:
        return True
    if pa.types.is_struct(array.type):
        return any(map(_has_null, array.flatten()))
    return pa.types.is_list(array.type) and _has_null(array.flatten())


def _check_tail(path: Path, name: str) -> None:
    """Ask for the length of the footer before it is read, and of a long one what it holds."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        tail = file.read(TAIL)
        length = int.from_bytes(tail[:4], "little")
        if TRUSTED_FOOTER_BYTES < length <= PARQUET_FOOTER_BYTES:
            file.seek(max(0, size - TAIL - length))
            check_chunks(file.read(length))
    if tail[4:] == ENCRYPTED:
        raise RefusedError(f"{name}: encrypted")
    if tail[4:] != MAGIC or len(tail) < TAIL:
        raise RefusedError(f"{name}: damaged, or no Parquet")
    _within(name, length, PARQUET_FOOTER_BYTES, "bytes of footer")


def _check_footer(name: str, metadata: Any) -> None:
    _within(name, metadata.num_columns, PARQUET_COLUMNS, "columns")
    _within(name, metadata.num_row_groups, PARQUET_GROUPS, "row groups")
    _within(name, metadata.num_rows, PARQUET_ROWS, "rows")
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    if sum(rows) != metadata.num_rows or any(number < 0 for number in rows):
        raise RefusedError(f"{name}: damaged, its row groups have not the rows of the file")


def _within(name: str, number: int, most: int, what: str) -> None:
    if number > most:
        raise RefusedError(f"{name}: it says that it has {number:,} {what}, at most {most:,} are read")


def _decoded(file: BufferedReader, chunk: Any) -> int:
    """Bytes in memory of a column chunk, at most; by its pages. Raises ValueError where they aren't such of ours."""
    if chunk.physical_type not in (*NUMBERS, TEXT) or chunk.compression not in CODECS:
        raise ValueError(f"{chunk.path_in_schema} is {chunk.physical_type} by {chunk.compression}")
    start = chunk.data_page_offset
    if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < start:
        start = chunk.dictionary_page_offset
    values = decoded = largest = 0
    longest: int | None = None
    for page in pages_of(file, start, chunk.total_compressed_size):
        largest = max(largest, page.decoded)
        if page.kind == DICTIONARY:
            longest = 0
            if chunk.physical_type == TEXT:
                short = page.decoded * chunk.num_values <= PARQUET_FREE_BYTES >> 6
                longest = page.decoded if short else _longest(file, chunk.compression, page)
            decoded += page.decoded
            continue
        values += page.values
        if page.coding in (PLAIN, RLE):
            decoded += page.decoded
        elif page.coding in (PLAIN_DICTIONARY, RLE_DICTIONARY) and longest is not None:
            decoded += page.values * longest
        else:
            raise ValueError(f"{chunk.path_in_schema} has pages of a coding that isn't read here")
    if values != chunk.num_values:
        raise ValueError(f"{chunk.path_in_schema} has other values than the footer says")
    return decoded + largest + values * VALUE_BYTES


def _longest(file: BufferedReader, compression: str, page: Page) -> int:
    """Bytes of the longest entry of a dictionary of texts: each stands behind its length."""
    import pyarrow as pa

    if page.decoded > PARQUET_FREE_BYTES:
        raise ValueError(f"a dictionary of {page.decoded:,} bytes")
    file.seek(page.start)
    content: Any = file.read(page.stored)
    if compression != "UNCOMPRESSED":
        content = pa.decompress(content, page.decoded, compression.lower(), asbytes=True)
    at = longest = 0
    for _ in range(page.values):
        (length,) = struct.unpack_from("<I", content, at)
        longest, at = max(longest, length), at + 4 + length
    if at > len(content):
        raise ValueError("a dictionary is damaged")
    return longest


def _damaged(name: str, error: Exception) -> RefusedError:
    return RefusedError(f"{name}: damaged ({one_line(error)})")
