"""Knows the light of strands on a CPU: numba, float32, a block of vertices at a time, as `light_vertices` says.

The inputs of a block stand in one flat array, a lane of `BLOCK` floats per quantity: see `shading/cpu.py`.
"""

from __future__ import annotations

import math

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.layering import light as model
from pain3d.kernels.shading.cpu import BASIS, LAMBERT

BLOCK = 64  # vertices
TOWARDS, TANGENT, NORMAL, TINT, OCCLUSION, GLOSS, BODY, SHEEN = (lane * BLOCK for lane in (0, 3, 6, 9, 12, 13, 14, 17))
LANES = 20
RECORD = 16  # floats of a lit vertex, a cache line: body, sheen, uv, offset and half width across, spare

F, N = np.float32, np.uint64
ZERO, ONE, TWO, THREE, INVERSE_PI, TINY = F(0), F(1), F(2), F(3), F(1 / math.pi), F(1e-20)
FIRST_SHIFT, SECOND_SHIFT = F(model.FIRST_SHIFT), F(model.SECOND_SHIFT)
FIRST_STRENGTH, SECOND_STRENGTH, SKY = F(model.FIRST_STRENGTH), F(model.SECOND_STRENGTH), F(model.SKY_STRENGTH)
WRAP, WRAP_SCALE = F(model.WRAP), F(1 / (1 + model.WRAP) ** 2)
REACH, REACH_SCALE = F(model.REACH), F(1 / (1 + model.REACH))
ALONG, TURN = F(model.ALONG), F(model.TURN)
FIRST_DOUBLINGS, SECOND_DOUBLINGS = model.FIRST_POWER.bit_length() - 1, model.SECOND_POWER.bit_length() - 1


@njit(**WITHOUT_ARRAYS)
def _length_scale(x, y, z):  # type: ignore[no-untyped-def]
    squared = x * x + y * y + z * z
    return ONE / math.sqrt(squared if squared > TINY else TINY)


@njit(**WITHOUT_ARRAYS)
def _sine_squared(tx, ty, tz, nx, ny, nz, hx, hy, hz, shift):  # type: ignore[no-untyped-def]
    x, y, z = tx + shift * nx, ty + shift * ny, tz + shift * nz
    along = (x * hx + y * hy + z * hz) * _length_scale(x, y, z)
    rest = ONE - along * along
    return rest if rest > ZERO else ZERO


@njit(**WITHOUT_ARRAYS)
def _light_block(lanes, count, sh, light, key):  # type: ignore[no-untyped-def]
    """Write BODY and SHEEN of the first `count` vertices of the lanes."""
    lx, ly, lz = light[0], light[1], light[2]
    for i in range(count):
        x, y, z = lanes[TANGENT + i], lanes[TANGENT + BLOCK + i], lanes[TANGENT + 2 * BLOCK + i]
        scale = _length_scale(x, y, z)
        tx, ty, tz = x * scale, y * scale, z * scale
        x, y, z = lanes[NORMAL + i], lanes[NORMAL + BLOCK + i], lanes[NORMAL + 2 * BLOCK + i]
        scale = _length_scale(x, y, z)
        x, y, z = x * scale, y * scale, z * scale
        taken = TURN * (x * tx + y * ty + z * tz)
        x, y, z = x - taken * tx, y - taken * ty, z - taken * tz
        scale = _length_scale(x, y, z)
        nx, ny, nz = x * scale, y * scale, z * scale
        x, y, z = lanes[TOWARDS + i], lanes[TOWARDS + BLOCK + i], lanes[TOWARDS + 2 * BLOCK + i]
        scale = _length_scale(x, y, z)
        vx, vy, vz = x * scale, y * scale, z * scale
        x, y, z = lx + vx, ly + vy, lz + vz
        scale = _length_scale(x, y, z)
        hx, hy, hz = x * scale, y * scale, z * scale
        cosine = nx * lx + ny * ly + nz * lz
        along = tx * lx + ty * ly + tz * lz
        across = ONE - along * along
        across = across if across > ZERO else ZERO
        wrapped = cosine + WRAP
        wrapped = (wrapped if wrapped > ZERO else ZERO) * WRAP_SCALE * (ALONG + (ONE - ALONG) * across)
        straight = (cosine + REACH) * REACH_SCALE
        straight = straight if straight > ZERO else ZERO
        straight = straight if straight < ONE else ONE
        first = _sine_squared(tx, ty, tz, nx, ny, nz, hx, hy, hz, FIRST_SHIFT)
        for _ in range(FIRST_DOUBLINGS):
            first = first * first
        second = _sine_squared(tx, ty, tz, nx, ny, nz, hx, hy, hz, SECOND_SHIFT)
        for _ in range(SECOND_DOUBLINGS):
            second = second * second
        first, second = straight * first * FIRST_STRENGTH, straight * second * SECOND_STRENGTH
        facing = TWO * (nx * vx + ny * vy + nz * vz)
        mx, my, mz = facing * nx - vx, facing * ny - vy, facing * nz - vz
        occlusion = lanes[OCCLUSION + i]
        gloss = lanes[GLOSS + i] * occlusion
        for c in range(3):
            s0, s1, s2, s3 = sh[0, c] * BASIS[0], sh[1, c] * BASIS[1], sh[2, c] * BASIS[2], sh[3, c] * BASIS[3]
            s4, s5, s6 = sh[4, c] * BASIS[4], sh[5, c] * BASIS[5], sh[6, c] * BASIS[6]
            s7, s8 = sh[7, c] * BASIS[7], sh[8, c] * BASIS[8]
            irradiance = s0 * LAMBERT[0] + s1 * LAMBERT[1] * ny + s2 * LAMBERT[2] * nz + s3 * LAMBERT[3] * nx
            irradiance += s4 * LAMBERT[4] * (nx * ny) + s5 * LAMBERT[5] * (ny * nz)
            irradiance += s6 * LAMBERT[6] * (THREE * nz * nz - ONE) + s7 * LAMBERT[7] * (nx * nz)
            irradiance += s8 * LAMBERT[8] * (nx * nx - ny * ny)
            irradiance = irradiance if irradiance > ZERO else ZERO
            sky = s0 + s1 * my + s2 * mz + s3 * mx
            sky = sky if sky > ZERO else ZERO
            body = (irradiance + key[c] * wrapped) * INVERSE_PI + key[c] * second
            lanes[BODY + c * BLOCK + i] = lanes[TINT + c * BLOCK + i] * occlusion * body
            lanes[SHEEN + c * BLOCK + i] = gloss * (key[c] * first + SKY * sky)


@njit(**WITHOUT_ARRAYS)
def light_vertices_cpu(ribbons, first, chosen, count, eye, lamp, lanes, records):  # type: ignore[no-untyped-def]
    """Fill body, sheen and uv of the records of the first `count` chosen vertices, numbered from `first` on."""
    sh, light, key = lamp
    ex, ey, ez = eye[0], eye[1], eye[2]
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        for i in range(size):
            v = first + chosen[start + i]
            lanes[TOWARDS + i] = ex - ribbons.vertices[v, 0]
            lanes[TOWARDS + BLOCK + i] = ey - ribbons.vertices[v, 1]
            lanes[TOWARDS + 2 * BLOCK + i] = ez - ribbons.vertices[v, 2]
            for c in range(3):
                lanes[TANGENT + c * BLOCK + i] = ribbons.tangents[v, c]
                lanes[NORMAL + c * BLOCK + i] = ribbons.normals[v, c]
                lanes[TINT + c * BLOCK + i] = ribbons.tint[v, c]
            lanes[OCCLUSION + i], lanes[GLOSS + i] = ribbons.occlusion[v], ribbons.gloss[v]
        _light_block(lanes, size, sh, light, key)
        for i in range(size):
            r = chosen[start + i]
            for c in range(3):
                records[r, c] = lanes[BODY + c * BLOCK + i]
                records[r, 3 + c] = lanes[SHEEN + c * BLOCK + i]
            records[r, 6], records[r, 7] = ribbons.uvs[first + r, 0], ribbons.uvs[first + r, 1]
