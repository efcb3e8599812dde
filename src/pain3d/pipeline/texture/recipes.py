"""Knows recipes: how a public model is used, as data in a file each, with the source of every figure."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from pain3d.console.refused import RefusedError, hint, quoted
from pain3d.doors.limits import YAML_BYTES
from pain3d.doors.text import parse_yaml, read_text
from pain3d.pipeline.texture.model_folder import KINDS

SKIN: Final = "skin"  # kind of the small model that ships with pain3d: it paints no views
SCHEDULERS: Final = {  # name in a recipe: class of diffusers
    "ddim": "DDIMScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
    "tcd": "TCDScheduler",
    "flow-euler": "FlowMatchEulerDiscreteScheduler",
}
STRAIGHT: Final = ("flux", "zimage", "qwen")  # kinds that learned by flow matching
DTYPES: Final = ("float16", "bfloat16", "float32")
CONDITIONS: Final = ("depth", "normals", "edges", "landmarks")


@dataclass(frozen=True)
class Recipe:
    """How a model is used. Paths and hub ids are the user's or the file's; nothing is fetched by reading a recipe.

    Attributes:
        name: Of its file.
        kind: One of `KINDS`, which family of pipelines; or `SKIN`.
        base: Folder, file or hub id of the base model; None is one that ships with pain3d or that the user names.
        settings: Folder of settings and tokenisers, for a base that is a single file.
        control: Likewise of its ControlNet; None where the base takes the condition itself, or holds `controlnet/`.
        control_settings: Settings of a ControlNet whose weights come as a single file.
        revision: Of `base` on the hub.
        condition: Which picture of the geometry it is shown, one of `CONDITIONS`.
        steps: Evaluations of the net per picture.
        guidance: Scale of classifier-free or distilled guidance; 0 or 1 is none, see `kind`.
        control_scale: How strongly the condition holds, 0–2.
        scheduler: One of `SCHEDULERS`; its settings are the model's own.
        dtype: Of weights and activations on a GPU; on a CPU they are float32.
        micro_batch: Views in one pass of the net: part of what is painted, never chosen by the machine.
        parameters: Billions, as published.
        memory: Gigabytes, as published.
        licence: SPDX identifier, or LicenseRef- and the name on the model's card.
        commercial: Whether the licence allows commercial use.
        sources: For each figure where it was read, or by whom it was told.
        notes: A sentence for the user.
        lora, lora_scale: File of low-rank updates, and their strength.
        ip_adapter, ip_picture, ip_scale: File of an IP-Adapter with `image_encoder/` beside it, the picture that it is
            shown, and its strength.
        compile: Whether `torch.compile` is applied to the net; the first picture then takes minutes.
        vae_tiling: Whether pictures are decoded in tiles: less memory, faint seams.
    """

    name: str
    kind: str
    base: str | None = None
    settings: str | None = None
    control: str | None = None
    control_settings: dict[str, Any] = field(default_factory=dict)
    revision: str = "main"
    condition: str = "depth"
    steps: int = 20
    guidance: float = 1.0
    control_scale: float = 1.0
    scheduler: str = "ddim"
    dtype: str = "float16"
    micro_batch: int = 1
    parameters: float | None = None
    memory: float | None = None
    licence: str = "unknown"
    commercial: bool = True
    sources: dict[str, str] = field(default_factory=dict)
    notes: str = ""
    lora: str | None = None
    lora_scale: float = 1.0
    ip_adapter: str | None = None
    ip_picture: str | None = None
    ip_scale: float = 0.6
    compile: bool = False
    vae_tiling: bool = False

    def __post_init__(self) -> None:
        for name, known in (
            ("kind", (*KINDS, SKIN)),
            ("scheduler", tuple(SCHEDULERS)),
            ("dtype", DTYPES),
            ("condition", CONDITIONS),
        ):
            if getattr(self, name) not in known:
                raise RefusedError(
                    f"recipe {self.name}: unknown {name} {getattr(self, name)!r}{hint(str(getattr(self, name)), known)}"
                )
        if (self.kind in STRAIGHT) != (self.scheduler == "flow-euler"):
            raise RefusedError(f"recipe {self.name}: scheduler {self.scheduler} is not for models of kind {self.kind}")
        if (self.ip_adapter is None) != (self.ip_picture is None):
            raise RefusedError(f"recipe {self.name}: ip_adapter and ip_picture go together")
        if self.steps < 1 or self.micro_batch < 1:
            raise RefusedError(f"recipe {self.name}: steps and micro_batch must be at least 1")
        if not 0 <= self.control_scale <= 2 or self.guidance < 0:
            raise RefusedError(f"recipe {self.name}: control_scale must be in 0..2 and guidance not negative")

    def warning(self) -> str | None:
        """What a user must be told before it starts."""
        if self.commercial:
            return None
        return f"{self.name} may not be used commercially ({self.licence}); nor may what it paints be without its terms"


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes that ship with pain3d."""
    return tuple(
        sorted(file.name.removesuffix(".yaml") for file in _shipped().iterdir() if file.name.endswith(".yaml"))
    )


def load_recipe(name: str) -> Recipe:
    """A recipe by name, or from a file of the user's (.yaml).

    Raises:
        RefusedError: There is none of that name, or the file is none.
    """
    if name.endswith((".yaml", ".yml")):
        file = Path(name)
        return parse_recipe(file.stem, read_text(file, YAML_BYTES, f"recipe {name}"), name)
    if name not in recipe_names():
        raise RefusedError(f"recipe {name!r} is unknown{hint(name, recipe_names())}")
    return parse_recipe(name, _shipped().joinpath(f"{name}.yaml").read_text())


def parse_recipe(name: str, text: str, source: str = "") -> Recipe:
    """The recipe that a YAML text describes.

    Args:
        name: Of the recipe.
        text: It.
        source: What an error calls it; the name where empty.

    Raises:
        RefusedError: It is no table of a recipe's fields; names the field.
    """
    where = f"recipe {source or name}"
    held = parse_yaml(text, where)
    if not isinstance(held, dict) or "kind" not in held:
        raise RefusedError(f"{where}: no table with at least `kind`")
    known = {entry.name: entry for entry in fields(Recipe) if entry.name != "name"}
    for word, value in held.items():
        if word not in known:
            raise RefusedError(f"{where}: unknown field {quoted(word)}{hint(str(word), tuple(known))}")
        wanted = _KINDS_OF_FIELD[str(known[word].type)]
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise RefusedError(f"{where}: {word} must be {known[word].type}, got {quoted(value)}")
    return Recipe(name=name, **held)


_KINDS_OF_FIELD: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "bool": (bool,),
    "dict[str, Any]": (dict,),
    "dict[str, str]": (dict,),
}


def _shipped() -> Any:
    return files("pain3d.pipeline.texture").joinpath("recipes")
