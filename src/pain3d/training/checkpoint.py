"""Knows how a run is kept: weights, their average, optimiser and progress in one file, the best weights in another.

Batches, augmentation and dropout are functions of seed and step, so no generator has to be kept, and a run that goes on
from an older checkpoint learns the same. Each file holds a hash of what is in it; the last two checkpoints are kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pain3d.console.refused import RefusedError, complain, one_line
from pain3d.doors.text import parse_json
from pain3d.files import flush_folder, partial_path, remove, rename, write_durably, write_flushed

NAME = "checkpoint.safetensors"
PREVIOUS = "checkpoint.previous.safetensors"  # the one before
BEST = "best.safetensors"
PROGRESS = {"step": int, "best": dict, "since": int, "run": str}  # what the loop goes on from
SEAL = "sealed"  # names the hash of a file's tensors and progress, 64 digits, and the progress right behind it


class Checkpoints:
    """The last two states of a run.

    Args:
        folder: Of the run.
        run_hash: Of what decides the result; a checkpoint of another run is refused.
    """

    def __init__(self, folder: Path, run_hash: str) -> None:
        self.path, self.previous = folder / NAME, folder / PREVIOUS
        self._run = run_hash
        self._whole = False  # whether the newest is known to be; one that is damaged takes no place of a good one

    def load(
        self, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, tell: bool = True
    ) -> dict[str, Any] | None:
        """Put the newest state that is whole back and return its progress; None where nothing was ever kept.

        If that is not the newest one, a line says so. Nothing is written.

        Raises:
            RefusedError: All that there are are damaged, or one is of another run or model.
        """
        wrong: list[str] = []
        for path in (self.path, self.previous):
            try:
                if path == self.path or path.exists():
                    progress = load_checkpoint(path, model, ema, optimiser, self._run)
                    break
            except DamagedError as error:
                wrong.append(str(error))
            except FileNotFoundError:
                wrong.append(f"{path}: missing")
        else:
            if not self.path.exists() and not self.previous.exists():
                return None
            raise RefusedError(f"{'; '.join(wrong)}; learn anew in another folder")
        self._whole = path == self.path
        if wrong and tell:
            complain(f"{wrong[0]}; going on from {path.name}, step {progress['step']}")
        return progress

    def save(
        self, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]
    ) -> None:
        """Keep a state as the newest, see `checkpoint_bytes`. Whatever happens meanwhile, a whole one is there."""
        partial = partial_path(self.path)
        try:
            write_flushed(partial, checkpoint_bytes(model, ema, optimiser, {**progress, "run": self._run}))
            if self._whole:
                rename(self.path, self.previous)
            rename(partial, self.path)
        except BaseException:
            remove(partial)
            raise
        flush_folder(self.path.parent)
        self._whole = True


class DamagedError(RefusedError):
    """A file of a run doesn't hold what was written."""


def checkpoint_bytes(
    model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]
) -> bytes:
    """A state after a step, as a file holds it.

    Args:
        model: What learns.
        ema: Moving average of its weights.
        optimiser: AdamW over the model's parameters.
        progress: JSON values: step, best validation, of which NaN is kept as null, configuration hash.
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema/{name}": tensor for name, tensor in ema.state_dict().items()}
    for place, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{place}/{name}": torch.as_tensor(tensor) for name, tensor in state.items()}
    return _sealed(tensors, progress)


def load_checkpoint(
    path: Path, model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer, run_hash: str
) -> dict[str, Any]:
    """Put a saved state back and return its progress.

    Raises:
        RefusedError: It is of another run or model; a DamagedError where it is damaged.
        FileNotFoundError: There is none.
    """
    tensors, progress = read_checkpoint(path)
    if progress["run"] != run_hash:
        raise RefusedError(f"{path}: of another run")
    try:
        _put_back(path, tensors, model, ema, optimiser)
    except (ValueError, IndexError, RuntimeError) as error:
        raise error if isinstance(error, RefusedError) else RefusedError(f"{path}: of another model") from error
    return progress


def _put_back(
    path: Path, tensors: dict[str, Tensor], model: nn.Module, ema: nn.Module, optimiser: torch.optim.Optimizer
) -> None:
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


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and progress of a checkpoint.

    Raises:
        DamagedError: It isn't as it was written.
        FileNotFoundError: There is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not path.exists():
        raise FileNotFoundError(path)
    try:
        if not path.is_file():
            raise ValueError("not a file")
        content = path.read_bytes()  # not mapped: a disk that fails would end the process
        tensors = load(content)  # it looks at the header, whose length is the first eight bytes
        told = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")], str(path))["__metadata__"]
        digest, words = told[SEAL][:64], told[SEAL][64:]
        if digest != _hash(tensors, words):
            raise ValueError("its hash is that of other bytes")
        progress = parse_json(words, str(path))
        if not isinstance(progress, dict) or any(
            not isinstance(progress[name], kind) for name, kind in PROGRESS.items()
        ):
            raise TypeError("progress of another form")
        best = {name: math.nan if value is None else value for name, value in progress["best"].items()}
        return tensors, {**progress, "best": best}
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise DamagedError(f"{path}: not a checkpoint of pain3d, or damaged ({one_line(error)})") from error


def _sealed(tensors: Mapping[str, Tensor], progress: dict[str, Any]) -> bytes:
    """Tensors and progress with their hash, as safetensors; in one entry, since the order of two varies."""
    from safetensors.torch import save

    apart = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    best = {name: value if math.isfinite(value) else None for name, value in progress["best"].items()}
    told = json.dumps({**progress, "best": best}, allow_nan=False)
    return bytes(save(apart, {SEAL: _hash(apart, told) + told}))


def _hash(tensors: Mapping[str, Tensor], told: str) -> str:
    """SHA-256 over progress and tensors by name, 64 hex digits."""
    digest = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\0{name}\0{tensor.dtype}\0{list(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class BestWeights:
    """Weights of the best validation so far.

    Args:
        folder: Where they are kept, as BEST; None keeps them in memory.
        run_hash: Of what decides the result.
    """

    def __init__(self, folder: Path | None, run_hash: str = "") -> None:
        self._path = None if folder is None else folder / BEST
        self._run = run_hash
        self._held: dict[str, Tensor] | None = None

    def keep(self, model: nn.Module, progress: dict[str, Any]) -> None:
        """Keep a model's weights instead of those before, and what had come of the run by then."""
        if self._path is None:
            self._held = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        else:
            write_durably(self._path, _sealed(model.state_dict(), {**progress, "run": self._run}))

    def restore(self, model: nn.Module) -> None:
        """Give a model the weights that were kept; where none were, it stays as it is. Raises RefusedError."""
        held = self.read() if self._path is not None and self._path.exists() else self._held
        if held is not None:
            model.load_state_dict(held)

    def read(self) -> dict[str, Tensor]:
        """The weights that a folder keeps. Raises RefusedError if they are missing, damaged or another run's."""
        assert self._path is not None
        try:
            held, progress = read_checkpoint(self._path)
        except FileNotFoundError:
            raise RefusedError(f"{self._path}: missing, its run can't go on; learn anew in another folder") from None
        if progress["run"] != self._run:
            raise RefusedError(f"{self._path}: of another run")
        return held
