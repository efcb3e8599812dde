"""The pages agree with the tree, and no file names a machine, a package index or a thing that says nothing."""

import ast
import re
from pathlib import Path

import pytest

TEXT = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".cfg", ".j2", ".html", ""}
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|\b(?:src|href)=\"([^\"]+)\"")
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|work|Users|mnt|srv)/\w|[A-Z]:\\\\?Users")  # a path of somebody's machine
INDEX = re.compile(r"pypi[.]org|pythonhosted[.]org|download[.]pytorch|anaconda[.]org|--(?:extra-)?index-url")
BANNED = {"utils", "util", "helpers", "manager", "process", "data2", "tmp"}  # CONVENTIONS.md, "Words that say nothing"


def broken_links(page: str, folder: Path) -> list[str]:
    """Relative links of a Markdown page that lead nowhere."""
    targets = [first or second for first, second in LINK.findall(page)]
    inside = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#|\{", target)]
    return [target for target in inside if not (folder / target).exists()]


def banned_names(source: str) -> list[str]:
    """Names that a file defines and CONVENTIONS.md bans, with their lines."""
    found = []
    for node in ast.walk(ast.parse(source)):
        name = ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.arg):
            name = node.arg
        words = name.strip("_")
        if words in BANNED or words.startswith("get_") or words.endswith(("Manager", "Utils")):
            found.append(f"{node.lineno}: {name}")
    return found


def test_readme_tree_matches_the_folders(root: Path, tracked: tuple[Path, ...]) -> None:
    readme = (root / "README.md").read_text()
    trees = [
        block
        for block in re.findall(r"^```\w*\n(.*?)^```", readme, re.M | re.S)
        if re.search(r"^src/pain3d/", block, re.M)
    ]
    assert len(trees) == 1, "README.md has one block that shows the tree, a top-level folder at the start of a line"
    shown = re.findall(r"^(\w+)/", trees[0], re.M)
    there = {path.parts[0] for path in tracked if len(path.parts) > 1 and not path.parts[0].startswith(".")}
    assert sorted(shown) == sorted(there)
    for line in re.split(r"^(?=\w+/)", trees[0], flags=re.M)[1:]:
        folder = line.partition("/")[0]
        names = {path.name for path in tracked if path.parts[0] == folder}
        missing = set(re.findall(r"[\w.]+\.(?:py|md|toml|npz)\b", line)) - names
        assert not missing, f"README.md shows {sorted(missing)} in {folder}/"


def test_links_lead_somewhere(root: Path, tracked: tuple[Path, ...]) -> None:
    pages = [path for path in tracked if path.suffix == ".md"]
    broken = {str(page): broken_links((root / page).read_text(), (root / page).parent) for page in pages}
    assert not {page: links for page, links in broken.items() if links}


def test_every_room_has_its_page_and_example(root: Path) -> None:
    rooms = [path.parent for path in (root / "src/pain3d/kernels").glob("*/__init__.py")]
    assert len(rooms) >= 7
    wanted = ("README.md", "example.py", "op.py", "reference.py")
    missing = [f"{room.name}/{name}" for room in rooms for name in wanted if not (room / name).is_file()]
    assert not missing
    table = (root / "src/pain3d/kernels/README.md").read_text()
    assert not [room.name for room in rooms if f"({room.name}/README.md)" not in table]


@pytest.mark.parametrize(("what", "pattern"), [("a path of a machine", MACHINE), ("a package index", INDEX)])
def test_no_file_names(what: str, pattern: re.Pattern[str], root: Path, tracked: tuple[Path, ...]) -> None:
    found = []
    for path in tracked:
        if (
            path.suffix in TEXT and "corpus" not in path.parts and path.name != Path(__file__).name
        ):  # this file holds the patterns and their samples
            text = (root / path).read_text(encoding="utf-8")
            found += [
                f"{path}:{text.count(chr(10), 0, hit.start()) + 1}: {what}: {hit[0]}" for hit in pattern.finditer(text)
            ]
    assert not found, "\n".join(found)


def test_names_say_something(root: Path, tracked: tuple[Path, ...]) -> None:
    sources = [path for path in tracked if path.parts[0] == "src"]
    found = [str(path) for path in sources if BANNED & {path.stem, *path.parts}]
    for path in sources:
        if path.suffix == ".py":
            found += [f"{path}:{name}" for name in banned_names((root / path).read_text())]
    assert not found, "\n".join(found)


def test_the_checks_can_fail(tmp_path: Path) -> None:
    assert broken_links("[a](b.md#c) ![d](e.png) [f](https://g) [h](#i)", tmp_path) == ["b.md", "e.png"]
    assert (
        MACHINE.search("see /home/ann/x")
        and not MACHINE.search("https://a.org/home/x")
        and not MACHINE.search("out/work/x")
    )
    assert INDEX.search("pip install --index-url https://pypi.org/simple")
    assert banned_names("def get_x(tmp): data2 = 1\nclass HeadManager: pass") == [
        "1: get_x",
        "2: HeadManager",
        "1: tmp",
        "1: data2",
    ]
