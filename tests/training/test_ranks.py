"""Ranks of torchrun share each batch of a training: the curve is that of one process, killed and resumed too."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pain3d.console.refused import RefusedError
from pain3d.training.data.augmentation import Augmentation, augment
from pain3d.training.data.batch import Batch
from pain3d.training.data.batches import Batches
from pain3d.training.data.store import CropStore
from pain3d.training.run import pick_device
from tests.conftest import Ran
from tests.training.made_samples import made_samples

ROOT = Path(__file__).parents[2]
TINY = (
    "--image-size", "32", "--depth", "1", "--width", "32", "--heads", "2", "--batch", "8", "--group", "2",
    "--validations", "2", "--no-evaluate", "--dropout", "0", "--pain-weight", "2", "--device", "cpu",
    "--precision", "fp32", "--checkpoint-seconds", "1",
)  # fmt: skip
PLAIN = ("--steps", "60", "--no-conv-stem")  # no batch norms
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
# Relative, of a mean loss over 20 steps; fp32. Sums over a batch and over gradients go in another order, and AdamW
# divides by the root of what it summed: worst seen 2e-8 (in bfloat16 1.5e-4).
BOUND = 1e-6
# With batch norms, whose statistics count a neutral picture once more where both ranks are compared with it: seen 3e-3
# by attention. A difference of features, multiplied before it is read, makes 4e-2 of the same in 40 steps.
NORMED = 1e-2


def started(run: Path, faces: Path, *options: str, ranks: bool) -> subprocess.Popen:
    launcher = TORCHRUN if ranks else ()
    command = [sys.executable, *launcher, "-m", "pain3d", "train", str(run), "--data", str(faces), *TINY, *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def done(process: subprocess.Popen) -> None:
    _, said = process.communicate()
    assert process.returncode == 0, said


def losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["kind"] == "train"]


@pytest.fixture(scope="module")
def alone(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two ranks that were left alone; not to be changed."""
    run = tmp_path_factory.mktemp("ranks") / "alone"
    done(started(run, faces, *PLAIN, ranks=True))
    return run


def assert_one_curve(one: Path, two: Path, bound: float) -> None:
    assert len(losses(one)) > 1 and losses(two) == pytest.approx(losses(one), rel=bound)
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())


@pytest.mark.slow
def test_two_ranks_learn_as_one(faces: Path, alone: Path, tmp_path: Path) -> None:
    done(started(tmp_path / "one", faces, *PLAIN, ranks=False))
    assert_one_curve(tmp_path / "one", alone, BOUND)


@pytest.mark.slow
def test_two_ranks_with_batch_norms_learn_nearly_as_one(faces: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for run, ranks in ((one, False), (two, True)):
        done(started(run, faces, "--steps", "40", "--fusion", "attention", ranks=ranks))
    assert_one_curve(one, two, NORMED)


@pytest.mark.slow
def test_two_ranks_that_were_killed_go_on(faces: Path, alone: Path, tmp_path: Path) -> None:
    """Ended in the middle of a step, by the launcher: weights and curve are those of two left alone, in every bit."""
    killed = tmp_path / "killed"
    process = started(killed, faces, *PLAIN, ranks=True)
    while not (killed / "checkpoint.safetensors").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.terminate()  # the launcher hands SIGTERM on, which nobody here catches
    process.communicate()
    assert process.returncode
    assert not (killed / "model").exists()
    done(started(killed, faces, *PLAIN, ranks=True))
    first, second = (load_file(run / "model" / "model.safetensors") for run in (alone, killed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert losses(alone) == losses(killed)


@pytest.mark.parametrize("neutral", [True, False])
def test_shares_are_the_batch(neutral: bool) -> None:
    """What two ranks see is what one sees, bit for bit: nothing that is drawn knows of the split."""
    samples = made_samples([5, 4, 7, 3, 6], 2)
    strength = Augmentation(blur=0.5, erase=0.5)

    def seen(step: int, **whose: int) -> Batch:
        batches = Batches(
            CropStore(samples, 48), np.arange(len(samples)), size=16, group=2, num_references=2, neutral=neutral,
            seed=3, **whose,
        )  # fmt: skip
        return augment(batches(step), 32, 0, step, "cpu", strength)

    for step in range(3):
        whole = seen(step)
        parts = [seen(step, rank=rank, ranks=2) for rank in range(2)]
        assert torch.equal(whole.image, torch.cat([part.image for part in parts]))
        assert torch.equal(whole.labels.sides, torch.cat([part.labels.sides for part in parts]))
        if neutral:
            known = [part.neutral[part.neutral_of] for part in parts]
            assert torch.equal(whole.neutral[whole.neutral_of], torch.cat(known))


def test_groups_that_ranks_cannot_share_are_refused() -> None:
    samples = made_samples([5, 4], 2)
    with pytest.raises(RefusedError, match="a batch of 3 groups can't be shared by 2 ranks"):
        Batches(CropStore(samples, 48), np.arange(9), size=6, group=2, neutral=False, seed=0, rank=0, ranks=2)


@pytest.mark.parametrize(
    ("environment", "options", "message"),
    [
        ({"WORLD_SIZE": "2"}, [], "WORLD_SIZE is 2, but RANK is not set: start ranks with torchrun, or unset it"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost",
             "MASTER_PORT": "1"},
            ["--task", "siamese"],
            "--task siamese: a small net, it learns in one process, not in 2",
        ),
    ],
)  # fmt: skip
def test_ranks_that_cannot_be_take_one_line(
    pain3d, faces: Path, tmp_path: Path, monkeypatch, environment: dict[str, str], options: list[str], message: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ran: Ran = pain3d("train", tmp_path / "run", "--data", faces, *options)
    assert ran.code == 2 and message in ran.err and ran.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_more_ranks_than_devices_are_refused(monkeypatch) -> None:
    from pain3d.ranks import Ranks

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("auto") == torch.device("cuda")
    with pytest.raises(RefusedError, match="2 ranks on this machine, torch sees 1 CUDA devices"):
        pick_device("auto", Ranks(1, 2, 1, 2))
