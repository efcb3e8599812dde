"""Knows how to draw a few plain charts as SVG text: no plotting library to start up, sharp at any size.

Colours come from CSS classes of the page (``bar``, ``grid``, ``label`` ...), so a chart follows its page's light or
dark dress. All numbers are rounded to 0.1 px: the same data give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH = 520.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 40.0


def bars(names: Sequence[str], heights: Sequence[float], x_title: str, y_title: str, height: float = 230) -> str:
    """A bar for each name; the count stands above it where there is room."""
    top = nice_top(max(heights, default=0))
    step = (WIDTH - LEFT - RIGHT) / max(len(names), 1)
    parts = _frame(height, top, x_title, y_title)
    for position, (name, value) in enumerate(zip(names, heights, strict=True)):
        x = LEFT + step * position
        y = _y(value, top, height)
        parts.append(_rectangle(x + step * 0.1, y, step * 0.8, height - BOTTOM - y, "bar", f"{name}: {value:g}"))
        parts.append(_text(x + step / 2, height - BOTTOM + 15, name, "label middle"))
        if step >= 24 and value:
            parts.append(_text(x + step / 2, y - 4, f"{value:g}", "value middle"))
    return _svg(parts, height)


def intensity_bars(names: Sequence[str], shares: Sequence[Sequence[float]], meanings: Sequence[str]) -> str:
    """A horizontal bar for each name, cut by intensity 0-5; ``shares`` [N, 6] sum to 1 each."""
    line = 22.0
    left = 60.0
    height = TOP + line * len(names) + BOTTOM
    parts: list[str] = []
    span = WIDTH - left - RIGHT
    for row, (name, parts_of, meaning) in enumerate(zip(names, shares, meanings, strict=True)):
        y = TOP + row * line
        parts.append(_text(left - 8, y + 13, name, "label end"))
        x = left
        for level, share in enumerate(parts_of):
            if share > 0:
                words = f"{name} {meaning}, intensity {level}: {share:.0%}"
                parts.append(_rectangle(x, y, share * span, line - 5, f"level{level}", words))
            x += share * span
    for percent in (0, 25, 50, 75, 100):
        x = left + span * percent / 100
        parts.append(_text(x, height - BOTTOM + 15, f"{percent} %", "label " + ("end" if percent == 100 else "middle")))
    parts.append(_text(left + span / 2, height - 6, "share of pain expressions", "title middle"))
    return _svg(parts, height)


def scatter(xs: Sequence[float], ys: Sequence[float], x_title: str, y_title: str, x_most: float, y_most: float) -> str:
    """Points over axes from -most to +most."""
    height = 390.0
    parts: list[str] = []
    span, drop = WIDTH - LEFT - RIGHT, height - TOP - BOTTOM
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x, y = LEFT + span * (share + 1) / 2, TOP + drop * (1 - share) / 2
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{TOP + drop:.1f}"/>')
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + span:.1f}" y2="{y:.1f}"/>')
        anchor = {-1.0: "start", 1.0: "end"}.get(share, "middle")
        parts.append(_text(x, TOP + drop + 15, f"{share * x_most:g}°", f"label {anchor}"))
        parts.append(_text(LEFT - 6, y + 4, f"{share * y_most:g}°", "label end"))
    for x_value, y_value in zip(xs, ys, strict=True):
        x = LEFT + span * (x_value / x_most + 1) / 2
        y = TOP + drop * (1 - y_value / y_most) / 2
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>')
    parts.append(_text(LEFT + span / 2, height - 6, x_title, "title middle"))
    parts.append(_turned(y_title, TOP + drop / 2))
    return _svg(parts, height)


def grid(rows: Sequence[str], columns: Sequence[str], counts: Sequence[Sequence[int]], title: str) -> str:
    """Counts as shaded cells; ``counts`` [rows, columns]."""
    left, cell = 84.0, 40.0
    most = max((count for line in counts for count in line), default=0)
    step = (WIDTH / 2 - left - 6) / max(len(columns), 1)
    parts = [_text(left, 13, title, "title")]
    for column, name in enumerate(columns):
        parts.append(_text(left + step * (column + 0.5), 32, name, "label middle"))
    for row, (name, line) in enumerate(zip(rows, counts, strict=True)):
        y = 40 + cell * row
        parts.append(_text(left - 8, y + cell / 2 + 4, name, "label end"))
        for column, count in enumerate(line):
            x = left + step * column
            shade = 0.12 + 0.6 * count / most if most and count else 0.04
            parts.append(
                f'<rect class="cell" fill-opacity="{shade:.2f}" x="{x + 1:.1f}" y="{y + 1:.1f}" '
                f'width="{step - 2:.1f}" height="{cell - 2:.1f}" rx="3"/>'
            )
            parts.append(_text(x + step / 2, y + cell / 2 + 4, str(count), "value middle"))
    return _svg(parts, 44 + cell * len(rows), WIDTH / 2)


def nice_top(value: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten, or 4 or 8 times it, that isn't below a value; 1 for 0."""
    power = 1.0
    while value > power * 10:
        power *= 10
    for factor in (1, 2, 4, 5, 8, 10):
        if value <= factor * power:
            return factor * power
    return 10 * power


def _frame(height: float, top: float, x_title: str, y_title: str) -> list[str]:
    parts: list[str] = []
    for quarter in range(5):
        value = top * quarter / 4
        y = _y(value, top, height)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        if value == int(value):
            parts.append(_text(LEFT - 6, y + 4, f"{value:g}", "label end"))
    parts.append(_text((WIDTH + LEFT - RIGHT) / 2, height - 6, x_title, "title middle"))
    parts.append(_turned(y_title, (height - BOTTOM + TOP) / 2))
    return parts


def _y(value: float, top: float, height: float) -> float:
    return height - BOTTOM - value / top * (height - BOTTOM - TOP - 12)


def _rectangle(x: float, y: float, width: float, height: float, kind: str, words: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}">'
        f"<title>{escape(words)}</title></rect>"
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def _turned(words: str, middle: float) -> str:
    return f'<text class="title middle" transform="translate(12 {middle:.1f}) rotate(-90)">{escape(words)}</text>'


def _svg(parts: Sequence[str], height: float, width: float = WIDTH) -> str:
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img">{"".join(parts)}</svg>'
