"""What the builder of the default head measures on the surface: lid rings, lip seam, landmarks, regions, occlusion.

Lengths are decimetres (hm08), unless a name says mm.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from pain3d.kernels.rasterization import rasterize
from tools import head_charts
from tools.mpfb2_source import Array, BaseMesh, Indices

SIDES = ("Left", "Right")
LID_RINGS = 8  # rings of quads around each eye; 0 is the seam inside the eyeball, 1 the first one outside it
SQUINT_REACH = 0.19  # dm from the lid's edge: how far the lid tightener (AU7) is let to pull; the cheek belongs to AU6
LID_FALLOFF = 0.05  # dm: how fast "belongs to the lid" fades outside ring 4
COLUMN_MIN_BLINK = 0.035  # dm: columns whose upper lid travels less are the corners, which stay
LIP_FALLOFF = 0.055  # dm
EYE_LATITUDES = (
    9,
    18,
    28,
    45,
    67,
    90,
    113,
    135,
    152,
    162,
    171,
)  # degrees from the pupil; symmetric, so the mean is the centre
EYE_SEGMENTS = 20
LIP_OVERLAP = 0.008  # dm that closed lips press into each other, so that no tooth shines through


def rotate_x(points: Array, angle: float) -> Array:
    """Rotate [..., 3] about the x axis (radians, right-handed)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([x, cosine * y - sine * z, sine * y + cosine * z], -1)


def eyeballs(mesh: BaseMesh, shapes: Sequence[Array]) -> tuple[list[Array], Indices, list[Indices]]:
    """Finer eyeballs with a vertex at the pupil, instead of the source's 72 vertices, which have none there.

    What a shape does to the source's eyeball is carried over by the affine map that fits it best.

    Returns:
        The shapes [V + new, 3], the mirror partners [new] of the new vertices, and the quads [Q, 4] of the left and the
        right eyeball.
    """
    polar, azimuth = np.radians(EYE_LATITUDES), 2 * np.pi * np.arange(EYE_SEGMENTS) / EYE_SEGMENTS
    rings = [
        np.stack([np.sin(t) * np.cos(azimuth), np.sin(t) * np.sin(azimuth), np.full_like(azimuth, np.cos(t))], 1)
        for t in polar
    ]
    unit = np.concatenate([[[0, 0, 1.0]], *rings, [[0, 0, -1.0]]])
    last = len(unit) - 1
    quads = []
    for k in range(0, EYE_SEGMENTS, 2):  # caps: two triangles a quad
        a, b, c = (1 + (k + step) % EYE_SEGMENTS for step in range(3))
        quads.append([0, a, b, c])
        back = last - EYE_SEGMENTS - 1
        quads.append([last, back + c, back + b, back + a])
    for ring in range(len(rings) - 1):
        for k in range(EYE_SEGMENTS):
            here, there = 1 + ring * EYE_SEGMENTS, 1 + (ring + 1) * EYE_SEGMENTS
            after = (k + 1) % EYE_SEGMENTS
            quads.append([here + k, there + k, there + after, here + after])
    base = mesh.vertices
    first = len(base)
    grown = [[shape] for shape in shapes]
    groups, partners = [], []
    for side, helper in enumerate(("helper-l-eye", "helper-r-eye")):
        old = np.unique(mesh.groups[helper][:, :, 0])
        centre = base[old].mean(0)
        radius = float(np.linalg.norm(base[old] - centre, axis=1).mean())
        points = unit * np.array([1 - 2 * side, 1, 1])
        design = np.column_stack([base[old] - centre, np.ones(len(old))])
        fresh = np.column_stack([points * radius, np.ones(len(points))])
        for shape, parts in zip(shapes, grown, strict=True):
            moved, *_ = np.linalg.lstsq(design, shape[old], rcond=None)
            parts.append(fresh @ moved)
        outward = np.array(quads) if side == 0 else np.array(quads)[:, [0, 3, 2, 1]]
        groups.append(first + side * len(unit) + outward)
        partners.append(first + (1 - side) * len(unit) + np.arange(len(unit)))
    return [np.concatenate(parts) for parts in grown], np.concatenate(partners), groups


def nearest_on_ring(points: Array, ring: Array) -> tuple[Indices, Indices, Array]:
    """For each point [P, 3] the nearest spot on a closed polyline [R, 3]: the two members beside it and the share."""
    start, end = ring, np.roll(ring, -1, axis=0)
    along = end - start
    share = ((points[:, None] - start) * along).sum(-1) / (along**2).sum(-1)
    share = share.clip(0, 1)
    spot = start + share[..., None] * along
    best = np.argmin(((points[:, None] - spot) ** 2).sum(-1), 1)
    return best, (best + 1) % len(ring), share[np.arange(len(points)), best][:, None]


class Lids:
    """The rings of vertices around both eyes, and the closing of the lids."""

    def __init__(self, mesh: BaseMesh, skin_quads: Indices) -> None:
        self._vertices = mesh.vertices
        body = mesh.groups["body"]
        chart = head_charts.islands(body[:, :, 1], len(mesh.uvs))
        skin_vertices = np.unique(skin_quads)
        self._rings: dict[str, list[Indices]] = {}
        neighbours: dict[int, set[int]] = {}
        for quad in skin_quads.tolist():
            for a, b in zip(quad, quad[1:] + quad[:1], strict=True):
                neighbours.setdefault(a, set()).add(b)
                neighbours.setdefault(b, set()).add(a)
        for side, helper in zip(SIDES, ("helper-l-eye", "helper-r-eye"), strict=True):
            eye = mesh.vertices[np.unique(mesh.groups[helper][:, :, 0])]
            centre = eye.mean(0)
            radius = float(np.linalg.norm(eye - centre, axis=1).mean())
            inside = [
                np.unique(body[chart == c][:, :, 0])
                for c in range(chart.max() + 1)
                if np.linalg.norm(mesh.vertices[np.unique(body[chart == c][:, :, 0])].mean(0) - centre) < radius
            ]
            ring = set(np.intersect1d(inside[0], skin_vertices).tolist())
            seen: set[int] = set(ring)
            rings = []
            for _ in range(LID_RINGS):
                members = np.array(sorted(ring))
                offset = mesh.vertices[members] - centre
                rings.append(members[np.argsort(np.arctan2(offset[:, 1], offset[:, 0] * np.sign(centre[0])))])
                ring = set().union(*(neighbours[v] for v in ring)) - seen
                seen |= ring
            self._rings[side] = rings

    def ring(self, number: int, side: str = "Left") -> Indices:
        """Vertex indices of one ring around one eye, by angle from the outer corner (counter-clockwise on the left)."""
        return self._rings[side][number]

    def nearness(self, side: str, falloff: float = LID_FALLOFF) -> Array:
        """1 on the lid (rings 0 to 4), fading to 0 outside it (a Gaussian of that width in dm), [V]."""
        lid = np.concatenate(self._rings[side][:5])
        distance = np.sqrt(((self._vertices[:, None, :] - self._vertices[lid][None]) ** 2).sum(-1).min(1))
        return np.asarray(np.exp(-((distance / falloff) ** 2)))

    def _columns(self, base: Array, blink: Array, side: str) -> tuple[Indices, Indices]:
        """Upper margin vertices (ring 1) that travel in a blink, by x, and the lower margin ring by x."""
        ring = self.ring(1, side)
        travel = -blink[ring, 1]
        upper = ring[travel > COLUMN_MIN_BLINK]
        lower = ring[(travel <= COLUMN_MIN_BLINK) & (base[ring, 1] < base[upper, 1].min())]
        return upper[np.argsort(base[upper, 0])], lower[np.argsort(base[lower, 0])]

    def closing(
        self, base: Array, identities: Iterable[Array], units: dict[str, Array]
    ) -> tuple[dict[str, Array], Array]:
        """Shapes that lower the upper lid column by column, and the gap [S, 2C] each identity shape opens there.

        In the template the blink closes the lids. An identity changes the gap of column c by `identity @ gap[:, c]`;
        subtracting that many of the column's unit shape closes the lids of everyone.
        """
        shapes: dict[str, Array] = {}
        gaps = []
        for side in SIDES:
            blink = units["eyeBlink" + side]
            upper, lower = self._columns(base, blink, side)
            x = base[:, 0]
            moves = -blink[:, 1] > 1e-3
            hats = np.stack([np.interp(x, x[upper], np.eye(len(upper))[c]) for c in range(len(upper))])
            margin = np.interp(x, x[upper], -blink[upper, 1])
            amount = np.clip(-blink[:, 1] / margin, 0, 1) * moves
            for column in range(len(upper)):
                shape = np.zeros_like(base)
                shape[:, 1] = -hats[column] * amount
                shapes[f"lidClose{side}{column}"] = shape
            gap = []
            for identity in identities:
                lower_y = np.interp(x[upper], x[lower], identity[lower, 1])
                gap.append(identity[upper, 1] - lower_y)
            gaps.append(np.stack(gap))
        return shapes, np.concatenate(gaps, 1)


class Lips:
    """The seam where the lips meet, and its sealing."""

    def __init__(self, mesh: BaseMesh, quads: Indices, quad_parts: Indices, parts: Sequence[str]) -> None:
        base = mesh.vertices
        skin = np.unique(quads[quad_parts == parts.index("skin")])
        mouth = np.unique(quads[quad_parts == parts.index("mouth")])
        seam = np.intersect1d(skin, mouth)
        middle = 0.5 * (base[seam, 1].max() + base[seam, 1].min())
        corner = np.abs(base[seam, 0]) > 0.245  # the corners belong to both lips
        self.upper = seam[(base[seam, 1] > middle) & ~corner]
        self.lower = seam[(base[seam, 1] <= middle) & ~corner]
        self.upper = self.upper[np.argsort(base[self.upper, 0])]
        self.lower = self.lower[np.argsort(base[self.lower, 0])]
        self._x = base[:, 0].copy()
        near_skin = np.zeros(len(base), bool)
        near_skin[np.union1d(skin, mouth)] = True
        self._weights = {}
        for name, line, sign in (("upper", self.upper, 1), ("lower", self.lower, -1)):
            distance = np.sqrt(((base[:, None, :] - base[line][None]) ** 2).sum(-1).min(1))
            other = self.lower if sign > 0 else self.upper
            other_distance = np.sqrt(((base[:, None, :] - base[other][None]) ** 2).sum(-1).min(1))
            own_side = near_skin & (distance <= other_distance)
            self._weights[name] = np.exp(-((distance / LIP_FALLOFF) ** 2)) * own_side

    def seal(self, shape: Array, overlap: float = 0.0) -> None:
        """Close the gap of a template, or the change of gap of a displacement, in place: each lip goes half way."""
        columns = self._x[self.upper]
        gap = shape[self.upper, 1] - np.interp(columns, self._x[self.lower], shape[self.lower, 1])
        gap = np.interp(self._x, columns, gap + overlap, left=0.0, right=0.0)
        shape[:, 1] += 0.5 * gap * (self._weights["lower"] - self._weights["upper"])


# Facial regions of the PSPI action units, one per side, on the template in millimetres from the origin (x to the
# subject's left, y up, z forward): boxes around where the FACS manual (2002) says that each unit changes the face.
REGION_BOXES = {
    "brow": ((-2, 80), (8, 85), (20, 140)),  # AU4: brows, glabella, forehead and upper lid fold
    "cheek": ((4, 85), (-66, 45), (20, 125)),  # AU6: cheek, infraorbital triangle, outer corner of the eye
    "lids": ((6, 66), (-12, 50), (40, 125)),  # AU7: lids and the skin under the eye down to the infraorbital furrow
    "nose": ((-6, 62), (-52, 75), (45, 140)),  # AU9: nose, infraorbital triangle, inner brow, middle of the upper lip
    "upper_lip": ((-4, 58), (-72, 5), (55, 140)),  # AU10: upper lip, nasolabial fold, infraorbital triangle
    "eye": ((6, 66), (-12, 50), (40, 125)),  # AU43: lids
}
REGIONS = tuple(f"{name}_{side}" for name in REGION_BOXES for side in ("L", "R"))


def regions(template_mm: Array, vertex_parts: npt.NDArray[np.uint8], parts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Region masks [R, V], in the order of `REGIONS`."""
    outer = np.isin(vertex_parts, [parts.index(p) for p in ("skin", "lashes", "left_eye", "right_eye")])
    masks = []
    for box in REGION_BOXES.values():
        for sign in (1, -1):
            mirrored = template_mm * np.array([sign, 1, 1])
            inside = np.all([(mirrored[:, k] >= box[k][0]) & (mirrored[:, k] <= box[k][1]) for k in range(3)], 0)
            masks.append(inside & outer)
    return np.stack(masks)


def _normals(points: Array, faces: Indices) -> Array:
    """Area-weighted unit normals [V, 3]; in float64, so that the file doesn't hang on the order of float32 sums."""
    cross = np.cross(points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]])
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], cross)
    return np.asarray(normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12))


# Landmarks on the template, dm. The jaw's line runs from the temple along the ramus to the chin, as annotators draw it.
JAW = (
    (0.705, 0.248, 0.207), (0.708, 0.09, 0.156), (0.682, -0.077, 0.279), (0.636, -0.328, 0.217), (0.58, -0.437, 0.276),
    (0.443, -0.662, 0.451), (0.352, -0.716, 0.645), (0.223, -0.819, 0.753), (0.0, -0.873, 0.853),
)  # fmt: skip
NOSE_RIDGE = (0.273, 0.146, 0.016, -0.111)  # height, root to tip
NOSE_BASE = ((0.139, -0.211, 0.95), (0.058, -0.229, 1.002), (0.0, -0.245, 1.023))  # wing to columella


def landmarks(
    template: Array,
    faces: Indices,
    face_parts: Indices,
    parts: Sequence[str],
    number: Indices,
    lids: Lids,
    lips: Lips,
) -> tuple[Indices, list[str]]:
    """The 68 points of the iBUG order, then four eye corners by name and two pupils. Indices into the kept vertices."""
    skin = np.unique(faces[face_parts == parts.index("skin")])
    normals = _normals(template, faces)
    front = skin[(normals[skin, 2] > 0.15) & (template[skin, 2] > 0.3)]

    def at(x: float, y: float) -> int:
        """The foremost-facing skin vertex next to (x, y)."""
        return int(front[np.argmin(((template[front, :2] - [x, y]) ** 2).sum(1))])

    def near(point: Sequence[float], side: float = 1.0) -> int:
        """The skin vertex next to a point, mirrored where side is -1."""
        return int(skin[np.argmin(((template[skin] - np.array(point) * [side, 1, 1]) ** 2).sum(1))])

    points = [near(p, -1) for p in JAW] + [near(p) for p in reversed(JAW[:-1])]
    brow = [(0.58, 0.40), (0.49, 0.465), (0.38, 0.475), (0.27, 0.45), (0.16, 0.41)]
    points += [at(-x, y) for x, y in brow] + [at(x, y) for x, y in reversed(brow)]
    points += [at(0, y) for y in NOSE_RIDGE]
    points += [near(p, -1) for p in NOSE_BASE] + [near(p) for p in reversed(NOSE_BASE[:-1])]
    eyes = []
    for side in SIDES:
        ring = number[lids.ring(1, side)]
        x = template[ring, 0] * (1 if side == "Left" else -1)
        y = template[ring, 1]
        inner, outer = int(np.argmin(x)), int(np.argmax(x))
        middle = 0.5 * (y[inner] + y[outer])

        def lid(share: float, upper: bool, x: Array = x, y: Array = y, i: int = inner, o: int = outer,
                m: float = middle, ring: Indices = ring) -> int:  # fmt: skip
            rows = np.flatnonzero(y > m if upper else y < m)
            return int(ring[rows[np.argmin(np.abs(x[rows] - (x[i] + share * (x[o] - x[i]))))]])

        eyes.append([int(ring[inner]), int(ring[outer]), lid(0.33, True), lid(0.67, True), lid(0.33, False),
                     lid(0.67, False)])  # fmt: skip
    left, right = eyes
    points += [right[1], right[3], right[2], right[0], right[4], right[5]]  # 36-41: outer, upper, inner, lower
    points += [left[0], left[2], left[3], left[1], left[5], left[4]]  # 42-47
    corner = template[number[np.concatenate([lips.upper, lips.lower])], 0].max()
    mouth_y = float(template[number[lips.upper], 1].mean())
    outer_lip = [(-corner - 0.03, 0), (-0.15, 0.065), (-0.06, 0.095), (0, 0.085), (0.06, 0.095), (0.15, 0.065),
                 (corner + 0.03, 0), (0.15, -0.085), (0.06, -0.115), (0, -0.12), (-0.06, -0.115),
                 (-0.15, -0.085)]  # fmt: skip
    points += [at(x, mouth_y + y) for x, y in outer_lip]
    upper, lower = number[lips.upper], number[lips.lower]

    def seam(line: Indices, x: float) -> int:
        return int(line[np.argmin(np.abs(template[line, 0] - x))])

    points += [seam(upper, -9), seam(upper, -0.09), seam(upper, 0), seam(upper, 0.09), seam(upper, 9)]
    points += [seam(lower, 0.09), seam(lower, 0), seam(lower, -0.09)]
    names = [f"ibug_{k}" for k in range(68)]
    points += [right[1], right[0], left[0], left[1]]
    names += ["right_eye_outer", "right_eye_inner", "left_eye_inner", "left_eye_outer"]
    for part in ("right_eye", "left_eye"):
        eye = np.unique(faces[face_parts == parts.index(part)])
        points.append(int(eye[np.argmax(template[eye, 2])]))
        names.append(part.replace("eye", "pupil"))
    return np.array(points), names


OCCLUSION_DIRECTIONS = 256
OCCLUSION_SIZE = 384  # pixels of one shadow map
OCCLUSION_BIAS = 0.02  # dm: a vertex this little behind the nearest surface still counts as lit
SEAM_REACH, SEAM_OCCLUSION = 0.022, 0.25  # dm; at most this share between the lips
INTERIOR_FLOOR = 0.35  # mouth, teeth, tongue: light that bounces inside, so that no mouth is a black hole


def _visible(template: Array, faces: Indices, direction: Array) -> npt.NDArray[np.bool_]:
    """Vertices that see out along `direction`, by an orthographic depth map."""
    up = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(up, direction)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(direction, right), direction])
    local = template @ frame.T
    extent = 1.02 * float(np.abs(local[:, :2]).max())
    depth = 100.0 - local[:, 2]
    clip = np.concatenate([local[:, :2] / extent * depth[:, None], depth[:, None], depth[:, None]], 1)
    fragments = rasterize(
        torch.tensor(clip[None], dtype=torch.float32),
        torch.tensor(faces, dtype=torch.int32),
        (OCCLUSION_SIZE, OCCLUSION_SIZE),
        cull=False,
    )
    image = fragments.depth[0].numpy()
    column = ((local[:, 0] / extent * 0.5 + 0.5) * OCCLUSION_SIZE).astype(int).clip(0, OCCLUSION_SIZE - 1)
    row = ((0.5 - local[:, 1] / extent * 0.5) * OCCLUSION_SIZE).astype(int).clip(0, OCCLUSION_SIZE - 1)
    return np.asarray(depth <= image[row, column] + OCCLUSION_BIAS)


def occlusion(
    template: Array,
    jaw_wide: Array,
    faces: Indices,
    vertex_parts: npt.NDArray[np.uint8],
    parts: Sequence[str],
    lip_seam: Indices,
) -> npt.NDArray[np.float32]:
    """Cosine-weighted share of the sky each vertex sees, [V] in 0–1; the mouth's inside with the jaw wide open.

    Where closed lips press into each other a vertex may come out on the other side and see the sky: `lip_seam` names
    the vertices around which it doesn't.
    """
    k = np.arange(OCCLUSION_DIRECTIONS) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / OCCLUSION_DIRECTIONS), np.pi * (1 + 5**0.5) * k  # Fibonacci sphere
    directions = np.stack([np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)], 1)
    interior = np.isin(vertex_parts, [parts.index(p) for p in ("mouth", "upper_teeth", "lower_teeth", "tongue")])
    seen = []
    for points in (template, jaw_wide):
        normals = _normals(points, faces)
        total = np.zeros(len(points))
        open_sky = np.zeros(len(points))
        for direction in directions:
            cosine = np.clip(normals @ direction, 0, None)
            total += cosine
            open_sky += cosine * _visible(points, faces, direction)
        seen.append(open_sky / np.maximum(total, 1e-9))
    closed, wide = seen
    result = np.where(interior, np.maximum(wide, INTERIOR_FLOOR), closed)
    to_seam = np.sqrt(((template[:, None] - template[lip_seam][None]) ** 2).sum(-1).min(1))
    result = np.where(to_seam < SEAM_REACH, np.minimum(result, SEAM_OCCLUSION), result)
    lash = vertex_parts == parts.index("lashes")
    return np.where(lash, 0.8, np.clip(result, 0.05, 1)).astype(np.float32)
