"""`make gpu` gets through everything that needs no GPU, on a bare machine, and then says what it lacks."""

import os
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import torch

from benchmarks import gpu

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
def bare_tree(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources without git, and without anything that a build or an editable install left behind.

    Only compilations are shared with the other tests of this session (test_compile_offline.py): they take a minute.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, tmp_path / "tree" / name)
    shared = tmp_path_factory.getbasetemp() / "triton"
    shared.mkdir(exist_ok=True)
    (tmp_path / "tree" / "build").mkdir()
    (tmp_path / "tree" / "build" / gpu.CACHE.name).symlink_to(shared)
    return tmp_path / "tree"


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
    monkeypatch.setattr(gpu, "rehearse", lambda parts: pytest.fail("it began"))
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


def test_report_of_pytest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(
        '<testsuites><testsuite><testcase time="1.5"/><testcase time="0.5"><failure message="no"/></testcase>'
        '<testcase time="0"><skipped message="moderngl is not installed"/></testcase>'
        '<testcase time="0"><error message="broken"/></testcase></testsuite></testsuites>'
    )
    outcome = gpu.outcome_of(path)
    assert (outcome.passed, outcome.failed, outcome.seconds) == (1, 2, 2.0)
    assert outcome.skipped == {"moderngl is not installed": 1}
