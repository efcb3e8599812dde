"""Knows how layers of several kinds become one list: hair and what lies on it, mesh by mesh."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pain3d.kernels.layering.bundles import Layers
from pain3d.kernels.texturing.reference import Mipmaps

OF_VERTICES = Layers._fields[:8]


def join_layers(layers: Sequence[Layers]) -> Layers:
    """Layers of the same M meshes as one; of fragments at equal depth the earlier layers' are nearer.

    Args:
        layers: At least one, each with a span for each mesh and, if they are several, mip chains of one size.

    Gradients: to all that has any.

    Raises:
        ValueError: Numbers of spans or sizes of textures differ, or a texture is no mip chain.
    """
    if len(layers) == 1:
        return layers[0]
    chains = [one.texture for one in layers]
    sizes = {tuple(chain[1:]) if isinstance(chain, Mipmaps) else None for chain in chains}
    if len({len(one.spans) for one in layers}) > 1 or len(sizes) > 1 or None in sizes:
        raise ValueError("layers must have as many spans and mip chains of one size to be joined")
    parts: dict[str, list[Tensor]] = {name: [] for name in OF_VERTICES}
    faces, textures, spans = [], [], []
    known: dict[tuple[int, ...], tuple[int, int]] = {}  # faces that meshes share are joined once
    first_vertex = first_face = 0
    tables = [one.spans.tolist() for one in layers]
    for rows in zip(*tables, strict=True):
        key = tuple(number for row in rows for number in row[1:])
        if key not in known:
            before = texture = 0
            for one, (_, vertices, start, count) in zip(layers, rows, strict=True):
                faces.append(one.faces[start : start + count].long() + before)
                textures.append(one.face_textures[start : start + count].long() + texture)
                before, texture = before + vertices, texture + len(_texels(one))
            known[key] = first_face, sum(row[3] for row in rows)
            first_face += known[key][1]
        for one, (start, vertices, _, _) in zip(layers, rows, strict=True):
            for name, kept in parts.items():
                kept.append(getattr(one, name)[start : start + vertices])
        count = sum(row[1] for row in rows)
        spans.append([first_vertex, count, *known[key]])
        first_vertex += count
    chain = chains[0]
    assert isinstance(chain, Mipmaps)
    return Layers(
        **{name: torch.cat(kept) for name, kept in parts.items()},
        faces=torch.cat(faces),
        face_textures=torch.cat(textures),
        spans=torch.tensor(spans, device=layers[0].spans.device),
        texture=chain._replace(texels=torch.cat([_texels(one) for one in layers])),
    )


def _texels(layers: Layers) -> Tensor:
    assert isinstance(layers.texture, Mipmaps)
    return layers.texture.texels
