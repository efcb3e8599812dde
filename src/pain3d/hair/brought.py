"""Knows hair that others made for MakeHuman's base mesh hm08, of which our head is a part: bound meshes with alpha.

On a person's neutral head each vertex stands where its binding says; from there it is carried as ribbons are: with the
skull, bent towards the shoulders where it hangs below the neck, and by what an expression moves of what it is bound to.
Vertices of the base mesh that the head lacks (helpers that long hair hangs on) move as the skin nearest to them.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.console.refused import RefusedError
from pain3d.doors.limits import ASSET_TEXT_BYTES, PICTURE_BYTES
from pain3d.doors.makehuman import Binding, parse_binding, parse_material
from pain3d.doors.paths import named_file
from pain3d.doors.pictures import decode_layer
from pain3d.doors.text import read_bytes, read_text
from pain3d.hair.wearing import RESTS, SHOULDERS, _rigid, _turned, frame_vertices
from pain3d.head.base_mesh import read_base_mesh
from pain3d.head.foreign.wavefront import WavefrontMesh, read_obj
from pain3d.head.model import Head
from pain3d.kernels.deformation import vertex_normals
from pain3d.kernels.layering import Layers
from pain3d.kernels.texturing import Mipmaps
from pain3d.skin.smooth_step import ramp

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
DECIMETRE: Final = 0.1  # m, the unit of bindings
TEXELS: Final = 512  # a side of what an item wears: a head of hair seen at 512² has no more
NEAREST: Final = 8  # vertices of skin that a helper moves with
LEAST: Final = 0.6  # occlusion of the lowest hair
OPEN: Final = 0.04  # m off the skull from which on light reaches hair from all sides


class Cards(NamedTuple):
    """An item on one person's neutral head: N vertices, metres.

    Attributes:
        points: [N, 3].
        tangents: [N, 3] unit, along the texture towards its lower end.
        normals: [N, 3] unit, outward.
        occlusion: [N] 0–1.
        rests: [N] how much a vertex follows the shoulders instead of the skull.
        uvs: [N, 2], v up.
        faces: [F, 3].
        corners: [N, 3] vertices of the head that each moves with in an expression.
        shares: [N, 3] of these; 0 of helpers.
        frames: [2, 3, 3] three vertices each of skull and torso of the neutral head.
    """

    points: Tensor
    tangents: Tensor
    normals: Tensor
    occlusion: Tensor
    rests: Tensor
    uvs: Tensor
    faces: Tensor
    corners: Tensor
    shares: Tensor
    frames: Tensor


class Item(NamedTuple):
    """What somebody made: its binding, its mesh, and the albedo and alpha [1, S, S, 4] that it wears, linear."""

    binding: Binding
    mesh: WavefrontMesh
    texture: Tensor


def read_item(path: Path) -> Item:
    """An item of MakeHuman by its .mhclo, with the OBJ, the material and the picture that lie beside it.

    Raises:
        RefusedError: A file that is not there, leads elsewhere or can't be read.
        HeadFileError: Of the OBJ, by its line.
    """
    binding = parse_binding(read_text(path, ASSET_TEXT_BYTES, errors="replace"), str(path))
    mesh = read_obj(named_file(path.parent, binding.mesh, path))
    material = named_file(path.parent, binding.material, path)
    picture = named_file(path.parent, parse_material(read_text(material, ASSET_TEXT_BYTES)).picture, material)
    seen = cv2.resize(
        decode_layer(read_bytes(picture, PICTURE_BYTES), str(picture)), (TEXELS, TEXELS), interpolation=cv2.INTER_AREA
    )
    levels = np.asarray(seen, np.float64) / 255
    texture = np.concatenate([srgb_to_linear(levels[..., :3]), levels[..., 3:]], -1)
    return Item(binding, mesh, _single(texture)[None])


def hang(binding: Binding, mesh: WavefrontMesh, head: Head, still: Tensor, name: str = "hair") -> Cards:
    """Hang an item on a person's neutral head, on the CPU.

    Args:
        binding: Of N vertices.
        mesh: Of as many.
        head: Whose shape.
        still: [V, 3] metres, the neutral head.
        name: What an error calls the item.

    Gradients: none.

    Raises:
        RefusedError: Mesh and binding don't belong together, the mesh has no uvs, or it hangs on what the head lacks.
    """
    if len(mesh.places) != len(binding.corners):
        raise RefusedError(f"{name}: {len(mesh.places)} vertices, of which the binding has {len(binding.corners)}")
    if mesh.uvs is None or mesh.uv_faces is None:
        raise RefusedError(f"{name}: its mesh has no uvs within the unit square")
    places = still.double().numpy()
    base, near, weights = read_base_mesh(), *_neighbours(head)
    helped = base.hung_places + (weights[..., None] * (places - head.template.double().numpy())[near]).sum(1)
    stand = np.concatenate([places, helped])
    row = np.full(1 + max(int(base.vertices.max()), int(base.hung.max()), int(binding.corners.max())), -1)
    row[base.vertices], row[base.hung] = np.arange(len(base.vertices)), len(places) + np.arange(len(base.hung))
    axes = np.array([[one, other] for one, other, _ in binding.scales])
    if axes.max() >= len(row) or (row[axes] < 0).any() or (row[binding.corners] < 0).any():
        raise RefusedError(f"{name}: bound to parts of the body that the head lacks")
    lengths = np.array([length for *_, length in binding.scales]) * DECIMETRE
    ends = stand[row[axes]]
    scale = np.abs(ends[:, 0] - ends[:, 1])[np.arange(3), np.arange(3)] / lengths
    corners = row[binding.corners]
    points = (stand[corners] * binding.shares[..., None]).sum(1) + binding.offsets * DECIMETRE * scale
    # A vertex for each pair of place and uv that a face names.
    pairs, faces = np.unique(np.stack([mesh.faces, mesh.uv_faces], -1).reshape(-1, 2), axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    normals = vertex_normals(torch.from_numpy(points)[None], torch.from_numpy(mesh.faces))[0].numpy()[pairs[:, 0]]
    points, corners, shares = points[pairs[:, 0]], corners[pairs[:, 0]], binding.shares[pairs[:, 0]]
    uvs = mesh.uvs[pairs[:, 1]]
    centre = places[frame_vertices(head)[0]].mean(0)
    outward = points - centre
    normals = normals * np.where((normals * outward).sum(1) < 0, -1.0, 1.0)[:, None]
    off = np.linalg.norm(points - (stand[corners] * shares[..., None]).sum(1), axis=1)
    return Cards(
        points=_single(points),
        tangents=_single(_down_the_texture(points, uvs, faces)),
        normals=_single(normals),
        occlusion=_single(LEAST + (1 - LEAST) * np.clip(off / OPEN, 0, 1)),
        rests=_single(RESTS * (1 - ramp(points[:, 1] * 1000, SHOULDERS[1], SHOULDERS[0]))),
        uvs=_single(uvs),
        faces=torch.from_numpy(faces),
        corners=torch.from_numpy(np.where(corners < len(places), corners, 0)),
        shares=_single(np.where(corners < len(places), shares, 0.0)),
        frames=_single(places[frame_vertices(head)]),
    )


def card_layers(cards: Cards, head: Head, still: Tensor, posed: Tensor, texture: Tensor | Mipmaps,
                tint: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Layers:  # fmt: skip
    """An item on M posed heads of its person, as `pain3d.render` takes it.

    Args:
        cards: Of `hang`.
        head: Whose.
        still: [V, 3] metres, that it was hung on.
        posed: [M, V, 3] metres, in any expression and pose.
        texture: [1, Ht, Wt, 4] linear albedo and alpha, or its chain of `build_layer_mipmaps`.
        tint: Factor on its albedo.

    Gradients: none.
    """
    frame = torch.from_numpy(frame_vertices(head))
    anchors = (still[cards.corners] * cards.shares[..., None]).sum(1)
    total, rests = cards.shares.sum(1)[:, None], cards.rests[:, None]
    fields: dict[str, list[Tensor]] = {name: [] for name in ("vertices", "tangents", "normals")}
    for vertices in posed:
        turns, shifts = _rigid(cards.frames, vertices[frame])
        moved = (vertices[cards.corners] * cards.shares[..., None]).sum(1)
        moved = moved - (_turned(turns[0], anchors) + shifts[0] * total)
        for name, own in (("vertices", cards.points), ("tangents", cards.tangents), ("normals", cards.normals)):
            fields[name].append(_turned(turns[0], own) * (1 - rests) + _turned(turns[1], own) * rests)
        fields["vertices"][-1] += shifts[0] * (1 - rests) + shifts[1] * rests + moved * (1 - rests)
    count, heads, faces = len(cards.points), len(posed), len(cards.faces)
    ones = torch.ones(heads * count)
    return Layers(
        vertices=torch.cat(fields["vertices"]),
        sides=torch.zeros(heads * count, 3),
        tangents=torch.cat(fields["tangents"]),
        normals=torch.cat(fields["normals"]),
        tint=ones[:, None] * torch.tensor(tint),
        occlusion=cards.occlusion.repeat(heads),
        gloss=ones,
        uvs=cards.uvs.repeat(heads, 1),
        faces=cards.faces,
        face_textures=torch.zeros(faces, dtype=torch.int64),
        spans=torch.tensor([[number * count, count, 0, faces] for number in range(heads)]),
        texture=texture,
    )


@lru_cache(maxsize=4)
def _neighbours(head: Head) -> tuple[Whole, Floats]:
    """For each helper the nearest vertices of skin and neck [H, K] that no jaw moves, and their weights [H, K]."""
    skin = np.isin(head.topology.vertex_parts.numpy(), [head.topology.part_names.index(n) for n in ("skin", "neck")])
    still = np.flatnonzero(skin & (head.skin_weights.numpy()[:, 2] < 0.01))
    away = read_base_mesh().hung_places[:, None].astype(np.float64) - head.template.double().numpy()[still][None]
    square = (away**2).sum(-1)
    chosen = np.argsort(square, axis=1, kind="stable")[:, :NEAREST]
    weight = 1 / (np.take_along_axis(square, chosen, 1) + 1e-6)
    return still[chosen], weight / weight.sum(1, keepdims=True)


def _down_the_texture(points: Floats, uvs: Floats, faces: Whole) -> Floats:
    """Unit vectors [N, 3] along which v falls, by faces and then by vertices; where uvs have no area, down."""
    a, b, c = (points[faces[:, k]] for k in range(3))
    (u1, v1), (u2, v2) = ((uvs[faces[:, k]] - uvs[faces[:, 0]]).T for k in (1, 2))
    area = u1 * v2 - u2 * v1
    along = -((c - a) * u1[:, None] - (b - a) * u2[:, None]) * np.sign(area)[:, None]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12)
    total = np.zeros_like(points)
    for k in range(3):
        np.add.at(total, faces[:, k], along)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(np.where(length > 1e-6, total / np.maximum(length, 1e-6), np.array([0.0, -1.0, 0.0])))


def _single(values: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))
