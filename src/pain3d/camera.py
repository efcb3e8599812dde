"""Cameras: where they stand and how they project. Right-handed, +Y up, the camera looks along its own −Z."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from pain3d.device import moved
from pain3d.kernels._described import described
from pain3d.lens import bending
from pain3d.ranges import FAR, check_rows, told

Degrees = float | Sequence[float] | Tensor
CONVENTION = "world_to_view @ point; +X right, +Y up, camera looks along -Z; pixel centres at +0.5, row 0 on top"
MOST_PIXELS = 16384  # a side
MIN_DISTANCE = 0.05  # metres: nearer, the camera is inside the head
FOV = (1.0, 150.0)  # degrees


@dataclass(frozen=True)
class Camera:
    """N cameras of one image size, pinholes but for the distortion of their lenses.

    Attributes:
        world_to_view: [N, 4, 4] rigid transforms, metres.
        fov_degrees: [N] vertical field of view.
        size: (height, width) in pixels.
        distortion: [N] k1 of each lens, see `pain3d.lens`; None is pinholes. `project` knows it; `world_to_clip`, and
            with it whoever renders, does not.

    Raises:
        ValueError: A shape does not fit, or a number is not finite or no field of view (looked at on the CPU).
    """

    __repr__ = described

    world_to_view: Tensor
    fov_degrees: Tensor
    size: tuple[int, int]
    distortion: Tensor | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        count = check_rows("world_to_view", self.world_to_view, (4, 4))
        if check_rows("fov_degrees", self.fov_degrees, (), 0.0, 180.0) != count:
            raise ValueError(f"fov_degrees must have {count} values like world_to_view, got {len(self.fov_degrees)}")
        if self.distortion is not None and check_rows("distortion", self.distortion, ()) != count:
            raise ValueError(f"distortion must have {count} values like world_to_view, got {len(self.distortion)}")
        picture_size(self.size)

    def __len__(self) -> int:
        return int(self.world_to_view.shape[0])

    def to(self, device: torch.device | str) -> Camera:
        """The same cameras on a device."""
        return moved(self, device)

    @classmethod
    def orbit(
        cls,
        yaw_degrees: Degrees = 0.0,
        pitch_degrees: Degrees = 0.0,
        roll_degrees: Degrees = 0.0,
        distance: Degrees = 0.8,
        fov_degrees: Degrees = 25.0,
        target: tuple[float, float, float] | Tensor = (0.0, -0.01, 0.02),
        size: int | tuple[int, int] = 512,
    ) -> Camera:
        """Cameras on a sphere around `target`, all looking at it. Every argument is a number or N of them.

        Args:
            yaw_degrees: Turn around the head; positive sees the subject's left cheek.
            pitch_degrees: Positive looks down from above; −90 to 90, exclusive.
            roll_degrees: Turn of the camera about its axis; positive tilts the head clockwise in the picture.
            distance: Metres from the target, at least 0.05.
            fov_degrees: Vertical field of view, 1 to 150.
            target: Point to look at, [3] or [N, 3], metres.
            size: Pixels, one number for a square or (height, width).

        Raises:
            ValueError: A value is out of range or not finite, or the numbers of values differ.
        """
        height, width = picture_size(size)
        named = {"yaw_degrees": yaw_degrees, "pitch_degrees": pitch_degrees, "roll_degrees": roll_degrees,
                 "distance": distance, "fov_degrees": fov_degrees}  # fmt: skip
        values = {name: _numbers(name, value, 1).reshape(-1) for name, value in named.items()}
        centre = _numbers("target", target, 3)
        if not len(centre) or not bool((centre.abs() <= FAR).all()):  # false for NaN too
            raise ValueError(f"target must be in {-FAR:g}..{FAR:g} metres, got {told(target)}")
        count = max([len(v) for v in values.values()] + [len(centre)])
        limits = {"pitch_degrees": (-89.9, 89.9), "distance": (MIN_DISTANCE, FAR), "fov_degrees": FOV}
        for name, value in values.items():
            if len(value) not in (1, count):
                raise ValueError(f"{name} must have 1 or {count} values, got {len(value)}")
            low, high = limits.get(name, (-1e6, 1e6))
            if not bool(((value >= low) & (value <= high)).all()):  # false for NaN too
                raise ValueError(f"{name} must be in {low:g}..{high:g}, got {value.tolist()}")
        yaw, pitch, roll = (torch.deg2rad(values[n].expand(count)) for n in list(named)[:3])
        away = torch.stack([yaw.sin() * pitch.cos(), pitch.sin(), yaw.cos() * pitch.cos()], 1)  # target → camera
        right = torch.stack([yaw.cos(), 0 * yaw, -yaw.sin()], 1)
        up = torch.linalg.cross(away, right)
        tilted_right = roll.cos()[:, None] * right - roll.sin()[:, None] * up
        tilted_up = roll.sin()[:, None] * right + roll.cos()[:, None] * up
        rotation = torch.stack([tilted_right, tilted_up, away], 1)
        position = centre + values["distance"][:, None] * away
        transform = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
        transform[:, :3, :3] = rotation
        transform[:, :3, 3] = -(rotation @ position[..., None])[..., 0]
        return cls(transform.float(), values["fov_degrees"].expand(count).float(), (height, width))

    @property
    def whole_size(self) -> tuple[int, int]:
        """(height, width) of the whole picture, of which a camera may take a part only."""
        return self.size

    @property
    def position(self) -> Tensor:
        """Camera centres [N, 3] in the world, metres."""
        rotation = self.world_to_view[:, :3, :3]
        return -(rotation.transpose(1, 2) @ self.world_to_view[:, :3, 3:])[..., 0]

    @property
    def intrinsics(self) -> Tensor:
        """K [N, 3, 3] in pixels, for view-space points with y flipped down and z forward (OpenCV)."""
        height, width = self.size
        focal = 0.5 * height / torch.tan(torch.deg2rad(self.fov_degrees) / 2)
        k = self.world_to_view.new_zeros(len(self), 3, 3)
        k[:, 0, 0] = k[:, 1, 1] = focal
        k[:, 0, 2], k[:, 1, 2], k[:, 2, 2] = width / 2, height / 2, 1
        return k

    @property
    def world_to_clip(self) -> Tensor:
        """[N, 4, 4]: x and y in [−w, w] on the screen (y up), w the distance along the view axis in metres."""
        height, width = self.size
        scale = 1 / torch.tan(torch.deg2rad(self.fov_degrees) / 2)
        projection = self.world_to_view.new_zeros(len(self), 4, 4)
        projection[:, 0, 0] = scale * height / width
        projection[:, 1, 1] = scale
        projection[:, 2, 2] = projection[:, 3, 2] = -1
        return projection @ self.world_to_view

    def project(self, points: Tensor) -> Tensor:
        """Pixel positions [N, P, 2] (x right, y down) of world points [N, P, 3] or [1, P, 3], through the lens.

        Gradients: to points, and to distortion.
        """
        height, width = self.size
        transform = self.world_to_clip
        clip = points @ transform[:, :3, :3].transpose(1, 2) + transform[:, None, :3, 3]
        across, up = clip[..., 0] / clip[..., 2], clip[..., 1] / clip[..., 2]
        if self.distortion is not None:
            half = torch.tan(torch.deg2rad(self.fov_degrees) / 2)[:, None]
            factor = bending(self.distortion[:, None], (half * width / height * across) ** 2 + (half * up) ** 2)
            across, up = across * factor, up * factor
        return torch.stack([(across * 0.5 + 0.5) * width, (0.5 - up * 0.5) * height], -1)


def check_pinholes(cameras: Camera) -> None:
    """Raise ValueError where lenses distort: for who renders what a pinhole sees."""
    if cameras.distortion is not None:
        raise ValueError("cameras must have no distortion: only render_scenes draws what a lens bends")


def picture_size(size: object) -> tuple[int, int]:
    """Height and width of pictures, from one number for a square or from both.

    Raises:
        ValueError: It is neither, or out of 1..16384.
    """
    many = isinstance(size, Iterable) and not isinstance(size, (str, Tensor))
    sides: tuple[Any, ...] = tuple(size) if many else (size, size)  # type: ignore[arg-type]
    if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise ValueError(f"size must be whole pixels, one number for a square or (height, width), got {told(size)}")
    height, width = int(sides[0]), int(sides[1])
    if not 1 <= height <= MOST_PIXELS or not 1 <= width <= MOST_PIXELS:
        raise ValueError(f"size must be in 1..{MOST_PIXELS} pixels, got {told((height, width))}")
    return height, width


def _numbers(name: str, given: object, each: int) -> Tensor:
    """What a public argument holds as float64 [N, each]. Raises ValueError where it is something else."""
    try:
        return torch.as_tensor(given, dtype=torch.float64).reshape(-1, each)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        wanted = "a number, or N of them" if each == 1 else f"{each} numbers, or N times {each}"
        raise ValueError(f"{name} must be {wanted}, got {told(given)}") from error
