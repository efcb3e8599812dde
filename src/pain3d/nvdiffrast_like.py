"""Knows the four calls of nvdiffrast and their tensors, and answers them with the rooms of `pain3d.kernels`.

    import pain3d.nvdiffrast_like as dr

    context = dr.RasterizeCudaContext()
    rast, rast_db = dr.rasterize(context, pos, tri, resolution=[256, 256])
    colour, _ = dr.interpolate(attributes, rast, tri)
    picture = dr.antialias(colour, rast, pos, tri)

What a program hands over and gets back is as nvdiffrast's documentation says: clip space with z/w in -1 … 1, row 0 at
the bottom, a pixel of `rast` holds (u, v, z/w, triangle id + 1), all floats. None of its code is here. Any device and
dtype of the rooms will do, and gradients reach positions through silhouettes.

What differs: a triangle with a corner behind the eye, or at z/w ≥ 2, is dropped whole, and none is cut at the near and
far planes; texture sides must be powers of two for mip levels; `boundary_mode="cube"` and depth peeling are not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pain3d.kernels import Mipmaps, build_mipmaps, face_adjacency, sample_texture
from pain3d.kernels import antialias as mix_silhouettes
from pain3d.kernels import interpolate as interpolate_corners
from pain3d.kernels import rasterize as find_faces

FARTHEST = 2.0  # z/w at which a depth becomes infinite here; what can be seen ends at 1
FILTERS = ("auto", "nearest", "linear", "linear-mipmap-nearest", "linear-mipmap-linear")
BOUNDARIES = ("wrap", "clamp", "zero")
TINY = 1e-20  # squared texels per pixel below which a level is 0 anyway


class RasterizeCudaContext:
    """Accepted and not needed: nothing is kept between calls."""

    def __init__(self, device: Any = None) -> None:
        """Take a device, and leave it: calls go where their tensors are."""


class RasterizeGLContext(RasterizeCudaContext):
    """The same under its other name."""

    def __init__(self, output_db: bool = True, mode: str = "automatic", device: Any = None) -> None:
        """Take what OpenGL's context takes."""
        super().__init__(device)


def rasterize(
    glctx: object,
    pos: Tensor,
    tri: Tensor,
    resolution: Sequence[int],
    ranges: Tensor | None = None,
    grad_db: bool = True,
) -> tuple[Tensor, Tensor]:
    """Find the nearest triangle of each pixel; both sides are seen.

    Args:
        glctx: Not looked at.
        pos: [B, V, 4] clip positions; or [V, 4] with `ranges`.
        tri: [F, 3] int32.
        resolution: (height, width).
        ranges: [B, 2] int32 on the CPU, first triangle and number of triangles of each picture: a batch of different
            meshes.
        grad_db: Whether the second result has gradients.

    Returns:
        ``rast`` [B, H, W, 4]: u and v, the perspective-correct weights of corners 0 and 1; z/w; triangle id + 1; zeros
        on background. ``rast_db`` [B, H, W, 4]: du/dX, du/dY, dv/dX, dv/dY per pixel, Y up.

    Gradients: to pos, through u, v, z/w and rast_db; visibility's come from `antialias`.

    Raises:
        ValueError: A shape or dtype does not fit.
    """
    if ranges is None:
        if pos.dim() != 3:
            raise ValueError(f"pos must be [B, V, 4], or [V, 4] with ranges, got {list(pos.shape)}")
        return _rasterize(pos, tri, 0, resolution, grad_db)
    if pos.dim() != 2:
        raise ValueError(f"pos must be [V, 4] where ranges are given, got {list(pos.shape)}")
    if ranges.is_cuda or ranges.dim() != 2 or ranges.shape[1] != 2:
        raise ValueError(f"ranges must be [B, 2] on the CPU, got {list(ranges.shape)} on {ranges.device}")
    made = []
    for first, count in ranges.tolist():
        if first < 0 or count < 0 or first + count > len(tri):
            raise ValueError(f"ranges must lie in the {len(tri)} triangles, got {first} and {count} more")
        made.append(_rasterize(pos[None], tri[first : first + count], first, resolution, grad_db))
    if not made:
        return pos.new_zeros(0, *resolution, 4), pos.new_zeros(0, *resolution, 4)
    return torch.cat([rast for rast, _ in made]), torch.cat([db for _, db in made])


def _rasterize(pos: Tensor, tri: Tensor, first: int, resolution: Sequence[int], grad_db: bool) -> tuple[Tensor, Tensor]:
    height, width = resolution
    placed, ratio = _placed(pos)
    fragments = find_faces(placed, tri, (height, width), cull=False)
    ids = fragments.face_ids.long()
    covered = ids >= 0
    image = torch.arange(len(ids), device=ids.device)[:, None, None]
    face = ids.clamp(min=0)
    if len(tri) == 0:
        return pos.new_zeros(*ids.shape, 4), pos.new_zeros(*ids.shape, 4)
    weights = fragments.barycentrics * ratio[image[..., None], tri.long()[face]]  # of the depth w, not of z/w
    shares = weights / torch.where(covered, weights.sum(-1), 1.0)[..., None]
    depth = torch.where(covered, FARTHEST - 1 / torch.where(covered, fragments.depth, 1.0), 0.0)
    named = torch.where(covered, ids + 1 + first, 0).to(pos.dtype)
    rast = torch.stack([shares[..., 0], shares[..., 1], depth, named], -1)
    rates = _rates(pos if grad_db else pos.detach(), tri, (height, width))[image, face]  # [B, H, W, 3, 2]
    if not grad_db:
        shares, pos = shares.detach(), pos.detach()
    w = torch.where(covered, (shares * pos[..., 3][image[..., None], tri.long()[face]]).sum(-1), 1.0)
    slopes = (rates[..., :2, :] - shares[..., :2, None] * rates[..., 2:, :]) * w[..., None, None]
    return rast, torch.where(covered[..., None], slopes.flatten(-2), 0.0)


def _placed(pos: Tensor) -> tuple[Tensor, Tensor]:
    """Positions [B, V, 4] for `rasterize` of pain3d, which orders by w, and what its weights are multiplied by [B, V].

    1/w becomes 2 - z/w, which is linear on the screen as 1/w is, so orthographic scenes are ordered too; y is turned
    over, so that row 0 is at the bottom.
    """
    x, y, z, w = pos.unbind(-1)
    ahead = w > 0
    safe = torch.where(ahead, w, 1.0)
    nearness = FARTHEST - z / safe
    usable = ahead & (nearness > 0)
    depth = 1 / torch.where(usable, nearness, 1.0)
    placed = torch.stack([x / safe * depth, -y / safe * depth, torch.zeros_like(z), depth], -1)
    return torch.where(usable[..., None], placed, -1.0), depth / safe


def _rates(pos: Tensor, tri: Tensor, size: tuple[int, int]) -> Tensor:
    """How 1/w times the weight of corners 0 and 1, and 1/w itself, change per pixel of X and Y: [B, F, 3, 2]."""
    height, width = size
    inverse = 1 / torch.where(pos[..., 3] > 0, pos[..., 3], 1.0)
    screen = pos[..., :2] * inverse[..., None] * pos.new_tensor([width / 2, height / 2])
    corner = screen[:, tri.long()]  # [B, F, 3, 2]
    edges = corner.roll(-1, 2) - corner.roll(-2, 2)  # opposite each corner: from the second next to the next
    area = (corner[:, :, 1] - corner[:, :, 0]), (corner[:, :, 2] - corner[:, :, 0])
    doubled = area[0][..., 0] * area[1][..., 1] - area[0][..., 1] * area[1][..., 0]
    doubled = torch.where(doubled != 0, doubled, 1.0)
    slopes = torch.stack([edges[..., 1], -edges[..., 0]], -1) / doubled[..., None, None]
    weighed = slopes * inverse[:, tri.long()][..., None]
    return torch.cat([weighed[:, :, :2], weighed.sum(2, keepdim=True)], 2)


def _read(rast: Tensor) -> tuple[Tensor, Tensor]:
    """Face ids [B, H, W] int32, -1 on background, and weights of the three corners [B, H, W, 3]."""
    ids = rast[..., 3].detach().to(torch.int32) - 1
    u, v = rast[..., 0], rast[..., 1]
    return ids, torch.where((ids >= 0)[..., None], torch.stack([u, v, 1 - u - v], -1), 0.0)


def interpolate(
    attr: Tensor,
    rast: Tensor,
    tri: Tensor,
    rast_db: Tensor | None = None,
    diff_attrs: str | Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Interpolate what vertices carry.

    Args:
        attr: [B or 1, V, A], or [V, A].
        rast: Of `rasterize`.
        tri: [F, 3] int32.
        rast_db: Of `rasterize`, where derivatives are wanted.
        diff_attrs: Which attributes' derivatives: ``"all"`` or their numbers.

    Returns:
        [B, H, W, A], and the derivatives [B, H, W, 2 · number]: d/dX and d/dY of each; [B, H, W, 0] where none are
        asked for.

    Gradients: to attr, rast and rast_db.

    Raises:
        ValueError: Derivatives are asked for without rast_db, or a shape does not fit.
    """
    attr = attr[None] if attr.dim() == 2 else attr
    ids, shares = _read(rast)
    values = interpolate_corners(attr.contiguous(), tri, ids, shares)
    if diff_attrs is None:
        return values, values[..., :0]
    if rast_db is None:
        raise ValueError("rast_db must be given where diff_attrs asks for derivatives, got None")
    chosen = attr if isinstance(diff_attrs, str) else attr[..., list(diff_attrs)]
    slopes = []
    for across in (0, 1):
        du, dv = rast_db[..., across], rast_db[..., 2 + across]
        slopes.append(interpolate_corners(chosen.contiguous(), tri, ids, torch.stack([du, dv, -du - dv], -1)))
    return values, torch.stack(slopes, -1).flatten(-2)


def texture_construct_mip(tex: Tensor, max_mip_level: int | None = None, cube_mode: bool = False) -> Mipmaps:
    """The mip chain of a texture [B, Ht, Wt, C], for `texture`'s ``mip``; all levels are made, however few are read.

    Raises:
        ValueError: A cube map, or sides that are no powers of two.
    """
    if cube_mode:
        raise ValueError("cube_mode must be False: cube maps are not here")
    return build_mipmaps(tex)


def texture(
    tex: Tensor,
    uv: Tensor,
    uv_da: Tensor | None = None,
    mip_level_bias: Tensor | None = None,
    mip: Mipmaps | None = None,
    filter_mode: str = "auto",
    boundary_mode: str = "wrap",
    max_mip_level: int | None = None,
) -> Tensor:
    """Look a texture up.

    Args:
        tex: [B or 1, Ht, Wt, C]; (0, 0) is the outer corner of the first texel of the first row.
        uv: [B, H, W, 2].
        uv_da: [B, H, W, 4] du/dX, du/dY, dv/dX, dv/dY per pixel: chooses the mip level by the longer axis of its
            footprint.
        mip_level_bias: [B, H, W] added to the level.
        mip: Of `texture_construct_mip`; None makes it.
        filter_mode: ``auto``, ``nearest``, ``linear``, ``linear-mipmap-nearest`` or ``linear-mipmap-linear``.
        boundary_mode: ``wrap``, ``clamp`` or ``zero``.
        max_mip_level: The coarsest level to read; None for all.

    Returns:
        [B, H, W, C].

    Gradients: to tex, uv, uv_da and mip_level_bias; none to uv with ``nearest``.

    Raises:
        ValueError: An unknown mode, or a level is asked for with neither uv_da nor mip_level_bias.
    """
    if filter_mode not in FILTERS:
        raise ValueError(f"filter_mode must be one of {', '.join(FILTERS)}, got {filter_mode!r}")
    if boundary_mode not in BOUNDARIES:
        raise ValueError(f"boundary_mode must be one of {', '.join(BOUNDARIES)}, got {boundary_mode!r}")
    if filter_mode == "auto":
        filter_mode = "linear" if uv_da is None and mip_level_bias is None else "linear-mipmap-linear"
    if filter_mode == "nearest":
        return _nearest(tex, uv, boundary_mode)
    if filter_mode == "linear" or max_mip_level == 0:
        return _linear(tex, uv, boundary_mode)
    if uv_da is None and mip_level_bias is None:
        raise ValueError(f"uv_da or mip_level_bias must be given with filter_mode {filter_mode!r}, got neither")
    chain = build_mipmaps(tex) if mip is None else mip
    table = chain.levels()
    top = len(table) - 1 if max_mip_level is None else min(max_mip_level, len(table) - 1)
    level = torch.zeros_like(uv[..., 0]) if uv_da is None else _level(uv_da, chain.height, chain.width)
    level = (level if mip_level_bias is None else level + mip_level_bias).clamp(0, top)
    if filter_mode == "linear-mipmap-nearest":
        level = level.round()
    if boundary_mode == "clamp":
        return sample_texture(chain, _turned(uv), level)
    total = None
    for number, (offset, height, width) in enumerate(table[: top + 1]):  # a border wraps at each level by itself
        texels = chain.texels[:, offset : offset + height * width].reshape(-1, height, width, tex.shape[-1])
        share = (1 - (level - number).abs()).clamp(min=0)[..., None]
        part = share * _linear(texels, uv, boundary_mode)
        total = part if total is None else total + part
    assert total is not None
    return total


def _turned(uv: Tensor) -> Tensor:
    """Texture coordinates for `sample_texture`, whose v points up from the last row."""
    return torch.stack([uv[..., 0], 1 - uv[..., 1]], -1)


def _linear(tex: Tensor, uv: Tensor, boundary: str) -> Tensor:
    if boundary == "clamp":
        return sample_texture(tex.contiguous(), _turned(uv))
    height, width = tex.shape[1:3]
    if boundary == "wrap":
        tex = torch.cat([tex[:, -1:], tex, tex[:, :1]], 1)
        tex = torch.cat([tex[:, :, -1:], tex, tex[:, :, :1]], 2)
        uv = uv - uv.detach().floor()
    else:
        tex = torch.nn.functional.pad(tex, (0, 0, 1, 1, 1, 1))
    sides = uv.new_tensor([width, height])
    return sample_texture(tex.contiguous(), _turned((uv * sides + 1) / (sides + 2)))


def _nearest(tex: Tensor, uv: Tensor, boundary: str) -> Tensor:
    sides = torch.tensor([tex.shape[2], tex.shape[1]], device=uv.device)
    at = (uv.detach() * sides).floor().long()
    inside = ((at >= 0) & (at < sides)).all(-1, keepdim=True)
    at = at % sides if boundary == "wrap" else torch.minimum(at.clamp(min=0), sides - 1)
    image = torch.arange(len(uv), device=uv.device)[:, None, None] if len(tex) > 1 else 0
    texels = tex[image, at[..., 1], at[..., 0]]
    return torch.where(inside, texels, 0.0) if boundary == "zero" else texels


def _level(uv_da: Tensor, height: int, width: int) -> Tensor:
    """Half the log2 of the squared longer axis of a pixel's footprint, in texels: the larger eigenvalue of J Jᵀ."""
    ux, uy, vx, vy = (uv_da * uv_da.new_tensor([width, width, height, height])).unbind(-1)
    a, b, c = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    spread = ((a - b) ** 2 + 4 * c * c).clamp(min=TINY).sqrt()
    return 0.5 * torch.log2((0.5 * (a + b + spread)).clamp(min=TINY))


def antialias_construct_topology_hash(tri: Tensor) -> Tensor:
    """What `antialias` asks of a topology, to be made once: the faces across each edge, [F, 3] int32."""
    return face_adjacency(tri)


def antialias(
    color: Tensor,
    rast: Tensor,
    pos: Tensor,
    tri: Tensor,
    topology_hash: Tensor | None = None,
    pos_gradient_boost: float = 1.0,
) -> Tensor:
    """Mix neighbouring pixels where a silhouette passes between them.

    Args:
        color: [B, H, W, C].
        rast: Of `rasterize`.
        pos: As `rasterize` had it.
        tri: [F, 3] int32.
        topology_hash: Of `antialias_construct_topology_hash`; None makes it.
        pos_gradient_boost: What the gradient to pos is multiplied by.

    Returns:
        [B, H, W, C].

    Gradients: to color, and to pos where a silhouette moves.

    Raises:
        ValueError: A shape or dtype does not fit.
    """
    pos = pos.expand(len(rast), *pos.shape) if pos.dim() == 2 else pos
    if pos_gradient_boost != 1.0:
        more = pos * (pos_gradient_boost - 1)
        pos = pos + (more - more.detach())
    ids, _ = _read(rast)
    depth = torch.where(ids >= 0, 1 / (FARTHEST - rast[..., 2].detach()), torch.inf)
    placed, _ = _placed(pos)
    adjacent = face_adjacency(tri) if topology_hash is None else topology_hash
    return mix_silhouettes(color, ids, depth, placed, tri, adjacent)
