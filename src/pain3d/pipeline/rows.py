"""Knows how the pictures and parameters of one identity become rows: an Arrow record batch for every subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from pain3d.pipeline.painted import PaintedBehind, PaintedOver, Row, painted_columns, texture_columns
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.records import (
    BACKGROUND_COLUMNS,
    DENSE,
    DEPTH_UNIT_MM,
    LICENCE,
    REFINED_COLUMNS,
    SUBSETS,
    arrow_schema,
    picture_name,
    sample_id,
    unstored_columns,
)
from pain3d.rendering.encoded import Pictures
from pain3d.rendering.scene_inputs import camera_rows

if TYPE_CHECKING:
    import pyarrow

    from pain3d.camera import Camera
    from pain3d.rendering.frames import Measures
    from pain3d.scene import Pose, Scene

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Provenance:
    """What every row says of its making."""

    seed: int
    config_hash: str
    pain3d_version: str
    code_version: str

    def columns(self) -> Row:
        """The provenance columns."""
        return {
            "seed": self.seed,
            "config_hash": self.config_hash,
            "pain3d_version": self.pain3d_version,
            "code_version": self.code_version,
            "synthetic": True,
        }


@dataclass(frozen=True)
class SceneRows:
    """The rows of one identity as far as its scenes tell them, before anything is rendered.

    Attributes:
        batches: By subset, a record batch without the columns of `SEEN`.
        names: [B] sample_id of each scene.
        views: [B] number of the view of each scene.
        expressions: [E] sample_id of each expression.
        pairs: For each row of the subset: its scene, and the neutral scene of that view.
        front: The neutral scene that is seen nearest the front.
        texture_licence: Of who painted the skin; empty where it is procedural.
        place_licences: [B] of the own place that lights each scene; empty where none does.
    """

    batches: dict[str, pyarrow.RecordBatch]
    names: list[str]
    views: list[int]
    expressions: list[str]
    pairs: list[tuple[int, int]]
    front: int
    texture_licence: str = ""
    place_licences: Sequence[str] = ()


GEOMETRY = ("landmarks_2d", "landmarks_3d", "bbox", "coverage")
SEEN = {
    "frames": ("image", "heatmap", "heatmap_unit_mm", *GEOMETRY),
    "pairs": (
        "image",
        "neutral_image",
        "heatmap",
        "heatmap_unit_mm",
        *GEOMETRY,
        *(f"neutral_{name}" for name in GEOMETRY),
    ),
    "expressions": ("frontal_heatmap",),
    "identities": ("image", "neutral_vertices"),
}  # and skin_ita_degrees in each
"""The columns of each subset that are known only when the scenes are rendered."""
PAINTED = (*BACKGROUND_COLUMNS, *REFINED_COLUMNS, "licence")  # and these, where there are pictures


def make_scene_rows(
    scenes: Sequence[Scene], camera: Camera, person: PlannedIdentity, provenance: Provenance
) -> SceneRows:
    """Make the rows of one identity as far as its scenes tell them.

    Args:
        scenes: [B] all scenes of the identity, expression by expression, view by view.
        camera: Their B cameras.
        person: The planned identity.
        provenance: What every row says of its making.
    """
    import pyarrow as pa

    made, painted = provenance.columns(), texture_columns(person.texture)
    key = {"identity_id": person.identity_id, "split": person.split}
    demographics = _demographics(scenes[0], person)
    cameras = [
        {
            **row,
            "focal_length_mm": scene.camera.focal_length_mm,
            **head_angles(row["camera_R"], scene.pose),
        }
        for row, scene in zip(camera_rows(camera), scenes, strict=True)
    ]
    rows: dict[str, list[Row]] = {subset: [] for subset in SUBSETS}
    names: list[str] = []
    pairs: list[tuple[int, int]] = []
    neutral_of_view: dict[int, int] = {}
    for position, scene in enumerate(scenes):
        neutral = scene.expression_id == 0
        name = sample_id(scene.identity_id, scene.expression_id, scene.view_id)
        names.append(name)
        shared = {
            **key,
            "expression_id": scene.expression_id,
            **_labels(scene),
            **demographics,
            **made,
            "neutral": neutral,
        }
        view = {**shared, **painted, "sample_id": name, "view_id": scene.view_id}
        rows["frames"].append({**view, **cameras[position], **_surroundings(scene), "scene": scene.to_json()})
        if neutral:
            neutral_of_view[scene.view_id] = position
        else:
            beside = neutral_of_view[scene.view_id]
            pairs.append((position, beside))
            of_neutral = {f"neutral_{name}": value for name, value in cameras[beside].items()}
            rows["pairs"].append({**view, **cameras[position], **of_neutral})
        if scene.view_id == 0:
            # A heatmap shows no skin: whoever painted it has no part in the row.
            name = sample_id(scene.identity_id, scene.expression_id)
            rows["expressions"].append({**shared, "sample_id": name, "licence": LICENCE})
    front = min(
        neutral_of_view.values(),
        key=lambda place: abs(cameras[place]["yaw_degrees"]) + abs(cameras[place]["pitch_degrees"]),
    )
    rows["identities"].append(
        {**key, **demographics, **made, **painted, **_shape(scenes[0]), "scene": scenes[front].to_json()}
    )
    batches = {}
    for subset in SUBSETS:
        seen = (*SEEN[subset], "skin_ita_degrees", *(PAINTED if subset != "expressions" else ()))
        known = pa.schema([field for field in arrow_schema(subset) if field.name not in seen])
        batches[subset] = pa.RecordBatch.from_pylist(rows[subset], known)
    expressions = [row["sample_id"] for row in rows["expressions"]]
    views = [scene.view_id for scene in scenes]
    own = () if person.places is None else person.places.names
    licences = [person.places.licence if person.places and scene.light.name in own else "" for scene in scenes]
    return SceneRows(batches, names, views, expressions, pairs, front, painted["texture_licence"], licences)


def complete_rows(
    rows: SceneRows,
    measures: Measures,
    pictures: Pictures,
    heatmap_unit: npt.NDArray[np.float32],
    behind: PaintedBehind | None = None,
    over: PaintedOver | None = None,
) -> dict[str, pyarrow.RecordBatch]:
    """The rows of one identity with everything: one record batch per subset, with the columns of ``pain3d.records``.

    Args:
        rows: What the scenes tell.
        measures: Of what was rendered.
        pictures: The same, encoded.
        heatmap_unit: [B] millimetres of a level of each heatmap.
        behind: Who painted what stands behind the head; None is nobody.
        over: Who painted over the pictures; None is nobody.
    """
    import pyarrow as pa

    kind = arrow_schema("frames").field("image").type
    images = _files(kind, pictures.image, rows.names, "image")
    heatmaps = _files(kind, pictures.heatmap, rows.names, "heatmap")
    frontal = _files(kind, pictures.frontal_heatmap, rows.expressions, "frontal_heatmap")
    # Arrow copies what is in several rows: to make it anew of bytes would hold up all other threads.
    expressed, neutral = np.array(rows.pairs, np.int32).reshape(-1, 2).T
    geometry = {name: getattr(measures, name) for name in GEOMETRY}
    seen: dict[str, dict[str, Any]] = {
        "frames": {
            "image": images,
            "heatmap": heatmaps,
            "heatmap_unit_mm": heatmap_unit,
            **geometry,
        },
        "pairs": {
            "image": images.take(pa.array(expressed)),
            "neutral_image": images.take(pa.array(neutral)),
            "heatmap": heatmaps.take(pa.array(expressed)),
            "heatmap_unit_mm": heatmap_unit[expressed],
            **{name: values[expressed] for name, values in geometry.items()},
            **{f"neutral_{name}": values[neutral] for name, values in geometry.items()},
        },
        "expressions": {"frontal_heatmap": frontal},
        "identities": {"image": images.slice(rows.front, 1), "neutral_vertices": measures.neutral_vertices[None]},
    }
    for name, files in pictures.dense.items():
        seen["frames"][name] = _files(kind, files, rows.names, name)
    if "depth" in pictures.dense:
        seen["frames"]["depth_unit_mm"] = np.full(len(rows.names), DEPTH_UNIT_MM, np.float32)
    shown: dict[str, list[tuple[int, ...]]] = {  # the pictures of each row
        "frames": [(place,) for place in range(len(rows.names))],
        "pairs": list(rows.pairs),
        "identities": [(rows.front,)],
    }
    for subset, places in shown.items():
        pictured = [[(place, rows.views[place]) for place in row] for row in places]
        seen[subset] |= painted_columns(pictured, rows.texture_licence, rows.place_licences, behind, over)
    batches = {}
    for subset, batch in rows.batches.items():
        schema = arrow_schema(subset, ",".join(pictures.dense))
        new = {
            name: _column(value, schema.field(name).type)
            for name, value in seen[subset].items()
            if name in schema.names
        }
        tone = np.full(len(batch), measures.skin_ita, np.float32)
        new["skin_ita_degrees"] = _column(tone, schema.field("skin_ita_degrees").type)
        columns = [new[name] if name in new else batch.column(name) for name in schema.names]
        batches[subset] = pa.RecordBatch.from_arrays(columns, schema=schema)
    return batches


def no_pictures(scenes: int, expressions: int, dense: Sequence[str]) -> Pictures:
    """What stands for the pictures of an identity whose rows hold none."""
    nothing = [b""] * scenes
    return Pictures(nothing, nothing, [b""] * expressions, dict.fromkeys(dense, nothing))


def without_pictures(subset: str, batch: pyarrow.RecordBatch) -> pyarrow.RecordBatch:
    """Rows as a data set without pictures has them: what is in `unstored_columns` is null."""
    import pyarrow as pa

    left_out = unstored_columns(subset, DENSE[-1])
    columns = [
        pa.nulls(len(batch), field.type) if field.name in left_out else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _files(kind: Any, contents: list[bytes], names: list[str], column: str) -> Any:
    """An Arrow array of files of a column: of their bytes and paths."""
    import pyarrow as pa

    paths = [picture_name(name, column) for name in names]
    parts = [pa.array(part, kind.field(place).type) for place, part in enumerate((contents, paths))]
    return pa.StructArray.from_arrays(parts, fields=list(kind))


def _column(values: Any, kind: Any) -> Any:
    """An Arrow array of numbers [R, ...], as many lists in each other as they have dimensions; another as it is."""
    import pyarrow as pa

    if isinstance(values, list):
        return pa.array(values, kind)
    if not isinstance(values, np.ndarray):
        return values
    if values.ndim == 1:
        return pa.array(values, kind)
    rows, length = values.shape[:2]
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * length)
    inner = _column(values.reshape(rows * length, *values.shape[2:]), kind.value_type)
    return pa.ListArray.from_arrays(offsets, inner, type=kind)


def _labels(scene: Scene) -> Row:
    """Action units and the PSPI that the core computes from them."""
    return {**scene.au.as_row(), "PSPI": scene.au.pspi()}


def head_angles(camera_rotation: Sequence[Sequence[float]], pose: Pose) -> Row:
    """Yaw, pitch and roll of the head in the axes of the view, and the gaze.

    The head's turn in the view is camera_R @ neck; it is taken apart as yaw about up, then pitch, then roll:
    R = Ry(yaw) Rx(pitch) Rz(roll). All are 0 for a head that looks into the lens.
    """
    axis_angle = np.radians([pose.neck_pitch, pose.neck_yaw, pose.neck_roll])
    turn = np.asarray(camera_rotation) @ cv2.Rodrigues(axis_angle)[0]
    return {
        "yaw_degrees": float(np.degrees(np.arctan2(turn[0, 2], turn[2, 2]))),
        "pitch_degrees": float(np.degrees(np.arcsin(np.clip(-turn[1, 2], -1, 1)))),
        "roll_degrees": float(np.degrees(np.arctan2(turn[1, 0], turn[1, 1]))),
        "gaze_yaw_degrees": pose.gaze_yaw,
        "gaze_pitch_degrees": pose.gaze_pitch,
    }


def _surroundings(scene: Scene) -> Row:
    return {
        "light": scene.light.name,
        "light_azimuth_degrees": scene.light.azimuth,
        "light_elevation_degrees": scene.light.elevation,
        "light_intensity": scene.light.intensity,
        "light_key_share": scene.light.key_share,
        "light_temperature_kelvin": scene.light.temperature,
        "light_size_degrees": scene.light.size,
        "background": scene.background,
        "background_blur": scene.background_blur,
        "exposure_stops": scene.sensor.exposure,
        "white_balance_kelvin": scene.sensor.white_balance,
        "iso": scene.sensor.iso,
        "mtf50": scene.sensor.mtf50,
        "contrast": scene.sensor.contrast,
        "saturation": scene.sensor.saturation,
        "jpeg_quality": scene.sensor.quality,
        "wrinkles": scene.wrinkles,
        "worn": ",".join(scene.worn),
        "camera_effects": ",".join(scene.effects),
        "hair": scene.hair,
    }


def _shape(scene: Scene) -> Row:
    person = scene.identity
    return {
        "sex_share": person.sex,
        "ancestry_shares": list(person.ancestry),
        "muscle": person.muscle,
        "weight": person.weight,
        "local_shapes": list(person.local),
    }


def _demographics(scene: Scene, person: PlannedIdentity) -> Row:
    return {
        "age_group": person.cell.age_group,
        "age": scene.identity.age,
        "sex": person.cell.sex,
        "ancestry": person.cell.ancestry,
    }
