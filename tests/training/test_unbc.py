"""UNBC-McMaster in HDF5: a stand-in with the arrays of the archive, what is read of it, and what is refused."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.training.data import open_data
from pain3d.training.data.unbc import open_unbc
from tests.training.test_formats import refuse

h5py = pytest.importorskip("h5py")


def write(path: Path, **arrays: Any) -> None:
    """An HDF5 file; a slash in a name makes a group."""
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name.replace("fold_", "fold-").replace("__", "/")] = values


@pytest.fixture
def unbc(tmp_path: Path) -> Path:
    """Five subjects of four frames; frames lie in another order than annotations, two annotations have no frame."""
    folder = tmp_path / "UNBC-McMaster"
    folder.mkdir()
    index = np.arange(22)
    frames = np.random.default_rng(0).permutation(20)
    write(
        folder / "frames_unbc_2020.hdf5",
        image=np.broadcast_to(frames[:, None, None, None].astype(np.uint8), (20, 12, 10, 3)),
        index=frames,
    )
    units = {f"label_AU_{number}": np.zeros(22) for number in (4, 6, 7, 9, 10, 12, 43)}
    units["label_AU_4"][1::4] = 3
    units["label_AU_6"] = np.full((22, 2), np.nan)
    units["label_AU_6"][1::4] = [np.nan, 2]
    units["label_AU_9"] = np.full(22, np.nan)
    units["label_AU_12"][3] = 2
    units["label_AU_43"][2::4] = 4  # an intensity, where only open and shut count
    score = np.zeros(22)
    score[1::4], score[2::4] = 5, np.nan
    names = [f"{10 + row // 4:03d}-ab{row // 4}" for row in range(20)] + ["014-ab4"] * 2
    write(folder / "annotations_unbc_2020.hdf5", index=index, subject_name=names, label_pspi=score, **units)
    folds = {}
    for fold in range(5):
        folds[f"fold_{fold}__validation_subjects"] = [10 + fold]
        folds[f"fold_{fold}__train_subjects"] = [10 + other for other in range(5) if other != fold]
    write(folder / "UNBC_CVFolds_2019.hdf5", **folds)
    return folder


def test_unbc_is_read(unbc: Path) -> None:
    samples = open_data(unbc)
    assert samples.name == "UNBC-McMaster (annotations without a frame left out: 2)"
    assert len(samples) == 20 and samples.subjects == tuple(f"unbc_{number:03d}" for number in range(10, 15))
    assert samples.au[1].tolist() == [3, 2, 0, 0, 0, 0] and samples.pspi[1] == 5
    assert samples.au[2].tolist() == [0, 0, 0, 0, 0, 1] and samples.pspi[2] == 1, (
        "NaN is computed from the action units"
    )
    assert samples.pain[:4].tolist() == [0, 1, 1, 0]
    assert samples.neutral[:4].tolist() == [True, False, False, False], "AU12 alone is no neutral face"
    assert [samples.pixels.picture(row)[0, 0, 0] for row in range(20)] == list(range(20))
    assert samples.pixels.picture(0).shape == (12, 10, 3) and samples.pixels.heatmap(0) is None


@pytest.mark.parametrize("fold", [0, 4])
def test_unbc_chooses_no_checkpoint_on_who_is_tested(unbc: Path, fold: int) -> None:
    samples = open_unbc(unbc, fold)
    assert samples.split is not None and samples.key == open_unbc(unbc).key
    words = {fold: "test", (fold + 1) % 5: "validation"}
    assert list(samples.split) == [words.get(row // 4, "train") for row in range(20)]


def test_unbc_without_index_or_folds_in_grey(unbc: Path) -> None:
    (unbc / "UNBC_CVFolds_2019.hdf5").unlink()
    with h5py.File(unbc / "annotations_unbc_2020.hdf5", "r+") as file:
        del file["index"]
    refuse(unbc, open_unbc, "annotations_unbc_2020.hdf5", "22 rows", "20 frames")
    write(unbc / "frames_unbc_2020.hdf5", image=np.arange(22.0)[:, None, None] * np.ones((22, 6, 5)))
    samples = open_unbc(unbc / "frames_unbc_2020.hdf5")
    assert len(samples) == 22 and samples.split is None
    assert (samples.pixels.picture(7) == 7).all() and samples.pixels.picture(7).shape == (6, 5, 3)


def test_threads_see_the_frames_that_one_alone_sees(unbc: Path) -> None:
    pixels = open_unbc(unbc).pixels
    seen: dict[int, int] = {}

    def look(start: int) -> None:
        for row in range(start, 20, 4):
            seen[row] = int(pixels.picture(row)[0, 0, 0])

    threads = [threading.Thread(target=look, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {row: row for row in range(20)}


@pytest.mark.parametrize(
    ("name", "array", "values", "words"),
    [
        ("annotations_unbc_2020.hdf5", "label_AU_4", np.full(22, 7.0), ["label_AU_4 row 0", "0..5", "got 7"]),
        ("annotations_unbc_2020.hdf5", "label_AU_4", np.zeros(21), ["label_AU_4 has 21 rows"]),
        ("annotations_unbc_2020.hdf5", "label_pspi", np.full(22, 17.0), ["label_pspi row 0", "got 17"]),
        ("annotations_unbc_2020.hdf5", "label_AU_10", None, ["no PSPI in row 2", "label_AU_10"]),
        ("annotations_unbc_2020.hdf5", "subject_name", ["nobody"] * 22, ["subject_name row 0", "'nobody'"]),
        ("annotations_unbc_2020.hdf5", "subject_name", None, ["no HDF5 file", "subject_name"]),
        ("annotations_unbc_2020.hdf5", "subject_name", ["099-zz"] * 22, ["UNBC_CVFolds", "leaves out 99"]),
        ("annotations_unbc_2020.hdf5", "index", np.arange(22) + 100, ["none of its index"]),
        ("annotations_unbc_2020.hdf5", "index", np.zeros(22), ["two pictures are named unbc_000000"]),
        ("annotations_unbc_2020.hdf5", "image", np.zeros((1, 2, 2)), ["frames_unbc_2020.hdf5", "holds image"]),
        ("frames_unbc_2020.hdf5", "image", np.zeros((20, 3, 4, 5)), ["[20, 3, 4, 5]"]),
        ("frames_unbc_2020.hdf5", "index", np.zeros(20), ["index 0 names two frames"]),
        ("frames_unbc_2020.hdf5", "image", np.zeros((20, 0, 4)), ["image must be [N, H, W]", "[20, 0, 4]"]),
        ("frames_unbc_2020.hdf5", "image", ["x"] * 20, ["image", "text"]),
        ("frames_unbc_2020.hdf5", "image", np.broadcast_to(np.uint8(0), (1, 9000, 9000)), ["too many pixels"]),
        ("frames_unbc_2020.hdf5", "image", h5py.SoftLink("/image"), ["image is a link"]),
        ("annotations_unbc_2020.hdf5", "image", h5py.ExternalLink("/foreign.h5", "/x"), ["image is a link"]),
        ("annotations_unbc_2020.hdf5", "label_AU_4", ["much"] * 22, ["label_AU_4 must hold numbers"]),
        ("annotations_unbc_2020.hdf5", "label_AU_4", 3, ["label_AU_4 must have rows"]),
        ("annotations_unbc_2020.hdf5", "label_AU_4", np.zeros((22, 0)), ["rows without a value"]),
        ("annotations_unbc_2020.hdf5", "label_pspi", np.zeros(22, complex), ["label_pspi must hold numbers"]),
        ("annotations_unbc_2020.hdf5", "subject_name", "10", ["subject_name must have rows"]),
        ("annotations_unbc_2020.hdf5", "subject_name", ["1" * 5000] * 22, ["row 0 must begin with a number"]),
        ("annotations_unbc_2020.hdf5", "index", np.full(22, np.nan), ["index row 0 must be a whole number, got nan"]),
        ("frames_unbc_2020.hdf5", "index", np.arange(20) / 2, ["index row 1 must be a whole number, got 0.5"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-0/train_subjects", 3, ["fold-0/train_subjects must have rows"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-0", [10], ["has no fold-0/train_subjects"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-0/train_subjects", None, ["has no fold-0/train_subjects"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-0/train_subjects", [10, 11], ["fold-0", "subject 10 is in two splits"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-1/validation_subjects", [10], ["fold-0 and fold-1", "subject 10"]),
        ("UNBC_CVFolds_2019.hdf5", "fold-0", None, ["no fold 0"]),
    ],
)
def test_broken_unbc_is_refused(unbc: Path, name: str, array: str, values: Any, words: list[str]) -> None:
    with h5py.File(unbc / name, "r+") as file:
        if array in file:
            del file[array]
        if values is not None:
            file[array] = values
    refuse(unbc, open_unbc, *words)


@pytest.mark.parametrize("content", [b"", b"<html>log in</html>"])
def test_what_is_no_hdf5_is_named(unbc: Path, content: bytes) -> None:
    (unbc / "frames_unbc_2020.hdf5").write_bytes(content)
    refuse(unbc, open_data, "frames_unbc_2020.hdf5", "HDF5")


def test_a_frame_that_is_cut_off_is_named(unbc: Path) -> None:
    path = unbc / "frames_unbc_2020.hdf5"
    write(path, image=np.zeros((20, 12, 10, 3), np.uint8))
    samples = open_unbc(unbc)
    samples.pixels.places[3] = 99  # type: ignore[attr-defined]  # beyond the array, as after another file took its place
    with pytest.raises(RefusedError, match=r"frames_unbc_2020\.hdf5: image 99"):
        samples.pixels.picture(3)
