"""Knows how anything learns: steps, rates, gradients, the moving average, checkpoints, and when to stop.

What is learned is the job's business: any module, any loss, any batches. A step is a function of the state and its
number: batches, augmentation and dropout are drawn by (seed, step), so a run that was killed goes on as if it had not
been, bit for bit on a CPU.
"""

from __future__ import annotations

import copy
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
from pain3d.ranks import Ranks
from pain3d.training.checkpoint import BestWeights, Checkpoints
from pain3d.training.config import TrainConfig
from pain3d.training.log import RunLog
from pain3d.training.model.shared_batch_norm import share_batch_norms
from pain3d.training.throughput import operations, peak

STEPS_A_LINE = 20  # of the log; a loss is a mean over them
ALONE = Ranks()
LEAST_AVERAGED = 10  # steps: the average of the first weights would be the first weights


@dataclass(frozen=True)
class TrainingJob:
    """What `learn` is to do.

    Attributes:
        model: What learns, on the device where it shall.
        loss: Of the model (or its compiled form), a batch and the moving average of the model: scalars by name, of
            which ``loss`` is minimised and the others are logged.
        load: Batch of a step, on the CPU; runs one step ahead in a thread of its own.
        augment: What was loaded and its step → the batch on the device.
        config: Steps, rates, seed, precision and the like; `batch` is what a step counts for in pictures a second.
        validate: What the validation people say of an average; ``score`` is better when higher. None never asks.
        folder: Of the run: its log, checkpoints and best weights. None writes nothing.
        run_hash: Of what decides the result, kept in checkpoints.
        quiet: Show no progress.
        ranks: The processes that share each batch and add up their gradients. All learn the same; the first alone
            validates, keeps checkpoints and tells.
    """

    model: nn.Module
    loss: Callable[[nn.Module, Any, nn.Module], dict[str, Tensor]]
    load: Callable[[int], Any]
    augment: Callable[[Any, int], Any]
    config: TrainConfig
    validate: Callable[[nn.Module], dict[str, float]] | None = None
    folder: Path | None = None
    run_hash: str = ""
    quiet: bool = False
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Learned:
    """What a run leaves: the best average of the weights, how good it was, the last step, and the speed."""

    model: nn.Module
    best: dict[str, float]
    steps: int
    images_per_second: float
    share_of_peak: float


def learn(job: TrainingJob) -> Learned:
    """Train a model, or go on where the folder's checkpoint stands.

    Raises:
        RefusedError: The checkpoint is damaged or of another model.
    """
    config, model, ranks = job.config, job.model, job.ranks
    first_rank = ranks.rank == 0
    device = next(model.parameters()).device
    dtype = precision_of(config, device)
    ema = copy.deepcopy(model).eval().requires_grad_(False)
    average = MovingAverage(ema, model)
    optimiser = make_optimiser(model, config)
    checkpoints = None if job.folder is None else Checkpoints(job.folder, job.run_hash)
    best = BestWeights(job.folder if first_rank else None, job.run_hash)
    state: dict[str, Any] = {"step": 0, "best": {}, "since": 0}
    if checkpoints is not None:
        state = checkpoints.load(model, ema, optimiser, tell=first_rank) or state
        if state["best"] and first_rank:
            best.read()  # now, and not when all steps are done
    compiled: Any = model if ranks.count == 1 else _together(model, device)
    if config.compile == "yes" or (config.compile == "auto" and device.type == "cuda"):
        compiled = torch.compile(compiled)
    log = None if job.folder is None or not first_rank else RunLog(job.folder, state["step"])
    every = math.ceil(config.steps / config.validations) if config.validations else config.steps + 1
    tally = Tally()
    step = first = int(state["step"])
    flops, roof, saved, started = 0, math.inf, time.monotonic(), time.monotonic()

    def keep() -> None:
        if checkpoints is not None and first_rank:
            checkpoints.save(model, ema, optimiser, {**state, "step": step})

    with (
        ThreadPoolExecutor(1) as ahead,
        Interruptible() as pause,
        Progress(config.steps * config.batch, first * config.batch, job.quiet or not first_rank) as progress,
    ):
        waiting = ahead.submit(job.load, step)
        while step < config.steps and not (config.patience and state["since"] >= config.patience):
            loaded = waiting.result()
            waiting = ahead.submit(job.load, min(step + 1, config.steps - 1))
            batch = job.augment(loaded, step)
            loss = partial(_loss, job, compiled, batch, ema, dtype)
            if step == first:
                flops = operations(partial(_backward_only, compiled, loss))
                roof = peak(device, dtype)
            torch.manual_seed(keyed_number(config.seed, "step", step, *[ranks.rank] * (not first_rank)))
            model.train()
            tally.add(_step(loss, model, optimiser, config, step))
            average.update(min(config.ema_decay, (step + 1) / (step + LEAST_AVERAGED)))
            step += 1
            validates = job.validate is not None and (step % every == 0 or step == config.steps)
            if step % STEPS_A_LINE and not validates and step < config.steps:
                continue  # all below happens where a line of the log ends: a checkpoint never stands inside one
            told = ranks.of_all((tally.taken(), pause.asked))
            means = {name: sum(one[name] for one, _ in told) / len(told) for name in told[0][0]}
            if log is not None:
                log.write(step, "train", **means, lr=lr_at(step - 1, config, config.lr))
            speed = (step - first) * config.batch / max(time.monotonic() - started, 1e-9)
            note = f"loss {means['loss']:.4f}, {flops / config.batch * speed / roof:.0%} of peak"
            progress.add(step * config.batch - progress.done, note)
            if job.validate is not None and validates:
                found = ranks.from_first(job.validate(ema) if first_rank else None)
                if log is not None:
                    log.write(step, "validation", **found)
                better = found["score"] > state["best"].get("score", -math.inf)
                state |= {"best": found, "since": 0} if better else {"since": state["since"] + 1}
                if better and first_rank:
                    best.keep(ema, {**state, "step": step})
            if validates or step == config.steps or time.monotonic() - saved >= config.checkpoint_seconds:
                keep()
                saved = time.monotonic()
            if any(asked for _, asked in told):
                keep()
                raise KeyboardInterrupt
    if log is not None:
        log.close()
    best.restore(ema)
    speed = (step - first) * config.batch / max(time.monotonic() - started, 1e-9)
    return Learned(ema, state["best"], step, speed, flops / config.batch * speed / roof)


def _together(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with gradients that are the mean over all ranks; they meet by NCCL on a GPU, by gloo elsewhere."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    group = dist.new_group(backend="nccl" if device.type == "cuda" else "gloo")
    share_batch_norms(model, group)
    return DistributedDataParallel(model, process_group=group)


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


def _loss(job: TrainingJob, model: nn.Module, batch: Any, ema: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """The parts of the loss, in the precision of the run."""
    with torch.autocast(next(ema.parameters()).device.type, dtype, enabled=dtype != torch.float32):
        return job.loss(model, batch, ema)


def _step(
    loss: Callable[[], dict[str, Tensor]],
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
) -> dict[str, Tensor]:
    """One step of the optimiser; the parts of the loss and the norm of the gradient."""
    parts = loss()
    optimiser.zero_grad(set_to_none=True)
    parts["loss"].backward()  # type: ignore[no-untyped-call]
    if config.grad_clip:
        parts["gradient"] = nn.utils.clip_grad_norm_(model.parameters(), config.grad_clip)
    for group in optimiser.param_groups:
        group["lr"] = lr_at(step, config, group["top"])
    optimiser.step()
    return parts


def lr_at(step: int, config: TrainConfig, top: float) -> float:
    """Learning rate of a step: a straight rise over the warm-up, then half a cosine down to the least rate."""
    warmup = min(config.warmup_steps, max(1, config.steps // 10))
    rise = (step + 1) / max(warmup, 1)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    last = min(config.min_lr, top)
    return min(rise, 1.0) * (last + (top - last) * fall)


def make_optimiser(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW: heads and backbone at their own rates, no decay on biases, norms and other vectors.

    A parameter that trains and is in no group would be a mistake that nothing shows; there is none.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            top = config.backbone_lr if name.startswith(("backbone", "neutral_backbone")) else config.lr
            decay = config.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((top, decay), []).append(parameter)
    rows = [{"params": rows, "weight_decay": decay, "top": top, "lr": top} for (top, decay), rows in groups.items()]
    return torch.optim.AdamW(rows, fused=True)


class MovingAverage:
    """Moves one net towards another of its shape; whole numbers, which count batches, are taken as they are.

    Args:
        ema: What is moved.
        model: Where to. Both keep their tensors: what is written into them is seen, what takes their place isn't.
    """

    def __init__(self, ema: nn.Module, model: nn.Module) -> None:
        pairs = list(zip(ema.state_dict().values(), model.state_dict().values(), strict=True))
        floats = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        self._old, self._new = [old for old, _ in floats], [new for _, new in floats]
        self._counts = [pair for pair in pairs if not pair[0].dtype.is_floating_point]

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """Keep so much of the average, and take the rest from the model."""
        torch._foreach_lerp_(self._old, self._new, 1 - decay)
        for count, counted in self._counts:
            count.copy_(counted)


def precision_of(config: TrainConfig, device: torch.device) -> torch.dtype:
    """bfloat16 where it is asked for, or where the device multiplies it in hardware; else float32."""
    if config.precision != "auto":
        return torch.bfloat16 if config.precision == "bf16" else torch.float32
    able = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if able else torch.float32


def _backward_only(model: nn.Module, loss: Callable[[], dict[str, Tensor]]) -> None:
    """A step's products without its consequences, for counting: evaluation mode, so no batch norm remembers it."""
    model.eval()
    loss()["loss"].backward()  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        parameter.grad = None
