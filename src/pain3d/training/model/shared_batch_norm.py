"""Knows how batch norms see all pictures of a step when several processes share it: one mean, one variance.

On a GPU that is torch's SyncBatchNorm, which knows no CPU.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm over the pictures of all ranks, of the default process group."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape; the sums that go round are float32. Gradients: through them, to all ranks."""
        if not self.training:
            return super().forward(x)
        from torch.distributed.nn.functional import all_reduce

        wide = x.float()
        sums = torch.cat([wide.sum((0, 2, 3)), wide.new_full((1,), x.numel() // x.shape[1])])
        total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = wide - mean[:, None, None]
        spread: Tensor = all_reduce(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        variance = spread / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        gain = (variance + self.eps).rsqrt() * self.weight
        return (centred * gain[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running averages, as `nn.BatchNorm2d` does."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        share = 0.0 if self.momentum is None else self.momentum
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def share_batch_norms(model: nn.Module, group: Any) -> None:
    """Let the batch norms of a model see the pictures of all ranks, in place; weights and names stay as they are.

    Args:
        model: On its device.
        group: Of the ranks, for a model on a GPU.
    """
    if next(model.parameters()).is_cuda:
        nn.SyncBatchNorm.convert_sync_batchnorm(model, group)  # type: ignore[no-untyped-call]
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm
