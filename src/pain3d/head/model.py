"""The parametric head: identity + action units + pose → vertices. smplx users will know the arguments.

Longer than other files: a module names its buffers twice, for readers and for type checkers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from pain3d.device import constant
from pain3d.facs.action_units import AU_NUMBERS, SIDES, ActionUnits, stack, units_of
from pain3d.facs.rig import SIDE_NAMES, SQUEEZED, action_weights, expression_weights
from pain3d.head.ageing import local_amounts, macro_changes
from pain3d.head.assets import DEFAULT_HEAD, HeadFile, read_head
from pain3d.head.correctives import FURTHER, NARROWED, bulges, higher_meeting, lowered_tongue, squeezed
from pain3d.head.ears import laid_ears
from pain3d.head.eyelids import clear_eyes, lid_limits
from pain3d.head.foreign.conversion import PACKAGED, HeadSource
from pain3d.head.foreign.flame import Release
from pain3d.head.foreign.loading import load_foreign, says_foreign
from pain3d.head.identity import Identity, sample_identity
from pain3d.head.inputs import check_inputs
from pain3d.head.joints import joint_transforms
from pain3d.head.landmark_places import LIDS, NOSE, landmark_corners
from pain3d.head.surface_detail import detail, detail_basis, read_occlusion
from pain3d.kernels._shapes import INDICES, check_dtypes, check_indices, check_shapes
from pain3d.kernels.antialiasing import face_adjacency
from pain3d.kernels.deformation import deform, deform_pairs, planar_basis, vertex_normals
from pain3d.mesh import Mesh, Surface, Topology
from pain3d.ranges import check_kind, told

Units = ActionUnits | Mapping[str, float]
Faces = Units | Sequence[Units] | Tensor  # what expressions are told by
COVERED_OCCLUSION = 0.8  # of an ear's vertices where they carry the hair that covers it
NECK_JOINT = 1  # the head turns with it
EYES = ("left", "right")
BASES = ("identity_basis", "expression_basis", "occlusion_change", "laid_basis", "joint_basis")
SKIN_INFLUENCES = 3  # joints per vertex that are kept: torso, neck and jaw meet at the throat


class Head(nn.Module):
    """A FLAME-style head: template + identity shapes + expression shapes + linear blend skinning of five joints.

    Joints: root, neck, jaw, left eye, right eye. Right-handed, +Y up, the face looks along +Z, metres; the origin lies
    between the ears, a little below the eyes.

    A torch.nn.Module without parameters: every tensor that a call reads is a buffer and stands in its state dict, also
    what was made of others (ears under hair, limits of the lids); names and other constants are of the head file. Like
    any module it is moved in place; who moves `Head.default` moves everybody's, so `on` copies. It computes in float32,
    or once it was made double in float64, with the reference.

    Attributes:
        template: [V, 3] metres.
        identity_basis: [S, V, 3] metres per unit of coefficient.
        expression_basis: [U, V, 3] metres per unit of weight.
        joints: [J, 3] metres.
        joint_basis: [S, J, 3] metres per unit of coefficient.
        skin_joints: [V, 3] int32.
        skin_weights: [V, 3], they sum to 1.
        mirror: [V] int64, the vertex on the other side.
        landmarks: [L] int64, vertices; where one stands between vertices, one near it.
        landmark_corners: [L, 3] int64, the vertices of whose places it is the mean, see `landmark_points`.
        landmark_weights: [L, 3], they sum to 1.
        lid_landmarks: [2, 4] int64, those of lower lids, and above each of an upper one.
        region_masks: [R, V], what `regions` names.
        lid_rings: [2, 8, 28] int64, vertices around either eye: ring 0 is the seam, 1 the margin.
        closing_gap: [S, G], what an identity's lids leave open in a blink.
        faces: [F, 3] int32, counter-clockwise from outside.
        adjacent_faces: [F, 3] int32, −1 at a border.
        uvs: [T, 2], v up.
        uv_faces: [F, 3] int32.
        face_parts: [F] int32 into `part_names`.
        vertex_parts: [V] int32 into `part_names`.
        occlusion: [V] 0–1 at rest.
        occlusion_change: [A · 2, V, 3]: the last channel is what an action unit and side at weight 1 change.
        ears: [E] int64, vertices of both.
        laid_template: [1, E, 3] metres by which they lie elsewhere under hair.
        laid_basis: [S, E, 3] the same per unit of coefficient.
        ear_mask: [V] 1 on the ears, 0 elsewhere.
    """

    template: Tensor
    identity_basis: Tensor
    expression_basis: Tensor
    joints: Tensor
    joint_basis: Tensor
    skin_joints: Tensor
    skin_weights: Tensor
    mirror: Tensor
    landmarks: Tensor
    landmark_corners: Tensor
    landmark_weights: Tensor
    lid_landmarks: Tensor
    region_masks: Tensor
    lid_rings: Tensor
    closing_gap: Tensor
    faces: Tensor
    adjacent_faces: Tensor
    uvs: Tensor
    uv_faces: Tensor
    face_parts: Tensor
    vertex_parts: Tensor
    occlusion: Tensor
    occlusion_change: Tensor
    ears: Tensor
    laid_template: Tensor
    laid_basis: Tensor
    ear_mask: Tensor

    def __init__(self, path: Path, file: HeadFile | None = None, source: HeadSource = PACKAGED) -> None:
        """Read a head file. Raises HeadFileError, in one line, if it is missing or not sound.

        Args:
            path: The file.
            file: What is in it, where it was read already.
            source: Whose head it is.
        """
        super().__init__()
        self.source = source
        if file is None:
            file = read_head(path)
        arrays, meta = file.arrays, file.meta
        self.name: str = meta["name"]
        self.identity_names: tuple[str, ...] = tuple(meta["identity"])
        self.unit_names: tuple[str, ...] = tuple(meta["units"])
        self.macro_count: int = meta["macro_count"]
        self.local_sigma = arrays["local_sigma"]
        self.joint_names: tuple[str, ...] = tuple(meta["joints"])
        self.joint_parents: tuple[int, ...] = tuple(meta["joint_parents"])
        self.jaw_angle: float = meta["jaw_angle"]
        self.jaw_by_shape: bool = meta.get("jaw_by_shape", False)
        self._jaw_unit = tuple(float(name == "jawOpen") for name in self.unit_names)
        self.landmark_names: tuple[str, ...] = tuple(meta["landmarks"])
        self.region_names: tuple[str, ...] = tuple(meta["regions"])
        self.part_names: tuple[str, ...] = tuple(meta["parts"])
        count = len(self.identity_names)
        kept, joints = torch.from_numpy(arrays["skin_weights"]).topk(SKIN_INFLUENCES, dim=1)
        faces = torch.from_numpy(arrays["faces"].astype(np.int32))
        self._hold(
            template=torch.from_numpy(arrays["template"]),
            identity_basis=torch.from_numpy(file.shapes[:count]),
            expression_basis=torch.from_numpy(file.shapes[count:]),
            joints=torch.from_numpy(arrays["joints"]),
            joint_basis=torch.from_numpy(arrays["joint_basis"]),
            skin_joints=joints.to(torch.int32),
            skin_weights=kept / kept.sum(1, keepdim=True),
            mirror=torch.from_numpy(arrays["mirror"].astype(np.int64)),
            landmarks=torch.from_numpy(arrays["landmarks"].astype(np.int64)),
            region_masks=torch.from_numpy(arrays["regions"]),
            lid_rings=torch.from_numpy(arrays["lid_rings"].astype(np.int64)),
            closing_gap=torch.from_numpy(arrays["closing_gap"]),
            faces=faces,
            adjacent_faces=face_adjacency(faces),
            uvs=torch.from_numpy(arrays["uvs"]),
            uv_faces=torch.from_numpy(arrays["uv_faces"].astype(np.int32)),
            face_parts=torch.from_numpy(arrays["face_parts"].astype(np.int32)),
            vertex_parts=torch.from_numpy(arrays["vertex_parts"].astype(np.int32)),
        )
        skin = torch.nonzero(self._part("skin")).flatten()
        for side, rings in zip(EYES, self.lid_rings, strict=True):
            eye = torch.nonzero(self._part(f"{side}_eye")).flatten()
            near, least, most = lid_limits(self.template, eye, rings[0], skin if rings.numel() else skin[:0])
            self._hold(**{f"{side}_eye": eye, f"{side}_near": near, f"{side}_least": least, f"{side}_most": most})
        if meta.get("correctives", self.name == "cc0"):
            self._mend()
        of_skin = self.face_parts == self.part_names.index("skin")
        self._place_landmarks(faces[of_skin], meta.get("correctives", self.name == "cc0"))
        if not meta.get("ears_under_hair", True):
            of_skin = torch.zeros_like(of_skin)
        ears, laid_template, laid_basis = laid_ears(self.template, self.identity_basis, faces[of_skin])
        mask = torch.zeros(len(self.template))
        mask[ears] = 1
        resting, change = read_occlusion(path, self.template)
        self._hold(
            ears=ears,
            laid_template=laid_template,
            laid_basis=laid_basis,
            ear_mask=mask,
            occlusion=torch.from_numpy(arrays["occlusion"]) if resting is None else resting,
            occlusion_change=change,
        )
        self._detail: tuple[Tensor, Tensor] | None = None  # creases, and the basis that was made of them

    def _hold(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def _part(self, name: str) -> Tensor:
        """[V] whether a vertex is of a part."""
        return self.vertex_parts == self.part_names.index(name)

    @staticmethod
    @lru_cache(maxsize=1)
    def default() -> Head:
        """The packaged CC0 head (MakeHuman hm08): 5,217 vertices, 10,448 faces, 201 identity shapes."""
        return Head(DEFAULT_HEAD)

    @staticmethod
    def load(path: str | Path, release: Release | None = None) -> Head:
        """A head from a file in our format, or another maker's (docs/heads.md).

        Nothing in any file is executed. Of another maker's head a `HeadNotice` (a warning) says, before anything is
        computed, under which licence it comes and what it lacks; `source` keeps both.

        Args:
            path: The file; or a pickle of FLAME, ICT-FaceKit's folder, a folder of OBJ files with a mapping file.
            release: ``"flame-2023-open"`` for that release of FLAME, which is CC BY 4.0: files don't tell.

        Raises:
            HeadFileError: It is missing or not sound; one line.
        """
        place = Path(path)
        if says_foreign(place):
            return Head(place, *load_foreign(place, release))
        return Head(place)

    def needs(self, what: str) -> None:
        """Refuse what another maker's head has no data for. Raises ValueError, in one line, unless it is packaged."""
        if self.source.missing:
            raise ValueError(
                f"{what} needs the packaged head: {self.source.kind} lacks {', '.join(self.source.missing)}"
            )

    def on(self, device: torch.device | str) -> Head:
        """This head where it lies on the device, else a copy there: nobody else's head is moved."""
        try:
            there = self.template.to(device)
        except (RuntimeError, AssertionError) as error:  # torch says either, and what it says is a paragraph
            said = str(error).partition("\n")[0]
            raise ValueError(f"device must be one that torch has here, got {told(device)} ({said})") from error
        if there is self.template:
            return self
        return copy.deepcopy(self).to(device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """What `to`, `cuda`, `double` and their kin do; bases then lie as the device's kernels read them."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in BASES:
            basis = getattr(self, name)
            setattr(self, name, planar_basis(basis) if basis.is_cuda else basis.contiguous())
        self._detail = None
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What a copy and a pickle hold: all but what is made again when it is asked for."""
        return self.__dict__ | {"_detail": None}

    @property
    def topology(self) -> Topology:
        """What all its meshes share."""
        tables = (self.faces, self.adjacent_faces, self.uvs, self.uv_faces, self.face_parts, self.vertex_parts)
        return Topology(*tables, self.part_names, self.occlusion)

    @property
    def regions(self) -> dict[str, Tensor]:
        """Name of a region of the face → [V] bool."""
        return dict(zip(self.region_names, self.region_masks, strict=True))

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
        for person in people:
            check_kind("identity", person, Identity)
        rows = [p.coefficients(self.identity_names, self.macro_count, self.local_sigma) for p in people]
        return torch.from_numpy(np.stack(rows)).to(self.template)

    def forward(
        self,
        identity: Identity | Sequence[Identity] | Tensor | None = None,
        au: Faces | None = None,
        *,
        expression: Tensor | None = None,
        global_orient: Tensor | None = None,
        neck_pose: Tensor | None = None,
        jaw_pose: Tensor | None = None,
        leye_pose: Tensor | None = None,
        reye_pose: Tensor | None = None,
        transl: Tensor | None = None,
        surface: Surface | None = None,
        person_index: Tensor | None = None,
    ) -> Mesh:
        """Vertices of B heads. Every argument has 1 or B rows; what is left out is neutral.

        With `person_index` identity and surface have a row per person instead, 1 or P: what depends on the person alone
        (201 shapes of 268, hair and ears) is then computed once for each. The meshes are those of
        ``identity[person_index]`` and of a surface indexed likewise.

        Args:
            identity: Identity, a sequence of them, or [B, S] coefficients of the identity shapes ([P, S]).
            au: ActionUnits or a dictionary of them (``{"AU4": 3}``), a sequence of either, or [B, A, 2] intensities 0–5
                (AU43 0–1), left and right of the subject.
            expression: [B, U] weights of the expression units, added to those of `au`.
            global_orient: [B, 3] axis-angle of the whole, radians.
            neck_pose: [B, 3] axis-angle of the head against the torso, radians.
            jaw_pose: [B, 3] axis-angle of the jaw, radians, added to the opening of AU26 and AU27.
            leye_pose: [B, 3] axis-angle of the subject's left eyeball, radians.
            reye_pose: [B, 3] axis-angle of the right eyeball, radians.
            transl: [B, 3] metres.
            surface: Hair, cloth and wrinkles of 1 or B people, or P (`pain3d.skin.surface`). Growth moves each vertex
                along the person's neutral normal, by the same vector in every expression: differences between
                expressions are those of the bare skin.
            person_index: [B] int32 or int64 in ``0 … P - 1``, on the head's device: whose mesh each one is. None pairs
                rows in order.

        Returns:
            Mesh with vertices [B, V, 3] and posed joints [B, 5, 3] in metres, occlusion [B, V] that follows the
            expression, up [B, 3], the head's vertical axis, and, with a surface, wrinkles [B, V, 2].

        Gradients: to every tensor argument.

        Raises:
            ValueError: A shape, dtype or index does not fit, numbers of rows differ, or a number is not finite or is
                out of range (on the CPU; where it requires a gradient it need only be finite).
        """
        shape = self.identity_rows(identity)
        units = self.au_rows(au)
        poses = {"global_orient": global_orient, "neck_pose": neck_pose, "jaw_pose": jaw_pose,
                 "leye_pose": leye_pose, "reye_pose": reye_pose}  # fmt: skip
        own: dict[str, Tensor | None] = {"identity": shape}
        if surface is not None:
            check_kind("surface", surface, Surface)
            own |= {f"surface.{name}": getattr(surface, name) for name in ("growth", "resting", "depth", "cover")}
        rows = {"au": units, "expression": expression, "transl": transl, **poses}
        check_inputs(self.template, {"identity": shape, **rows})
        if person_index is None:
            batch = common_rows(own | rows)
        else:
            check_shapes(person_index=(person_index, "B"))
            check_dtypes(INDICES, person_index=person_index)
            check_indices("person_index", person_index, common_rows(own), "people")
            batch = common_rows({"person_index": person_index, **rows})

        def of_each(people: Tensor) -> Tensor:
            """Rows of people [1 or P, …] as rows of meshes [1 or B, …]."""
            return people if person_index is None or len(people) == 1 else people[person_index]

        if expression is not None and expression.shape[1:] != (len(self.unit_names),):
            raise ValueError(f"expression must be [B, {len(self.unit_names)}], got {list(expression.shape)}")
        for name, pose in {**poses, "transl": transl}.items():
            if pose is not None and pose.shape[1:] != (3,):
                raise ValueError(f"{name} must be [B, 3], got {list(pose.shape)}")

        weights, jaw, shut = expression_weights(units, self.unit_names)
        each = of_each(shape)
        if self.jaw_by_shape:
            weights = weights + jaw[:, None] * constant(self._jaw_unit, weights)
        weights = weights + self._lid_closing(each, shut)
        if expression is not None:
            weights = weights + expression
        people, row = distinct(shape)
        person = of_each(row)
        bodies = deform(self.template[None], self.identity_basis, people)
        meshes = max(len(person), len(weights))
        faces, face = distinct(
            torch.cat([person[:, None].to(weights).expand(meshes, 1), weights.expand(meshes, -1)], 1)
        )
        whose, moved = faces[:, 0].long(), faces[:, 1:].contiguous()
        eyes = [[getattr(self, f"{side}_{what}") for what in ("eye", "near", "least", "most")] for side in EYES]
        shaped = clear_eyes(deform(bodies, self.expression_basis, moved, template_index=whose), eyes)
        growth, grown = self._growth(bodies, people, row, surface)
        if surface is not None:
            worn = {name: of_each(getattr(surface, name)) for name in ("resting", "depth")}
            surface = replace(surface, cover=None if surface.cover is None else of_each(surface.cover), **worn)
        occlusion, wrinkles = self._detail_of(units, surface)

        still = shaped.new_zeros(batch, 3)
        angles = [still if pose is None else pose.expand(batch, 3) for pose in poses.values()]
        opening = torch.stack([jaw * self.jaw_angle, 0 * jaw, 0 * jaw], 1)
        angles[2] = angles[2] + opening.expand(batch, 3)
        rest = deform(self.joints[None], self.joint_basis, each)
        transforms, joints = joint_transforms(torch.stack(angles, 1), rest.expand(batch, -1, -1), self.joint_parents)
        pairs = (face.expand(batch), of_each(grown).expand(batch))
        skinning = (self.skin_joints, self.skin_weights, transforms.contiguous())
        vertices = deform_pairs(shaped, growth, *pairs, *skinning)
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

    if TYPE_CHECKING:  # what a module's call hands on
        __call__ = forward

    def _mend(self) -> None:
        """Add what the source of the default head leaves out (see `correctives`)."""
        edge, skin = self.lid_rings[:, 1].flatten(), self._part("skin")
        for stem, times in FURTHER.items():
            for side in SIDE_NAMES:
                self.expression_basis[self.unit_names.index(stem + side)] *= times
        for row, moved_by in bulges(self.template, self.faces, skin, edge, self.unit_names).items():
            self.expression_basis[row] += moved_by
        movable = skin | self._part("lashes")
        added = {}
        for side, sign in (("Left", 1.0), ("Right", -1.0)):
            blink = self.expression_basis[self.unit_names.index(f"eyeBlink{side}")]
            added[SQUEEZED + side] = squeezed(self.template, self.faces, blink, movable, sign)
            self.expression_basis[self.unit_names.index(f"eyeSquintLid{side}")] += NARROWED * blink
            blink += higher_meeting(self.template, blink, movable, sign)
        units = len(self.unit_names) - self.closing_gap.shape[1]  # those that close lids are the last
        self.unit_names = (*self.unit_names[:units], *added, *self.unit_names[units:])
        basis = self.expression_basis
        self.expression_basis = torch.cat([basis[:units], torch.stack(list(added.values())), basis[units:]])
        self._age(edge, skin | self._part("neck"))
        self.template = lowered_tongue(self.template, torch.nonzero(self._part("tongue")).flatten())

    def _place_landmarks(self, skin: Tensor, between: bool) -> None:
        points, faces = self.template.double().numpy(), skin.numpy().astype(np.int64)
        names = self.landmark_names if between else ()
        corners, weights = landmark_corners(points, faces, self.landmarks.numpy(), names)
        self._hold(
            landmark_corners=torch.from_numpy(corners),
            landmark_weights=torch.from_numpy(weights).to(self.template.dtype),
            lid_landmarks=torch.tensor(LIDS),
        )

    def landmark_points(self, vertices: Tensor, some: slice = slice(None)) -> Tensor:
        """Landmarks [..., L, 3] of vertices [..., V, 3] in their unit, all or some. Gradients: to vertices.

        Where lids are shut the upper one laps over the lower: the lower one's points stand as high as its edge, the
        line that is seen.
        """
        lower_lids, _ = LIDS
        with_lids = any(number in range(len(self.landmarks))[some] for number in lower_lids)
        held = slice(None) if with_lids else some  # few points of many faces cost what they are
        weights = self.landmark_weights[held, :, None].to(vertices.dtype)
        points = (vertices[..., self.landmark_corners[held], :] * weights).sum(-2)
        if not with_lids:
            return points
        base, bridge = NOSE
        up = normalize(points[..., bridge : bridge + 1, :] - points[..., base : base + 1, :], dim=-1)
        lower, upper = self.lid_landmarks
        lapped = ((points[..., lower, :] - points[..., upper, :]) * up).sum(-1, keepdim=True).clamp(min=0)
        return points.index_add(-2, lower, -lapped * up)[..., some, :]

    def _age(self, lids: Tensor, skin: Tensor) -> None:
        """Add to the macro shapes how age and sex shape faces (see `ageing`); lids still close, joints follow."""
        macros = self.identity_names[: self.macro_count]
        lips = self.landmarks[[self.landmark_names.index(f"ibug_{number}") for number in range(48, 68)]]
        sigma = torch.from_numpy(self.local_sigma)
        gained = local_amounts(self.local_names, macros) * sigma
        for basis in (self.identity_basis, self.joint_basis, self.closing_gap):
            flat = basis.flatten(1)
            flat[: len(macros)] += gained @ flat[len(macros) :]
        changes = macro_changes(self.template, self.faces, skin, (lids, lips), macros)
        for row, name in enumerate(macros):
            if name in changes:
                self.identity_basis[row] += changes[name]

    def _growth(self, bodies: Tensor, people: Tensor, person: Tensor, surface: Surface | None) -> tuple[Tensor, Tensor]:
        """What surfaces add to vertices [G, V, 3], and which of it each row of `person` or of the surface has [R].

        Ears lie under hair that covers them, the rest grows along the normals of who it is [P, V, 3] and whose surface.
        """
        if surface is None:
            return torch.zeros_like(bodies[:1]), person[:1] * 0
        cover = surface.growth.new_zeros(1) if surface.cover is None else surface.cover
        rows = max(len(person), len(cover), len(surface.growth))
        parts = (person[:, None].to(surface.growth), cover[:, None], surface.growth)
        wearers, worn = distinct(torch.cat([part.expand(rows, -1) for part in parts], 1))
        who, cover, stands_off = wearers[:, 0].long(), wearers[:, 1, None, None], wearers[:, 2:, None]
        bare = bodies[who]
        if surface.cover is None:
            return stands_off * vertex_normals(bare, self.faces), worn
        laid = torch.zeros_like(bodies)
        laid[:, self.ears] = deform(self.laid_template, self.laid_basis, people)
        laid = cover * laid[who]
        return laid + stands_off * vertex_normals(bare + laid, self.faces), worn

    def laid_ears(self) -> tuple[Tensor, Tensor]:
        """Vertices [E] of both ears, and by how much [E, 3] (m) the template's lie elsewhere under hair."""
        return self.ears, self.laid_template[0]

    def _detail_of(self, units: Tensor, surface: Surface | None) -> tuple[Tensor, Tensor | None]:
        """Occlusion and wrinkles of the expressions; the basis of a surface's creases is made once."""
        basis = self.occlusion_change
        if surface is not None:
            kept = self._detail
            if kept is None or kept[0] is not surface.creases or surface.creases.requires_grad:
                kept = self._detail = surface.creases, detail_basis(basis, surface.creases)
            basis = kept[1]
        occlusion, wrinkles = detail(basis, self.occlusion, action_weights(units), surface)
        if surface is not None and surface.cover is not None:
            occlusion = occlusion + surface.cover[:, None] * (COVERED_OCCLUSION - occlusion) * self.ear_mask
        return occlusion, wrinkles

    def save(
        self,
        path: str | Path,
        identity: Identity | None = None,
        au: ActionUnits | None = None,
        *,
        texture: Tensor | None = None,
        surface: Surface | None = None,
    ) -> tuple[Path, ...]:
        """Write a person as a GLB that other programs can move: action units are shapes, jaw, neck and eyes joints.

        Shapes are named ``AU04_L``, ``AU04_R``, …, ``AU26``, ``AU27``; a weight of 1 is intensity 5 of that unit alone.
        The weight of another intensity is `pain3d.facs.action_units.intensity_to_weight`.

        Args:
            path: Ends in ``.glb``; a file that is there is replaced.
            identity: Who; None is the template.
            au: The face that is shown when the file is opened; None is neutral.
            texture: [H, W, 16] or [1, H, W, 16] linear (`pain3d.paint`); None is clay.
            surface: Hair and cloth of the person (`pain3d.surface`).

        Returns:
            The file.

        Raises:
            RefusedError: Another ending, no folder there, a texture of another shape.
        """
        from pain3d.console.refused import RefusedError
        from pain3d.mesh_files import rig_of, save_mesh

        if Path(path).suffix.lower() != ".glb":
            raise RefusedError(
                f"{path}: a head with its action units is written as .glb; mesh.save writes .obj and .ply"
            )
        rig = rig_of(self, identity, au, surface)
        return save_mesh(Path(path), rig.neutral, texture=texture, rig=rig, credit=self.source.credit)

    def identity_rows(self, identity: Identity | Sequence[Identity] | Tensor | None) -> Tensor:
        """Coefficients [1 or B, S] of an identity, as a call takes it or [B, S]. Raises ValueError on another shape."""
        if identity is None:
            return self.template.new_zeros(1, len(self.identity_names))
        rows = identity if isinstance(identity, Tensor) else self.identity_vector(identity)
        check_inputs(self.template, {"identity": rows})
        if rows.ndim != 2 or rows.shape[1] != len(self.identity_names):
            raise ValueError(f"identity must be [B, {len(self.identity_names)}], got {list(rows.shape)}")
        return rows

    def au_rows(self, au: Faces | None) -> Tensor:
        """Intensities [1 or B, A, 2] of an au, as a call takes it or [B, A, 2]. Raises ValueError on another shape."""
        if au is None:
            return self.template.new_zeros(1, len(AU_NUMBERS), len(SIDES))
        if isinstance(au, Tensor):
            if au.shape[1:] != (len(AU_NUMBERS), len(SIDES)):
                raise ValueError(f"au must be [B, {len(AU_NUMBERS)}, {len(SIDES)}], got {list(au.shape)}")
            check_inputs(self.template, {"au": au})
            return au
        faces = list(au) if isinstance(au, Sequence) and not isinstance(au, str) else [au]
        return torch.from_numpy(stack(map(units_of, faces))).to(self.template)

    def _lid_closing(self, shape: Tensor, shut: Tensor) -> Tensor:
        """Weights [B, U] that close what an identity's lids leave open in a blink (the template's blink is closed)."""
        if not self.closing_gap.shape[1]:
            return shape.new_zeros(1, len(self.unit_names))
        gaps = pad(self.closing_gap, (0, -self.closing_gap.shape[1] % 3)).reshape(len(self.closing_gap), -1, 3)
        summed = deform(torch.zeros_like(gaps[:1]), gaps, shape).flatten(1)
        gap = summed[:, : self.closing_gap.shape[1]]
        columns = gap.shape[1] // 2
        closing = gap * shut.repeat_interleave(columns, 1)
        before = len(self.unit_names) - gap.shape[1]
        return torch.cat([closing.new_zeros(len(closing), before), closing], 1)


def common_rows(tensors: dict[str, Tensor | None]) -> int:
    """How many rows tensors have that may also have one, shared by all. Raises ValueError if they don't agree."""
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    most = max(len(tensor) for tensor in given.values())
    for name, tensor in given.items():
        if len(tensor) not in (1, most):
            raise ValueError(f"{name} must have 1 or {most} rows, got {len(tensor)}")
    return most


def distinct(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The different ones [D, N] among rows [R, N], and which of them each row is [R].

    To look on another device than the CPU would wait for it, and a choice has no gradient: there every row counts as
    different.
    """
    every = torch.arange(len(rows), device=rows.device)
    if len(rows) == 1 or rows.device.type != "cpu" or rows.requires_grad or torch.compiler.is_compiling():
        return rows, every
    found, which = torch.unique(rows, dim=0, return_inverse=True)
    return (found, which) if len(found) < len(rows) else (rows, every)
