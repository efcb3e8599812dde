"""Knows the log of a run: a JSON line an entry and the same for TensorBoard, cut back to where a run resumes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pain3d.console.refused import RefusedError
from pain3d.doors.limits import TABLE_BYTES
from pain3d.doors.text import parse_json, read_text
from pain3d.files import naming, open_end, write_durably

LINES = "log.jsonl"
BOARD = "tensorboard"


class RunLog:
    """Appends to a run's log.

    Args:
        folder: Of the run.
        step: Entries after this step are forgotten: a resumed run writes them again.

    Raises:
        RefusedError: A line of the log is damaged; names it.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LINES
        kept = [line for number, line in enumerate(self._lines(), start=1) if self._step(number, line) <= step]
        write_durably(self.path, "".join(f"{line}\n" for line in kept).encode())
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter
        self._board: Any = writer(str(folder / BOARD), purge_step=step + 1 if kept else None)

    def write(self, step: int, kind: str, **values: float) -> None:
        """Add an entry; what isn't finite becomes null."""
        entry = {"step": step, "kind": kind, **{n: v if math.isfinite(v) else None for n, v in values.items()}}
        with open_end(self.path) as file:
            file.write((json.dumps(entry) + "\n").encode())
        with naming(self.path.with_name(BOARD)):
            for name, value in values.items():
                self._board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        """Let go of TensorBoard's file."""
        with naming(self.path.with_name(BOARD)):
            self._board.close()

    def _lines(self) -> list[str]:
        """Whole lines so far; a torn last one was never written."""
        if not self.path.exists():
            return []
        text = read_text(self.path, TABLE_BYTES)
        return text[: text.rfind("\n") + 1].splitlines()

    def _step(self, number: int, line: str) -> int:
        name = f"{self.path} line {number}"
        entry = parse_json(line, name)
        step = entry.get("step") if isinstance(entry, dict) else None
        if not isinstance(step, int):
            raise RefusedError(f"{name}: tells no step")
        return step
