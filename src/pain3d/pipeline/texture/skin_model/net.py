"""Knows the network of the small skin model and its schedule of noise: diffusers' `UNet2DModel` and `DDIMScheduler`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pain3d.pipeline.texture.skin_model.grid import FOLD, NUMBERS, SIDE, fold, push_pull, unfold
from pain3d.torchvision_schemas import import_torchvision

import_torchvision()
from diffusers import DDIMScheduler, UNet2DModel  # noqa: E402  # after the line above

CHANNELS = (48, 96, 128)  # at 32², 16² and 8² cells
GROUPS = 16  # of normalisation
NOISES = 1000  # levels of noise
OFF = 0.3  # standard deviation of a texture, −1 to 1, about what push–pull makes of it where it was not seen
PLACES = 4  # planes that say where a cell lies: x, y, z in 0.1 m, share of it that is skin's or neck's chart


class SkinNet(nn.Module):
    """From a noisy texture, what was seen of it and who it is, to the texture without noise (the x₀ parametrisation).

    What was seen stays. Spread over the chart by push–pull it is a first guess of the rest that is off by `OFF`; the
    noisy texture corrects it as far as its noise allows (the best linear estimate, as the skip of Karras et al. 2022,
    section 5, about that guess); what is left to the UNet is scaled by what that estimate is off.

    Attributes:
        places: [1, 4, 32, 32], see `PLACES`.
        shown: [1, 1, 128, 128] 1 where a photograph can show what is painted.
        kept_power: [1000] share of a texture's variance that is left at each level of noise.
    """

    places: Tensor
    shown: Tensor
    kept_power: Tensor

    def __init__(self) -> None:
        super().__init__()
        cells, folded = SIDE // FOLD, FOLD**2
        self.unet: Any = UNet2DModel(
            sample_size=cells,
            in_channels=(3 + 3 + 1) * folded + PLACES + NUMBERS,
            out_channels=3 * folded,
            layers_per_block=1,
            block_out_channels=CHANNELS,
            down_block_types=("DownBlock2D",) * len(CHANNELS),
            up_block_types=("UpBlock2D",) * len(CHANNELS),
            norm_num_groups=GROUPS,
            attention_head_dim=CHANNELS[-1] // 4,
        )
        self.register_buffer("places", torch.zeros(1, PLACES, cells, cells))
        self.register_buffer("shown", torch.zeros(1, 1, SIDE, SIDE))
        self.register_buffer("kept_power", schedule().alphas_cumprod, persistent=False)

    def forward(self, noisy: Tensor, time: Tensor, seen: Tensor, where: Tensor, told: Tensor) -> Tensor:
        """Estimate textures [B, 3, 128, 128] in −1 to 1, 0 off the charts.

        Args:
            noisy: [B, 3, 128, 128].
            time: [B] int64 level of noise, 0–999.
            seen: [B, 3, 128, 128], read where `where` is 1.
            where: [B, 1, 128, 128] 1 where a texel was seen.
            told: [B, 6] of `grid.numbers_of`.
        """
        known = where * self.shown
        spread = push_pull(seen, known)
        numbers = told[:, :, None, None].expand(-1, -1, *self.places.shape[2:])
        planes = [fold(noisy), fold(spread), fold(known), self.places.expand(len(noisy), -1, -1, -1)]
        change: Tensor = self.unet(torch.cat([*planes, numbers], 1), time).sample
        power = self.kept_power[time][:, None, None, None]
        total = power * OFF**2 + 1 - power
        corrected = power.sqrt() * OFF**2 / total * (noisy - power.sqrt() * spread)
        rest = OFF * ((1 - power) / total).sqrt() * unfold(change)
        return (spread + (1 - known) * (corrected + rest)) * self.shown


def schedule() -> Any:
    """Levels of noise on a squared cosine (Nichol and Dhariwal 2021); estimates are of the texture without noise."""
    return DDIMScheduler(
        num_train_timesteps=NOISES,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        clip_sample=True,
        timestep_spacing="trailing",
    )
