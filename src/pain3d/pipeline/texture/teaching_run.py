"""Knows the whole of a run that teaches the small model a user's textures: refuse or begin, learn, measure, finish.

Of the people in a bank an eighth is held out and never learned. At the end their textures are completed from the front
alone, by push–pull, by the weights that ship and by those that were taught, and compared on what the side views show:
a painter painted that, whether it had three views or five, while what lies beyond was filled by `completion.complete`.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.files import remove
from pain3d.head import Head
from pain3d.pipeline.folder import resolved_kind
from pain3d.pipeline.texture.bank import Entry, Sitter, TextureBank, read_texture
from pain3d.pipeline.texture.completion import complete
from pain3d.pipeline.texture.filling import scene_of
from pain3d.pipeline.texture.making import need_diffusers
from pain3d.pipeline.texture.painter import chain
from pain3d.pipeline.texture.views import standard_cameras
from pain3d.pipeline.workers import keep_memory
from pain3d.provenance import code_version, pain3d_version
from pain3d.run_folder import RESOLVED, RunFolder, settings_hash
from pain3d.scene import CELLS, DemographicCell
from pain3d.skin import paint, surface_maps
from pain3d.skin.photographed import ALBEDO, photographable

if TYPE_CHECKING:
    from pain3d.pipeline.texture.command import Teach
    from pain3d.pipeline.texture.skin_model import SkinModel
    from pain3d.pipeline.texture.skin_model.held_out import Case
    from pain3d.pipeline.texture.skin_model.lessons import Lessons

WEIGHTS: Final = "taught_skin_model.safetensors"
CHECKPOINT: Final = "checkpoint.safetensors"
REPORT: Final = "held_out.json"
LEAST: Final = 8  # people: of fewer less than two could be held out
HELD, FEWEST, MOST = 8, 2, 24  # one of so many is held out; at least and at most
COMPARED: Final = 512  # texels a side, as in benchmarks/completed.py
RATE: Final = 2e-4  # of AdamW: a third of that of a net that knows nothing yet
TAUGHT: Final = resolved_kind(("pain3d_teaching", 1), REPORT, "a folder of pain3d teach", "course")


class TaughtFolder(RunFolder):
    """The folder of taught weights; see `RunFolder`."""

    def _take_up(self) -> None:
        if self.finished:
            remove(self.out / CHECKPOINT)

    def _discard(self) -> None:
        """The same run goes on from a checkpoint; without one nothing of it stays."""
        if not (self.out / CHECKPOINT).exists():
            remove(self.out / WEIGHTS)
            remove(self.out / RESOLVED)


def teach_bank(command: Teach, started: float) -> dict[str, Any]:
    """Teach the small model the textures of a bank.

    Args:
        command: What was asked for, checked.
        started: ``time.perf_counter()`` at which the clock starts.

    Returns:
        What was made and measured, as JSON holds it.

    Raises:
        RefusedError: The bank is empty, damaged or of too few people, or the folder can't be used.
        KeyboardInterrupt: What was learned stays.
    """
    if command.bank is None:
        raise RefusedError("--bank BANK is missing: the textures to learn")
    need_diffusers()
    from pain3d.pipeline.texture.skin_model import SkinModel
    from pain3d.pipeline.texture.skin_model.teaching import Course, learn
    from pain3d.pipeline.texture.skin_model.weights import write_weights

    bank = TextureBank(command.bank)
    held, learned = divided(bank)
    start = SkinModel.default()
    what = {
        "pain3d_teaching": 1,
        "bank_hash": settings_hash(sorted(bank)),
        "steps": command.steps,
        "seed": command.seed,
        "taught_from": start.origin.model_hash,
        "pain3d_version": pain3d_version(),
        "code_version": code_version(),
    }
    told = {
        **what,
        "textures": len(learned),
        "painters": painters_of([bank.entry(name) for name in learned]),
        "licence": chain([start.origin.licence, *(bank.entry(name).licence for name in learned)]),
    }
    folder = TaughtFolder(command.out, TAUGHT, what | {"config_hash": settings_hash(what)})
    folder.check()
    if folder.finished:
        with folder:  # which removes what a killed run left beside its end
            return {"out": str(command.out), "weights": str(command.out / WEIGHTS), "finished_already": True}
    keep_memory()
    lessons = _lessons(bank, learned, command.seed, quiet=command.json)
    cases = [_case(bank, name, number) for number, name in enumerate(held)]
    with folder:
        course, checkpoint = Course(command.steps, command.seed, RATE), command.out / CHECKPOINT
        net = learn(start.net, lessons, course, checkpoint, quiet=command.json)
        write_weights(net, command.out / WEIGHTS, told)
        taught = SkinModel(command.out / WEIGHTS)
        measured = measure(cases, {"as it ships": start, "taught": taught})
        report = {"resolved": folder.resolved, **taught.origin.__dict__, "held_out": held, **measured}
        folder.write(REPORT, (json.dumps(report, indent=1) + "\n").encode())
        remove(checkpoint)
    return {
        "out": str(command.out),
        "weights": str(command.out / WEIGHTS),
        "textures": len(learned),
        "held_out": len(held),
        "licence": taught.origin.licence,
        **measured,
        "seconds": round(time.perf_counter() - started, 3),
    }


def divided(bank: TextureBank) -> tuple[list[str], list[str]]:
    """Names of the textures that are held out, one of each such person, and of those that are learned.

    By people, not by textures: whoever is held out has no other texture among the learned ones. Names are hashes, so
    that the first of them are as good as drawn.

    Raises:
        RefusedError: There are too few people.
    """
    if not bank:
        raise RefusedError(f"{bank.folder}: holds no textures")
    of: dict[Sitter, list[str]] = {}
    for name in sorted(bank):
        sitter = bank.entry(name).sitter
        if DemographicCell(sitter.age_group, sitter.sex, sitter.ancestry) not in CELLS:
            raise RefusedError(f"{bank.place(name)}: a damaged texture (its sitter is nobody); nothing was changed")
        of.setdefault(sitter, []).append(name)
    if len(of) < LEAST:
        raise RefusedError(f"{bank.folder}: textures of {len(of)} people are too few to hold some out; {LEAST} will do")
    held = min(MOST, max(FEWEST, len(of) // HELD))
    names = list(of.values())
    return [own[0] for own in names[:held]], [name for own in names[held:] for name in own]


def painters_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Who painted textures: model, hash, licence, and how many."""
    counted = Counter((entry.model, entry.model_hash, entry.licence) for entry in entries)
    return [
        {"model": model, "model_hash": made_of, "licence": licence, "textures": count}
        for (model, made_of, licence), count in sorted(counted.items())
    ]


def measure(cases: Sequence[Case], models: Mapping[str, SkinModel]) -> dict[str, Any]:
    """Complete each held-out texture in each way; mean PSNR in dB by way, and how often the last beats the others."""
    from pain3d.pipeline.texture.skin_model.held_out import by_push_pull, psnr, seen_weights

    head, maps = Head.default(), surface_maps(Head.default(), COMPARED)
    charted = torch.from_numpy(photographable(maps) & maps.covered)

    def by(model: SkinModel) -> Callable[[Case, Tensor], Tensor]:
        return lambda case, weight: model.sample(case.base, maps, case.who, case.number, case.true, weight)

    ways: dict[str, Callable[[Case, Tensor], Tensor]] = {
        "push-pull": by_push_pull,
        "push-pull over the base": lambda case, weight: complete(case.true, weight, case.base, maps),
        **{name: by(model) for name, model in models.items()},
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for case in cases:
        front, *sides = seen_weights(case, head, standard_cameras(3, COMPARED))
        compared = charted & (front <= 0) & (torch.stack(sides).amax(0) > 0)
        for way, fill in ways.items():
            found[way].append(psnr(fill(case, front), case.true, compared))
    last = list(ways)[-1]
    return {
        "psnr": {way: round(float(np.mean(values)), 3) for way, values in found.items()},
        "better": {way: int(np.sum(np.greater(found[last], values))) for way, values in found.items() if way != last},
    }


def _lessons(bank: TextureBank, names: Sequence[str], seed: int, *, quiet: bool) -> Lessons:
    """What is learned of a bank: its textures, and what views see of the first of its people."""
    from pain3d.pipeline.texture.skin_model.lessons import LOOKED_AT, PAINTED, lessons_of, look_at, person_of

    head, people, seen = Head.default(), [], []
    with Progress(len(names), quiet=quiet, what="textures") as progress:
        for number, name in enumerate(names):
            scene = scene_of(bank.entry(name).sitter)
            people.append(person_of(head, scene.identity, scene.skin, _albedo(bank, name, PAINTED)))
            if number < LOOKED_AT:
                seen.append(look_at(head, scene.identity, scene.skin, seed, number))
            progress.add(1)
    return lessons_of(head, people, np.stack(seen))


def _case(bank: TextureBank, name: str, number: int) -> Case:
    """A texture that is held out, worn by the person whom it was painted for."""
    from pain3d.pipeline.texture.skin_model.held_out import Case

    scene, maps = scene_of(bank.entry(name).sitter), surface_maps(Head.default(), COMPARED)
    return Case(number, _albedo(bank, name, COMPARED), paint(maps, scene.skin), scene.identity, scene.skin)


def _albedo(bank: TextureBank, name: str, size: int) -> Tensor:
    """[size, size, 3] float32 linear."""
    picture = read_texture(bank.place(name), size).numpy()
    return torch.from_numpy(srgb_to_linear(picture / 255).astype(np.float32)).clamp(*ALBEDO)
