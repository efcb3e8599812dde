"""Knows what others reach on UNBC-McMaster, to stand beside a run on the same pictures of real pain.

Nobody here has seen that archive: the figures are the authors' own, or reckoned from what they published. Protocols
differ, so they are told and never marked as better or worse.
"""

from __future__ import annotations

from typing import Final, NamedTuple

UNBC: Final = "UNBC-McMaster"


class Published(NamedTuple):
    """What somebody reports.

    Attributes:
        name: Of the net.
        protocol: On whom it was tested.
        pearson: r of PSPI; None where it isn't told, as below.
        auroc: At PSPI ≥ 1, 2, 3.
        source: Where it is told.
    """

    name: str
    protocol: str
    pearson: float | None
    auroc: tuple[float | None, float | None, float | None]
    source: str


SOURCE: Final = "3DPain, arXiv 2509.16727"
FIELD: Final = (
    Published("ViT, learned from UNBC alone", "folds of people", 0.28, (0.54, None, None), SOURCE),
    Published("ViT, 3DPain first, then UNBC", "folds of people", 0.44, (0.73, None, None), SOURCE),
    Published("ViTPain, 3DPain first, then UNBC", "folds of people", None, (0.86, None, 0.89), SOURCE),
    Published(
        "CNN that learned to recognise faces first",
        "leave one person out, PSPI squashed to 0–5",
        0.626,
        (0.837, 0.888, 0.915),
        "Wang et al. 2017, arXiv 1702.06925; reckoned over all frames from the predictions that they published",
    ),
)


def published_rows(data: str) -> list[list[str]]:
    """Cells of a table of what others reach on a data set of this name; none where nobody is known."""
    if not data.startswith(UNBC):
        return []
    return [
        [
            one.name,
            one.protocol,
            *("–" if value is None else f"{value:g}" for value in (one.pearson, *one.auroc)),
            one.source,
        ]
        for one in FIELD
    ]
