"""Knows what a model predicted for which picture, beside the truth, and keeps it as a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pain3d.console.refused import RefusedError
from pain3d.files import write_durably
from pain3d.training.data.samples import THRESHOLDS, UNITS

if TYPE_CHECKING:
    from pain3d.training.data.samples import Samples

Floats = npt.NDArray[np.float32]
STD: Final = "PSPI_std"  # a column that is there where the model says it
SLICE: Final = "slice: "  # begins the names of the columns that hold slices
WIDTHS: Final = {"au": len(UNITS), "au_true": len(UNITS), "binary": len(THRESHOLDS), "binary_true": len(THRESHOLDS)}


@dataclass(frozen=True)
class Predictions:
    """N pictures: the truth, NaN where it isn't known, and what a model predicted, which is always finite.

    Args:
        ids: [N] unique names of the pictures.
        subject: [N] names of the people.
        pspi_true: [N] PSPI 0-16.
        pspi: [N] predicted PSPI.
        au_true: [N, 6] intensities in the order of ``UNITS``: 0-5, AU43 0 or 1.
        au: [N, 6] predicted.
        binary_true: [N, 3] 0 or 1: PSPI is at least 1, 2, 3.
        binary: [N, 3] predicted probabilities.
        pain_true: [N] 0 or 1.
        neutral: [N] whether the picture may serve as its person's neutral reference.
        slices: Words per picture, as ``{"sex": (...)}``.
        pspi_std: [N] how far off ``pspi`` may be, at least 0; all NaN, or left out, where the model doesn't say.

    Raises:
        RefusedError: Columns don't fit each other, a name is there twice, or a prediction isn't a finite number.
    """

    ids: tuple[str, ...]
    subject: tuple[str, ...]
    pspi_true: Floats
    pspi: Floats
    au_true: Floats
    au: Floats
    binary_true: Floats
    binary: Floats
    pain_true: Floats
    neutral: npt.NDArray[np.bool_]
    slices: dict[str, tuple[str, ...]] = field(default_factory=dict)
    pspi_std: Floats = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        count = len(self.ids)
        if not len(self.pspi_std):
            object.__setattr__(self, "pspi_std", np.full(count, np.nan, np.float32))
        for name in (f.name for f in fields(self) if f.name not in ("ids", "slices")):
            column = getattr(self, name)
            shape = (len(column),) if name == "subject" else column.shape
            wanted = (count, WIDTHS[name]) if name in WIDTHS else (count,)
            if shape != wanted:
                raise RefusedError(f"predictions: {name} must be {list(wanted)}, got {list(shape)}")
        for word, column in self.slices.items():
            if len(column) != count:
                raise RefusedError(f"predictions: slice '{word}' must be [{count}], got [{len(column)}]")
        if len(set(self.ids)) < count:
            twice = next(name for place, name in enumerate(self.ids) if name in self.ids[:place])
            raise RefusedError(f"predictions: '{twice}' is there twice")
        for name in ("pspi", "au", "binary"):
            fine = np.isfinite(getattr(self, name))
            bad = ~(fine.all(1) if name in WIDTHS else fine)
            if bad.any():
                raise RefusedError(f"predictions: {name} of '{self.ids[int(bad.argmax())]}' isn't a finite number")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def people(self) -> tuple[str, ...]:
        """Every subject once, in the order of the alphabet."""
        return tuple(sorted(set(self.subject)))

    @property
    def subject_index(self) -> npt.NDArray[np.int64]:
        """[N] place of each picture's subject in ``people``."""
        return np.unique(np.array(self.subject, object), return_inverse=True)[1].astype(np.int64)

    def only(self, rows: npt.ArrayLike) -> Predictions:
        """A selection.

        Args:
            rows: [M] numbers of rows, or [N] booleans.
        """
        wanted = np.asarray(rows)
        chosen = np.flatnonzero(wanted) if wanted.dtype == np.bool_ else wanted.astype(np.int64)
        arrays = {
            f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name not in ("ids", "subject", "slices")
        }
        return Predictions(
            ids=tuple(self.ids[row] for row in chosen),
            subject=tuple(self.subject[row] for row in chosen),
            slices={word: tuple(column[row] for row in chosen) for word, column in self.slices.items()},
            **arrays,
        )


def predictions_of(
    samples: Samples,
    rows: npt.ArrayLike,
    pspi: npt.ArrayLike,
    au: npt.ArrayLike,
    binary: npt.ArrayLike,
    pspi_std: npt.ArrayLike = (),
) -> Predictions:
    """Predictions for some rows of a data set.

    Args:
        samples: The labels.
        rows: [M] rows that were predicted.
        pspi: [M] 0-16.
        au: [M, 6].
        binary: [M, 3] probabilities.
        pspi_std: [M], or nothing where the model doesn't say.
    """
    chosen = np.asarray(rows, np.int64)
    truth = samples.pspi[chosen].astype(np.float32)
    binary_true = np.stack([np.where(np.isnan(truth), np.nan, truth >= least) for least in THRESHOLDS], 1)
    # A data set without PSPI may still know whether there is pain: that is what PSPI >= 1 stands for.
    binary_true[:, 0] = np.where(np.isnan(truth), samples.pain[chosen], binary_true[:, 0])
    return Predictions(
        ids=tuple(samples.ids[row] for row in chosen),
        subject=tuple(samples.subjects[samples.subject[row]] for row in chosen),
        pspi_true=truth,
        pspi=np.asarray(pspi, np.float32),
        au_true=samples.au[chosen].astype(np.float32),
        au=np.asarray(au, np.float32),
        binary_true=binary_true.astype(np.float32),
        binary=np.asarray(binary, np.float32),
        pain_true=samples.pain[chosen].astype(np.float32),
        neutral=samples.neutral[chosen],
        slices={word: tuple(column[row] for row in chosen) for word, column in samples.slices.items()},
        pspi_std=np.asarray(pspi_std, np.float32),
    )


def constant_like(constant: Predictions, other: Predictions) -> Predictions:
    """The same for other pictures: what whoever says ``constant`` of every picture says of those of ``other``."""
    pspi, au, binary = (np.repeat(one[:1], len(other), 0) for one in (constant.pspi, constant.au, constant.binary))
    return replace(other, pspi=pspi, au=au, binary=binary, pspi_std=np.full_like(pspi, np.nan))


def mean_predictor(samples: Samples, learned: npt.ArrayLike, tested: npt.ArrayLike) -> Predictions:
    """What somebody predicts who knows the training labels' means and never looks at a picture.

    Args:
        samples: The labels.
        learned: Rows whose means are taken; a mean that none of them knows is 0.
        tested: Rows that are predicted.
    """
    rows = np.asarray(tested, np.int64)
    known = predictions_of(samples, learned, *_constant(len(np.asarray(learned)), 0.0, np.zeros(6), np.zeros(3)))
    means = [_known_mean(column) for column in (known.pspi_true, known.au_true, known.binary_true)]
    return predictions_of(samples, rows, *_constant(len(rows), float(means[0]), means[1], means[2]))


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """All pictures of several predictions; only the slices that all of them have stay."""
    words = [word for word in parts[0].slices if all(word in part.slices for part in parts)]
    texts = ("ids", "subject")
    joined: dict[str, Any] = {name: tuple(text for part in parts for text in getattr(part, name)) for name in texts}
    for name in (f.name for f in fields(Predictions) if f.name not in (*texts, "slices")):
        joined[name] = np.concatenate([getattr(part, name) for part in parts])
    return Predictions(**joined, slices={word: tuple(w for part in parts for w in part.slices[word]) for word in words})


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a Parquet file, a row a picture; another program can read it without ours."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, Any] = {"id": list(predictions.ids), "subject": list(predictions.subject)}
    for name, column in _numbers(predictions).items():
        columns[name] = column
    columns["neutral"] = predictions.neutral
    if np.isfinite(predictions.pspi_std).any():
        columns[STD] = predictions.pspi_std
    for word, words in predictions.slices.items():
        columns[SLICE + word] = list(words)
    content = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), content, compression="zstd")
    write_durably(path, content.getvalue())


def read_predictions(path: Path) -> Predictions:
    """Read what ``write_predictions`` wrote.

    Raises:
        RefusedError: The file isn't there, isn't Parquet, or lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
    except FileNotFoundError:
        raise RefusedError(f"{path}: no such file") from None
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise RefusedError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
    missing = [name for name in ("id", "subject", "neutral", *_number_names()) if name not in table.column_names]
    if missing:
        raise RefusedError(f"{path}: not predictions of pain3d, column '{missing[0]}' is missing")
    number = {name: table[name].to_numpy().astype(np.float32) for name in _number_names()}
    wide = {
        "au_true": [f"{unit}_true" for unit in UNITS],
        "au": list(UNITS),
        "binary_true": [f"PSPI>={least}_true" for least in THRESHOLDS],
        "binary": [f"PSPI>={least}" for least in THRESHOLDS],
    }
    return Predictions(
        ids=tuple(table["id"].to_pylist()),
        subject=tuple(table["subject"].to_pylist()),
        pspi_true=number["PSPI_true"],
        pspi=number["PSPI"],
        pain_true=number["pain_true"],
        neutral=table["neutral"].to_numpy().astype(bool),
        slices={
            name.removeprefix(SLICE): tuple(table[name].to_pylist())
            for name in table.column_names
            if name.startswith(SLICE)
        },
        pspi_std=table[STD].to_numpy().astype(np.float32) if STD in table.column_names else np.empty(0, np.float32),
        **{name: np.stack([number[column] for column in columns], 1) for name, columns in wide.items()},
    )


def _numbers(predictions: Predictions) -> dict[str, Floats]:
    columns = {"PSPI_true": predictions.pspi_true, "PSPI": predictions.pspi, "pain_true": predictions.pain_true}
    for place, unit in enumerate(UNITS):
        columns[f"{unit}_true"], columns[unit] = predictions.au_true[:, place], predictions.au[:, place]
    for place, least in enumerate(THRESHOLDS):
        columns[f"PSPI>={least}_true"] = predictions.binary_true[:, place]
        columns[f"PSPI>={least}"] = predictions.binary[:, place]
    return {name: np.ascontiguousarray(columns[name], np.float32) for name in _number_names()}


def _number_names() -> list[str]:
    names = ["PSPI", *UNITS, *(f"PSPI>={least}" for least in THRESHOLDS)]
    return [*(column for name in names for column in (f"{name}_true", name)), "pain_true"]


def _known_mean(column: Floats) -> npt.NDArray[np.float64]:
    """Mean over the rows without NaN; 0 where there is none."""
    known = np.isfinite(column)
    return np.asarray(np.where(known, column, 0).sum(0) / np.maximum(known.sum(0), 1), float)


def _constant(
    count: int, pspi: float, au: npt.NDArray[np.float64], binary: npt.NDArray[np.float64]
) -> tuple[Floats, Floats, Floats]:
    """The same prediction for every picture."""
    return (
        np.full(count, pspi, np.float32),
        np.tile(au.astype(np.float32), (count, 1)),
        np.tile(binary.astype(np.float32), (count, 1)),
    )
