"""Knows who paints over the pictures of a data set: one painter and one detector a process, one identity at a time."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from pain3d.console.refused import RefusedError
from pain3d.face.landmarker import Landmarker
from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.painted import PaintedOver
from pain3d.pipeline.texture.making import open_picture_painter
from pain3d.pipeline.texture.painter import Painter, Prompt
from pain3d.pipeline.texture.prompts import load_prompts
from pain3d.pipeline.texture.refine import refine_scenes
from pain3d.pipeline.texture.steadiness import LIMITS, Bytes, Detector
from pain3d.pipeline.workers import PAINTING
from pain3d.random import MAX_SEED, keyed_number
from pain3d.rendering.scene_inputs import SceneInputs
from pain3d.run_folder import settings_hash
from pain3d.scene import Scene


@dataclass(frozen=True)
class RefineWish:
    """What the user wants of who paints over pictures; see `SynthConfig`. `device` is as torch names it."""

    model: str
    recipe: str
    controlnet: str
    strength: float
    size: int
    device: str


@dataclass(frozen=True)
class Overpainting:
    """What is asked for of one identity's pictures."""

    wish: RefineWish
    prompt: Prompt
    seed: int


class Refiner:
    """Paints over pictures, whoever asks, one identity after the other.

    Args:
        painter: Who paints.
        detector: Reads what was painted.
        strength: See `refine_pictures`.
        recipe_hash: Of how the painter's model is used.

    Attributes:
        fields: What of it decides the bytes of a data set.
    """

    def __init__(self, painter: Painter, detector: Detector, strength: float, recipe_hash: str) -> None:
        self._painter, self._detector, self._strength = painter, detector, strength
        self._turn = threading.Lock()
        origin = {f"refine_{name}": value for name, value in asdict(painter.origin).items()}
        limits = settings_hash(dict(LIMITS))
        self.fields: dict[str, Any] = {
            **origin, "refine_strength": strength, "refine_recipe_hash": recipe_hash, "refine_limits_hash": limits,
        }  # fmt: skip

    def paint_over(self, pictures: Bytes, inputs: SceneInputs, wanted: Overpainting) -> tuple[Bytes, PaintedOver]:
        """Paint over the pictures [B, H, W, 3] of one identity; who painted over which goes with them."""
        with self._turn, PAINTING:
            made = refine_scenes(
                self._painter, pictures, inputs, Head.default(), wanted.prompt, wanted.seed, self._detector,
                self._strength,
            )  # fmt: skip
        origin = self._painter.origin
        how = f"{origin.scheduler}, strength {self._strength:g}"
        said = (origin.model, origin.model_hash, origin.licence, how, wanted.prompt.positive, wanted.seed)
        return made.pictures, PaintedOver(*said, made.kept)


def wish_of(config: SynthConfig, device: str) -> RefineWish | None:
    """What a configuration asks for; None if nobody is to paint over.

    Raises:
        RefusedError: It asks for processes too: each would hold the model.
    """
    if not config.refine:
        named = next((name for name in ("recipe", "controlnet") if getattr(config, f"refine_{name}")), None)
        if named is not None:
            raise RefusedError(f"--refine-{named} is for a painter: name one by --refine")
        return None
    if config.processes > 1 and device == "cpu":
        raise RefusedError("--refine and --processes: each process would hold the model; leave --processes out")
    whom = (config.refine, config.refine_recipe, config.refine_controlnet)
    return RefineWish(*whom, config.refine_strength, config.size, device)


_opened: Final[dict[RefineWish, Refiner]] = {}
_opening = threading.Lock()


def refiner_of(wish: RefineWish, *, quiet: bool = True) -> Refiner:
    """Who paints over pictures as wished: opened once a process.

    Raises:
        RefusedError: The model can't be loaded, or the detector isn't installed.
    """
    with _opening:
        if wish not in _opened:
            detector = Landmarker()
            painter, recipe_hash = open_picture_painter(
                "--refine", wish.model, wish.recipe, wish.controlnet, wish.size, wish.device, quiet=quiet
            )
            _opened.clear()
            _opened[wish] = Refiner(painter, detector, wish.strength, recipe_hash)
        return _opened[wish]


def overpainting_of(wish: RefineWish, scene: Scene) -> Overpainting:
    """What is asked for of the pictures of a scene's person."""
    return Overpainting(wish, *asked_of(scene))


def asked_of(scene: Scene) -> tuple[Prompt, int]:
    """What a painter over pictures of a scene's person is asked for, and the seed."""
    return _prompts().prompt_for(scene), keyed_number(scene.seed, "refine", scene.identity_id) & MAX_SEED


@cache
def _prompts() -> Any:
    return load_prompts()
