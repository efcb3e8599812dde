"""Knows how the pictures and parameters of one identity become rows: an Arrow record batch for every subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from pain3d.pipeline.encoding import encode_grey, encode_image, encode_ramp
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.records import HEATMAP_UNIT_MM, LICENCE, SUBSETS, arrow_schema, sample_id
from pain3d.rendering.heatmap import quantise_heatmap

if TYPE_CHECKING:
    import pyarrow

    from pain3d.rendering.frames import Frames
    from pain3d.scene import Pose, Scene

Row = dict[str, Any]


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
            "licence": LICENCE,
            "synthetic": True,
        }


@dataclass(frozen=True)
class Pictures:
    """The encoded pictures of one identity: [B] images and heatmaps, [E] frontal heatmaps."""

    image: list[bytes]
    heatmap: list[bytes]
    frontal_heatmap: list[bytes]


def encode_pictures(frames: Frames, scenes: Sequence[Scene], quality: int) -> Pictures:
    """Encode what was rendered of one identity: images each at its scene's quality, frontal heatmaps at `quality`."""
    return Pictures(
        image=[encode_image(image, scene.sensor.quality) for image, scene in zip(frames.image, scenes, strict=True)],
        heatmap=[encode_grey(quantise_heatmap(heatmap)) for heatmap in frames.heatmap],
        frontal_heatmap=[encode_ramp(image, quality) for image in frames.frontal_heatmap],
    )


def make_batches(
    scenes: Sequence[Scene],
    frames: Frames,
    pictures: Pictures,
    person: PlannedIdentity,
    provenance: Provenance,
) -> dict[str, pyarrow.RecordBatch]:
    """Make the rows of one identity.

    Args:
        scenes: [B] all scenes of the identity, expression by expression, view by view.
        frames: What was rendered of them.
        pictures: The same, encoded.
        person: The planned identity.
        provenance: What every row says of its making.

    Returns:
        One record batch per subset, with the columns of ``pain3d.records``.
    """
    import pyarrow as pa

    made = provenance.columns()
    key = {"identity_id": person.identity_id, "split": person.split}
    demographics = _demographics(scenes[0], person, float(frames.skin_ita))
    cameras = [
        {
            **camera,
            "focal_length_mm": scene.camera.focal_length_mm,
            **head_angles(camera["camera_R"], scene.pose),
        }
        for camera, scene in zip(frames.camera_rows(), scenes, strict=True)
    ]
    landmarks_2d, landmarks_3d = frames.landmarks_2d.tolist(), frames.landmarks_3d.tolist()
    bbox, coverage = frames.bbox.tolist(), frames.coverage.tolist()
    rows: dict[str, list[Row]] = {subset: [] for subset in SUBSETS}
    neutral_of_view: dict[int, dict[str, Any]] = {}
    for position, scene in enumerate(scenes):
        neutral = scene.expression_id == 0
        labels = _labels(scene)
        name = sample_id(scene.identity_id, scene.expression_id, scene.view_id)
        image = {"bytes": pictures.image[position], "path": f"{name}.jpg"}
        heatmap = {"bytes": pictures.heatmap[position], "path": f"{name}.heatmap.png"}
        shared = {
            **key,
            "expression_id": scene.expression_id,
            **labels,
            **demographics,
            **made,
            "neutral": neutral,
        }
        view = {
            **shared,
            "sample_id": name,
            "view_id": scene.view_id,
            "image": image,
            "heatmap": heatmap,
            "heatmap_unit_mm": HEATMAP_UNIT_MM,
        }
        rows["frames"].append(
            {
                **view,
                **cameras[position],
                **_surroundings(scene),
                "landmarks_2d": landmarks_2d[position],
                "landmarks_3d": landmarks_3d[position],
                "bbox": bbox[position],
                "coverage": coverage[position],
                "scene": scene.to_json(),
            }
        )
        if neutral:
            neutral_of_view[scene.view_id] = image
        else:
            rows["pairs"].append({**view, "neutral_image": neutral_of_view[scene.view_id]})
        if scene.view_id == 0:
            name = sample_id(scene.identity_id, scene.expression_id)
            frontal = pictures.frontal_heatmap[len(rows["expressions"])]
            frontal_heatmap = {"bytes": frontal, "path": f"{name}.frontal_heatmap.jpg"}
            rows["expressions"].append({**shared, "sample_id": name, "frontal_heatmap": frontal_heatmap})
    front = min(
        range(len(neutral_of_view)),
        key=lambda view: abs(cameras[view]["yaw_degrees"]) + abs(cameras[view]["pitch_degrees"]),
    )
    rows["identities"].append(
        {
            **key,
            **demographics,
            **made,
            "image": neutral_of_view[front],
            **_shape(scenes[0]),
            "neutral_vertices": frames.neutral_vertices.tolist(),
            "scene": scenes[front].to_json(),
        }
    )
    return {subset: pa.RecordBatch.from_pylist(rows[subset], arrow_schema(subset)) for subset in SUBSETS}


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
        "background": scene.background,
        "background_blur": scene.background_blur,
        "exposure_stops": scene.sensor.exposure,
        "white_balance_kelvin": scene.sensor.white_balance,
        "iso": scene.sensor.iso,
        "jpeg_quality": scene.sensor.quality,
        "wrinkles": scene.wrinkles,
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


def _demographics(scene: Scene, person: PlannedIdentity, skin_ita: float) -> Row:
    return {
        "age_group": person.cell.age_group,
        "age": scene.identity.age,
        "sex": person.cell.sex,
        "ancestry": person.cell.ancestry,
        "skin_ita_degrees": skin_ita,
    }
