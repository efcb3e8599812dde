"""The door of HDF5: what leads out of a file, says that it holds what it doesn't, or unpacks without end is refused."""

import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.doors import hdf5, limits
from pain3d.doors.hdf5 import Hdf5File

h5py = pytest.importorskip("h5py")
MB = 1 << 20


def external(file: Any) -> None:
    foreign = Path(file.filename).with_name("foreign")
    foreign.write_bytes(bytes(range(240)))
    file.create_dataset("a", (10, 4, 6), "u1", external=[(str(foreign), 0, 240)])


def virtual(file: Any) -> None:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as foreign:
        foreign["a"] = np.arange(5.0)
    layout = h5py.VirtualLayout((5,), "f8")
    layout[:] = h5py.VirtualSource(other, "a", (5,))
    file.create_virtual_dataset("a", layout)


def external_link(file: Any) -> None:
    other = Path(file.filename).with_name("other.h5")
    with h5py.File(other, "w") as foreign:
        foreign["a"] = np.arange(5.0)
    file["a"] = h5py.ExternalLink(str(other), "a")


def unpacks(size: int) -> Callable[[Any], None]:
    """A chunk of 100 bytes that unpacks to `size`: the same piece of a stream, again and again."""

    def write(file: Any) -> None:
        piece = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = piece.compress(bytes(MB)) + piece.flush(zlib.Z_FULL_FLUSH)
        array = file.create_dataset("a", (1, 100), "u1", chunks=(1, 100), compression="gzip")
        array.id.write_direct_chunk((0, 0), b"\x78\xda" + packed * (size // MB))

    return write


def half_written(file: Any) -> None:
    file.create_dataset("a", (4, 8), "u1", chunks=(1, 8))[1:3] = 5


def many_names(file: Any) -> None:
    for number in range(limits.HDF5_NAMES + 1):
        file[str(number)] = h5py.SoftLink("/")


def shared_text(file: Any) -> None:
    """A text of 3 MB, as every one of a thousand names: HDF5 keeps where it lies, in 16 bytes a name."""
    file["a"] = ["x" * (3 * MB), *["y"] * 999]
    file.flush()
    with Path(file.filename).open("r+b") as raw:
        raw.seek(file["a"].id.get_offset())
        first = raw.read(16)
        raw.write(first * 999)


HOSTILE: dict[str, tuple[Callable[[Any], object], str, str]] = {  # what is written, how it is read, what is said
    "external storage": (external, "rows", "a lies in other files"),
    "virtual": (virtual, "numbers", "a lies in other files"),
    "external link": (external_link, "numbers", "a is a link"),
    "soft link": (lambda file: file.update({"b": [1.0], "a": h5py.SoftLink("/b")}), "numbers", "a is a link"),
    "loop": (lambda file: file.update({"a": h5py.SoftLink("/a")}), "holds", "a is a link"),
    "unwritten chunks": (lambda f: f.create_dataset("a", (12, 60000, 6000, 3), "u1", chunks=True), "rows", "0 of its"),
    "unwritten": (lambda file: file.create_dataset("a", (10**9,), "f8"), "numbers", "1000000000 rows"),
    "unwritten rows": (lambda file: file.create_dataset("a", (10**6, 30), "f8"), "numbers", "never written"),
    "half written": (half_written, "rows", "2 of its 4 chunks"),
    "rows": (lambda file: file.create_dataset("a", (10**11,), "S9", chunks=True), "words", "100000000000 rows"),
    "large chunk": (lambda f: f.create_dataset("a", (9, 2**28), "u1", chunks=(1, 2**28)), "numbers", "has chunks"),
    "overflow": (lambda f: f.create_dataset("a", (2**20, 2**32, 2**32), "u1"), "numbers", "never written"),
    "scalar": (lambda file: file.update({"a": 3}), "numbers", "must have rows"),
    "no value": (lambda file: file.update({"a": h5py.Empty("f")}), "numbers", "must have rows"),
    "text": (lambda file: file.update({"a": ["x", "y"]}), "numbers", "must hold numbers, got text"),
    "fixed text": (lambda file: file.update({"a": np.array([b"x"])}), "numbers", "must hold numbers, got |S1"),
    "complex": (lambda file: file.update({"a": np.ones(3, complex)}), "numbers", "got complex128"),
    "records": (lambda file: file.update({"a": np.zeros(3, [("x", "i4")])}), "rows", "text, records or references"),
    "references": (lambda f: f.create_dataset("a", data=[f.ref], dtype=h5py.ref_dtype), "words", "list of names"),
    "uneven": (lambda f: f.create_dataset("a", (2,), h5py.vlen_dtype("i4")), "numbers", "never written"),
    "names in a table": (lambda file: file.update({"a": [["1", "2"]]}), "words", "shape [1, 2]"),
    "group": (lambda file: file.create_group("a"), "numbers", "must be an array, got a group"),
    "type": (lambda file: file.update({"a": np.dtype("f8")}), "numbers", "must be an array, got a datatype"),
    "nothing": (lambda file: None, "numbers", "has no a"),
    "plug-in": (lambda f: f.create_dataset("a", data=[1.0] * 9, compression="lzf"), "numbers", "filter 32000"),
    "bomb": (unpacks(600 * MB), "row", "unpacks to more than 536870912 bytes"),
    "texts": (shared_text, "words", "a has"),
    "many names": (many_names, "names", "4097 names"),
}


def write(path: Path, content: Callable[[Any], object]) -> Path:
    with h5py.File(path, "w") as file:
        content(file)
    return path


def read(path: Path, method: str) -> Any:
    arguments = {"names": (), "row": ("a", 0)}.get(method, ("a",))
    with Hdf5File(path) as file:
        return getattr(file, method)(*arguments)


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(tmp_path: Path, name: str) -> None:
    content, method, says = HOSTILE[name]
    path = write(tmp_path / "h.h5", content)
    with pytest.raises(RefusedError) as refused:
        read(path, method)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and says in message and len(message) < 300 + len(str(path)), message


def test_a_bomb_is_no_memory(tmp_path: Path) -> None:
    """All of them in one process, whose peak is looked at."""
    for number, (content, _, _) in enumerate(HOSTILE.values()):
        (tmp_path / str(number)).mkdir()
        write(tmp_path / str(number) / "h.h5", content)
    methods = [method for _, method, _ in HOSTILE.values()]
    code = """if True:
        import json, sys
        from pathlib import Path
        from pain3d.console.refused import RefusedError
        from pain3d.doors.hdf5 import Hdf5File
        refused = 0
        for number, method in enumerate(json.loads(sys.argv[1])):
            try:
                with Hdf5File(Path(f"{number}/h.h5")) as file:
                    getattr(file, method)(*{"names": (), "row": ("a", 0)}.get(method, ("a",)))
            except RefusedError:
                refused += 1
        print(refused, next(line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line))"""
    command = [sys.executable, "-c", code, json.dumps(methods)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    refused, peak = map(int, done.stdout.split())
    assert refused == len(HOSTILE)
    assert peak < 1_000_000  # kB; seen: 512,140, of the thousand names of 3 MB


def test_what_lies_whole_in_the_file_is_read(tmp_path: Path) -> None:
    def content(file: Any) -> None:
        file["plain"] = np.arange(6, dtype=">i2").reshape(3, 2)
        file.create_dataset("packed", data=np.eye(5), chunks=(2, 3), compression="gzip", shuffle=True, fletcher32=True)
        file["in/names"] = ["001-ab", "2"]
        file["numbers"] = [7, 8]
        file.create_dataset("fixed", data=np.array([b"1", b"\xff"]), chunks=(1,), compression="gzip")
        file["compact"], file["none"] = np.float16([1.5]), np.zeros((0, 3))
        file["same"] = file["plain"]  # another hard link

    with Hdf5File(write(tmp_path / "a.h5", content)) as file:
        assert file.names() == ["compact", "fixed", "in", "none", "numbers", "packed", "plain", "same"]
        assert file.names("in") == ["names"] and file.holds("same") and not file.holds("in") and not file.holds("x")
        assert file.numbers("same").tolist() == [[0, 1], [2, 3], [4, 5]]
        assert (file.numbers("packed") == np.eye(5)).all() and file.row("packed", 3).tolist() == [0, 0, 0, 1, 0]
        assert file.words("in/names") == ["001-ab", "2"] and file.words("numbers") == ["7", "8"]
        assert file.words("fixed") == ["1", "�"] and file.numbers("compact").tolist() == [1.5]
        assert file.numbers("none").shape == (0, 3) and file.rows("plain") == (3, 2)
        with pytest.raises(IndexError):
            file.row("plain", 3)


def test_a_chunk_that_is_worth_a_look_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (2, 3000), np.uint8)
    path = tmp_path / "a.h5"
    write(path, lambda file: file.create_dataset("a", data=values, chunks=(1, 3000), compression="gzip"))
    monkeypatch.setattr(hdf5, "UNMEASURED", 3100)
    assert (read(path, "row") == values[0]).all()
    monkeypatch.setattr(hdf5, "UNMEASURED", 2900)
    with pytest.raises(RefusedError, match=r"a unpacks to more than 2900 bytes, at \[0, 0\]"):
        read(path, "numbers")


def test_labels_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", lambda file: file.update({"a": np.zeros(100), "b": np.zeros(100)}))
    monkeypatch.setattr(hdf5, "HDF5_BYTES", 1000)
    with Hdf5File(path) as file:
        file.numbers("a")
        with pytest.raises(RefusedError, match="b has 800 bytes"):
            file.numbers("b")


def test_a_row_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.h5", lambda file: file.update({"a": np.zeros((2, 30, 40))}))
    assert read(path, "rows") == (2, 30, 40)
    monkeypatch.setattr(hdf5, "HDF5_BYTES", 9000)
    for method in ("rows", "row"):
        with pytest.raises(RefusedError, match="a has float64 of 9600 bytes a row"):
            read(path, method)


def test_free_text_beside_pictures_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def content(file: Any) -> None:
        file.create_dataset("a", data=["x"] * 9, chunks=(4,))
        file["pictures"] = np.zeros(9000)

    path = write(tmp_path / "a.h5", content)
    assert read(path, "words") == ["x"] * 9
    monkeypatch.setattr(hdf5, "HDF5_TEXT_FILE_BYTES", 50_000)
    with pytest.raises(RefusedError, match="a is text of free length in a file of"):
        read(path, "words")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", Path("/dev/zero")):
        with pytest.raises(RefusedError, match="not a file"):
            Hdf5File(path)


def test_damage_is_told_wherever_it_is(tmp_path: Path) -> None:
    """Each of 100 bytes changed: read as before, read otherwise, or refused."""
    path = tmp_path / "a.h5"
    write(path, lambda file: file.create_dataset("a", data=np.arange(9.0), chunks=(4,), compression="gzip"))
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.permutation(len(whole))[:100]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            read(path, "numbers")
        except RefusedError as error:
            assert str(error).startswith(f"{path}: ")
            refused += 1
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RefusedError):
        read(path, "numbers")
    assert refused > 3
