"""Knows how the README's Python is checked: every ```python block runs, and prints what the README says it prints.

    .venv/bin/python tests/house/readme.py [README.md]

All blocks share one namespace, in order, in an empty folder. What a statement prints stands behind it, or on the lines
below it, one comment that opens with an arrow per line:

    print(au.pspi())  # → 10
    for name in names:
        print(name)
    # → AU04
    # → AU06

A statement that prints anything else than its arrows say, or prints and has none, is an error that names the line.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import sys
import tempfile
import time
import tokenize
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```python[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"#\s*→\s?(.*)")


def blocks(text: str) -> list[str]:
    """The Python blocks of a Markdown text, each behind as many empty lines as stand before it, so that lines agree."""
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in BLOCK.finditer(text)]


def arrows(block: str) -> dict[int, str]:
    """What the arrow comments of a block say, by line."""
    comments = (t for t in tokenize.generate_tokens(io.StringIO(block).readline) if t.type == tokenize.COMMENT)
    found = {token.start[0]: ARROW.fullmatch(token.string) for token in comments}
    return {line: match[1].rstrip() for line, match in found.items() if match}


def run_block(block: str, namespace: dict[str, Any], name: str) -> int:
    """Run one block and compare what each statement prints with its arrows; returns how many lines were compared.

    Raises:
        AssertionError: A statement printed something else; the text names its line.
    """
    said = arrows(block)
    statements = ast.parse(block).body
    ends = [statement.lineno for statement in statements[1:]] + [block.count("\n") + 2]
    for statement, end in zip(statements, ends, strict=True):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(ast.Module([statement], []), name, "exec"), namespace)
        expected = [text for line, text in said.items() if statement.lineno <= line < end]
        seen = [line.rstrip() for line in printed.getvalue().splitlines()]
        assert seen == expected, f"{name}:{statement.lineno}: prints {seen}, the arrows say {expected}"
    return len(said)


def main(path: Path) -> None:
    """Run all blocks of a file. Exits with one line if a value is wrong or there is nothing to run."""
    found = blocks(path.read_text(encoding="utf-8"))
    namespace: dict[str, Any] = {"__name__": "readme"}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            compared = sum(run_block(block, namespace, path.name) for block in found)
        except AssertionError as wrong:
            sys.exit(str(wrong))
    if not compared:
        sys.exit(f"{path.name}: no ```python block with an arrow to check")
    seconds = time.perf_counter() - started
    print(f"{path.name}: {len(found)} blocks ran, {compared} printed lines as written, {seconds:.1f} s")


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "README.md").resolve())
