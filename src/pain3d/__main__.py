"""The front door: knows which half of the house answers a command, the one that makes data or the one that learns.

Nothing else knows both. Exit codes: 0 done; 1 ``verify`` or ``replay`` found something wrong; 2 asked for something
that can't be done, the disk failed, memory ran out, or stdout took no results; 130 interrupted (SIGINT), 143 terminated
(SIGTERM).
Results go to stdout, everything else to stderr. A closed stream or a reader who has gone changes neither work nor code.

What is imported here is light, and so is ``import pain3d``: until `SIGNALS` listens, Ctrl-C prints a traceback.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

from pain3d.console.interrupt import SIGNALS


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run ``pain3d`` with the given arguments, or with those of the process, and exit.

    A process that ran for its own arguments leaves without tearing its libraries down: torch takes 0.3 s for that, as
    long as ten images, and nothing is open any more.
    """
    if arguments is not None:
        sys.exit(_run(list(arguments), time.perf_counter()))
    SIGNALS.listen()
    from pain3d.console.refused import REFUSED, complain
    from pain3d.console.streams import Streams

    streams = Streams()
    code = _run(sys.argv[1:], time.perf_counter() - _seconds_since_process_start())
    lost = streams.close()
    if lost is not None:
        complain(f"stdout: {lost.strerror}")
        streams.close()
        code = code or REFUSED
    os._exit(code)


def _run(given: list[str], started: float) -> int:
    from pain3d.console.refused import REFUSED, RefusedError, complain

    left = "what was finished is kept"
    try:
        if given == ["--version"]:
            from pain3d.provenance import pain3d_version

            print(f"pain3d {pain3d_version()}")
            return 0
        from pain3d.console.command_line import parse
        from pain3d.doctor.command import COMMANDS as ASKING
        from pain3d.export_command import COMMANDS as EXPORTING
        from pain3d.fitting.command import COMMANDS as FITTING
        from pain3d.judge.command import COMMANDS as JUDGING
        from pain3d.live.command import COMMANDS as LOOKING
        from pain3d.mesh_files.command import COMMANDS as WRITING
        from pain3d.pipeline.cli import COMMANDS as MAKING
        from pain3d.training.cli import COMMANDS as LEARNING

        known = {**MAKING, **LEARNING, **FITTING, **JUDGING, **LOOKING, **WRITING, **ASKING, **EXPORTING}
        command = parse(given, {name: entry.form for name, entry in known.items()})
        entry = next(entry for entry in known.values() if isinstance(command, entry.form))
        left = entry.interrupted
        with SIGNALS.working():
            return entry.run(command, started)
    except SystemExit as asked:  # --help was
        return int(asked.code or 0)
    except BaseException as error:
        from pain3d.console.memory import out_of_memory

        if isinstance(error, KeyboardInterrupt) or SIGNALS.heard:  # which a library may turn into an error of its own
            complain(f"interrupted; {left}")
            return SIGNALS.exit_code
        if isinstance(error, RefusedError):
            complain(str(error))
        elif out_of_memory(error):
            complain(f"out of memory; {left}")
        elif isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            complain(f"{where}{error.strerror or error}")
        else:
            raise
        return REFUSED


def _seconds_since_process_start() -> float:
    """How long this process has been running, imports included; 0 where the system doesn't say."""
    from pathlib import Path

    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError):  # not Linux
        return 0.0


if __name__ == "__main__":
    main()
