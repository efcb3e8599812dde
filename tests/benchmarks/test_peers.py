"""Peers draw the same thing: each is shown to be right where it can run, and says why where it can't."""

import math
import operator
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.backends import render_call
from benchmarks.check import check, truth_of
from benchmarks.implementation import Implementation, peers
from benchmarks.peers import _meshes, mitsuba_direct, moderngl_llvmpipe, nvdiffrast_chain
from benchmarks.peers._pool import Pool, scene_of
from benchmarks.peers.smplx_style import skin
from benchmarks.sampled import mesh_workload, picture_workload
from benchmarks.workload import Size, Workload
from pain3d import Camera
from tests.benchmarks import fake_drtk
from tests.kernels import fake_nvdiffrast

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = ("moderngl", "pyrender", "mitsuba", "drjit", "nvdiffrast", "drtk", "OpenGL")


def baseline(name: str) -> Implementation:
    return next(peer for peer in peers() if peer.name == name)


@pytest.fixture(scope="module")
def pictures() -> Workload:
    return picture_workload("render", Size(3, 128), texture_size=64)


def test_everybody_is_there() -> None:
    assert {peer.name for peer in peers()} == {
        "smplx-style", "moderngl", "moderngl-msaa4", "pyrender", "mitsuba", "mitsuba-projective", "mitsuba-detached",
        "nvdiffrast", "nvdiffrast-eager", "nvdiffrast-bare", "drtk",
    }  # fmt: skip
    assert not any(peer.ours for peer in peers())


def test_importing_peers_imports_nothing_optional() -> None:
    code = """
import sys
from benchmarks.implementation import peers
assert peers()
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(OPTIONAL)


@pytest.mark.parametrize("name", ["moderngl", "pyrender", "mitsuba", "nvdiffrast", "drtk"])
def test_what_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[type(baseline(name)).__module__]
    monkeypatch.setattr(module, "find_spec", lambda library: None)
    device = "cuda" if name in ("nvdiffrast", "drtk") else "cpu"
    assert baseline(name).why_not(device) == f"{name} is not installed"
    assert baseline(name).why_not("cpu" if device == "cuda" else "cuda")
    assert baseline(name).note


def test_without_egl_there_is_no_llvmpipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderngl_llvmpipe, "find_spec", lambda library: True)
    for found, said in ((None, "no EGL device"), ("NVIDIA A", "OpenGL is NVIDIA A here"), ("llvmpipe (LLVM 15)", None)):
        monkeypatch.setattr(moderngl_llvmpipe, "renderer_name", lambda found=found: found)
        reason = baseline("moderngl").why_not("cpu")
        assert reason is None if said is None else reason is not None and reason.startswith(said)


def test_mitsuba_says_which_variant_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mitsuba_direct, "find_spec", lambda library: True)
    monkeypatch.setattr(mitsuba_direct, "variant", lambda: mitsuba_direct.SCALAR)
    assert baseline("mitsuba").note.startswith("scalar_rgb (the LLVM library found here can't")
    assert baseline("mitsuba").why_not("cpu") is None
    assert baseline("mitsuba-projective").why_not("cpu") == mitsuba_direct.UNFIT  # compiled C++ has no gradients
    monkeypatch.setattr(mitsuba_direct, "variant", lambda: mitsuba_direct.VECTORISED)
    assert baseline("mitsuba-projective").why_not("cpu") is None
    assert baseline("mitsuba").note.startswith("llvm_ad_rgb, direct light")


@pytest.mark.parametrize("case", ["deform", "deform_pairs", "head"])
def test_smplx_style_gives_the_vertices(case: str) -> None:
    workload = mesh_workload(case, Size(4) if case == "deform" else Size(4, meshes=2))
    peer = baseline("smplx-style")
    assert peer.why_not("cpu") is None and peer.why_not("cuda") is None
    answer = peer.start(case, workload)(0)
    checked = check(peer, workload, truth_of(workload), answer)
    assert checked.passed, checked.seen


def test_skinning_by_hand() -> None:
    """One vertex between a joint that stays and one that turns a quarter about z and moves by 2 along x."""
    turn = torch.tensor([[0.0, -1, 0, 2], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    transforms = torch.stack([torch.eye(4), turn])[None]
    weights, basis = torch.tensor([[0.5, 0.5]]), torch.tensor([[[1.0], [0.0], [3.0]]])  # [V, 3, K]
    vertices = skin(torch.tensor([[0.0, 4.0, 0.0]]), basis, weights, torch.tensor([[2.0]]), transforms)
    # shaped: (2, 4, 6); turned: (-4 + 2, 2, 6); the mean of both
    assert vertices.tolist() == [[[0.0, 3.0, 6.0]]]


def test_corners_are_the_mesh_with_one_index(pictures: Workload) -> None:
    shared = scene_of(pictures).shared
    gather, uvs, indices = _meshes.corners_of(shared)
    assert np.array_equal(gather[indices], shared.faces)
    assert np.array_equal(uvs[indices], shared.uvs[shared.uv_faces])
    assert len(uvs) < 1.1 * len(shared.uvs) and indices.dtype == np.int32


def test_pose_is_the_camera(pictures: Workload) -> None:
    camera = Camera.orbit(yaw_degrees=25.0, pitch_degrees=-10.0, roll_degrees=5.0, fov_degrees=31.0, size=64)
    pose, field_of_view = _meshes.pose_of(camera.world_to_clip[0].numpy(), camera.position[0].numpy())
    np.testing.assert_allclose(pose @ camera.world_to_view[0].numpy(), np.eye(4), atol=1e-6)  # seen: 1e-7, float32
    assert math.degrees(field_of_view) == pytest.approx(31.0, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["moderngl", "moderngl-msaa4", "pyrender", "mitsuba"])
def test_pictures_show_the_same_head(name: str, pictures: Workload) -> None:
    peer = baseline(name)
    reason = peer.why_not("cpu")
    if reason:
        pytest.skip(f"{name}: {reason}")
    run = peer.start("render", pictures)
    try:
        image = torch.as_tensor(run(0)["image"]).clone()
        again = {"image": torch.as_tensor(run(1)["image"]).clone()}
        back = torch.as_tensor(run(0)["image"]).clone()
    finally:
        peer.close()
    checked = check(peer, pictures, truth_of(pictures), {"image": image})
    assert checked.passed, checked.seen
    assert torch.equal(image, back) and not torch.equal(image, again["image"])  # sets go by number
    if name.startswith("moderngl"):  # has our shading: within the head it is our picture
        ours = render_call(pictures, pictures.ring[0], "cpu", ("image", "alpha"))
        inside = torch.nn.functional.max_pool2d((ours.alpha < 255).float()[:, None], 3, 1, 1)[:, 0] == 0
        difference = (image.int() - ours.image.int()).abs()[inside].float()
        assert difference.mean() < 2.0, difference.mean()  # levels; seen: 0.26, and 0.44 with four samples


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mitsuba-projective", "mitsuba-detached"])
def test_mitsuba_returns_gradients(name: str) -> None:
    peer, workload = baseline(name), picture_workload("gradient", Size(2, 64), texture_size=64)
    reason = peer.why_not("cpu")
    if reason:
        pytest.skip(f"{name}: {reason}")
    run = peer.start("gradient", workload)
    try:
        answer = {key: value.clone() for key, value in run(0).items()}
        back = run(1) and run(0)
    finally:
        peer.close()
    truth = truth_of(workload)
    checked = check(peer, workload, truth, answer)
    assert checked.passed, checked.seen
    assert torch.equal(answer["linear"], back["linear"])  # sets go by number
    nothing = answer | {"grad_vertices": torch.zeros_like(answer["grad_vertices"])}
    assert not check(peer, workload, truth, nothing).passed
    assert not check(peer, workload, truth, {"linear": answer["linear"]}).passed


@pytest.mark.slow
def test_a_process_that_fails_is_reported(pictures: Workload) -> None:
    with pytest.raises(RuntimeError, match=r"a drawing process failed:[\s\S]*TypeError"):
        Pool(os.getcwd, pictures, {}, {}, processes=1)  # takes no arguments


@pytest.mark.slow
def test_a_process_that_dies_is_reported(pictures: Workload) -> None:
    pool = Pool(operator.is_, pictures, {}, {}, processes=2)  # is ready at once, and no painter
    pool._workers[0][0].kill()
    try:
        with pytest.raises(RuntimeError, match="a drawing process ended with exit code -9"):
            pool.draw(0)
    finally:
        pool.close()


@pytest.fixture
def library() -> Any:
    with fake_nvdiffrast.installed() as module:
        yield module


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("nvdiffrast", "visibility"),
        ("nvdiffrast", "rasterize"),
        ("nvdiffrast-eager", "render"),
        ("nvdiffrast-bare", "render"),
    ],
)
def test_nvdiffrast_chain_draws_the_head(library: Any, name: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = picture_workload(case, Size(2, 24), texture_size=64)
    monkeypatch.setattr(nvdiffrast_chain, "PIXELS_AT_ONCE", 24**2)
    peer = baseline(name)
    answer = peer.start(case, workload)(0)
    checked = check(peer, workload, truth_of(workload), answer)
    assert checked.passed, checked.seen
    if name == "nvdiffrast-eager":
        ours = render_call(workload, workload.ring[0], "reference", ("image",)).image
        assert (answer["image"].int() - ours.int()).abs().float().mean() < 2.0  # levels; seen: 0.48


@pytest.mark.parametrize("case", ["visibility", "rasterize"])
def test_drtk_sees_the_head(case: str) -> None:
    workload = picture_workload(case, Size(2, 24))
    peer, truth = baseline("drtk"), truth_of(workload)
    with fake_drtk.installed():
        answer = dict(peer.start(case, workload)(0))
    checked = check(peer, workload, truth, answer)
    assert checked.passed, checked.seen
    shifted = answer | {"face_ids": answer["face_ids"].roll(1, 1)}
    assert not check(peer, workload, truth, shifted).passed
    if case == "rasterize":
        turned = answer | {"barycentrics": answer["barycentrics"].roll(1, -1)}  # of another corner
        assert not check(peer, workload, truth, turned).passed


def test_calls_hold_pictures_of_one_texture_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = picture_workload("render", Size(8, 16), texture_size=64)
    monkeypatch.setattr(nvdiffrast_chain, "PIXELS_AT_ONCE", 16**2)
    textures = torch.tensor([0, 0, 2, 0, 2, 1, 0, 0])
    each = replace(workload.ring[0], texture_index=textures)
    groups = list(nvdiffrast_chain._groups(each, workload))
    assert sorted(int(at) for _, part in groups for at in part) == list(range(8))
    assert all(len(part) == 1 and textures[part].eq(skin).all() for skin, part in groups)
    monkeypatch.setattr(nvdiffrast_chain, "PIXELS_AT_ONCE", 2**20)
    assert [(skin, part.tolist()) for skin, part in nvdiffrast_chain._groups(each, workload)] == [
        (0, [0, 1, 3, 6, 7]), (1, [5]), (2, [2, 4]),
    ]  # fmt: skip
