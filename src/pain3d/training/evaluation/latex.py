"""Knows how a table is written for LaTeX: booktabs, escaped, what stands out in bold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SPECIAL: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≥": r"$\geq$", "±": r"$\pm$",
    "−": "$-$", "–": "--", "|": "$|$",
    "<": r"\textless{}", ">": r"\textgreater{}",
}  # fmt: skip


def escaped(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(SPECIAL.get(letter, letter) for letter in text)


def latex_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], bold: Sequence[Sequence[bool]], caption: str
) -> str:
    r"""A table for ``\input``; the document needs ``\usepackage{booktabs}``.

    Args:
        headings: [C]; the first column is flush left, the others flush right.
        rows: [R, C] cells.
        bold: [R, C] what stands out.
        caption: Below the table.
    """
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"\toprule",
        " & ".join(escaped(heading) for heading in headings) + r" \\",
        r"\midrule",
    ]
    for cells, strong in zip(rows, bold, strict=True):
        shown = [
            rf"\textbf{{{escaped(cell)}}}" if best else escaped(cell) for cell, best in zip(cells, strong, strict=True)
        ]
        lines.append(" & ".join(shown) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{escaped(caption)}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"
