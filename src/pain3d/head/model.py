"""The parametric head: identity + action units + pose → vertices. smplx users will know the arguments."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pain3d.device import moved
from pain3d.facs.action_units import AU_NUMBERS, SIDES, ActionUnits, stack
from pain3d.facs.rig import action_weights, expression_weights
from pain3d.head.assets import DEFAULT_HEAD, read_head
from pain3d.head.correctives import bulges, higher_meeting, lowered_tongue
from pain3d.head.ears import laid_ears
from pain3d.head.identity import Identity, sample_identity
from pain3d.head.surface_detail import detail, detail_basis, read_occlusion
from pain3d.kernels.antialiasing import face_adjacency
from pain3d.kernels.deformation import deform, planar_basis, vertex_normals
from pain3d.mesh import Mesh, Surface, Topology

COVERED_OCCLUSION = 0.8  # of an ear's vertices where they carry the hair that covers it
NECK_JOINT = 1  # the head turns with it
SKIN_INFLUENCES = 3  # joints per vertex that are kept: torso, neck and jaw meet at the throat
# Skin around the eye may not sink into the eyeball, nor the lids' seam, which lies inside it, come out. Distances are
# eyeball radii from its centre: each vertex within LID_REACH in the template keeps its distance up to LID_CLEARANCE and
# LID_LAYERS of what it has beyond that, so that skin which AU6 and AU7 push together bulges in its order.
LID_REACH = 2.4
LID_CLEARANCE = 1.06
LID_LAYERS = 0.12
SEAM_DEPTH = 0.97
FAR = 100.0  # eyeball radii: no limit


class Head:
    """A FLAME-style head: template + identity shapes + expression shapes + linear blend skinning of five joints.

    Joints: root, neck, jaw, left eye, right eye. Right-handed, +Y up, the face looks along +Z, metres; the origin lies
    between the ears, a little below the eyes.
    """

    def __init__(self, path: Path) -> None:
        """Read a head file. Raises HeadFileError, in one line, if it is missing or not sound."""
        file = read_head(path)
        arrays, meta = file.arrays, file.meta
        self.name: str = meta["name"]
        self.template = torch.from_numpy(arrays["template"])
        self.identity_names: tuple[str, ...] = tuple(meta["identity"])
        self.unit_names: tuple[str, ...] = tuple(meta["units"])
        self.macro_count: int = meta["macro_count"]
        count = len(self.identity_names)
        self.identity_basis = torch.from_numpy(file.shapes[:count])
        self.expression_basis = torch.from_numpy(file.shapes[count:])
        self.local_sigma = arrays["local_sigma"]
        self.joints = torch.from_numpy(arrays["joints"])
        self.joint_basis = torch.from_numpy(arrays["joint_basis"])
        self.joint_parents: tuple[int, ...] = tuple(meta["joint_parents"])
        self.jaw_angle: float = meta["jaw_angle"]
        weights = torch.from_numpy(arrays["skin_weights"])
        kept, joints = weights.topk(SKIN_INFLUENCES, dim=1)
        self.skin_joints = joints.to(torch.int32)
        self.skin_weights = kept / kept.sum(1, keepdim=True)
        self.mirror = torch.from_numpy(arrays["mirror"].astype(np.int64))
        self.landmarks = torch.from_numpy(arrays["landmarks"].astype(np.int64))
        self.landmark_names: tuple[str, ...] = tuple(meta["landmarks"])
        self.regions = {n: torch.from_numpy(m) for n, m in zip(meta["regions"], arrays["regions"], strict=True)}
        self.lid_rings = torch.from_numpy(arrays["lid_rings"].astype(np.int64))  # [2, 8, 28], 0 the seam, 1 the margin
        self._closing_gap = torch.from_numpy(arrays["closing_gap"])
        faces = torch.from_numpy(arrays["faces"].astype(np.int32))
        parts: tuple[str, ...] = tuple(meta["parts"])
        face_parts = torch.from_numpy(arrays["face_parts"].astype(np.int32))
        vertex_parts = torch.from_numpy(arrays["vertex_parts"].astype(np.int32))
        self._eyes = [torch.nonzero(vertex_parts == parts.index(p)).flatten() for p in ("left_eye", "right_eye")]
        skin = torch.nonzero(vertex_parts == parts.index("skin")).flatten()
        self._lids = [
            self._lid_limits(eye, rings[0], skin) for eye, rings in zip(self._eyes, self.lid_rings, strict=True)
        ]
        if meta.get("correctives", self.name == "cc0"):
            self._mend(faces, vertex_parts, parts)
        of_skin = face_parts == parts.index("skin")
        self._ears, self._laid_template, self._laid_basis = laid_ears(
            self.template, self.identity_basis, faces[of_skin]
        )
        self._ear_mask = torch.zeros(len(self.template))
        self._ear_mask[self._ears] = 1
        resting, self._occlusion_change = read_occlusion(path, self.template)
        self.topology = Topology(
            faces=faces,
            adjacent_faces=face_adjacency(faces),
            uvs=torch.from_numpy(arrays["uvs"]),
            uv_faces=torch.from_numpy(arrays["uv_faces"].astype(np.int32)),
            face_parts=face_parts,
            vertex_parts=vertex_parts,
            part_names=parts,
            occlusion=torch.from_numpy(arrays["occlusion"]) if resting is None else resting,
        )
        self._detail: tuple[Tensor, Tensor] | None = None  # creases, and the basis that was made of them

    @staticmethod
    @lru_cache(maxsize=1)
    def default() -> Head:
        """The packaged CC0 head (MakeHuman hm08): 5,217 vertices, 10,448 faces, 201 identity shapes."""
        return Head(DEFAULT_HEAD)

    @staticmethod
    def load(path: str | Path) -> Head:
        """A head from a file in our format. Raises HeadFileError, in one line, if it is missing or not sound."""
        return Head(Path(path))

    def to(self, device: torch.device | str) -> Head:
        """The same head with its shapes on a device, where its meshes then come out."""
        there = copy.copy(self)
        there.__dict__.update(moved(self.__dict__, device))
        there._detail = None
        for name in ("identity_basis", "expression_basis", "_occlusion_change", "_laid_basis"):
            basis = getattr(there, name)  # in the layout that the device's kernels read
            setattr(there, name, planar_basis(basis) if basis.is_cuda else basis.contiguous())
        return there

    @property
    def device(self) -> torch.device:
        """Where the shapes are, and where meshes come out."""
        return self.template.device

    @property
    def local_names(self) -> tuple[str, ...]:
        """Names of the local identity shapes, in the order of `Identity.local`."""
        return self.identity_names[self.macro_count :]

    def sample_identity(self, seed: int, identity_id: int = 0) -> Identity:
        """A random adult by key, of any age, sex and ancestry mixture."""
        return sample_identity(seed, identity_id, self.local_names)

    def identity_vector(self, identity: Identity | Sequence[Identity]) -> Tensor:
        """Coefficients [B, S] of the identity shapes."""
        people = [identity] if isinstance(identity, Identity) else list(identity)
        rows = [p.coefficients(self.identity_names, self.macro_count, self.local_sigma) for p in people]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def __call__(
        self,
        identity: Identity | Sequence[Identity] | Tensor | None = None,
        au: ActionUnits | Sequence[ActionUnits] | Tensor | None = None,
        *,
        expression: Tensor | None = None,
        global_orient: Tensor | None = None,
        neck_pose: Tensor | None = None,
        jaw_pose: Tensor | None = None,
        leye_pose: Tensor | None = None,
        reye_pose: Tensor | None = None,
        transl: Tensor | None = None,
        surface: Surface | None = None,
    ) -> Mesh:
        """Vertices of B heads. Every argument has 1 or B rows; what is left out is neutral.

        Args:
            identity: Identity, a sequence of them, or [B, S] coefficients of the identity shapes.
            au: ActionUnits, a sequence of them, or [B, A, 2] intensities 0–5 (AU43 0–1), left and right of the subject.
            expression: [B, U] weights of the expression units, added to those of `au`.
            global_orient: [B, 3] axis-angle of the whole, radians.
            neck_pose: [B, 3] axis-angle of the head against the torso, radians.
            jaw_pose: [B, 3] axis-angle of the jaw, radians, added to the opening of AU26 and AU27.
            leye_pose: [B, 3] axis-angle of the subject's left eyeball, radians.
            reye_pose: [B, 3] axis-angle of the right eyeball, radians.
            transl: [B, 3] metres.
            surface: Hair, cloth and wrinkles of 1 or B people (`pain3d.skin.surface`). Growth moves each vertex along
                the person's neutral normal, by the same vector in every expression: differences between expressions
                are those of the bare skin.

        Returns:
            Mesh with vertices [B, V, 3] and posed joints [B, 5, 3] in metres, occlusion [B, V] that follows the
            expression, up [B, 3], the head's vertical axis, and, with a surface, wrinkles [B, V, 2].

        Gradients: to every tensor argument.

        Raises:
            ValueError: A shape does not fit, or the numbers of rows differ.
        """
        shape = self.identity_rows(identity)
        units = self.au_rows(au)
        poses = {"global_orient": global_orient, "neck_pose": neck_pose, "jaw_pose": jaw_pose,
                 "leye_pose": leye_pose, "reye_pose": reye_pose}  # fmt: skip
        rows = {"identity": shape, "au": units, "expression": expression, "transl": transl, **poses}
        if surface is not None:
            rows |= {"surface.growth": surface.growth, "surface.resting": surface.resting,
                     "surface.depth": surface.depth}  # fmt: skip
        batch = max(len(t) for t in rows.values() if t is not None)
        for name, tensor in rows.items():
            if tensor is not None and len(tensor) not in (1, batch):
                raise ValueError(f"{name} must have 1 or {batch} rows, got {len(tensor)}")
        if expression is not None and expression.shape[1:] != (len(self.unit_names),):
            raise ValueError(f"expression must be [B, {len(self.unit_names)}], got {list(expression.shape)}")
        for name, pose in {**poses, "transl": transl}.items():
            if pose is not None and pose.shape[1:] != (3,):
                raise ValueError(f"{name} must be [B, 3], got {list(pose.shape)}")

        weights, jaw, shut = expression_weights(units, self.unit_names)
        weights = weights + self._lid_closing(shape, shut)
        if expression is not None:
            weights = weights + expression
        people = deform(self.template[None], self.identity_basis, shape)
        index = torch.arange(batch, device=self.device) * (len(people) > 1)
        shaped = deform(people, self.expression_basis, weights.expand(batch, -1).contiguous(), template_index=index)
        shaped = self._clear_eyes(shaped)
        if surface is not None:
            shaped = shaped + self._growth(people, shape, surface)
        occlusion, wrinkles = self._detail_of(units, surface)

        still = shaped.new_zeros(batch, 3)
        angles = [still if pose is None else pose.expand(batch, 3) for pose in poses.values()]
        opening = torch.stack([jaw * self.jaw_angle, 0 * jaw, 0 * jaw], 1)
        angles[2] = angles[2] + opening.expand(batch, 3)
        rest = self.joints + torch.einsum("bs,sjc->bjc", shape, self.joint_basis)
        transforms, joints = joint_transforms(torch.stack(angles, 1), rest.expand(batch, -1, -1), self.joint_parents)
        nothing = self.expression_basis[:0]
        vertices = deform(
            shaped, nothing, shaped.new_zeros(batch, 0), self.skin_joints, self.skin_weights, transforms.contiguous()
        )
        if transl is not None:
            vertices, joints = vertices + transl[:, None], joints + transl[:, None]
        return Mesh(
            vertices,
            joints,
            self.topology,
            occlusion=occlusion.expand(batch, -1),
            wrinkles=None if wrinkles is None else wrinkles.expand(batch, -1, -1),
            up=transforms[:, NECK_JOINT, :3, 1],
        )

    def _mend(self, faces: Tensor, vertex_parts: Tensor, parts: tuple[str, ...]) -> None:
        """Add what the source of the default head leaves out (see `correctives`)."""
        edge = self.lid_rings[:, 1].flatten()
        skin = vertex_parts == parts.index("skin")
        for row, moved_by in bulges(self.template, faces, skin, edge, self.unit_names).items():
            self.expression_basis[row] += moved_by
        movable = skin | (vertex_parts == parts.index("lashes"))
        for unit, sign in (("eyeBlinkLeft", 1.0), ("eyeBlinkRight", -1.0)):
            blink = self.expression_basis[self.unit_names.index(unit)]
            blink += higher_meeting(self.template, blink, movable, sign)
        tongue = torch.nonzero(vertex_parts == parts.index("tongue")).flatten()
        self.template = lowered_tongue(self.template, tongue)

    def _growth(self, people: Tensor, shape: Tensor, surface: Surface) -> Tensor:
        """What a surface adds to the vertices [1 or B, V, 3]: ears lie under hair that covers them, the rest grows."""
        if surface.cover is None:
            return surface.growth[..., None] * vertex_normals(people, self.topology.faces)
        laid = people.new_zeros(people.shape)
        laid[:, self._ears] = deform(self._laid_template, self._laid_basis, shape)
        laid = surface.cover[:, None, None] * laid
        return laid + surface.growth[..., None] * vertex_normals(people + laid, self.topology.faces)

    def laid_ears(self) -> tuple[Tensor, Tensor]:
        """Vertices [E] of both ears, and by how much [E, 3] (m) the template's lie elsewhere under hair."""
        return self._ears, self._laid_template[0]

    def _detail_of(self, units: Tensor, surface: Surface | None) -> tuple[Tensor, Tensor | None]:
        """Occlusion and wrinkles of the expressions; the basis of a surface's creases is made once."""
        basis = self._occlusion_change
        if surface is not None:
            kept = self._detail
            if kept is None or kept[0] is not surface.creases or surface.creases.requires_grad:
                kept = self._detail = surface.creases, detail_basis(basis, surface.creases)
            basis = kept[1]
        occlusion, wrinkles = detail(basis, self.topology.occlusion, action_weights(units), surface)
        if surface is not None and surface.cover is not None:
            occlusion = occlusion + surface.cover[:, None] * (COVERED_OCCLUSION - occlusion) * self._ear_mask
        return occlusion, wrinkles

    def identity_rows(self, identity: Identity | Sequence[Identity] | Tensor | None) -> Tensor:
        """Coefficients [1 or B, S] of what `__call__` takes as identity. Raises ValueError on another shape."""
        if identity is None:
            return torch.zeros(1, len(self.identity_names), device=self.device)
        rows = identity if isinstance(identity, Tensor) else self.identity_vector(identity)
        if rows.ndim != 2 or rows.shape[1] != len(self.identity_names):
            raise ValueError(f"identity must be [B, {len(self.identity_names)}], got {list(rows.shape)}")
        return rows

    def au_rows(self, au: ActionUnits | Sequence[ActionUnits] | Tensor | None) -> Tensor:
        """Intensities [1 or B, A, 2] of what `__call__` takes as au. Raises ValueError on another shape."""
        if au is None:
            return torch.zeros(1, len(AU_NUMBERS), len(SIDES), device=self.device)
        if isinstance(au, Tensor):
            if au.shape[1:] != (len(AU_NUMBERS), len(SIDES)):
                raise ValueError(f"au must be [B, {len(AU_NUMBERS)}, {len(SIDES)}], got {list(au.shape)}")
            return au
        faces = [au] if isinstance(au, ActionUnits) else list(au)
        return torch.from_numpy(stack(faces)).to(self.device, torch.float32)

    def _lid_closing(self, shape: Tensor, shut: Tensor) -> Tensor:
        """Weights [B, U] that close what an identity's lids leave open in a blink (the template's blink is closed)."""
        gap = shape @ self._closing_gap
        columns = gap.shape[1] // 2
        closing = gap * shut.repeat_interleave(columns, 1)
        before = len(self.unit_names) - gap.shape[1]
        return torch.cat([closing.new_zeros(len(closing), before), closing], 1)

    def _lid_limits(self, eye: Tensor, seam: Tensor, skin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vertices near an eyeball and the least and greatest distance of each from its centre, in eyeball radii."""
        ball = self.template[eye]
        centre = ball.mean(0)
        ratio = (self.template[skin] - centre).norm(dim=1) / (ball - centre).norm(dim=1).mean()
        near, ratio = skin[ratio < LID_REACH], ratio[ratio < LID_REACH]
        inside = torch.isin(near, seam)
        layered = ratio.clamp(max=LID_CLEARANCE) + LID_LAYERS * (ratio - LID_CLEARANCE).clamp(min=0)
        least = torch.where(inside, torch.zeros_like(ratio), layered)
        most = torch.where(inside, torch.full_like(ratio, SEAM_DEPTH), torch.full_like(ratio, FAR))
        return near, least, most

    def _clear_eyes(self, shaped: Tensor) -> Tensor:
        """Keep the lids outside the eyeballs and their seam inside."""
        cleared = shaped.clone()
        for eye, (near, least, most) in zip(self._eyes, self._lids, strict=True):
            ball = shaped[:, eye]
            centre = ball.mean(1, keepdim=True)
            radius = (ball - centre).norm(dim=2).mean(1)[:, None]
            offset = shaped[:, near] - centre
            distance = offset.norm(dim=2)
            wanted = torch.minimum(torch.maximum(distance, least * radius), most * radius)
            cleared[:, near] = centre + offset * (wanted / distance)[..., None]
        return cleared


def joint_transforms(angles: Tensor, joints: Tensor, parents: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Rest-to-posed transforms [B, J, 4, 4] and posed joints [B, J, 3] of a chain of rotations about joints.

    Args:
        angles: [B, J, 3] axis-angle, radians.
        joints: [B, J, 3] rest positions, metres.
        parents: Parent of each joint, -1 for the first; parents come before children.

    Gradients: to angles and joints.
    """
    rotations = axis_angle_to_matrix(angles)
    world: list[Tensor] = []
    posed: list[Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            world.append(rotations[:, joint])
            posed.append(joints[:, joint])
        else:
            arm = joints[:, joint] - joints[:, parent]
            posed.append(posed[parent] + (world[parent] @ arm[..., None])[..., 0])
            world.append(world[parent] @ rotations[:, joint])
    turn, centres = torch.stack(world, 1), torch.stack(posed, 1)
    shift = centres - (turn @ joints[..., None])[..., 0]
    top = torch.cat([turn, shift[..., None]], 3)
    bottom = torch.zeros_like(top[:, :, :1])
    bottom[..., 3] = 1
    return torch.cat([top, bottom], 2), centres


def axis_angle_to_matrix(angles: Tensor) -> Tensor:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] (Rodrigues), smooth at zero."""
    squared = (angles**2).sum(-1, keepdim=True)
    small = squared < 1e-8
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1 - squared / 6, torch.sin(angle) / angle)[..., None]
    versine = torch.where(small, 0.5 - squared / 24, (1 - torch.cos(angle)) / angle**2)[..., None]
    x, y, z = angles.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*angles.shape[:-1], 3, 3)
    eye = torch.eye(3, dtype=angles.dtype, device=angles.device)
    return eye + sine * cross + versine * (cross @ cross)
