"""Knows how a model of diffusers paints the views of a head, and what it takes of memory.

A pass of the net sees `micro_batch` views, whatever else is to be painted, and each view has a generator of its own on
the CPU; so its bytes depend on the person's seed, the view's number and the recipe alone. Views that are to agree are
painted side by side, see `blending`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.pictures import read_picture
from pain3d.pipeline.texture.blending import blend_steps, pack, paint_together
from pain3d.pipeline.texture.condition_pictures import (
    depth_pictures,
    edge_pictures,
    landmark_pictures,
    normal_pictures,
)
from pain3d.pipeline.texture.conditions import Conditions
from pain3d.pipeline.texture.model_folder import ModelFolder, check_file, check_weights, find_model, inspect_model
from pain3d.pipeline.texture.painter import Blend, Origin, PaintingError, Prompt
from pain3d.pipeline.texture.pipelines import family_of, first_sigma, fresh_pipeline, load_pipeline, net_of
from pain3d.pipeline.texture.recipes import SCHEDULERS, SKIN, Recipe
from pain3d.random import keyed_number

CONDITION_PICTURES: Final = {
    "depth": depth_pictures,
    "normals": normal_pictures,
    "edges": edge_pictures,
    "landmarks": landmark_pictures,
}
BLACK: Final = 2 / 255  # a picture without a brighter pixel is black: a safety checker's, or an overflow's
GIGA: Final = 1e9


@dataclass(frozen=True)
class MemoryPlan:
    """What painting will take, in bytes: counted weights, and an estimate of what a pass needs beside them."""

    name: str
    parameters: int
    dtype: str
    weights: int
    pass_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.parameters / GIGA:.2f} billion weights in {self.dtype}, "
            f"{self.weights / GIGA:.1f} GB; about {self.pass_bytes / GIGA:.1f} GB beside them in a pass"
        )


def plan_memory(folder: ModelFolder, recipe: Recipe, dtype: torch.dtype, size: int) -> MemoryPlan:
    """Memory for pictures of size × size.

    The picture decoder's last block is the widest place: it holds about four maps of twice its width at full size. An
    estimate; nothing of it was measured.
    """
    width = torch.empty((), dtype=dtype).element_size()
    decoded = 4 * 2 * folder.width * size * size * width * recipe.micro_batch
    return MemoryPlan(
        folder.name, folder.parameters, str(dtype).removeprefix("torch."), folder.parameters * width, decoded
    )


def open_painter(
    recipe: Recipe,
    model: str | None = None,
    control: str | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    size: int = 1024,
) -> DiffusersPainter:
    """Load a model and make a painter of it.

    Args:
        recipe: How it is used.
        model: Folder or hub id; None takes the recipe's, from the local cache alone.
        control: Likewise of its ControlNet; None takes the folder's `controlnet/`, else the recipe's.
        device: As torch names it.
        dtype: None is float32 on a CPU, else the recipe's.
        size: Pixels a side of the pictures that the plan of memory is for.

    Raises:
        RefusedError: No such model, or it can't be loaded; one line that names the culprit.
    """
    if recipe.kind == SKIN:
        raise RefusedError(
            f"recipe {recipe.name}: of the small model, which takes no other (--model) and paints no views"
        )
    if model is None and recipe.base is None:
        raise RefusedError(f"recipe {recipe.name}: names no model; name one (--model)")
    base = find_model(model or str(recipe.base), recipe.revision, fetch=model is not None)
    if control is None and not (base / "controlnet").is_dir():
        control, fetch = recipe.control, False
    else:
        fetch = True
    settings = Path(recipe.settings) if recipe.settings else None
    folder = inspect_model(base, find_model(control, fetch=fetch) if control else None, settings)
    if folder.kind != recipe.kind:
        raise RefusedError(f"{base}: a model of the kind {folder.kind}, but recipe {recipe.name} is for {recipe.kind}")
    for file in (recipe.lora, recipe.ip_adapter):
        if file is not None:
            check_file(Path(file))
    if recipe.ip_adapter is not None:
        check_weights(Path(recipe.ip_adapter).parent / "image_encoder")
    chosen = getattr(torch, dtype or ("float32" if device == "cpu" else recipe.dtype))
    plan = plan_memory(folder, recipe, chosen, size)
    try:
        with within_memory(plan):
            pipeline = load_pipeline(folder, recipe, device, chosen)
    except RefusedError:
        raise
    except Exception as error:  # whatever diffusers or a model's own code may raise: the user asked for it by name
        raise RefusedError(f"{base}: diffusers can't load it ({one_line(error)})") from error
    return DiffusersPainter(pipeline, recipe, _origin(folder, recipe, Path(model or str(recipe.base)).name), plan)


class DiffusersPainter:
    """A painter whose hands are a pipeline of diffusers; see `painter.Painter`.

    Attributes:
        origin: What every row says of it.
        memory: Its plan for pictures of the size that it was opened for.
        repainted: By seed: why a person was painted again in float32.
    """

    def __init__(self, pipeline: Any, recipe: Recipe, origin: Origin, memory: MemoryPlan) -> None:
        from PIL import Image

        self.origin = origin
        self.memory = memory
        self.repainted: dict[int, str] = {}
        self._pipeline = pipeline
        self._recipe = recipe
        self._family = family_of(pipeline, recipe.kind)
        self._picture = Image.fromarray(read_picture(Path(recipe.ip_picture))) if recipe.ip_picture else None

    def paint(self, conditions: Conditions, prompt: Prompt, seed: int, blend: Blend | None = None) -> Tensor:
        """Paint all views from nothing, [N, H, W, 3]; `blend` is applied to the denoised estimate at every step."""

        def group(views: slice, own: Blend | None) -> Tensor:
            return self._call(self._family.paint, "paint", conditions, prompt, seed, views, own)

        return self._painted(group, conditions, seed, blend)

    def inpaint(self, pictures: Tensor, where: Tensor, conditions: Conditions, prompt: Prompt, seed: int) -> Tensor:
        """Paint anew where [N, H, W] is true, and leave the rest as it is, [N, H, W, 3]."""

        def group(views: slice, own: Blend | None) -> Tensor:
            if self._family.inpaint:
                more = {"image": pictures[views].numpy(), "mask_image": _masks(where[views]), "strength": 1.0}
                return self._call(self._family.inpaint, "inpaint", conditions, prompt, seed, views, own, **more)
            kept = self._encode(pictures[views])
            new = interpolate(where[views][:, None].float(), kept.shape[-2:], mode="area").to(kept) > 0

            def keep(estimate: Tensor) -> Tensor:
                return torch.where(new, estimate, kept.to(estimate))

            return self._call(self._family.paint, "inpaint", conditions, prompt, seed, views, keep)

        painted = self._painted(group, conditions, seed, None)
        return torch.where(where[..., None], painted, pictures)

    def refine(self, pictures: Tensor, conditions: Conditions, prompt: Prompt, seed: int, strength: float) -> Tensor:
        """Paint over pictures [N, H, W, 3]: strength 0 leaves them, 1 paints from nothing; else at least one step."""
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be in 0..1, got {strength}")
        if strength == 0:
            return pictures
        steps = max(self._recipe.steps, math.ceil(1 / strength))

        def group(views: slice, own: Blend | None) -> Tensor:
            if self._family.refine:
                more = {"image": pictures[views].numpy(), "strength": strength, "num_inference_steps": steps}
                return self._call(self._family.refine, "refine", conditions, prompt, seed, views, own, **more)
            sigmas = [1 - i / steps for i in range(steps)][steps - max(1, int(steps * strength)) :]
            latents = self._noised(pictures[views], sigmas, seed, views)
            more = {"latents": latents, "sigmas": sigmas, "num_inference_steps": len(sigmas)}
            return self._call(self._family.paint, "refine", conditions, prompt, seed, views, own, **more)

        return self._painted(group, conditions, seed, None)

    def _painted(
        self, group: Callable[[slice, Blend | None], Tensor], conditions: Conditions, seed: int, blend: Blend | None
    ) -> Tensor:
        """All views, group by group; once more in float32 where that failed and may help."""
        self._check_size(conditions)
        reason = _fault(pictures := self._groups(group, len(conditions.depth), blend))
        dtype = self._dtype()
        if reason and dtype != torch.float32:
            self.repainted[seed] = reason = f"{reason} in {str(dtype).removeprefix('torch.')}"
            with self._in_float32():
                again = _fault(pictures := self._groups(group, len(conditions.depth), blend))
            reason = f"{reason}, and again {again} in float32" if again else None
        if reason:
            raise PaintingError(f"{self.origin.model}, seed {seed}: {reason}")
        return pictures

    def _groups(self, group: Callable[[slice, Blend | None], Tensor], count: int, blend: Blend | None) -> Tensor:
        size = self._recipe.micro_batch
        parts = [slice(first, min(first + size, count)) for first in range(0, count, size)]
        if blend is None:
            return torch.cat([group(views, None) for views in parts])
        return torch.cat(paint_together([partial(group, views) for views in parts], blend))

    def _call(
        self,
        name: str,
        stage: str,
        conditions: Conditions,
        prompt: Prompt,
        seed: int,
        views: slice,
        blend: Blend | None,
        **more: Any,
    ) -> Tensor:
        """One pass over a group of views: pictures [n, H, W, 3] in 0–1, on the CPU."""
        pipeline = fresh_pipeline(self._pipeline, name)
        high, wide = conditions.depth.shape[1:]
        count = views.stop - views.start
        if blend is not None:
            scale = pipeline.vae_scale_factor
            blend_steps(pipeline.scheduler, blend, (high // scale, wide // scale))
        recipe = self._recipe
        takes = inspect.signature(pipeline.__call__).parameters
        shown = CONDITION_PICTURES[recipe.condition](conditions)[views].cpu().numpy() / np.float32(255)
        wanted = {
            "prompt": [prompt.positive] * count,
            "negative_prompt": [prompt.negative] * count,
            "control_image" if "control_image" in takes else "image": shown,
            "height": high,
            "width": wide,
            "num_inference_steps": recipe.steps,
            "true_cfg_scale" if recipe.kind == "qwen" else "guidance_scale": recipe.guidance,
            "controlnet_conditioning_scale": recipe.control_scale,
            "generator": [generator_of(seed, stage, view) for view in range(views.start, views.stop)],
            "output_type": "pt",
            "return_dict": False,
            **({"ip_adapter_image": self._picture} if self._picture is not None else {}),
            **more,
        }
        with within_memory(self.memory):
            made = pipeline(**{key: value for key, value in wanted.items() if key in takes})[0]
        return torch.as_tensor(made).float().cpu().permute(0, 2, 3, 1).clamp(0, 1).contiguous()

    def _dtype(self) -> torch.dtype:
        """Of the net."""
        dtype: torch.dtype = net_of(self._pipeline).dtype
        return dtype

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        before = self._dtype()
        self._pipeline.to(torch.float32)
        try:
            yield
        finally:
            self._pipeline.to(before)

    @torch.no_grad()
    def _encode(self, pictures: Tensor) -> Tensor:
        """Latents [n, C, h, w] of pictures, as Z-Image and Qwen-Image scale them."""
        vae = self._pipeline.vae
        pixels = (2 * pictures.permute(0, 3, 1, 2) - 1).to(vae.device, vae.dtype)
        if self._recipe.kind == "zimage":
            mean, scale = vae.config.shift_factor, vae.config.scaling_factor
            latents: Tensor = vae.encode(pixels).latent_dist.mode()
        else:
            mean = torch.tensor(vae.config.latents_mean).to(pixels)[:, None, None]
            scale = 1 / torch.tensor(vae.config.latents_std).to(pixels)[:, None, None]
            latents = vae.encode(pixels[:, :, None]).latent_dist.mode()[:, :, 0]
        return latents.sub(mean).mul(scale)

    def _noised(self, pictures: Tensor, sigmas: list[float], seed: int, views: slice) -> Tensor:
        """Latents of pictures at the first of some times: x = (1−σ) x₀ + σ ε, σ as the scheduler shifts it."""
        latents = self._encode(pictures).float()
        sigma = first_sigma(self._pipeline.scheduler, sigmas, latents[0, 0].numel() // 4)
        noise = [
            torch.randn(latents.shape[1:], generator=generator_of(seed, "refine/noise", view))
            for view in range(views.start, views.stop)
        ]
        return pack((1 - sigma) * latents + sigma * torch.stack(noise).to(latents), self._recipe.kind == "qwen")

    def _check_size(self, conditions: Conditions) -> None:
        sides, multiple = conditions.depth.shape[1:], self._family.multiple
        if any(side % multiple for side in sides):
            raise RefusedError(
                f"{self.origin.model}: the sides of a view must be multiples of {multiple}, got {sides[1]} × {sides[0]}"
            )


def _origin(folder: ModelFolder, recipe: Recipe, name: str) -> Origin:
    extra = tuple(Path(path) for path in (recipe.lora, recipe.ip_adapter, recipe.ip_picture) if path)
    licence = recipe.licence if folder.licence == "unknown" else folder.licence
    scales = f"guidance {recipe.guidance:g}, {recipe.condition} at {recipe.control_scale:g}"
    return Origin(
        name, folder.digest(extra), licence, f"{SCHEDULERS[recipe.scheduler]}, {recipe.steps} steps, {scales}"
    )


@contextmanager
def within_memory(plan: MemoryPlan) -> Iterator[None]:
    """Where memory runs out the plan is told; raises RefusedError then."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and "allocate memory" not in str(error):  # as torch says it on a CPU
            raise
        raise RefusedError(f"out of memory; smaller views or one view in a pass may help ({plan})") from error


def generator_of(seed: int, stage: str, view: int) -> torch.Generator:
    """The noise of a view, by its key; on the CPU, so that it is the same on any device."""
    return torch.Generator("cpu").manual_seed(keyed_number(seed, f"texture/{stage}", view))


def _masks(where: Tensor) -> list[Any]:
    """Masks [n, H, W] as the pipelines take them."""
    from PIL import Image

    return [Image.fromarray(mask.byte().mul(255).numpy()) for mask in where]


def _fault(pictures: Tensor) -> str | None:
    """What is wrong with pictures [N, H, W, 3], if they can't be used."""
    if not pictures.isfinite().all():
        return "not a number"
    if (pictures.amax((1, 2, 3)) < BLACK).any():
        return "a black picture"
    return None
