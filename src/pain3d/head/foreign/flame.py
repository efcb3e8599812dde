"""Knows FLAME's file: its arrays by name, its licences, and how its expression shapes are taught our units.

The layout is that of the authors' releases (Li et al., "Learning a model of facial shape and expression from 4D
scans", 2017): 300 shapes of identity, 100 of expression, five joints in our order. FLAME's expression shapes are
principal components and bear no names: each unit is fitted to ours when the file is read, and what the fit leaves over
is kept beside it. Pose-dependent correctives are not used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pain3d.head.assets import MAX_EXTENT, HeadFileError
from pain3d.head.foreign.conversion import ALWAYS_MISSING, Converted, HeadSource, eyeballs
from pain3d.head.foreign.inert_pickle import PickleError, describe
from pain3d.head.foreign.our_units import OurUnits, jaw_angle_of
from pain3d.head.foreign.pickled_arrays import array_of
from pain3d.head.foreign.unit_fit import UnitFit, fit_units

Release = Literal["flame-2023-open"]
OPEN: Final = "flame-2023-open"
SHAPES, EXPRESSIONS, JOINTS = 300, 100, 5
MAX_BYTES: Final = 512 * 2**20
FIELDS: Final = ("v_template", "f", "shapedirs", "J_regressor", "weights", "kintree_table")
PARENTS: Final = [0, 1, 1, 1]
MISSING: Final = (*ALWAYS_MISSING, "pose correctives", "teeth, tongue and lashes", "texture coordinates (cylindrical)")
AUTHORS: Final = "T. Li, T. Bolkart, M. J. Black, H. Li, J. Romero: FLAME, ACM Transactions on Graphics 2017"


def flame_source(release: Release | None, fit: UnitFit | None = None) -> HeadSource:
    """Whose head it is and under which licence: what the file cannot tell, its user must."""
    if release == OPEN:
        return HeadSource(
            "FLAME", "FLAME 2023 Open, CC BY 4.0", f"Head: FLAME 2023 Open, CC BY 4.0, {AUTHORS}", MISSING, fit
        )
    terms = f"non-commercial research only, unless it is FLAME 2023 Open (then say release={OPEN!r})"
    return HeadSource("FLAME", terms, f"Head: FLAME, non-commercial research only, {AUTHORS}", MISSING, fit)


def read_flame(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a FLAME pickle. Nothing in the file is executed.

    Raises:
        HeadFileError: No pickle, damaged, something that no head needs, not FLAME's arrays; one line.
    """
    if path.stat().st_size > MAX_BYTES:
        raise HeadFileError(f"{path}: larger than the {MAX_BYTES >> 20} MB a head may take")
    content = path.read_bytes()
    start = content[:512].lstrip().lower()
    if start.startswith(b"<"):
        raise HeadFileError(f"{path}: a web page, not a head: the download asked for a log-in")
    if start.startswith(b"version https://git-lfs"):
        raise HeadFileError(f"{path}: a Git LFS pointer, not a head: run git lfs pull")
    try:
        described = describe(content)
        if not isinstance(described, dict):
            raise PickleError("it holds no dictionary of arrays")
        missing = [name for name in FIELDS if name not in described]
        if missing:
            raise PickleError(f"it lacks {', '.join(missing)}: not a FLAME file")
        arrays = {name: array_of(described[name]) for name in FIELDS}
    except PickleError as error:
        raise HeadFileError(f"{path}: not read: {error}") from None
    _check(path, arrays)
    return arrays


def _check(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    vertices, faces = len(np.atleast_1d(arrays["v_template"])), len(np.atleast_1d(arrays["f"]))
    wanted = {
        "v_template": (vertices, 3), "f": (faces, 3), "shapedirs": (vertices, 3, SHAPES + EXPRESSIONS),
        "J_regressor": (JOINTS, vertices), "weights": (vertices, JOINTS), "kintree_table": (2, JOINTS),
    }  # fmt: skip
    for name, shape in wanted.items():
        if arrays[name].shape != shape:
            got = list(arrays[name].shape)
            raise HeadFileError(
                f"{path}: {name} must be {list(shape)} as in FLAME, got {got}: another model or version"
            )
        if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all():
            raise HeadFileError(f"{path}: {name} has a number that is not finite")
    if arrays["f"].dtype.kind not in "iu" or arrays["f"].min() < 0 or arrays["f"].max() >= vertices:
        raise HeadFileError(f"{path}: f points outside the {vertices} vertices")
    if np.abs(arrays["v_template"]).max() > MAX_EXTENT:
        raise HeadFileError(f"{path}: v_template reaches {np.abs(arrays['v_template']).max():.1f} m, is it in metres?")
    if arrays["kintree_table"][0, 1:].astype(np.int64).tolist() != PARENTS:
        raise HeadFileError(f"{path}: kintree_table is not FLAME's: jaw and eyes hang on the neck there")
    if np.abs(arrays["weights"].sum(1) - 1).max() > 1e-3:
        raise HeadFileError(f"{path}: weights must sum to 1 for every vertex")


def flame_head(path: Path, release: Release | None) -> tuple[Converted, HeadSource]:
    """A FLAME file as a head of ours, its units fitted. Raises HeadFileError, in one line."""
    arrays = read_flame(path)
    template, faces = arrays["v_template"].astype(np.float64), arrays["f"].astype(np.int64)
    shapes = np.moveaxis(arrays["shapedirs"].astype(np.float64), 2, 0)
    regressor, weights = arrays["J_regressor"].astype(np.float64), arrays["weights"].astype(np.float64)
    joints = regressor @ template
    eyes = eyeballs(template, faces, joints[3:5])
    try:
        ours = OurUnits.on(template, faces, joints[3:5], eyes)
    except ValueError as error:
        raise HeadFileError(f"{path}: {error}") from None
    names = tuple(f"expression{number:03d}" for number in range(EXPRESSIONS))
    fit = fit_units(ours.names, ours.fields, names, shapes[SHAPES:], ours.weight)
    made = np.einsum("ke,evc->kvc", fit.coefficients, shapes[SHAPES:])
    converted = Converted(
        name="flame",
        template=template,
        faces=faces,
        identity={f"shape{number:03d}": shapes[number] for number in range(SHAPES)},
        units=dict(zip(ours.names, made, strict=True)) | dict(zip(names, shapes[SHAPES:], strict=True)),
        eyes=eyes,
        joints=joints,
        joint_basis=np.einsum("jv,svc->sjc", regressor, shapes[:SHAPES]),
        skin_weights=weights / weights.sum(1, keepdims=True),
        jaw_angle=jaw_angle_of(template, joints[2], weights[:, 2], ours),
    )
    return converted, flame_source(release, fit)
