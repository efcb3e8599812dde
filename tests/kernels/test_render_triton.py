"""The fused render on a GPU (or in Triton's interpreter): its definition, and what its bytes do not depend on."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from torch import Tensor

from pain3d.kernels import Rendered, build_mipmaps, encode_srgb, face_adjacency, render
from pain3d.kernels.rendering.bundles import Request
from pain3d.kernels.rendering.colour import SRGB_EDGES
from pain3d.kernels.rendering.custom_op import flat_arguments, render_op
from pain3d.kernels.rendering.example import example_inputs, example_scene
from pain3d.kernels.rendering.kernel import Blocks
from pain3d.kernels.rendering.kernel_bytes import srgb_byte
from pain3d.kernels.rendering.texels import kept_texels, remembered_texels
from pain3d.kernels.rendering.topology import prepare_topology, srgb_buckets
from pain3d.kernels.rendering.triton_op import launch_render
from tests.kernels.rooms import device_of

DEVICE = device_of("triton")
ALL = Rendered._fields
PER_VIEW = ("world_to_clip", "camera_position", "sh", "key_direction", "key_colour", "background", "exposure",
            "mesh_index", "texture_index")  # fmt: skip


def inputs_of(size: int = 20, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """Small: the interpreter takes seconds where a GPU takes microseconds."""
    return example_inputs(size, DEVICE, seed=seed, **({"batch": 3, "subdivisions": 2} | changes))


def compared(inputs: dict[str, Any]) -> Rendered:
    """Parity for a texture of float16 numbers, which is what the kernels read (`pack_texels`)."""
    chain = build_mipmaps(inputs["texture"], backend="reference")
    inputs = inputs | {"texture": chain._replace(texels=chain.texels.half().float())}
    fast, slow = (render(**inputs, outputs=ALL, backend=backend) for backend in ("triton", "reference"))
    assert torch.equal(fast.face_ids, slow.face_ids)
    assert torch.equal(fast.labels, slow.labels)
    difference = (fast.image.int() - slow.image.int()).abs()
    # One level wherever light falls on a rounding edge: worst seen 1 level in 3 of 718,848 bytes (interpreter, 96 px).
    # No ties at silhouettes: both walk the same integers. A GPU's roots and divisions may move a few more.
    assert (difference <= 1).all()
    assert (difference > 0).float().mean() < 5e-3 or difference.numel() < 2000
    assert ((fast.alpha.int() - slow.alpha.int()).abs() <= 1).all()
    # linear: worst seen 5e-6 at a narrow gloss, which enlarges every rounding (README of `shade`)
    torch.testing.assert_close(fast.linear, slow.linear, rtol=0, atol=5e-5)
    for name in ("barycentrics", "attributes"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), rtol=0, atol=2e-6)  # worst seen 2e-7
    torch.testing.assert_close(fast.depth, slow.depth, rtol=1e-6, atol=0)  # worst seen 2.4e-7
    return fast


def equal(one: Rendered, other: Rendered) -> bool:
    return all(
        (a is None and b is None) or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize(("seed", "texture_size"), [(0, 32), (1, 256), (2, 1)])
def test_parity_with_the_reference(seed: int, texture_size: int):
    rendered = compared(inputs_of(32, seed, texture_size=texture_size, batch=2, subdivisions=3))
    covered = rendered.face_ids >= 0
    assert 0.2 < covered.float().mean() < 0.8
    assert rendered.image[covered].float().std() > 20
    assert ((rendered.alpha > 0) & (rendered.alpha < 255)).sum() > 100


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (7, 70), (0, 4), (4, 0)])
def test_any_size(size: tuple[int, int]):
    assert compared(inputs_of(8, batch=2) | {"size": size}).image.shape == (2, *size, 3)


def test_texture_and_background_need_not_be_square():
    inputs = inputs_of()
    inputs["texture"] = inputs["texture"][:, :8].contiguous()
    inputs["background"] = torch.rand(3, 1, 40, 3, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    compared(inputs)


def test_nothing_to_see_leaves_the_background():
    inputs = inputs_of(16)
    inputs["vertices"] = inputs["vertices"] + 100
    inputs["background"] = torch.tensor([0.0, 0.5, 1.0], device=DEVICE).expand(3, 1, 1, 3)
    rendered = compared(inputs)
    bytes_of = torch.tensor([0, 188, 255], dtype=torch.uint8, device=DEVICE)
    assert (rendered.image == bytes_of).all() and (rendered.labels == 255).all() and (rendered.alpha == 0).all()


def test_no_faces_at_all():
    inputs = inputs_of(9, batch=1)
    for name in ("faces", "uv_faces", "adjacent_faces", "face_labels"):
        inputs[name] = inputs[name][:0]
    assert (compared(inputs).face_ids == -1).all()


def test_a_surface_that_covers_everything():
    """Two triangles larger than the picture: the queue of large faces, and no silhouette anywhere."""
    inputs = inputs_of(24, batch=1, meshes=1)
    corners = 0.4 * torch.tensor([[-1.0, -1.0, 0.0], [1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    mesh = {
        "vertices": corners[None],
        "uvs": torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),
        "faces": faces,
        "uv_faces": faces,
        "adjacent_faces": face_adjacency(faces),
        "face_labels": torch.tensor([3, 254]),
        "occlusion": torch.ones(1, 4),
        "detail_weights": torch.tensor([[[0.0, 0.0], [1.0, 0.0], [0.5, 2.0], [0.0, 1.0]]]),
        "attributes": corners[None, :, :2],
    }
    rendered = compared(inputs | {name: tensor.to(DEVICE) for name, tensor in mesh.items()})
    assert (rendered.face_ids >= 0).all() and (rendered.alpha == 255).all()
    assert set(rendered.labels.unique().tolist()) == {3, 254}


def test_texels_of_sixteen_bits_move_no_byte_by_more_than_a_level():
    """A number is rounded by 2^-12 of itself or less, base colour by a twentieth of a level of sRGB."""
    inputs = inputs_of(32, texture_size=64, batch=2, subdivisions=3)
    fast, slow = (render(**inputs, backend=backend) for backend in ("triton", "reference"))
    difference = (fast.image.int() - slow.image.int()).abs()
    assert (difference <= 1).all()
    assert 0 < (difference > 0).float().mean() < 0.02  # worst seen 3.5e-3, interpreter


def test_packed_texels_are_forgotten_with_their_texture_and_made_anew_when_it_changes():
    texels = torch.rand(2, 5, 16, device=DEVICE)
    packed = remembered_texels(texels)
    assert packed.shape == (2, 2, 5, 8) and packed.dtype == torch.float16 and remembered_texels(texels) is packed
    assert torch.equal(packed.transpose(1, 2).flatten(2), texels.half())
    texels[0, 0, 0] = 3
    assert remembered_texels(texels)[0, 0, 0, 0] == 3
    count = len(kept_texels)
    del texels
    assert len(kept_texels) == count - 1


def test_faces_around_and_behind_the_camera():
    """A camera inside the mesh: faces with a corner behind it are dropped whole."""
    inputs = inputs_of(24, batch=2)
    inputs["vertices"] = inputs["vertices"] * 8
    inputs["faces"] = inputs["faces"].flip(1)
    inputs["uv_faces"] = inputs["uv_faces"].flip(1)
    inputs["adjacent_faces"] = face_adjacency(inputs["faces"].cpu()).to(DEVICE)
    rendered = compared(inputs)
    assert (rendered.face_ids >= 0).float().mean() > 0.1


def test_nan_in_the_scene_makes_no_noise():
    inputs = inputs_of(16)
    for name in ("vertices", "uvs", "sh"):
        inputs[name] = inputs[name].clone()
    inputs["vertices"][0, :20] = torch.nan
    inputs["sh"][1] = torch.nan
    fast, slow = (render(**inputs, outputs=ALL, backend=backend) for backend in ("triton", "reference"))
    assert torch.equal(fast.face_ids, slow.face_ids)
    assert torch.equal(fast.alpha, slow.alpha)
    inputs["uvs"][40:50] = torch.nan  # the reference can't look these up
    assert torch.equal(render(**inputs, outputs=ALL, backend="triton").alpha, fast.alpha)


@pytest.mark.parametrize("name", ALL)
def test_each_output_alone_equals_it_among_all(name: str, whole: Rendered):
    alone = render(**inputs_of(), outputs=(name,), backend="triton")
    assert torch.equal(getattr(alone, name), getattr(whole, name))
    assert [field for field in ALL if getattr(alone, field) is not None] == [name]


@pytest.fixture(scope="module")
def whole() -> Rendered:
    return render(**inputs_of(), outputs=ALL, backend="triton")


@pytest.mark.parametrize(
    ("image_dtype", "layout"), [("uint8", "NCHW"), ("bfloat16", "NHWC"), ("bfloat16", "NCHW"), ("float32", "NHWC")]
)
def test_dtype_and_layout_change_no_value(image_dtype: str, layout: str, whole: Rendered):
    asked = {"image_dtype": image_dtype, "layout": layout}
    image = render(**inputs_of(), **asked, backend="triton").image
    expected = whole.image if layout == "NHWC" else whole.image.permute(0, 3, 1, 2)
    if image_dtype != "uint8":
        expected = (expected.float() / 255).to(getattr(torch, image_dtype))
    assert image.is_contiguous() and image.dtype == expected.dtype and torch.equal(image, expected)


@pytest.mark.parametrize(("chunk", "blocks"), [(1, None), (2, None), (None, Blocks(16, 16, 64))])
def test_bytes_depend_neither_on_chunks_nor_on_blocks(chunk: int | None, blocks: Blocks | None, whole: Rendered):
    options = {} if blocks is None else {"blocks": blocks}
    assert equal(launch_render(example_scene(inputs_of()), Request(ALL), chunk=chunk, **options), whole)


def test_prepared_tables_give_the_same_bytes(whole: Rendered):
    scene = example_scene(inputs_of())
    prepared = prepare_topology(scene.triangles, scene.meshes.vertices.shape[1])
    assert equal(launch_render(scene, Request(ALL), prepared=prepared), whole)


def test_what_an_older_epoch_left_is_not_seen(monkeypatch: pytest.MonkeyPatch):
    """Five chunks of one view in a buffer that is filled after every second: each sees pixels that others don't."""
    inputs = inputs_of(10, batch=5, subdivisions=1)
    expected = render(**inputs, outputs=ALL, backend="triton")
    monkeypatch.setattr(importlib.import_module("pain3d.kernels.rasterization.workspace"), "EPOCHS", 2)
    assert equal(launch_render(example_scene(inputs), Request(ALL), chunk=1), expected)


@pytest.mark.parametrize("scarce", [torch.int64, torch.float32])
def test_a_device_without_memory_halves_the_chunk(
    scarce: torch.dtype, whole: Rendered, monkeypatch: pytest.MonkeyPatch
):
    """No room for the visibility buffer (int64) or the kept light (float32) of more than one view."""
    scene, allocate, refused = example_scene(inputs_of()), torch.empty, []
    pixels = scene.size[0] * scene.size[1]

    def empty(*shape: Any, **options: Any) -> Tensor:
        made = allocate(*shape, **options)
        if made.dtype == scarce and made.ndim == 2 and made.numel() > (pixels if scarce == torch.int64 else pixels * 3):
            refused.append(made.numel())
            raise torch.OutOfMemoryError("none left")
        return made

    monkeypatch.setattr(torch, "empty", empty)
    assert equal(launch_render(scene, Request(ALL)), whole)
    assert len(refused) > 0
    pixels = 0
    with pytest.raises(torch.OutOfMemoryError):
        launch_render(scene, Request(("image",)))


def test_views_in_another_order_are_the_same_pictures(whole: Rendered):
    """Each with its own mesh and texture."""
    inputs, order = inputs_of(), torch.tensor([2, 0, 1], device=DEVICE)
    inputs |= {name: inputs[name][order] for name in PER_VIEW}
    assert equal(
        render(**inputs, outputs=ALL, backend="triton"), Rendered(*(field[order] for field in whole[: len(ALL)]))
    )


def test_one_occlusion_one_background_for_all_and_no_exposure():
    inputs = inputs_of(16)
    inputs["background"] = inputs["background"][:1].expand(3, -1, -1, -1)
    inputs["occlusion"] = inputs["occlusion"][:1]
    del inputs["exposure"]
    compared(inputs)


def test_custom_op_is_well_formed():
    scene = example_scene(inputs_of(8, batch=1))
    torch.library.opcheck(render_op.overload, flat_arguments(scene, Request(("image", "depth"), "bfloat16", "NCHW")))


def test_inputs_that_require_a_gradient_make_bytes_and_ids_without_one():
    inputs = inputs_of(8, batch=1)
    inputs["vertices"].requires_grad_()
    outputs = ("image", "alpha", "face_ids", "labels")
    assert not any(getattr(render(**inputs, outputs=outputs, backend="triton"), name).requires_grad for name in outputs)


@triton.jit
def encode(light_ptr, buckets_ptr, out_ptr, count, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    byte = srgb_byte(tl.load(light_ptr + at, mask=at < count, other=0.0), buckets_ptr)
    tl.store(out_ptr + at, byte.to(tl.uint8), mask=at < count)


def test_srgb_bytes_are_exact():
    edges = torch.from_numpy(SRGB_EDGES[1:])
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 1.0, 1e-30])
    around = [edges, torch.nextafter(edges, torch.zeros(1)), torch.nextafter(edges, torch.ones(1))]
    light = torch.cat([torch.linspace(-0.2, 1.2, 100_001), *around, special]).to(DEVICE)
    out = torch.empty(len(light), dtype=torch.uint8, device=DEVICE)
    block = 1 << 17 if DEVICE == "cpu" else 128
    encode[(triton.cdiv(len(light), block),)](light, srgb_buckets(light.device), out, len(light), BLOCK=block)
    assert torch.equal(out, encode_srgb(light))
