"""What layers do to the fused `render`: to light and coverage alone, before silhouettes, whoever is in the batch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pain3d.kernels import Layers, Rendered, render
from pain3d.kernels.layering.example import example_inputs as overlay_inputs
from pain3d.kernels.rendering.example import example_inputs

ALL = Rendered._fields
BELOW = ("face_ids", "barycentrics", "depth", "attributes", "labels")  # of the mesh, with or without hair
SIZE = 40


def given() -> dict[str, Any]:
    """Four pictures of two bumpy balls, three of them under ribbons or cards."""
    hair = overlay_inputs(8, ribbons=40)
    hair["spans"] = torch.cat([hair["spans"], torch.zeros_like(hair["spans"][:1])])
    return example_inputs(SIZE) | {"layers": Layers(*[hair[name] for name in Layers._fields])}


@pytest.fixture(scope="module")
def whole() -> Rendered:
    return render(**given(), outputs=ALL, backend="cpu")


def test_the_fused_pass_gives_the_references_picture(whole: Rendered):
    slow = render(**given(), outputs=ALL, backend="reference")
    for name in ("image", "alpha", "layer_alpha"):
        off = (getattr(whole, name).int() - getattr(slow, name).int()).abs()
        assert off.max() <= 1 and (off > 0).float().mean() < 0.01, name  # worst seen: one level in 0.1 % of alpha
    torch.testing.assert_close(whole.linear, slow.linear, rtol=0, atol=5e-5)  # as `shade` differs without layers
    assert whole.layer_alpha is not None and whole.layer_alpha[:3].flatten(1).amax(1).min() > 128


def test_ids_depth_and_attributes_are_those_of_the_mesh_below(whole: Rendered):
    inputs = given() | {"layers": None}
    bare = render(**inputs, outputs=ALL, backend="cpu")
    assert all(torch.equal(getattr(whole, name), getattr(bare, name)) for name in BELOW)
    assert bare.layer_alpha is not None and not bare.layer_alpha.any()
    for name in ("image", "alpha", "linear"):  # the last picture has no layer: the same bytes
        assert torch.equal(getattr(whole, name)[3], getattr(bare, name)[3]), name
    hidden = whole.layer_alpha > 0
    assert (whole.image != bare.image)[hidden].any(-1).float().mean() > 0.9
    beside = hidden & (bare.alpha == 0)
    assert beside.any() and torch.equal(whole.alpha[beside], whole.layer_alpha[beside])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_a_picture_alone_has_the_bytes_it_has_among_others(backend: str):
    inputs = given()
    names = ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "background", "exposure")
    names += ("mesh_index", "texture_index")
    many = render(**inputs, outputs=("image", "alpha", "layer_alpha"), backend=backend)
    for n in (0, 2):
        alone = inputs | {name: inputs[name][n : n + 1] for name in names}
        alone["layers"] = inputs["layers"]._replace(spans=inputs["layers"].spans[n : n + 1])
        one = render(**alone, outputs=("image", "alpha", "layer_alpha"), backend=backend)
        assert torch.equal(one.image[0], many.image[n]) and torch.equal(one.layer_alpha[0], many.layer_alpha[n])
        assert torch.equal(one.alpha[0], many.alpha[n])


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_no_background_shines_through_between_a_silhouette_and_what_lies_behind_it(backend: str):
    inputs = given()
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    back = torch.nn.functional.normalize(inputs["camera_position"][:1])
    right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([[0.0, 1, 0]]), back))
    up = torch.linalg.cross(back, right)
    behind = Layers(  # a wall behind the ball, square to the view, all over the picture
        corners @ torch.cat([right, up, back]) - 0.3 * back, torch.zeros(4, 3), up.expand(4, 3), back.expand(4, 3),
        torch.full((4, 3), 0.5), torch.ones(4), torch.ones(4), torch.full((4, 2), 0.5),
        torch.tensor([[0, 1, 2], [0, 2, 3]]), torch.zeros(2, dtype=torch.int64), torch.tensor([[0, 4, 0, 2]]),
        torch.ones(1, 1, 1, 4),
    )  # fmt: skip
    one = {name: inputs[name][:1] for name in ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour")}
    one |= {name: inputs[name][:1] for name in ("exposure", "mesh_index", "texture_index")} | {"layers": behind}
    inputs |= one
    del inputs["background"]
    dark, bright = (
        render(**inputs, background=torch.full((1, 1, 1, 3), light), outputs=("image", "alpha"), backend=backend)
        for light in (0.0, 1.0)
    )
    assert torch.equal(dark.image, bright.image) and (dark.alpha == 255).all()


def test_gradients_reach_layers_through_the_reference_alone():
    inputs = given()
    tint = inputs["layers"].tint.clone().requires_grad_()
    inputs["layers"] = inputs["layers"]._replace(tint=tint)
    render(**inputs, outputs=("linear",)).linear[..., :3].sum().backward()
    assert (tint.grad > 0).any() and torch.isfinite(tint.grad).all()
    with pytest.raises(RuntimeError, match="render with layers can't run backend 'cpu': an input requires a gradient"):
        render(**inputs, outputs=("linear",), backend="cpu")
    with pytest.raises(ValueError, match="render with layers has no backend 'triton'"):
        render(**inputs, backend="triton")
    with pytest.raises(ValueError, match=r"spans must be \[B 4\], got \[3, 4\]"):
        render(**(inputs | {"layers": inputs["layers"]._replace(spans=inputs["layers"].spans[:3])}))
