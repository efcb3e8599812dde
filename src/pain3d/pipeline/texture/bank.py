"""Knows the folder that painted textures are kept in: each under a name that its bytes decide, beside what made it.

    BANK/ab/ab12…/albedo.png    8-bit sRGB, a power of two a side; with alpha a skin below hair
    BANK/ab/ab12…/entry.json    who was painted, by whom, of what prompt and seed; how good it is
    BANK/quarantine/cd34….json  what was asked for and could not be painted, and why

A name is the SHA-256 of both files, so the same texture has the same name everywhere, what was changed shows, and banks
are merged by copying their folders into one. Whoever goes on where a run stopped finds what was painted by what was
asked for: a hash too, of model, prompt, seed, person and sizes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pain3d.console.refused import MOST_SAID, RefusedError, shortened
from pain3d.doors.limits import PICTURE_BYTES, TEXT_BYTES
from pain3d.doors.pictures import decode_layer, decode_picture, has_alpha
from pain3d.doors.text import read_bytes, read_json
from pain3d.files import (
    flush_folder,
    make_folders,
    make_inside,
    partial_path,
    remove,
    rename,
    write_flushed,
    write_inside,
)
from pain3d.rendering.frames import TEXTURE_SIZE

PICTURE: Final = "albedo.png"
ENTRY: Final = "entry.json"
QUARANTINE: Final = "quarantine"
_KINDS: Final[dict[Any, type]] = {"str": str, "int": int, "Mapping[str, Any]": dict}  # as JSON has them
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Sitter:
    """Who was painted, by the generator's axes: what a data set looks for in a bank.

    Attributes:
        seed: Of the run whose person it is; with identity_id the person itself.
        identity_id: Likewise.
        age_group: Cell of the demographic grid; so are sex and ancestry.
        sex: See age_group.
        ancestry: See age_group.
    """

    seed: int
    identity_id: int
    age_group: str
    sex: str
    ancestry: str


@dataclass(frozen=True)
class Entry:
    """What is known of a texture beside its picture.

    Attributes:
        asked: Hash of what was asked for, 64 hex digits.
        sitter: Who was painted.
        model: Of the `Origin` of who painted; so are model_hash, licence and scheduler.
        model_hash: See model.
        licence: See model.
        scheduler: See model.
        prompt: What was asked for, in words; negative: what to keep away from.
        negative: See prompt.
        seed: Of this painting.
        note: What happened on the way: why it was painted a second time. Mostly empty.
        report: Of its quality.
    """

    asked: str
    sitter: Sitter
    model: str
    model_hash: str
    licence: str
    scheduler: str
    prompt: str
    negative: str
    seed: int
    note: str
    report: Mapping[str, Any]


class TextureBank(Mapping[str, Tensor]):
    """The textures of a folder by name, as `render_scenes` takes them: [S, S, 3] uint8 sRGB of the renderer's size.

    Args:
        folder: It need not exist.

    Raises:
        RefusedError: A texture is damaged: it is named, and nothing was changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries = {path.parent.name: read_entry(path.parent) for path in sorted(folder.glob(f"??/*/{ENTRY}"))}
        self._named: dict[str, str] = {}
        for name, entry in self._entries.items():
            self._named.setdefault(entry.asked, name)
        self.quarantined = {path.stem: _reason(path) for path in sorted((folder / QUARANTINE).glob("*.json"))}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._entries:
            raise KeyError(name)
        return read_texture(self.place(name))

    def __contains__(self, name: object) -> bool:
        return name in self._entries  # Mapping's own would decode the picture

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def place(self, name: str) -> Path:
        """The folder of a texture."""
        return self.folder / name[:2] / name

    def entry(self, name: str) -> Entry:
        """What is known of a texture."""
        return self._entries[name]

    def find(self, asked: str) -> str | None:
        """Name of the texture that was made of what is asked for; of several the first."""
        return self._named.get(asked)

    def add(self, albedo: Bytes, entry: Entry) -> str:
        """Put a texture into the bank, whole or not at all.

        Args:
            albedo: [S, S, 3] sRGB, or [S, S, 4] with alpha.
            entry: What is known of it.

        Returns:
            Its name.
        """
        files = {ENTRY: (json.dumps(asdict(entry), indent=1) + "\n").encode(), PICTURE: _encode(albedo)}
        name = _name(files[ENTRY], files[PICTURE])
        if name not in self._entries:
            self._take(name, entry, files)
        return name

    def copy(self, other: TextureBank, name: str) -> None:
        """Take a texture over from another bank. Raises RefusedError where it is damaged there."""
        if name not in self._entries:
            files = dict(zip((ENTRY, PICTURE), _whole(other.place(name)), strict=True))
            self._take(name, other.entry(name), files)

    def _take(self, name: str, entry: Entry, files: Mapping[str, bytes]) -> None:
        _publish(self.folder, self.place(name), files)
        self._entries[name] = entry
        self._named[entry.asked] = min(name, self._named.get(entry.asked, name))

    def quarantine(self, asked: str, sitter: Sitter, reason: str) -> None:
        """Write down that what was asked for could not be painted, so that nobody tries it again."""
        make_folders(self.folder)
        content = (json.dumps({"reason": reason, "sitter": asdict(sitter)}, indent=1) + "\n").encode()
        write_inside(self.folder, f"{QUARANTINE}/{asked}.json", content)
        self.quarantined[asked] = reason


def read_texture(place: Path, size: int = TEXTURE_SIZE) -> Tensor:
    """The picture [size, size, 3] uint8 sRGB of a texture's folder; scaled where it was painted at another size.

    With alpha, [size, size, 4], it is a skin that is laid below hair, see `pain3d.paint`.

    Raises:
        RefusedError: It is damaged.
    """
    _, content = _whole(place)
    decode = decode_layer if has_alpha(content) else decode_picture
    picture = decode(content, str(place / PICTURE))
    if picture.shape[0] != picture.shape[1]:
        raise _damaged(place, f"{PICTURE} is no square picture")
    if len(picture) != size:
        smaller = len(picture) > size
        picture = np.asarray(
            cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.uint8
        )
    return torch.from_numpy(np.array(picture))  # torch wants memory that it may write to


def read_entry(place: Path) -> Entry:
    """What is known of the texture in a folder. Raises RefusedError where that is damaged."""
    try:
        held = read_json(place / ENTRY)
        entry = Entry(**held | {"sitter": Sitter(**held["sitter"])})
        wrong = [
            field.name
            for one in (entry, entry.sitter)
            for field in fields(one)
            if field.type in _KINDS and type(getattr(one, field.name)) is not _KINDS[str(field.type)]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(place, f"{ENTRY} can't be read") from error
    if wrong or not (place / PICTURE).is_file():
        raise _damaged(place, f"{wrong[0]} of {ENTRY}" if wrong else f"{PICTURE} is missing")
    return entry


def check_texture(place: Path) -> None:
    """Raise RefusedError unless a texture's folder holds what its name says."""
    read_entry(place)
    _whole(place)


def drop_damaged(folder: Path) -> list[str]:
    """Remove from a bank what doesn't hold what its name says; hands back a line for each."""
    said = []
    for place in sorted(folder.glob("??/*")):
        try:
            check_texture(place)
        except RefusedError as error:
            said.append(str(error).replace("nothing was changed", "dropped"))
            remove(place)
    for path in sorted((folder / QUARANTINE).glob("*.json")):
        try:
            _reason(path)
        except RefusedError:
            said.append(f"{path}: can't be read; dropped")
            remove(path)
    return said


def _whole(place: Path) -> tuple[bytes, bytes]:
    """Both files of a texture, compared with its name."""
    try:
        entry, picture = read_bytes(place / ENTRY, TEXT_BYTES), read_bytes(place / PICTURE, PICTURE_BYTES)
    except RefusedError as error:
        raise _damaged(place, str(error).removeprefix(f"{place}/")) from error
    if _name(entry, picture) != place.name:
        raise _damaged(place, "its SHA-256 is not its name")
    return entry, picture


def _name(entry: bytes, picture: bytes) -> str:
    return hashlib.sha256(entry + b"\0" + picture).hexdigest()


def _damaged(place: Path, how: str) -> RefusedError:
    return RefusedError(f"{place}: a damaged texture ({how}); nothing was changed")


def _publish(bank: Path, place: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder beside its place, flush it and rename it; one that is there already has the same bytes."""
    if place.exists():
        return
    partial = partial_path(place)
    remove(partial)
    make_folders(bank)
    make_inside(bank, str(partial.relative_to(bank)))
    try:
        for name, content in files.items():
            write_flushed(partial / name, content)
        flush_folder(partial)
        rename(partial, place)
    except BaseException:
        remove(partial)
        raise
    flush_folder(place.parent)


def _encode(albedo: Bytes) -> bytes:
    swapped = albedo[..., ::-1] if albedo.shape[2] == 3 else albedo[..., [2, 1, 0, 3]]
    done, encoded = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise RuntimeError(f"OpenCV could not encode a {albedo.shape} PNG")
    return encoded.tobytes()


def _reason(path: Path) -> str:
    try:
        return shortened(str(read_json(path)["reason"]), MOST_SAID)
    except (RefusedError, TypeError, KeyError) as error:
        raise RefusedError(f"{path}: can't be read; remove it to have it painted again") from error
