"""Recipes: all that ship are whole and name their sources; a wrong one is refused in one line."""

from pathlib import Path

import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline.texture.model_folder import HUB_ID, KINDS
from pain3d.pipeline.texture.recipes import load_recipe, parse_recipe, recipe_names

FIGURES = ("steps", "guidance", "control_scale", "parameters", "memory", "licence")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name and recipe.licence != "unknown" and recipe.steps <= 50
    assert recipe.base is None or HUB_ID.fullmatch(recipe.base)
    written = load_recipe(name).sources
    lines = (
        (Path(__file__).parents[3] / "src/pain3d/pipeline/texture/recipes" / f"{name}.yaml").read_text().splitlines()
    )
    said = {line.partition(":")[0] for line in lines}
    for figure in FIGURES:
        assert figure not in said or figure in written, f"{name}: {figure} has no source"


def test_every_kind_has_a_recipe() -> None:
    assert {load_recipe(name).kind for name in recipe_names()} >= set(KINDS)


def test_the_licence_is_said_first() -> None:
    told = load_recipe("flux1-depth-dev").warning()
    assert told is not None and "may not be used commercially" in told
    assert load_recipe("z-image-turbo").warning() is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("kind: sd\nstepps: 3", "recipe r: unknown field 'stepps', did you mean steps?"),
        ("kind: sd\nsteps: many", "recipe r: steps must be int, got 'many'"),
        ("kind: sd\nsteps: true", "recipe r: steps must be int, got True"),
        ("kind: sd\nsteps: 0", "steps and micro_batch must be at least 1"),
        ("kind: sd\ncontrol_scale: 3", "control_scale must be in 0..2"),
        ("kind: sd9", "unknown kind 'sd9', did you mean sd?"),
        ("kind: sd\nscheduler: flow-euler", "scheduler flow-euler is not for models of kind sd"),
        ("kind: flux\nscheduler: ddim", "scheduler ddim is not for models of kind flux"),
        ("steps: 3", "no table with at least `kind`"),
        ("kind: [", "not YAML at line 2"),
    ],
)
def test_wrong_recipes(text: str, told: str) -> None:
    with pytest.raises(RefusedError, match=told) as refused:
        parse_recipe("r", text)
    assert "\n" not in str(refused.value)


def test_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"recipe 'sdxl-dept' is unknown, did you mean sdxl-depth"):
        load_recipe("sdxl-dept")
    file = tmp_path / "mine.yaml"
    file.write_text("kind: sd\nsteps: 4\nscheduler: lcm\nguidance: 1\n")
    assert (load_recipe(str(file)).name, load_recipe(str(file)).steps) == ("mine", 4)
    with pytest.raises(RefusedError, match=r"none\.yaml: .*No such file"):
        load_recipe(str(tmp_path / "none.yaml"))
