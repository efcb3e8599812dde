"""Knows the fused `render` on a CPU: numba, one picture per thread, from vertices to bytes in one pass.

A picture is rasterised into the thread's visibility buffer; then row after row its covered pixels are gathered into
blocks, shaded, mixed along silhouettes with the rows above and below, and encoded. Only three rows of light are kept.
Each picture is computed in full by one thread, in a fixed order: its bytes depend on neither the batch nor the threads.
Longer than other files, because numba keeps what is compiled together fast only within one file.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels._threads import for_each_range
from pain3d.kernels.antialiasing.cpu import mark_silhouettes, pair_weight
from pain3d.kernels.deformation.cpu import vertex_normals_cpu
from pain3d.kernels.layering.bundles import Eyes, LayerScene, Ribbons
from pain3d.kernels.layering.cpu import draw_layers, layer_arrays, layer_nodes, layer_work
from pain3d.kernels.layering.cpu_lists import blend_row
from pain3d.kernels.rasterization.cpu import rasterize_faces, snap_vertices
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS
from pain3d.kernels.rendering.bundles import Rendered, RenderInputs, Request, Triangles, output_forms
from pain3d.kernels.rendering.colour import KNEE, SRGB_EDGES
from pain3d.kernels.rendering.reference import labels_of, uv_areas
from pain3d.kernels.rendering.relief import BLOOD_TINT, DETAIL_LAYERS
from pain3d.kernels.shading.cpu import (
    ARRIVED,
    BLOCK,
    EYE,
    LIT,
    NORMAL,
    OCCLUSION,
    SCATTER,
    SPECULAR,
    TEXEL,
    TINY_SQUARED,
    shade_block,
    whole_vectors,
)
from pain3d.kernels.shading.reference import Lights
from pain3d.kernels.shadowing.cpu import BLEEDING, shares_on_face
from pain3d.kernels.shadowing.reference import LATTICE, Shadows
from pain3d.kernels.texturing.cpu import LANES, LEVEL, U, V, mix_rows, sample_block
from pain3d.kernels.texturing.reference import Mipmaps

PACKED = 8  # floats per vertex, half a cache line: position, normal, occlusion, and its first attribute
STEPS = 4096  # of light 0–1: at most one sRGB edge falls into a step (the closest are 1/3295 apart)
FINE_BITS = 24  # of the place within a step: an edge, a float32 between 1/8192 and 1, is a whole number of 2^-24 steps
FINE = 1 << FINE_BITS

F, I32, N = np.float32, np.int32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ONE, ROUND, BYTE = F(0), F(1), F(0.5), F(255)
# Lanes beyond those of the look-up: the weights of the detail layers. Among the channels: slopes, and the two layers.
# And the share of the key light that arrives, of which the first two lanes hold narrow and wide until skin mixes them.
WEIGHT, ALL_LANES = LANES * BLOCK, ARRIVED // BLOCK + 3
SLOPE, FIRST, SECOND = TEXEL + 5 * BLOCK, TEXEL + 8 * BLOCK, TEXEL + 12 * BLOCK
RED_TINT, GREEN_TINT, BLUE_TINT = F(BLOOD_TINT[0]), F(BLOOD_TINT[1]), F(BLOOD_TINT[2])
BEND, KNEE_SCALE, ABOVE = F(KNEE), F(1 / (1 - KNEE)), F(1 - KNEE)


def _codes() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """Per step of light a code: with the place within the step added, in 2^-24, its topmost byte is the sRGB byte.

    On top of a code stands the byte at the step's start; what is below is such that the sum carries from an edge on.
    """
    edges = SRGB_EDGES[1:].astype(np.float64) * STEPS
    codes = np.searchsorted(edges, np.arange(STEPS + 1), side="right") * float(FINE)
    codes[edges.astype(int)] += (1 - edges % 1) * FINE
    return codes.astype(np.uint32)


CODES = _codes()  # [STEPS + 1]


def _nothing_laid() -> LayerScene:
    """Layers of no picture: one compiled function for all."""
    pairs, threes, numbers = torch.empty(0, 2), torch.empty(0, 3), torch.empty(0)
    ribbons = Ribbons(
        vertices=threes,
        sides=threes,
        tangents=threes,
        normals=threes,
        tint=threes,
        occlusion=numbers,
        gloss=numbers,
        uvs=pairs,
        faces=threes.int(),
        face_textures=numbers.int(),
        spans=torch.empty(0, 4, dtype=torch.int64),
    )
    texture, eyes = Mipmaps(torch.empty(0, 1, 4), 1, 1), Eyes(torch.empty(0, 4, 4), threes, numbers)
    return LayerScene(ribbons, texture, eyes, Lights(torch.empty(0, 9, 3), threes, threes))


NOTHING_LAID = _nothing_laid()


@njit(**COMPILED)
def project_vertices(matrix, points, clip):  # type: ignore[no-untyped-def]
    """Fill clip [V, 4] float64, term by term as `to_clip` does."""
    m = matrix.astype(np.float64)
    for v in range(points.shape[0]):
        x, y, z = np.float64(points[v, 0]), np.float64(points[v, 1]), np.float64(points[v, 2])
        for row in range(4):
            clip[v, row] = m[row, 0] * x + m[row, 1] * y + m[row, 2] * z + m[row, 3]


@njit(**COMPILED)
def resample_side(count, texels):  # type: ignore[no-untyped-def]
    """Return (low, high, weight) [count] of a bilinear stretch along one side, as `stretch` does."""
    low, high, weight = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.float32)
    scale = F(texels / max(count, 1))
    for i in range(count):
        at = (F(i) + ROUND) * scale - ROUND
        at = min(max(at, ZERO), F(texels - 1))
        low[i] = np.int64(at)
        high[i] = min(low[i] + 1, texels - 1)
        weight[i] = at - F(low[i])
    return low, high, weight


@njit(**WITHOUT_ARRAYS)
def _cover_row(i, ids, wants, screen, triangles, vertices, skin, light, block, row, measured):  # type: ignore[no-untyped-def]
    """Write what the covered pixels of row i see: toned light to row [W, 3], block by block; what else is wanted."""
    snapped, inverse_w, areas, levels = screen
    faces, uv_faces, uvs = triangles.faces, triangles.uv_faces, triangles.uvs
    packed, weights, up, attributes = vertices
    texels, table = skin
    sh, key, colour, eye, exposure, shadow = light
    lanes, columns = block
    barycentrics, depth, values = measured
    width, channels = ids.shape[0], attributes.shape[1] if wants.attributes else 0
    lit = wants.image or wants.linear
    first = 1 if lit else 0  # of the attributes that do not come along with the vertex
    vertical = np.int64(i) * SUBPIXELS + HALF
    face, count = np.int64(-1), 0
    corners = uv_corners = (N(0), N(0), N(0))
    e0 = e1 = e2 = d0 = d1 = d2 = np.int64(0)
    w0 = w1 = w2 = 0.0
    level = ZERO
    worn = detailed = False  # whether the face, and whether any point of the block, has weights above 0
    kinds = shadow[1]
    shadowed, kind = kinds.shape[0] > 0, I32(0)
    ex, ey, ez = eye[0], eye[1], eye[2]
    for j in range(width):
        f = np.int64(ids[j])
        if f >= 0:
            if f != face:
                a, b, c = N(faces[f, 0]), N(faces[f, 1]), N(faces[f, 2])
                corners = a, b, c
                uv_corners = N(uv_faces[f, 0]) * N(2), N(uv_faces[f, 1]) * N(2), N(uv_faces[f, 2]) * N(2)
                level = levels[f]
                w0, w1, w2 = inverse_w[a], inverse_w[b], inverse_w[c]
                layers = a * N(DETAIL_LAYERS), b * N(DETAIL_LAYERS), c * N(DETAIL_LAYERS)
                if shadowed:
                    kind = kinds[f]
                worn = False
                for k in range(DETAIL_LAYERS):
                    for layer in layers:
                        worn |= weights[layer + N(k)] != ZERO
                horizontal = np.int64(j) * SUBPIXELS + HALF
                x0, y0 = snapped[a, 0] - horizontal, snapped[a, 1] - vertical
                x1, y1 = snapped[b, 0] - horizontal, snapped[b, 1] - vertical
                x2, y2 = snapped[c, 0] - horizontal, snapped[c, 1] - vertical
                e0, e1, e2 = x2 * y1 - x1 * y2, x0 * y2 - x2 * y0, x1 * y0 - x0 * y1
                d0, d1, d2 = (y2 - y1) * SUBPIXELS, (y0 - y2) * SUBPIXELS, (y1 - y0) * SUBPIXELS
            t0, t1, t2 = np.float64(e0) * w0, np.float64(e1) * w1, np.float64(e2) * w2
            inverse = 1.0 / (t0 + t1 + t2)
            shares = F(t0 * inverse), F(t1 * inverse), F(t2 * inverse)
            if lit:
                at = N(count)  # unsigned: numba tests a signed index for being negative, at every store
                rows = corners[0] * N(PACKED), corners[1] * N(PACKED), corners[2] * N(PACKED)
                x, y, z, nx, ny, nz, occlusion, value = mix_rows(packed, rows, shares, PACKED)
                u, v = mix_rows(uvs, uv_corners, shares, 2)
                if channels:
                    values[i, j, 0] = value
                lanes[at + N(EYE)], lanes[at + N(EYE + BLOCK)], lanes[at + N(EYE + 2 * BLOCK)] = ex - x, ey - y, ez - z
                lanes[at + N(NORMAL)], lanes[at + N(NORMAL + BLOCK)], lanes[at + N(NORMAL + 2 * BLOCK)] = nx, ny, nz
                lanes[at + N(OCCLUSION)], lanes[at + N(LEVEL)] = occlusion, level
                lanes[at + N(U)], lanes[at + N(V)] = u, v
                lanes[at + N(WEIGHT)] = lanes[at + N(WEIGHT + BLOCK)] = ZERO
                if worn:
                    detailed = True
                    layers = corners[0] * N(DETAIL_LAYERS), corners[1] * N(DETAIL_LAYERS), corners[2] * N(DETAIL_LAYERS)
                    one, two = mix_rows(weights, layers, shares, DETAIL_LAYERS)
                    lanes[at + N(WEIGHT)], lanes[at + N(WEIGHT + BLOCK)] = one, two
                if shadowed:
                    arrived = shares_on_face(f, kind, shadow, corners, shares)
                    lanes[at + N(ARRIVED)], lanes[at + N(ARRIVED + BLOCK)] = arrived
                columns[at] = j
                count += 1
            if wants.barycentrics:
                barycentrics[i, j, 0], barycentrics[i, j, 1], barycentrics[i, j, 2] = shares
            if wants.depth:
                depth[i, j] = F(np.float64(areas[f]) * inverse)
            for k in range(first, channels):
                a, b, c = attributes[corners[0], k], attributes[corners[1], k], attributes[corners[2], k]
                values[i, j, k] = shares[0] * a + shares[1] * b + shares[2] * c
        if count == BLOCK or (j == width - 1 and count > 0):
            sample_block(texels, table, lanes, count, detailed)
            if detailed:
                add_details(lanes, whole_vectors(count))
            if shadowed:
                dim_key(lanes, whole_vectors(count))
            tilt_normals(lanes, whole_vectors(count), up)
            shade_block(lanes, whole_vectors(count), sh, key, colour)
            tone_block(lanes, count, exposure, columns, row)
            count, detailed = 0, False
        face = f
        e0, e1, e2 = e0 + d0, e1 + d1, e2 + d2


@njit(**WITHOUT_ARRAYS)
def dim_key(lanes, count):  # type: ignore[no-untyped-def]
    """Fill `ARRIVED` of the first `count` points, which hold narrow and wide, as `lit_shares` of the reference does."""
    for i in range(count):
        narrow = lanes[ARRIVED + i]
        more = lanes[SCATTER + i] * (lanes[ARRIVED + BLOCK + i] - narrow)
        lanes[ARRIVED + i] = narrow + BLEEDING[0] * more
        lanes[ARRIVED + BLOCK + i] = narrow + BLEEDING[1] * more
        lanes[ARRIVED + 2 * BLOCK + i] = narrow + BLEEDING[2] * more


@njit(**COMPILED)  # with arrays: it returns some
def shadow_of(n, views, shadows):  # type: ignore[no-untyped-def]
    """Return what picture n is shadowed by: seen [V · 2], kinds [F], finer [F · 30]; empty where nothing is cast."""
    if shadows.seen.shape[0] == 0:
        return shadows.seen.reshape(-1), shadows.kinds.reshape(-1), shadows.finer.reshape(-1)
    s = views.shadow_index[n]
    return shadows.seen[s].reshape(-1), shadows.kinds[s], shadows.finer[s].reshape(-1)


@njit(**WITHOUT_ARRAYS)
def add_details(lanes, count):  # type: ignore[no-untyped-def]
    """Add the detail layers of the first `count` points by their weights, as `detailed` of the reference does."""
    for i in range(count):
        one, two = lanes[WEIGHT + i], lanes[WEIGHT + BLOCK + i]
        lanes[SLOPE + i] += one * lanes[FIRST + i] + two * lanes[SECOND + i]
        lanes[SLOPE + BLOCK + i] += one * lanes[FIRST + BLOCK + i] + two * lanes[SECOND + BLOCK + i]
        shade = one * lanes[FIRST + 2 * BLOCK + i] + two * lanes[SECOND + 2 * BLOCK + i]
        blood = one * lanes[FIRST + 3 * BLOCK + i] + two * lanes[SECOND + 3 * BLOCK + i]
        shade = shade if shade > ZERO else ZERO
        left = ONE - (shade if shade < ONE else ONE)
        red, green, blue = ONE - RED_TINT * blood, ONE - GREEN_TINT * blood, ONE - BLUE_TINT * blood
        lanes[TEXEL + i] *= left * (red if red > ZERO else ZERO)
        lanes[TEXEL + BLOCK + i] *= left * (green if green > ZERO else ZERO)
        lanes[TEXEL + 2 * BLOCK + i] *= left * (blue if blue > ZERO else ZERO)
        lanes[SPECULAR + i] *= left


@njit(**WITHOUT_ARRAYS)
def tilt_normals(lanes, count, up):  # type: ignore[no-untyped-def]
    """Tilt the normals of the first `count` points by their slopes, as `tilted` of the reference does."""
    ux, uy, uz = up[0], up[1], up[2]
    for i in range(count):
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        squared = x * x + y * y + z * z
        scale = ONE / math.sqrt(squared if squared > TINY_SQUARED else TINY_SQUARED)
        x, y, z = x * scale, y * scale, z * scale
        along, rise = lanes[SLOPE + i], lanes[SLOPE + BLOCK + i]
        keep = ONE - rise * (ux * x + uy * y + uz * z)  # of n: b = up - (up · n) n
        lanes[NORMAL + i] = keep * x + along * (uy * z - uz * y) + rise * ux
        lanes[NORMAL + BLOCK + i] = keep * y + along * (uz * x - ux * z) + rise * uy
        lanes[NORMAL + 2 * BLOCK + i] = keep * z + along * (ux * y - uy * x) + rise * uz


@njit(**WITHOUT_ARRAYS)
def tone_block(lanes, count, exposure, columns, row):  # type: ignore[no-untyped-def]
    """Expose and compress the light of a block as `tone_map` does, and put it where its pixels are."""
    for c in range(3):
        for k in range(whole_vectors(count)):
            light = lanes[LIT + c * BLOCK + k] * exposure
            above = (light - BEND) * KNEE_SCALE
            above = above if above > ZERO else ZERO
            light = light if light > ZERO else ZERO
            light = light if light < BEND else BEND
            lanes[LIT + c * BLOCK + k] = light + ABOVE * (above / (ONE + above))
    for k in range(count):
        j = columns[k]
        row[j, 0], row[j, 1], row[j, 2] = lanes[LIT + k], lanes[LIT + BLOCK + k], lanes[LIT + 2 * BLOCK + k]


@njit(**WITHOUT_ARRAYS)
def fill_background(i, ids, background, vertical, horizontal, tall, row):  # type: ignore[no-untyped-def]
    """Write the stretched background to the pixels of row [W, 3] that see no face."""
    top, bottom, down = vertical[0][i], vertical[1][i], vertical[2][i]
    low, high, across = horizontal
    for x in range(tall.shape[0]):
        for c in range(3):
            first = background[top, x, c]
            tall[x, c] = first + down * (background[bottom, x, c] - first)
    for j in range(row.shape[0]):
        if ids[j] < 0:
            left, right, weight = low[j], high[j], across[j]
            for c in range(3):
                row[j, c] = tall[left, c] + weight * (tall[right, c] - tall[left, c])


@njit(**WITHOUT_ARRAYS)
def _byte_of(light):  # type: ignore[no-untyped-def]
    """Return the sRGB byte of light, that of `encode_srgb`, by one look-up and no branch."""
    value = light if light > ZERO else ZERO
    value = (value if value < ONE else ONE) * F(STEPS)
    step = np.int32(value)
    within = np.uint32((value - F(step)) * F(FINE))
    return np.uint8(np.uint32(CODES[np.uint32(step)] + within) >> np.uint32(FINE_BITS))


@njit(**WITHOUT_ARRAYS)
def encode_light(light, out):  # type: ignore[no-untyped-def]
    """Write the sRGB bytes of light [N] to out [N]."""
    for k in range(light.shape[0]):
        out[k] = _byte_of(light[k])


@njit(**WITHOUT_ARRAYS)
def _finish_row(i, surface, light, ids, wants, pictures):  # type: ignore[no-untyped-def]
    """Antialias and encode row i, whose light stands in rows[i % 3] between those of the rows above and below it.

    hanging [W] arrives with the weights of the pairs with the row above and leaves with those with the row below: each
    marked pair is walked once.
    """
    marks, nearest, snapped, areas, faces, adjacent = surface
    rows, hanging, veils = light
    image, alpha, linear = pictures
    width, last = ids.shape[1], ids.shape[0] - 1
    here, above, under = rows[i % 3], rows[(i + 2) % 3], rows[(i + 1) % 3]
    veil, veil_above, veil_under = veils[i % 3], veils[(i + 2) % 3], veils[(i + 1) % 3]  # of layers before nothing
    if wants.image:
        encode_light(here.reshape(width * 3), image[i].reshape(width * 3))
    if wants.alpha:
        for j in range(width):
            alpha[i, j] = 255 if ids[i, j] >= 0 else np.uint8(veil[j] * BYTE + ROUND)
    if wants.linear:
        for j in range(width):
            linear[i, j, 0], linear[i, j, 1], linear[i, j, 2] = here[j, 0], here[j, 1], here[j, 2]
            linear[i, j, 3] = ONE if ids[i, j] >= 0 else veil[j]
    beside = ZERO
    for j in range(width):
        mark = marks[i, j]
        if mark == 0:
            continue
        left = right = up = below = ZERO
        if mark & 4:
            left = max(-beside, ZERO)
        if mark & 1:
            beside = pair_weight(i, j, 0, ids, nearest, snapped, areas, faces, adjacent)
            right = max(beside, ZERO)
        if mark & 8:
            up = max(-hanging[j], ZERO)
        if mark & 2:
            hanging[j] = pair_weight(i, j, 1, ids, nearest, snapped, areas, faces, adjacent)
            below = max(hanging[j], ZERO)
        total = left + right + up + below
        if total > ZERO:
            share = ONE / total if total > ONE else ONE
            j0, j1, i0, i1 = max(j - 1, 0), min(j + 1, width - 1), max(i - 1, 0), min(i + 1, last)
            left, right, up, below, keep = left * share, right * share, up * share, below * share, ONE - total * share
            if wants.image or wants.linear:
                for c in range(3):
                    mixed = keep * here[j, c]
                    mixed += left * here[j0, c]
                    mixed += right * here[j1, c]
                    mixed += up * above[j, c]
                    mixed += below * under[j, c]
                    if wants.image:
                        image[i, j, c] = _byte_of(mixed)
                    if wants.linear:
                        linear[i, j, c] = mixed
            if wants.alpha or wants.linear:
                cover = keep if ids[i, j] >= 0 else keep * veil[j]
                cover += left if ids[i, j0] >= 0 else left * veil[j0]
                cover += right if ids[i, j1] >= 0 else right * veil[j1]
                cover += up if ids[i0, j] >= 0 else up * veil_above[j]
                cover += below if ids[i1, j] >= 0 else below * veil_under[j]
                if wants.alpha:
                    alpha[i, j] = np.uint8(min(max(cover, ZERO), ONE) * BYTE + ROUND)
                if wants.linear:
                    linear[i, j, 3] = cover


@njit(**WITHOUT_ARRAYS)
def fill_levels(areas, uv_areas, top, levels):  # type: ignore[no-untyped-def]
    """Fill levels [F] with the mip level of each face, as `mip_levels` does, not above `top`."""
    for f in range(areas.shape[0]):
        level = 0.0
        if areas[f] > 0 and uv_areas[f] > 0:
            level = 0.5 * math.log2(uv_areas[f] / (np.float64(areas[f]) / (SUBPIXELS * SUBPIXELS)))
        levels[f] = min(max(F(level), ZERO), top)


@njit(**WITHOUT_ARRAYS)
def _write_layer_alpha(veil, row):  # type: ignore[no-untyped-def]
    for j in range(row.shape[0]):
        row[j] = np.uint8(veil[j] * BYTE + ROUND)


@njit(**COMPILED)
def _render_images(first, last, scene, drawn, wants, made, layered):  # type: ignore[no-untyped-def]
    """Render pictures first … last - 1; layered: of `layer_arrays`, without spans where nothing is laid over them."""
    meshes, triangles, texture, views, lights, size, shadows = scene
    packed, uv_areas, table = drawn
    faces, adjacent, background = triangles.faces, triangles.adjacent_faces, views.background
    height, width = size
    count, top = packed.shape[1], F(table.shape[0] - 1)
    clip, snapped = np.empty((count, 4), np.float64), np.empty((count, 2), np.int64)
    inverse_w, usable = np.empty(count, np.float64), np.empty(count, np.bool_)
    areas, levels = np.empty(faces.shape[0], np.int64), np.zeros(faces.shape[0], np.float32)
    nearest, ids = np.empty((height, width), np.float64), np.empty((height, width), np.int32)
    block = (np.zeros(ALL_LANES * BLOCK, np.float32), np.empty(BLOCK, np.uint64))
    block[0][ARRIVED:] = ONE
    rows = np.zeros((3, width, 3), np.float32)
    veils = np.zeros((3, width), np.float32)
    traces = (rows, np.empty(width, np.float32), veils)
    marks = np.empty((height, width), np.uint8)
    tall = np.empty((background.shape[2], 3), np.float32)
    vertical, horizontal = resample_side(height, background.shape[1]), resample_side(width, background.shape[2])
    laid, most = layered
    covered = laid[0].spans.shape[0] > 0
    work, nodes = layer_work(most, height if covered else 0, width), layer_nodes(height if covered else 0, width)
    lit = wants.image or wants.linear
    shaded, seen = lit or wants.alpha, lit or wants.barycentrics or wants.depth or wants.attributes
    for n in range(first, last):
        m = views.mesh_index[n]
        project_vertices(views.world_to_clip[n], packed[m], clip)
        snap_vertices(clip, height, width, snapped, inverse_w, usable)
        rasterize_faces(snapped, inverse_w, usable, faces, True, areas, nearest, ids)
        if wants.face_ids:
            made.face_ids[n] = ids
        if wants.barycentrics:
            made.barycentrics[n] = ZERO
        if wants.depth:
            made.depth[n] = np.inf
        if wants.attributes:
            made.attributes[n] = ZERO
        measured = (made.barycentrics[n], made.depth[n], made.attributes[n])
        pictures = (made.image[n], made.alpha[n], made.linear[n])
        if lit:
            fill_levels(areas, uv_areas, top, levels)
        screen = (snapped, inverse_w, areas, levels)
        layers = meshes.detail_weights[m if meshes.detail_weights.shape[0] > 1 else 0].reshape(-1)
        up = meshes.up[m if meshes.up.shape[0] > 1 else 0]
        vertices = (packed[m].reshape(-1), layers, up, meshes.attributes[m])
        skin = (texture.texels[views.texture_index[n]].reshape(-1), table)
        eye, exposure = views.camera_position[n], views.exposure[n]
        shadow = shadow_of(n, views, shadows)
        lamp = (lights.sh[n], lights.key_direction[n], lights.key_colour[n], eye, exposure, shadow)
        if shaded:
            mark_silhouettes(snapped, areas, faces, adjacent, marks)
        surface = (marks, nearest, snapped, areas, faces, adjacent)
        if covered:
            nodes = draw_layers(n, laid, nearest, work, nodes)
        for i in range(height):
            if seen:
                row = rows[i % 3]
                _cover_row(i, ids[i], wants, screen, triangles, vertices, skin, lamp, block, row, measured)
            if lit:
                fill_background(i, ids[i], background[n], vertical, horizontal, tall, rows[i % 3])
            if covered:
                blend_row(i, work[9], work[7], nodes, rows[i % 3], veils[i % 3])
                if wants.layer_alpha:
                    _write_layer_alpha(veils[i % 3], made.layer_alpha[n, i])
            if shaded and i > 0:
                _finish_row(i - 1, surface, traces, ids, wants, pictures)
        if shaded and height > 0:
            _finish_row(height - 1, surface, traces, ids, wants, pictures)


def render_cpu(scene: RenderInputs, outputs: tuple[str, ...], layered: LayerScene | None = None) -> Rendered:
    """`pain3d.kernels.render` for float32 CPU tensors; the image as uint8, NHWC."""
    face_labels = scene.triangles.face_labels
    computed = {*outputs, "face_ids"} if "labels" in outputs else {*outputs}
    made = {  # what is not asked for has no pixel: one compiled function for all
        name: torch.empty(shape if name in computed else (shape[0], *(0 for _ in shape[1:])), dtype=dtype)
        for name, (shape, dtype) in output_forms(scene, Request(outputs)).items()
    }
    wants = Rendered._make(name in computed for name in Rendered._fields)
    arrays, drawn = prepared_arrays(scene, "image" in outputs or "linear" in outputs)
    written = arrays_of(Rendered(**made))
    shown = layered is not None and (wants.image or wants.alpha or wants.linear or wants.layer_alpha)
    laid = layered if layered is not None and shown else NOTHING_LAID
    given = (arrays, drawn, wants, written, layer_arrays(laid))
    for_each_range(len(made["image"]), lambda first, last: _render_images(first, last, *given))
    if laid is NOTHING_LAID:
        made["layer_alpha"].zero_()
    if "labels" in outputs and face_labels is not None:
        made["labels"] = labels_of(made["face_ids"], face_labels)
    return Rendered(**{name: tensor for name, tensor in made.items() if name in outputs})


def prepared_arrays(scene: RenderInputs, lit: bool) -> tuple[Any, Any]:
    """Return the scene as arrays, and what is made of it once for all pictures; normals only where something is lit.

    That is packed vertices [M, V, PACKED], doubled uv areas [F] in texels, and `level_table` [L, 3].
    """
    meshes, triangles, views = scene.meshes, scene.triangles, scene.views
    packed = torch.zeros(*meshes.vertices.shape[:2], PACKED)
    packed[..., :3] = meshes.vertices.detach()
    if lit:
        packed[..., 3:6] = vertex_normals_cpu(meshes.vertices.detach(), triangles.faces)
        packed[..., 6] = meshes.occlusion.detach()
        if meshes.attributes.shape[2]:
            packed[..., 7] = meshes.attributes[..., 0].detach()
    texels_of_faces = uv_areas(triangles) * (scene.texture.height * scene.texture.width)
    ready = scene._replace(
        triangles=Triangles(
            faces=triangles.faces.to(torch.int32),
            adjacent_faces=triangles.adjacent_faces.to(torch.int32),
            uvs=triangles.uvs.reshape(-1),
            uv_faces=triangles.uv_faces.to(torch.int32),
        ),
        views=views._replace(
            mesh_index=views.mesh_index.long(),
            texture_index=views.texture_index.long(),
            shadow_index=views.shadow_index.long(),
        ),
    )
    kinds, nothing = ready.shadows.kinds, torch.empty(0, 0, LATTICE, 2)
    if not lit or kinds is None:  # one compiled function for all
        ready = ready._replace(shadows=Shadows(nothing[:, :, 0], torch.empty(0, 0, dtype=torch.int32), nothing))
    else:
        ready = ready._replace(shadows=ready.shadows._replace(kinds=kinds.int()))
    return arrays_of(ready), arrays_of((packed, texels_of_faces, torch.tensor(scene.texture.levels())))


def arrays_of(value: Any) -> Any:
    """The arrays of a tensor, or of the tensors in a bundle: contiguous, in the same memory where they were so."""
    if isinstance(value, Tensor):
        return value.detach().contiguous().numpy()
    if isinstance(value, tuple):
        parts = [arrays_of(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value
