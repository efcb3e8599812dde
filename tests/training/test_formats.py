"""Layouts of 3DPain and SynPAIN: what is read of them, and which line refuses what is broken."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from pain3d.console.refused import RefusedError
from pain3d.training.data import open_data
from pain3d.training.data.samples import Samples, require_neutrals
from pain3d.training.data.synpain import open_synpain
from pain3d.training.data.threedpain import open_3dpain
from tests.endless import endless_eps

# The annotations that the published viewer shows: AU4, 6, 7, 9, 10, 43 and PSPI.
PUBLISHED = [((4, 2, 4, 3, 1, 1), 12), ((4, 5, 5, 0, 5, 0), 14), ((0, 3, 3, 0, 0, 1), 4)]
NAMES = ("AU4", "AU6", "AU7", "AU9", "AU10", "AU43")


def jpeg(level: int, side: int = 24) -> bytes:
    """A plain picture, told from others by its grey level."""
    return bytes(simplejpeg.encode_jpeg(np.full((side, side, 3), level, np.uint8), 95))


def annotation(units: tuple[int, ...], score: int) -> bytes:
    return json.dumps({**dict(zip(NAMES, units, strict=True)), "PSPI": score}).encode()


@pytest.fixture
def threedpain(tmp_path: Path) -> Path:
    """Three people with a neutral and two pain expressions in three views, one in each split."""
    folder = tmp_path / "pain_faces"
    for name in ("meshes_inpainted", "annotations", "heatmaps"):
        (folder / name).mkdir(parents=True)
    lines = ["annotation_base_name,split"]
    for person in range(3):
        for pain in (0, 1, 10):
            words = f"flame_sample_{person:04d}_" + (f"pain_{pain}" if pain else "neutral")
            for view in range(3):
                file = f"{words}_textured_view_{view:03d}_inpainted.jpg"
                (folder / "meshes_inpainted" / file).write_bytes(jpeg(60 * person + 20 * view + pain))
            if pain:
                (folder / "annotations" / f"{words}_annotations.json").write_bytes(annotation(*PUBLISHED[pain % 3]))
                (folder / "heatmaps" / f"{words}_heatmap.jpg").write_bytes(jpeg(255))
                lines.append(f"{words},{person}")
    (folder / "split.csv").write_text("\n".join(lines))
    return folder


def row_of(samples: Samples, name: str) -> int:
    return samples.ids.index(name)


def refuse(folder: Path, opener: Callable[[Path], Samples], *words: str) -> None:
    """See that a folder is refused in one line with these words."""
    with pytest.raises(RefusedError) as refused:
        opener(folder)
    message = str(refused.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_3dpain_is_read(threedpain: Path) -> None:
    samples = open_data(threedpain)
    assert len(samples) == 27
    assert samples.subjects == ("flame_sample_0000", "flame_sample_0001", "flame_sample_0002")
    row = row_of(samples, "flame_sample_0001_pain_1_view_002")
    assert samples.au[row].tolist() == list(PUBLISHED[1][0])
    assert samples.pspi[row] == 14 and samples.pain[row] == 1 and not samples.neutral[row]
    assert np.abs(samples.pixels.picture(row).astype(int) - (60 + 40 + 1)).max() <= 1
    assert samples.split is not None and samples.split[row] == "validation"
    assert np.isnan(samples.sides).all() and np.isnan(samples.square).all() and samples.slices == {}


def test_3dpain_expression_10_comes_after_1(threedpain: Path) -> None:
    names = open_3dpain(threedpain).ids[:9]
    assert [re.sub(r"flame_sample_0000_|_view.*", "", name) for name in names[::3]] == ["neutral", "pain_1", "pain_10"]


def test_neutral_pictures_of_3dpain_have_no_pain_and_their_persons_split(threedpain: Path) -> None:
    samples = open_3dpain(threedpain)
    neutral = np.flatnonzero(samples.neutral)
    assert len(neutral) == 9 and not samples.au[neutral].any() and not samples.pspi[neutral].any()
    assert samples.split is not None
    assert [samples.split[row] for row in neutral[::3]] == ["train", "validation", "test"]
    require_neutrals(samples, np.arange(len(samples)))


def test_heatmaps_of_3dpain_are_places_on_the_ramp(threedpain: Path) -> None:
    from pain3d.rendering.heatmap import colourise

    millimetres = np.linspace(0, 10, 24 * 24, dtype=np.float32).reshape(24, 24)
    ramp = simplejpeg.encode_jpeg(np.ascontiguousarray(colourise(millimetres)), 100, "RGB", "444")
    (threedpain / "heatmaps" / "flame_sample_0000_pain_1_heatmap.jpg").write_bytes(ramp)
    pixels = open_3dpain(threedpain).pixels
    neutral, levels = pixels.heatmap(0), pixels.heatmap(3)
    assert neutral is not None and levels is not None and not neutral.any() and neutral.shape == (24, 24)
    # worst seen 0.083 mm: half a level of 0.1 mm, and what JPEG at 100 rounds
    assert np.abs(levels * 0.1 - millimetres).max() < 0.12


def test_3dpain_without_split_or_heatmaps(threedpain: Path) -> None:
    (threedpain / "split.csv").unlink()
    for path in (threedpain / "heatmaps").iterdir():
        path.unlink()
    (threedpain / "heatmaps").rmdir()
    samples = open_3dpain(threedpain)
    assert samples.split is None
    assert samples.pixels.heatmap(0) is None and samples.pixels.heatmap(3) is None


def test_archives_of_3dpain_that_lie_in_their_folders(threedpain: Path) -> None:
    """As unpacked inside ``images/`` and ``annotations/``, each archive with a folder of its own."""
    labels = open_3dpain(threedpain)
    (threedpain / "images").mkdir()
    (threedpain / "meshes_inpainted").rename(threedpain / "images" / "images")
    (threedpain / "annotations").rename(threedpain / "inside")
    (threedpain / "annotations").mkdir()
    (threedpain / "inside").rename(threedpain / "annotations" / "annotations")
    again = open_data(threedpain)
    assert again.ids == labels.ids and again.key == labels.key and (again.au == labels.au).all()


def test_a_part_of_the_pictures_of_3dpain_is_enough(threedpain: Path) -> None:
    for path in (threedpain / "meshes_inpainted").glob("flame_sample_0002_*"):
        path.unlink()
    assert len(open_3dpain(threedpain)) == 18


def test_3dpain_person_without_a_neutral_is_named(threedpain: Path) -> None:
    for path in (threedpain / "meshes_inpainted").glob("flame_sample_0001_neutral_*"):
        path.unlink()
    samples = open_3dpain(threedpain)
    with pytest.raises(RefusedError, match="flame_sample_0001"):
        require_neutrals(samples, np.arange(len(samples)))


def test_every_name_that_the_published_loader_takes_is_read(threedpain: Path) -> None:
    """It cuts a name off at the first of its words; what is left is the expression."""
    folder = threedpain / "meshes_inpainted"
    more = (
        "_bg_002.jpg",
        "_render_007.png",
        "_deform_1.jpg",
        ".jpg",
        "_view_001_bg_004.jpg",
        "_textured_view_003.jpeg",
    )
    for place, rest in enumerate(more):
        (folder / f"flame_sample_0001_pain_1{rest}").write_bytes(jpeg(200 + place))
    samples = open_3dpain(threedpain)
    ids = [name.removeprefix("flame_sample_0001_pain_1") for name in samples.ids if "0001_pain_1_" in f"{name}_"]
    assert ids == [
        "", "_deform_001", "_render_007", "_bg_002", "_view_000", "_view_001", "_view_001_bg_004", "_view_002",
        "_view_003",
    ]  # fmt: skip
    row = row_of(samples, "flame_sample_0001_pain_1_bg_002")
    assert samples.pspi[row] == 14 and np.abs(samples.pixels.picture(row).astype(int) - 200).max() <= 1


def test_what_an_annotation_does_not_name_is_0(threedpain: Path) -> None:
    (threedpain / FIRST_JSON).write_bytes(b'{"AU4": 2, "AU43": 1}')
    samples = open_3dpain(threedpain)
    row = row_of(samples, "flame_sample_0000_pain_1_view_000")
    assert samples.au[row].tolist() == [2, 0, 0, 0, 0, 1] and samples.pspi[row] == 3


def test_a_picture_on_its_side_is_trained_on_upright(threedpain: Path) -> None:
    stored = np.zeros((24, 36, 3), np.uint8)
    stored[:, :12] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it 90° clockwise: what lies left is on top
    Image.fromarray(stored).save(threedpain / FIRST_PICTURE, exif=exif, quality=95)
    samples = open_3dpain(threedpain)
    seen = samples.pixels.picture(row_of(samples, "flame_sample_0000_pain_1_view_000"))
    assert seen.shape == (36, 24, 3) and seen[:10].min() > 240 and seen[14:].max() < 15


def test_sixteen_bits_are_trained_on_as_eight(threedpain: Path) -> None:
    grey = np.arange(0, 240, 10, dtype=np.uint8)[None].repeat(24, 0)
    (threedpain / FIRST_PICTURE).unlink()
    path = (threedpain / FIRST_PICTURE).with_suffix(".png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(path)
    samples = open_3dpain(threedpain)
    seen = samples.pixels.picture(row_of(samples, "flame_sample_0000_pain_1_view_000"))
    assert (seen == grey[..., None]).all()


FIRST_JSON = "annotations/flame_sample_0000_pain_1_annotations.json"
FIRST_PICTURE = "meshes_inpainted/flame_sample_0000_pain_1_textured_view_000_inpainted.jpg"


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        (FIRST_JSON, None, [FIRST_JSON, "missing"]),
        (FIRST_JSON, b"{", [FIRST_JSON, "JSON"]),
        (FIRST_JSON, b"[1, 2]", [FIRST_JSON, "AU4"]),
        (FIRST_JSON, b'{"PSPI": 0}', [FIRST_JSON, "names none of AU4, AU6"]),
        (FIRST_JSON, b'{"AU4": 2, "PSPI": 5}', [FIRST_JSON, "PSPI is 5", "give 2"]),
        (FIRST_JSON, b'{"AU4": true}', [FIRST_JSON, "AU4", "True"]),
        (FIRST_JSON, annotation((4, 2, 4, 3, 1, 1), 11), [FIRST_JSON, "PSPI is 11", "give 12"]),
        (FIRST_JSON, annotation((6, 2, 4, 3, 1, 1), 14), [FIRST_JSON, "AU4 must be in 0..5"]),
        (FIRST_JSON, annotation((4, 2, 4, 3, 1, 3), 14), [FIRST_JSON, "AU43 must be 0 or 1"]),
        ("meshes_inpainted/face.jpg", jpeg(0), ["meshes_inpainted/face.jpg", "not a name of 3DPain"]),
        ("meshes_inpainted/flame_sample_0000_pain_1_view_000.png", b"", ["view_000.png", "the same picture as"]),
        ("annotations/more/" + Path(FIRST_JSON).name, b"{}", ["also lies at"]),
        ("heatmaps/map.jpg", jpeg(0), ["heatmaps/map.jpg", "not a name of 3DPain"]),
        ("heatmaps/flame_sample_0000_pain_1_heatmap.png", b"", ["a heatmap of the same expression"]),
        ("split.csv", b"annotation_base_name,split\nflame_sample_0000_pain_1,3\n", ["split.csv line 2", "'3'"]),
        (
            "split.csv",
            b"annotation_base_name,split\nflame_sample_0000_pain_1,0\n",
            ["split.csv", "flame_sample_0000_pain_10"],
        ),
        (
            "split.csv",
            b"annotation_base_name,split\nflame_sample_0000_pain_1,0\nflame_sample_0000_pain_10,1\n",
            ["split.csv line 3", "flame_sample_0000", "train"],
        ),
        ("other.csv", b"split,annotation_base_name\n", ["other.csv", "split.csv", "keep one"]),
    ],
)
def test_broken_3dpain_is_refused(threedpain: Path, path: str, content: bytes | None, words: list[str]) -> None:
    if content is None:
        (threedpain / path).unlink()
    else:
        (threedpain / path).parent.mkdir(exist_ok=True)
        (threedpain / path).write_bytes(content)
    refuse(threedpain, open_3dpain, *words)


def test_3dpain_that_is_still_packed_says_so(tmp_path: Path) -> None:
    for name in ("images", "annotations"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}_00000.tar.gz").write_bytes(b"")
    refuse(tmp_path, open_data, "no pictures", "unpack images_00000.tar.gz")


@pytest.mark.parametrize("content", [jpeg(9)[:-40], b"<html>log in</html>", b""])
def test_an_unreadable_picture_is_named(threedpain: Path, content: bytes) -> None:
    (threedpain / FIRST_PICTURE).write_bytes(content)
    samples = open_3dpain(threedpain)
    with pytest.raises(RefusedError, match=re.escape(FIRST_PICTURE)):
        samples.pixels.picture(row_of(samples, "flame_sample_0000_pain_1_view_000"))


@pytest.fixture
def synpain(tmp_path: Path) -> Path:
    """Five pairs, one in each fold; a picture with another name, as the turned ones have."""
    folder = tmp_path / "SynPain"
    (folder / "Images").mkdir(parents=True)
    lines = ["ID, fold"]
    for pair in range(5):
        sex, age = pair % 2, pair // 3
        words = f"{('Man', 'Woman')[sex]}_{('Young', 'Old')[age]}.jpg"
        for pain, what in enumerate(("NoPain", "Pain")):
            name = f"1{pain}{sex}{age}{pair}{pair + 7:05d}_{what}_{words}"
            (folder / "Images" / name).write_bytes(jpeg(40 * pair + pain))
        lines.append(f"10{sex}{age}{pair}{pair + 7:05d}, {pair + 1}")
    (folder / "Images" / "turned_1.jpg").write_bytes(jpeg(0))
    (folder / "SynPain_folds.txt").write_text("\r\n".join(lines))
    return folder


def test_synpain_is_read(synpain: Path) -> None:
    samples = open_data(synpain)
    assert samples.name == "SynPAIN (pictures of other names left out: 1)"
    assert len(samples) == 10 and len(samples.subjects) == 5
    assert np.isnan(samples.au).all() and np.isnan(samples.pspi).all()
    row = row_of(samples, "1101400011_Pain_Man_Old")
    assert samples.pain[row] == 1 and samples.pain[row - 1] == 0 and samples.neutral[row - 1]
    assert (
        samples.subject[row] == samples.subject[row - 1]
        and samples.subjects[samples.subject[row]] == "synpain_01400011"
    )
    assert [samples.slices[kind][row] for kind in ("age group", "sex", "ancestry")] == ["old", "male", "asian"]
    assert samples.slices["ancestry"][0] == "black"
    assert np.abs(samples.pixels.picture(row).astype(int) - 161).max() <= 1
    require_neutrals(samples, np.arange(len(samples)))


@pytest.mark.parametrize("fold", [0, 3, 4])
def test_synpain_folds_are_split_without_overlap(synpain: Path, fold: int) -> None:
    samples = open_synpain(synpain, fold)
    assert samples.split is not None and open_synpain(synpain).key == samples.key
    pair_of = [int(samples.ids[row][4]) for row in range(len(samples))]  # the pairs of the fixture count there
    words = {fold: "test", (fold + 1) % 5: "validation"}
    assert list(samples.split) == [words.get(pair, "train") for pair in pair_of]


def test_synpain_without_folds_has_no_split(synpain: Path) -> None:
    (synpain / "SynPain_folds.txt").unlink()
    assert open_synpain(synpain).split is None


@pytest.mark.parametrize(
    ("path", "content", "words"),
    [
        ("1000000001_Pain_Man_Young.jpg", b"", ["1000000001_Pain_Man_Young.jpg", "digit 0", "Pain"]),
        ("1110000001_Pain_Man_Young.jpg", b"", ["digit 1", "Man"]),
        ("1101000001_Pain_Man_Young.jpg", b"", ["digit 1", "Young"]),
        ("1100900001_Pain_Man_Young.jpg", b"", ["digit 9", "ethnicity"]),
        ("1000000007_NoPain_Man_Young.jpg", b"", ["the same picture as"]),
        ("1000000099_NoPain_Man_Young.jpg", b"", ["SynPain_folds.txt", "00000099"]),
        ("SynPain_folds.txt", b"1000000007\n", ["line 1", "ten digits"]),
        ("SynPain_folds.txt", b"1000000007 1\n1100000007 2\n", ["line 2", "fold 1 already"]),
        ("SynPain_folds.txt", b"1000000007 1\n", ["3 more people"]),
        ("more_folds.txt", b"", ["a second list"]),
    ],
)
def test_broken_synpain_is_refused(synpain: Path, path: str, content: bytes, words: list[str]) -> None:
    (synpain / path).write_bytes(content)
    refuse(synpain, open_synpain, *words)


def test_too_few_folds_or_an_unknown_one(synpain: Path) -> None:
    with pytest.raises(RefusedError, match=r"0\.\.4"):
        open_synpain(synpain, 5)
    text = (synpain / "SynPain_folds.txt").read_text()
    (synpain / "SynPain_folds.txt").write_text(re.sub(r", \d$", ", 1", text, flags=re.M))
    refuse(synpain, open_synpain, "has 1 folds")


@pytest.mark.parametrize("path", ["meshes_inpainted/a.jpg", "heatmaps/flame_sample_0000_pain_1_heatmap.jpg",
                                  "annotations/flame_sample_0000_pain_1_annotations.json", "split.csv",
                                  "pain3d.json"])  # fmt: skip
@pytest.mark.parametrize("how", ["out", "pipe", "device", "loop"])
def test_what_is_no_file_of_the_folder_is_refused(threedpain: Path, path: str, how: str) -> None:
    """Neither opened, which a pipe would wait for, nor followed."""
    place = threedpain / path
    place.unlink(missing_ok=True)
    if how == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to({"out": __file__, "device": "/dev/zero", "loop": place}[how])
    refuse(threedpain, open_data, place.name)


@pytest.mark.parametrize("name", ["meshes_inpainted", "annotations", "heatmaps"])
def test_folders_that_are_links_are_refused(threedpain: Path, name: str) -> None:
    (threedpain / name / "again").symlink_to(threedpain)
    refuse(threedpain, open_data, "again", "a link to a folder")
    (threedpain / name / "again").unlink()
    (threedpain / name).rename(threedpain.parent / name)
    (threedpain / name).symlink_to(threedpain.parent / name)
    refuse(threedpain, open_data, name, "a link that leads out of")


def test_a_link_within_the_folder_is_read(threedpain: Path) -> None:
    whole = open_data(threedpain)
    picture = next((threedpain / "meshes_inpainted").glob("*.jpg"))
    picture.rename(threedpain / "elsewhere")
    picture.symlink_to("../elsewhere")
    threedpain.with_name("chosen").symlink_to(threedpain)
    assert open_data(threedpain.with_name("chosen")).key == whole.key


def test_links_of_synpain_are_refused(synpain: Path) -> None:
    picture = next(path for path in synpain.rglob("*") if path.suffix == ".jpg")
    (picture.parent / "loop").symlink_to(picture.parent)
    refuse(synpain, open_data, "loop", "a link to a folder")
    (picture.parent / "loop").unlink()
    (synpain / "more_folds.txt").symlink_to(__file__)
    refuse(synpain, open_data, "more_folds.txt", "a link that leads out of")


def test_no_picture_of_a_folder_runs(threedpain: Path, synpain: Path) -> None:
    """An EPS that never ends, by a picture's name: its program never starts."""
    for folder, opener in ((threedpain, open_3dpain), (synpain, open_synpain)):
        samples = opener(folder)
        endless_eps(samples.pixels.paths[0])  # type: ignore[attr-defined]
        with pytest.raises(RefusedError, match="convert it to JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF"):
            samples.pixels.picture(0)
    heatmap = threedpain / "heatmaps" / "flame_sample_0000_pain_1_heatmap.jpg"
    endless_eps(heatmap)
    samples = open_3dpain(threedpain)
    with pytest.raises(RefusedError, match=heatmap.name):
        samples.pixels.heatmap(next(row for row, name in enumerate(samples.ids) if "_0000_pain_1_" in name))
