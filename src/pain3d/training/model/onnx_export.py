"""Knows how a model becomes one ONNX file, and asks ONNX Runtime whether that file says the same before it is kept.

The file has float32 weights, any number of pictures a batch, and its metadata say which square of a picture is cut out
(``square``, JSON), how pixels are normalised, and which action units come out.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from pain3d.console.refused import RefusedError
from pain3d.face.square import BELOW_EYES, FIVE_POINTS, SIDE_METRES
from pain3d.files import flush_folder, flush_written, partial_path, remove, rename
from pain3d.provenance import pain3d_version
from pain3d.random import keyed_generator
from pain3d.training.data.augmentation import MEAN, STD
from pain3d.training.data.batches import crop_side
from pain3d.training.data.samples import UNITS
from pain3d.training.extra import need_extra
from pain3d.training.model.both_ways import ask_both_ways
from pain3d.training.model.factory import Model
from pain3d.training.model.lora import merge_lora
from pain3d.training.model.pretrained import load_pretrained

OUTPUTS: Final = ("pspi", "au", "binary")  # and pspi_std of a model that says it
CHECKED: Final = (2, 1)  # pictures in the batches of the check: a batch whose size got fixed would show
TOLERANCE: Final = 1e-3  # PSPI, of 16. Worst seen 1e-6: three models with first weights, torch 2.13, runtime 1.32
LARGEST: Final = 2**31 - 1  # bytes of one protobuf file


class _Plain(nn.Module):
    """A model with tensors for outputs; every picture has its own neutral one."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    @property
    def said(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return OUTPUTS if self.model.spread is None else (*OUTPUTS, "pspi_std")

    def forward(self, image: Tensor, neutral: Tensor | None = None) -> tuple[Tensor, ...]:
        """Pictures [B, 3, S, S], and the same of neutral faces → what is said, see `said`."""
        own = None if neutral is None else torch.arange(image.shape[0], device=image.device)[:, None]
        outputs = ask_both_ways(self.model, image, neutral, own)
        spread = () if outputs.pspi_std is None else (outputs.pspi_std,)
        return outputs.pspi, outputs.au, outputs.binary.sigmoid(), *spread


def export_onnx(source: Path, to: Path, quiet: bool = False) -> float:
    """Write a saved model as ONNX.

    Inputs of the file: ``image`` [B, 3, S, S] and, where the model takes one, ``neutral`` [B, 3, S, S]; both
    (x − mean) / std. Outputs: ``pspi`` [B] 0–16, ``au`` [B, 6], ``binary`` [B, 3] chances of PSPI ≥ 1, 2, 3, and where
    the model says it ``pspi_std`` [B], in which nothing is of how strange a face is.

    Args:
        source: Folder of a model or of a run.
        to: The file, .onnx; one that is there is replaced, once the new one is whole and checked.
        quiet: Print nothing.

    Returns:
        The largest difference from PyTorch that was seen, in PSPI.

    Raises:
        RefusedError: The extra is missing; the model can't be read; it is too large for one file; or ONNX Runtime says
            something else than PyTorch, and then no file is left.
    """
    if to.suffix != ".onnx":
        raise RefusedError(f"{to}: the name must end in .onnx")
    if not to.parent.is_dir():
        raise RefusedError(f"{to.parent}: no such folder")
    need_extra("onnx", "ONNX")
    model = load_pretrained(source)
    merge_lora(model)
    size = sum(weight.numel() * 4 for weight in model.state_dict().values())
    if size > LARGEST:
        raise RefusedError(f"{source}: {size / 1e9:.1f} GB of weights; one ONNX file holds 2.1 GB")
    plain = _Plain(model).eval()
    partial = partial_path(to)
    remove(partial)  # it may be a link
    try:
        _write(plain, partial)
        worst = _check(plain, partial)
        _publish(partial, to)
    finally:
        remove(partial)
    if not quiet:
        print(f"{to}: {to.stat().st_size / 1e6:.1f} MB, within {worst:.0e} PSPI of PyTorch")
    return worst


def _square(model: Model) -> dict[str, Any]:
    """What of a picture the model sees, for whoever has the file alone; see `pain3d.face.square`."""
    config = model.config
    if config.framing != "square":
        return {"of": "the whole picture" if config.framing == "whole" else "unknown: the model doesn't say"}
    share = config.image_size / crop_side(config.image_size)  # of what is cut the net sees the middle
    side, eyes = SIDE_METRES * share, FIVE_POINTS[1][0] - FIVE_POINTS[0][0]
    return {
        "of": "the face, upright in the picture",
        "pixels": config.image_size,
        "side_metres": round(side, 4),
        "side_in_eye_distances": round(side / eyes, 3),  # of a face that is seen from the front
        "middle_below_eyes_metres": BELOW_EYES,
        "middle_below_eyes_in_sides": round(BELOW_EYES / side, 3),
        "eyes": "the middle of the four eye corners, at its depth",
        "beyond_the_picture": "its edge, repeated",
    }


def _write(plain: _Plain, path: Path) -> None:
    """Trace the model and save the graph."""
    pictures = _pictures(plain.model, CHECKED[0])
    batch = {0: torch.export.Dim("batch")}
    with _still():
        program: Any = torch.onnx.export(
            plain,
            tuple(pictures.values()),
            input_names=list(pictures),
            output_names=list(plain.said),
            dynamic_shapes=(batch,) * len(pictures) if len(pictures) == 1 else dict.fromkeys(pictures, batch),
            dynamo=True,
            verbose=False,
        )
    program.model.metadata_props.update(
        pain3d=pain3d_version(),
        mean=" ".join(map(str, MEAN)),
        std=" ".join(map(str, STD)),
        units=" ".join(UNITS),
        square=json.dumps(_square(plain.model)),
        notice="not a medical device",
    )
    program.save(path, external_data=False)


def _check(plain: _Plain, path: Path) -> float:
    """The largest difference in PSPI between ONNX Runtime and PyTorch. Raises RefusedError if it is not small."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for count in CHECKED:
        pictures = _pictures(plain.model, count)
        outputs = session.run(list(plain.said), {name: value.numpy() for name, value in pictures.items()})
        with torch.no_grad():
            expected = plain(*pictures.values())
        for name, ours, theirs in zip(plain.said, expected, outputs, strict=True):
            apart = (ours - torch.from_numpy(theirs)).abs().max().item()
            if not apart <= TOLERANCE:  # NaN is refused too
                raise RefusedError(f"ONNX Runtime and PyTorch differ by {apart:.1e} in {name}; {TOLERANCE:.0e} may be")
            worst = max(worst, apart if name == "pspi" else 0.0)
    return worst


def _pictures(model: Model, count: int) -> dict[str, Tensor]:
    """Made-up inputs by name, [count, 3, S, S] each."""
    side = model.config.image_size
    names = ("image", "neutral") if model.config.neutral else ("image",)
    return {
        name: torch.from_numpy(
            keyed_generator(0, f"onnx {name}", count).standard_normal((count, 3, side, side), dtype="float32")
        )
        for name in names
    }


@contextmanager
def _still() -> Iterator[None]:
    """Keep the exporter's remarks on its own work off the terminal; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _publish(partial: Path, to: Path) -> None:
    """Flush a file that is whole and give it its name."""
    flush_written(partial)
    rename(partial, to)
    flush_folder(to.parent)
