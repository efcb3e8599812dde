"""UNBC-McMaster in the folders in which it is given out: a stand-in, what is read of it, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pain3d.console.refused import RefusedError
from pain3d.training.data import open_data
from pain3d.training.data.unbc_folders import open_unbc_folders
from tests.endless import endless_eps
from tests.training.test_formats import refuse, row_of

SUBJECTS = ("042-ll042", "095-tv095")
FACS = "   4.0000000e+000   2.0000000e+000   0.0000000e+000   0.0000000e+000\n"


def place(subject: str, frame: int) -> str:
    sequence = f"{subject[4:]}t1aaaff"
    return f"{subject}/{sequence}/{sequence}{frame:03d}"


@pytest.fixture
def unbc(tmp_path: Path) -> Path:
    """Two subjects of a sequence of three frames: calm, in pain, smiling; numbers as MATLAB writes them."""
    folder = tmp_path / "UNBC"
    for number, subject in enumerate(SUBJECTS):
        for frame, (units, score) in enumerate(
            (("", 0), (FACS + FACS.replace("4.0", "43.0", 1), 3), ("12 1 0 0", 0)), 1
        ):
            stem = place(subject, frame)
            for kind, content in (("PSPI", f"   {score:.7e}\r\n"), ("FACS", units)):
                path = folder / "Frame_Labels" / kind / f"{stem}_facs.txt"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
            picture = folder / "Images" / f"{stem}.png"
            picture.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((6, 8, 3), 10 * frame + number, np.uint8)).save(picture)
        rating = folder / "Sequence_Labels" / "VAS" / subject / f"{subject[4:]}t1aaaff.txt"
        rating.parent.mkdir(parents=True)
        rating.write_text(f"{5 * number:.7e}")
    return folder


def test_the_folders_are_read(unbc: Path) -> None:
    samples = open_data(unbc)
    assert samples.name == "UNBC-McMaster" and len(samples) == 6 and samples.split is None
    assert samples.subjects == ("unbc_042", "unbc_095"), "the names that the HDF5 files give"
    pain = row_of(samples, "unbc_ll042t1aaaff002")
    assert samples.au[pain].tolist() == [2, 0, 0, 0, 0, 1] and samples.pspi[pain] == 3 and samples.pain[pain] == 1
    assert samples.neutral.tolist() == [True, False, False] * 2, "AU12 alone is no neutral face"
    assert samples.slices == {"own rating": ("0",) * 3 + ("4-6",) * 3}
    assert (samples.pixels.picture(5) == 31).all() and samples.pixels.heatmap(5) is None


def test_folders_in_folders_of_their_name_and_no_more_than_the_score(unbc: Path) -> None:
    whole = open_unbc_folders(unbc)
    for name in ("Images", "Frame_Labels"):
        (unbc / name).rename(unbc / "inside")
        (unbc / name).mkdir()
        (unbc / "inside").rename(unbc / name / name)
    assert open_data(unbc).key == whole.key
    labels = unbc / "Frame_Labels" / "Frame_Labels"
    (labels / "FACS").rename(unbc / "elsewhere")
    (unbc / "Sequence_Labels").rename(unbc / "too")
    (labels / "PSPI" / f"{place(SUBJECTS[0], 1)}_facs.txt").unlink()
    samples = open_data(unbc)
    assert samples.name == "UNBC-McMaster (pictures without a PSPI left out: 1)" and samples.slices == {}
    assert np.isnan(samples.au).all() and samples.pspi.tolist() == [3, 0, 0, 3, 0]
    assert samples.neutral.tolist() == [False, True, True, False, True]


def test_a_score_that_is_not_there_is_computed(unbc: Path) -> None:
    (unbc / "Frame_Labels" / "PSPI" / f"{place(SUBJECTS[0], 2)}_facs.txt").unlink()
    samples = open_unbc_folders(unbc)
    assert samples.pspi[row_of(samples, "unbc_ll042t1aaaff002")] == 3


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        (f"Frame_Labels/PSPI/{place(SUBJECTS[0], 1)}_facs.txt", "17", ["one number in 0..16"]),
        (f"Frame_Labels/PSPI/{place(SUBJECTS[0], 1)}_facs.txt", "", ["one number"]),
        (f"Frame_Labels/PSPI/{place(SUBJECTS[0], 1)}_facs.txt", "<html>", ["can't be read as numbers"]),
        (f"Frame_Labels/PSPI/{place(SUBJECTS[0], 1)}_facs.txt", "nan", ["no number"]),
        (f"Frame_Labels/PSPI/{place(SUBJECTS[0], 1)}_facs.txt", "0 " * 40_000, ["larger than"]),
        (f"Frame_Labels/FACS/{place(SUBJECTS[0], 1)}_facs.txt", "4 1\n6 9", ["row 2", "0..5"]),
        (f"Frame_Labels/FACS/{place(SUBJECTS[0], 1)}_facs.txt", "4", ["row 1"]),
        ("Sequence_Labels/VAS/042-ll042/ll042t1aaaff.txt", "11", ["one number in 0..10"]),
        ("Images/stray.png", "", ["stray.png", "folder of a subject"]),
        ("Images/nobody/sequence/frame.png", "", ["nobody", "begin with a number"]),
    ],
)
def test_broken_folders_are_refused(unbc: Path, path: str, content: str, words: list[str]) -> None:
    (unbc / path).parent.mkdir(parents=True, exist_ok=True)
    (unbc / path).write_text(content)
    if "nobody" in path:
        label = unbc / "Frame_Labels" / "PSPI" / "nobody" / "sequence" / "frame_facs.txt"
        label.parent.mkdir(parents=True)
        label.write_text("0")
    refuse(unbc, open_data, path.rpartition("/")[2].removesuffix("frame.png"), *words)


def test_pictures_without_labels_are_refused(unbc: Path) -> None:
    for kind in ("PSPI", "FACS"):
        (unbc / "Frame_Labels" / kind).rename(unbc / kind)
    refuse(unbc, open_data, "none of its 6 pictures", "PSPI")


@pytest.mark.parametrize("folder", ["Images", "Frame_Labels/PSPI", "Frame_Labels/FACS", "Sequence_Labels/VAS"])
def test_links_and_pipes_are_refused(unbc: Path, folder: str) -> None:
    path = next(path for path in sorted((unbc / folder).rglob("*")) if path.is_file())
    path.unlink()
    path.symlink_to(__file__)
    refuse(unbc, open_data, path.name, "a link that leads out of")
    path.unlink()
    os.mkfifo(path)
    refuse(unbc, open_data, path.name, "not a regular file")
    path.unlink()
    path.parent.rename(unbc / "moved")
    path.parent.symlink_to(unbc / "moved")
    refuse(unbc, open_data, path.parent.name, "a link to a folder")


def test_no_picture_runs(unbc: Path) -> None:
    """An EPS that never ends, by a picture's name: its program never starts."""
    endless_eps(min((unbc / "Images").rglob("*.png")))
    with pytest.raises(RefusedError, match="convert it to JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"):
        open_data(unbc).pixels.picture(0)
