"""Knows how a model lies on the disk: config.json, model.safetensors and a model card; plain data, nothing that runs.

The weights carry the config that they were written with, so that two files of two models are not taken for one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.text import parse_json, read_json
from pain3d.files import make_folders, write_durably
from pain3d.provenance import pain3d_version
from pain3d.training.model.config import ModelConfig, config_from_json
from pain3d.training.model.factory import Model, build_model
from pain3d.training.model.weights import check_weights, read_weights

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
CARD: Final = "README.md"
LICENCE: Final = (
    "The weights are under Apache-2.0, unless the encoder's first weights or the data carry terms of their own."
)
TEMPLATE: Final = Path(__file__).parent / "templates" / "model_card.md.j2"
APART: Final = ("title", "metrics", "licence")  # of a card: what has a place of its own
PICKLED: Final = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")  # their readers can run what is written in them


def save_pretrained(model: Model, folder: Path, card: Mapping[str, Any]) -> None:
    """Write a model so that `load_pretrained` reads it; each file at once or not at all.

    Args:
        model: On any device; its weights are written in float32.
        folder: Made if it isn't there.
        card: For the model card. ``title``: its heading; ``metrics``: values by name, None where undefined;
            ``licence``: a sentence; every other key and value is a line on how the model was made.
    """
    from safetensors.torch import save

    make_folders(folder)
    config = json.dumps(model.config.as_json(), indent=2) + "\n"
    tensors = {name: value.detach().float().cpu().contiguous().clone() for name, value in _named(model).items()}
    # One entry and no more: safetensors writes several in an order of its own, another one every time.
    write_durably(folder / WEIGHTS, save(tensors, {"config": config}))
    write_durably(folder / CARD, model_card(model.config, card).encode())
    write_durably(folder / CONFIG, config.encode())


def load_pretrained(folder: Path, device: str | torch.device = "cpu") -> Model:
    """A saved model, in evaluation mode.

    Args:
        folder: Of the model, or of a run that has it in its folder ``model``.
        device: Where it shall be.

    Raises:
        RefusedError: A file is missing, damaged, pickled, or of another model; the message names it.
    """
    home = _home(Path(folder))
    config = read_config(home / CONFIG)
    state = read_weights(home / WEIGHTS)
    _check_pair(home, config)
    try:
        with torch.device("meta"):  # takes no memory: a config of a few bytes may ask for more than there is
            planned = build_model(config)
    except RefusedError:
        raise
    except (ValueError, TypeError, RuntimeError, AssertionError) as error:  # what timm and torch raise of sizes
        raise RefusedError(f"{home / CONFIG}: no model can be made of it ({one_line(error)})") from error
    check_weights(state, _named(planned), str(home / WEIGHTS), f"the model of {CONFIG}")
    model = build_model(config)
    model.load_state_dict(state, strict=False)  # what counts batches is not saved
    return model.eval().to(device)


def read_config(path: Path) -> ModelConfig:
    """The config of a saved model. Raises RefusedError for a file that is missing, no JSON, or of unknown fields."""
    return _config(read_json(path), path)


def _config(values: Any, path: Path) -> ModelConfig:
    if not isinstance(values, dict):
        raise RefusedError(f"{path}: must hold an object, got {type(values).__name__}")
    return config_from_json(values, str(path))


def model_card(config: ModelConfig, card: Mapping[str, Any]) -> str:
    """The text of a model card, Markdown; see `save_pretrained` for `card`."""
    from pain3d.console.page import html_page

    made = {"pain3d": pain3d_version(), **{name: value for name, value in card.items() if name not in APART}}
    return html_page(
        TEMPLATE,
        title=_cell(card.get("title", "pain3d model")),
        licence=_cell(card.get("licence", LICENCE)),
        config=config,
        metrics={_cell(name): _figure(value) for name, value in card.get("metrics", {}).items()},
        made={_cell(name): _cell(value) for name, value in made.items()},
    )


def _named(model: Model) -> dict[str, torch.Tensor]:
    """What is saved: weights and running averages; not the counts of batches, which nothing uses."""
    return {name: value for name, value in model.state_dict().items() if value.dtype.is_floating_point}


def _home(folder: Path) -> Path:
    """The folder that the three files lie in."""
    if folder.suffix in PICKLED:
        raise RefusedError(f"{folder}: pickled checkpoints can run code and are not read; give a folder with {WEIGHTS}")
    if not folder.is_dir():
        raise RefusedError(f"{folder}: no such folder of a model")
    home = folder / "model" if not (folder / WEIGHTS).exists() and (folder / "model").is_dir() else folder
    if not (home / WEIGHTS).is_file():
        pickled = sorted(path.name for path in home.iterdir() if path.suffix in PICKLED)
        if pickled:
            raise RefusedError(f"{home / pickled[0]}: pickled checkpoints can run code and are not read")
        raise RefusedError(f"{home}: no {WEIGHTS}; not the folder of a model, or of a run that has not ended")
    if not (home / CONFIG).is_file():
        raise RefusedError(f"{home}: no {CONFIG}; the weights alone don't say what they are of")
    return home


def _check_pair(home: Path, config: ModelConfig) -> None:
    """Refuse weights that were written with another config."""
    from safetensors import safe_open

    with safe_open(home / WEIGHTS, framework="pt") as file:
        written = (file.metadata() or {}).get("config")
    if written is not None and _config(parse_json(written, str(home / WEIGHTS)), home / WEIGHTS) != config:
        raise RefusedError(f"{home / WEIGHTS}: written with another config than {CONFIG} beside it")


def _cell(value: Any) -> str:
    """A value as a cell of a table: one line, no bar."""
    return " ".join(str(value).split()).replace("|", "\\|")


def _figure(value: Any) -> str:
    """A metric as text; what is undefined is a dash."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else _cell(value)
