"""Knows how gradients of pixels are added up on vertices in the fused `render` on a CPU: numba.

A picture gathers 16 floats per vertex (`gathered`): 0–2 world position, 3–5 normal, 6 occlusion, 8–9 detail weights, 10
and 11 position on the screen per 1/256 px, 12 the clip space's w through 1/w alone. Its pixels come in one order.
"""

from __future__ import annotations

import numpy as np

from pain3d.kernels._compiling import COMPILED, WITHOUT_ARRAYS, njit
from pain3d.kernels.rasterization.reference import HALF, SUBPIXELS
from pain3d.kernels.rendering.cpu import PACKED, F, N
from pain3d.kernels.rendering.cpu_surface_backward import GRAD_UV, GRAD_WEIGHT, SHARES
from pain3d.kernels.shading.cpu import BLOCK, ZERO
from pain3d.kernels.shading.cpu_backward import GRAD_EYE, GRAD_NORMAL, GRAD_OCCLUSION
from pain3d.kernels.texturing.cpu_backward import add_row, dot_rows

GATHERED = 16
DIFFERENCE = (F(-1), F(1))


@njit(**WITHOUT_ARRAYS)
def _surface_in_order(lanes, count, worn, gradient):  # type: ignore[no-untyped-def]
    """Write the gradients of the first `count` points one after the other, as they are gathered at vertices."""
    for i in range(count):
        at = N(i * GATHERED)
        for k in range(3):
            gradient[at + N(k)] = -lanes[GRAD_EYE + k * BLOCK + i]
            gradient[at + N(3 + k)] = lanes[GRAD_NORMAL + k * BLOCK + i]
        gradient[at + N(6)] = lanes[GRAD_OCCLUSION + i]
        gradient[at + N(8)] = lanes[GRAD_WEIGHT + i] if worn else ZERO
        gradient[at + N(9)] = lanes[GRAD_WEIGHT + BLOCK + i] if worn else ZERO


@njit(**WITHOUT_ARRAYS)
def scatter_block(i, n, block, count, worn, needs, screen, triangles, vertices, given, sums):  # type: ignore[no-untyped-def]
    """Add what the first `count` points of the lanes, of picture n, row i, give to the corners of their faces.

    Not `worn`: detail weights have no gradient here.
    """
    snapped, inverse_w, areas, _ = screen
    faces, uv_faces, uvs = triangles.faces, triangles.uv_faces, triangles.uvs
    packed, weights, _, attributes = vertices
    lanes, columns, seen, inverses, in_order = block
    gradient = in_order[1]
    gathered, attribute_sums, uv_sums, _ = sums
    flat = gathered.reshape(-1)
    if needs.lit:
        _surface_in_order(lanes, count, worn, gradient)
    vertical = np.int64(i) * SUBPIXELS + HALF
    for k in range(count):
        f, j = seen[k], columns[k]
        a, b, c = N(faces[f, 0]), N(faces[f, 1]), N(faces[f, 2])
        s0, s1, s2 = lanes[k + SHARES], lanes[k + SHARES + BLOCK], lanes[k + SHARES + 2 * BLOCK]
        # Gradient of the shares of the second and third corner, that of the first taken as 0: the shares sum to 1, so
        # that what all have in common counts nothing, and small differences are not lost in large values.
        second = third = 0.0
        if needs.lit:
            at = N(k * GATHERED)
            for corner, share in ((a, s0), (b, s1), (c, s2)):
                add_row(flat, corner * N(GATHERED), share, 16, gradient, at)
            if needs.look:
                u, v = lanes[k + GRAD_UV], lanes[k + GRAD_UV + BLOCK]
                ta, tb, tc = N(uv_faces[f, 0]), N(uv_faces[f, 1]), N(uv_faces[f, 2])
                for corner, share in ((ta, s0), (tb, s1), (tc, s2)):
                    uv_sums[corner, N(0)] += share * u
                    uv_sums[corner, N(1)] += share * v
                ta, tb, tc = ta * N(2), tb * N(2), tc * N(2)
                second += u * (uvs[tb] - uvs[ta]) + v * (uvs[tb + N(1)] - uvs[ta + N(1)])
                third += u * (uvs[tc] - uvs[ta]) + v * (uvs[tc + N(1)] - uvs[ta + N(1)])
            if needs.screen:
                pa, pb, pc = a * N(PACKED), b * N(PACKED), c * N(PACKED)
                second += dot_rows(packed, (pa, pb), DIFFERENCE, 8, gradient, at)
                third += dot_rows(packed, (pa, pc), DIFFERENCE, 8, gradient, at)
                if worn:
                    one, two = gradient[at + N(8)], gradient[at + N(9)]
                    wa, wb, wc = a * N(2), b * N(2), c * N(2)
                    second += one * (weights[wb] - weights[wa]) + two * (weights[wb + N(1)] - weights[wa + N(1)])
                    third += one * (weights[wc] - weights[wa]) + two * (weights[wc + N(1)] - weights[wa + N(1)])
        if given.attributes.shape[0]:
            for channel in range(attributes.shape[1]):
                g = given.attributes[n, i, j, channel]
                attribute_sums[a, channel] += s0 * g
                attribute_sums[b, channel] += s1 * g
                attribute_sums[c, channel] += s2 * g
                second += g * (attributes[b, channel] - attributes[a, channel])
                third += g * (attributes[c, channel] - attributes[a, channel])
        if not needs.screen:
            continue
        if given.barycentrics.shape[0]:
            second += given.barycentrics[n, i, j, 1] - given.barycentrics[n, i, j, 0]
            third += given.barycentrics[n, i, j, 2] - given.barycentrics[n, i, j, 0]
        inverse, deep = inverses[k], 0.0
        if given.depth.shape[0]:
            deep = np.float64(given.depth[n, i, j])
        # share = t / sum(t), depth = area / sum(t), t = edge / w, area = sum(edge), edge = cross product of the corners
        mean = np.float64(s1) * second + np.float64(s2) * third + deep * np.float64(areas[f]) * inverse
        w0, w1, w2 = inverse_w[a], inverse_w[b], inverse_w[c]
        g0, g1, g2 = -mean, second - mean, third - mean
        gathered[a, N(12)] -= F(g0 * s0 * w0)
        gathered[b, N(12)] -= F(g1 * s1 * w1)
        gathered[c, N(12)] -= F(g2 * s2 * w2)
        g0, g1, g2 = inverse * (g0 * w0 + deep), inverse * (g1 * w1 + deep), inverse * (g2 * w2 + deep)
        horizontal = np.int64(j) * SUBPIXELS + HALF
        x0, y0 = np.float64(snapped[a, 0] - horizontal), np.float64(snapped[a, 1] - vertical)
        x1, y1 = np.float64(snapped[b, 0] - horizontal), np.float64(snapped[b, 1] - vertical)
        x2, y2 = np.float64(snapped[c, 0] - horizontal), np.float64(snapped[c, 1] - vertical)
        gathered[a, N(10)] += F(y2 * g1 - y1 * g2)
        gathered[a, N(11)] += F(x1 * g2 - x2 * g1)
        gathered[b, N(10)] += F(y0 * g2 - y2 * g0)
        gathered[b, N(11)] += F(x2 * g0 - x0 * g2)
        gathered[c, N(10)] += F(y1 * g0 - y0 * g1)
        gathered[c, N(11)] += F(x0 * g1 - x1 * g0)


@njit(**WITHOUT_ARRAYS)
def finish_picture(size, matrix, packed, clip, gathered, to_matrix):  # type: ignore[no-untyped-def]
    """Add the gradient of screen positions to that of world positions, and write that of world_to_clip [4, 4]."""
    height, width = size
    across, down = 0.5 * width * SUBPIXELS, -0.5 * height * SUBPIXELS
    for row in range(4):
        for column in range(4):
            to_matrix[row, column] = ZERO
    x_x = x_y = x_z = x_1 = y_x = y_y = y_z = y_1 = w_x = w_y = w_z = w_1 = 0.0
    for v in range(clip.shape[0]):
        right, low, deep = gathered[v, 10], gathered[v, 11], gathered[v, 12]
        if right == ZERO and low == ZERO and deep == ZERO:  # also where a vertex is drawn nowhere and may not be finite
            continue
        inverse = 1.0 / clip[v, 3]
        to_x, to_y = right * across * inverse, low * down * inverse
        to_w = deep - (to_x * clip[v, 0] + to_y * clip[v, 1]) * inverse
        x, y, z = np.float64(packed[v, 0]), np.float64(packed[v, 1]), np.float64(packed[v, 2])
        x_x, x_y, x_z, x_1 = x_x + to_x * x, x_y + to_x * y, x_z + to_x * z, x_1 + to_x
        y_x, y_y, y_z, y_1 = y_x + to_y * x, y_y + to_y * y, y_z + to_y * z, y_1 + to_y
        w_x, w_y, w_z, w_1 = w_x + to_w * x, w_y + to_w * y, w_z + to_w * z, w_1 + to_w
        for k in range(3):
            gathered[v, k] += F(matrix[0, k] * to_x + matrix[1, k] * to_y + matrix[3, k] * to_w)
    to_matrix[0, 0], to_matrix[0, 1], to_matrix[0, 2], to_matrix[0, 3] = x_x, x_y, x_z, x_1
    to_matrix[1, 0], to_matrix[1, 1], to_matrix[1, 2], to_matrix[1, 3] = y_x, y_y, y_z, y_1
    to_matrix[3, 0], to_matrix[3, 1], to_matrix[3, 2], to_matrix[3, 3] = w_x, w_y, w_z, w_1


@njit(**COMPILED)
def add_pictures(first, last, mesh_index, group, totals):  # type: ignore[no-untyped-def]
    """Add what pictures, an entry of mesh_index each, gathered at vertices first … last - 1 to those of its mesh."""
    vertices, normals, occlusion, weights, attributes = totals
    for slot in range(mesh_index.shape[0]):
        m = mesh_index[slot]
        gathered, values = group.gathered[slot], group.attributes[slot]
        o, w = m if occlusion.shape[0] > 1 else 0, m if weights.shape[0] > 1 else 0
        for v in range(first, last):
            for k in range(3):
                vertices[m, v, k] += gathered[v, k]
                normals[m, v, k] += gathered[v, k + 3]
            occlusion[o, v] += gathered[v, 6]
            weights[w, v, 0] += gathered[v, 8]
            weights[w, v, 1] += gathered[v, 9]
            for k in range(values.shape[1]):
                attributes[m, v, k] += values[v, k]
