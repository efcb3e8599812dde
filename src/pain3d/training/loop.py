"""Knows how anything learns: steps, rates, gradients, the running average, checkpoints, and when to stop.

What is learned is the task's business. A step is a function of the state and its number: batches, augmentation and
dropout are drawn by (seed, step), so a run that was killed goes on as if it had not been, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pain3d.console.interrupt import Interruptible
from pain3d.console.progress import Progress
from pain3d.random import keyed_number
from pain3d.training.checkpoint import NAME, load_checkpoint, save_checkpoint
from pain3d.training.config import TrainConfig
from pain3d.training.journal import Journal
from pain3d.training.task import Task, average_of
from pain3d.training.throughput import operations, peak

STEPS_A_LINE = 20  # of the log; a loss is a mean over them
BEST = "best.safetensors"  # weights of the best validation so far
LEAST_AVERAGED = 10  # steps: the average of the first weights would be the first weights


@dataclass(frozen=True)
class Learned:
    """What a run leaves: the best average of the weights, how good it was, the last step, and the speed."""

    model: nn.Module
    best: dict[str, float]
    steps: int
    images_per_second: float
    share_of_peak: float


def learn(
    task: Task,
    config: TrainConfig,
    prepare: Callable[[int], Any],
    finish: Callable[[Any, int], Any],
    validate: Callable[[nn.Module], dict[str, float]] | None,
    folder: Path,
    run_hash: str,
    device: torch.device,
    quiet: bool,
) -> Learned:
    """Train a task's model, or go on where the folder's checkpoint stands.

    Args:
        task: What learns; its model is moved to the device.
        config: Settings.
        prepare: Batch of a step, on the CPU; runs one step ahead in a thread of its own.
        finish: What it prepared and the step → the batch on the device, augmented.
        validate: What the validation people say of an average; ``score`` is better when higher. None never asks.
        folder: Of the run.
        run_hash: Of what decides the result; a checkpoint of another run is refused before this is called.
        device: Where to learn.
        quiet: Show no progress.
    """
    accelerator, amp = _accelerator(config, device)
    task.to(device)
    model = task.model
    average = average_of(model)
    optimiser = make_optimiser(model, config)
    path = folder / NAME
    state: dict[str, Any] = {"step": 0, "best": {}, "since": 0, "run": run_hash}
    if path.exists():
        state = load_checkpoint(path, model, average, optimiser)
    wrapped = accelerator.prepare(model)
    if config.compile == "yes" or (config.compile == "auto" and device.type == "cuda"):
        wrapped = torch.compile(wrapped)
    journal = Journal(folder, state["step"])
    every = math.ceil(config.steps / config.validations) if config.validations else config.steps + 1
    tally, best_path = Tally(), folder / BEST
    step = first = int(state["step"])
    flops, roof, saved, started = 0, math.inf, time.monotonic(), time.monotonic()

    def keep() -> None:
        save_checkpoint(path, model, average, optimiser, {**state, "step": step})

    with (
        ThreadPoolExecutor(1) as ahead,
        Interruptible() as pause,
        Progress(config.steps * config.batch, first * config.batch, quiet) as progress,
    ):
        waiting = ahead.submit(prepare, step)
        while step < config.steps and not (config.patience and state["since"] >= config.patience):
            prepared = waiting.result()
            waiting = ahead.submit(prepare, min(step + 1, config.steps - 1))
            batch = finish(prepared, step)
            if step == first:
                flops = operations(partial(_backward_only, task, wrapped, batch, average, accelerator))
                roof = peak(device, amp)
            torch.manual_seed(keyed_number(config.seed, "step", step))
            model.train()
            tally.add(_step(task, wrapped, batch, average, optimiser, accelerator, step))
            follow(average, model, min(config.average, (step + 1) / (step + LEAST_AVERAGED)))
            step += 1
            asked = validate is not None and (step % every == 0 or step == config.steps)
            if step % STEPS_A_LINE and not asked and step < config.steps:
                continue  # all below happens where a line of the log ends: a checkpoint never stands inside one
            means = tally.taken()
            journal.write(step, "train", **means, rate=rate_at(step - 1, config, config.rate))
            speed = (step - first) * config.batch / max(time.monotonic() - started, 1e-9)
            note = f"loss {means['loss']:.4f}, {flops / config.batch * speed / roof:.0%} of peak"
            progress.add(step * config.batch - progress.done, note)
            if validate is not None and asked:
                found = validate(average)
                journal.write(step, "validation", **found)
                better = found["score"] > state["best"].get("score", -math.inf)
                state |= {"best": found, "since": 0} if better else {"since": state["since"] + 1}
                if better:
                    _save_best(best_path, average)
            if asked or step == config.steps or time.monotonic() - saved >= config.checkpoint_seconds:
                keep()
                saved = time.monotonic()
            try:
                pause.check()
            except KeyboardInterrupt:
                keep()
                raise
    journal.close()
    if best_path.exists():
        from safetensors.torch import load_file

        average.load_state_dict(load_file(best_path))
    speed = (step - first) * config.batch / max(time.monotonic() - started, 1e-9)
    return Learned(average, state["best"], step, speed, flops / config.batch * speed / roof)


class Tally:
    """Means of a loss and its parts over some steps; nothing waits for the device until they are taken."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, parts: dict[str, Tensor]) -> None:
        """One more step."""
        self._steps += 1
        for name, part in parts.items():
            self._sums[name] = self._sums.get(name, 0) + part.detach().double()

    def taken(self) -> dict[str, float]:
        """The means since they were last taken."""
        means = {name: float(total) / self._steps for name, total in self._sums.items()}
        self._sums, self._steps = {}, 0
        return means


def _step(
    task: Task,
    model: nn.Module,
    batch: Any,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    accelerator: Any,
    step: int,
) -> dict[str, Tensor]:
    """One step of the optimiser; the parts of the loss and the norm of the gradient."""
    config = task.config
    with accelerator.autocast():
        parts = task.loss(model, batch, average)
    optimiser.zero_grad(set_to_none=True)
    accelerator.backward(parts["loss"])
    if config.clip:
        parts["gradient"] = accelerator.clip_grad_norm_(task.model.parameters(), config.clip)
    for group in optimiser.param_groups:
        group["lr"] = rate_at(step, config, group["top"])
    optimiser.step()
    return parts


def rate_at(step: int, config: TrainConfig, top: float) -> float:
    """Learning rate of a step: a straight rise over the warm-up, then half a cosine down to the last rate."""
    warm_up = min(config.warm_up, max(1, config.steps // 10))
    rise = (step + 1) / max(warm_up, 1)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    last = min(config.last_rate, top)
    return min(rise, 1.0) * (last + (top - last) * fall)


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW: heads and backbone at their own rates, no decay on biases, norms and other vectors.

    A parameter that trains and is in no group would be a mistake that nothing shows; there is none.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            top = config.backbone_rate if name.startswith(("backbone", "neutral_backbone")) else config.rate
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((top, decay), []).append(parameter)
    rows = [{"params": rows, "weight_decay": decay, "top": top, "lr": top} for (top, decay), rows in groups.items()]
    return torch.optim.AdamW(rows, fused=True)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move the average towards the model; whole numbers, which count batches, are taken as they are."""
    pairs = list(zip(average.state_dict().values(), model.state_dict().values(), strict=True))
    floats = [pair for pair in pairs if pair[0].dtype.is_floating_point]
    torch._foreach_lerp_([old for old, _ in floats], [new for _, new in floats], 1 - keep)
    for old, new in pairs:
        if not old.dtype.is_floating_point:
            old.copy_(new)


def precision_of(config: TrainConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for, or where the device multiplies it in hardware; else float32."""
    if config.precision != "auto":
        return torch.bfloat16 if config.precision == "bf16" else torch.float32
    able = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if able else torch.float32


def _accelerator(config: TrainConfig, device: torch.device) -> tuple[Any, torch.dtype]:
    from accelerate import Accelerator

    amp = precision_of(config, device)
    return Accelerator(mixed_precision="bf16" if amp == torch.bfloat16 else "no", cpu=device.type == "cpu"), amp


def _backward_only(task: Task, model: nn.Module, batch: Any, average: nn.Module, accelerator: Any) -> None:
    """A step's products without its consequences, for counting: evaluation mode, so no batch norm remembers it."""
    model.eval()
    with accelerator.autocast():
        loss: Any = task.loss(model, batch, average)["loss"]
        loss.backward()
    for parameter in model.parameters():
        parameter.grad = None


def _save_best(path: Path, average: nn.Module) -> None:
    from safetensors.torch import save

    from pain3d.files import write_durably

    write_durably(path, save({name: tensor.contiguous() for name, tensor in average.state_dict().items()}))
