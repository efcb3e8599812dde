"""Nonsense in public functions: refused in one line that names the argument, and no picture is made of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import pain3d
from pain3d.data import SampledScenes
from pain3d.scene import CELLS, CameraSetting, LightSetting, Pose, Scene, Sensor

NAN, INF = float("nan"), float("inf")
NO_NUMBERS = (NAN, INF, -INF, None, "\x1b[31m\n", [], {}, b"\0", object(), 10**400, 10**5000, torch.tensor(NAN))
NO_ROWS = (NAN, 1, None, "x", np.full(3, NAN), torch.zeros(0), torch.full((1, 3), NAN), torch.tensor(NAN), object())
HOLLOW = ("name", "hair_style")  # fields that are words


def numbers_of(kind: type) -> list[str]:
    return [field.name for field in dataclasses.fields(kind) if field.name not in HOLLOW]


def refused(call: Callable[[], Any], name: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    said = str(error.value)
    assert name in said and "\n" not in said and "\x1b" not in said and len(said) < 250, said


@pytest.mark.parametrize("kind", [pain3d.Identity, CameraSetting, Pose, LightSetting, Sensor])
def test_a_record_of_numbers(kind: type) -> None:
    for name in numbers_of(kind):
        for bad in NO_NUMBERS:
            if not (name == "local" and isinstance(bad, (list, dict))):  # which holds any number of them
                refused(lambda bad=bad, name=name: kind(**{name: bad}), name)  # type: ignore[misc]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return pain3d.sample_scenes(seed=0, identity_id=0, cell=CELLS[0], expressions=0, views=1, size=8)[0]


def test_a_scene(scene: Scene) -> None:
    for field in dataclasses.fields(Scene):
        if field.name != "texture":
            for bad in (*NO_NUMBERS, -1.5):
                if not (field.name == "noise_id" and bad is None):  # the noise of its own expression
                    refused(lambda bad=bad, name=field.name: dataclasses.replace(scene, **{name: bad}), field.name)  # type: ignore[misc]


def test_cameras_and_lights() -> None:
    camera, light = pain3d.Camera.orbit(size=8), pain3d.Light.preset()
    for record in (camera, light):
        for field in dataclasses.fields(record):
            for bad in NO_ROWS if field.name != "size" else (NAN, None, "x", 0, 10**9, (8, 8, 8), torch.tensor(NAN)):
                if bad is None and field.name in ("key_size", "distortion"):  # no shadows, pinholes
                    continue
                refused(lambda r=record, b=bad, n=field.name: dataclasses.replace(r, **{n: b}), field.name)  # type: ignore[misc]
    for name in ("yaw_degrees", "pitch_degrees", "distance", "fov_degrees", "target", "size"):
        for bad in (*NO_NUMBERS, [NAN] * 3, torch.full((2, 3), NAN)):
            refused(lambda bad=bad, name=name: pain3d.Camera.orbit(**{name: bad}), name)  # type: ignore[misc]
    turned = dataclasses.replace(camera, world_to_view=torch.full((1, 4, 4), 1e38))
    with pytest.raises(ValueError, match=r"^world_to_view must be .* got nan$"):
        dataclasses.replace(turned, world_to_view=torch.full((1, 4, 4), NAN))
    with pytest.raises(ValueError, match=r"^fov_degrees must be in 0..180, got -1$"):
        dataclasses.replace(camera, fov_degrees=torch.tensor([-1.0]))
    with pytest.raises(ValueError, match=r"^key_colour must have 1 rows like sh, got 2$"):
        dataclasses.replace(light, key_colour=torch.zeros(2, 3))


def calls() -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Arguments that are no numbers, with a call of each."""
    head, mesh = pain3d.Head.default(), pain3d.Head.default()()
    camera = pain3d.Camera.orbit(size=8)
    poses = ("expression", "global_orient", "neck_pose", "jaw_pose", "leye_pose", "reye_pose", "transl")
    for name in (*poses, "surface", "person_index"):
        yield name, lambda bad, name=name: head(**{name: bad})  # type: ignore[misc]
    for name in ("mesh", "cameras", "light"):
        yield name, lambda bad, name=name: pain3d.render(**({"mesh": mesh, "cameras": camera} | {name: bad}))  # type: ignore[misc]
    yield "coefficients", pain3d.ActionUnits.from_arkit
    yield "row", pain3d.ActionUnits.from_openface
    sampled = {"seed": 0, "identity_id": 0, "cell": CELLS[0], "expressions": 0, "views": 1, "size": 8}
    for name in (*sampled, "asymmetry", "quality", "co_occurring", "cameras"):
        yield name, lambda bad, name=name: pain3d.sample_scenes(**sampled | {name: bad})  # type: ignore[misc]
    for name in ("length", "size", "per_person", "neutral_share", "law"):
        yield name, lambda bad, name=name: SampledScenes(**({"length": 1} | {name: bad}))  # type: ignore[misc]
    yield "seed", lambda bad: SampledScenes(1, seed=bad)
    yield "identities", lambda bad: pain3d.demographic_grid(bad, 0)
    yield "identity_id", lambda bad: head.sample_identity(0, bad)


@pytest.mark.parametrize(("name", "call"), [*calls()])
def test_an_argument_of_another_kind(name: str, call: Callable[[Any], Any]) -> None:
    for bad in (NAN, "\x1b[31m\n", object(), -(10**5000)):
        refused(lambda bad=bad: call(bad), name)  # type: ignore[misc]


def test_too_many_take_no_memory() -> None:
    for call in (
        lambda: SampledScenes(1, per_person=10**9),
        lambda: pain3d.sample_scenes(seed=0, identity_id=0, cell=CELLS[0], expressions=10**9),
        lambda: pain3d.sample_scenes(seed=0, identity_id=0, cell=CELLS[0], views=10**9),
        lambda: pain3d.Camera.orbit(size=10**6),
        lambda: pain3d.Renderer(size=10**6),
    ):
        with pytest.raises(ValueError, match=r"must be "):
            call()


def test_nonsense_in_tensors_is_named_before_pixels() -> None:
    """What a batch of tensors holds is looked at where it is told by name; what is in a mesh is dropped (kernels)."""
    head = pain3d.Head.default()
    with pytest.raises(ValueError, match=r"^identity must be finite, got nan$"):
        head(torch.full((1, len(head.identity_names)), NAN))
    mesh = head()
    broken = dataclasses.replace(mesh, vertices=torch.full_like(mesh.vertices, NAN))
    assert not pain3d.render(broken, pain3d.Camera.orbit(size=8)).alpha.any()
