"""Knows the pictures of one identity as a data set stores them: what of the shots they hold, and the files of it.

Whoever renders the same scenes on the same class of devices gets the same bytes, be it a run that makes a data set or
who reads one that stores no pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.encoding import encode_grey, encode_image, encode_ramp
from pain3d.records import DENSE_COLUMNS, DEPTH_UNIT_MM, picture_name, sample_id

if TYPE_CHECKING:
    from pain3d.rendering.frames import RenderedPeople
    from pain3d.scene import Scene


@dataclass(frozen=True)
class Pictures:
    """The encoded pictures of one identity: [B] images and heatmaps, [E] frontal heatmaps; of `dense` [B] each."""

    image: list[bytes]
    heatmap: list[bytes]
    frontal_heatmap: list[bytes]
    dense: dict[str, list[bytes]]


def pixels_of(shots: RenderedPeople) -> dict[str, Tensor]:
    """What of the shots goes to the host, by name and on their device: heatmaps as levels, with the unit of each.

    Of alpha it is how many pixels are covered; of depth it is levels, 0 on background.
    """
    from pain3d.rendering.frames import COVERED
    from pain3d.rendering.heatmap import heatmap_unit, quantise_heatmap
    from pain3d.skin.maps import bounds

    if shots.image.device.type == "cpu":  # picture by picture: what stays in the cache takes a tenth of the time
        levels = torch.zeros(shots.heatmap.shape, dtype=torch.uint8)
        units = torch.empty(len(levels))
        for number, (heatmap, written) in enumerate(zip(shots.heatmap.numpy(), levels.numpy(), strict=True)):
            moved = bounds(heatmap > 0)  # a third of the picture
            unit = float(heatmap_unit(heatmap[moved].max(initial=0)))
            written[moved], units[number] = quantise_heatmap(heatmap[moved], unit), unit
        covered = torch.tensor([np.count_nonzero(picture >= COVERED) for picture in shots.alpha.numpy()])
    else:
        units = heatmap_unit(shots.heatmap.flatten(1).amax(1))
        levels = quantise_heatmap(shots.heatmap, units[:, None, None])
        covered = (shots.alpha >= COVERED).flatten(1).sum(1)
    dense = {}
    if shots.depth is not None:  # rounded half up; inf is background, and torch has no whole numbers of 16 bits to copy
        depth_levels = shots.depth * (1000 / DEPTH_UNIT_MM) + 0.5
        dense["depth"] = torch.where(shots.depth.isfinite(), depth_levels.clamp(1, 65535), 0).to(torch.int32)
    if shots.parts is not None:
        dense["parts"] = shots.parts.contiguous()
    return {
        "image": shots.image,
        "heatmap": levels.contiguous(),
        "heatmap_unit": units,
        "frontal_heatmap": shots.frontal_heatmap.contiguous(),
        "landmarks": shots.landmarks,
        "covered": covered,
        "tone": shots.tone,
        "neutral": shots.neutral_vertices,
        **dense,
    }


def encode_pictures(
    seen: Mapping[str, npt.NDArray[Any]], qualities: Sequence[int], quality: int, dense: Sequence[str] = ()
) -> Pictures:
    """Encode what was rendered of one identity.

    Args:
        seen: Of `pixels_of`, as arrays: image [B, H, W, 3] sRGB, heatmap [B, H, W] levels, frontal_heatmap
            [E, H, W, 3], and levels [B, H, W] of each of `dense`.
        qualities: [B] of the images.
        quality: Of the frontal heatmaps.
        dense: Columns of ``--dense``: depth has 16 bits, parts 8.
    """
    maps = {name: seen[name].astype(np.uint16 if name == "depth" else np.uint8) for name in dense}
    return Pictures(
        image=[encode_image(picture, own) for picture, own in zip(seen["image"], qualities, strict=True)],
        heatmap=[encode_grey(levels) for levels in seen["heatmap"]],
        frontal_heatmap=[encode_ramp(picture, quality) for picture in seen["frontal_heatmap"]],
        dense={name: [encode_grey(levels) for levels in own] for name, own in maps.items()},
    )


def picture_files(scenes: Sequence[Scene], columns: Sequence[str], quality: int) -> dict[str, bytes]:
    """Render a person with procedural skin, and encode the pictures: by the names that files of a data set have.

    Args:
        scenes: All of the person's, expression by expression, view by view.
        columns: Which pictures: image, heatmap, frontal_heatmap, those of ``--dense``.
        quality: Of the frontal heatmaps, 1-100.

    Raises:
        ValueError: The scenes can't be rendered together, or name a texture or place of somebody's own.
    """
    from pain3d.head.model import Head
    from pain3d.rendering.frames import Clock, render_people, render_setup
    from pain3d.rendering.scene_inputs import inputs_of
    from pain3d.skin.painting import BRUSHES

    head = Head.default()
    dense = [name for name in DENSE_COLUMNS if name in columns]
    with BRUSHES:
        inputs = inputs_of(scenes, head)
    pixels = pixels_of(render_people([inputs], render_setup(head), Clock(), dense=dense))
    seen = {name: tensor.numpy() for name, tensor in pixels.items()}
    pictures = encode_pictures(seen, [scene.sensor.quality for scene in scenes], quality, dense)
    names = [sample_id(scene.identity_id, scene.expression_id, scene.view_id) for scene in scenes]
    moments = list(dict.fromkeys(sample_id(scene.identity_id, scene.expression_id) for scene in scenes))
    made: dict[str, tuple[list[str], list[bytes]]] = {
        "image": (names, pictures.image),
        "heatmap": (names, pictures.heatmap),
        "frontal_heatmap": (moments, pictures.frontal_heatmap),
        **{name: (names, pictures.dense[name]) for name in dense},
    }
    files: dict[str, bytes] = {}
    for column in columns:
        whose, contents = made[column]
        files |= {picture_name(name, column): content for name, content in zip(whose, contents, strict=True)}
    return files
