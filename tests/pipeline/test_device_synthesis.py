"""Identities made on a device: what the CPU makes, whatever is beside each other there; and devices that fail.

Without a GPU Triton's interpreter runs the kernels, which takes minutes. Where the kernels aren't the question, those
of the CPU stand in for them.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pain3d.pipeline import device_synthesis, run
from pain3d.pipeline.config import settled
from pain3d.pipeline.device_synthesis import DeviceBatches
from pain3d.pipeline.run import synthesise
from pain3d.rendering import encoded as written
from pain3d.rendering import frames
from tests.conftest import SMALL_OPTIONS, Ran
from tests.pipeline.conftest import SMALL, hashes

Run = Callable[..., Ran]
ON_DEVICE = (*SMALL_OPTIONS, "--device", "cuda")
TINY = replace(SMALL, identities=2, expressions=1, views=1, size=16)
# Measured where vertices are: they differ from the CPU's by roundings. The largest seen in the interpreter; on a GPU
# sums are rounded in another order.
TOLERANCES = {
    "landmarks_2d": 2e-3, "landmarks_3d": 5e-6, "bbox": 2e-3, "coverage": 5e-3, "neutral_vertices": 5e-6,
    "skin_ita_degrees": 0.1,
}  # fmt: skip


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels of the CPU answer, as the device."""
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    monkeypatch.setattr(DeviceBatches, "_on_device", lambda self: nullcontext())
    monkeypatch.setattr(run, "_as_run", settled)  # they draw ribbons too


def rows(out: Path, subset: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted((out / "data" / subset).iterdir()):
        found += pq.read_table(path).to_pylist()
    return found


def assert_same_but_for_roundings(out: Path, other: Path, encoded: Mapping[bytes, np.ndarray[Any, Any]]) -> None:
    """Labels bit by bit; what is measured within its tolerance; 99.9 % of the bytes within a level.

    encoded: What files were made of, where JPEG would make of one level in a byte several levels of a block.
    """

    def pixels(file: bytes) -> np.ndarray[Any, Any]:
        return (encoded[file] if file in encoded else np.asarray(Image.open(io.BytesIO(file)))).astype(int)

    beyond, total = 0, 0
    for subset in ("frames", "pairs", "expressions", "identities"):
        for one, two in zip(rows(out, subset), rows(other, subset), strict=True):
            assert one.keys() == two.keys()
            for name in one.keys() - {"config_hash"}:
                if isinstance(one[name], dict):
                    assert one[name]["path"] == two[name]["path"]
                    a, b = (pixels(row[name]["bytes"]) for row in (one, two))
                    beyond, total = beyond + (np.abs(a - b) > 1).sum(), total + a.size
                elif (kind := name if name in TOLERANCES else name.removeprefix("neutral_")) in TOLERANCES:
                    np.testing.assert_allclose(one[name], two[name], rtol=0, atol=TOLERANCES[kind])
                else:
                    assert one[name] == two[name], name
    assert beyond <= 1e-3 * total, f"{beyond} of {total} bytes differ by more than a level"


@pytest.mark.slow
def test_a_device_makes_what_the_cpu_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the interpreter, of two people beside each other: a minute and a half of a core."""
    encoded: dict[bytes, np.ndarray[Any, Any]] = {}

    def kept(encode: Callable[..., bytes], picture: np.ndarray[Any, Any], quality: int) -> bytes:
        file = encode(picture, quality)
        encoded[file] = picture.copy()  # the buffer is used again
        return file

    for name in ("encode_image", "encode_ramp"):
        monkeypatch.setattr(written, name, partial(kept, getattr(written, name)))
    config = replace(TINY, dense="depth,parts", hair="painted")
    synthesise(replace(config, device="cuda"), tmp_path / "device", quiet=True)
    synthesise(config, tmp_path / "cpu", quiet=True)
    assert_same_but_for_roundings(tmp_path / "device", tmp_path / "cpu", encoded)
    wanted = "cuda" if torch.cuda.is_available() else "cuda-interpreted"
    assert f'device_class: "{wanted}"' in (tmp_path / "device" / "config.resolved.yaml").read_text()


def test_a_device_says_aloud_that_it_paints_hair(pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "device_class", lambda device: "cuda-interpreted")
    ran = pain3d("synth", tmp_path / "out", *ON_DEVICE, "--dry-run")
    assert (ran.code, ran.err) == (
        0,
        "pain3d: hair is painted, not grown: a GPU draws no ribbons yet (--device cpu does)\n",
    )
    ran = pain3d("synth", tmp_path / "out", *ON_DEVICE, "--dry-run", "--hair", "painted")
    assert (ran.code, ran.err) == (0, "")


def test_lenses_are_bent_beside_others_as_alone(tmp_path: Path, stand_in: None) -> None:
    config = replace(TINY, size=32, cameras="free", distortion_share=0.5, bedside_share=0.5, dense="depth,parts")
    for device in ("cpu", "cuda"):
        synthesise(replace(config, device=device), tmp_path / device, quiet=True)
    kinds = {(row["camera_distortion"] != 0, row["worn"]) for row in rows(tmp_path / "cpu", "frames")}
    assert len(kinds) > 2, kinds
    assert_same_but_for_roundings(tmp_path / "cuda", tmp_path / "cpu", {})


@pytest.mark.parametrize("how", [{}, {"batch_size": 1}, {"batch_size": 3}, {"batch_size": 1, "processes": 2}], ids=str)
def test_stages_change_nothing(small: Path, tmp_path: Path, how: dict[str, int], stand_in: None) -> None:
    receipt = synthesise(replace(SMALL, device="cuda", **how), tmp_path / "small", quiet=True)
    assert_same_but_for_roundings(tmp_path / "small", small, {})
    assert receipt.bound in {"sample", "launch", "device", "encode", "rows", "write", "close"}


def test_camera_effects_are_those_of_the_cpu_whoever_is_beside(tmp_path: Path, stand_in: None) -> None:
    config = replace(SMALL, cameras="free", shake_share=0.5, defocus_share=0.5, infrared_share=0.5, bedside_share=0.5)
    synthesise(config, tmp_path / "cpu", quiet=True)
    synthesise(replace(config, device="cuda"), tmp_path / "device", quiet=True)
    assert_same_but_for_roundings(tmp_path / "device", tmp_path / "cpu", {})
    synthesise(replace(config, processes=2), tmp_path / "two", quiet=True)
    assert hashes(tmp_path / "two") == hashes(tmp_path / "cpu")
    effects = {tuple(row["camera_effects"].split(",")) for row in rows(tmp_path / "cpu", "frames")}
    assert {("",), ("shake", "defocus", "infrared")} <= effects


def test_too_little_memory_halves_the_batch(
    pain3d: Run, tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (*ON_DEVICE, "--identities", "10", "--expressions", "1", "--size", "32", "--batch-size", "8")
    assert pain3d("synth", tmp_path / "a" / "out", *options[:-1], "2").code == 0
    rendered: list[int] = []
    original = frames.render_people

    def narrow(people: Any, *rest: Any, **named: Any) -> Any:
        rendered.append(len(people))
        if len(people) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(people, *rest, **named)

    monkeypatch.setattr(frames, "render_people", narrow)
    ran = pain3d("synth", tmp_path / "b" / "out", *options)
    said = [line for line in ran.err.splitlines() if "memory" in line]
    lines = [f"pain3d: cpu has no memory for {n} identities at a time, now {n // 2}" for n in (8, 4)]
    assert (ran.code, said) == (0, lines)
    assert rendered == [8, 4, 2, 2, 2, 2, 2]  # and it stays so
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_too_little_memory_for_one_is_refused(
    pain3d: Run, tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(frames, "render_people", none)
    ran = pain3d("synth", tmp_path / "out", *ON_DEVICE, "--batch-size", "1")
    line = "pain3d: cpu has no memory for the pictures of one identity; published shards are kept\n"
    assert (ran.code, ran.out, ran.err) == (2, "", line)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError("CUDA error: device lost", 719), RuntimeError("Triton Error [CUDA]: device lost")]
)
def test_a_card_that_vanishes_keeps_what_is_published(
    pain3d: Run, tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    options = (*ON_DEVICE, "--batch-size", "1", "--identities-per-shard", "1")
    made: list[int] = []
    original = frames.render_people

    def vanishing(people: Any, *rest: Any, **named: Any) -> Any:
        made.append(len(people))
        if len(made) > 2:
            raise error
        return original(people, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(frames, "render_people", vanishing)
        ran = pain3d("synth", tmp_path / "a" / "out", *options)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[-1] == f"pain3d: cpu failed ({error!s}); published shards are kept"
    assert len((tmp_path / "a" / "out" / "manifest.partial.jsonl").read_text().splitlines()) == 2
    assert not list(tmp_path.rglob("*.partial"))
    assert pain3d("synth", tmp_path / "a" / "out", *options).code == 0
    assert pain3d("synth", tmp_path / "b" / "out", *options).code == 0
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_errors_of_the_program_are_not_the_cards(
    tmp_path: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(device_synthesis, "encode_identity", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        synthesise(replace(SMALL, device="cuda"), tmp_path / "out", quiet=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_synth_mixes_no_devices_and_a_planted_mixing_is_seen(tmp_path: Path) -> None:
    """The whole command on a CUDA device that isn't there, see `tests/pretend_device.py`; no kernel runs."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.walks", tmp_path],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    walked, bent, effects, planted = (json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    for walk in (walked, bent, effects):
        assert walk["error"] is None, done.stderr
        assert {"launch _deform", "launch resolve_kernel", "launch _develop"} <= set(walk["waits"])
    assert effects["waits"]["copy to the host"] == walked["waits"]["copy to the host"]
    assert "Expected all tensors to be on the same device" in planted["error"]
