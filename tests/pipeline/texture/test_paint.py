"""Painters of each kind of model, on tiny models: bytes, blends, repeats and refusals."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from pain3d.camera import Camera
from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.paint import DiffusersPainter, open_painter
from pain3d.pipeline.texture.painter import PaintingError, Prompt
from pain3d.pipeline.texture.recipes import Recipe, load_recipe
from tests.pipeline.texture.tiny_models import MAKERS, save_image_encoder

SIDE = 32
VIEWS = 2
PROMPT = Prompt("a woman", "blurry")
SCHEDULERS = {"sd": "ddim", "sdxl": "euler"}  # the others learned by flow matching


def ball(count: int = VIEWS, side: int = SIDE) -> Conditions:
    """A ball before the cameras."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    x, y = (columns - side / 2) / (0.4 * side), (side / 2 - rows) / (0.4 * side)
    z = (1 - x * x - y * y).clamp(min=0).sqrt()
    mask = (z > 0).expand(count, side, side)
    return Conditions(
        cameras=Camera.orbit(size=side),
        depth=torch.where(mask, 1.2 - 0.1 * z, torch.inf),
        normals=torch.stack([x, y, z], -1) * mask[..., None],
        mask=mask,
        landmarks=torch.full((count, 68, 2), 0.8 * side),
        landmarks_visible=torch.ones(count, 68, dtype=torch.bool),
    )


def recipe(name: str = "sd", **more: object) -> Recipe:
    kind = name.removesuffix("2")
    return Recipe(
        name="tiny", kind=kind, **{"steps": 2, "guidance": 2.0, "scheduler": SCHEDULERS.get(name, "flow-euler"), **more}
    )


@pytest.fixture(scope="module")
def painters(tiny_models: Path) -> dict[str, DiffusersPainter]:
    return {name: open_painter(recipe(name), str(tiny_models / name)) for name in MAKERS}


@pytest.fixture(scope="module")
def painted(painters: dict[str, DiffusersPainter]) -> dict[str, Tensor]:
    return {name: painter.paint(ball(), PROMPT, 7) for name, painter in painters.items()}


@pytest.fixture
def painter(tiny_models: Path) -> DiffusersPainter:
    """One to be spoiled, in bfloat16."""
    return open_painter(recipe(), str(tiny_models / "sd"), dtype="bfloat16")


@pytest.mark.parametrize("name", MAKERS)
def test_bytes_are_the_persons(name: str, painters: dict[str, DiffusersPainter], painted: dict[str, Tensor]) -> None:
    """Whoever was painted before, and however many views there are."""
    painter, first = painters[name], painted[name]
    assert first.shape == (VIEWS, SIDE, SIDE, 3) and first.dtype == torch.float32
    assert first.min() >= 0 and first.max() <= 1 and first.std() > 0.02
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(painter.paint(ball(1), PROMPT, 8)[0], first[0])
    assert torch.equal(painter.paint(ball(1), PROMPT, 7), first[:1])
    assert painter.origin.model == name and len(painter.origin.model_hash) == 64
    assert painter.origin.scheduler.endswith("2 steps, guidance 2, depth at 1")


@pytest.mark.parametrize("name", MAKERS)
def test_views_agree_where_a_blend_says_so(
    name: str, painters: dict[str, DiffusersPainter], painted: dict[str, Tensor]
) -> None:
    seen: list[tuple[int, ...]] = []

    def same(latents: Tensor) -> Tensor:
        seen.append(tuple(latents.shape))
        return latents

    assert torch.equal(painters[name].paint(ball(), PROMPT, 7, same), painted[name])
    assert seen == [(VIEWS, 4, SIDE // 2, SIDE // 2)] * 2
    alike = painters[name].paint(ball(), PROMPT, 7, lambda latents: latents.mean(0, keepdim=True).expand_as(latents))
    assert (alike - alike[:1]).abs().max() < 1e-5  # worst seen 7e-7: one estimate, three noises that cancel
    assert not torch.equal(alike, painted[name])


@pytest.mark.parametrize("name", MAKERS)
def test_only_what_is_asked_is_painted_anew(
    name: str, painters: dict[str, DiffusersPainter], painted: dict[str, Tensor]
) -> None:
    conditions = ball(1)
    before, where = painted[name][:1], conditions.mask
    after = painters[name].inpaint(before, where, conditions, PROMPT, 8)
    assert torch.equal(after[~where], before[~where]) and not torch.equal(after[where], before[where])


@pytest.mark.parametrize("name", MAKERS)
def test_refining_begins_at_the_picture(
    name: str, painters: dict[str, DiffusersPainter], painted: dict[str, Tensor]
) -> None:
    conditions, before = ball(1), painted[name][:1]
    assert torch.equal(painters[name].refine(before, conditions, PROMPT, 8, 0.0), before)
    little = painters[name].refine(before, conditions, PROMPT, 8, 0.1)
    much = painters[name].refine(before, conditions, PROMPT, 8, 1.0)
    assert little.shape == before.shape and not torch.equal(little, much)
    with pytest.raises(ValueError, match=r"strength must be in 0\.\.1, got 2"):
        painters[name].refine(before, conditions, PROMPT, 8, 2.0)


def test_several_views_in_a_pass(tiny_models: Path) -> None:
    painter = open_painter(recipe(micro_batch=2), str(tiny_models / "sd"))
    plain = painter.paint(ball(3), PROMPT, 7)
    assert torch.equal(painter.paint(ball(3), PROMPT, 7, lambda latents: latents), plain)


@pytest.mark.parametrize("scheduler", ["dpm++", "lcm", "tcd"])
def test_few_step_schedulers(scheduler: str, tiny_models: Path) -> None:
    painter = open_painter(recipe(scheduler=scheduler), str(tiny_models / "sd"))
    plain = painter.paint(ball(1), PROMPT, 7)
    assert torch.equal(painter.paint(ball(1), PROMPT, 7, lambda latents: latents), plain)


def test_a_control_of_a_single_file(tiny_models: Path, tmp_path: Path, painted: dict[str, Tensor]) -> None:
    """Z-Image's comes so: its settings are in the recipe."""
    folder = Path(shutil.copytree(tiny_models / "zimage", tmp_path / "zimage"))
    (weights,) = (folder / "controlnet").glob("*.safetensors")
    settings = json.loads((folder / "controlnet" / "config.json").read_text())
    held = {name: value for name, value in load_file(weights).items() if name.startswith("control_")}
    save_file(held, tmp_path / "control.safetensors")  # the published one has no more: the rest is the base's
    shutil.rmtree(folder / "controlnet")
    own = {name: value for name, value in settings.items() if not name.startswith("_")}
    painter = open_painter(recipe("zimage", control_settings=own), str(folder), str(tmp_path / "control.safetensors"))
    assert torch.equal(painter.paint(ball(1), PROMPT, 7), painted["zimage"][:1])


def test_low_rank_updates(tiny_models: Path, tmp_path: Path, painted: dict[str, Tensor]) -> None:
    from diffusers import StableDiffusionControlNetPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    plain = open_painter(recipe(), str(tiny_models / "sd"))
    net = plain._pipeline.unet
    net.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights=False))
    StableDiffusionControlNetPipeline.save_lora_weights(tmp_path, unet_lora_layers=get_peft_model_state_dict(net))
    (file,) = tmp_path.glob("*.safetensors")
    updated = open_painter(recipe(lora=str(file)), str(tiny_models / "sd"))
    assert updated.origin.model_hash != plain.origin.model_hash
    assert not torch.equal(updated.paint(ball(1), PROMPT, 7), painted["sd"][:1])
    without = open_painter(recipe(lora=str(file), lora_scale=0.0), str(tiny_models / "sd"))
    assert torch.allclose(without.paint(ball(1), PROMPT, 7), painted["sd"][:1], atol=1e-5)


def test_a_picture_to_go_by(tiny_models: Path, tmp_path: Path, painted: dict[str, Tensor]) -> None:
    """An IP-Adapter with random weights: it changes what is painted, unless its strength is 0."""
    plain = open_painter(recipe(), str(tiny_models / "sd"))
    generator = torch.Generator().manual_seed(4)
    layers = [module for name, module in plain._pipeline.unet.named_modules() if name.endswith("attn2")]
    width = layers[0].to_k.in_features
    shapes = {"image_proj.proj.weight": (4 * width, 16), "image_proj.proj.bias": (4 * width,)}
    shapes |= {"image_proj.norm.weight": (width,), "image_proj.norm.bias": (width,)}
    for place, layer in enumerate(layers):
        for part in ("k", "v"):
            shapes[f"ip_adapter.{2 * place + 1}.to_{part}_ip.weight"] = (layer.to_k.out_features, width)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(weights, tmp_path / "adapter.safetensors")
    save_image_encoder(tmp_path / "image_encoder")
    Image.new("RGB", (40, 40), "brown").save(tmp_path / "picture.png")
    wanted = {"ip_adapter": str(tmp_path / "adapter.safetensors"), "ip_picture": str(tmp_path / "picture.png")}
    adapted = open_painter(recipe(**wanted), str(tiny_models / "sd"))
    assert adapted.origin.model_hash != plain.origin.model_hash
    assert not torch.allclose(adapted.paint(ball(1), PROMPT, 7), painted["sd"][:1], atol=1e-3)
    none = open_painter(recipe(**wanted, ip_scale=0.0), str(tiny_models / "sd"))
    assert torch.allclose(none.paint(ball(1), PROMPT, 7), painted["sd"][:1], atol=1e-5)


def test_pickles_beside_the_model_are_refused(tiny_models: Path, tmp_path: Path) -> None:
    (tmp_path / "low.bin").write_bytes(b"pickle")
    with pytest.raises(RefusedError, match=r"low\.bin: a pickle, which can run code"):
        open_painter(recipe(lora=str(tmp_path / "low.bin")), str(tiny_models / "sd"))
    with pytest.raises(RefusedError, match=r"none\.safetensors: no such file of weights"):
        open_painter(recipe(lora=str(tmp_path / "none.safetensors")), str(tiny_models / "sd"))
    with pytest.raises(RefusedError, match="ip_adapter and ip_picture go together"):
        recipe(ip_adapter="a.safetensors")


def test_what_fails_in_half_precision_is_painted_once_more(painter: DiffusersPainter) -> None:
    def overflow(_: object, __: object, made: Tensor) -> Tensor:
        return made * torch.nan if made.dtype == torch.bfloat16 else made

    painter._pipeline.vae.decoder.register_forward_hook(overflow)
    pictures = painter.paint(ball(1), PROMPT, 7)
    assert pictures.isfinite().all() and painter.repainted == {7: "not a number in bfloat16"}
    assert torch.equal(painter.paint(ball(1), PROMPT, 7), pictures)  # and the weights are in bfloat16 again


@pytest.mark.parametrize(
    ("value", "reason"), [(torch.nan, "not a number in bfloat16, and again not a number in float32"),
                          (-9.0, "a black picture in bfloat16, and again a black picture in float32")]
)  # fmt: skip
def test_what_fails_twice_is_told(value: float, reason: str, painter: DiffusersPainter) -> None:
    painter._pipeline.vae.decoder.register_forward_hook(lambda _, __, made: torch.full_like(made, value))
    with pytest.raises(PaintingError, match=f"sd, seed 7: {reason}"):
        painter.paint(ball(1), PROMPT, 7, lambda latents: latents)


def test_float32_is_not_repeated(tiny_models: Path) -> None:
    painter = open_painter(recipe(), str(tiny_models / "sd"))
    painter._pipeline.vae.decoder.register_forward_hook(lambda _, __, made: made * torch.nan)
    with pytest.raises(PaintingError, match=r"seed 7: not a number$"):
        painter.paint(ball(1), PROMPT, 7)
    assert not painter.repainted


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), MemoryError(), RuntimeError("can't allocate memory")]
)
def test_out_of_memory(error: Exception, painter: DiffusersPainter) -> None:
    def full(*_: object) -> None:
        raise error

    painter._pipeline.unet.register_forward_pre_hook(full)
    with pytest.raises(RefusedError, match=r"out of memory; .*sd: 0\.00 billion weights in bfloat16"):
        painter.paint(ball(), PROMPT, 7, lambda latents: latents)


def test_sizes_that_do_not_fit(painters: dict[str, DiffusersPainter]) -> None:
    with pytest.raises(RefusedError, match="the sides of a view must be multiples of 16, got 40 × 40"):
        painters["flux"].paint(ball(1, 40), PROMPT, 7)


def test_models_that_do_not_fit(tiny_models: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="flux: a model of the kind flux, but recipe tiny is for sd"):
        open_painter(recipe(), str(tiny_models / "flux"))
    with pytest.raises(RefusedError, match="recipe tiny: of the small model"):
        open_painter(load_recipe("tiny"), str(tiny_models / "sd"))
    with pytest.raises(RefusedError, match="recipe tiny: names no model"):
        open_painter(recipe())
    spoiled = Path(shutil.copytree(tiny_models / "sd", tmp_path / "spoiled"))
    shutil.copy(spoiled / "vae" / "config.json", spoiled / "unet" / "other.json")
    net = next((spoiled / "unet").glob("*.safetensors"))
    shutil.copy(next((spoiled / "vae").glob("*.safetensors")), net)
    with pytest.raises(RefusedError, match="spoiled: diffusers can't load it"):
        open_painter(recipe(), str(spoiled))
