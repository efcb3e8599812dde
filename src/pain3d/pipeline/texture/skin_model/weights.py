"""Knows where the small model's weights lie, and in which form: safetensors in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from pain3d.pipeline.texture.skin_model.net import SkinNet

SHIPPED = Path(__file__).parent / "data" / "skin_model.safetensors"


def write_weights(net: SkinNet, path: Path | None = None) -> None:
    """Write a net's state in half precision; None is where the package reads it."""
    from safetensors.torch import save_file  # here: only who has the extra has it

    target = SHIPPED if path is None else path
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in net.state_dict().items()}, target)


def read_weights(path: Path = SHIPPED) -> SkinNet:
    """The net whose weights a file holds, in single precision, ready to be asked."""
    from safetensors.torch import load_file

    from pain3d.pipeline.texture.skin_model.net import SkinNet

    net = SkinNet()
    net.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return net.eval().requires_grad_(False)
