"""Data sets to learn from: opened, cut to faces, put together to batches, varied. `open_data` opens any of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pain3d.console.refused import RefusedError
from pain3d.training.data.samples import Samples

HDF5: Final = (".h5", ".hdf5", ".hdf")
SYNPAIN: Final = re.compile(r"_(no)?pain_(man|woman)_(young|old)\.(jpe?g|png)$", re.IGNORECASE)


def open_data(path: Path, fold: int = 0) -> Samples:
    """Open a data set of any kind that is known, told by what lies in its folder.

    Args:
        path: A folder of ``pain3d synth``, 3DPain, SynPAIN or UNBC-McMaster, in HDF5 or in its own folders.
        fold: Which of its published folds is the test, of SynPAIN and of UNBC-McMaster in HDF5.

    Raises:
        RefusedError: Nothing of that is there, or it can't be read; one line says what.
    """
    if not path.exists():
        raise RefusedError(f"{path}: no such folder")
    if path.is_dir() and ((path / "manifest.json").is_file() or (path / "config.resolved.yaml").is_file()):
        from pain3d.training.data.parquet import open_pain3d

        return open_pain3d(path)
    if any((path / name).is_dir() for name in ("annotations", "meshes_inpainted")):
        from pain3d.training.data.threedpain import open_3dpain

        return open_3dpain(path)
    if path.suffix in HDF5 or (path.is_dir() and any(file.suffix in HDF5 for file in path.iterdir())):
        from pain3d.training.data.unbc import open_unbc

        return open_unbc(path, fold)
    if (path / "Images").is_dir() and (path / "Frame_Labels").is_dir():
        from pain3d.training.data.unbc_folders import open_unbc_folders

        return open_unbc_folders(path)
    if any(SYNPAIN.search(file.name) for file in path.rglob("*")):
        from pain3d.training.data.synpain import open_synpain

        return open_synpain(path, fold)
    raise RefusedError(
        f"{path}: no data set that is known; looked for manifest.json (pain3d), annotations/ or "
        "meshes_inpainted/ (3DPain), *.h5 or *.hdf5, or Images/ and Frame_Labels/ (UNBC-McMaster), "
        "ID_Pain_Man_Young.jpg (SynPAIN)"
    )
