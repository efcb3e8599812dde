"""Knows people who are kept ready to be rendered: painted once, side by side in memory, one slot each.

To paint a person costs as much as to render dozens of faces, so whoever sees the same people again keeps them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pain3d.device import LastCopy
from pain3d.head.identity import Identity
from pain3d.head.model import Head
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.texturing import Mipmaps
from pain3d.kernels.texturing.reference import level_table
from pain3d.mesh import Surface
from pain3d.rendering.frames import TEXTURE_SIZE, grown_surface
from pain3d.rendering.renderer import prepared_topology
from pain3d.skin import Skin, surface_maps
from pain3d.skin.painting import paint_mipmaps

# Pixels a side of a picture from which on the finest mip level is kept. One of 256 sees 1.0–1.3 mm of the face, a texel
# is 0.4 mm: levels 1 and 2 are read, but for hair. Level 0 is three quarters of the memory; without it faces differ by
# 0.001 to 0.12 levels in the mean (9 pictures of 3 people), where another draw of the noise differs by 1.4.
FINEST_FROM = 384


@dataclass(frozen=True)
class Person:
    """One painted person, on the CPU.

    Attributes:
        identity: [S] coefficients of the identity shapes.
        surface: Hair, cloth and wrinkles, one row.
        texels: [N, 16] the mip chain that is kept.
    """

    identity: Tensor
    surface: Surface
    texels: Tensor


def paint_person(head: Head, identity: Identity, skin: Skin, *, frame: int, wrinkles: bool = True) -> Person:
    """Paint one person; the same arguments give the same bytes, in whichever thread.

    Args:
        head: On the CPU.
        identity: Shape.
        skin: Look.
        frame: Pixels a side of the pictures that the person will be seen in; small ones need no fine texels.
        wrinkles: As in `Scene`.
    """
    chain = paint_mipmaps(surface_maps(head, TEXTURE_SIZE), skin)
    offset = chain.levels()[_first_level(frame)][0]
    return Person(
        head.identity_vector(identity)[0], grown_surface(head, skin, wrinkles), chain.texels[0, offset:].clone()
    )


def _first_level(frame: int) -> int:
    return 0 if frame >= FINEST_FROM else 1


class People:
    """Slots for painted people on one device; all memory is taken at once.

    Args:
        head: On the device; it can be read back, as can `prepared`, what the Triton kernels read of its topology.
        slots: How many people there is room for: 90 MB each, or 22 MB where `frame` is below `FINEST_FROM`.
        frame: As people are painted for.
    """

    def __init__(self, head: Head, slots: int, *, frame: int) -> None:
        self.head = head
        self._side = TEXTURE_SIZE >> _first_level(frame)
        offset, rows, columns = level_table(self._side, self._side)[-1]
        shapes, vertices = len(head.identity_names), len(head.template)

        def room(*shape: int) -> Tensor:
            return torch.zeros(slots, *shape, device=head.device)

        self._texels = torch.empty(slots, offset + rows * columns, CHANNELS, device=head.device)
        self._identity, self._growth, self._resting = room(shapes), room(vertices), room(vertices, 2)
        self._depth, self._cover = room(), room()
        self.prepared = prepared_topology(head)
        self._copied = LastCopy(head.device)
        self._creases: Tensor | None = None  # one for all people of a head

    def __len__(self) -> int:
        return len(self._texels)

    @property
    def texture(self) -> Mipmaps:
        """The textures of all slots."""
        return Mipmaps(self._texels, self._side, self._side)

    def place(self, slot: int, person: Person) -> None:
        """Let a person take a slot; who was there is gone.

        Raises:
            ValueError: The person was painted for pictures of another size.
        """
        if person.texels.shape != self._texels.shape[1:]:
            raise ValueError(
                f"person.texels must be {list(self._texels.shape[1:])}, got {list(person.texels.shape)}: another frame"
            )
        grown = person.surface
        self._texels[slot].copy_(person.texels)
        self._identity[slot].copy_(person.identity)
        self._growth[slot].copy_(grown.growth[0])
        self._resting[slot].copy_(grown.resting[0])
        self._depth[slot].copy_(grown.depth[0])
        self._cover[slot] = 0.0 if grown.cover is None else float(grown.cover[0])
        self._creases = self._copied(grown.creases)

    def seen(self, slots: Tensor) -> tuple[Tensor, Surface]:
        """Identities [B, S] and surfaces of those in the slots [B], as `Head` takes them.

        Raises:
            ValueError: No slot was ever taken.
        """
        if self._creases is None:
            raise ValueError("slots must hold somebody, nobody was placed yet")
        parts = (self._growth[slots], self._resting[slots], self._depth[slots])
        return self._identity[slots], Surface(*parts, creases=self._creases, cover=self._cover[slots])
