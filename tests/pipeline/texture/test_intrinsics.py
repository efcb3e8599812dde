"""De-lighting by a user's intrinsic image pipeline: in the space that its settings name, told in every entry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pain3d import Head, sample_skin, surface
from pain3d.colour import srgb_to_linear
from pain3d.pipeline.texture.bank import TextureBank, read_texture
from pain3d.pipeline.texture.delighting import linear_light
from pain3d.pipeline.texture.intrinsics import Intrinsics, open_intrinsics
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.views import see, standard_cameras
from tests.conftest import Ran
from tests.pipeline.texture.tiny_models import MAKERS, clip, clip_tokeniser, unet, vae

Run = Callable[..., Ran]
SEED = 3
PROPERTIES: dict[str, Any] = {"target_names": ["shading", "albedo"], "albedo": {"prediction_space": "srgb"}}


@pytest.fixture(scope="module")
def marigold(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny pipeline of random weights that says shading and albedo; not to be changed."""
    from diffusers import DDIMScheduler, MarigoldIntrinsicsPipeline

    folder = tmp_path_factory.mktemp("models") / "tiny-iid"
    torch.manual_seed(0)
    MarigoldIntrinsicsPipeline(
        unet=unet(in_channels=12, out_channels=8),  # latents of the picture and of two targets; of the targets
        vae=vae(),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        text_encoder=clip(),
        tokenizer=clip_tokeniser(folder / "tokenizer"),
        prediction_type="intrinsics",
        target_properties=PROPERTIES,
        default_denoising_steps=1,
        default_processing_resolution=64,
    ).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def changed(marigold: Path, target: Path, **settings: Any) -> Path:
    """The same model with other settings; None takes one away."""
    shutil.copytree(marigold, target)
    index = json.loads((target / "model_index.json").read_text()) | settings
    (target / "model_index.json").write_text(json.dumps({name: value for name, value in index.items() if value}))
    return target


def opened(folder: Path) -> Intrinsics:
    """Loaded, without a word."""
    return open_intrinsics(str(folder), "cpu", 64, quiet=True)


def test_albedo_is_linear_whatever_space_the_model_says_it_in(marigold: Path, tmp_path: Path) -> None:
    """sRGB as the appearance model, linear as the lighting model; the second of two targets; views by themselves."""
    pictures = torch.rand(2, 64, 64, 3, generator=torch.Generator().manual_seed(1))
    ours, linear = opened(marigold), {"target_names": ["shading", "albedo"], "albedo": {"prediction_space": "linear"}}
    said = ours.albedo(pictures, SEED)
    as_it_is = opened(changed(marigold, tmp_path / "linear", target_properties=linear)).albedo(pictures, SEED)
    assert torch.equal(said, torch.from_numpy(srgb_to_linear(as_it_is.numpy()).astype(np.float32)))
    first = {"target_names": ["albedo", "shading"], "albedo": {"prediction_space": "linear"}}
    other = opened(changed(marigold, tmp_path / "first", target_properties=first)).albedo(pictures, SEED)
    assert not torch.equal(other, as_it_is)
    assert torch.equal(ours.albedo(pictures[:1], SEED), said[:1])
    assert not torch.equal(ours.albedo(pictures[:1], SEED + 1), said[:1])


def test_texels_have_its_albedo_and_clipped_ones_count_less(monkeypatch: pytest.MonkeyPatch, marigold: Path) -> None:
    head = Head.default()
    who = head.sample_identity(SEED, 0)
    seen = see(head, who, surface(head, sample_skin(SEED, 0, who.age, who.sex, who.ancestry)), standard_cameras(3, 64))
    pictures = torch.full((3, 64, 64, 3), 0.5)
    pictures[1] = 1.0  # burnt out
    shown = linear_light(pictures)
    shown[~seen.conditions.mask] = 0
    lit, weights = project(shown, seen, 64)
    intrinsics = opened(marigold)
    monkeypatch.setattr(intrinsics, "albedo", lambda painted, seed: torch.full_like(painted, 0.25))
    delit = intrinsics.delight(pictures, lit, weights, seen, SEED)
    assert torch.equal(delit.weights[0], weights[0]) and weights[1].any() and not delit.weights[1].any()
    known = weights > 0
    assert (delit.albedo[known] - 0.25).abs().max() < 1e-6  # a mean of equal numbers


def test_a_texture_is_what_it_says_and_the_entry_names_it(
    pain3d: Run, marigold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command; then with weights that are not numbers, which goes to quarantine in one line."""
    MAKERS["sd"](tmp_path / "tiny-sd")
    (tmp_path / "tiny-sd" / "README.md").write_text("---\nlicense: mit\n---\n")
    options = (
        "--identities", "1", "--seed", "3", "--device", "cpu", "--views", "3", "--size", "64", "--view-size", "64",
        "--steps", "1", "--no-check", "--json", "--model", tmp_path / "tiny-sd", "--delight",
    )  # fmt: skip
    albedo, said = Intrinsics.albedo, []

    def grey(self: Intrinsics, pictures: torch.Tensor, seed: int) -> torch.Tensor:
        said.append(albedo(self, pictures, seed))
        return torch.full_like(pictures, 0.25)

    with monkeypatch.context() as patch:
        patch.setattr(Intrinsics, "albedo", grey)
        assert pain3d("texture", tmp_path / "bank", *options, marigold).code == 0
    (entry,) = map((bank := TextureBank(tmp_path / "bank")).entry, bank)
    digest = opened(marigold).digest
    assert entry.licence == "MIT AND Apache-2.0" and entry.model == "tiny-sd"
    assert entry.scheduler.endswith(f", de-lit by tiny-iid {digest}") and entry.model_hash != digest
    (painted,) = said
    assert painted.shape == (3, 64, 64, 3) and painted.std() > 0
    picture = read_texture(bank.place(next(iter(bank))), 64)
    assert (picture[16:32, 24:40] == 137).float().mean() > 0.9  # 0.25 as sRGB, on the face

    spoilt = changed(marigold, tmp_path / "spoilt")
    (weights,) = (spoilt / "unet").glob("*.safetensors")
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}, weights)
    ran = pain3d("texture", tmp_path / "none", *options, spoilt)
    assert ran.code == 2 and ran.err.count("\n") == 1
    assert ran.err.endswith("none of 1 textures is usable: spoilt: its albedo is not a number\n")


def test_models_that_say_no_albedo_are_one_line(pain3d: Run, marigold: Path, tmp_path: Path) -> None:
    MAKERS["sd"](tmp_path / "sd")

    def refused(delight: Path | str, model: Path | str = tmp_path / "sd") -> str:
        small = ("--identities", "1", "--views", "3", "--size", "128", "--view-size", "64", "--device", "cpu", "--json")
        ran = pain3d("texture", tmp_path / "out", "--model", model, "--delight", delight, *small)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1) and not (tmp_path / "out").exists()
        return ran.err.removeprefix("pain3d: ").rstrip()

    def wrong(name: str, **settings: Any) -> str:
        return refused(changed(marigold, tmp_path / name, **settings)).removeprefix(f"{tmp_path / name}: ")

    other = refused(tmp_path / "sd")
    assert other.endswith("sd: a StableDiffusionControlNetPipeline; --delight takes a MarigoldIntrinsicsPipeline")
    assert refused(tmp_path / "nowhere").endswith("nowhere: no such model folder, and not a hub id such as owner/name")
    assert refused(marigold, "") == "recipe tiny is the small model's: delight has no part in it"
    assert wrong("a", target_properties={"target_names": ["shading"]}) == "no albedo among its targets (['shading'])"
    lab = PROPERTIES | {"albedo": {"prediction_space": "lab"}}
    assert wrong("b", target_properties=lab) == "its albedo is in the space 'lab'; known are srgb, linear"
    scaled = PROPERTIES | {"albedo": {"up_to_scale": True}}
    assert wrong("c", target_properties=scaled).startswith("its albedo is up to a scale")
    assert wrong("d", default_denoising_steps=None) == "model_index.json names no default_denoising_steps"
    few = PROPERTIES | {"target_names": ["albedo"]}
    assert wrong("e", target_properties=few) == "its net says 2 pictures, its settings name 1"
    pickled = changed(marigold, tmp_path / "pickled")
    (weights,) = (pickled / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    assert "a pickle, which can run code when it is opened" in refused(pickled)
    ran = pain3d("synth", tmp_path / "out", "--delight", marigold)
    assert ran.err == "pain3d: --delight is for a painter: name one by --texture diffusion\n" and ran.code == 2
