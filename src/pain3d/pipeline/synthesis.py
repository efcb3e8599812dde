"""Knows how one planned identity becomes encoded rows; the unit of work, whoever does it and wherever.

Three steps: what the host knows before anything is rendered, pixels, encoded rows. A thread of the CPU goes through all
three with one identity; beside a device others do the first and the last, and it renders many identities at a time
(`device_synthesis`). Where somebody paints what stands behind heads, that is the first part of the second step. The
bytes depend on the configuration, the identity's number and the class of device only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pain3d.head import Head
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.painted import Decorated
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.rows import Provenance, SceneRows, complete_rows, make_scene_rows, no_pictures, without_pictures
from pain3d.records import dense_names
from pain3d.rendering.encoded import encode_pictures, pixels_of

if TYPE_CHECKING:
    import pyarrow

    from pain3d.pipeline.texture.decorator import Commission
    from pain3d.pipeline.texture.refiner import Overpainting
    from pain3d.rendering.frames import RenderSetup
    from pain3d.rendering.scene_inputs import SceneInputs
    from pain3d.scene import Scene
    from pain3d.skin import SurfaceMaps

REHEARSED_SIZE, REHEARSED_TEXELS = 8, 64  # pixels and texels a side


@dataclass(frozen=True)
class PreparedIdentity:
    """What is known of an identity before it is rendered; another process may have made it.

    Attributes:
        identity_id: Its number.
        inputs: What rendering reads.
        rows: What the scenes tell of their rows.
        qualities: [B] of the JPEG of each image.
        quality: Of the frontal heatmaps.
        seconds: That it took.
        commission: What is asked of who paints what stands behind it; None is nobody.
        overpainting: What is asked of who paints over its images; None is nobody.
        dense: What is wanted for each pixel: of depth and parts.
        pictures: Whether its rows hold pictures.
    """

    identity_id: int
    inputs: SceneInputs
    rows: SceneRows
    qualities: list[int]
    quality: int
    seconds: float
    commission: Commission | None = None
    overpainting: Overpainting | None = None
    dense: tuple[str, ...] = ()
    pictures: bool = True


@dataclass(frozen=True)
class EncodedIdentity:
    """The rows of one identity by subset, the seconds that each stage of making them took, and what failed.

    `fault` says why nobody painted its backgrounds who was asked to; mostly it is empty.
    """

    identity_id: int
    images: int
    batches: dict[str, pyarrow.RecordBatch]
    seconds: dict[str, float]
    fault: str = ""


def synthesise_identity(
    config: SynthConfig, person: PlannedIdentity, provenance: Provenance, setup: RenderSetup | None = None
) -> EncodedIdentity:
    """Sample, render and encode every expression and view of one identity, on the CPU; None is the default setup."""
    from pain3d.rendering.frames import Clock, render_people, render_setup
    from pain3d.skin.painting import BRUSHES

    with BRUSHES:
        prepared = prepare_identity(config, person, provenance)
    clock = Clock()
    decorated = decorate(prepared)
    if prepared.commission is not None:
        clock.lap("plates")
    setup = setup or render_setup(Head.default())
    pixels = pixels_of(render_people([decorated.inputs], setup, clock, dense=prepared.dense))
    clock.lap("measure")
    return encode_identity(prepared, decorated, pixels, setup, clock.laps)


def rehearse(config: SynthConfig, person: PlannedIdentity, provenance: Provenance) -> None:
    """Make a picture of a few pixels and texels for nothing: it loads every library and every compiled kernel."""
    from pain3d.rendering.frames import RenderSetup
    from pain3d.skin.map_building import build_maps

    head = Head.default()
    tiny = replace(config, expressions=0, views=1, size=REHEARSED_SIZE, vary="")
    bare = replace(person, texture=None, behind=None, refine=None, places=None)
    synthesise_identity(tiny, bare, provenance, RenderSetup(head, build_maps(head, REHEARSED_TEXELS), None))


def scenes_of(config: SynthConfig, person: PlannedIdentity) -> tuple[Scene, ...]:
    """All scenes of a planned identity, expression by expression, view by view."""
    from pain3d.environment import ENVIRONMENTS
    from pain3d.scene import sample_scenes

    if person.scenes is not None:
        return person.scenes
    scenes = sample_scenes(
        seed=config.seed,
        identity_id=person.identity_id,
        cell=person.cell,
        head=Head.default(),
        expressions=config.expressions,
        views=config.views,
        size=config.size,
        law=config.law,
        co_occurring=config.co_occurring,
        asymmetry=config.asymmetry,
        cameras=config.cameras,
        bedside=config.bedside_share,
        distortion=config.distortion_share,
        clinical=config.clinical_share,
        glasses=config.glasses_share,
        scarf=config.scarf_share,
        quality=config.quality,
        wrinkles=config.wrinkles,
        shadows=config.shadows,
        shake=config.shake_share,
        defocus=config.defocus_share,
        infrared=config.infrared_share,
        hair=config.hair,
        environments=config.environment_share,
        places=ENVIRONMENTS if person.places is None else person.places.names,
    )
    if config.vary:
        from pain3d.variation import vary_scenes

        scenes = vary_scenes(scenes, config.vary)
    if person.texture is None:
        return scenes
    return tuple(replace(scene, texture=person.texture.name) for scene in scenes)


def prepare_identity(
    config: SynthConfig, person: PlannedIdentity, provenance: Provenance, board: SurfaceMaps | None = None
) -> PreparedIdentity:
    """Sample the scenes of an identity, and make of them what can be made before they are rendered.

    Args:
        config: A checked configuration.
        person: Whom.
        provenance: What every row says of its making.
        board: Of `SurfaceMaps.board`; on it the strokes of the skin are drawn, for who paints many people together.
    """
    from pain3d.rendering.scene_inputs import inputs_of

    head = Head.default()
    started = time.perf_counter()
    scenes = scenes_of(config, person)
    textures: dict[str, Tensor] = {}
    if person.texture is not None:
        from pain3d.pipeline.texture.bank import read_texture

        textures = {person.texture.name: read_texture(person.texture)}
    places = None
    if person.places is not None:
        from pain3d.environment.own import read_places

        places = read_places(person.places.folder, person.places.names)
    inputs = inputs_of(scenes, head, textures, places=places)
    if board is not None:
        from pain3d.skin.sketch import draw_sketch

        inputs = replace(inputs, sketch=draw_sketch(board, inputs.skin))
    overpainting = None
    if person.refine is not None:
        from pain3d.pipeline.texture.refiner import overpainting_of

        overpainting = overpainting_of(person.refine, scenes[0])
    commission = None
    if person.behind is not None:
        from pain3d.pipeline.texture.decorator import Commission

        commission = Commission(person.behind, scenes)
    rows = make_scene_rows(scenes, inputs.camera(), person, provenance)
    qualities = [scene.sensor.quality for scene in scenes]
    seconds = time.perf_counter() - started
    return PreparedIdentity(
        person.identity_id,
        inputs,
        rows,
        qualities,
        config.quality,
        seconds,
        commission,
        overpainting,
        dense_names(config.dense),
        config.pictures,
    )


def decorate(prepared: PreparedIdentity) -> Decorated:
    """An identity with what somebody paints behind it, where that was asked for."""
    if prepared.commission is None:
        return Decorated(prepared.inputs)
    from pain3d.pipeline.texture.decorator import decorator_of

    return decorator_of(prepared.commission.wish).decorate(prepared.inputs, prepared.commission.scenes)


def split_pixels(pixels: dict[str, Tensor], people: list[PreparedIdentity]) -> list[dict[str, Tensor]]:
    """The pixels of each of the people, who follow each other in `pixels`."""
    scenes, expressions = [len(one.qualities) for one in people], [len(one.inputs.au) for one in people]
    lengths = {"frontal_heatmap": expressions, "tone": [1] * len(people), "neutral": [1] * len(people)}
    parts = {name: torch.split(tensor, lengths.get(name, scenes)) for name, tensor in pixels.items()}
    return [{name: part[place] for name, part in parts.items()} for place in range(len(people))]


def encode_identity(
    prepared: PreparedIdentity,
    decorated: Decorated,
    pixels: dict[str, Tensor],
    setup: RenderSetup,
    seconds: dict[str, float],
) -> EncodedIdentity:
    """Encode the pictures of an identity, painted over where that was asked for, and complete its rows.

    Args:
        prepared: Its scenes.
        decorated: The same, with what was painted behind.
        pixels: Of `pixels_of`, of it alone and on the CPU.
        setup: That rendered them.
        seconds: Of the stages before.
    """
    from pain3d.rendering.frames import measure

    seen, over = {name: tensor.numpy() for name, tensor in pixels.items()}, None
    if prepared.overpainting is not None:
        from pain3d.pipeline.texture.refiner import refiner_of

        painting = time.perf_counter()
        refiner = refiner_of(prepared.overpainting.wish)
        seen["image"], over = refiner.paint_over(seen["image"], prepared.inputs, prepared.overpainting)
        seconds = {**seconds, "refine": time.perf_counter() - painting}
    started = time.perf_counter()
    if prepared.pictures:
        pictures = encode_pictures(seen, prepared.qualities, prepared.quality, prepared.dense)
    else:
        pictures = no_pictures(len(prepared.qualities), len(prepared.inputs.au), prepared.dense)
    encoded = time.perf_counter()
    measures = measure(
        prepared.inputs, pixels["landmarks"], seen["covered"], seen["tone"][0], seen["neutral"][0], setup.maps
    )
    batches = complete_rows(prepared.rows, measures, pictures, seen["heatmap_unit"], decorated.behind, over)
    if not prepared.pictures:
        batches = {subset: without_pictures(subset, batch) for subset, batch in batches.items()}
    ended = time.perf_counter()
    seconds = {"sample": prepared.seconds, **seconds, "encode": encoded - started, "rows": ended - encoded}
    return EncodedIdentity(prepared.identity_id, len(prepared.qualities), batches, seconds, decorated.fault)
