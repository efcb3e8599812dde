"""Tasks: what sees what, what the losses are, and that the fused loss of distillation says the same."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.console.settings import with_content
from pain3d.training.config import TrainConfig, config_hash, preset, validated
from pain3d.training.data.batch import Batch, Labels
from pain3d.training.losses import label_losses, pair_losses
from pain3d.training.model.vitpain import Outputs, Pairs
from pain3d.training.task import Distillation, Task, make_task

SMALL = {"image_size": 32, "depth": 1, "width": 32, "heads": 2, "dropout": 0.0}


def config(task: str = "vitpain", **changes: object) -> TrainConfig:
    return dataclasses.replace(preset("tiny", task), **{**SMALL, **changes})


def batch(neutral: bool = True, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(3)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    au = torch.tensor([[4, 2, 4, 3, 1, 1], [0, 0, 0, 0, 0, 0], [0, 3, 3, 0, 0, 1], [1, 0, 0, 0, 0, 0]]).float()[:count]
    pspi = au[:, 0] + au[:, 1:3].amax(1) + au[:, 3:5].amax(1) + au[:, 5]
    return Batch(
        image=noise(count, 3, 32, 32),
        heatmap=noise(count, 3, 32, 32),
        neutral=noise(2, 3, 32, 32) if neutral else None,
        neutral_of=torch.tensor([[0], [0], [1], [1]])[:count] if neutral else None,
        labels=Labels(
            au=au,
            sides=au[..., None].expand(-1, -1, 2),
            pspi=pspi,
            pain=(pspi >= 1).float(),
            weight=torch.tensor([1.0, 2.0, 1.0, 1.0])[:count],
            row=torch.arange(count),
        ),
    )


def outputs(count: int = 4) -> Outputs:
    generator = torch.Generator().manual_seed(4)
    logit = torch.randn(count, generator=generator)
    au, binary = (torch.randn(count, width, generator=generator) for width in (6, 3))
    return Outputs(torch.zeros(count, 5, 8), logit, logit.sigmoid() * 16, au.relu(), binary)


def test_losses_are_those_of_the_formula() -> None:
    given, answer = batch().labels, outputs()
    parts = label_losses(answer, given)
    share = np.array([1, 2, 1, 1]) / 5
    p, z = given.pspi.numpy(), answer.pspi_logit.numpy()
    assert float(parts["pspi"]) == pytest.approx(float((share * (1 / (1 + np.exp(-z)) - p / 16) ** 2).sum()), rel=1e-5)
    scale = np.array([5, 5, 5, 5, 5, 1])
    units = (((answer.au.numpy() - given.au.numpy()) / scale) ** 2).mean(1)
    assert float(parts["au"]) == pytest.approx(float((share * units).sum()), rel=1e-5)
    truth = p[:, None] >= np.array([1, 2, 3])
    crossed = np.log1p(np.exp(-np.where(truth, 1, -1) * answer.binary.numpy())).mean(1)
    assert float(parts["binary"]) == pytest.approx(float((share * crossed).sum()), rel=1e-5)


def test_a_face_beside_another_is_to_say_how_much_more_it_hurts() -> None:
    """By hand: two people of two faces, each beside the other of its person; what isn't known of one costs nothing."""
    task = make_task("vitpain", config(fusion="difference", group=2))
    given = batch()
    others = task.others(given)
    assert others is not None and others.tolist() == [1, 0, 3, 2]
    labels, said = given.labels, Pairs(torch.tensor([3.0, -3.0, 2.0, 1.0]), torch.zeros(4, 6))
    parts = pair_losses(said, labels, others)
    share, p = np.array([1, 2, 1, 1]) / 5, labels.pspi.numpy()
    off = np.array([3, -3, 2, 1]) - (p - p[[1, 0, 3, 2]])
    assert float(parts["pair_pspi"]) == pytest.approx(float((share * (off / 16) ** 2).sum()), rel=1e-5)
    units = labels.au.numpy() / np.array([5, 5, 5, 5, 5, 1])
    apart = ((units - units[[1, 0, 3, 2]]) ** 2).mean(1)
    assert float(parts["pair_au"]) == pytest.approx(float((share * apart).sum()), rel=1e-5)
    unknown = labels._replace(pspi=torch.full_like(labels.pspi, torch.nan), au=torch.full_like(labels.au, torch.nan))
    assert not any(float(part) for part in pair_losses(said, unknown, others).values())
    learned = task.loss(task.model, given, task.model)
    assert float(learned["pair_pspi"]) > 0 and float(learned["pair_au"]) > 0


@pytest.mark.parametrize("changes", [{"fusion": "attention"}, {"pair_weight": 0.0}, {"group": 1}])
def test_nobody_is_beside_another_unless_faces_are_subtracted(changes: dict[str, object]) -> None:
    task = make_task("vitpain", config(**{"fusion": "difference", "group": 2, **changes}))
    assert task.others(batch()) is None
    assert "pair_pspi" not in task.loss(task.model, batch(), task.model)


def test_unknown_labels_cost_nothing_and_pain_still_teaches() -> None:
    given, answer = batch().labels, outputs()
    nothing = {name: torch.full_like(getattr(given, name), torch.nan) for name in ("pspi", "au")}
    parts = label_losses(answer, given._replace(**nothing))
    assert float(parts["pspi"]) == float(parts["au"]) == 0.0
    share = given.weight / given.weight.sum()
    first = torch.nn.functional.binary_cross_entropy_with_logits(answer.binary[:, 0], given.pain, reduction="none")
    assert float(parts["binary"]) == pytest.approx(float((first * share).sum()), rel=1e-5)


def test_distillation_without_a_pull_is_the_task_alone() -> None:
    """The kernel's label terms are those of `label_losses`."""
    settings = config("distill", teacher_mode="ema", cls_weight=0.0, patch_weight=0.0, score_weight=0.0)
    student = make_task("distill", settings)
    alone = Task(student.model, settings)
    average = copy.deepcopy(student.model)
    given = batch()
    student.model.eval()
    fused, plain = (task.loss(student.model, given, average) for task in (student, alone))
    # worst seen 6e-8: the same terms summed in another order, float32
    torch.testing.assert_close(fused["loss"], plain["loss"], rtol=1e-6, atol=1e-6)
    for name in ("pspi", "au", "binary"):
        torch.testing.assert_close(fused[name], plain[name], rtol=1e-6, atol=1e-6)


def test_a_teacher_pulls_the_student() -> None:
    teacher = make_task("teacher", config("teacher", seed=1)).model
    student = Distillation(make_task("vitpain", config()).model, config("distill"), teacher)
    parts = student.loss(student.model, batch(), copy.deepcopy(student.model))
    parts["loss"].backward()
    assert {"tokens_cls", "tokens_patch", "kd"} <= set(parts)
    assert float(parts["tokens_cls"]) > 0 and float(parts["tokens_patch"]) > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert student.needs_heatmaps


def test_attention_maps_can_be_pulled_too() -> None:
    settings = config("distill", teacher_mode="ema", attention_weight=1.0)
    task = make_task("distill", settings)
    average = copy.deepcopy(task.model)
    with torch.no_grad():
        next(average.units.parameters()).add_(1.0)
    assert float(task.loss(task.model, batch(), average)["attention"]) > 0


def test_the_teacher_sees_heat_maps_and_no_neutral() -> None:
    task = make_task("teacher", config("teacher"))
    given = batch(neutral=False)
    task.model.eval()
    first = task.predict(task.model, given)
    assert torch.equal(first.pspi, task.predict(task.model, dataclasses.replace(given, image=given.image + 1)).pspi)
    assert not torch.equal(first.pspi, task.predict(task.model, dataclasses.replace(given, heatmap=given.image)).pspi)


def test_the_hash_knows_what_decides_the_result() -> None:
    base = config_hash("vitpain", TrainConfig(), "data")
    assert base == config_hash("vitpain", TrainConfig(cache_mb=1, checkpoint_seconds=5, device="cpu"), "data")
    for other in (
        ("vitpain", TrainConfig(seed=1), "data"),
        ("vitpain", TrainConfig(), "other"),
        ("siamese", TrainConfig(), "data"),
    ):
        assert config_hash(*other) != base


def test_every_setting_is_checked() -> None:
    for field in dataclasses.fields(TrainConfig):
        with pytest.raises(RefusedError, match=f"^{field.name} must be"):
            with_content(TrainConfig(), {field.name: [1]}, validated)


def test_old_names_of_settings_tell_the_new_ones() -> None:
    names = {field.name for field in dataclasses.fields(TrainConfig)}
    for old, new in TrainConfig.RENAMED.items():
        assert new in names
        with pytest.raises(RefusedError, match=f"^{old} is now {new}$"):
            with_content(TrainConfig(), {old: 1}, validated)


def test_presets_are_valid_once_they_have_weights() -> None:
    for name in ("tiny", "small", "base", "paper"):
        settings = preset(name, "vitpain")
        validated(dataclasses.replace(settings, **({"weights": "hub:somewhere"} if settings.lora_rank else {})))


def test_every_net_goes_to_the_device() -> None:
    """On meta tensors: a teacher left behind would be found by the first GPU only."""
    task = make_task("vitpain", config())
    student = Distillation(task.model, config("distill"), make_task("teacher", config("teacher")).model)
    student.to(torch.device("meta"))
    assert student.teacher is not None
    devices = {parameter.device.type for net in (student.model, student.teacher) for parameter in net.parameters()}
    assert devices == {"meta"}
