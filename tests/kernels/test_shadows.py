"""What a cast shadow must be: dark where the lamp is hidden, as wide as the lamp is, and the same on all backends."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from pain3d.kernels import Shadows, build_mipmaps, cast_shadows, render, vertex_normals
from pain3d.kernels.rendering.example import example_inputs
from pain3d.kernels.shadowing import reference
from pain3d.kernels.shadowing.example import example_inputs as casting_inputs
from pain3d.kernels.shadowing.example import horned
from pain3d.kernels.shadowing.reference import (
    FINER,
    Casting,
    Maps,
    blurring,
    lit_shares,
    map_frames,
    map_levels,
    maps_reference,
    on_lattice,
    seen_of_lamp,
    seen_on_faces,
)
from tests.kernels.rooms import device_of


def plate_over_floor(gap: float, spread: float) -> tuple[Maps, torch.Tensor, torch.Tensor]:
    """The map of a square of 40 mm that floats above a floor, the lamp straight above; the floor's vertices."""
    steps = torch.linspace(-0.1, 0.1, 41)
    floor = torch.stack([steps.repeat(41), torch.zeros(41 * 41), steps.repeat_interleave(41)], 1)
    plate = torch.tensor([[-0.02, gap, -0.02], [0.02, gap, -0.02], [0.02, gap, 0.02], [-0.02, gap, 0.02]])
    first = torch.arange(40).repeat(40) + 41 * torch.arange(40).repeat_interleave(40)
    cells = torch.cat(
        [torch.stack([first, first + 41, first + 1], 1), torch.stack([first + 1, first + 41, first + 42], 1)]
    )
    top = torch.tensor([[0, 2, 1], [0, 3, 2]]) + len(floor)
    maps = made_by(
        torch.cat([floor, plate])[None], torch.cat([cells, top]), torch.tensor([[0.0, 1.0, 0.0]]),
        torch.tensor([spread]), torch.tensor([0]), 256,
    )  # fmt: skip
    return maps, floor, maps.reach[0, : len(floor)]


def made_by(
    vertices: torch.Tensor,
    faces: torch.Tensor,
    lamps: torch.Tensor,
    spread: torch.Tensor,
    mesh: torch.Tensor,
    size: int,
) -> Maps:
    """The maps that the reference makes on its way."""
    frames = map_frames(vertices, None, mesh, lamps, size)
    return maps_reference(Casting(vertices, vertex_normals(vertices, faces), faces, mesh, lamps, spread, frames, size))


def shares_along(maps: Maps, across: torch.Tensor, reach: float, scatter: float = 0.0) -> torch.Tensor:
    """The shares of the lamp [P, 3] at points of the floor, `across` metres from the middle."""
    points = torch.stack([across, torch.zeros_like(across), torch.zeros_like(across)], 1)[None]
    up = torch.tensor([0.0, 1.0, 0.0])
    flat = torch.zeros(1, len(across))
    seen = seen_of_lamp(maps, points, up.expand_as(points), blurring(flat + reach, maps.to_map), up[None])
    return lit_shares(seen, flat + scatter)[0]


def test_dark_below_and_lit_beside():
    maps, floor, reach = plate_over_floor(0.03, 0.05)
    below = (floor.abs() < 0.015).all(1)
    beside = (floor.abs() > 0.05).any(1)
    assert (reach[below] >= 0).all() and (reach[beside] < 0).all()
    shares = shares_along(maps, torch.tensor([0.0, 0.01, 0.04, 0.08]), 1.0)[:, 0]
    assert (shares[:2] < 0.02).all() and (shares[2:] > 0.98).all()


def test_edge_is_as_wide_as_lamp_and_distance_make_it():
    """From 90 % to 10 % in about 0.65 of 2 · spread · gap, the whole edge of a round lamp's shadow."""
    across = torch.linspace(0.0, 0.06, 601)
    for gap, spread in ((0.03, 0.2), (0.06, 0.2), (0.06, 0.1)):
        maps, floor, reach = plate_over_floor(gap, spread)
        edge = reach[(floor - torch.tensor([0.02, 0.0, 0.0])).norm(dim=1).argmin()]
        shares = shares_along(maps, across, float(edge))[:, 0]
        width = across[(shares > 0.9).float().argmax()] - across[(shares > 0.1).float().argmax()]
        assert (
            0.5 < width / (2 * spread * gap) < 0.85
        )  # seen 0.63, 0.82 and 0.75; heights are means, and a level is no disc
        assert (across[(shares > 0.5).float().argmax()] - 0.02).abs() < 0.25 * 2 * spread * gap


def test_red_reaches_farther_into_a_shadow_of_skin():
    maps, _, _ = plate_over_floor(0.03, 0.01)
    red, green, blue = shares_along(maps, torch.tensor([0.019]), 0.0, scatter=1.0)[0]
    assert red > green > blue
    cloth = shares_along(maps, torch.tensor([0.019]), 0.0, scatter=0.0)[0]
    assert cloth[0] == cloth[1] == cloth[2] and cloth[0] < blue


def test_a_bare_sphere_shades_nothing_that_faces_the_lamp():
    """No acne: shares of 1 wherever the cosine is above 0.2, by a lamp of 20 degrees."""
    inputs = casting_inputs()
    bare = inputs["vertices"] / inputs["vertices"].norm(dim=-1, keepdim=True) * 0.1
    shadows = cast_shadows(**(inputs | {"vertices": bare, "spread": torch.full((3,), 0.18), "size": 64}))
    assert shadows.seen is not None
    points, lamps = bare[inputs["mesh_index"]], inputs["key_direction"]
    shares = lit_shares(shadows.seen, torch.ones_like(points[..., 0]))
    facing = (points * lamps[:, None]).sum(-1) > 0.2 * 0.1
    assert shares[facing].min() > 0.97  # 1 seen


@cache
def horns() -> dict[str, Any]:
    """Inputs of `render` with shadows that show, small, the texture of float16 numbers as Triton packs it."""
    inputs = example_inputs(12, device_of("triton"), batch=3, meshes=3, subdivisions=2, texture_size=8)
    chain = build_mipmaps(inputs["texture"], backend="reference")
    inputs["texture"] = chain._replace(texels=chain.texels.half().float())
    inputs["vertices"] = horned(inputs["vertices"], inputs["key_direction"], inputs["camera_position"])
    return inputs | {"shadows": cast_on(inputs)}


def cast_on(inputs: dict[str, Any]) -> Shadows:
    """What its three meshes see of lamps of three sizes."""
    given = {name: inputs[name] for name in ("vertices", "faces", "key_direction", "mesh_index")}
    return cast_shadows(**given, spread=inputs["vertices"].new_tensor([0.02, 0.2, -1.0]), size=64, backend="reference")


def drawn(backend: str, **changes: Any) -> list[torch.Tensor]:
    """Linear light, and the gradients to the key's colour and direction, occlusion and vertices."""
    inputs = horns() | changes
    names = ("key_colour", "key_direction", "occlusion", "vertices", "uvs")
    leaves = {name: inputs[name].clone().requires_grad_() for name in names}
    light = render(**(inputs | leaves), outputs=("linear",), backend=backend).linear
    assert light is not None
    (light * torch.linspace(0.5, 1.5, light.numel(), device=light.device).view_as(light)).sum().backward()
    return [light.detach(), *(leaf.grad for leaf in leaves.values() if leaf.grad is not None)]


def test_shadows_show_and_only_darken():
    with_shadows, without = drawn("reference")[0], drawn("reference", shadows=None)[0]
    assert (with_shadows <= without + 1e-6).all()
    assert ((without - with_shadows)[:2].amax((1, 2, 3)) > 0.04).all()
    torch.testing.assert_close(with_shadows[2], without[2], rtol=0, atol=1e-6)  # a spread below 0 casts none


@pytest.mark.parametrize("backend", ["cpu", "triton"])
def test_backends_agree_on_shadows_and_on_gradients_through_them(backend: str):
    for fast, slow in zip(drawn(backend), drawn("reference"), strict=True):
        # Worst seen of the greatest: 1e-6 cpu, 6e-7 triton in the interpreter; a variance is a difference of squares.
        assert (fast - slow).abs().max() <= 5e-5 * slow.abs().max()


def test_points_lie_between_those_of_a_lattice():
    """What is even over a face comes out as it is, corners and sides included; and nothing is ever extrapolated."""
    faces, kinds = torch.tensor([[0, 1, 2]]), torch.tensor([[FINER]])
    corners, uneven = torch.rand(2, 1, 15, 2, generator=torch.Generator().manual_seed(0))
    even = on_lattice(corners[:, :3], faces)[:, None]
    places = torch.cat([torch.rand(500, 3, generator=torch.Generator().manual_seed(1)), torch.eye(3), 1 - torch.eye(3)])
    places = places / places.sum(1, keepdim=True)
    ids = torch.zeros(1, len(places), dtype=torch.int32)
    seen = [
        seen_on_faces(Shadows(corners[:, :3], kinds, finer), torch.tensor([0]), faces, ids, places[None])[0]
        for finer in (even, uneven[:, None])
    ]
    torch.testing.assert_close(seen[0], places @ corners[0, :3], rtol=0, atol=1e-6)  # seen 1.8e-7
    assert (uneven.min() - 1e-6 <= seen[1]).all() and (seen[1] <= uneven.max() + 1e-6).all()
    assert seen[1].std(0).min() > 0.1


def test_between_vertices_that_agree_nobody_looks_up(monkeypatch: pytest.MonkeyPatch):
    """And what is seen there is what a look-up would have said; where it is dark all over too."""
    near = drawn("reference")[0]
    monkeypatch.setattr(reference, "EVEN", -1.0)
    monkeypatch.setattr(reference, "BROADLY", 1e3)
    everywhere = drawn("reference", shadows=cast_on(horns()))[0]
    assert not torch.equal(near, everywhere)
    assert (near - everywhere).abs().max() < 0.005  # seen 0.0022


def test_no_light_no_map_no_change():
    inputs = horns()
    plain = {name: value for name, value in inputs.items() if name not in ("shadows", "shadow_index")}
    here = {name: value.cpu() if isinstance(value, torch.Tensor) else value for name, value in plain.items()}
    before, after = render(**here).image, render(**here, shadows=Shadows()).image
    assert before is not None and after is not None and torch.equal(before, after)


def test_wrong_maps_are_named():
    inputs = horns()
    shadows = inputs["shadows"]
    for wrong, named in (
        (shadows._replace(kinds=shadows.kinds[:, :-1]), "kinds"),
        (shadows._replace(finer=shadows.finer[:, :, :-1]), "finer"),
        (shadows._replace(finer=None), "finer"),
        (shadows._replace(seen=None), "seen"),
    ):
        with pytest.raises(ValueError, match=named):
            render(**(inputs | {"shadows": wrong}))
    with pytest.raises(ValueError, match="shadow_index"):
        render(**{**inputs, "shadow_index": torch.tensor([0, 1, 3])})
    with pytest.raises(ValueError, match="size must be one of 32, 64"):
        cast_shadows(**(casting_inputs() | {"size": 100}))
    assert map_levels(64) == [(0, 64), (4096, 32), (5120, 16), (5376, 8)]
