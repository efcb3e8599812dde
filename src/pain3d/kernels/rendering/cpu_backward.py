"""Knows the gradient of the fused `render` on a CPU: numba, a picture per thread, everything computed anew from inputs.

Nothing is kept of the forward but its inputs. A picture is rasterised again; the weights of its silhouettes and the
light beside them come first, and hand the gradient of mixed pixels on; then row after row its covered pixels are
gathered into blocks, shaded again and differentiated, and what they give to vertices, texels and light is added up, per
picture. Then pictures are added up in their order, some at a time: the bits depend on neither threads nor groups.
Longer than other files, because numba keeps what is compiled together fast only within one file.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.antialiasing.cpu import mark_silhouettes
from pain3d.kernels.antialiasing.cpu_backward import mix_backward, takes_of, weigh_pairs
from pain3d.kernels.deformation.cpu import normals_backward_cpu
from pain3d.kernels.rasterization.cpu import rasterize_faces, snap_vertices
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS
from pain3d.kernels.rendering.bundles import RenderInputs, tensors_of
from pain3d.kernels.rendering.cpu import (
    PACKED,
    WEIGHT,
    F,
    N,
    add_details,
    arrays_of,
    dim_key,
    fill_background,
    fill_levels,
    prepared_arrays,
    project_vertices,
    resample_side,
    shadow_of,
    tilt_normals,
    tone_block,
)
from pain3d.kernels.rendering.cpu_scatter import GATHERED, add_pictures, finish_picture, scatter_block
from pain3d.kernels.rendering.cpu_surface_backward import (
    ALL_LANES,
    GRAD_EXPOSURE,
    GRAD_IMAGE,
    GRAD_UP,
    GRAD_UV,
    SHARES,
    SMOOTH,
    background_backward,
    details_backward,
    keep_directions,
    keep_normal,
    keep_texel,
    srgb_slope,
    texel_in_order,
    tilt_backward,
    tone_backward,
)
from pain3d.kernels.rendering.relief import DETAIL_LAYERS
from pain3d.kernels.shading.cpu import ARRIVED, BLOCK, EYE, NORMAL, OCCLUSION, ONE, ZERO, shade_block, whole_vectors
from pain3d.kernels.shading.cpu_backward import (
    GRAD_COLOUR,
    GRAD_EYE,
    GRAD_KEY,
    GRAD_LIT,
    add_harmonics,
    shade_block_backward,
    sum_lane,
)
from pain3d.kernels.shadowing.cpu import shares_on_face
from pain3d.kernels.texturing.cpu import LEVEL, U, V, mix_rows, sample_block
from pain3d.kernels.texturing.cpu_backward import KEPT, LOOKED, add_texels, keep_block, look_backward, zeros_like_chain

# Sums over all pictures, per vertex, in the order of `add_pictures`: number of dimensions. "" is the normals'.
TOTALS = {"vertices": 3, "": 3, "occlusion": 2, "detail_weights": 3, "attributes": 3}
ON_SURFACE = ("vertices", "world_to_clip", "uvs", "occlusion", "detail_weights", "attributes")
# Which rows of a picture's `Sums.rows` are whose gradient.
ROWS = {"sh": slice(0, 9), "key_direction": 9, "key_colour": 10, "camera_position": 11}
GROUP_BYTES = 1 << 26  # of what pictures keep until they are added up; each thread has one picture at least


class Given(NamedTuple):
    """Gradients of the outputs [B, H, W, …]; of one that nobody has, no picture [0, …]."""

    linear: Any
    image: Any
    barycentrics: Any
    depth: Any
    attributes: Any


class Needs(NamedTuple):
    """What a gradient is needed of."""

    lit: bool  # there is one of light
    surface: bool  # of vertices, camera, or anything else on the mesh
    screen: bool  # of positions on the screen
    look: bool  # of where the texture is looked up
    weights: bool  # of detail weights
    texture: bool
    background: bool


class Sums(NamedTuple):
    """What is added up per picture; see `cpu_scatter`."""

    gathered: Any  # [G, V, 16]
    attributes: Any  # [G, V, A]
    uvs: Any  # [G, T, 2]
    rows: Any  # [G, 14, 3] float64: nine harmonics, key direction, key colour, eye, up, exposure


@njit(**WITHOUT_ARRAYS)
def _trace_row(i, n, ids, marks, back, needs, screen, triangles, vertices, skin, lamp, block, light, given, sums, kept):  # type: ignore[no-untyped-def]
    """Gather, look up and shade the covered pixels of row i, block by block.

    Not `back`: only those that mix or are mixed (marks), whose toned light is written to light [W, 3]. Else all, whose
    gradients are added to the sums of the picture.
    """
    snapped, inverse_w, _, levels = screen
    faces, uv_faces, uvs = triangles.faces, triangles.uv_faces, triangles.uvs
    packed, weights, up, _ = vertices
    texels, table = skin
    sh, key, colour, eye, exposure, shadow = lamp
    shadowed = shadow[1].shape[0] > 0
    lanes, columns, seen, inverses, in_order = block
    gradient = in_order[0]
    share_light, image = given[0], given[1].image
    looked, texel_gradients, counts, number = kept
    encoded = image.shape[0] > 0
    width, count, detailed = ids.shape[0], 0, needs.weights
    vertical = np.int64(i) * SUBPIXELS + HALF
    for j in range(width):
        f = np.int64(ids[j])
        if f >= 0 and (back or marks[j] > 0):
            a, b, c = N(faces[f, 0]), N(faces[f, 1]), N(faces[f, 2])
            horizontal = np.int64(j) * SUBPIXELS + HALF
            x0, y0 = snapped[a, 0] - horizontal, snapped[a, 1] - vertical
            x1, y1 = snapped[b, 0] - horizontal, snapped[b, 1] - vertical
            x2, y2 = snapped[c, 0] - horizontal, snapped[c, 1] - vertical
            t0 = np.float64(x2 * y1 - x1 * y2) * inverse_w[a]
            t1 = np.float64(x0 * y2 - x2 * y0) * inverse_w[b]
            t2 = np.float64(x1 * y0 - x0 * y1) * inverse_w[c]
            inverse = 1.0 / (t0 + t1 + t2)
            shares = F(t0 * inverse), F(t1 * inverse), F(t2 * inverse)
            at = N(count)
            lanes[at + N(SHARES)], lanes[at + N(SHARES + BLOCK)], lanes[at + N(SHARES + 2 * BLOCK)] = shares
            columns[at], seen[at], inverses[at] = j, f, inverse
            if needs.lit:
                rows = a * N(PACKED), b * N(PACKED), c * N(PACKED)
                x, y, z, nx, ny, nz, occlusion, _ = mix_rows(packed, rows, shares, PACKED)
                looks = N(uv_faces[f, 0]) * N(2), N(uv_faces[f, 1]) * N(2), N(uv_faces[f, 2]) * N(2)
                u, v = mix_rows(uvs, looks, shares, 2)
                lanes[at + N(EYE)], lanes[at + N(EYE + BLOCK)] = eye[0] - x, eye[1] - y
                lanes[at + N(EYE + 2 * BLOCK)] = eye[2] - z
                lanes[at + N(NORMAL)], lanes[at + N(NORMAL + BLOCK)], lanes[at + N(NORMAL + 2 * BLOCK)] = nx, ny, nz
                lanes[at + N(OCCLUSION)], lanes[at + N(LEVEL)] = occlusion, levels[f]
                lanes[at + N(U)], lanes[at + N(V)] = u, v
                layers = a * N(DETAIL_LAYERS), b * N(DETAIL_LAYERS), c * N(DETAIL_LAYERS)
                one, two = mix_rows(weights, layers, shares, DETAIL_LAYERS)
                lanes[at + N(WEIGHT)], lanes[at + N(WEIGHT + BLOCK)] = one, two
                if shadowed:
                    arrived = shares_on_face(f, shadow[1][f], shadow, (a, b, c), shares)
                    lanes[at + N(ARRIVED)], lanes[at + N(ARRIVED + BLOCK)] = arrived
                for k in range(DETAIL_LAYERS):
                    for layer in layers:
                        detailed |= weights[layer + N(k)] != ZERO
                if back:
                    for k in range(3):
                        lanes[at + N(GRAD_LIT + k * BLOCK)] = share_light[i, j, k]
                        if encoded:
                            lanes[at + N(GRAD_IMAGE + k * BLOCK)] = image[n, i, j, k] if marks[j] < 2 else ZERO
            count += 1
        if count == BLOCK or (j == width - 1 and count > 0):
            whole = whole_vectors(count)
            if needs.lit:
                sample_block(texels, table, lanes, count, detailed)
                keep_texel(lanes, whole)
                if detailed:
                    add_details(lanes, whole)
                keep_normal(lanes, whole, SMOOTH)
                if shadowed:
                    dim_key(lanes, whole)
                tilt_normals(lanes, whole, up)
                keep_directions(lanes, whole)
                shade_block(lanes, whole, sh, key, colour)
                if back:
                    tone_backward(lanes, count, exposure, encoded)
                    shade_block_backward(lanes, count, sh, key, colour)
                    tilt_backward(lanes, count, up)
                    details_backward(lanes, count, detailed)
                    _add_sums(lanes, count, sums[3])
                    if needs.look or needs.texture:
                        texel_in_order(lanes, count, gradient)
                    if needs.look:
                        look_backward(texels, table, lanes, count, gradient, GRAD_UV)
                    if needs.texture:
                        keep_block(lanes, count, gradient, number, looked, texel_gradients, counts)
                        number += 1
                else:
                    tone_block(lanes, count, exposure, columns, light)
            if back and needs.surface:
                scatter_block(i, n, block, count, detailed, needs, screen, triangles, vertices, given[1], sums)
            count, detailed = 0, needs.weights
    return number


@njit(**WITHOUT_ARRAYS)
def _add_sums(lanes, count, rows):  # type: ignore[no-untyped-def]
    """Add what the first `count` points give to light, eye, up and exposure."""
    add_harmonics(lanes, count, 0, rows)
    add_harmonics(lanes, count, 1, rows)
    add_harmonics(lanes, count, 2, rows)
    for k in range(3):
        rows[9, k] += sum_lane(lanes, GRAD_KEY + k * BLOCK, count)
        rows[10, k] += sum_lane(lanes, GRAD_COLOUR + k * BLOCK, count)
        rows[11, k] += sum_lane(lanes, GRAD_EYE + k * BLOCK, count)
        rows[12, k] += sum_lane(lanes, GRAD_UP + k * BLOCK, count)
    rows[13, 0] += sum_lane(lanes, GRAD_EXPOSURE, count)


@njit(**WITHOUT_ARRAYS)
def _mix_picture(n, marks, weights, light, surface, given, share_light, gathered):  # type: ignore[no-untyped-def]
    """Fill share_light [H, W, 3], the gradient of light before it was mixed; marks become 2 where a pixel was mixed."""
    linear, image = given.linear, given.image
    height, width = marks.shape
    mixed = (ZERO, ZERO, ZERO, ZERO)
    for i in range(height):
        for j in range(width):
            if marks[i, j]:
                takes = takes_of(i, j, weights)
                if takes[0] + takes[1] + takes[2] + takes[3] > ZERO:
                    marks[i, j] = 2
            for c in range(3):
                share_light[i, j, c] = linear[n, i, j, c] if linear.shape[0] and marks[i, j] < 2 else ZERO
    for i in range(height):
        for j in range(width):
            if marks[i, j] < 2:
                continue
            takes = takes_of(i, j, weights)
            mixed = (ZERO, ZERO, ZERO, ZERO)
            if image.shape[0]:
                total = takes[0] + takes[1] + takes[2] + takes[3]
                share = ONE / total if total > ONE else ONE
                left, right, above, below = max(j - 1, 0), min(j + 1, width - 1), max(i - 1, 0), min(i + 1, height - 1)
                red = green = blue = ZERO
                for c in range(3):
                    value = (ONE - total * share) * light[i, j, c] + takes[0] * share * light[i, left, c]
                    value += takes[1] * share * light[i, right, c] + takes[2] * share * light[above, j, c]
                    value += takes[3] * share * light[below, j, c]
                    slope = srgb_slope(value) * image[n, i, j, c]
                    red, green, blue = (
                        slope if c == 0 else red,
                        slope if c == 1 else green,
                        slope if c == 2 else blue,
                    )
                mixed = red, green, blue, ZERO
            if linear.shape[0]:
                red, green, blue, _ = mixed
                red, green, blue = red + linear[n, i, j, 0], green + linear[n, i, j, 1], blue + linear[n, i, j, 2]
                mixed = red, green, blue, linear[n, i, j, 3]
            mix_backward(i, j, takes, mixed, light, surface, share_light, gathered)


@njit(**COMPILED)
def _differentiate_images(first, last, start, scene, drawn, given, needs, group, kept, made):  # type: ignore[no-untyped-def]
    """Write the sums of pictures first … last - 1, counted from `start`, and what is of one picture alone to `made`."""
    meshes, triangles, texture, views, lights, size, shadows = scene
    packed, uv_areas, table = drawn
    world_to_clip, background_gradients = made
    faces, adjacent, background = triangles.faces, triangles.adjacent_faces, views.background
    height, width = size
    count, top = packed.shape[1], F(table.shape[0] - 1)
    clip, snapped = np.empty((count, 4), np.float64), np.empty((count, 2), np.int64)
    inverse_w, usable = np.empty(count, np.float64), np.empty(count, np.bool_)
    areas, levels = np.empty(faces.shape[0], np.int64), np.zeros(faces.shape[0], np.float32)
    nearest, ids = np.empty((height, width), np.float64), np.empty((height, width), np.int32)
    lanes, columns, seen = (
        np.zeros(ALL_LANES * BLOCK, np.float32),
        np.empty(BLOCK, np.uint64),
        np.empty(BLOCK, np.int64),
    )
    lanes[ARRIVED:] = ONE
    block = (lanes, columns, seen, np.empty(BLOCK, np.float64), np.zeros((2, BLOCK * 16), np.float32))
    marks = np.zeros((height, width), np.uint8)
    weights = np.empty((2, height if needs.lit else 0, width), np.float32)
    light, share_light = np.zeros((height, width, 3), np.float32), np.empty((height, width, 3), np.float32)
    tall = np.empty((background.shape[2], 3), np.float32)
    stretched = (resample_side(height, background.shape[1]), resample_side(width, background.shape[2]))
    for slot in range(first, last):
        n = start + slot
        m = views.mesh_index[n]
        project_vertices(views.world_to_clip[n], packed[m], clip)
        snap_vertices(clip, height, width, snapped, inverse_w, usable)
        rasterize_faces(snapped, inverse_w, usable, faces, True, areas, nearest, ids)
        fill_levels(areas, uv_areas, top, levels)
        screen = (snapped, inverse_w, areas, levels)
        layers = meshes.detail_weights[m if meshes.detail_weights.shape[0] > 1 else 0].reshape(-1)
        up = meshes.up[m if meshes.up.shape[0] > 1 else 0]
        vertices = (packed[m].reshape(-1), layers, up, meshes.attributes[m])
        skin = (texture.texels[views.texture_index[n]].reshape(-1), table)
        lamp = (
            lights.sh[n],
            lights.key_direction[n],
            lights.key_colour[n],
            views.camera_position[n],
            views.exposure[n],
            shadow_of(n, views, shadows),
        )
        sums = (group.gathered[slot], group.attributes[slot], group.uvs[slot], group.rows[slot])
        for part in range(sums[0].shape[0]):
            sums[0][part] = ZERO
        sums[1][:] = ZERO
        sums[2][:] = ZERO
        sums[3][:] = 0.0
        looked, texel_gradients, counts = kept[0][slot], kept[1][slot], kept[2][slot]
        counts[:] = 0
        if needs.lit:
            surface = (ids, nearest, snapped, areas, faces, adjacent)
            mark_silhouettes(snapped, areas, faces, adjacent, marks)
            weigh_pairs(marks, surface, weights)
            for i in range(height):
                fill_background(i, ids[i], background[n], stretched[0], stretched[1], tall, light[i])
                _trace_row(
                    i, n, ids[i], marks[i], False, needs, screen, triangles, vertices, skin, lamp, block, light[i],
                    (share_light, given), sums, (looked, texel_gradients, counts, 0),
                )  # fmt: skip
            _mix_picture(n, marks, weights, light, surface, given, share_light, sums[0])
        number = 0
        for i in range(height):
            number = _trace_row(
                i, n, ids[i], marks[i], True, needs, screen, triangles, vertices, skin, lamp, block, light[i],
                (share_light, given), sums, (looked, texel_gradients, counts, number),
            )  # fmt: skip
            if needs.lit and needs.background:
                image = given.image[n, i] if given.image.shape[0] else light[0, :0]
                out = background_gradients[n]
                background_backward(i, ids[i], marks[i], light[i], share_light[i], image, stretched, tall, out)
        if needs.screen:
            finish_picture(size, views.world_to_clip[n], packed[m], clip, sums[0], world_to_clip[n])


def differentiate_cpu(scene: RenderInputs, given: dict[str, Tensor | None], needed: set[str]) -> dict[str, Tensor]:
    """Return the gradients of a loss with respect to the inputs of `render` that are needed, float32, by name.

    Args:
        scene: What was rendered.
        given: Gradients of the outputs, by the names of `Given`; image [B, H, W, 3] as of floats.
        needed: Names of tensors of the scene.

    Returns:
        Gradients of the shapes of the tensors.
    """
    meshes, triangles, _, views, _, size, _ = scene
    count = meshes.vertices.shape[1]
    absent = {name: torch.empty((0,) * (3 if name == "depth" else 4)) for name in Given._fields}
    outputs = arrays_of(Given(**(absent | {name: tensor for name, tensor in given.items() if tensor is not None})))
    lit = len(outputs.linear) + len(outputs.image) > 0
    screen = not needed.isdisjoint(("vertices", "world_to_clip"))
    needs = Needs(
        lit=lit,
        surface=not needed.isdisjoint(ON_SURFACE),
        screen=screen,
        look=lit and (screen or "uvs" in needed),
        weights=lit and "detail_weights" in needed,
        texture=lit and "texture" in needed,
        background=lit and "background" in needed,
    )
    arrays, drawn = prepared_arrays(scene, lit)
    pictures, corners = len(views.mesh_index), len(triangles.uvs)
    shapes = {name: tensor.shape for name, tensor in tensors_of(scene).items() if tensor is not None}
    nothing = np.empty((0, 0, 0, 3), np.float32)
    totals = tuple(
        np.zeros(shapes[name or "vertices"] if needs.surface else (0,) * n, np.float32) for name, n in TOTALS.items()
    )
    made = {name: np.zeros(shapes[name], np.float32) for name in needed if name not in TOTALS}
    if "texture" in made:
        made["texture"] = zeros_like_chain(shapes["texture"], scene.texture.height * scene.texture.width)
    blocks = size[0] * -(-size[1] // BLOCK) if needs.texture else 0
    each = 4 * (count * (GATHERED + meshes.attributes.shape[2]) + corners * 2 + blocks * (LOOKED + KEPT))
    length = max(1, min(pictures, max(torch.get_num_threads(), GROUP_BYTES // max(each, 1))))
    group = Sums(
        gathered=np.empty((length, count, GATHERED), np.float32),
        attributes=np.empty((length, count, meshes.attributes.shape[2]), np.float32),
        uvs=np.empty((length, corners, 2), np.float32),
        rows=np.empty((length, 14, 3), np.float64),
    )
    kept = (
        np.empty((length, blocks * LOOKED), np.float32),
        np.empty((length, blocks * KEPT), np.float32),
        np.empty((length, blocks), np.int32),
    )
    world_to_clip = np.zeros((pictures if screen else 0, 4, 4), np.float32)
    background = made.get("background", nothing)
    texels, parts, shared_up = (
        made["texture"] if needs.texture else nothing,
        torch.get_num_threads(),
        len(meshes.up) == 1,
    )
    for start in range(0, pictures, length):
        stop = min(start + length, pictures)
        here = range(stop - start)

        def differentiate(first: int, last: int, start: int = start) -> None:
            _differentiate_images(
                first, last, start, arrays, drawn, outputs, needs, group, kept, (world_to_clip, background)
            )

        for_each_range(len(here), differentiate)
        meshes_here, textures_here = arrays.views.mesh_index[start:stop], arrays.views.texture_index[start:stop]
        if needs.surface:

            def add_up(first: int, last: int, who: Any = meshes_here) -> None:
                add_pictures(first, last, who, group, totals)

            for_each_range(count, add_up)
        if needs.texture:
            begins, used = textures_here * texels.shape[1], tuple(part[: len(here)] for part in kept)

            def add(first: int, last: int, begins: Any = begins, used: Any = used) -> None:
                add_texels(first, last, parts, drawn[2], begins, used, texels.reshape(-1))

            for_each_range(parts, add)
        for k in here:
            if "uvs" in made:
                made["uvs"] += group.uvs[k]
            if "up" in made:
                made["up"][0 if shared_up else meshes_here[k]] += group.rows[k, 12].astype(np.float32)
        for name, rows in ROWS.items():
            if name in made:
                made[name][start:stop] = group.rows[: len(here), rows]
        if "exposure" in made:
            made["exposure"][start:stop] = group.rows[: len(here), 13, 0]
    if "vertices" in needed and lit:
        totals[0][:] += normals_backward_cpu(meshes.vertices, triangles.faces, torch.from_numpy(totals[1])).numpy()
    made |= {name: array for name, array in zip(TOTALS, totals, strict=True) if name in needed}
    if "world_to_clip" in needed:
        made["world_to_clip"] = world_to_clip
    return {name: torch.from_numpy(array) for name, array in made.items()}
