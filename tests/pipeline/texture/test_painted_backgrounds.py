"""A data set with painted backgrounds: one plate behind all faces of a view, who painted it in every row; faults."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from pain3d.background import BACKGROUNDS
from pain3d.encoding import encode_image
from pain3d.head import Head
from pain3d.pipeline import device_synthesis, workers
from pain3d.pipeline.config import SynthConfig, settled
from pain3d.pipeline.painted import NOT_BEHIND
from pain3d.pipeline.plan import make_plan
from pain3d.pipeline.rows import Provenance
from pain3d.pipeline.run import synthesise
from pain3d.pipeline.synthesis import decorate, prepare_identity
from pain3d.pipeline.texture.decorator import plate_wish_of
from pain3d.pipeline.texture.paint import DiffusersPainter
from pain3d.pipeline.texture.painter import PaintingError
from pain3d.pipeline.texture.plates import plate_seed
from pain3d.pipeline.texture.prompts import load_prompts
from pain3d.records import BACKGROUND_COLUMNS
from pain3d.rendering.frames import Clock, render_people, render_setup
from pain3d.scene import Scene
from tests.conftest import Ran
from tests.pipeline.conftest import hashes, stop_run
from tests.pipeline.test_verify import edit
from tests.pipeline.texture.tiny_models import MAKERS

Run = Callable[..., Ran]
PLAIN = SynthConfig(
    identities=2, expressions=1, views=2, size=64, seed=7, device="cpu", identities_per_shard=1, environment_share=0.0
)
SETTINGS = ("--identities", "2", "--expressions", "1", "--views", "2", "--size", "64", "--seed", "7", "--device", "cpu")
PICTURED = ("frames", "pairs", "identities")
RECIPE = "kind: sd\nsteps: 1\nlicence: MIT\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Stable Diffusion with a ControlNet for depth, of random weights, and a recipe of one step beside it."""
    folder = tmp_path_factory.mktemp("models")
    MAKERS["sd"](folder / "tiny-sd")
    (folder / "one.yaml").write_text(RECIPE)
    return folder / "tiny-sd"


@pytest.fixture(scope="module")
def config(model: Path) -> SynthConfig:
    recipe = model.parent / "one.yaml"  # and nobody stands in a place, though all are asked to: see `settled`
    return replace(PLAIN, backgrounds=f"diffusion:{recipe}", background_model=str(model), environment_share=1.0)


@pytest.fixture(scope="module")
def made(config: SynthConfig, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A data set with painted backgrounds, not to be changed, its receipt, and the same without."""
    out = tmp_path_factory.mktemp("painted")
    receipt = synthesise(config, out / "out", quiet=True)
    synthesise(replace(PLAIN, hair="painted"), out / "plain", quiet=True)  # as where a model paints
    return SimpleNamespace(out=out / "out", receipt=receipt, plain=out / "plain")


def rows(out: Path, subset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((out / "data" / subset).iterdir()) for row in pq.read_table(path).to_pylist()]


def test_rows_say_who_painted_and_all_else_is_as_without(made: SimpleNamespace) -> None:
    prompts = load_prompts()
    for subset in PICTURED:
        for row, bare in zip(rows(made.out, subset), rows(made.plain, subset), strict=True):
            assert {name: bare[name] for name in BACKGROUND_COLUMNS} == NOT_BEHIND
            if subset != "pairs":
                scene = Scene.from_json(row["scene"])
                asked = prompts.background_for(scene).positive, plate_seed(scene)
                assert (row["background_prompt"], row["background_seed"]) == asked
            assert (row["background_model"], len(row["background_model_hash"])) == ("tiny-sd", 64)
            assert row["background_scheduler"].startswith("DDIMScheduler, 1 steps")
            assert (row["background_licence"], row["licence"]) == ("MIT", "CC0-1.0 AND MIT")
            changed = {name for name in row if row[name] != bare[name]}
            assert changed == {"image", "neutral_image", "licence", "config_hash", *BACKGROUND_COLUMNS} & set(row)
    assert rows(made.out, "expressions")[0]["licence"] == "CC0-1.0"
    behind = {(row["identity_id"], row["view_id"]): row["background_seed"] for row in rows(made.out, "frames")}
    assert len(set(behind.values())) == len(behind) == 4


def test_one_plate_stands_behind_all_faces_of_a_view(config: SynthConfig, made: SimpleNamespace) -> None:
    """In the very pictures of the rows; the head is, within a level, that before a procedural background."""
    person = make_plan(config).shards[0].identities[0]
    wish = plate_wish_of(config, "cpu")
    prepared = prepare_identity(settled(config), replace(person, behind=wish), Provenance(7, "", "", ""))
    decorated, setup = decorate(prepared), render_setup(Head.default())
    assert decorated.inputs.painted.shape == (2, 64, 64, 3) and decorated.inputs.background.tolist() == [0, 1, 0, 1]
    shots, bare = (render_people([inputs], setup, Clock()) for inputs in (decorated.inputs, prepared.inputs))
    assert torch.equal(shots.alpha, bare.alpha)
    assert torch.equal(shots.heatmap, bare.heatmap)
    # An alpha of 255 is rounded: up to half a level of what stands behind may shine through.
    # And the lens takes from two pixels around.
    covered = -torch.nn.functional.max_pool2d(-shots.alpha.float(), 5, 1, 2) == 255
    assert (shots.image[covered].int() - bare.image[covered].int()).abs().max() <= 1
    behind = shots.alpha == 0
    assert behind.float().mean() > 0.2 and (shots.image[behind] != bare.image[behind]).any(1).float().mean() > 0.9
    own = [row for row in rows(made.out, "frames") if row["identity_id"] == person.identity_id]
    for row, picture in zip(own, shots.image.numpy(), strict=True):
        assert row["image"]["bytes"] == encode_image(picture, row["jpeg_quality"])


def test_card_report_and_receipt_tell(made: SimpleNamespace) -> None:
    assert (made.receipt.behind, made.receipt.images, made.receipt.refined) == (8, 8, None)
    card, report = ((made.out / name).read_text() for name in ("README.md", "report/index.html"))
    assert "8 of 8 images (100 %) have backgrounds by tiny-sd (SHA-256 " in card and ", licence MIT)" in card
    assert "\nlicense: other\nlicense_name: CC0-1.0 AND MIT\n" in card and "background_prompts_hash: " in card
    assert "what the models that painted learned from" in card
    assert "<b>100 %</b><span>of the images with a painted background</span>" in report
    bare = (made.plain / "README.md").read_text()
    assert "Who painted" not in bare and "background_model:" not in bare and "\nlicense: cc0-1.0\n" in bare


def test_verify_compares_rows_with_the_configuration(pain3d: Run, made: SimpleNamespace, tmp_path: Path) -> None:
    for whole in (made.out, made.plain):
        assert pain3d("verify", whole, "--sample", "1").out.endswith("nothing wrong\n")
    ran = pain3d("replay", made.out, str(pq.read_table(made.out / "data/frames")["sample_id"][0]))
    assert ran.code == 0 and "image            not made again: a model painted in it" in ran.out
    out = Path(shutil.copytree(made.out, tmp_path / "out"))
    frames = "data/frames/train-00000-of-00002.parquet"
    edit(out, frames, lambda found: found[0].update(background_model="x", background_seed=-1, licence="CC0-1.0"))
    model, seed, licence = sorted(pain3d("verify", out).out.splitlines())
    assert "background_model is 'x', who painted says 'tiny-sd'" in model and "licence is 'CC0-1.0'" in licence
    assert "background_seed is -1, who painted says " in seed


def test_bytes_do_not_depend_on_who_renders(
    config: SynthConfig, made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels of the CPU stand in for a device's, as in test_device_synthesis."""
    monkeypatch.setattr(device_synthesis.DeviceBatches, "_on_device", lambda self: nullcontext())
    synthesise(replace(config, device="cuda"), tmp_path / "out", quiet=True)
    for one, other in zip(rows(made.out, "frames"), rows(tmp_path / "out", "frames"), strict=True):
        assert one["image"] == other["image"] and one["background_seed"] == other["background_seed"]


def test_any_batch_and_any_stop_give_the_same_bytes(
    config: SynthConfig, made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL after the first identity, a moved model, and identities two at a time."""
    moved = Path(shutil.copytree(config.background_model, tmp_path / "elsewhere" / "tiny-sd"))
    monkeypatch.setattr("tests.pipeline.conftest.SMALL", config)
    monkeypatch.setattr("tests.pipeline.conftest.KILLED_AFTER", 1)
    assert stop_run(tmp_path / "out").count(b"\n") == 1
    synthesise(replace(config, background_model=str(moved), batch_size=2), tmp_path / "out", quiet=True)
    assert hashes(tmp_path / "out") == hashes(made.out)


def test_who_has_no_usable_plate_keeps_procedural_backgrounds(
    config: SynthConfig, made: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pain3d: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    last = make_plan(config).shards[-1].identities[-1].identity_id
    original, failed = DiffusersPainter.inpaint, []

    def spoilt(self: DiffusersPainter, *asked: Any) -> torch.Tensor:
        assert torch.get_num_threads() == workers.PAINTING_THREADS  # whatever the batch: see PAINTING
        if asked[-1] in seeds:
            failed.append(asked[-1])
            raise PaintingError(f"tiny-sd, seed {asked[-1]}: black")
        return original(self, *asked)

    seeds = [row["background_seed"] for row in rows(made.out, "frames") if row["identity_id"] == last]
    monkeypatch.setattr(DiffusersPainter, "inpaint", spoilt)
    receipt = synthesise(replace(config, batch_size=2), tmp_path / "out", quiet=True)
    assert (receipt.behind, failed) == (4, seeds[:1])
    line = f"identity {last}: no usable plate (tiny-sd, seed {seeds[0]}: black), its backgrounds stay procedural"
    assert capsys.readouterr().err == f"pain3d: {line}\n"
    outs = (tmp_path / "out", made.out, made.plain)
    for row, painted, bare in zip(*(rows(out, "frames") for out in outs), strict=True):
        kept = bare if row["identity_id"] == last else painted
        assert row == kept | {"config_hash": row["config_hash"]}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "4 of 8 images (50 %) have backgrounds" in card
    assert "\nlicense_name: CC0-1.0 / CC0-1.0 AND MIT\n" in card
    assert pain3d("verify", tmp_path / "out").code == 0


def refused(pain3d: Run, out: Path, *options: str | Path) -> str:
    """The one line of a command that is refused; nothing is left of it."""
    ran = pain3d("synth", out, *SETTINGS, *options, "--json")
    assert (ran.code, ran.out) == (2, "") and ran.err.startswith("pain3d: ") and ran.err.count("\n") == 1
    assert not out.exists()
    return ran.err.removeprefix("pain3d: ").rstrip()


def test_what_can_not_be_is_one_line(pain3d: Run, model: Path, tmp_path: Path) -> None:
    def said(*options: str | Path) -> str:
        return refused(pain3d, tmp_path / "out", *options)

    painted = ("--backgrounds", f"diffusion:{model.parent / 'one.yaml'}", "--background-model", model)
    assert said("--background-model", model) == (
        "--background-model is for a painter: name one by --backgrounds diffusion"
    )
    assert said("--backgrounds", "rooms") == (
        "backgrounds must be procedural, diffusion or diffusion:RECIPE, got 'rooms'"
    )
    assert said("--backgrounds", "diffusion") == (
        "--backgrounds diffusion: name a model by --background-model, or a recipe"
    )
    assert said("--backgrounds", "diffusion:tiny") == (
        "--backgrounds: recipe tiny is the small model's, which paints no pictures"
    )
    assert said(*painted, "--cameras", "free") == (
        "--backgrounds diffusion: a plate stands behind one camera, and --cameras free has many"
    )
    assert said(*painted, "--processes", "2") == (
        "--backgrounds diffusion and --processes: each process would hold the model; leave --processes out"
    )
    assert said(*painted, "--size", "60") == "tiny-sd: the sides of a view must be multiples of 8, got 60 × 60"
    partly = Path(shutil.copytree(model, tmp_path / "partly"))
    shutil.rmtree(partly / "vae")
    assert said(*painted[:3], partly).startswith(f"{partly}: the component vae")
    words = dict.fromkeys(BACKGROUNDS, "photograph of a room")
    (tmp_path / "prompts.yaml").write_text(f"background: {words | {'room': 'photograph of Marie Curie'}}\n")
    named = said(*painted, "--background-prompts", tmp_path / "prompts.yaml")
    assert named.startswith(f"prompts {tmp_path / 'prompts.yaml'}: 'Marie' is not on the list of words")
    (weights,) = (partly / "unet").glob("*.safetensors")
    shutil.copytree(model / "vae", partly / "vae")
    save_file({name: torch.full_like(tensor, torch.nan) for name, tensor in load_file(weights).items()}, weights)
    nan = said(*painted[:3], partly)
    assert nan.startswith("identity ") and ": no usable plate (partly, seed " in nan and "not a number" in nan
    assert nan.endswith(", the first of all")


def test_out_of_memory_is_one_line(pain3d: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "forward", full)
    options = ("--backgrounds", f"diffusion:{model.parent / 'one.yaml'}", "--background-model", model)
    said = refused(pain3d, tmp_path / "out", *options)
    assert said.startswith("out of memory; smaller views or one view in a pass may help (tiny-sd: ")
