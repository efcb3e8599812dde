"""Knows how things are put on: made once on the neutral head, then carried along by every expression and pose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.hair.wearing import carry, frame_vertices
from pain3d.head.model import Head
from pain3d.kernels.layering import Layers, build_layer_mipmaps
from pain3d.kernels.texturing import Mipmaps
from pain3d.mesh import Surface
from pain3d.random import keyed_generator
from pain3d.worn.cannula import make_cannula
from pain3d.worn.cap import make_cap
from pain3d.worn.choice import CANNULA, CAP, COVERINGS, GLASSES, MASK, SCARF
from pain3d.worn.face import Face
from pain3d.worn.glasses import make_glasses
from pain3d.worn.mask import make_mask
from pain3d.worn.pieces import joined, paint_tiles
from pain3d.worn.scarf import make_scarf

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
MAKERS = {CANNULA: make_cannula, MASK: make_mask, GLASSES: make_glasses, CAP: make_cap, SCARF: make_scarf}
SHARED = ("tint", "occlusion", "gloss")  # fields of a row that its two vertices share


class Worn(NamedTuple):
    """What one person wears on the neutral head: R rows as those of `pain3d.hair.Hair`, metres, each its own root."""

    points: Floats
    sides: Floats
    tangents: Floats
    normals: Floats
    tint: Floats
    occlusion: Floats
    gloss: Floats
    uvs: Floats
    rests: Floats
    corners: Whole
    shares: Floats
    anchors: Floats
    frames: Floats
    faces: Whole
    tiles: Whole


def wear(head: Head, names: Sequence[str], key: tuple[int, int], identity: Tensor, surface: Surface) -> Worn | None:
    """Put on what is named, on the CPU; the same bytes whoever else is dressed. None where nothing lies on the head.

    Args:
        head: On the CPU.
        names: Of `THINGS`; those that are no layers (bed, gown) count for nothing here.
        key: Seed and number of the identity, which key each thing's shape and colour.
        identity: [1, S] coefficients.
        surface: What stands off the skin.

    Gradients: none.
    """
    makers = {name: make for name, make in MAKERS.items() if name in names}
    if not makers:
        return None
    seed, number = key
    kinds = {name: (name not in COVERINGS, name == SCARF) for name in makers}
    faces = {
        kind: Face(head, identity, surface, pressed=kind[0], laid=kind[1]) for kind in dict.fromkeys(kinds.values())
    }
    piece = joined(
        [make(faces[kinds[name]], keyed_generator(seed, f"worn/{name}", number)) for name, make in makers.items()]
    )
    still = piece.shares.sum(1) == 0  # what no skin moves is held by the skull
    frames = frame_vertices(head)
    piece.holders[still], piece.shares[still] = frames[0, 0], (1.0, 0.0, 0.0)
    shown = next(iter(faces.values())).shown
    held = np.einsum("rkc,rk->rc", shown[piece.holders], piece.shares)

    def metres(field: npt.NDArray[np.float64]) -> Floats:
        return np.asarray(field * 1e-3, np.float32)

    def plain(field: npt.NDArray[np.float64]) -> Floats:
        return np.asarray(field, np.float32)

    return Worn(
        points=metres(piece.points),
        sides=metres(piece.sides),
        tangents=plain(piece.tangents),
        normals=plain(piece.normals),
        tint=plain(piece.tint),
        occlusion=plain(piece.occlusion),
        gloss=plain(piece.gloss),
        uvs=plain(piece.uvs),
        rests=plain(piece.rests),
        corners=piece.holders,
        shares=plain(piece.shares),
        anchors=metres(held),
        frames=metres(shown[frames]),
        faces=piece.faces,
        tiles=piece.tiles,
    )


def worn_layers(
    worn: Sequence[Mapping[str, Tensor] | None], head: Head, vertices: Tensor, whose: Sequence[int]
) -> Layers:
    """What P people wear on M posed heads, as `pain3d.render` takes it; an empty span for who wears nothing.

    Args:
        worn: Fields of `Worn` by name, on the head's device; None wears nothing.
        head: Whose.
        vertices: [M, V, 3] metres.
        whose: M numbers of people.

    Gradients: none.
    """
    device = vertices.device
    fields: dict[str, list[Tensor]] = {name: [] for name in Layers._fields[:8]}
    faces = [one["faces"] for one in worn if one is not None]
    counts = [0 if one is None else len(one["faces"]) for one in worn]
    spans, first = [], 0
    with torch.no_grad():
        for number, posed in zip(whose, vertices, strict=True):
            own = worn[number]
            if own is None:
                spans.append([0, 0, 0, 0])
                continue
            laid = carry(own, head, posed)
            laid |= {name: own[name].repeat_interleave(2, 0) for name in SHARED}
            laid["uvs"] = own["uvs"].reshape(-1, 2)
            for name, parts in fields.items():
                parts.append(laid[name])
            spans.append([first, len(laid["uvs"]), sum(counts[:number]), counts[number]])
            first += len(laid["uvs"])
    return Layers(
        **{name: torch.cat(parts) for name, parts in fields.items()},
        faces=torch.cat(faces),
        face_textures=torch.cat([one["tiles"] for one in worn if one is not None]),
        spans=torch.tensor(spans, device=device),
        texture=_mipmaps(device),
    )


@lru_cache(maxsize=4)
def _mipmaps(device: torch.device) -> Mipmaps:
    chain = build_layer_mipmaps(torch.from_numpy(paint_tiles()))
    return chain._replace(texels=chain.texels.to(device))
