"""Knows how to check a data set: the manifest against the files, the files against themselves and each other.

A finding is one line that begins with the file and, where there is one, the row: ``data/frames/train-00000-of-00001
.parquet row 12 (id000000_e04_v0): PSPI is 7, its action units give 6``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pain3d.console.refused import RefusedError
from pain3d.pipeline.folder import DATA_SET, LINES, MANIFEST, FileEntry
from pain3d.pipeline.row_checks import RowChecks, in_order
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.workers import limited_threads
from pain3d.records import SUBSETS
from pain3d.run_folder import RESOLVED, read_resolved

MAX_FINDINGS_PER_FILE = 20  # then a count: a wrong configuration shows in every row


def verify(out: Path) -> tuple[list[str], int]:
    """Check a data set.

    Args:
        out: Its folder.

    Returns:
        The findings, none if nothing is wrong, and the number of rows looked at.

    Raises:
        RefusedError: There is no such folder, or it isn't a data set of pain3d.
    """
    if not out.is_dir():
        raise RefusedError(f"{out}: no such folder")
    if not (out / MANIFEST).exists():
        if (out / RESOLVED).exists() or (out / LINES).exists():
            return [f"{MANIFEST}: missing, the data set is unfinished"], 0
        raise RefusedError(f"{out}: not a data set of pain3d, it has no {MANIFEST}")
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        shards, resolved = manifest["shards"], manifest["resolved"]
        entries: list[FileEntry] = [entry for shard in shards for entry in shard["files"]]
        counts, others = manifest["counts"], {entry["path"]: entry["sha256"] for entry in manifest["files"]}
    except (ValueError, KeyError, TypeError) as error:
        return [f"{MANIFEST}: can't be read ({type(error).__name__}: {error})"], 0
    findings = list(_check_presence(out, entries))
    for path, expected in others.items():
        if (out / path).exists() and file_hash(out / path) != expected:
            findings.append(f"{path}: SHA-256 differs from the manifest")
    if read_resolved(out, DATA_SET) != resolved:
        findings.append(f"{RESOLVED}: missing, or not the configuration of the manifest")
    findings += _check_counts(entries, counts)
    rows = 0
    with limited_threads(1), ThreadPoolExecutor() as pool:
        try:
            checks = RowChecks(out, resolved, pool)
        except RefusedError as error:
            return [*findings, f"{MANIFEST}: its configuration is no run's ({error})"], 0
        for entry in in_order(entry for entry in entries if (out / entry["path"]).exists()):
            rows += entry["rows"]
            findings += _capped(entry["path"], checks.check(entry))
    findings += checks.split_findings()
    return findings, rows


def _check_presence(out: Path, entries: Iterable[FileEntry]) -> Iterator[str]:
    """Shards that are missing, and shards that nobody published."""
    listed = {entry["path"] for entry in entries}
    for path in sorted(listed):
        if not (out / path).exists():
            yield f"{path}: missing"
    for found in sorted((out / "data").rglob("*")):
        path = found.relative_to(out).as_posix()
        if found.is_file() and path not in listed:
            yield f"{path}: not in the manifest"


def _check_counts(entries: Iterable[FileEntry], counts: dict[str, dict[str, int]]) -> Iterator[str]:
    rows: dict[str, dict[str, int]] = {subset: {} for subset in SUBSETS}
    for entry in entries:
        of_split = rows[entry["subset"]]
        of_split[entry["split"]] = of_split.get(entry["split"], 0) + entry["rows"]
    if rows != counts:
        yield f"{MANIFEST}: its counts aren't the sums of its shards"


def _capped(path: str, found: Iterable[str]) -> list[str]:
    findings: list[Any] = list(found)
    if len(findings) > MAX_FINDINGS_PER_FILE:
        rest = len(findings) - MAX_FINDINGS_PER_FILE
        findings[MAX_FINDINGS_PER_FILE:] = [f"{path}: and {rest} more findings"]
    return findings
