"""The whole of both commands with models that the tests make: who painted is in every row; faults are one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from pain3d.console.refused import RefusedError
from pain3d.pipeline.config import SynthConfig
from pain3d.pipeline.folder import DataFolder
from pain3d.pipeline.plan import PlannedIdentity
from pain3d.pipeline.run import preview, synthesise
from pain3d.pipeline.texture import bank_run, filling
from pain3d.pipeline.texture.bank import TextureBank
from pain3d.pipeline.texture.making import Wish, open_maker
from pain3d.pipeline.texture.paint import DiffusersPainter
from pain3d.pipeline.texture.prompts import load_prompts
from pain3d.pipeline.texture.skin_model import SkinModel
from pain3d.scene import CELLS
from tests.conftest import Ran
from tests.pipeline.conftest import hashes
from tests.pipeline.texture.tiny_models import MAKERS

Run = Callable[..., Ran]
SMALL: dict[str, Any] = {"identities": 2, "expressions": 1, "views": 1, "size": 64, "seed": 3, "device": "cpu"}
TINY: dict[str, Any] = {
    "texture": "diffusion", "texture_views": 3, "texture_size": 64, "texture_view_size": 64, "texture_steps": 1,
    "texture_check": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion with a ControlNet for depth, of random weights."""
    folder = tmp_path_factory.mktemp("models") / "tiny-sd"
    MAKERS["sd"](folder)
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that it painted; not to be changed."""
    out = tmp_path_factory.mktemp("made") / "out"
    synthesise(SynthConfig(**SMALL, **TINY, model=str(model)), out, quiet=True)
    return out


def rows(out: Path, subset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "data" / subset).iterdir()) for row in pq.read_table(path).to_pylist()]


def test_rows_name_model_hash_seed_and_prompt(pain3d: Run, made: Path) -> None:
    found = [row for subset in ("frames", "pairs", "identities") for row in rows(made, subset)]
    assert len(found) == 4 + 2 + 2
    for row in found:
        entry = TextureBank(made / "textures").entry(row["texture"])
        assert (row["texture_model"], len(row["texture_model_hash"])) == ("tiny-sd", 64)
        assert row["texture_seed"] == filling.painting_seed(3, row["identity_id"]) == entry.seed
        assert "photograph" in row["texture_prompt"] and str(int(row["age"])) in row["texture_prompt"]
        assert row["texture_scheduler"].startswith("DPMSolverMultistepScheduler, 1 steps")
        assert row["licence"] == f"CC0-1.0 AND {row['texture_licence']}"
        assert entry.report["coverage"] > 0 and entry.negative
    assert f"license_name: {found[0]['licence']}\n" in (made / "README.md").read_text()
    assert pain3d("verify", made).code == 0


def test_any_batch_and_any_stop_give_the_same_bytes(
    pain3d: Run, made: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after the first texture, a moved model, and identities two at a time."""
    moved = Path(shutil.copytree(model, tmp_path / "elsewhere" / "tiny-sd"))
    config = SynthConfig(**SMALL, **TINY, model=str(moved), batch_size=2)
    paint, painted = DiffusersPainter.paint, []

    def killed(self: DiffusersPainter, *arguments: Any) -> torch.Tensor:
        painted.append(self)
        if len(painted) == 2:
            raise SystemError("killed")
        return paint(self, *arguments)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(DiffusersPainter, "paint", killed)
        patch.setattr(DataFolder, "_abandon", DataFolder._drop_lock)
        with pytest.raises(SystemError):
            synthesise(config, out, quiet=True)
    assert len(TextureBank(out / "textures")) == 1
    asked: list[Any] = []
    monkeypatch.setattr(DiffusersPainter, "paint", lambda *arguments: asked.append(arguments) or paint(*arguments))
    synthesise(config, out, quiet=True)
    assert len(asked) == 1 and hashes(out) == hashes(made)  # what was painted is not painted again


def test_other_words_are_another_configuration(
    pain3d: Run, made: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever they are written; those for backgrounds have no part in textures."""
    files = {"same": {"negative": load_prompts().negative, "nobody": "hat"}, "other": {"negative": "hat"}}
    for name, words in files.items():
        (tmp_path / name).write_text(yaml.safe_dump(words))
    assert preview(SynthConfig(**SMALL, **TINY, model=str(model), prompts=str(tmp_path / "same")), made) is None  # done
    with pytest.raises(RefusedError, match=r"another configuration \(.*texture_prompts_hash"):
        preview(SynthConfig(**SMALL, **TINY, model=str(model), prompts=str(tmp_path / "other")), made)
    bank, options = tmp_path / "bank", (*OPTIONS, *SIZES, "--no-check", "--model", model)
    with monkeypatch.context() as patch:  # stopped: painted, but not finished
        patch.setattr(bank_run, "_sheet", lambda *_: (_ for _ in ()).throw(SystemError("killed")))
        with pytest.raises(SystemError):
            pain3d("texture", bank, *options, "--prompts", tmp_path / "same")
    before = hashes(bank)
    ran = pain3d("texture", bank, *options, "--prompts", tmp_path / "other")
    assert ran.code == 2 and "an unfinished bank of another configuration (prompts_hash" in ran.err
    assert len(TextureBank(bank)) == 2 and hashes(bank) == before


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_other_kinds_fill_a_bank_too(kind: str, tmp_path: Path) -> None:
    """Told apart by what their folders hold."""
    MAKERS[kind](tmp_path / kind)
    wish = Wish(
        model=str(tmp_path / kind), recipe="", controlnet="", prompts="", steps=1, views=3, size=64, view_size=64,
        check=False, device="cpu",
    )  # fmt: skip
    maker = open_maker(wish, quiet=True)
    bank = TextureBank(tmp_path / "bank")
    people = [PlannedIdentity(0, CELLS[0], "")]
    names = filling.fill(bank, people, 3, maker, quiet=True)
    entry = bank.entry(names[0])
    assert (entry.model, entry.model_hash, len(entry.model_hash)) == (kind, maker.origin.model_hash, 64)
    assert entry.prompt and entry.seed == filling.painting_seed(3, 0) and ", 1 steps" in entry.scheduler


def test_without_a_model_the_small_one_paints(pain3d: Run, tmp_path: Path) -> None:
    ran = pain3d("texture", tmp_path / "bank", "--identities", "1", "--size", "128", "--device", "cpu", "--json")
    said, own = json.loads(ran.out), SkinModel.default().origin
    assert (ran.code, said["textures"], said["model_hash"]) == (0, 1, own.model_hash)
    (entry,) = map(TextureBank(tmp_path / "bank").entry, TextureBank(tmp_path / "bank"))
    assert (entry.model, entry.licence, entry.prompt) == (own.model, own.licence, "")


def spoilt(model: Path, target: Path) -> Path:
    """The same model, whose net says NaN."""
    shutil.copytree(model, target)
    (weights,) = (target / "unet").glob("*.safetensors")
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}, weights)
    return target


OPTIONS = ("--identities", "2", "--seed", "3", "--device", "cpu")
SIZES = ("--views", "3", "--size", "64", "--view-size", "64", "--steps", "1")


def refused(pain3d: Run, out: Path, *options: str | Path) -> str:
    """The one line of a command that is refused; nothing is left but why a texture was put aside."""
    ran = pain3d("texture", out, *OPTIONS, *options, "--json")
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("pain3d: ") and ran.err.count("\n") == 1
    left = [path.name for path in out.rglob("*") if path.is_file()] if out.exists() else []
    assert all(name == "config.resolved.yaml" or len(name) == 64 + len(".json") for name in left)
    return ran.err.removeprefix("pain3d: ").rstrip()


def test_faults_are_one_line(pain3d: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    nowhere = refused(pain3d, out, "--model", tmp_path / "nowhere")
    assert nowhere == f"{tmp_path / 'nowhere'}: no such model folder, and not a hub id such as owner/name"
    hub = refused(pain3d, out, "--model", "nobody/nothing")
    assert hub.startswith("nobody/nothing: not in the local cache, and the hub doesn't give it (")
    partly = Path(shutil.copytree(model, tmp_path / "partly"))
    shutil.rmtree(partly / "vae")
    assert refused(pain3d, out, "--model", partly).startswith(f"{partly}: the component vae")
    assert "recipe 'sd16' is unknown" in refused(pain3d, out, "--recipe", "sd16")
    (tmp_path / "prompts.yaml").write_text("positive: studio photograph of Marie Curie, {age} years old\n")
    named = refused(pain3d, out, "--model", model, "--prompts", tmp_path / "prompts.yaml")
    assert named.startswith(f"prompts {tmp_path / 'prompts.yaml'}: 'Marie' is not on the list of words")
    assert refused(pain3d, out, "--model", model, "--views", "4") == "views must be 3 or 5, got 4"
    assert refused(pain3d, out, "--size", "100") == "the size of a texture must be a power of two, got 100"
    assert refused(pain3d, out, "--size", "64") == "the small model makes textures of 128 texels a side or more, got 64"
    assert refused(pain3d, out, "--steps", "3") == "recipe tiny is the small model's: steps has no part in it"
    assert not out.exists()
    nan = refused(pain3d, out, "--model", spoilt(model, tmp_path / "spoilt"), *SIZES)
    assert nan.startswith("spoilt: none of 2 textures is usable: ") and "not a number" in nan
    assert refused(pain3d, out, "--model", tmp_path / "spoilt", *SIZES) == nan  # known from the first time


def test_out_of_memory_is_one_line(pain3d: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", full)
    said = refused(pain3d, tmp_path / "out", "--model", model, *SIZES)
    assert said.startswith("out of memory; smaller views or one view in a pass may help (tiny-sd: ")
    assert not (tmp_path / "out").exists()
