"""Knows what the buttons of `pain3d view` write: a scene, its picture, its head as GLB, its row."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pain3d.facs.action_units import ActionUnits
from pain3d.files import make_folders, remove_empty, write_durably
from pain3d.live.look import Look
from pain3d.live.portrait import overlaid
from pain3d.rendering.frames import render_scenes

PICTURE_SIZE = 1024  # pixels a side of a saved picture
ROW_SIZE = 512  # of the picture in a row: as `pain3d synth` has it
SPLIT = "live"  # of a row: it belongs to no split of any data set

_lock = threading.Lock()


def save_scene(folder: Path, look: Look) -> Path:
    """The scene as JSON: ``pain3d.Scene.from_json`` reads it, `render_scenes` renders it."""
    content = (look.scene(ROW_SIZE).to_json() + "\n").encode()
    return _save(folder, ".scene.json", lambda path: write_durably(path, content))


def save_picture(folder: Path, look: Look, strength: float = 0.0) -> Path:
    """The picture as PNG, with its heatmap over it, see `overlaid`."""
    from PIL import Image

    frames = render_scenes([look.scene(PICTURE_SIZE)])
    stream = io.BytesIO()
    Image.fromarray(overlaid(frames.image[0], frames.heatmap[0], strength)).save(stream, "PNG")
    return _save(folder, ".png", lambda path: write_durably(path, stream.getvalue()))


def save_head(folder: Path, look: Look) -> Path:
    """The person as GLB, with action units and joints to move; it opens with the face that is looked at."""
    from pain3d.head.model import Head
    from pain3d.rendering.frames import TEXTURE_SIZE
    from pain3d.skin import paint, surface, surface_maps

    head, scene = Head.default(), look.scene(ROW_SIZE)
    texture, grown = paint(surface_maps(head, TEXTURE_SIZE), scene.skin), surface(head, scene.skin)
    return _save(folder, ".glb", lambda path: head.save(path, scene.identity, look.au, texture=texture, surface=grown))


def save_row(folder: Path, look: Look) -> Path:
    """The row of the subset ``frames`` that a data set would have of it, picture and heatmap in it, as Parquet."""
    content = row_of(look)
    return _save(folder, ".parquet", lambda path: write_durably(path, content))


def row_of(look: Look) -> bytes:
    """The Parquet file of `save_row`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pain3d.head.model import Head
    from pain3d.pipeline.painted import Decorated
    from pain3d.pipeline.plan import PlannedIdentity
    from pain3d.pipeline.rows import Provenance, make_scene_rows
    from pain3d.pipeline.synthesis import PreparedIdentity, encode_identity
    from pain3d.provenance import code_version, pain3d_version
    from pain3d.rendering.encoded import pixels_of
    from pain3d.rendering.frames import Clock, render_people, render_setup
    from pain3d.rendering.scene_inputs import inputs_of

    shown = replace(look.scene(ROW_SIZE), expression_id=1)
    scenes = replace(shown, expression_id=0, au=ActionUnits()), shown  # rows pair an expression with its neutral
    head = Head.default()
    inputs, setup = inputs_of(scenes, head), render_setup(head)
    made = Provenance(look.person.seed, "", pain3d_version(), code_version())
    person = PlannedIdentity(0, look.person.cell, SPLIT)
    qualities = [scene.sensor.quality for scene in scenes]
    rows = make_scene_rows(scenes, inputs.camera(), person, made)
    prepared = PreparedIdentity(0, inputs, rows, qualities, qualities[0], 0.0)
    pixels = pixels_of(render_people([inputs], setup, Clock()))
    row = encode_identity(prepared, Decorated(inputs), pixels, setup, {}).batches["frames"].slice(1, 1)
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_batches([row]), stream)
    return stream.getvalue()


def _save(folder: Path, ending: str, write: Callable[[Path], object]) -> Path:
    """Write under the next free number; after an error no folder is left that was made for it."""
    with _lock:
        made = make_folders(folder)
        taken = {int(path.name[5:8]) for path in folder.glob("face-[0-9][0-9][0-9].*")}
        path = folder / f"face-{max(taken, default=0) + 1:03d}{ending}"
        try:
            write(path)
        except BaseException:
            remove_empty(made)
            raise
    return path
