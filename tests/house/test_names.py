"""Every dotted name leads to the module of that name, and no list of parameters is longer than one can read."""

import ast
import importlib
import inspect
import operator
import pkgutil
from pathlib import Path

import pain3d
import pain3d.kernels

MOST_OF_A_KERNEL, MOST_OF_A_FUNCTION = 16, 20
LONG_KERNELS: dict[str, str] = {}  # by name: why it takes more
LONG_FUNCTIONS = {
    "pain3d.sample_scenes": "the law of a data set: one for each option of `pain3d synth` that decides scenes",
    "pain3d.kernels.overlay": "the flat door of ragged meshes: geometry, material, views, lights, as that of `render`",
    "pain3d.kernels.render": "the flat door of a whole picture: mesh, material, lights, views and what to hand back",
}


def shadows(source: str, beside: set[str]) -> list[str]:
    """Public functions and classes of a file that have the name of a module beside it."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in ast.parse(source).body if isinstance(node, kinds) and node.name in beside]


def parameter_count(function: ast.FunctionDef) -> int:
    arguments = function.args
    return len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)


def launched_kernels(sources: dict[str, str]) -> dict[str, int]:
    """Parameters, constants of the compiler among them, of each kernel that is launched: `launch(kernel, …)`."""
    trees = {name: ast.parse(source) for name, source in sources.items()}
    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    launched = {
        node.args[0].id
        for _, node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "launch"
        and isinstance(node.args[0], ast.Name)
    }
    return {
        f"{name}:{node.name}": parameter_count(node)
        for name, node in nodes
        if isinstance(node, ast.FunctionDef)
        and node.name in launched
        and any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


def public_functions() -> dict[str, int]:
    functions = {}
    for module in (pain3d, pain3d.kernels):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isfunction(function):
                functions[f"{module.__name__}.{name}"] = len(inspect.signature(function).parameters)
    return functions


def test_no_name_is_that_of_a_module_beside_it(root: Path, tracked: tuple[Path, ...]) -> None:
    sources = [path for path in tracked if path.is_relative_to("src/pain3d") and path.suffix == ".py"]
    found = []
    for path in sources:
        beside = {other.stem for other in sources if other.parent == path.parent}
        beside |= {other.parent.name for other in sources if other.parent.parent == path.parent}
        found += [f"{path}: {name}" for name in shadows((root / path).read_text(), beside)]
    assert not found, "\n".join(found)


def test_a_dotted_name_is_its_module() -> None:
    names = [module.name for module in pkgutil.walk_packages(pain3d.__path__, "pain3d.")]
    assert len(names) > 200
    for name in names:
        if not name.endswith("__main__"):
            module = importlib.import_module(name)
            assert operator.attrgetter(name.partition(".")[2])(pain3d) is module, name


def test_kernels_take_few_parameters(root: Path, tracked: tuple[Path, ...]) -> None:
    inside = Path("src/pain3d/kernels")
    sources = {
        path.relative_to(inside).parent.as_posix() + "/" + path.stem: (root / path).read_text()
        for path in tracked
        if path.is_relative_to(inside) and path.suffix == ".py"
    }
    counts = launched_kernels(sources)
    assert len(counts) >= 10
    assert {name for name, count in counts.items() if count > MOST_OF_A_KERNEL} == LONG_KERNELS.keys()


def test_public_functions_take_few_parameters() -> None:
    counts = public_functions()
    assert len(counts) >= 10
    assert {name for name, count in counts.items() if count > MOST_OF_A_FUNCTION} == LONG_FUNCTIONS.keys()


def test_the_checks_can_fail() -> None:
    assert shadows("def view(): pass\nclass scene: pass\ndef _mesh(): pass\nView = 1", {"view", "scene", "mesh"}) == [
        "view",
        "scene",
    ]
    kernel = "@triton.jit\ndef fill(a, b, *, C: tl.constexpr): pass\n@triton.jit\ndef inner(a): pass\n"
    assert launched_kernels({"room/kernel": kernel, "room/op": "launch(fill, (1,), 1, 2, C=3)"}) == {
        "room/kernel:fill": 3
    }
