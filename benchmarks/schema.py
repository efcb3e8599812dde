"""Knows the form of a results file, `benchmarks/results/<pain3d version>/<suite>--<device>.json`, and checks it.

A file is `{"schema": 2, "suite": "pictures", "pain3d": "0.1.0", "rows": [...]}`; a row is one implementation at one
size, or one that could not run. All rows of a file with the same `run` come from one session on one machine: ratios are
taken within a run only. A session replaces the cases that it measures and leaves the others as they are.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pain3d.files import write_durably

SCHEMA = 2
FILE_FIELDS: dict[str, type | tuple[type, ...]] = {"schema": int, "suite": str, "pain3d": str, "rows": list}
NUMBER = (int, float)

WHERE_FIELDS: dict[str, type | tuple[type, ...]] = {
    "case": str,  # of benchmarks.implementation.CASES
    "implementation": str,
    "ours": bool,  # a backend of this project
    "note": str,  # what a reader has to know of the implementation
    "antialiased": (bool, type(None)),
    "run": str,  # of the session: when it began, ISO 8601
    "commit": str,  # 40 hex digits, `+` behind them if files had changed; or `unknown`
    "code": str,  # hash over the shipped sources (pain3d.provenance), which needs no git
    "device": str,
    "kind": str,  # cpu or cuda
    "threads": int,  # of torch and of our numba code
    "versions": dict,  # python, torch, and by name what else took part; null where it is not installed
}
SKIPPED_FIELDS = WHERE_FIELDS | {"skipped": str}  # why it could not run
ROW_FIELDS = WHERE_FIELDS | {
    "seed": int,
    "size": str,  # "512x512" pixels, or "" where there are none
    "batch": int,  # pictures, meshes or pairs in a round
    "few": bool,  # whether a slow implementation was given fewer pictures than the others
    "meshes": int,  # distinct ones among them
    "channels": int,  # numbers per pixel beside the image
    "unit": str,  # what is counted: images or meshes
    "per_second": NUMBER,  # batch / median
    "median_s": NUMBER,
    "min_s": NUMBER,
    "iqr_s": NUMBER,  # between the quartiles of the rounds
    "rounds": int,
    "input_sets": int,  # that the rounds walked around
    "peak_bytes": (int, type(None)),  # cpu: resident set of this process and its children; cuda: see measure.Memory
    "bytes": int,  # of a round, counted: benchmarks.counts
    "operations": int,
    "beyond_cache": (bool, type(None)),  # whether the counted bytes exceed the L2 cache twice; null if not known
    "copy_bytes_per_s": NUMBER,  # of this device, measured in this run
    "operations_per_s": NUMBER,  # a float32 (for a tf32 implementation: TF32) matrix product, likewise
    "percent_of_limit": (*NUMBER, type(None)),  # the larger of bytes / copy rate and operations / rate, by the median
    "bound": (str, type(None)),  # bytes or operations
    "check": str,  # what the comparison with the reference saw, in this run, before timing; only green rows exist
    "detail": dict,  # what else the implementation told: the command line's receipt
}
POSITIVE = ("batch", "per_second", "median_s", "min_s", "rounds", "input_sets", "copy_bytes_per_s", "operations_per_s")
COMMIT = re.compile(r"[0-9a-f]{40}\+?|unknown")
RATE_TOLERANCE = 1e-6  # relative: JSON keeps 17 digits, so only a typed figure is further off


def commit_name(text: str) -> str:
    """A commit as rows name it; said before anything is measured.

    Raises:
        ArgumentTypeError: It is no full hash.
    """
    if not COMMIT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"a commit is 40 hex digits (git rev-parse HEAD), got {text!r}")
    return text


def problems(content: Any) -> list[str]:
    """What is wrong with the content of a results file, a line each; nothing if it is sound."""
    if not isinstance(content, Mapping):
        return ["a results file is a JSON object"]
    wrong = _fields("file", content, FILE_FIELDS)
    if wrong:
        return wrong
    if content["schema"] != SCHEMA:
        wrong.append(f"file: schema must be {SCHEMA}, got {content['schema']}")
    if not content["rows"]:
        wrong.append("file: rows must not be empty")
    seen: set[tuple[Any, ...]] = set()
    for number, row in enumerate(content["rows"]):
        where = f"row {number}"
        if not isinstance(row, Mapping):
            wrong.append(f"{where}: must be an object")
            continue
        found = _fields(where, row, SKIPPED_FIELDS if "skipped" in row else ROW_FIELDS)
        wrong += found or _sense(where, row)
        key = tuple(row.get(name) for name in ("case", "implementation", "size", "batch", "meshes", "channels"))
        if key in seen:
            wrong.append(f"{where}: a second row for {key}")
        seen.add(key)
    return wrong


def _fields(where: str, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    wrong = [f"{where}: {name} is missing" for name in wanted if name not in given]
    wrong += [f"{where}: {name} is not known" for name in given if name not in wanted]
    for name, kind in wanted.items():
        if name in given and not _is(given[name], kind):
            wrong.append(f"{where}: {name} must not be {given[name]!r}")
    return wrong


def _is(value: Any, kind: type | tuple[type, ...]) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool) and bool not in kinds:  # which Python takes for an integer
        return False
    return isinstance(value, kinds) and not (isinstance(value, float) and not math.isfinite(value))


def _sense(where: str, row: Mapping[str, Any]) -> list[str]:
    """Rows whose fields have the right types, but not the right values."""
    wrong = []
    if not COMMIT.fullmatch(row["commit"]):
        wrong.append(f"{where}: commit must be 40 hex digits or unknown, got {row['commit']!r}")
    if "skipped" in row:
        return wrong if row["skipped"] else [*wrong, f"{where}: skipped needs a reason"]
    wrong += [f"{where}: {name} must be above 0, got {row[name]}" for name in POSITIVE if not row[name] > 0]
    if wrong:
        return wrong
    if abs(row["per_second"] * row["median_s"] / row["batch"] - 1) > RATE_TOLERANCE:
        wrong.append(f"{where}: per_second is not batch / median_s")
    if row["min_s"] > row["median_s"]:
        wrong.append(f"{where}: min_s is above median_s")
    limit = max(row["bytes"] / row["copy_bytes_per_s"], row["operations"] / row["operations_per_s"])
    percent = row["percent_of_limit"]
    if (percent is None) != (limit == 0) or (
        percent is not None and abs(percent - 100 * limit / row["median_s"]) > 100 * RATE_TOLERANCE
    ):
        wrong.append(f"{where}: percent_of_limit is not that of its bytes, operations and rates")
    if not row["check"]:
        wrong.append(f"{where}: no row without a check")
    return wrong


def read_results(path: Path) -> dict[str, Any]:
    """A results file.

    Raises:
        ValueError: It is not sound; the first few reasons, in one line.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: {error}") from error
    wrong = problems(content)
    if wrong:
        raise ValueError(f"{path.name}: {'; '.join(wrong[:3])}")
    assert isinstance(content, dict)
    return content


def write_results(path: Path, content: Mapping[str, Any]) -> None:
    """Write a results file, a row per line: the old one is there until the new one is whole.

    Raises:
        ValueError: The content is not sound; nothing is written.
    """
    wrong = problems(content)
    if wrong:
        raise ValueError(f"{path.name}: {'; '.join(wrong[:3])}")
    head = {name: value for name, value in content.items() if name != "rows"}
    rows = ",\n".join("  " + json.dumps(row) for row in content["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, f'{json.dumps(head)[:-1]}, "rows": [\n{rows}\n]}}\n'.encode())
