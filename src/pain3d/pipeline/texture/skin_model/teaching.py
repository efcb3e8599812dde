"""Knows how the small skin model is taught: a step is a function of the state and its number, and a stop loses few.

What is random belongs to the key of its step. Checkpoints hold the net, the mean of its late weights and the
optimiser's moments in single precision, so that who goes on from one comes to the same bytes; safetensors, like all
weights here.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.console.refused import RefusedError
from pain3d.files import write_durably
from pain3d.head.model import Head
from pain3d.pipeline.texture.skin_model.grid import FOLD, SIDE
from pain3d.pipeline.texture.skin_model.lessons import Lessons, batch_of
from pain3d.pipeline.texture.skin_model.net import SkinNet, schedule
from pain3d.pipeline.texture.skin_model.weights import METADATA, read_file
from pain3d.skin import surface_maps
from pain3d.skin.photographed import photographable

WARM, DECAY = 100, 0.998  # steps until the rate is reached; of the mean of late weights
LEAST_RATE: Final = 0.02  # share of the rate that is left at the end
SAVED: Final = 100  # steps between checkpoints
MOMENTS: Final = ("step", "exp_avg", "exp_avg_sq")  # what AdamW keeps of a parameter


class Course(NamedTuple):
    """How long, by which key and how fast a net learns: AdamW's rate, after `WARM` steps."""

    steps: int
    seed: int
    rate: float


def learn(net: SkinNet, lessons: Lessons, course: Course, checkpoint: Path, *, quiet: bool = False) -> SkinNet:
    """Teach a net, or go on from a checkpoint, until it has had all steps of a course.

    Args:
        net: From which a course starts; it is not changed.
        lessons: What it learns.
        course: How.
        checkpoint: File of the state; whoever calls sees to it that one which is there is of the same course.
        quiet: Show no progress.

    Returns:
        The mean of late weights, ready to be asked. Same arguments, same bytes on one machine, whatever stops there
        were.

    Raises:
        RefusedError: The checkpoint is damaged.
        KeyboardInterrupt: Between two steps, after the state was saved.
    """
    state = _State(copy.deepcopy(net).requires_grad_(True), course, checkpoint)
    with Interruptible() as interruptible, Progress(course.steps, state.step, quiet, "steps") as progress:
        losses: list[float] = []
        while state.step < course.steps:
            losses.append(state.advance(lessons, course))
            progress.add(1, f"loss {np.mean(losses[-SAVED:]):.4f}")
            if interruptible.asked or state.step % SAVED == 0 or state.step == course.steps:
                state.save(checkpoint)
            interruptible.check()
    return state.mean


class _State:
    """All that a step starts from."""

    def __init__(self, net: SkinNet, course: Course, checkpoint: Path) -> None:
        self.net, self.levels = net, schedule()
        self.mean = copy.deepcopy(net).eval().requires_grad_(False)
        self.optimiser = torch.optim.AdamW(net.parameters(), course.rate, weight_decay=0.01)
        self.step = 0
        if checkpoint.exists():
            self._load(checkpoint)

    def advance(self, lessons: Lessons, course: Course) -> float:
        """Take a step; its loss is the mean squared error of unseen texels, in codes of −1 to 1."""
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(self.step, course)
        clean, noise, level, where, told = batch_of(lessons, course.seed, self.step, self.net.shown)
        guess = self.net(self.levels.add_noise(clean, noise, level), level, clean, where, told)
        unseen = self.net.shown * (1 - where)
        loss: Tensor = ((guess - clean) ** 2 * unseen).sum() / unseen.sum() / 3
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        with torch.no_grad():
            held = min(DECAY, self.step / (self.step + 9))
            for late, now in zip(self.mean.parameters(), self.net.parameters(), strict=True):
                late.lerp_(now, 1 - held)
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write it whole."""
        from safetensors.torch import save

        tensors = {f"net.{name}": tensor for name, tensor in self.net.state_dict().items()}
        tensors |= {f"mean.{name}": tensor for name, tensor in self.mean.state_dict().items()}
        for number, kept in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": kept[name] for name in MOMENTS}
        write_durably(path, save(tensors, {METADATA: json.dumps({"step": self.step})}))

    def _load(self, path: Path) -> None:
        told, tensors = read_file(path)
        parts: dict[str, dict[str, Any]] = {"net": {}, "mean": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = tensor
        count = len(list(self.net.parameters()))
        try:
            moments = {i: {name: parts["optimiser"][f"{i}.{name}"] for name in MOMENTS} for i in range(count)}
            self.net.load_state_dict(parts["net"])
            self.mean.load_state_dict(parts["mean"])
            self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": moments})
            self.step = int(told["step"])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RefusedError(f"{path}: no checkpoint of this course; remove it to begin anew") from error


def _rate(step: int, course: Course) -> float:
    """Rises for `WARM` steps, then falls as a squared cosine."""
    fallen = LEAST_RATE + (1 - LEAST_RATE) * math.cos(0.5 * math.pi * step / course.steps) ** 2
    return course.rate * min(1, (step + 1) / WARM) * fallen


def place(net: SkinNet, head: Head) -> None:
    """Tell a new net where its texels lie on the head."""
    maps = surface_maps(head, SIDE)
    charted = torch.from_numpy(photographable(maps)).float()[None, None]
    planes = torch.from_numpy(np.stack([maps.x, maps.y, maps.z]) / 100)[None]
    net.shown.copy_(charted)
    net.places.copy_(avg_pool2d(torch.cat([planes, charted], 1), FOLD))
