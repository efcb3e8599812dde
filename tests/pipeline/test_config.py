"""The configuration: limits, files, overrides, hashes and differences."""

import dataclasses
import math
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from pain3d.console.refused import RefusedError
from pain3d.console.settings import Within, checked, load_settings, with_content
from pain3d.pipeline.config import FIELDS, HOW, OTHER_CAMERAS, PAINTERS, WHAT, SynthConfig, check_together, config_hash
from pain3d.pipeline.folder import DATA_SET
from pain3d.pipeline.run import preview
from pain3d.run_folder import differences

LIMITS = {
    name: next(extra for extra in get_args(hint) if isinstance(extra, Within))
    for name, hint in get_type_hints(SynthConfig, include_extras=True).items()
    if get_args(hint)[:1] == (int,)
}


def of_mapping(content: dict[str, object]) -> SynthConfig:
    return with_content(SynthConfig(), content, checked)


def of_file(path: Path) -> SynthConfig:
    return load_settings(path, SynthConfig(), checked)


def test_every_whole_number_has_limits() -> None:
    assert set(LIMITS) == {field.name for field in dataclasses.fields(SynthConfig) if type(field.default) is int}


@pytest.mark.parametrize("name", LIMITS)
def test_whole_numbers_have_limits(name: str) -> None:
    least, most = LIMITS[name]
    for value in (least, most):
        checked(dataclasses.replace(SynthConfig(), **{name: value}))
    for value in (least - 1, most + 1, True, 1.5, math.nan, "8", None):
        with pytest.raises(RefusedError) as refused:
            checked(dataclasses.replace(SynthConfig(), **{name: value}))
        assert str(refused.value) == f"{name} must be a whole number from {least} to {most}, got {value!r}"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("law", "uniforn", "law must be one of uniform, independent, clinical, got 'uniforn'"),
        ("device", "tpu", "device must be one of auto, cpu, cuda, got 'tpu'"),
        ("asymmetry", math.nan, "asymmetry must be a number from 0 to 1, got nan"),
        ("asymmetry", math.inf, "asymmetry must be a number from 0 to 1, got inf"),
        ("asymmetry", 1.01, "asymmetry must be a number from 0 to 1, got 1.01"),
        ("asymmetry", "half", "asymmetry must be a number from 0 to 1, got 'half'"),
        ("co_occurring", "yes please", "co_occurring must be true or false, got 'yes please'"),
    ],
)
def test_bad_values_are_named(field: str, value: object, message: str) -> None:
    with pytest.raises(RefusedError) as refused:
        of_mapping({field: value})
    assert str(refused.value) == message


def test_every_field_is_checked_and_either_what_or_how() -> None:
    names = {field.name for field in dataclasses.fields(SynthConfig)}
    assert names == {*WHAT, *HOW, *PAINTERS}
    for name in names:
        with pytest.raises(RefusedError, match=f"^{name} must be"):
            of_mapping({name: [1]})


def test_file_keeps_defaults(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("identities: 3\nlaw: clinical\n")
    assert of_file(path) == SynthConfig(identities=3, law="clinical")
    path.write_text("")
    assert of_file(path) == SynthConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("identitis: 3", "unknown key 'identitis', did you mean identities?"),
        ("3: 3", f"unknown key '3'; known are {', '.join(FIELDS)}"),
        ("- 3", "expected a mapping of names to values, got a list"),
        ("a: [", "not YAML at line 2 (did not find expected node content)"),
        ("seed: 2020-99-99", "not YAML at line 1 (no timestamp: month must be in 1..12)"),
        ("size: 15", "size must be a whole number from 16 to 4096, got 15"),
        ("a: !!python/object/apply:os.system ['true']",
         "not YAML at line 1 (could not determine a constructor for the tag "
         "'tag:yaml.org,2002:python/object/apply:os.system')"),
        ("x" * (1 << 20) + "x", "larger than 1048576 bytes"),
    ],
)  # fmt: skip
def test_bad_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(RefusedError) as refused:
        of_file(path)
    assert str(refused.value) == f"--config {path}: {message}"


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="No such file or directory"):
        of_file(tmp_path / "absent.yaml")


def test_hash_is_of_what_is_made() -> None:
    config = SynthConfig()
    assert config_hash(config, "cpu", {}) == config_hash(
        dataclasses.replace(config, batch_size=9, processes=3), "cpu", {}
    )
    assert config_hash(config, "cpu", {}) == config_hash(dataclasses.replace(config, asymmetry=0), "cpu", {})
    changed = {
        "identities": 9, "expressions": 9, "views": 4, "cameras": "free", "size": 64, "seed": 1, "law": "clinical",
        "co_occurring": False, "asymmetry": 0.5, "wrinkles": False, "quality": 90, "identities_per_shard": 2,
        "dense": "depth", "environment_share": 0.0, "bedside_share": 0.5, "vary": "AU4",
        "clinical_share": 0.5, "glasses_share": 0.5, "scarf_share": 0.5, "hair": "painted",
        "shadows": False, "pictures": False,
        "shake_share": 0.5, "defocus_share": 0.5, "infrared_share": 0.5, "distortion_share": 0.5,
    }  # fmt: skip
    assert set(changed) == set(WHAT)
    hashes = {config_hash(dataclasses.replace(config, **{name: value}), "cpu", {}) for name, value in changed.items()}
    assert (
        len(
            hashes
            | {
                config_hash(config, "cpu", {}),
                config_hash(config, "cuda", {}),
                config_hash(config, "cpu", {"texture": "bank"}),
            }
        )
        == len(changed) + 3
    )


def test_differences_read_well() -> None:
    old = {"seed": 0, "views": 3, "size": 512, "config_hash": "a"}
    assert differences(DATA_SET.decides(old), DATA_SET.decides({**old, "config_hash": "b"})) == ""
    old = dict(DATA_SET.decides(old))
    assert differences(old, {"seed": 7, "views": 3, "law": "x"}) == "seed 0 -> 7, size 512 -> absent, law absent -> x"


@pytest.mark.parametrize("name", ["clinical_share", "glasses_share", "scarf_share"])
def test_a_device_without_layers_refuses_who_wears_them(name: str) -> None:
    config = dataclasses.replace(SynthConfig(), **{name: 0.1})
    check_together(config, "cpu")
    with pytest.raises(RefusedError, match=f"^--{name.replace('_', '-')} needs layers"):
        check_together(config, "cuda")
    check_together(dataclasses.replace(config, **{name: 0.0}), "cuda")


@pytest.mark.parametrize("name", OTHER_CAMERAS)
@pytest.mark.parametrize(("painter", "who"), [("refine", "x"), ("backgrounds", "diffusion")])
def test_painters_are_asked_for_plain_pictures_before_they_are_looked_for(
    name: str, painter: str, who: str, tmp_path: Path
) -> None:
    config = dataclasses.replace(SynthConfig(), device="cpu", **{name: 0.1, painter: who})
    told = f"^--{name.replace('_', '-')}: painters know plain pictures alone: leave out --{painter}$"
    with pytest.raises(RefusedError, match=told):
        preview(config, tmp_path / "out")
    check_together(dataclasses.replace(config, **{name: 0.0}), "cpu")
