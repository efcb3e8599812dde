"""Knows faces as a data set of torch that no disk holds: an item is rendered when it is asked for, from its scene.

    from torch.utils.data import DataLoader
    from pain3d.data import FaceDataset, SampledScenes

    faces = FaceDataset(SampledScenes(100_000, seed=0, size=224))
    for batch in DataLoader(faces, batch_size=64, num_workers=2):
        batch["image"], batch["au"], batch["pspi"]

An item is a pure function of its scene: the same bytes in every worker and batch. To paint a person costs as much as
to render several pictures, so the pictures of a person lie side by side, and each worker keeps the last few people.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, overload

import torch
from torch.utils.data import Dataset, get_worker_info

from pain3d.camera import MOST_PIXELS
from pain3d.facs.action_units import ActionUnits
from pain3d.facs.pain_score import LAWS
from pain3d.head.model import Head
from pain3d.random import MAX_SEED, keyed_generator, keyed_number
from pain3d.ranges import check_number, check_whole, told
from pain3d.rendering.people import People, texture_side
from pain3d.rendering.portraits import render_portraits
from pain3d.rendering.scene_inputs import own_backgrounds
from pain3d.rendering.shots import shots_of
from pain3d.scene import CELLS, GROWN, HAIR, MOST_EXPRESSIONS, Scene, round_of_cells, sample_scenes
from pain3d.skin import surface_maps

Item = dict[str, Any]
MOST = {"length": MAX_SEED, "size": MOST_PIXELS, "per_person": MOST_EXPRESSIONS}  # of `SampledScenes`


class SampledScenes(Sequence[Scene]):
    """Scenes by number, each drawn when it is asked for: ever new people, some pictures of each side by side.

    Scene i is picture ``i % per_person`` of person ``i // per_person``, by the law of `pain3d.sample_scenes` with free
    cameras: camera, background, light, pose and sensor are drawn anew for each. Every 24 people hold each cell of the
    demographic grid once. They are nobody of ``pain3d synth`` with the same seed.

    Args:
        length: Pictures.
        seed: Of everything that is drawn; another seed shows other people.
        size: Pixels a side.
        per_person: Pictures of each; 1 paints somebody new for every picture, which is the slowest.
        neutral_share: Chance that a picture shows no pain, beside those that the law draws without.
        law: How pain is drawn, as for `sample_scenes`; so are the rest.
        co_occurring: See law.
        asymmetry: See law.
        wrinkles: See law.
        shadows: See law.
        hair: ``grown``, or ``painted``, which is quicker, see `pain3d.Scene`.
        head: Whose local shapes people draw; None is the default head.

    Raises:
        ValueError: A number out of range, an unknown law or kind of hair.
    """

    def __init__(
        self,
        length: int,
        *,
        seed: int = 0,
        size: int = 224,
        per_person: int = 4,
        neutral_share: float = 1 / 11,
        law: str = "uniform",
        co_occurring: bool = True,
        asymmetry: float = 0.0,
        wrinkles: bool = True,
        shadows: bool = True,
        hair: str = GROWN,
        head: Head | None = None,
    ) -> None:
        for name, value in (("length", length), ("size", size), ("per_person", per_person)):
            check_whole(name, value, 1, MOST[name])
        for name, share in (("neutral_share", neutral_share), ("asymmetry", asymmetry)):
            check_number(name, share, 0, 1)
        if law not in LAWS:
            raise ValueError(f"law must be one of {', '.join(LAWS)}, got {told(law)}")
        if hair not in HAIR:
            raise ValueError(f"hair must be one of {', '.join(HAIR)}, got {told(hair)}")
        self.length, self.per_person, self.neutral_share = length, per_person, neutral_share
        self.seed = keyed_number(seed, "data") & MAX_SEED
        self._law: Item = {"size": size, "law": law, "co_occurring": co_occurring, "asymmetry": asymmetry,
                           "wrinkles": wrinkles, "shadows": shadows, "hair": hair, "head": head}  # fmt: skip
        self._last: tuple[int, tuple[Scene, ...]] = (-1, ())  # person, whose pictures follow each other

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Scene: ...

    @overload
    def __getitem__(self, index: slice) -> list[Scene]: ...

    def __getitem__(self, index: int | slice) -> Scene | list[Scene]:
        """A scene, or those of a slice. Raises IndexError beyond the last."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self.length))]
        person, picture = divmod(range(self.length)[index], self.per_person)
        known, scenes = self._last
        if known != person:
            scenes = self._drawn(person)
            self._last = person, scenes
        return scenes[picture]

    def _drawn(self, person: int) -> tuple[Scene, ...]:
        """All pictures of a person."""
        cell = round_of_cells(self.seed, person // len(CELLS))[person % len(CELLS)]
        _, *scenes = sample_scenes(
            seed=self.seed, identity_id=person, cell=cell, expressions=self.per_person, views=1, cameras="free",
            **self._law,
        )  # fmt: skip
        at_rest = keyed_generator(self.seed, "data/neutral", person).random(self.per_person) < self.neutral_share
        return tuple(
            replace(scene, au=ActionUnits()) if neutral else scene
            for scene, neutral in zip(scenes, at_rest, strict=True)
        )


class FaceDataset(Dataset[Item]):
    """Rendered faces for `torch.utils.data.DataLoader`, on the CPU. On a GPU ``pain3d train --online`` renders.

    An item holds ``image`` [3, H, W] uint8 sRGB, ``au`` [A, 2] float32 (rows as `pain3d.facs.AU_NUMBERS`, left and
    right, 0–5), ``pspi`` float32, ``landmarks`` [L, 2] float32 (pixels, x right, y down; names in
    ``Head.landmark_names``), ``person`` (the scene's ``identity_id``) and, where it is asked for, ``heatmap`` [H, W]
    float32 (mm). Its picture is that of `pain3d.render_scenes` but for the texture, which is painted at the size that
    the picture needs.

    Memory is taken once: `keep` textures, 22 MB each for pictures of 163 to 324 pixels (a quarter for half the size,
    four times for twice), each with 0.6 MB at most of hair where it is grown; beside what all people share, which is
    made here and so shared with workers that are forked.

    Args:
        scenes: What to render: `SampledScenes`, a list, or any sequence; all of one size, with or without wrinkles.
        head: Whose shapes the identities mix, on the CPU; None is the default head.
        heatmap: Whether items have a heat map.
        keep: People who are kept painted, 1 or more, in each process; and pictures that are rendered at once.
        transform: Is given each item before it is batched and returns what takes its place: an augmentation.

    Raises:
        ValueError: No scenes, or `keep` below 1; in an item also a scene that can't be rendered beside the first.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        *,
        head: Head | None = None,
        heatmap: bool = False,
        keep: int = 8,
        transform: Callable[[Item], Any] | None = None,
    ) -> None:
        if not len(scenes):
            raise ValueError("scenes must not be empty")
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.scenes, self.heatmap, self.keep, self.transform = scenes, heatmap, keep, transform
        self._head = head
        first = scenes[0]
        self._size, self._wrinkles = first.size, first.wrinkles
        surface_maps(head or Head.default(), texture_side(first.size))
        self._people: People | None = None  # of this process
        self._places: OrderedDict[Any, int] = OrderedDict()  # person → slot, who was seen last at the end

    def __len__(self) -> int:
        return len(self.scenes)

    def __getstate__(self) -> dict[str, Any]:
        """What a worker that is not forked is sent: nobody who is painted."""
        return vars(self) | {"_people": None, "_places": OrderedDict()}

    def __getitem__(self, index: int) -> Any:
        """One item. A batch at once is quicker: `__getitems__`, which a `DataLoader` asks."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The items of a batch."""
        if get_worker_info() is not None:
            import cv2  # here: `import pain3d` loads no OpenCV

            cv2.setNumThreads(0)  # a worker has one core; 1 would wait for threads that a fork has not brought along
        made: list[Item] = []
        for start in range(0, len(indices), self.keep):
            made += self._rendered([self.scenes[int(index)] for index in indices[start : start + self.keep]])
        return made if self.transform is None else [self.transform(item) for item in made]

    def _rendered(self, scenes: list[Scene]) -> list[Item]:
        """Items of at most `keep` scenes."""
        for scene in scenes:
            if scene.size != self._size or scene.wrinkles != self._wrinkles:
                raise ValueError("scenes must share one size, and wrinkle all or none")
        if self._people is None:
            side = texture_side(self._size)
            self._people = People(self._head or Head.default(), self.keep, frame=self._size, side=side)
        slots = torch.tensor([self._slot(self._people, scene) for scene in scenes])
        painted, behind = own_backgrounds(scenes)
        walls = torch.from_numpy(painted[behind])
        seen = render_portraits(shots_of(scenes), self._people, slots, walls, heatmaps=self.heatmap)
        items: list[Item] = []
        for number, scene in enumerate(scenes):
            items.append(
                {
                    "image": seen.image[number].permute(2, 0, 1).contiguous(),
                    "au": torch.from_numpy(scene.au.as_array()).float(),
                    "pspi": torch.tensor(float(scene.au.pspi())),
                    "landmarks": seen.landmarks[number].clone(),
                    "person": scene.identity_id,
                }
            )
            if seen.heatmap is not None:
                items[-1]["heatmap"] = seen.heatmap[number].clone()
        return items

    def _slot(self, people: People, scene: Scene) -> int:
        """Where a scene's person stands; who was not seen for longest makes place."""
        who = scene.identity, scene.skin, scene.texture, scene.hair
        if who not in self._places:
            if len(self._places) == self.keep:
                self._places.popitem(last=False)
            slot = min(set(range(self.keep)) - set(self._places.values()))
            people.paint(slot, scene)
            self._places[who] = slot
        self._places.move_to_end(who)
        return self._places[who]
