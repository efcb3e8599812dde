"""An export in the layout of 3DPain says what the data set says, goes round, and is all there or not at all."""

import csv
import errno
import fcntl
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pain3d.console.refused import RefusedError
from pain3d.pipeline.export import threedpain
from pain3d.pipeline.export.staging import StagedFolder
from pain3d.pipeline.export.threedpain import ExportSummary, export_3dpain
from pain3d.training.data import open_data
from pain3d.training.data.parquet import open_pain3d
from pain3d.training.data.threedpain import open_3dpain
from tests.pipeline.conftest import SMALL


@pytest.fixture(scope="module")
def exported(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small data set in the layout of 3DPain; not to be changed."""
    to = tmp_path_factory.mktemp("export") / "new" / "pain_faces"
    summary = export_3dpain(small, to, quiet=True)
    views, pains = SMALL.views, SMALL.identities * SMALL.expressions
    written = sum(path.stat().st_size for path in to.rglob("*.jpg"))
    assert summary == ExportSummary(to, SMALL.identities, pains, (pains + SMALL.identities) * views, pains, written)
    assert "4 identities" in str(summary)
    return to


def rows_of(small: Path, subset: str) -> list[dict[str, Any]]:
    return [row for path in sorted((small / "data" / subset).iterdir()) for row in pq.read_table(path).to_pylist()]


def test_the_folder_holds_what_3dpains_loader_looks_for(small: Path, exported: Path) -> None:
    frames = rows_of(small, "frames")
    names = set()
    for row in frames:
        expression = f"pain_{row['expression_id']}" if row["expression_id"] else "neutral"
        base = f"flame_sample_{row['identity_id']:04d}_{expression}"
        name = f"{base}_textured_view_{row['view_id']:03d}_inpainted.jpg"
        names.add(name)
        assert (exported / "meshes_inpainted" / name).read_bytes() == row["image"]["bytes"]
        if row["expression_id"]:
            said = json.loads((exported / "annotations" / f"{base}_annotations.json").read_bytes())
            assert said == {name.replace("AU0", "AU"): row[name] for name in said_columns()}
            assert all(type(value) is int for value in said.values())
    assert {path.name for path in (exported / "meshes_inpainted").iterdir()} == names
    assert not list((exported / "annotations").glob("*neutral*"))
    maps = {
        f"flame_sample_{row['identity_id']:04d}_pain_{row['expression_id']}_heatmap.jpg": row["frontal_heatmap"][
            "bytes"
        ]
        for row in rows_of(small, "expressions")
        if row["expression_id"]
    }
    assert {path.name: path.read_bytes() for path in (exported / "heatmaps").iterdir()} == maps


def said_columns() -> tuple[str, ...]:
    return ("AU04", "AU06", "AU07", "AU09", "AU10", "AU43", "PSPI")


def test_pictures_of_procedural_skin_are_cc0(exported: Path) -> None:
    assert (
        "\nLicence of the pictures: CC0-1.0. Annotations and heatmaps: CC0-1.0.\n"
        in (exported / "README.md").read_text()
    )


def test_the_readme_says_how_the_published_code_is_told_the_split(exported: Path) -> None:
    assert "`--split_csv split.csv`" in (exported / "README.md").read_text()


def test_the_split_is_the_data_sets(small: Path, exported: Path) -> None:
    with (exported / "split.csv").open(newline="") as file:
        table = {row["annotation_base_name"]: row["split"] for row in csv.DictReader(file)}
    numbers = {"train": "0", "validation": "1", "test": "2"}
    expected = {
        f"flame_sample_{row['identity_id']:04d}_pain_{row['expression_id']}": numbers[row["split"]]
        for row in rows_of(small, "expressions")
        if row["expression_id"]
    }
    assert table == expected


def test_it_goes_round(small: Path, exported: Path) -> None:
    ours, theirs = open_pain3d(small), open_data(exported)
    order = {name_of(name): row for row, name in enumerate(ours.ids)}
    rows = np.array([order[name] for name in theirs.ids])
    assert len(theirs) == len(order)
    for name in ("au", "pspi", "pain", "neutral"):
        assert np.array_equal(getattr(ours, name)[rows], getattr(theirs, name)), name
    assert ours.split is not None and theirs.split == tuple(ours.split[row] for row in rows)
    assert [ours.subjects[number] for number in ours.subject[rows]] == [
        theirs.subjects[number] for number in theirs.subject
    ]
    for row in range(len(theirs)):
        assert np.array_equal(ours.pixels.picture(int(rows[row])), theirs.pixels.picture(row))
        heat = theirs.pixels.heatmap(row)
        assert heat is not None
        assert not (theirs.neutral[row] and heat.any()), "a neutral face has not moved"
        assert heat.any() or theirs.pspi[row] == 0, "pain moves something"


def name_of(sample_id: str) -> str:
    """The name in the layout of 3DPain of a row ``id000003_e02_v1``."""
    identity, expression, view = (int(part.lstrip("idev")) for part in sample_id.split("_"))
    return f"flame_sample_{identity:04d}_" + (f"pain_{expression}" if expression else "neutral") + f"_view_{view:03d}"


def test_people_of_an_export_are_known_and_those_of_3dpain_are_not_ours(exported: Path, tmp_path: Path) -> None:
    assert open_3dpain(exported).subjects[0] == f"seed{SMALL.seed}_id000000"
    copy = Path(shutil.copytree(exported, tmp_path / "copy"))
    (copy / "pain3d.json").unlink()
    assert open_3dpain(copy).subjects[0] == "flame_sample_0000"
    (copy / "pain3d.json").write_text("{}")
    with pytest.raises(RefusedError, match=r"pain3d\.json"):
        open_3dpain(copy)


def test_what_is_there_is_never_overwritten(small: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    for name, why in (("full", "not empty"), ("file", "not a folder")):
        with pytest.raises(RefusedError, match=why):
            export_3dpain(small, tmp_path / name, quiet=True)
    assert (tmp_path / "full" / "mine").read_text() == "kept" and (tmp_path / "file").read_text() == "kept"
    with pytest.raises(RefusedError, match="inside the data set"):
        export_3dpain(small, small / "export", quiet=True)
    assert not (small / "export").exists()


def test_an_empty_folder_will_do_and_what_a_killed_export_left_goes(small: Path, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / ".to.partial" / "meshes_inpainted").mkdir(parents=True)
    (tmp_path / ".to.partial" / "meshes_inpainted" / "old.jpg").write_text("")
    export_3dpain(small, tmp_path / "to", quiet=True)
    assert not list((tmp_path / "to").rglob("old.jpg"))
    assert [path.name for path in tmp_path.iterdir()] == ["to"]


def test_two_exports_to_one_place(small: Path, tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "to"), pytest.raises(RefusedError, match="another run"):
        export_3dpain(small, tmp_path / "to", quiet=True)


@pytest.mark.parametrize("place", ["annotations", "heatmaps", "meshes_inpainted"])
def test_a_full_disk_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    write = os.write

    def full(descriptor: int, content: Any) -> int:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.parent.name == place and "0002" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, content)

    monkeypatch.setattr("pain3d.files.os.write", full)
    with pytest.raises(OSError, match=f"{os.strerror(errno.ENOSPC)}: '.*/{place}/.*0002"):
        export_3dpain(small, tmp_path / "deep" / "to", quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = threedpain.write_new

    def interrupted(path: Path, content: bytes) -> None:
        if "view_001" in path.name:
            signal.raise_signal(signal.SIGINT)
            monkeypatch.setattr(threedpain, "write_new", write)
        write(path, content)

    monkeypatch.setattr(threedpain, "write_new", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_3dpain(small, tmp_path / "to", quiet=True)
    assert list(tmp_path.iterdir()) == []


def changed(copy: Path, column: str, value: Any, row: int = 5) -> Path:
    """Change a value of the first shard of frames."""
    path = sorted((copy / "data" / "frames").iterdir())[0]
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[row] = value
    place = table.schema.get_field_index(column)
    pq.write_table(
        table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type)), path
    )
    return path


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("AU04", 2.5, "AU04 is 2.5"),
        ("PSPI", 16.0, "PSPI is 16, its action units give"),
        ("image", {"bytes": b"\x89PNG", "path": "x.png"}, "image is no JPEG"),
        ("split", "nowhere", "other labels than another view"),
    ],
)
def test_labels_that_dont_fit_are_refused_by_name(
    copy: Path, tmp_path: Path, column: str, value: Any, words: str
) -> None:
    path = changed(copy, column, value)
    name = pq.read_table(path, columns=["sample_id"])["sample_id"][5].as_py()
    with pytest.raises(RefusedError, match=words) as refused:
        export_3dpain(copy, tmp_path / "to", quiet=True)
    assert name in str(refused.value) and not (tmp_path / "to").exists()


def test_a_data_set_that_is_damaged_or_unfinished(copy: Path, tmp_path: Path) -> None:
    path = sorted((copy / "data" / "expressions").iterdir())[0]
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RefusedError, match=path.name):
        export_3dpain(copy, tmp_path / "to", quiet=True)
    (copy / "manifest.json").unlink()
    with pytest.raises(RefusedError, match=r"no manifest\.json"):
        export_3dpain(copy, tmp_path / "to", quiet=True)
    assert not (tmp_path / "to").exists()


def test_the_lock_is_dropped(tmp_path: Path) -> None:
    with StagedFolder(tmp_path / "to") as folder:
        (folder / "file").write_text("")
    handle = os.open(tmp_path / "to", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handle)
