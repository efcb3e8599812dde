"""Holds the arrows of the house: who may import whom, and the one door of each heavy library (CONTRIBUTING.md)."""

import ast
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path("src/pain3d")
LINKS = ("pain3d_core", "kernels", "pipeline", "training")  # short names of folders in src/: no import name
ROOM_LIBRARIES = {"torch", "numpy", "numba", "nvdiffrast", "triton", *sys.stdlib_module_names}
FORBIDDEN = {  # folder of src/pain3d: what it never imports; "" is the core, everything that has no line of its own
    "": ("pain3d.pipeline", "pain3d.training", "pain3d.judge"),
    "kernels": (),  # see ROOM_LIBRARIES
    "pipeline": ("pain3d.training", "pain3d.judge"),
    "training": ("pain3d.pipeline", "pain3d.judge"),
    "judge": (),  # stands on both halves
    "live": ("pain3d.training", "pain3d.judge"),  # a row that it saves is the pipeline's
    "__main__.py": (),  # the front door: it knows all commands
    "export_command.py": (),  # of a data set or of a model
}
DOORS = {  # heavy library: the only files that import it
    "numba": ("kernels/_compiling.py", "kernels/*/cpu.py", "kernels/*/cpu_*.py"),
    "triton": ("kernels/*/kernel.py", "kernels/*/kernel_*.py"),
    "nvdiffrast": ("kernels/*/nvdiffrast_op.py",),
    "timm": ("training/model/backbone.py",),
    "torchvision": ("torchvision_schemas.py",),
    "diffusers": ("pipeline/texture/pipelines.py", "pipeline/texture/skin_model/net.py"),
    "transformers": ("pipeline/texture/pipelines.py",),
    "h5py": ("doors/hdf5.py",),
    "OpenEXR": ("doors/panoramas.py",),
    "viser": ("live/window.py",),
    "av": ("live/clip.py",),
    "huggingface_hub": ("pipeline/pushing.py", "pipeline/texture/model_folder.py"),
    "ray": ("pipeline/ray_cluster.py",),
}


@cache
def _nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each import, leading dots too; `from pain3d import pipeline` counts as pain3d.pipeline."""
    for node in _nodes(source):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "pain3d" else [module]
            yield from ((node.lineno, name) for name in names)


def broken_arrows(path: str, source: str) -> list[str]:
    """What is wrong with the imports of one file, a line each; `path` is relative to src/pain3d."""
    folder, wrong = path.partition("/")[0], []
    forbidden = FORBIDDEN.get(folder, FORBIDDEN[""])
    for line, name in imports(source):
        top = name.partition(".")[0]
        within = tuple(name == ban or name.startswith(ban + ".") for ban in forbidden)
        if name.startswith("."):
            wrong.append(f"{path}:{line}: relative import {name}")
        elif any(within) or top in (*LINKS, "tests", "benchmarks", "tools"):
            wrong.append(f"{path}:{line}: {folder or 'the core'} never imports {name}")
        elif folder == "kernels" and top not in ROOM_LIBRARIES and not f"{name}.".startswith("pain3d.kernels."):
            wrong.append(f"{path}:{line}: a room never imports {name}")
        elif not any(fnmatch(path, door) for door in DOORS.get(top, ("*",))):
            wrong.append(f"{path}:{line}: {top} is imported only in {', '.join(DOORS[top])}")
    return wrong


def test_arrows_point_one_way(root: Path, tracked: tuple[Path, ...]) -> None:
    sources = [path.relative_to(PACKAGE) for path in tracked if path.is_relative_to(PACKAGE) and path.suffix == ".py"]
    assert {name for name in FORBIDDEN if name} <= {path.parts[0] for path in sources}
    wrong = [line for path in sources for line in broken_arrows(path.as_posix(), (root / PACKAGE / path).read_text())]
    assert not wrong, "\n".join(wrong)
    doors = [door for door in itertools.chain(*DOORS.values()) if not list((root / PACKAGE).glob(door))]
    assert not doors, f"doors that lead nowhere: {doors}"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kernels/shading/op.py", "import pain3d"),
        ("kernels/shading/op.py", "from pain3d import camera"),
        ("kernels/shading/op.py", "from pain3d.light import Light"),
        ("kernels/shading/op.py", "import scipy"),
        ("kernels/shading/op.py", "from numba import njit"),
        ("kernels/shading/cpu.py", "import triton"),
        ("camera.py", "from numba import njit"),
        ("camera.py", "def f():\n    from pain3d.pipeline import plan"),
        ("camera.py", "from pain3d import training"),
        ("camera.py", "from . import light"),
        ("console/command_line.py", "from pain3d.training import cli"),
        ("camera.py", "import kernels"),
        ("camera.py", "from tests.helpers import meshes"),
        ("pipeline/plan.py", "import pain3d.training.loop"),
        ("pipeline/plan.py", "from timm import create_model"),
        ("training/loop.py", "from pain3d.pipeline.plan import Plan"),
        ("training/loop.py", "from pain3d import judge"),
    ],
)
def test_a_broken_arrow_is_seen(path: str, source: str) -> None:
    assert len(broken_arrows(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("kernels/shading/cpu.py", "from numba import njit\nfrom pain3d.kernels._shapes import check_shapes"),
        ("camera.py", "from pain3d.kernels import rasterize\nfrom pain3d import kernels\nimport PIL"),
        ("__main__.py", "from pain3d.pipeline import cli\nfrom pain3d.training import cli as learning"),
        ("training/loop.py", "from pain3d.records import COLUMNS\nimport pipelines"),
    ],
)
def test_a_good_arrow_passes(path: str, source: str) -> None:
    assert broken_arrows(path, source) == []


DECODERS = ("imread", "imreadmulti", "imdecode", "imdecodemulti", "decode_jpeg")  # of OpenCV and simplejpeg
# Who decodes beside the one reader: what we wrote ourselves, small enough for a sheet, and what a JPEG would lose.
CHANGES = re.compile(
    r"\.(write_text|write_bytes|mkdir|unlink|touch|rename|rmdir|symlink_to)\(|\brmtree\("
    r"|\bos\.(replace|rename|fsync|unlink|mkdir|rmdir|truncate)\(|\bopen\((\w+, )?\"[wax]"
)
OWN_PICTURES = (
    Path("training/data/online.py"),
    Path("pipeline/contact_sheet.py"),
)


def opened_pictures(source: str) -> list[int]:
    """Lines that decode a picture: `Image.open`, or its `open` under whatever name, and DECODERS."""
    found = []
    for node in _nodes(source):
        name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
        opens = isinstance(node, ast.Attribute) and name == "open" and ast.unparse(node.value).endswith("Image")
        if opens or name in DECODERS:
            found.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "PIL.Image":
            found += [node.lineno for alias in node.names if alias.name == "open"]
    return found


def test_one_file_opens_pictures(root: Path, tracked: tuple[Path, ...]) -> None:
    """Pillow alone runs what an EPS file says, and each library has its own depth, size and way up."""
    sources = [path for path in tracked if path.is_relative_to(PACKAGE) and path.suffix == ".py"]
    doors = [path for path in sources if opened_pictures((root / path).read_text())]
    assert sorted(doors) == sorted(PACKAGE / path for path in (Path("doors/pictures.py"), *OWN_PICTURES))


def test_an_opened_picture_is_seen() -> None:
    assert opened_pictures("from PIL import Image\nwith Image.open(path) as file: pass") == [2]
    assert opened_pictures("import PIL.Image\nPIL.Image.open(path)\nopener = PIL.Image.open") == [3, 2]
    assert opened_pictures("from PIL.Image import open as read") == [1]
    assert opened_pictures("import cv2\ncv2.imdecode(content, 1)\nsimplejpeg.decode_jpeg(content)") == [2, 3]
    assert opened_pictures("path.open(), Image.new('L', (1, 1)), open_picture(path)") == []


def changed_disks(source: str) -> list[int]:
    """Lines that change the disk by themselves."""
    return [number for number, line in enumerate(source.splitlines(), 1) if CHANGES.search(line)]


def test_one_file_changes_the_disk(root: Path, tracked: tuple[Path, ...]) -> None:
    """So that nothing is written through a link, every error names its file, and a test can make any of it fail."""
    sources = [path for path in tracked if path.is_relative_to(PACKAGE) and path.suffix == ".py"]
    assert [path for path in sources if changed_disks((root / path).read_text())] == [PACKAGE / "files.py"]


def test_a_changed_disk_is_seen() -> None:
    changes = (
        'path.write_text("")', "path.write_bytes(b)", "path.mkdir()", "path.unlink()", "shutil.rmtree(path)",
        "os.replace(a, b)", "os.fsync(descriptor)", 'path.open("wb")', 'open(path, "a")', "partial.rename(to)",
    )  # fmt: skip
    assert changed_disks("\n".join(changes)) == list(range(1, len(changes) + 1))
    assert changed_disks('path.open("rb")\npath.read_text()\ntext.replace("a", "b")\nrename(a, b)\nremove(a)') == []


def test_the_links_are_no_top_level_packages(tmp_path: Path) -> None:
    """diffusers and transformers look for a package called kernels: away from the tree, ours must not answer."""
    code = f"import importlib.util as u, pain3d; print([n for n in {LINKS} if u.find_spec(n)])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Who may parse text beside the one reader: a table that is shipped with the package, and lines of 4 kB at most that are
# compared, byte by byte, with what a run writes.
OWN_TEXTS = (Path("facs/unit_map.py"), Path("pipeline/shard_list.py"))
PARSERS = {"json": ("load", "loads"), "yaml": ("load", "safe_load", "parse"), "csv": ("reader", "DictReader")}


def parsed_texts(source: str) -> list[int]:
    """Lines that parse JSON, YAML or CSV with a library of PARSERS."""
    found = []
    for node in _nodes(source):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [node.lineno] * (node.attr in PARSERS.get(node.value.id, ()))
        elif isinstance(node, ast.ImportFrom):
            found += [node.lineno for alias in node.names if alias.name in PARSERS.get(node.module or "", ())]
    return sorted(found)


def test_one_file_parses_text(root: Path, tracked: tuple[Path, ...]) -> None:
    """A text of a few hundred bytes takes a machine's memory or ends a reader, unless limits are asked before."""
    sources = [path for path in tracked if path.is_relative_to(PACKAGE) and path.suffix == ".py"]
    doors = [path for path in sources if parsed_texts((root / path).read_text())]
    assert set(doors) <= {PACKAGE / path for path in (Path("doors/text.py"), *OWN_TEXTS)}


def test_a_parsed_text_is_seen() -> None:
    assert parsed_texts("import json\njson.loads(text)\nread = json.load") == [2, 3]
    assert parsed_texts("from yaml import safe_load as read\nimport csv\ncsv.DictReader(file)") == [1, 3]
    assert parsed_texts("json.dumps(1), yaml.safe_dump(1), csv.writer(file), np.load(path)") == []
