"""A process that opens strangers' files and is watched: what doors are fuzzed with.

It serves one file after the other. Each is a value or a refusal in one line that names it; within SECONDS and MEMORY;
without a warning, a word on stderr, a program started, a socket, a pickled object, or a file opened or written outside
its folder, as Python's audit events tell. Libraries in C raise none of these: there the folder beside, which holds
SECRET, shows what was read of it, and a pipe in it hangs whoever opens it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SECONDS = 10  # of a file, each a thousandth of that in the usual case; the machine may be busy
MEMORY = 10**9  # bytes of memory that a file may take beside what there is
ADDRESSES = 4 << 30  # bytes that it may ask the system for: allocators and threads take more than they use
LONGEST = 400  # characters of a refusal beside the file's name
CORPUS = Path(__file__).parent / "corpus"
TIFF = (b"II", b"MM")  # how one begins: Pillow can't keep libtiff from telling on stderr what is wrong with it
SECRET = b"0123456789 never to be read"
FORBIDDEN = ("subprocess.", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "socket.",
             "pickle.find_class", "shutil.", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink",
             "os.chmod", "os.chown", "os.truncate", "urllib.", "webbrowser.", "ftplib.", "http.")  # fmt: skip

Door = Callable[[Path], Any]


def doors() -> dict[str, tuple[Door, tuple[type[Exception], ...]]]:
    """What opens a file, by name, and what it may raise."""
    from pain3d.console.refused import RefusedError
    from pain3d.doors.hdf5 import Hdf5File
    from pain3d.doors.makehuman import open_collection, parse_binding, parse_material
    from pain3d.doors.panoramas import read_environment
    from pain3d.doors.parquet import open_parquet
    from pain3d.doors.paths import named_file
    from pain3d.doors.pictures import decode_heatmap, decode_levels, read_picture
    from pain3d.doors.text import read_json, read_rows, read_text, read_yaml
    from pain3d.head.assets import HeadFileError, read_head
    from pain3d.head.foreign.flame import read_flame
    from pain3d.head.foreign.wavefront import read_obj
    from pain3d.scene import Scene
    from pain3d.training.model.weights import read_weights

    def parquet(path: Path) -> Any:
        source = open_parquet(path)
        return [source.read(source.schema.names, [group], nulls=True) for group in range(source.groups)]

    def levels(path: Path) -> Any:
        content = path.read_bytes()
        return decode_levels(content, 16) if content[24:25] == bytes([16]) else decode_heatmap(content)

    def paths(path: Path) -> Any:
        name = path.read_bytes().decode("utf-8", "surrogateescape")
        return named_file(path.parent, name, path).read_bytes()

    def hdf5(path: Path) -> Any:
        read: list[Any] = []
        refused: RefusedError | None = None
        with Hdf5File(path) as file:
            for name in file.names()[:8]:
                for look in (file.numbers, file.words, lambda array: file.rows(array) and file.row(array, 0)):
                    try:
                        read.append(look(name))
                    except IndexError:  # of no row, as it says
                        pass
                    except RefusedError as error:
                        refused = error
                        if not _is_one_line(str(error), path, "hdf5"):
                            raise
        if not read and refused is not None:
            raise refused
        return str(read).encode()

    def scene(path: Path) -> Any:
        return Scene.from_json(path.read_bytes().decode("utf-8", "replace"))

    def collections(path: Path) -> Any:
        with open_collection(path) as files:
            contents = [files.read(name) for name in files.names]
            return [parse_material(content.decode("utf-8", "replace")) for content in contents]

    heads, refusals = (HeadFileError,), (RefusedError,)
    return {
        "pictures": (read_picture, refusals),
        "panoramas": (read_environment, refusals),
        "collections": (collections, refusals),
        "bindings": (lambda path: parse_binding(read_text(path, errors="replace"), str(path)), refusals),
        "levels": (levels, (ValueError,)),
        "yaml": (read_yaml, refusals),
        "json": (read_json, refusals),
        "csv": (lambda path: list(read_rows(path)), refusals),
        "parquet": (parquet, refusals),
        "hdf5": (hdf5, refusals),
        "paths": (paths, refusals),
        "scene": (scene, (ValueError,)),
        "weights": (read_weights, refusals),
        "head": (read_head, heads),
        "obj": (read_obj, heads),
        "flame": (read_flame, heads),
    }


UNNAMED = ("levels", "scene")  # doors that are handed bytes: who calls them names the file


class Watched:
    """The process, started when it is first needed and anew after one that died."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="doors-"))
        outside = self.folder / "outside"
        outside.mkdir()
        (self.folder / "inside").mkdir()
        (outside / "secret.bin").write_bytes(SECRET * 8)
        os.mkfifo(outside / "pipe")

    def open(self, door: str, content: bytes, suffix: str = ".dat") -> str:
        """What a door says of a file of this content: "" for a value, else the refusal. Raises AssertionError."""
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, __file__, str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self._child.stdout is not None and self._child.stdout.readline() == b"ready\n", "it doesn't start"
        assert self._child.stdin is not None and self._child.stdout is not None
        place = self.folder / "inside" / f"stranger{suffix}"
        place.write_bytes(content)
        self._child.stdin.write(json.dumps([door, place.name]).encode() + b"\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        place.unlink(missing_ok=True)
        if not answer:
            code, self._child = self._child.wait(), None
            raise AssertionError(f"{door}: the process died with {code}")
        said: list[str] = json.loads(answer)
        assert said[0] != "fault", f"{door}: {said[1]}"
        return said[1]

    def close(self) -> None:
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()
            self._child.wait()
            self._child = None
        for place in sorted(self.folder.rglob("*"), reverse=True):
            place.rmdir() if place.is_dir() else place.unlink()
        self.folder.rmdir()


@contextlib.contextmanager
def limited(seconds: int, addresses: int) -> Iterator[None]:
    """An alarm, and at most so many more bytes of address space."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (used + addresses, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _memory(what: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at most since `clear_refs` was told 5 (proc(5))."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) << 10


def _serve(folder: Path) -> None:
    inside = folder / "inside"
    answers = os.fdopen(os.dup(1), "wb")
    noise = tempfile.TemporaryFile()  # noqa: SIM115  # as long as the process
    table = doors()
    seen: list[str] = []
    own = str(inside)
    python = tuple(os.path.realpath(place) for place in {sys.prefix, sys.base_prefix, *filter(None, sys.path)})

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            writes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not path.startswith((own, "/proc/self", "/sys/", "/etc/ssl", "/usr/share/", "/usr/lib")) and (
                writes or not path.startswith(python)
            ):
                seen.append(f"open {path}")
        elif event.startswith(FORBIDDEN):
            seen.append(event)

    def late(*_: Any) -> None:
        nonlocal alarms
        alarms += 1
        if alarms > 1:
            os._exit(99)  # whatever it does, it doesn't stop
        raise TimeoutError(f"longer than {SECONDS} s")

    watching, alarms = False, 0
    for door, (call, refusals) in table.items():  # each imports what it needs
        for place in sorted((CORPUS / door).glob("fine*")):
            with contextlib.suppress(*refusals):
                call(place)
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    signal.signal(signal.SIGALRM, late)
    sys.addaudithook(audit)
    answers.write(b"ready\n")
    answers.flush()
    for line in sys.stdin:
        door, name = json.loads(line)
        call, refusals = table[door]
        path = inside / name
        said, alarms = ["value", ""], 0
        content = path.read_bytes()[:2]
        Path("/proc/self/clear_refs").write_text("5")
        before = _memory("VmRSS")
        seen.clear()
        start = noise.tell()
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                with limited(SECONDS, ADDRESSES):
                    watching = True
                    value = call(path)
                    watching = False
                    if SECRET in (value if isinstance(value, bytes) else b""):
                        said = ["fault", "it read what lies outside its folder"]
            except refusals as error:
                said = ["refused", str(error)]
                if not _is_one_line(str(error), path, door):
                    said = ["fault", f"refused in other words than one line that names the file: {str(error)[:600]!r}"]
            except BaseException as error:
                said = ["fault", f"{type(error).__name__}: {str(error)[:300]}{_where(error)}"]
            finally:
                watching = False
        value = None
        if alarms:  # whatever became of it: a TimeoutError is an OSError
            said = ["fault", f"it took more than {SECONDS} s"]
        printed = os.pread(noise.fileno(), 300, start).replace(b"\n", b" ")
        noise.seek(0, 2)
        if (taken := _memory("VmHWM") - before) > MEMORY:
            said = ["fault", f"it took {taken:,} bytes of memory"]
        if seen:
            said = ["fault", f"it did {', '.join(seen[:3])}"]
        if warned:
            said = ["fault", f"it warned: {warned[0].message}"]
        if printed and not (door == "pictures" and content in TIFF):
            said = ["fault", f"it printed {printed!r}"]
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()


def _where(error: BaseException) -> str:
    trace, last = error.__traceback__, ""
    while trace is not None:
        last = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})"
        trace = trace.tb_next
    return last


def _is_one_line(said: str, path: Path, door: str) -> bool:
    about = said.replace(str(path), "", 1)
    named = door in UNNAMED or str(path) in said
    return (
        named and len(about) <= LONGEST and re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", about) is None
    )


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
