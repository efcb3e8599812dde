"""The command line: exactly one line on stderr and exit code 2 for what can't be done, and nothing written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import SMALL_OPTIONS, Ran

Run = Callable[..., Ran]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--identities", "0"], "identities must be a whole number from 1 to 1000000, got 0"),
        (["--size", "1"], "size must be a whole number from 16 to 4096, got 1"),
        (["--size", "4097"], "size must be a whole number from 16 to 4096, got 4097"),
        (["--views", "0"], "views must be a whole number from 1 to 1000, got 0"),
        (["--expressions", "0"], "expressions must be a whole number from 1 to 1000, got 0"),
        (["--seed", "-1"], "seed must be a whole number from 0 to 9223372036854775807, got -1"),
        (["--seed", "nan"], "Error parsing --seed: invalid literal for int() with base 10: 'nan'"),
        (["--identities", "3.5"], "Error parsing --identities: invalid literal for int() with base 10: '3.5'"),
        (["--law", "gauss"], "law must be one of uniform, independent, clinical, got 'gauss'"),
        (["--asymmetry", "nan"], "asymmetry must be a number from 0 to 1, got nan"),
        (["--quality", "101"], "quality must be a whole number from 1 to 100, got 101"),
        (["--processes", "1025"], "processes must be a whole number from 0 to 1024, got 1025"),
        (["--batch-size", "-1"], "batch_size must be a whole number from 0 to 100000, got -1"),
        (["--device", "gpu"], "device must be one of auto, cpu, cuda, got 'gpu'"),
        (["--device", "cuda:7"], "device must be one of auto, cpu, cuda, got 'cuda:7'"),
        (["--identitis", "3"], "unknown option --identitis, did you mean --identities?"),
        (["--sizes=3"], "unknown option --sizes, did you mean --size?"),
        (["more"], "unexpected argument 'more'"),
        (["--identities"], "Missing value for argument '--identities'. Expected 1 values"),
        (["--config", "/nonexistent.yaml"], "--config /nonexistent.yaml: No such file or directory"),
    ],
)
def test_bad_options(pain3d: Run, tmp_path: Path, options: list[str], line: str) -> None:
    out = tmp_path / "out"
    ran = pain3d("synth", out, *options)
    assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line}\n")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["sinth", "x"], "unknown command 'sinth', did you mean synth?"),
        (["verify", "/nonexistent"], "/nonexistent: no such folder"),
    ],
)
def test_bad_commands(pain3d: Run, arguments: list[str], line: str) -> None:
    ran = pain3d(*arguments)
    assert (ran.code, ran.out, ran.err) == (2, "", f"pain3d: {line}\n")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_no_cuda(pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET")  # with it the GPU's kernels run on the CPU
    ran = pain3d("synth", tmp_path / "out", "--device", "cuda")
    assert (ran.code, ran.err) == (2, "pain3d: --device cuda: torch sees no CUDA device here\n")
    assert not (tmp_path / "out").exists()


def test_command_line_overrides_file(pain3d: Run, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("identities: 5\nviews: 2\nlaw: clinical\n")
    ran = pain3d("synth", tmp_path / "out", "--config", tmp_path / "run.yaml", "--views", "4", "--dry-run", "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["images"] == 5 * 11 * 4


def test_bad_value_in_file_is_not_hidden_by_the_command_line(pain3d: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("views: 0\n")
    ran = pain3d("synth", tmp_path / "out", "--config", path, "--views", "4")
    assert (ran.code, ran.err) == (2, f"pain3d: --config {path}: views must be a whole number from 1 to 1000, got 0\n")


def test_dry_run_writes_nothing(pain3d: Run, tmp_path: Path) -> None:
    ran = pain3d("synth", tmp_path / "out", "--identities", "10", "--dry-run")
    assert ran.code == 0 and ran.err == ""
    assert ran.out.splitlines()[0] == "330 images of 10 identities in 3 shards"
    assert "train      7 identities" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_synth_ends_with_one_json_object(pain3d: Run, tmp_path: Path) -> None:
    options = ["--identities", "1", "--expressions", "1", "--views", "1", "--size", "32"]
    ran = pain3d("synth", tmp_path / "out", *options, "--json")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert said["images"] == said["new_images"] == 2
    rounded = pytest.approx(2 / said["seconds"], rel=0.01, abs=0.005)  # two digits
    assert said["images_per_second"] == rounded
    assert {"start_up", "encode", "rows", "write", "close", "report"} <= set(said["stages"])
    assert said["bound"] in said["busy"] and all(0 <= share <= 1 for share in said["busy"].values())
    assert pain3d("verify", tmp_path / "out").code == 0  # a data set of one split still holds together


def test_a_finished_data_set_is_left_as_it_is(pain3d: Run, small: Path) -> None:
    before = sorted(path.stat().st_mtime_ns for path in small.rglob("*"))
    ran = pain3d("synth", small, *SMALL_OPTIONS)
    assert (ran.code, ran.err, ran.out.partition("\n")[0]) == (0, "", "finished already, 32 images")
    said = json.loads(pain3d("synth", small, *SMALL_OPTIONS, "--json").out)
    assert (said["new_images"], said["images"], said["finished_already"]) == (0, 32, True)
    for more, expected in (
        ((), "finished already, nothing would be made\n"),
        (("--json",), '"finished_already": true'),
    ):
        ran = pain3d("synth", small, *SMALL_OPTIONS, "--dry-run", *more)
        assert ran.code == 0 and expected in ran.out
    assert sorted(path.stat().st_mtime_ns for path in small.rglob("*")) == before


def test_other_configuration_is_refused_with_the_difference(pain3d: Run, small: Path) -> None:
    ran = pain3d("synth", small, *SMALL_OPTIONS, "--seed", "8", "--law", "clinical")
    reason = "holds a finished data set of another configuration (seed 7 -> 8, law uniform -> clinical)"
    assert (ran.code, ran.err) == (2, f"pain3d: {small}: {reason}\n")
    assert pain3d("synth", small, *SMALL_OPTIONS, "--seed", "8", "--dry-run").code == 2


def test_foreign_folder_and_file_are_refused(pain3d: Run, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    ran = pain3d("synth", tmp_path)
    assert (ran.code, ran.err) == (2, f"pain3d: {tmp_path}: not empty, and not a data set of pain3d\n")
    ran = pain3d("synth", tmp_path / "notes.txt")
    assert (ran.code, ran.err) == (2, f"pain3d: {tmp_path / 'notes.txt'}: not a folder\n")
    assert pain3d("verify", tmp_path).code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_version_and_help(pain3d: Run) -> None:
    assert pain3d("--version").out.startswith("pain3d 0.")
    ran = pain3d("synth", "--help")
    assert ran.code == 0 and "--identities" in ran.out and ran.err == ""
