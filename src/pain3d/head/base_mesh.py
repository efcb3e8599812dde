"""Knows where the default head lies in MakeHuman's base mesh hm08, for which others make skins and hair.

`data/head_cc0.base.npz` says it; `tools/build_base_mesh.py` writes that file.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

FILE: Final = Path(__file__).parent / "data" / "head_cc0.base.npz"
UV_STEPS: Final = 65535


class BaseMesh(NamedTuple):
    """The default head as a part of hm08.

    Attributes:
        vertices: [N] number in hm08 of the head's first N vertices; those behind are of eyeballs, which are our own.
        uvs: [T, 2] place in the map of hm08, v up, of the head's first T uvs; those behind are of eyeballs.
        hung: [H] numbers in hm08 of vertices that hair and lashes are bound to and the head lacks.
        hung_places: [H, 3] metres, where these stand about the template.
    """

    vertices: npt.NDArray[np.int64]
    uvs: npt.NDArray[np.float32]
    hung: npt.NDArray[np.int64]
    hung_places: npt.NDArray[np.float32]


@lru_cache(maxsize=1)
def read_base_mesh() -> BaseMesh:
    """Read once."""
    with np.load(FILE, allow_pickle=False) as kept:
        return BaseMesh(
            kept["vertices"].astype(np.int64),
            kept["uvs"].astype(np.float32) / np.float32(UV_STEPS),
            kept["helpers"].astype(np.int64),
            kept["helper_places"],
        )
