"""Knows batches without files: parameters go in, faces come out, by a data set's law and never the same picture twice.

A batch is a pure function of the seed and the number of the step. To paint a person costs as much as to render dozens
of faces, so people stay for a while: a ring of them, of whom a new one takes the place of the oldest every few steps.
Backgrounds stay in a ring too; everything else is drawn anew for each picture.

A face is rendered in the pixels that it would have in a whole picture of `Population.size`, with that picture's noise
and JPEG, and then cut out like a file's: rendered at the crop's own size its noise would be another, its lines too
sharp. On a GPU all of it stays there, and nothing waits for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.background import SIZE as BACKGROUND_SIZE
from pain3d.console.refused import RefusedError, complain
from pain3d.device import moved_at_once
from pain3d.face.square import LEAST_SCALE, cut
from pain3d.head.model import Head
from pain3d.kernels import jpeg_loss
from pain3d.random import MAX_SEED, keyed_number
from pain3d.rendering.face_crops import WIDEST_SQUARE, FaceCrops, render_face_crops
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.rendering.people import People, Person, paint_persons
from pain3d.scene import PAINTED
from pain3d.skin.painting import surface_maps
from pain3d.training.config import TrainConfig
from pain3d.training.data.backstage import Backstage
from pain3d.training.data.batch import Labels, RawBatch
from pain3d.training.data.batches import check_groups, crop_side
from pain3d.training.data.plan import BACKGROUNDS, Planner
from pain3d.training.data.population import Population, population_of_rows
from pain3d.training.data.ring import Ring, Turnover
from pain3d.training.data.samples import Rows, Samples, pspi_of

NEW_BACKGROUNDS = 2  # a step: after 64 steps they are others
# Beside a GPU; beside a training step on the CPU they would only take its cores.
PAINTERS = 1  # threads that launch the painting of people
PROCESSES = 3  # that prepare steps and draw: a step of 160 pictures takes 20 ms, a person 70, a background 10
TOGETHER = 8  # people who are painted by the same launches
LOOK_AHEAD = 64  # steps, in which twice as many come

Bytes = npt.NDArray[np.uint8]


class OnlineBatches:
    """Batches that are rendered when they are asked for.

    Args:
        population: Who, and by which law; as `as_drawn` has them for the device.
        size: Pictures of a batch to learn from, of all processes together.
        group: Pictures of one person side by side; they share their neutral pictures.
        num_references: Neutral pictures for each, K.
        neutral: Whether neutral pictures are wanted.
        side: Pixels a side of the crops, C.
        seed: Of everything that is drawn.
        pool: People who are there at once, 22 MB each (90 where `population.size` is 384 or more), hair that is grown
            among it; all, if fewer.
        renew: Steps after which the oldest of them makes place for the next.
        heatmaps: Whether heat maps are wanted.
        pain_weight: What a picture with pain counts in the loss beside one without.
        device: Where to render.
        jpeg: Whether pictures go through a JPEG as a file's do: a real one on the CPU, `jpeg_loss` on another device,
            which gives the same bytes.
        painters: Threads that paint people ahead; 0 paints them when they are needed. Changes speed, never bytes.
        processes: Processes beside this one that prepare steps and draw; 0 does it here. Changes speed, never bytes.
        rank: Which process this is of those that share a batch; it renders its groups alone.
        ranks: How many they are.

    Raises:
        RefusedError: Nobody to see, a size that groups don't divide, or groups that processes can't share evenly.
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
        processes: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if not population.people:
            raise RefusedError("online: nobody to learn from")
        check_groups(size, group, num_references)
        self._population, self._side = population, side
        self._heatmaps, self._pain_weight, self._jpeg = heatmaps, pain_weight, jpeg
        self._seed = keyed_number(seed, "online") & MAX_SEED  # not the data set's: its expressions are not drawn again
        self._head, self._device = Head.default(), torch.device(device)
        pool = min(pool, len(population.people))
        turnover = Turnover(pool, int(pool < len(population.people)), renew)  # who are all there need not come
        references = num_references if neutral else 0
        self.plan = Planner(
            population, turnover, seed=self._seed, groups=size // group, group=group, references=references, rank=rank,
            ranks=ranks,
        )  # fmt: skip
        self._count = size // ranks
        groups = torch.arange(self._count)[:, None] // group
        self._neutral_of = groups * references + torch.arange(references) if references else None
        self._people = People(self._head.on(device), pool, frame=population.size)
        self._ring: Ring[Person] = Ring(
            turnover, self._paint, self._people.place, ahead=painters, together=TOGETHER if painters else 1
        )
        self._backstage = None
        if processes:
            board = surface_maps(self._head, TEXTURE_SIZE).board()
            self._backstage = Backstage(self.plan, board, processes)
        self._bank = torch.empty(BACKGROUNDS, BACKGROUND_SIZE, BACKGROUND_SIZE, 3, device=device)
        self._walls: Ring[Tensor] = Ring(
            Turnover(BACKGROUNDS, NEW_BACKGROUNDS),
            self._paint_backgrounds,
            self._hang,
            ahead=min(painters, 1),
            together=NEW_BACKGROUNDS,
        )
        self._cutters = ThreadPoolExecutor(torch.get_num_threads(), "pain3d-cut")
        self._next = 0

    def __call__(self, step: int) -> RawBatch:
        """The batch of a step: pictures on the device, labels and what shares which neutral picture on the CPU."""
        if step != self._next:
            self._ring.forget()
            self._walls.forget()
        self._next = step + 1
        source = self.plan if self._backstage is None else self._backstage
        numbers = source.numbers(step)
        self._ring.fill(numbers.slots.tolist(), step)
        self._walls.fill(numbers.walls.tolist(), step)
        self._ring.expect(step, LOOK_AHEAD)
        self._walls.expect(step, 1)
        shots, slots, person, walls = moved_at_once(numbers[:4], self._device)
        faces = render_face_crops(shots, self._people, slots, person, self._bank[walls], heatmaps=self._heatmaps)
        images, count = self._crops(faces, shots.quality), self._count
        return RawBatch(
            images[:count],
            self._heat_crops(faces)[:count] if self._heatmaps else None,
            None if self._neutral_of is None else images[count:],
            self._neutral_of,
            self._labels(numbers.sides),
        )

    def close(self) -> None:
        """End the threads."""
        self._ring.close()
        self._walls.close()
        if self._backstage is not None:
            self._backstage.close()
        self._cutters.shutdown()

    def _paint(self, arrivals: Sequence[int]) -> list[Person]:
        people = [self.plan.person(arrival) for arrival in arrivals]
        sketches = None if self._backstage is None else self._backstage.sketches(arrivals)
        return paint_persons(self._head, people, frame=self._population.size, device=self._device, sketches=sketches)

    def _paint_backgrounds(self, arrivals: Sequence[int]) -> list[Tensor]:
        if self._backstage is not None:
            return self._backstage.backgrounds(arrivals)
        return [self.plan.background(arrival) for arrival in arrivals]

    def _hang(self, place: int, painted: Tensor) -> None:
        self._bank[place].copy_(moved_at_once(painted, self._device))

    def _labels(self, sides: Tensor) -> Labels:
        units = sides.amax(2)
        pspi = torch.from_numpy(pspi_of(units.numpy()))
        pain = (pspi >= 1).float()
        return Labels(
            au=units.float(),
            sides=sides.float(),
            pspi=pspi,
            pain=pain,
            weight=torch.where(pain > 0, self._pain_weight, 1.0),
            row=torch.full((self._count,), -1),
        )

    def _crops(self, faces: Sequence[FaceCrops], quality: Tensor) -> Tensor:
        """The faces [B, C, C, 3] cut out of what was rendered around them."""
        if self._device.type != "cpu":
            (part,) = faces
            return self._cut_there(jpeg_loss(part.image, quality) if self._jpeg else part.image, part)
        crops = torch.empty(len(quality), self._side, self._side, 3, dtype=torch.uint8)
        for part in faces:
            wanted = quality[part.rows].tolist() if self._jpeg else [None] * len(part.rows)
            made = self._cutters.map(self._crop, part.image.numpy(), wanted, part.square.tolist())
            crops[part.rows] = torch.from_numpy(np.stack(list(made)))
        return crops

    def _heat_crops(self, faces: Sequence[FaceCrops]) -> Tensor:
        """The heat maps [B, C, C] of all pictures, cut out likewise."""
        if self._device.type != "cpu":
            (part,) = faces
            assert part.heatmap is not None
            return self._cut_there(part.heatmap[..., None], part)[..., 0]
        crops = torch.empty(sum(len(part.rows) for part in faces), self._side, self._side, dtype=torch.uint8)
        for part in faces:
            assert part.heatmap is not None
            pairs = zip(part.heatmap.numpy(), part.square.tolist(), strict=True)
            crops[part.rows] = torch.from_numpy(
                np.stack([self._crop(levels, None, square) for levels, square in pairs])
            )
        return crops

    def _cut_there(self, seen: Tensor, part: FaceCrops) -> Tensor:
        return cut_on_device(seen, part.square, self._side, widest=WIDEST_SQUARE * self._population.size)

    def _crop(self, face: Bytes, quality: int | None, square: tuple[float, float, float]) -> Bytes:
        return cut(face if quality is None else _through_jpeg(face, quality), *square, self._side)


def online_batches(
    samples: Samples,
    rows: Rows,
    config: TrainConfig,
    *,
    heatmaps: bool,
    device: torch.device,
    rank: int = 0,
    ranks: int = 1,
) -> OnlineBatches:
    """Batches of the people of `rows`, as a run is configured; those of one of several processes, if there are.

    Raises:
        RefusedError: See `population_of_rows` and `OnlineBatches`.
    """
    return OnlineBatches(
        as_drawn(population_of_rows(samples, rows), device, quiet=rank > 0),
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
        processes=PROCESSES if device.type != "cpu" else 0,
        rank=rank,
        ranks=ranks,
    )


def as_drawn(population: Population, device: torch.device, *, quiet: bool = False) -> Population:
    """The people as a device draws them: on a GPU hair that is grown is painted, which is said unless `quiet`."""
    if device.type == "cpu" or all(person.hair == PAINTED for person in population.people):
        return population
    if not quiet:
        complain(
            "--online: hair is painted, not grown as in the data set: a GPU draws no ribbons yet (--device cpu does)"
        )
    return replace(population, people=tuple(replace(person, hair=PAINTED) for person in population.people))


def cut_on_device(image: Tensor, square: Tensor, side: int, *, widest: float) -> Tensor:
    """As `cut`, for face crops on any device, which is not waited for; within a level of it or two.

    Args:
        image: [n, W, W, C] uint8.
        square: [n, 3] float64 in it.
        side: Pixels a side of what is cut out.
        widest: No square is wider, pixels: where it is much wider than `side`, several samples are averaged.

    Returns:
        [n, side, side, C] uint8.
    """
    width = image.shape[1]
    samples = max(1, math.ceil(widest / side * LEAST_SCALE))
    steps = (torch.arange(side * samples, device=image.device) + 0.5) / (side * samples) - 0.5
    x, y = (((square[:, i, None] + steps * square[:, 2, None]) * (2 / width) - 1).float() for i in (0, 1))
    grid = torch.stack([x[:, None, :].expand(-1, len(steps), -1), y[:, :, None].expand(-1, -1, len(steps))], -1)
    pixels = image.permute(0, 3, 1, 2).float()
    seen = torch.nn.functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    seen = torch.nn.functional.avg_pool2d(seen, samples)
    return (seen + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _through_jpeg(picture: Bytes, quality: int) -> Bytes:
    """The picture [H, W, 3] as a data set's file would give it back."""
    import simplejpeg

    encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality, "RGB", "420")
    return np.asarray(simplejpeg.decode_jpeg(encoded, "RGB"), np.uint8)
