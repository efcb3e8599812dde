"""Every committed results file is sound, and a broken one is seen."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.implementation import CASES
from benchmarks.schema import SCHEMA, problems, read_results, write_results

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
COMMITTED = sorted(RESULTS.glob("*/*.json"))


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_committed_file_is_sound(path: Path):
    content = read_results(path)
    assert content["pain3d"] == path.parent.name
    assert path.name.startswith(f"{content['suite']}--")
    assert {row["case"] for row in content["rows"]} <= CASES.keys()


def content_of(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"schema": SCHEMA, "suite": "pictures", "pain3d": "0.1.0", "rows": list(rows)}


def test_a_sound_file_goes_out_and_comes_back(make_row: Any, tmp_path: Path):
    content = content_of(make_row("cpu"), make_row("moderngl", skipped="no EGL"), make_row("cpu", batch=1))
    path = tmp_path / "0.1.0" / "pictures--cpu.json"
    write_results(path, content)
    assert read_results(path) == content


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per_second": 101.0}, "per_second is not batch / median_s"),
        ({"min_s": 1.0}, "min_s is above median_s"),
        ({"percent_of_limit": 7.0}, "percent_of_limit is not that of"),
        ({"percent_of_limit": None}, "percent_of_limit is not that of"),
        ({"rounds": 0}, "rounds must be above 0"),
        ({"rounds": True}, "rounds must not be True"),
        ({"median_s": float("nan")}, "median_s must not be nan"),
        ({"commit": "main"}, "commit must be 40 hex digits"),
        ({"check": ""}, "no row without a check"),
        ({"peak_bytes": "1 GB"}, "peak_bytes must not be '1 GB'"),
        ({"mood": "good"}, "mood is not known"),
    ],
)
def test_a_broken_row_is_seen(make_row: Any, changes: dict[str, Any], said: str):
    assert any(said in line for line in problems(content_of(make_row("cpu") | changes)))


def test_a_missing_field_is_seen(make_row: Any):
    row = make_row("cpu")
    for name in row:
        assert f"row 0: {name} is missing" in problems(content_of({k: v for k, v in row.items() if k != name}))


def test_a_broken_file_is_seen(make_row: Any, tmp_path: Path):
    assert problems([]) and problems({"schema": SCHEMA}) and problems(content_of())
    assert problems(content_of(make_row("cpu")) | {"schema": 1})
    assert "row 1: a second row for" in problems(content_of(make_row("cpu"), make_row("cpu")))[0]
    assert problems(content_of(make_row("cpu", skipped="")))
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(content_of(make_row("cpu")))[:-1])
    with pytest.raises(ValueError, match=r"^broken\.json: "):
        read_results(path)
    with pytest.raises(ValueError, match="rows must not be empty"):
        write_results(path, content_of())
