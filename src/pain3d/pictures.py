"""Knows which picture files are opened, and opens them: the one door to Pillow's readers.

Pillow tells a file by its content, not by its name, and reads some forty formats; for one of them, EPS, it starts
Ghostscript, which runs the program that such a file is. So only the formats of FORMATS are tried.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pain3d.console.refused import RefusedError

if TYPE_CHECKING:
    import numpy.typing as npt
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


def read_upright(path: Path) -> npt.NDArray[np.uint8]:
    """A picture file as [H, W, 3] RGB, upright as its EXIF tag says; the first frame of several.

    Raises:
        RefusedError: No such file, not a picture, damaged, or of a depth that isn't 8 bits.
    """
    import warnings

    from PIL import Image, ImageOps

    if not path.is_file():
        raise RefusedError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of half of what is refused
            file = open_picture(path)
        with file:
            if file.mode.startswith(("I", "F")):
                raise RefusedError(f"{path}: its pixels are {file.mode}, save it with 8 bits a channel")
            upright = ImageOps.exif_transpose(file)
            return np.asarray(upright.convert("RGB"), np.uint8)
    except RefusedError:  # a ValueError, too
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise RefusedError(f"{path}: damaged ({' '.join(str(error).split())})") from error
