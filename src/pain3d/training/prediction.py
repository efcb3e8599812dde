"""Knows what a trained model predicts for rows of a data set, in order, and how good that is on validation people."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pain3d.training.data.augmentation import centre_crop
from pain3d.training.data.batches import ordered_batches
from pain3d.training.data.samples import Samples
from pain3d.training.data.store import CropStore
from pain3d.training.evaluation.predictions import Predictions, predictions_of
from pain3d.training.model.both_ways import ask_both_ways
from pain3d.training.model.vitpain import Outputs
from pain3d.training.score.appearance import picture_statistics

BATCH = 256


@torch.no_grad()
def predict(
    model: nn.Module,
    store: CropStore,
    rows: npt.ArrayLike,
    *,
    num_references: int,
    device: torch.device,
    precision: torch.dtype,
    done: Callable[[int], None] = lambda count: None,
) -> tuple[Predictions, Tensor]:
    """Predictions for pictures, and features of each by which strange ones are told.

    Args:
        model: In evaluation mode, on the device; its ``config`` says whether it takes a neutral picture.
        store: The crops; one that holds heat maps shows these instead of pictures.
        rows: [N] of the store's samples.
        num_references: Neutral pictures of each person.
        device: Where the model is.
        precision: float32 or bfloat16.
        done: Called with the number of pictures after each batch.

    Returns:
        N predictions, and their `features_of`, [N, D + STATISTICS].
    """
    config = model.config
    outputs: list[Outputs] = []
    features: list[Tensor] = []
    for raw in ordered_batches(store, rows, BATCH, num_references, bool(config.neutral)):  # type: ignore[union-attr]
        batch = centre_crop(raw, int(config.image_size), device)  # type: ignore[arg-type, union-attr]
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            shown = batch.image if batch.heatmap is None else batch.heatmap
            out = ask_both_ways(model, shown, batch.neutral, batch.neutral_of)
        outputs.append(out)
        features.append(features_of(out.tokens, shown))
        done(len(raw.image))
    pspi, au, binary = (
        torch.cat([part.float().cpu() for part in parts]).numpy()
        for parts in ([o.pspi for o in outputs], [o.au for o in outputs], [o.binary.float().sigmoid() for o in outputs])
    )
    stds = [o.pspi_std.float().cpu() for o in outputs if o.pspi_std is not None]
    spread: npt.ArrayLike = torch.cat(stds).numpy() if stds else ()
    return predictions_of(store.samples, rows, pspi, au, binary, spread), torch.cat(features)


def features_of(tokens: Tensor, seen: Tensor) -> Tensor:
    """The mean of tokens [B, L, D], then the numbers of their pictures [B, 3, S, S]; on the CPU, float32."""
    return torch.cat([tokens.float().mean(1), picture_statistics(seen)], 1).cpu()


def validation_metrics(found: Predictions) -> dict[str, float]:
    """What the loop logs and chooses by.

    ``score`` is better when higher: minus the mean error of PSPI, or where PSPI isn't known that of the chance of pain.
    Both are defined for one person and for labels that don't vary.
    """
    known = ~np.isnan(found.pspi_true)
    if not known.any():
        error = float(np.abs(found.binary[:, 0] - found.pain_true).mean())
        return {"score": -error, "pain_error": error}
    predicted, true = found.pspi[known], found.pspi_true[known]
    error = float(np.abs(predicted - true).mean())
    varies = len(true) > 2 and predicted.std() > 0 and true.std() > 0
    return {
        "score": -error,
        "mae": error,
        "pearson": float(np.corrcoef(predicted, true)[0, 1]) if varies else float("nan"),
        "neutral_mean": float(found.pspi[found.neutral].mean()) if found.neutral.any() else float("nan"),
    }


def split_rows(samples: Samples, split: str) -> npt.NDArray[np.int64]:
    """Rows of a split, possibly none."""
    return np.flatnonzero(np.array(samples.split or ()) == split).astype(np.int64)
