"""Knows what stands beside the data: card, Croissant, licences, contact sheet, report and manifest.

All of it is read back from the published files, so a run that was stopped and gone on with describes itself the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pain3d.head
from pain3d.pipeline.card import ImagesPainted, Painter, make_card
from pain3d.pipeline.contact_sheet import make_contact_sheet
from pain3d.pipeline.croissant import CROISSANT, make_croissant
from pain3d.pipeline.data_set import DataSet
from pain3d.pipeline.folder import TEXTURES, DataFolder, ShardEntry
from pain3d.pipeline.plan import Plan
from pain3d.pipeline.report import make_report
from pain3d.pipeline.shard_files import file_hash
from pain3d.records import LICENCE, SPLITS, SUBSETS, has_pictures
from pain3d.run_folder import RESOLVED

TEMPLATES = Path(__file__).parent / "templates"
CONTACT_SHEET = "contact_sheet.png"
REPORT = "report/index.html"
NOTICE = "LICENSES/NOTICE-head.txt"
LICENCE_TEXT = f"LICENSES/{LICENCE}.txt"
DESCRIPTION = (
    RESOLVED,
    LICENCE_TEXT,
    NOTICE,
    "README.md",
    CROISSANT,
    CONTACT_SHEET,
    REPORT,
)  # all that a run writes beside the data
SINCE = (CROISSANT,)  # of these, what a data set of an older pain3d lacks


def described_by(resolved: Mapping[str, Any]) -> tuple[str, ...]:
    """What a run of a resolved configuration writes beside the data: without pictures no sheet of them.

    It would be larger than all rows together; the report shows the first people.
    """
    return tuple(name for name in DESCRIPTION if name != CONTACT_SHEET or has_pictures(resolved))


def describe(plan: Plan, folder: DataFolder) -> ImagesPainted:
    """Write everything beside the data and, last, the manifest that marks the data set as finished.

    Returns:
        In how many images somebody painted.
    """
    shards = [folder.published[shard.name] for shard in plan.shards]
    counts = count_rows(shards)
    data = DataSet(folder.out, shards, folder.resolved)
    said = data.columns("frames", ["refined", "background_model"])
    painted = ImagesPainted(sum(said["refined"]), sum(map(bool, said["background_model"])))
    names = described_by(folder.resolved)
    with ThreadPoolExecutor() as pool:
        sheet = pool.submit(make_contact_sheet, data) if CONTACT_SHEET in names else None
        report = make_report(data, counts, painted)
    told = (folder.resolved, counts, painters_of(data), painted, data.licences())
    notice = (Path(pain3d.head.__path__[0]) / "data" / "NOTICE").read_bytes()
    for name, content in (
        (LICENCE_TEXT, (TEMPLATES / f"{LICENCE}.txt").read_bytes()),
        (NOTICE, notice),
        ("README.md", make_card(*told).encode()),
        (CROISSANT, make_croissant(*told)),
        *([(CONTACT_SHEET, sheet.result())] if sheet else []),
        (REPORT, report.encode()),
    ):
        folder.write(name, content)
    folder.finish(
        {
            "resolved": folder.resolved,
            "counts": counts,
            "files": [_entry(folder.out, name) for name in (*names, *_painted(folder.out))],
            "shards": shards,
        }
    )
    return painted


def _painted(out: Path) -> list[str]:
    """Every file of the bank of textures, by name."""
    return sorted(path.relative_to(out).as_posix() for path in (out / TEXTURES).rglob("*") if not path.is_dir())


def _entry(out: Path, name: str) -> dict[str, Any]:
    return {"path": name, "bytes": (out / name).stat().st_size, "sha256": file_hash(out / name)}


def painters_of(data: DataSet) -> dict[Painter, int]:
    """Who painted the textures of how many identities, in the order of the shards."""
    columns = data.columns("identities", [f"texture_{name}" for name in Painter._fields])
    return dict(Counter(Painter(*said) for said in zip(*columns.values(), strict=True)))


def count_rows(shards: list[ShardEntry]) -> dict[str, dict[str, int]]:
    """Rows per subset and split; a split without rows is left out, in the counts as in the card."""
    counts: dict[str, dict[str, Any]] = {subset: {} for subset in SUBSETS}
    for split in SPLITS:
        for shard in shards:
            for file in shard["files"]:
                if file["split"] == split:
                    of_split = counts[file["subset"]]
                    of_split[split] = of_split.get(split, 0) + file["rows"]
    return counts
