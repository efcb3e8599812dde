"""Knows what a person's skin adds to a head's shape: hair and cloth that stand off it, wrinkles at rest and moved."""

from __future__ import annotations

import torch

from pain3d.head.model import Head
from pain3d.mesh import Surface
from pain3d.random import keyed_generator
from pain3d.skin.appearance import Skin
from pain3d.skin.crease_weights import creases
from pain3d.skin.shell import cover, growth

# Wrinkles of a movement are deeper in old skin, which is thinner and stays folded: shallower at 20 than at 90.
DEPTH_AGES, DEPTHS = (20.0, 90.0), (0.90, 1.15)
DEPTH_SPREAD = 0.10  # standard deviation between people of one age


def surface(head: Head, skin: Skin) -> Surface:
    """One person's surface, on the head's device.

    Args:
        head: Whose vertices; what is the same for all people of a head is made once and shared.
        skin: Who.

    Returns:
        Surface with `growth` [1, V], `resting` [1, V, 2], `depth` [1] and `creases` [A, 2, V, 2].

    Gradients: none.
    """
    wrinkled = creases(head)
    normal = float(keyed_generator(skin.seed, "skin/depth", skin.identity).standard_normal())
    share = min(max((skin.age - DEPTH_AGES[0]) / (DEPTH_AGES[1] - DEPTH_AGES[0]), 0.0), 1.0)
    depth = (DEPTHS[0] + (DEPTHS[1] - DEPTHS[0]) * share) * (1 + DEPTH_SPREAD * min(max(normal, -1.5), 1.5))
    return Surface(
        growth=growth(head, skin),
        resting=(wrinkled.resting + wrinkled.aged * skin.age_marks)[None],
        depth=torch.tensor([depth], dtype=torch.float32, device=head.device),
        creases=wrinkled.brought,
        cover=torch.tensor([cover(skin)], device=head.device),
    )
