"""Knows what the rows of a shard should hold: told again for each identity, with what its frames alone can show."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch

from pain3d.console.refused import RefusedError, quoted
from pain3d.doors.parquet import ParquetSource
from pain3d.doors.paths import named_file
from pain3d.environment.own import Places
from pain3d.pipeline.column_comparison import flat_rows
from pain3d.pipeline.derivation import Geometry, Told, config_of, person_of, read_scenes, seen_landmarks, tell
from pain3d.pipeline.folder import TEXTURES
from pain3d.pipeline.painted import PaintedBehind, PaintedOver
from pain3d.pipeline.plan import PlannedIdentity, make_plan
from pain3d.pipeline.rows import Provenance, complete_rows
from pain3d.pipeline.shard_list import HASH
from pain3d.pipeline.synthesis import scenes_of
from pain3d.pipeline.texture.bank import PICTURE, check_texture
from pain3d.pipeline.texture.painter import Origin
from pain3d.provenance import code_version
from pain3d.records import BACKGROUND_COLUMNS, REFINED_COLUMNS, SUBSETS, dense_names, has_pictures, unstored_columns
from pain3d.rendering.encoded import Pictures
from pain3d.rendering.frames import Measures
from pain3d.scene import Scene

LANDMARKS_TOLERANCE: Final = 5e-6  # metres: see TOLERANCES of row_checks
KEPT: Final = 64  # identities that are remembered; of a larger shard the others are told again for each of its files
AHEAD: Final = 4  # identities that are told beside the one that is compared
KEYS: Final = ("identity_id", "expression_id", "view_id")
SEEN_ALONE: Final = ("coverage", "heatmap_unit_mm", "skin_ita_degrees")  # and who painted
OTHER_HEAD: Final = (
    "the head is not this pain3d's in some people: their landmarks are compared with cameras and each other only, "
    "their neutral_vertices not at all"
)
NO_PICTURES: Final = (
    "no picture is stored: coverage, heatmap_unit_mm and skin_ita_degrees, which only pictures show, are compared by "
    "--sample alone"
)


class DataSetPlan:
    """What a data set's configuration says of its rows.

    Args:
        out: Folder of the data set.
        resolved: Its resolved configuration, as `read_manifest` lets it through.

    Attributes:
        same_code: Whether this pain3d's code made it, so that the plan's scenes are its scenes.
        size: Pixels a side.
        dense: What further columns frames have.
        provenance: What every row says of its making.
        places: Own ones that light people; None are those that come along.
        people: Shard → its identities in order; empty where other code made the plan.
        notes: What can't be compared, and why.

    Raises:
        RefusedError: No run has such a configuration.
    """

    def __init__(self, out: Path, resolved: Mapping[str, Any]) -> None:
        self.out, self.resolved = out, resolved
        self.same_code = resolved.get("code_version") == code_version()
        self.notes: dict[str, None] = {}
        self.people: dict[str, tuple[PlannedIdentity, ...]] = {}
        if self.same_code:
            self.config = config_of(resolved)
            self.people = {shard.name: shard.identities for shard in make_plan(self.config).shards}
        else:
            made = f"made by other code ({quoted(resolved.get('code_version'))}, this is {code_version()})"
            self.notes[f"{made}: rows are compared with the scenes that they hold, not with those of the plan"] = None
        if not has_pictures(resolved):
            self.notes[NO_PICTURES] = None
        names = str(resolved.get("environments", "")).split()
        licence = str(resolved.get("environments_licence", ""))
        self.places = Places(out, tuple(names), licence) if names else None
        self.size, self.dense = int(resolved["size"]), str(resolved.get("dense", ""))
        said = (resolved[name] for name in ("seed", "config_hash", "pain3d_version", "code_version"))
        self.provenance = Provenance(*said)

    def unstored(self, subset: str) -> tuple[str, ...]:
        """The columns of a subset that its rows leave empty."""
        return () if has_pictures(self.resolved) else unstored_columns(subset, self.dense)


@dataclass(frozen=True)
class Part:
    """The rows of one identity in frames: where they begin, how many expressions in how many views."""

    start: int
    expressions: int
    views: int

    def rows(self, subset: str) -> int:
        """How many there are in a subset."""
        counts = (self.expressions * self.views, (self.expressions - 1) * self.views, self.expressions, 1)
        return dict(zip(SUBSETS, counts, strict=True))[subset]


class Shard:
    """What the four files of a shard should hold.

    Args:
        name: Of the shard; empty is none.
        plan: Of its data set.
        pool: Where identities are told.
    """

    def __init__(self, name: str, plan: DataSetPlan, pool: Executor) -> None:
        self.name, self._plan, self._pool = name, plan, pool
        self._parts: list[Part] = []
        self._split = ""
        self._frames: Any = None
        self._digests: dict[str, list[bytes]] = {}
        self._told: OrderedDict[int, Future[Told | str]] = OrderedDict()
        self._complete: OrderedDict[int, dict[str, pa.RecordBatch]] = OrderedDict()

    def known(self, subset: str) -> bool:
        """Whether there is something to compare a subset with: its frames have been read, all of their pictures too."""
        looked_at = {len(own) for own in self._digests.values()} or {self.rows("frames")}
        return bool(self._parts) and (subset == "frames" or looked_at == {self.rows("frames")})

    def read_frames(self, source: ParquetSource, split: str) -> str:
        """Learn from the rows of frames what only they can tell; what is wrong with their number, empty if nothing."""
        names = [*KEYS, *SEEN_ALONE, *(() if self._plan.same_code else ("scene", "landmarks_3d"))]
        names += [name for name in ("texture", *BACKGROUND_COLUMNS, *REFINED_COLUMNS) if name in source.schema.names]
        frames = source.read(names)
        self._split = split
        if self._plan.same_code:
            people = self._plan.people.get(self.name, ())
            config = self._plan.config
            each = (config.expressions + 1, config.views)
            if source.rows != len(people) * each[0] * each[1]:
                return f"{source.rows} rows, the plan has {len(people) * each[0] * each[1]}"
            parts = [Part(number * each[0] * each[1], *each) for number in range(len(people))]
        else:
            parts = _runs(*(frames[name].to_numpy() for name in KEYS))
            if source.rows != sum(part.rows("frames") for part in parts):
                return "the rows of an identity aren't every expression in every view"
        self._frames, self._parts = frames.combine_chunks(), parts
        pictures = {"image", "heatmap", *dense_names(self._plan.dense)} - {*self._plan.unstored("frames")}
        self._digests = {name: [] for name in pictures}
        return ""

    def note_pictures(self, digests: Sequence[Mapping[str, bytes]]) -> None:
        """Learn what the pictures of the next rows of frames are, by their digests."""
        for name, known in self._digests.items():
            known += [own[name] for own in digests]

    def rows(self, subset: str) -> int:
        """How many rows a subset has."""
        return sum(part.rows(subset) for part in self._parts)

    def moved(self, start: int, rows: int) -> list[float]:
        """Millimetres beyond which nothing moved in so many rows of frames; infinity where nobody knows."""
        found: list[float] = []
        for number, first, last in self._overlaps("frames", start, rows):
            told = self._tell(number)
            moved = told.geometry.moved if isinstance(told, Told) else None
            found += [np.inf] * (last - first) if moved is None else moved[first:last].tolist()
        return found + [np.inf] * (rows - len(found))

    def expected(self, subset: str, start: int, rows: int) -> Iterator[tuple[int, pa.RecordBatch | str]]:
        """What so many rows of a subset should hold, identity by identity, each with its place among them.

        A record batch, of which the bytes of a picture are its digest, or nothing where nobody knows them; in frames a
        text that says why an identity can't be told, elsewhere none.
        """
        place = 0
        for number, first, last in self._overlaps(subset, start, rows):
            told = self._tell(number)
            if isinstance(told, Told):
                yield place, self._completed(number, told, subset)[subset].slice(first, last - first)
            elif subset == "frames" and first == 0:
                yield place, told
            place += last - first

    def _overlaps(self, subset: str, start: int, rows: int) -> Iterator[tuple[int, int, int]]:
        """Identities of which rows `start` to `start + rows` of a subset are, with the first and last of their own."""
        before = 0
        for number, part in enumerate(self._parts):
            own = part.rows(subset)
            first, last = max(0, start - before), min(own, start + rows - before)
            if first < last:
                yield number, first, last
            before += own

    def _tell(self, number: int) -> Told | str:
        """One identity as its scenes tell it, or why they can't; the next ones are begun meanwhile."""
        for near in range(number, min(number + AHEAD, len(self._parts))):
            if near not in self._told:
                self._told[near] = self._pool.submit(self._tell_now, near)
        told = self._told[number].result()
        while len(self._told) > KEPT:
            self._told.popitem(last=False)
        return told

    def _tell_now(self, number: int) -> Told | str:
        try:
            part = self._parts[number]
            frames = self._frames.slice(part.start, part.rows("frames"))
            if self._plan.same_code:
                person = self._plan.people[self.name][number]
                place = worn_texture(self._plan.out, frames)
                person = replace(person, texture=place, places=self._plan.places)
                return tell(scenes_of(self._plan.config, person), person, self._plan.provenance)
            texts = frames["scene"].to_pylist()
            scenes = read_scenes(texts, self._plan.resolved)
            place = worn_texture(self._plan.out, frames)
            person = replace(person_of(scenes[0], self._split), texture=place, places=self._plan.places)
            told = tell(scenes, person, self._plan.provenance)
            return self._as_written(told, texts, frames)
        except ValueError as error:  # a RefusedError, too
            return f"its rows can't be told again ({error})"

    def _as_written(self, told: Told, texts: Sequence[str], frames: pa.Table) -> Told:
        """What other code's rows tell: their scenes are the text itself, and the head may have been another."""
        batches = dict(told.rows.batches)
        for subset, own in (("frames", texts), ("identities", [texts[told.rows.front]])):
            place = batches[subset].schema.get_field_index("scene")
            batches[subset] = batches[subset].set_column(place, batches[subset].schema.field(place), pa.array(own))
        told = replace(told, rows=replace(told.rows, batches=batches))
        flat = flat_rows(frames["landmarks_3d"].combine_chunks())
        shape = told.geometry.landmarks_3d.shape
        if flat is None or flat.size != told.geometry.landmarks_3d.size:
            raise ValueError("landmarks_3d has another number of points")
        stored = np.array(flat.reshape(shape))  # torch wants memory that it may write to
        if (np.abs(stored - told.geometry.landmarks_3d) <= LANDMARKS_TOLERANCE).all((1, 2)).any():
            return told
        self._plan.notes[OTHER_HEAD] = None
        seen = seen_landmarks(told.camera, torch.from_numpy(stored))
        return replace(told, geometry=Geometry(stored, *seen, None, None))

    def _completed(self, number: int, told: Told, subset: str) -> dict[str, pa.RecordBatch]:
        """All rows of an identity; those of frames as long as not all of its pictures are known."""
        if number in self._complete:
            return self._complete[number]
        part = self._parts[number]
        place = slice(part.start, part.start + part.rows("frames"))
        frames, geometry = self._frames.slice(part.start, part.rows("frames")), told.geometry
        further = dense_names(self._plan.dense)
        seen = dict.fromkeys(("image", "heatmap", *further), [b""] * len(frames))
        if subset != "frames":
            seen |= {name: own[place] for name, own in self._digests.items()}
        vertices = geometry.neutral_vertices
        measures = Measures(
            landmarks_2d=geometry.landmarks_2d,
            landmarks_3d=geometry.landmarks_3d,
            bbox=geometry.bbox,
            coverage=frames["coverage"].to_numpy(),
            skin_ita=frames["skin_ita_degrees"][0].as_py(),
            neutral_vertices=np.zeros((0, 3), np.float32) if vertices is None else vertices,
            camera=told.camera,
        )
        dense = {name: seen[name] for name in further}
        pictures = Pictures(seen["image"], seen["heatmap"], [b""] * part.expressions, dense)
        units = frames["heatmap_unit_mm"].to_numpy()
        behind, over = self._behind(frames, told.scenes[: part.views]), self._over(frames, told.scenes[0])
        batches = complete_rows(told.rows, measures, pictures, units, behind, over)
        if subset != "frames":
            self._complete[number] = batches
            while len(self._complete) > KEPT:
                self._complete.popitem(last=False)
        return batches

    def _behind(self, frames: pa.Table, scenes: Sequence[Scene]) -> PaintedBehind | None:
        """Whom the configuration names as painter of what stands behind, if an identity's rows say that anybody did."""
        if "background_model" not in frames.column_names or not frames["background_model"][0].as_py():
            return None
        names = ("model", "model_hash", "licence", "scheduler")
        origin = Origin(*(str(self._plan.resolved.get(f"background_{name}", "")) for name in names))
        from pain3d.pipeline.texture.plates import plate_seed

        prompts, seeds = (frames[f"background_{name}"].to_pylist() for name in ("prompt", "seed"))
        if self._plan.same_code:  # other code may have had other seeds; whose prompts it were, a hash alone tells
            seeds = [plate_seed(scene) for scene in scenes]
        return PaintedBehind(origin, {view: (prompts[view], seeds[view]) for view in range(len(scenes))})

    def _over(self, frames: pa.Table, scene: Scene) -> PaintedOver | None:
        """Whom the configuration names as painter over pictures, and those of an identity of which the rows say it."""
        kept = frames["refined"].to_numpy() if "refined" in frames.column_names else np.zeros(len(frames), bool)
        if not kept.any():
            return None
        said = [str(self._plan.resolved.get(f"refine_{name}", "")) for name in ("model", "model_hash", "licence")]
        first, strength = int(kept.argmax()), self._plan.resolved.get("refine_strength")
        how = f"{self._plan.resolved.get('refine_scheduler', '')}, strength {_short(strength)}"
        prompt, seed = (frames[f"refine_{name}"][first].as_py() for name in ("prompt", "seed"))
        if self._plan.same_code:
            from pain3d.pipeline.texture.refiner import asked_of

            asked, seed = asked_of(scene)
            prompt = asked.positive
        return PaintedOver(said[0], said[1], said[2], how, prompt, seed, kept)


def worn_texture(out: Path, frames: pa.Table) -> Path | None:
    """Folder of the texture that the person of some frames wears; None where the skin is procedural.

    Raises:
        RefusedError: There is no such texture in the bank of the data set, or it is damaged.
    """
    name = frames["texture"][0].as_py() if "texture" in frames.column_names else ""
    if not name:
        return None
    if not HASH.fullmatch(name):
        raise RefusedError(f"texture is {quoted(name)}, which is no name of one")
    path = named_file(out, f"{TEXTURES}/{name[:2]}/{name}/{PICTURE}", "texture")
    try:
        check_texture(path.parent)
    except RefusedError as error:
        raise RefusedError(str(error).removeprefix(f"{out}/")) from error
    return path.parent


def _runs(identities: Any, expressions: Any, views: Any) -> list[Part]:
    """The identities of frames whose rows follow each other, by how many different expressions and views they have."""
    if not len(identities):
        return []
    borders = np.flatnonzero(np.diff(identities)) + 1
    found = []
    for first, last in zip([0, *borders], [*borders, len(identities)], strict=True):
        different = (len(set(numbers[first:last].tolist())) for numbers in (expressions, views))
        found.append(Part(int(first), *different))
    return found


def _short(number: object) -> str:
    return f"{number:g}" if isinstance(number, (int, float)) else quoted(number)
