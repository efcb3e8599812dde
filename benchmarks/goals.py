"""Knows the goals: what is compared with what, in one run, and from which ratio on a goal is met.

The numbers are those of the project's design, from 14 on those of the engine on a GPU; 5, 10, 11 and the nets of 12 are
not the harness's to measure. A goal whose implementations did not run is not measured, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.implementation import UNITS

Row = dict[str, Any]

W = "512 x 512, 64 people x 8 views"
F = "512x512"
DATA_SET = 82_500  # pictures of 2,500 people: the size of the data set of arXiv 2509.16727
FLAT = 1.25  # memory beside the outputs may grow by a quarter from 64 to 512 pictures: allocators round up


@dataclass(frozen=True)
class Goal:
    """One line of the table of goals.

    Attributes:
        number: As in the design, with a letter where a goal has several parts.
        kind: Of the device that it is about.
        what: What is wanted, in words.
        wanted: The threshold.
        measured: The figure, or None.
        least: Whether the figure must be at least, rather than at most, the threshold.
        percent_of_limit: Of our row, where there is one.
        reason: Why it was not measured.
        unit: Behind the figures: ``×``, ``images/s``.
    """

    number: str
    kind: str
    what: str
    wanted: float
    measured: float | None
    least: bool
    percent_of_limit: float | None
    reason: str
    unit: str

    @property
    def met(self) -> str:
        """``yes``, ``no`` or ``not measured: …``."""
        if self.measured is None:
            return f"not measured: {self.reason}"
        return "yes" if (self.measured >= self.wanted) == self.least or self.measured == self.wanted else "no"


class Rows:
    """The rows of one run, to be asked for implementations."""

    def __init__(self, rows: Sequence[Row], kind: str) -> None:
        self.kind = kind
        self.rows = [row for row in rows if row["kind"] == kind]

    def find(self, case: str, implementation: str, size: str = "", channels: int = 0) -> Row | None:
        """The row of the largest batch, or None."""
        found = [
            row
            for row in self.rows
            if "skipped" not in row
            and (row["case"], row["implementation"], row["channels"]) == (case, implementation, channels)
            and size in ("", row["size"])
        ]
        return max(found, key=lambda row: row["batch"], default=None)

    def reason(self, case: str, *names: str) -> str:
        """Why one of these has no row."""
        if not self.rows:
            return "no run on a CUDA device" if self.kind == "cuda" else "no run on a CPU"
        for name in names:
            skipped = [r for r in self.rows if "skipped" in r and (r["case"], r["implementation"]) == (case, name)]
            if skipped:
                return f"{name}: {skipped[0]['skipped']}"
            if not any((r["case"], r["implementation"]) == (case, name) for r in self.rows):
                return f"no run of {name}"
        return "no run at this size"

    def ratio(self, number: str, what: str, wanted: float, case: str, ours: str, peer: str, size: str = "") -> Goal:
        """Our rate over a peer's, in the same case at the same size of pictures."""
        mine, theirs = self.find(case, ours, size), self.find(case, peer, size)
        measured = None if mine is None or theirs is None else mine["per_second"] / theirs["per_second"]
        return self._goal(number, what, wanted, measured, mine, self.reason(case, ours, peer), "×")

    def rate(self, number: str, what: str, wanted: float, case: str, ours: str, size: str = "") -> Goal:
        """Our rate itself."""
        mine = self.find(case, ours, size)
        measured = None if mine is None else mine["per_second"]
        return self._goal(number, what, wanted, measured, mine, self.reason(case, ours), f"{_unit(case)}/s")

    def _goal(
        self, number: str, what: str, wanted: float, measured: float | None, mine: Row | None, reason: str, unit: str,
        least: bool = True,
    ) -> Goal:  # fmt: skip
        percent = None if mine is None or measured is None else mine["percent_of_limit"]
        return Goal(number, self.kind, what, wanted, measured, least, percent, reason, unit)

    def memory(
        self,
        number: str,
        what: str,
        wanted: float,
        peer: str,
        case: str = "render",
        ours: str = "triton",
        size: str = F,
    ) -> Goal:
        """A peer's peak memory over ours; of pictures at W."""
        mine, theirs = self.find(case, ours, size), self.find(case, peer, size)
        known = mine is not None and theirs is not None and mine["batch"] == theirs["batch"]
        measured = theirs["peak_bytes"] / mine["peak_bytes"] if known and mine and theirs else None
        return self._goal(number, what, wanted, measured, mine, self.reason(case, ours, peer), "×")

    def flatness(self, number: str, what: str) -> Goal:
        """Memory beside the pictures themselves at the largest batch over that at the smallest."""
        found = [
            r for r in self.rows if "skipped" not in r and (r["case"], r["implementation"]) == ("render", "triton")
        ]
        found = sorted((r for r in found if r["size"] == "512x512"), key=lambda row: row["batch"])
        beside = [row["peak_bytes"] - 3 * 512 * 512 * row["batch"] for row in found]
        measured = beside[-1] / max(1, beside[0]) if len(beside) > 1 else None
        mine = found[-1] if found else None
        return self._goal(number, what, FLAT, measured, mine, self.reason("render", "triton"), "×", least=False)

    def milliseconds(self, number: str, what: str, wanted: float, case: str, ours: str) -> Goal:
        """What one round of ours takes, at most."""
        mine = self.find(case, ours)
        measured = None if mine is None else 1000 * mine["median_s"]
        return self._goal(number, what, wanted, measured, mine, self.reason(case, ours), "ms", least=False)

    def data_set(self, number: str, what: str, wanted: float, case: str, ours: str) -> Goal:
        """Seconds for `DATA_SET` pictures: those of the largest run, and its rate beyond the smallest for the rest."""
        found = [r for r in self.rows if "skipped" not in r and (r["case"], r["implementation"]) == (case, ours)]
        found = sorted(found, key=lambda row: row["batch"])
        measured, mine = None, found[-1] if found else None
        if len(found) > 1 and mine is not None:
            each = (mine["median_s"] - found[0]["median_s"]) / (mine["batch"] - found[0]["batch"])
            measured = mine["median_s"] + (DATA_SET - mine["batch"]) * each
        reason = "no two sizes to tell start-up from pictures" if mine else self.reason(case, ours)
        return self._goal(number, what, wanted, measured, mine, reason, "s", least=False)

    def pairs(self, number: str, what: str, wanted: float) -> Goal:
        """Rate of the factored form over that of the full one."""
        mine, full = self.find("deform_pairs", "triton"), self.find("deform", "triton")
        known = mine is not None and full is not None and mine["run"] == full["run"]
        measured = mine["per_second"] / full["per_second"] if known and mine and full else None
        return self._goal(number, what, wanted, measured, mine, self.reason("deform_pairs", "triton"), "×")

    def heat(self, number: str, what: str, wanted: float, channels: int) -> Goal:
        """What heatmaps cost on top of the picture, percent."""
        mine = self.find("heatmaps", "triton", "512x512", channels)
        picture = self.find("render", "triton", "512x512")
        same = ("batch", "run")
        known = mine is not None and picture is not None and all(mine[name] == picture[name] for name in same)
        measured = 100 * (mine["median_s"] / picture["median_s"] - 1) if known and mine and picture else None
        return self._goal(number, what, wanted, measured, mine, self.reason("heatmaps", "triton"), "%", least=False)


def _unit(case: str) -> str:
    return UNITS.get(case, "images")


def goals(rows: Sequence[Row]) -> list[Goal]:
    """All goals, from the rows of one version's files; within a kind of device only those of its latest run count."""
    cpu, gpu = (Rows(latest(rows, kind), kind) for kind in ("cpu", "cuda"))
    return [
        cpu.ratio("CPU 1", "render, 512 x 512: numba against the torch reference", 10, "render", "cpu", "reference", F),
        cpu.ratio("CPU 2", "against moderngl on llvmpipe, no MSAA", 1.5, "render", "cpu", "moderngl", F),
        cpu.ratio("CPU 3", "against moderngl on llvmpipe, MSAA 4", 2.5, "render", "cpu", "moderngl-msaa4", F),
        cpu.rate("CPU 4", "pain3d synth, 512 x 512, on disk", 80, "synth", "pain3d synth"),
        cpu.rate("13a", "the same, later", 100, "synth", "pain3d synth"),
        cpu.ratio("13b", "render against pyrender", 10, "render", "cpu", "pyrender", F),
        cpu.ratio("13c", "render against llvmpipe with MSAA", 3, "render", "cpu", "moderngl-msaa4", F),
        gpu.ratio("1a", f"visibility, {W}: against nvdiffrast", 3, "visibility", "triton", "nvdiffrast", F),
        gpu.ratio("1b", f"rasterize, {W}: against DRTK", 2, "rasterize", "triton", "drtk", F),
        gpu.ratio("2", f"antialiased bytes, {W}: against nvdiffrast", 4, "render", "triton", "nvdiffrast", F),
        gpu.memory("3a", "peak memory: nvdiffrast's over ours", 5, "nvdiffrast"),
        gpu.flatness("3b", "memory beside the pictures, 512 pictures over 64"),
        gpu.ratio("4a", "224 x 224, 4,096 views: against nvdiffrast", 6, "small_views", "triton", "nvdiffrast"),
        gpu.rate("4b", "the same", 250_000, "small_views", "triton"),
        gpu.ratio("6", "one picture by CUDA graph: against nvdiffrast", 2.5, "latency", "triton-graph", "nvdiffrast"),
        gpu.ratio("7a", "deformation, 4,096 meshes: against smplx-style", 10, "deform", "triton", "smplx-style"),
        gpu.rate("7b", "the same, within 1e-5 m", 7.5e6, "deform", "triton"),
        gpu.rate("7c", "the same in TF32", 20e6, "deform", "triton-tf32"),
        gpu.pairs("8", "identities x expressions against goal 7", 2),
        gpu.heat("9a", "a heatmap on top of the picture costs", 10, 1),
        gpu.heat("9b", "twelve heatmaps, float32, cost", 10, 12),
        gpu.ratio("12a", "distillation, ViT-B: loss and gradients, eager", 2.5, "distill", "triton", "reference"),
        gpu.memory("12b", "the same, peak memory: eager over ours", 3, "reference", "distill", "triton-in-place", ""),
        gpu.ratio("12c", "the same against torch.compile", 4, "distill", "triton", "compiled"),
        gpu.rate("14a", f"antialiased bytes, {W}", 80_000, "render", "triton", F),
        gpu.ratio("14b", "the same against nvdiffrast's bare chain", 3, "render", "triton", "nvdiffrast-bare", F),
        gpu.rate("14c", "identities x expressions", 20e6, "deform_pairs", "triton"),
        gpu.milliseconds("14d", "one picture through the plain call", 0.5, "latency", "triton"),
        gpu.data_set("14e", f"{DATA_SET:,} pictures on disk", 60, "synth_device", "pain3d synth --device cuda"),
    ]  # fmt: skip


def latest(rows: Sequence[Row], kind: str) -> list[Row]:
    """The rows of a kind of device, on the machine of its latest run that made pictures: each case's latest run there.

    A run on a GPU machine brings rows of its CPU too (encode, synth); they don't stand for the CPU. Ratios are taken
    within one run: those of a case are, and what compares two cases looks.
    """
    of_kind = sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["run"])
    if not of_kind:
        return []
    newest = ([row for row in of_kind if row["case"] == "render"] or of_kind)[-1]
    here = [row for row in of_kind if all(row[name] == newest[name] for name in ("device", "threads"))]
    last = {row["case"]: row["run"] for row in here}
    return [row for row in rows if row in here and row["run"] == last[row["case"]]]
