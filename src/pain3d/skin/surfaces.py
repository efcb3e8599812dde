"""Knows what a person's skin adds to a head's shape: hair and cloth that stand off it, wrinkles at rest and moved."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin, people_of
from pain3d.skin.crease_weights import creases
from pain3d.skin.shell import cover, growth

# Wrinkles of a movement are deeper in old skin, which is thinner and stays folded: shallower at 20 than at 90.
DEPTH_AGES, DEPTHS = (20.0, 90.0), (0.90, 1.15)
DEPTH_SPREAD = 0.10  # standard deviation between people of one age


def surface(head: Head, skin: Skin | Sequence[Skin]) -> Surface:
    """The surface of one person or of P, on the head's device, as `Head` and `Renderer` take it.

    Args:
        head: Whose vertices; what is the same for all people of a head is made once and shared.
        skin: Who: one, or P of them in the order of their identities.

    Returns:
        Surface with `growth` [P, V], `resting` [P, V, 2], `depth` [P], `cover` [P] and `creases` [A, 2, V, 2].

    Gradients: none.

    Raises:
        ValueError: Nobody is given, or the head is another maker's.
    """
    head.needs("procedural skin")
    skins = people_of(skin)
    wrinkled = creases(head)
    return Surface(
        growth=torch.cat([growth(head, one) for one in skins]),
        resting=torch.stack([wrinkled.resting + wrinkled.aged * one.age_marks for one in skins]),
        depth=torch.tensor([_depth(one) for one in skins], dtype=torch.float32, device=head.device),
        creases=wrinkled.brought,
        cover=torch.tensor([cover(one) for one in skins], device=head.device),
    )


def _depth(skin: Skin) -> float:
    normal = float(keyed_generator(skin.seed, "skin/depth", skin.identity).standard_normal())
    return mean_depth(skin.age) * (1 + DEPTH_SPREAD * min(max(normal, -1.5), 1.5))


def mean_depth(age: float) -> float:
    """Of the wrinkles that a movement brings, among people of an age: a factor."""
    share = min(max((age - DEPTH_AGES[0]) / (DEPTH_AGES[1] - DEPTH_AGES[0]), 0.0), 1.0)
    return DEPTHS[0] + (DEPTHS[1] - DEPTHS[0]) * share
