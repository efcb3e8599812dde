"""Knows how points, lines, boxes and words are placed on two axes and become SVG text.

Colours come from classes of the page, so a plot follows its light or dark dress. All positions are rounded to 0.1 px:
the same data give the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

Span = tuple[float, float]
WIDTH: Final = 520.0  # of the drawing; the page scales it
RIGHT: Final = 14.0
TOP: Final = 14.0
BOTTOM: Final = 42.0  # room for the ticks and the title of x


class Axes:
    """A drawing with two axes that collects its parts.

    Args:
        x: Range shown, left to right.
        y: Range shown, bottom to top.
        height: Of the drawing, px.
        left: Room for the words at the y axis, px.
        right: Room at the other side, px.
    """

    def __init__(self, x: Span, y: Span, height: float = 340.0, left: float = 52.0, right: float = RIGHT) -> None:
        self.height, self.left, self.right = height, left, WIDTH - right
        self._x, self._y = x, y
        self._parts: list[str] = []

    def x(self, value: float) -> float:
        """Where a value lies, px from the left."""
        low, high = self._x
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Where a value lies, px from the top."""
        low, high = self._y
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - BOTTOM - TOP)

    def frame(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_title: str, y_title: str) -> None:
        """Grid lines with their numbers, and the titles; an axis without ticks gets its words from elsewhere."""
        for tick in y_ticks:
            self.line([(self._x[0], tick), (self._x[1], tick)], "grid")
            self.words(self.left - 7, self.y(tick) + 4, _number(tick), "label end")
        for tick in x_ticks:
            self.line([(tick, self._y[0]), (tick, self._y[1])], "grid")
            self.words(self.x(tick), self.height - BOTTOM + 16, _number(tick), "label middle")
        self.words((self.left + self.right) / 2, self.height - 6, x_title, "title middle")
        if y_title:
            middle = (TOP + self.height - BOTTOM) / 2
            place = f'transform="translate(13 {middle:.1f}) rotate(-90)"'
            self._parts.append(f'<text class="title middle" {place}>{escape(y_title)}</text>')

    def line(self, points: Sequence[tuple[float, float]], kind: str, said: str = "") -> None:
        """A line through points of the data."""
        steps = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{steps}">{_title(said)}</polyline>')

    def dot(self, x: float, y: float, kind: str, radius: float = 2.6, said: str = "") -> None:
        """A point of the data."""
        place = f'cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:.1f}"'
        self._parts.append(f'<circle class="{kind}" {place}>{_title(said)}</circle>')

    def box(self, x: Span, y: Span, kind: str, said: str = "") -> None:
        """A rectangle between two values of x and two of y."""
        left, right = sorted((self.x(x[0]), self.x(x[1])))
        top, bottom = sorted((self.y(y[0]), self.y(y[1])))
        place = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
        self._parts.append(f'<rect class="{kind}" {place}>{_title(said)}</rect>')

    def words(self, x: float, y: float, text: str, kind: str) -> None:
        """Words at a place of the drawing, px."""
        self._parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>')

    def mark(self, x: float, y: float, length: float, kind: str) -> None:
        """A line of the key at a place of the drawing, px."""
        self._parts.append(f'<polyline class="{kind}" points="{x:.1f},{y:.1f} {x + length:.1f},{y:.1f}"/>')

    def svg(self, said: str) -> str:
        """The drawing; ``said`` is for readers who don't see it."""
        size = f'viewBox="0 0 {WIDTH:g} {self.height:g}"'
        return f'<svg {size} role="img" aria-label="{escape(said)}">{"".join(self._parts)}</svg>'


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _title(said: str) -> str:
    return f"<title>{escape(said)}</title>" if said else ""
