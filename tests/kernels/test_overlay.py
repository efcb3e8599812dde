"""What only layers promise: their order, their softness, and that nothing but the picture's own span counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.kernels import build_layer_mipmaps, interpolate, overlay, rasterize, tone_map
from pain3d.kernels.deformation.reference import to_clip
from pain3d.kernels.layering.example import example_inputs
from pain3d.kernels.layering.light import light_vertices
from pain3d.kernels.layering.op import layer_scene

BACKENDS = ["reference", "cpu"]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
SIZE = 16
LIGHTS = {"sh": (9, 3), "key_direction": (3,), "key_colour": (3,)}


def cards(depths: list[float], albedo: Tensor, alpha: list[float], side: float = 0.2) -> dict[str, Any]:
    """Square cards before a camera at z = 1 that sees 0.4 m at z = 0, each with a texture of one colour."""
    corners = torch.tensor([[-side, -side], [side, -side], [side, side], [-side, side]])
    count = len(depths)
    z = 1 - torch.tensor(depths)
    vertices = torch.cat([corners.repeat(count, 1), z.repeat_interleave(4)[:, None]], 1)
    texels = torch.cat([albedo, torch.tensor(alpha)[:, None]], 1)[:, None, None].expand(count, 4, 4, 4)
    world_to_clip = torch.tensor([[5.0, 0, 0, 0], [0, 5.0, 0, 0], [0, 0, -1, 0], [0, 0, -1, 1.0]])
    quads = torch.tensor([[0, 1, 2], [0, 2, 3]]) + 4 * torch.arange(count)[:, None, None]
    return {
        "colour": torch.full((1, SIZE, SIZE, 3), 0.25),
        "depth": torch.full((1, SIZE, SIZE), torch.inf),
        "vertices": vertices,
        "sides": torch.zeros(4 * count, 3),
        "tangents": torch.tensor([0.0, 1, 0]).expand(4 * count, 3),
        "normals": torch.tensor([0.0, 0, 1]).expand(4 * count, 3),
        "tint": torch.ones(4 * count, 3),
        "occlusion": torch.ones(4 * count),
        "gloss": torch.zeros(4 * count),
        "uvs": torch.full((4 * count, 2), 0.5),
        "faces": quads.reshape(-1, 3),
        "face_textures": torch.arange(count).repeat_interleave(2),
        "spans": torch.tensor([[0, 4 * count, 0, 2 * count]]),
        "texture": texels,
        "world_to_clip": world_to_clip[None],
        "camera_position": torch.tensor([[0.0, 0, 1]]),
        "sh": torch.cat([torch.full((1, 1, 3), 3.5449077), torch.zeros(1, 8, 3)], 1),  # radiance 1 all around
        "key_direction": torch.tensor([[0.0, 0, 1]]),
        "key_colour": torch.zeros(1, 3),
    }


RED, GREEN, BLUE = torch.eye(3)
COLOURS = 0.5 * torch.eye(3)


@every_backend
def test_cards_are_blended_front_to_back_in_any_order_of_faces(backend: str):
    found = overlay(**cards([0.7, 0.5], COLOURS[:2], [0.5, 0.75]), backend=backend)
    expected = 0.375 * GREEN + 0.0625 * RED + 0.125 * 0.25  # 3/4 of the nearer, half of the rest, the picture
    torch.testing.assert_close(found.colour, expected.expand(1, SIZE, SIZE, 3), rtol=0, atol=1e-6)  # worst seen 6e-8
    torch.testing.assert_close(found.layer_alpha, torch.full((1, SIZE, SIZE), 0.875), rtol=0, atol=1e-6)


@every_backend
def test_what_lets_next_to_nothing_through_hides_all_behind_it(backend: str):
    alpha = [0.5, 0.75, 0.8, 0.9]  # of what is left 1/2, 1/8, 1/40: less than 1/32, so nothing
    colours = torch.cat([COLOURS, torch.ones(1, 3)])
    found = overlay(**cards([0.5, 0.6, 0.7, 0.8], colours, alpha), backend=backend)
    expected = 0.5 * COLOURS[0] + 0.375 * COLOURS[1] + 0.125 * COLOURS[2]
    torch.testing.assert_close(found.colour, expected.expand(1, SIZE, SIZE, 3), rtol=0, atol=1e-6)  # worst seen 6e-8
    assert (found.layer_alpha == 1).all()
    open_ = overlay(**cards([0.5, 0.6, 0.7], COLOURS, [0.5, 0.75, 0.7]), backend=backend)  # 3/80 of it is let through
    torch.testing.assert_close(open_.layer_alpha, torch.full((1, SIZE, SIZE), 0.9625), rtol=0, atol=1e-6)


@every_backend
def test_faces_that_cross_are_cut_where_they_cross(backend: str):
    given = cards([0.5, 0.5], COLOURS[:2], [0.75, 0.75])
    given["vertices"] = given["vertices"].clone()
    given["vertices"][:4, 2] = 0.5 + torch.tensor([0.1, 0.1, -0.1, -0.1])  # leans back: its lower half is nearer
    found = overlay(**given, backend=backend).colour[0]
    assert (found[0, :, 1] > 2 * found[0, :, 0]).all() and (found[-1, :, 0] > 2 * found[-1, :, 1]).all()


@every_backend
def test_deep_piles_are_blended_in_the_order_of_depth_whatever_comes_first(backend: str):
    """Twenty layers, of which none hides the next: far first, near first, and mixed."""
    count, alpha = 20, 0.125
    depths = torch.linspace(0.5, 0.8, count)
    colours = 0.1 + 0.6 * torch.rand(count, 3, generator=torch.Generator().manual_seed(5))
    expected = 0.25 * (1 - alpha) ** count + sum(alpha * (1 - alpha) ** k * colours[k] for k in range(count))
    for order in (torch.arange(count), torch.arange(count).flip(0), (torch.arange(count) * 7) % count):
        found = overlay(**cards(depths[order].tolist(), colours[order], [alpha] * count), backend=backend)
        torch.testing.assert_close(found.colour, expected.expand(1, SIZE, SIZE, 3), rtol=0, atol=1e-6)  # seen 2e-7


@every_backend
def test_what_is_faint_takes_no_place(backend: str):
    one = overlay(**cards([0.5, 0.7, 0.6], COLOURS, [0.5] * 3), backend=backend)
    colours = torch.cat([COLOURS, torch.ones(1, 3)])
    other = overlay(**cards([0.5, 0.7, 0.6, 0.4], colours, [0.5, 0.5, 0.5, 0.015]), backend=backend)
    assert torch.equal(one.colour, other.colour) and torch.equal(one.layer_alpha, other.layer_alpha)


@every_backend
def test_of_equal_depth_the_lower_face_is_nearer(backend: str):
    one = overlay(**cards([0.5, 0.5], COLOURS[:2], [0.75, 0.75]), backend=backend)
    other = overlay(**cards([0.5, 0.5], COLOURS[[1, 0]], [0.75, 0.75]), backend=backend)
    assert (one.colour[..., 0] > 2 * one.colour[..., 1]).all()
    assert torch.equal(one.colour, other.colour[..., [1, 0, 2]])


@every_backend
def test_without_alpha_nothing_changes_and_with_all_of_it_nothing_shines_through(backend: str):
    given = cards([0.5], 0.6 * torch.ones(1, 3), [0.0], side=0.08)
    given["vertices"] = given["vertices"] + 0.03 * torch.randn(4, 3, generator=torch.Generator().manual_seed(3))
    nothing = overlay(**given, backend=backend)
    assert torch.equal(nothing.colour, given["colour"]) and not nothing.layer_alpha.any()
    given |= {"texture": torch.cat([0.6 * torch.ones(1, 4, 4, 3), torch.ones(1, 4, 4, 1)], -1)}
    for name, shape in LIGHTS.items():
        given[name] = torch.rand(1, *shape, generator=torch.Generator().manual_seed(len(name))) + 0.2
    given["gloss"] = torch.linspace(0, 3, 4)
    whole = overlay(**given, backend=backend)
    # the same faces as an opaque mesh
    clip = to_clip(given["vertices"][None], given["world_to_clip"])
    fragments = rasterize(clip, given["faces"], (SIZE, SIZE), cull=False)
    scene = layer_scene({**given, "exposure": torch.ones(1)}, build_layer_mipmaps(given["texture"]))
    light = light_vertices(scene, torch.zeros(4, dtype=torch.int64), torch.arange(4))
    seen = interpolate(light[None], given["faces"], fragments.face_ids, fragments.barycentrics.float())
    opaque = tone_map(0.6 * seen[..., :3] + seen[..., 3:])
    inside = fragments.face_ids >= 0
    assert 100 < inside.sum() < SIZE * SIZE
    torch.testing.assert_close(whole.colour[inside], opaque[inside], rtol=0, atol=1e-6)  # worst seen 2e-7
    assert torch.equal(whole.layer_alpha, inside.float()) and torch.equal(
        whole.colour[~inside], given["colour"][~inside]
    )
    other = overlay(**(given | {"colour": given["colour"] + 0.5}), backend=backend)
    assert torch.equal(other.colour[inside], whole.colour[inside])


@every_backend
def test_what_lies_behind_the_surface_is_hidden(backend: str):
    given = cards([0.5, 0.7], COLOURS[:2], [1.0, 1.0])
    given["depth"] = torch.full((1, SIZE, SIZE), 0.6)
    given["depth"][:, :4], given["depth"][:, 12:] = 0.4, torch.inf
    found = overlay(**given, backend=backend)
    assert torch.equal(found.colour[:, :4], given["colour"][:, :4]) and not found.layer_alpha[:, :4].any()
    alone = overlay(**cards([0.5], COLOURS[:1], [1.0]), backend=backend)
    assert torch.equal(found.colour[:, 4:], alone.colour[:, 4:])
    given["depth"][:] = 0.6
    behind = overlay(**(given | {"vertices": given["vertices"] - torch.tensor([0.0, 0, 0.2])}), backend=backend)
    assert torch.equal(behind.colour, given["colour"])


@every_backend
@pytest.mark.parametrize("width", [0.1, 0.7, 1.0, 3.3, 7.0])
def test_a_ribbon_covers_as_many_pixels_as_it_is_wide_wherever_it_lies(backend: str, width: float):
    """Also where it is much thinner than a pixel, which point samples would mostly miss."""
    pixel = 0.2 / SIZE  # metres at 0.5 m: the camera sees 0.2 m there
    for shift in (0.0, 0.3, 0.51):
        given = cards([0.5], torch.ones(1, 3), [1.0], side=0.2)
        side = torch.tensor([-0.5, 0.5, 0.5, -0.5]) * width * pixel
        given["vertices"] = given["vertices"].clone()
        given["vertices"][:, 0] = side + shift * pixel
        given["sides"] = torch.stack([side, 0 * side, 0 * side], 1)
        covered = overlay(**given, backend=backend).layer_alpha[0]
        # worst seen 2e-3: corners lie on 1/256 pixel, and a share below 1/64 is left out
        assert covered.sum(1).sub(width).abs().max() < 0.016, (width, shift)
        across = (torch.arange(SIZE) + 0.5 - SIZE / 2 - shift).abs()
        box = torch.minimum((width / 2 + 0.5 - across).clamp(0, 1), torch.tensor(width))
        assert (covered - box).abs().max() < 0.016


@every_backend
def test_a_ribbon_that_tapers_to_nothing_fades(backend: str):
    pixel = 0.2 / SIZE
    given = cards([0.5], torch.ones(1, 3), [1.0], side=0.1)
    side = torch.tensor([-2.0, 2.0, 1e-4, -1e-4]) * pixel  # four pixels wide at the foot, nothing at the top
    given["vertices"] = given["vertices"].clone()
    given["vertices"][:, 0] = side
    given["sides"] = torch.stack([side, 0 * side, 0 * side], 1)
    rows = overlay(**given, backend=backend).layer_alpha[0].sum(1)
    expected = 4 * (torch.arange(SIZE) + 0.5) / SIZE
    # A thin end is covered by the box of its own width: worst seen 0.05 pixels, of 4.
    assert (rows - expected).abs().max() < 0.08


def test_no_dark_fringe_where_texels_that_nobody_sees_are_black():
    generator = torch.Generator().manual_seed(0)
    alpha = (torch.rand(1, 64, 64, 1, generator=generator) > 0.5).float()
    texture = torch.cat([0.6 * alpha.expand(1, 64, 64, 3), alpha], -1)  # white strands, black between them
    given = cards([0.5], torch.ones(1, 3), [1.0]) | {"texture": texture, "colour": torch.full((1, SIZE, SIZE, 3), 0.6)}
    given["uvs"] = torch.tensor([[0.0, 0.0], [1, 0], [1, 1], [0, 1]])
    found = overlay(**given)
    assert 0.4 < found.layer_alpha.mean() < 0.6  # half of it, though 64 texels lie over 16 pixels
    # Light of 0.6 over a picture of 0.6: nothing to be seen. A mean of plain albedo would be 0.3.
    torch.testing.assert_close(found.colour, given["colour"], rtol=0, atol=2e-6)  # worst seen 2e-7


def test_a_highlight_lies_across_the_strand_and_comes_from_the_key_light():
    """Of a strand that bends over a ball the white lobe is brightest where tangent and half vector are square."""
    angles = torch.linspace(-1.2, 1.2, 241)
    normals = torch.stack([0 * angles, angles.sin(), angles.cos()], 1)
    tangents = torch.stack([0 * angles, -angles.cos(), angles.sin()], 1)  # from the top down
    given = cards([0.5], torch.ones(1, 3), [1.0]) | {
        "vertices": normals * 0.1, "tangents": tangents, "normals": normals, "tint": torch.zeros(241, 3),
        "occlusion": torch.ones(241), "gloss": torch.ones(241), "uvs": torch.zeros(241, 2),
        "sides": torch.zeros(241, 3),
        "sh": torch.zeros(1, 9, 3), "key_colour": torch.ones(1, 3), "camera_position": torch.tensor([[0.0, 0, 100]]),
        "exposure": torch.ones(1),
    }  # fmt: skip
    light = light_vertices(
        layer_scene(given, build_layer_mipmaps(given["texture"])),
        torch.zeros(241, dtype=torch.int64),
        torch.arange(241),
    )
    brightest = angles[light[:, 3].argmax()]
    # The key stands at the camera: without shift at angle 0. A shift of 0.1 moves it by atan(0.1) towards the root, up.
    assert abs(brightest - 0.0997) < 0.02
    assert not light[:, :3].any()  # black hair has a white highlight alone


@every_backend
def test_ragged_meshes_in_one_call_give_the_bytes_of_each_alone(backend: str):
    given = example_inputs(40)
    together = overlay(**given, backend=backend)
    assert together.layer_alpha.flatten(1).any(1).all()
    per_picture = ("colour", "depth", "world_to_clip", "camera_position", "exposure", *LIGHTS)
    per_vertex = ("vertices", "sides", "tangents", "normals", "tint", "occlusion", "gloss", "uvs")
    for n, span in enumerate(given["spans"].tolist()):
        alone = {name: given[name][n : n + 1] for name in per_picture} | {"texture": given["texture"]}
        alone |= {name: given[name][span[0] : span[0] + span[1]] for name in per_vertex}
        own = slice(span[2], span[2] + span[3])
        alone |= {"faces": given["faces"][own], "face_textures": given["face_textures"][own]}
        alone["spans"] = torch.tensor([[0, span[1], 0, span[3]]], dtype=torch.int32)
        single = overlay(**alone, backend=backend)
        # reference: torch sums a matrix product of another batch in another order, seen 6e-8
        torch.testing.assert_close(single.colour[0], together.colour[n], rtol=0, atol=0 if backend == "cpu" else 5e-7)
        assert torch.equal(single.layer_alpha[0], together.layer_alpha[n])


def test_the_bytes_do_not_depend_on_threads():
    given, threads = example_inputs(40), torch.get_num_threads()
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(overlay(**given, backend="cpu"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0].colour, found[1].colour)


@every_backend
def test_pictures_without_layers_stay_as_they_are(backend: str):
    given = example_inputs(20)
    given["spans"] = torch.zeros_like(given["spans"])
    found = overlay(**given, backend=backend)
    assert torch.equal(found.colour, given["colour"]) and not found.layer_alpha.any()


@every_backend
def test_a_face_that_points_outside_its_span_is_not_drawn(backend: str):
    given = cards([0.5, 0.7], COLOURS[:2], [1.0, 1.0])
    given["spans"] = torch.tensor([[0, 4, 0, 4]])  # the second card's corners are another mesh's
    one = overlay(**cards([0.5], COLOURS[:1], [1.0]), backend=backend)
    assert torch.equal(overlay(**given, backend=backend).colour, one.colour)


def test_bad_spans_and_chains_are_named():
    given = cards([0.5], COLOURS[:1], [1.0])
    with pytest.raises(ValueError, match=r"spans must lie in 0 … 4 \(vertices, ends of spans\), got 5 … 5"):
        overlay(**(given | {"spans": torch.tensor([[1, 4, 0, 2]])}))
    with pytest.raises(ValueError, match=r"spans must lie in 0 … 2 \(faces\), got -1 … 2"):
        overlay(**(given | {"spans": torch.tensor([[0, 4, -1, 2]])}))
    with pytest.raises(ValueError, match="face_textures must lie in 0 … 0"):
        overlay(**(given | {"face_textures": torch.ones(2, dtype=torch.int64)}))
    chain = build_layer_mipmaps(given["texture"])
    with pytest.raises(ValueError, match="texture must be the mip chain of 8 x 4, got 21 texels"):
        overlay(**(given | {"texture": chain._replace(height=8)}))
