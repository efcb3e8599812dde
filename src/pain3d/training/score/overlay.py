"""Knows the picture of a prediction: the face, the attention of each action unit, the neutral face, and bars."""

from __future__ import annotations

import io
import textwrap
import warnings
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.facs.action_units import FACS_NAMES
from pain3d.training.data.samples import THRESHOLDS, UNITS
from pain3d.training.score.prediction import Map, Pixels, PortraitPrediction

DPI: Final = 110
INK, QUIET, MARK, PAPER = "#1c1c1e", "#6b6965", "#c2410c", "#faf9f6"
SHOWN: Final = 336  # px a side that a face is drawn from: three times the 112 of the small models
FULL: Final = 5  # times as much as even attention, or more, gets the full colour: the same in every picture
MOST_COLOUR: Final = 0.7  # of the marking's opacity: the skin below stays to be seen
LONGEST_TITLE: Final = 60  # letters; the narrow picture has room for no more
LINE: Final = 56  # letters that the right part is wide
NOTICE: Final = "Research software: not a medical device, and no measure of what a person feels."


def draw_prediction(prediction: PortraitPrediction, title: str) -> bytes:
    """PNG of a prediction.

    Args:
        prediction: What the model predicted.
        title: Above it; the picture's name.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    maps = prediction.au_attention is not None
    figure = Figure(figsize=(11.6 if maps else 7.0, 4.8), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    widths = [1.25, 2.4, 1.75] if maps else [1.25, 1.75]
    parts: Any = figure.subfigures(1, len(widths), width_ratios=widths)
    for part in parts:
        part.set_facecolor(PAPER)
    _draw_faces(parts[0], prediction)
    if maps:
        _draw_units(parts[1], prediction)
    _draw_bars(parts[-1], prediction)
    short = title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"
    figure.suptitle(short, x=0.012, ha="left", fontsize=11, color=INK, fontweight="bold", parse_math=False)
    figure.supxlabel(NOTICE, x=0.012, ha="left", fontsize=8, color=QUIET)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a file name in any script: boxes will do
        figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def marked(face: Pixels, shares: Map) -> Pixels:
    """A grey face with colour where attention is more than even.

    Args:
        face: [S, S, 3].
        shares: [h, w], sums to 1.

    Returns:
        [SHOWN, SHOWN, 3].
    """
    import cv2

    times = shares * shares.size
    strength = np.clip((times - 1) / (FULL - 1), 0, 1).astype(np.float32)
    share = np.clip(_enlarged(strength), 0, 1)[..., None] * MOST_COLOUR
    grey = cv2.cvtColor(_enlarged(face), cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2).astype(np.float32)
    colour = np.array([int(MARK[place : place + 2], 16) for place in (1, 3, 5)], np.float32)
    return np.asarray(np.rint(grey * (1 - share) + colour * share), np.uint8)


def _enlarged(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    import cv2

    return np.asarray(cv2.resize(picture, (SHOWN, SHOWN), interpolation=cv2.INTER_CUBIC))


def _show(axis: Any, picture: Pixels, title: str) -> None:
    axis.imshow(picture)
    axis.set_title(title, fontsize=9, color=INK, loc="left", pad=3)
    axis.axis("off")


def _draw_faces(part: Any, prediction: PortraitPrediction) -> None:
    axes = part.subplots(2, 1)
    _show(axes[0], _enlarged(prediction.face), "what the model saw")
    if prediction.neutral is None:
        axes[1].axis("off")
    elif prediction.neutral_attention is None:
        _show(axes[1], _enlarged(prediction.neutral), "neutral face")
    else:
        _show(axes[1], marked(prediction.neutral, prediction.neutral_attention), "neutral face: attention")


def _draw_units(part: Any, prediction: PortraitPrediction) -> None:
    assert prediction.au_attention is not None
    axes = part.subplots(2, 3)
    for axis, unit, shares, value in zip(axes.flat, UNITS, prediction.au_attention, prediction.au, strict=True):
        _show(axis, marked(prediction.face, shares), f"{_name(unit)}  {_value(unit, value)}")
    part.supxlabel(
        f"attention of each action unit: full colour is {FULL} times as much as even, or more", fontsize=8, color=QUIET
    )


def _draw_bars(part: Any, prediction: PortraitPrediction) -> None:
    words, units, chances = part.subplots(3, 1, height_ratios=[1.1, 2.4, 1.3])
    words.axis("off")  # keeps the place of what is written across the whole part
    spread = "" if prediction.pspi_std is None else f" ± {prediction.pspi_std:.1f}"
    part.text(
        0.04, 0.90, f"PSPI {prediction.pspi:.1f}{spread} of 16", fontsize=19, color=INK, fontweight="bold", va="center"
    )
    lines = "\n".join(textwrap.wrap(ood_words(prediction), LINE))
    part.text(0.04, 0.82, lines, fontsize=8.5, color=_warning_colour(prediction), va="center")
    names = [f"{_name(unit)}  {FACS_NAMES[int(unit[2:])].lower()}" for unit in UNITS]
    shares = [value / (1 if unit == "AU43" else 5) for unit, value in zip(UNITS, prediction.au, strict=True)]
    _bars(units, names, shares, [_value(unit, value) for unit, value in zip(UNITS, prediction.au, strict=True)])
    _bars(
        chances,
        [f"PSPI ≥ {threshold}" for threshold in THRESHOLDS],
        list(prediction.at_least),
        [f"{100 * chance:.0f} %" for chance in prediction.at_least],
    )
    units.set_title("intensity, 0–5; eye closure: chance", fontsize=8.5, color=QUIET, loc="left")
    chances.set_title("chance", fontsize=8.5, color=QUIET, loc="left")


def _bars(axis: Any, names: list[str], shares: list[float], values: list[str]) -> None:
    """Bars on 0–1, the first on top, each with its value behind it."""
    places = np.arange(len(names))
    axis.barh(places, np.ones(len(names)), color="#ebe8e1", height=0.62)
    axis.barh(places, np.clip(shares, 0, 1), color=MARK, height=0.62)
    for place, value in zip(places, values, strict=True):
        axis.text(1.03, place, value, va="center", fontsize=9, color=INK)
    axis.set(xlim=(0, 1.2), ylim=(len(names) - 0.5, -0.5), xticks=[])
    axis.set_yticks(places, names, fontsize=8.5, color=INK)
    axis.tick_params(left=False)
    axis.spines[:].set_visible(False)
    axis.set_facecolor("none")


def ood_words(prediction: PortraitPrediction) -> str:
    """How far out of the training distribution the face lies, in a line."""
    ood = prediction.ood
    if ood is None:
        return "whether the face is out of distribution was not measured for this model"
    if ood.outlier:
        return f"out of distribution: {ood.distance:.1f}, above {ood.threshold:.1f}; unlike what the model learned from"
    nearer = f"{100 * ood.quantile:.0f} % of held-out faces lie nearer"
    return f"in distribution: {ood.distance:.1f}, up to {ood.threshold:.1f}; {nearer}"


def _warning_colour(prediction: PortraitPrediction) -> str:
    return "#b91c1c" if prediction.ood is not None and prediction.ood.outlier else QUIET


def _name(unit: str) -> str:
    return f"AU{int(unit[2:])}"


def _value(unit: str, value: float) -> str:
    return f"{100 * value:.0f} %" if unit == "AU43" else f"{value:.1f}"
