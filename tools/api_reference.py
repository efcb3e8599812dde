"""Knows the API reference: one page per public module, made from the docstrings, and whether all of it leads somewhere.

    python -m tools.api_reference [out/docs]

Private names, sources and modules that users do not import stay out: what tests/house/public_names.txt lists is there.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

MODULES: Final = ("pain3d", "pain3d.kernels")
TEMPLATE: Final = Path(__file__).with_name("api_reference_template")


class _Page(HTMLParser):
    """The places of a page that can be linked to, and where its own links lead."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.places: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Collect ``id`` and ``href``."""
        given = dict(attributes)
        self.places |= {given["id"] or ""} if "id" in given else set()
        self.links += [given["href"] or ""] if tag in ("a", "link") and "href" in given else []


def write_reference(folder: Path) -> list[Path]:
    """Write the pages and return them, the index first."""
    import pdoc

    pdoc.render.configure(docformat="google", show_source=False, template_directory=TEMPLATE)
    with warnings.catch_warnings():  # a NamedTuple's own __init__ names types that its module alone knows
        warnings.filterwarnings("ignore", message="Error parsing type annotation", category=UserWarning)
        pdoc.pdoc(*MODULES, output_directory=folder)
    return [folder / "index.html", *(folder / f"{module.replace('.', '/')}.html" for module in MODULES)]


def dead_links(folder: Path) -> list[str]:
    """Links within and between the pages of a folder that lead nowhere: ``page: link``. Other sites are not asked."""
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            there = target.is_file() and (not to.fragment or target not in pages or to.fragment in pages[target].places)
            dead += [] if there else [f"{path.relative_to(folder)}: {link}"]
    return dead


def left_out(folder: Path) -> list[str]:
    """Public names that have no place on their module's page."""
    missing = []
    for module in MODULES:
        places = _Page((folder / f"{module.replace('.', '/')}.html").read_text(encoding="utf-8")).places
        names = importlib.import_module(module).__all__
        missing += [f"{module}.{name}" for name in names if name not in places]
    return missing


def main() -> None:
    """Write the reference; exit with 1 where a name is missing or a link is dead."""
    parser = argparse.ArgumentParser(description="Write the API reference and check its links.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("out/docs"))
    folder = parser.parse_args().folder.resolve()
    index = write_reference(folder)[0]
    wrong = [f"dead link: {link}" for link in dead_links(folder)]
    wrong += [f"left out: {name}" for name in left_out(folder)]
    print("\n".join(wrong) if wrong else index)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
