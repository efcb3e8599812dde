"""Knows how the small skin model is taught: `python -m tools.train_skin_model FOLDER` paints people, then learns.

FOLDER keeps the people, a chunk per file, what views see of them, and checkpoints; started again it goes on where it
stopped. People, masks, noise and levels are drawn by key. At the end it writes the weights in half precision. Those
that ship were taught while this file was written, so no single run of it makes them: benchmarks/LOG.md says which steps
were taken under what.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pain3d import Camera, Head, paint, sample_skin, surface, surface_maps
from pain3d.pipeline.texture.completion import mirror_columns
from pain3d.pipeline.texture.skin_model.grid import FOLD, SIDE, dressed, numbers_of, reduced, tone_of
from pain3d.pipeline.texture.skin_model.net import NOISES, SkinNet, schedule
from pain3d.pipeline.texture.skin_model.weights import write_weights
from pain3d.pipeline.texture.views import DISTANCE, FIELD, TARGET, see, standard_cameras
from pain3d.random import keyed_generator, keyed_number
from pain3d.skin.photographed import photographable

SEED: Final = 1401  # of the people it is taught on; those of benchmarks.completed have another
PAINTED, PICTURE = 256, 448  # texels of a painted texture, pixels of a view
CHUNK, PEOPLE, LOOKED_AT = 50, 3000, 64  # people in a file, in all, and those that views look at
LOOSE: Final = 5  # views of any direction of each that is looked at
GRAZING: Final = 0.26  # cosine of the angle from which on a view sees a texel: 75°
BATCH, RATE, WARM, DECAY = 8, 6e-4, 100, 0.998  # people in a step, rate, steps until it is reached, of the mean
FROM_NOISE: Final = 0.5  # share of pure noise: completing takes one step from there
GAIN: Final = 0.08  # standard deviation of ln of a colour gain, where something is seen: painters have other whites
SAVED: Final = 100  # steps between checkpoints


def paint_chunk(folder: Path, number: int, head: Head) -> None:
    """Paint `CHUNK` people and keep what the model sees of them."""
    path = folder / f"people_{number:03d}.npz"
    if path.exists():
        return
    maps = surface_maps(head, PAINTED)
    pictures, told, worn = [], [], []
    for person in range(number * CHUNK, (number + 1) * CHUNK):
        who = head.sample_identity(SEED, person)
        skin = paint(maps, sample_skin(SEED, person, who.age, who.sex, who.ancestry))
        pictures.append(np.round(127.5 * (reduced(skin[..., :3]) + 1).numpy()).astype(np.uint8))
        told.append(numbers_of(who.age, who.sex, who.ancestry, tone_of(skin, maps)).numpy())
        worn.append(dressed(skin, maps).numpy()[0] > 0)
    _write(path, pictures=np.stack(pictures), told=np.stack(told), worn=np.stack(worn))


def look(folder: Path, head: Head) -> npt.NDArray[np.bool_]:
    """What views see [P, 9 + LOOSE, 128, 128] of P people: the front, three and five views, and loose ones."""
    path = folder / "seen.npz"
    if not path.exists():
        rows = []
        for person in range(LOOKED_AT):
            who = head.sample_identity(SEED, person)
            grown = surface(head, sample_skin(SEED, person, who.age, who.sex, who.ancestry))
            draw = keyed_generator(SEED, "skin_model/views", person)
            loose = Camera.orbit(
                draw.uniform(-120, 120, LOOSE).tolist(), draw.uniform(-30, 30, LOOSE).tolist(),
                distance=DISTANCE, fov_degrees=FIELD, target=TARGET, size=PICTURE,
            )  # fmt: skip
            sets = (standard_cameras(3, PICTURE), standard_cameras(5, PICTURE), loose)
            rows.append(np.concatenate([seen_texels(head, who, grown, cameras) for cameras in sets]))
        _write(path, seen=np.stack(rows))
    return np.asarray(np.load(path)["seen"])


def seen_texels(head: Head, who: Any, grown: Any, cameras: Camera) -> npt.NDArray[np.bool_]:
    """The texels [N, 128, 128] that pixels of N views see at less than 75°."""
    seen = see(head, who, grown, cameras)
    marked = np.zeros((len(cameras), SIDE, SIDE), bool)
    for view in range(len(cameras)):
        where = (seen.face_ids[view] >= 0) & (seen.conditions.normals[view, ..., 2] > GRAZING)
        u, v = seen.uv(view)[0][where].numpy().T
        marked[view, ((1 - v) * SIDE).astype(int).clip(0, SIDE - 1), (u * SIDE).astype(int).clip(0, SIDE - 1)] = True
    return marked


class Lessons(NamedTuple):
    """All that steps draw from.

    Attributes:
        pictures: [P, 3, 128, 128] uint8.
        told: [P, 6].
        worn: [P, 128, 128] bool, hair and cloth.
        seen: Of `look`.
        mirror: [128, 128] columns of the other side.
    """

    pictures: Tensor
    told: Tensor
    worn: Tensor
    seen: npt.NDArray[np.bool_]
    mirror: npt.NDArray[np.int64]


def batch_of(lessons: Lessons, step: int, shown: Tensor) -> tuple[Tensor, ...]:
    """Textures, noise, level of noise, mask and numbers of one step, by its key."""
    draw = keyed_generator(SEED, "skin_model/step", step)
    chosen = draw.integers(len(lessons.pictures), size=BATCH)
    clean = lessons.pictures[chosen].float() / 127.5 - 1
    masks = np.stack([mask_of(lessons.worn[person].numpy(), lessons.seen, draw) for person in chosen])
    rows = np.arange(SIDE)[:, None]
    for number in np.flatnonzero(draw.random(BATCH) < 0.5):
        clean[number] = clean[number][:, rows, lessons.mirror]
        masks[number] = masks[number, rows, lessons.mirror]
    given = np.asarray(masks.any((1, 2)))[:, None, None, None]
    gain = np.exp(GAIN * draw.standard_normal((BATCH, 3, 1, 1)) * given)
    clean = ((clean + 1) * torch.from_numpy(gain).float() - 1).clamp(-1, 1) * shown
    noise = torch.from_numpy(draw.standard_normal((BATCH, 3, SIDE, SIDE), np.float32))
    level = torch.from_numpy(np.where(draw.random(BATCH) < FROM_NOISE, NOISES - 1, draw.integers(NOISES, size=BATCH)))
    return clean, noise, level, torch.from_numpy(masks[:, None]).float(), lessons.told[chosen]


def mask_of(
    worn: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_], draw: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """What is given of a texture [128, 128]: nothing, hair and cloth, or what some views see."""
    views, kind = seen[draw.integers(len(seen))], draw.random()
    if kind < 0.08:
        return np.zeros((SIDE, SIDE), bool)
    if kind < 0.25:
        return worn.copy()
    if kind < 0.50:
        given = views[0].copy()
    elif kind < 0.80:
        given = (views[:3] if kind < 0.65 else views[3:8]).any(0)
    else:
        given = views[8:][draw.integers(LOOSE, size=2)].any(0)
    for _ in range(draw.integers(4)):  # holes, as hands, glasses and what a painter got wrong leave them
        top, left = draw.integers(-10, SIDE, size=2)
        tall, wide = draw.integers(6, 40, size=2)
        given[max(top, 0) : top + tall, max(left, 0) : left + wide] = False
    return np.asarray(given)


def learn(folder: Path, lessons: Lessons, head: Head, steps: int) -> SkinNet:
    """Teach a new net, or the one that was left, until it has had `steps`; the mean of late weights is returned."""
    torch.manual_seed(keyed_number(SEED, "skin_model/first") % 2**63)
    net, levels = SkinNet(), schedule()
    place(net, head)
    mean = copy.deepcopy(net).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    first, checkpoint = 0, folder / "checkpoint.pt"
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(kept["net"])
        mean.load_state_dict(kept["mean"])
        optimiser.load_state_dict(kept["optimiser"])
        first = kept["step"]
    losses, started = [], time.perf_counter()
    for step in range(first, steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / WARM) * (0.02 + 0.98 * math.cos(0.5 * math.pi * step / steps) ** 2)
        clean, noise, level, where, told = batch_of(lessons, step, net.shown)
        guess = net(levels.add_noise(clean, noise, level), level, clean, where, told)
        unseen = net.shown * (1 - where)
        loss = ((guess - clean) ** 2 * unseen).sum() / unseen.sum() / 3
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            held = min(DECAY, (step + 1) / (step + 10))
            for late, now in zip(mean.parameters(), net.parameters(), strict=True):
                late.lerp_(now, 1 - held)
        losses.append(float(loss.detach()))
        if (step + 1) % SAVED == 0 or step + 1 == steps:
            spent = (time.perf_counter() - started) / len(losses)
            print(f"step {step + 1} of {steps}: loss {np.mean(losses[-SAVED:]):.5f}, {spent:.2f} s a step", flush=True)
            partly = checkpoint.with_suffix(".part")
            state = {"net": net.state_dict(), "mean": mean.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save({**state, "step": step + 1}, partly)
            partly.replace(checkpoint)
    return mean


def place(net: SkinNet, head: Head) -> None:
    """Tell a net where its texels lie on the head."""
    maps = surface_maps(head, SIDE)
    charted = torch.from_numpy(photographable(maps)).float()[None, None]
    planes = torch.from_numpy(np.stack([maps.x, maps.y, maps.z]) / 100)[None]
    net.shown.copy_(charted)
    net.places.copy_(avg_pool2d(torch.cat([planes, charted], 1), FOLD))


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
    asked.add_argument("--out", type=Path, help="weights; default: where the package reads them")
    given = asked.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    head = Head.default()
    for number in range(PEOPLE // CHUNK):
        paint_chunk(given.folder, number, head)
    chunks = [np.load(given.folder / f"people_{number:03d}.npz") for number in range(PEOPLE // CHUNK)]
    pictures, told, worn = (
        torch.from_numpy(np.concatenate([chunk[name] for chunk in chunks])) for name in ("pictures", "told", "worn")
    )
    mirror = mirror_columns(surface_maps(head, SIDE))[0]
    lessons = Lessons(pictures, told, worn, look(given.folder, head), mirror)
    write_weights(learn(given.folder, lessons, head, given.steps), given.out)


if __name__ == "__main__":
    main()
