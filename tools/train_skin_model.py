"""Knows how the small skin model is taught: `python -m tools.train_skin_model FOLDER` paints people, then teaches.

The teacher is the package's, which `pain3d teach` has too. FOLDER keeps the people, a chunk per file, what views see of
them, and the checkpoint; started again it goes on where it stopped. People, masks, noise and levels are drawn by key.
At the end it writes the weights in half precision. Those that ship were taught while this file was written, so no
single run of it makes them: benchmarks/LOG.md says which steps were taken under what.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from pain3d import Head, Identity, Skin, sample_skin
from pain3d.pipeline.texture.skin_model.lessons import LOOKED_AT, Person, lessons_of, look_at, person_of
from pain3d.pipeline.texture.skin_model.net import SkinNet
from pain3d.pipeline.texture.skin_model.teaching import Course, learn, place
from pain3d.pipeline.texture.skin_model.weights import SHIPPED, write_weights
from pain3d.random import keyed_number
from pain3d.records import LICENCE

SEED: Final = 1401  # of the people it is taught on; those of benchmarks.completed have another
CHUNK, PEOPLE = 50, 3000  # people in a file, and in all
RATE: Final = 6e-4  # of AdamW, for a net that knows nothing yet
CHECKPOINT: Final = "checkpoint.safetensors"


def paint_chunk(folder: Path, number: int, head: Head) -> None:
    """Paint `CHUNK` people and keep what the model sees of them."""
    path = folder / f"people_{number:03d}.npz"
    if path.exists():
        return
    who = [head.sample_identity(SEED, person) for person in range(number * CHUNK, (number + 1) * CHUNK)]
    people = [person_of(head, one, skin_of(one, number * CHUNK + place)) for place, one in enumerate(who)]
    _write(path, **{name: torch.stack([getattr(one, name) for one in people]).numpy() for name in Person._fields})


def look(folder: Path, head: Head) -> npt.NDArray[np.bool_]:
    """What views see [P, 8 + LOOSE, 128, 128] of the first P people."""
    path = folder / "seen.npz"
    if not path.exists():
        who = [head.sample_identity(SEED, person) for person in range(LOOKED_AT)]
        rows = [look_at(head, one, skin_of(one, person), SEED, person) for person, one in enumerate(who)]
        _write(path, seen=np.stack(rows))
    return np.asarray(np.load(path)["seen"])


def skin_of(who: Identity, person: int) -> Skin:
    """The skin of a person."""
    return sample_skin(SEED, person, who.age, who.sex, who.ancestry)


def _write(path: Path, **arrays: npt.NDArray[Any]) -> None:
    partly = path.with_suffix(".part.npz")
    np.savez_compressed(partly, allow_pickle=False, **arrays)
    partly.replace(path)
    print(path.name, flush=True)


def main() -> None:
    """Paint, look, learn, write."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("folder", type=Path)
    asked.add_argument("--steps", type=int, default=2400)
    asked.add_argument("--out", type=Path, default=SHIPPED, help="weights; default: where the package reads them")
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    head = Head.default()
    for number in range(PEOPLE // CHUNK):
        paint_chunk(given.folder, number, head)
    chunks = [np.load(given.folder / f"people_{number:03d}.npz") for number in range(PEOPLE // CHUNK)]
    parts = (torch.from_numpy(np.concatenate([chunk[name] for chunk in chunks])) for name in Person._fields)
    people = map(Person, *parts)
    torch.manual_seed(keyed_number(SEED, "skin_model/first") % 2**63)
    net = SkinNet()
    place(net, head)
    course = Course(given.steps, SEED, RATE)
    taught = learn(net, lessons_of(head, people, look(given.folder, head)), course, given.folder / CHECKPOINT)
    write_weights(taught, given.out, {"licence": LICENCE, "steps": given.steps, "seed": SEED})


if __name__ == "__main__":
    main()
