"""Knows files of weights: how they are read without running what is in them, and whether they are those of a net."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pain3d.console.refused import RefusedError, one_line


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors or .pth file; nothing in it is run.

    Raises:
        RefusedError: The file is missing, damaged, or holds pickled objects other than tensors.
    """
    if not path.is_file():
        raise RefusedError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise RefusedError(f"{path}: not a whole safetensors file ({one_line(error)})") from error
    if path.suffix != ".pth":
        raise RefusedError(f"{path}: weights are read from .safetensors or .pth files")
    import pickle

    try:
        held: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise RefusedError(f"{path}: holds pickled objects, which can run code; convert it to .safetensors") from error
    except (RuntimeError, EOFError, OSError) as error:
        raise RefusedError(f"{path}: not a whole file of weights ({one_line(error)})") from error
    for name in ("state_dict", "model", "teacher"):
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise RefusedError(f"{path}: holds no table of tensors")
    return {str(name): value for name, value in held.items()}


def check_weights(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], source: str, of: str) -> None:
    """See that weights have the names and shapes of a net.

    Args:
        state: The weights by name.
        wanted: The net's own.
        source: Where the weights are from, for the message.
        of: The net, for the message.

    Raises:
        RefusedError: One is missing, too many, or of another shape; names the first.
    """
    for name, value in wanted.items():
        if name not in state:
            raise RefusedError(f"{source}: no {name}: of another architecture than {of}")
        if state[name].shape != value.shape:
            raise RefusedError(f"{source}: {name} is {list(state[name].shape)}, {of} needs {list(value.shape)}")
    for name in state:
        if name not in wanted:
            raise RefusedError(f"{source}: {name} is nothing of {of}")
