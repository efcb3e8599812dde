"""Knows what the small model is asked for: a new skin for a person, or the rest of one that was partly seen."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from pain3d.head.identity import Identity
from pain3d.pipeline.texture.completion import STRANGE, complete, regions_of, weighted_median
from pain3d.pipeline.texture.painter import Origin
from pain3d.pipeline.texture.skin_model.grid import (
    SIDE,
    coded,
    dressed,
    linear_of,
    numbers_of,
    push_pull,
    reduced,
    tone_of,
)
from pain3d.pipeline.texture.skin_model.weights import SHIPPED, read_weights
from pain3d.random import keyed_generator
from pain3d.skin.maps import Floats, SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

if TYPE_CHECKING:
    from pain3d.pipeline.texture.skin_model.net import SkinNet

STEPS = 8  # of DDIM
KEPT_LEVELS = 0.5  # share of the noise that a new skin starts from
SEEN = 0.5  # share of a cell's texels from which on the model takes it as seen
DARKEST = 1e-3  # linear, added before a logarithm


class SkinModel:
    """The small model with its weights; it has seen procedural people alone, and no photograph.

    Attributes:
        net: The network.
        origin: What a row says of it.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        """Read weights."""
        self.net: SkinNet = read_weights(path)
        self.origin = Origin(
            model=path.stem,
            model_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
            licence="CC0-1.0",
            scheduler=f"DDIM, {STEPS} steps",
        )

    @staticmethod
    @lru_cache(maxsize=1)
    def default() -> SkinModel:
        """The model that ships with the project, read once."""
        return SkinModel()

    def sample(
        self,
        base: Tensor,
        maps: SurfaceMaps,
        identity: Identity,
        seed: int,
        partial: Tensor | None = None,
        weight: Tensor | None = None,
        *,
        steps: int = STEPS,
        detail: float = 1.0,
    ) -> Tensor:
        """A skin for a person: a new one, or the rest of one that was partly seen.

        The model works on 128² texels; what is finer is the procedural person's. Without a partial texture the person's
        own hair and cloth are given and the model makes the skin that goes with them. One person at a time: nothing
        depends on who else is asked for.

        Args:
            base: [S, S, 16] the procedural person, see `pain3d.paint`.
            maps: Of `surface_maps(head, S)`, S at least 128.
            identity: Age, sex and ancestry are told; the tone is measured on what was seen, else the base.
            seed: The person's; it keys the noise.
            partial: [S, S, 3] linear, what was seen.
            weight: [S, S] how well; as `completion.complete` takes it.
            steps: Of DDIM; 1 is the mean of what is likely, more are sharper.
            detail: Share of the base's detail below 3 mm that unseen texels get, 0–1.

        Returns:
            [S, S, 3] float32 linear in 0.003–0.95; seen texels are kept as `completion.complete` keeps them.

        Gradients: none.

        Raises:
            ValueError: A partial texture without its weight, or shapes that `completion.complete` refuses.
        """
        if (partial is None) != (weight is None):
            raise ValueError("partial and weight must be given together")
        known = reduced(base[..., :3])
        start = None
        if partial is None or weight is None:
            start, seen, where, tone = known, known, dressed(base, maps), tone_of(base, maps)
        else:
            seen, where = _reduced_where_seen(partial, weight)
            mixed = torch.where(weight[..., None] > 0, partial, base[..., :3])
            tone = tone_of(torch.cat([mixed, base[..., 3:]], 2), maps, weight > 0)
        told = numbers_of(identity.age, identity.sex, identity.ancestry, tone)
        small = self.denoised(seen, where, told, seed, steps, start)
        made = torch.from_numpy(self._joined(base, known, small, maps, detail))
        made = torch.where(torch.from_numpy(photographable(maps))[..., None], made, base[..., :3])
        if partial is None or weight is None:
            return made
        return complete(partial, weight, torch.cat([made, base[..., 3:]], 2), maps)

    def denoised(
        self, seen: Tensor, where: Tensor, told: Tensor, seed: int, steps: int = STEPS, start: Tensor | None = None
    ) -> Tensor:
        """The texture [3, 128, 128] that goes with what was seen of it, where [1, 128, 128], and numbers [6].

        With a start [3, 128, 128] only the latter `KEPT_LEVELS` of the levels are walked, from the start under that
        much noise (SDEdit, Meng et al. 2022); else all of them, from nothing but noise.
        """
        from pain3d.pipeline.texture.skin_model.net import schedule

        draw = keyed_generator(seed, "skin_model/noise")
        texture = torch.from_numpy(draw.standard_normal((1, 3, SIDE, SIDE), np.float32))
        levels = schedule()
        levels.set_timesteps(steps)
        walked = levels.timesteps
        if start is not None:
            walked = walked[round((1 - KEPT_LEVELS) * steps) :]
            texture = levels.add_noise(start[None] * self.net.shown, texture, walked[:1])
        with torch.no_grad():
            for level in walked:
                clean = self.net(texture, level[None], seen[None], where[None], told[None])
                texture = levels.step(torch.where(where[None] > 0, seen[None], clean), level, texture).prev_sample
        return texture[0].clamp(-1, 1)

    def _joined(self, base: Tensor, known: Tensor, small: Tensor, maps: SurfaceMaps, detail: float) -> Floats:
        """The base's albedo [S, S, 3], brought from what is known of it to small, both [3, 128, 128] as coded.

        Finer detail is the base's, but for where small shows something else: no strands are drawn across an ear.
        """
        albedo, size = base[..., :3].numpy(), (maps.size, maps.size)
        coarse = np.log(linear_of(known) + DARKEST)
        ratio = np.log(linear_of(small) + DARKEST) - coarse
        regions = np.stack(
            [cv2.resize(share, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for share in regions_of(base, maps)]
        )
        alike = np.zeros_like(ratio[..., 0])
        for share in regions:
            bright = ratio.mean(2)
            alike += share * np.exp(-(((bright - weighted_median(bright, share)) / STRANGE) ** 2))
        spread = push_pull(torch.from_numpy(ratio).permute(2, 0, 1)[None], self.net.shown)[0].permute(1, 2, 0).numpy()
        spread, coarse, alike = (
            cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (spread, coarse, alike)
        )
        fine = np.log(albedo + DARKEST) - coarse
        return np.asarray(
            np.clip(cv2.exp(coarse + spread + (detail * alike)[..., None] * fine) - DARKEST, *ALBEDO), np.float32
        )


def _reduced_where_seen(partial: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Seen colours [3, 128, 128] as the model codes them, and where [1, 128, 128]."""
    shown = (weight > 0).numpy().astype(np.float32)
    share = cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    colours = np.where(shown[..., None] > 0, partial.numpy(), 0)
    mean = cv2.resize(colours, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    return coded(mean), torch.from_numpy(share >= SEEN)[None].float()
