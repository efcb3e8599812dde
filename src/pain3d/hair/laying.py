"""Knows how the hair of many people lies over their posed heads: one list of layers for a picture's renderer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from pain3d.hair.cards import paint_cards
from pain3d.hair.wearing import carry, strip_faces
from pain3d.head.model import Head
from pain3d.kernels.layering import Layers, build_layer_mipmaps
from pain3d.kernels.texturing import Mipmaps

SHARED = ("tint", "occlusion", "gloss")  # fields of a row that its two vertices share


def hair_layers(
    hair: Sequence[Mapping[str, Tensor] | None], head: Head, vertices: Tensor, whose: Sequence[int]
) -> Layers:
    """The hair on M posed heads, as `pain3d.render` takes it; an empty span for who has none that is grown.

    Args:
        hair: Of each of P people, see `on_device`, on the head's device; None grows none. Not all are None.
        head: Whose.
        vertices: [M, V, 3] metres, with the surface that each person's hair was grown on (`haired_surface`).
        whose: M numbers of people.

    Returns:
        Layers with a span for each head, in their order.

    Gradients: none.
    """
    device = vertices.device
    strips = [_strips(one, device) for one in hair]
    fields: dict[str, list[Tensor]] = {name: [] for name in Layers._fields[:8]}
    spans, first_vertex = [], 0
    first_faces = [sum(len(faces) for faces in strips[:k]) for k in range(len(strips))]
    with torch.no_grad():
        for number, posed in zip(whose, vertices, strict=True):
            own = hair[number]
            if own is None:
                spans.append([0, 0, 0, 0])
                continue
            laid = carry(own, head, posed)
            laid |= {name: own[name].repeat_interleave(2, 0) for name in SHARED}
            laid["uvs"] = own["uvs"].reshape(-1, 2)
            for name, parts in fields.items():
                parts.append(laid[name])
            spans.append([first_vertex, len(laid["uvs"]), first_faces[number], len(strips[number])])
            first_vertex += len(laid["uvs"])
    tiles = [
        one["tile"].repeat_interleave(len(faces) // len(one["tile"]))
        for one, faces in zip(hair, strips, strict=True)
        if one is not None
    ]
    return Layers(
        **{name: torch.cat(parts) for name, parts in fields.items()},
        faces=torch.cat(strips),
        face_textures=torch.cat(tiles),
        spans=torch.tensor(spans, device=device),
        texture=card_mipmaps(device),
    )


@lru_cache(maxsize=4)
def card_mipmaps(device: torch.device) -> Mipmaps:
    """The tiles of `paint_cards` and their mip levels."""
    chain = build_layer_mipmaps(torch.from_numpy(paint_cards()))
    return chain._replace(texels=chain.texels.to(device))


def _strips(hair: Mapping[str, Tensor] | None, device: torch.device) -> Tensor:
    if hair is None:
        return torch.zeros(0, 3, dtype=torch.int64, device=device)
    count = len(hair["tile"])
    return torch.from_numpy(strip_faces(count, len(hair["points"]) // count)).to(device)
