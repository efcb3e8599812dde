"""Holds the door of timm: tokens with their positions and registers, first weights from a seed or a file, refusals."""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pain3d.console.command_line import parse
from pain3d.console.refused import RefusedError
from pain3d.training.cli import Evaluate, Train
from pain3d.training.config import preset
from pain3d.training.model.backbone import Backbone, make_backbone
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.first_weights import LOUDNESS, start_anew, waves
from pain3d.training.model.pretrained import save_pretrained
from pain3d.training.model.weights import read_weights

TINY: dict[str, Any] = {"width": 32, "depth": 2, "heads": 2, "image_size": 32}
ROTARY = ModelConfig(backbone="vit_tiny_patch16_dinov3_qkvb", depth=1, image_size=48)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are faster so, and much faster where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(count: int, side: int) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("config", "prefix", "grid", "width"),
    [
        (ModelConfig(**TINY), 1, (2, 2), 32),
        (ModelConfig(**TINY, conv_stem=True), 1, (2, 2), 32),
        (ModelConfig(backbone="vit_small_patch14_reg4_dinov2", depth=1, width=64, image_size=56), 5, (4, 4), 64),
        (ROTARY, 5, (3, 3), 192),
        (ModelConfig(architecture="siamese", image_size=48), 0, (3, 3), 192),
        (ModelConfig(architecture="siamese", backbone="resnet10t", image_size=64), 0, (2, 2), 512),
        (ModelConfig(backbone="resnet18", image_size=64), 1, (2, 2), 512),  # maps, channels first
        (ModelConfig(backbone="convnext_tiny", image_size=64), 1, (2, 2), 768),  # with a norm behind its maps
        (ModelConfig(backbone="swin_tiny_patch4_window7_224", image_size=64), 1, (2, 2), 768),  # maps, channels last
        (ModelConfig(backbone="vit_base_patch16_siglip_224", **TINY), 1, (2, 2), 32),  # patches without CLS
        (ModelConfig(backbone="mixer_s32_224", image_size=64), 1, (2, 2), 512),
        (ModelConfig(backbone="xcit_nano_12_p8_224", image_size=64), 1, (8, 8), 128),  # CLS, though it doesn't say so
        (ModelConfig(backbone="inception_next_atto", image_size=64), 1, (2, 2), 320),  # can't be made without pooling
    ],
    ids=lambda value: value.backbone if isinstance(value, ModelConfig) else None,
)
def test_tokens(config: ModelConfig, prefix: int, grid: tuple[int, int], width: int) -> None:
    backbone = make_backbone(config)
    assert (backbone.prefix, backbone.grid, backbone.width) == (prefix, grid, width)
    tokens = backbone.tokens(pictures(2, config.image_size))
    assert tokens.shape == (2, prefix + grid[0] * grid[1], width)
    assert torch.isfinite(tokens).all()
    tokens.square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name  # what no token depends on doesn't train


def test_a_map_is_read_row_by_row_behind_its_mean() -> None:
    """The same places from maps with channels first and last, behind the mean of the patches."""

    class Map(torch.nn.Module):
        num_features = 3

        def __init__(self, last: bool) -> None:
            super().__init__()
            self.last = last

        def forward_features(self, pictures: Tensor) -> Tensor:
            small = torch.nn.functional.avg_pool2d(pictures, 8)
            return small.permute(0, 2, 3, 1) if self.last else small

    seen = pictures(2, 32)
    wanted = torch.nn.functional.avg_pool2d(seen, 8).flatten(2).transpose(1, 2)
    for last in (False, True):
        tokens = Backbone(Map(last), 32).tokens(seen)
        assert torch.equal(tokens[:, 1:], wanted)
        torch.testing.assert_close(tokens[:, 0], wanted.mean(1), atol=1e-7, rtol=0)  # seen 0 and 7e-9: order of a sum
    several = Map(last=False)
    several.forward_features = lambda pictures: (pictures, pictures)  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(ValueError, match="no tokens or feature map of one size, but a tuple"):
        Backbone(several, 32)


def test_another_backbone_than_the_preset_s_has_its_own_shape() -> None:
    shape = ("depth", "width", "heads", "conv_stem", "local_contrast")
    assert [getattr(preset("tiny", "vitpain", "resnet18"), name) for name in shape] == [0, 0, 0, False, False]
    assert preset("tiny", "vitpain").local_contrast and not preset("tiny", "teacher").local_contrast
    assert preset("tiny", "vitpain", "vit_tiny_patch16_224") == preset("tiny", "vitpain")
    options = ["train", "run", "--backbone", "resnet18"]
    assert parse(options, {"train": Train, "evaluate": Evaluate}).settings.conv_stem is False
    assert parse([*options, "--depth", "3"], {"train": Train, "evaluate": Evaluate}).settings.depth == 3


def test_a_feature_map_learns_and_its_weights_come_from_a_file(tmp_path: Path) -> None:
    """A whole net on maps, and batch norms from our own file, which doesn't count batches."""
    model = build_model(ModelConfig(backbone="resnet10t", image_size=64, fusion_heads=2), seed=3)
    said = model(pictures(2, 64), pictures(1, 64), attention=True)
    assert said.tokens.shape == (2, 5, 512) and said.attention is not None
    assert said.attention["au"].shape == (2, 6, 4) and said.attention["neutral"].shape == (2, 2, 5, 5)
    (said.pspi_logit.sum() + said.au.sum() + said.binary.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
    save_pretrained(model, tmp_path, {})
    read = make_backbone(model.config, str(tmp_path / "model.safetensors"))
    for name, parameter in model.backbone.named_parameters():
        assert torch.equal(read.get_parameter(name), parameter), name


@pytest.mark.parametrize("config", [ModelConfig(**{**TINY, "image_size": 48}), ROTARY], ids=["learnt", "rotary"])
def test_places_matter(config: ModelConfig) -> None:
    """Swapped patches change CLS; without positions, learnt or rotary, they would not."""
    backbone = make_backbone(config).eval()
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if "gamma" in name:  # layer scale starts at 1e-5: the blocks would say next to nothing
                parameter.fill_(1.0)
        whole = pictures(1, 48)
        swapped = torch.cat([whole[..., 16:], whole[..., :16]], -1)
        apart = backbone.tokens(whole)[:, 0] - backbone.tokens(swapped)[:, 0]
    assert apart.abs().max() > 1e-3  # seen: 0.078 and 0.059; without positions 7e-7


def test_written_out_attention_says_the_same() -> None:
    backbone = make_backbone(ModelConfig(**TINY)).eval()
    seen = backbone.tokens(pictures(2, 32))
    attentions = [module for module in backbone.modules() if hasattr(module, "fused_attn")]
    assert len(attentions) == 2
    assert not any(module.fused_attn for module in attentions)
    for module in attentions:
        module.fused_attn = True
    # worst seen 1e-6: another order of the same sums
    torch.testing.assert_close(backbone.tokens(pictures(2, 32)), seen, atol=1e-5, rtol=0)


def test_weights_belong_to_the_seed() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (build_model(ModelConfig(**TINY), seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["backbone.net.cls_token"], other["backbone.net.cls_token"])


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Backbone, Path]:
    backbone = make_backbone(ModelConfig(**TINY))
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    path = tmp_path / "weights.safetensors"
    save_file({**backbone.net.state_dict(), "head.weight": torch.zeros(10, 32)}, path)
    return backbone, path


def test_weights_from_files(saved: tuple[Backbone, Path], tmp_path: Path) -> None:
    backbone, path = saved
    torch.save({"model": backbone.net.state_dict()}, tmp_path / "weights.pth")
    ours = {f"backbone.net.{name}": value for name, value in backbone.net.state_dict().items()}
    save_file({**ours, "units.bias": torch.zeros(6)}, tmp_path / "model.safetensors")
    for name in ("weights.safetensors", "weights.pth", "model.safetensors"):
        read = make_backbone(ModelConfig(**TINY), str(path.with_name(name)))
        for key, value in backbone.state_dict().items():
            assert torch.equal(read.state_dict()[key], value), (name, key)


def test_positions_are_resampled_to_the_side(saved: tuple[Backbone, Path]) -> None:
    larger = make_backbone(ModelConfig(**{**TINY, "image_size": 64}), str(saved[1]))
    assert larger.net.pos_embed.shape == (1, 17, 32)
    assert torch.equal(larger.net.cls_token, saved[0].net.cls_token)


class Pickled:
    """Something that a reader of pickles would run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.getcwd, ())


@pytest.mark.parametrize(
    ("config", "weights", "says"),
    [
        ({"depth": 3}, "weights.safetensors", r"weights\.safetensors: no blocks\.2\.\S+: of another archi"),
        ({"depth": 1}, "weights.safetensors", r"blocks\.1\.\S+ is nothing of the backbone"),
        ({"width": 64}, "weights.safetensors", r"cls_token is \[1, 1, 32\], the backbone needs \[1, 1, 64\]"),
        ({}, "cut.safetensors", r"cut\.safetensors: not a whole safetensors file"),
        ({}, "pickled.pth", r"pickled\.pth: holds pickled objects"),
        ({}, "cut.pth", r"cut\.pth: "),
        ({}, "none.safetensors", r"none\.safetensors: no such file"),
        ({}, "weights.bin", r"weights\.bin: weights are read from \.safetensors or \.pth"),
        ({}, "hub:vit_base_patch16_224", r"hub:vit_base_patch16_224: the backbone is vit_tiny_patch16_224"),
        ({"backbone": "vit_tine"}, "random", r"'vit_tine': timm \S+ knows no such model"),
        (
            {"backbone": "resnet10t"},
            "random",
            r"resnet10t: can't be given depth, heads, width, which are of plain ViTs",
        ),
        ({"backbone": "swin_tiny_patch4_window7_224", "depth": None}, "random", r"can't be given heads, width, which"),
        ({"image_size": 40}, "random", r"vit_tiny_patch16_224: image_size must be a multiple of 16, got 40"),
        ({"image_size": 40, "conv_stem": True}, "random", r"conv_stem needs patches of 16 px"),
    ],
)
def test_refused_in_one_line(saved: tuple[Backbone, Path], config: dict[str, Any], weights: str, says: str) -> None:
    folder = saved[1].parent
    whole = saved[1].read_bytes()
    (folder / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "cut.pth").write_bytes(b"PK\x03\x04 cut")
    (folder / "pickled.pth").write_bytes(pickle.dumps(Pickled(), 2))
    (folder / "weights.bin").write_bytes(whole)
    source = weights if weights == "random" or ":" in weights else str(folder / weights)
    with pytest.raises(RefusedError, match=says) as refused:
        make_backbone(ModelConfig(**{**TINY, **config}), source)
    assert "\n" not in str(refused.value)


def test_each_architecture_wants_its_kind() -> None:
    with pytest.raises(RefusedError, match="siamese needs a conv net"):
        make_backbone(ModelConfig(architecture="siamese", backbone="vit_tiny_patch16_224", image_size=224))
    assert make_backbone(ModelConfig(backbone="small_conv", image_size=48)).prefix == 1  # the mean of its map


def test_tables_of_other_things_are_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "weight": torch.zeros(1)}, tmp_path / "run.pth")
    with pytest.raises(RefusedError, match=r"run\.pth: holds no table of tensors"):
        read_weights(tmp_path / "run.pth")


def test_a_torchvision_of_another_torch(tmp_path: Path) -> None:
    """Stand-ins fail as the real ones do: shapes are registered for an operator that was never loaded."""
    (tmp_path / "timm.py").write_text("import torchvision\n__version__ = '0'\n")
    (tmp_path / "torchvision.py").write_text(
        "import torch\nfor name in ('nms', 'qnms'):\n    torch.library.register_fake(f'torchvision::{name}')(print)\n"
    )
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "timm.py").write_text("raise RuntimeError('something else')\n")
    script = (
        "import sys; from pain3d.training.model.backbone import import_timm\n"
        "sys.path.insert(0, 'broken')\n"
        "try: import_timm()\n"
        "except RuntimeError as error: print(error)\n"
        "sys.path[0] = '.'\n"
        "print(import_timm().__version__, import_timm().__file__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "something else"
    assert done.stdout.splitlines()[1].startswith("0 ")


def test_places_are_told_apart_at_first() -> None:
    """Waves along rows and columns: no two patches alike, neighbours more alike than far ones."""
    seen = waves(3, 5, 30)
    assert seen.shape == (15, 30)
    apart = torch.cdist(seen, seen)
    assert apart.fill_diagonal_(1).min() > 0.1
    assert apart[0, 1] < apart[0, 2] < apart[0, 14]


def test_only_what_is_drawn_starts_anew() -> None:
    drawn = make_backbone(ModelConfig(**TINY)).net
    assert torch.equal(drawn.pos_embed[0, 1:], LOUDNESS * waves(2, 2, 32))
    rotary = make_backbone(ROTARY).net
    before = rotary.cls_token.clone()
    start_anew(rotary)
    assert torch.equal(rotary.cls_token, before)
