"""Knows what must lie in the folder of a finished data set, and nothing else: its files, and the shards of its plan."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pain3d.console.refused import RefusedError, printable, quoted
from pain3d.doors.paths import named_file
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.derivation import config_of
from pain3d.pipeline.description import DESCRIPTION, SINCE, count_rows, described_by
from pain3d.pipeline.folder import MANIFEST, TEXTURES
from pain3d.pipeline.manifest import Manifest
from pain3d.pipeline.plan import make_plan, split_counts
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.shard_list import rows_of
from pain3d.provenance import code_version
from pain3d.records import SUBSETS
from pain3d.run_folder import RESOLVED

# What others write into the folder of a finished data set: `pain3d gallery`, `judge` and `judge --probe`; and, where
# it was fetched from a hub, the repository's own file and huggingface_hub's notes of what it fetched.
LATER: Final = re.compile(
    r"report/gallery\.html|(judge|probe)/(judge\.json|index\.html|[\w-]+\.png)|\.gitattributes"
    r"|\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|trees/[0-9a-f]{40}\.json|download/[\w./-]+\.(metadata|lock))",
    re.ASCII,
)

MOST_LACKING: Final = 4  # times as many shards as there are


def check_files(out: Path, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the files beside the data, and which files of the folder nobody published.

    Args:
        out: The data set.
        manifest: Its manifest; data files that are there are only known here, `RowChecks` hashes them.
    """
    for file in manifest.data_files:
        place = out / file["path"]
        if not place.is_file():
            yield f"{file['path']}: missing"
        elif (found := place.stat().st_size) != file["bytes"]:
            yield f"{file['path']}: {found} bytes, the manifest says {file['bytes']}"
    for path, (sha256, size) in manifest.files.items():
        yield from _check_file(out, path, sha256, size)
    lacking = _lacking(manifest)
    for name in lacking:
        yield f"{name}: not in the manifest"
    listed = {MANIFEST, *manifest.files, *(file["path"] for file in manifest.data_files), *lacking}
    for path in _files_of(out):
        if path not in listed and not LATER.fullmatch(path) and not (_old(manifest) and _beside(path)):
            yield f"{printable(path)}: not in the manifest"


def check_plan(manifest: Manifest) -> Iterator[str]:
    """Where the shards that are listed aren't those that the configuration asks for, with their rows, in order."""
    config = _config(manifest)
    if config is None:  # `RowChecks` says so of a configuration of this code, a note of an older one
        return
    if manifest.counts != count_rows(manifest.shards):
        yield f"{MANIFEST}: its counts aren't the sums of its shards"
    wanted = _shards(config)
    if len(manifest.shards) != wanted:
        yield f"{MANIFEST}: it lists {len(manifest.shards)} shards, {config.identities} identities are in {wanted}"
    listed = {shard["shard"]: shard for shard in manifest.shards}
    if lacks_most(manifest):
        return
    plan = make_plan(config)
    for shard in plan.shards:
        if shard.name not in listed:
            yield f"{MANIFEST}: the shard {shard.name} is missing"
            continue
        rows = rows_of(plan, len(shard.identities))
        files = [(file["path"], file["rows"]) for file in listed[shard.name]["files"]]
        if files != [(shard.path(subset), rows[subset]) for subset in SUBSETS]:
            yield f"{MANIFEST}: the files of {shard.name} or their rows aren't those of the plan"
    names = [shard.name for shard in plan.shards]
    if [name for name in listed if name in names] != [name for name in names if name in listed]:
        yield f"{MANIFEST}: its shards aren't in the order of the plan"
    for name in listed:
        if name not in names:
            yield f"{MANIFEST}: the shard {name} is none of the plan"


def lacks_most(manifest: Manifest) -> bool:
    """Whether it has less than a quarter of its shards: no plan for a million people is made to name what they lack."""
    config = _config(manifest)
    return config is not None and _shards(config) > MOST_LACKING * len(manifest.shards)


def notes_of(manifest: Manifest) -> list[str]:
    """What can't be checked of a data set that an older pain3d made."""
    notes = []
    lacking = _lacking(manifest)
    if names := ", ".join(name for name in described_by(manifest.resolved) if name not in (*manifest.files, *lacking)):
        notes.append(f"the manifest is of an older pain3d and doesn't have {names}: these weren't checked")
    try:
        config_of(manifest.resolved)
    except RefusedError as error:
        if manifest.resolved["code_version"] != code_version():
            notes.append(f"its configuration is of another pain3d ({error}): the plan of its shards wasn't compared")
    return notes


def _config(manifest: Manifest) -> SynthConfig | None:
    try:
        return config_of(manifest.resolved)
    except RefusedError:
        return None


def _shards(config: SynthConfig) -> int:
    """How many shards a plan has."""
    return sum(-(-people // config.identities_per_shard) for people in split_counts(config.identities).values())


def _lacking(manifest: Manifest) -> list[str]:
    """What the pain3d that wrote it lists and it doesn't; of what came later (`SINCE`) only this code is sure."""
    if _old(manifest):
        return []
    may_lack = () if _mine(manifest) else SINCE
    return [name for name in described_by(manifest.resolved) if name not in (*manifest.files, *may_lack)]


def _old(manifest: Manifest) -> bool:
    """Whether it is from before manifests listed every file: they had the configuration alone, without its size."""
    return not _mine(manifest) and {*manifest.files} == {RESOLVED} and manifest.files[RESOLVED][1] is None


def _mine(manifest: Manifest) -> bool:
    """Whether this code made the data set."""
    return bool(manifest.resolved["code_version"] == code_version())


def _beside(path: str) -> bool:
    return path in DESCRIPTION or path.startswith(f"{TEXTURES}/")


def _check_file(out: Path, path: str, sha256: str, size: int | None) -> Iterator[str]:
    try:
        place = named_file(out, path, MANIFEST)
        found = place.stat().st_size
        if size is not None and found != size:
            yield f"{path}: {found} bytes, the manifest says {size}"
        if file_hash(place) != sha256:
            yield f"{path}: SHA-256 differs from the manifest"
    except OSError as error:
        yield f"{path}: can't be read ({error.strerror})"
    except RefusedError:
        yield f"{path}: missing"


def _files_of(out: Path) -> Iterator[str]:
    """Everything in a folder that is no folder, links too, in order; relative to it."""
    for place, folders, names in os.walk(out, onerror=_raise):
        folders.sort()
        links = [name for name in folders if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            yield Path(place, name).relative_to(out).as_posix()


def _raise(error: OSError) -> None:
    raise RefusedError(f"{quoted(error.filename)}: {error.strerror}") from error
