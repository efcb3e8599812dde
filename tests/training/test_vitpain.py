"""Holds the models: ranges, gradients to every weight, neutral faces by row and by number, what is refused."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.training.model.config import ModelConfig, config_from_json
from pain3d.training.model.differences import CALM_LOGIT, MARGIN, SQUEEZE, FromZero
from pain3d.training.model.factory import Model, build_model
from pain3d.training.model.fusion import CrossAttention
from pain3d.training.model.heads import UNIT_SCALE, Intensity
from pain3d.training.model.vitpain import Outputs, ViTPain

VIT: dict[str, Any] = {"width": 32, "depth": 2, "heads": 2, "image_size": 32, "dropout": (0.0,) * 4}
CONFIGS = {
    "vitpain": ModelConfig(**VIT),
    "alone": ModelConfig(**VIT, neutral=False),
    "separate": ModelConfig(**VIT, separate=True),
    "stem": ModelConfig(**VIT, conv_stem=True),
    "difference": ModelConfig(**VIT, conv_stem=True, fusion="difference", spread=True),
    "siamese": ModelConfig(architecture="siamese", image_size=32),
    "siamese difference": ModelConfig(architecture="siamese", image_size=32, fusion="difference", spread=True),
    "siamese alone": ModelConfig(architecture="siamese", image_size=32, neutral=False),
}
WITH_NEUTRAL = ("vitpain", "separate", "stem", "siamese")
SUBTRACTING = ("difference", "siamese difference")
EXACT = 1e-5  # worst seen 0 on one thread; another order of the same sums would be 1e-6


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Models this small are faster so, and much faster where other tests run beside."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pictures(count: int, seed: int = 0, side: int = 32) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def asked(model: Model, image: Tensor, *neutral: Tensor, attention: bool = False) -> Outputs:
    with torch.no_grad():
        said: Outputs = model(image, *neutral, attention=attention)
    return said


def same(first: Outputs, second: Outputs) -> None:
    for name in ("pspi", "au", "binary", "tokens"):
        torch.testing.assert_close(getattr(first, name), getattr(second, name), atol=EXACT, rtol=0)


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_said(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    neutral = (pictures(3, 1),) if CONFIGS[name].neutral else ()
    said = asked(model, 4 * pictures(3), *neutral)
    assert said.pspi.shape == said.pspi_logit.shape == (3,)
    assert said.au.shape == (3, 6)
    assert said.binary.shape == (3, 3)
    assert said.tokens.shape[0] == 3
    share = said.pspi_logit.sigmoid()
    if CONFIGS[name].subtracts:
        share = (share - SQUEEZE) / (1 - 2 * SQUEEZE)
        assert said.pspi_std is not None and (said.pspi_std > 0).all()
    torch.testing.assert_close(said.pspi, share * 16, atol=1e-5, rtol=0)  # worst seen 2e-6: back through the logit
    assert (said.au >= 0).all()
    assert said.attention is None


@pytest.mark.parametrize("name", CONFIGS)
def test_every_weight_learns(name: str) -> None:
    model = build_model(CONFIGS[name])
    inputs: tuple[Tensor, ...] = (pictures(6),)
    if CONFIGS[name].neutral:
        inputs = (*inputs, pictures(3, 1), torch.tensor([[0, 1], [0, 2], [1, 2], [1, 0], [2, 0], [2, 1]]))
    said = model(*inputs)
    spread = 0.0 if said.pspi_std is None else said.pspi_std.sum()
    (
        spread + said.pspi_logit.square().sum() + (said.au * torch.arange(1.0, 7)).sum() + said.binary.square().sum()
    ).backward()
    lost = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not lost


@pytest.mark.parametrize("name", CONFIGS)
def test_no_unit_starts_dead(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    neutral = (pictures(32, 1),) if CONFIGS[name].neutral else ()
    units = asked(model, pictures(32), *neutral).au
    assert (units > 0).any(0).all()


def test_a_unit_that_was_cut_comes_back() -> None:
    numbers = torch.tensor([[-1.0, 0.5, -2.0, 0.0, 3.0, -0.1]], requires_grad=True)
    intensity = Intensity()
    said = intensity(numbers)
    assert said.tolist() == [[0.0, 2.5, 0.0, 0.0, 15.0, 0.0]]
    (said - 1).square().sum().backward()
    assert numbers.grad is not None
    assert (numbers.grad[0, [0, 2, 5]] < 0).all()  # a step against the gradient raises them
    numbers.grad = None
    intensity.eval()(numbers).sum().backward()
    assert numbers.grad.tolist() == [[0.0, 5.0, 0.0, 0.0, 5.0, 0.0]]


@pytest.mark.parametrize("name", WITH_NEUTRAL)
def test_neutral_faces_by_row(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    faces, neutral = pictures(4), pictures(2, 1)
    rows = torch.tensor([[1], [0], [1], [0]])
    together = asked(model, faces, neutral, rows)
    same(together, asked(model, faces, neutral[rows[:, 0]]))
    same(asked(model, faces, neutral[:1]), asked(model, faces, neutral, torch.zeros(4, 1, dtype=torch.int64)))
    assert (together.pspi - asked(model, faces, neutral, 1 - rows).pspi).abs().max() > 10 * EXACT


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", SUBTRACTING)
def test_a_face_beside_itself_shows_nothing(name: str, precision: torch.dtype) -> None:
    """Whatever the weights, whatever the picture, one reference or three; beside another face it shows something."""
    for seed in range(3):
        model = build_model(CONFIGS[name], seed=seed).eval()
        for parameter in model.parameters():
            parameter.data.mul_(2.0)  # louder than the first weights
        faces, others = 3 * pictures(5, seed), pictures(2, seed + 9)
        rows = (6 - torch.arange(5))[:, None].expand(-1, 3)
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            beside = [
                asked(model, faces, faces),
                asked(model, faces[:1], faces[:1]),
                asked(model, faces, torch.cat([others, faces.flip(0)]), rows),
            ]
            other = asked(model, faces, others[:1])
        for said in beside:
            assert said.pspi.abs().max() <= 1e-6 and said.au.abs().max() <= 1e-6
            assert (said.binary - CALM_LOGIT).abs().max() < 0.05  # worst seen 0: the same sums in the same order
        assert other.au.max() > 0.01


@pytest.mark.parametrize("name", SUBTRACTING)
def test_a_face_beside_another_is_as_if_that_were_neutral(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    faces, neutral, others = 3 * pictures(4), pictures(2, 1), torch.tensor([1, 0, 3, 3])
    with torch.no_grad():
        said = model(faces, neutral, torch.arange(4)[:, None] // 2, others=others)
    same(said, asked(model, faces, neutral, torch.arange(4)[:, None] // 2))
    assert said.pairs is not None and not said.pairs.pspi[3] and not said.pairs.au[3].any()
    beside = asked(model, faces, faces[others])
    margin = MARGIN * torch.tensor(UNIT_SCALE)
    torch.testing.assert_close((said.pairs.au - margin).relu(), beside.au, atol=EXACT, rtol=0)
    torch.testing.assert_close((said.pairs.pspi - 16 * MARGIN).clamp(0, 16), beside.pspi, atol=EXACT, rtol=0)
    assert (said.pairs.pspi < 0).any() or (said.pairs.au < 0).any()  # signed: nothing is cut


def test_no_difference_stays_nothing_under_dropout() -> None:
    layers = FromZero(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 3)).train()
    assert not layers(torch.zeros(4, 8)).any()
    assert layers(torch.ones(4, 8)).std(0).max() > 0  # each row has a mask of its own


def test_the_spread_pulls_on_no_score() -> None:
    model = build_model(CONFIGS["difference"])
    said = model(pictures(4), pictures(4, 1))
    assert said.pspi_std is not None
    said.pspi_std.sum().backward()
    learning = {name.split(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert learning == {"spread"}


def test_a_model_from_before_compares_by_attention() -> None:
    before = CONFIGS["vitpain"].as_json()
    del before["fusion"], before["spread"]
    config = config_from_json(before, "config.json")
    assert config == CONFIGS["vitpain"] and not config.subtracts
    state = build_model(CONFIGS["vitpain"], seed=3).state_dict()
    build_model(config).load_state_dict(state)


@pytest.mark.parametrize("name", WITH_NEUTRAL)
def test_several_neutral_faces(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    faces, neutral = pictures(2), pictures(3, 1)
    one = asked(model, faces, neutral, torch.tensor([[0], [1]]))
    same(asked(model, faces, neutral, torch.tensor([[0, 0, 0], [1, 1, 1]])), one)
    some = asked(model, faces, neutral, torch.tensor([[0, 2], [1, 2]]))
    same(asked(model, faces, neutral, torch.tensor([[2, 0], [2, 1]])), some)
    assert not torch.equal(some.pspi, one.pspi)


def test_what_several_say_is_averaged() -> None:
    attention = CrossAttention(16, 4).eval()
    asking, known = torch.randn(2, 5, 16), torch.randn(3, 7, 16)
    told, seen = attention(asking, known, torch.tensor([[0, 2], [1, 2]]), weights=True)
    parts = [attention(asking, known, torch.tensor(rows), weights=True) for rows in ([[0], [1]], [[2], [2]])]
    torch.testing.assert_close(told, (parts[0][0] + parts[1][0]) / 2)
    assert seen is not None
    torch.testing.assert_close(seen, (parts[0][1] + parts[1][1]) / 2)


def test_attention_as_torch_computes_it() -> None:
    ours = CrossAttention(16, 4)
    theirs = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, *torch.zeros(2, 16, 16)]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.zeros(32)]))
        halves = ours.key_value.weight.view(4, 2, 4, 16), ours.key_value.bias.view(4, 2, 4)
        for place, half in ((16, 0), (32, 1)):
            theirs.in_proj_weight[place : place + 16] = halves[0][:, half].reshape(16, 16)
            theirs.in_proj_bias[place : place + 16] = halves[1][:, half].reshape(16)
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    asking, known = torch.randn(2, 5, 16), torch.randn(2, 150, 16)
    expected, weights = theirs(asking, known, known, average_attn_weights=False)
    for many in (150, 100):  # the fused way and the written out one
        if many == 100:
            expected, weights = theirs(asking, known[:, :100], known[:, :100], average_attn_weights=False)
        told, _ = ours(asking, known[:, :many])
        torch.testing.assert_close(told, expected, atol=1e-5, rtol=0)  # worst seen 2e-7
    torch.testing.assert_close(ours(asking, known[:, :100], weights=True)[1], weights, atol=1e-5, rtol=0)


def test_attention_is_handed_back() -> None:
    model = build_model(CONFIGS["vitpain"]).eval()
    said = asked(model, pictures(2), pictures(2, 1), attention=True)
    assert said.attention is not None
    assert {name: tuple(seen.shape) for name, seen in said.attention.items()} == {
        "neutral": (2, 8, 5, 5),
        "au": (2, 6, 4),
    }
    for seen in said.attention.values():
        torch.testing.assert_close(seen.sum(-1), torch.ones(seen.shape[:-1]))
    same(said, asked(model, pictures(2), pictures(2, 1)))
    alone = asked(build_model(CONFIGS["alone"]).eval(), pictures(2), attention=True)
    assert alone.attention is not None
    assert set(alone.attention) == {"au"}


@pytest.mark.parametrize("name", ["vitpain", "siamese"])
def test_scores_are_float32_under_autocast(name: str) -> None:
    model = build_model(CONFIGS[name]).eval()
    with torch.autocast("cpu", torch.bfloat16):
        said = asked(model, pictures(2), pictures(2, 1))
    assert {said.pspi.dtype, said.pspi_logit.dtype, said.au.dtype, said.binary.dtype} == {torch.float32}
    exact = asked(model, pictures(2), pictures(2, 1))
    assert (said.pspi - exact.pspi).abs().max() < 0.1  # worst seen 0.01: bfloat16 has 8 bits


def test_compiles_to_one_graph() -> None:
    model = build_model(CONFIGS["vitpain"]).eval()
    inputs = (pictures(4), pictures(2, 1), torch.tensor([[0], [0], [1], [1]]))
    compiled: Any = torch.compile(model, fullgraph=True, backend="aot_eager")
    same(asked(compiled, *inputs), asked(model, *inputs))


@pytest.mark.parametrize("name", ["vitpain", "difference", "siamese"])
def test_it_learns_a_few_pictures(name: str) -> None:
    model = build_model(CONFIGS[name])
    faces, neutral, truth = pictures(8), pictures(2, 1), torch.linspace(0, 16, 8)
    rows = torch.arange(8)[:, None] // 4
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(40):
        loss = ((model(faces, neutral, rows).pspi - truth) / 16).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]  # seen: 0.07 and 0.0002


@pytest.mark.parametrize("name", ["vitpain", "siamese"])
def test_wrong_inputs_are_named(name: str) -> None:
    model = build_model(CONFIGS[name])
    with pytest.raises(ValueError, match="this model takes a neutral picture"):
        model(pictures(2))
    with pytest.raises(ValueError, match=r"neutral_of is needed: 4 pictures and 2 neutral ones"):
        model(pictures(4), pictures(2))
    with pytest.raises(ValueError, match=r"neutral_of must be \[4 K\], got \[4\]"):
        model(pictures(4), pictures(2), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="this model takes no neutral picture"):
        build_model(CONFIGS["alone" if name == "vitpain" else "siamese alone"])(pictures(2), pictures(2))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="fusion_heads must divide the width 32, got 5"):
        ViTPain(ModelConfig(**VIT, fusion_heads=5))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"architecture": "resnet"}, "architecture must be one of vitpain, siamese, got 'resnet'"),
        ({"image_size": 8}, "image_size must be from 16 to 1024"),
        ({"dropout": (0.5,)}, "dropout must be 4 numbers, got 1"),
        ({"dropout": (0.5, 0.5, 0.5, 1.0)}, "dropout must be in"),
        ({"depth": 0}, "depth must be from 1 to 100"),
        ({"fusion": "sum"}, "fusion must be one of"),
        ({"fusion": "difference", "separate": True}, "separate needs --fusion attention"),
        ({"neutral": False, "separate": True}, "separate needs neutral"),
        ({"lora_rank": 4, "conv_stem": True}, "lora_rank freezes the conv_stem"),
        ({"architecture": "siamese", "lora_rank": 4}, "the siamese net takes no lora_rank"),
    ],
)
def test_configs_that_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        ModelConfig(**fields)


@pytest.mark.parametrize("name", CONFIGS)
def test_config_survives_json(name: str) -> None:
    assert config_from_json(CONFIGS[name].as_json(), "config.json") == CONFIGS[name]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"colour": 1}, "config.json: unknown field 'colour'"),
        ({"depth": 2.5}, "config.json: depth must be int | None, got 2.5"),
        ({"neutral": 1}, "config.json: neutral must be bool, got 1"),
        ({"image_size": True}, "config.json: image_size must be int, got True"),
        ({"dropout": "0.5"}, "config.json: dropout must be"),
        ({"image_size": 1}, "config.json: image_size must be from 16 to 1024"),
    ],
)
def test_json_that_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError) as refused:
        config_from_json(fields, "config.json")
    assert str(refused.value).startswith(says)
