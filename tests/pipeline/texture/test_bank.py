"""The bank of textures: names that bytes decide, whole entries or none, damage named; and who gets which texture."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.texture import bank as banks
from pain3d.pipeline.texture.bank import Entry, Sitter, TextureBank, check_texture, read_texture
from pain3d.pipeline.texture.choice import choose
from pain3d.scene import DemographicCell

SITTER = Sitter(seed=3, identity_id=0, age_group="18-34", sex="female", ancestry="asian")
ENTRY = Entry(
    "a" * 64, SITTER, "tiny", "b" * 64, "CC0-1.0", "none", "a young woman", "text", 5, "", {"coverage": 0.5}
)  # fmt: skip
ALBEDO = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)


@pytest.fixture
def filled(tmp_path: Path) -> TextureBank:
    bank = TextureBank(tmp_path / "bank")
    bank.add(ALBEDO, ENTRY)
    return bank


def test_what_is_put_in_comes_out(filled: TextureBank) -> None:
    (name,) = filled
    again = TextureBank(filled.folder)
    assert list(again) == [name] and again.entry(name) == ENTRY and name in again and "c" not in again
    assert np.array_equal(read_texture(again.place(name), 8), ALBEDO)
    assert again[name].shape == (1024, 1024, 3)  # as the renderer has it
    assert again.find(ENTRY.asked) == name and again.find("c" * 64) is None
    with pytest.raises(KeyError):
        again["c" * 64]
    assert again.add(ALBEDO, ENTRY) == name and len(again) == 1
    assert again.add(ALBEDO, replace(ENTRY, seed=6)) != name and len(again) == 2
    assert again.find(ENTRY.asked) == TextureBank(filled.folder).find(ENTRY.asked) == min(again)


def test_a_failing_disk_leaves_no_half(filled: TextureBank, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:3])
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(banks, "write_flushed", full)
    before = sorted(filled.folder.rglob("*.*"))
    with pytest.raises(OSError, match="No space left"):
        filled.add(ALBEDO, replace(ENTRY, seed=7))
    assert sorted(filled.folder.rglob("*.*")) == before and len(filled) == 1


def _cut(place: Path) -> None:
    (place / "albedo.png").write_bytes((place / "albedo.png").read_bytes()[:-9])


def _swap(old: str, new: str, place: Path) -> None:
    (place / "entry.json").write_text((place / "entry.json").read_text().replace(old, new))


@pytest.mark.parametrize(
    ("damage", "how", "at_once"),
    [
        (lambda place: (place / "albedo.png").unlink(), "albedo.png is missing", True),
        (lambda place: (place / "entry.json").write_text("{"), "entry.json can't be read", True),
        (lambda place: (place / "entry.json").write_text("[]"), "entry.json can't be read", True),
        (lambda place: (place / "entry.json").write_text(json.dumps({"asked": "a"})), "can't be read", True),
        (partial(_swap, '"seed": 5', '"seed": "5"'), "seed of entry.json", True),
        (_cut, "its SHA-256 is not its name", False),
        (partial(_swap, "CC0-1.0", "MIT"), "its SHA-256 is not its name", False),
    ],
)  # fmt: skip
def test_damage_is_named(filled: TextureBank, damage: Callable[[Path], object], how: str, at_once: bool) -> None:
    (name,) = filled
    place = filled.place(name)
    damage(place)
    for look in (lambda: check_texture(place), lambda: TextureBank(filled.folder)[name]):
        with pytest.raises(RefusedError) as refused:
            look()
        assert str(refused.value).startswith(f"{place}: a damaged texture (") and how in str(refused.value)
    if at_once:
        with pytest.raises(RefusedError):
            TextureBank(filled.folder)
    with pytest.raises(RefusedError):
        TextureBank(filled.folder.parent / "other").copy(filled, name)
    assert not (filled.folder.parent / "other").exists()


def test_a_merged_bank_is_a_copied_one(filled: TextureBank, tmp_path: Path) -> None:
    other = TextureBank(tmp_path / "other")
    other.add(ALBEDO[::-1], replace(ENTRY, asked="d" * 64))
    shutil.copytree(filled.folder, other.folder, dirs_exist_ok=True)
    assert {TextureBank(other.folder).find(letter * 64) for letter in "ad"} == {*filled, *other}


def test_quarantine_is_remembered(filled: TextureBank) -> None:
    filled.quarantine("e" * 64, SITTER, "black, in float32 too")
    assert TextureBank(filled.folder).quarantined == {"e" * 64: "black, in float32 too"}
    (filled.folder / "quarantine" / f"{'e' * 64}.json").write_text("{")
    with pytest.raises(RefusedError, match=r"eee\.json: can't be read; remove it"):
        TextureBank(filled.folder)


def test_own_texture_first_then_the_nearest_age_and_none_twice(tmp_path: Path) -> None:
    bank = TextureBank(tmp_path / "bank")
    names = {}
    for number, (age, sex) in enumerate([("75-95", "male"), ("18-34", "male"), ("35-54", "male"), ("18-34", "female")]):
        sitter = Sitter(3, number, age, sex, "african")
        names[number] = bank.add(ALBEDO, replace(ENTRY, asked=f"{number}" * 64, sitter=sitter))

    def person(number: int, age: str, sex: str = "male") -> PlannedIdentity:
        return PlannedIdentity(number, DemographicCell(age, sex, "african"), "train")

    people = [person(7, "55-74"), person(1, "18-34"), person(8, "75-95"), person(9, "18-34", "female")]
    near, far = sorted([names[0], names[2]])  # 20 years older and younger: the first by name
    assert choose(bank, people, 3) == {1: names[1], 7: near, 8: far, 9: names[3]}
    assert choose(bank, people[:1], 4) == {7: near}
    with pytest.raises(RefusedError, match=r"bank: 1 textures of female african people are too few for 5 identities"):
        choose(bank, [*people, person(10, "18-34", "female")], 3)
