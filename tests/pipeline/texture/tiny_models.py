"""Tiny, randomly initialised models of each kind that paints, in the layout of diffusers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from pain3d.torchvision_schemas import import_torchvision

import_torchvision()

WIDTH = 16  # of text and attention


def clip_tokeniser(folder: Path) -> Any:
    """Letters, and letters at a word's end: no merges."""
    from transformers import CLIPTokenizer

    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)


def clip(kind: str = "CLIPTextModel") -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=190,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=WIDTH,
        bos_token_id=188,
        eos_token_id=189,
        pad_token_id=189,
    )
    return getattr(transformers, kind)(config).eval()


def save_image_encoder(folder: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPVisionConfig(**sizes, projection_dim=16, image_size=32, patch_size=16)
    CLIPVisionModelWithProjection(config).save_pretrained(folder)


def vae(channels: int = 4) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        shift_factor=0.1,
        scaling_factor=0.4,
        sample_size=64,
        use_quant_conv=channels == 4,
        use_post_quant_conv=channels == 4,
    ).eval()


def unet(**more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        **{"cross_attention_dim": WIDTH, "sample_size": 32, **more},
    ).eval()


def make_sd(folder: Path, **more: Any) -> None:
    from diffusers import ControlNetModel, DDIMScheduler, StableDiffusionControlNetPipeline

    torch.manual_seed(0)
    net = unet(**more)
    StableDiffusionControlNetPipeline(
        vae=vae(),
        text_encoder=clip(),
        tokenizer=clip_tokeniser(folder / "tokenizer"),
        unet=net,
        controlnet=loud(ControlNetModel.from_unet(net, conditioning_embedding_out_channels=(4, 8))),
        scheduler=DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def make_sdxl(folder: Path) -> None:
    from diffusers import ControlNetModel, EulerDiscreteScheduler, StableDiffusionXLControlNetPipeline

    torch.manual_seed(0)
    net = unet(
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        cross_attention_dim=2 * WIDTH,
        transformer_layers_per_block=(1, 1),
        use_linear_projection=True,
    )
    StableDiffusionXLControlNetPipeline(
        vae=vae(),
        text_encoder=clip(),
        text_encoder_2=clip("CLIPTextModelWithProjection"),
        tokenizer=clip_tokeniser(folder / "tokenizer"),
        tokenizer_2=clip_tokeniser(folder / "tokenizer_2"),
        unet=net,
        controlnet=loud(ControlNetModel.from_unet(net, conditioning_embedding_out_channels=(4, 8))),
        scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"),
    ).save_pretrained(folder)


def make_flux(folder: Path) -> None:
    """FLUX.1-Depth: the picture of depth stands beside the latents."""
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxControlPipeline, FluxTransformer2DModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    config = T5Config(vocab_size=190, d_model=WIDTH, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    FluxControlPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(4),
        text_encoder=clip(),
        tokenizer=clip_tokeniser(folder / "tokenizer"),
        text_encoder_2=T5EncoderModel(config).eval(),
        tokenizer_2=word_tokeniser(),
        transformer=FluxTransformer2DModel(
            in_channels=32,
            out_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
            guidance_embeds=True,
        ).eval(),
    ).save_pretrained(folder)


def word_tokeniser() -> Any:
    """Bytes as words, with a template of a chat; stands for those of T5 and Qwen."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())[:180]
    vocabulary = {word: place for place, word in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    tokeniser = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )
    tokeniser.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return tokeniser


def make_zimage(folder: Path, control_in: int = 4) -> None:
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        ZImageControlNetModel,
        ZImageControlNetPipeline,
        ZImageTransformer2DModel,
    )
    from transformers import Qwen3Config, Qwen3Model

    torch.manual_seed(0)
    sizes = {"all_patch_size": (2,), "all_f_patch_size": (1,), "dim": 32, "n_heads": 2, "n_kv_heads": 2}
    config = Qwen3Config(
        vocab_size=190,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=512,
    )
    transformer = ZImageTransformer2DModel(
        **sizes, in_channels=4, n_layers=2, n_refiner_layers=1, cap_feat_dim=WIDTH, axes_dims=[4, 4, 8]
    ).eval()
    control = ZImageControlNetModel(**sizes, control_layers_places=[0], control_in_dim=control_in, n_refiner_layers=1)
    pipeline = ZImageControlNetPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(4),
        text_encoder=Qwen3Model(config).eval(),
        tokenizer=word_tokeniser(),
        transformer=transformer,
        controlnet=loud(control).eval(),
    )
    pipeline.save_pretrained(folder)


def make_qwen(folder: Path) -> None:
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImageControlNetModel,
        QwenImageControlNetPipeline,
        QwenImageTransformer2DModel,
    )
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(0)
    sizes = {
        "in_channels": 16,
        "out_channels": 4,
        "num_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "axes_dims_rope": (4, 4, 8),
    }
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 190,
            "hidden_size": WIDTH,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "bos_token_id": None,
            "eos_token_id": None,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        vision_config={
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": WIDTH,
        },
    )
    shifts = {"latents_mean": [0.1] * 4, "latents_std": [2.0] * 4}
    QwenImageControlNetPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=AutoencoderKLQwenImage(
            base_dim=4, z_dim=4, dim_mult=[1, 1], num_res_blocks=1, temperal_downsample=[False], **shifts
        ).eval(),
        text_encoder=Qwen2_5_VLForConditionalGeneration(config).eval(),
        tokenizer=word_tokeniser(),
        transformer=QwenImageTransformer2DModel(**sizes).eval(),
        controlnet=loud(QwenImageControlNetModel(**sizes)).eval(),
    ).save_pretrained(folder)


def loud(control: Any) -> Any:
    """A ControlNet that says something: as it is made, its last layers are zero."""
    with torch.no_grad():
        for weight in control.parameters():
            if not weight.any():
                weight.normal_(std=0.1)
    return control


MAKERS: dict[str, Callable[[Path], None]] = {
    "sd": make_sd,
    "sdxl": make_sdxl,
    "flux": make_flux,
    "zimage": make_zimage,
    "qwen": make_qwen,
    "zimage2": lambda folder: make_zimage(folder, control_in=9),  # condition, mask and picture: 4 + 1 + 4
}
