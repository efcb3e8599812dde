"""Deformation and normals beyond the common contract."""

from __future__ import annotations

import pytest
import torch

from pain3d.kernels import deform, vertex_normals
from pain3d.kernels.deformation.example import example_inputs, example_sphere

both = pytest.mark.parametrize("backend", ["reference", "cpu"])


@both
def test_known_values(backend: str):
    template = torch.tensor([[[1.0, 0.0, 0.0]]])
    basis = torch.tensor([[[0.0, 2.0, 0.0]], [[0.0, 0.0, 3.0]]])
    coefficients = torch.tensor([[0.5, 0.0], [0.0, 1.0]])
    shaped = deform(template, basis, coefficients, backend=backend)
    assert shaped.tolist() == [[[1.0, 1.0, 0.0]], [[1.0, 0.0, 3.0]]]
    shift = torch.eye(4).repeat(2, 2, 1, 1)
    shift[:, 1, 0, 3] = 10.0
    joints, weights = torch.tensor([[0, 1]], dtype=torch.int32), torch.tensor([[0.5, 0.5]])
    posed = deform(template, basis, coefficients, joints, weights, shift, backend=backend)
    assert posed.tolist() == [[[6.0, 1.0, 0.0]], [[6.0, 0.0, 3.0]]]


@both
def test_two_calls_equal_one(backend: str):
    """Identity first, expression onto it by template_index."""
    inputs = example_inputs()
    first = deform(inputs["template"][:1], inputs["basis"][:4], inputs["coefficients"][:, :4], backend=backend)
    both_ = deform(
        first, inputs["basis"][4:], inputs["coefficients"][:, 4:], template_index=torch.arange(4), backend=backend
    )
    whole = deform(inputs["template"][:1], inputs["basis"], inputs["coefficients"], backend=backend)
    torch.testing.assert_close(both_, whole, rtol=0, atol=1e-7)  # worst seen 1.5e-8 m


def test_bytes_do_not_depend_on_threads():
    inputs = example_inputs(3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = deform(**inputs)
        torch.set_num_threads(3)
        assert torch.equal(deform(**inputs), one)
    finally:
        torch.set_num_threads(before)


def test_template_count_must_fit():
    inputs = example_inputs()
    del inputs["template_index"]
    with pytest.raises(ValueError, match=r"template must be \[1 V 3\] or \[B V 3\] without template_index"):
        deform(**inputs)
    del inputs["skin_weights"]
    with pytest.raises(ValueError, match="must be given together or not at all"):
        deform(**(inputs | {"template": inputs["template"][:1]}))


def test_index_out_of_range_raises():
    inputs = example_inputs()
    with pytest.raises(ValueError, match=r"template_index must lie in 0 … 1 \(templates\)"):
        deform(**(inputs | {"template_index": torch.tensor([0, 1, 2, 0])}))
    with pytest.raises(ValueError, match=r"skin_joints must lie in 0 … 2 \(joints\)"):
        deform(**(inputs | {"skin_joints": inputs["skin_joints"] + 1}))


@both
def test_normals_of_a_sphere_point_outwards(backend: str):
    points, faces = example_sphere(4)
    normals = vertex_normals(points.float()[None], faces, backend=backend)[0]
    # worst seen 5.4e-3: the facets of 5,120 faces
    torch.testing.assert_close(normals.double(), points, rtol=0, atol=1e-2)


@both
def test_vertices_without_a_direction_get_zero(backend: str):
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5], [2, 0, 0], [3, 0, 0], [4, 0, 0]]])
    faces = torch.tensor([[0, 1, 2], [4, 5, 6]], dtype=torch.int32)  # a face, and one without area; vertex 3 has none
    normals = vertex_normals(vertices, faces, backend=backend)[0]
    assert normals.tolist() == [[0, 0, 1]] * 3 + [[0, 0, 0]] * 4


def test_normals_have_a_gradient_even_without_a_direction():
    vertices = torch.zeros(1, 3, 3, requires_grad=True)
    vertex_normals(vertices, torch.tensor([[0, 1, 2]])).sum().backward()
    assert torch.isfinite(vertices.grad).all()
