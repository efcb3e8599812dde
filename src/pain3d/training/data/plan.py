"""Knows what a step of online training shows: who, how, and before what, by the seed and the number of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pain3d.background import paint_background
from pain3d.console.refused import RefusedError
from pain3d.facs.action_units import AU_COLUMNS, stack
from pain3d.random import keyed_generator
from pain3d.rendering.shots import Shots, shots_of
from pain3d.scene import Scene
from pain3d.setting import sample_background
from pain3d.training.data.population import Draw, Population, drawn_scenes
from pain3d.training.data.ring import Turnover
from pain3d.training.data.samples import UNITS

BACKGROUNDS = 128  # places of their ring: one costs a core 2 ms, and the face hides most of it

_UNIT_ROWS: Final = [AU_COLUMNS.index(unit) for unit in UNITS]


@dataclass(frozen=True)
class Plan:
    """What a step shows.

    Attributes:
        scenes: The pictures to learn from, group by group, then the neutral ones, group by group.
        places: Place of each scene's person in the ring.
        backgrounds: Place of each scene's background in theirs.
    """

    scenes: list[Scene]
    places: list[int]
    backgrounds: list[int]


class StepNumbers(NamedTuple):
    """A step's plan in tensors of the CPU.

    Attributes:
        shots: The scenes.
        slots: [P] int64, places of the people who are seen.
        person: [B] int64, which of them each scene is of.
        walls: [B] int64, place of each scene's background.
        sides: [S, 6, 2] float64, the action units of the pictures to learn from, as `Labels.sides`.
    """

    shots: Shots
    slots: Tensor
    person: Tensor
    walls: Tensor
    sides: Tensor


class Planner:
    """Plans of steps; each is a pure function of what stands here and of the number of the step.

    Args:
        population: Who, and by which law.
        turnover: Of the people in the ring.
        seed: Of everything that is drawn.
        groups: How many people are seen in a step; all of them, whichever are this process's.
        group: Pictures of each to learn from.
        references: Neutral pictures of each.
        rank: Which process this is of those that share a step.
        ranks: How many they are: each plans as many groups, one after the other.

    Raises:
        RefusedError: They can't share the groups evenly.
    """

    def __init__(
        self,
        population: Population,
        turnover: Turnover,
        *,
        seed: int,
        groups: int,
        group: int,
        references: int,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if groups % ranks:
            raise RefusedError(f"a batch of {groups} groups can't be shared evenly by {ranks} processes")
        self._population, self._turnover, self._seed = population, turnover, seed
        self._groups, self._group, self._references = groups, group, references
        self._mine = range(rank * (groups // ranks), (rank + 1) * (groups // ranks))

    def __call__(self, step: int) -> Plan:
        """Who is seen at a step, how, and before what."""
        each = self._group + self._references
        shown: list[Draw] = []
        known: list[Draw] = []
        places = self.places(step)
        for number, place in zip(self._mine, places, strict=True):
            person = self.person(self._turnover.arrival(place, step))
            first = 1 + (step * self._groups + number) * each
            generator = keyed_generator(self._seed, "online/neutral", step, first)
            at_rest = generator.random(self._group) < self._population.neutral_share
            shown += [Draw(person, first + i, bool(at_rest[i])) for i in range(self._group)]
            known += [Draw(person, first + self._group + i, True) for i in range(self._references)]
        slots = np.repeat(places, self._group).tolist() + np.repeat(places, self._references).tolist()
        return Plan(drawn_scenes(self._population, self._seed, shown + known), slots, self.backgrounds(step))

    def numbers(self, step: int) -> StepNumbers:
        """The plan of a step, in tensors."""
        plan = self(step)
        shown = plan.scenes[: len(self._mine) * self._group]
        slots, person = np.unique(plan.places, return_inverse=True)
        return StepNumbers(
            shots_of(plan.scenes),
            torch.from_numpy(slots),
            torch.from_numpy(person),
            torch.tensor(plan.backgrounds),
            torch.from_numpy(stack(scene.au for scene in shown)[:, _UNIT_ROWS]),
        )

    def backgrounds(self, step: int) -> list[int]:
        """Place in their ring of what stands behind each of a step's scenes."""
        split = self._groups * self._group
        generator = keyed_generator(self._seed, "online/backgrounds", step, 0)
        walls = generator.integers(BACKGROUNDS, size=split + self._groups * self._references)
        mine = slice(self._mine.start, self._mine.stop)
        parts = (part.reshape(self._groups, -1)[mine].ravel() for part in (walls[:split], walls[split:]))
        return [int(wall) for part in parts for wall in part]

    def places(self, step: int) -> list[int]:
        """Place in the ring of the person of each group of this process: each place once before any comes again."""
        places = self._turnover.places
        turns = np.arange(step * self._groups + self._mine.start, step * self._groups + self._mine.stop)
        orders = {
            round_: keyed_generator(self._seed, "online/round", round_).permutation(places)
            for round_ in np.unique(turns // places).tolist()
        }
        return [int(orders[turn // places][turn % places]) for turn in turns.tolist()]

    def background(self, arrival: int) -> Tensor:
        """What comes into the ring of backgrounds, [128, 128, 3]."""
        name, blur = sample_background(self._seed, arrival)
        return torch.from_numpy(paint_background(name, keyed_generator(self._seed, "background", arrival), blur))

    def person(self, arrival: int) -> Scene:
        """Who arrives: everybody once before anybody comes again."""
        people = self._population.people
        round_, turn = divmod(arrival, len(people))
        return people[int(keyed_generator(self._seed, "online/people", round_).permutation(len(people))[turn])]
