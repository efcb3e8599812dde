"""Knows the report: one HTML page, with nothing loaded from elsewhere, of what a data set holds."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pain3d import figures
from pain3d.console.page import html_page
from pain3d.doors.pictures import decode_heatmap
from pain3d.encoding import encode_image
from pain3d.facs.action_units import AU_COLUMNS, FACS_NAMES, parse_name
from pain3d.pipeline.card import ImagesPainted
from pain3d.pipeline.contact_sheet import decode, farthest, fit, hot
from pain3d.pipeline.data_set import Columns, DataSet
from pain3d.records import SPLITS, SUBSETS

LABELS = (
    "identity_id", "split", "neutral", "PSPI", "age_group", "sex", "ancestry", "skin_ita_degrees", *AU_COLUMNS,
)  # fmt: skip
VIEWS = ("yaw_degrees", "pitch_degrees")
SAMPLES = 3  # identities shown; with their views the page stays under 1 MB
SAMPLE_PIXELS = 224
SAMPLE_QUALITY = 88
MAX_POINTS = 1500  # of the pose plot; more only makes a blot
# Del Bino's classes of the individual typology angle, lower bound in degrees.
ITA_CLASSES = (("very light", 55.0), ("light", 41.0), ("intermediate", 28.0), ("tan", 10.0), ("brown", -30.0))
Counts = Mapping[str, Mapping[str, int]]


def make_report(data: DataSet, counts: Counts, painted: ImagesPainted) -> str:
    """Write the page.

    Args:
        data: The data set; what its folder is called has no part in the page.
        counts: Rows per subset and split.
        painted: In how many images somebody painted.

    Returns:
        The HTML text.
    """
    labels, views = data.columns("expressions", LABELS), data.columns("frames", VIEWS)
    pain = [row for row, neutral in enumerate(labels["neutral"]) if not neutral]
    people = first_rows(labels["identity_id"])
    return html_page(
        Path(__file__).parent / "templates" / "report.html.j2",
        resolved=data.resolved,
        counts=counts,
        painted=painted,
        splits=[split for split in SPLITS if counts["frames"].get(split)],
        subsets=SUBSETS,
        images=sum(counts["frames"].values()),
        identities=len(people),
        pain_expressions=len(pain),
        pspi_chart=_pspi_chart([labels["PSPI"][row] for row in pain]),
        au_chart=_au_chart(labels, pain),
        demographic_charts=_demographic_charts(labels, people),
        pose_chart=_pose_chart(views),
        skin_chart=_skin_chart([labels["skin_ita_degrees"][row] for row in people]),
        samples=_samples(data),
    )


def first_rows(numbers: Sequence[int]) -> list[int]:
    """Row at which each number is seen first."""
    return list({number: row for row, number in reversed(list(enumerate(numbers)))}.values())[::-1]


def _pspi_chart(scores: Sequence[float]) -> str:
    counted = Counter(round(score) for score in scores)
    return figures.bars([str(s) for s in range(17)], [counted[s] for s in range(17)], "PSPI", "pain expressions", 290)


def _au_chart(labels: Columns, pain: Sequence[int]) -> str:
    shown = [name for name in AU_COLUMNS if any(labels[name])]
    shares, tips = [], []
    for name in shown:
        strongest = 5 if name == "AU43" else 1  # AU43 is there or not: drawn as the strongest
        counted = Counter(round(labels[name][row]) * strongest for row in pain)
        shares.append([counted[level] / len(pain) for level in range(6)])
        meaning = FACS_NAMES[parse_name(name)[0]]
        tips.append([f"{name} {meaning}, intensity {level}: {share:.0%}" for level, share in enumerate(shares[-1])])
    return figures.stacked_bars(shown, shares, tips, "share of pain expressions")


def _demographic_charts(labels: Columns, people: Sequence[int]) -> list[str]:
    counted = Counter((labels["sex"][row], labels["ancestry"][row], labels["age_group"][row]) for row in people)
    ancestries = sorted({ancestry for _, ancestry, _ in counted})
    ages = sorted({age for _, _, age in counted})
    return [
        figures.count_grid(
            ancestries, ages, [[counted[sex, ancestry, age] for age in ages] for ancestry in ancestries], sex
        )
        for sex in sorted({sex for sex, _, _ in counted})
    ]


def _pose_chart(views: Columns) -> str:
    yaw, pitch = views["yaw_degrees"], views["pitch_degrees"]
    step = max(1, len(yaw) // MAX_POINTS)
    most = [max(15.0, 15.0 * -(-max((abs(v) for v in values), default=0) // 15)) for values in (yaw, pitch)]
    ticks = [[share * end for share in (-1, -0.5, 0, 0.5, 1)] for end in most]
    spans = ((-most[0], most[0]), (-most[1], most[1]))
    return figures.scatter(yaw[::step], pitch[::step], ("yaw", "pitch"), spans, ticks=(ticks[0], ticks[1]), unit="°")


def _skin_chart(angles: Sequence[float]) -> str:
    names = [*(name for name, _ in ITA_CLASSES), "dark"]
    counted = Counter(next((name for name, least in ITA_CLASSES if angle > least), "dark") for angle in angles)
    return figures.bars(names, [counted[name] for name in names], "measured skin tone (ITA)", "identities", 200)


def _samples(data: DataSet) -> list[list[tuple[str, str]]]:
    """Lines of (caption, data URI): for each of a few identities its strongest pain from every view, and heatmaps."""
    wanted = (
        "identity_id", "expression_id", "view_id", "PSPI", "image", "heatmap", "heatmap_unit_mm", "age_group", "sex",
        "ancestry",
    )  # fmt: skip
    lines = []
    for rows in data.first_identities("frames", wanted, SAMPLES):
        worst = max(rows, key=lambda row: (row["PSPI"], -row["expression_id"]))["expression_id"]
        line = [("neutral", _picture(decode(rows[0]["image"]["bytes"], SAMPLE_PIXELS)))]
        for row in [row for row in rows if row["expression_id"] == worst][:3]:
            heat = decode_heatmap(row["heatmap"]["bytes"])
            line.append(
                (f"PSPI {row['PSPI']:g}, view {row['view_id']}", _picture(decode(row["image"]["bytes"], SAMPLE_PIXELS)))
            )
            line.append((farthest(heat, row["heatmap_unit_mm"]), _picture(hot(heat))))
        lines.append(line)
    return lines


def _picture(pixels: Any) -> str:
    encoded = encode_image(fit(pixels, SAMPLE_PIXELS), SAMPLE_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"
