"""Writes the packaged places, `environment/data/environments_cc0.npz`, from two packages of CC0 panoramas.

    apt-get download blender-data=3.4.1+dfsg-2 && npm pack @pmndrs/assets@1.7.0
    dpkg-deb -x blender-data_3.4.1+dfsg-2_all.deb blender && tar xzf pmndrs-assets-1.7.0.tgz
    python -m tools.build_environments blender package src/pain3d/environment/data/environments_cc0.npz

It takes `pain3d[exr]`, and refuses panoramas other than those whose licences were read: `environment/data/NOTICE`.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import simplejpeg

from pain3d.doors.panoramas import read_panorama
from pain3d.environment.embedded import ENVIRONMENTS, as_arrays, encoded
from pain3d.environment.panorama import analyse

BLENDER = "usr/share/blender/datafiles/studiolights/world"
QUALITY = 88  # of the strips, which are seen out of focus
# Place: which panorama of which package, and the SHA-256 of its EXR.
SOURCES = {
    "apartment": ("pmndrs", "apartment", "31c62c03b5686b3d899071070ec1bfc760a3ddc1e6a05915ebc28102fef2fb1c"),
    "bedroom": ("blender", "interior", "4f6810b182ade346eac6964bf02405adf430c321b8853a644316af4e05d0fdb5"),
    "lobby": ("pmndrs", "lobby", "55b54fc7b4efc5e9fef27529208d4abe9614839307f40490b135ce75aa08b72c"),
    "classroom": ("pmndrs", "lab", "4f993660d9c53e97cb23f2d901e06aed9bc0323f6cd9079ec0de02e73634796e"),
    "meadow": ("blender", "sunrise", "b97206217e29763d62d9a65ad2d7058460acfb4824659e7a59f5bde374f21937"),
    "courtyard": ("blender", "courtyard", "1518fa37da6a8a389810a7a70262c410553018a51f0be9e248155b9bb363ff3d"),
    "forest": ("blender", "forest", "63ad3243d0f9c29bd1f51b9a3bbf5c0ad25ea39299698dba6cfc29d1660d6008"),
    "city": ("blender", "city", "70940108df90c0721799d29f758ca79e67e509d9a2636487e639db7779561524"),
    "night": ("blender", "night", "a46488f5cb744f325abc9f5af3c3eeb5d9393df69b5178fbe727538522120045"),
}


def panorama_file(blender: Path, package: Path, place: str) -> bytes:
    """The EXR of a place out of the unpacked packages. Raises SystemExit if it is another than was read."""
    whose, name, known = SOURCES[place]
    if whose == "blender":
        content = (blender / BLENDER / f"{name}.exr").read_bytes()
    else:  # a module that exports a data URL
        _, _, coded = (package / "hdri" / f"{name}.exr.js").read_text().partition("base64,")
        content = base64.b64decode(coded.partition("'")[0])
    found = hashlib.sha256(content).hexdigest()
    if found != known:
        raise SystemExit(f"{name}.exr of {whose} has sha256 {found}, not {known}")
    return content


def write(arrays: dict[str, npt.NDArray[Any]], out: Path) -> str:
    """Write the arrays as npz, the same bytes each time; return their SHA-256."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(arrays):
            stream = io.BytesIO()
            np.save(stream, arrays[name])
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, stream.getvalue())
    out.write_bytes(buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def main() -> None:
    """Build the file that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, told in (("blender", "unpacked .deb"), ("package", "unpacked npm package"), ("out", "npz")):
        parser.add_argument(name, type=Path, help=told)
    asked = parser.parse_args()
    arrays: dict[str, npt.NDArray[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for place in ENVIRONMENTS:
            file = Path(folder) / f"{place}.exr"
            file.write_bytes(panorama_file(asked.blender, asked.package, place))
            found = analyse(place, read_panorama(file))
            strip = simplejpeg.encode_jpeg(
                encoded(found.strip), quality=QUALITY, colorspace="RGB", colorsubsampling="444"
            )
            arrays |= as_arrays(found, strip)
            key = f"key {np.round(found.key_direction, 2)} {np.round(found.key_colour, 2)}"
            print(f"{place:10} {key} radius {np.degrees(found.key_radius):.1f}, strip {len(strip)} bytes")
    print(asked.out, write(arrays, asked.out), asked.out.stat().st_size)


if __name__ == "__main__":
    main()
