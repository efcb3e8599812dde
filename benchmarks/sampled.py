"""Knows what is rendered and deformed: the CC0 head with sampled people, expressions, cameras, lights and skins.

Everything is drawn by key from the seed; nothing is zero that isn't zero in life.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from torch import Tensor

from benchmarks.backends import render_round
from benchmarks.workload import MeshSet, PictureSet, Shared, Size, ViewSet, Workload
from pain3d import ActionUnits, Camera, Head, Light, paint, sample_skin, surface_maps
from pain3d.device import moved
from pain3d.head.joints import joint_transforms
from pain3d.kernels import build_mipmaps
from pain3d.kernels.rendering.relief import CHANNELS, DETAIL_START, SLOPES
from pain3d.light import LIGHTS
from pain3d.random import keyed_generator
from pain3d.rendering.heatmap import PAIN_CHANNELS, unit_displacement
from pain3d.rendering.view import GREY_BACKGROUND
from pain3d.scene import sample_expression
from pain3d.setting import (
    CAMERA_PITCH,
    CAMERA_ROLL,
    CAMERA_YAW,
    FACE_DEPTH,
    FOCAL_LENGTH,
    FRAME_CENTRE,
    FRAME_HEIGHT,
    FRAME_MM,
    NECK_PITCH,
    NECK_YAW,
)

SEED = 7
TEXTURE_SIZE = 1024  # texels a side, as in `pain3d synth`
PEOPLE_PAINTED = 4  # textures of 28 MB with their mip chain: together larger than the L2 cache of a GPU
# What a ring has to hold before an input is met again, bytes: above the last-level cache that one tenant gets.
BEYOND_CACHE = {"cpu": 32 << 20, "cuda": 128 << 20}
MOST_SETS = 16
FEWEST_SETS = 2
FOUNDERS = 64  # people drawn whose mixtures the many of a mesh set are: drawing one takes a millisecond
FACES_WITH_HEAT = 8  # displacement fields per set that are computed; the meshes share them in turn


@cache
def textures(size: int, people: int = PEOPLE_PAINTED, seed: int = SEED) -> Tensor:
    """[K, size, size, 16] painted once a session, without relief: no peer has any, and it costs us the same."""
    head = Head.default()
    maps = surface_maps(head, size)
    painted = []
    for number in range(people):
        person = head.sample_identity(seed, number)
        skin = sample_skin(seed, number, age=person.age, sex=person.sex, ancestry=person.ancestry)
        painted.append(paint(maps, skin))
    made = torch.stack(painted)
    made[..., SLOPES], made[..., DETAIL_START:] = 0, 0
    return made


@cache
def shared(device: str, texture_size: int = TEXTURE_SIZE) -> Shared:
    """What the sets share; `texture_size` 0 paints nothing."""
    head = Head.default()
    topology = head.topology
    painted = (textures(texture_size) if texture_size else torch.zeros(0, 1, 1, CHANNELS)).to(device)
    made = Shared(
        template=head.template,
        identity_basis=head.identity_basis,
        expression_basis=head.expression_basis,
        skin_joints=head.skin_joints,
        skin_weights=head.skin_weights,
        faces=topology.faces,
        adjacent_faces=topology.adjacent_faces,
        uvs=topology.uvs,
        uv_faces=topology.uv_faces,
        occlusion=topology.occlusion,
        textures=painted,
        mipmaps=build_mipmaps(painted) if texture_size else None,
        background=torch.tensor(GREY_BACKGROUND),
    )
    return moved(made, device)


def picture_workload(
    case: str, size: Size, device: str = "cpu", *, seed: int = SEED, texture_size: int = TEXTURE_SIZE
) -> Workload:
    """Inputs of the cases visibility, rasterize, render, small_views, latency, heatmaps."""
    count = ring_length(size.batch * (_bytes_of_picture_input(size) + _bytes_of_picture(case, size)), device)
    ring = tuple(moved(_view_set(size, seed, number), device) for number in range(count))
    return Workload(
        case, size, device, shared(device, 0 if case in ("visibility", "rasterize") else texture_size), ring
    )


def mesh_workload(case: str, size: Size, device: str = "cpu", *, seed: int = SEED) -> Workload:
    """Inputs of the cases deform, deform_pairs and head."""
    head = Head.default()
    per_mesh = 4 * (len(head.identity_basis) + len(head.expression_basis) + 16 * len(head.joint_parents))
    count = ring_length(size.batch * per_mesh, device)
    ring = tuple(moved(_mesh_set(size, seed, number), device) for number in range(count))
    return Workload(case, size, device, shared(device, 0), ring)


def encode_workload(size: Size, *, seed: int = SEED, texture_size: int = TEXTURE_SIZE) -> Workload:
    """Inputs of the case encode, always on the CPU: pictures of the case render."""
    count = ring_length(size.batch * 3 * size.side**2, "cpu")
    views = tuple(_view_set(size, seed, number) for number in range(count))
    drawn = Workload("encode", size, "cpu", shared("cpu", texture_size), views)
    render = render_round(drawn, None, ("image",))
    return replace(drawn, ring=tuple(PictureSet(render(number)["image"]) for number in range(count)))


def synth_workload(case: str, size: Size, device: str = "cpu") -> Workload:
    """The cases synth and synth_device have their inputs on the command line."""
    return Workload(case, size, device, shared(device, 0), (None,))


def ring_length(set_bytes: int, device: str) -> int:
    """How many sets make a ring: more than the cache holds, within `FEWEST_SETS` and `MOST_SETS`."""
    wanted = -(-BEYOND_CACHE[device] // max(1, set_bytes))
    return max(FEWEST_SETS, min(MOST_SETS, wanted))


def _bytes_of_picture(case: str, size: Size) -> int:
    """What a round writes goes through the cache too: of 512 pictures' inputs nothing is left in it."""
    per_pixel = {"visibility": 8, "rasterize": 20}.get(case, 3) + 4 * size.channels
    return per_pixel * size.side**2


def _bytes_of_picture_input(size: Size) -> int:
    meshes = size.meshes or size.batch
    return -(-len(Head.default().template) * 4 * (3 + size.channels) * meshes // size.batch)


@cache
def _people(seed: int, number: int, count: int) -> tuple[Head, Tensor, list[ActionUnits]]:
    """Coefficients [count, S] and an expression each; people are numbered through the whole ring."""
    head = Head.default()
    numbers = range(number * count, (number + 1) * count)
    identity = head.identity_vector([head.sample_identity(seed, person) for person in numbers])
    return head, identity, [sample_expression(seed, person, 1) for person in numbers]


def _view_set(size: Size, seed: int, number: int) -> ViewSet:
    meshes = size.meshes or size.batch
    head, identity, au = _people(seed, number, meshes)
    generator = keyed_generator(seed, "benchmark/views", size.batch, size.side, number)

    def spread(reach: float, count: int) -> Tensor:
        return torch.from_numpy(generator.uniform(-1, 1, count)) * reach

    turn = torch.deg2rad(torch.stack([spread(NECK_PITCH, meshes), spread(NECK_YAW, meshes), spread(2, meshes)], 1))
    vertices = head(identity, au, neck_pose=turn.float()).vertices
    count = size.batch
    focal_length = torch.from_numpy(generator.uniform(*FOCAL_LENGTH, count))
    height = torch.from_numpy(generator.uniform(*FRAME_HEIGHT, count))
    camera = Camera.orbit(
        yaw_degrees=spread(CAMERA_YAW, count),
        pitch_degrees=spread(CAMERA_PITCH, count),
        roll_degrees=spread(CAMERA_ROLL, count),
        distance=height * focal_length / FRAME_MM + FACE_DEPTH,
        fov_degrees=torch.rad2deg(2 * torch.atan(FRAME_MM / 2 / focal_length)),
        target=FRAME_CENTRE,
        size=size.side,
    )
    lights = [Light.preset(name, azimuth_degrees=azimuth) for name in LIGHTS for azimuth in (-30.0, -10.0, 10.0, 30.0)]
    lamp = torch.from_numpy(generator.integers(len(lights), size=count))
    sh, key_direction, key_colour = (
        torch.cat([getattr(light, name) for light in lights])[lamp] for name in ("sh", "key_direction", "key_colour")
    )
    heat = vertices.new_zeros(meshes, vertices.shape[1], 0)
    if size.channels:
        channels = (PAIN_CHANNELS * -(-size.channels // len(PAIN_CHANNELS)))[: size.channels]
        some = range(min(meshes, FACES_WITH_HEAT))
        moved = torch.stack([unit_displacement(head, identity[i : i + 1], au[i], channels).T for i in some])
        heat = moved[torch.arange(meshes) % len(moved)].contiguous()
    return ViewSet(
        vertices=vertices,
        mesh_index=torch.arange(count) * meshes // count,
        texture_index=(torch.arange(count) + number) % PEOPLE_PAINTED,
        world_to_clip=camera.world_to_clip.contiguous(),
        camera_position=camera.position.contiguous(),
        sh=sh,
        key_direction=key_direction,
        key_colour=key_colour,
        exposure=torch.from_numpy(generator.uniform(0.95, 1.4, count)).float(),
        heat=heat,
    )


def _mesh_set(size: Size, seed: int, number: int) -> MeshSet:
    people = size.meshes or size.batch
    head, drawn, _ = _people(seed, 0, FOUNDERS)
    generator = keyed_generator(seed, "benchmark/meshes", size.batch, number)
    first, second = torch.from_numpy(generator.integers(FOUNDERS, size=(2, people)))
    share = torch.from_numpy(generator.uniform(0, 1, (people, 1))).float()
    identity = share * drawn[first] + (1 - share) * drawn[second]
    # Real people leave a tenth of the macro shapes at 0, expressions most units: a touch of all makes the work dense.
    identity = identity + torch.from_numpy(generator.uniform(0.005, 0.02, identity.shape)).float()
    faces = size.batch // people if size.meshes else size.batch
    expression = torch.from_numpy(generator.uniform(0.02, 0.3, (faces, len(head.expression_basis)))).float()
    place = torch.arange(size.batch)
    identity_index, expression_index = (place // faces, place % faces) if size.meshes else (place, place)
    joints = len(head.joint_parents)
    axis_angle = torch.from_numpy(generator.uniform(-0.2, 0.2, (size.batch, joints, 3))).float()
    rest = (head.joints + torch.einsum("bs,sjc->bjc", identity, head.joint_basis))[identity_index]
    transforms, _ = joint_transforms(axis_angle, rest, head.joint_parents)
    coefficients = torch.cat([identity[identity_index], expression[expression_index]], 1)
    return MeshSet(
        identity=identity,
        expression=expression,
        coefficients=coefficients,
        identity_index=identity_index,
        expression_index=expression_index,
        joint_transforms=transforms.contiguous(),
        axis_angle=axis_angle,
        joints=rest,
    )
