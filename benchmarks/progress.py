"""Knows a plugin of pytest that writes what came of each test to a file as it comes: a run that is stopped keeps it.

pytest -p benchmarks.progress --progress FILE ...      a JSON object per line: test, outcome, seconds, reason
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest


@dataclass(frozen=True)
class Outcome:
    """What a part of `make gpu` came to."""

    passed: int
    failed: tuple[str, ...]  # names
    skipped: dict[str, int]  # reason: how many
    seconds: float
    stopped: bool = False  # it ran past its limit


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where to."""
    parser.addoption("--progress", type=Path, help="file of what came of each test, a line each")


def pytest_configure(config: pytest.Config) -> None:
    """Write in the process that hears of all tests: workers of pytest-xdist tell it theirs."""
    path = config.getoption("--progress")
    if path is not None and not hasattr(config, "workerinput"):
        path.parent.mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(_Writer(path.open("w", encoding="utf-8")))


class _Writer:
    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Of a test's three reports the call's counts; of set-up and tear-down, what did not pass."""
        if report.when != "call" and report.passed:
            return
        reason = ""
        if report.skipped:  # a file, a line, and why
            reason = report.longrepr[2] if isinstance(report.longrepr, list | tuple) else "expected to fail"
        told = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration}
        self.file.write(json.dumps(told | {"reason": reason.removeprefix("Skipped: ")}) + "\n")
        self.file.flush()

    def pytest_unconfigure(self) -> None:
        """The last line is written."""
        self.file.close()


def outcome_of(path: Path, seconds: float, stopped: bool = False) -> Outcome:
    """Count the lines of a run that took so long."""
    told = list(_lines(path))
    reasons = [each["reason"] for each in told if each["outcome"] == "skipped"]
    failed = tuple(dict.fromkeys(each["test"] for each in told if each["outcome"] == "failed"))
    passed = sum(each["outcome"] == "passed" and each["test"] not in failed for each in told)
    return Outcome(passed, failed, {reason: reasons.count(reason) for reason in sorted(set(reasons))}, seconds, stopped)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if line.endswith("\n"):  # the last one may be half written
                yield json.loads(line)
