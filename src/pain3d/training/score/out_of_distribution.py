"""Knows the out-of-distribution (OOD) score: how far a face lies from those that a model learned from.

A network predicts something for whatever it is shown. Its features of the training pictures are taken as a Gaussian;
how far a new picture's lie out is their Mahalanobis distance (Lee et al. 2018, NeurIPS, "A simple unified framework for
detecting out-of-distribution samples"), which is judged by the distances of validation people whom the model never
learned from.
A picture may lie within and its prediction be wrong all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from pain3d.console.refused import RefusedError, one_line, quoted
from pain3d.files import write_durably

NAME: Final = "out_of_distribution.safetensors"  # beside the model's weights
OLD_NAME: Final = "familiarity.safetensors"  # of the same content
STEPS: Final = 1001  # distances that are kept, one a per mille
OUTLIER: Final = 0.99  # quantile of the held-out distances above which a face is an outlier
LEAST: Final = 2  # pictures to measure a spread
Fitted = dict[str, Tensor]


@dataclass(frozen=True)
class OodScore:
    """How far a face lies from those that a model learned from.

    Attributes:
        distance: Mahalanobis distance of its features, divided by the root of their number.
        quantile: Share of held-out pictures that lie nearer, 0–1.
        outlier: Whether it lies farther out than OUTLIER of them.
        threshold: The distance from which on it does.
    """

    distance: float
    quantile: float
    outlier: bool
    threshold: float


def fit_ood(features: Tensor, held_out: Tensor) -> Fitted:
    """Fit the distribution of a model's features.

    Args:
        features: [N, D] of training pictures, the mean of `Outputs.tokens` over L.
        held_out: [M, D] of pictures of people whom the model didn't learn from.

    Returns:
        ``mean`` [D], ``precision`` [D, D] and ``quantiles`` [STEPS] of the held-out distances, float32.

    Raises:
        ValueError: Too few pictures, or widths that differ.
    """
    if features.ndim != 2 or held_out.ndim != 2 or features.shape[1] != held_out.shape[1]:
        raise ValueError(f"features and held_out must be [N, D] and [M, D], got {features.shape}, {held_out.shape}")
    if len(features) < LEAST or not len(held_out):
        raise ValueError(f"a spread takes {LEAST} pictures and a held-out one, got {len(features)} and {len(held_out)}")
    features = features.double()
    mean = features.mean(0)
    covariance = shrunk_covariance(features)
    # Features that never vary have no spread to be measured in: a millionth of the mean one keeps the inverse finite.
    floor = 1e-6 * covariance.diagonal().mean().clamp_min(1e-12)
    precision = torch.linalg.inv(covariance + floor * torch.eye(len(mean), dtype=torch.float64))
    fitted = {"mean": mean.float(), "precision": ((precision + precision.T) / 2).float().contiguous()}
    steps = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    distances = _distances(fitted, held_out)
    return {**fitted, "quantiles": torch.quantile(distances, steps).float().contiguous()}


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
    """The score of each of B faces; `features` [B, D] as those that were fitted.

    Raises:
        ValueError: Features of another width.
    """
    width = len(fitted["mean"])
    if features.ndim != 2 or features.shape[1] != width:
        raise ValueError(f"features must be [B, {width}], got {list(features.shape)}")
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
    if shapes != {"mean": [width], "precision": [width, width], "quantiles": [STEPS]}:
        raise RefusedError(f"{path}: not what pain3d writes, it holds {quoted(shapes)}")
    if not all(bool(tensor.isfinite().all()) for tensor in fitted.values()):
        raise RefusedError(f"{path}: holds a number that is not finite")
    return fitted


def _distances(fitted: Fitted, features: Tensor) -> Tensor:
    """Distances [B], float64, of features [B, D]."""
    about = features.detach().cpu().double() - fitted["mean"].double()
    squared = torch.einsum("bi,ij,bj->b", about, fitted["precision"].double(), about)
    return (squared.clamp_min(0) / about.shape[1]).sqrt()
