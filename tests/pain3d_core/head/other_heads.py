"""Makes heads of other makers' layouts out of the packaged one: no file of theirs is in the tree."""

import pickle
import sys
import types
from pathlib import Path

import numpy as np
import scipy.sparse

import pain3d
from pain3d.random import keyed_generator

SCALE, SHIFT = 0.97, np.array([0.004, -0.01, 0.006])  # another size, another place
CUT = 0.02  # m of z: the face alone, so that tests stay short


class Part:
    """The front of the packaged head, its vertices in another order."""

    def __init__(self) -> None:
        head = pain3d.Head.default()
        wanted = [head.part_names.index(part) for part in ("skin", "left_eye", "right_eye")]
        kept = np.isin(head.vertex_parts.numpy(), wanted) & (head.template[:, 2].numpy() > CUT)
        order = keyed_generator(0, "tests/other head").permutation(np.flatnonzero(kept))
        number = np.full(len(head.template), -1)
        number[order] = np.arange(len(order))
        faces = number[head.faces.numpy()]
        self.head, self.order = head, order
        self.faces = faces[(faces >= 0).all(1)]
        self.template = head.template.numpy()[order].astype(np.float64) * SCALE + SHIFT
        self.weights = np.zeros((len(order), 5))
        np.put_along_axis(
            self.weights, head.skin_joints.numpy()[order].astype(int), head.skin_weights.numpy()[order], 1
        )
        self.eyes = [np.flatnonzero(head.vertex_parts.numpy()[order] == part) for part in wanted[1:]]
        self.driven = [
            name for name in head.unit_names if not name.startswith(("lidClose", "jawOpen", "mouthShrugUpper"))
        ]

    def unit(self, name: str) -> np.ndarray:
        """[V, 3] of a unit of ours."""
        row = self.head.expression_basis[self.head.unit_names.index(name)].numpy()
        return row[self.order].astype(np.float64) * SCALE


def flame_arrays(part: Part) -> dict[str, object]:
    """Arrays as FLAME's file holds them; its expression shapes are mixtures of our units that bear no names."""
    rng = keyed_generator(0, "tests/flame")
    units = np.stack([part.unit(name) for name in part.driven])
    mixing = np.linalg.qr(rng.standard_normal((100, len(units))))[0]
    shapes = np.zeros((len(part.template), 3, 400), np.float32)
    shapes[:, :, 300:] = np.einsum("ek,kvc->vce", mixing, units)
    few = part.head.identity_basis[44:64].numpy()[:, part.order]
    shapes[:, :, :20] = np.moveaxis(few * part.head.local_sigma[:20, None, None], 0, 2)
    regressor = np.zeros((5, len(part.template)))
    for row, eye in zip((3, 4), part.eyes, strict=True):
        regressor[row, eye] = 1 / len(eye)
    for row, joint in enumerate(
        part.head.joints.numpy()[:3].astype(np.float64) * SCALE + SHIFT
    ):  # sums to 1, lands there
        system = np.concatenate([part.template.T, np.ones((1, len(part.template)))])
        regressor[row] = np.linalg.lstsq(system, np.append(joint, 1), rcond=None)[0]
    return {
        "v_template": part.template, "f": part.faces.astype(np.uint32), "shapedirs": shapes,
        "posedirs": np.zeros((len(part.template), 3, 36), np.float32), "weights": part.weights,
        "J_regressor": scipy.sparse.csc_matrix(regressor), "bs_type": "lrotmin", "bs_style": "lbs",
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
    }  # fmt: skip


def write_flame(path: Path, arrays: dict[str, object], protocol: int = 2, wrapped: tuple[str, ...] = ()) -> Path:
    """A pickle of the arrays, some of them in what looks like chumpy's wrapper."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})  # type: ignore[attr-defined]
    said = dict(arrays)
    for name in wrapped:
        said[name] = module.Ch()  # type: ignore[attr-defined]
        said[name].__dict__ = {"x": arrays[name], "_dirty_vars": set(), "_itr": None}  # type: ignore[attr-defined]
    sys.modules |= {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}
    try:
        path.write_bytes(pickle.dumps(said, protocol))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    return path
