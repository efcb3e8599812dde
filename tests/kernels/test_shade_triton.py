"""What only shading on a GPU promises: as close to the formula as float32 allows, for any shape and at the extremes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pain3d.kernels import shade
from pain3d.kernels.shading.example import example_inputs
from pain3d.kernels.shading.kernel import launch_shade
from pain3d.kernels.shading.reference import MIN_COSINE, MIN_ROUGHNESS, Lights, SurfacePoints, unit
from pain3d.kernels.shading.triton_op import NAMES
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
POINTWISE = ("albedo", "normal", "view_direction", "occlusion", "specular", "roughness", "scatter")


def roundings(**inputs: Tensor) -> Tensor:
    """Return how many roundings of float32 lie between the light and the formula: see `assert_follows_the_formula`.

    0 where the eye is opposite to the light: half of both has no direction there, and no float has n·h.
    """
    exact = {name: tensor.double() for name, tensor in inputs.items()}
    light = shade(**exact)
    gloss = shade(**(exact | {name: torch.zeros_like(exact[name]) for name in ("sh", "albedo")}))
    middle = (1,) * (light.dim() - 2)
    key = exact["key_direction"].view(-1, *middle, 3)
    n, v = unit(exact["normal"]), unit(exact["view_direction"])
    alpha = exact["roughness"].clamp(MIN_ROUGHNESS, 1)[..., None] ** 2
    half = key + v
    n_h = (n * unit(half)).sum(-1, keepdim=True).clamp(0, 1)
    spread = 1 - n_h * n_h * (1 - alpha * alpha)
    n_l, n_v = ((n * other).sum(-1, keepdim=True).clamp(min=MIN_COSINE) for other in (key, v))
    condition = 1 / spread / half.norm(dim=-1, keepdim=True).clamp(min=1e-6) + 1 / n_l + 1 / n_v
    found = shade(**inputs, backend="triton").double()
    opposite = half.norm(dim=-1, keepdim=True) < 1e-5  # 100 roundings of a unit vector
    return torch.where(opposite, 0, (found - light).abs() / (2.0**-24 * (1 + light + gloss * condition)))


def assert_follows_the_formula(**inputs: Tensor) -> None:
    """Light of about 1, but for the gloss.

    Its lobe divides by spread² = (1 - (n·h)² (1 - a²))², so one rounding of n·h grows by 1 / spread in it, one of h by
    1 / |l + v|, of n·l and n·v by their inverse: whoever computes in float32, the reference too.
    """
    # worst seen 27 in the interpreter (24 with the reference in float32), 74 with random errors on roots and divisions:
    # `rsqrt.approx` is off by up to 2^-22.9 of its value, `div.full` by two units in the last place
    assert (roundings(**inputs) < 150).all()


def to_device(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.to(DEVICE) for name, tensor in inputs.items()}


@settings(max_examples=25)
@given(
    points=st.integers(1, 700),
    spread=st.sampled_from([1.0, 4.0]),
    smooth=st.booleans(),
    seed=st.integers(0, 999),
)
def test_any_number_of_points_follows_the_formula(points: int, spread: float, smooth: bool, seed: int):
    """Normals and eyes about the light, then in all directions; roughness 0.1 to 0.9, then from 0."""
    inputs = example_inputs(points, seed=seed)
    toward = torch.tensor([0.0, 0.0, 1.0])
    for name in ("normal", "view_direction"):
        inputs[name] = toward + spread * (inputs[name] - toward)
    if smooth:
        inputs["roughness"] = inputs["roughness"] - 0.1
    assert_follows_the_formula(**to_device(inputs))


def test_lobes_of_a_rough_surface_are_as_good_as_the_rest():
    """Without the lobe's growth of roundings: close to the float64 reference itself."""
    inputs = example_inputs(500, DEVICE)
    inputs["roughness"] = 0.5 + 0.5 * inputs["roughness"]
    exact = shade(**{name: tensor.double() for name, tensor in inputs.items()})
    # worst seen 2.0e-7, interpreter, for light of at most 0.81; 3.9e-7 with the errors of a GPU's roots and divisions
    torch.testing.assert_close(shade(**inputs, backend="triton").double(), exact, rtol=0, atol=2e-6)


@pytest.mark.parametrize("middle", [(), (1,), (7,), (3, 5), (2, 3, 4), (0,), (4, 0)])
def test_dimensions_in_the_middle_are_free(middle: tuple[int, ...]):
    flat = example_inputs(24, DEVICE)
    count = 1
    for size in middle:
        count *= size
    shaped = dict(flat)
    for name in POINTWISE:
        shaped[name] = flat[name][:, :count].reshape(2, *middle, *flat[name].shape[2:])
    found = shade(**shaped, backend="triton")
    assert found.shape == (2, *middle, 3)
    assert torch.equal(found.reshape(2, count, 3), shade(**flat, backend="triton")[:, :count])


def test_every_image_has_its_own_lights():
    inputs = example_inputs(40, DEVICE)
    turned = {name: tensor.flip(0) if name in POINTWISE else tensor for name, tensor in inputs.items()}
    other = {name: tensor if name in POINTWISE else tensor.flip(0) for name, tensor in inputs.items()}
    assert torch.equal(shade(**turned, backend="triton").flip(0), shade(**other, backend="triton"))
    assert not torch.equal(shade(**inputs, backend="triton"), shade(**other, backend="triton"))


def test_extremes_stay_finite_and_follow_the_formula():
    """Zero normals and eyes, roughness out of range, eye opposite to the light or behind, no light."""
    inputs = example_inputs(64, DEVICE)
    inputs["normal"][:, :8] = 0
    inputs["normal"][:, 8:12] *= 1e-12
    inputs["normal"][:, 12:16] *= 1e12
    inputs["view_direction"][:, 16:20] = 0
    inputs["view_direction"][:, 20:28] *= -1
    inputs["view_direction"][:, 28] = -inputs["key_direction"]
    inputs["normal"][:, 29] = -inputs["key_direction"]
    inputs["view_direction"][:, 30] = inputs["normal"][:, 30] = inputs["key_direction"]
    for value, start in ((0.0, 32), (-1.0, 40), (7.0, 48)):
        inputs["roughness"][:, start : start + 8] = value
    inputs["sh"][:, 0] = -3  # a sky that takes light away: clamped
    found = shade(**inputs, backend="triton")
    assert torch.isfinite(found).all() and (found >= 0).all()
    assert_follows_the_formula(**inputs)
    inputs["sh"].zero_()
    inputs["key_colour"].zero_()
    assert not shade(**inputs, backend="triton").any()


def test_any_block_gives_the_same_bits_and_writes_no_further():
    inputs = example_inputs(75, DEVICE)
    expected = shade(**inputs, backend="triton")
    for block in (32, 64, 1024):
        memory = torch.full((2 * 75 * 3 + 600,), -7.0, device=DEVICE)
        light = memory[300:-300].view(2, 75, 3)
        points, lights = (kind(*(inputs[name] for name in kind._fields)) for kind in (SurfacePoints, Lights))
        launch_shade(points, lights, light, block=block)
        assert torch.equal(light, expected)
        assert (memory[:300] == -7).all() and (memory[-300:] == -7).all()


def test_strides_of_every_kind():
    inputs = example_inputs(30, DEVICE)
    expected = shade(**inputs, backend="triton")
    backwards = {
        name: tensor.permute(*reversed(range(tensor.dim()))).contiguous().permute(*reversed(range(tensor.dim())))
        for name, tensor in inputs.items()
    }
    assert torch.equal(shade(**backwards, backend="triton"), expected)
    single = {name: tensor[:1] for name, tensor in inputs.items()}
    shared = {name: tensor[:1].expand(3, *tensor.shape[1:]) for name, tensor in inputs.items()}
    assert torch.equal(
        shade(**shared, backend="triton"), shade(**single, backend="triton").expand(3, -1, -1).contiguous()
    )


def test_custom_op_is_registered_soundly():
    inputs = example_inputs(5, DEVICE)
    shade(**inputs, backend="triton")
    torch.library.opcheck(torch.ops.pain3d.shade.default, tuple(inputs[name] for name in NAMES))


def test_double_precision_is_the_references():
    inputs = example_inputs(4, DEVICE, torch.float64)
    assert torch.equal(shade(**inputs), shade(**inputs, backend="reference"))
    with pytest.raises(ValueError, match=r"shade has no backend 'triton' \(available: reference\)"):
        shade(**inputs, backend="triton")
