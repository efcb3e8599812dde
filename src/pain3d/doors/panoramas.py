"""Knows how a stranger's panorama becomes light: Radiance's .hdr, read here, and OpenEXR's .exr, by its own library.

OpenEXR is the extra `pain3d[exr]`; what its header says is asked before the library sees the file. (OpenCV reads both,
but its EXR is switched off by default, and for a reason.)
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import PANORAMA_BYTES, PANORAMA_PIXELS
from pain3d.doors.text import read_bytes

if TYPE_CHECKING:
    from pain3d.environment.panorama import Environment

Floats = npt.NDArray[np.float32]

ENDINGS: Final = (".hdr", ".exr")
BRIGHTEST: Final = 1e6  # times the mean: the sun's disc is 1e5 times its sky
LEAST: Final = 16  # rows
HEADER_BYTES: Final = 4096  # of .hdr: a few lines
RESOLUTION: Final = re.compile(rb"-Y (\d{1,6}) \+X (\d{1,6})")
RUNS: Final = (8, 0x7FFF)  # columns of a row that may be packed
EXR_MAGIC: Final = b"\x76\x2f\x31\x01"
EXR_KINDS: Final = 0x1800  # version bits: deep or in several parts
EXR_HEADER: Final = 2**16  # bytes in which its attributes must end


def read_environment(path: Path) -> Environment:
    """A panorama file as a place, called by the file's name without its ending.

    Raises:
        RefusedError: As `read_panorama`; or it is wholly dark.
    """
    from pain3d.environment.panorama import analyse

    try:
        return analyse(path.stem, read_panorama(path))
    except RefusedError:
        raise
    except ValueError as error:
        raise RefusedError(f"{path}: {one_line(error)}") from error


def read_panorama(path: Path) -> Floats:
    """An equirectangular picture of radiance [h, w, 3], linear, finite, 0 or more; twice as wide as high.

    Args:
        path: A file in Radiance's or OpenEXR's format, whatever its name ends in.

    Raises:
        RefusedError: No such file, neither format, damaged, too large, of other proportions, with numbers that are not
            finite; or EXR where `pain3d[exr]` is not installed. Names the file.
    """
    content = read_bytes(path, PANORAMA_BYTES)
    if content.startswith(EXR_MAGIC):
        _check_proportions(str(path), *_exr_size(content, str(path)))
        radiance = _exr(path)
    elif content.startswith((b"#?RADIANCE", b"#?RGBE")):
        radiance = _radiance(content, str(path))
    else:
        raise RefusedError(f"{path}: neither Radiance's .hdr nor OpenEXR's .exr")
    _check_proportions(str(path), *radiance.shape[:2])
    if not np.isfinite(radiance).all():
        raise RefusedError(f"{path}: has numbers that are not finite")
    mean = float(radiance.mean(dtype=np.float64))
    return np.clip(radiance, 0, BRIGHTEST * max(mean, 0.0))  # what resizing rang below 0 is dark


def _check_proportions(name: str, rows: int, columns: int) -> None:
    if rows * columns > PANORAMA_PIXELS:
        raise RefusedError(f"{name}: too many pixels, {columns} x {rows}; {PANORAMA_PIXELS / 1e6:.0f} million are read")
    if columns != 2 * rows or rows < LEAST:
        raise RefusedError(
            f"{name}: a panorama is twice as wide as high, at least {LEAST} rows, got {columns} x {rows}"
        )


def _radiance(content: bytes, name: str) -> Floats:
    """Pixels of Radiance's RGBE, plain or packed row by row (Ward 1991, "Real Pixels"; `color.c` of Radiance)."""
    end = content.find(b"\n\n", 0, HEADER_BYTES)
    stop = content.find(b"\n", end + 2, end + 2 + 64)
    if end < 0 or stop < 0 or b"FORMAT=32-bit_rle_rgbe" not in content[:end].split(b"\n"):
        raise RefusedError(f"{name}: damaged (no header of 32-bit_rle_rgbe)")
    size = RESOLUTION.fullmatch(content[end + 2 : stop])
    if size is None:
        raise RefusedError(f"{name}: rows must run from the top and the left (-Y h +X w)")
    rows, columns = int(size[1]), int(size[2])
    _check_proportions(name, rows, columns)
    packed = np.frombuffer(content, np.uint8)
    codes, place = np.empty((rows, columns, 4), np.uint8), stop + 1
    for row in codes:
        marks = (2, 2, columns >> 8, columns & 255)
        if RUNS[0] <= columns <= RUNS[1] and content[place : place + 4] == bytes(marks):
            place += 4
            for channel in range(4):
                place = _unpack(content, packed, place, row[:, channel], name)
        else:
            plain = packed[place : place + 4 * columns]
            if len(plain) != 4 * columns:
                raise RefusedError(f"{name}: damaged (ends early)")
            row[:] = plain.reshape(columns, 4)
            place += 4 * columns
    # 2^(e - 128) / 256; an exponent of 0 is black.
    scale = np.where(codes[..., 3] > 0, np.ldexp(np.float32(1), codes[..., 3].astype(np.int32) - 136), 0)
    return np.asarray(codes[..., :3] * scale[..., None].astype(np.float32), np.float32)


def _unpack(content: bytes, packed: npt.NDArray[np.uint8], place: int, row: npt.NDArray[np.uint8], name: str) -> int:
    """Fill one channel of a row with its runs; return where the next begins."""
    filled, columns, size = 0, len(row), len(content)
    while filled < columns:
        if place + 1 >= size:
            raise RefusedError(f"{name}: damaged (ends early)")
        count = content[place]
        if count > 128:
            count -= 128
            values, place = packed[place + 1], place + 2
        else:
            values, place = packed[place + 1 : place + 1 + count], place + 1 + count
        if not 0 < count <= columns - filled or (values.ndim and len(values) != count):
            raise RefusedError(f"{name}: damaged (a run that doesn't fit its row)")
        row[filled : filled + count] = values
        filled += count
    return place


def _exr_size(content: bytes, name: str) -> tuple[int, int]:
    """Rows and columns that the header of an EXR tells (OpenEXR, "File Layout")."""
    version, place = int.from_bytes(content[4:8], "little"), 8
    if version & 0xFF != 2 or version & EXR_KINDS:
        raise RefusedError(f"{name}: an EXR that is deep, in several parts or of another version")
    while place < min(len(content), EXR_HEADER):
        if content[place] == 0:
            break
        fields = content[place : place + 520].split(b"\0", 2)
        if len(fields) < 3 or len(fields[2]) < 4:
            break
        attribute, kind = fields[0], fields[1]
        place += len(attribute) + len(kind) + 2
        size = int.from_bytes(content[place : place + 4], "little")
        place += 4
        if attribute == b"dataWindow" and kind == b"box2i" and size == 16 and place + 16 <= len(content):
            left, top, right, bottom = struct.unpack("<4i", content[place : place + 16])
            if right >= left and bottom >= top:
                return bottom - top + 1, right - left + 1
            break
        place += size
    raise RefusedError(f"{name}: damaged (its header doesn't say how large it is)")


def _exr(path: Path) -> Floats:
    try:
        import OpenEXR
    except ImportError as error:
        raise RefusedError(f"{path}: EXR takes OpenEXR, pip install 'pain3d[exr]'; or save it as .hdr") from error
    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            for name in ("RGB", "RGBA"):
                if name in channels:
                    return np.asarray(channels[name].pixels[..., :3], np.float32)
    except Exception as error:  # whatever OpenEXR's binding raises of a damaged file
        raise RefusedError(f"{path}: damaged ({one_line(error)})") from error
    raise RefusedError(f"{path}: its channels must be R, G and B, all of one type")
