"""`make gpu` gets through everything that needs no GPU, on a bare machine, and then says what it lacks."""

import os
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.progress import Outcome, outcome_of
from tests.conftest import compiling

ROOT = Path(__file__).parents[2]
ABSENT = {
    "codespell",
    "datasets",
    "mypy",
    "pandas",
    "ruff",
    "simplejpeg",
    "tyro",
    "yaml",
}  # where only GPU work is done


@pytest.fixture
def bare_tree(tmp_path: Path) -> Iterator[Path]:
    """The sources without git, and without anything that a build or an editable install left behind.

    Only compilations are shared with other tests and runs (test_compile_offline.py).
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "tree" / name)
    (tmp_path / "tree" / "build").mkdir()
    with compiling() as shared:
        assert shared == gpu.CACHE
        (tmp_path / "tree" / "build" / gpu.CACHE.name).symlink_to(shared)
        yield tmp_path / "tree"


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """An interpreter with the libraries of this one, less what a bare GPU machine lacks, and without pain3d."""
    venv.create(tmp_path / "bare", symlinks=True)
    python = tmp_path / "bare" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "bare")}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name.partition(".")[0] not in ABSENT and "pain3d" not in entry.name:
            (site / entry.name).symlink_to(entry)
    return python


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="here is a CUDA device: make gpu would go on")
def test_rehearsal_ends_at_the_first_cuda_call(bare_tree: Path, bare_python: Path, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRITON_"))}
    environment["PYTHONPATH"] = "src"
    command = [bare_python, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, cwd=bare_tree, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines() == [gpu.NO_DEVICE], done.stdout + done.stderr
    assert done.returncode == 1
    (missing,) = (line for line in done.stdout.splitlines() if "simplejpeg is missing, so not imported: " in line)
    assert "pain3d.pipeline." in missing
    headings = [line for line in done.stdout.splitlines() if line.startswith("== ")]
    assert [heading.split()[1] for heading in headings] == ["import", "collect", "collect", "compile"]


def test_a_short_commit_is_refused_before_anything_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py", "--commit", "0123abc"])
    monkeypatch.setattr(gpu, "rehearse", lambda parts, offline: pytest.fail("it began"))
    with pytest.raises(SystemExit):
        gpu.main()
    assert "a commit is 40 hex digits (git rev-parse HEAD), got '0123abc'" in capsys.readouterr().err


def test_a_missing_library_leaves_its_file_out_and_is_named() -> None:
    said = "1 test collected\nERROR a/test_b.py - ModuleNotFoundError: No module named 'kornia.losses'\n"
    assert gpu.uncollected(said) == {"a/test_b.py": "kornia.losses"}
    assert gpu.uncollected("3 tests collected\n") == {}


def test_any_other_error_stops_the_run() -> None:
    with pytest.raises(SystemExit, match=r"make gpu stops: ERROR a/test_b\.py - NameError"):
        gpu.uncollected("ERROR a/test_b.py - NameError: name 'x' is not defined\n")


SOME_TESTS = """
import time, pytest
def test_good(): pass
def test_bad(): raise AssertionError("no")
def test_other(): pytest.skip("no moderngl here")
@pytest.fixture
def broken():
    yield
    raise ValueError("after it")
def test_left_broken(broken): pass
def test_endless(): time.sleep(600)
def test_never(): pass
"""


@pytest.mark.slow
def test_a_part_is_stopped_at_its_limit_and_what_ran_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "test_some.py").write_text(SOME_TESTS)
    monkeypatch.setattr(gpu, "BUILD", tmp_path / "build")
    monkeypatch.setitem(gpu.SUITES, "tests", (str(tmp_path / "test_some.py"),))
    outcome = gpu.test("tests", {}, 10.0, "-p", "no:cacheprovider", "-p", "no:randomly")
    assert (outcome.passed, outcome.stopped) == (1, True)
    assert [name.partition("::")[2] for name in outcome.failed] == ["test_bad", "test_left_broken"]
    assert outcome.skipped == {"no moderngl here": 1}
    assert 10 <= outcome.seconds < 10 + gpu.LAST_WORDS
    assert (tmp_path / "build" / "gpu-tests.xml").is_file()  # pytest had its last words


def test_a_half_written_line_is_no_line(tmp_path: Path) -> None:
    whole = '{"test": "a", "outcome": "passed", "seconds": 1, "reason": ""}\n'
    (tmp_path / "told.jsonl").write_text(whole + '{"test": "b", "outc')
    assert outcome_of(tmp_path / "told.jsonl", 2.0) == Outcome(1, (), {}, 2.0)


def test_parts_run_in_the_order_in_which_they_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ran: list[tuple[str, ...]] = []

    def test(name: str, left_out: dict[str, str], limit: float | None, *options: str) -> Outcome:
        ran.append((name, str(limit), *options))
        return Outcome(2, (), {}, 1.0, stopped=True)

    def walk_commands(device: str, limit: float | None) -> Outcome:
        ran.append(("commands", str(limit), device))
        return Outcome(1, ("synth",), {"score: needs train": 1}, 1.0)

    monkeypatch.setattr(gpu, "rehearse", lambda parts, offline: {"tests": {}, "benchmarks": {"a.py": "kornia"}})
    monkeypatch.setattr(gpu, "test", test)
    monkeypatch.setattr(gpu, "walk_commands", walk_commands)
    monkeypatch.setattr(gpu, "BUILD", tmp_path)
    asked = ["--rehearse", "--only", "commands,benchmarks", "--limit", "9", "--cases", "deform", "--seconds", "0.1"]
    monkeypatch.setattr("sys.argv", ["gpu.py", *asked])
    with pytest.raises(SystemExit) as ended:
        gpu.main()
    assert ended.value.code == 1
    assert ran[0] == ("commands", "9.0", "cpu") and ran[1][:2] == ("benchmarks", "9.0") and len(ran) == 2
    options = " ".join(ran[1][2:])
    assert options == f"--device cpu --results {tmp_path}/gpu-results --seconds 0.1 --cases deform --scale tiny"
    said = capsys.readouterr().out
    for line in (
        "commands: FAILED synth",
        "commands: 1 skipped: score: needs train",
        "benchmarks: a.py left out: kornia is missing",
        "benchmarks: stopped at its limit, what ran is counted",
    ):
        assert line in said.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "tests,walk"], "no part 'walk': there are tests, commands, benchmarks"),
        (["--limit", "0"], "must be a number above 0, got '0'"),
        (["--cases", "painting"], "no case 'painting'"),
        (["--implementations", "drtkk"], "no implementation 'drtkk'"),
    ],
)
def test_what_is_not_there_is_refused(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.asked_for(arguments)
    assert said in capsys.readouterr().err
