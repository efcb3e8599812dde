"""Knows how assets come into the user's folder: found in a folder or zip, told by their names, fitted to our head.

A skin is kept as a texture of a bank (`pipeline/texture/bank.py`): under a name that its bytes decide, beside whose it
is. The same picture is imported once.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from pain3d.console.refused import RefusedError
from pain3d.doors.makehuman import CC0, Collection, open_collection, parse_material, says_cc0, shown
from pain3d.doors.pictures import decode_picture
from pain3d.environment.own import LICENCE, LICENCE_FILE, UNKNOWN
from pain3d.head import Head
from pain3d.pipeline.assets.skins import fit_skin
from pain3d.pipeline.texture.bank import Entry, Sitter, TextureBank
from pain3d.rendering.frames import TEXTURE_SIZE
from pain3d.skin import surface_maps

SKINS: Final = "skins"  # of a collection the folder with skins, of the user's folder the bank of them
MADE_BY: Final = "imported skin"
# What words in a name say of a person; a name that says nothing fits anybody.
AGES: Final = {"young": "18-34", "middleage": "35-54", "middleaged": "35-54", "old": "55-74"}
SEXES: Final = ("female", "male")
ANCESTRIES: Final = ("african", "asian", "caucasian")
LICENCES: Final = ("LICENSE", "LICENCE")  # how names of files begin that hold a licence's text


class Found(NamedTuple):
    """A skin of a collection: its title, the name of its picture, and the licence that it states, or empty."""

    title: str
    picture: str
    licence: str


def assets_folder() -> Path:
    """Where a user's assets lie: ``PAIN3D_ASSETS``, or ``pain3d/assets`` in the platform's folder of caches."""
    named = os.environ.get("PAIN3D_ASSETS")
    if named:
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "pain3d" / "assets"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "pain3d" / "assets"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pain3d" / "assets"


def skin_bank() -> TextureBank:
    """The skins that were imported. Raises RefusedError where one is damaged."""
    return TextureBank(assets_folder() / SKINS)


def import_assets(path: Path, licence: str, told: Callable[[str, str, str], None]) -> int:
    """Import all skins of a folder or zip that are not there yet.

    Args:
        path: It.
        licence: Of all that states none, an SPDX expression; empty is that of the collection, see `stated_licence`.
        told: Is given title, name and licence of each that is new.

    Returns:
        How many skins the collection has.

    Raises:
        RefusedError: It holds no skin, or one that can't be read; those before are kept.
    """
    if licence and not LICENCE.fullmatch(licence):
        raise RefusedError("--licence: must be an SPDX expression such as CC0-1.0")
    bank, head = skin_bank(), Head.default()
    with open_collection(path) as collection:
        found = list(find_skins(collection))
        if not found:
            raise RefusedError(f"{path}: holds no skins (pictures in a folder {SKINS}/)")
        ours = licence or stated_licence(collection)
        for skin in found:
            content = collection.read(skin.picture)
            digest = hashlib.sha256(content).hexdigest()
            if bank.find(digest) is not None:
                continue
            picture = decode_picture(content, f"{path}: {shown(skin.picture)}")
            if picture.shape[0] != picture.shape[1]:
                raise RefusedError(f"{path}: {shown(skin.picture)}: a skin of the base mesh is square")
            albedo = fit_skin(picture, head, surface_maps(head, TEXTURE_SIZE))
            entry = Entry(
                asked=digest,
                sitter=sitter_of_name(f"{skin.title} {PurePosixPath(skin.picture).stem}"),
                model=MADE_BY,
                model_hash=digest,
                licence=skin.licence or ours,
                scheduler="",
                prompt=skin.title,
                negative="",
                seed=-1,
                note="",
                report={},
            )
            told(skin.title, bank.add(albedo, entry), entry.licence)
    return len(found)


def find_skins(collection: Collection) -> Iterator[Found]:
    """The skins of a collection: of each folder in ``skins/`` what its materials name, or its diffuse pictures.

    Raises:
        RefusedError: A material names what is not beside it.
    """
    seen: dict[str, list[str]] = {}
    for name in collection.names:
        folders = PurePosixPath(name).parts[:-1]
        if SKINS in folders or collection.path.name == SKINS:
            seen.setdefault("/".join(folders), []).append(name)
    for names in seen.values():
        materials = [name for name in names if name.endswith(".mhmat")]
        pictures: dict[str, str] = {}  # and the licence that each states
        for name in materials:
            material = parse_material(collection.text(name))
            if material.picture:
                pictures.setdefault(collection.beside(name, material.picture), CC0 if material.cc0 else "")
        if not materials:
            pictures = {
                name: "" for name in names if "diffuse" in name.lower() and name.lower().endswith((".png", ".jpg"))
            }
        for picture, licence in pictures.items():
            parent = PurePosixPath(picture).parent.name
            own = parent not in (SKINS, "") and len(pictures) == 1
            yield Found(_title(parent if own else PurePosixPath(picture).stem), picture, licence)


def stated_licence(collection: Collection) -> str:
    """What a collection says of itself: one line of ``licence.txt``, or the text of CC0 in a file LICENSE."""
    for name in collection.names:
        if PurePosixPath(name).name == LICENCE_FILE:
            stated = collection.text(name).strip()
            if not LICENCE.fullmatch(stated):
                raise RefusedError(f"{collection.path}: {shown(name)}: must be one line, an SPDX expression")
            return stated
    texts = [name for name in collection.names if PurePosixPath(name).name.upper().startswith(LICENCES)]
    return CC0 if any(says_cc0(collection.text(name)) for name in texts) else UNKNOWN


def sitter_of_name(name: str) -> Sitter:
    """Whom a skin's name tells of, by the generator's axes; what it doesn't tell is empty."""
    words = re.findall(r"[a-z]+", name.lower())

    def said(known: tuple[str, ...]) -> str:
        return next((word for word in words if word in known), "")

    return Sitter(-1, -1, AGES.get(said(tuple(AGES)), ""), said(SEXES), said(ANCESTRIES))


def _title(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:60] or "skin"
