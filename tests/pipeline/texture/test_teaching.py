"""Holds what teaching the small model promises: the same bytes after any stop, who is held out, licences kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pain3d import Head, paint, surface_maps
from pain3d.colour import linear_to_srgb
from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture import teaching_run
from pain3d.pipeline.texture.bank import Entry, Sitter, TextureBank
from pain3d.pipeline.texture.command import Teach
from pain3d.pipeline.texture.filling import scene_of
from pain3d.pipeline.texture.painter import chain
from pain3d.pipeline.texture.skin_model import SkinModel, lessons, teaching
from pain3d.pipeline.texture.skin_model.grid import NUMBERS, SIDE
from pain3d.pipeline.texture.skin_model.lessons import LOOSE, Lessons, batch_of
from pain3d.pipeline.texture.skin_model.net import NOISES
from pain3d.pipeline.texture.skin_model.weights import SHIPPED, is_skin_model, read_file
from pain3d.pipeline.texture.teaching_run import LEAST, WEIGHTS, divided, teach_bank
from pain3d.scene import demographic_grid
from tests.conftest import Ran

Run = Callable[..., Ran]
STEPS, SEED = 4, 5
NOBODY = "LicenseRef-nobody"
ENTRY = Entry("", Sitter(0, 0, "", "", ""), "someone", "b" * 64, NOBODY, "none", "a face", "", 5, "", {})


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that can be taught: people with clouds of colour on their skin; not to be changed."""
    made = TextureBank(tmp_path_factory.mktemp("bank"))
    maps = surface_maps(Head.default(), SIDE)
    clouds = torch.from_numpy(0.5 + 0.4 * np.sin(np.stack([maps.x, maps.y, maps.z], 2) / 12)).float()
    for number, cell in enumerate(demographic_grid(LEAST, SEED)):
        sitter = Sitter(SEED, number, cell.age_group, cell.sex, cell.ancestry)
        albedo = paint(maps, scene_of(sitter).skin)[..., :3] * clouds
        picture = np.rint(linear_to_srgb(albedo.double().numpy()) * 255).astype(np.uint8)
        made.add(picture, replace(ENTRY, asked=f"{number:064d}", sitter=sitter))
    return made.folder


@pytest.fixture(scope="module", autouse=True)
def small(one_thread: None) -> Iterator[None]:
    """One person is looked at, coarsely; steps are large from the first on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lessons, "LOOKED_AT", 1)
        patch.setattr(lessons, "PICTURE", 64)
        patch.setattr(teaching_run, "COMPARED", SIDE)
        patch.setattr(lessons, "BATCH", 2)
        patch.setattr(teaching, "WARM", 1)
        patch.setattr(teaching, "SAVED", 2)
        yield


@pytest.fixture(scope="module")
def taught(bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the command has filled; not to be changed."""
    out = tmp_path_factory.mktemp("taught") / "out"
    run_teach(out, bank)
    return out


def run_teach(out: Path, bank: Path) -> dict[str, Any]:
    """What the command hands back."""
    return teach_bank(Teach(out, bank, steps=STEPS, seed=SEED, json=True), 0.0)


def test_it_learns_and_says_how_well(taught: Path) -> None:
    report = json.loads((taught / "held_out.json").read_text())
    found = report["psnr"]
    assert list(found) == ["push-pull", "push-pull over the base", "as it ships", "taught"]
    assert all(10 < decibels < 50 for decibels in found.values())
    assert len(report["held_out"]) == 2 and set(report["better"].values()) <= {0, 1, 2}
    assert sorted(path.name for path in taught.iterdir()) == ["config.resolved.yaml", "held_out.json", WEIGHTS]


def test_what_was_learned_is_unseen_skin(bank: Path, taught: Path) -> None:
    """Of a step that was not taken the loss is less than that of the weights that ship."""
    held, learned = divided(TextureBank(bank))
    seen = teaching_run._lessons(TextureBank(bank), learned, SEED, quiet=True)
    clean, noise, _, where, told = batch_of(seen, SEED, STEPS + 1, torch.ones(1, 1, SIDE, SIDE))
    level = torch.full((len(clean),), NOISES - 1)
    losses = []
    for model in (SkinModel(), SkinModel(taught / WEIGHTS)):
        unseen = model.net.shown * (1 - where)
        off = model.net(noise, level, clean * model.net.shown, where, told) - clean
        losses.append(float((off**2 * unseen).sum() / unseen.sum()))
    assert losses[1] < 0.99 * losses[0]  # 0.1660 and 0.1634 when this was written
    assert not {*held} & {*learned}


def test_a_stop_changes_no_byte(taught: Path, bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed in the fourth step, after the checkpoint of the second."""
    advance = teaching._State.advance

    def killed(self: teaching._State, *given: Any) -> float:
        if self.step == 3:
            raise SystemError("killed")
        return advance(self, *given)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(teaching._State, "advance", killed)
        with pytest.raises(SystemError):
            run_teach(out, bank)
    assert sorted(path.name for path in out.iterdir()) == ["checkpoint.safetensors", "config.resolved.yaml"]
    with pytest.raises(RefusedError, match=r"course of another configuration \(steps 4 -> 5"):
        teach_bank(Teach(out, bank, steps=STEPS + 1, seed=SEED, json=True), 0.0)
    taken: list[int] = []
    monkeypatch.setattr(
        teaching._State, "advance", lambda self, *given: taken.append(self.step) or advance(self, *given)
    )
    run_teach(out, bank)
    assert taken == [2, 3] and (out / WEIGHTS).read_bytes() == (taught / WEIGHTS).read_bytes()


def test_weights_say_whose_textures_they_learned_and_rows_will(pain3d: Run, taught: Path, tmp_path: Path) -> None:
    weights, own = taught / WEIGHTS, SkinModel.default().origin
    told, _ = read_file(weights)
    assert told["licence"] == NOBODY and told["taught_from"] == own.model_hash
    assert told["painters"] == [{"model": "someone", "model_hash": "b" * 64, "licence": NOBODY, "textures": 6}]
    painted = pain3d(
        "texture", tmp_path / "bank", "--model", weights, "--identities", "1", "--size", "128", "--device", "cpu",
        "--json",
    )  # fmt: skip
    assert painted.code == 0 and f"was taught textures under {NOBODY}" in painted.err
    (entry,) = map((made := TextureBank(tmp_path / "bank")).entry, made)
    assert (entry.model, entry.licence) == ("taught_skin_model", NOBODY)
    assert entry.model_hash == SkinModel(weights).origin.model_hash != own.model_hash


def refused(pain3d: Run, *words: str | Path) -> str:
    """The one line of a command that is refused."""
    ran = pain3d(*words, "--json")
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("pain3d: ") and ran.err.count("\n") == 1
    return ran.err.removeprefix("pain3d: ").rstrip()


def test_banks_that_cannot_be_learned_are_one_line(pain3d: Run, bank: Path, taught: Path, tmp_path: Path) -> None:
    out, few, cut = tmp_path / "out", tmp_path / "few", tmp_path / "cut"
    assert refused(pain3d, "teach", out) == "--bank BANK is missing: the textures to learn"
    assert refused(pain3d, "teach", out, "--bank", few) == f"{few}: holds no textures"
    shutil.copytree(bank, few)
    held, learned = divided(TextureBank(bank))
    shutil.rmtree(TextureBank(few).place(held[0]))
    said = refused(pain3d, "teach", out, "--bank", few)
    assert said == f"{few}: textures of 7 people are too few to hold some out; 8 will do"
    for name in (held[1], learned[-1]):
        shutil.copytree(bank, cut)
        picture = TextureBank(cut).place(name) / "albedo.png"
        picture.write_bytes(picture.read_bytes()[:-9])
        assert refused(pain3d, "teach", out, "--bank", cut).startswith(f"{picture.parent}: a damaged texture (")
        shutil.rmtree(cut)
    assert not out.exists()
    before = sorted(path.stat().st_mtime_ns for path in taught.rglob("*"))
    done = pain3d("teach", taught, "--bank", bank, "--steps", str(STEPS), "--seed", str(SEED))
    assert (done.code, done.err, done.out.partition("\n")[0]) == (0, "", "finished already")
    assert sorted(path.stat().st_mtime_ns for path in taught.rglob("*")) == before


def test_weights_that_cannot_paint_are_one_line(pain3d: Run, taught: Path, tmp_path: Path) -> None:
    whole, bad, out = taught / WEIGHTS, tmp_path / "bad.safetensors", tmp_path / "out"
    assert is_skin_model(SHIPPED) and is_skin_model(whole) and not is_skin_model(taught / "held_out.json")
    options = ("texture", out, "--model", bad, "--device", "cpu")
    bad.write_bytes(whole.read_bytes()[:-9])
    assert refused(pain3d, *options).startswith(f"{bad}: not a whole safetensors file (")
    state = load_file(whole)
    save_file(state | {"shown": state["shown"] * torch.nan}, bad)
    assert refused(pain3d, *options) == f"{bad}: weights of the small model that are not numbers"
    save_file({name: state[name] for name in ("places", "shown")}, bad)
    assert refused(pain3d, *options).startswith(f"{bad}: not weights of the small model (")
    shutil.copy(whole, bad)
    assert refused(pain3d, *options, "--steps", "3") == "recipe tiny is the small model's: steps has no part in it"
    assert not out.exists()


def test_nobody_is_held_out_and_learned(bank: Path, tmp_path: Path) -> None:
    """Who was painted twice is on one side with both."""
    both = TextureBank(Path(shutil.copytree(bank, tmp_path / "both")))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for name in list(both):
        both.add(picture, replace(both.entry(name), asked="c" * 64))
    held, learned = divided(both)
    sitters = [{both.entry(name).sitter.identity_id for name in side} for side in (held, learned)]
    assert [len(side) for side in sitters] == [2, 6] and not sitters[0] & sitters[1] and len(learned) == 12


@pytest.mark.parametrize(
    ("licences", "joined"),
    [
        (["CC0-1.0"], "CC0-1.0"),
        (["CC0-1.0", "MIT", "LicenseRef-x AND MIT"], "MIT AND LicenseRef-x"),
        (["MIT", "unknown"], "unknown"),
    ],
)
def test_licences_add_up(licences: list[str], joined: str) -> None:
    assert chain(licences) == joined


def test_a_step_draws_the_same_whatever_was_drawn_before() -> None:
    draw = np.random.Generator(np.random.Philox(3))
    noise = Lessons(
        pictures=torch.from_numpy(draw.integers(256, size=(3, 3, SIDE, SIDE)).astype(np.uint8)),
        told=torch.from_numpy(draw.standard_normal((3, NUMBERS), np.float32)),
        worn=torch.from_numpy(draw.random((3, SIDE, SIDE)) < 0.3),
        seen=draw.random((2, 8 + LOOSE, SIDE, SIDE)) < 0.3,
        mirror=np.tile(np.arange(SIDE)[::-1], (SIDE, 1)),
    )
    shown = torch.ones(1, 1, SIDE, SIDE)
    first, other, again = (batch_of(noise, SEED, step, shown) for step in (5, 6, 5))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    assert first[0].abs().max() <= 1
