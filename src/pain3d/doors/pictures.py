"""Knows how a picture becomes pixels, in the whole house: which files are opened, how deep, how large, which way up.

Pillow tells a file by its content, not by its name, and reads some forty formats; for one of them, EPS, it starts
Ghostscript, which runs the program that such a file is. So only the formats of FORMATS are tried. A JPEG is decoded by
simplejpeg, in half of Pillow's time, and turned as Pillow would turn it.
"""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.limits import PICTURE_BYTES, PICTURE_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

Pixels = npt.NDArray[np.uint8]

FORMATS: Final = ("JPEG", "PNG", "WebP", "TIFF", "BMP", "GIF", "AVIF")  # pictures by nature, decoded in this process
READABLE: Final = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"  # what Git LFS leaves in the place of a file
INKS: Final = ("CMYK", "YCCK")  # of a JPEG: colours that simplejpeg doesn't turn into RGB
# Where a JPEG may say which way up it is: in EXIF, or in XMP. Few do, and only these are opened twice.
SAYS_MORE: Final = (b"Exif\x00\x00", b"tiff:Orientation")
ORIENTATION: Final = 0x0112  # EXIF 2.3, 4.6.4 A: 1 is upright
# How the stored rows become the upright picture's: exchanged with the columns, then rows and columns turned round.
TURNS: Final = {
    2: (False, 1, -1), 3: (False, -1, -1), 4: (False, -1, 1),
    5: (True, 1, 1), 6: (True, 1, -1), 7: (True, -1, -1), 8: (True, -1, 1),
}  # fmt: skip
PNG_START: Final = b"\x89PNG\r\n\x1a\n"
PNG_HEADER: Final = 33  # bytes
PNG_ALPHA: Final = 6  # the kind of colour: red, green, blue and alpha
PNG_CHUNK: Final = 12  # bytes of one that holds nothing: its length, its kind, its checksum
BITS_OF_TIFF: Final = 258  # the tag of bits a channel
DEEP: Final = "I;16"  # how Pillow's names of grey with 9 to 16 bits begin
DEPTHS: Final = {"I": "whole numbers of 32 bits", "F": "floats"}  # nobody knows which of them is white


def read_picture(path: Path) -> Pixels:
    """A picture file as [H, W, 3] sRGB, upright as its EXIF tag says; the first frame of several.

    Of 16 bits a channel the upper 8 are taken, of grey as of colour: 65,535 is 255. Where alpha hides a part, the
    colour that is stored there is seen.

    Args:
        path: A file in one of FORMATS, whatever its name ends in.

    Raises:
        RefusedError: No such file, none of FORMATS, damaged, too large, wholly transparent, or of pixels without a
            known white; names the file.
    """
    if not path.is_file():
        raise RefusedError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}")
    try:
        if path.stat().st_size > PICTURE_BYTES:
            raise RefusedError(f"{path}: larger than {PICTURE_BYTES / 1e6:.0f} MB, make it smaller")
        content = path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path}: can't be read ({error.strerror})") from error
    return decode_picture(content, str(path))


def decode_picture(content: bytes, name: str) -> Pixels:
    """As `read_picture`, of a file's bytes; `name` is what an error calls it."""
    import simplejpeg

    if content.startswith(LFS_POINTER):
        raise RefusedError(f"{name}: a Git LFS pointer, not the picture; `git lfs pull` fetches it")
    try:
        if simplejpeg.is_jpeg(content):
            height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
            _check_size(name, width, height)
            if colours not in INKS:
                pixels = simplejpeg.decode_jpeg(content, "RGB", strict=True)  # a truncated one is no grey half
                return _turned(pixels, _orientation(content) if any(word in content for word in SAYS_MORE) else 1)
        with warnings.catch_warnings():  # of damaged EXIF, to which no picture here owes more than its way up
            warnings.simplefilter("ignore")
            with _opened(content, name) as file:
                _check_size(name, *file.size)
                return _turned(_rgb(file, name), file.getexif().get(ORIENTATION, 1))
    except RefusedError:  # a ValueError, too
        raise
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise RefusedError(f"{name}: damaged ({one_line(error)})") from error


def decode_layer(content: bytes, name: str) -> Pixels:
    """As `decode_picture`, with its alpha: [H, W, 4], not turned; alpha is 255 where the file has none."""
    colours = decode_picture(content, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(content, name) as file:
            if not file.has_transparency_data:
                return np.dstack([colours, np.full(colours.shape[:2], 255, np.uint8)])
            return np.asarray(file.convert("RGBA"), np.uint8)


def has_alpha(content: bytes) -> bool:
    """Whether the header of a PNG says that its pixels are colours with alpha (PNG 1.2, 11.2.2)."""
    return content[:8] == PNG_START and len(content) >= PNG_HEADER and content[25] == PNG_ALPHA


def decode_heatmap(content: bytes) -> Pixels:
    """The levels [H, W] of a heat map, an 8-bit grey PNG. Raises ValueError if it isn't one, or has PICTURE_PIXELS."""
    return np.asarray(decode_levels(content, 8), np.uint8)


def decode_levels(content: bytes, bits: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """The levels [H, W] of a grey PNG of 8 or 16 bits. Raises ValueError if it isn't one, or has PICTURE_PIXELS."""
    # PNG 1.2, 11.2.2: the header says width, height, bits a channel and, 0 for grey, the colours.
    if (
        content[:8] == PNG_START
        and content[12:16] == b"IHDR"
        and len(content) >= PNG_HEADER
        and content[24:26] == bytes([bits, 0])
    ):
        width, height = struct.unpack(">II", content[16:24])
        if width * height <= PICTURE_PIXELS:
            try:
                with _opened(_bare(content), "levels") as file:
                    levels = np.array(file)
            except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
                raise ValueError(f"damaged PNG ({one_line(error)})") from error
            if levels.shape == (height, width):
                return np.asarray(levels, np.uint8) if bits == 8 else np.asarray(levels, np.uint16)
    raise ValueError(f"not a{'n' if bits == 8 else ''} {bits}-bit grey PNG")


def _bare(content: bytes) -> bytes:
    """A PNG's header, pixels and end alone (PNG 1.2, 4.1): what else stands there can only be wrong, or warned of."""
    parts, start, kind = [content[:PNG_HEADER]], PNG_HEADER, b""
    while kind != b"IEND" and start + PNG_CHUNK <= len(content):
        length, kind = struct.unpack(">I4s", content[start : start + 8])
        if kind in (b"IDAT", b"IEND"):
            parts.append(content[start : start + PNG_CHUNK + length])
        start += PNG_CHUNK + length
    return b"".join(parts)


def told_size(content: bytes) -> tuple[int, int]:
    """Width and height that the header of a PNG or JPEG tells. Raises ValueError if it is neither."""
    import simplejpeg

    if content[:8] == PNG_START and len(content) >= PNG_HEADER:
        width, height = struct.unpack(">II", content[16:24])
    else:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
    return int(width), int(height)


def _opened(content: bytes, name: str) -> ImageFile:
    """The one door to Pillow's readers; its pixels are decoded when they are asked for."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise RefusedError(f"{name}: not a picture that can be read here, convert it to {READABLE}") from None
    except Image.DecompressionBombError:
        raise RefusedError(f"{name}: too many pixels, make it smaller") from None


def _check_size(name: str, width: int, height: int) -> None:
    if width * height > PICTURE_PIXELS:
        raise RefusedError(
            f"{name}: too many pixels, {width} x {height}; make it smaller, {PICTURE_PIXELS / 1e6:.0f} million are read"
        )


def _orientation(content: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _opened(content, "picture") as file:
            return int(file.getexif().get(ORIENTATION, 1))


def _rgb(file: ImageFile, name: str) -> Pixels:
    """Pixels [H, W, 3] as they are stored."""
    if file.mode.startswith(DEEP):
        bits = file.tag_v2[BITS_OF_TIFF][0] if file.format == "TIFF" else 16  # type: ignore[attr-defined]
        grey = np.asarray(file) >> (bits - 8)
        return np.repeat(grey.astype(np.uint8)[..., None], 3, 2)
    if file.mode in DEPTHS:
        raise RefusedError(f"{name}: its pixels are {DEPTHS[file.mode]}, save it with 8 or 16 bits a channel")
    image: Image = file
    if file.has_transparency_data:
        image = file.convert("RGBA")
        if image.getchannel("A").getextrema() == (0, 0):
            raise RefusedError(f"{name}: fully transparent, nothing is to be seen")
    return np.asarray(image.convert("RGB"), np.uint8)


def _turned(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels upright; an orientation that EXIF doesn't know leaves them."""
    if orientation not in TURNS:
        return pixels
    exchanged, rows, columns = TURNS[orientation]
    upright = pixels.swapaxes(0, 1) if exchanged else pixels
    return np.ascontiguousarray(upright[::rows, ::columns])
