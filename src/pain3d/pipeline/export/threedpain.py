"""Knows how a data set of pain3d is written in the layout of 3DPain, so that code made for 3DPain reads it.

``meshes_inpainted/`` holds the pictures under the names that the published loader looks for, ``annotations/`` one JSON
per pain expression, ``heatmaps/`` the displacement from the front, ``split.csv`` the split, ``pain3d.json`` the run.
docs/formats.md says which of the names are published and which are inferred.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.facs.pain_score import PAIN_AUS, pspi
from pain3d.files import make_inside, write_new
from pain3d.pipeline.data_set import DataSet, Row
from pain3d.pipeline.export.staging import StagedFolder, open_source, readme_fields
from pain3d.records import SPLITS

PICTURES: Final = "meshes_inpainted"
ANNOTATIONS: Final = "annotations"
HEATMAPS: Final = "heatmaps"
SPLIT_FILE: Final = "split.csv"
ORIGIN: Final = "pain3d.json"  # not 3DPain's: of which run this is, so that its people are known wherever they appear
ORIGIN_FIELDS: Final = ("seed", "config_hash", "pain3d_version", "code_version")
SPLIT_COLUMNS: Final = "annotation_base_name,split"
AU_NAMES: Final = {f"AU{number}": f"AU{number:02d}" for number in PAIN_AUS}  # theirs: ours
JPEG_START: Final = b"\xff\xd8\xff"

README: Final = """# A pain3d data set in the layout of 3DPain

Synthetic faces made by pain3d {version}: no person was photographed. Not for diagnosis.
Configuration {config}, seed {seed}.

Licence of the pictures: {licences}{painted}. Annotations and heatmaps: {licence}.

- `{pictures}/`: a JPEG per view, the bytes of the data set. Neutral pictures have no annotation: all 0.
- `{annotations}/`: AU4, AU6, AU7, AU9, AU10 (0-5), AU43 (0/1) and PSPI (0-16) of each pain expression. Other action
  units that the data set holds have no place in this layout.
- `{heatmaps}/`: how far the skin moved from neutral, seen from the front; white is 10 mm or more in every picture.
- `{split}`: 0 train, 1 validation, 2 test; no identity lies in two.
- `{origin}`: the run that made the data set; identity and seed together are a person.

The published training code must be told the split: `--split_csv {split}`. With the list that it takes by default, which
is of other people of these names, some of the test end up in training.

"flame_sample" is the name that the loader looks for. The heads are not made with FLAME.
"""


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote."""

    to: Path
    identities: int
    expressions: int
    pictures: int
    heatmaps: int
    bytes: int

    def __str__(self) -> str:
        return (
            f"{self.to}: {self.pictures} pictures, {self.expressions} annotations and {self.heatmaps} heatmaps"
            f" of {self.identities} identities, {self.bytes / 1e6:,.0f} MB"
        )


def expression_name(identity_id: int, expression_id: int) -> str:
    """``flame_sample_0003_pain_2``; expression 0 is ``flame_sample_0003_neutral``."""
    return f"flame_sample_{identity_id:04d}_" + (f"pain_{expression_id}" if expression_id else "neutral")


def picture_name(identity_id: int, expression_id: int, view_id: int) -> str:
    """Name of a picture's file."""
    return f"{expression_name(identity_id, expression_id)}_textured_view_{view_id:03d}_inpainted.jpg"


def export_3dpain(data: Path, to: Path, quiet: bool = False) -> ExportSummary:
    """Write a finished data set in the layout of 3DPain: all of it, or nothing.

    Args:
        data: Folder of the data set.
        to: The new folder; absent or empty.
        quiet: Show no progress.

    Returns:
        How much was written.

    Raises:
        RefusedError: There is no finished data set, the destination holds something, a file of the data set can't be
            read, or a label doesn't fit the layout (an intensity that is no whole number, a picture that is no JPEG).
    """
    source = open_source(data, to)
    with Interruptible() as interrupt, StagedFolder(to) as folder:
        for name in (PICTURES, ANNOTATIONS, HEATMAPS):
            make_inside(folder, name)
        counts = {"pictures": 0, "heatmaps": 0, "bytes": 0}
        labels: dict[tuple[int, int], tuple[str, bytes]] = {}
        with Progress(source.count("frames"), quiet=quiet) as progress:
            for row in source.rows("frames", ("sample_id", *_KEY, "split", "view_id", "image", "PSPI", *_UNITS)):
                interrupt.check()
                key = (row["identity_id"], row["expression_id"])
                label = (row["split"], _annotation(row))
                if labels.setdefault(key, label) != label:
                    raise RefusedError(
                        f"{data}: {row['sample_id']} has other labels than another view of its expression"
                    )
                counts["bytes"] += _write_jpeg(folder / PICTURES / picture_name(*key, row["view_id"]), row, "image")
                counts["pictures"] += 1
                progress.add(1)
        for row in source.rows("expressions", ("sample_id", *_KEY, "frontal_heatmap")):
            interrupt.check()
            if row["expression_id"]:
                name = f"{expression_name(row['identity_id'], row['expression_id'])}_heatmap.jpg"
                counts["bytes"] += _write_jpeg(folder / HEATMAPS / name, row, "frontal_heatmap")
                counts["heatmaps"] += 1
        pains = {key: label for key, label in sorted(labels.items()) if key[1]}
        for key, (_, annotation) in pains.items():
            write_new(folder / ANNOTATIONS / f"{expression_name(*key)}_annotations.json", annotation)
        lines = [f"{expression_name(*key)},{SPLITS.index(split)}" for key, (split, _) in pains.items()]
        write_new(folder / SPLIT_FILE, "\n".join([SPLIT_COLUMNS, *lines, ""]).encode())
        origin = {name: source.resolved[name] for name in ORIGIN_FIELDS}
        write_new(folder / ORIGIN, (json.dumps(origin, indent=1) + "\n").encode())
        write_new(folder / "README.md", _readme(source).encode())
    return ExportSummary(to, len({identity for identity, _ in labels}), len(pains), **counts)


_KEY: Final = ("identity_id", "expression_id")
_UNITS: Final = tuple(AU_NAMES.values())


def _annotation(row: Row) -> bytes:
    """The JSON of an expression: whole numbers, as 3DPain has them."""
    for name in _UNITS:
        if row[name] != int(row[name]):
            raise RefusedError(f"{row['sample_id']}: {name} is {row[name]:g}, and 3DPain holds whole intensities only")
    values = [int(row[name]) for name in _UNITS]
    score = int(pspi(*values))
    if score != row["PSPI"]:
        raise RefusedError(f"{row['sample_id']}: PSPI is {row['PSPI']:g}, its action units give {score}")
    return json.dumps({**dict(zip(AU_NAMES, values, strict=True)), "PSPI": score}, indent=2).encode()


def _write_jpeg(path: Path, row: Row, column: str) -> int:
    """Write a picture as it is, byte for byte; returns its size."""
    content: bytes = row[column]["bytes"] or b""
    if not content.startswith(JPEG_START):
        raise RefusedError(f"{row['sample_id']}: {column} is no JPEG, and 3DPain holds nothing else")
    write_new(path, content)
    return len(content)


def _readme(source: DataSet) -> str:
    return README.format(
        **readme_fields(source, source.licences()),
        pictures=PICTURES,
        annotations=ANNOTATIONS,
        heatmaps=HEATMAPS,
        split=SPLIT_FILE,
        origin=ORIGIN,
    )
