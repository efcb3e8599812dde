"""Parquet of strangers: honest files come back as they are, hostile ones are one line, and take no memory."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pain3d.console.refused import RefusedError
from pain3d.doors.limits import PARQUET_COLUMNS, PARQUET_ROWS
from pain3d.doors.parquet import TRUSTED_FOOTER_BYTES, first_null, open_parquet
from tests.pain3d_core.doors.made_parquet import (
    BYTE_ARRAY,
    FLOAT,
    I64,
    INT32,
    LIST,
    STRUCT,
    UNCOMPRESSED,
    ZSTD,
    chunk,
    element,
    entries,
    footer,
    group,
    one_column,
    page,
    struct,
    text,
    whole,
    write,
)

HONEST = pa.table(
    {
        "name": ["a", "bb", "bb"] * 50,
        "image": pa.array([{"bytes": b"abc" * 100, "path": "p"}] * 150),
        "points": pa.array([[[1.0, 2.0], [3.0]], [[]], []] * 50, pa.list_(pa.list_(pa.float32()))),
        "yes": [True, False, True] * 50,
        "number": pa.array(range(150), pa.int64()),
    }
)


def refused(path: Path, columns: tuple[str, ...] = ("x",)) -> str:
    """The one line of a file that can't be opened or read; nothing of pyarrow's may hold memory afterwards."""
    before = pa.total_allocated_bytes()
    with pytest.raises(RefusedError) as error:
        open_parquet(path).read(columns)
    assert pa.total_allocated_bytes() - before < 2**20
    said = str(error.value)
    assert said.startswith(f"{path}: ") and len(said) < 400 and "\n" not in said
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("codec", ["none", "zstd", "snappy", "gzip", "lz4", "brotli"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_an_honest_file_comes_back(tmp_path: Path, codec: str, version: str, dictionary: bool) -> None:
    path = tmp_path / "a.parquet"
    settings = {"compression": codec, "data_page_version": version, "use_dictionary": dictionary}
    pq.write_table(HONEST, path, row_group_size=64, data_page_size=200, **settings)
    source = open_parquet(path)
    assert (source.rows, source.groups, source.rows_of(2)) == (150, 3, 22)
    source.check(HONEST.schema, HONEST.column_names)
    assert source.read(HONEST.column_names) == HONEST
    assert source.read(["image.bytes", "yes"], [1]).num_columns == 2


def test_what_a_long_footer_holds_is_looked_at(tmp_path: Path) -> None:
    table = pa.table({f"c{number}": [1.0] * 64 for number in range(147)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    assert int.from_bytes((tmp_path / "a.parquet").read_bytes()[-8:-4], "little") < TRUSTED_FOOTER_BYTES * 2
    assert open_parquet(tmp_path / "a.parquet").groups == 64
    few = [struct((2, I64, whole(0)))] * 10_000
    path = write(tmp_path / "b.parquet", footer([element(b"r", 1), element(b"x", kind=INT32)], [group(few, 0)] * 40, 0))
    assert refused(path) == "damaged (more column chunks than it has room for)"


SCHEMA = [element(b"r", 1), element(b"x", kind=INT32)]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda path: path.write_bytes(b""), "damaged, or no Parquet"),
        (lambda path: path.write_bytes(b"PAR1PAR1"), "it says that it has 827,474,256 bytes of footer"),
        (lambda path: path.write_bytes(b"PAR1\0\0\0\0PAR1"), "damaged ("),
        (lambda path: path.write_bytes(b"<html>please log in</html>"), "damaged, or no Parquet"),
        (lambda path: path.mkdir(), "missing, or not a file"),
        (lambda path: write(path, footer(SCHEMA, [], 0), magic=b"PARE"), "encrypted"),
        (lambda path: write(path, b"\x15\x02" + b"\xff" * 40), "damaged ("),
        (lambda path: write(path, footer([element(b"r", 1)] + [element(b"a", 1)] * 9000 + SCHEMA[1:], [], 0)),
         "damaged (Parquet schema too deeply nested"),
        (lambda path: write(path, footer([element(b"r", 5000)] + [element(b"%d" % n, kind=1) for n in range(5000)],
                                         [], 0)), f"it says that it has 5,000 columns, at most {PARQUET_COLUMNS:,}"),
        (lambda path: write(path, footer(SCHEMA, [group([chunk(INT32, 0, 4, 9, 1)], 10**12)], 10**12)),
         f"it says that it has 1,000,000,000,000 rows, at most {PARQUET_ROWS:,}"),
        (lambda path: write(path, footer(SCHEMA, [group([chunk(INT32, 0, 4, 9, 1)], 5)], 6)), "damaged, its row"),
        (lambda path: write(path, footer(SCHEMA, [group([chunk(INT32, 0, 4, 9, 1)], -5)], -5)), "damaged"),
        (lambda path: write(path, footer([element(b"r", 2), SCHEMA[1], SCHEMA[1]], [], 0)), "damaged, two of its col"),
        (lambda path: write(path, struct((1, 5, whole(1)), (2, LIST, entries(STRUCT, [], 900_000)))), "damaged ("),
    ],
)  # fmt: skip
def test_a_footer_that_is_none_is_one_line(tmp_path: Path, made: Callable[[Path], object], says: str) -> None:
    made(tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet").startswith(says)


ZEROS = bytes(pa.compress(b"\0" * 2**27, "zstd", asbytes=True))  # 128 MiB in 12 kB
REPEATED = 2  # of a schema's element


def bombs(path: Path) -> dict[str, tuple[Path, str]]:
    """Some kilobytes each that pyarrow alone would make gigabytes of."""
    entry = text(b"")[:0] + (2**22).to_bytes(4, "little") + b"x" * 2**22
    dictionary = page(2, bytes(pa.compress(entry, "zstd", asbytes=True)), len(entry), 1, 0)
    # Widths of indices 0, so no byte holds a million of them; levels of lists likewise, in a run.
    indices = bytes(pa.compress(b"\x00", "zstd", asbytes=True))
    levels = bytes.fromhex("05000000") + bytes.fromhex("feffff0f01")
    return {
        "dictionary": (
            one_column(path / "a", dictionary + page(0, indices, 1, 1000, 8), BYTE_ARRAY, ZSTD, 1000, 1000),
            "would become 4,2",
        ),
        "pages": (
            one_column(path / "b", page(0, ZEROS, 2**27, 2**25, 0) * 9, FLOAT, ZSTD, 9 * 2**25, 1),
            "would become",
        ),
        "lists": (
            one_column(path / "c", page(0, levels * 2, 20, 2**24 - 1, 3), INT32, UNCOMPRESSED, 2**24 - 1, 1, REPEATED),
            "would become",
        ),
        "long dictionary": (
            one_column(path / "d", page(2, ZEROS, 2**27, 1, 0) + page(0, b"\0", 1, 9, 8), BYTE_ARRAY, ZSTD, 9, 9),
            "damaged (a dictionary of 134,217,728 bytes",
        ),
        "lying footer": (
            one_column(path / "e", page(0, b"\0" * 8, 8, 2, 0), BYTE_ARRAY, UNCOMPRESSED, 1, 1),
            "damaged (x has other values than the footer says",
        ),
        "page beyond": (
            one_column(path / "f", page(0, b"", 8, 2, 0)[:-1] + b"\0", BYTE_ARRAY, ZSTD, 3, 3),
            "damaged (",
        ),
        "unknown coding": (
            one_column(path / "g", page(0, b"\0" * 8, 8, 2, 7), BYTE_ARRAY, UNCOMPRESSED, 2, 2),
            "damaged (x has pages of a coding",
        ),
    }  # fmt: skip


def test_small_files_that_would_become_large_are_weighed(tmp_path: Path) -> None:
    for name, (path, says) in bombs(tmp_path).items():
        assert path.stat().st_size < 2**20, name
        tracemalloc.start()
        assert says in refused(path), name
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 2**25, name


def test_every_flipped_byte_is_read_or_refused(tmp_path: Path) -> None:
    """No other error than ours, whichever byte is wrong; a checksum of the whole file is `verify`'s."""
    path, other = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(HONEST.slice(0, 6), path, compression="zstd")
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0x15
        other.write_bytes(changed)
        try:
            table = open_parquet(other)
            table.read(table.schema.names)
        except RefusedError as error:
            assert str(error).startswith(f"{other}: ")


def test_columns_must_be_those_of_the_schema(tmp_path: Path) -> None:
    pq.write_table(HONEST.drop_columns(["yes"]).set_column(3, "number", [["7"] * 150]), tmp_path / "a.parquet")
    source = open_parquet(tmp_path / "a.parquet", "the file")
    with pytest.raises(RefusedError, match="the file: it has no column yes"):
        source.check(HONEST.schema, ["name", "yes"])
    with pytest.raises(RefusedError, match="the file: its column number is string, not int64"):
        source.check(HONEST.schema, ["number"])
    source.check(HONEST.schema, ["points", "image"])


@pytest.mark.parametrize(
    ("values", "row"),
    [
        (pa.array([1, None]), 1),
        (pa.array([[1.0], [], [2.0, None]]), 2),
        (pa.array([{"bytes": b"a", "path": ""}, {"bytes": None, "path": ""}]), 1),
        (pa.chunked_array([[[[1]]], [[[2]], [[None]]]]), 2),
    ],
)
def test_nulls_are_found_where_they_are(tmp_path: Path, values: pa.Array, row: int) -> None:
    table = pa.table({"x": values})
    assert first_null(table) == ("x", row)
    pq.write_table(table, tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet") == f"its column x is empty in row {row}"
    assert open_parquet(tmp_path / "a.parquet").read(["x"], nulls=True).num_rows == len(table)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    pages = page(0, (2).to_bytes(4, "little") + b"\xff\xfe", 6, 1, 0)
    schema = [element(b"r", 1), struct((1, 5, whole(6)), (3, 5, whole(0)), (4, 8, text(b"x")), (6, 5, whole(0)))]
    foot = footer(schema, [group([chunk(BYTE_ARRAY, UNCOMPRESSED, 4, len(pages), 1)], 1)], 1)
    assert refused(write(tmp_path / "a", foot, pages)).startswith("damaged (")
