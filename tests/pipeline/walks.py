"""Knows a walk through `pain3d synth` on a CUDA device that isn't there; see `tests/pretend_device.py`.

    python -m tests.pipeline.walks OUT        prints a line of JSON for each walk: its error, and what was launched

A process of its own runs this. OUT is a folder for data sets.
"""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.run import synthesise
from pain3d.rendering import frames
from tests.pretend_device import pretend_device


class Everything:
    """Holds every name: no kernel runs, each is looked at."""

    def __contains__(self, name: object) -> bool:
        return True


CONFIG = SynthConfig(identities=2, expressions=1, views=1, size=16, device="cuda", processes=1)
BENT = replace(CONFIG, distortion_share=1.0, dense="depth,parts")
EFFECTS = replace(
    CONFIG, cameras="free", size=48, bedside_share=0.5, shake_share=0.5, defocus_share=1.0, infrared_share=0.5
)
WALKS: dict[str, tuple[SynthConfig, AbstractContextManager[Any]]] = {
    "synth": (CONFIG, nullcontext()),
    "synth of bent lenses": (BENT, nullcontext()),
    "synth with camera effects": (EFFECTS, nullcontext()),
    "planted in synth": (CONFIG, patch.object(frames, "moved_at_once", lambda value, device: value)),
}


def main(out: Path) -> None:
    """Walk, with nothing planted and with a mixing of devices."""
    for name, (config, planted) in WALKS.items():
        error = None
        with pretend_device(Everything()) as waits, planted:  # type: ignore[arg-type]
            try:
                synthesise(config, out / name, quiet=True)
            except Exception as failed:
                traceback.print_exc()
                error = f"{type(failed).__name__}: {failed}"
        print(json.dumps({"walk": name, "error": error, "waits": dict(waits)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
