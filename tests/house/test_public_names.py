"""The names that users may rely on: who changes public_names.txt changes the public face, and CHANGELOG.md."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
from torch import Tensor

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


def without_shape(name: str, documented: object) -> list[str]:
    """Tensors and arrays that a public name takes, returns or holds, and whose shape its docstring does not tell."""
    text = inspect.getdoc(documented) or ""
    kinds = {} if isinstance(documented, str) else inspect.get_annotations(documented)  # type: ignore[arg-type]
    lacking = []
    for argument, kind in kinds.items():
        if not argument.startswith("_") and re.search(r"Tensor|NDArray|Floats|Bytes", str(kind)):
            told = re.search(rf"\b{argument}\b.*(\[|[Aa]s in `)", text)
            if argument == "return":
                told = re.search(r"\[[^]]*\]", text)
            lacking += [] if told else [f"{name}: {argument}"]
    return lacking


@pytest.mark.parametrize("name", COMMITTED)
def test_every_public_tensor_has_its_shape(name: str) -> None:
    documented = thing(name)
    lacking = without_shape(name, documented) if inspect.isclass(documented) or inspect.isfunction(documented) else []
    for part, member in vars(documented).items() if inspect.isclass(documented) else ():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not part.startswith("_") and inspect.isfunction(function):
            lacking += without_shape(f"{name}.{part}", function)
    assert not lacking


def test_a_missing_shape_is_seen() -> None:
    def bare(light: Tensor) -> Tensor:
        """Do it.

        Args:
            light: Linear.
        """
        return light

    assert without_shape("bare", bare) == ["bare: light", "bare: return"]
