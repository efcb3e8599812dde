"""Knows layers on a CPU: numba, a picture per thread, one pass over the faces from about the nearest to the farthest.

What lies behind a fragment that lets nothing through is neither lit nor looked up, and hidden tiles aren't walked.
The fused `render` draws layers with the same functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.layering.bundles import LayerScene, Overlaid
from pain3d.kernels.layering.cpu_fragments import BLOCK, COLUMNS, FACE, NEARNESS, ROWS, SHARES, light_fragments
from pain3d.kernels.layering.cpu_fragments import LANES as FRAGMENT_LANES
from pain3d.kernels.layering.cpu_light import BLOCK as VERTICES
from pain3d.kernels.layering.cpu_light import LANES, RECORD, light_vertices_cpu
from pain3d.kernels.layering.cpu_lists import NODE, blend_row, keep_fragments
from pain3d.kernels.layering.cpu_order import (
    BUCKETS,
    STATE,
    TIE,
    TILE,
    box_of,
    choose_vertices,
    is_hidden,
    measure_tiles,
    order_faces,
    tiles_across,
)
from pain3d.kernels.layering.reference import SOFT
from pain3d.kernels.rasterization.reference import HALF, LIMIT, NEAR, SUBPIXELS
from pain3d.kernels.texturing.cpu import prefetch

F, I32, N = np.float32, np.int32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ONE = F(0), F(1)
JUST = 2.0**-33  # less than the distance of a quotient of edge functions from a whole number, more than its rounding


@njit(**WITHOUT_ARRAYS)
def place_ribbons(ribbons, first, count, matrix, size, placed, records):  # type: ignore[no-untyped-def]
    """Fill snapped [count, 2], inverse_w and usable, and what lies across in records, as `place_vertices` does.

    Return the first and the last row, and the first and the last column, that they may touch.
    """
    snapped, inverse_w, usable = placed
    height, width = size
    m00, m01, m02, m03 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    m10, m11, m12, m13 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    m30, m31, m32, m33 = matrix[3, 0], matrix[3, 1], matrix[3, 2], matrix[3, 3]
    right, down = width * 0.5, height * -0.5
    left, top, far, below = np.int64(LIMIT), np.int64(LIMIT), np.int64(-LIMIT), np.int64(-LIMIT)
    for k in range(count):
        v = first + k
        px, py, pz = ribbons.vertices[v, 0], ribbons.vertices[v, 1], ribbons.vertices[v, 2]
        px, py, pz = np.float64(px), np.float64(py), np.float64(pz)
        sx, sy, sz = np.float64(ribbons.sides[v, 0]), np.float64(ribbons.sides[v, 1]), np.float64(ribbons.sides[v, 2])
        usable[k] = False
        snapped[k, 0] = snapped[k, 1] = 0
        inverse_w[k] = 1.0
        records[k, 8], records[k, 9], records[k, 10] = ZERO, ZERO, ONE
        w = m30 * px + m31 * py + m32 * pz + m33
        if not (w > NEAR and w < np.inf):
            continue
        inverse_w[k] = 1.0 / w
        column = (m00 * px + m01 * py + m02 * pz + m03) / w * right
        row = (m10 * px + m11 * py + m12 * pz + m13) / w * down
        if sx != 0.0 or sy != 0.0 or sz != 0.0:
            px, py, pz = px - sx, py - sy, pz - sz
            w = m30 * px + m31 * py + m32 * pz + m33
            if w > NEAR and w < np.inf:
                middle = (m00 * px + m01 * py + m02 * pz + m03) / w * right
                level = (m10 * px + m11 * py + m12 * pz + m13) / w * down
                over, under = column - middle, row - level
                length = math.sqrt(over * over + under * under)
                records[k, 10] = F(length)
                if length > 1e-6:
                    more = (length + SOFT) / length
                    over, under = over * more, under * more
                    column, row = middle + over, level + under
                    records[k, 8], records[k, 9] = F(over), F(under)
        column = np.floor((column + width * 0.5) * SUBPIXELS + 0.5)
        row = np.floor((row + height * 0.5) * SUBPIXELS + 0.5)
        if abs(column) <= LIMIT and abs(row) <= LIMIT:
            x, y = np.int64(column), np.int64(row)
            snapped[k, 0], snapped[k, 1], usable[k] = x, y, True
            left, top, far, below = min(left, x), min(top, y), max(far, x), max(below, y)
    return (
        max(top // SUBPIXELS, 0), min(below // SUBPIXELS, height - 1),
        max(left // SUBPIXELS, 0), min(far // SUBPIXELS, width - 1),
    )  # fmt: skip


@njit(**WITHOUT_ARRAYS)
def _face_level(a, b, c, snapped, records, wide, tall, top):  # type: ignore[no-untyped-def]
    """Return the mip level of a face, as `face_levels` does."""
    scale = 1.0 / SUBPIXELS
    ox, oy = np.float64(snapped[b, 0] - snapped[a, 0]) * scale, np.float64(snapped[b, 1] - snapped[a, 1]) * scale
    tx, ty = np.float64(snapped[c, 0] - snapped[a, 0]) * scale, np.float64(snapped[c, 1] - snapped[a, 1]) * scale
    u, v = np.float64(records[a, 6]), np.float64(records[a, 7])
    fu, fv = (np.float64(records[b, 6]) - u) * wide, (np.float64(records[b, 7]) - v) * tall
    su, sv = (np.float64(records[c, 6]) - u) * wide, (np.float64(records[c, 7]) - v) * tall
    inverse = 1.0 / (ox * ty - tx * oy)
    xu, xv = (fu * ty - su * oy) * inverse, (fv * ty - sv * oy) * inverse
    yu, yv = (su * ox - fu * tx) * inverse, (sv * ox - fv * tx) * inverse
    longest = max(xu * xu + xv * xv, yu * yu + yv * yv)
    level, reached = 0, 2.0
    while level < top and longest >= reached:
        level, reached = level + 1, reached * 4.0
    return level


@njit(**WITHOUT_ARRAYS)
def draw_faces(ribbons, span, texture, exposure, placed, records, size, ordered, block, kept, nodes, used):  # type: ignore[no-untyped-def]
    """Put the fragments that are nearer than their pixels' bounds into lists.

    Return how many of the faces and of the nodes are done with: faces wait where there may be too few nodes.
    ordered: a list of faces, and which of them are drawn, first and last + 1. kept: tiles, states and bounds.
    """
    table, tall, wide = texture[1:]
    snapped, inverse_w, _ = placed
    lanes, places, pixels = block
    listed, first_face, count = ordered
    tiles, states, bound = kept
    flat = records.reshape(records.size)
    top, chain = table.shape[0] - 1, N(table[-1, 0] + table[-1, 1] * table[-1, 2])
    waiting, across, farthest, done = 0, N(tiles_across(size[1])), tiles[0], count
    for k in range(first_face, count):
        own = I32(listed[k])
        f = span[2] + np.int64(own)
        a, b, c = np.int64(ribbons.faces[f, 0]), np.int64(ribbons.faces[f, 1]), np.int64(ribbons.faces[f, 2])
        x0, y0, x1, y1 = snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1]
        x2, y2 = snapped[c, 0], snapped[c, 1]
        first_i, last_i, first_j, last_j = box_of(snapped, a, b, c, size)
        if used + waiting + (last_i - first_i + 1) * (last_j - first_j + 1) > nodes.size // NODE:
            done = k
            break
        most = max(inverse_w[a], inverse_w[b], inverse_w[c]) * TIE
        area = (y1 - y0) * (x2 - x0) - (x1 - x0) * (y2 - y0)
        whole = np.float64(abs(area))
        g0, g1, g2 = inverse_w[a] / whole, inverse_w[b] / whole, inverse_w[c] / whole
        sign = np.int64(1) if area > 0 else np.int64(-1)
        dx0, dy0 = (x2 - x1) * sign, (y2 - y1) * sign
        dx1, dy1 = (x0 - x2) * sign, (y0 - y2) * sign
        dx2, dy2 = (x1 - x0) * sign, (y1 - y0) * sign
        low0 = np.int64(0) if dy0 > 0 or (dy0 == 0 and dx0 < 0) else np.int64(1)
        low1 = np.int64(0) if dy1 > 0 or (dy1 == 0 and dx1 < 0) else np.int64(1)
        low2 = np.int64(0) if dy2 > 0 or (dy2 == 0 and dx2 < 0) else np.int64(1)
        column, row = first_j * SUBPIXELS + HALF, first_i * SUBPIXELS + HALF
        at0 = dy0 * (column - x1) - dx0 * (row - y1)
        at1 = dy1 * (column - x2) - dx1 * (row - y2)
        at2 = dy2 * (column - x0) - dx2 * (row - y0)
        step0, step1, step2 = dy0 * SUBPIXELS, dy1 * SUBPIXELS, dy2 * SUBPIXELS
        next0, next1, next2 = -dx0 * SUBPIXELS, -dx1 * SUBPIXELS, -dx2 * SUBPIXELS
        first, last, lines = np.int64(first_j), np.int64(last_j - first_j), np.int64(first_i)
        last_line, along, between, tile_along, tile_between = np.int64(last_i), N(1), N(2**TILE), N(1), across
        if last_i - first_i > last_j - first_j:  # strands hang: a few long columns, not many short rows
            step0, step1, step2, next0, next1, next2 = next0, next1, next2, step0, step1, step2
            first, last, lines, last_line = first_i, last_i - first_i, first_j, last_j
            along, between, tile_along, tile_between = between, along, tile_between, tile_along
        per0, per1, per2 = 1.0 / np.float64(step0), 1.0 / np.float64(step1), 1.0 / np.float64(step2)
        corners = N(a * RECORD), N(b * RECORD), N(c * RECORD)
        level = -1
        base = N(ribbons.face_textures[f]) * chain
        first_tile, last_tile = first >> TILE, (first + last) >> TILE
        line = lines - 1
        while line < last_line:
            line += 1
            if (line == lines or line & (2**TILE - 1) == 0) and is_hidden(
                farthest, N(line >> TILE) * tile_between, first_tile, last_tile, tile_along, most
            ):
                below = min(line | (2**TILE - 1), last_line)
                skipped = below - line + 1
                at0, at1, at2 = at0 + next0 * skipped, at1 + next1 * skipped, at2 + next2 * skipped
                line = below
                continue
            # A face is convex: from where the line enters it to where it leaves, edge by edge.
            start, stop = 0.0, np.float64(last)
            if step0 > 0:
                start = max(start, np.ceil(np.float64(low0 - at0) * per0 - JUST))
            elif step0 < 0:
                stop = min(stop, np.floor(np.float64(low0 - at0) * per0 + JUST))
            elif at0 < low0:
                stop = np.float64(-1)
            if step1 > 0:
                start = max(start, np.ceil(np.float64(low1 - at1) * per1 - JUST))
            elif step1 < 0:
                stop = min(stop, np.floor(np.float64(low1 - at1) * per1 + JUST))
            elif at1 < low1:
                stop = np.float64(-1)
            if step2 > 0:
                start = max(start, np.ceil(np.float64(low2 - at2) * per2 - JUST))
            elif step2 < 0:
                stop = min(stop, np.floor(np.float64(low2 - at2) * per2 + JUST))
            elif at2 < low2:
                stop = np.float64(-1)
            if start <= stop:
                enters = np.int64(start)
                e0, e1, e2 = at0 + enters * step0, at1 + enters * step1, at2 + enters * step2
                place, stops = first + enters, first + np.int64(stop)
                while place <= stops:  # tile by tile
                    ends = min(place | (2**TILE - 1), stops)
                    tile = N(line >> TILE) * tile_between + N(place >> TILE) * tile_along
                    if not most > farthest[tile]:
                        hidden = ends + 1 - place
                        e0, e1, e2 = e0 + hidden * step0, e1 + hidden * step1, e2 + hidden * step2
                        place = ends + 1
                        continue
                    pixel = (tile << N(2 * TILE)) + N(line & (2**TILE - 1)) * between
                    pixel += N(place & (2**TILE - 1)) * along
                    for _ in range(place, ends + 1):
                        spot = pixel
                        pixel += along
                        t0, t1, t2 = np.float64(e0) * g0, np.float64(e1) * g1, np.float64(e2) * g2
                        e0, e1, e2 = e0 + step0, e1 + step1, e2 + step2
                        total = t0 + t1 + t2
                        if not F(total) > bound[spot]:
                            continue
                        if level < 0:
                            level = _face_level(a, b, c, snapped, records, wide, tall, top)
                            rows, columns = table[level, 1], table[level, 2]
                            texels = base + N(table[level, 0])
                        at, inverse = N(waiting), 1.0 / total
                        lanes[at + N(SHARES)], lanes[at + N(SHARES + BLOCK)] = F(t0 * inverse), F(t1 * inverse)
                        lanes[at + N(SHARES + 2 * BLOCK)] = F(t2 * inverse)
                        lanes[at + N(ROWS)], lanes[at + N(COLUMNS)] = F(rows), F(columns)
                        lanes[at + N(NEARNESS)], lanes[at + N(FACE)] = F(total), own.view(F)
                        places[0, at], places[1, at], places[2, at] = corners
                        places[3, at], pixels[at] = texels, spot
                        prefetch(states, spot * N(STATE))
                        waiting += 1
                        if waiting == BLOCK:
                            light_fragments(lanes, places, waiting, flat, texture[0], exposure)
                            used = keep_fragments(block, waiting, kept, nodes, used)
                            waiting = 0
                    place = ends + 1
            at0, at1, at2 = at0 + next0, at1 + next1, at2 + next2
    if waiting > 0:
        light_fragments(lanes, places, waiting, flat, texture[0], exposure)
        used = keep_fragments(block, waiting, kept, nodes, used)
    return done, used


@njit(**COMPILED)
def draw_layers(n, scene, nearest, work, nodes):  # type: ignore[no-untyped-def]
    """Draw the layers of picture n before nearest [H, W] float64 (inverse depth, 0 is far) into the work's lists.

    Return the nodes of the lists, which are those given or, where these were too few, more.
    """
    ribbons, texture, eyes, lights = scene
    placed, records, lanes, order, chosen, block, tiles, states, bound, touched = work
    span, size, used = ribbons.spans[n], nearest.shape, 1
    matrix, lamp = eyes.world_to_clip[n], (lights.sh[n], lights.key_direction[n], lights.key_colour[n])
    box = place_ribbons(ribbons, span[0], span[1], matrix, size, placed, records)
    touched[0], touched[1], touched[2], touched[3] = box
    measure_tiles(nearest, box, tiles, states, bound)
    count = order_faces(ribbons.faces, span, placed, size, tiles[0], order)
    vertices = choose_vertices(ribbons.faces, span, order[2], count, chosen)
    light_vertices_cpu(ribbons, span[0], chosen[0], vertices, eyes.camera_position[n], lamp, lanes, records)
    done = 0
    while done < count:
        done, used = draw_faces(
            ribbons, span, texture, eyes.exposure[n], placed, records, size, (order[2], done, count), block,
            (tiles, states, bound), nodes, used,
        )  # fmt: skip
        if done < count:
            more = np.empty(2 * nodes.size + size[0] * size[1] * NODE, np.float32)
            more[: used * NODE] = nodes[: used * NODE]
            nodes = more
    return nodes


@njit(**COMPILED)
def layer_work(most, height, width):  # type: ignore[no-untyped-def]
    """Return the buffers of a thread for meshes of at most so many vertices and faces."""
    vertices, faces = most
    placed = np.empty((vertices, 2), np.int64), np.empty(vertices, np.float64), np.empty(vertices, np.bool_)
    records, lanes = np.zeros((vertices, RECORD), np.float32), np.zeros(LANES * VERTICES, np.float32)
    order = (
        np.empty(faces, np.float64), np.empty(faces, np.int32), np.empty(faces, np.int32), np.empty(BUCKETS, np.int32)
    )  # fmt: skip
    block = np.zeros(FRAGMENT_LANES * BLOCK, np.float32), np.empty((4, BLOCK), np.uint64), np.empty(BLOCK, np.uint64)
    chosen = np.empty(vertices, np.int64), np.empty(vertices, np.bool_)
    count = tiles_across(height) * tiles_across(width)
    pixels = count * 4**TILE
    tiles = np.empty(count, np.float32), np.empty(count, np.int32)
    states, bound = np.empty(pixels * STATE, np.float32), np.empty(pixels, np.float32)
    return placed, records, lanes, order, chosen, block, tiles, states, bound, np.empty(4, np.int64)


@njit(**COMPILED)
def layer_nodes(height, width):  # type: ignore[no-untyped-def]
    """Return nodes of lists for a picture on which hair is no denser than usual: a half as many as pixels."""
    return np.empty(height * width // 2 * NODE, np.float32)


@njit(**COMPILED)
def _overlay_images(first, last, scene, most, depth, colour, layer_alpha):  # type: ignore[no-untyped-def]
    height, width = depth.shape[1], depth.shape[2]
    work, nodes = layer_work(most, height, width), layer_nodes(height, width)
    nearest = np.empty((height, width), np.float64)
    for n in range(first, last):
        for i in range(height):
            for j in range(width):
                nearest[i, j] = 1.0 / np.float64(depth[n, i, j])
        nodes = draw_layers(n, scene, nearest, work, nodes)
        for i in range(height):
            blend_row(i, work[9], work[7], nodes, colour[n, i], layer_alpha[n, i])


def overlay_cpu(colour: Tensor, depth: Tensor, scene: LayerScene) -> Overlaid:
    """`pain3d.kernels.overlay` for float32 CPU tensors."""
    blended = colour.detach().clone(memory_format=torch.contiguous_format)
    layer_alpha = torch.empty(depth.shape, dtype=torch.float32)
    arrays, most = layer_arrays(scene)
    given = [tensor.detach().contiguous().numpy() for tensor in (depth, blended, layer_alpha)]
    for_each_range(len(depth), lambda first, last: _overlay_images(first, last, arrays, most, *given))
    return Overlaid(blended, layer_alpha)


def layer_arrays(scene: LayerScene) -> tuple[Any, tuple[int, ...]]:
    """Return the scene as arrays, and how many vertices and faces a mesh has at most."""
    ribbons, texture, eyes, lights = scene

    def arrays(bundle: Any) -> Any:
        return type(bundle)(*[tensor.detach().contiguous().numpy() for tensor in bundle])

    ribbons = ribbons._replace(
        faces=ribbons.faces.to(torch.int32),
        face_textures=ribbons.face_textures.to(torch.int32),
        spans=ribbons.spans.to(torch.int64),
    )
    eyes = eyes._replace(world_to_clip=eyes.world_to_clip.to(torch.float64))
    chain = texture.texels.detach().contiguous().flatten().numpy(), np.array(texture.levels()), *texture[1:]
    most = ribbons.spans[:, 1::2].amax(0).tolist() if len(ribbons.spans) else (0, 0)
    return (arrays(ribbons), chain, arrays(eyes), arrays(lights)), tuple(most)
