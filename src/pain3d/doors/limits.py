"""Knows how much is read of a stranger's file before it is refused: one table, which SECURITY.md shows to users.

A limit is asked before what it bounds is read, decoded or built, so that a small file can't take a large machine.
"""

from __future__ import annotations

from typing import Final

PICTURE_PIXELS: Final = 2**26  # 67 million, 8,192 a side: decoded and turned they take up to 11 bytes each, 0.75 GB
PICTURE_BYTES: Final = 8 * PICTURE_PIXELS  # of a file: so many pixels of four channels with 16 bits
