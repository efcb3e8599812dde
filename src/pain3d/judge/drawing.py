"""Knows how the judges' pictures are drawn: mosaics of faces with points on them, and plots of curves, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from pain3d.pipeline.contact_sheet import fit

Pixels = npt.NDArray[np.uint8]

TILE = 256  # pixels a side
COLUMNS = 6
CAPTION = 20
COLOURS = {"red": (235, 60, 50), "green": (40, 200, 90)}
DPI = 110


class Tile(NamedTuple):
    """A square picture, its caption, and sets of points [N, 2] in its own pixels with the name of their colour."""

    pixels: Pixels
    caption: str
    points: tuple[tuple[Any, str], ...] = ()


def mosaic(tiles: Sequence[Tile], columns: int = COLUMNS) -> bytes:
    """PNG of tiles in rows, each with its caption underneath."""
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (min(columns, len(tiles)) * TILE, rows * (TILE + CAPTION)), (250, 249, 246))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, tile in enumerate(tiles):
        left, top = place % columns * TILE, place // columns * (TILE + CAPTION)
        sheet.paste(Image.fromarray(fit(tile.pixels, TILE)), (left, top))
        scale = TILE / tile.pixels.shape[0]
        for points, colour in tile.points:
            for x, y in () if points is None else np.asarray(points, float) * scale:
                if 0 <= x < TILE and 0 <= y < TILE:
                    draw.ellipse([left + x - 1.5, top + y - 1.5, left + x + 1.5, top + y + 1.5], fill=COLOURS[colour])
        draw.text((left + 4, top + TILE + 3), tile.caption, (28, 28, 30), font)
    return png(np.asarray(sheet))


def png(pixels: Pixels) -> bytes:
    """Encode [H, W, 3] RGB."""
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))
    if not done:
        raise RuntimeError("OpenCV could not encode a picture")
    return encoded.tobytes()


def new_plot(columns: int, rows: int, width: float = 3.4, height: float = 2.8) -> tuple[Any, Any]:
    """A figure and its axes [rows, columns], drawn without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    return figure, axes


def saved(figure: Any) -> bytes:
    """The PNG of a figure, without the date that matplotlib would put in."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def curves(
    panels: Mapping[str, tuple[Sequence[float], npt.NDArray[np.float64]]], x_title: str, y_title: str, columns: int = 4
) -> bytes:
    """PNG with a panel per name: a thin line per row of [N, K] over K steps, and the thick mean."""
    figure, axes = new_plot(columns, -(-len(panels) // columns))
    for axis, (name, (steps, rows)) in zip(axes.flat, panels.items(), strict=False):
        axis.plot(steps, rows.T, color="#c2410c", alpha=0.18, linewidth=0.8)
        axis.plot(steps, np.nanmean(rows, axis=0) if len(rows) else [np.nan] * len(steps), color="#1c1c1e", linewidth=2)
        axis.set(title=name, xlabel=x_title, ylabel=y_title)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    return saved(figure)
