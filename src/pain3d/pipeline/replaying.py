"""Knows how one row of a finished data set is made again of what the data set carries, and compared with what it holds.

Its scenes are those of the plan where this code made the data set, else those that its rows hold. All of the identity
is rendered, as when it was made. What a model painted isn't made again: the data set doesn't hold the model.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pain3d.console.refused import MOST_QUOTED, RefusedError, printable, quoted
from pain3d.doors.parquet import open_parquet
from pain3d.files import make_folders, write_inside
from pain3d.pipeline.column_comparison import differing_rows
from pain3d.pipeline.data_set import DataSet, open_data_set
from pain3d.pipeline.derivation import person_of, read_scenes
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.remaking import Remaker, painted_rows, stored_rows
from pain3d.pipeline.row_checks import PAINTED, TOLERANCES
from pain3d.pipeline.shard_rows import DataSetPlan, worn_texture
from pain3d.pipeline.synthesis import scenes_of
from pain3d.pipeline.workers import limited_threads
from pain3d.provenance import code_version, pain3d_version
from pain3d.records import arrow_schema

IMAGES: Final = ("image", "neutral_image")  # in which a model may have had a part
LABELS: Final = "labels"
WITH_ALL: Final = ("frames", "expressions")  # subsets in which all names are
NEAREST: Final = 3  # names that are said where nobody has the one that was asked for


class Compared(NamedTuple):
    """What became of one picture of a row, or of all that is no picture.

    Attributes:
        subset: Whose row.
        what: The picture's column, or ``labels``.
        same: Whether it is what is stored; None where it isn't made again.
        words: The same for a reader.
    """

    subset: str
    what: str
    same: bool | None
    words: str


@dataclass(frozen=True)
class Replayed:
    """A row that was made again.

    Attributes:
        name: Its sample_id.
        compared: Subset by subset, picture by picture.
        reasons: Why bytes may differ although nobody changed any: another version, code or class of devices.
        files: The pictures that were made, by the names that they have in the data set.
    """

    name: str
    compared: list[Compared]
    reasons: list[str]
    files: dict[str, bytes]

    @property
    def differing(self) -> list[str]:
        """What differs."""
        return [f"{part.what} of {part.subset}" for part in self.compared if part.same is False]


def replay(out: Path, name: str, to: Path | None = None) -> Replayed:
    """Make a row of a data set again.

    Args:
        out: Folder of the data set.
        name: sample_id of a row of frames, whose row of pairs is compared too, or of a row of expressions.
        to: Folder for the pictures that were made; None is none.

    Raises:
        RefusedError: There is no such data set or row, or it can't be read or made again; or the folder can't be.
    """
    data = open_data_set(out)
    plan = DataSetPlan(out, data.resolved)
    found = _rows_named(data, name)
    if to is not None and to.resolve().is_relative_to(out.resolve()):
        raise RefusedError(f"{to}: lies in the data set, which isn't changed")
    again = Remaker(plan)
    with limited_threads(1):
        try:
            batches = again.remake(_person(plan, *next(iter(found.items()))))
        except ValueError as error:  # a RefusedError, too
            raise RefusedError(f"{out}: {quoted(name)} can't be made again: {error}") from error
    compared: list[Compared] = []
    files: dict[str, bytes] = {}
    for subset, (path, row) in found.items():
        unstored = plan.unstored(subset)
        stored = stored_rows(open_parquet(out / path), row, 1, unstored)
        made = batches[subset].filter(pc.equal(batches[subset]["sample_id"], name))  # pyright: ignore[reportAttributeAccessIssue]
        if len(made) != 1:
            raise RefusedError(f"{out / path}: row {row} is named {quoted(name)}, but none of its scenes is")
        pictures = [name for name in unstored if pa.types.is_struct(made.schema.field(name).type)]
        for part, file in (*_made_alone(subset, made.select(pictures)), *_compare(subset, stored, made)):
            compared.append(part)
            files |= file
    if to is not None:
        make_folders(to)
        for file_name, content in files.items():
            write_inside(to, file_name, content)
    return Replayed(name, compared, _reasons(plan, again), files)


def _rows_named(data: DataSet, name: str) -> dict[str, tuple[str, int]]:
    """Subset → file and row in it; refuses a name that nobody has."""
    places = {subset: data.find(subset, name) for subset in ("frames", "pairs", "expressions")}
    found = {subset: place for subset, place in places.items() if place is not None}
    if not found:
        known = [known for subset in WITH_ALL for known in data.columns(subset, ["sample_id"])["sample_id"]]
        near = difflib.get_close_matches(name[:MOST_QUOTED], known, n=NEAREST) or known[:NEAREST]
        raise RefusedError(f"{data.out}: no row is named {quoted(name)}; nearest are {', '.join(map(printable, near))}")
    return found


def _person(plan: DataSetPlan, subset: str, place: tuple[str, int]) -> PlannedIdentity:
    """Who is in a row of a subset, with all scenes. Raises ValueError if they can't be told."""
    path, row = place
    shard, split = PurePosixPath(path).stem, PurePosixPath(path).name.partition("-")[0]
    number = _read(plan, subset, path, ["identity_id"])["identity_id"][row].as_py()
    told = ["identity_id", *(() if plan.same_code else ("scene",))]
    frames = _read(plan, "frames", f"data/frames/{shard}.parquet", told, "texture")
    frames = frames.filter(pc.equal(frames["identity_id"], number))  # pyright: ignore[reportAttributeAccessIssue]
    if not len(frames):
        raise RefusedError(f"frames have no identity {number}")
    texture = worn_texture(plan.out, frames)
    if plan.same_code:
        person = next((one for one in plan.people.get(shard, ()) if one.identity_id == number), None)
        if person is None:
            raise RefusedError(f"the plan has no identity {number} in {shard}")
        person = replace(person, texture=texture)
        scenes = scenes_of(plan.config, replace(person, places=plan.places))
    else:
        scenes = tuple(read_scenes(frames["scene"].to_pylist(), plan.resolved))
        person = replace(person_of(scenes[0], split), texture=texture)
    own = () if plan.places is None else plan.places.names
    light = next((scene.light.name for scene in scenes if scene.light.name in own), None)
    if light is not None:
        raise RefusedError(f"the place {light} lights it, which the data set doesn't hold")
    return replace(person, scenes=scenes)


def _read(plan: DataSetPlan, subset: str, path: str, columns: list[str], later: str = "") -> pa.Table:
    """Some columns of a file, and one that older data sets lack if it is there."""
    source = open_parquet(plan.out / path)
    wanted = [*columns, *(name for name in (later,) if name in source.schema.names)]
    source.check(arrow_schema(subset, plan.dense), wanted)
    return source.read(wanted)


def _made_alone(subset: str, made: pa.RecordBatch) -> Iterator[tuple[Compared, dict[str, bytes]]]:
    """The pictures of a row of which the data set stores none, each with its file."""
    for name in made.schema.names:
        file = made[name][0].as_py()
        words = f"not stored, {len(file['bytes']):,} bytes made"
        yield Compared(subset, name, None, words), {file["path"]: file["bytes"]}


def _compare(subset: str, stored: pa.Table, made: pa.RecordBatch) -> Iterator[tuple[Compared, dict[str, bytes]]]:
    """What became of a row, part by part, each with the file that was made."""
    over, labels = painted_rows(stored)[0], []
    for name in stored.column_names:
        if name not in made.schema.names or stored.schema.field(name).type != made.schema.field(name).type:
            labels.append(name)
        elif pa.types.is_struct(made.schema.field(name).type):
            if over and name in IMAGES:
                why = "not made again: a model painted in it, which the data set doesn't hold"
                yield Compared(subset, name, None, why), {}
                continue
            found, right = (table[name][0].as_py() for table in (stored, made))
            sizes = f"{len(found['bytes']):,} bytes stored, {len(right['bytes']):,} made"
            same = found["bytes"] == right["bytes"]
            words = f"byte-identical, {len(right['bytes']):,} bytes" if same else f"differs, {sizes}"
            yield Compared(subset, name, same, words), {right["path"]: right["bytes"]}
            if found["path"] != right["path"]:
                labels.append(f"{name}.path")
        elif not (over and name in PAINTED):
            own, right, tolerance = stored[name].combine_chunks(), made[name], TOLERANCES.get(name, 0.0)
            labels += [name for _ in differing_rows(own, right, tolerance)]
    words = f"differ in {', '.join(labels)}" if labels else f"identical, {len(stored.column_names)} columns"
    yield Compared(subset, LABELS, not labels, words), {}


def _reasons(plan: DataSetPlan, again: Remaker) -> list[str]:
    here = {"pain3d_version": pain3d_version(), "code_version": code_version()}
    made = {name: plan.resolved[name] for name in here}
    found = [f"{name} is {quoted(made[name])}, here {quoted(here[name])}" for name in here if made[name] != here[name]]
    return found if again.alike else [*found, again.reason]
