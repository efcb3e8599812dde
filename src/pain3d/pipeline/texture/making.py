"""Knows who makes textures for a command: a diffusion model by its recipe, or the small model that comes along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pain3d.console.refused import RefusedError, complain
from pain3d.head import Head
from pain3d.pipeline.texture.filling import Made, Maker
from pain3d.pipeline.texture.painter import Painter, PaintingError, Prompt
from pain3d.pipeline.texture.recipes import SKIN
from pain3d.records import LICENCE
from pain3d.run_folder import settings_hash
from pain3d.scene import Scene

if TYPE_CHECKING:
    from pain3d.pipeline.texture.intrinsics import Intrinsics
    from pain3d.pipeline.texture.paint import DiffusersPainter
    from pain3d.pipeline.texture.prompts import Prompts
    from pain3d.pipeline.texture.recipes import Recipe
    from pain3d.pipeline.texture.skin_model import SkinModel

SMALL = "tiny"  # recipe of the small model
LEAST = 128  # texels a side that it works on
NOTHING = Prompt("", "")  # the small model doesn't read
TOLD = ("sources", "notes", "parameters", "memory", "licence", "commercial")  # of a recipe: they change no byte
VIEW_SIZE = 768  # pixels a side: what SDXL and its successors were taught on is 1024, SD 1.5 on 512


@dataclass(frozen=True)
class Wish:
    """What the user wants of whoever paints.

    Attributes:
        model: Folder or hub id, or weights of the small model that `pain3d teach` wrote; empty is the recipe's, or
            without one the small model that ships.
        recipe: Name or file; empty is the one for models of that kind.
        controlnet: Folder or hub id; empty is the model's own, else the recipe's.
        prompts: File of prompts; empty is pain3d's.
        steps: 0 is the recipe's number.
        views: 3 or 5.
        size: Texels a side.
        view_size: Pixels a side of a view; 0 is `VIEW_SIZE`.
        check: Whether a texture in which the quality report finds a fault is put aside.
        device: As torch names it.
        delight: Folder or hub id of an intrinsic image pipeline that takes the light out; empty is the fit.
    """

    model: str
    recipe: str
    controlnet: str
    prompts: str
    steps: int
    views: int
    size: int
    view_size: int
    check: bool
    device: str
    delight: str = ""


def open_maker(wish: Wish, *, quiet: bool) -> Maker:
    """Load whoever the user wants; with its plan of memory on stderr, and what its licence forbids.

    Raises:
        RefusedError: There is no such model or recipe, it can't be loaded, or numbers are out of range.
    """
    if wish.views not in (3, 5):
        raise RefusedError(f"views must be 3 or 5, got {wish.views}")
    if wish.size & (wish.size - 1):
        raise RefusedError(f"the size of a texture must be a power of two, got {wish.size}")
    from pain3d.pipeline.texture.prompts import load_prompts

    prompts = load_prompts(Path(wish.prompts) if wish.prompts else None)
    recipe = recipe_of(wish)
    if recipe.kind == SKIN:
        from pain3d.pipeline.texture.skin_model import SkinModel
        from pain3d.pipeline.texture.skin_model.weights import is_skin_model

        weights = Path(wish.model) if wish.model and is_skin_model(Path(wish.model)) else None
        needless = ("controlnet", "prompts", "steps", "delight") if weights or not wish.model else ("model",)
        name = next((name for name in needless if getattr(wish, name)), None)
        if name is not None:
            raise RefusedError(f"recipe {recipe.name} is the small model's: {name} has no part in it")
        if wish.size < LEAST:
            raise RefusedError(f"the small model makes textures of {LEAST} texels a side or more, got {wish.size}")
        model = SkinModel(weights) if weights else SkinModel.default()
        if model.origin.licence != LICENCE:
            complain(
                f"{wish.model}: was taught textures under {model.origin.licence}: its terms hold for what it makes"
            )
        return SmallMaker(model, wish.size)
    if wish.steps:
        recipe = replace(recipe, steps=wish.steps)
    intrinsics = None
    if wish.delight:
        from pain3d.pipeline.texture.intrinsics import open_intrinsics

        intrinsics = open_intrinsics(wish.delight, wish.device, wish.view_size or VIEW_SIZE, quiet=quiet)
    return DiffusionMaker(load_painter(recipe, wish, quiet=quiet), recipe, prompts, wish, intrinsics)


def recipe_of(wish: Wish) -> Recipe:
    """How the model that the user wants is used.

    Raises:
        RefusedError: There is no such recipe or model, or diffusers is not installed.
    """
    need_diffusers()
    from pain3d.pipeline.texture.recipes import load_recipe

    return _recipe_for(wish) if wish.model and not wish.recipe else load_recipe(wish.recipe or SMALL)


def need_diffusers() -> None:
    """Raise RefusedError unless diffusers is installed."""
    if find_spec("diffusers") is None:
        raise RefusedError("painting needs what an extra brings: pip install 'pain3d[diffusion]'")


def load_painter(recipe: Recipe, wish: Wish, *, quiet: bool) -> DiffusersPainter:
    """Load the model that the user wants; with its plan of memory on stderr, and what its licence forbids.

    Raises:
        RefusedError: There is no such model, or it can't be loaded.
    """
    from pain3d.pipeline.texture.paint import open_painter

    forbidden = recipe.warning()
    if forbidden:
        complain(forbidden)
    size = wish.view_size or VIEW_SIZE
    painter = open_painter(recipe, wish.model or None, wish.controlnet or None, wish.device, size=size)
    if not quiet:
        complain(str(painter.memory))
    return painter


def open_picture_painter(
    option: str, model: str, recipe: str, controlnet: str, size: int, device: str, *, quiet: bool
) -> tuple[Painter, str]:
    """Load whoever the user wants to paint in pictures of a data set; with what `load_painter` says on stderr.

    Args:
        option: That asked for it, for what is refused.
        model: See `Wish`; so are recipe, controlnet and device.
        recipe: See model.
        controlnet: See model.
        size: Pixels a side of the pictures.
        device: See model.
        quiet: Leave out the plan of memory.

    Returns:
        The painter, and a hash of how its model is used.

    Raises:
        RefusedError: There is no such model or recipe, it can't be loaded, or it paints no pictures.
    """
    wish = Wish(model, recipe, controlnet, "", 0, 5, 1, size, False, device)
    chosen = recipe_of(wish)
    if chosen.kind == SKIN:
        raise RefusedError(f"{option}: recipe {chosen.name} is the small model's, which paints no pictures")
    return load_painter(chosen, wish, quiet=quiet), recipe_hash(chosen)


def recipe_hash(recipe: Recipe) -> str:
    """Of what in a recipe decides the bytes."""
    return settings_hash({name: value for name, value in asdict(recipe).items() if name not in TOLD})


def _recipe_for(wish: Wish) -> Recipe:
    """The first recipe by name for models of the kind that a folder holds, or a file of the small model's weights."""
    from pain3d.pipeline.texture.model_folder import find_model, inspect_model
    from pain3d.pipeline.texture.recipes import load_recipe, recipe_names
    from pain3d.pipeline.texture.skin_model.weights import is_skin_model

    if is_skin_model(Path(wish.model)):
        return load_recipe(SMALL)
    control = find_model(wish.controlnet) if wish.controlnet else None
    kind = inspect_model(find_model(wish.model), control).kind
    return next(recipe for recipe in map(load_recipe, recipe_names()) if recipe.kind == kind)


class SmallMaker:
    """Textures by the small model: no views, no words, no network."""

    def __init__(self, model: SkinModel, size: int) -> None:
        self.origin = model.origin
        self.settings: Mapping[str, Any] = {"size": size}
        self._model, self._size = model, size

    def prompt(self, scene: Scene) -> Prompt:
        """Nothing."""
        return NOTHING

    def make(self, scene: Scene, prompt: Prompt, seed: int) -> Made:
        """See `Maker`."""
        from pain3d.skin import paint, surface_maps

        maps = surface_maps(Head.default(), self._size)
        return Made(self._model.sample(paint(maps, scene.skin), maps, scene.identity, seed), {})


class DiffusionMaker:
    """Textures from views that a diffusion model paints."""

    def __init__(
        self, painter: DiffusersPainter, recipe: Recipe, prompts: Prompts, wish: Wish, intrinsics: Intrinsics | None
    ) -> None:
        self.origin = painter.origin if intrinsics is None else intrinsics.joined(painter.origin)
        self.settings: Mapping[str, Any] = {
            "recipe": recipe.name,
            "recipe_hash": recipe_hash(recipe),
            "prompts_hash": prompts.person_hash,
            "views": wish.views,
            "view_size": wish.view_size or VIEW_SIZE,
            "size": wish.size,
            "check": wish.check,
        }
        self._painter, self._prompts, self._check, self._intrinsics = painter, prompts, wish.check, intrinsics

    def prompt(self, scene: Scene) -> Prompt:
        """Of the person's axes, by its seed."""
        return self._prompts.prompt_for(scene)

    def make(self, scene: Scene, prompt: Prompt, seed: int) -> Made:
        """See `Maker`."""
        from pain3d.pipeline.texture.assemble import SpoiltPicturesError, make_texture

        sizes = {name: self.settings[name] for name in ("views", "view_size", "size")}
        try:
            made = make_texture(
                Head.default(), (scene.identity, scene.skin), self._painter, prompt, seed, **sizes,
                intrinsics=self._intrinsics,
            )  # fmt: skip
        except SpoiltPicturesError as error:
            raise PaintingError(str(error)) from error
        faults = made.report.faults()
        if faults and self._check:
            raise PaintingError("; ".join(faults))
        return Made(made.albedo, made.report.fields() | {"faults": list(faults)}, self._painter.repainted.get(seed, ""))
