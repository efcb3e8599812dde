"""Knows timm, and is its only door: how an encoder is made, where its first weights come from, what its tokens are.

Tokens always come from timm's own `forward_features`: rotary positions and register tokens are its business. What that
gives is looked at, once, with a black picture: tokens with or without CLS, or a feature map, channels first or last.

A backbone with 197 tokens of weights learnt elsewhere: ``vit_large_patch16_dinov3.lvd1689m`` is the one of the paper
(photographs; the weights called sat493m are of satellite pictures and no use for faces).
"""

from __future__ import annotations

import math
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
from pain3d.training.model.local_contrast import as_local_contrast
from pain3d.training.model.weights import check_weights, read_weights

HUB: Final = "hub:"  # starts the name of weights that timm downloads
OURS: Final = "backbone.net."  # starts an encoder's keys in a model of ours
HEADS: Final = ("head.", "head_dist.", "fc.", "classifier.", "fc_norm.", "attn_pool.", "mask_token")  # behind tokens
COUNTS: Final = "num_batches_tracked"  # of batch norms; nothing uses it, and files of ours don't have it
TOKENS, CHANNELS_FIRST, CHANNELS_LAST = "tokens", "channels first", "channels last"  # layouts of what nets make
SHAPED: Final = {"depth": "depth", "embed_dim": "width", "num_heads": "heads", "embed_layer": "conv_stem"}
# What not every net of timm is asked, and the word in its complaint: conv nets know no side, some pool or fail. What
# stands behind the tokens is never run.
OPTIONAL: Final = {"img_size": "img_size", "global_pool": "pool"}
SMALL_CHANNELS: Final = (32, 64, 128, 192)  # at 1/2, 1/4, 1/8 and 1/16: about a million weights, fast on two CPU cores
# Tokens up to which softmax(Q Kᵀ) V is written out on a CPU. Forward and backward of width 192, depth 6 in bfloat16 on
# one core: at 50 tokens 1.7 times as fast so; at 197 the fused kernel is 1.15 times as fast.
WRITTEN_OUT: Final = 128


class Backbone(nn.Module):
    """Pictures [B, 3, S, S] → tokens [B, L, D], whatever kind of net it is.

    A transformer's tokens are its own. A feature map becomes a token a place, row by row. What has no CLS token gets
    the mean of its patches in that place, where a `summary` is wanted.

    On a CPU the attention of short sequences is written out, see `WRITTEN_OUT`. Elsewhere it is fused. Weights that no
    token depends on (pooling, norms behind it) don't train.

    Args:
        net: timm's model.
        size: S.
        summary: Whether a token must stand before the patches.
        contrast: Whether the net sees local contrast in place of colours.
        bounded: Whether that is bounded.

    Attributes:
        net: timm's model.
        width: D.
        prefix: Tokens before the patches, CLS or the mean first; 0 where there is none and no summary.
        grid: Rows and columns of patches; L is prefix + rows · columns.

    Raises:
        ValueError: What the net makes of a picture is neither tokens of a square of patches nor a feature map.
    """

    def __init__(
        self, net: Any, size: int, summary: bool = True, contrast: bool = False, bounded: bool = False
    ) -> None:
        super().__init__()
        self._contrast, self._bounded = contrast, bounded
        self.net: Any = net
        self.width = int(net.num_features)
        self._attentions = [module for module in net.modules() if hasattr(module, "fused_attn")]
        self._fused: bool | None = None
        self._layout, own, self.grid = self._seen(size)
        self._mean_first = summary and own == 0
        self.prefix = 1 if self._mean_first else own

    def tokens(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S], (x − mean) / std → [B, L, D]: what stands before the patches, then patches row by row."""
        self._choose_attention(pictures.device)
        if self._contrast:
            pictures = as_local_contrast(pictures, self._bounded)
        if self._layout == CHANNELS_FIRST:
            pictures = pictures.contiguous(memory_format=torch.channels_last)
        tokens: Tensor = self.net.forward_features(pictures)
        if self._layout == CHANNELS_FIRST:
            tokens = tokens.flatten(2).transpose(1, 2)
        elif self._layout == CHANNELS_LAST:
            tokens = tokens.flatten(1, 2)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], 1) if self._mean_first else tokens

    forward = tokens

    def _choose_attention(self, device: torch.device) -> None:
        fused = device.type != "cpu" or self.prefix + self.grid[0] * self.grid[1] > WRITTEN_OUT
        if fused != self._fused:
            for attention in self._attentions:
                attention.fused_attn = fused
            self._fused = fused

    def _seen(self, size: int) -> tuple[str, int, tuple[int, int]]:
        """Layout of what the net makes of a black picture, its tokens before the patches, and its grid."""
        training = self.training
        with torch.enable_grad():
            made = self.eval().net.forward_features(torch.zeros(1, 3, size, size))
        self.train(training)
        if not isinstance(made, Tensor):
            raise ValueError(f"no tokens or feature map of one size, but a {type(made).__name__}")
        used = _leaves_of(made)
        for parameter in self.net.parameters():
            parameter.requires_grad_(parameter.requires_grad and id(parameter) in used)
        shape = list(made.shape)
        if len(shape) == 4 and self.width in (shape[1], shape[3]):
            last = shape[1] != self.width or getattr(self.net, "output_fmt", None) == "NHWC"
            return (CHANNELS_LAST, 0, (shape[1], shape[2])) if last else (CHANNELS_FIRST, 0, (shape[2], shape[3]))
        # A net that doesn't say how many tokens stand before the patches has none, or CLS.
        known = getattr(self.net, "num_prefix_tokens", None)
        for prefix in (0, 1) if known is None else (int(known),):
            side = math.isqrt(shape[1] - prefix) if len(shape) == 3 and shape[1] > prefix else 0
            if side and shape[1] == prefix + side**2 and shape[2] == self.width:
                return TOKENS, prefix, (side, side)
        raise ValueError(f"neither tokens of a square of patches nor a map of {self.width} channels, but {shape}")


def _leaves_of(made: Tensor) -> set[int]:
    """What a tensor was computed from, told by its graph: `id` of each parameter."""
    found: set[int] = set()
    seen: set[Any] = {made.grad_fn}
    ahead = [node for node in seen if node is not None]
    while ahead:
        node = ahead.pop()
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        before = {one for one, _ in node.next_functions if one is not None} - seen
        seen |= before
        ahead += before
    return found


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
    patches = getattr(getattr(net, "patch_embed", None), "patch_size", 1)
    patch = patches if isinstance(patches, int) else patches[0]
    if config.image_size % patch:
        raise RefusedError(
            f"backbone {config.backbone}: image_size must be a multiple of {patch}, got {config.image_size}"
        )
    try:
        summary = config.architecture != "siamese"
        backbone = Backbone(net, config.image_size, summary, config.local_contrast, config.bounded)
    except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
        side = f"{config.image_size} x {config.image_size} pixels"
        raise RefusedError(f"backbone {config.backbone}: no tokens of {side} ({one_line(error)})") from error
    if config.architecture == "siamese" and backbone.prefix:
        raise RefusedError(f"backbone {config.backbone}: siamese needs a conv net")
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
    shaped = options.keys() & SHAPED.keys()
    pretrained = source is not None and source.startswith(HUB)
    if source is not None and pretrained:
        wanted = source.removeprefix(HUB)
        if wanted.partition(".")[0] != name.partition(".")[0]:
            raise RefusedError(f"weights {source}: the backbone is {name}")
        name = wanted
    while True:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        except Exception as error:  # whatever timm, its models or the hub may raise: the user asked for this by name
            unwanted = [name for name, word in OPTIONAL.items() if name in options and word in str(error)]
            if unwanted:
                del options[unwanted[0]]  # whether the net takes our side shows when it sees a picture
                continue
            if shaped:
                ours = ", ".join(sorted({SHAPED[option] for option in shaped}))
                raise RefusedError(
                    f"backbone {name}: can't be given {ours}, which are of plain ViTs (--depth 0 --width 0 --heads 0 "
                    f"--no-conv-stem leaves it its own shape): {one_line(error)}"
                ) from error
            raise RefusedError(f"backbone {name}: {one_line(error)}") from error


def _options(config: ModelConfig) -> dict[str, Any]:
    """What is asked of timm beside the name."""
    options: dict[str, Any] = {"img_size": config.image_size, "global_pool": ""}
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


def _load(net: Any, state: dict[str, Tensor], source: str) -> None:
    """Give an encoder its weights; all of them, and of its shapes."""
    if any(name.startswith(OURS) for name in state):
        state = {name.removeprefix(OURS): value for name, value in state.items() if name.startswith(OURS)}
    else:
        adapt = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        state = _adapted(adapt, state, net, source) if adapt is not None else state
    wanted = {name: value for name, value in net.state_dict().items() if not name.endswith(COUNTS)}
    state = {
        name: value
        for name, value in state.items()
        if name in wanted or not (name.startswith(HEADS) or name.endswith(COUNTS))
    }
    check_weights(state, wanted, f"weights {source}", "the backbone")
    net.load_state_dict(state, strict=False)  # but for what counts batches, which nothing uses


def _adapted(adapt: Any, state: dict[str, Tensor], net: Any, source: str) -> dict[str, Tensor]:
    """Keys as timm names them and positions resampled to the side, by timm's own rules for the model."""
    try:
        adapted: dict[str, Tensor] = adapt(state, net)
    except (KeyError, AttributeError, RuntimeError, ValueError, AssertionError, IndexError) as error:
        raise RefusedError(f"weights {source}: of another architecture ({one_line(error)})") from error
    return dict(adapted)
