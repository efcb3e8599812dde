"""Knows diffusers, and is its door: which pipelines a family of models has, and how one is loaded."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from pain3d.pipeline.texture.model_folder import ModelFolder
from pain3d.pipeline.texture.recipes import SCHEDULERS, Recipe
from pain3d.torchvision_schemas import import_torchvision


@dataclass(frozen=True)
class Family:
    """Pipelines of one kind of model, by their names in diffusers; None where there is none with a condition.

    Attributes:
        paint: From noise.
        inpaint: Where a mask is.
        refine: From a picture.
        control: Class of the ControlNet; None where the base takes the condition.
        multiple: What a picture's sides must be multiples of.
    """

    paint: str
    inpaint: str | None
    refine: str | None
    control: str | None
    multiple: int


FAMILIES: Final = {
    "sd": Family(
        "StableDiffusionControlNetPipeline",
        "StableDiffusionControlNetInpaintPipeline",
        "StableDiffusionControlNetImg2ImgPipeline",
        "ControlNetModel",
        8,
    ),
    "sdxl": Family(
        "StableDiffusionXLControlNetPipeline",
        "StableDiffusionXLControlNetInpaintPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline",
        "ControlNetModel",
        8,
    ),
    "flux": Family("FluxControlPipeline", "FluxControlInpaintPipeline", "FluxControlImg2ImgPipeline", None, 16),
    "flux+control": Family(
        "FluxControlNetPipeline",
        "FluxControlNetInpaintPipeline",
        "FluxControlNetImg2ImgPipeline",
        "FluxControlNetModel",
        16,
    ),
    "zimage": Family("ZImageControlNetPipeline", None, None, "ZImageControlNetModel", 16),
    # Its second ControlNet sees the picture that is to stay beside the condition.
    "zimage+picture": Family(
        "ZImageControlNetPipeline", "ZImageControlNetInpaintPipeline", None, "ZImageControlNetModel", 16
    ),
    "qwen": Family("QwenImageControlNetPipeline", None, None, "QwenImageControlNetModel", 16),
}


def load_pipeline(folder: ModelFolder, recipe: Recipe, device: str, dtype: torch.dtype) -> Any:
    """The pipeline that paints, with ControlNet, scheduler, LoRA and IP-Adapter, on its device."""
    diffusers = quiet_diffusers()
    options = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
    family = FAMILIES[f"{folder.kind}+control" if folder.kind == "flux" and folder.control else folder.kind]
    parts = {}
    if folder.control is not None:
        kind = getattr(diffusers, str(family.control))
        if folder.control.is_file():
            from safetensors.torch import load_file

            control = kind(**recipe.control_settings)
            control.load_state_dict(load_file(folder.control))
            parts["controlnet"] = control.to(dtype)
        else:
            parts["controlnet"] = kind.from_pretrained(folder.control, **options)
    kind = getattr(diffusers, family.paint)
    if folder.weights is None:
        pipeline = kind.from_pretrained(folder.path, variant=folder.variant, **parts, **options)
    else:
        options.pop("use_safetensors")
        pipeline = kind.from_single_file(str(folder.weights), config=str(folder.path), **parts, **options)
    scheduler = getattr(diffusers, SCHEDULERS[recipe.scheduler])
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    if recipe.lora:
        lora = Path(recipe.lora)
        pipeline.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name="pain3d", local_files_only=True)
        pipeline.set_adapters("pain3d", recipe.lora_scale)
    if recipe.ip_adapter:
        adapter = Path(recipe.ip_adapter)
        pipeline.load_ip_adapter(adapter.parent, subfolder="", weight_name=adapter.name, local_files_only=True)
        pipeline.set_ip_adapter_scale(recipe.ip_scale)
    pipeline.to(device)
    for option, wanted in (("enable_slicing", True), ("enable_tiling", recipe.vae_tiling)):
        if wanted and hasattr(pipeline.vae, option):
            getattr(pipeline.vae, option)()
    if recipe.compile:
        net_of(pipeline).compile()
    return pipeline


def load_intrinsics(path: Path, variant: str | None, device: str) -> Any:
    """Marigold's pipeline that says the albedo of pictures, in float32, on its device."""
    kind = quiet_diffusers().MarigoldIntrinsicsPipeline
    pipeline = kind.from_pretrained(
        path, variant=variant, dtype=torch.float32, use_safetensors=True, local_files_only=True
    ).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def quiet_diffusers() -> Any:
    """diffusers, which says nothing but errors, and transformers likewise."""
    import_torchvision()
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    return diffusers


def net_of(pipeline: Any) -> Any:
    """The network that denoises."""
    return pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer


def family_of(pipeline: Any, kind: str) -> Family:
    """The family of a pipeline that is loaded."""
    control: Any = getattr(pipeline, "controlnet", None)
    if kind == "flux" and control is not None:
        return FAMILIES["flux+control"]
    if kind == "zimage" and control.config.control_in_dim > pipeline.transformer.in_channels:
        return FAMILIES["zimage+picture"]
    return FAMILIES[kind]


def fresh_pipeline(pipeline: Any, name: str) -> Any:
    """A pipeline of a name on the weights that are loaded, with a scheduler of its own."""
    import diffusers

    kind = getattr(diffusers, name)
    held, config = pipeline.components, pipeline.config
    wanted = inspect.signature(kind.__init__).parameters
    parts = {key: held[key] if key in held else config[key] for key in wanted if key in held or key in config}
    parts["scheduler"] = type(held["scheduler"]).from_config(held["scheduler"].config)
    fresh = kind(**parts)
    fresh.set_progress_bar_config(disable=True)
    return fresh


def first_sigma(scheduler: Any, sigmas: list[float], tokens: int) -> float:
    """The first of some noise levels, as the pipelines of flow matching shift it for a picture of so many tokens."""
    from diffusers.pipelines.z_image.pipeline_z_image_controlnet import calculate_shift

    own = type(scheduler).from_config(scheduler.config)
    names = ("base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift")
    own.set_timesteps(sigmas=sigmas, mu=calculate_shift(tokens, *(own.config[name] for name in names)))
    return float(own.sigmas[0])
