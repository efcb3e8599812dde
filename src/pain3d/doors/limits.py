"""Knows how much is read of a stranger's file before it is refused: one table, which SECURITY.md shows to users.

A limit is asked before what it bounds is read, decoded or built, so that a small file can't take a large machine.
"""

from __future__ import annotations

from typing import Final

PICTURE_PIXELS: Final = 2**26  # 67 million, 8,192 a side: decoded and turned they take up to 11 bytes each, 0.75 GB
PICTURE_BYTES: Final = 8 * PICTURE_PIXELS  # of a file: so many pixels of four channels with 16 bits
PANORAMA_PIXELS: Final = 2**25  # 8,192 by 4,096: decoded it takes 24 bytes each, 0.8 GB
PANORAMA_BYTES: Final = 16 * PANORAMA_PIXELS  # of a file: so many pixels of four channels with 32 bits
PARQUET_FOOTER_BYTES: Final = 2**23  # 18 kB a row group of frames: 45,000 rows in a file; 0.3 GB in a reader at worst
PARQUET_COLUMNS: Final = 2**10  # of a file, each part of a structure counting as one; frames have 147
PARQUET_GROUPS: Final = 2**14  # of a file
PARQUET_ROWS: Final = 2**22  # of a file
PARQUET_READ_BYTES: Final = 2**31  # of what is read at once, decoded: 128 rows of pairs at 4,096 a side take 1 GB
PARQUET_FREE_BYTES: Final = 2**26  # so much may be decoded of whatever is stored
PARQUET_RATIO: Final = 64  # and beyond that so many times the stored bytes: a column that repeats one text reaches 40

YAML_BYTES: Final = 2**20  # settings are a few hundred bytes
TEXT_BYTES: Final = 2**25  # of JSON and plain text; as values it takes up to 0.3 GB, with JSON_VALUES
JSON_VALUES: Final = 2**21  # and brackets: an empty object in a list takes 72 bytes
TABLE_BYTES: Final = 2**29  # of CSV, of which one line at a time is held: an hour of all that OpenFace says
LINE_CHARACTERS: Final = 2**17  # of CSV: Python's own limit for one cell
NESTING: Final = 64  # lists in mappings in lists: what we write is 6 deep
NUMBER_DIGITS: Final = 100  # a float of 64 bits is written with 17
HDF5_BYTES: Final = 2**27  # read at once: all labels, a picture, a chunk; 48,398 rows of 43 labels are 17 MB
HDF5_NAMES: Final = 4_096  # in a group; UNBC-McMaster's annotations have some 30
HDF5_TEXT_FILE_BYTES: Final = 2**28  # of a file with texts of free length, of which one may be as long as the file
ASSET_FILES: Final = 2**14  # in a folder or zip of assets; MakeHuman's system assets are some 2,000
ASSET_BYTES: Final = 2**26  # of a picture or mesh of an asset: a skin of 4,096 a side is 15 MB
ASSET_TEXT_BYTES: Final = 2**23  # of a material or binding: 26,000 bound vertices a MB
