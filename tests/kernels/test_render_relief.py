"""Relief, scatter and detail layers of the fused render: closed forms, and what must change nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import render
from pain3d.kernels.rendering.example import example_inputs, example_scene
from pain3d.kernels.rendering.reference import render_linear_reference
from pain3d.kernels.rendering.relief import BLOOD_TINT, CHANNELS, DETAIL_START, SLOPES, detailed, tilted
from pain3d.kernels.shading.reference import unit
from tests.kernels.rooms import device_of

BACKENDS = ("cpu", "reference", "triton")
SCATTER, SHADE, BLOOD = 7, DETAIL_START + 2, DETAIL_START + 3
numbers = st.floats(-3, 3)
vectors = st.tuples(numbers, numbers, numbers).map(lambda v: torch.tensor(v, dtype=torch.float64))


def inputs_of(backend: str, size: int = 20, **changes: Any) -> dict[str, Any]:
    """Small where the interpreter runs."""
    small = {"batch": 2, "subdivisions": 2 if backend == "triton" else 3}
    return example_inputs(size, device_of(backend), **(small | changes))


def picture(inputs: dict[str, Any], backend: str) -> Tensor:
    image = render(**inputs, backend=backend).image
    assert image is not None
    return image.int()


def constant(values: list[float], like: Tensor) -> Tensor:
    """A texture of one texel."""
    return torch.tensor(values, dtype=like.dtype, device=like.device).expand(len(like), 1, 1, CHANNELS).contiguous()


@given(vectors, vectors, numbers, numbers)
def test_a_slope_tilts_the_normal_along_the_tangents(n: Tensor, up: Tensor, along: float, rise: float):
    n, up = unit(n + torch.tensor([0.0, 0.0, 10.0])), unit(up + torch.tensor([0.0, 10.0, 0.0]))
    t = torch.linalg.cross(up, n)
    b = torch.linalg.cross(n, t)
    found = tilted(3 * n, up, torch.tensor([along, rise], dtype=torch.float64))
    torch.testing.assert_close(found, n + along * t + rise * b, rtol=0, atol=1e-12)
    assert torch.equal(tilted(n, up, torch.zeros(2, dtype=torch.float64)), unit(n))
    # at the pole of up both tangents are 0, so nothing is singular
    still = tilted(up, up, torch.tensor([along, rise], dtype=torch.float64))
    torch.testing.assert_close(still, up, rtol=0, atol=1e-12)


def test_slopes_of_a_height_give_the_normal_of_the_raised_surface():
    """A plane that faces +Z under waves: x is the horizontal tangent, y the vertical one."""
    x, y = torch.rand(2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 6
    down_x, down_y = -0.3 * torch.cos(x) * torch.cos(y), 0.3 * torch.sin(x) * torch.sin(y)  # of h = 0.3 sin x cos y
    found = tilted(
        torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(100, 3),
        torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64),
        torch.stack([down_x, down_y], -1),
    )
    one = torch.stack([torch.ones_like(x), torch.zeros_like(x), -down_x], -1)
    other = torch.stack([torch.zeros_like(x), torch.ones_like(x), -down_y], -1)
    torch.testing.assert_close(unit(found), unit(torch.linalg.cross(one, other)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tilted_slope_equals_a_tilted_normal(backend: str):
    """A flat square of one slope looks as one that is turned by it: matt, and lit by the key alone."""
    inputs = inputs_of(backend, batch=1, meshes=1, textures=1)
    corners = 0.4 * torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    flat = {
        "vertices": corners[None], "uvs": corners[:, :2] + 0.5, "faces": faces, "uv_faces": faces,
        "adjacent_faces": torch.tensor([[-1, -1, 1], [0, -1, -1]]), "occlusion": torch.ones(1, 4),
        "detail_weights": torch.zeros(1, 4, 2), "up": torch.tensor([[0.0, 1.0, 0.0]]),
        "camera_position": torch.tensor([[0.0, 0.0, 100.0]]),  # of the shading: the same vector to the eye everywhere
        "sh": torch.zeros(1, 9, 3), "key_direction": torch.tensor([[0.8, 0.0, 0.6]]),
    }  # fmt: skip
    inputs |= {name: tensor.to(inputs["vertices"].device) for name, tensor in flat.items()}
    del inputs["attributes"], inputs["face_labels"]
    slope = (0.35, -0.2)
    matt = [0.5, 0.4, 0.3, 0.0, 0.5, 0.0, 0.0, 0.7] + [0.0] * 8
    sloped = constant([*matt[:5], *slope, *matt[7:]], inputs["texture"])
    found = picture(inputs | {"texture": sloped}, backend)
    # n · l is the same where the light turns instead of the normal
    n = torch.tensor([*slope, 1.0]) / (1 + slope[0] ** 2 + slope[1] ** 2) ** 0.5
    axis = torch.linalg.cross(n, torch.tensor([0.0, 0.0, 1.0]))
    cosine = n[2]
    key = inputs["key_direction"][0].cpu()
    turned = key * cosine + torch.linalg.cross(axis, key) + axis * (axis @ key) / (1 + cosine)
    plain = constant(matt, inputs["texture"])
    expected = picture(inputs | {"texture": plain, "key_direction": turned[None].to(found.device)}, backend)
    assert (found - expected).abs().max() <= 1  # worst seen 0
    assert (picture(inputs | {"texture": plain}, backend) - expected).abs().max() > 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_that_nobody_wears_change_no_byte(backend: str):
    inputs = inputs_of(backend)
    inputs["detail_weights"] = torch.zeros_like(inputs["detail_weights"])
    expected = picture(inputs, backend)
    bare = inputs["texture"].clone()
    bare[..., DETAIL_START:] = 0
    assert torch.equal(picture(inputs | {"texture": bare}, backend), expected)
    assert torch.equal(picture({**inputs, "detail_weights": None}, backend), expected)
    # weights too small to be seen take the other way through the code
    assert torch.equal(picture({**inputs, "detail_weights": inputs["detail_weights"] + 1e-30}, backend), expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_slopes_up_changes_nothing(backend: str):
    inputs = inputs_of(backend)
    smooth = inputs["texture"].clone()
    smooth[..., SLOPES] = 0
    for layer in (0, 4):
        smooth[..., DETAIL_START + layer : DETAIL_START + layer + 2] = 0
    inputs["texture"] = smooth
    assert torch.equal(picture(inputs, backend), picture({**inputs, "up": None}, backend))
    inputs = inputs_of(backend)
    assert (picture(inputs, backend) - picture({**inputs, "up": None}, backend)).abs().max() > 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_worn_alike_everywhere_are_part_of_the_base(backend: str):
    """Slopes are sums: with the same weights on every vertex they may as well stand in the base."""
    inputs = inputs_of(backend)
    worn = torch.tensor([0.7, 0.4], device=inputs["vertices"].device)
    inputs["texture"][..., [SHADE, BLOOD, SHADE + 4, BLOOD + 4]] = 0
    base = inputs["texture"].clone()
    base[..., SLOPES] += worn[0] * base[..., 8:10] + worn[1] * base[..., 12:14]
    base[..., DETAIL_START:] = 0
    found = picture({**inputs, "detail_weights": worn.expand_as(inputs["detail_weights"])}, backend)
    difference = (found - picture({**inputs, "texture": base, "detail_weights": None}, backend)).abs()
    assert difference.max() <= 1 and (difference > 0).float().mean() < 5e-3  # worst seen 1 level


@given(st.floats(-2, 3), st.floats(-4, 4))
def test_shade_and_blood(shade: float, blood: float):
    texels = torch.full((CHANNELS,), 0.5, dtype=torch.float64)
    texels[DETAIL_START:] = torch.tensor([0.0, 0.0, shade, blood, 9.0, 9.0, 9.0, 9.0], dtype=torch.float64)
    albedo, specular, _ = detailed(texels, torch.tensor([1.0, 0.0], dtype=torch.float64))
    left = 1 - min(max(shade, 0.0), 1.0)
    expected = [0.5 * left * max(1 - tint * blood, 0.0) for tint in BLOOD_TINT]
    torch.testing.assert_close(albedo, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)
    assert specular == 0.5 * left
    if blood >= 0:
        assert albedo[0] >= albedo[2] >= albedo[1]  # red stays, green goes first


def test_gradients_of_the_relief_equal_finite_differences():
    inputs = example_inputs(10, dtype=torch.float64, batch=2, subdivisions=1, texture_size=8)
    inputs["texture"][..., [SHADE, SHADE + 4]] *= 0.2  # their sum stays within 0 … 1, away from the bends
    inputs["detail_weights"] += 0.1
    scene = example_scene(inputs)
    names = ("occlusion", "detail_weights", "up")
    leaves = [inputs[name].clone().requires_grad_() for name in names]
    chain = scene.texture.texels.clone().requires_grad_()

    def call(chain: Tensor, *values: Tensor) -> Tensor:
        meshes = scene.meshes._replace(**dict(zip(names, values, strict=True)))
        changed = scene._replace(meshes=meshes, texture=scene.texture._replace(texels=chain))
        return render_linear_reference(changed)[0]

    assert torch.autograd.gradcheck(call, [chain, *leaves], eps=1e-6, atol=1e-6, rtol=1e-4, fast_mode=True)
    call(chain, *leaves).sum().backward()
    for leaf in (chain, *leaves):
        assert leaf.grad is not None and leaf.grad.abs().max() > 0


def test_scatter_lets_light_past_the_terminator():
    inputs = inputs_of("cpu", 40)
    inputs["sh"] = torch.zeros_like(inputs["sh"])
    inputs["texture"][..., SLOPES], inputs["texture"][..., DETAIL_START:] = 0, 0
    hard, soft = inputs["texture"].clone(), inputs["texture"].clone()
    hard[..., SCATTER], soft[..., SCATTER] = 0, 1
    dark, lit = picture(inputs | {"texture": hard}, "cpu"), picture(inputs | {"texture": soft}, "cpu")
    shadow = (dark.amax(-1) == 0) & (lit.amax(-1) > 0)
    assert shadow.sum() > 20
    assert (lit[shadow].float().mean(0).diff() < 0).all()  # red, green, blue
