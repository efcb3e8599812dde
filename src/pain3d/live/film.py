"""Knows what each picture of an animated recording shows: the face, its heatmap, the curve of its PSPI so far."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import MAX_PSPI
from pain3d.figures import FAINT, HUE, INK, PALE, PX, STYLE
from pain3d.live.look import Look
from pain3d.live.portrait import Portrait, overlaid
from pain3d.live.recording import Recording
from pain3d.rendering.heatmap import COLOUR_LIMIT_MM

MUTED = 0.35  # of the picture's light below the heatmap
CAPTION = "#d8d5cf"
Pixels = npt.NDArray[np.uint8]


def film_of(recording: Recording, look: Look, size: int, texels: int = 1024) -> Iterator[Pixels]:
    """Each picture [size, 3 · size, 3] of a recording, sRGB; where a face is lost the one before stands still, pale.

    Args:
        recording: Whose faces.
        look: Everything but the face.
        size: Pixels a side of each of the three parts, even.
        texels: Of the texture, see `Portrait`.
    """
    portrait, chart = Portrait(size, texels), _Chart(recording, size)
    last = ActionUnits()
    for number, face in enumerate(recording.faces):
        last = last if face is None else face
        picture, heat = portrait.take(replace(look, au=last).scene(size))
        grey = np.repeat((picture @ np.array([0.299, 0.587, 0.114]) * MUTED).astype(np.uint8)[..., None], 3, 2)
        shown = picture if face is not None else (picture // 2 + 120).astype(np.uint8)
        yield np.concatenate([shown, _captioned(overlaid(grey, heat, 1.0)), chart.at(number)], 1)


def _captioned(heat: Pixels) -> Pixels:
    """A heatmap's picture with what its brightest colour means."""
    from PIL import Image, ImageDraw, ImageFont

    drawn, size = Image.fromarray(heat), len(heat)
    words, font = f"white: {COLOUR_LIMIT_MM:g} mm from neutral, or more", ImageFont.load_default(size / 28)
    ImageDraw.Draw(drawn).text((0.04 * size, 0.94 * size), words, CAPTION, font)
    return np.asarray(drawn)


class _Chart:
    """The curve of PSPI over time, drawn once, with a line where one is."""

    def __init__(self, recording: Recording, size: int) -> None:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from PIL import Image

        self.scores = recording.scores()
        plain = {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name}
        settings: Any = plain | STYLE | {"figure.facecolor": "white"}
        with matplotlib.rc_context(settings):
            figure = Figure(figsize=(size / PX, size / PX), dpi=PX)
            canvas = FigureCanvasAgg(figure)
            axes = figure.add_axes((0.15, 0.15, 0.80, 0.66))
            last = max(float(recording.seconds[-1]), 1 / recording.fps)
            axes.set(xlim=(0, last), ylim=(0, MAX_PSPI), xlabel="seconds", yticks=range(0, MAX_PSPI + 1, 4))
            axes.plot(recording.seconds, self.scores, color=PALE, linewidth=2)
            if recording.missing:
                lacking = ", ".join(f"AU{unit}" for unit in recording.missing)
                figure.text(0.15, 0.83, f"without {lacking}", color=FAINT, fontsize=11)
            canvas.draw()  # type: ignore[no-untyped-call]
            self._paper = Image.fromarray(np.array(canvas.buffer_rgba())[..., :3])  # type: ignore[no-untyped-call]
            places = axes.transData.transform(np.stack([recording.seconds, np.nan_to_num(self.scores)], 1))
        self._places = np.stack([places[:, 0], size - places[:, 1]], 1)

    def at(self, number: int) -> Pixels:
        """The chart [size, size, 3] with everything up to a row in full colour; rows are asked for in their order."""
        from PIL import ImageDraw, ImageFont

        if number and np.isfinite(self.scores[[number - 1, number]]).all():
            ends = [*self._places[number - 1].tolist(), *self._places[number].tolist()]
            ImageDraw.Draw(self._paper).line(ends, HUE, 2)
        drawn, size = self._paper.copy(), self._paper.width
        draw, score, (x, y) = ImageDraw.Draw(drawn), self.scores[number], self._places[number].tolist()
        if not np.isnan(score):
            draw.ellipse([x - 4, y - 4, x + 4, y + 4], HUE)
        said = "no face" if np.isnan(score) else f"PSPI {score:.1f}"
        draw.text((0.15 * size, 0.04 * size), said, INK, ImageFont.load_default(size / 12))
        return np.asarray(drawn)
