"""Every reader of the house refuses hostile text in one line that names the file, and leaves its folder as it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from pain3d.console.refused import RefusedError
from pain3d.fitting.command import _landmarks
from pain3d.head import HeadFileError
from pain3d.head.foreign.blendshapes import MAPPING, open_folder
from pain3d.live.recording import read_recording
from pain3d.pipeline.texture.bank import ENTRY, QUARANTINE, TextureBank, read_entry
from pain3d.pipeline.texture.model_folder import describe, inspect_model, licence_of
from pain3d.pipeline.texture.prompts import load_prompts
from pain3d.pipeline.texture.recipes import load_recipe
from pain3d.pipeline.texture.skin_model.weights import METADATA, is_skin_model, read_file
from pain3d.run_folder import RESOLVED
from pain3d.scene import Scene
from pain3d.training.checkpoint import read_checkpoint
from pain3d.training.config import TrainConfig
from pain3d.training.data.synpain import open_synpain
from pain3d.training.data.threedpain import ANNOTATIONS, ORIGIN, open_3dpain
from pain3d.training.evaluation.report import NUMBERS, refuse_other_report
from pain3d.training.log import LINES, RunLog
from pain3d.training.model.pretrained import CONFIG, WEIGHTS, load_pretrained, read_config
from pain3d.training.run import FORMAT, PEOPLE, open_run, people_of
from pain3d.training.score.out_of_distribution import NAME, load_ood
from tests.conftest import Ran

PICTURE = "flame_sample_0000_pain_1_textured_view_000_inpainted.jpg"
ANNOTATION = f"{ANNOTATIONS}/flame_sample_0000_pain_1_annotations.json"
YAMLS = {
    "a 99th month": "seed: 2020-99-99",
    "digits": f"seed: {'1' * 5000}",
    "no number": 'seed: !!int "x"',
    "brackets": "[" * 20_000,
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "not text": "seed: \udce9",
}
JSONS = {
    "brackets": "[" * 20_000,
    "digits": f'{{"seed": {"1" * 5000}}}',
    "infinite": '{"seed": 1e999, "step": 1e999, "train": 1e999}',
    "no number": '{"seed": NaN}',
    "a scalar": "3",
    "a list": "[[]]",
    "scalars": '{"seed": [], "step": [], "train": 3, "AU4": [], "config": 3, "reason": 3, "sitter": 3, "units": 3}',
    "not text": '{"seed": "\udce9"}',
}


def threedpain(folder: Path) -> Any:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "images" / PICTURE).touch()
    place = folder / ANNOTATION
    place.parent.mkdir(exist_ok=True)
    if not place.exists():
        place.write_text('{"AU4": 1, "PSPI": 1}')
    return open_3dpain(folder)


def landmarks(folder: Path) -> Any:
    return _landmarks(folder / "points.json", [folder / "a.jpg"])


def run_log(folder: Path) -> Any:
    (folder / LINES).write_text((folder / LINES).read_text(errors="surrogateescape") + "\n", errors="surrogateescape")
    return RunLog(folder, 3)


YAML_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "run": (RESOLVED, open_run),
    "prompts": ("prompts.yaml", lambda folder: load_prompts(folder / "prompts.yaml")),
    "recipe": ("recipe.yaml", lambda folder: load_recipe(str(folder / "recipe.yaml"))),
}
JSON_READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "people": (PEOPLE, people_of),
    "model": (CONFIG, lambda folder: read_config(folder / CONFIG)),
    "annotation": (ANNOTATION, threedpain),
    "origin": (ORIGIN, threedpain),
    "report": (NUMBERS, lambda folder: refuse_other_report(folder, "x", {})),
    "log": (LINES, run_log),
    "diffusers": ("model_index.json", inspect_model),
    "texture": (ENTRY, read_entry),
    "landmarks": ("points.json", landmarks),
    "head": (MAPPING, open_folder),
}


@pytest.mark.parametrize("content", YAMLS)
@pytest.mark.parametrize("reader", YAML_READERS)
def test_hostile_yaml_is_refused(reader: str, content: str, tmp_path: Path) -> None:
    name, read = YAML_READERS[reader]
    check_refused(read, tmp_path, name, YAMLS[content])


@pytest.mark.parametrize("content", JSONS)
@pytest.mark.parametrize("reader", JSON_READERS)
def test_hostile_json_is_refused(reader: str, content: str, tmp_path: Path) -> None:
    name, read = JSON_READERS[reader]
    check_refused(read, tmp_path, name, JSONS[content])


def check_refused(read: Callable[[Path], Any], folder: Path, name: str, content: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content, errors="surrogateescape")
    with pytest.raises((RefusedError, HeadFileError)) as refused:
        read(folder)
    said = str(refused.value)
    assert str(folder) in said and len(said.splitlines()) == 1 and len(said) < 500, said


@pytest.mark.parametrize("content", YAMLS)
def test_a_hostile_configuration_ends_synth_in_a_line(pain3d: Callable[..., Ran], content: str, tmp_path: Path) -> None:
    (tmp_path / "it.yaml").write_text(YAMLS[content], errors="surrogateescape")
    ran = pain3d("synth", tmp_path / "x", "--config", tmp_path / "it.yaml")
    assert ran.code == 2 and ran.err.startswith(f"pain3d: --config {tmp_path}/it.yaml"), ran.err
    assert ran.err.count("\n") == 1 and not (tmp_path / "x").exists()


@pytest.mark.parametrize("content", YAMLS)
def test_a_hostile_resolved_configuration_is_left_alone(
    pain3d: Callable[..., Ran], content: str, tmp_path: Path
) -> None:
    (tmp_path / RESOLVED).write_text(YAMLS[content], errors="surrogateescape")
    before = (tmp_path / RESOLVED).read_bytes()
    ran = pain3d("synth", tmp_path, "--identities", "1")
    assert ran.code == 2 and ran.err == f"pain3d: {tmp_path}: not empty, and not a data set of pain3d\n"
    assert [path.name for path in tmp_path.iterdir()] == [RESOLVED]
    assert (tmp_path / RESOLVED).read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data": 3}, "data is 3"),
        ({"task": "x"}, "task is 'x'"),
        ({"hash": None}, "hash is None"),
        ({"config": 3}, "can't be read (TypeError"),
        ({"config": {"shots": -1}}, "can't be read (TypeError"),
        ({"config": {"num_references": -1}}, "num_references must be a whole number from 1 to 64, got -1"),
        ({"config": {"cache_mb": -1}}, "cache_mb must be a whole number from 0 to 1000000000, got -1"),
        ({"config": {"seed": "x" * 9000}}, "seed must be a whole number from 0"),
        ({"format": "x" * 9000}, "format 'xxx"),
    ],
)
def test_a_run_of_other_settings_is_named(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    config = dataclasses.asdict(TrainConfig())
    held = {"format": FORMAT, "task": "vitpain", "data": "x", "data_key": "y", "config": config, "hash": "z"}
    (tmp_path / RESOLVED).write_text(yaml.safe_dump(held))
    assert open_run(tmp_path).config == TrainConfig()
    held |= changed if not isinstance(changed.get("config"), dict) else {"config": config | changed["config"]}
    (tmp_path / RESOLVED).write_text(yaml.safe_dump(held))
    with pytest.raises(RefusedError) as refused:
        open_run(tmp_path)
    assert said in str(refused.value) and RESOLVED in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.parametrize("content", JSONS)
def test_a_hostile_scene_is_no_scene(content: str) -> None:
    with pytest.raises(ValueError, match=r"^not a scene: ") as refused:
        Scene.from_json(JSONS[content])
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x" * 200_000 + ",1\n", "a line of more than"),
        ("flame_sample_0000_pain_1,9\n", "line 2: needs an expression and 0, 1 or 2"),
        ("flame_sample_0000_pain_1\n", "line 2: needs an expression and 0, 1 or 2, got 'flame_sample"),
        ('"flame_sample_0000\n_pain_1",1\n', "line 2: a cell that doesn't end on its line"),
    ],
)  # fmt: skip
def test_a_hostile_split_of_3dpain_is_named(table: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("annotation_base_name, split\n" + table)
    with pytest.raises(RefusedError) as refused:
        threedpain(tmp_path)
    assert said in str(refused.value) and str(tmp_path / "split.csv") in str(refused.value)


def test_an_action_unit_of_400_digits_is_named(tmp_path: Path) -> None:
    (tmp_path / ANNOTATION).parent.mkdir()
    (tmp_path / ANNOTATION).write_text(f'{{"AU4": {"9" * 400}}}')
    with pytest.raises(RefusedError, match=r"annotations.json: a number of more than 100 digits"):
        threedpain(tmp_path)
    (tmp_path / ANNOTATION).write_text(f'{{"AU4": {"9" * 90}}}')
    with pytest.raises(RefusedError, match=r"annotations.json: .*AU4"):
        threedpain(tmp_path)


def test_a_long_line_of_folds_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "1000000001_NoPain_Man_Young.jpg").touch()
    (tmp_path / "folds.txt").write_text("1000000001_" + "a1" * 500_000)
    with pytest.raises(RefusedError, match=r"folds.txt line 1: needs an ID of ten digits"):
        open_synpain(tmp_path)


def test_a_column_of_very_many_digits_is_no_action_unit(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"AU{'4' * 5000}_r\n1\n")
    with pytest.raises(RefusedError, match="no column of openface in it"):
        read_recording(tmp_path / "a.csv", "openface")


def test_what_a_safetensors_file_says_of_itself_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "it.safetensors"
    for told in ("[" * 20_000, "3", '{"step": 1}'):
        save_file({"a": torch.zeros(1)}, path, {"progress": told, METADATA: told})
        with pytest.raises(RefusedError, match=f"^{path}: not a checkpoint of pain3d, or damaged"):
            read_checkpoint(path)
    save_file({"a": torch.zeros(1)}, path, {METADATA: "[" * 20_000})
    with pytest.raises(RefusedError, match=f"^{path}: not a whole safetensors file"):
        read_file(path)
    for header in (b"[" * 20_000, b"3", b'{"a": 3}', b'{"a": {"shape": 3}}', b'{"a": {"shape": [1e9]}}',
                   b'{"a": {"shape": [' + b"9" * 90 + b"]}}"):  # fmt: skip
        path.write_bytes(len(header).to_bytes(8, "little") + header)
        assert not is_skin_model(path)
        with pytest.raises(RefusedError, match=f"^{path}: "):
            describe(tmp_path, [], "sd", path)
    path.write_bytes((2**40).to_bytes(8, "little"))
    assert not is_skin_model(path)


@pytest.mark.parametrize("settings", [{"block_out_channels": 5}, {"block_out_channels": ["x"]}, {"base_dim": -1}])
def test_scalars_in_the_settings_of_a_decoder_are_named(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text(json.dumps(settings))
    if isinstance(settings.get("block_out_channels"), int):
        assert describe(tmp_path, ["vae"], "sd").width == 5
        return
    with pytest.raises(RefusedError, match=r"vae/config.json: must tell channels from 1 to"):
        describe(tmp_path, ["vae"], "sd")


def test_a_model_card_of_many_blanks_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: a" + " \n" * 500_000 + '"\n---\n')
    assert licence_of(tmp_path) == "LicenseRef-a"


def test_a_scalar_among_fitted_arrays_is_named(tmp_path: Path) -> None:
    save_file(
        {"mean": torch.tensor(1.0), "precision": torch.ones(1, 1), "quantiles": torch.ones(1001)}, tmp_path / NAME
    )
    with pytest.raises(RefusedError, match="not what pain3d writes"):
        load_ood(tmp_path)


def test_a_damaged_reason_is_named(tmp_path: Path) -> None:
    (tmp_path / QUARANTINE).mkdir()
    (tmp_path / QUARANTINE / "x.json").write_text("[" * 20_000)
    with pytest.raises(RefusedError, match=r"x.json: can't be read; remove it"):
        TextureBank(tmp_path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"backbone": "vit_base_patch16_224"}, r"model\.safetensors: no backbone"),
        ({"depth": 10**9}, "depth must be from 1 to 100, got 1000000000"),
        ({"backbone": "vit_tiny_patch16_224", "width": 100, "heads": 7}, "config.json: |backbone vit_tiny"),
        ({"dropout": 3}, "dropout must be"),
    ],
)
def test_a_model_of_another_size_than_its_weights_is_never_made(
    values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / CONFIG).write_text(json.dumps(values))
    save_file({"a": torch.zeros(1)}, tmp_path / WEIGHTS)
    with pytest.raises(RefusedError, match=said):
        load_pretrained(tmp_path)
