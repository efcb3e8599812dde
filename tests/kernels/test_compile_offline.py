"""Every Triton kernel compiles for sm_80 and sm_90 without spilling, to what the committed table says."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import triton

from tests.conftest import compiling
from tests.kernels.compile_offline import ARCHITECTURES, TABLE, Row, atomics, from_csv, to_compile, to_csv, usage
from tests.kernels.compile_offline import __file__ as SCRIPT

KERNELS = Path(SCRIPT).parents[2] / "kernels"
SAMPLE = Row("room/kernel", "BLOCK: 64", 4, 0, "sm_90", 32, 0, 0, 1000, "REDG.E.MIN.S64.STRONG.GPU x1", "0a 1b")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """What this tree compiles to here: a process that compiles what the committed table doesn't know, and a sample."""
    with compiling() as shared:
        command = [sys.executable, SCRIPT, "--known", "--cache", str(shared)]
        done = subprocess.run(command, cwd=tmp_path_factory.mktemp("compiled"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return from_csv(done.stdout)[1]


def jitted(source: str) -> dict[str, set[str]]:
    """Functions of a file under `@triton.jit`, each with the names that stand in it."""
    return {
        node.name: {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(mark).startswith("triton.jit") for mark in node.decorator_list)
    }


def not_compiled(sources: dict[str, str], rows: list[Row]) -> set[tuple[str, str]]:
    """Kernel and architecture without a row: jitted functions, by room, that no other jitted function calls."""
    functions = {room: jitted(source) for room, source in sources.items()}
    called = {name for found in functions.values() for own, names in found.items() for name in names - {own}}
    launched = {f"{room.partition('/')[0]}/{name}" for room, found in functions.items() for name in set(found) - called}
    wanted = {(kernel, f"sm_{arch}") for kernel in launched for arch in ARCHITECTURES}
    return wanted - {(row.kernel, row.arch) for row in rows}


def spilling(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.spill_bytes]


def fused(rows: list[Row]) -> list[Row]:
    """Kernels in which the compiler chooses what is rounded once: see `UNFUSED` of `kernels/_triton.py`."""
    return [row for row in rows if row.fused]


def comparing_and_swapping(rows: list[Row]) -> list[Row]:
    """Kernels with a loop around a compare-and-swap: what an atomic becomes that the hardware doesn't have."""
    return [row for row in rows if "CAS" in row.atomics]


def natively_least(row: Row) -> bool:
    """Whether a kernel takes 64-bit minima in memory by an instruction that waits for no answer."""
    return any(name.startswith("RED") and ".MIN.S64" in name for name in row.atomics.split("; "))


@pytest.mark.slow
def test_every_kernel_is_compiled(rows: list[Row]) -> None:
    sources = {path.relative_to(KERNELS).as_posix(): path.read_text() for path in KERNELS.glob("*/*.py")}
    assert any(jitted(source) for source in sources.values())
    assert not not_compiled(sources, rows)


@pytest.mark.slow
def test_no_kernel_spills(rows: list[Row]) -> None:
    assert not spilling(rows)


@pytest.mark.slow
def test_table_is_the_committed_one(rows: list[Row]) -> None:
    version, committed = from_csv(TABLE.read_text())
    assert not spilling(committed)
    if version != triton.__version__:
        pytest.skip(f"the table is of Triton {version}; {triton.__version__} allots other registers")
    hint = f"python {Path(SCRIPT).relative_to(KERNELS.parent)} --write rewrites {TABLE.name}"
    assert rows == committed, hint


@pytest.mark.slow
def test_visibility_is_a_native_reduction(rows: list[Row]) -> None:
    assert not comparing_and_swapping(rows)
    for arch in ARCHITECTURES:
        least = [row for row in rows if row.arch == f"sm_{arch}" and row.kernel.startswith("rasterization/")]
        assert any(natively_least(row) for row in least), f"no 64-bit minimum in memory on sm_{arch}"


@pytest.mark.slow
def test_no_compiler_chooses_what_is_rounded_once(rows: list[Row]) -> None:
    assert not fused(rows)


def test_the_checks_can_fail() -> None:
    assert (
        spilling([SAMPLE]) == []
        and fused([SAMPLE]) == []
        and natively_least(SAMPLE)
        and comparing_and_swapping([SAMPLE]) == []
    )
    spilled = Row("room/kernel", "", 4, 1, "sm_80", 255, 16, 0, 1000, "ATOMG.E.CAS.64.STRONG.GPU x1", "")
    assert spilling([SAMPLE, spilled]) == [spilled] and fused([SAMPLE, spilled]) == [spilled]
    assert comparing_and_swapping([SAMPLE, spilled]) == [spilled] and not natively_least(spilled)
    source = "@triton.jit\ndef part(x): pass\n@triton.jit\ndef kernel(x): part(x)\n@triton.jit\ndef other(x): part(x)\n"
    assert not_compiled({"room/kernel.py": source}, [SAMPLE]) == {
        ("room/kernel", "sm_80"),
        ("room/other", "sm_80"),
        ("room/other", "sm_90"),
    }


def test_what_changed_is_compiled_and_an_eighth_of_the_rest() -> None:
    many = [Row(f"room/kernel{n}", "", 4, 0, arch, 32, 0, 0, 0, "", f"{n}{arch}") for n in range(200) for arch in "ab"]
    wanted = [(row.kernel, row.launches) for row in many]
    sample = to_compile(wanted, many)
    assert 10 < len(sample) < 40  # 25 of 200; a standard deviation is 4.7
    changed = [*wanted[1:-2], ("room/kernel0", "other"), ("room/new", "x")]
    found = to_compile(changed, many)
    assert {"room/kernel0", "room/new", "room/kernel199"} < found and len(found) < 45
    assert found - {"room/kernel0", "room/new", "room/kernel199"} != sample
    assert to_compile(wanted, []) == {row.kernel for row in many}


def test_what_the_programs_say_is_read() -> None:
    said = "Function k:\n  REG:40 STACK:8 SHARED:512 LOCAL:16 CONSTANT[0]:560 TEXTURE:0 SURFACE:0 SAMPLER:0\n"
    assert usage(said) == (40, 24)
    code = "REDG.E.MIN.S64.STRONG.GPU [R2.64], R4 ;\n@P0 ATOM.E.CAS.64 R2, [R2] ;\nREDUX.SUM UR4 ;\nATOMS.ADD R1, [R0]"
    assert atomics(code) == "ATOM.E.CAS.64 x1; ATOMS.ADD x1; REDG.E.MIN.S64.STRONG.GPU x1"
    assert from_csv(to_csv([SAMPLE], "3.6.0")) == ("3.6.0", [SAMPLE])
