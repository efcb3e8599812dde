"""Knows the whole of a run: refuse or begin, synthesise, publish shard by shard, describe, finish.

A run that was stopped, however, goes on when it is started again: shards whose manifest line is on the disk are kept,
the rest is made anew, and the bytes are those of a run that was never stopped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pain3d.console.refused import RefusedError, complain
from pain3d.pipeline.config import SynthConfig, check_together, config_hash, settled, what_fields
from pain3d.pipeline.folder import TEXTURES, DataFolder
from pain3d.pipeline.plan import Plan, PlannedShard, make_plan
from pain3d.pipeline.publishing import publish_all
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.pipeline.texture.source import PROCEDURAL, Source, open_source
from pain3d.pipeline.workers import cuda_device, synthesise_people
from pain3d.provenance import code_version, pain3d_version
from pain3d.ranks import launched_ranks
from pain3d.records import FORMAT_VERSION

if TYPE_CHECKING:
    from pain3d.environment.own import Places
    from pain3d.pipeline.texture.decorator import PlateWish
    from pain3d.pipeline.texture.refiner import RefineWish


@dataclass(frozen=True)
class Receipt:
    """What a run made: ``images`` in all, of which ``new`` by this run, in ``seconds`` of the clock.

    Of all images ``refined`` were painted over and kept, and ``behind`` have painted backgrounds; None where nobody was
    to paint so, and on other ranks.

    ``finished`` says that there was nothing left to do.

    ``stages`` are seconds by stage: start_up, write, close, report and total of the clock, the rest summed over the
    workers. ``busy`` is the share of the clock that a stage kept its workers busy. Of several ranks, ``stages`` and
    ``busy`` are those of this one.
    """

    out: Path
    images: int
    new: int
    seconds: float
    stages: dict[str, float]
    busy: dict[str, float]
    rank: int = 0
    finished: bool = False
    refined: int | None = None
    behind: int | None = None

    @property
    def images_per_second(self) -> float:
        """Images of this run by its seconds, from start-up to the finished report."""
        return self.new / self.seconds

    @property
    def bound(self) -> str:
        """The stage that bounds the run: its workers were busy for most of the time. Empty if nothing was made."""
        return max(self.busy, key=lambda stage: self.busy[stage], default="")


def device_class(device: str) -> str:
    """Resolve ``auto``, ``cpu`` or ``cuda`` to a class of devices that make the same bytes: ``cpu`` or ``cuda``.

    ``cuda-interpreted`` is Triton's interpreter, where ``TRITON_INTERPRET`` asks for it and there is no CUDA device.

    Raises:
        RefusedError: CUDA was asked for, and there is none.
    """
    import torch

    from pain3d.kernels._backend import interpreting

    if device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if device == "auto":
        return "cpu"
    if interpreting():
        return "cuda-interpreted"
    raise RefusedError("--device cuda: torch sees no CUDA device here")


def class_of(config: SynthConfig) -> str:
    """The class of device that makes a data set; the nodes of a Ray cluster may have a GPU where this machine has none.

    Raises:
        RefusedError: CUDA was asked for here, and there is none.
    """
    if config.engine == "ray" and config.device == "cuda":
        return "cuda"
    return device_class(config.device)


@dataclass(frozen=True)
class Painters:
    """Who paints in the pictures of a run, on this rank's device; None is nobody.

    Attributes:
        source: Of textures.
        behind: What is wished of who paints backgrounds.
        over: What is wished of who paints over pictures.
        places: Own ones that light people.
        fields: What of them decides the bytes.
    """

    source: Source | None
    behind: PlateWish | None
    over: RefineWish | None
    places: Places | None
    fields: Mapping[str, Any]


def resolve(config: SynthConfig, device: str, painters: Mapping[str, Any]) -> dict[str, Any]:
    """The flat resolved configuration that a data set carries: what decides its bytes, and their hash.

    Args:
        config: A checked configuration.
        device: Its class.
        painters: Of `Painters.fields`.
    """
    return {
        "pain3d_format": FORMAT_VERSION,
        **what_fields(config),
        **painters,
        "device_class": device,
        "pain3d_version": pain3d_version(),
        "code_version": code_version(),
        "config_hash": config_hash(config, device, painters),
    }


def preview(config: SynthConfig, out: Path, *, repair: bool = False) -> Plan | None:
    """Plan a run and check that its folder may be written, with nothing written; None if there is nothing left to do.

    Raises:
        RefusedError: The run would be refused.
    """
    config = _as_run(config)
    painters = _painters(config, quiet=True)
    plan = make_plan(config)
    folder = DataFolder(out, resolve(config, class_of(config), painters.fields), plan, repair=repair)
    folder.check()
    return None if folder.finished and not repair else plan


def synthesise(
    config: SynthConfig, out: Path, *, quiet: bool = False, started: float | None = None, repair: bool = False
) -> Receipt:
    """Make a data set.

    Args:
        config: A checked configuration.
        out: Its folder: absent, empty, or holding the data set of the same configuration; if that is finished, nothing
            is done.
        quiet: Show no progress.
        started: ``time.perf_counter()`` at which the clock of the receipt starts; now, if left out.
        repair: See `DataFolder`.

    Returns:
        The receipt.

    Raises:
        RefusedError: The folder, the device or the source of textures can't be used; nothing was written.
        OSError: The disk failed; published shards stay, nothing half-written does.
    """
    started = time.perf_counter() if started is None else started
    config = _as_run(config)
    described = None
    stages: dict[str, float] = defaultdict(float)
    lanes: dict[str, int] = {"write": 1, "close": 1}
    ranks = launched_ranks()
    if config.engine == "ray" and ranks.count > 1:
        raise RefusedError("--engine ray: Ray starts its workers itself: no torchrun")
    painters = _painters(config, quiet or ranks.rank > 0)
    resolved = resolve(config, class_of(config), painters.fields)
    plan = make_plan(config)
    folder = DataFolder(out, resolved, plan, repair=repair, quiet=quiet or ranks.rank > 0, cores=ranks.cores())
    folder.check()
    provenance = Provenance(config.seed, resolved["config_hash"], resolved["pain3d_version"], resolved["code_version"])
    stages["start_up"] = time.perf_counter() - started
    with ranks.together(), folder if ranks.rank == 0 else nullcontext():
        if ranks.from_first(folder.finished):
            seconds = time.perf_counter() - started
            return Receipt(out, plan.images, 0, seconds, dict(stages), {}, ranks.rank, finished=True)
        folder.join(ranks.from_first(folder.published))
        missing = [shard for shard in plan.shards if shard.name not in folder.published]
        mine = missing[ranks.rank :: ranks.count]
        if painters.source is not None:
            painting = time.perf_counter()
            others = plan.shards[ranks.rank :: ranks.count] if repair else ()  # whose textures may be gone
            place = folder.out / TEXTURES
            mine = _with_textures(painters.source, plan, mine, others, place, quiet or ranks.rank > 0)
            painters = replace(painters, source=None)  # a model leaves its memory to the pictures
            lanes["texture"] = 1
            stages["texture"] = time.perf_counter() - painting
        mine = [
            replace(
                shard,
                identities=tuple(
                    replace(who, behind=painters.behind, refine=painters.over, places=painters.places)
                    for who in shard.identities
                ),
            )
            for shard in mine
        ]
        if config.engine == "ray":
            from pain3d.pipeline.ray_cluster import publish_by_ray

            made = publish_by_ray(plan, class_of(config), mine, folder, provenance, stages, lanes, quiet)
        else:
            people = [person for shard in mine for person in shard.identities]
            encoded = synthesise_people(
                plan.config, class_of(config), people, provenance, ranks.cores(), ranks.local_rank, lanes
            )
            made = sum(ranks.of_all(publish_all(plan, mine, folder, encoded, stages, quiet or ranks.rank > 0)))
        if ranks.rank == 0:
            reporting = time.perf_counter()
            from pain3d.pipeline.description import describe

            folder.take_up()
            described = describe(plan, folder)
            stages["report"] = time.perf_counter() - reporting
    seconds = time.perf_counter() - started
    busy = {name: stages[name] / workers / seconds for name, workers in lanes.items() if name in stages}
    told = {"refined": painters.over, "behind": painters.behind}
    counts = {name: getattr(described, name) for name, wish in told.items() if described and wish}
    return Receipt(out, plan.images, made, seconds, dict(stages), busy, ranks.rank, **counts)


def _as_run(config: SynthConfig) -> SynthConfig:
    """A configuration as it is run on its device: the Triton kernels draw no ribbons, which is said aloud.

    Raises:
        RefusedError: The device or a painter can't do what it asks for, see `check_together`.
    """
    config, device = settled(config), class_of(config)
    check_together(config, device)
    if config.hair == "grown" and device != "cpu":
        complain("hair is painted, not grown: a GPU draws no ribbons yet (--device cpu does)")
        config = replace(config, hair="painted")
    return config


def _painters(config: SynthConfig, quiet: bool) -> Painters:
    """Whom a configuration asks for; what can't be is refused before a model is loaded."""
    from pain3d.environment.own import open_places
    from pain3d.pipeline.texture.decorator import decorator_of, plate_wish_of
    from pain3d.pipeline.texture.refiner import refiner_of, wish_of

    if config.assets and class_of(config) != "cpu":
        raise RefusedError(f"--assets {config.assets}: bare skin is laid on the CPU so far: --device cpu")
    device = "cpu"
    if class_of(config) == "cuda":  # a node of Ray's sees no card but its task's
        device = "cuda:0" if config.engine == "ray" else str(cuda_device(launched_ranks().local_rank))
    behind, over = plate_wish_of(config, device), wish_of(config, device)
    source = open_source(config, device, quiet=quiet)
    fields = {"texture": PROCEDURAL} if source is None else source.fields
    if behind is not None:
        fields = fields | decorator_of(behind, quiet=quiet).fields
    if over is not None:
        fields = fields | refiner_of(over, quiet=quiet).fields
    places = None
    if config.environments:
        if behind is not None:
            raise RefusedError("--environments: nobody stands in a place where --backgrounds are painted")
        places = open_places(Path(config.environments))
        fields = fields | {"environments": " ".join(places.names), "environments_licence": places.licence}
    return Painters(source, behind, over, places, fields)


def _with_textures(
    source: Source,
    plan: Plan,
    shards: Sequence[PlannedShard],
    others: Sequence[PlannedShard],
    place: Path,
    quiet: bool,
) -> list[PlannedShard]:
    """The same shards of people who have their textures, in the bank of the data set; so have those of other shards."""
    everybody = [person for shard in plan.shards for person in shard.identities]
    whose = dict.fromkeys((*shards, *others))
    wanted = [person for shard in whose for person in shard.identities]
    bank = TextureBank(place)
    names = source.provide(bank, everybody, wanted, quiet)
    dressed = {number: bank.place(name) for number, name in names.items()}
    return [
        replace(shard, identities=tuple(replace(who, texture=dressed.get(who.identity_id)) for who in shard.identities))
        for shard in shards
    ]
