"""Knows what must hold of the rows of a data set: every column is told again and compared, and what is seen looked at.

The files of a shard come one after the other, frames first: what only pictures show is taken from the rows
of frames, and must be the same wherever else it stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pyarrow as pa

from pain3d.console.refused import MOST_SAID, RefusedError, printable, quoted
from pain3d.doors.parquet import ParquetSource, open_parquet
from pain3d.pipeline.column_comparison import differing_rows, told_difference
from pain3d.pipeline.folder import FileEntry
from pain3d.pipeline.picture_checks import PicturedRow, digest, look_at
from pain3d.pipeline.sampled_checks import SampledChecks
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.shard_rows import DataSetPlan, Shard
from pain3d.records import (
    BACKGROUND_COLUMNS,
    DISTORTION_COLUMNS,
    EFFECT_COLUMNS,
    HAIR_COLUMNS,
    LATER_IN_PAIRS,
    LENS_COLUMNS,
    REFINED_COLUMNS,
    SUBSETS,
    TEXTURE_COLUMNS,
    WORN_COLUMNS,
    arrow_schema,
    columns_of,
)

Finding = tuple[int, str]
Digests = dict[str, bytes]  # of pictures, by column
# Sums over 201 + 69 shapes, which a device may round in another order (docs/formats.md), and what they become through
# the lens. All else is compared for equality: told with AVX-512, with AVX2 and with neither (ATEN_CPU_CAPABILITY,
# NPY_DISABLE_CPU_FEATURES), 347 columns of 24 people had the same bits, landmarks were 1.5e-8 m and 3.1e-5 px apart.
TOLERANCES: Final = {
    f"{prefix}{name}": tolerance
    for name, tolerance in (("landmarks_3d", 5e-6), ("landmarks_2d", 2e-3), ("bbox", 2e-3), ("neutral_vertices", 5e-6))
    for prefix in ("", "neutral_")
}
PLANNED: Final = ("sample_id", "identity_id", "split", "expression_id", "view_id", "neutral")
CONFIGURED: Final = ("seed", "config_hash", "pain3d_version", "code_version", "synthetic")
PAINTED: Final = ("licence", *TEXTURE_COLUMNS, *BACKGROUND_COLUMNS, *REFINED_COLUMNS)
MEASURED: Final = ("coverage", "heatmap_unit_mm", "skin_ita_degrees")
SAID: Final = {"unit": "heatmap_unit_mm", "coverage": "coverage"}  # of frames, by field of PicturedRow


def in_order(entries: Iterable[FileEntry]) -> list[FileEntry]:
    """Files in the order in which they are checked: shard by shard, each with its frames first."""
    return sorted(entries, key=lambda entry: (_shard(entry["path"]), SUBSETS.index(entry["subset"])))


class RowChecks:
    """Checks the files of a data set, which come in the order of `in_order`.

    Args:
        out: Its folder.
        resolved: Its resolved configuration.
        pool: Where rows are told again, and pictures decoded.

    Raises:
        RefusedError: No run has such a configuration.
    """

    def __init__(self, out: Path, resolved: Mapping[str, Any], pool: Executor) -> None:
        self._out, self._pool = out, pool
        self._plan = DataSetPlan(out, resolved)
        self._shard = Shard("", self._plan, pool)
        self._places: dict[int, dict[str, str]] = defaultdict(dict)  # of each identity: split → file

    def sampled(self, count: int) -> Iterator[str]:
        """What is wrong with the pictures of so many identities, which are rendered again; see `SampledChecks`."""
        sample = SampledChecks(self._plan, self._pool, count)
        self._plan.notes |= dict.fromkeys(sample.notes)
        yield from sample.check()

    @property
    def notes(self) -> list[str]:
        """What can't be compared, and why: nothing that is wrong."""
        return list(self._plan.notes)

    def check(self, entry: FileEntry) -> Iterator[str]:
        """What is wrong with the rows of one file; findings begin with its path."""
        path, subset = entry["path"], entry["subset"]
        try:
            if file_hash(self._out / path) != entry["sha256"]:
                yield f"{path}: SHA-256 differs from the manifest"
            source = open_parquet(self._out / path, path)
            wrong = self._schema_finding(source, subset)
            if not wrong and source.rows != entry["rows"]:
                wrong = f"{source.rows} rows, the manifest says {entry['rows']}"
            if wrong:
                yield f"{path}: {wrong}"
            else:
                yield from self._check_rows(source, entry)
        except RefusedError as error:
            yield str(error)

    def split_findings(self) -> Iterator[str]:
        """Identities that lie in more than one split."""
        for identity_id, places in sorted(self._places.items()):
            if len(places) > 1:
                where = " and ".join(f"{split} ({path})" for split, path in sorted(places.items()))
                yield f"identity {identity_id} lies in more than one split: {where}"

    def _schema_finding(self, source: ParquetSource, subset: str) -> str:
        """Which columns are missing, unknown or in another order, empty if none is; refuses those of another type."""
        names = source.schema.names
        wanted = [column.name for column in columns_of(subset, self._plan.dense)]
        # And those of data sets older than camera effects and lenses that distort, hair that grows, a lens, a lamp's
        # size, what is worn, pairs with cameras, backgrounds, refining, textures.
        known = [wanted]
        in_pairs = LATER_IN_PAIRS if subset == "pairs" else ()
        newest = ((*EFFECT_COLUMNS, *DISTORTION_COLUMNS), HAIR_COLUMNS, LENS_COLUMNS, WORN_COLUMNS)
        for later in (*newest, in_pairs, BACKGROUND_COLUMNS, REFINED_COLUMNS, TEXTURE_COLUMNS):
            known.append([name for name in known[-1] if name not in later])
        if names not in known:
            return f"columns differ, {', '.join(sorted({*names} ^ {*wanted})) or 'in their order'}"[:MOST_SAID]
        source.check(arrow_schema(subset, self._plan.dense), names)
        return ""

    def _check_rows(self, source: ParquetSource, entry: FileEntry) -> Iterator[str]:
        path, subset = entry["path"], entry["subset"]
        wrong = ""
        if subset == "frames":
            self._shard = Shard(_shard(path), self._plan, self._pool)
            wrong = self._shard.read_frames(source, entry["split"])
        known = self._shard.name == _shard(path) and self._shard.known(subset)
        if known and source.rows != self._shard.rows(subset):
            known, wrong = False, f"{source.rows} rows, its frames and their scenes give {self._shard.rows(subset)}"
        if not known:
            yield f"{path}: {wrong or 'nothing to compare it with, its frames are missing or wrong'}"
        unstored = self._plan.unstored(subset)
        stored = [name for name in source.schema.names if name not in unstored]
        start = 0
        for group in range(source.groups):
            table = source.read(stored, [group]).combine_chunks()
            if not len(table):
                continue
            for name in unstored:
                if source.read([name], [group], nulls=True)[name].null_count < len(table):
                    yield f"{path} rows {start} to {start + len(table) - 1}: {name} isn't null, as without pictures"
            for identity_id in table["identity_id"].unique().to_pylist():
                self._places[identity_id].setdefault(entry["split"], path)
            looked = list(self._look(table, subset, start, known))
            findings = [(row, words) for row, (found, _) in enumerate(looked) for words in found]
            if known:
                findings += self._compare(table, subset, start, [digests for _, digests in looked])
            for row, words in sorted(findings):
                yield f"{path} row {start + row} ({_name(table, row)}): {words}"
            start += len(table)

    def _look(self, table: pa.Table, subset: str, start: int, known: bool) -> Iterator[tuple[list[str], Digests]]:
        """What is wrong with the pictures of each row, and their digests; in pairs, which are copies, only these."""
        columns = {field.name: table[field.name].chunk(0) for field in table.schema if pa.types.is_struct(field.type)}
        contents = {name: column.field("bytes") for name, column in columns.items()}
        neutral, said = [False] * len(table), {}
        if "expression_id" in table.column_names:
            neutral = [number == 0 for number in table["expression_id"].to_pylist()]
        if subset == "frames":
            said = {name: table[column].to_pylist() for name, column in SAID.items()}
            if known:
                said["moved"] = self._shard.moved(start, len(table))

        size, same_code = self._plan.size, self._plan.same_code
        haired = self._plan.resolved.get("hair") == "grown"

        def look(row: int) -> tuple[list[str], Digests]:
            files = {name: column[row].as_py() for name, column in contents.items()}
            if subset == "pairs":
                return [], {name: digest(content) for name, content in files.items()}
            own = {name: values[row] for name, values in said.items()}
            return look_at(PicturedRow(files, size, neutral[row], counted=same_code, haired=haired, **own))

        return self._pool.map(look, range(len(table)))

    def _compare(self, table: pa.Table, subset: str, start: int, digests: list[Digests]) -> Iterator[Finding]:
        """Compare every column of rows with what it should hold."""
        if subset == "frames":
            self._shard.note_pictures(digests)
        for place, wanted in self._shard.expected(subset, start, len(table)):
            if isinstance(wanted, str):
                yield place, wanted
                continue
            stored = table.slice(place, len(wanted)).combine_chunks()
            for name in table.column_names:
                column, right = stored[name].chunk(0), wanted.column(name)
                if pa.types.is_struct(right.type):
                    own = [digests[place + row][name] for row in range(len(wanted))]
                    found = _compared_files(name, column, own, right)
                elif name == "neutral_vertices" and not len(right[0]):  # of another head
                    continue
                else:
                    found = self._compared(name, column, right)
                yield from ((place + row, words) for row, words in found)

    def _compared(self, name: str, column: pa.Array, right: pa.Array) -> Iterator[Finding]:
        who = "its scene gives"
        if name in PLANNED and self._plan.same_code:
            who = "the plan says"
        elif name in CONFIGURED:
            who = "the configuration says"
        elif name in PAINTED:
            who = "who painted says"
        elif name.removeprefix("neutral_") in MEASURED:
            who = "frames say"
        for row in differing_rows(column, right, TOLERANCES.get(name, 0.0)).tolist():
            called, found, should = told_difference(name, column[row].as_py(), right[row].as_py())
            yield row, f"{called} is {found}, {who} {should}"


def _compared_files(name: str, column: pa.Array, digests: list[bytes], right: pa.Array) -> Iterator[Finding]:
    """Pictures whose path isn't theirs, or which aren't those of frames."""
    paths, wanted = column.field("path").to_pylist(), right.field("path").to_pylist()
    for row, (path, own, source, known) in enumerate(
        zip(paths, digests, wanted, right.field("bytes").to_pylist(), strict=True)
    ):
        if path != source:
            yield row, f"path of {name} is {quoted(path)}, not {quoted(source)}"
        if known and own != known:
            yield row, f"{name} isn't that of {source.partition('.')[0]} in frames"


def _shard(path: str) -> str:
    return PurePosixPath(path).stem


def _name(table: pa.Table, row: int) -> str:
    if "sample_id" in table.column_names:
        return printable(str(table["sample_id"][row]))[:80]
    return f"identity {table['identity_id'][row]}"
