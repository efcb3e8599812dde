"""Knows timm, and is its only door: how an encoder is made, where its first weights come from, what its tokens are.

Tokens always come from timm's own `forward_features`: rotary positions and register tokens are its business.

A backbone with 197 tokens of weights learnt elsewhere: ``vit_large_patch16_dinov3.lvd1689m`` is the one of the paper
(photographs; the weights called sat493m are of satellite pictures and no use for faces).
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor, nn

from pain3d.console.refused import RefusedError, one_line
from pain3d.torchvision_schemas import import_torchvision
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.conv_stem import ConvStem
from pain3d.training.model.first_weights import start_anew
from pain3d.training.model.weights import check_weights, read_weights

HUB: Final = "hub:"  # starts the name of weights that timm downloads
OURS: Final = "backbone.net."  # starts an encoder's keys in a model of ours
HEADS: Final = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.", "attn_pool.", "mask_token")  # behind tokens
SMALL_CHANNELS: Final = (32, 64, 128, 192)  # at 1/2, 1/4, 1/8 and 1/16: about a million weights, fast on two CPU cores
# Tokens up to which softmax(Q Kᵀ) V is written out on a CPU. Forward and backward of width 192, depth 6 in bfloat16 on
# one core: at 50 tokens 1.7 times as fast so; at 197 the fused kernel is 1.15 times as fast.
WRITTEN_OUT: Final = 128


class Backbone(nn.Module):
    """Pictures [B, 3, S, S] → tokens [B, L, D].

    On a CPU the attention of short sequences is written out, see `WRITTEN_OUT`. Elsewhere it is fused.

    Attributes:
        net: timm's model.
        width: D.
        prefix: Tokens before the patches, CLS first; 0 for a conv net.
        grid: Rows and columns of patches; L is prefix + rows · columns.
    """

    def __init__(self, net: Any, size: int) -> None:
        super().__init__()
        self.net: Any = net
        self.width = int(net.num_features)
        self.prefix = int(getattr(net, "num_prefix_tokens", 0))
        self._attentions = [module for module in net.modules() if hasattr(module, "fused_attn")]
        self._fused: bool | None = None
        self.grid = self._grid_of(size)

    def tokens(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S], (x − mean) / std → [B, L, D]: what stands before the patches, then patches row by row."""
        self._choose_attention(pictures.device)
        if self.prefix == 0:
            maps: Tensor = self.net.forward_features(pictures.contiguous(memory_format=torch.channels_last))
            return maps.flatten(2).transpose(1, 2)
        tokens: Tensor = self.net.forward_features(pictures)
        return tokens

    forward = tokens

    def _choose_attention(self, device: torch.device) -> None:
        fused = device.type != "cpu" or self.prefix + self.grid[0] * self.grid[1] > WRITTEN_OUT
        if fused != self._fused:
            for attention in self._attentions:
                attention.fused_attn = fused
            self._fused = fused

    @torch.no_grad()
    def _grid_of(self, size: int) -> tuple[int, int]:
        """Rows and columns of patches, from one black picture."""
        training = self.training
        shape = self.eval().net.forward_features(torch.zeros(1, 3, size, size)).shape
        self.train(training)
        if self.prefix == 0 and len(shape) == 4 and shape[1] == self.width:
            return int(shape[2]), int(shape[3])
        side = round(float(shape[1] - self.prefix) ** 0.5) if len(shape) == 3 else 0
        if self.prefix == 0 or side * side + self.prefix != shape[1]:
            raise ValueError(f"neither CLS and a square of patches nor maps of channels, but {list(shape)}")
        return side, side


def make_backbone(config: ModelConfig, weights: str | None = None) -> Backbone:
    """An encoder, all of whose weights train.

    Args:
        config: Names it and its side.
        weights: None or ``random``; a file of weights, .safetensors or .pth (of timm, of the authors of a model timm
            knows, or `model.safetensors` of ours); or ``hub:`` and timm's name of weights, which downloads them.

    Raises:
        RefusedError: timm knows no such backbone or can't make it so; the weights are missing, unsafe or don't fit.
    """
    source = None if weights in (None, "", "random") else weights
    net = _make_net(config, source)
    _drop_unused(net)
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", (1, 1))[0]
    if config.image_size % patch:
        raise RefusedError(
            f"backbone {config.backbone}: image_size must be a multiple of {patch}, got {config.image_size}"
        )
    try:
        backbone = Backbone(net, config.image_size)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise RefusedError(f"backbone {config.backbone}: {one_line(error)}") from error
    if (config.architecture == "siamese") != (backbone.prefix == 0):
        kind = "a conv net" if config.architecture == "siamese" else "a transformer with a CLS token"
        raise RefusedError(f"backbone {config.backbone}: {config.architecture} needs {kind}")
    if source is None and config.architecture == "vitpain":
        start_anew(backbone.net)
    if source is not None and not source.startswith(HUB):
        _load(backbone.net, read_weights(Path(source)), source)
    return backbone


def import_timm() -> ModuleType:
    """The module timm, also beside a torchvision that was built for another torch."""
    import_torchvision()
    import timm

    known: ModuleType = timm
    return known


def _make_net(config: ModelConfig, source: str | None) -> Any:
    """A model of timm without a classifier, with weights only where the hub is the source."""
    timm = import_timm()
    if config.backbone == "small_conv":
        if source is not None and source.startswith(HUB):
            raise RefusedError("backbone small_conv: there are no weights of it on the hub")
        return _small_conv()
    name, options = config.backbone, _options(config)
    if not timm.is_model(name):
        raise RefusedError(f"backbone {name!r}: timm {timm.__version__} knows no such model")
    pretrained = source is not None and source.startswith(HUB)
    if source is not None and pretrained:
        wanted = source.removeprefix(HUB)
        if wanted.partition(".")[0] != name.partition(".")[0]:
            raise RefusedError(f"weights {source}: the backbone is {name}")
        name = wanted
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except Exception as error:  # whatever timm, its models or the hub may raise: the user asked for this by name
        raise RefusedError(f"backbone {name}: {one_line(error)}") from error


def _options(config: ModelConfig) -> dict[str, Any]:
    """What is asked of timm beside the name."""
    if config.architecture == "siamese":
        return {"global_pool": ""}
    options: dict[str, Any] = {"img_size": config.image_size, "global_pool": "token"}
    if config.width is not None and config.heads is None:
        options["num_heads"] = max(1, config.width // 64)  # timm's own ViTs have 64 channels a head
    for ours, theirs in (("depth", "depth"), ("width", "embed_dim"), ("heads", "num_heads")):
        if getattr(config, ours) is not None:
            options[theirs] = getattr(config, ours)
    if config.conv_stem:
        options["embed_layer"] = ConvStem
    return options


def _small_conv() -> Any:
    """A residual conv net of about a million weights, put together from timm's blocks: a block each at 1/4, 1/8, 1/16.

    None at 1/2: on a CPU the cost there is not the convolutions but what stands between them.
    """
    from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg

    stem, *stages = SMALL_CHANNELS
    blocks = tuple(ByoBlockCfg(type="basic", d=1, c=width, s=2) for width in stages)
    made: Any = ByobNet(
        ByoModelCfg(blocks=blocks, stem_chs=stem, stem_type="3x3", stem_pool=""),
        zero_init_last=False,  # few blocks: all of them may speak from the first step
        num_classes=0,
        global_pool="",
    )
    return made.to(memory_format=torch.channels_last)


def _drop_unused(net: Any) -> None:
    """Take away weights behind the tokens (a pooling of timm's own): they would never learn."""
    for name in ("attn_pool", "fc_norm"):
        if isinstance(getattr(net, name, None), nn.Module):
            setattr(net, name, None if name == "attn_pool" else nn.Identity())


def _load(net: Any, state: dict[str, Tensor], source: str) -> None:
    """Give an encoder its weights; all of them, and of its shapes."""
    if any(name.startswith(OURS) for name in state):
        state = {name.removeprefix(OURS): value for name, value in state.items() if name.startswith(OURS)}
    else:
        adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        state = _adapted(adapt, state, net, source) if adapt is not None else state
    wanted = net.state_dict()
    state = {name: value for name, value in state.items() if name in wanted or not name.startswith(HEADS)}
    check_weights(state, wanted, f"weights {source}", "the backbone")
    net.load_state_dict(state)


def _adapted(adapt: Any, state: dict[str, Tensor], net: Any, source: str) -> dict[str, Tensor]:
    """Keys as timm names them and positions resampled to the side, by timm's own rules for the model."""
    try:
        adapted: dict[str, Tensor] = adapt(state, net)
    except (KeyError, AttributeError, RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise RefusedError(f"weights {source}: of another architecture ({one_line(error)})") from error
    return dict(adapted)
