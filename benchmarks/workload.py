"""Knows the inputs of a case: a ring of input sets of one size, and what they share.

Rounds walk around the ring, so that no round finds its inputs in a cache. `benchmarks.sampled` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from pain3d.head.identity import Identity
from pain3d.kernels import Mipmaps
from pain3d.skin import Skin


@dataclass(frozen=True)
class Size:
    """How large a round is.

    Attributes:
        batch: Pictures, meshes or pairs in it.
        side: Pixels a side; 0 where there are no pictures.
        meshes: Meshes that the pictures show, each from batch / meshes cameras, one after the other; people of a cross
            product (expressions: batch / meshes); 0: as many as the batch.
        channels: Numbers per vertex that are seen per pixel (heatmaps).
    """

    batch: int
    side: int = 0
    meshes: int = 0
    channels: int = 0

    def __str__(self) -> str:
        parts = [f"{self.batch}", f"{self.side}px" if self.side else "", f"{self.meshes}m" if self.meshes else ""]
        return "-".join(part for part in [*parts, f"{self.channels}ch" if self.channels else ""] if part)


@dataclass(frozen=True)
class Shared:
    """What all input sets of a workload share, on its device. Letters as in CONVENTIONS.md; K textures.

    Attributes:
        template: [V, 3] metres, and so on as in `Head`: identity_basis [S, V, 3], expression_basis [U, V, 3].
        skin_joints: [V, 3] int32 and skin_weights [V, 3].
        faces: [F, 3] int32; adjacent_faces [F, 3]; uvs [T, 2], v up; uv_faces [F, 3]; occlusion [V].
        textures: [K, Ht, Wt, 16] as `render` takes them, without relief; K is 0 where nothing is painted.
        mipmaps: The chain of `textures`, None where nothing is painted.
        background: [3] linear, the flat colour behind every head.
    """

    template: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    skin_joints: Tensor
    skin_weights: Tensor
    faces: Tensor
    adjacent_faces: Tensor
    uvs: Tensor
    uv_faces: Tensor
    occlusion: Tensor
    textures: Tensor
    mipmaps: Mipmaps | None
    background: Tensor


@dataclass(frozen=True)
class ViewSet:
    """Inputs of one round of pictures: M meshes, N pictures.

    Attributes:
        vertices: [M, V, 3] metres, world, posed.
        mesh_index: [N] int64 into vertices.
        texture_index: [N] int64 into `Shared.textures`.
        world_to_clip: [N, 4, 4], see CONVENTIONS.md; camera_position [N, 3].
        sh: [N, 9, 3] radiance; key_direction [N, 3]; key_colour [N, 3]; exposure [N].
        heat: [M, V, A] millimetres; A is 0 without heatmaps.
    """

    vertices: Tensor
    mesh_index: Tensor
    texture_index: Tensor
    world_to_clip: Tensor
    camera_position: Tensor
    sh: Tensor
    key_direction: Tensor
    key_colour: Tensor
    exposure: Tensor
    heat: Tensor


@dataclass(frozen=True)
class MeshSet:
    """Inputs of one round of deformation: I people, E expressions, B meshes (or pairs), every coefficient in use.

    Attributes:
        identity: [I, S]; expression [E, U] coefficients. Without pairs I = E = B.
        coefficients: [B, S + U], both of each mesh side by side.
        identity_index: [B] int64 person of each mesh; expression_index [B].
        joint_transforms: [B, 5, 4, 4] rest to posed.
        axis_angle: [B, 5, 3] radians, that the transforms are made of; joints [B, 5, 3] metres at rest.
    """

    identity: Tensor
    expression: Tensor
    coefficients: Tensor
    identity_index: Tensor
    expression_index: Tensor
    joint_transforms: Tensor
    axis_angle: Tensor
    joints: Tensor


@dataclass(frozen=True)
class PictureSet:
    """Inputs of one round of encoding: image [N, H, W, 3] uint8, rendered heads."""

    image: Tensor


@dataclass(frozen=True)
class SkinSet:
    """Inputs of one round of painting: who."""

    skins: tuple[Skin, ...]


@dataclass(frozen=True)
class PersonSet:
    """Inputs of one round of texturing: who, in which skin, and what a painter made: pictures [N, H, W, 3] sRGB."""

    who: Identity
    skin: Skin
    pictures: Tensor


@dataclass(frozen=True)
class TokenSet:
    """Inputs of one round of distillation: what `pain3d.kernels.distill_loss` takes, by name; tokens [B, L, D]."""

    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class ProjectionSet:
    """Inputs of one round of back-projection: what `pain3d.kernels.backproject` takes, by name."""

    inputs: dict[str, Tensor]


@dataclass(frozen=True)
class Workload:
    """A case's inputs: what is shared, and the ring of sets. `size.side` is the side of the pictures."""

    case: str
    size: Size
    device: str
    shared: Shared
    ring: tuple[
        Any, ...
    ]  # ViewSet, MeshSet, PictureSet, SkinSet, PersonSet, TokenSet or ProjectionSet; None for the command line

    def few(self, batch: int) -> Workload:
        """The first `batch` pictures or meshes of every set, for who would need minutes for all of them."""
        if batch >= self.size.batch:
            return self
        ring = tuple(_first(each, batch) for each in self.ring)
        meshes = len(ring[0].vertices) if isinstance(ring[0], ViewSet) else 0
        return replace(self, size=replace(self.size, batch=batch, meshes=meshes), ring=ring)


def _first(each: Any, batch: int) -> Any:
    if isinstance(each, PictureSet):
        return PictureSet(each.image[:batch])
    if isinstance(each, MeshSet):
        whole = ("identity", "expression")
        kept = {f.name: getattr(each, f.name)[:batch] for f in fields(each) if f.name not in whole}
        return MeshSet(identity=each.identity, expression=each.expression, **kept)
    views = {f.name: getattr(each, f.name)[:batch] for f in fields(each) if f.name not in ("vertices", "heat")}
    meshes = int(views["mesh_index"].max()) + 1
    return ViewSet(vertices=each.vertices[:meshes], heat=each.heat[:meshes], **views)
