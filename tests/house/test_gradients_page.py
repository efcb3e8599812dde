"""The page about gradients runs as it stands, and prints what it says."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_page_runs_as_written(root: Path) -> None:
    checker, page = root / "tests" / "house" / "readme.py", root / "docs" / "gradients.md"
    ran = subprocess.run([sys.executable, str(checker), str(page)], capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr
    assert "3 blocks ran, 3 printed lines as written" in ran.stdout
