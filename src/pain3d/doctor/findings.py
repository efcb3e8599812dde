"""Knows what this installation can do: versions, extras and what each opens, devices, heads with their licences."""

from __future__ import annotations

import importlib.util
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

NEEDED: Final = ("torch", "numpy", "numba", "pyarrow", "pillow", "simplejpeg", "opencv-python-headless", "tyro")
# What is optional, by the module that tells whether it is there: distribution, extra, what it opens.
OPTIONAL: Final = {
    "triton": ("triton", "triton", "the renderer's kernels on a GPU"),
    "timm": ("timm", "train", "pain3d train, evaluate, score"),
    "safetensors": ("safetensors", "train", "weights of nets"),
    "h5py": ("h5py", "train", "UNBC-McMaster in HDF5"),
    "diffusers": ("diffusers", "diffusion", "painted textures and backgrounds"),
    "onnxruntime": ("onnxruntime", "onnx", "pain3d export --onnx"),
    "viser": ("viser", "view", "pain3d view"),
    "huggingface_hub": ("huggingface_hub", "push", "pain3d push"),
    "mediapipe": ("mediapipe", "judge", "pain3d judge, fit and score without landmarks (make judge)"),
}


@dataclass(frozen=True)
class Findings:
    """What `pain3d doctor` says.

    Attributes:
        system: Python, platform, cores, pain3d.
        needed: Distribution → version, "missing" where there is none.
        optional: Distribution → version or "missing", the extra that brings it, what it opens.
        device: What renders and learns here.
        heads: Name, licence, what it lacks.
        faster: What would be faster, and how.
        ok: Whether all that is needed is there.
    """

    system: dict[str, str]
    needed: dict[str, str]
    optional: dict[str, dict[str, str]]
    device: str
    heads: list[dict[str, str]]
    faster: list[str]
    ok: bool

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(heads: tuple[Path, ...] = ()) -> Findings:
    """Look at this installation and at heads of the user's own. Raises HeadFileError: a head that can't be used."""
    import torch

    from pain3d.head.assets import DEFAULT_HEAD, HeadFileError
    from pain3d.head.foreign.conversion import PACKAGED
    from pain3d.head.foreign.loading import source_of
    from pain3d.provenance import code_version, pain3d_version

    needed = {name: _version(name) for name in NEEDED}
    optional = {
        name: {
            "version": _version(name) if importlib.util.find_spec(module) else "missing",
            "extra": extra,
            "opens": opens,
        }
        for module, (name, extra, opens) in OPTIONAL.items()
    }
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"CPU, {cores} cores"
    known = [{"head": str(DEFAULT_HEAD.name), "licence": PACKAGED.licence, "missing": ""}]
    for path in heads:
        if not path.exists():
            raise HeadFileError(f"{path}: no such head")
        source = source_of(path)
        known.append(
            {"head": str(path), "licence": f"{source.kind}: {source.licence}", "missing": ", ".join(source.missing)}
        )
    return Findings(
        system={
            "pain3d": f"{pain3d_version()} ({code_version()})",
            "python": platform.python_version(),
            "platform": platform.platform(),
        },
        needed=needed,
        optional=optional,
        device=device,
        heads=known,
        faster=_faster(cuda, cores, torch.get_num_threads(), optional["triton"]["version"] != "missing"),
        ok="missing" not in needed.values(),
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _faster(cuda: bool, cores: int, threads: int, triton: bool) -> list[str]:
    """What would be faster here; nothing where nothing is known to."""
    told = []
    if not cuda:
        told.append("a CUDA GPU: rendering, training and painting use one where torch sees it")
    elif not triton:
        told.append('pip install "pain3d[triton]": the kernels for a GPU are written in Triton')
    if threads > cores:
        told.append(f"OMP_NUM_THREADS={cores}: torch uses {threads} threads on {cores} cores")
    return told
