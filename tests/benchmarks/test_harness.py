"""The harness times who is right, refuses who is wrong, and writes a sound file, here on the smallest of workloads."""

import mmap
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.backends import BACKENDS, Backend
from benchmarks.check import Truth, check, truth_of
from benchmarks.implementation import CASES, UNITS, Round, peers
from benchmarks.limits import Device, device_slug, this_device
from benchmarks.makers import MAKERS
from benchmarks.measure import Memory, WrongAnswerError, commit_of, measure
from benchmarks.sampled import encode_workload, mesh_workload, picture_workload
from benchmarks.schema import SCHEMA, problems, read_results
from benchmarks.workload import Size, Workload

ROOT = Path(__file__).resolve().parents[2]
DEVICE = Device("cpu", "A (R) Processor @ 2 GHz", 2, 10**9, 0, 1e10, {"fp32": 1e11})


class Clock:
    """Stands in for the fixture of pytest-benchmark."""

    def pedantic(self, target: Callable[[], None], rounds: int, warmup_rounds: int, iterations: int) -> None:
        assert iterations == 1
        for _ in range(rounds + warmup_rounds):
            target()
        self.stats = SimpleNamespace(stats=SimpleNamespace(median=0.5, min=0.25, iqr=0.1))


@pytest.fixture(scope="module")
def meshes() -> tuple[Workload, Truth]:
    made = mesh_workload("deform", Size(2))
    return made, truth_of(made)


@pytest.fixture(scope="module")
def pictures() -> tuple[Workload, Truth]:
    made = picture_workload("heatmaps", Size(2, 32, channels=2), texture_size=64)
    return made, truth_of(made)


def ours(name: str) -> Backend:
    return next(implementation for implementation in BACKENDS if implementation.name == name)


def test_a_row_is_sound(meshes: tuple[Workload, Truth]):
    row = measure(Clock(), ours("cpu"), *meshes, DEVICE, seconds=0.01, commit="unknown")
    content = {"schema": SCHEMA, "suite": "deform", "pain3d": "0.1.0", "rows": [row]}
    assert problems(content) == []
    assert row["per_second"] == 2 / 0.5 and row["unit"] == "meshes"
    assert row["percent_of_limit"] == 100 * max(row["bytes"] / 1e10, row["operations"] / 1e11) / 0.5
    assert row["check"].startswith("at most ")


class Wrong(Backend):
    """Answers, but not rightly."""

    def start(self, case: str, workload: Workload) -> Round:
        right = super().start(case, workload)

        def run(number: int) -> Mapping[str, Any]:
            outputs = dict(right(number))
            if "vertices" in outputs:
                outputs["vertices"] = outputs["vertices"] + 2e-5  # metres: twice what may be
            else:
                outputs["image"] = outputs["image"].flip(2)
            return outputs

        return run


def test_a_wrong_answer_is_not_timed(meshes: tuple[Workload, Truth]):
    clock = Clock()
    wrong = Wrong("wrong", "cpu", ("deform",), "cpu", "")
    with pytest.raises(WrongAnswerError, match="wrong, deform at 2: at most 2"):
        measure(clock, wrong, *meshes, DEVICE, commit="unknown")
    assert not hasattr(clock, "stats")


def test_pictures_are_compared(pictures: tuple[Workload, Truth]):
    workload, truth = pictures
    assert 0.1 < truth.coverage < 0.9
    right = ours("cpu").start("heatmaps", workload)(0)
    assert check(ours("cpu"), workload, truth, right).passed
    mirrored = dict(right) | {"image": right["image"].flip(2)}
    for implementation in (ours("cpu"), replace(ours("cpu"), ours=False)):
        assert not check(implementation, workload, truth, mirrored).passed
    assert not check(ours("cpu"), workload, truth, {"image": right["image"]}).passed  # no heat
    assert not check(ours("cpu"), workload, truth, dict(right) | {"attributes": right["attributes"] + 1}).passed
    assert not check(ours("cpu"), workload, truth, dict(right) | {"image": right["image"].float()}).passed
    # A peer shades in its own way: the silhouette counts. Arrays will do.
    darker = {"image": (right["image"].numpy() // 2 + 20), "attributes": right["attributes"].numpy()}
    seen = check(replace(ours("cpu"), ours=False), workload, truth, darker)
    assert "silhouette" in seen.seen and not check(ours("cpu"), workload, truth, darker).passed


def test_visibility_is_compared():
    workload = picture_workload("visibility", Size(1, 32))
    truth = truth_of(workload)
    right = ours("cpu").start("visibility", workload)(0)
    assert check(ours("cpu"), workload, truth, right).passed
    far = {"face_ids": right["face_ids"], "depth": right["depth"] * 1.01}
    shifted = {"face_ids": right["face_ids"].roll(1, 2), "depth": right["depth"]}
    nowhere = {"face_ids": torch.full_like(right["face_ids"], -1), "depth": right["depth"]}
    for answer in (far, shifted, nowhere):
        for implementation in (ours("cpu"), replace(ours("cpu"), ours=False)):
            assert not check(implementation, workload, truth, answer).passed


def test_gradients_are_compared():
    workload = picture_workload("gradient", Size(2, 32), texture_size=64)
    truth = truth_of(workload)
    right = ours("cpu").start("gradient", workload)(0)
    assert right.keys() == set(CASES["gradient"]) and check(ours("cpu"), workload, truth, right).passed
    for name, answer in right.items():
        assert not check(ours("cpu"), workload, truth, {**right, name: 1.2 * answer}).passed
        assert not check(ours("cpu"), workload, truth, {**right, name: answer + torch.nan}).passed
        assert not check(ours("cpu"), workload, truth, {key: right[key] for key in right if key != name}).passed


def test_files_are_compared():
    workload = encode_workload(Size(2, 48), texture_size=64)
    truth = truth_of(workload)
    encoders = [maker for maker in MAKERS if "encode" in maker.cases and maker.why_not("cpu") is None]
    assert encoders
    for encoder in encoders:
        files = encoder.start("encode", workload)(0)["files"]
        encoder.close()
        assert check(encoder, workload, truth, {"files": files}).passed
        assert not check(encoder, workload, truth, {"files": files[::-1]}).passed


def test_implementations_keep_the_protocol():
    everybody = (*BACKENDS, *MAKERS, *peers())
    names = [(implementation.name, case) for implementation in everybody for case in implementation.cases]
    assert len(set(names)) == len(names)
    for implementation in everybody:
        assert set(implementation.cases) <= CASES.keys() and implementation.cases
        assert isinstance(implementation.note, str) and implementation.note
        for device in ("cpu", "cuda"):
            reason = implementation.why_not(device)
            assert reason is None or reason
    assert UNITS.keys() < CASES.keys()


def test_memory_sees_what_was_held():
    memory = Memory("cpu")
    memory.start()
    before = memory.peak()
    if before is None:
        pytest.skip("the system doesn't tell resident sets")
    with mmap.mmap(-1, 64 << 20) as held:  # new pages: an array might get some that the process keeps for its next one
        held.write(b"1" * len(held))
        assert memory.peak() >= before + len(held) // 2


def test_the_limit_is_measured_and_the_device_has_a_name():
    device = this_device("cpu", 0.01)
    assert device.copy_bytes_per_s > 0 and device.operations_per_s["fp32"] > 0 and device.name
    assert device_slug("cpu", "A (R) Processor @ 2 GHz", 2) == "cpu-a-processor-2-threads"
    assert device_slug("cuda", "NVIDIA H100 80GB HBM3", 16) == "nvidia-h100-80gb-hbm3"


def test_without_git_the_commit_is_unknown(tmp_path: Path):
    assert commit_of(tmp_path) == "unknown"


@pytest.mark.slow
def test_a_run_writes_a_sound_file(tmp_path: Path):
    """One case, our two backends, and those that can't run here with their reasons."""
    options = (
        "--scale",
        "tiny",
        "--seconds",
        "0.01",
        "--results",
        str(tmp_path),
        "-k",
        "bench_deform and not pairs and not head",
    )
    command = [sys.executable, "-c", "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"]
    done = subprocess.run(
        [*command, str(ROOT / "benchmarks"), "-q", "-p", "no:cacheprovider", "-c", ROOT / "pyproject.toml", *options],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*/deform--*.json")
    rows = {row["implementation"]: row for row in read_results(path)["rows"]}
    assert rows["reference"]["batch"] == 2 and rows["reference"]["case"] == "deform"
    if not torch.cuda.is_available():
        assert rows["cpu"]["per_second"] > 0
        assert rows["triton"]["skipped"] == "no CUDA device"
