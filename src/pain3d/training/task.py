"""Knows the tasks: what sees what, and what it costs. The loop knows none of this.

``vitpain`` and ``siamese`` see pictures beside neutral ones; ``teacher`` sees heat maps; ``distill`` is vitpain whose
tokens and score are also pulled towards a teacher's.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pain3d.console.refused import RefusedError
from pain3d.facs.pain_score import MAX_PSPI
from pain3d.kernels.distillation import (
    DistillTargets,
    DistillWeights,
    StudentPredictions,
    TeacherPredictions,
    distill_loss,
)
from pain3d.training.config import TrainConfig
from pain3d.training.data.batch import Batch
from pain3d.training.data.samples import THRESHOLDS
from pain3d.training.losses import label_losses, pair_losses
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import Model, build_model
from pain3d.training.model.heads import UNIT_SCALE
from pain3d.training.model.pretrained import load_pretrained
from pain3d.training.model.vitpain import Outputs

SIAMESE = "siamese"
PARTS = {  # of the fused loss, by the words of the log
    "tokens_cls": "tokens_prefix",
    "tokens_patch": "tokens_patch",
    "au": "vector",
    "binary": "thresholds",
    "kd": "kd",
}
PUBLISHED_DROPOUT = (1.0, 1.0, 0.6, 0.6)  # of 0.5: the published head has 0.5, 0.5, 0.3, 0.3


class Task:
    """A model, what it sees of a batch, and what that costs.

    Args:
        model: What learns.
        config: Weights of the losses.
        heatmaps: Whether it sees heat maps instead of pictures.
    """

    def __init__(self, model: Model, config: TrainConfig, heatmaps: bool = False) -> None:
        self.model = model
        self.config = config
        self.heatmaps = heatmaps

    @property
    def needs_heatmaps(self) -> bool:
        """Whether batches must bring heat maps."""
        return self.heatmaps

    def to(self, device: torch.device) -> None:
        """Move all nets to a device; on a CPU convolutions are faster with channels last."""
        for net in self.nets():
            net.to(device)
            if device.type == "cpu":
                net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def nets(self) -> list[Model]:
        """Every net that a step runs."""
        return [self.model]

    def others(self, batch: Batch) -> Tensor | None:
        """[B] beside whom of the same person each face is seen once more while it learns; None where none is."""
        group = self.config.group
        if not (self.model.config.subtracts and self.config.pair_weight) or group == 1:
            return None
        places = torch.arange(len(batch), device=batch.image.device)
        return places.reshape(-1, group).roll(1, 1).flatten()

    def pairs(self, said: Outputs, batch: Batch, others: Tensor | None) -> dict[str, Tensor]:
        """The losses of faces beside `others` and, as ``pairs``, their weighted sum; none where nobody asked."""
        if said.pairs is None or others is None:
            return {}
        c, parts = self.config, pair_losses(said.pairs, batch.labels, others)
        weighted = c.pspi_weight * parts["pair_pspi"] + c.au_weight * parts["pair_au"]
        return parts | {"pairs": c.pair_weight * weighted}

    def predict(self, model: nn.Module, batch: Batch, attention: bool = False, others: Tensor | None = None) -> Outputs:
        """Outputs of a model (the task's, or an average of it) for a batch."""
        image = batch.heatmap if self.heatmaps else batch.image
        assert image is not None
        if not self.config.neutral:
            outputs: Outputs = model(image, attention=attention)
        else:
            outputs = model(image, batch.neutral, batch.neutral_of, attention=attention, others=others)
        return outputs

    def loss(self, model: nn.Module, batch: Batch, average: nn.Module) -> dict[str, Tensor]:
        """The parts of the loss by name, scalars; ``loss`` is their weighted sum. Gradients: to the model."""
        c = self.config
        others = self.others(batch)
        said = self.predict(model, batch, others=others)
        parts = label_losses(said, batch.labels)
        total = c.pspi_weight * parts["pspi"] + c.au_weight * parts["au"] + c.binary_weight * parts["binary"]
        total = total + parts.get("spread", 0)
        pairs = self.pairs(said, batch, others)
        total, parts = total + pairs.pop("pairs", 0), parts | pairs
        return {"loss": total, **{name: part.detach() for name, part in parts.items()}}


class Distillation(Task):
    """A student that sees pictures, and a teacher that sees the heat maps of the same pictures.

    Args:
        model: The student.
        config: Weights and temperature.
        teacher: Frozen; None takes the moving average of the student, which sees the same picture.
    """

    def __init__(self, model: Model, config: TrainConfig, teacher: Model | None) -> None:
        super().__init__(model, config)
        self.teacher = teacher.eval().requires_grad_(False) if teacher is not None else None

    @property
    def needs_heatmaps(self) -> bool:
        """A trained teacher sees them."""
        return self.teacher is not None

    def nets(self) -> list[Model]:
        """Student and teacher."""
        return [self.model, *([self.teacher] if self.teacher is not None else [])]

    def loss(self, model: nn.Module, batch: Batch, average: nn.Module) -> dict[str, Tensor]:
        """See `Task.loss`; one pass over the tokens, by `pain3d.kernels.distill_loss`."""
        c = self.config
        look = c.attention_weight > 0
        others = self.others(batch)
        student = self.predict(model, batch, look, others)
        with torch.no_grad():
            if self.teacher is not None:
                assert batch.heatmap is not None
                teacher: Outputs = self.teacher(batch.heatmap, attention=look)
            else:
                teacher = self.predict(average, batch, look)
        parts = distill_loss(
            StudentPredictions(student.tokens, student.pspi_logit.float(), student.au.float(), student.binary.float()),
            TeacherPredictions(teacher.tokens, teacher.pspi_logit.float()),
            DistillTargets(batch.labels.pspi, batch.labels.au, batch.labels.weight),
            thresholds=THRESHOLDS,
            scalar_scale=MAX_PSPI,
            vector_scale=UNIT_SCALE,
            prefix=self.model.prefix,
            kind=c.distance,
            temperature=c.temperature,
            weights=DistillWeights(
                tokens_prefix=c.cls_weight,
                tokens_patch=c.patch_weight,
                scalar=0.0,  # below: a logit of the score is drawn together where faces are subtracted
                vector=c.au_weight,
                thresholds=c.binary_weight,
                kd=c.score_weight,
            ),
            overwrite_teacher=True,
        )
        plain = label_losses(student, batch.labels)
        pairs = self.pairs(student, batch, others)
        own = {name: plain[name] for name in ("pspi", "spread") if name in plain}
        out = {"loss": parts.total + c.pspi_weight * plain["pspi"] + plain.get("spread", 0) + pairs.pop("pairs", 0)}
        out |= {name: part.detach() for name, part in pairs.items()}
        out |= {name: part.detach() for name, part in own.items()}
        out |= {word: getattr(parts, part).detach() for word, part in PARTS.items()}
        if look:
            assert student.attention is not None and teacher.attention is not None
            apart = (student.attention["au"].float() - teacher.attention["au"].float()).square().sum(-1).mean()
            out["loss"] = out["loss"] + c.attention_weight * apart
            out["attention"] = apart.detach()
        return out


def make_task(name: str, config: TrainConfig, framing: str = "") -> Task:
    """The task of a run, its model with first weights.

    Args:
        name: Of the task.
        config: Of the run.
        framing: What of a picture the model will see, see `ModelConfig`.

    Raises:
        RefusedError: No such backbone, weights or teacher, or they don't fit.
    """
    shape = replace(model_config(name, config), framing=framing)
    model = build_model(shape, seed=config.seed, weights=config.weights)
    if name != "distill":
        return Task(model, config, heatmaps=name == "teacher")
    return Distillation(model, config, _teacher(config, model))


def model_config(name: str, config: TrainConfig) -> ModelConfig:
    """The shape of a run's model."""
    common = ModelConfig(
        image_size=config.image_size,
        local_contrast=config.local_contrast,
        bounded=config.bounded and config.local_contrast,
        neutral=config.neutral,
        fusion=config.fusion,
        spread=True,
    )
    if name == SIAMESE:
        return replace(common, architecture=SIAMESE, backbone="")
    return replace(
        common,
        backbone=config.backbone,
        conv_stem=config.conv_stem,
        depth=config.depth or None,
        width=config.width or None,
        heads=config.heads or None,
        separate=config.separate,
        lora_rank=config.lora_rank,
        dropout=tuple(config.dropout * share for share in PUBLISHED_DROPOUT),
    )


def _teacher(config: TrainConfig, student: Model) -> Model | None:
    """The frozen teacher, or None for the average. Raises RefusedError."""
    if config.teacher_mode == "ema":
        if config.teacher:
            raise RefusedError(f"--teacher {config.teacher}: with --teacher-mode ema the student's average teaches")
        return None
    if not config.teacher:
        raise RefusedError("--task distill needs --teacher RUN, a run of --task teacher (or --teacher-mode ema)")
    teacher = load_pretrained(Path(config.teacher) / "model")
    if teacher.config.neutral:
        raise RefusedError(f"--teacher {config.teacher}: it takes a neutral picture, so it is no run of --task teacher")
    sides = teacher.config.image_size, student.config.image_size
    if sides[0] != sides[1]:
        raise RefusedError(f"--teacher {config.teacher}: its image_size is {sides[0]}, the student's {sides[1]}")
    if (teacher.backbone.width, teacher.grid) != (student.backbone.width, student.grid):
        raise RefusedError(f"--teacher {config.teacher}: its tokens have another shape than the student's")
    return teacher
