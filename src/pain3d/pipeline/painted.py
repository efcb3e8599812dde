"""Knows what rows say of those who painted in their pictures: skin, what stands behind a head, over everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.records import BACKGROUND_COLUMNS, REFINED_COLUMNS, TEXTURE_COLUMNS, row_licence

if TYPE_CHECKING:
    from pain3d.pipeline.texture.painter import Origin
    from pain3d.rendering.scene_inputs import SceneInputs

Row = dict[str, Any]
NOT_REFINED: Final[Row] = {"refined": False, **dict.fromkeys(REFINED_COLUMNS[1:-1], ""), "refine_seed": -1}
NOT_BEHIND: Final[Row] = {**dict.fromkeys(BACKGROUND_COLUMNS, ""), "background_seed": -1}


def texture_columns(place: Path | None) -> Row:
    """What a row with a picture says of the texture in a folder; None is procedural skin."""
    if place is None:
        painted: Row = dict.fromkeys(TEXTURE_COLUMNS, "") | {"texture_seed": -1}
    else:
        from pain3d.pipeline.texture.bank import read_entry

        entry = read_entry(place)
        painted = {
            "texture": place.name,
            "texture_model": entry.model,
            "texture_model_hash": entry.model_hash,
            "texture_licence": entry.licence,
            "texture_prompt": entry.prompt,
            "texture_seed": entry.seed,
            "texture_scheduler": entry.scheduler,
        }
    return painted | {"licence": row_licence(painted["texture_licence"])}


@dataclass(frozen=True)
class PaintedOver:
    """Whoever painted over pictures of one identity, as rows say it, and over which.

    Attributes:
        model: Of the `Origin`; so are model_hash, licence and scheduler.
        model_hash: See model.
        licence: See model.
        scheduler: See model.
        prompt: What was asked for.
        seed: Of the painting over.
        kept: [B] whether the picture is the painter's.
    """

    model: str
    model_hash: str
    licence: str
    scheduler: str
    prompt: str
    seed: int
    kept: npt.NDArray[np.bool_]

    def columns(self, refined: bool) -> Row:
        """What a row says, whose image is the painter's or not."""
        if not refined:
            return NOT_REFINED
        said = {f"refine_{name}": value for name, value in vars(self).items() if name != "kept"}
        return {"refined": True, **said}


@dataclass(frozen=True)
class PaintedBehind:
    """Whoever painted what stands behind one identity, as rows say it.

    Attributes:
        origin: Who.
        asked: View → what was asked for, and the seed.
    """

    origin: Origin
    asked: Mapping[int, tuple[str, int]]

    def columns(self, view: int) -> Row:
        """What a row says whose image shows a view."""
        prompt, seed = self.asked[view]
        said = {**asdict(self.origin), "prompt": prompt, "seed": seed}
        return {f"background_{name}": value for name, value in said.items()}


@dataclass(frozen=True)
class Decorated:
    """One identity with what stands behind it.

    Attributes:
        inputs: To be rendered.
        behind: Who painted it; None is nobody.
        fault: Why nobody did who was asked to; empty where nothing is wrong.
    """

    inputs: SceneInputs
    behind: PaintedBehind | None = None
    fault: str = ""


def painted_columns(
    shown: Sequence[Sequence[tuple[int, int]]],
    texture_licence: str,
    place_licences: Sequence[str],
    behind: PaintedBehind | None,
    over: PaintedOver | None,
) -> dict[str, list[Any]]:
    """What rows say of who painted behind heads and over images, and their licences, by column.

    Args:
        shown: The pictures of each row, the image first: their places in `over`, and their views.
        texture_licence: Of who painted the skin; empty where it is procedural.
        place_licences: Of the own place that lights each picture; empty where none does.
        behind: Who painted what stands behind; None is nobody.
        over: Who painted over pictures; None is nobody.
    """
    kept = [[over is not None and bool(over.kept[place]) for place, _ in row] for row in shown]
    said = [
        (NOT_REFINED if over is None else over.columns(own))
        | (NOT_BEHIND if behind is None else behind.columns(row[0][1]))
        for (own, *_), row in zip(kept, shown, strict=True)
    ]
    found = {name: [row[name] for row in said] for name in (*NOT_REFINED, *NOT_BEHIND)}
    found["neutral_refined"] = [row[-1] for row in kept]
    licence_behind = "" if behind is None else behind.origin.licence
    licences = ["" if over is None or not any(row) else over.licence for row in kept]
    lit = [[place_licences[place] for place, _ in row] for row in shown]
    every = zip(licences, lit, strict=True)
    return found | {"licence": [row_licence(texture_licence, licence_behind, over, *own) for over, own in every]}
