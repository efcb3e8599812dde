"""Files of strangers, made to break what reads them: a value or one line, within bounds, nothing done beside.

`make fuzz` draws new ones until one fails; `make test` takes a few of each kind, and the corpus: a small file for each
fault that was found, by whomever. What fuzzing finds is added to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pain3d_core.doors import hostile
from tests.pain3d_core.doors.hostile import corpus, damaged, texts
from tests.pain3d_core.doors.watched import CORPUS, Watched, doors

MANY = 25 if settings.default.derandomize else 400  # files of each kind

STRANGERS: dict[str, tuple[str, st.SearchStrategy[bytes]]] = {
    "pictures": (".jpg", st.deferred(lambda: damaged(hostile.pictures() + corpus("pictures")))),
    "panoramas": (".hdr", st.deferred(lambda: damaged(hostile.panoramas() + corpus("panoramas")))),
    "collections": (".zip", st.deferred(lambda: damaged(hostile.collections()))),
    "bindings": (".mhclo", st.deferred(lambda: damaged(hostile.bindings()))),
    "levels": (".png", st.deferred(lambda: damaged(hostile.pictures()[2:6]))),
    "yaml": (".yaml", texts("yaml") | st.deferred(lambda: damaged(corpus("yaml")))),
    "json": (".json", texts("json") | st.deferred(lambda: damaged(corpus("json")))),
    "csv": (".csv", texts("csv") | st.deferred(lambda: damaged(corpus("csv")))),
    "scene": (".json", texts("json") | st.deferred(lambda: damaged(corpus("scene")))),
    "parquet": (".parquet", hostile.parquets() | st.deferred(lambda: damaged(corpus("parquet")))),
    "hdf5": (".h5", hostile.hdf5s() | st.deferred(lambda: damaged(corpus("hdf5")))),
    "paths": (".txt", hostile.names()),
    "weights": (".safetensors", st.deferred(lambda: damaged(hostile.weights()))),
    "head": (".npz", st.deferred(lambda: damaged(hostile.heads()))),
    "obj": (".obj", texts("obj") | st.deferred(lambda: damaged(corpus("obj")))),
    "flame": (".pkl", st.deferred(lambda: damaged(hostile.pickles()))),
}


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    process = Watched()
    yield process
    process.close()


def test_every_door_is_fuzzed() -> None:
    assert STRANGERS.keys() == doors().keys() >= {path.name for path in CORPUS.iterdir()}


@pytest.mark.hypothesis  # so that `make fuzz` begins with it
@pytest.mark.parametrize("path", sorted(CORPUS.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus(path, watched: Watched) -> None:
    """All are refused but those whose name says that they are fine."""
    said = watched.open(path.parent.name, path.read_bytes(), path.suffix)
    assert (said == "") == path.name.startswith("fine"), said


def test_the_corpus_is_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.glob("*/*")]
    assert max(sizes) <= 2000 and sum(sizes) < 100_000


@pytest.mark.parametrize("door", STRANGERS)
@settings(max_examples=MANY, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_strangers(door: str, watched: Watched, data: st.DataObject) -> None:
    suffix, files = STRANGERS[door]
    watched.open(door, data.draw(files), suffix)
