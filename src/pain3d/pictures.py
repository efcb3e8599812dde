"""Knows which picture files are opened, and opens them: the one door to Pillow's readers.

Pillow tells a file by its content, not by its name, and reads some forty formats; for one of them, EPS, it starts
Ghostscript, which runs the program that such a file is. So only the formats of FORMATS are tried.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pain3d.console.refused import RefusedError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

FORMATS: Final = ("JPEG", "PNG", "WebP", "TIFF", "BMP", "GIF", "AVIF")  # pictures by nature, decoded in this process
READABLE: Final = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"


def open_picture(path: Path) -> ImageFile:
    """Open a picture file; its pixels are decoded when they are asked for. To be used in a ``with``.

    Args:
        path: A file in one of FORMATS, whatever its name ends in.

    Raises:
        RefusedError: It is in another format or none, or has more pixels than Pillow holds for an honest picture
            (179 million); names the file.
        OSError: It can't be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise RefusedError(f"{path}: not a picture that can be read here, convert it to {READABLE}") from None
    except Image.DecompressionBombError:
        raise RefusedError(f"{path}: too many pixels, make it smaller") from None
