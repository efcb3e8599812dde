"""Knows the out-of-distribution (OOD) score: how far a face lies from those that a model learned from.

A network predicts something for whatever it is shown. Its features of the training pictures are taken as a Gaussian;
how far a new picture's lie out is their Mahalanobis distance (Lee et al. 2018, NeurIPS, "A simple unified framework for
detecting out-of-distribution samples"), which is judged by the distances of validation people whom the model never
learned from. Numbers of the picture itself (`picture_statistics`) are judged in the same way, and the farther of the
two counts: a net learns to overlook what tells a photograph from a rendering.
A picture may lie within and its prediction be wrong all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.files import write_durably

NAME: Final = "out_of_distribution.safetensors"  # beside the model's weights
OLD_NAME: Final = "familiarity.safetensors"  # of the same content
STEPS: Final = 1001  # distances that are kept, one a per mille
# Quantile of the held-out distances above which a face is an outlier. Of the numbers of the picture alone, above it:
# 145 of 147 photographs that packages carry, 136 of 204 of one studio (white, evenly lit), 3 of 80 renderings.
OUTLIER: Final = 0.97
LEAST: Final = 2  # pictures to measure a spread
Fitted = dict[str, Tensor]


@dataclass(frozen=True)
class OodScore:
    """How far a face lies from those that a model learned from.

    Attributes:
        distance: Mahalanobis distance of its features, divided by the root of their number; where the picture's own
            numbers are judged too, the larger of two such distances, each as a part of its own threshold.
        quantile: Share of held-out pictures that lie nearer, 0–1.
        outlier: Whether it lies farther out than OUTLIER of them.
        threshold: The distance from which on it does.
    """

    distance: float
    quantile: float
    outlier: bool
    threshold: float


def fit_ood(features: Tensor, held_out: Tensor, statistics: int = 0) -> Fitted:
    """Fit the distribution of a model's features.

    Args:
        features: [N, D] of training pictures, the mean of `Outputs.tokens` over L, then numbers of the picture.
        held_out: [M, D] of pictures of people whom the model didn't learn from.
        statistics: How many of the D are numbers of the picture, S.

    Returns:
        ``mean`` [D], ``precision`` [D, D] and ``quantiles`` [STEPS] of the held-out distances, float32. With numbers of
        the picture, the precision has a block for the others and one for these, ``widths`` [2] says how wide they are,
        and ``thresholds`` [2] are of their distances.

    Raises:
        ValueError: Too few pictures, or widths that differ.
    """
    if features.ndim != 2 or held_out.ndim != 2 or features.shape[1] != held_out.shape[1]:
        raise ValueError(f"features and held_out must be [N, D] and [M, D], got {features.shape}, {held_out.shape}")
    if len(features) < LEAST or not len(held_out):
        raise ValueError(f"a spread takes {LEAST} pictures and a held-out one, got {len(features)} and {len(held_out)}")
    features = features.double()
    inside = features.shape[1] - statistics
    parts = [features[:, :inside], features[:, inside:]] if statistics else [features]
    precision = features.new_zeros(features.shape[1], features.shape[1])
    for part, block in zip((slice(inside), slice(inside, None)), parts, strict=False):
        precision[part, part] = _precision(block)
    fitted = {"mean": features.mean(0).float(), "precision": precision.float().contiguous()}
    if statistics:
        fitted["widths"] = torch.tensor([inside, statistics])
        fitted["thresholds"] = torch.quantile(_apart(fitted, held_out), OUTLIER, dim=0).clamp_min(1e-12).float()
    steps = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    distances = _distances(fitted, held_out)
    return {**fitted, "quantiles": torch.quantile(distances, steps).float().contiguous()}


def _precision(features: Tensor) -> Tensor:
    """Inverse of the shrunk covariance of features [N, D], symmetric; each feature in its own spread, see below."""
    # Numbers of different units are pulled towards one identity: in their own spreads they are alike.
    # Features that never vary have no spread to be measured in: a thousandth of the mean one keeps the inverse finite.
    spread = features.std(0).clamp_min(1e-3 * features.std(0).mean().clamp_min(1e-6))
    covariance = shrunk_covariance(features / spread)
    floor = 1e-6 * covariance.diagonal().mean().clamp_min(1e-12)
    precision: Tensor = torch.linalg.inv(covariance + floor * torch.eye(len(covariance), dtype=torch.float64))
    return (precision + precision.T) / 2 / spread / spread[:, None]


def shrunk_covariance(features: Tensor) -> Tensor:
    """Covariance [D, D] of features [N, D], pulled towards a multiple of the identity as far as their number demands.

    Ledoit & Wolf 2004, J Multivariate Anal 88: (1 − a) S + a m I with m = tr S / D, d² = ‖S − m I‖²,
    b² = min(d², Σ ‖x xᵀ − S‖² / N²), a = b² / d²; norms divided by D.
    """
    count, width = features.shape
    about = features - features.mean(0)
    covariance = about.T @ about / count
    middle = covariance.diagonal().mean()
    identity = torch.eye(width, dtype=features.dtype)
    spread = (covariance - middle * identity).square().sum() / width
    # Σ ‖x xᵀ − S‖² = Σ ‖x‖⁴ − N ‖S‖²
    noise = (about.square().sum(1).square().sum() - count * covariance.square().sum()) / (width * count**2)
    share = torch.minimum(noise, spread) / spread if spread > 0 else torch.ones((), dtype=features.dtype)
    return (1 - share) * covariance + share * middle * identity


def score_ood(fitted: Fitted, features: Tensor) -> list[OodScore]:
    """The score of each of B faces; `features` [B, D] as those that were fitted, or what was fitted first of them.

    Raises:
        ValueError: Fewer features.
    """
    width = len(fitted["mean"])
    if features.ndim != 2 or features.shape[1] < width:
        raise ValueError(f"features must be [B, {width}] or wider, got {list(features.shape)}")
    features = features[:, :width]
    quantiles = fitted["quantiles"].double()
    threshold = float(torch.quantile(quantiles, OUTLIER))
    return [
        OodScore(
            distance=float(distance),
            quantile=float(torch.searchsorted(quantiles, distance)) / len(quantiles),
            outlier=bool(distance > threshold),
            threshold=threshold,
        )
        for distance in _distances(fitted, features)
    ]


def save_ood(folder: Path, fitted: Fitted) -> None:
    """Write ``out_of_distribution.safetensors`` into a model's folder."""
    from safetensors.torch import save

    write_durably(folder / NAME, save(fitted))


def load_ood(folder: Path) -> Fitted | None:
    """What was fitted for the model in a folder; None where nothing was.

    Raises:
        RefusedError: The file is damaged, or has the name that an older pain3d gave it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / NAME
    if not path.is_file() and (folder / OLD_NAME).is_file():
        raise RefusedError(f"{folder / OLD_NAME}: of an older pain3d, rename it to {NAME}")
    if not path.is_file():
        return None
    try:
        fitted: Fitted = load_file(path)
    except SafetensorError as error:
        raise RefusedError(f"{path}: damaged ({one_line(error)})") from error
    shapes = {name: list(tensor.shape) for name, tensor in fitted.items()}
    width = fitted["mean"].numel() if "mean" in fitted else 0
    wanted = {"mean": [width], "precision": [width, width], "quantiles": [STEPS]}
    split = {**wanted, "widths": [2], "thresholds": [2]}  # the others are from before pictures had numbers
    if shapes not in (wanted, split) or (shapes == split and int(fitted["widths"].sum()) != width):
        raise RefusedError(f"{path}: not what pain3d writes, it holds {quoted(shapes)}")
    if not all(bool(tensor.isfinite().all()) for tensor in fitted.values()):
        raise RefusedError(f"{path}: holds a number that is not finite")
    return fitted


def grown(spread: Tensor, fitted: Fitted, features: Tensor) -> Tensor:
    """How far off the scores [B] of faces with features [B, D] may be: as many times more as they lie beyond usual.

    A spread is fitted to faces like those that a model learned from. What it does not know there it can't have learned,
    so this is no estimate: it is a rule that says less the stranger a face is.
    """
    told = score_ood(fitted, features)
    times = torch.tensor([max(1.0, one.distance / max(one.threshold, 1e-12)) for one in told])
    return spread.cpu() * times


def _distances(fitted: Fitted, features: Tensor) -> Tensor:
    """Distances [B], float64, of features [B, D]; of two kinds the larger, as a part of its threshold."""
    apart = _apart(fitted, features)
    return (apart / fitted["thresholds"].double()).amax(1) if "thresholds" in fitted else apart[:, 0]


def _apart(fitted: Fitted, features: Tensor) -> Tensor:
    """Distances [B, kinds] of each kind of feature alone."""
    about = features.detach().cpu().double() - fitted["mean"].double()
    precision = fitted["precision"].double()
    ends = [0, *fitted["widths"].cumsum(0).tolist()] if "widths" in fitted else [0, about.shape[1]]
    columns = []
    for low, high in pairwise(ends):
        part = about[:, low:high]
        squared = torch.einsum("bi,ij,bj->b", part, precision[low:high, low:high], part)
        columns.append((squared.clamp_min(0) / (high - low)).sqrt())
    return torch.stack(columns, 1)
