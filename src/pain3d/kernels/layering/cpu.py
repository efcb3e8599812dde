"""Knows layers on a CPU: numba, a picture per thread, one pass over the faces with a small sorted buffer per pixel.

A face's fragments are lit and looked up as they are drawn, and put in order into the pixel's slot, one cache line; what
is farther than the `DEEP` there joins the tail. The fused `render` draws layers with the same functions.
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
from pain3d.kernels.layering.cpu_fragments import (
    BLOCK,
    HALF_WIDTH,
    LEVEL,
    MIXED,
    NEARNESS,
    SHARES,
    light_fragments,
)
from pain3d.kernels.layering.cpu_fragments import LANES as FRAGMENT_LANES
from pain3d.kernels.layering.cpu_light import BLOCK as VERTICES
from pain3d.kernels.layering.cpu_light import LANES, RECORD, light_vertices_cpu
from pain3d.kernels.layering.reference import DEEP, FAINT, SOFT
from pain3d.kernels.rasterization.reference import HALF, LIMIT, NEAR, SUBPIXELS
from pain3d.kernels.texturing.cpu import prefetch

PART = 5  # floats of a fragment: inverse depth, then toned light times alpha, then alpha
TAIL = (
    DEEP * PART
)  # where it stands in a slot: sums of light times alpha and of alpha, product of what each lets through
SLOT = 16  # floats of a pixel: two fragments, the tail, and one to spare

F, N = np.float32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ONE, LEAST = F(0), F(1), F(FAINT)


@njit(**WITHOUT_ARRAYS)
def place_ribbons(ribbons, first, count, matrix, size, placed, records):  # type: ignore[no-untyped-def]
    """Fill snapped [count, 2], inverse_w and usable, and what lies across in records, as `place_vertices` does."""
    snapped, inverse_w, usable = placed
    height, width = size
    m00, m01, m02, m03 = matrix[0, 0], matrix[0, 1], matrix[0, 2], matrix[0, 3]
    m10, m11, m12, m13 = matrix[1, 0], matrix[1, 1], matrix[1, 2], matrix[1, 3]
    m30, m31, m32, m33 = matrix[3, 0], matrix[3, 1], matrix[3, 2], matrix[3, 3]
    right, down = width * 0.5, height * -0.5
    for k in range(count):
        v = first + k
        x, y, z = (
            np.float64(ribbons.vertices[v, 0]),
            np.float64(ribbons.vertices[v, 1]),
            np.float64(ribbons.vertices[v, 2]),
        )
        sx, sy, sz = np.float64(ribbons.sides[v, 0]), np.float64(ribbons.sides[v, 1]), np.float64(ribbons.sides[v, 2])
        usable[k] = False
        snapped[k, 0] = snapped[k, 1] = 0
        inverse_w[k] = 1.0
        records[k, 8], records[k, 9], records[k, 10] = ZERO, ZERO, ONE
        w = m30 * x + m31 * y + m32 * z + m33
        if not (w > NEAR and w < np.inf):
            continue
        inverse_w[k] = 1.0 / w
        column = (m00 * x + m01 * y + m02 * z + m03) / w * right
        row = (m10 * x + m11 * y + m12 * z + m13) / w * down
        if sx != 0.0 or sy != 0.0 or sz != 0.0:
            x, y, z = x - sx, y - sy, z - sz
            w = m30 * x + m31 * y + m32 * z + m33
            if w > NEAR and w < np.inf:
                middle = (m00 * x + m01 * y + m02 * z + m03) / w * right
                level = (m10 * x + m11 * y + m12 * z + m13) / w * down
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
            snapped[k, 0], snapped[k, 1] = np.int64(column), np.int64(row)
            usable[k] = True


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
    if not longest > 1.0:
        return ZERO
    return min(F(0.5 * math.log2(longest)), top)


@njit(**WITHOUT_ARRAYS)
def _join_tail(slots, slot, red, green, blue, weight):  # type: ignore[no-untyped-def]
    tail = slot + N(TAIL)
    slots[tail] += red
    slots[tail + N(1)] += green
    slots[tail + N(2)] += blue
    slots[tail + N(3)] += weight
    slots[tail + N(4)] -= slots[tail + N(4)] * weight


@njit(**WITHOUT_ARRAYS)
def _keep_fragments(block, count, counts, slots):  # type: ignore[no-untyped-def]
    """Put the first `count` fragments of a block, which are lit, into their pixels' slots."""
    lanes, _, pixels = block
    for i in range(count):
        k = N(i)
        weight = lanes[k + N(HALF_WIDTH)]
        if not weight >= LEAST:
            continue
        red, green, blue = lanes[k + N(MIXED)], lanes[k + N(MIXED + BLOCK)], lanes[k + N(MIXED + 2 * BLOCK)]
        here = lanes[k + N(NEARNESS)]
        slot = pixels[k] * N(SLOT)
        held = N(counts[pixels[k]])
        if held == N(0):
            for part in range(TAIL, TAIL + 4):
                slots[slot + N(part)] = ZERO
            slots[slot + N(TAIL + 4)] = ONE
        if held < N(DEEP):
            counts[pixels[k]] = held + N(1)
        else:
            last = slot + N(TAIL - PART)
            if here > slots[last]:  # of equals the lower face stays before
                held -= N(1)
                _join_tail(slots, slot, slots[last + N(1)], slots[last + N(2)], slots[last + N(3)], slots[last + N(4)])
            else:
                _join_tail(slots, slot, red, green, blue, weight)
                continue
        at = slot + held * N(PART)
        while at > slot and here > slots[at - N(PART)]:
            before = at - N(PART)
            for part in range(PART):
                slots[at + N(part)] = slots[before + N(part)]
            at = before
        slots[at], slots[at + N(1)], slots[at + N(2)] = here, red, green
        slots[at + N(3)], slots[at + N(4)] = blue, weight


@njit(**WITHOUT_ARRAYS)
def draw_faces(ribbons, span, texture, exposure, placed, records, nearest, block, counts, slots):  # type: ignore[no-untyped-def]
    """Put the fragments nearer than nearest [H, W] (inverse depth) into slots [H · W · SLOT]; counts [H · W] grows."""
    table, tall, wide = texture[1:]
    snapped, inverse_w, usable = placed
    lanes, places, pixels = block
    height, width = nearest.shape
    flat = records.reshape(records.size)
    top, chain = F(table.shape[0] - 1), N(table[-1, 0] + table[-1, 1] * table[-1, 2])
    many, waiting = span[1], 0
    for f in range(span[2], span[2] + span[3]):
        a, b, c = np.int64(ribbons.faces[f, 0]), np.int64(ribbons.faces[f, 1]), np.int64(ribbons.faces[f, 2])
        if not (0 <= a < many and 0 <= b < many and 0 <= c < many):
            continue
        if not (usable[a] and usable[b] and usable[c]):
            continue
        x0, y0, x1, y1 = snapped[a, 0], snapped[a, 1], snapped[b, 0], snapped[b, 1]
        x2, y2 = snapped[c, 0], snapped[c, 1]
        area = (y1 - y0) * (x2 - x0) - (x1 - x0) * (y2 - y0)
        if area == 0:
            continue
        first_j = max(-((HALF - min(x0, x1, x2)) // SUBPIXELS), 0)
        last_j = min((max(x0, x1, x2) - HALF) // SUBPIXELS, width - 1)
        first_i = max(-((HALF - min(y0, y1, y2)) // SUBPIXELS), 0)
        last_i = min((max(y0, y1, y2) - HALF) // SUBPIXELS, height - 1)
        if first_j > last_j or first_i > last_i:
            continue
        size = np.float64(abs(area))
        g0, g1, g2 = inverse_w[a] / size, inverse_w[b] / size, inverse_w[c] / size
        sign = np.int64(1) if area > 0 else np.int64(-1)
        dx0, dy0 = (x2 - x1) * sign, (y2 - y1) * sign
        dx1, dy1 = (x0 - x2) * sign, (y0 - y2) * sign
        dx2, dy2 = (x1 - x0) * sign, (y1 - y0) * sign
        low0 = np.int64(0) if dy0 > 0 or (dy0 == 0 and dx0 < 0) else np.int64(1)
        low1 = np.int64(0) if dy1 > 0 or (dy1 == 0 and dx1 < 0) else np.int64(1)
        low2 = np.int64(0) if dy2 > 0 or (dy2 == 0 and dx2 < 0) else np.int64(1)
        column, row = first_j * SUBPIXELS + HALF, first_i * SUBPIXELS + HALF
        row0 = dy0 * (column - x1) - dx0 * (row - y1)
        row1 = dy1 * (column - x2) - dx1 * (row - y2)
        row2 = dy2 * (column - x0) - dx2 * (row - y0)
        step0, step1, step2 = dy0 * SUBPIXELS, dy1 * SUBPIXELS, dy2 * SUBPIXELS
        per0, per1, per2 = 1.0 / np.float64(step0), 1.0 / np.float64(step1), 1.0 / np.float64(step2)
        corners = N(a * RECORD), N(b * RECORD), N(c * RECORD)
        level = F(-1)
        base = N(ribbons.face_textures[f]) * chain
        for i in range(first_i, last_i + 1):
            # A face is convex: from about where the row enters it to where it leaves. The integers decide.
            start = np.int64(0)
            if step0 > 0 and row0 < low0:
                start = max(start, np.int64(np.float64(low0 - row0) * per0) - 1)
            if step1 > 0 and row1 < low1:
                start = max(start, np.int64(np.float64(low1 - row1) * per1) - 1)
            if step2 > 0 and row2 < low2:
                start = max(start, np.int64(np.float64(low2 - row2) * per2) - 1)
            e0, e1, e2 = row0 + start * step0, row1 + start * step1, row2 + start * step2
            row0 -= dx0 * SUBPIXELS
            row1 -= dx1 * SUBPIXELS
            row2 -= dx2 * SUBPIXELS
            for j in range(first_j + start, last_j + 1):
                inside = ((e0 - low0) | (e1 - low1) | (e2 - low2)) >= 0
                # Left of an edge that falls to the right no pixel follows.
                gone = (e0 < low0 and step0 <= 0) or (e1 < low1 and step1 <= 0) or (e2 < low2 and step2 <= 0)
                t0, t1, t2 = np.float64(e0) * g0, np.float64(e1) * g1, np.float64(e2) * g2
                e0, e1, e2 = e0 + step0, e1 + step1, e2 + step2
                if gone:
                    break
                total = t0 + t1 + t2
                here = F(total)
                if not inside or not np.float64(here) > nearest[N(i), N(j)]:
                    continue
                if level < ZERO:
                    level = _face_level(a, b, c, snapped, records, wide, tall, top)
                at, inverse = N(waiting), 1.0 / total
                lanes[at + N(SHARES)], lanes[at + N(SHARES + BLOCK)] = F(t0 * inverse), F(t1 * inverse)
                lanes[at + N(SHARES + 2 * BLOCK)] = F(t2 * inverse)
                lanes[at + N(NEARNESS)], lanes[at + N(LEVEL)] = here, level
                places[0, at], places[1, at], places[2, at] = corners
                pixel = N(i) * N(width) + N(j)
                places[3, at], pixels[at] = base, pixel
                prefetch(slots, pixel * N(SLOT))
                waiting += 1
                if waiting == BLOCK:
                    light_fragments(lanes, places, waiting, flat, texture, exposure)
                    _keep_fragments(block, waiting, counts, slots)
                    waiting = 0
    if waiting > 0:
        light_fragments(lanes, places, waiting, flat, texture, exposure)
        _keep_fragments(block, waiting, counts, slots)


@njit(**WITHOUT_ARRAYS)
def blend_row(i, counts, slots, row, layer_alpha):  # type: ignore[no-untyped-def]
    """Blend the fragments of row i front to back over row [W, 3]; write what they cover to layer_alpha [W]."""
    for j in range(row.shape[0]):
        held = N(counts[N(i) * N(row.shape[0]) + N(j)])
        if held == N(0):
            layer_alpha[j] = ZERO
            continue
        slot = (N(i) * N(row.shape[0]) + N(j)) * N(SLOT)
        red = green = blue = ZERO
        left = ONE
        for k in range(held):
            at = slot + N(k) * N(PART)
            red += left * slots[at + N(1)]
            green += left * slots[at + N(2)]
            blue += left * slots[at + N(3)]
            left -= left * slots[at + N(4)]
        tail = slot + N(TAIL)
        if slots[tail + N(3)] > ZERO:
            share = left * (ONE - slots[tail + N(4)]) / slots[tail + N(3)]
            red += share * slots[tail]
            green += share * slots[tail + N(1)]
            blue += share * slots[tail + N(2)]
            left *= slots[tail + N(4)]
        row[j, 0] = red + left * row[j, 0]
        row[j, 1] = green + left * row[j, 1]
        row[j, 2] = blue + left * row[j, 2]
        layer_alpha[j] = ONE - left


@njit(**WITHOUT_ARRAYS)
def draw_layers(n, scene, nearest, work):  # type: ignore[no-untyped-def]
    """Draw the layers of picture n before nearest [H, W] float64 (inverse depth, 0 is far) into the work's buffers."""
    ribbons, texture, eyes, lights = scene
    placed, records, lanes, block, counts, slots = work
    counts[:] = 0
    span = ribbons.spans[n]
    matrix, lamp = eyes.world_to_clip[n], (lights.sh[n], lights.key_direction[n], lights.key_colour[n])
    place_ribbons(ribbons, span[0], span[1], matrix, nearest.shape, placed, records)
    light_vertices_cpu(ribbons, span[0], span[1], eyes.camera_position[n], lamp, lanes, records)
    draw_faces(ribbons, span, texture, eyes.exposure[n], placed, records, nearest, block, counts, slots)


@njit(**COMPILED)
def layer_work(most, height, width):  # type: ignore[no-untyped-def]
    """Return the buffers of a thread for meshes of `most` vertices."""
    placed = np.empty((most, 2), np.int64), np.empty(most, np.float64), np.empty(most, np.bool_)
    records = np.zeros((most, RECORD), np.float32)
    counts, slots = np.empty(height * width, np.uint8), np.empty(height * width * SLOT, np.float32)
    block = np.zeros(FRAGMENT_LANES * BLOCK, np.float32), np.empty((4, BLOCK), np.uint64), np.empty(BLOCK, np.uint64)
    return placed, records, np.zeros(LANES * VERTICES, np.float32), block, counts, slots


@njit(**COMPILED)
def _overlay_images(first, last, scene, most, depth, colour, layer_alpha):  # type: ignore[no-untyped-def]
    height, width = depth.shape[1], depth.shape[2]
    work = layer_work(most, height, width)
    nearest = np.empty((height, width), np.float64)
    for n in range(first, last):
        for i in range(height):
            for j in range(width):
                nearest[i, j] = 1.0 / np.float64(depth[n, i, j])
        draw_layers(n, scene, nearest, work)
        for i in range(height):
            blend_row(i, work[4], work[5], colour[n, i], layer_alpha[n, i])


def overlay_cpu(colour: Tensor, depth: Tensor, scene: LayerScene) -> Overlaid:
    """`pain3d.kernels.overlay` for float32 CPU tensors."""
    blended = colour.detach().clone(memory_format=torch.contiguous_format)
    layer_alpha = torch.empty(depth.shape, dtype=torch.float32)
    arrays, most = layer_arrays(scene)
    given = [tensor.detach().contiguous().numpy() for tensor in (depth, blended, layer_alpha)]
    for_each_range(len(depth), lambda first, last: _overlay_images(first, last, arrays, most, *given))
    return Overlaid(blended, layer_alpha)


def layer_arrays(scene: LayerScene) -> tuple[Any, int]:
    """Return the scene as arrays, and the vertices of its largest mesh."""
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
    most = int(ribbons.spans[:, 1].max()) if len(ribbons.spans) else 0
    return (arrays(ribbons), chain, arrays(eyes), arrays(lights)), most
