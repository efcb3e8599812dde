"""The loop: a run that is killed goes on as if it had not been; rates, averages and groups of the optimiser."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pain3d.console.refused import RefusedError
from pain3d.files import lock_folder
from pain3d.training.config import preset
from pain3d.training.loop import MovingAverage, TrainingJob, learn, lr_at, make_optimiser
from pain3d.training.run import train
from pain3d.training.task import make_task
from tests.conftest import Ran

TINY = {
    "image_size": 32, "depth": 1, "width": 32, "heads": 2, "batch": 8, "group": 2, "steps": 12, "validations": 3,
    "checkpoint_seconds": 1,
}  # fmt: skip
OPTIONS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_kills_in_the_middle_change_no_bit(faces: Path, tmp_path: Path) -> None:
    """SIGKILL, twice, as soon as there is a newer checkpoint: weights and loss curve are those of a run left alone."""
    options = [*OPTIONS, "--steps", "120", "--no-evaluate"]
    alone, killed = tmp_path / "alone", tmp_path / "killed"

    def start(run: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "pain3d", "train", str(run), "--data", str(faces), *options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # more of them wait for each other where others run
        return subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, env=environment)

    assert start(alone).wait() == 0
    seen = 0
    for _ in range(2):
        process = start(killed)
        checkpoint = killed / "checkpoint.safetensors"
        while not (checkpoint.exists() and checkpoint.stat().st_mtime_ns > seen):
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.02)
        seen = checkpoint.stat().st_mtime_ns
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (killed / "model").exists()
    assert start(killed).wait() == 0
    first, second = weights(alone), weights(killed)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert lines(alone) == lines(killed)


def test_rates_rise_then_fall() -> None:
    config = dataclasses.replace(preset("tiny", "vitpain"), steps=1000, warmup_steps=100, min_lr=1e-6)
    rates = [lr_at(step, config, 1e-3) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5, rel=0.01)
    assert max(rates) == max(rates[95:105])
    assert all(a > b for a, b in pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(1e-6, rel=0.01)


@pytest.mark.parametrize("name", ["vitpain", "teacher", "siamese"])
def test_every_weight_that_trains_is_in_the_optimiser(name: str) -> None:
    small = {} if name == "siamese" else {"image_size": 32, "depth": 1, "width": 32, "heads": 2}
    task = make_task(name, dataclasses.replace(preset("tiny", name), **small))
    held = {id(p) for group in make_optimiser(task.model, task.config).param_groups for p in group["params"]}
    assert held == {id(p) for p in task.model.parameters() if p.requires_grad}


def test_the_average_moves_towards_the_model() -> None:
    average, model = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    torch.nn.init.constant_(model.weight, 3.0)
    model.num_batches_tracked.fill_(7)
    MovingAverage(average, model).update(0.75)
    assert torch.equal(average.weight, torch.tensor([1.5, 1.5]))
    assert average.num_batches_tracked == 7


def test_a_finished_run_is_left_as_it_is_and_another_is_refused(faces: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(preset("tiny", "vitpain"), **{**TINY, "steps": 2, "validations": 0})
    run = tmp_path / "run"
    train(run, faces, "vitpain", config, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert train(run, faces, "vitpain", config, quiet=True) is None
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    with pytest.raises(RefusedError, match="holds another run \\(seed 0 -> 1\\)"):
        train(run, faces, "vitpain", dataclasses.replace(config, seed=1), quiet=True)
    resolved = run / "config.resolved.yaml"
    resolved.write_text(resolved.read_text().replace("format: 2", "format: 1").replace("lr:", "rate:"))
    with pytest.raises(RefusedError, match="format 1, of another pain3d; this one reads 2"):
        train(run, faces, "vitpain", config, quiet=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "huge"], "--preset must be one of tiny, small, base, paper, got 'huge'"),
        (["--task", "v5"], "--task must be one of vitpain, teacher, distill, siamese, got 'v5'"),
        (["--task", "v4"], "pain3d: --task v4 is now --task vitpain"),
        (["--steps", "3", "--last-rate", "1e-6"], "pain3d: --last-rate is now --min-lr"),
        (["--stpes", "3"], "unknown option --stpes, did you mean --steps?"),
        (["--batch", "6", "--group", "4"], "batch must be a multiple of group, got 6 and 4"),
        (["--lr", "nan"], "lr must be a number from 0 to 10, got nan"),
        (["--task", "distill"], "--task distill needs --teacher RUN, a run of --task teacher"),
        (["--task", "distill", "--teacher", "nowhere"], "nowhere/model: no such folder of a model"),
        (["--preset", "base"], "lora_rank freezes the backbone, and weights are random"),
        (["--people", "100"], "people: 100 asked for, faces has 4 to learn from"),
        (["--folds", "9", "--fold", "0"], "9"),
        (["--device", "cuda"], "--device cuda: torch sees no CUDA device"),
    ],
)
def test_bad_settings_take_one_line(
    pain3d: Callable[..., Ran], faces: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    ran = pain3d("train", tmp_path / "run", "--data", faces, *options)
    assert ran.code == 2
    assert message in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_train_without_data_takes_one_line(pain3d: Callable[..., Ran], tmp_path: Path) -> None:
    assert pain3d("train", tmp_path / "run").err == "pain3d: --data DIR is missing: the data set to learn from\n"
    ran = pain3d("train", tmp_path / "run", "--data", tmp_path / "none")
    assert ran.code == 2 and str(tmp_path / "none") in ran.err and ran.err.count("\n") == 1


def test_two_runs_in_one_folder_are_refused(pain3d: Callable[..., Ran], faces: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lock = lock_folder(tmp_path / "run")
    ran = pain3d("train", tmp_path / "run", "--data", faces, *OPTIONS)
    os.close(lock)
    assert ran.code == 2
    assert ran.err == f"pain3d: {tmp_path / 'run'}: another run is writing into it\n"


@pytest.mark.parametrize("validated", [True, False])
def test_any_module_learns_without_a_folder(validated: bool) -> None:
    """A line through points: no task, no images, nothing on the disk; what is left is the best average."""
    config = dataclasses.replace(preset("tiny", "vitpain"), steps=40, batch=4, validations=4, precision="fp32", lr=0.1)
    points = torch.linspace(-1, 1, 8)[:, None]
    figures: list[float] = []

    def loss(model: torch.nn.Module, batch: torch.Tensor, ema: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {"loss": (model(batch) - 3 * batch).square().mean()}

    def validate(model: torch.nn.Module) -> dict[str, float]:
        figures.append(-float(len(figures)))  # the first is the best
        weights_then.append(model.weight.clone())
        return {"score": figures[-1]}

    weights_then: list[torch.Tensor] = []
    model = torch.nn.Linear(1, 1)
    job = TrainingJob(
        model, loss, load=lambda step: points, augment=lambda batch, step: batch, config=config,
        validate=validate if validated else None, quiet=True,
    )  # fmt: skip
    before = loss(model, points, model)["loss"].item()
    learned = learn(job)
    assert loss(model, points, model)["loss"].item() < before / 2
    assert learned.steps == 40 and isinstance(learned.model, torch.nn.Linear)
    assert learned.best == ({"score": 0.0} if validated else {})
    if validated:
        assert len(weights_then) == 4
        assert torch.equal(learned.model.weight, weights_then[0]) and not torch.equal(*weights_then[::3])
