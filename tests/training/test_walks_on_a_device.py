"""Every command that learns runs on a CUDA device that isn't there: what mixes devices fails here, without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WALKS = (
    "train vitpain", "train teacher", "train siamese", "train distill", "train ema", "train separate", "evaluate",
    "score", "export", "online batches", "train online",
)  # fmt: skip
PLANTED = ("planted in training", "planted in score", "planted in online batches")


def walked(faces: Path, out: Path, names: tuple[str, ...]) -> dict[str, dict]:
    """How each walk ended, by name."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.walks", str(faces), str(out), *names],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["walk"]: line for line in lines}


@pytest.fixture(scope="module")
def seen(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    return walked(faces, tmp_path_factory.mktemp("walks") / "runs", (*WALKS, *PLANTED))


@pytest.mark.slow
@pytest.mark.parametrize("name", WALKS)
def test_no_command_mixes_devices(name: str, seen: dict[str, dict]) -> None:
    assert seen[name]["error"] is None, seen[name]["error"]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mixing_is_seen(name: str, seen: dict[str, dict]) -> None:
    assert "Expected all tensors to be on the same device" in seen[name]["error"]


@pytest.mark.slow
def test_distillation_is_a_kernel_there(seen: dict[str, dict]) -> None:
    assert any(name.startswith("launch _distill") for name in seen["train distill"]["waits"])


@pytest.mark.slow
def test_online_training_renders_there(seen: dict[str, dict]) -> None:
    launched = {name.removeprefix("launch ") for name in seen["train online"]["waits"]}
    assert launched >= {"_deform", "resolve_kernel", "_develop", "_join"}


@pytest.mark.slow
def test_nothing_outlives_online_training(seen: dict[str, dict]) -> None:
    assert seen["train online"]["left"] == []
