"""Knows what a model is made of: everything that must be the same when its weights are read again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pain3d.console.refused import RefusedError, quoted

BACKBONES: Final = {"vitpain": "vit_tiny_patch16_224", "siamese": "small_conv"}  # architecture: its usual backbone
FRAMINGS: Final = ("square", "whole", "")
FUSIONS: Final = ("difference", "attention")
# Least and largest number of each; the largest are beyond every published net.
SIZES: Final = {
    "image_size": (16, 1024), "depth": (1, 100), "width": (1, 8192), "heads": (1, 128), "lora_rank": (0, 1024),
    "fusion_heads": (1, 128),
}  # fmt: skip
DROPOUTS: Final = 4  # one before each linear layer of the PSPI head


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a model; plain values only, so that it can be written as JSON.

    Attributes:
        architecture: ``vitpain`` (transformer, neutral cross-attention) or ``siamese`` (small conv net, the baseline).
        backbone: A name of timm, or ``small_conv``; empty: the architecture's usual one.
        image_size: Side of the picture, px.
        conv_stem: A few convolutions instead of one large patch convolution; only with a plain ViT of timm.
        local_contrast: Whether the encoder sees `pain3d.training.model.local_contrast` in place of colours. Models from
            before this field see colours.
        bounded: Whether that contrast is bounded. Models from before this field see it unbounded.
        depth: Blocks of the transformer; None: the backbone's own. A value other than None needs weights of that shape.
        width: Its width D; likewise.
        heads: Its heads; likewise.
        neutral: Whether the model sees a neutral face of the same person.
        separate: A second encoder for neutral faces instead of the same one.
        lora_rank: Rank of the low-rank updates; 0: all weights train.
        lora_alpha: Their scale is lora_alpha / lora_rank.
        lora_dropout: Dropout on what goes into them.
        fusion: How two faces are compared. ``difference``: all that is said is a function of late features of the face
            minus those of the neutral one, and nothing where there is no difference. ``attention``: as published, the
            heads see the face after it looked at the neutral one. Models from before this field compare by attention.
        spread: Whether a head says how far off the score is.
        fusion_heads: Heads of the neutral cross-attention and of the action unit queries.
        dropout: Before each linear layer of the PSPI head. The siamese net has no such head and ignores it.
        framing: What of a picture it learned from: ``square`` of the face (`pain3d.face.square`), ``whole`` picture, or
            empty where nobody said.

    Raises:
        RefusedError: A value is out of range, or two don't go together.
    """

    architecture: str = "vitpain"
    backbone: str = ""
    image_size: int = 112
    conv_stem: bool = False
    local_contrast: bool = False
    bounded: bool = False
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    neutral: bool = True
    separate: bool = False
    lora_rank: int = 0
    lora_alpha: float = 16.0
    lora_dropout: float = 0.1
    fusion: str = "attention"
    spread: bool = False
    fusion_heads: int = 8
    dropout: tuple[float, ...] = (0.5, 0.5, 0.3, 0.3)
    framing: str = ""

    def __post_init__(self) -> None:
        if self.architecture not in BACKBONES:
            raise RefusedError(f"architecture must be one of {', '.join(BACKBONES)}, got {quoted(self.architecture)}")
        if not self.backbone:
            object.__setattr__(self, "backbone", BACKBONES[self.architecture])
        object.__setattr__(self, "dropout", tuple(float(share) for share in self.dropout))
        for wrong, message in (
            (self.framing not in FRAMINGS, f"framing must be one of {FRAMINGS}, got {quoted(self.framing)}"),
            (self.fusion not in FUSIONS, f"fusion must be one of {FUSIONS}, got {quoted(self.fusion)}"),
            (self.separate and self.subtracts, "separate needs --fusion attention: a difference takes one encoder"),
            (not 0 <= self.lora_dropout < 1, f"lora_dropout must be in [0, 1), got {self.lora_dropout}"),
            (len(self.dropout) != DROPOUTS, f"dropout must be {DROPOUTS} numbers, got {len(self.dropout)}"),
            (not all(0 <= share < 1 for share in self.dropout), f"dropout must be in [0, 1), got {self.dropout}"),
            (self.separate and not self.neutral, "separate needs neutral: there is no neutral face to encode"),
            (self.bounded and not self.local_contrast, "bounded is of local_contrast, which this model doesn't see"),
            (self.lora_rank > 0 and self.conv_stem, "lora_rank freezes the conv_stem, which never learnt"),
        ):
            if wrong:
                raise RefusedError(message)
        for name, (least, most) in SIZES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise RefusedError(f"{name} must be from {least} to {most}, got {quoted(value)}")
        if self.architecture == "siamese":
            self._refuse_transformer_options()

    def _refuse_transformer_options(self) -> None:
        """The siamese net has no attention: what only shapes a transformer is refused instead of ignored."""
        plain = {"conv_stem": False, "depth": None, "width": None, "heads": None, "separate": False, "lora_rank": 0}
        for name, value in plain.items():
            if getattr(self, name) != value:
                raise RefusedError(f"{name} is of a transformer: the siamese net takes no {name}")

    @property
    def subtracts(self) -> bool:
        """Whether the model says nothing of a face that doesn't differ from its neutral one."""
        return self.neutral and self.fusion == "difference"

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**dataclasses.asdict(self), "dropout": list(self.dropout)}


def config_from_json(values: Mapping[str, Any], source: str) -> ModelConfig:
    """A config from what a JSON file holds.

    Args:
        values: The object of the file; a field that is missing has its default.
        source: The file, for messages.

    Raises:
        RefusedError: A field that doesn't exist, or a value of another kind; the message names `source` and the field.
    """
    fields = {field.name: str(field.type) for field in dataclasses.fields(ModelConfig)}
    for name, value in values.items():
        if name not in fields:
            raise RefusedError(f"{source}: unknown field {quoted(name)}; a newer pain3d may have written it")
        if not _fits(value, fields[name]):
            raise RefusedError(f"{source}: {name} must be {fields[name]}, got {quoted(value)}")
    given: dict[str, Any] = {name: tuple(value) if name == "dropout" else value for name, value in values.items()}
    try:
        return ModelConfig(**given)
    except RefusedError as error:
        raise RefusedError(f"{source}: {error}") from error


def _fits(value: Any, kind: str) -> bool:
    """Whether a JSON value is of the kind that an annotation names."""
    if kind.startswith("tuple"):
        return isinstance(value, list | tuple) and all(_fits(part, "float") for part in value)
    if value is None:
        return kind.endswith("None")
    kind = kind.removesuffix(" | None")
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    kinds: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
    return isinstance(value, kinds[kind])
