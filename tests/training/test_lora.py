"""Holds low-rank updates: nothing at first, only they learn, no attention passes them by, and they can be merged."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pain3d.console.refused import RefusedError
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import Model, build_model
from pain3d.training.model.lora import LoraLinear, add_lora, merge_lora

# Three ways in which timm keeps the bias of qkv: in the layer, nowhere, and apart from it.
BACKBONES = ("vit_tiny_patch16_224", "vit_small_patch16_dinov3", "vit_tiny_patch16_dinov3_qkvb")


def config(backbone: str, rank: int) -> ModelConfig:
    heads = {"width": 64, "heads": 2}
    return ModelConfig(backbone=backbone, depth=2, image_size=32, lora_rank=rank, lora_dropout=0.5, **heads)  # type: ignore[arg-type]


def picture() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def woken(model: Model) -> Model:
    """Updates that say something, and layer scales at which it is heard."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(std=0.5, generator=generator)
            if "gamma" in name:
                parameter.fill_(1.0)
    return model


def tokens(model: Model) -> Tensor:
    with torch.no_grad():
        return model.backbone.tokens(picture())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_starts_as_what_it_updates(backbone: str) -> None:
    plain, updated = (build_model(config(backbone, rank)).eval() for rank in (0, 4))
    # worst seen 0: B is 0; a bias added after the product instead of within it may cost a rounding
    torch.testing.assert_close(tokens(updated), tokens(plain), atol=1e-5, rtol=0)


def test_updates_of_dinov2_as_its_authors_name_it(tmp_path: Path) -> None:
    """A file with Meta's names and one position more than timm has; in it no number is like another."""
    shape = replace(config("vit_small_patch14_reg4_dinov2", 0), image_size=56)
    wanted = build_model(shape, seed=1).eval()
    theirs = dict(wanted.backbone.net.state_dict())
    theirs["register_tokens"] = theirs.pop("reg_token")
    theirs["pos_embed"] = torch.cat([torch.zeros(1, 1, 64), theirs["pos_embed"]], 1)
    path = tmp_path / "dinov2.safetensors"
    save_file({**theirs, "mask_token": torch.zeros(1, 64)}, path)
    model = build_model(replace(shape, lora_rank=2), weights=str(path)).eval()
    seen = torch.randn(2, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        # worst seen 0, as above
        torch.testing.assert_close(model.backbone.tokens(seen), wanted.backbone.tokens(seen), atol=1e-5, rtol=0)
    learns = {
        name.rpartition(".")[2] for name, parameter in model.backbone.named_parameters() if parameter.requires_grad
    }
    assert learns == {"up", "down"}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("layer", ["qkv", "proj"])
def test_no_attention_passes_it_by(backbone: str, layer: str) -> None:
    model = woken(build_model(config(backbone, 4)).eval())
    before = tokens(model)
    updates = [module for name, module in model.named_modules() if name.endswith(f"attn.{layer}")]
    assert len(updates) == 2
    with torch.no_grad():
        for update in updates:
            assert isinstance(update, LoraLinear)
            update.up.zero_()
    assert (tokens(model) - before).abs().max() > 1e-2  # seen: 4 and more


@pytest.mark.parametrize("backbone", BACKBONES)
def test_merged_says_the_same(backbone: str) -> None:
    model = woken(build_model(config(backbone, 4)).eval())
    before = tokens(model)
    merge_lora(model)
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    # worst seen 2.1e-5, answers up to 5: another order of the same sums
    torch.testing.assert_close(tokens(model), before, atol=1e-4, rtol=0)


def test_only_updates_and_heads_learn() -> None:
    model = woken(build_model(config("vit_tiny_patch16_224", 4)))
    said = model(picture(), picture())
    (said.pspi.sum() + said.au.sum() + said.binary.sum()).backward()
    for name, parameter in model.named_parameters():
        learns = not name.startswith("backbone.") or name.endswith((".down", ".up"))
        assert parameter.requires_grad == learns, name
        assert (parameter.grad is not None and bool(parameter.grad.any())) == learns, name


def test_dropout_is_for_training_only() -> None:
    model = woken(build_model(config("vit_tiny_patch16_224", 4)))
    assert not torch.equal(tokens(model), tokens(model))
    model.eval()
    assert torch.equal(tokens(model), tokens(model))


def test_without_attention_it_is_refused() -> None:
    with pytest.raises(RefusedError, match="no attention with qkv and proj"):
        add_lora(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 8)), 4, 16, 0.1)
