"""Knows who paints what stands behind the people of a data set: one painter a process, one identity at a time."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch

from pain3d.console.refused import RefusedError
from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.painted import Decorated, PaintedBehind
from pain3d.pipeline.texture.making import open_picture_painter
from pain3d.pipeline.texture.painter import Painter, PaintingError
from pain3d.pipeline.texture.prompts import Prompts, load_prompts
from pain3d.pipeline.workers import PAINTING
from pain3d.rendering.scene_inputs import SceneInputs, plated
from pain3d.scene import Scene

PROCEDURAL: Final = "procedural"


@dataclass(frozen=True)
class PlateWish:
    """What the user wants of who paints backgrounds; see `SynthConfig`. `device` is as torch names it."""

    model: str
    recipe: str
    controlnet: str
    prompts: str
    size: int
    device: str


@dataclass(frozen=True)
class Commission:
    """What is asked for behind one identity: by whom, and in which scenes, which are all of it."""

    wish: PlateWish
    scenes: tuple[Scene, ...]


class Decorator:
    """Paints what stands behind people, whoever asks, one identity after the other.

    Args:
        painter: Who paints.
        prompts: What it is asked for.
        recipe_hash: Of how the painter's model is used.

    Attributes:
        fields: What of it decides the bytes of a data set.
    """

    def __init__(self, painter: Painter, prompts: Prompts, recipe_hash: str) -> None:
        self._painter, self._prompts = painter, prompts
        self._turn = threading.Lock()
        origin = {f"background_{name}": value for name, value in asdict(painter.origin).items()}
        self.fields: dict[str, Any] = {
            "backgrounds": "diffusion", **origin, "background_recipe_hash": recipe_hash,
            "background_prompts_hash": prompts.background_hash,
        }  # fmt: skip

    def decorate(self, inputs: SceneInputs, scenes: tuple[Scene, ...]) -> Decorated:
        """Paint what stands behind one identity, in all views; spoilt plates leave its procedural backgrounds.

        Args:
            inputs: Of its scenes.
            scenes: All, with fixed cameras.

        Raises:
            RefusedError: The painter refuses: out of memory, or pictures of a size that it can't paint.
        """
        from pain3d.pipeline.texture.plates import paint_plates, plate_seed

        albedo, name = inputs.albedo, scenes[0].texture
        textures = {} if albedo is None else {name: torch.from_numpy(albedo)}
        try:
            with self._turn, PAINTING:
                plates = paint_plates(scenes, self._painter, self._prompts, Head.default(), textures)
        except PaintingError as error:
            return Decorated(inputs, fault=str(error))
        painted, background = plated(scenes, plates)
        asked = {
            scene.view_id: (self._prompts.background_for(scene).positive, plate_seed(scene))
            for scene in scenes
            if scene.expression_id == 0
        }
        behind = PaintedBehind(self._painter.origin, asked)
        return Decorated(replace(inputs, painted=painted, background=background), behind)


def plate_wish_of(config: SynthConfig, device: str) -> PlateWish | None:
    """What a configuration asks for; None where backgrounds are procedural.

    Raises:
        RefusedError: It asks for what there is not; for free cameras, of which each would need a plate of its own; or
            for processes, each of which would hold the model.
    """
    kind, _, recipe = config.backgrounds.partition(":")
    if kind != "diffusion":
        if config.backgrounds != PROCEDURAL:
            raise RefusedError(
                f"backgrounds must be procedural, diffusion or diffusion:RECIPE, got {config.backgrounds!r}"
            )
        named = next(
            (name for name in ("model", "controlnet", "prompts") if getattr(config, f"background_{name}")), None
        )
        if named is not None:
            raise RefusedError(f"--background-{named} is for a painter: name one by --backgrounds diffusion")
        return None
    if not recipe and not config.background_model:
        raise RefusedError("--backgrounds diffusion: name a model by --background-model, or a recipe")
    if config.cameras != "fixed":
        raise RefusedError("--backgrounds diffusion: a plate stands behind one camera, and --cameras free has many")
    if config.processes > 1 and device == "cpu":
        raise RefusedError(
            "--backgrounds diffusion and --processes: each process would hold the model; leave --processes out"
        )
    whom = (config.background_model, recipe, config.background_controlnet, config.background_prompts)
    return PlateWish(*whom, config.size, device)


_opened: Final[dict[PlateWish, Decorator]] = {}
_opening = threading.Lock()


def decorator_of(wish: PlateWish, *, quiet: bool = True) -> Decorator:
    """Who paints backgrounds as wished: opened once a process.

    Raises:
        RefusedError: The prompts can't be used, or the model can't be loaded.
    """
    with _opening:
        if wish not in _opened:
            prompts = load_prompts(Path(wish.prompts) if wish.prompts else None)
            painter, recipe_hash = open_picture_painter(
                "--backgrounds", wish.model, wish.recipe, wish.controlnet, wish.size, wish.device, quiet=quiet
            )
            _opened.clear()
            _opened[wish] = Decorator(painter, prompts, recipe_hash)
        return _opened[wish]
