"""Knows how painted pictures lose their light by a user's model: Marigold's intrinsic image pipeline of diffusers.

In which space a model says albedo stands in its own settings, `target_properties` of model_index.json: the appearance
model says sRGB, the lighting model linear light (their authors in github.com/prs-eth/Marigold/issues/148; diffusers
0.42.1 reads `prediction_space` so, sRGB where it is missing). Pictures go in as sRGB.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pain3d.colour import srgb_to_linear
from pain3d.console.refused import RefusedError, complain, one_line
from pain3d.pipeline.texture.delighting import CLIPPED
from pain3d.pipeline.texture.model_folder import ModelFolder, describe, find_model, read_components
from pain3d.pipeline.texture.paint import MemoryPlan, generator_of, within_memory
from pain3d.pipeline.texture.painter import Origin, PaintingError, chain
from pain3d.pipeline.texture.pipelines import load_intrinsics
from pain3d.pipeline.texture.projection import project
from pain3d.pipeline.texture.views import Seen
from pain3d.skin.photographed import ALBEDO

PIPELINE: Final = "MarigoldIntrinsicsPipeline"
TARGET: Final = "albedo"
SPACES: Final = ("srgb", "linear")
SINGLE: Final = 4  # bytes of a weight: it works in float32 on any device, so that nothing overflows


@dataclass(frozen=True)
class Predicted:
    """What is left of N views without their light; see `delighting.Delit`.

    Attributes:
        albedo: [N, S, S, 3] linear in 0.003–0.95.
        weights: [N, S, S] at least 0: less than before where a picture was clipped.
    """

    albedo: Tensor
    weights: Tensor


class Intrinsics:
    """A pipeline that says the albedo of pictures.

    Attributes:
        name: Last part of its folder or hub id.
        digest: SHA-256 over weights and settings.
        licence: SPDX identifier, or ``unknown``.
    """

    def __init__(self, pipeline: Any, folder: ModelFolder, name: str, plan: MemoryPlan) -> None:
        self.name, self.digest, self.licence = name, folder.digest(), folder.licence
        self._pipeline, self._plan = pipeline, plan
        told = pipeline.config.target_properties
        self._place = told["target_names"].index(TARGET)
        self._linear = told.get(TARGET, {}).get("prediction_space", SPACES[0]) == SPACES[1]

    def joined(self, origin: Origin) -> Origin:
        """What rows say of a painter whose light this one takes out."""
        scheduler = f"{origin.scheduler}, de-lit by {self.name} {self.digest}"
        return replace(origin, licence=chain([origin.licence, self.licence]), scheduler=scheduler)

    def albedo(self, pictures: Tensor, seed: int) -> Tensor:
        """Linear albedo [N, H, W, 3] of pictures [N, H, W, 3] sRGB in 0–1, each by itself and by its own noise.

        Gradients: none.

        Raises:
            PaintingError: It is not finite.
            RefusedError: Out of memory.
        """
        said = []
        for view, picture in enumerate(pictures):
            with within_memory(self._plan):
                shown = picture.permute(2, 0, 1)[None].to(self._pipeline.device)
                targets = self._pipeline(
                    shown, generator=generator_of(seed, "intrinsics", view), output_type="pt", return_dict=False
                )[0]
            said.append(targets[self._place].float().cpu().permute(1, 2, 0))
        found = torch.stack(said)
        if not bool(found.isfinite().all()):
            raise PaintingError(f"{self.name}: its albedo is not a number")
        found = found.clamp(0, 1)
        return found if self._linear else torch.from_numpy(srgb_to_linear(found.numpy()).astype(np.float32))

    def delight(self, pictures: Tensor, lit: Tensor, weights: Tensor, seen: Seen, seed: int) -> Predicted:
        """Take the light out of what N views show of a head's texels.

        Args:
            pictures: [N, H, W, 3] sRGB.
            lit: [N, S, S, 3] their linear light on texels.
            weights: [N, S, S] at least 0, of `project`.
            seen: The views.
            seed: The person's.

        Gradients: none.

        Raises:
            PaintingError: See `albedo`.
        """
        shown = torch.zeros_like(pictures)
        shown[seen.conditions.mask] = self.albedo(pictures, seed)[seen.conditions.mask]
        colours, _ = project(shown, seen, lit.shape[1])
        believed = ((CLIPPED[1] - lit.amax(3)) / (CLIPPED[1] - CLIPPED[0])).clamp(0, 1)  # as the fit believes them
        return Predicted(colours.clamp(*ALBEDO), weights * believed)


def open_intrinsics(model: str, device: str, size: int, *, quiet: bool) -> Intrinsics:
    """Load a model; with its plan of memory on stderr.

    Args:
        model: Folder or hub id.
        device: As torch names it.
        size: Pixels a side of the pictures that the plan is for.
        quiet: Leave out the plan.

    Raises:
        RefusedError: There is none, it can't be loaded, or it is no model that says albedo; names what is wrong.
    """
    path = find_model(model)
    if not path.is_dir():
        raise RefusedError(f"{path}: not a folder of a diffusers model, which --delight takes")
    index, components = read_components(path)
    if index.get("_class_name") != PIPELINE:
        raise RefusedError(f"{path}: a {index.get('_class_name')}; --delight takes a {PIPELINE}")
    _check_settings(path, index)
    folder = describe(path, components, "intrinsics")
    decoded = 4 * 2 * folder.width * size * size * SINGLE
    plan = MemoryPlan(folder.name, folder.parameters, "float32", folder.parameters * SINGLE, decoded)
    try:
        with within_memory(plan):
            pipeline = load_intrinsics(path, folder.variant, device)
    except RefusedError:
        raise
    except Exception as error:  # whatever diffusers may raise: the user asked for it by name
        raise RefusedError(f"{path}: diffusers can't load it ({one_line(error)})") from error
    names = index["target_properties"]["target_names"]
    if pipeline.n_targets != len(names):
        raise RefusedError(f"{path}: its net says {pipeline.n_targets} pictures, its settings name {len(names)}")
    if not quiet:
        complain(str(plan))
    return Intrinsics(pipeline, folder, Path(model).name, plan)


def _check_settings(path: Path, index: dict[str, Any]) -> None:
    """See that a model says albedo, in a space that is known and not up to a scale, and knows its steps and size."""
    told = index.get("target_properties")
    names = told.get("target_names") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(names, list) or TARGET not in names:
        raise RefusedError(f"{path}: no {TARGET} among its targets ({names})")
    of_albedo = told.get(TARGET, {})
    space = of_albedo.get("prediction_space", SPACES[0])
    if space not in SPACES:
        raise RefusedError(f"{path}: its {TARGET} is in the space {space!r}; known are {', '.join(SPACES)}")
    if of_albedo.get("up_to_scale"):
        raise RefusedError(f"{path}: its {TARGET} is up to a scale: how light skin is, it doesn't say")
    for name in ("default_denoising_steps", "default_processing_resolution"):
        if not isinstance(index.get(name), int):
            raise RefusedError(f"{path}: model_index.json names no {name}")
