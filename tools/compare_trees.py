"""Knows whether two trees make the same: contact sheet, golden pictures, and a data set, byte for byte.

    python -m tools.compare_trees OLD NEW

OLD and NEW are two checkouts whose `.venv` runs them; `--python` names one interpreter for both. Each makes in a folder
of its own what `make demo` makes, and a data set of 8 identities. IGNORED and FOR_PEOPLE say what is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

IGNORED: Final = ("code_version", "config_hash")  # they name the sources and the settings, not what was made
IN_MANIFEST: Final = (*IGNORED, "sha256", "bytes")  # of files that hold the names above
IN_CROISSANT: Final = ("citeAs", "prov:wasGeneratedBy", "rai:machineAnnotationTools")  # texts that hold them
RUNS: Final = {
    "demo": ("--identities", "6", "--seed", "0"),  # what make demo runs
    "eight": ("--identities", "8", "--seed", "3", "--expressions", "2", "--size", "256"),
}
FOR_PEOPLE: Final = {"report/index.html", "LICENSES/NOTICE-head.txt"}  # drawn and worded, of rows that are compared


def made_by(tree: Path, python: Path | None, out: Path) -> None:
    """Run a tree's own ``pain3d synth`` into ``out/demo`` and ``out/eight``.

    Raises:
        SystemExit: The interpreter imports pain3d from another place than this tree, or a run failed.
    """
    interpreter = python or tree / ".venv" / "bin" / "python"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if (tree / "src" / "pain3d").is_dir():
        environment["PYTHONPATH"] = str(tree / "src")
    out.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [
        interpreter,
        "-c",
        "import pain3d, pathlib; print(pathlib.Path(pain3d.__file__).resolve())",
    ]
    found = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True)
    if found.returncode or not Path(found.stdout.strip()).is_relative_to(tree):
        sys.exit(f"{interpreter} does not run {tree}: {(found.stdout + found.stderr).strip()}")
    for name, options in RUNS.items():
        print(f"{tree}: pain3d synth {name} {' '.join(options)}", flush=True)
        command = [interpreter, "-m", "pain3d", "synth", out / name, *options]
        done = subprocess.run(command, cwd=out, env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{tree}: {done.stderr.strip()}")


def column_bytes(table: pa.Table, name: str) -> bytes:
    """A column as Arrow writes it to a stream: its type, its validity, its values, NaN and −0 as they are."""
    sink = pa.BufferOutputStream()
    column = table.select([name]).replace_schema_metadata(None).combine_chunks()
    with pa.ipc.new_stream(sink, column.schema) as stream:
        stream.write_table(column)
    return bytes(sink.getvalue())


def differing_columns(old: Path, new: Path) -> list[str]:
    """What two Parquet files do not share: number of rows, order of columns, description, or a column's bytes."""
    tables = pq.read_table(old), pq.read_table(new)
    first, second = tables
    wrong = [] if first.num_rows == second.num_rows else [f"{first.num_rows} rows, now {second.num_rows}"]
    if first.column_names != second.column_names:
        wrong.append(f"columns {sorted({*first.column_names} ^ {*second.column_names})} or their order")
    if first.schema.metadata != second.schema.metadata:
        wrong.append("the description of the columns")
    shared = [name for name in first.column_names if name in second.column_names and name not in IGNORED]
    return wrong + [f"column {name}" for name in shared if column_bytes(first, name) != column_bytes(second, name)]


def without(content: Any, names: Iterable[str]) -> Any:
    """JSON content without the entries of these names, at any depth."""
    if isinstance(content, dict):
        return {name: without(value, names) for name, value in content.items() if name not in names}
    return [without(value, names) for value in content] if isinstance(content, list) else content


def differences(old: Path, new: Path) -> list[str]:
    """What two files of a data set do not share, a few words each."""
    if old.suffix == ".parquet":
        return differing_columns(old, new)
    first, second = old.read_bytes(), new.read_bytes()
    left_out = {"manifest.json": IN_MANIFEST, "croissant.json": IN_CROISSANT}.get(old.name)
    if left_out:
        same = without(json.loads(first), left_out) == without(json.loads(second), left_out)
    elif old.suffix in (".md", ".yaml"):
        named = [f"{name}:".encode() for name in IGNORED]
        lines = [[line for line in text.splitlines() if not line.startswith(tuple(named))] for text in (first, second)]
        same = lines[0] == lines[1]
    else:
        same = first == second
    return [] if same else ["bytes"]


def compared(old: Path, new: Path, pattern: str = "**/*") -> Iterator[tuple[str, list[str]]]:
    """Each file of two folders that fits a pattern, by its path inside, and what differs between the two.

    Raises:
        SystemExit: There is nothing to compare.
    """
    held = [
        {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}
        for folder in (old, new)
    ]
    names = sorted((held[0] | held[1]) - FOR_PEOPLE)
    if not names:
        sys.exit(f"{old} and {new}: no {pattern} to compare")
    for name in names:
        there = [name in folder for folder in held]
        yield name, differences(old / name, new / name) if all(there) else ["only in " + ("OLD" if there[0] else "NEW")]


def main(argv: list[str] | None = None) -> int:
    """Compare two trees; prints a line for each file and returns 1 where one differs."""
    parser = argparse.ArgumentParser(description="Do two trees make the same bytes?")
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--python", type=Path, help="interpreter for both, instead of each tree's .venv")
    parser.add_argument("--work", type=Path, help="an empty folder for what the trees make; else a temporary one")
    options = parser.parse_args(argv)
    trees = [options.old.resolve(), options.new.resolve()]
    with tempfile.TemporaryDirectory() as temporary:
        made = [(options.work or Path(temporary)).resolve() / name for name in ("old", "new")]
        for tree, out in zip(trees, made, strict=True):
            made_by(tree, options.python, out)
        pairs = [("committed", *trees, "contact_sheet.png"), ("committed", *trees, "tests/**/*.png")]
        pairs += [(name, made[0] / name, made[1] / name, "**/*") for name in RUNS]
        failed = 0
        for place, old, new, pattern in pairs:
            for name, wrong in compared(old, new, pattern):
                failed += bool(wrong)
                print(f"{'DIFFERS' if wrong else 'equal':8}{place}: {name}{': ' if wrong else ''}{', '.join(wrong)}")
    print(f"{failed} files differ" if failed else "all equal")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
