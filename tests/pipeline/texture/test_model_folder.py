"""What a model's folder holds, and every fault of it in one line."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file

from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture.model_folder import find_model, inspect_model, licence_of
from pain3d.pipeline.texture.paint import plan_memory
from pain3d.pipeline.texture.recipes import Recipe
from tests.pipeline.texture.tiny_models import MAKERS


def change(path: Path, **fields: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def model(tiny_models: Path, tmp_path: Path) -> Path:
    """A copy of the model of the kind of SD 1.5, to be spoiled."""
    return Path(shutil.copytree(tiny_models / "sd", tmp_path / "model"))


@pytest.mark.parametrize("kind", MAKERS)
def test_each_kind_is_told_from_its_settings(kind: str, tiny_models: Path) -> None:
    folder = inspect_model(tiny_models / kind)
    assert (folder.kind, folder.name, folder.licence) == (kind.removesuffix("2"), kind, "unknown")
    assert (folder.control is None) == (kind == "flux")
    saved = sum(file.stat().st_size for file in (tiny_models / kind).rglob("*.safetensors"))
    assert 0.5 * saved < 4 * folder.parameters < saved  # float32; the rest are headers


def test_the_hash_is_that_of_weights_and_settings(model: Path, tmp_path: Path) -> None:
    first = inspect_model(model).digest()
    assert re.fullmatch("[0-9a-f]{64}", first)
    moved = Path(shutil.copytree(model, tmp_path / "elsewhere"))
    (moved / "README.md").write_text("words")
    assert inspect_model(moved).digest() == first
    extra = tmp_path / "low.safetensors"
    extra.write_bytes(b"weights")
    assert inspect_model(moved).digest((extra,)) != first
    change(moved / "unet" / "config.json", note=1)
    assert inspect_model(moved).digest() != first


@pytest.mark.parametrize(
    ("head", "licence"),
    [
        ("license: apache-2.0", "Apache-2.0"),
        ("license: openrail++", "LicenseRef-openrail-"),
        ("license: other\nlicense_name: some-terms", "LicenseRef-some-terms"),
        ("license: other", "unknown"),
        ("tags: []", "unknown"),
    ],
)
def test_the_licence_is_that_of_the_card(head: str, licence: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"---\n{head}\n---\n# A model\n")
    assert licence_of(tmp_path) == licence


def test_the_licences_of_base_and_control_are_joined(model: Path) -> None:
    (model / "README.md").write_text("---\nlicense: mit\n---\n")
    (model / "controlnet" / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert inspect_model(model).licence == "Apache-2.0 AND MIT"


def test_the_plan_of_memory(model: Path) -> None:
    recipe = Recipe(name="r", kind="sd")
    plan = plan_memory(inspect_model(model), recipe, torch.float16, 512)
    assert plan.weights == 2 * plan.parameters
    assert plan.pass_bytes == 4 * 2 * 8 * 512 * 512 * 2  # maps, width 8 twice, pixels, bytes
    assert str(plan).startswith("model: 0.00 billion weights in float16, 0.0 GB; about 0.0 GB")


def test_half_precision_under_its_name(model: Path) -> None:
    for file in list(model.rglob("*.safetensors")):
        file.rename(file.with_name(file.name.replace(".safetensors", ".fp16.safetensors")))
    assert inspect_model(model).variant == "fp16"


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda m: (m / "model_index.json").unlink(), "model: no model_index.json"),
    "not JSON": (lambda m: (m / "unet" / "config.json").write_text("{"), "unet/config.json: "),
    "a component": (lambda m: shutil.rmtree(m / "vae"), r"model: the component vae \(AutoencoderKL\) is missing"),
    "its settings": (lambda m: (m / "vae" / "config.json").unlink(), "model/vae: no config.json"),
    "the tokeniser": (
        lambda m: [file.unlink() for file in (m / "tokenizer").glob("*.json")],
        "model/tokenizer: no tokenizer.json or ",
    ),
    "weights": (lambda m: next((m / "unet").glob("*.safetensors")).unlink(), r"model/unet: no weights"),
    "pickles": (
        lambda m: next((m / "unet").glob("*.safetensors")).rename(m / "unet" / "diffusion_pytorch_model.bin"),
        "diffusion_pytorch_model.bin: a pickle, which can run code",
    ),
    "a part": (
        lambda m: (m / "unet" / "x.safetensors.index.json").write_text('{"weight_map": {"a": "x-2.safetensors"}}'),
        "model/unet: the weights x-2.safetensors are missing",
    ),
    "half a file": (
        lambda m: next((m / "vae").glob("*.safetensors")).write_bytes(b"\xff" * 12),
        "not a whole safetensors file",
    ),
    "an unknown net": (
        lambda m: change(m / "unet" / "config.json", _class_name="Kandinsky"),
        "Kandinsky is of no kind that paints here; known are sd, sdxl",
    ),
    "no control": (lambda m: shutil.rmtree(m / "controlnet"), "model: a ControlNet is missing"),
    "control of another base": (
        lambda m: change(m / "controlnet" / "config.json", cross_attention_dim=99),
        "controlnet: made for another base: cross_attention_dim is 99, in .*model it is 16",
    ),
    "control of another kind": (
        lambda m: change(m / "controlnet" / "config.json", addition_embed_type="text_time"),
        "controlnet: a ControlNet for sdxl, but .*model is sd",
    ),
    "no control at all": (
        lambda m: change(m / "controlnet" / "config.json", _class_name="UNet2DModel"),
        "controlnet: UNet2DModel is no ControlNet of a known kind",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_in_one_line(fault: str, model: Path) -> None:
    spoil, told = FAULTS[fault]
    spoil(model)
    with pytest.raises(RefusedError, match=told) as refused:
        inspect_model(model)
    assert "\n" not in str(refused.value)


def test_single_files(model: Path, tmp_path: Path) -> None:
    weights = tmp_path / "all.safetensors"
    save_file({"x": torch.zeros(3, 5)}, weights)
    with pytest.raises(RefusedError, match=r"all\.safetensors: a file of weights alone: the recipe must name"):
        inspect_model(weights)
    folder = inspect_model(weights, settings=model)
    assert folder.weights == weights and folder.parameters > 15
    with pytest.raises(RefusedError, match="a ControlNet for sd is read from a folder"):
        inspect_model(model, weights)
    with pytest.raises(RefusedError, match=r"model\.ckpt: a pickle"):
        inspect_model(weights.rename(tmp_path / "model.ckpt"))


def test_the_hub_is_asked_only_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[bool] = []

    def unreachable(name: str, **named: object) -> str:
        asked.append(not named.get("local_files_only"))
        if named.get("local_files_only"):
            raise LocalEntryNotFoundError("nothing here")
        raise ConnectionError("Name or service\nnot known")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    assert find_model(str(tmp_path)) == tmp_path and not asked
    with pytest.raises(RefusedError, match="a/b/c: no such model folder, and not a hub id"):
        find_model("a/b/c")
    assert not asked
    with pytest.raises(RefusedError, match="owner/model: not in the local cache; --model owner/model fetches it"):
        find_model("owner/model", fetch=False)
    assert asked == [False]
    with pytest.raises(RefusedError, match=r"owner/model: not in the local cache, and the hub doesn't give it \(Name"):
        find_model("owner/model")
    assert asked == [False, False, True]
