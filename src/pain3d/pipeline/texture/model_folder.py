"""Knows what a folder of a diffusion model holds, before it is loaded: its kind, faults, hash and licence.

Only settings (JSON) and the headers of safetensors files are read here. Pickles can run code when they are opened, so a
folder that holds its weights as nothing else is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pain3d.console.refused import MOST_QUOTED, RefusedError, one_line, quoted, shortened
from pain3d.doors.text import read_header, read_json, read_text

KINDS: Final = ("sd", "sdxl", "flux", "zimage", "qwen")
TRANSFORMERS: Final = {
    "FluxTransformer2DModel": "flux",
    "ZImageTransformer2DModel": "zimage",
    "QwenImageTransformer2DModel": "qwen",
}
CONTROLS: Final = {
    "ControlNetModel": "",  # of Stable Diffusion, which one its settings tell
    "FluxControlNetModel": "flux",
    "ZImageControlNetModel": "zimage",
    "QwenImageControlNetModel": "qwen",
}
PICKLES: Final = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
TOKENISERS: Final = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
SETTINGS: Final = ("*.json", "*.txt", "*.model", "*.md", "LICENSE*")
HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# Names of licences on the hub, and their SPDX identifiers.
SPDX: Final = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc0-1.0": "CC0-1.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "bsd-3-clause": "BSD-3-Clause",
}
UNKNOWN: Final = "unknown"
MOST_CHANNELS: Final = 65_536  # of a decoder: the widest have 512
_KINDS: Final[dict[str, type]] = {"_class_name": str, "weight_map": dict}  # what is looked up in settings
CHUNK: Final = 1 << 24  # bytes hashed at a time


@dataclass(frozen=True)
class ModelFolder:
    """A model that can be loaded: whole, safe, of a known kind.

    Attributes:
        path: Folder in the layout of diffusers.
        weights: Single file of all weights of the base; `path` then holds settings and tokenisers alone.
        kind: One of `KINDS`, or another word where it is asked for by name.
        control: Folder or single file of its ControlNet; None where the base takes depth itself (FLUX.1-Depth).
        variant: Part of the weights' names, such as ``fp16``, where all of them have it.
        parameters: Count of all weights, ControlNet included.
        width: Channels of the picture decoder at full size, for the plan of memory.
        licence: SPDX identifiers, joined by AND; ``unknown`` where no card tells.
    """

    path: Path
    weights: Path | None
    kind: str
    control: Path | None
    variant: str | None
    parameters: int
    width: int
    licence: str

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.resolve().name

    def digest(self, extra: tuple[Path, ...] = ()) -> str:
        """SHA-256 over names, sizes and bytes of weights and settings, 64 hex digits.

        Args:
            extra: Further files, such as a LoRA.
        """
        total = hashlib.sha256()
        files = [(path.relative_to(self.path).as_posix(), path) for path in _hashed(self.path)]
        if self.control and self.control.is_dir() and not self.control.is_relative_to(self.path):
            files += [(f"control/{path.relative_to(self.control).as_posix()}", path) for path in _hashed(self.control)]
        extra += tuple(path for path in (self.weights, self.control) if path and path.is_file())
        for name, path in [*files, *((path.name, path) for path in extra)]:
            total.update(f"{name}\n{path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while block := file.read(CHUNK):
                    total.update(block)
        return total.hexdigest()


def find_model(name: str, revision: str | None = None, fetch: bool = True) -> Path:
    """The folder or file of that name; else a hub id, from the local cache or from the hub.

    Args:
        name: Path, or owner/name.
        revision: On the hub.
        fetch: Whether the hub may be asked; else only the cache is.

    Raises:
        RefusedError: It is neither, or the hub doesn't answer or doesn't give it.
    """
    path = Path(name).expanduser()
    if path.exists():
        return path
    if not HUB_ID.fullmatch(name):
        raise RefusedError(f"{name}: no such model folder, and not a hub id such as owner/name")
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    wanted: dict[str, Any] = {"revision": revision, "allow_patterns": [*SETTINGS, "*.safetensors"], "etag_timeout": 5.0}
    try:
        return Path(huggingface_hub.snapshot_download(name, local_files_only=True, **wanted))
    except (LocalEntryNotFoundError, OSError) as error:
        if not fetch:
            raise RefusedError(
                f"{name}: not in the local cache; --model {name} fetches it, --model DIR takes a folder"
            ) from error
    try:
        return Path(huggingface_hub.snapshot_download(name, **wanted))
    except Exception as error:  # whatever the hub, its client or the network may raise: the user asked for it by name
        raise RefusedError(
            f"{name}: not in the local cache, and the hub doesn't give it ({one_line(error)})"
        ) from error


def inspect_model(path: Path, control: Path | None = None, settings: Path | None = None) -> ModelFolder:
    """Look into a model and its ControlNet.

    Args:
        path: Folder of the base, or a single .safetensors file.
        control: Folder or single file of the ControlNet; None is `controlnet/` in the former, if there is one.
        settings: Folder with settings and tokenisers for a base that is a single file.

    Raises:
        RefusedError: A component is missing or holds pickles alone, the base or the ControlNet is of no known kind, or
            they don't belong together; names which.
    """
    single = path if path.is_file() else None
    if single is not None:
        check_file(single)
        if settings is None:
            raise RefusedError(f"{path}: a file of weights alone: the recipe must name a folder of settings (settings)")
        path = settings
    _, components = read_components(path, weights=single is None)
    main = next((name for name in ("unet", "transformer") if name in components), None)
    if main is None:
        raise RefusedError(f"{path}: neither unet nor transformer in model_index.json")
    base = _read_json(path / main / "config.json")
    kind = _kind_of(path, base, components)
    if control is None and (path / "controlnet").is_dir():
        control = path / "controlnet"
    if control is not None:
        _check_control(control, path, kind, base)
    elif not takes_depth(kind, base):
        raise RefusedError(f"{path}: a ControlNet is missing: name one (--controlnet), or put it in controlnet/")
    return describe(path, components, kind, single, control)


def describe(
    path: Path, components: Iterable[str], kind: str, single: Path | None = None, control: Path | None = None
) -> ModelFolder:
    """What is known of a model whose components were looked at; see `ModelFolder`.

    Raises:
        RefusedError: A file of weights is cut.
    """
    parts = [path / name for name in components] if single is None else []
    weights = [file for part in parts for file in sorted(part.glob("*.safetensors"))]
    held = sorted(control.glob("*.safetensors")) if control and control.is_dir() else [f for f in (control,) if f]
    vae = _read_json(path / "vae" / "config.json") if "vae" in components else {}
    counted = [*_one_precision(weights), *([single] if single else []), *_one_precision(held)]
    licences = {
        licence_of(folder if folder.is_dir() else folder.parent) for folder in (single or path, control) if folder
    }
    return ModelFolder(
        path,
        single,
        kind,
        control,
        _variant(weights),
        sum(_count_parameters(file) for file in counted),
        _channels(path / "vae" / "config.json", vae),
        " AND ".join(sorted(licences - {UNKNOWN})) or UNKNOWN,
    )


def read_components(path: Path, *, weights: bool = True) -> tuple[dict[str, Any], dict[str, str]]:
    """What model_index.json of a folder says, and its components but the ControlNet: class of each by name.

    Args:
        path: The folder.
        weights: Whether it holds weights too, or settings and tokenisers alone.

    Raises:
        RefusedError: It is no such folder, or a component is missing or holds pickles alone; names which.
    """
    index_file = path / "model_index.json"
    if not index_file.is_file():
        raise RefusedError(f"{path}: no model_index.json: not a folder of a diffusers model")
    index = _read_json(index_file)
    components = {
        name: str(entry[1]) for name, entry in index.items() if isinstance(entry, list) and len(entry) == 2 and entry[1]
    }
    components.pop("controlnet", None)  # looked at by who asks, wherever it is
    for name, made in components.items():
        _check_component(path, name, made, weights=weights)
    return index, components


def takes_depth(kind: str, settings: dict[str, Any]) -> bool:
    """Whether a base model takes a picture beside its latents: FLUX.1-Depth, whose input is twice its output."""
    channels = settings.get("out_channels")
    return kind == "flux" and settings.get("in_channels", 64) == 2 * (channels if isinstance(channels, int) else 64)


def licence_of(folder: Path) -> str:
    """SPDX identifier from the head of a folder's card: ``LicenseRef-…`` where SPDX has none, else ``unknown``."""
    card = folder / "README.md"
    text = read_text(card, errors="replace").lstrip() if card.is_file() else ""
    front = text.removeprefix("---\n").partition("\n---")[0] if text.startswith("---\n") and "\n---" in text else ""
    lines = (line.partition(":") for line in front.split("\n"))
    told = {key: value.strip().strip("\"'") for key, _, value in lines if key in ("license", "license_name")}
    name = told.get("license", "")
    if name in ("other", "") and told.get("license_name"):
        name = told["license_name"]
    if not name or name == "other":
        return UNKNOWN
    return SPDX.get(name.lower(), "LicenseRef-" + re.sub(r"[^A-Za-z0-9.-]+", "-", name))


def check_file(file: Path) -> None:
    """See that a single file of weights is there, and one of safetensors.

    Raises:
        RefusedError: It isn't; a pickle is told as such.
    """
    if not file.is_file():
        raise RefusedError(f"{file}: no such file of weights")
    if file.suffix in PICKLES:
        raise RefusedError(f"{file}: a pickle, which can run code when it is opened; convert it to .safetensors")
    if file.suffix != ".safetensors":
        raise RefusedError(f"{file}: neither a model's folder nor a .safetensors file")


def _check_component(path: Path, name: str, kind: str, weights: bool) -> None:
    """See that a component's folder holds what it must."""
    folder = path / name
    if Path(name).name != name or not folder.is_dir() or not any(folder.iterdir()):
        raise RefusedError(
            f"{path}: the component {shortened(name, MOST_QUOTED)} ({shortened(kind, MOST_QUOTED)}) is missing"
        )
    if kind.endswith("Scheduler"):
        needed: tuple[str, ...] = ("scheduler_config.json",)
    elif "Tokenizer" in kind or kind.endswith("Processor"):
        needed = (*TOKENISERS, "preprocessor_config.json", "processor_config.json")
    elif "Extractor" in kind:
        needed = ("preprocessor_config.json",)
    else:
        needed = ("config.json",)
    if not any((folder / file).is_file() for file in needed):
        raise RefusedError(f"{folder}: no {' or '.join(needed)}")
    if weights and needed == ("config.json",):
        check_weights(folder)


def check_weights(folder: Path) -> None:
    """See that a network's folder holds safetensors, all of their parts.

    Raises:
        RefusedError: It doesn't; names the part, or the pickle that is there instead.
    """
    if not folder.is_dir():
        raise RefusedError(f"{folder}: no such folder of weights")
    for index in folder.glob("*.safetensors.index*.json"):
        for part in sorted({str(part) for part in _read_json(index).get("weight_map", {}).values()}):
            if Path(part).name != part or not (folder / part).is_file():
                raise RefusedError(f"{folder}: the weights {shortened(part, MOST_QUOTED)} are missing")
    if not any(folder.glob("*.safetensors")):
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in PICKLES)
        if pickles:
            raise RefusedError(
                f"{folder / pickles[0]}: a pickle, which can run code when it is opened; convert it to .safetensors"
            )
        raise RefusedError(f"{folder}: no weights (.safetensors)")


def _kind_of(path: Path, settings: dict[str, Any], components: dict[str, Any]) -> str:
    """Which family a base model is of, from the class and the settings of its network."""
    name = settings.get("_class_name")
    if name == "UNet2DConditionModel":
        return "sdxl" if settings.get("addition_embed_type") == "text_time" or "text_encoder_2" in components else "sd"
    if name not in TRANSFORMERS:
        raise RefusedError(f"{path}: {name} is of no kind that paints here; known are {', '.join(KINDS)}")
    return TRANSFORMERS[name]


def _check_control(control: Path, path: Path, kind: str, settings: dict[str, Any]) -> None:
    """See that a ControlNet is whole and was made for the base."""
    if control.is_file():
        check_file(control)
        if kind != "zimage":
            raise RefusedError(f"{control}: a file of weights alone; a ControlNet for {kind} is read from a folder")
        return
    if not (control / "config.json").is_file():
        raise RefusedError(f"{control}: no config.json: not a folder of a ControlNet")
    check_weights(control)
    own = _read_json(control / "config.json")
    made_for = CONTROLS.get(own.get("_class_name", ""))
    if made_for is None:
        raise RefusedError(f"{control}: {own.get('_class_name')} is no ControlNet of a known kind")
    if made_for == "":
        made_for = "sdxl" if own.get("addition_embed_type") == "text_time" else "sd"
    if made_for != kind:
        raise RefusedError(f"{control}: a ControlNet for {made_for}, but {path} is {kind}")
    field = {"sd": "cross_attention_dim", "sdxl": "cross_attention_dim", "zimage": "dim"}.get(
        kind, "joint_attention_dim"
    )
    if own.get(field) != settings.get(field):
        told, wanted = quoted(own.get(field)), quoted(settings.get(field))
        raise RefusedError(f"{control}: made for another base: {field} is {told}, in {path} it is {wanted}")


def _variant(weights: list[Path]) -> str | None:
    """The middle part that the weights' names share: fp16 of diffusion_pytorch_model.fp16.safetensors."""
    stems = [re.sub(r"-\d{5}-of-\d{5}", "", file.name.removesuffix(".safetensors")) for file in weights]
    middles = {stem.partition(".")[2] for stem in stems}
    folders = {file.parent for file in weights}
    plain = {file.parent for file, stem in zip(weights, stems, strict=True) if "." not in stem}
    return (middles - {""}).pop() if len(middles - {""}) == 1 and not plain and folders else None


def _one_precision(weights: list[Path]) -> Iterator[Path]:
    """Each network's weights once: where a folder holds them in half precision too, only the plain ones."""
    plain = {file.parent for file in weights if "." not in file.name.removesuffix(".safetensors")}
    return (file for file in weights if file.parent not in plain or "." not in file.name.removesuffix(".safetensors"))


def _count_parameters(file: Path) -> int:
    """Numbers in a safetensors file, from its header: 8 bytes of length, then JSON with the shape of each tensor."""
    most, count = 8 * file.stat().st_size, 0  # not more numbers than bits
    try:
        for name, tensor in read_header(file).items():
            if name != "__metadata__":
                numbers = 1
                for side in tensor["shape"]:
                    numbers *= side
                    if type(side) is not int or not 0 <= numbers <= most:
                        raise ValueError(f"{name} has no shape")
                count += numbers
    except (ValueError, TypeError, KeyError) as error:
        raise RefusedError(f"{file}: not a whole safetensors file") from error
    return count


def _channels(path: Path, settings: dict[str, Any]) -> int:
    """Channels of a picture decoder at full size, from its settings, which lie at a path."""
    told = settings.get("block_out_channels") or [settings.get("base_dim", 128)]
    first = told[0] if isinstance(told, list) else told
    if type(first) is not int or not 0 < first <= MOST_CHANNELS:
        raise RefusedError(f"{path}: must tell channels from 1 to {MOST_CHANNELS}, got {quoted(first)}")
    return first


def _hashed(root: Path) -> list[Path]:
    """Weights and settings of a folder, in the order of their names."""
    kinds = (".safetensors", ".json", ".txt", ".model")
    return sorted(path for path in root.rglob("*") if path.suffix in kinds and path.is_file())


def _read_json(path: Path) -> dict[str, Any]:
    held = read_json(path)
    if not isinstance(held, dict):
        raise RefusedError(f"{path}: no table of settings")
    for name, kind in _KINDS.items():
        if name in held and not isinstance(held[name], kind):
            raise RefusedError(f"{path}: {name} must be a {kind.__name__}, got {quoted(held[name])}")
    return held
