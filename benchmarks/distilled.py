"""Knows the case `distill`: tokens of a student and its teacher, and who computes the loss and the gradients.

Nothing is a net here: a round starts from what two of them returned and ends with the gradients that go back into the
student. Memory is therefore that of the loss alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.implementation import Implementation, Round
from benchmarks.sampled import SEED, ring_length, shared
from benchmarks.workload import Size, TokenSet, Workload
from pain3d.kernels import DistillLoss, DistillTargets, StudentPredictions, TeacherPredictions, distill_loss
from pain3d.random import keyed_generator

PATCH, WIDTH = 16, 768  # ViT-B/16: a token per 16 x 16 pixels, and CLS
NUMBERS, CUTS = 6, 3
SCALES: dict[str, Any] = {"scalar_scale": 16.0, "vector_scale": (5.0,) * 5 + (1.0,), "thresholds": (1.0, 2.0, 3.0)}
LEARNT = ("student_tokens", "student_scalar", "student_vector", "student_thresholds")
FEW = 2  # pictures whose gradients are compared
# Of a loss of about 5, float32 sums: worst seen 2e-6. Of a gradient by its greatest entry: float32, and bfloat16, whose
# last place is 2^-8 of an entry.
LOSS_TOLERANCE, GRADIENT_TOLERANCE = 1e-5, {torch.float32: 1e-5, torch.bfloat16: 2**-7}

Loss = Callable[..., Any]


def token_workload(size: Size, device: str = "cpu", *, seed: int = SEED) -> Workload:
    """Inputs of the case distill: `size.side` pixels make (side / 16)² + 1 tokens."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    length = (size.side // PATCH) ** 2 + 1
    count = ring_length(2 * size.batch * length * WIDTH * dtype.itemsize, device)
    ring = tuple(_token_set(size.batch, length, dtype, device, seed, number) for number in range(count))
    return Workload("distill", size, device, shared(device, 0), ring)


def _token_set(batch: int, length: int, dtype: torch.dtype, device: str, seed: int, number: int) -> TokenSet:
    generator = torch.Generator().manual_seed(
        int(keyed_generator(seed, "benchmark/tokens", batch, length, number).integers(2**62))
    )

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    student = normal(batch, length, WIDTH)
    made = {
        "student_tokens": student.to(dtype),
        "teacher_tokens": (0.7 * student + 0.7 * normal(batch, length, WIDTH)).to(dtype),  # half of it is learnt
        "student_scalar": normal(batch),
        "teacher_scalar": normal(batch),
        "student_vector": normal(batch, NUMBERS).abs(),
        "student_thresholds": normal(batch, CUTS),
        "scalar": torch.randint(17, (batch,), generator=generator).float(),
        "vector": torch.randint(6, (batch, NUMBERS), generator=generator).float(),
    }
    return TokenSet({name: tensor.to(device) for name, tensor in made.items()})


def flat_distill_loss(
    student_tokens: Tensor,
    teacher_tokens: Tensor,
    student_scalar: Tensor,
    teacher_scalar: Tensor,
    student_vector: Tensor,
    student_thresholds: Tensor,
    scalar: Tensor,
    vector: Tensor,
    **options: Any,
) -> DistillLoss:
    """`pain3d.kernels.distill_loss` of a set's tensors, with the scales of scores and intensities."""
    student = StudentPredictions(student_tokens, student_scalar, student_vector, student_thresholds)
    teacher, targets = TeacherPredictions(teacher_tokens, teacher_scalar), DistillTargets(scalar, vector)
    return distill_loss(student, teacher, targets, **SCALES, **options)


def answers(loss: Loss, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Losses [7], and the total's gradients to tokens [B, L, D] and logits [B, 1 + K + T]."""
    leaves = {name: inputs[name].detach().requires_grad_() for name in LEARNT}
    told = loss(**(dict(inputs) | leaves))
    tokens, scalar, vector, thresholds = torch.autograd.grad(told.total, list(leaves.values()))
    return {
        "losses": torch.stack([part.detach() for part in told]),
        "token_gradient": tokens,
        "logit_gradient": torch.cat([scalar[:, None], vector, thresholds], 1),
    }


def true_answers(workload: Workload) -> dict[str, Tensor]:
    """The float64 reference's on input set 0; gradients of the first few pictures."""
    exact = {name: tensor.double() for name, tensor in workload.ring[0].inputs.items()}
    found = answers(partial(flat_distill_loss, backend="reference"), exact)
    return {name: (answer if name == "losses" else answer[:FEW]).cpu() for name, answer in found.items()}


def compare(truth: Mapping[str, Tensor], given: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a round's answers are the reference's, and what was seen."""
    off = (given["losses"].cpu().double() - truth["losses"]).abs().max().item()
    passed, seen = off <= LOSS_TOLERANCE * truth["losses"].abs().max().item(), [f"losses within {off:.0e}"]
    for name in ("token_gradient", "logit_gradient"):
        found = given[name][:FEW].cpu()
        share = ((found.double() - truth[name]).abs().max() / truth[name].abs().max()).item()
        passed &= found.shape == truth[name].shape and share <= GRADIENT_TOLERANCE[found.dtype]
        seen.append(f"{name.partition('_')[0]} gradients within {share:.0e} of the greatest")
    return passed, ", ".join(seen)


@dataclass
class Distiller:
    """Somebody who computes the loss and its gradients."""

    name: str
    backend: str
    kind: str  # of device: cuda or both
    note: str
    compiled: bool = False
    over_teacher: bool = False
    ours: bool = True
    cases: Sequence[str] = ("distill",)
    antialiased: bool | None = None
    slow: bool = False
    _held: int | None = None  # bytes on the GPU before the first round, copies of the teachers' tokens among them

    def why_not(self, device: str) -> str | None:
        """Which device, library or compiler is missing."""
        if self.kind not in (device, "both"):
            return "no CUDA device"
        if find_spec("triton") is None and (self.backend == "triton" or (self.compiled and device == "cuda")):
            return "triton is not installed"
        if self.compiled and device == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
            return "torch.compile has no C++ compiler here"
        return None

    def start(self, case: str, workload: Workload) -> Round:
        """Compile; who writes over the teacher's tokens gets copies, which are no part of its memory."""
        loss: Loss = partial(flat_distill_loss, backend=self.backend)
        if self.compiled:
            torch._dynamo.reset()
            loss = torch.compile(loss, fullgraph=True, dynamic=False)
        sets = [each.inputs for each in workload.ring]
        if self.over_teacher:
            loss = partial(loss, overwrite_teacher=True)
            sets = [inputs | {"teacher_tokens": inputs["teacher_tokens"].clone()} for inputs in sets]
            self._held = torch.cuda.memory_allocated() if workload.device == "cuda" else None

        def run(number: int) -> Mapping[str, Tensor]:
            return answers(loss, sets[number])

        return run

    @property
    def detail(self) -> dict[str, Any]:
        """Peak memory beyond the copies."""
        return {} if self._held is None else {"peak_bytes": torch.cuda.max_memory_allocated() - self._held}

    def close(self) -> None:
        """Forget the copies."""
        self._held = None


DISTILLERS: tuple[Implementation, ...] = (
    Distiller("reference", "reference", "both", "plain torch, eager: the definition"),
    Distiller("compiled", "reference", "both", "the same through torch.compile", compiled=True),
    Distiller("triton", "triton", "cuda", "Triton kernels: gradients with the loss"),
    Distiller("triton-in-place", "triton", "cuda", "the same, over the teacher's tokens", over_teacher=True),
)
