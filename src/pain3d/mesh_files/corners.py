"""Knows one mesh as files hold it: corners with place, normal and texture coordinate, and the texture as a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.kernels import encode_srgb, vertex_normals
from pain3d.mesh import Mesh, Topology

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]
COLOURS = 3  # channels of a texture [..., 16] that are base colour: a PNG holds no gloss, slopes or wrinkles


@dataclass(frozen=True)
class Corners:
    """The different pairs of vertex and texture coordinate of a topology: where charts meet a vertex has several.

    Attributes:
        vertex: [C] whose place each corner has.
        uvs: [C, 2] in the unit square, v up.
        faces: [F, 3] into the corners.
    """

    vertex: Indices
    uvs: Array
    faces: Indices


def corners_of(topology: Topology) -> Corners:
    """The corners of a topology, ordered by vertex, then by texture coordinate."""
    count = len(topology.uvs)
    pairs = topology.faces.cpu().numpy().astype(np.int64) * count + topology.uv_faces.cpu().numpy()
    found, faces = np.unique(pairs, return_inverse=True)
    uvs = topology.uvs.cpu().numpy().astype(np.float32)[found % count]
    return Corners(found // count, uvs, faces.reshape(pairs.shape))


def surface_of(mesh: Mesh, row: int) -> tuple[Array, Array]:
    """Places [V, 3] in metres and unit normals [V, 3] of one mesh of a batch."""
    places = mesh.vertices[row : row + 1].detach().cpu().float()
    return places[0].numpy(), normals_of(places, mesh.topology.faces.cpu())[0]


def normals_of(places: Tensor, faces: Tensor) -> Array:
    """Unit normals [B, V, 3] of meshes; a vertex of no face has +Z, for files demand a direction."""
    normals = vertex_normals(places, faces)
    length = normals.norm(dim=-1, keepdim=True)
    ahead = torch.tensor([0.0, 0.0, 1.0]).expand_as(normals)
    return np.asarray(torch.where(length > 0.5, normals / length.clamp(min=1e-12), ahead).numpy(), np.float32)


def picture_of(texture: Tensor) -> bytes:
    """The base colour of a texture [H, W, 3 or more], linear, as an 8-bit sRGB PNG."""
    from PIL import Image

    content = io.BytesIO()
    pixels = encode_srgb(texture[..., :COLOURS].detach()).cpu().numpy()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()
