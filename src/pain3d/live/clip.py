"""Knows how pictures that follow each other become a file: MP4, GIF, or a folder of PNG. The door to PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.files import make_folders, partial_path, remove, rename, write_new

QUALITY: Final = "18"  # x264's constant rate factor: no loss that one sees
GIF_FPS: Final = 25.0  # browsers slow down what is faster
GIF_COLOURS: Final = 128
Pixels = npt.NDArray[np.uint8]


def kind_of(path: Path) -> str:
    """``mp4``, ``gif`` or ``png`` (a folder, of a name without ending). Raises RefusedError for any other ending."""
    ending = path.suffix.lower()
    if ending not in (".mp4", ".gif", ""):
        raise RefusedError(f"--out {path}: must end in .mp4 or .gif, or be the name of a folder for PNG")
    kind = ending.removeprefix(".") or "png"
    if kind == "png" and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RefusedError(f"--out {path}: not an empty folder")
    if kind != "png" and path.is_dir():
        raise RefusedError(f"--out {path}: a folder")
    if kind == "mp4" and find_spec("av") is None:
        raise RefusedError('MP4 needs PyAV: pip install "pain3d[animate]"; a name in .gif needs nothing')
    return kind


def write_clip(path: Path, pictures: Iterable[Pixels], fps: float) -> None:
    """Write pictures [H, W, 3], sRGB, of even sides, `fps` a second; after an error nothing is left of them."""
    writers = {"mp4": _write_mp4, "gif": _write_gif, "png": _write_folder}
    writer = writers[kind_of(path)]
    make_folders(path.parent)
    partial = partial_path(path)
    remove(partial)  # it may be a link
    try:
        writer(partial, iter(pictures), fps)
        rename(partial, path)
    except BaseException:
        remove(partial)
        raise


def _write_mp4(path: Path, pictures: Iterator[Pixels], fps: float) -> None:
    import av

    first = next(pictures)
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as file:
        stream = file.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": QUALITY})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"  # what browsers play
        for picture in chain([first], pictures):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        file.mux(stream.encode())


def _write_gif(path: Path, pictures: Iterator[Pixels], fps: float) -> None:
    """Frames are shown for whole hundredths of a second: what is shown together is as long as the recording."""
    from PIL import Image

    step = max(1, round(fps / GIF_FPS))
    kept = [Image.fromarray(picture) for number, picture in enumerate(pictures) if number % step == 0]
    shown = [picture.quantize(GIF_COLOURS, dither=Image.Dither.NONE) for picture in kept]
    ends = [round(100 * step * (number + 1) / fps) for number in range(len(shown))]
    times = [10 * max(1, end - start) for start, end in zip([0, *ends], ends, strict=False)]
    content = io.BytesIO()
    shown[0].save(content, "GIF", save_all=True, append_images=shown[1:], duration=times, loop=0)
    write_new(path, content.getvalue())


def _write_folder(path: Path, pictures: Iterator[Pixels], _: float) -> None:
    from PIL import Image

    make_folders(path)
    for number, picture in enumerate(pictures):
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "PNG")
        write_new(path / f"{number:06d}.png", content.getvalue())
