"""Knows how to check a data set: the manifest against the files, the files against themselves and each other.

A finding is one line that begins with the file and, where there is one, the row: ``data/frames/train-00000-of-00001
.parquet row 12 (id000000_e04_v0): PSPI is 7, its scene gives 6``.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from pain3d.console.refused import RefusedError, quoted
from pain3d.pipeline.folder import DATA_SET, LINES, MANIFEST
from pain3d.pipeline.folder_checks import check_files, check_plan, lacks_most, notes_of
from pain3d.pipeline.manifest import read_manifest
from pain3d.pipeline.row_checks import RowChecks, in_order
from pain3d.pipeline.shard_list import HASH
from pain3d.pipeline.workers import limited_threads
from pain3d.run_folder import RESOLVED, read_resolved

MAX_FINDINGS_PER_FILE = 20  # then a count: a wrong configuration shows in every row


class Verified(NamedTuple):
    """What a check found: what is wrong, rows looked at, what could not be checked, the manifest's own SHA-256."""

    findings: list[str]
    rows: int = 0
    notes: list[str] = []  # noqa: RUF012 - a NamedTuple's, never added to
    manifest: str = ""


def verify(out: Path, expect: str = "", sample: int = 0) -> Verified:
    """Check a data set.

    Args:
        out: Its folder.
        expect: SHA-256 that its manifest must have; empty is any.
        sample: How many identities are rendered again, and their pictures compared.

    Raises:
        RefusedError: There is no such folder, it isn't a data set of pain3d, or what is expected is no SHA-256.
    """
    expect = expect.lower()
    if expect and not HASH.fullmatch(expect):
        raise RefusedError(f"--expect {quoted(expect)}: not a SHA-256, 64 hexadecimal digits")
    if not out.is_dir():
        raise RefusedError(f"{out}: no such folder")
    if not (out / MANIFEST).exists() and not (out / MANIFEST).is_symlink():
        if (out / RESOLVED).exists() or (out / LINES).exists():
            return Verified([f"{MANIFEST}: missing, the data set is unfinished"])
        raise RefusedError(f"{out}: not a data set of pain3d, it has no {MANIFEST}")
    try:
        manifest = read_manifest(out, MANIFEST)
    except RefusedError as error:
        return Verified([str(error).removeprefix(f"{out}: ")])
    findings = []
    if expect and manifest.sha256 != expect:
        findings.append(f"{MANIFEST}: its SHA-256 is {manifest.sha256}, not {expect}")
    findings += _capped("files of the folder", check_files(out, manifest))
    findings += _capped(MANIFEST, check_plan(manifest))
    if read_resolved(out, DATA_SET) != manifest.resolved:
        findings.append(f"{RESOLVED}: missing, or not the configuration of the manifest")
    if lacks_most(manifest):  # nor is the plan made again for rows of it
        return Verified(findings, 0, notes_of(manifest), manifest.sha256)
    rows = 0
    with limited_threads(1), ThreadPoolExecutor() as pool:
        try:
            checks = RowChecks(out, manifest.resolved, pool)
        except RefusedError as error:
            findings.append(f"{MANIFEST}: its configuration is no run's ({error})")
            return Verified(findings, 0, notes_of(manifest), manifest.sha256)
        for entry in in_order(entry for entry in manifest.data_files if (out / entry["path"]).is_file()):
            rows += entry["rows"]
            try:
                findings += _capped(entry["path"], checks.check(entry))
            except OSError as error:
                findings.append(f"{entry['path']}: can't be read ({error.strerror})")
        if sample:
            findings += _capped("the sample", checks.sampled(sample))
    findings += checks.split_findings()
    return Verified(findings, rows, [*notes_of(manifest), *checks.notes], manifest.sha256)


def _capped(what: str, found: Iterable[str]) -> list[str]:
    lines = iter(found)
    findings = list(islice(lines, MAX_FINDINGS_PER_FILE))
    if rest := sum(1 for _ in lines):
        findings.append(f"{what}: and {rest} more findings")
    return findings
