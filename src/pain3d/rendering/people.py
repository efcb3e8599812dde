"""Knows people who are kept ready to be rendered: painted once, hair too, side by side in memory, one slot each.

To paint a person costs as much as to render dozens of faces, so whoever sees the same people again keeps them. Hair
that is grown is grown once likewise, and carried by each face.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pain3d.device import LastCopy, moved_at_once
from pain3d.hair import Hair, dress, hair_layers, on_device
from pain3d.head.model import Head
from pain3d.kernels._described import described
from pain3d.kernels.rendering import CHANNELS
from pain3d.kernels.texturing import Mipmaps
from pain3d.mesh import Surface
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.rendering.renderer import prepared_topology
from pain3d.rendering.scene_inputs import painted_skin, surface_of, wears_ribbons
from pain3d.scene import Scene
from pain3d.setting import FRAME_HEIGHT
from pain3d.skin import surface_maps
from pain3d.skin.painting import chain_length, paint_mipmaps, paint_people

if TYPE_CHECKING:
    from pain3d.kernels.layering import Layers
    from pain3d.skin.sketch import Sketch

# Pixels a side of a picture from which on the finest mip level is kept. One of 256 sees 1.0–1.3 mm of the face, a texel
# is 0.4 mm: levels 1 and 2 are read, but for hair. Level 0 is three quarters of the memory; without it faces differ by
# 0.001 to 0.12 levels in the mean (9 pictures of 3 people), where another draw of the noise differs by 1.4.
FINEST_FROM = 384
TEXTURE_METRES = 0.41  # across 1,024 texels of 0.4 mm on the cheek
LEAST_TEXTURE = 64  # texels a side: smaller ones have no room for the strokes


@dataclass(frozen=True)
class Person:
    """One painted person.

    Attributes:
        identity: [S] coefficients of the identity shapes, on the CPU.
        surface: Hair, cloth and wrinkles, one row, on the CPU.
        texels: [N, 16] the mip chain that is kept, on the device where it was painted.
        hair: Ribbons that lie over the head, see `pain3d.hair`; None: what is painted is all.
    """

    __repr__ = described

    identity: Tensor
    surface: Surface
    texels: Tensor
    hair: Hair | None = None


def paint_persons(
    head: Head,
    scenes: Sequence[Scene],
    *,
    frame: int,
    device: torch.device | str = "cpu",
    sketches: Sequence[Sketch] | None = None,
) -> list[Person]:
    """Paint people; the same person has the same bytes, whoever is painted beside, in whichever thread.

    Args:
        head: On the CPU.
        scenes: One of each: identity, skin, kind of hair and whether it wrinkles are looked at; who has a texture isn't
            painted here.
        frame: Pixels a side of the pictures that they will be seen in; small ones need no fine texels and
            fewer ribbons.
        device: Where to paint.
        sketches: Of each, see `paint_people`.

    Raises:
        ValueError: A scene names a texture, or things to wear.
    """
    for scene in scenes:
        _check_plain(scene)
    if any(scene.texture for scene in scenes):
        raise ValueError("scenes must name no texture: only render_scenes is given any")
    chains = paint_people(surface_maps(head, TEXTURE_SIZE), [painted_skin(scene) for scene in scenes], device, sketches)
    offset = chains.levels()[_first_level(frame)][0]
    kept = chains.texels[:, offset:].clone() if offset else chains.texels
    people = []
    for scene, texels in zip(scenes, kept, strict=True):
        identity, below, hair = _grown(head, scene, frame)
        people.append(Person(identity, below, texels, hair))
    return people


def _grown(head: Head, scene: Scene, frame: int) -> tuple[Tensor, Surface, Hair | None]:
    """Identity [S], surface and hair of a scene's person."""
    identity, below = head.identity_vector(scene.identity), surface_of(head, scene)
    hair = dress(head, scene.skin, identity, below, frame) if wears_ribbons(scene) else None
    return identity[0], below, hair


def _check_plain(scene: Scene) -> None:
    if scene.worn:
        raise ValueError(f"scenes must wear nothing, got {', '.join(scene.worn)}: only render_scenes draws it")


def _first_level(frame: int) -> int:
    return 0 if frame >= FINEST_FROM else 1


def texture_side(frame: int) -> int:
    """Texels a side, a power of two, of a texture that is as fine as pictures of `frame` pixels a side can show.

    The nearest camera sees `FRAME_HEIGHT` metres of the face, a texture's side is `TEXTURE_METRES` on the cheek: its
    texels are no larger than a pixel, and at most twice as fine.
    """
    wanted = frame * TEXTURE_METRES / FRAME_HEIGHT[0]
    return int(min(max(2 ** math.ceil(math.log2(wanted)), LEAST_TEXTURE), TEXTURE_SIZE))


class People:
    """Slots for painted people on one device; all memory is taken at once but that of hair, which comes with a person.

    Args:
        head: On the device; it can be read back, as can `prepared`, what the Triton kernels read of its topology.
        slots: How many people there is room for: 90 MB each of 1,024 texels a side, 22 MB of 512, 6 MB of 256; beside
            it 0.6 MB at most of hair, where it is grown.
        frame: Pixels a side of the pictures that they will be seen in.
        side: Texels a side of the textures; None is what `paint_persons` keeps for `frame`.
    """

    def __init__(self, head: Head, slots: int, *, frame: int, side: int | None = None) -> None:
        self.head = head
        self._frame, self._side = frame, TEXTURE_SIZE >> _first_level(frame) if side is None else side
        shapes, vertices = len(head.identity_names), len(head.template)

        def room(*shape: int) -> Tensor:
            return torch.zeros(slots, *shape, device=head.device)

        self._texels = torch.empty(slots, chain_length(self._side), CHANNELS, device=head.device)
        self._identity, self._growth, self._resting = room(shapes), room(vertices), room(vertices, 2)
        self._depth, self._cover = room(), room()
        self._hair: list[dict[str, Tensor] | None] = [None] * slots
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
            ValueError: The person was painted for pictures of another size, or has hair that a GPU doesn't draw.
        """
        if person.texels.shape != self._texels.shape[1:]:
            raise ValueError(
                f"person.texels must be {list(self._texels.shape[1:])}, got {list(person.texels.shape)}: another frame"
            )
        if person.hair is not None and self.head.device.type != "cpu":
            raise ValueError(f"person.hair must be None on {self.head.device}: ribbons are drawn on the CPU alone")
        self._texels[slot].copy_(person.texels)
        self._dress(slot, person.identity, person.surface, person.hair)

    def paint(self, slot: int, scene: Scene) -> None:
        """Paint a person of a scene straight into a slot, at the slots' texels; who was there is gone.

        Args:
            slot: Which.
            scene: Identity, skin, kind of hair and whether it wrinkles are looked at.

        Raises:
            ValueError: The scene names a texture or things to wear, or the slots are not on the CPU.
        """
        _check_plain(scene)
        if scene.texture:
            raise ValueError(f"scene must name no texture, got {scene.texture}: only render_scenes is given any")
        if self.head.device.type != "cpu":
            raise ValueError(f"slots must be on the CPU to be painted into, these are on {self.head.device}")
        maps = surface_maps(self.head, self._side)
        paint_mipmaps(maps, painted_skin(scene), out=self._texels[slot][None])
        self._dress(slot, *_grown(self.head, scene, self._frame))

    def _dress(self, slot: int, identity: Tensor, grown: Surface, hair: Hair | None) -> None:
        cover = torch.zeros(1) if grown.cover is None else grown.cover
        parts = (identity[None], grown.growth, grown.resting, grown.depth, cover)
        kept = (self._identity, self._growth, self._resting, self._depth, self._cover)
        for room, part in zip(kept, moved_at_once(parts, self.head.device), strict=True):
            room[slot].copy_(part[0])
        self._creases = self._copied(grown.creases)
        self._hair[slot] = None if hair is None else on_device(hair, "cpu")

    def seen(self, slots: Tensor) -> tuple[Tensor, Surface]:
        """Identities [B, S] and surfaces of those in the slots [B], as `Head` takes them.

        Raises:
            ValueError: No slot was ever taken.
        """
        if self._creases is None:
            raise ValueError("slots must hold somebody, nobody was placed yet")
        parts = (self._growth[slots], self._resting[slots], self._depth[slots])
        return self._identity[slots], Surface(*parts, creases=self._creases, cover=self._cover[slots])

    def layers(self, slots: Tensor, vertices: Tensor) -> Layers | None:
        """What lies over M posed heads, as `pain3d.render` takes it; None where nobody's hair is grown.

        Args:
            slots: [M] int64, whose heads.
            vertices: [M, V, 3] metres.
        """
        if not any(self._hair):  # always so on a GPU, which is not asked for its slots
            return None
        seen, whose = torch.unique(slots, return_inverse=True)
        hair = [self._hair[slot] for slot in seen.tolist()]
        return hair_layers(hair, self.head, vertices, whose.tolist()) if any(hair) else None
