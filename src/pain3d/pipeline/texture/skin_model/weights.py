"""Knows the files of the small model's weights: safetensors in half precision, and what they say of who taught them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from pain3d.console.refused import RefusedError, one_line
from pain3d.doors.text import parse_json, read_header
from pain3d.files import write_durably

if TYPE_CHECKING:
    from pain3d.pipeline.texture.skin_model.net import SkinNet

SHIPPED = Path(__file__).parent / "data" / "skin_model.safetensors"
METADATA: Final = "pain3d"  # the one field of a file's metadata: the order in which several are written is not fixed
OWN: Final = {"places", "shown"}  # tensors that no other model's file has


def write_weights(net: SkinNet, path: Path, told: Mapping[str, Any]) -> None:
    """Write a net's state in half precision, whole or not at all.

    Args:
        net: It.
        path: A .safetensors file.
        told: What is known of it, as JSON holds it; ``licence`` is what rows will say.
    """
    from safetensors.torch import save  # here: only who has the extra has it

    state = {name: tensor.to(torch.float16).contiguous() for name, tensor in net.state_dict().items()}
    write_durably(path, save(state, {METADATA: json.dumps(told, sort_keys=True)}))


def read_weights(path: Path) -> tuple[SkinNet, dict[str, Any]]:
    """The net whose weights a file holds, in single precision, ready to be asked; and what the file says of itself.

    Raises:
        RefusedError: They are damaged, not finite, or another net's.
    """
    from pain3d.pipeline.texture.skin_model.net import SkinNet

    net = SkinNet()
    told, tensors = read_file(path)
    state = {name: tensor.float() for name, tensor in tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise RefusedError(f"{path}: weights of the small model that are not numbers")
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise RefusedError(f"{path}: not weights of the small model ({one_line(error)})") from error
    return net.eval().requires_grad_(False), told


def read_file(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file of ours says of itself, and its tensors.

    Raises:
        RefusedError: It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            told = parse_json((file.metadata() or {}).get(METADATA, "{}"), METADATA)
            if not isinstance(told, dict):
                raise ValueError(f"{METADATA} is no object")
            return told, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, ValueError) as error:
        raise RefusedError(f"{path}: not a whole safetensors file ({one_line(error)})") from error


def is_skin_model(path: Path) -> bool:
    """Whether a file holds weights of the small model, by the names of its tensors; its header alone is read."""
    try:
        return path.is_file() and read_header(path).keys() >= OWN
    except (OSError, ValueError):
        return False
