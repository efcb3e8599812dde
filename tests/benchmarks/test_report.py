"""Tables, goals and the README's block come out of rows as they should, and the README holds those of the files."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.asked import implementations
from benchmarks.goals import goals
from benchmarks.report import (
    BEGIN,
    EARLIER,
    END,
    contests,
    earlier_table,
    factor,
    goals_table,
    main,
    newest_version,
    rate,
    read_rows,
    speed_table,
    table,
    with_block,
)
from benchmarks.schema import SCHEMA, write_results

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def rows(make_row: Any) -> list[dict[str, Any]]:
    return [
        make_row("cpu", 200.0),
        make_row("reference", 4.0, batch=4, few=True),
        make_row("moderngl-msaa4", 50.0),
        make_row("moderngl", 160.0, antialiased=False),
        make_row("cpu", 900.0, size="256x256"),
        make_row("pyrender", skipped="pyrender is not installed"),
    ]


def test_the_readme_shows_what_the_files_say():
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    committed = read_rows(newest_version(ROOT / "benchmarks" / "results"))
    assert with_block(page, speed_table(committed)) == page, "python -m benchmarks.report --readme README.md"


def test_the_table_holds_every_row(rows: list[dict[str, Any]]):
    lines = table(rows).splitlines()
    assert lines[0] == "## A Processor, 2 threads; python 3.11.7; commit 0123456789; 2026-01-02"
    assert "| **cpu** | 200 |  | 12 (bytes) | 80 (72, 10) | 5 | 1,000 | equal |" in lines
    assert "| moderngl-msaa4 | 50.0 | 4.0× | 3.1 (bytes) | 320 (288, 10) | 5 | 1,000 | equal |" in lines
    assert any(line.startswith("| moderngl (not antialiased) | 160 | 1.25× |") for line in lines)
    assert any(line.startswith("| **reference** | 4.00 | 50× |") for line in lines)
    assert "- pyrender (render): pyrender is not installed" in lines


def test_rows_compete_within_size_and_batch(make_row: Any):
    few = make_row("reference", 4.0, batch=4, few=True)
    small, large, peer = make_row("cpu", 90.0, batch=1), make_row("cpu", 200.0), make_row("moderngl", 50.0)
    one = make_row("reference", 3.0, batch=1, few=True)
    assert contests([small, few, peer, one, large]) == [[small, one], [large, peer, few]]
    assert contests([one, few]) == [[few]]


def test_the_readme_block_takes_the_largest_size(rows: list[dict[str, Any]]):
    block = speed_table(rows)
    assert "| Pictures: textured, shaded, to bytes; 512 × 512, 16 images a round | 200 | " in block
    assert "moderngl, not antialiased, 160 (1.25×), moderngl-msaa4 50.0 (4.0×), pain3d reference 4.00 (50×)" in block
    assert "256" not in block


def test_goals_are_computed_from_rows(rows: list[dict[str, Any]]):
    found = {goal.number: goal for goal in goals(rows)}
    assert found["CPU 1"].measured == 50 and found["CPU 1"].met == "yes"
    assert found["CPU 2"].measured == 1.25 and found["CPU 2"].met == "no"
    assert found["CPU 3"].measured == 4 and found["CPU 3"].percent_of_limit == rows[0]["percent_of_limit"]
    assert found["13b"].met == "not measured: pyrender: pyrender is not installed"
    assert found["CPU 4"].met == "not measured: no run of pain3d synth"
    assert found["1a"].met == "not measured: no run on a CUDA device"
    assert "| CPU 2 | cpu | against moderngl on llvmpipe, no MSAA | ≥ 1.50× | 1.25× | 12 | no |" in goals_table(
        list(found.values())
    )


def test_goals_of_a_gpu(make_row: Any):
    def row(implementation: str, per_second: float, **changes: Any) -> dict[str, Any]:
        return make_row(implementation, per_second, **{"kind": "cuda", "batch": 512} | changes)

    picture = 3 * 512 * 512
    given = [
        row("triton", 8e4, peak_bytes=512 * picture + 2 * 10**8),
        row("triton", 6e4, batch=64, peak_bytes=64 * picture + 10**8),
        row("nvdiffrast", 1e4, peak_bytes=20 * 10**9),
        row("triton", 7.5e4, case="heatmaps", channels=1),
        row("triton", 4e5, case="deform", batch=4096, size=""),
        row("triton", 1e6, case="deform_pairs", batch=16384, size=""),
    ]
    found = {goal.number: goal for goal in goals(given)}
    assert found["2"].measured == 8 and found["2"].met == "yes"
    assert found["3a"].measured == pytest.approx(20e9 / (512 * picture + 2e8)) and found["3a"].met == "yes"
    assert found["3b"].measured == 2 and found["3b"].met == "no"
    assert found["9a"].measured == pytest.approx(100 / 15) and found["9a"].met == "yes"
    assert found["8"].measured == 2.5
    assert replace(found["9a"], measured=10.0).met == "yes" and replace(found["9a"], measured=10.1).met == "no"


def test_goals_of_the_engine_on_a_gpu(make_row: Any):
    synth = {"case": "synth_device", "kind": "cuda"}
    given = [
        make_row("triton", 3000.0, case="latency", kind="cuda", batch=1),
        make_row("pain3d synth --device cuda", 825 / 12.0, batch=825, **synth),  # 12 s
        make_row("pain3d synth --device cuda", 8250 / 17.0, batch=8250, **synth),  # 17 s: 5 s for 7,425 more
    ]
    found = {goal.number: goal for goal in goals(given)}
    assert found["14d"].measured == pytest.approx(1 / 3) and found["14d"].met == "yes"
    assert found["14e"].measured == pytest.approx(17 + 74250 * 5 / 7425) and found["14e"].met == "no"
    assert "| ≤ 60.0 s | 67.0 s |" in goals_table([found["14e"]])
    assert goals(given[:2])[-1].met == "not measured: no two sizes to tell start-up from pictures"


def test_the_first_run_on_a_gpu_stands_beside_the_latest(make_row: Any):
    where = {"case": "render", "kind": "cuda", "batch": 512, "device": "NVIDIA H100"}
    lines = earlier_table([make_row("triton", 69000.0, **where)]).splitlines()
    assert lines[0].startswith("Before: NVIDIA H200 141 GB, ") and "commit 55e7bad6e5" in lines[0]
    assert lines[1].startswith("Now: NVIDIA H100; ")
    assert "| pictures, W | triton | 34,500 | 69,000 | 2.0× |" in lines
    assert "| pictures, W | nvdiffrast | 5,970 | not measured |  |" in lines
    assert earlier_table([]).splitlines()[1].startswith("Now: no run on a CUDA device.")
    before = json.loads(EARLIER.read_text(encoding="utf-8"))
    names = {(implementation.name, case) for implementation in implementations() for case in implementation.cases}
    for old in before["rows"]:  # can be measured again; steps of training and the CPU's JPEG are no rows of a GPU
        known = (old["implementation"], old.get("case")) in names
        assert known if "case" in old else old["what"].startswith(("training step", "distillation step", "JPEG")), old


def test_only_the_latest_run_of_pictures_counts(make_row: Any):
    old = [make_row("cpu", 1000.0), make_row("reference", 1.0)]
    new = [make_row(name, rate, run="2026-02-01") for name, rate in (("cpu", 100.0), ("reference", 5.0))]
    other_machine = make_row("pain3d synth", 10.0, case="synth", run="2026-03-01", device="Another Processor")
    found = {goal.number: goal for goal in goals([*old, *new, other_machine])}
    assert found["CPU 1"].measured == 20
    assert found["CPU 4"].measured is None
    rates = {"2026-01": 9.0, "2026-03": 11.0}
    later = [make_row("pain3d synth", rate, case="synth", run=run) for run, rate in rates.items()]
    found = {goal.number: goal for goal in goals([*old, *new, *later])}  # one case was measured again, alone
    assert (found["CPU 1"].measured, found["CPU 4"].measured) == (20, 11)


def test_cases_of_two_runs_are_not_divided(make_row: Any):
    where = {"kind": "cuda", "batch": 512}
    picture, heat = make_row("triton", 8e4, **where), make_row("triton", 7.5e4, case="heatmaps", channels=1, **where)
    assert {goal.number: goal for goal in goals([picture, heat])}["9a"].measured is not None
    assert {goal.number: goal for goal in goals([picture, heat | {"run": "2026-05"}])}["9a"].measured is None


def test_only_what_is_between_the_markers_changes():
    page = f"a\n{BEGIN}\nold\n{END}\nb\n"
    once = with_block(page, "new")
    assert once == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n" and with_block(once, "new") == once
    for broken in ("no markers", f"{END}{BEGIN}", page + page):
        with pytest.raises(ValueError, match="once each"):
            with_block(broken, "new")


def test_figures_have_three_digits():
    assert [rate(value) for value in (0.5, 12.34, 123.4, 1234.5, 123456.0)] == [
        "0.50",
        "12.3",
        "123",
        "1,230",
        "123,000",
    ]
    assert [factor(value) for value in (0.5, 1.26, 12.3, 52.4)] == ["0.50×", "1.26×", "12.3×", "52×"]


def test_the_script_writes_table_chart_and_readme(
    rows: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    content = {"schema": SCHEMA, "suite": "pictures", "pain3d": "0.10.0", "rows": rows}
    write_results(tmp_path / "0.10.0" / "pictures--cpu-a-processor-2-threads.json", content)
    write_results(tmp_path / "0.9.0" / "pictures--cpu-a-processor-2-threads.json", content | {"pain3d": "0.9.0"})
    page = tmp_path / "README.md"
    page.write_text(f"# x\n{BEGIN}\n{END}\n")
    main(["--results", str(tmp_path), "--readme", str(page)])
    written = (tmp_path / "0.10.0" / "table.md").read_text(encoding="utf-8")
    assert written == capsys.readouterr().out
    assert written.startswith("# Speed of pain3d 0.10.0") and "](chart--cpu-a-processor-2-threads.png)" in written
    assert (tmp_path / "0.10.0" / "chart--cpu-a-processor-2-threads.png").read_bytes().startswith(b"\x89PNG")
    assert speed_table(rows) in page.read_text(encoding="utf-8")
    assert not list((tmp_path / "0.9.0").glob("*.png"))
    page.write_text("no markers")
    for option, where in (("--readme", page), ("--readme", tmp_path / "none.md"), ("--results", tmp_path / "none")):
        (tmp_path / "0.10.0" / "table.md").unlink(missing_ok=True)
        with pytest.raises(SystemExit):
            main(["--results", str(tmp_path), option, str(where)])
        assert not (tmp_path / "0.10.0" / "table.md").exists()
