"""Holds models on the disk: the same answers after reading, plain files only, one line for whatever is wrong."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pain3d.console.refused import RefusedError
from pain3d.training.model.config import ModelConfig
from pain3d.training.model.factory import build_model
from pain3d.training.model.pretrained import CARD, CONFIG, WEIGHTS, load_pretrained, model_card, save_pretrained

TINY = ModelConfig(width=32, depth=1, heads=2, image_size=32, dropout=(0, 0, 0, 0.5))
CARD_OF = {"title": "A <model> & more", "metrics": {"PSPI | r": 0.51239, "AUROC": None}, "data": "two\nlines"}
LORA = {"backbone": "vit_tiny_patch16_dinov3_qkvb", "depth": 1, "width": 64, "heads": 2, "separate": True}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_pretrained(build_model(TINY, seed=3), tmp_path / "run" / "model", CARD_OF)
    return tmp_path / "run" / "model"


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        ModelConfig(width=32, depth=1, heads=2, image_size=32, conv_stem=True, neutral=False),
        ModelConfig(architecture="siamese", image_size=32),
        ModelConfig(**LORA, image_size=32, lora_rank=2),
    ],
    ids=["vitpain", "stem", "siamese", "lora"],
)
def test_it_says_the_same(config: ModelConfig, tmp_path: Path) -> None:
    model = build_model(config, seed=3)
    pictures = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    inputs = (pictures, pictures.flip(0)) if config.neutral else (pictures,)
    model(*inputs)  # moves the running averages of convolutions away from where they start
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    save_pretrained(model, tmp_path, {})
    read = load_pretrained(tmp_path)
    assert read.config == config
    assert not read.training
    with torch.no_grad():
        said, expected = read(*inputs), model.eval()(*inputs)
    for name in ("tokens", "pspi", "au", "binary"):
        assert torch.equal(getattr(said, name), getattr(expected, name)), name


def test_bytes_are_the_models(saved: Path, tmp_path: Path) -> None:
    save_pretrained(build_model(TINY, seed=3), tmp_path / "again", CARD_OF)
    for name in (WEIGHTS, CONFIG, CARD):
        assert (saved / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert sorted(path.name for path in saved.iterdir()) == sorted((WEIGHTS, CONFIG, CARD))


def test_a_run_has_its_model_in_a_folder(saved: Path) -> None:
    assert load_pretrained(saved.parent).config == TINY


def test_saving_again_replaces(saved: Path) -> None:
    other = ModelConfig(architecture="siamese", image_size=32)
    save_pretrained(build_model(other), saved, {})
    assert load_pretrained(saved).config == other


def test_card_says_what_it_is_and_is_not(saved: Path) -> None:
    card = (saved / CARD).read_text(encoding="utf-8")
    assert "# A <model> & more\n" in card
    assert "Not a medical device" in card
    assert "| PSPI \\| r | 0.512 |" in card
    assert "| AUROC | – |" in card
    assert "| data | two lines |" in card
    assert "Apache-2.0" in card
    assert "Not measured." in model_card(TINY, {})
    assert "My terms." in model_card(TINY, {"licence": "My terms."})


def weights_of(config: ModelConfig) -> dict[str, torch.Tensor]:
    state = build_model(config).state_dict()
    return {name: value.contiguous() for name, value in state.items() if value.is_floating_point()}


def broken(folder: Path, how: str) -> None:
    """Do to a saved model what a test is about."""
    weights, config = folder / WEIGHTS, folder / CONFIG
    state: dict[str, torch.Tensor] = load_file(weights)
    values: dict[str, Any] = json.loads(config.read_text())
    match how:
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "empty":
            weights.write_bytes(b"")
        case "no weights" | "pickled":
            weights.unlink()
            if how == "pickled":
                (folder / "last.ckpt").write_bytes(pickle.dumps({}))
        case "no config":
            config.unlink()
        case "other architecture":
            save_file(weights_of(ModelConfig(architecture="siamese", image_size=32)), weights)
        case "other shape":
            save_file(weights_of(ModelConfig(width=64, depth=1, heads=2, image_size=32)), weights)
        case "one more":
            save_file({**state, "extra": torch.zeros(1)}, weights)
        case "other config":
            config.write_text(json.dumps({**values, "heads": 4}))
        case "unknown field":
            config.write_text(json.dumps({**values, "colour": "red"}))
        case "no json":
            config.write_text("{")
        case "a list":
            config.write_text("[]")
    assert state


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("truncated", "model.safetensors: not a whole safetensors file"),
        ("empty", "model.safetensors: not a whole safetensors file"),
        ("no weights", "model: no model.safetensors"),
        ("pickled", "last.ckpt: pickled checkpoints can run code"),
        ("no config", "model: no config.json"),
        ("other architecture", "model.safetensors: no backbone.net.cls_token: of another architecture"),
        (
            "other shape",
            "model.safetensors: backbone.net.cls_token is [1, 1, 64], the model of config.json needs [1, 1, 32]",
        ),
        ("one more", "model.safetensors: extra is nothing of the model of config.json"),
        ("other config", "model.safetensors: written with another config than config.json"),
        ("unknown field", "config.json: unknown field 'colour'"),
        ("no json", "config.json: no JSON"),
        ("a list", "config.json: must hold an object, got list"),
    ],
)
def test_refused_in_one_line(saved: Path, how: str, says: str) -> None:
    broken(saved, how)
    with pytest.raises(RefusedError) as refused:
        load_pretrained(saved)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [("none", "none: no such folder of a model"), ("run.pt", "run.pt: pickled checkpoints can run code")],
)
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(RefusedError, match=says):
        load_pretrained(tmp_path / name)


def test_half_written_files_are_never_seen(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (saved / WEIGHTS).read_bytes()

    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("pain3d.files.os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        save_pretrained(build_model(TINY, seed=4), saved, CARD_OF)
    assert (saved / WEIGHTS).read_bytes() == before
    assert sorted(path.name for path in saved.iterdir()) == sorted((WEIGHTS, CONFIG, CARD))


def test_weights_know_their_config(saved: Path) -> None:
    with safe_open(saved / WEIGHTS, framework="pt") as file:
        assert json.loads(file.metadata()["config"]) == TINY.as_json()
