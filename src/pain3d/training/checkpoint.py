"""Knows how a run is kept: weights, their average, optimiser and progress in one file, the best weights in another.

Batches, augmentation and dropout are functions of seed and step, so no generator has to be kept. A file is replaced at
once: there is always a whole one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.text import parse_json
from pain3d.files import write_durably

NAME = "checkpoint.safetensors"
BEST = "best.safetensors"
PROGRESS = {"step": int, "best": dict, "since": int, "run": str}  # what the loop goes on from


def save_checkpoint(
    path: Path, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Write the state after a step.

    Args:
        path: Of the file.
        model: What learns.
        ema: Moving average of its weights.
        optimiser: AdamW over the model's parameters.
        progress: JSON values: step, best validation, configuration hash.
    """
    from safetensors.torch import save

    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema/{name}": tensor for name, tensor in ema.state_dict().items()}
    for place, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{place}/{name}": torch.as_tensor(tensor) for name, tensor in state.items()}
    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_durably(path, save(apart, {"progress": json.dumps(progress)}))


def load_checkpoint(path: Path, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Any]:
    """Put a saved state back and return its progress.

    Raises:
        RefusedError: The file is damaged, or of another model.
    """
    tensors, progress = read_checkpoint(path)
    for part, module in (("model", model), ("ema", ema)):
        state = {name.partition("/")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}
        try:
            module.load_state_dict(state)
        except RuntimeError as error:
            raise RefusedError(f"{path}: of another model ({str(error).splitlines()[1].strip()})") from error
    parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    kept: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser/"):
            _, place, what = name.split("/")
            # Laid out in memory as its parameter: a fused optimiser walks both without looking at strides.
            alike = torch.empty_like(parameters[int(place)]).copy_(tensor) if tensor.ndim else tensor
            kept.setdefault(int(place), {})[what] = alike
    whole = optimiser.state_dict()
    whole["state"] = kept
    optimiser.load_state_dict(whole)
    return progress


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and progress of a checkpoint. Raises RefusedError if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            progress = parse_json((file.metadata() or {})["progress"], str(path))
            if not isinstance(progress, dict) or any(
                not isinstance(progress[name], kind) for name, kind in PROGRESS.items()
            ):
                raise TypeError("progress of another form")
            return {name: file.get_tensor(name) for name in file.keys()}, progress  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RefusedError(f"{path}: not a checkpoint of pain3d, or damaged ({one_line(error)})") from error


class BestWeights:
    """Weights of the best validation so far.

    Args:
        folder: Where they are kept, as BEST; None keeps them in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / BEST
        self._held: dict[str, Tensor] | None = None

    def keep(self, model: nn.Module) -> None:
        """Keep a model's weights instead of those before."""
        from safetensors.torch import save

        if self._path is None:
            self._held = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            write_durably(self._path, save({n: t.detach().cpu().contiguous() for n, t in model.state_dict().items()}))

    def restore(self, model: nn.Module) -> None:
        """Give a model the weights that were kept; where none were, it stays as it is."""
        from safetensors.torch import load_file

        held = load_file(self._path) if self._path is not None and self._path.exists() else self._held
        if held is not None:
            model.load_state_dict(held)
