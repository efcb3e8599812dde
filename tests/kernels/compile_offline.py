"""Knows what the Triton kernels become for sm_80 and sm_90, without a GPU: every launch of every room, compiled.

    python tests/kernels/compile_offline.py                           prints the table
    python tests/kernels/compile_offline.py --known                   the same, most of it out of the committed one
    python tests/kernels/compile_offline.py --write                   rewrites benchmarks/results/registers.csv
    python tests/kernels/compile_offline.py --sass rasterize/NAME     prints the machine code of one kernel

No kernel is listed by hand. The public ops of `rooms.py` are called with ``backend="triton"`` on CPU tensors, and every
launch that their launchers make is compiled and written down instead of made. So what is in the table is what runs.

Each row bears the keys of the launches that came to it: of the source of the kernel and of all it calls, of what the
launch is specialised on, of options, architecture and ptxas. With `--known`, as the tests and `make gpu` run it, a
kernel all of whose keys stand in the committed table, made by the same Triton, is not compiled again: the compiler
would do the same again. What changed is compiled, and so is an eighth of the rest, for both architectures, another
eighth after every change: a table that is not what the compiler makes is found out in time. On a Xeon, nothing kept
from before, everything took 264 s of a core and `--known` 14 (`benchmarks/LOG.md`).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import io
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parents[2] / "benchmarks" / "results" / "registers.csv"
ARCHITECTURES = (80, 90)  # A100 and H100
JOBS = 2  # compilations at a time: as many as the smallest machine has cores
SAMPLED = 8  # one kernel of so many is compiled though it is known
DIGITS = 12  # of a key: 48 bits for some hundred launches
USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)")
ATOMIC = re.compile(r"\b((?:ATOM[A-Z]*|REDG?)\.[\w.]+)")  # not REDUX, a reduction within a warp
IN_PTX = re.compile(r"\b(?:atom|red)\.")
SETTINGS = ("TRITON_", "PTXAS_", "DISABLE_PTXAS_OPT", "CUOBJDUMP", "NVDISASM")  # of the caller: none reaches a compile


@dataclass(frozen=True, order=True)
class Row:
    """One kernel as one launch compiles it: what the table has a line for."""

    kernel: str  # room/function
    variant: str  # constants of the first launch; of the others, in what they differ from it
    num_warps: int
    fused: int  # 1 where the compiler may fuse products with sums as it likes: then a block size changes bits
    arch: str
    registers: int  # a thread
    spill_bytes: int  # a thread: stack and local memory
    shared_bytes: int  # a block
    ptx_bytes: int
    atomics: str  # atomic instructions of the machine code, each with how often it stands there
    launches: str  # keys of the launches that come to it


@dataclass(frozen=True)
class Launch:
    """A compiled kernel and what it was compiled for."""

    kernel: str
    traits: dict[str, str]  # by argument: value of a constant, dtype and alignment of another
    num_warps: int
    fused: int
    arch: str
    shared_bytes: int
    ptx: str
    cubin: bytes
    keys: tuple[str, ...]  # of the launches that came to this PTX


@dataclass(frozen=True)
class Wanted:
    """What a launch would have compiled."""

    kernel: str
    key: str
    compile: Callable[[], Any]


def isolate() -> None:
    """Take what would change Triton or its compilations out of this process's environment."""
    for name in [name for name in os.environ if name.startswith(SETTINGS)]:
        del os.environ[name]
    # Line information holds the paths of this machine, so the bytes of the PTX would depend on where the tree lies.
    os.environ["TRITON_DISABLE_LINE_INFO"] = "1"


def name_of(function: Any) -> str:
    """Room and function, as the table names a kernel."""
    return f"{function.__module__.split('.')[-2]}/{function.__name__}"


def kernel_modules() -> list[str]:
    """Every module of the rooms that has or launches Triton kernels."""
    import pain3d.kernels

    folder = Path(pain3d.kernels.__path__[0])
    found = [*folder.glob("*/kernel*.py"), *folder.glob("*/triton_op.py")]
    return sorted(".".join(("pain3d", "kernels", *path.relative_to(folder).with_suffix("").parts)) for path in found)


def leaves_of(name: str, kind: Any, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str, Any]]:
    """Path, name and kind of each part of an argument: ``student.at`` of a NamedTuple, ``scales.0`` of a tuple."""
    if not isinstance(kind, tuple):
        yield path, name, kind
        return
    for place, (field, part) in enumerate(zip(getattr(kind, "_fields", range(len(kind))), kind, strict=True)):
        yield from leaves_of(f"{name}.{field}", part, (*path, place))


def traits_of(source: Any) -> dict[str, str]:
    """What a launch was specialised on, by argument: ``SKIN: True``, ``faces: *i64``, ``height: 1``, ``n: i32 %16``.

    A pointer lies on 16 bytes unless it says so.
    """
    names, traits = {}, {}
    for place, (argument, kinds) in enumerate(source.signature.items()):
        for path, name, kind in leaves_of(argument, kinds, (place,)):
            names[path] = name
            if kind != "constexpr":
                traits[name] = str(kind)
    for path, value in source.constants.items():
        traits[names[path]] = getattr(value, "__name__", str(value))
    aligned = {names[path] for path, marks in source.attrs.items() for mark, value in marks}
    for name, trait in traits.items():
        if trait.startswith("*") and name not in aligned:
            traits[name] += " unaligned"
        elif name in aligned and not trait.startswith("*"):
            traits[name] += " %16"
    return traits


def wanted_by(calls: Iterable[Callable[[], object]]) -> list[Wanted]:
    """Make calls whose launches are written down for each architecture and not made; return them, once each.

    From then on this process can launch nothing.
    """
    import torch
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    class NoDevice:
        """A driver that names a target and never launches; each architecture is a device of its own to the caches."""

        arch = ARCHITECTURES[0]

        def get_current_target(self) -> GPUTarget:
            return GPUTarget("cuda", self.arch, 32)

        def get_current_device(self) -> int:
            return self.arch

        def get_current_stream(self, device: int) -> int:
            return 0

        def get_active_torch_device(self) -> torch.device:
            return torch.device("cpu")

    no_device, wanted, bind = NoDevice(), {}, JITFunction.run

    def for_each_architecture(self: Any, *arguments: Any, grid: Any, warmup: bool, **options: Any) -> None:
        for no_device.arch in ARCHITECTURES:
            bind(self, *arguments, grid=grid, warmup=True, **options)

    def write_down(
        self: Any, key: Any, signature: Any, device: int, constants: Any, options: Any, attributes: Any, warmup: bool
    ) -> None:
        _, _, target, backend, _ = self.device_caches[device]
        source = self.ASTSource(self, signature, constants, attributes)
        # Triton's own key of a compilation, less that of its own files: those differ between wheels of one version.
        told = f"{source.hash()}-{backend.hash()}-{options.hash()}"
        made = partial(self.compile, source, target=target, options=options.__dict__)
        own = hashlib.sha256(told.encode()).hexdigest()[:DIGITS]
        wanted.setdefault((self, own), Wanted(name_of(self.fn), own, made))

    driver.set_active(no_device)
    JITFunction.run, JITFunction._do_compile = for_each_architecture, write_down
    for call in calls:
        call()
    return list(wanted.values())


def to_compile(wanted: Iterable[tuple[str, str]], known: list[Row]) -> set[str]:
    """Kernels among the (kernel, key) of all launches whose keys are not those of the known rows, and an eighth."""
    now, before = set(wanted), {(row.kernel, key) for row in known for key in row.launches.split()}
    state = " ".join(key for _, key in sorted(now))
    sampled = {
        kernel for kernel, _ in now if int(hashlib.sha256(f"{kernel} {state}".encode()).hexdigest(), 16) % SAMPLED == 0
    }
    return {kernel for kernel, _ in now ^ before} | sampled


def compiled(wanted: list[Wanted]) -> list[Launch]:
    """Compile; a launch that comes to the PTX of another one is not returned again, but adds its key.

    Often a multiple of 16 gains nothing.
    """
    launches: dict[tuple[str, str], Launch] = {}
    with ThreadPoolExecutor(JOBS) as pool:
        for each, future in [(each, pool.submit(each.compile)) for each in wanted]:
            try:
                made = future.result()
            except Exception as error:
                error.add_note(f"while compiling {each.kernel}")
                raise
            launch = Launch(
                each.kernel,
                traits_of(made.src),
                made.metadata.num_warps,
                int(made.metadata.enable_fp_fusion),
                f"sm_{made.metadata.target.arch}",
                made.metadata.shared,
                made.asm["ptx"],
                made.asm["cubin"],
                (),
            )
            same = launches.get((each.kernel, launch.ptx), launch)
            launches[each.kernel, launch.ptx] = replace(same, keys=(*same.keys, each.key))
    return list(launches.values())


def tool(name: str, *arguments: str, cubin: bytes) -> str:
    """Output of one of the programs that Triton brings along, on a cubin."""
    import triton

    program = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / name
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        return subprocess.run([program, *arguments, file.name], check=True, capture_output=True, text=True).stdout


def usage(text: str) -> tuple[int, int]:
    """Registers, and bytes of stack and local memory, that ``cuobjdump --dump-resource-usage`` says."""
    (found,) = USAGE.findall(text)
    registers, stack, local = (int(number) for number in found)
    return registers, stack + local


def atomics(machine_code: str) -> str:
    """Atomic instructions of a disassembly: ``REDG.E.MIN.S64.STRONG.GPU x2``, sorted."""
    counted = Counter(ATOMIC.findall(machine_code))
    return "; ".join(f"{name} x{count}" for name, count in sorted(counted.items()))


def variants(launches: list[Launch]) -> list[str]:
    """A name for each launch of a kernel: the first one's constants, then where a later one differs from the first."""
    first: dict[str, Launch] = {}
    for launch in launches:
        first.setdefault(launch.kernel, launch)

    def name(launch: Launch) -> str:
        base = first[launch.kernel].traits
        if launch.traits == base:
            kept = [trait for trait in base if trait.isupper() and base[trait] != "None"]
        else:
            kept = [trait for trait in launch.traits if launch.traits[trait] != base.get(trait)]
        return "; ".join(f"{trait}: {launch.traits[trait]}" for trait in sorted(kept))

    return [name(launch) for launch in launches]


def rows_of(launches: list[Launch]) -> list[Row]:
    """The lines of the table."""

    def row(launch: Launch, variant: str) -> Row:
        registers, spilled = usage(tool("cuobjdump", "--dump-resource-usage", cubin=launch.cubin))
        # Disassembling takes a quarter of a second: only where there is an atomic.
        found = atomics(tool("nvdisasm", cubin=launch.cubin)) if IN_PTX.search(launch.ptx) else ""
        size = len(launch.ptx.encode())
        measured = (registers, spilled, launch.shared_bytes, size, found, " ".join(sorted(launch.keys)))
        return Row(launch.kernel, variant, launch.num_warps, launch.fused, launch.arch, *measured)

    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(row, launches, variants(launches)))


def to_csv(rows: list[Row], version: str) -> str:
    """The committed table: its first line names the version of Triton that holds for it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"triton {version}"])
    writer.writerow([field.name for field in fields(Row)])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def from_csv(text: str) -> tuple[str, list[Row]]:
    """Version of Triton and rows of a table."""
    (version,), names, *lines = csv.reader(io.StringIO(text))
    kinds = [int if field.type == "int" else str for field in fields(Row)]
    assert names == [field.name for field in fields(Row)]
    rows = [Row(*(kind(cell) for kind, cell in zip(kinds, line, strict=True))) for line in lines]
    return version.removeprefix("triton "), rows


def main() -> None:
    """Compile, then print or write what was asked for."""
    parser = argparse.ArgumentParser(description="Compile every Triton kernel for sm_80 and sm_90 without a GPU.")
    parser.add_argument("--write", action="store_true", help="rewrite the committed table")
    parser.add_argument("--sass", metavar="ROOM/KERNEL", help="print the machine code of one kernel")
    parser.add_argument("--cache", metavar="FOLDER", help="where compilations are kept for the next run")
    parser.add_argument("--known", action="store_true", help="take what is unchanged out of the committed table")
    asked = parser.parse_args()
    isolate()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["TRITON_CACHE_DIR"] = asked.cache or temporary
        import triton
        from calls import calls  # beside this file, which runs as a script: its folder is on the path, not the tree

        from pain3d.kernels import _backend

        for module in kernel_modules():
            importlib.import_module(module)
        # CPU tensors stand for those of a device. Only the door of the rooms asks: the launchers see no interpreter.
        _backend.interpreting = lambda: True
        wanted = wanted_by(partial(op, **inputs) for _, op, inputs in calls())
        version, rows = from_csv(TABLE.read_text()) if asked.known else ("", [])
        rows = rows if version == triton.__version__ else []
        anew = to_compile([(each.kernel, each.key) for each in wanted], rows)
        launches = compiled([each for each in wanted if each.kernel in anew])
    if asked.sass:
        for launch, variant in zip(launches, variants(launches), strict=True):
            if launch.kernel == asked.sass:
                print(f"// {launch.kernel} {variant} {launch.arch}\n{tool('nvdisasm', cubin=launch.cubin)}")
        return
    rows = sorted([*(row for row in rows if row.kernel not in anew), *rows_of(launches)])
    table = to_csv(rows, triton.__version__)
    if asked.write:
        TABLE.write_text(table)
    else:
        print(table, end="")


if __name__ == "__main__":
    main()
