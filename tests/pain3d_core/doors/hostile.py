"""Strategies of hypothesis for strangers' files: made whole and hostile, of words of a grammar, then damaged."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from pain3d.head.assets import FORMAT
from tests.pain3d_core.doors.watched import CORPUS

NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 2**16, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
MOST = 1 << 17  # bytes of a file here: what grows from a few bytes is what is looked for


@st.composite
def damaged(draw: st.DrawFn, whole: tuple[bytes, ...]) -> bytes:
    """One of some files with up to eight things done to it, or two of them spliced."""
    content = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.integers(0, 8)):
            case 0 if content:
                content[at] ^= 1 << draw(st.integers(0, 7))
            case 1 if content:
                content[at] = draw(st.integers(0, 255))
            case 2:
                number = draw(st.sampled_from(NUMBERS))
                form = draw(st.sampled_from(("<I", ">I", "<H", ">H", "<Q", ">Q")))
                packed = struct.pack(form, number & (2 ** (8 * struct.calcsize(form)) - 1))
                content[at : at + len(packed)] = packed
            case 3:
                del content[at:]
            case 4:
                content[at:at] = draw(st.binary(max_size=16))
            case 5:
                del content[at : at + draw(st.integers(1, 64))]
            case 6:
                run = content[at : at + draw(st.integers(1, 64))]
                content[at:at] = run * min(draw(st.sampled_from((1, 2, 50, 2000))), MOST // max(len(run), 1))
            case 7:
                other = draw(st.sampled_from(whole))
                content[at:] = other[draw(st.integers(0, len(other))) :]
            case 8:
                content += draw(st.binary(max_size=32))
    return bytes(content[:MOST])


def corpus(door: str) -> tuple[bytes, ...]:
    """The small files of a door that are kept."""
    return tuple(path.read_bytes() for path in sorted((CORPUS / door).iterdir()))


@cache
def pictures() -> tuple[bytes, ...]:
    """One of each format, small; some with an orientation, a palette, alpha, two frames."""
    from PIL import Image

    ramp = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    plain, made = Image.fromarray(ramp), []
    exif = Image.Exif()
    exif[0x0112] = 6

    def save(image: Any, name: str, **options: Any) -> None:
        stream = io.BytesIO()
        image.save(stream, name, **options)
        made.append(stream.getvalue())

    for name in ("JPEG", "PNG", "WebP", "TIFF", "BMP", "GIF", "AVIF"):
        save(plain, name)
        save(plain.convert("L"), name)
    for name in ("JPEG", "PNG", "WebP", "TIFF"):
        save(plain, name, exif=exif)
    for packing in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits"):
        save(plain, "TIFF", compression=packing)
    save(plain.convert("P"), "PNG", transparency=0)
    save(plain.convert("RGBA"), "WebP", lossless=True)
    save(plain.convert("CMYK"), "JPEG")
    save(plain, "JPEG", progressive=True)
    save(Image.fromarray(ramp[..., 0].astype(np.uint16) * 257), "PNG")
    save(Image.fromarray(ramp[..., 0].astype(np.float32)), "TIFF")
    for name in ("GIF", "WebP", "TIFF", "PNG", "AVIF"):
        save(plain, name, save_all=True, append_images=[plain.rotate(90)])
    return tuple(made)


@cache
def panoramas() -> tuple[bytes, ...]:
    """Radiance's files, plain and packed, and the beginning of an EXR."""
    head = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 16 +X 32\n"
    texel, row = bytes((90, 80, 70, 129)), bytes((2, 2, 0, 32))
    window = struct.pack("<4i", 0, 0, 31, 15)
    attribute = b"dataWindow\0box2i\0" + struct.pack("<I", 16) + window
    return (
        head + texel * 512,
        head + (row + b"".join(bytes((128 + 32, value)) for value in texel)) * 16,
        head + (row + b"".join(bytes((32, *range(value, value + 32))) for value in texel)) * 16,
        b"\x76\x2f\x31\x01\x02\0\0\0" + attribute + b"\0" + bytes(64),
    )


@cache
def bindings() -> tuple[bytes, ...]:
    """Texts that hang two vertices on MakeHuman's base mesh."""
    head = b"name a\nobj_file a.obj\nbasemesh hm08\nx_scale 1 2 1.5\ny_scale 3 4 1\nz_scale 5 6 2\nverts 0\n"
    return (head + b"7\n7 8 9 0.2 0.3 0.5 0.1 -0.2 0\n", head + b"1e999\n", head + b"9" * 400 + b"\n")


@cache
def collections() -> tuple[bytes, ...]:
    """Zips of a material and a picture, stored and packed, and one of names that lead out or occur twice."""
    made = []
    for names in (("skins/a/a.mhmat", "skins/a/b.png"), ("../../etc/passwd", "/a", "skins/\x1b[31m")):
        for packed in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w", packed) as archive:
                for name in names:
                    archive.writestr(name, b"name a\ndiffuseTexture b.png\n" * 9)
            made.append(content.getvalue())
    return tuple(made)


WORDS = (
    "a", "seed", "é", "\u2028", "\x1b[31m", "\x00", "\ufeff", "null", "true", "NaN", "-Infinity", "1e999", "-1e-999",
    "0x" + "f" * 99, "9" * 400, "9" * 5000, "1" + "_0" * 2000, "190:20:30", "2020-99-99", "2020-02-30T25:61:61Z", "0b2",
    "0o9", ".5", "+.inf", "=", "<<",
    '"', "'", "\\", "\\ud800", "\\u0000", "x" * 3000,
)  # fmt: skip
MARKS = {
    "yaml": (
        "\n", "\n  ", "\n    ", ": ", "- ", ", ", "[", "]", "{", "}", "? ", "| ", "> ", "&a ", "*a", "*a, *a", "<<: *a",
        "# ", "--- ", "... ", "%YAML 1.1\n", "%TAG ! tag:x,2000:\n", "!!int ", "!!float ", "!!binary ", "!!timestamp ",
        "!!set ", "!!omap ", "!!pairs ", "!!merge ", "!!python/object/apply:os.system ", "!!python/name:os.system ",
        "!!python/object:pain3d.scene.Scene ", "!x ", "\t", "\r",
    ),
    "json": ("[", "]", "{", "}", ",", ":", '"', '"a":', " ", "\n", "\\", "-", "1", '{"a":[', "]}"),
    "csv": (",", ";", "\t", "\n", "\r\n", "\r", '"', '""', '",', "\n\n", "sample_id,PSPI\n", "1,2\n"),
    "obj": (
        "v ", "vt ", "vn ", "f ", "g ", "usemtl ", "mtllib /etc/passwd\n", "\n", " ", "/", "//", "-1", "0",
        "1/1/1 2/2/2 3/3/3\n", "v 0 0 0\n",
    ),
}  # fmt: skip


def texts(kind: str) -> st.SearchStrategy[bytes]:
    """Words and marks of a language in any order, some of them thousands of times; now and then no UTF-8."""
    word = st.sampled_from(MARKS[kind] * 2 + WORDS) | st.text(max_size=4)
    often = st.sampled_from((1,) * 12 + (3, 40, 150, 20_000))
    run = st.tuples(st.lists(word, min_size=1, max_size=4).map("".join), often).map(
        lambda pair: (pair[0] * pair[1])[:MOST]
    )
    text = st.lists(run, max_size=10).map("".join)
    return text.map(lambda given: given.encode("utf-8", "surrogatepass")[:MOST])


@cache
def weights() -> tuple[bytes, ...]:
    """Files of safetensors with headers that are and aren't true."""

    def of(header: Any, body: bytes = bytes(16), size: int | None = None) -> bytes:
        said = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(said) if size is None else size) + said + body

    one = {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}
    return (
        of(one), of({"__metadata__": {"k": "v"}, **one}), of({}, b""), of(one, b""), of(one, size=2**63),
        of(one, size=2**31), of({"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 16]}}),
        of(b"[" * 10_000, b""), of({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 2**60]}}),
        of({"a": {"dtype": "X", "shape": [], "data_offsets": [0, 0]}}),
        of({"a": {"dtype": "U8", "shape": [0] * 5000, "data_offsets": [0, 0]}}, b""), of(one | {"b": one["a"]}),
    )  # fmt: skip


@cache
def heads() -> tuple[bytes, ...]:
    """npz files: arrays of any kind by the names that a head has, and zips that lie."""
    made = []

    def save(**arrays: Any) -> None:
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)
        made.append(stream.getvalue())

    meta = np.frombuffer(json.dumps({"format": 1, "name": "x", "identity": [], "units": []}).encode(), np.uint8)
    save(meta=meta, template=np.zeros((3, 3), np.float32))
    said = {
        "format": FORMAT,
        "identity": 3,
        "landmarks": [],
        "regions": [],
        "joints": [],
        "parts": [],
        "macro_count": 0,
    }
    for told in (said, said | {"identity": []}, {"format": FORMAT}, [FORMAT]):
        save(meta=np.array(json.dumps(told)), template=np.zeros((3, 3), np.float32))
    save(meta=np.array({"a": 1}, dtype=object))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        np.lib.format.write_array_header_1_0(
            header := io.BytesIO(), {"descr": "<f8", "fortran_order": False, "shape": (10**15,)}
        )
        archive.writestr("template.npy", header.getvalue())
    made.append(stream.getvalue())
    save(meta=np.array('{"format": 1'), faces=np.full((2, 3), 2**31 - 1, np.int32))
    save(meta=np.frombuffer(b"[" * 20_000, np.uint8))
    save(meta=np.array(1.0), template=np.full((2, 2), np.nan))
    return tuple(made)


@cache
def pickles() -> tuple[bytes, ...]:
    """Pickles of arrays as FLAME's are, and of what runs a program."""

    class Program:
        def __reduce__(self) -> Any:
            return print, ("never to be printed",)

    held = {"v_template": np.zeros((3, 3)), "f": np.zeros((1, 3), np.uint32), "shapedirs": np.zeros((3, 3, 2))}
    made = [pickle.dumps(held, protocol) for protocol in (0, 2, 3, 4)]
    made += [pickle.dumps(Program(), protocol) for protocol in (0, 2, 4)]
    made += [
        pickle.dumps({"f": 10**3000}, 2),
        b"(" * 5000 + b"t.",
        b"]" + b"2" * 3000 + b".",
        b"cos\nsystem\n(S'true'\ntR.",
    ]
    return tuple(made)


@st.composite
def parquets(draw: st.DrawFn) -> bytes:
    """A whole file of Parquet of any columns, then damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = draw(st.sampled_from((0, 1, 3, 200)))
    table = {}
    for number in range(draw(st.integers(0, 4))):
        name = draw(st.sampled_from(("sample_id", "image", "PSPI", "é", "\x1b[31m", "x" * 300))) + str(number)
        match draw(st.integers(0, 7)):
            case 0:
                made = pa.array([draw(st.sampled_from(("", "x", "y" * 500)))] * rows).dictionary_encode()
            case 1:
                made = pa.array([None] * rows, pa.float32())
            case 2:
                made = pa.array([[[1.0] * 3] * 3] * rows, pa.list_(pa.list_(pa.float32())))
            case 3:
                made = pa.array(
                    [{"bytes": b"\x89PNG", "path": None}] * rows, pa.struct({"bytes": pa.binary(), "path": pa.string()})
                )
            case 4:
                made = pa.array([0] * rows, pa.int64())
            case 5:
                made = pa.array([b"\xff\xfe"] * rows, pa.binary())
            case 6:
                made = pa.nulls(rows)
            case _:
                made = pa.array(np.arange(rows) % 2 == 0)
        table[name] = made
    stream = io.BytesIO()
    packing = draw(st.sampled_from(("none", "zstd", "snappy", "gzip")))
    pq.write_table(pa.table(table), stream, compression=packing, use_dictionary=draw(st.booleans()), row_group_size=64)
    return draw(damaged((stream.getvalue(),)))


@st.composite
def hdf5s(draw: st.DrawFn) -> bytes:
    """A whole file of HDF5 with arrays, links and storage of any kind under the names of UNBC's, then damaged."""
    import h5py

    with tempfile.NamedTemporaryFile(suffix=".h5") as place:
        with h5py.File(place.name, "w") as file:
            for name in ("image", "PSPI", "Subject_ID", "other"):
                match draw(st.integers(0, 11)):
                    case 0:
                        file[name] = np.arange(12.0).reshape(3, 4)
                    case 1:
                        file.create_dataset(name, (12, 60_000, 60_000, 3), "u1", chunks=(1, 1000, 1000, 3))
                    case 2:
                        file.create_dataset(name, (3, 2), "f4", external=[("../outside/secret.bin", 0, 24)])
                    case 3:
                        file[name] = h5py.ExternalLink("../outside/secret.bin", "/x")
                    case 4:
                        file[name] = h5py.SoftLink(draw(st.sampled_from((f"/{name}", "/image", "/none"))))
                    case 5:
                        file.create_dataset(
                            name, data=np.zeros((3, 5)), compression="gzip", chunks=(1, 5), shuffle=True
                        )
                    case 6:
                        file.create_dataset(name, data=["a", "b\x1b[31m", "c" * 99], dtype=h5py.string_dtype())
                    case 7:
                        file[name] = draw(st.sampled_from((1.0, "x", True)))
                    case 8:
                        file.create_dataset(name, (10**9,), "f8", chunks=(10**6,))
                    case 9:
                        file.create_group(name)["a"] = [1, 2]
                    case 10:
                        file.create_dataset(name, data=np.zeros(3, [("a", "f4"), ("b", "i8")]))
                    case _:
                        layout = h5py.VirtualLayout((3,), "f4")
                        layout[:] = h5py.VirtualSource("../outside/secret.bin", "x", (3,))
                        file.create_virtual_dataset(name, layout)
        whole = Path(place.name).read_bytes()
    return draw(damaged((whole,)))


def names() -> st.SearchStrategy[bytes]:
    """Paths as a manifest might name them."""
    part = st.sampled_from((
        "..", ".", "", "outside", "secret.bin", "pipe", "inside", "stranger.txt", "/etc/passwd", "/dev/full",
        "/dev/zero", "~",
        "\x00", "a" * 300, "C:\\x", "\n", "%2e%2e",
    ))  # fmt: skip
    return st.lists(part | st.text(max_size=3), max_size=6).map(
        lambda parts: "/".join(parts).encode("utf-8", "replace")
    )
