"""The checker of the README's Python: it passes what is true and names the line of what is not."""

import subprocess
import sys
from pathlib import Path

import pytest

FENCE = "```"


def check(page: str, folder: Path) -> tuple[int, str]:
    """Exit code and last line of the checker on a page."""
    path = folder / "page.md"
    path.write_text(page)
    done = subprocess.run([sys.executable, Path(__file__).with_name("readme.py"), path], capture_output=True, text=True)
    return done.returncode, (done.stdout + done.stderr).splitlines()[-1]


def block(code: str, language: str = "python") -> str:
    return f"{FENCE}{language}\n{code}\n{FENCE}\n"


def test_true_values_pass_over_blocks(tmp_path: Path) -> None:
    page = (
        block("x = 2\nprint(x)  # → 2")
        + "\n"
        + block("for i in range(x):\n    print(i, 'a')\n# → 0 a\n# → 1 a")
        + block("exit 1", "bash")
    )
    code, line = check(page, tmp_path)
    assert code == 0 and line.startswith("page.md: 2 blocks ran, 3 printed lines as written")


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("Words.\n\n" + block("x = 2\nprint(x)  # → 3"), "page.md:5: prints ['2'], the arrows say ['3']"),
        (block("print(1)"), "page.md:2: prints ['1'], the arrows say []"),
        (block("x = 1  # → 1"), "page.md:2: prints [], the arrows say ['1']"),
        (block("x = 1"), "page.md: no ```python block with an arrow to check"),
        ("", "page.md: no ```python block with an arrow to check"),
        (block("print(1)  # → 1\nraise KeyError('gone')"), "KeyError: 'gone'"),
    ],
)
def test_what_is_not_true_is_named(page: str, says: str, tmp_path: Path) -> None:
    assert check(page, tmp_path) == (1, says)
