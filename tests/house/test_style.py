"""The tree is clean for ruff and codespell; its types are sound."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

LONG = 400  # lines; a file above says in its docstring why it is long


def tool(name: str) -> str:
    """A command of this environment."""
    return str(Path(sys.executable).with_name(name))


@pytest.mark.parametrize(
    "command", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["codespell"]], ids=" ".join
)
def test_style(command: list[str], root: Path) -> None:
    done = subprocess.run([tool(command[0]), *command[1:]], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_sees_every_file(root: Path, tracked: tuple[Path, ...]) -> None:
    """An exclusion by name excludes every folder of that name."""
    done = subprocess.run([tool("ruff"), "check", ".", "--show-files"], cwd=root, capture_output=True, text=True)
    seen = {Path(line).relative_to(root) for line in done.stdout.splitlines()}
    assert {path for path in tracked if path.suffix == ".py"} <= seen


def test_ci_script_runs_and_parses(root: Path) -> None:
    script = root / ".ci" / "run"
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", str(script)], check=True)


def test_long_files_say_why(root: Path, tracked: tuple[Path, ...]) -> None:
    for path in tracked:
        if path.suffix == ".py":
            source = (root / path).read_text()
            short = len(source.splitlines()) <= LONG
            assert short or "onger than" in (ast.get_docstring(ast.parse(source)) or ""), (
                f"{path} is long and does not say why"
            )


@pytest.mark.slow
def test_types(root: Path) -> None:
    done = subprocess.run([tool("mypy"), "--strict"], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
