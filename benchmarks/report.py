"""Knows how results are shown: a table and a chart per version, and the speed table of the README. Nothing is typed.

python -m benchmarks.report                            tables and charts beside the results of the newest version
python -m benchmarks.report --readme README.md         and what stands between the README's markers
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.goals import Goal, goals, latest
from benchmarks.implementation import CASES
from benchmarks.limits import device_slug
from benchmarks.schema import read_results

RESULTS = Path(__file__).with_name("results")
EARLIER = RESULTS / "first_gpu_run.json"  # copied by hand from that run's own words: it left no results file
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
TITLES = {
    "deform": "Vertices: shapes and skinning",
    "deform_pairs": "Vertices: identities × expressions, by `deform_pairs`",
    "head": "`pain3d.Head`: people × expressions",
    "visibility": "Visibility: face ids and depth",
    "rasterize": "`rasterize`: face ids, barycentrics and depth",
    "render": "Pictures: textured, shaded, to bytes",
    "small_views": "Small pictures, many",
    "latency": "One picture alone",
    "heatmaps": "Pictures with heatmaps",
    "gradient": "Linear pictures and their gradients, forward and backward",
    "distill": "Distillation: the loss and its gradients",
    "backproject": "Back-projection: five views into a texture",
    "encode": "JPEG",
    "synth": "`pain3d synth`, start to report",
    "synth_device": "`pain3d synth --device`, start to report",
    "paint": "Skin: painted textures with their mip levels",
    "texture": "A texture from five photographs: projected, de-lit, fused, completed",
}
COLUMNS = (
    "| implementation | per second | pain3d is | % of the limit | median (min, iqr) ms | rounds | peak MB | check |"
)
RULE = "|---|---:|---:|---:|---:|---:|---:|---|"
BEST, OURS, PEERS = "#0b7a75", "#7fc4bf", "#b8bec6"
assert TITLES.keys() == CASES.keys()

Row = dict[str, Any]


def newest_version(results: Path) -> Path:
    """The folder of the newest version that has results.

    Raises:
        FileNotFoundError: There is none.
    """
    folders = [folder for folder in results.iterdir() if list(folder.glob("*.json"))] if results.is_dir() else []
    if not folders:
        raise FileNotFoundError(f"no results in {results.name}/: make bench makes them")
    return max(folders, key=lambda folder: [int(part) if part.isdigit() else -1 for part in folder.name.split(".")])


def read_rows(folder: Path) -> list[Row]:
    """All rows of a version's files, in the order of the cases."""
    rows = [row for path in sorted(folder.glob("*.json")) for row in read_results(path)["rows"]]
    order = list(CASES)
    return sorted(rows, key=lambda row: order.index(row["case"]))


def machines(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows by machine, GPUs first: a case's rows are of its latest run there."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["kind"] != "cuda", row["device"], row["threads"]), []).append(row)
    return [groups[key] for key in sorted(groups)]


def contests(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be compared: one case, one size of pictures, as many channels, one batch; the fastest first.

    A slow implementation that was given few pictures takes part at every batch, with the largest of its own that fits.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if "skipped" not in row:
            groups.setdefault((row["case"], row["size"], row["channels"]), []).append(row)
    found = []
    for group in groups.values():
        few = sorted((row for row in group if row["few"]), key=lambda row: row["batch"])
        for batch in sorted({row["batch"] for row in group if not row["few"]} or {few[-1]["batch"]}):
            slow = {row["implementation"]: row for row in few if row["batch"] <= batch}
            same = [row for row in group if not row["few"] and row["batch"] == batch]
            found.append(sorted([*same, *slow.values()], key=lambda row: -row["per_second"]))
    return found


def headlines(rows: Iterable[Row]) -> list[list[Row]]:
    """The contest of the largest size of each case, and of each number of channels."""
    largest: dict[tuple[str, int], list[Row]] = {}
    for contest in contests(rows):
        key = (contest[0]["case"], contest[0]["channels"])
        largest[key] = max(largest.get(key, contest), contest, key=lambda each: _scale(_leader(each)))
    return list(largest.values())


def _scale(row: Row) -> tuple[int, int]:
    return int((row["size"] or "0").partition("x")[0]), row["batch"]


def _leader(contest: Sequence[Row]) -> Row:
    """A row that has the size of the contest."""
    return max(contest, key=lambda row: row["batch"])


def title(contest: Sequence[Row]) -> str:
    """Case, size and batch."""
    row = _leader(contest)
    return f"{TITLES[row['case']]}; {what(row)}"


def heading(rows: Sequence[Row]) -> str:
    """Device, versions, commits and days of rows of one machine."""
    row = rows[0]
    commits = ", ".join(dict.fromkeys(row["commit"][:10] for row in rows))
    days = ", ".join(sorted({row["run"][:10] for row in rows}))
    versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items() if version)
    threads = f", {row['threads']} threads" if row["kind"] == "cpu" else ""
    return f"{row['device']}{threads}; {versions}; commit {commits}; {days}"


def what(row: Row) -> str:
    """Size and batch in words."""
    meshes = f", {row['meshes']:,} heads" if row["size"] and row["meshes"] != row["batch"] else ""
    people = f" of {row['meshes']:,} people" if row["case"] in ("deform_pairs", "head") else ""
    channels = f", {row['channels']} channel{'s' * (row['channels'] > 1)}" if row["channels"] else ""
    size = row["size"].replace("x", " × ")
    unit = row["unit"] if row["batch"] > 1 else {"images": "image", "meshes": "mesh", "people": "person"}[row["unit"]]
    return f"{size + ', ' if size else ''}{row['batch']:,} {unit} a round{people}{meshes}{channels}"


def rate(value: float) -> str:
    """A rate with three digits that mean something."""
    if value >= 100:
        unit = 10 ** (len(str(int(value))) - 3)
        return f"{round(value / unit) * unit:,}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def digits(value: float) -> str:
    """Two digits that mean something, or all before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def factor(value: float) -> str:
    """A ratio: 32×, 2.5×, 0.42×."""
    return f"{value:,.0f}×" if value >= 20 else f"{value:.1f}×" if value >= 2 else f"{value:.2f}×"


def table(rows: Sequence[Row]) -> str:
    """Everything that was measured, and what was not, in Markdown."""
    parts = []
    for run in machines(rows):
        parts += [f"## {heading(run)}", ""]
        measured = [row for row in run if "skipped" not in row]
        if measured:
            copy, matrix = measured[0]["copy_bytes_per_s"], measured[0]["operations_per_s"]
            parts += [f"Limits measured: copy {copy / 1e9:.1f} GB/s, matrix product {matrix / 1e12:.3g} TFLOP/s.", ""]
        for contest in contests(run):
            best = _best_of_ours(contest)
            parts += [f"### {title(contest)}", ""]
            parts += [COLUMNS, RULE]
            parts += [_line(row, best) for row in contest] + [""]
        skipped = [row for row in run if "skipped" in row]
        if skipped:
            reasons: dict[tuple[str, str], list[str]] = {}
            for row in skipped:
                reasons.setdefault((row["implementation"], row["skipped"]), []).append(row["case"])
            parts += ["Not run here:", ""]
            parts += [f"- {name} ({', '.join(cases)}): {why}" for (name, why), cases in reasons.items()] + [""]
    return "\n".join(parts)


def _line(row: Row, best: Row | None) -> str:
    name = f"**{row['implementation']}**" if row["ours"] else row["implementation"]
    if row["antialiased"] is False:
        name += " (not antialiased)"
    against = "" if best is None or row is best else factor(best["per_second"] / row["per_second"])
    percent = "" if row["percent_of_limit"] is None else f"{digits(row['percent_of_limit'])} ({row['bound']})"
    median, least, spread = (digits(1000 * row[name]) for name in ("median_s", "min_s", "iqr_s"))
    peak = "" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 1e6:,.0f}"
    cells = (name, rate(row["per_second"]), against, percent, f"{median} ({least}, {spread})", row["rounds"],
             peak, row["check"])  # fmt: skip
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _best_of_ours(contest: Sequence[Row]) -> Row | None:
    return next((row for row in contest if row["ours"]), None)  # the fastest first


def goals_table(found: Sequence[Goal]) -> str:
    """The goals in Markdown, those of the GPU last."""
    lines = ["| goal | on | what | wanted | measured | % of the limit | met |", "|---|---|---|---:|---:|---:|---|"]
    for goal in found:
        sign = "≥" if goal.least else "≤"
        measured = "" if goal.measured is None else _figure(goal.measured, goal.unit)
        percent = "" if goal.percent_of_limit is None else digits(goal.percent_of_limit)
        wanted = f"{sign} {_figure(goal.wanted, goal.unit)}"
        lines.append(f"| {goal.number} | {goal.kind} | {goal.what} | {wanted} | {measured} | {percent} | {goal.met} |")
    return "\n".join(lines)


def _figure(value: float, unit: str) -> str:
    if unit == "×":
        return factor(value)
    if unit in ("s", "ms"):
        return f"{value:,.1f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
    return f"{value:.1f} %" if unit == "%" else f"{rate(value)} {unit}"


def earlier_table(rows: Sequence[Row]) -> str:
    """The figures of the first run on a GPU beside the latest ones, in Markdown, with where they come from."""
    before = json.loads(EARLIER.read_text(encoding="utf-8"))
    now = latest(rows, "cuda")
    lines = [
        f"Before: {before['device']}, {before['versions']}, commit {before['commit'][:10]}; {before['note']}.",
        f"Now: {heading(now) if now else 'no run on a CUDA device'}. Another card is another limit: compare with care.",
        "",
        "| what | who | before, per second | now | now is |",
        "|---|---|---:|---:|---:|",
    ]
    for old in before["rows"]:
        row = next((row for row in now if "skipped" not in row and _is(row, old)), None)
        found = "not measured | "
        if row is not None:
            found = f"{rate(row['per_second'])} | {factor(row['per_second'] / old['per_second'])}"
        lines.append(f"| {old['what']} | {old['implementation']} | {rate(old['per_second'])} | {found} |")
    return "\n".join(lines)


def _is(row: Row, old: Row) -> bool:
    """Whether a row is that of an earlier figure: the steps of training have no case, and are nobody's here."""
    named = {name: old.get(name) for name in ("case", "implementation", "batch")}
    return all(row[name] == value for name, value in named.items()) and row["channels"] == old.get("channels", 0)


def speed_table(rows: Sequence[Row]) -> str:
    """The README's block: of the latest run on each kind of device, the largest size of each case."""
    parts = []
    for kind in ("cuda", "cpu"):
        run = latest(rows, kind)
        lines = []
        for contest in headlines(run):
            best = _best_of_ours(contest)
            if best is not None:
                others = [
                    f"{_short(row)} {rate(row['per_second'])} ({factor(best['per_second'] / row['per_second'])})"
                    for row in contest
                    if row is not best
                ]
                lines.append(f"| {title(contest)} | {rate(best['per_second'])} | {', '.join(others)} |")
        if lines:
            parts += [f"*{heading(run)}.*", "", "| what | pain3d, per second | others, per second (pain3d is) |"]
            parts += ["|---|---:|---|", *lines, ""]
    return "\n".join(parts).strip()


def _short(row: Row) -> str:
    name = f"pain3d {row['implementation'].removeprefix('pain3d ')}" if row["ours"] else str(row["implementation"])
    return f"{name}, not antialiased," if row["antialiased"] is False else name


def with_block(page: str, block: str) -> str:
    """The page with another block between its markers.

    Raises:
        ValueError: The markers are not there once each, in order.
    """
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        raise ValueError(f"the page must have {BEGIN} and, after it, {END}, once each")
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{rest.split(END)[1]}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bars of one machine: a panel per case, logarithmic; ours in colour, beside a bar how much faster we are."""
    from matplotlib.figure import Figure

    found = headlines(rows)
    heights = [len(contest) for contest in found]
    figure = Figure(figsize=(9, 0.9 + sum(0.26 * height + 0.5 for height in heights)), layout="constrained")
    panels = figure.subplots(len(found), 1, squeeze=False, height_ratios=[height + 0.6 for height in heights])
    for axes, contest in zip(panels[:, 0], found, strict=True):
        best = _best_of_ours(contest)
        values = [row["per_second"] for row in contest]
        colours = [BEST if row is best else OURS if row["ours"] else PEERS for row in contest]
        axes.barh(range(len(contest)), values, color=colours, height=0.72)
        axes.set_yticks(range(len(contest)), [_short(row).rstrip(",") for row in contest])
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 4, max(values) * 8)
        for place, row in enumerate(contest):
            against = "" if best is None or row is best else factor(best["per_second"] / row["per_second"])
            label = f" {rate(row['per_second'])}/s   {against and f'pain3d: {against}'}"
            axes.text(row["per_second"], place, label, va="center", fontsize=9)
        axes.set_title(title(contest).replace("`", ""), loc="left", fontsize=10, fontweight="bold")
        axes.spines[["top", "right", "bottom"]].set_visible(False)
        axes.xaxis.set_visible(False)
        axes.tick_params(labelsize=9, left=False)
    above = "Per second, on a logarithmic scale; more is better."
    figure.suptitle(f"{above}\n{heading(rows)}", fontsize=8, x=0.01, ha="left")
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write table.md and a chart per machine beside the results; print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder that has a folder per version")
    parser.add_argument("--readme", type=Path, help="page whose speed table is to be renewed")
    given = parser.parse_args(arguments)
    try:
        folder = newest_version(given.results)
        if given.readme is not None:
            with_block(given.readme.read_text(encoding="utf-8"), "")
    except (OSError, ValueError) as error:  # said before anything is drawn or written
        parser.error(str(error))
    rows = read_rows(folder)
    pages = [f"# Speed of pain3d {folder.name}", "Made by `benchmarks/report.py` from the JSON files beside it."]
    for here in machines(rows):
        if contests(here):
            row = here[0]
            chart = folder / f"chart--{device_slug(row['kind'], row['device'], row['threads'])}.png"
            draw(here, chart)
            pages.append(f"![{row['device']}: bars of what is below]({chart.name})")
    pages += ["## Goals", goals_table(goals(rows))]
    if latest(rows, "cuda"):
        pages += ["## Against the first run on a GPU", earlier_table(rows)]
    pages.append(table(rows))
    page = "\n\n".join(pages)
    (folder / "table.md").write_text(page + "\n", encoding="utf-8")
    print(page)
    if given.readme is not None:
        text = given.readme.read_text(encoding="utf-8")
        given.readme.write_text(with_block(text, speed_table(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
