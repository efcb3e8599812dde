"""The names that users may rely on: who changes public_names.txt changes the public face, and CHANGELOG.md."""

import importlib
import inspect
from pathlib import Path

import pytest

MODULES = ("pain3d", "pain3d.kernels")
COMMITTED = Path(__file__).with_name("public_names.txt").read_text().split()
ON_INDICES = {"pain3d.kernels.face_adjacency"}  # whole numbers in, whole numbers out


def public_names() -> list[str]:
    return [f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__]


def thing(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_public_names_are_the_committed_ones() -> None:
    assert sorted(public_names()) == COMMITTED


@pytest.mark.parametrize("name", COMMITTED)
def test_every_public_name_is_documented(name: str) -> None:
    documented = thing(name)
    text = documented.__doc__ or ""
    # A dataclass or NamedTuple without a docstring gets its signature for one.
    assert text and not text.startswith(name.rpartition(".")[2] + "("), f"{name} has no docstring"
    if inspect.isclass(documented):
        methods = [m for n, m in inspect.getmembers(documented, inspect.isroutine) if n in vars(documented)]
        bare = [m.__name__ for m in methods if not m.__name__.startswith("_") and not m.__doc__]
        assert not bare, f"{name} has methods without docstring: {bare}"


@pytest.mark.parametrize("name", COMMITTED)
def test_every_op_says_where_gradients_go(name: str) -> None:
    op = thing(name)
    takes_tensors = inspect.isfunction(op) and any("Tensor" in str(kind) for kind in op.__annotations__.values())
    if takes_tensors and name not in ON_INDICES:
        assert "Gradients:" in (op.__doc__ or ""), f"{name} has no Gradients line"
