"""Textures are made for people: the same bytes in any order and after any stop; what fails is told and put aside."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pain3d.console.refused import RefusedError
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.texture import bank_run, source
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.pipeline.texture.filling import Made, fill, painting_seed
from pain3d.pipeline.texture.painter import Origin, PaintingError, Prompt
from pain3d.random import keyed_generator
from pain3d.scene import Scene
from tests.conftest import Ran
from tests.pipeline.conftest import hashes

Run = Callable[..., Ran]
CONFIG = SynthConfig(identities=3, expressions=1, views=1, size=16, seed=7, device="cpu", texture="diffusion")
PEOPLE = [person for shard in make_plan(CONFIG).shards for person in shard.identities]
OPTIONS = ("--identities", "2", "--seed", "7", "--size", "64", "--device", "cpu")


class Plain:
    """Makes one colour for each person."""

    origin = Origin("plain", "c" * 64, "MIT", "none")

    def __init__(self, fails: Callable[[int], Exception | None] = lambda number: None) -> None:
        self.settings = {"size": 64}
        self.made: list[int] = []
        self._fails = fails

    def prompt(self, scene: Scene) -> Prompt:
        return Prompt(f"person of {scene.identity.age:.0f}", "text")

    def make(self, scene: Scene, prompt: Prompt, seed: int) -> Made:
        self.made.append(scene.identity_id)
        error = self._fails(len(self.made))
        if error is not None:
            raise error
        assert seed == painting_seed(7, scene.identity_id) and str(round(scene.identity.age)) in prompt.positive
        colour = torch.from_numpy(keyed_generator(seed, "colour").uniform(0.1, 0.6, 3).astype(np.float32))
        return Made(colour.expand(64, 64, 3), {"coverage": 1.0}, "twice" if scene.identity_id == 1 else "")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Plain:
    """Both commands ask it."""
    maker = Plain()
    for module in (bank_run, source):
        monkeypatch.setattr(module, "open_maker", lambda wish, *, quiet: maker)
    return maker


def fail(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], Exception | None]) -> Plain:
    """From now on both commands ask one that fails."""
    maker = Plain(fails)
    for module in (bank_run, source):
        monkeypatch.setattr(module, "open_maker", lambda wish, *, quiet: maker)
    return maker


def test_order_and_stops_change_nothing(tmp_path: Path) -> None:
    one, other = TextureBank(tmp_path / "one"), TextureBank(tmp_path / "other")
    names = fill(one, PEOPLE, 7, Plain(), quiet=True)
    assert fill(other, PEOPLE[2:], 7, Plain(), quiet=True).items() <= names.items()
    maker = Plain()
    assert fill(TextureBank(other.folder), PEOPLE[::-1], 7, maker, quiet=True) == names and len(maker.made) == 2
    assert hashes(one.folder) == hashes(other.folder)
    entries = [one.entry(names[person.identity_id]) for person in PEOPLE]
    assert [entry.note for entry in entries] == ["twice" if p.identity_id == 1 else "" for p in PEOPLE]
    assert len({entry.asked for entry in entries}) == len({entry.seed for entry in entries}) == 3
    changed = Plain()
    changed.settings = {"size": 64, "views": 3}
    fill(one, PEOPLE, 7, changed, quiet=True)
    assert len(changed.made) == 3 and len(one) == 6  # asked for otherwise


def test_what_fails_is_put_aside_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    maker = Plain(lambda number: PaintingError("black in float32 too") if number == 2 else None)
    bank = TextureBank(tmp_path / "bank")
    names = fill(bank, PEOPLE, 7, maker, quiet=True)
    failed = PEOPLE[1].identity_id
    said = f"pain3d: 1 of 3 textures are in quarantine, such as identity {failed}: black in float32 too\n"
    assert failed not in names and len(names) == 2 and capsys.readouterr().err == said
    again = Plain()
    assert fill(TextureBank(bank.folder), PEOPLE, 7, again, quiet=True) == names and again.made == []  # nor tried again
    with pytest.raises(RefusedError, match=r"^plain: none of 3 textures is usable: not a number$"):
        fill(TextureBank(tmp_path / "none"), PEOPLE, 7, Plain(lambda number: PaintingError("not a number")), quiet=True)


def test_the_command_makes_a_bank(pain3d: Run, tmp_path: Path, plain: Plain) -> None:
    ran = pain3d("texture", tmp_path / "bank", *OPTIONS, "--json")
    said = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert (said["textures"], said["new_textures"], said["quarantined"], said["model"]) == (2, 2, 0, "plain")
    listed = json.loads((tmp_path / "bank" / "textures.json").read_text())
    assert {*listed["textures"].values()} == {*TextureBank(tmp_path / "bank")} and listed["quarantine"] == {}
    assert Image.open(tmp_path / "bank" / "textures.png").size == (2 * 36 + 6 * 316 + 5 * 8, 2 * 36 + 316 + 30)
    again = pain3d("texture", tmp_path / "bank", *OPTIONS)
    assert (again.code, again.err, again.out.partition("\n")[0]) == (0, "", "finished already, 2 textures")
    assert len(plain.made) == 2


@pytest.mark.parametrize("command", ["synth", "texture"])
@pytest.mark.parametrize("painted", [0, 1])
def test_a_refusal_keeps_what_was_painted_and_nothing_else(
    pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, painted: int
) -> None:
    fail(
        monkeypatch, lambda number: RefusedError("out of memory; smaller views may help") if number > painted else None
    )
    more = ("--texture", "diffusion") if command == "synth" else ()
    ran = pain3d(command, tmp_path / "out", *OPTIONS, *more)
    assert (ran.code, ran.out, ran.err) == (2, "", "pain3d: out of memory; smaller views may help\n")
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(files) == (["albedo.png", "config.resolved.yaml", "entry.json"] if painted else [])


def test_sigint_between_two_textures(pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch, lambda number: signal.raise_signal(signal.SIGINT))
    ran = pain3d("texture", tmp_path / "bank", *OPTIONS)
    assert (ran.code, ran.err) == (
        130, "pain3d: interrupted; what was painted is kept, the same command goes on from there\n"
    )  # fmt: skip
    assert len(TextureBank(tmp_path / "bank")) == 1


def test_who_is_in_quarantine_keeps_procedural_skin(
    pain3d: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, lambda number: PaintingError("black") if number == 1 else None)
    synthesise(CONFIG, tmp_path / "out", quiet=True)
    rows: list[dict[str, Any]] = []
    for path in sorted((tmp_path / "out" / "data" / "identities").iterdir()):
        rows += pq.read_table(path).to_pylist()
    bare = [row for row in rows if not row["texture"]]
    assert [row["identity_id"] for row in bare] == [PEOPLE[0].identity_id]
    assert (bare[0]["texture_model"], bare[0]["texture_seed"], bare[0]["licence"]) == ("", -1, "CC0-1.0")
    assert "1 identity has procedural skin, because no usable texture" in (tmp_path / "out" / "README.md").read_text()
    assert pain3d("verify", tmp_path / "out").code == 0
