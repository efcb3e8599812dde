"""Knows how an identity of a finished data set is made again, beside what is stored of it.

It takes the class of devices that made the data set where there is one here: on it every byte must be the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from pain3d.console.refused import RefusedError
from pain3d.console.settings import checked, with_content
from pain3d.doors.parquet import ParquetSource
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.run import device_class
from pain3d.pipeline.shard_rows import DataSetPlan
from pain3d.pipeline.synthesis import synthesise_identity

if TYPE_CHECKING:
    from pain3d.rendering.frames import RenderSetup

PICTURES: Final = {"image": 0, "heatmap": 8, "frontal_heatmap": 0, "depth": 16, "parts": 8}  # bits; 0 is JPEG
PAINTED: Final = ("refined", "background_model")  # columns: of such rows the image is a painter's, too
ENCODED: Final = ("dense", "quality")  # fields that say what becomes of pixels, whatever the scenes are


class Remaker:
    """Makes identities of a data set again.

    Args:
        plan: Of the data set.

    Attributes:
        device: The class of devices that it takes.
        alike: Whether that is the one that made the data set.
        reason: Where it isn't, which two they are; else empty.
    """

    def __init__(self, plan: DataSetPlan) -> None:
        made = plan.resolved.get("device_class")
        self._plan = plan
        self.device = device_class("auto" if made == "cuda" else "cpu")
        self.alike = self.device == made
        self.reason = "" if self.alike else f"made on {made}, rendered again on {self.device}"

    def remake(self, person: PlannedIdentity, setup: RenderSetup | None = None) -> Mapping[str, pa.RecordBatch]:
        """All rows of an identity by subset, made again with pictures, and without those who paint behind and over it.

        Args:
            person: Whom; where other code made the data set, with its scenes.
            setup: Of the default head, on the CPU; None makes one.

        Raises:
            RefusedError: No run has such a configuration.
        """
        known = self._plan.config if self._plan.same_code else _other_config(self._plan.resolved)
        config = replace(known, pictures=True)
        if self.device == "cpu":
            return synthesise_identity(config, person, self._plan.provenance, setup).batches
        import torch

        from pain3d.pipeline.device_synthesis import synthesise_on

        (made,) = synthesise_on(torch.device(self.device), config, [person], self._plan.provenance, 1, {})
        return made.batches


def _other_config(resolved: Mapping[str, Any]) -> SynthConfig:
    held = {name: resolved[name] for name in ENCODED if name in resolved}
    return with_content(SynthConfig(), held, checked)


def stored_rows(source: ParquetSource, first: int, rows: int, unstored: Collection[str] = ()) -> pa.Table:
    """So many rows of a file, of the row groups that have them, without the columns that the data set leaves empty."""
    names = [name for name in source.schema.names if name not in unstored]
    table = source.read_rows(names, first, first + rows)
    if len(table) != rows:
        raise RefusedError(f"it has no rows {first} to {first + rows - 1}")
    return table


def painted_rows(stored: pa.Table) -> list[bool]:
    """Of each row, whether somebody painted behind or over its picture."""
    columns = [stored[name].to_pylist() for name in PAINTED if name in stored.column_names]
    return [any(row) for row in zip(*columns, strict=True)] if columns else [False] * len(stored)
