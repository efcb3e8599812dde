"""Knows how a few identities of a data set are rendered again, and their pictures compared with what is stored.

On the class of devices that made the data set every byte must be the same. On another, what is stored without loss is
compared within the tolerances of docs/formats.md, and JPEG isn't: of one level before it, several of a block come out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from pain3d.doors.parquet import open_parquet
from pain3d.doors.pictures import decode_levels
from pain3d.head import Head
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.remaking import PICTURES, Remaker, painted_rows, stored_rows
from pain3d.pipeline.shard_rows import DataSetPlan, worn_texture
from pain3d.random import keyed_generator

if TYPE_CHECKING:
    from pain3d.rendering.frames import RenderSetup

# On another class of devices: see docs/formats.md. 99.9 % of a data set's levels are within one of each other in
# Triton's interpreter; one identity is a small part of it, so a hundredth of its own may be beyond.
TOLERANCES: Final = {"coverage": 5e-3, "skin_ita_degrees": 0.1, "heatmap_unit_mm": 0.0}
BEYOND: Final = 1e-2


class SampledChecks:
    """Renders identities of a data set again.

    Args:
        plan: Of the data set, which the same code made.
        pool: Where they are rendered.
        count: How many identities, spread evenly over the plan.

    Attributes:
        notes: What can't be compared, and why.
    """

    def __init__(self, plan: DataSetPlan, pool: Executor, count: int) -> None:
        self._plan, self._pool = plan, pool
        self.notes: list[str] = []
        self._again = Remaker(plan)
        self._sample = sampled(plan.people, plan.provenance.seed, count)
        if not plan.same_code:
            self.notes.append("other code made it, so no picture can be rendered again: --sample compared nothing")
        elif plan.places is not None:
            self._sample = []
            self.notes.append("places of one's own light it, which it does not hold: --sample compared nothing")
        elif not self._again.alike:
            self.notes.append(f"{self._again.reason}: no JPEG of the sample was compared")

    def check(self) -> Iterator[str]:
        """What is wrong with the identities of the sample; findings begin with a file and a row."""
        from pain3d.rendering.frames import render_setup

        if self._sample:
            setup = render_setup(Head.default())
            each = self._pool.map if self._again.device == "cpu" else map  # a device works for one at a time
            for found in each(lambda place: self._check(place[0], place[1], setup), self._sample):
                yield from found

    def _check(self, shard: str, number: int, setup: RenderSetup) -> list[str]:
        config = self._plan.config
        counts = {"frames": (config.expressions + 1) * config.views, "expressions": config.expressions + 1}
        found, batches = [], None
        for subset, rows in counts.items():
            path = f"data/{subset}/{shard}.parquet"
            try:
                source = open_parquet(self._plan.out / path, path)
                stored = stored_rows(source, number * rows, rows, self._plan.unstored(subset))
                if batches is None:
                    person = replace(self._plan.people[shard][number], texture=worn_texture(self._plan.out, stored))
                    batches = self._again.remake(person, setup)
                for row, words in self._compare(stored, batches[subset]):
                    found.append(f"{path} row {number * rows + row} ({stored['sample_id'][row]}): {words}")
            except ValueError as error:  # a RefusedError, too
                return [*found, f"{path}: identity {number} of it can't be rendered again ({error})"]
        return found

    def _compare(self, stored: pa.Table, made: pa.RecordBatch) -> Iterator[tuple[int, str]]:
        for name in TOLERANCES.keys() & set(stored.column_names):
            tolerance = 0.0 if self._again.alike else TOLERANCES[name]
            found, right = stored[name].to_numpy(), made.column(name).to_numpy()
            for row in np.flatnonzero(~(np.abs(found - right) <= tolerance)).tolist():
                yield row, f"{name} is {found[row]:g}, rendered again it is {right[row]:g}"
        for name, bits in PICTURES.items():
            if name in stored.column_names:
                contents = [[file["bytes"] for file in table.column(name).to_pylist()] for table in (stored, made)]
                pairs = list(zip(*contents, strict=True))
                if self._again.alike:
                    over = painted_rows(stored) if name == "image" else [False] * len(pairs)
                    differ = [row for row, (one, other) in enumerate(pairs) if one != other and not over[row]]
                    yield from ((row, f"{name} isn't what its scene renders to") for row in differ)
                elif bits and (beyond := np.mean([_beyond(one, other, bits) for one, other in pairs])) > BEYOND:
                    yield 0, f"{name}, with those of the same person, differs from what scenes render to ({beyond:.1%})"


def sampled(people: Mapping[str, Sequence[PlannedIdentity]], seed: int, count: int) -> list[tuple[str, int]]:
    """Shard and place in it of so many identities: the plan is cut into as many parts, and one drawn of each."""
    everybody = [(shard, number) for shard, members in people.items() for number in range(len(members))]
    parts = min(count, len(everybody))
    drawn = keyed_generator(seed, "verify/sample", count).random(parts)
    return [everybody[int((part + share) * len(everybody) / parts)] for part, share in enumerate(drawn.tolist())]


def _beyond(one: bytes, other: bytes, bits: int) -> float:
    """Share of the levels of two pictures that are more than one apart; 1 where their sizes differ."""
    levels: list[Any] = [decode_levels(content, bits).astype(np.int32) for content in (one, other)]
    return float((np.abs(levels[0] - levels[1]) > 1).mean()) if levels[0].shape == levels[1].shape else 1.0
