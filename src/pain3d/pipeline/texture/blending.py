"""Knows how views that are denoised side by side come to agree at every step: on the denoised estimate.

Every sampler's step takes the net's output o at the noisy latents x and time t; guidance has been applied by then. Out
of both follows what the finished latents would be, the denoised estimate x₀, and always by a line: x₀ = a x + b o.

- DDIM, DDPM, LCM, TCD, DPM-Solver keep the variance: x = √ᾱ x₀ + √(1−ᾱ) ε (Ho et al. 2020, eq. 4). A net that says ε:
  x₀ = (x − √(1−ᾱ) ε) / √ᾱ. One that says v = √ᾱ ε − √(1−ᾱ) x₀ (Salimans and Ho 2022, app. D):
  x₀ = √ᾱ x − √(1−ᾱ) v.
- Euler's samplers let it explode: x = x₀ + σ ε with σ = √((1−ᾱ)/ᾱ) (Karras et al. 2022), so x₀ = x − σ ε, and with
  √ᾱ = 1/√(1+σ²) and x √ᾱ in the place of x: x₀ = x / (1+σ²) − σ / √(1+σ²) v.
- Flow matching goes straight: x = (1−σ) x₀ + σ ε, and the net says v = ε − x₀ (Lipman et al. 2023), so
  x₀ = x − σ v.

Where a blend y₀ takes the place of x₀, the output that says so is o′ = o + (y₀ − x₀) / b; the sampler's own step then
goes on from o′. A blend that changes nothing leaves every bit of o. The idea to blend x₀ of all views in their common
texture is that of SyncMVD (Liu et al. 2023).
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture.painter import Blend

# What a step knows of the noise: ᾱ by time; σ of a variance that is kept; of one that explodes; of a straight line.
PRESERVED: Final = ("DDIMScheduler", "DDPMScheduler", "LCMScheduler", "TCDScheduler")
PRESERVED_SIGMAS: Final = ("DPMSolverMultistepScheduler",)
EXPLODED: Final = ("EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler")
STRAIGHT: Final = ("FlowMatchEulerDiscreteScheduler",)
BLENDABLE: Final = (*PRESERVED, *PRESERVED_SIGMAS, *EXPLODED, *STRAIGHT)
Painting = Callable[[Blend], Tensor]


def line_of(scheduler: Any, timestep: Any) -> tuple[float, float]:
    """(a, b) of x₀ = a x + b o at a time of a sampler; see the top.

    Raises:
        RefusedError: Of this sampler or this kind of output no line is known.
    """
    name, says = type(scheduler).__name__, str(getattr(scheduler.config, "prediction_type", "flow"))
    if name in STRAIGHT:
        return 1.0, -_sigma(scheduler, timestep)
    if says == "sample":
        return 0.0, 1.0
    if name in PRESERVED:
        kept = float(scheduler.alphas_cumprod[int(timestep)])
    elif name in (*PRESERVED_SIGMAS, *EXPLODED):
        kept = 1 / (1 + _sigma(scheduler, timestep) ** 2)
    else:
        raise RefusedError(f"scheduler {name}: views can't be blended under it; known are {', '.join(BLENDABLE)}")
    if says == "epsilon":
        a, b = 1 / math.sqrt(kept), -math.sqrt(1 / kept - 1)
    elif says == "v_prediction":
        a, b = math.sqrt(kept), -math.sqrt(1 - kept)
    else:
        raise RefusedError(f"scheduler {name}: views can't be blended where the net says {says}")
    return (a * math.sqrt(kept), b) if name in EXPLODED else (a, b)


def blend_steps(scheduler: Any, blend: Blend, latent_size: tuple[int, int]) -> None:
    """From now on each step of a sampler blends the denoised estimate.

    Args:
        scheduler: Of diffusers; its `step` is replaced.
        blend: Of latents [N, C, h, w].
        latent_size: (h, w), for nets whose latents are tokens [N, h w / 4, 4 C]: 2 × 2 pixels each, as FLUX has them.
    """
    step = scheduler.step

    @functools.wraps(step)  # pipelines ask for its parameters
    def blended_step(output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named: Any) -> Any:
        a, b = line_of(scheduler, timestep)
        estimate = unpack(a * sample.float() + b * output.float(), latent_size)
        blended = blend(estimate)
        if blended.shape != estimate.shape:
            raise ValueError(f"a blend must keep the shape {list(estimate.shape)}, got {list(blended.shape)}")
        if b != 0:  # else the output says nothing of x₀ at this time
            change = (blended.to(estimate) - estimate) / b
            output = output + pack(change, output.ndim == 3).to(output.dtype)
        return step(output, timestep, sample, *rest, **named)

    scheduler.step = blended_step


def paint_together(paintings: Sequence[Painting], blend: Blend) -> list[Tensor]:
    """Run several paintings side by side; at every step they wait for each other and their estimates are blended.

    They take turns: one runs at a time, on a thread of its own, in their order. So the bytes of each are those of a
    painting that runs alone, but for what the blend changes.

    Args:
        paintings: Each is handed the blend of its own part [n, C, h, w]; all make equally many steps.
        blend: Of all parts together [N, C, h, w].

    Raises:
        Exception: Whatever a painting or the blend raises; the others are ended first.
    """
    turns = [_Turn(painting) for painting in paintings]
    try:
        while True:
            for turn in turns:
                turn.go_on()
            if all(turn.finished for turn in turns):
                return [turn.result for turn in turns]
            if any(turn.finished for turn in turns):
                raise RuntimeError("views that are painted together must make equally many steps")
            with torch.no_grad():
                blended = blend(torch.cat([turn.estimate for turn in turns]))
            first = 0
            for turn in turns:
                turn.estimate = blended[first : first + len(turn.estimate)]
                first += len(turn.estimate)
    finally:
        for turn in turns:
            turn.end()


class _EndedError(Exception):
    """Told to a painting whose result nobody wants any more."""


class _Turn:
    """A painting on its own thread, which runs only between `go_on` and its next step.

    Attributes:
        estimate: Of its last step; the blended one is put here before it goes on.
        result: What it made in the end.
        finished: Whether it has.
    """

    estimate: Tensor
    result: Tensor

    def __init__(self, painting: Painting) -> None:
        self.finished = False
        self._painting = painting
        self._error: BaseException | None = None
        self._ended = False
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self) -> None:
        """Let it run to its next step or to its end."""
        self._go.release()
        self._stopped.acquire()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Make it stop where it waits, if it does."""
        self._ended = True
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        self._go.acquire()
        try:
            if not self._ended:
                self.result = self._painting(self._wait)
                self.finished = True
        except _EndedError:
            pass
        except BaseException as error:  # handed to the thread that waits
            self._error = error
        self._stopped.release()

    def _wait(self, estimate: Tensor) -> Tensor:
        """Hand over the estimate, and come back with the blended one."""
        self.estimate = estimate
        self._stopped.release()
        self._go.acquire()
        if self._ended:
            raise _EndedError
        return self.estimate


def _sigma(scheduler: Any, timestep: Any) -> float:
    """Noise at a time of a sampler that keeps a table of it."""
    places = (scheduler.timesteps == timestep).nonzero()
    if len(places) != 1:
        raise RefusedError(f"scheduler {type(scheduler).__name__}: a time occurs twice; fewer steps are needed")
    return float(scheduler.sigmas[int(places[0])])


def unpack(latents: Tensor, size: tuple[int, int]) -> Tensor:
    """Tokens [N, h w / 4, 4 C] to [N, C, h, w]; what has that form already stays."""
    if latents.ndim != 3:
        return latents
    high, wide = size[0] // 2, size[1] // 2
    parts = latents.reshape(len(latents), high, wide, -1, 2, 2)
    return parts.permute(0, 3, 1, 4, 2, 5).reshape(len(latents), -1, 2 * high, 2 * wide)


def pack(latents: Tensor, tokens: bool) -> Tensor:
    """Undo `unpack`."""
    if not tokens:
        return latents
    count, channels, high, wide = latents.shape
    parts = latents.reshape(count, channels, high // 2, 2, wide // 2, 2)
    return parts.permute(0, 2, 4, 1, 3, 5).reshape(count, high * wide // 4, 4 * channels)
