"""Knows the fragments before each pixel of a picture, on a CPU: numba, a list of the nearest first for each pixel.

What lies behind the fragment that lets next to nothing through is cut off, so a list has two or three fragments, and
from then on the pixel's bound hides all that is farther. In whichever order fragments come, the lists end up the same.
"""

from __future__ import annotations

import numpy as np

from pain3d.kernels._compiling import WITHOUT_ARRAYS, njit
from pain3d.kernels.layering.cpu_fragments import BLOCK, FACE, HALF_WIDTH, MIXED, NEARNESS
from pain3d.kernels.layering.cpu_order import STATE, TILE, just_below, raise_tile, tiles_across
from pain3d.kernels.layering.reference import CLOSED, FAINT
from pain3d.kernels.texturing.cpu import prefetch

# Floats of a fragment, half a cache line: inverse depth, toned light, alpha; as int32 bits the next of its pixel, 0
# being none, and its face; one to spare.
NODE = 8
ALPHA, NEXT, OWN = 4, 5, 6
# Floats of a pixel: the first and the last fragment of its list as int32 bits, what the list lets through, and the
# inverse depth of the last.
LAST, THROUGH, FAR = 1, 2, 3
AHEAD = 8  # fragments, or pixels, whose lists are fetched before they are needed

F, I32, N = np.float32, np.int32, np.uint64  # unsigned where an index would else be tested for being negative
ZERO, ONE, LEAST, LETS, NONE = F(0), F(1), F(FAINT), F(CLOSED), I32(0)


@njit(**WITHOUT_ARRAYS)
def _next_of(nodes, node):  # type: ignore[no-untyped-def]
    return F(nodes[N(node) * N(NODE) + N(NEXT)]).view(I32)


@njit(**WITHOUT_ARRAYS)
def _link(nodes, node, following):  # type: ignore[no-untyped-def]
    nodes[N(node) * N(NODE) + N(NEXT)] = I32(following).view(F)


@njit(**WITHOUT_ARRAYS)
def _stands_before(nodes, node, here, face):  # type: ignore[no-untyped-def]
    """Whether a fragment of a list is nearer than one of an inverse depth and a face; of equals the lower face."""
    at = N(node) * N(NODE)
    near = nodes[at]
    return near > here or (near == here and F(nodes[at + N(OWN)]).view(I32) < face)


@njit(**WITHOUT_ARRAYS)
def keep_fragments(block, count, kept, nodes, used):  # type: ignore[no-untyped-def]
    """Put the first `count` fragments of a block, which are lit, into their pixels' lists; return how many are used."""
    lanes, _, pixels = block
    tiles, states, bound = kept
    for i in range(count):
        k = N(i)
        ahead = pixels[min(k + N(AHEAD), N(count - 1))] * N(STATE)
        prefetch(nodes, N(F(states[ahead]).view(I32)) * N(NODE))
        prefetch(nodes, N(F(states[ahead + N(LAST)]).view(I32)) * N(NODE))
        weight, pixel, here = lanes[k + N(HALF_WIDTH)], pixels[k], lanes[k + N(NEARNESS)]
        if not weight >= LEAST or not here > bound[pixel]:
            continue
        node, own = I32(used), lanes[k + N(FACE)]
        used += 1
        at, face = N(node) * N(NODE), F(own).view(I32)
        nodes[at], nodes[at + N(ALPHA)], nodes[at + N(OWN)] = here, weight, own
        nodes[at + N(1)] = lanes[k + N(MIXED)]
        nodes[at + N(2)] = lanes[k + N(MIXED + BLOCK)]
        nodes[at + N(3)] = lanes[k + N(MIXED + 2 * BLOCK)]
        nodes[at + N(NEXT)] = ZERO
        state = pixel * N(STATE)
        head, last, farthest = F(states[state]).view(I32), node, here
        if head == NONE:
            states[state] = I32(node).view(F)
            left = ONE - weight
        elif here < states[state + N(FAR)]:
            _link(nodes, F(states[state + N(LAST)]).view(I32), node)
            left = states[state + N(THROUGH)]
            left -= left * weight
        else:
            left, before, after = ONE, NONE, head
            while after != NONE and _stands_before(nodes, after, here, face):
                left -= left * nodes[N(after) * N(NODE) + N(ALPHA)]
                before, after = after, _next_of(nodes, after)
            if before == NONE:
                states[state] = I32(node).view(F)
            else:
                _link(nodes, before, node)
            _link(nodes, node, after)
            left -= left * weight
            while left >= LETS and after != NONE:
                left -= left * nodes[N(after) * N(NODE) + N(ALPHA)]
                last, after = after, _next_of(nodes, after)
            _link(nodes, last, NONE)
            farthest = nodes[N(last) * N(NODE)]
        states[state + N(LAST)], states[state + N(THROUGH)], states[state + N(FAR)] = I32(last).view(F), left, farthest
        if left < LETS:  # what is as near comes in still: it may be of a lower face
            bound[pixel] = just_below(farthest)
            raise_tile(pixel, tiles, bound)
    return used


@njit(**WITHOUT_ARRAYS)
def blend_row(i, box, states, nodes, row, layer_alpha):  # type: ignore[no-untyped-def]
    """Blend the lists of row i, of a box, front to back over row [W, 3]; write what they cover to layer_alpha [W]."""
    layer_alpha[:] = ZERO
    first_i, last_i, first_j, last_j = box[0], box[1], box[2], box[3]
    if i < first_i or i > last_i:
        return
    start = N((i >> TILE) * tiles_across(row.shape[0]) << 2 * TILE) + N((i & (2**TILE - 1)) << TILE)
    for j in range(first_j, last_j + 1):
        ahead = min(j + AHEAD, last_j)
        state = (start + N(ahead >> TILE << 2 * TILE) + N(ahead & (2**TILE - 1))) * N(STATE)
        prefetch(nodes, N(F(states[state]).view(I32)) * N(NODE))
        state = (start + N(j >> TILE << 2 * TILE) + N(j & (2**TILE - 1))) * N(STATE)
        node = F(states[state]).view(I32)
        if node == NONE:
            continue
        red = green = blue = ZERO
        left = ONE
        while node != NONE and left > ZERO:
            at = N(node) * N(NODE)
            after = left - left * nodes[at + N(ALPHA)]
            after = after if after >= LETS else ZERO
            share = left - after
            red += share * nodes[at + N(1)]
            green += share * nodes[at + N(2)]
            blue += share * nodes[at + N(3)]
            left, node = after, _next_of(nodes, node)
        row[j, 0] = red + left * row[j, 0]
        row[j, 1] = green + left * row[j, 1]
        row[j, 2] = blue + left * row[j, 2]
        layer_alpha[j] = ONE - left
