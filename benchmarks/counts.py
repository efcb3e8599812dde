"""Knows how many bytes and operations a round can't do without: what the limit of a device is held against.

Bytes are those of the inputs, each read once, and of the outputs, each written once; what an implementation writes for
itself in between (a visibility buffer, normals) is its own cost. Of textures one texel per covered pixel is counted,
and no texel twice. An operation is one addition or one multiplication, of float32; a square root, a division, an
exponential count as one. So both are lower bounds, and a percentage of the limit is never flattering, as long as the
bytes don't fit in a cache.
"""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.workload import MeshSet, PictureSet, ProjectionSet, SkinSet, TokenSet, ViewSet, Workload
from pain3d.kernels.rendering.relief import CHANNELS
from pain3d.kernels.texturing.reference import level_table

FLOAT = 4  # bytes
OUTPUT_BYTES = {"image": 3, "face_ids": 4, "depth": 4, "linear": 16}  # per pixel; attributes: 4 per channel
# The first half of a texel, float16 on a GPU: the other half is read where there are wrinkles.
TEXEL_BYTES = {"cpu": 8 * FLOAT, "cuda": 16}
MATRIX_OPERATIONS = 18  # a point through a 3 x 4 transform: 9 multiplications, 9 additions
BLEND_OPERATIONS = 24  # one more joint of a vertex: 12 weights times entries, added
PROJECT_OPERATIONS = 25  # a point through the three rows of a clip transform that matter (18), division, viewport
FACE_NORMAL_OPERATIONS = 23  # two edges (6), a cross product (9), added (8: three corners of three, less one)
# One covered pixel: barycentrics 20, nine attributes by three corners 45, two unit vectors 20, nine harmonics 20 and
# their sum for three colours 54, diffuse and GGX key light 60, its wrap per colour 13, eight texels of eight channels
# 128, the tilt of the normal 31, tone and sRGB 20.
SHADE_OPERATIONS = 411
# An entry of a token: two layer norms (mean, difference, square, sum, scaling: 5 each), their difference, its square
# and its product with the student's, each summed (5), the gradient (3).
TOKEN_OPERATIONS = 18
# A texel with a face: position and normal by three corners; then in each view a clip transform and the cosine. Of what
# only a texel that is seen needs nothing is counted, and of the pictures no pixel: how many are read the depth decides.
POINT_OPERATIONS, LOOK_OPERATIONS = 30, 32
CHANNEL_OPERATIONS = 5  # one more attribute by three corners


class Work(NamedTuple):
    """What a round needs at least."""

    bytes: int
    operations: int


def count_work(workload: Workload, coverage: float) -> Work:
    """Bytes and operations of a round.

    Args:
        workload: The case and its sizes.
        coverage: Share of the pixels that heads cover (0 where there are no pictures).
    """
    each = workload.ring[0]
    if isinstance(each, MeshSet):
        return _meshes(workload, each)
    if isinstance(each, TokenSet):
        tokens = each.inputs["student_tokens"]
        return Work(
            3 * tokens.numel() * tokens.element_size(), TOKEN_OPERATIONS * tokens.numel()
        )  # two read, one written
    if isinstance(each, ProjectionSet):
        under, views, channels = each.inputs["texel_faces"], *each.inputs["pictures"].shape[::3]
        known = int((under >= 0).sum())
        read, written = 4 * under.numel(), views * (channels + 1) * under.numel()
        return Work(FLOAT * (read + written), known * (POINT_OPERATIONS + views * LOOK_OPERATIONS))
    if isinstance(each, PictureSet):
        return Work(each.image.numel(), 0)
    if isinstance(each, ViewSet):
        return _pictures(workload, each, coverage)
    if isinstance(each, SkinSet):
        offset, rows, columns = level_table(workload.size.side, workload.size.side)[-1]
        texels = workload.size.batch * (offset + rows * columns)
        return Work(FLOAT * CHANNELS * texels, 0)  # written once; what the strokes take is not counted
    return Work(0, 0)  # synth: the command line has no one limit


def _meshes(workload: Workload, each: MeshSet) -> Work:
    """Deformation: shapes, then skinning with W joints a vertex.

    deform: 2 · K · 3V per mesh. deform_pairs and head: that per person (identity shapes) and per expression (theirs),
    then three additions per vertex of a pair. Skinning per vertex: a blend of W transforms, one of them less an
    addition, and a point through it.
    """
    shared, batch = workload.shared, workload.size.batch
    people, shapes = each.identity.shape
    faces, units = each.expression.shape
    vertices, joints = shared.skin_joints.shape
    skinning = batch * vertices * (joints * BLEND_OPERATIONS - 12 + MATRIX_OPERATIONS)
    if workload.case != "deform":
        shaping = 2 * 3 * vertices * (people * shapes + faces * units) + 3 * vertices * batch
        coefficients = people * shapes + faces * units
    else:
        shaping = 2 * 3 * vertices * batch * (shapes + units)
        coefficients = batch * (shapes + units)
    read = 3 * vertices * (1 + shapes + units) + coefficients + each.joint_transforms.numel() + 2 * vertices * joints
    return Work(FLOAT * (read + batch * vertices * 3), shaping + skinning)


def _pictures(workload: Workload, each: ViewSet, coverage: float) -> Work:
    """Pictures: project every vertex once per picture; shade every covered pixel once."""
    shared = workload.shared
    pixels = workload.size.batch * workload.size.side**2
    covered = round(pixels * coverage)
    channels = each.heat.shape[2]
    project = workload.size.batch * each.vertices.shape[1] * PROJECT_OPERATIONS
    inputs = FLOAT * (each.vertices.numel() + each.heat.numel() + 3 * len(shared.faces))
    if workload.case in ("visibility", "rasterize"):
        weights = 3 * FLOAT if workload.case == "rasterize" else 0
        return Work(inputs + pixels * (OUTPUT_BYTES["face_ids"] + OUTPUT_BYTES["depth"] + weights), project)
    normals = len(each.vertices) * len(shared.faces) * FACE_NORMAL_OPERATIONS
    texels = min(covered, shared.textures.shape[:3].numel())
    written = pixels * (OUTPUT_BYTES["image"] + FLOAT * channels)
    shading = covered * (SHADE_OPERATIONS + CHANNEL_OPERATIONS * channels)
    if workload.case == "gradient":  # a derivative takes its function's operations once more, at least
        written = pixels * 2 * OUTPUT_BYTES["linear"] + FLOAT * each.vertices.numel()  # its gradient is read
        project, normals, shading = 2 * project, 2 * normals, 2 * shading
    return Work(inputs + texels * TEXEL_BYTES[workload.device] + written, project + normals + shading)
