"""Knows what a synthesis run can be told: the configuration, its limits and its hash.

Three kinds of fields. *What* fields decide every byte of the data set and are hashed; *how* fields (``device`` as
asked, ``batch_size``, ``processes``, ``engine``, ``address``) decide only speed; fields of *painters* say where to
look, and what is hashed is what they find there: a model by its weights, a bank by its textures, prompts by their
words. The device class that was picked is hashed too, because pixels are bit-identical on one class of devices only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import tyro

from pain3d.background import ENVIRONMENT_SHARE
from pain3d.console.refused import RefusedError
from pain3d.console.settings import OneOf, Within
from pain3d.facs import LAWS
from pain3d.records import DENSE
from pain3d.run_folder import settings_hash
from pain3d.variation import AXES, check_steps

HOW: Final = ("device", "batch_size", "processes", "engine", "address")  # change speed, never bytes
MIN_SIZE: Final = 16  # pixels a side: of a smaller picture no judge, net or eye finds a face
Seed = Annotated[int, Within(0, 2**63 - 1)]  # an int64 column holds it


@dataclass(frozen=True)
class SynthConfig:
    """What to synthesise, and how fast."""

    # The largest numbers are where a typing error is likelier than a wish.

    identities: Annotated[int, Within(1, 1_000_000)] = 8
    """Number of identities; the demographic cells are filled evenly."""
    expressions: Annotated[int, Within(1, 1_000)] = 10
    """Pain expressions of each identity; a neutral one is added."""
    views: Annotated[int, Within(1, 1_000)] = 3
    """Cameras of each identity; every expression is seen from each."""
    cameras: Annotated[str, OneOf(("fixed", "free")), tyro.conf.arg(metavar="{fixed,free}")] = "fixed"
    """Fixed: a view is one camera and background for all expressions. Free: drawn anew, and the light too, for every
    picture, so that a pain picture and the neutral of its view differ in more than the face."""
    bedside_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of views (of pictures, with free cameras) that are taken at a bed, 0 to 1: the head on a pillow, rolled by
    up to 90° and seen from above or below by up to 30°."""
    distortion_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of views (of pictures, with free cameras) whose lens distorts, 0 to 1: barrels of up to 4 % at the corner,
    pincushions of up to 2 %, the shorter the lens the more; labels are of the bent picture."""
    clinical_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of identities in care, 0 to 1: of them 80 % wear a hospital gown, 40 % a nasal cannula and 25 % an oxygen
    mask, and 15 % of those without a scarf a surgical cap, in all their pictures. Labels are of the face below."""
    glasses_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of identities with glasses, 0 to 1, in all their pictures."""
    scarf_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of identities with a headscarf, 0 to 1, in all their pictures, whatever their sex, age and ancestry."""
    shake_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of pictures that a hand smears while they are taken, 0 to 1: by a stroke of 0.5 to 2 % of the height."""
    defocus_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of views (of pictures, with free cameras) that are taken with an open lens, f/1.4 to f/4, 0 to 1: the eyes
    are sharp; ears, shoulders and what stands behind are soft."""
    infrared_share: Annotated[float, Within(0.0, 1.0)] = 0.0
    """Share of views (of pictures, with free cameras) that are taken at night, 0 to 1: grey, by lamps of 850 nm beside
    the lens. No place lights them."""
    size: Annotated[int, Within(MIN_SIZE, 4096)] = 512
    """Width and height of an image in pixels."""
    seed: Seed = 0
    """The same seed and configuration give the same bytes."""
    environment_share: Annotated[float, Within(0.0, 1.0)] = ENVIRONMENT_SHARE
    """Share of identities (of pictures, with free cameras) that stand in a real place, which lights them and is seen
    behind them, 0 to 1; the others have lamps and a drawn background. Nobody does where backgrounds are painted."""
    environments: str = ""
    """Folder of your own panoramas (.hdr, .exr) to stand in, in place of those that come along; a line in its
    licence.txt says their licence."""
    law: Annotated[str, OneOf(LAWS), tyro.conf.arg(metavar="{uniform,independent,clinical}")] = "uniform"
    """How pain is drawn: PSPI uniform over 0-16; each AU by itself; or rare and mild as in a clinic."""
    co_occurring: bool = True
    """Add action units that come with pain but are not in PSPI (AU12, AU20, AU25 ...)."""
    asymmetry: Annotated[float, Within(0.0, 1.0)] = 0.0
    """How far left and right may differ, 0 to 1."""
    vary: Annotated[str, OneOf(("", *AXES)), tyro.conf.arg(metavar="AXIS")] = ""
    """Make counterfactuals: of each view all stays the same but one axis, along which expressions are steps. AU4, AU6,
    AU7, AU9 and AU10 go from 0 to 5, AU43 from open to shut; yaw is the camera's way round the head and light the key's
    round the face, of which one expression is seen."""
    wrinkles: bool = True
    """Let skin wrinkle with expression and age; without, only the geometry shows them."""
    shadows: bool = True
    """Let the key light cast shadows: of nose, brow, lips and chin, as soft as the lamp is large."""
    hair: Annotated[str, OneOf(("grown", "painted")), tyro.conf.arg(metavar="{grown,painted}")] = "grown"
    """Grown: ribbons of strands that lie over the head. Painted: a shell that stands off it, as on a GPU and wherever a
    model paints skin, backgrounds or over pictures."""
    dense: Annotated[str, OneOf(DENSE), tyro.conf.arg(metavar="{depth|parts|depth,parts}")] = ""
    """Further columns of frames, for each pixel: its depth, the part of the head that it sees, or both."""
    pictures: bool = True
    """Store pictures. Without, rows hold labels, cameras and scenes, under 2 kB a picture, and who reads the data set
    with pain3d renders its pictures: to the byte those that would have been stored."""
    quality: Annotated[int, Within(1, 100)] = 95
    """Best JPEG quality of the images; each image has its own, from 70 (or this, if less) up to this."""
    identities_per_shard: Annotated[int, Within(1, 100_000)] = 32
    """Identities in one Parquet file of frames."""
    texture: Annotated[str, tyro.conf.arg(metavar="{procedural,diffusion,diffusion:RECIPE,bank:DIR}")] = "procedural"
    """Where skin and hair come from: painted by rule; by a diffusion model for each identity; or out of a bank that
    pain3d texture has painted, each texture for one identity."""
    assets: Annotated[str, OneOf(("", "skins")), tyro.conf.arg(metavar="{skins}")] = ""
    """Which of the assets that you have imported (pain3d assets) are drawn: photographic skins, below our own hair."""
    model: str = ""
    """Who paints: folder or hub id of a diffusers model, or weights of pain3d teach; none is the recipe's, or without
    one the small model that comes along."""
    controlnet: str = ""
    """Folder or hub id of the model's ControlNet, where it isn't in the model's folder."""
    prompts: str = ""
    """YAML file of what painters are asked for, in place of pain3d's own."""
    delight: str = ""
    """Who takes the light out of what was painted: folder or hub id of an intrinsic image pipeline (Marigold); none is
    pain3d's own fit."""
    texture_steps: Annotated[int, Within(0, 1_000)] = 0
    """Steps of the painter's sampler; 0 is the recipe's number."""
    texture_views: Annotated[int, Within(3, 5)] = 5
    """Views of a head that are painted, 3 or 5."""
    texture_size: Annotated[int, Within(64, 4096)] = 1024
    """Texels a side of a painted texture, a power of two."""
    texture_view_size: Annotated[int, Within(0, 4096)] = 0
    """Pixels a side of a painted view; 0 is 768."""
    texture_check: bool = True
    """Put painted textures aside in which the quality report finds a fault: who has none keeps procedural skin."""
    backgrounds: Annotated[str, tyro.conf.arg(metavar="{procedural,diffusion,diffusion:RECIPE}")] = "procedural"
    """What stands behind heads: drawn by rule, or painted around the neutral face of each view by a diffusion model,
    once for all expressions (so cameras must be fixed)."""
    background_model: str = ""
    """Who paints backgrounds: folder or hub id of a diffusers model; none is the recipe's."""
    background_controlnet: str = ""
    """Folder or hub id of its ControlNet, where it isn't in the model's folder."""
    background_prompts: str = ""
    """YAML file of what it is asked for, in place of pain3d's own."""
    refine: str = ""
    """Paint over every picture, to look photographic: folder or hub id of a diffusers model. What the painter moves
    isn't kept (it takes what make judge installs); the picture then stays as it was rendered."""
    refine_recipe: str = ""
    """How that model is used: a name, or a YAML file of your own; none is the one for models of that kind."""
    refine_controlnet: str = ""
    """Folder or hub id of its ControlNet, where it isn't in the model's folder."""
    refine_strength: Annotated[float, Within(0.0, 1.0)] = 0.25
    """How much is painted anew: 0 leaves a picture, 1 paints it from nothing."""
    device: Annotated[str, OneOf(("auto", "cpu", "cuda")), tyro.conf.arg(metavar="{auto,cpu,cuda}")] = "auto"
    """Where to render; auto is the GPU where there is one. With several: torchrun --nproc-per-node N -m pain3d synth.
    With TRITON_INTERPRET=1 and no GPU, cuda runs the GPU's kernels on the CPU: for tests, of tiny pictures."""
    batch_size: Annotated[int, Within(0, 100_000)] = 0
    """Identities a worker takes at a time; 0 is 1 on the CPU, and 32 on a GPU. Changes speed, never bytes."""
    processes: Annotated[int, Within(0, 1_024)] = 0
    """Worker processes; one renders on a thread per core. Beside a GPU they draw the scenes; 0 is then as many as it
    takes. Changes speed, never bytes."""
    engine: Annotated[str, OneOf(("local", "ray")), tyro.conf.arg(metavar="{local,ray}")] = "local"
    """Who makes the shards: this machine (and other ranks of torchrun), or the nodes of a Ray cluster, which must see
    OUT under the same path. Changes speed, never bytes."""
    address: str = ""
    """Of the Ray cluster: HOST:PORT, or auto for the one that this machine is part of; none starts one here, for this
    run."""


LAYERED: Final = ("clinical_share", "glasses_share", "scarf_share")  # on the CPU alone
OTHER_CAMERAS: Final = ("distortion_share", "shake_share", "defocus_share", "infrared_share")  # than painters know
FIELDS: Final = tuple(field.name for field in dataclasses.fields(SynthConfig))
TEXTURE: Final = (
    "texture",
    "model",
    "controlnet",
    "prompts",
    "delight",
    *(name for name in FIELDS if name.startswith("texture_")),
)
BACKGROUND: Final = tuple(name for name in FIELDS if name.startswith("background"))
REFINE: Final = tuple(name for name in FIELDS if name.startswith("refine"))
PAINTERS: Final = (*TEXTURE, *BACKGROUND, *REFINE, "environments", "assets")  # hashed as what they name
WHAT: Final = tuple(name for name in FIELDS if name not in (*HOW, *PAINTERS))
UNSAID: Final = ("pictures",)  # where they are the default: hashes from before there was such a field stay
WITH_PICTURES: Final = ("texture", "assets", "environments", "backgrounds", "refine")  # rows alone don't hold these


def settled(config: SynthConfig) -> SynthConfig:
    """A configuration as it is run.

    What a painter puts behind heads is no place whose light we know, and what painters look at has no ribbons. A light
    that goes round a face is no place's, which would go round behind it.
    """
    if config.backgrounds != SynthConfig.backgrounds or config.vary == "light":
        config = dataclasses.replace(config, environment_share=0.0)
    painted = any(getattr(config, name) != getattr(SynthConfig, name) for name in ("backgrounds", "texture", "refine"))
    return dataclasses.replace(config, hair="painted") if painted else config


def check_together(config: SynthConfig, device: str) -> None:
    """Refuse options that don't go with a class of device, or with each other.

    Raises:
        RefusedError: The device draws no layers, and some people are to wear them; or a painter is asked, who knows
            plain pictures alone, and cameras do more; or an axis can't be varied so; or rows alone don't hold what
            their pictures would be rendered from.
    """
    if config.vary:
        _check_vary(config)
    if config.engine == "local" and config.address:
        raise RefusedError(f"--address {config.address}: is of a Ray cluster: --engine ray")
    if config.engine == "ray" and config.processes:
        raise RefusedError(f"--processes {config.processes}: Ray starts as many as its nodes have cores: leave it out")
    if config.engine == "ray" and config.texture.startswith("diffusion"):
        raise RefusedError("--engine ray: textures are painted first: pain3d texture BANK, then --texture bank:BANK")
    if not config.pictures:
        _check_unstored(config, device)
    for name in LAYERED:
        if device != "cpu" and getattr(config, name) > 0:
            raise RefusedError(f"--{name.replace('_', '-')} needs layers, and the GPU draws none yet: --device cpu")
    for name in OTHER_CAMERAS:
        for painter in ("refine", "backgrounds"):
            if getattr(config, name) > 0 and getattr(config, painter) != getattr(SynthConfig, painter):
                told = name.replace("_", "-")
                raise RefusedError(f"--{told}: painters know plain pictures alone: leave out --{painter}")


def _check_vary(config: SynthConfig) -> None:
    try:
        check_steps(config.vary, config.expressions)
    except ValueError as error:
        raise RefusedError(f"--vary {config.vary}: {error}") from error
    if config.cameras != "fixed":
        raise RefusedError(f"--vary {config.vary}: all pictures of a view have one camera: --cameras fixed")
    if config.vary == "light" and config.infrared_share > 0:
        raise RefusedError("--vary light: at night a camera has lamps of its own: leave out --infrared-share")


def _check_unstored(config: SynthConfig, device: str) -> None:
    if device != "cpu":
        raise RefusedError("--no-pictures: who reads such a data set renders on the CPU: --device cpu")
    for name in WITH_PICTURES:
        if getattr(config, name) != getattr(SynthConfig, name):
            raise RefusedError(f"--no-pictures: rows alone don't hold what --{name} brings: leave it out")


def what_fields(config: SynthConfig) -> dict[str, Any]:
    """The fields that decide the bytes, by name; of `UNSAID` those that aren't the default."""
    fields = {name: getattr(config, name) for name in WHAT}
    for name in UNSAID:
        if fields[name] == getattr(SynthConfig, name):
            del fields[name]
    shares = {name: float(getattr(config, name)) for name in WHAT if name == "asymmetry" or name.endswith("_share")}
    return fields | shares  # YAML may say 0; 0 and 0.0 are one configuration


def config_hash(config: SynthConfig, device_class: str, painters: Mapping[str, Any]) -> str:
    """SHA-256 over the fields that decide the bytes, what is known of painters and the device class, 64 hex digits."""
    return settings_hash(what_fields(config) | dict(painters) | {"device_class": device_class})
