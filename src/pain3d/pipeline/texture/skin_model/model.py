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
from pain3d.records import LICENCE, UNKNOWN_LICENCE
from pain3d.skin.maps import Floats, SurfaceMaps
from pain3d.skin.photographed import ALBEDO, photographable

if TYPE_CHECKING:
    from pain3d.pipeline.texture.skin_model.net import SkinNet

COMPLETING, NEW = 1, 8  # steps of DDIM: the mean of what is likely, and a draw
KEPT_LEVELS = 0.5  # share of the levels of noise that a new skin walks, from the person's own under that much noise
COMPLEXION = 6.0  # texels of 3.2 mm: standard deviation of the blur that leaves a new skin's tones and no noise
SEEN = 0.5  # share of a cell's texels from which on the model takes it as seen
DARKEST = 1e-3  # linear, added before a logarithm


class SkinModel:
    """The small model with its weights; those that ship have seen procedural people alone, and no photograph.

    Attributes:
        net: The network.
        origin: What a row says of it.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        """Read weights. Raises RefusedError where they can't be used."""
        self.net: SkinNet
        self.net, told = read_weights(path)
        self.origin = Origin(
            model=path.stem,
            model_hash=hashlib.sha256(path.read_bytes()).hexdigest(),
            licence=LICENCE if path == SHIPPED else str(told.get("licence", UNKNOWN_LICENCE)),
            scheduler=f"DDIM, {NEW} steps from {KEPT_LEVELS:g} of the noise",
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
        steps: int | None = None,
        detail: float = 1.0,
    ) -> Tensor:
        """A skin for a person: a new one, or the rest of one that was partly seen.

        The model works on 128² texels. Of a new skin it makes the complexion, what is coarser than 2 cm: the person's
        own skin under half of the noise is denoised again (SDEdit, Meng et al. 2022) with hair and cloth given; lips,
        lids and all that is finer are the person's own. Of one that was partly seen it makes all that 128² texels
        hold, and the person's finer detail is laid over it. One person at a time: nothing depends on who else is asked
        for.

        Args:
            base: [S, S, 16] the procedural person, see `pain3d.paint`.
            maps: Of `surface_maps(head, S)`, S at least 128.
            identity: Age, sex and ancestry are told; the tone is measured on what was seen, else the base.
            seed: The person's; it keys the noise.
            partial: [S, S, 3] linear, what was seen.
            weight: [S, S] how well; as `completion.complete` takes it.
            steps: Of DDIM; None is 1 for completing, which gives the mean of what is likely, and 8 for a new skin.
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
        if partial is None or weight is None:
            where = dressed(base, maps)
            told = numbers_of(identity.age, identity.sex, identity.ancestry, tone_of(base, maps))
            small = self.denoised(known, where, told, seed, steps or NEW, known)
            ratio = _blurred(_log(small) - _log(known), (self.net.shown[0] * (1 - where))[0].numpy())
            return self._joined(base, known, ratio, maps, detail)
        seen, where = _reduced_where_seen(partial, weight)
        mixed = torch.cat([torch.where(weight[..., None] > 0, partial, base[..., :3]), base[..., 3:]], 2)
        told = numbers_of(identity.age, identity.sex, identity.ancestry, tone_of(mixed, maps, weight > 0))
        small = self.denoised(seen, where, told, seed, steps or COMPLETING)
        made = self._joined(base, known, _log(small) - _log(known), maps, detail)
        return complete(partial, weight, torch.cat([made, base[..., 3:]], 2), maps)

    def denoised(
        self, seen: Tensor, where: Tensor, told: Tensor, seed: int, steps: int, start: Tensor | None = None
    ) -> Tensor:
        """The texture [3, 128, 128] that goes with what was seen of it, where [1, 128, 128], and numbers [6].

        With a start [3, 128, 128] only the latter `KEPT_LEVELS` of the levels are walked, from the start under that
        much noise; else all of them, from nothing but noise.
        """
        from pain3d.pipeline.texture.skin_model.net import schedule  # here: who never asks needs no diffusers

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
                texture = levels.step(clean, level, texture).prev_sample
        return texture[0].clamp(-1, 1)

    def _joined(self, base: Tensor, known: Tensor, ratio: Floats, maps: SurfaceMaps, detail: float) -> Tensor:
        """The base's albedo [S, S, 3] times a ratio [128, 128, 3], in the logarithm, to what is `known` of the base.

        Finer detail is the base's, but for where the ratio says that something else is there: no strands are drawn
        across an ear.
        """
        size = (maps.size, maps.size)
        bright, like = ratio.mean(2), np.zeros(ratio.shape[:2], np.float32)
        for region in regions_of(base, maps):
            share = np.asarray(cv2.resize(region, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
            like += share * np.exp(-(((bright - weighted_median(bright, share)) / STRANGE) ** 2))
        spread = push_pull(torch.from_numpy(ratio).permute(2, 0, 1)[None], self.net.shown)[0].permute(1, 2, 0).numpy()
        spread, coarse, alike = (cv2.resize(plane, size) for plane in (spread, _log(known), like))
        fine = np.log(base[..., :3].numpy() + DARKEST) - coarse
        made = cv2.exp(coarse + spread + (detail * alike)[..., None] * fine) - DARKEST
        inside = torch.from_numpy(photographable(maps))[..., None]
        return torch.where(inside, torch.from_numpy(np.clip(made, *ALBEDO)), base[..., :3])


def _log(code: Tensor) -> Floats:
    """Logarithm [128, 128, 3] of linear colours, of a texture as the model codes it."""
    return np.asarray(np.log(linear_of(code) + DARKEST), np.float32)


def _blurred(ratio: Floats, inside: Floats) -> Floats:
    """A ratio [128, 128, 3] blurred over the texels `inside` [128, 128] alone; 0 elsewhere."""
    total = cv2.GaussianBlur(ratio * inside[..., None], (0, 0), COMPLEXION)
    share = cv2.GaussianBlur(inside, (0, 0), COMPLEXION)
    return np.asarray(total / np.maximum(share, 1e-6)[..., None] * inside[..., None], np.float32)


def _reduced_where_seen(partial: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Seen colours [3, 128, 128] as the model codes them, and where [1, 128, 128]."""
    shown = (weight > 0).numpy().astype(np.float32)
    share = np.asarray(cv2.resize(shown, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)
    colours = np.where(shown[..., None] > 0, partial.numpy(), 0)
    mean = cv2.resize(colours, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-6)[..., None]
    return coded(mean), torch.from_numpy(share >= SEEN)[None].float()
