"""The renderer gives what `render` gives, waits for nothing on a device, and keeps its promises when captured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import pain3d
from pain3d.device import map_tensors
from pain3d.kernels import _remembered
from pain3d.kernels.rendering import texels
from pain3d.kernels.rendering.texels import pack_texels
from pain3d.rendering.renderer import Captured, Renderer
from pain3d.skin import surface
from tests.kernels.fake_renderer import OUTPUTS, SCRIPT
from tests.kernels.rooms import device_of
from tests.kernels.test_plain_call import draw_nothing

HEAD = pain3d.Head.default()
CAMERAS = pain3d.Camera.orbit(yaw_degrees=(-40, 0, 40), size=40)
PAIN = pain3d.ActionUnits(AU4=4, AU6=3, AU9=2, AU43=1)
WITHOUT_GPU = not torch.cuda.is_available()


def rows(seed: int, count: int = 3) -> dict[str, torch.Tensor]:
    people = [HEAD.sample_identity(seed, number) for number in range(count)]
    au = torch.rand(count, 24, 2, generator=torch.Generator().manual_seed(seed)) * 3
    return {"identity": HEAD.identity_vector(people), "au": au[:, : HEAD.au_rows(None).shape[1]]}


def test_gives_what_render_gives() -> None:
    given = rows(0)
    renderer = Renderer(size=40, outputs=("image", "alpha", "depth", "part_ids"))
    view, expected = renderer(CAMERAS, **given), pain3d.render(HEAD(**given), CAMERAS, outputs=renderer.outputs)
    for name in renderer.outputs:
        assert torch.equal(getattr(view, name), getattr(expected, name)), name
    assert view.face_ids is None and view.heatmap is None


def test_what_a_camera_sees_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, mesh = pain3d.Camera.orbit(yaw_degrees=10.0, size=32), HEAD()
    first = pain3d.render(mesh, camera).image
    assert first is not None
    with monkeypatch.context() as patched:
        patched.delattr(pain3d.Camera, "world_to_clip")
        assert torch.equal(first, pain3d.render(mesh, camera).image)
    camera.fov_degrees.mul_(1.5)
    wider = pain3d.render(mesh, camera).image
    again = pain3d.render(mesh, map_tensors(camera, torch.clone)).image
    assert torch.equal(wider, again) and not torch.equal(first, wider)


def test_heatmap_is_the_joint_heatmap() -> None:
    person = HEAD.sample_identity(seed=3)
    view = Renderer(size=40, outputs=("heatmap",))(CAMERAS, identity=person, au=PAIN, mesh_index=torch.zeros(3).long())
    expected = pain3d.joint_heatmap(HEAD, PAIN, CAMERAS, identity=person)
    assert view.heatmap is not None and float(view.heatmap.max()) > 1
    torch.testing.assert_close(view.heatmap, expected, rtol=0, atol=1e-4)  # mm; worst seen 2e-6


def test_heatmap_of_a_neutral_face_is_exactly_zero_whatever_its_pose() -> None:
    renderer = Renderer(size=40, outputs=("heatmap", "image"))
    view = renderer(CAMERAS, identity=rows(1)["identity"], pose={"neck_pose": torch.full((3, 3), 0.2)})
    assert view.heatmap is not None and not view.heatmap.any()


def test_triton_draws_what_the_cpu_draws() -> None:
    """In the interpreter, or on a GPU: prepared tables, heatmap, parts and all."""
    given, cameras = rows(12, 1), pain3d.Camera.orbit(yaw_degrees=20.0)
    there = Renderer(size=32, device=device_of("triton"), outputs=OUTPUTS, backend="triton")
    assert there._prepared is not None
    view, expected = there(cameras, **given), Renderer(size=32, outputs=OUTPUTS)(cameras, **given)
    assert view.part_ids is not None and view.heatmap is not None and view.image is not None
    assert expected.part_ids is not None and expected.heatmap is not None and expected.image is not None
    # Vertices differ by 1e-7 m (sums in another order), far less than a pixel. Worst seen, interpreter, 320 pixels a
    # side: no part, no byte by more than one level, heat by 1.4e-6 mm; on a GPU vertices are within 1.4e-4 mm.
    assert (view.part_ids.cpu() != expected.part_ids).sum() <= 2
    assert ((view.image.cpu().int() - expected.image.int()).abs() > 1).sum() <= 6
    torch.testing.assert_close(view.heatmap.cpu(), expected.heatmap, rtol=0, atol=1e-3)  # mm


def test_one_camera_sees_many_faces() -> None:
    """As many pictures as there are expressions, people, textures or lights; each as with a camera of its own."""
    camera, renderer = pain3d.Camera.orbit(yaw_degrees=15.0), Renderer(size=24, outputs=("image", "heatmap"))
    many = pain3d.Camera.orbit(yaw_degrees=[15.0] * 12)
    units = [pain3d.ActionUnits(AU4=number / 3) for number in range(12)]
    view, expected = renderer(camera, au=units), renderer(many, au=units)
    assert view.image is not None and view.heatmap is not None and len(view.image) == 12
    assert torch.equal(view.image, expected.image) and torch.equal(view.heatmap, expected.heatmap)
    mesh, lights = HEAD(), map_tensors(pain3d.Light.preset("ward"), lambda part: torch.cat([part, part * 0.5]))
    for given in ({"light": lights}, {"texture": torch.rand(2, 4, 4, 16)}, {"background": torch.rand(2, 1, 1, 3)},
                  {"mesh_index": torch.zeros(2).long()}, {"texture_index": torch.zeros(2).long()}):  # fmt: skip
        assert len(pain3d.render(mesh, replace(camera, size=(16, 16)), **given).image) == 2
    with pytest.raises(ValueError, match=r"^there must be 1 or 3 lights for 3 pictures, got 2$"):
        pain3d.render(HEAD(au=units[:3]), camera, light=lights)
    with pytest.raises(ValueError, match=r"^mesh_index must have 3 entries for 3 pictures, got 2$"):
        pain3d.render(mesh, camera, texture=torch.rand(3, 4, 4, 16), mesh_index=torch.zeros(2).long())


def test_people_come_in_batches() -> None:
    """From parameters to textured pictures of different people: each as that person alone gets it."""
    people = [HEAD.sample_identity(seed=0, identity_id=number) for number in range(3)]
    skins = [
        pain3d.sample_skin(0, number, age=one.age, sex=one.sex, ancestry=one.ancestry)
        for number, one in enumerate(people)
    ]
    maps, camera, renderer = pain3d.surface_maps(HEAD, 64), pain3d.Camera.orbit(yaw_degrees=15.0), Renderer(size=32)
    grown, painted = surface(HEAD, skins), pain3d.paint(maps, skins)
    assert grown.growth.shape == (3, len(HEAD.template)) and painted.shape == (3, 64, 64, 16)
    together = renderer(camera, identity=people, au=PAIN, surface=grown, texture=painted).image
    assert together is not None and len(together) == 3
    for number, (person, skin) in enumerate(zip(people, skins, strict=True)):
        texture = pain3d.paint(maps, skin)
        assert torch.equal(texture, painted[number])
        alone = renderer(camera, identity=person, au=PAIN, surface=surface(HEAD, skin), texture=texture[None]).image
        assert alone is not None and torch.equal(alone[0], together[number])
    with pytest.raises(ValueError, match=r"^skin must be a Skin or a sequence of them, got none$"):
        surface(HEAD, [])
    with pytest.raises(ValueError, match=r"^skin must be a Skin or a sequence of them, got Identity$"):
        pain3d.paint(maps, people)
    with pytest.raises(ValueError, match=r"^albedo must be one for each of 3 people, got 1$"):
        pain3d.paint(maps, skins, [None])


def test_layout_and_dtype() -> None:
    bytes_ = Renderer(size=24)(CAMERAS, au=PAIN).image
    scaled = Renderer(size=24, image_dtype="bfloat16", layout="NCHW")(CAMERAS, au=PAIN).image
    assert bytes_ is not None and scaled is not None
    assert scaled.shape == (3, 3, 24, 24) and scaled.dtype == torch.bfloat16
    assert torch.equal(scaled, (bytes_.permute(0, 3, 1, 2).float() / 255).to(torch.bfloat16))


def test_an_unknown_output_is_named() -> None:
    with pytest.raises(ValueError, match=r"outputs must be among image, alpha, .*heatmap, got 'normals'"):
        Renderer(outputs=("image", "normals"))


def test_capture_on_a_cpu_is_refused() -> None:
    with pytest.raises(RuntimeError, match="capture needs a renderer on a CUDA device, this one is on cpu"):
        Renderer(size=24).capture(CAMERAS, au=PAIN)


def run_again(run: Callable[[], pain3d.View]) -> tuple[Callable[[], None], pain3d.View]:
    """Stand in for a CUDA graph: a replay that runs the same code on the same inputs into the same outputs."""
    view = run()

    def replay() -> None:
        again = run()
        for name in ("image", "heatmap"):
            if getattr(view, name) is not None:
                getattr(view, name).copy_(getattr(again, name))

    return replay, view


def test_captured_reads_new_inputs_and_leaves_the_callers_alone() -> None:
    renderer = Renderer(size=24, outputs=("image", "heatmap"))
    first, second = rows(5), rows(6)
    given = renderer.inputs(CAMERAS, **first)
    captured = Captured(renderer, given, run_again)
    view = captured(CAMERAS, **second)
    expected = renderer(CAMERAS, **second)
    assert torch.equal(view.image, expected.image) and torch.equal(view.heatmap, expected.heatmap)
    assert torch.equal(given.identity, first["identity"])
    again = captured(CAMERAS, **first)
    assert again.image is view.image and torch.equal(again.image, renderer(CAMERAS, **first).image)


def test_captured_packs_a_texture_where_it_comes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded packs nothing, and reads the texture that came in last. No kernel is launched here."""
    drawn = draw_nothing(monkeypatch)
    monkeypatch.setattr(_remembered, "keeping_place", lambda tensor: None)  # as while a graph is recorded
    monkeypatch.delattr(texels, "pack_texels")  # which `render` would call; the renderer has its own name for it
    renderer = Renderer(size=8, device=device_of("triton"), backend="triton")
    camera = pain3d.Camera.orbit(yaw_degrees=20.0)
    red, green = torch.zeros(2, 1, 1, 1, 16).unbind()
    red[..., 0] = green[..., 1] = 0.7
    captured = Captured(renderer, renderer.inputs(camera, texture=red), run_again)
    for texture in (red, green, red):
        captured(camera, texture=texture)
        assert torch.equal(drawn[-1].cpu(), pack_texels(texture.flatten(1, 2)))
        assert drawn[-1] is drawn[0]  # the memory that was recorded
    unshaded = Renderer(size=8, device=device_of("triton"), backend="triton", outputs=("depth",))
    assert Captured(unshaded, unshaded.inputs(camera, texture=red), run_again)._packed is None


def surfaces() -> list[pain3d.mesh.Surface]:
    """Of a young and of an old person."""
    ancestry = (0.3, 0.3, 0.4)
    return [
        surface(HEAD, pain3d.sample_skin(0, n, age=age, sex=0.5, ancestry=ancestry)) for n, age in ((0, 25), (1, 85))
    ]


def test_a_surface_reaches_the_picture() -> None:
    """Wrinkles as dark stripes: a detail layer of nothing but shade."""
    texture = torch.zeros(1, 1, 1, 16)
    texture[..., :3], texture[..., [10, 14]] = 0.5, 1.0
    renderer, (young, old) = Renderer(size=40), surfaces()
    given = {"identity": rows(7)["identity"], "au": PAIN}
    view = renderer(CAMERAS, **given, texture=texture, surface=old)
    expected = pain3d.render(HEAD(**given, surface=old), CAMERAS, texture=texture).image
    assert view.image is not None and expected is not None and torch.equal(view.image, expected)
    smoother = renderer(CAMERAS, **given, texture=texture, surface=young).image
    bare = renderer(CAMERAS, **given, texture=texture).image
    assert smoother is not None and bare is not None
    assert view.image.float().mean() < smoother.float().mean()
    assert not torch.equal(smoother, bare)


def test_captured_surfaces_share_their_creases() -> None:
    renderer, (young, old) = Renderer(size=24, outputs=("image", "heatmap")), surfaces()
    captured = Captured(renderer, renderer.inputs(CAMERAS, **rows(5), surface=young), run_again)
    kept = young.growth.clone()
    view, expected = captured(CAMERAS, **rows(6), surface=old), renderer(CAMERAS, **rows(6), surface=old)
    assert torch.equal(view.image, expected.image) and torch.equal(young.growth, kept)
    with pytest.raises(ValueError, match=r"surface.creases must be the captured ones"):
        captured(CAMERAS, **rows(6), surface=replace(old, creases=old.creases.clone()))
    with pytest.raises(ValueError, match=r"the same arguments must be given as were captured: surface.* differ"):
        captured(CAMERAS, **rows(6))


def test_captured_names_what_differs() -> None:
    renderer = Renderer(size=24, outputs=("image", "heatmap"))
    captured = Captured(renderer, renderer.inputs(CAMERAS, **rows(5)), run_again)
    with pytest.raises(ValueError, match=r"identity must be \[3, 201\] as captured, got \[2, 201\]"):
        captured(CAMERAS, **rows(5, 2))
    with pytest.raises(ValueError, match=r"the same arguments must be given as were captured: pose.neck_pose differ"):
        captured(CAMERAS, **rows(5), pose={"neck_pose": torch.zeros(3, 3)})
    learning = rows(5)["au"].requires_grad_()
    with pytest.raises(ValueError, match=r"^au requires a gradient, which a captured graph lacks"):
        captured(CAMERAS, **rows(5) | {"au": learning})


def test_nothing_waits_on_a_device(tmp_path: Path) -> None:
    """The whole forward on fake tensors of a CUDA device: no copy from the host, no wait, no mixture, few launches."""
    done = subprocess.run([sys.executable, SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cases = [json.loads(line) for line in done.stdout.splitlines()]
    assert [case["case"] for case in cases] == ["still", "posed", "wrinkled", "people x expressions"]
    for case in cases:
        assert case["objections"] == []
        launches = {name: count for name, count in case["ops"].items() if name.startswith("launch ")}
        assert launches["launch resolve_kernel"] == launches["launch antialias_queue_kernel"] == 1
        assert sum(launches.values()) <= 20, launches  # of them 12 or 13 deform: two heads, six or seven steps each


@pytest.mark.skipif(WITHOUT_GPU, reason="needs a CUDA device")
def test_a_captured_graph_gives_the_same_bytes() -> None:
    renderer = Renderer(size=96, device="cuda", outputs=OUTPUTS)
    captured = renderer.capture(CAMERAS, **rows(8))
    for seed in (9, 10):
        view = map_tensors(captured(CAMERAS, **rows(seed)), torch.clone)
        expected = renderer(CAMERAS, **rows(seed))
        for name in OUTPUTS:
            assert torch.equal(getattr(view, name), getattr(expected, name)), name


@pytest.mark.skipif(WITHOUT_GPU, reason="needs a CUDA device")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    given = rows(11)
    here = Renderer(size=96)(CAMERAS, **given).image
    there = Renderer(size=96, device="cuda")(CAMERAS, **given).image
    assert here is not None and there is not None
    apart = (here.int() - there.cpu().int()).abs()
    # Vertices differ by some 1e-7 m (another order of sums): a pixel centre now and then lies on another face.
    assert float((apart > 2).float().mean()) < 2e-3


@pytest.mark.skipif(WITHOUT_GPU, reason="needs a CUDA device")
def test_a_mesh_depends_on_neither_batch_nor_index_on_a_gpu() -> None:
    head, generator = HEAD.on("cuda"), torch.Generator().manual_seed(12)
    given = map_tensors(rows(12, 8), lambda tensor: tensor.to("cuda"))
    whose = torch.randint(8, (130,), generator=generator).to("cuda")
    au, neck = given["au"][whose].flip(0), 0.1 * torch.randn(130, 3, generator=generator).to("cuda")
    together = head(given["identity"], au, neck_pose=neck, person_index=whose)
    for count in (1, 2, 3, 65):
        person = given["identity"][whose[:count]]
        alone = head(person, au[:count], neck_pose=neck[:count])
        for name in ("vertices", "joints", "occlusion", "up"):
            assert torch.equal(getattr(alone, name), getattr(together, name)[:count]), (count, name)
