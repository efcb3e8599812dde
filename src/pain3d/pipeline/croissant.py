"""Knows how a data set describes itself in Croissant 1.1: JSON-LD by which mlcroissant and search engines read it.

Files are named by their patterns, not one by one: 10,000 shards would be 40,000 entries, which a reader has to parse
before the first row, and mlcroissant compares no hash of a file that lies in a set. manifest.json has all hashes.

What only a publisher knows is left out (`url`, `creator`, `datePublished`): the same data set is the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pain3d.facs.action_units import AU_COLUMNS
from pain3d.landmarks import GROUPS
from pain3d.pipeline.card import MEANINGS, ImagesPainted, Painter
from pain3d.pipeline.rai import RAI, rai_fields
from pain3d.records import SPLITS, Column, columns_of, has_pictures, unstored_columns

CROISSANT: Final = "croissant.json"
FORMAT: Final = "http://mlcommons.org/croissant/1.1"
VERSION: Final = "1.0.0"  # of the data: what is made once doesn't change
CONTEXT: Final = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field", "fileObject",
            "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5",
            "parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate",
            "separator", "source", "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip
DATA_TYPES: Final = {
    "string": "sc:Text",
    "bool": "sc:Boolean",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "float32": "cr:Float32",
    "float64": "cr:Float64",
    "image": "sc:ImageObject",
}  # by the kind of a column, without its brackets
_LANDMARKS: Final = sum(group.points for group in GROUPS)
SHAPES: Final = {
    "camera_K": "3,3",
    "camera_R": "3,3",
    "camera_t": "3",
    "landmarks_2d": f"{_LANDMARKS},2",
    "landmarks_3d": f"{_LANDMARKS},3",
    "bbox": "4",
    "ancestry_shares": "3",
    "local_shapes": "-1",
    "neutral_vertices": "-1,3",
}  # of columns that are lists; -1 is any length
KEYS: Final = {"identities": "identity_id"}  # elsewhere it is sample_id
SPLIT_SET: Final = "splits"
MEANT_BY: Final = {"train": "cr:TrainingSplit", "validation": "cr:ValidationSplit", "test": "cr:TestSplit"}
SPDX_ID: Final = re.compile(r"(?!LicenseRef-|unknown$)[A-Za-z0-9.+-]+", re.ASCII)


def make_croissant(
    resolved: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
    painters: Mapping[Painter, int],
    painted: ImagesPainted,
    licences: Sequence[str],
) -> bytes:
    """Write the description.

    Args:
        resolved: The resolved configuration.
        counts: Rows per subset and split; a split without rows is left out.
        painters: Whose textures how many identities have.
        painted: In how many images somebody painted.
        licences: Of the images, as `row_licence` writes them.

    Returns:
        JSON-LD in UTF-8, with a newline at its end. Nothing in it depends on time or place.
    """
    images, people = sum(counts["frames"].values()), resolved["identities"]
    splits = [split for split in SPLITS if counts["frames"].get(split)]
    told = f"{people:,} {'identity' if people == 1 else 'identities'}"
    name = f"Synthetic pain faces ({told}, seed {resolved['seed']})"
    config = resolved["config_hash"][:12]
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": f"{images:,} rendered images of {told}, {resolved['size']} x {resolved['size']} pixels. Every "
        "image carries the action units that made it, its PSPI, the camera, landmarks, and a map of how far each "
        f"visible point moved from neutral. Synthetic: no person was photographed.{_unstored(resolved)}",
        "conformsTo": [FORMAT, RAI],
        "citeAs": f"@misc{{pain3d_{config}, title = {{{name}}}, note = {{Made by pain3d {resolved['pain3d_version']}, "
        f"configuration {config}}}}}",
        "isLiveDataset": False,
        "keywords": ["synthetic", "faces", "pain", "action units", "FACS", "PSPI"],
        "license": licence_values(licences),
        "version": VERSION,
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "name": "pain3d synth",
            "description": f"configuration {resolved['config_hash']}, seed {resolved['seed']}, pain3d "
            f"{resolved['pain3d_version']}, code {resolved['code_version']}, device {resolved['device_class']}; "
            "config.resolved.yaml has all of it",
        },
        **rai_fields(resolved, images, painters, painted),
        "distribution": [_file_set(subset, splits) for subset in counts],
        "recordSet": [
            _split_set(splits),
            *(_record_set(subset, counts[subset], _columns(subset, resolved), splits) for subset in counts),
        ],
    }
    return (json.dumps(described, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def licence_values(licences: Sequence[str]) -> list[str | dict[str, str]]:
    """What stands behind ``license``: the address of each that SPDX knows, the name of any other, once."""
    parts = dict.fromkeys(part for licence in licences for part in licence.split(" AND "))
    return [
        f"https://spdx.org/licenses/{part}"
        if SPDX_ID.fullmatch(part)
        else {"@type": "sc:CreativeWork", "name": part, "description": "README.md says whose it is."}
        for part in parts
    ]


def _unstored(resolved: Mapping[str, Any]) -> str:
    return "" if has_pictures(resolved) else " Pictures are not stored: pain3d renders them from the rows."


def _columns(subset: str, resolved: Mapping[str, Any]) -> list[Column]:
    """Those that hold something."""
    null = () if has_pictures(resolved) else unstored_columns(subset, resolved["dense"])
    return [column for column in columns_of(subset, resolved["dense"]) if column.name not in null]


def _files_of(subset: str) -> str:
    return f"data/{subset}"


def _file_set(subset: str, splits: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": _files_of(subset),
        "name": _files_of(subset),
        "description": f"Shards of {subset}, by split; manifest.json has the SHA-256 of each.",
        "encodingFormat": "application/x-parquet",
        "includes": [f"{_files_of(subset)}/{split}-*.parquet" for split in splits],
    }


def _split_set(splits: Sequence[str]) -> dict[str, Any]:
    """The splits, in Croissant's own words: fields that refer to it are splits of their rows."""
    name, meant = f"{SPLIT_SET}/name", f"{SPLIT_SET}/url"
    return {
        "@type": "cr:RecordSet",
        "@id": SPLIT_SET,
        "name": SPLIT_SET,
        "description": "An identity lies in one split only.",
        "dataType": "cr:Split",
        "key": {"@id": name},
        "field": [
            {"@type": "cr:Field", "@id": name, "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": meant, "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{name: split, meant: MEANT_BY[split]} for split in splits],
    }


def _record_set(
    subset: str, rows: Mapping[str, int], columns: Sequence[Column], splits: Sequence[str]
) -> dict[str, Any]:
    counted = ", ".join(f"{rows.get(split, 0):,} in {split}" for split in splits)
    return {
        "@type": "cr:RecordSet",
        "@id": subset,
        "name": subset,
        "description": f"{MEANINGS[subset]}; {counted}",
        "key": {"@id": f"{subset}/{KEYS.get(subset, 'sample_id')}"},
        "field": [_field(subset, column, splits) for column in columns],
    }


def _field(subset: str, column: Column, splits: Sequence[str]) -> dict[str, Any]:
    kind = column.kind.strip("[]")
    types = [DATA_TYPES[kind]]
    if column.name == "PSPI" or column.name.startswith(AU_COLUMNS):
        types.append("cr:Label")
    source: dict[str, Any] = {"fileSet": {"@id": _files_of(subset)}, "extract": {"column": column.name}}
    if kind == "image":
        source["transform"] = {"jsonPath": "bytes"}
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{subset}/{column.name}",
        "name": column.name,
        "description": column.meaning + (f" ({column.unit})" if column.unit else ""),
        "dataType": types,
    }
    if column.kind != kind:
        shaped = column.name if column.name in SHAPES else column.name.removeprefix("neutral_")
        field |= {"isArray": True, "arrayShape": SHAPES[shaped]}
    if column.name == "split":  # of the file's name, by which a reader opens the files of one split and no others
        source |= {"extract": {"fileProperty": "filename"}, "transform": {"regex": f"^({'|'.join(splits)}).*$"}}
        field["references"] = {"field": {"@id": f"{SPLIT_SET}/name"}}
    return field | {"source": source}
