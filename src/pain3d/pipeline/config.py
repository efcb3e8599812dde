"""Knows what a synthesis run can be told: the configuration, its YAML file, its limits and its hash.

Two kinds of fields. *What* fields decide every byte of the data set and are hashed; *how* fields (``device`` as asked,
``batch_size``, ``processes``) decide only speed. The device class that was picked is hashed too, because pixels are
bit-identical on one class of devices only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from pain3d.console.refused import RefusedError
from pain3d.console.settings import check_keys, checked, read_yaml
from pain3d.facs import LAWS
from pain3d.run_folder import settings_hash

DEVICES: Final = ("auto", "cpu", "cuda")
HOW: Final = ("device", "batch_size", "processes")  # change speed, never bytes
CHOICES: Final[dict[str, tuple[str, ...]]] = {"law": LAWS, "device": DEVICES, "cameras": ("fixed", "free")}

# name: (smallest, largest). The largest are where a typing error is likelier than a wish.
LIMITS: Final[dict[str, tuple[int, int]]] = {
    "identities": (1, 1_000_000),
    "expressions": (1, 1_000),
    "views": (1, 1_000),
    "size": (1, 4096),
    "seed": (0, 2**63 - 1),  # an int64 column holds it
    "quality": (1, 100),
    "identities_per_shard": (1, 100_000),
    "batch_size": (1, 100_000),
    "processes": (1, 1_024),
}


@dataclass(frozen=True)
class SynthConfig:
    """What to synthesise, and how fast."""

    identities: int = 8
    """Number of identities; the demographic cells are filled evenly."""
    expressions: int = 10
    """Pain expressions of each identity; a neutral one is added."""
    views: int = 3
    """Cameras of each identity; every expression is seen from each."""
    cameras: Annotated[str, tyro.conf.arg(metavar="{fixed,free}")] = "fixed"
    """Fixed: a view is one camera and background for all expressions. Free: drawn anew, and the light too, for every
    picture, so that a pain picture and the neutral of its view differ in more than the face."""
    size: int = 512
    """Width and height of an image in pixels."""
    seed: int = 0
    """The same seed and configuration give the same bytes."""
    law: Annotated[str, tyro.conf.arg(metavar="{uniform,independent,clinical}")] = "uniform"
    """How pain is drawn: PSPI uniform over 0-16; each AU by itself; or rare and mild as in a clinic."""
    co_occurring: bool = True
    """Add action units that come with pain but are not in PSPI (AU12, AU20, AU25 ...)."""
    asymmetry: float = 0.0
    """How far left and right may differ, 0 to 1."""
    wrinkles: bool = True
    """Let skin wrinkle with expression and age; without, only the geometry shows them."""
    quality: int = 95
    """Best JPEG quality of the images; each image has its own, from 70 (or this, if less) up to this."""
    identities_per_shard: int = 32
    """Identities in one Parquet file of frames."""
    device: Annotated[str, tyro.conf.arg(metavar="{auto,cpu,cuda}")] = "auto"
    """Where to render."""
    batch_size: int = 1
    """Identities a worker takes at a time. Changes speed, never bytes."""
    processes: int = 1
    """Worker processes; one renders on a thread per core. Changes speed, never bytes."""


FIELDS: Final = tuple(field.name for field in dataclasses.fields(SynthConfig))
WHAT: Final = tuple(name for name in FIELDS if name not in HOW)


def load_config(path: Path) -> SynthConfig:
    """Read a YAML file of configuration fields; fields it leaves out keep their defaults.

    Raises:
        RefusedError: The file can't be read or parsed, is no mapping, or has an unknown key or a bad value.
    """
    content = read_yaml(path)
    try:
        return config_from_mapping(content)
    except RefusedError as error:
        raise RefusedError(f"--config {path}: {error}") from error


def config_from_mapping(content: Mapping[Any, Any]) -> SynthConfig:
    """Make a checked configuration of a mapping such as a YAML file holds.

    Raises:
        RefusedError: An unknown key (the nearest known one is named), a value of the wrong type or out of its limits.
    """
    check_keys(content, SynthConfig)
    return validated(SynthConfig(**content))


def validated(config: SynthConfig) -> SynthConfig:
    """Hand back the configuration if every value is within its limits. Raises RefusedError for the first that isn't."""
    return checked(config, {**LIMITS, "asymmetry": (0.0, 1.0)}, CHOICES)


def what_fields(config: SynthConfig) -> dict[str, Any]:
    """The fields that decide the bytes, by name."""
    fields = {name: getattr(config, name) for name in WHAT}
    return fields | {"asymmetry": float(config.asymmetry)}  # YAML may say 0; 0 and 0.0 are one configuration


def config_hash(config: SynthConfig, device_class: str) -> str:
    """SHA-256 over the fields that decide the bytes and over the device class, 64 hex digits."""
    return settings_hash(what_fields(config) | {"device_class": device_class})
