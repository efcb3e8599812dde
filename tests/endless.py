"""Knows an EPS file whose program never ends: whoever hands it to Ghostscript waits for ever."""

from pathlib import Path

from PIL import Image


def endless_eps(path: Path) -> Path:
    """Write a true EPS of a small picture that loops before it draws anything."""
    drawn = path.with_suffix(".eps")
    Image.new("RGB", (96, 96), (200, 150, 130)).save(drawn)
    head, mark, rest = drawn.read_bytes().partition(b"%%EndComments\n")
    assert mark
    drawn.unlink()
    path.write_bytes(head + mark + b"{} loop\n" + rest)
    return path
