"""Knows batches without files: parameters go in, faces come out, by a data set's law and never the same picture twice.

A batch is a pure function of the seed and the number of the step. To paint a person costs as much as to render dozens
of faces, so people stay for a while: a ring of them, of whom a new one takes the place of the oldest every few steps.
Backgrounds stay in a ring too; everything else is drawn anew for each picture.

A face is rendered in the pixels that it would have in a whole picture of `Population.size`, with that picture's noise
and JPEG, and then cut out like a file's: rendered at the crop's own size its noise would be another, its lines too
sharp.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import SIZE as BACKGROUND_SIZE
from pain3d.background import paint_background
from pain3d.console.refused import RefusedError
from pain3d.face.square import LEAST_SCALE, cut
from pain3d.facs.action_units import ActionUnits
from pain3d.head.model import Head
from pain3d.random import MAX_SEED, keyed_generator, keyed_number
from pain3d.rendering.face_crops import FaceCrops, render_face_crops
from pain3d.rendering.people import People, Person, paint_person
from pain3d.scene import Scene
from pain3d.setting import sample_background
from pain3d.training.config import TrainConfig
from pain3d.training.data.batch import Labels, RawBatch
from pain3d.training.data.batches import check_groups, crop_side
from pain3d.training.data.population import Population, drawn_scene, population_of_rows
from pain3d.training.data.ring import Ring, Turnover
from pain3d.training.data.samples import UNITS, Rows, Samples

BACKGROUNDS = 128  # places of their ring: one costs 10 ms, and the face hides most of it
NEW_BACKGROUNDS = 2  # a step: after 64 steps they are others
LOOK_AHEAD = 8  # steps for which painters begin to paint
PAINTERS = 4  # threads beside a GPU; beside a training step on the CPU they would only take its cores

Bytes = npt.NDArray[np.uint8]


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


class OnlineBatches:
    """Batches that are rendered when they are asked for.

    Args:
        population: Who, and by which law.
        size: Pictures of a batch to learn from.
        group: Pictures of one person side by side; they share their neutral pictures.
        num_references: Neutral pictures for each, K.
        neutral: Whether neutral pictures are wanted.
        side: Pixels a side of the crops, C.
        seed: Of everything that is drawn.
        pool: People who are there at once, 22 MB each (90 where `population.size` is 384 or more); all, if fewer.
        renew: Steps after which the oldest of them makes place for the next.
        heatmaps: Whether heat maps are wanted.
        pain_weight: What a picture with pain counts in the loss beside one without.
        device: Where to render.
        jpeg: Whether pictures go through a JPEG as a file's do; they pass the CPU for it.
        painters: Threads that paint people ahead; 0 paints them when they are needed. Changes speed, never bytes.

    Raises:
        RefusedError: Nobody to see, or a size that groups don't divide.
    """

    def __init__(
        self,
        population: Population,
        *,
        size: int,
        group: int = 4,
        num_references: int = 1,
        neutral: bool,
        side: int,
        seed: int,
        pool: int = 64,
        renew: int = 4,
        heatmaps: bool = False,
        pain_weight: float = 1.0,
        device: torch.device | str = "cpu",
        jpeg: bool = True,
        painters: int = 0,
    ) -> None:
        if not population.people:
            raise RefusedError("online: nobody to learn from")
        check_groups(size, group, num_references)
        self._population, self._group, self._side = population, group, side
        self._references = num_references if neutral else 0
        self._groups = size // group
        self._heatmaps, self._pain_weight, self._jpeg = heatmaps, pain_weight, jpeg
        self._seed = keyed_number(seed, "online") & MAX_SEED  # not the data set's: its expressions are not drawn again
        self._head = Head.default()
        pool = min(pool, len(population.people))
        self._turnover = Turnover(pool, int(pool < len(population.people)), renew)  # who are all there need not come
        self._people = People(self._head.on(device), pool, frame=population.size)
        self._ring: Ring[Person] = Ring(self._turnover, self._paint, self._people.place, ahead=painters)
        self._bank = torch.empty(BACKGROUNDS, BACKGROUND_SIZE, BACKGROUND_SIZE, 3, device=device)
        self._walls: Ring[Tensor] = Ring(
            Turnover(BACKGROUNDS, NEW_BACKGROUNDS),
            self._paint_background,
            self._hang,
        )
        self._cutters = ThreadPoolExecutor(torch.get_num_threads(), "pain3d-cut")
        self._next = 0

    def __call__(self, step: int) -> RawBatch:
        """The batch of a step, on the device."""
        if step != self._next:
            self._ring.forget()
        self._next = step + 1
        plan = self.plan(step)
        self._ring.fill(plan.places, step)
        self._walls.fill(plan.backgrounds, step)
        for later in range(step + 1, step + 1 + LOOK_AHEAD):
            if not self._ring.expect(self._places(later), later):
                break
        device = self._bank.device
        faces = render_face_crops(
            plan.scenes,
            self._people,
            plan.places,
            self._bank[torch.tensor(plan.backgrounds, device=device)],
            heatmaps=self._heatmaps,
            one_size=device.type != "cpu",
        )
        images = self._crops(faces, [scene.sensor.quality for scene in plan.scenes])
        count = self._groups * self._group
        groups = torch.arange(count) // self._group
        shown = plan.scenes[:count]
        pspi = torch.tensor([float(scene.au.pspi()) for scene in shown])
        sides = torch.tensor([_sides(scene.au) for scene in shown])
        heatmap = self._heat_crops(faces, count) if self._heatmaps else None
        neutral_of = groups[:, None] * self._references + torch.arange(self._references) if self._references else None
        pain = (pspi >= 1).float()
        labels = Labels(
            au=sides.amax(2),
            sides=sides,
            pspi=pspi,
            pain=pain,
            weight=torch.where(pain > 0, self._pain_weight, 1.0),
            row=torch.full((count,), -1),
        )
        neutral = images[count:] if self._references else None
        return RawBatch(images[:count], heatmap, neutral, neutral_of, labels).to(device)

    def plan(self, step: int) -> Plan:
        """Who is seen at a step, how, and before what."""
        slots = self._places(step)
        shown: list[tuple[Scene, int]] = []
        known: list[tuple[Scene, int]] = []
        for number, place in enumerate(slots):
            person = self._person(self._turnover.arrival(place, step))
            first = 1 + (step * self._groups + number) * (self._group + self._references)
            generator = keyed_generator(self._seed, "online/neutral", step, first)
            at_rest = generator.random(self._group) < self._population.neutral_share
            shown += [(self._scene(person, first + i, bool(at_rest[i])), place) for i in range(self._group)]
            known += [(self._scene(person, first + self._group + i, True), place) for i in range(self._references)]
        both = shown + known
        generator = keyed_generator(self._seed, "online/backgrounds", step, 0)
        walls = generator.integers(BACKGROUNDS, size=len(both)).tolist()
        return Plan([scene for scene, _ in both], [place for _, place in both], walls)

    def close(self) -> None:
        """End the threads."""
        self._ring.close()
        self._cutters.shutdown()

    def _places(self, step: int) -> list[int]:
        """Place in the ring of the person of each group: each place once before any comes again."""
        places = self._turnover.places
        turns = np.arange(step * self._groups, (step + 1) * self._groups)
        orders = {
            round_: keyed_generator(self._seed, "online/round", round_).permutation(places)
            for round_ in np.unique(turns // places).tolist()
        }
        return [int(orders[turn // places][turn % places]) for turn in turns.tolist()]

    def _person(self, arrival: int) -> Scene:
        """Who arrives: everybody once before anybody comes again."""
        people = self._population.people
        round_, turn = divmod(arrival, len(people))
        return people[int(keyed_generator(self._seed, "online/people", round_).permutation(len(people))[turn])]

    def _paint(self, arrival: int) -> Person:
        person = self._person(arrival)
        return paint_person(
            self._head, person.identity, person.skin, frame=self._population.size, wrinkles=person.wrinkles
        )

    def _paint_background(self, arrival: int) -> Tensor:
        name, blur = sample_background(self._seed, arrival)
        return torch.from_numpy(paint_background(name, keyed_generator(self._seed, "background", arrival), blur))

    def _hang(self, place: int, painted: Tensor) -> None:
        self._bank[place] = painted

    def _scene(self, person: Scene, number: int, neutral: bool) -> Scene:
        return drawn_scene(self._population, person, self._seed, number, neutral)

    def _crops(self, faces: Sequence[FaceCrops], qualities: Sequence[int]) -> Tensor:
        """The faces [B, C, C, 3] cut out of what was rendered around them."""
        crops = torch.empty(len(qualities), self._side, self._side, 3, dtype=torch.uint8, device=self._bank.device)
        for part in faces:
            if self._jpeg or crops.device.type == "cpu":
                wanted = [qualities[row] if self._jpeg else None for row in part.rows]
                cut_out = list(self._cutters.map(self._crop, part.image.cpu().numpy(), wanted, part.square))
                made = torch.from_numpy(np.stack(cut_out)).to(crops.device)
            else:
                made = cut_on_device(part.image, torch.from_numpy(part.square).to(crops.device), self._side)
            crops[torch.tensor(part.rows, device=crops.device)] = made
        return crops

    def _crop(self, face: Bytes, quality: int | None, square: npt.NDArray[np.float64]) -> Bytes:
        x, y, side = square.tolist()
        return cut(face if quality is None else _through_jpeg(face, quality), x, y, side, self._side)

    def _heat_crops(self, faces: Sequence[FaceCrops], count: int) -> Tensor:
        """The heat maps [B, C, C] of the pictures to learn from."""
        crops = torch.empty(count, self._side, self._side, dtype=torch.uint8)
        for part in faces:
            assert part.heatmap is not None
            for row, levels, square in zip(part.rows, part.heatmap.cpu().numpy(), part.square, strict=True):
                if row < count:
                    crops[row] = torch.from_numpy(self._crop(levels, None, square))
        return crops


def online_batches(
    samples: Samples, rows: Rows, config: TrainConfig, *, heatmaps: bool, device: torch.device
) -> OnlineBatches:
    """Batches of the people of `rows`, as a run is configured.

    Raises:
        RefusedError: See `population_of_rows` and `OnlineBatches`.
    """
    return OnlineBatches(
        population_of_rows(samples, rows),
        size=config.batch,
        group=config.group,
        num_references=config.num_references,
        neutral=config.neutral,
        side=crop_side(config.image_size),
        seed=config.seed,
        pool=config.online_pool,
        heatmaps=heatmaps,
        pain_weight=config.pain_weight,
        device=device,
        painters=PAINTERS if device.type != "cpu" else 0,
    )


def cut_on_device(image: Tensor, square: Tensor, side: int) -> Tensor:
    """As `cut`, for face crops [n, W, W, 3] uint8 on any device and their squares [n, 3]; within a level of it or two.

    Where squares are much larger than the crop, several samples are averaged for each of its pixels.
    """
    width = image.shape[1]
    samples = max(1, int(np.ceil(float(square[:, 2].max()) / side * LEAST_SCALE)))
    steps = (torch.arange(side * samples, device=image.device) + 0.5) / (side * samples) - 0.5
    x, y = (square[:, i, None] + steps * square[:, 2, None] for i in (0, 1))
    grid = torch.stack([x[:, None, :].expand(-1, len(steps), -1), y[:, :, None].expand(-1, -1, len(steps))], -1)
    grid = grid.float() * (2 / width) - 1
    pixels = image.permute(0, 3, 1, 2).float()
    seen = torch.nn.functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    seen = torch.nn.functional.avg_pool2d(seen, samples)
    return (seen + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _through_jpeg(picture: Bytes, quality: int) -> Bytes:
    """The picture [H, W, 3] as a data set's file would give it back."""
    import simplejpeg

    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "RGB", "420")
    return np.asarray(simplejpeg.decode_jpeg(encoded, "RGB"), np.uint8)


def _sides(au: ActionUnits) -> list[tuple[float, float]]:
    row = au.as_row()
    return [(row[f"{unit}_L"], row[f"{unit}_R"]) for unit in UNITS]
