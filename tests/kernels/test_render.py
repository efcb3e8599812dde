"""The fused render against its definition, and its independence of batch, threads and what else is asked for."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from pain3d.kernels import Rendered, build_mipmaps, encode_srgb, render, tone_map
from pain3d.kernels.rendering.colour import SRGB_EDGES
from pain3d.kernels.rendering.cpu import encode_light
from pain3d.kernels.rendering.example import example_camera, example_inputs

ALL = Rendered._fields


@pytest.mark.parametrize(("seed", "texture_size"), [(0, 32), (1, 128), (2, 1)])
def test_parity_of_the_backends(seed: int, texture_size: int):
    inputs = example_inputs(72, seed=seed, texture_size=texture_size)
    fast, slow = (render(**inputs, outputs=ALL, backend=backend) for backend in ("cpu", "reference"))
    assert torch.equal(fast.face_ids, slow.face_ids)
    difference = (fast.image.int() - slow.image.int()).abs()
    # One byte level wherever light falls on a rounding edge: worst seen 1 level in 1 of 119,808 bytes at 96 px. No ties
    # at silhouettes: both backends walk the same integers.
    assert difference.max() <= 1
    assert (difference > 0).float().mean() < 1e-3
    assert (fast.alpha.int() - slow.alpha.int()).abs().max() <= 1
    # linear: worst seen 4e-6 at a narrow gloss, which enlarges every rounding (README of `shade`)
    torch.testing.assert_close(fast.linear, slow.linear, rtol=0, atol=5e-5)
    for name in ("barycentrics", "attributes"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), rtol=0, atol=2e-6)  # worst seen 2e-7
    torch.testing.assert_close(fast.depth, slow.depth, rtol=1e-6, atol=0)


def test_the_picture_is_neither_empty_nor_flat():
    inputs = example_inputs(64)
    rendered = render(**inputs, outputs=ALL)
    covered = rendered.face_ids >= 0
    assert 0.2 < covered.float().mean() < 0.8
    assert rendered.image[covered].float().std() > 20
    assert ((rendered.alpha > 0) & (rendered.alpha < 255)).sum() > 100
    assert (rendered.alpha[covered] > 0).all()
    assert (rendered.attributes[~covered] == 0).all() and (rendered.attributes[covered] > 0).any()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_bytes_do_not_depend_on_the_batch(backend: str):
    inputs = example_inputs(40, batch=5, meshes=3)
    whole = render(**inputs, outputs=ALL, backend=backend)
    per_image = ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "background", "exposure")
    for n in range(5):
        one = {
            name: value[n : n + 1] if name in (*per_image, "mesh_index", "texture_index") else value
            for name, value in inputs.items()
        }
        alone = render(**one, outputs=ALL, backend=backend)
        if backend == "cpu":
            assert all(torch.equal(a[0], b[n]) for a, b in zip(alone, whole, strict=True))
        else:  # torch sums a matmul of another size in another order
            assert (alone.image[0].int() - whole.image[n].int()).abs().max() <= 1


def test_bytes_do_not_depend_on_the_threads():
    inputs = example_inputs(40, batch=7)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(render(**inputs, outputs=ALL))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_several_callers_at_once():
    inputs = example_inputs(40, batch=3)
    expected, found = render(**inputs).image, []
    callers = [threading.Thread(target=lambda: found.append(render(**inputs).image)) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 4 and all(torch.equal(image, expected) for image in found)


@pytest.mark.parametrize("name", ALL)
def test_each_output_alone_equals_it_among_all(name: str):
    inputs = example_inputs(40)
    alone, whole = render(**inputs, outputs=(name,)), render(**inputs, outputs=ALL)
    assert torch.equal(getattr(alone, name), getattr(whole, name))
    assert [field for field in ALL if getattr(alone, field) is not None] == [name]


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (0, 4), (4, 0), (17, 130)])
def test_any_size(backend: str, size: tuple[int, int]):
    """17 x 130 has rows longer than a shading block."""
    rendered = render(**(example_inputs(8) | {"size": size}), outputs=ALL, backend=backend)
    assert rendered.image.shape == (4, *size, 3)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_nothing_to_see_leaves_the_background(backend: str):
    inputs = example_inputs(16)
    inputs["vertices"] = inputs["vertices"] + 100
    inputs["background"] = torch.tensor([0.0, 0.5, 1.0]).expand(4, 1, 1, 3).contiguous()
    rendered = render(**inputs, outputs=("image", "alpha"), backend=backend)
    assert (rendered.image == torch.tensor([0, 188, 255], dtype=torch.uint8)).all() and (rendered.alpha == 0).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_nan_in_the_scene_makes_no_noise(backend: str):
    inputs = example_inputs(16)
    inputs["vertices"] = inputs["vertices"].clone()
    inputs["vertices"][0, :40] = torch.nan
    inputs["sh"] = inputs["sh"].clone()
    inputs["sh"][1] = torch.nan
    render(**inputs, outputs=ALL, backend=backend)


def test_prepared_mipmaps_give_the_same_picture():
    inputs = example_inputs(40)
    expected = render(**inputs).image
    assert torch.equal(render(**(inputs | {"texture": build_mipmaps(inputs["texture"])})).image, expected)


def test_exposure_defaults_to_one_and_attributes_may_be_absent():
    inputs = example_inputs(24)
    ones = render(**(inputs | {"exposure": torch.ones(4)})).image
    del inputs["exposure"], inputs["attributes"]
    assert torch.equal(render(**inputs).image, ones)
    with pytest.raises(ValueError, match="attributes must be given where outputs asks for them"):
        render(**inputs, outputs=("attributes",))
    with pytest.raises(ValueError, match=r"outputs must be among image, alpha.*got 'picture'"):
        render(**inputs, outputs=("picture",))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_labels_are_those_of_the_faces_seen(backend: str):
    inputs = example_inputs(24, batch=2)
    rendered = render(**inputs, outputs=("labels",), backend=backend)
    face_ids = render(**inputs, outputs=("face_ids",), backend=backend).face_ids
    assert rendered.face_ids is None and rendered.labels.dtype == torch.uint8
    assert torch.equal(rendered.labels == 255, face_ids < 0)
    assert torch.equal(rendered.labels[face_ids >= 0].long(), inputs["face_labels"][face_ids[face_ids >= 0].long()])
    as_bytes = inputs | {"face_labels": inputs["face_labels"].to(torch.uint8)}
    assert torch.equal(render(**as_bytes, outputs=("labels",), backend=backend).labels, rendered.labels)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_dtype_and_layout_change_no_value(backend: str):
    inputs = example_inputs(16, batch=2)
    plain = render(**inputs, backend=backend).image
    scaled = {"uint8": plain, "float32": plain.float() / 255, "bfloat16": (plain.float() / 255).to(torch.bfloat16)}
    for image_dtype, expected in scaled.items():
        for layout in ("NHWC", "NCHW"):
            image = render(**inputs, image_dtype=image_dtype, layout=layout, backend=backend).image
            assert image.is_contiguous()
            assert torch.equal(image, expected if layout == "NHWC" else expected.permute(0, 3, 1, 2))


def test_what_labels_dtypes_and_layouts_may_be():
    inputs = example_inputs(8, batch=1)
    with pytest.raises(ValueError, match="image_dtype must be one of uint8, float32, bfloat16, got 'float16'"):
        render(**inputs, image_dtype="float16")
    with pytest.raises(ValueError, match="layout must be one of NHWC, NCHW, got 'CHW'"):
        render(**inputs, layout="CHW")
    with pytest.raises(ValueError, match=r"face_labels must lie in 0 … 254 \(labels\), got 0 … 255"):
        render(**(inputs | {"face_labels": torch.arange(len(inputs["faces"])) % 256}))
    del inputs["face_labels"]
    with pytest.raises(ValueError, match="face_labels must be given where outputs asks for labels"):
        render(**inputs, outputs=("labels",))


def test_camera_of_the_example_sees_up_as_up():
    """A point above the origin lands in the upper half, one to the right in the right half, seen from +z."""
    clip = example_camera(torch.tensor([0.0, 0.0, 1.0])) @ torch.tensor([0.1, 0.2, 0.0, 1.0])
    assert clip[0] > 0 and clip[1] > 0 and clip[3] == 1


def srgb_bytes(linear: Tensor) -> Tensor:
    encoded = torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp(min=1e-9) ** (1 / 2.4) - 0.055)
    return (encoded * 255 + 0.5).floor().clamp(0, 255).to(torch.uint8)


def test_srgb_is_exact_and_both_encoders_agree():
    edges = torch.from_numpy(SRGB_EDGES[1:])
    light = torch.cat([torch.linspace(-0.2, 1.2, 200_001), edges, torch.nextafter(edges, torch.zeros(1))])
    assert torch.equal(encode_srgb(light), srgb_bytes(light.double().clamp(0, 1)))
    light = torch.cat([light, torch.tensor([torch.nan, torch.inf, -torch.inf])])
    found = torch.empty(len(light), dtype=torch.uint8)
    encode_light(light.numpy(), found.numpy())
    assert torch.equal(found, encode_srgb(light))
    assert found[-3:].tolist() == [0, 255, 0]


def test_the_tone_map_is_smooth_and_bounded():
    light = torch.linspace(-1, 50, 100_001, dtype=torch.float64)
    toned = tone_map(light)
    assert torch.equal(toned[light <= 0.8], light[light <= 0.8].clamp(min=0))
    assert (toned.diff() >= 0).all() and toned.max() < 1
    slope = toned.diff() / light.diff()
    assert (slope[(light[1:] > 0.001)].diff().abs() < 6e-3).all()  # no kink at 0.8: the second derivative is 10
