"""How well `pain3d.fit` finds faces that it does not know: `python -m benchmarks.fitted OUT` prints and writes a table.

Held-out synthetic faces: identity, skin, action units, light, background, sensor and camera are drawn anew, one picture
each of 512 pixels, the head turned by at most 30 degrees. Landmarks are the renderer's own, in pixels; a row may be
fitted without them (`--without-landmarks`, by the detector's five points) and with a neutral picture of the person
(`--neutral`). Errors: the six units of PSPI in steps, PSPI, and the distance of vertices of the face's front after
rigid alignment; "scaled" also takes the scale out, which one picture tells only through the prior.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from pain3d import Head, Scene, fit, render_scenes, sample_scenes
from pain3d.facs import PAIN_AUS
from pain3d.fitting import Fit
from pain3d.fitting.shape import shape_prior
from pain3d.rendering.shots import shots_of
from pain3d.scene import CELLS

Doubles = npt.NDArray[np.float64]

SEED: Final = 4242
MOST_YAW: Final = 30.0
SIZE: Final = 512
DEVIATION: Final = 0.5  # pixels, of landmarks that are right
TILE: Final = 192


def held_out(number: int, head: Head, seed: int = SEED) -> tuple[Scene, Scene]:
    """A face and the same person's neutral one in another light: expressions 1 and 0 of one identity."""
    identity = 1000 * number
    while True:
        cell = CELLS[(7 * number) % len(CELLS)]
        neutral, moved = sample_scenes(
            seed=seed, identity_id=identity, cell=cell, head=head, expressions=1, views=1, size=SIZE, cameras="free"
        )
        if all(abs(scene.camera.yaw - scene.pose.neck_yaw) <= MOST_YAW for scene in (neutral, moved)):
            return moved, neutral
        identity += 1


def true_vertices(scene: Scene, head: Head) -> Doubles:
    """Vertices [V, 3] of a scene's face, bare of hair and beard, metres."""
    shot = shots_of([scene])
    mesh = head(scene.identity, scene.au, neck_pose=shot.neck, leye_pose=shot.gaze, reye_pose=shot.gaze)
    return np.asarray(mesh.vertices[0].double().numpy())


def aligned_error(found: Doubles, true: Doubles, scaled: bool = False) -> float:
    """Mean distance in millimetres after the best rigid motion (Kabsch), or similarity."""
    one, other = found - found.mean(0), true - true.mean(0)
    left, values, right = np.linalg.svd(one.T @ other)
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    scale = float((values * np.diag(flip)).sum() / (one**2).sum()) if scaled else 1.0
    return float(1000 * np.linalg.norm(scale * one @ (left @ flip @ right) - other, axis=1).mean())


def errors_of(found: Fit, scene: Scene, head: Head) -> dict[str, Any]:
    """What a fit of a scene missed."""
    front = shape_prior(head).front
    true, units = true_vertices(scene, head)[front], [abs(found.au[0][n] - scene.au[n]) for n in PAIN_AUS]
    vertices = found.vertices[0].double().numpy()[front]
    return {
        "found": [round(found.au[0][n], 2) for n in PAIN_AUS],
        "true": [scene.au[n] for n in PAIN_AUS],
        "au": float(np.mean(units)),
        "units": units,
        "pspi": abs(found.pspi[0] - scene.au.pspi()),
        "vertices_mm": aligned_error(vertices, true),
        "scaled_mm": aligned_error(vertices, true, scaled=True),
        "levels": float(found.residual[0]),
    }


def main() -> None:
    """Fit so many faces, print a table, write it with a sheet of picture, fit and difference."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("out", type=Path)
    asked.add_argument("--faces", type=int, default=20)
    asked.add_argument("--first", type=int, default=0)
    asked.add_argument("--seed", type=int, default=SEED)
    asked.add_argument("--without-landmarks", action="store_true")
    asked.add_argument("--neutral", action="store_true")
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    head, rows, tiles = Head.default(), [], []
    for number in range(given.first, given.first + given.faces):
        scene, calm = held_out(number, head, given.seed)
        shots = [render_scenes([scene], head)] + ([render_scenes([calm], head)] if given.neutral else [])
        pixels = [torch.from_numpy(shot.image[0]) for shot in shots]
        marks = [None if given.without_landmarks else shot.landmarks_2d[0] for shot in shots]
        started, cpu = time.perf_counter(), time.process_time()
        found = fit(
            pixels[:1], head, landmarks=marks[:1], neutral=pixels[1] if given.neutral else None,
            neutral_landmarks=marks[1] if given.neutral else None, landmark_deviation=DEVIATION,
        )  # fmt: skip
        spent = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
        rows.append({"face": number, **errors_of(found, scene, head), **spent})
        print({name: np.round(value, 2).tolist() for name, value in rows[-1].items() if name != "units"}, flush=True)
        seen, shown = found.render(size=TILE)
        apart = np.clip(128 + (shown.astype(int) - seen), 0, 255).astype(np.uint8)
        tiles.append(np.concatenate([seen, shown, apart], 1))
        columns = [np.concatenate(tiles[k::2]) for k in range(min(2, len(tiles)))]
        Image.fromarray(np.concatenate([c[: len(columns[-1])] for c in columns], 1)).save(given.out / "sheet.png")
        names = ("au", "pspi", "vertices_mm", "scaled_mm", "seconds", "cpu_seconds")
        mean = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in names}
        lines = [json.dumps(row) for row in (*rows, {"mean": mean})]
        (given.out / "faces.jsonl").write_text("\n".join(lines) + "\n")
    print(mean)


if __name__ == "__main__":
    main()
