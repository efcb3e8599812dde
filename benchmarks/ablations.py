"""Knows which choices of training are compared, from three seeds each with one budget, and draws one table of them.

    python -m benchmarks.ablations DATA RUNS --to docs/training/ablations

DATA is a data set that `pain3d synth` made. Runs that are finished are not run again. Every run has one thread, and
as many run beside each other as there are cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pain3d.files import write_durably
from pain3d.training.evaluation.comparison import comparison_table

SEEDS = (0, 1, 2)
STEPS = 400
BUDGET = ("--steps", str(STEPS), "--validations", "1", "--cache-mb", "1024")
TEACHER = "teacher"
# What is compared: a name, and what it is trained with beside the budget.
ARMS: dict[str, tuple[str, ...]] = {
    TEACHER: ("--task", "teacher"),
    "no neutral": ("--no-neutral",),
    "neutral": ("--fusion", "attention"),
    "no pairs": ("--pair-weight", "0"),
    "difference": (),
    "distilled": ("--task", "distill", "--teacher", "{runs}/teacher-{seed}"),
    "online": ("--online",),
    "siamese": ("--task", "siamese"),
}
CAPTION = f"Mean and standard deviation over {len(SEEDS)} seeds; {STEPS} steps of 64 pictures each, unseen people."


def name_of(arm: str, seed: int) -> str:
    """Folder of a run."""
    return f"{arm.replace(' ', '-')}-{seed}"


def run_one(arm: str, seed: int, data: Path, runs: Path) -> None:
    """Train and evaluate one run, or go on with it; its words go to a log beside it."""
    out = runs / name_of(arm, seed)
    if (out / "evaluation" / "metrics.json").is_file():
        return
    command = [sys.executable, "-m", "pain3d"]
    if (out / "model").is_dir():  # trained, and stopped before it was evaluated
        command += ["evaluate", "--model", str(out)]
    else:
        options = [word.format(runs=runs, seed=seed) for word in ARMS[arm]]
        command += ["train", str(out), "--data", str(data), *BUDGET, *options, "--seed", str(seed)]
    with (runs / f"{out.name}.log").open("w") as log:
        subprocess.run(
            command,
            check=True, cwd=runs, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip


def main() -> None:
    """Run what is missing, then write the table as text, LaTeX and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--beside", type=int, default=os.cpu_count() or 1, help="runs at a time")
    given = parser.parse_args()
    if not (given.data / "manifest.json").is_file():
        parser.error(f"{given.data} is no finished data set of pain3d synth")
    if given.beside < 1:
        parser.error(f"--beside must be at least 1, got {given.beside}")
    given.runs.mkdir(parents=True, exist_ok=True)
    data, runs = given.data.resolve(), given.runs.resolve()
    for wave in ([TEACHER], [arm for arm in ARMS if arm != TEACHER]):  # students need their teachers
        with ThreadPoolExecutor(given.beside) as pool:
            list(pool.map(lambda job: run_one(*job, data, runs), [(arm, seed) for seed in SEEDS for arm in wave]))
    found = {
        arm: [json.loads((runs / name_of(arm, seed) / "evaluation" / "metrics.json").read_text()) for seed in SEEDS]
        for arm in ARMS
    }
    table = comparison_table(list(found.items()))
    given.to.mkdir(parents=True, exist_ok=True)
    write_durably(given.to / "table.txt", f"{CAPTION}\n\n{table.terminal()}".encode())
    write_durably(given.to / "table.tex", table.latex(CAPTION).encode())
    kept = {
        arm: [{name: one[name] for name in ("about", "pspi", "au", "au_mean")} for one in found[arm]] for arm in ARMS
    }
    write_durably(given.to / "metrics.json", (json.dumps(kept, indent=1) + "\n").encode())
    print(table.terminal(), end="")


if __name__ == "__main__":
    main()
