"""Knows what a training run can be told: settings, presets, limits, and which settings decide only its speed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal

from pain3d.console.refused import RefusedError
from pain3d.console.settings import Within, checked
from pain3d.run_folder import settings_hash

TASKS: Final = ("vitpain", "teacher", "distill", "siamese")
# Families of styles in the order in which a picture meets them; `pain3d.training.data.style` says what each does.
STYLES: Final = ("fourier", "light", "colour", "grey", "curve", "contrast", "blur", "jpeg")
PRESETS: Final = ("tiny", "small", "base", "paper")
HOW: Final = ("device", "cache_mb", "checkpoint_seconds", "compile")  # change speed, never what is learned
Rate = Annotated[float, Within(0.0, 10.0)]
Weight = Annotated[float, Within(0.0, 1e3)]


@dataclass(frozen=True)
class TrainConfig:
    """What is learned, how, and how fast. The defaults are those of preset ``tiny``, task ``vitpain``."""

    # The largest numbers are where a typing error is likelier than a wish.

    RENAMED: ClassVar[dict[str, str]] = {
        "rate": "lr", "backbone_rate": "backbone_lr", "last_rate": "min_lr", "warm_up": "warmup_steps",
        "clip": "grad_clip", "average": "ema_decay", "shots": "num_references",
    }  # fmt: skip

    # The model.
    backbone: str = "vit_tiny_patch16_224"
    """A name of timm; another than the preset's has its own depth, width and heads, and no conv stem."""
    weights: str = "random"
    """Of the backbone: a file of safetensors, hub:NAME, or random."""
    image_size: Annotated[int, Within(16, 1024)] = 112
    """Pixels a side that the net sees."""
    conv_stem: bool = True
    """A few convolutions instead of one linear map a patch."""
    local_contrast: bool = True
    """Show the net how bright each place is beside what lies around it, instead of colours."""
    bounded: bool = True
    """Bound that contrast, so that ink and specks drown folds less; not used where colours are seen."""
    depth: Annotated[int, Within(0, 100)] = 2
    """Transformer blocks; 0 is the backbone's own number."""
    width: Annotated[int, Within(0, 8192)] = 192
    """Channels of a token; 0 is the backbone's own number."""
    heads: Annotated[int, Within(0, 128)] = 3
    """Attention heads; 0 is the backbone's own number."""
    dropout: Annotated[float, Within(0.0, 0.95)] = 0.1
    """In the score's head; with 0.5 it is the published 0.5, 0.5, 0.3, 0.3."""
    neutral: bool = True
    """Whether the net also sees a neutral picture of the person."""
    num_references: Annotated[int, Within(1, 64)] = 1
    """Neutral pictures of a person, averaged after attention."""
    fusion: Literal["attention", "difference"] = "difference"
    """How faces are compared: late features subtracted, so that a face beside itself is PSPI 0, or as published."""
    separate: bool = False
    """A second encoder, with weights of its own, for neutral pictures; with --fusion attention."""
    lora_rank: Annotated[int, Within(0, 1024)] = 0
    """Rank of the low-rank update of a frozen backbone; 0 trains all of it."""
    # The data.
    online: bool = False
    """Render the pictures inside the step instead of reading them."""
    online_pool: Annotated[int, Within(1, 100_000)] = 64
    """Painted people held at a time when rendering online."""
    people: Annotated[int, Within(0, 10**9)] = 0
    """Learn from so many of the training people; 0 is all."""
    folds: Annotated[int, Within(0, 100_000)] = 0
    """Split people into so many folds instead of the data's own split; as many as people leaves one out."""
    fold: Annotated[int, Within(0, 99_999)] = 0
    """Which fold is held out for the test, of these or of those that the data set was published with."""
    batch: Annotated[int, Within(1, 65_536)] = 64
    """Pictures a step."""
    group: Annotated[int, Within(1, 1024)] = 4
    """Pictures of one person in a batch; they share their neutral picture."""
    pain_weight: Weight = 1.0
    """Weight of a picture with pain in the losses; 1 for one without."""
    augment: Annotated[float, Within(0.0, 4.0)] = 1.0
    """Strength of augmentation; 0 is none."""
    styles: str = "none"
    """Styles that pictures are given at random: all, none, some with commas, or all-NAME-NAME, of fourier, light,
    colour, grey, curve, contrast, blur and jpeg."""
    style_strength: Annotated[float, Within(0.0, 4.0)] = 1.0
    """How often a picture has something of each; 0 is never."""
    style_shared: Annotated[float, Within(0.0, 1.0)] = 0.7
    """Chance that a face and its neutral picture have the same style; else each has its own."""
    # The losses.
    pspi_weight: Weight = 1.0
    """Of the squared error of PSPI / 16."""
    au_weight: Weight = 1.0
    """Of the squared error of action units / 5."""
    binary_weight: Weight = 0.2
    """Of the cross entropy of PSPI ≥ 1, 2, 3."""
    pair_weight: Weight = 1.0
    """Of both squared errors of a face beside another of the same person and group, with --fusion difference."""
    teacher: str = ""
    """Run of the heatmap teacher, for task distill."""
    teacher_mode: Literal["frozen", "ema"] = "frozen"
    """A trained teacher that sees heatmaps, or the student's own moving average that sees the same picture."""
    distance: Literal["mse", "cosine"] = "mse"
    """Between tokens of student and teacher."""
    cls_weight: Weight = 1.0
    """Of the distance of class tokens."""
    patch_weight: Weight = 1.0
    """Of the distance of patch tokens."""
    score_weight: Weight = 1.0
    """Of the divergence from the teacher's score."""
    temperature: Annotated[float, Within(0.01, 100.0)] = 2.0
    """Of that divergence."""
    attention_weight: Weight = 0.0
    """Of the squared difference of the action units' attention maps."""
    # The optimiser.
    steps: Annotated[int, Within(1, 100_000_000)] = 3000
    """Steps in all."""
    lr: Rate = 1e-3
    """Greatest learning rate, of heads and of weights that start at random."""
    backbone_lr: Rate = 1e-3
    """Greatest learning rate of the backbone or of its low-rank update."""
    min_lr: Rate = 1e-6
    """Learning rate at the end of the cosine."""
    warmup_steps: Annotated[int, Within(0, 1_000_000)] = 150
    """Steps over which the learning rate rises."""
    weight_decay: Rate = 0.05
    """Of AdamW, on matrices only."""
    grad_clip: Annotated[float, Within(0.0, 1e6)] = 1.0
    """Greatest norm of the gradient; 0 doesn't clip."""
    ema_decay: Annotated[float, Within(0.0, 0.999999)] = 0.995
    """Of the moving average of the weights, which is what is tested and kept."""
    # The run.
    validations: Annotated[int, Within(0, 100_000)] = 10
    """How often the validation people are asked, evenly over the steps; 0 never asks."""
    patience: Annotated[int, Within(0, 100_000)] = 0
    """Stop after so many validations without a better one; 0 goes to the end."""
    seed: Annotated[int, Within(0, 2**63 - 1)] = 0
    """Of weights, batches, augmentation and dropout."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16 where the device multiplies it in hardware."""
    compile: Literal["auto", "yes", "no"] = "auto"
    """torch.compile; auto is on a GPU only. Changes speed, and the last bits."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to learn."""
    cache_mb: Annotated[int, Within(0, 10**9)] = 2048
    """Memory for cut-out faces; what doesn't fit is read again."""
    checkpoint_seconds: Annotated[int, Within(1, 10**9)] = 120
    """Time between checkpoints; the same command goes on from the last one."""


# A backbone of timm as it is: its own shape and patches, and the colours that taught its weights.
_AS_IT_IS: Final[dict[str, Any]] = {"conv_stem": False, "local_contrast": False, "depth": 0, "width": 0, "heads": 0}
# The published settings where there are any (arXiv 2509.16727, v4 code); what is not published is our choice.
_PRESETS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {},
    "small": {
        **_AS_IT_IS, "backbone": "vit_small_patch14_reg4_dinov2", "image_size": 224, "dropout": 0.3, "batch": 64,
        "steps": 20_000, "lr": 1e-4, "backbone_lr": 5e-5,
    },
    "base": {
        **_AS_IT_IS, "backbone": "vit_base_patch14_reg4_dinov2", "image_size": 224, "dropout": 0.5, "batch": 64,
        "steps": 40_000, "lr": 1e-4, "backbone_lr": 1e-5, "lora_rank": 8, "weight_decay": 0.1,
    },
    "paper": {  # steps: 150 epochs of 57,600 training pictures in batches of 48
        **_AS_IT_IS, "backbone": "vit_large_patch16_dinov3", "image_size": 224, "dropout": 0.5, "batch": 48,
        "steps": 180_000, "lr": 1e-4, "backbone_lr": 1e-5, "lora_rank": 8, "separate": True, "fusion": "attention",
        "weight_decay": 0.1, "binary_weight": 1.0, "seed": 42, "ema_decay": 0.0,
    },
}  # fmt: skip
# Weights of the presets' backbones, as timm names them.
_PUBLISHED: Final = {
    "vit_large_patch16_dinov3": "hub:vit_large_patch16_dinov3.lvd1689m",  # of the paper: photographs
    "vit_base_patch14_reg4_dinov2": "hub:vit_base_patch14_reg4_dinov2.lvd142m",
}
# A heat map is black where nothing moved, and black for every neutral face: a reference would say nothing. How bright
# it is says how far something moved, which its local contrast would not.
_TASKS: Final[dict[str, dict[str, Any]]] = {
    "vitpain": {},
    "teacher": {"neutral": False, "local_contrast": False},
    "distill": {},
    "siamese": {"fusion": "attention", "bounded": False},  # for comparison: it reads both embeddings side by side
}
_SIAMESE_TINY: Final = {"lr": 2e-3, "backbone_lr": 2e-3}  # what worked for the conv net; the ViT wants half


def preset(name: str, task: str, backbone: str | None = None) -> TrainConfig:
    """The settings of a preset for a task.

    Args:
        name: Of the preset.
        task: Of TASKS.
        backbone: That was asked for. One that is not the preset's has its own shape: the preset's is of its own net.

    Raises:
        RefusedError: An unknown name.
    """
    checked_words(name, task)
    chosen = {**_PRESETS[name], **_TASKS[task]}
    if backbone not in (None, TrainConfig(**chosen).backbone):
        chosen |= {"backbone": backbone} | _AS_IT_IS
    if task == "siamese":
        if name != "tiny":
            raise RefusedError(f"--task siamese is a small net for comparison: it has --preset tiny only, got {name}")
        chosen |= _SIAMESE_TINY
    return TrainConfig(**chosen)


def checked_words(name: str, task: str) -> None:
    """Raise RefusedError for an unknown preset or task."""
    if task == "v4":
        raise RefusedError("--task v4 is now --task vitpain")
    for option, word, known in (("preset", name, PRESETS), ("task", task, TASKS)):
        if word not in known:
            raise RefusedError(f"--{option} must be one of {', '.join(known)}, got {word!r}")


def validated(config: TrainConfig) -> TrainConfig:
    """Hand back settings that can be run. Raises RefusedError for the first that can't."""
    checked(config)
    if config.batch % config.group:
        raise RefusedError(f"batch must be a multiple of group, got {config.batch} and {config.group}")
    if config.folds and config.fold >= config.folds:
        raise RefusedError(f"fold must be from 0 to folds - 1, got {config.fold} of {config.folds}")
    style_families(config.styles)
    if config.lora_rank and config.weights == "random":
        weights = _PUBLISHED.get(config.backbone, "hub:NAME")
        raise RefusedError(
            f"lora_rank freezes the backbone, and weights are random: add --weights {weights} (timm downloads it, "
            "under a licence of its own) or --weights FILE, or train all of it with --lora-rank 0"
        )
    return config


def style_families(text: str) -> tuple[str, ...]:
    """The families that ``all``, ``none``, ``curve,grey`` or ``all-grey-jpeg`` names. Raises RefusedError."""
    words = [] if text == "none" else text.split("-" if text.partition("-")[0] == "all" else ",")
    left_out = words[:1] == ["all"]
    for word in words[left_out:]:
        if word not in STYLES:
            raise RefusedError(f"--styles {text}: {word!r} is none of {', '.join(STYLES)}, all, none")
    return tuple(name for name in STYLES if (name in words) != left_out)


def config_hash(task: str, config: TrainConfig, data_key: str) -> str:
    """SHA-256 over what decides the result: task, settings but those of `HOW`, and the data; 64 hex digits."""
    what = {name: value for name, value in dataclasses.asdict(config).items() if name not in HOW}
    return settings_hash([task, what, data_key])
