"""Predictions on disk, the report, and the table that puts models beside each other."""

import base64
import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from pain3d.console.refused import RefusedError
from pain3d.training.evaluation import plots
from pain3d.training.evaluation.comparison import comparison_table, signed, with_interval
from pain3d.training.evaluation.latex import escaped
from pain3d.training.evaluation.metrics import always_yes, compute_metrics, pooled_metrics
from pain3d.training.evaluation.predictions import (
    Predictions,
    concatenate,
    mean_predictor,
    predictions_of,
    read_predictions,
    write_predictions,
)
from pain3d.training.evaluation.report import worst_rows, write_report

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")


def made_up(people: int = 6, each: int = 10, seed: int = 0) -> Predictions:
    """A model that is about right."""
    generator = np.random.default_rng(seed)
    count = people * each
    au = generator.integers(0, 6, (count, 6)).astype(np.float32)
    au[:, 5] = generator.random(count) < 0.4
    au[::each] = 0
    pspi = au[:, 0] + au[:, 1:3].max(1) + au[:, 3:5].max(1) + au[:, 5]
    binary = np.stack([pspi >= least for least in (1, 2, 3)], 1).astype(np.float32)
    return Predictions(
        ids=tuple(f"s{seed}_{row}" for row in range(count)),
        subject=tuple(f"s{seed}_<{row // each}>" for row in range(count)),
        pspi_true=pspi,
        pspi=np.clip(pspi + generator.normal(0, 1, count), 0, 16).astype(np.float32),
        au_true=au,
        au=np.maximum(au + generator.normal(0, 0.6, au.shape), 0).astype(np.float32),
        binary_true=binary,
        binary=np.clip(binary * 0.8 + generator.random((count, 3)) * 0.3, 0, 1).astype(np.float32),
        pain_true=binary[:, 0],
        neutral=pspi == 0,
        slices={"yaw": tuple(("0-15°", "45-90°")[row % 2] for row in range(count))},
    )


def labels() -> Any:
    """What `Samples` holds, as far as predictions ask."""
    pspi = np.array([0, 4, np.nan, 8], np.float32)
    return SimpleNamespace(
        ids=("a", "b", "c", "d"),
        subjects=("ann", "bob"),
        subject=np.array([0, 0, 1, 1]),
        pspi=pspi,
        pain=np.array([0, 1, 1, 1], np.float32),
        au=np.array([[0] * 6, [1] * 6, [np.nan] * 6, [3] * 6], np.float32),
        neutral=np.array([True, False, False, False]),
        slices={"sex": ("f", "f", "m", "m")},
    )


def test_predictions_go_round(tmp_path: Path) -> None:
    wanted = made_up()
    wanted = dataclasses.replace(wanted, pspi_std=np.linspace(0, 2, len(wanted), dtype=np.float32))
    wanted.pspi_true[3] = np.nan
    wanted.au_true[4, 2] = np.nan
    write_predictions(tmp_path / "p.parquet", wanted)
    found = read_predictions(tmp_path / "p.parquet")
    for field in dataclasses.fields(Predictions):
        one, other = getattr(wanted, field.name), getattr(found, field.name)
        if isinstance(one, np.ndarray):
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype
        else:
            assert one == other
    assert [path.name for path in tmp_path.iterdir()] == ["p.parquet"]


def test_predictions_that_are_not_there_or_broken(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    with pytest.raises(RefusedError, match="no such file"):
        read_predictions(path)
    write_predictions(path, made_up())
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(RefusedError, match="not a readable Parquet file") as caught:
        read_predictions(path)
    assert "\n" not in str(caught.value) and "p.parquet" in str(caught.value)
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), path)
    with pytest.raises(RefusedError, match="column 'subject' is missing"):
        read_predictions(path)


def test_predictions_check_themselves() -> None:
    good = made_up()
    with pytest.raises(RefusedError, match=r"au must be \[60, 6\], got \[60, 5\]"):
        dataclasses.replace(good, au=good.au[:, :5])
    with pytest.raises(RefusedError, match="'s0_1' is there twice"):
        dataclasses.replace(good, ids=("s0_1", *good.ids[1:]))
    bad = good.pspi.copy()
    bad[7] = np.nan
    with pytest.raises(RefusedError, match="pspi of 's0_7' isn't a finite number"):
        dataclasses.replace(good, pspi=bad)
    with pytest.raises(RefusedError, match="slice 'yaw'"):
        dataclasses.replace(good, slices={"yaw": ("0-15°",)})


def test_labels_become_truth() -> None:
    found = predictions_of(labels(), [3, 2, 0], [7, 1, 0], np.zeros((3, 6)), np.full((3, 3), 0.5))
    assert found.ids == ("d", "c", "a") and found.subject == ("bob", "bob", "ann") and found.people == ("ann", "bob")
    np.testing.assert_array_equal(found.binary_true, [[1, 1, 1], [1, np.nan, np.nan], [0, 0, 0]])
    assert found.slices == {"sex": ("m", "m", "f")}


def test_mean_predictor_knows_the_training_means_only() -> None:
    found = mean_predictor(labels(), learned=[0, 1, 2], tested=[3, 2])
    assert found.pspi.tolist() == [2, 2] and found.au.tolist() == [[0.5] * 6] * 2
    assert found.binary == pytest.approx(np.array([[2 / 3, 0.5, 0.5]] * 2))
    assert found.ids == ("d", "c")


def test_report(tmp_path: Path) -> None:
    test, validation = made_up(), made_up(seed=1)
    found = compute_metrics(test, validation, resamples=50)
    other = dataclasses.replace(test, pspi=np.full(60, 5, np.float32))
    asked: list[int] = []

    def gallery(rows: Any) -> list[tuple[bytes, bytes | None]]:
        asked.extend(rows)
        return [(PNG, None if place else b"\xff\xd8jpeg") for place, _ in enumerate(rows)]

    out = tmp_path / "report"
    write_report(
        out,
        "net <1> & 50 %",
        found,
        test,
        {"constant": compute_metrics(other, None, resamples=0)},
        {"constant": other},
        gallery,
        {"command": "pain3d train --seed 3", "seed": np.int64(3), "split": "test"},
    )
    assert sorted(path.name for path in out.iterdir()) == ["index.html", "metrics.json", "table.tex"]
    page = (out / "index.html").read_text()
    assert "net &lt;1&gt; &amp; 50 %" in page and "<1>" not in page and "pain3d train --seed 3" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)|url\((?!#)|@import|<script', page)  # nothing from elsewhere
    over, under = worst_rows(test)
    assert asked == over + under and page.count("data:image/png") == len(asked)
    assert page.count("data:image/jpeg") == 2
    drawings = re.findall(r"<svg.*?</svg>", page, re.S)
    assert len(drawings) == 7
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing and "inf" not in drawing
    numbers = json.loads((out / "metrics.json").read_text())
    assert numbers["pspi"]["pearson"] == found["pspi"]["pearson"] and numbers["about"]["seed"] == 3
    assert numbers["others"]["constant"]["pspi"]["pearson"] is None
    assert numbers["differences"]["constant"]["mae"]["ci"][1] < 0
    table = (out / "table.tex").read_text()
    assert r"net \textless{}1\textgreater{} \& 50 \%" in table and r"\toprule" in table
    assert len({line.count("&") - line.count(r"\&") for line in table.splitlines() if line.endswith(r"\\")}) == 1
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(RefusedError, match=r"another test \(net <1> & 50 %, split test of None\); give another --to"):
        write_report(out, "again", found, test)
    with pytest.raises(RefusedError, match="another test"):
        write_report(out, "net <1> & 50 %", found, test, about={"split": "train"})
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    write_report(out, "net <1> & 50 %", found, test, about={"split": "test"})
    assert (out / "index.html").read_bytes() != before["index.html"]
    (out / "metrics.json").write_text("[]")
    with pytest.raises(RefusedError, match=r"metrics\.json: not the figures of a report"):
        write_report(out, "net", found, test)


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    test = made_up()
    for name in ("one", "two"):
        write_report(tmp_path / name, "net", compute_metrics(test, made_up(seed=1), resamples=20), test)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_report_of_next_to_nothing(tmp_path: Path) -> None:
    poor = made_up().only([0])
    unknown = dataclasses.replace(
        poor,
        pspi_true=np.full(1, np.nan, np.float32),
        au_true=np.full((1, 6), np.nan, np.float32),
        binary_true=np.full((1, 3), np.nan, np.float32),
        slices={},
    )
    for name, one in (("one", poor), ("unknown", unknown)):
        write_report(tmp_path / name, name, compute_metrics(one, None, resamples=0), one, gallery=lambda rows: [])
        assert "NaN" not in (tmp_path / name / "metrics.json").read_text()


def test_what_others_reach_on_real_pain_stands_beside_a_run_on_the_same_archive(tmp_path: Path) -> None:
    test = made_up()
    for data, there in (("UNBC-McMaster (pictures without a PSPI left out: 3)", True), ("faces", False)):
        out = tmp_path / data[:4]
        write_report(out, "run", compute_metrics(test, None, resamples=0), test, about={"data": data})
        page = (out / "index.html").read_text()
        assert ("arXiv 1702.06925" in page and "0.626" in page and "0.44" in page) == there


def test_report_of_folds(tmp_path: Path) -> None:
    test, validation = made_up(), made_up(seed=1)
    found = pooled_metrics([(test, validation), (validation, test)], resamples=20)
    write_report(tmp_path / "report", "two folds", found, concatenate([test, validation]))
    numbers = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert numbers["settings"]["validation_pictures"] == 120 and numbers["folds"]["pspi.mae"]["folds"] == 2


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    test = made_up()
    found = compute_metrics(test, None, resamples=0)
    (tmp_path / "thesis.docx").write_text("years of work")
    with pytest.raises(RefusedError, match=r"not a report of pain3d, it holds 'thesis\.docx'"):
        write_report(tmp_path, "net", found, test)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]
    with pytest.raises(RefusedError, match="not a folder"):
        write_report(tmp_path / "thesis.docx", "net", found, test)


def test_worst_rows_one_of_each_person() -> None:
    test = made_up()
    over, under = worst_rows(test, 4)
    error = test.pspi - test.pspi_true
    assert error[over[0]] == error.max() and error[under[0]] == error.min()
    for rows, sign in ((over, 1), (under, -1)):
        assert len({test.subject[row] for row in rows}) == len(rows) <= 4
        assert (np.diff(sign * error[rows]) <= 0).all() and (sign * error[rows] > 0).all()
    right = dataclasses.replace(test, pspi=test.pspi_true)
    assert worst_rows(right) == ([], [])


def test_models_beside_each_other() -> None:
    test, validation = made_up(), made_up(seed=1)
    good = compute_metrics(test, validation, resamples=20)
    bad = compute_metrics(dataclasses.replace(test, pspi=np.full(60, 5, np.float32)), validation, resamples=0)
    table = comparison_table([("good", good), ("bad", bad), ("both", [good, bad])])
    lines = {row[0]: row[1:] for row in table.rows}
    assert table.headings == ("", "good", "bad", "both")
    assert lines["PSPI Pearson r"][0] == with_interval(good, "pspi.pearson", 3)
    assert lines["PSPI Pearson r"][1] == "–"
    assert re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d", lines["PSPI MAE"][2])
    strong = dict(zip((row[0] for row in table.rows), table.bold, strict=True))
    assert strong["PSPI MAE"] == (False, True, False, False)
    said = table.terminal()
    assert all(name in said for name in ("good", "bad", "both", "PSPI MAE")) and "\x1b" not in said
    assert "PSPI Pearson r" not in {row[0] for row in comparison_table([("bad", bad)]).rows}


def test_who_says_one_number_is_never_ahead() -> None:
    """PSPI 6.1 of everybody has an F1 near the best, and stands beside what anybody gets for saying yes."""
    test, validation = made_up(), made_up(seed=1)
    constant = [dataclasses.replace(one, pspi=np.full(60, 6.1, np.float32), binary=np.full((60, 3), 0.9, np.float32))
                for one in (test, validation)]  # fmt: skip
    answers = {"6.1": constant, "net": [test, validation]}
    rows = [(name, compute_metrics(*both, resamples=0)) for name, both in answers.items()]
    table = comparison_table([*rows, ("always yes", always_yes(test, resamples=0))])
    lines = {row[0]: row[1:] for row in table.rows}
    names = list(lines)
    assert names.index("AUROC ≥1") < names.index("Balanced accuracy ≥1") < names.index("F1 ≥1")
    for least in (1, 2, 3):
        assert lines[f"AUROC ≥{least}"][::2] == lines[f"Balanced accuracy ≥{least}"][::2] == ("0.500", "0.500")
        assert lines[f"F1 ≥{least}"][0] == lines[f"F1 ≥{least}"][2]
    assert not any(row[1] for row, name in zip(table.bold, names, strict=True) if not name.startswith("AU4"))
    assert lines["PSPI MAE"][2] == "–"


def test_small_words() -> None:
    assert signed(-0.001, 2) == "0.00" and signed(-0.25, 2) == "−0.25" and signed(0.5, 1) == "0.5"
    assert escaped("a_b & 5 % ≥ −1 | {x}") == r"a\_b \& 5 \% $\geq$ $-$1 $|$ \{x\}"


def test_plots_of_nothing_and_of_the_extremes() -> None:
    empty = np.empty(0)
    for drawing in (
        plots.levels_plot(empty, empty),
        plots.agreement_plot(empty, empty, None),
        plots.roc_plot([("none", empty, empty), ("one kind", np.ones(5), np.ones(5))]),
        plots.calibration_plot([("none", empty, empty)]),
        plots.agreement_plot(np.full(5, 16.0), np.zeros(5), [-16.0, -16.0]),
        plots.slices_plot({"sex": {"f": {"pictures": 1, "mae": None, "ci": {"mae": None}}}}, "mae", "MAE", None),
    ):
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing


def test_many_points_become_few() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 17, 20_000).astype(float)
    drawing = plots.agreement_plot(truth, truth + generator.normal(0, 1, 20_000), [-2, 2])
    assert 1000 < drawing.count("<use") <= plots.MOST_POINTS
    assert len(plots.roc_plot([("a", truth > 3, truth + generator.normal(0, 3, 20_000))])) < 20_000
