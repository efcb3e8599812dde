"""Knows what every test runs under: fixed torch threads, fixed hypothesis examples on CI, no network.

Triton kernels run in its interpreter where there is no GPU.
"""

import os

import hypothesis
import torch

# Set before any test imports a hub client: they read it once, at import.
os.environ["HF_HUB_OFFLINE"] = "1"

# Read when a kernel file is imported: without a GPU Triton kernels run in its interpreter, on CPU tensors.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# Two threads wherever the tests run, as the smallest machine has: sums split over more of them round differently.
torch.set_num_threads(2)

# No deadline: the first call of a numba kernel compiles it, seconds beside milliseconds.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")
