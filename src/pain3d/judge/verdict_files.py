"""Knows how verdicts are written: judge.json for machines, index.html for people, PNG files, and a table to print."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pain3d.console.page import html_page
from pain3d.console.refused import RefusedError
from pain3d.files import make_folders, remove, write_durably
from pain3d.judge.verdict import Verdict
from pain3d.pipeline.data_set import DataSet
from pain3d.provenance import pain3d_version

NUMBERS, PAGE = "judge.json", "index.html"


def write_verdict(folder: Path, data: DataSet, verdicts: Sequence[Verdict], seconds: float) -> None:
    """Write a verdict's files; an older verdict in the folder is replaced.

    Raises:
        RefusedError: The folder holds something that isn't a verdict.
    """
    if folder.exists():
        if not folder.is_dir():
            raise RefusedError(f"{folder}: not a folder")
        if any(folder.iterdir()) and not (folder / NUMBERS).is_file():
            raise RefusedError(f"{folder}: not empty, and not a verdict of pain3d")
        for old in folder.glob("*.png"):
            remove(old)
    make_folders(folder)
    for verdict in verdicts:
        for figure in verdict.figures:
            write_durably(folder / f"{figure.name}.png", figure.png)
    about = {
        "data": str(data.out),
        "config_hash": data.resolved.get("config_hash"),
        "data_pain3d_version": data.resolved.get("pain3d_version"),
        "pain3d_version": pain3d_version(),
        "seconds": round(seconds, 1),
    }
    details = {verdict.name: verdict.numbers for verdict in verdicts}
    tables = {
        verdict.name: [
            {"title": t.title, "headings": t.headings, "rows": t.rows, "note": t.note} for t in verdict.tables
        ]
        for verdict in verdicts
    }
    content = _finite({**about, **summary(verdicts), "tables": tables, "details": details})
    write_durably(folder / PAGE, page(data, verdicts).encode())
    write_durably(folder / NUMBERS, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def summary(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The measures of all judges: value, unit, bar, and whether it is reached; `ok` if no bar is missed."""
    measures = {
        verdict.name: [
            {
                "name": m.name,
                "value": round(m.value, 4) if math.isfinite(m.value) else None,
                "unit": m.unit,
                "bar": m.bar,
                "reached": m.reached,
            }
            for m in verdict.measures
        ]
        for verdict in verdicts
    }
    missed = any(m.reached is False for verdict in verdicts for m in verdict.measures)
    return {"ok": not missed, "measures": measures}


def page(data: DataSet, verdicts: Sequence[Verdict]) -> str:
    """The page, with its pictures inside and nothing loaded from elsewhere."""
    pictures = {
        figure.name: f"data:image/png;base64,{base64.b64encode(figure.png).decode()}"
        for verdict in verdicts
        for figure in verdict.figures
    }
    return html_page(
        Path(__file__).parent / "templates" / "judge.html.j2",
        name=data.out.resolve().name,
        verdicts=verdicts,
        pictures=pictures,
    )


def show(verdicts: Sequence[Verdict]) -> None:
    """Print the measures as one table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for heading in ("judge", "measure", "value", "bar", ""):
        table.add_column(heading, justify="right" if heading in ("value", "bar") else "left", overflow="fold")
    for verdict in verdicts:
        for place, measure in enumerate(verdict.measures):
            said = {True: "yes", False: "NO", None: ""}[measure.reached]
            table.add_row(verdict.name if place == 0 else "", measure.name, measure.shown, measure.bar, said)
    Console(soft_wrap=False).print(table)


def _finite(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON doesn't have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
