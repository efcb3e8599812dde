"""Knows the data card: the README that tells people what the data set is, and ``datasets`` how to load it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2

from pain3d.records import COLUMNS, LICENCE, SPLITS, columns_of, has_pictures, row_licence

MEANINGS: Final = {
    "frames": "one row per view of an expression: image, heatmap, labels, camera, landmarks, scene",
    "pairs": "one row per pain frame, with the neutral image of that person and view, with labels and cameras",
    "expressions": "one row per expression: labels and the heatmap from the front",
    "identities": "one row per identity: generator axes, a neutral image and the neutral mesh",
}
# The hub's own size classes: upper bound in rows.
SIZES: Final = (
    ("n<1K", 1_000), ("1K<n<10K", 10_000), ("10K<n<100K", 100_000), ("100K<n<1M", 1_000_000), ("1M<n<10M", 10_000_000),
)  # fmt: skip


class Painter(NamedTuple):
    """Who painted textures of a data set: as rows say it; empty texts are procedural skin."""

    model: str
    model_hash: str
    licence: str


class ImagesPainted(NamedTuple):
    """How many images of a data set were painted over and kept, and how many have painted backgrounds."""

    refined: int
    behind: int


def make_card(
    resolved: Mapping[str, Any],
    counts: Mapping[str, Mapping[str, int]],
    painters: Mapping[Painter, int],
    painted: ImagesPainted,
    licences: Sequence[str],
) -> str:
    """Write the card.

    Args:
        resolved: The resolved configuration.
        counts: Rows per subset and split; a split without rows is left out of the card, so that the rest still loads.
        painters: Whose textures how many identities have.
        painted: In how many images somebody painted.
        licences: Of the images.

    Returns:
        Markdown with a YAML head.
    """
    images = sum(counts["frames"].values())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown of our own words and numbers only
    )
    return environment.get_template("README.md.j2").render(
        resolved=resolved,
        counts=counts,
        splits=[split for split in SPLITS if counts["frames"].get(split)],
        images=images,
        size_class=next((name for name, least in SIZES if images < least), "10M<n<100M"),
        licence=LICENCE,
        painters={painter: people for painter, people in painters.items() if painter.model},
        licences=licences,
        people_without=sum(people for painter, people in painters.items() if not painter.model),
        row_licence=row_licence,
        painted=painted,
        meanings=MEANINGS,
        pictured=has_pictures(resolved),
        columns={subset: columns_of(subset, resolved["dense"]) for subset in COLUMNS},
    )
