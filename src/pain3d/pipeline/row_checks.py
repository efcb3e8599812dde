"""Knows what must hold of the rows of one file: labels against formulas, pictures, scenes, and rows elsewhere."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pain3d.console.refused import RefusedError
from pain3d.doors.pictures import decode_heatmap
from pain3d.facs.action_units import AU_COLUMNS
from pain3d.facs.pain_score import MAX_INTENSITY
from pain3d.pipeline.contact_sheet import decode
from pain3d.pipeline.dense_checks import check_dense
from pain3d.pipeline.folder import TEXTURES, FileEntry
from pain3d.pipeline.painted import NOT_BEHIND, NOT_REFINED, texture_columns
from pain3d.pipeline.shard_files import file_hash
from pain3d.pipeline.texture.bank import check_texture
from pain3d.records import (
    BACKGROUND_COLUMNS,
    CLIPPED_LEVEL,
    HEATMAP_UNITS_MM,
    LATER_IN_PAIRS,
    LICENCE,
    REFINED_COLUMNS,
    SPLITS,
    TEXTURE_COLUMNS,
    VIEW_COLUMNS,
    columns_of,
    columns_of_kind,
    row_licence,
    sample_id,
)
from pain3d.scene import Scene

# Labels are stored as float32 and summed in float64 here: 4 terms of at most 5 are exact to 1e-6.
LABEL_TOLERANCE: Final = 1e-5
Finding = tuple[int, str]
# Columns of frames that repeat a number of the scene; float32, or small whole numbers, which float32 holds exactly.
SAID_BY_SCENE: Final[dict[str, Callable[[Scene], float]]] = {
    "age": lambda scene: scene.identity.age,
    "camera_fov_degrees": lambda scene: scene.camera.fov,
    "gaze_yaw_degrees": lambda scene: scene.pose.gaze_yaw,
    "gaze_pitch_degrees": lambda scene: scene.pose.gaze_pitch,
    "light_azimuth_degrees": lambda scene: scene.light.azimuth,
    "light_elevation_degrees": lambda scene: scene.light.elevation,
    "light_intensity": lambda scene: scene.light.intensity,
    "light_key_share": lambda scene: scene.light.key_share,
    "light_temperature_kelvin": lambda scene: scene.light.temperature,
    "focal_length_mm": lambda scene: scene.camera.focal_length_mm,
    "background_blur": lambda scene: scene.background_blur,
    "exposure_stops": lambda scene: scene.sensor.exposure,
    "white_balance_kelvin": lambda scene: scene.sensor.white_balance,
    "iso": lambda scene: scene.sensor.iso,
    "jpeg_quality": lambda scene: scene.sensor.quality,
    "wrinkles": lambda scene: scene.wrinkles,
}
NAMES_OF_SCENE: Final[dict[str, Callable[[Scene], str]]] = {
    "light": lambda scene: scene.light.name,
    "background": lambda scene: scene.background,
    "texture": lambda scene: scene.texture,
}


@dataclass
class Seen:
    """What was seen in the files before: for what must hold between rows, files and subsets."""

    sample_ids: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    splits: dict[int, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    images: dict[str, bytes] = field(default_factory=dict)
    views: dict[str, bytes] = field(default_factory=dict)  # of each frame: camera, pose and landmarks
    textures: dict[str, dict[str, Any] | str] = field(default_factory=dict)  # what is known, or what is wrong

    def split_findings(self) -> Iterator[str]:
        """Identities that lie in more than one split."""
        for identity_id, places in sorted(self.splits.items()):
            if len(places) > 1:
                where = " and ".join(f"{split} ({path})" for split, path in sorted(places.items()))
                yield f"identity {identity_id} lies in more than one split: {where}"


def check_file(out: Path, entry: FileEntry, resolved: Mapping[str, Any], seen: Seen, pool: Executor) -> Iterator[str]:
    """Check one file against the manifest and all its rows; yields findings that begin with its path."""
    path = entry["path"]
    if file_hash(out / path) != entry["sha256"]:
        yield f"{path}: SHA-256 differs from the manifest"
    try:
        with pq.ParquetFile(out / path) as file:
            names = file.schema_arrow.names
            wanted = [column.name for column in columns_of(entry["subset"], resolved.get("dense", ""))]
            known = [wanted]  # and those of data sets older than pairs with cameras, backgrounds, refining, textures
            in_pairs = LATER_IN_PAIRS if entry["subset"] == "pairs" else ()
            for later in (in_pairs, BACKGROUND_COLUMNS, REFINED_COLUMNS, TEXTURE_COLUMNS):
                known.append([name for name in known[-1] if name not in later])
            if names not in known:
                yield f"{path}: columns differ, {', '.join(sorted({*names} ^ {*wanted})) or 'in their order'}"
                return
            rows = 0
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                findings = sorted(_check_group(table, out, entry, resolved, seen, pool))
                for row, words in findings:
                    yield f"{path} row {rows + row} ({_name(table, row)}): {words}"
                rows += len(table)
            if rows != entry["rows"]:
                yield f"{path}: {rows} rows, the manifest says {entry['rows']}"
    except (OSError, pa.ArrowException) as error:
        yield f"{path}: can't be read ({' '.join(str(error).split())[:160]})"


def _name(table: pa.Table, row: int) -> str:
    if "sample_id" in table.column_names:
        return str(table["sample_id"][row])
    return f"identity {table['identity_id'][row]}"


def _check_group(
    table: pa.Table, out: Path, entry: FileEntry, resolved: Mapping[str, Any], seen: Seen, pool: Executor
) -> Iterator[Finding]:
    subset = entry["subset"]
    for column in table.column_names:
        if table[column].null_count:
            empty = table[column].is_null().to_pylist().index(True)
            yield empty, f"{column} is empty"
            return
    yield from _check_keys(table, entry, seen)
    yield from _check_constants(table, resolved)
    if "texture" in table.column_names:
        yield from _check_textures(table, out, resolved, seen)
    if "background_model" in table.column_names:
        yield from _check_backgrounds(table, resolved)
    if "refined" in table.column_names:
        yield from _check_refined(table, resolved)
    if "PSPI" in table.column_names:
        yield from _check_labels(table)
    if subset == "frames":
        yield from _check_scenes(table, resolved)
    for found in pool.map(_check_pictures, _picture_tasks(table, subset, int(resolved["size"]))):
        yield from found
    if subset == "frames":
        yield from check_dense(table, int(resolved["size"]), pool)
    if subset in ("frames", "pairs"):
        yield from _check_copies(table, subset, seen)


def _check_keys(table: pa.Table, entry: FileEntry, seen: Seen) -> Iterator[Finding]:
    """Names, splits and identities."""
    subset, path = entry["subset"], entry["path"]
    identities, splits = table["identity_id"].to_pylist(), table["split"].to_pylist()
    for row, (identity_id, split) in enumerate(zip(identities, splits, strict=True)):
        seen.splits[identity_id].setdefault(split, path)
        if split != entry["split"] or split not in SPLITS:
            yield row, f"split is {split!r} in a file of {entry['split']!r}"
    if subset == "identities":
        names = [f"identity {identity_id}" for identity_id in identities]
        wanted = names
    else:
        names = table["sample_id"].to_pylist()
        expressions = table["expression_id"].to_pylist()
        views = table["view_id"].to_pylist() if "view_id" in table.column_names else [None] * len(names)
        wanted = [sample_id(*key) for key in zip(identities, expressions, views, strict=True)]
    for row, (name, expected) in enumerate(zip(names, wanted, strict=True)):
        if name != expected:
            yield row, f"sample_id isn't {expected}"
        if name in seen.sample_ids[subset]:
            yield row, "is there twice"
        seen.sample_ids[subset].add(name)


def _check_constants(table: pa.Table, resolved: Mapping[str, Any]) -> Iterator[Finding]:
    """Columns that say the same in every row."""
    constants: dict[str, Any] = {
        "seed": resolved["seed"],
        "config_hash": resolved["config_hash"],
        "pain3d_version": resolved["pain3d_version"],
        "code_version": resolved["code_version"],
        "synthetic": True,
    }
    if "texture" not in table.column_names:  # else see _check_textures
        constants["licence"] = LICENCE
    for name, expected in constants.items():
        for row, value in enumerate(table[name].to_pylist()):
            if value != expected:
                yield row, f"{name} is {value!r}, not {expected!r}"
    if "heatmap_unit_mm" in table.column_names:
        for row, unit in enumerate(table["heatmap_unit_mm"].to_pylist()):
            if not np.isclose(unit, HEATMAP_UNITS_MM, rtol=1e-7, atol=0).any():  # a float32 is off by 1.5e-8 of it
                yield (
                    row,
                    f"heatmap_unit_mm is {unit}, not one of {', '.join(f'{known:g}' for known in HEATMAP_UNITS_MM)}",
                )


def _check_backgrounds(table: pa.Table, resolved: Mapping[str, Any]) -> Iterator[Finding]:
    """Who painted what stands behind must be whom the configuration names, or nobody."""
    told = ("model", "model_hash", "licence", "scheduler")
    for row, values in enumerate(table.select([*NOT_BEHIND]).to_pylist()):
        if values == NOT_BEHIND:
            continue
        for column in (f"background_{name}" for name in told):
            if values[column] != resolved.get(column, ""):
                yield row, f"{column} is {values[column]!r}, not {resolved.get(column, '')!r}"
        if values["background_seed"] < 0:
            yield row, f"background_seed is {values['background_seed']}, but somebody painted"


def _check_refined(table: pa.Table, resolved: Mapping[str, Any]) -> Iterator[Finding]:
    """Who painted over an image must be whom the configuration names, and nobody where it was not kept."""
    for row, values in enumerate(table.select([*NOT_REFINED]).to_pylist()):
        wanted: dict[str, Any] = {"refined": False, "refine_model": "", "refine_model_hash": "", "refine_licence": ""}
        if values["refined"]:
            wanted = {name: resolved.get(name, "") for name in wanted} | {"refined": True}
        for column, expected in wanted.items():
            if values[column] != expected:
                yield row, f"{column} is {values[column]!r}, not {expected!r}"
        if (values["refine_seed"] < 0) == values["refined"]:
            yield row, f"refine_seed is {values['refine_seed']}, refined is {values['refined']}"


def _check_textures(table: pa.Table, out: Path, resolved: Mapping[str, Any], seen: Seen) -> Iterator[Finding]:
    """The texture of a row must be in the data set's bank, whole, and made as the row says; so must its licence be."""
    others = [name for name in (*BACKGROUND_COLUMNS, *REFINED_COLUMNS) if name in table.column_names]
    said = table.select([*TEXTURE_COLUMNS, *others, "licence"]).to_pylist()
    for row, values in enumerate(said):
        name = values["texture"]
        if name not in seen.textures:
            try:
                place = out / TEXTURES / name[:2] / name if name else None
                if place is not None:
                    check_texture(place)
                seen.textures[name] = texture_columns(place)
            except RefusedError as error:
                seen.textures[name] = str(error).removeprefix(f"{out}/")
        known = seen.textures[name]
        if isinstance(known, str):
            yield row, known
            continue
        painted = bool(values.get("refined") or values.get("neutral_refined"))
        licence = row_licence(
            known["texture_licence"],
            values.get("background_licence", ""),
            str(resolved.get("refine_licence", "")) if painted else "",
        )
        for column, wanted in (known | {"licence": licence}).items():
            if values[column] != wanted:
                yield row, f"{column} is {values[column]!r}, its texture says {wanted!r}"


def _check_labels(table: pa.Table) -> Iterator[Finding]:
    """Ranges, sides, PSPI by its formula, and neutral rows."""
    au = {
        name: table[name].to_numpy().astype(np.float64)
        for base in AU_COLUMNS
        for name in (base, f"{base}_L", f"{base}_R")
    }
    for base in AU_COLUMNS:
        for name in (base, f"{base}_L", f"{base}_R"):
            allowed = np.isin(au[name], (0, 1)) if base == "AU43" else (au[name] >= 0) & (au[name] <= MAX_INTENSITY)
            for row in np.flatnonzero(~allowed):
                yield int(row), f"{name} is {au[name][row]:g}, must be {'0 or 1' if base == 'AU43' else '0 to 5'}"
        stronger = np.maximum(au[f"{base}_L"], au[f"{base}_R"])
        for row in np.flatnonzero(au[base] != stronger):
            yield int(row), f"{base} is {au[base][row]:g}, the stronger of its sides {stronger[row]:g}"
    score = au["AU04"] + np.maximum(au["AU06"], au["AU07"]) + np.maximum(au["AU09"], au["AU10"]) + au["AU43"]
    stored = table["PSPI"].to_numpy()
    for row in np.flatnonzero(~(np.abs(stored - score) <= LABEL_TOLERANCE)):
        yield int(row), f"PSPI is {stored[row]:g}, its action units give {score[row]:g}"
    neutral = table["expression_id"].to_numpy() == 0
    if "neutral" in table.column_names:
        for row in np.flatnonzero(table["neutral"].to_numpy() != neutral):
            yield int(row), f"neutral is {not neutral[row]} for expression {table['expression_id'][row]}"
    total = np.sum([au[name] for name in AU_COLUMNS], axis=0)
    for row in np.flatnonzero(neutral & (total != 0)):
        yield int(row), "is neutral, but an action unit isn't 0"


def _check_scenes(table: pa.Table, resolved: Mapping[str, Any]) -> Iterator[Finding]:
    """The scene of a row must say what its columns say."""
    names = {name: said for name, said in NAMES_OF_SCENE.items() if name in table.column_names}
    columns = table.select(
        ["identity_id", "expression_id", "view_id", *SAID_BY_SCENE, *names, *AU_COLUMNS, "scene"]
    ).to_pylist()
    for row, values in enumerate(columns):
        try:
            scene = Scene.from_json(values["scene"])
        except (ValueError, KeyError, TypeError) as error:
            yield row, f"scene can't be read ({error})"
            continue
        said: dict[str, tuple[float, float]] = {
            "seed": (scene.seed, resolved["seed"]),
            "identity_id": (scene.identity_id, values["identity_id"]),
            "expression_id": (scene.expression_id, values["expression_id"]),
            "view_id": (scene.view_id, values["view_id"]),
        }
        said |= {name: (float(np.float32(in_scene(scene))), values[name]) for name, in_scene in SAID_BY_SCENE.items()}
        for name, named in names.items():
            if values[name] != named(scene):
                yield row, f"{name} is {values[name]!r}, its scene says {named(scene)!r}"
        units = scene.au.as_row()
        said |= {name: (float(np.float32(units[name])), values[name]) for name in AU_COLUMNS}
        for name, (wanted, stored) in said.items():
            if wanted != stored:
                yield row, f"{name} is {stored:g}, its scene says {wanted:g}"


def _picture_tasks(table: pa.Table, subset: str, size: int) -> Iterator[tuple[int, str, bytes, int, bool]]:
    neutral = [False] * len(table)
    if "expression_id" in table.column_names:
        neutral = [number == 0 for number in table["expression_id"].to_pylist()]
    for name in columns_of_kind(subset, "image"):
        if subset == "pairs":
            continue  # compared with those of frames, byte by byte
        for row, content in enumerate(table[name].combine_chunks().field("bytes")):
            yield row, name, content.as_py(), size, neutral[row]


def _check_pictures(task: tuple[int, str, bytes, int, bool]) -> list[Finding]:
    row, name, content, size, neutral = task
    is_heatmap = name == "heatmap"
    try:
        pixels: npt.NDArray[np.uint8] = decode_heatmap(content) if is_heatmap else decode(content)
    except (ValueError, RuntimeError) as error:
        return [(row, f"{name} can't be decoded ({error})")]
    if pixels.shape[:2] != (size, size):
        return [(row, f"{name} is {pixels.shape[1]} x {pixels.shape[0]}, not {size} x {size}")]
    if neutral and "heatmap" in name and pixels.any():
        return [(row, f"is neutral, but {name} isn't 0 everywhere")]
    if is_heatmap and (pixels == CLIPPED_LEVEL).any():
        return [(row, f"{name} is clipped at level {CLIPPED_LEVEL}: some of it moved further than it says")]
    return []


def _check_copies(table: pa.Table, subset: str, seen: Seen) -> Iterator[Finding]:
    """What a pair shows must be what its frames show: pictures, cameras, poses and landmarks."""
    names = table["sample_id"].to_pylist()
    columns = columns_of_kind(subset, "image")
    digests = {
        column: [hashlib.blake2b(b.as_py(), digest_size=16).digest() for b in _bytes(table, column)]
        for column in columns
    }
    if subset == "frames":
        for row, name in enumerate(names):
            seen.images |= {f"{name}.{column}": digests[column][row] for column in columns}
        seen.views |= dict(zip(names, _views(table), strict=True))
        return
    keys = zip(table["identity_id"].to_pylist(), table["view_id"].to_pylist(), strict=True)
    neutrals = [sample_id(identity, 0, view) for identity, view in keys]
    for row, (name, neutral) in enumerate(zip(names, neutrals, strict=True)):
        for column, source in (("image", name), ("heatmap", name), ("neutral_image", neutral)):
            key = f"{source}.{'heatmap' if column == 'heatmap' else 'image'}"
            if seen.images.get(key) != digests[column][row]:
                yield row, f"{column} isn't that of {source} in frames"
    if LATER_IN_PAIRS[0] not in table.column_names:
        return
    for prefix, sources in (("", names), ("neutral_", neutrals)):
        for row, (source, view) in enumerate(zip(sources, _views(table, prefix), strict=True)):
            if seen.views.get(source) != view:
                yield row, f"camera, pose or landmarks of {prefix}image aren't those of {source} in frames"


def _views(table: pa.Table, prefix: str = "") -> list[bytes]:
    """A digest of each row's camera, pose and landmarks."""
    rows = table.select([prefix + name for name in VIEW_COLUMNS]).to_pylist()
    return [hashlib.blake2b(repr([*row.values()]).encode(), digest_size=16).digest() for row in rows]


def _bytes(table: pa.Table, column: str) -> Any:
    return table[column].combine_chunks().field("bytes")
