"""Knows how torchvision is imported, also where it was built for another torch, for the libraries that import it."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

_kept: list[Any] = []  # schemas live as long as the object that defined them


def import_torchvision() -> None:
    """Import torchvision where it is installed; to be called before timm, diffusers or transformers are imported.

    timm uses one norm layer of it, the others its pictures. The torchvision of PyPI is a CUDA build; beside a CPU build
    of torch its operators don't load, and then its own Python fails to register shapes for `torchvision::nms` and
    `qnms` and can't be imported at all. Where that happens, and only there, the two schemas are defined here, without
    anything behind them: nobody here calls them.
    """
    with contextlib.suppress(ModuleNotFoundError):
        try:
            import torchvision
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
            library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for name in ("nms", "qnms"):
                library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            _kept.append(library)
            import torchvision  # noqa: F401
