"""`pain3d.render` hands gradients on, to everything that a picture is made of, and remembers none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import pain3d
from pain3d.rendering.renderer import Renderer

HEAD = pain3d.Head.default()


def leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


@pytest.mark.parametrize("output", ["linear", "image", "depth", "attributes"])
def test_gradients_flow_to_what_is_given(output: str) -> None:
    camera = pain3d.Camera.orbit(yaw_degrees=10.0, size=24)
    camera = replace(camera, world_to_view=leaf(camera.world_to_view), fov_degrees=leaf(camera.fov_degrees))
    light = pain3d.Light.preset("studio")
    light = replace(
        light, **{name: leaf(getattr(light, name)) for name in ("sh", "key_direction", "key_colour", "exposure")}
    )
    mesh = HEAD()
    weights = torch.full((1, mesh.vertices.shape[1], 2), 0.1)
    mesh = replace(
        mesh, vertices=leaf(mesh.vertices), occlusion=leaf(mesh.occlusion), wrinkles=leaf(weights), up=leaf(mesh.up)
    )
    texture = 0.2 + 0.3 * torch.rand(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    texture, background = leaf(texture), leaf(torch.full((1, 2, 2, 3), 0.3))
    attributes = leaf(mesh.vertices)
    view = pain3d.render(
        mesh, camera, light=light, texture=texture, background=background, attributes=attributes, outputs=(output,),
        image_dtype="float32",
    )  # fmt: skip
    getattr(view, output).nan_to_num(posinf=0.0).square().sum().backward()
    geometry = [mesh.vertices, camera.world_to_view, camera.fov_degrees]
    lit = [
        mesh.occlusion,
        mesh.wrinkles,
        mesh.up,
        light.sh,
        light.key_direction,
        light.key_colour,
        light.exposure,
        texture,
        background,
    ]
    reached = geometry + ([attributes] if output == "attributes" else lit if output in ("linear", "image") else [])
    for tensor in reached:
        assert tensor.grad is not None and torch.isfinite(tensor.grad).all() and tensor.grad.abs().max() > 0


def test_no_gradient_ends_in_silence() -> None:
    """Bytes have none: who wants one is told, and how to get it; depth and attributes hand theirs on, see above."""
    mesh, camera = HEAD(), pain3d.Camera.orbit(size=8)
    moved, lit = replace(mesh, vertices=leaf(mesh.vertices)), pain3d.Light.preset("studio")
    message = r"^image and alpha of bytes can't hand on the gradient that mesh\.vertices requires: ask for outputs="
    with pytest.raises(ValueError, match=message):
        pain3d.render(moved, camera)
    with pytest.raises(ValueError, match=r"^image of bytes can't hand on the gradient that light\.exposure requires"):
        pain3d.render(mesh, camera, light=replace(lit, exposure=leaf(lit.exposure)), outputs=("image",))
    with pytest.raises(ValueError, match=r"^image of bytes can't hand on the gradient that mesh\.vertices requires"):
        Renderer(size=8)(camera, au=torch.ones_like(HEAD.au_rows(None)).requires_grad_())
    with torch.no_grad():
        assert pain3d.render(moved, camera).image is not None
    assert pain3d.render(moved, camera, outputs=("face_ids", "part_ids")).face_ids is not None
    seen = pain3d.render(moved, camera, outputs=("image", "linear"))
    assert seen.linear is not None and seen.linear.requires_grad


def test_a_camera_is_remembered_without_its_graph() -> None:
    mesh, camera = HEAD(), pain3d.Camera.orbit(yaw_degrees=10.0, size=16)
    plain = pain3d.render(mesh, camera, outputs=("depth",)).depth  # now it is remembered
    camera.fov_degrees.requires_grad_()
    for _ in range(2):  # a second backward through a graph that was kept would raise
        camera.fov_degrees.grad = None
        depth = pain3d.render(mesh, camera, outputs=("attributes", "depth"), attributes=mesh.vertices)
        depth.attributes.sum().backward()
        assert camera.fov_degrees.grad is not None and camera.fov_degrees.grad.abs() > 0
    with torch.no_grad():
        still = pain3d.render(mesh, camera, outputs=("depth",)).depth
    assert still is not None and plain is not None and torch.equal(still, plain) and not still.requires_grad


def test_a_renderer_is_differentiable_to_action_units_and_pose() -> None:
    renderer = Renderer(size=24, outputs=("linear", "image", "heatmap"), image_dtype="float32")
    au = torch.full_like(HEAD.au_rows(None), 0.5).requires_grad_()
    neck = torch.tensor([[0.1, 0.2, 0.0]], requires_grad=True)
    view = renderer(pain3d.Camera.orbit(), au=au, pose={"neck_pose": neck})
    for name in renderer.outputs:
        gradients = torch.autograd.grad(getattr(view, name).square().sum(), (au, neck), retain_graph=True)
        for gradient in gradients:
            assert torch.isfinite(gradient).all() and gradient.abs().max() > 0, name
