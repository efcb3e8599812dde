"""Knows how true the gradients at silhouettes are: against differences of a supersampled picture, vertex by vertex.

    python -m benchmarks.visibility_gradient --to benchmarks/results/visibility

A loss is a weighted sum over the finished linear picture. The truth is its central difference in a picture of 64
samples a pixel, none of them antialiased, of the few pixels around a vertex that moves a quarter of a pixel to either
side along each axis of the world. Beside our gradient stand two others: `antialias` with a walk of one face, which is
what Laine et al. 2020 (section 3.6) publish for nvdiffrast (the edges of the nearer pixel's own face), and none of
visibility at all.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from pain3d import ActionUnits, Camera, Head
from pain3d.files import write_durably
from pain3d.kernels.antialiasing import reference as antialiasing
from pain3d.kernels.antialiasing.reference import face_adjacency_reference
from pain3d.kernels.deformation.example import example_sphere
from pain3d.kernels.rasterization.reference import SUBPIXELS, doubled_areas, screen_positions
from pain3d.kernels.rendering.bundles import RenderInputs, scene_of, tensors_of
from pain3d.kernels.rendering.cpu import render_cpu
from pain3d.kernels.rendering.example import example_camera, example_inputs, example_scene
from pain3d.kernels.rendering.reference import render_linear_reference

SAMPLES = 8  # along either side of a pixel: 64
STEP = 0.25  # pixels to either side: two samples, so that a difference counts many; the losses change over three pixels
MARGIN = 3  # pixels around what a vertex moves
BLUR = 3.0  # pixels, of the noise that weighs a picture
KINDS = ("silhouette", "self-occlusion", "inside", "lashes")  # lashes: thinner than a pixel, most centres miss them
METHODS = ("ours", "one face", "none")
GOALS = {"silhouette": 0.95, "self-occlusion": 0.95, "inside": 0.999}
THIN = 1  # label of faces that are thinner than a pixel


class Case(NamedTuple):
    """A scene of one picture, float64, and what its pixels are worth."""

    name: str
    scene: RenderInputs
    weights: Tensor  # [H, W, 3]


class Row(NamedTuple):
    """One vertex: cosine to the truth and length over the truth's of each of `METHODS`."""

    case: str
    kind: str
    vertex: int
    cosines: tuple[float, ...]
    lengths: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """Of one vertex: the gradients [3] by name, the truth among them."""

    row: Row
    gradients: dict[str, Tensor]


def moved(scene: RenderInputs, vertices: Tensor) -> RenderInputs:
    """The scene with other vertices [M, V, 3], a picture of each."""
    count = len(vertices)
    views, lights = scene.views, scene.lights
    each = [tensor[:1].expand(count, *tensor.shape[1:]) for tensor in views]
    views = views._make(each)._replace(mesh_index=torch.arange(count))
    meshes = scene.meshes._replace(vertices=vertices, attributes=vertices[..., :0])
    return scene._replace(
        meshes=meshes,
        views=views,
        lights=lights._make(tensor[:1].expand(count, *tensor.shape[1:]) for tensor in lights),
    )


def cropped(scene: RenderInputs, window: tuple[int, int, int, int]) -> RenderInputs:
    """What is seen in a window (column, row, width, height) in pixels: `SAMPLES`² pixels for each, not mixed."""
    column, row, width, height = window
    tall, wide = scene.size
    zoom = torch.eye(4, dtype=torch.float64)
    zoom[0, 0], zoom[0, 3] = wide / width, (wide - 2 * column) / width - 1
    zoom[1, 1], zoom[1, 3] = tall / height, 1 - (tall - 2 * row) / height
    own = torch.arange(len(scene.triangles.faces), dtype=torch.int32)[:, None].expand(-1, 3)  # no silhouette anywhere
    return scene._replace(
        triangles=scene.triangles._replace(adjacent_faces=own),
        views=scene.views._replace(world_to_clip=zoom @ scene.views.world_to_clip),
        size=(height * SAMPLES, width * SAMPLES),
    )


def gradients_of(case: Case) -> dict[str, Tensor]:
    """The gradient [V, 3] of the case's loss by each of `METHODS`."""

    def gradient() -> Tensor:
        vertices = case.scene.meshes.vertices.clone().requires_grad_()
        light = render_linear_reference(moved(case.scene, vertices))[0][0, ..., :3]
        return torch.autograd.grad((light * case.weights).sum(), vertices)[0][0]

    def without(*arguments: Tensor) -> Tensor:
        colour, ids, depth, clip, faces, adjacent = arguments
        return antialiasing.antialias_reference(colour, ids, depth, clip.detach(), faces, adjacent)

    found = {"ours": gradient()}
    with patch.object(antialiasing, "MAX_STEPS", 1):
        found["one face"] = gradient()
    with patch("pain3d.kernels.rendering.reference.antialias_reference", without):
        found["none"] = gradient()
    return found


def truth(case: Case, vertex: int, around: Tensor) -> Tensor | None:
    """The gradient [3] by differences; around [R] are the vertices whose faces change. None outside the picture."""
    scene = case.scene
    height, width = scene.size
    positions = _pixels(scene)[around]
    low = (positions.amin(0).floor() - MARGIN).long().clamp(min=0).tolist()
    high = torch.minimum((positions.amax(0).ceil() + MARGIN).long(), torch.tensor([width, height])).tolist()
    window = (low[0], low[1], high[0] - low[0], high[1] - low[1])
    if window[2] <= 0 or window[3] <= 0:
        return None
    step = STEP * _metres_per_pixel(scene, vertex)
    vertices = scene.meshes.vertices.repeat(6, 1, 1)
    for axis in range(3):
        vertices[2 * axis, vertex, axis] += step
        vertices[2 * axis + 1, vertex, axis] -= step
    light = seen(cropped(moved(scene, vertices), window))
    light = light.unflatten(2, (window[2], SAMPLES)).unflatten(1, (window[3], SAMPLES)).mean((2, 4))
    weights = case.weights[low[1] : high[1], low[0] : high[0]]
    losses = (light * weights).sum((1, 2, 3))
    return (losses[0::2] - losses[1::2]) / (2 * step)


def seen(scene: RenderInputs) -> Tensor:
    """The finished linear pictures [B, H, W, 3] in float64, of the numba renderer in float32: fast, and no gradient."""
    single = {name: None if tensor is None or not tensor.is_floating_point() else tensor.float()
              for name, tensor in tensors_of(scene).items()}  # fmt: skip
    tensors = {name: whole if single[name] is None else single[name] for name, whole in tensors_of(scene).items()}
    light = render_cpu(scene_of(tensors, scene.texture[1:], scene.size), ("linear",)).linear
    assert light is not None
    return light[..., :3].double()


def _clip(scene: RenderInputs) -> Tensor:
    vertices = scene.meshes.vertices[0]
    return torch.cat([vertices, torch.ones_like(vertices[:, :1])], 1) @ scene.views.world_to_clip[0].T


def _pixels(scene: RenderInputs) -> Tensor:
    return screen_positions(_clip(scene)[None], scene.size)[0][0] / SUBPIXELS


def _metres_per_pixel(scene: RenderInputs, vertex: int) -> float:
    zoom = float(scene.views.world_to_clip[0, 0, :3].norm())
    return 2 * float(_clip(scene)[vertex, 3]) / (zoom * scene.size[1])


def rings_of(faces: Tensor, vertex: int, depth: int = 2) -> Tensor:
    """The vertices within so many edges of one: those whose faces or normals change with it, and their neighbours."""
    around = torch.tensor([vertex])
    for _ in range(depth):
        around = faces[torch.isin(faces, around).any(1)].unique()
    return around


def kinds_of(scene: RenderInputs) -> dict[str, Tensor]:
    """Vertices by kind: on an outline before the background, on one before the mesh itself, or wholly seen inside."""
    faces, adjacent = scene.triangles.faces.long(), scene.triangles.adjacent_faces.long()
    vertices, (height, width) = scene.meshes.vertices, scene.size
    with torch.no_grad():
        _, fragments, clip = render_linear_reference(moved(scene, vertices))
    ids = fragments.face_ids[0].long()
    _, snapped, usable = screen_positions(clip, scene.size)
    front = doubled_areas(snapped, usable, faces)[0] > 0
    seen = torch.zeros(len(faces), dtype=torch.bool)
    seen[ids[ids >= 0].unique()] = True
    outline = torch.zeros(vertices.shape[1], dtype=torch.bool)
    for edge in range(3):
        beyond = adjacent[:, edge]
        ends = faces[seen & front & ((beyond < 0) | ~front[beyond.clamp(min=0)])]
        outline[ends[:, [edge, (edge + 1) % 3]].reshape(-1)] = True
    hidden = torch.zeros_like(outline)
    hidden[faces[~seen].reshape(-1)] = True
    for _ in range(2):  # nor any vertex within two edges has a face that is not seen
        hidden[faces[hidden[faces].any(1)].reshape(-1)] = True
    pixel = _pixels(scene)
    within = ((pixel > 4) & (pixel < torch.tensor([width - 4, height - 4]))).all(1)
    sky = torch.nn.functional.max_pool2d((ids < 0)[None, None].double(), 5, 1, 2)[0, 0] > 0  # within two pixels
    column, row = pixel.long().clamp(min=0).minimum(torch.tensor([width - 1, height - 1])).unbind(1)
    before_sky = sky[row, column]
    thin = torch.zeros_like(outline)
    if scene.triangles.face_labels is not None:
        thin[faces[scene.triangles.face_labels == THIN].reshape(-1)] = True
    masks = (outline & before_sky & ~thin, outline & ~before_sky & ~thin, ~hidden & ~thin, outline & thin)
    return {kind: torch.nonzero(mask & within)[:, 0] for kind, mask in zip(KINDS, masks, strict=True)}


def measured(case: Case, most: int) -> Iterator[Measured]:
    """Measure so many vertices of each kind, drawn by the case's name."""
    found, faces = gradients_of(case), case.scene.triangles.faces.long()
    generator = torch.Generator().manual_seed(len(case.name))
    for kind, vertices in kinds_of(case.scene).items():
        for vertex in vertices[torch.randperm(len(vertices), generator=generator)[:most]].tolist():
            true = truth(case, vertex, rings_of(faces, vertex))
            if true is None or not float(true.norm()):
                continue
            gradients = {method: found[method][vertex] for method in METHODS}
            lengths = [round(float(gradient.norm() / true.norm()), 4) for gradient in gradients.values()]
            cosines = [round(float(torch.cosine_similarity(gradient, true, 0)), 4) for gradient in gradients.values()]
            row = Row(case.name, kind, vertex, tuple(cosines), tuple(lengths))
            yield Measured(row, {"truth": true, **gradients})


def noise(size: tuple[int, int], seed: int) -> Tensor:
    """Gaussian noise [H, W, 3] of variance 1 that is alike over `BLUR` pixels."""
    generator = torch.Generator().manual_seed(seed)
    reach = int(4 * BLUR)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / BLUR) ** 2)
    drawn = torch.randn(3, 1, size[0] + 2 * reach, size[1] + 2 * reach, generator=generator, dtype=torch.float64)
    drawn = torch.nn.functional.conv2d(drawn, bell.reshape(1, 1, -1, 1))
    drawn = torch.nn.functional.conv2d(drawn, bell.reshape(1, 1, 1, -1))[:, 0].permute(1, 2, 0)
    return drawn / drawn.std()


def scene_on(vertices: Tensor, faces: Tensor, camera: tuple[Tensor, Tensor], size: int, seed: int) -> RenderInputs:
    """A scene of one mesh [V, 3] under the example's sky, its texture as coarse as the pixels at least."""
    inputs = example_inputs(size, dtype=torch.float64, seed=seed, batch=1, meshes=1, textures=1, subdivisions=0)
    uv = 0.5 + 0.5 * torch.sin(vertices[:, :2] * 12)
    count = len(vertices)
    inputs |= {
        "vertices": vertices[None], "faces": faces.int(), "uv_faces": faces.int(), "uvs": uv,
        "adjacent_faces": face_adjacency_reference(faces), "occlusion": torch.ones(1, count, dtype=torch.float64),
        "detail_weights": torch.zeros(1, count, 2, dtype=torch.float64), "attributes": vertices[None, :, :0],
        "world_to_clip": camera[0][None], "camera_position": camera[1][None], "face_labels": None,
        "background": inputs["background"][:, :1, :1], "exposure": torch.full((1,), 0.6, dtype=torch.float64),
        "size": (size, size),
    }  # fmt: skip
    return example_scene(inputs)


def random_scene(seed: int, size: int) -> RenderInputs:
    """Three crumpled spheres, one before the other."""
    generator = torch.Generator().manual_seed(seed)
    points, faces = example_sphere(3)
    meshes = []
    for k in range(3):
        waves = torch.randn(3, 3, generator=generator, dtype=torch.float64) * 2.5
        bumps = torch.sin(points @ waves.T + k).mean(1, keepdim=True)
        centre = (torch.rand(3, generator=generator, dtype=torch.float64) - 0.5) * torch.tensor([0.14, 0.14, 0.2])
        meshes.append(0.07 * points * (1 + 0.35 * bumps) + centre)
    position = torch.tensor([0.1, 0.05, 0.6], dtype=torch.float64)
    camera = (example_camera(position), position)
    return scene_on(torch.cat(meshes), torch.cat([faces + k * len(points) for k in range(3)]), camera, size, seed)


def head_scene(seed: int, yaw: float, size: int) -> RenderInputs:
    """The packaged head as somebody in pain."""
    head = Head.default()
    units = ActionUnits(AU04=3.0, AU07=2.0, AU10=2.0, AU26=1.0)
    mesh = head(head.sample_identity(seed), units)
    camera = Camera.orbit(yaw_degrees=yaw, size=size)
    placed = (camera.world_to_clip[0].double(), camera.position[0].double())
    scene = scene_on(mesh.vertices[0].double(), mesh.topology.faces, placed, size, seed)
    lashes = mesh.topology.face_parts == mesh.topology.part_names.index("lashes")
    return scene._replace(triangles=scene.triangles._replace(face_labels=lashes.to(torch.uint8) * THIN))


def cases(size: int, random: int, heads: int) -> Iterator[Case]:
    """Each scene with noise for weights, and with those of the squared error to the scene shifted and grown."""
    scenes = [(f"random {seed}", random_scene(seed, size // 2)) for seed in range(random)]
    scenes += [(f"head {seed}", head_scene(seed, (20.0, -35.0, 0.0)[seed % 3], size)) for seed in range(heads)]
    for name, scene in scenes:
        yield Case(f"{name}, noise", scene, noise(scene.size, len(name)))
        vertices = scene.meshes.vertices
        shift = 3 * _metres_per_pixel(scene, 0) * torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
        with torch.no_grad():
            here, there = (
                render_linear_reference(moved(scene, placed))[0][0, ..., :3]
                for placed in (vertices, vertices * 1.02 + shift)
            )
        yield Case(f"{name}, squared error", scene, 2 * (here - there))


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: per kind and loss, median and tail of the cosines, and lengths."""
    lines = [
        "| vertices | loss | scenes | n | "
        + " | ".join(f"{m}: median, p25, p10" for m in METHODS)
        + " | length: p10, median, p90 |",
        "|---|---|---|---|" + "---|" * (len(METHODS) + 1),
    ]
    for kind in KINDS:
        for loss in ("noise", "squared error"):
            for family in ("random", "head"):
                some = [r for r in rows if r.kind == kind and r.case.endswith(loss) and r.case.startswith(family)]
                if not some:
                    continue
                cosines, lengths = np.array([r.cosines for r in some]), np.array([r.lengths[0] for r in some])
                cells = [
                    " ".join(f"{value:.4f}" if at == 50 else f"{value:.2f}" for at, value in
                             zip((50, 25, 10), np.percentile(cosines[:, m], (50, 25, 10)), strict=True))
                    for m in range(len(METHODS))
                ]  # fmt: skip
                spread = " ".join(f"{value:.2f}" for value in np.percentile(lengths, (10, 50, 90)))
                lines.append(f"| {kind} | {loss} | {family} | {len(some)} | {' | '.join(cells)} | {spread} |")
    return "\n".join(lines) + "\n"


COLOURS = {"truth": (60, 220, 60), "ours": (230, 50, 50), "one face": (70, 130, 255)}
ZOOM, REACH = 16, 10  # screen pixels per pixel, and pixels to either side of the vertex


def drawn(case: Case, one: Measured) -> Image.Image:
    """The pixels around a vertex, and the direction each gradient would move it on the screen."""
    height, width = case.scene.size
    x, y = _pixels(case.scene)[one.row.vertex].tolist()
    left, top = min(max(int(x) - REACH, 0), width - 2 * REACH), min(max(int(y) - REACH, 0), height - 2 * REACH)
    with torch.no_grad():
        light = render_linear_reference(case.scene)[0][0, top : top + 2 * REACH, left : left + 2 * REACH, :3]
    bytes_ = (light.clamp(0, 1) ** (1 / 2.2) * 255).to(torch.uint8).numpy()
    picture = Image.fromarray(bytes_).resize((2 * REACH * ZOOM,) * 2, Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(picture)
    pixels = ((_pixels(case.scene) - torch.tensor([left, top])) * ZOOM).tolist()
    faces = case.scene.triangles.faces.long()
    for face in faces[(faces == one.row.vertex).any(1)].tolist():
        pen.polygon([tuple(pixels[corner]) for corner in face], outline=(255, 255, 255))
    start = pixels[one.row.vertex]
    screen = case.scene.views.world_to_clip[0, :2, :3]
    for name, colour in COLOURS.items():
        across, up = (screen @ one.gradients[name]).tolist()
        length = math.hypot(across, up) or 1.0
        pen.line([*start, start[0] + 90 * across / length, start[1] - 90 * up / length], fill=colour, width=3)
    words = f"{one.row.case}  {one.row.vertex}  cos {one.row.cosines[0]:.2f}, length {one.row.lengths[0]:.2f}"
    pen.text((6, 4), words, fill=(255, 255, 255), stroke_width=2, stroke_fill=(0, 0, 0))
    return picture


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, help="folder of the table, the rows and the pictures; none: printed alone")
    parser.add_argument("--size", type=int, default=512, help="of a head's picture; a random scene's is half as large")
    parser.add_argument("--random", type=int, default=4, help="random scenes")
    parser.add_argument("--heads", type=int, default=3)
    parser.add_argument("--vertices", type=int, default=25, help="of each kind, scene and loss")
    given = parser.parse_args()
    rows: list[Row] = []
    worst: dict[str, list[tuple[float, Image.Image]]] = {kind: [] for kind in KINDS}
    for case in cases(given.size, given.random, given.heads):
        for one in measured(case, given.vertices):
            rows.append(one.row)
            shelf = worst[one.row.kind]
            if given.to and (len(shelf) < 6 or one.row.cosines[0] < shelf[-1][0]):
                shelf.append((one.row.cosines[0], drawn(case, one)))
                shelf.sort(key=lambda pair: pair[0])
                del shelf[6:]
        print(case.name, len(rows), flush=True)
    print(table(rows))
    if given.to:
        given.to.mkdir(parents=True, exist_ok=True)
        write_durably(given.to / "table.md", table(rows).encode())
        lines = [json.dumps(row._asdict()) for row in rows]
        write_durably(given.to / "rows.jsonl", ("\n".join(lines) + "\n").encode())
        side = 2 * REACH * ZOOM
        sheet = Image.new("RGB", (6 * side, len(KINDS) * side))
        for i, kind in enumerate(KINDS):
            for j, (_, picture) in enumerate(worst[kind]):
                sheet.paste(picture, (j * side, i * side))
        sheet.save(given.to / "worst.png")


if __name__ == "__main__":
    main()
