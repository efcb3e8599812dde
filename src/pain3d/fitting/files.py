"""Knows what a fit leaves in a folder: numbers, pictures of it, how it went, the scenes, the skin."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from torch import Tensor

from pain3d.colour import linear_to_srgb
from pain3d.files import make_folders, remove_empty, write_durably
from pain3d.fitting.result import Fit

Pixels = npt.NDArray[np.uint8]

NUMBERS, OVERLAY, COURSE, SCENES, SKIN = "fit.json", "overlay.png", "fit.gif", "scenes.jsonl", "skin.png"
NAMES: Final = (NUMBERS, OVERLAY, COURSE, SCENES, SKIN)
SIDE: Final = 320  # pixels of a picture in the overlay
FRAME: Final = 224  # pixels of a picture in the GIF
MILLISECONDS, LAST_MILLISECONDS = 250, 2000
GAIN: Final = 2  # on the difference, around grey


def files_of(found: Fit, paths: Sequence[Path], steps: Sequence[Tensor]) -> dict[str, bytes]:
    """Contents by name.

    Args:
        found: The fit.
        paths: Of its pictures.
        steps: [S, S, 3] sRGB 0–1, what the first picture looked like on the way.
    """
    contents = {NUMBERS: _numbers(found, paths), OVERLAY: _overlay(found), SKIN: _skin(found)}
    contents[SCENES] = "".join(scene.to_json() + "\n" for scene in found.scenes).encode()
    if steps:
        contents[COURSE] = _course(found, steps)
    return contents


def written(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files, the numbers last: who sees them sees all. A folder that was made for nothing goes again."""
    made = make_folders(folder)
    try:
        for name in sorted(contents, key=lambda name: name == NUMBERS):
            write_durably(folder / name, contents[name])
    except BaseException:
        remove_empty(made)
        raise


def _numbers(found: Fit, paths: Sequence[Path]) -> bytes:
    """The first picture's columns at the top, so that one picture needs no list; all pictures in ``pictures``."""
    person = vars(found.identity)
    rows = [{"file": str(path), **found.row(place)} for place, path in enumerate(paths)]
    numbers = {**rows[0], "identity": person, "skin": vars(found.skin), "pictures": rows}
    return (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode()


def _overlay(found: Fit) -> bytes:
    """A row a picture: seen, fitted, half of each, and what is left, twice as strong around grey."""
    rows = []
    for place in range(len(found)):
        seen, shown = found.render(place, SIDE)
        half = ((seen.astype(int) + shown) // 2).astype(np.uint8)
        left = np.clip(128 + GAIN * (shown.astype(int) - seen), 0, 255).astype(np.uint8)
        rows.append(np.concatenate([seen, shown, half, left], 1))
    return _png(np.concatenate(rows))


def _course(found: Fit, steps: Sequence[Tensor]) -> bytes:
    """The first picture beside what was rendered, step by step."""
    from PIL import Image

    seen, last = found.render(0, FRAME)
    frames = []
    for step in steps:
        small = Image.fromarray((step * 255).round().byte().numpy())
        frames.append(np.asarray(small.resize((FRAME, FRAME), Image.Resampling.BICUBIC)))
    pictures = [Image.fromarray(np.concatenate([seen, frame], 1)) for frame in (*frames, last)]
    shown = [picture.quantize(128, dither=Image.Dither.NONE) for picture in pictures]
    stream = io.BytesIO()
    times = [MILLISECONDS] * len(frames) + [LAST_MILLISECONDS]
    shown[0].save(stream, "GIF", save_all=True, append_images=shown[1:], duration=times, loop=0)
    return stream.getvalue()


def _skin(found: Fit) -> bytes:
    """The albedo as it was found, sRGB, laid out as the head's texture."""
    return _png((linear_to_srgb(found.texture[..., :3].double().numpy()) * 255).round().astype(np.uint8))


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
