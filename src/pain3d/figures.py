"""Knows how the charts of our pages are drawn: matplotlib's, as SVG text that stands inline in a page.

The same data give the same text. Sizes are in px of a drawing WIDTH wide, which the page scales. Colours become the
page's CSS variables (`COLOURS`) and text takes its font, so a chart follows its page's light or dark dress. Every chart
has a label for readers who don't see it, and its marks have titles that show when one points at them.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Span = tuple[float, float]
Interval = Sequence[float] | None

WIDTH: Final = 520.0
PX: Final = 72  # per inch: what matplotlib calls a point is a px of the drawing
COLOURS: Final = {
    "ink": "#1c1c1e", "faint": "#6b6965", "line": "#e3e0d9", "card": "#ffffff", "hue": "#c2410c", "two": "#0f766e",
    "three": "#4338ca", "pale": "#f0b48f", "level0": "#efece6", "level1": "#fde3c8", "level2": "#fbbf7c",
    "level3": "#f5893a", "level4": "#d9480f", "level5": "#7c2106",
}  # fmt: skip
INK, FAINT, HUE, PALE = (COLOURS[name] for name in ("ink", "faint", "hue", "pale"))
LEVELS: Final = tuple(COLOURS[f"level{level}"] for level in range(6))
DASHED: Final = (0, (4, 3))
CURVES: Final = ((HUE, "-"), (COLOURS["two"], (0, (5, 2))), (COLOURS["three"], (0, (1.5, 2))))  # differ in grey too
STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none", "svg.hashsalt": "pain3d", "font.size": 12, "text.color": INK, "text.parse_math": False,
    "figure.facecolor": "none", "axes.facecolor": "none", "axes.edgecolor": FAINT, "axes.labelcolor": INK,
    "axes.labelweight": "bold", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": COLOURS["line"], "xtick.color": FAINT, "ytick.color": FAINT,
    "xtick.major.size": 0, "xtick.major.pad": 9, "ytick.major.size": 0, "legend.facecolor": COLOURS["card"],
    "legend.edgecolor": "none", "legend.framealpha": 0.85, "lines.linewidth": 2,
}  # fmt: skip
XLINK: Final = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
TIP: Final = "tip: "  # begins the group names that become titles


def bars(names: Sequence[str], counts: Sequence[float], x_title: str, y_title: str, height: float = 230) -> str:
    """A bar for each name, its count above it."""
    from matplotlib.ticker import MaxNLocator

    with _chart(height, x_title, y_title) as (figure, axes):
        drawn = axes.bar(range(len(names)), counts, width=0.8, color=HUE)
        for patch, name, count in zip(drawn, names, counts, strict=True):
            _tip(patch, f"{name}: {count:g}")
        axes.bar_label(drawn, [f"{count:g}" if count else "" for count in counts], padding=2)
        axes.set_xticks(range(len(names)), names)
        axes.set_ylim(0, max([1, *counts]) * 1.12)  # room for the count on the highest bar
        axes.yaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.grid(visible=False, axis="x")
        return _svg(figure, f"{y_title} by {x_title}")


def stacked_bars(names: Sequence[str], shares: npt.ArrayLike, tips: Sequence[Sequence[str]], x_title: str) -> str:
    """A horizontal bar for each name, the first on top, cut by level in the colours of LEVELS.

    Args:
        names: [N].
        shares: [N, 6] sum to 1 each.
        tips: [N][6] titles of the parts.
        x_title: Of what the shares are.
    """
    parts = np.asarray(shares, float).reshape(len(names), len(LEVELS))
    starts = np.cumsum(parts, 1) - parts
    with _chart(22.0 * len(names) + 62, x_title, "", left=60, right=20) as (figure, axes):
        for level, colour in enumerate(LEVELS):
            drawn = axes.barh(range(len(names)), parts[:, level], 0.78, starts[:, level], color=colour)
            for patch, row in zip(drawn, tips, strict=True):
                _tip(patch, row[level])
        axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_yticks(range(len(names)), names)
        axes.grid(visible=False, axis="y")
        return _svg(figure, f"levels by {x_title}")


def scatter(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    titles: tuple[str, str],
    spans: tuple[Span, Span],
    *,
    ticks: tuple[Sequence[float], Sequence[float]],
    unit: str = "",
    opacity: float = 0.55,
    levels: Sequence[tuple[str, float]] = (),
    empty: str = "",
) -> str:
    """Points, and level lines with their value at the right: dashed, the middle one of three not.

    Args:
        x: [N] of the points.
        y: [N] likewise.
        titles: Of the two axes.
        spans: What the axes show.
        ticks: Where they have numbers.
        unit: Behind the numbers, as ``°``.
        opacity: Of a point, 0–1.
        levels: What stands at the end of a line, and its height.
        empty: What is written where there is no point.
    """
    with _chart(400, *titles, right=56 if levels else 20) as (figure, axes):
        axes.plot(x, y, "o", color=HUE, alpha=opacity, markersize=5, markeredgewidth=0)
        axes.set(xlim=spans[0], ylim=spans[1])
        for axis, values in zip((axes.xaxis, axes.yaxis), ticks, strict=True):
            axis.set_ticks(list(values), [f"{value:g}{unit}".replace("-", "−") for value in values])
        for place, (text, level) in enumerate(levels):
            _tip(axes.axhline(level, color=INK, linewidth=1.4, linestyle="-" if place == 1 else DASHED), text)
            _note(axes, text, (1, level), 6, color=INK)
        if not np.size(x):
            axes.text(0.5, 0.55, empty, ha="center", transform=axes.transAxes)
        return _svg(figure, f"{titles[1]} over {titles[0]}")


def count_grid(rows: Sequence[str], columns: Sequence[str], counts: npt.ArrayLike, title: str) -> str:
    """Counts [rows, columns] as shaded cells; half as wide as other charts."""
    from matplotlib.patches import Rectangle

    table = np.asarray(counts).reshape(len(rows), len(columns))
    with _chart(44.0 + 40 * len(rows), "", "", width=WIDTH / 2, left=90, right=4, top=40, bottom=4) as (figure, axes):
        for (row, column), count in np.ndenumerate(table):
            shade = 0.12 + 0.6 * count / table.max() if count else 0.04
            cell = Rectangle((column + 0.03, row + 0.04), 0.94, 0.92, facecolor=HUE, alpha=shade, linewidth=0)
            _tip(axes.add_patch(cell), f"{title}, {rows[row]}, {columns[column]}: {count}")
            axes.text(column + 0.5, row + 0.5, str(count), ha="center", va="center")
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
        axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
        axes.xaxis.tick_top()
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
        figure.text(90 / (WIDTH / 2), 1, title, va="top", fontweight="bold")
        return _svg(figure, f"counts, {title}")


def box_plot(places: Sequence[float], groups: Sequence[npt.ArrayLike], titles: tuple[str, str], span: Span) -> str:
    """A box for each group, on two axes of one span: quartiles, whiskers from 5 to 95 %, the mean as a dot."""
    with _chart(400, *titles) as (figure, axes):
        axes.plot(span, span, color=FAINT, linewidth=1.4, linestyle=DASHED)
        for place, group in zip(places, groups, strict=True):
            low, first, middle, third, high = np.quantile(np.asarray(group, float), [0.05, 0.25, 0.5, 0.75, 0.95])
            mean = float(np.asarray(group, float).mean())
            told = f"{titles[0]} {place:g}: {np.size(group)} pictures, mean {mean:.2f}, median {middle:.2f}"
            axes.plot([place] * 2, [low, high], color=INK, linewidth=1.2, solid_capstyle="butt")
            (box,) = axes.bar(place, third - first, 0.64, first, color=PALE, edgecolor=HUE, linewidth=1)
            axes.plot([place - 0.32, place + 0.32], [middle] * 2, color=HUE, solid_capstyle="butt")
            axes.plot(place, mean, "o", color=HUE, markersize=6)
            _tip(box, told)
        axes.set(xlim=span, ylim=span)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_ticks(np.arange(math.ceil(span[0]), span[1], 2))
        if not groups:
            axes.text(0.5, 0.55, "no picture with a known label", ha="center", transform=axes.transAxes)
        return _svg(figure, f"{titles[1]} for each {titles[0]}")


def curves(
    lines: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike]],
    titles: tuple[str, str],
    diagonal: str,
    sizes: Mapping[str, npt.ArrayLike] | None = None,
) -> str:
    """Up to three curves on axes from 0 to 1, and the diagonal.

    Args:
        lines: x [N] and y [N] of each by its name; empty ones stand in the legend only.
        titles: Of the two axes.
        diagonal: What it means.
        sizes: Share of the whole [N] that each point stands for, by the names of the lines: a dot of that area.
    """
    with _chart(400, *titles) as (figure, axes):
        _tip(axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1.4, linestyle=DASHED)[0], diagonal)
        for (name, (x, y)), (colour, dashes) in zip(lines.items(), CURVES, strict=False):
            _tip(axes.plot(x, y, color=colour, linestyle=dashes, label=name)[0], name)
            for across, up, size in zip(*map(np.asarray, (x, y, (sizes or {}).get(name, ()))), strict=False):
                (dot,) = axes.plot(across, up, "o", color=colour, alpha=0.6, markersize=max(5, 22 * math.sqrt(size)))
                _tip(dot, f"{name}: {up:.0%} at {across:.0%}, {size:.0%} of the pictures")
        axes.set(xlim=(0, 1), ylim=(0, 1), xticks=np.linspace(0, 1, 5), yticks=np.linspace(0, 1, 5))
        for artist in axes.lines:
            artist.set_clip_on(False)  # a dot on the border is a whole one
        axes.legend(loc="lower right", handlelength=2.6)
        return _svg(figure, f"{titles[1]} over {titles[0]}")


def grouped_bars(groups: Mapping[str, Sequence[tuple[str, float | None, Interval]]], y_title: str) -> str:
    """Bars of up to two values per group with their intervals; the second is pale.

    Args:
        groups: By name, a word, a value or None, and its interval or None of each bar.
        y_title: What the values are.
    """
    drawn = [end for group in groups.values() for _, value, ends in group for end in (value or 0.0, *(ends or ()))]
    low = math.floor(4 * min([0.0, *drawn])) / 4
    with _chart(300, "", y_title) as (figure, axes):
        axes.set(xlim=(-0.5, max(len(groups), 1) - 0.5), ylim=(low, 1.08), yticks=np.arange(low, 1.01, 0.25))
        for place, (name, group) in enumerate(groups.items()):
            for number, (word, value, ends) in enumerate(group):
                middle = place + (number - (len(group) - 1) / 2) * 0.44
                if value is None:
                    axes.text(middle, 0.01, "n/a", ha="center", va="bottom", color=FAINT)
                    continue
                (bar,) = axes.bar(middle, value, 0.4, color=(HUE, PALE)[number])
                _tip(bar, f"{name} {word}: {value:.3f}" + (f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""))
                if ends is not None:
                    axes.plot([middle] * 2, ends, color=INK, linewidth=1.2, solid_capstyle="butt")
                top = max(value, 0.0, *(ends or ()))
                axes.text(middle, top + 0.01, f"{value:.2f}".replace("-", "−"), ha="center", va="bottom", fontsize=10)
        axes.axhline(0, color=FAINT, linewidth=1)
        axes.set_xticks(range(len(groups)), list(groups))
        axes.grid(visible=False, axis="x")
        return _svg(figure, f"{y_title} of {', '.join(groups)}")


def dot_plot(
    sections: Mapping[str, Sequence[tuple[str, str, float | None, Interval]]],
    x_title: str,
    note_title: str,
    overall: float | None,
) -> str:
    """A value with its interval on a line for each word, in sections with a heading.

    Args:
        sections: By heading, the word, a note at the right, the value or None, and its interval or None of each line.
        x_title: What the values are.
        note_title: What the notes are.
        overall: Where a dashed line stands.
    """
    rows = sum(1 + len(lines) for lines in sections.values())
    with _chart(20.0 * rows + 68, x_title, "", left=140, right=76, top=20) as (figure, axes):
        place = 0
        axes.axvline(0, color=FAINT, linewidth=1)
        if overall is not None:
            _tip(axes.axvline(overall, color=HUE, linewidth=1.4, linestyle=DASHED), f"all: {overall:.2f}")
        for heading, lines in sections.items():
            _note(axes, heading, (0, place), -140, color=INK, fontweight="bold")
            for row, (word, note, value, ends) in enumerate(lines, place + 1):
                _note(axes, word, (0, row), -10, ha="right")
                _note(axes, note, (1, row), 70, ha="right")
                if value is None:
                    _note(axes, "n/a", (0, row), 6)
                    continue
                if ends is not None:
                    axes.plot(ends, [row] * 2, color=INK, linewidth=1.2, solid_capstyle="butt")
                (dot,) = axes.plot(value, row, "o", color=HUE, markersize=7)
                _tip(dot, f"{heading} {word}: {value:.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else ""))
            place += 1 + len(lines)
        _note(axes, note_title, (1, 0), 70, ha="right")
        axes.set(ylim=(rows - 0.5, -0.5), yticks=[])
        axes.margins(x=0.04)
        axes.spines["left"].set_visible(False)
        return _svg(figure, f"{x_title} by group")


@contextmanager
def _chart(
    height: float,
    x_title: str,
    y_title: str,
    width: float = WIDTH,
    left: float = 56,
    right: float = 14,
    top: float = 14,
    bottom: float = 48,
) -> Iterator[tuple[Figure, Axes]]:
    """A figure in our style with one pair of axes; margins in px, the same whatever the words are."""
    import matplotlib
    from matplotlib.figure import Figure

    # Not matplotlib.style, which reads a folder of style sheets first.
    settings: Any = {name: value for name, value in matplotlib.rcParamsDefault.items() if "backend" not in name} | STYLE
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=(width / PX, height / PX))
        axes = figure.add_axes(
            (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
        )
        axes.set(xlabel=x_title, ylabel=y_title)
        yield figure, axes


def _note(axes: Axes, text: str, place: tuple[float, float], right: float, **looks: Any) -> None:
    """Words so many px right of a place: a share of the axes' width, and a value of y."""
    looks = {"va": "center", "color": FAINT, "annotation_clip": False, **looks}
    axes.annotate(text, place, (right, 0), ("axes fraction", "data"), "offset points", **looks)


def _tip(artist: Any, text: str) -> None:
    """Give a mark a title."""
    artist.set_gid(TIP + text)


def _svg(figure: Figure, label: str) -> str:
    """The figure as inline SVG: small, in the page's colours, without an id that another one of the page may have."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><").strip()
    text = re.sub(rf'<g id="{TIP}([^"]*)">', r"<g><title>\1</title>", text)
    text = re.sub(r'<g([^>]*)>((?:<use [^>]*style="([^"]*)"/>)+)</g>', _shared_style, text)
    key = hashlib.sha256((label + text).encode()).hexdigest()[:8]
    used = {
        name: f"{key}{number}" for number, name in enumerate(re.findall(r'id="([^"]+)"', text)) if f"#{name}" in text
    }
    text = re.sub(r' id="([^"]*)"', lambda hit: f' id="{used[hit[1]]}"' if hit[1] in used else "", text)
    text = re.sub(r"#([\w-]+)(?=[\")])", lambda hit: f"#{used[hit[1]]}" if hit[1] in used else hit[0], text)
    text = re.sub(r"<[^>]+>", lambda tag: _short(tag[0]), text)
    for name, colour in COLOURS.items():
        text = text.replace(f": {colour}", f": var(--{name})")
    said = escape(label)
    size = f'viewBox="0 0 {figure.get_figwidth() * PX:g} {figure.get_figheight() * PX:g}"'
    opened = f'<svg {size} role="img" aria-label="{said}" stroke-linejoin="round" {XLINK}>'
    return re.sub(r"^<svg[^>]*>", opened, text)


def _shared_style(group: re.Match[str]) -> str:
    """A group of points whose style, the same for all, is said once."""
    style = f' style="{group[3]}"'
    return f"<g{group[1]}{style}>{group[2].replace(style, '')}</g>"


def _short(tag: str) -> str:
    """A tag with its numbers in hundredths of a px and without a font's name: text takes the page's."""
    tag = re.sub(r'font-family: [^;"]*;? ?| transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", tag)
