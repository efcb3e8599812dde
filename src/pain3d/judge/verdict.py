"""Knows what a judge hands back: measures with their bars, tables, figures and numbers for machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Cell = str | float | int | None


@dataclass(frozen=True)
class Measure:
    """One number that a judge found.

    Attributes:
        name: What was measured, in a few words.
        value: The number; NaN where nothing could be measured.
        unit: Of the number: ``%``, ``°``, or empty.
        least: The bar that it should reach, or None.
        most: The bar that it should stay under, or None.
    """

    name: str
    value: float
    unit: str = ""
    least: float | None = None
    most: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the bar is reached; None without a bar. NaN reaches nothing."""
        if self.least is None and self.most is None:
            return None
        above = self.least is None or self.value >= self.least
        below = self.most is None or self.value <= self.most
        return above and below

    @property
    def bar(self) -> str:
        """The bar in words: ``≥ 99 %``; empty without one."""
        parts = [f"{sign} {bar:g}" for sign, bar in (("≥", self.least), ("≤", self.most)) if bar is not None]
        return f"{' and '.join(parts)}{self._unit()}" if parts else ""

    @property
    def shown(self) -> str:
        """The value as a person reads it."""
        return f"{self.value:.4g}{self._unit()}"

    def _unit(self) -> str:
        return self.unit if self.unit == "°" else f" {self.unit}" if self.unit else ""


@dataclass(frozen=True)
class Table:
    """Rows under headings; a row's first cell names it."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.headings):
                raise ValueError(f"{self.title}: a row of {len(row)} under {len(self.headings)} headings")

    def lines(self) -> list[list[str]]:
        """The rows as text."""
        return [[cell_text(cell) for cell in row] for row in self.rows]


@dataclass(frozen=True)
class Figure:
    """A PNG under a name, which is its file's stem, with a caption."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Verdict:
    """What one judge says.

    Attributes:
        name: Short name, a key of ``judge.json``.
        title: Heading.
        words: What was done, in a sentence or two, with its limits.
        measures: Headline numbers.
        tables: More numbers.
        figures: Pictures.
        numbers: JSON-able details beyond the measures.
    """

    name: str
    title: str
    words: str
    measures: Sequence[Measure]
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    numbers: dict[str, Any] = field(default_factory=dict)


def cell_text(cell: Cell) -> str:
    """A cell as a person reads it: numbers to three digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.0f}"
    return str(cell)
