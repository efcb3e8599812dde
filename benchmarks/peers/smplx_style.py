"""Knows linear blend skinning as body-model code is usually written: one torch expression per line of the formula.

    v = (Σ_j weight_j A_j) (template + Σ_k c_k basis_k)        Loper et al. 2015, "SMPL", equations 2 and 8

Written from that formula: an einsum over all shapes, a dense [V, J] table of weights, and a 4 x 4 matrix per vertex and
mesh that stands in memory, on homogeneous coordinates. No pose correctives: the head has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.workload import MeshSet, Workload


def skin(template: Tensor, basis: Tensor, weights: Tensor, coefficients: Tensor, transforms: Tensor) -> Tensor:
    """Return vertices [B, V, 3] of template [V, 3], basis [V, 3, K], weights [V, J], [B, K] and [B, J, 4, 4]."""
    shaped = template + torch.einsum("bk,vck->bvc", coefficients, basis)
    blended = torch.einsum("vj,bjrc->bvrc", weights, transforms)  # [B, V, 4, 4]
    homogeneous = torch.cat([shaped, torch.ones_like(shaped[..., :1])], -1)
    return torch.matmul(blended, homogeneous[..., None])[..., :3, 0]


class SmplxStyle:
    """Every mesh is deformed in full: in a cross product the identity part is computed for each pair."""

    name = "smplx-style"
    cases: Sequence[str] = ("deform", "deform_pairs", "head")
    ours = False
    antialiased: bool | None = None
    slow = False
    note = "plain torch: einsum over the shapes, a 4 x 4 matrix per vertex; written here from the published formula"

    def why_not(self, device: str) -> str | None:
        """It runs wherever torch does."""
        return None

    def start(self, case: str, workload: Workload) -> Round:
        """Lay the shapes out and spread the sparse weights."""
        shared = workload.shared
        basis = torch.cat([shared.identity_basis, shared.expression_basis]).permute(1, 2, 0).contiguous()
        joints = workload.ring[0].joint_transforms.shape[1]
        weights = shared.skin_weights.new_zeros(len(shared.template), joints)
        weights.scatter_add_(1, shared.skin_joints.long(), shared.skin_weights)

        def run(number: int) -> Mapping[str, Tensor]:
            each: MeshSet = workload.ring[number]
            vertices = skin(shared.template, basis, weights, each.coefficients, each.joint_transforms)
            return {"vertices": vertices}

        return run

    def close(self) -> None:
        """Nothing was taken."""


baselines: tuple[Implementation, ...] = (SmplxStyle(),)
