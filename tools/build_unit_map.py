"""Writes the table of action units in other people's words, `facs/data/unit_map.csv`, with what each pair leaves over.

    python -m tools.build_unit_map ICT_FOLDER OUT.csv

Both sides of a unit at intensity 5 are fitted by the shapes of its names (`head/foreign/unit_fit.py`): ARKit's on the
packaged head, ICT-FaceKit's on its own neutral mesh (MIT; the folder is the user's), to which our displacements are
carried. Nothing of ICT-FaceKit's files is in the table but its names and the fitted numbers.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from pain3d.facs.action_units import AU_NUMBERS, FACS_NAMES, JAW, MOVES, ActionUnits
from pain3d.facs.rig import LID_PARTS
from pain3d.facs.unit_map import COLUMNS, NO_MEDIAPIPE, OPENFACE
from pain3d.head import Head
from pain3d.head.foreign.blendshapes import ICT_EYES, ICT_OTHER_NAMES, blendshape_head, open_folder
from pain3d.head.foreign.our_units import OurUnits
from pain3d.head.foreign.unit_fit import UnitFit, fit_units

Floats = npt.NDArray[np.float64]
SKIN_AND_NECK = 9409 + 1839  # the first vertices of ICT-FaceKit: face, head and neck
RIDGE = 1e-6  # few shapes a unit: nothing to hold back


def stems_of(number: int) -> tuple[str, ...]:
    """ARKit's names without a side that an action unit moves."""
    return tuple(stem for stem, _ in MOVES[number]) or ("jawOpen",)


def arkit_shapes(head: Head) -> dict[str, Floats]:
    """ARKit's name without a side → what both sides of it do [V, 3]; ``jawOpen`` is our jaw, opened as AU27 does."""
    made: dict[str, Floats] = {}
    for name, shape in zip(head.unit_names, head.expression_basis.numpy().astype(np.float64), strict=True):
        stem = name.removesuffix("Left").removesuffix("Right")
        stem = stem.removesuffix("Lid") if stem in LID_PARTS else stem
        made[stem] = made.get(stem, 0) + shape
    with torch.no_grad():
        opened = head(au=ActionUnits(AU27=5)).vertices - head().vertices
    return {**made, "jawOpen": opened[0].numpy().astype(np.float64)}


def fitted(fields: dict[int, Floats], shapes: dict[str, Floats], weight: Floats) -> dict[int, UnitFit]:
    """Each action unit by the shapes of its names."""
    found = {}
    for number, field in fields.items():
        stems = [stem for stem in stems_of(number) if stem in shapes]
        basis = np.stack([shapes[stem] for stem in stems])
        found[number] = fit_units([f"AU{number}"], field[None], stems, basis, weight, ridge=RIDGE)
    return found


def on_the_packaged_head() -> dict[int, UnitFit]:
    """Action units by ARKit's shapes of the packaged head."""
    head = Head.default()
    with torch.no_grad():
        faces = [ActionUnits(**{f"AU{n}": 1 if n == 43 else 5}) for n in AU_NUMBERS]
        moved = (head(au=faces).vertices - head().vertices).numpy().astype(np.float64)
    return fitted(dict(zip(AU_NUMBERS, moved, strict=True)), arkit_shapes(head), np.ones(moved.shape[1]))


def on_ict(folder: Path) -> dict[int, UnitFit]:
    """Action units by ICT-FaceKit's shapes."""
    made = blendshape_head(open_folder(folder))
    template, faces = made.template[:SKIN_AND_NECK], made.faces[(made.faces < SKIN_AND_NECK).all(1)]
    eyes = np.stack([made.template[first : last + 1].mean(0) for first, last in ICT_EYES])
    ours = OurUnits.on(template, faces, eyes, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
    carried = dict(zip(ours.names, ours.fields, strict=True))
    fields = {}
    for number, moves in MOVES.items():
        shares = dict(moves)
        shares |= {f"{stem}Lid": 1.0 for stem in shares if f"{stem}Lid" in LID_PARTS}
        both = [share * carried[f"{stem}{side}"] for stem, share in shares.items() for side in ("Left", "Right")]
        fields[number] = np.sum(both, 0) if both else JAW[number] * ours.opening
    shapes: dict[str, Floats] = {}
    for name, shape in made.units.items():
        stem = name.removesuffix("Left").removesuffix("Right")
        shapes[stem] = shapes.get(stem, 0) + shape[:SKIN_AND_NECK]
    return fitted(fields, shapes, ours.weight)


def row_of(number: int, arkit: UnitFit, ict: UnitFit) -> dict[str, str]:
    """A row of the table."""

    def said(fit: UnitFit, renamed: dict[str, str]) -> str:
        pairs = zip(fit.shapes, fit.coefficients[0], strict=True)
        return " ".join(f"{renamed.get(stem, stem)}={value:.2f}" for stem, value in pairs)

    words = said(arkit, {})
    cells = {
        "au": f"AU{number:02d}", "meaning": FACS_NAMES[number], "arkit": words,
        "arkit_left_over": f"{arkit.share[0]:.3f}", "arkit_residual_mm": f"{arkit.residual_mm[0]:.3f}",
        "mediapipe": "" if set(arkit.shapes) <= NO_MEDIAPIPE else words, "openface": OPENFACE.get(number, ""),
        "ict": said(ict, ICT_OTHER_NAMES), "ict_left_over": f"{ict.share[0]:.3f}",
        "ict_residual_mm": f"{ict.residual_mm[0]:.3f}",
        "flame": "jaw joint" if number in JAW else "expression, fitted by Head.load",
    }  # fmt: skip
    return {column: cells[column] for column in COLUMNS}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ict", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    arkit, ict = on_the_packaged_head(), on_ict(given.ict)
    with given.out.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(row_of(number, arkit[number], ict[number]) for number in AU_NUMBERS)


if __name__ == "__main__":
    main()
