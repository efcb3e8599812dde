"""What mlcroissant reads by ``croissant.json`` is what pandas reads; what a data set says of itself there is true."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pain3d.pipeline.card import ImagesPainted, Painter
from pain3d.pipeline.config import what_fields
from pain3d.pipeline.croissant import CROISSANT, SHAPES, licence_values, make_croissant
from pain3d.pipeline.rai import DRAWN, SHOWN_IF_ASKED
from pain3d.pipeline.run import synthesise
from pain3d.records import COLUMNS, SPLITS, SUBSETS, columns_of, unstored_columns
from tests.conftest import Ran
from tests.pipeline.conftest import SMALL
from tests.pipeline.tampering import read_manifest, write_manifest
from tests.pipeline.test_every_column import by_other_code

mlc = pytest.importorskip("mlcroissant")
pytestmark = [  # of its own libraries
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The inplace keyword in DataFrame.reset_index is deprecated"),
]

PUBLISHED = {
    "url": "https://example.org/pain",
    "creator": {"@type": "sc:Organization", "name": "A ward"},
    "datePublished": "2026-11-29",
}  # what who publishes adds
TINY = replace(SMALL, identities=1, expressions=1, views=1, size=32, dense="depth,parts")
UNPAINTED = ImagesPainted(refined=0, behind=0)
MADE = {"config_hash": "0" * 64, "pain3d_version": "0.1.0", "code_version": "0" * 12, "device_class": "cpu"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two frames with dense maps; not to be changed."""
    out = tmp_path_factory.mktemp("croissant") / "tiny"
    synthesise(TINY, out, quiet=True)
    return out


@pytest.fixture(scope="module")
def opened(small: Path) -> Any:
    """The small data set as mlcroissant opens it; not to be filtered, which changes it."""
    return mlc.Dataset(jsonld=str(small / CROISSANT))


def test_rows_without_pictures(tmp_path: Path) -> None:
    """What is null is no field: there is nothing to read."""
    synthesise(replace(TINY, pictures=False), tmp_path / "bare", quiet=True)
    data = mlc.Dataset(jsonld=str(tmp_path / "bare" / CROISSANT))
    for subset in SUBSETS:
        (row, *_) = data.records(subset)
        null = unstored_columns(subset, TINY.dense)
        assert {*row} == {
            f"{subset}/{column.name}" for column in columns_of(subset, TINY.dense) if column.name not in null
        }
    assert "not stored" in data.metadata.description


def described(out: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((out / CROISSANT).read_bytes())
    return told


def said_of(told: dict[str, Any], name: str) -> str:
    """All that a field of RAI says, in one text."""
    value = told[f"rai:{name}"]
    return value if isinstance(value, str) else " ".join(value)


def rows_of(out: Path, subset: str, split: str = "*") -> list[dict[str, Any]]:
    """By pandas, in the order of the files' names."""
    files = sorted((out / "data" / subset).glob(f"{split}-*.parquet"))
    return pd.concat(map(pd.read_parquet, files)).to_dict("records")


def plain(value: Any) -> Any:
    """A list of lists, whether of arrays or of numbers, each as pandas has it."""
    return [plain(one) for one in value] if isinstance(value, list | np.ndarray) else value


def make(painters: tuple[Painter, ...] = (), painted: ImagesPainted = UNPAINTED, **settings: Any) -> dict[str, Any]:
    """A description of four frames that nobody made, of a configuration and of what painters add to it."""
    asked = {name: settings.pop(name) for name in what_fields(SMALL) if name in settings}
    resolved = {"texture": "procedural"} | what_fields(replace(SMALL, **asked)) | MADE | settings
    counts = {subset: {"train": 4} for subset in SUBSETS}
    licences = ["CC0-1.0", *(f"CC0-1.0 AND {painter.licence}" for painter in painters)]
    told: dict[str, Any] = json.loads(make_croissant(resolved, counts, dict.fromkeys(painters, 1), painted, licences))
    return told


def test_only_the_day_of_publishing_is_missed(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    issues = mlc.Dataset(jsonld=str(small / CROISSANT)).metadata.issues
    assert not issues.errors
    (missed,) = issues.warnings
    assert missed.endswith('Property "https://schema.org/datePublished" is recommended, but does not exist.')
    assert [missed in record.getMessage() for record in caplog.records] == [True]


def test_published_it_is_read_without_a_warning(small: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a reader may ask is there: only what who publishes knows was added."""
    out = Path(shutil.copytree(small, tmp_path / "published"))
    (out / CROISSANT).write_text(json.dumps(described(small) | PUBLISHED))
    data = mlc.Dataset(jsonld=str(out / CROISSANT))
    read = data.metadata
    assert not read.issues.errors and not read.issues.warnings
    assert read.ctx.is_v1_1() and read.date_published.year == 2026
    assert sum(1 for subset in SUBSETS for _ in data.records(subset)) == 32 + 24 + 16 + 4
    assert not caplog.records


@pytest.mark.parametrize("subset", SUBSETS)
def test_rows_are_those_of_pandas(small: Path, opened: Any, subset: str) -> None:
    read = list(opened.records(subset))
    ours = rows_of(small, subset)
    assert len(read) == len(ours) > 0
    for record, row in zip(read, ours, strict=True):
        assert set(record) == {f"{subset}/{column.name}" for column in COLUMNS[subset]}
        for column in COLUMNS[subset]:
            value, wanted = record[f"{subset}/{column.name}"], row[column.name]
            if column.kind == "image":
                picture = Image.open(io.BytesIO(wanted["bytes"]))
                assert value.format == picture.format
                assert np.array_equal(np.asarray(value), np.asarray(picture)), column.name
            elif column.kind == "string":
                assert value.decode() == wanted, column.name
            else:
                assert plain(value) == plain(wanted), column.name
                leaf = np.asarray(value).ravel()[0]
                assert type(leaf).__name__.removesuffix("_") == column.kind.strip("[]"), column.name


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_is_read_alone_and_row_by_row(small: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, read_parquet = [], pd.read_parquet

    def watched(file: Any) -> pd.DataFrame:
        opened.append(Path(file.name).name)
        return read_parquet(file)

    wanted = [row["sample_id"] for row in rows_of(small, "frames", split)]
    monkeypatch.setattr(pd, "read_parquet", watched)
    records: Iterator[dict[str, Any]] = iter(
        mlc.Dataset(jsonld=str(small / CROISSANT)).records("frames", filters={"frames/split": split})
    )
    first = next(records)
    assert len(opened) == 1, "a shard is in memory at a time"
    read = [first, *records]
    assert [record["frames/sample_id"].decode() for record in read] == wanted
    assert {record["frames/split"] for record in read} == {split.encode()}
    assert opened == sorted(path.name for path in (small / "data" / "frames").glob(f"{split}-*"))
    counts = json.loads((small / "manifest.json").read_bytes())["counts"]["frames"]
    assert counts[split] == len(read)
    (frames,) = [one for one in described(small)["recordSet"] if one["@id"] == "frames"]
    assert f"{len(read):,} in {split}" in frames["description"]


def test_splits_are_those_of_croissant(opened: Any) -> None:
    read = list(opened.records("splits"))
    assert [record["splits/name"] for record in read] == list(SPLITS)
    assert [record["splits/url"] for record in read] == ["cr:TrainingSplit", "cr:ValidationSplit", "cr:TestSplit"]


def test_files_are_those_of_the_manifest(small: Path) -> None:
    sets = {one["@id"]: one for one in described(small)["distribution"]}
    found = {path for one in sets.values() for pattern in one["includes"] for path in small.glob(pattern)}
    assert found == set((small / "data").rglob("*.parquet")) and len(sets) == len(SUBSETS)
    files = json.loads((small / "manifest.json").read_bytes())["files"]
    assert CROISSANT in [entry["path"] for entry in files]


def test_every_list_has_its_shape(small: Path) -> None:
    for subset in SUBSETS:
        row = rows_of(small, subset)[0]
        (fields,) = [one["field"] for one in described(small)["recordSet"] if one["@id"] == subset]
        shapes = {field["name"]: field["arrayShape"] for field in fields if field.get("isArray")}
        assert set(shapes) == {column.name for column in COLUMNS[subset] if column.kind.startswith("[")}
        for name, shape in shapes.items():
            sides = [int(side) for side in shape.split(",")]
            found = np.array(plain(row[name])).shape
            assert [a if b > 0 else -1 for a, b in zip(found, sides, strict=True)] == sides, name
    assert len(SHAPES) == 9


def test_dense_maps_are_fields_too(tiny: Path) -> None:
    read = list(mlc.Dataset(jsonld=str(tiny / CROISSANT)).records("frames"))
    assert len(read) == 2 and set(read[0]) == {f"frames/{c.name}" for c in columns_of("frames", "depth,parts")}
    for record, row in zip(read, rows_of(tiny, "frames"), strict=True):
        for name in ("depth", "parts"):
            ours = np.asarray(Image.open(io.BytesIO(row[name]["bytes"])))
            assert np.array_equal(np.asarray(record[f"frames/{name}"]), ours)
    splits = described(tiny)["recordSet"][0]
    assert [one["splits/name"] for one in splits["data"]] == ["train"], "of one identity there is one split"


def test_it_says_what_responsible_use_asks(small: Path, opened: Any) -> None:
    told = described(small)
    assert told["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    read = opened.metadata
    for name in (
        "data_collection", "data_collection_type", "data_collection_raw_data", "data_collection_missing_data",
        "data_preprocessing_protocol", "data_annotation_protocol", "annotations_per_item", "machine_annotation_tools",
        "data_use_cases", "data_limitations", "data_biases", "data_social_impact", "personal_sensitive_information",
        "data_release_maintenance_plan",
    ):  # fmt: skip
        assert getattr(read, name), name
    assert sum(name.startswith("rai:") for name in told) == 14, "the reader knows each by its name"
    assert "No person was photographed" in read.data_collection
    assert "PSPI = AU04 + max(AU06, AU07)" in read.data_annotation_protocol[0]
    assert not [name for name in told if name.startswith("rai:") and "models" in said_of(told, name[4:])]


def test_it_is_true_of_the_configuration() -> None:
    bare = make()
    assert all(words in said_of(bare, "dataLimitations") for words in SHOWN_IF_ASKED.values())
    worn = make(glasses_share=0.2, clinical_share=0.1)
    assert "glasses" not in said_of(worn, "dataLimitations") and "masks" not in said_of(worn, "dataLimitations")
    for law, words in DRAWN.items():
        assert words in said_of(make(law=law), "dataBiases")
    varied = make(vary="AU4")
    biases = said_of(varied, "dataBiases")
    assert "only AU4 changes" in biases and not any(words in biases for words in DRAWN.values())
    assert "drawn for each image" in said_of(bare, "dataPreprocessingProtocol")
    assert "drawn for each image" not in said_of(varied, "dataPreprocessingProtocol")
    assert "Poly Haven" in said_of(bare, "dataCollection")
    assert "Poly Haven" not in said_of(make(environment_share=0.0), "dataCollection")
    own = said_of(make(environments="ab", environments_licence="CC-BY-4.0"), "dataCollection")
    assert "CC-BY-4.0" in own and "Poly Haven" not in own


def test_who_painted_is_named_with_the_licence() -> None:
    painted = make(
        (Painter("sd", "0" * 64, "LicenseRef-openrail++"),),
        ImagesPainted(refined=2, behind=3),
        texture="diffusion",
        background_model="plates",
        refine_model="tinter",
    )
    collected = said_of(painted, "dataCollection")
    for words in (
        "painted by sd.",
        "Backgrounds of 3 of 4 images were painted by plates.",
        "2 of 4 images were painted over by tinter.",
    ):
        assert words in collected
    for name in ("dataBiases", "personalSensitiveInformation"):
        assert "models" in said_of(painted, name) and "models" not in said_of(make(), name)
    assert "refined" in said_of(painted, "dataPreprocessingProtocol")
    read = mlc.Dataset(jsonld=painted | PUBLISHED).metadata
    assert not read.issues.errors and not read.issues.warnings
    names = [one if isinstance(one, str) else one.name for one in read.license]
    assert sorted(names) == ["LicenseRef-openrail++", "https://spdx.org/licenses/CC0-1.0"]
    worn = make((Painter("skins", "0" * 64, "CC0-1.0"),), texture="assets")
    assert "Skin is photographic" in said_of(worn, "dataCollection")
    assert "collections" in said_of(worn, "personalSensitiveInformation")


def test_licences_are_addresses_where_spdx_has_them() -> None:
    def named(name: str) -> dict[str, str]:
        return {"@type": "sc:CreativeWork", "name": name, "description": "README.md says whose it is."}

    spdx = "https://spdx.org/licenses/"
    assert licence_values(["CC0-1.0"]) == [f"{spdx}CC0-1.0"]
    assert licence_values(["CC0-1.0 AND Apache-2.0", "CC0-1.0"]) == [f"{spdx}CC0-1.0", f"{spdx}Apache-2.0"]
    assert licence_values(["unknown", "CC0-1.0 AND (MIT OR 0BSD)"]) == [
        named("unknown"),
        f"{spdx}CC0-1.0",
        named("(MIT OR 0BSD)"),
    ]


def test_same_bytes_whenever_and_wherever(tiny: Path, tmp_path: Path) -> None:
    synthesise(replace(TINY, batch_size=2), tmp_path / "elsewhere", quiet=True)
    content = (tiny / CROISSANT).read_bytes()
    assert content == (tmp_path / "elsewhere" / CROISSANT).read_bytes()
    assert content.endswith(b"}\n") and str(tiny).encode() not in content


def drop(out: Path) -> None:
    """Make a data set one that was made before there was Croissant."""
    manifest = read_manifest(out)
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] != CROISSANT]
    write_manifest(out, manifest)
    (out / CROISSANT).unlink()


def test_an_older_data_set_has_none(pain3d: Callable[..., Ran], tiny: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(tiny, tmp_path / "older"))
    drop(out)
    assert pain3d("verify", out).out.splitlines()[0] == f"{CROISSANT}: not in the manifest", "this code writes one"
    by_other_code(out)
    ran = pain3d("verify", out)
    assert ran.code == 0 and f"an older pain3d and doesn't have {CROISSANT}: these weren't checked" in ran.out, ran.out
    assert pain3d("replay", out, "id000000_e01_v0").out.count("byte-identical") > 2
    assert pain3d("export", out, "--format", "openface", "--to", tmp_path / "to").code == 0
    (out / CROISSANT).write_text("{}")
    assert f"{CROISSANT}: not in the manifest" in pain3d("verify", out).out, "nobody published it"
    manifest = read_manifest(out)
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] != "README.md"]
    write_manifest(out, manifest)
    assert "README.md: not in the manifest" in pain3d("verify", out).out, "an older one has that"
