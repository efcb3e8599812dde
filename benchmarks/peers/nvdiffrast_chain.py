"""Knows nvdiffrast's chain, by its public API: rasterize, interpolate, texture, antialias, and torch between them.

It computes what `render` does: our normals, our shading as torch code, its own mipmapped texture look-ups and its own
antialiasing. `nvdiffrast-bare` leaves out what is not nvdiffrast's own: a texture of three channels, one look-up of it
without mip levels, no normals and no light, antialiased. Pictures that share a texture go through in one call: that is
how its minibatches want them. Conventions are OpenGL's (row 0 at the bottom), so clip space is turned upside down on
the way in and the top row comes out first.

Its licence is non-commercial: it is no part of this project, and measured where somebody has installed it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.workload import ViewSet, Workload
from pain3d.kernels import tone_map, vertex_normals
from pain3d.kernels.shading.reference import Lights, SurfacePoints, shade_reference

NEAR, FAR = 0.1, 10.0  # metres
# Pictures of 512 x 512 that go through at once: 128. The chain holds some 200 bytes a pixel, so this is about 7 GB.
PIXELS_AT_ONCE = 2**25


def finish(
    surface: Tensor,  # [B, H, W, 7] position, normal, occlusion
    texels: Tensor,  # [B, H, W, 16], of which the relief is not read
    covered: Tensor,  # [B, H, W, 1]
    eye: Tensor,  # [B, 3]
    light: Lights,
    exposure: Tensor,  # [B]
    background: Tensor,  # [3]
) -> Tensor:
    """Return linear colour [B, H, W, 3], toned, over the background."""
    points = SurfacePoints(
        albedo=texels[..., :3],
        normal=surface[..., 3:6],
        view_direction=eye[:, None, None] - surface[..., :3],
        occlusion=surface[..., 6],
        specular=texels[..., 3],
        roughness=texels[..., 4],
        scatter=texels[..., 7],
    )
    lit = shade_reference(points, light)
    return torch.where(covered, tone_map(lit * exposure[:, None, None, None]), background)


def to_bytes(linear: Tensor) -> Tensor:
    """Return the sRGB bytes of linear colour, rounded."""
    x = linear.clamp(0, 1)
    encoded = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.pow(1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).to(torch.uint8)


class Chain:
    """The chain, with the torch code between its ops compiled or as it stands."""

    cases: Sequence[str] = ("visibility", "rasterize", "render", "small_views", "latency")
    ours = False
    antialiased: bool | None = True
    slow = False

    def __init__(self, name: str, compiled: bool) -> None:
        self.name, self._compiled = name, compiled
        how = "compiled by torch.compile" if compiled else "eager torch"
        self.note = f"rasterize, interpolate, texture, antialias; our shading between them, {how}"
        if not compiled:
            self.cases = ("render", "small_views", "latency")  # the others have nothing to compile

    def why_not(self, device: str) -> str | None:
        """Whether there is no GPU or no nvdiffrast."""
        if device != "cuda":
            return "no CUDA device"
        return None if find_spec("nvdiffrast") is not None else "nvdiffrast is not installed"

    def start(self, case: str, workload: Workload) -> Round:
        """Make the rasterizer's context, mipmaps, and the table of edges."""
        import nvdiffrast.torch as nvdiffrast

        shared, side = workload.shared, workload.size.side
        context = nvdiffrast.RasterizeCudaContext(device=shared.faces.device)
        groups = [list(_groups(each, workload)) for each in workload.ring]
        if case in ("visibility", "rasterize"):

            def see(number: int) -> Mapping[str, Tensor]:
                each = workload.ring[number]
                parts = [_visible(nvdiffrast, context, each, at, shared.faces, side, case) for _, at in groups[number]]
                order = torch.cat([at for _, at in groups[number]]).argsort()
                return {name: torch.cat([part[name] for part in parts])[order] for name in parts[0]}

            return see

        uvs = _flipped(shared.uvs)
        skins = [texture[None].contiguous() for texture in shared.textures]
        chains = [nvdiffrast.texture_construct_mip(skin) for skin in skins]
        edges = nvdiffrast.antialias_construct_topology_hash(shared.faces)
        shade: Callable[..., Tensor] = torch.compile(finish) if self._compiled else finish
        encode: Callable[[Tensor], Tensor] = torch.compile(to_bytes) if self._compiled else to_bytes

        def draw(each: ViewSet, normals: Tensor, skin: int, at: Tensor) -> Tensor:
            vertices = each.vertices[each.mesh_index[at]]
            positions = _positions(each, at)
            rast, moved = nvdiffrast.rasterize(context, positions, shared.faces, [side, side], grad_db=False)
            occlusion = shared.occlusion[None, :, None].expand(len(at), -1, 1)
            attributes = torch.cat([vertices, normals[each.mesh_index[at]], occlusion], -1)
            surface, _ = nvdiffrast.interpolate(attributes, rast, shared.faces)
            uv, uv_moved = nvdiffrast.interpolate(uvs, rast, shared.uv_faces, rast_db=moved, diff_attrs="all")
            texels = nvdiffrast.texture(
                skins[skin], uv, uv_moved, mip=chains[skin], filter_mode="linear-mipmap-linear", boundary_mode="clamp"
            )
            light = Lights(each.sh[at], each.key_direction[at], each.key_colour[at])
            covered = rast[..., 3:] > 0
            colour = shade(
                surface, texels, covered, each.camera_position[at], light, each.exposure[at], shared.background
            )
            return encode(nvdiffrast.antialias(colour.contiguous(), rast, positions, shared.faces, topology_hash=edges))

        def run(number: int) -> Mapping[str, Tensor]:
            each = workload.ring[number]
            with torch.no_grad():
                normals = vertex_normals(each.vertices, shared.faces)
                image = shared.faces.new_empty(workload.size.batch, side, side, 3, dtype=torch.uint8)
                for skin, at in groups[number]:
                    image[at] = draw(each, normals, skin, at)
            return {"image": image}

        return run

    def close(self) -> None:
        """The context goes with the round."""


def _groups(each: ViewSet, workload: Workload) -> Iterator[tuple[int, Tensor]]:
    """Texture and pictures [n] of each call: those of one texture, in even parts of at most `PIXELS_AT_ONCE`."""
    most = max(1, PIXELS_AT_ONCE // workload.size.side**2)
    for skin in range(max(1, len(workload.shared.textures))):
        shown = each.texture_index == skin if len(workload.shared.textures) else each.texture_index >= 0
        pictures = shown.nonzero()[:, 0]
        if len(pictures):
            yield from ((skin, part) for part in pictures.chunk(-(-len(pictures) // most)))


def _positions(each: ViewSet, at: Tensor) -> Tensor:
    """Clip positions [n, V, 4] of OpenGL, upside down."""
    vertices = each.vertices[each.mesh_index[at]]
    clip = each.world_to_clip[at].clone()
    clip[:, 2] = (FAR + NEAR) / (FAR - NEAR) * clip[:, 3]  # w is metres; depth is to be in [-w, w]
    clip[:, 2, 3] -= 2 * FAR * NEAR / (FAR - NEAR)
    clip[:, 1] *= -1
    return torch.baddbmm(clip[:, None, :, 3], vertices, clip[:, :, :3].transpose(1, 2)).contiguous()


def _flipped(uvs: Tensor) -> Tensor:
    """Texture coordinates [1, T, 2] of theirs: v = 0 is their row 0 and our last row."""
    return torch.stack([uvs[:, 0], 1 - uvs[:, 1]], 1)[None].contiguous()


def _visible(
    nvdiffrast: Any, context: Any, each: ViewSet, at: Tensor, faces: Tensor, side: int, case: str
) -> dict[str, Tensor]:
    with torch.no_grad():
        rast, _ = nvdiffrast.rasterize(context, _positions(each, at), faces, [side, side], grad_db=False)
        face_ids = rast[..., 3].to(torch.int32) - 1
        covered = face_ids >= 0
        metres = 2 * FAR * NEAR / ((FAR + NEAR) - rast[..., 2] * (FAR - NEAR))
        found = {"face_ids": face_ids, "depth": torch.where(covered, metres, torch.inf)}
        if case == "rasterize":  # theirs are of corners 0 and 1
            last = (1 - rast[..., :1] - rast[..., 1:2]) * covered[..., None]
            found["barycentrics"] = torch.cat([rast[..., :2], last], -1)
        return found


class BareChain:
    """Their four ops and nothing else, but for the bytes."""

    name = "nvdiffrast-bare"
    cases: Sequence[str] = ("render",)
    ours = False
    antialiased: bool | None = True
    slow = False
    note = "rasterize, interpolate, one texture of three channels without mip levels, antialias; no normals, no light"

    def why_not(self, device: str) -> str | None:
        """As the whole chain."""
        return Chain("nvdiffrast", compiled=True).why_not(device)

    def start(self, case: str, workload: Workload) -> Round:
        """Make the context, the colours of each skin, and the table of edges."""
        import nvdiffrast.torch as nvdiffrast

        shared, side = workload.shared, workload.size.side
        context = nvdiffrast.RasterizeCudaContext(device=shared.faces.device)
        groups = [list(_groups(each, workload)) for each in workload.ring]
        uvs = _flipped(shared.uvs)
        skins = [texture[None, ..., :3].contiguous() for texture in shared.textures]
        edges = nvdiffrast.antialias_construct_topology_hash(shared.faces)
        encode: Callable[[Tensor], Tensor] = torch.compile(to_bytes) if shared.faces.is_cuda else to_bytes

        def draw(each: ViewSet, skin: int, at: Tensor) -> Tensor:
            positions = _positions(each, at)
            rast, _ = nvdiffrast.rasterize(context, positions, shared.faces, [side, side], grad_db=False)
            uv, _ = nvdiffrast.interpolate(uvs, rast, shared.uv_faces)
            colour = nvdiffrast.texture(skins[skin], uv, filter_mode="linear", boundary_mode="clamp")
            colour = torch.where(rast[..., 3:] > 0, colour, shared.background)
            return encode(nvdiffrast.antialias(colour.contiguous(), rast, positions, shared.faces, topology_hash=edges))

        def run(number: int) -> Mapping[str, Tensor]:
            image = shared.faces.new_empty(workload.size.batch, side, side, 3, dtype=torch.uint8)
            with torch.no_grad():
                for skin, at in groups[number]:
                    image[at] = draw(workload.ring[number], skin, at)
            return {"image": image}

        return run

    def close(self) -> None:
        """The context goes with the round."""


baselines: tuple[Implementation, ...] = (
    Chain("nvdiffrast", compiled=True),
    Chain("nvdiffrast-eager", compiled=False),
    BareChain(),
)
